/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM/arm64's interrupt controllers (arch/arm64/vgic) as the rest of arch/arm64 sees them, and at the end
 * what they
 * need of it. Names are Linux's (include/kvm/arm_vgic.h).
 *
 * A vCPU's thread calls kvm_vgic_flush_hwstate before each entry: it sets state->vi, vf. Any thread may
 * raise and lower
 * interrupts; another vCPU is told by KVM_REQ_IRQ_PENDING and a kick.
 */
#ifndef KUSE_ARCH_ARM64_VGIC_H
#define KUSE_ARCH_ARM64_VGIC_H

#include "virt/kvm_host.h"

#define irqchip_in_kernel(k) __atomic_load_n(&(k)->arch.vgic.in_kernel, __ATOMIC_ACQUIRE)
#define vgic_initialized(k) __atomic_load_n(&(k)->arch.vgic.initialized, __ATOMIC_ACQUIRE)
#define vgic_ready(k) __atomic_load_n(&(k)->arch.vgic.ready, __ATOMIC_ACQUIRE)

static inline bool irq_is_ppi(u32 intid)
{
	return intid >= VGIC_NR_SGIS && intid < VGIC_NR_PRIVATE_IRQS;
}

static inline bool irq_is_spi(u32 intid)
{
	return intid >= VGIC_NR_PRIVATE_IRQS && intid <= VGIC_MAX_SPI;
}

static inline bool vgic_valid_spi(struct kvm *kvm, u32 intid)
{
	return irq_is_spi(intid) && intid < kvm->arch.vgic.nr_spis + VGIC_NR_PRIVATE_IRQS;
}

/* ---- life ---- */

/* Start-up step "vgic": registers the device types (KVM_CREATE_DEVICE). 0. */
int kvm_vgic_hyp_init(void);
void kvm_vgic_hyp_exit(void);
/* kvm_arch_init_vm; cannot fail. */
void kvm_vgic_early_init(struct kvm *kvm);
/* kvm_arch_destroy_vm: vCPUs are gone. */
void kvm_vgic_destroy(struct kvm *kvm);
/* kvm_arch_vcpu_create: after the vCPU has its MPIDR. 0, -ENOMEM, -EINVAL. */
int kvm_vgic_vcpu_init(struct kvm_vcpu *vcpu);
/* kvm_arch_vcpu_destroy. */
void kvm_vgic_vcpu_destroy(struct kvm_vcpu *vcpu);
/* KVM_CREATE_IRQCHIP (KVM_DEV_TYPE_ARM_VGIC_V2) and KVM_CREATE_DEVICE. Caller holds kvm->lock. 0, -EEXIST,
 * -EBUSY, -E2BIG. */
int kvm_vgic_create(struct kvm *kvm, u32 type);
/* KVM_ARM_SET_DEVICE_ADDR of KVM_ARM_DEVICE_VGIC_V2. 0, -ENODEV, -EEXIST, -EINVAL, -E2BIG. */
int kvm_set_legacy_vgic_v2_addr(struct kvm *kvm, struct kvm_arm_device_addr *dev_addr);
/* A vCPU's first KVM_RUN: registers what is not on the bus yet. 0, -ENXIO, -EBUSY, -EINVAL; then the VM is
 * dead, as in Linux. */
int kvm_vgic_map_resources(struct kvm *kvm);
/* 0, or -errno: the in-kernel GIC is not usable yet and, but for a GICv2, will not be made so. */
int vgic_lazy_init(struct kvm *kvm);

/* ---- running ---- */

/* Sets vi, vf of the CPU. On the vCPU's thread, after requests were handled, before each hyp_cpu_run; cheap
 * where nothing changed. */
void kvm_vgic_flush_hwstate(struct kvm_vcpu *vcpu);
/* Would it take an interrupt if PSTATE let it? On the vCPU's thread (kvm_arch_vcpu_runnable). */
bool kvm_vgic_vcpu_pending_irq(struct kvm_vcpu *vcpu);
/* MRS, MSR of an ICC_* register by the guest; val: of a write, or what was read. false: UNDEFINED (also for
 * a register that is no
 * ICC_*, and in a VM without GICv3). On the vCPU's thread. */
bool vgic_v3_access_sysreg(struct kvm_vcpu *vcpu, u32 sys, bool write, u64 *val);
/* Is it an ICC_* register at all (ARM64_SYS)? */
bool vgic_v3_is_sysreg(u32 sys);

/*
 * Raises (level) or lowers an interrupt line. intid 16..31: of vcpu; SPIs: vcpu is ignored. Edge interrupts
 * look at rising calls only.
 * owner: as of kvm_vgic_set_owner, NULL for user space. 0, -EINVAL: no such interrupt, -EBUSY: not
 * initialized.
 * Any thread, no irq lock held.
 */
int kvm_vgic_inject_irq(struct kvm *kvm, struct kvm_vcpu *vcpu, unsigned intid, bool level, void *owner);
/* 0, -EAGAIN: not initialized yet, -EINVAL: neither PPI nor SPI, -EEXIST: has another owner. */
int kvm_vgic_set_owner(struct kvm_vcpu *vcpu, unsigned intid, void *owner);
/* KVM_ARM_VCPU_INIT of a vCPU that has run: a device's PPI (timer, PMU) goes back to neither active nor
 * pending. */
void kvm_vgic_reset_mapped_irq(struct kvm_vcpu *vcpu, u32 vintid);

/* Largest number of vCPUs a VM can have (KVM_CAP_MAX_VCPUS). */
static inline unsigned kvm_vgic_get_max_vcpus(void)
{
	return VGIC_V3_MAX_CPUS;
}
/* KVM_CAP_MSI_DEVID */
static inline bool vgic_msis_require_devid(struct kvm *kvm)
{
	return kvm->arch.vgic.msis_require_devid;
}

/*
 * Also here (arch/arm64/vgic/irqfd.c), for virt/kvm_arch.h: kvm_arch_irqchip_in_kernel,
 * kvm_arch_irqfd_allowed, kvm_arch_can_set_irq_routing,
 * kvm_set_routing_entry, kvm_set_msi, kvm_arch_set_irq_inatomic, kvm_vm_ioctl_irq_line,
 * kvm_arch_post_irq_routing_update,
 * kvm_arch_post_irq_ack_notifier_list_update.
 */

/* All vCPUs' mutexes, or none: false where one is in KVM_RUN or another ioctl. Caller holds kvm->lock. */
bool lock_all_vcpus(struct kvm *kvm);
void unlock_all_vcpus(struct kvm *kvm);

/* ---- required of arch/arm64 ---- */

/* MPIDR_EL1's affinity fields in their places (Aff3 39:32, Aff2..0 23:0); constant once the vCPU is online
 * and was initialized. */
u64 kvm_vcpu_get_mpidr_aff(struct kvm_vcpu *vcpu);
/* By affinity (other bits ignored), or NULL. Called for every SGI: look at the vCPU with the default number
 * first. */
struct kvm_vcpu *kvm_mpidr_to_vcpu(struct kvm *kvm, u64 mpidr);
/* Has it been in KVM_RUN? */
bool vcpu_has_run_once(struct kvm_vcpu *vcpu);
/* log2 of the VM's guest-physical address space. */
u32 kvm_phys_shift(struct kvm *kvm);
/* KVM_IRQ_LINE of type CPU, without in-kernel GIC: number is KVM_ARM_IRQ_CPU_IRQ or _FIQ. 0. */
int vcpu_interrupt_line(struct kvm_vcpu *vcpu, unsigned number, bool level);
/* And: struct kvm_arch has struct vgic_dist vgic; struct kvm_vcpu_arch has struct vgic_cpu vgic_cpu
 * (kvm_arch_vgic.h);
 * the request KVM_REQ_IRQ_PENDING; kvm_arch_vcpu_precreate refuses with -EBUSY once vgic_initialized(kvm). */

#endif
