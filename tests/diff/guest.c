/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same case on hyp's CPU. A minimal kernel without code: GDT as Linux has it (so selectors a
 * program can see are equal), an IDT whose handlers are one HLT each, so an exception ends as
 * HYP_EXIT_HLT with the vector in rip and the rest in the frame on the stack; page tables that map
 * what the native side has mmapped, to scattered physical pages; the kernel's own things in the top
 * 2 GiB (3.75 GiB in 32-bit mode), not accessible to the user.
 *
 * With interruptions, another thread kicks the CPU all the time, and at every kick that comes at a
 * good moment an interrupt is injected whose handler only returns: the case must not notice.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "hyp/hyp.h"
#include "hyp/sys/x86/state.h"
#include "tests/diff/diff.h"

#define RAM_SIZE 0x200000u
#define KERNEL64 0xffffffff80000000ull
#define KERNEL32 0xf0000000ull

/* Physical layout */
enum {
	P_GDT = 0x1000, P_IDT = 0x2000, P_TSS = 0x3000, P_HANDLERS = 0x4000, P_STACK_TOP = 0xc000,
	P_IRET = 0x5000, P_IRET_FRAME = 0x6000,
	P_PML4 = 0x10000, P_PDPT = 0x11000, P_PD = 0x12000, P_PDPT_HIGH = 0x13000, P_PD_HIGH = 0x14000,
	P_PT_CODE = 0x15000, P_PT_DATA = 0x16000, P_PT_STACK = 0x17000, P_PDPT_PAE = 0x18000,
};
static const u32 code_page[] = { 0x40000, 0x47000 };
static const u32 data_page[] = { 0x53000, 0x51000, 0x5a000, 0x50000 };
static const u32 stack_page[] = { 0x62000, 0x60000 };

#define V_INTERRUPT 32 /* its gate leads to an IRET */

bool guest_interruptions;
u64 guest_interrupts;

struct guest {
	enum dt_mode mode;
	struct hyp_as *as;
	struct hyp_cpu *cpu;
	u8 *ram;
	u64 kernel; /* linear address of physical 0 */
};

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_PS 0x80ull
#define PTE_NX (1ull << 63)

static void put64(struct guest *g, u32 at, u64 v) { memcpy(g->ram + at, &v, 8); }

static void map_pages(struct guest *g, u32 pt, const u32 *pages, unsigned n, u64 flags)
{
	for (unsigned i = 0; i < n; i++)
		put64(g, pt + 8 * i, pages[i] | flags);
}

static void map_code(struct guest *g, bool writable)
{
	map_pages(g, P_PT_CODE, code_page, DT_CODE_PAGES, PTE_P | PTE_U | (writable ? PTE_W : 0));
}

static bool direct_engine(void)
{
	const char *engine = getenv("KUSE_HYP_ENGINE");

	return engine && !strcmp(engine, "direct");
}

/* Code that may be written to does not run directly. */
static bool runs_directly(const struct guest *g)
{
	return g->mode == DT_LONG_USER && direct_engine();
}

static void build_page_tables(struct guest *g)
{
	const u64 t = PTE_P | PTE_W | PTE_U;

	put64(g, P_PML4, P_PDPT | t);
	put64(g, P_PML4 + 8 * 511, P_PDPT_HIGH | PTE_P | PTE_W);
	put64(g, P_PDPT, P_PD | t);
	put64(g, P_PDPT_HIGH + 8 * 510, P_PD_HIGH | PTE_P | PTE_W);
	put64(g, P_PDPT_PAE, P_PD | PTE_P);
	put64(g, P_PDPT_PAE + 24, P_PD_HIGH | PTE_P);
	put64(g, P_PD_HIGH + 8 * (g->kernel >> 21 & 511), PTE_P | PTE_W | PTE_PS);
	put64(g, P_PD + 8 * (DT_CODE >> 21), P_PT_CODE | t);
	put64(g, P_PD + 8 * (DT_DATA >> 21), P_PT_DATA | t);
	put64(g, P_PD + 8 * (DT_STACK >> 21), P_PT_STACK | t);
	map_pages(g, P_PT_DATA, data_page, DT_DATA_RW_PAGES, t | PTE_NX);
	map_pages(g, P_PT_DATA + 8 * DT_DATA_RW_PAGES, data_page + DT_DATA_RW_PAGES, 1,
		  PTE_P | PTE_U | PTE_NX);
	map_pages(g, P_PT_STACK, stack_page, DT_STACK_PAGES, t | PTE_NX);
}

static void build_gate(struct guest *g, unsigned v)
{
	u64 h = g->kernel + (v == V_INTERRUPT ? (u32)P_IRET : P_HANDLERS + 16 * v),
	    type = v == 3 || v == 4 ? 0xee : 0x8e;
	u64 cs = g->mode == DT_PROT_USER ? 0x08 : 0x10;
	u64 low = (h & 0xffff) | cs << 16 | type << 40 | (h >> 16 & 0xffff) << 48;

	g->ram[P_HANDLERS + 16 * v] = 0xf4;
	if (g->mode == DT_PROT_USER) {
		put64(g, P_IDT + 8 * v, low);
	} else {
		put64(g, P_IDT + 16 * v, low | 1ull << 32); /* IST 1 */
		put64(g, P_IDT + 16 * v + 8, h >> 32);
	}
}

static void build_tables(struct guest *g)
{
	u32 esp0 = g->kernel + P_STACK_TOP, ss0 = 0x18;

	put64(g, P_GDT + 0x08, 0x00cf9b000000ffff);
	put64(g, P_GDT + 0x10, 0x00af9b000000ffff);
	put64(g, P_GDT + 0x18, 0x00cf93000000ffff);
	put64(g, P_GDT + 0x20, 0x00cffb000000ffff);
	put64(g, P_GDT + 0x28, 0x00cff3000000ffff);
	put64(g, P_GDT + 0x30, 0x00affb000000ffff);
	for (unsigned v = 0; v < 32; v++)
		build_gate(g, v);
	build_gate(g, V_INTERRUPT);
	if (g->mode == DT_PROT_USER) {
		memcpy(g->ram + P_TSS + 4, &esp0, 4);
		memcpy(g->ram + P_TSS + 8, &ss0, 4);
	} else {
		put64(g, P_TSS + 4, g->kernel + P_STACK_TOP);
		put64(g, P_TSS + 0x24, g->kernel + P_STACK_TOP);
	}
	g->ram[P_TSS + 0x66] = 0x68; /* no I/O map */
	memcpy(g->ram + P_IRET, g->mode == DT_PROT_USER ? "\xcf" : "\x48\xcf", 2);
}

/* ---- registers -------------------------------------------------------------------------------- */

static void set_seg(struct x86_state *s, unsigned i, u16 sel, u32 ar)
{
	s->seg[i] = (struct x86_seg){ 0, 0xffffffff, ar, sel };
}

static void set_segments(struct guest *g, struct x86_state *s)
{
	for (unsigned i = 0; i < 6; i++)
		set_seg(s, i, 0x2b, 0xc0f3);
	switch (g->mode) {
	case DT_LONG_USER:
		set_seg(s, X86_CS, 0x33, 0xa0fb);
		for (unsigned i = 0; i < 6; i++) /* Linux's programs have null selectors in the others */
			s->seg[i].sel *= i == X86_CS || i == X86_SS;
		break;
	case DT_LONG_KERNEL:
		set_seg(s, X86_CS, 0x10, 0xa09b);
		set_seg(s, X86_SS, 0x18, 0xc093);
		break;
	case DT_COMPAT_KERNEL:
		set_seg(s, X86_CS, 0x08, 0xc09b);
		set_seg(s, X86_SS, 0x18, 0xc093);
		break;
	default:
		set_seg(s, X86_CS, 0x23, 0xc0fb);
	}
	s->seg[X86_TR] = (struct x86_seg){ g->kernel + P_TSS, 0x67, 0x8b, 0x40 };
	s->seg[X86_LDTR] = (struct x86_seg){ 0, 0, X86_AR_UNUSABLE, 0 };
}

static void set_control(struct guest *g, struct x86_state *s)
{
	bool lm = g->mode != DT_PROT_USER;

	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG;
	s->cr4 = X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE |
		 X86_CR4_OSXSAVE;
	s->cr3 = lm ? P_PML4 : P_PDPT_PAE;
	s->cr2 = 0;
	s->efer = X86_EFER_NX | X86_EFER_SCE | (lm ? X86_EFER_LME | X86_EFER_LMA : 0);
	s->cr0_valid = ~0u;
	s->cr4_valid = s->cr4;
	s->efer_valid = s->efer;
	s->xcr0 = s->xcr0_valid = xsave_features();
	s->gdtr = (struct x86_dtable){ g->kernel + P_GDT, 0x4f };
	s->idtr = (struct x86_dtable){ g->kernel + P_IDT, (V_INTERRUPT + 1) * (lm ? 16 : 8) - 1 };
	s->maxphyaddr = 40;
	s->maxlinaddr = 48;
	s->is_amd = true;
	s->has_rdtscp = s->has_rdpid = s->has_invpcid = s->has_gbpages = s->has_erms = true;
	s->tsc_ratio = 1ull << 48;
}

static void load_state(struct guest *g, const struct dt_case *c)
{
	struct x86_state *s = hyp_x86_state(g->cpu);

	set_segments(g, s);
	set_control(g, s);
	memcpy(s->gpr, c->init.gpr, sizeof(s->gpr));
	s->rip = c->init.rip;
	s->rflags = c->init.rflags;
	s->seg[X86_FS].base = c->init.fs_base;
	s->seg[X86_GS].base = c->init.gs_base;
	memcpy(s->xsave, c->init.xsave, xsave_total());
	s->shadow = 0;
	s->inject.type = X86_EVENT_NONE;
	hyp_x86_state_changed(g->cpu);
}

/* ---- memory --------------------------------------------------------------------------------------- */

/* As a client's DMA would. */
static void load_data(struct guest *g, const struct dt_mem *m)
{
	for (unsigned i = 0; i < DT_DATA_PAGES; i++)
		memcpy(g->ram + data_page[i], m->data + i * PAGE_SIZE, PAGE_SIZE);
	for (unsigned i = 0; i < DT_STACK_PAGES; i++)
		memcpy(g->ram + stack_page[i], m->stack + i * PAGE_SIZE, PAGE_SIZE);
}

/* Code goes through hyp, which drops translations, or behind its back, as with a client's DMA: then hyp has
 * to look at the page again, since hyp_cpu_run has returned in between. */
static void load_memory(struct guest *g, const struct dt_case *c)
{
	for (unsigned i = 0; i < DT_CODE_PAGES; i++) {
		const u8 *page = c->mem.code + i * PAGE_SIZE;

		if (c->seed & 1)
			hyp_as_write(g->as, code_page[i], page, PAGE_SIZE);
		else
			memcpy(g->ram + code_page[i], page, PAGE_SIZE);
	}
	hyp_as_client_ran(g->as);
	load_data(g, &c->mem);
}

static void store_memory(const struct guest *g, struct dt_mem *m)
{
	for (unsigned i = 0; i < DT_CODE_PAGES; i++)
		memcpy(m->code + i * PAGE_SIZE, g->ram + code_page[i], PAGE_SIZE);
	for (unsigned i = 0; i < DT_DATA_PAGES; i++)
		memcpy(m->data + i * PAGE_SIZE, g->ram + data_page[i], PAGE_SIZE);
	for (unsigned i = 0; i < DT_STACK_PAGES; i++)
		memcpy(m->stack + i * PAGE_SIZE, g->ram + stack_page[i], PAGE_SIZE);
}

/* ---- running -------------------------------------------------------------------------------------- */

static struct hyp_cpu *volatile on_cpu;
static volatile u32 run_serial, tick_serial;
static volatile bool timed_out;

static void on_tick(int sig)
{
	if (on_cpu && tick_serial == run_serial) {
		timed_out = true;
		hyp_cpu_kick(on_cpu);
	}
	tick_serial = run_serial;
}

/* What runs directly costs another process's time. */
static void start_ticks(void)
{
	bool direct = direct_engine();
	unsigned s = guest_interruptions ? 2 : 0; /* the kicks slow it down */
	unsigned us = direct ? 400000 : 150000;
	struct itimerval tick = { { s, us }, { s, us } };
	struct sigaction sa = { .sa_handler = on_tick, .sa_flags = SA_RESTART | SA_ONSTACK };

	sigaction(direct ? SIGALRM : SIGPROF, &sa, NULL);
	setitimer(direct ? ITIMER_REAL : ITIMER_PROF, &tick, NULL);
}

static bool has_error_code(u8 v)
{
	return v == 8 || (v >= 10 && v <= 14) || v == 17;
}

static u64 frame_word(struct guest *g, u64 sp, unsigned i)
{
	unsigned w = g->mode == DT_PROT_USER ? 4 : 8;
	u64 v = 0, pa = sp + i * w - g->kernel;

	if (pa <= RAM_SIZE - 8)
		memcpy(&v, g->ram + pa, w);
	return v;
}

static void read_exception(struct guest *g, struct dt_result *out)
{
	struct x86_state *s = hyp_x86_state(g->cpu);
	u64 sp = s->gpr[X86_RSP];
	unsigned i = 0;

	out->vector = (s->rip - g->kernel - P_HANDLERS) >> 4;
	if (has_error_code(out->vector))
		out->error = frame_word(g, sp, i++);
	if (out->vector == X86_PF)
		out->cr2 = s->cr2;
	out->s.rip = frame_word(g, sp, i);
	out->s.rflags = frame_word(g, sp, i + 2);
	out->s.gpr[X86_RSP] = frame_word(g, sp, i + 3);
}

static void store_state(struct guest *g, struct dt_result *out)
{
	struct x86_state *s = hyp_x86_state(g->cpu);

	memcpy(out->s.gpr, s->gpr, sizeof(s->gpr));
	out->s.rip = s->rip;
	out->s.rflags = s->rflags;
	out->s.fs_base = s->seg[X86_FS].base;
	out->s.gs_base = s->seg[X86_GS].base;
	memcpy(out->s.xsave, s->xsave, xsave_total());
	store_memory(g, &out->m);
}

static bool at_handler(struct guest *g, u64 rip)
{
	return rip - g->kernel - P_HANDLERS < 32 * 16;
}

static void new_cpu(struct guest *g)
{
	if (g->cpu)
		hyp_cpu_destroy(g->cpu);
	g->cpu = hyp_cpu_create(g->as, 0);
}

/* ---- interruptions ---------------------------------------------------------------------------------- */

static void *kick_all_the_time(void *arg)
{
	struct rng r = { 1 };

	for (;;) {
		struct hyp_cpu *cpu = on_cpu;

		if (cpu)
			hyp_cpu_kick(cpu);
		for (u32 i = 20 + rng_below(&r, 200); i--;)
			__builtin_ia32_pause();
	}
	return NULL;
}

static void start_kicks(void)
{
	static pid_t running_in;
	pthread_t t;

	if (guest_interruptions && running_in != getpid() &&
	    !pthread_create(&t, NULL, kick_all_the_time, NULL))
		running_in = getpid();
}

static void interrupt(struct guest *g)
{
	struct x86_state *s = hyp_x86_state(g->cpu);

	if (!guest_interruptions || !hyp_x86_irq_allowed(g->cpu) || at_handler(g, s->rip))
		return;
	if ((s64)(s->rip << 16) >> 16 != (s64)s->rip)
		return; /* compare.c, same_but_target */
	s->inject = (struct x86_event){ .type = X86_EVENT_EXTINT, .vector = V_INTERRUPT };
	guest_interrupts++;
}

static enum hyp_exit run(struct guest *g, struct dt_result *out)
{
	enum hyp_exit e;

	timed_out = false;
	run_serial++;
	on_cpu = g->cpu;
	while ((e = hyp_cpu_run(g->cpu)) == HYP_EXIT_INTR && !timed_out)
		interrupt(g);
	on_cpu = NULL;
	store_state(g, out);
	if (e == HYP_EXIT_HLT && at_handler(g, out->s.rip))
		read_exception(g, out);
	else
		out->vector = e == HYP_EXIT_INTR ? DT_TIMEOUT : DT_STRANGE;
	if (out->vector == DT_STRANGE)
		out->error = e;
	return e;
}

static void run_from_start(struct guest *g, const struct dt_case *c, struct dt_result *out)
{
	memset(out, 0, offsetof(struct dt_result, m));
	load_memory(g, c);
	load_state(g, c);
	run(g, out);
}

static bool stores_to_code(const struct dt_result *out)
{
	return out->vector == X86_PF && out->error & X86_PFEC_W && out->cr2 >= DT_CODE &&
	       out->cr2 < DT_CODE + DT_CODE_PAGES * PAGE_SIZE;
}

void guest_run(struct guest *g, const struct dt_case *c, struct dt_result *out)
{
	map_code(g, !runs_directly(g));
	run_from_start(g, c, out);
	if (runs_directly(g) && stores_to_code(out)) {
		map_code(g, true);
		run_from_start(g, c, out);
	}
	if (out->vector == DT_STRANGE)
		new_cpu(g);
}

/* The frame an IRET takes the case's start from. */
static u64 write_iret_frame(struct guest *g, const struct dt_case *c)
{
	static const u16 code[DT_MODES] = { [DT_LONG_USER] = 0x33, [DT_LONG_KERNEL] = 0x10, [DT_COMPAT_USER] = 0x23,
					    [DT_PROT_USER] = 0x23, [DT_COMPAT_KERNEL] = 0x08 };
	bool user = !dt_is_kernel(g->mode), wide = g->mode != DT_PROT_USER;
	u64 cs = code[g->mode];
	u64 w[5] = { c->init.rip, cs, c->init.rflags, c->init.gpr[X86_RSP], user ? 0x2b : 0x18 };

	for (unsigned i = 0; i < 5; i++)
		memcpy(g->ram + P_IRET_FRAME + i * (wide ? 8 : 4), &w[i], wide ? 8 : 4);
	return g->kernel + P_IRET_FRAME;
}

bool guest_run_again(struct guest *g, const struct dt_case *c, struct dt_result *out)
{
	struct x86_state *s = hyp_x86_state(g->cpu);

	if (out->vector >= DT_STRANGE || s->seg[X86_FS].base != c->init.fs_base ||
	    s->seg[X86_GS].base != c->init.gs_base || memcmp(out->m.code, c->mem.code, sizeof(c->mem.code)))
		return false;
	memset(out, 0, offsetof(struct dt_result, m));
	load_data(g, &c->mem);
	memcpy(s->gpr, c->init.gpr, sizeof(s->gpr));
	memcpy(s->xsave, c->init.xsave, xsave_total());
	s->gpr[X86_RSP] = write_iret_frame(g, c);
	s->rip = g->kernel + P_IRET;
	s->cr2 = 0;
	run(g, out);
	if (out->vector == DT_STRANGE)
		new_cpu(g);
	return true;
}

struct guest *guest_create(enum dt_mode mode)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct hyp_region ram = { .size = RAM_SIZE };
	static const struct hyp_as_ops ops;
	int fd;

	start_ticks();
	start_kicks();
	g->mode = mode;
	g->kernel = mode == DT_PROT_USER ? KERNEL32 : KERNEL64;
	fd = memfd_create("diff", MFD_CLOEXEC); /* a file can be run directly */
	if (fd < 0 || ftruncate(fd, RAM_SIZE)) {
		free(g);
		return NULL;
	}
	g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ram.hva = g->ram;
	g->as = hyp_as_create(&ops, NULL);
	if (!g->as || g->ram == MAP_FAILED || hyp_as_replace(g->as, 0, NULL, &ram)) {
		free(g);
		return NULL;
	}
	build_page_tables(g);
	build_tables(g);
	new_cpu(g);
	return g->cpu ? g : NULL;
}

void guest_destroy(struct guest *g)
{
	hyp_cpu_destroy(g->cpu);
	hyp_as_destroy(g->as);
	munmap(g->ram, RAM_SIZE);
	free(g);
}
