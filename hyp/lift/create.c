/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the engine for lifted code (block.h): tables, code area, arena. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/emit/x86/emit.h"
#include "hyp/lift/block.h"
#include "hyp/mem/as.h"

#define ARENA_PER_CODE 4u /* IR is that much larger than host code */

static int map_code(struct lift_engine *e)
{
	int ret = hyp_code_map(&e->area);

	e->rw = e->area.rw;
	e->rx = e->area.rx;
	e->size = e->area.size;
	return ret;
}

static int alloc_tables(struct lift_engine *e)
{
	e->max_blocks = e->size / 64;
	e->max_maps = e->size / 8;
	e->arena_size = (size_t)e->size * ARENA_PER_CODE;
	e->blocks = hyp_pages_alloc_huge(e->max_blocks * sizeof(*e->blocks));
	e->maps = hyp_pages_alloc(e->max_maps * sizeof(*e->maps));
	e->hash = hyp_pages_alloc_huge(sizeof(*e->hash) << LIFT_HASH_BITS);
	e->pages = hyp_pages_alloc(sizeof(*e->pages) << LIFT_PAGE_BITS);
	e->arena = hyp_pages_alloc(e->arena_size);
	e->work = hyp_pages_alloc(sizeof(*e->work));
	e->emit = emit_create();
	return e->emit && e->blocks && e->maps && e->hash && e->pages && e->arena && e->work ? 0 : -ENOMEM;
}

static bool interp_wanted(void)
{
	const char *engine = getenv("KUSE_HYP_ENGINE");

	return engine && !strcmp(engine, "interp");
}

int lift_engine_create(struct hyp_cpu *cpu)
{
	struct lift_engine *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	cpu->engine = e;
	e->interp_only = interp_wanted();
	ret = map_code(e);
	if (!ret)
		ret = alloc_tables(e);
	if (ret) {
		lift_engine_destroy(cpu);
		return ret;
	}
	emit_stubs(e);
	for (unsigned el = 0; el < 2; el++) {
		e->jc_key[el] = ~0u;
		e->fills[el].n = LIFT_FILLS + 1; /* not listed: all of it */
	}
	hyp_engine_flush(cpu);
	return 0;
}

void lift_engine_destroy(struct hyp_cpu *cpu)
{
	struct lift_engine *e = cpu->engine;

	if (!e)
		return;
	hyp_pages_free_huge(e->blocks, e->max_blocks * sizeof(*e->blocks));
	hyp_pages_free(e->maps, e->max_maps * sizeof(*e->maps));
	hyp_pages_free_huge(e->hash, sizeof(*e->hash) << LIFT_HASH_BITS);
	hyp_pages_free(e->pages, sizeof(*e->pages) << LIFT_PAGE_BITS);
	hyp_pages_free(e->arena, e->arena_size);
	hyp_pages_free(e->work, sizeof(*e->work));
	emit_destroy(e->emit);
	hyp_code_unmap(&e->area);
	free(e);
	cpu->engine = NULL;
}
