/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_guest: see guest.h; options are in tests/fuzz/driver.h. KUSE_ENGINE=interp|rewrite is obeyed. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

/* What KVM would answer, at random. False: go on somewhere else. */
static bool handle(struct fuzz_rng *r, struct hyp_cpu *cpu, enum hyp_exit reason)
{
	struct x86_state *s = hyp_x86_state(cpu);
	u64 data = fuzz_u64(r) | 1ull << 50;

	switch (reason) {
	case HYP_EXIT_IO:
		s->exit.io.data = (u32)data;
		hyp_x86_complete_io(cpu);
		return true;
	case HYP_EXIT_MMIO:
		if (s->exit.mmio.write)
			return true;
		memcpy(s->exit.mmio.data, &data, 8);
		hyp_x86_complete_mmio(cpu);
		return true;
	case HYP_EXIT_HLT: case HYP_EXIT_CPUID: case HYP_EXIT_RDMSR: case HYP_EXIT_WRMSR: case HYP_EXIT_HYPERCALL:
	case HYP_EXIT_XSETBV: case HYP_EXIT_PAUSE: case HYP_EXIT_MWAIT: case HYP_EXIT_RDPMC: case HYP_EXIT_INVD:
		hyp_x86_skip(cpu);
		return true;
	case HYP_EXIT_CR8: case HYP_EXIT_IRQ_WINDOW: case HYP_EXIT_NMI_WINDOW:
		return true;
	case HYP_EXIT_INTERNAL:
		fuzz_wrong("internal error at %#lx: %s", (unsigned long)s->exit.internal.rip,
			   s->exit.internal.what);
	case HYP_EXIT_HOST_FAULT:
		fuzz_wrong("an access to a slot's memory faulted, rip %#lx", (unsigned long)s->rip);
	default:
		return false;
	}
}

/* The guest goes on somewhere else, now and then in another mode. */
static void restart(struct fuzz_rng *r, struct hyp_cpu *cpu)
{
	hyp_x86_abort_access(cpu);
	if (fuzz_chance(r, 15))
		state_random(r, cpu);
	else
		registers_random(r, hyp_x86_state(cpu));
	hyp_x86_state(cpu)->inject.type = X86_EVENT_NONE;
	hyp_x86_state_changed(cpu);
}

struct thread {
	struct fuzz_rng r;
	struct hyp_cpu *cpu;
	unsigned nr;
};

static void show(struct hyp_cpu *cpu)
{
	static _Thread_local char text[64];
	struct x86_state *s = hyp_x86_state(cpu);

	__builtin_snprintf(text, sizeof(text), "rip %#lx cr0 %#lx efer %#lx", (unsigned long)s->rip,
			   (unsigned long)s->cr0, (unsigned long)s->efer);
	fuzz_note(text);
}

static void *run_cpu(void *arg)
{
	struct thread *t = arg;

	pthread_mutex_lock(&cpus_lock);
	cpus[t->nr] = t->cpu;
	pthread_mutex_unlock(&cpus_lock);
	state_random(&t->r, t->cpu);
	for (unsigned n = 0; n < fuzz_opt.ops; n++) {
		unsigned exits = 0;

		show(t->cpu);
		while (handle(&t->r, t->cpu, hyp_cpu_run(t->cpu)) && exits++ < 50)
			;
		restart(&t->r, t->cpu);
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
	tables_random(r);
	code_random(r, ram(CODE), CODE_SIZE);
	as = space_as();
	if (!engine_given)
		setenv("KUSE_ENGINE", fuzz_chance(r, 25) ? "interp" : "rewrite", 1);
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

	engine_given = getenv("KUSE_ENGINE") != NULL;
	if (hyp_init() || pthread_create(&thread, NULL, kick, NULL))
		return 2;
	return 0;
}

static const struct fuzz_program program = { .name = "fuzz_guest", .ops = 40, .start = start, .run_case = run_case };

int main(int argc, char **argv)
{
	return fuzz_main(&program, argc, argv);
}
