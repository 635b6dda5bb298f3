/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FXSAVE, XSAVE and their kin (SDM vol. 1, ch. 10.5 and 13): copies between guest memory and s.xsave,
 * which is itself a standard-format XSAVE area. A component whose XSTATE_BV bit is clear is in its
 * initial configuration whatever its bytes hold.
 *
 * In compatibility and legacy modes XMM8-15, and what extends them, are neither saved nor restored.
 */
#include <cpuid.h>
#include <string.h>

#include "hyp/sys/x86/interp.h"
#include "hyp/sys/x86/xsave.h"

static __attribute__((constructor)) void components_init(void)
{
	u8 area[512] __attribute__((aligned(16))) = { 0 };
	u32 a, b, c, d;

	for (unsigned i = XC_AVX; i < XC_NR; i++) {
		__cpuid_count(0xd, i, a, b, c, d);
		x86_xcomp[i] = (struct x86_xcomp){ .off = b, .size = a, .align64 = c & 2 };
	}
	__cpuid_count(0xd, 1, a, b, c, d);
	x86_host_xsavec = a & 2;
	__asm__ volatile("fxsave64 %0" : "+m"(area));
	memcpy(&x86_mxcsr_mask, area + 28, 4);
	if (!x86_mxcsr_mask)
		x86_mxcsr_mask = 0xffbf;
}

/* ---- the CPU's own area ---------------------------------------------------------------------- */

static u64 *xstate_bv(struct hyp_cpu *cpu)
{
	return (u64 *)(cpu->s.xsave + XSAVE_HEADER);
}

static u32 *mxcsr(struct hyp_cpu *cpu)
{
	return (u32 *)(cpu->s.xsave + 24);
}

/* Bytes of component i become those of its initial configuration. */
static void comp_init(struct hyp_cpu *cpu, unsigned i)
{
	u8 *x = cpu->s.xsave;

	if (i == XC_X87) {
		memset(x, 0, 24);
		memset(x + 32, 0, 128);
		x[0] = 0x7f;
		x[1] = 0x03;
	} else if (i == XC_SSE) {
		memset(x + 160, 0, 256);
	} else {
		memset(x + x86_xcomp[i].off, 0, x86_xcomp[i].size);
	}
}

/* Makes the bytes of component i meaningful. */
static void comp_touch(struct hyp_cpu *cpu, unsigned i)
{
	if (!(*xstate_bv(cpu) & BIT(i)))
		comp_init(cpu, i);
}

static void comp_dirty(struct hyp_cpu *cpu, unsigned i)
{
	comp_touch(cpu, i);
	*xstate_bv(cpu) |= BIT(i);
}

/* ---- registers, for gathers and masks -------------------------------------------------------- */

static void *xmm(struct hyp_cpu *cpu, unsigned r)
{
	return cpu->s.xsave + 160 + 16 * r;
}

static void *ymm_hi(struct hyp_cpu *cpu, unsigned r)
{
	return cpu->s.xsave + x86_xcomp[XC_AVX].off + 16 * r;
}

static void *zmm_hi(struct hyp_cpu *cpu, unsigned r)
{
	return cpu->s.xsave + x86_xcomp[XC_ZMM_HI256].off + 32 * r;
}

static void *zmm16(struct hyp_cpu *cpu, unsigned r)
{
	return cpu->s.xsave + x86_xcomp[XC_HI16_ZMM].off + 64 * (r - 16);
}

void x86_vec_get(struct hyp_cpu *cpu, unsigned reg, void *buf, unsigned size)
{
	u8 v[64] = { 0 };

	if (reg >= 16) {
		comp_touch(cpu, XC_HI16_ZMM);
		memcpy(buf, zmm16(cpu, reg), size);
		return;
	}
	comp_touch(cpu, XC_SSE);
	comp_touch(cpu, XC_AVX);
	memcpy(v, xmm(cpu, reg), 16);
	memcpy(v + 16, ymm_hi(cpu, reg), 16);
	if (size > 32 && x86_xcomp[XC_ZMM_HI256].size) {
		comp_touch(cpu, XC_ZMM_HI256);
		memcpy(v + 32, zmm_hi(cpu, reg), 32);
	}
	memcpy(buf, v, size);
}

void x86_vec_set(struct hyp_cpu *cpu, unsigned reg, const void *buf, unsigned size)
{
	u8 v[64] = { 0 };

	memcpy(v, buf, size);
	if (reg >= 16) {
		comp_dirty(cpu, XC_HI16_ZMM);
		memcpy(zmm16(cpu, reg), v, 64);
		return;
	}
	comp_dirty(cpu, XC_SSE);
	comp_dirty(cpu, XC_AVX);
	memcpy(xmm(cpu, reg), v, 16);
	memcpy(ymm_hi(cpu, reg), v + 16, 16);
	if (x86_xcomp[XC_ZMM_HI256].size && (size > 32 || *xstate_bv(cpu) & BIT(XC_ZMM_HI256))) {
		comp_dirty(cpu, XC_ZMM_HI256);
		memcpy(zmm_hi(cpu, reg), v + 32, 32);
	}
}

/* The area holds ST(i) at slot i, MMi is physical register i: they differ by TOP. */
static unsigned x87_top(const struct hyp_cpu *cpu)
{
	return cpu->s.xsave[3] >> 3 & 7;
}

void x86_mmx_get(struct hyp_cpu *cpu, unsigned reg, void *buf)
{
	comp_touch(cpu, XC_X87);
	memcpy(buf, cpu->s.xsave + 32 + 16 * ((reg - x87_top(cpu)) & 7), 8);
}

/* What every MMX instruction does: TOP becomes 0, all registers valid. */
void x86_mmx_enter(struct hyp_cpu *cpu)
{
	unsigned top = x87_top(cpu);
	u8 old[128];

	comp_dirty(cpu, XC_X87);
	memcpy(old, cpu->s.xsave + 32, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(cpu->s.xsave + 32 + 16 * i, old + 16 * ((i - top) & 7), 16);
	cpu->s.xsave[3] &= ~0x38;
	cpu->s.xsave[4] = 0xff;
}

u64 x86_mask_get(struct hyp_cpu *cpu, unsigned k)
{
	u64 val;

	comp_touch(cpu, XC_OPMASK);
	memcpy(&val, cpu->s.xsave + x86_xcomp[XC_OPMASK].off + 8 * k, 8);
	return val;
}

void x86_mask_set(struct hyp_cpu *cpu, unsigned k, u64 val)
{
	comp_dirty(cpu, XC_OPMASK);
	memcpy(cpu->s.xsave + x86_xcomp[XC_OPMASK].off + 8 * k, &val, 8);
}

/* Reserved bits and the summary bits of FSW are the CPU's own. */
static void normalize_x87(u8 *area)
{
	u16 fcw, fsw;

	memcpy(&fcw, area, 2);
	memcpy(&fsw, area + 2, 2);
	area[5] = 0;
	area[7] &= 7; /* FOP has 11 bits */
	for (unsigned i = 0; i < 8; i++)
		memset(area + 32 + 16 * i + 10, 0, 6);
	fcw = (fcw & 0x1f3f) | 0x40;
	fsw &= 0x7f7f;
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	memcpy(area, &fcw, 2);
	memcpy(area + 2, &fsw, 2);
}

/* ---- FXSAVE, FXRSTOR ------------------------------------------------------------------------- */

/* Bytes of the legacy area that this mode reads and writes. */
static unsigned legacy_size(const struct hyp_cpu *cpu)
{
	bool fast = cpu->s.efer & X86_EFER_FFXSR && cpu->code_size == 64 && x86_priv(&cpu->s) == 0;

	return fast ? 160 : cpu->code_size == 64 ? 416 : 288;
}

/* Without REX.W the instruction and data pointers are 32 bits and a selector (which reads as 0). */
static void narrow_pointers(u8 *area, const struct x86_insn *in)
{
	if (in->opsize == 8)
		return;
	memset(area + 12, 0, 4);
	memset(area + 20, 0, 4);
}

static enum x86_ret area_address(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned size, unsigned acc,
				 gva_t *gva)
{
	X86_TRY(x86_ea(cpu, in, size, acc, gva));
	if (*gva & (size == 512 ? 15 : 63))
		return x86_raise_err(cpu, X86_GP, 0);
	x86_note_access(cpu, *gva, size, acc & X86_ACC_W);
	return X86_OK;
}

enum x86_ret x86_op_fxsave(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u8 area[416];
	gva_t gva;

	X86_TRY(area_address(cpu, in, 512, X86_ACC_W, &gva));
	comp_touch(cpu, XC_X87);
	comp_touch(cpu, XC_SSE);
	memcpy(area, cpu->s.xsave, sizeof(area));
	memcpy(area + 28, &x86_mxcsr_mask, 4);
	narrow_pointers(area, in);
	return x86_mem_write(cpu, gva, area, legacy_size(cpu), X86_ACC_W);
}

static bool mxcsr_valid(const u8 *area)
{
	u32 val;

	memcpy(&val, area + 24, 4);
	return !(val & ~x86_mxcsr_mask);
}

enum x86_ret x86_op_fxrstor(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u8 area[416];
	gva_t gva;

	X86_TRY(area_address(cpu, in, 512, X86_ACC_R, &gva));
	X86_TRY(x86_mem_read(cpu, gva, area, sizeof(area), X86_ACC_R));
	if (!mxcsr_valid(area))
		return x86_raise_err(cpu, X86_GP, 0);
	comp_dirty(cpu, XC_X87);
	comp_dirty(cpu, XC_SSE);
	narrow_pointers(area, in);
	normalize_x87(area);
	memcpy(cpu->s.xsave, area, legacy_size(cpu));
	return X86_OK;
}

/* ---- XSAVE, XRSTOR --------------------------------------------------------------------------- */

static bool is_xsavec(const struct x86_insn *in)
{
	return in->opcode == 0xc7 && (in->bytes[in->modrm_off] >> 3 & 7) == 4;
}

static bool is_xsaveopt(const struct x86_insn *in)
{
	return in->opcode == 0xae && (in->bytes[in->modrm_off] >> 3 & 7) == 6;
}

/* XINUSE, with the MXCSR counted as part of SSE */
static u64 in_use(struct hyp_cpu *cpu)
{
	u64 bv = *xstate_bv(cpu);

	return *mxcsr(cpu) != MXCSR_INIT ? bv | BIT(XC_SSE) : bv;
}

enum x86_ret x86_op_xsave(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	struct x86_xarea xa = { .rfbm = x86_xsave_requested(cpu), .narrow = cpu->code_size != 64 };
	bool compact = is_xsavec(in), init_opt = compact || is_xsaveopt(in);
	u8 img[X86_XSAVE_MAX];
	u64 bv = in_use(cpu), which;

	xa.layout = compact ? xa.rfbm | XCOMP_COMPACTED : 0;
	X86_TRY(area_address(cpu, in, XSAVE_EXTENDED, X86_ACC_W, &xa.gva));
	which = init_opt ? xa.rfbm & bv : xa.rfbm;
	for (unsigned i = 0; i < XC_NR; i++)
		if (which & BIT(i))
			comp_touch(cpu, i);
	memcpy(img, cpu->s.xsave, sizeof(img));
	memcpy(img + 28, &x86_mxcsr_mask, 4);
	narrow_pointers(img, in);
	return x86_xsave_out(cpu, &xa, which, bv, img);
}

/* Outside 64-bit mode only registers 0-7 of a component become initial. */
static void init_components(struct hyp_cpu *cpu, const struct x86_xarea *xa, u64 which)
{
	u64 halves = xa->narrow ? which & (BIT(XC_SSE) | BIT(XC_AVX) | BIT(XC_ZMM_HI256)) : 0;

	if (xa->narrow)
		which &= ~BIT(XC_HI16_ZMM);
	if (halves & BIT(XC_SSE))
		memset(cpu->s.xsave + 160, 0, 128);
	for (unsigned i = XC_AVX; i < XC_NR; i++)
		if (halves & BIT(i))
			memset(cpu->s.xsave + x86_xcomp[i].off, 0, x86_xcomp[i].size / 2);
	*xstate_bv(cpu) = (*xstate_bv(cpu) & ~(which & ~halves)) | halves;
}

enum x86_ret x86_op_xrstor(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	struct x86_xarea xa = { .rfbm = x86_xsave_requested(cpu), .narrow = cpu->code_size != 64 };
	u8 img[X86_XSAVE_MAX];
	u64 header[8], load;

	X86_TRY(area_address(cpu, in, XSAVE_EXTENDED, X86_ACC_R, &xa.gva));
	X86_TRY(x86_xrstor_header(cpu, &xa, header));
	load = xa.rfbm & header[0];
	for (unsigned i = 0; i < XC_NR; i++)
		comp_touch(cpu, i);
	memcpy(img, cpu->s.xsave, sizeof(img));
	X86_TRY(x86_xrstor_in(cpu, &xa, header[0], img));
	if (load & BIT(XC_X87)) {
		narrow_pointers(img, in);
		normalize_x87(img);
	}
	memcpy(cpu->s.xsave, img, sizeof(img));
	init_components(cpu, &xa, xa.rfbm & ~load);
	*xstate_bv(cpu) |= load;
	return X86_OK;
}
