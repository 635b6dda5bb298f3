/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_DEV_TYPE_ARM_VGIC_V3 and _V2 as user space sets them up, saves and restores them; every errno of
 * arm-vgic-v3.rst, arm-vgic.rst. */
#include "tests/vgic/fake.h"
#include "tests/vgic/tests.h"

#define V3 KVM_DEV_TYPE_ARM_VGIC_V3
#define V2 KVM_DEV_TYPE_ARM_VGIC_V2
#define ADDR KVM_DEV_ARM_VGIC_GRP_ADDR
#define NR_IRQS KVM_DEV_ARM_VGIC_GRP_NR_IRQS
#define CTRL KVM_DEV_ARM_VGIC_GRP_CTRL
#define DIST_REGS KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define REDIST_REGS KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define SYSREGS KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define LEVEL KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
#define INIT KVM_DEV_ARM_VGIC_CTRL_INIT
#define DIST KVM_VGIC_V3_ADDR_TYPE_DIST
#define REDIST KVM_VGIC_V3_ADDR_TYPE_REDIST
#define REGION KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION
#define CPU(n) ((u64)(n) << 32)

static u64 region(u32 count, u64 base, u32 flags, u32 index)
{
	return (u64)count << 52 | base | flags << 12 | index;
}

static struct kvm_device *device(struct kvm *kvm, u32 type)
{
	int err;
	struct kvm_device *dev = fake_device(kvm, type, &err);

	assert_int_equal(err, 0);
	return dev;
}

static int bad_pointer(struct kvm_device *dev, u32 group, u64 attr, bool write)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = BAD_POINTER };

	return write ? dev->ops->set_attr(dev, &a) : dev->ops->get_attr(dev, &a);
}

static void test_create(void **state)
{
	struct kvm *kvm = fake_vm(2);
	int err;

	pthread_mutex_lock(&kvm->vcpus[1]->mutex); /* in KVM_RUN */
	fake_device(kvm, V3, &err);
	assert_int_equal(err, -EBUSY);
	pthread_mutex_unlock(&kvm->vcpus[1]->mutex);
	assert_int_equal(pthread_mutex_trylock(&kvm->vcpus[0]->mutex), 0); /* nothing was left locked */
	pthread_mutex_unlock(&kvm->vcpus[0]->mutex);
	fake.ran_once = true;
	fake_device(kvm, V3, &err);
	assert_int_equal(err, -EBUSY);
	fake.ran_once = false;
	assert_false(kvm_arch_irqchip_in_kernel(kvm));
	device(kvm, V3);
	assert_true(kvm_arch_irqchip_in_kernel(kvm));
	assert_int_equal(kvm->max_vcpus, 512);
	fake_device(kvm, V3, &err);
	assert_int_equal(err, -EEXIST);
	fake_device(kvm, V2, &err);
	assert_int_equal(err, -EEXIST);
	fake_vm_free(kvm);

	kvm = fake_vm(8);
	device(kvm, V2);
	assert_int_equal(kvm->max_vcpus, 8);
	fake_vm_free(kvm);
}

static void test_v3_addresses(void **state)
{
	struct kvm *kvm = fake_vm(2);
	struct kvm_device *dev = device(kvm, V3);
	u64 val;

	assert_int_equal(dev_get(dev, ADDR, DIST, &val), 0);
	assert_true(val == ~0ull);
	assert_int_equal(dev_get(dev, ADDR, REDIST, &val), 0);
	assert_true(val == ~0ull);
	assert_int_equal(bad_pointer(dev, ADDR, DIST, true), -EFAULT);
	assert_int_equal(bad_pointer(dev, ADDR, DIST, false), -EFAULT);
	assert_int_equal(dev_set(dev, ADDR, DIST, 0x08001000), -EINVAL);
	assert_int_equal(dev_set(dev, ADDR, DIST, 1ull << 40), -E2BIG);
	assert_int_equal(dev_set(dev, ADDR, DIST, ~0xffffull), -EINVAL); /* crosses the end of 64 bits */
	assert_int_equal(dev_set(dev, ADDR, DIST, GICD), 0);
	assert_int_equal(dev_set(dev, ADDR, DIST, GICD + 0x10000), -EEXIST);
	assert_int_equal(dev_get(dev, ADDR, DIST, &val), 0);
	assert_true(val == GICD);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(0) + 0x1000), -EINVAL);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICD), -EINVAL); /* overlaps */
	assert_int_equal(dev_set(dev, ADDR, REDIST, (1ull << 40) - 0x20000), -E2BIG); /* the second one's */
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(0)), 0);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(8)), -EEXIST);
	assert_int_equal(dev_set(dev, ADDR, REGION, region(2, GICR(8), 0, 1)), 0); /* as in Linux */
	assert_int_equal(dev_get(dev, ADDR, REDIST, &val), 0);
	assert_true(val == GICR(0));
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD), -ENXIO);
	assert_int_equal(dev_set(dev, ADDR, 99, GICD), -ENXIO);
	assert_int_equal(dev_get(dev, ADDR, 99, &val), -ENXIO);
	fake_vm_free(kvm);
}

static void test_v3_regions(void **state)
{
	struct kvm *kvm = fake_vm(2);
	struct kvm_device *dev = device(kvm, V3);
	u64 val;

	assert_int_equal(dev_set(dev, ADDR, REGION, region(0, GICR(0), 0, 0)), -EINVAL); /* no redistributors */
	assert_int_equal(dev_set(dev, ADDR, REGION, region(2, GICR(0), 1, 0)), -EINVAL); /* flags */
	assert_int_equal(dev_set(dev, ADDR, REGION, region(2, GICR(0), 0, 1)), -EINVAL); /* not the first index */
	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, 1ull << 40, 0, 0)), -E2BIG);
	val = region(0, 0, 0, 0);
	assert_int_equal(dev_get(dev, ADDR, REGION, &val), -ENOENT);
	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, GICR(0), 0, 0)), 0);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(8)), -EINVAL); /* the two kinds do not mix */
	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, GICR(1), 0, 2)), -EINVAL); /* one is left out */
	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, GICR(0), 0, 1)), -EINVAL); /* overlaps */
	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, GICR(1), 0, 0)), -EINVAL); /* set twice */
	assert_int_equal(dev_set(dev, ADDR, DIST, GICD), 0);
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	assert_int_equal(dev_set(dev, ADDR, REGION, region(4, GICR(4), 0, 1)), 0);
	val = 1;
	assert_int_equal(dev_get(dev, ADDR, REGION, &val), 0);
	assert_true(val == region(4, GICR(4), 0, 1));
	assert_int_equal(bad_pointer(dev, ADDR, REGION, false), -EFAULT);
	assert_int_equal(kvm_vgic_map_resources(kvm), 0);
	on(kvm->vcpus[0]);
	assert_true(r64(GICR(0) + 8) == 1 << 4); /* the last of its region; the next does not follow on */
	assert_true(r64(GICR(4) + 8) == (1ull << 32 | 1 << 8 | 1 << 4));
	fake_vm_free(kvm);
}

static void test_v3_contiguous_regions(void **state)
{
	struct kvm *kvm = fake_vm(1);
	struct kvm_device *dev = device(kvm, V3);

	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, GICR(0), 0, 0)), 0);
	assert_int_equal(dev_set(dev, ADDR, REGION, region(1, GICR(1), 0, 1)), 0);
	fake_add_vcpu(kvm); /* after its region */
	assert_int_equal(dev_set(dev, ADDR, DIST, GICD), 0);
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), 0);
	on(kvm->vcpus[0]);
	assert_true(r64(GICR(0) + 8) == 0); /* goes on in the second region */
	assert_true(r64(GICR(1) + 8) == (1ull << 32 | 1 << 8 | 1 << 4));
	fake_vm_free(kvm);
}

static void test_v3_map_errors(void **state)
{
	struct kvm *kvm = fake_vm(1);
	struct kvm_device *dev;

	assert_int_equal(kvm_vgic_map_resources(kvm), 0); /* no GIC in the kernel: nothing to do */
	dev = device(kvm, V3);
	assert_int_equal(kvm_vgic_map_resources(kvm), -ENXIO); /* no redistributors */
	assert_int_equal(fake.dead, 1);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(0)), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), -ENXIO); /* no distributor */
	assert_int_equal(dev_set(dev, ADDR, DIST, GICD), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), -EBUSY); /* not initialized */
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), 0);
	assert_int_equal(fake.dead, 3);
	fake_vm_free(kvm);

	kvm = fake_vm(1); /* frames that overlap, noticed late */
	dev = device(kvm, V3);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(0)), 0);
	assert_int_equal(dev_set(dev, ADDR, DIST, GICR(0) + 0x10000), 0);
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), -EINVAL);
	fake_vm_free(kvm);
}

static void test_nr_irqs_and_init(void **state)
{
	struct kvm *kvm = fake_vm(1);
	struct kvm_device *dev = device(kvm, V3);
	u32 wrong[] = { 0, 32, 63, 65, 1024, 100 };
	u64 val = 0;

	assert_int_equal(dev_get(dev, NR_IRQS, 0, &val), 0);
	assert_int_equal((u32)val, 32);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(dev_set(dev, NR_IRQS, 0, wrong[i]), -EINVAL);
	assert_int_equal(bad_pointer(dev, NR_IRQS, 0, true), -EFAULT);
	assert_int_equal(dev_set(dev, NR_IRQS, 0, 64), 0);
	assert_int_equal(dev_set(dev, NR_IRQS, 0, 64), -EBUSY);
	assert_int_equal(dev_get(dev, NR_IRQS, 0, &val), 0);
	assert_int_equal((u32)val, 64);
	assert_int_equal(bad_pointer(dev, NR_IRQS, 0, false), -EFAULT);
	kvm->created_vcpus++; /* one is just being created */
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), -EBUSY);
	kvm->created_vcpus--;
	assert_int_equal(dev_set(dev, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0), -ENXIO); /* before init */
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	assert_int_equal(dev_set(dev, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0), 0);
	assert_int_equal(dev_set(dev, CTRL, 99, 0), -ENXIO);
	assert_int_equal(dev_get(dev, CTRL, INIT, &val), -ENXIO);
	assert_int_equal(dev_set(dev, 99, 0, 0), -ENXIO);
	assert_int_equal(dev_get(dev, 99, 0, &val), -ENXIO);
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 63, true, NULL), 0);
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 64, true, NULL), -EINVAL);
	fake_vm_free(kvm);
}

static void test_v3_has_attr(void **state)
{
	struct kvm *kvm = fake_vm(1);
	struct kvm_device *dev = device(kvm, V3);
	static const struct {
		u32 group;
		u64 attr;
		int ret;
	} has[] = {
		{ ADDR, DIST, 0 }, { ADDR, REDIST, 0 }, { ADDR, REGION, 0 }, { ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, -ENXIO },
		{ NR_IRQS, 0, 0 }, { CTRL, INIT, 0 }, { CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0 }, { CTRL, 99, -ENXIO },
		{ DIST_REGS, 0, 0 }, { DIST_REGS, 0x100, 0 }, { DIST_REGS, 2, -ENXIO }, { DIST_REGS, 0x20, -ENXIO },
		{ REDIST_REGS, 0x10100, 0 }, { REDIST_REGS, 0x10101, -ENXIO }, { REDIST_REGS, CPU(5), -EINVAL },
		{ SYSREGS, ICC_PMR, 0 }, { SYSREGS, ICC_AP1R1, 0 }, { SYSREGS, ICC_IAR1, -ENXIO },
		{ SYSREGS, CPU(5) | ICC_PMR, -EINVAL },
		{ LEVEL, 32, 0 }, { LEVEL, 1 << 10, -ENXIO }, { KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 0, -ENXIO }, { 99, 0, -ENXIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(has); i++)
		assert_int_equal(dev_has(dev, has[i].group, has[i].attr), has[i].ret);
	fake_vm_free(kvm);
}

static u32 get32(struct kvm_device *dev, u32 group, u64 attr)
{
	u64 val = 0;

	assert_int_equal(dev_get(dev, group, attr, &val), 0);
	return (u32)val;
}

static void test_v3_regs(void **state)
{
	struct kvm *kvm = fake_vm(2);
	struct kvm_device *dev = device(kvm, V3);
	u64 val;

	assert_int_equal(dev_set(dev, DIST_REGS, 0, 2), -EBUSY); /* before init */
	assert_int_equal(dev_get(dev, SYSREGS, ICC_PMR, &val), -EBUSY);
	assert_int_equal(dev_set(dev, CTRL, INIT, 0), 0);
	pthread_mutex_lock(&kvm->vcpus[1]->mutex);
	assert_int_equal(dev_set(dev, DIST_REGS, 0, 2), -EBUSY); /* a vCPU runs */
	pthread_mutex_unlock(&kvm->vcpus[1]->mutex);
	assert_int_equal(dev_set(dev, DIST_REGS, 0, 2), 0);
	assert_int_equal(get32(dev, DIST_REGS, 0), 0x52);
	assert_int_equal(bad_pointer(dev, DIST_REGS, 0, true), -EFAULT);
	assert_int_equal(bad_pointer(dev, DIST_REGS, 0, false), -EFAULT);
	assert_int_equal(bad_pointer(dev, SYSREGS, ICC_PMR, false), -EFAULT);
	assert_int_equal(bad_pointer(dev, SYSREGS, ICC_PMR, true), -EFAULT);
	assert_int_equal(dev_set(dev, REDIST_REGS, CPU(2), 0), -EINVAL); /* no such vCPU */
	/* the revision can be set back, nothing else of IIDR */
	assert_int_equal(dev_set(dev, DIST_REGS, 8, 0x4b00143b), -EINVAL);
	assert_int_equal(dev_set(dev, DIST_REGS, 8, 0x4c00343b), -EINVAL);
	assert_int_equal(dev_set(dev, DIST_REGS, 8, 0x4b00243b), 0);
	assert_int_equal(get32(dev, DIST_REGS, 8), 0x4b00243b);
	assert_int_equal(get32(dev, REDIST_REGS, CPU(1)), 0); /* GICR_CTLR of revision 2: no IR, CES */
	assert_int_equal(dev_set(dev, DIST_REGS, 0xc, 1), -EINVAL);
	assert_int_equal(dev_set(dev, DIST_REGS, 0xc, 0), 0);
	assert_int_equal(dev_set(dev, REDIST_REGS, CPU(1) | 0x10100, 1u << 20), 0);
	assert_int_equal(get32(dev, REDIST_REGS, CPU(1) | 0x10100), 0x10ffff);
	assert_int_equal(get32(dev, REDIST_REGS, CPU(0) | 0x10100), 0xffff);
	/* what is no register reads as zero */
	assert_int_equal(get32(dev, DIST_REGS, 0x20), 0);
	assert_int_equal(dev_set(dev, DIST_REGS, 0x20, 1), 0);
	fake_vm_free(kvm);
}

/* The latch and the line are saved apart; ISPENDR is written whole. */
static void test_v3_pending(void **state)
{
	struct kvm *kvm = fake_gic_vm(1, V3);
	struct kvm_device *dev = fake_dev_of(kvm, V3);

	on(NULL);
	assert_int_equal(dev_set(dev, DIST_REGS, 0xc08, 0), 0); /* level */
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 33, true, NULL), 0);
	assert_int_equal(dev_set(dev, DIST_REGS, 0x204, 1), 0); /* 32's latch */
	assert_int_equal(get32(dev, DIST_REGS, 0x204), 1);
	assert_int_equal(get32(dev, DIST_REGS, 0x284), 0);
	assert_int_equal(get32(dev, LEVEL, 32), 2);
	assert_int_equal(dev_set(dev, DIST_REGS, 0x204, 4), 0);
	assert_int_equal(get32(dev, DIST_REGS, 0x204), 4);
	assert_int_equal(dev_set(dev, DIST_REGS, 0x284, ~0u), 0); /* WI */
	assert_int_equal(get32(dev, DIST_REGS, 0x204), 4);
	assert_int_equal(dev_set(dev, LEVEL, 32, 0x10), 0);
	assert_int_equal(get32(dev, LEVEL, 32), 0x10);
	assert_int_equal(dev_set(dev, LEVEL, 33, 0), -EINVAL);
	assert_int_equal(dev_set(dev, LEVEL, 1 << 10 | 32, 0), -EINVAL);
	assert_int_equal(dev_set(dev, LEVEL, 0, ~0u), 0); /* not SGIs */
	assert_int_equal(get32(dev, LEVEL, 0), 0xffff0000);
	on(kvm->vcpus[0]);
	assert_int_equal(r32(GICD + 0x204), 0x14);
	fake_vm_free(kvm);
}

static void test_v3_sysregs(void **state)
{
	struct kvm *kvm = fake_gic_vm(2, V3);
	struct kvm_device *dev = fake_dev_of(kvm, V3);
	u64 val;

	assert_int_equal(dev_set(dev, SYSREGS, CPU(1) | ICC_PMR, 0xa0), 0);
	assert_int_equal(dev_get(dev, SYSREGS, CPU(1) | ICC_PMR, &val), 0);
	assert_true(val == 0xa0);
	assert_int_equal(dev_get(dev, SYSREGS, CPU(0) | ICC_PMR, &val), 0);
	assert_true(val == 0);
	assert_int_equal(dev_get(dev, SYSREGS, ICC_CTLR, &val), 0);
	assert_true(val == 0x400);
	assert_int_equal(dev_set(dev, SYSREGS, ICC_CTLR, 0x500), -EINVAL);  /* more priority bits */
	assert_int_equal(dev_set(dev, SYSREGS, ICC_CTLR, 0xc00), -EINVAL);  /* more INTID bits */
	assert_int_equal(dev_set(dev, SYSREGS, ICC_CTLR, 0x4400), -EINVAL); /* SEIS */
	assert_int_equal(dev_set(dev, SYSREGS, ICC_CTLR, 0x8400), -EINVAL); /* A3V */
	assert_int_equal(dev_set(dev, SYSREGS, ICC_CTLR, 0x403), 0);
	assert_int_equal(dev_get(dev, SYSREGS, ICC_CTLR, &val), 0);
	assert_true(val == 0x403);
	assert_int_equal(dev_set(dev, SYSREGS, ICC_SRE, 6), -EINVAL);
	assert_int_equal(dev_set(dev, SYSREGS, ICC_SRE, 7), 0);
	assert_int_equal(dev_set(dev, SYSREGS, ICC_AP1R0, 0x80000000), 0);
	assert_int_equal(dev_get(dev, SYSREGS, ICC_AP1R0, &val), 0);
	assert_true(val == 0x80000000);
	assert_int_equal(dev_set(dev, SYSREGS, ICC_AP1R1, 0), -EINVAL);
	assert_int_equal(dev_get(dev, SYSREGS, ICC_AP1R1, &val), -EINVAL);
	assert_int_equal(dev_get(dev, SYSREGS, ICC_IAR1, &val), -ENOENT);
	assert_int_equal(dev_set(dev, SYSREGS, ARM64_SYS(3, 0, 12, 0, 0), 0), -ENOENT);
	fake_vm_free(kvm);
}

static void test_v2_device(void **state)
{
	struct kvm *kvm = fake_vm(2);
	struct kvm_device *dev = device(kvm, V2);
	u64 val;

	assert_int_equal(dev_set(dev, ADDR, DIST, GICD), -ENXIO);
	assert_int_equal(dev_set(dev, ADDR, REDIST, GICR(0)), -ENXIO);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD + 0x800), -EINVAL);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, (1ull << 40) - 0x1000), -E2BIG);
	assert_int_equal(kvm_vgic_map_resources(kvm), -ENXIO);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD), 0);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD), -EEXIST);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, GICC), 0);
	assert_int_equal(dev_set(dev, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0), -ENXIO);
	assert_int_equal(dev_has(dev, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES), -ENXIO);
	assert_int_equal(dev_has(dev, CTRL, INIT), 0);
	assert_int_equal(dev_has(dev, ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU), 0);
	assert_int_equal(dev_has(dev, ADDR, DIST), -ENXIO);
	assert_int_equal(dev_has(dev, NR_IRQS, 0), 0);
	assert_int_equal(dev_has(dev, DIST_REGS, 0x100), 0);
	assert_int_equal(dev_has(dev, DIST_REGS, 0x20), -ENXIO);
	assert_int_equal(dev_has(dev, DIST_REGS, CPU(2)), -EINVAL);
	assert_int_equal(dev_has(dev, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 4), 0);
	assert_int_equal(dev_has(dev, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 0xc), -ENXIO); /* IAR is no state */
	assert_int_equal(dev_has(dev, 99, 0), -ENXIO);
	/* registers initialize it */
	assert_int_equal(dev_set(dev, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, CPU(1) | 4, 0x1e), 0);
	assert_int_equal(dev_get(dev, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, CPU(1) | 4, &val), 0);
	assert_int_equal((u32)val, 0x1e);
	assert_int_equal(dev_set(dev, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, CPU(2) | 4, 0), -EINVAL);
	assert_int_equal(kvm_vgic_map_resources(kvm), 0);
	on(kvm->vcpus[1]);
	assert_int_equal(r32(GICC + 4), 0xf0);
	assert_int_equal(dev_set(dev, DIST_REGS, 0x84, ~0u), 0); /* groups: not by a user space that does not know of them */
	assert_int_equal(get32(dev, DIST_REGS, 0x84), 0);
	assert_int_equal(dev_set(dev, DIST_REGS, 8, 0x4b00243b), 0);
	assert_int_equal(dev_set(dev, DIST_REGS, 0x84, ~0u), 0);
	assert_int_equal(get32(dev, DIST_REGS, 0x84), ~0u);
	fake_vm_free(kvm);
}

static int legacy_addr(struct kvm *kvm, u64 id, u64 addr)
{
	struct kvm_arm_device_addr a = { .id = id, .addr = addr };

	return kvm_set_legacy_vgic_v2_addr(kvm, &a);
}

static void test_v2_legacy(void **state)
{
	struct kvm *kvm = fake_vm(1);

	assert_int_equal(legacy_addr(kvm, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD), -ENODEV); /* no GIC yet: type 0 is none */
	pthread_mutex_lock(&kvm->lock);
	assert_int_equal(kvm_vgic_create(kvm, V2), 0); /* KVM_CREATE_IRQCHIP */
	assert_int_equal(kvm_vgic_create(kvm, V2), -EEXIST);
	pthread_mutex_unlock(&kvm->lock);
	assert_int_equal(legacy_addr(kvm, 7, GICD), -ENODEV);
	assert_int_equal(legacy_addr(kvm, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD + 1), -EINVAL);
	assert_int_equal(legacy_addr(kvm, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD), 0);
	assert_int_equal(legacy_addr(kvm, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD), -EEXIST);
	assert_int_equal(legacy_addr(kvm, KVM_VGIC_V2_ADDR_TYPE_CPU, 1ull << 40), -E2BIG);
	assert_int_equal(legacy_addr(kvm, KVM_VGIC_V2_ADDR_TYPE_CPU, GICD), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), -EINVAL); /* they overlap */
	fake_vm_free(kvm);
}

const struct CMUnitTest device_tests[] = {
	cmocka_unit_test(test_create),
	cmocka_unit_test(test_v3_addresses),
	cmocka_unit_test(test_v3_regions),
	cmocka_unit_test(test_v3_contiguous_regions),
	cmocka_unit_test(test_v3_map_errors),
	cmocka_unit_test(test_nr_irqs_and_init),
	cmocka_unit_test(test_v3_has_attr),
	cmocka_unit_test(test_v3_regs),
	cmocka_unit_test(test_v3_pending),
	cmocka_unit_test(test_v3_sysregs),
	cmocka_unit_test(test_v2_device),
	cmocka_unit_test(test_v2_legacy),
};
const size_t device_nr_tests = ARRAY_SIZE(device_tests);
