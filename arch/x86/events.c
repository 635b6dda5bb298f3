/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event and mode ioctls: VCPU_EVENTS, MP_STATE, INTERRUPT, NMI, GUEST_DEBUG, TRANSLATE, TPR reporting,
 * machine checks.
 */
#include <string.h>
#include "arch/x86/smm.h"

/* ---- KVM_GET/SET_VCPU_EVENTS -------------------------------------------------------------------- */

static bool exception_is_soft(u8 vector)
{
	return vector == X86_BP || vector == X86_OF;
}

static void get_exception(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	struct kvm_queued_exception *ex = &vcpu->arch.exception;

	/* Without exception payloads user space knows only "injected": apply the side effects first. */
	if (!vcpu->kvm->arch.exception_payload_enabled && ex->pending && ex->has_payload)
		kvm_deliver_exception_payload(vcpu);
	if (exception_is_soft(ex->vector)) {
		ev->exception.injected = ev->exception.pending = 0; /* re-executed */
	} else {
		ev->exception.injected = ex->injected;
		ev->exception.pending = ex->pending;
		if (!vcpu->kvm->arch.exception_payload_enabled)
			ev->exception.injected |= ex->pending;
	}
	ev->exception.nr = ex->vector;
	ev->exception.has_error_code = ex->has_error_code;
	ev->exception.error_code = ex->error_code;
	ev->exception_has_payload = ex->has_payload;
	ev->exception_payload = ex->payload;
}

void kvm_get_vcpu_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	struct x86_state *s = x86s(vcpu);

	memset(ev, 0, sizeof(*ev));
	if (kvm_check_request(KVM_REQ_SMI, vcpu))
		kvm_process_smi(vcpu);
	kvm_process_nmi(vcpu);
	get_exception(vcpu, ev);
	ev->interrupt.injected = vcpu->arch.interrupt.injected && !vcpu->arch.interrupt.soft;
	ev->interrupt.nr = vcpu->arch.interrupt.nr;
	ev->interrupt.shadow = s->shadow;
	ev->nmi.injected = vcpu->arch.nmi_injected;
	ev->nmi.pending = (u8)vcpu->arch.nmi_pending;
	ev->nmi.masked = s->nmi_blocked;
	ev->smi.smm = is_smm(vcpu);
	ev->smi.pending = vcpu->arch.smi_pending;
	ev->smi.smm_inside_nmi = vcpu->arch.smm_inside_nmi;
	ev->smi.latched_init = lapic_in_kernel(vcpu) && kvm_lapic_latched_init(vcpu);
	ev->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	if (vcpu->kvm->arch.exception_payload_enabled)
		ev->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->kvm->arch.triple_fault_event) {
		ev->triple_fault.pending = kvm_test_request(KVM_REQ_TRIPLE_FAULT, vcpu);
		ev->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

#define EVENT_FLAGS (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW | \
		     KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

static int check_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	if (ev->flags & ~EVENT_FLAGS)
		return -EINVAL;
	if (!(ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD)) {
		ev->exception.pending = 0;
		ev->exception_has_payload = 0;
	} else if (!vcpu->kvm->arch.exception_payload_enabled) {
		return -EINVAL;
	} else if (ev->exception.pending) {
		ev->exception.injected = 0;
	} else {
		ev->exception_has_payload = 0;
	}
	if ((ev->exception.injected || ev->exception.pending) &&
	    (ev->exception.nr > 31 || ev->exception.nr == X86_NMI))
		return -EINVAL;
	/* INITs are latched in SMM. */
	if ((ev->flags & KVM_VCPUEVENT_VALID_SMM) && (ev->smi.smm || ev->smi.pending) &&
	    vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return -EINVAL;
	if ((ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && !vcpu->kvm->arch.triple_fault_event)
		return -EINVAL;
	return 0;
}

static void set_nmi(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	kvm_process_nmi(vcpu);
	vcpu->arch.nmi_injected = ev->nmi.injected;
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		vcpu->arch.nmi_pending = 0;
		__atomic_store_n(&vcpu->arch.nmi_queued, ev->nmi.pending, __ATOMIC_SEQ_CST);
		if (ev->nmi.pending)
			kvm_make_request(KVM_REQ_NMI, vcpu);
	}
	x86s(vcpu)->nmi_blocked = ev->nmi.masked;
}

static void set_smi(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	if (is_smm(vcpu) != !!ev->smi.smm)
		kvm_smm_changed(vcpu, ev->smi.smm);
	vcpu->arch.smi_pending = ev->smi.pending;
	if (ev->smi.smm)
		vcpu->arch.smm_inside_nmi = ev->smi.smm_inside_nmi;
	if (lapic_in_kernel(vcpu))
		kvm_lapic_set_latched_init(vcpu, ev->smi.latched_init);
}

int kvm_set_vcpu_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	int ret = check_events(vcpu, ev);

	if (ret)
		return ret;
	vcpu->arch.exception = (struct kvm_queued_exception){
		.injected = ev->exception.injected, .pending = ev->exception.pending, .vector = ev->exception.nr,
		.has_error_code = ev->exception.has_error_code, .error_code = ev->exception.error_code,
		.has_payload = ev->exception_has_payload, .payload = ev->exception_payload };
	vcpu->arch.interrupt = (struct kvm_queued_interrupt){ .injected = ev->interrupt.injected,
							      .nr = ev->interrupt.nr, .soft = ev->interrupt.soft };
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW)
		x86s(vcpu)->shadow = ev->interrupt.shadow & (X86_SHADOW_STI | X86_SHADOW_MOV_SS);
	set_nmi(vcpu, ev);
	if ((ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && lapic_in_kernel(vcpu))
		vcpu->arch.sipi_vector = (u8)ev->sipi_vector;
	if (ev->flags & KVM_VCPUEVENT_VALID_SMM)
		set_smi(vcpu, ev);
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		if (ev->triple_fault.pending)
			kvm_make_request(KVM_REQ_TRIPLE_FAULT, vcpu);
		else
			kvm_clear_request(KVM_REQ_TRIPLE_FAULT, vcpu);
	}
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 0;
}

/* ---- MP_STATE -------------------------------------------------------------------------------------- */

static long ioctl_get_mp_state(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	struct kvm_mp_state *mp = data;
	int ret = lapic_in_kernel(vcpu) ? kvm_apic_accept_events(vcpu) : 0;
	u32 state = vcpu->arch.mp_state;

	if (ret < 0)
		return ret;
	if ((state == KVM_MP_STATE_HALTED || state == KVM_MP_STATE_AP_RESET_HOLD) &&
	    __atomic_load_n(&vcpu->arch.pv_unhalted, __ATOMIC_RELAXED))
		state = KVM_MP_STATE_RUNNABLE;
	mp->mp_state = state;
	return 0;
}

static long ioctl_set_mp_state(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	const struct kvm_mp_state *mp = data;

	switch (mp->mp_state) {
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_AP_RESET_HOLD:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!lapic_in_kernel(vcpu))
			return -EINVAL;
		break;
	case KVM_MP_STATE_RUNNABLE:
		break;
	default:
		return -EINVAL;
	}
	/* An SMI goes before INIT, and SMM holds INIT off. */
	if ((!kvm_apic_init_sipi_allowed(vcpu) || vcpu->arch.smi_pending) &&
	    (mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED || mp->mp_state == KVM_MP_STATE_INIT_RECEIVED))
		return -EINVAL;
	if (mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->arch.mp_state = KVM_MP_STATE_INIT_RECEIVED;
		kvm_lapic_set_pending_sipi(vcpu);
	} else {
		vcpu->arch.mp_state = mp->mp_state;
	}
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 0;
}

/* ---- interrupts from user space ------------------------------------------------------------------------ */

static long ioctl_interrupt(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	const struct kvm_interrupt *irq = data;

	if (irq->irq >= 256)
		return -EINVAL;
	if (!irqchip_in_kernel(vcpu->kvm)) {
		vcpu->arch.interrupt = (struct kvm_queued_interrupt){ .injected = true, .nr = (u8)irq->irq };
		kvm_make_request(KVM_REQ_EVENT, vcpu);
		return 0;
	}
	if (pic_in_kernel(vcpu->kvm))
		return -ENXIO;
	if (vcpu->arch.pending_external_vector != -1)
		return -EEXIST;
	vcpu->arch.pending_external_vector = (int)irq->irq;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 0;
}

static long ioctl_nmi(void *obj, void *data, unsigned long arg)
{
	kvm_inject_nmi(obj);
	return 0;
}

static long ioctl_smi(void *obj, void *data, unsigned long arg)
{
	kvm_inject_smi(obj);
	return 0;
}

/* ---- KVM_SET_GUEST_DEBUG ---- */

static void apply_guest_debug(struct kvm_vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	struct x86_state *s = x86s(vcpu);
	u32 control = dbg->control & KVM_GUESTDBG_ENABLE ? dbg->control : 0;

	vcpu->arch.guest_debug = control;
	s->guest_debug = (control & KVM_GUESTDBG_SINGLESTEP ? X86_GDBG_SINGLESTEP : 0) |
			 (control & KVM_GUESTDBG_USE_SW_BP ? X86_GDBG_SW_BP : 0) |
			 (control & KVM_GUESTDBG_USE_HW_BP ? X86_GDBG_HW_BP : 0);
	for (int i = 0; i < 4; i++)
		s->gdbg_dr[i] = dbg->arch.debugreg[i];
	s->gdbg_dr7 = dbg->arch.debugreg[7];
	hyp_x86_state_changed(vcpu->hyp);
}

static long ioctl_set_guest_debug(void *obj, void *data, unsigned long arg)
{
	const struct kvm_guest_debug *dbg = data;
	struct kvm_vcpu *vcpu = obj;

	if (dbg->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (vcpu->arch.exception.pending)
			return -EBUSY;
		kvm_queue_exception(vcpu, dbg->control & KVM_GUESTDBG_INJECT_DB ? X86_DB : X86_BP);
	}
	apply_guest_debug(vcpu, dbg);
	return 0;
}

/* ---- the rest ---- */

static long ioctl_translate(void *obj, void *data, unsigned long arg)
{
	struct kvm_translation *t = data;
	struct kvm_vcpu *vcpu = obj;
	bool writeable = false, user = false;
	gpa_t gpa = 0;
	int err = hyp_x86_translate(vcpu->hyp, t->linear_address, &gpa, &writeable, &user);

	t->physical_address = err ? ~0ull : gpa;
	t->valid = !err;
	t->writeable = 1;
	t->usermode = 0; /* Linux answers these two constants */
	return 0;
}

static long ioctl_tpr_access_reporting(void *obj, void *data, unsigned long arg)
{
	struct kvm_tpr_access_ctl *tac = data;
	struct kvm_vcpu *vcpu = obj;

	if (tac->flags)
		return -EINVAL;
	vcpu->arch.tpr_access_reporting = tac->enabled;
	return 0;
}

static long ioctl_set_vapic_addr(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	const struct kvm_vapic_addr *va = data;

	return lapic_in_kernel(vcpu) ? kvm_lapic_set_vapic_addr(vcpu, va->vapic_addr) : -EINVAL;
}

static long ioctl_get_lapic(void *obj, void *data, unsigned long arg)
{
	return lapic_in_kernel(obj) ? kvm_apic_get_state(obj, data) : -EINVAL;
}

static long ioctl_set_lapic(void *obj, void *data, unsigned long arg)
{
	return lapic_in_kernel(obj) ? kvm_apic_set_state(obj, data) : -EINVAL;
}

static long ioctl_setup_mce(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_setup_mce(obj, *(u64 *)data);
}

static long ioctl_set_mce(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_set_mce(obj, data);
}

static long ioctl_get_events(void *obj, void *data, unsigned long arg)
{
	kvm_get_vcpu_events(obj, data);
	return 0;
}

static long ioctl_set_events(void *obj, void *data, unsigned long arg)
{
	return kvm_set_vcpu_events(obj, data);
}

const struct kvm_ioctl_row kvm_event_ioctls[] = {
	IOCTL_ROW(KVM_GET_VCPU_EVENTS, ARG_OUT, ioctl_get_events),
	IOCTL_ROW(KVM_SET_VCPU_EVENTS, ARG_IN, ioctl_set_events),
	IOCTL_ROW(KVM_GET_MP_STATE, ARG_OUT, ioctl_get_mp_state),
	IOCTL_ROW(KVM_SET_MP_STATE, ARG_IN, ioctl_set_mp_state),
	IOCTL_ROW(KVM_INTERRUPT, ARG_IN, ioctl_interrupt),
	IOCTL_ROW(KVM_NMI, ARG_PLAIN, ioctl_nmi),
	IOCTL_ROW(KVM_SMI, ARG_PLAIN, ioctl_smi),
	IOCTL_ROW(KVM_SET_GUEST_DEBUG, ARG_IN, ioctl_set_guest_debug),
	IOCTL_ROW(KVM_TRANSLATE, ARG_IN | ARG_OUT, ioctl_translate),
	IOCTL_ROW(KVM_TPR_ACCESS_REPORTING, ARG_IN | ARG_OUT, ioctl_tpr_access_reporting),
	IOCTL_ROW(KVM_SET_VAPIC_ADDR, ARG_IN, ioctl_set_vapic_addr),
	IOCTL_ROW(KVM_GET_LAPIC, ARG_OUT, ioctl_get_lapic),
	IOCTL_ROW(KVM_SET_LAPIC, ARG_IN, ioctl_set_lapic),
	IOCTL_ROW(KVM_X86_SETUP_MCE, ARG_IN, ioctl_setup_mce),
	IOCTL_ROW(KVM_X86_SET_MCE, ARG_IN, ioctl_set_mce),
};
IOCTL_TABLE('C', kvm_event_ioctls);
const size_t kvm_nr_event_ioctls = ARRAY_SIZE(kvm_event_ioctls);
