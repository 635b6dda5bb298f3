/* SPDX-License-Identifier: Apache-2.0 */
/* XSAVE areas in guest memory (xsave.c; interp_xsave.c fills the tables). Private to hyp/. */
#ifndef KUSE_HYP_X86_XSAVE_H
#define KUSE_HYP_X86_XSAVE_H

#include "hyp/sys/x86/sys.h"

enum { XC_X87, XC_SSE, XC_AVX, XC_OPMASK = 5, XC_ZMM_HI256, XC_HI16_ZMM, XC_NR };

#define XSAVE_HEADER 512
#define XSAVE_EXTENDED 576
#define XCOMP_COMPACTED (1ull << 63)
#define MXCSR_INIT 0x1f80u

/* Where a component is in the standard format. */
struct x86_xcomp {
	u16 off, size;
	bool align64;
};
extern struct x86_xcomp x86_xcomp[XC_NR];
extern u32 x86_mxcsr_mask;
extern bool x86_host_xsavec;

/* An instruction's view of the area in memory. */
struct x86_xarea {
	gva_t gva;
	u64 rfbm;
	u64 layout;  /* compacted: components that have room; 0: standard format */
	bool narrow; /* not 64-bit code */
};

/* The requested-feature bitmap: XCR0 & EDX:EAX. */
u64 x86_xsave_requested(const struct hyp_cpu *cpu);
/* Components `which` of the standard-format image img, MXCSR, and a header that says bv. */
enum x86_ret x86_xsave_out(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 which, u64 bv, const u8 *img);
/* Reads and checks the header; sets xa->layout. */
enum x86_ret x86_xrstor_header(struct hyp_cpu *cpu, struct x86_xarea *xa, u64 header[8]);
/* The requested components of bv (the header's) into img, and the MXCSR that results. */
enum x86_ret x86_xrstor_in(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 bv, u8 *img);

#endif
