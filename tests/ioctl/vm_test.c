/* SPDX-License-Identifier: Apache-2.0 */
/* The vm fd: interrupt controllers, vCPU creation, clock, addresses, capabilities; life of descriptors. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "tests/ioctl/ioctl.h"

static int kvm, vm;

static int up(void **state)
{
	kvm = k_open();
	vm = IOCTL(kvm, KVM_CREATE_VM, 0);
	return vm < 0;
}

static int down(void **state)
{
	return k_close(vm) | k_close(kvm);
}

static void irqchip_once(void **state)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	fails(ENXIO, IOCTL(vm, KVM_GET_IRQCHIP, &chip));
	ok(IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
	fails(EEXIST, IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
	ok(IOCTL(vm, KVM_GET_IRQCHIP, &chip));
	ok(IOCTL(vm, KVM_SET_IRQCHIP, &chip));
	chip.chip_id = 9;
	fails(EINVAL, IOCTL(vm, KVM_GET_IRQCHIP, &chip));
	fails(EINVAL, IOCTL(vm, KVM_SET_IRQCHIP, &chip));
	fails(EFAULT, IOCTL(vm, KVM_GET_IRQCHIP, BAD_POINTER));
}

static void irqchip_before_vcpus(void **state)
{
	int vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);

	ok(vcpu);
	fails(EINVAL, IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
	ok(k_close(vcpu));
}

static void pit_needs_irqchip(void **state)
{
	struct kvm_pit_config config = { 0 };
	struct kvm_pit_state2 ps = { 0 };
	struct kvm_reinject_control rc = { 0 };

	fails(ENOENT, IOCTL(vm, KVM_CREATE_PIT2, &config));
	fails(ENXIO, IOCTL(vm, KVM_GET_PIT2, &ps));
	fails(ENXIO, IOCTL(vm, KVM_SET_PIT2, &ps));
	fails(ENXIO, IOCTL(vm, KVM_REINJECT_CONTROL, &rc));
	ok(IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
	ok(IOCTL(vm, KVM_CREATE_PIT2, &config));
	fails(EEXIST, IOCTL(vm, KVM_CREATE_PIT2, &config));
	ok(IOCTL(vm, KVM_GET_PIT2, &ps));
	ok(IOCTL(vm, KVM_SET_PIT2, &ps));
	ok(IOCTL(vm, KVM_REINJECT_CONTROL, &rc));
	fails(EFAULT, IOCTL(vm, KVM_GET_PIT2, BAD_POINTER));
}

static void split_irqchip(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };

	cap.args[0] = 5000;
	fails(EINVAL, IOCTL(vm, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 24;
	ok(IOCTL(vm, KVM_ENABLE_CAP, &cap));
	fails(EEXIST, IOCTL(vm, KVM_ENABLE_CAP, &cap));
	fails(EEXIST, IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
}

static void enable_cap_errors(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .flags = 1 };

	fails(EINVAL, IOCTL(vm, KVM_ENABLE_CAP, &cap));
	cap.flags = 0;
	cap.args[0] = 1;
	ok(IOCTL(vm, KVM_ENABLE_CAP, &cap));
	cap.cap = 99999;
	fails(EINVAL, IOCTL(vm, KVM_ENABLE_CAP, &cap));
	cap.cap = KVM_CAP_X86_USER_SPACE_MSR;
	cap.args[0] = ~0ull;
	fails(EINVAL, IOCTL(vm, KVM_ENABLE_CAP, &cap));
	cap.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
	cap.args[0] = 2; /* INITIALLY_SET without the other */
	fails(EINVAL, IOCTL(vm, KVM_ENABLE_CAP, &cap));
	fails(EFAULT, IOCTL(vm, KVM_ENABLE_CAP, BAD_POINTER));
}

static void vcpu_ids(void **state)
{
	int max = IOCTL(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);
	int a = IOCTL(vm, KVM_CREATE_VCPU, 3), b;

	ok(a);
	fails(EEXIST, IOCTL(vm, KVM_CREATE_VCPU, 3));
	fails(EINVAL, IOCTL(vm, KVM_CREATE_VCPU, max));
	b = IOCTL(vm, KVM_CREATE_VCPU, max - 1);
	ok(b);
	ok(k_close(a));
	ok(k_close(b));
	fails(EEXIST, IOCTL(vm, KVM_CREATE_VCPU, 3)); /* a vCPU lives as long as its VM */
}

static void boot_cpu_id(void **state)
{
	int vcpu;

	ok(IOCTL(vm, KVM_SET_BOOT_CPU_ID, 1));
	vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
	ok(vcpu);
	fails(EBUSY, IOCTL(vm, KVM_SET_BOOT_CPU_ID, 0));
	ok(k_close(vcpu));
}

static void addresses(void **state)
{
	__u64 addr = 0xfffbc000;
	int vcpu;

	ok(IOCTL(vm, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	ok(IOCTL(vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	fails(EINVAL, IOCTL(vm, KVM_SET_TSS_ADDR, 0xfffffffful));
	fails(EFAULT, IOCTL(vm, KVM_SET_IDENTITY_MAP_ADDR, BAD_POINTER));
	vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
	ok(vcpu);
	fails(EINVAL, IOCTL(vm, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	ok(k_close(vcpu));
}

static void clock_get_set(void **state)
{
	struct kvm_clock_data a, b = { .clock = 1000000000000ull };

	ok(IOCTL(vm, KVM_GET_CLOCK, &a));
	ok(IOCTL(vm, KVM_SET_CLOCK, &b));
	ok(IOCTL(vm, KVM_GET_CLOCK, &a));
	assert_true(a.clock >= b.clock && a.clock < b.clock + 1000000000ull);
	b.flags = 1u << 20;
	fails(EINVAL, IOCTL(vm, KVM_SET_CLOCK, &b));
	fails(EFAULT, IOCTL(vm, KVM_GET_CLOCK, BAD_POINTER));
}

static void clock_runs(void **state)
{
	struct kvm_clock_data a, b;

	ok(IOCTL(vm, KVM_GET_CLOCK, &a));
	usleep(20000);
	ok(IOCTL(vm, KVM_GET_CLOCK, &b));
	assert_true(b.clock - a.clock >= 19000000 && b.clock - a.clock < 2000000000);
}

static void no_devices(void **state)
{
	struct kvm_create_device cd = { .type = 100 };

	fails(ENODEV, IOCTL(vm, KVM_CREATE_DEVICE, &cd));
	fails(EFAULT, IOCTL(vm, KVM_CREATE_DEVICE, BAD_POINTER));
}

static void unknown_ioctl(void **state)
{
	fails(ENOTTY, IOCTL(vm, _IO(KVMIO, 0xfe), 0));
}

static void mmu_pages(void **state)
{
	fails(EINVAL, IOCTL(vm, KVM_SET_NR_MMU_PAGES, 3));
	ok(IOCTL(vm, KVM_SET_NR_MMU_PAGES, 1000));
}

static void msr_filter(void **state)
{
	unsigned char bits[8] = { 0xff };
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };

	fails(EINVAL, IOCTL(vm, KVM_X86_SET_MSR_FILTER, &f)); /* denies everything */
	f.ranges[0] = (struct kvm_msr_filter_range){ .flags = KVM_MSR_FILTER_READ, .nmsrs = 8, .base = 0x10, .bitmap = bits };
	ok(IOCTL(vm, KVM_X86_SET_MSR_FILTER, &f));
	f.ranges[0].flags = 0x80;
	fails(EINVAL, IOCTL(vm, KVM_X86_SET_MSR_FILTER, &f));
	f.ranges[0].flags = KVM_MSR_FILTER_READ;
	f.ranges[0].bitmap = (void *)BAD_POINTER;
	fails(EFAULT, IOCTL(vm, KVM_X86_SET_MSR_FILTER, &f));
	f = (struct kvm_msr_filter){ .flags = 0 };
	ok(IOCTL(vm, KVM_X86_SET_MSR_FILTER, &f));
}

/* ---- descriptors ------------------------------------------------------------------------------------- */

static void vcpu_outlives_vm_fd(void **state)
{
	int k = k_open(), v = IOCTL(k, KVM_CREATE_VM, 0), c = IOCTL(v, KVM_CREATE_VCPU, 0);
	struct kvm_regs regs;

	ok(c);
	ok(k_close(k));
	ok(k_close(v));
	ok(IOCTL(c, KVM_GET_REGS, &regs));
	ok(k_close(c));
}

static void dup_is_the_same_object(void **state)
{
	int v2 = dup(vm), c;

	ok(v2);
	c = IOCTL(v2, KVM_CREATE_VCPU, 0);
	ok(c);
	fails(EEXIST, IOCTL(vm, KVM_CREATE_VCPU, 0));
	ok(k_close(v2));
	fails(EEXIST, IOCTL(vm, KVM_CREATE_VCPU, 0));
	ok(k_close(c));
}

/* A number closed behind KVM's back and used for something else is not KVM's any more. */
static void number_reuse_is_noticed(void **state)
{
	int v = IOCTL(kvm, KVM_CREATE_VM, 0), other;

	ok(v);
	ok(close(v));
	other = open("/dev/null", O_RDWR);
	assert_int_equal(other, v);
	fails(ENOTTY, IOCTL(v, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP));
	close(other);
}

static void closed_number_is_ebadf(void **state)
{
	int v = IOCTL(kvm, KVM_CREATE_VM, 0);

	ok(k_close(v));
	fails(EBADF, IOCTL(v, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP));
}

/* The child of a fork has the number, but not the VM. */
static void fork_child_gets_eio(void **state)
{
	int status, vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
	struct kvm_regs regs;
	pid_t pid = fork();

	if (!pid) {
		bool vm_dead = IOCTL(vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) == -1 && errno == EIO;
		bool vcpu_dead = IOCTL(vcpu, KVM_GET_REGS, &regs) == -1 && errno == EIO;

		_exit(vm_dead && vcpu_dead ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	ok(IOCTL(vcpu, KVM_GET_REGS, &regs));
	ok(k_close(vcpu));
}

static void vm_fd_does_not_map(void **state)
{
	errno = 0;
	assert_ptr_equal(k_mmap(4096, vm, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
}

static void cloexec(void **state)
{
	int vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);

	assert_true(fcntl(vm, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(vcpu, F_GETFD) & FD_CLOEXEC);
	ok(k_close(vcpu));
}

static void many_vms(void **state)
{
	for (int i = 0; i < 200; i++) {
		int v = IOCTL(kvm, KVM_CREATE_VM, 0), c = IOCTL(v, KVM_CREATE_VCPU, 0);

		ok(c);
		ok(i & 1 ? k_close(v) : k_close(c));
		ok(i & 1 ? k_close(c) : k_close(v));
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(irqchip_once), T(irqchip_before_vcpus), T(pit_needs_irqchip), T(split_irqchip), T(enable_cap_errors),
		T(vcpu_ids), T(boot_cpu_id), T(addresses), T(clock_get_set), T(clock_runs), T(no_devices), T(unknown_ioctl),
		T(mmu_pages), T(msr_filter), T(vcpu_outlives_vm_fd), T(dup_is_the_same_object), T(number_reuse_is_noticed),
		T(closed_number_is_ebadf), T(fork_child_gets_eio), T(vm_fd_does_not_map), T(cloexec), T(many_vms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
