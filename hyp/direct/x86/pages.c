/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mapped in the stubs. Each serves one address space of the guest's at a time, named by CR3; the one
 * used longest ago changes hands. A space remembers what it mapped, by linear page, in an open-addressed
 * table that is also walked as a list.
 *
 * A mapping is checked again (walked, as a TLB miss would) before its stub runs next, if the soft TLB was
 * flushed meanwhile: all of them after a flush of everything, which is what every MOV CR3 is, or some pages
 * after INVLPG. Checking costs what a walk costs, 50 ns, so a process that was away for a moment does not
 * pay for its pages once more.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/direct/backing.h"
#include "hyp/direct/x86/direct.h"
#include "hyp/direct/x86/scan.h"
#include "hyp/mem/guard.h"
#include "hyp/mem/reuse.h"
#include "hyp/sys/x86/sys.h"

#define MAX_PAGES 32768 /* mappings of one stub; Linux allows a process some 65530 */
#define SLOTS (4 * MAX_PAGES)

#define AROUND_MASK 0xffffull /* pages of the same 64 KiB are mapped at once where that is one call */
#define LARGE 8u /* 2 MiB */
#define LARGE_SIZE (1ull << HYP_LARGE_SHIFT)

struct page {
	u64 gva; /* | PROT_*, none: not mapped any more; | LARGE; 0: free */
	u8 *hva;
	u32 copy; /* what is mapped is this copy of the page (copy.h); 0: the page */
};

struct direct_space {
	struct hyp_stub *stub;
	struct hyp_copies *copies;
	u64 cr3;
	u64 thread; /* that made the stub */
	bool failed; /* some call did: what is mapped is not what we believe */
	unsigned scan_flags; /* under which its code was found harmless */
	u32 gen; /* of the soft TLB's flushes (cpu->direct_gen) when its mappings were right last */
	u32 backing; /* hyp_backing_generation() before the oldest of them was made */
	bool large; /* it has had a large mapping */
	u64 touchy[1024]; /* filter of host pages mapped writable or executable, by hash */
	u32 n;
	u32 order[MAX_PAGES]; /* slots in use */
	struct page page[SLOTS];
};

static u32 slot_hash(gva_t gva)
{
	return (u32)((gva >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 40) % SLOTS;
}

/* Where gva's page is, or would be. */
static struct page *find(struct direct_space *sp, gva_t gva)
{
	u32 i = slot_hash(gva);

	while (sp->page[i].gva && (sp->page[i].gva & PAGE_MASK) != (gva & PAGE_MASK))
		i = (i + 1) % SLOTS;
	return &sp->page[i];
}

/* What maps gva, or where it would be put. */
static struct page *find_any(struct direct_space *sp, gva_t gva)
{
	struct page *p = find(sp, gva), *large = find(sp, gva & HYP_LARGE_MASK);

	return !(p->gva & ~PAGE_MASK) && large->gva & LARGE ? large : p;
}

static u32 filter_bit(const u8 *hva)
{
	return (u32)(((u64)hva >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 48);
}

/* May the host page be mapped writable or executable somewhere? */
static bool may_map_page(const struct direct_space *sp, const u8 *hva)
{
	u32 bit = filter_bit(hva);

	return sp->touchy[bit / 64] >> bit % 64 & 1;
}

static void note_mapping(struct direct_space *sp, const struct page *p)
{
	u32 bit = filter_bit(p->hva);

	sp->large |= p->gva & LARGE;
	if (p->gva & (PROT_WRITE | PROT_EXEC))
		sp->touchy[bit / 64] |= 1ull << bit % 64;
}

static u64 size_of(const struct page *p)
{
	return p->gva & LARGE ? LARGE_SIZE : PAGE_SIZE;
}

/* ---- changing what is mapped ---------------------------------------------------------------------- */

static void flush(struct direct_space *sp)
{
	sp->failed |= hyp_stub_flush(sp->stub) != 0;
}

static void unmap_all(struct direct_space *sp)
{
	flush(sp);
	hyp_stub_unmap(sp->stub, PAGE_SIZE, HYP_STUB_BASE - PAGE_SIZE);
	hyp_stub_unmap(sp->stub, HYP_STUB_BASE + HYP_STUB_SIZE, HYP_STUB_TOP - HYP_STUB_BASE - HYP_STUB_SIZE);
	for (u32 i = 0; i < sp->n; i++) {
		hyp_copy_drop(sp->copies, sp->page[sp->order[i]].copy);
		sp->page[sp->order[i]] = (struct page){ 0 };
	}
	memset(sp->touchy, 0, sizeof(sp->touchy));
	sp->large = false;
	sp->n = 0;
}

/* The entry of gva, a new one if need be. */
static struct page *entry(struct direct_space *sp, gva_t gva)
{
	struct page *p = find(sp, gva);

	if (!p->gva)
		sp->order[sp->n++] = (u32)(p - sp->page);
	return p;
}

/* For n entries that belong to one call: if there is no room, all goes, before the first of them is made. */
static void make_room(struct direct_space *sp, u32 n)
{
	if (sp->n + n > MAX_PAGES)
		unmap_all(sp);
}

static void set(struct direct_space *sp, struct page p)
{
	*entry(sp, p.gva & PAGE_MASK) = p;
	note_mapping(sp, &p);
}

/* Nothing is mapped there as far as the table knows. */
static void clear(struct direct_space *sp, struct page *p)
{
	hyp_copy_drop(sp->copies, p->copy);
	p->copy = 0;
	p->gva &= PAGE_MASK;
}

static void unmap(struct direct_space *sp, struct page *p)
{
	gva_t gva = p->gva & PAGE_MASK;
	u64 size = size_of(p);

	for (u64 at = 0; at < size; at += PAGE_SIZE) /* small ones that lie over a large one go with it */
		clear(sp, find(sp, gva + at));
	if (hyp_stub_unmap(sp->stub, gva, size))
		return;
	flush(sp);
	hyp_stub_unmap(sp->stub, gva, size);
}

static void queue_map(struct direct_space *sp, gva_t gva, u64 size, int prot, int fd, u64 offset)
{
	if (hyp_stub_map(sp->stub, gva, size, prot, fd, offset, true))
		return;
	flush(sp);
	hyp_stub_map(sp->stub, gva, size, prot, fd, offset, true);
}

/* n small pages from gva on, which lie side by side on the host too, or a large one. flags: PROT_*, LARGE */
static bool map(struct direct_space *sp, gva_t gva, u8 *hva, u32 n, unsigned flags)
{
	u64 size = flags & LARGE ? LARGE_SIZE : n * PAGE_SIZE;
	int prot = (int)(flags & ~LARGE);
	struct hyp_backing b;
	u64 offset;

	if (!hyp_backing_find(hva, &b) || hva + size > b.end || (prot & PROT_EXEC && !b.exec))
		return false;
	make_room(sp, flags & LARGE ? 1 : n);
	for (u64 at = 0; at < size; at += PAGE_SIZE) {
		struct page *p = find(sp, gva + at);

		if (p->gva & LARGE && !(flags & LARGE))
			unmap(sp, p); /* its entry is wanted */
		clear(sp, p);
	}
	for (u64 at = 0; at < size && (!at || !(flags & LARGE)); at += PAGE_SIZE)
		set(sp, (struct page){ (gva + at) | flags, hva + at, 0 });
	offset = b.offset + (u64)(hva - b.start);
	queue_map(sp, gva, size, prot, b.fd, offset);
	return true;
}

/* The page with instructions replaced. */
static bool map_copy(struct direct_space *sp, gva_t gva, u8 *hva, const struct hyp_scan_patch *patch)
{
	u32 copy = hyp_copy_make(sp->copies, hva, patch);
	const int prot = PROT_READ | PROT_EXEC;
	struct page *p;

	if (!copy)
		return false;
	make_room(sp, 1);
	p = find(sp, gva);
	if (p->gva & LARGE)
		unmap(sp, p);
	clear(sp, p);
	set(sp, (struct page){ gva | prot, hva, copy });
	queue_map(sp, gva, PAGE_SIZE, prot, sp->copies->fd, (copy - 1) * PAGE_SIZE);
	return true;
}

/* ---- bringing a space up to date ------------------------------------------------------------------- */

/* Is what p maps still what the guest's tables say? */
static bool still_right(struct hyp_cpu *cpu, const struct page *p)
{
	bool x = p->gva & PROT_EXEC;
	struct hyp_probe probe;

	if (!hyp_tlb_probe(cpu, p->gva & PAGE_MASK, X86_ACC_PEEK | (x ? X86_ACC_X : X86_ACC_R),
			   p->gva & PROT_WRITE, &probe))
		return false;
	if (p->gva & LARGE &&
	    !(probe.large && (!(p->gva & PROT_WRITE) || hyp_tlb_probe_large(cpu, probe.gpa))))
		return false;
	return probe.host == p->hva && (!(p->gva & PROT_WRITE) || probe.write) && !(x && probe.rw);
}

static unsigned scan_flags(const struct hyp_cpu *cpu)
{
	const struct x86_state *s = &cpu->s;
	bool same_tsc = !s->tsc_offset && s->tsc_ratio == 1ull << 48 && !(s->cr4 & X86_CR4_TSD);

	return (s->cr4 & X86_CR4_FSGSBASE ? 0 : SCAN_NO_FSGSBASE) | (same_tsc ? SCAN_SAME_TSC : 0) |
	       (hyp_direct_all_xstate(s) ? 0 : SCAN_NO_XSAVE);
}

static void check(struct hyp_cpu *cpu, struct direct_space *sp, struct page *p)
{
	if (p->gva & ~PAGE_MASK && !still_right(cpu, p))
		unmap(sp, p);
}

/* Writable and executable mappings of the page at hva, or executable ones of all pages (NULL). */
static void drop_page(struct direct_space *sp, const u8 *hva)
{
	for (u32 i = 0; i < sp->n; i++) {
		struct page *p = &sp->page[sp->order[i]];

		if (!hva ? p->gva & PROT_EXEC
			 : p->gva & (PROT_WRITE | PROT_EXEC) && (u64)(hva - p->hva) < size_of(p))
			unmap(sp, p);
	}
}

/* In all spaces: pages of code that somebody has stored to, or is about to; pages that are to be code. */
static void drop_changed(struct hyp_cpu *cpu, struct direct_space *sp)
{
	if (cpu->n_direct_changed > ARRAY_SIZE(cpu->direct_changed)) {
		unmap_all(sp);
		return;
	}
	for (u32 k = 0; k < cpu->n_direct_changed; k++) {
		const u8 *hva = hyp_phys_ptr(cpu, cpu->direct_changed[k], false);

		if (hva && (sp->large || may_map_page(sp, hva)))
			drop_page(sp, hva);
	}
}

/* Does the guest use addresses that are the stub's own? */
static bool taken(struct hyp_cpu *cpu)
{
	struct hyp_probe p;
	gva_t gva = HYP_STUB_BASE;

	while (gva < HYP_STUB_BASE + HYP_STUB_SIZE &&
	       !hyp_tlb_probe(cpu, gva, X86_ACC_R | X86_ACC_PEEK, false, &p))
		gva += PAGE_SIZE;
	return gva < HYP_STUB_BASE + HYP_STUB_SIZE;
}

/* False: this address space cannot be had. */
static bool bring_up_to_date(struct hyp_cpu *cpu, struct direct_space *sp)
{
	unsigned flags = scan_flags(cpu);
	bool all = sp->gen != cpu->direct_gen;
	u32 backing = hyp_backing_generation();

	if (sp->backing != backing)
		unmap_all(sp); /* the client may have other files there now */
	sp->backing = backing;
	for (unsigned i = 0; i < HYP_DIRECT_STUBS && cpu->direct->space[i] && cpu->n_direct_changed; i++)
		drop_changed(cpu, cpu->direct->space[i]);
	cpu->n_direct_changed = 0;
	if (sp->scan_flags != flags)
		drop_page(sp, NULL);
	sp->scan_flags = flags;

	for (u32 i = 0; i < sp->n && all; i++)
		check(cpu, sp, &sp->page[sp->order[i]]);
	for (u32 i = 0; i < cpu->n_direct_page && !all; i++)
		check(cpu, sp, find_any(sp, cpu->direct_page[i]));
	if (all)
		cpu->stats[HYP_STAT_direct_checked] += sp->n;
	sp->gen = cpu->direct_gen;
	cpu->n_direct_page = 0;
	return !all || !taken(cpu);
}

/* ---- spaces ------------------------------------------------------------------------------------------ */

/* A stub dies with the thread that made it. */
static u64 this_thread(void)
{
	static u64 threads;
	static __thread u64 number;

	if (!number)
		number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	return number;
}

static struct direct_space *new_space(struct hyp_direct *d)
{
	struct direct_space *sp = mmap(NULL, sizeof(*sp), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				       -1, 0);

	if (sp == MAP_FAILED)
		return NULL;
	sp->thread = this_thread();
	sp->copies = &d->copies;
	sp->backing = hyp_backing_generation();
	sp->stub = hyp_stub_create();
	if (sp->stub)
		return sp;
	munmap(sp, sizeof(*sp));
	return NULL;
}

static void free_space(struct direct_space *sp)
{
	if (!sp)
		return;
	for (u32 i = 0; i < sp->n; i++)
		hyp_copy_drop(sp->copies, sp->page[sp->order[i]].copy);
	hyp_stub_destroy(sp->stub);
	munmap(sp, sizeof(*sp));
}

/* The space of a CR3 comes to the front: its own, a new one, or the last one, emptied. */
static struct direct_space *choose(struct hyp_direct *d, u64 cr3)
{
	struct direct_space *sp;
	unsigned i;

	for (i = 0; i < HYP_DIRECT_STUBS - 1 && d->space[i] && d->space[i]->cr3 != cr3; i++)
		;
	sp = d->space[i];
	if (!sp) {
		sp = new_space(d);
		if (!sp)
			return NULL;
		sp->cr3 = cr3;
	}
	memmove(&d->space[1], &d->space[0], i * sizeof(d->space[0]));
	d->space[0] = sp;
	if (sp->cr3 != cr3)
		unmap_all(sp);
	sp->cr3 = cr3;
	return sp;
}

/* Can the guest's RAM be mapped elsewhere? Asked for the page of code that is to run. */
static bool ram_is_file(struct hyp_cpu *cpu)
{
	struct hyp_backing b;
	struct hyp_probe p;

	return !hyp_tlb_probe(cpu, cpu->s.rip, X86_ACC_X, false, &p) ||
	       (hyp_backing_find(p.host, &b) && b.exec);
}

static void drop_all(struct hyp_direct *d)
{
	for (unsigned i = 0; i < HYP_DIRECT_STUBS; i++) {
		free_space(d->space[i]);
		d->space[i] = NULL;
	}
}

struct hyp_stub *hyp_direct_space(struct hyp_cpu *cpu)
{
	struct hyp_direct *d = cpu->direct;
	u64 cr3 = cpu->s.cr3 & PAGE_MASK;
	struct direct_space *sp = d->space[0];

	if (sp && sp->thread != this_thread()) {
		drop_all(d);
		sp = NULL;
	}
	if (!sp || sp->cr3 != cr3)
		sp = ram_is_file(cpu) ? choose(d, cr3) : NULL;
	if (!sp) {
		d->broken = true;
		return NULL;
	}
	if (!bring_up_to_date(cpu, sp))
		return NULL;
	if (likely(!sp->failed))
		return sp->stub;
	hyp_direct_lost(cpu);
	return NULL;
}

void hyp_direct_lost(struct hyp_cpu *cpu)
{
	struct hyp_direct *d = cpu->direct;

	free_space(d->space[0]);
	memmove(&d->space[0], &d->space[1], (HYP_DIRECT_STUBS - 1) * sizeof(d->space[0]));
	d->space[HYP_DIRECT_STUBS - 1] = NULL;
}

/* ---- asked from outside -------------------------------------------------------------------------- */

void hyp_cpu_confine(struct hyp_cpu *cpu)
{
	if (!cpu->direct)
		return;
	hyp_attend(cpu, HYP_ATTN_SYNC);
	for (unsigned spins = 0; __atomic_load_n(&cpu->direct->busy, __ATOMIC_SEQ_CST); spins++)
		hyp_relax(spins);
	drop_all(cpu->direct);
}

void hyp_confined(void)
{
	hyp_backing_close();
}

/*
 * A CPU that comes to a stub later finds the new generation, or the attention bit (run_stub), and looks
 * again. One that clears the bit has left its stub.
 */
void hyp_cpu_memory_moved(struct hyp_cpu *cpu)
{
	hyp_attend(cpu, HYP_ATTN_SYNC);
	for (unsigned spins = 0; __atomic_load_n(&cpu->direct_pid, __ATOMIC_SEQ_CST) &&
				 __atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST) & HYP_ATTN_SYNC;
	     spins++)
		hyp_relax(spins);
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static bool user_page(gva_t gva)
{
	return gva >= PAGE_SIZE && gva < HYP_STUB_TOP && gva - HYP_STUB_BASE >= HYP_STUB_SIZE;
}

/* A page of code, or NULL where there is none. */
static const u8 *code_at(struct hyp_cpu *cpu, gva_t gva)
{
	struct hyp_probe p;

	return hyp_tlb_probe(cpu, gva, X86_ACC_X | X86_ACC_PEEK, false, &p) ? p.host : NULL;
}

/* May the page of code run as it is, or with patch->n instructions replaced? */
static bool may_run(struct hyp_cpu *cpu, gva_t gva, const u8 *page, struct hyp_scan_patch *patch)
{
	unsigned flags = scan_flags(cpu);

	patch->n = 0;
	return hyp_scan_page(page, flags) ||
	       hyp_scan_page_between(code_at(cpu, gva - PAGE_SIZE), page, code_at(cpu, gva + PAGE_SIZE),
				     flags, patch);
}

static bool is_marked(struct hyp_cpu *cpu, gpa_t gpa)
{
	const u8 *pf = hyp_as_pf(cpu->as, gpa), mask = HYP_PF_CODE | HYP_PF_WTLB | HYP_PF_LEAVING;

	return pf && (__atomic_load_n(pf, __ATOMIC_SEQ_CST) & mask) == HYP_PF_CODE &&
	       !hyp_stores_pending(cpu, gpa);
}

/* May gva be mapped with prot, and is it at hva on the host? */
static bool may_map(struct hyp_cpu *cpu, gva_t gva, const u8 *hva, unsigned prot)
{
	struct hyp_scan_patch patch;
	struct hyp_probe p;

	if (!user_page(gva) ||
	    !hyp_tlb_probe(cpu, gva, X86_ACC_PEEK | (prot & PROT_EXEC ? X86_ACC_X : X86_ACC_R),
			   prot & PROT_WRITE, &p))
		return false;
	if (p.host != hva || !(prot & PROT_WRITE) != !p.write)
		return false;
	return !(prot & PROT_EXEC) ||
	       (!p.rw && is_marked(cpu, p.gpa) && may_run(cpu, gva, hva, &patch) && !patch.n);
}

/*
 * Maps the page of gva, found at hva, and with the same call those around it that are mapped by the guest
 * likewise and lie side by side on the host, as a file's pages often do.
 */
static bool map_around(struct hyp_cpu *cpu, struct direct_space *sp, gva_t gva, u8 *hva, unsigned prot)
{
	u32 back = 0, on = 1;

	gva &= PAGE_MASK;
	while ((gva - back * PAGE_SIZE) & AROUND_MASK &&
	       !(find_any(sp, gva - (back + 1) * PAGE_SIZE)->gva & prot) &&
	       may_map(cpu, gva - (back + 1) * PAGE_SIZE, hva - (back + 1) * PAGE_SIZE, prot))
		back++;
	while ((gva + on * PAGE_SIZE) & AROUND_MASK && !(find_any(sp, gva + on * PAGE_SIZE)->gva & prot) &&
	       may_map(cpu, gva + on * PAGE_SIZE, hva + on * PAGE_SIZE, prot))
		on++;
	return map(sp, gva - back * PAGE_SIZE, hva - back * PAGE_SIZE, back + on, prot) ||
	       map(sp, gva, hva, 1, prot); /* the neighbours may lie in another file */
}

/* To those who store to it, a page mapped as code is one with translations: hyp_direct_page_changed. */
static enum direct_fault map_code(struct hyp_cpu *cpu, struct direct_space *sp, gva_t gva)
{
	struct hyp_scan_patch patch;
	struct hyp_probe p;

	if (!hyp_tlb_probe(cpu, gva, X86_ACC_X, false, &p))
		return DIRECT_NOT_MAPPED;
	if (hyp_must_check_itself(cpu->as, p.gpa))
		return DIRECT_NOT_CODE; /* stored into all the time */
	hyp_as_mark_code(cpu, p.gpa);
	if (hyp_stores_pending(cpu, p.gpa) || __atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST) ||
	    !hyp_tlb_probe(cpu, gva, X86_ACC_X, false, &p))
		return DIRECT_LATER;
	if (p.rw || !may_run(cpu, gva, p.host, &patch))
		return DIRECT_NOT_CODE;
	if (patch.n)
		return map_copy(sp, gva & PAGE_MASK, p.host, &patch) ? DIRECT_MAPPED : DIRECT_NOT_CODE;
	return map_around(cpu, sp, gva, p.host, PROT_READ | PROT_EXEC) ? DIRECT_MAPPED : DIRECT_NOT_CODE;
}

static enum direct_fault map_data(struct hyp_cpu *cpu, struct direct_space *sp, gva_t gva, bool write)
{
	struct hyp_fail fail;
	struct hyp_probe p;
	unsigned prot;

	if (write && !hyp_mem_ptr_size(cpu, gva, X86_ACC_W, 1, &fail))
		return DIRECT_NOT_MAPPED;
	if (!hyp_tlb_probe(cpu, gva, X86_ACC_R, true, &p) || (write && !p.write))
		return DIRECT_NOT_MAPPED;
	prot = p.write ? PROT_READ | PROT_WRITE : PROT_READ;
	if (p.large && (!p.write || hyp_tlb_probe_large(cpu, p.gpa)) &&
	    map(sp, gva & HYP_LARGE_MASK, p.host - (p.gpa & ~HYP_LARGE_MASK & PAGE_MASK), 0, prot | LARGE))
		return DIRECT_MAPPED;
	return map_around(cpu, sp, gva, p.host, prot) ? DIRECT_MAPPED : DIRECT_NOT_MAPPED;
}

/* Nothing to be mapped, and yet it faulted. */
static bool had_it(struct direct_space *sp, gva_t gva, u32 error)
{
	u64 need = error & X86_PFEC_I ? PROT_EXEC : error & X86_PFEC_W ? PROT_WRITE : PROT_READ;
	const struct page *p = find_any(sp, gva);

	return p->gva & need;
}

/* Does the access fault by the guest's own tables? Then cpu->fault says how. */
static bool is_the_guests(struct hyp_cpu *cpu, gva_t gva, u32 error)
{
	unsigned acc = error & X86_PFEC_I ? X86_ACC_X : error & X86_PFEC_W ? X86_ACC_W : X86_ACC_R;
	struct x86_walk w;

	return x86_walk(cpu, gva, acc, &w) == X86_FAULT;
}

enum direct_fault hyp_direct_fault(struct hyp_cpu *cpu, gva_t gva, u32 error)
{
	struct direct_space *sp = cpu->direct->space[0];
	u64 cr2 = cpu->s.cr2;
	enum direct_fault f = DIRECT_NOT_MAPPED;

	if (!user_page(gva) || had_it(sp, gva, error))
		return DIRECT_NOT_MAPPED;
	f = error & X86_PFEC_I ? map_code(cpu, sp, gva) : map_data(cpu, sp, gva, error & X86_PFEC_W);
	if (f == DIRECT_NOT_MAPPED && is_the_guests(cpu, gva, error))
		return DIRECT_FAULTS;
	cpu->s.cr2 = cr2;
	cpu->fault.type = X86_EVENT_NONE;
	if (f == DIRECT_MAPPED)
		cpu->stats[HYP_STAT_direct_faults]++;
	return f;
}

/* ---- life ---- */

static unsigned users; /* CPUs; the last one gives the descriptors of RAM back */

int hyp_direct_create(struct hyp_cpu *cpu)
{
	const char *engine = getenv("KUSE_HYP_ENGINE"), *direct = getenv("KUSE_HYP_DIRECT");

	if ((direct && !strcmp(direct, "0")) || (engine && strcmp(engine, "direct")))
		return 0;
	cpu->direct = calloc(1, sizeof(*cpu->direct));
	if (!cpu->direct)
		return -1;
	cpu->direct->always = engine;
	cpu->direct->least = HYP_DIRECT_LEAST;
	__atomic_add_fetch(&users, 1, __ATOMIC_SEQ_CST);
	return 0;
}

void hyp_direct_destroy(struct hyp_cpu *cpu)
{
	if (!cpu->direct)
		return;
	drop_all(cpu->direct);
	hyp_copies_destroy(&cpu->direct->copies);
	free(cpu->direct);
	if (!__atomic_sub_fetch(&users, 1, __ATOMIC_SEQ_CST))
		hyp_backing_close();
}
