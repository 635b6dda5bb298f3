/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GICv2 and GICv3 as devices of the device control API: Documentation/virt/kvm/devices/arm-vgic.rst,
 * arm-vgic-v3.rst. Registers are read
 * and written while no vCPU runs: with every vCPU's mutex, -EBUSY where one is taken.
 */
#include <stdlib.h>

#include "arch/arm64/vgic/its.h"

static int vgic_check_type(struct kvm *kvm, u32 type)
{
	return kvm->arch.vgic.vgic_model == type ? 0 : -ENODEV;
}

static int get_u64(u64 *val, const struct kvm_device_attr *attr)
{
	return copy_from_client(val, attr->addr, sizeof(*val));
}

static int put_u64(const struct kvm_device_attr *attr, u64 val)
{
	return copy_to_client(attr->addr, &val, sizeof(val));
}

static int get_u32(u32 *val, const struct kvm_device_attr *attr)
{
	return copy_from_client(val, attr->addr, sizeof(*val));
}

static int put_u32(const struct kvm_device_attr *attr, u32 val)
{
	return copy_to_client(attr->addr, &val, sizeof(val));
}

/* ---- addresses ---- */

#define DIST_BASE offsetof(struct vgic_dist, vgic_dist_base)
#define CPU_BASE offsetof(struct vgic_dist, vgic_cpu_base)

/* Frames with one address each. */
static const struct frame {
	u32 attr, type;
	size_t base; /* in struct vgic_dist */
	u64 alignment, size;
} frames[] = {
	{ KVM_VGIC_V2_ADDR_TYPE_DIST, KVM_DEV_TYPE_ARM_VGIC_V2, DIST_BASE, SZ_4K, KVM_VGIC_V2_DIST_SIZE },
	{ KVM_VGIC_V2_ADDR_TYPE_CPU, KVM_DEV_TYPE_ARM_VGIC_V2, CPU_BASE, SZ_4K, KVM_VGIC_V2_CPU_SIZE },
	{ KVM_VGIC_V3_ADDR_TYPE_DIST, KVM_DEV_TYPE_ARM_VGIC_V3, DIST_BASE, SZ_64K, KVM_VGIC_V3_DIST_SIZE },
};

static int frame_addr(struct kvm *kvm, const struct frame *f, u64 *addr, bool write)
{
	gpa_t *base = (gpa_t *)((char *)&kvm->arch.vgic + f->base);
	int ret = vgic_check_type(kvm, f->type);

	if (ret)
		return ret;
	pthread_mutex_lock(&kvm->arch.vgic.config_lock);
	if (!write)
		*addr = *base;
	else
		ret = vgic_check_iorange(kvm, *base, *addr, f->alignment, f->size);
	if (write && !ret)
		*base = *addr;
	pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
	return ret;
}

static int redist_addr(struct kvm *kvm, u64 *addr, bool write)
{
	struct list_head *regions = &kvm->arch.vgic.rd_regions;

	if (write)
		return vgic_v3_set_redist_base(kvm, 0, *addr, 0);
	*addr = list_empty(regions) ? VGIC_ADDR_UNDEF
				    : list_entry(regions->next, struct vgic_redist_region, list)->base;
	return 0;
}

#define REGION_INDEX(addr) ((u32)((addr) & 0xfff))
#define REGION_FLAGS(addr) ((u32)((addr) >> 12 & 0xf))
#define REGION_BASE(addr) ((addr) & GENMASK_ULL(51, 16))
#define REGION_COUNT_SHIFT 52

static int redist_region_addr(struct kvm *kvm, u64 *addr, bool write)
{
	u32 count = (u32)(*addr >> REGION_COUNT_SHIFT), index = (u8)REGION_INDEX(*addr);
	struct vgic_redist_region *r;

	if (write && (!count || REGION_FLAGS(*addr)))
		return -EINVAL;
	if (write)
		return vgic_v3_set_redist_base(kvm, index, REGION_BASE(*addr), count);
	r = vgic_v3_rdist_region_from_index(kvm, index);
	if (!r)
		return -ENOENT;
	*addr = index | r->base | (u64)r->count << REGION_COUNT_SHIFT;
	return 0;
}

/* Caller holds slots_lock: redistributors go onto the bus. */
static int addr_locked(struct kvm *kvm, u64 type, u64 *addr, bool write)
{
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		if (frames[i].attr == type)
			return frame_addr(kvm, &frames[i], addr, write);
	if (type != KVM_VGIC_V3_ADDR_TYPE_REDIST && type != KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION)
		return -ENODEV;
	ret = vgic_check_type(kvm, KVM_DEV_TYPE_ARM_VGIC_V3);
	if (ret)
		return ret;
	return type == KVM_VGIC_V3_ADDR_TYPE_REDIST ? redist_addr(kvm, addr, write)
						    : redist_region_addr(kvm, addr, write);
}

static int kvm_vgic_addr(struct kvm *kvm, struct kvm_device_attr *attr, bool write)
{
	u64 addr = 0;
	int ret;

	/* Reading a region: its index is in what is pointed to. */
	if ((write || attr->attr == KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION) && get_u64(&addr, attr))
		return -EFAULT;
	pthread_mutex_lock(&kvm->slots_lock);
	ret = addr_locked(kvm, attr->attr, &addr, write);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (!ret && !write)
		ret = put_u64(attr, addr);
	return ret == -ENODEV ? -ENXIO : ret;
}

int kvm_set_legacy_vgic_v2_addr(struct kvm *kvm, struct kvm_arm_device_addr *dev_addr)
{
	u64 type = (u16)dev_addr->id, addr = dev_addr->addr; /* the device is in bits 31:16 */

	if (type != KVM_VGIC_V2_ADDR_TYPE_DIST && type != KVM_VGIC_V2_ADDR_TYPE_CPU)
		return -ENODEV;
	return addr_locked(kvm, type, &addr, true);
}

/* ---- attributes of both ---- */

static int set_nr_irqs(struct kvm *kvm, struct kvm_device_attr *attr)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	u32 val;
	int ret = 0;

	if (get_u32(&val, attr))
		return -EFAULT;
	if (val < VGIC_NR_PRIVATE_IRQS + 32 || val > VGIC_MAX_RESERVED || val & 31)
		return -EINVAL;
	pthread_mutex_lock(&dist->config_lock);
	if (dist->nr_spis)
		ret = -EBUSY; /* set before, or by vgic_init */
	else
		dist->nr_spis = val - VGIC_NR_PRIVATE_IRQS;
	pthread_mutex_unlock(&dist->config_lock);
	return ret;
}

int vgic_with_vcpus_stopped(struct kvm *kvm, int (*fn)(struct kvm *kvm, void *arg), void *arg)
{
	int ret = -EBUSY;

	pthread_mutex_lock(&kvm->lock);
	if (lock_all_vcpus(kvm)) {
		pthread_mutex_lock(&kvm->arch.vgic.config_lock);
		ret = fn(kvm, arg);
		pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
		unlock_all_vcpus(kvm);
	}
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}

static int save_pending_tables(struct kvm *kvm, void *arg)
{
	return vgic_v3_save_pending_tables(kvm);
}

static int set_ctrl(struct kvm *kvm, u64 attr)
{
	int ret;

	switch (attr) {
	case KVM_DEV_ARM_VGIC_CTRL_INIT:
		pthread_mutex_lock(&kvm->arch.vgic.config_lock);
		ret = vgic_init(kvm);
		pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
		return ret;
	case KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES:
		return vgic_is_v3(kvm) ? vgic_with_vcpus_stopped(kvm, save_pending_tables, NULL) : -ENXIO;
	}
	return -ENXIO;
}

static int vgic_set_common_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return kvm_vgic_addr(dev->kvm, attr, true);
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		return set_nr_irqs(dev->kvm, attr);
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return set_ctrl(dev->kvm, attr->attr);
	}
	return -ENXIO;
}

static int vgic_get_common_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return kvm_vgic_addr(dev->kvm, attr, false);
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		return put_u32(attr, vgic_nr_irqs(dev->kvm));
	}
	return -ENXIO;
}

static int vgic_create(struct kvm_device *dev, u32 type)
{
	return kvm_vgic_create(dev->kvm, type);
}

static void vgic_destroy(struct kvm_device *dev)
{
	free(dev);
}

/* ---- registers ---- */

struct reg_access {
	struct kvm_device_attr *attr;
	struct kvm_vcpu *vcpu;
	u32 offset;
	bool write;
	u32 val;
	int (*access)(struct reg_access *r);
};

/* Groups of registers: with which frame, or how else. */
static int access_frame(struct reg_access *r, void (*init)(struct vgic_io_device *iodev))
{
	struct vgic_io_device iodev = { 0 };

	init(&iodev);
	return vgic_uaccess(r->vcpu, &iodev, r->write, r->offset, &r->val);
}

static int access_v2_dist(struct reg_access *r)
{
	return access_frame(r, vgic_v2_init_dist_iodev);
}

static int access_v2_cpu(struct reg_access *r)
{
	return access_frame(r, vgic_v2_init_cpu_user_iodev);
}

static int access_v3_dist(struct reg_access *r)
{
	return access_frame(r, vgic_v3_init_dist_iodev);
}

static int access_v3_redist(struct reg_access *r)
{
	return access_frame(r, vgic_v3_init_redist_iodev);
}

static int access_v3_sysreg(struct reg_access *r)
{
	return vgic_v3_cpu_sysregs_uaccess(r->vcpu, r->attr, r->write);
}

static int access_v3_level(struct reg_access *r)
{
	u64 attr = r->attr->attr,
	    info = (attr & KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK) >> KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
	u32 intid = attr & KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK;

	if (info != VGIC_LEVEL_INFO_LINE_LEVEL || intid % 32)
		return -EINVAL;
	if (r->write)
		vgic_write_irq_line_level_info(r->vcpu, intid, r->val);
	else
		r->val = vgic_read_irq_line_level_info(r->vcpu, intid);
	return 0;
}

static int access_regs(struct kvm *kvm, void *arg)
{
	struct reg_access *r = arg;
	int ret = 0;

	if (!vgic_is_v3(kvm))
		ret = vgic_init(kvm);
	else if (!vgic_initialized(kvm))
		ret = -EBUSY;
	return ret ? ret : r->access(r);
}

static int vgic_attr_regs_access(struct kvm *kvm, struct reg_access *r)
{
	bool by_u32 = r->access != access_v3_sysreg; /* that one copies by itself */
	int ret;

	if (!r->vcpu)
		return -EINVAL;
	if (by_u32 && r->write && get_u32(&r->val, r->attr))
		return -EFAULT;
	ret = vgic_with_vcpus_stopped(kvm, access_regs, r);
	return ret || r->write || !by_u32 ? ret : put_u32(r->attr, r->val);
}

/* The vCPU and the register's offset; access: NULL where the group is no group of registers. */
static struct reg_access v2_access(struct kvm *kvm, struct kvm_device_attr *attr, bool write)
{
	int id = (int)((attr->attr & KVM_DEV_ARM_VGIC_CPUID_MASK) >> KVM_DEV_ARM_VGIC_CPUID_SHIFT);
	struct reg_access r = { .attr = attr, .write = write, .offset = (u32)attr->attr };

	if (attr->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS)
		r.access = access_v2_dist;
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_REGS)
		r.access = access_v2_cpu;
	if (r.access)
		r.vcpu = kvm_get_vcpu_by_id(kvm, id);
	return r;
}

/* Aff3.Aff2.Aff1.Aff0 in four bytes */
static u64 vgic_to_mpidr(u32 aff)
{
	return (u64)(aff >> 24) << 32 | (aff & 0xffffff);
}

static struct reg_access v3_access(struct kvm *kvm, struct kvm_device_attr *attr, bool write)
{
	static int (*const access[])(struct reg_access *r) = {
		[KVM_DEV_ARM_VGIC_GRP_DIST_REGS] = access_v3_dist,
		[KVM_DEV_ARM_VGIC_GRP_REDIST_REGS] = access_v3_redist,
		[KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS] = access_v3_sysreg,
		[KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO] = access_v3_level,
	};
	struct reg_access r = { .attr = attr, .write = write, .offset = (u32)attr->attr };

	if (attr->group >= ARRAY_SIZE(access) || !access[attr->group])
		return r;
	r.access = access[attr->group];
	if (attr->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS)
		r.vcpu = kvm_get_vcpu(kvm, 0);
	else
		r.vcpu = kvm_mpidr_to_vcpu(kvm, vgic_to_mpidr((u32)(attr->attr >>
								    KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT)));
	return r;
}

static int has_reg(struct kvm *kvm, const struct reg_access *r, void (*init)(struct vgic_io_device *iodev))
{
	struct vgic_io_device iodev = { 0 };

	if (!r->vcpu)
		return -EINVAL;
	init(&iodev);
	return vgic_get_mmio_region(kvm, &iodev, r->offset, sizeof(u32)) ? 0 : -ENXIO;
}

/* ---- GICv2 ---- */

static int vgic_v2_set_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct reg_access r = v2_access(dev->kvm, attr, true);

	return r.access ? vgic_attr_regs_access(dev->kvm, &r) : vgic_set_common_attr(dev, attr);
}

static int vgic_v2_get_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct reg_access r = v2_access(dev->kvm, attr, false);

	return r.access ? vgic_attr_regs_access(dev->kvm, &r) : vgic_get_common_attr(dev, attr);
}

static int vgic_v2_has_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct reg_access r = v2_access(dev->kvm, attr, false);

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return attr->attr == KVM_VGIC_V2_ADDR_TYPE_DIST || attr->attr == KVM_VGIC_V2_ADDR_TYPE_CPU
			       ? 0
			       : -ENXIO;
	case KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
		return has_reg(dev->kvm, &r, vgic_v2_init_dist_iodev);
	case KVM_DEV_ARM_VGIC_GRP_CPU_REGS:
		return has_reg(dev->kvm, &r, vgic_v2_init_cpu_user_iodev);
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		return 0;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return attr->attr == KVM_DEV_ARM_VGIC_CTRL_INIT ? 0 : -ENXIO;
	}
	return -ENXIO;
}

const struct kvm_device_ops kvm_arm_vgic_v2_ops = {
	.name = "kvm-arm-vgic-v2",
	.create = vgic_create,
	.destroy = vgic_destroy,
	.set_attr = vgic_v2_set_attr,
	.get_attr = vgic_v2_get_attr,
	.has_attr = vgic_v2_has_attr,
};

/* ---- GICv3 ---- */

static int vgic_v3_set_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct reg_access r = v3_access(dev->kvm, attr, true);

	return r.access ? vgic_attr_regs_access(dev->kvm, &r) : vgic_set_common_attr(dev, attr);
}

static int vgic_v3_get_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct reg_access r = v3_access(dev->kvm, attr, false);

	return r.access ? vgic_attr_regs_access(dev->kvm, &r) : vgic_get_common_attr(dev, attr);
}

static bool v3_has_addr(u64 attr)
{
	return attr == KVM_VGIC_V3_ADDR_TYPE_DIST || attr == KVM_VGIC_V3_ADDR_TYPE_REDIST ||
	       attr == KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION;
}

static bool v3_has_ctrl(u64 attr)
{
	return attr == KVM_DEV_ARM_VGIC_CTRL_INIT || attr == KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES;
}

static bool v3_has_level_info(u64 attr)
{
	return (attr & KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK) >> KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT ==
	       VGIC_LEVEL_INFO_LINE_LEVEL;
}

static int vgic_v3_has_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct reg_access r = v3_access(dev->kvm, attr, false);

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return v3_has_addr(attr->attr) ? 0 : -ENXIO;
	case KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
		return has_reg(dev->kvm, &r, vgic_v3_init_dist_iodev);
	case KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
		return has_reg(dev->kvm, &r, vgic_v3_init_redist_iodev);
	case KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS:
		return r.vcpu ? vgic_v3_has_cpu_sysregs_attr(attr) : -EINVAL;
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		return 0;
	case KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO:
		return v3_has_level_info(attr->attr) ? 0 : -ENXIO;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return v3_has_ctrl(attr->attr) ? 0 : -ENXIO;
	}
	return -ENXIO;
}

const struct kvm_device_ops kvm_arm_vgic_v3_ops = {
	.name = "kvm-arm-vgic-v3",
	.create = vgic_create,
	.destroy = vgic_destroy,
	.set_attr = vgic_v3_set_attr,
	.get_attr = vgic_v3_get_attr,
	.has_attr = vgic_v3_has_attr,
};
