/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables that change under a program of ring 3 while it runs: it asks for the change by INT or by a
 * page fault, and goes on. Every kind of flush; large pages; address spaces taking turns; copy on write;
 * accessed and dirty bits, which are set when a page is used and not before.
 */
#include "guest/lib/guest.h"

#define VA GUEST_VA
#define SHARED (VA + (1ull << 39)) /* the same page in every space */
#define RW (PTE_P | PTE_W | PTE_U | PTE_NX)
#define RO (PTE_P | PTE_U | PTE_NX)
#define ROUNDS 200u

static u64 cr3;
static u64 pages[8];
static void (*on_call)(struct frame *);

static void sys_call(struct frame *f) { on_call(f); }

/* What the program calls the kernel with; RAX goes in and out. */
static inline __attribute__((always_inline)) u64 call(u64 v)
{
	asm volatile("int $0x42" : "+a"(v) : : "memory");
	return v;
}

/*
 * ---- one page after the other at one address
 * --------------------------------------------------------------
 */

/* Reads VA, which the kernel has changed, `rounds` times; the kernel says what is to be there. */
static USER_TEXT void reader(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		u64 want = call(i);

		wrong += *(volatile u64 *)VA != want;
	}
	user_return(wrong);
}

static void toggle_global(void)
{
	u64 cr4 = READ_CR(4);

	WRITE_CR(4, cr4 & ~CR4_PGE);
	WRITE_CR(4, cr4 | CR4_PGE);
}

static void flush_invlpg(void) { invlpg(VA); }
static void flush_cr3(void) { WRITE_CR(3, READ_CR(3)); }
static void (*flush)(void);
static u64 extra;

static void change(struct frame *f)
{
	unsigned i = f->rax % 5;

	*page_entry(cr3, VA, 12) = pages[i] | RW | extra;
	flush();
	f->rax = 'a' + i;
}

static void one_address(void)
{
	static void (*const flushes[])(void) = { flush_invlpg, flush_cr3, toggle_global };

	on_call = change;
	WRITE_CR(4, READ_CR(4) | CR4_PGE);
	for (unsigned i = 0; i < 3; i++) {
		flush = flushes[i];
		extra = flush == toggle_global || flush == flush_invlpg ? PTE_G : 0;
		page_map(cr3, VA, pages[7], RW | extra, 12);
		CHECK_EQ(user_call(reader, ROUNDS), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, 0);
	}
	invlpg(VA);
}

/* A whole table exchanged, one level up and two. */
static u64 tables[2];

static void change_table(struct frame *f)
{
	unsigned s = f->rax & 2 ? 21 : 30, i = f->rax & 1;
	u64 *e = page_entry(cr3, VA, s);

	if (s == 21)
		*e = tables[i] | PTE_P | PTE_W | PTE_U;
	else
		*page_entry(cr3, VA, 21) = tables[i] | PTE_P | PTE_W | PTE_U;
	invlpg(VA);
	f->rax = 'a' + i;
}

static void upper_level(void)
{
	u64 *e = page_entry(cr3, VA, 21), old = *e;

	for (unsigned i = 0; i < 2; i++) {
		tables[i] = page_alloc();
		((u64 *)tables[i])[VA >> 12 & 511] = pages[i] | RW;
	}
	on_call = change_table;
	CHECK_EQ(user_call(reader, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	*e = old;
	invlpg(VA);
}

/* 2 MiB at VA, and the same place in pages of 4 KiB that begin elsewhere. */
static void change_size(struct frame *f)
{
	u64 *e = page_entry(cr3, VA, 21);

	*e = f->rax & 1 ? tables[0] | PTE_P | PTE_W | PTE_U : 0x2000000 | RW | PTE_PS;
	invlpg(VA);
	f->rax = f->rax & 1 ? 'a' : 'L';
}

static void sizes(void)
{
	u64 *e = page_entry(cr3, VA, 21), old = *e;

	*(volatile u64 *)0x2000000 = 'L';
	on_call = change_size;
	CHECK_EQ(user_call(reader, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	*e = old;
	invlpg(VA);
}

/*
 * ---- pages on demand: nothing present, no flush
 * ---------------------------------------------------------------
 */

#define DEMAND 40u
static u64 demand[DEMAND];
static volatile u32 demanded;

static void provide(struct frame *f)
{
	u64 a = READ_CR(2), n = (a - VA) >> 12;

	CHECK_EQ(f->error & 0x19, 0); /* not present, data */
	CHECK_EQ(f->error & 4, 4);
	CHECK(n < DEMAND);
	*page_entry(cr3, a, 12) = demand[n] | RW;
	demanded++;
}

static USER_TEXT void toucher(u64 n)
{
	u64 wrong = 0;

	for (u64 i = 0; i < n; i++)
		*(volatile u64 *)(VA + i * 4096 + 8) = i ^ 0x5a;
	for (u64 i = 0; i < n; i++)
		wrong += *(volatile u64 *)(VA + i * 4096 + 8) != (i ^ 0x5a);
	user_return(wrong);
}

static void on_demand(void)
{
	trap_handler(V_PF, provide);
	for (int round = 0; round < 5; round++) {
		for (u64 i = 0; i < DEMAND; i++) {
			*page_entry(cr3, VA + i * 4096, 12) = 0;
			invlpg(VA + i * 4096);
		}
		demanded = 0;
		CHECK_EQ(user_call(toucher, DEMAND), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, 0);
		CHECK_EQ(demanded, DEMAND);
		for (u64 i = 0; i < DEMAND; i++) {
			CHECK_EQ(*(volatile u64 *)(demand[i] + 8), i ^ 0x5a);
			*(volatile u64 *)(demand[i] + 8) = 0;
		}
	}
	trap_handler(V_PF, NULL);
}

/*
 * ---- copy on write
 * ----------------------------------------------------------------------------------------------
 */

static u32 copies;

static void copy_on_write(struct frame *f)
{
	u64 a = READ_CR(2), *e = page_entry(cr3, a, 12);
	u64 from = *e & 0xfffffffff000, to = demand[copies++ % DEMAND];

	CHECK_EQ(f->error, 7);
	for (unsigned i = 0; i < 512; i++)
		((volatile u64 *)to)[i] = ((volatile u64 *)from)[i];
	*e = to | RW;
	invlpg(a);
}

/* Writes into its page; the kernel makes it read-only again and keeps the old one, as fork would. */
static USER_TEXT void writer(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		u64 old = *(volatile u64 *)(VA + 16);

		*(volatile u64 *)(VA + 16) = old + 1;
		*(volatile u64 *)(VA + 24) = i;
		wrong += *(volatile u64 *)(VA + 16) != old + 1 || old != i;
		wrong += call(old + 1) != old + 1;
	}
	user_return(wrong);
}

static void protect(struct frame *f)
{
	u64 *e = page_entry(cr3, VA, 12), page = *e & 0xfffffffff000;

	CHECK_EQ(*(volatile u64 *)(page + 16), f->rax);
	*e = page | RO;
	invlpg(VA);
}

static void cow(void)
{
	trap_handler(V_PF, copy_on_write);
	on_call = protect;
	*(volatile u64 *)(pages[0] + 16) = 0;
	page_map(cr3, VA, pages[0], RO, 12);
	CHECK_EQ(user_call(writer, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	CHECK_EQ(copies, ROUNDS);
	CHECK_EQ(*(volatile u64 *)(pages[0] + 16), 0);
	trap_handler(V_PF, NULL);
}

/*
 * ---- accessed and dirty
 * ------------------------------------------------------------------------------------------
 */

static USER_TEXT void read_one(u64 a) { (void)*(volatile u64 *)a; user_return(0); }
static USER_TEXT void write_one(u64 a) { *(volatile u64 *)a = 1; user_return(0); }

static u64 ad(u64 va) { return *page_entry(cr3, va, 12) & (PTE_A | PTE_D); }

static void ad_is(u64 n, u64 want)
{
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(ad(VA + i * 4096), i == n ? want : 0);
}

static void clear_ad(void)
{
	for (u64 i = 0; i < 8; i++) {
		*page_entry(cr3, VA + i * 4096, 12) &= ~(PTE_A | PTE_D);
		invlpg(VA + i * 4096);
	}
}

static void accessed_dirty(void)
{
	for (u64 i = 0; i < 8; i++)
		page_map(cr3, VA + i * 4096, demand[i], RW, 12);
	for (u64 n = 0; n < 8; n++) {
		clear_ad();
		ad_is(n, 0);
		CHECK_EQ(user_call(read_one, VA + n * 4096), V_USER_RETURN);
		ad_is(n, PTE_A);
		CHECK_EQ(user_call(write_one, VA + n * 4096), V_USER_RETURN);
		ad_is(n, PTE_A | PTE_D);
		*page_entry(cr3, VA + n * 4096, 12) &= ~PTE_D;
		invlpg(VA + n * 4096);
		CHECK_EQ(user_call(read_one, VA + n * 4096), V_USER_RETURN);
		ad_is(n, PTE_A);
		CHECK_EQ(user_call(write_one, VA + n * 4096), V_USER_RETURN);
		ad_is(n, PTE_A | PTE_D);
		/* a write that is refused dirties nothing */
		*page_entry(cr3, VA + n * 4096, 12) = demand[n] | RO;
		invlpg(VA + n * 4096);
		CHECK_EQ(user_call(write_one, VA + n * 4096), V_PF);
		CHECK_EQ(ad(VA + n * 4096) & PTE_D, 0);
		page_map(cr3, VA + n * 4096, demand[n], RW, 12);
	}
}

/*
 * ---- address spaces taking turns
 * -----------------------------------------------------------------------------------
 */

#define SPACES 6u
static u64 space[SPACES];

/* Counts in its own page and in the one that all share; the call goes to the next space. */
static USER_TEXT void counter(u64 rounds)
{
	for (u64 i = 0; i < rounds; i++) {
		(*(volatile u64 *)VA)++;
		(*(volatile u64 *)SHARED)++;
		call(0);
	}
	user_return(*(volatile u64 *)VA);
}

static void next_space(struct frame *f)
{
	static unsigned now;

	now = (now + 1) % SPACES;
	WRITE_CR(3, space[now]);
}

static void spaces(void)
{
	page_map(cr3, SHARED, pages[0], RW, 12);
	*(volatile u64 *)pages[0] = 0;
	for (unsigned s = 0; s < SPACES; s++) {
		space[s] = page_alloc();
		for (unsigned i = 0; i < 512; i++)
			((u64 *)space[s])[i] = i == (VA >> 39 & 511) ? 0 : ((u64 *)cr3)[i];
		page_map(space[s], VA, demand[s], RW, 12);
		*(volatile u64 *)demand[s] = s * 1000;
	}
	on_call = next_space;
	WRITE_CR(3, space[0]);
	CHECK_EQ(user_call(counter, ROUNDS * SPACES), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, ROUNDS);
	WRITE_CR(3, cr3);
	for (unsigned s = 0; s < SPACES; s++)
		CHECK_EQ(*(volatile u64 *)demand[s], s * 1000 + ROUNDS);
	CHECK_EQ(*(volatile u64 *)pages[0], ROUNDS * SPACES);
}

int guest_main(void)
{
	user_as_os();
	cr3 = READ_CR(3);
	for (unsigned i = 0; i < 8; i++) {
		pages[i] = page_alloc();
		*(volatile u64 *)pages[i] = 'a' + i;
	}
	for (unsigned i = 0; i < DEMAND; i++)
		demand[i] = page_alloc();
	trap_handler(V_SYSTEM_CALL, sys_call);
	one_address();
	upper_level();
	sizes();
	page_map(cr3, VA, 0, 0, 12);
	on_demand();
	cow();
	accessed_dirty();
	spaces();
	return 0;
}
