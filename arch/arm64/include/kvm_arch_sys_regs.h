/* SPDX-License-Identifier: Apache-2.0 */
/* Places in kvm_vcpu_arch.sys_regs: registers that KVM holds as the CPU does not
 * (arch/arm64/sys_regs_table.c). */
#ifndef KUSE_ARCH_ARM64_SYS_REG_SLOTS_H
#define KUSE_ARCH_ARM64_SYS_REG_SLOTS_H

enum kvm_sys_reg_slot {
	KVM_SR_DBGBVR0,
	KVM_SR_DBGBCR0 = KVM_SR_DBGBVR0 + 16,
	KVM_SR_DBGWVR0 = KVM_SR_DBGBCR0 + 16,
	KVM_SR_DBGWCR0 = KVM_SR_DBGWVR0 + 16,
	KVM_SR_MDCCINT = KVM_SR_DBGWCR0 + 16,
	KVM_SR_OSLSR,
	KVM_SR_DBGVCR32,
	KVM_SR_TCR2,
	KVM_SR_PIRE0,
	KVM_SR_PIR,
	KVM_SR_DISR,
	KVM_SR_CLIDR,
	KVM_SR_DACR32,
	KVM_SR_IFSR32,
	KVM_SR_FPEXC32,
	KVM_NR_SYS_REGS
};

#endif
