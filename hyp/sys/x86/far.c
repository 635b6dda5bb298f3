/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Far control transfers: JMP, CALL, RET and IRET that load CS (SDM vol. 3, 5.8 and 6.12; vol. 2).
 *
 * Each gathers what it needs in local variables, checks all of it, and commits at the end. Task switches
 * (JMP/CALL to a TSS or task gate, IRET with NT) do not exist in long mode and no current system uses
 * them otherwise; they leave as HYP_EXIT_EMULATION, as the engine's other admitted gaps do.
 */
#include "hyp/sys/x86/desc.h"

static enum x86_ret gp0(struct hyp_cpu *cpu)
{
	return x86_raise_err(cpu, X86_GP, 0);
}

static enum x86_ret no_task_switch(struct hyp_cpu *cpu)
{
	cpu->s.exit.reason = HYP_EXIT_EMULATION;
	cpu->s.exit.insn_len = 0;
	cpu->s.exit.emulation.len = 0;
	return X86_EXIT;
}

static bool to_64bit(const struct hyp_cpu *cpu, u64 raw)
{
	return x86_long_active(&cpu->s) && x86_desc_l(raw);
}

static bool rip_ok(struct hyp_cpu *cpu, u64 raw, u64 rip)
{
	struct x86_seg seg;

	if (likely(to_64bit(cpu, raw)))
		return x86_is_canonical(&cpu->s, rip);
	x86_desc_to_seg(raw, 0, &seg);
	return rip <= seg.limit;
}

static u64 mask_to(u64 val, unsigned size)
{
	return size == 8 ? val : size == 4 ? (u32)val : (u16)val;
}

/* A code segment's L and D bits may not both be set in long mode. */
static bool bad_code(const struct hyp_cpu *cpu, u64 raw)
{
	return !x86_desc_is_code(raw) || (x86_long_active(&cpu->s) && x86_desc_l(raw) && x86_desc_db(raw));
}

static enum x86_ret commit_cs(struct hyp_cpu *cpu, struct x86_desc *d, u16 sel, u64 rip)
{
	enum x86_ret ret = x86_desc_touch(cpu, d);

	if (ret != X86_OK)
		return ret;
	x86_desc_to_seg(d->raw, sel, &cpu->s.seg[X86_CS]);
	cpu->s.rip = rip;
	return X86_OK;
}

static void current_stack(struct hyp_cpu *cpu, struct x86_stack *st)
{
	st->ss = cpu->code_size == 64 ? NULL : &cpu->s.seg[X86_SS];
	st->sp = cpu->s.gpr[X86_RSP];
	st->mask = x86_stack_mask(cpu);
	st->acc = X86_ACC_W;
	st->err = 0;
}

static enum x86_ret push_pair(struct hyp_cpu *cpu, struct x86_stack *st, const u64 pair[2], unsigned size)
{
	enum x86_ret ret = x86_stack_push(cpu, st, pair[0], size);

	return ret == X86_OK ? x86_stack_push(cpu, st, pair[1], size) : ret;
}

/* ---- real mode and VM86 ---- */

static enum x86_ret set_real_cs(struct hyp_cpu *cpu, u16 sel, u64 off)
{
	struct x86_seg *cs = &cpu->s.seg[X86_CS];

	if (off > cs->limit)
		return gp0(cpu);
	cs->sel = sel;
	cs->base = (u32)sel << 4;
	cpu->s.rip = off;
	return X86_OK;
}

/* ---- direct far JMP and CALL ---- */

static enum x86_ret check_direct(struct hyp_cpu *cpu, u64 raw, u16 sel)
{
	unsigned cpl = x86_cpl(&cpu->s), dpl = x86_desc_dpl(raw);
	bool ok = x86_desc_conforming(raw) ? dpl <= cpl : dpl == cpl && (sel & 3) <= cpl;

	if (bad_code(cpu, raw) || !ok)
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	if (!x86_desc_present(raw))
		return x86_sel_fault(cpu, X86_AS(X86_NP, 0), sel);
	return X86_OK;
}

/* ---- call gates ---- */

struct gate {
	struct x86_desc d;  /* the gate, then its target's code segment */
	u64 rip;
	u16 cs;
	u8 size;            /* bytes of one push */
	u8 params;
	unsigned cpl;       /* after a CALL */
};

static enum x86_ret check_gate_itself(struct hyp_cpu *cpu, u64 raw, u16 sel)
{
	unsigned type = x86_desc_type(raw), dpl = x86_desc_dpl(raw);
	bool lm = x86_long_active(&cpu->s);

	if (!lm && (type == X86_DT_TASK || type == X86_DT_TSS || type == X86_DT_TSS16))
		return no_task_switch(cpu);
	if (type != X86_DT_CALL && (lm || type != X86_DT_CALL16))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	if (dpl < x86_cpl(&cpu->s) || dpl < (sel & 3))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	return x86_desc_present(raw) ? X86_OK : x86_sel_fault(cpu, X86_AS(X86_NP, 0), sel);
}

/* What the gate in g->d says: target selector, offset, push size. */
static enum x86_ret parse_gate(struct hyp_cpu *cpu, u16 sel, struct gate *g)
{
	u64 raw = g->d.raw, hi = 0;
	enum x86_ret ret;

	g->cs = raw >> 16;
	g->rip = (raw & 0xffff) | (raw >> 32 & 0xffff0000);
	g->params = raw >> 32 & 0x1f;
	g->size = 4;
	if (x86_long_active(&cpu->s)) {
		if ((ret = x86_desc_read_hi(cpu, sel, &g->d, &hi)) != X86_OK)
			return ret;
		if (hi >> 40 & 0x1f)
			return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
		g->rip |= hi << 32;
		g->size = 8;
	} else if (x86_desc_type(raw) == X86_DT_CALL16) {
		g->rip &= 0xffff;
		g->size = 2;
	}
	return X86_OK;
}

static enum x86_ret read_gate_target(struct hyp_cpu *cpu, struct gate *g, bool call)
{
	unsigned cpl = x86_cpl(&cpu->s), dpl;
	enum x86_ret ret;
	bool lm = x86_long_active(&cpu->s), conf;

	if (x86_sel_null(g->cs))
		return gp0(cpu);
	if ((ret = x86_desc_read(cpu, g->cs, X86_AS(X86_GP, 0), &g->d)) != X86_OK)
		return ret;
	dpl = x86_desc_dpl(g->d.raw);
	conf = x86_desc_conforming(g->d.raw);
	if (bad_code(cpu, g->d.raw) || dpl > cpl || (!call && !conf && dpl != cpl) ||
	    (lm && !x86_desc_l(g->d.raw)))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), g->cs);
	if (!x86_desc_present(g->d.raw))
		return x86_sel_fault(cpu, X86_AS(X86_NP, 0), g->cs);
	g->cpl = conf ? cpl : dpl;
	return rip_ok(cpu, g->d.raw, g->rip) ? X86_OK : gp0(cpu);
}

static enum x86_ret open_gate(struct hyp_cpu *cpu, u16 sel, struct gate *g, bool call)
{
	enum x86_ret ret;

	if ((ret = check_gate_itself(cpu, g->d.raw, sel)) != X86_OK ||
	    (ret = parse_gate(cpu, sel, g)) != X86_OK)
		return ret;
	return read_gate_target(cpu, g, call);
}

/* The stack of the inner level, empty. */
static enum x86_ret inner_stack(struct hyp_cpu *cpu, unsigned cpl, struct x86_seg *ss, struct x86_stack *st)
{
	enum x86_ret ret;
	u16 sel;

	if ((ret = x86_tss_stack(cpu, cpl, 0, &sel, &st->sp)) != X86_OK)
		return ret;
	st->acc = X86_ACC_SYS_W;
	st->err = sel & 0xfffc;
	if (x86_long_active(&cpu->s)) {
		x86_seg_null(ss, cpl, cpl);
		st->ss = NULL;
		st->mask = ~0ull;
		return X86_OK;
	}
	if ((ret = x86_load_stack_seg(cpu, sel, cpl, X86_AS(X86_TS, 0), ss)) != X86_OK)
		return ret;
	st->ss = ss;
	st->mask = ss->ar & X86_AR_DB ? 0xffffffff : 0xffff;
	return X86_OK;
}

static enum x86_ret copy_params(struct hyp_cpu *cpu, struct x86_stack *st, const struct gate *g)
{
	if (g->size == 8)
		return X86_OK;
	for (unsigned i = g->params; i--;) {
		enum x86_ret ret;
		u64 val;

		if ((ret = x86_stack_read(cpu, i * g->size, &val, g->size)) != X86_OK ||
		    (ret = x86_stack_push(cpu, st, val, g->size)) != X86_OK)
			return ret;
	}
	return X86_OK;
}

static enum x86_ret call_gate(struct hyp_cpu *cpu, struct gate *g, u64 next_rip)
{
	struct x86_state *s = &cpu->s;
	const u64 old_stack[2] = { s->seg[X86_SS].sel, s->gpr[X86_RSP] };
	const u64 old_code[2] = { s->seg[X86_CS].sel, next_rip };
	bool inner = g->cpl < x86_cpl(s);
	struct x86_seg ss = s->seg[X86_SS];
	struct x86_stack st;
	enum x86_ret ret;

	if (inner) {
		if ((ret = inner_stack(cpu, g->cpl, &ss, &st)) != X86_OK ||
		    (ret = push_pair(cpu, &st, old_stack, g->size)) != X86_OK ||
		    (ret = copy_params(cpu, &st, g)) != X86_OK)
			return ret;
	} else {
		current_stack(cpu, &st);
	}
	if ((ret = push_pair(cpu, &st, old_code, g->size)) != X86_OK ||
	    (ret = commit_cs(cpu, &g->d, (g->cs & ~3) | g->cpl, g->rip)) != X86_OK)
		return ret;
	s->seg[X86_SS] = ss;
	x86_set_sp(cpu, st.sp, st.mask);
	return X86_OK;
}

/* ---- JMP, CALL ---- */

static enum x86_ret jmp_protected(struct hyp_cpu *cpu, u16 sel, u64 off)
{
	unsigned cpl = x86_cpl(&cpu->s);
	struct gate g;
	enum x86_ret ret;

	if (x86_sel_null(sel))
		return gp0(cpu);
	if ((ret = x86_desc_read(cpu, sel, X86_AS(X86_GP, 0), &g.d)) != X86_OK)
		return ret;
	if (!x86_desc_s(g.d.raw)) {
		ret = open_gate(cpu, sel, &g, false);
		return ret == X86_OK ? commit_cs(cpu, &g.d, (g.cs & ~3) | cpl, g.rip) : ret;
	}
	if ((ret = check_direct(cpu, g.d.raw, sel)) != X86_OK)
		return ret;
	return rip_ok(cpu, g.d.raw, off) ? commit_cs(cpu, &g.d, (sel & ~3) | cpl, off) : gp0(cpu);
}

enum x86_ret x86_far_jmp(struct hyp_cpu *cpu, u16 sel, u64 off, unsigned opsize)
{
	enum x86_ret ret;

	off = mask_to(off, opsize);
	if (!x86_protected(&cpu->s))
		return set_real_cs(cpu, sel, off);
	ret = jmp_protected(cpu, sel, off);
	if (ret == X86_OK)
		hyp_mode_update(cpu);
	return ret;
}

static enum x86_ret call_direct(struct hyp_cpu *cpu, u16 sel, u64 off, unsigned opsize, u64 next_rip)
{
	const u64 ret_addr[2] = { cpu->s.seg[X86_CS].sel, next_rip };
	unsigned cpl = x86_cpl(&cpu->s);
	bool real = !x86_protected(&cpu->s);
	struct x86_desc d;
	struct x86_stack st;
	enum x86_ret ret;

	if (!real && ((ret = x86_desc_read(cpu, sel, X86_AS(X86_GP, 0), &d)) != X86_OK ||
		      (ret = check_direct(cpu, d.raw, sel)) != X86_OK))
		return ret;
	if (real ? off > cpu->s.seg[X86_CS].limit : !rip_ok(cpu, d.raw, off))
		return gp0(cpu);
	current_stack(cpu, &st);
	if ((ret = push_pair(cpu, &st, ret_addr, opsize)) != X86_OK)
		return ret;
	ret = real ? set_real_cs(cpu, sel, off) : commit_cs(cpu, &d, (sel & ~3) | cpl, off);
	if (ret == X86_OK)
		x86_set_sp(cpu, st.sp, st.mask);
	return ret;
}

enum x86_ret x86_far_call(struct hyp_cpu *cpu, u16 sel, u64 off, unsigned opsize, u64 next_rip)
{
	struct gate g;
	enum x86_ret ret;

	off = mask_to(off, opsize);
	if (!x86_protected(&cpu->s))
		return call_direct(cpu, sel, off, opsize, next_rip);
	if (x86_sel_null(sel))
		return gp0(cpu);
	if ((ret = x86_desc_read(cpu, sel, X86_AS(X86_GP, 0), &g.d)) != X86_OK)
		return ret;
	if (x86_desc_s(g.d.raw))
		ret = call_direct(cpu, sel, off, opsize, next_rip);
	else if ((ret = open_gate(cpu, sel, &g, true)) == X86_OK)
		ret = call_gate(cpu, &g, next_rip);
	if (ret == X86_OK)
		hyp_mode_update(cpu);
	return ret;
}

/* ---- returns: what RET and IRET share ---- */

struct ret_frame {
	u64 rip, cs, flags, rsp, ss;
	struct x86_desc code;
	struct x86_seg stack;
};

static enum x86_ret check_return_cs(struct hyp_cpu *cpu, struct ret_frame *f)
{
	unsigned cpl = x86_cpl(&cpu->s), rpl = f->cs & 3, dpl;
	u16 sel = f->cs;
	enum x86_ret ret;
	u64 raw;

	if (x86_sel_null(sel))
		return gp0(cpu);
	if ((ret = x86_desc_read(cpu, sel, X86_AS(X86_GP, 0), &f->code)) != X86_OK)
		return ret;
	raw = f->code.raw;
	dpl = x86_desc_dpl(raw);
	if (bad_code(cpu, raw) || rpl < cpl || (x86_desc_conforming(raw) ? dpl > rpl : dpl != rpl))
		return x86_sel_fault(cpu, X86_AS(X86_GP, 0), sel);
	if (!x86_desc_present(raw))
		return x86_sel_fault(cpu, X86_AS(X86_NP, 0), sel);
	return rip_ok(cpu, raw, f->rip) ? X86_OK : gp0(cpu);
}

static enum x86_ret check_return_ss(struct hyp_cpu *cpu, struct ret_frame *f)
{
	unsigned cpl = f->cs & 3;

	if (!x86_sel_null(f->ss))
		return x86_load_stack_seg(cpu, f->ss, cpl, X86_AS(X86_GP, 0), &f->stack);
	if (!to_64bit(cpu, f->code.raw) || cpl == 3 || (f->ss & 3) != cpl)
		return gp0(cpu);
	x86_seg_null(&f->stack, f->ss, cpl);
	return X86_OK;
}

/* Loads CS:RIP and SS:RSP; data segments that the outer level may not see become null. */
static enum x86_ret commit_return(struct hyp_cpu *cpu, struct ret_frame *f, u64 rsp)
{
	unsigned cpl = f->cs & 3;
	bool outer = cpl > x86_cpl(&cpu->s);
	enum x86_ret ret = commit_cs(cpu, &f->code, f->cs, f->rip);
	u64 mask;

	if (unlikely(ret != X86_OK))
		return ret;
	mask = to_64bit(cpu, f->code.raw) ? ~0ull : f->stack.ar & X86_AR_DB ? 0xffffffff : 0xffff;
	cpu->s.seg[X86_SS] = f->stack;
	x86_set_sp(cpu, rsp, mask);
	if (outer)
		x86_seg_drop_inner(cpu, cpl);
	return X86_OK;
}

/* ---- far RET ---- */

static enum x86_ret ret_protected(struct hyp_cpu *cpu, struct ret_frame *f, unsigned opsize, u16 imm)
{
	enum x86_ret ret;

	if ((ret = check_return_cs(cpu, f)) != X86_OK)
		return ret;
	if ((f->cs & 3) == x86_cpl(&cpu->s)) {
		u64 mask = x86_stack_mask(cpu);

		if ((ret = commit_cs(cpu, &f->code, f->cs, f->rip)) == X86_OK)
			x86_set_sp(cpu, cpu->s.gpr[X86_RSP] + 2 * opsize + imm, mask);
		return ret;
	}
	if ((ret = x86_stack_read(cpu, 2 * opsize + imm, &f->rsp, opsize)) != X86_OK ||
	    (ret = x86_stack_read(cpu, 3 * opsize + imm, &f->ss, opsize)) != X86_OK ||
	    (ret = check_return_ss(cpu, f)) != X86_OK)
		return ret;
	return commit_return(cpu, f, f->rsp + imm);
}

enum x86_ret x86_far_ret(struct hyp_cpu *cpu, unsigned opsize, u16 imm)
{
	struct ret_frame f;
	enum x86_ret ret;

	if ((ret = x86_stack_read(cpu, 0, &f.rip, opsize)) != X86_OK ||
	    (ret = x86_stack_read(cpu, opsize, &f.cs, opsize)) != X86_OK)
		return ret;
	f.cs &= 0xffff;
	if (!x86_protected(&cpu->s)) {
		ret = set_real_cs(cpu, f.cs, f.rip);
		if (ret == X86_OK)
			x86_set_sp(cpu, cpu->s.gpr[X86_RSP] + 2 * opsize + imm, x86_stack_mask(cpu));
		return ret;
	}
	ret = ret_protected(cpu, &f, opsize, imm);
	if (ret == X86_OK)
		hyp_mode_update(cpu);
	return ret;
}

/* ---- IRET ---- */

#define FL_ANY (X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT | X86_FL_RF | X86_FL_AC | X86_FL_ID)

/* RFLAGS after an IRET that popped `img` at privilege cpl. */
static u64 iret_flags(const struct hyp_cpu *cpu, u64 img, unsigned opsize, unsigned cpl)
{
	u64 old = x86_rflags(cpu), mask = FL_ANY;

	if (cpl == 0)
		mask |= X86_FL_IOPL | X86_FL_VIF | X86_FL_VIP;
	if (cpl <= (old & X86_FL_IOPL) >> 12)
		mask |= X86_FL_IF;
	if (opsize == 2)
		mask &= 0xffff;
	return (old & ~mask) | (img & mask);
}

static enum x86_ret read_frame(struct hyp_cpu *cpu, u64 *words, unsigned first, unsigned n, unsigned size)
{
	for (unsigned i = first; i < n; i++) {
		enum x86_ret ret = x86_stack_read(cpu, i * size, &words[i], size);

		if (ret != X86_OK)
			return ret;
	}
	return X86_OK;
}

static enum x86_ret iret_real(struct hyp_cpu *cpu, unsigned opsize)
{
	struct x86_state *s = &cpu->s;
	bool vm86 = s->rflags & X86_FL_VM;
	u64 f[3], keep;
	enum x86_ret ret;

	if (vm86 && (s->rflags & X86_FL_IOPL) != X86_FL_IOPL)
		return gp0(cpu);
	if ((ret = read_frame(cpu, f, 0, 3, opsize)) != X86_OK)
		return ret;
	if ((ret = set_real_cs(cpu, f[1], f[0])) != X86_OK)
		return ret;
	x86_set_sp(cpu, s->gpr[X86_RSP] + 3 * opsize, x86_stack_mask(cpu));
	keep = X86_FL_VM | X86_FL_VIF | X86_FL_VIP;
	f[2] = iret_flags(cpu, f[2], opsize, vm86 ? 3 : 0);
	x86_set_rflags(cpu, (f[2] & ~keep) | (s->rflags & keep));
	return X86_OK;
}

static void set_vm86_seg(struct hyp_cpu *cpu, unsigned seg, u16 sel)
{
	cpu->s.seg[seg] = (struct x86_seg){ .base = (u32)sel << 4, .limit = 0xffff, .sel = sel,
					    .ar = X86_AR_P | X86_AR_DPL | X86_AR_S | 0x3 };
}

/* EIP CS EFLAGS ESP SS ES DS FS GS are on the stack. */
static enum x86_ret iret_to_vm86(struct hyp_cpu *cpu, u64 *f)
{
	static const u8 order[6] = { X86_CS, X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
	enum x86_ret ret = read_frame(cpu, f, 3, 9, 4);

	if (ret != X86_OK)
		return ret;
	if (f[0] > 0xffff)
		return gp0(cpu);
	set_vm86_seg(cpu, X86_CS, f[1]);
	for (unsigned i = 1; i < 6; i++)
		set_vm86_seg(cpu, order[i], f[i + 3]);
	cpu->s.gpr[X86_RSP] = f[3];
	cpu->s.rip = f[0];
	x86_put_rflags(cpu, f[2] & 0x003f7fd7);
	return X86_OK;
}

/* From protected or compatibility mode: SS:ESP are on the stack only on a change of privilege. */
static enum x86_ret iret_legacy(struct hyp_cpu *cpu, unsigned opsize)
{
	struct x86_state *s = &cpu->s;
	unsigned cpl = x86_cpl(s);
	struct ret_frame f;
	enum x86_ret ret;
	u64 w[9], flags;

	if ((ret = read_frame(cpu, w, 0, 3, opsize)) != X86_OK)
		return ret;
	if ((w[2] & X86_FL_VM) && opsize == 4 && cpl == 0 && !x86_long_active(s))
		return iret_to_vm86(cpu, w);
	f.rip = w[0];
	f.cs = w[1] & 0xffff;
	if ((ret = check_return_cs(cpu, &f)) != X86_OK)
		return ret;
	f.rsp = s->gpr[X86_RSP] + 3 * opsize;
	f.stack = s->seg[X86_SS];
	if ((f.cs & 3) != cpl) {
		if ((ret = read_frame(cpu, w, 3, 5, opsize)) != X86_OK)
			return ret;
		f.rsp = w[3];
		f.ss = w[4] & 0xffff;
		if ((ret = check_return_ss(cpu, &f)) != X86_OK)
			return ret;
	}
	flags = iret_flags(cpu, w[2], opsize, cpl);
	if ((ret = commit_return(cpu, &f, f.rsp)) != X86_OK)
		return ret;
	x86_put_rflags(cpu, flags);
	return X86_OK;
}

/* From 64-bit mode: always five words. The hot path of every kernel. */
static enum x86_ret iret_long(struct hyp_cpu *cpu, unsigned opsize)
{
	struct ret_frame f;
	unsigned cpl = x86_cpl(&cpu->s);
	enum x86_ret ret;
	u64 w[5];
	gva_t gva;

	if (likely(opsize == 8)) {
		ret = x86_linear(cpu, X86_SS, cpu->s.gpr[X86_RSP], 40, X86_ACC_R, &gva);
		if (likely(ret == X86_OK))
			ret = x86_mem_read(cpu, gva, w, 40, X86_ACC_R);
	} else {
		ret = read_frame(cpu, w, 0, 5, opsize);
	}
	if (unlikely(ret != X86_OK))
		return ret;
	f.rip = w[0];
	f.cs = w[1] & 0xffff;
	f.ss = w[4] & 0xffff;
	if ((ret = check_return_cs(cpu, &f)) != X86_OK || (ret = check_return_ss(cpu, &f)) != X86_OK)
		return ret;
	f.flags = iret_flags(cpu, w[2], opsize, cpl);
	if ((ret = commit_return(cpu, &f, w[3])) != X86_OK)
		return ret;
	x86_put_rflags(cpu, f.flags);
	return X86_OK;
}

enum x86_ret x86_iret(struct hyp_cpu *cpu, unsigned opsize)
{
	struct x86_state *s = &cpu->s;
	enum x86_ret ret;

	if (unlikely(s->nmi_blocked)) { /* IRET unblocks NMIs even where it faults */
		s->nmi_blocked = false;
		x86_window_opened(cpu);
	}
	if (unlikely(!x86_protected(s)))
		return iret_real(cpu, opsize);
	if (unlikely(s->rflags & X86_FL_NT))
		return x86_long_active(s) ? gp0(cpu) : no_task_switch(cpu);
	ret = likely(cpu->code_size == 64) ? iret_long(cpu, opsize) : iret_legacy(cpu, opsize);
	if (likely(ret == X86_OK))
		hyp_mode_update(cpu);
	return ret;
}
