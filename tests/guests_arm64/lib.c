/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/guests_arm64/lib.h"

volatile struct taken taken[MAX_CPUS];
void (*exception_hook)(struct frame *f, u64 vector);
extern char free_memory[];
static char *next_page = free_memory;

void putch(char c) { write64(DEV_CONSOLE, (u8)c); }

void puts_(const char *s)
{
	while (*s)
		putch(*s++);
}

void puthex(u64 v)
{
	for (int i = 60; i >= 0; i -= 4)
		putch("0123456789abcdef"[v >> i & 15]);
}

static __attribute__((noreturn)) void stop(u64 status)
{
	for (;;)
		write64(DEV_EXIT, status);
}

void done(void)
{
	stop(0);
}

void failed(const char *what, int line, u64 got, u64 want)
{
	puts_("failed: ");
	puts_(what);
	puts_(" line ");
	puthex((u64)line);
	puts_(" got ");
	puthex(got);
	puts_(" want ");
	puthex(want);
	puts_(" esr ");
	puthex(taken[0].esr);
	puts_(" pc ");
	puthex(taken[0].pc);
	puts_(" far ");
	puthex(taken[0].far);
	putch('\n');
	stop(1);
}

static void record(const struct frame *f, u64 vector)
{
	volatile struct taken *t = &taken[mrs(mpidr_el1) & 7];

	t->n++;
	t->vector = vector;
	t->pc = f->pc;
	t->spsr = f->spsr;
	t->esr = f->esr;
	t->far = f->far;
}

/* Sync: behind the instruction; SVC and HVC are there already. A bad pc: to where it was called from. */
static void go_on(struct frame *f)
{
	u64 ec = f->esr >> 26;

	if (ec == 0x15 && (f->esr & 0xffff) == 0xe0) {
		f->pc = (u64)back_from_el0;
		f->spsr = 0x3c5;
	} else if (ec == 0x20 || ec == 0x21 || ec == 0x22) {
		f->pc = f->x[30];
	} else if (ec != 0x15) {
		f->pc += 4;
	}
}

void on_exception(struct frame *f, u64 vector)
{
	if (exception_hook) {
		exception_hook(f, vector);
		return;
	}
	record(f, vector);
	if ((vector & 3) == 0)
		go_on(f);
	else
		write64(DEV_LINES, 0);
}

/* ---- memory ---- */

void *alloc_page(void)
{
	char *p = next_page;

	next_page += 4096;
	return p;
}

void map_user(u64 *root)
{
	u64 *l1 = alloc_page();

	l1[1] = 0x40000000 | PTE_BLOCK | PTE_NORMAL | PTE_USER | PTE_NG | PTE_PXN;
	root[1] = (u64)l1 | PTE_TABLE;
	dsb();
}

void tlbi_all(void)
{
	__asm__ volatile("dsb sy; tlbi vmalle1is; dsb sy; isb" : : : "memory");
}

void mmu_use(u64 *l0, u64 tcr_extra)
{
	msr(mair_el1, 0x00ff);
	msr(tcr_el1, 16ul | 16ul << 16 | 1ul << 23 | 2ul << 30 | 2ul << 32 | tcr_extra);
	msr(ttbr0_el1, l0);
	isb();
	tlbi_all();
	msr(sctlr_el1, mrs(sctlr_el1) | 1);
	isb();
}

u64 *mmu_on(u64 tcr_extra)
{
	u64 *l0 = alloc_page(), *l1 = alloc_page();

	l0[0] = (u64)l1 | PTE_TABLE;
	l1[0] = PTE_BLOCK | PTE_DEVICE | PTE_UXN | PTE_PXN;
	l1[1] = 0x40000000 | PTE_BLOCK | PTE_NORMAL | PTE_UXN;
	mmu_use(l0, tcr_extra);
	return l0;
}

u64 *map_page(u64 *table, u64 va, u64 desc)
{
	for (int shift = 39; shift > 12; shift -= 9) {
		u64 *e = &table[va >> shift & 511];

		if (!(*e & PTE_VALID))
			*e = (u64)alloc_page() | PTE_TABLE;
		table = (u64 *)(*e & 0xfffffffff000);
	}
	table[va >> 12 & 511] = desc;
	return &table[va >> 12 & 511];
}

void cpu_wait(volatile u64 *word, u64 value)
{
	while (*word != value)
		__asm__ volatile("yield");
}

/* ---- several CPUs ---- */

u64 cpus;
static u64 arrived, *shared_tables;
static u64 go __attribute__((aligned(64)));

u64 *smp_start(u64 cpu)
{
	if (cpu == 0) {
		cpus = read64(DEV_CPUS);
		shared_tables = mmu_on(0);
		release(&go, 1);
	} else {
		while (acquire(&go) != 1)
			__asm__ volatile("yield");
		mmu_use(shared_tables, 0);
	}
	barrier();
	return shared_tables;
}

/* A counter that only grows: no sense to reverse. */
void barrier(void)
{
	u64 n = add_lse(&arrived);
	u64 target = (n / cpus + 1) * cpus;

	while (acquire(&arrived) < target)
		__asm__ volatile("yield");
}

void *memset(void *p, int c, u64 n)
{
	for (u64 i = 0; i < n; i++)
		((volatile u8 *)p)[i] = (u8)c;
	return p;
}
