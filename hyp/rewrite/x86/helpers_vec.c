/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathers and scatters (xlate_vec.c): the code in front of the call has put the registers involved into
 * cpu->vec, the code behind it loads the destination and clears the mask. All other vector state stays.
 *
 * Nothing is written before every element's page is there. Where one is not (it faults, is a device, holds
 * code), or an element crosses its page, the interpreter executes the instruction from the start, and
 * knows how far a gather that faults has got. Guest-live.
 */
#include "hyp/rewrite/x86/helpers.h"

struct lanes {
	u64 base, active;
	unsigned n, elem, shift;
	bool qindex;
};

static u64 sign_bits(const void *v, unsigned n, unsigned elem)
{
	u64 mask = 0;

	for (unsigned i = 0; i < n; i++)
		mask |= (elem == 8 ? ((const u64 *)v)[i] >> 63 : ((const u32 *)v)[i] >> 31) << i;
	return mask;
}

static struct lanes lanes_of(const struct hyp_cpu *cpu, u64 operand)
{
	struct lanes l = { .base = cpu->scratch[4], .n = operand >> H_VEC_LANES, .elem = operand & 15,
			   .shift = operand >> H_VEC_SCALE & 3, .qindex = operand & H_VEC_QINDEX };
	u16 k;

	if (operand & H_VEC_K) {
		__builtin_memcpy(&k, cpu->vec[HYP_VEC_MASK], sizeof(k));
		l.active = k & ((1u << l.n) - 1);
	} else {
		l.active = sign_bits(cpu->vec[HYP_VEC_MASK], l.n, l.elem);
	}
	return l;
}

static u64 lane_address(const struct hyp_cpu *cpu, const struct lanes *l, unsigned i)
{
	const void *index = cpu->vec[HYP_VEC_INDEX];
	u64 idx = l->qindex ? ((const u64 *)index)[i] : (u64)(s64)((const s32 *)index)[i];

	return l->base + (idx << l->shift);
}

static u8 *fill_and_find(struct hyp_cpu *cpu, u64 gva, unsigned size, bool write)
{
	struct hyp_fail fail;
	u64 cr2 = cpu->s.cr2;
	u8 *p = hyp_mem_ptr_size(cpu, gva, write ? X86_ACC_W : X86_ACC_R, size, &fail);

	if (p)
		return p;
	cpu->s.cr2 = cr2;
	cpu->fault.type = X86_EVENT_NONE;
	return NULL;
}

static inline u8 *element_at(struct hyp_cpu *cpu, u64 gva, unsigned size, bool write)
{
	const struct hyp_tlb_entry *e = &cpu->tlb[cpu->tlb_part][hyp_tlb_slot(gva)];
	u64 off = gva & ~PAGE_MASK;

	if (unlikely(off + size > PAGE_SIZE))
		return NULL;
	if (unlikely((write ? e->write_tag : e->read_tag) != gva - off) &&
	    (!fill_and_find(cpu, gva, size, write) || (write ? e->write_tag : e->read_tag) != gva - off))
		return NULL;
	return (u8 *)e->host + off;
}

enum x86_ret helper_gather(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	struct lanes l = lanes_of(cpu, operand);
	u8 *dst = cpu->vec[HYP_VEC_DATA];

	for (u64 left = l.active; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const u8 *p = element_at(cpu, lane_address(cpu, &l, i), l.elem, false);

		if (unlikely(!p))
			return HYP_HELPER_INTERP;
		if (l.elem == 8)
			((u64 *)dst)[i] = *(const u64 *)p;
		else
			((u32 *)dst)[i] = *(const u32 *)p;
	}
	__builtin_memset(dst + l.n * l.elem, 0, HYP_VEC_BYTES - l.n * l.elem);
	return X86_OK;
}

enum x86_ret helper_scatter(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	struct lanes l = lanes_of(cpu, operand);
	const u8 *src = cpu->vec[HYP_VEC_DATA];
	u8 *to[16];

	for (u64 left = l.active; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		to[i] = element_at(cpu, lane_address(cpu, &l, i), l.elem, true);
		if (unlikely(!to[i]))
			return HYP_HELPER_INTERP;
	}
	if (unlikely(cpu->attention & HYP_ATTN_KICK))
		return HYP_HELPER_AGAIN; /* the dirty ring is full */
	for (u64 left = l.active; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (l.elem == 8)
			*(u64 *)to[i] = ((const u64 *)src)[i];
		else
			*(u32 *)to[i] = ((const u32 *)src)[i];
	}
	return X86_OK;
}
