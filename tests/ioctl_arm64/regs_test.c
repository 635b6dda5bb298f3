/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_GET_ONE_REG, KVM_SET_ONE_REG, KVM_GET_REG_LIST. */
#include <stdlib.h>
#include "tests/ioctl_arm64/arm64.h"

#define LIST_MAX 1000
#define V(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | (KVM_REG_ARM_CORE_REG(fp_regs.vregs[0]) + 4 * (n)))
#define CORE32(name) (KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))
#define ID_AA64PFR0 SYS(3, 0, 0, 4, 0)
#define ID_AA64ISAR0 SYS(3, 0, 0, 6, 0)
#define ID_AA64DFR0 SYS(3, 0, 0, 5, 0)
#define CCSIDR(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX | KVM_REG_ARM_DEMUX_ID_CCSIDR | (n))

static struct kvm_reg_list *list;

static int set_up(void **state)
{
	list = calloc(1, sizeof(*list) + LIST_MAX * sizeof(uint64_t));
	list->n = LIST_MAX;
	return machine_up(&m, NO_IRQCHIP) || IOCTL(m.vcpu, KVM_GET_REG_LIST, list);
}

static int tear_down(void **state)
{
	machine_down(&m);
	free(list);
	return 0;
}

static bool listed(uint64_t id)
{
	for (uint64_t i = 0; i < list->n; i++)
		if (list->reg[i] == id)
			return true;
	return false;
}

static void list_arguments(void **state)
{
	uint64_t n = list->n;

	assert_in_range(n, 150, LIST_MAX);
	list->n = n - 1;
	fails(E2BIG, IOCTL(m.vcpu, KVM_GET_REG_LIST, list));
	assert_int_equal(list->n, n);
	ok(IOCTL(m.vcpu, KVM_GET_REG_LIST, list));
	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_REG_LIST, BAD_POINTER));
}

static void list_has_no_register_twice(void **state)
{
	for (uint64_t i = 0; i < list->n; i++)
		for (uint64_t j = 0; j < i; j++)
			assert_int_not_equal(list->reg[i], list->reg[j]);
	assert_true(listed(PC));
	assert_true(listed(V(31)));
	assert_true(listed(KVM_REG_ARM_PSCI_VERSION));
	assert_true(listed(KVM_REG_ARM_TIMER_CNT));
	assert_true(listed(SYS(3, 0, 0, 0, 0)));
	assert_true(listed(SYS(3, 0, 1, 0, 0)));
	assert_false(listed(SYS(3, 0, 2, 1, 0))); /* APIAKEYLO_EL1: not asked for */
	assert_false(listed(SYS(3, 3, 9, 12, 0))); /* PMCR_EL0: not offered */
}

/* What migration does: every listed register can be read, and written with what was read. */
static void read_and_write_back(void **state)
{
	for (uint64_t i = 0; i < list->n; i++) {
		uint64_t val[2];

		if (get_one(m.vcpu, list->reg[i], val) || set_one(m.vcpu, list->reg[i], val))
			fail_msg("register %llx: errno %d", (unsigned long long)list->reg[i], errno);
	}
}

static void core_registers(void **state)
{
	uint64_t v[2] = { 0x1111, 0x2222 }, w[2] = { 0 };
	uint32_t fpcr = 1u << 24, got = 0;

	for (unsigned n = 0; n < 31; n++)
		set_reg(m.vcpu, X(n), n * 3);
	for (unsigned n = 0; n < 31; n++)
		assert_int_equal(reg(m.vcpu, X(n)), n * 3);
	ok(set_one(m.vcpu, V(31), v));
	ok(get_one(m.vcpu, V(31), w));
	assert_memory_equal(v, w, sizeof(v));
	ok(set_one(m.vcpu, CORE32(fp_regs.fpcr), &fpcr));
	ok(get_one(m.vcpu, CORE32(fp_regs.fpcr), &got));
	assert_int_equal(got, fpcr);
	set_reg(m.vcpu, CORE_REG(spsr[4]), 77);
	assert_int_equal(reg(m.vcpu, CORE_REG(spsr[4])), 77);
	set_reg(m.vcpu, CORE_REG(elr_el1), 78);
	assert_int_equal(reg(m.vcpu, CORE_REG(elr_el1)), 78);
}

/* SP_EL0 and SP_EL1 are what they are, whichever PSTATE selects, in whatever order they are set. */
static void stack_pointers(void **state)
{
	static const uint64_t modes[] = { 0, 4, 5 };

	for (int i = 0; i < 9; i++) {
		set_reg(m.vcpu, PSTATE, 0x3c0 | modes[i / 3]);
		set_reg(m.vcpu, SP_EL0, 0x100 + i);
		set_reg(m.vcpu, SP_EL1, 0x200 + i);
		set_reg(m.vcpu, PSTATE, 0x3c0 | modes[i % 3]);
		assert_int_equal(reg(m.vcpu, SP_EL0), 0x100 + i);
		assert_int_equal(reg(m.vcpu, SP_EL1), 0x200 + i);
	}
}

static void pstate_modes(void **state)
{
	for (uint64_t mode = 0; mode < 32; mode++) {
		if (mode == 0 || mode == 4 || mode == 5)
			set_reg(m.vcpu, PSTATE, mode);
		else
			fails(EINVAL, set_one(m.vcpu, PSTATE, &mode));
	}
	assert_int_equal(reg(m.vcpu, PSTATE), 5);
}

static void errors(void **state)
{
	uint64_t val[4];

	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_ONE_REG, BAD_POINTER));
	fails(EFAULT, get_one(m.vcpu, PC, (void *)BAD_POINTER));
	fails(EFAULT, set_one(m.vcpu, SYS(3, 0, 1, 0, 0), (void *)BAD_POINTER));
	fails(EINVAL, get_one(m.vcpu, KVM_REG_X86 | KVM_REG_SIZE_U64, val));
	fails(EINVAL, get_one(m.vcpu, PC | 1ull << 40, val));
	fails(EINVAL, get_one(m.vcpu, CORE32(regs.pc), val));
	fails(EINVAL, get_one(m.vcpu, X(0) + 1, val));
	fails(ENOENT, get_one(m.vcpu, KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x1000, val));
	fails(ENOENT, get_one(m.vcpu, SYS(3, 7, 15, 15, 7), val));
	fails(ENOENT, set_one(m.vcpu, SYS(3, 7, 15, 15, 7), val));
	fails(ENOENT, get_one(m.vcpu, SYS(3, 3, 9, 12, 0), val));  /* PMCR_EL0 */
	fails(ENOENT, get_one(m.vcpu, SYS(3, 0, 12, 12, 0), val)); /* ICC_IAR1_EL1 */
	fails(ENOENT, get_one(m.vcpu, (SYS(3, 0, 1, 0, 0) & ~KVM_REG_SIZE_MASK) | KVM_REG_SIZE_U32, val));
	fails(ENOENT, get_one(m.vcpu, KVM_REG_ARM64_SVE_ZREG(0, 0), val));
	fails(ENOENT, get_one(m.vcpu, KVM_REG_ARM_FW_REG(100), val));
}

static void invariants(void **state)
{
	uint64_t midr = reg(m.vcpu, SYS(3, 0, 0, 0, 0));

	set_reg(m.vcpu, SYS(3, 0, 0, 0, 0), midr);
	midr++;
	fails(EINVAL, set_one(m.vcpu, SYS(3, 0, 0, 0, 0), &midr));
}

/* A writable field goes down, not up, and not once the VM has run; others stay. */
static void id_registers(void **state)
{
	uint64_t pfr0 = reg(m.vcpu, ID_AA64PFR0), isar0 = reg(m.vcpu, ID_AA64ISAR0), val;

	assert_int_equal(pfr0 & 0xff, 0x11);        /* EL0, EL1: AArch64 only */
	assert_int_equal(pfr0 >> 32 & 15, 0);       /* SVE */
	assert_int_equal(pfr0 >> 8 & 0xff, 0);      /* EL2, EL3 */
	assert_int_equal(reg(m.vcpu, SYS(3, 0, 0, 1, 0)), 0); /* ID_PFR0_EL1 */
	val = isar0 & ~(15ull << 20); /* no LSE */
	ok(set_one(m.vcpu, ID_AA64ISAR0, &val));
	assert_int_equal(reg(m.vcpu, ID_AA64ISAR0), val);
	ok(set_one(m.vcpu, ID_AA64ISAR0, &isar0));
	val = isar0 + (1ull << 20);
	fails(EINVAL, set_one(m.vcpu, ID_AA64ISAR0, &val));
	val = isar0 | 1; /* reserved */
	fails(EINVAL, set_one(m.vcpu, ID_AA64ISAR0, &val));
	val = pfr0 | 15ull << 16; /* FP is not writable */
	fails(EINVAL, set_one(m.vcpu, ID_AA64PFR0, &val));
	val = 1;
	fails(EINVAL, set_one(m.vcpu, SYS(3, 0, 0, 1, 0), &val));
	val = reg(m.vcpu, ID_AA64DFR0) & ~15ull; /* DebugVer 0 is none */
	fails(EINVAL, set_one(m.vcpu, ID_AA64DFR0, &val));
	machine_asm(&m, MRS(1, 3, 0, 0, 6, 0), REPORT(1));
	val = isar0 & ~(15ull << 20);
	ok(set_one(m.vcpu, ID_AA64ISAR0, &val));
	assert_int_equal(machine_report(&m, 0), val); /* the guest sees it */
	ok(set_one(m.vcpu, ID_AA64ISAR0, &val));
	fails(EBUSY, set_one(m.vcpu, ID_AA64ISAR0, &isar0));
}

static void cache_registers(void **state)
{
	uint64_t ctr = reg(m.vcpu, SYS(3, 3, 0, 0, 1)), clidr = reg(m.vcpu, SYS(3, 1, 0, 0, 1)), val;
	uint32_t ccsidr = 0;

	val = ctr | 1ull << 29; /* DIC, which is not so */
	if (!(ctr & 1ull << 29))
		fails(EINVAL, set_one(m.vcpu, SYS(3, 3, 0, 0, 1), &val));
	ok(get_one(m.vcpu, CCSIDR(0), &ccsidr));
	ok(set_one(m.vcpu, CCSIDR(0), &ccsidr));
	ccsidr |= 3 << 13;
	ok(set_one(m.vcpu, CCSIDR(0), &ccsidr));
	ok(get_one(m.vcpu, CCSIDR(0), &ccsidr));
	assert_int_equal(ccsidr >> 13 & 3, 3);
	ccsidr = 1u << 31;
	fails(EINVAL, set_one(m.vcpu, CCSIDR(0), &ccsidr));
	fails(ENOENT, get_one(m.vcpu, CCSIDR(14), &ccsidr));
	fails(ENOENT, get_one(m.vcpu, CCSIDR(0) | 1ull << 8, &ccsidr));
	val = clidr | 1ull << 60;
	fails(EINVAL, set_one(m.vcpu, SYS(3, 1, 0, 0, 1), &val));
}

static void os_lock(void **state)
{
	uint64_t val = reg(m.vcpu, SYS(2, 0, 1, 1, 4));

	assert_int_equal(val, 8);
	set_reg(m.vcpu, SYS(2, 0, 1, 1, 4), 8 | 2);
	val = 1;
	fails(EINVAL, set_one(m.vcpu, SYS(2, 0, 1, 1, 4), &val));
}

/* The guest's own breakpoint, at EL1, where the code comes twice: under the lock, and without. */
static void os_lock_holds_breakpoints(void **state)
{
	machine_vectors(&m);
	machine_asm(&m, MSR(2, 0, 1, 0, 4, 1), MSR(2, 0, 0, 0, 4, 2), MSR(2, 0, 0, 0, 5, 3),
		    MSR(2, 0, 0, 2, 2, 4), DAIFCLR(8), ISB, NOP, MRS(5, 2, 0, 1, 1, 4), REPORT(5),
		    MSR(2, 0, 1, 0, 4, 31), BR(2));
	set_reg(m.vcpu, X(1), 1);
	set_reg(m.vcpu, X(2), CODE + 6 * 4);
	set_reg(m.vcpu, X(3), 1 | 1 << 1 | 15 << 5);      /* E, EL1, four bytes */
	set_reg(m.vcpu, X(4), 1 << 15 | 1 << 13);         /* MDE, KDE */
	assert_int_equal(machine_report(&m, 0), 8 | 2);
	assert_int_equal(machine_report(&m, 0), 0x31u << 26 | 1u << 25 | 0x22);
	assert_int_equal(reg(m.vcpu, SYS(2, 0, 1, 1, 4)), 8);
	set_reg(m.vcpu, SYS(2, 0, 1, 1, 4), 8 | 2); /* locked by user space */
	machine_words(&m, NULL, 0);
	set_reg(m.vcpu, PC, CODE + 5 * 4);
	assert_int_equal(machine_report(&m, 0), 8 | 2);
	set_reg(m.vcpu, SYS(2, 0, 1, 1, 4), 8 | 2);
	ok(vcpu_init(m.vcpu, FEATURES_PSCI));
	assert_int_equal(reg(m.vcpu, SYS(2, 0, 1, 1, 4)), 8);
}

static void firmware_registers(void **state)
{
	uint64_t val = 0x10001;

	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_PSCI_VERSION), val);
	set_reg(m.vcpu, KVM_REG_ARM_PSCI_VERSION, 2);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_PSCI_VERSION), 2);
	val = 1; /* 0.1, with the feature PSCI_0_2 */
	fails(EINVAL, set_one(m.vcpu, KVM_REG_ARM_PSCI_VERSION, &val));
	val = 0x20000;
	fails(EINVAL, set_one(m.vcpu, KVM_REG_ARM_PSCI_VERSION, &val));
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1),
			 KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_NOT_REQUIRED);
	set_reg(m.vcpu, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_AVAIL);
	val = 3;
	fails(EINVAL, set_one(m.vcpu, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1, &val));
	val = KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_ENABLED | KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_NOT_REQUIRED;
	fails(EINVAL, set_one(m.vcpu, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2, &val));
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_STD_BMAP), 1);
	assert_int_equal(reg(m.vcpu, KVM_REG_ARM_VENDOR_HYP_BMAP), 3);
	val = 2;
	fails(EINVAL, set_one(m.vcpu, KVM_REG_ARM_STD_BMAP, &val));
	set_reg(m.vcpu, KVM_REG_ARM_STD_BMAP, 0);
	machine_asm(&m, REPORT(1));
	machine_report(&m, 0);
	val = 1;
	fails(EBUSY, set_one(m.vcpu, KVM_REG_ARM_STD_BMAP, &val));
	set_reg(m.vcpu, KVM_REG_ARM_STD_BMAP, 0);
}

/* What user space sets is what the guest reads. */
static void guest_sees_them(void **state)
{
	machine_asm(&m, REPORT(5), MRS(1, 3, 3, 13, 0, 2), REPORT(1), MRS(1, 3, 0, 13, 0, 4), REPORT(1),
		    MRS(1, 3, 0, 0, 0, 5), REPORT(1), MRS(1, 2, 0, 0, 3, 4), REPORT(1));
	set_reg(m.vcpu, X(5), 0x1234567890);
	set_reg(m.vcpu, SYS(3, 3, 13, 0, 2), 42);         /* TPIDR_EL0 */
	set_reg(m.vcpu, SYS(3, 0, 13, 0, 4), 43);         /* TPIDR_EL1 */
	set_reg(m.vcpu, SYS(3, 0, 0, 0, 5), 0x80000007);  /* MPIDR_EL1 */
	set_reg(m.vcpu, SYS(2, 0, 0, 3, 4), 0x5000);      /* DBGBVR3_EL1 */
	assert_int_equal(machine_report(&m, 0), 0x1234567890);
	assert_int_equal(machine_report(&m, 0), 42);
	assert_int_equal(machine_report(&m, 0), 43);
	assert_int_equal(machine_report(&m, 0), 0x80000007);
	assert_int_equal(machine_report(&m, 0), 0x5000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(list_arguments), T(list_has_no_register_twice), T(read_and_write_back), T(core_registers),
		T(stack_pointers), T(pstate_modes), T(errors), T(invariants), T(id_registers), T(cache_registers),
		T(os_lock), T(os_lock_holds_breakpoints), T(firmware_registers), T(guest_sees_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
