/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of system registers and system instructions that leave the guest, or that user space reaches by
 * KVM_GET/SET_ONE_REG. One row each, sorted by encoding, with a column for what the guest's access does and
 * one for user space's.
 */
#ifndef KUSE_ARCH_ARM64_SYS_REGS_H
#define KUSE_ARCH_ARM64_SYS_REGS_H

#include "arch/arm64/arm64.h"

struct sys_reg_desc;

struct sys_reg_params {
	bool write;
	u64 val; /* in: what is written; out: what is read */
};

/* How user space gets and sets it; NULL in a row: it does not, there is no such register for it. */
struct sys_reg_user {
	int (*get)(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val);
	int (*set)(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val); /* 0, -EINVAL, -EBUSY */
	bool (*hidden)(struct kvm_vcpu *vcpu); /* NULL: never */
};

struct sys_reg_desc {
	const char *name;
	u32 sys; /* ARM64_SYS() */
	/* The guest's access. False: it is UNDEFINED. NULL: never leaves the CPU. */
	bool (*access)(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r);
	void (*reset)(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r); /* of the vCPU; NULL: nothing */
	const struct sys_reg_user *user;
	u64 val;  /* at reset; of an ID register: the bits that user space may lower */
	u16 slot; /* in kvm_vcpu_arch.sys_regs, where KVM holds it */
};

extern const struct sys_reg_desc sys_reg_table[];
extern const size_t nr_sys_regs;
const struct sys_reg_desc *find_sys_reg(u32 sys);

/* id_regs.c: an ID register's columns */
#define IDREG_CRM(sys) ((sys) >> 3 & 15)
bool access_id_reg(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r);
extern const struct sys_reg_user id_reg_user, ctr_user;
bool kvm_is_id_reg(u32 sys); /* op0=3 op1=0 CRn=0 CRm=1..7 */
u64 kvm_id_reg_limit(struct kvm *kvm, u32 sys); /* largest value of every field that can be offered */

/* sys_regs.c: what the rows name */
typedef bool sys_reg_access(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r);
sys_reg_access access_cpu, access_slot, access_undef, access_raz_wi, access_write_ignored, access_actlr,
	access_oslar, access_oslsr, access_dbgauthstatus, access_lor, access_ccsidr, access_clidr,
	access_timer, access_gic, access_set_way;
typedef void sys_reg_reset(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r);
sys_reg_reset reset_slot, reset_cpu, reset_mpidr, reset_clidr, reset_ctr, reset_midr;
extern const struct sys_reg_user user_cpu, user_slot, user_mpidr, user_oslsr, user_clidr, user_invariant,
	user_ptrauth;

#endif
