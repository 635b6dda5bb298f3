/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz [--cases N] [--seconds N] [--seed N] [--row PART] [--keep-going] [--emit] NATIVE
 *
 * Random A64 instructions, in the IR interpreter (--emit: as host code) and under qemu-aarch64: registers,
 * flags, vectors, FPSR, memory and the kind and place of faults must be equal. After an abort only its kind
 * and place are compared: how much of the access was done before is left open. Exit status 77: qemu-aarch64
 * is not here.
 */
#include "tests/a64/gen.h"
#include "tests/a64/model.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct a64_case cases[A64_BATCH];
static struct a64_result theirs[A64_BATCH];
static int to_native, from_native;
static const char *qemu_cpu = "max,sve=off,sme=off,pauth=off";

/* ---- the program under qemu-aarch64 ---- */

static bool start_native(const char *program)
{
	int in[2], out[2];

	if (pipe(in) || pipe(out))
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execlp("qemu-aarch64", "qemu-aarch64", "-cpu", qemu_cpu, program, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	to_native = in[1];
	from_native = out[0];
	return pid > 0;
}

static bool run_native(u32 count)
{
	size_t want = count * sizeof(*theirs), got = 0, sent = 0, len = count * sizeof(*cases);

	if (write(to_native, &count, sizeof(count)) != sizeof(count))
		return false;
	while (sent < len) {
		ssize_t n = write(to_native, (char *)cases + sent, len - sent);
		if (n <= 0)
			return false;
		sent += (size_t)n;
	}
	while (got < want) {
		ssize_t n = read(from_native, (char *)theirs + got, want - got);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

/* ---- comparing ---- */

static bool differ(const struct a64_result *a, const struct a64_result *b)
{
	bool abort_a = a->signal == SIGSEGV || a->signal == SIGBUS,
	     abort_b = b->signal == SIGSEGV || b->signal == SIGBUS;

	if (a->pc != b->pc || abort_a != abort_b)
		return true;
	if (abort_a)
		return false;
	return a->signal != b->signal || a->mem_hash != b->mem_hash || memcmp(&a->s, &b->s, sizeof(a->s));
}

static void show(const char *what, unsigned long long ours, unsigned long long their,
		 unsigned long long before)
{
	if (ours != their)
		printf("  %-8s ours %016llx qemu %016llx, before %016llx\n", what, ours, their, before);
}

static void report(const struct a64_case *c, const struct a64_result *a, const struct a64_result *b, u64 seed)
{
	char text[160], what[16];

	printf("seed %llu, pc ours +%lld qemu +%lld, signal ours %u qemu %u, fpcr %08x%s\n",
	       (unsigned long long)seed, (long long)((a->pc - A64_CODE) % A64_SLOT),
	       (long long)((b->pc - A64_CODE) % A64_SLOT), a->signal, b->signal, c->s.fpcr,
	       a->mem_hash != b->mem_hash ? ", memory differs" : "");
	for (unsigned i = 0; i < c->n; i++) {
		struct a64_insn insn;
		const struct a64_enc *e = a64_decode(c->insn[i], &insn);
		a64_disassemble(c->insn[i], A64_CODE, text, sizeof(text));
		printf("  %08x %-16s %s\n", c->insn[i], e ? e->name : "-", text);
	}
	for (unsigned i = 0; i < 31; i++) {
		snprintf(what, sizeof(what), "x%u", i);
		show(what, a->s.x[i], b->s.x[i], c->s.x[i]);
	}
	for (unsigned i = 0; i < 64; i++) {
		snprintf(what, sizeof(what), "v%u.d[%u]", i / 2, i & 1);
		show(what, a->s.v[i], b->s.v[i], c->s.v[i]);
	}
	show("sp", a->s.sp, b->s.sp, c->s.sp);
	show("nzcv", a->s.nzcv, b->s.nzcv, c->s.nzcv);
	show("fpsr", a->s.fpsr, b->s.fpsr, c->s.fpsr);
}

static unsigned compare(u32 count, u64 seed, bool emit)
{
	unsigned bad = 0;

	for (u32 i = 0; i < count; i++) {
		struct a64_result ours = { 0 };
		const char *wrong = model_run(&cases[i], i, emit, &ours);
		if (!wrong && !differ(&ours, &theirs[i]))
			continue;
		if (wrong)
			printf("seed %llu: %s\n", (unsigned long long)(seed + i), wrong);
		report(&cases[i], &ours, &theirs[i], seed + i);
		bad++;
	}
	return bad;
}

struct options {
	u64 cases, seed;
	unsigned seconds;
	const char *row, *native;
	bool keep_going, emit;
};

static int fuzz(const struct options *o)
{
	time_t end = time(NULL) + (o->seconds ? o->seconds : 1000000);
	unsigned long long done = 0, bad = 0;

	while (done < o->cases && time(NULL) < end && (o->keep_going || !bad)) {
		u32 count = (u32)MIN(o->cases - done, A64_BATCH);
		for (u32 i = 0; i < count; i++)
			gen_case(&cases[i], o->seed + done + i);
		if (!run_native(count)) {
			printf("the program under qemu-aarch64 died, seeds %llu + %u\n", o->seed + done,
			       count);
			return 1;
		}
		bad += compare(count, o->seed + done, o->emit);
		done += count;
	}
	printf("%llu cases, %llu differ, %lu blocks interpreted\n", done, bad, model_interpreted);
	return bad != 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "cases", 1, 0, 'c' }, { "seconds", 1, 0, 't' }, { "seed", 1, 0, 's' },
					       { "row", 1, 0, 'r' }, { "keep-going", 0, 0, 'k' },
					       { "emit", 0, 0, 'e' }, { 0 } };
	struct options o = { .cases = 20000, .seed = 1 };
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'c': o.cases = strtoull(optarg, NULL, 0); break;
		case 't': o.seconds = (unsigned)strtoul(optarg, NULL, 0); break;
		case 's': o.seed = strtoull(optarg, NULL, 0); break;
		case 'r': o.row = optarg; break;
		case 'k': o.keep_going = true; break;
		case 'e': o.emit = true; break;
		default: return 2;
		}
	}
	if (optind != argc - 1 || a64_table_fault() || !gen_init(o.row))
		return 2;
	if (system("qemu-aarch64 --version >/dev/null 2>&1")) {
		puts("qemu-aarch64 is not installed");
		return 77;
	}
	signal(SIGPIPE, SIG_IGN);
	return start_native(argv[optind]) ? fuzz(&o) : 1;
}
