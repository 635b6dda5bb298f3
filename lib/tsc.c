/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's TSC frequency: what the kernel says (a TSC of known frequency is shown as "cpu MHz" exactly),
 * checked against a measurement; else the measurement.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "lib/tsc.h"

static u64 raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

/* A pair of readings of the two clocks as close together as can be had. */
static void sample(u64 *tsc, u64 *ns)
{
	u64 best = ~0ull;

	for (int i = 0; i < 16; i++) {
		u64 t0 = __rdtsc(), n = raw_ns(), t1 = __rdtsc();

		if (t1 - t0 < best) {
			best = t1 - t0;
			*tsc = t0 + (t1 - t0) / 2;
			*ns = n;
		}
	}
}

static u32 measured_khz(void)
{
	struct timespec pause = { 0, 10 * 1000 * 1000 };
	u64 t0, n0, t1, n1;

	sample(&t0, &n0);
	nanosleep(&pause, NULL);
	sample(&t1, &n1);
	return (u32)((unsigned __int128)(t1 - t0) * 1000000u / (n1 - n0));
}

/* 0 where /proc/cpuinfo does not say. */
static u32 told_khz(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];
	double mhz = 0;

	while (f && !mhz && fgets(line, sizeof(line), f))
		if (!strncmp(line, "cpu MHz", 7) && strchr(line, ':'))
			mhz = strtod(strchr(line, ':') + 1, NULL);
	if (f)
		fclose(f);
	return (u32)(mhz * 1000 + 0.5);
}

u32 host_tsc_khz(bool *stated)
{
	static u32 khz, from_kernel; /* atomic; whoever comes first measures, all find the same */
	u32 told;

	if (!__atomic_load_n(&khz, __ATOMIC_ACQUIRE)) {
		u32 measured = measured_khz();

		told = told_khz();
		if (told && (u64)abs((int)(told - measured)) * 10000 < measured) { /* within 100 ppm */
			measured = told;
			__atomic_store_n(&from_kernel, 1, __ATOMIC_RELAXED);
		}
		__atomic_store_n(&khz, measured, __ATOMIC_RELEASE);
	}
	*stated = __atomic_load_n(&from_kernel, __ATOMIC_RELAXED);
	return khz;
}
