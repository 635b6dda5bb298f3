/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeated string instructions, a page at a time (helpers.h). What is not that simple (an element crossing
 * its page, MMIO, DF) is the interpreter's. A fault leaves the registers where the next element is due, so
 * that the instruction goes on when it is started again. Guest-live.
 */
#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/helpers.h"
#include "hyp/rewrite/x86/run.h"

/* Elements that fit from gva to the end of its page; 0 where the first one crosses it. */
static u64 elements_in_page(u64 gva, unsigned size)
{
	return (PAGE_SIZE - (gva & ~PAGE_MASK)) / size;
}

static inline void host_movs(u8 *dst, const u8 *src, u64 bytes, unsigned size)
{
	u64 n = bytes / size;

	switch (size) {
	case 1:
		__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	case 2:
		__asm__ volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	case 4:
		__asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	default:
		__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	}
}

static inline void host_stos(u8 *dst, u64 val, u64 bytes, unsigned size)
{
	u64 n = bytes / size;

	switch (size) {
	case 1:
		__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
		break;
	case 4:
		__asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
		break;
	default:
		__asm__ volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
	}
}

static u64 index_of(const struct hyp_cpu *cpu, u64 operand, unsigned reg)
{
	return operand & H_STR_A32 ? (u32)cpu->s.gpr[reg] : cpu->s.gpr[reg];
}

static void index_add(struct hyp_cpu *cpu, u64 operand, unsigned reg, u64 delta)
{
	cpu->s.gpr[reg] += delta;
	cpu->s.gpr[reg] = index_of(cpu, operand, reg);
}

/* Elements left to do. */
static u64 count_of(const struct hyp_cpu *cpu, u64 operand)
{
	return operand & H_STR_REP ? index_of(cpu, operand, X86_RCX) : 1;
}

static void step(struct hyp_cpu *cpu, u64 operand, u64 n, bool source)
{
	unsigned size = operand & 15;

	index_add(cpu, operand, X86_RDI, n * size);
	if (source)
		index_add(cpu, operand, X86_RSI, n * size);
	if (operand & H_STR_REP)
		index_add(cpu, operand, X86_RCX, -n);
}

/* Outcomes of one chunk besides X86_OK and X86_FAULT: the interpreter takes over (page crossing,
 * MMIO, code on the page). */
static enum x86_ret chunk_failed(struct hyp_cpu *cpu, const struct hyp_fail *fail)
{
	if (fail->ret == X86_FAULT && cpu->fault.vector == X86_PF)
		return X86_FAULT;
	cpu->fault.type = X86_EVENT_NONE;
	return HYP_HELPER_INTERP;
}

enum x86_ret helper_movs(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	unsigned size = operand & 15;
	struct hyp_fail fail = { X86_OK, 0 };

	if (cpu->df)
		return HYP_HELPER_INTERP;
	for (u64 left = count_of(cpu, operand); left;
	     left = operand & H_STR_REP ? count_of(cpu, operand) : 0) {
		u64 from = index_of(cpu, operand, X86_RSI), to = index_of(cpu, operand, X86_RDI);
		u64 n = MIN(left, elements_in_page(from, size));
		u8 *src, *dst;

		n = MIN(n, elements_in_page(to, size));
		if (!n)
			return HYP_HELPER_INTERP;
		src = hyp_mem_ptr_size(cpu, from, X86_ACC_R, n * size, &fail);
		if (!src)
			return chunk_failed(cpu, &fail);
		dst = hyp_mem_ptr_size(cpu, to, X86_ACC_W, n * size, &fail);
		if (!dst)
			return chunk_failed(cpu, &fail);
		if (unlikely(cpu->attention))
			return HYP_HELPER_AGAIN;
		host_movs(dst, src, n * size, size);
		step(cpu, operand, n, true);
	}
	return X86_OK;
}

enum x86_ret helper_stos(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	unsigned size = operand & 15;
	struct hyp_fail fail = { X86_OK, 0 };

	if (cpu->df)
		return HYP_HELPER_INTERP;
	for (u64 left = count_of(cpu, operand); left;
	     left = operand & H_STR_REP ? count_of(cpu, operand) : 0) {
		u64 to = index_of(cpu, operand, X86_RDI);
		u64 n = MIN(left, elements_in_page(to, size));
		u8 *dst;

		if (!n)
			return HYP_HELPER_INTERP;
		dst = hyp_mem_ptr_size(cpu, to, X86_ACC_W, n * size, &fail);
		if (!dst)
			return chunk_failed(cpu, &fail);
		if (unlikely(cpu->attention))
			return HYP_HELPER_AGAIN;
		host_stos(dst, cpu->s.gpr[X86_RAX], n * size, size);
		step(cpu, operand, n, false);
	}
	return X86_OK;
}

/* ---- comparisons ----------------------------------------------------------------------------------- */

static u64 element(const u8 *p, unsigned size)
{
	switch (size) {
	case 1:
		return *p;
	case 2:
		return *(const u16 *)p;
	case 4:
		return *(const u32 *)p;
	default:
		return *(const u64 *)p;
	}
}

/* Flags of a - b, by the host's own subtraction. */
static void set_flags(struct hyp_cpu *cpu, u64 a, u64 b, unsigned size)
{
	const u64 of_low_byte = X86_FL_PF | X86_FL_AF;
	unsigned shift = 64 - 8 * size;
	u64 all, low;

	/* with the elements at the top, CF, ZF, SF and OF are right */
	__asm__("cmp %2, %1; lahf; seto %%al" : "=&a"(all) : "r"(a << shift), "r"(b << shift) : "cc");
	__asm__("cmp %b2, %b1; lahf; seto %%al" : "=&a"(low) : "q"(a), "q"(b) : "cc");
	all = (flags_from_ax(all) & ~of_low_byte) | (flags_from_ax(low) & of_low_byte);
	cpu->s.rflags = (cpu->s.rflags & ~(u64)X86_FL_ARITH) | all;
}

/* One pass of a comparison over plain memory: a is [RSI] or, where `stride` is 0, RAX. */
struct pass {
	const u8 *a, *b;
	unsigned size, stride;
	bool until_equal;
};

/* Compares up to n elements; returns how many, the last one's flags are set. */
static u64 compare(struct hyp_cpu *cpu, const struct pass *p, u64 n)
{
	u64 i = 0, a, b;

	do {
		a = element(p->a + i * p->stride, p->size);
		b = element(p->b + i * p->size, p->size);
		i++;
	} while (i < n && (a == b) != p->until_equal);
	set_flags(cpu, a, b, p->size);
	return i;
}

/* RCX is used up, or ZF says so. */
static bool finished(const struct hyp_cpu *cpu, u64 operand)
{
	return !count_of(cpu, operand) || !(cpu->s.rflags & X86_FL_ZF) == !(operand & H_STR_NE);
}

static enum x86_ret repeat_compare(struct hyp_cpu *cpu, u64 operand, bool source)
{
	struct pass p = { .size = operand & 15, .until_equal = operand & H_STR_NE };
	struct hyp_fail fail = { X86_OK, 0 };

	if (cpu->df)
		return HYP_HELPER_INTERP;
	if (!count_of(cpu, operand))
		return X86_OK;
	p.stride = source ? p.size : 0;
	do {
		u64 from = index_of(cpu, operand, X86_RSI), to = index_of(cpu, operand, X86_RDI);
		u64 n = MIN(count_of(cpu, operand), elements_in_page(to, p.size));

		if (source)
			n = MIN(n, elements_in_page(from, p.size));
		if (!n)
			return HYP_HELPER_INTERP;
		p.a = source ? hyp_mem_ptr_size(cpu, from, X86_ACC_R, p.size, &fail)
			     : (const u8 *)&cpu->s.gpr[X86_RAX];
		p.b = p.a ? hyp_mem_ptr_size(cpu, to, X86_ACC_R, p.size, &fail) : NULL;
		if (!p.b)
			return chunk_failed(cpu, &fail);
		step(cpu, operand, compare(cpu, &p, n), source);
	} while (!finished(cpu, operand));
	return X86_OK;
}

enum x86_ret helper_cmps(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return repeat_compare(cpu, operand, true);
}

enum x86_ret helper_scas(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return repeat_compare(cpu, operand, false);
}
