/* SPDX-License-Identifier: Apache-2.0 */
/* Guest-physical address spaces: creation, update, KVM's own accesses. See as.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/mem/as.h"

#define PF_CHUNK_BYTES ((1ul << HYP_PF_CHUNK_SHIFT) >> PAGE_SHIFT)

static void *map_zeroed(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct hyp_as *hyp_as_create(const struct hyp_as_ops *ops, void *opaque)
{
	struct hyp_as *as = calloc(1, sizeof(*as));
	struct hyp_map *map = calloc(1, sizeof(*map));

	if (as)
		as->pf = map_zeroed(HYP_PF_CHUNKS * sizeof(u8 *));
	if (!as || !map || !as->pf) {
		free(map);
		free(as);
		return NULL;
	}
	if (ops)
		as->ops = *ops;
	as->opaque = opaque;
	as->map = map;
	return as;
}

void hyp_as_destroy(struct hyp_as *as)
{
	if (!as)
		return;
	for (u32 i = 0; i < HYP_PF_CHUNKS; i++)
		if (as->pf[i])
			munmap(as->pf[i], PF_CHUNK_BYTES);
	munmap(as->pf, HYP_PF_CHUNKS * sizeof(u8 *));
	free((void *)as->map);
	free(as);
}

static bool regions_valid(const struct hyp_region *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		u64 end = r[i].gpa + r[i].size;

		if ((r[i].gpa | r[i].size) & ~PAGE_MASK || !r[i].size || end < r[i].gpa || end > 1ull << 48)
			return false;
		if (i && r[i].gpa < r[i - 1].gpa + r[i - 1].size)
			return false;
	}
	return true;
}

/* Page-flag chunks for all of [gpa, gpa+size). */
static int reserve_flags(struct hyp_as *as, gpa_t gpa, u64 size)
{
	for (u64 c = gpa >> HYP_PF_CHUNK_SHIFT; c <= (gpa + size - 1) >> HYP_PF_CHUNK_SHIFT; c++) {
		if (as->pf[c])
			continue;
		u8 *chunk = map_zeroed(PF_CHUNK_BYTES);

		if (!chunk)
			return -ENOMEM;
		__atomic_store_n(&as->pf[c], chunk, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Does some page of the old map now lead somewhere else? Then translations of it are void. */
static bool mapping_changed(const struct hyp_map *old, const struct hyp_map *new)
{
	for (u32 i = 0; i < old->n; i++) {
		const struct hyp_region *o = &old->r[i];
		u32 guess = 0;
		const struct hyp_region *w = hyp_map_find(new, o->gpa, &guess);

		if (!w || w->hva - w->gpa != o->hva - o->gpa || w->gpa + w->size < o->gpa + o->size)
			return true;
	}
	return false;
}

static void drop_all_translations(struct hyp_as *as)
{
	for (struct hyp_cpu *c = as->cpus; c; c = c->as_next) {
		__atomic_store_n(&c->inval.overflow, true, __ATOMIC_RELEASE);
		__atomic_fetch_or(&c->attention, HYP_ATTN_INVAL, __ATOMIC_SEQ_CST);
	}
}

void hyp_as_client_ran(struct hyp_as *as)
{
	__atomic_fetch_add(&as->client_epoch, 1, __ATOMIC_ACQ_REL);
}

int hyp_as_update(struct hyp_as *as, const struct hyp_region *regions, size_t n)
{
	const struct hyp_map *old = as->map;
	struct hyp_map *map;

	if (!regions_valid(regions, n))
		return -EINVAL;
	map = malloc(sizeof(*map) + n * sizeof(map->r[0]));
	if (!map)
		return -ENOMEM;
	map->n = n;
	for (size_t i = 0; i < n; i++) {
		map->r[i] = regions[i];
		if (reserve_flags(as, regions[i].gpa, regions[i].size)) {
			free(map);
			return -ENOMEM;
		}
	}
	__atomic_store_n(&as->map, map, __ATOMIC_SEQ_CST);
	if (mapping_changed(old, map))
		drop_all_translations(as);
	hyp_as_sync(as, NULL);
	free((void *)old);
	return 0;
}

void hyp_as_rearm_dirty(struct hyp_as *as, gpa_t gpa, u64 size)
{
	for (gpa_t p = gpa & PAGE_MASK; p < gpa + size; p += PAGE_SIZE) {
		u8 *pf = hyp_as_pf(as, p);

		if (pf)
			__atomic_fetch_and(pf, (u8)~HYP_PF_DIRTY, __ATOMIC_SEQ_CST);
	}
	hyp_as_sync(as, NULL);
}

u8 *hyp_as_hva(struct hyp_as *as, gpa_t gpa, bool write)
{
	u32 guess = 0;
	const struct hyp_region *r = hyp_map_find(as->map, gpa, &guess);

	if (!r || (write && r->flags & HYP_REGION_READONLY))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

static void mark_page_written(struct hyp_as *as, gpa_t gpa, size_t len)
{
	u32 guess = 0;
	const struct hyp_region *r = hyp_map_find(as->map, gpa, &guess);
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
	while (len) {
		size_t chunk = MIN(len, PAGE_SIZE - (gpa & ~PAGE_MASK));

		mark_page_written(as, gpa, chunk);
		gpa += chunk;
		len -= chunk;
	}
}

/* Copies page by page; the whole range is checked before the first byte of a write. */
static int as_copy(struct hyp_as *as, gpa_t gpa, void *buf, size_t len, bool write)
{
	for (gpa_t p = gpa & PAGE_MASK; p < gpa + len; p += PAGE_SIZE)
		if (!hyp_as_hva(as, p, write))
			return -EFAULT;
	for (size_t done = 0; done < len;) {
		size_t chunk = MIN(len - done, PAGE_SIZE - ((gpa + done) & ~PAGE_MASK));
		u8 *hva = hyp_as_hva(as, gpa + done, write);

		memcpy(write ? hva : (u8 *)buf + done, write ? (u8 *)buf + done : hva, chunk);
		done += chunk;
	}
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
