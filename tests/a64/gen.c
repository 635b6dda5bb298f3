/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row of the table, the bits that decide from it, the others at random; then what would lead out of the
 * case is bent: addresses into the memory page, branches over one instruction, registers apart where the
 * manual leaves equal ones open.
 */
#include "tests/a64/gen.h"

#include <string.h>

static unsigned rows[4096], nr_rows;

struct rng {
	u64 s;
};

static u64 rnd(struct rng *r)
{
	u64 z = r->s += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool one_in(struct rng *r, unsigned n)
{
	return rnd(r) % n == 0;
}

/* ---- which rows ---- */

/* Not here: they leave the case, ask the kernel, or depend on the machine. */
static const char *const left_out[] = { "SVC", "HVC", "SMC", "HLT", "DCPS", "YIELD", "WFE", "WFI", "BR", "BLR",
					"RET", "SYS", "SYSL", "MSR_reg", "MSR_imm", "MRS", "DMB", "DSB", "ISB", "ESB", "HINT" };

static bool of_use(unsigned row, const char *only)
{
	const struct a64_enc *e = &a64_table[row];

	if (e->lift == lift_none || (only && !strstr(e->name, only)))
		return false;
	for (unsigned k = 0; k < ARRAY_SIZE(left_out); k++)
		if (!strcmp(e->name, left_out[k]))
			return false;
	return true;
}

bool gen_init(const char *only)
{
	nr_rows = 0;
	for (unsigned row = 0; row < a64_nr_rows && nr_rows < ARRAY_SIZE(rows); row++)
		if (of_use(row, only))
			rows[nr_rows++] = row;
	return nr_rows != 0;
}

/* ---- instructions ---- */

bool gen_put(u32 *w, unsigned row, enum a64_field f, u32 v)
{
	unsigned width;
	int lsb = a64_row_field(row, f, &width);

	if (lsb < 0)
		return false;
	*w = (*w & ~(((1u << width) - 1) << lsb)) | (v & ((1u << width) - 1)) << lsb;
	return true;
}

static u32 get(u32 w, unsigned row, enum a64_field f)
{
	unsigned width;
	int lsb = a64_row_field(row, f, &width);

	return lsb < 0 ? 0 : w >> lsb & ((1u << width) - 1);
}

/* Memory: base register with an address of the page, others that differ from each other and from it. */
static void bend_memory(struct rng *r, u32 *w, unsigned row, struct case_state *s)
{
	static const enum a64_field others[] = { A64_Rt, A64_Rt2, A64_Rs, A64_Rm };
	unsigned width, base = (unsigned)(rnd(r) % 31), at = (unsigned)(rnd(r) % 20);
	/* Not x30, which BL sets; 31 is SP. */
	if (base == 30)
		base = 31;
	u64 addr = A64_MEM + 1536 + (rnd(r) & 511);

	/* qemu 7.2 lets LDAPR be misaligned. */
	if (!one_in(r, 8) || base == 31 || !strncmp(a64_table[row].name, "LDAP", 4))
		addr &= ~15ull;
	if (a64_row_field(row, A64_Rn, &width) >= 0) {
		gen_put(w, row, A64_Rn, base);
		if (base == 31)
			s->sp = addr;
		else
			s->x[base] = addr;
	}
	for (unsigned k = 0; k < ARRAY_SIZE(others); k++) {
		unsigned n = (at + 2 * k + (base == at + 2 * k ? 12 : 0)) % 32;
		if (others[k] == A64_Rm && one_in(r, 4) && a64_table[row].chapter == A64_LDST_SIMD)
			n = 31;
		gen_put(w, row, others[k], n);
		if (others[k] == A64_Rm && n < 31)
			s->x[n] = (u64)(s64)(int)(rnd(r) % 64) - 32;
	}
	gen_put(w, row, A64_imm12, get(*w, row, A64_imm12) & 63);
	gen_put(w, row, A64_imm19, A64_LITERALS / 4 + rnd(r) % 2);
}

static void bend_branch(u32 *w, unsigned row)
{
	gen_put(w, row, A64_imm26, 2);
	gen_put(w, row, A64_imm19, 2);
	gen_put(w, row, A64_imm14, 2);
}

static u32 try_insn(struct rng *r, struct case_state *s)
{
	unsigned row = rows[rnd(r) % nr_rows], chapter = a64_table[row].chapter;
	u32 mask, value;

	a64_row_bits(row, &mask, &value);
	u32 w = ((u32)rnd(r) & ~mask) | value;
	a64_row_should_be(row, &mask, &value);
	w = (w & ~mask) | value;
	if (chapter == A64_LDST || chapter == A64_LDST_SIMD)
		bend_memory(r, &w, row, s);
	else if (chapter == A64_BRANCH)
		bend_branch(&w, row);
	/* Zero fields turn into other encodings too rarely else. */
	if (one_in(r, 4))
		gen_put(&w, row, A64_size, (u32)rnd(r));
	return w;
}

/*
 * Not to be compared: features that are not offered, qemu may have them; and where qemu 7.2 is wrong: FMOV
 * (vector, immediate) with bit 11 set but for halves, FCVTZS (scalar, fixed point) of halves.
 */
static bool not_comparable(u32 w)
{
	struct a64_insn i;

	if (!a64_decode(w, &i))
		return false;
	if (i.enc->lift == lift_none ||
	    (strstr(i.enc->name, "FCVTZ") && strstr(i.enc->name, "_fixed_v") && !F(&i, immh)))
		return true;
	return !strcmp(i.enc->name, "FCVTZS_fixed_s") && F(&i, immh) < 4;
}

static u32 gen_insn(struct rng *r, struct case_state *s)
{
	u32 w;

	do
		w = try_insn(r, s);
	while (not_comparable(w));
	return w;
}

/* The store-exclusive of a load-exclusive: the same place, other registers. */
static bool store_of(struct rng *r, u32 load, u32 *store)
{
	struct a64_insn i;
	u32 rs, rt = (u32)rnd(r) & 31;

	if (!a64_decode(load, &i) || (strcmp(i.enc->name, "LDXR") && strcmp(i.enc->name, "LDXP")))
		return false;
	do
		rs = (u32)rnd(r) & 31;
	while (rs == rt || rs == (load >> 10 & 31) || rs == F(&i, Rn));
	*store = (load & ~(1u << 22 | 1u << 15 | 31u << 16 | 31u)) | rs << 16 | ((u32)rnd(r) & 1) << 15 | rt;
	return true;
}

/* ---- state ---- */

static u64 gen_int(struct rng *r)
{
	static const u64 edges[] = { 0, 1, ~0ull, 1ull << 63, ~(1ull << 63), 1ull << 31, 0x7fffffff, 0xffffffff,
				     0x80, 0x7f, 0x8000, 0x7fff, 0x8080808080808080ull, 0x7f7f7f7f7f7f7f7full };
	u64 v = rnd(r);

	switch (rnd(r) % 4) {
	case 0: return edges[v % ARRAY_SIZE(edges)];
	case 1: return v >> (rnd(r) & 63);
	case 2: return (u64)((s64)v >> (rnd(r) & 63));
	default: return v;
	}
}

/* A floating-point number of e exponent and f fraction bits: specials, near 1, anything. */
static u64 gen_float(struct rng *r, unsigned e, unsigned f)
{
	u64 sign = (rnd(r) & 1) << (e + f), frac = rnd(r) & ((1ull << f) - 1), bias = (1ull << (e - 1)) - 1;
	u64 exp = bias + rnd(r) % 16 - 8;

	if (one_in(r, 3))
		frac = one_in(r, 2) ? 0 : ((1ull << f) - 1) ^ (rnd(r) & 3);
	switch (rnd(r) % 8) {
	case 0: exp = 0; break;
	case 1: exp = (1ull << e) - 1; break;
	case 2: exp = rnd(r) & ((1ull << e) - 1); break;
	case 3: exp = one_in(r, 2) ? 1 : (1ull << e) - 2; break;
	case 4: exp = bias + rnd(r) % 70; break;
	default: break;
	}
	exp &= (1ull << e) - 1;
	return sign | exp << f | frac;
}

static u64 gen_vec(struct rng *r, unsigned kind)
{
	u64 v = 0;

	switch (kind) {
	case 0: return gen_float(r, 11, 52);
	case 1: return gen_float(r, 8, 23) | gen_float(r, 8, 23) << 32;
	case 2:
		for (unsigned k = 0; k < 4; k++)
			v |= gen_float(r, 5, 10) << (16 * k);
		return v;
	default: return gen_int(r);
	}
}

void gen_case(struct a64_case *c, u64 seed)
{
	struct rng r = { seed * 0x2545f4914f6cdd1dull };
	unsigned kind = (unsigned)(rnd(&r) % 6);

	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < 31; i++)
		c->s.x[i] = gen_int(&r);
	c->s.sp = A64_MEM + 2048;
	c->s.nzcv = rnd(&r) & 0xf0000000;
	c->s.fpcr = one_in(&r, 2) ? 0 : (u32)rnd(&r) & 0x03c00000 & ~(one_in(&r, 2) ? 0x01000000u : 0);
	for (unsigned i = 0; i < 64; i++)
		c->s.v[i] = gen_vec(&r, kind);
	c->n = one_in(&r, 2) ? 1 : 1 + (u32)(rnd(&r) % A64_INSNS);
	for (unsigned i = 0; i < c->n; i++)
		if (!i || one_in(&r, 4) || !store_of(&r, c->insn[i - 1], &c->insn[i]))
			c->insn[i] = gen_insn(&r, &c->s);
	c->mem_seed = (u32)rnd(&r);
}
