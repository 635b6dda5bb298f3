/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_RUN on arm64: MMIO of every kind, aborts, system registers, interrupt lines, signals, WFI. */
#include <pthread.h>
#include "tests/ioctl_arm64/arm64.h"

#define EC(esr) ((esr) >> 26 & 0x3f)

static void leaves_with_mmio(bool write, unsigned len)
{
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.phys_addr, NOWHERE);
	assert_int_equal(m.run->mmio.is_write, write);
	assert_int_equal(m.run->mmio.len, len);
}

static void mmio_writes(void **state)
{
	static const uint8_t expected[8] = { 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 };

	machine_asm(&m, STRX(1, 28, 0), STRW(1, 28), STRH(1, 28), STRX(31, 28, 0), REPORT(2));
	set_reg(m.vcpu, X(1), 0x1122334455667788);
	set_reg(m.vcpu, X(2), 9);
	leaves_with_mmio(true, 8);
	assert_memory_equal(m.run->mmio.data, expected, 8);
	assert_int_equal(reg(m.vcpu, PC), CODE); /* not done before KVM_RUN is called again */
	leaves_with_mmio(true, 4);
	assert_memory_equal(m.run->mmio.data, expected, 4);
	leaves_with_mmio(true, 2);
	assert_memory_equal(m.run->mmio.data, expected, 2);
	leaves_with_mmio(true, 8);
	assert_int_equal(*(uint64_t *)m.run->mmio.data, 0);
	assert_int_equal(machine_report(&m, 0), 9);
}

static void answer(uint64_t val)
{
	memcpy(m.run->mmio.data, &val, 8);
}

static void mmio_reads(void **state)
{
	machine_asm(&m, LDRX(1, 28, 0), REPORT(1), LDRW(1, 28), REPORT(1), LDRB(1, 28), REPORT(1),
		    LDRSB(1, 28), REPORT(1), LDRSHW(1, 28), REPORT(1), LDRX(31, 28, 0), REPORT(2));
	leaves_with_mmio(false, 8);
	answer(0x8877665544332211);
	assert_int_equal(machine_report(&m, 0), 0x8877665544332211);
	leaves_with_mmio(false, 4);
	answer(0xffffffff80000001);
	assert_int_equal(machine_report(&m, 0), 0x80000001);
	leaves_with_mmio(false, 1);
	answer(0xffffffffffffff80);
	assert_int_equal(machine_report(&m, 0), 0x80);
	leaves_with_mmio(false, 1);
	answer(0x80);
	assert_int_equal(machine_report(&m, 0), 0xffffffffffffff80);
	leaves_with_mmio(false, 2);
	answer(0x8001);
	assert_int_equal(machine_report(&m, 0), 0xffff8001);
	leaves_with_mmio(false, 8);
	answer(5);
	assert_int_equal(machine_report(&m, 0), 0);
}

/* The answer counts also where KVM_RUN does nothing else. */
static void immediate_exit_takes_the_answer(void **state)
{
	machine_asm(&m, LDRX(1, 28, 0), REPORT(1));
	leaves_with_mmio(false, 8);
	answer(77);
	m.run->immediate_exit = 1;
	fails(EINTR, machine_run(&m));
	m.run->immediate_exit = 0;
	assert_int_equal(reg(m.vcpu, X(1)), 77);
	assert_int_equal(reg(m.vcpu, PC), CODE + 4);
	assert_int_equal(machine_report(&m, 0), 77);
}

/* A pair has no valid syndrome: an error, or an exit where user space asked for that. */
static void no_valid_syndrome(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_NISV_TO_USER };

	machine_asm(&m, STP(1, 2, 28), REPORT(3));
	fails(ENOSYS, machine_run(&m));
	assert_int_equal(reg(m.vcpu, PC), CODE);
	ok(IOCTL(m.vm, KVM_ENABLE_CAP, &cap));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_ARM_NISV);
	assert_int_equal(m.run->arm_nisv.fault_ipa, NOWHERE);
	assert_true(m.run->arm_nisv.esr_iss & 1 << 6); /* WnR */
	assert_false(m.run->arm_nisv.esr_iss & 1 << 24); /* ISV */
	set_reg(m.vcpu, PC, CODE + 4);
	set_reg(m.vcpu, X(3), 4);
	assert_int_equal(machine_report(&m, 0), 4);
}

static void abort_injected_by_user_space(void **state)
{
	struct kvm_vcpu_events e = { .exception.ext_dabt_pending = 1 };
	uint64_t esr;

	machine_asm(&m, NOP, LDRX(1, 28, 0), REPORT(1));
	leaves_with_mmio(false, 8);
	answer(1);
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	esr = machine_report(&m, 0);
	assert_int_equal(EC(esr), 0x25);
	assert_int_equal(esr & 0x3f, 0x10);
	assert_int_equal(machine_report(&m, 8), NOWHERE); /* FAR_EL1 */
	assert_int_equal(reg(m.vcpu, CORE_REG(elr_el1)), CODE + 4);
	assert_int_equal(reg(m.vcpu, X(1)), 0);
}

static void code_where_no_ram_is(void **state)
{
	uint64_t esr;

	machine_asm(&m, BR(28));
	esr = machine_report(&m, 0);
	assert_int_equal(EC(esr), 0x21);
	assert_int_equal(esr & 0x3f, 0x10);
	assert_int_equal(machine_report(&m, 8), NOWHERE);
}

static void read_only_memory(void **state)
{
	struct kvm_userspace_memory_region r = { .slot = 1, .guest_phys_addr = NOWHERE, .memory_size = 4096,
						 .flags = KVM_MEM_READONLY, .userspace_addr = (uintptr_t)m.mem };

	*(uint64_t *)m.mem = 1;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	machine_asm(&m, LDRX(1, 28, 0), STRX(1, 28, 0), NOP);
	leaves_with_mmio(true, 8);
	assert_int_equal(*(uint64_t *)m.run->mmio.data, reg(m.vcpu, X(1)));
}

#define LOGGED (RAM_BASE + 0x400000)

static void dirty_pages(uint64_t expected)
{
	uint64_t bits = 0;
	struct kvm_dirty_log log = { .slot = 2, .dirty_bitmap = &bits };

	ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits, expected);
}

static void dirty_log(void **state)
{
	uint8_t *mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = { .slot = 2, .guest_phys_addr = LOGGED, .memory_size = 0x10000,
						 .flags = KVM_MEM_LOG_DIRTY_PAGES, .userspace_addr = (uintptr_t)mem };

	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	machine_asm(&m, STRX(1, 2, 0), STRX(1, 2, 8), LDRX(4, 5, 0), REPORT(1), STP(1, 1, 3), REPORT(1),
		    STRX(1, 2, 0), REPORT(1));
	set_reg(m.vcpu, X(1), 77);
	set_reg(m.vcpu, X(2), LOGGED + 0x3000);
	set_reg(m.vcpu, X(3), LOGGED + 0x4ff8); /* a pair over two pages */
	set_reg(m.vcpu, X(5), LOGGED + 0x7000);
	machine_report(&m, 0);
	dirty_pages(1 << 3);
	dirty_pages(0);
	machine_report(&m, 0);
	dirty_pages(1 << 4 | 1 << 5);
	machine_report(&m, 0);
	dirty_pages(1 << 3); /* again: it is armed again */
	r.memory_size = 0;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	munmap(mem, 0x10000);
}

static void unknown_system_register(void **state)
{
	uint64_t esr;

	machine_asm(&m, NOP, MRS(1, 3, 3, 9, 12, 0)); /* PMCR_EL0 */
	esr = machine_report(&m, 0);
	assert_int_equal(EC(esr), 0);
	assert_int_equal(reg(m.vcpu, CORE_REG(elr_el1)), CODE + 4);
}

static void id_registers_are_read_only(void **state)
{
	uint64_t esr;

	machine_asm(&m, MSR(3, 0, 0, 4, 0, 1));
	esr = machine_report(&m, 0);
	assert_int_equal(EC(esr), 0);
}

static void serror(void **state)
{
	struct kvm_vcpu_events e = { .exception.serror_pending = 1 };

	machine_asm(&m, REPORT(1), DAIFCLR(4), NOP, NOP);
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	set_reg(m.vcpu, X(1), 3);
	assert_int_equal(machine_report(&m, 0), 3); /* masked */
	assert_int_equal(EC(machine_report(&m, 0)), 0x2f);
	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.serror_pending, 0);
}

static int irq_line(unsigned type, unsigned vcpu, unsigned num, unsigned level)
{
	struct kvm_irq_level l = { .irq = type << KVM_ARM_IRQ_TYPE_SHIFT | vcpu << KVM_ARM_IRQ_VCPU_SHIFT | num,
				   .level = level };

	return IOCTL(m.vm, KVM_IRQ_LINE, &l);
}

/* Without a GIC in KVM, user space drives the CPU's lines. */
static void cpu_lines(void **state)
{
	machine_asm(&m, REPORT(1), DAIFCLR(2), NOP, NOP, REPORT(2));
	set_reg(m.vcpu, X(1), 3);
	ok(irq_line(KVM_ARM_IRQ_TYPE_CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1));
	assert_int_equal(machine_report(&m, 0), 3);
	ok(machine_run(&m)); /* the vector's report */
	assert_int_equal(reg(m.vcpu, PC) & ~0x7full, VECTORS + 0x280);
	ok(irq_line(KVM_ARM_IRQ_TYPE_CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 0));
	set_reg(m.vcpu, PC, CODE + 4);
	set_reg(m.vcpu, PSTATE, PSTATE_EL1H);
	set_reg(m.vcpu, X(2), 4);
	m.run->exit_reason = 0; /* the report is not answered */
	assert_int_equal(machine_report(&m, 0), 4);
}

static void line_arguments(void **state)
{
	fails(EINVAL, irq_line(KVM_ARM_IRQ_TYPE_CPU, 1, KVM_ARM_IRQ_CPU_IRQ, 1));
	fails(EINVAL, irq_line(KVM_ARM_IRQ_TYPE_CPU, 0, 2, 1));
	fails(ENXIO, irq_line(KVM_ARM_IRQ_TYPE_PPI, 0, 20, 1));
	fails(ENXIO, irq_line(KVM_ARM_IRQ_TYPE_SPI, 0, 40, 1));
	fails(EINVAL, irq_line(5, 0, 40, 1));
}

static void line_arguments_with_gic(void **state)
{
	machine_down(&m);
	machine_up(&m, IRQCHIP);
	fails(ENXIO, irq_line(KVM_ARM_IRQ_TYPE_CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1));
	fails(EINVAL, irq_line(KVM_ARM_IRQ_TYPE_PPI, 0, 15, 1));
	fails(EINVAL, irq_line(KVM_ARM_IRQ_TYPE_PPI, 0, 32, 1));
	fails(EINVAL, irq_line(KVM_ARM_IRQ_TYPE_PPI, 1, 20, 1));
	fails(EINVAL, irq_line(KVM_ARM_IRQ_TYPE_SPI, 0, 31, 1));
	ok(irq_line(KVM_ARM_IRQ_TYPE_PPI, 0, 20, 1));
	ok(irq_line(KVM_ARM_IRQ_TYPE_SPI, 0, 40, 1));
}

static void *run_thread(void *arg)
{
	*(int *)arg = machine_run(&m);
	return NULL;
}

/* WFI sleeps until a line goes up. */
static void wfi_wakes(void **state)
{
	pthread_t t;
	int ret = -1;

	machine_asm(&m, WFI, REPORT(1));
	set_reg(m.vcpu, X(1), 6);
	assert_int_equal(pthread_create(&t, NULL, run_thread, &ret), 0);
	usleep(20000);
	/* masked by PSTATE: it wakes all the same */
	ok(irq_line(KVM_ARM_IRQ_TYPE_CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1));
	pthread_join(t, NULL);
	ok(ret);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(*(uint64_t *)m.run->mmio.data, 6);
}

/* KVM_MP_STATE_SUSPENDED ends with an interrupt, which user space is told of. */
static void suspended(void **state)
{
	struct kvm_mp_state s = { KVM_MP_STATE_SUSPENDED };

	machine_asm(&m, REPORT(1));
	ok(irq_line(KVM_ARM_IRQ_TYPE_CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1));
	ok(IOCTL(m.vcpu, KVM_SET_MP_STATE, &s));
	for (int i = 0; i < 2; i++) {
		ok(machine_run(&m));
		assert_int_equal(m.run->exit_reason, KVM_EXIT_SYSTEM_EVENT);
		assert_int_equal(m.run->system_event.type, KVM_SYSTEM_EVENT_WAKEUP);
	}
	s.mp_state = KVM_MP_STATE_RUNNABLE;
	ok(IOCTL(m.vcpu, KVM_SET_MP_STATE, &s));
	set_reg(m.vcpu, X(1), 8);
	assert_int_equal(machine_report(&m, 0), 8);
}

static void single_step(void **state)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	machine_asm(&m, MOVZ(1, 1, 0), MOVZ(1, 2, 0), MOVZ(1, 3, 0), REPORT(1));
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	for (unsigned i = 1; i <= 3; i++) {
		ok(machine_run(&m));
		assert_int_equal(m.run->exit_reason, KVM_EXIT_DEBUG);
		assert_int_equal(EC(m.run->debug.arch.hsr), 0x32);
		assert_int_equal(reg(m.vcpu, PC), CODE + 4 * i);
		assert_int_equal(reg(m.vcpu, X(1)), i);
	}
	dbg.control = 0;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	assert_int_equal(machine_report(&m, 0), 3);
}

/* User space's own breakpoint and watchpoint registers; the guest's keep what they have. */
static void hardware_debugging(void **state)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW };

	machine_asm(&m, NOP, NOP, STRX(1, 2, 0), MRS(3, 2, 0, 0, 0, 4), REPORT(3));
	set_reg(m.vcpu, SYS(2, 0, 0, 0, 4), 0x7770); /* DBGBVR0_EL1 */
	set_reg(m.vcpu, X(2), RAM_BASE + 0x1000);
	dbg.arch.dbg_bvr[0] = CODE + 4;
	dbg.arch.dbg_bcr[0] = 0xf << 5 | 3 << 1 | 1;
	dbg.arch.dbg_wvr[1] = RAM_BASE + 0x1000;
	dbg.arch.dbg_wcr[1] = 0xff << 5 | 2 << 3 | 3 << 1 | 1; /* stores */
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(EC(m.run->debug.arch.hsr), 0x30);
	assert_int_equal(reg(m.vcpu, PC), CODE + 4);
	dbg.arch.dbg_bcr[0] = 0;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(EC(m.run->debug.arch.hsr), 0x34);
	assert_int_equal(m.run->debug.arch.far, RAM_BASE + 0x1000);
	assert_int_equal(reg(m.vcpu, PC), CODE + 8);
	dbg.control = 0;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	assert_int_equal(machine_report(&m, 0), 0x7770);
}

/* BRK is the guest's, or user space's where it debugs. */
static void software_breakpoint(void **state)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };

	machine_asm(&m, NOP, BRK(5), REPORT(1));
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(EC(m.run->debug.arch.hsr), 0x3c);
	assert_int_equal(m.run->debug.arch.hsr & 0xffff, 5);
	assert_int_equal(reg(m.vcpu, PC), CODE + 4);
	dbg.control = 0;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	assert_int_equal(EC(machine_report(&m, 0)), 0x3c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, m_vectors, m_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(mmio_writes), T(mmio_reads), T(immediate_exit_takes_the_answer), T(no_valid_syndrome),
		T(abort_injected_by_user_space), T(code_where_no_ram_is), T(read_only_memory), T(dirty_log),
		T(unknown_system_register), T(id_registers_are_read_only), T(serror), T(cpu_lines),
		T(line_arguments), T(line_arguments_with_gic), T(wfi_wakes), T(suspended), T(single_step), T(hardware_debugging),
		T(software_breakpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
