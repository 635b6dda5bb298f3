/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random blocks: what ir_interp() leaves is what emitted code leaves, bit for bit: registers, flags,
 * vectors, memory, pc, the exception. Arguments: number of blocks, first seed. A block that differs is
 * printed with its seed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/emit/x86/emit.h"
#include "hyp/lift/block.h"
#include "hyp/mem/as.h"
#include "hyp/opt/opt.h"
#include "tests/ir/fake.h"

/* ---- the engine around one block ---- */

void hyp_engine_flush(struct hyp_cpu *cpu)
{
	cpu->engine->next = cpu->engine->base;
	cpu->engine->n_maps = cpu->engine->n_blocks = 0;
}

static struct lift_block *to_run;

/* The block, once; where it ends is where the run ends. */
struct lift_block *lift_find_block(struct hyp_cpu *cpu, u64 pc)
{
	struct lift_block *b = to_run;

	to_run = NULL;
	if (b)
		return b;
	cpu->s.pc = pc;
	cpu->leave = ARM64_EXIT;
	return NULL;
}

void lift_check_key(struct hyp_cpu *cpu)
{
}

void lift_fill_jc(struct hyp_cpu *cpu, const struct lift_block *b)
{
}

/* ---- generation ---- */

static u64 state;

static u64 rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull >> 8 ^ state >> 40;
}

static unsigned below(unsigned n)
{
	return (unsigned)(rnd() >> 4) % n;
}

static u64 interesting(void)
{
	static const u64 some[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
				    0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~0ull << 31, 0xfffff000 };

	switch (below(4)) {
	case 0: return some[below(ARRAY_SIZE(some))];
	case 1: return rnd() & 0xfff;
	case 2: return FAKE_RAM + below(FAKE_PAGES * PAGE_SIZE);
	default: return rnd() << 32 ^ rnd();
	}
}

/* A value of the type made so far, or a fresh constant or register. */
static u16 pick(struct ir_block *b, u8 type)
{
	for (unsigned tries = 0; tries < 12; tries++) {
		u16 v = (u16)(b->n > 40 && below(2) ? b->n - 1 - below(12) : 1 + below(b->n - 1));

		if (b->ir[v].type == type)
			return v;
	}
	switch (type) {
	case IR_FLAGS: return ir_add_insn(b, (struct ir_insn){ .op = IR_GETF, .type = IR_FLAGS });
	case IR_V128: return ir_add_insn(b, (struct ir_insn){ .op = IR_GETV, .type = IR_V128, .imm = below(32) });
	case IR_I64:
		if (below(3))
			return ir_add_insn(b, (struct ir_insn){ .op = IR_GET, .type = IR_I64, .imm = below(32) });
		/* fall through */
	default: return ir_const(b, type, interesting());
	}
}

static u64 helper(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	return a ^ b * 3 ^ c * 5;
}

static u64 helper_of_state(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	cpu->s.x[0] ^= a;
	cpu->s.x[9] += b;
	cpu->s.pstate ^= (u32)c & 0xf0000000;
	cpu->s.v[3].d[0] += a;
	if ((a ^ b) % 16 == 3)
		hyp_arm64_raise(cpu, 0x1234, cpu->s.pc);
	return cpu->s.pc + cpu->s.x[0];
}

static void random_fields(struct ir_block *b, struct ir_insn *i, u8 type)
{
	unsigned w = ir_width(type), lsb = below(w), bits = 1 + below(w - lsb);

	switch (i->op) {
	case IR_GET:
	case IR_SET:
	case IR_GETV:
	case IR_SETV: i->imm = below(3) ? below(5) : below(32); break;
	case IR_CONST: i->imm = (s64)(interesting() & ir_mask(type)); break;
	case IR_SEXT:
	case IR_ZEXT: i->imm = below(2) ? 8 << below(w == 64 ? 3 : 2) : 1 + below(w); break;
	case IR_EXTRACT:
	case IR_SEXTRACT:
	case IR_DEPOSIT: i->imm = lsb | bits << 8; break;
	case IR_EXTR: i->imm = below(w); break;
	case IR_REV: i->cc = (u8)(2 << below(w == 64 ? 3 : 2)); break;
	case IR_CRC32: i->cc = (u8)(1 << below(b->ir[i->b].type == IR_I64 ? 4 : 3)); i->imm = 1; break;
	case IR_FCCMP: i->imm = below(16); i->cc = (u8)below(16); break;
	case IR_FIMM: i->imm = below(16); break;
	case IR_BCC: i->cc = (u8)below(14); break;
	case IR_CSEL:
	case IR_CSET: i->cc = (u8)below(16); break;
	case IR_VCONST: i->imm = (s64)interesting(); i->cc = below(2); break;
	case IR_VTO: i->mem = below(2); /* fall through */
	case IR_VINS: i->cc = (u8)below(4); i->imm = below(16 >> i->cc); break;
	case IR_VDUP:
	case IR_VADD:
	case IR_VSUB:
	case IR_VEQ:
	case IR_VGT:
	case IR_VZIPL:
	case IR_VZIPH:
	case IR_VAND:
	case IR_VBIC:
	case IR_VOR:
	case IR_VXOR: i->cc = (u8)below(4); break;
	case IR_VSMAX:
	case IR_VSMIN:
	case IR_VUMAX:
	case IR_VUMIN: i->cc = (u8)below(3); break;
	case IR_VMUL: i->cc = (u8)(1 + below(2)); break;
	case IR_VSHL:
	case IR_VSHR: i->cc = (u8)(1 + below(3)); i->imm = below(8u << i->cc); break;
	case IR_VSAR: i->cc = (u8)(1 + below(2)); i->imm = below(8u << i->cc); break;
	case IR_VAES: i->cc = (u8)(1 + below(3)) | (below(2) ? IR_AES_INVERSE : 0); break;
	case IR_VCLMUL: i->imm = below(2); break;
	case IR_VEXT: i->imm = below(16); break;
	case IR_VUZP: i->cc = (u8)below(4); i->imm = below(2); break;
	case IR_VLOW: i->cc = (u8)(2 + below(2)); break;
	case IR_VFADD:
	case IR_VFSUB:
	case IR_VFMUL:
	case IR_VFDIV:
	case IR_VFSQRT:
	case IR_VFMLA: i->mem = below(2); /* fall through */
	case IR_VFCVT:
	case IR_VFFROM:
	case IR_VFTO:
	case IR_VFCMP: i->cc = (u8)(2 + below(2)); break;
	default: break;
	}
}

static u16 address(struct ir_block *b)
{
	if (below(3))
		return ir_add_insn(b, (struct ir_insn){ .op = IR_GET, .type = IR_I64, .imm = 16 + below(16) });
	return below(2) ? ir_const(b, IR_I64, FAKE_RAM + below(FAKE_PAGES * PAGE_SIZE)) : pick(b, IR_I64);
}

static void access_op(struct ir_block *b)
{
	static const u8 ops[] = { IR_LD, IR_LD, IR_LD, IR_ST, IR_ST, IR_LDV, IR_STV, IR_LDX, IR_STX, IR_CAS, IR_ATOMIC,
				    IR_LDXQ, IR_STXQ, IR_CASQ };
	struct ir_insn i = { .op = ops[below(ARRAY_SIZE(ops))], .type = IR_VOID };
	u8 t = below(2) ? IR_I32 : IR_I64;
	bool vec = i.op == IR_LDV || i.op == IR_STV, quad = i.op >= IR_LDXQ && i.op <= IR_CASQ;

	i.mem = (u16)below(vec ? 5 : t == IR_I32 ? 3 : 4);
	if (quad)
		i.mem = 4;
	i.a = address(b);
	i.imm = (s64)below(64) - 16;
	if (i.op == IR_LD && below(2))
		i.mem |= IR_MEM_SIGN;
	if (i.op >= IR_LDX && i.op <= IR_CASQ)
		i.mem |= IR_MEM_ALIGN;
	if (i.op == IR_ST && !below(8))
		i.mem |= IR_MEM_REL;
	if (i.op == IR_STX || i.op == IR_STXQ)
		i.type = IR_I32;
	else if (i.op == IR_LDV || quad)
		i.type = IR_V128;
	else if (i.op != IR_ST && i.op != IR_STV)
		i.type = t;
	if (i.op == IR_ST || i.op == IR_STX || i.op == IR_ATOMIC || i.op == IR_CAS)
		i.b = pick(b, t);
	if (i.op == IR_CAS)
		i.c = pick(b, t);
	if (i.op == IR_STV || i.op == IR_STXQ || i.op == IR_CASQ)
		i.b = pick(b, IR_V128);
	if (i.op == IR_CASQ)
		i.c = pick(b, IR_V128);
	if (i.op == IR_ATOMIC)
		i.cc = (u8)below(9);
	if ((i.op == IR_LD || i.op == IR_ST) && (i.mem & 7) >= 2 && below(2)) {
		i.mem |= IR_MEM_PAIR;
		if (i.op == IR_ST) {
			u16 other = pick(b, t);

			ir_add_insn(b, i);
			i.b = other;
		} else {
			ir_add_insn(b, i);
		}
		i.imm += IR_MEM_SIZE(i.mem);
	}
	ir_add_insn(b, i);
}

static void set_v(struct ir_block *b, u16 v, s64 reg)
{
	ir_add_insn(b, (struct ir_insn){ .op = IR_SETV, .a = v, .imm = reg });
}

/* AESE, AESMC, which a pass joins. */
static void aes_round(struct ir_block *b)
{
	u8 inverse = below(2) ? IR_AES_INVERSE : 0;
	struct ir_insn i = { .op = IR_VAES, .type = IR_V128, .a = pick(b, IR_V128), .cc = IR_AES_SUB | inverse };
	s64 reg = below(32);

	i.a = ir_add_insn(b, i);
	set_v(b, i.a, reg);
	i.cc = IR_AES_MIX | (below(8) ? inverse : 0);
	set_v(b, ir_add_insn(b, i), reg);
}

/* A pair that finds its place most of the time; the condition reads what was in between. */
static void exclusive_pair(struct ir_block *b)
{
	u8 t = below(3) == 2 ? IR_V128 : below(2) ? IR_I32 : IR_I64;
	struct ir_insn i = { .op = t == IR_V128 ? IR_LDXQ : IR_LDX, .type = t, .a = address(b), .imm = 16 * (s64)below(2) };

	i.mem = IR_MEM_ALIGN | (u16)(t == IR_V128 ? 4 : below(t == IR_I32 ? 3 : 4));
	if (below(8))
		i.a = ir2(b, IR_AND, IR_I64, i.a, ir_const(b, IR_I64, ~15ull));
	ir_add_insn(b, i);
	if (!below(8))
		ir1(b, IR_CLREX, IR_VOID, 0);
	i.b = pick(b, t);
	i.op = t == IR_V128 ? IR_STXQ : IR_STX;
	i.type = IR_I32;
	if (!below(8))
		i.imm += 8;
	i.b = ir_add_insn(b, i);
	ir_add_insn(b, (struct ir_insn){ .op = IR_BNZ, .a = i.b, .imm = FAKE_PC + 96 });
}

/* As lifters write them: the comparison beside the subtraction, and the condition behind it. */
static void usual_sequence(struct ir_block *b)
{
	u8 t = below(2) ? IR_I32 : IR_I64;
	u16 x = pick(b, t), y = pick(b, t), v, f;
	bool add = below(2);

	v = ir2(b, add ? IR_ADD : IR_SUB, t, x, y);
	f = ir2(b, add ? IR_FADD : IR_FSUB, IR_FLAGS, x, y);
	if (t == IR_I32)
		v = ir1(b, IR_WIDEN, IR_I64, v);
	if (below(2))
		ir_add_insn(b, (struct ir_insn){ .op = IR_SET, .a = v, .imm = below(8) });
	if (below(2))
		ir_add_insn(b, (struct ir_insn){ .op = IR_SETF, .a = f });
	if (below(2))
		ir_add_insn(b, (struct ir_insn){ .op = IR_BCC, .a = f, .cc = (u8)below(14), .imm = FAKE_PC + 64 });
}

static void trap(struct ir_block *b)
{
	ir_add_insn(b, (struct ir_insn){ .op = IR_TRAPNZ, .a = pick(b, IR_I64), .cc = (u8)(1 << below(8)), .imm = FAKE_ESR });
}

static void call_op(struct ir_block *b)
{
	bool state_too = below(2);

	ir_add_insn(b, (struct ir_insn){ .op = state_too ? IR_CALLX : IR_CALL, .type = IR_I64, .a = pick(b, IR_I64),
					 .b = below(2) ? pick(b, IR_I64) : 0, .c = pick(b, IR_I64),
					 .imm = (s64)(state_too ? helper_of_state : helper) });
}

static bool branches(u16 op)
{
	return op == IR_BCC || op == IR_BNZ || op == IR_BZ;
}

static void random_op(struct ir_block *b)
{
	u16 op = (u16)(1 + below(IR_NR_OPS - 1));
	const struct ir_op_desc *d = ir_op_desc(op);
	u8 t = below(2) ? IR_I32 : IR_I64;
	struct ir_insn i = { .op = op };

	if (op == IR_INSN || op == IR_NONE || op == IR_LDSTATE || op == IR_STSTATE ||
	    d->flags & (IR_F_END | IR_F_FAULT) || op == IR_CALL || (branches(op) && below(3)))
		return;
	i.type = d->result == IR_ANY ? t : d->result;
	for (unsigned k = 0; k < 3; k++) {
		u16 v = d->arg[k] == IR_VOID ? 0 : pick(b, d->arg[k] == IR_ANY ? t : d->arg[k]);

		*(k == 0 ? &i.a : k == 1 ? &i.b : &i.c) = v;
	}
	random_fields(b, &i, t);
	if (branches(op))
		i.imm = below(2) ? FAKE_PC + 4 * below(64) : 0x5000;
	ir_add_insn(b, i);
}

static void random_end(struct ir_block *b)
{
	switch (below(5)) {
	case 0: ir_add_insn(b, (struct ir_insn){ .op = IR_GOTOX, .a = pick(b, IR_I64) }); break;
	case 1: ir_add_insn(b, (struct ir_insn){ .op = IR_RAISE, .imm = 0x56000000 + below(100) }); break;
	case 2: ir_add_insn(b, (struct ir_insn){ .op = IR_LEAVE, .imm = 0x7000 }); break;
	case 3: ir_add_insn(b, (struct ir_insn){ .op = IR_GOTO, .imm = 0x123456789000 }); break;
	default: ir_add_insn(b, (struct ir_insn){ .op = IR_GOTO, .imm = FAKE_PC + 80 }); break;
	}
}

static void random_block(struct ir_block *b)
{
	unsigned n = 1 + below(40);

	for (unsigned k = 0; k < n; k++) {
		if (k)
			ir_add_insn(b, (struct ir_insn){ .op = IR_INSN, .imm = 4 * k });
		switch (below(8)) {
		case 0: access_op(b); break;
		case 1: below(3) ? usual_sequence(b) : below(3) ? exclusive_pair(b) : aes_round(b); break;
		case 2: below(4) ? usual_sequence(b) : call_op(b); break;
		default: below(50) ? random_op(b) : trap(b); break;
		}
	}
	random_end(b);
}

static void random_state(struct hyp_cpu *cpu)
{
	for (unsigned g = 0; g < 32; g++)
		cpu->s.x[g] = g >= 16 && below(4) ? FAKE_RAM + below(FAKE_PAGES * PAGE_SIZE) : interesting();
	for (unsigned g = 0; g < 32; g++)
		for (unsigned h = 0; h < 2; h++)
			cpu->s.v[g].d[h] = interesting();
	cpu->s.pstate = (u32)rnd() << 28 | 5;
	cpu->key = HYP_KEY_EL1;
	cpu->tlb_part = HYP_TLB_EL1;
	cpu->s.pc = FAKE_PC;
}

/* ---- comparison ---- */

static struct hyp_cpu *cpus[2]; /* interpreted, emitted */
static u8 ram[2][sizeof(fake_ram)];
static unsigned refused;

static void run_emitted(struct hyp_cpu *cpu, const struct ir_block *b)
{
	struct lift_engine *e = cpu->engine;
	struct lift_block *blk = &e->blocks[0];
	u64 host_gs;

	hyp_engine_flush(cpu);
	*blk = (struct lift_block){ .pc = FAKE_PC, .key = b->key };
	if (emit_block(e, b, blk)) {
		refused++;
		ir_interp(cpu, b);
		return;
	}
	e->n_blocks = 1;
	to_run = blk;
	__asm__ volatile("rdgsbase %0" : "=r"(host_gs));
	__asm__ volatile("wrgsbase %0" : : "r"(cpu));
	emit_run(cpu);
	__asm__ volatile("wrgsbase %0" : : "r"(host_gs));
	if (cpu->leave == ARM64_EXIT)
		cpu->leave = 0;
}

static bool aborted(const struct hyp_cpu *cpu)
{
	return cpu->leave == ARM64_RAISED && (cpu->exc.esr & ~64u) == FAKE_ESR;
}

/* After an abort flags that are dead may be older ones where passes have been run (hyp/opt/opt.h). */
static const char *difference(const struct hyp_cpu *a, const struct hyp_cpu *b, bool optimised)
{
	if (memcmp(a->s.x, b->s.x, sizeof(a->s.x)))
		return "x";
	if (memcmp(a->s.v, b->s.v, sizeof(a->s.v)))
		return "v";
	if (a->s.pstate != b->s.pstate && !(optimised && aborted(a)))
		return "pstate";
	if (a->s.pc != b->s.pc)
		return "pc";
	if (a->leave != b->leave || (a->leave && (a->exc.esr != b->exc.esr || a->exc.far != b->exc.far)))
		return "exception";
	if (a->s.exclusive != b->s.exclusive || (a->s.exclusive && a->ex_addr != b->ex_addr) ||
	    (a->s.exclusive && memcmp(a->ex_val, b->ex_val, MIN(a->s.exclusive, 8u))) || a->spins != b->spins)
		return "monitor";
	return memcmp(ram[0], ram[1], sizeof(ram[0])) ? "memory" : NULL;
}

static void show(const struct ir_block *b, u64 seed, const char *what)
{
	static char text[400000];

	ir_print(b, text, sizeof(text));
	printf("seed %llu: %s differs\n%s", (unsigned long long)seed, what, text);
	for (unsigned g = 0; g < 32; g++)
		if (cpus[0]->s.x[g] != cpus[1]->s.x[g])
			printf("x%u %llx, emitted %llx\n", g, (unsigned long long)cpus[0]->s.x[g],
			       (unsigned long long)cpus[1]->s.x[g]);
	printf("pstate %x %x pc %llx %llx leave %u %u far %llx %llx\n", cpus[0]->s.pstate, cpus[1]->s.pstate,
	       (unsigned long long)cpus[0]->s.pc, (unsigned long long)cpus[1]->s.pc, cpus[0]->leave,
	       cpus[1]->leave, (unsigned long long)cpus[0]->exc.far, (unsigned long long)cpus[1]->exc.far);
}

static bool one(u64 seed)
{
	static u8 before[sizeof(fake_ram)];
	struct ir_block *b = fake_block(HYP_KEY_EL1);
	static struct ir_block changed;
	const char *wrong;
	u64 at_start;

	state = seed * 0x9e3779b97f4a7c15ull + 1;
	random_block(b);
	wrong = ir_verify(b);
	if (wrong) {
		show(b, seed, wrong);
		return false;
	}
	for (unsigned k = 0; k < sizeof(before); k++)
		before[k] = (u8)rnd();
	at_start = state;
	changed = *b;
	if (seed & 1)
		opt_block(&changed, NULL);
	wrong = ir_verify(&changed);
	if (wrong) {
		show(&changed, seed, wrong);
		return false;
	}
	for (unsigned k = 0; k < 2; k++) {
		struct hyp_cpu *cpu = cpus[k];

		state = at_start;
		memset(&cpu->s, 0, sizeof(cpu->s));
		cpu->leave = 0;
		memset(&cpu->exc, 0, sizeof(cpu->exc));
		random_state(cpu);
		memcpy(fake_ram, before, sizeof(before));
		if (k)
			run_emitted(cpu, &changed);
		else
			ir_interp(cpu, b);
		memcpy(ram[k], fake_ram, sizeof(fake_ram));
	}
	wrong = difference(cpus[0], cpus[1], seed & 1);
	if (wrong)
		show(b, seed, wrong);
	return !wrong;
}

int main(int argc, char **argv)
{
	u64 n = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000,
	    first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	unsigned bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);

	for (unsigned k = 0; k < 2; k++) {
		cpus[k] = fake_cpu();
		for (unsigned j = 0; j < HYP_JC_SIZE; j++)
			cpus[k]->jc[1][j].pc = LIFT_JC_EMPTY(j);
		if (k && lift_engine_create(cpus[k]))
			return 2;
	}
	for (u64 seed = first; seed < first + n && bad < 3; seed++)
		bad += !one(seed);
	printf("%llu blocks, %u different, %u refused\n", (unsigned long long)n, bad, refused);
	return bad || refused > n / 100;
}
