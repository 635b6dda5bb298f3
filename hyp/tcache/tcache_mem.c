/* SPDX-License-Identifier: Apache-2.0 */
/* Executable memory and tables of one CPU's block cache (see tcache.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/tcache/tcache.h"
#include "hyp/tcache/tcache_priv.h"

#define CODE_MB_DEFAULT 64u
#define CODE_MB_MIN 1u
#define CODE_MB_MAX 1024u

static void *reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static u32 code_size(void)
{
	const char *mb = getenv("KUSE_TCACHE_MB");
	unsigned long n = mb ? strtoul(mb, NULL, 10) : CODE_MB_DEFAULT;

	return (u32)(MAX(CODE_MB_MIN, MIN(n, CODE_MB_MAX)) << 20);
}

/* The same without a file: perf(1) looks into its map for code in anonymous memory only. */
static int map_anonymous_code(struct hyp_engine *e)
{
	e->rw = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		     0);
	if (e->rw == MAP_FAILED)
		return -errno;
	e->rx = mremap(e->rw, 0, e->size, MREMAP_MAYMOVE); /* of length 0: a second view */
	return e->rx == MAP_FAILED || mprotect(e->rx, e->size, PROT_READ | PROT_EXEC) ? -errno : 0;
}

/* One memfd, two views: never a page that is writable and executable at one address. */
static int map_code(struct hyp_engine *e)
{
	const char *perf = getenv("KUSE_PERF_MAP");

	if (perf && !strcmp(perf, "1"))
		return map_anonymous_code(e);
	e->fd = memfd_create("kuse-tcache", MFD_CLOEXEC);
	if (e->fd < 0)
		return -errno;
	if (ftruncate(e->fd, e->size))
		return -errno;
	e->rw = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, e->fd, 0);
	e->rx = mmap(NULL, e->size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, e->fd, 0);
	return e->rw == MAP_FAILED || e->rx == MAP_FAILED ? -errno : 0;
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
	e->blocks = reserve(e->max_blocks * sizeof(*e->blocks));
	e->maps = reserve(e->max_maps * sizeof(*e->maps));
	e->hash = reserve((1u << TCACHE_HASH_BITS) * sizeof(*e->hash));
	e->pages = reserve((1u << TCACHE_PAGE_BITS) * sizeof(*e->pages));
	return e->blocks && e->maps && e->hash && e->pages ? 0 : -ENOMEM;
}

int tcache_create(struct hyp_cpu *cpu)
{
	struct hyp_engine *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	cpu->engine = e;
	e->fd = -1;
	e->size = code_size();
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

static void unmap(void *p, size_t len)
{
	if (p && p != MAP_FAILED)
		munmap(p, len);
}

void tcache_destroy(struct hyp_cpu *cpu)
{
	struct hyp_engine *e = cpu->engine;

	if (!e)
		return;
	xlate_destroy(e);
	unmap(e->blocks, e->max_blocks * sizeof(*e->blocks));
	unmap(e->maps, e->max_maps * sizeof(*e->maps));
	unmap(e->hash, (1u << TCACHE_HASH_BITS) * sizeof(*e->hash));
	unmap(e->pages, (1u << TCACHE_PAGE_BITS) * sizeof(*e->pages));
	unmap(e->rw, e->size);
	unmap(e->rx, e->size);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
	cpu->engine = NULL;
}
