/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory of the engines (see pages.h). */
#include "hyp/mem/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE_MB_DEFAULT 64u
#define CODE_MB_MIN 1u
#define CODE_MB_MAX 1024u
#define HUGE_BYTES (2ul << 20)

void *hyp_pages_alloc(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void hyp_pages_free(void *p, size_t len)
{
	if (p)
		munmap(p, len);
}

void *hyp_pages_alloc_huge(size_t len)
{
	size_t whole = ALIGN_UP(len, HUGE_BYTES), head;
	u8 *p = hyp_pages_alloc(whole + HUGE_BYTES);

	if (!p)
		return NULL;
	head = -(uintptr_t)p & (HUGE_BYTES - 1);
	if (head)
		munmap(p, head);
	if (head < HUGE_BYTES)
		munmap(p + head + whole, HUGE_BYTES - head);
	madvise(p + head, whole, MADV_HUGEPAGE);
	return p + head;
}

void hyp_pages_free_huge(void *p, size_t len)
{
	hyp_pages_free(p, ALIGN_UP(len, HUGE_BYTES));
}

/* ---- code ----------------------------------------------------------------------------------------- */

static u32 code_size(void)
{
	const char *mb = getenv("KUSE_TCACHE_MB");
	unsigned long n = mb ? strtoul(mb, NULL, 10) : CODE_MB_DEFAULT;

	return (u32)(MAX(CODE_MB_MIN, MIN(n, CODE_MB_MAX)) << 20);
}

static u8 *map_view(const struct hyp_code_area *a, int prot)
{
	void *p = mmap(NULL, a->size, prot, MAP_SHARED | MAP_NORESERVE | (a->fd < 0 ? MAP_ANONYMOUS : 0),
		       a->fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Without a file: perf(1) looks into its map for code in anonymous memory only. */
static int map_anonymous(struct hyp_code_area *a)
{
	void *p;

	a->rw = map_view(a, PROT_READ | PROT_WRITE);
	if (!a->rw)
		return -errno;
	p = mremap(a->rw, 0, a->size, MREMAP_MAYMOVE); /* of length 0: a second view */
	if (p == MAP_FAILED)
		return -errno;
	a->rx = p;
	return mprotect(a->rx, a->size, PROT_READ | PROT_EXEC) ? -errno : 0;
}

int hyp_code_map(struct hyp_code_area *a)
{
	const char *perf = getenv("KUSE_PERF_MAP");

	*a = (struct hyp_code_area){ .size = code_size(), .fd = -1 };
	if (perf && !strcmp(perf, "1"))
		return map_anonymous(a);
	a->fd = memfd_create("kuse-tcache", MFD_CLOEXEC);
	if (a->fd < 0 || ftruncate(a->fd, a->size))
		return -errno;
	a->rw = map_view(a, PROT_READ | PROT_WRITE);
	a->rx = map_view(a, PROT_READ | PROT_EXEC);
	return a->rw && a->rx ? 0 : -errno;
}

void hyp_code_unmap(struct hyp_code_area *a)
{
	hyp_pages_free(a->rw, a->size);
	hyp_pages_free(a->rx, a->size);
	if (a->fd >= 0)
		close(a->fd);
}
