/* SPDX-License-Identifier: Apache-2.0 */
/* From guest code to a block of IR, and what all lifters use. */
#include "hyp/lift/arm64/lift.h"

#include "hyp/sys/arm64/cpu.h"

#include <string.h>

/* Room that one instruction may need (LD4 of 64 bytes is the longest). */
#define IR_ROOM 160

u16 lift_get_sp(struct lift *l, enum ir_type t, unsigned n)
{
	u16 v = lift_imm_op(l, IR_GET, IR_I64, 0, n);
	return t == IR_I32 ? ir1(l->b, IR_TRUNC, IR_I32, v) : v;
}

u16 lift_get(struct lift *l, enum ir_type t, unsigned n)
{
	return n == 31 ? lift_const(l, t, 0) : lift_get_sp(l, t, n);
}

u16 lift_base(struct lift *l, unsigned n)
{
	u16 v = lift_get_sp(l, IR_I64, n);

	if (n == 31 && l->key & HYP_KEY_SPALIGN && !l->sp_aligned) {
		ir_add_insn(l->b, (struct ir_insn){ .op = IR_TRAPNZ, .a = v, .cc = 15,
						    .imm = (s64)A64_ESR(A64_EC_SP_ALIGN, 0) });
		l->sp_aligned = true;
	}
	return v;
}

/* Is v SP moved by a multiple of 16? Nearly all that compilers do with it. */
static bool keeps_alignment(const struct lift *l, enum ir_type t, u16 v)
{
	const struct ir_insn *i = &l->b->ir[v], *n = &l->b->ir[i->a], *by = &l->b->ir[i->b];

	return t == IR_I64 && (i->op == IR_ADD || i->op == IR_SUB) && n->op == IR_GET && n->imm == 31 &&
	       by->op == IR_CONST && !(by->imm & 15);
}

void lift_set_sp(struct lift *l, enum ir_type t, unsigned n, u16 v)
{
	if (n == 31 && l->sp_aligned)
		l->sp_aligned = keeps_alignment(l, t, v);
	if (t == IR_I32)
		v = ir1(l->b, IR_WIDEN, IR_I64, v);
	lift_imm_op(l, IR_SET, IR_VOID, v, n);
}

void lift_set(struct lift *l, enum ir_type t, unsigned n, u16 v)
{
	if (n != 31)
		lift_set_sp(l, t, n, v);
}

u16 lift_shift(struct lift *l, enum ir_type t, u16 a, unsigned by, unsigned amount)
{
	static const u8 op[] = { IR_SHL, IR_SHR, IR_SAR, IR_ROR };
	return amount ? ir2(l->b, op[by], t, a, lift_const(l, t, amount)) : a;
}

u16 lift_extend(struct lift *l, enum ir_type t, unsigned rm, unsigned option, unsigned shift)
{
	u16 v = lift_get(l, t, rm);
	unsigned bits = 8u << (option & 3);
	if (bits < (t == IR_I32 ? 32 : 64))
		v = lift_imm_op(l, option & 4 ? IR_SEXT : IR_ZEXT, t, v, bits);
	return lift_shift(l, t, v, 0, shift);
}

static u16 call(struct lift *l, enum ir_op op, ir_helper fn, const u16 arg[3])
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = op, .type = IR_I64, .a = arg[0], .b = arg[1], .c = arg[2],
						   .imm = (s64)(uintptr_t)fn });
}

u16 lift_call(struct lift *l, ir_helper fn, u16 a, u16 b, u16 c)
{
	return call(l, IR_CALL, fn, (u16[]){ a, b, c });
}

u16 lift_callx(struct lift *l, ir_helper fn, u16 a, u16 b, u16 c)
{
	return call(l, IR_CALLX, fn, (u16[]){ a, b, c });
}

void lift_goto(struct lift *l, u64 target, u8 kind)
{
	ir_add_insn(l->b, (struct ir_insn){ .op = IR_GOTO, .cc = kind, .imm = (s64)target });
	l->end = true;
}

void lift_gotox(struct lift *l, u16 target, u8 kind)
{
	ir_add_insn(l->b, (struct ir_insn){ .op = IR_GOTOX, .cc = kind, .a = target });
	l->end = true;
}

void lift_leave(struct lift *l, u64 target)
{
	lift_imm_op(l, IR_LEAVE, IR_VOID, 0, target);
	l->end = true;
}

void lift_raise(struct lift *l, u32 esr)
{
	lift_imm_op(l, IR_RAISE, IR_VOID, 0, esr);
	l->end = true;
}

static u64 rotate(u64 v, unsigned by, unsigned bits)
{
	u64 ones = bits == 64 ? ~0ull : (1ull << bits) - 1;
	return by ? (v >> by | v << (bits - by)) & ones : v;
}

bool lift_bitmask(unsigned n, unsigned imms, unsigned immr, bool is64, u64 *out)
{
	unsigned combined = n << 6 | (~imms & 0x3f);

	if (!combined || (!is64 && n))
		return false;
	unsigned len = 31 - (unsigned)__builtin_clz(combined), size = 1u << len;
	unsigned s = imms & (size - 1), r = immr & (size - 1);
	if (!len || s == size - 1)
		return false;
	u64 v = rotate(s == 63 ? ~0ull : (1ull << (s + 1)) - 1, r, size);
	for (; size < 64; size *= 2)
		v |= v << size;
	*out = is64 ? v : (u32)v;
	return true;
}

bool lift_none(struct lift *l, const struct a64_insn *i)
{
	return false;
}

bool a64_feature(const char *feature)
{
	bool any = false;

	for (unsigned i = 0; i < a64_nr_rows; i++) {
		if (strcmp(a64_table[i].feature, feature))
			continue;
		if (a64_table[i].lift == lift_none)
			return false;
		any = true;
	}
	return any;
}

/* One instruction, from INSN on. What a lifter began and then refused is taken back. */
static void lift_insn(struct lift *l, u32 raw)
{
	struct a64_insn i;

	lift_imm_op(l, IR_INSN, IR_VOID, 0, l->pc - l->b->pc);
	u32 begin = l->b->n;
	bool ok = a64_decode(raw, &i) && i.enc->lift(l, &i);
	if (ok && (i.enc->chapter < A64_LDST_SIMD || l->key & HYP_KEY_FP))
		return;
	l->b->n = begin;
	/* CPACR_EL1.FPEN: ISS with CV = 1, COND = AL. */
	lift_raise(l, ok ? A64_ESR(A64_EC_FP, 0x1e00000) : A64_ESR(0, 0));
}

u32 a64_lift_block(struct ir_block *b, u64 pc, const u8 *code, u32 avail, u32 key, u32 max_insns)
{
	struct lift l = { .b = b, .pc = pc, .key = key };
	u32 at = 0, count = 0;

	b->pc = pc;
	b->key = key;
	b->n = 1;
	b->overflow = false;
	while (!l.end && count < max_insns && at + 4 <= avail && b->n + IR_ROOM < IR_MAX_INSNS) {
		u32 raw;
		memcpy(&raw, code + at, 4);
		l.pc = pc + at;
		lift_insn(&l, raw);
		at += 4;
		count++;
	}
	if (!l.end)
		lift_goto(&l, pc + at, 0);
	b->guest_insns = count;
	b->guest_len = at;
	return at;
}
