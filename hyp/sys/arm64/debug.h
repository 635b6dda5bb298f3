/* SPDX-License-Identifier: Apache-2.0 */
/* Debug exceptions (debug.c). */
#ifndef KUSE_HYP_ARM64_DEBUG_H
#define KUSE_HYP_ARM64_DEBUG_H

#include "hyp/sys/arm64/cpu.h"

/* Are debug exceptions taken from this EL with this PSTATE? */
bool arm64_debug_enabled(const struct hyp_cpu *cpu, unsigned el, u32 pstate);
/* Is software step on in the current mode (PSTATE.SS says whether an instruction may run first)? */
bool arm64_stepping(const struct hyp_cpu *cpu);
/* Must the current mode go instruction by instruction? */
bool arm64_debug_key(const struct hyp_cpu *cpu);
/* Step or breakpoint before the instruction at pc. True: taken, or the exit is filled in. */
bool arm64_take_debug(struct hyp_cpu *cpu);
/* HYP_EXIT_DEBUG where KVM wants it; false: it does not. */
bool arm64_debug_exit(struct hyp_cpu *cpu, u32 esr, u64 far);
/* An access that would succeed: false where a watchpoint stops it (raised). Only while cpu->watching. */
bool arm64_watch(struct hyp_cpu *cpu, gva_t gva, unsigned size, unsigned acc);
bool arm64_page_watched(const struct hyp_cpu *cpu, gva_t gva);
/* MDSCR_EL1 or s.dbg changed. */
void arm64_debug_update(struct hyp_cpu *cpu);

#endif
