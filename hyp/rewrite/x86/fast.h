/* SPDX-License-Identifier: Apache-2.0 */
/* System calls inside translated code (see fast.c). */
#ifndef KUSE_HYP_X86_FAST_H
#define KUSE_HYP_X86_FAST_H

#include "hyp/rewrite/x86/engine.h"

extern const char hyp_fast_begin[], hyp_fast_end[]; /* around all of it; scratch[2] is in the block it is for */
extern const char hyp_fast_syscall[], hyp_fast_sysret[];
enum { HYP_FAST_SYSCALL, HYP_FAST_SYSRET, HYP_FAST_STUBS };
extern const char *const hyp_fast_stubs[HYP_FAST_STUBS];

#endif
