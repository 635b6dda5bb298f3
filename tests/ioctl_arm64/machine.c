/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ioctl_arm64/arm64.h"

int vcpu_init(int vcpu, uint32_t features)
{
	struct kvm_vcpu_init init = { .target = KVM_ARM_TARGET_GENERIC_V8, .features = { features } };

	return IOCTL(vcpu, KVM_ARM_VCPU_INIT, &init);
}

int get_one(int vcpu, uint64_t id, void *val)
{
	struct kvm_one_reg r = { .id = id, .addr = (uintptr_t)val };

	return IOCTL(vcpu, KVM_GET_ONE_REG, &r);
}

int set_one(int vcpu, uint64_t id, const void *val)
{
	struct kvm_one_reg r = { .id = id, .addr = (uintptr_t)val };

	return IOCTL(vcpu, KVM_SET_ONE_REG, &r);
}

uint64_t reg(int vcpu, uint64_t id)
{
	uint64_t val = 0;

	ok(get_one(vcpu, id, &val));
	return val;
}

void set_reg(int vcpu, uint64_t id, uint64_t val)
{
	ok(set_one(vcpu, id, &val));
}

static void make_gic(int vm)
{
	struct kvm_create_device cd = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t dist = 0x08000000, redist = 0x080a0000;
	struct kvm_device_attr attr = { .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_V3_ADDR_TYPE_DIST,
					.addr = (uintptr_t)&dist };

	ok(IOCTL(vm, KVM_CREATE_DEVICE, &cd));
	ok(IOCTL((int)cd.fd, KVM_SET_DEVICE_ATTR, &attr));
	attr.attr = KVM_VGIC_V3_ADDR_TYPE_REDIST;
	attr.addr = (uintptr_t)&redist;
	ok(IOCTL((int)cd.fd, KVM_SET_DEVICE_ATTR, &attr));
	attr = (struct kvm_device_attr){ .group = KVM_DEV_ARM_VGIC_GRP_CTRL, .attr = KVM_DEV_ARM_VGIC_CTRL_INIT };
	ok(IOCTL((int)cd.fd, KVM_SET_DEVICE_ATTR, &attr));
	ok(k_close((int)cd.fd));
}

int machine_up(struct machine *m, int irqchip)
{
	return machine_up_with(m, irqchip, FEATURES_PSCI);
}

int machine_up_with(struct machine *m, int irqchip, uint32_t features)
{
	machine_vm(m, RAM_BASE);
	machine_vcpu(m);
	if (irqchip == IRQCHIP)
		make_gic(m->vm);
	ok(vcpu_init(m->vcpu, features));
	return 0;
}

void machine_pmu_init(struct machine *m)
{
	struct kvm_device_attr attr = { .group = KVM_ARM_VCPU_PMU_V3_CTRL, .attr = KVM_ARM_VCPU_PMU_V3_INIT };

	ok(IOCTL(m->vcpu, KVM_SET_DEVICE_ATTR, &attr));
}

void machine_words(struct machine *m, const uint32_t *words, size_t n)
{
	if (n)
		memcpy(m->mem + (CODE - RAM_BASE), words, n * 4);
	set_reg(m->vcpu, PC, CODE);
	set_reg(m->vcpu, PSTATE, PSTATE_EL1H);
	set_reg(m->vcpu, X(28), NOWHERE);
	/* an access that left before is not answered: its completion would move PC */
	m->run->exit_reason = 0;
}

void machine_vectors(struct machine *m)
{
	static const uint32_t handler[] = {
		MRS(27, 3, 0, 5, 2, 0), /* ESR_EL1 */
		STRX(27, 28, 0),
		MRS(27, 3, 0, 6, 0, 0), /* FAR_EL1 */
		STRX(27, 28, 8),
		B_SELF,
	};

	for (unsigned v = 0; v < 16; v++)
		memcpy(m->mem + (VECTORS - RAM_BASE) + v * 0x80, handler, sizeof(handler));
	set_reg(m->vcpu, SYS(3, 0, 12, 0, 0), VECTORS);
}

uint64_t machine_report(struct machine *m, unsigned offset)
{
	uint64_t val;

	ok(machine_run(m));
	assert_int_equal(m->run->exit_reason, KVM_EXIT_MMIO);
	assert_true(m->run->mmio.is_write);
	assert_int_equal(m->run->mmio.len, 8);
	assert_int_equal(m->run->mmio.phys_addr, NOWHERE + offset);
	memcpy(&val, m->run->mmio.data, 8);
	return val;
}

/* ---- for cmocka ---- */

struct machine m;

int m_bare(void **state)
{
	return machine_up(&m, NO_IRQCHIP);
}

int m_vectors(void **state)
{
	machine_up(&m, NO_IRQCHIP);
	machine_vectors(&m);
	return 0;
}

int m_gic(void **state)
{
	machine_up(&m, IRQCHIP);
	machine_vectors(&m);
	return 0;
}

int m_down(void **state)
{
	machine_down(&m);
	return 0;
}
