/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random code: rows of the decode table with branches bent to stay near; what changes translation, privilege
 * or the code itself; noise.
 */
#include <string.h>
#include "hyp/lift/arm64/decode.h"
#include "tests/a64/gen.h"
#include "tests/fuzz_guest/arm64/arm64.h"

static u32 near(struct fuzz_rng *r)
{
	return (u32)(fuzz_below(r, 128) - 64);
}

static u32 row_random(struct fuzz_rng *r)
{
	unsigned row = (unsigned)fuzz_below(r, a64_nr_rows);
	u32 mask, value, w = (u32)fuzz_u64(r);

	a64_row_bits(row, &mask, &value);
	w = (w & ~mask) | value;
	if (fuzz_chance(r, 90)) {
		a64_row_should_be(row, &mask, &value);
		w = (w & ~mask) | value;
	}
	gen_put(&w, row, A64_imm26, near(r));
	gen_put(&w, row, A64_imm19, near(r));
	gen_put(&w, row, A64_imm14, near(r));
	return w;
}

/* Registers the CPU holds, as MSR has them. */
static const u32 held[] = {
#define SYSREG(name, op0, op1, crn, crm, op2, flags, reset) ARM64_SYS(op0, op1, crn, crm, op2) << 5,
#include "hyp/sys/arm64/sysregs.inc"
#undef SYSREG
};

static u32 system_random(struct fuzz_rng *r)
{
	static const u32 words[] = {
		0xd5087620, 0xd5087a20, 0xd5087e20, /* DC IVAC, CSW, CISW */
		0xd50b7420, 0xd50b7420, 0xd50b7a20, 0xd50b7b20, 0xd50b7e20, /* DC ZVA, CVAC, CVAU, CIVAC */
		0xd508751f, 0xd508711f, 0xd50b7520, /* IC IALLU, IALLUIS, IVAU */
		0xd508871f, 0xd508831f, 0xd5088720, 0xd50883a0, 0xd5088740, 0xd5088760, /* TLBI */
		0xd5087800, 0xd5087820, 0xd5087840, 0xd5087860, 0xd5087900, /* AT */
		0xd69f03e0, 0xd4000001, 0xd4000002, 0xd4000003, 0xd4200000, 0xd503205f, 0xd503207f, 0xd503203f, /* ERET .. */
		0xd61f0000, 0xd63f0000, 0xd65f0000, /* BR, BLR, RET */
		0xd50342df, 0xd50342ff, 0xd500419f, 0xd500409f, 0xd5004160, 0xd50041bf, 0xd503305f /* PSTATE, CLREX */
	};
	u32 reg = (u32)fuzz_below(r, 32), w = words[fuzz_below(r, COUNT(words))];

	if (fuzz_chance(r, 25)) /* half of the registers change what comes next; the others are harmless */
		return 0xd5000000 | held[fuzz_below(r, COUNT(held))] | reg |
		       (fuzz_chance(r, 75) ? 1 << 21 : 0);
	if (fuzz_chance(r, 20))
		return 0xd5000000 | ((u32)fuzz_u64(r) & 0x3fffff);
	return (w & 31) ? w : (w >> 24 == 0xd6 ? w | reg << 5 : w >> 24 == 0xd4 ? w | reg << 5 : w | reg);
}

/* ADR, a store there, what makes the CPU see it. */
static unsigned own_code(struct fuzz_rng *r, u32 *at)
{
	u32 reg = (u32)fuzz_below(r, 29), src = (u32)fuzz_below(r, 32);
	const u32 seq[] = { 0x10000000u | (near(r) & 0x7ffff) << 5 | reg, 0xb9000000u | reg << 5 | src, 0xd50b7b20u | reg,
			    0xd5033b9fu, 0xd50b7520u | reg, 0xd5033b9fu, 0xd5033fdfu };
	unsigned n = fuzz_chance(r, 70) ? COUNT(seq) : 2;

	memcpy(at, seq, n * sizeof(seq[0]));
	return n;
}

void code_random(struct fuzz_rng *r, u32 *at, unsigned words)
{
	for (unsigned i = 0; i + 8 < words;) {
		unsigned kind = (unsigned)fuzz_below(r, 100);

		if (kind < 72)
			at[i++] = row_random(r);
		else if (kind < 92)
			at[i++] = system_random(r);
		else if (kind < 95)
			i += own_code(r, &at[i]);
		else
			at[i++] = (u32)fuzz_u64(r);
	}
}
