/* SPDX-License-Identifier: Apache-2.0 */
/* SMCCC: discovery, TRNG, PTP, stolen time, and the VM's filter. */
#include <time.h>
#include "tests/ioctl_arm64/arm64.h"

#define NOT_SUPPORTED ((uint64_t)-1)
#define VERSION_FN 0x80000000u
#define ARCH_FEATURES 0x80000001u
#define KVM_FEATURES 0x86000000u
#define KVM_PTP 0x86000001u
#define CALL_UID 0x8600ff01u
#define PV_TIME_FEATURES 0xc5000020u
#define PV_TIME_ST 0xc5000021u
#define TRNG_RND64 0xc4000053u

static void prepare(uint64_t fn, uint64_t a1)
{
	machine_asm(&m, HVC(0), REPORT(0), SMC(0), REPORT(0));
	set_reg(m.vcpu, X(0), fn);
	set_reg(m.vcpu, X(1), a1);
}

static uint64_t call(uint64_t fn, uint64_t a1)
{
	prepare(fn, a1);
	return machine_report(&m, 0);
}

static void discovery(void **state)
{
	assert_int_equal(call(VERSION_FN, 0), 0x10001);
	assert_int_equal(call(ARCH_FEATURES, 0x80008000), 1); /* WORKAROUND_1: not needed */
	assert_int_equal(call(ARCH_FEATURES, 0x80003fff), 1);
	assert_int_equal(call(ARCH_FEATURES, 0x80007fff), (uint64_t)-2);
	assert_int_equal(call(ARCH_FEATURES, PV_TIME_FEATURES), 0);
	assert_int_equal(call(ARCH_FEATURES, 0x12345678), NOT_SUPPORTED);
	assert_int_equal(call(CALL_UID, 0), 0xb66fb428);
	assert_int_equal(reg(m.vcpu, X(1)), 0xe911c52e);
	assert_int_equal(reg(m.vcpu, X(2)), 0x564bcaa9);
	assert_int_equal(reg(m.vcpu, X(3)), 0x743a004d);
	assert_int_equal(call(KVM_FEATURES, 0), 3);
	assert_int_equal(call(0x86001234, 0), NOT_SUPPORTED);
	assert_int_equal(reg(m.vcpu, X(1)), 0);
}

static void bitmaps_hide_services(void **state)
{
	set_reg(m.vcpu, KVM_REG_ARM_STD_BMAP, 0);
	set_reg(m.vcpu, KVM_REG_ARM_STD_HYP_BMAP, 0);
	set_reg(m.vcpu, KVM_REG_ARM_VENDOR_HYP_BMAP, 1);
	assert_int_equal(call(0x84000050, 0), NOT_SUPPORTED);
	assert_int_equal(call(ARCH_FEATURES, PV_TIME_FEATURES), NOT_SUPPORTED);
	assert_int_equal(call(KVM_FEATURES, 0), 1);
	assert_int_equal(call(KVM_PTP, 0), NOT_SUPPORTED);
}

static void random_numbers(void **state)
{
	uint64_t first;

	assert_int_equal(call(0x84000050, 0), 0x10000);
	assert_int_equal(call(0x84000051, TRNG_RND64), 0);
	assert_int_equal(call(0x84000051, 0x84000054), NOT_SUPPORTED);
	assert_int_equal(call(TRNG_RND64, 193), (uint64_t)-2);
	assert_int_equal(call(0x84000053, 97), (uint64_t)-2);
	assert_int_equal(call(TRNG_RND64, 100), 0);
	assert_int_equal(reg(m.vcpu, X(1)), 0);
	assert_int_equal(reg(m.vcpu, X(2)) >> 36, 0);
	first = reg(m.vcpu, X(3));
	assert_int_equal(call(TRNG_RND64, 64), 0);
	assert_int_not_equal(reg(m.vcpu, X(3)), first);
	assert_int_equal(call(0x84000053, 40), 0);
	assert_int_equal(reg(m.vcpu, X(2)) >> 8, 0);
	assert_int_equal(reg(m.vcpu, X(3)) >> 32, 0);
}

static void precise_time(void **state)
{
	uint64_t ns = call(KVM_PTP, 0) << 32, now;
	struct timespec ts;

	ns |= reg(m.vcpu, X(1));
	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	assert_in_range(ns, now - 5000000000ull, now);
	assert_int_equal(call(KVM_PTP, 2), NOT_SUPPORTED);
}

static void stolen_time(void **state)
{
	uint64_t ipa = RAM_BASE + 0x100000;
	struct kvm_device_attr attr = { .group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
					.addr = (uintptr_t)&ipa };

	assert_int_equal(call(PV_TIME_ST, 0), NOT_SUPPORTED);
	ok(IOCTL(m.vcpu, KVM_SET_DEVICE_ATTR, &attr));
	assert_int_equal(call(PV_TIME_FEATURES, PV_TIME_ST), 0);
	assert_int_equal(call(PV_TIME_FEATURES, 1), NOT_SUPPORTED);
	memset(m.mem + 0x100000, 0xff, 64);
	assert_int_equal(call(PV_TIME_ST, 0), ipa);
	assert_int_equal(*(uint64_t *)(m.mem + 0x100000), 0); /* revision, attributes */
	call(VERSION_FN, 0);
	assert_in_range(*(uint64_t *)(m.mem + 0x100008), 0, 3600ull * 1000000000);
}

static int filter(uint32_t base, uint32_t n, uint8_t action, uint8_t pad)
{
	struct kvm_smccc_filter f = { .base = base, .nr_functions = n, .action = action, .pad = { pad } };
	struct kvm_device_attr attr = { .group = KVM_ARM_VM_SMCCC_CTRL, .attr = KVM_ARM_VM_SMCCC_FILTER,
					.addr = (uintptr_t)&f };

	return IOCTL(m.vm, KVM_SET_DEVICE_ATTR, &attr);
}

static void filter_arguments(void **state)
{
	struct kvm_device_attr attr = { .group = KVM_ARM_VM_SMCCC_CTRL, .attr = KVM_ARM_VM_SMCCC_FILTER,
					.addr = BAD_POINTER };

	fails(EFAULT, IOCTL(m.vm, KVM_SET_DEVICE_ATTR, &attr));
	fails(EINVAL, filter(CALL_UID, 1, KVM_SMCCC_FILTER_DENY, 1));
	fails(EINVAL, filter(CALL_UID, 0, KVM_SMCCC_FILTER_DENY, 0));
	fails(EINVAL, filter(0xffffffff, 2, KVM_SMCCC_FILTER_DENY, 0));
	fails(EINVAL, filter(CALL_UID, 1, 3, 0));
	fails(EEXIST, filter(VERSION_FN, 1, KVM_SMCCC_FILTER_DENY, 0));
	fails(EEXIST, filter(0xc000fff0, 100, KVM_SMCCC_FILTER_DENY, 0));
	ok(filter(CALL_UID, 1, KVM_SMCCC_FILTER_DENY, 0));
	fails(EEXIST, filter(CALL_UID - 10, 11, KVM_SMCCC_FILTER_HANDLE, 0));
	call(VERSION_FN, 0);
	fails(EBUSY, filter(0x86000100, 1, KVM_SMCCC_FILTER_DENY, 0));
}

static void filter_actions(void **state)
{
	ok(filter(CALL_UID, 1, KVM_SMCCC_FILTER_DENY, 0));
	ok(filter(0x86001000, 0x100, KVM_SMCCC_FILTER_FWD_TO_USER, 0));
	ok(filter(0x84000000, 1, KVM_SMCCC_FILTER_FWD_TO_USER, 0)); /* PSCI_VERSION */
	assert_int_equal(call(CALL_UID, 0), NOT_SUPPORTED);
	assert_int_equal(call(VERSION_FN, 0), 0x10001);
	prepare(0x86001023, 99);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(m.run->hypercall.nr, 0x86001023);
	assert_int_equal(m.run->hypercall.longmode, 0); /* flags: an HVC */
	assert_int_equal(reg(m.vcpu, X(1)), 99);
	set_reg(m.vcpu, X(0), 123); /* the answer */
	assert_int_equal(machine_report(&m, 0), 123);
	prepare(0x84000000, 0);
	set_reg(m.vcpu, PC, CODE + 8);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(m.run->hypercall.longmode, KVM_HYPERCALL_EXIT_SMC);
	assert_int_equal(reg(m.vcpu, PC), CODE + 12);
}

#define T(f) cmocka_unit_test_setup_teardown(f, m_bare, m_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(discovery), T(bitmaps_hide_services), T(random_numbers), T(precise_time), T(stolen_time),
		T(filter_arguments), T(filter_actions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
