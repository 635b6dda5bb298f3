/* SPDX-License-Identifier: Apache-2.0 */
/* Hyper-V: capabilities, CPUID, MSRs, reference time, crash and reset. */
#include <stdlib.h>
#include "tests/hyperv/guest.h"

static int up(void **state)
{
	guest_up(IRQCHIP, true);
	return 0;
}

static int down(void **state)
{
	guest_down();
	return 0;
}

/* ---- capabilities, CPUID ---- */

static void capabilities(void **state)
{
	static const int offered[] = {
		KVM_CAP_HYPERV, KVM_CAP_HYPERV_VAPIC, KVM_CAP_HYPERV_SPIN, KVM_CAP_HYPERV_TIME, KVM_CAP_HYPERV_SYNIC,
		KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_VP_INDEX, KVM_CAP_HYPERV_EVENTFD, KVM_CAP_HYPERV_TLBFLUSH,
		KVM_CAP_HYPERV_SEND_IPI, KVM_CAP_HYPERV_CPUID, KVM_CAP_HYPERV_ENFORCE_CPUID, KVM_CAP_SYS_HYPERV_CPUID,
	};
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC2, .args[0] = 1 };

	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++)
		assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, offered[i]), 1);
	fails(EINVAL, IOCTL(m.vcpu, KVM_ENABLE_CAP, &cap));
	cap = (struct kvm_enable_cap){ .cap = KVM_CAP_HYPERV_TIME };
	fails(EINVAL, IOCTL(m.vcpu, KVM_ENABLE_CAP, &cap));
	skip_real();
	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV_ENLIGHTENED_VMCS), 0);
	cap = (struct kvm_enable_cap){ .cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS };
	fails(ENOTTY, IOCTL(m.vcpu, KVM_ENABLE_CAP, &cap));
}

static const struct kvm_cpuid_entry2 *hv_leaf(struct kvm_cpuid2 *c, int fd, uint32_t function)
{
	memset(c, 0, sizeof(*c) + 20 * sizeof(c->entries[0]));
	c->nent = 20;
	ok(IOCTL(fd, KVM_GET_SUPPORTED_HV_CPUID, c));
	assert_int_equal(c->nent, 10);
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == function)
			return &c->entries[i];
	fail_msg("no leaf 0x%x", function);
	return NULL;
}

static void supported_cpuid(void **state)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 20 * sizeof(c->entries[0]));
	const struct kvm_cpuid_entry2 *e = hv_leaf(c, m.kvm, HYPERV_CPUID_VENDOR_AND_MAX_FUNCTIONS);

	assert_int_equal(e->eax, HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES);
	assert_memory_equal(&e->ebx, "Linux KVM Hv", 12);
	assert_int_equal(hv_leaf(c, m.vcpu, HYPERV_CPUID_INTERFACE)->eax, HYPERV_CPUID_SIGNATURE_EAX);
	assert_true(hv_leaf(c, m.vcpu, HYPERV_CPUID_FEATURES)->edx & HV_STIMER_DIRECT_MODE_AVAILABLE);
	c->nent = 9;
	fails(E2BIG, IOCTL(m.kvm, KVM_GET_SUPPORTED_HV_CPUID, c));
	fails(E2BIG, IOCTL(m.vcpu, KVM_GET_SUPPORTED_HV_CPUID, c));
	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_SUPPORTED_HV_CPUID, BAD_POINTER));
	free(c);
}

/* What needs a LAPIC is not offered to a vCPU without one; the system says what any vCPU may have. */
static void without_lapic(void **state)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 20 * sizeof(c->entries[0]));
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC };
	uint64_t val;

	guest_up(NO_IRQCHIP, true);
	assert_false(hv_leaf(c, m.vcpu, HYPERV_CPUID_FEATURES)->edx & HV_STIMER_DIRECT_MODE_AVAILABLE);
	assert_false(hv_leaf(c, m.vcpu, HYPERV_CPUID_ENLIGHTMENT_INFO)->eax & HV_X64_CLUSTER_IPI_RECOMMENDED);
	assert_true(hv_leaf(c, m.kvm, HYPERV_CPUID_FEATURES)->edx & HV_STIMER_DIRECT_MODE_AVAILABLE);
	fails(EINVAL, IOCTL(m.vcpu, KVM_ENABLE_CAP, &cap));
	assert_int_equal(guest_rdmsr(HV_X64_MSR_TPR, &val), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_EOI, 0), GP);
	guest_down();
	free(c);
}

/* ---- who may ---- */

static void no_hyperv_cpuid(void **state)
{
	uint64_t val;

	guest_up(IRQCHIP, false);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_GUEST_OS_ID, &val), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_GUEST_OS_ID, OS_ID), GP);
	assert_int_equal(host_set_msr(HV_X64_MSR_GUEST_OS_ID, OS_ID), 1); /* user space always */
	assert_int_equal(host_get_msr(HV_X64_MSR_GUEST_OS_ID), OS_ID);
	guest_down();
}

static void enforced(void **state)
{
	uint64_t val;

	guest_set_leaf(HYPERV_CPUID_FEATURES, HV_MSR_VP_INDEX_AVAILABLE, 0, 0);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_TIME_REF_COUNT, &val), NONE);
	guest_enable_cap(KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_TIME_REF_COUNT, &val), GP);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_CRASH_P0, &val), GP);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_VP_INDEX, &val), NONE);
	assert_true(host_get_msr(HV_X64_MSR_TIME_REF_COUNT) > 0);
	guest_enable_cap(KVM_CAP_HYPERV_ENFORCE_CPUID, 0);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_CRASH_P0, &val), NONE);
}

static void unknown_register(void **state)
{
	uint64_t val;

	assert_int_equal(guest_rdmsr(0x40000004, &val), GP);
	assert_int_equal(guest_rdmsr(0x40000085, &val), GP);
	assert_int_equal(host_set_msr(0x40000004, 0), 0);
}

static bool listed(const struct kvm_msr_list *list, uint32_t msr)
{
	for (uint32_t i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == msr)
			return true;
	return false;
}

static void index_list(void **state)
{
	static const uint32_t named[] = { HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_RESET, HV_X64_MSR_VP_RUNTIME,
					  HV_X64_MSR_APIC_FREQUENCY, HV_X64_MSR_VP_ASSIST_PAGE, HV_X64_MSR_SCONTROL,
					  HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_SYNDBG_OPTIONS, HV_X64_MSR_CRASH_CTL,
					  HV_X64_MSR_TSC_EMULATION_STATUS, HV_X64_MSR_TSC_INVARIANT_CONTROL };
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 1000 * sizeof(uint32_t));

	list->nmsrs = 1000;
	ok(IOCTL(m.kvm, KVM_GET_MSR_INDEX_LIST, list));
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		assert_true(listed(list, named[i]));
	assert_false(listed(list, HV_X64_MSR_SINT0));
	assert_false(listed(list, HV_X64_MSR_EOI));
	free(list);
}

/* ---- the registers ---- */

static void hypercall_page(void **state)
{
	static const uint8_t vmcall[] = { 0x0f, 0x01, 0xc1, 0xc3 }, vmmcall[] = { 0x0f, 0x01, 0xd9, 0xc3 };

	assert_int_equal(guest_wrmsr(HV_X64_MSR_HYPERCALL, PAGE_A | HV_MSR_PAGE_ENABLE), NONE);
	assert_int_equal(host_get_msr(HV_X64_MSR_HYPERCALL), 0); /* nobody without an identity */
	assert_int_equal(guest_wrmsr(HV_X64_MSR_GUEST_OS_ID, OS_ID), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_HYPERCALL, PAGE_A | HV_MSR_PAGE_ENABLE), NONE);
	assert_true(!memcmp(m.mem + PAGE_A, vmcall, 4) || !memcmp(m.mem + PAGE_A, vmmcall, 4));
	assert_int_equal(guest_wrmsr(HV_X64_MSR_HYPERCALL, MEM_SIZE | HV_MSR_PAGE_ENABLE), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_GUEST_OS_ID, 0), NONE);
	assert_int_equal(host_get_msr(HV_X64_MSR_HYPERCALL), PAGE_A);
}

static void vp_index(void **state)
{
	uint64_t val;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_VP_INDEX, 1), GP);
	assert_int_equal(host_set_msr(HV_X64_MSR_VP_INDEX, 7), 1);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_VP_INDEX, &val), NONE);
	assert_int_equal(val, 7);
	assert_int_equal(host_set_msr(HV_X64_MSR_VP_INDEX, 1u << 20), 0);
}

static void runtime(void **state)
{
	uint64_t a, b;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_VP_RUNTIME, 0), GP);
	assert_int_equal(host_set_msr(HV_X64_MSR_VP_RUNTIME, 1000000000), 1);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_VP_RUNTIME, &a), NONE);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_VP_RUNTIME, &b), NONE);
	assert_true(a >= 1000000000 && b >= a && b < 1000000000 + 600000000);
}

static void frequencies(void **state)
{
	uint64_t val;

	assert_int_equal(guest_rdmsr(HV_X64_MSR_TSC_FREQUENCY, &val), NONE);
	assert_int_equal(val, (uint64_t)IOCTL(m.vcpu, KVM_GET_TSC_KHZ, 0) * 1000);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_APIC_FREQUENCY, &val), NONE);
	assert_int_equal(val, 1000000000);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_FREQUENCY, val), GP);
	assert_int_equal(host_set_msr(HV_X64_MSR_TSC_FREQUENCY, 1), 1); /* ignored */
}

static void apic_registers(void **state)
{
	uint64_t val;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_TPR, 0x50), NONE);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_TPR, &val), NONE);
	assert_int_equal(val, 0x50);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TPR, 1ull << 32), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_EOI, 1), NONE);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_EOI, &val), GP);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_ICR, &val), NONE);
}

static void emulation_status(void **state)
{
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_EMULATION_STATUS, 1), GP);
	assert_int_equal(host_set_msr(HV_X64_MSR_TSC_EMULATION_STATUS, 1), 1);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_EMULATION_STATUS, 0), NONE);
	assert_int_equal(host_get_msr(HV_X64_MSR_TSC_EMULATION_STATUS), 0);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_REENLIGHTENMENT_CONTROL, 0x100ff), NONE);
	assert_int_equal(host_get_msr(HV_X64_MSR_REENLIGHTENMENT_CONTROL), 0x100ff);
}

static void invariant_tsc(void **state)
{
	const uint32_t invtsc = 1u << 8;
	bool host = guest_cpuid_edx(0x80000007) & invtsc;

	assert_false(host); /* KVM_GET_SUPPORTED_HV_CPUID offers the control, so the bit waits for it */
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 2), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 0), GP);
	host = guest_cpuid_edx(0x80000007) & invtsc;
	assert_int_equal(host_set_msr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 0), 1);
	assert_false(guest_cpuid_edx(0x80000007) & invtsc);
	if (!host)
		skip(); /* the host has no invariant TSC */
}

/* ---- time ---- */

static uint64_t page_time(uint64_t tsc)
{
	const struct hv_reference_tsc_page *p = (void *)(m.mem + PAGE_A);

	return (uint64_t)((unsigned __int128)tsc * p->scale >> 64) + p->offset;
}

static void reference_tsc(void **state)
{
	const struct hv_reference_tsc_page *p = (void *)(m.mem + PAGE_A);
	struct kvm_clock_data clock = { .clock = 5000000000 };
	uint64_t before, now, after;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_TIME_REF_COUNT, 1), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_REFERENCE_TSC, PAGE_A | HV_MSR_PAGE_ENABLE), NONE);
	assert_true(p->sequence && p->scale);
	before = page_time(guest_rdtsc());
	assert_int_equal(guest_rdmsr(HV_X64_MSR_TIME_REF_COUNT, &now), NONE);
	after = page_time(guest_rdtsc());
	assert_true(before <= now && now <= after);
	ok(IOCTL(m.vm, KVM_SET_CLOCK, &clock));
	before = page_time(guest_rdtsc());
	assert_true(before >= 50000000 && before < 50000000 + 100000000); /* 5 s, and at most 10 more */
	assert_int_equal(guest_wrmsr(HV_X64_MSR_REFERENCE_TSC, MEM_SIZE | HV_MSR_PAGE_ENABLE), NONE);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_TIME_REF_COUNT, &now), NONE); /* no page there: the MSR still works */
	assert_true(now >= before && now < before + 600000000);
}

/* A guest that emulates the TSC after a migration sees constant values. */
static void tsc_page_kept(void **state)
{
	struct kvm_clock_data clock = { .clock = 77000000000 };
	struct hv_reference_tsc_page old;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_REFERENCE_TSC, PAGE_A | HV_MSR_PAGE_ENABLE), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_EMULATION_CONTROL, 1), NONE);
	memcpy(&old, m.mem + PAGE_A, sizeof(old));
	ok(IOCTL(m.vm, KVM_SET_CLOCK, &clock));
	guest_rdtsc();
	assert_memory_equal(m.mem + PAGE_A, &old, sizeof(old));
	assert_int_equal(guest_wrmsr(HV_X64_MSR_TSC_EMULATION_CONTROL, 0), NONE);
	ok(IOCTL(m.vm, KVM_SET_CLOCK, &clock));
	guest_rdtsc();
	assert_memory_not_equal(m.mem + PAGE_A, &old, sizeof(old));
}

/* ---- crash, reset, debugger ---- */

static void crash(void **state)
{
	assert_int_equal(host_set_msr(HV_X64_MSR_CRASH_CTL, ~0ull), 1);
	assert_int_equal(host_get_msr(HV_X64_MSR_CRASH_CTL), HV_CRASH_CTL_CRASH_NOTIFY);
	for (uint32_t i = 0; i < HV_CRASH_PARAMS; i++)
		assert_int_equal(guest_wrmsr(HV_X64_MSR_CRASH_P0 + i, 0x1000 + i), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_CRASH_CTL, 0), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY), OTHER_EXIT);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_SYSTEM_EVENT);
	assert_int_equal(m.run->system_event.type, KVM_SYSTEM_EVENT_CRASH);
	for (uint32_t i = 0; i < HV_CRASH_PARAMS; i++)
		assert_int_equal(host_get_msr(HV_X64_MSR_CRASH_P0 + i), 0x1000 + i);
	assert_int_equal(guest_continue(), NONE);
}

static void reset(void **state)
{
	uint64_t val;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_RESET, 0), NONE);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_RESET, &val), NONE);
	assert_int_equal(val, 0);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_RESET, 1), OTHER_EXIT);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_SYSTEM_EVENT);
	assert_int_equal(m.run->system_event.type, KVM_SYSTEM_EVENT_RESET);
}

static void debugger(void **state)
{
	uint64_t val;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_SYNDBG_SEND_BUFFER, 0x3000), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SYNDBG_CONTROL, 0x1234), OTHER_EXIT);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERV);
	assert_int_equal(m.run->hyperv.type, KVM_EXIT_HYPERV_SYNDBG);
	assert_int_equal(m.run->hyperv.u.syndbg.msr, HV_X64_MSR_SYNDBG_CONTROL);
	assert_int_equal(m.run->hyperv.u.syndbg.control, 0x1234);
	assert_int_equal(m.run->hyperv.u.syndbg.send_page, 0x3000);
	m.run->hyperv.u.syndbg.status = 42;
	assert_int_equal(guest_continue(), NONE);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_SYNDBG_STATUS, &val), NONE);
	assert_int_equal(val, 42);
}

static void debugger_absent(void **state)
{
	uint64_t val;

	guest_set_leaf(HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES, 0, 0, 0);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_SYNDBG_STATUS, &val), GP);
	assert_int_equal(host_set_msr(HV_X64_MSR_SYNDBG_STATUS, 3), 1);
	assert_int_equal(host_get_msr(HV_X64_MSR_SYNDBG_STATUS), 3);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(capabilities), T(supported_cpuid), cmocka_unit_test(without_lapic), cmocka_unit_test(no_hyperv_cpuid),
		T(enforced), T(unknown_register), T(index_list), T(hypercall_page), T(vp_index), T(runtime), T(frequencies),
		T(apic_registers), T(emulation_status), T(invariant_tsc), T(reference_tsc), T(tsc_page_kept), T(crash),
		T(reset), T(debugger), T(debugger_absent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
