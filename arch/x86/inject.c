/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way into a vCPU.
 *
 * "pending": raised by KVM or user space, side effects (CR2, DR6) not applied. "injected": handed to the CPU,
 * which delivers it through the IDT at its next entry; if it left before having done so, the same event is
 * handed over again. One event enters at a time, in Linux's order: what is being delivered already, a new
 * exception, an SMI (which goes not through the IDT: smm.c), an NMI, an external interrupt. A window
 * (want_irq_window, want_nmi_window, want_smi_window) makes the CPU leave as soon as the next one can be
 * taken.
 */
#include "arch/x86/smm.h"

enum exception_class { CONTRIBUTORY, PAGE_FAULT, BENIGN };

static enum exception_class class_of(u8 vector)
{
	switch (vector) {
	case X86_PF:
		return PAGE_FAULT;
	case X86_DE: case X86_TS: case X86_NP: case X86_SS_VEC: case X86_GP:
		return CONTRIBUTORY;
	default:
		return BENIGN;
	}
}

/* SDM vol. 3, table 6-5. */
static bool makes_double_fault(u8 first, u8 second)
{
	enum exception_class a = class_of(first), b = class_of(second);

	return (a == CONTRIBUTORY && b == CONTRIBUTORY) || (a == PAGE_FAULT && b != BENIGN);
}

static void queue(struct kvm_vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	struct kvm_queued_exception *ex = &vcpu->arch.exception;

	kvm_make_request(KVM_REQ_EVENT, vcpu);
	if (ex->pending || ex->injected) {
		if (ex->vector == X86_DF) {
			*ex = (struct kvm_queued_exception){ 0 };
			kvm_make_request(KVM_REQ_TRIPLE_FAULT, vcpu);
			return;
		}
		if (makes_double_fault(ex->vector, vector)) {
			*ex = (struct kvm_queued_exception){ .pending = true, .vector = X86_DF, .has_error_code = true };
			return;
		}
		/* Otherwise the second replaces the first, whose instruction runs again. */
	}
	*ex = (struct kvm_queued_exception){ .pending = true, .vector = vector, .has_error_code = has_error,
					     .error_code = error };
}

void kvm_queue_exception(struct kvm_vcpu *vcpu, u8 vector)
{
	queue(vcpu, vector, false, 0);
}

void kvm_queue_exception_e(struct kvm_vcpu *vcpu, u8 vector, u32 error)
{
	queue(vcpu, vector, true, error);
}

void kvm_inject_nmi(struct kvm_vcpu *vcpu)
{
	__atomic_add_fetch(&vcpu->arch.nmi_queued, 1, __ATOMIC_SEQ_CST);
	kvm_make_request(KVM_REQ_NMI, vcpu);
}

/* The CPU latches one NMI beside the one in service. */
void kvm_process_nmi(struct kvm_vcpu *vcpu)
{
	u32 limit = x86s(vcpu)->nmi_blocked || vcpu->arch.nmi_injected ? 1 : 2;
	u32 queued = __atomic_exchange_n(&vcpu->arch.nmi_queued, 0, __ATOMIC_SEQ_CST);

	vcpu->arch.nmi_pending = MIN(vcpu->arch.nmi_pending + queued, limit);
	if (vcpu->arch.nmi_pending)
		kvm_make_request(KVM_REQ_EVENT, vcpu);
}

void kvm_deliver_exception_payload(struct kvm_vcpu *vcpu)
{
	struct kvm_queued_exception *ex = &vcpu->arch.exception;
	struct x86_state *s = x86s(vcpu);

	if (!ex->has_payload)
		return;
	if (ex->vector == X86_PF)
		s->cr2 = ex->payload;
	if (ex->vector == X86_DB) {
		s->dr6 &= ~15ull;
		s->dr6 |= X86_DR6_FIXED_1 | ex->payload;
		s->dr6 ^= ex->payload & 0x10800; /* RTM and bus lock are active low */
	}
	ex->has_payload = false;
	ex->payload = 0;
}

/* ---- handing over ---------------------------------------------------------------------------------- */

static bool is_fault(u8 vector)
{
	return vector < 32 && vector != X86_NMI && vector != X86_BP && vector != X86_OF && vector != X86_DF &&
	       vector != X86_MC;
}

static void hand_over_exception(struct kvm_vcpu *vcpu)
{
	struct kvm_queued_exception *ex = &vcpu->arch.exception;
	struct x86_state *s = x86s(vcpu);
	bool error = ex->has_error_code && (s->cr0 & X86_CR0_PE); /* real mode pushes none */

	s->inject = (struct x86_event){ .type = X86_EVENT_EXCEPTION, .vector = ex->vector, .has_error = error,
					.error = error ? ex->error_code : 0 };
}

static void new_exception(struct kvm_vcpu *vcpu)
{
	struct kvm_queued_exception *ex = &vcpu->arch.exception;
	struct x86_state *s = x86s(vcpu);

	if (is_fault(ex->vector) && ex->vector != X86_DB)
		s->rflags |= X86_FL_RF;
	if (ex->vector == X86_DB) {
		kvm_deliver_exception_payload(vcpu);
		s->dr7 &= ~BIT_ULL(13); /* GD */
	}
	kvm_deliver_exception_payload(vcpu);
	ex->pending = false;
	ex->injected = true;
	hand_over_exception(vcpu);
}

static void hand_over_nmi(struct kvm_vcpu *vcpu)
{
	x86s(vcpu)->inject = (struct x86_event){ .type = X86_EVENT_NMI, .vector = X86_NMI };
}

static void hand_over_interrupt(struct kvm_vcpu *vcpu)
{
	x86s(vcpu)->inject = (struct x86_event){
		.type = vcpu->arch.interrupt.soft ? X86_EVENT_SOFTINT : X86_EVENT_EXTINT, .vector = vcpu->arch.interrupt.nr };
}

/* What was handed over before and not delivered. */
static bool again(struct kvm_vcpu *vcpu)
{
	if (vcpu->arch.exception.injected)
		hand_over_exception(vcpu);
	else if (vcpu->arch.exception.pending)
		return false;
	else if (vcpu->arch.nmi_injected)
		hand_over_nmi(vcpu);
	else if (vcpu->arch.interrupt.injected)
		hand_over_interrupt(vcpu);
	else
		return false;
	return true;
}

static bool inject_smi(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.smi_pending || !hyp_x86_smi_allowed(vcpu->hyp))
		return false;
	vcpu->arch.smi_pending = false;
	vcpu->arch.smi_count++;
	kvm_enter_smm(vcpu);
	return true;
}

static bool inject_nmi(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.nmi_pending || !hyp_x86_nmi_allowed(vcpu->hyp))
		return false;
	vcpu->arch.nmi_pending--;
	vcpu->arch.nmi_injected = true;
	vcpu->stat->nmi_injections++;
	hand_over_nmi(vcpu);
	return true;
}

static bool inject_interrupt(struct kvm_vcpu *vcpu)
{
	int vector;

	if (!kvm_cpu_has_injectable_intr(vcpu) || !hyp_x86_irq_allowed(vcpu->hyp))
		return false;
	vector = kvm_cpu_get_interrupt(vcpu);
	if (vector < 0)
		return false;
	vcpu->arch.interrupt = (struct kvm_queued_interrupt){ .injected = true, .nr = (u8)vector };
	vcpu->stat->irq_injections++;
	hand_over_interrupt(vcpu);
	return true;
}

/* Without an in-kernel irqchip KVM_INTERRUPT's vector is "injected" already: no window is needed for it. */
static void ask_for_windows(struct kvm_vcpu *vcpu, bool want_window)
{
	struct x86_state *s = x86s(vcpu);
	bool block = vcpu->arch.guest_debug & KVM_GUESTDBG_BLOCKIRQ;

	s->want_smi_window = vcpu->arch.smi_pending && !is_smm(vcpu) && !block;
	s->want_nmi_window = vcpu->arch.nmi_pending && !block;
	s->want_irq_window = want_window ||
			     (lapic_in_kernel(vcpu) && !block && kvm_cpu_has_injectable_intr(vcpu));
}

/* Highest priority first. */
static void new_event(struct kvm_vcpu *vcpu)
{
	if (vcpu->arch.exception.pending)
		new_exception(vcpu);
	else if (!(vcpu->arch.guest_debug & KVM_GUESTDBG_BLOCKIRQ) && !inject_smi(vcpu) && !inject_nmi(vcpu))
		inject_interrupt(vcpu);
}

int kvm_inject_events(struct kvm_vcpu *vcpu, bool want_window)
{
	struct x86_state *s = x86s(vcpu);

	s->inject.type = X86_EVENT_NONE;
	if (!again(vcpu))
		new_event(vcpu);
	vcpu->arch.handed_over = s->inject.type;
	if (s->inject.type)
		kvm_trace(KVM_TRACE_IRQ, "inject", { "vcpu", (u64)vcpu->vcpu_id, NULL },
			  { "type", s->inject.type, NULL }, { "vector", s->inject.vector, NULL },
			  { "rip", s->rip, NULL });
	ask_for_windows(vcpu, want_window);
	return 0;
}

void kvm_complete_injection(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.handed_over)
		return;
	if (x86s(vcpu)->inject.type == X86_EVENT_NONE) {
		if (vcpu->arch.handed_over == X86_EVENT_EXCEPTION)
			vcpu->arch.exception.injected = false;
		else if (vcpu->arch.handed_over == X86_EVENT_NMI)
			vcpu->arch.nmi_injected = false;
		else
			vcpu->arch.interrupt.injected = false;
	}
	x86s(vcpu)->inject.type = X86_EVENT_NONE;
	vcpu->arch.handed_over = X86_EVENT_NONE;
	if (kvm_event_needs_reinjection(vcpu) || vcpu->arch.exception.pending)
		kvm_make_request(KVM_REQ_EVENT, vcpu);
}

bool kvm_event_needs_reinjection(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.exception.injected || vcpu->arch.interrupt.injected || vcpu->arch.nmi_injected;
}
