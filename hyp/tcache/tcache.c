/* SPDX-License-Identifier: Apache-2.0 */
/* Block look-up and invalidation (see tcache.h). Guest-live. */
#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/tcache/tcache.h"
#include "hyp/tcache/tcache_priv.h"

/* With the linear page: a library's page has blocks for every process that ran it. */
static u32 block_hash(u64 pc, gpa_t gpa, u32 key)
{
	u64 place = (gpa ^ ((u64)key << 40)) * 0x9e3779b97f4a7c15ull;

	return (u32)((place + (pc >> PAGE_SHIFT) * 0xc2b2ae3d27d4eb4full) >> (64 - TCACHE_HASH_BITS));
}

struct hyp_block *tcache_lookup(struct hyp_engine *e, u64 pc, gpa_t gpa, u32 key)
{
	for (u32 i = e->hash[block_hash(pc, gpa, key)]; i != TCACHE_NONE; i = e->blocks[i].hash_next) {
		struct hyp_block *b = &e->blocks[i];

		if (b->gpa == gpa && b->pc == pc && b->key == key)
			return b;
	}
	return NULL;
}

/* The first of those that check themselves. */
static struct hyp_block *find_checking(struct hyp_engine *e, u64 pc, gpa_t gpa, u32 key)
{
	for (u32 i = e->hash[block_hash(pc, gpa, key)]; i != TCACHE_NONE; i = e->blocks[i].hash_next) {
		struct hyp_block *b = &e->blocks[i];

		if (b->checks && b->gpa == gpa && b->pc == pc && b->key == key)
			return b;
	}
	return NULL;
}

struct hyp_block *tcache_add(struct hyp_engine *e)
{
	struct hyp_block *b = &e->blocks[e->n_blocks];

	b->gpa2 = TCACHE_NO_GPA;
	b->dead = false;
	b->looks = 0;
	b->fails = 0;
	b->checks = TCACHE_MARKED;
	b->n_tail = 0;
	b->map = e->n_maps;
	return b;
}

static struct tcache_page *page_slot(struct hyp_engine *e, gpa_t gpa)
{
	u64 frame = (gpa >> PAGE_SHIFT) + 1;
	u32 i = (u32)((frame * 0x9e3779b97f4a7c15ull) >> (64 - TCACHE_PAGE_BITS));

	while (e->pages[i].frame && e->pages[i].frame != frame)
		i = (i + 1) & ((1u << TCACHE_PAGE_BITS) - 1);
	return &e->pages[i];
}

/* 64-byte granules of the page that [off, off+len) touches */
static u64 granules(unsigned off, unsigned len)
{
	unsigned first = off / 64, last = MIN(off + len - 1, 4095u) / 64;

	return GENMASK_ULL(last, first);
}

static u64 block_granules(const struct hyp_block *b, unsigned which)
{
	if (which)
		return granules(0, b->guest_len - (PAGE_SIZE - (b->gpa & ~PAGE_MASK)));
	return granules(b->gpa & ~PAGE_MASK, b->guest_len) | b->looks;
}

void tcache_note_look(struct hyp_block *b, unsigned off, unsigned len)
{
	b->looks |= granules(off, len);
}

static void page_link(struct hyp_engine *e, struct hyp_block *b, unsigned which)
{
	gpa_t gpa = which ? b->gpa2 : b->gpa;
	struct tcache_page *p = page_slot(e, gpa);

	if (!p->frame) {
		p->frame = (gpa >> PAGE_SHIFT) + 1;
		p->first = TCACHE_NONE;
		p->granules = 0;
		p->epoch = 0; /* compared at the next entry: that is cheaper than to know */
		e->n_pages++;
	}
	b->page_next[which] = p->first;
	p->first = (u32)(b - e->blocks) * 2 + which;
	p->granules |= block_granules(b, which);
}

static void patch_jump(struct hyp_engine *e, u32 at, u32 to)
{
	u8 *p = e->rw + at;

	p[0] = 0xe9;
	*(u32 *)(p + 1) = to - (at + 5);
}

/* Behind the last of the family that starts with `first`. */
static void add_variant(struct hyp_engine *e, struct hyp_block *first, struct hyp_block *b)
{
	while (first->next != TCACHE_NONE)
		first = &e->blocks[first->next];
	first->next = (u32)(b - e->blocks);
	patch_jump(e, first->miss, b->direct);
	b->checks = TCACHE_VARIANT;
}

static void kill_one(struct hyp_engine *e, struct hyp_block *b)
{
	b->dead = true;
	patch_jump(e, b->ind, e->stub_jc_miss);
	patch_jump(e, b->direct, b->end - TCACHE_DEAD_STUB);
}

void tcache_kill(struct hyp_engine *e, struct hyp_block *b)
{
	u32 *link = &e->hash[block_hash(b->pc, b->gpa, b->key)];

	if (b->dead)
		return;
	if (b->checks == TCACHE_VARIANT)
		b = find_checking(e, b->pc, b->gpa, b->key);
	while (*link != (u32)(b - e->blocks))
		link = &e->blocks[*link].hash_next;
	*link = b->hash_next;
	kill_one(e, b);
	while (b->checks && b->next != TCACHE_NONE) {
		b = &e->blocks[b->next];
		kill_one(e, b);
	}
}

void tcache_publish(struct hyp_engine *e, struct hyp_block *b)
{
	u32 *head = &e->hash[block_hash(b->pc, b->gpa, b->key)];
	struct hyp_block *first = b->checks ? find_checking(e, b->pc, b->gpa, b->key) : NULL;

	if (first && (first->gpa2 & b->gpa2) != TCACHE_NO_GPA) {
		tcache_kill(e, first); /* look-ups have to see that the second page is the same */
		first = NULL;
	}
	if (first) {
		add_variant(e, first, b);
	} else {
		b->hash_next = *head;
		*head = (u32)(b - e->blocks);
	}
	page_link(e, b, 0);
	if (b->gpa2 != TCACHE_NO_GPA)
		page_link(e, b, 1);
	e->n_blocks++;
}

bool tcache_limit_variants(struct hyp_engine *e, u64 pc, gpa_t gpa, u32 key)
{
	struct hyp_block *first = find_checking(e, pc, gpa, key);
	unsigned n = 1;

	if (!first)
		return false;
	for (struct hyp_block *b = first; b->next != TCACHE_NONE; b = &e->blocks[b->next])
		n++;
	if (n < TCACHE_VARIANTS)
		return false;
	tcache_kill(e, first);
	return true;
}

void tcache_forward(struct hyp_engine *e, struct hyp_block *b, u32 to)
{
	patch_jump(e, b->direct, to);
}

/* Kills what overlaps `mask`, unlinks dead blocks from the page's list, recomputes its granules. */
static void page_kill(struct hyp_engine *e, struct tcache_page *p, u64 mask)
{
	u32 *link = &p->first;

	p->granules = 0;
	while (*link != TCACHE_NONE) {
		unsigned which = *link & 1;
		struct hyp_block *b = &e->blocks[*link / 2];

		if (block_granules(b, which) & mask)
			tcache_kill(e, b);
		if (b->dead) {
			*link = b->page_next[which];
		} else {
			p->granules |= block_granules(b, which);
			link = &b->page_next[which];
		}
	}
}

/* ---- code that was changed behind our back -------------------------------------------------- */

u32 tcache_block_sum(const struct hyp_block *b, unsigned which, const u8 *page)
{
	unsigned off = b->gpa & ~PAGE_MASK, in_first = MIN((unsigned)b->guest_len, (unsigned)PAGE_SIZE - off);
	const u8 *p = which ? page : page + off, *end = p + (which ? b->guest_len - in_first : in_first);
	u64 h = 0xcbf29ce484222325ull;

	for (; p + 8 <= end; p += 8) {
		u64 word;

		__builtin_memcpy(&word, p, sizeof(word)); /* not aligned */
		h = (h ^ word) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
	}
	for (; p < end; p++)
		h = (h ^ *p) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
	return (u32)(h ^ h >> 32);
}

void tcache_compare_page(struct hyp_cpu *cpu, gpa_t gpa, const u8 *page)
{
	struct hyp_engine *e = cpu->engine;
	struct tcache_page *p = page_slot(e, gpa);
	u32 epoch = __atomic_load_n(&cpu->as->client_epoch, __ATOMIC_ACQUIRE);
	bool changed = false;

	if (!p->frame || likely(p->epoch == epoch))
		return;
	p->epoch = epoch;
	for (u32 i = p->first; i != TCACHE_NONE; i = e->blocks[i / 2].page_next[i & 1]) {
		struct hyp_block *b = &e->blocks[i / 2];

		if (b->dead || b->checks || tcache_block_sum(b, i & 1, page) == b->sum[i & 1])
			continue;
		tcache_kill(e, b);
		changed = true;
	}
	if (changed)
		page_kill(e, p, 0); /* unlinks the dead */
}

void tcache_watch(struct hyp_engine *e, gpa_t gpa)
{
	gpa_t page = gpa & PAGE_MASK;

	for (u32 i = 0; i < MIN(e->n_watched, TCACHE_WATCHED); i++)
		if (e->watched[i] == page)
			return;
	e->watched[e->n_watched++ % TCACHE_WATCHED] = page;
}

void tcache_compare_watched(struct hyp_cpu *cpu)
{
	struct hyp_engine *e = cpu->engine;

	for (u32 i = 0; i < MIN(e->n_watched, TCACHE_WATCHED); i++) {
		const u8 *page = hyp_phys_ptr(cpu, e->watched[i], false);

		if (page)
			tcache_compare_page(cpu, e->watched[i], page);
	}
}

bool hyp_engine_invalidate(struct hyp_cpu *cpu, gpa_t gpa, unsigned size)
{
	struct hyp_engine *e = cpu->engine;
	struct tcache_page *p = page_slot(e, gpa);
	u64 mask = granules(gpa & ~PAGE_MASK, size ? size : 1);

	hyp_direct_page_changed(cpu, gpa);
	if (!p->frame || !(p->granules & mask))
		return false;
	page_kill(e, p, mask);
	return true;
}

void hyp_engine_flush(struct hyp_cpu *cpu)
{
	struct hyp_engine *e = cpu->engine;

	cpu->n_direct_changed = ARRAY_SIZE(cpu->direct_changed) + 1;
	for (u32 i = 0; i < 1u << TCACHE_HASH_BITS; i++)
		e->hash[i] = TCACHE_NONE;
	if (e->n_pages)
		for (u32 i = 0; i < 1u << TCACHE_PAGE_BITS; i++)
			e->pages[i].frame = 0;
	e->n_pages = 0;
	e->n_watched = 0;
	e->n_blocks = 0;
	e->n_maps = 0;
	e->next = e->base;
	e->generation++;
	for (unsigned c = 0; c < HYP_JC_CLASSES; c++) {
		cpu->jc_fills[c].n = HYP_FILLS_MAX + 1; /* not listed: all of it */
		hyp_jc_reset(cpu, c);
	}
}

struct hyp_block *tcache_find_host(struct hyp_engine *e, u64 host_pc)
{
	u32 off = (u32)(host_pc - (u64)e->rx), lo = 0, hi = e->n_blocks;

	if (host_pc < (u64)e->rx + e->base || host_pc >= (u64)e->rx + e->next)
		return NULL;
	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (e->blocks[mid].ind <= off)
			lo = mid;
		else
			hi = mid;
	}
	return e->n_blocks ? &e->blocks[lo] : NULL;
}

u64 tcache_guest_pc(struct hyp_engine *e, u64 host_pc)
{
	const struct hyp_block *b = tcache_find_host(e, host_pc);
	const struct hyp_insn_map *m;
	unsigned i = 0;

	if (!b || !b->n_insns || host_pc < (u64)e->rx + b->direct)
		return 0;
	m = e->maps + b->map;
	while (i + 1 < b->n_insns + b->n_tail && m[i + 1].host <= host_pc - (u64)e->rx - b->direct)
		i++;
	return b->pc + (m[i].guest & INSN_MAP_OFFSET);
}
