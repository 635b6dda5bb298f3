/* SPDX-License-Identifier: Apache-2.0 */
/* What lifted code asks of hyp/sys/arm64, done over one page of memory. */
#include "tests/a64/model.h"

#include "hyp/emit/x86/emit.h"
#include "hyp/ir/ir.h"
#include "hyp/lift/arm64/decode.h"
#include "hyp/lift/block.h"
#include "hyp/sys/arm64/cpu.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ESR_ABORT 0x92000007u     /* lower EL data abort, translation fault */
#define ESR_ALIGNMENT 0x92000021u

unsigned long model_interpreted;
static struct hyp_cpu *cpu;
static u64 mem[A64_MEM_SIZE / 8] __attribute__((aligned(4096)));
static u32 slot[A64_SLOT / 4];
static u64 slot_base;

void hyp_arm64_raise(struct hyp_cpu *c, u32 esr, u64 far)
{
	c->exc.esr = esr;
	c->exc.far = far;
	c->leave = ARM64_RAISED;
}

/* The page enters the soft TLB, under the tag byte it was asked for. */
static void fill_tlb(gva_t gva)
{
	struct hyp_tlb_entry *e = &cpu->tlb[HYP_TLB_EL0][hyp_tlb_slot(gva)];

	e->read_tag = e->write_tag = gva & PAGE_MASK;
	e->addend = (u64)mem - (gva & PAGE_MASK);
}

static void empty_tlb(void)
{
	for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
		cpu->tlb[HYP_TLB_EL0][i].read_tag = cpu->tlb[HYP_TLB_EL0][i].write_tag = HYP_TLB_NONE(i);
}

static u8 *find(gva_t gva, u32 m, bool write)
{
	unsigned size = IR_MEM_SIZE(m);
	gva_t tagged = gva;

	gva = (gva_t)((s64)(gva << 8) >> 8); /* top byte ignored */
	if (m & IR_MEM_ALIGN && gva & (size - 1)) {
		hyp_arm64_raise(cpu, ESR_ALIGNMENT, gva);
		return NULL;
	}
	if (gva >= A64_MEM && gva <= A64_MEM + A64_MEM_SIZE - size) {
		fill_tlb(tagged);
		return (u8 *)mem + (gva - A64_MEM);
	}
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
	c->s.exclusive = (u8)IR_MEM_SIZE(m);
	c->ex_addr = gva;
	memcpy(c->ex_val, val, 16);
	return true;
}

/* Without the monitor the address is not looked at, as in qemu-user. */
bool hyp_arm64_store_excl(struct hyp_cpu *c, gva_t gva, u32 m, const u64 val[2], u64 *failed)
{
	bool mine = c->s.exclusive == IR_MEM_SIZE(m) && c->ex_addr == gva;
	u64 old[2];

	*failed = 1;
	c->s.exclusive = 0;
	if (!mine)
		return true;
	if (!hyp_arm64_cas(c, gva, m, c->ex_val, val, old))
		return false;
	*failed = memcmp(old, c->ex_val, IR_MEM_SIZE(m)) != 0;
	return true;
}

unsigned hyp_arm64_plain_sr(u32 sys, u32 key, bool write, unsigned *size)
{
	return 0;
}

u64 a64_helper_sev(struct hyp_cpu *c, u64 x, u64 y, u64 z)
{
	return 0;
}

u64 a64_helper_spin(struct hyp_cpu *c, u64 x, u64 y, u64 z)
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

/* ---- a case ---- */

static void create(void)
{
	cpu = mmap(NULL, sizeof(*cpu), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cpu == MAP_FAILED)
		abort();
	cpu->stats = cpu->own_stats;
	empty_tlb();
	for (unsigned i = 0; i < HYP_JC_SIZE; i++)
		cpu->jc[0][i].pc = LIFT_JC_EMPTY(i);
	if (lift_engine_create(cpu))
		abort();
}

/* ---- the engine around one block: where it ends the run ends ---- */

void hyp_engine_flush(struct hyp_cpu *c)
{
	c->engine->next = c->engine->base;
	c->engine->n_maps = c->engine->n_blocks = 0;
}

struct lift_block *lift_find_block(struct hyp_cpu *c, u64 pc)
{
	c->s.pc = pc;
	c->leave = ARM64_EXIT;
	return NULL;
}

void lift_check_key(struct hyp_cpu *c)
{
}

void lift_fill_jc(struct hyp_cpu *c, const struct lift_block *b)
{
}

static u64 swap_gs(u64 base)
{
	u64 old;

	__asm__ volatile("rdgsbase %0" : "=r"(old));
	__asm__ volatile("wrgsbase %0" : : "r"(base));
	return old;
}

/* False: the emitter refuses this block. */
static bool run_emitted(const struct ir_block *b)
{
	struct lift_engine *e = cpu->engine;
	struct lift_block *blk = &e->blocks[0];
	struct hyp_jc_entry *jc = &cpu->jc[0][lift_jc_slot(b->pc)];

	hyp_engine_flush(cpu);
	*blk = (struct lift_block){ .pc = b->pc, .key = b->key };
	if (emit_block(e, b, blk))
		return false;
	e->n_blocks = 1;
	*jc = (struct hyp_jc_entry){ b->pc, (u64)e->rx + blk->code };
	arm64_fp_enter(cpu);
	u64 gs = swap_gs((u64)cpu);
	emit_run(cpu);
	swap_gs(gs);
	arm64_fp_leave(cpu);
	jc->pc = LIFT_JC_EMPTY(lift_jc_slot(b->pc));
	if (cpu->leave == ARM64_EXIT)
		cpu->leave = ARM64_GO_ON;
	return true;
}

static void enter(const struct case_state *s)
{
	memcpy(cpu->s.x, s->x, sizeof(s->x));
	cpu->s.x[31] = s->sp;
	cpu->s.pstate = (u32)s->nzcv;
	cpu->s.fpcr = s->fpcr;
	cpu->s.fpsr = s->fpsr;
	memcpy(cpu->s.v, s->v, sizeof(s->v));
	cpu->s.exclusive = 0;
	cpu->leave = 0;
	cpu->s.pc = slot_base;
	cpu->key = HYP_KEY_FP | HYP_KEY_RMODE(s->fpcr >> 22 & 0x1f);
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

const char *model_run(const struct a64_case *c, unsigned index, bool emit, struct a64_result *r)
{
	static struct ir_block b;

	if (!cpu)
		create();
	slot_base = A64_CODE + (u64)index * A64_SLOT;
	if (index % 8 == 0) /* else most accesses find their page */
		empty_tlb();
	case_fill_slot(slot, c);
	case_fill_mem(mem, c->mem_seed);
	enter(&c->s);
	while (!cpu->leave) {
		u64 at = cpu->s.pc - slot_base;
		if (at >= A64_SLOT)
			return "left its slot";
		a64_lift_block(&b, cpu->s.pc, (u8 *)slot + at, (u32)(A64_SLOT - at), cpu->key, A64_INSNS);
		const char *wrong = ir_verify(&b);
		if (wrong)
			return wrong;
		if (emit && run_emitted(&b))
			continue;
		model_interpreted++;
		ir_interp(cpu, &b);
	}
	note(r);
	return NULL;
}
