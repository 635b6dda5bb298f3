/* SPDX-License-Identifier: Apache-2.0 */
/* Floating point: scalar double, packed SSE, x87. */
#include <string.h>
#include "work.h"

static uint64_t bits(double d)
{
	uint64_t u;

	memcpy(&u, &d, sizeof(u));
	return u;
}

/* Points whose orbit under z^2 + c stays bounded for 64 steps. */
static uint64_t work_mandel(unsigned rounds)
{
	uint64_t sum = WORK_SUM;

	for (unsigned r = 0; r < rounds; r++)
		for (int i = 0; i < 64; i++) {
			double cx = -2.0 + 3.0 * i / 64, cy = -1.2 + 2.4 * (r % 97) / 97, x = 0, y = 0;
			int n = 0;

			while (n < 64 && x * x + y * y < 4) {
				double t = x * x - y * y + cx;

				y = 2 * x * y + cy;
				x = t;
				n++;
			}
			sum = work_mix(sum, n);
		}
	return sum;
}

typedef float v4 __attribute__((vector_size(16)));

static uint64_t work_saxpy(unsigned rounds)
{
	static v4 x[1024], y[1024];
	uint64_t sum = WORK_SUM;

	for (int i = 0; i < 1024; i++) {
		x[i] = (v4){ i, i + 1, i + 2, i + 3 };
		y[i] = (v4){ 0, 0, 0, 0 };
	}
	for (unsigned r = 0; r < rounds; r++) {
		v4 a = { 0.5f, 0.25f, 0.125f, 1.0f / (1 + r % 7) };

		for (int i = 0; i < 1024; i++)
			y[i] = a * x[i] + y[i] * 0.5f;
	}
	for (int i = 0; i < 1024; i++)
		sum = work_mix(sum, bits(y[i][i & 3]));
	return sum;
}

static uint64_t work_x87(unsigned rounds)
{
	volatile long double step = 1.0L / 3;
	long double v = 1;

	for (uint64_t i = 1; i <= (uint64_t)rounds * 1000; i++)
		v = v * 0.999L + step / (i & 1023 ? i & 1023 : 1);
	return bits((double)v);
}

const struct workload fp_workloads[] = {
	{ "mandel", "scalar double", work_mandel, 40000 },
	{ "saxpy", "packed single", work_saxpy, 40000 },
	{ "x87", "long double", work_x87, 12000 },
	{ NULL },
};
