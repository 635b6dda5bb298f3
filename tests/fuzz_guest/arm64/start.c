/* SPDX-License-Identifier: Apache-2.0 */
/* Random tables and registers: what points somewhere points near an edge. */
#include <string.h>
#include "tests/fuzz_guest/arm64/arm64.h"

/* Translation tables in slot 0: all levels of 4 KiB granules, the last level of 16 and 64 KiB ones. The same
 * lower levels hang under several upper entries. */
enum { T_L0 = 0x1000, T_L1 = 0x2000, T_L2 = 0x3000, T_L3_LOW = 0x4000, T_L3_NEXT = 0x5000, T_L3_TOP = 0x6000,
       T_64K = 0x7000, T_16K = 0x8000 };

#define VECTORS 0x10000u

#define TABLE 3ull
#define BLOCK 1ull
#define PAGE 3ull
#define AF (1ull << 10)
#define SHARED (3ull << 8)
#define AP(n) ((u64)(n) << 6)
#define PXN (1ull << 53)
#define UXN (1ull << 54)

/* ---- tables ---- */

/* Attributes of what should mostly work: normal memory, any access permissions. */
static u64 attributes(struct fuzz_rng *r)
{
	static const u64 rare[] = { PXN, UXN, 1ull << 51 /* DBM */, 1ull << 52 /* contiguous */, 1ull << 11 /* nG */,
				    1ull << 2, 2ull << 2 /* MAIR's next */, 1ull << 50 /* GP */ };
	u64 v = AF | SHARED | AP(fuzz_chance(r, 50) ? 1 : fuzz_below(r, 4));

	if (fuzz_chance(r, 25))
		v ^= rare[fuzz_below(r, COUNT(rare))];
	return fuzz_chance(r, 8) ? v & ~AF : v;
}

static u64 page_random(struct fuzz_rng *r)
{
	if (fuzz_chance(r, 5))
		return fuzz_u64(r) | 1ull << 50;
	return gpa_random(r) | attributes(r) | (fuzz_chance(r, 10) ? 0 : PAGE);
}

/* Code at EL1 wants pages that EL0 cannot write. */
static u64 page_identity(struct fuzz_rng *r, u64 gpa)
{
	bool code = (gpa >= CODE && gpa < CODE + CODE_SIZE) || gpa == VECTORS;

	return gpa | AF | SHARED | PAGE | AP(code && fuzz_chance(r, 90) ? 0 : fuzz_below(r, 2));
}

static void table(struct fuzz_rng *r, u32 at, unsigned entries, u64 page)
{
	for (unsigned i = 0; i < entries; i++)
		ram_put(at + 8 * i, i < 64 * PAGE_SIZE / page ? page_identity(r, i * page) : page_random(r));
}

static void upper_levels(struct fuzz_rng *r)
{
	ram_put(T_L0, T_L1 | TABLE);
	ram_put(T_L0 + 8 * 511, T_L1 | TABLE);
	ram_put(T_L1, T_L2 | TABLE);
	ram_put(T_L1 + 8, BLOCK | AF | SHARED | AP(1)); /* 1 GiB: guest-physical 0 again */
	ram_put(T_L1 + 8 * 511, T_L2 | TABLE);
	ram_put(T_L2, T_L3_LOW | TABLE);
	ram_put(T_L2 + 8, T_L3_NEXT | TABLE | (fuzz_chance(r, 10) ? 1ull << 61 /* APTable */ : 0));
	ram_put(T_L2 + 16, BLOCK | AF | SHARED | AP(1));
	ram_put(T_L2 + 24, 0x200000 | BLOCK | attributes(r));
	ram_put(T_L2 + 8 * 511, T_L3_TOP | TABLE);
}

/*
 * Exception vectors: the next instruction, or another place of the code (a function of ELR: 9 * ELR + 0x51c),
 * so that a guest seldom faults for ever. They use x28.
 */
static void vectors(struct fuzz_rng *r)
{
	static const u32 next[] = { 0xd538403c, 0x9100139c, 0xd518403c, 0xd69f03e0 },
			 jump[] = { 0xd538403c, 0x8b1c0f9c, 0x9114739c, 0x927e2f9c, 0xb26f039c, 0xd518403c, 0xd69f03e0 };

	for (u32 at = VECTORS; at < VECTORS + 0x800; at += 0x80) {
		code_random(r, (u32 *)ram(at), 0x80 / 4);
		if (fuzz_chance(r, 50))
			memcpy(ram(at), jump, sizeof(jump));
		else if (fuzz_chance(r, 90))
			memcpy(ram(at), next, sizeof(next));
	}
}

void memory_random(struct fuzz_rng *r)
{
	upper_levels(r);
	table(r, T_L3_LOW, 512, PAGE_SIZE);
	for (unsigned i = 0; i < 512; i++) {
		ram_put(T_L3_NEXT + 8 * i, page_random(r));
		ram_put(T_L3_TOP + 8 * i, page_random(r));
	}
	table(r, T_16K, 2048, 0x4000);
	table(r, T_64K, 512, 0x10000);
	vectors(r);
	code_random(r, (u32 *)ram(CODE), CODE_SIZE / 4);
}

/* ---- registers ---- */

u64 address_random(struct fuzz_rng *r)
{
	static const u64 edges[] = {
		/* physical, where there is no translation; then where the tables map an edge */
		0, 0x40000, 0x103000, 0x105000, 0x200000, 0x202000, 0x304000, 0xffffe000, 0x100000000, 0x7ffffff000,
		0x8000000000, 1ull << 40, CODE, CODE + CODE_SIZE, 0x3ff000, 0x400000, 0x440000, 0x500000, 0x503000,
		0x505000, 0x600000, 0x602000, 0x700000, 0x704000, 0x3fffffff, 0x40040000, 0x40103000, 0x40200000,
		0x80000000, 0x2000000, 0xffffffe00000, 1ull << 48, 0xffff000000000000, 0xffff000000040000,
		0xffff000000200000, 0xffff000000440000, 0xfffffffffe000000, 0xffffffffffe00000, 0xfffffffffffff000, ~0ull,
	};
	u64 base = edges[fuzz_below(r, COUNT(edges))];

	if (fuzz_chance(r, 30))
		base = fuzz_below(r, 0x400) * PAGE_SIZE;
	if (fuzz_chance(r, 15))
		return fuzz_value(r) | 1ull << 50;
	base += fuzz_below(r, 16) - fuzz_below(r, 80);
	return fuzz_chance(r, 70) ? base & ~15ull : base;
}

static u32 pstate_random(struct fuzz_rng *r)
{
	static const u32 modes[] = { ARM64_PSR_EL(0), ARM64_PSR_EL(1), ARM64_PSR_EL(1) | ARM64_PSR_SP };
	u32 p = modes[fuzz_below(r, COUNT(modes))];

	p |= (u32)fuzz_u64(r) & (ARM64_PSR_NZCV | ARM64_PSR_DAIF | ARM64_PSR_UAO | ARM64_PSR_BTYPE);
	if (fuzz_chance(r, 20))
		p |= ARM64_PSR_PAN;
	if (fuzz_chance(r, 5))
		p |= fuzz_chance(r, 50) ? ARM64_PSR_SS : ARM64_PSR_IL;
	return p;
}

void registers_random(struct fuzz_rng *r, struct arm64_state *s)
{
	for (unsigned i = 0; i < 32; i++)
		if (fuzz_chance(r, 60))
			s->x[i] = fuzz_chance(r, 25) ? fuzz_below(r, 600) : address_random(r);
	s->pstate = pstate_random(r);
	s->pc = CODE + fuzz_below(r, CODE_SIZE / 4) * 4 + (fuzz_chance(r, 1) ? 2 : 0);
	if (fuzz_chance(r, 10))
		s->pc += 0xffff000000000000;
	s->sr[ARM64_SR_ELR_EL1] = CODE + fuzz_below(r, CODE_SIZE / 4) * 4;
	s->sr[ARM64_SR_SPSR_EL1] = fuzz_chance(r, 90) ? pstate_random(r) : fuzz_u64(r);
	s->sr[ARM64_SR_SP_EL0] = address_random(r);
	s->sr[ARM64_SR_SP_EL1] = address_random(r);
}

/* TCR_EL1's T0SZ, TG0, TG1 and the table to start with. */
static const struct regime {
	u8 size, tg0, tg1;
	u16 table;
} regimes[] = { { 16, 0, 2, T_L0 }, { 16, 0, 2, T_L0 }, { 25, 0, 2, T_L1 }, { 34, 0, 2, T_L2 }, { 39, 2, 1, T_16K },
		{ 39, 1, 3, T_64K } };

static void translation(struct fuzz_rng *r, struct arm64_state *s)
{
	const struct regime *lo = &regimes[fuzz_below(r, COUNT(regimes))],
			    *hi = &regimes[fuzz_below(r, COUNT(regimes))];
	u64 some = fuzz_u64(r) & (3ull << 37 /* TBI */ | 3ull << 39 /* HA, HD */ | 3ull << 41 /* HPD */ |
				  1ull << 22 | 1ull << 36);

	s->sr[ARM64_SR_TCR_EL1] = lo->size | hi->size << 16 | (u64)lo->tg0 << 14 | (u64)hi->tg1 << 30 |
				  (fuzz_chance(r, 90) ? 2ull : fuzz_below(r, 8)) << 32 | some;
	if (fuzz_chance(r, 5))
		s->sr[ARM64_SR_TCR_EL1] ^= 1ull << fuzz_below(r, 64);
	s->sr[ARM64_SR_TTBR0_EL1] = lo->table | fuzz_below(r, 3) << 48 | fuzz_below(r, 2);
	s->sr[ARM64_SR_TTBR1_EL1] = hi->table | fuzz_below(r, 3) << 48;
	s->sr[ARM64_SR_MAIR_EL1] = fuzz_chance(r, 80) ? 0x0444ff : fuzz_u64(r);
	s->sr[ARM64_SR_SCTLR_EL1] = 0x30d00980 | (fuzz_chance(r, 85) ? 1 : 0) | 1 << 2 | 1 << 12 | 7 << 14 |
				    1 << 26;
	if (fuzz_chance(r, 30)) /* alignment, WXN, user access to DAIF, endianness, PAC, anything */
		s->sr[ARM64_SR_SCTLR_EL1] ^= 1ull << fuzz_below(r, 32);
}

static void debug(struct fuzz_rng *r, struct arm64_state *s)
{
	s->sr[ARM64_SR_MDSCR_EL1] = fuzz_chance(r, 90) ? 0
						       : 1 << 15 | fuzz_below(r, 2) << 13 | fuzz_below(r, 2);
	for (unsigned i = 0; i < 4; i++) {
		s->dbg.bvr[i] = CODE + fuzz_below(r, CODE_SIZE / 4) * 4;
		s->dbg.bcr[i] = fuzz_chance(r, 50) ? 0x1e7 : fuzz_u64(r) & 0xffffff;
		s->dbg.wvr[i] = address_random(r) & ~7ull;
		s->dbg.wcr[i] = fuzz_chance(r, 50) ? 0x1fff : fuzz_u64(r) & 0x1fffffff;
	}
}

void cpu_start(struct fuzz_rng *r, struct hyp_cpu *cpu)
{
	struct arm64_state *s = hyp_arm64_state(cpu);

	hyp_arm64_reset(cpu);
	translation(r, s);
	debug(r, s);
	s->sr[ARM64_SR_CPACR_EL1] = fuzz_chance(r, 90) ? 3 << 20 : fuzz_below(r, 4) << 20;
	s->sr[ARM64_SR_VBAR_EL1] = fuzz_chance(r, 90) ? VECTORS : address_random(r) & ~0x7ffull;
	s->sr[ARM64_SR_CNTKCTL_EL1] = fuzz_below(r, 4);
	for (unsigned i = 0; i < 64; i++)
		s->v[i / 2].d[i % 2] = fuzz_chance(r, 50) ? address_random(r) : fuzz_u64(r) | 1ull << 50;
	s->fpcr = (u32)fuzz_u64(r) & 0x07c80000;
	s->hcr = ARM64_HCR_TWI | ARM64_HCR_TSC |
		 ((u32)fuzz_u64(r) & (ARM64_HCR_TWE | ARM64_HCR_TVM | ARM64_HCR_TDA));
	if (fuzz_chance(r, 10))
		s->hcr |= ARM64_HCR_TDE;
	s->vi = fuzz_chance(r, 10);
	s->vf = fuzz_chance(r, 5);
	s->vse = fuzz_chance(r, 5);
	s->cntvoff = s->cntpoff = hyp_arm64_counter(); /* a small counter is no address of ours */
	s->pa_bits = 40;
	registers_random(r, s);
	hyp_arm64_state_changed(cpu);
}
