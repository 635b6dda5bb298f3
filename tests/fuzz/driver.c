/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/driver.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_SECONDS 30
#define HEAP_GROWTH_MAX (1u << 20)
#define EXIT_WRONG 3
#define EXIT_SUSPECT 4
#define REPEATS 8     /* of a suspect case */
#define MAX_CHANCES 3 /* suspects a run may have that are not found again */
#define WARM_CASES 20 /* after these the heap should not grow any more */

struct fuzz_options fuzz_opt = { .seed = 1, .cases = ~0ull, .seconds = 20 };

/* Shared with the parent. */
static struct progress {
	u64 nr, ops;
	char op[64];
} * progress;

static const char *name;

/* ---- random numbers ---------------------------------------------------------------------------------- */

static u64 mix(u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 fuzz_u64(struct fuzz_rng *r)
{
	return mix(r->s += 0x9e3779b97f4a7c15ull);
}

u64 fuzz_below(struct fuzz_rng *r, u64 n)
{
	return fuzz_u64(r) % n;
}

bool fuzz_chance(struct fuzz_rng *r, unsigned percent)
{
	return fuzz_below(r, 100) < percent;
}

u64 fuzz_value(struct fuzz_rng *r)
{
	static const u64 values[] = {
		0,          1,           2,          3,          4,         7,          8,          15,
		16,         23,          24,         31,         32,        63,         64,         255,
		256,        4095,        4096,       0x2000,     0x8000,    0xffff,     0x10000,    0xf000,
		0xfee00000, 0xfec00000,  0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 47, 1ull << 51,
		1ull << 52, 1ull << 63,  ~0ull,      ~4095ull,   0x7ffffffff000ull, 0xffff800000000000ull
	};

	switch (fuzz_below(r, 4)) {
	case 0: return values[fuzz_below(r, COUNT(values))];
	case 1: return 1ull << fuzz_below(r, 64);
	case 2: return fuzz_below(r, 32);
	default: return fuzz_u64(r) >> fuzz_below(r, 64);
	}
}

/* ---- the child --------------------------------------------------------------------------------------- */

/* Threads may overwrite each other's: whoever reads it wants to know about one of them. */
__attribute__((no_sanitize("thread"))) void fuzz_note(const char *op)
{
	volatile char *to = progress->op;

	for (size_t i = 0; i < sizeof(progress->op) - 1 && (!i || op[i - 1]); i++)
		to[i] = op[i];
	__atomic_add_fetch(&progress->ops, 1, __ATOMIC_RELAXED);
}

u64 fuzz_case(void)
{
	return progress->nr;
}

static void __attribute__((noreturn)) end_child(int status, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: case %lu, %s: ", name, (unsigned long)progress->nr, progress->op);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	fflush(NULL);
	_exit(status);
}

void fuzz_wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	end_child(EXIT_WRONG, fmt, ap);
}

void fuzz_suspect(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	end_child(EXIT_SUSPECT, fmt, ap);
}

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run_case(const struct fuzz_program *p, u64 nr)
{
	struct fuzz_rng r = { mix(fuzz_opt.seed * 0x9e3779b97f4a7c15ull + nr) };

	if (fuzz_opt.verbose)
		fprintf(stderr, "case %lu\n", (unsigned long)nr);
	progress->nr = nr;
	p->run_case(&r);
}

static int run_cases(const struct fuzz_program *p, double end)
{
	u64 nr = fuzz_opt.first;
	size_t heap = 0;
	int status;

	mallopt(M_ARENA_MAX, 1);
	status = p->start();
	if (status)
		return status;
	for (; nr - fuzz_opt.first < fuzz_opt.cases && seconds_now() < end; nr++) {
		run_case(p, nr);
		if (nr == fuzz_opt.first + WARM_CASES)
			heap = mallinfo2().uordblks;
	}
	if (heap && mallinfo2().uordblks > heap + HEAP_GROWTH_MAX)
		fuzz_wrong("the heap grew by %zu bytes", mallinfo2().uordblks - heap);
	printf("%s: seed %lu: %lu cases, %lu operations, nothing found\n", name, (unsigned long)fuzz_opt.seed,
	       (unsigned long)(nr - fuzz_opt.first), (unsigned long)progress->ops);
	if (p->finish)
		p->finish();
	return 0;
}

/* ---- the parent ---------------------------------------------------------------------------------------- */

/* Until the child has ended; its wait status. */
static int watch(pid_t pid)
{
	double last = seconds_now();
	u64 beat = 0;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		if (beat != progress->ops + progress->nr) {
			beat = progress->ops + progress->nr;
			last = seconds_now();
		} else if (seconds_now() - last > HANG_SECONDS) {
			fprintf(stderr, "%s: no progress in %d s\n", name, HANG_SECONDS);
			kill(pid, SIGKILL);
		}
	}
	return status;
}

/* The case under way, by itself, in a process with other addresses: its wait status. */
static int repeat(void)
{
	char seed[32], nr[32], ops[32];
	pid_t pid;

	snprintf(seed, sizeof(seed), "%lu", (unsigned long)fuzz_opt.seed);
	snprintf(nr, sizeof(nr), "%lu", (unsigned long)progress->nr);
	snprintf(ops, sizeof(ops), "%u", fuzz_opt.ops);
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		execl("/proc/self/exe", name, "--here", "--seed", seed, "--case", nr, "--ops", ops, NULL);
		_exit(2);
	}
	return watch(pid);
}

static bool found_again(void)
{
	for (unsigned i = 0; i < REPEATS; i++)
		if (repeat())
			return true;
	fprintf(stderr, "%s: not found in %u repetitions: chance\n", name, REPEATS);
	return false;
}

static int failed(int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s: case %lu, %s: killed by %s\n", name, (unsigned long)progress->nr,
			progress->op, strsignal(WTERMSIG(status)));
	fprintf(stderr, "%s: again: --seed %lu --case %lu\n", name, (unsigned long)fuzz_opt.seed,
		(unsigned long)progress->nr);
	return 1;
}

static int run_watched(const struct fuzz_program *p)
{
	double end = seconds_now() + fuzz_opt.seconds;
	u64 first = fuzz_opt.first;

	for (unsigned chances = 0;; chances++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			return 2;
		if (!pid)
			exit(run_cases(p, end));
		status = watch(pid);
		if (!status)
			return 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUSPECT || chances == MAX_CHANCES ||
		    found_again())
			return failed(status);
		fuzz_opt.cases -= progress->nr + 1 - first;
		fuzz_opt.first = first = progress->nr + 1;
	}
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", 1, NULL, 's' },    { "case", 1, NULL, 'c' }, { "cases", 1, NULL, 'n' },
		{ "seconds", 1, NULL, 't' }, { "ops", 1, NULL, 'o' },  { "threads", 1, NULL, 'j' },
		{ "verbose", 0, NULL, 'v' }, { "here", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		switch (o) {
		case 's': fuzz_opt.seed = strtoull(optarg, NULL, 0); break;
		case 'c': fuzz_opt.first = strtoull(optarg, NULL, 0), fuzz_opt.cases = 1; break;
		case 'n': fuzz_opt.cases = strtoull(optarg, NULL, 0); break;
		case 't': fuzz_opt.seconds = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'o': fuzz_opt.ops = (unsigned)strtoul(optarg, NULL, 0) | 1; break;
		case 'j': fuzz_opt.threads = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'v': fuzz_opt.verbose = true; break;
		case 'h': fuzz_opt.here = true; break;
		default: fprintf(stderr, "%s: the options are in tests/fuzz/driver.h\n", name); exit(2);
		}
	}
}

int fuzz_main(const struct fuzz_program *p, int argc, char **argv)
{
	name = p->name;
	fuzz_opt.ops = p->ops;
	parse(argc, argv);
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		return 2;
	if (fuzz_opt.here)
		return run_cases(p, seconds_now() + fuzz_opt.seconds);
	return run_watched(p);
}
