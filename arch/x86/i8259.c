/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two cascaded 8259A interrupt controllers and the PIIX edge/level control registers (ELCR).
 * Source: Intel 82C59A datasheet (231244), 82371 PIIX datasheet for ELCR at 0x4d0/0x4d1.
 *
 * One chip in one paragraph: a rising edge (or, with its ELCR bit, a high level) on a pin sets its
 * bit in IRR. The best unmasked request asserts INT if it beats everything in ISR. INTA moves it to
 * ISR (an edge request leaves IRR), EOI clears ISR. Priorities are a ring that starts at
 * priority_add. The slave's INT is the master's pin 2.
 *
 * Example: pins 0 and 12 rise, all unmasked. Slave INT -> master IRR = 0b101. INTA gives pin 0;
 * pin 2 waits because ISR bit 0 beats it. EOI to the master; INTA now gives pin 2 and, from the
 * slave, pin 4, hence vector slave.irq_base + 4.
 *
 * Locks: pic->lock is a leaf. Nothing is called out while it is held except mask notifiers (which
 * only touch atomics). Ack notifiers and the kick of the vCPU that
 * takes PIC interrupts are collected and done by pic_unlock(), so they may call back into the PIC.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/i8259.h"
#include "arch/x86/irq_comm.h"
#include "arch/x86/lapic.h"

#define ICW1_INIT 0x10 /* command port: this bit makes a byte ICW1 */
#define ICW1_SNGL 0x02
#define ICW1_IC4 0x01
#define ICW4_SFNM 0x10
#define ICW4_AEOI 0x02
#define OCW3_SELECT 0x08 /* command port, ICW1_INIT clear: this bit makes a byte OCW3, else OCW2 */
#define OCW3_ESMM 0x40
#define OCW3_SMM 0x20
#define OCW3_POLL 0x04
#define OCW3_RR 0x02
#define OCW3_RIS 0x01
#define OCW2_R 0x80
#define OCW2_SL 0x40
#define OCW2_EOI 0x20
#define POLL_INT 0x80

/* init_state: which byte the data port expects next */
enum { PIC_READY, PIC_WANT_ICW2, PIC_WANT_ICW3, PIC_WANT_ICW4 };

static unsigned pic_index(const struct kvm_pic *pic, const struct kvm_pic_state *c)
{
	return c == &pic->chip[1];
}

static void pic_lock(struct kvm_pic *pic)
{
	pthread_mutex_lock(&pic->lock);
}

/* Some vCPU whose LINT0 is in ExtINT mode (or whose APIC is off) takes the PIC's interrupts. */
static struct kvm_vcpu *pic_target(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (kvm_apic_accept_pic_intr(vcpu))
			return vcpu;
	return NULL;
}

static void pic_unlock(struct kvm_pic *pic)
{
	struct kvm_vcpu *vcpu;
	bool rose = pic->output_rose;
	u16 acked = pic->acked;

	pic->output_rose = false;
	pic->acked = 0;
	pthread_mutex_unlock(&pic->lock);

	for (; acked; acked &= acked - 1) {
		int pin = __builtin_ctz(acked);

		kvm_notify_acked_irq(pic->kvm, SELECT_PIC(pin), pin);
	}
	vcpu = rose ? pic_target(pic->kvm) : NULL;
	if (vcpu) {
		kvm_make_request(KVM_REQ_EVENT, vcpu);
		kvm_vcpu_kick(vcpu);
	}
}

/* Rank of the best pin in `pins` on the priority ring: 0 highest, 8 where there is none. */
static unsigned pic_rank(const struct kvm_pic_state *c, u8 pins)
{
	unsigned top = c->priority_add & 7;
	unsigned ring = (pins | pins << 8) >> top & 0xff;

	return ring ? __builtin_ctz(ring) : 8;
}

static unsigned pic_pin_of_rank(const struct kvm_pic_state *c, unsigned rank)
{
	return (rank + c->priority_add) & 7;
}

/* The pin for which the chip asserts INT, or -1. With special fully nested mode the slave may
 * interrupt its own service: the better pin of the two is the slave's business. */
static int pic_wanted(const struct kvm_pic *pic, const struct kvm_pic_state *c)
{
	unsigned rank = pic_rank(c, c->irr & ~c->imr);
	unsigned busy = pic_rank(c, c->special_mask ? c->isr & ~c->imr : c->isr);
	unsigned pin = pic_pin_of_rank(c, rank);

	if (rank < busy)
		return pin;
	if (rank == busy && rank < 8 && pin == PIC_CASCADE_PIN && c->special_fully_nested_mode &&
	    !pic_index(pic, c))
		return pin;
	return -1;
}

/* Drives one pin of one chip. 1 delivered, 0 coalesced, -1 masked. */
static int pic_set_pin(struct kvm_pic_state *c, unsigned pin, bool level)
{
	u8 bit = 1u << pin;
	bool is_level = c->elcr & bit;
	bool latch = level && (is_level || !(c->last_irr & bit));
	bool coalesced = latch && (c->irr & bit);

	if (latch)
		c->irr |= bit;
	else if (!level && is_level)
		c->irr &= ~bit;
	c->last_irr = level ? c->last_irr | bit : c->last_irr & ~bit;
	if (c->imr & bit)
		return -1;
	return !coalesced;
}

/* Recomputes the slave's INT, through it the master's pin 2, and the master's INT. */
static void pic_update(struct kvm_pic *pic)
{
	bool level;

	pic_set_pin(&pic->chip[0], PIC_CASCADE_PIN, pic_wanted(pic, &pic->chip[1]) >= 0);
	level = pic_wanted(pic, &pic->chip[0]) >= 0;
	if (level && !pic->output)
		pic->output_rose = true;
	__atomic_store_n(&pic->output, level, __ATOMIC_RELEASE);
}

static void pic_note_ack(struct kvm_pic *pic, struct kvm_pic_state *c, u8 pins)
{
	pic->acked |= (u16)pins << (8 * pic_index(pic, c));
}

static void pic_end_of_interrupt(struct kvm_pic *pic, struct kvm_pic_state *c, unsigned pin)
{
	u8 bit = 1u << pin;

	if (c->isr & bit)
		pic_note_ack(pic, c, bit);
	c->isr &= ~bit;
}

/* INTA for one chip. */
static void pic_intack(struct kvm_pic *pic, struct kvm_pic_state *c, unsigned pin)
{
	u8 bit = 1u << pin;

	c->isr |= bit;
	if (!(c->elcr & bit))
		c->irr &= ~bit;
	if (c == &pic->chip[1]) /* INT drops with INTA, so that a further request is a new edge */
		pic_set_pin(&pic->chip[0], PIC_CASCADE_PIN, false);
	if (!c->auto_eoi)
		return;
	if (c->rotate_on_auto_eoi)
		c->priority_add = (pin + 1) & 7;
	pic_end_of_interrupt(pic, c, pin);
}

int kvm_pic_set_irq(struct kvm_pic *pic, int pin, int irq_source_id, int level)
{
	int ret;

	pic_lock(pic);
	level = __kvm_irq_line_state(&pic->irq_states[pin], irq_source_id, level);
	ret = pic_set_pin(&pic->chip[pin >> 3], pin & 7, level);
	pic_update(pic);
	pic_unlock(pic);
	return ret;
}

void kvm_pic_clear_all(struct kvm_pic *pic, int irq_source_id)
{
	pic_lock(pic);
	for (unsigned i = 0; i < PIC_NUM_PINS; i++)
		pic->irq_states[i] &= ~BIT(irq_source_id);
	pic_unlock(pic);
}

/* INTA of a chip that has asserted INT: its vector. Pin 7 is the default where nothing is there. */
static int pic_inta_vector(struct kvm_pic *pic, struct kvm_pic_state *c)
{
	int pin = pic_wanted(pic, c);

	if (pin < 0)
		return c->irq_base + 7;
	pic_intack(pic, c, pin);
	if (c == &pic->chip[0] && pin == PIC_CASCADE_PIN)
		return pic_inta_vector(pic, &pic->chip[1]);
	return c->irq_base + pin;
}

int kvm_pic_read_irq(struct kvm *kvm)
{
	struct kvm_pic *pic = kvm->arch.vpic;
	int vector;

	pic_lock(pic);
	vector = pic_inta_vector(pic, &pic->chip[0]);
	pic->output = false; /* INT drops with INTA: what is still wanted is a new rise */
	pic_update(pic);
	pic_unlock(pic);
	return vector;
}

bool kvm_pic_output(struct kvm *kvm)
{
	return __atomic_load_n(&kvm->arch.vpic->output, __ATOMIC_ACQUIRE);
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* Starts initialization. Requests that are dropped here count as acknowledged: a PIT tick among
 * them must not stop the PIT's reinjection. */
static void pic_write_icw1(struct kvm_pic *pic, struct kvm_pic_state *c, u8 val)
{
	u8 lost = (c->irr & ~c->elcr) | c->isr;

	if (lost && pic_target(pic->kvm))
		pic_note_ack(pic, c, lost);
	c->init4 = val & ICW1_IC4;
	pic->single[pic_index(pic, c)] = val & ICW1_SNGL;
	c->last_irr = 0;
	c->irr &= c->elcr;
	c->isr = 0;
	c->imr = 0;
	c->priority_add = 0;
	c->special_mask = 0;
	c->read_reg_select = 0;
	c->poll = 0;
	if (!c->init4) {
		c->special_fully_nested_mode = 0;
		c->auto_eoi = 0;
	}
	c->init_state = PIC_WANT_ICW2;
}

static void pic_write_ocw2(struct kvm_pic *pic, struct kvm_pic_state *c, u8 val)
{
	u8 in_service = c->special_mask ? c->isr & ~c->imr : c->isr;
	unsigned rank = pic_rank(c, in_service);
	unsigned pin = val & OCW2_SL ? val & 7u : pic_pin_of_rank(c, rank);

	if (val & OCW2_EOI) {
		if (!(val & OCW2_SL) && rank == 8)
			return;
		pic_end_of_interrupt(pic, c, pin);
		if (val & OCW2_R)
			c->priority_add = (pin + 1) & 7;
	} else if (!(val & OCW2_SL)) {
		c->rotate_on_auto_eoi = !!(val & OCW2_R);
	} else if (val & OCW2_R) {
		c->priority_add = (pin + 1) & 7;
	}
}

static void pic_write_ocw3(struct kvm_pic_state *c, u8 val)
{
	if (val & OCW3_POLL)
		c->poll = 1;
	if (val & OCW3_RR)
		c->read_reg_select = val & OCW3_RIS;
	if (val & OCW3_ESMM)
		c->special_mask = !!(val & OCW3_SMM);
}

static void pic_write_command(struct kvm_pic *pic, struct kvm_pic_state *c, u8 val)
{
	if (val & ICW1_INIT)
		pic_write_icw1(pic, c, val);
	else if (val & OCW3_SELECT)
		pic_write_ocw3(c, val);
	else
		pic_write_ocw2(pic, c, val);
}

static void pic_write_imr(struct kvm_pic *pic, struct kvm_pic_state *c, u8 val)
{
	unsigned first = 8 * pic_index(pic, c);
	u8 changed = c->imr ^ val;

	c->imr = val;
	for (; changed; changed &= changed - 1) {
		unsigned pin = __builtin_ctz(changed);

		kvm_fire_mask_notifiers(pic->kvm, SELECT_PIC(first + pin), first + pin, val >> pin & 1);
	}
}

static u8 pic_after_icw3(const struct kvm_pic_state *c)
{
	return c->init4 ? PIC_WANT_ICW4 : PIC_READY;
}

static void pic_write_data(struct kvm_pic *pic, struct kvm_pic_state *c, u8 val)
{
	switch (c->init_state) {
	case PIC_WANT_ICW2:
		c->irq_base = val & 0xf8;
		c->init_state = pic->single[pic_index(pic, c)] ? pic_after_icw3(c) : PIC_WANT_ICW3;
		break;
	case PIC_WANT_ICW3: /* the wiring of a PC is fixed */
		c->init_state = pic_after_icw3(c);
		break;
	case PIC_WANT_ICW4:
		c->special_fully_nested_mode = !!(val & ICW4_SFNM);
		c->auto_eoi = !!(val & ICW4_AEOI);
		c->init_state = PIC_READY;
		break;
	default:
		pic_write_imr(pic, c, val);
	}
}

/* The read after a poll command is an INTA that returns the pin instead of a vector. */
static u8 pic_poll_read(struct kvm_pic *pic, struct kvm_pic_state *c)
{
	int pin = pic_wanted(pic, c);

	c->poll = 0;
	if (pin < 0)
		return 7;
	pic_intack(pic, c, pin);
	pic_update(pic);
	return POLL_INT | pin;
}

static u8 pic_read(struct kvm_pic *pic, struct kvm_pic_state *c, bool data_port)
{
	if (c->poll)
		return pic_poll_read(pic, c);
	if (data_port)
		return c->imr;
	return c->read_reg_select ? c->isr : c->irr;
}

static void pic_port_write(struct kvm_pic *pic, struct kvm_pic_state *c, gpa_t port, u8 val)
{
	pic_lock(pic);
	if (port & 1)
		pic_write_data(pic, c, val);
	else
		pic_write_command(pic, c, val);
	pic_update(pic);
	pic_unlock(pic);
}

static u8 pic_port_read(struct kvm_pic *pic, struct kvm_pic_state *c, gpa_t port)
{
	u8 val;

	pic_lock(pic);
	val = pic_read(pic, c, port & 1);
	pic_unlock(pic);
	return val;
}

static u8 elcr_rw(struct kvm_pic *pic, gpa_t port, bool write, u8 val)
{
	struct kvm_pic_state *c = &pic->chip[port & 1];

	pic_lock(pic);
	if (write)
		c->elcr = val & c->elcr_mask;
	val = c->elcr;
	pic_unlock(pic);
	return val;
}

/* Only byte accesses reach the chip; wider ones read as zero and are dropped, as in Linux. */
static int picdev_write(struct kvm_pic *pic, gpa_t port, int len, const void *data)
{
	u8 val = *(const u8 *)data;

	switch (port) {
	case 0x20 ... 0x21:
	case 0xa0 ... 0xa1:
		if (len == 1)
			pic_port_write(pic, &pic->chip[port >> 7], port, val);
		return 0;
	case 0x4d0 ... 0x4d1:
		if (len == 1)
			elcr_rw(pic, port, true, val);
		return 0;
	}
	return -EOPNOTSUPP;
}

static int picdev_read(struct kvm_pic *pic, gpa_t port, int len, void *data)
{
	memset(data, 0, len);
	switch (port) {
	case 0x20 ... 0x21:
	case 0xa0 ... 0xa1:
		if (len == 1)
			*(u8 *)data = pic_port_read(pic, &pic->chip[port >> 7], port);
		return 0;
	case 0x4d0 ... 0x4d1:
		if (len == 1)
			*(u8 *)data = elcr_rw(pic, port, false, 0);
		return 0;
	}
	return -EOPNOTSUPP;
}

#define PICDEV(name)                                                                                   \
	static int picdev_##name##_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t port, \
					 int len, const void *data)                                    \
	{                                                                                              \
		return picdev_write(container_of(dev, struct kvm_pic, dev_##name), port, len, data);   \
	}                                                                                              \
	static int picdev_##name##_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t port,  \
					int len, void *data)                                           \
	{                                                                                              \
		return picdev_read(container_of(dev, struct kvm_pic, dev_##name), port, len, data);    \
	}                                                                                              \
	static const struct kvm_io_device_ops picdev_##name##_ops = {                                  \
		.read = picdev_##name##_read,                                                          \
		.write = picdev_##name##_write,                                                        \
	}
PICDEV(master);
PICDEV(slave);
PICDEV(elcr);

/* ---- life and state -------------------------------------------------------------------------- */

/* Registers the first n of the three port ranges; on failure none is registered. */
static int pic_register_ports(struct kvm *kvm, struct kvm_pic *pic)
{
	int ret;

	ret = kvm_io_bus_register_dev(kvm, KVM_PIO_BUS, 0x20, 2, &pic->dev_master);
	if (ret < 0)
		return ret;
	ret = kvm_io_bus_register_dev(kvm, KVM_PIO_BUS, 0xa0, 2, &pic->dev_slave);
	if (ret < 0)
		goto fail_slave;
	ret = kvm_io_bus_register_dev(kvm, KVM_PIO_BUS, 0x4d0, 2, &pic->dev_elcr);
	if (ret < 0)
		goto fail_elcr;
	return 0;
fail_elcr:
	kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pic->dev_slave);
fail_slave:
	kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pic->dev_master);
	return ret;
}

int kvm_pic_init(struct kvm *kvm)
{
	struct kvm_pic *pic = calloc(1, sizeof(*pic));
	int ret;

	if (!pic)
		return -ENOMEM;
	pthread_mutex_init(&pic->lock, NULL);
	pic->kvm = kvm;
	pic->chip[0].elcr_mask = 0xf8; /* IRQ 0, 1 and 2 are edge-triggered by wiring */
	pic->chip[1].elcr_mask = 0xde; /* so are 8 and 13 */
	kvm_iodevice_init(&pic->dev_master, &picdev_master_ops);
	kvm_iodevice_init(&pic->dev_slave, &picdev_slave_ops);
	kvm_iodevice_init(&pic->dev_elcr, &picdev_elcr_ops);

	pthread_mutex_lock(&kvm->slots_lock);
	ret = pic_register_ports(kvm, pic);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (ret < 0) {
		pthread_mutex_destroy(&pic->lock);
		free(pic);
		return ret;
	}
	kvm->arch.vpic = pic;
	return 0;
}

void kvm_pic_destroy(struct kvm *kvm)
{
	struct kvm_pic *pic = kvm->arch.vpic;

	if (!pic)
		return;
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pic->dev_master);
	kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pic->dev_slave);
	kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pic->dev_elcr);
	pthread_mutex_unlock(&kvm->slots_lock);
	kvm->arch.vpic = NULL;
	pthread_mutex_destroy(&pic->lock);
	free(pic);
}

void kvm_get_pic(struct kvm *kvm, unsigned chip, struct kvm_pic_state *state)
{
	struct kvm_pic *pic = kvm->arch.vpic;

	pic_lock(pic);
	*state = pic->chip[chip];
	pic_unlock(pic);
}

void kvm_set_pic(struct kvm *kvm, unsigned chip, const struct kvm_pic_state *state)
{
	struct kvm_pic *pic = kvm->arch.vpic;

	pic_lock(pic);
	pic->chip[chip] = *state;
	pic_update(pic);
	pic_unlock(pic);
}
