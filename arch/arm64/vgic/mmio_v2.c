/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register maps of a GICv2: distributor (GICD_*, 4 KiB) and CPU interface (GICC_*, 8 KiB). Source: IHI
 * 0048, chapter 4. One
 * Security state, up to 8 CPUs. Linux lets the guest at the hardware's virtual CPU interface (GICV_*); here
 * it is emulated, with the
 * same registers. User space sees fewer of them, and the priority mask as Linux's ABI has it: the upper five
 * bits, in the lower five.
 */
#include "arch/arm64/vgic/vgic.h"

#define GIC_DIST_CTRL 0x000
#define GIC_DIST_CTR 0x004
#define GIC_DIST_IIDR 0x008
#define GIC_DIST_IGROUP 0x080
#define GIC_DIST_ENABLE_SET 0x100
#define GIC_DIST_ENABLE_CLEAR 0x180
#define GIC_DIST_PENDING_SET 0x200
#define GIC_DIST_PENDING_CLEAR 0x280
#define GIC_DIST_ACTIVE_SET 0x300
#define GIC_DIST_ACTIVE_CLEAR 0x380
#define GIC_DIST_PRI 0x400
#define GIC_DIST_TARGET 0x800
#define GIC_DIST_CONFIG 0xc00
#define GIC_DIST_SOFTINT 0xf00
#define GIC_DIST_SGI_PENDING_CLEAR 0xf10
#define GIC_DIST_SGI_PENDING_SET 0xf20
#define GICD_ENABLE 1u
#define GICD_IIDR_REVISION_SHIFT 12

/* ---- distributor ---- */

static u64 vgic_mmio_read_v2_misc(const struct vgic_access *a)
{
	struct vgic_dist *dist = &a->kvm->arch.vgic;

	switch (a->offset) {
	case GIC_DIST_CTRL:
		return dist->enabled ? GICD_ENABLE : 0;
	case GIC_DIST_CTR:
		return ((vgic_nr_irqs(a->kvm) >> 5) - 1) | (kvm_online_vcpus(a->kvm) - 1) << 5;
	}
	return PRODUCT_ID_KVM << 24 | dist->implementation_rev << GICD_IIDR_REVISION_SHIFT | IMPLEMENTER_ARM;
}

/* A user space that writes the revision knows that groups are the guest's to set, and may then restore them.
 * */
static int restore_iidr(const struct vgic_access *a, u32 val)
{
	u32 rev = val >> GICD_IIDR_REVISION_SHIFT & 0xf;

	if ((vgic_mmio_read_v2_misc(a) ^ val) & ~(0xfu << GICD_IIDR_REVISION_SHIFT))
		return -EINVAL;
	if (rev != KVM_VGIC_IMP_REV_2 && rev != KVM_VGIC_IMP_REV_3)
		return -EINVAL;
	a->kvm->arch.vgic.v2_groups_user_writable = true;
	a->kvm->arch.vgic.implementation_rev = rev;
	return 0;
}

static int vgic_mmio_write_v2_misc(const struct vgic_access *a, u64 val)
{
	if (a->offset == GIC_DIST_CTRL) {
		__atomic_store_n(&a->kvm->arch.vgic.enabled, val & GICD_ENABLE, __ATOMIC_SEQ_CST);
		vgic_kick_vcpus(a->kvm);
	}
	return a->user && a->offset == GIC_DIST_IIDR ? restore_iidr(a, (u32)val) : 0;
}

static int vgic_mmio_write_v2_group(const struct vgic_access *a, u64 val)
{
	return a->user && !a->kvm->arch.vgic.v2_groups_user_writable ? 0 : vgic_mmio_write_group(a, val);
}

static void send_sgi(struct kvm_vcpu *source, struct kvm_vcpu *vcpu, u32 intid)
{
	struct vgic_irq *irq = vgic_get_irq(vcpu->kvm, vcpu, intid);
	struct vgic_cpu *home = vgic_irq_lock(irq);

	irq->pending_latch = true;
	irq->source |= (u8)(1u << source->vcpu_idx);
	vgic_queue_irq_unlock(vcpu->kvm, irq, home);
}

static int vgic_mmio_write_sgir(const struct vgic_access *a, u64 val)
{
	u32 self = 1u << a->vcpu->vcpu_idx, targets, i;
	struct kvm_vcpu *vcpu;

	switch (val >> 24 & 3) {
	case 0:
		targets = val >> 16 & 0xff;
		break;
	case 1:
		targets = ~self;
		break;
	case 2:
		targets = self;
		break;
	default:
		return 0; /* reserved */
	}
	kvm_for_each_vcpu(i, vcpu, a->kvm)
		if (targets >> i & 1)
			send_sgi(a->vcpu, vcpu, val & 0xf);
	return 0;
}

static u64 vgic_mmio_read_target(const struct vgic_access *a)
{
	u64 val = 0;

	for (u32 i = 0; i < a->len; i++)
		val |= (u64)vgic_get_irq(a->kvm, a->vcpu, a->intid + i)->targets << 8 * i;
	return val;
}

/* The lowest of the CPUs named is the target; of no one, CPU 0. Those of private interrupts are read-only. */
static int vgic_mmio_write_target(const struct vgic_access *a, u64 val)
{
	u8 all = (u8)((1u << kvm_online_vcpus(a->kvm)) - 1);

	if (a->intid < VGIC_NR_PRIVATE_IRQS)
		return 0;
	for (u32 i = 0; i < a->len; i++) {
		struct vgic_irq *irq = vgic_get_irq(a->kvm, NULL, a->intid + i);
		struct vgic_cpu *home = vgic_irq_lock(irq);

		irq->targets = val >> 8 * i & all;
		irq->target_vcpu = kvm_get_vcpu(a->kvm, irq->targets ? (u32)__builtin_ctz(irq->targets) : 0);
		vgic_queue_irq_unlock(a->kvm, irq, home);
	}
	return 0;
}

/* One byte for each SGI: from which CPUs it is pending. */
static u64 vgic_mmio_read_sgipend(const struct vgic_access *a)
{
	u64 val = 0;

	for (u32 i = 0; i < a->len; i++)
		val |= (u64)vgic_get_irq(a->kvm, a->vcpu, a->intid + i)->source << 8 * i;
	return val;
}

static int change_sgipend(const struct vgic_access *a, u64 set, u64 clear)
{
	for (u32 i = 0; i < a->len; i++) {
		struct vgic_irq *irq = vgic_get_irq(a->kvm, a->vcpu, a->intid + i);
		struct vgic_cpu *home = vgic_irq_lock(irq);
		u8 source = (irq->source | (u8)(set >> 8 * i)) & (u8) ~(clear >> 8 * i);

		irq->source = source;
		irq->pending_latch = source != 0;
		vgic_queue_irq_unlock(a->kvm, irq, home);
	}
	return 0;
}

static int vgic_mmio_write_sgipendc(const struct vgic_access *a, u64 val)
{
	return change_sgipend(a, 0, val);
}

static int vgic_mmio_write_sgipends(const struct vgic_access *a, u64 val)
{
	return change_sgipend(a, val, 0);
}

#define REG(off, length, acc, rd, wr) \
	{ .reg_offset = off, .len = length, .access_flags = acc, .read = rd, .write = wr }
#define PER_IRQ(off, bpi, acc, rd, wr) \
	{ .reg_offset = off, .len = bpi * 128, .bits_per_irq = bpi, .access_flags = acc, .read = rd, .write = wr }
#define PER_SGI(off, acc, rd, wr) \
	{ .reg_offset = off, .len = 16, .bits_per_irq = 8, .access_flags = acc, .read = rd, .write = wr }
#define A32 VGIC_ACCESS_32bit
#define A32_8 (VGIC_ACCESS_32bit | VGIC_ACCESS_8bit)

static const struct vgic_register_region vgic_v2_dist_registers[] = {
	REG(GIC_DIST_CTRL, 12, A32, vgic_mmio_read_v2_misc, vgic_mmio_write_v2_misc),
	PER_IRQ(GIC_DIST_IGROUP, 1, A32, vgic_mmio_read_group, vgic_mmio_write_v2_group),
	PER_IRQ(GIC_DIST_ENABLE_SET, 1, A32, vgic_mmio_read_enable, vgic_mmio_write_senable),
	PER_IRQ(GIC_DIST_ENABLE_CLEAR, 1, A32, vgic_mmio_read_enable, vgic_mmio_write_cenable),
	PER_IRQ(GIC_DIST_PENDING_SET, 1, A32, vgic_mmio_read_pending, vgic_mmio_write_spending),
	PER_IRQ(GIC_DIST_PENDING_CLEAR, 1, A32, vgic_mmio_read_pending, vgic_mmio_write_cpending),
	PER_IRQ(GIC_DIST_ACTIVE_SET, 1, A32, vgic_mmio_read_active, vgic_mmio_write_sactive),
	PER_IRQ(GIC_DIST_ACTIVE_CLEAR, 1, A32, vgic_mmio_read_active, vgic_mmio_write_cactive),
	PER_IRQ(GIC_DIST_PRI, 8, A32_8, vgic_mmio_read_priority, vgic_mmio_write_priority),
	PER_IRQ(GIC_DIST_TARGET, 8, A32_8, vgic_mmio_read_target, vgic_mmio_write_target),
	PER_IRQ(GIC_DIST_CONFIG, 2, A32, vgic_mmio_read_config, vgic_mmio_write_config),
	REG(GIC_DIST_SOFTINT, 4, A32, vgic_mmio_read_raz, vgic_mmio_write_sgir),
	PER_SGI(GIC_DIST_SGI_PENDING_CLEAR, A32_8, vgic_mmio_read_sgipend, vgic_mmio_write_sgipendc),
	PER_SGI(GIC_DIST_SGI_PENDING_SET, A32_8, vgic_mmio_read_sgipend, vgic_mmio_write_sgipends),
};

void vgic_v2_init_dist_iodev(struct vgic_io_device *iodev)
{
	kvm_iodevice_init(&iodev->dev, &kvm_io_gic_ops);
	iodev->iodev_type = IODEV_DIST;
	iodev->redist_vcpu = NULL;
	iodev->regions = vgic_v2_dist_registers;
	iodev->nr_regions = ARRAY_SIZE(vgic_v2_dist_registers);
}

/* ---- CPU interface ---- */

#define GIC_CPU_CTRL 0x00
#define GIC_CPU_PRIMASK 0x04
#define GIC_CPU_BINPOINT 0x08
#define GIC_CPU_INTACK 0x0c
#define GIC_CPU_EOI 0x10
#define GIC_CPU_RUNNINGPRI 0x14
#define GIC_CPU_HIGHPRI 0x18
#define GIC_CPU_ALIAS_BINPOINT 0x1c
#define GIC_CPU_ALIAS_INTACK 0x20
#define GIC_CPU_ALIAS_EOI 0x24
#define GIC_CPU_ALIAS_HIGHPRI 0x28
#define GIC_CPU_ACTIVEPRIO 0xd0
#define GIC_CPU_IDENT 0xfc
#define GIC_CPU_DEACTIVATE 0x1000

#define GICC_ENABLE_GRP0 (1u << 0)
#define GICC_ENABLE_GRP1 (1u << 1)
#define GICC_ACKCTL (1u << 2)
#define GICC_FIQEN (1u << 3)
#define GICC_CBPR (1u << 4)
#define GICC_EOIMODE (1u << 9)
#define GICC_INTID(val) ((u32)((val) & 0x3ff)) /* without the source CPU */

static struct vgic_vmcr *vmcr_of(const struct vgic_access *a)
{
	return &a->vcpu->arch.vgic_cpu.vmcr;
}

static u64 read_ctlr(const struct vgic_access *a)
{
	const struct vgic_vmcr *v = vmcr_of(a);

	return (v->grpen0 ? GICC_ENABLE_GRP0 : 0) | (v->grpen1 ? GICC_ENABLE_GRP1 : 0) |
	       (v->ackctl ? GICC_ACKCTL : 0) | (v->fiqen ? GICC_FIQEN : 0) | (v->cbpr ? GICC_CBPR : 0) |
	       (v->eoim ? GICC_EOIMODE : 0);
}

static int write_ctlr(const struct vgic_access *a, u64 val)
{
	struct vgic_vmcr *v = vmcr_of(a);

	v->grpen0 = val & GICC_ENABLE_GRP0;
	v->grpen1 = val & GICC_ENABLE_GRP1;
	v->ackctl = val & GICC_ACKCTL;
	v->fiqen = val & GICC_FIQEN;
	v->cbpr = val & GICC_CBPR;
	v->eoim = val & GICC_EOIMODE;
	vgic_cpuif_changed(a->vcpu);
	return 0;
}

static u64 read_pmr(const struct vgic_access *a)
{
	return a->user ? vmcr_of(a)->pmr >> (8 - VGIC_PRI_BITS) : vmcr_of(a)->pmr;
}

static int write_pmr(const struct vgic_access *a, u64 val)
{
	vmcr_of(a)->pmr = (a->user ? val << (8 - VGIC_PRI_BITS) : val) & VGIC_PRI_MASK;
	vgic_cpuif_changed(a->vcpu);
	return 0;
}

static u64 read_bpr(const struct vgic_access *a)
{
	return vmcr_of(a)->bpr;
}

static int write_bpr(const struct vgic_access *a, u64 val)
{
	vmcr_of(a)->bpr = (u8)MAX(val & 7, VGIC_BPR0_MIN);
	vgic_cpuif_changed(a->vcpu);
	return 0;
}

static u64 read_abpr(const struct vgic_access *a)
{
	return vmcr_of(a)->abpr;
}

static int write_abpr(const struct vgic_access *a, u64 val)
{
	vmcr_of(a)->abpr = (u8)MAX(val & 7, VGIC_BPR1_MIN);
	vgic_cpuif_changed(a->vcpu);
	return 0;
}

/* One set of active priorities for both groups. */
static u64 read_apr(const struct vgic_access *a)
{
	const struct vgic_cpu *cpu = &a->vcpu->arch.vgic_cpu;

	return a->offset == GIC_CPU_ACTIVEPRIO ? cpu->apr[0] | cpu->apr[1] : 0;
}

static int write_apr(const struct vgic_access *a, u64 val)
{
	struct vgic_cpu *cpu = &a->vcpu->arch.vgic_cpu;

	if (a->offset == GIC_CPU_ACTIVEPRIO) {
		cpu->apr[0] = (u32)val;
		cpu->apr[1] = 0;
		vgic_cpuif_changed(a->vcpu);
	}
	return 0;
}

static u64 read_ident(const struct vgic_access *a)
{
	return PRODUCT_ID_KVM << 20 | 2u << 16 | IMPLEMENTER_ARM;
}

static u64 read_iar(const struct vgic_access *a)
{
	return vgic_cpuif_iar(a->vcpu, 0);
}

static u64 read_aiar(const struct vgic_access *a)
{
	return vgic_cpuif_iar(a->vcpu, 1);
}

static u64 read_rpr(const struct vgic_access *a)
{
	return vgic_cpuif_rpr(a->vcpu);
}

static u64 read_hppir(const struct vgic_access *a)
{
	return vgic_cpuif_hppir(a->vcpu, 0);
}

static u64 read_ahppir(const struct vgic_access *a)
{
	return vgic_cpuif_hppir(a->vcpu, 1);
}

static int write_eoir(const struct vgic_access *a, u64 val)
{
	vgic_cpuif_eoir(a->vcpu, GICC_INTID(val));
	return 0;
}

static int write_dir(const struct vgic_access *a, u64 val)
{
	vgic_cpuif_dir(a->vcpu, GICC_INTID(val));
	return 0;
}

static const struct vgic_register_region vgic_v2_cpu_registers[] = {
	REG(GIC_CPU_CTRL, 4, A32, read_ctlr, write_ctlr),
	REG(GIC_CPU_PRIMASK, 4, A32, read_pmr, write_pmr),
	REG(GIC_CPU_BINPOINT, 4, A32, read_bpr, write_bpr),
	REG(GIC_CPU_INTACK, 4, A32, read_iar, vgic_mmio_write_wi),
	REG(GIC_CPU_EOI, 4, A32, vgic_mmio_read_raz, write_eoir),
	REG(GIC_CPU_RUNNINGPRI, 4, A32, read_rpr, vgic_mmio_write_wi),
	REG(GIC_CPU_HIGHPRI, 4, A32, read_hppir, vgic_mmio_write_wi),
	REG(GIC_CPU_ALIAS_BINPOINT, 4, A32, read_abpr, write_abpr),
	REG(GIC_CPU_ALIAS_INTACK, 4, A32, read_aiar, vgic_mmio_write_wi),
	REG(GIC_CPU_ALIAS_EOI, 4, A32, vgic_mmio_read_raz, write_eoir),
	REG(GIC_CPU_ALIAS_HIGHPRI, 4, A32, read_ahppir, vgic_mmio_write_wi),
	REG(GIC_CPU_ACTIVEPRIO, 16, A32, read_apr, write_apr),
	REG(GIC_CPU_IDENT, 4, A32, read_ident, vgic_mmio_write_wi),
	REG(GIC_CPU_DEACTIVATE, 4, A32, vgic_mmio_read_raz, write_dir),
};

void vgic_v2_init_cpu_iodev(struct vgic_io_device *iodev)
{
	kvm_iodevice_init(&iodev->dev, &kvm_io_gic_ops);
	iodev->iodev_type = IODEV_CPUIF;
	iodev->redist_vcpu = NULL;
	iodev->regions = vgic_v2_cpu_registers;
	iodev->nr_regions = ARRAY_SIZE(vgic_v2_cpu_registers);
}

/* What user space may see of it: state, nothing that acts. */
static const struct vgic_register_region vgic_v2_cpu_user_registers[] = {
	REG(GIC_CPU_CTRL, 4, A32, read_ctlr, write_ctlr),
	REG(GIC_CPU_PRIMASK, 4, A32, read_pmr, write_pmr),
	REG(GIC_CPU_BINPOINT, 4, A32, read_bpr, write_bpr),
	REG(GIC_CPU_ALIAS_BINPOINT, 4, A32, read_abpr, write_abpr),
	REG(GIC_CPU_ACTIVEPRIO, 16, A32, read_apr, write_apr),
	REG(GIC_CPU_IDENT, 4, A32, read_ident, vgic_mmio_write_wi),
};

void vgic_v2_init_cpu_user_iodev(struct vgic_io_device *iodev)
{
	vgic_v2_init_cpu_iodev(iodev);
	iodev->regions = vgic_v2_cpu_user_registers;
	iodev->nr_regions = ARRAY_SIZE(vgic_v2_cpu_user_registers);
}

int vgic_v2_map_resources(struct kvm *kvm)
{
	gpa_t dist = kvm->arch.vgic.vgic_dist_base, cpu = kvm->arch.vgic.vgic_cpu_base;

	if (vgic_is_undef(dist) || vgic_is_undef(cpu))
		return -ENXIO;
	if (dist + KVM_VGIC_V2_DIST_SIZE > cpu && cpu + KVM_VGIC_V2_CPU_SIZE > dist)
		return -EINVAL;
	return vgic_init(kvm);
}
