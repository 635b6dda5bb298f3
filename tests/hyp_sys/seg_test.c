/* SPDX-License-Identifier: Apache-2.0 */
/* Loading segment registers, LDTR and TR; LAR LSL VERR VERW. */
#include "tests/hyp_sys/fake.h"

static void test_real(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_real(cpu);
	cpu->s.seg[X86_DS].limit = 0xffffffff; /* unreal mode survives a load */
	assert_ok(x86_load_seg(cpu, X86_DS, 0xb800));
	assert_int_equal(cpu->s.seg[X86_DS].base, 0xb8000);
	assert_int_equal(cpu->s.seg[X86_DS].sel, 0xb800);
	assert_int_equal(cpu->s.seg[X86_DS].limit, 0xffffffff);
	cpu->s.seg[X86_ES] = (struct x86_seg){ .ar = X86_AR_UNUSABLE }; /* null from protected mode */
	assert_ok(x86_load_seg(cpu, X86_ES, 0x1000));
	assert_int_equal(cpu->s.seg[X86_ES].limit, 0xffff);
	assert_int_equal(cpu->s.seg[X86_ES].ar, 0x93);
}

static void test_vm86(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_protected(cpu, 3);
	cpu->s.rflags |= X86_FL_VM;
	hyp_mode_update(cpu);
	assert_int_equal(cpu->mode, HYP_MODE_VM86);
	assert_ok(x86_load_seg(cpu, X86_ES, 0x1234));
	assert_int_equal(cpu->s.seg[X86_ES].base, 0x12340);
	assert_int_equal(cpu->s.seg[X86_ES].limit, 0xffff);
	assert_int_equal(cpu->s.seg[X86_ES].ar, 0xf3);
}

static void test_data(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_seg *fs = &cpu->s.seg[X86_FS];

	machine_long(cpu, 0);
	ram64_set(GDT + SEL_FREE, 0x1240921234560fffull);
	assert_ok(x86_load_seg(cpu, X86_FS, SEL_FREE));
	assert_int_equal(fs->base, 0x12123456);
	assert_int_equal(fs->limit, 0xfff);
	assert_int_equal(fs->ar, 0x4093);
	assert_int_equal(fs->sel, SEL_FREE);
	assert_int_equal(ram64(GDT + SEL_FREE), 0x1240931234560fffull); /* accessed bit in memory */
	ram64_set(GDT + SEL_FREE, 0x12c0921234560fffull);
	assert_ok(x86_load_seg(cpu, X86_FS, SEL_FREE));
	assert_int_equal(fs->limit, 0xffffff); /* granularity */
}

static void test_data_faults(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_seg was;

	machine_long(cpu, 0);
	was = cpu->s.seg[X86_DS];
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, SEL_ABSENT_DATA), X86_NP, SEL_ABSENT_DATA);
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, SEL_XO_CODE), X86_GP, SEL_XO_CODE);
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, SEL_TSS), X86_GP, SEL_TSS);
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, SEL_KDATA | 3), X86_GP, SEL_KDATA); /* RPL > DPL */
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, GDT_LIMIT + 1), X86_GP, GDT_LIMIT + 1);
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, 0x0c), X86_GP, 0x0c); /* no LDT */
	assert_fault_noerr(cpu, x86_load_seg(cpu, X86_CS, SEL_K64), X86_UD);
	assert_memory_equal(&cpu->s.seg[X86_DS], &was, sizeof(was));
	assert_ok(x86_load_seg(cpu, X86_DS, SEL_RO_DATA));
	assert_ok(x86_load_seg(cpu, X86_DS, SEL_CONFORMING | 3));
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, SEL_KDATA), X86_GP, SEL_KDATA); /* CPL > DPL */
	assert_ok(x86_load_seg(cpu, X86_DS, SEL_UDATA));
}

static void test_gdt_page_fault(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 3);
	cpu->s.gdtr.base = NOT_PRESENT;
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, SEL_UDATA), X86_PF, 0); /* a supervisor read */
	assert_int_equal(cpu->s.cr2, NOT_PRESENT + (SEL_UDATA & ~7));
}

static void test_ss(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	assert_ok(x86_load_seg(cpu, X86_SS, SEL_KDATA));
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, SEL_ABSENT_DATA), X86_SS_VEC, SEL_ABSENT_DATA);
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, SEL_RO_DATA), X86_GP, SEL_RO_DATA);
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, SEL_UDATA), X86_GP, SEL_UDATA & ~3);
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, SEL_KDATA | 3), X86_GP, SEL_KDATA);
	assert_ok(x86_load_seg(cpu, X86_SS, 0)); /* null is allowed in 64-bit mode below CPL 3 */
	assert_true(cpu->s.seg[X86_SS].ar & X86_AR_UNUSABLE);
	assert_int_equal(x86_cpl(&cpu->s), 0);
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, 3), X86_GP, 0);
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, 3), X86_GP, 0);
	machine_protected(cpu, 0);
	assert_fault(cpu, x86_load_seg(cpu, X86_SS, 0), X86_GP, 0);
}

static void test_null_data(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 3);
	cpu->s.seg[X86_GS].base = 0x1234;
	assert_ok(x86_load_seg(cpu, X86_GS, 0));
	assert_true(cpu->s.seg[X86_GS].ar & X86_AR_UNUSABLE);
	assert_int_equal(cpu->s.seg[X86_GS].base, 0);
	assert_ok(x86_load_seg(cpu, X86_DS, 3));
	assert_int_equal(cpu->s.seg[X86_DS].sel, 3);
}

static void test_flat(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_protected(cpu, 0);
	assert_true(cpu->flat);
	assert_ok(x86_load_seg(cpu, X86_DS, SEL_RO_DATA));
	assert_false(cpu->flat);
	assert_ok(x86_load_seg(cpu, X86_DS, SEL_KDATA));
	assert_true(cpu->flat);
	assert_ok(x86_load_seg(cpu, X86_ES, 0));
	assert_false(cpu->flat);
	machine_long(cpu, 0);
	assert_true(cpu->flat);
	machine_real(cpu);
	cpu->s.cr0 &= ~(u64)X86_CR0_PE;
	cpu->s.efer = 0;
	hyp_mode_update(cpu);
	assert_false(cpu->flat);
}

static void test_ldt(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	ram64_set(GDT + SEL_LDT + 8, 0xffffffff);
	ram64_set(LDT + 8, DESC_DATA(3));
	assert_ok(x86_lldt(cpu, SEL_LDT));
	assert_int_equal(cpu->s.seg[X86_LDTR].base, 0xffffffff00000000ull | LDT);
	ram64_set(GDT + SEL_LDT + 8, 0);
	assert_ok(x86_lldt(cpu, SEL_LDT));
	assert_int_equal(cpu->s.seg[X86_LDTR].limit, 0x1f);
	assert_ok(x86_load_seg(cpu, X86_DS, 0x0f));
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, 0x27), X86_GP, 0x24); /* beyond the limit */
	assert_ok(x86_lldt(cpu, 0));
	assert_fault(cpu, x86_load_seg(cpu, X86_DS, 0x0f), X86_GP, 0x0c);
	assert_fault(cpu, x86_lldt(cpu, SEL_KDATA), X86_GP, SEL_KDATA);
	assert_fault(cpu, x86_lldt(cpu, 0x0c), X86_GP, 0x0c);
	ram64_set(GDT + SEL_LDT + 8, 0x8000); /* non-canonical base */
	assert_fault(cpu, x86_lldt(cpu, SEL_LDT), X86_GP, SEL_LDT);
	set_cpl(cpu, 3);
	assert_fault(cpu, x86_lldt(cpu, 0), X86_GP, 0);
}

static void test_ltr(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	cpu->s.seg[X86_TR].ar = 0;
	assert_ok(x86_ltr(cpu, SEL_TSS));
	assert_int_equal(cpu->s.seg[X86_TR].base, TSS);
	assert_int_equal(cpu->s.seg[X86_TR].ar, 0x8b);
	assert_int_equal(ram64(GDT + SEL_TSS) >> 40 & 0xff, 0x8b); /* busy in memory */
	assert_fault(cpu, x86_ltr(cpu, SEL_TSS), X86_GP, SEL_TSS);  /* busy */
	assert_fault(cpu, x86_ltr(cpu, 0), X86_GP, 0);
	ram64_set(GDT + SEL_TSS, 0x0000090000000067ull);
	assert_fault(cpu, x86_ltr(cpu, SEL_TSS), X86_NP, SEL_TSS);
	machine_real(cpu);
	cpu->s.cr0 = 0;
	cpu->s.efer = 0;
	hyp_mode_update(cpu);
	assert_fault_noerr(cpu, x86_ltr(cpu, SEL_TSS), X86_UD);
}

static void test_queries(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 v = 0;
	bool ok;

	machine_long(cpu, 3);
	assert_ok(x86_lsl(cpu, SEL_UDATA, &v, &ok));
	assert_true(ok);
	assert_int_equal(v, 0xffffffff);
	assert_ok(x86_lar(cpu, SEL_U64, &v, &ok));
	assert_true(ok);
	assert_int_equal(v, 0x00affb00);
	v = 0x55;
	assert_ok(x86_lar(cpu, SEL_KDATA, &v, &ok)); /* DPL 0 is invisible to CPL 3 */
	assert_false(ok);
	assert_int_equal(v, 0x55);
	assert_ok(x86_lar(cpu, SEL_CONFORMING, &v, &ok));
	assert_true(ok);
	assert_ok(x86_lsl(cpu, 0, &v, &ok));
	assert_false(ok);
	assert_ok(x86_lsl(cpu, GDT_LIMIT + 1, &v, &ok));
	assert_false(ok);
	assert_ok(x86_verr(cpu, SEL_UDATA, true, &ok));
	assert_true(ok);
	assert_ok(x86_verr(cpu, SEL_U64, true, &ok));
	assert_false(ok);
	assert_ok(x86_verr(cpu, SEL_U64, false, &ok));
	assert_true(ok);
	set_cpl(cpu, 0);
	assert_ok(x86_verr(cpu, SEL_XO_CODE, false, &ok));
	assert_false(ok);
	assert_ok(x86_lsl(cpu, SEL_TSS, &v, &ok));
	assert_true(ok);
	assert_int_equal(v, 0x67);
	ram64_set(GDT + SEL_GATE, 0x00008c0000080000ull); /* a call gate has rights but no limit */
	assert_ok(x86_lsl(cpu, SEL_GATE, &v, &ok));
	assert_false(ok);
	assert_ok(x86_lar(cpu, SEL_GATE, &v, &ok));
	assert_true(ok);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_seg_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_real), T(test_vm86), T(test_data), T(test_data_faults), T(test_gdt_page_fault),
		T(test_ss),
		T(test_null_data), T(test_flat), T(test_ldt), T(test_ltr), T(test_queries),
	};

	return cmocka_run_group_tests_name("seg", tests, NULL, NULL);
}
