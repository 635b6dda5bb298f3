/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYS instructions: TLB maintenance, address translation, caches (DDI 0487, D8.14, D7.5, C5). Caches are
 * coherent, so what is left of cache maintenance is its permission checks, IC, and DC ZVA.
 */
#include "hyp/ir/ir.h"
#include "hyp/mem/guard.h"
#include "hyp/sys/arm64/access.h"
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

#define ZVA_BYTES 64u /* DCZID_EL0.BS = 4 */

/* ---- TLBI ------------------------------------------------------------------------------------------ */

/* VA[55:12] in bits 43:0 of the argument. */
static gva_t tlbi_va(u64 arg)
{
	return (gva_t)((s64)(arg << 20) >> 8);
}

/* RVAE1 and friends: BaseADDR[36:0], NUM[43:39], SCALE[45:44], TG[47:46]. False: TG 0 is reserved. */
static bool tlbi_range(u64 arg, struct arm64_tlbi *t)
{
	static const u8 granule[4] = { 0, 12, 14, 16 };
	unsigned shift = granule[arg >> 46 & 3];
	u64 pages = ((arg >> 39 & 31) + 1) << (5 * (arg >> 44 & 3) + 1);

	t->op = TLBI_RANGE;
	t->va = (gva_t)((s64)(arg << 27) >> 27) << shift;
	t->len = pages << shift;
	return shift;
}

/* By CRm: the shareability, and whether a range. -1: no such instruction. */
static int tlbi_scope(u32 crm, bool *range, bool *others)
{
	*range = crm == 2 || crm == 5 || crm == 6;
	*others = crm == 1 || crm == 2 || crm == 3 || crm == 5; /* Outer and Inner Shareable */
	return *range || crm == 1 || crm == 3 || crm == 7 ? 0 : -1;
}

static bool tlbi_decode(u32 op2, bool range, u64 arg, struct arm64_tlbi *t)
{
	t->asid = (u16)(arg >> 48);
	if (range)
		return op2 & 1 && tlbi_range(arg, t);
	switch (op2) {
	case 0: t->op = TLBI_ALL; return true;
	case 2: t->op = TLBI_ASID; return true;
	case 1: case 3: case 5: case 7:
		t->op = TLBI_VA;
		t->va = tlbi_va(arg);
		return true;
	default: return false;
	}
}

static bool tlbi(struct hyp_cpu *cpu, u32 sys, u64 arg)
{
	struct arm64_tlbi t = { 0 };
	bool range, others;

	if (tlbi_scope(sys >> 3 & 15, &range, &others))
		return false;
	if (!tlbi_decode(sys & 7, range, arg, &t))
		return range; /* a reserved granule: nothing happens */
	if (others)
		arm64_tlbi_broadcast(cpu, &t);
	else
		arm64_tlbi_local(cpu, &t);
	return true;
}

/* ---- AT ----------------------------------------------------------------------------------------------- */

#define PAR_F 1ull
#define PAR_RES1 (1ull << 11)

static u64 par_of(bool ok, const struct arm64_walk *w)
{
	if (!ok)
		return PAR_F | PAR_RES1 | (u64)w->fsc << 1;
	return (w->gpa & 0x0000fffffffff000ull) | PAR_RES1 | (u64)w->attr << 56 |
	       (u64)(w->device ? 2 : w->sh) << 7;
}

/* op2: bit 0 write, bit 1 as EL0; with PAN where CRm is 9. */
static bool at(struct hyp_cpu *cpu, u32 sys, u64 va)
{
	u32 op2 = sys & 7, crm = sys >> 3 & 15;
	unsigned acc = op2 & 1 ? ARM64_ACC_W : ARM64_ACC_R;
	struct arm64_walk w;

	if (op2 > (crm == 8 ? 3u : 1u))
		return false;
	if (op2 & 2)
		acc |= ARM64_ACC_USER;
	if (crm == 8)
		acc |= ARM64_ACC_NOPAN;
	cpu->s.sr[ARM64_SR_PAR_EL1] = par_of(arm64_walk(cpu, va, acc, &w), &w);
	return true;
}

/* ---- caches ---- */

#define IC_IALLUIS ARM64_SYS(1, 0, 7, 1, 0)
#define IC_IALLU ARM64_SYS(1, 0, 7, 5, 0)
#define IC_IVAU ARM64_SYS(1, 3, 7, 5, 1)
#define DC_IVAC ARM64_SYS(1, 0, 7, 6, 1)
#define DC_ISW ARM64_SYS(1, 0, 7, 6, 2)
#define DC_CSW ARM64_SYS(1, 0, 7, 10, 2)
#define DC_CISW ARM64_SYS(1, 0, 7, 14, 2)
#define DC_CVAC ARM64_SYS(1, 3, 7, 10, 1)
#define DC_CVAU ARM64_SYS(1, 3, 7, 11, 1)
#define DC_CVAP ARM64_SYS(1, 3, 7, 12, 1)
#define DC_CIVAC ARM64_SYS(1, 3, 7, 14, 1)

static bool uci_trapped(struct hyp_cpu *cpu, u32 sys, u64 rt)
{
	if (arm64_el(cpu) || arm64_sctlr(cpu) & SCTLR_UCI)
		return false;
	arm64_trap_sys(cpu, sys, rt, false);
	return true;
}

/* Maintenance by address: translated like a load (IVAC: a store), without PAN. Where there is no RAM it
 * does nothing. */
static void by_address(struct hyp_cpu *cpu, u32 sys, gva_t va)
{
	unsigned acc = ARM64_ACC_CM | ARM64_ACC_NOPAN | (sys == DC_IVAC ? ARM64_ACC_W : ARM64_ACC_R);
	struct arm64_place p;

	if (arm64_place(cpu, va, acc, &p) && sys == IC_IVAU && p.host)
		hyp_arm64_ic_page(cpu, p.gpa & PAGE_MASK);
}

static bool cache(struct hyp_cpu *cpu, u32 sys, u64 rt, u64 va)
{
	switch (sys) {
	case IC_IALLU:
	case IC_IALLUIS:
		hyp_arm64_ic_all(cpu);
		return true;
	case DC_ISW:
	case DC_CSW:
	case DC_CISW:
		return true;
	case IC_IVAU:
	case DC_CVAC:
	case DC_CVAU:
	case DC_CVAP:
	case DC_CIVAC:
		if (!uci_trapped(cpu, sys, rt))
			by_address(cpu, sys, va);
		return true;
	case DC_IVAC:
		by_address(cpu, sys, va);
		return true;
	default:
		return false;
	}
}

static bool sys_insn(struct hyp_cpu *cpu, u32 sys, u64 rt, u64 val)
{
	u32 op1 = sys >> 11 & 7, crn = sys >> 7 & 15, crm = sys >> 3 & 15;

	if (op1 == 0 && crn == 8)
		return tlbi(cpu, sys, val);
	if (op1 == 0 && crn == 7 && (crm == 8 || crm == 9))
		return at(cpu, sys, val);
	return crn == 7 && cache(cpu, sys, rt, val);
}

bool arm64_sys_insn(struct hyp_cpu *cpu, u32 sys, u64 rt, u64 val)
{
	struct hyp_guard g;
	bool ours;

	if (HYP_GUARD(&g, cpu->as)) {
		arm64_host_refused(cpu, g.hva);
		return true;
	}
	ours = sys_insn(cpu, sys, rt, val);
	hyp_guard_end(&g);
	return ours;
}

/* ---- DC ZVA ---- */

#define DC_ZVA ARM64_SYS(1, 3, 7, 4, 1)

static void zero_block(struct hyp_cpu *cpu, gva_t va)
{
	static const u64 zero[2];
	struct arm64_place p;

	if (!arm64_place(cpu, va, ARM64_ACC_W, &p))
		return;
	if (unlikely(cpu->watching) && !arm64_watch(cpu, va & ~(u64)(ZVA_BYTES - 1), ZVA_BYTES, ARM64_ACC_W))
		return;
	if (p.device)
		arm64_data_abort(cpu, va, FSC_ALIGN | ISS_WNR);
	else if (!p.host)
		arm64_mmio_exit(cpu, va, p.gpa, IR_MEM_NOISV | 4, zero);
	else
		__builtin_memset((u8 *)((u64)p.host & ~(u64)(ZVA_BYTES - 1)), 0, ZVA_BYTES);
}

u64 a64_helper_dc_zva(struct hyp_cpu *cpu, u64 addr, u64 rt, u64 unused)
{
	struct hyp_guard g;

	if (!arm64_el(cpu) && !(arm64_sctlr(cpu) & SCTLR_DZE)) {
		arm64_trap_sys(cpu, DC_ZVA, rt, false);
		return 0;
	}
	if (HYP_GUARD(&g, cpu->as)) {
		arm64_host_refused(cpu, g.hva);
		return 0;
	}
	zero_block(cpu, addr);
	hyp_guard_end(&g);
	return 0;
}
