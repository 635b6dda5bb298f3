/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which user code gets page cells (cell.c). A tight loop runs up to four times as fast with them; a large
 * program half as fast: thousands of places share the cells, and nearly every access refills one that another
 * place has taken. So code begins with the soft TLB in line, as the kernel's has it always, and two things
 * are watched.
 *
 * Where the guest is found, whenever a loop answers the attention word (the guest's own timer interrupt sees
 * to that), and every HYP_TURNS backward branches of code without cells. A page that gets more than one look
 * in TCACHE_LOOKS is hot: the counters are those of Misra and Gries, who find every frequent element with
 * as many. Its blocks are dropped, and what of it runs again gets cells.
 *
 * Places that refill their cells all the time (hyp_cell_judge) lose them for good, and their blocks are
 * made anew.
 *
 * The same way it is remembered of blocks that check themselves which change so often that the branch at
 * their end takes its displacement from the guest's code.
 *
 * Guest-live.
 */
#include "hyp/direct/x86/direct.h"
#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/engine.h"

#define HOT 3 /* what a page's counter must come to */

static u32 hash(u64 n)
{
	return (u32)(n * 0x9e3779b97f4a7c15ull >> 32);
}

static bool bit_of(const u64 *bits, u32 nr)
{
	return bits[nr / 64] >> nr % 64 & 1;
}

static u32 page_bit(gpa_t gpa)
{
	return hash(gpa >> PAGE_SHIFT) % (TCACHE_HOT * 64);
}

static u32 place_bit(u64 pc)
{
	return hash(pc) % (TCACHE_NO_CELL * 64);
}

bool hyp_is_hot(const struct hyp_engine *e, gpa_t gpa)
{
	return e->always_hot || bit_of(e->hot, page_bit(gpa));
}

/* The counter that is the page's now, or NULL: there is none, and all others were worth one less. */
static struct tcache_look *look(struct hyp_engine *e, u64 page)
{
	struct tcache_look *unused = NULL;

	for (unsigned i = 0; i < TCACHE_LOOKS; i++) {
		if (e->look[i].n && e->look[i].page == page)
			return &e->look[i];
		if (!e->look[i].n)
			unused = &e->look[i];
	}
	if (unused)
		unused->page = page;
	for (unsigned i = 0; i < TCACHE_LOOKS && !unused; i++)
		e->look[i].n--;
	return unused;
}

void hyp_heat(struct hyp_cpu *cpu, gpa_t gpa)
{
	struct hyp_engine *e = cpu->engine;
	u32 bit = page_bit(gpa);
	struct tcache_look *l;

	if (cpu->direct)
		hyp_direct_look(cpu);
	if (cpu->tlb_part != HYP_TLB_USER || bit_of(e->hot, bit))
		return;
	l = look(e, gpa >> PAGE_SHIFT);
	if (!l || ++l->n < HOT)
		return;
	l->n = 0;
	e->hot[bit / 64] |= 1ull << bit % 64;
	cpu->stats[HYP_STAT_heated]++;
	hyp_engine_invalidate(cpu, gpa & PAGE_MASK, PAGE_SIZE);
}

bool hyp_has_no_cell(const struct hyp_engine *e, u64 pc)
{
	return bit_of(e->no_cell, place_bit(pc));
}

static u32 block_bit(u64 pc)
{
	return hash(pc) % (TCACHE_MOVES * 64);
}

bool hyp_moves(const struct hyp_engine *e, u64 pc)
{
	return bit_of(e->moves, block_bit(pc));
}

void hyp_note_moves(struct hyp_engine *e, u64 pc)
{
	e->moves[block_bit(pc) / 64] |= 1ull << block_bit(pc) % 64;
}

void hyp_take_cell(struct hyp_cpu *cpu, struct hyp_block *b, u64 pc)
{
	u32 bit = place_bit(pc);

	cpu->engine->no_cell[bit / 64] |= 1ull << bit % 64;
	cpu->stats[HYP_STAT_demoted]++;
	if (!b->dead)
		tcache_kill(cpu->engine, b);
}
