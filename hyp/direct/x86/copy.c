/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of code pages in which instructions that tell of the host are replaced by UD2 (scan.h), so that the
 * rest of the page may run directly: a program that starts asks CPUID next to code that matters, and the C
 * library's mutexes look at the TSC when they wait. The page itself is marked as code, so a store to it ends
 * the copy. What differs: a program that reads its own code there sees UD2.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/direct/x86/copy.h"

#define UD2 "\x0f\x0b"

static bool create(struct hyp_copies *c)
{
	c->fd = memfd_create("kuse-code-copies", MFD_CLOEXEC);
	if (c->fd < 0 || ftruncate(c->fd, HYP_COPIES * PAGE_SIZE)) {
		hyp_copies_destroy(c);
		return false;
	}
	c->pages = mmap(NULL, HYP_COPIES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->pages != MAP_FAILED)
		return true;
	c->pages = NULL;
	hyp_copies_destroy(c);
	return false;
}

void hyp_copies_destroy(struct hyp_copies *c)
{
	if (c->pages)
		munmap(c->pages, HYP_COPIES * PAGE_SIZE);
	if (c->fd > 0)
		close(c->fd);
	*c = (struct hyp_copies){ .fd = -1 };
}

u32 hyp_copy_make(struct hyp_copies *c, const u8 *page, const struct hyp_scan_patch *patch)
{
	u32 nr = 1;
	u8 *copy;

	while (nr <= HYP_COPIES && c->used[nr - 1])
		nr++;
	if (nr > HYP_COPIES || (!c->pages && !create(c)))
		return 0;
	c->used[nr - 1] = true;
	copy = c->pages + (nr - 1) * PAGE_SIZE;
	memcpy(copy, page, PAGE_SIZE);
	for (unsigned i = 0; i < patch->n; i++)
		memcpy(copy + patch->at[i], UD2, 2);
	return nr;
}

void hyp_copy_drop(struct hyp_copies *c, u32 nr)
{
	if (nr)
		c->used[nr - 1] = false;
}
