/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_ioctl [--seed N] [--case N] [--cases N] [--seconds N] [--ops N] [--threads N] [-v]: see fuzz.h. */
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/fuzz_ioctl/fuzz.h"

#define HANG_SECONDS 30
#define KICK_NS 3000000 /* a KVM_RUN lasts no longer than this */
#define HEAP_GROWTH_MAX (1u << 20)

static struct {
	u64 seed, first, cases;
	unsigned seconds, ops, threads;
	bool verbose, here;
} opt = { .seed = 1, .cases = ~0ull, .seconds = 20, .ops = 60 };

struct progress *progress;

/* ---- random numbers ---------------------------------------------------------------------------------- */

static u64 mix(u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 rnd(struct ctx *c)
{
	return mix(c->rng += 0x9e3779b97f4a7c15ull);
}

u64 rnd_interesting(struct ctx *c)
{
	static const u64 values[] = { 0, 1, 2, 3, 4, 7, 8, 15, 16, 23, 24, 31, 32, 63, 64, 255, 256, 4095, 4096, 0x1000, 0x2000,
				      0x8000, 0xffff, 0x10000, 0xf000, 0xfee00000, 0xfec00000, 0x7fffffff, 0x80000000,
				      0xffffffff, 0x100000000, 1ull << 47, 1ull << 51, 1ull << 52, 1ull << 63, ~0ull,
				      ~4095ull, 0x7ffffffff000ull, 0xffff800000000000ull };

	switch (rnd_below(c, 4)) {
	case 0: return values[rnd_below(c, COUNT(values))];
	case 1: return 1ull << rnd_below(c, 64);
	case 2: return rnd_below(c, 32);
	default: return rnd(c) >> rnd_below(c, 64);
	}
}

void *arg_at_end(struct ctx *c, size_t size)
{
	return c->page + ARG_PAGES * PAGE - size;
}

void wrong(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "fuzz_ioctl: case %lu, %s: ", (unsigned long)progress->nr,
		c->op ?: "between operations");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	fflush(NULL);
	_exit(3);
}

/* ---- one case ------------------------------------------------------------------------------------------ */

static u8 *arg_pages(void)
{
	u8 *p = mmap(NULL, (ARG_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);

	if (p == MAP_FAILED || mprotect(p + ARG_PAGES * PAGE, PAGE, PROT_NONE))
		abort();
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
	unsigned n = 1 + (unsigned)rnd_below(c, opt.ops);

	c->page = arg_pages();
	while (n--) {
		random_op(c);
		__atomic_add_fetch(&progress->beat, 1, __ATOMIC_RELAXED);
	}
	c->op = NULL;
	timer_delete(t);
	munmap(c->page, (ARG_PAGES + 1) * PAGE);
	return NULL;
}

static unsigned threads_of(struct ctx *c)
{
	if (opt.threads)
		return opt.threads;
	return chance(c, 70) ? 1 : 2 + (unsigned)rnd_below(c, 2);
}

static void run_case(u64 nr)
{
	struct ctx first = { .rng = mix(opt.seed * 0x9e3779b97f4a7c15ull + nr) }, ctx[3];
	unsigned n = threads_of(&first);
	pthread_t thread[3];
	struct world w;

	progress->nr = nr;
	world_up(&w, &first);
	w.racing = n > 1;
	for (unsigned i = 0; i < n; i++) {
		ctx[i] = (struct ctx){ .w = &w, .rng = rnd(&first) };
		if (pthread_create(&thread[i], NULL, run_thread, &ctx[i]))
			abort();
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	strcpy(progress->op, "closing everything");
	world_down(&w, &first);
	leaks_after(&first);
}

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

static int run_cases(void)
{
	struct sigaction sa = { .sa_handler = on_kick };
	double end = seconds_now() + opt.seconds;
	size_t heap = 0;
	u64 nr = opt.first;

	mallopt(M_ARENA_MAX, 1);
	sigaction(SIGUSR1, &sa, NULL);
	if (kuse_init())
		return 2;
	leaks_before();
	for (; nr < opt.first + opt.cases && seconds_now() < end; nr++) {
		if (opt.verbose)
			fprintf(stderr, "case %lu\n", (unsigned long)nr);
		run_case(nr);
		if (nr == opt.first + 20)
			heap = heap_in_use();
	}
	printf("fuzz_ioctl: seed %lu: %lu cases, %lu operations, nothing found\n", (unsigned long)opt.seed,
	       (unsigned long)(nr - opt.first), (unsigned long)progress->done_ops);
	if (nr > opt.first + 20 && heap_in_use() > heap + HEAP_GROWTH_MAX) {
		fprintf(stderr, "fuzz_ioctl: the heap grew by %zu bytes\n", heap_in_use() - heap);
		return 3;
	}
	kuse_exit();
	return 0;
}

/* ---- the parent ---- */

static void report(int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr, "fuzz_ioctl: case %lu, %s: killed by %s\n", (unsigned long)progress->nr,
			progress->op, strsignal(WTERMSIG(status)));
	fprintf(stderr, "fuzz_ioctl: again: --seed %lu --case %lu\n", (unsigned long)opt.seed,
		(unsigned long)progress->nr);
}

/* 1: nothing moves any more. */
static int watch(pid_t pid)
{
	double last = seconds_now();
	u64 beat = 0;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		if (beat != progress->beat + progress->nr) {
			beat = progress->beat + progress->nr;
			last = seconds_now();
		} else if (seconds_now() - last > HANG_SECONDS) {
			fprintf(stderr, "fuzz_ioctl: case %lu, %s: no progress in %d s\n",
				(unsigned long)progress->nr, progress->op, HANG_SECONDS);
			kill(pid, SIGKILL);
		}
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	report(status);
	return 1;
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = { { "seed", 1, NULL, 's' },    { "case", 1, NULL, 'c' },
					       { "cases", 1, NULL, 'n' },   { "seconds", 1, NULL, 't' },
					       { "ops", 1, NULL, 'o' },     { "threads", 1, NULL, 'j' },
					       { "verbose", 0, NULL, 'v' },   { "here", 0, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	int o;

	while ((o = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		switch (o) {
		case 's': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'c': opt.first = strtoull(optarg, NULL, 0), opt.cases = 1; break;
		case 'n': opt.cases = strtoull(optarg, NULL, 0); break;
		case 't': opt.seconds = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'o': opt.ops = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'j': opt.threads = (unsigned)strtoul(optarg, NULL, 0) % 4; break;
		case 'v': opt.verbose = true; break;
		case 'h': opt.here = true; break; /* no child: for a debugger */
		default: fputs("usage: see the top of tests/fuzz_ioctl/main.c\n", stderr); exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	pid_t pid;

	parse(argc, argv);
	progress = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		return 2;
	if (opt.here)
		return run_cases();
	pid = fork();
	if (pid < 0)
		return 2;
	if (!pid)
		exit(run_cases());
	return watch(pid);
}
