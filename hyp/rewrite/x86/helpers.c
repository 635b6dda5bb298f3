/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions executed by a C function between two pieces of translated code (helpers.h). Guest-live. */
#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/helpers.h"

static u64 next_rip(const struct hyp_cpu *cpu, unsigned len)
{
	u64 next = cpu->s.rip + len;

	return cpu->code_size == 64 ? next : (u32)next;
}

static enum x86_ret helper_syscall(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_syscall(cpu, next_rip(cpu, len));
}

static enum x86_ret helper_sysret(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_sysret(cpu, (unsigned)operand);
}

static enum x86_ret helper_sysenter(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_sysenter(cpu);
}

static enum x86_ret helper_sysexit(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_sysexit(cpu, (unsigned)operand);
}

static enum x86_ret helper_int(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_softint(cpu, (u8)operand, next_rip(cpu, len));
}

static enum x86_ret helper_iretd(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_iret(cpu, 4);
}

static enum x86_ret helper_iretq(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_iret(cpu, 8);
}

static enum x86_ret helper_popfd(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_popf(cpu, 4);
}

static enum x86_ret helper_popfq(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_popf(cpu, 8);
}

/* The shadow covers the next instruction, which translated code executes before it polls again. */
static enum x86_ret helper_sti(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	enum x86_ret ret = x86_sti(cpu);

	if (ret == X86_OK && !cpu->attention)
		cpu->s.shadow = 0;
	return ret;
}

static enum x86_ret tsc_to_edx_eax(struct hyp_cpu *cpu)
{
	u64 tsc;

	if (cpu->s.cr4 & X86_CR4_TSD && x86_cpl(&cpu->s))
		return x86_raise_err(cpu, X86_GP, 0);
	tsc = hyp_x86_tsc(cpu);
	cpu->s.gpr[X86_RAX] = (u32)tsc;
	cpu->s.gpr[X86_RDX] = tsc >> 32;
	return X86_OK;
}

static enum x86_ret helper_rdtsc(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return tsc_to_edx_eax(cpu);
}

static enum x86_ret helper_rdtscp(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	if (!cpu->s.has_rdtscp)
		return x86_raise(cpu, X86_UD);
	if (tsc_to_edx_eax(cpu) != X86_OK)
		return X86_FAULT;
	cpu->s.gpr[X86_RCX] = (u32)cpu->s.tsc_aux;
	return X86_OK;
}

static enum x86_ret helper_mov_to_cr(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	u64 val = cpu->s.gpr[operand >> 8];

	return x86_mov_to_cr(cpu, operand & 15, cpu->code_size == 64 ? val : (u32)val);
}

static enum x86_ret helper_mov_from_cr(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	u64 val;
	enum x86_ret ret = x86_mov_from_cr(cpu, operand & 15, &val);

	if (ret == X86_OK)
		cpu->s.gpr[operand >> 8] = cpu->code_size == 64 ? val : (u32)val;
	return ret;
}

static enum x86_ret helper_mov_to_seg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_load_seg(cpu, operand & 15, (u16)cpu->s.gpr[operand >> 8]);
}

/* PUSH and POP of a segment register in 32-bit code. */
static enum x86_ret helper_push_seg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_push(cpu, cpu->s.seg[operand].sel, 4);
}

static enum x86_ret helper_pop_seg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	u64 rsp = cpu->s.gpr[X86_RSP], sel;
	enum x86_ret ret = x86_pop(cpu, &sel, 4);

	if (ret == X86_EXIT)
		return HYP_HELPER_INTERP; /* the stack is a device */
	if (ret == X86_OK)
		ret = x86_load_seg(cpu, (unsigned)operand, (u16)sel);
	if (ret != X86_OK)
		cpu->s.gpr[X86_RSP] = rsp;
	return ret;
}

/* The address is in S1. */
static enum x86_ret helper_invlpg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_invlpg(cpu, cpu->scratch[4]);
}

/* ---- string moves ------------------------------------------------------------------------------- */

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
static u64 count_of(struct hyp_cpu *cpu, u64 operand)
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

static enum x86_ret helper_movs(struct hyp_cpu *cpu, u64 operand, unsigned len)
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

static enum x86_ret helper_stos(struct hyp_cpu *cpu, u64 operand, unsigned len)
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

const struct helper helpers[HELPER_NR] = {
#define HELPER(id, mnemonic, flags) [HELPER_##id] = { helper_##id, flags },
#include "hyp/rewrite/x86/helpers.inc"
#undef HELPER
};

u64 hyp_x86_tsc(struct hyp_cpu *cpu)
{
	u64 host = __builtin_ia32_rdtsc();

	if (cpu->s.tsc_ratio != 1ull << 48)
		host = (u64)((unsigned __int128)host * cpu->s.tsc_ratio >> 48);
	return host + cpu->s.tsc_offset;
}
