/* SPDX-License-Identifier: Apache-2.0 */
/* Two address spaces, PCIDs, global pages, INVLPG and INVPCID: what must be gone is gone. */
#include "guest/lib/guest.h"

#define VA GUEST_VA

static u64 other_space(u64 cr3)
{
	u64 t = page_alloc();

	for (unsigned i = 0; i < 512; i++)
		((u64 *)t)[i] = i == (VA >> 39 & 511) ? 0 : ((u64 *)cr3)[i];
	return t;
}

static u64 peek(void) { return *(volatile u64 *)VA; }

static void two_spaces(u64 a, u64 b)
{
	for (int i = 0; i < 50; i++) {
		WRITE_CR(3, a);
		CHECK_EQ(peek(), 'A');
		WRITE_CR(3, b);
		CHECK_EQ(peek(), 'B');
	}
	WRITE_CR(3, a);
}

static void invpcid(u64 type, u64 pcid, u64 va)
{
	struct { u64 pcid, va; } d = { pcid, va };

	asm volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static void set_cr4(u64 v) { WRITE_CR(4, v); }
static void bad_invpcid(u64 type) { invpcid(type, 0, VA); }
static void set_cr3(u64 v) { WRITE_CR(3, v); }

static void pcids(u64 a, u64 b)
{
	CHECK_EQ(trap_of(set_cr3, a), -1);
	set_cr4(READ_CR(4) | CR4_PCIDE);
	two_spaces(a | 1, b | 2);
	two_spaces(a | 1 | 1ull << 63, b | 2 | 1ull << 63);
	CHECK_EQ(READ_CR(3), a | 1); /* bit 63 is not stored */
	WRITE_CR(3, a);
}

/* Each kind of INVPCID makes a changed entry visible in the PCID it names. */
static void invpcids(u64 a, u64 pa, u64 pb)
{
	u64 *e = page_entry(a, VA, 12);

	for (u64 type = 0; type < 4; type++) {
		WRITE_CR(3, a | 5);
		CHECK_EQ(peek(), 'A');
		*e = pb | PTE_P | PTE_W | (type == 2 ? PTE_G : 0);
		invpcid(type, 5, VA);
		CHECK_EQ(peek(), 'B');
		*e = pa | PTE_P | PTE_W;
		invpcid(2, 0, 0);
	}
	CHECK_EQ(trap_of(bad_invpcid, 4), V_GP);
}

static void globals(u64 a, u64 pa, u64 pb)
{
	u64 *e = page_entry(a, VA, 12);

	WRITE_CR(3, a);
	WRITE_CR(4, READ_CR(4) | CR4_PGE);
	*e = pa | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	CHECK_EQ(peek(), 'A');
	*e = pb | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	CHECK_EQ(peek(), 'B');
	*e = pa | PTE_P | PTE_W | PTE_G;
	WRITE_CR(4, READ_CR(4) & ~CR4_PGE); /* flushes global entries */
	CHECK_EQ(peek(), 'A');
	*e = pb | PTE_P | PTE_W;
	WRITE_CR(3, a);
	CHECK_EQ(peek(), 'B');
	*e = pa | PTE_P | PTE_W;
	invlpg(VA);
}

int guest_main(void)
{
	u64 a = READ_CR(3), b = other_space(a), pa = page_alloc(), pb = page_alloc();

	*(u64 *)pa = 'A';
	*(u64 *)pb = 'B';
	page_map(a, VA, pa, PTE_P | PTE_W, 12);
	page_map(b, VA, pb, PTE_P | PTE_W, 12);
	two_spaces(a, b);
	globals(a, pa, pb);
	if (cpuid(1, 0).c >> 17 & 1) {
		pcids(a, b);
		if (cpuid(7, 0).b >> 10 & 1)
			invpcids(a, pa, pb);
	} else {
		CHECK_EQ(trap_of(set_cr4, READ_CR(4) | CR4_PCIDE), V_GP);
	}
	return 0;
}
