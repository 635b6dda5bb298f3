/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft TLB: fill, flush, and the slow path of every memory access. Guest-live.
 *
 * An entry covers 4 KiB whatever the guest's page size. To make INVLPG of a large page exact without
 * emptying everything, a filter remembers the 2 MiB areas that entries were filled from large pages in.
 *
 * Behind it is a small table of whole large pages (struct hyp_large_entry), so that an access all over a
 * large array or the kernel's map of memory needs no walk where its 4 KiB page is not cached. It knows
 * translations only: what a first write to a page has to do (prepare_write) is done for each 4 KiB page
 * still.
 */
#include "hyp/mem/guard.h"
#include "hyp/mem/reuse.h"
#include "hyp/sys/x86/sys.h"

/* The halves of the address space are apart: a user's page is not to be taken for one of the kernel's. */
static inline unsigned filter_bit(gva_t gva, unsigned shift)
{
	return (unsigned)(gva >> shift & 2047) | (unsigned)(gva >> 63) << 11;
}

static inline void filter_set(u64 *filter, gva_t gva, unsigned shift)
{
	filter[filter_bit(gva, shift) / 64] |= 1ull << (filter_bit(gva, shift) % 64);
}

static inline bool filter_has(const u64 *filter, gva_t gva, unsigned shift)
{
	return filter[filter_bit(gva, shift) / 64] >> (filter_bit(gva, shift) % 64) & 1;
}

static unsigned part_of(struct hyp_cpu *cpu, unsigned acc)
{
	if (acc & X86_ACC_USER)
		return HYP_TLB_USER;
	if (acc & X86_ACC_SUPER)
		return HYP_TLB_KERNEL;
	return cpu->tlb_part;
}

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
	if (!r || !r->private_hva)
		hyp_memory_fault(cpu, gpa);
	return r->private_hva + (gpa - r->gpa);
}

enum write {
	WRITE_CACHED, /* a write entry may be cached */
	WRITE_SLOW,   /* not so */
	WRITE_HITS,   /* not so: into the code of translations of ours, which are gone now */
	WRITE_SPARES, /* not so: the page is marked, but none of ours were hit */
};

/* Sets WTLB unless the page has code; the flags as they were. */
static u8 note_write(u8 *pf)
{
	u8 v = __atomic_load_n(pf, __ATOMIC_SEQ_CST);

	while (!(v & (HYP_PF_CODE | HYP_PF_WTLB)) &&
	       !__atomic_compare_exchange_n(pf, &v, v | HYP_PF_WTLB, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
	return v;
}

/* What must happen before the first store to a page: dirty logging, dropping translations. */
static enum write prepare_write(struct hyp_cpu *cpu, const struct hyp_region *r, gpa_t gpa, unsigned size)
{
	u8 *pf = hyp_as_pf(cpu->as, gpa), dirty = (u8)(HYP_PF_DIRTY << cpu->view);

	if (!pf)
		return WRITE_SLOW;
	if (r->flags & HYP_REGION_LOG_DIRTY && !(__atomic_load_n(pf, __ATOMIC_SEQ_CST) & dirty) &&
	    !(__atomic_fetch_or(pf, dirty, __ATOMIC_SEQ_CST) & dirty)) {
		if (cpu->as->ops.mark_dirty &&
		    cpu->as->ops.mark_dirty(cpu->as->opaque, cpu, r->id, gpa & PAGE_MASK))
			hyp_attend(cpu, HYP_ATTN_KICK);
	}
	if (note_write(pf) & HYP_PF_CODE) {
		cpu->stats[HYP_STAT_code_stores]++;
		hyp_store_begins(cpu, gpa);
		return hyp_as_code_written(cpu, cpu->as, gpa, size) ? WRITE_HITS : WRITE_SPARES;
	}
	if (unlikely(__atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST) & HYP_ATTN_INVAL)) {
		hyp_engine_invalidate(cpu, gpa, size); /* the page may be one in our queue (sync.c) */
		return WRITE_SLOW;
	}
	return WRITE_CACHED;
}

static bool may_cache_write(struct hyp_cpu *cpu, const struct hyp_region *r, gpa_t gpa, unsigned size)
{
	enum write w = prepare_write(cpu, r, gpa, size);

	if (unlikely(w == WRITE_HITS || w == WRITE_SPARES))
		hyp_reuse_note(cpu, gpa, w == WRITE_HITS);
	return w == WRITE_CACHED;
}

/* Remembers that entries of large pages exist near gva. */
static inline void note_page_size(struct hyp_cpu *cpu, unsigned part, gva_t gva, unsigned page_shift)
{
	if (page_shift > PAGE_SHIFT)
		filter_set(cpu->large_areas[part], gva, 21);
	if (page_shift > 21)
		filter_set(cpu->huge_areas[part], gva, 30);
}

/* Does MOV CR3 drop an entry of this partition? */
static inline bool dropped_by_cr3(unsigned part, bool global)
{
	return part != HYP_TLB_KERNEL || !global;
}

static void fill(struct hyp_cpu *cpu, unsigned part, gva_t gva, const struct x86_walk *w, u8 *host)
{
	struct hyp_tlb_entry *e = &cpu->tlb[part][hyp_tlb_slot(gva)];
	gva_t page = gva & PAGE_MASK;

	if (e->read_tag != page)
		e->write_tag = HYP_TLB_NONE(hyp_tlb_slot(gva));
	e->read_tag = page;
	e->host = (u64)host & PAGE_MASK;
	e->gpa = (w->gpa & PAGE_MASK) | (w->global ? HYP_TLBE_GLOBAL : 0);
	note_page_size(cpu, part, gva, w->page_shift);
	if (dropped_by_cr3(part, w->global))
		hyp_fills_add(&cpu->tlb_fills[part], hyp_tlb_slot(gva));
}

/* gva -> RAM of the current map. NULL with fail set. */
static u8 *walk_to_host(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct x86_walk *w,
			struct hyp_fail *fail, const struct hyp_region **r)
{
	fail->ret = X86_FAULT;
	if (cpu->code_size == 64 && !x86_canonical(cpu, gva)) {
		x86_raise_err(cpu, X86_GP, 0);
		return NULL;
	}
	if (x86_walk(cpu, gva, acc, w) != X86_OK)
		return NULL;
	fail->ret = X86_EXIT;
	fail->gpa = w->gpa;
	*r = hyp_map_find(current_map(cpu), w->gpa, &cpu->last_region);
	if (*r && acc & X86_ACC_W && (*r)->flags & HYP_REGION_READONLY)
		return NULL;
	return host_of(cpu, *r, w->gpa);
}

static struct hyp_large_entry *large_slot(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	return &cpu->large[part][gva >> HYP_LARGE_SHIFT & (HYP_LARGE_SIZE - 1)];
}

/* As walk_to_host, from the table of large pages; NULL: not there. */
static u8 *large_to_host(struct hyp_cpu *cpu, unsigned part, gva_t gva, unsigned acc, struct x86_walk *w,
			 const struct hyp_region **r)
{
	const struct hyp_large_entry *e = large_slot(cpu, part, gva);

	if (e->tag != ((gva & HYP_LARGE_MASK) | HYP_LARGE_VALID))
		return NULL;
	if (acc & X86_ACC_W && (!(e->gpa & HYP_LARGE_WRITABLE) || e->region->flags & HYP_REGION_READONLY))
		return NULL;
	w->gpa = (e->gpa & HYP_LARGE_MASK) | (gva & ~HYP_LARGE_MASK);
	w->page_shift = HYP_LARGE_SHIFT;
	w->writable = e->gpa & HYP_LARGE_WRITABLE;
	w->global = e->gpa & HYP_TLBE_GLOBAL;
	*r = e->region;
	return e->host + (gva & ~HYP_LARGE_MASK);
}

/* A large page all of whose 2 MiB around w->gpa are in r? */
static bool large_in_region(struct hyp_cpu *cpu, const struct x86_walk *w, const struct hyp_region *r)
{
	gpa_t gpa = w->gpa & HYP_LARGE_MASK;

	return w->page_shift >= HYP_LARGE_SHIFT && !cpu->as->has_private && gpa >= r->gpa &&
	       gpa - r->gpa + (1ull << HYP_LARGE_SHIFT) <= r->size;
}

/* Notes a large page all of whose 2 MiB around gva are in r. */
static void large_fill(struct hyp_cpu *cpu, unsigned part, gva_t gva, const struct x86_walk *w,
		       const struct hyp_region *r)
{
	struct hyp_large_entry *e = large_slot(cpu, part, gva);
	gpa_t gpa = w->gpa & HYP_LARGE_MASK;

	if (!large_in_region(cpu, w, r))
		return;
	e->tag = (gva & HYP_LARGE_MASK) | HYP_LARGE_VALID;
	e->host = r->hva + (gpa - r->gpa);
	e->gpa = gpa | (w->global ? HYP_TLBE_GLOBAL : 0) | (w->writable ? HYP_LARGE_WRITABLE : 0);
	e->region = r;
	cpu->large_used[part] |= 1ull << (e - cpu->large[part]);
}

/* Empties the entries of a partition; all: global ones too. */
static void large_flush(struct hyp_cpu *cpu, unsigned part, bool all)
{
	for (u64 used = cpu->large_used[part]; used; used &= used - 1) {
		struct hyp_large_entry *e = &cpu->large[part][__builtin_ctzll(used)];

		if (!all && e->gpa & HYP_TLBE_GLOBAL)
			continue;
		e->tag = 0;
		cpu->large_used[part] &= ~(used & -used);
	}
}

u8 *hyp_mem_ptr_size(struct hyp_cpu *cpu, gva_t gva, unsigned acc, unsigned size, struct hyp_fail *fail)
{
	unsigned part = part_of(cpu, acc);
	struct hyp_tlb_entry *e = &cpu->tlb[part][hyp_tlb_slot(gva)];
	const struct hyp_region *r;
	struct x86_walk w;
	u8 *host;

	if (unlikely(!cpu->in_run))
		hyp_cpu_answer_sync(cpu); /* KVM finishes an instruction between two runs */
	if ((acc & X86_ACC_W ? e->write_tag : e->read_tag) == (gva & PAGE_MASK))
		return (u8 *)e->host + (gva & ~PAGE_MASK);
	host = large_to_host(cpu, part, gva, acc, &w, &r);
	if (!host) {
		host = walk_to_host(cpu, gva, acc, &w, fail, &r);
		if (!host)
			return NULL;
		large_fill(cpu, part, gva, &w, r);
	}
	fill(cpu, part, gva, &w, host);
	if (acc & X86_ACC_W && may_cache_write(cpu, r, w.gpa, size) && w.writable)
		e->write_tag = gva & PAGE_MASK;
	return host;
}

/* Instruction fetch: a TLB of its own, since execute permission is not in the data entries. */
static u8 *fetch_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct hyp_fail *fail)
{
	unsigned part = part_of(cpu, acc), slot = (gva >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1);
	struct hyp_itlb_entry *e = &cpu->itlb[part][slot];
	const struct hyp_region *r;
	struct x86_walk w;
	u8 *host;

	if (e->tag == (gva & PAGE_MASK)) {
		fail->gpa = (e->gpa & PAGE_MASK) | (gva & ~PAGE_MASK);
		return e->host + (gva & ~PAGE_MASK);
	}
	host = walk_to_host(cpu, gva, acc, &w, fail, &r);
	if (!host)
		return NULL;
	e->tag = gva & PAGE_MASK;
	e->gpa = (w.gpa & PAGE_MASK) | (w.global ? HYP_TLBE_GLOBAL : 0) | (w.rw ? HYP_ITLBE_RW : 0);
	e->host = (u8 *)((u64)host & PAGE_MASK);
	note_page_size(cpu, part, gva, w.page_shift);
	if (dropped_by_cr3(part, w.global))
		hyp_fills_add(&cpu->itlb_fills[part], slot);
	return host;
}

u8 *hyp_mem_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, gpa_t *gpa, enum x86_ret *ret)
{
	struct hyp_fail fail = { X86_OK, 0 };
	u8 *p = acc & X86_ACC_X ? fetch_ptr(cpu, gva, acc, &fail)
				: hyp_mem_ptr_size(cpu, gva, acc, PAGE_SIZE - (gva & ~PAGE_MASK), &fail);

	if (gpa)
		*gpa = fail.gpa;
	if (ret)
		*ret = fail.ret;
	return p;
}

/* May a write entry for a page be made although nobody stores to it now? */
static bool may_write_later(struct hyp_cpu *cpu, const struct hyp_region *r, gpa_t gpa)
{
	u8 *pf = hyp_as_pf(cpu->as, gpa), dirty = (u8)(HYP_PF_DIRTY << cpu->view);

	if (!pf || r->flags & HYP_REGION_READONLY)
		return false;
	if (r->flags & HYP_REGION_LOG_DIRTY && !(__atomic_load_n(pf, __ATOMIC_SEQ_CST) & dirty))
		return false;
	return !(note_write(pf) & HYP_PF_CODE) &&
	       !(__atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST) & HYP_ATTN_INVAL);
}

bool hyp_tlb_probe(struct hyp_cpu *cpu, gva_t gva, unsigned acc, bool write, struct hyp_probe *p)
{
	const struct hyp_region *r;
	u64 cr2 = cpu->s.cr2;
	struct hyp_fail fail;
	struct x86_walk w;
	u8 *host = walk_to_host(cpu, gva, acc, &w, &fail, &r);

	cpu->s.cr2 = cr2;
	cpu->fault.type = X86_EVENT_NONE;
	if (!host)
		return false;
	p->host = (u8 *)((u64)host & PAGE_MASK);
	p->rw = w.rw;
	p->write = write && w.writable && may_write_later(cpu, r, w.gpa);
	p->gpa = w.gpa;
	p->large = large_in_region(cpu, &w, r);
	return true;
}

bool hyp_tlb_probe_large(struct hyp_cpu *cpu, gpa_t gpa)
{
	const struct hyp_region *r = hyp_map_find(current_map(cpu), gpa, &cpu->last_region);
	bool ok = r != NULL;

	gpa &= HYP_LARGE_MASK;
	for (u64 i = 0; i < 1ull << HYP_LARGE_SHIFT && ok; i += PAGE_SIZE)
		ok = may_write_later(cpu, r, gpa + i);
	return ok;
}

u8 *hyp_phys_ptr(struct hyp_cpu *cpu, gpa_t gpa, bool write)
{
	const struct hyp_region *r = hyp_map_find(current_map(cpu), gpa, &cpu->last_region);

	u8 *host = host_of(cpu, r, gpa);

	if (!host || (write && r->flags & HYP_REGION_READONLY))
		return NULL;
	if (write)
		prepare_write(cpu, r, gpa, 8);
	return host;
}

/* ---- flushes ------------------------------------------------------------------------------- */

void hyp_jc_reset(struct hyp_cpu *cpu, unsigned part)
{
	struct hyp_fills *f = &cpu->jc_fills[part];

	if (!f->n)
		return;
	if (f->n > HYP_FILLS_MAX)
		for (unsigned i = 0; i < HYP_JC_SIZE; i++)
			cpu->jc[part][i] = cpu->jc_miss;
	else
		for (unsigned i = 0; i < f->n; i++)
			cpu->jc[part][f->slot[i]] = cpu->jc_miss;
	f->n = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(cpu->jc_pages[part]); i++)
		cpu->jc_pages[part][i] = 0;
	cpu->jc_low[part] = ~0ull;
	cpu->jc_high[part] = 0;
	if (part == HYP_TLB_KERNEL)
		cpu->jc_nonglobal = false;
}

/* May entries lie in gva's page? The filter alone is wrong too often: a kernel's code has many pages. */
static bool jc_has_page(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	gva_t page = gva & PAGE_MASK;

	return page >= cpu->jc_low[part] && page <= cpu->jc_high[part] &&
	       filter_has(cpu->jc_pages[part], gva, PAGE_SHIFT);
}

void hyp_jc_set(struct hyp_cpu *cpu, unsigned part, unsigned slot, u64 code)
{
	if (cpu->jc[part][slot] == cpu->jc_miss)
		hyp_fills_add(&cpu->jc_fills[part], slot);
	cpu->jc[part][slot] = code;
}

void hyp_cells_drop(struct hyp_cpu *cpu, unsigned part)
{
	struct hyp_fills *f = &cpu->cell_fills[part];

	if (f->n > HYP_FILLS_MAX)
		for (unsigned i = 0; i < HYP_CELLS; i++)
			hyp_cell_empty(&cpu->cell[part][i]);
	else
		for (unsigned i = 0; i < f->n; i++)
			hyp_cell_empty(&cpu->cell[part][f->slot[i]]);
	f->n = 0;
}

/* The same for one page; where many cells are filled, to look at them costs more than to fill them again. */
static void cells_drop_page(struct hyp_cpu *cpu, unsigned part, gva_t page)
{
	struct hyp_fills *f = &cpu->cell_fills[part];

	if (f->n > 64) {
		hyp_cells_drop(cpu, part);
		return;
	}
	for (unsigned i = 0; i < f->n; i++) {
		struct hyp_cell *c = &cpu->cell[part][f->slot[i]];

		if (c->tag == page)
			hyp_cell_empty(c);
	}
}

static void itlb_flush(struct hyp_cpu *cpu, unsigned part)
{
	for (unsigned i = 0; i < HYP_ITLB_SIZE; i++)
		cpu->itlb[part][i].tag = HYP_TLB_NONE(i);
	cpu->itlb_fills[part].n = 0;
}

static void flush_part(struct hyp_cpu *cpu, unsigned part)
{
	for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
		cpu->tlb[part][i].read_tag = cpu->tlb[part][i].write_tag = HYP_TLB_NONE(i);
	for (unsigned i = 0; i < ARRAY_SIZE(cpu->large_areas[part]); i++)
		cpu->large_areas[part][i] = cpu->huge_areas[part][i] = 0;
	cpu->tlb_fills[part].n = 0;
	large_flush(cpu, part, true);
	hyp_cells_drop(cpu, part);
	itlb_flush(cpu, part);
	hyp_jc_reset(cpu, part);
}

void hyp_tlb_flush_all(struct hyp_cpu *cpu)
{
	hyp_direct_flush(cpu);
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		flush_part(cpu, part);
}

/* Empties the slots listed since the last flush; false where there were too many to list. */
static bool flush_listed(struct hyp_cpu *cpu, unsigned part)
{
	struct hyp_fills *d = &cpu->tlb_fills[part], *i = &cpu->itlb_fills[part];

	if (d->n > HYP_FILLS_MAX || i->n > HYP_FILLS_MAX)
		return false;
	hyp_cells_drop(cpu, part);
	large_flush(cpu, part, part != HYP_TLB_KERNEL);
	for (; d->n; d->n--) {
		unsigned slot = d->slot[d->n - 1];

		cpu->tlb[part][slot].read_tag = cpu->tlb[part][slot].write_tag = HYP_TLB_NONE(slot);
	}
	for (; i->n; i->n--)
		cpu->itlb[part][i->slot[i->n - 1]].tag = HYP_TLB_NONE(i->slot[i->n - 1]);
	return true;
}

/* The kernel is mapped globally by every OS that sets CR4.PGE: its partition keeps nearly all. */
void hyp_tlb_flush_nonglobal(struct hyp_cpu *cpu)
{
	if (!(cpu->s.cr4 & X86_CR4_PGE)) {
		hyp_tlb_flush_all(cpu);
		return;
	}
	hyp_direct_flush(cpu);
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++) {
		if (!flush_listed(cpu, part))
			flush_part(cpu, part);
		else if (part != HYP_TLB_KERNEL || cpu->jc_nonglobal)
			hyp_jc_reset(cpu, part);
	}
}

/* Entries of the 2 MiB area of gva in one partition. */
static void flush_area(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	struct hyp_large_entry *l = large_slot(cpu, part, gva);

	if (l->tag == ((gva & HYP_LARGE_MASK) | HYP_LARGE_VALID))
		l->tag = 0;
	for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
		if (cpu->tlb[part][i].read_tag >> 21 == gva >> 21)
			cpu->tlb[part][i].read_tag = cpu->tlb[part][i].write_tag = HYP_TLB_NONE(i);
	itlb_flush(cpu, part);
	hyp_jc_reset(cpu, part);
}

static void flush_page_part(struct hyp_cpu *cpu, unsigned part, gva_t gva)
{
	struct hyp_tlb_entry *e = &cpu->tlb[part][hyp_tlb_slot(gva)];
	unsigned islot = (gva >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1);
	struct hyp_itlb_entry *ie = &cpu->itlb[part][islot];
	gva_t page = gva & PAGE_MASK;

	if (filter_has(cpu->huge_areas[part], gva, 30)) {
		flush_part(cpu, part);
		return;
	}
	if (filter_has(cpu->large_areas[part], gva, 21)) {
		hyp_cells_drop(cpu, part);
		flush_area(cpu, part, gva);
		return;
	}
	cells_drop_page(cpu, part, page);
	if (e->read_tag == page)
		e->read_tag = e->write_tag = HYP_TLB_NONE(hyp_tlb_slot(gva));
	if (ie->tag == page)
		ie->tag = HYP_TLB_NONE(islot);
	if (jc_has_page(cpu, part, gva))
		hyp_jc_reset(cpu, part);
}

void hyp_tlb_flush_page(struct hyp_cpu *cpu, gva_t gva)
{
	if (gva >> 63 == 0)
		hyp_direct_flush_page(cpu, gva);
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		flush_page_part(cpu, part, gva);
}

void hyp_jc_note(struct hyp_cpu *cpu, unsigned part, gva_t pc, bool global)
{
	filter_set(cpu->jc_pages[part], pc, PAGE_SHIFT);
	cpu->jc_low[part] = MIN(cpu->jc_low[part], pc & PAGE_MASK);
	cpu->jc_high[part] = MAX(cpu->jc_high[part], pc & PAGE_MASK);
	if (part == HYP_TLB_KERNEL && !global)
		cpu->jc_nonglobal = true;
}
