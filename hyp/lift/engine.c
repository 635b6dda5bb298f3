/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of lifted code: look-up, making, invalidation (see block.h). Running them is run.c's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/emit/x86/emit.h"
#include "hyp/lift/arm64/decode.h"
#include "hyp/lift/block.h"
#include "hyp/mem/as.h"
#include "hyp/opt/opt.h"

#define MAX_GUEST_INSNS 64

/* ---- tables ---- */

static u32 block_hash(gpa_t gpa, u32 key)
{
	return (u32)(((gpa ^ (u64)key << 40) * 0x9e3779b97f4a7c15ull) >> (64 - LIFT_HASH_BITS));
}

static struct lift_block *lookup(struct lift_engine *e, u64 pc, gpa_t gpa, u32 key)
{
	for (u32 i = e->hash[block_hash(gpa, key)]; i != LIFT_NONE; i = e->blocks[i].hash_next) {
		struct lift_block *b = &e->blocks[i];

		if (b->gpa == gpa && b->pc == pc && b->key == key)
			return b;
	}
	return NULL;
}

static struct lift_page *page_slot(struct lift_engine *e, gpa_t gpa)
{
	u64 frame = (gpa >> PAGE_SHIFT) + 1;
	u32 i = (u32)((frame * 0x9e3779b97f4a7c15ull) >> (64 - LIFT_PAGE_BITS));

	while (e->pages[i].frame && e->pages[i].frame != frame)
		i = (i + 1) & ((1u << LIFT_PAGE_BITS) - 1);
	return &e->pages[i];
}

static void publish(struct lift_engine *e, struct lift_block *b)
{
	u32 *head = &e->hash[block_hash(b->gpa, b->key)], self = (u32)(b - e->blocks);
	struct lift_page *p = page_slot(e, b->gpa);

	b->hash_next = *head;
	*head = self;
	if (!p->frame) {
		p->frame = (b->gpa >> PAGE_SHIFT) + 1;
		p->first = LIFT_NONE;
		e->n_pages++;
	}
	b->page_next = p->first;
	p->first = self;
	e->n_blocks++;
}

static u32 content_sum(const u8 *p, unsigned len)
{
	u64 h = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < len; i += 4) {
		u32 word;

		memcpy(&word, p + i, 4);
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return (u32)(h ^ h >> 32);
}

/* ---- jump cache ---- */

static void jc_reset_class(struct hyp_cpu *cpu, unsigned el)
{
	struct lift_engine *e = cpu->engine;

	if (!e)
		return;
	if (e->fills[el].n > LIFT_FILLS)
		memset(cpu->jc[el], 0xff, sizeof(cpu->jc[el]));
	else
		for (u32 i = 0; i < e->fills[el].n; i++)
			cpu->jc[el][e->fills[el].slot[i]].pc = LIFT_JC_EMPTY(e->fills[el].slot[i]);
	cpu->jc[el][LIFT_JC_EMPTY_SLOT].pc = LIFT_JC_EMPTY(LIFT_JC_EMPTY_SLOT);
	e->fills[el].n = 0;
	if (el)
		e->low_el1 = false;
}

void hyp_jc_reset(struct hyp_cpu *cpu)
{
	jc_reset_class(cpu, 0);
	jc_reset_class(cpu, 1);
}

/* Code of EL1 at low addresses (identity maps, early boot) is rare: entries for the upper half stay. */
void hyp_jc_reset_user(struct hyp_cpu *cpu)
{
	jc_reset_class(cpu, 0);
	if (cpu->engine && cpu->engine->low_el1)
		jc_reset_class(cpu, 1);
}

void lift_fill_jc(struct hyp_cpu *cpu, const struct lift_block *b)
{
	struct lift_engine *e = cpu->engine;
	unsigned el = b->key & HYP_KEY_EL1, slot = lift_jc_slot(b->pc);

	cpu->jc[el][slot] = (struct hyp_jc_entry){ b->pc, e->interp_only ? (u64)b : (u64)e->rx + b->code };
	if (e->fills[el].n < LIFT_FILLS)
		e->fills[el].slot[e->fills[el].n] = (u16)slot;
	e->fills[el].n++;
	if (el && !(b->pc >> 63))
		e->low_el1 = true;
}

void lift_check_key(struct hyp_cpu *cpu)
{
	struct lift_engine *e = cpu->engine;
	unsigned el = cpu->key & HYP_KEY_EL1;

	if (likely(e->jc_key[el] == cpu->key))
		return;
	jc_reset_class(cpu, el);
	e->jc_key[el] = cpu->key;
}

/* ---- making ---- */

/* A copy of the block's IR, as long as it is. NULL: the arena is full. */
static const struct ir_block *keep_ir(struct lift_engine *e, const struct ir_block *b)
{
	size_t len = ALIGN_UP(offsetof(struct ir_block, ir[b->n]), 16);
	void *p = e->arena + e->arena_used;

	if (e->arena_used + len > e->arena_size)
		return NULL;
	e->arena_used += len;
	return memcpy(p, b, len);
}

static int make_code(struct hyp_cpu *cpu, struct lift_block *blk)
{
	struct lift_engine *e = cpu->engine;
	bool interp = e->interp_only || cpu->key & HYP_KEY_DEBUG;
	int ret = interp ? -EOPNOTSUPP : emit_block(e, e->work, blk);

	if (ret != -EOPNOTSUPP)
		return ret;
	blk->ir = keep_ir(e, e->work);
	if (!blk->ir)
		return -ENOSPC;
	return e->interp_only ? 0 : emit_interp_block(e, blk);
}

/* Lifts into e->work. Blocks that the IR cannot hold are cut. */
static u32 lift(struct hyp_cpu *cpu, u64 pc, const u8 *code, u32 key)
{
	struct ir_block *b = cpu->engine->work;
	u32 max = key & HYP_KEY_DEBUG ? 1 : MAX_GUEST_INSNS, len;

	do {
		ir_block_init(b, pc, key);
		len = a64_lift_block(b, pc, code, (u32)(PAGE_SIZE - (pc & ~PAGE_MASK)), key, max);
		max = max > 1 ? max / 2 : 1;
	} while (b->overflow && b->guest_insns != 1);
	return len;
}

static struct lift_block *internal_error(struct hyp_cpu *cpu, const char *what)
{
	cpu->s.exit.reason = HYP_EXIT_INTERNAL;
	cpu->s.exit.internal.pc = cpu->s.pc;
	cpu->s.exit.internal.what = what;
	cpu->leave = ARM64_EXIT;
	return NULL;
}

static void describe(struct lift_block *b, const struct ir_block *ir, const u8 *page)
{
	b->guest_insns = (u16)ir->guest_insns;
	b->sum = content_sum(page + (b->pc & ~PAGE_MASK), b->guest_len);
	b->look_from = ir->look.from;
	b->look_to = ir->look.to;
	b->look_sum = content_sum(page + b->look_from, b->look_to - b->look_from);
}

static struct lift_block *translate(struct hyp_cpu *cpu, u64 pc, gpa_t gpa, const u8 *code)
{
	struct lift_engine *e = cpu->engine;
	u32 len = lift(cpu, pc, code, cpu->key);
	const char *wrong = ir_verify(e->work);
	struct lift_block *b;
	int ret = -ENOSPC;

	if (unlikely(wrong))
		return internal_error(cpu, wrong);
	opt_block(e->work, code - (pc & ~PAGE_MASK));
	for (int tries = 0; ret == -ENOSPC && tries < 2; tries++) {
		if (tries || e->n_blocks == e->max_blocks)
			hyp_engine_flush(cpu);
		b = &e->blocks[e->n_blocks];
		*b = (struct lift_block){ .pc = pc, .gpa = gpa, .key = cpu->key, .guest_len = (u16)len };
		describe(b, e->work, code - (pc & ~PAGE_MASK));
		ret = make_code(cpu, b);
	}
	if (ret)
		return internal_error(cpu, "no room for a block's code");
	hyp_as_mark_code(cpu, gpa);
	publish(e, b);
	cpu->stats[HYP_STAT_blocks]++;
	cpu->stats[HYP_STAT_insns] += b->guest_insns;
	return b;
}

struct lift_block *lift_find_block(struct hyp_cpu *cpu, u64 pc)
{
	gpa_t gpa;
	const u8 *code;
	struct lift_block *b;

	cpu->s.pc = pc;
	code = hyp_arm64_fetch(cpu, pc, &gpa);
	if (!code)
		return NULL;
	b = lookup(cpu->engine, pc, gpa, cpu->key);
	return b ? b : translate(cpu, pc, gpa, code);
}

/* ---- invalidation ---- */

static void kill(struct hyp_cpu *cpu, struct lift_block *b)
{
	struct lift_engine *e = cpu->engine;
	u32 *link = &e->hash[block_hash(b->gpa, b->key)], self = (u32)(b - e->blocks);
	struct hyp_jc_entry *j = &cpu->jc[b->key & HYP_KEY_EL1][lift_jc_slot(b->pc)];

	b->dead = true;
	while (*link != self)
		link = &e->blocks[*link].hash_next;
	*link = b->hash_next;
	if (j->pc == b->pc)
		j->pc = LIFT_JC_EMPTY(lift_jc_slot(b->pc));
	if (b->code)
		emit_kill(e, b);
	cpu->stats[HYP_STAT_code_inval]++;
}

/* Kills the page's blocks that are made of something else than what is there now (NULL: no RAM). */
static void look_at_page(struct hyp_cpu *cpu, struct lift_page *p, const u8 *page)
{
	struct lift_engine *e = cpu->engine;
	u32 *link = &p->first;

	while (*link != LIFT_NONE) {
		struct lift_block *b = &e->blocks[*link];

		if (!page || content_sum(page + (b->gpa & ~PAGE_MASK), b->guest_len) != b->sum ||
		    content_sum(page + b->look_from, b->look_to - b->look_from) != b->look_sum) {
			kill(cpu, b);
			*link = b->page_next;
		} else {
			link = &b->page_next;
		}
	}
}

/* Host address of a page of RAM in the CPU's map, or NULL. */
static const u8 *page_ptr(struct hyp_cpu *cpu, gpa_t gpa)
{
	const struct hyp_region *r = cpu->map ? hyp_map_find(cpu->map, gpa, &cpu->last_region) : NULL;
	const u8 *base = r && hyp_gpa_private(cpu->as, gpa) ? r->private_hva : r ? r->hva : NULL;

	return base ? base + (gpa - r->gpa) : NULL;
}

/* Contents decide, not the fact that somebody wrote: IC is issued for whole pages of which little changed. */
bool hyp_engine_invalidate(struct hyp_cpu *cpu, gpa_t gpa, unsigned size)
{
	struct lift_page *p = page_slot(cpu->engine, gpa);

	if (p->frame)
		look_at_page(cpu, p, page_ptr(cpu, gpa & PAGE_MASK));
	return p->frame;
}

void hyp_engine_drop(struct hyp_cpu *cpu, gpa_t page)
{
	hyp_engine_invalidate(cpu, page, PAGE_SIZE);
}

void hyp_engine_flush(struct hyp_cpu *cpu)
{
	struct lift_engine *e = cpu->engine;

	memset(e->hash, 0xff, sizeof(*e->hash) << LIFT_HASH_BITS);
	if (e->n_pages)
		memset(e->pages, 0, sizeof(*e->pages) << LIFT_PAGE_BITS);
	e->n_pages = e->n_blocks = e->n_maps = 0;
	e->next = e->base;
	e->arena_used = 0;
	e->generation++;
	hyp_jc_reset(cpu);
}

/* Other CPUs look at the page when they next see their attention word: at the latest when they
 * synchronize their context, which ends a block, as the architecture asks of who runs modified code. */
void hyp_arm64_ic_page(struct hyp_cpu *cpu, gpa_t gpa)
{
	const u8 *pf = hyp_as_pf(cpu->as, gpa);

	if (pf && __atomic_load_n(pf, __ATOMIC_ACQUIRE) & HYP_PF_CODE)
		hyp_as_code_written(cpu, cpu->as, gpa & PAGE_MASK, PAGE_SIZE);
}

void hyp_arm64_ic_all(struct hyp_cpu *cpu)
{
	struct lift_engine *e = cpu->engine;

	for (struct hyp_cpu *c = cpu->as->cpus; c; c = c->as_next) {
		if (c == cpu && cpu->in_run)
			continue;
		__atomic_store_n(&c->inval.overflow, true, __ATOMIC_SEQ_CST);
		__atomic_fetch_or(&c->attention, HYP_ATTN_INVAL, __ATOMIC_SEQ_CST);
	}
	if (!cpu->in_run) /* its map may be an old one: later, as the others */
		return;
	for (u32 i = 0; i < 1u << LIFT_PAGE_BITS; i++)
		if (e->pages[i].frame)
			look_at_page(cpu, &e->pages[i], page_ptr(cpu, (e->pages[i].frame - 1) << PAGE_SHIFT));
}
