/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads. `ctxsw` wants one CPU, the others two: thread n stays on the n-th CPU. smp-par1 is smp-par
 * under another name, for a guest with one CPU: what the second CPU gains.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "work.h"

#define THREADS 2

struct side {
	unsigned n; /* 0, 1 */
	unsigned rounds;
	uint64_t sum;
};

void work_pin(unsigned n)
{
	cpu_set_t may, one;
	unsigned count;

	if (sched_getaffinity(0, sizeof(may), &may))
		work_fail("sched_getaffinity");
	count = (unsigned)CPU_COUNT(&may);
	n %= count ? count : 1;
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && n-- == 0)
			CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		work_fail("sched_setaffinity");
}

/* Both sides' sums, in their order. */
static uint64_t two_threads(void *(*run)(void *), unsigned rounds)
{
	struct side side[THREADS];
	pthread_t thread[THREADS];
	uint64_t sum = WORK_SUM;

	for (unsigned n = 0; n < THREADS; n++) {
		side[n] = (struct side){ n, rounds, WORK_SUM };
		if (pthread_create(&thread[n], NULL, run, &side[n]))
			work_fail("pthread_create");
	}
	for (unsigned n = 0; n < THREADS; n++) {
		pthread_join(thread[n], NULL);
		sum = work_mix(sum, side[n].sum);
	}
	return sum;
}

/* ---- turns: a word says whose turn it is ------------------------------------------------------------ */

static _Atomic uint32_t turn __attribute__((aligned(64)));

static void wait_by_futex(uint32_t mine)
{
	uint32_t now;

	while ((now = atomic_load(&turn)) % THREADS != mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

static void *futex_side(void *arg)
{
	struct side *s = arg;

	work_pin(s->n);
	for (unsigned i = 0; i < s->rounds; i++) {
		wait_by_futex(s->n);
		s->sum = work_mix(s->sum, atomic_fetch_add(&turn, 1));
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static uint64_t work_futex(unsigned rounds)
{
	atomic_store(&turn, 0);
	return two_threads(futex_side, rounds * 100);
}

static void *spin_side(void *arg)
{
	struct side *s = arg;

	work_pin(s->n);
	for (unsigned i = 0; i < s->rounds; i++) {
		while (atomic_load_explicit(&turn, memory_order_acquire) % THREADS != s->n)
			work_relax();
		s->sum = work_mix(s->sum, atomic_fetch_add(&turn, 1));
	}
	return NULL;
}

static uint64_t work_spin(unsigned rounds)
{
	atomic_store(&turn, 0);
	return two_threads(spin_side, rounds * 100);
}

/* ---- work without and with sharing ------------------------------------------------------------------- */

static void *par_side(void *arg)
{
	struct side *s = arg;
	uint64_t seed = WORK_SEED + s->n;

	work_pin(s->n);
	for (uint64_t i = 0; i < (uint64_t)s->rounds * 1000; i++) {
		uint64_t v = work_random(&seed);

		s->sum = work_mix(s->sum, v & 64 ? v / ((v >> 7 & 1023) + 1) : v * 5);
	}
	return NULL;
}

static uint64_t work_par(unsigned rounds)
{
	return two_threads(par_side, rounds);
}

static _Atomic uint64_t counter __attribute__((aligned(64)));

static void *atomic_side(void *arg)
{
	struct side *s = arg;

	work_pin(s->n);
	for (uint64_t i = 0; i < (uint64_t)s->rounds * 1000; i++)
		atomic_fetch_add(&counter, 1);
	return NULL;
}

static uint64_t work_atomic(unsigned rounds)
{
	atomic_store(&counter, 0);
	two_threads(atomic_side, rounds);
	return atomic_load(&counter);
}

const struct workload smp_workloads[] = {
	{ "ctxsw", "two threads of one CPU, futex", work_futex, 300 },
	{ "smp-par", "independent work", work_par, 20000 },
	{ "smp-atomic", "a shared counter", work_atomic, 5000 },
	{ "smp-pingpong", "turns, futex", work_futex, 50 },
	{ "smp-spin", "turns, spinning", work_spin, 5000 },
	{ "smp-par1", "smp-par, on one CPU", work_par, 20000 },
	{ NULL },
};
