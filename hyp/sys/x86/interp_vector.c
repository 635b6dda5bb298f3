/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector instructions that touch only part of their memory operand: gathers and scatters, masked moves,
 * and AVX-512 write-masks. The inactive elements must neither be accessed nor fault, and the gathers
 * are restartable: each element done is recorded in destination and mask before the next may fault
 * (SDM vol. 2, VPGATHERDD; vol. 1, 15.6).
 */
#include <string.h>

#include "hyp/sys/x86/interp.h"

#define FSW_ES 0x80u

/* ---- masked moves with a vector or an opmask as mask ----------------------------------------- */

static bool sign_bit(const u8 *v, unsigned i, unsigned elem)
{
	return v[i * elem + elem - 1] & 0x80;
}

/* Bit i: element i's sign bit is set. */
static u64 sign_mask(const u8 *v, unsigned n, unsigned elem)
{
	u64 mask = 0;

	for (unsigned i = 0; i < n; i++)
		mask |= (u64)sign_bit(v, i, elem) << i;
	return mask;
}

/* The active elements of the operand at seg:off; each has an address check and a page of its own. */
static enum x86_ret read_active(struct hyp_cpu *cpu, const struct x86_insn *in, u64 off, u8 *buf,
				unsigned elem, u64 active)
{
	for (; active; active &= active - 1) {
		unsigned at = __builtin_ctzll(active) * elem;

		X86_TRY(x86_seg_read(cpu, in->mem.seg, x86_trunc(off + at, in->asize), buf + at, elem));
	}
	return X86_OK;
}

/* Would a write of the element fault? */
static enum x86_ret probe_write(struct hyp_cpu *cpu, const struct x86_insn *in, u64 off, unsigned size)
{
	enum x86_ret ret = X86_OK;
	gva_t gva, last;
	gpa_t gpa;

	X86_TRY(x86_linear(cpu, in->mem.seg, x86_trunc(off, in->asize), size, X86_ACC_W, &gva));
	last = ALIGN_DOWN(gva + size - 1, PAGE_SIZE);
	if (!hyp_mem_ptr(cpu, gva, X86_ACC_W, &gpa, &ret) && ret == X86_FAULT)
		return ret;
	if (last > gva && !hyp_mem_ptr(cpu, last, X86_ACC_W, &gpa, &ret) && ret == X86_FAULT)
		return ret;
	return X86_OK;
}

static enum x86_ret probe_active(struct hyp_cpu *cpu, const struct x86_insn *in, u64 off, unsigned elem,
				 u64 active)
{
	for (; active; active &= active - 1)
		X86_TRY(probe_write(cpu, in, off + __builtin_ctzll(active) * elem, elem));
	return X86_OK;
}

/* All or nothing: a fault on the second page must leave the first one alone. */
static enum x86_ret write_active(struct hyp_cpu *cpu, const struct x86_insn *in, u64 off, const u8 *buf,
				 unsigned elem, u64 active)
{
	X86_TRY(probe_active(cpu, in, off, elem, active));
	for (; active; active &= active - 1) {
		unsigned at = __builtin_ctzll(active) * elem;

		X86_TRY(x86_seg_write(cpu, in->mem.seg, x86_trunc(off + at, in->asize), buf + at, elem));
	}
	return X86_OK;
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q: load (v, mask, m) zeroes the inactive elements, or store (m, mask, v). */
enum x86_ret x86_op_vmaskmov(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->mem.size, elem = in->mem.elem;
	u8 mask[64], v[64] = { 0 };
	u64 active, off = x86_ea_offset(cpu, in);

	x86_vec_get(cpu, in->opnd[1].reg, mask, size);
	active = sign_mask(mask, size / elem, elem);
	if (in->opnd[0].type == X86_OPND_MEM) {
		x86_vec_get(cpu, in->opnd[2].reg, v, size);
		return write_active(cpu, in, off, v, elem, active);
	}
	X86_TRY(read_active(cpu, in, off, v, elem, active));
	x86_vec_set(cpu, in->opnd[0].reg, v, size);
	return X86_OK;
}

/* MASKMOVQ, MASKMOVDQU, VMASKMOVDQU: bytes of the first operand to [rDI] */
enum x86_ret x86_op_maskmov(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	u8 v[64], mask[64];
	u64 active;

	if (size == 8 && cpu->s.xsave[2] & FSW_ES)
		return x86_raise(cpu, X86_MF);
	if (size == 8) {
		x86_mmx_get(cpu, in->opnd[0].reg, v);
		x86_mmx_get(cpu, in->opnd[1].reg, mask);
	} else {
		x86_vec_get(cpu, in->opnd[0].reg, v, size);
		x86_vec_get(cpu, in->opnd[1].reg, mask, size);
	}
	active = sign_mask(mask, size, 1);
	X86_TRY(write_active(cpu, in, x86_get_a(cpu, in, X86_RDI), v, 1, active));
	if (size == 8)
		x86_mmx_enter(cpu);
	return X86_OK;
}

/* MOVDIR64B r, m512: 64 bytes to ES:[r] */
enum x86_ret x86_op_movdir64b(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 off = x86_get_a(cpu, in, in->opnd[0].reg);
	gva_t src, dst;
	u8 buf[64];

	X86_TRY(x86_ea(cpu, in, 64, X86_ACC_R, &src));
	X86_TRY(x86_lin_read(cpu, src, buf, 64));
	X86_TRY(x86_linear(cpu, X86_ES, off, 64, X86_ACC_W, &dst));
	if (dst & 63)
		return x86_raise_err(cpu, X86_GP, 0);
	return x86_lin_write(cpu, dst, buf, 64);
}

/* VZEROUPPER, VZEROALL: outside 64-bit mode registers 8-15 keep what they have. */
enum x86_ret x86_op_vzero(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u8 keep[8][64];
	enum x86_ret ret;

	if (cpu->code_size == 64)
		return x86_native(cpu, in);
	for (unsigned i = 0; i < 8; i++)
		x86_vec_get(cpu, 8 + i, keep[i], 64);
	ret = x86_native(cpu, in);
	for (unsigned i = 0; i < 8; i++)
		x86_vec_set(cpu, 8 + i, keep[i], 64);
	return ret;
}

/* ---- AVX-512 write-masks --------------------------------------------------------------------- */

/* Elements of the memory operand that a masked instruction touches. */
static u64 active_elements(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned n = in->mem.size / in->mem.elem, dst = in->flags & X86_IN_BCAST ? in->vl / in->mem.elem : n;
	u64 k = x86_mask_get(cpu, in->mask_reg), active = 0;

	if (dst < 64)
		k &= (1ull << dst) - 1;
	if (in->packed) /* compress, expand */
		return k ? ~0ull >> (64 - __builtin_popcountll(k)) : 0;
	for (; k; k &= k - 1)
		active |= 1ull << __builtin_ctzll(k) % n;
	return active;
}

static u64 all_elements(const struct x86_insn *in)
{
	return ~0ull >> (64 - in->mem.size / in->mem.elem);
}

/* As x86_native_mem, where the whole operand cannot be accessed in place. */
enum x86_ret x86_native_masked(struct hyp_cpu *cpu, struct x86_insn *in)
{
	u64 active = active_elements(cpu, in), off = x86_ea_offset(cpu, in);
	u8 *buf = cpu->interp->bounce + ((off + cpu->s.seg[in->mem.seg].base) & 63);

	memset(buf, 0, in->mem.size);
	if (in->mem.acc & X86_ACC_R)
		X86_TRY(read_active(cpu, in, off, buf, in->mem.elem, active));
	X86_TRY(x86_native_at(cpu, in, buf));
	if (!(in->mem.acc & X86_ACC_W))
		return X86_OK;
	if (!in->suppress_class) /* all elements may fault, only the active ones are written */
		X86_TRY(probe_active(cpu, in, off, in->mem.elem, all_elements(in)));
	return write_active(cpu, in, off, buf, in->mem.elem, active);
}

/* ---- gathers and scatters -------------------------------------------------------------------- */

struct vsib {
	u8 index[64];
	unsigned n;      /* elements */
	unsigned elem;   /* bytes of one */
	unsigned ielem;  /* bytes of an index */
};

static void vsib_init(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned regsize, struct vsib *v)
{
	v->elem = in->mem.elem;
	v->ielem = in->op_flags & X86_OP_QINDEX ? 8 : 4;
	v->n = MIN(regsize / v->elem, in->mem.vsib / v->ielem);
	x86_vec_get(cpu, in->mem.index, v->index, in->mem.vsib);
}

static enum x86_ret vsib_address(struct hyp_cpu *cpu, const struct x86_insn *in, const struct vsib *v,
				 unsigned i, gva_t *gva)
{
	u64 idx = 0;

	memcpy(&idx, v->index + i * v->ielem, v->ielem);
	idx = x86_ea_offset(cpu, in) + x86_sext(idx, v->ielem) * in->mem.scale;
	return x86_linear(cpu, in->mem.seg, x86_trunc(idx, in->asize), v->elem, in->mem.acc, gva);
}

static enum x86_ret load_element(struct hyp_cpu *cpu, const struct x86_insn *in, const struct vsib *v,
				 unsigned i, u8 *dst)
{
	u8 element[8]; /* the second page of two may fault: then the destination keeps what it has */
	gva_t gva;

	X86_TRY(vsib_address(cpu, in, v, i, &gva));
	X86_TRY(x86_lin_read(cpu, gva, element, v->elem));
	memcpy(dst + i * v->elem, element, v->elem);
	return X86_OK;
}

/* AVX2: gather v, m, mask. The mask's elements are cleared as they are done. */
static enum x86_ret gather_vex(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned dreg = in->opnd[0].reg, mreg = in->opnd[2].reg, size = in->opnd[0].size;
	enum x86_ret ret = X86_OK;
	u8 dst[64], mask[64];
	struct vsib v;

	if (dreg == mreg || dreg == in->mem.index || mreg == in->mem.index)
		return x86_raise(cpu, X86_UD);
	vsib_init(cpu, in, size, &v);
	x86_vec_get(cpu, dreg, dst, 64);
	x86_vec_get(cpu, mreg, mask, 64);
	for (unsigned i = 0; i < v.n && ret == X86_OK; i++) {
		if (sign_bit(mask, i, v.elem))
			ret = load_element(cpu, in, &v, i, dst);
		if (ret == X86_OK)
			memset(mask + i * v.elem, 0, v.elem);
	}
	if (ret == X86_OK) {
		memset(dst + v.n * v.elem, 0, sizeof(dst) - v.n * v.elem);
		memset(mask, 0, sizeof(mask));
	}
	if (ret != X86_EXIT) { /* an answered MMIO read starts all over */
		x86_vec_set(cpu, dreg, dst, 64);
		x86_vec_set(cpu, mreg, mask, 64);
	}
	return ret;
}

static enum x86_ret gather_evex(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned dreg = in->opnd[0].reg, size = in->opnd[0].size;
	enum x86_ret ret = X86_OK;
	struct vsib v;
	u8 dst[64];
	u64 k;

	if (dreg == in->mem.index || !in->mask_reg)
		return x86_raise(cpu, X86_UD);
	vsib_init(cpu, in, size, &v);
	x86_vec_get(cpu, dreg, dst, 64);
	k = x86_mask_get(cpu, in->mask_reg);
	for (unsigned i = 0; i < v.n && ret == X86_OK; i++) {
		if (k >> i & 1)
			ret = load_element(cpu, in, &v, i, dst);
		if (ret == X86_OK)
			k &= ~(1ull << i);
	}
	if (ret == X86_OK) {
		k = 0;
		memset(dst + v.n * v.elem, 0, sizeof(dst) - v.n * v.elem);
	}
	if (ret != X86_EXIT) {
		x86_vec_set(cpu, dreg, dst, 64);
		x86_mask_set(cpu, in->mask_reg, k);
	}
	return ret;
}

enum x86_ret x86_op_gather(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return in->gate == X86_GATE_AVX512 ? gather_evex(cpu, in) : gather_vex(cpu, in);
}

/* scatter m, v: in element order, so that the last of overlapping elements wins */
enum x86_ret x86_op_scatter(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	enum x86_ret ret = X86_OK;
	struct vsib v;
	u8 src[64];
	gva_t gva;
	u64 k;

	if (!in->mask_reg)
		return x86_raise(cpu, X86_UD);
	vsib_init(cpu, in, in->opnd[1].size, &v);
	x86_vec_get(cpu, in->opnd[1].reg, src, in->opnd[1].size);
	k = x86_mask_get(cpu, in->mask_reg);
	for (unsigned i = 0; i < v.n && ret == X86_OK; i++) {
		if (k >> i & 1) {
			ret = vsib_address(cpu, in, &v, i, &gva);
			if (ret == X86_OK)
				ret = x86_lin_write(cpu, gva, src + i * v.elem, v.elem);
		}
		if (ret == X86_OK)
			k &= ~(1ull << i);
	}
	x86_mask_set(cpu, in->mask_reg, ret == X86_OK ? 0 : k);
	return ret;
}
