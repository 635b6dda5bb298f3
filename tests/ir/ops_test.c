/* SPDX-License-Identifier: Apache-2.0 */
/* Each operation of the IR by a table of cases worked out by hand; then what is not a pure operation, one
 * test each. */
#include <string.h>

#include "tests/ir/fake.h"

#define N 0x80000000ull
#define Z 0x40000000ull
#define C 0x20000000ull
#define V 0x10000000ull
#define FIELD(lsb, width) ((lsb) | (width) << 8)
#define ONES ~0ull
#define MIN64 (1ull << 63)

static const struct {
	u8 op, type, cc;
	s64 imm;
	u64 a, b, c; /* flags as NZCV */
	u64 want;
} cases[] = {
	{ IR_ADD, IR_I32, 0, 0, 0xffffffff, 2, 0, 1 },
	{ IR_ADD, IR_I64, 0, 0, 0xffffffff, 2, 0, 0x100000001 },
	{ IR_SUB, IR_I32, 0, 0, 1, 2, 0, 0xffffffff },
	{ IR_SUB, IR_I64, 0, 0, 1, 2, 0, ONES },
	{ IR_AND, IR_I64, 0, 0, 0xff0f, 0x0ff0, 0, 0x0f00 },
	{ IR_OR, IR_I32, 0, 0, 0xf0, 0x0f, 0, 0xff },
	{ IR_XOR, IR_I64, 0, 0, ONES, 0xff, 0, ~0xffull },
	{ IR_NOT, IR_I32, 0, 0, 0xff, 0, 0, 0xffffff00 },
	{ IR_NEG, IR_I64, 0, 0, 1, 0, 0, ONES },
	{ IR_SHL, IR_I32, 0, 0, 0x80000001, 33, 0, 2 },
	{ IR_SHL, IR_I64, 0, 0, 1, 127, 0, MIN64 },
	{ IR_SHR, IR_I32, 0, 0, 0x80000000, 31, 0, 1 },
	{ IR_SHR, IR_I64, 0, 0, ONES, 64, 0, ONES },
	{ IR_SAR, IR_I32, 0, 0, 0x80000000, 4, 0, 0xf8000000 },
	{ IR_SAR, IR_I64, 0, 0, MIN64, 63, 0, ONES },
	{ IR_ROR, IR_I32, 0, 0, 0x12345678, 8, 0, 0x78123456 },
	{ IR_ROR, IR_I64, 0, 0, 1, 64, 0, 1 },
	{ IR_MUL, IR_I32, 0, 0, 0x10001, 0x10001, 0, 0x20001 },
	{ IR_MUL, IR_I64, 0, 0, ONES, ONES, 0, 1 },
	{ IR_UMULH, IR_I64, 0, 0, ONES, ONES, 0, ONES - 1 },
	{ IR_SMULH, IR_I64, 0, 0, ONES, ONES, 0, 0 },
	{ IR_SMULH, IR_I64, 0, 0, MIN64, 2, 0, ONES },
	{ IR_UDIV, IR_I32, 0, 0, 0xffffffff, 2, 0, 0x7fffffff },
	{ IR_UDIV, IR_I64, 0, 0, 5, 0, 0, 0 },
	{ IR_SDIV, IR_I32, 0, 0, 0x80000000, 0xffffffff, 0, 0x80000000 },
	{ IR_SDIV, IR_I64, 0, 0, MIN64, ONES, 0, MIN64 },
	{ IR_SDIV, IR_I64, 0, 0, (u64)-7, 2, 0, (u64)-3 },
	{ IR_SDIV, IR_I32, 0, 0, 7, 0, 0, 0 },
	{ IR_CLZ, IR_I32, 0, 0, 1, 0, 0, 31 },
	{ IR_CLZ, IR_I32, 0, 0, 0, 0, 0, 32 },
	{ IR_CLZ, IR_I64, 0, 0, 0, 0, 0, 64 },
	{ IR_RBIT, IR_I32, 0, 0, 1, 0, 0, 0x80000000 },
	{ IR_RBIT, IR_I64, 0, 0, 0x12, 0, 0, 0x4800000000000000 },
	{ IR_REV, IR_I64, 2, 0, 0x1122334455667788, 0, 0, 0x2211443366558877 },
	{ IR_REV, IR_I64, 4, 0, 0x1122334455667788, 0, 0, 0x4433221188776655 },
	{ IR_REV, IR_I64, 8, 0, 0x1122334455667788, 0, 0, 0x8877665544332211 },
	{ IR_REV, IR_I32, 2, 0, 0x11223344, 0, 0, 0x22114433 },
	{ IR_REV, IR_I32, 4, 0, 0x11223344, 0, 0, 0x44332211 },
	{ IR_SEXT, IR_I32, 0, 8, 0x180, 0, 0, 0xffffff80 },
	{ IR_SEXT, IR_I64, 0, 16, 0x8000, 0, 0, 0xffffffffffff8000 },
	{ IR_SEXT, IR_I64, 0, 1, 3, 0, 0, ONES },
	{ IR_ZEXT, IR_I64, 0, 16, 0x18000, 0, 0, 0x8000 },
	{ IR_ZEXT, IR_I32, 0, 32, 0xffffffff, 0, 0, 0xffffffff },
	{ IR_EXTRACT, IR_I64, 0, FIELD(60, 4), 0xa000000000000000, 0, 0, 0xa },
	{ IR_EXTRACT, IR_I32, 0, FIELD(0, 32), 0xdeadbeef, 0, 0, 0xdeadbeef },
	{ IR_SEXTRACT, IR_I64, 0, FIELD(60, 4), 0xa000000000000000, 0, 0, (u64)-6 },
	{ IR_SEXTRACT, IR_I32, 0, FIELD(4, 4), 0x80, 0, 0, 0xfffffff8 },
	{ IR_DEPOSIT, IR_I64, 0, FIELD(8, 8), ONES, 0x112, 0, 0xffffffffffff12ff },
	{ IR_DEPOSIT, IR_I32, 0, FIELD(28, 4), 0x0fffffff, 0x15, 0, 0x5fffffff },
	{ IR_EXTR, IR_I32, 0, 8, 0x11223344, 0xaabbccdd, 0, 0x44aabbcc },
	{ IR_EXTR, IR_I64, 0, 0, 1, 2, 0, 2 },
	{ IR_EXTR, IR_I64, 0, 63, 1, 0, 0, 2 },
	{ IR_TRUNC, IR_I32, 0, 0, 0x1122334455667788, 0, 0, 0x55667788 },
	{ IR_WIDEN, IR_I64, 0, 0, 0x80000000, 0, 0, 0x80000000 },
	{ IR_WIDENS, IR_I64, 0, 0, 0x80000000, 0, 0, 0xffffffff80000000 },
	/* "123456789" in two words and a byte would be the usual check; one word each here */
	{ IR_CRC32, IR_I32, 1, 0, 0xffffffff, '1', 0, 0x7c231048 },
	{ IR_CRC32, IR_I32, 4, 1, 0, 1, 0, 0xdd45aab8 },
	{ IR_FADD, IR_I32, 0, 0, 0x7fffffff, 1, 0, N | V },
	{ IR_FADD, IR_I64, 0, 0, ONES, 1, 0, Z | C },
	{ IR_FSUB, IR_I32, 0, 0, 1, 1, 0, Z | C },
	{ IR_FSUB, IR_I64, 0, 0, 0, 1, 0, N },
	{ IR_FSUB, IR_I64, 0, 0, MIN64, 1, 0, C | V },
	{ IR_FADC, IR_I32, 0, 0, 0xffffffff, 0xffffffff, C, N | C },
	{ IR_FADC, IR_I64, 0, 0, ONES, 0, C, Z | C },
	{ IR_FADC, IR_I64, 0, 0, ONES, 0, 0, N },
	{ IR_FSBC, IR_I64, 0, 0, 0, 0, 0, N },
	{ IR_FSBC, IR_I64, 0, 0, 0, 0, C, Z | C },
	{ IR_FSBC, IR_I32, 0, 0, 0x80000000, 0, 0, C | V },
	{ IR_FAND, IR_I32, 0, 0, 0x80000000, 0, 0, N },
	{ IR_FAND, IR_I64, 0, 0, 0, 0, 0, Z },
	{ IR_FCCMP, IR_FLAGS, IR_EQ, 0x5, Z, N | C, 0, N | C },
	{ IR_FCCMP, IR_FLAGS, IR_NE, 0x5, Z, N | C, 0, Z | V },
	{ IR_FIMM, IR_FLAGS, 0, 0xa, 0, 0, 0, N | C },
	{ IR_FFROM, IR_FLAGS, 0, 0, 0xf1234567, 0, 0, N | Z | C | V },
	{ IR_FTO, IR_I32, 0, 0, Z | V, 0, 0, Z | V },
	{ IR_ADC, IR_I32, 0, 0, 0xffffffff, 1, C, 1 },
	{ IR_ADC, IR_I64, 0, 0, 1, 1, 0, 2 },
	{ IR_SBC, IR_I64, 0, 0, 1, 1, 0, ONES },
	{ IR_SBC, IR_I32, 0, 0, 3, 1, C, 2 },
	{ IR_CSEL, IR_I64, IR_GE, 0, 11, 22, N | V, 11 },
	{ IR_CSEL, IR_I32, IR_HI, 0, 11, 22, C | Z, 22 },
	{ IR_CSET, IR_I64, IR_LS, 0, Z | C, 0, 0, 1 },
	{ IR_CSET, IR_I32, IR_GT, 0, N | Z | V, 0, 0, 0 },
};

static u16 operand(struct ir_block *b, u8 want, u8 type, u64 x)
{
	if (want == IR_VOID)
		return 0;
	if (want == IR_FLAGS)
		return ir_add_insn(b, (struct ir_insn){ .op = IR_FIMM, .type = IR_FLAGS, .imm = (s64)(x >> 28) });
	return ir_const(b, want == IR_ANY ? type : want, x);
}

/* A block that leaves the value in x0. */
static void end_with(struct ir_block *b, u16 v)
{
	if (b->ir[v].type == IR_FLAGS)
		v = ir1(b, IR_FTO, IR_I32, v);
	if (b->ir[v].type == IR_I32)
		v = ir1(b, IR_WIDEN, IR_I64, v);
	ir_add_insn(b, (struct ir_insn){ .op = IR_SET, .a = v });
	ir_add_insn(b, (struct ir_insn){ .op = IR_GOTO, .imm = 0x1000 });
}

static void run(struct hyp_cpu *cpu, struct ir_block *b)
{
	const char *wrong = ir_verify(b);

	if (wrong)
		fail_msg("%s", wrong);
	ir_interp(cpu, b);
}

static void pure_operations(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		const struct ir_op_desc *d = ir_op_desc(cases[k].op);
		struct ir_block *b = fake_block(HYP_KEY_EL1);
		u8 type = cases[k].type, result = d->result == IR_FLAGS ? IR_FLAGS : type;
		struct ir_insn i = { .op = cases[k].op, .type = result, .cc = cases[k].cc, .imm = cases[k].imm };

		i.a = operand(b, d->arg[0], type, cases[k].a);
		i.b = operand(b, d->arg[1], type, cases[k].b);
		i.c = operand(b, d->arg[2], type, cases[k].c);
		end_with(b, ir_add_insn(b, i));
		run(cpu, b);
		if (cpu->s.x[0] != cases[k].want || cpu->s.pc != 0x1000)
			fail_msg("case %u, %s: %llx, not %llx", k, d->name, (unsigned long long)cpu->s.x[0],
				 (unsigned long long)cases[k].want);
	}
	fake_cpu_free(cpu);
}

/* Every pure operation has a case. */
static void all_are_covered(void **state)
{
	bool seen[IR_NR_OPS] = { false };

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++)
		seen[cases[k].op] = true;
	for (unsigned op = 0; op < IR_NR_OPS; op++)
		if (ir_can_eval(op) && !seen[op])
			fail_msg("no case for %s", ir_op_desc(op)->name);
}

static void conditions(void **state)
{
	/* flags NZCV = 0..15: bit f set where the condition holds, worked out from the manual's C1.2.4 */
	static const u16 holds[14] = { 0xf0f0, 0x0f0f, 0xcccc, 0x3333, 0xff00, 0x00ff, 0xaaaa,
				       0x5555, 0x0c0c, 0xf3f3, 0xaa55, 0x55aa, 0x0a05, 0xf5fa };

	for (unsigned cc = 0; cc < 16; cc++)
		for (unsigned f = 0; f < 16; f++)
			assert_int_equal(ir_cond_holds(cc, f << 28), cc >= IR_AL || holds[cc] >> f & 1);
}

static u16 access_op(struct ir_block *b, enum ir_op op, u8 type, u64 at, u16 value, u32 mem)
{
	u16 addr = ir_const(b, IR_I64, at - 8);

	return ir_add_insn(b, (struct ir_insn){ .op = (u16)op, .type = type, .a = addr, .b = value, .imm = 8, .mem = (u16)mem });
}

static void loads_and_stores(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();
	struct ir_block *b;
	u64 x = 0x8182838485868788;

	cpu->tlb_part = HYP_TLB_EL1;
	for (unsigned log = 0; log < 4; log++)
		for (unsigned sign = 0; sign < 2; sign++)
			for (unsigned again = 0; again < 2; again++) { /* the second time from the soft TLB */
				u64 at = FAKE_RAM + 0xffc, bits = 8u << log;
				u64 want = bits == 64 ? x : x & ((1ull << bits) - 1);

				b = fake_block(HYP_KEY_EL1);
				access_op(b, IR_ST, IR_VOID, at, ir_const(b, IR_I64, x), log);
				end_with(b,
					 access_op(b, IR_LD, IR_I64, at, 0, log | (sign ? IR_MEM_SIGN : 0)));
				run(cpu, b);
				if (sign && bits < 64)
					want = (u64)((s64)(want << (64 - bits)) >> (64 - bits));
				assert_int_equal(cpu->s.x[0], want);
				assert_int_equal(cpu->leave, 0);
			}
	fake_cpu_free(cpu);
}

static void a_fault_leaves_earlier_state(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();
	struct ir_block *b = fake_block(HYP_KEY_EL1);

	ir_add_insn(b, (struct ir_insn){ .op = IR_SET, .a = ir_const(b, IR_I64, 77), .imm = 3 });
	ir_add_insn(b, (struct ir_insn){ .op = IR_INSN, .imm = 4 });
	end_with(b, access_op(b, IR_LD, IR_I64, 0x123, 0, 3));
	cpu->s.x[0] = 5;
	run(cpu, b);
	assert_int_equal(cpu->leave, ARM64_RAISED);
	assert_int_equal(cpu->exc.far, 0x123);
	assert_int_equal(cpu->s.pc, FAKE_PC + 4);
	assert_int_equal(cpu->s.x[3], 77);
	assert_int_equal(cpu->s.x[0], 5);
	fake_cpu_free(cpu);
}

static void exclusives(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();
	struct ir_block *b = fake_block(HYP_KEY_EL1);
	u16 v = access_op(b, IR_LDX, IR_I32, FAKE_RAM + 8, 0, 2);

	end_with(b, access_op(b, IR_STX, IR_I32, FAKE_RAM + 8,
			      ir2(b, IR_ADD, IR_I32, v, ir_const(b, IR_I32, 3)), 2));
	run(cpu, b);
	assert_int_equal(cpu->s.x[0], 0);
	assert_int_equal(fake_ram[8], 3);
	assert_false(cpu->s.exclusive);
	b = fake_block(HYP_KEY_EL1);
	end_with(b, access_op(b, IR_STX, IR_I32, FAKE_RAM + 8, ir_const(b, IR_I32, 9), 2));
	run(cpu, b);
	assert_int_equal(cpu->s.x[0], 1);
	assert_int_equal(fake_ram[8], 3);
	fake_cpu_free(cpu);
}

static void atomics(void **state)
{
	static const u8 want[9] = { 0x0d, 0x08, 0x09, 0x0d, 0x09, 0x04, 0x09, 0x04, 0x04 }; /* of 9 and 4 */
	struct hyp_cpu *cpu = fake_cpu();

	for (u8 cc = 0; cc < 9; cc++) {
		struct ir_block *b = fake_block(HYP_KEY_EL1);
		u16 addr = ir_const(b, IR_I64, FAKE_RAM),
		    four = ir_const(b, IR_I64, cc == 1 || cc == 2 ? 1 : 4);

		fake_ram[0] = cc == 2 ? 8 : 9;
		end_with(b, ir_add_insn(b, (struct ir_insn){ .op = IR_ATOMIC, .type = IR_I64, .cc = cc, .a = addr, .b = four }));
		run(cpu, b);
		assert_int_equal(cpu->s.x[0], cc == 2 ? 8 : 9);
		assert_int_equal(fake_ram[0], want[cc]);
	}
	fake_cpu_free(cpu);
}

static void compare_and_swap(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();

	for (u64 expect = 5; expect < 7; expect++) {
		struct ir_block *b = fake_block(HYP_KEY_EL1);
		struct ir_insn i = { .op = IR_CAS, .type = IR_I32, .mem = 2, .a = ir_const(b, IR_I64, FAKE_RAM) };

		fake_ram[0] = 5;
		i.b = ir_const(b, IR_I32, expect);
		i.c = ir_const(b, IR_I32, 8);
		end_with(b, ir_add_insn(b, i));
		run(cpu, b);
		assert_int_equal(cpu->s.x[0], 5);
		assert_int_equal(fake_ram[0], expect == 5 ? 8 : 5);
	}
	fake_cpu_free(cpu);
}

static u64 helper(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	cpu->s.x[7] = cpu->s.pc;
	return a * 100 + b * 10 + c;
}

static u64 raising_helper(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	hyp_arm64_raise(cpu, 1, a);
	return 0;
}

static void calls(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();
	struct ir_block *b = fake_block(HYP_KEY_EL1);
	u16 one = ir_const(b, IR_I64, 1), two = ir_const(b, IR_I64, 2), v;

	v = ir_add_insn(b, (struct ir_insn){
				   .op = IR_CALLX, .type = IR_I64, .a = one, .b = two, .imm = (s64)helper });
	end_with(b, v);
	run(cpu, b);
	assert_int_equal(cpu->s.x[0], 120);
	assert_int_equal(cpu->s.x[7], FAKE_PC);
	b = fake_block(HYP_KEY_EL1);
	one = ir_const(b, IR_I64, 1);
	end_with(b, ir_add_insn(b, (struct ir_insn){
					   .op = IR_CALLX, .type = IR_I64, .a = one, .imm = (s64)raising_helper }));
	run(cpu, b);
	assert_int_equal(cpu->s.x[0], 120);
	assert_int_equal(cpu->leave, ARM64_RAISED);
	fake_cpu_free(cpu);
}

static void leaving(void **state)
{
	static const u8 ops[] = { IR_BCC, IR_BNZ, IR_BZ };
	struct hyp_cpu *cpu = fake_cpu();

	for (unsigned k = 0; k < 3; k++)
		for (u64 x = 0; x < 2; x++) {
			struct ir_block *b = fake_block(0);
			u16 v = k ? ir_const(b, IR_I32, x)
				  : ir_add_insn(b, (struct ir_insn){ .op = IR_FIMM,
								     .type = IR_FLAGS,
								     .imm = (s64)x * 4 });

			ir_add_insn(b, (struct ir_insn){ .op = ops[k], .a = v, .imm = 0x2000 });
			end_with(b, ir_const(b, IR_I64, 0));
			run(cpu, b);
			assert_int_equal(cpu->s.pc, x == (ops[k] != IR_BZ) ? 0x2000 : 0x1000);
		}
	fake_cpu_free(cpu);
}

static void trapping(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();

	for (u64 x = 0; x < 0x200; x++) {
		struct ir_block *b = fake_block(0);

		ir_add_insn(b, (struct ir_insn){
				       .op = IR_TRAPNZ, .a = ir_const(b, IR_I64, x), .cc = 0x8f, .imm = 0x9a000000 });
		end_with(b, ir_const(b, IR_I64, 0));
		cpu->leave = 0;
		run(cpu, b);
		assert_int_equal(cpu->leave, x & 0x8f ? ARM64_RAISED : 0);
		assert_int_equal(cpu->s.pc, x & 0x8f ? FAKE_PC : 0x1000);
	}
	assert_int_equal(cpu->exc.esr, 0x9a000000);
	fake_cpu_free(cpu);
}

static void vectors(void **state)
{
	struct hyp_cpu *cpu = fake_cpu();
	struct ir_block *b = fake_block(0);
	u16 v = ir_add_insn(b, (struct ir_insn){ .op = IR_VDUP, .type = IR_V128, .cc = 1, .a = ir_const(b, IR_I32, 0x8123) });

	struct ir_insn ins = { .op = IR_VINS, .type = IR_V128, .cc = 3, .a = v, .imm = 1 };

	ins.b = ir_const(b, IR_I64, 7);
	v = ir_add_insn(b, ins);
	ir_add_insn(b, (struct ir_insn){ .op = IR_SETV, .a = v, .imm = 31 });
	access_op(b, IR_STV, IR_VOID, FAKE_RAM + 0x10, v, 4);
	v = access_op(b, IR_LDV, IR_V128, FAKE_RAM + 0x12, 0, 2);
	ir_add_insn(b, (struct ir_insn){ .op = IR_SETV, .a = v, .imm = 2 });
	end_with(b, ir_add_insn(b, (struct ir_insn){ .op = IR_VTO, .type = IR_I64, .cc = 1, .a = v, .imm = 1, .mem = 1 }));
	run(cpu, b);
	assert_int_equal(cpu->s.v[31].d[0], 0x8123812381238123);
	assert_int_equal(cpu->s.v[31].d[1], 7);
	assert_int_equal(cpu->s.v[2].d[0], 0x81238123);
	assert_int_equal(cpu->s.v[2].d[1], 0);
	assert_int_equal(cpu->s.x[0], 0xffffffffffff8123);
	fake_cpu_free(cpu);
}

static void malformed_blocks_are_refused(void **state)
{
	struct ir_block *b = fake_block(0);
	u16 v = ir_const(b, IR_I32, 1);

	assert_non_null(ir_verify(b)); /* no end */
	ir_add_insn(b, (struct ir_insn){ .op = IR_SET, .a = v });
	ir_add_insn(b, (struct ir_insn){ .op = IR_GOTO });
	assert_string_equal(ir_verify(b), "type of an operand");
	b = fake_block(0);
	ir2(b, IR_ADD, IR_I64, 9, 9);
	ir_add_insn(b, (struct ir_insn){ .op = IR_GOTO });
	assert_string_equal(ir_verify(b), "operand is not defined before");
	b = fake_block(0);
	ir_add_insn(b, (struct ir_insn){ .op = IR_GET, .type = IR_I64, .imm = 32 });
	ir_add_insn(b, (struct ir_insn){ .op = IR_GOTO });
	assert_string_equal(ir_verify(b), "register number");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pure_operations), cmocka_unit_test(all_are_covered),
		cmocka_unit_test(conditions), cmocka_unit_test(loads_and_stores),
		cmocka_unit_test(a_fault_leaves_earlier_state), cmocka_unit_test(exclusives),
		cmocka_unit_test(atomics), cmocka_unit_test(compare_and_swap),
		cmocka_unit_test(calls), cmocka_unit_test(leaving), cmocka_unit_test(trapping),
		cmocka_unit_test(vectors), cmocka_unit_test(malformed_blocks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
