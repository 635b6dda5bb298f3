/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host code, byte by byte: the few x86-64 encodings that translated code is made of besides the
 * guest's own instructions. Register arguments are host register numbers (0..15).
 */
#ifndef KUSE_HYP_X86_EMIT_H
#define KUSE_HYP_X86_EMIT_H

#include <string.h>

#include "lib/types.h"

#define NO_REG (-1)

struct emit {
	u8 *p; /* next byte, in the writable view */
};

static inline void e_1(struct emit *e, u8 b)
{
	*e->p++ = b;
}

static inline void e_4(struct emit *e, u32 v)
{
	__builtin_memcpy(e->p, &v, 4);
	e->p += 4;
}

static inline void e_8(struct emit *e, u64 v)
{
	__builtin_memcpy(e->p, &v, 8);
	e->p += 8;
}

static inline void e_bytes(struct emit *e, const void *b, unsigned n)
{
	__builtin_memcpy(e->p, b, n);
	e->p += n;
}

static inline void e_rex(struct emit *e, bool w, int reg, int index, int base)
{
	u8 r = (u8)(0x40 | w << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1));

	if (r != 0x40)
		e_1(e, r);
}

/* op reg, rm (both registers) */
static inline void e_rr(struct emit *e, bool w, u8 op, int reg, int rm)
{
	e_rex(e, w, reg, 0, rm);
	e_1(e, op);
	e_1(e, (u8)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

/* op reg, [base + disp] */
static inline void e_rm(struct emit *e, bool w, u8 op, int reg, int base, s32 disp)
{
	u8 mod = disp == 0 && (base & 7) != 5 ? 0 : disp >= -128 && disp < 128 ? 1 : 2;

	e_rex(e, w, reg, 0, base);
	e_1(e, op);
	e_1(e, (u8)(mod << 6 | (reg & 7) << 3 | (base & 7)));
	if ((base & 7) == 4)
		e_1(e, 0x24);
	if (mod == 1)
		e_1(e, (u8)disp);
	else if (mod == 2)
		e_4(e, (u32)disp);
}

/* A place in memory: [base + index + disp], index NO_REG if absent. */
struct memref {
	int base, index;
	s32 disp;
};

/* op reg, memory */
static inline void e_mem(struct emit *e, bool w, u8 op, int reg, const struct memref *m)
{
	u8 mod = m->disp == 0 && (m->base & 7) != 5 ? 0 : m->disp >= -128 && m->disp < 128 ? 1 : 2;

	if (m->index == NO_REG) {
		e_rm(e, w, op, reg, m->base, m->disp);
		return;
	}
	e_rex(e, w, reg, m->index, m->base);
	e_1(e, op);
	e_1(e, (u8)(mod << 6 | (reg & 7) << 3 | 4));
	e_1(e, (u8)((m->index & 7) << 3 | (m->base & 7)));
	if (mod == 1)
		e_1(e, (u8)m->disp);
	else if (mod == 2)
		e_4(e, (u32)m->disp);
}

/* op reg, gs:[off] */
static inline void e_gs(struct emit *e, bool w, u8 op, int reg, u32 off)
{
	e_1(e, 0x65);
	e_rex(e, w, reg, 0, 0);
	e_1(e, op);
	e_1(e, (u8)((reg & 7) << 3 | 4));
	e_1(e, 0x25);
	e_4(e, off);
}

/* jmp gs:[off] */
static inline void e_jmp_gs(struct emit *e, u32 off)
{
	e_bytes(e, "\x65\xff\x24\x25", 4);
	e_4(e, off);
}

/* op reg, gs:[base + off] */
static inline void e_gs_base(struct emit *e, bool w, u8 op, int reg, int base, u32 off)
{
	e_1(e, 0x65);
	e_rex(e, w, reg, 0, base);
	e_1(e, op);
	e_1(e, (u8)(0x80 | (reg & 7) << 3 | (base & 7)));
	e_4(e, off);
}

static inline void e_mov_rr(struct emit *e, int dst, int src)
{
	e_rr(e, true, 0x89, src, dst);
}

static inline void e_load_gs(struct emit *e, int dst, u32 off)
{
	e_gs(e, true, 0x8b, dst, off);
}

static inline void e_store_gs(struct emit *e, u32 off, int src)
{
	e_gs(e, true, 0x89, src, off);
}

/* Shortest move of a 64-bit constant. */
static inline void e_mov_ri(struct emit *e, int dst, u64 v)
{
	if (v >> 32 == 0) {
		e_rex(e, false, 0, 0, dst);
		e_1(e, (u8)(0xb8 | (dst & 7)));
		e_4(e, (u32)v);
	} else if ((u64)(s64)(s32)v == v) {
		e_rex(e, true, 0, 0, dst);
		e_1(e, 0xc7);
		e_1(e, (u8)(0xc0 | (dst & 7)));
		e_4(e, (u32)v);
	} else {
		e_rex(e, true, 0, 0, dst);
		e_1(e, (u8)(0xb8 | (dst & 7)));
		e_8(e, v);
	}
}

/* lea dst, [base + index*scale + disp]; w: 64-bit, else the 32-bit form. base, index: NO_REG if absent. */
static inline void e_lea(struct emit *e, bool w, int dst, int base, int index, unsigned scale, s32 disp)
{
	unsigned ss = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
	u8 mod;

	if (base != NO_REG && index == NO_REG) {
		e_rm(e, w, 0x8d, dst, base, disp);
		return;
	}
	e_rex(e, w, dst, index == NO_REG ? 0 : index, base == NO_REG ? 0 : base);
	e_1(e, 0x8d);
	mod = base == NO_REG || (disp == 0 && (base & 7) != 5) ? 0 : disp >= -128 && disp < 128 ? 1 : 2;
	e_1(e, (u8)(mod << 6 | (dst & 7) << 3 | 4));
	e_1(e, (u8)(ss << 6 | ((index == NO_REG ? 4 : index) & 7) << 3 | (base == NO_REG ? 5 : base & 7)));
	if (mod == 1)
		e_1(e, (u8)disp);
	else if (mod == 2 || base == NO_REG)
		e_4(e, (u32)disp);
}

/* AH and AL take the arithmetic flags (LAHF; SETO AL), and give them back. */
static inline void e_flags_to_ax(struct emit *e)
{
	e_bytes(e, "\x9f\x0f\x90\xc0", 4);
}

static inline void e_flags_from_ax(struct emit *e)
{
	e_bytes(e, "\x04\x7f\x9e", 3); /* add al, 0x7f; sahf */
}

#endif
