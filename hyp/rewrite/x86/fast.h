/* SPDX-License-Identifier: Apache-2.0 */
/* System calls and short string instructions inside translated code (see fast.c, fast_str.c). */
#ifndef KUSE_HYP_X86_FAST_H
#define KUSE_HYP_X86_FAST_H

#include "hyp/rewrite/x86/engine.h"

extern const char hyp_fast_begin[], hyp_fast_end[]; /* around all of it; scratch[2] is in the block it is for */
extern const char hyp_fast_syscall[], hyp_fast_sysret[];
enum { HYP_FAST_SYSCALL, HYP_FAST_SYSRET, HYP_FAST_STUBS };
extern const char *const hyp_fast_stubs[HYP_FAST_STUBS];

/* fast_str.c: log2 of the element's size 0..3 */
#define HYP_FAST_STR(part, movs, shift) ((part) * 8 + (movs) * 4 + (shift))
#define HYP_FAST_STRS (8 * HYP_TLB_PARTS)
extern const char hyp_fast_str_begin[], hyp_fast_str_end[];
extern const char *const hyp_fast_str_stubs[HYP_FAST_STRS];
/* From the helper's CALL to the code behind it. */
#define HYP_FAST_RESUME (HYP_LEAVE_CALL + (int)sizeof(struct hyp_edge_site))
/* The host refused guest memory to a string instruction at *rip: where to go on. False: rip is elsewhere. */
bool hyp_fast_str_fault(struct hyp_cpu *cpu, u64 *rip);

#endif
