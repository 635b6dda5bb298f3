/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls: number in RAX, arguments in RBX RCX RDX RSI, result in RAX. Only CPL 0 may call. */
#include <sched.h>
#include "arch/x86/hyperv.h"
#include "arch/x86/xen.h"

struct hypercall {
	struct kvm_vcpu *vcpu;
	u64 a0, a1, a2, a3;
	bool op_64_bit;
};

static s64 hc_vapic_poll_irq(struct hypercall *h)
{
	(void)h;
	return 0;
}

static s64 hc_kick_cpu(struct hypercall *h)
{
	kvm_pv_kick_cpu_op(h->vcpu->kvm, (int)h->a1);
	return 0;
}

static s64 hc_clock_pairing(struct hypercall *h)
{
	return kvm_pv_clock_pairing(h->vcpu, h->a0, h->a1);
}

static s64 hc_send_ipi(struct hypercall *h)
{
	return kvm_pv_send_ipi(h->vcpu->kvm, h->a0, h->a1, (u32)h->a2, h->a3, h->op_64_bit);
}

/* The host decides whom to run; the hint is that we may as well not. */
static s64 hc_sched_yield(struct hypercall *h)
{
	struct kvm_vcpu *target = kvm_get_vcpu_by_apicid(h->vcpu->kvm, (u32)h->a0);

	if (target && target != h->vcpu)
		sched_yield();
	return 0;
}

static const struct {
	u64 nr;
	u8 feature; /* bit of KVM_CPUID_FEATURES that must be in the guest's CPUID where enforced */
	s64 (*fn)(struct hypercall *h);
} hypercalls[] = {
	{ KVM_HC_VAPIC_POLL_IRQ, 0xff, hc_vapic_poll_irq },
	{ KVM_HC_KICK_CPU, KVM_FEATURE_PV_UNHALT, hc_kick_cpu },
	{ KVM_HC_CLOCK_PAIRING, 0xff, hc_clock_pairing },
	{ KVM_HC_SEND_IPI, KVM_FEATURE_PV_SEND_IPI, hc_send_ipi },
	{ KVM_HC_SCHED_YIELD, KVM_FEATURE_PV_SCHED_YIELD, hc_sched_yield },
};

static bool pv_has(struct kvm_vcpu *vcpu, u8 feature)
{
	return feature == 0xff || guest_pv_has(vcpu, feature);
}

static s64 dispatch(struct hypercall *h, u64 nr)
{
	if (x86_cpl(x86s(h->vcpu)))
		return -KVM_EPERM;
	for (size_t i = 0; i < ARRAY_SIZE(hypercalls); i++)
		if (hypercalls[i].nr == nr && pv_has(h->vcpu, hypercalls[i].feature))
			return hypercalls[i].fn(h);
	return -KVM_ENOSYS;
}

static bool leaves_for_user_space(struct kvm_vcpu *vcpu, u64 nr)
{
	return nr < 32 && (vcpu->kvm->arch.hypercall_exit_enabled & (1u << nr)) && !x86_cpl(x86s(vcpu));
}

static bool gpa_range_valid(u64 gpa, u64 npages)
{
	u64 gfn = gpa >> PAGE_SHIFT;

	return !(gpa & ~PAGE_MASK) && gfn + npages > gfn;
}

/* 0, or -EFAULT with the linear address that may not be written. Byte by byte: it may cross a page. */
static int write_guest_virt(struct kvm_vcpu *vcpu, u64 gva, const u8 *data, int len, u64 *fault)
{
	gpa_t gpa[4];

	for (int i = 0; i < len; i++) {
		*fault = gva + (u64)i;
		if (hyp_x86_translate_write(vcpu->hyp, *fault, &gpa[i]))
			return -EFAULT;
	}
	for (int i = 0; i < len; i++)
		if (kvm_write_guest(vcpu->kvm, gpa[i], &data[i], 1))
			return -EFAULT;
	return 0;
}

/*
 * The other vendor's instruction, which is #UD on silicon: made this vendor's, and run again. A client that
 * has switched that quirk off gets the #UD.
 */
static int fix_hypercall(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	u8 insn[3] = { 0x0f, 0x01, s->is_amd ? 0xd9 : 0xc1 };
	u64 fault;

	if (x86_cpl(s)) {
		kvm_queue_exception_e(vcpu, X86_GP, 0);
	} else if (!kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN)) {
		kvm_queue_exception(vcpu, X86_UD);
	} else if (write_guest_virt(vcpu, kvm_linear_rip(vcpu), insn, sizeof(insn), &fault)) {
		s->cr2 = fault;
		kvm_queue_exception_e(vcpu, X86_PF, X86_PFEC_P | X86_PFEC_W);
	}
	return 1;
}

int kvm_emulate_hypercall(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	struct hypercall h = { vcpu, s->gpr[X86_RBX], s->gpr[X86_RCX], s->gpr[X86_RDX], s->gpr[X86_RSI],
			       is_64_bit_mode(vcpu) };
	u64 nr = s->gpr[X86_RAX];
	s64 ret;

	if (s->exit.hypercall.vmmcall != s->is_amd)
		return fix_hypercall(vcpu);
	if (kvm_xen_hypercall_enabled(vcpu->kvm) && !(kvm_hv_hypercall_enabled(vcpu) && (nr & BIT(31))))
		return kvm_xen_hypercall(vcpu); /* Hyper-V's come with bit 31 from a page made for both */
	if (kvm_hv_hypercall_enabled(vcpu))
		return kvm_hv_hypercall(vcpu);
	if (!h.op_64_bit) {
		nr = (u32)nr;
		h.a0 = (u32)h.a0;
		h.a1 = (u32)h.a1;
		h.a2 = (u32)h.a2;
		h.a3 = (u32)h.a3;
	}
	vcpu->stat->hypercalls++;
	if (leaves_for_user_space(vcpu, nr) && gpa_range_valid(h.a0, h.a1))
		return kvm_exit_hypercall(vcpu, nr, (u64[]){ h.a0, h.a1, h.a2 }, h.op_64_bit);
	ret = leaves_for_user_space(vcpu, nr) ? -KVM_EINVAL : dispatch(&h, nr);
	s->gpr[X86_RAX] = h.op_64_bit ? (u64)ret : (u32)ret;
	hyp_x86_skip(vcpu->hyp);
	return 1;
}
