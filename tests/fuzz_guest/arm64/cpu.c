/* SPDX-License-Identifier: Apache-2.0 */
/* Exits of an arm64 CPU, and its registers for the verdict. */
#include <stdio.h>
#include <string.h>
#include "tests/fuzz_guest/arm64/arm64.h"

const char program_name[] = "fuzz_guest_arm64";
const char *const engines[4] = { "interp", "lift", "lift", "lift" };

#define ESR_EXTERNAL_ABORT (0x25u << 26 | 1u << 25 | 0x10)

static void answer_mmio(struct hyp_cpu *cpu, struct arm64_state *s, u64 data)
{
	if (!s->exit.mmio.len) {
		hyp_arm64_inject_sync(cpu, ESR_EXTERNAL_ABORT, s->exit.mmio.far);
		return;
	}
	if (!s->exit.mmio.write)
		memcpy(s->exit.mmio.data, &data, 8);
	hyp_arm64_complete_mmio(cpu);
}

static void answer_sysreg(struct fuzz_rng *r, struct hyp_cpu *cpu, struct arm64_state *s, u64 data)
{
	if (fuzz_chance(r, 20)) {
		hyp_arm64_inject_sync(cpu, 1u << 25, 0); /* UNDEFINED */
		return;
	}
	if (!s->exit.sysreg.write && s->exit.sysreg.rt != 31)
		s->x[s->exit.sysreg.rt] = data;
	hyp_arm64_skip(cpu);
}

/* What KVM would answer, at random. */
bool exit_answer(struct fuzz_rng *r, struct hyp_cpu *cpu, enum hyp_exit reason)
{
	struct arm64_state *s = hyp_arm64_state(cpu);
	u64 data = fuzz_u64(r) | 1ull << 50;

	switch (reason) {
	case HYP_EXIT_MMIO: answer_mmio(cpu, s, data); return true;
	case HYP_EXIT_SYSREG: answer_sysreg(r, cpu, s, data); return true;
	case HYP_EXIT_WFX: case HYP_EXIT_SMC: hyp_arm64_skip(cpu); return true;
	case HYP_EXIT_HVC: s->x[0] = data; return true;
	case HYP_EXIT_INTERNAL:
		fuzz_wrong("internal error at %#lx: %s", (unsigned long)s->exit.internal.pc,
			   s->exit.internal.what);
	case HYP_EXIT_HOST_FAULT:
		fuzz_wrong("an access to a slot's memory faulted, pc %#lx", (unsigned long)s->pc);
	case HYP_EXIT_INTR: case HYP_EXIT_DEBUG: return false;
	default: fuzz_wrong("exit %d at pc %#lx", reason, (unsigned long)s->pc);
	}
}

void cpu_restart(struct fuzz_rng *r, struct hyp_cpu *cpu)
{
	if (fuzz_chance(r, 15)) {
		cpu_start(r, cpu);
		return;
	}
	registers_random(r, hyp_arm64_state(cpu));
	if (fuzz_chance(r, 10)) /* as KVM: the client may have changed the code */
		hyp_arm64_ic_all(cpu);
	hyp_arm64_state_changed(cpu);
}

void cpu_describe(struct hyp_cpu *cpu, char *text, size_t size)
{
	struct arm64_state *s = hyp_arm64_state(cpu);

	snprintf(text, size, "pc %#lx pstate %#x sctlr %#lx", (unsigned long)s->pc, s->pstate,
		 (unsigned long)s->sr[ARM64_SR_SCTLR_EL1]);
}

void cpu_look(struct hyp_cpu *cpu)
{
	struct arm64_state *s = hyp_arm64_state(cpu);

	space_look(s->x, sizeof(s->x), "general register * 8", 0);
	space_look(&s->pc, 8, "PC", 0);
	space_look(s->v, sizeof(s->v), "vector register * 16", 0);
	space_look(s->sr, sizeof(s->sr), "system register * 8", 0);
	space_look(&s->dbg, sizeof(s->dbg), "debug registers", 0);
}
