/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions of EL0 and EL1: entry, return, what raises them, software step (DDI 0487, D1, D2).
 *
 * An instruction that cannot complete calls hyp_arm64_raise() with its state untouched; the run loop takes
 * the exception. EL2 is KVM: what HCR_EL2 or MDCR_EL2 route there leaves hyp_cpu_run instead.
 *
 * The stack pointer in use is x[31]. cpu->sp_bank says which of SP_EL0 (0) and SP_EL1 (1) that is, the
 * other is in sr[]; hyp_mode_update() exchanges them after every change of PSTATE.EL or SPSel.
 */
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

/* ---- the mode ------------------------------------------------------------------------------------- */

static void switch_sp(struct hyp_cpu *cpu)
{
	struct arm64_state *s = &cpu->s;
	u8 bank = arm64_el(cpu) && s->pstate & ARM64_PSR_SP;

	if (bank == cpu->sp_bank)
		return;
	s->sr[cpu->sp_bank ? ARM64_SR_SP_EL1 : ARM64_SR_SP_EL0] = s->x[31];
	s->x[31] = s->sr[bank ? ARM64_SR_SP_EL1 : ARM64_SR_SP_EL0];
	cpu->sp_bank = bank;
}

static u32 fp_key(const struct arm64_state *s, unsigned el)
{
	u64 fpen = s->sr[ARM64_SR_CPACR_EL1] >> 20 & 3;
	u32 mode = (s->fpcr >> 22 & 0x1f) | (s->fpcr >> 19 & 1) << 5;

	return HYP_KEY_RMODE(mode) | (fpen == 3 || (fpen == 1 && el) ? HYP_KEY_FP : 0);
}

static u32 el0_key(const struct arm64_state *s)
{
	u32 key = 0;

	if (s->sr[ARM64_SR_SCTLR_EL1] & SCTLR_UCT)
		key |= HYP_KEY_UCT;
	if (s->sr[ARM64_SR_CNTKCTL_EL1] & CNTKCTL_EL0VCTEN)
		key |= HYP_KEY_VCTEN;
	return key;
}

static u32 el1_key(u32 pstate)
{
	u32 key = HYP_KEY_EL1;

	if (pstate & ARM64_PSR_PAN)
		key |= HYP_KEY_PAN;
	if (pstate & ARM64_PSR_UAO)
		key |= HYP_KEY_UAO;
	if (pstate & ARM64_PSR_SP)
		key |= HYP_KEY_SPSEL;
	return key;
}

void hyp_mode_update(struct hyp_cpu *cpu)
{
	const struct arm64_state *s = &cpu->s;
	unsigned el = arm64_el(cpu);
	u32 key = (el ? el1_key(s->pstate) : el0_key(s)) | fp_key(s, el);

	switch_sp(cpu);
	if (s->sr[ARM64_SR_SCTLR_EL1] & SCTLR_A)
		key |= HYP_KEY_ALIGN;
	if (s->sr[ARM64_SR_SCTLR_EL1] & (el ? SCTLR_SA : SCTLR_SA0))
		key |= HYP_KEY_SPALIGN;
	if (unlikely(s->sr[ARM64_SR_MDSCR_EL1] & (MDSCR_SS | MDSCR_MDE)) && arm64_debug_key(cpu))
		key |= HYP_KEY_DEBUG;
	cpu->key = key;
	cpu->tlb_part = !el ? HYP_TLB_EL0 : s->pstate & ARM64_PSR_PAN ? HYP_TLB_EL1_PAN : HYP_TLB_EL1;
}

/* ---- entry ------------------------------------------------------------------------------------------ */

static bool has_far(u32 esr)
{
	unsigned ec = esr >> ESR_EC_SHIFT;

	return ec == EC_IABT_LOW || ec == EC_IABT_CUR || ec == EC_PC_ALIGN || ec == EC_DABT_LOW ||
	       ec == EC_DABT_CUR || (ec & ~1u) == EC_WATCHPT_LOW;
}

static u32 entry_pstate(const struct hyp_cpu *cpu)
{
	u64 sctlr = arm64_sctlr(cpu);
	u32 p = cpu->s.pstate & (ARM64_PSR_NZCV | ARM64_PSR_DIT | ARM64_PSR_PAN);

	p |= ARM64_PSR_EL(1) | ARM64_PSR_SP | ARM64_PSR_DAIF;
	if (!(sctlr & SCTLR_SPAN))
		p |= ARM64_PSR_PAN;
	if (sctlr & SCTLR_DSSBS)
		p |= ARM64_PSR_SSBS;
	return p;
}

void hyp_arm64_take(struct hyp_cpu *cpu, u32 kind, u64 ret, u32 esr, u64 far)
{
	struct arm64_state *s = &cpu->s;
	u32 from = !arm64_el(cpu) ? 0x400 : s->pstate & ARM64_PSR_SP ? 0x200 : 0;

	if (unlikely(s->pmu.on))
		arm64_pmu_event(cpu, ARM64_PMU_EXC_TAKEN);
	s->sr[ARM64_SR_SPSR_EL1] = s->pstate;
	s->sr[ARM64_SR_ELR_EL1] = ret;
	if (kind == VEC_SYNC || kind == VEC_SERROR)
		s->sr[ARM64_SR_ESR_EL1] = esr;
	if (kind == VEC_SYNC && has_far(esr))
		s->sr[ARM64_SR_FAR_EL1] = far;
	s->pstate = entry_pstate(cpu);
	s->pc = s->sr[ARM64_SR_VBAR_EL1] + from + kind;
	s->exclusive = 0;
	cpu->stats[HYP_STAT_exceptions]++;
	hyp_mode_update(cpu);
}

void hyp_arm64_raise(struct hyp_cpu *cpu, u32 esr, u64 far)
{
	cpu->exc.esr = esr;
	cpu->exc.far = far;
	cpu->leave = ARM64_RAISED;
}

void hyp_arm64_undefined(struct hyp_cpu *cpu)
{
	hyp_arm64_raise(cpu, ESR(EC_UNKNOWN, 0), 0);
}

void arm64_data_abort(struct hyp_cpu *cpu, gva_t far, u32 iss)
{
	hyp_arm64_raise(cpu, ESR(arm64_el(cpu) ? EC_DABT_CUR : EC_DABT_LOW, iss), far);
}

void arm64_insn_abort(struct hyp_cpu *cpu, gva_t far, u32 iss)
{
	hyp_arm64_raise(cpu, ESR(arm64_el(cpu) ? EC_IABT_CUR : EC_IABT_LOW, iss), far);
}

/* The instruction counts as executed for SVC: it returns behind it, and a step over it is done. */
void arm64_take_raised(struct hyp_cpu *cpu)
{
	unsigned ec = cpu->exc.esr >> ESR_EC_SHIFT;
	u64 ret = cpu->s.pc;

	cpu->leave = ARM64_GO_ON;
	if ((ec == EC_BRK64 || (ec & ~1u) == EC_WATCHPT_LOW) &&
	    arm64_debug_exit(cpu, cpu->exc.esr, cpu->exc.far))
		return;
	if (ec == EC_SVC64) {
		ret += 4;
		cpu->s.pstate &= ~(ARM64_PSR_SS | ARM64_PSR_BTYPE);
	}
	hyp_arm64_take(cpu, VEC_SYNC, ret, cpu->exc.esr, cpu->exc.far);
}

void hyp_arm64_inject_sync(struct hyp_cpu *cpu, u32 esr, u64 far)
{
	hyp_arm64_take(cpu, VEC_SYNC, cpu->s.pc, esr, far);
}

void hyp_arm64_skip(struct hyp_cpu *cpu)
{
	cpu->s.pc += 4;
	cpu->s.pstate &= ~(ARM64_PSR_SS | ARM64_PSR_BTYPE);
}

/* ---- what is looked at between blocks ------------------------------------------------------------------ */

static bool take_interrupt(struct hyp_cpu *cpu)
{
	struct arm64_state *s = &cpu->s;

	if (s->vse && !(s->pstate & ARM64_PSR_A)) {
		s->vse = false;
		hyp_arm64_take(cpu, VEC_SERROR, s->pc, ESR(EC_SERROR, s->vsesr & 0x1ffffff), 0);
	} else if (s->vf && !(s->pstate & ARM64_PSR_F)) {
		hyp_arm64_take(cpu, VEC_FIQ, s->pc, 0, 0);
	} else if (s->vi && !(s->pstate & ARM64_PSR_I)) {
		hyp_arm64_take(cpu, VEC_IRQ, s->pc, 0, 0);
	} else {
		return false;
	}
	cpu->stats[HYP_STAT_irqs]++;
	return true;
}

bool arm64_take_pending(struct hyp_cpu *cpu)
{
	const struct arm64_state *s = &cpu->s;

	if ((s->vi || s->vf || s->vse) && take_interrupt(cpu))
		return true;
	if (unlikely(s->sr[ARM64_SR_MDSCR_EL1] & (MDSCR_SS | MDSCR_MDE)) && arm64_take_debug(cpu))
		return true;
	if (unlikely(s->pstate & ARM64_PSR_IL)) {
		hyp_arm64_take(cpu, VEC_SYNC, s->pc, ESR(EC_ILL, 0), 0);
		return true;
	}
	return false;
}

/* PSTATE may have come to let something through: the run loop looks. */
static void look_again(struct hyp_cpu *cpu)
{
	__atomic_fetch_or(&cpu->attention, HYP_ATTN_IRQ, __ATOMIC_SEQ_CST);
}

void arm64_pstate_changed(struct hyp_cpu *cpu)
{
	const struct arm64_state *s = &cpu->s;

	hyp_mode_update(cpu);
	if (s->vi || s->vf || s->vse || s->pstate & ARM64_PSR_IL || cpu->key & HYP_KEY_DEBUG)
		look_again(cpu);
}

/* ---- return ---- */

/* To AArch32, to EL2 or EL3, to EL0 with its SP_EL1, or a reserved mode. */
static bool illegal_return(u32 spsr)
{
	return spsr & ARM64_PSR_NRW || spsr & 2 || spsr & 8 || (spsr & 0xf) == 1;
}

/* PSTATE.SS after the return: one instruction more, where step was off before and is on behind it. */
static u32 step_after_return(const struct hyp_cpu *cpu, u32 spsr, unsigned el)
{
	if (!(cpu->s.sr[ARM64_SR_MDSCR_EL1] & MDSCR_SS) || arm64_stepping(cpu) ||
	    !arm64_debug_enabled(cpu, el, spsr))
		return 0;
	return spsr & ARM64_PSR_SS;
}

u64 a64_helper_eret(struct hyp_cpu *cpu, u64 unused, u64 b, u64 c)
{
	struct arm64_state *s = &cpu->s;
	u32 spsr = (u32)s->sr[ARM64_SR_SPSR_EL1], keep = ARM64_PSR_NZCV | ARM64_PSR_DAIF | ARM64_PSR_PAN, to;

	if (unlikely(s->pmu.on))
		arm64_pmu_event(cpu, ARM64_PMU_EXC_RETURN);
	if (unlikely(illegal_return(spsr)))
		to = (spsr & keep) | (s->pstate & ~(keep | ARM64_PSR_SS)) | ARM64_PSR_IL |
		     step_after_return(cpu, spsr, arm64_el(cpu));
	else
		to = (spsr & (keep | ARM64_PSR_DIT | ARM64_PSR_UAO | ARM64_PSR_IL | ARM64_PSR_SSBS | 0xf)) |
		     step_after_return(cpu, spsr, ARM64_PSR_GET_EL(spsr));
	s->pstate = to;
	s->pc = s->sr[ARM64_SR_ELR_EL1];
	if (arm64_tbi(cpu, s->pc))
		s->pc = arm64_untag(s->pc);
	s->exclusive = 0;
	__atomic_store_n(&cpu->event, 1, __ATOMIC_RELAXED);
	arm64_pstate_changed(cpu);
	return 0;
}

/* ---- instructions that call or wait ---- */

u64 a64_helper_hvc(struct hyp_cpu *cpu, u64 imm, u64 b, u64 c)
{
	hyp_arm64_skip(cpu);
	arm64_exit(cpu, HYP_EXIT_HVC, 0);
	cpu->s.exit.call.imm = (u16)imm;
	return 0;
}

u64 a64_helper_smc(struct hyp_cpu *cpu, u64 imm, u64 b, u64 c)
{
	if (!(cpu->s.hcr & ARM64_HCR_TSC)) {
		hyp_arm64_undefined(cpu);
		return 0;
	}
	arm64_exit(cpu, HYP_EXIT_SMC, 4);
	cpu->s.exit.call.imm = (u16)imm;
	return 0;
}
