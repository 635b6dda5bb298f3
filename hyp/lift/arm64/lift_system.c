/* SPDX-License-Identifier: Apache-2.0 */
/* Hints, barriers, system registers and instructions. What a register does is hyp/sys/arm64's business. */
#include "hyp/lift/arm64/lift.h"

#include "hyp/sys/arm64/cpu.h"

#define SYS_NZCV ARM64_SYS(3, 3, 4, 2, 0)
#define SYS_DC_ZVA ARM64_SYS(1, 3, 7, 4, 1)
#define MSR_IMM_DAIFSET (3 << 3 | 6)

/* On to the next instruction, by way of a look at what is pending. */
static void next_block(struct lift *l)
{
	lift_goto(l, l->pc + 4, 0);
}

bool lift_nop(struct lift *l, const struct a64_insn *i)
{
	return true;
}

bool lift_yield(struct lift *l, const struct a64_insn *i)
{
	ir1(l->b, IR_SPIN, IR_VOID, 0);
	return true;
}

bool lift_sev(struct lift *l, const struct a64_insn *i)
{
	lift_call(l, a64_helper_sev, 0, 0, 0);
	return true;
}

bool lift_sevl(struct lift *l, const struct a64_insn *i)
{
	lift_imm_op(l, IR_STSTATE, IR_VOID, lift_const(l, IR_I32, 1), offsetof(struct hyp_cpu, event));
	return true;
}

/* op2 2: WFE, 3: WFI. */
bool lift_wfx(struct lift *l, const struct a64_insn *i)
{
	lift_callx(l, a64_helper_wfx, lift_const(l, IR_I64, F(i, op2) == 2), 0, 0);
	next_block(l);
	return true;
}

bool lift_clrex(struct lift *l, const struct a64_insn *i)
{
	ir1(l->b, IR_CLREX, IR_VOID, 0);
	return true;
}

bool lift_dmb(struct lift *l, const struct a64_insn *i)
{
	unsigned kind = F(i, CRm) & 3; /* 1 loads, 2 stores, 3 and 0 all */
	lift_imm_op(l, IR_FENCE, IR_VOID, 0, kind ? kind : 3);
	return true;
}

bool lift_dsb_full(struct lift *l, const struct a64_insn *i)
{
	lift_imm_op(l, IR_FENCE, IR_VOID, 0, 3);
	return true;
}

bool lift_dsb(struct lift *l, const struct a64_insn *i)
{
	return lift_dsb_full(l, i);
}

/* What IC invalidated is not to be run on from a block made before: the block ends. */
bool lift_isb(struct lift *l, const struct a64_insn *i)
{
	next_block(l);
	return true;
}

static u32 sysreg_of(const struct a64_insn *i)
{
	return ARM64_SYS(i->raw >> 19 & 3, F(i, op1), F(i, CRn), F(i, CRm), F(i, op2));
}

bool lift_mrs(struct lift *l, const struct a64_insn *i)
{
	u32 sys = sysreg_of(i);
	unsigned size, offset = hyp_arm64_plain_sr(sys, l->key, false, &size);
	u16 v;

	if (sys == SYS_NZCV)
		v = ir1(l->b, IR_WIDEN, IR_I64, ir1(l->b, IR_FTO, IR_I32, lift_getf(l)));
	else if (offset && size == 8)
		v = lift_imm_op(l, IR_LDSTATE, IR_I64, 0, offset);
	else if (offset)
		v = ir1(l->b, IR_WIDEN, IR_I64, lift_imm_op(l, IR_LDSTATE, IR_I32, 0, offset));
	else
		v = lift_callx(l, a64_helper_mrs, lift_const(l, IR_I64, sys), lift_const(l, IR_I64, F(i, Rt)),
			       0);
	lift_set(l, IR_I64, F(i, Rt), v);
	return true;
}

static void msr_by_helper(struct lift *l, u32 sys, const struct a64_insn *i)
{
	u16 v = lift_get(l, IR_I64, F(i, Rt));
	lift_callx(l, a64_helper_msr, lift_const(l, IR_I64, sys), lift_const(l, IR_I64, F(i, Rt)), v);
}

bool lift_msr_reg(struct lift *l, const struct a64_insn *i)
{
	u32 sys = sysreg_of(i);
	unsigned size, offset = hyp_arm64_plain_sr(sys, l->key, true, &size);

	if (sys != SYS_NZCV && !offset) {
		msr_by_helper(l, sys, i);
		lift_leave(l, l->pc + 4);
		return true;
	}
	u16 v = lift_get(l, sys == SYS_NZCV || size == 4 ? IR_I32 : IR_I64, F(i, Rt));
	if (sys == SYS_NZCV)
		lift_setf(l, ir1(l->b, IR_FFROM, IR_FLAGS, v));
	else
		lift_imm_op(l, IR_STSTATE, IR_VOID, v, offset);
	return true;
}

/* MSR DAIFSet, DAIFClr, SPSel, PAN, ... The helper refuses (UNDEFINED) those that are not offered. */
bool lift_msr_imm(struct lift *l, const struct a64_insn *i)
{
	unsigned which = F(i, op1) << 3 | F(i, op2);

	lift_callx(l, a64_helper_msr_imm, lift_const(l, IR_I64, which), lift_const(l, IR_I64, F(i, CRm)), 0);
	if (which != MSR_IMM_DAIFSET)
		lift_leave(l, l->pc + 4);
	return true;
}

/* Cache, TLB and address translation maintenance: no block needs to end for it (ISB ends one). */
bool lift_sys(struct lift *l, const struct a64_insn *i)
{
	u32 sys = sysreg_of(i);

	if (sys == SYS_DC_ZVA)
		lift_callx(l, a64_helper_dc_zva, lift_get(l, IR_I64, F(i, Rt)),
			   lift_const(l, IR_I64, F(i, Rt)), 0);
	else
		msr_by_helper(l, sys, i);
	return true;
}
