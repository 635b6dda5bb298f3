/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text from a row: everything of its template between < and > is an operand, printed by the function the
 * list below names for it, or the number of the field of that name. No aliases (CMP, MOV, LSL): the row's
 * own instruction is meant.
 */
#include "hyp/lift/arm64/decode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct out {
	char *buf;
	size_t size, len;
	u64 pc;
	const struct a64_insn *i;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(o->buf + o->len, o->size - o->len, fmt, ap);
	va_end(ap);
	o->len = MIN(o->len + (size_t)MAX(n, 0), o->size - 1);
}

static s64 sext(u64 v, unsigned bits)
{
	return (s64)(v << (64 - bits)) >> (64 - bits);
}

static bool has(const struct a64_insn *i, enum a64_field f)
{
	unsigned width;
	return a64_row_field((unsigned)(i->enc - a64_table), f, &width) >= 0;
}

/* ---- registers: <Rd>, <Xn|SP>, <Wt>, <Vm> ... ---- */

static const struct {
	const char *suffix;
	u8 field;
} reg_fields[] = { { "d", A64_Rd }, { "n", A64_Rn },   { "m", A64_Rm }, { "a", A64_Ra },
		   { "t", A64_Rt }, { "t2", A64_Rt2 }, { "s", A64_Rs } };

static bool put_reg(struct out *o, const char *t, size_t len)
{
	bool sp = len > 3 && !memcmp(t + len - 3, "|SP", 3);
	size_t name = sp ? len - 3 : len;

	if (name < 2 || !strchr("RXWV", t[0]))
		return false;
	for (unsigned k = 0; k < ARRAY_SIZE(reg_fields); k++) {
		if (strlen(reg_fields[k].suffix) != name - 1 || memcmp(reg_fields[k].suffix, t + 1, name - 1))
			continue;
		u32 n = o->i->f[reg_fields[k].field];
		bool narrow = t[0] == 'W' || (t[0] == 'R' && has(o->i, A64_sf) && !F(o->i, sf));
		if (t[0] == 'V')
			put(o, "v%u", n);
		else if (n == 31)
			put(o, "%s%s", narrow ? "w" : sp ? "" : "x", sp ? "sp" : "zr");
		else
			put(o, "%c%u", narrow ? 'w' : 'x', n);
		return true;
	}
	return false;
}

/* ---- other operands ---- */

static void put_label(struct out *o)
{
	const struct a64_insn *i = o->i;
	s64 by;

	if (has(i, A64_imm26))
		by = sext(F(i, imm26), 26) * 4;
	else if (has(i, A64_imm19))
		by = sext(F(i, imm19), 19) * 4;
	else if (has(i, A64_imm14))
		by = sext(F(i, imm14), 14) * 4;
	else
		by = sext(F(i, immhi) << 2 | F(i, immlo), 21);
	if (has(i, A64_immhi) && F(i, op))
		put(o, "0x%llx", (unsigned long long)((o->pc & ~0xfffull) + ((u64)by << 12)));
	else
		put(o, "0x%llx", (unsigned long long)(o->pc + (u64)by));
}

static void put_sh(struct out *o)
{
	if (F(o->i, sh))
		put(o, ", lsl #12");
}

static void put_hw(struct out *o)
{
	if (F(o->i, hw))
		put(o, ", lsl #%u", F(o->i, hw) * 16);
}

static void put_cond(struct out *o)
{
	static const char *const names[] = { "eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc",
					     "hi", "ls", "ge", "lt", "gt", "le", "al", "nv" };
	put(o, "%s", names[F(o->i, cond)]);
}

static void put_shift(struct out *o)
{
	static const char *const names[] = { "lsl", "lsr", "asr", "ror" };
	if (F(o->i, imm6))
		put(o, ", %s #%u", names[F(o->i, shift)], F(o->i, imm6));
}

static void put_extend(struct out *o)
{
	static const char *const names[] = { "uxtb", "uxth", "uxtw", "uxtx", "sxtb", "sxth", "sxtw", "sxtx" };
	put(o, ", %s #%u", names[F(o->i, option)], F(o->i, imm3));
}

static void put_bitmask(struct out *o)
{
	put(o, "(%u:%u:%u)", F(o->i, N), F(o->i, immr), F(o->i, imms));
}

static void put_bit(struct out *o)
{
	put(o, "%u", F(o->i, b5) << 5 | F(o->i, b40));
}

static void put_sysreg(struct out *o)
{
	const struct a64_insn *i = o->i;
	put(o, "s%u_%u_c%u_c%u_%u", 2 + F(i, o0), F(i, op1), F(i, CRn), F(i, CRm), F(i, op2));
}

static void put_simm9(struct out *o)
{
	put(o, "%d", (int)sext(F(o->i, imm9), 9));
}

static bool is_vector(const struct a64_insn *i)
{
	return i->enc->chapter == A64_LDST_SIMD;
}

static unsigned vector_size(const struct a64_insn *i)
{
	return F(i, size) | (F(i, opc) & 2) << 1;
}

static void put_uimm12(struct out *o)
{
	put(o, "%u", F(o->i, imm12) << (is_vector(o->i) ? vector_size(o->i) : F(o->i, size)));
}

static void put_simm7(struct out *o)
{
	unsigned opc = F(o->i, opc), scale = is_vector(o->i) ? 2 + opc : opc == 2 ? 3 : 2;
	put(o, "%d", (int)(sext(F(o->i, imm7), 7) << scale));
}

static const char *const sizes[] = { "b", "h", "", "" };

static void put_size(struct out *o)
{
	put(o, "%s", sizes[F(o->i, size)]);
}

static void put_load(struct out *o, const char *load, const char *store)
{
	static const char *const sign[] = { "sb", "sh", "sw", "" };
	unsigned opc = F(o->i, opc), size = F(o->i, size);

	if (opc >= 2 && size == 3)
		put(o, "prfm");
	else if (opc >= 2)
		put(o, "%s%s%s", load, sign[size], opc == 3 ? ".w" : "");
	else
		put(o, "%s%s", opc ? load : store, sizes[size]);
}

static void put_ldr(struct out *o)
{
	put_load(o, "ldr", "str");
}

static void put_ldapur(struct out *o)
{
	put_load(o, "ldapur", "stlur");
}

static void put_ldp(struct out *o)
{
	put(o, "%s", !F(o->i, L) ? "stp" : F(o->i, opc) == 1 ? "ldpsw" : "ldp");
}

static void put_ldrlit(struct out *o)
{
	static const char *const names[] = { "ldr.w", "ldr", "ldrsw", "prfm" };
	put(o, "%s", names[F(o->i, opc)]);
}

static void put_ldrv(struct out *o)
{
	put(o, "%s.%c", F(o->i, opc) & 1 ? "ldr" : "str", "bhsdq???"[vector_size(o->i)]);
}

static void put_ldpv(struct out *o)
{
	put(o, "%s.%c", F(o->i, L) ? "ldp" : "stp", "sdq?"[F(o->i, opc)]);
}

static void put_ldop(struct out *o)
{
	static const char *const names[] = { "add", "clr", "eor", "set", "smax", "smin", "umax", "umin" };
	put(o, "ld%s", names[F(o->i, opt)]);
}

static void put_l(struct out *o)
{
	put(o, "%s", F(o->i, o0) ? "l" : "");
}

static void put_a(struct out *o)
{
	put(o, "%s", F(o->i, o0) ? "a" : "");
}

static void put_al(struct out *o)
{
	put(o, "%s%s", F(o->i, L) ? "a" : "", F(o->i, o0) ? "l" : "");
}

static void put_ar(struct out *o)
{
	put(o, "%s%s", F(o->i, A) ? "a" : "", F(o->i, R) ? "l" : "");
}

static void put_s(struct out *o)
{
	put(o, "%s", F(o->i, S) ? "s" : "");
}

static void put_pstate(struct out *o)
{
	put(o, "pstate_%u_%u", F(o->i, op1), F(o->i, op2));
}

static void put_ldn(struct out *o)
{
	static const u8 regs[16] = { 4, 0, 1, 0, 3, 0, 1, 1, 2, 0, 1 };
	put(o, "%s%u", F(o->i, L) ? "ld" : "st", regs[F(o->i, opcode)]);
}

static void put_ldn1(struct out *o)
{
	unsigned regs = ((F(o->i, opcode) & 1) << 1 | F(o->i, R)) + 1;
	put(o, "%s%u%s", F(o->i, L) ? "ld" : "st", regs, F(o->i, opcode) >> 1 == 3 ? "r" : "");
}

static void put_arrangement(struct out *o)
{
	static const char *const names[] = { "8b", "16b", "4h", "8h", "2s", "4s", "1d", "2d" };
	put(o, ".%s", names[F(o->i, size) << 1 | F(o->i, Q)]);
}

static void put_regs(struct out *o, unsigned n, bool bytes)
{
	static const enum a64_field order[] = { A64_Rd, A64_Rn, A64_Rm };

	for (unsigned k = 0; k < n; k++) {
		put(o, "%sv%u", k ? ", " : "", o->i->f[order[k]]);
		if (bytes)
			put(o, ".%s", F(o->i, Q) ? "16b" : "8b");
		else if (has(o->i, A64_Q))
			put_arrangement(o);
		else
			put(o, ".%c", "bhsd"[F(o->i, size)]);
	}
}

static void put_2(struct out *o)
{
	put_regs(o, 2, false);
}

static void put_3(struct out *o)
{
	put_regs(o, 3, false);
}

/* Floating-point vectors: half where there is no sz. */
static void put_fp_regs(struct out *o, unsigned n)
{
	static const enum a64_field order[] = { A64_Rd, A64_Rn, A64_Rm };
	bool half = !has(o->i, A64_sz);

	for (unsigned k = 0; k < n; k++) {
		put(o, "%sv%u.", k ? ", " : "", o->i->f[order[k]]);
		if (has(o->i, A64_Q))
			put(o, "%u", (half ? 4u : F(o->i, sz) ? 1u : 2u) << F(o->i, Q));
		put(o, "%c", half ? 'h' : F(o->i, sz) ? 'd' : 's');
	}
}

static void put_2f(struct out *o)
{
	put_fp_regs(o, 2);
}

static void put_3f(struct out *o)
{
	put_fp_regs(o, 3);
}

static void put_3b(struct out *o)
{
	put_regs(o, 3, true);
}

/* Of FP scalars by type: s, d, -, h. */
static void put_fp(struct out *o)
{
	put(o, "%c", "sd?h"[F(o->i, type)]);
}

static const struct {
	const char *token;
	void (*put)(struct out *o);
} operands[] = {
	{ "label", put_label }, { "sh", put_sh }, { "hw", put_hw }, { "cond", put_cond }, { "shift", put_shift },
	{ "extend", put_extend }, { "bitmask", put_bitmask }, { "bit", put_bit }, { "sysreg", put_sysreg },
	{ "simm9", put_simm9 }, { "simm7", put_simm7 }, { "uimm12", put_uimm12 }, { "b", put_size }, { "ldr", put_ldr },
	{ "ldp", put_ldp }, { "ldrlit", put_ldrlit }, { "ldapur", put_ldapur }, { "ldrv", put_ldrv }, { "ldpv", put_ldpv },
	{ "ldop", put_ldop }, { "l", put_l }, { "a", put_a }, { "al", put_al }, { "ar", put_ar }, { "s", put_s },
	{ "pstate", put_pstate }, { "ldn", put_ldn }, { "ldn1", put_ldn1 }, { "T", put_arrangement }, { "fp", put_fp },
	{ "2v", put_2 }, { "2s", put_2 }, { "3v", put_3 }, { "3s", put_3 }, { "3vb", put_3b },
	{ "2f", put_2f }, { "3f", put_3f },
};

static const struct {
	const char *name;
} field_names[] = {
#define FIELD(name, width) { #name },
#include "hyp/lift/arm64/fields.inc"
#undef FIELD
};

static void put_operand(struct out *o, const char *t, size_t len)
{
	for (unsigned k = 0; k < ARRAY_SIZE(operands); k++) {
		if (strlen(operands[k].token) != len || memcmp(operands[k].token, t, len))
			continue;
		operands[k].put(o);
		return;
	}
	if (put_reg(o, t, len))
		return;
	for (unsigned k = 0; k < A64_NR_FIELDS; k++) {
		if (strlen(field_names[k].name) != len || memcmp(field_names[k].name, t, len))
			continue;
		put(o, "%u", o->i->f[k]);
		return;
	}
	put(o, "<%.*s>", (int)len, t);
}

void a64_disassemble(u32 raw, u64 pc, char *buf, size_t size)
{
	struct a64_insn i;
	struct out o = { buf, size, 0, pc, &i };

	if (!a64_decode(raw, &i)) {
		put(&o, ".inst 0x%08x", raw);
		return;
	}
	for (const char *t = i.enc->text; *t;) {
		size_t len = *t == '<' ? strcspn(t + 1, ">") : 0;
		if (!len || t[len + 1] != '>') {
			put(&o, "%c", *t++);
			continue;
		}
		put_operand(&o, t + 1, len);
		t += len + 2;
	}
}
