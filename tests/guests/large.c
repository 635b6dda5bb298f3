/* SPDX-License-Identifier: Apache-2.0 */
/* Large pages accessed all over, so that no cache of 4 KiB pages holds them; then changed: what is gone
 * is gone. */
#include "guest/lib/guest.h"

#define LARGE (2ul << 20)
#define NR 4ul
#define PAGES (NR * 512)
#define PA (32ul << 20) /* NR large pages of RAM, mapped one to one, too */
#define VA GUEST_VA

static u64 cr3;

/* Every page's first word is the page's number. */
static void fill(void)
{
	for (u64 i = 0; i < PAGES; i++)
		*(volatile u64 *)(PA + i * 4096) = i;
}

/* Changes the entry; no INVLPG. */
static void map_large(u64 nr, u64 pa_nr, u64 flags)
{
	volatile u64 *e = page_entry(cr3, VA + nr * LARGE, 21);

	*e = (PA + pa_nr * LARGE) | PTE_P | PTE_W | PTE_PS | flags;
}

/* Page i of large page nr shows page i of large page want; in an order that jumps about. */
static void check_large(u64 nr, u64 want)
{
	for (u64 i = 0, at = 0; i < 512; i++, at = (at + 197) % 512)
		CHECK_EQ(*(volatile u64 *)(VA + nr * LARGE + at * 4096), want * 512 + at);
}

static void check_all(u64 first)
{
	for (int round = 0; round < 3; round++)
		for (u64 nr = 0; nr < NR; nr++)
			check_large(nr, nr == 0 ? first : nr);
}

static void set_pge(bool on)
{
	WRITE_CR(4, on ? READ_CR(4) | CR4_PGE : READ_CR(4) & ~(u64)CR4_PGE);
}

static void changed_mappings(void)
{
	check_all(0);
	map_large(0, 3, 0);
	invlpg(VA + 0x123000);
	check_all(3);
	map_large(0, 2, 0);
	WRITE_CR(3, cr3);
	check_all(2);
	map_large(0, 1, PTE_G);
	invlpg(VA);
	check_all(1);
	map_large(0, 0, PTE_G);
	set_pge(false);
	check_all(0);
	set_pge(true);
	map_large(0, 0, 0);
	invlpg(VA);
}

/* The same where so little was cached that each entry of the soft TLB is emptied by itself. */
static void little_cached(void)
{
	for (u64 to = 0; to < NR; to++) {
		map_large(3, to, 0);
		WRITE_CR(3, cr3);
		for (u64 i = to; i < 512; i += 100)
			CHECK_EQ(*(volatile u64 *)(VA + 3 * LARGE + i * 4096), to * 512 + i);
	}
}

/* A page only read so far gets its dirty bit from the first write, and that write goes where it belongs. */
static void dirty(void)
{
	u64 *e;

	map_large(1, 1, 0);
	invlpg(VA + LARGE);
	check_large(1, 1);
	e = page_entry(cr3, VA + LARGE, 21);
	CHECK_EQ(*e & (PTE_A | PTE_D), PTE_A);
	*(volatile u64 *)(VA + LARGE + 0x5008) = 77;
	CHECK_EQ(*e & (PTE_A | PTE_D), PTE_A | PTE_D);
	CHECK_EQ(*(volatile u64 *)(PA + LARGE + 0x5008), 77);
}

static void poke(u64 va)
{
	*(volatile u64 *)va = 1;
}

static void read_only(void)
{
	u64 *e = page_entry(cr3, VA + 2 * LARGE, 21);

	check_large(2, 2);
	poke(VA + 2 * LARGE + 0x7010);
	*e &= ~PTE_W;
	invlpg(VA + 2 * LARGE);
	check_large(2, 2);
	for (u64 i = 0; i < 512; i += 51)
		CHECK_EQ(trap_of(poke, VA + 2 * LARGE + i * 4096 + 16), 14);
	check_large(2, 2);
}

/* 4 KiB pages in the large one's place, the other way round. */
static void split(void)
{
	check_large(3, 3);
	*page_entry(cr3, VA + 3 * LARGE, 21) = 0;
	for (u64 i = 0; i < 512; i++)
		page_map(cr3, VA + 3 * LARGE + i * 4096, PA + (511 - i) * 4096, PTE_P | PTE_W, 12);
	for (u64 i = 0; i < 512; i++)
		CHECK_EQ(*(volatile u64 *)(VA + 3 * LARGE + i * 4096), 511 - i);
}

int guest_main(void)
{
	cr3 = READ_CR(3);
	fill();
	for (u64 nr = 0; nr < NR; nr++)
		page_map(cr3, VA + nr * LARGE, PA + nr * LARGE, PTE_P | PTE_W, 21);
	set_pge(true);
	changed_mappings();
	little_cached();
	dirty();
	read_only();
	split();
	return 0;
}
