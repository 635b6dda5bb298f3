/* SPDX-License-Identifier: Apache-2.0 */
/*
 * munmap of the program under test: what it gives back stays a hole for ever. A program that defines munmap
 * has the libraries it is linked with call it, libkuse among them (libc itself and sanitizers do not).
 *
 * The host gives an address away again at once, so that a stale pointer, or a range that is unmapped twice,
 * hits what somebody else has there by now: a crash elsewhere and later, if any. Sanitizers do not see it:
 * they know malloc's memory, not mmap's. Here a stale pointer faults where it is used, and who unmaps what
 * was unmapped before is told so.
 *
 * Holes cost no memory, but room for addresses: from HOLES_MAX on they are unmapped as elsewhere, and
 * ThreadSanitizer, which has little room, does without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/types.h"

#define PAGE_BITS 12
#define ADDRESS_BITS 47
#define HOLES_MAX (16ul << 40)
#define BITS_BYTES (1ul << (ADDRESS_BITS - PAGE_BITS - 3))

#ifndef __SANITIZE_THREAD__
static u8 *given_back; /* a bit for each page: 4 GiB of addresses, of which little is touched */
static u64 holes;      /* bytes */

__attribute__((constructor)) static void map_bits(void)
{
	void *p = mmap(NULL, BITS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	given_back = p == MAP_FAILED ? NULL : p;
}

static void __attribute__((noreturn)) wrong(const char *what, const void *addr, size_t len)
{
	fprintf(stderr, "munmap(%p, %#zx): %s\n", addr, len, what);
	abort();
}

/* Was it not yet? */
static bool mark_page(u64 page)
{
	u8 bit = (u8)(1u << (page & 7));

	return !(__atomic_fetch_or(&given_back[page >> 3], bit, __ATOMIC_RELAXED) & bit);
}

int munmap(void *addr, size_t len)
{
	u64 first = (u64)addr >> PAGE_BITS, end = ((u64)addr + len + (1u << PAGE_BITS) - 1) >> PAGE_BITS;

	if ((u64)addr & ((1u << PAGE_BITS) - 1) || first >= end || end > 1ul << (ADDRESS_BITS - PAGE_BITS))
		wrong("not a range of pages", addr, len);
	if (!given_back ||
	    __atomic_add_fetch(&holes, (end - first) << PAGE_BITS, __ATOMIC_RELAXED) > HOLES_MAX)
		return (int)syscall(SYS_munmap, addr, len);
	for (u64 page = first; page < end; page++)
		if (!mark_page(page))
			wrong("unmapped before", addr, len);
	if (mmap(addr, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
	    addr)
		wrong("cannot be made a hole", addr, len);
	return 0;
}
#endif
