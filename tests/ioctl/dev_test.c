/* SPDX-License-Identifier: Apache-2.0 */
/* The kvm fd: versions, capabilities, CPUID and MSR lists with their E2BIG rules, VM creation. */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

static int kvm;

static int up(void **state)
{
	kvm = k_open();
	return kvm < 0;
}

static int down(void **state)
{
	return k_close(kvm);
}

static void api_version(void **state)
{
	assert_int_equal(IOCTL(kvm, KVM_GET_API_VERSION, 0), 12);
	fails(EINVAL, IOCTL(kvm, KVM_GET_API_VERSION, 1));
}

static void mmap_size(void **state)
{
	assert_int_equal(IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), 12288);
	fails(EINVAL, IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 1));
}

static void unknown_ioctl(void **state)
{
	fails(EINVAL, IOCTL(kvm, _IO(KVMIO, 0xfe), 0));
	fails(EINVAL, IOCTL(kvm, KVM_CREATE_VCPU, 0)); /* of another level */
}

static void create_vm(void **state)
{
	int vm = IOCTL(kvm, KVM_CREATE_VM, 0);

	ok(vm);
	ok(k_close(vm));
	fails(EINVAL, IOCTL(kvm, KVM_CREATE_VM, 99));
}

/* What QEMU, kvmtool and Firecracker will not start without. */
static void required_capabilities(void **state)
{
	static const int caps[] = {
		KVM_CAP_USER_MEMORY, KVM_CAP_DESTROY_MEMORY_REGION_WORKS, KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
		KVM_CAP_SET_TSS_ADDR, KVM_CAP_EXT_CPUID, KVM_CAP_MP_STATE, KVM_CAP_COALESCED_MMIO, KVM_CAP_PIT2,
		KVM_CAP_IRQ_ROUTING, KVM_CAP_IRQCHIP, KVM_CAP_HLT, KVM_CAP_IRQ_INJECT_STATUS, KVM_CAP_IOEVENTFD,
		KVM_CAP_IRQFD, KVM_CAP_PIT_STATE2, KVM_CAP_ADJUST_CLOCK, KVM_CAP_DEBUGREGS, KVM_CAP_VCPU_EVENTS,
		KVM_CAP_XCRS, KVM_CAP_XSAVE, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_SIGNAL_MSI,
		KVM_CAP_READONLY_MEM, KVM_CAP_TSC_DEADLINE_TIMER, KVM_CAP_NR_VCPUS, KVM_CAP_MAX_VCPUS,
	};

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		assert_true(IOCTL(kvm, KVM_CHECK_EXTENSION, caps[i]) > 0);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), 2);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING), 4096);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS), 32764);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS), 7);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, 100000), 0);
}

static void not_offered(void **state)
{
	static const int caps[] = { KVM_CAP_HYPERV_ENLIGHTENED_VMCS, KVM_CAP_NESTED_STATE, KVM_CAP_ASYNC_PF };

	skip_real();
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, caps[i]), 0);
}

static struct kvm_cpuid2 *cpuid_alloc(unsigned nent)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + nent * sizeof(c->entries[0]));

	c->nent = nent;
	return c;
}

static void supported_cpuid_sizes(void **state)
{
	struct kvm_cpuid2 *c = cpuid_alloc(300);
	unsigned n;

	ok(IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, c));
	n = c->nent;
	assert_true(n > 10 && n <= 256);
	c->nent = n - 1;
	fails(E2BIG, IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = 0;
	fails(E2BIG, IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = n;
	ok(IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, c));
	fails(EFAULT, IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, BAD_POINTER));
	free(c);
}

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid2 *c, unsigned function, unsigned index)
{
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	fail_msg("no leaf %#x.%u", function, index);
	return NULL;
}

static void supported_cpuid_content(void **state)
{
	struct kvm_cpuid2 *c = cpuid_alloc(256);
	const struct kvm_cpuid_entry2 *e;

	ok(IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, c));
	e = leaf(c, 0x40000000, 0);
	assert_memory_equal(&e->ebx, "KVMKVMKVM\0\0\0", 12);
	e = leaf(c, 1, 0);
	assert_true(e->ecx & (1u << 21));  /* x2APIC is emulated, always there */
	if (!kvm_is_real()) /* TSC deadline is told by a capability (until 6.16) */
		assert_false(e->ecx & (1u << 24));
	assert_true(e->edx & (1u << 9));
	assert_true(leaf(c, 7, 0)->ebx & (1u << 1)); /* TSC_ADJUST */
	free(c);
}

/* What the software CPU cannot do must not be promised. */
static void cpuid_offers_nothing_it_lacks(void **state)
{
	struct kvm_cpuid2 *c = cpuid_alloc(256);

	skip_real();
	ok(IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, c));
	assert_false(leaf(c, 1, 0)->ecx & (1u << 5 | 1u << 3));         /* VMX, MONITOR */
	assert_false(leaf(c, 0x80000001, 0)->ecx & (1u << 2));          /* SVM */
	assert_false(leaf(c, 7, 0)->ecx & (1u << 3 | 1u << 7));         /* PKU, CET SS */
	assert_false(leaf(c, 7, 0)->edx & (7u << 22 | 1u << 24 | 1u << 20)); /* AMX, CET IBT */
	assert_false(leaf(c, 7, 0)->ebx & (1u << 11 | 1u << 14 | 1u << 4)); /* RTM, MPX, HLE */
	assert_false(leaf(c, 0xd, 1)->eax & (1u << 1 | 1u << 3));       /* XSAVEC, XSAVES */
	assert_int_equal(leaf(c, 0xa, 0)->eax, 0);                      /* no PMU */
	free(c);
}

static void msr_index_lists(void **state)
{
	static const unsigned long which[] = { KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST };
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1000 * sizeof(__u32));

	for (int i = 0; i < 2; i++) {
		l->nmsrs = 0;
		fails(E2BIG, IOCTL(kvm, which[i], l));
		assert_true(l->nmsrs > 0); /* told even so */
		ok(IOCTL(kvm, which[i], l));
		fails(EFAULT, IOCTL(kvm, which[i], BAD_POINTER));
	}
	free(l);
}

static void feature_msrs(void **state)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[2];
	} m = { .head.nmsrs = 2, .e = { { .index = 0x10a }, { .index = 0x12345678 } } };

	assert_int_equal(IOCTL(kvm, KVM_GET_MSRS, &m), 1); /* up to the one that does not exist */
	m.head.nmsrs = 256;
	fails(E2BIG, IOCTL(kvm, KVM_GET_MSRS, &m));
	fails(EFAULT, IOCTL(kvm, KVM_GET_MSRS, BAD_POINTER));
}

static void device_attr(void **state)
{
	__u64 xcr0 = 0;
	struct kvm_device_attr a = { .group = 0, .attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uintptr_t)&xcr0 };

	ok(IOCTL(kvm, KVM_HAS_DEVICE_ATTR, &a));
	ok(IOCTL(kvm, KVM_GET_DEVICE_ATTR, &a));
	assert_int_equal(xcr0 & 3, 3);
	a.addr = BAD_POINTER;
	fails(EFAULT, IOCTL(kvm, KVM_GET_DEVICE_ATTR, &a));
	a.attr = 77;
	fails(ENXIO, IOCTL(kvm, KVM_HAS_DEVICE_ATTR, &a));
}

static void mce_cap(void **state)
{
	__u64 cap = 0;

	ok(IOCTL(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	assert_true(cap & (1 << 8));
	fails(EFAULT, IOCTL(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, BAD_POINTER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(api_version), cmocka_unit_test(mmap_size), cmocka_unit_test(unknown_ioctl),
		cmocka_unit_test(create_vm), cmocka_unit_test(required_capabilities), cmocka_unit_test(not_offered),
		cmocka_unit_test(supported_cpuid_sizes), cmocka_unit_test(supported_cpuid_content),
		cmocka_unit_test(cpuid_offers_nothing_it_lacks), cmocka_unit_test(msr_index_lists),
		cmocka_unit_test(feature_msrs), cmocka_unit_test(device_attr), cmocka_unit_test(mce_cap),
	};

	return cmocka_run_group_tests(tests, up, down);
}
