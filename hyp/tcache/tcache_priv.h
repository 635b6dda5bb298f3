/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KUSE_HYP_TCACHE_PRIV_H
#define KUSE_HYP_TCACHE_PRIV_H

#include "lib/types.h"

#define TCACHE_HASH_BITS 18
#define TCACHE_PAGE_BITS 16

/* Every block ends with the stub its overwritten entry jumps to: call leave + site. */
#define TCACHE_DEAD_STUB 13

/* A guest page with translations. */
struct tcache_page {
	u64 frame;    /* number + 1; 0: free slot */
	u64 granules; /* 64-byte pieces with translated code */
	u32 epoch;    /* as->client_epoch when its blocks were compared with the guest's code */
	u32 first;    /* block index * 2 + (0: its first page, 1: its second) */
};

#endif
