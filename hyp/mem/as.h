/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical address spaces. Private to hyp/.
 *
 * The map is an immutable, sorted set of regions, published by pointer. A CPU takes a snapshot
 * when it enters hyp_cpu_run and again whenever it answers HYP_ATTN_SYNC; hyp_as_sync() returns when
 * no CPU can still be using what was current before it (the old map, old soft-TLB entries).
 * Regions are kept in chunks that maps share: changing one of 32764 regions copies one chunk and the list
 * of chunks, some kilobytes. There is one map per view (a CPU in SMM looks at another one).
 *
 * Page flags live beside the maps, indexed by guest page number, and survive map updates. One atomic
 * byte a page, so that "I cache a write entry" and "this page now holds translated code" are ordered:
 * whoever comes second sees the other's bit. Views share them, which can only drop too many translations;
 * the dirty flag, which may not be shared, is there once a view.
 *
 * What holds for a page at any time (the protocol is told above hyp_as_mark_code, in sync.c):
 *   - a CPU with a write entry: WTLB is set, or that CPU has been asked to sync and has not answered;
 *   - a CPU with translations: CODE is set, or the page is in that CPU's queue of pages to drop;
 *   - no CPU has both.
 * Translations that check themselves (HYP_PF_CHECK) are none in this sense: stores to their page are like any
 * others. But they know where on the host the page is, so they go with the others when that changes.
 *
 * Lock order: as->lock is a leaf. A CPU that takes it inside hyp_cpu_run answers its own sync
 * requests while it waits, so two CPUs that sync each other cannot deadlock.
 */
#ifndef KUSE_HYP_MEM_AS_H
#define KUSE_HYP_MEM_AS_H

#include "hyp_guest_cpu.h"

struct hyp_map_chunk {
	u32 refs; /* maps that contain it; writers only */
	u32 n;
	struct hyp_region r[];
};

struct hyp_map {
	u32 n; /* chunks, none of them empty */
	struct hyp_map_chunk *chunk[];
};
#define HYP_MAP_CHUNK_BITS 7 /* most regions in a chunk */

#define HYP_PF_CODE 1u  /* some CPU has translations of this page */
#define HYP_PF_WTLB 2u  /* some CPU may hold a write entry for it */
#define HYP_PF_DIRTY 4u /* already reported to ops->mark_dirty since the last rearm; << view */
#define HYP_PF_PRIVATE 16u /* hyp_as_set_private */
#define HYP_PF_LEAVING 32u /* CODE is about to go, unless somebody marks the page meanwhile */
#define HYP_PF_CHECK 64u   /* translations made of this page check themselves from now on (reuse.c) */
#define HYP_PF_CHECKED 128u /* and there may be such; stays */

#define HYP_PF_CHUNK_SHIFT 30 /* one chunk of flags covers 1 GiB */
#define HYP_PF_CHUNKS (1u << (48 - HYP_PF_CHUNK_SHIFT))

struct hyp_as {
	struct hyp_as_ops ops;
	void *opaque;
	const struct hyp_map *map[HYP_AS_VIEWS]; /* atomic */
	u32 lock;                  /* spin lock, held for microseconds */
	struct hyp_cpu *cpus;
	bool has_private;          /* some page is or was private */
	u32 client_epoch;          /* atomic; counts hyp_as_client_ran */
	u8 **pf;       /* [HYP_PF_CHUNKS], lazily filled */
	u8 *code_seen; /* [HYP_PF_CHUNKS]: some page of the chunk has or had HYP_PF_CODE */
};

/* *guess: where the region found last is, for the next look-up. Guest-live. */
const struct hyp_region *hyp_map_find(const struct hyp_map *map, gpa_t gpa, u32 *guess);
/* Number of the last chunk that begins at or before gpa, 0 where there is none. Guest-live. */
u32 hyp_map_chunk_of(const struct hyp_map *map, gpa_t gpa);
/* Index of the first region of the chunk that ends behind gpa; c->n where none does. Guest-live. */
u32 hyp_map_index_of(const struct hyp_map_chunk *c, gpa_t gpa);
/* The first region that ends behind gpa, or NULL. Guest-live. */
const struct hyp_region *hyp_map_next(const struct hyp_map *map, gpa_t gpa);

/* map.c: a new map that differs by one region, or NULL on no memory. The old one lives on. */
struct hyp_map *hyp_map_with(const struct hyp_map *map, const struct hyp_region *r);
struct hyp_map *hyp_map_without(const struct hyp_map *map, gpa_t gpa);
struct hyp_map *hyp_map_empty(void);
void hyp_map_free(struct hyp_map *map);

/* Flags byte of gpa's page; NULL where no RAM was ever mapped. Guest-live. */
static inline u8 *hyp_as_pf(struct hyp_as *as, gpa_t gpa)
{
	u8 *chunk = gpa >> 48 ? NULL : __atomic_load_n(&as->pf[gpa >> HYP_PF_CHUNK_SHIFT], __ATOMIC_ACQUIRE);

	return chunk ? &chunk[(gpa & ((1ull << HYP_PF_CHUNK_SHIFT) - 1)) >> PAGE_SHIFT] : NULL;
}

/* Is the page at gpa private? Guest-live. */
static inline bool hyp_gpa_private(struct hyp_as *as, gpa_t gpa)
{
	const u8 *pf;

	if (likely(!as->has_private))
		return false;
	pf = hyp_as_pf(as, gpa);
	return pf && __atomic_load_n(pf, __ATOMIC_ACQUIRE) & HYP_PF_PRIVATE;
}

/* Every other CPU takes the current map and drops its soft TLB before this returns. `self` is the
 * calling CPU, or NULL for a thread that is in no hyp_cpu_run. Guest-live. */
void hyp_as_sync(struct hyp_as *as, struct hyp_cpu *self);

/* In a loop that waits for another CPU: the spins-th time. Guest-live. */
void hyp_relax(unsigned spins);

/* The CPU's side of hyp_as_sync. Guest-live. */
void hyp_cpu_answer_sync(struct hyp_cpu *cpu);

/* What hyp_as_code_written queued for this CPU. Guest-live. */
void hyp_cpu_drop_queued(struct hyp_cpu *cpu);

void hyp_as_add_cpu(struct hyp_as *as, struct hyp_cpu *cpu);
void hyp_as_del_cpu(struct hyp_as *as, struct hyp_cpu *cpu);

/* The page of gpa is about to be translated by cpu: from now on every guest store to it is seen. May answer
 * a sync request, so that host addresses the caller has are void if its soft TLB is empty now. Guest-live. */
void hyp_as_mark_code(struct hyp_cpu *cpu, gpa_t gpa);

/* Translations of gpa's page that begin from now on check themselves, until hyp_as_mark_again. It may be
 * marked still, for others. Guest-live. */
void hyp_as_check_code(struct hyp_as *as, gpa_t gpa);
/* They do not any more; those that do go in time, cpu's at once. Guest-live. */
void hyp_as_mark_again(struct hyp_cpu *cpu, gpa_t gpa);

/* Drops all translations of gpa's page and takes its mark back. False, with the mark in place: this cannot be
 * done now. cpu must not be translating. Guest-live. */
bool hyp_as_unmark_code(struct hyp_cpu *cpu, gpa_t gpa);

/* A store of size bytes hits a page flagged HYP_PF_CODE. Drops overlapping translations of `cpu` (may
 * be NULL) and asks all others to drop those of the page. Did `cpu` have any? Guest-live. */
bool hyp_as_code_written(struct hyp_cpu *cpu, struct hyp_as *as, gpa_t gpa, unsigned size);

/* ---- provided by the engine (tcache/) ---- */
/* True: there were translations of these bytes, or next to them. Guest-live. */
bool hyp_engine_invalidate(struct hyp_cpu *cpu, gpa_t gpa, unsigned size);
/* Drops the page's translations, because another CPU stored to it. Guest-live. */
void hyp_engine_drop(struct hyp_cpu *cpu, gpa_t page);
void hyp_engine_flush(struct hyp_cpu *cpu);                                /* guest-live */

#endif
