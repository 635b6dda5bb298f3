/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that a short guest-live C function executes on the state structure, without the cost of
 * the interpreter (saving vector state, decoding again). One row per instruction in helpers.inc:
 *
 *   HELPER(id, mnemonic, flags)   function helper_<id>(cpu, operand, len)
 *
 * The function finds s.rip at the instruction and s.rflags complete. H_RIP: it sets s.rip itself;
 * H_ENDS: the code behind it cannot go on in the same block (mode, privilege or mapping changed).
 * H_MEM: the linear address of the memory operand is in S1 (cpu->scratch[4]).
 * H_TAIL: what follows the call finishes the instruction: it is where execution goes on, whatever has
 * happened meanwhile, if the helper returned X86_OK, and only then.
 */
#ifndef KUSE_HYP_X86_HELPERS_H
#define KUSE_HYP_X86_HELPERS_H

#include "hyp/sys/x86/sys.h"

#define H_RIP 1u
#define H_ENDS 2u
#define H_MEM 4u
#define H_TAIL 8u

enum helper_id {
#define HELPER(id, mnemonic, flags) HELPER_##id,
#include "hyp/rewrite/x86/helpers.inc"
#undef HELPER
	HELPER_NR
};

struct helper {
	enum x86_ret (*fn)(struct hyp_cpu *cpu, u64 operand, unsigned len);
	u8 flags;
};
extern const struct helper helpers[HELPER_NR];

/* helpers_str.c */
enum x86_ret helper_movs(struct hyp_cpu *cpu, u64 operand, unsigned len);
enum x86_ret helper_stos(struct hyp_cpu *cpu, u64 operand, unsigned len);
enum x86_ret helper_cmps(struct hyp_cpu *cpu, u64 operand, unsigned len);
enum x86_ret helper_scas(struct hyp_cpu *cpu, u64 operand, unsigned len);
/* helpers_fpu.c */
enum x86_ret helper_xsave(struct hyp_cpu *cpu, u64 operand, unsigned len);
enum x86_ret helper_xsaveopt(struct hyp_cpu *cpu, u64 operand, unsigned len);
enum x86_ret helper_xrstor(struct hyp_cpu *cpu, u64 operand, unsigned len);

/* helpers_vec.c */
enum x86_ret helper_gather(struct hyp_cpu *cpu, u64 operand, unsigned len);
enum x86_ret helper_scatter(struct hyp_cpu *cpu, u64 operand, unsigned len);

/* A helper's result besides enum x86_ret: not this way, the interpreter executes it (s.rip unchanged). */
#define HYP_HELPER_INTERP ((enum x86_ret)101)
/* Interrupted between two elements: the registers say how far it got. */
#define HYP_HELPER_AGAIN ((enum x86_ret)102)

/* Operand of string helpers: bytes of an element | H_STR_*. */
#define H_STR_REP 16u
#define H_STR_NE 64u  /* CMPS, SCAS: while not equal */
#define H_STR_A32 32u /* 32-bit addresses and count */
/* Operand of gathers and scatters: bytes of an element | H_VEC_* | log2 of the scale | elements. */
#define H_VEC_QINDEX 16u /* indexes of 8 bytes, else 4 */
#define H_VEC_K 32u      /* the mask is an opmask register */
#define H_VEC_SCALE 6
#define H_VEC_LANES 8
/* Operand of MOV CR and MOV to a segment register: its number | general register << 8. */

#endif
