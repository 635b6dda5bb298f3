/* SPDX-License-Identifier: Apache-2.0 */
/* Guest-physical address spaces: creation, update, KVM's own accesses. See as.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/direct/backing.h"
#include "hyp/mem/guard.h"
#include "hyp/mem/pages.h"

#define PF_CHUNK_BYTES ((1ul << HYP_PF_CHUNK_SHIFT) >> PAGE_SHIFT)

static int alloc_parts(struct hyp_as *as)
{
	as->pf = hyp_pages_alloc(HYP_PF_CHUNKS * sizeof(u8 *));
	as->code_seen = hyp_pages_alloc(HYP_PF_CHUNKS);
	if (!as->pf || !as->code_seen)
		return -ENOMEM;
	for (unsigned v = 0; v < HYP_AS_VIEWS; v++) {
		as->map[v] = hyp_map_empty();
		if (!as->map[v])
			return -ENOMEM;
	}
	return 0;
}

struct hyp_as *hyp_as_create(const struct hyp_as_ops *ops, void *opaque)
{
	struct hyp_as *as = calloc(1, sizeof(*as));

	if (!as)
		return NULL;
	if (ops)
		as->ops = *ops;
	as->opaque = opaque;
	if (alloc_parts(as)) {
		hyp_as_destroy(as);
		return NULL;
	}
	return as;
}

void hyp_as_destroy(struct hyp_as *as)
{
	if (!as)
		return;
	for (u32 i = 0; as->pf && i < HYP_PF_CHUNKS; i++)
		hyp_pages_free(as->pf[i], PF_CHUNK_BYTES);
	hyp_pages_free(as->pf, HYP_PF_CHUNKS * sizeof(u8 *));
	hyp_pages_free(as->code_seen, HYP_PF_CHUNKS);
	for (unsigned v = 0; v < HYP_AS_VIEWS; v++)
		hyp_map_free((struct hyp_map *)as->map[v]);
	free(as);
}

/* ---- page flags ------------------------------------------------------------------------------- */

/* Page-flag chunks for all of [gpa, gpa+size). */
static int reserve_flags(struct hyp_as *as, gpa_t gpa, u64 size)
{
	for (u64 c = gpa >> HYP_PF_CHUNK_SHIFT; c <= (gpa + size - 1) >> HYP_PF_CHUNK_SHIFT; c++) {
		if (as->pf[c])
			continue;
		u8 *chunk = hyp_pages_alloc(PF_CHUNK_BYTES);

		if (!chunk)
			return -ENOMEM;
		__atomic_store_n(&as->pf[c], chunk, __ATOMIC_RELEASE);
	}
	return 0;
}

/* The end of gpa's chunk of flags, or of the range. */
static gpa_t chunk_end(gpa_t gpa, gpa_t end)
{
	return MIN(end, ALIGN_UP(gpa + 1, 1ull << HYP_PF_CHUNK_SHIFT));
}

/* The first page in [gpa, end) of one chunk that has one of the flags; end where none has. Eight at a time:
 * most pages of a large region were never touched. */
static gpa_t next_flagged(const u8 *pf, gpa_t gpa, gpa_t end, u8 flags)
{
	u64 mask = flags * 0x0101010101010101ull, word;

	while (gpa < end) {
		if (!(gpa & (8 * PAGE_SIZE - 1)) && end - gpa >= 8 * PAGE_SIZE) {
			word = __atomic_load_n((const u64 *)pf, __ATOMIC_RELAXED);
			if (!(word & mask)) {
				gpa += 8 * PAGE_SIZE;
				pf += 8;
				continue;
			}
		}
		if (__atomic_load_n(pf, __ATOMIC_RELAXED) & flags)
			return gpa;
		gpa += PAGE_SIZE;
		pf++;
	}
	return end;
}

static void clear_dirty_flags(struct hyp_as *as, unsigned view, gpa_t gpa, u64 size)
{
	gpa_t end = gpa + size;
	u8 dirty = (u8)(HYP_PF_DIRTY << view);

	for (gpa_t stop; gpa < end; gpa = stop) {
		stop = chunk_end(gpa, end);
		while ((gpa = next_flagged(hyp_as_pf(as, gpa), gpa, stop, dirty)) < stop) {
			__atomic_fetch_and(hyp_as_pf(as, gpa), (u8)~dirty, __ATOMIC_SEQ_CST);
			gpa += PAGE_SIZE;
		}
	}
}

/* Translations of the pages of [gpa, gpa+size) are void: they lead somewhere else now. Were there any? */
static bool drop_translations(struct hyp_as *as, gpa_t gpa, u64 size)
{
	gpa_t end = gpa + size;
	bool any = false;

	for (gpa_t stop; gpa < end; gpa = stop) {
		stop = chunk_end(gpa, end);
		if (!__atomic_load_n(&as->code_seen[gpa >> HYP_PF_CHUNK_SHIFT], __ATOMIC_SEQ_CST))
			continue;
		while ((gpa = next_flagged(hyp_as_pf(as, gpa), gpa, stop, HYP_PF_CODE | HYP_PF_CHECKED)) <
		       stop) {
			hyp_as_code_written(NULL, as, gpa, PAGE_SIZE);
			any = true;
			gpa += PAGE_SIZE;
		}
	}
	return any;
}

void hyp_as_client_ran(struct hyp_as *as)
{
	__atomic_fetch_add(&as->client_epoch, 1, __ATOMIC_ACQ_REL);
}

/* ---- changes of the map ------------------------------------------------------------------------ */

static bool region_valid(const struct hyp_region *r)
{
	u64 end = r->gpa + r->size;

	return !((r->gpa | r->size) & ~PAGE_MASK) && r->size && end > r->gpa && end <= 1ull << 48;
}

bool hyp_as_overlaps(struct hyp_as *as, unsigned view, gpa_t gpa, u64 size, u32 id)
{
	const struct hyp_region *r = hyp_map_next(as->map[view], gpa);

	while (r && r->gpa < gpa + size) {
		if (r->id != id)
			return true;
		r = hyp_map_next(as->map[view], r->gpa + r->size);
	}
	return false;
}

/* The map after the change, or NULL with *err. */
static struct hyp_map *changed_map(const struct hyp_map *cur, const struct hyp_region *old,
				   const struct hyp_region *new, int *err)
{
	struct hyp_map *without = old ? hyp_map_without(cur, old->gpa) : NULL, *map = without;
	const struct hyp_region *next;

	*err = -ENOMEM;
	if ((old && !without) || !new)
		return map;
	next = hyp_map_next(old ? without : cur, new->gpa);
	if (next && next->gpa < new->gpa + new->size) {
		*err = -EINVAL;
		map = NULL;
	} else {
		map = hyp_map_with(old ? without : cur, new);
	}
	hyp_map_free(without);
	return map;
}

static bool same_memory(const struct hyp_region *a, const struct hyp_region *b)
{
	return a && b && a->gpa == b->gpa && a->size == b->size && a->hva == b->hva &&
	       a->private_hva == b->private_hva;
}

/* Translations go when no CPU can make new ones from the old map, and are gone when this returns. */
static void publish(struct hyp_as *as, unsigned view, struct hyp_map *map, const struct hyp_region *gone)
{
	struct hyp_map *old = (struct hyp_map *)as->map[view];

	__atomic_store_n(&as->map[view], map, __ATOMIC_SEQ_CST);
	hyp_as_sync(as, NULL);
	if (gone && drop_translations(as, gone->gpa, gone->size))
		hyp_as_sync(as, NULL);
	if (as->ops.quiesce)
		as->ops.quiesce(as->opaque);
	hyp_map_free(old);
}

int hyp_as_replace(struct hyp_as *as, unsigned view, const struct hyp_region *old, const struct hyp_region *new)
{
	struct hyp_map *map;
	int err;

	if (new && !region_valid(new))
		return -EINVAL;
	if (new && reserve_flags(as, new->gpa, new->size))
		return -ENOMEM;
	map = changed_map(as->map[view], old, new, &err);
	if (!map)
		return err;
	if (new && new->flags & HYP_REGION_LOG_DIRTY && !(old && old->flags & HYP_REGION_LOG_DIRTY))
		clear_dirty_flags(as, view, new->gpa, new->size);
	if (!same_memory(old, new))
		hyp_backing_forget();
	publish(as, view, map, same_memory(old, new) ? NULL : old);
	return 0;
}

void hyp_memory_moved(void)
{
	hyp_backing_forget();
}

void hyp_as_rearm_dirty(struct hyp_as *as, unsigned view, gpa_t gpa, u64 mask)
{
	u8 dirty = (u8)(HYP_PF_DIRTY << view);

	for (; mask; mask &= mask - 1) {
		u8 *pf = hyp_as_pf(as, gpa + ((u64)__builtin_ctzll(mask) << PAGE_SHIFT));

		if (pf)
			__atomic_fetch_and(pf, (u8)~dirty, __ATOMIC_SEQ_CST);
	}
}

void hyp_as_rearm_sync(struct hyp_as *as)
{
	hyp_as_sync(as, NULL);
}

/* ---- private pages --------------------------------------------------------------------------------- */

/* Sets or clears a flag of all pages of [gpa, end), which are in one chunk; eight at a time where it can. */
static void write_flags(u8 *pf, gpa_t gpa, gpa_t end, u8 flag, bool on)
{
	u64 wide = flag * 0x0101010101010101ull;

	for (; gpa < end; gpa += PAGE_SIZE, pf++) {
		while (!(gpa & (8 * PAGE_SIZE - 1)) && end - gpa >= 8 * PAGE_SIZE) {
			if (on)
				__atomic_fetch_or((u64 *)pf, wide, __ATOMIC_SEQ_CST);
			else if (__atomic_load_n((u64 *)pf, __ATOMIC_RELAXED) & wide)
				__atomic_fetch_and((u64 *)pf, ~wide, __ATOMIC_SEQ_CST);
			gpa += 8 * PAGE_SIZE;
			pf += 8;
			if (gpa == end)
				return;
		}
		if (on)
			__atomic_fetch_or(pf, flag, __ATOMIC_SEQ_CST);
		else
			__atomic_fetch_and(pf, (u8)~flag, __ATOMIC_SEQ_CST);
	}
}

int hyp_as_set_private(struct hyp_as *as, gpa_t gpa, u64 size, bool private)
{
	gpa_t end = gpa + size;

	if (gpa >> 48 || size > (1ull << 48) - gpa || reserve_flags(as, gpa, size))
		return -ENOMEM;
	__atomic_store_n(&as->has_private, true, __ATOMIC_SEQ_CST);
	for (gpa_t at = gpa, stop; at < end; at = stop) {
		stop = chunk_end(at, end);
		write_flags(hyp_as_pf(as, at), at, stop, HYP_PF_PRIVATE, private);
	}
	hyp_as_sync(as, NULL);
	if (drop_translations(as, gpa, size))
		hyp_as_sync(as, NULL);
	return 0;
}

bool hyp_as_is_private(struct hyp_as *as, gpa_t gpa)
{
	return hyp_gpa_private(as, gpa);
}

/* ---- KVM's own accesses -------------------------------------------------------------------------- */

static const struct hyp_region *find_region(struct hyp_as *as, gpa_t gpa)
{
	u32 guess = 0;

	return hyp_map_find(__atomic_load_n(&as->map[0], __ATOMIC_SEQ_CST), gpa, &guess);
}

u8 *hyp_as_hva(struct hyp_as *as, gpa_t gpa, bool write)
{
	const struct hyp_region *r = find_region(as, gpa);

	if (!r || (write && r->flags & HYP_REGION_READONLY))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

int hyp_as_touch(struct hyp_as *as, gpa_t gpa, bool *private)
{
	const struct hyp_region *r = find_region(as, gpa);
	struct hyp_guard g;
	const u8 *base;

	*private = hyp_gpa_private(as, gpa);
	if (*private && (!r || !r->private_hva))
		return -EFAULT;
	if (!r)
		return -ENOENT;
	base = *private ? r->private_hva : r->hva;
	if (HYP_GUARD(&g, as))
		return -EFAULT;
	(void)*(const volatile u8 *)(base + (gpa - r->gpa));
	hyp_guard_end(&g);
	return 0;
}

static void mark_page_written(struct hyp_as *as, gpa_t gpa, size_t len)
{
	const struct hyp_region *r = find_region(as, gpa);
	u8 *pf = hyp_as_pf(as, gpa);

	if (!r || !pf)
		return;
	if (r->flags & HYP_REGION_LOG_DIRTY && as->ops.mark_dirty &&
	    !(__atomic_fetch_or(pf, HYP_PF_DIRTY, __ATOMIC_SEQ_CST) & HYP_PF_DIRTY))
		as->ops.mark_dirty(as->opaque, NULL, r->id, gpa & PAGE_MASK);
	if (*pf & HYP_PF_CODE)
		hyp_as_code_written(NULL, as, gpa, len);
}

void hyp_as_mark_written(struct hyp_as *as, gpa_t gpa, size_t len)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was written is there before the flags are looked at */
	while (len) {
		size_t chunk = MIN(len, PAGE_SIZE - (gpa & ~PAGE_MASK));

		mark_page_written(as, gpa, chunk);
		gpa += chunk;
		len -= chunk;
	}
}

/* Copies page by page; the whole range is checked before a write begins. A slot may go meanwhile. */
static int as_copy(struct hyp_as *as, gpa_t gpa, void *buf, size_t len, bool write)
{
	struct hyp_guard g;

	for (gpa_t p = gpa & PAGE_MASK; p < gpa + len; p += PAGE_SIZE)
		if (!hyp_as_hva(as, p, write))
			return -EFAULT;
	if (HYP_GUARD(&g, as))
		return -EFAULT;
	for (size_t done = 0; done < len;) {
		size_t chunk = MIN(len - done, PAGE_SIZE - ((gpa + done) & ~PAGE_MASK));
		u8 *hva = hyp_as_hva(as, gpa + done, write);

		if (!hva) {
			hyp_guard_end(&g);
			return -EFAULT;
		}
		memcpy(write ? hva : (u8 *)buf + done, write ? (u8 *)buf + done : hva, chunk);
		done += chunk;
	}
	hyp_guard_end(&g);
	if (write)
		hyp_as_mark_written(as, gpa, len);
	return 0;
}

int hyp_as_read(struct hyp_as *as, gpa_t gpa, void *buf, size_t len)
{
	return as_copy(as, gpa, buf, len, false);
}

int hyp_as_write(struct hyp_as *as, gpa_t gpa, const void *buf, size_t len)
{
	return as_copy(as, gpa, (void *)buf, len, true);
}

/* The piece up to the end of a page. False: nothing is there. */
static bool cpu_copy_piece(struct hyp_cpu *cpu, gpa_t gpa, void *buf, size_t len, bool write)
{
	u8 *hva = hyp_phys_ptr(cpu, gpa, write), *pf = hyp_as_pf(cpu->as, gpa);

	if (!hva)
		return false;
	memcpy(write ? hva : buf, write ? buf : hva, len);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (write && pf && *pf & HYP_PF_CODE)
		hyp_as_code_written(cpu, cpu->as, gpa, (unsigned)len);
	return true;
}

static int cpu_copy(struct hyp_cpu *cpu, gpa_t gpa, void *buf, size_t len, bool write)
{
	struct hyp_guard g;
	size_t done = 0;

	if (HYP_GUARD(&g, cpu->as))
		return -EFAULT;
	while (done < len) {
		size_t piece = MIN(len - done, PAGE_SIZE - ((gpa + done) & ~PAGE_MASK));

		if (!cpu_copy_piece(cpu, gpa + done, (u8 *)buf + done, piece, write))
			break;
		done += piece;
	}
	hyp_guard_end(&g);
	return done < len ? -EFAULT : 0;
}

int hyp_cpu_read(struct hyp_cpu *cpu, gpa_t gpa, void *buf, size_t len)
{
	return cpu_copy(cpu, gpa, buf, len, false);
}

int hyp_cpu_write(struct hyp_cpu *cpu, gpa_t gpa, const void *buf, size_t len)
{
	return cpu_copy(cpu, gpa, (void *)buf, len, true);
}
