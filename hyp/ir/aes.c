/* SPDX-License-Identifier: Apache-2.0 */
/* AES (FIPS 197), as the interpreter does it; S-boxes are computed once. */
#include <string.h>

#include "hyp/ir/interp.h"

static u8 sbox[256], inverse[256];

static u8 xtime(u8 x)
{
	return (u8)(x << 1 ^ (x >> 7) * 0x1b);
}

static u8 gf_mul(u8 x, unsigned y)
{
	u8 r = 0;

	for (; y; y >>= 1, x = xtime(x))
		r ^= y & 1 ? x : 0;
	return r;
}

static u8 rotl8(u8 x, unsigned by)
{
	return (u8)(x << by | x >> (8 - by));
}

__attribute__((constructor)) static void make_sboxes(void)
{
	u8 p = 1, q = 1;

	/* p runs over the field by multiplying with 3, q by dividing: q = 1 / p. */
	do {
		p = (u8)(p ^ xtime(p));
		q ^= (u8)(q << 1);
		q ^= (u8)(q << 2);
		q ^= (u8)(q << 4);
		q ^= q & 0x80 ? 0x09 : 0;
		sbox[p] = (u8)(q ^ rotl8(q, 1) ^ rotl8(q, 2) ^ rotl8(q, 3) ^ rotl8(q, 4) ^ 0x63);
	} while (p != 1);
	sbox[0] = 0x63;
	for (unsigned i = 0; i < 256; i++)
		inverse[sbox[i]] = (u8)i;
}

static void sub_shift(u8 to[16], bool decrypt)
{
	const u8 *box = decrypt ? inverse : sbox;
	u8 from[16];

	memcpy(from, to, 16);
	for (unsigned i = 0; i < 16; i++)
		to[i] = box[from[(i + (decrypt ? 16 - 4 * (i & 3) : 4 * (i & 3))) & 15]];
}

static void mix(u8 to[16], bool inv)
{
	static const u8 factor[2][4] = { { 2, 3, 1, 1 }, { 14, 11, 13, 9 } };
	u8 from[16];

	memcpy(from, to, 16);
	for (unsigned i = 0; i < 16; i++) {
		to[i] = 0;
		for (unsigned k = 0; k < 4; k++)
			to[i] ^= gf_mul(from[(i & 12) + ((i + k) & 3)], factor[inv][k]);
	}
}

void ir_aes(unsigned step, u8 v[16])
{
	if (step & IR_AES_SUB)
		sub_shift(v, step & IR_AES_INVERSE);
	if (step & IR_AES_MIX)
		mix(v, step & IR_AES_INVERSE);
}
