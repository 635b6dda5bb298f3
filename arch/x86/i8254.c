/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8254 programmable interval timer and, for KVM_PIT_SPEAKER_DUMMY, port 0x61.
 * Source: Intel 82C54 datasheet (231244).
 *
 * No counter ever counts. A channel remembers the count it was loaded with and when; the clocks since
 * then (pit_clocks), the mode and the count give the counter's value and its OUT pin at any moment.
 * Example: mode 2, count 1000, 2300 clocks ago: the counter has reloaded twice and stands at 700, OUT is
 * high; it is low for the one clock at which the counter is 1.
 *
 * Channel 0's OUT is GSI 0, as a pulse from the timer service at the end of each period. With
 * reinjection (the default) ticks are counted in `pending`, and one is delivered per acknowledgement of
 * the last one (by EOI, or by INTA with AEOI), so that a guest that was not running gets all its ticks.
 *
 * As in Linux (6.12): loading a count starts mode 1 on channels 0 and 1 (whose gates are tied), and
 * periods below MIN_PERIOD_CLOCKS tick at that rate.
 *
 * Locks: pit->lock protects the channels, and starting and cancelling of the tick. The callbacks
 * never take it: they own start_ns, count, periodic, ticks while the timer is armed, and share reinject,
 * pending and irq_ack with the acknowledging thread by atomics. Order: kvm->slots_lock, kvm->irq_lock,
 * pit->lock; the interrupt is raised with none of them held.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/i8254.h"
#include "arch/x86/lapic.h"

#define PIT_FREQ 1193182u
#define NSEC_PER_SEC 1000000000u
#define MIN_PERIOD_CLOCKS 239u /* 200 us: Linux's min_timer_period_us */
#define PIT_BASE 0x40
#define PIT_CONTROL 3 /* offset of the control word register */
#define PIT_MODE_NONE 0xff
#define SPEAKER_PORT 0x61
#define SPEAKER_GATE2 0x01
#define SPEAKER_DATA 0x02
#define SPEAKER_REFRESH 0x10
#define SPEAKER_OUT2 0x20
#define REFRESH_SHIFT 14 /* the refresh bit toggles every 15 us: about 2^14 ns */

/* read_state and write_state: which byte comes next */
enum { RW_LSB = 1, RW_MSB, RW_WORD0, RW_WORD1 };
/* control word */
#define CW_CHANNEL(cw) ((cw) >> 6)
#define CW_ACCESS(cw) ((cw) >> 4 & 3)
#define CW_MODE(cw) ((cw) >> 1 & 7)
#define CW_BCD 0x01
#define CW_READ_BACK 3
#define RB_NO_COUNT 0x20
#define RB_NO_STATUS 0x10
#define STATUS_OUT 0x80
#define STATUS_NULL 0x40

static u64 pit_clocks_to_ns(u64 clocks)
{
	return (unsigned __int128)clocks * NSEC_PER_SEC / PIT_FREQ;
}

static u64 pit_ns_to_clocks(u64 ns)
{
	return (unsigned __int128)ns * PIT_FREQ / NSEC_PER_SEC;
}

static s64 pit_now(void)
{
	return kvm_clock_monotonic_ns();
}

/* ---- one channel ----------------------------------------------------------------------------- */

/* Gate low stops the count in these modes; in 1 and 5 the gate only triggers. */
static bool pit_gate_stops(const struct pit_channel *c)
{
	return c->reg.mode != 1 && c->reg.mode != 5;
}

/* Input clocks that the channel has counted since it was loaded or triggered. */
static u64 pit_clocks(const struct pit_channel *c)
{
	s64 now = !c->reg.gate && pit_gate_stops(c) ? c->paused_ns : pit_now();

	if (c->null_count || now < c->reg.count_load_time)
		return 0;
	return pit_ns_to_clocks(now - c->reg.count_load_time);
}

static u32 pit_from_bcd(u32 v)
{
	return (v & 0xf) + (v >> 4 & 0xf) * 10 + (v >> 8 & 0xf) * 100 + (v >> 12 & 0xf) * 1000;
}

static u32 pit_to_bcd(u32 v)
{
	return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12;
}

/* Mode 3 counts down by two, from the even part of the count, once for each half of the period. */
static u32 pit_square_count(u32 count, u64 d)
{
	u32 phase = d % count, high = (count + 1) / 2;
	u32 into = phase < high ? phase : phase - high;

	return (count & ~1u) - 2 * MIN(into, count / 2);
}

/* What a read of the counter gives. */
static u16 pit_get_count(const struct pit_channel *c)
{
	u32 count = c->reg.count, range = c->reg.bcd ? 10000 : 0x10000, value;
	u64 d = pit_clocks(c);

	if (!count)
		return 0;
	switch (c->reg.mode) {
	case 2:
		value = count - d % count;
		break;
	case 3:
		value = pit_square_count(count, d);
		break;
	default: /* one-shot modes wrap around at zero and go on */
		value = (count + range - d % range) % range;
	}
	return c->reg.bcd ? pit_to_bcd(value % range) : value;
}

static bool pit_get_out(const struct pit_channel *c)
{
	u32 count = c->reg.count;
	u64 d = pit_clocks(c);

	if (c->null_count || !count)
		return c->reg.mode != 0;
	switch (c->reg.mode) {
	case 0:
	case 1:
		return d >= count;
	case 2:
		return !c->reg.gate || d % count != count - 1;
	case 3:
		return !c->reg.gate || d % count < (count + 1) / 2;
	case 4:
	case 5:
		return d != count;
	}
	return true;
}

static void pit_set_gate(struct pit_channel *c, bool gate)
{
	s64 now = pit_now();

	if (c->reg.gate && !gate)
		c->paused_ns = now;
	if (!c->reg.gate && gate) {
		if (c->reg.mode == 0 || c->reg.mode == 4)
			c->reg.count_load_time += now - c->paused_ns;
		else
			c->reg.count_load_time = now;
	}
	c->reg.gate = gate;
}

static void pit_latch_count(struct pit_channel *c)
{
	if (c->reg.count_latched)
		return;
	c->reg.latched_count = pit_get_count(c);
	c->reg.count_latched = c->reg.rw_mode;
}

static void pit_latch_status(struct pit_channel *c)
{
	if (c->reg.status_latched)
		return;
	c->reg.status = (pit_get_out(c) ? STATUS_OUT : 0) | (c->null_count ? STATUS_NULL : 0) |
			c->reg.rw_mode << 4 | (c->reg.mode & 7) << 1 | c->reg.bcd;
	c->reg.status_latched = 1;
}

/* ---- channel 0's interrupts ------------------------------------------------------------------ */

static void pit_reset_reinject(struct kvm_pit *pit)
{
	__atomic_store_n(&pit->pending, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&pit->irq_ack, true, __ATOMIC_SEQ_CST);
}

void kvm_pit_irq_unmasked(struct kvm_pit *pit)
{
	if (__atomic_load_n(&pit->reinject, __ATOMIC_RELAXED))
		pit_reset_reinject(pit);
}

/* One tick. A vCPU with LINT0 = NMI takes the PIT as a watchdog ("virtual wire": Linux sends it to all
 * of those, beside the GSI). */
static void pit_inject(struct kvm_pit *pit)
{
	struct kvm *kvm = pit->kvm;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	if (__atomic_load_n(&pit->reinject, __ATOMIC_RELAXED) &&
	    !__atomic_exchange_n(&pit->irq_ack, false, __ATOMIC_SEQ_CST))
		return;
	kvm_set_irq(kvm, pit->irq_source_id, PIT_GSI, 1, false);
	kvm_set_irq(kvm, pit->irq_source_id, PIT_GSI, 0, false);
	if (__atomic_load_n(&kvm->arch.vapics_in_nmi_mode, __ATOMIC_RELAXED))
		kvm_for_each_vcpu(i, vcpu, kvm)
			kvm_apic_nmi_wd_deliver(vcpu);
}

static void pit_inject_fn(struct kvm_timer *timer, void *ctx)
{
	pit_inject(ctx);
}

static u64 pit_next_tick_ns(const struct kvm_pit *pit)
{
	return pit->start_ns + pit_clocks_to_ns((pit->ticks + 1) * pit->count);
}

static void pit_tick_fn(struct kvm_timer *timer, void *ctx)
{
	struct kvm_pit *pit = ctx;

	if (__atomic_load_n(&pit->reinject, __ATOMIC_RELAXED))
		__atomic_fetch_add(&pit->pending, 1, __ATOMIC_SEQ_CST);
	pit_inject(pit);
	if (pit->periodic) {
		pit->ticks++;
		kvm_timer_start(timer, pit_next_tick_ns(pit));
	}
}

/* GSI 0 was acknowledged: one pending tick is done; the next goes out by the timer thread, because this
 * one may be in the middle of an EOI. */
static void pit_ack_irq(struct kvm_irq_ack_notifier *kian)
{
	struct kvm_pit *pit = container_of(kian, struct kvm_pit, irq_ack_notifier);
	int pending;

	__atomic_store_n(&pit->irq_ack, true, __ATOMIC_SEQ_CST);
	pending = __atomic_load_n(&pit->pending, __ATOMIC_SEQ_CST);
	while (pending > 0 && !__atomic_compare_exchange_n(&pit->pending, &pending, pending - 1, false,
							   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	if (pending > 1)
		kvm_timer_start(&pit->inject, 0);
}

static void pit_stop(struct kvm_pit *pit)
{
	kvm_timer_cancel(&pit->tick);
	kvm_timer_cancel(&pit->inject);
	pit->count = 0;
}

static void pit_start(struct kvm_pit *pit, bool periodic)
{
	const struct pit_channel *c = &pit->channel[0];

	pit_stop(pit);
	if (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY)
		return;
	pit_reset_reinject(pit);
	pit->start_ns = c->reg.count_load_time;
	pit->count = periodic ? MAX(c->reg.count, MIN_PERIOD_CLOCKS) : c->reg.count;
	pit->periodic = periodic;
	pit->ticks = 0;
	kvm_timer_start(&pit->tick, pit_next_tick_ns(pit));
}

/* ---- registers ------------------------------------------------------------------------------- */

/* count: 1 .. 65536 clocks. */
static void pit_load_count(struct kvm_pit *pit, unsigned channel, u32 count)
{
	struct pit_channel *c = &pit->channel[channel];

	c->reg.count = count && count <= 0x10000 ? count : 0x10000;
	c->reg.count_load_time = c->paused_ns = pit_now();
	c->null_count = false;
	if (channel)
		return;
	switch (c->reg.mode) {
	case 0:
	case 1:
	case 4:
		pit_start(pit, false);
		break;
	case 2:
	case 3:
		pit_start(pit, true);
		break;
	default:
		pit_stop(pit);
	}
}

static void pit_write_count(struct kvm_pit *pit, unsigned channel, u8 val)
{
	struct pit_channel *c = &pit->channel[channel];
	u32 raw;

	switch (c->reg.write_state) {
	case RW_MSB:
		raw = val << 8;
		break;
	case RW_WORD0:
		c->reg.write_latch = val;
		c->reg.write_state = RW_WORD1;
		return;
	case RW_WORD1:
		raw = c->reg.write_latch | val << 8;
		c->reg.write_state = RW_WORD0;
		break;
	default:
		raw = val;
	}
	pit_load_count(pit, channel, !c->reg.bcd ? raw : raw ? pit_from_bcd(raw) : 10000);
}

static void pit_read_back(struct kvm_pit *pit, u8 cw)
{
	for (unsigned i = 0; i < PIT_CHANNELS; i++) {
		if (!(cw >> (i + 1) & 1))
			continue;
		if (!(cw & RB_NO_COUNT))
			pit_latch_count(&pit->channel[i]);
		if (!(cw & RB_NO_STATUS))
			pit_latch_status(&pit->channel[i]);
	}
}

/* A control word stops the channel until its count is written. */
static void pit_write_control(struct kvm_pit *pit, u8 cw)
{
	struct pit_channel *c;

	if (CW_CHANNEL(cw) == CW_READ_BACK) {
		pit_read_back(pit, cw);
		return;
	}
	c = &pit->channel[CW_CHANNEL(cw)];
	if (!CW_ACCESS(cw)) {
		pit_latch_count(c);
		return;
	}
	c->reg.rw_mode = c->reg.read_state = c->reg.write_state = CW_ACCESS(cw);
	c->reg.mode = CW_MODE(cw) > 5 ? CW_MODE(cw) - 4 : CW_MODE(cw);
	c->reg.bcd = cw & CW_BCD;
	c->reg.count_latched = c->reg.status_latched = 0;
	c->null_count = true;
	if (c == &pit->channel[0])
		pit_stop(pit);
}

static u8 pit_read_latched(struct kvm_pit_channel_state *r)
{
	switch (r->count_latched) {
	case RW_MSB:
		r->count_latched = 0;
		return r->latched_count >> 8;
	case RW_WORD0:
		r->count_latched = RW_MSB;
		return r->latched_count;
	default:
		r->count_latched = 0;
		return r->latched_count;
	}
}

static u8 pit_read_channel(struct pit_channel *c)
{
	struct kvm_pit_channel_state *r = &c->reg;

	if (r->status_latched) {
		r->status_latched = 0;
		return r->status;
	}
	if (r->count_latched)
		return pit_read_latched(r);
	switch (r->read_state) {
	case RW_MSB:
		return pit_get_count(c) >> 8;
	case RW_WORD0:
		r->read_state = RW_WORD1;
		return pit_get_count(c);
	case RW_WORD1:
		r->read_state = RW_WORD0;
		return pit_get_count(c) >> 8;
	default:
		return pit_get_count(c);
	}
}

static int pit_ioport_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t port, int len,
			    const void *data)
{
	struct kvm_pit *pit = container_of(dev, struct kvm_pit, dev);
	unsigned reg = (port - PIT_BASE) & 3;
	u8 val = *(const u8 *)data;

	pthread_mutex_lock(&pit->lock);
	if (reg == PIT_CONTROL)
		pit_write_control(pit, val);
	else
		pit_write_count(pit, reg, val);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static int pit_ioport_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t port, int len, void *data)
{
	struct kvm_pit *pit = container_of(dev, struct kvm_pit, dev);
	unsigned reg = (port - PIT_BASE) & 3;

	memset(data, 0, len);
	if (reg == PIT_CONTROL) /* write-only */
		return 0;
	pthread_mutex_lock(&pit->lock);
	*(u8 *)data = pit_read_channel(&pit->channel[reg]);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static int speaker_ioport_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t port, int len,
				const void *data)
{
	struct kvm_pit *pit = container_of(dev, struct kvm_pit, speaker_dev);
	u8 val = *(const u8 *)data;

	if (port != SPEAKER_PORT)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&pit->lock);
	pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (val & SPEAKER_DATA)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	pit_set_gate(&pit->channel[2], val & SPEAKER_GATE2);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static int speaker_ioport_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t port, int len,
			       void *data)
{
	struct kvm_pit *pit = container_of(dev, struct kvm_pit, speaker_dev);
	u8 val;

	if (port != SPEAKER_PORT)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&pit->lock);
	val = (pit->channel[2].reg.gate ? SPEAKER_GATE2 : 0) |
	      (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? SPEAKER_DATA : 0) |
	      (pit_now() >> REFRESH_SHIFT & 1 ? SPEAKER_REFRESH : 0) |
	      (pit_get_out(&pit->channel[2]) ? SPEAKER_OUT2 : 0);
	pthread_mutex_unlock(&pit->lock);
	memset(data, 0, len);
	*(u8 *)data = val;
	return 0;
}

static const struct kvm_io_device_ops pit_dev_ops = {
	.read = pit_ioport_read,
	.write = pit_ioport_write,
};

static const struct kvm_io_device_ops speaker_dev_ops = {
	.read = speaker_ioport_read,
	.write = speaker_ioport_write,
};

/* ---- life ------------------------------------------------------------------------------------ */

static void pit_set_reinject(struct kvm_pit *pit, bool reinject)
{
	if (pit->reinject == reinject)
		return;
	if (reinject) {
		pit_reset_reinject(pit);
		kvm_register_irq_ack_notifier(pit->kvm, &pit->irq_ack_notifier);
	} else {
		kvm_unregister_irq_ack_notifier(pit->kvm, &pit->irq_ack_notifier);
	}
	__atomic_store_n(&pit->reinject, reinject, __ATOMIC_RELAXED);
}

static int pit_register_ports(struct kvm_pit *pit)
{
	struct kvm *kvm = pit->kvm;
	int ret;

	pthread_mutex_lock(&kvm->slots_lock);
	ret = kvm_io_bus_register_dev(kvm, KVM_PIO_BUS, PIT_BASE, 4, &pit->dev);
	if (!ret && pit->speaker) {
		ret = kvm_io_bus_register_dev(kvm, KVM_PIO_BUS, SPEAKER_PORT, 4, &pit->speaker_dev);
		if (ret)
			kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pit->dev);
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

static void pit_reset(struct kvm_pit *pit)
{
	for (unsigned i = 0; i < PIT_CHANNELS; i++) {
		pit->channel[i].reg.mode = PIT_MODE_NONE;
		pit->channel[i].reg.gate = i != 2;
		pit_load_count(pit, i, 0);
	}
}

struct kvm_pit *kvm_create_pit(struct kvm *kvm, u32 flags)
{
	struct kvm_pit *pit = calloc(1, sizeof(*pit));

	if (!pit)
		return NULL;
	pit->kvm = kvm;
	pit->speaker = flags & KVM_PIT_SPEAKER_DUMMY;
	pit->irq_source_id = kvm_request_irq_source_id(kvm);
	if (pit->irq_source_id < 0)
		goto fail_source;
	pthread_mutex_init(&pit->lock, NULL);
	kvm_timer_init(&pit->tick, kvm, pit_tick_fn, pit);
	kvm_timer_init(&pit->inject, kvm, pit_inject_fn, pit);
	kvm_iodevice_init(&pit->dev, &pit_dev_ops);
	kvm_iodevice_init(&pit->speaker_dev, &speaker_dev_ops);
	pit->irq_ack_notifier.gsi = PIT_GSI;
	pit->irq_ack_notifier.irq_acked = pit_ack_irq;
	pit_reset(pit);
	pit_set_reinject(pit, true);
	if (pit_register_ports(pit) < 0)
		goto fail_ports;
	return pit;
fail_ports:
	pit_set_reinject(pit, false);
	pthread_mutex_destroy(&pit->lock);
	kvm_free_irq_source_id(kvm, pit->irq_source_id);
fail_source:
	free(pit);
	return NULL;
}

void kvm_free_pit(struct kvm *kvm)
{
	struct kvm_pit *pit = kvm->arch.vpit;

	if (!pit)
		return;
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pit->dev);
	if (pit->speaker)
		kvm_io_bus_unregister_dev(kvm, KVM_PIO_BUS, &pit->speaker_dev);
	pthread_mutex_unlock(&kvm->slots_lock);
	pit_set_reinject(pit, false);
	pit_stop(pit);
	kvm_free_irq_source_id(kvm, pit->irq_source_id);
	__atomic_store_n(&kvm->arch.vpit, NULL, __ATOMIC_RELEASE);
	pthread_mutex_destroy(&pit->lock);
	free(pit);
}

/* ---- KVM_GET/SET_PIT(2), KVM_REINJECT_CONTROL ------------------------------------------------ */

int kvm_vm_ioctl_get_pit(struct kvm *kvm, struct kvm_pit_state *ps)
{
	struct kvm_pit *pit = kvm->arch.vpit;

	pthread_mutex_lock(&pit->lock);
	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		ps->channels[i] = pit->channel[i].reg;
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

int kvm_vm_ioctl_get_pit2(struct kvm *kvm, struct kvm_pit_state2 *ps)
{
	struct kvm_pit *pit = kvm->arch.vpit;

	memset(ps, 0, sizeof(*ps));
	pthread_mutex_lock(&pit->lock);
	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		ps->channels[i] = pit->channel[i].reg;
	ps->flags = pit->flags;
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

/* Counting starts anew from the loaded counts. */
static void pit_set_channels(struct kvm_pit *pit, const struct kvm_pit_channel_state *channels)
{
	for (unsigned i = 0; i < PIT_CHANNELS; i++) {
		pit->channel[i].reg = channels[i];
		pit_load_count(pit, i, channels[i].count);
	}
}

int kvm_vm_ioctl_set_pit(struct kvm *kvm, struct kvm_pit_state *ps)
{
	struct kvm_pit *pit = kvm->arch.vpit;

	pthread_mutex_lock(&pit->lock);
	pit_set_channels(pit, ps->channels);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

int kvm_vm_ioctl_set_pit2(struct kvm *kvm, struct kvm_pit_state2 *ps)
{
	struct kvm_pit *pit = kvm->arch.vpit;

	pthread_mutex_lock(&pit->lock);
	pit->flags = ps->flags;
	pit_set_channels(pit, ps->channels);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

int kvm_vm_ioctl_reinject(struct kvm *kvm, struct kvm_reinject_control *control)
{
	pit_set_reinject(kvm->arch.vpit, control->pit_reinject);
	return 0;
}
