/* SPDX-License-Identifier: Apache-2.0 */
/* Floating point: scalar double, packed single. */
#include <math.h>
#include "work.h"

/* ---- nbody: five bodies under gravity ------------------------------------------------------------ */

#define BODIES 5

struct body {
	double x[3], v[3], mass;
};

static void nbody_pull(struct body *a, struct body *b, double dt)
{
	double d[3], square = 0, pull;

	for (int k = 0; k < 3; k++) {
		d[k] = a->x[k] - b->x[k];
		square += d[k] * d[k];
	}
	pull = dt / (square * sqrt(square));
	for (int k = 0; k < 3; k++) {
		a->v[k] -= d[k] * b->mass * pull;
		b->v[k] += d[k] * a->mass * pull;
	}
}

static void nbody_step(struct body *b, double dt)
{
	for (int i = 0; i < BODIES; i++)
		for (int j = i + 1; j < BODIES; j++)
			nbody_pull(b + i, b + j, dt);
	for (int i = 0; i < BODIES; i++)
		for (int k = 0; k < 3; k++)
			b[i].x[k] += dt * b[i].v[k];
}

/* A sun at rest and four planets on circles around it. */
static uint64_t work_nbody(unsigned rounds)
{
	struct body b[BODIES] = { { .mass = 100 } };
	uint64_t sum = WORK_SUM;

	for (int i = 1; i < BODIES; i++)
		b[i] = (struct body){ { 5.0 * i, 0, 0.1 * i }, { 0, sqrt(100 / (5.0 * i)), 0 }, 0.001 * i };
	for (uint64_t r = 0; r < (uint64_t)rounds * 100; r++)
		nbody_step(b, 0.001);
	for (int i = 0; i < BODIES; i++)
		sum = work_mix(sum, work_bits(b[i].x[0]) ^ work_bits(b[i].v[1]));
	return sum;
}

/* ---- fpmisc: roots, divisions, conversions, libm -------------------------------------------------- */

/* libm picks code with or without FMA for the CPU it finds: the checksum leaves the last bits out. */
static uint64_t work_fpmisc(unsigned rounds)
{
	uint64_t seed = WORK_SEED, sum = WORK_SUM;

	for (unsigned r = 0; r < rounds; r++) {
		double total = 0;

		for (int i = 0; i < 100; i++) {
			uint32_t bits = (uint32_t)(work_random(&seed) >> 40);
			double v = 1 + bits / 65536.0;
			float single = (float)v;

			total += sqrt(v) + 1 / v + (double)sqrtf(single) + (double)(int64_t)(v * 3.7) / 7;
			total += sin(v) + exp(-v / 300) + log(v) + pow(v, 0.3) + floor(v / 3);
		}
		sum = work_mix(sum, (uint64_t)(total * 64));
	}
	return sum;
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
		sum = work_mix(sum, work_bits(y[i][i & 3]));
	return sum;
}

const struct workload fp_workloads[] = {
	{ "nbody", "scalar double, square roots", work_nbody, 10000 },
	{ "mandel", "scalar double", work_mandel, 40000 },
	{ "saxpy", "packed single", work_saxpy, 40000 },
	{ "fpmisc", "sqrt, div, conversions, libm", work_fpmisc, 60000 },
	{ NULL },
};
