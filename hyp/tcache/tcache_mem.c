/* SPDX-License-Identifier: Apache-2.0 */
/* Executable memory and tables of one CPU's block cache (see tcache.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/tcache/tcache.h"
#include "hyp/tcache/tcache_priv.h"

static int map_code(struct hyp_engine *e)
{
	int ret = hyp_code_map(&e->area);

	e->rw = e->area.rw;
	e->rx = e->area.rx;
	e->size = e->area.size;
	return ret;
}

/* leave:   jmp [rip] -> hyp_leave        jc_miss:   call leave; site */
static void write_fixed_stubs(struct hyp_engine *e)
{
	struct hyp_site site = { .block = 0, .kind = SITE_JC_MISS };
	u64 leave = (u64)hyp_leave;
	u8 *p = e->rw;
	s32 back = -(16 + 5); /* to stub_leave, from behind the call */

	e->stub_leave = 0;
	memcpy(p, "\xff\x25\x00\x00\x00\x00", 6);
	memcpy(p + 6, &leave, 8);
	e->stub_jc_miss = 16;
	p[16] = 0xe8;
	memcpy(p + 17, &back, sizeof(back));
	memcpy(p + 21, &site, sizeof(site));
	e->base = 64;
	xlate_stubs(e);
}

static int alloc_tables(struct hyp_engine *e)
{
	e->max_blocks = e->size / 64;
	e->max_maps = e->size / 8;
	e->blocks = hyp_pages_alloc_huge(e->max_blocks * sizeof(*e->blocks));
	e->maps = hyp_pages_alloc(e->max_maps * sizeof(*e->maps));
	e->hash = hyp_pages_alloc_huge((1u << TCACHE_HASH_BITS) * sizeof(*e->hash));
	e->pages = hyp_pages_alloc((1u << TCACHE_PAGE_BITS) * sizeof(*e->pages));
	return e->blocks && e->maps && e->hash && e->pages ? 0 : -ENOMEM;
}

int tcache_create(struct hyp_cpu *cpu)
{
	struct hyp_engine *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	cpu->engine = e;
	ret = map_code(e);
	if (!ret)
		ret = alloc_tables(e);
	if (!ret)
		ret = xlate_create(e);
	if (ret) {
		tcache_destroy(cpu);
		return ret;
	}
	write_fixed_stubs(e);
	cpu->jc_miss = (u64)e->rx + e->stub_jc_miss;
	hyp_engine_flush(cpu);
	return 0;
}

void tcache_destroy(struct hyp_cpu *cpu)
{
	struct hyp_engine *e = cpu->engine;

	if (!e)
		return;
	xlate_destroy(e);
	hyp_pages_free_huge(e->blocks, e->max_blocks * sizeof(*e->blocks));
	hyp_pages_free(e->maps, e->max_maps * sizeof(*e->maps));
	hyp_pages_free_huge(e->hash, (1u << TCACHE_HASH_BITS) * sizeof(*e->hash));
	hyp_pages_free(e->pages, (1u << TCACHE_PAGE_BITS) * sizeof(*e->pages));
	hyp_code_unmap(&e->area);
	free(e);
	cpu->engine = NULL;
}
