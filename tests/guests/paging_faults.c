/* SPDX-License-Identifier: Apache-2.0 */
/* Page faults: error code and CR2 for every reason; WP; a page used again after its entry changed. */
#include "guest/lib/guest.h"

#define VA GUEST_VA
#define E_P 1
#define E_W 2
#define E_U 4
#define E_RSVD 8
#define E_I 16

static void load(u64 a) { (void)*(volatile u8 *)a; }
static void store(u64 a) { *(volatile u8 *)a = 1; }
static void jump(u64 a) { ((void (*)(void))a)(); }
static USER_TEXT void user_load(u64 a) { (void)*(volatile u8 *)a; user_return(0); }
static USER_TEXT void user_store(u64 a) { *(volatile u8 *)a = 1; user_return(0); }
static USER_TEXT void user_jump(u64 a) { ((void (*)(void))a)(); user_return(0); }

/* The error code of the #PF that fn(a) takes; -1: none. */
static int pf(void (*fn)(u64), u64 a)
{
	int v = trap_of(fn, a);

	if (v == V_PF)
		CHECK_EQ(trap.cr2, a);
	return v == V_PF ? (int)trap.f.error : v == -1 ? -1 : -100 - v;
}

static int pf_user(void (*fn)(u64), u64 a)
{
	int v = user_call(fn, a);

	if (v == V_PF)
		CHECK_EQ(trap.cr2, a);
	return v == V_PF ? (int)trap.f.error : v == V_USER_RETURN ? -1 : -100 - v;
}

static void not_present(void)
{
	CHECK_EQ(pf(load, VA + 0x123), 0);
	CHECK_EQ(pf(store, VA + 0x123), E_W);
	CHECK_EQ(pf(jump, VA + 0x123), E_I);
	CHECK_EQ(trap.f.rip, VA + 0x123);
	CHECK_EQ(pf_user(user_load, VA), E_U);
	CHECK_EQ(pf_user(user_store, VA), E_U | E_W);
	CHECK_EQ(pf_user(user_jump, VA), E_U | E_I);
	CHECK_EQ(pf_user(user_load, 0x100000), E_U | E_P); /* the kernel */
}

static void read_only(u64 cr3, u64 page)
{
	page_map(cr3, VA, page, PTE_P | PTE_U, 12);
	CHECK_EQ(pf(load, VA), -1);
	CHECK_EQ(pf(store, VA + 8), E_P | E_W);
	CHECK_EQ(pf_user(user_load, VA), -1);
	CHECK_EQ(pf_user(user_store, VA + 8), E_P | E_W | E_U);
	WRITE_CR(0, READ_CR(0) & ~CR0_WP);
	CHECK_EQ(pf(store, VA + 8), -1);
	CHECK_EQ(pf_user(user_store, VA + 8), E_P | E_W | E_U);
	WRITE_CR(0, READ_CR(0) | CR0_WP);
	CHECK_EQ(pf(store, VA + 8), E_P | E_W);
	CHECK_EQ(*(u8 *)(page + 8), 1);
}

static void no_execute(u64 cr3, u64 page)
{
	*(volatile u8 *)page = 0xc3;
	page_map(cr3, VA, page, PTE_P | PTE_W | PTE_U | PTE_NX, 12);
	CHECK_EQ(pf(load, VA), -1);
	CHECK_EQ(pf(jump, VA), E_P | E_I);
	CHECK_EQ(pf_user(user_jump, VA), E_P | E_I | E_U);
	page_map(cr3, VA, page, PTE_P | PTE_W | PTE_U, 12);
	CHECK_EQ(pf(jump, VA), -1);
	CHECK_EQ(pf_user(user_jump, VA), -1);
	page_map(cr3, VA, page, PTE_P | PTE_W | PTE_U | PTE_NX, 12);
	CHECK_EQ(pf(jump, VA), E_P | E_I);
}

static void reserved(u64 cr3, u64 page)
{
	page_map(cr3, VA, page, PTE_P | PTE_W | PTE_U | 1ull << 51, 12);
	CHECK_EQ(pf(load, VA), E_P | E_RSVD);
	CHECK_EQ(pf_user(user_store, VA), E_P | E_RSVD | E_U | E_W);
	page_map(cr3, VA, page, PTE_P | PTE_W | PTE_U, 12);
	CHECK_EQ(pf(load, VA), -1);
}

/* A supervisor bit on any level keeps ring 3 out; a read-only one keeps writes out. */
static void upper_levels(u64 cr3, u64 page)
{
	page_map(cr3, VA, page, PTE_P | PTE_W | PTE_U, 12);
	for (unsigned s = 21; s <= 39; s += 9) {
		u64 *e = page_entry(cr3, VA, s), old = *e;

		*e = old & ~PTE_U;
		invlpg(VA);
		CHECK_EQ(pf_user(user_load, VA), E_U | E_P);
		*e = old & ~PTE_W;
		invlpg(VA);
		CHECK_EQ(pf(store, VA), E_P | E_W);
		*e = old | PTE_NX;
		invlpg(VA);
		CHECK_EQ(pf(jump, VA), E_P | E_I);
		*e = old & ~PTE_P;
		invlpg(VA);
		CHECK_EQ(pf(load, VA), 0);
		*e = old;
		invlpg(VA);
		CHECK_EQ(pf(store, VA), -1);
	}
}

/* An access that crosses into a bad page: CR2 is the first byte of the bad page, nothing is written. */
static void store8(u64 a) { *(volatile u64 *)a = ~0ull; }

static void crossing(u64 cr3, u64 page)
{
	page_map(cr3, VA, page, PTE_P | PTE_W, 12);
	page_map(cr3, VA + 4096, 0, 0, 12);
	*(u64 *)(page + 4088) = 0;
	CHECK_EQ(trap_of(store8, VA + 4093), V_PF);
	CHECK_EQ(trap.cr2, VA + 4096);
	CHECK_EQ(trap.f.error, E_W);
	CHECK_EQ(*(u64 *)(page + 4088), 0);
}

static void non_canonical(void)
{
	CHECK_EQ(trap_of(load, 0x0000800000000000), V_GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap_of(store8, 0x00007ffffffffffc), V_GP);
	CHECK_EQ(trap_of(jump, 0x8000000000000000), V_GP);
}

int guest_main(void)
{
	u64 cr3 = READ_CR(3), page = page_alloc();

	not_present();
	read_only(cr3, page);
	no_execute(cr3, page);
	reserved(cr3, page);
	upper_levels(cr3, page);
	crossing(cr3, page);
	non_canonical();
	return 0;
}
