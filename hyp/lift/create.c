/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the engine for lifted code (block.h): tables, code area, arena. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/emit/x86/emit.h"
#include "hyp/lift/block.h"
#include "hyp/mem/as.h"

#define CODE_MB_DEFAULT 64u
#define CODE_MB_MIN 1u
#define CODE_MB_MAX 1024u
#define ARENA_PER_CODE 4u /* IR is that much larger than host code */

static void *reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t len)
{
	if (p && p != MAP_FAILED)
		munmap(p, len);
}

static u32 code_size(void)
{
	const char *mb = getenv("KUSE_TCACHE_MB");
	unsigned long n = mb ? strtoul(mb, NULL, 10) : CODE_MB_DEFAULT;

	return (u32)(MAX(CODE_MB_MIN, MIN(n, CODE_MB_MAX)) << 20);
}

/* The same without a file: perf(1) looks into its map for code in anonymous memory only. */
static int map_anonymous_code(struct lift_engine *e)
{
	e->rw = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		     0);
	if (e->rw == MAP_FAILED)
		return -errno;
	e->rx = mremap(e->rw, 0, e->size, MREMAP_MAYMOVE); /* of length 0: a second view */
	return e->rx == MAP_FAILED || mprotect(e->rx, e->size, PROT_READ | PROT_EXEC) ? -errno : 0;
}

/* One memfd, two views: never a page that is writable and executable at one address. */
static int map_code(struct lift_engine *e)
{
	const char *perf = getenv("KUSE_PERF_MAP");

	if (perf && !strcmp(perf, "1"))
		return map_anonymous_code(e);
	e->fd = memfd_create("kuse-tcache", MFD_CLOEXEC);
	if (e->fd < 0 || ftruncate(e->fd, e->size))
		return -errno;
	e->rw = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, e->fd, 0);
	e->rx = mmap(NULL, e->size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, e->fd, 0);
	return e->rw == MAP_FAILED || e->rx == MAP_FAILED ? -errno : 0;
}

static int alloc_tables(struct lift_engine *e)
{
	e->max_blocks = e->size / 64;
	e->max_maps = e->size / 8;
	e->arena_size = (size_t)e->size * ARENA_PER_CODE;
	e->blocks = reserve(e->max_blocks * sizeof(*e->blocks));
	e->maps = reserve(e->max_maps * sizeof(*e->maps));
	e->hash = reserve(sizeof(*e->hash) << LIFT_HASH_BITS);
	e->pages = reserve(sizeof(*e->pages) << LIFT_PAGE_BITS);
	e->arena = reserve(e->arena_size);
	e->work = reserve(sizeof(*e->work));
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
	e->fd = -1;
	e->size = code_size();
	e->interp_only = interp_wanted();
	ret = alloc_tables(e);
	if (!ret)
		ret = map_code(e);
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
	release(e->blocks, e->max_blocks * sizeof(*e->blocks));
	release(e->maps, e->max_maps * sizeof(*e->maps));
	release(e->hash, sizeof(*e->hash) << LIFT_HASH_BITS);
	release(e->pages, sizeof(*e->pages) << LIFT_PAGE_BITS);
	release(e->arena, e->arena_size);
	release(e->work, sizeof(*e->work));
	emit_destroy(e->emit);
	release(e->rw, e->size);
	release(e->rx, e->size);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
	cpu->engine = NULL;
}
