/* SPDX-License-Identifier: Apache-2.0 */
/* Event delivery: gates, stacks, error codes, double faults and shutdown, windows. */
#include "tests/hyp_sys/fake.h"

#define HANDLER64(v) (0xffffffff80000000ull + HANDLER + (v) * 16)

static enum x86_ret deliver(struct hyp_cpu *cpu, struct x86_event ev)
{
	return x86_deliver(cpu, &ev);
}

static enum x86_ret deliver_int(struct hyp_cpu *cpu, u8 vector)
{
	return deliver(cpu, (struct x86_event){ .type = X86_EVENT_EXTINT, .vector = vector });
}

/* The frame of a long-mode handler, from RSP upwards. */
static void assert_frame64(struct hyp_cpu *cpu, u64 rip, u16 cs, u64 flags, u64 rsp, u16 ss)
{
	u64 at = cpu->s.gpr[X86_RSP];

	assert_int_equal(ram64(at), rip);
	assert_int_equal(ram64(at + 8), cs);
	assert_int_equal(ram64(at + 16), flags);
	assert_int_equal(ram64(at + 24), rsp);
	assert_int_equal(ram64(at + 32), ss);
}

static void test_long_from_user(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 3);
	s->rflags |= X86_FL_TF | X86_FL_NT | X86_FL_AC | X86_FL_CF | X86_FL_ZF;
	cpu->df = X86_FL_DF;
	s->shadow = X86_SHADOW_STI;
	assert_ok(deliver_int(cpu, 0x20));
	assert_int_equal(s->rip, HANDLER64(0x20));
	assert_int_equal(s->seg[X86_CS].sel, SEL_K64);
	assert_int_equal(s->seg[X86_CS].ar, 0xa09b);
	assert_int_equal(s->seg[X86_SS].sel, 0);
	assert_true(s->seg[X86_SS].ar & X86_AR_UNUSABLE);
	assert_int_equal(x86_cpl(s), 0);
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 40);
	assert_frame64(cpu, 0x30000, SEL_U64,
		       0x202 | X86_FL_TF | X86_FL_NT | X86_FL_AC | X86_FL_CF | X86_FL_ZF | X86_FL_DF, STACK3,
		       SEL_UDATA);
	assert_int_equal(s->rflags, 2 | X86_FL_AC | X86_FL_CF | X86_FL_ZF);
	assert_int_equal(cpu->df, X86_FL_DF); /* delivery leaves DF */
	assert_int_equal(s->shadow, 0);
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL);
	assert_int_equal(cpu->code_size, 64);
}

static void test_long_same_level(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	s->gpr[X86_RSP] = STACK0 - 0x803; /* aligned down before the frame */
	set_gate64(0x21, SEL_K64, HANDLER64(0x21), 0x8f, 0); /* trap gate: IF stays */
	assert_ok(deliver_int(cpu, 0x21));
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 0x810 - 40);
	assert_frame64(cpu, 0x30000, SEL_K64, 0x202, STACK0 - 0x803, SEL_KDATA);
	assert_int_equal(s->seg[X86_SS].sel, SEL_KDATA); /* kept without a change of privilege */
	assert_int_equal(s->rflags, 0x202);
}

static void test_long_error_code(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;
	u64 rsp;

	machine_long(cpu, 3);
	x86_raise_pf(cpu, 0x1234, X86_PFEC_U | X86_PFEC_W);
	assert_ok(x86_deliver(cpu, &cpu->fault));
	assert_int_equal(cpu->fault.type, X86_EVENT_NONE);
	rsp = s->gpr[X86_RSP];
	assert_int_equal(rsp, STACK0 - 48);
	assert_int_equal(ram64(rsp), X86_PFEC_U | X86_PFEC_W);
	assert_int_equal(ram64(rsp + 8), 0x30000);
	assert_int_equal(ram64(rsp + 24), 0x202 | X86_FL_RF); /* a fault pushes RF */
	assert_int_equal(s->rip, HANDLER64(X86_PF));
	assert_int_equal(s->cr2, 0x1234);
	assert_int_equal(s->rflags & X86_FL_RF, 0);
}

static void test_raise_error_codes(void **state)
{
	static const u8 with[] = { X86_DF, X86_TS, X86_NP, X86_SS_VEC, X86_GP, X86_PF, X86_AC };
	struct hyp_cpu *cpu = cpu_of(state);
	u32 mask = 1u << 21; /* #CP */

	for (unsigned i = 0; i < sizeof(with); i++)
		mask |= 1u << with[i];
	for (unsigned v = 0; v < 32; v++) {
		x86_raise(cpu, v);
		assert_int_equal(cpu->fault.has_error, mask >> v & 1);
		assert_int_equal(cpu->fault.error, 0);
	}
}

static void test_ist(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	set_gate64(X86_NMI, SEL_K64, HANDLER64(2), 0x8e, 1);
	assert_true(hyp_x86_nmi_allowed(cpu));
	assert_ok(deliver(cpu, (struct x86_event){ .type = X86_EVENT_NMI, .vector = X86_NMI }));
	assert_int_equal(s->gpr[X86_RSP], IST1 - 40);
	assert_int_equal(s->seg[X86_SS].sel, SEL_KDATA);
	assert_true(s->nmi_blocked);
	assert_false(hyp_x86_nmi_allowed(cpu));
	set_gate64(0x30, SEL_K64, HANDLER64(0x30), 0x8e, 7);
	s->seg[X86_TR].limit = 0x5a; /* IST7 ends at 0x5b */
	assert_ok(deliver_int(cpu, 0x30)); /* #TS(TR+EXT) is delivered instead */
	assert_int_equal(s->rip, HANDLER64(X86_TS));
	assert_int_equal(ram64(s->gpr[X86_RSP]), SEL_TSS | 1);
	s->seg[X86_TR].limit = 0x5b;
	ram64_set(TSS + 0x54, IST1);
	assert_ok(deliver_int(cpu, 0x30));
	assert_int_equal(s->gpr[X86_RSP], IST1 - 40);
}

/* Each way a gate can be bad: what is delivered is the fault, with vector * 8 + IDT + EXT. */
static void test_bad_gates(void **state)
{
	static const struct { u16 cs; u8 access; u8 vec; u32 err; } cases[] = {
		{ SEL_K64, 0x0e, X86_NP, 0x40 * 8 + 3 },
		{ SEL_K64, 0x8c, X86_GP, 0x40 * 8 + 3 },  /* a call gate is none */
		{ SEL_K64, 0x86, X86_GP, 0x40 * 8 + 3 },  /* nor is a 16-bit one in long mode */
		{ SEL_K64, 0x9e, X86_GP, 0x40 * 8 + 3 },  /* nor a code segment */
		{ 0, 0x8e, X86_GP, 1 },
		{ SEL_KDATA, 0x8e, X86_GP, SEL_KDATA | 1 },
		{ SEL_K32, 0x8e, X86_GP, SEL_K32 | 1 },    /* 32-bit code */
		{ SEL_U64, 0x8e, X86_GP, (SEL_U64 & ~3) | 1 }, /* less privileged than CPL */
		{ GDT_LIMIT + 1, 0x8e, X86_GP, (GDT_LIMIT + 1) | 1 },
	};
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		set_gate64(0x40, cases[i].cs, HANDLER64(0x40), cases[i].access, 0);
		cpu->s.gpr[X86_RSP] = STACK0 - 0x800;
		cpu->s.rip = 0x30000;
		assert_ok(deliver_int(cpu, 0x40));
		assert_int_equal(cpu->s.rip, HANDLER64(cases[i].vec));
		assert_int_equal(ram64(cpu->s.gpr[X86_RSP]), cases[i].err);
		assert_int_equal(ram64(cpu->s.gpr[X86_RSP] + 8), 0x30000);
	}
	set_gate64(0x40, SEL_K64, 0x800000000000ull, 0x8e, 0);
	assert_ok(deliver_int(cpu, 0x40));
	assert_int_equal(cpu->s.rip, HANDLER64(X86_GP));
	assert_int_equal(ram64(cpu->s.gpr[X86_RSP]), 1);
	cpu->s.idtr.limit = 0x3ff;
	assert_ok(deliver_int(cpu, 0x40));
	assert_int_equal(ram64(cpu->s.gpr[X86_RSP]), 0x40 * 8 + 3);
}

static void test_stack_faults(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 3);
	for (unsigned v = 8; v < 16; v++)
		set_gate64(v, SEL_K64, HANDLER64(v), 0x8e, 1);
	ram64_set(TSS + 4, NOT_PRESENT + 0x100);
	assert_ok(deliver_int(cpu, 0x20));
	assert_int_equal(s->rip, HANDLER64(X86_PF));
	assert_int_equal(ram64(s->gpr[X86_RSP]), X86_PFEC_W); /* a supervisor write */
	assert_int_equal(s->cr2, NOT_PRESENT + 0x100 - 40);
	assert_int_equal(ram64(s->gpr[X86_RSP] + 16), SEL_U64); /* state was as before */
	set_cpl(cpu, 3);
	ram64_set(TSS + 4, 0x800000000000ull + 0x100);
	assert_ok(deliver_int(cpu, 0x20));
	assert_int_equal(s->rip, HANDLER64(X86_SS_VEC));
	assert_int_equal(ram64(s->gpr[X86_RSP]), 1);
}

/* SDM table 6-5, first x second. 0: second alone, 1: double fault, 2: shutdown */
static void test_double_fault_table(void **state)
{
	static const struct { u8 first; u8 second; bool df; } cases[] = {
		{ X86_UD, X86_GP, false }, { X86_GP, X86_GP, true }, { X86_GP, X86_NP, true },
		{ X86_PF, X86_GP, true }, { X86_DE, X86_GP, true }, { X86_AC, X86_GP, false },
		{ X86_TS, X86_GP, true }, { X86_DB, X86_GP, false }, { X86_SS_VEC, X86_NP, true },
		{ X86_MF, X86_NP, false },
	};
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 a = cases[i].first, b = cases[i].second;

		for (unsigned v = 0; v < 32; v++)
			set_gate64(v, SEL_K64, HANDLER64(v), 0x8e, 0);
		set_gate64(a, SEL_K64, 0, b == X86_NP ? 0x0e : 0x8c, 0);
		cpu->s.gpr[X86_RSP] = STACK0 - 0x800;
		if (a == b)
			set_gate64(a, SEL_K64, 0, 0x8c, 0);
		assert_ok(deliver(cpu, exception(a, true, 0)));
		assert_int_equal(cpu->s.rip, HANDLER64(cases[i].df ? X86_DF : b));
		assert_int_equal(ram64(cpu->s.gpr[X86_RSP]), cases[i].df ? 0 : a * 8 + 3);
	}
}

static void test_pf_during_gp_is_pf(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	set_gate64(X86_PF, SEL_K64, HANDLER64(X86_PF), 0x8e, 1);
	cpu->s.gpr[X86_RSP] = NOT_PRESENT + 0x800;
	assert_ok(deliver(cpu, exception(X86_GP, true, 0x10)));
	assert_int_equal(cpu->s.rip, HANDLER64(X86_PF));
	set_gate64(X86_DF, SEL_K64, HANDLER64(X86_DF), 0x8e, 1);
	set_gate64(X86_PF, SEL_K64, HANDLER64(X86_PF), 0x8e, 0);
	cpu->s.gpr[X86_RSP] = NOT_PRESENT + 0x800;
	assert_ok(deliver(cpu, exception(X86_PF, true, 0))); /* #PF during #PF: double fault on its IST */
	assert_int_equal(cpu->s.rip, HANDLER64(X86_DF));
	assert_int_equal(cpu->s.gpr[X86_RSP], IST1 - 48);
}

static void test_shutdown(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	cpu->s.gpr[X86_RSP] = NOT_PRESENT + 0x800; /* no IST anywhere */
	assert_int_equal(deliver_int(cpu, 0x20), X86_EXIT);
	assert_int_equal(cpu->s.exit.reason, HYP_EXIT_SHUTDOWN);
	assert_int_equal(cpu->s.rip, 0x30000);
	assert_int_equal(cpu->s.gpr[X86_RSP], NOT_PRESENT + 0x800);
	machine_long(cpu, 0);
	cpu->s.idtr.limit = 0;
	assert_int_equal(deliver(cpu, exception(X86_UD, false, 0)), X86_EXIT);
	assert_int_equal(cpu->s.exit.reason, HYP_EXIT_SHUTDOWN);
}

static void test_softint(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 3);
	assert_fault(cpu, x86_softint(cpu, 0x80, 0x30002), X86_GP, 0x80 * 8 + 2); /* gate DPL 0, no EXT */
	assert_int_equal(s->rip, 0x30000);
	set_gate64(0x80, SEL_K64, HANDLER64(0x80), 0x6e, 0);
	assert_fault(cpu, x86_softint(cpu, 0x80, 0x30002), X86_NP, 0x80 * 8 + 2);
	set_gate64(0x80, SEL_K64, HANDLER64(0x80), 0xee, 0);
	assert_ok(x86_softint(cpu, 0x80, 0x30002));
	assert_int_equal(s->rip, HANDLER64(0x80));
	assert_frame64(cpu, 0x30002, SEL_U64, 0x202, STACK3, SEL_UDATA);
	set_cpl(cpu, 3);
	s->rip = 0x30000;
	ram64_set(TSS + 4, NOT_PRESENT + 0x800);
	assert_fault(cpu, x86_softint(cpu, 0x80, 0x30002), X86_PF, X86_PFEC_W);
	assert_int_equal(s->rip, 0x30000);
}

static void test_debug_claims(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 3);
	set_gate64(X86_BP, SEL_K64, HANDLER64(X86_BP), 0xee, 0);
	s->guest_debug = X86_GDBG_SW_BP | X86_GDBG_SINGLESTEP;
	assert_int_equal(x86_softint(cpu, X86_BP, 0x30001), X86_EXIT);
	assert_int_equal(s->exit.reason, HYP_EXIT_DEBUG);
	assert_int_equal(s->exit.debug.vector, X86_BP);
	assert_int_equal(s->exit.debug.pc, 0x30000);
	assert_int_equal(s->rip, 0x30000);
	s->dr6 = 0xffff0ff0;
	x86_raise_db(cpu, 0x4000);
	assert_int_equal(s->dr6, 0xffff0ff0); /* the debugger's, not the guest's */
	assert_int_equal(x86_deliver(cpu, &cpu->fault), X86_EXIT);
	assert_int_equal(s->exit.debug.dr6, 0xffff4ff0);
	assert_int_equal(s->exit.debug.vector, X86_DB);
	assert_ok(deliver(cpu, exception(X86_DB, false, 0))); /* an injection is not intercepted */
	assert_int_equal(s->rip, HANDLER64(X86_DB));
	s->guest_debug = 0;
	s->dr7 = 0x2400;
	x86_raise_db(cpu, 0x2000);
	assert_int_equal(s->dr6, 0xffff2ff0);
	assert_ok(x86_deliver(cpu, &cpu->fault));
	assert_int_equal(s->dr7, 0x400); /* GD is cleared for the handler */
}

static void test_delivery_needs_mmio(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	ram64_set(PT0 + (IDT >> 12) * 8, 0xfed00000 | 3);
	assert_int_equal(deliver_int(cpu, 0x20), X86_EXIT);
	assert_int_equal(cpu->s.exit.reason, HYP_EXIT_EVENT_DELIVERY);
	assert_int_equal(cpu->s.exit.mmio.gpa, 0xfed00200);
}

static void test_protected(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_protected(cpu, 3);
	assert_ok(deliver(cpu, exception(X86_GP, true, 0x18)));
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 24);
	assert_int_equal(s->seg[X86_SS].sel, SEL_KDATA);
	assert_int_equal(s->seg[X86_CS].sel, SEL_K32);
	assert_int_equal(s->rip, HANDLER + X86_GP * 16);
	assert_int_equal(ram32(STACK0 - 24), 0x18);
	assert_int_equal(ram32(STACK0 - 20), 0x30000);
	assert_int_equal(ram32(STACK0 - 16), SEL_U32);
	assert_int_equal(ram32(STACK0 - 12), 0x202 | X86_FL_RF);
	assert_int_equal(ram32(STACK0 - 8), STACK3);
	assert_int_equal(ram32(STACK0 - 4), SEL_UDATA);
	assert_ok(deliver_int(cpu, 0x20)); /* same level: no SS:ESP */
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 36);
	set_gate32(0x21, SEL_K32, 0x12345678, 0x86); /* 16-bit gate */
	assert_ok(deliver_int(cpu, 0x21));
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 42);
	assert_int_equal(s->rip, 0x5678);
}

static void test_protected_bad_stack(void **state)
{
	static const struct { u16 ss; u8 vec; u32 err; } cases[] = {
		{ 0, X86_TS, 1 },
		{ SEL_UDATA, X86_TS, (SEL_UDATA & ~3) | 1 },
		{ SEL_RO_DATA, X86_TS, SEL_RO_DATA | 1 },
		{ SEL_ABSENT_DATA, X86_SS_VEC, SEL_ABSENT_DATA | 1 },
	};
	struct hyp_cpu *cpu = cpu_of(state);

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		machine_protected(cpu, 3);
		ram32_set(TSS + 8, cases[i].ss);
		ram64_set(GDT + SEL_FREE, DESC(0x9f, 0xc)); /* conforming: keeps CPL 3 and our stack */
		set_gate32(cases[i].vec, SEL_FREE, HANDLER, 0x8e);
		assert_ok(deliver_int(cpu, 0x20));
		assert_int_equal(cpu->s.rip, HANDLER);
		assert_int_equal(x86_cpl(&cpu->s), 3);
		assert_int_equal(ram32(cpu->s.gpr[X86_RSP]), cases[i].err);
	}
}

static void test_vm86_to_ring0(void **state)
{
	static const u16 sels[] = { 0x40, 0x50, 0x60, 0x70 };
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_protected(cpu, 3);
	s->rip = 0x100;
	s->rflags |= X86_FL_VM | X86_FL_IOPL;
	hyp_mode_update(cpu);
	x86_load_seg(cpu, X86_ES, sels[0]);
	x86_load_seg(cpu, X86_DS, sels[1]);
	x86_load_seg(cpu, X86_FS, sels[2]);
	x86_load_seg(cpu, X86_GS, sels[3]);
	assert_ok(deliver_int(cpu, 0x20));
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 36);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ram32(STACK0 - 16 + i * 4), sels[i]);
	assert_int_equal(ram32(STACK0 - 36 + 8) & X86_FL_VM, X86_FL_VM);
	assert_true(s->seg[X86_DS].ar & X86_AR_UNUSABLE);
	assert_int_equal(cpu->mode, HYP_MODE_PROT);
	assert_ok(x86_iret(cpu, 4)); /* and back */
	assert_int_equal(cpu->mode, HYP_MODE_VM86);
	assert_int_equal(s->seg[X86_GS].base, sels[3] << 4);
	assert_int_equal(s->gpr[X86_RSP], STACK3);
	s->rflags &= ~(u64)X86_FL_IOPL;
	assert_fault(cpu, x86_softint(cpu, 0x21, 0x102), X86_GP, 0); /* INT n needs IOPL 3 */
}

static void test_real(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_real(cpu);
	ram32_set(0x21 * 4, 0xf0001234);
	s->rflags |= X86_FL_TF;
	assert_ok(x86_softint(cpu, 0x21, 0x102));
	assert_int_equal(s->seg[X86_CS].base, 0xf0000);
	assert_int_equal(s->rip, 0x1234);
	assert_int_equal(s->gpr[X86_RSP], 0x1000 - 6);
	assert_int_equal(ram32(0x20ffa), 0x10000102);
	assert_int_equal(ram32(0x20ffe) & 0xffff, 0x302);
	assert_int_equal(s->rflags, 2);
	assert_ok(x86_iret(cpu, 2));
	assert_int_equal(s->rip, 0x102);
	assert_int_equal(s->rflags, 0x302);
	ram32_set(X86_GP * 4, 0xf0000000); /* real mode pushes no error code */
	assert_ok(deliver(cpu, exception(X86_GP, true, 0x55)));
	assert_int_equal(s->gpr[X86_RSP], 0x1000 - 6);
	s->idtr.limit = 0x20; /* beyond #DF's vector nothing is left */
	assert_int_equal(deliver_int(cpu, 0x40), X86_EXIT);
	assert_int_equal(s->exit.reason, HYP_EXIT_SHUTDOWN);
}

static void test_queue(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	hyp_x86_queue_exception(cpu, X86_UD, false, 0);
	assert_int_equal(cpu->fault.vector, X86_UD);
	assert_false(hyp_x86_irq_allowed(cpu));
	hyp_x86_queue_exception(cpu, X86_GP, true, 8);
	assert_int_equal(cpu->fault.vector, X86_GP);
	assert_int_equal(cpu->fault.error, 8);
	hyp_x86_queue_exception(cpu, X86_NP, true, 8);
	assert_int_equal(cpu->fault.vector, X86_DF);
	assert_int_equal(cpu->fault.error, 0);
	assert_true(cpu->fault.has_error);
	hyp_x86_queue_exception(cpu, X86_PF, true, 0);
	assert_int_equal(x86_deliver(cpu, &cpu->fault), X86_EXIT);
	assert_int_equal(s->exit.reason, HYP_EXIT_SHUTDOWN);
}

static void test_windows(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	assert_true(hyp_x86_irq_allowed(cpu));
	s->shadow = X86_SHADOW_STI;
	assert_false(hyp_x86_irq_allowed(cpu));
	s->shadow = X86_SHADOW_MOV_SS;
	assert_false(hyp_x86_irq_allowed(cpu));
	assert_false(hyp_x86_nmi_allowed(cpu));
	s->shadow = 0;
	s->rflags &= ~(u64)X86_FL_IF;
	assert_false(hyp_x86_irq_allowed(cpu));
	assert_true(hyp_x86_nmi_allowed(cpu));
}

static void test_skip(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	s->exit.insn_len = 2;
	s->shadow = X86_SHADOW_STI;
	s->rflags |= X86_FL_RF;
	hyp_x86_skip(cpu);
	assert_int_equal(s->rip, 0x30002);
	assert_int_equal(s->shadow, 0);
	assert_int_equal(s->rflags & X86_FL_RF, 0);
	assert_int_equal(cpu->fault.type, X86_EVENT_NONE);
	s->rflags |= X86_FL_TF;
	hyp_x86_skip(cpu);
	assert_int_equal(cpu->fault.vector, X86_DB);
	assert_int_equal(s->dr6 & 0x4000, 0x4000);
	assert_false(hyp_x86_irq_allowed(cpu)); /* the trap goes first */
	assert_ok(x86_deliver(cpu, &cpu->fault));
	assert_int_equal(s->rip, HANDLER64(X86_DB));
	s->dr6 = 0xffff0ff0;
	s->guest_debug = X86_GDBG_SINGLESTEP;
	hyp_x86_skip(cpu);
	assert_int_equal(s->dr6, 0xffff0ff0);
	assert_int_equal(x86_deliver(cpu, &cpu->fault), X86_EXIT);
	assert_int_equal(s->exit.reason, HYP_EXIT_DEBUG);
	assert_int_equal(s->exit.debug.dr6 & 0x4000, 0x4000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_exc_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_long_from_user), T(test_long_same_level), T(test_long_error_code),
		T(test_raise_error_codes),
		T(test_ist), T(test_bad_gates), T(test_stack_faults), T(test_double_fault_table),
		T(test_pf_during_gp_is_pf), T(test_shutdown), T(test_softint), T(test_debug_claims),
		T(test_delivery_needs_mmio), T(test_protected), T(test_protected_bad_stack),
		T(test_vm86_to_ring0),
		T(test_real), T(test_queue), T(test_windows), T(test_skip),
	};

	return cmocka_run_group_tests_name("exc", tests, NULL, NULL);
}
