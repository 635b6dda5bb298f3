/* SPDX-License-Identifier: Apache-2.0 */
/* Page tables of four levels, for tests; and the page pool from 8 MiB on. */
#include "guest/lib/guest.h"

#define ADDR 0x000ffffffffff000ull

static u64 next_page = 0x800000;

u64 page_alloc(void)
{
	u64 p = next_page;

	next_page += 4096;
	for (unsigned i = 0; i < 512; i++)
		((volatile u64 *)p)[i] = 0;
	return p;
}

static u64 *walk(u64 cr3, u64 va, unsigned shift, bool make)
{
	u64 *table = (u64 *)(cr3 & ADDR);

	for (unsigned s = 39; s > shift; s -= 9) {
		u64 *e = &table[va >> s & 511];

		if (!(*e & PTE_P)) {
			if (!make)
				return NULL;
			*e = page_alloc() | PTE_P | PTE_W | PTE_U;
		}
		table = (u64 *)(*e & ADDR);
	}
	return &table[va >> shift & 511];
}

u64 *page_entry(u64 cr3, u64 va, unsigned shift)
{
	return walk(cr3, va, shift, false);
}

void page_map(u64 cr3, u64 va, u64 pa, u64 flags, unsigned shift)
{
	*walk(cr3, va, shift, true) = pa | flags | (shift > 12 ? PTE_PS : 0);
	invlpg(va);
}
