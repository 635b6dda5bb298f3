/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff_test [--seed N] [--cases N] [--seconds S] [--mode M] [--engine interp|rewrite|direct] [--case SEED]
 *           [--interrupt] [--native-twice] [--keep-going N] [--list]
 *
 * Cases are run in batches: by a child on the host CPU, then by a worker on hyp, twice. Where the
 * engine brings the worker down, the case it was at is a difference like any other. Exit status
 * 0: all equal; 1: differences (each printed with its seed, and minimized); 2: could not run.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hyp/hyp.h"
#include "tests/diff/diff.h"

static const char *const mode_name[DT_MODES] = { "long-user", "long-kernel", "compat", "prot32", "compat-kernel" };

struct options {
	u64 seed, cases, one;
	bool have_one, list, twice;
	unsigned seconds, keep_going;
	int mode; /* -1: all */
};

/* Survives a worker. */
struct progress {
	u64 next;    /* first case not run yet */
	u64 current; /* the case on hyp */
	u64 failed, vectors[256], interrupts;
	struct dt_result isolated;
};

struct run {
	struct options o;
	struct dt_batch *batch;
	struct guest *guest[DT_MODES];
	struct dt_result result;
	struct progress *p;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static u64 case_seed(const struct options *o, u64 i)
{
	struct rng r = { o->seed ^ i * 0x9e3779b97f4a7c15ull };

	return rng_u64(&r);
}

/* ---- one case again, and smaller ------------------------------------------------------------------ */

/* Cold, and where that was right, warm. */
static bool run_guest(struct run *r, struct guest *g, const struct dt_case *c, struct dt_result *out)
{
	const struct dt_result *nat = &r->batch->native[c - r->batch->c];

	guest_run(g, c, out);
	if (!result_equal(c, nat, out, false))
		return false;
	return !guest_run_again(g, c, out) || result_equal(c, nat, out, false);
}

/* On a CPU of its own, in a process of its own. */
static void guest_run_isolated(struct run *r, const struct dt_case *c)
{
	pid_t pid;

	r->p->isolated.vector = DT_STRANGE;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct guest *g = guest_create(c->mode);

		if (g)
			run_guest(r, g, c, &r->p->isolated);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	r->result = r->p->isolated;
}

/* Runs batch->c[0] on both sides. True where they agree. */
static bool agree(struct run *r, bool print)
{
	struct dt_case *c = &r->batch->c[0];

	native_submit(1);
	native_wait();
	if (r->o.twice) {
		r->result = r->batch->native[0];
		native_submit(1);
		native_wait();
	} else {
		guest_run_isolated(r, c);
	}
	return result_equal(c, &r->batch->native[0], &r->result, print);
}

static bool still_fails_without(struct run *r, unsigned i)
{
	struct dt_case *c = &r->batch->c[0];

	c->item[i].dead = true;
	case_link(c);
	if (!agree(r, false))
		return true;
	c->item[i].dead = false;
	case_link(c);
	return false;
}

static void minimize(struct run *r)
{
	struct dt_case *c = &r->batch->c[0];
	bool smaller;

	do {
		smaller = false;
		for (int i = c->n - 1; i >= 0; i--)
			if (!c->item[i].dead && still_fails_without(r, i))
				smaller = true;
	} while (smaller);
}

static void report(struct run *r, u64 seed, enum dt_mode mode)
{
	struct dt_case *c = &r->batch->c[0];

	printf("\nDIFFERENT: mode %s, again with: diff_test --mode %s --case 0x%llx\n", mode_name[mode],
	       mode_name[mode], (unsigned long long)seed);
	case_generate(c, seed, mode);
	if (agree(r, false)) {
		printf("  does not happen again alone: state carried over from an earlier case\n");
		case_print(c);
		return;
	}
	minimize(r);
	case_print(c);
	agree(r, true);
	for (unsigned i = 0; i < 16; i += 4)
		printf("    r%-2u.. %016llx %016llx %016llx %016llx\n", i, (unsigned long long)c->init.gpr[i],
		       (unsigned long long)c->init.gpr[i + 1], (unsigned long long)c->init.gpr[i + 2],
		       (unsigned long long)c->init.gpr[i + 3]);
	printf("    rflags %llx fs %llx gs %llx; native ended with vector %u at %llx\n",
	       (unsigned long long)c->init.rflags, (unsigned long long)c->init.fs_base,
	       (unsigned long long)c->init.gs_base, r->batch->native[0].vector,
	       (unsigned long long)r->batch->native[0].s.rip);
	fflush(stdout);
}

/* ---- batches ------------------------------------------------------------------------------------------ */

static enum dt_mode mode_of(const struct run *r, u64 i)
{
	static const u8 share[10] = { DT_LONG_USER, DT_LONG_USER, DT_LONG_USER, DT_LONG_USER, DT_LONG_KERNEL,
				      DT_LONG_KERNEL, DT_COMPAT_USER, DT_COMPAT_KERNEL,
				      DT_PROT_USER, DT_PROT_USER };

	return r->o.mode >= 0 ? (enum dt_mode)r->o.mode : (enum dt_mode)share[i % 10];
}

static void run_batch(struct run *r, u64 first, u32 n)
{
	struct dt_batch *b = r->batch;
	u64 failed[DT_BATCH];
	u32 nfailed = 0;

	for (u32 i = 0; i < n; i++)
		case_generate(&b->c[i], case_seed(&r->o, first + i), mode_of(r, first + i));
	native_submit(n);
	native_wait();
	for (u32 i = 0; i < n; i++) {
		r->p->current = first + i;
		r->p->vectors[b->native[i].vector]++;
		if (run_guest(r, r->guest[b->c[i].mode], &b->c[i], &r->result))
			continue;
		failed[nfailed++] = first + i;
		if (guest_interruptions) { /* may not happen again */
			printf("\ninterrupted:\n");
			case_print(&b->c[i]);
			result_equal(&b->c[i], &b->native[i], &r->result, true);
		}
	}
	r->p->next = first + n;
	r->p->interrupts = guest_interrupts;
	for (u32 i = 0; i < nfailed && r->p->failed < r->o.keep_going; i++, r->p->failed++)
		report(r, case_seed(&r->o, failed[i]), mode_of(r, failed[i]));
}

/* The oracle against itself: is a case a function of its seed, is the child's state clean? */
static void run_twice(struct run *r, u64 i)
{
	case_generate(&r->batch->c[0], case_seed(&r->o, i), mode_of(r, i));
	if (r->o.list)
		case_print(&r->batch->c[0]);
	if (!agree(r, false)) {
		report(r, case_seed(&r->o, i), mode_of(r, i));
		r->p->failed++;
	}
	r->p->vectors[r->batch->native[0].vector]++;
	r->p->next++;
}

static void run_all(struct run *r, double end)
{
	while (r->p->next < r->o.cases && r->p->failed < r->o.keep_going) {
		if (r->o.seconds && now() > end)
			break;
		if (r->o.twice)
			run_twice(r, r->p->next);
		else
			run_batch(r, r->p->next, MIN((u64)DT_BATCH, r->o.cases - r->p->next));
	}
}

static void summary(const struct run *r, double t)
{
	const struct progress *p = r->p;

	printf("%llu cases, %llu different, %.1f s; seed %llu; ended by", (unsigned long long)p->next,
	       (unsigned long long)p->failed, t, (unsigned long long)r->o.seed);
	for (unsigned v = 0; v < 256; v++)
		if (p->vectors[v])
			printf(" %s%u:%llu",
			       v == DT_TIMEOUT   ? "timeout "
			       : v == DT_STRANGE ? "strange "
						 : "#",
			       v, (unsigned long long)p->vectors[v]);
	if (guest_interruptions)
		printf("; %llu interrupts", (unsigned long long)p->interrupts);
	printf("\n");
}

/* ---- options ------------------------------------------------------------------------------------------- */

static int parse_mode(const char *s)
{
	for (int i = 0; i < DT_MODES; i++)
		if (!strcmp(s, mode_name[i]))
			return i;
	fprintf(stderr, "unknown mode %s\n", s);
	exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option opt[] = {
		{ "seed", 1, 0, 's' }, { "cases", 1, 0, 'n' }, { "seconds", 1, 0, 't' },
		{ "mode", 1, 0, 'm' },
		{ "engine", 1, 0, 'e' }, { "case", 1, 0, 'c' }, { "native-twice", 0, 0, '2' },
		{ "interrupt", 0, 0, 'i' }, { "keep-going", 1, 0, 'k' }, { "list", 0, 0, 'l' }, { 0 } };
	int k;

	while ((k = getopt_long(argc, argv, "", opt, NULL)) != -1) {
		switch (k) {
		case 's': o->seed = strtoull(optarg, NULL, 0); break;
		case 'n': o->cases = strtoull(optarg, NULL, 0); break;
		case 't': o->seconds = atoi(optarg); break;
		case 'm': o->mode = parse_mode(optarg); break;
		case 'e': setenv("KUSE_HYP_ENGINE", optarg, 1); break;
		case 'c': o->one = strtoull(optarg, NULL, 0); o->have_one = true; break;
		case '2': o->twice = true; break;
		case 'i': guest_interruptions = true; break;
		case 'k': o->keep_going = atoi(optarg); break;
		case 'l': o->list = true; break;
		default: exit(2);
		}
	}
}

static bool start(struct run *r)
{
	gen_init();
	xsave_total(); /* read before the child is forked */
	r->batch = native_start();
	if (!r->batch)
		return false;
	if (r->o.twice)
		return true;
	if (hyp_init())
		return false;
	for (int i = 0; i < DT_MODES; i++) {
		r->guest[i] = guest_create(i);
		if (!r->guest[i])
			return false;
	}
	return true;
}

static int run_one(struct run *r)
{
	enum dt_mode mode = r->o.mode < 0 ? DT_LONG_USER : (enum dt_mode)r->o.mode;
	struct dt_case *c = &r->batch->c[0];

	case_generate(c, r->o.one, mode);
	printf("the whole case:\n");
	case_print(c);
	if (agree(r, true)) {
		printf("equal; ended by vector %u at %llx\n", r->result.vector,
		       (unsigned long long)r->result.s.rip);
		return 0;
	}
	report(r, r->o.one, mode);
	return 1;
}

/* ---- workers ------------------------------------------------------------------------------- */

enum { WORK_ALL, WORK_ONE, WORK_CRASHED };

static int work(struct run *r, int what, double end)
{
	int ret = 0;

	if (!start(r)) {
		fprintf(stderr, "diff_test: cannot start\n");
		return 2;
	}
	if (what == WORK_ONE)
		ret = run_one(r);
	else if (what == WORK_CRASHED)
		report(r, case_seed(&r->o, r->p->current), mode_of(r, r->p->current));
	else
		run_all(r, end);
	native_stop();
	return ret;
}

/* Exit status, or 128 + signal. */
static int worker(struct run *r, int what, double end)
{
	int st;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		int ret = work(r, what, end);

		fflush(stdout);
		_exit(ret);
	}
	if (waitpid(pid, &st, 0) != pid)
		return 2;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static int run_workers(struct run *r, double end)
{
	int ret;

	while ((ret = worker(r, WORK_ALL, end)) > 127) {
		printf("\nthe engine ended with signal %d\n", ret - 128);
		r->p->failed++;
		worker(r, WORK_CRASHED, end);
		r->p->next = r->p->current + 1;
		if (r->p->failed >= r->o.keep_going)
			break;
	}
	return ret == 2 ? 2 : r->p->failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct run r = { .o = { .seed = 1, .cases = 4000, .mode = -1, .keep_going = 10 } };
	double t = now();
	int ret;

	parse(argc, argv, &r.o);
	r.p = mmap(NULL, sizeof(*r.p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r.p == MAP_FAILED)
		return 2;
	if (r.o.have_one)
		return worker(&r, WORK_ONE, 0);
	ret = run_workers(&r, t + r.o.seconds);
	summary(&r, now() - t);
	return ret;
}
