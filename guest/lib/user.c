/* SPDX-License-Identifier: Apache-2.0 */
/* Ring 3 as operating systems have it (user_as_os). */
#include "guest/lib/guest.h"

#define USER_PAGE 0x400000ull /* 2 MiB, see guest.ld */

extern u8 user_data[];

/* Pages of 4 KiB in the place of the large one. */
static void split_user_page(void)
{
	u64 *table = (u64 *)page_alloc();

	for (u64 i = 0, pa = USER_PAGE; i < 512; i++, pa += 4096)
		table[i] = pa | PTE_P | PTE_U | (pa < (u64)user_data ? 0 : PTE_W | PTE_NX);
	*page_entry(READ_CR(3), USER_PAGE, 21) = (u64)table | PTE_P | PTE_W | PTE_U;
	WRITE_CR(3, READ_CR(3));
}

static void enable_xsave(void)
{
	struct cpuid c;

	if (!(cpuid(1, 0).c >> 26 & 1))
		return;
	WRITE_CR(4, READ_CR(4) | CR4_OSXSAVE);
	c = cpuid(0xd, 0);
	asm volatile("xsetbv" : : "c"(0), "a"(c.a), "d"(c.d));
}

void user_as_os(void)
{
	split_user_page();
	enable_xsave();
	if (cpuid(7, 0).b & 1)
		WRITE_CR(4, READ_CR(4) | CR4_FSGSBASE);
	user_rflags = 0x202;
}
