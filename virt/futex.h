/* SPDX-License-Identifier: Apache-2.0 */
/* futex(2), private to the process, with an absolute CLOCK_MONOTONIC deadline.
 * No cancellation points (sys.c). */
#ifndef KUSE_VIRT_FUTEX_H
#define KUSE_VIRT_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "lib/types.h"

#define FUTEX_NO_DEADLINE (~0ull)

/* 0 (woken or value differs), -EINTR, -ETIMEDOUT. */
static inline int futex_wait_until(u32 *word, u32 expected, u64 deadline_ns)
{
	struct timespec ts = { (time_t)(deadline_ns / 1000000000ull), (long)(deadline_ns % 1000000000ull) };
	long ret = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
			   deadline_ns == FUTEX_NO_DEADLINE ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);

	if (!ret || errno == EAGAIN)
		return 0;
	return -errno;
}

static inline void futex_nap(long ns)
{
	struct timespec ts = { 0, ns };

	syscall(SYS_nanosleep, &ts, NULL);
}

static inline void futex_wake(u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#endif
