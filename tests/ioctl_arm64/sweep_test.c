/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every system register encoding, read and written by a guest at EL1 and read at EL0: each has a value or is
 * UNDEFINED (or, from EL0, trapped), none ends the VM or stops it. What is readable is noted and compared
 * with what must be.
 */
#include <stdlib.h>
#include "tests/ioctl_arm64/arm64.h"

#define ENCODINGS 32768u /* op0 2 and 3 */
#define SWEEP (RAM_BASE + 0x40000)
#define ERET 0xd69f03e0u
#define ADDI(rd, rn, imm) (0x91000000u | (imm) << 10 | (uint32_t)(rn) << 5 | (rd))
#define STRB_POST(rt, rn) (0x38001400u | (uint32_t)(rn) << 5 | (rt)) /* one byte, then rn += 1 */
#define NOTES 0x120000u /* offset of one byte for each encoding: 1: UNDEFINED */

/* Bits 18:0 of MRS, MSR: op0's lowest bit, op1, CRn, CRm, op2. */
static uint32_t mrs(uint32_t enc, unsigned rt)
{
	return 0xd5300000u | enc << 5 | rt;
}

static uint32_t enc(unsigned op0, unsigned op1, unsigned crn, unsigned crm, unsigned op2)
{
	return (op0 - 2) << 14 | op1 << 11 | crn << 7 | crm << 3 | op2;
}

/* Each exception: x25 = 1 (noted by what follows), on behind the instruction. */
static void skipping_vectors(void)
{
	static const uint32_t handler[] = { MRS(26, 3, 0, 4, 0, 1), ADDI(26, 26, 4), MSR(3, 0, 4, 0, 1, 26),
					    MOVZ(25, 1, 0), ERET };

	for (unsigned v = 0; v < 16; v++)
		memcpy(m.mem + (VECTORS - RAM_BASE) + v * 0x80, handler, sizeof(handler));
	set_reg(m.vcpu, SYS(3, 0, 12, 0, 0), VECTORS);
}

/* The instructions from `first` on, each followed by its note; then a report. */
static void sweep(uint32_t first, uint32_t n, bool write, uint64_t pstate)
{
	uint32_t *code = (uint32_t *)(m.mem + (SWEEP - RAM_BASE));

	for (uint32_t e = first; e < first + n; e++) {
		bool skipped = write && e == enc(3, 0, 12, 0, 0); /* VBAR_EL1 */

		*code++ = MOVZ(25, 0, 0);
		*code++ = skipped ? NOP : write ? mrs(e, 31) & ~0x200000u : mrs(e, 1);
		*code++ = STRB_POST(25, 24);
	}
	*code++ = REPORT(24);
	set_reg(m.vcpu, PC, SWEEP);
	set_reg(m.vcpu, PSTATE, pstate);
	set_reg(m.vcpu, X(24), RAM_BASE + NOTES + first);
	set_reg(m.vcpu, X(28), NOWHERE);
	m.run->exit_reason = 0;
	assert_int_equal(machine_report(&m, 0), RAM_BASE + NOTES + first + n);
}

/* In pieces, each with a fresh CPU: what was written must not matter to the next. */
#define PIECE 4096u
static uint8_t undefined[ENCODINGS];

static void sweep_piece(uint32_t first, bool write, uint64_t pstate, int irqchip)
{
	machine_up(&m, irqchip);
	skipping_vectors();
	sweep(first, PIECE, write, pstate);
	memcpy(undefined + first, m.mem + NOTES + first, PIECE);
	machine_down(&m);
}

static unsigned sweep_all(bool write, uint64_t pstate, int irqchip)
{
	unsigned n = 0;

	for (uint32_t first = 0; first < ENCODINGS; first += PIECE)
		sweep_piece(first, write, pstate, irqchip);
	for (uint32_t e = 0; e < ENCODINGS; e++)
		n += undefined[e];
	return n;
}

static void reads(void **state)
{
	unsigned n = sweep_all(false, PSTATE_EL1H, NO_IRQCHIP);

	assert_in_range(n, ENCODINGS * 9 / 10, ENCODINGS - 150);
	assert_false(undefined[enc(3, 0, 0, 0, 0)]);  /* MIDR_EL1 */
	assert_false(undefined[enc(3, 0, 1, 0, 0)]);  /* SCTLR_EL1 */
	assert_false(undefined[enc(3, 0, 4, 2, 2)]);  /* CurrentEL */
	assert_false(undefined[enc(2, 0, 1, 1, 4)]);  /* OSLSR_EL1 */
	assert_false(undefined[enc(3, 3, 14, 0, 2)]); /* CNTVCT_EL0 */
	assert_false(undefined[enc(3, 3, 14, 2, 1)]); /* CNTP_CTL_EL0 */
	for (unsigned crm = 1; crm < 8; crm++)
		for (unsigned op2 = 0; op2 < 8; op2++)
			assert_false(undefined[enc(3, 0, 0, crm, op2)]); /* ID space: all of it can be read */
	assert_true(undefined[enc(3, 0, 12, 12, 0)]); /* ICC_IAR1_EL1: no GIC */
	assert_true(undefined[enc(3, 4, 1, 0, 0)]);   /* SCTLR_EL2 */
	assert_true(undefined[enc(3, 6, 1, 0, 0)]);   /* SCTLR_EL3 */
	assert_true(undefined[enc(3, 3, 9, 12, 0)]);  /* PMCR_EL0 */
	assert_true(undefined[enc(3, 0, 1, 2, 0)]);   /* ZCR_EL1 */
	assert_true(undefined[enc(2, 0, 1, 0, 4)]);   /* OSLAR_EL1: write-only */
}

static void reads_with_gic(void **state)
{
	sweep_piece(enc(3, 0, 0, 0, 0), false, PSTATE_EL1H, IRQCHIP);
	assert_false(undefined[enc(3, 0, 12, 12, 0)]); /* ICC_IAR1_EL1 */
	assert_false(undefined[enc(3, 0, 12, 12, 5)]); /* ICC_SRE_EL1 */
	assert_true(undefined[enc(3, 0, 12, 12, 1)]);  /* ICC_EOIR1_EL1: write-only */
}

/* With a performance monitor: its registers have values but for the write-only one and counters there are
 * not. */
static void reads_with_pmu(void **state)
{
	uint32_t first = enc(3, 3, 0, 0, 0) / PIECE * PIECE;

	machine_up_with(&m, NO_IRQCHIP, FEATURES_PSCI | 1u << KVM_ARM_VCPU_PMU_V3);
	machine_pmu_init(&m);
	skipping_vectors();
	sweep(first, PIECE, false, PSTATE_EL1H);
	memcpy(undefined + first, m.mem + NOTES + first, PIECE);
	machine_down(&m);
	for (unsigned op2 = 0; op2 < 8; op2++) {
		assert_int_equal(undefined[enc(3, 3, 9, 12, op2)], op2 == 4); /* PMSWINC_EL0 */
		assert_int_equal(undefined[enc(3, 3, 14, 8, op2)], op2 >= 6); /* PMEVCNTR<n>_EL0 */
		assert_int_equal(undefined[enc(3, 3, 14, 12, op2)], op2 >= 6); /* PMEVTYPER<n>_EL0 */
		assert_int_equal(undefined[enc(3, 3, 14, 15, op2)], op2 != 7); /* PMCCFILTR_EL0 */
	}
	assert_false(undefined[enc(3, 3, 9, 13, 0)]); /* PMCCNTR_EL0 */
}

static void reads_by_el0(void **state)
{
	unsigned n = sweep_all(false, 0x3c0, NO_IRQCHIP);

	assert_in_range(n, ENCODINGS - 50, ENCODINGS - 4);
	assert_false(undefined[enc(3, 3, 13, 0, 2)]); /* TPIDR_EL0 */
	assert_false(undefined[enc(3, 3, 4, 2, 0)]);  /* NZCV */
	assert_true(undefined[enc(3, 0, 0, 0, 0)]);   /* MIDR_EL1 */
	assert_true(undefined[enc(3, 0, 1, 0, 0)]);   /* SCTLR_EL1 */
	assert_true(undefined[enc(3, 3, 14, 0, 2)]);  /* CNTVCT_EL0: CNTKCTL_EL1 does not let it */
}

static void writes(void **state)
{
	unsigned n = sweep_all(true, PSTATE_EL1H, IRQCHIP);

	assert_in_range(n, ENCODINGS * 9 / 10, ENCODINGS - 100);
	assert_true(undefined[enc(3, 0, 0, 0, 0)]);   /* MIDR_EL1 */
	assert_true(undefined[enc(3, 0, 0, 4, 0)]);   /* ID_AA64PFR0_EL1 */
	assert_false(undefined[enc(3, 3, 13, 0, 2)]); /* TPIDR_EL0 */
	assert_false(undefined[enc(2, 0, 1, 0, 4)]);  /* OSLAR_EL1 */
	assert_true(undefined[enc(3, 3, 14, 0, 2)]);  /* CNTVCT_EL0 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(reads_with_gic),
		cmocka_unit_test(reads_with_pmu),
		cmocka_unit_test(reads_by_el0),
		cmocka_unit_test(writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
