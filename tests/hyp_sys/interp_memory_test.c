/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_interp_one() where the differential tests cannot look:
 * restarts after faults, masked and bit-string operands, faults of the host.
 */
#include "tests/hyp_sys/interp_fixture.h"

/* ---- restarts -------------------------------------------------------------------------------- */

static void test_rep_movs_fault(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xf3, 0xa4);
	memset(fake_ram + DATA, 0x5a, 0x200);
	cpu->s.gpr[X86_RSI] = DATA;
	cpu->s.gpr[X86_RDI] = NOT_PRESENT - 0x80;
	cpu->s.gpr[X86_RCX] = 0x100;
	while (cpu->s.rip == CODE && x86_interp_one(cpu) == X86_OK)
		;
	assert_int_equal(cpu->fault.vector, X86_PF);
	assert_int_equal(cpu->s.cr2, NOT_PRESENT);
	assert_int_equal(cpu->s.gpr[X86_RCX], 0x80);
	assert_int_equal(cpu->s.gpr[X86_RSI], DATA + 0x80);
	assert_int_equal(fake_ram[NOT_PRESENT - 1], 0x5a);
	ram64_set(PT0 + (NOT_PRESENT >> 12) * 8, NOT_PRESENT | 3);
	while (cpu->s.rip == CODE)
		assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RCX], 0);
	assert_int_equal(fake_ram[NOT_PRESENT + 0x7f], 0x5a);
	assert_int_equal(fake_ram[NOT_PRESENT + 0x80], 0);
}

/* Forward with an overlap of one: the pattern is repeated, as memmove would not. */
static void test_rep_movs_overlap(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xf3, 0xa4);
	fake_ram[DATA] = 0x99;
	cpu->s.gpr[X86_RSI] = DATA;
	cpu->s.gpr[X86_RDI] = DATA + 1;
	cpu->s.gpr[X86_RCX] = 100;
	while (cpu->s.rip == CODE)
		assert_ok(x86_interp_one(cpu));
	assert_int_equal(fake_ram[DATA + 100], 0x99);
	assert_int_equal(fake_ram[DATA + 101], 0);
}

static void test_gather_restart(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 idx[4] = { 0, 4, 0x1000, 8 }, mask[4] = { ~0u, ~0u, ~0u, ~0u }, dst[4] = { 1, 2, 3, 4 };

	PUT(cpu, 0xc4, 0xe2, 0x69, 0x90, 0x04, 0x0b); /* vpgatherdd xmm0, [rbx+xmm1], xmm2 */
	cpu->s.gpr[X86_RBX] = NOT_PRESENT - 0x1000;
	x86_vec_set(cpu, 0, dst, 16);
	x86_vec_set(cpu, 1, idx, 16);
	x86_vec_set(cpu, 2, mask, 16);
	ram32_set(NOT_PRESENT - 0x1000, 0xa0);
	ram32_set(NOT_PRESENT - 0x1000 + 4, 0xa1);
	ram32_set(NOT_PRESENT - 0x1000 + 8, 0xa3);
	ram32_set(NOT_PRESENT, 0xa2);
	assert_fault(cpu, x86_interp_one(cpu), X86_PF, 0);
	x86_vec_get(cpu, 0, dst, 16);
	x86_vec_get(cpu, 2, mask, 16);
	assert_int_equal(dst[0], 0xa0);
	assert_int_equal(dst[1], 0xa1);
	assert_int_equal(dst[2], 3);
	assert_int_equal(mask[1], 0);
	assert_int_equal(mask[2], ~0u);
	ram64_set(PT0 + (NOT_PRESENT >> 12) * 8, NOT_PRESENT | 3);
	assert_ok(x86_interp_one(cpu));
	x86_vec_get(cpu, 0, dst, 16);
	x86_vec_get(cpu, 2, mask, 16);
	assert_int_equal(dst[2], 0xa2);
	assert_int_equal(dst[3], 0xa3);
	assert_int_equal(mask[3], 0);
}

/* Elements that are masked out may lie on a page that is not there. */
static void test_vmaskmov(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 mask[4] = { ~0u, ~0u, 0, 0 }, v[4] = { 5, 6, 7, 8 };

	cpu->s.gpr[X86_RBX] = NOT_PRESENT - 8;
	x86_vec_set(cpu, 1, mask, 16);
	x86_vec_set(cpu, 2, v, 16);
	PUT(cpu, 0xc4, 0xe2, 0x71, 0x2e, 0x13); /* vmaskmovps [rbx], xmm1, xmm2 */
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(NOT_PRESENT - 8), 0x600000005ull);
	PUT(cpu, 0xc4, 0xe2, 0x71, 0x2c, 0x1b); /* vmaskmovps xmm3, xmm1, [rbx] */
	assert_ok(x86_interp_one(cpu));
	x86_vec_get(cpu, 3, v, 16);
	assert_int_equal(v[1], 6);
	assert_int_equal(v[2], 0);
	mask[2] = ~0u;
	x86_vec_set(cpu, 1, mask, 16);
	cpu->s.rip = CODE;
	assert_fault(cpu, x86_interp_one(cpu), X86_PF, 0);
	assert_int_equal(cpu->s.cr2, NOT_PRESENT);
}

/* ... and where an active one is, nothing is stored. */
static void test_vmaskmov_store_fault(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 mask[4] = { ~0u, 0, ~0u, 0 }, v[4] = { 5, 6, 7, 8 };

	cpu->s.gpr[X86_RBX] = NOT_PRESENT - 8;
	x86_vec_set(cpu, 1, mask, 16);
	x86_vec_set(cpu, 2, v, 16);
	PUT(cpu, 0xc4, 0xe2, 0x71, 0x2e, 0x13); /* vmaskmovps [rbx], xmm1, xmm2 */
	assert_fault(cpu, x86_interp_one(cpu), X86_PF, X86_PFEC_W);
	assert_int_equal(ram64(NOT_PRESENT - 8), 0);
}

static void test_maskmovdqu(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u8 mask[16] = { [0] = 0x80, [3] = 0xff }, v[16] = { 1, 2, 3, 4, 5 };

	x86_vec_set(cpu, 1, v, 16);
	x86_vec_set(cpu, 2, mask, 16);
	memset(fake_ram + NOT_PRESENT - 4, 0xee, 4);
	cpu->s.gpr[X86_RDI] = NOT_PRESENT - 4;
	PUT(cpu, 0x66, 0x0f, 0xf7, 0xca);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram32(NOT_PRESENT - 4), 0x04eeee01);
}

/* BTS with a bit offset reaches before the operand's address. */
static void test_bit_string(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xf0, 0x48, 0x0f, 0xab, 0x03); /* lock bts [rbx], rax */
	cpu->s.gpr[X86_RBX] = DATA + 0x100;
	cpu->s.gpr[X86_RAX] = -1ll;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(ram64(DATA + 0xf8), 1ull << 63);
	cpu->s.gpr[X86_RAX] = 1000;
	cpu->s.rip = CODE;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rflags & X86_FL_CF, 0);
	assert_int_equal(ram64(DATA + 0x100 + 8 * 15), 1ull << 40);
	cpu->s.rip = CODE;
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rflags & X86_FL_CF, X86_FL_CF);
	assert_int_equal(cpu->s.gpr[X86_RAX], 1000);
}

/* ---- host faults ----------------------------------------------------------------------------- */

static void test_host_faults(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 unmasked = 0x1f80 & ~0x200u; /* division by zero */
	u32 mxcsr;

	interp_handle_signals();
	PUT(cpu, 0xf7, 0xf1); /* div ecx */
	cpu->s.gpr[X86_RAX] = 7;
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_DE);
	assert_int_equal(cpu->s.gpr[X86_RAX], 7);
	PUT(cpu, 0x0f, 0x28, 0x03); /* movaps xmm0, [rbx] */
	cpu->s.gpr[X86_RBX] = DATA + 8;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
	memcpy(cpu->s.xsave + 24, &unmasked, 4);
	x86_vec_set(cpu, 0, (float[4]){ 1 }, 16);
	x86_vec_set(cpu, 1, (float[4]){ 0 }, 16);
	PUT(cpu, 0xf3, 0x0f, 0x5e, 0xc1); /* divss xmm0, xmm1 */
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_XM);
	memcpy(&mxcsr, cpu->s.xsave + 24, 4);
	assert_int_equal(mxcsr, unmasked | 4);
	cpu->s.cr4 &= ~(u64)X86_CR4_OSXMMEXCPT;
	assert_fault_noerr(cpu, x86_interp_one(cpu), X86_UD);
}

int run_interp_memory_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(rep_movs_fault), T(rep_movs_overlap), T(gather_restart), T(vmaskmov),
		T(vmaskmov_store_fault), T(maskmovdqu), T(bit_string), T(host_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
