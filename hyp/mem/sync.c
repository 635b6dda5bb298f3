/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region look-up, page flags and the rendezvous between CPUs of one address space (as.h).
 * Guest-live: called while guest vector state is in host registers.
 */
#include "hyp/mem/as.h"

#define CHUNK_MASK ((1u << HYP_MAP_CHUNK_BITS) - 1)

static inline bool contains(const struct hyp_region *r, gpa_t gpa)
{
	return gpa - r->gpa < r->size;
}

u32 hyp_map_chunk_of(const struct hyp_map *map, gpa_t gpa)
{
	u32 lo = 0, hi = map->n;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (map->chunk[mid]->r[0].gpa <= gpa)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

u32 hyp_map_index_of(const struct hyp_map_chunk *c, gpa_t gpa)
{
	u32 lo = 0, hi = c->n;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (c->r[mid].gpa + c->r[mid].size <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct hyp_region *hyp_map_next(const struct hyp_map *map, gpa_t gpa)
{
	u32 c = hyp_map_chunk_of(map, gpa), i;

	if (!map->n)
		return NULL;
	i = hyp_map_index_of(map->chunk[c], gpa);
	if (i < map->chunk[c]->n)
		return &map->chunk[c]->r[i];
	return c + 1 < map->n ? &map->chunk[c + 1]->r[0] : NULL;
}

const struct hyp_region *hyp_map_find(const struct hyp_map *map, gpa_t gpa, u32 *guess)
{
	u32 c = *guess >> HYP_MAP_CHUNK_BITS, i = *guess & CHUNK_MASK;

	if (likely(c < map->n && i < map->chunk[c]->n && contains(&map->chunk[c]->r[i], gpa)))
		return &map->chunk[c]->r[i];
	if (!map->n)
		return NULL;
	c = hyp_map_chunk_of(map, gpa);
	i = hyp_map_index_of(map->chunk[c], gpa);
	if (i == map->chunk[c]->n || !contains(&map->chunk[c]->r[i], gpa))
		return NULL;
	*guess = c << HYP_MAP_CHUNK_BITS | i;
	return &map->chunk[c]->r[i];
}

/* Gives the processor away now and then: the other side may not be running. */
void hyp_relax(unsigned spins)
{
	if (spins % 64 == 63) {
		long ret;

		__asm__ volatile("syscall" : "=a"(ret) : "a"(24L /* sched_yield */) : "rcx", "r11", "memory");
	}
	__builtin_ia32_pause();
}

static void as_lock(struct hyp_as *as, struct hyp_cpu *self)
{
	for (unsigned spins = 0; __atomic_exchange_n(&as->lock, 1, __ATOMIC_ACQUIRE); spins++) {
		if (self)
			hyp_cpu_answer_sync(self);
		hyp_relax(spins);
	}
}

static void as_unlock(struct hyp_as *as)
{
	__atomic_store_n(&as->lock, 0, __ATOMIC_RELEASE);
}

void hyp_as_add_cpu(struct hyp_as *as, struct hyp_cpu *cpu)
{
	as_lock(as, NULL);
	cpu->as = as;
	cpu->as_next = as->cpus;
	as->cpus = cpu;
	as_unlock(as);
}

void hyp_as_del_cpu(struct hyp_as *as, struct hyp_cpu *cpu)
{
	struct hyp_cpu **p;

	as_lock(as, NULL);
	for (p = &as->cpus; *p != cpu; p = &(*p)->as_next)
		;
	*p = cpu->as_next;
	as_unlock(as);
}

/*
 * The request is taken back before the map is read: who asks once more in between gets another answer, and
 * never mistakes this one, which may have read the map before his, for it. The attention bit goes first,
 * because he who asks sets it last.
 */
void hyp_cpu_answer_sync(struct hyp_cpu *cpu)
{
	if (__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) & HYP_ATTN_SYNC)
		__atomic_fetch_and(&cpu->attention, ~HYP_ATTN_SYNC, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&cpu->want_sync, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&cpu->want_sync, 0, __ATOMIC_SEQ_CST);
	cpu->map = __atomic_load_n(&cpu->as->map[cpu->view], __ATOMIC_SEQ_CST);
	hyp_tlb_flush_all(cpu);
}

static void sync_one(struct hyp_cpu *c, struct hyp_cpu *self)
{
	__atomic_store_n(&c->want_sync, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&c->attention, HYP_ATTN_SYNC, __ATOMIC_SEQ_CST);
	for (unsigned spins = 0; __atomic_load_n(&c->want_sync, __ATOMIC_ACQUIRE); spins++) {
		if (!__atomic_load_n(&c->in_run, __ATOMIC_SEQ_CST))
			return; /* answers on its next entry, before it uses anything */
		if (self)
			hyp_cpu_answer_sync(self);
		hyp_relax(spins);
	}
}

void hyp_as_sync(struct hyp_as *as, struct hyp_cpu *self)
{
	as_lock(as, self);
	for (struct hyp_cpu *c = as->cpus; c; c = c->as_next)
		if (c != self)
			sync_one(c, self);
	as_unlock(as);
}

/* Drops this CPU's write entries for the page of gpa. */
static void drop_write_entries(struct hyp_cpu *cpu, gpa_t gpa)
{
	for (unsigned p = 0; p < HYP_TLB_PARTS; p++)
		hyp_cells_drop(cpu, p);
	for (unsigned p = 0; p < HYP_TLB_PARTS; p++)
		for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
			if (cpu->tlb[p][i].gpa >> PAGE_SHIFT == gpa >> PAGE_SHIFT)
				cpu->tlb[p][i].write_tag = HYP_TLB_NONE(i);
}

void hyp_as_mark_code(struct hyp_cpu *cpu, gpa_t gpa)
{
	u8 *pf = hyp_as_pf(cpu->as, gpa);
	u8 old;

	if (!pf || __atomic_load_n(pf, __ATOMIC_ACQUIRE) & HYP_PF_CODE)
		return;
	if (!cpu->as->code_seen[gpa >> HYP_PF_CHUNK_SHIFT])
		__atomic_store_n(&cpu->as->code_seen[gpa >> HYP_PF_CHUNK_SHIFT], 1, __ATOMIC_SEQ_CST);
	old = __atomic_fetch_or(pf, HYP_PF_CODE, __ATOMIC_SEQ_CST);
	if (!(old & HYP_PF_WTLB))
		return;
	drop_write_entries(cpu, gpa);
	if (cpu->as->cpus != cpu || cpu->as_next)
		hyp_as_sync(cpu->as, cpu);
	__atomic_fetch_and(pf, (u8)~HYP_PF_WTLB, __ATOMIC_SEQ_CST);
}

/* A set, not a queue: a free slot from the page's own on, or one that holds the page already (whoever
 * empties it does so after this). No slot: everything goes. */
static void queue_inval(struct hyp_cpu *c, gpa_t gpa)
{
	unsigned i, n = ARRAY_SIZE(c->inval.page);

	for (i = 0; i < n; i++) {
		gpa_t *slot = &c->inval.page[((gpa >> PAGE_SHIFT) + i) % n], old = 0;

		if (__atomic_compare_exchange_n(slot, &old, gpa | 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST) ||
		    old == (gpa | 1))
			break;
	}
	if (i == n)
		__atomic_store_n(&c->inval.overflow, true, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&c->attention, HYP_ATTN_INVAL, __ATOMIC_SEQ_CST);
}

/* Overflow is looked at first: what comes in while the slots are emptied raises attention again. */
void hyp_cpu_drop_queued(struct hyp_cpu *cpu)
{
	bool flush = __atomic_exchange_n(&cpu->inval.overflow, false, __ATOMIC_SEQ_CST);

	for (unsigned i = 0; i < ARRAY_SIZE(cpu->inval.page); i++) {
		gpa_t page = __atomic_load_n(&cpu->inval.page[i], __ATOMIC_RELAXED)
				     ? __atomic_exchange_n(&cpu->inval.page[i], 0, __ATOMIC_SEQ_CST)
				     : 0;

		if (page && !flush)
			hyp_engine_invalidate(cpu, page & PAGE_MASK, PAGE_SIZE);
	}
	if (flush)
		hyp_engine_flush(cpu);
}

void hyp_as_code_written(struct hyp_cpu *cpu, struct hyp_as *as, gpa_t gpa, unsigned size)
{
	if (cpu)
		hyp_engine_invalidate(cpu, gpa, size);
	for (struct hyp_cpu *c = as->cpus; c; c = c->as_next)
		if (c != cpu)
			queue_inval(c, gpa & PAGE_MASK);
}
