/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of XSAVE areas in guest memory (SDM vol. 1, ch. 13.4), for the interpreter (interp_xsave.c) and
 * for the helpers of translated code (rewrite/x86/helpers_fpu.c). Guest-live.
 */
#include "hyp/sys/x86/xsave.h"

#define TRY(call) \
	do { \
		enum x86_ret try_ret = (call); \
		if (unlikely(try_ret != X86_OK)) \
			return try_ret; \
	} while (0)

struct x86_xcomp x86_xcomp[XC_NR];
u32 x86_mxcsr_mask;
bool x86_host_xsavec;

u64 x86_xsave_requested(const struct hyp_cpu *cpu)
{
	return cpu->s.xcr0 & ((u32)cpu->s.gpr[X86_RAX] | cpu->s.gpr[X86_RDX] << 32) & (BIT(XC_NR) - 1);
}

static unsigned comp_offset(const struct x86_xarea *xa, unsigned i)
{
	unsigned off = XSAVE_EXTENDED;

	if (!xa->layout)
		return x86_xcomp[i].off;
	for (unsigned j = XC_AVX; j <= i; j++) {
		if (!(xa->layout & BIT(j)))
			continue;
		if (x86_xcomp[j].align64)
			off = ALIGN_UP(off, 64u);
		if (j < i)
			off += x86_xcomp[j].size;
	}
	return off;
}

/* Bytes of component i that exist for this mode. */
static unsigned comp_bytes(const struct x86_xarea *xa, unsigned i)
{
	if (!xa->narrow || i == XC_OPMASK)
		return x86_xcomp[i].size;
	return i == XC_HI16_ZMM ? 0 : x86_xcomp[i].size / 2;
}

typedef enum x86_ret (*xcopy_fn)(struct hyp_cpu *cpu, gva_t gva, u8 *bytes, unsigned len);

static enum x86_ret copy_out(struct hyp_cpu *cpu, gva_t gva, u8 *bytes, unsigned len)
{
	return len ? x86_mem_write(cpu, gva, bytes, len, X86_ACC_W) : X86_OK;
}

static enum x86_ret copy_in(struct hyp_cpu *cpu, gva_t gva, u8 *bytes, unsigned len)
{
	return len ? x86_mem_read(cpu, gva, bytes, len, X86_ACC_R) : X86_OK;
}

/* Moves the components of `which` between memory and the standard-format area x. */
static enum x86_ret copy_components(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 which, u8 *x,
				    xcopy_fn copy)
{
	if (which & BIT(XC_X87)) {
		TRY(copy(cpu, xa->gva, x, 24));
		TRY(copy(cpu, xa->gva + 32, x + 32, 128));
	}
	if (which & BIT(XC_SSE))
		TRY(copy(cpu, xa->gva + 160, x + 160, xa->narrow ? 128 : 256));
	for (unsigned i = XC_AVX; i < XC_NR; i++)
		if (which & BIT(i))
			TRY(copy(cpu, xa->gva + comp_offset(xa, i), x + x86_xcomp[i].off, comp_bytes(xa, i)));
	return X86_OK;
}

static enum x86_ret save_header(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 bv)
{
	u64 old[2] = { bv & xa->rfbm, xa->rfbm | XCOMP_COMPACTED }, was;

	if (xa->layout)
		return x86_mem_write(cpu, xa->gva + XSAVE_HEADER, old, 16, X86_ACC_W);
	TRY(x86_mem_read(cpu, xa->gva + XSAVE_HEADER, &was, 8, X86_ACC_R));
	was = (was & ~xa->rfbm) | (bv & xa->rfbm);
	return x86_mem_write(cpu, xa->gva + XSAVE_HEADER, &was, 8, X86_ACC_W);
}

enum x86_ret x86_xsave_out(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 which, u64 bv, const u8 *img)
{
	TRY(copy_components(cpu, xa, which, (u8 *)img, copy_out));
	if (xa->layout ? which & BIT(XC_SSE) : xa->rfbm & (BIT(XC_SSE) | BIT(XC_AVX)))
		TRY(copy_out(cpu, xa->gva + 24, (u8 *)img + 24, 8));
	return save_header(cpu, xa, bv);
}

/* #GP(0) where the header is not one this CPU could have written: SDM vol. 1, 13.8.1-2. */
static bool header_valid(const struct hyp_cpu *cpu, const u64 header[8], struct x86_xarea *xa)
{
	u64 rest = 0;

	for (unsigned i = 2; i < 8; i++)
		rest |= i == 2 || header[1] >> 63 ? header[i] : 0;
	if (rest)
		return false;
	if (!(header[1] >> 63))
		return !header[1] && !(header[0] & ~cpu->s.xcr0);
	xa->layout = header[1];
	return x86_host_xsavec && !(header[1] & ~XCOMP_COMPACTED & ~cpu->s.xcr0) && !(header[0] & ~header[1]);
}

enum x86_ret x86_xrstor_header(struct hyp_cpu *cpu, struct x86_xarea *xa, u64 header[8])
{
	TRY(x86_mem_read(cpu, xa->gva + XSAVE_HEADER, header, 64, X86_ACC_R));
	return header_valid(cpu, header, xa) ? X86_OK : x86_raise_err(cpu, X86_GP, 0);
}

/* Which MXCSR results: 0 unchanged, 1 from memory, 2 initial. */
static int mxcsr_source(const struct x86_xarea *xa, u64 bv)
{
	if (!xa->layout)
		return xa->rfbm & (BIT(XC_SSE) | BIT(XC_AVX)) ? 1 : 0;
	if (!(xa->rfbm & BIT(XC_SSE)))
		return 0;
	return bv & BIT(XC_SSE) ? 1 : 2;
}

enum x86_ret x86_xrstor_in(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 bv, u8 *img)
{
	int src = mxcsr_source(xa, bv);
	u32 init = MXCSR_INIT, mxcsr;

	TRY(copy_components(cpu, xa, xa->rfbm & bv, img, copy_in));
	if (src == 1) {
		TRY(copy_in(cpu, xa->gva + 24, (u8 *)&mxcsr, 4));
		if (mxcsr & ~x86_mxcsr_mask)
			return x86_raise_err(cpu, X86_GP, 0);
		__builtin_memcpy(img + 24, &mxcsr, 4);
	}
	if (src == 2)
		__builtin_memcpy(img + 24, &init, 4);
	return X86_OK;
}
