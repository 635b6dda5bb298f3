/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hyper-V hypercalls (TLFS 3). VMCALL or VMMCALL from CPL 0, once the guest has said who it is
 * (HV_X64_MSR_GUEST_OS_ID); what would be KVM's own hypercalls then is Hyper-V's.
 *
 *	64-bit   RCX: input value   RDX: input GPA    R8: output GPA    result in RAX
 *	32-bit   EDX:EAX            EBX:ECX           EDI:ESI           result in EDX:EAX
 *
 * fast: the two GPAs are the input itself, and a hypercall with more of it goes on in XMM0..5. Variable input
 * (the banks of a processor set) and the list of a rep hypercall follow the fixed header.
 *
 * Every rep hypercall here is done in one go: "reps completed" is the count, and starting in the middle is
 * refused.
 */
#include "arch/x86/hyperv.h"

#include <sched.h>
#include <string.h>

#define CONN_ID_MASK 0x00ffffffull
#define FLAG_NUMBER_MASK 0xffff00000000ull
#define XSAVE_XMM0 160        /* offset of XMM0 in an XSAVE area (SDM vol. 1, 10.5.1) */
#define XSAVE_XSTATE_BV 512
#define XSTATE_SSE BIT_ULL(1)

/* What a row asks of the input value. */
#define NO_VAR BIT(0)     /* no variable header */
#define NO_REP BIT(1)     /* a simple hypercall */
#define REP BIT(2)        /* a rep hypercall, from its start */
#define XMM BIT(3)        /* fast input may go on in XMM registers */
#define SLOW_ONLY BIT(4)  /* has output */
#define SYNIC BIT(5)      /* user space must be there to take it */

struct hcall_row {
	u16 first, last;
	u32 flags;
	bool (*may)(const struct kvm_vcpu_hv *hv); /* the guest's CPUID allows it; NULL: anyone */
	u64 (*fn)(struct hv_hcall *hc);
};

#define LEAVE ~0ull /* instead of a result: user space has to do it */

/* ---- which CPUID bit is for which call ----------------------------------------------------------------- */

static bool may_spin(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.enlightenments_ebx && hv->cpuid.enlightenments_ebx != ~0u; /* retries; ~0: never notify */
}

static bool may_post(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.features_ebx & HV_POST_MESSAGES;
}

static bool may_signal(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.features_ebx & HV_SIGNAL_EVENTS;
}

/* Without a debugger the call does not exist, which is another error than not being allowed to. */
static bool may_debug(const struct kvm_vcpu_hv *hv)
{
	return !kvm_hv_syndbg_enabled(hv) || (hv->cpuid.features_ebx & HV_DEBUGGING);
}

static bool may_flush(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.enlightenments_eax & HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED;
}

static bool may_ex(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.enlightenments_eax & HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED;
}

static bool may_flush_ex(const struct kvm_vcpu_hv *hv)
{
	return may_ex(hv) && may_flush(hv);
}

static bool may_ipi(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.enlightenments_eax & HV_X64_CLUSTER_IPI_RECOMMENDED;
}

static bool may_ipi_ex(const struct kvm_vcpu_hv *hv)
{
	return may_ex(hv) && may_ipi(hv);
}

static bool may_extended(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.features_ebx & HV_ENABLE_EXTENDED_HYPERCALLS;
}

/* ---- calls ---- */

/* The host decides whom to run. */
static u64 hc_long_spin_wait(struct hv_hcall *hc)
{
	sched_yield();
	return HV_STATUS_SUCCESS;
}

static u64 hc_user_space(struct hv_hcall *hc)
{
	return LEAVE;
}

static bool post_message_possible(struct hv_hcall *hc)
{
	return kvm_hv_synic_active(hc->hv);
}

/* Connection id in bits 23:0, flag number in 47:32: KVM's connections have only flag 0. */
static u64 hc_signal_event(struct hv_hcall *hc)
{
	if (!hc->fast) {
		if ((hc->ingpa & 7) ||
		    kvm_read_guest(hc->vcpu->kvm, hc->ingpa, &hc->ingpa, sizeof(hc->ingpa)))
			return HV_STATUS_INVALID_ALIGNMENT;
	}
	if (!(hc->ingpa & FLAG_NUMBER_MASK)) {
		if (hc->ingpa & ~CONN_ID_MASK)
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		if (kvm_hv_signal_connection(hc->vcpu->kvm, (u32)hc->ingpa))
			return HV_STATUS_SUCCESS;
	}
	/* User space may know the connection. */
	return post_message_possible(hc) ? LEAVE : HV_STATUS_INVALID_HYPERCALL_INPUT;
}

static u64 hc_debug(struct hv_hcall *hc)
{
	struct kvm_hv *hv = to_kvm_hv(hc->vcpu->kvm);
	u64 options;

	if (!kvm_hv_syndbg_enabled(hc->hv))
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	pthread_mutex_lock(&hv->lock);
	options = hv->syndbg.options;
	pthread_mutex_unlock(&hv->lock);
	return options & HV_X64_SYNDBG_OPTION_USE_HCALLS ? LEAVE : HV_STATUS_OPERATION_DENIED;
}

static const struct hcall_row hcalls[] = {
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, NO_VAR | NO_REP | XMM, may_flush,
	  kvm_hv_flush_tlb },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST, HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST, NO_VAR | REP | XMM, may_flush,
	  kvm_hv_flush_tlb },
	{ HVCALL_NOTIFY_LONG_SPIN_WAIT, HVCALL_NOTIFY_LONG_SPIN_WAIT, NO_VAR | NO_REP, may_spin, hc_long_spin_wait },
	{ HVCALL_SEND_IPI, HVCALL_SEND_IPI, NO_VAR | NO_REP, may_ipi, kvm_hv_send_ipi },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, NO_REP | XMM, may_flush_ex,
	  kvm_hv_flush_tlb },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX, HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX, REP | XMM, may_flush_ex,
	  kvm_hv_flush_tlb },
	{ HVCALL_SEND_IPI_EX, HVCALL_SEND_IPI_EX, NO_REP | XMM, may_ipi_ex, kvm_hv_send_ipi },
	{ HVCALL_POST_MESSAGE, HVCALL_POST_MESSAGE, NO_VAR | NO_REP | SYNIC, may_post, hc_user_space },
	{ HVCALL_SIGNAL_EVENT, HVCALL_SIGNAL_EVENT, NO_VAR | NO_REP, may_signal, hc_signal_event },
	{ HVCALL_POST_DEBUG_DATA, HVCALL_RETRIEVE_DEBUG_DATA, SLOW_ONLY, may_debug, hc_debug },
	{ HVCALL_RESET_DEBUG_SESSION, HVCALL_RESET_DEBUG_SESSION, 0, may_debug, hc_debug },
	{ HV_EXT_CALL_QUERY_CAPABILITIES, HV_EXT_CALL_MAX, SLOW_ONLY, may_extended, hc_user_space },
};

static const struct hcall_row *find(u16 code)
{
	for (size_t i = 0; i < ARRAY_SIZE(hcalls); i++)
		if (code >= hcalls[i].first && code <= hcalls[i].last)
			return &hcalls[i];
	return NULL;
}

/* HV_STATUS_SUCCESS: fn may be called. */
static u64 check(const struct hv_hcall *hc, const struct hcall_row *row)
{
	bool rep = hc->rep_cnt || hc->rep_idx;

	if (!row)
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	if ((row->flags & SLOW_ONLY) && hc->fast)
		return HV_STATUS_INVALID_PARAMETER;
	if (((row->flags & NO_VAR) && hc->var_cnt) || ((row->flags & NO_REP) && rep) ||
	    ((row->flags & REP) && (!hc->rep_cnt || hc->rep_idx)) ||
	    ((row->flags & SYNIC) && !kvm_hv_synic_active(hc->hv)))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	return HV_STATUS_SUCCESS;
}

/* ---- input ---- */

/* SSE in its initial state is not in the area. */
static void read_xmm(struct hv_hcall *hc)
{
	const u8 *area = x86s(hc->vcpu)->xsave;
	u64 present;

	memcpy(&present, area + XSAVE_XSTATE_BV, sizeof(present));
	if (present & XSTATE_SSE)
		memcpy(hc->xmm, area + XSAVE_XMM0, sizeof(hc->xmm));
}

bool kvm_hv_get_hc_words(struct hv_hcall *hc, u64 *words, u32 n)
{
	u32 at = hc->consumed;

	if (hc->fast) {
		if (n > ARRAY_SIZE(hc->xmm) - at)
			return false;
		memcpy(words, &hc->xmm[at], n * sizeof(*words));
		return true;
	}
	return !kvm_read_guest(hc->vcpu->kvm, hc->ingpa + at, words, n * sizeof(*words));
}

static u64 pair(const struct x86_state *s, int high, int low)
{
	return s->gpr[high] << 32 | (u32)s->gpr[low];
}

static void read_input(struct hv_hcall *hc)
{
	const struct x86_state *s = x86s(hc->vcpu);
	bool wide = is_64_bit_mode(hc->vcpu);

	hc->param = wide ? s->gpr[X86_RCX] : pair(s, X86_RDX, X86_RAX);
	hc->ingpa = wide ? s->gpr[X86_RDX] : pair(s, X86_RBX, X86_RCX);
	hc->outgpa = wide ? s->gpr[X86_R8] : pair(s, X86_RDI, X86_RSI);
	hc->code = HV_HYPERCALL_CODE(hc->param);
	hc->fast = hc->param & HV_HYPERCALL_FAST_BIT;
	hc->var_cnt = HV_HYPERCALL_VARHEAD(hc->param);
	hc->rep_cnt = HV_HYPERCALL_REP_COUNT(hc->param);
	hc->rep_idx = HV_HYPERCALL_REP_START(hc->param);
}

/* ---- the end ---- */

static int complete(struct kvm_vcpu *vcpu, u64 result)
{
	struct x86_state *s = x86s(vcpu);

	if (is_64_bit_mode(vcpu)) {
		s->gpr[X86_RAX] = result;
	} else {
		s->gpr[X86_RDX] = result >> 32;
		s->gpr[X86_RAX] = (u32)result;
	}
	vcpu->stat->hypercalls++;
	hyp_x86_skip(vcpu->hyp);
	return 1;
}

static int complete_userspace(struct kvm_vcpu *vcpu)
{
	return complete(vcpu, vcpu->run->hyperv.u.hcall.result);
}

static int leave(const struct hv_hcall *hc)
{
	struct kvm_hyperv_exit exit = { .type = KVM_EXIT_HYPERV_HCALL };

	exit.u.hcall.input = hc->param;
	exit.u.hcall.params[0] = hc->ingpa;
	exit.u.hcall.params[1] = hc->outgpa;
	return kvm_exit_hyperv(hc->vcpu, &exit, complete_userspace);
}

static int inject_ud(struct kvm_vcpu *vcpu)
{
	kvm_queue_exception(vcpu, X86_UD);
	return 1;
}

bool kvm_hv_hypercall_enabled(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.hyperv_enabled &&
	       __atomic_load_n(&to_kvm_hv(vcpu->kvm)->guest_os_id, __ATOMIC_RELAXED);
}

int kvm_hv_hypercall(struct kvm_vcpu *vcpu)
{
	struct hv_hcall hc = { .vcpu = vcpu, .hv = to_hv_vcpu(vcpu) };
	const struct hcall_row *row;
	u64 result;

	if (x86_cpl(x86s(vcpu)) || !(x86s(vcpu)->cr0 & X86_CR0_PE))
		return inject_ud(vcpu);
	read_input(&hc);
	row = find(hc.code);
	if (row && hc.hv->enforce_cpuid && !row->may(hc.hv))
		return complete(vcpu, HV_STATUS_ACCESS_DENIED);
	if (hc.param & HV_HYPERCALL_RSVD_MASK)
		return complete(vcpu, HV_STATUS_INVALID_HYPERCALL_INPUT);
	if (row && hc.fast && (row->flags & XMM)) {
		if (hc.hv->enforce_cpuid &&
		    !(hc.hv->cpuid.features_edx & HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE))
			return inject_ud(vcpu);
		read_xmm(&hc);
	}
	result = check(&hc, row);
	if (result == HV_STATUS_SUCCESS)
		result = row->fn(&hc);
	return result == LEAVE ? leave(&hc) : complete(vcpu, result);
}
