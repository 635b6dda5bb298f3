/* SPDX-License-Identifier: Apache-2.0 */
/* Creation of x86 CPUs (hyp.h). */
#include <stdlib.h>
#include <string.h>

#include "hyp/direct/x86/direct.h"
#include "hyp/mem/signal.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/sys/x86/sys.h"

int hyp_init(void)
{
	return hyp_signal_init();
}

void hyp_exit(void)
{
	hyp_signal_exit();
}

/* ---- CPUs --------------------------------------------------------------------------------------- */

struct hyp_cpu *hyp_cpu_create(struct hyp_as *as, u32 id)
{
	static const u32 mxcsr_default = 0x1f80;
	const char *engine = getenv("KUSE_HYP_ENGINE");
	struct hyp_cpu *cpu = hyp_pages_alloc_huge(sizeof(*cpu));

	if (!cpu)
		return NULL;
	cpu->id = id;
	cpu->as = as;
	cpu->stats = cpu->own_stats;
	cpu->jc_mask = HYP_JC_SIZE - 1;
	cpu->s.tsc_ratio = 1ull << 48;
	if (tcache_create(cpu)) {
		hyp_pages_free_huge(cpu, sizeof(*cpu));
		return NULL;
	}
	if (!x86_interp_make(cpu)) {
		tcache_destroy(cpu);
		hyp_pages_free_huge(cpu, sizeof(*cpu));
		return NULL;
	}
	if (hyp_direct_create(cpu)) {
		x86_interp_free(cpu);
		tcache_destroy(cpu);
		hyp_pages_free_huge(cpu, sizeof(*cpu));
		return NULL;
	}
	cpu->engine->interp_only = engine && !strcmp(engine, "interp");
	cpu->engine->always_hot = engine && !strcmp(engine, "hot");
	cpu->engine->always_checks = engine && !strcmp(engine, "checked");
	hyp_x86_reset(cpu, false);
	memcpy(cpu->s.xsave + 24, &mxcsr_default, 4);
	for (unsigned part = 0; part < HYP_TLB_PARTS; part++)
		hyp_cell_empty(&cpu->cell[part][HYP_CELL_STACK]);
	hyp_x86_state_changed(cpu);
	hyp_as_add_cpu(as, cpu);
	return cpu;
}

void hyp_cpu_destroy(struct hyp_cpu *cpu)
{
	if (!cpu)
		return;
	hyp_as_del_cpu(cpu->as, cpu);
	hyp_direct_destroy(cpu);
	tcache_destroy(cpu);
	x86_interp_free(cpu);
	hyp_pages_free_huge(cpu, sizeof(*cpu));
}

size_t hyp_stats(struct hyp_cpu *cpu, const struct hyp_stat_desc **desc, const u64 **values)
{
	static const struct hyp_stat_desc descs[] = {
#define STAT(name, help) { #name, help },
#include "hyp/stats.inc"
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
