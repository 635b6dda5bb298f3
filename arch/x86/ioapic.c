/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82093AA I/O APIC: 24 pins, each with a redirection table entry that says which vector is sent to
 * which local APICs. Source: Intel 82093AA datasheet (290566).
 *
 * Edge pins send on a rising line. Level pins send while the line is high and remote IRR is clear;
 * sending sets remote IRR, and the EOI of the vector clears it. A line still high then sends again.
 *
 * Example, a level pin shared by two devices: A raises, the entry sends, remote IRR = 1. B raises:
 * nothing. The handler quiets A and ends the interrupt: remote IRR = 0, the line is still high because
 * of B (irq_states keeps one bit per source), so it sends again.
 *
 * As in Linux (6.12): polarity is ignored (lines are active high), the base address is fixed, writing an
 * entry as edge-triggered clears remote IRR (guests without an EOI register rely on it), and after
 * EOI_STORM re-injections without a pause the next one comes 10 ms later, so that a guest that cannot
 * quiet the device still makes progress.
 *
 * Locks: ioapic->lock is held while a message is sent to local APICs (bits, request, kick; no further
 * lock) and while mask notifiers run (atomics only). Ack notifiers run without it: they may lower
 * or raise lines. They run before remote IRR is cleared, so that a line lowered by one of them (a
 * resampling irqfd) does not send once more.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/ioapic.h"
#include "arch/x86/irq_comm.h"
#include "arch/x86/lapic.h"

#define IOAPIC_VERSION_ID 0x11u
#define IOAPIC_REG_SELECT 0x00 /* memory-mapped: index of an indirect register, and its window */
#define IOAPIC_REG_WINDOW 0x10
#define IOAPIC_REG_APIC_ID 0x00 /* indirect */
#define IOAPIC_REG_VERSION 0x01
#define IOAPIC_REG_ARB_ID 0x02
#define IOAPIC_REG_REDIR 0x10 /* entry n: low half at 0x10 + 2n, high half at 0x11 + 2n */
#define RTE_READ_ONLY (IOAPIC_RTE_REMOTE_IRR | IOAPIC_RTE_PENDING)
#define EOI_STORM 10000
#define EOI_STORM_PAUSE_NS 10000000ull

static void ioapic_lock(struct kvm_ioapic *ioapic)
{
	pthread_mutex_lock(&ioapic->lock);
}

static void ioapic_unlock(struct kvm_ioapic *ioapic)
{
	pthread_mutex_unlock(&ioapic->lock);
}

/* ---- sending --------------------------------------------------------------------------------- */

static struct kvm_lapic_irq ioapic_message(u64 rte)
{
	return (struct kvm_lapic_irq){
		.vector = rte & IOAPIC_RTE_VECTOR,
		.delivery_mode = rte & IOAPIC_RTE_DELIVERY_MODE,
		.dest_mode = rte & IOAPIC_RTE_LOGICAL,
		.level = true,
		.trig_mode = rte & IOAPIC_RTE_LEVEL,
		.shorthand = APIC_DEST_NOSHORT,
		.dest_id = rte >> IOAPIC_RTE_DEST_SHIFT,
	};
}

/* Sends a pin's message if its entry lets it: as kvm_irq_delivery_to_apic, -1 where it does not. */
static int ioapic_service(struct kvm_ioapic *ioapic, unsigned pin)
{
	u64 *rte = &ioapic->redirtbl[pin];
	struct kvm_lapic_irq irq = ioapic_message(*rte);
	int ret;

	if (*rte & IOAPIC_RTE_MASK || (irq.trig_mode && *rte & IOAPIC_RTE_REMOTE_IRR))
		return -1;
	if (!irq.trig_mode)
		ioapic->irr_delivered |= 1u << pin;
	ret = kvm_irq_delivery_to_apic(ioapic->kvm, NULL, &irq);
	if (ret && irq.trig_mode)
		*rte |= IOAPIC_RTE_REMOTE_IRR;
	return ret;
}

static int ioapic_set_pin(struct kvm_ioapic *ioapic, unsigned pin, bool level)
{
	u32 bit = 1u << pin;
	bool again = ioapic->irr & bit;

	if (!level) {
		ioapic->irr &= ~bit;
		return 1;
	}
	ioapic->irr |= bit;
	if (!(ioapic->redirtbl[pin] & IOAPIC_RTE_LEVEL)) {
		ioapic->irr_delivered &= ~bit;
		if (again)
			return 0;
	}
	return ioapic_service(ioapic, pin);
}

int kvm_ioapic_set_irq(struct kvm_ioapic *ioapic, int pin, int irq_source_id, int level)
{
	int ret;

	ioapic_lock(ioapic);
	level = __kvm_irq_line_state(&ioapic->irq_states[pin], irq_source_id, level);
	ret = ioapic_set_pin(ioapic, pin, level);
	ioapic_unlock(ioapic);
	return ret;
}

void kvm_ioapic_clear_all(struct kvm_ioapic *ioapic, int irq_source_id)
{
	ioapic_lock(ioapic);
	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		ioapic->irq_states[pin] &= ~BIT(irq_source_id);
	ioapic_unlock(ioapic);
}

/* ---- EOI ------------------------------------------------------------------------------------- */

static bool ioapic_wants_resend(const struct kvm_ioapic *ioapic, unsigned pin)
{
	return ioapic->irr >> pin & 1 &&
	       (ioapic->redirtbl[pin] & (IOAPIC_RTE_LEVEL | IOAPIC_RTE_REMOTE_IRR)) == IOAPIC_RTE_LEVEL;
}

static void ioapic_eoi_inject_fn(struct kvm_timer *timer, void *ctx)
{
	struct kvm_ioapic *ioapic = ctx;

	ioapic_lock(ioapic);
	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		if (ioapic_wants_resend(ioapic, pin))
			ioapic_service(ioapic, pin);
	ioapic_unlock(ioapic);
}

static void ioapic_end_level(struct kvm_ioapic *ioapic, unsigned pin)
{
	u64 *rte = &ioapic->redirtbl[pin];

	*rte &= ~IOAPIC_RTE_REMOTE_IRR;
	if (*rte & IOAPIC_RTE_MASK || !ioapic_wants_resend(ioapic, pin)) {
		ioapic->irq_eoi[pin] = 0;
	} else if (++ioapic->irq_eoi[pin] == EOI_STORM) {
		ioapic->irq_eoi[pin] = 0;
		kvm_timer_start(&ioapic->eoi_inject, kvm_clock_monotonic_ns() + EOI_STORM_PAUSE_NS);
	} else {
		ioapic_service(ioapic, pin);
	}
}

static u32 ioapic_pins_of_vector(struct kvm_ioapic *ioapic, u8 vector)
{
	u32 pins = 0;

	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		if ((ioapic->redirtbl[pin] & IOAPIC_RTE_VECTOR) == vector)
			pins |= 1u << pin;
	return pins;
}

void kvm_ioapic_update_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level)
{
	struct kvm_ioapic *ioapic = vcpu->kvm->arch.vioapic;
	bool directed = kvm_lapic_get_reg(vcpu->arch.apic, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI;
	u32 pins;

	ioapic_lock(ioapic);
	pins = ioapic_pins_of_vector(ioapic, vector);
	ioapic_unlock(ioapic);
	for (u32 m = pins; m; m &= m - 1)
		kvm_notify_acked_irq(ioapic->kvm, KVM_IRQCHIP_IOAPIC, __builtin_ctz(m));
	if (!level || directed)
		return;
	ioapic_lock(ioapic);
	for (u32 m = pins; m; m &= m - 1)
		ioapic_end_level(ioapic, __builtin_ctz(m));
	ioapic_unlock(ioapic);
}

/* ---- registers ------------------------------------------------------------------------------- */

static void ioapic_update_vectors(struct kvm_ioapic *ioapic)
{
	u64 vectors[4] = { 0 };

	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		u8 vector = ioapic->redirtbl[pin] & IOAPIC_RTE_VECTOR;

		vectors[vector / 64] |= 1ull << vector % 64;
	}
	for (unsigned i = 0; i < 4; i++)
		__atomic_store_n(&ioapic->vectors[i], vectors[i], __ATOMIC_RELAXED);
}

static u32 ioapic_read_indirect(struct kvm_ioapic *ioapic)
{
	u32 pin = (ioapic->ioregsel - IOAPIC_REG_REDIR) >> 1;
	u64 rte;

	switch (ioapic->ioregsel) {
	case IOAPIC_REG_VERSION:
		return (KVM_IOAPIC_NUM_PINS - 1) << 16 | IOAPIC_VERSION_ID;
	case IOAPIC_REG_APIC_ID:
	case IOAPIC_REG_ARB_ID:
		return (ioapic->id & 0xf) << 24;
	}
	rte = pin < KVM_IOAPIC_NUM_PINS ? ioapic->redirtbl[pin] : ~0ull;
	return ioapic->ioregsel & 1 ? rte >> 32 : rte;
}

/* The new value of an entry of which one half is written. */
static u64 ioapic_rte_written(u64 old, bool high, u32 val)
{
	u64 rte = high ? (u32)old | (u64)val << 32 : (old & ~0xffffffffull) | val;

	rte = (rte & ~RTE_READ_ONLY) | (old & RTE_READ_ONLY);
	return rte & IOAPIC_RTE_LEVEL ? rte : rte & ~IOAPIC_RTE_REMOTE_IRR;
}

static void ioapic_write_redir(struct kvm_ioapic *ioapic, unsigned pin, bool high, u32 val)
{
	u64 old = ioapic->redirtbl[pin], rte = ioapic_rte_written(old, high, val);

	ioapic->redirtbl[pin] = rte;
	ioapic_update_vectors(ioapic);
	if ((old ^ rte) & IOAPIC_RTE_MASK)
		kvm_fire_mask_notifiers(ioapic->kvm, KVM_IRQCHIP_IOAPIC, pin, rte & IOAPIC_RTE_MASK);
	if (!(rte & IOAPIC_RTE_MASK) && ioapic_wants_resend(ioapic, pin))
		ioapic_service(ioapic, pin);
}

static void ioapic_write_indirect(struct kvm_ioapic *ioapic, u32 val)
{
	u32 pin = (ioapic->ioregsel - IOAPIC_REG_REDIR) >> 1;

	if (ioapic->ioregsel == IOAPIC_REG_APIC_ID)
		ioapic->id = val >> 24 & 0xf;
	else if (ioapic->ioregsel >= IOAPIC_REG_REDIR && pin < KVM_IOAPIC_NUM_PINS)
		ioapic_write_redir(ioapic, pin, ioapic->ioregsel & 1, val);
}

static int ioapic_mmio_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len, void *data)
{
	struct kvm_ioapic *ioapic = container_of(dev, struct kvm_ioapic, dev);
	u64 val = 0;

	ioapic_lock(ioapic);
	if ((addr & 0xff) == IOAPIC_REG_SELECT)
		val = ioapic->ioregsel;
	else if ((addr & 0xff) == IOAPIC_REG_WINDOW)
		val = ioapic_read_indirect(ioapic);
	ioapic_unlock(ioapic);
	memset(data, 0, len);
	memcpy(data, &val, MIN(len, 8));
	return 0;
}

static int ioapic_mmio_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len,
			     const void *data)
{
	struct kvm_ioapic *ioapic = container_of(dev, struct kvm_ioapic, dev);
	u32 val = 0;

	memcpy(&val, data, MIN(len, 4));
	ioapic_lock(ioapic);
	if ((addr & 0xff) == IOAPIC_REG_SELECT)
		ioapic->ioregsel = val & 0xff;
	else if ((addr & 0xff) == IOAPIC_REG_WINDOW)
		ioapic_write_indirect(ioapic, val);
	ioapic_unlock(ioapic);
	return 0;
}

static const struct kvm_io_device_ops ioapic_mmio_ops = {
	.read = ioapic_mmio_read,
	.write = ioapic_mmio_write,
};

/* ---- life and state -------------------------------------------------------------------------- */

int kvm_ioapic_init(struct kvm *kvm)
{
	struct kvm_ioapic *ioapic = calloc(1, sizeof(*ioapic));
	int ret;

	if (!ioapic)
		return -ENOMEM;
	pthread_mutex_init(&ioapic->lock, NULL);
	ioapic->kvm = kvm;
	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		ioapic->redirtbl[pin] = IOAPIC_RTE_MASK;
	ioapic_update_vectors(ioapic);
	kvm_timer_init(&ioapic->eoi_inject, kvm, ioapic_eoi_inject_fn, ioapic);
	kvm_iodevice_init(&ioapic->dev, &ioapic_mmio_ops);

	pthread_mutex_lock(&kvm->slots_lock);
	ret = kvm_io_bus_register_dev(kvm, KVM_MMIO_BUS, IOAPIC_DEFAULT_BASE_ADDRESS, IOAPIC_MEM_LENGTH,
				      &ioapic->dev);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (ret < 0) {
		pthread_mutex_destroy(&ioapic->lock);
		free(ioapic);
		return ret;
	}
	kvm->arch.vioapic = ioapic;
	return 0;
}

void kvm_ioapic_destroy(struct kvm *kvm)
{
	struct kvm_ioapic *ioapic = kvm->arch.vioapic;

	if (!ioapic)
		return;
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_io_bus_unregister_dev(kvm, KVM_MMIO_BUS, &ioapic->dev);
	pthread_mutex_unlock(&kvm->slots_lock);
	kvm_timer_cancel(&ioapic->eoi_inject);
	kvm->arch.vioapic = NULL;
	pthread_mutex_destroy(&ioapic->lock);
	free(ioapic);
}

void kvm_get_ioapic(struct kvm *kvm, struct kvm_ioapic_state *state)
{
	struct kvm_ioapic *ioapic = kvm->arch.vioapic;

	memset(state, 0, sizeof(*state));
	ioapic_lock(ioapic);
	state->base_address = IOAPIC_DEFAULT_BASE_ADDRESS;
	state->ioregsel = ioapic->ioregsel;
	state->id = ioapic->id;
	state->irr = ioapic->irr & ~ioapic->irr_delivered;
	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		state->redirtbl[pin].bits = ioapic->redirtbl[pin];
	ioapic_unlock(ioapic);
}

/* Pins in the saved irr are raised anew: what was pending is sent. */
void kvm_set_ioapic(struct kvm *kvm, const struct kvm_ioapic_state *state)
{
	struct kvm_ioapic *ioapic = kvm->arch.vioapic;

	ioapic_lock(ioapic);
	ioapic->ioregsel = state->ioregsel & 0xff;
	ioapic->id = state->id;
	ioapic->irr = 0;
	ioapic->irr_delivered = 0;
	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		ioapic->redirtbl[pin] = state->redirtbl[pin].bits;
	ioapic_update_vectors(ioapic);
	for (unsigned pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		if (state->irr >> pin & 1)
			ioapic_set_pin(ioapic, pin, true);
	ioapic_unlock(ioapic);
}
