/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work NAME[,NAME...] [SCALE]: runs workloads and prints `name seconds checksum` for each.
 * SCALE is in per cent of the full amount (100). `work --list` prints the names, `work --exit N` ends with
 * status N.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "work.h"

static const struct workload *const groups[] = { cpu_workloads, mem_workloads, fp_workloads,  arch_workloads,
						 kern_workloads, net_workloads, smp_workloads, disk_workloads };

void work_fail(const char *what)
{
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static const struct workload *work_find(const char *name)
{
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct workload *w = groups[g]; w->name; w++)
			if (!strcmp(w->name, name))
				return w;
	return NULL;
}

static int work_list(void)
{
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct workload *w = groups[g]; w->name; w++)
			printf("%s\t%s\n", w->name, w->what);
	return 0;
}

static int work_run(const char *name, unsigned scale)
{
	const struct workload *w = work_find(name);
	unsigned rounds;
	uint64_t sum;
	double start, end;

	if (!w) {
		fprintf(stderr, "work: no workload '%s' (--list names them)\n", name);
		return 2;
	}
	rounds = (unsigned long)w->rounds * scale / 100;
	start = now();
	sum = w->run(rounds ? rounds : 1);
	end = now();
	printf("%s %.6f %016llx\n", w->name, end - start, (unsigned long long)sum);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned scale = argc > 2 ? (unsigned)atoi(argv[2]) : 100;

	if (argc == 3 && !strcmp(argv[1], "--exit"))
		return (int)scale;
	if (argc < 2 || !scale) {
		fprintf(stderr, "usage: work NAME[,NAME...] [SCALE] | --list | --exit N\n");
		return 2;
	}
	if (!strcmp(argv[1], "--list"))
		return work_list();
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ",")) {
		int status = work_run(name, scale);

		if (status)
			return status;
	}
	return 0;
}
