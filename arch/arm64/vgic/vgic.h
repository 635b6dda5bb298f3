/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of arch/arm64/vgic offer each other. Essay and lock order: vgic.c. */
#ifndef KUSE_ARCH_ARM64_VGIC_VGIC_H
#define KUSE_ARCH_ARM64_VGIC_VGIC_H

#include "arch/arm64/vgic.h"

#define VGIC_ADDR_UNDEF (~0ull)
#define VGIC_PRI_BITS 5         /* implemented priority bits; as many preemption levels */
#define VGIC_PRI_MASK 0xf8u
#define VGIC_BPR0_MIN 2u
#define VGIC_BPR1_MIN 3u
#define VGIC_IDLE_PRIORITY 0xffu
#define VGIC_INTID_GROUP1 1022u /* GICv2: the pending one is in the other group */
#define VGIC_INTID_SPURIOUS 1023u
#define INTERRUPT_ID_BITS_SPIS 10
#define INTERRUPT_ID_BITS_ITS 16
#define VGIC_NR_LPI_IDS (1u << INTERRUPT_ID_BITS_ITS)

#define PRODUCT_ID_KVM 0x4bu /* 'K' */
#define IMPLEMENTER_ARM 0x43bu
#define KVM_VGIC_IMP_REV_2 2
#define KVM_VGIC_IMP_REV_3 3
#define KVM_VGIC_IMP_REV_LATEST KVM_VGIC_IMP_REV_3

#define SZ_4K 0x1000ull
#define SZ_64K 0x10000ull

static inline bool vgic_is_undef(gpa_t addr)
{
	return addr == VGIC_ADDR_UNDEF;
}

static inline bool vgic_is_v3(struct kvm *kvm)
{
	return kvm->arch.vgic.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V3;
}

static inline bool vgic_is_v2_sgi(struct kvm *kvm, u32 intid)
{
	return intid < VGIC_NR_SGIS && !vgic_is_v3(kvm);
}

static inline bool vgic_has_its(struct kvm *kvm)
{
	return vgic_is_v3(kvm) && kvm->arch.vgic.has_its;
}

static inline u32 vgic_nr_irqs(struct kvm *kvm)
{
	return kvm->arch.vgic.nr_spis + VGIC_NR_PRIVATE_IRQS;
}

/* ---- vgic.c: interrupts ---- */

/* The interrupt, or NULL. vcpu: whose SGIs and PPIs; may be NULL for others. Valid as long as the VM. */
struct vgic_irq *vgic_get_irq(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid);
void vgic_cpu_setup(struct vgic_cpu *cpu, struct kvm_vcpu *vcpu);
void vgic_irq_setup(struct kvm *kvm, struct vgic_irq *irq, u32 intid, struct kvm_vcpu *target);

/* Locks the interrupt's home, which guards it. */
struct vgic_cpu *vgic_irq_lock(struct vgic_irq *irq);
void vgic_irq_unlock(struct vgic_cpu *home);
/* After a change: it gets where it belongs, and the vCPU there is told. Unlocks. */
void vgic_queue_irq_unlock(struct kvm *kvm, struct vgic_irq *irq, struct vgic_cpu *home);
void vgic_irq_set_target(struct kvm *kvm, struct vgic_irq *irq, struct kvm_vcpu *target);
/* Neither pending nor active, disabled. */
void vgic_irq_clear(struct kvm *kvm, struct vgic_irq *irq);
/* An edge: SGIs, LPIs. */
void vgic_irq_make_pending(struct kvm *kvm, struct vgic_irq *irq);
/* Every vCPU looks again (the distributor was enabled). */
void vgic_kick_vcpus(struct kvm *kvm);

static inline bool irq_is_pending(const struct vgic_irq *irq)
{
	return irq->pending_latch || (irq->config == VGIC_CONFIG_LEVEL && irq->line_level);
}

/* ---- cpuif.c: the CPU interface, GICv2's and GICv3's. On the vCPU's thread ---- */

/* Acknowledges for group grp: INTID, with the source CPU in bits 12:10 for a GICv2's SGI; or VGIC_INTID_*. */
u32 vgic_cpuif_iar(struct kvm_vcpu *vcpu, unsigned grp);
u32 vgic_cpuif_hppir(struct kvm_vcpu *vcpu, unsigned grp);
/* End of interrupt: priority drop, and deactivation unless EOImode splits the two. */
void vgic_cpuif_eoir(struct kvm_vcpu *vcpu, u32 intid);
void vgic_cpuif_dir(struct kvm_vcpu *vcpu, u32 intid);
u8 vgic_cpuif_rpr(struct kvm_vcpu *vcpu);
void vgic_cpuif_reset(struct kvm_vcpu *vcpu);
u8 vgic_vmcr_bpr1(const struct vgic_vmcr *vmcr);
/* A register that decides about vi, vf has changed. */
void vgic_cpuif_changed(struct kvm_vcpu *vcpu);

/* ---- mmio.c ---- */

#define VGIC_ACCESS_8bit 1u
#define VGIC_ACCESS_32bit 2u
#define VGIC_ACCESS_64bit 4u

/* A guest's access, and one by user space: offset is the register's in its frame. */
struct vgic_access {
	struct kvm *kvm;
	struct kvm_vcpu *vcpu; /* whose private interrupts; for a redistributor its vCPU. ITS: NULL */
	struct vgic_its *its;
	u32 offset;
	u32 intid;             /* the first interrupt that the register speaks of */
	u32 len;               /* bytes: 1, 4, 8 */
	bool user;             /* the device API */
};

struct vgic_register_region {
	u32 reg_offset, len;
	u16 first_intid; /* of the first register */
	u8 bits_per_irq; /* 0: not per interrupt */
	u8 access_flags; /* VGIC_ACCESS_* */
	u64 (*read)(const struct vgic_access *a);
	/* 0; user space also gets -EINVAL */
	int (*write)(const struct vgic_access *a, u64 val);
};

extern const struct kvm_io_device_ops kvm_io_gic_ops;

u64 vgic_mmio_read_raz(const struct vgic_access *a);
u64 vgic_mmio_read_rao(const struct vgic_access *a);
int vgic_mmio_write_wi(const struct vgic_access *a, u64 val);
u64 vgic_mmio_read_group(const struct vgic_access *a);
int vgic_mmio_write_group(const struct vgic_access *a, u64 val);
u64 vgic_mmio_read_enable(const struct vgic_access *a);
int vgic_mmio_write_senable(const struct vgic_access *a, u64 val);
int vgic_mmio_write_cenable(const struct vgic_access *a, u64 val);
u64 vgic_mmio_read_pending(const struct vgic_access *a);
int vgic_mmio_write_spending(const struct vgic_access *a, u64 val);
int vgic_mmio_write_cpending(const struct vgic_access *a, u64 val);
u64 vgic_mmio_read_active(const struct vgic_access *a);
int vgic_mmio_write_sactive(const struct vgic_access *a, u64 val);
int vgic_mmio_write_cactive(const struct vgic_access *a, u64 val);
u64 vgic_mmio_read_priority(const struct vgic_access *a);
int vgic_mmio_write_priority(const struct vgic_access *a, u64 val);
u64 vgic_mmio_read_config(const struct vgic_access *a);
int vgic_mmio_write_config(const struct vgic_access *a, u64 val);
u32 vgic_read_irq_line_level_info(struct kvm_vcpu *vcpu, u32 intid);
void vgic_write_irq_line_level_info(struct kvm_vcpu *vcpu, u32 intid, u32 val);

/* len bytes of a 64-bit register from byte (offset & 7) on; the register with those replaced. */
u64 vgic_extract_bytes(u64 reg, u32 offset, u32 len);
u64 vgic_update_bytes(u64 reg, u32 offset, u32 len, u64 val);

/* The register at a frame's offset that can be accessed so, or NULL. */
const struct vgic_register_region *vgic_get_mmio_region(struct kvm *kvm, const struct vgic_io_device *iodev,
							u32 offset, u32 len);
/* 32 bits for the device API; 0 or -errno. */
int vgic_uaccess(struct kvm_vcpu *vcpu, const struct vgic_io_device *iodev, bool write, u32 offset, u32 *val);

/* ---- mmio_v2.c, mmio_v3.c: the register maps ---- */

/* Frames: base_addr and vCPU are the caller's to fill in. */
void vgic_v2_init_dist_iodev(struct vgic_io_device *iodev);
void vgic_v2_init_cpu_iodev(struct vgic_io_device *iodev);
void vgic_v2_init_cpu_user_iodev(struct vgic_io_device *iodev);
void vgic_v3_init_dist_iodev(struct vgic_io_device *iodev);
void vgic_v3_init_redist_iodev(struct vgic_io_device *iodev);
int vgic_v2_map_resources(struct kvm *kvm);
bool vgic_lpis_enabled(struct kvm_vcpu *vcpu);
void vgic_v3_dispatch_sgi(struct kvm_vcpu *vcpu, u64 reg, bool allow_group1);
/* Shareability and cacheability of PROPBASER, PENDBASER, GITS_*BASER become what KVM offers. shift: of those
 * fields. */
u64 vgic_sanitise_baser(u64 reg, unsigned inner_shift, unsigned outer_shift);

/* ---- redist.c: where the GICv3's redistributors are. Caller holds kvm->slots_lock ---- */

int vgic_register_redist_iodev(struct kvm_vcpu *vcpu);
void vgic_unregister_redist_iodev(struct kvm_vcpu *vcpu);
int vgic_v3_set_redist_base(struct kvm *kvm, u32 index, u64 addr, u32 count);
struct vgic_redist_region *vgic_v3_rdist_region_from_index(struct kvm *kvm, u32 index);
void vgic_v3_free_redist_regions(struct kvm *kvm);
bool vgic_v3_rdist_is_last(struct kvm_vcpu *vcpu);
int vgic_v3_map_resources(struct kvm *kvm);

/* ---- init.c ---- */

/* Caller holds config_lock. 0, -EBUSY: a vCPU is just being created, -ENOMEM. */
int vgic_init(struct kvm *kvm);
/* Is [addr, addr + size) all right as a frame whose address is still `current`? -EEXIST, -EINVAL, -E2BIG. */
int vgic_check_iorange(struct kvm *kvm, gpa_t current, gpa_t addr, gpa_t alignment, u64 size);
int kvm_vgic_setup_default_irq_routing(struct kvm *kvm);

/* ---- v3_sysreg.c ---- */

/* KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS. 0, -ENXIO: no such register, -EINVAL, -EFAULT. */
int vgic_v3_cpu_sysregs_uaccess(struct kvm_vcpu *vcpu, struct kvm_device_attr *attr, bool write);
int vgic_v3_has_cpu_sysregs_attr(struct kvm_device_attr *attr);

/* ---- devices ---- */

/* Calls fn while no vCPU runs, with config_lock; -EBUSY where one does. */
int vgic_with_vcpus_stopped(struct kvm *kvm, int (*fn)(struct kvm *kvm, void *arg), void *arg);
extern const struct kvm_device_ops kvm_arm_vgic_v2_ops, kvm_arm_vgic_v3_ops, kvm_arm_vgic_its_ops;

#endif
