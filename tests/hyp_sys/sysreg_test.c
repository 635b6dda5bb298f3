/* SPDX-License-Identifier: Apache-2.0 */
/* RFLAGS, control and debug registers, TLB instructions, reset. */
#include "tests/hyp_sys/fake.h"

static void pop_flags(struct hyp_cpu *cpu, u64 img, unsigned opsize)
{
	assert_ok(x86_push(cpu, img, opsize));
	assert_ok(x86_popf(cpu, opsize));
}

static void test_popf(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	s->rflags = 2;
	s->want_irq_window = true;
	pop_flags(cpu, ~0ull, 8);
	assert_int_equal(x86_get_rflags(cpu), 0x247fd7); /* all but RF, VM, VIF, VIP */
	assert_true(cpu->attention & HYP_ATTN_IRQ_WINDOW);
	assert_int_equal(cpu->df, X86_FL_DF);
	pop_flags(cpu, 0, 2);
	assert_int_equal(x86_get_rflags(cpu), 2 | X86_FL_AC | X86_FL_ID); /* upper half kept */
	set_cpl(cpu, 3);
	s->rflags = 0x202;
	pop_flags(cpu, X86_FL_IOPL | X86_FL_CF, 8);
	assert_int_equal(s->rflags, 0x202 | X86_FL_CF); /* neither IF nor IOPL, silently */
	s->rflags = 0x202 | X86_FL_IOPL;
	pop_flags(cpu, 0, 8);
	assert_int_equal(s->rflags, 2 | X86_FL_IOPL); /* CPL <= IOPL: IF */
}

static void test_popf_ac_mode(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	cpu->s.cr4 |= X86_CR4_SMAP;
	hyp_mode_update(cpu);
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL);
	pop_flags(cpu, 2 | X86_FL_AC, 8);
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL_AC);
	assert_ok(x86_stac_clac(cpu, false));
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL);
	assert_ok(x86_stac_clac(cpu, true));
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL_AC);
	cpu->s.cr4_valid &= ~(u64)X86_CR4_SMAP;
	assert_fault_noerr(cpu, x86_stac_clac(cpu, true), X86_UD);
}

static void test_pushf(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	cpu->s.rflags = 0x202 | X86_FL_RF;
	cpu->df = X86_FL_DF;
	assert_ok(x86_pushf(cpu, 8));
	assert_int_equal(ram64(cpu->s.gpr[X86_RSP]), 0x202 | X86_FL_DF);
}

static void test_cli_sti(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	assert_ok(x86_cli(cpu));
	assert_int_equal(s->rflags & X86_FL_IF, 0);
	assert_int_equal(cpu->attention, 0);
	s->want_irq_window = true;
	assert_ok(x86_sti(cpu));
	assert_int_equal(s->shadow, X86_SHADOW_STI);
	assert_true(cpu->attention & HYP_ATTN_IRQ_WINDOW);
	s->shadow = 0;
	assert_ok(x86_sti(cpu));
	assert_int_equal(s->shadow, 0); /* only where IF rises */
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_cli(cpu), X86_GP, 0);
	assert_fault(cpu, x86_sti(cpu), X86_GP, 0);
	s->cr4 |= X86_CR4_PVI;
	assert_ok(x86_sti(cpu));
	assert_true(s->rflags & X86_FL_VIF);
	s->rflags |= X86_FL_VIP;
	assert_fault(cpu, x86_sti(cpu), X86_GP, 0);
	s->cr4 = 0;
	s->rflags |= X86_FL_IOPL;
	assert_ok(x86_cli(cpu));
}

static void test_cr0(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, 1ull << 32), X86_GP, 0);
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, s->cr0 | X86_CR0_NW), X86_GP, 0);
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, X86_CR0_PG), X86_GP, 0);
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, X86_CR0_PE), X86_GP, 0); /* paging off in 64-bit mode */
	assert_int_equal(fake.flush_all, 0);
	assert_ok(x86_mov_to_cr(cpu, 0, (s->cr0 & ~(u64)(X86_CR0_ET)) | X86_CR0_TS));
	assert_true(s->cr0 & X86_CR0_ET);
	assert_int_equal(fake.flush_all, 0);
	assert_ok(x86_clts(cpu));
	assert_false(s->cr0 & X86_CR0_TS);
	assert_ok(x86_mov_to_cr(cpu, 0, s->cr0 & ~(u64)X86_CR0_WP));
	assert_int_equal(fake.flush_all, 1);
	assert_ok(x86_lmsw(cpu, X86_CR0_TS)); /* cannot clear PE */
	assert_true(s->cr0 & X86_CR0_PE);
	assert_true(s->cr0 & X86_CR0_TS);
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, s->cr0), X86_GP, 0);
	assert_fault(cpu, x86_clts(cpu), X86_GP, 0);
	assert_fault(cpu, x86_lmsw(cpu, 0), X86_GP, 0);
}

/* The boot path of every 64-bit kernel, and its reverse. */
static void test_long_mode_switch(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_protected(cpu, 0);
	s->efer = X86_EFER_LME;
	s->cr3 = PML4;
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, s->cr0 | X86_CR0_PG), X86_GP, 0); /* needs PAE */
	assert_false(s->efer & X86_EFER_LMA);
	assert_ok(x86_mov_to_cr(cpu, 4, X86_CR4_PAE));
	s->seg[X86_CS].ar |= X86_AR_L;
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, s->cr0 | X86_CR0_PG), X86_GP, 0);
	s->seg[X86_CS].ar &= ~X86_AR_L;
	assert_ok(x86_mov_to_cr(cpu, 0, s->cr0 | X86_CR0_PG));
	assert_true(s->efer & X86_EFER_LMA);
	assert_int_equal(cpu->mode, HYP_MODE_COMPAT);
	assert_int_equal(cpu->code_size, 32);
	assert_fault(cpu, x86_mov_to_cr(cpu, 4, 0), X86_GP, 0); /* PAE stays while LMA */
	assert_fault(cpu, x86_mov_to_cr(cpu, 4, X86_CR4_PAE | X86_CR4_LA57), X86_GP, 0);
	assert_ok(x86_mov_to_cr(cpu, 0, s->cr0 & ~(u64)X86_CR0_PG));
	assert_false(s->efer & X86_EFER_LMA);
	assert_true(s->efer & X86_EFER_LME);
	assert_int_equal(cpu->mode, HYP_MODE_PROT);
}

static void test_pae_pdptes(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_protected(cpu, 0);
	s->efer = 0;
	s->cr4 = X86_CR4_PAE;
	s->cr3 = PDPT;
	ram64_set(PDPT + 16, PD | 3); /* R/W is reserved in a PDPTE */
	assert_fault(cpu, x86_mov_to_cr(cpu, 0, s->cr0 | X86_CR0_PG), X86_GP, 0);
	ram64_set(PDPT + 16, PD | 2); /* not present: anything goes */
	assert_ok(x86_mov_to_cr(cpu, 0, s->cr0 | X86_CR0_PG));
	ram64_set(0x5000, PD | 1 | 1ull << 46);
	assert_fault(cpu, x86_mov_to_cr(cpu, 3, 0x5000), X86_GP, 0);
	assert_int_equal(s->cr3, PDPT);
	ram64_set(0x5000, PD | 1);
	assert_ok(x86_mov_to_cr(cpu, 3, 0x5000));
}

static void test_cr3(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;
	u64 v;

	machine_long(cpu, 0);
	assert_fault(cpu, x86_mov_to_cr(cpu, 3, 1ull << 46), X86_GP, 0);
	assert_fault(cpu, x86_mov_to_cr(cpu, 3, 1ull << 63 | PML4), X86_GP, 0); /* without PCIDE */
	assert_ok(x86_mov_to_cr(cpu, 3, PML4));
	assert_int_equal(fake.flush_nonglobal, 1);
	assert_fault(cpu, x86_mov_to_cr(cpu, 4, s->cr4 | X86_CR4_PCIDE | 1ull << 40), X86_GP, 0);
	s->cr3 = PML4 | 1;
	assert_fault(cpu, x86_mov_to_cr(cpu, 4, s->cr4 | X86_CR4_PCIDE), X86_GP, 0); /* PCID must be 0 */
	s->cr3 = PML4;
	assert_ok(x86_mov_to_cr(cpu, 4, s->cr4 | X86_CR4_PCIDE));
	assert_ok(x86_mov_to_cr(cpu, 3, 1ull << 63 | PML4));
	assert_int_equal(s->cr3, PML4);
	assert_int_equal(fake.flush_nonglobal, 1); /* kept: nothing changed */
	assert_ok(x86_mov_to_cr(cpu, 3, 1ull << 63 | PML4 | 5));
	assert_int_equal(s->cr3, PML4 | 5);
	assert_int_equal(fake.flush_nonglobal, 2);
	assert_ok(x86_mov_from_cr(cpu, 3, &v));
	assert_int_equal(v, PML4 | 5);
}

static void test_cr4(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	s->cr4_valid &= ~(u64)X86_CR4_UMIP;
	assert_fault(cpu, x86_mov_to_cr(cpu, 4, s->cr4 | X86_CR4_UMIP), X86_GP, 0);
	assert_ok(x86_mov_to_cr(cpu, 4, s->cr4 | X86_CR4_OSXSAVE));
	assert_int_equal(fake.flush_all, 0);
	assert_ok(x86_mov_to_cr(cpu, 4, s->cr4 ^ X86_CR4_PGE));
	assert_int_equal(fake.flush_all, 1);
	s->rflags |= X86_FL_AC;
	assert_ok(x86_mov_to_cr(cpu, 4, s->cr4 | X86_CR4_SMAP));
	assert_int_equal(cpu->tlb_part, HYP_TLB_KERNEL_AC);
}

static void test_cr_other(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u64 v;

	machine_long(cpu, 0);
	assert_fault_noerr(cpu, x86_mov_to_cr(cpu, 1, 0), X86_UD);
	assert_fault_noerr(cpu, x86_mov_from_cr(cpu, 5, &v), X86_UD);
	assert_ok(x86_mov_to_cr(cpu, 2, ~0ull));
	assert_int_equal(cpu->s.cr2, ~0ull);
	assert_fault(cpu, x86_mov_to_cr(cpu, 8, 0x10), X86_GP, 0);
	assert_int_equal(x86_mov_to_cr(cpu, 8, 5), X86_EXIT);
	assert_int_equal(cpu->s.exit.reason, HYP_EXIT_CR8);
	assert_int_equal(cpu->s.cr8, 5);
	assert_ok(x86_mov_from_cr(cpu, 8, &v));
	assert_int_equal(v, 5);
}

static void test_dr(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;
	u64 v;

	machine_long(cpu, 0);
	assert_ok(x86_mov_to_dr(cpu, 0, 0xffffffff81000000ull));
	assert_int_equal(s->dr[0], 0xffffffff81000000ull);
	assert_ok(x86_mov_to_dr(cpu, 6, 0));
	assert_int_equal(s->dr6, 0xffff0ff0);
	assert_ok(x86_mov_to_dr(cpu, 5, 0xffffffff)); /* alias of DR7 */
	assert_int_equal(s->dr7, 0xffff27ff);
	s->dr7 = 0x400;
	assert_fault(cpu, x86_mov_to_dr(cpu, 7, 1ull << 32), X86_GP, 0);
	s->cr4 |= X86_CR4_DE;
	assert_fault_noerr(cpu, x86_mov_from_dr(cpu, 4, &v), X86_UD);
	s->dr7 = 0x2400; /* GD */
	assert_fault_noerr(cpu, x86_mov_from_dr(cpu, 0, &v), X86_DB);
	assert_true(s->dr6 & 0x2000);
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_mov_from_dr(cpu, 0, &v), X86_GP, 0);
}

static void test_invlpg_invpcid(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	machine_long(cpu, 0);
	assert_ok(x86_invlpg(cpu, 0x1234));
	assert_int_equal(fake.flushed, 0x1234);
	assert_ok(x86_invlpg(cpu, 0x800000000000ull)); /* non-canonical: nothing */
	assert_int_equal(fake.flush_page, 1);
	assert_fault(cpu, x86_invpcid(cpu, 4, 0, 0), X86_GP, 0);
	assert_fault(cpu, x86_invpcid(cpu, 1, 0x1000, 0), X86_GP, 0);
	assert_fault(cpu, x86_invpcid(cpu, 0, 1, 0), X86_GP, 0); /* PCIDE is off */
	assert_fault(cpu, x86_invpcid(cpu, 0, 0, 0x800000000000ull), X86_GP, 0);
	assert_ok(x86_invpcid(cpu, 0, 0, 0x5000));
	assert_int_equal(fake.flushed, 0x5000);
	s->cr4 |= X86_CR4_PCIDE;
	s->cr3 = PML4 | 7;
	assert_ok(x86_invpcid(cpu, 1, 7, 0));
	assert_int_equal(fake.flush_nonglobal, 1);
	assert_ok(x86_invpcid(cpu, 3, 0, 0));
	assert_int_equal(fake.flush_nonglobal, 2);
	assert_ok(x86_invpcid(cpu, 2, 0, 0));
	assert_int_equal(fake.flush_all, 1);
	s->has_invpcid = false;
	assert_fault_noerr(cpu, x86_invpcid(cpu, 2, 0, 0), X86_UD);
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_invlpg(cpu, 0), X86_GP, 0);
}

static void test_reset(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_state *s = &cpu->s;

	assert_int_equal(s->cr0, 0x60000010);
	assert_int_equal(s->seg[X86_CS].base + s->rip, 0xfffffff0);
	assert_int_equal(cpu->mode, HYP_MODE_REAL);
	assert_int_equal(cpu->code_size, 16);
	assert_int_equal(s->rflags, 2);
	assert_int_equal(s->xsave[0] | s->xsave[1] << 8, 0x37f);
	machine_long(cpu, 3);
	s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_CD;
	s->lstar = 0x1234;
	s->xsave[100] = 1;
	s->nmi_blocked = true;
	hyp_x86_reset(cpu, true);
	assert_int_equal(s->cr0, X86_CR0_ET | X86_CR0_CD); /* INIT keeps CD and NW, MSRs, FPU */
	assert_int_equal(s->lstar, 0x1234);
	assert_int_equal(s->xsave[100], 1);
	assert_int_equal(s->efer, 0);
	assert_false(s->nmi_blocked);
	assert_int_equal(cpu->mode, HYP_MODE_REAL);
	assert_int_equal(x86_cpl(s), 0);
	hyp_x86_reset(cpu, false);
	assert_int_equal(s->lstar, 0);
	assert_int_equal(s->xsave[100], 0);
	assert_int_equal(fake.state_changed, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_sysreg_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_popf), T(test_popf_ac_mode), T(test_pushf), T(test_cli_sti), T(test_cr0),
		T(test_long_mode_switch), T(test_pae_pdptes), T(test_cr3), T(test_cr4), T(test_cr_other),
		T(test_dr), T(test_invlpg_invpcid), T(test_reset),
	};

	return cmocka_run_group_tests_name("sysreg", tests, NULL, NULL);
}
