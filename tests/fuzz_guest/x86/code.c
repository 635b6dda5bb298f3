/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random code. Three quarters are templates of what reaches memory in unusual ways; the rest is any opcode
 * with a memory operand, and noise. A template is opcode bytes and letters: m a ModRM with a memory operand,
 * r one with any operand, b w d q immediates, v vector index memory (VSIB), s a displacement into this very
 * code, c one to code nearby. Prefixes are rolled in front.
 */
#include <string.h>
#include "tests/fuzz_guest/x86/x86.h"

static const struct {
	u8 op[6], n;
	const char *tail;
} templates[] = {
	/* moves, arithmetic, read-modify-write */
	{ { 0x8b }, 1, "m" }, { { 0x89 }, 1, "m" }, { { 0x8a }, 1, "m" }, { { 0x88 }, 1, "m" },
	{ { 0x01 }, 1, "m" },
	{ { 0x13 }, 1, "m" }, { { 0x87 }, 1, "m" }, { { 0xf0, 0x01 }, 2, "m" },
	{ { 0xf0, 0x0f, 0xb1 }, 3, "m" },
	{ { 0xf0, 0x0f, 0xc1 }, 3, "m" }, { { 0x0f, 0xc7 }, 2, "m" }, { { 0xf0, 0x48, 0x0f, 0xc7 }, 4, "m" },
	{ { 0xc7 }, 1, "md" }, { { 0xc6 }, 1, "mb" }, { { 0x83 }, 1, "mb" }, { { 0xff }, 1, "m" },
	{ { 0xf7 }, 1, "m" },
	{ { 0xd3 }, 1, "m" }, { { 0x0f, 0xa4 }, 2, "mb" }, { { 0x0f, 0x38, 0xf0 }, 3, "m" },
	{ { 0x0f, 0x38, 0xf1 }, 3, "m" },
	{ { 0x0f, 0xc3 }, 2, "m" }, { { 0x63 }, 1, "m" }, { { 0x0f, 0xb6 }, 2, "m" }, { { 0x8d }, 1, "m" },
	/* bit strings: the register moves the operand far away */
	{ { 0x0f, 0xa3 }, 2, "m" }, { { 0x0f, 0xab }, 2, "m" }, { { 0xf0, 0x0f, 0xb3 }, 3, "m" },
	{ { 0x0f, 0xbb }, 2, "m" },
	{ { 0x48, 0x0f, 0xab }, 3, "m" }, { { 0x0f, 0xba }, 2, "mb" },
	/* strings, both directions */
	{ { 0xf3, 0xa4 }, 2, "" }, { { 0xf3, 0xa5 }, 2, "" }, { { 0xf3, 0x48, 0xa5 }, 3, "" },
	{ { 0xf3, 0xaa }, 2, "" },
	{ { 0xf3, 0x48, 0xab }, 3, "" }, { { 0xf3, 0xa6 }, 2, "" }, { { 0xf2, 0xae }, 2, "" },
	{ { 0xf3, 0xac }, 2, "" },
	{ { 0x67, 0xf3, 0xa4 }, 3, "" }, { { 0x67, 0xf3, 0xab }, 3, "" }, { { 0xa4 }, 1, "" },
	{ { 0xa5 }, 1, "" },
	{ { 0xaa }, 1, "" }, { { 0xad }, 1, "" }, { { 0xf3, 0x6c }, 2, "" }, { { 0xf3, 0x6e }, 2, "" },
	{ { 0x6d }, 1, "" },
	{ { 0xfc }, 1, "" }, { { 0xfd }, 1, "" }, { { 0xd7 }, 1, "" },
	/* the stack */
	{ { 0x50 }, 1, "" }, { { 0x54 }, 1, "" }, { { 0x58 }, 1, "" }, { { 0x5c }, 1, "" },
	{ { 0x8f }, 1, "m" },
	{ { 0x68 }, 1, "d" }, { { 0x6a }, 1, "b" }, { { 0x9c }, 1, "" }, { { 0x9d }, 1, "" },
	{ { 0xc8 }, 1, "wb" },
	{ { 0xc9 }, 1, "" }, { { 0xc3 }, 1, "" }, { { 0xc2 }, 1, "w" }, { { 0xcb }, 1, "" },
	{ { 0xca }, 1, "w" },
	{ { 0x48, 0xcf }, 2, "" }, { { 0xcf }, 1, "" }, { { 0x60 }, 1, "" }, { { 0x61 }, 1, "" },
	{ { 0xe8 }, 1, "d" },
	{ { 0xff, 0xd0 }, 2, "" }, { { 0xff, 0xe3 }, 2, "" }, { { 0x48, 0x83, 0xc4 }, 3, "b" },
	{ { 0x48, 0x89, 0xc4 }, 3, "" },
	{ { 0x48, 0x8b, 0x64, 0x24 }, 4, "b" }, { { 0x48, 0x8b, 0x84, 0x24 }, 4, "d" },
	{ { 0x48, 0x89, 0x84, 0x24 }, 4, "d" },
	{ { 0x66, 0x8f, 0x04, 0x24 }, 4, "" }, { { 0x66, 0x50 }, 2, "" }, { { 0x66, 0xc3 }, 2, "" },
	/* SSE, AVX, AVX-512, masks, gathers and scatters */
	{ { 0x0f, 0x10 }, 2, "m" }, { { 0x0f, 0x11 }, 2, "m" }, { { 0x0f, 0x28 }, 2, "m" },
	{ { 0x0f, 0x29 }, 2, "m" },
	{ { 0x66, 0x0f, 0xe7 }, 3, "m" }, { { 0x66, 0x0f, 0xf7, 0xc8 }, 4, "" },
	{ { 0x0f, 0xf7, 0xc8 }, 3, "" },
	{ { 0xc5, 0xfc, 0x10 }, 3, "m" }, { { 0xc5, 0xfc, 0x11 }, 3, "m" }, { { 0xc5, 0xfd, 0x7f }, 3, "m" },
	{ { 0xc4, 0xe2, 0x6d, 0x8c }, 4, "m" }, { { 0xc4, 0xe2, 0x6d, 0x8e }, 4, "m" },
	{ { 0xc4, 0xe2, 0xed, 0x8e }, 4, "m" },
	{ { 0xc4, 0xe2, 0x6d, 0x90 }, 4, "v" }, { { 0xc4, 0xe2, 0xed, 0x91 }, 4, "v" },
	{ { 0xc4, 0xe2, 0x6d, 0x92 }, 4, "v" },
	{ { 0x62, 0xf1, 0x7c, 0x48, 0x10 }, 5, "m" }, { { 0x62, 0xf1, 0x7c, 0x49, 0x11 }, 5, "m" },
	{ { 0x62, 0xf1, 0x7d, 0xc9, 0x6f }, 5, "m" }, { { 0x62, 0xf2, 0x7d, 0x49, 0x90 }, 5, "v" },
	{ { 0x62, 0xf2, 0x7d, 0x49, 0xa0 }, 5, "v" }, { { 0x62, 0xf2, 0xfd, 0x49, 0xa1 }, 5, "v" },
	{ { 0x62, 0xf2, 0x7d, 0x49, 0x8a }, 5, "m" }, { { 0x62, 0xf2, 0x7d, 0x49, 0x89 }, 5, "m" },
	{ { 0xc5, 0xf8, 0x90 }, 3, "m" }, { { 0xc5, 0xf8, 0x91 }, 3, "m" }, { { 0x0f, 0xae }, 2, "m" },
	/* x87, FXSAVE, XSAVE: areas and their pointers */
	{ { 0xd9 }, 1, "m" }, { { 0xdb }, 1, "m" }, { { 0xdd }, 1, "m" }, { { 0xdf }, 1, "m" },
	{ { 0xd9, 0xe8 }, 2, "" },
	{ { 0xd8 }, 1, "m" }, { { 0x48, 0x0f, 0xae }, 3, "m" }, { { 0x0f, 0xc7 }, 2, "m" },
	{ { 0x48, 0x0f, 0xc7 }, 3, "m" },
	{ { 0x0f, 0x01, 0xd0 }, 3, "" }, { { 0x0f, 0x01, 0xd1 }, 3, "" }, { { 0xdb, 0xe3 }, 2, "" },
	{ { 0x9b }, 1, "" },
	/* system: tables, control registers, TLB, segments */
	{ { 0x0f, 0x01 }, 2, "m" }, { { 0x0f, 0x00 }, 2, "m" }, { { 0x0f, 0x22, 0xd8 }, 3, "" },
	{ { 0x0f, 0x20, 0xc0 }, 3, "" },
	{ { 0x0f, 0x20, 0xd8 }, 3, "" }, { { 0x0f, 0x22, 0xe0 }, 3, "" },
	{ { 0x66, 0x0f, 0x38, 0x82 }, 4, "m" },
	{ { 0x8e }, 1, "r" }, { { 0x8c }, 1, "r" }, { { 0x0f, 0xb2 }, 2, "m" }, { { 0x0f, 0xb4 }, 2, "m" },
	{ { 0xff, 0x2c, 0x24 }, 3, "" },
	{ { 0x0f, 0x02 }, 2, "r" }, { { 0x0f, 0x03 }, 2, "r" }, { { 0xf3, 0x48, 0x0f, 0xae }, 4, "r" },
	{ { 0x0f, 0x05 }, 2, "" },
	{ { 0x0f, 0x01, 0xf8 }, 3, "" }, { { 0x0f, 0x01, 0xca }, 3, "" }, { { 0x0f, 0x01, 0xcb }, 3, "" },
	{ { 0x0f, 0x0d }, 2, "m" },
	{ { 0x0f, 0x18 }, 2, "m" }, { { 0x0f, 0x31 }, 2, "" }, { { 0x0f, 0xa2 }, 2, "" },
	{ { 0xcd }, 1, "b" }, { { 0xcc }, 1, "" },
	/* addresses in the instruction: 64-bit offsets, RIP-relative */
	{ { 0x48, 0xa1 }, 2, "q" }, { { 0xa2 }, 1, "q" }, { { 0x67, 0xa1 }, 2, "d" },
	{ { 0x8b, 0x05 }, 2, "d" }, { { 0x89, 0x05 }, 2, "d" },
	/* s: into this very code */
	{ { 0xc7, 0x05 }, 2, "sd" }, { { 0x88, 0x05 }, 2, "s" }, { { 0x48, 0x89, 0x05 }, 3, "s" },
	/* flow */
	{ { 0xeb }, 1, "b" }, { { 0x74 }, 1, "b" }, { { 0x0f, 0x85 }, 2, "c" }, { { 0xe9 }, 1, "c" },
	{ { 0xe2 }, 1, "b" },
	{ { 0x90 }, 1, "" }, { { 0xb8 }, 1, "d" }, { { 0x48, 0xb8 }, 2, "q" },
	{ { 0x48, 0x31, 0xc0 }, 3, "" },
};

static u8 *put(u8 *p, u64 v, unsigned n)
{
	memcpy(p, &v, n);
	return p + n;
}

static u64 displacement(struct fuzz_rng *r)
{
	switch (fuzz_below(r, 5)) {
	case 0: return 0;
	case 1: return fuzz_below(r, 64) - 32;
	case 2: return PAGE_SIZE - fuzz_below(r, 70);
	case 3: return (u64)0x80000000 - fuzz_below(r, 70);
	default: return fuzz_u64(r);
	}
}

static u8 *modrm(struct fuzz_rng *r, u8 *p, bool vsib)
{
	unsigned mod = (unsigned)fuzz_below(r, 3), rm = vsib ? 4 : (unsigned)fuzz_below(r, 8),
		 reg = (unsigned)fuzz_below(r, 8);
	u8 sib = (u8)fuzz_u64(r);

	*p++ = (u8)(mod << 6 | reg << 3 | rm);
	if (rm == 4)
		*p++ = sib;
	if (mod == 1)
		*p++ = (u8)displacement(r);
	else if (mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
		p = put(p, displacement(r), 4);
	return p;
}

static u8 *prefixes(struct fuzz_rng *r, u8 *p)
{
	static const u8 some[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x26, 0x36, 0x2e, 0x3e };

	while (fuzz_chance(r, 18))
		*p++ = some[fuzz_below(r, COUNT(some))];
	return p;
}

static u8 *template(struct fuzz_rng *r, u8 *p)
{
	unsigned t = (unsigned)fuzz_below(r, COUNT(templates));

	p = prefixes(r, p);
	if (templates[t].op[0] < 0xc4 && (templates[t].op[0] & 0xf0) != 0x40 && fuzz_chance(r, 40))
		*p++ = 0x40 | (u8)fuzz_below(r, 16);
	memcpy(p, templates[t].op, templates[t].n);
	p += templates[t].n;
	for (const char *c = templates[t].tail; *c; c++) {
		switch (*c) {
		case 'm': p = modrm(r, p, false); break;
		case 'v': p = modrm(r, p, true); break;
		case 'r': p = fuzz_chance(r, 50) ? modrm(r, p, false) : put(p, 0xc0 | fuzz_below(r, 64), 1); break;
		case 'b': p = put(p, displacement(r), 1); break;
		case 'w': p = put(p, displacement(r), 2); break;
		case 'd': p = put(p, displacement(r), 4); break;
		case 's': p = put(p, fuzz_below(r, 96) - 32, 4); break;
		case 'c': p = put(p, fuzz_below(r, 0x400) - 0x200, 4); break;
		default: p = put(p, address_random(r), 8);
		}
	}
	return p;
}

static u8 *any_opcode(struct fuzz_rng *r, u8 *p)
{
	p = prefixes(r, p);
	if (fuzz_chance(r, 30))
		*p++ = 0x40 | (u8)fuzz_below(r, 16);
	if (fuzz_chance(r, 50))
		*p++ = 0x0f;
	*p++ = (u8)fuzz_u64(r);
	return modrm(r, p, false);
}

void code_random(struct fuzz_rng *r, u8 *at, unsigned size)
{
	u8 *end = at + size - 48;

	while (at < end) {
		unsigned kind = (unsigned)fuzz_below(r, 100);

		if (kind < 75)
			at = template(r, at);
		else if (kind < 93)
			at = any_opcode(r, at);
		else
			at = put(at, fuzz_u64(r), 1 + (unsigned)fuzz_below(r, 8));
	}
}
