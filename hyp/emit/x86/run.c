/* SPDX-License-Identifier: Apache-2.0 */
/* What emitted code calls, and what happens when it leaves: one handler per kind of site (em.h). */
#include "hyp/emit/x86/em.h"

/* ---- NZCV between pstate and cpu->hflags ---- */

static void flags_in(struct hyp_cpu *cpu)
{
	u32 p = cpu->s.pstate;

	cpu->hflags = (p & ARM64_PSR_N ? 0x8000 : 0) | (p & ARM64_PSR_Z ? 0x4000 : 0) |
		      (p & ARM64_PSR_C ? 0 : 0x100) | (p & ARM64_PSR_V ? 1 : 0);
}

static void flags_out(struct hyp_cpu *cpu)
{
	u32 h = cpu->hflags, nzcv = (h & 0x8000 ? ARM64_PSR_N : 0) | (h & 0x4000 ? ARM64_PSR_Z : 0) |
				    (h & 0x100 ? 0 : ARM64_PSR_C) | (h & 1 ? ARM64_PSR_V : 0);

	cpu->s.pstate = (cpu->s.pstate & ~ARM64_PSR_NZCV) | nzcv;
}

/* ---- called from emitted code ---- */

u64 emit_call_helper(struct hyp_cpu *cpu, const struct em_site *site)
	__attribute__((used, visibility("hidden")));
bool emit_slow_mem(struct hyp_cpu *cpu, const struct em_site *site)
	__attribute__((used, visibility("hidden")));

u64 emit_call_helper(struct hyp_cpu *cpu, const struct em_site *site)
{
	ir_helper fn = (ir_helper)site->target;
	const u64 *arg = cpu->scratch + EM_ARG;
	u64 ret;

	if (site->kind == SITE_CALL)
		return fn(cpu, arg[0], arg[1], arg[2]);
	cpu->s.pc = cpu->engine->blocks[site->block].pc + site->patch;
	flags_out(cpu);
	ret = fn(cpu, arg[0], arg[1], arg[2]);
	flags_in(cpu);
	return ret;
}

static u64 extended(u64 val, u32 mem, bool narrow)
{
	unsigned bits = 8 * IR_MEM_SIZE(mem);

	if (mem & IR_MEM_SIGN && bits < 64)
		val = (u64)((s64)(val << (64 - bits)) >> (64 - bits));
	return narrow ? (u32)val : val;
}

/* One access, or half of a pair. */
static bool access(struct hyp_cpu *cpu, const struct em_site *site, u64 gva, const u64 *arg, u64 *ret)
{
	u32 mem = (u16)site->target;
	unsigned op = (u8)(site->target >> 16), cc = (u8)(site->target >> 32);

	ret[0] = 0;
	switch (op) {
	case IR_LDV: ret[1] = 0; return hyp_arm64_load(cpu, gva, mem, ret);
	case IR_ST:
	case IR_STV: return hyp_arm64_store(cpu, gva, mem, arg);
	case IR_STX:
	case IR_STXQ: return hyp_arm64_store_excl(cpu, gva, mem, arg, ret);
	case IR_LDXQ: return hyp_arm64_load_excl(cpu, gva, mem, ret);
	case IR_CASQ: return hyp_arm64_cas(cpu, gva, mem, arg, arg + 2, ret);
	default: break;
	}
	u64 got[2] = { 0, 0 };
	bool done = op == IR_LD    ? hyp_arm64_load(cpu, gva, mem, got)
		    : op == IR_LDX ? hyp_arm64_load_excl(cpu, gva, mem, got)
		    : op == IR_CAS ? hyp_arm64_cas(cpu, gva, mem, arg, arg + 2, got)
				   : hyp_arm64_atomic(cpu, gva, mem, cc, arg[0], got);

	ret[0] = extended(got[0], mem, site->target >> 41 & 1);
	return done;
}

bool emit_slow_mem(struct hyp_cpu *cpu, const struct em_site *site)
{
	u64 *arg = cpu->scratch + EM_ARG, *ret = cpu->scratch + EM_RESULT, gva = cpu->scratch[EM_GVA];
	u32 mem = (u16)site->target;

	cpu->s.pc = cpu->engine->blocks[site->block].pc + site->patch;
	if (!access(cpu, site, gva, arg, ret))
		return false;
	return !(site->target >> 40 & 1) || access(cpu, site, gva + IR_MEM_SIZE(mem), arg + 1, ret + 1);
}

/* ---- sites: each brings s.pc up to date; the code to go on with, or 0: to the loop ---- */

typedef u64 (*site_handler)(struct hyp_cpu *cpu, const struct em_site *site);

static u64 site_edge(struct hyp_cpu *cpu, const struct em_site *site)
{
	struct lift_engine *e = cpu->engine;
	struct em_site s = *site; /* the code area may be emptied */
	u32 generation = e->generation;
	const struct lift_block *from = &e->blocks[s.block], *to;
	bool poll = s.target <= from->pc;

	cpu->s.pc = s.target;
	if (from->key != cpu->key)
		return 0;
	to = lift_find_block(cpu, s.target);
	if (!to)
		return 0;
	if (generation == e->generation && !from->dead && !((from->gpa ^ to->gpa) >> PAGE_SHIFT))
		emit_link(e, s.patch, to, poll);
	return (u64)e->rx + to->code;
}

static u64 site_again(struct hyp_cpu *cpu, const struct em_site *site)
{
	cpu->s.pc = cpu->engine->blocks[site->block].pc;
	return 0;
}

static u64 site_jc_miss(struct hyp_cpu *cpu, const struct em_site *site)
{
	cpu->s.pc = cpu->scratch[EM_TARGET];
	return 0;
}

static u64 site_leave(struct hyp_cpu *cpu, const struct em_site *site)
{
	cpu->s.pc = site->target;
	return 0;
}

static u64 site_state(struct hyp_cpu *cpu, const struct em_site *site)
{
	return 0;
}

static u64 site_raise(struct hyp_cpu *cpu, const struct em_site *site)
{
	cpu->s.pc = cpu->engine->blocks[site->block].pc + site->patch;
	hyp_arm64_raise(cpu, (u32)site->target, 0);
	return 0;
}

static u64 site_interp(struct hyp_cpu *cpu, const struct em_site *site)
{
	flags_out(cpu);
	ir_interp(cpu, cpu->engine->blocks[site->block].ir);
	flags_in(cpu);
	return 0;
}

static const site_handler handlers[] = {
	[SITE_EDGE] = site_edge,   [SITE_AGAIN] = site_again, [SITE_JC_MISS] = site_jc_miss,
	[SITE_LEAVE] = site_leave, [SITE_STATE] = site_state, [SITE_RAISE] = site_raise,
	[SITE_INTERP] = site_interp,
};

/* Code for s.pc in the current mode, or 0. */
static u64 look_up(struct hyp_cpu *cpu)
{
	const struct hyp_jc_entry *j = &cpu->jc[cpu->key & HYP_KEY_EL1][lift_jc_slot(cpu->s.pc)];
	const struct lift_block *b;

	lift_check_key(cpu);
	if (likely(j->pc == cpu->s.pc))
		return j->code;
	cpu->stats[HYP_STAT_jc_miss]++;
	b = lift_find_block(cpu, cpu->s.pc);
	if (!b)
		return 0;
	lift_fill_jc(cpu, b);
	return (u64)cpu->engine->rx + b->code;
}

static bool must_leave(const struct hyp_cpu *cpu)
{
	return __atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) || cpu->leave || cpu->key & HYP_KEY_DEBUG;
}

void emit_run(struct hyp_cpu *cpu)
{
	u64 code;

	flags_in(cpu);
	do {
		code = look_up(cpu);
		while (code) {
			const struct em_site *site;

			emit_enter(cpu, code);
			site = (const struct em_site *)cpu->resume;
			code = site ? handlers[site->kind](cpu, site) : 0;
		}
	} while (!must_leave(cpu));
	flags_out(cpu);
}

/* ---- host faults ---- */

/* The block that host code at this offset belongs to. */
static const struct lift_block *block_at(const struct lift_engine *e, u32 off)
{
	u32 lo = 0, hi = e->n_blocks;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (e->blocks[mid].code <= off)
			lo = mid;
		else
			hi = mid;
	}
	return e->n_blocks ? &e->blocks[lo] : NULL;
}

static void store_pinned(struct hyp_cpu *cpu, const u64 host[16], bool x0_saved)
{
	for (unsigned g = x0_saved; g < 32; g++)
		if (em_pin[g] >= 0)
			cpu->s.x[g] = host[em_pin[g]];
	flags_out(cpu);
}

void emit_fault(struct hyp_cpu *cpu, u64 host_pc, const u64 host[16])
{
	const struct lift_engine *e = cpu->engine;
	u32 off = (u32)(host_pc - (u64)e->rx);
	const struct lift_block *b;

	if (host_pc < (u64)e->rx + e->base || host_pc >= (u64)e->rx + e->next)
		return;
	b = block_at(e, off);
	for (u32 k = 0; b && k < b->n_map; k++) {
		const struct lift_insn_map *m = &e->maps[b->map + k];

		if (m->host != off)
			continue;
		cpu->s.pc = b->pc + m->guest;
		store_pinned(cpu, host, m->x0_saved);
		break;
	}
}
