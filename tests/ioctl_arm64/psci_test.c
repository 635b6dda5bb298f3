/* SPDX-License-Identifier: Apache-2.0 */
/* PSCI: CPUs on and off, the machine off and reset, by HVC and SMC. */
#include <linux/psci.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include "tests/ioctl_arm64/arm64.h"

#define NOT_SUPPORTED ((uint64_t)-1)
#define INVALID_PARAMS ((uint64_t)-2)
#define ALREADY_ON ((uint64_t)-4)
#define INTERNAL_FAILURE ((uint64_t)-6)

static int second;
static struct kvm_run *second_run;

static int set_up(void **state)
{
	machine_up(&m, NO_IRQCHIP);
	second = IOCTL(m.vm, KVM_CREATE_VCPU, 1);
	second_run = k_mmap(8192, second, 0);
	return second < 0 || vcpu_init(second, FEATURES_OFF);
}

static int tear_down(void **state)
{
	munmap(second_run, 8192);
	ok(k_close(second));
	machine_down(&m);
	return 0;
}

/* x0..x3 of an HVC, or SMC; its x0. */
static void set_args(uint64_t fn, uint64_t a1, uint64_t a2, uint64_t a3)
{
	machine_asm(&m, HVC(0), REPORT(0), SMC(0), REPORT(0));
	set_reg(m.vcpu, X(0), fn);
	set_reg(m.vcpu, X(1), a1);
	set_reg(m.vcpu, X(2), a2);
	set_reg(m.vcpu, X(3), a3);
}

static uint64_t call(uint64_t fn, uint64_t a1, uint64_t a2, uint64_t a3)
{
	set_args(fn, a1, a2, a3);
	return machine_report(&m, 0);
}

static void by_smc(void **state)
{
	set_args(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0);
	set_reg(m.vcpu, PC, CODE + 8);
	assert_int_equal(machine_report(&m, 0), 0x10001);
	machine_asm(&m, SMC(1), REPORT(0));
	set_reg(m.vcpu, X(0), PSCI_0_2_FN_PSCI_VERSION);
	assert_int_equal(machine_report(&m, 0), NOT_SUPPORTED);
}

static void versions(void **state)
{
	assert_int_equal(call(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0), 0x10001);
	set_reg(m.vcpu, KVM_REG_ARM_PSCI_VERSION, 0x10000);
	assert_int_equal(call(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0), 0x10000);
	assert_int_equal(call(PSCI_1_0_FN_PSCI_FEATURES, PSCI_1_1_FN_SYSTEM_RESET2, 0, 0), NOT_SUPPORTED);
	assert_int_equal(call(PSCI_1_1_FN_SYSTEM_RESET2, 0, 0, 0), NOT_SUPPORTED);
	set_reg(m.vcpu, KVM_REG_ARM_PSCI_VERSION, 2);
	assert_int_equal(call(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0), 2);
	assert_int_equal(call(PSCI_1_0_FN_PSCI_FEATURES, PSCI_0_2_FN_CPU_OFF, 0, 0), NOT_SUPPORTED);
}

static void features(void **state)
{
	static const uint32_t there[] = { PSCI_0_2_FN_PSCI_VERSION, PSCI_0_2_FN_CPU_SUSPEND, PSCI_0_2_FN64_CPU_SUSPEND,
					  PSCI_0_2_FN_CPU_OFF, PSCI_0_2_FN_CPU_ON, PSCI_0_2_FN64_CPU_ON,
					  PSCI_0_2_FN_AFFINITY_INFO, PSCI_0_2_FN64_AFFINITY_INFO,
					  PSCI_0_2_FN_MIGRATE_INFO_TYPE, PSCI_0_2_FN_SYSTEM_OFF,
					  PSCI_0_2_FN_SYSTEM_RESET, PSCI_1_0_FN_PSCI_FEATURES,
					  PSCI_1_1_FN_SYSTEM_RESET2, PSCI_1_1_FN64_SYSTEM_RESET2, 0x80000000 };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_SYSTEM_SUSPEND };

	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
		assert_int_equal(call(PSCI_1_0_FN_PSCI_FEATURES, there[i], 0, 0), 0);
	assert_int_equal(call(PSCI_1_0_FN_PSCI_FEATURES, PSCI_0_2_FN_MIGRATE, 0, 0), NOT_SUPPORTED);
	assert_int_equal(call(PSCI_1_0_FN_PSCI_FEATURES, PSCI_1_0_FN64_SYSTEM_SUSPEND, 0, 0), NOT_SUPPORTED);
	ok(IOCTL(m.vm, KVM_ENABLE_CAP, &cap));
	assert_int_equal(call(PSCI_1_0_FN_PSCI_FEATURES, PSCI_1_0_FN64_SYSTEM_SUSPEND, 0, 0), 0);
	assert_int_equal(call(PSCI_0_2_FN_MIGRATE_INFO_TYPE, 0, 0, 0), PSCI_0_2_TOS_MP);
	assert_int_equal(call(0x84000013, 0, 0, 0), NOT_SUPPORTED);
}

static void affinity_info(void **state)
{
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 0, 0, 0), PSCI_0_2_AFFINITY_LEVEL_ON);
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 1, 0, 0), PSCI_0_2_AFFINITY_LEVEL_OFF);
	assert_int_equal(call(PSCI_0_2_FN_AFFINITY_INFO, 1, 0, 0), PSCI_0_2_AFFINITY_LEVEL_OFF);
	/* one of the cluster */
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 1, 1, 0), PSCI_0_2_AFFINITY_LEVEL_ON);
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 2, 0, 0), INVALID_PARAMS);
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 0, 4, 0), INVALID_PARAMS);
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 1ull << 31, 0, 0), INVALID_PARAMS);
}

static void *run_second(void *arg)
{
	*(int *)arg = IOCTL(second, KVM_RUN, 0);
	return NULL;
}

/* The second CPU, asleep in KVM_RUN, starts where and with what it is told; then it switches itself off. */
static void cpu_on(void **state)
{
	static const uint32_t entry[] = { MOV32(28, NOWHERE), STRX(0, 28, 16), HVC(0) };
	struct kvm_mp_state s;
	pthread_t t;
	int ret = -1;

	memcpy(m.mem + 0x8000, entry, sizeof(entry));
	assert_int_equal(pthread_create(&t, NULL, run_second, &ret), 0);
	usleep(10000);
	assert_int_equal(call(PSCI_0_2_FN64_CPU_ON, 5, RAM_BASE + 0x8000, 0), INVALID_PARAMS);
	assert_int_equal(call(PSCI_0_2_FN64_CPU_ON, 0, RAM_BASE + 0x8000, 0), ALREADY_ON);
	assert_int_equal(call(PSCI_0_2_FN64_CPU_ON, 1, RAM_BASE + 0x8000, 0x1122334455), 0);
	pthread_join(t, NULL);
	ok(ret);
	assert_int_equal(second_run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(second_run->mmio.phys_addr, NOWHERE + 16);
	assert_int_equal(*(uint64_t *)second_run->mmio.data, 0x1122334455);
	assert_int_equal(reg(second, PSTATE), PSTATE_EL1H);
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 1, 0, 0), PSCI_0_2_AFFINITY_LEVEL_ON);
	set_reg(second, X(0), PSCI_0_2_FN_CPU_OFF);
	second_run->immediate_exit = 1;
	fails(EINTR, IOCTL(second, KVM_RUN, 0));
	second_run->immediate_exit = 0;
	assert_int_equal(pthread_create(&t, NULL, run_second, &ret), 0);
	for (int i = 0; i < 20000; i++) {
		if (call(PSCI_0_2_FN64_AFFINITY_INFO, 1, 0, 0) == PSCI_0_2_AFFINITY_LEVEL_OFF)
			break;
		usleep(1000);
	}
	assert_int_equal(call(PSCI_0_2_FN64_AFFINITY_INFO, 1, 0, 0), PSCI_0_2_AFFINITY_LEVEL_OFF);
	/* Once more, to end its KVM_RUN. */
	assert_int_equal(call(PSCI_0_2_FN64_CPU_ON, 1, RAM_BASE + 0x8000, 3), 0);
	pthread_join(t, NULL);
	ok(IOCTL(second, KVM_GET_MP_STATE, &s));
	assert_int_equal(s.mp_state, KVM_MP_STATE_RUNNABLE);
}

static uint32_t mp_state(int vcpu)
{
	struct kvm_mp_state s;

	ok(IOCTL(vcpu, KVM_GET_MP_STATE, &s));
	return s.mp_state;
}

/* By 32-bit number the upper halves of the arguments do not count. */
static void cpu_on_32(void **state)
{
	assert_int_equal(call(PSCI_0_2_FN_CPU_ON, 0xffffffff00000001, 0xffffffff80008000, 0), 0);
	assert_int_equal(call(PSCI_0_2_FN_CPU_ON, 1, 0x80008000, 0), ALREADY_ON);
	assert_int_equal(mp_state(second), KVM_MP_STATE_RUNNABLE);
	second_run->immediate_exit = 1;
	fails(EINTR, IOCTL(second, KVM_RUN, 0));
	assert_int_equal(reg(second, PC), 0x80008000);
	assert_int_equal(call(PSCI_0_2_FN64_CPU_ON, 0xffffffff00000001, RAM_BASE, 0), INVALID_PARAMS);
}

/* Standby: over as soon as an interrupt is pending, masked or not. */
static void cpu_suspend(void **state)
{
	struct kvm_irq_level line = { .irq = KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT, .level = 1 };

	ok(IOCTL(m.vm, KVM_IRQ_LINE, &line));
	assert_int_equal(call(PSCI_0_2_FN_CPU_SUSPEND, 0, RAM_BASE, 0), 0);
	assert_int_equal(call(PSCI_0_2_FN64_CPU_SUSPEND, 0x10000, RAM_BASE, 0), 0);
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_RUNNABLE);
}

static void leaves_with_event(uint32_t type)
{
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_SYSTEM_EVENT);
	assert_int_equal(m.run->system_event.type, type);
}

static void system_off(void **state)
{
	struct kvm_mp_state s;

	set_args(PSCI_0_2_FN_SYSTEM_OFF, 0, 0, 0);
	leaves_with_event(KVM_SYSTEM_EVENT_SHUTDOWN);
	assert_int_equal(reg(m.vcpu, X(0)), INTERNAL_FAILURE);
	ok(IOCTL(m.vcpu, KVM_GET_MP_STATE, &s));
	assert_int_equal(s.mp_state, KVM_MP_STATE_STOPPED);
	/* Initialized anew, the VM runs again. */
	ok(vcpu_init(m.vcpu, FEATURES_PSCI));
	assert_int_equal(call(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0), 0x10001);
}

static void system_reset(void **state)
{
	set_args(PSCI_0_2_FN_SYSTEM_RESET, 0, 0, 0);
	leaves_with_event(KVM_SYSTEM_EVENT_RESET);
	assert_int_equal(m.run->system_event.ndata, 1);
	assert_int_equal(m.run->system_event.data[0], 0);
	ok(vcpu_init(m.vcpu, FEATURES_PSCI));
	assert_int_equal(call(PSCI_1_1_FN64_SYSTEM_RESET2, 1, 0, 0), INVALID_PARAMS);
	set_args(PSCI_1_1_FN64_SYSTEM_RESET2, 0, 0, 0);
	leaves_with_event(KVM_SYSTEM_EVENT_RESET);
	assert_int_equal(m.run->system_event.data[0], KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2);
	ok(vcpu_init(m.vcpu, FEATURES_PSCI));
	assert_int_equal(call(PSCI_1_1_FN_SYSTEM_RESET2, 0x7fffffff, 0, 0), INVALID_PARAMS);
	set_args(PSCI_1_1_FN_SYSTEM_RESET2, 0x80000001, 7, 0); /* a vendor's */
	leaves_with_event(KVM_SYSTEM_EVENT_RESET);
}

static void system_suspend(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_SYSTEM_SUSPEND };

	assert_int_equal(call(PSCI_1_0_FN64_SYSTEM_SUSPEND, 1, 2, 3), NOT_SUPPORTED);
	ok(IOCTL(m.vm, KVM_ENABLE_CAP, &cap));
	set_args(PSCI_1_0_FN64_SYSTEM_SUSPEND, RAM_BASE, 7, 0);
	leaves_with_event(KVM_SYSTEM_EVENT_SUSPEND);
	assert_int_equal(reg(m.vcpu, X(0)), PSCI_1_0_FN64_SYSTEM_SUSPEND);
	assert_int_equal(reg(m.vcpu, X(2)), 7);
}

static void on_alarm(int sig)
{
	kuse_signal_notify();
}

/* Version 0.1 has its own numbers, and only these. m.mem serves as the memory of another VM. */
static void calls_of_0_1(void **state)
{
	struct kvm_userspace_memory_region ram = { .guest_phys_addr = RAM_BASE, .memory_size = MEM_SIZE,
						   .userspace_addr = (uintptr_t)m.mem };
	struct itimerval soon = { .it_value.tv_usec = 20000 };
	struct machine old = { .mem = m.mem, .vm = IOCTL(m.kvm, KVM_CREATE_VM, 0) }, psci_0_2 = m;

	ok(IOCTL(old.vm, KVM_SET_USER_MEMORY_REGION, &ram));
	old.vcpu = IOCTL(old.vm, KVM_CREATE_VCPU, 0);
	old.run = k_mmap(8192, old.vcpu, 0);
	ok(vcpu_init(old.vcpu, 0));
	m = old;
	assert_int_equal(call(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0), NOT_SUPPORTED);
	assert_int_equal(call(KVM_PSCI_FN_CPU_SUSPEND, 0, 0, 0), NOT_SUPPORTED);
	assert_int_equal(call(KVM_PSCI_FN_MIGRATE, 0, 0, 0), NOT_SUPPORTED);
	assert_int_equal(call(KVM_PSCI_FN_CPU_ON, 5, RAM_BASE, 0), INVALID_PARAMS);
	assert_int_equal(call(KVM_PSCI_FN_CPU_ON, 0, RAM_BASE, 0), INVALID_PARAMS); /* ALREADY_ON is of 0.2 */
	set_args(KVM_PSCI_FN_CPU_OFF, 0, 0, 0);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	fails(EINTR, machine_run(&m));
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_STOPPED);
	m = psci_0_2;
	munmap(old.run, 8192);
	ok(k_close(old.vcpu));
	ok(k_close(old.vm));
}

/* Without the feature PSCI_0_2: version 0.1 with KVM's own numbers. */
static void version_0_1(void **state)
{
	int vm = IOCTL(m.kvm, KVM_CREATE_VM, 0), vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
	uint64_t val = 0x10000;

	ok(vcpu);
	ok(vcpu_init(vcpu, 0));
	assert_int_equal(reg(vcpu, KVM_REG_ARM_PSCI_VERSION), 1);
	fails(EINVAL, set_one(vcpu, KVM_REG_ARM_PSCI_VERSION, &val));
	ok(k_close(vcpu));
	ok(k_close(vm));
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(by_smc),      T(versions),     T(features),       T(affinity_info), T(cpu_on),
		T(cpu_on_32),   T(cpu_suspend),  T(system_off),     T(system_reset),  T(system_suspend),
		T(version_0_1), T(calls_of_0_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
