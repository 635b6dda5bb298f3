/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM that the host takes away for a while, from under translated code: KVM_RUN fails with EFAULT at
 * the instruction as often as it is tried, with every register as before; with the memory back it is done
 * once.
 */
#include <signal.h>
#include <sys/mman.h>
#include "tests/ioctl_arm64/arm64.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DATA 0x30000u /* from RAM_BASE; in X6 */
#define LSE(opc, rs, rt) (0xf8200000u | (rs) << 16 | (opc) << 12 | 6 << 5 | (rt)) /* 0 ADD 3 SET 6 UMAX 8 SWP */
#define CAS(rs, rt) (0xc8a07c00u | (rs) << 16 | 6 << 5 | (rt))
#define CASP(rs, rt) (0x48207c00u | (rs) << 16 | 6 << 5 | (rt))
#define LDXR(rt) (0xc85f7c00u | 6 << 5 | (rt))
#define STXR(rs, rt) (0xc8007c00u | (rs) << 16 | 6 << 5 | (rt))
#define LDXP(rt, rt2) (0xc87f0000u | (rt2) << 10 | 6 << 5 | (rt))
#define STXP(rs, rt, rt2) (0xc8200000u | (rs) << 16 | (rt2) << 10 | 6 << 5 | (rt))

static struct sigaction segv, bus;

/* `before` runs, and the page is known; then `insn`, with the page gone at first. 10 and 20 are in the page,
 * x0 to x3 are 10, 20, 30, 40. */
static const struct access {
	const char *name;
	uint32_t before, insn;
	uint64_t x0, mem[2]; /* afterwards */
} accesses[] = {
	{ "ldr", NOP, LDRX(0, 6, 8), 20, { 10, 20 } },
	{ "str", NOP, STRX(3, 6, 8), 10, { 10, 40 } },
	{ "ldadd", NOP, LSE(0u, 1u, 0u), 10, { 30, 20 } },
	{ "ldset", NOP, LSE(3u, 1u, 0u), 10, { 30, 20 } },
	{ "stset", NOP, LSE(3u, 1u, 31u), 10, { 30, 20 } },
	{ "ldumax", NOP, LSE(6u, 2u, 0u), 10, { 30, 20 } },
	{ "swp", NOP, LSE(8u, 3u, 0u), 10, { 40, 20 } },
	{ "cas", NOP, CAS(0u, 3u), 10, { 40, 20 } },
	{ "casp", NOP, CASP(0u, 2u), 10, { 30, 40 } },
	{ "ldxr", LDXR(4u), LDXR(0u), 10, { 10, 20 } },
	{ "stxr", LDXR(4u), STXR(0u, 3u), 0, { 40, 20 } },
	{ "ldxp", NOP, LDXP(0u, 4u), 10, { 10, 20 } },
	{ "stxp", LDXP(4u, 5u), STXP(0u, 3u, 2u), 0, { 40, 30 } },
};

static uint64_t *data(void)
{
	return (uint64_t *)(m.mem + DATA);
}

/* Addresses as they are, by blocks of 1 GiB: NOWHERE's a device, RAM_BASE's memory, which translated code
 * accesses itself. */
static void mmu_on(void)
{
	uint64_t *table = (uint64_t *)(m.mem + 0x40000);

	table[0] = 0x405;
	table[2] = RAM_BASE | 0x701;
	set_reg(m.vcpu, SYS(3, 0, 10, 2, 0), 0x00ff);             /* MAIR_EL1 */
	set_reg(m.vcpu, SYS(3, 0, 2, 0, 2), 25 | 1 << 23);        /* TCR_EL1: 39 bits, 4 KiB, no TTBR1 */
	set_reg(m.vcpu, SYS(3, 0, 2, 0, 0), RAM_BASE + 0x40000);  /* TTBR0_EL1 */
	set_reg(m.vcpu, SYS(3, 0, 1, 0, 0), reg(m.vcpu, SYS(3, 0, 1, 0, 0)) | 1); /* SCTLR_EL1.M */
}

static void start(const struct access *a)
{
	const uint32_t words[] = { STRX(31, 6, 64), a->before, REPORT(1), a->insn, REPORT(0) };

	machine_words(&m, words, COUNT(words));
	mmu_on();
	set_reg(m.vcpu, PC, CODE);
	for (unsigned n = 0; n < 4; n++)
		set_reg(m.vcpu, X(n), 10 * (n + 1));
	set_reg(m.vcpu, X(6), RAM_BASE + DATA);
	data()[0] = 10;
	data()[1] = 20;
	assert_int_equal(machine_report(&m, 0), 20);
}

static void fails_there(void)
{
	ok(mprotect(data(), 4096, PROT_NONE));
	for (unsigned k = 0; k < 3; k++) {
		fails(EFAULT, machine_run(&m));
		assert_int_equal(reg(m.vcpu, PC), CODE + 12);
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(reg(m.vcpu, X(n)), 10 * (n + 1));
	}
	ok(mprotect(data(), 4096, PROT_READ | PROT_WRITE));
}

static void taken_away(void **state)
{
	/* cmocka puts its handlers in front of KUSE's */
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	for (unsigned k = 0; k < COUNT(accesses); k++) {
		const struct access *a = &accesses[k];

		print_message("# %s\n", a->name);
		start(a);
		fails_there();
		assert_int_equal(machine_report(&m, 0), a->x0);
		assert_int_equal(data()[0], a->mem[0]);
		assert_int_equal(data()[1], a->mem[1]);
		m_down(state);
		m_vectors(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(taken_away, m_vectors, m_down) };

	ok(k_close(k_open())); /* KUSE's handlers are installed now */
	sigaction(SIGSEGV, NULL, &segv);
	sigaction(SIGBUS, NULL, &bus);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
