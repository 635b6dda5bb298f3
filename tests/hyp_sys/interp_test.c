/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_interp_one() where the differential tests cannot look: exits, MMIO, ports, traps, breakpoints,
 * restarts after faults, state gates, XSAVE formats.
 */
#include <signal.h>
#include <stdlib.h>

#include "hyp/sys/x86/interp.h"
#include "tests/hyp_sys/fake.h"

#define CODE 0x30000ull
#define DATA 0x400000ull
#define MMIO_VA 0x40000000ull
#define MMIO_PA 0xfee00000ull

u64 hyp_x86_tsc(struct hyp_cpu *cpu) { return 0x1122334455667788ull; }

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	if (!x86_native_signal(sig, si, uc))
		abort();
}

/* In the test itself: cmocka puts its own handlers in place after setup. */
static void handle_signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
}

static int setup(void **state)
{
	struct hyp_cpu *cpu;

	if (fake_setup(state))
		return -1;
	cpu = cpu_of(state);
	machine_long(cpu, 0);
	ram64_set(PDPT + 8, 0x5000 | 7);
	ram64_set(0x5000, MMIO_PA | 0x87);
	cpu->s.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu->s.xcr0 = 7;
	return 0;
}

static int teardown(void **state)
{
	x86_interp_free(cpu_of(state));
	return fake_teardown(state);
}

/* The instruction at rip (linear = physical there). */
#define PUT(cpu, ...) put(cpu, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))
static void put(struct hyp_cpu *cpu, const u8 *code, unsigned n)
{
	cpu->s.rip = CODE;
	memcpy(fake_ram + CODE, code, n);
}

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

	handle_signals();
	cpu->s.gpr[X86_RBX] = DATA;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		put(cpu, t[i].code, 6);
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
		put(cpu, code[i], 4);
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
		put(cpu, t[i].code, 4);
		assert_int_equal(x86_interp_one(cpu), X86_EXIT);
		assert_int_equal(cpu->s.exit.reason, t[i].reason);
		assert_int_equal(cpu->s.exit.insn_len, t[i].len);
		assert_int_equal(cpu->s.rip, CODE);
	}
}

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

	handle_signals();
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

	handle_signals();
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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(mmio_rmw), T(mmio_vector_load), T(mmio_rep_movs), T(mmio_rep_stos), T(out_in),
		T(rep_ins), T(rep_ins_batch), T(ins_destination_fault), T(outs_down), T(io_bitmap), T(single_step),
		T(single_step_int), T(single_step_out), T(step_after_mov_ss), T(sti_shadow),
		T(code_breakpoint), T(data_breakpoint), T(io_breakpoint), T(fetch_page_end),
		T(too_long), T(code_changes), T(wide_nop), T(pool_overflow), T(gates), T(privilege),
		T(exits_at_instruction), T(rep_movs_fault), T(rep_movs_overlap), T(gather_restart),
		T(vmaskmov), T(vmaskmov_store_fault), T(maskmovdqu), T(bit_string), T(host_faults),
		T(xsave_formats), T(xrstor_formats), T(fxsave_pages), T(real_mode), T(real_mode_int),
		T(int_n), T(pop_rsp_relative), T(cmpxchg16b), T(rsp_operand), T(lar_lsl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
