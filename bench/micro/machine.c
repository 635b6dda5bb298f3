/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of bench/micro: a bare hyp_cpu in long mode, RAM at MICRO_BASE through 4 KiB pages of four
 * levels, every page for user and kernel. No interrupts, no KVM. A call is a CALL followed by an OUT that
 * ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "bench/micro/micro.h"

#define PORT_DONE 0x10
#define PORT_EXIT 0x11
#define PTE 7ul /* present, writable, user */

/* guest-physical addresses of what the harness needs itself */
enum { AT_PML4 = 0x1000, AT_PDPT = 0x2000, AT_PD = 0x3000, AT_STUB = 0x4000, AT_HANDLER = 0x5000, AT_PT = 0x10000 };

_Noreturn void micro_fail(const char *what)
{
	fprintf(stderr, "bench_micro: %s\n", what);
	exit(1);
}

double micro_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double micro_median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

u64 micro_stat(struct micro *m, const char *name)
{
	const struct hyp_stat_desc *desc;
	const u64 *values;
	size_t n = hyp_stats(m->cpu, &desc, &values);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(desc[i].name, name))
			return values[i];
	micro_fail(name);
}

static void put(u64 gpa, u64 value)
{
	memcpy((void *)(MICRO_BASE + gpa), &value, sizeof(value));
}

/* MICRO_BASE and what follows it, within one page directory. */
static void make_tables(void)
{
	u64 first = MICRO_BASE >> 21;

	put(AT_PML4, AT_PDPT | PTE);
	put(AT_PDPT, AT_PD | PTE);
	for (u64 pd = 0; pd < MICRO_SIZE >> 21; pd++) {
		put(AT_PD + 8 * (first + pd), (AT_PT + (pd << 12)) | PTE);
		for (u64 i = 0; i < 512; i++)
			put(AT_PT + (pd << 12) + 8 * i, pd << 21 | i << 12 | PTE);
	}
}

void micro_create(struct micro *m)
{
	static const u8 stub[] = { 0xff, 0xd0, 0xe6, PORT_DONE, 0xeb, 0xfe }; /* call *%rax; out; jmp . */
	static const struct hyp_as_ops ops;
	struct hyp_region ram = { .size = MICRO_SIZE };
	const struct micro_code *handler = &micro_code[CODE_HANDLER];

	ram.hva = mmap((void *)MICRO_BASE, MICRO_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (ram.hva != (u8 *)MICRO_BASE)
		micro_fail("no memory at its address");
	make_tables();
	memcpy((void *)(MICRO_BASE + AT_STUB), stub, sizeof(stub));
	memcpy((void *)(MICRO_BASE + AT_HANDLER), handler->start, (size_t)(handler->end - handler->start));
	if (hyp_init())
		micro_fail("hyp_init");
	m->as = hyp_as_create(&ops, NULL);
	if (!m->as || hyp_as_replace(m->as, 0, NULL, &ram))
		micro_fail("hyp_as_create");
	micro_cpu_create(m);
}

static void set_features(struct x86_state *s)
{
	s->cr0_valid = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |
		       X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG;
	s->cr4_valid = 0x7ff | X86_CR4_OSXSAVE;
	s->efer_valid = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX;
	s->xcr0_valid = s->xcr0 = 7;
	s->maxphyaddr = 40;
	s->maxlinaddr = 48;
	s->is_amd = true;
}

static void set_segments(struct x86_state *s, bool user)
{
	u32 dpl = user ? X86_AR_DPL : 0;
	u16 rpl = user ? 3 : 0;

	for (unsigned i = 0; i < 6; i++)
		s->seg[i] = (struct x86_seg){ 0, ~0u, 0xc093 | dpl, (u16)(user ? 0x28 | rpl : 0x10) };
	s->seg[X86_CS] = (struct x86_seg){ 0, ~0u, 0xa09b | dpl, (u16)(user ? 0x30 | rpl : 0x08) };
	s->seg[X86_TR] = (struct x86_seg){ 0, 0x67, 0x8b, 0 };
	s->seg[X86_LDTR] = (struct x86_seg){ 0, 0, X86_AR_UNUSABLE, 0 };
}

void micro_cpu_create(struct micro *m)
{
	struct x86_state *s;

	m->cpu = hyp_cpu_create(m->as, 0);
	if (!m->cpu)
		micro_fail("hyp_cpu_create");
	m->s = s = hyp_x86_state(m->cpu);
	set_features(s);
	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
	s->cr3 = AT_PML4;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	s->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX;
	s->star = 0x08ull << 32 | 0x23ull << 48;
	s->lstar = MICRO_BASE + AT_HANDLER;
	set_segments(s, true);
	hyp_x86_state_changed(m->cpu);
}

void micro_cpu_destroy(struct micro *m)
{
	hyp_cpu_destroy(m->cpu);
}

/* Runs to the OUT that ends the call. */
static void run(struct micro *m)
{
	enum hyp_exit e;

	for (;;) {
		e = hyp_cpu_run(m->cpu);
		if (e == HYP_EXIT_INTR)
			continue;
		if (e != HYP_EXIT_IO || m->s->exit.io.in) {
			fprintf(stderr, "exit %u at %llx, cr2 %llx\n", e, (unsigned long long)m->s->rip,
				(unsigned long long)m->s->cr2);
			micro_fail("an exit that was not asked for");
		}
		if (m->s->exit.io.port == PORT_DONE)
			return;
		m->exits++;
	}
}

u64 micro_call(struct micro *m, bool user, u64 fn, u64 a, u64 b)
{
	struct x86_state *s = m->s;
	bool was_user = s->seg[X86_CS].sel & 3;

	s->gpr[X86_RAX] = fn;
	s->gpr[X86_RDI] = a;
	s->gpr[X86_RSI] = b;
	s->gpr[X86_RSP] = MICRO_STACK;
	s->rip = MICRO_BASE + AT_STUB;
	s->rflags = 2 | X86_FL_IOPL;
	if (was_user != user) {
		set_segments(s, user);
		hyp_x86_state_changed(m->cpu);
	}
	run(m);
	return s->gpr[X86_RAX];
}

u64 micro_call_native(u64 fn, u64 a, u64 b)
{
	return ((u64(*)(u64, u64))fn)(a, b);
}
