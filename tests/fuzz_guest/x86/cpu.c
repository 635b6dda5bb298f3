/* SPDX-License-Identifier: Apache-2.0 */
/* Exits of an x86 CPU, and its registers for the verdict. */
#include <stdio.h>
#include <string.h>
#include "tests/fuzz_guest/x86/x86.h"

const char program_name[] = "fuzz_guest";
const char *const engines[4] = { "interp", "rewrite", "hot", "checked" };

/* What KVM would answer, at random. */
bool exit_answer(struct fuzz_rng *r, struct hyp_cpu *cpu, enum hyp_exit reason)
{
	struct x86_state *s = hyp_x86_state(cpu);
	u64 data = fuzz_u64(r) | 1ull << 50;

	switch (reason) {
	case HYP_EXIT_IO:
		s->exit.io.data = (u32)data;
		hyp_x86_complete_io(cpu);
		return true;
	case HYP_EXIT_MMIO:
		if (s->exit.mmio.write)
			return true;
		memcpy(s->exit.mmio.data, &data, 8);
		hyp_x86_complete_mmio(cpu);
		return true;
	case HYP_EXIT_HLT: case HYP_EXIT_CPUID: case HYP_EXIT_RDMSR: case HYP_EXIT_WRMSR: case HYP_EXIT_HYPERCALL:
	case HYP_EXIT_XSETBV: case HYP_EXIT_PAUSE: case HYP_EXIT_MWAIT: case HYP_EXIT_RDPMC: case HYP_EXIT_INVD:
		hyp_x86_skip(cpu);
		return true;
	case HYP_EXIT_CR8: case HYP_EXIT_IRQ_WINDOW: case HYP_EXIT_NMI_WINDOW:
		return true;
	case HYP_EXIT_INTERNAL:
		fuzz_wrong("internal error at %#lx: %s", (unsigned long)s->exit.internal.rip,
			   s->exit.internal.what);
	case HYP_EXIT_HOST_FAULT:
		fuzz_wrong("an access to a slot's memory faulted, rip %#lx", (unsigned long)s->rip);
	default:
		return false;
	}
}

void cpu_restart(struct fuzz_rng *r, struct hyp_cpu *cpu)
{
	hyp_x86_abort_access(cpu);
	if (fuzz_chance(r, 15))
		cpu_start(r, cpu);
	else
		registers_random(r, hyp_x86_state(cpu));
	hyp_x86_state(cpu)->inject.type = X86_EVENT_NONE;
	hyp_x86_state_changed(cpu);
}

void cpu_describe(struct hyp_cpu *cpu, char *text, size_t size)
{
	struct x86_state *s = hyp_x86_state(cpu);

	snprintf(text, size, "rip %#lx cr0 %#lx efer %#lx", (unsigned long)s->rip, (unsigned long)s->cr0,
		 (unsigned long)s->efer);
}

void cpu_look(struct hyp_cpu *cpu)
{
	struct x86_state *s = hyp_x86_state(cpu);

	space_look(s->gpr, sizeof(s->gpr), "general register * 8", 0);
	space_look(s->xsave, sizeof(s->xsave), "XSAVE offset", 0);
	space_look(&s->cr2, 8, "CR2", 0);
}
