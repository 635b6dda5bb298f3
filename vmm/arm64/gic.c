/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controller through KVM's device API (Documentation/virt/kvm/devices/arm-vgic*.rst).
 * Redistributors lie below the distributor, the ITS below them.
 */
#include <errno.h>

#include "vmm/arm64/arm64.h"
#include "vmm/vcpu.h"

static int create_device(struct vm *vm, u32 type)
{
	struct kvm_create_device device = {.type = type};

	return vm_ioctl(vm, KVM_CREATE_DEVICE, &device) < 0 ? -1 : (int)device.fd;
}

static int set_attr(struct vm *vm, int fd, u32 group, u64 attr, const void *value)
{
	struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (unsigned long)value};

	return vm->accel->ioctl(fd, KVM_SET_DEVICE_ATTR, (unsigned long)&a);
}

static int v3_addresses(struct vm *vm, int fd)
{
	u64 dist = GPA_GIC_DIST, redist = GPA_GIC_DIST - GIC_REDIST_SIZE * vm->vcpus_up;

	vm->machine.redist = redist;
	if (set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) < 0)
		return -1;
	return set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist);
}

static int v2_addresses(struct vm *vm, int fd)
{
	u64 dist = GPA_GIC_DIST, cpu = GPA_GIC_DIST - GIC_CPU_SIZE;

	vm->machine.redist = cpu;
	if (set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, &dist) < 0)
		return -1;
	return set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, &cpu);
}

/* MSIs for the devices that have them; a KVM without an ITS is no failure unless one was asked for. */
static int its_init(struct vm *vm)
{
	u64 base = vm->machine.redist - GIC_ITS_SIZE;
	int fd = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);

	if (fd < 0)
		return vm->cfg->irqchip < 0 ? 0 : vm_end_errno(vm, "KVM_CREATE_DEVICE (GIC ITS)");
	vm->machine.its_fd = fd;
	vm->machine.its = base;
	if (set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &base) < 0 ||
	    set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL) < 0)
		return vm_end_errno(vm, "the GIC ITS");
	return 0;
}

void gic_exit(struct vm *vm)
{
	if (vm->machine.its_fd >= 0)
		vm->accel->close(vm->machine.its_fd);
	if (vm->machine.gic_fd >= 0)
		vm->accel->close(vm->machine.gic_fd);
	vm->machine.its_fd = vm->machine.gic_fd = -1;
}

static int gic_set_up(struct vm *vm, int fd)
{
	const u32 irqs = GIC_NR_IRQS;

	if ((vm->machine.gicv2 ? v2_addresses(vm, fd) : v3_addresses(vm, fd)) < 0 ||
	    set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs) < 0 ||
	    set_attr(vm, fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL) < 0)
		return vm_end_errno(vm, "the GIC");
	return vm->machine.gicv2 || vm->cfg->irqchip == IRQCHIP_GICV3 ? 0 : its_init(vm);
}

static int gic_create(struct vm *vm)
{
	int irqchip = vm->cfg->irqchip, fd = -1;

	if (irqchip != IRQCHIP_GICV2)
		fd = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	if (fd >= 0 || irqchip > IRQCHIP_GICV2)
		return fd;
	vm->machine.gicv2 = true;
	return create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
}

int gic_init(struct vm *vm)
{
	int fd = gic_create(vm);

	if (fd < 0)
		return vm_end_errno(vm, "KVM_CREATE_DEVICE (GIC)");
	vm->machine.gic_fd = fd;
	if (gic_set_up(vm, fd) == 0)
		return 0;
	gic_exit(vm);
	return -1;
}
