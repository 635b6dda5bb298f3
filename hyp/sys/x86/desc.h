/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors, stacks and flags as exc.c, seg.c, far.c, syscall.c and sysreg.c share them. Private to
 * hyp/sys/x86. Descriptor layout: SDM vol. 3, 3.4.5 and 3.5.
 */
#ifndef KUSE_HYP_X86_DESC_H
#define KUSE_HYP_X86_DESC_H

#include "hyp/sys/x86/sys.h"

#define X86_ACC_SYS_R (X86_ACC_R | X86_ACC_SUPER)
#define X86_ACC_SYS_W (X86_ACC_W | X86_ACC_SUPER)

/* System descriptor types (SDM table 3-2) */
enum { X86_DT_TSS16 = 1, X86_DT_LDT = 2, X86_DT_TSS16_BUSY = 3, X86_DT_CALL16 = 4, X86_DT_TASK = 5,
       X86_DT_INT16 = 6, X86_DT_TRAP16 = 7, X86_DT_TSS = 9, X86_DT_TSS_BUSY = 11, X86_DT_CALL = 12,
       X86_DT_INT = 14, X86_DT_TRAP = 15 };

#define X86_AR_TYPE_CODE 0x8u
#define X86_AR_TYPE_CONFORMING 0x4u
#define X86_AR_TYPE_WRITE 0x2u /* code: readable */
#define X86_AR_TYPE_ACCESSED 0x1u

/* Access rights of the flat segments that SYSCALL and its kin load; DPL is to be added. */
#define X86_AR_FLAT_CODE64 (X86_AR_P | X86_AR_S | 0xbu | X86_AR_L | X86_AR_G)
#define X86_AR_FLAT_CODE32 (X86_AR_P | X86_AR_S | 0xbu | X86_AR_DB | X86_AR_G)
#define X86_AR_FLAT_DATA (X86_AR_P | X86_AR_S | 0x3u | X86_AR_DB | X86_AR_G)

/* Which vector a bad selector raises, and whether the EXT bit is set in its error code. */
#define X86_AS(vec, ext) ((unsigned)(vec) | ((unsigned)(ext) << 8))

struct x86_desc {
	u64 raw;
	gva_t addr; /* where it was read */
};

static inline bool x86_long_active(const struct x86_state *s) { return s->efer & X86_EFER_LMA; }
static inline bool x86_protected(const struct x86_state *s)
{
	return (s->cr0 & X86_CR0_PE) && !(s->rflags & X86_FL_VM);
}

static inline unsigned x86_desc_type(u64 raw) { return (raw >> 40) & 0xf; }
static inline unsigned x86_desc_dpl(u64 raw) { return (raw >> 45) & 3; }
static inline bool x86_desc_s(u64 raw) { return (raw >> 44) & 1; }
static inline bool x86_desc_present(u64 raw) { return (raw >> 47) & 1; }
static inline bool x86_desc_l(u64 raw) { return (raw >> 53) & 1; }
static inline bool x86_desc_db(u64 raw) { return (raw >> 54) & 1; }
static inline bool x86_desc_is_code(u64 raw)
{
	return x86_desc_s(raw) && (x86_desc_type(raw) & X86_AR_TYPE_CODE);
}

static inline bool x86_desc_is_wdata(u64 raw)
{
	return x86_desc_s(raw) &&
	       (x86_desc_type(raw) & (X86_AR_TYPE_CODE | X86_AR_TYPE_WRITE)) == X86_AR_TYPE_WRITE;
}
static inline bool x86_desc_conforming(u64 raw) { return x86_desc_type(raw) & X86_AR_TYPE_CONFORMING; }
static inline bool x86_sel_null(u16 sel) { return !(sel & ~3); }

static inline void x86_desc_to_seg(u64 raw, u16 sel, struct x86_seg *seg)
{
	u32 limit = (raw & 0xffff) | ((raw >> 32) & 0xf0000);

	seg->ar = (raw >> 40) & 0xf0ff;
	seg->limit = seg->ar & X86_AR_G ? limit << 12 | 0xfff : limit;
	seg->base = ((raw >> 16) & 0xffffff) | ((raw >> 56) << 24);
	seg->sel = sel;
}

static inline void x86_seg_null(struct x86_seg *seg, u16 sel, unsigned dpl)
{
	seg->base = 0;
	seg->limit = 0;
	seg->ar = X86_AR_UNUSABLE | dpl << X86_AR_DPL_SHIFT;
	seg->sel = sel;
}

static inline void x86_seg_flat(struct x86_seg *seg, u16 sel, u32 ar)
{
	seg->base = 0;
	seg->limit = 0xffffffff;
	seg->ar = ar;
	seg->sel = sel;
}

/* The exception that `as` names, with the selector in its error code. */
static inline enum x86_ret x86_sel_fault(struct hyp_cpu *cpu, unsigned as, u16 sel)
{
	return x86_raise_err(cpu, as & 0xff, (sel & 0xfffc) | as >> 8);
}

static inline bool x86_is_canonical(const struct x86_state *s, gva_t gva)
{
	unsigned drop = s->cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return likely((u64)((s64)(gva << drop) >> drop) == gva) || !x86_long_active(s);
}

/* len bytes (a constant) of a system table. */
static inline __attribute__((always_inline)) enum x86_ret x86_sys_read(struct hyp_cpu *cpu, gva_t gva,
								       void *buf, unsigned len)
{
	if (likely((gva & (PAGE_SIZE - 1)) <= PAGE_SIZE - len)) {
		enum x86_ret ret;
		gpa_t gpa;
		u8 *p = hyp_mem_ptr(cpu, gva, X86_ACC_SYS_R, &gpa, &ret);

		if (likely(p)) {
			__builtin_memcpy(buf, p, len);
			return X86_OK;
		}
		if (ret == X86_FAULT)
			return ret;
	}
	return x86_mem_read(cpu, gva, buf, len, X86_ACC_SYS_R);
}

static inline enum x86_ret x86_sys_read64(struct hyp_cpu *cpu, gva_t gva, u64 *v)
{
	return x86_sys_read(cpu, gva, v, 8);
}

/* ---- seg.c ---- */
/* Reads the descriptor of a non-null selector from GDT or LDT; outside the table: `as`. */
enum x86_ret x86_desc_read(struct hyp_cpu *cpu, u16 sel, unsigned as, struct x86_desc *d);
/* The upper half of a 16-byte system descriptor (long mode). */
enum x86_ret x86_desc_read_hi(struct hyp_cpu *cpu, u16 sel, const struct x86_desc *d, u64 *hi);
/* Sets the accessed bit in memory and in d. */
enum x86_ret x86_desc_touch(struct hyp_cpu *cpu, struct x86_desc *d);
/* Checks and reads SS for a stack at privilege cpl (outer returns, inner calls). ext as in X86_AS;
 * bad selectors raise `as`, a stack that is not present #SS. */
enum x86_ret x86_load_stack_seg(struct hyp_cpu *cpu, u16 sel, unsigned cpl, unsigned as, struct x86_seg *out);
/* SS:RSP for privilege cpl from the TSS; in long mode *ss is null with RPL cpl. */
enum x86_ret x86_tss_stack(struct hyp_cpu *cpu, unsigned cpl, unsigned ext, u16 *ss, u64 *sp);
/* A far transfer to an outer level empties data segments that level may not use. */
void x86_seg_drop_inner(struct hyp_cpu *cpu, unsigned cpl);

/* ---- access.c ---- */
/* Width of the stack pointer as a mask. */
static inline u64 x86_stack_mask(const struct hyp_cpu *cpu)
{
	if (cpu->code_size == 64)
		return ~0ull;
	return cpu->s.seg[X86_SS].ar & X86_AR_DB ? 0xffffffff : 0xffff;
}
/* Writes the stack pointer at its width: 16 bits keep the rest, 32 bits clear it. */
static inline void x86_set_sp(struct hyp_cpu *cpu, u64 sp, u64 mask)
{
	u64 old = cpu->s.gpr[X86_RSP];

	cpu->s.gpr[X86_RSP] = mask == 0xffff ? (old & ~0xffffull) | (sp & 0xffff) : sp & mask;
}
/* Reads at SS:(rSP + disp) without moving rSP. */
enum x86_ret x86_stack_read(struct hyp_cpu *cpu, unsigned disp, u64 *val, unsigned size);

/* A stack that is being built and becomes the current one only when everything went well. */
struct x86_stack {
	const struct x86_seg *ss; /* NULL: flat 64-bit stack, canonical check only */
	u64 sp, mask;
	unsigned acc; /* X86_ACC_* of its privilege */
	u32 err;      /* error code of its #SS */
};
enum x86_ret x86_stack_push(struct hyp_cpu *cpu, struct x86_stack *st, u64 val, unsigned size);

/* ---- sysreg.c ---- */
/* Sets the attention bit where an interrupt or NMI window that KVM waits for may just have opened. */
static inline void x86_window_opened(struct hyp_cpu *cpu)
{
	if (unlikely(cpu->s.want_irq_window || cpu->s.want_nmi_window))
		__atomic_or_fetch(&cpu->attention, HYP_ATTN_IRQ_WINDOW, __ATOMIC_SEQ_CST);
}

/* Stores RFLAGS without recomputing the mode: for callers that change CS or SS too and do it themselves. */
static inline void x86_put_rflags(struct hyp_cpu *cpu, u64 val)
{
	u64 rise = val & ~cpu->s.rflags;

	cpu->s.rflags = val | 2;
	cpu->df = val & X86_FL_DF;
	if (rise & X86_FL_IF)
		x86_window_opened(cpu);
}

static inline u64 x86_rflags(const struct hyp_cpu *cpu)
{
	return (cpu->s.rflags & ~(u64)X86_FL_DF) | cpu->df | 2;
}

#endif
