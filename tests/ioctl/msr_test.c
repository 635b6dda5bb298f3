/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_GET_MSRS and KVM_SET_MSRS on a vCPU: which values Linux 6.12 takes, refuses, drops, and reads back. */
#include "ioctl.h"

static struct machine m;

static int setup(void **state)
{
	return machine_up(&m, IRQCHIP);
}

static int teardown(void **state)
{
	machine_down(&m);
	return 0;
}

/* 1: done, 0: refused. */
static int msr_io(unsigned long request, uint32_t index, uint64_t *data)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } io = { .head.nmsrs = 1, .e.index = index };
	int ret;

	io.e.data = *data;
	ret = IOCTL(m.vcpu, request, &io);
	*data = io.e.data;
	return ret;
}

static int set_msr(uint32_t index, uint64_t data)
{
	return msr_io(KVM_SET_MSRS, index, &data);
}

static uint64_t get_msr(uint32_t index)
{
	uint64_t data = ~0ull;

	assert_int_equal(msr_io(KVM_GET_MSRS, index, &data), 1);
	return data;
}

#define REFUSED 0
#define TAKEN 1
#define NONCANONICAL 0x0001234500000000ull

static const struct {
	uint32_t index;
	uint64_t data;
	int ret;
	uint64_t then; /* what it reads afterwards */
} writes[] = {
	{ 0x1fc, 0x12345, TAKEN, 0x12345 },                        /* POWER_CTL: any value */
	{ 0xce, 0x8000ff00, TAKEN, 0x8000ff00 },                   /* PLATFORM_INFO: any value */
	{ 0x140, 1, TAKEN, 1 },                                    /* MISC_FEATURES_ENABLES: CPUID faulting */
	{ 0x140, 2, REFUSED, 1 },
	/* ... which PLATFORM_INFO then has to offer */
	{ 0xce, 0, REFUSED, 0x8000ff00 },
	{ 0x175, NONCANONICAL, TAKEN, 0x0000234500000000ull },     /* SYSENTER_ESP: made canonical */
	{ 0xc0000082, NONCANONICAL, REFUSED, 0 },                  /* LSTAR: refused */
	{ 0x277, 0x0007040600070402ull, REFUSED, 0x0007040600070406ull }, /* PAT: type 2 is reserved */
	/* HWCR: three bits are dropped, two stay */
	{ 0xc0010015, 1ull << 24 | 0x148, TAKEN, 1ull << 24 },
	{ 0xc0010015, 1, REFUSED, 1ull << 24 },
	{ 0x11e, 5, TAKEN, 0xbe702111 },                           /* BBL_CR_CTL3: writes are dropped */
	{ 0x8b, 0x77, TAKEN, 0x77 },                               /* microcode revision */
	{ 0xc0000104, 0, TAKEN, 1ull << 32 },                      /* TSC_RATIO: 0 changes nothing */
	{ 0xc0000104, 1, REFUSED, 1ull << 32 },
	{ 0x345, 0, TAKEN, 0 },                                    /* PERF_CAPABILITIES: there is no PMU */
	{ 0x345, 1, REFUSED, 0 },
	{ 0x179, 10, REFUSED, 32 },                                /* MCG_CAP: KVM_X86_SETUP_MCE sets it */
	{ 0x1a0, 1ull << 18, TAKEN, 1ull << 18 },                  /* MISC_ENABLE, MWAIT: the quirk is on */
	{ 0x2a, 1, REFUSED, 0 },                                   /* EBL_CR_POWERON: read only */
	{ 0x186, 0xdead, TAKEN, 0 },                               /* P6 EVNTSEL0: dropped without a PMU */
};

static void values(void **state)
{
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		int ret = set_msr(writes[i].index, writes[i].data);

		if (ret != writes[i].ret || get_msr(writes[i].index) != writes[i].then)
			fail_msg("MSR %#x, 0x%lx: %d, now 0x%lx", writes[i].index, writes[i].data, ret,
				 get_msr(writes[i].index));
	}
}

/* Neither exists; the second of the three stops the rest. */
static void absent(void **state)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[3]; } io = {
		.head.nmsrs = 3, .e = { { .index = 0x1fc }, { .index = 0x210 }, { .index = 0x10 } }
	};
	uint64_t data = 0;

	assert_int_equal(msr_io(KVM_GET_MSRS, 0x12345678, &data), 0);
	assert_int_equal(set_msr(0x12345678, 0), 0);
	assert_int_equal(IOCTL(m.vcpu, KVM_GET_MSRS, &io), 1);
	assert_int_equal(IOCTL(m.vcpu, KVM_SET_MSRS, &io), 1);
}

/* Where PV features are enforced a vCPU without them has no PV MSRs; but 0 can be saved and restored. */
static void enforced_pv(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };

	struct kvm_cpuid2 none = { 0 };

	ok(IOCTL(m.vcpu, KVM_SET_CPUID2, &none));
	assert_int_equal(set_msr(0x4b564d05, 0), 1); /* POLL_CONTROL */
	ok(IOCTL(m.vcpu, KVM_ENABLE_CAP, &cap));
	assert_int_equal(set_msr(0x4b564d05, 1), 0);
	assert_int_equal(set_msr(0x4b564d05, 0), 1);
	assert_int_equal(get_msr(0x4b564d05), 0);
	assert_int_equal(set_msr(0x4b564d03, 0x3001), 0); /* STEAL_TIME */
}

/* After the first KVM_RUN feature MSRs take only what they are; the microcode revision is none of them. */
static void features_are_fixed_after_run(void **state)
{
	uint64_t cap = get_msr(0x10a);

	assert_int_equal(set_msr(0x10a, 1), 1);
	assert_int_equal(set_msr(0x10a, cap), 1);
	machine_code(&m, "\xe6\x10", 2); /* out 0x10,al */
	ok(machine_run(&m));
	assert_int_equal(set_msr(0x10a, 1), 0);
	assert_int_equal(set_msr(0x10a, cap), 1);
	assert_int_equal(get_msr(0x10a), cap);
	assert_int_equal(set_msr(0x8b, 0x99), 1);
	assert_int_equal(get_msr(0x8b), 0x99);
}

static void uncorrected_no_action(void **state)
{
	struct kvm_x86_mce mce = { .status = 1ull << 63 | 1ull << 61, .addr = 0x1000, .bank = 1 };
	uint64_t cap = 1ull << 8 | 1ull << 10 | 2, more = cap | 1ull << 25;

	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SETUP_MCE, &more));
	ok(IOCTL(m.vcpu, KVM_X86_SETUP_MCE, &cap));
	assert_int_equal(get_msr(0x179), cap);
	assert_int_equal(set_msr(0x281, 1ull << 30), 1); /* MC1_CTL2: CMCI */
	assert_int_equal(set_msr(0x281, 1ull << 29), 0);
	assert_int_equal(set_msr(0x282, 0), 0); /* no such bank */
	ok(IOCTL(m.vcpu, KVM_X86_SET_MCE, &mce)); /* no #MC: CR4.MCE is off, which would be a shutdown */
	assert_int_equal(get_msr(0x406), 0x1000);
	mce.bank = 2;
	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SET_MCE, &mce));
	machine_code(&m, "\xe6\x10", 2);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(values), T(absent), T(enforced_pv), T(features_are_fixed_after_run), T(uncorrected_no_action),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
