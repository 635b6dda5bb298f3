/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register maps of a GICv3: distributor (GICD_*, one 64 KiB frame) and redistributors (GICR_*, two 64
 * KiB frames each: RD_base
 * and SGI_base). Source: IHI 0069, 12.8 to 12.11. One Security state (DS = 1), affinity routing always on
 * (ARE = 1), no message-based
 * SPIs, no virtual LPIs. Only EnableGrp1 of GICD_CTLR can be set, and it enables both groups, as in Linux.
 */
#include "arch/arm64/vgic/its.h"

#define GICD_CTLR 0x0000
#define GICD_TYPER 0x0004
#define GICD_IIDR 0x0008
#define GICD_TYPER2 0x000c
#define GICD_STATUSR 0x0010
#define GICD_IGROUPR 0x0080
#define GICD_ISENABLER 0x0100
#define GICD_ICENABLER 0x0180
#define GICD_ISPENDR 0x0200
#define GICD_ICPENDR 0x0280
#define GICD_ISACTIVER 0x0300
#define GICD_ICACTIVER 0x0380
#define GICD_IPRIORITYR 0x0400
#define GICD_ITARGETSR 0x0800
#define GICD_ICFGR 0x0c00
#define GICD_IGRPMODR 0x0d00
#define GICD_IROUTER 0x6000
#define GIC_IDREGS 0xffd0
#define GIC_PIDR2 0xffe8
#define GIC_PIDR2_ARCH_GICV3 0x3bu

#define GICD_CTLR_ENABLE_G1 (1u << 1)
#define GICD_CTLR_ARE (1u << 4)
#define GICD_CTLR_DS (1u << 6)
#define GICD_TYPER_LPIS (1u << 17)
#define GICD_TYPER_ID_BITS_SHIFT 19
#define GICD_IIDR_REVISION_SHIFT 12

#define GICR_CTLR 0x0000
#define GICR_IIDR 0x0004
#define GICR_TYPER 0x0008
#define GICR_STATUSR 0x0010
#define GICR_WAKER 0x0014
#define GICR_PROPBASER 0x0070
#define GICR_PENDBASER 0x0078
#define GICR_INVLPIR 0x00a0
#define GICR_INVALLR 0x00b0
#define GICR_SYNCR 0x00c0
#define GICR_SGI_BASE 0x10000
#define GICR_NSACR (GICR_SGI_BASE + 0x0e00)

#define GICR_CTLR_ENABLE_LPIS (1u << 0)
#define GICR_CTLR_CES (1u << 1)
#define GICR_CTLR_IR (1u << 2)
#define GICR_TYPER_PLPIS (1ull << 0)
#define GICR_TYPER_LAST (1ull << 4)

/* ---- distributor ---- */

static u32 gicd_typer(struct kvm *kvm)
{
	u32 val = (vgic_nr_irqs(kvm) >> 5) - 1;

	if (vgic_has_its(kvm))
		return val | GICD_TYPER_LPIS | (INTERRUPT_ID_BITS_ITS - 1) << GICD_TYPER_ID_BITS_SHIFT;
	return val | (INTERRUPT_ID_BITS_SPIS - 1) << GICD_TYPER_ID_BITS_SHIFT;
}

static u64 vgic_mmio_read_v3_misc(const struct vgic_access *a)
{
	struct vgic_dist *dist = &a->kvm->arch.vgic;

	switch (a->offset) {
	case GICD_CTLR:
		return GICD_CTLR_ARE | GICD_CTLR_DS | (dist->enabled ? GICD_CTLR_ENABLE_G1 : 0);
	case GICD_TYPER:
		return gicd_typer(a->kvm);
	case GICD_IIDR:
		return PRODUCT_ID_KVM << 24 | dist->implementation_rev << GICD_IIDR_REVISION_SHIFT |
		       IMPLEMENTER_ARM;
	}
	return 0; /* GICD_TYPER2: nothing of a GICv4.1 */
}

/* User space may choose the revision, which stands for what was offered by older kernels. */
static int restore_iidr(const struct vgic_access *a, u32 val)
{
	u32 rev = val >> GICD_IIDR_REVISION_SHIFT & 0xf;

	if ((vgic_mmio_read_v3_misc(a) ^ val) & ~(0xfu << GICD_IIDR_REVISION_SHIFT))
		return -EINVAL;
	if (rev != KVM_VGIC_IMP_REV_2 && rev != KVM_VGIC_IMP_REV_3)
		return -EINVAL;
	a->kvm->arch.vgic.implementation_rev = rev;
	return 0;
}

static int vgic_mmio_write_v3_misc(const struct vgic_access *a, u64 val)
{
	struct vgic_dist *dist = &a->kvm->arch.vgic;

	if (a->offset == GICD_CTLR) {
		__atomic_store_n(&dist->enabled, (val & GICD_CTLR_ENABLE_G1) != 0, __ATOMIC_SEQ_CST);
		vgic_kick_vcpus(a->kvm);
		return 0;
	}
	if (!a->user)
		return 0;
	if (a->offset == GICD_IIDR)
		return restore_iidr(a, (u32)val);
	return a->offset != GICD_TYPER && val != vgic_mmio_read_v3_misc(a) ? -EINVAL : 0;
}

/* Aff3 is not implemented: the upper word is RAZ/WI. */
static u64 vgic_mmio_read_irouter(const struct vgic_access *a)
{
	struct vgic_irq *irq = vgic_get_irq(a->kvm, NULL, a->intid);

	return irq && !(a->offset & 4) ? irq->mpidr : 0;
}

static int vgic_mmio_write_irouter(const struct vgic_access *a, u64 val)
{
	struct vgic_irq *irq = vgic_get_irq(a->kvm, NULL, a->intid);
	struct vgic_cpu *home;

	if (!irq || a->offset & 4)
		return 0;
	home = vgic_irq_lock(irq);
	irq->mpidr = val & 0xffffff;
	irq->target_vcpu = kvm_mpidr_to_vcpu(a->kvm, irq->mpidr);
	vgic_queue_irq_unlock(a->kvm, irq, home);
	return 0;
}

static u64 vgic_mmio_read_v3_idregs(const struct vgic_access *a)
{
	return (a->offset & 0xffff) == GIC_PIDR2 ? GIC_PIDR2_ARCH_GICV3 : 0;
}

/* User space writes the whole state at once: what is not set is cleared. */
static int vgic_v3_write_spending(const struct vgic_access *a, u64 val)
{
	vgic_mmio_write_spending(a, val);
	return a->user ? vgic_mmio_write_cpending(a, ~val & GENMASK_ULL(a->len * 8 - 1, 0)) : 0;
}

static u64 vgic_v3_read_cpending(const struct vgic_access *a)
{
	return a->user ? 0 : vgic_mmio_read_pending(a);
}

static int vgic_v3_write_cpending(const struct vgic_access *a, u64 val)
{
	return a->user ? 0 : vgic_mmio_write_cpending(a, val);
}

/* A register of the distributor with bpi bits for each interrupt: those of private ones are the
 * redistributors'. */
#define SHARED(off, bpi, acc, rd, wr)                                                                                   \
	{ .reg_offset = off, .len = bpi * 4, .bits_per_irq = bpi, .access_flags = acc, .read = vgic_mmio_read_raz,      \
	  .write = vgic_mmio_write_wi },                                                                                \
	{ .reg_offset = off + bpi * 4, .len = bpi * 124, .first_intid = 32, .bits_per_irq = bpi, .access_flags = acc,   \
	  .read = rd, .write = wr }
#define REG(off, length, acc, rd, wr) \
	{ .reg_offset = off, .len = length, .access_flags = acc, .read = rd, .write = wr }
#define PRIVATE(off, bpi, acc, rd, wr) \
	{ .reg_offset = GICR_SGI_BASE + off, .len = bpi * 4, .bits_per_irq = bpi, .access_flags = acc, .read = rd, .write = wr }
#define A32 VGIC_ACCESS_32bit
#define A32_8 (VGIC_ACCESS_32bit | VGIC_ACCESS_8bit)
#define A64_32 (VGIC_ACCESS_64bit | VGIC_ACCESS_32bit)

static const struct vgic_register_region vgic_v3_dist_registers[] = {
	REG(GICD_CTLR, 16, A32, vgic_mmio_read_v3_misc, vgic_mmio_write_v3_misc),
	REG(GICD_STATUSR, 4, A32, vgic_mmio_read_rao, vgic_mmio_write_wi),
	SHARED(GICD_IGROUPR, 1, A32, vgic_mmio_read_group, vgic_mmio_write_group),
	SHARED(GICD_ISENABLER, 1, A32, vgic_mmio_read_enable, vgic_mmio_write_senable),
	SHARED(GICD_ICENABLER, 1, A32, vgic_mmio_read_enable, vgic_mmio_write_cenable),
	SHARED(GICD_ISPENDR, 1, A32, vgic_mmio_read_pending, vgic_v3_write_spending),
	SHARED(GICD_ICPENDR, 1, A32, vgic_v3_read_cpending, vgic_v3_write_cpending),
	SHARED(GICD_ISACTIVER, 1, A32, vgic_mmio_read_active, vgic_mmio_write_sactive),
	SHARED(GICD_ICACTIVER, 1, A32, vgic_mmio_read_active, vgic_mmio_write_cactive),
	SHARED(GICD_IPRIORITYR, 8, A32_8, vgic_mmio_read_priority, vgic_mmio_write_priority),
	SHARED(GICD_ITARGETSR, 8, A32_8, vgic_mmio_read_raz, vgic_mmio_write_wi),
	SHARED(GICD_ICFGR, 2, A32, vgic_mmio_read_config, vgic_mmio_write_config),
	SHARED(GICD_IGRPMODR, 1, A32, vgic_mmio_read_raz, vgic_mmio_write_wi),
	SHARED(GICD_IROUTER, 64, A64_32, vgic_mmio_read_irouter, vgic_mmio_write_irouter),
	REG(GIC_IDREGS, 48, A32, vgic_mmio_read_v3_idregs, vgic_mmio_write_wi),
};

void vgic_v3_init_dist_iodev(struct vgic_io_device *iodev)
{
	kvm_iodevice_init(&iodev->dev, &kvm_io_gic_ops);
	iodev->iodev_type = IODEV_DIST;
	iodev->redist_vcpu = NULL;
	iodev->regions = vgic_v3_dist_registers;
	iodev->nr_regions = ARRAY_SIZE(vgic_v3_dist_registers);
}

/* ---- redistributor ---- */

bool vgic_lpis_enabled(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.vgic_cpu.ctlr, __ATOMIC_ACQUIRE) & GICR_CTLR_ENABLE_LPIS;
}

static u64 vgic_mmio_read_v3r_ctlr(const struct vgic_access *a)
{
	u32 val = __atomic_load_n(&a->vcpu->arch.vgic_cpu.ctlr, __ATOMIC_ACQUIRE);

	if (a->kvm->arch.vgic.implementation_rev >= KVM_VGIC_IMP_REV_3)
		val |= GICR_CTLR_IR | GICR_CTLR_CES;
	return val;
}

static int vgic_mmio_write_v3r_ctlr(const struct vgic_access *a, u64 val)
{
	u32 next = val & GICR_CTLR_ENABLE_LPIS;

	if (!vgic_has_its(a->kvm))
		return 0;
	if (__atomic_exchange_n(&a->vcpu->arch.vgic_cpu.ctlr, next, __ATOMIC_SEQ_CST) == next)
		return 0;
	if (next)
		vgic_enable_lpis(a->vcpu);
	else
		vgic_flush_pending_lpis(a->vcpu);
	return 0;
}

static u64 vgic_mmio_read_v3r_typer(const struct vgic_access *a)
{
	u64 val = (kvm_vcpu_get_mpidr_aff(a->vcpu) & 0xffffff) << 32 | (u64)(a->vcpu->vcpu_id & 0xffff) << 8;

	if (vgic_has_its(a->kvm))
		val |= GICR_TYPER_PLPIS;
	if (vgic_v3_rdist_is_last(a->vcpu))
		val |= GICR_TYPER_LAST;
	return vgic_extract_bytes(val, a->offset, a->len);
}

static u64 vgic_mmio_read_v3r_iidr(const struct vgic_access *a)
{
	return PRODUCT_ID_KVM << 24 | IMPLEMENTER_ARM;
}

#define BASER_SHAREABILITY_SHIFT 10
#define GICR_INNER_CACHE_SHIFT 7
#define GICR_OUTER_CACHE_SHIFT 56
#define SHAREABILITY_INNER 1
#define SHAREABILITY_OUTER 2
#define CACHE_NON_CACHEABLE 1 /* and 0: device */
#define CACHE_RA_WB 3
#define OUTER_SAME_AS_INNER 0

static u64 replace_field(u64 reg, unsigned shift, u64 mask, u64 val)
{
	return (reg & ~(mask << shift)) | val << shift;
}

u64 vgic_sanitise_baser(u64 reg, unsigned inner_shift, unsigned outer_shift)
{
	if ((reg >> BASER_SHAREABILITY_SHIFT & 3) == SHAREABILITY_OUTER)
		reg = replace_field(reg, BASER_SHAREABILITY_SHIFT, 3, SHAREABILITY_INNER);
	if ((reg >> inner_shift & 7) <= CACHE_NON_CACHEABLE)
		reg = replace_field(reg, inner_shift, 7, CACHE_RA_WB);
	if ((reg >> outer_shift & 7) != CACHE_NON_CACHEABLE)
		reg = replace_field(reg, outer_shift, 7, OUTER_SAME_AS_INNER);
	return reg;
}

static u64 sanitise_gicr(u64 reg, u64 res0)
{
	return vgic_sanitise_baser(reg, GICR_INNER_CACHE_SHIFT, GICR_OUTER_CACHE_SHIFT) & ~res0;
}

#define PROPBASER_RES0 (GENMASK_ULL(63, 59) | GENMASK_ULL(55, 52) | GENMASK_ULL(6, 5))
#define PENDBASER_RES0 \
	(1ull << 63 | GENMASK_ULL(61, 59) | GENMASK_ULL(55, 52) | GENMASK_ULL(15, 12) | GENMASK_ULL(6, 0))
#define PENDBASER_PTZ (1ull << 62)

static u64 vgic_mmio_read_propbase(const struct vgic_access *a)
{
	return vgic_extract_bytes(__atomic_load_n(&a->kvm->arch.vgic.propbaser, __ATOMIC_RELAXED), a->offset,
				  a->len);
}

/* Writes while LPIs are enabled are UNPREDICTABLE: ignored. */
static int write_baser(const struct vgic_access *a, u64 *reg, u64 val, u64 res0)
{
	u64 old = __atomic_load_n(reg, __ATOMIC_RELAXED), next;

	if (vgic_lpis_enabled(a->vcpu))
		return 0;
	do
		next = sanitise_gicr(vgic_update_bytes(old, a->offset, a->len, val), res0);
	while (!__atomic_compare_exchange_n(reg, &old, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return 0;
}

static int vgic_mmio_write_propbase(const struct vgic_access *a, u64 val)
{
	return write_baser(a, &a->kvm->arch.vgic.propbaser, val, PROPBASER_RES0);
}

static u64 vgic_mmio_read_pendbase(const struct vgic_access *a)
{
	return vgic_extract_bytes(a->vcpu->arch.vgic_cpu.pendbaser & ~PENDBASER_PTZ, a->offset, a->len);
}

static int vgic_mmio_write_pendbase(const struct vgic_access *a, u64 val)
{
	return write_baser(a, &a->vcpu->arch.vgic_cpu.pendbaser, val, PENDBASER_RES0);
}

/* The upper words speak of virtual PEs, which there are none of. */
static int vgic_mmio_write_invlpi(const struct vgic_access *a, u64 val)
{
	if (!(a->offset & 4) && vgic_lpis_enabled(a->vcpu))
		vgic_its_inv_lpi(a->kvm, (u32)val);
	return 0;
}

static int vgic_mmio_write_invall(const struct vgic_access *a, u64 val)
{
	if (!(a->offset & 4) && vgic_lpis_enabled(a->vcpu))
		vgic_its_invall(a->vcpu);
	return 0;
}

static const struct vgic_register_region vgic_v3_rd_registers[] = {
	REG(GICR_CTLR, 4, A32, vgic_mmio_read_v3r_ctlr, vgic_mmio_write_v3r_ctlr),
	REG(GICR_IIDR, 4, A32, vgic_mmio_read_v3r_iidr, vgic_mmio_write_wi),
	REG(GICR_TYPER, 8, A64_32, vgic_mmio_read_v3r_typer, vgic_mmio_write_wi),
	REG(GICR_STATUSR, 4, A32, vgic_mmio_read_raz, vgic_mmio_write_wi),
	REG(GICR_WAKER, 4, A32, vgic_mmio_read_raz, vgic_mmio_write_wi),
	REG(GICR_PROPBASER, 8, A64_32, vgic_mmio_read_propbase, vgic_mmio_write_propbase),
	REG(GICR_PENDBASER, 8, A64_32, vgic_mmio_read_pendbase, vgic_mmio_write_pendbase),
	REG(GICR_INVLPIR, 8, A64_32, vgic_mmio_read_raz, vgic_mmio_write_invlpi),
	REG(GICR_INVALLR, 8, A64_32, vgic_mmio_read_raz, vgic_mmio_write_invall),
	REG(GICR_SYNCR, 4, A32, vgic_mmio_read_raz, vgic_mmio_write_wi),
	REG(GIC_IDREGS, 48, A32, vgic_mmio_read_v3_idregs, vgic_mmio_write_wi),
	PRIVATE(GICD_IGROUPR, 1, A32, vgic_mmio_read_group, vgic_mmio_write_group),
	PRIVATE(GICD_ISENABLER, 1, A32, vgic_mmio_read_enable, vgic_mmio_write_senable),
	PRIVATE(GICD_ICENABLER, 1, A32, vgic_mmio_read_enable, vgic_mmio_write_cenable),
	PRIVATE(GICD_ISPENDR, 1, A32, vgic_mmio_read_pending, vgic_v3_write_spending),
	PRIVATE(GICD_ICPENDR, 1, A32, vgic_v3_read_cpending, vgic_v3_write_cpending),
	PRIVATE(GICD_ISACTIVER, 1, A32, vgic_mmio_read_active, vgic_mmio_write_sactive),
	PRIVATE(GICD_ICACTIVER, 1, A32, vgic_mmio_read_active, vgic_mmio_write_cactive),
	PRIVATE(GICD_IPRIORITYR, 8, A32_8, vgic_mmio_read_priority, vgic_mmio_write_priority),
	PRIVATE(GICD_ICFGR, 2, A32, vgic_mmio_read_config, vgic_mmio_write_config),
	PRIVATE(GICD_IGRPMODR, 1, A32, vgic_mmio_read_raz, vgic_mmio_write_wi),
	REG(GICR_NSACR, 4, A32, vgic_mmio_read_raz, vgic_mmio_write_wi),
};

void vgic_v3_init_redist_iodev(struct vgic_io_device *iodev)
{
	kvm_iodevice_init(&iodev->dev, &kvm_io_gic_ops);
	iodev->iodev_type = IODEV_REDIST;
	iodev->regions = vgic_v3_rd_registers;
	iodev->nr_regions = ARRAY_SIZE(vgic_v3_rd_registers);
}

/* ---- SGIs ---- */

#define SGI1R_ID(reg) ((u32)((reg) >> 24 & 0xf))
#define SGI1R_ALL_BUT_SELF (1ull << 40)
#define SGI1R_TARGETS(reg) ((u32)((reg) & 0xffff))
/* Aff3, 2, 1 of the targets in their places in MPIDR. RS (ranges of Aff0 above 15) is not offered. */
#define SGI1R_AFFINITY(reg) (((reg) >> 48 & 0xff) << 32 | ((reg) >> 32 & 0xff) << 16 | ((reg) >> 16 & 0xff) << 8)

static void vgic_v3_queue_sgi(struct kvm_vcpu *vcpu, u32 sgi, bool allow_group1)
{
	struct vgic_irq *irq = vgic_get_irq(vcpu->kvm, vcpu, sgi);

	if (irq && (allow_group1 || !irq->group))
		vgic_irq_make_pending(vcpu->kvm, irq);
}

void vgic_v3_dispatch_sgi(struct kvm_vcpu *vcpu, u64 reg, bool allow_group1)
{
	struct kvm_vcpu *target;
	u32 i;

	if (reg & SGI1R_ALL_BUT_SELF) {
		kvm_for_each_vcpu(i, target, vcpu->kvm)
			if (target != vcpu)
				vgic_v3_queue_sgi(target, SGI1R_ID(reg), allow_group1);
		return;
	}
	for (u32 targets = SGI1R_TARGETS(reg); targets; targets &= targets - 1) {
		target = kvm_mpidr_to_vcpu(vcpu->kvm, SGI1R_AFFINITY(reg) | (u32)__builtin_ctz(targets));
		if (target)
			vgic_v3_queue_sgi(target, SGI1R_ID(reg), allow_group1);
	}
}
