/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The performance monitor: its feature, attributes, registers from both sides; counting, filters,
 * interrupts.
 */
#include <stdlib.h>
#include "tests/ioctl_arm64/arm64.h"

#define FEATURES_PMU (FEATURES_PSCI | 1u << KVM_ARM_VCPU_PMU_V3)
#define PMU_PPI 23
#define CYCLES (1u << 31) /* the cycle counter's bit */
#define HOST_PMU 4        /* /sys/bus/event_source/devices/cpu/type */

#define PMCR 3, 3, 9, 12, 0
#define PMCNTENSET 3, 3, 9, 12, 1
#define PMCNTENCLR 3, 3, 9, 12, 2
#define PMOVSCLR 3, 3, 9, 12, 3
#define PMSWINC 3, 3, 9, 12, 4
#define PMSELR 3, 3, 9, 12, 5
#define PMCEID0 3, 3, 9, 12, 6
#define PMCEID1 3, 3, 9, 12, 7
#define PMCCNTR 3, 3, 9, 13, 0
#define PMXEVTYPER 3, 3, 9, 13, 1
#define PMXEVCNTR 3, 3, 9, 13, 2
#define PMUSERENR 3, 3, 9, 14, 0
#define PMOVSSET 3, 3, 9, 14, 3
#define PMINTENSET 3, 0, 9, 14, 1
#define PMINTENCLR 3, 0, 9, 14, 2
#define PMEVCNTR(n) 3, 3, 14, 8 + (n) / 8, (n) % 8
#define PMEVTYPER(n) 3, 3, 14, 12 + (n) / 8, (n) % 8
#define PMCCFILTR PMEVTYPER(31)
#define DFR0 3, 0, 0, 5, 0
#define CALL(macro, ...) macro(__VA_ARGS__) /* the register's name is five arguments */
#define GET(rt, reg) CALL(MRS, rt, reg)
#define PUT(reg, rt) CALL(MSR, reg, rt)
#define ID(reg) CALL(SYS, reg)

#define CNTVCT(rt) MRS(rt, 3, 3, 14, 0, 2)
#define SVC 0xd4000001u
#define ERET 0xd69f03e0u
/* Until the counter is x9 further than now; x10, x11 change. */
#define SPIN \
	CNTVCT(10), ADD(10, 10, 9), CNTVCT(11), 0xeb00001fu | 10 << 16 | 11 << 5 /* CMP */, \
		0x54000003u | (-2u & 0x7ffff) << 5 /* B.LO */
/* x1 to EL0 */
#define TO_EL0 MSR(3, 0, 4, 0, 1, 1), MSR(3, 0, 4, 0, 0, 31), ERET

#define P BIT32(31)
#define U BIT32(30)
#define BIT32(n) (1u << (n))

static int attr(int vcpu, unsigned long op, uint64_t which, const void *value)
{
	struct kvm_device_attr a = { .group = KVM_ARM_VCPU_PMU_V3_CTRL, .attr = which, .addr = (uintptr_t)value };

	return IOCTL(vcpu, op, &a);
}

static int set_irq(int vcpu, int irq)
{
	return attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_IRQ, &irq);
}

static int pmu_init(int vcpu)
{
	return attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_INIT, NULL);
}

static int filter(unsigned base, unsigned n, unsigned action)
{
	struct kvm_pmu_event_filter f = { .base_event = (uint16_t)base, .nevents = (uint16_t)n, .action = (uint8_t)action };

	return attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_FILTER, &f);
}

static int set_up(void **state)
{
	machine_up_with(&m, NO_IRQCHIP, FEATURES_PMU);
	machine_vectors(&m);
	return 0;
}

/* Ready to run. */
static int set_up_ready(void **state)
{
	set_up(state);
	ok(pmu_init(m.vcpu));
	return 0;
}

static int set_up_gic(void **state)
{
	machine_up_with(&m, IRQCHIP, FEATURES_PMU);
	machine_vectors(&m);
	return 0;
}

/* ---- the feature ---- */

/* How many of the list are the monitor's. */
static unsigned listed(void)
{
	struct kvm_reg_list *list = calloc(1, sizeof(*list) + 1000 * sizeof(list->reg[0]));
	unsigned n = 0;

	list->n = 1000;
	ok(IOCTL(m.vcpu, KVM_GET_REG_LIST, list));
	for (uint64_t i = 0; i < list->n; i++) {
		uint64_t sys = list->reg[i] & 0xffff, base = ID(PMCR) & 0xffff,
			 counters = ID(PMEVCNTR(0)) & 0xffff;

		if ((list->reg[i] & KVM_REG_ARM_COPROC_MASK) != KVM_REG_ARM64_SYSREG)
			continue;
		n += (sys >= base && sys <= (ID(PMOVSSET) & 0xffff)) ||
		     (sys >= counters && sys < counters + 64) || list->reg[i] == ID(PMINTENSET) ||
		     list->reg[i] == ID(PMINTENCLR);
	}
	free(list);
	return n;
}

static void not_without_the_feature(void **state)
{
	uint64_t val;

	assert_int_equal(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PMU_V3), 1);
	fails(ENXIO, attr(m.vcpu, KVM_HAS_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_IRQ, NULL));
	fails(ENODEV, set_irq(m.vcpu, PMU_PPI));
	fails(ENODEV, pmu_init(m.vcpu));
	fails(ENODEV, attr(m.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_IRQ, &val));
	fails(ENOENT, get_one(m.vcpu, ID(PMCR), &val));
	assert_int_equal(listed(), 0);
	assert_int_equal(reg(m.vcpu, ID(DFR0)) >> 8 & 15, 0);
	val = reg(m.vcpu, ID(DFR0)) | 1 << 8;
	fails(EINVAL, set_one(m.vcpu, ID(DFR0), &val));
	machine_asm(&m, GET(1, PMCR), NOP);
	assert_int_equal(machine_report(&m, 0), 1u << 25); /* UNDEFINED */
}

/* As many as aarch64/get-reg-list expects. */
static void list_has_them(void **state)
{
	assert_int_equal(listed(), 74);
	assert_int_equal(reg(m.vcpu, ID(DFR0)) >> 8 & 15, 6); /* PMUv3p5 */
}

static void same_for_all(void **state)
{
	int vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 1);

	ok(vcpu);
	fails(EINVAL, vcpu_init(vcpu, FEATURES_PSCI));
	ok(vcpu_init(vcpu, FEATURES_PMU));
	ok(k_close(vcpu));
}

/* ---- attributes ---- */

static void interrupt_number(void **state)
{
	int irq;

	for (unsigned i = 0; i < 4; i++)
		ok(attr(m.vcpu, KVM_HAS_DEVICE_ATTR, i, NULL));
	fails(ENXIO, attr(m.vcpu, KVM_HAS_DEVICE_ATTR, 4, NULL));
	fails(ENXIO, attr(m.vcpu, KVM_SET_DEVICE_ATTR, 4, NULL));
	fails(ENXIO, attr(m.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_INIT, &irq));
	fails(ENXIO, attr(m.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_IRQ, &irq));
	fails(ENXIO, pmu_init(m.vcpu)); /* without a number */
	fails(EFAULT, attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_IRQ, (void *)BAD_POINTER));
	fails(EINVAL, set_irq(m.vcpu, 15));
	fails(EINVAL, set_irq(m.vcpu, 1020));
	fails(EINVAL, set_irq(m.vcpu, -1));
	ok(set_irq(m.vcpu, PMU_PPI));
	fails(EBUSY, set_irq(m.vcpu, PMU_PPI));
	fails(EINVAL, set_irq(m.vcpu, 22));
	ok(attr(m.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_IRQ, &irq));
	assert_int_equal(irq, PMU_PPI);
	ok(pmu_init(m.vcpu));
	fails(EBUSY, pmu_init(m.vcpu));
	fails(EBUSY, set_irq(m.vcpu, PMU_PPI));
	fails(EBUSY, filter(0, 1, KVM_PMU_EVENT_ALLOW));
}

/* Two vCPUs, made before the GIC: a PPI is the same on both, an SPI is not. */
static void interrupt_numbers_of_two(void **state)
{
	struct kvm_create_device cd = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	int b;

	b = IOCTL(m.vm, KVM_CREATE_VCPU, 1);
	ok(b);
	ok(vcpu_init(b, FEATURES_PMU));
	fails(EINVAL, set_irq(m.vcpu, PMU_PPI)); /* no GIC */
	ok(IOCTL(m.vm, KVM_CREATE_DEVICE, &cd));
	fails(ENODEV, pmu_init(m.vcpu)); /* not initialized */
	ok(set_irq(m.vcpu, 40));
	fails(EINVAL, set_irq(b, 40));
	fails(EINVAL, set_irq(b, PMU_PPI));
	ok(set_irq(b, 41));
	ok(k_close((int)cd.fd));
	ok(k_close(b));
}

static void run_needs_it(void **state)
{
	fails(EINVAL, machine_run(&m));
	ok(set_irq(m.vcpu, 300)); /* beyond the GIC's 256 interrupts */
	fails(EINVAL, pmu_init(m.vcpu));
	fails(EINVAL, machine_run(&m));
}

/* An interrupt that is the virtual timer's. */
static void interrupt_is_taken(void **state)
{
	ok(set_irq(m.vcpu, 27));
	ok(pmu_init(m.vcpu));
	fails(EINVAL, machine_run(&m));
}

static void which_pmu(void **state)
{
	int id = HOST_PMU;

	fails(EFAULT, attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_SET_PMU, (void *)BAD_POINTER));
	ok(attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_SET_PMU, &id));
	id = 12345;
	fails(ENXIO, attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_SET_PMU, &id));
	ok(pmu_init(m.vcpu));
	fails(EBUSY, attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_SET_PMU, &id));
}

static void filter_arguments(void **state)
{
	fails(EFAULT, attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_PMU_V3_FILTER, (void *)BAD_POINTER));
	fails(EINVAL, filter(0xffff, 2, KVM_PMU_EVENT_ALLOW));
	fails(EINVAL, filter(0, 1, 2));
	ok(filter(0xffff, 1, KVM_PMU_EVENT_ALLOW));
	ok(filter(0, 0xffff, KVM_PMU_EVENT_DENY));
}

/* The first one allows: all others are denied. PMCEID0_EL0 says so, and the cycle counter stands still. */
static void filter_denies(void **state)
{
	ok(filter(9, 2, KVM_PMU_EVENT_ALLOW));
	ok(pmu_init(m.vcpu));
	machine_asm(&m, GET(1, PMCEID0), REPORT(1), PUT(PMCNTENSET, 2), PUT(PMCR, 3), SPIN, GET(1, PMCCNTR),
		    REPORT(1));
	set_reg(m.vcpu, X(2), CYCLES);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(9), 100000);
	assert_int_equal(machine_report(&m, 0), 3u << 9);
	assert_int_equal(machine_report(&m, 0), 0);
}

/* ---- registers ---- */

static void pmcr(void **state)
{
	uint64_t val = reg(m.vcpu, ID(PMCR));

	assert_int_equal(val, 6u << 11 | 1u << 6); /* six event counters; LC: no AArch32 */
	val = 31u << 11;                           /* too many: not taken */
	set_reg(m.vcpu, ID(PMCR), val);
	assert_int_equal(reg(m.vcpu, ID(PMCR)), 6u << 11 | 1u << 6);
	set_reg(m.vcpu, ID(PMCR), 2u << 11);
	machine_asm(&m, PUT(PMCR, 1), GET(2, PMCR), REPORT(2), GET(2, PMEVCNTR(1)), REPORT(2),
		    GET(2, PMEVCNTR(2)));
	set_reg(m.vcpu, X(1), ~1ull); /* all but E; C and P read as 0, N does not change */
	assert_int_equal(machine_report(&m, 0), 2u << 11 | 0xf8);
	assert_int_equal(machine_report(&m, 0), 0);
	assert_int_equal(machine_report(&m, 0), 1u << 25); /* no such counter */
	set_reg(m.vcpu, ID(PMCR), 3u << 11);               /* too late */
	assert_int_equal(reg(m.vcpu, ID(PMCR)), 2u << 11 | 1u << 6);
}

static void version_goes_down(void **state)
{
	uint64_t dfr0 = reg(m.vcpu, ID(DFR0)), val = dfr0 + (1 << 8);

	fails(EINVAL, set_one(m.vcpu, ID(DFR0), &val));
	val = dfr0 | 15 << 8; /* IMPLEMENTATION DEFINED is taken for none */
	ok(set_one(m.vcpu, ID(DFR0), &val));
	assert_int_equal(reg(m.vcpu, ID(DFR0)) >> 8 & 15, 0);
	val = (dfr0 & ~(15ull << 8)) | 1 << 8;
	ok(set_one(m.vcpu, ID(DFR0), &val));
	/* PMUv3: ten bits of event, 32 of counter, no LP */
	machine_asm(&m, PUT(PMEVTYPER(0), 1), GET(2, PMEVTYPER(0)), REPORT(2), PUT(PMEVCNTR(0), 1),
		    GET(2, PMEVCNTR(0)), REPORT(2), PUT(PMCR, 3), GET(2, PMCR), REPORT(2));
	set_reg(m.vcpu, X(1), ~0ull);
	set_reg(m.vcpu, X(3), 1 << 7);
	assert_int_equal(machine_report(&m, 0), P | U | 0x3ff);
	assert_int_equal(machine_report(&m, 0), ~0u);
	assert_int_equal(machine_report(&m, 0), 6u << 11 | 1u << 6);
}

/* Sets and clears bits of counters that there are; the same from user space. */
static void bit_registers(void **state)
{
	machine_asm(&m, PUT(PMCNTENSET, 1), PUT(PMINTENSET, 1), PUT(PMOVSSET, 1), PUT(PMCNTENCLR, 2),
		    PUT(PMINTENCLR, 2), PUT(PMOVSCLR, 2), GET(3, PMCNTENSET), REPORT(3), GET(3, PMCNTENCLR),
		    REPORT(3), GET(3, PMINTENSET), REPORT(3), GET(3, PMOVSCLR), REPORT(3), GET(3, PMOVSSET),
		    REPORT(3));
	set_reg(m.vcpu, X(1), ~0ull);
	set_reg(m.vcpu, X(2), 3);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(machine_report(&m, 0), CYCLES | 0x3c);
	set_reg(m.vcpu, ID(PMOVSCLR), 4);
	assert_int_equal(reg(m.vcpu, ID(PMOVSSET)), CYCLES | 0x38);
	set_reg(m.vcpu, ID(PMINTENSET), ~0ull);
	assert_int_equal(reg(m.vcpu, ID(PMINTENCLR)), CYCLES | 0x3f);
	set_reg(m.vcpu, ID(PMSWINC), ~0ull);
	assert_int_equal(reg(m.vcpu, ID(PMSWINC)), 0);
}

static void counters_and_types(void **state)
{
	machine_asm(&m, PUT(PMSELR, 1), PUT(PMXEVTYPER, 2), PUT(PMXEVCNTR, 3), GET(4, PMEVTYPER(5)),
		    REPORT(4), GET(4, PMEVCNTR(5)), REPORT(4), PUT(PMSELR, 5), GET(4, PMSELR), REPORT(4),
		    PUT(PMXEVTYPER, 2), GET(4, PMCCFILTR), REPORT(4), GET(4, PMXEVCNTR));
	set_reg(m.vcpu, X(1), 5);
	set_reg(m.vcpu, X(2), ~0ull);
	set_reg(m.vcpu, X(3), 1ull << 40);
	set_reg(m.vcpu, X(5), 0xff);
	assert_int_equal(machine_report(&m, 0), P | U | 0xffff);
	assert_int_equal(machine_report(&m, 0), 1ull << 40);
	assert_int_equal(machine_report(&m, 0), 31);
	assert_int_equal(machine_report(&m, 0), P | U | 0xffff);
	assert_int_equal(reg(m.vcpu, ID(PMEVCNTR(5))), 1ull << 40);
	set_reg(m.vcpu, ID(PMEVCNTR(5)), 77);
	assert_int_equal(reg(m.vcpu, ID(PMEVCNTR(5))), 77);
	set_reg(m.vcpu, ID(PMCCNTR), 78);
	assert_int_equal(reg(m.vcpu, ID(PMCCNTR)), 78);
}

/* What the software CPU can count, and no more; read-only and write-only registers. */
static void events_and_directions(void **state)
{
	machine_asm(&m, GET(1, PMCEID0), REPORT(1), GET(1, PMCEID1), REPORT(1), PUT(PMCEID0, 1));
	assert_int_equal(machine_report(&m, 0), 1u << 0 | 3u << 9 | 1u << 0x11 | 1u << 0x1e);
	assert_int_equal(machine_report(&m, 0), 0);
	assert_int_equal(machine_report(&m, 0), 1u << 25);
	machine_words(&m, NULL, 0);
	set_reg(m.vcpu, PC, RAM_BASE + 0x8000);
	*(uint32_t *)(m.mem + 0x8000) = GET(1, PMSWINC);
	assert_int_equal(machine_report(&m, 0), 1u << 25);
}

/* ---- counting ---- */

/* Start by x2 (counters) and x3 (PMCR_EL0), stop by x31. */
#define START PUT(PMCNTENSET, 2), PUT(PMCR, 3), ISB
#define STOP PUT(PMCR, 31)

static uint64_t hz(void)
{
	uint64_t freq;

	*(uint32_t *)(m.mem + 0x8000) = MRS(1, 3, 3, 14, 0, 0);
	*(uint32_t *)(m.mem + 0x8004) = REPORT(1);
	machine_words(&m, NULL, 0);
	set_reg(m.vcpu, PC, RAM_BASE + 0x8000);
	freq = machine_report(&m, 0);
	return freq;
}

/* Time in the guest by the cycle counter and by an event counter: no more than there was, most of it. */
static void cycles(void **state)
{
	uint64_t ticks = hz() / 50, whole, c;

	machine_asm(&m, PUT(PMEVTYPER(3), 4), CNTVCT(5), START, SPIN, STOP, CNTVCT(6), GET(1, PMCCNTR),
		    REPORT(1), GET(1, PMEVCNTR(3)), REPORT(1), REPORT(5), REPORT(6), GET(1, PMOVSSET),
		    REPORT(1));
	set_reg(m.vcpu, X(2), CYCLES | 1 << 3);
	set_reg(m.vcpu, X(3), 7); /* E, with both resets */
	set_reg(m.vcpu, X(4), 0x11);
	set_reg(m.vcpu, X(9), ticks);
	set_reg(m.vcpu, ID(PMCCNTR), 1ull << 50);
	c = machine_report(&m, 0);
	assert_int_equal(machine_report(&m, 0), c);
	whole = -machine_report(&m, 0);
	whole += machine_report(&m, 0);
	assert_in_range(c, ticks / 2, whole);
	assert_int_equal(machine_report(&m, 0), 0);
	assert_int_equal(reg(m.vcpu, ID(PMCCNTR)), c); /* it stands */
}

/* Leaves for user space between: what is set there is counted on from. */
static void saved_and_restored(void **state)
{
	uint64_t a, b;

	machine_asm(&m, START, REPORT(31), SPIN, REPORT(31));
	set_reg(m.vcpu, X(2), CYCLES);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(9), 100000);
	machine_report(&m, 0);
	a = reg(m.vcpu, ID(PMCCNTR));
	usleep(1000);
	assert_int_equal(reg(m.vcpu, ID(PMCCNTR)), a); /* not the guest's time */
	set_reg(m.vcpu, ID(PMCCNTR), 1ull << 50);
	machine_report(&m, 0);
	b = reg(m.vcpu, ID(PMCCNTR)) - (1ull << 50);
	assert_in_range(b, 50000, 1ull << 50);
}

/*
 * A stretch at EL1, one at EL0, with PMCCFILTR_EL0 = bits. x20: before counting, x21: before EL0, x22
 * and x23: around what EL0 does, x24: after counting.
 */
static uint64_t filtered(uint32_t bits)
{
	static const uint32_t user[] = { CNTVCT(22), SPIN, CNTVCT(23), SVC };
	static const uint32_t back[] = { STOP, CNTVCT(24), GET(1, PMCCNTR), REPORT(1) };
	uint64_t ticks = hz() / 100;

	machine_asm(&m, PUT(PMCCFILTR, 5), MSR(3, 0, 14, 1, 0, 6), CNTVCT(20), START, SPIN, CNTVCT(21),
		    TO_EL0);
	memcpy(m.mem + 0x4000, user, sizeof(user));
	memcpy(m.mem + (VECTORS - RAM_BASE) + 0x400, back, sizeof(back));
	set_reg(m.vcpu, X(1), RAM_BASE + 0x4000);
	set_reg(m.vcpu, X(2), CYCLES);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(5), bits);
	set_reg(m.vcpu, X(6), 3); /* CNTKCTL_EL1: EL0 reads the counters */
	set_reg(m.vcpu, X(9), ticks);
	return machine_report(&m, 0);
}

static uint64_t between(unsigned from, unsigned to)
{
	return reg(m.vcpu, X(to)) - reg(m.vcpu, X(from));
}

static void nothing_is_filtered(void **state)
{
	uint64_t c = filtered(0);

	assert_in_range(c, (between(20, 21) + between(22, 23)) * 3 / 4, between(20, 24));
}

static void el0_is_filtered(void **state)
{
	uint64_t c = filtered(U);

	assert_in_range(c, between(20, 21) / 2, between(20, 21) + between(21, 22) + between(23, 24));
}

static void el1_is_filtered(void **state)
{
	uint64_t c = filtered(P);

	assert_in_range(c, between(22, 23) / 2, between(21, 24));
}

static void both_are_filtered(void **state)
{
	assert_int_equal(filtered(P | U), 0);
}

/* Exceptions and returns, where they came from: SVC from EL0 is one, of EL0; ERET to EL0 one, of EL1. */
static void exceptions(void **state)
{
	static const uint32_t user[] = { SVC };
	static const uint32_t back[] = { STOP, GET(1, PMEVCNTR(0)), REPORT(1), GET(1, PMEVCNTR(1)), REPORT(1),
					 GET(1, PMEVCNTR(2)), REPORT(1), GET(1, PMEVCNTR(3)), REPORT(1) };

	machine_asm(&m, PUT(PMEVTYPER(0), 4), PUT(PMEVTYPER(1), 5), PUT(PMEVTYPER(2), 6),
		    PUT(PMEVTYPER(3), 7), START, TO_EL0);
	memcpy(m.mem + 0x4000, user, sizeof(user));
	memcpy(m.mem + (VECTORS - RAM_BASE) + 0x400, back, sizeof(back));
	set_reg(m.vcpu, X(1), RAM_BASE + 0x4000);
	set_reg(m.vcpu, X(2), 15);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(4), P | 9);
	set_reg(m.vcpu, X(5), U | 9);
	set_reg(m.vcpu, X(6), P | 10);
	set_reg(m.vcpu, X(7), U | 10);
	assert_int_equal(machine_report(&m, 0), 1);
	assert_int_equal(machine_report(&m, 0), 0);
	assert_int_equal(machine_report(&m, 0), 0);
	assert_int_equal(machine_report(&m, 0), 1);
}

/* Counter 0 is the guest's to increment, 1 counts its overflows; 2 counts to 64 bits with PMCR_EL0.LP. */
static void software_increment_and_chain(void **state)
{
	machine_asm(&m, PUT(PMEVTYPER(1), 4), START, PUT(PMSWINC, 5), PUT(PMSWINC, 5), GET(1, PMEVCNTR(0)),
		    REPORT(1), GET(1, PMEVCNTR(1)), REPORT(1), GET(1, PMOVSSET), REPORT(1), STOP,
		    PUT(PMSWINC, 5), GET(1, PMEVCNTR(0)), REPORT(1), PUT(PMCR, 6), PUT(PMEVCNTR(0), 7),
		    PUT(PMOVSCLR, 5), PUT(PMSWINC, 5), GET(1, PMOVSSET), REPORT(1), GET(1, PMEVCNTR(0)),
		    REPORT(1));
	set_reg(m.vcpu, ID(PMEVCNTR(0)), 0xffffffff);
	set_reg(m.vcpu, X(2), 3);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(4), 0x1e);
	set_reg(m.vcpu, X(5), 7); /* counter 2 is not enabled */
	set_reg(m.vcpu, X(6), 1 | 1 << 7);
	set_reg(m.vcpu, X(7), 0xffffffff);
	assert_int_equal(machine_report(&m, 0), (1ull << 32) + 1);
	assert_int_equal(machine_report(&m, 0), 1);
	assert_int_equal(machine_report(&m, 0), 1);
	assert_int_equal(machine_report(&m, 0), (1ull << 32) + 1); /* stopped */
	assert_int_equal(machine_report(&m, 0), 0);
	assert_int_equal(machine_report(&m, 0), 1ull << 32);
	assert_int_equal(reg(m.vcpu, ID(PMEVCNTR(2))), 0);
}

/* ---- PMUSERENR_EL0 ---- */

/* What EL0 gets of one access: 0 is done, else ESR_EL1. */
static uint64_t at_el0(uint32_t insn, uint32_t userenr)
{
	uint32_t user[] = { insn, SVC };
	uint64_t esr;
	static unsigned at;

	at += 64; /* code that has run is not looked at again */
	memcpy(m.mem + 0x4000 + at, user, sizeof(user));
	machine_words(&m, NULL, 0);
	set_reg(m.vcpu, ID(PMUSERENR), userenr);
	set_reg(m.vcpu, PC, RAM_BASE + 0x4000 + at);
	set_reg(m.vcpu, PSTATE, 0);
	esr = machine_report(&m, 0);
	return esr == (0x15u << 26 | 1u << 25) ? 0 : esr;
}

static void user_enable(void **state)
{
	static const struct {
		uint32_t insn, bits; /* any of them will do */
	} cases[] = {
		{ GET(1, PMCR), 1 }, { PUT(PMCR, 31), 1 }, { GET(1, PMCCNTR), 1 | 4 }, { PUT(PMCCNTR, 31), 1 },
		{ GET(1, PMEVCNTR(0)), 1 | 8 }, { GET(1, PMXEVCNTR), 1 | 8 }, { PUT(PMSELR, 31), 1 | 8 },
		{ PUT(PMEVCNTR(0), 31), 1 }, { PUT(PMSWINC, 31), 1 | 2 }, { GET(1, PMCNTENSET), 1 },
		{ GET(1, PMOVSSET), 1 }, { GET(1, PMCEID0), 1 }, { GET(1, PMEVTYPER(0)), 1 }, { GET(1, PMUSERENR), 15 },
		{ PUT(PMUSERENR, 31), 0 }, { GET(1, PMINTENSET), 0 },
	};

	set_reg(m.vcpu, ID(PMSELR), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (uint32_t bit = 1; bit < 16; bit *= 2)
			assert_int_equal(at_el0(cases[i].insn, bit), cases[i].bits & bit ? 0 : 1u << 25);
		if (cases[i].insn != GET(1, PMUSERENR))
			assert_int_equal(at_el0(cases[i].insn, 0), 1u << 25);
	}
}

/* ---- the interrupt ---- */

/* GICv3: the monitor's PPI enabled, group 1; x20 and x23 to x25 as gic_registers sets them. */
#define GIC_ON \
	STRW(21, 20), MSR(3, 0, 4, 6, 0, 22), MSR(3, 0, 12, 12, 7, 26), STRW(21, 23), STRW(24, 25), ISB

static void gic_registers(void)
{
	set_reg(m.vcpu, X(20), 0x080a0000 + 0x10000 + 0x80);
	set_reg(m.vcpu, X(21), 1u << PMU_PPI);
	set_reg(m.vcpu, X(22), 0xff);
	set_reg(m.vcpu, X(23), 0x080a0000 + 0x10000 + 0x100);
	set_reg(m.vcpu, X(24), 0x13);
	set_reg(m.vcpu, X(25), 0x08000000);
	set_reg(m.vcpu, X(26), 1);
	ok(set_irq(m.vcpu, PMU_PPI));
	ok(pmu_init(m.vcpu));
}

/* x2: the counter that overflows and interrupts while the guest spins; what is found then. */
static void overflow(uint64_t counters, uint64_t flags)
{
	static const uint32_t irq[] = { MRS(27, 3, 0, 12, 12, 0), STRX(27, 28, 0), GET(27, PMOVSSET), STRX(27, 28, 0) };

	memcpy(m.mem + (VECTORS - RAM_BASE) + 0x280, irq, sizeof(irq));
	gic_registers();
	machine_asm(&m, GIC_ON, DAIFCLR(2), PUT(PMINTENSET, 7), START, B_SELF);
	set_reg(m.vcpu, X(2), counters);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(7), flags);
	assert_int_equal(machine_report(&m, 0), PMU_PPI);
	assert_int_equal(machine_report(&m, 0) & flags, flags);
}

static void cycle_counter_interrupts(void **state)
{
	set_reg(m.vcpu, ID(PMCCNTR), -1000000ull);
	overflow(CYCLES, CYCLES);
	assert_in_range(reg(m.vcpu, ID(PMCCNTR)), 0, 1ull << 40); /* and has gone on */
}

static void event_counter_interrupts(void **state)
{
	set_reg(m.vcpu, ID(PMEVCNTR(1)), 0xffffffff - 1000000);
	set_reg(m.vcpu, ID(PMEVTYPER(1)), 0x11);
	overflow(1 << 1, 1 << 1);
}

/* The pair overflows: the even counter is asked for no interrupt of its own. */
static void chained_counter_interrupts(void **state)
{
	set_reg(m.vcpu, ID(PMEVCNTR(2)), 0xffffffff - 1000000);
	set_reg(m.vcpu, ID(PMEVTYPER(2)), 0x11);
	set_reg(m.vcpu, ID(PMEVCNTR(3)), 0xffffffff);
	set_reg(m.vcpu, ID(PMEVTYPER(3)), 0x1e);
	overflow(3 << 2, 1 << 3);
	assert_int_equal(reg(m.vcpu, ID(PMOVSSET)), 3 << 2);
}

/* After the third SVC. x5 says how many have been made. */
static void exceptions_interrupt(void **state)
{
	static const uint32_t irq[] = { REPORT(5) };
	static const uint32_t svc[] = { 0x910004a5u /* ADD X5, X5, #1 */, ERET };

	memcpy(m.mem + (VECTORS - RAM_BASE) + 0x200, svc, sizeof(svc));
	memcpy(m.mem + (VECTORS - RAM_BASE) + 0x280, irq, sizeof(irq));
	gic_registers();
	set_reg(m.vcpu, ID(PMEVCNTR(0)), 0xffffffff - 2);
	set_reg(m.vcpu, ID(PMEVTYPER(0)), 9);
	machine_asm(&m, GIC_ON, DAIFCLR(2), PUT(PMINTENSET, 7), START, SVC, SVC, SVC, SVC, SVC, SVC,
		    REPORT(31));
	set_reg(m.vcpu, X(2), 1);
	set_reg(m.vcpu, X(3), 1);
	set_reg(m.vcpu, X(5), 0);
	set_reg(m.vcpu, X(7), 1);
	assert_int_equal(machine_report(&m, 0), 3);
}

/* A GIC in user space hears by kvm_run, of the rise and of the fall. */
static void user_space_irqchip(void **state)
{
	machine_asm(&m, PUT(PMINTENSET, 2), START, PUT(PMOVSSET, 2), NOP, PUT(PMOVSCLR, 2), NOP, REPORT(31));
	set_reg(m.vcpu, X(2), CYCLES);
	set_reg(m.vcpu, X(3), 1);
	fails(EINTR, machine_run(&m));
	assert_int_equal(m.run->s.regs.device_irq_level, KVM_ARM_DEV_PMU);
	fails(EINTR, machine_run(&m));
	assert_int_equal(m.run->s.regs.device_irq_level, 0);
	machine_report(&m, 0);
}

/* KVM_ARM_VCPU_INIT stops it, and takes the interrupt away. */
static void reset_stops_it(void **state)
{
	machine_asm(&m, START, REPORT(31));
	set_reg(m.vcpu, X(2), CYCLES);
	set_reg(m.vcpu, X(3), 1);
	machine_report(&m, 0);
	assert_in_range(reg(m.vcpu, ID(PMCCNTR)), 1, ~0ull);
	ok(vcpu_init(m.vcpu, FEATURES_PMU));
	assert_int_equal(reg(m.vcpu, ID(PMCCNTR)), 0);
	assert_int_equal(reg(m.vcpu, ID(PMCNTENSET)), 0);
	fails(EBUSY, pmu_init(m.vcpu)); /* it still is what it was */
	machine_words(&m, NULL, 0);
	set_reg(m.vcpu, PC, CODE + 12);
	machine_report(&m, 0);
	assert_int_equal(reg(m.vcpu, ID(PMCCNTR)), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, m_down)
#define TR(f) cmocka_unit_test_setup_teardown(f, set_up_ready, m_down)
#define TG(f) cmocka_unit_test_setup_teardown(f, set_up_gic, m_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(not_without_the_feature, m_gic, m_down),
		T(list_has_them), T(same_for_all), TG(interrupt_number), T(interrupt_numbers_of_two), TG(run_needs_it),
		TG(interrupt_is_taken), T(which_pmu), T(filter_arguments), T(filter_denies), TR(pmcr),
		TR(version_goes_down), TR(bit_registers), TR(counters_and_types), TR(events_and_directions), TR(cycles),
		TR(saved_and_restored), TR(nothing_is_filtered), TR(el0_is_filtered), TR(el1_is_filtered),
		TR(both_are_filtered), TR(exceptions), TR(software_increment_and_chain), TR(user_enable),
		TG(cycle_counter_interrupts), TG(event_counter_interrupts), TG(chained_counter_interrupts),
		TG(exceptions_interrupt), TR(user_space_irqchip), TR(reset_stops_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
