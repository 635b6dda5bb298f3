/* SPDX-License-Identifier: Apache-2.0 */
/* A block of IR becomes host code (em.h). */
#include "hyp/emit/x86/em.h"

#include <errno.h>
#include <stdlib.h>

#define BYTES_PER_OP 480 /* CASQ with 14 live xmm registers in its slow path is the longest */
#define BYTES_MORE 1024

struct em *emit_create(void)
{
	return calloc(1, sizeof(struct em));
}

void emit_destroy(struct em *x)
{
	free(x);
}

static u32 write_jump(struct lift_engine *e, u32 at, const char *to)
{
	u64 target = (u64)to;

	memcpy(e->rw + at, "\xff\x25\x00\x00\x00\x00", 6); /* jmp [rip] */
	memcpy(e->rw + at + 6, &target, 8);
	return at + 16;
}

void emit_stubs(struct lift_engine *e)
{
	struct em_site miss = { .kind = SITE_JC_MISS };
	u32 at = 16, rel; /* 0 is no offset of a block */

	e->stub[STUB_LEAVE] = at;
	at = write_jump(e, at, emit_leave);
	e->stub[STUB_CALL] = at;
	at = write_jump(e, at, emit_stub_call);
	e->stub[STUB_MEM] = at;
	at = write_jump(e, at, emit_stub_mem);
	e->stub[STUB_JC_MISS] = at;
	e->rw[at] = 0xe8;
	rel = e->stub[STUB_LEAVE] - (at + 5);
	memcpy(e->rw + at + 1, &rel, 4);
	memcpy(e->rw + at + 5, &miss, sizeof(miss));
	e->base = at + 64;
}

static void patch_jump(struct lift_engine *e, u32 at, u32 to)
{
	u32 rel = to - (at + 5);

	e->rw[at] = 0xe9;
	memcpy(e->rw + at + 1, &rel, 4);
}

void emit_kill(struct lift_engine *e, const struct lift_block *blk)
{
	patch_jump(e, blk->code, blk->again);
	if (blk->direct != blk->code)
		patch_jump(e, blk->direct, blk->again);
}

void emit_link(struct lift_engine *e, u32 patch, const struct lift_block *to, bool poll)
{
	u32 rel = (poll ? to->code : to->direct) - (patch + 4);

	memcpy(e->rw + patch, &rel, 4);
}

/* Room for a block of n operations? */
static int check_room(const struct lift_engine *e, u32 n)
{
	u32 need = n * BYTES_PER_OP + BYTES_MORE;

	if (need > e->size - e->base)
		return -EOPNOTSUPP;
	return need > e->size - e->next || e->n_maps + n > e->max_maps ? -ENOSPC : 0;
}

static struct em *begin(struct lift_engine *e, const struct ir_block *b, struct lift_block *blk)
{
	struct em *x = e->emit;

	memset(x, 0, offsetof(struct em, cold));
	x->eng = e;
	x->b = b;
	x->blk = blk;
	x->n_cold = 0;
	x->e.p = e->rw + e->next;
	return x;
}

static void emit_op(struct em *x)
{
	const struct ir_insn *i = em_insn(x, x->v);

	if (x->val[x->v].root != x->v || x->val[x->v].deferred || i->op == IR_NONE || i->op == IR_CONST)
		return;
	if (em_can_vec((enum ir_op)i->op)) {
		if (!em_op_vec(x, i))
			x->failed = true;
	} else if (i->op == IR_GETF || i->op == IR_SETF || (i->op >= IR_FADD && i->op <= IR_FTO)) {
		em_op_flags(x, i);
	} else if ((i->op >= IR_LD && i->op <= IR_FENCE) || i->op == IR_LDV || i->op == IR_STV) {
		em_op_mem(x, i);
	} else if (i->op == IR_INSN || (i->op >= IR_CALL && i->op <= IR_RAISE)) {
		em_op_flow(x, i);
	} else {
		em_op_int(x, i);
	}
}

/* cmp dword gs:[attention], 0; jne again */
static u32 emit_entries(struct em *x)
{
	u32 jne;

	x->blk->code = em_here(x);
	e_bytes(&x->e, "\x65\x83\x3c\x25", 4);
	e_4(&x->e, OFF(attention));
	e_1(&x->e, 0);
	jne = em_jcc(x, CC_NE);
	x->blk->direct = em_here(x);
	return jne;
}

static void emit_cold(struct em *x)
{
	for (u32 k = 0; k < x->n_cold; k++)
		if (x->cold[k].kind == COLD_MEM)
			em_cold_mem(x, &x->cold[k]);
		else if (x->cold[k].kind == COLD_FP)
			em_cold_fp(x, &x->cold[k]);
		else if (x->cold[k].kind == COLD_SPIN)
			em_cold_spin(x, &x->cold[k]);
		else
			em_cold_flow(x, &x->cold[k]);
}

static void finish(struct em *x)
{
	x->blk->end = em_here(x);
	x->eng->next = ALIGN_UP(x->blk->end, 16);
}

int emit_block(struct lift_engine *e, const struct ir_block *b, struct lift_block *blk)
{
	int ret = check_room(e, b->n);
	struct em *x;
	u32 jne;

	if (ret)
		return ret;
	x = begin(e, b, blk);
	blk->map = e->n_maps;
	em_plan(x);
	jne = emit_entries(x);
	for (x->v = 1; x->v < b->n && !x->failed; x->v++) {
		emit_op(x);
		em_end_op(x);
	}
	if (!x->failed) {
		emit_cold(x);
		blk->again = em_here(x);
		em_patch(x, jne, blk->again);
		em_exit(x, (struct em_site){ .kind = SITE_AGAIN });
	}
	if (x->failed || x->full) {
		e->n_maps = blk->map;
		blk->code = 0;
		return x->failed ? -EOPNOTSUPP : -ENOSPC;
	}
	blk->n_map = e->n_maps - blk->map;
	finish(x);
	return 0;
}

int emit_interp_block(struct lift_engine *e, struct lift_block *blk)
{
	struct em *x;

	if (check_room(e, 1))
		return -ENOSPC;
	x = begin(e, blk->ir, blk);
	blk->code = blk->direct = em_here(x);
	em_exit(x, (struct em_site){ .kind = SITE_INTERP });
	blk->again = em_here(x);
	em_exit(x, (struct em_site){ .kind = SITE_AGAIN });
	finish(x);
	return 0;
}
