/* SPDX-License-Identifier: Apache-2.0 */
/* Segmentation checks, page-crossing accesses, and MMIO pieces. */
#include "tests/hyp_sys/fake.h"

#define R X86_ACC_R
#define W X86_ACC_W
enum { PAGE = 0x100000 };
#define MMIO_VA 0x40000000ull /* 2M page to MMIO_PA */
#define MMIO_PA 0xfee00000ull

static void machine_mmio(struct hyp_cpu *cpu)
{
	machine_long(cpu, 0);
	ram64_set(PDPT + 8, 0x5000 | 7);
	ram64_set(0x5000, MMIO_PA | 0x87);
}

static void test_linear_long(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	gva_t lin;

	machine_long(cpu, 0);
	cpu->s.seg[X86_DS].base = 0x1000; /* ignored in 64-bit mode */
	assert_ok(x86_linear(cpu, X86_DS, 0x123, 8, R, &lin));
	assert_int_equal(lin, 0x123);
	cpu->s.seg[X86_GS].base = 0xffff888000000000ull;
	assert_ok(x86_linear(cpu, X86_GS, 0x40, 8, R, &lin));
	assert_int_equal(lin, 0xffff888000000040ull);
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0x800000000000ull, 1, R, &lin), X86_GP, 0);
	assert_fault(cpu, x86_linear(cpu, X86_SS, 0x800000000000ull, 1, R, &lin), X86_SS_VEC, 0);
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0x7ffffffffffcull, 8, R, &lin), X86_GP, 0);
	assert_ok(x86_linear(cpu, X86_DS, 0x7ffffffffff8ull, 8, R, &lin));
}

static void test_linear_protected(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_seg *ds = &cpu->s.seg[X86_DS];
	gva_t lin;

	machine_protected(cpu, 0);
	ds->base = 0xfffff000;
	ds->limit = 0x1fff;
	assert_ok(x86_linear(cpu, X86_DS, 0x1ffc, 4, W, &lin));
	assert_int_equal(lin, 0xffc); /* wraps at 4 GiB */
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0x1ffd, 4, R, &lin), X86_GP, 0);
	ds->ar = 0x4097; /* expand-down, 32 bits: valid above the limit */
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0x1fff, 4, R, &lin), X86_GP, 0);
	assert_ok(x86_linear(cpu, X86_DS, 0x2000, 4, R, &lin));
	assert_ok(x86_linear(cpu, X86_DS, 0xfffffffc, 4, R, &lin));
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0xfffffffd, 4, R, &lin), X86_GP, 0);
	ds->ar = 0x97; /* 16 bits */
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0x10000, 1, R, &lin), X86_GP, 0);
	ds->ar = 0xc091; /* read-only data */
	assert_ok(x86_linear(cpu, X86_DS, 0, 4, R, &lin));
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0, 4, W, &lin), X86_GP, 0);
	ds->ar = 0xc09b; /* readable code */
	assert_ok(x86_linear(cpu, X86_DS, 0, 4, R, &lin));
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0, 4, W, &lin), X86_GP, 0);
	ds->ar = 0xc099; /* execute-only */
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0, 4, R, &lin), X86_GP, 0);
	ds->ar = X86_AR_UNUSABLE;
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0, 4, R, &lin), X86_GP, 0);
	cpu->s.seg[X86_SS].limit = 0xff;
	assert_fault(cpu, x86_linear(cpu, X86_SS, 0xfd, 4, R, &lin), X86_SS_VEC, 0);
}

static void test_linear_real(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	gva_t lin;

	machine_real(cpu);
	assert_ok(x86_linear(cpu, X86_CS, 0xffff, 1, W, &lin)); /* CS is writable in real mode */
	assert_int_equal(lin, 0x1ffff);
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0xffff, 2, R, &lin), X86_GP, 0);
}

static void test_cross_page(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u8 out[64], in[64];

	machine_long(cpu, 0);
	ram64_set(PT0 + 0x101 * 8, 0x300000 | 3); /* second page elsewhere */
	for (unsigned i = 0; i < 64; i++)
		in[i] = i + 1;
	assert_ok(x86_mem_write(cpu, PAGE + 0xff0, in, 64, W));
	assert_memory_equal(fake_ram + PAGE + 0xff0, in, 16);
	assert_memory_equal(fake_ram + 0x300000, in + 16, 48);
	assert_ok(x86_mem_read(cpu, PAGE + 0xff0, out, 64, R));
	assert_memory_equal(out, in, 64);
	for (unsigned len = 1; len <= 16; len++)
		for (unsigned off = 0xff0; off < 0x1000; off++) {
			memset(fake_ram + PAGE + 0xff0, 0, 16);
			memset(fake_ram + 0x300000, 0, 32);
			memset(out, 0, sizeof(out));
			assert_ok(x86_mem_write(cpu, PAGE + off, in, len, W));
			assert_ok(x86_mem_read(cpu, PAGE + off, out, len, R));
			assert_memory_equal(out, in, len);
		}
}

static void test_cross_page_write_is_all_or_nothing(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u64 v = ~0ull;

	machine_long(cpu, 0);
	assert_fault(cpu, x86_mem_write(cpu, NOT_PRESENT - 4, &v, 8, W), X86_PF, X86_PFEC_W);
	assert_int_equal(cpu->s.cr2, NOT_PRESENT); /* the first byte that faulted */
	assert_int_equal(ram32(NOT_PRESENT - 4), 0);
}

static void test_mmio_read(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;
	u8 buf[14];

	machine_mmio(cpu);
	assert_int_equal(x86_mem_read(cpu, MMIO_VA + 0x10, buf, 14, R), X86_EXIT);
	assert_int_equal(e->reason, HYP_EXIT_MMIO);
	assert_int_equal(e->mmio.gpa, MMIO_PA + 0x10);
	assert_int_equal(e->mmio.size, 8);
	assert_false(e->mmio.write);
	memcpy(e->mmio.data, "01234567", 8);
	hyp_x86_complete_mmio(cpu);
	assert_false(hyp_x86_irq_allowed(cpu)); /* in the middle of an instruction */
	assert_int_equal(x86_mem_read(cpu, MMIO_VA + 0x10, buf, 14, R), X86_EXIT);
	assert_int_equal(e->mmio.gpa, MMIO_PA + 0x18);
	assert_int_equal(e->mmio.size, 4);
	memcpy(e->mmio.data, "89ab", 4);
	hyp_x86_complete_mmio(cpu);
	assert_int_equal(x86_mem_read(cpu, MMIO_VA + 0x10, buf, 14, R), X86_EXIT);
	assert_int_equal(e->mmio.size, 2);
	memcpy(e->mmio.data, "cd", 2);
	hyp_x86_complete_mmio(cpu);
	assert_ok(x86_mem_read(cpu, MMIO_VA + 0x10, buf, 14, R));
	assert_memory_equal(buf, "0123456789abcd", 14);
	x86_mmio_retire(cpu);
	assert_true(hyp_x86_irq_allowed(cpu));
	assert_int_equal(x86_mem_read(cpu, MMIO_VA + 0x10, buf, 4, R), X86_EXIT); /* used up */
}

static void test_mmio_abort(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 v;

	machine_mmio(cpu);
	assert_int_equal(x86_mem_read(cpu, MMIO_VA, &v, 4, R), X86_EXIT);
	hyp_x86_complete_mmio(cpu);
	hyp_x86_abort_access(cpu);
	assert_int_equal(x86_mem_read(cpu, MMIO_VA, &v, 4, R), X86_EXIT);
	hyp_x86_complete_mmio(cpu);
	assert_int_equal(x86_mem_read(cpu, MMIO_VA + 4, &v, 4, R), X86_EXIT); /* not what was answered */
	assert_int_equal(cpu->s.exit.mmio.gpa, MMIO_PA + 4);
}

static void test_mmio_write(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;

	machine_mmio(cpu);
	assert_ok(x86_mmio_flush(cpu));
	assert_ok(x86_mem_write(cpu, MMIO_VA + 8, "0123456789ab", 12, W));
	assert_false(hyp_x86_irq_allowed(cpu));
	assert_int_equal(x86_mmio_flush(cpu), X86_EXIT);
	assert_int_equal(e->reason, HYP_EXIT_MMIO);
	assert_true(e->mmio.write);
	assert_int_equal(e->mmio.gpa, MMIO_PA + 8);
	assert_int_equal(e->mmio.size, 8);
	assert_memory_equal(e->mmio.data, "01234567", 8);
	assert_int_equal(x86_mmio_flush(cpu), X86_EXIT);
	assert_int_equal(e->mmio.gpa, MMIO_PA + 16);
	assert_int_equal(e->mmio.size, 4);
	assert_memory_equal(e->mmio.data, "89ab", 4);
	assert_ok(x86_mmio_flush(cpu));
	assert_true(hyp_x86_irq_allowed(cpu));
}

static void test_mmio_write_too_long(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u8 buf[512] = { 0 };

	machine_mmio(cpu);
	assert_int_equal(x86_mem_write(cpu, MMIO_VA, buf, 512, W), X86_EXIT);
	assert_int_equal(cpu->s.exit.reason, HYP_EXIT_EMULATION);
	assert_ok(x86_mmio_flush(cpu));
}

static void test_rom(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u32 v = 0;

	machine_long(cpu, 0);
	ram32_set(ROM_START, 0x12345678);
	assert_ok(x86_mem_read(cpu, ROM_START, &v, 4, R | W)); /* the read half of a read-modify-write */
	assert_int_equal(v, 0x12345678);
	assert_ok(x86_mem_write(cpu, ROM_START, &v, 4, W));
	assert_int_equal(x86_mmio_flush(cpu), X86_EXIT);
	assert_int_equal(cpu->s.exit.mmio.gpa, ROM_START);
}

static void test_push_pop(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u64 v;

	machine_long(cpu, 0);
	cpu->s.gpr[X86_RSP] = PAGE;
	assert_ok(x86_push(cpu, 0x1122334455667788ull, 8));
	assert_int_equal(cpu->s.gpr[X86_RSP], PAGE - 8);
	assert_ok(x86_pop(cpu, &v, 8));
	assert_int_equal(v, 0x1122334455667788ull);
	cpu->s.gpr[X86_RSP] = NOT_PRESENT + 8;
	assert_fault(cpu, x86_push(cpu, 1, 8), X86_PF, X86_PFEC_W);
	assert_int_equal(cpu->s.gpr[X86_RSP], NOT_PRESENT + 8);
	cpu->s.gpr[X86_RSP] = 0x800000000000ull;
	assert_fault(cpu, x86_pop(cpu, &v, 8), X86_SS_VEC, 0);
}

static void test_push_16bit_stack(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	u64 v;

	machine_real(cpu);
	cpu->s.gpr[X86_RSP] = 0xabcd0002;
	assert_ok(x86_push(cpu, 0x1234, 2));
	assert_int_equal(cpu->s.gpr[X86_RSP], 0xabcd0000);
	assert_ok(x86_push(cpu, 0x5678, 2)); /* wraps within 64 KiB */
	assert_int_equal(cpu->s.gpr[X86_RSP], 0xabcdfffe);
	assert_int_equal(ram32(0x2fffe) & 0xffff, 0x5678);
	assert_ok(x86_pop(cpu, &v, 2));
	assert_int_equal(v, 0x5678);
	cpu->s.gpr[X86_RSP] = 1;
	assert_fault(cpu, x86_push(cpu, 0, 2), X86_SS_VEC, 0); /* would straddle the end of the segment */
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_access_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_linear_long), T(test_linear_protected), T(test_linear_real), T(test_cross_page),
		T(test_cross_page_write_is_all_or_nothing), T(test_mmio_read), T(test_mmio_abort),
		T(test_mmio_write), T(test_mmio_write_too_long), T(test_rom), T(test_push_pop),
		T(test_push_16bit_stack),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
