/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initial registers and memory. Values are edge cases more often than chance would have it; lanes
 * of vectors are floats of every kind. Pointer registers point into the writable data pages with
 * room on both sides, now and then close to a page's end.
 */
#include <cpuid.h>
#include <string.h>

#include "tests/diff/diff.h"

u64 rng_value(struct rng *r)
{
	static const u64 edge[] = { 0, 1, 2, ~0ull, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
				    0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
				    31, 32, 63, 64 };

	switch (rng_below(r, 4)) {
	case 0: return edge[rng_below(r, ARRAY_SIZE(edge))];
	case 1: return rng_u64(r) >> rng_below(r, 64);
	default: return rng_u64(r);
	}
}

/* ---- XSAVE layout ----------------------------------------------------------------------------- */

#define XS_HDR 512
#define COMPONENTS 0xe6u /* YMM, opmask, ZMM high halves, ZMM16-31 as the host has them */

/* CPUID leaf 0xd, read once: in a virtual machine every CPUID is an exit. */
static struct xsave_layout {
	u64 features;
	unsigned offset[8], size[8], total;
} layout;

static void layout_read(void)
{
	u32 lo, hi, c, d;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	layout.features = (lo & COMPONENTS) | 3;
	layout.total = 576;
	for (unsigned i = 2; i < 8; i++) {
		if (!(layout.features >> i & 1))
			continue;
		__cpuid_count(0xd, i, layout.size[i], layout.offset[i], c, d);
		layout.total = MAX(layout.total, layout.offset[i] + layout.size[i]);
	}
}

static const struct xsave_layout *get_layout(void)
{
	if (!layout.total)
		layout_read();
	return &layout;
}

unsigned xsave_offset(unsigned comp) { return get_layout()->offset[comp]; }
unsigned xsave_size(unsigned comp) { return get_layout()->size[comp]; }
unsigned xsave_total(void) { return get_layout()->total; }
u64 xsave_features(void) { return get_layout()->features; }

void xsave_normalize(u8 *x)
{
	u64 bv;

	memcpy(&bv, x + XS_HDR, 8);
	if (!(bv & 1)) {
		memset(x, 0, 24);
		memset(x + 32, 0, 128);
		x[0] = 0x7f, x[1] = 3;
	}
	if (!(bv & 2)) /* MXCSR belongs to no component in this format: always stored */
		memset(x + 160, 0, 256);
	for (unsigned i = 2; i < 8; i++)
		if ((xsave_features() >> i & 1) && !(bv >> i & 1))
			memset(x + xsave_offset(i), 0, xsave_size(i));
	bv = xsave_features();
	memset(x + XS_HDR, 0, 64);
	memcpy(x + XS_HDR, &bv, 8);
}

/* ---- random contents ---------------------------------------------------------------------------- */

static u64 random_double(struct rng *r)
{
	u64 frac = rng_u64(r) >> 12, sign = rng_u64(r) & 1ull << 63;

	switch (rng_below(r, 12)) {
	case 0: return sign;
	case 1: return sign | 0x7ffull << 52;                /* infinity */
	case 2: return sign | 0x7ffull << 52 | frac | 1;     /* NaN of either kind */
	case 3: return sign | frac;                          /* denormal */
	case 4: return sign | 0x3ffull << 52;
	default: return sign | (u64)(1023 - 40 + rng_below(r, 80)) << 52 | (rng_pct(r, 50) ? frac : 0);
	}
}

static u32 random_float(struct rng *r)
{
	u32 frac = rng_u64(r) & 0x7fffff, sign = rng_u64(r) & 1u << 31;

	switch (rng_below(r, 12)) {
	case 0: return sign;
	case 1: return sign | 0xffu << 23;
	case 2: return sign | 0xffu << 23 | frac | 1;
	case 3: return sign | frac;
	case 4: return sign | 127u << 23;
	default: return sign | (127 - 30 + rng_below(r, 60)) << 23 | (rng_pct(r, 50) ? frac : 0);
	}
}

static void random_lanes(struct rng *r, void *p, unsigned bytes)
{
	unsigned kind = rng_below(r, 4);
	u64 v;

	for (unsigned i = 0; i + 8 <= bytes; i += 8) {
		if (kind == 0)
			v = random_double(r);
		else if (kind == 1)
			v = random_float(r) | (u64)random_float(r) << 32;
		else if (kind == 2)
			v = rng_value(r);
		else
			v = rng_u64(r);
		memcpy((u8 *)p + i, &v, 8);
	}
}

static void random_x87(struct rng *r, u8 *x)
{
	u16 fcw = rng_pct(r, 70) ? 0x37f
				 : (rng_u64(r) & 0xf00) | (rng_pct(r, 80) ? 0x7f : 0x40 | (rng_u64(r) & 63));

	memcpy(x, &fcw, 2);
	x[3] = rng_pct(r, 70) ? 0 : rng_below(r, 8) << 3; /* TOP */
	x[2] = rng_pct(r, 90) ? 0 : rng_below(r, 64) & fcw & 0x3f;
	x[4] = rng_pct(r, 50) ? 0xff : rng_u64(r);
	for (unsigned i = 0; i < 8; i++) {
		u16 se = (rng_pct(r, 85) ? 0x3fff - 40 + rng_below(r, 80) : rng_u64(r) & 0x7fff) |
			 (rng_u64(r) & 0x8000);
		u64 frac = rng_pct(r, 10) ? rng_value(r) : rng_u64(r) | 1ull << 63;

		memcpy(x + 32 + 16 * i, &frac, 8);
		memcpy(x + 40 + 16 * i, &se, 2);
	}
}

static void random_vectors(struct rng *r, u8 *x)
{
	u32 mxcsr = rng_pct(r, 70) ? 0x1f80 : 0x1f80 | (rng_u64(r) & 0xe07f), mask = 0xffff;
	u64 bv = xsave_features();

	if (rng_pct(r, 8))
		mxcsr &= ~(rng_u64(r) & 0x1f80); /* unmasked: #XM */
	random_x87(r, x);
	memcpy(x + 24, &mxcsr, 4);
	memcpy(x + 28, &mask, 4);
	for (unsigned i = 0; i < 16; i++)
		random_lanes(r, x + 160 + 16 * i, 16);
	for (unsigned i = 2; i < 8; i++)
		if (bv >> i & 1)
			for (unsigned o = 0; o < xsave_size(i); o += 16)
				random_lanes(r, x + xsave_offset(i) + o, MIN(16u, xsave_size(i) - o));
	memcpy(x + XS_HDR, &bv, 8);
}

static u64 random_pointer(struct rng *r)
{
	u64 a = DT_DATA + 0x600 + rng_below(r, 0x2000);

	if (rng_pct(r, 15))
		return DT_DATA + PAGE_SIZE * (1 + rng_below(r, 3)) - rng_below(r, 40);
	return rng_pct(r, 60) ? a & ~63ull : a;
}

/* Register roles: two or three pointers, one of them encodable without REX; one or two indexes. */
static void roll_roles(struct rng *r, struct dt_case *c)
{
	static const u8 low[] = { 0, 1, 2, 3, 5, 6, 7 };
	u8 a = low[rng_below(r, 7)], i = low[rng_below(r, 7)];

	if (i == a)
		i = a == 6 ? 3 : 6;
	c->ptr_regs = 1u << a;
	c->idx_regs = 1u << i;
	if (!dt_is64(c->mode))
		return;
	c->ptr_regs |= 1u << (rng_pct(r, 40) ? 12 + rng_below(r, 2) : 8 + rng_below(r, 8));
	if (rng_pct(r, 50))
		c->idx_regs |= 1u << (8 + rng_below(r, 8));
	c->idx_regs &= ~c->ptr_regs;
}

/* None, the first few, one, a few: what programs mask with, and what keeps off a page that is not there. */
static u64 random_mask(struct rng *r)
{
	u64 mask;

	switch (rng_below(r, 4)) {
	case 0:
		return rng_pct(r, 30) ? 0 : 1ull << rng_below(r, 64);
	case 1:
		mask = rng_u64(r);
		mask &= rng_u64(r);
		return mask & rng_u64(r);
	default:
		return (1ull << rng_below(r, rng_pct(r, 50) ? 17 : 64)) - 1;
	}
}

static s64 random_index(struct rng *r)
{
	s64 v = (s64)rng_below(r, 128) - 64;

	return rng_pct(r, 2) ? v * 0x400 : v;
}

static void random_memory(struct rng *r, struct dt_mem *m)
{
	u8 *ro = m->data + DT_DATA_RW_PAGES * PAGE_SIZE;

	for (unsigned o = 0; o < sizeof(m->data); o += 64)
		random_lanes(r, m->data + o, 64);
	for (unsigned o = 0; o < sizeof(m->stack); o += 64)
		random_lanes(r, m->stack + o, 64);
	for (unsigned i = 0; i < 16; i++) {
		s32 v = (s32)random_index(r);

		memcpy(ro + 4 * i, &v, 4);
	}
	for (unsigned i = 0; i < 8; i++) {
		s64 v = random_index(r);

		memcpy(ro + 64 + 8 * i, &v, 8);
	}
	for (unsigned i = 0; i < DT_KMASKS; i++) {
		u64 k = random_mask(r);

		memcpy(ro + (DT_KMASK - DT_RO) + 8 * i, &k, 8);
	}
}

void state_random(struct rng *r, struct dt_case *c)
{
	struct dt_state *s = &c->init;

	memset(s, 0, sizeof(*s));
	roll_roles(r, c);
	for (unsigned i = 0; i < 16; i++) {
		if (i == 4)
			s->gpr[i] = DT_STACK + PAGE_SIZE +
				    (rng_pct(r, 80) ? (rng_below(r, 0x800) & ~7u) - 0x300 : rng_below(r, 64));
		else if (c->ptr_regs >> i & 1)
			s->gpr[i] = random_pointer(r);
		else if (c->idx_regs >> i & 1)
			s->gpr[i] = rng_below(r, 64);
		else
			s->gpr[i] = rng_value(r);
		if (!dt_is64(c->mode))
			s->gpr[i] = i < 8 ? (u32)s->gpr[i] : 0;
	}
	s->rflags = 0x202 | (rng_u64(r) & 0x8d5) | (rng_pct(r, 8) ? 0x400 : 0);
	s->fs_base = rng_below(r, 0x40) * 16;
	s->gs_base = rng_below(r, 0x200);
	random_vectors(r, s->xsave);
	random_memory(r, &c->mem);
}
