/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things lie in the stub's own pages: for stub_code.S and for C. One executable page that nobody can
 * write, then the control area, then the signal stack; the last two are shared with the engine.
 */
#ifndef KUSE_HYP_DIRECT_X86_STUB_LAYOUT_H
#define KUSE_HYP_DIRECT_X86_STUB_LAYOUT_H

#define STUB_CODE_SIZE 0x1000
#define STUB_CTL_SIZE 0x2000 /* struct stub_ctl */

/* struct stub_ctl */
#define STUB_CTL_SECRET_FLAGS 0
#define STUB_CTL_SECRET_FD 8
#define STUB_CTL_COUNT 16
#define STUB_CTL_AGAIN 24
#define STUB_CTL_FRAME 32
#define STUB_CTL_FS_BASE 40
#define STUB_CTL_GS_BASE 48
#define STUB_CTL_RFLAGS 56
#define STUB_CTL_CALLS 64

/* struct stub_call */
#define STUB_CALL_NR 0
#define STUB_CALL_ARG(n) (8 + 8 * (n))
#define STUB_CALL_RESULT 56
#define STUB_CALL_SIZE 64

#endif
