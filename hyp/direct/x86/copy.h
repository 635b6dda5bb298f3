/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of code pages with instructions replaced (copy.c). */
#ifndef KUSE_HYP_DIRECT_X86_COPY_H
#define KUSE_HYP_DIRECT_X86_COPY_H

#include "hyp/direct/x86/scan.h"

#define HYP_COPIES 256u

struct hyp_copies {
	int fd; /* of the pages, once there is one; 0, -1: none yet */
	u8 *pages;
	bool used[HYP_COPIES];
};

/* The number of a copy of the page, at offset (number - 1) * PAGE_SIZE of the file; 0: there is none. */
u32 hyp_copy_make(struct hyp_copies *c, const u8 *page, const struct hyp_scan_patch *patch);
void hyp_copy_drop(struct hyp_copies *c, u32 nr); /* 0: nothing */
void hyp_copies_destroy(struct hyp_copies *c);

#endif
