/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment registers: reading descriptors, the checks on loading, and LAR LSL VERR VERW (SDM vol. 3,
 * ch. 5; vol. 2). A register is written only after every check and the accessed bit have succeeded.
 */
#include "hyp/sys/x86/desc.h"

/* ---- descriptors ---- */

/* Linear address of the descriptor's 8 bytes, or false where it lies outside its table. */
static bool desc_addr(const struct hyp_cpu *cpu, u16 sel, gva_t *addr)
{
	const struct x86_state *s = &cpu->s;
	const struct x86_seg *ldt = &s->seg[X86_LDTR];
	unsigned last = sel | 7;

	if (likely(!(sel & 4))) {
		*addr = s->gdtr.base + (sel & ~7u);
		return last <= s->gdtr.limit;
	}
	*addr = ldt->base + (sel & ~7u);
	return !(ldt->ar & X86_AR_UNUSABLE) && !x86_sel_null(ldt->sel) && last <= ldt->limit;
}

enum x86_ret x86_desc_read(struct hyp_cpu *cpu, u16 sel, unsigned as, struct x86_desc *d)
{
	if (unlikely(!desc_addr(cpu, sel, &d->addr)))
		return x86_sel_fault(cpu, as, sel);
	return x86_sys_read64(cpu, d->addr, &d->raw);
}

enum x86_ret x86_desc_read_hi(struct hyp_cpu *cpu, u16 sel, const struct x86_desc *d, u64 *hi)
{
	gva_t unused;

	if (!desc_addr(cpu, sel + 8, &unused))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	return x86_sys_read64(cpu, d->addr + 8, hi);
}

/* Sets bits in the descriptor's access byte, atomically: GDTs are shared between CPUs. */
static enum x86_ret set_access_bits(struct hyp_cpu *cpu, struct x86_desc *d, u8 bits)
{
	enum x86_ret ret;
	gpa_t gpa;
	u8 *p = hyp_mem_ptr(cpu, d->addr + 5, X86_ACC_SYS_W, &gpa, &ret), byte;

	d->raw |= (u64)bits << 40;
	if (likely(p)) {
		__atomic_or_fetch(p, bits, __ATOMIC_SEQ_CST);
		return X86_OK;
	}
	if (ret == X86_FAULT)
		return ret;
	byte = d->raw >> 40;
	return x86_mem_write(cpu, d->addr + 5, &byte, 1, X86_ACC_SYS_W);
}

enum x86_ret x86_desc_touch(struct hyp_cpu *cpu, struct x86_desc *d)
{
	if (likely(d->raw >> 40 & X86_AR_TYPE_ACCESSED))
		return X86_OK;
	return set_access_bits(cpu, d, X86_AR_TYPE_ACCESSED);
}

/* ---- MOV, POP and Lxs to data segments ---- */

static enum x86_ret load_ss_null(struct hyp_cpu *cpu, u16 sel)
{
	unsigned cpl = x86_cpl(&cpu->s);

	if (cpu->code_size != 64 || cpl == 3 || (sel & 3) != cpl)
		return x86_raise_err(cpu, X86_GP, 0);
	x86_seg_null(&cpu->s.seg[X86_SS], sel, cpl);
	return X86_OK;
}

static bool ss_ok(u64 raw, u16 sel, unsigned cpl)
{
	return x86_desc_is_wdata(raw) && (sel & 3) == cpl && x86_desc_dpl(raw) == cpl;
}

static bool data_ok(u64 raw, u16 sel, unsigned cpl)
{
	unsigned dpl = x86_desc_dpl(raw), type = x86_desc_type(raw);

	if (!x86_desc_s(raw) || ((type & X86_AR_TYPE_CODE) && !(type & X86_AR_TYPE_WRITE)))
		return false; /* system, or execute-only */
	if ((type & X86_AR_TYPE_CODE) && (type & X86_AR_TYPE_CONFORMING))
		return true;
	return dpl >= cpl && dpl >= (sel & 3);
}

/* Real mode changes base and selector and leaves limit and rights (which is how "unreal mode" works),
 * unless protected mode left a null selector there. */
static void load_real(struct hyp_cpu *cpu, unsigned seg, u16 sel)
{
	struct x86_seg *sg = &cpu->s.seg[seg];
	bool vm86 = cpu->mode == HYP_MODE_VM86;

	sg->sel = sel;
	sg->base = (u32)sel << 4;
	if (vm86 || (sg->ar & X86_AR_UNUSABLE)) {
		sg->limit = 0xffff;
		sg->ar = X86_AR_P | X86_AR_S | 0x3 | (vm86 ? X86_AR_DPL : 0);
	}
}

static enum x86_ret load_protected(struct hyp_cpu *cpu, unsigned seg, u16 sel)
{
	unsigned cpl = x86_cpl(&cpu->s);
	struct x86_desc d;
	enum x86_ret ret;

	ret = x86_desc_read(cpu, sel, X86_AS(X86_GP, 0), &d);
	if (ret != X86_OK)
		return ret;
	if (!(seg == X86_SS ? ss_ok(d.raw, sel, cpl) : data_ok(d.raw, sel, cpl)))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	if (!x86_desc_present(d.raw))
		return x86_sel_fault(cpu, X86_AS(seg == X86_SS ? X86_SS_VEC : X86_NP, 0), sel);
	ret = x86_desc_touch(cpu, &d);
	if (ret == X86_OK)
		x86_desc_to_seg(d.raw, sel, &cpu->s.seg[seg]);
	return ret;
}

enum x86_ret x86_load_seg(struct hyp_cpu *cpu, unsigned seg, u16 sel)
{
	enum x86_ret ret = X86_OK;

	if (unlikely(seg == X86_CS || seg > X86_GS))
		return x86_raise(cpu, X86_UD);
	if (unlikely(!x86_protected(&cpu->s)))
		load_real(cpu, seg, sel);
	else if (!x86_sel_null(sel))
		ret = load_protected(cpu, seg, sel);
	else if (seg == X86_SS)
		ret = load_ss_null(cpu, sel);
	else
		x86_seg_null(&cpu->s.seg[seg], sel, 0);
	if (ret == X86_OK && cpu->code_size != 64)
		hyp_mode_update(cpu);
	return ret;
}

/* ---- stacks of other privilege levels ---- */

enum x86_ret x86_load_stack_seg(struct hyp_cpu *cpu, u16 sel, unsigned cpl, unsigned as, struct x86_seg *out)
{
	struct x86_desc d;
	enum x86_ret ret;

	if (x86_sel_null(sel))
		return x86_raise_err(cpu, as & 0xff, as >> 8);
	ret = x86_desc_read(cpu, sel, as, &d);
	if (ret != X86_OK)
		return ret;
	if (!ss_ok(d.raw, sel, cpl))
		return x86_sel_fault(cpu, as, sel);
	if (!x86_desc_present(d.raw))
		return x86_sel_fault(cpu, X86_AS(X86_SS_VEC, as >> 8), sel);
	ret = x86_desc_touch(cpu, &d);
	if (ret == X86_OK)
		x86_desc_to_seg(d.raw, sel, out);
	return ret;
}

static enum x86_ret tss_stack_legacy(struct hyp_cpu *cpu, unsigned cpl, unsigned ext, u16 *ss, u64 *sp)
{
	const struct x86_seg *tr = &cpu->s.seg[X86_TR];
	unsigned width = tr->ar & 8 ? 4 : 2, off = width + cpl * width * 2;
	u32 raw[2] = { 0 };
	enum x86_ret ret;

	if (off + width + 1 > tr->limit)
		return x86_sel_fault(cpu, X86_AS(X86_TS, ext), tr->sel);
	ret = x86_mem_read(cpu, (u32)(tr->base + off), raw, width * 2, X86_ACC_SYS_R);
	*sp = width == 4 ? raw[0] : raw[0] & 0xffff;
	*ss = width == 4 ? raw[1] : raw[0] >> 16;
	return ret;
}

enum x86_ret x86_tss_stack(struct hyp_cpu *cpu, unsigned cpl, unsigned ext, u16 *ss, u64 *sp)
{
	const struct x86_seg *tr = &cpu->s.seg[X86_TR];
	unsigned off = 4 + cpl * 8;

	if (unlikely(!x86_long_active(&cpu->s)))
		return tss_stack_legacy(cpu, cpl, ext, ss, sp);
	if (unlikely(off + 7 > tr->limit))
		return x86_sel_fault(cpu, X86_AS(X86_TS, ext), tr->sel);
	*ss = cpl;
	return x86_sys_read64(cpu, tr->base + off, sp);
}

void x86_seg_drop_inner(struct hyp_cpu *cpu, unsigned cpl)
{
	static const u8 segs[4] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned i = 0; i < 4; i++) {
		struct x86_seg *sg = &cpu->s.seg[segs[i]];
		u32 ar = sg->ar;

		if (likely(ar & X86_AR_UNUSABLE))
			continue;
		if ((ar & X86_AR_TYPE_CODE) && (ar & X86_AR_TYPE_CONFORMING))
			continue;
		if ((ar & X86_AR_DPL) >> X86_AR_DPL_SHIFT < cpl)
			x86_seg_null(sg, 0, 0);
	}
}

/* ---- LLDT, LTR ---- */

/* Both: CPL 0, GDT only, a present system segment; 16 bytes in long mode with type 0 in the upper half. */
static enum x86_ret read_system(struct hyp_cpu *cpu, u16 sel, unsigned types, struct x86_desc *d, u64 *base)
{
	enum x86_ret ret;
	u64 hi = 0;

	if (sel & 4)
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	if ((ret = x86_desc_read(cpu, sel, X86_AS(X86_GP, 0), d)) != X86_OK)
		return ret;
	if (x86_desc_s(d->raw) || !(types >> x86_desc_type(d->raw) & 1))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	if (!x86_desc_present(d->raw))
		return x86_sel_fault(cpu, X86_AS(X86_NP, 0), sel);
	if (x86_long_active(&cpu->s)) {
		if ((ret = x86_desc_read_hi(cpu, sel, d, &hi)) != X86_OK)
			return ret;
		*base = ((d->raw >> 16) & 0xffffff) | ((d->raw >> 56) << 24) | hi << 32;
		if ((hi >> 40 & 0x1f) || !x86_is_canonical(&cpu->s, *base))
			return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	}
	return X86_OK;
}

static enum x86_ret check_system_insn(struct hyp_cpu *cpu)
{
	if (!x86_protected(&cpu->s))
		return x86_raise(cpu, X86_UD);
	return x86_cpl(&cpu->s) ? x86_raise_err(cpu, X86_GP, 0) : X86_OK;
}

static void set_system_seg(struct hyp_cpu *cpu, unsigned seg, u16 sel, u64 raw, u64 base)
{
	x86_desc_to_seg(raw, sel, &cpu->s.seg[seg]);
	if (x86_long_active(&cpu->s))
		cpu->s.seg[seg].base = base;
}

enum x86_ret x86_lldt(struct hyp_cpu *cpu, u16 sel)
{
	enum x86_ret ret = check_system_insn(cpu);
	struct x86_desc d;
	u64 base = 0;

	if (ret != X86_OK)
		return ret;
	if (x86_sel_null(sel)) {
		x86_seg_null(&cpu->s.seg[X86_LDTR], sel, 0);
		return X86_OK;
	}
	ret = read_system(cpu, sel, 1u << X86_DT_LDT, &d, &base);
	if (ret == X86_OK)
		set_system_seg(cpu, X86_LDTR, sel, d.raw, base);
	return ret;
}

enum x86_ret x86_ltr(struct hyp_cpu *cpu, u16 sel)
{
	unsigned types = 1u << X86_DT_TSS | (x86_long_active(&cpu->s) ? 0 : 1u << X86_DT_TSS16);
	enum x86_ret ret = check_system_insn(cpu);
	struct x86_desc d;
	u64 base = 0;

	if (ret != X86_OK)
		return ret;
	if (x86_sel_null(sel))
		return x86_raise_err(cpu, X86_GP, 0);
	if ((ret = read_system(cpu, sel, types, &d, &base)) != X86_OK)
		return ret;
	ret = set_access_bits(cpu, &d, 2); /* busy */
	if (ret == X86_OK)
		set_system_seg(cpu, X86_TR, sel, d.raw, base);
	return ret;
}

/* ---- LAR, LSL, VERR, VERW ---- */

/* Reads the descriptor for a question; *ok false where the selector names none. */
static enum x86_ret query(struct hyp_cpu *cpu, u16 sel, struct x86_desc *d, bool *ok)
{
	*ok = false;
	if (!x86_protected(&cpu->s))
		return x86_raise(cpu, X86_UD);
	if (x86_sel_null(sel) || !desc_addr(cpu, sel, &d->addr))
		return X86_OK;
	*ok = true;
	return x86_sys_read64(cpu, d->addr, &d->raw);
}

static bool visible(const struct hyp_cpu *cpu, u64 raw, u16 sel)
{
	unsigned dpl = x86_desc_dpl(raw);

	if (x86_desc_is_code(raw) && x86_desc_conforming(raw))
		return true;
	return dpl >= x86_cpl(&cpu->s) && dpl >= (sel & 3);
}

/* System types that LAR and LSL accept, as bit masks; the second index is long mode. */
static const u16 lar_types[2] = { 0x1a3e, 0x1a04 };
static const u16 lsl_types[2] = { 0x0a0e, 0x0a04 };

static bool answers(const struct hyp_cpu *cpu, u64 raw, u16 sel, const u16 *types)
{
	bool lm = x86_long_active(&cpu->s);

	return (x86_desc_s(raw) || (types[lm] >> x86_desc_type(raw) & 1)) && visible(cpu, raw, sel);
}

enum x86_ret x86_lar(struct hyp_cpu *cpu, u16 sel, u32 *out, bool *ok)
{
	struct x86_desc d;
	enum x86_ret ret = query(cpu, sel, &d, ok);

	if (ret != X86_OK || !*ok)
		return ret;
	*ok = answers(cpu, d.raw, sel, lar_types);
	if (*ok)
		*out = (d.raw >> 32) & 0x00ffff00;
	return X86_OK;
}

enum x86_ret x86_lsl(struct hyp_cpu *cpu, u16 sel, u32 *out, bool *ok)
{
	struct x86_desc d;
	struct x86_seg seg;
	enum x86_ret ret = query(cpu, sel, &d, ok);

	if (ret != X86_OK || !*ok)
		return ret;
	*ok = answers(cpu, d.raw, sel, lsl_types);
	x86_desc_to_seg(d.raw, sel, &seg);
	if (*ok)
		*out = seg.limit;
	return X86_OK;
}

enum x86_ret x86_verr(struct hyp_cpu *cpu, u16 sel, bool write, bool *ok)
{
	struct x86_desc d;
	enum x86_ret ret = query(cpu, sel, &d, ok);

	if (ret != X86_OK || !*ok)
		return ret;
	if (write)
		*ok = x86_desc_is_wdata(d.raw) && visible(cpu, d.raw, sel);
	else
		*ok = x86_desc_s(d.raw) && visible(cpu, d.raw, sel) &&
		      (!x86_desc_is_code(d.raw) || (x86_desc_type(d.raw) & X86_AR_TYPE_WRITE));
	return X86_OK;
}
