/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: streams, and pointers that defeat the caches. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "work.h"

#define MIB (1024ul * 1024)

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		work_fail("mmap");
	return p;
}

static uint64_t work_memcpy(unsigned rounds)
{
	size_t size = 8 * MIB;
	uint8_t *a = map(size), *b = map(size);
	uint64_t sum = WORK_SUM;

	for (unsigned r = 0; r < rounds; r++) {
		a[(r * 4099ul) % size] = r;
		memcpy(b, a, size);
		sum = work_mix(sum, b[(r * 4099ul) % size]);
	}
	munmap(a, size);
	munmap(b, size);
	return sum;
}

static uint64_t work_triad(unsigned rounds)
{
	size_t n = 16 * MIB / sizeof(uint64_t);
	uint64_t *a = map(n * 8), *b = map(n * 8), *c = map(n * 8), sum = WORK_SUM;

	for (size_t i = 0; i < n; i++) {
		b[i] = i;
		c[i] = i * 3;
	}
	for (unsigned r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++)
			a[i] = b[i] + c[i] * 5;
		sum = work_mix(sum, a[(r * 7919ul) % n]);
	}
	munmap(a, n * 8);
	munmap(b, n * 8);
	munmap(c, n * 8);
	return sum;
}

/* One cycle through all slots (Sattolo's shuffle). */
static uint64_t work_chase(unsigned rounds)
{
	size_t n = 64 * MIB / sizeof(uint64_t);
	uint64_t *next = map(n * 8), seed = WORK_SEED, at = 0;

	for (size_t i = 0; i < n; i++)
		next[i] = i;
	for (size_t i = n - 1; i > 0; i--) {
		size_t j = work_random(&seed) % i;
		uint64_t t = next[i];

		next[i] = next[j];
		next[j] = t;
	}
	for (uint64_t i = 0; i < (uint64_t)rounds * 1000; i++)
		at = next[at];
	munmap(next, n * 8);
	return work_mix(WORK_SUM, at);
}

const struct workload mem_workloads[] = {
	{ "memcpy", "copies of 8 MiB", work_memcpy, 400 },
	{ "triad", "sums over 16 MiB arrays", work_triad, 20 },
	{ "chase", "random pointers in 64 MiB", work_chase, 3000 },
	{ NULL },
};
