/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt's life inside one local APIC (SDM vol. 3, 11.8 and 11.5):
 *
 *	accepted	kvm_apic_set_irq: its IRR bit is set, TMR says edge or level.   any thread
 *	pending		kvm_apic_has_interrupt: highest IRR, if its class beats PPR.    own thread
 *	in service	kvm_apic_ack_interrupt: from IRR to ISR, PPR rises.             own thread
 *	ended		apic_set_eoi: highest ISR cleared, PPR falls, IOAPIC told.      own thread
 *
 * PPR is the greater of TPR and the class of the highest ISR vector. A class is vector bits 7:4.
 *
 * The only thing an accepting thread changes is IRR/TMR bits and pending_events, by atomic
 * read-modify-write, followed by KVM_REQ_EVENT and a kick. Setting the bit is sequentially consistent
 * and comes before the request, so a vCPU that tests its requests last before entry sees it.
 *
 * PV EOI: before entry, where exactly one vector is in service, nothing is pending and no IOAPIC needs
 * the EOI, KVM sets a bit in guest memory. The guest ends the interrupt by clearing that bit instead of
 * an exit; after the next exit KVM looks and does the EOI for it.
 */
#include <stdlib.h>

#include "arch/x86/hyperv.h"
#include "arch/x86/ioapic.h"
#include "arch/x86/lapic.h"
#include "arch/x86/smm.h"
#include "uapi/kuse_kvm.h"

#define KVM_MSR_PV_ENABLED 1u /* bit 0 of MSR_KVM_PV_EOI_EN */
#define PV_EOI_BIT 1u         /* KVM_PV_EOI_ENABLED in the guest's word */
#define KVM_APIC_CHECK_VAPIC 0
#define VECTOR_FIRST_VALID 16

/* ---- IRR, ISR, PPR --------------------------------------------------------------------------- */

static int lapic_highest(struct kvm_lapic *apic, u32 reg)
{
	for (int vector = 224; vector >= 0; vector -= 32) {
		u32 word = __atomic_load_n(lapic_vector_word(apic, reg, vector), __ATOMIC_RELAXED);

		if (word)
			return vector + 31 - __builtin_clz(word);
	}
	return -1;
}

static void lapic_or_vector(struct kvm_lapic *apic, u32 reg, u8 vector)
{
	__atomic_fetch_or(lapic_vector_word(apic, reg, vector), 1u << vector % 32, __ATOMIC_SEQ_CST);
}

static void lapic_clear_vector(struct kvm_lapic *apic, u32 reg, u8 vector)
{
	__atomic_fetch_and(lapic_vector_word(apic, reg, vector), ~(1u << vector % 32), __ATOMIC_SEQ_CST);
}

/* Returns the new PPR; *fell tells that it has dropped. */
static u32 lapic_calc_ppr(struct kvm_lapic *apic, bool *fell)
{
	u32 old = kvm_lapic_get_reg(apic, APIC_PROCPRI);
	u32 tpr = kvm_lapic_get_reg(apic, APIC_TASKPRI) & 0xff;
	int isr = lapic_highest(apic, APIC_ISR);
	u32 class = isr < 0 ? 0 : isr & 0xf0;
	u32 ppr = (tpr & 0xf0) >= class ? tpr : class;

	if (ppr != old)
		kvm_lapic_set_reg(apic, APIC_PROCPRI, ppr);
	*fell = ppr < old;
	return ppr;
}

static int lapic_deliverable(struct kvm_lapic *apic, u32 ppr)
{
	int irr = lapic_highest(apic, APIC_IRR);

	return irr >= 0 && (u32)(irr & 0xf0) > (ppr & 0xf0) ? irr : -1;
}

void apic_update_ppr(struct kvm_lapic *apic)
{
	bool fell;
	u32 ppr = lapic_calc_ppr(apic, &fell);

	if (fell && lapic_deliverable(apic, ppr) >= 0)
		kvm_make_request(KVM_REQ_EVENT, apic->vcpu);
}

int kvm_apic_has_interrupt(struct kvm_vcpu *vcpu)
{
	bool fell;

	if (!kvm_apic_present(vcpu))
		return -1;
	return lapic_deliverable(vcpu->arch.apic, lapic_calc_ppr(vcpu->arch.apic, &fell));
}

int kvm_lapic_find_highest_irr(struct kvm_vcpu *vcpu)
{
	return lapic_highest(vcpu->arch.apic, APIC_IRR);
}

void kvm_apic_ack_interrupt(struct kvm_vcpu *vcpu, int vector)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	bool fell;

	lapic_clear_vector(apic, APIC_IRR, vector);
	if (kvm_hv_synic_auto_eoi_set(vcpu, (u8)vector)) {
		apic_update_ppr(apic); /* never in service: another one may be next */
		return;
	}
	lapic_or_vector(apic, APIC_ISR, vector);
	lapic_calc_ppr(apic, &fell);
}

bool kvm_apic_pending_eoi(struct kvm_vcpu *vcpu, int vector)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	return lapic_test_vector(apic, APIC_ISR, vector) || lapic_test_vector(apic, APIC_IRR, vector);
}

/* ---- acceptance (any thread) ----------------------------------------------------------------- */

static void lapic_notify(struct kvm_vcpu *vcpu)
{
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	kvm_vcpu_kick(vcpu);
}

/* Vectors below 16 are illegal for the APIC (SDM 11.5.2): nothing is delivered. */
static int lapic_accept_fixed(struct kvm_lapic *apic, const struct kvm_lapic_irq *irq)
{
	u8 vector = irq->vector;

	if (irq->trig_mode && !irq->level)
		return 0;
	if (!kvm_apic_hw_enabled(apic) || !kvm_apic_sw_enabled(apic) || vector < VECTOR_FIRST_VALID)
		return 0;
	if (lapic_test_vector(apic, APIC_TMR, vector) != irq->trig_mode) {
		if (irq->trig_mode)
			lapic_or_vector(apic, APIC_TMR, vector);
		else
			lapic_clear_vector(apic, APIC_TMR, vector);
	}
	lapic_or_vector(apic, APIC_IRR, vector);
	lapic_notify(apic->vcpu);
	return 1;
}

/* An INIT level de-assert has no meaning since the Pentium 4 (SDM 11.6.1). A new INIT drops a SIPI
 * that has not been taken. */
static int lapic_accept_init(struct kvm_lapic *apic, const struct kvm_lapic_irq *irq)
{
	if (irq->trig_mode && !irq->level)
		return 0;
	__atomic_store_n(&apic->pending_events, BIT(KVM_APIC_INIT), __ATOMIC_SEQ_CST);
	lapic_notify(apic->vcpu);
	return 1;
}

static int lapic_accept_sipi(struct kvm_lapic *apic, const struct kvm_lapic_irq *irq)
{
	__atomic_store_n(&apic->sipi_vector, (u8)irq->vector, __ATOMIC_RELAXED);
	__atomic_fetch_or(&apic->pending_events, BIT(KVM_APIC_SIPI), __ATOMIC_SEQ_CST);
	lapic_notify(apic->vcpu);
	return 1;
}

int kvm_apic_set_irq(struct kvm_vcpu *vcpu, const struct kvm_lapic_irq *irq)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	switch (irq->delivery_mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		return lapic_accept_fixed(apic, irq);
	case APIC_DM_NMI:
		kvm_inject_nmi(vcpu);
		kvm_vcpu_kick(vcpu);
		return 1;
	case APIC_DM_SMI:
		kvm_inject_smi(vcpu);
		kvm_vcpu_kick(vcpu);
		return 1;
	case APIC_DM_INIT:
		return lapic_accept_init(apic, irq);
	case APIC_DM_STARTUP:
		return lapic_accept_sipi(apic, irq);
	case APIC_DM_REMRD: /* only KVM_HC_KICK_CPU uses it */
		__atomic_store_n(&vcpu->arch.pv_unhalted, true, __ATOMIC_SEQ_CST);
		lapic_notify(vcpu);
		return 1;
	case APIC_DM_EXTINT: /* the PIC asks kvm_apic_accept_pic_intr instead */
	default:
		return 0;
	}
}

int kvm_apic_local_deliver(struct kvm_lapic *apic, u32 lvt_reg)
{
	u32 lvt = kvm_lapic_get_reg(apic, lvt_reg);
	struct kvm_lapic_irq irq = {
		.vector = lvt & APIC_VECTOR_MASK,
		.delivery_mode = lvt & APIC_MODE_MASK,
		.level = true,
		.trig_mode = lvt & APIC_LVT_LEVEL_TRIGGER,
	};

	if (!kvm_apic_hw_enabled(apic) || lvt & APIC_LVT_MASKED)
		return 0;
	return kvm_apic_set_irq(apic->vcpu, &irq);
}

void kvm_apic_nmi_wd_deliver(struct kvm_vcpu *vcpu)
{
	if (vcpu->arch.apic)
		kvm_apic_local_deliver(vcpu->arch.apic, APIC_LVT0);
}

bool kvm_apic_accept_pic_intr(struct kvm_vcpu *vcpu)
{
	u32 lvt0;

	if (!kvm_apic_present(vcpu))
		return true;
	lvt0 = kvm_lapic_get_reg(vcpu->arch.apic, APIC_LVT0);
	return (lvt0 & (APIC_LVT_MASKED | APIC_MODE_MASK)) == APIC_DM_EXTINT;
}

/* ---- EOI ------------------------------------------------------------------------------------- */

static bool lapic_ioapic_handles(struct kvm_vcpu *vcpu, u8 vector)
{
	if (irqchip_kernel(vcpu->kvm))
		return kvm_ioapic_handles_vector(vcpu->kvm, vector);
	return vcpu->arch.ioapic_handled_vectors[vector / 64] >> vector % 64 & 1;
}

static void lapic_broadcast_eoi(struct kvm_lapic *apic, u8 vector)
{
	struct kvm_vcpu *vcpu = apic->vcpu;

	if (!lapic_ioapic_handles(vcpu, vector))
		return;
	if (irqchip_split(vcpu->kvm)) {
		vcpu->arch.pending_ioapic_eoi = vector;
		kvm_make_request(KVM_REQ_IOAPIC_EOI_EXIT, vcpu);
		return;
	}
	kvm_ioapic_update_eoi(vcpu, vector, lapic_test_vector(apic, APIC_TMR, vector));
}

/* Ends the highest vector in service, if there is one. */
void apic_set_eoi(struct kvm_lapic *apic)
{
	int vector = lapic_highest(apic, APIC_ISR);

	if (vector < 0)
		return;
	lapic_clear_vector(apic, APIC_ISR, vector);
	apic_update_ppr(apic);
	if (kvm_hv_synic_has_vector(apic->vcpu, (u8)vector))
		kvm_hv_synic_send_eoi(apic->vcpu, (u8)vector);
	lapic_broadcast_eoi(apic, vector);
	kvm_make_request(KVM_REQ_EVENT, apic->vcpu);
}

/* ---- PV EOI and the TPR shadow: around guest entry ------------------------------------------- */

int kvm_lapic_set_pv_eoi(struct kvm_vcpu *vcpu, u64 data)
{
	gpa_t gpa = data & ~(u64)KVM_MSR_PV_ENABLED;
	u8 probe;

	if (gpa & 3)
		return 1;
	if (data & KVM_MSR_PV_ENABLED) {
		if (kvm_read_guest(vcpu->kvm, gpa, &probe, 1))
			return 1;
		vcpu->arch.pv_eoi.gpa = gpa;
	}
	vcpu->arch.pv_eoi.msr_val = data;
	return 0;
}

/* True where the guest has cleared its bit, that is, has ended the interrupt. Takes the bit back. */
static bool pv_eoi_taken(struct kvm_vcpu *vcpu)
{
	gpa_t gpa = vcpu->arch.pv_eoi.gpa;
	u8 val;

	vcpu->arch.pv_eoi.active = false;
	if (!(vcpu->arch.pv_eoi.msr_val & KVM_MSR_PV_ENABLED))
		return false;
	if (kvm_read_guest(vcpu->kvm, gpa, &val, 1))
		return true;
	if (!(val & PV_EOI_BIT))
		return true;
	val &= ~PV_EOI_BIT;
	return kvm_write_guest(vcpu->kvm, gpa, &val, 1) != 0;
}

void kvm_lapic_sync_from_vapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	u32 vapic;

	if (!apic)
		return;
	if (vcpu->arch.pv_eoi.active && pv_eoi_taken(vcpu))
		apic_set_eoi(apic);
	if (!(vcpu->arch.apic_attention & BIT(KVM_APIC_CHECK_VAPIC)))
		return;
	if (kvm_read_guest(vcpu->kvm, vcpu->arch.vapic_addr, &vapic, 4))
		return;
	kvm_lapic_set_reg(apic, APIC_TASKPRI, vapic & 0xff);
	apic_update_ppr(apic);
}

static void pv_eoi_offer(struct kvm_vcpu *vcpu, int irr, int isr)
{
	u8 val = PV_EOI_BIT;

	if (!(vcpu->arch.pv_eoi.msr_val & KVM_MSR_PV_ENABLED) || irr >= 0 || isr < 0 ||
	    lapic_ioapic_handles(vcpu, isr))
		return;
	if (!kvm_write_guest(vcpu->kvm, vcpu->arch.pv_eoi.gpa, &val, 1))
		vcpu->arch.pv_eoi.active = true;
}

void kvm_lapic_sync_to_vapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	int irr, isr;
	u32 vapic;

	if (!apic || !(vcpu->arch.pv_eoi.msr_val | vcpu->arch.apic_attention))
		return;
	if (vcpu->arch.pv_eoi.active) /* the last entry was given up */
		kvm_lapic_sync_from_vapic(vcpu);
	irr = lapic_highest(apic, APIC_IRR);
	isr = lapic_highest(apic, APIC_ISR);
	pv_eoi_offer(vcpu, irr, isr);
	if (!(vcpu->arch.apic_attention & BIT(KVM_APIC_CHECK_VAPIC)))
		return;
	vapic = (kvm_lapic_get_reg(apic, APIC_TASKPRI) & 0xff) | (MAX(isr, 0) & 0xf0) << 8 |
		(u32)MAX(irr, 0) << 24;
	kvm_write_guest(vcpu->kvm, vcpu->arch.vapic_addr, &vapic, 4);
}

int kvm_lapic_set_vapic_addr(struct kvm_vcpu *vcpu, gpa_t vapic_addr)
{
	u32 probe;

	if (vapic_addr && kvm_read_guest(vcpu->kvm, vapic_addr, &probe, 4))
		return -EINVAL;
	vcpu->arch.apic_attention = vapic_addr ? BIT(KVM_APIC_CHECK_VAPIC) : 0;
	vcpu->arch.vapic_addr = vapic_addr;
	return 0;
}

/* ---- INIT and SIPI --------------------------------------------------------------------------- */

static unsigned long lapic_events(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.apic ? __atomic_load_n(&vcpu->arch.apic->pending_events, __ATOMIC_ACQUIRE) : 0;
}

bool kvm_apic_has_pending_init_or_sipi(struct kvm_vcpu *vcpu)
{
	return lapic_events(vcpu);
}

/* INIT waits until RSM. */
bool kvm_apic_init_sipi_allowed(struct kvm_vcpu *vcpu)
{
	return !is_smm(vcpu);
}

bool kvm_lapic_latched_init(struct kvm_vcpu *vcpu)
{
	return lapic_events(vcpu) & BIT(KVM_APIC_INIT);
}

void kvm_lapic_set_pending_sipi(struct kvm_vcpu *vcpu)
{
	__atomic_fetch_or(&vcpu->arch.apic->pending_events, BIT(KVM_APIC_SIPI), __ATOMIC_SEQ_CST);
}

void kvm_lapic_set_latched_init(struct kvm_vcpu *vcpu, bool on)
{
	if (on)
		__atomic_fetch_or(&vcpu->arch.apic->pending_events, BIT(KVM_APIC_INIT), __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&vcpu->arch.apic->pending_events, ~BIT(KVM_APIC_INIT), __ATOMIC_SEQ_CST);
}

static bool lapic_take_event(struct kvm_lapic *apic, unsigned event)
{
	return __atomic_fetch_and(&apic->pending_events, ~BIT(event), __ATOMIC_SEQ_CST) & BIT(event);
}

/* A SIPI counts only while the CPU waits for it; at any other time it is dropped. */
int kvm_apic_accept_events(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!kvm_apic_has_pending_init_or_sipi(vcpu))
		return 0;
	if (!kvm_apic_init_sipi_allowed(vcpu)) {
		lapic_take_event(apic, KVM_APIC_SIPI);
		return 0;
	}
	if (lapic_take_event(apic, KVM_APIC_INIT)) {
		kvm_vcpu_reset(vcpu, true);
		vcpu->arch.mp_state = kvm_vcpu_is_bsp(vcpu) ? KVM_MP_STATE_RUNNABLE
							    : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (lapic_take_event(apic, KVM_APIC_SIPI) && vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		kvm_vcpu_deliver_sipi_vector(vcpu, __atomic_load_n(&apic->sipi_vector, __ATOMIC_RELAXED));
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	}
	return 0;
}
