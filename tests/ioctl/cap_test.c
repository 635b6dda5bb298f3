/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities that are switched on: what is accepted, what is refused, and what the guest's exits become. */
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include "tests/ioctl/ioctl.h"

#define ANY_HC_MAP_GPA_RANGE 12 /* KVM_HC_MAP_GPA_RANGE */

static struct machine m;

static int up(void **state) { return machine_up(&m, NO_IRQCHIP); }
static int up_irqchip(void **state) { return machine_up(&m, IRQCHIP); }

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

static int enable(unsigned cap, uint64_t arg)
{
	struct kvm_enable_cap ec = { .cap = cap, .args[0] = arg };

	return IOCTL(m.vm, KVM_ENABLE_CAP, &ec);
}

static int check(unsigned cap)
{
	return IOCTL(m.kvm, KVM_CHECK_EXTENSION, cap);
}

/* mov eax, 12; mov ebx, 0x1000; mov ecx, 1; mov edx, 16; vmcall; hlt */
static const uint8_t map_gpa_range[] = { 0x66, 0xb8, ANY_HC_MAP_GPA_RANGE, 0, 0, 0, 0x66, 0xbb, 0, 0x10, 0, 0, 0x66, 0xb9,
					 1, 0, 0, 0, 0x66, 0xba, 16, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xf4 };

static uint64_t rax(void)
{
	struct kvm_regs r;

	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	return r.rax;
}

static void hypercall_without_exit(void **state)
{
	machine_code(&m, map_gpa_range, sizeof(map_gpa_range));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal((int32_t)rax(), -1000); /* -KVM_ENOSYS */
}

static void hypercall_exit(void **state)
{
	assert_int_equal(check(KVM_CAP_EXIT_HYPERCALL), 1 << ANY_HC_MAP_GPA_RANGE);
	fails(EINVAL, enable(KVM_CAP_EXIT_HYPERCALL, 1));
	ok(enable(KVM_CAP_EXIT_HYPERCALL, 1 << ANY_HC_MAP_GPA_RANGE));
	machine_code(&m, map_gpa_range, sizeof(map_gpa_range));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(m.run->hypercall.nr, ANY_HC_MAP_GPA_RANGE);
	assert_int_equal(m.run->hypercall.args[0], 0x1000);
	assert_int_equal(m.run->hypercall.args[1], 1);
	assert_int_equal(m.run->hypercall.args[2], 16);
	assert_int_equal(m.run->hypercall.longmode, 0);
	m.run->hypercall.ret = 7;
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(rax(), 7);
}

/* No pages: KVM answers by itself. */
static void hypercall_bad_range(void **state)
{
	uint8_t code[sizeof(map_gpa_range)];

	memcpy(code, map_gpa_range, sizeof(code));
	code[14] = 0;
	ok(enable(KVM_CAP_EXIT_HYPERCALL, 1 << ANY_HC_MAP_GPA_RANGE));
	machine_code(&m, code, sizeof(code));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal((int32_t)rax(), -EINVAL);
}

static void pmu_event_filter(void **state)
{
	struct kvm_pmu_event_filter *f = calloc(1, sizeof(*f) + 300 * sizeof(f->events[0]));

	assert_int_equal(check(KVM_CAP_PMU_EVENT_FILTER), 1);
	f->nevents = 300;
	ok(IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, f));
	f->nevents = 301;
	fails(E2BIG, IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, f));
	f->nevents = 1;
	f->action = 2;
	fails(EINVAL, IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, f));
	f->action = KVM_PMU_EVENT_DENY;
	f->flags = 2;
	fails(EINVAL, IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, f));
	f->flags = 1; /* masked events: these have reserved bits */
	f->events[0] = 1ull << 16;
	fails(EINVAL, IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, f));
	f->events[0] = 0xff;
	ok(IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, f));
	fails(EFAULT, IOCTL(m.vm, KVM_SET_PMU_EVENT_FILTER, BAD_POINTER));
	free(f);
}

static void bus_lock_exit_modes(void **state)
{
	fails(EINVAL,
	      enable(KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT));
	fails(EINVAL, enable(KVM_CAP_X86_BUS_LOCK_EXIT, 4));
	ok(enable(KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_OFF));
}

static void nx_huge_pages(void **state)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	int vm = IOCTL(m.kvm, KVM_CREATE_VM, 0);
	struct kvm_enable_cap ec = { .cap = KVM_CAP_VM_DISABLE_NX_HUGE_PAGES };

	assert_int_equal(check(KVM_CAP_VM_DISABLE_NX_HUGE_PAGES), 1);
	assert_int_equal(syscall(SYS_capget, &head, caps), 0);
	if (caps[0].effective & (1u << CAP_SYS_BOOT)) {
		ok(IOCTL(vm, KVM_ENABLE_CAP, &ec));
		fails(EINVAL, enable(KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0)); /* a vCPU exists */
		ec.args[0] = 1;
		fails(EINVAL, IOCTL(vm, KVM_ENABLE_CAP, &ec));
	} else {
		fails(EPERM, IOCTL(vm, KVM_ENABLE_CAP, &ec));
	}
	ok(k_close(vm));
}

static void tsc_khz_limit(void **state)
{
	fails(EINVAL, IOCTL(m.vm, KVM_SET_TSC_KHZ, 0x7ffffffful));
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_TSC_KHZ, 0xfffffffful));
	ok(IOCTL(m.vm, KVM_SET_TSC_KHZ, 0));
}

/* mov eax, [0x80]; mov [0x80], eax; hlt with DS at the local APIC. */
static void tpr_access_reporting(void **state)
{
	static const uint8_t code[] = { 0x66, 0xa1, 0x80, 0, 0x66, 0xa3, 0x80, 0, 0xe6, 0x11 };
	struct kvm_tpr_access_ctl tac = { .enabled = 1 };
	struct kvm_sregs sregs;

	machine_code(&m, code, sizeof(code));
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &sregs));
	sregs.ds.base = 0xfee00000;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &sregs));
	ok(IOCTL(m.vcpu, KVM_TPR_ACCESS_REPORTING, &tac));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(m.run->tpr_access.is_write, 0);
	assert_int_equal(m.run->tpr_access.rip, 0x1000);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(m.run->tpr_access.is_write, 1);
	tac.enabled = 0;
	ok(IOCTL(m.vcpu, KVM_TPR_ACCESS_REPORTING, &tac));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	tac.flags = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_TPR_ACCESS_REPORTING, &tac));
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(hypercall_without_exit), T(hypercall_exit), T(hypercall_bad_range), T(pmu_event_filter),
		T(bus_lock_exit_modes), T(nx_huge_pages), T(tsc_khz_limit),
		cmocka_unit_test_setup_teardown(tpr_access_reporting, up_irqchip, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
