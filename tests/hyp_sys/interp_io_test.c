/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_interp_one() where the differential tests cannot look:
 * exits for memory-mapped and port I/O.
 */
#include "tests/hyp_sys/interp_fixture.h"

/* ---- MMIO ------------------------------------------------------------------------------------ */

static void test_mmio_rmw(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;
	u32 val = 0xfffffffe;

	PUT(cpu, 0xf0, 0x83, 0x03, 0x05); /* lock add dword [rbx], 5 */
	cpu->s.gpr[X86_RBX] = MMIO_VA + 0x40;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(e->reason, HYP_EXIT_MMIO);
	assert_false(e->mmio.write);
	assert_int_equal(e->mmio.gpa, MMIO_PA + 0x40);
	assert_int_equal(e->mmio.size, 4);
	assert_int_equal(cpu->s.rip, CODE);
	memcpy(e->mmio.data, &val, 4);
	hyp_x86_complete_mmio(cpu);
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_true(e->mmio.write);
	assert_int_equal(e->mmio.gpa, MMIO_PA + 0x40);
	assert_int_equal(e->mmio.data[0], 3);
	assert_int_equal(cpu->s.rip, CODE + 4);
	assert_int_equal(cpu->s.rflags & X86_FL_CF, X86_FL_CF);
	assert_int_equal(x86_mmio_flush(cpu), X86_OK);
}

static void test_mmio_vector_load(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;
	u64 v[2];

	PUT(cpu, 0x0f, 0x28, 0x0b); /* movaps xmm1, [rbx] */
	cpu->s.gpr[X86_RBX] = MMIO_VA + 0x10;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(x86_interp_one(cpu), X86_EXIT);
		assert_int_equal(e->mmio.gpa, MMIO_PA + 0x10 + 8 * i);
		assert_int_equal(e->mmio.size, 8);
		memset(e->mmio.data, 0x11 * (i + 1), 8);
		hyp_x86_complete_mmio(cpu);
	}
	assert_ok(x86_interp_one(cpu));
	x86_vec_get(cpu, 1, v, 16);
	assert_int_equal(v[0], 0x1111111111111111ull);
	assert_int_equal(v[1], 0x2222222222222222ull);
}

/* REP MOVSD from MMIO: each element is one read, and the next element is not answered by the last. */
static void test_mmio_rep_movs(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;

	PUT(cpu, 0xf3, 0xa5);
	cpu->s.gpr[X86_RSI] = MMIO_VA;
	cpu->s.gpr[X86_RDI] = DATA;
	cpu->s.gpr[X86_RCX] = 3;
	for (u32 i = 0; i < 3; i++) {
		u32 v = 0x100 + i;

		assert_int_equal(x86_interp_one(cpu), X86_EXIT);
		assert_int_equal(e->mmio.gpa, MMIO_PA + 4 * i);
		assert_int_equal(cpu->s.gpr[X86_RCX], 3 - i);
		memcpy(e->mmio.data, &v, 4);
		hyp_x86_complete_mmio(cpu);
	}
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.rip, CODE + 2);
	assert_int_equal(ram32(DATA + 8), 0x102);
}

static void test_mmio_rep_stos(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0xf3, 0xab);
	cpu->s.gpr[X86_RAX] = 0xabcd;
	cpu->s.gpr[X86_RDI] = MMIO_VA + 8;
	cpu->s.gpr[X86_RCX] = 2;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(x86_interp_one(cpu), X86_EXIT);
		assert_true(cpu->s.exit.mmio.write);
		assert_int_equal(cpu->s.exit.mmio.gpa, MMIO_PA + 8 + 4 * i);
		assert_int_equal(cpu->s.gpr[X86_RCX], 1 - i);
	}
	assert_int_equal(cpu->s.rip, CODE + 2);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void test_out_in(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;

	PUT(cpu, 0xe6, 0x80, 0x66, 0xed); /* out 0x80, al; in ax, dx */
	cpu->s.gpr[X86_RAX] = 0x1234567890abcdefull;
	cpu->s.gpr[X86_RDX] = 0x3f8;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(e->reason, HYP_EXIT_IO);
	assert_int_equal(e->io.port, 0x80);
	assert_int_equal(e->io.size, 1);
	assert_int_equal(e->io.data, 0xef);
	assert_false(e->io.in);
	assert_int_equal(cpu->s.rip, CODE + 2);
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_true(e->io.in);
	assert_int_equal(e->io.port, 0x3f8);
	assert_int_equal(e->io.size, 2);
	assert_int_equal(e->insn_len, 2);
	assert_int_equal(cpu->s.rip, CODE + 2);
	e->io.data = 0x4321;
	hyp_x86_complete_io(cpu);
	assert_int_equal(cpu->s.gpr[X86_RAX], 0x1234567890ab4321ull);
	assert_int_equal(cpu->s.rip, CODE + 4);
}

static void test_rep_ins(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;

	PUT(cpu, 0xf3, 0x6d); /* rep insd */
	cpu->s.gpr[X86_RDI] = DATA;
	cpu->s.gpr[X86_RCX] = 2;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_true(e->io.in && e->io.string);
	assert_int_equal(e->io.size, 4);
	assert_int_equal(e->io.count, 2);
	assert_int_equal(cpu->s.rip, CODE);
	memcpy(cpu->s.ins_data, (u32[]){ 0x50, 0x51 }, 8);
	hyp_x86_complete_io(cpu);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RCX], 0);
	assert_int_equal(cpu->s.gpr[X86_RDI], DATA + 8);
	assert_int_equal(cpu->s.rip, CODE + 2);
	assert_int_equal(ram64(DATA), 0x5100000050ull);
}

/* A batch ends with the page; downwards and single-stepped there is none; RCX may have shrunk meanwhile. */
static void test_rep_ins_batch(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_exit *e = &cpu->s.exit;

	PUT(cpu, 0xf3, 0x6d); /* rep insd */
	cpu->s.gpr[X86_RDI] = DATA + PAGE_SIZE - 10;
	cpu->s.gpr[X86_RCX] = 100;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(e->io.count, 2);
	cpu->s.gpr[X86_RCX] = 1;
	memset(cpu->s.ins_data, 0x5a, 8);
	hyp_x86_complete_io(cpu);
	assert_ok(x86_interp_one(cpu));
	assert_int_equal(cpu->s.gpr[X86_RDI], DATA + PAGE_SIZE - 6);
	assert_int_equal(cpu->s.rip, CODE + 2);
	cpu->s.rip = CODE;
	cpu->s.gpr[X86_RDI] = DATA;
	cpu->s.gpr[X86_RCX] = 10000;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(e->io.count, X86_INS_MAX / 4);
	cpu->s.gpr[X86_RDI] = DATA + 64;
	cpu->df = X86_FL_DF;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(e->io.count, 1);
	cpu->df = 0;
	cpu->s.rflags |= X86_FL_TF;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(e->io.count, 1);
}

/* The port is not read when the destination cannot be written. */
static void test_ins_destination_fault(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0x6c);
	cpu->s.gpr[X86_RDI] = NOT_PRESENT;
	assert_fault(cpu, x86_interp_one(cpu), X86_PF, X86_PFEC_W);
	assert_int_equal(cpu->s.cr2, NOT_PRESENT);
}

static void test_outs_down(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	PUT(cpu, 0x6e);
	fake_ram[DATA] = 0x77;
	cpu->s.gpr[X86_RSI] = DATA;
	cpu->df = X86_FL_DF;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	assert_int_equal(cpu->s.exit.io.data, 0x77);
	assert_int_equal(cpu->s.gpr[X86_RSI], DATA - 1);
	assert_int_equal(cpu->s.rip, CODE + 1);
}

static void test_io_bitmap(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 3);
	ram64_set(PT0 + (CODE >> 12) * 8, CODE | 7);
	cpu->s.seg[X86_TR].limit = 0x68 + 32;
	fake_ram[TSS + 0x66] = 0x68;
	fake_ram[TSS + 0x68 + 0x10] = 0x02; /* port 0x81 */
	PUT(cpu, 0xe4, 0x80);
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
	PUT(cpu, 0xe4, 0x81);
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
	PUT(cpu, 0xe5, 0x80); /* 0x80-0x83 */
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0);
	PUT(cpu, 0xe4, 0xff);
	cpu->s.seg[X86_TR].limit = 0x68 + 31;
	assert_fault(cpu, x86_interp_one(cpu), X86_GP, 0); /* the second byte is beyond the limit */
	cpu->s.rflags |= X86_FL_IOPL;
	assert_int_equal(x86_interp_one(cpu), X86_EXIT);
}

int run_interp_io_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(mmio_rmw), T(mmio_vector_load), T(mmio_rep_movs), T(mmio_rep_stos), T(out_in),
		T(rep_ins), T(rep_ins_batch), T(ins_destination_fault), T(outs_down), T(io_bitmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
