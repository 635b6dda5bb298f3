/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a vCPU beyond waking? Powered off, or with IRQ and FIQ masked in a loop of nothing but branches and
 * hints: Linux halts in one ("b ." on one CPU, "wfe; wfi" on the others). Such a loop leaves no trace in
 * KVM_GET_MP_STATE, and may use a whole core; so the loop itself is looked at, at the PC, through the
 * guest's own translation tables.
 *
 * A WFI with interrupts masked that something else follows is none: it ends as soon as an interrupt is
 * pending, and Linux idles that way.
 */
#include "vmm/arm64/arm64.h"
#include "vmm/machine.h"

#define PSTATE_IRQ_FIQ 0xc0u
#define LOOP_INSNS 8 /* the longest loop that is recognized */

#define SCTLR_REG ARM64_SYS_REG(3, 0, 1, 0, 0)
#define TTBR_REG(n) ARM64_SYS_REG(3, 0, 2, 0, n)
#define TCR_REG ARM64_SYS_REG(3, 0, 2, 0, 2)

#define TTBR_TABLE 0x0000fffffffffffeull
#define DESC_ADDRESS 0x0000fffffffff000ull

/* ---- stage 1: DDI 0487, D8.2 ---- */

struct regime {
	u64 table;
	u32 bits;    /* of an address, 64: no translation */
	u32 granule; /* log2 */
};

static u32 granule_bits(u64 tcr, bool high)
{
	static const u8 tg0[] = {12, 16, 14, 0}, tg1[] = {0, 14, 12, 16};

	return high ? tg1[tcr >> 30 & 3] : tg0[tcr >> 14 & 3];
}

static bool regime_of(struct vcpu *vcpu, u64 va, struct regime *r)
{
	bool high = va >> 55 & 1;
	u64 sctlr, tcr;

	if (machine_get_reg(vcpu, SCTLR_REG, &sctlr) < 0 || machine_get_reg(vcpu, TCR_REG, &tcr) < 0 ||
	    machine_get_reg(vcpu, TTBR_REG(high), &r->table) < 0)
		return false;
	r->table &= TTBR_TABLE;
	r->bits = sctlr & 1 ? 64 - (tcr >> (high ? 16 : 0) & 63) : 64;
	r->granule = granule_bits(tcr, high);
	return r->bits == 64 || (r->granule && r->bits > r->granule);
}

static bool walk(struct vm *vm, const struct regime *r, u64 va, gpa_t *gpa)
{
	const u32 stride = r->granule - 3;
	u64 table = r->table, offset = va & ((1ull << r->bits) - 1);

	for (u32 shift = r->granule + (r->bits - r->granule - 1) / stride * stride;; shift -= stride) {
		const u64 *desc = memory_at(vm, table + (offset >> shift) * 8, 8);
		u64 base;

		if (!desc || !(*desc & 1) || (shift == r->granule && !(*desc & 2)))
			return false;
		base = *desc & DESC_ADDRESS;
		offset &= (1ull << shift) - 1;
		if (shift == r->granule || !(*desc & 2)) {
			*gpa = (base & ~((1ull << shift) - 1)) | offset;
			return true;
		}
		table = base & ~((1ull << r->granule) - 1);
	}
}

/* ---- the loop ---- */

static bool fetch(struct vcpu *vcpu, u64 va, u32 *insn)
{
	struct regime r;
	gpa_t gpa = va;
	const u32 *word;

	if (va & 3 || !regime_of(vcpu, va, &r) || (r.bits < 64 && !walk(vcpu->vm, &r, va, &gpa)))
		return false;
	word = memory_at(vcpu->vm, gpa, sizeof(*word));
	if (word)
		*insn = *word;
	return word;
}

/* HINT, DSB, DMB, ISB: nothing changes by them. */
static bool is_idle(u32 insn)
{
	u32 barrier = insn & 0xfffff0ff;

	return (insn & 0xfffff01f) == 0xd503201f || barrier == 0xd503309f || barrier == 0xd50330bf ||
	       barrier == 0xd50330df;
}

static bool is_branch(u32 insn)
{
	return (insn & 0xfc000000) == 0x14000000;
}

/* Every way from pc on leads back to where it has been, through nothing that does anything. */
static bool loops_idle(struct vcpu *vcpu, u64 pc)
{
	u64 seen[LOOP_INSNS];

	for (u32 n = 0; n < LOOP_INSNS; n++) {
		u32 insn;

		for (u32 i = 0; i < n; i++)
			if (seen[i] == pc)
				return true;
		if (!fetch(vcpu, pc, &insn) || !(is_branch(insn) || is_idle(insn)))
			return false;
		seen[n] = pc;
		pc += is_branch(insn) ? (u64)((s64)(s32)(insn << 6) >> 4) : 4;
	}
	return false;
}

bool machine_vcpu_off(struct vcpu *vcpu)
{
	struct kvm_mp_state state;
	u64 pstate;

	if (vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &state) < 0)
		return false;
	if (state.mp_state == KVM_MP_STATE_STOPPED)
		return true;
	return machine_get_reg(vcpu, ARM64_CORE(regs.pstate), &pstate) == 0 &&
	       (pstate & PSTATE_IRQ_FIQ) == PSTATE_IRQ_FIQ && loops_idle(vcpu, machine_vcpu_pc(vcpu));
}
