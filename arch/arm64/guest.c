/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM_GET_ONE_REG, KVM_SET_ONE_REG, KVM_GET_REG_LIST: which family an id belongs to, and the core registers,
 * whose ids are places in struct kvm_regs counted in 32-bit words.
 */
#include <string.h>
#include "arch/arm64/arm64.h"

#define CORE_WORDS (sizeof(struct kvm_regs) / sizeof(u32))

void reg_list_put(struct reg_list_out *out, u64 id)
{
	if (out->at && !out->error) {
		out->error = copy_to_client(out->at, &id, sizeof(id));
		out->at += sizeof(id);
	}
	out->n++;
}

/* ---- core registers ------------------------------------------------------------------------------------ */

static void *gpr_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return &arm64s(vcpu)->x[i];
}

static void *pc_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return &arm64s(vcpu)->pc;
}

static void *elr_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return &arm64s(vcpu)->sr[ARM64_SR_ELR_EL1];
}

static void *spsr_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return i ? &vcpu->arch.spsr32[i - 1] : &arm64s(vcpu)->sr[ARM64_SR_SPSR_EL1];
}

static void *vreg_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return &arm64s(vcpu)->v[i];
}

static void *fpsr_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return &arm64s(vcpu)->fpsr;
}

static void *fpcr_addr(struct kvm_vcpu *vcpu, unsigned i)
{
	return &arm64s(vcpu)->fpcr;
}

/* Arrays of registers of one kind, in the order of their ids. */
static const struct core_regs {
	u16 first;   /* word in struct kvm_regs */
	u16 n, size; /* how many, of how many bytes */
	void *(*addr)(struct kvm_vcpu *vcpu, unsigned i);
	u32 sys;     /* instead of addr: a register of the CPU's by its encoding; 0: PSTATE */
} core_regs[] = {
	{ KVM_REG_ARM_CORE_REG(regs.regs), 31, 8, gpr_addr },
	{ KVM_REG_ARM_CORE_REG(regs.sp), 1, 8, NULL, ARM64_SYS(3, 0, 4, 1, 0) },
	{ KVM_REG_ARM_CORE_REG(regs.pc), 1, 8, pc_addr },
	{ KVM_REG_ARM_CORE_REG(regs.pstate), 1, 8, NULL },
	{ KVM_REG_ARM_CORE_REG(sp_el1), 1, 8, NULL, ARM64_SYS(3, 4, 4, 1, 0) },
	{ KVM_REG_ARM_CORE_REG(elr_el1), 1, 8, elr_addr },
	{ KVM_REG_ARM_CORE_REG(spsr), KVM_NR_SPSR, 8, spsr_addr },
	{ KVM_REG_ARM_CORE_REG(fp_regs.vregs), 32, 16, vreg_addr },
	{ KVM_REG_ARM_CORE_REG(fp_regs.fpsr), 1, 4, fpsr_addr },
	{ KVM_REG_ARM_CORE_REG(fp_regs.fpcr), 1, 4, fpcr_addr },
};

static u64 core_offset(u64 id)
{
	return id & ~(KVM_REG_ARCH_MASK | KVM_REG_SIZE_MASK | KVM_REG_ARM_CORE);
}

/* 0 and the kind and index, -ENOENT beyond the structure, -EINVAL within it where there is no register of
 * that size. */
static int find_core(u64 id, const struct core_regs **kind, unsigned *i)
{
	u64 off = core_offset(id), size = KVM_REG_SIZE(id);

	if (off >= CORE_WORDS || off + size / sizeof(u32) >= CORE_WORDS)
		return -ENOENT;
	for (size_t k = 0; k < ARRAY_SIZE(core_regs); k++) {
		u64 rel = (off - core_regs[k].first) * sizeof(u32);

		if (off < core_regs[k].first || rel >= (u64)core_regs[k].n * core_regs[k].size)
			continue;
		if (rel % core_regs[k].size || size != core_regs[k].size)
			return -EINVAL;
		*kind = &core_regs[k];
		*i = (unsigned)(rel / core_regs[k].size);
		return 0;
	}
	return -EINVAL;
}

/* AArch64, EL0 and EL1: nothing else is offered. */
static bool pstate_valid(u64 pstate)
{
	u64 mode = pstate & 0x1f;

	return mode == 0 || mode == (ARM64_PSR_EL(1)) || mode == (ARM64_PSR_EL(1) | ARM64_PSR_SP);
}

static u64 get_special(struct kvm_vcpu *vcpu, const struct core_regs *kind)
{
	u64 val = arm64s(vcpu)->pstate;

	if (kind->sys)
		hyp_arm64_get_sr(vcpu->hyp, kind->sys, &val);
	return val;
}

static int set_special(struct kvm_vcpu *vcpu, const struct core_regs *kind, u64 val)
{
	if (kind->sys)
		return hyp_arm64_set_sr(vcpu->hyp, kind->sys, val);
	if (!pstate_valid(val))
		return -EINVAL;
	arm64s(vcpu)->pstate = (u32)val;
	return 0;
}

static long get_core_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	const struct core_regs *kind;
	unsigned i;
	u64 val;
	int err = find_core(reg->id, &kind, &i);

	if (err)
		return err;
	if (kind->addr)
		return copy_to_client(reg->addr, kind->addr(vcpu, i), kind->size);
	val = get_special(vcpu, kind);
	return copy_to_client(reg->addr, &val, sizeof(val));
}

static long set_core_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	const struct core_regs *kind;
	u64 val[2];
	unsigned i;
	int err = find_core(reg->id, &kind, &i);

	if (err)
		return err;
	if (copy_from_client(val, reg->addr, kind->size))
		return -EFAULT;
	if (kind->addr)
		memcpy(kind->addr(vcpu, i), val, kind->size);
	else
		err = set_special(vcpu, kind, val[0]);
	hyp_arm64_state_changed(vcpu->hyp);
	return err;
}

static void copy_core_indices(struct reg_list_out *out)
{
	static const u64 size_bits[] = { [4] = KVM_REG_SIZE_U32, [8] = KVM_REG_SIZE_U64, [16] = KVM_REG_SIZE_U128 };

	for (size_t k = 0; k < ARRAY_SIZE(core_regs); k++)
		for (u64 i = 0; i < core_regs[k].n; i++)
			reg_list_put(out, KVM_REG_ARM64 | KVM_REG_ARM_CORE | size_bits[core_regs[k].size] |
						  (core_regs[k].first + i * core_regs[k].size / sizeof(u32)));
}

/* ---- all of them ------------------------------------------------------------------------------------------
 * */

static bool id_valid(u64 id)
{
	return (id & ~KVM_REG_SIZE_MASK) >> 32 == KVM_REG_ARM64 >> 32;
}

long kvm_arm_get_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	u64 val;

	if (!id_valid(reg->id))
		return -EINVAL;
	switch (reg->id & KVM_REG_ARM_COPROC_MASK) {
	case KVM_REG_ARM_CORE:
		return get_core_reg(vcpu, reg);
	case KVM_REG_ARM_FW:
	case KVM_REG_ARM_FW_FEAT_BMAP:
		return kvm_arm_get_fw_reg(vcpu, reg);
	case KVM_REG_ARM64_SVE:
		return -ENOENT;
	}
	if (!kvm_arm_is_timer_reg(reg->id))
		return kvm_arm_sys_reg_get_reg(vcpu, reg);
	val = kvm_arm_timer_get_reg(vcpu, reg->id);
	return copy_to_client(reg->addr, &val, sizeof(val));
}

long kvm_arm_set_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	u64 val;

	if (!id_valid(reg->id))
		return -EINVAL;
	switch (reg->id & KVM_REG_ARM_COPROC_MASK) {
	case KVM_REG_ARM_CORE:
		return set_core_reg(vcpu, reg);
	case KVM_REG_ARM_FW:
	case KVM_REG_ARM_FW_FEAT_BMAP:
		return kvm_arm_set_fw_reg(vcpu, reg);
	case KVM_REG_ARM64_SVE:
		return -ENOENT;
	}
	if (!kvm_arm_is_timer_reg(reg->id))
		return kvm_arm_sys_reg_set_reg(vcpu, reg);
	if (copy_from_client(&val, reg->addr, sizeof(val)))
		return -EFAULT;
	return kvm_arm_timer_set_reg(vcpu, reg->id, val);
}

static void copy_indices(struct kvm_vcpu *vcpu, struct reg_list_out *out)
{
	copy_core_indices(out);
	kvm_arm_copy_fw_reg_indices(out);
	kvm_arm_copy_timer_indices(out);
	kvm_arm_copy_sys_reg_indices(vcpu, out);
}

/* n is told also where the list does not fit. */
long kvm_arm_get_reg_list(struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct reg_list_out count = { 0 }, list = { .at = arg + offsetof(struct kvm_reg_list, reg) };
	u64 room;

	if (copy_from_client(&room, arg, sizeof(room)))
		return -EFAULT;
	copy_indices(vcpu, &count);
	if (copy_to_client(arg, &count.n, sizeof(count.n)))
		return -EFAULT;
	if (room < count.n)
		return -E2BIG;
	copy_indices(vcpu, &list);
	return list.error;
}
