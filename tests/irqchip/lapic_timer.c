/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC's timer in virtual time. One input tick is 1 ns. */
#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

#define VEC 0xec

static struct kvm *timer_vm(struct kvm_vcpu **vcpu)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0);

	*vcpu = kvm->vcpus[0];
	xapic_enable(*vcpu);
	return kvm;
}

/* What the run loop does before entry; then the interrupt is taken and ended. */
static bool fired(struct kvm_vcpu *vcpu)
{
	bool pending = kvm_cpu_has_pending_timer(vcpu);
	int vector;

	kvm_inject_pending_timer_irqs(vcpu);
	vector = kvm_cpu_get_interrupt(vcpu);
	assert_int_equal(vector, pending ? VEC : -1);
	if (pending)
		xapic_write(vcpu, APIC_EOI, 0);
	return pending;
}

static void test_one_shot(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_TDCR, 0xb); /* divide by 1 */
	xapic_write(vcpu, APIC_LVTT, VEC);
	xapic_write(vcpu, APIC_TMICT, 1000);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 0); /* just loaded: 1000 mod 1000 */
	fake_advance(1);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 999);
	fake_advance(998);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 1);
	assert_false(fired(vcpu));
	fake.kicks[0] = 0;
	fake_advance(1);
	assert_int_equal(fake.kicks[0], 1);
	assert_true(kvm_check_request(KVM_REQ_UNBLOCK, vcpu));
	assert_true(fired(vcpu));
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 0);
	assert_int_equal(xapic_read(vcpu, APIC_TMICT), 1000);
	fake_advance(5000);
	assert_false(fired(vcpu));
	xapic_write(vcpu, APIC_TMICT, 10);
	fake_advance(10);
	xapic_write(vcpu, APIC_TMICT, 100); /* a new count takes back what has not been delivered */
	assert_false(fired(vcpu));
	xapic_write(vcpu, APIC_TMICT, 0); /* stops */
	fake_advance(5000);
	assert_false(fired(vcpu));
	assert_int_equal(fake_timers_armed(), 0);
	fake_vm_free(kvm);
}

static void test_divide(void **state)
{
	static const struct {
		u8 tdcr;
		unsigned divide;
	} rows[] = { { 0x0, 2 },  { 0x1, 4 },  { 0x2, 8 },   { 0x3, 16 },
		     { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 } };
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, VEC);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		xapic_write(vcpu, APIC_TDCR, rows[i].tdcr);
		xapic_write(vcpu, APIC_TMICT, 100);
		fake_advance(40 * rows[i].divide);
		assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 60);
		fake_advance(60 * rows[i].divide - 1);
		assert_false(fired(vcpu));
		fake_advance(1);
		assert_true(fired(vcpu));
	}
	fake_vm_free(kvm);
}

/* A divider written while counting scales what remains. */
static void test_divide_while_counting(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, VEC);
	xapic_write(vcpu, APIC_TDCR, 0xb);
	xapic_write(vcpu, APIC_TMICT, 1000);
	fake_advance(400);
	xapic_write(vcpu, APIC_TDCR, 0x1); /* by 4: 600 counts are 2400 ns now */
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 600);
	fake_advance(2399);
	assert_false(fired(vcpu));
	fake_advance(1);
	assert_true(fired(vcpu));
	xapic_write(vcpu, APIC_TDCR, 0xb); /* expired: nothing to restart */
	fake_advance(10000);
	assert_false(fired(vcpu));
	fake_vm_free(kvm);
}

static void test_bus_frequency(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	kvm->arch.apic_bus_cycle_ns = 40; /* 25 MHz */
	xapic_write(vcpu, APIC_LVTT, VEC);
	xapic_write(vcpu, APIC_TDCR, 0xb);
	xapic_write(vcpu, APIC_TMICT, 100);
	fake_advance(1000);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 75);
	fake_advance(3000);
	assert_true(fired(vcpu));
	fake_vm_free(kvm);
}

static void test_periodic(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VEC);
	xapic_write(vcpu, APIC_TDCR, 0xb);
	xapic_write(vcpu, APIC_TMICT, 1000000);
	for (unsigned i = 0; i < 5; i++) {
		fake_advance(999999);
		assert_false(fired(vcpu));
		fake_advance(1);
		assert_true(fired(vcpu));
	}
	fake_advance(300000);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 700000);
	fake_advance(5000000); /* missed periods are one interrupt */
	assert_true(fired(vcpu));
	assert_false(fired(vcpu));
	xapic_write(vcpu, APIC_LVTT, VEC); /* one-shot now: the running count is the last */
	fake_advance(700000);
	assert_true(fired(vcpu));
	fake_advance(3000000);
	assert_false(fired(vcpu));
	fake_vm_free(kvm);
}

/* A guest cannot ask for more than 5000 interrupts a second. */
static void test_periodic_floor(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VEC);
	xapic_write(vcpu, APIC_TMICT, 1);
	fake_advance(199999);
	assert_false(fired(vcpu));
	fake_advance(1);
	assert_true(fired(vcpu));
	fake_advance(200000);
	assert_true(fired(vcpu));
	xapic_write(vcpu, APIC_LVTT, VEC);
	xapic_write(vcpu, APIC_TMICT, 500);
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VEC); /* nor by the back door */
	fake_advance(1000);
	assert_true(fired(vcpu));
	fake_advance(150000);
	assert_false(fired(vcpu));
	fake_vm_free(kvm);
}

static void test_masked(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, APIC_LVT_MASKED | VEC);
	xapic_write(vcpu, APIC_TMICT, 100);
	fake_advance(1000);
	assert_false(kvm_cpu_has_pending_timer(vcpu));
	kvm_inject_pending_timer_irqs(vcpu);
	xapic_write(vcpu, APIC_LVTT, VEC);
	assert_false(fired(vcpu)); /* it expired while masked: lost */
	xapic_write(vcpu, APIC_TMICT, 100);
	fake_advance(1000);
	xapic_write(vcpu, APIC_SPIV, 0xff); /* software-disable drops what is pending */
	xapic_enable(vcpu);
	xapic_write(vcpu, APIC_LVTT, VEC);
	assert_false(fired(vcpu));
	fake_vm_free(kvm);
}

static void test_tsc_deadline(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);
	u64 tsc = kvm_read_l1_tsc(vcpu);

	kvm_set_lapic_tscdeadline_msr(vcpu, tsc + 100); /* wrong mode: ignored */
	assert_true(kvm_get_lapic_tscdeadline_msr(vcpu) == 0);
	assert_int_equal(fake_timers_armed(), 0);
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VEC);
	kvm_set_lapic_tscdeadline_msr(vcpu, tsc + 2000);
	assert_true(kvm_get_lapic_tscdeadline_msr(vcpu) == tsc + 2000);
	fake_advance(999);
	assert_false(fired(vcpu));
	fake_advance(1); /* 2 TSC ticks a ns */
	assert_true(fired(vcpu));
	assert_true(kvm_get_lapic_tscdeadline_msr(vcpu) == 0);
	kvm_set_lapic_tscdeadline_msr(vcpu, 1); /* in the past: at once */
	assert_true(fired(vcpu));
	kvm_set_lapic_tscdeadline_msr(vcpu, tsc + 1000000);
	kvm_set_lapic_tscdeadline_msr(vcpu, 0); /* disarms */
	assert_int_equal(fake_timers_armed(), 0);
	xapic_write(vcpu, APIC_TMICT, 1000); /* ignored in this mode */
	assert_int_equal(xapic_read(vcpu, APIC_TMICT), 0);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 0);
	assert_int_equal(fake_timers_armed(), 0);
	fake_vm_free(kvm);
}

static void test_mode_changes(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, VEC);
	xapic_write(vcpu, APIC_TMICT, 1000);
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VEC); /* disarms */
	assert_int_equal(fake_timers_armed(), 0);
	assert_int_equal(xapic_read(vcpu, APIC_TMICT), 0);
	kvm_set_lapic_tscdeadline_msr(vcpu, kvm_read_l1_tsc(vcpu) + 100);
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VEC);
	assert_int_equal(fake_timers_armed(), 0);
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VEC);
	assert_true(kvm_get_lapic_tscdeadline_msr(vcpu) == 0);
	vcpu->arch.guest_has_tsc_deadline = false;
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VEC);
	assert_int_equal(xapic_read(vcpu, APIC_LVTT), VEC); /* the bit is reserved then */
	fake_vm_free(kvm);
}

static void test_reset_stops(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);

	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VEC);
	xapic_write(vcpu, APIC_TMICT, 1000000);
	kvm_lapic_reset(vcpu, true);
	assert_int_equal(fake_timers_armed(), 0);
	xapic_enable(vcpu);
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VEC);
	kvm_set_lapic_tscdeadline_msr(vcpu, ~0ull >> 1);
	kvm_lapic_reset(vcpu, true);
	assert_int_equal(fake_timers_armed(), 0);
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 0);
	fake_vm_free(kvm);
}

static void test_state(void **state)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm = timer_vm(&vcpu);
	struct kvm_lapic_state s;

	xapic_write(vcpu, APIC_LVTT, VEC);
	xapic_write(vcpu, APIC_TDCR, 0x3);
	xapic_write(vcpu, APIC_TMICT, 1000);
	fake_advance(16 * 300);
	kvm_apic_get_state(vcpu, &s);
	assert_int_equal(*(u32 *)&s.regs[APIC_TMCCT], 700);
	fake_advance(1000000);
	assert_true(fired(vcpu));
	kvm_apic_set_state(vcpu, &s); /* goes on from 700 */
	assert_int_equal(xapic_read(vcpu, APIC_TMCCT), 700);
	fake_advance(16 * 700 - 1);
	assert_false(fired(vcpu));
	fake_advance(1);
	assert_true(fired(vcpu));
	kvm_apic_get_state(vcpu, &s);
	kvm_apic_set_state(vcpu, &s); /* an expired one-shot fires again: its interrupt may be lost */
	fake_advance(0);
	assert_true(fired(vcpu));
	xapic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VEC);
	xapic_write(vcpu, APIC_TMICT, 100000);
	fake_advance(16 * 25000);
	kvm_apic_get_state(vcpu, &s);
	kvm_lapic_reset(vcpu, false);
	kvm_apic_set_state(vcpu, &s);
	fake_advance(16 * 75000);
	assert_true(fired(vcpu));
	fake_advance(16 * 100000);
	assert_true(fired(vcpu));
	*(u32 *)&s.regs[APIC_TMCCT] = 5000000; /* more than the initial count: that is used */
	kvm_apic_set_state(vcpu, &s);
	fake_advance(16 * 100000);
	assert_true(fired(vcpu));
	fake_vm_free(kvm);
}

const struct CMUnitTest lapic_timer_tests[] = {
	cmocka_unit_test(test_one_shot),
	cmocka_unit_test(test_divide),
	cmocka_unit_test(test_divide_while_counting),
	cmocka_unit_test(test_bus_frequency),
	cmocka_unit_test(test_periodic),
	cmocka_unit_test(test_periodic_floor),
	cmocka_unit_test(test_masked),
	cmocka_unit_test(test_tsc_deadline),
	cmocka_unit_test(test_mode_changes),
	cmocka_unit_test(test_reset_stops),
	cmocka_unit_test(test_state),
};
const size_t lapic_timer_nr_tests = ARRAY_SIZE(lapic_timer_tests);
