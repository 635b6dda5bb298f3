/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_guest: see guest.h; options are in tests/fuzz/driver.h. KUSE_HYP_ENGINE is obeyed. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "tests/fuzz_guest/guest.h"

#define MAX_CPUS 2
#define KICK_NS 500000

static struct hyp_cpu *cpus[MAX_CPUS]; /* those that run; the kicker looks here */
static pthread_mutex_t cpus_lock = PTHREAD_MUTEX_INITIALIZER;
static bool engine_given;

static void *kick(void *arg)
{
	for (;;) {
		nanosleep(&(struct timespec){ .tv_nsec = KICK_NS }, NULL);
		pthread_mutex_lock(&cpus_lock);
		for (unsigned i = 0; i < MAX_CPUS; i++)
			if (cpus[i])
				hyp_cpu_kick(cpus[i]);
		pthread_mutex_unlock(&cpus_lock);
	}
	return arg;
}

struct thread {
	struct fuzz_rng r;
	struct hyp_cpu *cpu;
	unsigned nr;
};

static void show(struct hyp_cpu *cpu)
{
	static _Thread_local char text[64];

	cpu_describe(cpu, text, sizeof(text));
	fuzz_note(text);
}

static void *run_cpu(void *arg)
{
	struct thread *t = arg;

	pthread_mutex_lock(&cpus_lock);
	cpus[t->nr] = t->cpu;
	pthread_mutex_unlock(&cpus_lock);
	cpu_start(&t->r, t->cpu);
	for (unsigned n = 0; n < fuzz_opt.ops; n++) {
		unsigned exits = 0;

		show(t->cpu);
		while (exit_answer(&t->r, t->cpu, hyp_cpu_run(t->cpu)) && exits++ < 50)
			;
		cpu_restart(&t->r, t->cpu);
	}
	pthread_mutex_lock(&cpus_lock);
	cpus[t->nr] = NULL;
	pthread_mutex_unlock(&cpus_lock);
	return NULL;
}

static void run_case(struct fuzz_rng *r)
{
	unsigned n = fuzz_opt.threads == 1 || fuzz_chance(r, 75) ? 1 : MAX_CPUS;
	struct hyp_cpu *own[MAX_CPUS];
	struct thread t[MAX_CPUS];
	pthread_t thread;
	struct hyp_as *as;

	space_up(r);
	memory_random(r);
	as = space_as();
	if (!engine_given)
		setenv("KUSE_HYP_ENGINE", engines[fuzz_chance(r, 75) ? 1 + fuzz_u64(r) % 3 : 0], 1);
	for (unsigned i = 0; i < n; i++) {
		own[i] = hyp_cpu_create(as, i);
		if (!own[i])
			abort();
		t[i] = (struct thread){ .r = { fuzz_u64(r) }, .cpu = own[i], .nr = i };
	}
	if (n > 1 && pthread_create(&thread, NULL, run_cpu, &t[1]))
		abort();
	run_cpu(&t[0]);
	if (n > 1)
		pthread_join(thread, NULL);
	fuzz_note("the verdict");
	space_verdict(own, n);
	for (unsigned i = 0; i < n; i++)
		hyp_cpu_destroy(own[i]);
	hyp_as_destroy(as);
}

static int start(void)
{
	pthread_t thread;

	engine_given = getenv("KUSE_HYP_ENGINE") != NULL;
	if (hyp_init() || pthread_create(&thread, NULL, kick, NULL))
		return 2;
	return 0;
}

static const struct fuzz_program program = { .name = program_name, .ops = 40, .start = start, .run_case = run_case };

int main(int argc, char **argv)
{
	return fuzz_main(&program, argc, argv);
}
