/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference interpreter: what every operation means, in plain C. Values are kept as they are defined,
 * one slot each; state is read and written in program order, so nothing has to be undone when an access
 * faults.
 *
 * It is also what runs a guest with KUSE_HYP_ENGINE=interp, and blocks that hyp/emit refuses.
 */
#include <string.h>

#include "hyp/ir/interp.h"

struct run {
	struct hyp_cpu *cpu;
	const struct ir_block *b;
	union ir_val *val;
};

/* ---- memory ------------------------------------------------------------------------------------------ */

static unsigned partition(const struct ir_block *b, u32 mem)
{
	if (!(b->key & HYP_KEY_EL1) || (mem & IR_MEM_USER && !(b->key & HYP_KEY_UAO)))
		return HYP_TLB_EL0;
	return b->key & HYP_KEY_PAN ? HYP_TLB_EL1_PAN : HYP_TLB_EL1;
}

/* Host address where the soft TLB has it and nothing is unusual, else NULL. The tag is the first byte's: the
 * page before it may have the same slot (the index is folded). */
static inline u8 *fast_ptr(const struct run *r, u32 mem, u64 gva, bool write)
{
	const struct hyp_tlb_entry *e = &r->cpu->tlb[partition(r->b, mem)][hyp_tlb_slot(gva)];
	u64 tag = write ? e->write_tag : e->read_tag, last = IR_MEM_SIZE(mem) - 1;
	bool aligned = mem & IR_MEM_ALIGN || r->b->key & HYP_KEY_ALIGN;

	if (gva - tag > PAGE_SIZE - 1 - last || (aligned && gva & last))
		return NULL;
	return (u8 *)(gva + e->addend);
}

static u64 extended(const struct ir_insn *i, u64 x)
{
	unsigned bits = 8 * IR_MEM_SIZE(i->mem);

	if (i->mem & IR_MEM_SIGN && bits < 64)
		x = (u64)((s64)(x << (64 - bits)) >> (64 - bits));
	return x & ir_mask(i->type);
}

/* Whole words are read and written in one piece: other CPUs look on. */
static u64 read_host(const u8 *p, unsigned size)
{
	switch (size) {
	case 1: return *p;
	case 2: return *(const volatile u16 *)p;
	case 4: return *(const volatile u32 *)p;
	default: return *(const volatile u64 *)p;
	}
}

static void write_host(u8 *p, unsigned size, u64 x)
{
	switch (size) {
	case 1: *p = (u8)x; break;
	case 2: *(volatile u16 *)p = (u16)x; break;
	case 4: *(volatile u32 *)p = (u32)x; break;
	default: *(volatile u64 *)p = x; break;
	}
}

static bool do_load(const struct run *r, const struct ir_insn *i, union ir_val *out)
{
	u64 gva = r->val[i->a].x[0] + (u64)i->imm;
	u8 *p = fast_ptr(r, i->mem, gva, false);

	if (p) {
		out->x[0] = extended(i, read_host(p, IR_MEM_SIZE(i->mem)));
		return true;
	}
	if (!hyp_arm64_load(r->cpu, gva, i->mem, out->x))
		return false;
	out->x[0] = extended(i, out->x[0]);
	return true;
}

static bool do_store(const struct run *r, const struct ir_insn *i)
{
	u64 gva = r->val[i->a].x[0] + (u64)i->imm;
	u8 *p = fast_ptr(r, i->mem, gva, true);

	if (p)
		write_host(p, IR_MEM_SIZE(i->mem), r->val[i->b].x[0]);
	else if (!hyp_arm64_store(r->cpu, gva, i->mem, r->val[i->b].x))
		return false;
	if (i->mem & IR_MEM_REL)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

static bool do_load_vec(const struct run *r, const struct ir_insn *i, union ir_val *out)
{
	u64 gva = r->val[i->a].x[0] + (u64)i->imm;
	u8 *p = fast_ptr(r, i->mem, gva, false);

	out->x[0] = out->x[1] = 0;
	if (!p)
		return hyp_arm64_load(r->cpu, gva, i->mem, out->x);
	memcpy(out->x, p, IR_MEM_SIZE(i->mem));
	return true;
}

static bool do_store_vec(const struct run *r, const struct ir_insn *i)
{
	u64 gva = r->val[i->a].x[0] + (u64)i->imm;
	u8 *p = fast_ptr(r, i->mem, gva, true);

	if (!p)
		return hyp_arm64_store(r->cpu, gva, i->mem, r->val[i->b].x);
	memcpy(p, r->val[i->b].x, IR_MEM_SIZE(i->mem));
	return true;
}

/* LDX, STX, CAS, of 16 bytes too, ATOMIC. hyp_arm64_load() and friends zero extend. */
static bool do_atomic(const struct run *r, const struct ir_insn *i, union ir_val *out)
{
	u64 gva = r->val[i->a].x[0] + (u64)i->imm, got[2] = { 0, 0 };
	const u64 *x = r->val[i->b].x, *y = r->val[i->c].x;
	bool done;

	switch (i->op) {
	case IR_LDX:
	case IR_LDXQ: done = hyp_arm64_load_excl(r->cpu, gva, i->mem, got); break;
	case IR_STX:
	case IR_STXQ: done = hyp_arm64_store_excl(r->cpu, gva, i->mem, x, got); break;
	case IR_CAS:
	case IR_CASQ: done = hyp_arm64_cas(r->cpu, gva, i->mem, x, y, got); break;
	default: done = hyp_arm64_atomic(r->cpu, gva, i->mem, i->cc, x[0], got); break;
	}
	out->x[0] = i->op == IR_LDX || i->op == IR_CAS || i->op == IR_ATOMIC ? extended(i, got[0]) : got[0];
	out->x[1] = got[1];
	return done;
}

/* ---- state and the end ---- */

static void load_state(const struct run *r, const struct ir_insn *i, union ir_val *out)
{
	const u8 *p = (const u8 *)r->cpu + i->imm;

	out->x[0] = i->type == IR_I32 ? *(const u32 *)p : *(const u64 *)p;
}

static void store_state(const struct run *r, const struct ir_insn *i)
{
	u8 *p = (u8 *)r->cpu + i->imm;

	if (r->b->ir[i->a].type == IR_I32)
		*(u32 *)p = (u32)r->val[i->a].x[0];
	else
		*(u64 *)p = r->val[i->a].x[0];
}

static u64 do_call(const struct run *r, const struct ir_insn *i)
{
	ir_helper fn = (ir_helper)i->imm;

	return fn(r->cpu, r->val[i->a].x[0], r->val[i->b].x[0], r->val[i->c].x[0]);
}

static void do_fp(const struct run *r, const struct ir_insn *i, union ir_val *out)
{
	struct ir_fp_args arg = { &r->val[i->a], &r->val[i->b], &r->val[i->c], r->b->ir[i->a].type == IR_I32 };

	ir_fp(r->cpu, i, &arg, out);
}

static void fence(const struct ir_insn *i)
{
	if (i->imm == 3)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void spin(struct hyp_cpu *cpu)
{
	if (--cpu->spins)
		__builtin_ia32_pause();
	else
		a64_helper_spin(cpu, 0, 0, 0);
}

static bool branch_taken(const struct run *r, const struct ir_insn *i)
{
	u64 x = r->val[i->a].x[0];

	return i->op == IR_BCC ? ir_cond_holds(i->cc, (u32)x) : i->op == IR_BNZ ? x != 0 : x == 0;
}

/* ---- dispatch ---- */

/* False: left, pc and leave say where to. */
static bool step(const struct run *r, const struct ir_insn *i, union ir_val *out)
{
	struct arm64_state *s = &r->cpu->s;

	switch (i->op) {
	case IR_NONE: break;
	case IR_INSN: s->pc = r->b->pc + (u64)i->imm; break;
	case IR_CONST: out->x[0] = (u64)i->imm; break;
	case IR_GET: out->x[0] = s->x[i->imm]; break;
	case IR_SET: s->x[i->imm] = r->val[i->a].x[0]; break;
	case IR_GETF: out->x[0] = s->pstate & ARM64_PSR_NZCV; break;
	case IR_SETF: s->pstate = (s->pstate & ~ARM64_PSR_NZCV) | (u32)r->val[i->a].x[0]; break;
	case IR_LDSTATE: load_state(r, i, out); break;
	case IR_STSTATE: store_state(r, i); break;
	case IR_ADD: out->x[0] = (r->val[i->a].x[0] + r->val[i->b].x[0]) & ir_mask(i->type); break;
	case IR_LD: return do_load(r, i, out);
	case IR_ST: return do_store(r, i);
	case IR_LDX:
	case IR_STX:
	case IR_CAS:
	case IR_LDXQ:
	case IR_STXQ:
	case IR_CASQ:
	case IR_ATOMIC: return do_atomic(r, i, out);
	case IR_LDV: return do_load_vec(r, i, out);
	case IR_STV: return do_store_vec(r, i);
	case IR_CLREX: s->exclusive = 0; break;
	case IR_SPIN: spin(r->cpu); break;
	case IR_FENCE: fence(i); break;
	case IR_CALL: out->x[0] = do_call(r, i); break;
	case IR_CALLX: out->x[0] = do_call(r, i); return r->cpu->leave == ARM64_GO_ON;
	case IR_TRAPNZ:
		if (!(r->val[i->a].x[0] & i->cc))
			break;
		hyp_arm64_raise(r->cpu, (u32)i->imm, 0);
		return false;
	case IR_BCC:
	case IR_BNZ:
	case IR_BZ:
		if (!branch_taken(r, i))
			break;
		/* fall through */
	case IR_GOTO:
	case IR_LEAVE: s->pc = (u64)i->imm; return false;
	case IR_GOTOX: s->pc = r->val[i->a].x[0]; return false;
	case IR_LEAVEX: return false;
	case IR_RAISE: hyp_arm64_raise(r->cpu, (u32)i->imm, 0); return false;
	case IR_GETV: memcpy(out->x, s->v[i->imm].d, 16); break;
	case IR_SETV: memcpy(s->v[i->imm].d, r->val[i->a].x, 16); break;
	default:
		if (ir_can_eval((enum ir_op)i->op))
			out->x[0] = ir_eval(i, r->val[i->a].x[0], r->val[i->b].x[0], r->val[i->c].x[0]);
		else if (ir_is_fp(i->op))
			do_fp(r, i, out);
		else
			ir_interp_vec(i, r->val, out);
	}
	return true;
}

void ir_interp(struct hyp_cpu *cpu, const struct ir_block *b)
{
	union ir_val val[IR_MAX_INSNS];
	struct run r = { cpu, b, val };
	u32 v = 1;

	val[0].x[0] = val[0].x[1] = 0;
	while (step(&r, &b->ir[v], &val[v]))
		v++;
}
