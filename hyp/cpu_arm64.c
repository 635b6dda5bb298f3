/* SPDX-License-Identifier: Apache-2.0 */
/* Creation and reset of arm64 CPUs (hyp.h, hyp/sys/arm64/state.h). */
#include <string.h>
#include <x86intrin.h>

#include "hyp/lift/engine.h"
#include "hyp/mem/pages.h"
#include "hyp/mem/signal.h"
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"
#include "lib/tsc.h"

void hyp_set_confined(bool confined)
{
	(void)confined; /* nothing to do without */
}

void hyp_cpu_confine(struct hyp_cpu *cpu)
{
	(void)cpu;
}

void hyp_confined(void)
{
}

/* Guest RAM is used where the client has it, and nowhere else. */
void hyp_cpu_memory_moved(struct hyp_cpu *cpu)
{
	(void)cpu;
}

int hyp_init(void)
{
	bool stated;

	host_tsc_khz(&stated); /* now, not when a guest asks */
	return hyp_signal_init();
}

void hyp_exit(void)
{
	hyp_signal_exit();
}

/* ---- CPUs --------------------------------------------------------------------------------------- */

struct hyp_cpu *hyp_cpu_create(struct hyp_as *as, u32 id)
{
	struct hyp_cpu *cpu = hyp_pages_alloc_huge(sizeof(*cpu));

	if (!cpu)
		return NULL;
	cpu->id = id;
	cpu->as = as;
	cpu->stats = cpu->own_stats;
	cpu->s.pa_bits = (u8)hyp_arm64_ipa_bits();
	if (lift_engine_create(cpu)) {
		hyp_pages_free_huge(cpu, sizeof(*cpu));
		return NULL;
	}
	arm64_sysreg_init(cpu);
	hyp_arm64_reset(cpu);
	hyp_as_add_cpu(as, cpu);
	return cpu;
}

void hyp_cpu_destroy(struct hyp_cpu *cpu)
{
	if (!cpu)
		return;
	hyp_as_del_cpu(cpu->as, cpu);
	lift_engine_destroy(cpu);
	hyp_pages_free_huge(cpu, sizeof(*cpu));
}

struct arm64_state *hyp_arm64_state(struct hyp_cpu *cpu)
{
	return &cpu->s;
}

/* What is UNKNOWN after a reset is 0 here. */
void hyp_arm64_reset(struct hyp_cpu *cpu)
{
	struct arm64_state *s = &cpu->s;

	memset(s->x, 0, sizeof(s->x));
	memset(s->v, 0, sizeof(s->v));
	s->pc = 0;
	memset(&s->dbg, 0, sizeof(s->dbg));
	s->fpcr = s->fpsr = 0;
	s->vi = s->vf = s->vse = false;
	s->exclusive = 0;
	cpu->sp_bank = 1;
	s->pstate = ARM64_PSR_EL(1) | ARM64_PSR_SP | ARM64_PSR_DAIF;
	arm64_sysreg_reset(cpu);
	hyp_mode_update(cpu);
	arm64_regime_update(cpu);
	hyp_tlb_flush_all(cpu);
}

void hyp_arm64_state_changed(struct hyp_cpu *cpu)
{
	arm64_regime_update(cpu);
	arm64_debug_update(cpu);
	arm64_pstate_changed(cpu);
}

/* ---- the counter ------------------------------------------------------------------------------------ */

u64 hyp_arm64_counter(void)
{
	return __rdtsc();
}

u64 hyp_arm64_counter_hz(void)
{
	bool stated;

	return (u64)host_tsc_khz(&stated) * 1000;
}

/* ---- counters of events -------------------------------------------------------------------------------- */

size_t hyp_stats(struct hyp_cpu *cpu, const struct hyp_stat_desc **desc, const u64 **values)
{
	static const struct hyp_stat_desc descs[] = {
#define STAT(name, help) { #name, help },
#include "hyp/sys/arm64/stats.inc"
#undef STAT
	};

	*desc = descs;
	*values = cpu->stats;
	return ARRAY_SIZE(descs);
}

void hyp_stats_move(struct hyp_cpu *cpu, u64 *to)
{
	memcpy(to, cpu->stats, sizeof(cpu->own_stats));
	cpu->stats = to;
}

/* Not counted: its interpreter is for what is executed a few times only. */
size_t hyp_interpreted(struct hyp_insn_count *top, size_t n)
{
	(void)top;
	(void)n;
	return 0;
}
