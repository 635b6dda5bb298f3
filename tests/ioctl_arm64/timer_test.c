/* SPDX-License-Identifier: Apache-2.0 */
/* The generic timer: registers from both sides, outputs to a GIC in KVM and in user space, WFI, offsets. */
#include <time.h>
#include "tests/ioctl_arm64/arm64.h"

#define CNTFRQ(rt) MRS(rt, 3, 3, 14, 0, 0)
#define CNTVCT(rt) MRS(rt, 3, 3, 14, 0, 2)
#define CNTPCT(rt) MRS(rt, 3, 3, 14, 0, 1)
#define SET_CNTV_CVAL(rt) MSR(3, 3, 14, 3, 2, rt)
#define SET_CNTV_TVAL(rt) MSR(3, 3, 14, 3, 0, rt)
#define SET_CNTV_CTL(rt) MSR(3, 3, 14, 3, 1, rt)
#define GET_CNTV_CTL(rt) MRS(rt, 3, 3, 14, 3, 1)
#define SET_CNTP_TVAL(rt) MSR(3, 3, 14, 2, 0, rt)
#define SET_CNTP_CTL(rt) MSR(3, 3, 14, 2, 1, rt)
#define MS 1000000ull

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* At a place of its own: code that has run is not looked at again before the guest says so. */
static uint64_t frequency(void)
{
	static const uint32_t code[] = { CNTFRQ(1), REPORT(1) };

	memcpy(m.mem + 0x8000, code, sizeof(code));
	machine_words(&m, NULL, 0);
	set_reg(m.vcpu, PC, RAM_BASE + 0x8000);
	return machine_report(&m, 0);
}

/* The counter goes with the host's clock, from the guest's and from user space's view. */
static void counter(void **state)
{
	uint64_t hz = frequency(), t0, t1, c0, c1;

	assert_in_range(hz, 1000000, 100000000000ull);
	machine_asm(&m, CNTVCT(1), REPORT(1), CNTVCT(1), REPORT(1));
	t0 = now_ns();
	c0 = machine_report(&m, 0);
	usleep(50000);
	c1 = machine_report(&m, 0);
	t1 = now_ns();
	assert_in_range((c1 - c0) / (hz / 1000), 49, (t1 - t0) / MS + 1);
	assert_in_range(reg(m.vcpu, KVM_REG_ARM_TIMER_CNT), c1, c1 + hz * 10);
}

static void counter_can_be_set(void **state)
{
	uint64_t hz = frequency(), c;

	set_reg(m.vcpu, KVM_REG_ARM_TIMER_CNT, 1ull << 50);
	machine_asm(&m, CNTVCT(1), REPORT(1), CNTPCT(1), REPORT(1));
	c = machine_report(&m, 0);
	assert_in_range(c, 1ull << 50, (1ull << 50) + hz * 10);
	assert_true(machine_report(&m, 0) < 1ull << 50 || machine_report(&m, 0) > (1ull << 50) + hz * 20);
}

/* KVM_ARM_SET_COUNTER_OFFSET sets both and freezes them. */
static void counter_offset(void **state)
{
	uint64_t hz = frequency(), phys = reg(m.vcpu, KVM_REG_ARM_PTIMER_CNT), v, p;
	struct kvm_arm_counter_offset off = { .counter_offset = phys - 12345 };

	ok(IOCTL(m.vm, KVM_ARM_SET_COUNTER_OFFSET, &off));
	set_reg(m.vcpu, KVM_REG_ARM_TIMER_CNT, 1ull << 60); /* no effect any more */
	machine_asm(&m, CNTVCT(1), REPORT(1), CNTPCT(1), REPORT(1));
	v = machine_report(&m, 0);
	p = machine_report(&m, 0);
	assert_in_range(v, 12345, 12345 + hz * 10);
	assert_in_range(p, v, v + hz * 10);
}

static void registers(void **state)
{
	machine_asm(&m, SET_CNTV_CTL(1), GET_CNTV_CTL(2), REPORT(2), SET_CNTV_CVAL(3), GET_CNTV_CTL(2),
		    REPORT(2));
	set_reg(m.vcpu, X(1), 0xff);
	set_reg(m.vcpu, X(3), ~0ull);
	assert_int_equal(machine_report(&m, 0), 7); /* ENABLE, IMASK, and CVAL 0 has passed */
	assert_int_equal(machine_report(&m, 0), 3);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_TIMER_CTL), 3);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_TIMER_CVAL), ~0ull);
	set_reg(m.vcpu, KVM_REG_ARM_PTIMER_CVAL, 1234);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_PTIMER_CVAL), 1234);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_PTIMER_CTL), 4);
}

/* A GIC in user space hears of an output by kvm_run, when it goes up and when it goes down. */
static void user_space_irqchip(void **state)
{
	uint64_t hz = frequency(), t0 = now_ns();

	machine_asm(&m, SET_CNTV_TVAL(1), MOVZ(2, 1, 0), SET_CNTV_CTL(2), WFI, SET_CNTV_CTL(31), REPORT(1));
	set_reg(m.vcpu, X(1), hz / 50);
	fails(EINTR, machine_run(&m));
	assert_in_range(now_ns() - t0, 20 * MS, 20000 * MS);
	assert_int_equal(m.run->s.regs.device_irq_level, KVM_ARM_DEV_EL1_VTIMER);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_TIMER_CTL), 5);
	fails(EINTR, machine_run(&m)); /* the guest has switched it off */
	assert_int_equal(m.run->s.regs.device_irq_level, 0);
	machine_report(&m, 0);
}

/* GICv3: PPI 27 and 30, group 1, enabled in the redistributor and the CPU interface; IRQ taken; ICC_IAR1 says
 * which. */
static void set_up_interrupt(unsigned intid)
{
	static const uint32_t code[] = {
		/* x1: timer's ticks, x2 = 1; x20: redistributor's SGI frame, x21: intid's bit, x22: 0xff */
		STRW(21, 20),              /* GICR_IGROUPR0 at + 0x80 */
		MSR(3, 0, 4, 6, 0, 22),    /* ICC_PMR_EL1 */
		MSR(3, 0, 12, 12, 7, 2),   /* ICC_IGRPEN1_EL1 */
		STRW(21, 23),              /* GICR_ISENABLER0 at + 0x100 */
		STRW(24, 25),              /* GICD_CTLR: ARE, groups */
		ISB,
	};

	memcpy(m.mem + 0x4000, code, sizeof(code));
	set_reg(m.vcpu, X(2), 1);
	set_reg(m.vcpu, X(20), 0x080a0000 + 0x10000 + 0x80);
	set_reg(m.vcpu, X(21), 1u << intid);
	set_reg(m.vcpu, X(22), 0xff);
	set_reg(m.vcpu, X(23), 0x080a0000 + 0x10000 + 0x100);
	set_reg(m.vcpu, X(24), 0x13);
	set_reg(m.vcpu, X(25), 0x08000000);
}

static void interrupt(unsigned intid, const uint32_t *arm, size_t n)
{
	static const uint32_t handler[] = { MRS(27, 3, 0, 12, 12, 0), STRX(27, 28, 0), B_SELF };
	uint32_t code[32];
	uint64_t hz = frequency(), t0;
	size_t at = 6;

	machine_asm(&m, NOP);
	set_up_interrupt(intid);
	memcpy(code, m.mem + 0x4000, at * 4);
	memcpy(code + at, arm, n * 4);
	at += n;
	code[at++] = DAIFCLR(2);
	code[at++] = WFI;
	code[at++] = NOP;
	code[at++] = REPORT(31);
	memcpy(m.mem, code, at * 4);
	memcpy(m.mem + 0x10000 + 0x280, handler, sizeof(handler));
	set_reg(m.vcpu, X(1), hz / 50);
	t0 = now_ns();
	assert_int_equal(machine_report(&m, 0), intid);
	assert_in_range(now_ns() - t0, 20 * MS, 20000 * MS);
}

static void virtual_timer_interrupt(void **state)
{
	static const uint32_t arm[] = { SET_CNTV_TVAL(1), SET_CNTV_CTL(2) };

	interrupt(27, arm, 2);
}

static void physical_timer_interrupt(void **state)
{
	static const uint32_t arm[] = { SET_CNTP_TVAL(1), SET_CNTP_CTL(2) };

	interrupt(30, arm, 2);
}

/* A guest in WFI costs nothing. */
static void idle_is_free(void **state)
{
	uint64_t hz = frequency();
	struct timespec cpu0, cpu1;

	machine_asm(&m, SET_CNTV_TVAL(1), MOVZ(2, 1, 0), SET_CNTV_CTL(2), WFI, REPORT(1));
	set_reg(m.vcpu, X(1), hz / 2);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu0);
	fails(EINTR, machine_run(&m));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu1);
	assert_in_range((uint64_t)(cpu1.tv_sec - cpu0.tv_sec) * 1000000000ull +
				(uint64_t)(cpu1.tv_nsec - cpu0.tv_nsec),
			0, 50 * MS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, m_vectors, m_down)
#define TG(f) cmocka_unit_test_setup_teardown(f, m_gic, m_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(counter), T(counter_can_be_set), T(counter_offset), T(registers), T(user_space_irqchip),
		TG(virtual_timer_interrupt), TG(physical_timer_interrupt), T(idle_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
