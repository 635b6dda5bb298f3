/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft TLB of arm64 guests: fill, flush, maintenance from other CPUs. hyp/mem/tlb.c's counterpart.
 *
 * An entry covers 4 KiB whatever the guest's granule. It is found by the page's address with its tag byte,
 * so one page may have several entries in its slot one after the other; maintenance compares bits 55:12
 * only. Entries of ASIDs other than the current one are not kept: what is not global goes when the ASID or
 * TTBR0 changes. To make TLBI of a block exact without emptying everything, a filter remembers the 2 MiB
 * areas that entries were filled from blocks in. Behind it is a small table of whole blocks, so that accesses
 * all over a large array need no walk each; any flush of a partition empties it.
 *
 * Device memory that is RAM has no entries, nor have pages with a watchpoint: every access comes here,
 * which checks its alignment. With the MMU off that is all memory.
 *
 * Code pages are not watched for writes: translations go by IC only (as CTR_EL0.DIC = 0 says), so all that
 * happens before the first store to a page is the dirty log.
 */
#include "hyp/mem/guard.h"
#include "hyp/lift/engine.h"
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

#define VA_MASK 0x00fffffffffff000ull
#define ITLB_PART(el) (HYP_TLB_PARTS + (el))
#define RANGE_MAX_PAGES 64

static inline void filter_set(u64 *filter, u64 n)
{
	filter[(n & 4095) / 64] |= 1ull << (n % 64);
}

static inline bool filter_has(const u64 *filter, u64 n)
{
	return filter[(n & 4095) / 64] >> (n % 64) & 1;
}

static inline void fills_add(struct hyp_fills *f, unsigned slot)
{
	if (f->n < HYP_FILLS_MAX)
		f->slot[f->n] = (u16)slot;
	if (f->n <= HYP_FILLS_MAX)
		f->n++;
}

/* ---- physical memory ---------------------------------------------------------------------------- */

static const struct hyp_map *current_map(struct hyp_cpu *cpu)
{
	return cpu->map ? cpu->map : cpu->as->map[cpu->view];
}

/* Host address of gpa, which r (NULL: no region) contains. Private pages are elsewhere; where they are
 * missing, this does not return. */
static u8 *host_of(struct hyp_cpu *cpu, const struct hyp_region *r, gpa_t gpa)
{
	if (likely(!hyp_gpa_private(cpu->as, gpa)))
		return r ? r->hva + (gpa - r->gpa) : NULL;
	if (!r || !r->private_hva) {
		cpu->s.exit.memory_fault.size = PAGE_SIZE;
		hyp_memory_fault(cpu, gpa);
	}
	return r->private_hva + (gpa - r->gpa);
}

/* The dirty log, before the first store to a page. True: the store has to wait (hyp_as_ops.mark_dirty). */
static bool log_write(struct hyp_cpu *cpu, const struct hyp_region *r, gpa_t gpa)
{
	u8 *pf = hyp_as_pf(cpu->as, gpa), dirty = (u8)(HYP_PF_DIRTY << cpu->view);

	if (!(r->flags & HYP_REGION_LOG_DIRTY) || !pf || __atomic_load_n(pf, __ATOMIC_SEQ_CST) & dirty ||
	    __atomic_fetch_or(pf, dirty, __ATOMIC_SEQ_CST) & dirty)
		return false;
	return cpu->as->ops.mark_dirty &&
	       cpu->as->ops.mark_dirty(cpu->as->opaque, cpu, r->id, gpa & PAGE_MASK);
}

u8 *hyp_phys_ptr(struct hyp_cpu *cpu, gpa_t gpa, bool write)
{
	const struct hyp_region *r = hyp_map_find(current_map(cpu), gpa, &cpu->last_region);
	u8 *host = host_of(cpu, r, gpa);

	if (!host || (write && r->flags & HYP_REGION_READONLY))
		return NULL;
	if (write && log_write(cpu, r, gpa))
		hyp_cpu_kick(cpu);
	return host;
}

bool arm64_host_refused(struct hyp_cpu *cpu, u64 hva)
{
	if (hva) {
		arm64_exit(cpu, HYP_EXIT_HOST_FAULT, 4);
		cpu->s.exit.host_fault.hva = hva;
	} else {
		arm64_exit(cpu, HYP_EXIT_MEMORY_FAULT, 4);
	}
	return false;
}

/* ---- fill ------------------------------------------------------------------------------------------- */

/* Remembers what a flush has to look at because of a new entry. */
static void note_fill(struct hyp_cpu *cpu, unsigned part, unsigned slot, gva_t gva,
		      const struct arm64_walk *w)
{
	if (w->shift > arm64_granule(cpu, gva))
		filter_set(cpu->large_areas[part], (gva & VA_MASK) >> 21);
	if (w->shift > 21)
		filter_set(cpu->huge_areas[part], (gva & VA_MASK) >> 30);
	if (!w->global)
		fills_add(&cpu->fills[part], slot);
}

static void fill(struct hyp_cpu *cpu, unsigned part, gva_t gva, unsigned acc, const struct arm64_walk *w,
		 u8 *host)
{
	unsigned slot = hyp_tlb_slot(gva);
	struct hyp_tlb_entry *e = &cpu->tlb[part][slot];
	gva_t page = gva & PAGE_MASK;

	if (e->read_tag != page)
		e->write_tag = HYP_TLB_NONE(slot);
	e->read_tag = page;
	e->addend = (u64)host - gva;
	e->gpa = (w->gpa & PAGE_MASK) | (w->global ? HYP_TLBE_GLOBAL : 0);
	if (acc & ARM64_ACC_W && w->writable)
		e->write_tag = page;
	note_fill(cpu, part, slot, gva, w);
}

/* A read that fails makes an atomic access's abort one of a read. */
static bool is_write_fault(struct hyp_cpu *cpu, gva_t gva, unsigned acc, const struct arm64_walk *w)
{
	struct arm64_walk read;

	if (!(acc & ARM64_ACC_ATOMIC))
		return acc & (ARM64_ACC_W | ARM64_ACC_CM);
	return (w->fsc & ~3u) == FSC_PERM &&
	       arm64_walk(cpu, gva, acc & ~(ARM64_ACC_W | ARM64_ACC_ATOMIC), &read);
}

static bool raise_abort(struct hyp_cpu *cpu, gva_t gva, unsigned acc, const struct arm64_walk *w)
{
	u32 iss = w->fsc;

	if (acc & ARM64_ACC_X) {
		arm64_insn_abort(cpu, gva, iss);
		return false;
	}
	if (is_write_fault(cpu, gva, acc, w))
		iss |= ISS_WNR;
	if (acc & ARM64_ACC_CM)
		iss |= ISS_CM;
	arm64_data_abort(cpu, gva, iss);
	return false;
}

/* ---- blocks ---- */

#define ACC_LARGE (ARM64_ACC_R | ARM64_ACC_W | ARM64_ACC_USER | ARM64_ACC_NOISV) /* what they serve */

static struct hyp_large_entry *large_slot(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	return &cpu->large[part][gva >> HYP_LARGE_SHIFT & (HYP_LARGE_SIZE - 1)];
}

static void large_flush(struct hyp_cpu *cpu, unsigned part)
{
	for (u64 used = cpu->large_used[part]; used; used &= used - 1)
		cpu->large[part][__builtin_ctzll(used)].tag = 0;
	cpu->large_used[part] = 0;
}

/* Notes a block all of whose 2 MiB around gva are in r. */
static void large_fill(struct hyp_cpu *cpu, unsigned part, gva_t gva, const struct arm64_walk *w,
		       const struct hyp_region *r)
{
	struct hyp_large_entry *e = large_slot(cpu, part, gva);
	gpa_t gpa = w->gpa & HYP_LARGE_MASK;

	if (w->shift < HYP_LARGE_SHIFT || cpu->as->has_private || gpa < r->gpa ||
	    gpa - r->gpa + (1ull << HYP_LARGE_SHIFT) > r->size)
		return;
	*e = (struct hyp_large_entry){ .tag = (gva & HYP_LARGE_MASK) | HYP_LARGE_VALID,
				       .host = r->hva + (gpa - r->gpa),
				       .gpa = gpa | (w->global ? HYP_TLBE_GLOBAL : 0) |
					      (w->writable ? HYP_LARGE_WRITABLE : 0),
				       .region = r };
	cpu->large_used[part] |= 1ull << (e - cpu->large[part]);
}

/* Writes to what is logged or read-only are for the walk's path. */
static bool place_by_block(struct hyp_cpu *cpu, gva_t gva, unsigned acc, unsigned part, struct arm64_place *p)
{
	const struct hyp_large_entry *e = large_slot(cpu, part, gva);
	struct arm64_walk w = { .shift = HYP_LARGE_SHIFT };

	if (e->tag != ((gva & HYP_LARGE_MASK) | HYP_LARGE_VALID) || acc & ~ACC_LARGE ||
	    unlikely(cpu->watching))
		return false;
	w.writable = e->gpa & HYP_LARGE_WRITABLE;
	if (acc & ARM64_ACC_W &&
	    (!w.writable || e->region->flags & (HYP_REGION_READONLY | HYP_REGION_LOG_DIRTY)))
		return false;
	w.global = e->gpa & HYP_TLBE_GLOBAL;
	w.gpa = (e->gpa & HYP_LARGE_MASK) | (gva & ~HYP_LARGE_MASK);
	p->gpa = w.gpa;
	p->device = false;
	p->host = e->host + (gva & ~HYP_LARGE_MASK);
	fill(cpu, part, gva, acc, &w, p->host);
	return true;
}

/* The slow half of arm64_place: walk, find the region, fill. */
static bool place_by_walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, unsigned part, struct arm64_place *p)
{
	const struct hyp_region *r;
	struct arm64_walk w;

	cpu->stats[HYP_STAT_walks]++;
	if (!arm64_walk(cpu, gva, acc, &w))
		return raise_abort(cpu, gva, acc, &w);
	p->gpa = w.gpa;
	p->device = w.device;
	r = hyp_map_find(current_map(cpu), w.gpa, &cpu->last_region);
	p->host = host_of(cpu, r, w.gpa);
	if (!p->host || (acc & ARM64_ACC_W && r->flags & HYP_REGION_READONLY)) {
		p->host = NULL;
		return true;
	}
	if (acc & ARM64_ACC_W && log_write(cpu, r, w.gpa)) {
		arm64_exit(cpu, HYP_EXIT_INTR, 4);
		return false;
	}
	if (w.device || acc & (ARM64_ACC_NOPAN | ARM64_ACC_CM) ||
	    (unlikely(cpu->watching) && arm64_page_watched(cpu, gva)))
		return true;
	fill(cpu, part, gva, acc, &w, p->host);
	large_fill(cpu, part, gva, &w, r);
	return true;
}

bool arm64_place(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct arm64_place *p)
{
	unsigned part = acc & ARM64_ACC_USER ? HYP_TLB_EL0 : cpu->tlb_part;
	const struct hyp_tlb_entry *e = &cpu->tlb[part][hyp_tlb_slot(gva)];

	if ((acc & ARM64_ACC_W ? e->write_tag : e->read_tag) != (gva & PAGE_MASK)) {
		cpu->stats[HYP_STAT_tlb_miss]++;
		return place_by_block(cpu, gva, acc, part, p) || place_by_walk(cpu, gva, acc, part, p);
	}
	p->host = (u8 *)(gva + e->addend);
	p->gpa = (e->gpa & PAGE_MASK) | (gva & ~PAGE_MASK);
	p->device = false;
	return true;
}

u8 *hyp_mem_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, unsigned size, gpa_t *gpa)
{
	struct arm64_place p;

	if (!arm64_place(cpu, gva, acc, &p))
		return NULL;
	*gpa = p.gpa;
	return p.host;
}

/* ---- instruction fetch ---- */

static const u8 *fetch_by_walk(struct hyp_cpu *cpu, gva_t pc, struct hyp_itlb_entry *e, gpa_t *gpa)
{
	unsigned el = arm64_el(cpu);
	struct arm64_walk w;
	u8 *host;

	cpu->stats[HYP_STAT_walks]++;
	if (!arm64_walk(cpu, pc, ARM64_ACC_X, &w)) {
		raise_abort(cpu, pc, ARM64_ACC_X, &w);
		return NULL;
	}
	host = host_of(cpu, hyp_map_find(current_map(cpu), w.gpa, &cpu->last_region), w.gpa);
	if (!host) { /* what KVM injects for a fetch from where there is no memory */
		arm64_insn_abort(cpu, pc, FSC_EXTABT);
		return NULL;
	}
	e->tag = pc & PAGE_MASK;
	e->host = (u8 *)((u64)host & PAGE_MASK);
	e->gpa = (w.gpa & PAGE_MASK) | (w.global ? HYP_TLBE_GLOBAL : 0);
	note_fill(cpu, ITLB_PART(el), (pc >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1), pc, &w);
	*gpa = w.gpa;
	return host;
}

static const u8 *guarded_fetch(struct hyp_cpu *cpu, gva_t pc, struct hyp_itlb_entry *e, gpa_t *gpa)
{
	struct hyp_guard g;
	const u8 *p;

	if (HYP_GUARD(&g, cpu->as)) {
		arm64_host_refused(cpu, g.hva);
		return NULL;
	}
	p = fetch_by_walk(cpu, pc, e, gpa);
	if (p)
		(void)*(const volatile u8 *)p; /* now, not in the translator */
	hyp_guard_end(&g);
	return p;
}

/* A branch to an address with a tag loses it where tags are ignored: the run loop goes on without. */
static bool untag_pc(struct hyp_cpu *cpu, gva_t pc)
{
	if (pc == arm64_untag(pc) || !arm64_tbi(cpu, pc))
		return false;
	cpu->s.pc = arm64_untag(pc);
	cpu->leave = ARM64_AGAIN;
	return true;
}

static const u8 *fetch_slow(struct hyp_cpu *cpu, gva_t pc, struct hyp_itlb_entry *e, gpa_t *gpa)
{
	if (pc & 3) {
		hyp_arm64_raise(cpu, ESR(EC_PC_ALIGN, 0), pc);
		return NULL;
	}
	return untag_pc(cpu, pc) ? NULL : guarded_fetch(cpu, pc, e, gpa);
}

const u8 *hyp_arm64_fetch(struct hyp_cpu *cpu, gva_t pc, gpa_t *gpa)
{
	unsigned el = arm64_el(cpu);
	struct hyp_itlb_entry *e = &cpu->itlb[el][(pc >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1)];

	filter_set(cpu->exec_pages[el], pc >> PAGE_SHIFT);
	if (unlikely(e->tag != (pc & (PAGE_MASK | 3))))
		return fetch_slow(cpu, pc, e, gpa);
	*gpa = (e->gpa & PAGE_MASK) | (pc & ~PAGE_MASK);
	return e->host + (pc & ~PAGE_MASK);
}

/* ---- flushes ---- */

static void clear_filter(u64 *filter)
{
	for (unsigned i = 0; i < 64; i++)
		filter[i] = 0;
}

static void reset_jc_user(struct hyp_cpu *cpu)
{
	clear_filter(cpu->exec_pages[0]);
	hyp_jc_reset_user(cpu);
}

static void reset_jc(struct hyp_cpu *cpu)
{
	clear_filter(cpu->exec_pages[0]);
	clear_filter(cpu->exec_pages[1]);
	hyp_jc_reset(cpu);
}

static void empty(struct hyp_tlb_entry *e, unsigned slot)
{
	e->read_tag = e->write_tag = HYP_TLB_NONE(slot);
}

static void forget_part(struct hyp_cpu *cpu, unsigned part)
{
	clear_filter(cpu->large_areas[part]);
	clear_filter(cpu->huge_areas[part]);
	cpu->fills[part].n = 0;
}

static void flush_data(struct hyp_cpu *cpu, unsigned part)
{
	for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
		empty(&cpu->tlb[part][i], i);
	large_flush(cpu, part);
	forget_part(cpu, part);
}

static void flush_fetch(struct hyp_cpu *cpu, unsigned el)
{
	for (unsigned i = 0; i < HYP_ITLB_SIZE; i++)
		cpu->itlb[el][i].tag = HYP_TLB_NONE(i);
	forget_part(cpu, ITLB_PART(el));
}

void hyp_tlb_flush_all(struct hyp_cpu *cpu)
{
	cpu->stats[HYP_STAT_flushes]++;
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		flush_data(cpu, part);
	for (unsigned el = 0; el < 2; el++)
		flush_fetch(cpu, el);
	reset_jc(cpu);
}

/* Slots are listed once a fill; a global entry may have taken the slot since. */
static void flush_listed_data(struct hyp_cpu *cpu, unsigned part)
{
	struct hyp_fills *f = &cpu->fills[part];
	bool all = f->n > HYP_FILLS_MAX;
	unsigned n = all ? HYP_TLB_SIZE : f->n;

	large_flush(cpu, part);
	for (unsigned i = 0; i < n; i++) {
		unsigned slot = all ? i : f->slot[i];

		if (!(cpu->tlb[part][slot].gpa & HYP_TLBE_GLOBAL))
			empty(&cpu->tlb[part][slot], slot);
	}
	f->n = 0;
}

static bool flush_listed_fetch(struct hyp_cpu *cpu, unsigned el)
{
	struct hyp_fills *f = &cpu->fills[ITLB_PART(el)];
	bool all = f->n > HYP_FILLS_MAX, any = f->n;
	unsigned n = all ? HYP_ITLB_SIZE : f->n;

	for (unsigned i = 0; i < n; i++) {
		unsigned slot = all ? i : f->slot[i];

		if (!(cpu->itlb[el][slot].gpa & HYP_TLBE_GLOBAL))
			cpu->itlb[el][slot].tag = HYP_TLB_NONE(slot);
	}
	f->n = 0;
	return any;
}

void hyp_tlb_flush_nonglobal(struct hyp_cpu *cpu)
{
	bool user, kernel;

	cpu->stats[HYP_STAT_flushes]++;
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		flush_listed_data(cpu, part);
	user = flush_listed_fetch(cpu, 0);
	kernel = flush_listed_fetch(cpu, 1);
	if (kernel)
		reset_jc(cpu);
	else if (user)
		reset_jc_user(cpu);
}

static void flush_area(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
		if (!((cpu->tlb[part][i].read_tag ^ gva) & VA_MASK >> 21 << 21))
			empty(&cpu->tlb[part][i], i);
}

static void flush_page_data(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	unsigned slot = hyp_tlb_slot(gva);

	large_flush(cpu, part);
	if (filter_has(cpu->huge_areas[part], (gva & VA_MASK) >> 30))
		flush_data(cpu, part);
	else if (filter_has(cpu->large_areas[part], (gva & VA_MASK) >> 21))
		flush_area(cpu, part, gva);
	else if (!((cpu->tlb[part][slot].read_tag ^ gva) & VA_MASK))
		empty(&cpu->tlb[part][slot], slot);
}

/* Is there code in the page, or the block it is in, that branches may know? */
static bool flush_page_fetch(struct hyp_cpu *cpu, unsigned el, gva_t gva)
{
	struct hyp_itlb_entry *e = &cpu->itlb[el][(gva >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1)];

	if (filter_has(cpu->huge_areas[ITLB_PART(el)], (gva & VA_MASK) >> 30) ||
	    filter_has(cpu->large_areas[ITLB_PART(el)], (gva & VA_MASK) >> 21)) {
		flush_fetch(cpu, el);
		return true;
	}
	if (!((e->tag ^ gva) & VA_MASK))
		e->tag = HYP_TLB_NONE((gva >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1));
	return filter_has(cpu->exec_pages[el], gva >> PAGE_SHIFT);
}

static void flush_page_4k(struct hyp_cpu *cpu, gva_t gva)
{
	bool user, kernel;

	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		flush_page_data(cpu, part, gva);
	user = flush_page_fetch(cpu, 0, gva);
	kernel = flush_page_fetch(cpu, 1, gva);
	if (kernel)
		reset_jc(cpu);
	else if (user)
		reset_jc_user(cpu);
}

void hyp_tlb_flush_page(struct hyp_cpu *cpu, gva_t gva)
{
	u64 size = 1ull << arm64_granule(cpu, gva);

	for (u64 at = 0; at < size; at += PAGE_SIZE)
		flush_page_4k(cpu, (gva & ~(size - 1)) + at);
}

/* ---- TLB maintenance instructions ---- */

/* Is a page of the range, which is widened to whole 2 MiB areas, in a block beyond that? */
static bool range_has_huge(const u64 *filter, gva_t va, u64 len)
{
	for (u64 n = (va & VA_MASK) >> 30; n <= ((va & VA_MASK) + len - 1) >> 30; n++)
		if (filter_has(filter, n))
			return true;
	return false;
}

static bool in_range(u64 tag, gva_t va, u64 len)
{
	return ((tag - va) & VA_MASK) < len;
}

static void flush_range_data(struct hyp_cpu *cpu, unsigned part, gva_t va, u64 len)
{
	if (range_has_huge(cpu->huge_areas[part], va, len)) {
		flush_data(cpu, part);
		return;
	}
	large_flush(cpu, part);
	for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
		if (in_range(cpu->tlb[part][i].read_tag, va, len))
			empty(&cpu->tlb[part][i], i);
}

static void flush_range_fetch(struct hyp_cpu *cpu, unsigned el, gva_t va, u64 len)
{
	if (range_has_huge(cpu->huge_areas[ITLB_PART(el)], va, len)) {
		flush_fetch(cpu, el);
		return;
	}
	for (unsigned i = 0; i < HYP_ITLB_SIZE; i++)
		if (in_range(cpu->itlb[el][i].tag, va, len))
			cpu->itlb[el][i].tag = HYP_TLB_NONE(i);
}

/* Many pages: one pass over the TLB. Branches into the lower half are EL0's, or few (hyp_jc_reset_user). */
static void flush_wide_range(struct hyp_cpu *cpu, gva_t va, u64 len)
{
	const u64 area = 1ull << 21;

	len = ALIGN_UP(va + len, area) - ALIGN_DOWN(va, area);
	va = ALIGN_DOWN(va, area);
	cpu->stats[HYP_STAT_flushes]++;
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		flush_range_data(cpu, part, va, len);
	for (unsigned el = 0; el < 2; el++)
		flush_range_fetch(cpu, el, va, len);
	if (va >> 55 & 1)
		reset_jc(cpu);
	else
		reset_jc_user(cpu);
}

#define RANGE_MAX (1ull << 36) /* beyond it everything goes */

static void flush_range(struct hyp_cpu *cpu, gva_t va, u64 len)
{
	u64 size = 1ull << arm64_granule(cpu, va);

	if (len > RANGE_MAX) {
		hyp_tlb_flush_all(cpu);
		return;
	}
	if (len / size > RANGE_MAX_PAGES) {
		flush_wide_range(cpu, va, len);
		return;
	}
	for (u64 at = 0; at < len; at += size)
		hyp_tlb_flush_page(cpu, va + at);
}

void arm64_tlbi_local(struct hyp_cpu *cpu, const struct arm64_tlbi *t)
{
	switch (t->op) {
	case TLBI_ALL:
		hyp_tlb_flush_all(cpu);
		break;
	case TLBI_ASID:
		if (t->asid == arm64_asid(cpu))
			hyp_tlb_flush_nonglobal(cpu);
		break;
	case TLBI_VA:
		hyp_tlb_flush_page(cpu, t->va);
		break;
	case TLBI_RANGE:
		flush_range(cpu, t->va, t->len);
		break;
	}
}

static void queue_lock(struct hyp_cpu *c)
{
	for (unsigned spins = 0; __atomic_exchange_n(&c->tlbi.lock, 1, __ATOMIC_ACQUIRE); spins++)
		hyp_relax(spins);
}

static void queue_unlock(struct hyp_cpu *c)
{
	__atomic_store_n(&c->tlbi.lock, 0, __ATOMIC_RELEASE);
}

/* A queue that is full becomes one flush of everything. */
static void post(struct hyp_cpu *c, const struct arm64_tlbi *t)
{
	queue_lock(c);
	if (c->tlbi.n == HYP_TLBI_QUEUE) {
		c->tlbi.q[0].op = TLBI_ALL;
		c->tlbi.n = 1;
	} else {
		c->tlbi.q[c->tlbi.n++] = *t;
	}
	__atomic_fetch_add(&c->tlbi.posted, 1, __ATOMIC_SEQ_CST);
	queue_unlock(c);
	__atomic_fetch_or(&c->attention, HYP_ATTN_TLBI, __ATOMIC_SEQ_CST);
}

void arm64_tlbi_answer(struct hyp_cpu *cpu)
{
	struct arm64_tlbi q[HYP_TLBI_QUEUE];
	u32 n, seq;

	if (__atomic_load_n(&cpu->tlbi.posted, __ATOMIC_SEQ_CST) ==
	    __atomic_load_n(&cpu->tlbi.done, __ATOMIC_RELAXED))
		return;
	queue_lock(cpu);
	n = cpu->tlbi.n;
	__builtin_memcpy(q, cpu->tlbi.q, n * sizeof(q[0]));
	cpu->tlbi.n = 0;
	seq = cpu->tlbi.posted;
	queue_unlock(cpu);
	for (u32 i = 0; i < n; i++)
		arm64_tlbi_local(cpu, &q[i]);
	__atomic_store_n(&cpu->tlbi.done, seq, __ATOMIC_SEQ_CST);
}

/* Until everything posted so far is done. A CPU that is not in hyp_cpu_run answers when it enters, before
 * it uses anything. */
static void wait_for(struct hyp_cpu *c, struct hyp_cpu *self)
{
	u32 seq = __atomic_load_n(&c->tlbi.posted, __ATOMIC_SEQ_CST);

	for (unsigned spins = 0; (s32)(__atomic_load_n(&c->tlbi.done, __ATOMIC_SEQ_CST) - seq) < 0; spins++) {
		if (!__atomic_load_n(&c->in_run, __ATOMIC_SEQ_CST))
			return;
		hyp_cpu_answer_sync(self);
		arm64_tlbi_answer(self);
		hyp_relax(spins);
	}
}

void arm64_tlbi_broadcast(struct hyp_cpu *cpu, const struct arm64_tlbi *t)
{
	arm64_tlbi_local(cpu, t);
	for (struct hyp_cpu *c = cpu->as->cpus; c; c = c->as_next)
		if (c != cpu)
			post(c, t);
	for (struct hyp_cpu *c = cpu->as->cpus; c; c = c->as_next)
		if (c != cpu)
			wait_for(c, cpu);
}

/* From any thread; the list only grows while CPUs run. */
void hyp_arm64_request_flush_tlb(struct hyp_cpu *cpu)
{
	for (struct hyp_cpu *c = cpu->as->cpus; c; c = c->as_next)
		__atomic_fetch_or(&c->attention, HYP_ATTN_FLUSH, __ATOMIC_SEQ_CST);
}
