/* SPDX-License-Identifier: Apache-2.0 */
/* What lifted code asks of hyp/sys/arm64, done over one page of memory. */
#include "tests/a64/model.h"

#include "hyp/ir/ir.h"
#include "hyp/lift/arm64/decode.h"
#include "hyp/sys/arm64/cpu.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define ESR_ABORT 0x92000007u     /* lower EL data abort, translation fault */
#define ESR_ALIGNMENT 0x92000021u

static struct hyp_cpu *cpu;
static u64 mem[A64_MEM_SIZE / 8];
static u32 slot[A64_SLOT / 4];
static u64 slot_base;

void hyp_arm64_raise(struct hyp_cpu *c, u32 esr, u64 far)
{
	c->exc.esr = esr;
	c->exc.far = far;
	c->leave = ARM64_RAISED;
}

static u8 *find(gva_t gva, u32 m, bool write)
{
	unsigned size = IR_MEM_SIZE(m);

	gva = (gva_t)((s64)(gva << 8) >> 8); /* top byte ignored */
	if (m & IR_MEM_ALIGN && gva & (size - 1)) {
		hyp_arm64_raise(cpu, ESR_ALIGNMENT, gva);
		return NULL;
	}
	if (gva >= A64_MEM && gva <= A64_MEM + A64_MEM_SIZE - size)
		return (u8 *)mem + (gva - A64_MEM);
	if (!write && gva >= slot_base && gva <= slot_base + A64_SLOT - size)
		return (u8 *)slot + (gva - slot_base);
	hyp_arm64_raise(cpu, ESR_ABORT, gva);
	return NULL;
}

bool hyp_arm64_load(struct hyp_cpu *c, gva_t gva, u32 m, u64 val[2])
{
	u8 *p = find(gva, m, false);

	val[0] = val[1] = 0;
	if (p)
		memcpy(val, p, IR_MEM_SIZE(m));
	return p;
}

bool hyp_arm64_store(struct hyp_cpu *c, gva_t gva, u32 m, const u64 val[2])
{
	u8 *p = find(gva, m, true);

	if (p)
		memcpy(p, val, IR_MEM_SIZE(m));
	return p;
}

bool hyp_arm64_cas(struct hyp_cpu *c, gva_t gva, u32 m, const u64 expect[2], const u64 val[2], u64 old[2])
{
	u8 *p = find(gva, m, true);

	if (!p)
		return false;
	hyp_arm64_load(c, gva, m, old);
	if (!memcmp(p, expect, IR_MEM_SIZE(m)))
		memcpy(p, val, IR_MEM_SIZE(m));
	return true;
}

static u64 atomic(unsigned op, u64 old, u64 v, unsigned bits)
{
	s64 so = (s64)(old << (64 - bits)), sv = (s64)(v << (64 - bits));
	u64 uo = (u64)so, uv = (u64)sv;

	switch (op) {
	case 0: return old + v;
	case 1: return old & ~v;
	case 2: return old ^ v;
	case 3: return old | v;
	case 4: return so > sv ? old : v;
	case 5: return so < sv ? old : v;
	case 6: return uo > uv ? old : v;
	case 7: return uo < uv ? old : v;
	default: return v;
	}
}

bool hyp_arm64_atomic(struct hyp_cpu *c, gva_t gva, u32 m, unsigned op, u64 val, u64 *old)
{
	u64 both[2];

	if (!find(gva, m, true) || !hyp_arm64_load(c, gva, m, both))
		return false;
	*old = both[0];
	both[0] = atomic(op, *old, val, 8 * IR_MEM_SIZE(m));
	return hyp_arm64_store(c, gva, m, both);
}

bool hyp_arm64_load_excl(struct hyp_cpu *c, gva_t gva, u32 m, u64 val[2])
{
	if (!hyp_arm64_load(c, gva, m, val))
		return false;
	c->s.exclusive = true;
	c->ex_addr = gva;
	c->ex_size = (u8)IR_MEM_SIZE(m);
	memcpy(c->ex_val, val, 16);
	return true;
}

/* Without the monitor the address is not looked at, as in qemu-user. */
bool hyp_arm64_store_excl(struct hyp_cpu *c, gva_t gva, u32 m, const u64 val[2], u64 *failed)
{
	bool mine = c->s.exclusive && c->ex_addr == gva && c->ex_size == IR_MEM_SIZE(m);

	*failed = !mine;
	c->s.exclusive = false;
	return !mine || hyp_arm64_store(c, gva, m, val);
}

unsigned hyp_arm64_plain_sr(u32 sys, u32 key, bool write, unsigned *size)
{
	return 0;
}

u64 a64_helper_yield(struct hyp_cpu *c, u64 x, u64 y, u64 z)
{
	return 0;
}

/* Rows that would call these are not generated. */
#define UNUSED_HELPER(name) \
	u64 name(struct hyp_cpu *c, u64 x, u64 y, u64 z) { abort(); }
UNUSED_HELPER(a64_helper_mrs)
UNUSED_HELPER(a64_helper_msr)
UNUSED_HELPER(a64_helper_msr_imm)
UNUSED_HELPER(a64_helper_eret)
UNUSED_HELPER(a64_helper_wfx)
UNUSED_HELPER(a64_helper_hvc)
UNUSED_HELPER(a64_helper_smc)
UNUSED_HELPER(a64_helper_dc_zva)

/* ---- a case
 * ------------------------------------------------------------------------------------------------- */

static void create(void)
{
	cpu = aligned_alloc(64, (sizeof(*cpu) + 63) / 64 * 64);
	if (!cpu)
		abort();
	memset(cpu, 0, sizeof(*cpu));
	memset(cpu->tlb, 0xff, sizeof(cpu->tlb)); /* tags that no page has */
}

static void enter(const struct case_state *s)
{
	memcpy(cpu->s.x, s->x, sizeof(s->x));
	cpu->s.x[31] = s->sp;
	cpu->s.pstate = (u32)s->nzcv;
	cpu->s.fpcr = s->fpcr;
	cpu->s.fpsr = s->fpsr;
	memcpy(cpu->s.v, s->v, sizeof(s->v));
	cpu->s.exclusive = false;
	cpu->leave = 0;
	cpu->s.pc = slot_base;
}

static u32 signal_of(u32 esr)
{
	switch (esr >> 26) {
	case 0: return SIGILL;
	case 0x3c: return SIGTRAP;
	default: return esr == ESR_ALIGNMENT ? SIGBUS : SIGSEGV;
	}
}

static void note(struct a64_result *r)
{
	memcpy(r->s.x, cpu->s.x, sizeof(r->s.x));
	r->s.sp = cpu->s.x[31];
	r->s.nzcv = cpu->s.pstate & ARM64_PSR_NZCV;
	r->s.fpcr = cpu->s.fpcr;
	r->s.fpsr = cpu->s.fpsr;
	memcpy(r->s.v, cpu->s.v, sizeof(r->s.v));
	r->pc = cpu->s.pc;
	r->signal = signal_of(cpu->exc.esr);
	r->mem_hash = case_hash_mem(mem);
	r->pad = 0;
}

const char *model_run(const struct a64_case *c, unsigned index, struct a64_result *r)
{
	static struct ir_block b;

	if (!cpu)
		create();
	slot_base = A64_CODE + (u64)index * A64_SLOT;
	case_fill_slot(slot, c);
	case_fill_mem(mem, c->mem_seed);
	enter(&c->s);
	while (!cpu->leave) {
		u64 at = cpu->s.pc - slot_base;
		if (at >= A64_SLOT)
			return "left its slot";
		a64_lift_block(&b, cpu->s.pc, (u8 *)slot + at, (u32)(A64_SLOT - at), HYP_KEY_FP, A64_INSNS);
		const char *wrong = ir_verify(&b);
		if (wrong)
			return wrong;
		ir_interp(cpu, &b);
	}
	note(r);
	return NULL;
}
