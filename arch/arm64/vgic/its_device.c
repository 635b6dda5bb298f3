/* SPDX-License-Identifier: Apache-2.0 */
/* The ITS as a device of the device control API: Documentation/virt/kvm/devices/arm-vgic-its.rst. */
#include <stdlib.h>

#include "arch/arm64/vgic/its.h"

#define INITIAL_PROPBASER 0x0580ull /* inner shareable, inner cacheability read-allocate write-back */

static int vgic_its_create(struct kvm_device *dev, u32 type)
{
	struct vgic_dist *dist = &dev->kvm->arch.vgic;
	struct vgic_its *its = calloc(1, sizeof(*its));

	if (!its)
		return -ENOMEM;
	its->kvm = dev->kvm;
	its->vgic_its_base = VGIC_ADDR_UNDEF;
	pthread_mutex_init(&its->cmd_lock, NULL);
	pthread_mutex_init(&its->its_lock, NULL);
	list_init(&its->device_list);
	list_init(&its->collection_list);
	vgic_its_init_iodev(its);
	dev->private = its;
	pthread_mutex_lock(&dist->config_lock);
	list_add_tail(&its->its_list, &dist->its_list);
	dist->msis_require_devid = dist->has_its = true;
	__atomic_store_n(&dist->propbaser, INITIAL_PROPBASER, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&dist->config_lock);
	return 0;
}

/* The VM goes away, or nobody ever knew of it: LPIs are not touched (their vCPUs are gone). */
static void free_mappings(struct vgic_its *its)
{
	struct its_device *device, *next;

	list_for_each_entry_safe(device, next, &its->device_list, dev_list) {
		struct its_ite *ite, *next_ite;

		list_for_each_entry_safe(ite, next_ite, &device->itt_head, ite_list)
			free(ite);
		free(device);
	}
	list_init(&its->device_list);
	vgic_its_free_collections(its);
}

static void vgic_its_destroy(struct kvm_device *dev)
{
	struct vgic_its *its = dev->private;
	struct kvm *kvm = dev->kvm;

	pthread_mutex_lock(&kvm->slots_lock);
	if (!vgic_is_undef(its->vgic_its_base))
		kvm_io_bus_unregister_dev(kvm, KVM_MMIO_BUS, &its->iodev.dev);
	pthread_mutex_unlock(&kvm->slots_lock);
	pthread_mutex_lock(&kvm->arch.vgic.config_lock);
	list_del(&its->its_list);
	pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
	free_mappings(its);
	pthread_mutex_destroy(&its->cmd_lock);
	pthread_mutex_destroy(&its->its_lock);
	free(its);
	free(dev);
}

/* ---- address ---- */

static int register_iodev(struct vgic_its *its, gpa_t addr)
{
	int ret;

	if (!vgic_is_undef(its->vgic_its_base))
		return -EBUSY;
	its->iodev.base_addr = addr;
	ret = kvm_io_bus_register_dev(its->kvm, KVM_MMIO_BUS, addr, KVM_VGIC_V3_ITS_SIZE, &its->iodev.dev);
	if (!ret)
		__atomic_store_n(&its->vgic_its_base, addr, __ATOMIC_RELEASE);
	return ret;
}

static int set_addr(struct vgic_its *its, struct kvm_device_attr *attr)
{
	u64 addr;
	int ret;

	if (attr->attr != KVM_VGIC_ITS_ADDR_TYPE)
		return -ENODEV;
	if (copy_from_client(&addr, attr->addr, sizeof(addr)))
		return -EFAULT;
	ret = vgic_check_iorange(its->kvm, its->vgic_its_base, addr, SZ_64K, KVM_VGIC_V3_ITS_SIZE);
	if (ret)
		return ret;
	pthread_mutex_lock(&its->kvm->slots_lock);
	ret = register_iodev(its, addr);
	pthread_mutex_unlock(&its->kvm->slots_lock);
	return ret;
}

static int get_addr(struct vgic_its *its, struct kvm_device_attr *attr)
{
	if (attr->attr != KVM_VGIC_ITS_ADDR_TYPE)
		return -ENODEV;
	return copy_to_client(attr->addr, &its->vgic_its_base, sizeof(its->vgic_its_base));
}

/* ---- registers and control, while no vCPU runs ---- */

struct its_call {
	struct vgic_its *its;
	u64 attr;
	u64 *val;
	bool write;
};

static int access_reg(struct kvm *kvm, void *arg)
{
	struct its_call *c = arg;

	if (vgic_is_undef(c->its->vgic_its_base))
		return -ENXIO;
	return vgic_its_reg_access(c->its, (u32)c->attr, c->val, c->write);
}

static int reg_access(struct vgic_its *its, u64 attr, u64 *val, bool write)
{
	struct its_call c = { .its = its, .attr = attr, .val = val, .write = write };

	if (attr >> 32)
		return -ENXIO;
	if (vgic_its_has_reg((u32)attr) == -EINVAL)
		return -EINVAL;
	return vgic_with_vcpus_stopped(its->kvm, access_reg, &c);
}

static int reset(struct vgic_its *its)
{
	vgic_its_reset_registers(its);
	vgic_its_free_devices(its);
	vgic_its_free_collections(its);
	return 0;
}

static int control(struct kvm *kvm, void *arg)
{
	struct its_call *c = arg;
	int ret = 0;

	pthread_mutex_lock(&c->its->its_lock);
	switch (c->attr) {
	case KVM_DEV_ARM_ITS_CTRL_RESET:
		ret = reset(c->its);
		break;
	case KVM_DEV_ARM_ITS_SAVE_TABLES:
		ret = vgic_its_save_tables(c->its);
		break;
	case KVM_DEV_ARM_ITS_RESTORE_TABLES:
		ret = vgic_its_restore_tables(c->its);
		break;
	}
	pthread_mutex_unlock(&c->its->its_lock);
	return ret;
}

static int vgic_its_set_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct its_call c = { .its = dev->private, .attr = attr->attr };
	u64 val;

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return set_addr(dev->private, attr);
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return attr->attr == KVM_DEV_ARM_VGIC_CTRL_INIT
			       ? 0
			       : vgic_with_vcpus_stopped(dev->kvm, control, &c);
	case KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
		if (copy_from_client(&val, attr->addr, sizeof(val)))
			return -EFAULT;
		return reg_access(dev->private, attr->attr, &val, true);
	}
	return -ENXIO;
}

static int vgic_its_get_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	u64 val;
	int ret;

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return get_addr(dev->private, attr);
	case KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
		ret = reg_access(dev->private, attr->attr, &val, false);
		return ret ? ret : copy_to_client(attr->addr, &val, sizeof(val));
	}
	return -ENXIO;
}

static bool has_ctrl(u64 attr)
{
	return attr == KVM_DEV_ARM_VGIC_CTRL_INIT || attr == KVM_DEV_ARM_ITS_CTRL_RESET ||
	       attr == KVM_DEV_ARM_ITS_SAVE_TABLES || attr == KVM_DEV_ARM_ITS_RESTORE_TABLES;
}

static int vgic_its_has_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return attr->attr == KVM_VGIC_ITS_ADDR_TYPE ? 0 : -ENXIO;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return has_ctrl(attr->attr) ? 0 : -ENXIO;
	case KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
		return attr->attr >> 32 ? -ENXIO : vgic_its_has_reg((u32)attr->attr);
	}
	return -ENXIO;
}

const struct kvm_device_ops kvm_arm_vgic_its_ops = {
	.name = "kvm-arm-vgic-its",
	.create = vgic_its_create,
	.destroy = vgic_its_destroy,
	.set_attr = vgic_its_set_attr,
	.get_attr = vgic_its_get_attr,
	.has_attr = vgic_its_has_attr,
};
