/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file is mapped at a host address, so that guest RAM can be mapped a second time, in the address
 * space of another process. Plain C, not guest-live.
 */
#ifndef KUSE_HYP_DIRECT_BACKING_H
#define KUSE_HYP_DIRECT_BACKING_H

#include "lib/types.h"

struct hyp_backing {
	int fd;                /* a duplicate of our own; see hyp_backing_forget for how long it is good */
	const u8 *start, *end; /* the mapping that hva lies in */
	u64 offset;            /* in the file, of start; bytes */
	bool exec;             /* the file may be mapped executable (no noexec mount, no policy against it) */
};

/*
 * The mapping at hva, if it is one that mmap(PROT_READ | PROT_WRITE, MAP_SHARED, b->fd) makes again, page by
 * page: shared, readable and writable, of a regular file (a memfd, a file in tmpfs or elsewhere; not of huge
 * pages), which this process has a descriptor of that is open for both. False otherwise, and for everything
 * while the process has a userfaultfd: who answers faults of this mapping would not see those of the other.
 *
 * Answers are remembered, refusals too: what the client maps, unmaps or opens later counts after
 * hyp_backing_forget only. Costs half a microsecond where it is remembered, up to a millisecond else.
 */
bool hyp_backing_find(const void *hva, struct hyp_backing *b);

/*
 * Memory slots have changed, or may have: nothing is remembered any more. Descriptors of files that the
 * process still has mapped stay open under their numbers, since another CPU may be about to use one; those of
 * others are closed, and their numbers come into use again late.
 */
void hyp_backing_forget(void);

/* Counts what was forgotten: a mapping made before it changed may be of what is no longer there. */
u32 hyp_backing_generation(void);

/* The last CPU of the process is gone that used any of it: all descriptors are closed. */
void hyp_backing_close(void);

#endif
