/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debug exceptions: software step, breakpoints, watchpoints (DDI 0487, D2). KVM gets them where HCR's TDE is
 * set, else EL1.
 *
 * Where the next instruction may be stepped or break, the block key says HYP_KEY_DEBUG and the run loop goes
 * instruction by instruction. Pages with a watchpoint are not in the soft TLB while any is armed, so that
 * every access to them comes to arm64_watch(). Address matches only; linked and context-aware breakpoints
 * never match.
 */
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

#define NR_DBG ARRAY_SIZE(((struct arm64_debug_regs *)0)->bcr)
#define CR_E 1ull
#define CR_EL_MASK(cr) ((cr) >> 1 & 3) /* BCR.PMC, WCR.PAC: bit 0 EL1, bit 1 EL0 */
#define CR_LINKED_OR_EL2 (1ull << 13 | 15ull << 20)
#define WCR_LOAD (1ull << 3)
#define WCR_STORE (1ull << 4)
#define DEBUG_FSC 0x22u

/* Debug exceptions of EL0 are on; those of EL1 by KDE where PSTATE.D is clear; neither under the OS lock.
 * What goes to KVM is always on. */
bool arm64_debug_enabled(const struct hyp_cpu *cpu, unsigned el, u32 pstate)
{
	if (cpu->s.hcr & ARM64_HCR_TDE)
		return true;
	if (cpu->s.os_lock)
		return false;
	if (!el)
		return true;
	return cpu->s.sr[ARM64_SR_MDSCR_EL1] & MDSCR_KDE && !(pstate & ARM64_PSR_D);
}

static bool enabled_now(const struct hyp_cpu *cpu)
{
	return arm64_debug_enabled(cpu, arm64_el(cpu), cpu->s.pstate);
}

bool arm64_stepping(const struct hyp_cpu *cpu)
{
	return cpu->s.sr[ARM64_SR_MDSCR_EL1] & MDSCR_SS && enabled_now(cpu);
}

static bool for_el(u64 cr, unsigned el)
{
	return cr & CR_E && !(cr & CR_LINKED_OR_EL2) && CR_EL_MASK(cr) & (el ? 1 : 2);
}

/* Can a breakpoint match in the current mode? */
static bool breakpoints_armed(const struct hyp_cpu *cpu)
{
	if (!(cpu->s.sr[ARM64_SR_MDSCR_EL1] & MDSCR_MDE) || !enabled_now(cpu))
		return false;
	for (unsigned i = 0; i < NR_DBG; i++)
		if (for_el(cpu->s.dbg.bcr[i], arm64_el(cpu)))
			return true;
	return false;
}

bool arm64_debug_key(const struct hyp_cpu *cpu)
{
	return arm64_stepping(cpu) || breakpoints_armed(cpu);
}

/* To KVM where it asked for debug exceptions, else the caller takes it to EL1. */
bool arm64_debug_exit(struct hyp_cpu *cpu, u32 esr, u64 far)
{
	if (!(cpu->s.hcr & ARM64_HCR_TDE))
		return false;
	arm64_exit(cpu, HYP_EXIT_DEBUG, 4);
	cpu->s.exit.debug.esr = esr;
	cpu->s.exit.debug.far = far;
	return true;
}

/* EC of an exception that comes from the current EL to EL2 (KVM) or EL1. */
static unsigned debug_ec(const struct hyp_cpu *cpu, unsigned low)
{
	return cpu->s.hcr & ARM64_HCR_TDE || !arm64_el(cpu) ? low : low + 1;
}

static void take_debug(struct hyp_cpu *cpu, u32 esr)
{
	if (!arm64_debug_exit(cpu, esr, 0))
		hyp_arm64_take(cpu, VEC_SYNC, cpu->s.pc, esr, 0);
}

static bool breakpoint_at(const struct hyp_cpu *cpu, u64 pc)
{
	for (unsigned i = 0; i < NR_DBG; i++)
		if (for_el(cpu->s.dbg.bcr[i], arm64_el(cpu)) &&
		    !((cpu->s.dbg.bvr[i] ^ pc) & GENMASK_ULL(48, 2)))
			return true;
	return false;
}

bool arm64_take_debug(struct hyp_cpu *cpu)
{
	if (arm64_stepping(cpu) && !(cpu->s.pstate & ARM64_PSR_SS)) {
		/* active-pending; ISS as for an instruction that was no load-exclusive */
		take_debug(cpu, ESR(debug_ec(cpu, EC_SSTEP_LOW), ISS_ISV | DEBUG_FSC));
		return true;
	}
	if (breakpoints_armed(cpu) && breakpoint_at(cpu, cpu->s.pc)) {
		take_debug(cpu, ESR(debug_ec(cpu, EC_BREAKPT_LOW), DEBUG_FSC));
		return true;
	}
	return false;
}

/* ---- watchpoints ------------------------------------------------------------------------------------- */

/* The bytes that watchpoint i watches: [*start, *start + length). 0: none. */
static u64 watched_range(const struct arm64_debug_regs *d, unsigned i, gva_t *start)
{
	u64 cr = d->wcr[i], bas = cr >> 5 & 0xff, mask = cr >> 24 & 31;

	if (!(cr & CR_E) || cr & (1ull << 13 | 1ull << 20) || !bas)
		return 0;
	if (mask >= 3) {
		*start = d->wvr[i] & ~((1ull << mask) - 1);
		return 1ull << mask;
	}
	*start = (d->wvr[i] & ~7ull) + (u64)__builtin_ctzll(bas);
	return 64 - (u64)__builtin_clzll(bas) - (u64)__builtin_ctzll(bas);
}

static bool overlap(gva_t a, u64 alen, gva_t b, u64 blen)
{
	a &= GENMASK_ULL(55, 0);
	b &= GENMASK_ULL(55, 0);
	return a < b + blen && b < a + alen;
}

bool arm64_page_watched(const struct hyp_cpu *cpu, gva_t gva)
{
	gva_t start;

	for (unsigned i = 0; i < NR_DBG; i++) {
		u64 len = watched_range(&cpu->s.dbg, i, &start);

		if (len && overlap(gva & PAGE_MASK, PAGE_SIZE, start, len))
			return true;
	}
	return false;
}

bool arm64_watch(struct hyp_cpu *cpu, gva_t gva, unsigned size, unsigned acc)
{
	unsigned el = acc & ARM64_ACC_USER ? 0 : arm64_el(cpu);
	u64 kind = (acc & ARM64_ACC_R ? WCR_LOAD : 0) | (acc & ARM64_ACC_W ? WCR_STORE : 0);
	gva_t start;

	if (!enabled_now(cpu))
		return true;
	for (unsigned i = 0; i < NR_DBG; i++) {
		u64 len = watched_range(&cpu->s.dbg, i, &start), cr = cpu->s.dbg.wcr[i];

		if (!len || !(cr & kind) || !(CR_EL_MASK(cr) & (el ? 1 : 2)) ||
		    !overlap(gva, size, start, len))
			continue;
		hyp_arm64_raise(cpu,
				ESR(debug_ec(cpu, EC_WATCHPT_LOW),
				    DEBUG_FSC | (acc & ARM64_ACC_W && cr & WCR_STORE ? ISS_WNR : 0)),
				MAX(gva, start));
		return false;
	}
	return true;
}

static bool watchpoints_on(const struct hyp_cpu *cpu)
{
	gva_t start;

	if (!(cpu->s.sr[ARM64_SR_MDSCR_EL1] & MDSCR_MDE))
		return false;
	for (unsigned i = 0; i < NR_DBG; i++)
		if (watched_range(&cpu->s.dbg, i, &start))
			return true;
	return false;
}

void arm64_debug_update(struct hyp_cpu *cpu)
{
	bool on = watchpoints_on(cpu);

	if (on || cpu->watching)
		hyp_tlb_flush_all(cpu);
	cpu->watching = on;
}
