/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FPCR and FPSR in the host's MXCSR while guest code runs. Rounding mode, flush to zero and the cumulative
 * flags are the host's; default NaN, FZ16 and AHP are the lifters' business (block key). FPSR.IDC: the host
 * sets no flag for an input it flushed (DAZ); what it calls DE is an input it did not flush, which Arm does
 * not report.
 */
#include <immintrin.h>

#include "hyp/sys/arm64/cpu.h"

#define MXCSR_IE 0x01u
#define MXCSR_ZE 0x04u
#define MXCSR_OE 0x08u
#define MXCSR_UE 0x10u
#define MXCSR_PE 0x20u
#define MXCSR_DAZ 0x40u
#define MXCSR_MASKS 0x1f80u
#define MXCSR_RC_SHIFT 13
#define MXCSR_FZ 0x8000u

#define FPCR_FZ (1u << 24)
#define FPCR_RMODE(fpcr) ((fpcr) >> 22 & 3)
#define FPSR_IOC 0x01u
#define FPSR_DZC 0x02u
#define FPSR_OFC 0x04u
#define FPSR_UFC 0x08u
#define FPSR_IXC 0x10u

void arm64_fp_enter(struct hyp_cpu *cpu)
{
	static const u8 rc[4] = { 0, 2, 1, 3 }; /* nearest, up, down, zero: Arm's order to the host's */
	u32 fpcr = cpu->s.fpcr, mxcsr = MXCSR_MASKS | (u32)rc[FPCR_RMODE(fpcr)] << MXCSR_RC_SHIFT;

	if (fpcr & FPCR_FZ)
		mxcsr |= MXCSR_FZ | MXCSR_DAZ;
	_mm_setcsr(mxcsr);
}

void arm64_fp_leave(struct hyp_cpu *cpu)
{
	static const struct { u32 host, guest; } flags[] = { { MXCSR_IE, FPSR_IOC }, { MXCSR_ZE, FPSR_DZC },
							     { MXCSR_OE, FPSR_OFC }, { MXCSR_UE, FPSR_UFC },
							     { MXCSR_PE, FPSR_IXC } };
	u32 mxcsr = _mm_getcsr();

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
		if (mxcsr & flags[i].host)
			cpu->s.fpsr |= flags[i].guest;
	_mm_setcsr(MXCSR_MASKS);
}
