/* SPDX-License-Identifier: Apache-2.0 */
/* Between the run loop (run.c), the dispatcher of translated code (dispatch.c) and the signals. */
#ifndef KUSE_HYP_X86_RUN_H
#define KUSE_HYP_X86_RUN_H

#include "hyp/mem/signal.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/sys/x86/sys.h"

/* Runs translated code from s.rip until something needs the run loop. X86_OK: look again. */
enum x86_ret hyp_run_translated(struct hyp_cpu *cpu);

/* State that translated code does not implement: 16-bit code, segments that are not flat, single-step,
 * shadows, breakpoints. */
bool hyp_must_interpret(struct hyp_cpu *cpu);

/* ax_flags (LAHF form) <-> arithmetic bits of RFLAGS */
static inline u32 flags_from_ax(u64 ax)
{
	return (u32)(ax >> 8 & (X86_FL_CF | X86_FL_PF | X86_FL_AF | X86_FL_ZF | X86_FL_SF)) |
	       (ax & 1 ? X86_FL_OF : 0);
}

static inline u64 flags_to_ax(u64 fl)
{
	return (fl & (X86_FL_CF | X86_FL_PF | X86_FL_AF | X86_FL_ZF | X86_FL_SF) ? (fl & 0xd5) << 8 : 0) |
	       0x200 | (fl & X86_FL_OF ? 1 : 0);
}

#endif
