/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_interp_one() where the differential tests cannot look:
 * XSAVE formats; real mode, stacks and selectors.
 */
#include <stdlib.h>

#include "tests/hyp_sys/interp_fixture.h"

/* ---- XSAVE formats --------------------------------------------------------------------------- */

/* What the host writes for the CPU's state, into a zeroed area. */
static void host_save(struct hyp_cpu *cpu, u8 *area, bool compact)
{
	u8 own[4096] __attribute__((aligned(64)));
	u32 lo = 7;

	memset(own, 0, sizeof(own));
	memset(area, 0, 4096);
	asm volatile("xsave64 %0" : "+m"(own) : "a"(lo), "d"(0) : "memory");
	asm volatile("xrstor64 %0" : : "m"(cpu->s.xsave), "a"(lo), "d"(0) : "memory");
	if (compact)
		asm volatile("xsavec64 %0" : "+m"(*(u8(*)[4096])area) : "a"(lo), "d"(0) : "memory");
	else
		asm volatile("xsave64 %0" : "+m"(*(u8(*)[4096])area) : "a"(lo), "d"(0) : "memory");
	asm volatile("xrstor64 %0" : : "m"(own), "a"(lo), "d"(0) : "memory");
}

static void random_components(struct hyp_cpu *cpu, u64 bv)
{
	for (unsigned i = 32; i < 416; i++)
		cpu->s.xsave[i] = i < 160 && i % 16 >= 10 ? 0 : rand();
	cpu->s.xsave[4] = 0x81; /* not the initial x87 state, which CPUs may recognise */
	for (unsigned i = 576; i < 832; i++)
		cpu->s.xsave[i] = rand();
	memcpy(cpu->s.xsave + 512, &bv, 8);
}

static void test_xsave_formats(void **state)
{
	static u8 want[4096] __attribute__((aligned(64)));
	struct hyp_cpu *cpu = cpu_of(state);

	cpu->s.gpr[X86_RBX] = DATA;
	cpu->s.gpr[X86_RAX] = 7;
	cpu->s.gpr[X86_RDX] = 0;
	for (u64 bv = 0; bv < 8; bv++) {
		random_components(cpu, bv);
		host_save(cpu, want, false);
		memset(fake_ram + DATA, 0, 4096);
		PUT(cpu, 0x48, 0x0f, 0xae, 0x23); /* xsave64 [rbx] */
		assert_ok(x86_interp_one(cpu));
		assert_memory_equal(fake_ram + DATA + 32, want + 32, 2048);
		host_save(cpu, want, true);
		memset(fake_ram + DATA, 0, 4096);
		PUT(cpu, 0x48, 0x0f, 0xc7, 0x23); /* xsavec64 [rbx] */
		assert_ok(x86_interp_one(cpu));
		assert_memory_equal(fake_ram + DATA, want, 4096);
	}
}

static void test_xrstor_formats(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u8 before[832], after[832];

	cpu->s.gpr[X86_RBX] = DATA;
	for (unsigned i = 0; i < 8; i++) {
		cpu->s.gpr[X86_RAX] = 7;
		random_components(cpu, i);
		x86_vec_get(cpu, 5, before, 32);
		PUT(cpu, 0x48, 0x0f, 0xc7, 0x23); /* xsavec64 [rbx] */
		assert_ok(x86_interp_one(cpu));
		random_components(cpu, 7);
		PUT(cpu, 0x48, 0x0f, 0xae, 0x2b); /* xrstor64 [rbx] */
		assert_ok(x86_interp_one(cpu));
		x86_vec_get(cpu, 5, after, 32);
		assert_memory_equal(before, after, 32);
	}
	ram64_set(DATA + 512, 0x200); /* a component that XCR0 does not have */
	cpu->s.rip = CODE;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
	ram64_set(DATA + 512, 0);
	ram64_set(DATA + 520, 0);
	ram64_set(DATA + 24, 0xffffffff); /* MXCSR */
	cpu->s.rip = CODE;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
	cpu->s.gpr[X86_RBX] = DATA + 32;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0); /* misaligned */
}

static void test_fxsave_pages(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u8 v[16], w[16];

	memset(v, 0x42, 16);
	x86_vec_set(cpu, 15, v, 16);
	cpu->s.gpr[X86_RBX] = NOT_PRESENT - 0x100;
	PUT(cpu, 0x48, 0x0f, 0xae, 0x03);
	assert_fault(cpu, x86_interp_one(cpu), X86_PF, X86_PFEC_W);
	assert_int_equal(cpu->s.cr2, NOT_PRESENT);
	cpu->s.gpr[X86_RBX] = DATA + 0xf00;
	memset(fake_ram + DATA + 0xf00 + 464, 0xcc, 48);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(fake_ram[DATA + 0xf00 + 464], 0xcc); /* software's bytes */
	memset(w, 0, 16);
	x86_vec_set(cpu, 15, w, 16);
	PUT(cpu, 0x48, 0x0f, 0xae, 0x0b);
	assert_ok(x86_interp_one(cpu));
	x86_vec_get(cpu, 15, w, 16);
	assert_memory_equal(v, w, 16);
}

/* ---- modes ----------------------------------------------------------------------------------- */

static void test_real_mode(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	hyp_x86_reset(cpu, false);
	machine_real(cpu);
	memcpy(fake_ram + 0x10100, (u8[]){ 0x01, 0x47, 0x02, 0x66, 0x40, 0xe2, 0xf9 }, 7);
	/* add [bx+2], ax; inc eax; loop -7 */
	cpu->s.seg[X86_DS].base = 0x30000;
	cpu->s.gpr[X86_RBX] = 0x5ff00;
	cpu->s.gpr[X86_RAX] = 0x1ffff;
	cpu->s.gpr[X86_RCX] = 0x50002;
	for (unsigned i = 0; i < 6; i++)
		assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rip, 0x107);
	assert_int_equal(cpu->s.gpr[X86_RCX], 0x50000);
	assert_int_equal(cpu->s.gpr[X86_RAX], 0x20001);
	assert_int_equal(ram64(0x3ff02) & 0xffff, 0xffff);
}

static void test_real_mode_int(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	hyp_x86_reset(cpu, false);
	machine_real(cpu);
	ram32_set(0x10 * 4, 0xf0001234);
	memcpy(fake_ram + 0x10100, (u8[]){ 0xcd, 0x10 }, 2);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.seg[X86_CS].sel, 0xf000);
	assert_int_equal(cpu->s.rip, 0x1234);
	assert_int_equal(ram64(0x20000 + 0xffa) & 0xffffffff, 0x10000102);
}

/* INT n faults with rip at it; the saved rip of a delivered one is after it. */
static void test_int_n(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 3);
	ram64_set(PT0 + (CODE >> 12) * 8, CODE | 7);
	PUT(cpu, 0xcd, 0x80);
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0x80 * 8 + 2);
	assert_int_equal(cpu->s.rip, CODE);
	set_gate64(0x80, SEL_K64, 0xffffffff80000000ull + HANDLER, 0xee, 0);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rip, 0xffffffff80000000ull + HANDLER);
	assert_int_equal(ram64(STACK0 - 40), CODE + 2);
}

static void test_pop_rsp_relative(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	cpu->s.gpr[X86_RSP] = DATA;
	ram64_set(DATA, 0x1234);
	PUT(cpu, 0x8f, 0x44, 0x24, 0x10); /* pop [rsp+0x10]: with the incremented rsp */
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(DATA + 0x18), 0x1234);
	assert_int_equal(cpu->s.gpr[X86_RSP], DATA + 8);
	PUT(cpu, 0x54); /* push rsp: the old value */
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(DATA), DATA + 8);
	PUT(cpu, 0x5c); /* pop rsp */
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RSP], DATA + 8);
}

static void test_cmpxchg16b(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	interp_handle_signals();
	PUT(cpu, 0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x24); /* lock cmpxchg16b [rsp] */
	cpu->s.gpr[X86_RSP] = DATA;
	ram64_set(DATA, 1);
	ram64_set(DATA + 8, 2);
	cpu->s.gpr[X86_RAX] = 1;
	cpu->s.gpr[X86_RDX] = 2;
	cpu->s.gpr[X86_RBX] = 3;
	cpu->s.gpr[X86_RCX] = 4;
	cpu->s.gpr[X86_RSI] = 0x51;
	cpu->s.gpr[X86_RDI] = 0xd1;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(DATA), 3);
	assert_int_equal(ram64(DATA + 8), 4);
	assert_int_equal(cpu->s.rflags & X86_FL_ZF, X86_FL_ZF);
	assert_int_equal(cpu->s.gpr[X86_RSI], 0x51);
	assert_int_equal(cpu->s.gpr[X86_RDI], 0xd1);
	assert_int_equal(cpu->s.gpr[X86_RSP], DATA);
	cpu->s.gpr[X86_RSP] = DATA + 8; /* misaligned */
	cpu->s.rip = CODE;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
}

static void test_rsp_operand(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0x48, 0x83, 0xec, 0x28, 0x48, 0x01, 0x64, 0x24, 0x08); /* sub rsp, 40; add [rsp+8], rsp */
	cpu->s.gpr[X86_RSP] = DATA + 40;
	ram64_set(DATA + 8, 1);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RSP], DATA);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(DATA + 8), DATA + 1);
	PUT(cpu, 0x48, 0x0f, 0xb1, 0x23); /* cmpxchg [rbx], rsp */
	cpu->s.gpr[X86_RBX] = DATA;
	cpu->s.gpr[X86_RAX] = ram64(DATA);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(DATA), DATA);
}

static void test_lar_lsl(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xc1, 0x0f, 0x00, 0xe1, 0x0f, 0x00, 0xe9);
	/* lar eax, ecx; lsl eax, ecx; verr cx; verw cx */
	cpu->s.gpr[X86_RCX] = SEL_RO_DATA;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RAX], 0xc09100);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RAX], 0xffffffff);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rflags & X86_FL_ZF, X86_FL_ZF);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rflags & X86_FL_ZF, 0);
}

int run_interp_state_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(xsave_formats), T(xrstor_formats), T(fxsave_pages), T(real_mode), T(real_mode_int),
		T(int_n), T(pop_rsp_relative), T(cmpxchg16b), T(rsp_operand), T(lar_lsl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
