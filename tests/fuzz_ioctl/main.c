/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_ioctl: see fuzz.h; the options are in tests/fuzz/driver.h. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "tests/fuzz_ioctl/fuzz.h"

#define KICK_NS 3000000 /* a KVM_RUN lasts no longer than this */
#define MAX_THREADS 3

/* Of the case's n-th thread, zeroed. They stay: a VM that was given an address in them (Xen's shared_info)
 * writes there as long as it lives, which is longer than the thread does. */
static u8 *arg_pages(unsigned n)
{
	static u8 *pages[MAX_THREADS];
	u8 *p = pages[n];

	if (p)
		return memset(p, 0, ARG_PAGES * PAGE);
	p = mmap(NULL, (ARG_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p + ARG_PAGES * PAGE, PAGE, PROT_NONE))
		abort();
	pages[n] = p;
	return p;
}

/* As a client's VMM ends a KVM_RUN: a signal to the vCPU's thread. */
static void on_kick(int sig)
{
	(void)sig;
	kuse_signal_notify();
}

static timer_t kick_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct itimerspec its = { { 0, KICK_NS }, { 0, KICK_NS } };
	timer_t t;

	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &ev, &t) || timer_settime(t, 0, &its, NULL))
		abort();
	return t;
}

static void *run_thread(void *arg)
{
	struct ctx *c = arg;
	timer_t t = kick_timer();
	unsigned n = 1 + (unsigned)rnd_below(c, fuzz_opt.ops);

	while (n--)
		random_op(c);
	timer_delete(t);
	return NULL;
}

static unsigned threads_of(struct ctx *c)
{
	if (fuzz_opt.threads)
		return fuzz_opt.threads < MAX_THREADS ? fuzz_opt.threads : MAX_THREADS;
	return chance(c, 70) ? 1 : 2 + (unsigned)rnd_below(c, MAX_THREADS - 1);
}

static void run_case(struct fuzz_rng *r)
{
	struct ctx first = { .rng = *r }, ctx[MAX_THREADS];
	unsigned n = threads_of(&first);
	pthread_t thread[MAX_THREADS];
	struct world w;

	world_up(&w, &first);
	w.racing = n > 1;
	for (unsigned i = 0; i < n; i++) {
		ctx[i] = (struct ctx){ .w = &w, .rng = { rnd(&first) }, .page = arg_pages(i) };
		if (pthread_create(&thread[i], NULL, run_thread, &ctx[i]))
			abort();
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	fuzz_note("closing everything");
	world_down(&w, &first);
	leaks_after();
}

static int start(void)
{
	struct sigaction sa = { .sa_handler = on_kick };

	sigaction(SIGUSR1, &sa, NULL);
	fuzz_explain_faults();
	if (kuse_init())
		return 2;
	leaks_before();
	return 0;
}

static const struct fuzz_program program = {
	.name = program_name, .ops = 60, .start = start, .run_case = run_case, .finish = kuse_exit
};

int main(int argc, char **argv)
{
	return fuzz_main(&program, argc, argv);
}
