/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and interrupts: raising them, and delivering them through IVT or IDT (SDM vol. 3, ch. 6).
 *
 * Raising only fills cpu->fault; the run loop delivers it once the instruction has been undone. Delivery
 * works on copies and commits at its end: a fault on the way leaves CPU state untouched and combines with
 * the event that was being delivered (table 6-5) to the fault alone, a double fault, or shutdown.
 *
 * Error codes of faults during delivery carry EXT where the event was not a software interrupt.
 */
#include "hyp/sys/x86/desc.h"

#define DR6_FIXED 0xffff0ff0ull
#define DR6_BS 0x4000ull
#define DR7_GD 0x2000ull

/* Vectors that push an error code: DF TS NP SS GP PF AC CP */
#define HAS_ERROR 0x00227d00u
/* Vectors that are not fault-class: DB (decided by its raiser), NMI, BP, OF, DF, MC */
#define NOT_FAULT_CLASS \
	((1u << X86_DB) | (1u << X86_NMI) | (1u << X86_BP) | (1u << X86_OF) | (1u << X86_DF) | (1u << X86_MC))

/* ---- raising ---- */

static void set_exception(struct x86_event *ev, u8 vector, bool has_error, u32 error)
{
	ev->type = X86_EVENT_EXCEPTION;
	ev->vector = vector;
	ev->has_error = has_error;
	ev->error = error;
	ev->cr2_or_dr6 = 0;
}

enum x86_ret x86_raise(struct hyp_cpu *cpu, u8 vector)
{
	set_exception(&cpu->fault, vector, vector < 32 && (HAS_ERROR >> vector & 1), 0);
	return X86_FAULT;
}

enum x86_ret x86_raise_err(struct hyp_cpu *cpu, u8 vector, u32 error)
{
	set_exception(&cpu->fault, vector, true, error);
	return X86_FAULT;
}

enum x86_ret x86_raise_pf(struct hyp_cpu *cpu, gva_t gva, u32 error)
{
	set_exception(&cpu->fault, X86_PF, true, error);
	cpu->fault.cr2_or_dr6 = gva;
	cpu->s.cr2 = gva;
	return X86_FAULT;
}

static bool debugger_claims(const struct hyp_cpu *cpu, u8 vector)
{
	u32 gdbg = cpu->s.guest_debug;

	if (likely(!gdbg))
		return false;
	return vector == X86_DB ? gdbg & (X86_GDBG_SINGLESTEP | X86_GDBG_HW_BP)
				: vector == X86_BP && (gdbg & X86_GDBG_SW_BP);
}

enum x86_ret x86_raise_db(struct hyp_cpu *cpu, u64 dr6_bits)
{
	set_exception(&cpu->fault, X86_DB, false, 0);
	cpu->fault.cr2_or_dr6 = dr6_bits;
	if (!debugger_claims(cpu, X86_DB))
		cpu->s.dr6 = (cpu->s.dr6 & ~0xfull) | dr6_bits | DR6_FIXED;
	return X86_FAULT;
}

/* ---- combining (SDM table 6-5) ---- */

enum exc_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum exc_class classify(const struct x86_event *ev)
{
	if (ev->type != X86_EVENT_EXCEPTION)
		return BENIGN;
	switch (ev->vector) {
	case X86_DE: case X86_TS: case X86_NP: case X86_SS_VEC: case X86_GP:
		return CONTRIBUTORY;
	case X86_PF:
		return PAGE_FAULT;
	case X86_DF:
		return DOUBLE_FAULT;
	}
	return BENIGN;
}

/* What is to be delivered when `second` arose while `first` was being delivered; result in *first. */
static void combine(struct x86_event *first, const struct x86_event *second)
{
	enum exc_class a = classify(first), b = classify(second);

	if (a == DOUBLE_FAULT && b != BENIGN)
		set_exception(first, X86_VEC_SHUTDOWN, false, 0);
	else if ((a == CONTRIBUTORY && b == CONTRIBUTORY) || (a == PAGE_FAULT && b != BENIGN))
		set_exception(first, X86_DF, true, 0);
	else
		*first = *second;
}

/* Between two runs cpu->fault is the queue: the next hyp_cpu_run delivers it before anything else. */
void hyp_x86_queue_exception(struct hyp_cpu *cpu, u8 vector, bool has_error, u32 error)
{
	struct x86_event ev;

	set_exception(&ev, vector, has_error, error);
	if (vector == X86_PF)
		ev.cr2_or_dr6 = cpu->s.cr2;
	x86_mmio_drop(cpu);
	if (cpu->fault.type == X86_EVENT_EXCEPTION)
		combine(&cpu->fault, &ev);
	else
		cpu->fault = ev;
}

/* ---- delivery: what the three modes share ---- */

/* One delivery on its way. */
struct delivery {
	const struct x86_event *ev;
	unsigned ext; /* EXT bit of error codes */
	u64 gate;     /* low quadword of the gate */
	u64 flags;    /* RFLAGS image to push */
	u64 rip;      /* handler */
	unsigned cpl; /* the handler's */
	struct x86_desc cs;
};

static bool pushes_error(const struct delivery *d)
{
	return d->ev->type == X86_EVENT_EXCEPTION && d->ev->has_error;
}

static bool is_softint(const struct delivery *d)
{
	return d->ev->type == X86_EVENT_SOFTINT;
}

static enum x86_ret gate_fault(struct hyp_cpu *cpu, const struct delivery *d, u8 vec)
{
	return x86_raise_err(cpu, vec, d->ev->vector * 8 + 2 + d->ext);
}

static u64 flags_image(const struct hyp_cpu *cpu, const struct x86_event *ev)
{
	u64 fl = x86_rflags(cpu);

	if (ev->type == X86_EVENT_EXCEPTION && ev->vector < 32 && !(NOT_FAULT_CLASS >> ev->vector & 1))
		fl |= X86_FL_RF;
	return fl;
}

/* The gate's own checks: type given by the caller, then DPL of software interrupts, then present. */
static enum x86_ret check_gate(struct hyp_cpu *cpu, const struct delivery *d)
{
	if (is_softint(d) && x86_desc_dpl(d->gate) < x86_cpl(&cpu->s))
		return gate_fault(cpu, d, X86_GP);
	if (!x86_desc_present(d->gate))
		return gate_fault(cpu, d, X86_NP);
	return X86_OK;
}

/* The handler's code segment, and the privilege it runs at. */
static enum x86_ret load_handler_cs(struct hyp_cpu *cpu, struct delivery *d)
{
	u16 sel = d->gate >> 16;
	unsigned cpl = x86_cpl(&cpu->s), as = X86_AS(X86_GP, d->ext);
	enum x86_ret ret;
	u64 raw;

	if (x86_sel_null(sel))
		return x86_raise_err(cpu, X86_GP, d->ext);
	ret = x86_desc_read(cpu, sel, as, &d->cs);
	if (ret != X86_OK)
		return ret;
	raw = d->cs.raw;
	if (!x86_desc_is_code(raw) || x86_desc_dpl(raw) > cpl)
		return x86_sel_fault(cpu, as, sel);
	if (x86_long_active(&cpu->s) && (!x86_desc_l(raw) || x86_desc_db(raw)))
		return x86_sel_fault(cpu, as, sel);
	if (!x86_desc_present(raw))
		return x86_sel_fault(cpu, X86_AS(X86_NP, d->ext), sel);
	d->cpl = x86_desc_conforming(raw) ? cpl : x86_desc_dpl(raw);
	return X86_OK;
}

/* The commit that protected and long mode share. SS is the caller's. */
static void enter_handler(struct hyp_cpu *cpu, const struct delivery *d)
{
	struct x86_state *s = &cpu->s;
	u64 clear = X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM;

	if (!(d->gate >> 40 & 1)) /* interrupt gate */
		clear |= X86_FL_IF;
	x86_desc_to_seg(d->cs.raw, ((d->gate >> 16) & 0xfffc) | d->cpl, &s->seg[X86_CS]);
	s->rflags &= ~clear;
	s->rip = d->rip;
}

/* ---- long mode ---- */

static enum x86_ret long_stack(struct hyp_cpu *cpu, const struct delivery *d, u64 ist, u64 *rsp)
{
	const struct x86_seg *tr = &cpu->s.seg[X86_TR];
	enum x86_ret ret;
	u16 ss;

	*rsp = cpu->s.gpr[X86_RSP];
	if (ist) {
		if (0x24 + ist * 8 + 7 - 8 > tr->limit)
			return x86_sel_fault(cpu, X86_AS(X86_TS, d->ext), tr->sel);
		ret = x86_sys_read64(cpu, tr->base + 0x24 + (ist - 1) * 8, rsp);
	} else if (d->cpl < x86_cpl(&cpu->s)) {
		ret = x86_tss_stack(cpu, d->cpl, d->ext, &ss, rsp);
	} else {
		ret = X86_OK;
	}
	*rsp &= ~15ull;
	return ret;
}

static enum x86_ret push_long_frame(struct hyp_cpu *cpu, const struct delivery *d, u64 *rsp)
{
	const struct x86_state *s = &cpu->s;
	unsigned words = pushes_error(d) ? 6 : 5;
	u64 frame[6] = { d->ev->error, s->rip,		  s->seg[X86_CS].sel,
			 d->flags,     s->gpr[X86_RSP], s->seg[X86_SS].sel };
	u64 low = *rsp - words * 8;

	if (unlikely(!x86_is_canonical(&cpu->s, low) || !x86_is_canonical(&cpu->s, *rsp - 1)))
		return x86_raise_err(cpu, X86_SS_VEC, d->ext);
	*rsp = low;
	return x86_mem_write(cpu, low, frame + 6 - words, words * 8,
			     d->cpl == 3 ? X86_ACC_W | X86_ACC_USER : X86_ACC_SYS_W);
}

static enum x86_ret deliver_long(struct hyp_cpu *cpu, struct delivery *d)
{
	struct x86_state *s = &cpu->s;
	unsigned off = d->ev->vector * 16;
	u64 gate[2], rsp;
	enum x86_ret ret;

	if (off + 15 > s->idtr.limit)
		return gate_fault(cpu, d, X86_GP);
	if ((ret = x86_sys_read(cpu, s->idtr.base + off, gate, 16)) != X86_OK)
		return ret;
	d->gate = gate[0];
	if (x86_desc_s(d->gate) || x86_desc_type(d->gate) < X86_DT_INT)
		return gate_fault(cpu, d, X86_GP);
	if ((ret = check_gate(cpu, d)) != X86_OK || (ret = load_handler_cs(cpu, d)) != X86_OK)
		return ret;
	d->rip = (d->gate & 0xffff) | (d->gate >> 32 & 0xffff0000) | gate[1] << 32;
	if (unlikely(!x86_is_canonical(&cpu->s, d->rip)))
		return x86_raise_err(cpu, X86_GP, d->ext);
	if ((ret = long_stack(cpu, d, d->gate >> 32 & 7, &rsp)) != X86_OK ||
	    (ret = push_long_frame(cpu, d, &rsp)) != X86_OK || (ret = x86_desc_touch(cpu, &d->cs)) != X86_OK)
		return ret;
	if (d->cpl < x86_cpl(s))
		x86_seg_null(&s->seg[X86_SS], d->cpl, d->cpl);
	s->gpr[X86_RSP] = rsp;
	enter_handler(cpu, d);
	return X86_OK;
}

/* ---- protected mode ---- */

static enum x86_ret push_all(struct hyp_cpu *cpu, struct x86_stack *st, const u64 *val, unsigned n,
			     unsigned size)
{
	while (n--) {
		enum x86_ret ret = x86_stack_push(cpu, st, *val++, size);

		if (ret != X86_OK)
			return ret;
	}
	return X86_OK;
}

/* Frame contents in push order: from VM86 the data segments, across a stack switch SS:ESP. */
static unsigned legacy_frame(const struct hyp_cpu *cpu, const struct delivery *d, bool switched, u64 *f)
{
	static const u8 vm86_order[4] = { X86_GS, X86_FS, X86_DS, X86_ES };
	const struct x86_state *s = &cpu->s;
	unsigned n = 0;

	if (s->rflags & X86_FL_VM)
		for (unsigned i = 0; i < 4; i++)
			f[n++] = s->seg[vm86_order[i]].sel;
	if (switched) {
		f[n++] = s->seg[X86_SS].sel;
		f[n++] = s->gpr[X86_RSP];
	}
	f[n++] = d->flags;
	f[n++] = s->seg[X86_CS].sel;
	f[n++] = s->rip;
	if (pushes_error(d))
		f[n++] = d->ev->error;
	return n;
}

/* The stack of the handler: the TSS's for an inner level, else the present one. */
static enum x86_ret legacy_stack(struct hyp_cpu *cpu, const struct delivery *d, struct x86_seg *ss,
				 struct x86_stack *st)
{
	struct x86_state *s = &cpu->s;
	enum x86_ret ret;
	u16 sel;

	st->acc = d->cpl == 3 ? X86_ACC_W | X86_ACC_USER : X86_ACC_SYS_W;
	st->ss = ss;
	if (d->cpl < x86_cpl(s)) {
		if ((ret = x86_tss_stack(cpu, d->cpl, d->ext, &sel, &st->sp)) != X86_OK ||
		    (ret = x86_load_stack_seg(cpu, sel, d->cpl, X86_AS(X86_TS, d->ext), ss)) != X86_OK)
			return ret;
		st->err = (sel & 0xfffc) | d->ext;
	} else {
		*ss = s->seg[X86_SS];
		st->sp = s->gpr[X86_RSP];
		st->err = d->ext;
	}
	st->mask = ss->ar & X86_AR_DB ? 0xffffffff : 0xffff;
	return X86_OK;
}

static enum x86_ret deliver_to_stack(struct hyp_cpu *cpu, struct delivery *d)
{
	struct x86_state *s = &cpu->s;
	bool vm86 = s->rflags & X86_FL_VM, switched = d->cpl < x86_cpl(s);
	struct x86_stack st;
	struct x86_seg ss, target;
	enum x86_ret ret;
	u64 frame[10];
	unsigned n;

	if (vm86 && d->cpl != 0)
		return x86_sel_fault(cpu, X86_AS(X86_GP, d->ext), d->gate >> 16);
	if ((ret = legacy_stack(cpu, d, &ss, &st)) != X86_OK)
		return ret;
	n = legacy_frame(cpu, d, switched, frame);
	if ((ret = push_all(cpu, &st, frame, n, x86_desc_type(d->gate) & 8 ? 4 : 2)) != X86_OK)
		return ret;
	x86_desc_to_seg(d->cs.raw, 0, &target);
	if (d->rip > target.limit)
		return x86_raise_err(cpu, X86_GP, d->ext);
	if ((ret = x86_desc_touch(cpu, &d->cs)) != X86_OK)
		return ret;
	if (vm86)
		for (unsigned i = X86_ES; i <= X86_GS; i++)
			if (i != X86_CS && i != X86_SS)
				x86_seg_null(&s->seg[i], 0, 0);
	s->seg[X86_SS] = ss;
	x86_set_sp(cpu, st.sp, st.mask);
	enter_handler(cpu, d);
	return X86_OK;
}

static enum x86_ret no_task_switch(struct hyp_cpu *cpu)
{
	cpu->s.exit.reason = HYP_EXIT_EMULATION;
	cpu->s.exit.insn_len = 0;
	cpu->s.exit.emulation.len = 0;
	return X86_EXIT;
}

static enum x86_ret deliver_protected(struct hyp_cpu *cpu, struct delivery *d)
{
	struct x86_state *s = &cpu->s;
	unsigned off = d->ev->vector * 8, type;
	enum x86_ret ret;

	if (off + 7 > s->idtr.limit)
		return gate_fault(cpu, d, X86_GP);
	if ((ret = x86_sys_read64(cpu, (u32)(s->idtr.base + off), &d->gate)) != X86_OK)
		return ret;
	type = x86_desc_type(d->gate);
	if (x86_desc_s(d->gate) || (type != X86_DT_TASK && (type & 6) != 6))
		return gate_fault(cpu, d, X86_GP);
	if ((ret = check_gate(cpu, d)) != X86_OK)
		return ret;
	if (type == X86_DT_TASK)
		return no_task_switch(cpu);
	if ((ret = load_handler_cs(cpu, d)) != X86_OK)
		return ret;
	d->rip = (d->gate & 0xffff) | (type & 8 ? d->gate >> 32 & 0xffff0000 : 0);
	return deliver_to_stack(cpu, d);
}

/* ---- real mode ---- */

static enum x86_ret deliver_real(struct hyp_cpu *cpu, struct delivery *d)
{
	struct x86_state *s = &cpu->s;
	unsigned off = d->ev->vector * 4;
	struct x86_stack st = { .ss = &s->seg[X86_SS], .sp = s->gpr[X86_RSP], .acc = X86_ACC_SYS_W };
	u64 frame[3] = { d->flags, s->seg[X86_CS].sel, s->rip };
	enum x86_ret ret;
	u32 vec;

	if (off + 3 > s->idtr.limit)
		return x86_raise(cpu, X86_GP);
	if ((ret = x86_mem_read(cpu, (u32)(s->idtr.base + off), &vec, 4, X86_ACC_SYS_R)) != X86_OK)
		return ret;
	st.mask = s->seg[X86_SS].ar & X86_AR_DB ? 0xffffffff : 0xffff;
	if ((ret = push_all(cpu, &st, frame, 3, 2)) != X86_OK)
		return ret;
	x86_set_sp(cpu, st.sp, st.mask);
	s->seg[X86_CS].sel = vec >> 16;
	s->seg[X86_CS].base = (vec >> 16) << 4;
	s->rip = vec & 0xffff;
	s->rflags &= ~(u64)(X86_FL_IF | X86_FL_TF | X86_FL_AC | X86_FL_RF);
	return X86_OK;
}

/* ---- entry points ---- */

static void delivered(struct hyp_cpu *cpu, const struct x86_event *ev)
{
	cpu->s.shadow = 0;
	if (ev->type == X86_EVENT_NMI)
		cpu->s.nmi_blocked = true;
	if (ev->type == X86_EVENT_EXCEPTION && ev->vector == X86_DB)
		cpu->s.dr7 &= ~DR7_GD;
	hyp_mode_update(cpu);
}

static enum x86_ret deliver_once(struct hyp_cpu *cpu, const struct x86_event *ev)
{
	struct delivery d = { .ev = ev, .ext = ev->type != X86_EVENT_SOFTINT, .flags = flags_image(cpu, ev) };
	enum x86_ret ret;

	if (likely(x86_long_active(&cpu->s)))
		ret = deliver_long(cpu, &d);
	else if (cpu->s.cr0 & X86_CR0_PE)
		ret = deliver_protected(cpu, &d);
	else
		ret = deliver_real(cpu, &d);
	if (likely(ret == X86_OK))
		delivered(cpu, ev);
	return ret;
}

static enum x86_ret debug_exit(struct hyp_cpu *cpu, u8 vector, u64 dr6_bits)
{
	struct x86_exit *exit = &cpu->s.exit;

	exit->reason = HYP_EXIT_DEBUG;
	exit->insn_len = 0;
	exit->debug.vector = vector;
	exit->debug.dr6 = DR6_FIXED | dr6_bits;
	exit->debug.dr7 = cpu->s.guest_debug & X86_GDBG_HW_BP ? cpu->s.gdbg_dr7 : cpu->s.dr7; /* the one in effect */
	exit->debug.pc = cpu->code_size == 64 ? cpu->s.rip : (u32)(cpu->s.seg[X86_CS].base + cpu->s.rip);
	return X86_EXIT;
}

static enum x86_ret shutdown(struct hyp_cpu *cpu)
{
	cpu->s.exit.reason = HYP_EXIT_SHUTDOWN;
	cpu->s.exit.insn_len = 0;
	return X86_EXIT;
}

enum x86_ret x86_deliver(struct hyp_cpu *cpu, const struct x86_event *pending)
{
	struct x86_event ev = *pending;
	enum x86_ret ret;

	if (pending == &cpu->fault && ev.type == X86_EVENT_EXCEPTION && debugger_claims(cpu, ev.vector)) {
		cpu->fault.type = X86_EVENT_NONE;
		return debug_exit(cpu, ev.vector, ev.cr2_or_dr6);
	}
	cpu->fault.type = X86_EVENT_NONE;
	x86_mmio_retire(cpu);
	while (ev.vector != X86_VEC_SHUTDOWN || ev.type != X86_EVENT_EXCEPTION) {
		ret = deliver_once(cpu, &ev);
		if (likely(ret == X86_OK))
			return X86_OK;
		if (ret == X86_EXIT) {
			if (cpu->s.exit.reason == HYP_EXIT_MMIO)
				cpu->s.exit.reason = HYP_EXIT_EVENT_DELIVERY;
			return X86_EXIT;
		}
		combine(&ev, &cpu->fault);
		cpu->fault.type = X86_EVENT_NONE;
	}
	return shutdown(cpu);
}

enum x86_ret x86_softint(struct hyp_cpu *cpu, u8 vector, u64 next_rip)
{
	const struct x86_event ev = { .type = X86_EVENT_SOFTINT, .vector = vector };
	struct x86_state *s = &cpu->s;
	u64 rip = s->rip;
	enum x86_ret ret;

	if (unlikely(debugger_claims(cpu, vector) && vector == X86_BP))
		return debug_exit(cpu, vector, 0);
	if ((s->rflags & X86_FL_VM) && (s->rflags & X86_FL_IOPL) != X86_FL_IOPL && vector != X86_BP &&
	    vector != X86_OF)
		return x86_raise_err(cpu, X86_GP, 0);
	s->rip = next_rip;
	ret = deliver_once(cpu, &ev);
	if (ret != X86_OK)
		s->rip = rip;
	return ret;
}

/* ---- interruptibility ---- */

/* An event is due already, or an instruction waits for the rest of its input. */
static bool mid_instruction(const struct hyp_cpu *cpu)
{
	return cpu->s.inject.type || cpu->fault.type || cpu->mmio.n || cpu->mmio.io_ready ||
	       cpu->mmio.wnext < cpu->mmio.wn;
}

bool hyp_x86_irq_allowed(struct hyp_cpu *cpu)
{
	return (cpu->s.rflags & X86_FL_IF) && !cpu->s.shadow && !mid_instruction(cpu);
}

bool hyp_x86_nmi_allowed(struct hyp_cpu *cpu)
{
	return !cpu->s.nmi_blocked && !cpu->s.shadow && !mid_instruction(cpu);
}

bool hyp_x86_smi_allowed(struct hyp_cpu *cpu)
{
	return !cpu->s.in_smm && !mid_instruction(cpu);
}

void hyp_x86_skip(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	s->rip += s->exit.insn_len;
	if (cpu->code_size != 64)
		s->rip = (u32)s->rip;
	s->shadow = 0;
	s->rflags &= ~(u64)X86_FL_RF;
	x86_mmio_retire(cpu);
	if (unlikely((s->rflags & X86_FL_TF) || (s->guest_debug & X86_GDBG_SINGLESTEP)))
		x86_raise_db(cpu, DR6_BS); /* the next entry delivers it, or leaves with HYP_EXIT_DEBUG */
}
