/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several CPUs: counters by exclusives, LSE and spin locks; message passing and store buffering with the
 * orders that barriers and acquire/release forbid; TLB maintenance and IC that others must see.
 */
#include "tests/guests_arm64/lib.h"

#define ROUNDS 3000u
#define VA 0x9000000000ul

static struct {
	u64 v;
	u64 pad[7];
} llsc, lse, locked, ticket, serving, x, y, r[4], phase __attribute__((aligned(64)));
static u64 *pte;
static u8 *pages[2], *code;

static void add_llsc(u64 *p)
{
	u64 v, st;

	__asm__ volatile("1: ldxr %0, [%2]\nadd %0, %0, #1\nstxr %w1, %0, [%2]\ncbnz %w1, 1b"
			 : "=&r"(v), "=&r"(st) : "r"(p) : "memory");
}

static void counters(void)
{
	for (u64 i = 0; i < ROUNDS; i++) {
		add_llsc(&llsc.v);
		add_lse(&lse.v);
		u64 mine = add_lse(&ticket.v);

		while (acquire(&serving.v) != mine)
			__asm__ volatile("wfe");
		locked.v++;
		release(&serving.v, mine + 1);
		__asm__ volatile("sev");
	}
	barrier();
	check_eq(llsc.v, cpus * ROUNDS);
	check_eq(lse.v, cpus * ROUNDS);
	check_eq(locked.v, cpus * ROUNDS);
}

static inline u64 get(u64 *p) { return *(volatile u64 *)p; }
static inline void set(u64 *p, u64 v) { *(volatile u64 *)p = v; }

/* MP: who sees the flag sees the data. */
static void message_passing(u64 cpu)
{
	for (u64 i = 1; i <= ROUNDS; i++) {
		if (cpu == 0) {
			set(&x.v, i);
			release(&y.v, i);
		} else if (cpu == 1) {
			u64 flag = acquire(&y.v);

			check(get(&x.v) >= flag);
		}
	}
}

/* SB: with barriers not both read the old value; with STLR and LDAR neither. */
static void store_buffering(u64 cpu, bool dmb)
{
	for (u64 i = 0; i < ROUNDS; i++) {
		if (cpu == 0)
			x.v = y.v = r[0].v = r[1].v = 0;
		barrier();
		if (cpu < 2) {
			u64 *mine = cpu ? &y.v : &x.v, *other = cpu ? &x.v : &y.v;

			if (dmb) {
				set(mine, 1);
				__asm__ volatile("dmb ish" : : : "memory");
				r[cpu].v = get(other);
			} else {
				release(mine, 1);
				r[cpu].v = acquire(other);
			}
		}
		barrier();
		if (cpu == 0)
			check(r[0].v | r[1].v);
		barrier();
	}
}

/* One CPU moves a page to and fro; another reads it: after the broadcast TLBI it never sees the old one. */
static void tlb_broadcast(u64 cpu)
{
	for (u64 i = 1; i <= 300; i++) {
		if (cpu == 0) {
			*pte = (u64)pages[i & 1] | PTE_PAGE | PTE_NORMAL;
			__asm__ volatile("dsb ish\ntlbi vae1is, %0\ndsb ish\nisb" : : "r"(VA >> 12) : "memory");
			release(&phase.v, i);
		} else {
			while (acquire(&phase.v) < i)
				(void)get((u64 *)VA); /* keeps the entry in this CPU's TLB */
			check_eq(get((u64 *)VA), i & 1);
		}
		barrier();
	}
}

static void code_broadcast(u64 cpu)
{
	for (u64 i = 1; i <= 300; i++) {
		if (cpu == 0) {
			((volatile u32 *)code)[0] = 0xd2800000 | (u32)i << 5; /* mov x0, #i */
			((volatile u32 *)code)[1] = 0xd65f03c0;
			__asm__ volatile("dc cvau, %0\ndsb ish\nic ivau, %0\ndsb ish\nisb" : : "r"(code) : "memory");
		}
		barrier();
		__asm__ volatile("isb");
		check_eq(((u64(*)(void))code)(), i);
		barrier();
	}
}

static void set_up(u64 *root)
{
	for (u64 i = 0; i < 2; i++) {
		pages[i] = alloc_page();
		set((u64 *)pages[i], i);
	}
	code = alloc_page();
	pte = map_page(root, VA, (u64)pages[0] | PTE_PAGE | PTE_NORMAL);
	dsb();
}

void guest_main(u64 cpu)
{
	u64 *root = smp_start(cpu);

	if (cpu == 0)
		set_up(root);
	barrier();
	counters();
	message_passing(cpu);
	barrier();
	store_buffering(cpu, true);
	store_buffering(cpu, false);
	if (cpu == 0)
		phase.v = 0;
	barrier();
	tlb_broadcast(cpu);
	code_broadcast(cpu);
	barrier();
	if (cpu == 0)
		done();
	for (;;)
		__asm__ volatile("wfi");
}
