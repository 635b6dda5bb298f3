/* SPDX-License-Identifier: Apache-2.0 */
/* Where guest RAM lies in this process, and what must not have happened to what lies around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "tests/fuzz_guest/guest.h"

#define ARENA (1ul << 32)
#define DISTANCE (1ul << 26) /* from slot to slot */
#define SECRET_PAGES 2ul

struct slot slots[NR_SLOTS] = {
	{ .gpa = 0, .pages = 64 },
	{ .gpa = 0x100000, .pages = 3 },
	{ .gpa = 0x103000, .pages = 2 }, /* the next guest page, somewhere else on the host */
	{ .gpa = 0x200000, .pages = 2, .flags = HYP_REGION_READONLY },
	{ .gpa = 0x300000, .pages = 4, .flags = HYP_REGION_LOG_DIRTY },
	{ .gpa = 0xffffe000, .pages = 2 },
	{ .gpa = 0x7ffffff000, .pages = 1 }, /* near the end of the CPU's physical addresses */
	{ .gpa = 0xfff000, .pages = 1 },
};

static u8 *arena;
static bool secrets; /* the neighbours are pages full of it; else unmapped */
static u64 secret;

u8 *ram(u64 gpa)
{
	return slots[0].hva + gpa;
}

void ram_put(u32 gpa, u64 value)
{
	memcpy(ram(gpa), &value, 8);
}

u64 gpa_random(struct fuzz_rng *r)
{
	const struct slot *s = &slots[fuzz_below(r, NR_SLOTS)];

	switch (fuzz_below(r, 6)) {
	case 0: return s->gpa + s->pages * PAGE_SIZE;       /* just behind */
	case 1: return s->gpa ? s->gpa - PAGE_SIZE : 0;     /* just before */
	case 2: return s->gpa + (s->pages - 1) * PAGE_SIZE; /* the last page */
	case 3: return fuzz_u64(r) & 0xfffffff000ull;
	default: return s->gpa + fuzz_below(r, s->pages) * PAGE_SIZE;
	}
}

static void map(u8 *at, size_t size, int prot)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

	if (mmap(at, size, prot, flags, -1, 0) == MAP_FAILED)
		abort();
}

static void fill(u8 *at, size_t size, u64 value)
{
	for (size_t i = 0; i < size; i += 8)
		memcpy(at + i, &value, 8);
}

/* Numbers that are no user-space address: those are what the verdict looks for. */
static void fill_random(struct fuzz_rng *r, u8 *at, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		u64 v = fuzz_chance(r, 50) ? 0 : fuzz_u64(r) | 1ull << 50;

		memcpy(at + i, &v, 8);
	}
}

static void neighbours(u8 *at, size_t size)
{
	u8 *before = at - SECRET_PAGES * PAGE_SIZE, *behind = at + size;

	map(before, SECRET_PAGES * PAGE_SIZE, secrets ? PROT_READ | PROT_WRITE : PROT_NONE);
	map(behind, SECRET_PAGES * PAGE_SIZE, secrets ? PROT_READ | PROT_WRITE : PROT_NONE);
	if (!secrets)
		return;
	fill(before, SECRET_PAGES * PAGE_SIZE, secret);
	fill(behind, SECRET_PAGES * PAGE_SIZE, secret);
}

void space_up(struct fuzz_rng *r)
{
	if (!arena) {
		arena = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (arena == MAP_FAILED)
			abort();
	}
	secrets = fuzz_chance(r, 50);
	secret = fuzz_u64(r) | 1ull << 63;
	for (unsigned i = 0; i < NR_SLOTS; i++) {
		struct slot *s = &slots[i];

		s->hva = arena + (i + 1) * DISTANCE;
		map(s->hva, s->pages * PAGE_SIZE, PROT_READ | PROT_WRITE);
		neighbours(s->hva, s->pages * PAGE_SIZE);
		fill_random(r, s->hva, s->pages * PAGE_SIZE);
	}
}

struct hyp_as *space_as(void)
{
	static const struct hyp_as_ops ops;
	struct hyp_as *as = hyp_as_create(&ops, NULL);

	for (unsigned i = 0; as && i < NR_SLOTS; i++) {
		struct hyp_region region = { .gpa = slots[i].gpa, .size = slots[i].pages * PAGE_SIZE, .hva = slots[i].hva,
					     .flags = slots[i].flags, .id = i };

		if (hyp_as_replace(as, 0, NULL, &region))
			abort();
	}
	if (!as)
		abort();
	return as;
}

/* ---- the verdict ---- */

#define MAX_RANGES 4096
static struct range {
	u64 from, to;
	char name[48];
} ranges[MAX_RANGES];
static unsigned nr_ranges;

/* Everything in this process that can be accessed: an address in there is not for guests. */
static void read_ranges(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	nr_ranges = 0;
	while (f && fgets(line, sizeof(line), f) && nr_ranges < MAX_RANGES) {
		struct range *x = &ranges[nr_ranges];

		*x = (struct range){ 0 };
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %47s", &x->from, &x->to, x->name) >= 2 &&
		    x->from >= 1ul << 32 && !strstr(line, " ---p ") && !strstr(line, "[vsyscall]"))
			nr_ranges++;
	}
	if (f)
		fclose(f);
}

static const struct range *is_ours(u64 v)
{
	unsigned lo = 0, hi = nr_ranges;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (v >= ranges[mid].to)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < nr_ranges && v >= ranges[lo].from ? &ranges[lo] : NULL;
}

static void found_address(const u8 *what, size_t i, size_t size, const char *where, u64 at)
{
	const struct range *x;
	u64 v;

	for (size_t j = i < 32 ? 0 : i - 32; j < size && j <= i + 32; j += 8) {
		memcpy(&v, what + j, 8);
		fprintf(stderr, "  %#lx: %016lx\n", (unsigned long)(at + j), (unsigned long)v);
	}
	memcpy(&v, what + i, 8);
	x = is_ours(v);
	fuzz_suspect("%s %#lx holds %#lx, an address of this process: %s+%#lx", where,
		     (unsigned long)(at + i), (unsigned long)v, x->name, (unsigned long)(v - x->from));
}

void space_look(const void *what, size_t size, const char *where, u64 at)
{
	for (size_t i = 0; i + 8 <= size; i += 8) {
		u64 v;

		memcpy(&v, (const u8 *)what + i, 8);
		if (v == secret)
			fuzz_wrong("the secret is in %s %#lx", where, (unsigned long)(at + i));
		if (v && is_ours(v))
			found_address(what, i, size, where, at);
	}
}

static void look_at_neighbours(const struct slot *s, const u8 *at, const char *side)
{
	for (size_t i = 0; secrets && i < SECRET_PAGES * PAGE_SIZE; i += 8)
		if (memcmp(at + i, &secret, 8))
			fuzz_wrong("written %s the slot at %#lx, byte %#lx", side, (unsigned long)s->gpa,
				   (unsigned long)i);
}

void space_verdict(struct hyp_cpu *const *cpus, unsigned n)
{
	read_ranges();
	for (unsigned i = 0; i < NR_SLOTS; i++) {
		const struct slot *s = &slots[i];

		look_at_neighbours(s, s->hva - SECRET_PAGES * PAGE_SIZE, "before");
		look_at_neighbours(s, s->hva + s->pages * PAGE_SIZE, "behind");
		space_look(s->hva, s->pages * PAGE_SIZE, "guest memory", s->gpa);
	}
	for (unsigned i = 0; i < n; i++)
		cpu_look(cpus[i]);
}
