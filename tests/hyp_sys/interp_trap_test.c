/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_interp_one() where the differential tests cannot look:
 * traps and breakpoints, the fetch, state gates and privileges.
 */
#include "tests/hyp_sys/interp_fixture.h"

/* ---- traps and breakpoints ------------------------------------------------------------------- */

static void test_single_step(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xff, 0xc0); /* inc eax */
	cpu->s.rflags |= X86_FL_TF;
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DB);
	assert_int_equal(cpu->s.rip, CODE + 2);
	assert_int_equal(cpu->s.gpr[X86_RAX], 1);
	assert_int_equal(cpu->s.dr6 & 0x400f, 0x4000);
}

static void test_single_step_out(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xe6, 0x80);
	cpu->s.rflags |= X86_FL_TF;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(cpu->fault.type, X86_EVENT_EXCEPTION); /* after the exit */
	assert_int_equal(cpu->fault.vector, X86_DB);
}

/* INT clears TF and is not stepped over; POPF that clears it is. */
static void test_single_step_int(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xcd, 0x80);
	cpu->s.rflags |= X86_FL_TF;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rip, 0xffffffff80000000ull + HANDLER + 0x80 * 16);
	PUT(cpu, 0x6a, 0x02, 0x9d); /* push 2; popf */
	cpu->s.rflags &= ~(u64)X86_FL_TF;
	assert_ok(x86_interp_one(cpu));
	cpu->s.rflags |= X86_FL_TF;
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DB);
	assert_int_equal(cpu->s.rflags & X86_FL_TF, 0);
}

static void test_step_after_mov_ss(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0x8e, 0xd0, 0x90); /* mov ss, eax; nop */
	cpu->s.gpr[X86_RAX] = SEL_KDATA;
	cpu->s.rflags |= X86_FL_TF;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.shadow, X86_SHADOW_MOV_SS);
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DB);
	assert_int_equal(cpu->s.rip, CODE + 3);
	assert_int_equal(cpu->s.shadow, 0);
}

static void test_sti_shadow(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xfb, 0x90);
	cpu->s.rflags &= ~(u64)X86_FL_IF;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.shadow, X86_SHADOW_STI);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.shadow, 0);
}

static void test_code_breakpoint(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xff, 0xc0);
	cpu->s.dr[1] = CODE;
	cpu->s.dr7 = 0x400 | 4;
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DB);
	assert_int_equal(cpu->s.rip, CODE);
	assert_int_equal(cpu->s.dr6 & 15, 2);
	cpu->s.rflags |= X86_FL_RF;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rflags & X86_FL_RF, 0);
	assert_int_equal(cpu->s.gpr[X86_RAX], 1);
}

static void test_data_breakpoint(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	cpu->s.dr[0] = DATA + 4;
	cpu->s.dr7 = 0x400 | 1 | 1u << 16 | 3u << 18; /* write, 4 bytes */
	cpu->s.gpr[X86_RBX] = DATA + 7;
	PUT(cpu, 0x8a, 0x03); /* mov al, [rbx]: a read */
	assert_ok(x86_interp_one(cpu));
	PUT(cpu, 0x00, 0x03); /* add [rbx], al */
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DB);
	assert_int_equal(cpu->s.rip, CODE + 2);
	assert_int_equal(cpu->s.dr6 & 15, 1);
	cpu->s.gpr[X86_RBX] = DATA + 8;
	cpu->s.rip = CODE;
	assert_ok(x86_interp_one(cpu));
	cpu->s.gpr[X86_RSP] = DATA + 12;
	PUT(cpu, 0x50); /* push rax */
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DB);
	PUT(cpu, 0x58); /* pop rax: a read */
	assert_ok(x86_interp_one(cpu));
}

static void test_io_breakpoint(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	cpu->s.cr4 |= X86_CR4_DE;
	cpu->s.dr[3] = 0x80;
	cpu->s.dr7 = 0x400 | 0x40 | 2u << 28;
	PUT(cpu, 0xe6, 0x80);
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(cpu->fault.vector, X86_DB);
	assert_int_equal(cpu->s.dr6 & 15, 8);
}

/* ---- fetch ----------------------------------------------------------------------------------- */

static void test_fetch_page_end(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	cpu->s.rip = NOT_PRESENT - 2;
	memcpy(fake_ram + NOT_PRESENT - 2, (u8[]){ 0xff, 0xc0 }, 2);
	assert_ok(x86_interp_one(cpu)); /* ends with the page */
	cpu->s.rip = NOT_PRESENT - 2;
	memcpy(fake_ram + NOT_PRESENT - 2, (u8[]){ 0x83, 0xc0 }, 2);
	assert_fault(cpu, x86_interp_one(cpu), X86_PF, X86_PFEC_I * !!(cpu->s.efer & X86_EFER_NX));
	assert_int_equal(cpu->s.cr2, NOT_PRESENT);
	cpu->s.rip = NOT_PRESENT - 0x1002;
	memcpy(fake_ram + NOT_PRESENT - 0x1002, (u8[]){ 0x83, 0xc0, 0x05 }, 3);
	cpu->s.gpr[X86_RAX] = 1;
	assert_ok(x86_interp_one(cpu)); /* across two pages */
	assert_int_equal(cpu->s.gpr[X86_RAX], 6);
}

static void test_too_long(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	memset(fake_ram + CODE, 0x66, 14);
	fake_ram[CODE + 14] = 0x90;
	cpu->s.rip = CODE;
	assert_ok(x86_interp_one(cpu));
	memset(fake_ram + CODE, 0x66, 15);
	fake_ram[CODE + 15] = 0x90;
	cpu->s.rip = CODE;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
}

/* What MPX used is a NOP of its length, also where MPX would have found it invalid. */
static void test_wide_nop(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xf3, 0x0f, 0x1b, 0x7b, 0x5d); /* "bndmk bnd7, [rbx+0x5d]" */
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rip, CODE + 5);
	cpu->s.rip = CODE;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rip, CODE + 5);
	PUT(cpu, 0x06, 0x0f, 0x1b, 0x7b, 0x5d);
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_UD);
}

static void test_code_changes(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0x83, 0xc0, 0x05); /* add eax, 5 */
	assert_ok(x86_interp_one(cpu));
	PUT(cpu, 0x83, 0xe8, 0x02); /* sub eax, 2 */
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RAX], 3);
}

/* More different instructions than the pool has slots. */
static void test_pool_overflow(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 sum = 0;

	for (u32 i = 0; i < 80000; i++) {
		PUT(cpu, 0x05, i, i >> 8, i >> 16, i >> 24); /* add eax, i */
		assert_ok(x86_interp_one(cpu));
		sum += i;
		if (i % 16 == 0) { /* one that stays hot */
			PUT(cpu, 0xff, 0xc8);
			assert_ok(x86_interp_one(cpu));
			sum--;
		}
	}
	assert_int_equal(cpu->s.gpr[X86_RAX], sum);
}

/* ---- gates and privileges -------------------------------------------------------------------- */

static void test_gates(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	static const struct { u8 code[6]; u64 cr0, cr4_clear; u64 xcr0; int vector; } t[] = {
		{ { 0xd9, 0xe8 }, X86_CR0_TS, 0, 7, X86_NM },                  /* fld1 */
		{ { 0xd9, 0xe8 }, X86_CR0_EM, 0, 7, X86_NM },
		{ { 0xd9, 0xe8 }, X86_CR0_MP, 0, 7, -1 },
		{ { 0x9b }, X86_CR0_TS, 0, 7, -1 },                            /* fwait */
		{ { 0x9b }, X86_CR0_TS | X86_CR0_MP, 0, 7, X86_NM },
		{ { 0x9b }, X86_CR0_EM, 0, 7, -1 },
		{ { 0x0f, 0xef, 0xc1 }, X86_CR0_EM, 0, 7, X86_UD },            /* pxor mm */
		{ { 0x0f, 0xef, 0xc1 }, X86_CR0_TS, 0, 7, X86_NM },
		{ { 0x0f, 0xef, 0xc1 }, 0, X86_CR4_OSFXSR, 7, -1 },
		{ { 0x0f, 0x57, 0xc1 }, X86_CR0_EM, 0, 7, X86_UD },            /* xorps */
		{ { 0x0f, 0x57, 0xc1 }, 0, X86_CR4_OSFXSR, 7, X86_UD },
		{ { 0x0f, 0x57, 0xc1 }, X86_CR0_TS, 0, 7, X86_NM },
		{ { 0xf3, 0x0f, 0xb8, 0xc1 }, X86_CR0_TS | X86_CR0_EM, X86_CR4_OSFXSR, 1, -1 }, /* popcnt */
		{ { 0xc5, 0xf8, 0x57, 0xc1 }, 0, X86_CR4_OSXSAVE, 7, X86_UD }, /* vxorps */
		{ { 0xc5, 0xf8, 0x57, 0xc1 }, 0, 0, 3, X86_UD },
		{ { 0xc5, 0xf8, 0x57, 0xc1 }, X86_CR0_TS, 0, 7, X86_NM },
		{ { 0xc5, 0xf8, 0x57, 0xc1 }, X86_CR0_EM, 0, 7, -1 },
		{ { 0xc4, 0xe2, 0x78, 0xf2, 0xc1 }, X86_CR0_TS, X86_CR4_OSXSAVE, 1, -1 }, /* andn */
		{ { 0x62, 0xf1, 0x7c, 0x48, 0x57, 0xc1 }, 0, 0, 7, X86_UD },   /* vxorps zmm */
		{ { 0x0f, 0x01, 0xd0 }, 0, X86_CR4_OSXSAVE, 7, X86_UD },       /* xgetbv */
		{ { 0x0f, 0xae, 0x03 }, X86_CR0_TS, 0, 7, X86_NM },            /* fxsave */
		{ { 0x0f, 0x0b }, 0, 0, 7, X86_UD },                           /* ud2 */
		{ { 0x0f, 0x01, 0xc2 }, 0, 0, 7, X86_UD },                     /* vmlaunch */
		{ { 0x0f, 0x01, 0xee }, 0, 0, 7, X86_UD },                     /* rdpkru */
	};
	u64 cr0 = cpu->s.cr0, cr4 = cpu->s.cr4;

	interp_handle_signals();
	cpu->s.gpr[X86_RBX] = DATA;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		interp_put(cpu, t[i].code, 6);
		cpu->s.cr0 = cr0 | t[i].cr0;
		cpu->s.cr4 = cr4 & ~t[i].cr4_clear;
		cpu->s.xcr0 = t[i].xcr0;
		if (t[i].vector < 0)
			assert_ok(x86_interp_one(cpu));
		else
			assert_fault_noerr(cpu, x86_interp_one(cpu), t[i].vector);
	}
}

static void test_privilege(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	static const u8 code[][4] = {
		{ 0xf4 },             /* hlt */
		{ 0x0f, 0x30 },       /* wrmsr */
		{ 0x0f, 0x32 },       /* rdmsr */
		{ 0x0f, 0x06 },       /* clts */
		{ 0x0f, 0x09 },       /* wbinvd */
		{ 0x0f, 0x20, 0xc0 }, /* mov rax, cr0 */
		{ 0x0f, 0x21, 0xc0 }, /* mov rax, dr0 */
		{ 0x0f, 0x01, 0x13 }, /* lgdt [rbx] */
		{ 0x0f, 0x01, 0x3b }, /* invlpg [rbx] */
		{ 0x0f, 0x01, 0xd1 }, /* xsetbv */
		{ 0x0f, 0x33 },       /* rdpmc */
		{ 0x0f, 0x01, 0x03 }, /* sgdt [rbx], UMIP */
		{ 0x0f, 0x00, 0xc0 }, /* sldt eax, UMIP */
		{ 0x0f, 0x01, 0xe0 }, /* smsw eax, UMIP */
		{ 0x0f, 0x31 },       /* rdtsc, TSD */
		{ 0xfa },             /* cli */
	};

	machine_long(cpu, 3);
	ram64_set(PT0 + (CODE >> 12) * 8, CODE | 7);
	cpu->s.cr4 |= X86_CR4_UMIP | X86_CR4_TSD | X86_CR4_OSXSAVE;
	cpu->s.gpr[X86_RBX] = DATA;
	for (unsigned i = 0; i < ARRAY_SIZE(code); i++) {
		interp_put(cpu, code[i], 4);
		assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
		assert_int_equal(cpu->s.rip, CODE);
	}
}

static void test_exits_at_instruction(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	static const struct { u8 code[4], len; enum hyp_exit reason; } t[] = {
		{ { 0x0f, 0xa2 }, 2, HYP_EXIT_CPUID },
		{ { 0x66, 0x0f, 0xa2 }, 3, HYP_EXIT_CPUID },
		{ { 0x0f, 0x32 }, 2, HYP_EXIT_RDMSR },
		{ { 0x0f, 0x30 }, 2, HYP_EXIT_WRMSR },
		{ { 0xf4 }, 1, HYP_EXIT_HLT },
		{ { 0x0f, 0x01, 0xc1 }, 3, HYP_EXIT_HYPERCALL },
		{ { 0x0f, 0x01, 0xd9 }, 3, HYP_EXIT_HYPERCALL },
		{ { 0x0f, 0x01, 0xd1 }, 3, HYP_EXIT_XSETBV },
		{ { 0x0f, 0x01, 0xc9 }, 3, HYP_EXIT_MWAIT },
		{ { 0x0f, 0x33 }, 2, HYP_EXIT_RDPMC },
		{ { 0x0f, 0x09 }, 2, HYP_EXIT_INVD },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		interp_put(cpu, t[i].code, 4);
		assert_int_equal(x86_interp_one(cpu), X86_EXIT);
		assert_int_equal(cpu->s.exit.reason, t[i].reason);
		assert_int_equal(cpu->s.exit.insn_len, t[i].len);
		assert_int_equal(cpu->s.rip, CODE);
	}
}

int run_interp_trap_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(single_step), T(single_step_int), T(single_step_out), T(step_after_mov_ss),
		T(sti_shadow), T(code_breakpoint), T(data_breakpoint), T(io_breakpoint), T(fetch_page_end),
		T(too_long), T(code_changes), T(wide_nop), T(pool_overflow), T(gates), T(privilege),
		T(exits_at_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
