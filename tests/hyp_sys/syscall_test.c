/* SPDX-License-Identifier: Apache-2.0 */
/* SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, as Intel and as AMD. */
#include "tests/hyp_sys/fake.h"

#define KERNEL_ENTRY 0xffffffff81800000ull
#define NONCANONICAL 0x800000000000ull

static void machine_syscall(struct hyp_cpu *cpu, unsigned cpl)
{
	machine_long(cpu, cpl);
	cpu->s.star = (u64)0x23 << 48 | (u64)0x10 << 32 | 0x5555;
	cpu->s.lstar = KERNEL_ENTRY;
	cpu->s.cstar = KERNEL_ENTRY + 0x100;
	cpu->s.sfmask = X86_FL_IF | X86_FL_TF | X86_FL_DF | X86_FL_AC;
	cpu->s.sysenter_cs = 0x10;
	cpu->s.sysenter_eip = KERNEL_ENTRY + 0x200;
	cpu->s.sysenter_esp = 0xffffc90000000000ull;
}

static void test_syscall(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_syscall(cpu, 3);
	s->rflags |= X86_FL_CF | X86_FL_RF | X86_FL_AC;
	cpu->df = X86_FL_DF;
	assert_ok(x86_syscall(cpu, 0x401002));
	assert_int_equal(s->rip, KERNEL_ENTRY);
	assert_int_equal(s->gpr[X86_RCX], 0x401002);
	assert_int_equal(s->gpr[X86_R11], 0x202 | X86_FL_CF | X86_FL_AC | X86_FL_DF); /* RF is cleared */
	assert_int_equal(x86_get_rflags(cpu), 2 | X86_FL_CF);
	assert_int_equal(cpu->df, 0);
	assert_int_equal(s->seg[X86_CS].sel, 0x10);
	assert_int_equal(s->seg[X86_CS].ar, 0xa09b);
	assert_int_equal(s->seg[X86_SS].sel, 0x18);
	assert_int_equal(s->seg[X86_SS].ar, 0xc093);
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL);
	s->efer &= ~(u64)X86_EFER_SCE;
	assert_fault_noerr(cpu, x86_syscall(cpu, 0), X86_UD);
}

static void test_syscall_compat(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_syscall(cpu, 3);
	assert_ok(x86_far_jmp(cpu, SEL_U32, 0x1000, 4));
	assert_int_equal(cpu->code_size, 32);
	assert_fault_noerr(cpu, x86_syscall(cpu, 0x1002), X86_UD); /* Intel */
	cpu->s.is_amd = true;
	assert_ok(x86_syscall(cpu, 0x1002));
	assert_int_equal(cpu->s.rip, KERNEL_ENTRY + 0x100);
	assert_int_equal(cpu->code_size, 64);
	assert_int_equal(cpu->s.gpr[X86_RCX], 0x1002);
}

static void test_syscall_legacy_amd(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_protected(cpu, 3);
	cpu->s.efer = X86_EFER_SCE;
	cpu->s.star = (u64)0x23 << 48 | (u64)0x10 << 32 | 0x5555;
	assert_fault_noerr(cpu, x86_syscall(cpu, 0x1002), X86_UD);
	cpu->s.is_amd = true;
	assert_ok(x86_syscall(cpu, 0x1002));
	assert_int_equal(cpu->s.rip, 0x5555);
	assert_int_equal(cpu->s.gpr[X86_RCX], 0x1002);
	assert_int_equal(cpu->code_size, 32);
	assert_int_equal(cpu->s.rflags & X86_FL_IF, 0);
	assert_ok(x86_sysret(cpu, 4));
	assert_int_equal(cpu->s.rip, 0x1002);
	assert_int_equal(x86_cpl(&cpu->s), 3);
	assert_true(cpu->s.rflags & X86_FL_IF);
}

static void test_sysret(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_syscall(cpu, 0);
	s->rflags = 2;
	s->gpr[X86_RCX] = 0x401002;
	s->gpr[X86_R11] = ~0ull;
	s->want_irq_window = true;
	assert_ok(x86_sysret(cpu, 8));
	assert_int_equal(s->rip, 0x401002);
	assert_int_equal(x86_get_rflags(cpu), 0x3c7fd7);
	assert_int_equal(s->seg[X86_CS].sel, 0x33);
	assert_int_equal(s->seg[X86_CS].ar, 0xa0fb);
	assert_int_equal(s->seg[X86_SS].sel, 0x2b);
	assert_int_equal(s->seg[X86_SS].ar, 0xc0f3);
	assert_int_equal(cpu->tlb_part, HYP_TLB_USER);
	assert_int_equal(cpu->df, X86_FL_DF);
	assert_true(cpu->attention & HYP_ATTN_IRQ_WINDOW);
	assert_fault(cpu, x86_sysret(cpu, 8), X86_GP, 0); /* not at CPL 3 */
}

static void test_sysret_32(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_syscall(cpu, 0);
	cpu->s.gpr[X86_RCX] = 0xf00401002ull;
	cpu->s.gpr[X86_R11] = 0x202;
	assert_ok(x86_sysret(cpu, 4));
	assert_int_equal(cpu->s.rip, 0x401002);
	assert_int_equal(cpu->s.seg[X86_CS].sel, 0x23);
	assert_int_equal(cpu->code_size, 32);
}

static void test_sysret_canonical(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_syscall(cpu, 0);
	cpu->s.gpr[X86_RCX] = NONCANONICAL;
	assert_fault(cpu, x86_sysret(cpu, 8), X86_GP, 0);
	assert_int_equal(x86_cpl(&cpu->s), 0); /* still in the kernel, the famous trap */
	cpu->s.is_amd = true;
	assert_ok(x86_sysret(cpu, 8)); /* AMD faults at the fetch */
	assert_int_equal(cpu->s.rip, NONCANONICAL);
	assert_int_equal(x86_cpl(&cpu->s), 3);
}

static void test_sysenter(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_syscall(cpu, 3);
	assert_ok(x86_sysenter(cpu));
	assert_int_equal(s->rip, KERNEL_ENTRY + 0x200);
	assert_int_equal(s->gpr[X86_RSP], 0xffffc90000000000ull);
	assert_int_equal(s->seg[X86_CS].sel, 0x10);
	assert_int_equal(s->seg[X86_SS].sel, 0x18);
	assert_int_equal(s->rflags & X86_FL_IF, 0);
	s->gpr[X86_RDX] = 0x401000;
	s->gpr[X86_RCX] = 0x7000;
	assert_ok(x86_sysexit(cpu, 8));
	assert_int_equal(s->rip, 0x401000);
	assert_int_equal(s->gpr[X86_RSP], 0x7000);
	assert_int_equal(s->seg[X86_CS].sel, 0x33);
	assert_int_equal(s->seg[X86_SS].sel, 0x3b);
	assert_fault(cpu, x86_sysexit(cpu, 8), X86_GP, 0);
	set_cpl(cpu, 0);
	assert_ok(x86_sysexit(cpu, 4));
	assert_int_equal(s->seg[X86_CS].sel, 0x23);
	assert_int_equal(s->seg[X86_SS].sel, 0x2b);
	assert_int_equal(cpu->code_size, 32);
	set_cpl(cpu, 0);
	s->gpr[X86_RDX] = NONCANONICAL;
	assert_fault(cpu, x86_sysexit(cpu, 8), X86_GP, 0);
}

static void test_sysenter_faults(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_syscall(cpu, 3);
	cpu->s.sysenter_cs = 3;
	assert_fault(cpu, x86_sysenter(cpu), X86_GP, 0);
	cpu->s.is_amd = true;
	assert_fault_noerr(cpu, x86_sysenter(cpu), X86_UD);
	assert_fault_noerr(cpu, x86_sysexit(cpu, 8), X86_UD);
	cpu->s.efer = 0;
	cpu->s.cr0 = 0;
	machine_real(cpu);
	assert_fault(cpu, x86_sysenter(cpu), X86_GP, 0);
}

static void test_swapgs(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	cpu->s.seg[X86_GS].base = 0x1111;
	cpu->s.kernel_gs_base = 0x2222;
	assert_ok(x86_swapgs(cpu));
	assert_int_equal(cpu->s.seg[X86_GS].base, 0x2222);
	assert_int_equal(cpu->s.kernel_gs_base, 0x1111);
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_swapgs(cpu), X86_GP, 0);
	machine_protected(cpu, 0);
	cpu->s.efer = 0;
	cpu->s.cr0 &= ~(u64)X86_CR0_PG;
	hyp_mode_update(cpu);
	assert_fault_noerr(cpu, x86_swapgs(cpu), X86_UD);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_syscall_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_syscall), T(test_syscall_compat), T(test_syscall_legacy_amd), T(test_sysret),
		T(test_sysret_32), T(test_sysret_canonical), T(test_sysenter), T(test_sysenter_faults),
		T(test_swapgs),
	};

	return cmocka_run_group_tests_name("syscall", tests, NULL, NULL);
}
