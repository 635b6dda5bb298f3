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
	hyp_attend(c, HYP_ATTN_SYNC);
	for (unsigned spins = 0; __atomic_load_n(&c->want_sync, __ATOMIC_ACQUIRE); spins++) {
		if (!__atomic_load_n(&c->in_run, __ATOMIC_SEQ_CST))
			return; /* answers on its next entry, before it uses anything */
		if (self)
			hyp_cpu_answer_sync(self);
		hyp_relax(spins);
	}
}

static void sync_others(struct hyp_as *as, struct hyp_cpu *self)
{
	for (struct hyp_cpu *c = as->cpus; c; c = c->as_next)
		if (c != self)
			sync_one(c, self);
}

void hyp_as_sync(struct hyp_as *as, struct hyp_cpu *self)
{
	as_lock(as, self);
	sync_others(as, self);
	as_unlock(as);
}

/* Drops this CPU's write entries for the page of gpa. */
static void drop_write_entries(struct hyp_cpu *cpu, gpa_t gpa)
{
	hyp_direct_page_changed(cpu, gpa);
	for (unsigned p = 0; p < HYP_TLB_PARTS; p++)
		hyp_cells_drop(cpu, p);
	for (unsigned p = 0; p < HYP_TLB_PARTS; p++)
		for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
			if (cpu->tlb[p][i].gpa >> PAGE_SHIFT == gpa >> PAGE_SHIFT)
				cpu->tlb[p][i].write_tag = HYP_TLB_NONE(i);
}

/*
 * Marking a page, and taking the mark back. The page's flags change by atomic operations only, so that all
 * CPUs agree on their order; the queues (queue_inval) are sequentially consistent with them.
 *
 * mark:    CODE is set and LEAVING cleared before the first byte of code is read. If WTLB was set, somebody
 *          may have write entries: under as->lock all drop theirs, and WTLB is cleared. CODE alone means
 *          that this is over, and nothing is to be done. Who finds CODE and WTLB comes in the middle of
 *          another CPU's mark, and waits for the lock.
 * store:   CODE: the slow way. Otherwise WTLB is set first, then the entry may be cached (mem/tlb.c).
 * unmark:  under as->lock: LEAVING is set; own translations go, the page is put in every other CPU's queue;
 *          CODE and LEAVING are exchanged for WTLB (the store that is about to be made), if both are there
 *          still.
 *
 * Why no CPU is left with translations of an unmarked page, unless the page is in its queue: a translation
 * that began before LEAVING was set is finished before that CPU looks at its queue, and goes then. One that
 * begins later, as all do after the queue was emptied, clears LEAVING, and the page stays marked.
 *
 * Why that is enough: stores are not seen any more from the exchange on. The queues were filled before it,
 * so whoever learns of such a store from another one finds HYP_ATTN_INVAL set when it serializes itself, as
 * the architecture asks of who runs code that another CPU has modified. A CPU that stores to the page itself
 * must see it at once: it caches no write entry while something is in its own queue, and drops what the
 * store hits. A block with code in two pages is in the lists of both, and goes with either.
 *
 * WTLB is cleared, and CODE taken away, under the lock only: otherwise a slow marker could clear the WTLB of
 * a store that came after somebody else had marked and unmarked the page.
 *
 * Translations that check themselves (HYP_PF_CHECK) need none of this: whoever stored, they see it when
 * they are entered. Whoever finds the flag before he translates marks nothing; whoever found it clear a
 * moment before has marked the page, and it stays so until it is unmarked again. The map may not change
 * under them, since they know where on the host the page is: HYP_PF_CHECKED, which stays, tells
 * drop_translations that there may be some.
 *
 * Nothing of this concerns memory that the client changes without KVM (a device's DMA): a CPU compares the
 * code it has with what is there (hyp_as_client_ran), and of an unmarked page it has none.
 */
static u8 set_code(u8 *pf)
{
	u8 old = __atomic_load_n(pf, __ATOMIC_SEQ_CST);

	while (!__atomic_compare_exchange_n(pf, &old, (u8)((old | HYP_PF_CODE) & ~HYP_PF_LEAVING), false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return old;
}

static void note_code(struct hyp_as *as, gpa_t gpa)
{
	if (!as->code_seen[gpa >> HYP_PF_CHUNK_SHIFT])
		__atomic_store_n(&as->code_seen[gpa >> HYP_PF_CHUNK_SHIFT], 1, __ATOMIC_SEQ_CST);
}

void hyp_as_check_code(struct hyp_as *as, gpa_t gpa)
{
	u8 *pf = hyp_as_pf(as, gpa);

	if (!pf)
		return;
	note_code(as, gpa);
	__atomic_fetch_or(pf, HYP_PF_CHECK | HYP_PF_CHECKED, __ATOMIC_SEQ_CST);
}

void hyp_as_mark_again(struct hyp_cpu *cpu, gpa_t gpa)
{
	__atomic_fetch_and(hyp_as_pf(cpu->as, gpa), (u8)~HYP_PF_CHECK, __ATOMIC_SEQ_CST);
	hyp_as_code_written(cpu, cpu->as, gpa & PAGE_MASK, PAGE_SIZE);
}

void hyp_as_mark_code(struct hyp_cpu *cpu, gpa_t gpa)
{
	const u8 mask = HYP_PF_CODE | HYP_PF_WTLB | HYP_PF_LEAVING;
	struct hyp_as *as = cpu->as;
	u8 *pf = hyp_as_pf(as, gpa);

	if (!pf || (__atomic_load_n(pf, __ATOMIC_SEQ_CST) & mask) == HYP_PF_CODE)
		return;
	note_code(as, gpa);
	if (!(set_code(pf) & HYP_PF_WTLB))
		return;
	as_lock(as, cpu);
	if (set_code(pf) & HYP_PF_WTLB) { /* once more: it may have been marked and unmarked meanwhile */
		drop_write_entries(cpu, gpa);
		sync_others(as, cpu);
		__atomic_fetch_and(pf, (u8)~HYP_PF_WTLB, __ATOMIC_SEQ_CST);
	}
	as_unlock(as);
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
	hyp_attend(c, HYP_ATTN_INVAL);
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
			hyp_engine_drop(cpu, page & PAGE_MASK);
	}
	if (flush)
		hyp_engine_flush(cpu);
}

bool hyp_as_code_written(struct hyp_cpu *cpu, struct hyp_as *as, gpa_t gpa, unsigned size)
{
	bool hit = cpu && hyp_engine_invalidate(cpu, gpa, size);

	for (struct hyp_cpu *c = as->cpus; c; c = c->as_next)
		if (c != cpu)
			queue_inval(c, gpa & PAGE_MASK);
	return hit;
}

/* The lock is only tried: who waits for it answers sync requests, and our caller has looked addresses up. */
bool hyp_as_unmark_code(struct hyp_cpu *cpu, gpa_t gpa)
{
	const u8 both = HYP_PF_CODE | HYP_PF_LEAVING;
	struct hyp_as *as = cpu->as;
	u8 *pf = hyp_as_pf(as, gpa), v;
	bool done = false;

	if (__atomic_exchange_n(&as->lock, 1, __ATOMIC_ACQUIRE))
		return false;
	__atomic_fetch_or(pf, HYP_PF_LEAVING, __ATOMIC_SEQ_CST);
	hyp_as_code_written(cpu, as, gpa & PAGE_MASK, PAGE_SIZE);
	v = __atomic_load_n(pf, __ATOMIC_SEQ_CST);
	while (!done && (v & (both | HYP_PF_WTLB)) == both)
		done = __atomic_compare_exchange_n(pf, &v, (u8)((v & ~both) | HYP_PF_WTLB), false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (!done)
		__atomic_fetch_and(pf, (u8)~HYP_PF_LEAVING, __ATOMIC_SEQ_CST);
	as_unlock(as);
	return done;
}
