/* SPDX-License-Identifier: Apache-2.0 */
/* The 8254 and port 0x61 in virtual time. */
#include <string.h>

#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

#define FREQ 1193182ull
#define CTL 0x43

/* The ns at which n input clocks are just over. */
static u64 clocks(u64 n)
{
	return (n * 1000000000ull + FREQ - 1) / FREQ;
}

static struct kvm *pit_vm(u32 flags)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0);

	kvm->arch.vpit = kvm_create_pit(kvm, flags);
	assert_non_null(kvm->arch.vpit);
	outb(kvm, 0x21, 0xff); /* the test takes GSI 0 from the IOAPIC */
	xapic_enable(kvm->vcpus[0]);
	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS, 0x10);
	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS + 0x10, 0x30);
	return kvm;
}

static void load(struct kvm *kvm, unsigned channel, u8 mode, u16 count)
{
	outb(kvm, CTL, channel << 6 | 0x30 | mode << 1);
	outb(kvm, 0x40 + channel, count);
	outb(kvm, 0x40 + channel, count >> 8);
}

static u16 latched(struct kvm *kvm, unsigned channel)
{
	u8 low;

	outb(kvm, CTL, channel << 6);
	low = inb(kvm, 0x40 + channel);
	return low | inb(kvm, 0x40 + channel) << 8;
}

static u8 status(struct kvm *kvm, unsigned channel)
{
	outb(kvm, CTL, 0xe0 | 2 << channel);
	return inb(kvm, 0x40 + channel);
}

static bool out(struct kvm *kvm, unsigned channel)
{
	return status(kvm, channel) & 0x80;
}

/* Takes and ends a tick. */
static bool tick(struct kvm *kvm)
{
	int vector = kvm_cpu_get_interrupt(kvm->vcpus[0]);

	if (vector < 0)
		return false;
	assert_int_equal(vector, 0x30);
	xapic_write(kvm->vcpus[0], APIC_EOI, 0);
	return true;
}

static void test_access(void **state)
{
	struct kvm *kvm = pit_vm(0);

	outb(kvm, CTL, 0x54); /* channel 1, low byte only, mode 2 */
	outb(kvm, 0x41, 0x80);
	fake_advance(clocks(0x10));
	assert_int_equal(inb(kvm, 0x41), 0x70);
	assert_int_equal(inb(kvm, 0x41), 0x70);
	outb(kvm, CTL, 0x64); /* high byte only */
	outb(kvm, 0x41, 0x12);
	assert_int_equal(inb(kvm, 0x41), 0x12);
	load(kvm, 1, 2, 0x1234);
	assert_int_equal(inb(kvm, 0x41), 0x34); /* low, then high */
	assert_int_equal(inb(kvm, 0x41), 0x12);
	assert_int_equal(inb(kvm, 0x41), 0x34);
	assert_int_equal(inb(kvm, CTL), 0); /* write-only */
	fake_vm_free(kvm);
}

static void test_latch(void **state)
{
	struct kvm *kvm = pit_vm(0);

	load(kvm, 1, 2, 10000);
	fake_advance(clocks(1000));
	outb(kvm, CTL, 0x40);
	fake_advance(clocks(1000));
	outb(kvm, CTL, 0x40); /* the first latch holds */
	assert_int_equal(inb(kvm, 0x41), 9000 & 0xff);
	assert_int_equal(inb(kvm, 0x41), 9000 >> 8);
	assert_int_equal(latched(kvm, 1), 8000);
	fake_vm_free(kvm);
}

static void test_read_back(void **state)
{
	struct kvm *kvm = pit_vm(0);

	load(kvm, 1, 3, 1000);
	load(kvm, 2, 0, 500);
	fake_advance(clocks(100));
	outb(kvm, CTL, 0xcc);     /* status and count of 1 and 2 */
	fake_advance(clocks(50)); /* latched: does not show */
	assert_int_equal(inb(kvm, 0x41), 0x80 | 0x30 | 3 << 1);
	assert_int_equal(inb(kvm, 0x41), 800 & 0xff);
	assert_int_equal(inb(kvm, 0x41), 800 >> 8);
	assert_int_equal(inb(kvm, 0x42), 0x30);
	assert_int_equal(inb(kvm, 0x42), 500 & 0xff); /* its gate is low */
	assert_int_equal(inb(kvm, 0x42), 500 >> 8);
	outb(kvm, CTL, 0x76);
	assert_int_equal(status(kvm, 1), 0x80 | 0x40 | 0x30 | 3 << 1); /* null count */
	outb(kvm, 0x41, 1);
	assert_true(status(kvm, 1) & 0x40); /* half a count */
	outb(kvm, 0x41, 1);
	assert_false(status(kvm, 1) & 0x40);
	outb(kvm, CTL, 0xd4); /* count only, channel 1 */
	assert_int_equal(inb(kvm, 0x41), 0x01 & 0xfe);
	fake_vm_free(kvm);
}

/* Mode, clocks since loading a count of 10 (binary), counter, OUT. Gates of channel 1 are high. */
static void test_modes(void **state)
{
	static const struct {
		u8 mode;
		u32 at;
		u16 count;
		bool out;
	} rows[] = {
		{ 0, 0, 10, 0 },  { 0, 9, 1, 0 },  { 0, 10, 0, 1 }, { 0, 11, 0xffff, 1 }, { 1, 5, 5, 0 },
		{ 1, 10, 0, 1 },  { 2, 0, 10, 1 }, { 2, 8, 2, 1 },  { 2, 9, 1, 0 },       { 2, 10, 10, 1 },
		{ 2, 29, 1, 0 },  { 3, 0, 10, 1 }, { 3, 4, 2, 1 },  { 3, 5, 10, 0 },      { 3, 9, 2, 0 },
		{ 3, 10, 10, 1 }, { 4, 9, 1, 1 },  { 4, 10, 0, 0 }, { 4, 11, 0xffff, 1 }, { 5, 10, 0, 0 },
		{ 6, 9, 1, 0 },   { 7, 5, 10, 0 }, /* 6 and 7 are 2 and 3 */
	};
	struct kvm *kvm = pit_vm(0);

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		load(kvm, 1, rows[i].mode, 10);
		fake_advance(clocks(rows[i].at));
		assert_int_equal(latched(kvm, 1), rows[i].count);
		assert_int_equal(out(kvm, 1), rows[i].out);
	}
	load(kvm, 1, 3, 9); /* odd: high for 5, low for 4 */
	fake_advance(clocks(4));
	assert_true(out(kvm, 1));
	fake_advance(clocks(5) - clocks(4) + 1);
	assert_false(out(kvm, 1));
	fake_vm_free(kvm);
}

static void test_bcd(void **state)
{
	struct kvm *kvm = pit_vm(0);

	outb(kvm, CTL, 0x75); /* channel 1, both bytes, mode 2, BCD */
	outb(kvm, 0x41, 0x34);
	outb(kvm, 0x41, 0x12);
	fake_advance(clocks(35));
	assert_int_equal(latched(kvm, 1), 0x1199);
	outb(kvm, CTL, 0x71); /* mode 0: wraps at 10000 */
	outb(kvm, 0x41, 0x05);
	outb(kvm, 0x41, 0x00);
	fake_advance(clocks(6));
	assert_int_equal(latched(kvm, 1), 0x9999);
	outb(kvm, CTL, 0x75);
	outb(kvm, 0x41, 0); /* 0 is 10000 */
	outb(kvm, 0x41, 0);
	fake_advance(clocks(1));
	assert_int_equal(latched(kvm, 1), 0x9999);
	assert_int_equal(status(kvm, 1) & 1, 1);
	fake_vm_free(kvm);
}

static void test_speaker(void **state)
{
	struct kvm *kvm = pit_vm(KVM_PIT_SPEAKER_DUMMY);
	u8 first, val;

	assert_int_equal(inb(kvm, 0x61) & 0x03, 0);
	outb(kvm, 0x61, 0x03);
	assert_int_equal(inb(kvm, 0x61) & 0x03, 0x03);
	outb(kvm, 0x61, 0x01);
	load(kvm, 2, 0, 1000);
	fake_advance(clocks(999));
	assert_int_equal(inb(kvm, 0x61) & 0x20, 0);
	fake_advance(clocks(1000) - clocks(999));
	assert_int_equal(inb(kvm, 0x61) & 0x20, 0x20); /* OUT2: how Linux calibrates its TSC */
	first = inb(kvm, 0x61) & 0x10;
	fake_advance(1 << 14);
	assert_int_equal(inb(kvm, 0x61) & 0x10, first ^ 0x10);
	assert_int_equal(fake_pio(kvm, 0x62, 1, &val, false), -EOPNOTSUPP);
	assert_int_equal(fake_pio(kvm, 0x62, 1, &val, true), -EOPNOTSUPP);
	fake_vm_free(kvm);
	kvm = pit_vm(0);
	assert_int_equal(fake_pio(kvm, 0x61, 1, &val, false), -EOPNOTSUPP);
	fake_vm_free(kvm);
}

static void test_gate(void **state)
{
	struct kvm *kvm = pit_vm(KVM_PIT_SPEAKER_DUMMY);

	load(kvm, 2, 0, 1000); /* gate low: does not count */
	fake_advance(clocks(300));
	assert_int_equal(latched(kvm, 2), 1000);
	outb(kvm, 0x61, 1);
	fake_advance(clocks(300));
	outb(kvm, 0x61, 1); /* no edge */
	assert_int_equal(latched(kvm, 2), 700);
	outb(kvm, 0x61, 0);
	fake_advance(clocks(500));
	assert_int_equal(latched(kvm, 2), 700);
	outb(kvm, 0x61, 1);
	fake_advance(clocks(701));
	assert_true(out(kvm, 2));
	load(kvm, 2, 2, 1000);
	fake_advance(clocks(300));
	outb(kvm, 0x61, 3);
	assert_int_equal(latched(kvm, 2), 700); /* no edge either */
	outb(kvm, 0x61, 0);
	outb(kvm, 0x61, 1); /* mode 2: starts again */
	assert_int_equal(latched(kvm, 2), 1000);
	load(kvm, 2, 3, 1000);
	fake_advance(clocks(600));
	assert_false(out(kvm, 2));
	outb(kvm, 0x61, 0); /* OUT is high while the gate is low */
	assert_true(out(kvm, 2));
	fake_vm_free(kvm);
}

static void test_periodic_interrupt(void **state)
{
	struct kvm *kvm = pit_vm(0);

	load(kvm, 0, 2, 11932); /* 10 ms */
	fake_advance(clocks(11932) - 2);
	assert_false(tick(kvm));
	fake_advance(2);
	assert_true(tick(kvm));
	assert_false(tick(kvm));
	for (unsigned i = 0; i < 1000; i++) {
		fake_advance(clocks(11932));
		assert_true(tick(kvm));
	}
	outb(kvm, CTL, 0x30); /* a new mode stops it */
	assert_int_equal(fake_timers_armed(), 0);
	fake_vm_free(kvm);
}

/* Ticks do not drift: 1000 periods end exactly with the 1000 * count-th clock. */
static void test_no_drift(void **state)
{
	struct kvm *kvm = pit_vm(0);
	unsigned n = 0;

	load(kvm, 0, 3, 1193);
	for (u64 ns = 0; ns < clocks(1193 * 1000ull); ns += 100000) {
		fake_advance(100000);
		n += tick(kvm);
	}
	assert_in_range(n, 999, 1000);
	assert_int_equal(kvm->arch.vpit->pending, 0);
	fake_vm_free(kvm);
}

static void test_one_shot_interrupt(void **state)
{
	struct kvm *kvm = pit_vm(0);

	load(kvm, 0, 0, 1000);
	fake_advance(clocks(1000));
	assert_true(tick(kvm));
	fake_advance(clocks(100000));
	assert_false(tick(kvm));
	load(kvm, 0, 0, 0); /* 65536 */
	fake_advance(clocks(65535));
	assert_false(tick(kvm));
	fake_advance(clocks(65536) - clocks(65535));
	assert_true(tick(kvm));
	load(kvm, 0, 5, 1000); /* needs a trigger that never comes */
	assert_int_equal(fake_timers_armed(), 0);
	fake_vm_free(kvm);
}

static void test_reinjection(void **state)
{
	struct kvm *kvm = pit_vm(0);
	struct kvm_reinject_control off = { .pit_reinject = 0 }, on = { .pit_reinject = 1 };
	unsigned n = 0;

	load(kvm, 0, 2, 1193);
	fake_advance(clocks(1193 * 10)); /* the guest does not run */
	assert_int_equal(kvm->arch.vpit->pending, 10);
	while (tick(kvm)) {
		n++;
		fake_advance(0); /* the next one goes out by the timer thread */
	}
	assert_int_equal(n, 10);
	kvm_vm_ioctl_reinject(kvm, &off);
	fake_advance(clocks(1193 * 10));
	n = 0;
	while (tick(kvm)) {
		n++;
		fake_advance(0);
	}
	assert_int_equal(n, 1); /* the lost ones are lost */
	kvm_vm_ioctl_reinject(kvm, &on);
	fake_advance(clocks(1193 * 2));
	assert_true(kvm->arch.vpit->pending > 0);
	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS + 0x10, 0x10030);
	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS + 0x10, 0x30); /* unmasking forgets them */
	assert_int_equal(kvm->arch.vpit->pending, 0);
	fake_advance(clocks(1193 * 3));
	assert_true(kvm->arch.vpit->pending > 0);
	load(kvm, 0, 2, 1193); /* so does a new count */
	assert_int_equal(kvm->arch.vpit->pending, 0);
	fake_vm_free(kvm);
}

/* Ticks by the PIC: acknowledged by EOI, forgotten when unmasked. */
static void test_reinjection_pic(void **state)
{
	struct kvm *kvm = pit_vm(0);
	unsigned n = 0;

	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS + 0x10, 0x10030);
	outb(kvm, 0x20, 0x11);
	outb(kvm, 0x21, 0x20);
	outb(kvm, 0x21, 0x04);
	outb(kvm, 0x21, 0x01);
	load(kvm, 0, 2, 1193);
	fake_advance(clocks(1193 * 10));
	while (kvm_pic_output(kvm)) {
		assert_int_equal(kvm_cpu_get_interrupt(kvm->vcpus[0]), 0x20);
		outb(kvm, 0x20, 0x20);
		fake_advance(0);
		n++;
	}
	assert_int_equal(n, 10);
	outb(kvm, 0x21, 0x01);
	fake_advance(clocks(1193 * 5));
	assert_true(kvm->arch.vpit->pending > 3);
	outb(kvm, 0x21, 0x00);
	assert_int_equal(kvm->arch.vpit->pending, 0);
	fake_vm_free(kvm);
}

static void test_fast_period(void **state)
{
	struct kvm *kvm = pit_vm(0);
	unsigned n = 0;

	load(kvm, 0, 2, 2);
	for (unsigned us = 0; us < 10000; us += 50) {
		fake_advance(50000);
		n += tick(kvm);
	}
	assert_in_range(n, 49, 50); /* 200 us */
	fake_vm_free(kvm);
}

static void test_watchdog(void **state)
{
	struct kvm *kvm = pit_vm(0);

	xapic_write(kvm->vcpus[0], APIC_LVT0, APIC_DM_NMI);
	load(kvm, 0, 2, 11932);
	fake_advance(clocks(11932));
	assert_int_equal(fake.nmis[0], 1);
	assert_true(tick(kvm));
	xapic_write(kvm->vcpus[0], APIC_LVT0, APIC_LVT_MASKED);
	fake_advance(clocks(11932));
	assert_int_equal(fake.nmis[0], 1);
	fake_vm_free(kvm);
}

static void test_state(void **state)
{
	struct kvm *kvm = pit_vm(KVM_PIT_SPEAKER_DUMMY);
	struct kvm_pit_state2 a, b;
	struct kvm_pit_state old;

	load(kvm, 0, 2, 11932);
	load(kvm, 2, 3, 0x1234);
	outb(kvm, 0x61, 3);
	outb(kvm, 0x42, 0x77); /* half a word written */
	kvm_vm_ioctl_get_pit2(kvm, &a);
	assert_int_equal(a.channels[0].count, 11932);
	assert_int_equal(a.channels[0].mode, 2);
	assert_int_equal(a.channels[2].count, 0x1234);
	assert_int_equal(a.channels[2].write_latch, 0x77);
	assert_int_equal(a.channels[2].write_state, 4);
	assert_int_equal(a.channels[2].gate, 1);
	assert_int_equal(a.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	outb(kvm, CTL, 0x30);
	outb(kvm, CTL, 0xb0);
	outb(kvm, 0x61, 0);
	kvm_vm_ioctl_set_pit2(kvm, &a);
	kvm_vm_ioctl_get_pit2(kvm, &b);
	for (unsigned i = 0; i < 3; i++)
		a.channels[i].count_load_time = b.channels[i].count_load_time;
	assert_memory_equal(&a, &b, sizeof(a));
	fake_advance(clocks(11932));
	assert_true(tick(kvm));
	a.flags = KVM_PIT_FLAGS_HPET_LEGACY; /* the HPET has taken GSI 0 */
	kvm_vm_ioctl_set_pit2(kvm, &a);
	assert_int_equal(fake_timers_armed(), 0);
	a.flags = 0;
	kvm_vm_ioctl_set_pit2(kvm, &a);
	assert_int_equal(fake_timers_armed(), 1);
	kvm_vm_ioctl_get_pit(kvm, &old);
	old.channels[0].mode = 0xff;
	kvm_vm_ioctl_set_pit(kvm, &old);
	assert_int_equal(fake_timers_armed(), 0);
	old.channels[1].count = 0xffffffff; /* nonsense is clamped */
	kvm_vm_ioctl_set_pit(kvm, &old);
	kvm_vm_ioctl_get_pit(kvm, &old);
	assert_int_equal(old.channels[1].count, 0x10000);
	fake_vm_free(kvm);
}

static void test_create_failures(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0);

	for (unsigned ok = 0; ok < 2; ok++) {
		fake.reg_failures = ok;
		assert_null(kvm_create_pit(kvm, KVM_PIT_SPEAKER_DUMMY));
		assert_true(list_empty(&kvm->irq_ack_notifier_list));
	}
	kvm->arch.irq_sources_bitmap = ~0ull;
	fake.reg_failures = ~0u;
	assert_null(kvm_create_pit(kvm, 0));
	fake_vm_free(kvm);
}

const struct CMUnitTest pit_tests[] = {
	cmocka_unit_test(test_access),      cmocka_unit_test(test_latch),
	cmocka_unit_test(test_read_back),   cmocka_unit_test(test_modes),
	cmocka_unit_test(test_bcd),         cmocka_unit_test(test_speaker),
	cmocka_unit_test(test_gate),        cmocka_unit_test(test_periodic_interrupt),
	cmocka_unit_test(test_no_drift),    cmocka_unit_test(test_one_shot_interrupt),
	cmocka_unit_test(test_reinjection), cmocka_unit_test(test_reinjection_pic),
	cmocka_unit_test(test_fast_period), cmocka_unit_test(test_watchdog),
	cmocka_unit_test(test_state),       cmocka_unit_test(test_create_failures),
};
const size_t pit_nr_tests = ARRAY_SIZE(pit_tests);
