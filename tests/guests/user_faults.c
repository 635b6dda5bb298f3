/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page faults of ring 3 as an operating system sees them: error code, CR2 and RIP where a page that was just
 * used loses a right; accesses that cross pages; string instructions that stop midway; addresses that nothing
 * is at.
 */
#include "guest/lib/guest.h"

#define VA GUEST_VA
#define E_P 1
#define E_W 2
#define E_U 4
#define E_RSVD 8
#define E_I 16
#define RW (PTE_P | PTE_W | PTE_U | PTE_NX)
#define RX (PTE_P | PTE_U)

static u64 cr3, page, beyond;

static USER_TEXT void load(u64 a) { (void)*(volatile u8 *)a; user_return(0); }
static USER_TEXT void store(u64 a) { *(volatile u8 *)a = 1; user_return(0); }
static USER_TEXT void add(u64 a) { asm volatile("lock incl (%0)" : : "r"(a) : "memory"); user_return(0); }
static USER_TEXT void jump(u64 a) { ((void (*)(void))a)(); user_return(0); }
static USER_TEXT void load8(u64 a) { (void)*(volatile u64 *)a; user_return(0); }
static USER_TEXT void store8(u64 a) { *(volatile u64 *)a = ~0ull; user_return(0); }

/* The error code of the #PF that fn(a) takes; -1: none. CR2 is to be `at`. */
static int pf_at(void (*fn)(u64), u64 a, u64 at)
{
	int v = user_call(fn, a);

	if (v == V_PF)
		CHECK_EQ(trap.cr2, at);
	return v == V_PF ? (int)trap.f.error : v == V_USER_RETURN ? -1 : -100 - v;
}

static int pf(void (*fn)(u64), u64 a)
{
	return pf_at(fn, a, a);
}

/* ---- a page loses a right and gets it back ----------------------------------------------------------- */

static const struct {
	void (*fn)(u64);
	u64 good, bad;
	int error;
} losses[] = {
	{ load, RW, 0, E_U },
	{ store, RW, 0, E_U | E_W },
	{ add, RW, 0, E_U | E_W },
	{ jump, RX, 0, E_U | E_I },
	{ store, RW, RW & ~PTE_W, E_U | E_W | E_P },
	{ add, RW, RW & ~PTE_W, E_U | E_W | E_P },
	{ load, RW, RW & ~PTE_U, E_U | E_P },
	{ store, RW, RW & ~PTE_U, E_U | E_W | E_P },
	{ jump, RX, RX & ~PTE_U, E_U | E_I | E_P },
	{ jump, RX, RX | PTE_NX, E_U | E_I | E_P },
	{ load, RW, RW | 1ull << 51, E_U | E_P | E_RSVD },
	{ store, RW, RW | 1ull << 51, E_U | E_W | E_P | E_RSVD },
};

static void lose(unsigned i, u64 *entry, u64 address)
{
	u64 good = *entry, bad = losses[i].bad ? (good & ~(RW | RX)) | losses[i].bad : 0;

	for (int round = 0; round < 3; round++) {
		CHECK_EQ(pf(losses[i].fn, address), -1);
		CHECK_EQ(pf(losses[i].fn, address), -1);
		*entry = bad;
		invlpg(address);
		CHECK_EQ(pf(losses[i].fn, address), losses[i].error);
		CHECK_EQ(pf(losses[i].fn, address), losses[i].error);
		if (losses[i].error & E_I)
			CHECK_EQ(trap.f.rip, address);
		*entry = good;
		if (bad & PTE_P) /* what is not present needs no flush */
			invlpg(address);
	}
	CHECK_EQ(pf(losses[i].fn, address), -1);
}

static void each_loss(void)
{
	for (unsigned i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		*(volatile u8 *)(page + 0x38) = 0xc3;
		page_map(cr3, VA, page, losses[i].good, 12);
		lose(i, page_entry(cr3, VA, 12), VA + 0x38);
	}
}

/* On upper levels the same rights are ANDed, from one level to the next; NX is ORed. */
static void upper_levels(void)
{
	page_map(cr3, VA, page, RW, 12);
	for (unsigned s = 21; s <= 39; s += 9) {
		u64 *e = page_entry(cr3, VA, s), old = *e;

		for (int round = 0; round < 3; round++) {
			CHECK_EQ(pf(store, VA), -1);
			*e = old & ~PTE_U;
			invlpg(VA);
			CHECK_EQ(pf(load, VA), E_U | E_P);
			*e = old & ~PTE_W;
			invlpg(VA);
			CHECK_EQ(pf(load, VA), -1);
			CHECK_EQ(pf(store, VA), E_U | E_P | E_W);
			*e = 0;
			invlpg(VA);
			CHECK_EQ(pf(store, VA), E_U | E_W);
			*e = old;
		}
		invlpg(VA);
	}
}

/* ---- more than one page, more than one byte ------------------------------------------------------------ */

/* CR2 is the first byte that cannot be had; of a store nothing is written. */
static void crossing(void)
{
	static const u64 bad[] = { 0, PTE_P | PTE_U | PTE_NX };

	for (unsigned i = 0; i < 2; i++) {
		page_map(cr3, VA, page, RW, 12);
		page_map(cr3, VA + 4096, beyond, RW, 12);
		CHECK_EQ(pf(store8, VA + 4092), -1);
		*(u64 *)(page + 4088) = 0;
		page_map(cr3, VA + 4096, beyond, bad[i], 12);
		CHECK_EQ(pf_at(store8, VA + 4092, VA + 4096), E_U | E_W | (bad[i] & PTE_P ? E_P : 0));
		CHECK_EQ(*(volatile u64 *)(page + 4088), 0);
		CHECK_EQ(pf_at(load8, VA + 4092, VA + 4096), bad[i] ? -1 : E_U);
		page_map(cr3, VA + 4096, beyond, RW, 12);
		page_map(cr3, VA, page, bad[i], 12);
		CHECK_EQ(pf(store8, VA + 4092), E_U | E_W | (bad[i] & PTE_P ? E_P : 0));
	}
}

/* `fn` starts 16 bytes before the end of its page, and goes on behind it. */
static USER_TEXT void run_off(u64 a)
{
	asm volatile("call *%0" : : "r"(a) : "memory");
	user_return(7);
}

static void code_crossing(void)
{
	u64 x = page_alloc(), y = page_alloc();

	/* the first byte of a MOV on one page, its immediate and a RET on the next */
	*(u8 *)(x + 4095) = 0xb8;
	*(u32 *)y = 0x12345678;
	*(u8 *)(y + 4) = 0xc3;
	page_map(cr3, VA, x, RX, 12);
	page_map(cr3, VA + 4096, y, RX, 12);
	CHECK_EQ(user_call(run_off, VA + 4095), V_USER_RETURN);
	page_map(cr3, VA + 4096, y, RX | PTE_NX, 12);
	CHECK_EQ(pf_at(run_off, VA + 4095, VA + 4096), E_U | E_I | E_P);
	CHECK_EQ(trap.f.rip, VA + 4095);
	page_map(cr3, VA + 4096, 0, 0, 12);
	CHECK_EQ(pf_at(run_off, VA + 4095, VA + 4096), E_U | E_I);
	CHECK_EQ(trap.f.rip, VA + 4095);
	page_map(cr3, VA + 4096, y, RX, 12);
	CHECK_EQ(user_call(run_off, VA + 4095), V_USER_RETURN);
}

extern u8 rep_movs_at[], rep_stos_at[];
static USER_TEXT void rep_movs(u64 a)
{
	asm volatile("lea 4096 - 100(%0), %%rdi; mov %0, %%rsi; mov $200, %%ecx\n"
		     ".globl rep_movs_at\nrep_movs_at: rep movsb"
		     : : "r"(a) : "rcx", "rsi", "rdi", "memory");
	user_return(0);
}

static USER_TEXT void rep_stos(u64 a)
{
	asm volatile("lea 4096 - 80(%0), %%rdi; mov $20, %%ecx; mov $0x55, %%eax\n"
		     ".globl rep_stos_at\nrep_stos_at: rep stosq"
		     : : "r"(a) : "rax", "rcx", "rdi", "memory");
	user_return(0);
}

/* The count and the pointers say where it stopped; what comes before it is done. */
static void strings(void)
{
	page_map(cr3, VA, page, RW, 12);
	page_map(cr3, VA + 4096, 0, 0, 12);
	for (int round = 0; round < 3; round++) {
		*(volatile u8 *)page = 0x77;
		CHECK_EQ(pf_at(rep_movs, VA, VA + 4096), E_U | E_W);
		CHECK_EQ(trap.f.rip, (u64)rep_movs_at);
		CHECK_EQ(trap.f.rcx, 100);
		CHECK_EQ(trap.f.rdi, VA + 4096);
		CHECK_EQ(trap.f.rsi, VA + 100);
		CHECK_EQ(*(volatile u8 *)(page + 4096 - 100), 0x77);
		CHECK_EQ(pf_at(rep_stos, VA, VA + 4096), E_U | E_W);
		CHECK_EQ(trap.f.rip, (u64)rep_stos_at);
		CHECK_EQ(trap.f.rcx, 10);
		CHECK_EQ(trap.f.rdi, VA + 4096);
	}
}

/* The stack: PUSH and CALL onto a page that is not there. */
static USER_TEXT void push_there(u64 a)
{
	asm volatile("mov %0, %%rsp; push %0" : : "r"(a) : "memory");
	user_return(0);
}

static USER_TEXT void call_there(u64 a)
{
	asm volatile("mov %0, %%rsp; call 1f; 1: nop" : : "r"(a) : "memory");
	user_return(0);
}

static void stacks(void)
{
	page_map(cr3, VA, 0, 0, 12);
	page_map(cr3, VA + 4096, beyond, RW, 12);
	CHECK_EQ(pf_at(push_there, VA + 4096, VA + 4088), E_U | E_W);
	CHECK_EQ(trap.f.rsp, VA + 4096);
	CHECK_EQ(pf_at(call_there, VA + 4096, VA + 4088), E_U | E_W);
	CHECK_EQ(trap.f.rsp, VA + 4096);
	CHECK_EQ(user_call(push_there, VA + 4096 + 64), V_USER_RETURN);
}

/*
 * ---- the rest of the address space ----------------------------------------------------------------------
 */

static int expected(u64 a)
{
	return E_U | (a < 1ull << 32 ? E_P : 0); /* the start-up maps 4 GiB for the kernel */
}

static void nothing_at(u64 a)
{
	CHECK_EQ(pf(load, a), expected(a));
	CHECK_EQ(pf(store, a), expected(a) | E_W);
	CHECK_EQ(pf(jump, a), expected(a) | E_I);
}

/*
 * Where processes on Linux have something, and the engine may have: the program sees nothing of it. (Of the
 * 64 KiB at 0x4b5553450000 it does: docs/caveats.md, "Direct execution".)
 */
static void nothing_anywhere(void)
{
	static const u64 places[] = {
		0, 8, 0x1000, 0x10000, 0x7fffffff000,
		0x555555554000, 0x7ffff7ffc000, 0x7ffff7fc1000, 0x7fffffffe000, 0x7fffffffeff8,
		0x7fffffffefff, 0x7ffffffff000, 0x7fffffffffff, 0xffffffffff600000, 0xffffffffff600400,
		0xffffffffff700000, 0xffff800000000000, 0xffffffff81000000, 0xfffffffffffff000,
	};

	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		nothing_at(places[i]);
	for (u64 i = 2; i < 256; i += 5)
		CHECK_EQ(pf(load, i << 39 | i << 21 | i), E_U);
	CHECK_EQ(user_call(load, 0x0000800000000000), V_GP);
	CHECK_EQ(user_call(load8, 0x00007ffffffffffc), V_GP);
	CHECK_EQ(user_call(load, 0xffff7fffffffffff), V_GP);
	CHECK_EQ(trap.f.error, 0);
}

int guest_main(void)
{
	user_as_os();
	cr3 = READ_CR(3);
	page = page_alloc();
	beyond = page_alloc();
	each_loss();
	upper_levels();
	crossing();
	code_crossing();
	strings();
	stacks();
	page_map(cr3, VA, 0, 0, 12);
	page_map(cr3, VA + 4096, 0, 0, 12);
	nothing_anywhere();
	return 0;
}
