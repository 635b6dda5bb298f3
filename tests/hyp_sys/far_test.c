/* SPDX-License-Identifier: Apache-2.0 */
/* Far JMP, CALL, RET, IRET in all modes. */
#include "tests/hyp_sys/fake.h"

static void push_frame64(struct hyp_cpu *cpu, u64 rip, u16 cs, u64 flags, u64 rsp, u16 ss)
{
	u64 at = cpu->s.gpr[X86_RSP] -= 40;

	ram64_set(at, rip);
	ram64_set(at + 8, cs);
	ram64_set(at + 16, flags);
	ram64_set(at + 24, rsp);
	ram64_set(at + 32, ss);
}

static void test_iret_to_user(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	s->rflags = 2;
	s->nmi_blocked = true;
	s->want_irq_window = true;
	s->seg[X86_DS].sel = SEL_KDATA;
	push_frame64(cpu, 0x401000, SEL_U64, 0x202 | X86_FL_DF | X86_FL_ZF | X86_FL_RF, 0x7fff00000000,
		     SEL_UDATA);
	assert_ok(x86_iret(cpu, 8));
	assert_int_equal(s->rip, 0x401000);
	assert_int_equal(s->gpr[X86_RSP], 0x7fff00000000);
	assert_int_equal(x86_cpl(s), 3);
	assert_int_equal(s->seg[X86_CS].ar, 0xa0fb);
	assert_int_equal(cpu->tlb_part, HYP_TLB_USER);
	assert_int_equal(x86_get_rflags(cpu), 0x202 | X86_FL_DF | X86_FL_ZF | X86_FL_RF);
	assert_int_equal(cpu->df, X86_FL_DF);
	assert_false(s->nmi_blocked);
	assert_true(cpu->attention & HYP_ATTN_IRQ_WINDOW);
	assert_int_equal(s->seg[X86_DS].sel, 0); /* kernel data is not for user mode */
	assert_true(s->seg[X86_DS].ar & X86_AR_UNUSABLE);
}

static void test_iret_keeps_user_segments(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	assert_ok(x86_load_seg(cpu, X86_DS, SEL_UDATA));
	assert_ok(x86_load_seg(cpu, X86_FS, 0));
	cpu->s.seg[X86_FS].base = 0x12345000; /* WRMSR FS_BASE on a null selector */
	push_frame64(cpu, 0x401000, SEL_U64, 0x202, 0, SEL_UDATA);
	assert_ok(x86_iret(cpu, 8));
	assert_int_equal(cpu->s.seg[X86_DS].sel, SEL_UDATA);
	assert_int_equal(cpu->s.seg[X86_FS].base, 0x12345000);
}

static void test_iret_same_level_null_ss(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	push_frame64(cpu, 0xffffffff81000000ull, SEL_K64, 2, 0x11000, 0);
	assert_ok(x86_iret(cpu, 8));
	assert_int_equal(s->gpr[X86_RSP], 0x11000);
	assert_true(s->seg[X86_SS].ar & X86_AR_UNUSABLE);
	assert_int_equal(x86_cpl(s), 0);
	assert_int_equal(s->rflags, 2);
}

static void test_iret_to_compat(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	push_frame64(cpu, 0x401000, SEL_U32, 0x202, 0x1fffffff0ull, SEL_UDATA);
	assert_ok(x86_iret(cpu, 8));
	assert_int_equal(cpu->mode, HYP_MODE_COMPAT);
	assert_int_equal(cpu->code_size, 32);
	assert_int_equal(cpu->s.gpr[X86_RSP], 0xfffffff0);
	machine_long(cpu, 0);
	push_frame64(cpu, 0x100000000ull, SEL_U32, 0x202, 0, SEL_UDATA);
	assert_fault(cpu, x86_iret(cpu, 8), X86_GP, 0); /* beyond the limit of 32-bit code */
}

static void test_iret_faults(void **state)
{
	static const struct { u64 rip; u16 cs, ss; u8 vec; u32 err; } cases[] = {
		{ 0x800000000000ull, SEL_U64, SEL_UDATA, X86_GP, 0 },
		{ 0xffff7fffffffffffull, SEL_U64, SEL_UDATA, X86_GP, 0 },
		{ 0x401000, 0, SEL_UDATA, X86_GP, 0 },
		{ 0x401000, 3, SEL_UDATA, X86_GP, 0 },
		{ 0x401000, SEL_UDATA, SEL_UDATA, X86_GP, SEL_UDATA & ~3 },
		{ 0x401000, SEL_K64 | 3, SEL_UDATA, X86_GP, SEL_K64 },
		{ 0x401000, SEL_U64, SEL_KDATA, X86_GP, SEL_KDATA },
		{ 0x401000, SEL_U64, SEL_KDATA | 3, X86_GP, SEL_KDATA },
		{ 0x401000, SEL_U64, 3, X86_GP, 0 },
		{ 0x401000, SEL_U64, 0, X86_GP, 0 },
		{ 0x401000, SEL_K64, 3, X86_GP, 0 },
		{ 0x401000, SEL_K64, SEL_ABSENT_DATA, X86_SS_VEC, SEL_ABSENT_DATA },
		{ 0x401000, GDT_LIMIT + 1, SEL_UDATA, X86_GP, GDT_LIMIT + 1 },
	};
	struct hyp_cpu *cpu = cpu_of(state);

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct x86_state before;

		machine_long(cpu, 0);
		push_frame64(cpu, cases[i].rip, cases[i].cs, 2, 0, cases[i].ss);
		before = cpu->s;
		assert_fault(cpu, x86_iret(cpu, 8), cases[i].vec, cases[i].err);
		assert_memory_equal(&cpu->s, &before, offsetof(struct x86_state, exit));
	}
	machine_long(cpu, 3);
	push_frame64(cpu, 0x401000, SEL_K64, 2, 0, SEL_KDATA); /* to an inner level */
	assert_fault(cpu, x86_iret(cpu, 8), X86_GP, SEL_K64);
	machine_long(cpu, 0);
	cpu->s.rflags |= X86_FL_NT;
	assert_fault(cpu, x86_iret(cpu, 8), X86_GP, 0);
	machine_long(cpu, 0);
	ram64_set(GDT + SEL_FREE, DESC(0x9b, 0xe)); /* L and D together */
	push_frame64(cpu, 0x401000, SEL_FREE, 2, 0, SEL_KDATA);
	assert_fault(cpu, x86_iret(cpu, 8), X86_GP, SEL_FREE);
	ram64_set(GDT + SEL_FREE, DESC(0x1b, 0xa));
	assert_fault(cpu, x86_iret(cpu, 8), X86_NP, SEL_FREE);
}

static void test_iret_flags_of_user(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 3);
	push_frame64(cpu, 0x401000, SEL_U64, X86_FL_IOPL | X86_FL_VIP | X86_FL_ID | X86_FL_CF | X86_FL_VM, 0,
		     SEL_UDATA);
	assert_ok(x86_iret(cpu, 8));
	assert_int_equal(cpu->s.rflags, 0x202 | X86_FL_ID | X86_FL_CF); /* IF and IOPL are not user's */
	machine_long(cpu, 0);
	push_frame64(cpu, 0x401000, SEL_K64, X86_FL_IOPL | X86_FL_VM, 0, SEL_KDATA);
	assert_ok(x86_iret(cpu, 8));
	assert_int_equal(cpu->s.rflags, 2 | X86_FL_IOPL); /* no VM86 in long mode */
}

static void test_iret_protected(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;
	u32 frame[5] = { 0x401000, SEL_U32, 0x202, 0x7f000, SEL_UDATA };

	machine_protected(cpu, 0);
	s->gpr[X86_RSP] = STACK0 - 20;
	memcpy(fake_ram + STACK0 - 20, frame, 20);
	assert_ok(x86_iret(cpu, 4));
	assert_int_equal(x86_cpl(s), 3);
	assert_int_equal(s->gpr[X86_RSP], 0x7f000);
	machine_protected(cpu, 0);
	s->gpr[X86_RSP] = STACK0 - 12;
	frame[1] = SEL_K32;
	memcpy(fake_ram + STACK0 - 12, frame, 12);
	assert_ok(x86_iret(cpu, 4)); /* same level pops three words */
	assert_int_equal(s->gpr[X86_RSP], STACK0);
	s->rflags |= X86_FL_NT;
	assert_int_equal(x86_iret(cpu, 4), X86_EXIT); /* task return */
	assert_int_equal(s->exit.reason, HYP_EXIT_EMULATION);
}

static void test_jmp(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	assert_ok(x86_far_jmp(cpu, SEL_K32, 0x1000, 4));
	assert_int_equal(cpu->mode, HYP_MODE_COMPAT);
	assert_int_equal(cpu->s.rip, 0x1000);
	assert_ok(x86_far_jmp(cpu, SEL_K64, 0x2000, 4));
	assert_int_equal(cpu->mode, HYP_MODE_LONG);
	assert_fault(cpu, x86_far_jmp(cpu, SEL_K64, 0x800000000000ull, 8), X86_GP, 0);
	assert_fault(cpu, x86_far_jmp(cpu, 0, 0, 8), X86_GP, 0);
	assert_fault(cpu, x86_far_jmp(cpu, SEL_KDATA, 0, 8), X86_GP, SEL_KDATA);
	assert_fault(cpu, x86_far_jmp(cpu, SEL_U64, 0, 8), X86_GP, SEL_U64 & ~3);
	assert_fault(cpu, x86_far_jmp(cpu, SEL_TSS, 0, 8), X86_GP, SEL_TSS); /* no task switch in long mode */
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_far_jmp(cpu, SEL_K64, 0, 8), X86_GP, SEL_K64);
	assert_ok(x86_far_jmp(cpu, SEL_CONFORMING, 0x3000, 4));
	assert_int_equal(x86_cpl(&cpu->s), 3);
	assert_int_equal(cpu->s.seg[X86_CS].sel, SEL_CONFORMING | 3);
}

static void test_enter_protected_mode(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_protected(cpu, 0);
	cpu->s.cr0 &= ~(u64)X86_CR0_PE;
	machine_real(cpu);
	assert_ok(x86_mov_to_cr(cpu, 0, X86_CR0_PE));
	assert_int_equal(cpu->mode, HYP_MODE_PROT);
	assert_int_equal(cpu->code_size, 16);
	assert_ok(x86_far_jmp(cpu, SEL_K32, 0x12345, 4));
	assert_int_equal(cpu->code_size, 32);
	assert_int_equal(cpu->s.rip, 0x12345);
	cpu->s.gdtr.limit = SEL_K32 + 6;
	assert_fault(cpu, x86_far_jmp(cpu, SEL_K32, 0, 4), X86_GP, SEL_K32);
}

static void test_real_jmp_call_ret(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_real(cpu);
	assert_ok(x86_far_call(cpu, 0x3000, 0x10, 2, 0x105));
	assert_int_equal(s->seg[X86_CS].base, 0x30000);
	assert_int_equal(s->gpr[X86_RSP], 0xffc);
	assert_int_equal(ram32(0x20ffc), 0x10000105);
	assert_ok(x86_far_ret(cpu, 2, 4));
	assert_int_equal(s->rip, 0x105);
	assert_int_equal(s->seg[X86_CS].sel, 0x1000);
	assert_int_equal(s->gpr[X86_RSP], 0x1004);
	assert_fault(cpu, x86_far_jmp(cpu, 0, 0x10000, 4), X86_GP, 0);
	assert_ok(x86_far_jmp(cpu, 0xf000, 0xfff0, 2));
}

static void test_call_ret_long(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;
	u64 rsp;

	machine_long(cpu, 0);
	rsp = s->gpr[X86_RSP];
	assert_ok(x86_far_call(cpu, SEL_K64, 0x5000, 8, 0x30007));
	assert_int_equal(s->gpr[X86_RSP], rsp - 16);
	assert_int_equal(ram64(rsp - 16), 0x30007);
	assert_int_equal(ram64(rsp - 8), SEL_K64);
	assert_ok(x86_far_ret(cpu, 8, 0x20));
	assert_int_equal(s->rip, 0x30007);
	assert_int_equal(s->gpr[X86_RSP], rsp + 0x20);
	s->gpr[X86_RSP] = rsp - 32; /* RETFQ to user */
	ram64_set(rsp - 32, 0x401000);
	ram64_set(rsp - 24, SEL_U64);
	ram64_set(rsp - 16, 0x7000);
	ram64_set(rsp - 8, SEL_UDATA);
	assert_ok(x86_far_ret(cpu, 8, 0));
	assert_int_equal(x86_cpl(s), 3);
	assert_int_equal(s->gpr[X86_RSP], 0x7000);
	assert_int_equal(s->rip, 0x401000);
}

static void test_call_fault_moves_nothing(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	cpu->s.gpr[X86_RSP] = NOT_PRESENT + 8;
	assert_fault(cpu, x86_far_call(cpu, SEL_K64, 0x5000, 8, 0x30007), X86_PF, X86_PFEC_W);
	assert_int_equal(cpu->s.gpr[X86_RSP], NOT_PRESENT + 8);
	assert_int_equal(cpu->s.rip, 0x30000);
	assert_int_equal(cpu->s.seg[X86_CS].sel, SEL_K64);
}

static void test_call_gate_long(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 3);
	ram64_set(GDT + SEL_GATE, 0x0000ec0000000000ull | (u64)SEL_K64 << 16 | 0x1234);
	ram64_set(GDT + SEL_GATE + 8, 0xffffffff);
	assert_ok(x86_far_call(cpu, SEL_GATE | 3, 0xdead, 8, 0x30007));
	assert_int_equal(s->rip, 0xffffffff00001234ull);
	assert_int_equal(x86_cpl(s), 0);
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 32);
	assert_int_equal(ram64(STACK0 - 32), 0x30007);
	assert_int_equal(ram64(STACK0 - 24), SEL_U64);
	assert_int_equal(ram64(STACK0 - 16), STACK3);
	assert_int_equal(ram64(STACK0 - 8), SEL_UDATA);
	assert_ok(x86_far_ret(cpu, 8, 0));
	assert_int_equal(x86_cpl(s), 3);
	assert_int_equal(s->gpr[X86_RSP], STACK3);
	ram64_set(GDT + SEL_GATE, 0x00008c0000000000ull | (u64)SEL_K64 << 16);
	assert_fault(cpu, x86_far_call(cpu, SEL_GATE | 3, 0, 8, 0), X86_GP, SEL_GATE); /* gate DPL */
	ram64_set(GDT + SEL_GATE, 0x00006c0000000000ull | (u64)SEL_K64 << 16);
	assert_fault(cpu, x86_far_call(cpu, SEL_GATE | 3, 0, 8, 0), X86_NP, SEL_GATE);
	ram64_set(GDT + SEL_GATE, 0x0000ec0000000000ull | (u64)SEL_K32 << 16);
	assert_fault(cpu, x86_far_call(cpu, SEL_GATE | 3, 0, 8, 0), X86_GP, SEL_K32);
	ram64_set(GDT + SEL_GATE, 0x0000ec0000000000ull | (u64)SEL_K64 << 16);
	assert_fault(cpu, x86_far_jmp(cpu, SEL_GATE | 3, 0, 8), X86_GP, SEL_K64); /* JMP keeps CPL */
}

static void test_call_gate_params(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_protected(cpu, 3);
	ram64_set(GDT + SEL_GATE, 0x0000ec0200000000ull | (u64)SEL_K32 << 16 | 0x1234); /* two parameters */
	s->gpr[X86_RSP] = STACK3 - 8;
	ram32_set(STACK3 - 8, 0x111);
	ram32_set(STACK3 - 4, 0x222);
	assert_ok(x86_far_call(cpu, SEL_GATE | 3, 0, 4, 0x30007));
	assert_int_equal(s->gpr[X86_RSP], STACK0 - 24);
	assert_int_equal(ram32(STACK0 - 24), 0x30007);
	assert_int_equal(ram32(STACK0 - 16), 0x111);
	assert_int_equal(ram32(STACK0 - 12), 0x222);
	assert_int_equal(ram32(STACK0 - 8), STACK3 - 8);
	assert_ok(x86_far_ret(cpu, 4, 8)); /* releases the parameters on both stacks */
	assert_int_equal(s->gpr[X86_RSP], STACK3);
	assert_int_equal(s->rip, 0x30007);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_far_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_iret_to_user), T(test_iret_keeps_user_segments), T(test_iret_same_level_null_ss),
		T(test_iret_to_compat), T(test_iret_faults), T(test_iret_flags_of_user),
		T(test_iret_protected),
		T(test_jmp), T(test_enter_protected_mode), T(test_real_jmp_call_ret), T(test_call_ret_long),
		T(test_call_fault_moves_nothing), T(test_call_gate_long), T(test_call_gate_params),
	};

	return cmocka_run_group_tests_name("far", tests, NULL, NULL);
}
