/* SPDX-License-Identifier: Apache-2.0 */
/* The kvm and vm descriptors of KVM/arm64. */
#include "tests/ioctl_arm64/arm64.h"

static int kvm_fd, vm_fd;

static int set_up(void **state)
{
	kvm_fd = k_open();
	vm_fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
	return kvm_fd < 0 || vm_fd < 0;
}

static int tear_down(void **state)
{
	return k_close(vm_fd) | k_close(kvm_fd);
}

static void ipa_size(void **state)
{
	int limit = IOCTL(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

	assert_in_range(limit, 40, 52);
	for (int bits = 32; bits <= limit; bits++) {
		int vm = IOCTL(kvm_fd, KVM_CREATE_VM, bits);

		ok(vm);
		ok(k_close(vm));
	}
	for (int bits = 1; bits < 32; bits++)
		fails(EINVAL, IOCTL(kvm_fd, KVM_CREATE_VM, bits));
	for (int bits = limit + 1; bits < 256; bits++)
		fails(EINVAL, IOCTL(kvm_fd, KVM_CREATE_VM, bits));
	fails(EINVAL, IOCTL(kvm_fd, KVM_CREATE_VM, 0x100));
	fails(EINVAL, IOCTL(kvm_fd, KVM_CREATE_VM, 1ul << 63));
}

static int set_memory(int vm, uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region r = { .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = 0x100000 };

	return IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void memory_within_the_ipa_size(void **state)
{
	int vm = IOCTL(kvm_fd, KVM_CREATE_VM, 36);

	ok(vm);
	ok(set_memory(vm, (1ull << 36) - 4096, 4096));
	ok(set_memory(vm, (1ull << 36) - 4096, 0));
	fails(EFAULT, set_memory(vm, 1ull << 36, 4096));
	fails(EFAULT, set_memory(vm, (1ull << 36) - 4096, 8192));
	ok(k_close(vm));
}

static int cap(int fd, int which)
{
	return IOCTL(fd, KVM_CHECK_EXTENSION, which);
}

static void capabilities(void **state)
{
	static const int yes[] = { KVM_CAP_IRQCHIP, KVM_CAP_IOEVENTFD, KVM_CAP_USER_MEMORY, KVM_CAP_SYNC_MMU,
				   KVM_CAP_DESTROY_MEMORY_REGION_WORKS, KVM_CAP_ONE_REG, KVM_CAP_ARM_PSCI,
				   KVM_CAP_ARM_PSCI_0_2, KVM_CAP_READONLY_MEM, KVM_CAP_MP_STATE, KVM_CAP_IMMEDIATE_EXIT,
				   KVM_CAP_VCPU_EVENTS, KVM_CAP_ARM_IRQ_LINE_LAYOUT_2, KVM_CAP_ARM_NISV_TO_USER,
				   KVM_CAP_ARM_INJECT_EXT_DABT, KVM_CAP_SET_GUEST_DEBUG, KVM_CAP_VCPU_ATTRIBUTES,
				   KVM_CAP_PTP_KVM, KVM_CAP_ARM_SYSTEM_SUSPEND, KVM_CAP_IRQFD_RESAMPLE,
				   KVM_CAP_COUNTER_OFFSET, KVM_CAP_ARM_SET_DEVICE_ADDR, KVM_CAP_ARM_USER_IRQ,
				   KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES, KVM_CAP_COALESCED_MMIO, KVM_CAP_DEVICE_CTRL };
	static const int no[] = { KVM_CAP_ARM_EL1_32BIT, KVM_CAP_ARM_SVE, KVM_CAP_ARM_MTE,
				  KVM_CAP_GUEST_MEMFD, KVM_CAP_MEMORY_ATTRIBUTES, KVM_CAP_PRE_FAULT_MEMORY,
				  KVM_CAP_MULTI_ADDRESS_SPACE, KVM_CAP_HYPERV, KVM_CAP_X86_SMM, KVM_CAP_DIRTY_LOG_RING };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_int_equal(cap(vm_fd, yes[i]), 1);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_int_equal(cap(vm_fd, no[i]), 0);
	assert_int_equal(cap(kvm_fd, KVM_CAP_MAX_VCPUS), 512);
	assert_int_equal(cap(kvm_fd, KVM_CAP_MAX_VCPU_ID), 512);
	assert_int_equal(cap(kvm_fd, KVM_CAP_NR_MEMSLOTS), 32767);
	fails(EINVAL, cap(kvm_fd, KVM_CAP_MSI_DEVID));
	assert_int_equal(cap(vm_fd, KVM_CAP_MSI_DEVID), 0);
}

static void enable_cap(void **state)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_ARM_NISV_TO_USER };

	ok(IOCTL(vm_fd, KVM_ENABLE_CAP, &c));
	c.flags = 1;
	fails(EINVAL, IOCTL(vm_fd, KVM_ENABLE_CAP, &c));
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_ARM_MTE };
	fails(EINVAL, IOCTL(vm_fd, KVM_ENABLE_CAP, &c));
	c.cap = KVM_CAP_DIRTY_LOG_RING; /* only with acquire and release here */
	c.args[0] = 4096;
	fails(EINVAL, IOCTL(vm_fd, KVM_ENABLE_CAP, &c));
}

/* The ring first, the bitmap beside it while there is no memory yet. */
static void ring_with_bitmap(void **state)
{
	struct kvm_enable_cap ring = { .cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .args = { 8192 } };
	struct kvm_enable_cap bitmap = { .cap = KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP };
	uint64_t bits[8];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };

	assert_int_equal(cap(vm_fd, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 1);
	fails(EINVAL, IOCTL(vm_fd, KVM_ENABLE_CAP, &bitmap));
	ok(IOCTL(vm_fd, KVM_ENABLE_CAP, &ring));
	ok(set_memory(vm_fd, 0, 4096));
	fails(EINVAL, IOCTL(vm_fd, KVM_ENABLE_CAP, &bitmap));
	fails(ENXIO, IOCTL(vm_fd, KVM_GET_DIRTY_LOG, &log));
	ok(set_memory(vm_fd, 0, 0));
	ok(IOCTL(vm_fd, KVM_ENABLE_CAP, &bitmap));
}

static void unknown_ioctls(void **state)
{
	struct kvm_create_device cd = { .type = KVM_DEV_TYPE_ARM_VGIC_V3, .flags = KVM_CREATE_DEVICE_TEST };
	struct kvm_arm_device_addr addr = { .id = 1 << KVM_ARM_DEVICE_ID_SHIFT };
	struct kvm_arm_copy_mte_tags tags = { 0 };
	char buf[512] = "";

	fails(EINVAL, IOCTL(kvm_fd, _IO(KVMIO, 0xff), 0));
	fails(EINVAL, IOCTL(vm_fd, _IO(KVMIO, 0xff), 0));
	fails(EINVAL, IOCTL(vm_fd, KVM_CREATE_GUEST_MEMFD, buf));
	fails(EINVAL, IOCTL(vm_fd, KVM_SET_MEMORY_ATTRIBUTES, buf));
	fails(EINVAL, IOCTL(vm_fd, KVM_ARM_MTE_COPY_TAGS, &tags));
	fails(ENODEV, IOCTL(vm_fd, KVM_ARM_SET_DEVICE_ADDR, &addr));
	ok(IOCTL(vm_fd, KVM_CREATE_DEVICE, &cd));
	cd.type = KVM_DEV_TYPE_VFIO;
	fails(ENODEV, IOCTL(vm_fd, KVM_CREATE_DEVICE, &cd));
	cd.type = 1000;
	fails(ENODEV, IOCTL(vm_fd, KVM_CREATE_DEVICE, &cd));
}

static void preferred_target(void **state)
{
	struct kvm_vcpu_init init;

	memset(&init, 0xff, sizeof(init));
	ok(IOCTL(vm_fd, KVM_ARM_PREFERRED_TARGET, &init));
	assert_int_equal(init.target, KVM_ARM_TARGET_GENERIC_V8);
	for (int i = 0; i < 7; i++)
		assert_int_equal(init.features[i], 0);
	fails(EFAULT, IOCTL(vm_fd, KVM_ARM_PREFERRED_TARGET, BAD_POINTER));
}

static void vcpu_numbers(void **state)
{
	int vcpu = IOCTL(vm_fd, KVM_CREATE_VCPU, 511);

	ok(vcpu);
	fails(EEXIST, IOCTL(vm_fd, KVM_CREATE_VCPU, 511));
	fails(EINVAL, IOCTL(vm_fd, KVM_CREATE_VCPU, 512));
	ok(k_close(vcpu));
}

/* The third page of an x86 kvm_run is its second here: there is no PIO page. */
static void run_mapping(void **state)
{
	assert_int_equal(IOCTL(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0), 2 * 4096);
	assert_int_equal(cap(kvm_fd, KVM_CAP_COALESCED_MMIO), 1);
}

static void writable_masks(void **state)
{
	uint64_t masks[KVM_ARM_FEATURE_ID_RANGE_SIZE];
	struct reg_mask_range range = { .addr = (uintptr_t)masks };

	memset(masks, 0xff, sizeof(masks));
	ok(IOCTL(vm_fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	assert_int_equal(masks[0], 0);            /* MIDR_EL1 */
	assert_int_equal(masks[1 << 3], 0);       /* ID_PFR0_EL1: no AArch32 */
	assert_int_not_equal(masks[4 << 3], 0);   /* ID_AA64PFR0_EL1 */
	assert_int_equal(masks[4 << 3] & 0xff0000, 0); /* FP, AdvSIMD */
	assert_int_equal(masks[2 << 6 | 1], 0x300f000full & masks[2 << 6 | 1]); /* CTR_EL0 */
	assert_int_not_equal(masks[2 << 6 | 1], 0);
	range.range = 1;
	fails(EINVAL, IOCTL(vm_fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	range.range = 0;
	range.reserved[12] = 1;
	fails(EINVAL, IOCTL(vm_fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	range.reserved[12] = 0;
	range.addr = BAD_POINTER;
	fails(EFAULT, IOCTL(vm_fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
}

static void counter_offset(void **state)
{
	struct kvm_arm_counter_offset off = { .counter_offset = 1234, .reserved = 1 };

	fails(EINVAL, IOCTL(vm_fd, KVM_ARM_SET_COUNTER_OFFSET, &off));
	off.reserved = 0;
	ok(IOCTL(vm_fd, KVM_ARM_SET_COUNTER_OFFSET, &off));
}

static void attributes(void **state)
{
	struct kvm_device_attr attr = { .group = KVM_ARM_VM_SMCCC_CTRL, .attr = KVM_ARM_VM_SMCCC_FILTER };

	ok(IOCTL(vm_fd, KVM_HAS_DEVICE_ATTR, &attr));
	attr.attr = 1;
	fails(ENXIO, IOCTL(vm_fd, KVM_HAS_DEVICE_ATTR, &attr));
	fails(ENXIO, IOCTL(vm_fd, KVM_SET_DEVICE_ATTR, &attr));
	attr.group = 7;
	fails(ENXIO, IOCTL(vm_fd, KVM_HAS_DEVICE_ATTR, &attr));
	fails(EINVAL, IOCTL(vm_fd, KVM_GET_DEVICE_ATTR, &attr)); /* a VM has nothing to get */
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ipa_size),	   T(memory_within_the_ipa_size),
		T(capabilities),   T(enable_cap),
		T(ring_with_bitmap),
		T(unknown_ioctls), T(preferred_target),
		T(vcpu_numbers),   T(run_mapping),
		T(writable_masks), T(counter_offset),
		T(attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
