/* SPDX-License-Identifier: Apache-2.0 */
#include "virt/srcu.h"

#include <string.h>
#include "virt/futex.h"

void init_srcu_struct(struct srcu_struct *ssp)
{
	memset(ssp, 0, sizeof(*ssp));
	pthread_mutex_init(&ssp->mutex, NULL);
}

void cleanup_srcu_struct(struct srcu_struct *ssp)
{
	pthread_mutex_destroy(&ssp->mutex);
}

static void wait_for_readers(s64 *count)
{
	unsigned spins = 0;

	while (__atomic_load_n(count, __ATOMIC_SEQ_CST) != 0) {
		if (++spins < 200)
			__builtin_ia32_pause();
		else
			futex_nap(20000);
	}
}

/* Two flips: a reader that sampled idx before the first flip may count itself in late, on the side
 * that has just been found empty; the second round waits for it. */
void synchronize_srcu(struct srcu_struct *ssp)
{
	pthread_mutex_lock(&ssp->mutex);
	for (int round = 0; round < 2; round++) {
		u32 old = __atomic_fetch_add(&ssp->idx, 1, __ATOMIC_SEQ_CST) & 1;

		wait_for_readers(&ssp->readers[old]);
	}
	pthread_mutex_unlock(&ssp->mutex);
}
