/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleepable read-copy-update, small: readers of an immutable snapshot count themselves in and out of
 * one of two generations; a writer publishes a new snapshot, flips the generation and waits until
 * the readers of the old one are gone. Readers nest, never wait, take no lock.
 */
#ifndef KUSE_VIRT_SRCU_H
#define KUSE_VIRT_SRCU_H

#include <pthread.h>
#include "lib/types.h"

struct srcu_struct {
	u32 idx;
	u32 pad;
	s64 readers[2];
	pthread_mutex_t mutex; /* serializes synchronize_srcu */
};

void init_srcu_struct(struct srcu_struct *ssp);
void cleanup_srcu_struct(struct srcu_struct *ssp);

/* Returns the token to hand to srcu_read_unlock. */
static inline int srcu_read_lock(struct srcu_struct *ssp)
{
	int idx = __atomic_load_n(&ssp->idx, __ATOMIC_RELAXED) & 1;

	__atomic_fetch_add(&ssp->readers[idx], 1, __ATOMIC_SEQ_CST);
	return idx;
}

static inline void srcu_read_unlock(struct srcu_struct *ssp, int idx)
{
	__atomic_fetch_sub(&ssp->readers[idx], 1, __ATOMIC_RELEASE);
}

/* Waits until every reader that might hold an old snapshot has left. Never call it as a reader. */
void synchronize_srcu(struct srcu_struct *ssp);

#define srcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), v, __ATOMIC_RELEASE)

#endif
