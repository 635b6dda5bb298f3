/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory that the engines of every guest architecture are made of: tables, and code. */
#ifndef KUSE_HYP_MEM_PAGES_H
#define KUSE_HYP_MEM_PAGES_H

#include "hyp/hyp.h"

/* Zeroed memory, taken from the host page by page as it is touched; NULL: none. */
void *hyp_pages_alloc(size_t len);
/* The same for what is touched everywhere and all the time: aligned to 2 MiB, and in huge pages where the
 * host has any. Freed with the same len. */
void *hyp_pages_alloc_huge(size_t len);
void hyp_pages_free(void *p, size_t len);
void hyp_pages_free_huge(void *p, size_t len);

/* Code area: one memory seen twice, so that no page is writable and executable at one address. */
struct hyp_code_area {
	u8 *rw, *rx;
	u32 size; /* bytes: KUSE_TCACHE_MB, or 64 MiB */
	int fd;
};
/* 0 or -errno; *area can be unmapped in either case. */
int hyp_code_map(struct hyp_code_area *area);
void hyp_code_unmap(struct hyp_code_area *area);

#endif
