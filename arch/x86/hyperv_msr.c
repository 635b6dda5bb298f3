/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hyper-V's MSRs: one row each, sorted, with the bit of the guest's CPUID that a guest held to it
 * (KVM_CAP_HYPERV_ENFORCE_CPUID) must have. User space may always. `partition` registers are one for the
 * whole VM: their functions run with kvm_hv.lock held. Which of them KVM_GET_MSR_INDEX_LIST names is in
 * msr.c.
 */
#include "arch/x86/hyperv.h"

#include <string.h>
#include <time.h>
#include "arch/x86/lapic.h"
#include "arch/x86/msr.h"
#include "arch/x86/xen.h"

struct hv_msr {
	u32 first, last;
	u32 eax, edx; /* of HYPERV_CPUID_FEATURES: one of these bits */
	bool partition;
	int (*get)(struct msr_access *a, const struct hv_msr *m);
	int (*set)(struct msr_access *a, const struct hv_msr *m);
	size_t offset; /* of the (first) word in struct kvm_hv */
};

/* ---- plain kinds ----------------------------------------------------------------------------------- */

static u64 *partition_word(struct msr_access *a, const struct hv_msr *m)
{
	return (u64 *)((char *)to_kvm_hv(a->vcpu->kvm) + m->offset) + (a->index - m->first);
}

static int get_word(struct msr_access *a, const struct hv_msr *m)
{
	a->data = *partition_word(a, m);
	return 0;
}

static int set_word(struct msr_access *a, const struct hv_msr *m)
{
	*partition_word(a, m) = a->data;
	return 0;
}

static int get_zero(struct msr_access *a, const struct hv_msr *m)
{
	a->data = 0;
	return 0;
}

/* Read-only; what user space saved it may write back without effect. */
static int set_none(struct msr_access *a, const struct hv_msr *m)
{
	return !a->host;
}

/* ---- identity, hypercall page ------------------------------------------------------------------------ */

static int set_guest_os_id(struct msr_access *a, const struct hv_msr *m)
{
	struct kvm_hv *hv = to_kvm_hv(a->vcpu->kvm);

	__atomic_store_n(&hv->guest_os_id, a->data, __ATOMIC_RELAXED);
	if (!a->data)
		hv->hypercall &= ~HV_MSR_PAGE_ENABLE;
	return 0;
}

static int set_hypercall(struct msr_access *a, const struct hv_msr *m)
{
	/* or eax,0x80000000, so that it is no Xen hypercall, where there are such; vmcall or vmmcall; ret */
	const u8 page[] = { 0x0d, 0, 0, 0, 0x80, 0x0f, 0x01, x86s(a->vcpu)->is_amd ? 0xd9 : 0xc1, 0xc3 };
	unsigned skip = kvm_xen_hypercall_enabled(a->vcpu->kvm) ? 0 : 5;
	struct kvm_hv *hv = to_kvm_hv(a->vcpu->kvm);

	if (!hv->guest_os_id)
		return 0;
	if ((a->data & HV_MSR_PAGE_ENABLE) &&
	    kvm_write_guest(a->vcpu->kvm, a->data & PAGE_MASK, page + skip, sizeof(page) - skip))
		return 1;
	hv->hypercall = a->data;
	return 0;
}

static int get_vp_index(struct msr_access *a, const struct hv_msr *m)
{
	a->data = kvm_hv_get_vpindex(a->vcpu);
	return 0;
}

static int set_vp_index(struct msr_access *a, const struct hv_msr *m)
{
	if (!a->host || (u32)a->data >= KVM_MAX_VCPUS)
		return 1;
	__atomic_store_n(&to_hv_vcpu(a->vcpu)->vp_index, (u32)a->data, __ATOMIC_RELAXED);
	return 0;
}

static int set_reset(struct msr_access *a, const struct hv_msr *m)
{
	if (a->data == 1)
		kvm_make_request(KVM_REQ_HV_RESET, a->vcpu);
	return 0;
}

/* ---- time ---- */

/* CPU time of the calling thread, 100 ns. */
static u64 thread_runtime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * 10000000 + (u64)ts.tv_nsec / 100;
}

static int get_vp_runtime(struct msr_access *a, const struct hv_msr *m)
{
	a->data = thread_runtime() + to_hv_vcpu(a->vcpu)->runtime_offset;
	return 0;
}

static int set_vp_runtime(struct msr_access *a, const struct hv_msr *m)
{
	if (!a->host)
		return 1;
	to_hv_vcpu(a->vcpu)->runtime_offset = a->data - thread_runtime();
	return 0;
}

static int get_time_ref_count(struct msr_access *a, const struct hv_msr *m)
{
	a->data = kvm_hv_reference_time(a->vcpu->kvm);
	return 0;
}

static int set_reference_tsc(struct msr_access *a, const struct hv_msr *m)
{
	struct kvm_hv *hv = to_kvm_hv(a->vcpu->kvm);
	u32 status = HV_TSC_PAGE_UNSET;

	hv->tsc_page = a->data;
	if (a->data & HV_MSR_PAGE_ENABLE) {
		status = a->host ? HV_TSC_PAGE_HOST_CHANGED : HV_TSC_PAGE_GUEST_CHANGED;
		kvm_make_request(KVM_REQ_CLOCK_UPDATE, a->vcpu);
	}
	__atomic_store_n(&hv->tsc_page_status, status, __ATOMIC_RELAXED);
	return 0;
}

static int get_tsc_frequency(struct msr_access *a, const struct hv_msr *m)
{
	a->data = (u64)a->vcpu->arch.virtual_tsc_khz * 1000;
	return 0;
}

static int get_apic_frequency(struct msr_access *a, const struct hv_msr *m)
{
	u64 ns = a->vcpu->kvm->arch.apic_bus_cycle_ns;

	a->data = 1000000000ull / (ns ? ns : 1);
	return 0;
}

/* The guest has nothing to say but that it is done. */
static int set_tsc_emulation_status(struct msr_access *a, const struct hv_msr *m)
{
	return a->data && !a->host ? 1 : set_word(a, m);
}

/* Once asked for by the guest it stays. */
static int set_invtsc(struct msr_access *a, const struct hv_msr *m)
{
	struct kvm_hv *hv = to_kvm_hv(a->vcpu->kvm);

	if (a->data & ~HV_EXPOSE_INVARIANT_TSC || (!a->host && hv->invtsc_control && !a->data))
		return 1;
	__atomic_store_n(&hv->invtsc_control, a->data, __ATOMIC_RELAXED);
	return 0;
}

/* ---- APIC ---- */

static u32 apic_reg(u32 index)
{
	return index == HV_X64_MSR_EOI ? APIC_EOI : index == HV_X64_MSR_ICR ? APIC_ICR : APIC_TASKPRI;
}

static int get_vapic(struct msr_access *a, const struct hv_msr *m)
{
	return kvm_hv_vapic_msr_read(a->vcpu, apic_reg(a->index), &a->data);
}

static int set_vapic(struct msr_access *a, const struct hv_msr *m)
{
	return kvm_hv_vapic_msr_write(a->vcpu, apic_reg(a->index), a->data);
}

static int get_vp_assist_page(struct msr_access *a, const struct hv_msr *m)
{
	a->data = to_hv_vcpu(a->vcpu)->vp_assist_page;
	return 0;
}

/* Its first word is the APIC assist: "no EOI required", the same as KVM's PV EOI. The rest is left as it
 * is. */
static int set_vp_assist_page(struct msr_access *a, const struct hv_msr *m)
{
	u64 pv_eoi = 0;
	u32 none = 0;

	if (a->data & HV_MSR_PAGE_ENABLE) {
		if (kvm_write_guest(a->vcpu->kvm, a->data & PAGE_MASK, &none, sizeof(none)))
			return 1;
		pv_eoi = (a->data & PAGE_MASK) | 1;
	}
	to_hv_vcpu(a->vcpu)->vp_assist_page = a->data;
	return kvm_lapic_set_pv_eoi(a->vcpu, pv_eoi);
}

/* ---- SynIC, timers ---- */

static int get_synic(struct msr_access *a, const struct hv_msr *m)
{
	return kvm_hv_synic_get_msr(a);
}

static int set_synic(struct msr_access *a, const struct hv_msr *m)
{
	return kvm_hv_synic_set_msr(a);
}

static int get_stimer(struct msr_access *a, const struct hv_msr *m)
{
	return kvm_hv_stimer_get_msr(a);
}

static int set_stimer(struct msr_access *a, const struct hv_msr *m)
{
	return kvm_hv_stimer_set_msr(a);
}

/* ---- debugger, crash ---- */

static bool syndbg_closed(struct msr_access *a)
{
	return !a->host && !kvm_hv_syndbg_enabled(to_hv_vcpu(a->vcpu));
}

static int get_syndbg(struct msr_access *a, const struct hv_msr *m)
{
	return syndbg_closed(a) ? 1 : get_word(a, m);
}

static int set_syndbg(struct msr_access *a, const struct hv_msr *m)
{
	const struct kvm_hv_syndbg *s = &to_kvm_hv(a->vcpu->kvm)->syndbg;
	struct kvm_hyperv_exit exit = { .type = KVM_EXIT_HYPERV_SYNDBG };

	if (syndbg_closed(a))
		return 1;
	set_word(a, m);
	if (a->host ||
	    (a->index != HV_X64_MSR_SYNDBG_CONTROL && a->index != HV_X64_MSR_SYNDBG_PENDING_BUFFER))
		return 0;
	exit.u.syndbg.msr = a->index;
	exit.u.syndbg.control = s->control;
	exit.u.syndbg.send_page = s->send_page;
	exit.u.syndbg.recv_page = s->recv_page;
	exit.u.syndbg.pending_page = s->pending_page;
	kvm_hv_request_exit(to_hv_vcpu(a->vcpu), &exit);
	return 0;
}

/* User space says what there is; the guest says that it has crashed. */
static int set_crash_ctl(struct msr_access *a, const struct hv_msr *m)
{
	u64 notify = a->data & HV_CRASH_CTL_CRASH_NOTIFY;

	if (a->host)
		to_kvm_hv(a->vcpu->kvm)->crash_ctl = notify;
	else if (notify)
		kvm_make_request(KVM_REQ_HV_CRASH, a->vcpu);
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------------------- */

#define HV(f) offsetof(struct kvm_hv, f)
#define ONE(msr) (msr), (msr)
#define DEBUG HV_FEATURE_DEBUG_MSRS_AVAILABLE
#define CRASH HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE

_Static_assert(HV(syndbg.pending_page) == HV(syndbg.control) + 4 * sizeof(u64), "in the order of the MSRs");

static const struct hv_msr hv_msrs[] = {
	{ ONE(HV_X64_MSR_GUEST_OS_ID), HV_MSR_HYPERCALL_AVAILABLE, 0, true, get_word, set_guest_os_id, HV(guest_os_id) },
	{ ONE(HV_X64_MSR_HYPERCALL), HV_MSR_HYPERCALL_AVAILABLE, 0, true, get_word, set_hypercall, HV(hypercall) },
	{ ONE(HV_X64_MSR_VP_INDEX), HV_MSR_VP_INDEX_AVAILABLE, 0, false, get_vp_index, set_vp_index, 0 },
	{ ONE(HV_X64_MSR_RESET), HV_MSR_RESET_AVAILABLE, 0, true, get_zero, set_reset, 0 },
	{ ONE(HV_X64_MSR_VP_RUNTIME), HV_MSR_VP_RUNTIME_AVAILABLE, 0, false, get_vp_runtime, set_vp_runtime, 0 },
	{ ONE(HV_X64_MSR_TIME_REF_COUNT), HV_MSR_TIME_REF_COUNT_AVAILABLE, 0, false, get_time_ref_count, set_none, 0 },
	{ ONE(HV_X64_MSR_REFERENCE_TSC), HV_MSR_REFERENCE_TSC_AVAILABLE, 0, true, get_word, set_reference_tsc,
	  HV(tsc_page) },
	{ ONE(HV_X64_MSR_TSC_FREQUENCY), HV_ACCESS_FREQUENCY_MSRS, 0, false, get_tsc_frequency, set_none, 0 },
	{ ONE(HV_X64_MSR_APIC_FREQUENCY), HV_ACCESS_FREQUENCY_MSRS, 0, false, get_apic_frequency, set_none, 0 },
	{ HV_X64_MSR_EOI, HV_X64_MSR_TPR, HV_MSR_APIC_ACCESS_AVAILABLE, 0, false, get_vapic, set_vapic, 0 },
	{ ONE(HV_X64_MSR_VP_ASSIST_PAGE), HV_MSR_APIC_ACCESS_AVAILABLE, 0, false, get_vp_assist_page, set_vp_assist_page,
	  0 },
	{ HV_X64_MSR_SCONTROL, HV_X64_MSR_EOM, HV_MSR_SYNIC_AVAILABLE, 0, false, get_synic, set_synic, 0 },
	{ HV_X64_MSR_SINT0, HV_X64_MSR_SINT15, HV_MSR_SYNIC_AVAILABLE, 0, false, get_synic, set_synic, 0 },
	{ HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_STIMER3_COUNT, HV_MSR_SYNTIMER_AVAILABLE, 0, false, get_stimer,
	  set_stimer, 0 },
	{ HV_X64_MSR_SYNDBG_CONTROL, HV_X64_MSR_SYNDBG_PENDING_BUFFER, 0, DEBUG, true, get_syndbg, set_syndbg,
	  HV(syndbg.control) },
	{ ONE(HV_X64_MSR_SYNDBG_OPTIONS), 0, DEBUG, true, get_syndbg, set_syndbg, HV(syndbg.options) },
	{ HV_X64_MSR_CRASH_P0, HV_X64_MSR_CRASH_P4, 0, CRASH, true, get_word, set_word, HV(crash_param) },
	{ ONE(HV_X64_MSR_CRASH_CTL), 0, CRASH, true, get_word, set_crash_ctl, HV(crash_ctl) },
	{ ONE(HV_X64_MSR_REENLIGHTENMENT_CONTROL), HV_ACCESS_REENLIGHTENMENT, 0, true, get_word, set_word,
	  HV(reenlightenment_control) },
	{ ONE(HV_X64_MSR_TSC_EMULATION_CONTROL), HV_ACCESS_REENLIGHTENMENT, 0, true, get_word, set_word,
	  HV(tsc_emulation_control) },
	{ ONE(HV_X64_MSR_TSC_EMULATION_STATUS), HV_ACCESS_REENLIGHTENMENT, 0, true, get_word, set_tsc_emulation_status,
	  HV(tsc_emulation_status) },
	{ ONE(HV_X64_MSR_TSC_INVARIANT_CONTROL), HV_ACCESS_TSC_INVARIANT, 0, true, get_word, set_invtsc,
	  HV(invtsc_control) },
};

static const struct hv_msr *find(u32 index)
{
	for (size_t i = 0; i < ARRAY_SIZE(hv_msrs); i++)
		if (index >= hv_msrs[i].first && index <= hv_msrs[i].last)
			return &hv_msrs[i];
	return NULL;
}

static bool allowed(struct msr_access *a, const struct hv_msr *m)
{
	const struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);

	return a->host || !hv->enforce_cpuid || (hv->cpuid.features_eax & m->eax) ||
	       (hv->cpuid.features_edx & m->edx);
}

/* The row of an access that may be made, or NULL: #GP. */
static const struct hv_msr *prepare(struct msr_access *a)
{
	const struct hv_msr *m = find(a->index);

	if (!m || (!a->host && !a->vcpu->arch.hyperv_enabled) || kvm_hv_vcpu_init(a->vcpu))
		return NULL;
	return allowed(a, m) ? m : NULL;
}

static int call(struct msr_access *a, const struct hv_msr *m,
		int (*fn)(struct msr_access *, const struct hv_msr *))
{
	int ret;

	if (!m->partition)
		return fn(a, m);
	pthread_mutex_lock(&to_kvm_hv(a->vcpu->kvm)->lock);
	ret = fn(a, m);
	pthread_mutex_unlock(&to_kvm_hv(a->vcpu->kvm)->lock);
	return ret;
}

int kvm_hv_msr_get(struct msr_access *a)
{
	const struct hv_msr *m = prepare(a);

	return m ? call(a, m, m->get) : 1;
}

int kvm_hv_msr_set(struct msr_access *a)
{
	const struct hv_msr *m = prepare(a);

	return m ? call(a, m, m->set) : 1;
}
