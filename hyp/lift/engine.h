/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine for lifted code: blocks of one CPU by (pc, gpa, key), made by the lifter and the passes, run
 * by the IR interpreter or as host code (hyp/emit). Every CPU has an engine of its own, so nothing here
 * takes a lock.
 *
 * The run loop (hyp/sys/arm64/run.c) does
 *
 *	for (;;) {
 *		answer attention, take an interrupt if one may be taken, ...
 *		lift_run(cpu);
 *		if (cpu->leave == ARM64_RAISED) take cpu->exc;
 *		else if (cpu->leave == ARM64_EXIT) return s.exit.reason;
 *	}
 *
 * with cpu->leave cleared by the run loop. The current mode is cpu->key: hyp_mode_update() keeps it up to
 * date, no other call is needed where the mode changes.
 */
#ifndef KUSE_HYP_LIFT_ENGINE_H
#define KUSE_HYP_LIFT_ENGINE_H

#include "hyp/sys/arm64/cpu.h"

/* Allocates cpu->engine. KUSE_HYP_ENGINE=interp: IR interpreter only. KUSE_TCACHE_MB: size of the code
 * cache. 0 or -errno. */
int lift_engine_create(struct hyp_cpu *cpu);
void lift_engine_destroy(struct hyp_cpu *cpu);

/*
 * Runs blocks from s.pc on, for cpu->key, until cpu->attention or cpu->leave is not 0. Both are looked at
 * before the first block, so it may return without progress where attention is set. With HYP_KEY_DEBUG one
 * instruction is run. All guest state is in the structure when it returns; s.pc is the next instruction, or
 * the one that raised or exits. Mode changes (ERET, MSR) do not make it return by themselves. The caller has
 * set up: in_run, map, cpu->key; GS base and MXCSR are the engine's business.
 */
void lift_run(struct hyp_cpu *cpu);
/* One block, which is one instruction where cpu->key has HYP_KEY_DEBUG. False: there is none (leave says
 * why). */
bool lift_step(struct hyp_cpu *cpu);

/* What lift_run() does last: the host's GS base and MXCSR are back. For who leaves it by a guard
 * (mem/guard.h). */
void lift_abandon(struct hyp_cpu *cpu);

/* What indirect and cross-page branches remember is forgotten: required where a translation of code
 * addresses may have changed (every TLB flush, change of TTBRn, ASID, SCTLR.M). Cheap. */
void hyp_jc_reset(struct hyp_cpu *cpu);
/* The same for non-global pages only (change of ASID or TTBR0): what EL0 and low addresses use. */
void hyp_jc_reset_user(struct hyp_cpu *cpu);

/* Host signals: hyp/mem/signal.h. hyp_cpu_run sets hyp_current. */

#endif
