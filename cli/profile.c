/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kuse run --profile: samples from KVM (kuse_profile_start), names from the guest's kernel, and a report in
 * two parts: what the engine was doing, and where in the guest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "virt/sys.h"

#define HZ 1000
#define KERNEL_HALF 0x8000000000000000ull
#define ROOT_MASK (~0x1ffful) /* page-table isolation gives an address space two roots, side by side */
#define MAX_ROWS 30
#define MAX_SPACES 5
#define MAX_PLACES 5

struct profile {
	const struct run_options *opt;
	FILE *out;
	const struct ksyms *syms;
	struct kuse_profile_sample *sample;
	size_t n;
	u64 total, state[KUSE_PROFILE_NR];
};

/* One line of the second part. */
struct row {
	const char *name;
	u64 root, addr; /* addr: where the function begins, or the place itself */
	u64 count, state[KUSE_PROFILE_NR];
};

/* ---- the report ---- */

static double percent(const struct profile *p, u64 count)
{
	return p->total ? 100.0 * count / p->total : 0;
}

static void report_states(const struct profile *p)
{
	fprintf(p->out, "time by engine state\n");
	for (int i = 0; i < KUSE_PROFILE_NR; i++)
		fprintf(p->out, "%7.2f %%  %s\n", percent(p, p->state[i]), kuse_profile_state_name(i));
}

static int by_count(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return (x->addr > y->addr) - (x->addr < y->addr);
}

static int by_place(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->root != y->root)
		return x->root < y->root ? -1 : 1;
	return (x->addr > y->addr) - (x->addr < y->addr);
}

/* Rows of the same root and address become one. Returns how many are left. */
static size_t merge(struct row *row, size_t n, int (*order)(const void *, const void *))
{
	size_t out = 0;

	qsort(row, n, sizeof(*row), order);
	for (size_t i = 0; i < n; i++) {
		if (out && !order(&row[out - 1], &row[i])) {
			row[out - 1].count += row[i].count;
			for (int s = 0; s < KUSE_PROFILE_NR; s++)
				row[out - 1].state[s] += row[i].state[s];
		} else {
			row[out++] = row[i];
		}
	}
	return out;
}

static struct row row_of(const struct profile *p, const struct kuse_profile_sample *s)
{
	struct row r = {.addr = s->pc, .count = s->count};
	u64 off;

	r.state[s->state] = s->count;
	if (s->user) {
		r.root = s->root & ROOT_MASK;
	} else if ((r.name = ksyms_find(p->syms, s->pc, &off))) {
		r.addr -= off;
	} else if (p->syms->n) {
		r.name = s->pc >= KERNEL_HALF ? "[kernel, no symbol: module, BPF]"
					      : "[before the kernel's own tables]";
		r.addr = s->pc >= KERNEL_HALF;
	}
	return r;
}

static void print_row(const struct profile *p, const struct row *r, const char *name)
{
	fprintf(p->out, "%7.2f %%  %5.1f %5.1f %5.1f %5.1f %5.1f  %s\n", percent(p, r->count),
		100.0 * (r->state[KUSE_PROFILE_CODE] + r->state[KUSE_PROFILE_DIRECT]) / r->count,
		100.0 * (r->state[KUSE_PROFILE_TRANSLATE] + r->state[KUSE_PROFILE_DISPATCH]) / r->count,
		100.0 * r->state[KUSE_PROFILE_TLB] / r->count,
		100.0 * (r->state[KUSE_PROFILE_HELPER] + r->state[KUSE_PROFILE_INTERP]) / r->count,
		100.0 * r->state[KUSE_PROFILE_KVM] / r->count, name);
}

static void print_place(const struct profile *p, const struct row *r)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)r->addr);
	print_row(p, r, r->name ? r->name : text);
}

/* Of samples with a guest address: the kernel's or the user programs'. */
static size_t collect(const struct profile *p, bool user, struct row *row)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->sample[i].state <= KUSE_PROFILE_KVM && p->sample[i].user == user)
			row[n++] = row_of(p, &p->sample[i]);
	return merge(row, n, by_place);
}

static void report_kernel(const struct profile *p, struct row *row)
{
	size_t n = collect(p, false, row);

	qsort(row, n, sizeof(*row), by_count);
	fprintf(p->out, "\nguest kernel%s\n",
		p->syms->n ? "" : " (no kallsyms in the guest's memory; give its System.map with --symbols)");
	fprintf(p->out, "   time  %% in: code  xlat   TLB  help  exit\n");
	for (size_t i = 0; i < n && i < MAX_ROWS; i++)
		print_place(p, &row[i]);
}

static int by_root(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return (x->root > y->root) - (x->root < y->root);
}

static void report_space(const struct profile *p, const struct row *space, struct row *places, size_t n)
{
	char text[64];

	snprintf(text, sizeof(text), "user program at CR3 0x%llx", (unsigned long long)space->root);
	print_row(p, space, text);
	qsort(places, n, sizeof(*places), by_count);
	for (size_t i = 0; i < n && i < MAX_PLACES; i++)
		print_place(p, &places[i]);
}

/* Rows are sorted by address space: each is a stretch of them. */
static void report_user(const struct profile *p, struct row *row, struct row *space)
{
	size_t n = collect(p, true, row), n_spaces;

	memcpy(space, row, n * sizeof(*row));
	n_spaces = merge(space, n, by_root);
	qsort(space, n_spaces, sizeof(*space), by_count);
	fprintf(p->out, "\nguest user programs: %zu address space%s\n", n_spaces, n_spaces == 1 ? "" : "s");
	for (size_t i = 0; i < n_spaces && i < MAX_SPACES; i++) {
		size_t from = 0, to;

		while (row[from].root != space[i].root)
			from++;
		for (to = from; to < n && row[to].root == space[i].root; to++)
			;
		report_space(p, &space[i], row + from, to - from);
		qsort(row + from, to - from, sizeof(*row), by_place);
	}
}

static void report_interpreted(const struct profile *p)
{
	struct kuse_profile_insn top[20];
	unsigned long n = kuse_profile_interpreted(top, ARRAY_SIZE(top));

	if (n)
		fprintf(p->out, "\ninstructions interpreted most often\n");
	for (unsigned long i = 0; i < n; i++)
		fprintf(p->out, "%12lu  %s\n", top[i].count, top[i].name);
}

static void report(struct profile *p)
{
	struct row *row = calloc(p->n + 1, 2 * sizeof(*row));

	if (!row)
		return;
	for (size_t i = 0; i < p->n; i++) {
		p->total += p->sample[i].count;
		p->state[p->sample[i].state] += p->sample[i].count;
	}
	fprintf(p->out, "kuse profile: %llu samples, %d a second for each of %u vCPU%s\n\n",
		(unsigned long long)p->total, HZ, p->opt->vm.cpus, p->opt->vm.cpus == 1 ? "" : "s");
	report_states(p);
	report_interpreted(p);
	report_kernel(p, row);
	report_user(p, row, row + p->n);
	free(row);
}

/* ---- around a run ---- */

static void profile_free(struct profile *p)
{
	if (p->out && p->out != stderr)
		fclose(p->out);
	free(p->sample);
	free(p);
}

static int prepare(struct profile *p, struct run_options *opt)
{
	int err;

	p->out = opt->profile_file ? fopen(opt->profile_file, "we") : stderr;
	if (!p->out)
		return complain(STATUS_FAILURE, "cannot write the profile to '%s': %s", opt->profile_file,
				strerror(errno));
	err = kuse_profile_start(HZ);
	return err ? complain(STATUS_FAILURE, "cannot profile: %s", strerror(-err)) : STATUS_OK;
}

int profile_begin(struct run_options *opt, const struct ksyms *syms, struct profile **profile)
{
	struct profile *p = calloc(1, sizeof(*p));
	int status;

	if (!p)
		return complain(STATUS_HOST_MEMORY, "the host is out of memory; free some");
	p->opt = opt;
	p->syms = syms;
	status = prepare(p, opt);
	if (status != STATUS_OK) {
		profile_free(p);
		return status;
	}
	*profile = p;
	return STATUS_OK;
}

void profile_end(struct profile *p)
{
	long n;

	if (!p)
		return;
	n = kuse_profile_stop(&p->sample);
	p->n = n > 0 ? (size_t)n : 0;
	report(p);
	if (p->out != stderr && fflush(p->out))
		complain(0, "cannot write the profile to '%s': %s", p->opt->profile_file, strerror(errno));
	profile_free(p);
}
