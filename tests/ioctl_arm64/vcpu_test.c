/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU of KVM/arm64: initialization and what must not be done before it, power states, events, attributes.
 * */
#include "tests/ioctl_arm64/arm64.h"

static void nothing_before_init(void **state)
{
	struct kvm_reg_list list = { .n = 0 };
	struct kvm_vcpu_events events = { 0 };
	int vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 1), what = KVM_ARM_VCPU_SVE;
	uint64_t val;

	ok(vcpu);
	fails(ENOEXEC, IOCTL(vcpu, KVM_RUN, 0));
	fails(ENOEXEC, get_one(vcpu, PC, &val));
	fails(ENOEXEC, set_one(vcpu, PC, &val));
	fails(ENOEXEC, IOCTL(vcpu, KVM_GET_REG_LIST, &list));
	fails(ENOEXEC, IOCTL(vcpu, KVM_GET_VCPU_EVENTS, &events));
	fails(ENOEXEC, IOCTL(vcpu, KVM_SET_VCPU_EVENTS, &events));
	fails(ENOEXEC, IOCTL(vcpu, KVM_ARM_VCPU_FINALIZE, &what));
	ok(vcpu_init(vcpu, FEATURES_PSCI));
	ok(get_one(vcpu, PC, &val));
	ok(k_close(vcpu));
}

static void init_arguments(void **state)
{
	struct kvm_vcpu_init init = { .target = KVM_ARM_TARGET_GENERIC_V8 };
	int vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 1);

	ok(vcpu);
	fails(EFAULT, IOCTL(vcpu, KVM_ARM_VCPU_INIT, BAD_POINTER));
	init.target = KVM_ARM_TARGET_CORTEX_A57;
	fails(EINVAL, IOCTL(vcpu, KVM_ARM_VCPU_INIT, &init));
	init.target = 1000;
	fails(EINVAL, IOCTL(vcpu, KVM_ARM_VCPU_INIT, &init));
	init.target = KVM_ARM_TARGET_GENERIC_V8;
	init.features[0] = 1u << 8;
	fails(ENOENT, IOCTL(vcpu, KVM_ARM_VCPU_INIT, &init));
	init.features[0] = FEATURES_PSCI;
	init.features[3] = 1;
	fails(ENOENT, IOCTL(vcpu, KVM_ARM_VCPU_INIT, &init));
	fails(EINVAL, vcpu_init(vcpu, FEATURES_PSCI | 1u << KVM_ARM_VCPU_EL1_32BIT));
	fails(EINVAL, vcpu_init(vcpu, FEATURES_PSCI | 1u << KVM_ARM_VCPU_SVE));
	fails(EINVAL, vcpu_init(vcpu, FEATURES_PSCI | 1u << KVM_ARM_VCPU_HAS_EL2));
	fails(EINVAL, vcpu_init(vcpu, FEATURES_PSCI | 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS));
	ok(k_close(vcpu));
}

/* All vCPUs of a VM have the first one's features; an initialized one can be initialized with the same only.
 * */
static void same_features(void **state)
{
	int vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 1);

	ok(vcpu);
	fails(EINVAL, vcpu_init(vcpu, 0));
	fails(EINVAL, vcpu_init(m.vcpu, 0));
	ok(vcpu_init(vcpu, FEATURES_PSCI));
	ok(vcpu_init(vcpu, FEATURES_OFF));
	ok(k_close(vcpu));
}

static uint32_t mp_state(int vcpu)
{
	struct kvm_mp_state s;

	ok(IOCTL(vcpu, KVM_GET_MP_STATE, &s));
	return s.mp_state;
}

static int set_mp_state(int vcpu, uint32_t state)
{
	struct kvm_mp_state s = { state };

	return IOCTL(vcpu, KVM_SET_MP_STATE, &s);
}

static void init_resets(void **state)
{
	set_reg(m.vcpu, PC, 0x1234);
	set_reg(m.vcpu, X(5), 5);
	set_reg(m.vcpu, SP_EL1, 7);
	set_reg(m.vcpu, SYS(3, 0, 1, 0, 2), 3 << 20);     /* CPACR_EL1 */
	set_reg(m.vcpu, SYS(3, 0, 0, 0, 5), 0x80000105);  /* MPIDR_EL1 */
	ok(vcpu_init(m.vcpu, FEATURES_OFF));
	assert_int_equal(reg(m.vcpu, PC), 0);
	assert_int_equal(reg(m.vcpu, X(5)), 0);
	assert_int_equal(reg(m.vcpu, SP_EL1), 0);
	assert_int_equal(reg(m.vcpu, PSTATE), PSTATE_EL1H);
	assert_int_equal(reg(m.vcpu, SYS(3, 0, 1, 0, 0)), 0x00c50078);
	assert_int_equal(reg(m.vcpu, SYS(3, 0, 1, 0, 2)), 0);
	assert_int_equal(reg(m.vcpu, SYS(3, 0, 0, 0, 5)), 0x80000000);
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_STOPPED);
	ok(vcpu_init(m.vcpu, FEATURES_PSCI));
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_RUNNABLE);
}

static void mp_states(void **state)
{
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_RUNNABLE);
	ok(set_mp_state(m.vcpu, KVM_MP_STATE_STOPPED));
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_STOPPED);
	ok(set_mp_state(m.vcpu, KVM_MP_STATE_SUSPENDED));
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_SUSPENDED);
	ok(set_mp_state(m.vcpu, KVM_MP_STATE_RUNNABLE));
	fails(EINVAL, set_mp_state(m.vcpu, KVM_MP_STATE_HALTED));
	fails(EINVAL, set_mp_state(m.vcpu, 100));
	assert_int_equal(mp_state(m.vcpu), KVM_MP_STATE_RUNNABLE);
}

/* MPIDR_EL1 is made of the vCPU's number: 16 CPUs in Aff0. */
static void mpidr(void **state)
{
	int vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 0x123);

	ok(vcpu);
	ok(vcpu_init(vcpu, FEATURES_PSCI));
	assert_int_equal(reg(vcpu, SYS(3, 0, 0, 0, 5)), 0x80001203);
	ok(k_close(vcpu));
}

static void events(void **state)
{
	struct kvm_vcpu_events e = { 0 };
	int has_esr = IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_INJECT_SERROR_ESR);

	memset(&e, 0xff, sizeof(e));
	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.serror_pending, 0);
	assert_int_equal(e.exception.serror_has_esr, has_esr);
	e.exception.serror_has_esr = 0;
	e.exception.serror_pending = 1;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.serror_pending, 1);
	memset(&e, 0, sizeof(e));
	e.exception.pad[4] = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	e.reserved[11] = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	e.exception.serror_pending = e.exception.serror_has_esr = 1;
	e.exception.serror_esr = 1ull << 25; /* beyond the ISS */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, BAD_POINTER));
}

static void finalize(void **state)
{
	int what = KVM_ARM_VCPU_SVE;

	fails(EINVAL, IOCTL(m.vcpu, KVM_ARM_VCPU_FINALIZE, &what));
	what = KVM_ARM_VCPU_PSCI_0_2;
	fails(EINVAL, IOCTL(m.vcpu, KVM_ARM_VCPU_FINALIZE, &what));
	fails(EFAULT, IOCTL(m.vcpu, KVM_ARM_VCPU_FINALIZE, BAD_POINTER));
}

static int timer_attr(int vcpu, unsigned long request, uint64_t which, int *irq)
{
	struct kvm_device_attr attr = { .group = KVM_ARM_VCPU_TIMER_CTRL, .attr = which, .addr = (uintptr_t)irq };

	return IOCTL(vcpu, request, &attr);
}

static void timer_attributes_without_gic(void **state)
{
	int irq = 0;

	ok(timer_attr(m.vcpu, KVM_HAS_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
	ok(timer_attr(m.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
	assert_int_equal(irq, 27);
	ok(timer_attr(m.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &irq));
	assert_int_equal(irq, 30);
	fails(ENXIO, timer_attr(m.vcpu, KVM_HAS_DEVICE_ATTR, 4, &irq));
	fails(ENXIO, timer_attr(m.vcpu, KVM_GET_DEVICE_ATTR, 4, &irq));
	fails(EINVAL, timer_attr(m.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
}

static void timer_attributes(void **state)
{
	struct machine g;
	int irq = 20;

	machine_up(&g, IRQCHIP);
	ok(timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
	ok(timer_attr(g.vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
	assert_int_equal(irq, 20);
	fails(EFAULT,
	      timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, (int *)BAD_POINTER));
	fails(ENXIO, timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, 4, &irq));
	irq = 15;
	fails(EINVAL, timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
	irq = 32;
	fails(EINVAL, timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
	/* Both the same: told by the first KVM_RUN. */
	irq = 20;
	ok(timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &irq));
	fails(EINVAL, machine_run(&g));
	irq = 21;
	ok(timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &irq));
	machine_asm(&g, REPORT(1));
	set_reg(g.vcpu, X(1), 11);
	assert_int_equal(machine_report(&g, 0), 11);
	fails(EBUSY, timer_attr(g.vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &irq));
	machine_down(&g);
}

static int pvtime(unsigned long request, uint64_t *ipa)
{
	struct kvm_device_attr attr = { .group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
					.addr = (uintptr_t)ipa };

	return IOCTL(m.vcpu, request, &attr);
}

static void pvtime_attribute(void **state)
{
	uint64_t ipa = RAM_BASE + 32;

	ok(pvtime(KVM_HAS_DEVICE_ATTR, &ipa));
	fails(EFAULT, pvtime(KVM_SET_DEVICE_ATTR, (uint64_t *)BAD_POINTER));
	fails(EINVAL, pvtime(KVM_SET_DEVICE_ATTR, &ipa));
	ipa = NOWHERE;
	fails(EINVAL, pvtime(KVM_SET_DEVICE_ATTR, &ipa));
	ok(pvtime(KVM_GET_DEVICE_ATTR, &ipa));
	assert_int_equal(ipa, ~0ull);
	ipa = RAM_BASE + 0x100000;
	ok(pvtime(KVM_SET_DEVICE_ATTR, &ipa));
	fails(EEXIST, pvtime(KVM_SET_DEVICE_ATTR, &ipa));
}

static void unknown(void **state)
{
	struct kvm_device_attr attr = { .group = KVM_ARM_VCPU_PMU_V3_CTRL };
	char buf[1024] = "";

	fails(ENXIO, IOCTL(m.vcpu, KVM_HAS_DEVICE_ATTR, &attr));
	attr.group = 99;
	fails(ENXIO, IOCTL(m.vcpu, KVM_SET_DEVICE_ATTR, &attr));
	fails(EINVAL, IOCTL(m.vcpu, KVM_GET_REGS, buf));
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_REGS, buf));
	fails(EINVAL, IOCTL(m.vcpu, _IO(KVMIO, 0xff), 0));
	fails(EINVAL, IOCTL(m.vcpu, KVM_PRE_FAULT_MEMORY, buf));
}

static void guest_debug_flags(void **state)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	dbg.control |= 1u << 20;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	dbg.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	assert_in_range(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_BPS), 2, 16);
	assert_in_range(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_WPS), 2, 16);
	assert_true(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_USE_HW);
	dbg.control = 0;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
}

#define T(f) cmocka_unit_test_setup_teardown(f, m_bare, m_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_before_init), T(init_arguments), T(same_features), T(init_resets),
		T(mp_states), T(mpidr), T(events), T(finalize), T(timer_attributes_without_gic),
		T(timer_attributes), T(pvtime_attribute), T(unknown), T(guest_debug_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
