/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps of guest-physical memory as values: a change makes a new map that shares all chunks but one with the
 * old one (as.h). Writers are serialized by the caller; readers only ever see finished maps.
 */
#include <stdlib.h>
#include <string.h>

#include "hyp/mem/as.h"

#define CHUNK_MAX (1u << HYP_MAP_CHUNK_BITS)

static struct hyp_map *map_alloc(u32 n)
{
	struct hyp_map *map = malloc(sizeof(*map) + n * sizeof(map->chunk[0]));

	if (map)
		map->n = 0;
	return map;
}

static struct hyp_map_chunk *chunk_alloc(u32 n)
{
	struct hyp_map_chunk *c = malloc(sizeof(*c) + n * sizeof(c->r[0]));

	if (c) {
		c->refs = 0;
		c->n = 0;
	}
	return c;
}

struct hyp_map *hyp_map_empty(void)
{
	return map_alloc(0);
}

void hyp_map_free(struct hyp_map *map)
{
	if (!map)
		return;
	for (u32 i = 0; i < map->n; i++)
		if (!--map->chunk[i]->refs)
			free(map->chunk[i]);
	free(map);
}

static void add_chunk(struct hyp_map *map, struct hyp_map_chunk *c)
{
	c->refs++;
	map->chunk[map->n++] = c;
}

static void add_regions(struct hyp_map_chunk *c, const struct hyp_region *r, u32 n)
{
	memcpy(&c->r[c->n], r, n * sizeof(*r));
	c->n += n;
}

/* A copy of map in which chunk `at` is replaced by the n chunks of `by`. Consumes them. */
static struct hyp_map *replace_chunk(const struct hyp_map *map, u32 at, struct hyp_map_chunk **by, u32 n)
{
	struct hyp_map *new = map_alloc(map->n + n);

	if (!new) {
		for (u32 i = 0; i < n; i++)
			free(by[i]);
		return NULL;
	}
	for (u32 i = 0; i < at; i++)
		add_chunk(new, map->chunk[i]);
	for (u32 i = 0; i < n; i++)
		add_chunk(new, by[i]);
	for (u32 i = at + 1; i < map->n; i++)
		add_chunk(new, map->chunk[i]);
	return new;
}

/* Copies old's regions and r in between to one or two new chunks. Returns how many, 0 on no memory. */
static u32 grow_chunk(const struct hyp_map_chunk *old, const struct hyp_region *r, struct hyp_map_chunk **out)
{
	u32 n = old ? old->n : 0, at = old ? hyp_map_index_of(old, r->gpa) : 0, half = n + 1;
	struct hyp_map_chunk *c = chunk_alloc(n + 1);

	if (!c)
		return 0;
	if (n)
		add_regions(c, old->r, at);
	add_regions(c, r, 1);
	if (n)
		add_regions(c, old->r + at, n - at);
	out[0] = c;
	if (c->n < CHUNK_MAX)
		return 1;
	half = at == n ? n : c->n / 2; /* filled in ascending order: leave full chunks behind */
	out[1] = chunk_alloc(c->n - half);
	if (!out[1]) {
		free(c);
		return 0;
	}
	add_regions(out[1], c->r + half, c->n - half);
	c->n = half;
	return 2;
}

struct hyp_map *hyp_map_with(const struct hyp_map *map, const struct hyp_region *r)
{
	u32 at = hyp_map_chunk_of(map, r->gpa), n;
	struct hyp_map_chunk *by[2];

	n = grow_chunk(map->n ? map->chunk[at] : NULL, r, by);
	return n ? replace_chunk(map, at, by, n) : NULL;
}

struct hyp_map *hyp_map_without(const struct hyp_map *map, gpa_t gpa)
{
	u32 at = hyp_map_chunk_of(map, gpa), i;
	struct hyp_map_chunk *old = map->chunk[at], *c;

	if (old->n == 1)
		return replace_chunk(map, at, NULL, 0);
	c = chunk_alloc(old->n - 1);
	if (!c)
		return NULL;
	i = hyp_map_index_of(old, gpa);
	add_regions(c, old->r, i);
	add_regions(c, old->r + i + 1, old->n - i - 1);
	return replace_chunk(map, at, &c, 1);
}
