/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting for KVM's performance monitor (arch/arm64/pmu.c): time by exception level, exceptions, returns.
 * Nothing here runs unless state->pmu.on: whoever changes the exception level asks that first.
 */
#include "hyp/sys/arm64/sys.h"

/* Time up to now belongs to the current exception level. */
static void count_cycles(struct hyp_cpu *cpu)
{
	struct arm64_pmu *pmu = &cpu->s.pmu;
	u64 now = hyp_arm64_counter();

	pmu->n[ARM64_PMU_CYCLES][!!arm64_el(cpu)] += now - pmu->since;
	pmu->since = now;
}

void arm64_pmu_enter(struct hyp_cpu *cpu)
{
	cpu->s.pmu.since = hyp_arm64_counter();
}

void arm64_pmu_leave(struct hyp_cpu *cpu)
{
	count_cycles(cpu);
}

/* KVM injects exceptions outside of hyp_cpu_run: that takes the guest no time. */
void arm64_pmu_event(struct hyp_cpu *cpu, enum arm64_pmu_count what)
{
	struct arm64_pmu *pmu = &cpu->s.pmu;

	if (cpu->in_run)
		count_cycles(cpu);
	pmu->n[what][!!arm64_el(cpu)]++;
	if (pmu->soon && !--pmu->soon)
		hyp_cpu_kick(cpu);
}
