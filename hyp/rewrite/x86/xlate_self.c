/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that check themselves: code in a page that is stored into all the time (mem/reuse.c says which).
 * Such a page is not marked, so stores to it are like any others and nobody is told of them. Instead, the
 * block begins by comparing the guest's bytes with those it was made from:
 *
 *	mov gs:[scratch1], rcx
 *	mov s1, address on the host
 *	mov rcx, [s1]			; up to 8 bytes at a time
 *	(mov s2, mask; pext rcx, rcx, s2)	; those of them that are compared
 *	lea ecx, [rcx - bytes]		; flags are the guest's
 *	jrcxz on
 *	mov rcx, gs:[scratch1]
 *	jmp next variant		; or out (SITE_CHANGED), where one is made
 * on:	...
 *	mov rcx, gs:[scratch1]
 *
 * Immediates of four and eight bytes are what is patched most. They are not compared but loaded from the
 * guest's code where the instruction is executed, so that a change of them costs nothing. So are immediates
 * of one byte, and the target of the branch at the end, in a block that has had more versions than are kept.
 *
 * Why that is enough. A CPU sees its own stores to code at once: a block ends behind every instruction that
 * may store, and what follows checks itself. Those of other CPUs, and of devices, it has to see when it is
 * serialized, and instructions that do that end the block too. Every byte is read once, into a copy that is
 * both decoded and compared with: code that changes meanwhile is not found the same by mistake. Nothing may
 * depend on bytes that are not the block's own, so all flags are live at its ends. The address on the host is
 * good until the memory map changes, which drops all blocks of the page (HYP_PF_CHECKED).
 */
#include "hyp/rewrite/x86/xlate.h"

#define SELF_BYTES 64 /* where the last instruction begins, at most */

/* The bytes that decode_block may look at. */
void x_copy_code(struct xlate *x, const u8 *host)
{
	unsigned off = (unsigned)((u64)host & ~PAGE_MASK);

	x->where = x->page_host;
	x->where2 = NULL;
	memcpy(x->copy + off, host, MIN(SELF_BYTES + 15u, (unsigned)PAGE_SIZE - off));
	x->page_host = x->copy;
}

/* The instruction's bytes, `head` of them in the block's page, the others at `next`. */
void x_copy_second(struct xlate *x, const u8 *bytes, unsigned head, const u8 *next)
{
	if (!x->self)
		return;
	if (x->page_host != x->copy)
		x->where = x->page_host;
	x->page_host = x->copy;
	x->where2 = next;
	memcpy(x->copy + PAGE_SIZE - head, bytes, head);
	memcpy(x->copy2, bytes + head, 15 - head);
}

static bool may_store(const struct insn *in)
{
	for (unsigned i = 0; i < in->z.operand_count; i++)
		if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    in->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			return true;
	switch (in->cls) {
	case INSN_COPY:
	case INSN_VERBATIM:
	case INSN_LEA:
	case INSN_NOP:
	case INSN_POP:
	case INSN_LEAVE:
	case INSN_CLD_STD:
	case INSN_RDTSC:
	case INSN_RDTSCP:
	case INSN_VZERO:
	case INSN_MOV_FROM_SEG:
	case INSN_JCC:
		return false;
	default:
		return true;
	}
}

bool x_self_ends(const struct xlate *x, const struct insn *in)
{
	return x->self && (may_store(in) || in->pc + in->len - x->b->pc > SELF_BYTES);
}

/* ---- the comparison ------------------------------------------------------------------------------ */

static bool loads_target(const struct insn *in)
{
	return (in->cls == INSN_CALL || in->cls == INSN_JMP) && in->z.raw.imm[0].size == 32;
}

bool x_self_loads(const struct xlate *x, const struct insn *in)
{
	const ZydisDecodedOperand *o = in->op;
	unsigned bits = in->z.raw.imm[0].size;

	if (!x->self || x->where2)
		return false;
	if ((bits == 8 || loads_target(in)) && !hyp_moves(x->eng, x->b->pc))
		return false;
	if (loads_target(in))
		return true;
	if (in->cls != INSN_COPY || in->has_mem || in->elen != in->len ||
	    in->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || in->z.raw.imm[0].is_relative ||
	    in->z.operand_count_visible != 2 || o[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    o[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || (o[0].size != 32 && o[0].size != 64))
		return false;
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return bits == 32 || bits == 64;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_TEST:
		return bits == 32 || bits == 8;
	default:
		return false;
	}
}

struct window {
	unsigned size; /* 1, 2, 4, 8 */
	u64 mask;      /* of the bytes to compare */
	u64 want;      /* these, one after the other */
	unsigned bits;
};

/* The bytes from `at` on that one load can compare: n are left, `room` are left in the page. */
static struct window window_at(const u8 *at, const bool *loaded, unsigned n, unsigned room)
{
	struct window w = { .size = 8 };
	unsigned last = 0;

	while (w.size > room)
		w.size /= 2;
	for (unsigned i = 0; i < MIN(n, w.size); i++)
		if (!loaded[i])
			last = i;
	while (w.size / 2 > last)
		w.size /= 2;
	for (unsigned i = 0; i <= last; i++)
		if (!loaded[i]) {
			w.mask |= 0xffull << 8 * i;
			w.want |= (u64)at[i] << w.bits;
			w.bits += 8;
		}
	return w;
}

/* rcx = 0 where the window of the guest's bytes at [s1 + disp] is as it was */
static void compare(struct xlate *x, const struct window *w, s32 disp)
{
	if (w->size < 4)
		e_1(&x->e, 0x41), e_1(&x->e, 0x0f), e_1(&x->e, w->size == 1 ? 0xb6 : 0xb7);
	if (w->size < 4) { /* movzx ecx, byte or word [s1 + disp32] */
		e_1(&x->e, 0x80 | X86_RCX << 3 | (S1 & 7));
		e_4(&x->e, (u32)disp);
	} else {
		e_rm(&x->e, w->size == 8, 0x8b, X86_RCX, S1, disp);
	}
	if (w->bits < 8 * w->size) {
		e_mov_ri(&x->e, S2, w->mask);
		e_bytes(&x->e, "\xc4\xc2\xf2\xf5\xcd", 5); /* pext rcx, rcx, s2 */
	}
	if (w->bits <= 32) {
		e_lea(&x->e, false, X86_RCX, X86_RCX, NO_REG, 1, (s32) - (u32)w->want);
	} else {
		e_mov_ri(&x->e, S2, -w->want);
		e_lea(&x->e, true, X86_RCX, X86_RCX, S2, 1, 0);
	}
}

#define MISS_LEN 14 /* mov rcx, gs:[scratch]; jmp rel32 */

/* jrcxz on; the way out, or a jump to it: *miss, 0: not emitted yet */
static void leave_if_changed(struct xlate *x, u32 *miss)
{
	e_1(&x->e, 0xe3);
	e_1(&x->e, *miss ? 5 : MISS_LEN);
	if (*miss) {
		e_1(&x->e, 0xe9);
		e_4(&x->e, *miss - (x_here(x) + 4));
		return;
	}
	*miss = x_here(x);
	e_load_gs(&x->e, X86_RCX, OFF(scratch[1]));
	x->b->miss = x_here(x);
	e_1(&x->e, 0xe9);
	e_4(&x->e, 0);
	x_cold(x, SITE_CHANGED, x_here(x) - 4)->site = x_site(x, SITE_CHANGED, x->cur);
}

/* n bytes of the page at `host`, from `off` on; `copy`: as they were. */
static void check_bytes(struct xlate *x, const u8 *host, unsigned off, const u8 *copy, const bool *loaded,
			unsigned n, u32 *miss)
{
	e_mov_ri(&x->e, S1, (u64)host);
	for (unsigned i = 0; i < n;) {
		struct window w;

		if (loaded[i]) {
			i++;
			continue;
		}
		w = window_at(copy + i, loaded + i, n - i, (unsigned)PAGE_SIZE - off - i);
		compare(x, &w, (s32)i);
		leave_if_changed(x, miss);
		i += w.size;
	}
}

void x_check_self(struct xlate *x)
{
	struct insn *last = &x->insn[x->n - 1];
	unsigned len = (unsigned)(last->pc + last->len - x->b->pc), off = (unsigned)(x->b->pc & ~PAGE_MASK);
	unsigned head = MIN(len, (unsigned)PAGE_SIZE - off);
	bool loaded[SELF_BYTES + 16] = { false };
	u32 miss = 0;

	for (unsigned i = 0; i < x->n; i++)
		for (unsigned k = 0; x_self_loads(x, &x->insn[i]) && k < x->insn[i].z.raw.imm[0].size / 8;
		     k++)
			loaded[x->insn[i].pc - x->b->pc + x->insn[i].z.raw.imm[0].offset + k] = true;
	x->n_pre = 1;
	x->b->checks = TCACHE_CHECKS;
	x->b->next = TCACHE_NONE;
	e_store_gs(&x->e, OFF(scratch[1]), X86_RCX);
	check_bytes(x, x->where + off, off, x->copy + off, loaded, head, &miss);
	if (head < len)
		check_bytes(x, x->where2, 0, x->copy2, loaded, len - head, &miss);
	e_load_gs(&x->e, X86_RCX, OFF(scratch[1]));
}

/* ---- immediates in memory -------------------------------------------------------------------------- */

/* op reg, r/m; TEST r/m, reg is the same */
static u8 opcode_of(const struct insn *in)
{
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
		return 0x03;
	case ZYDIS_MNEMONIC_OR:
		return 0x0b;
	case ZYDIS_MNEMONIC_ADC:
		return 0x13;
	case ZYDIS_MNEMONIC_SBB:
		return 0x1b;
	case ZYDIS_MNEMONIC_AND:
		return 0x23;
	case ZYDIS_MNEMONIC_SUB:
		return 0x2b;
	case ZYDIS_MNEMONIC_XOR:
		return 0x33;
	case ZYDIS_MNEMONIC_CMP:
		return 0x3b;
	default:
		return 0x85;
	}
}

/* dst = the immediate at [s1] */
static void load_immediate(struct xlate *x, const struct insn *in, int dst)
{
	bool wide = in->op[0].size == 64;

	if (in->z.raw.imm[0].size == 8) { /* movsx dst, byte [s1] */
		e_rex(&x->e, wide, dst, 0, S1);
		e_bytes(&x->e, "\x0f\xbe", 2);
		e_1(&x->e, (u8)((dst & 7) << 3 | (S1 & 7)));
		return;
	}
	e_rm(&x->e, wide, wide && in->z.raw.imm[0].size == 32 ? 0x63 : 0x8b, dst, S1, 0);
}

static void to_immediate(struct xlate *x, const struct insn *in)
{
	e_mov_ri(&x->e, S1, (u64)x->where + (in->pc & ~PAGE_MASK) + in->z.raw.imm[0].offset);
}

/* S1 = target of the direct branch. Destroys S2 */
void x_load_target(struct xlate *x, const struct insn *in)
{
	to_immediate(x, in);
	e_rm(&x->e, true, 0x63, S1, S1, 0);
	e_mov_ri(&x->e, S2, x_next(x, in));
	e_lea(&x->e, x_is64(x), S1, S1, S2, 1, 0);
}

/* The instruction with its immediate where the guest has it. */
void x_copy_loading(struct xlate *x, const struct insn *in)
{
	u8 g = insn_gpr(in->op[0].reg.value, NULL), op = opcode_of(in);
	bool wide = in->op[0].size == 64, in_memory = host_of(g) == NO_REG;
	int dst = host_of(g);

	x->insn_state |= x->flags_held ? INSN_MAP_HELD : 0;
	x->s2_check = -1;
	to_immediate(x, in);
	if (in->z.mnemonic == ZYDIS_MNEMONIC_MOV) {
		load_immediate(x, in, in_memory ? S1 : dst);
	} else {
		load_immediate(x, in, S2);
		if (in_memory)
			e_load_gs(&x->e, S1, OFF_GPR(g));
		e_rr(&x->e, wide, op, in_memory ? S1 : dst, S2);
	}
	if (in_memory && op != 0x3b && !(op == 0x85 && in->z.mnemonic == ZYDIS_MNEMONIC_TEST))
		e_store_gs(&x->e, OFF_GPR(g), S1);
}
