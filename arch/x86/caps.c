/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_CHECK_EXTENSION and KVM_ENABLE_CAP of x86. What is not in the table is not offered. */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "arch/x86/xen.h"

#define QUIRKS_KNOWN 0x7full
#define X2APIC_API_FLAGS (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
#define MSR_EXIT_REASONS (KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)
#define DISABLE_EXITS (KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_CSTATE)
#define DISABLE_EXITS_KNOWN (DISABLE_EXITS | KVM_X86_DISABLE_EXITS_MWAIT)
#define GUESTDBG_OFFERED (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
			  KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_BLOCKIRQ)
#define MAX_NR_RESERVED_IOAPIC_PINS KVM_MAX_IRQ_ROUTES
#ifndef KVM_CAP_PMU_EVENT_MASKED_EVENTS
#define KVM_CAP_PMU_EVENT_MASKED_EVENTS 226
#endif
#ifndef KVM_CAP_X86_GUEST_MODE
#define KVM_CAP_X86_GUEST_MODE 238
#endif
#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235
#endif
#ifndef KVM_CAP_X86_APIC_BUS_CYCLES_NS
#define KVM_CAP_X86_APIC_BUS_CYCLES_NS 237
#endif

static const struct {
	int cap, value;
} x86_caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_PCI_SEGMENT, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XSAVE2, X86_XSAVE_MAX },
	{ KVM_CAP_XCRS, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_TSC_CONTROL, 1 },
	{ KVM_CAP_VM_TSC_CONTROL, 1 },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, QUIRKS_KNOWN },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, GUESTDBG_OFFERED },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_VAPIC, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS },
	{ KVM_CAP_X86_DISABLE_EXITS, DISABLE_EXITS },
	{ KVM_CAP_MAX_VCPU_ID, KVM_MAX_VCPU_IDS },
	{ KVM_CAP_MCE, KVM_MAX_MCE_BANKS },
	{ KVM_CAP_X2APIC_API, X2APIC_API_FLAGS },
	{ KVM_CAP_STEAL_TIME, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_VM_TYPES, 1 << KVM_X86_DEFAULT_VM | 1 << KVM_X86_SW_PROTECTED_VM },
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1 },
	{ KVM_CAP_LAST_CPU, 1 },
	{ KVM_CAP_MAX_VCPUS, KVM_MAX_VCPUS },
	{ KVM_CAP_PRE_FAULT_MEMORY, 1 },
	{ KVM_CAP_DIRTY_LOG_RING, 65536 * (int)sizeof(struct kvm_dirty_gfn) },
	{ KVM_CAP_X86_GUEST_MODE, 1 }, /* the flag in kvm_run: never set, as there are no nested guests */
	{ KVM_CAP_EXIT_HYPERCALL, KVM_EXIT_HYPERCALL_MASK },
	{ KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 1 },
	{ KVM_CAP_PMU_EVENT_FILTER, 1 }, /* as with enable_pmu=0: checked, and nothing is there to be filtered */
	{ KVM_CAP_PMU_EVENT_MASKED_EVENTS, 1 },
	{ KVM_CAP_X86_SMM, 1 },
	{ KVM_CAP_MULTI_ADDRESS_SPACE, KVM_MAX_NR_ADDRESS_SPACES },
	{ KVM_CAP_HYPERV, 1 },
	{ KVM_CAP_HYPERV_VAPIC, 1 },
	{ KVM_CAP_HYPERV_SPIN, 1 },
	{ KVM_CAP_HYPERV_TIME, 1 },
	{ KVM_CAP_HYPERV_SYNIC, 1 },
	{ KVM_CAP_HYPERV_SYNIC2, 1 },
	{ KVM_CAP_HYPERV_VP_INDEX, 1 },
	{ KVM_CAP_HYPERV_EVENTFD, 1 },
	{ KVM_CAP_HYPERV_TLBFLUSH, 1 },
	{ KVM_CAP_HYPERV_SEND_IPI, 1 },
	{ KVM_CAP_HYPERV_CPUID, 1 },
	{ KVM_CAP_HYPERV_ENFORCE_CPUID, 1 },
	{ KVM_CAP_SYS_HYPERV_CPUID, 1 },
	/* Known and not offered: ASYNC_PF(_INT), HYPERV_ENLIGHTENED_VMCS, HYPERV_DIRECT_TLBFLUSH,
	 * NESTED_STATE, PMU_*, SGX_ATTRIBUTE, X86_BUS_LOCK_EXIT, X86_NOTIFY_VMEXIT. */
};

int kvm_vm_ioctl_check_extension(struct kvm *kvm, long ext)
{
	(void)kvm;
	if (ext == KVM_CAP_NR_VCPUS)
		return (int)MIN(sysconf(_SC_NPROCESSORS_ONLN), (long)KVM_MAX_VCPUS);
	if (ext == KVM_CAP_XEN_HVM)
		return kvm_xen_capability();
	for (size_t i = 0; i < ARRAY_SIZE(x86_caps); i++)
		if (x86_caps[i].cap == ext)
			return x86_caps[i].value;
	return 0;
}

/* ---- KVM_ENABLE_CAP on a VM: each runs with kvm->lock held -------------------------------------------- */

static int enable_quirks(struct kvm *kvm, u64 arg)
{
	kvm->arch.disabled_quirks |= arg & QUIRKS_KNOWN;
	return 0;
}

static int enable_quirks2(struct kvm *kvm, u64 arg)
{
	return arg & ~QUIRKS_KNOWN ? -EINVAL : enable_quirks(kvm, arg);
}

static int enable_split_irqchip(struct kvm *kvm, u64 pins)
{
	int err;

	if (pins > MAX_NR_RESERVED_IOAPIC_PINS)
		return -EINVAL;
	if (irqchip_in_kernel(kvm) || kvm->created_vcpus)
		return -EEXIST;
	err = kvm_setup_empty_irq_routing(kvm);
	if (err)
		return err;
	kvm->arch.nr_reserved_ioapic_pins = (u8)MIN(pins, 255ull);
	__atomic_store_n(&kvm->arch.irqchip_mode, KVM_IRQCHIP_SPLIT, __ATOMIC_RELEASE);
	return 0;
}

static int enable_x2apic_api(struct kvm *kvm, u64 flags)
{
	if (flags & ~(u64)X2APIC_API_FLAGS)
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		kvm->arch.x2apic_format = true;
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		kvm->arch.x2apic_broadcast_quirk_disabled = true;
	return 0;
}

static int enable_disable_exits(struct kvm *kvm, u64 flags)
{
	if (flags & ~(u64)DISABLE_EXITS_KNOWN)
		return -EINVAL;
	kvm->arch.pause_in_guest |= !!(flags & KVM_X86_DISABLE_EXITS_PAUSE);
	kvm->arch.hlt_in_guest |= !!(flags & KVM_X86_DISABLE_EXITS_HLT);
	kvm->arch.cstate_in_guest |= !!(flags & KVM_X86_DISABLE_EXITS_CSTATE);
	return 0;
}

static int enable_platform_info(struct kvm *kvm, u64 on)
{
	kvm->arch.guest_can_read_msr_platform_info = on;
	return 0;
}

static int enable_exception_payload(struct kvm *kvm, u64 on)
{
	kvm->arch.exception_payload_enabled = on;
	return 0;
}

static int enable_triple_fault_event(struct kvm *kvm, u64 on)
{
	kvm->arch.triple_fault_event = on;
	return 0;
}

static int enable_user_space_msr(struct kvm *kvm, u64 mask)
{
	if (mask & ~(u64)MSR_EXIT_REASONS)
		return -EINVAL;
	kvm->arch.user_space_msr_mask = (u32)mask;
	return 0;
}

static int enable_exit_on_emulation_failure(struct kvm *kvm, u64 on)
{
	if (on & ~1ull)
		return -EINVAL;
	kvm->arch.exit_on_emulation_error = on;
	return 0;
}

static int enable_max_vcpu_id(struct kvm *kvm, u64 max)
{
	if (max > KVM_MAX_VCPU_IDS || (u64)kvm->arch.bsp_vcpu_id > max)
		return -EINVAL;
	if (kvm->arch.max_vcpu_ids)
		return kvm->arch.max_vcpu_ids == max ? 0 : -EINVAL;
	kvm->arch.max_vcpu_ids = (u32)max;
	return 0;
}

static int enable_apic_bus_cycles(struct kvm *kvm, u64 ns)
{
	if (!ns || ns > ~0ull / 0xffffffffull / 128)
		return -EINVAL;
	if (!irqchip_in_kernel(kvm))
		return -ENXIO;
	if (kvm->created_vcpus)
		return -EINVAL;
	kvm->arch.apic_bus_cycle_ns = ns;
	return 0;
}

static int enable_exit_hypercall(struct kvm *kvm, u64 mask)
{
	if (mask & ~(u64)KVM_EXIT_HYPERCALL_MASK)
		return -EINVAL;
	kvm->arch.hypercall_exit_enabled = (u32)mask;
	return 0;
}

/* Checked as Linux does on a CPU that cannot detect bus locks. */
static int enable_bus_lock_exit(struct kvm *kvm, u64 mode)
{
	u64 known = KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT;

	(void)kvm;
	return mode & ~known || mode == known ? -EINVAL : 0;
}

static bool may_boot(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &head, caps) && (caps[0].effective & (1u << CAP_SYS_BOOT));
}

/* There are no huge pages to be split; what is left is who may ask, and when. */
static int enable_disable_nx_huge_pages(struct kvm *kvm, u64 arg)
{
	if (!may_boot())
		return -EPERM;
	return arg || kvm->created_vcpus ? -EINVAL : 0;
}

static const struct {
	u32 cap;
	int (*enable)(struct kvm *kvm, u64 arg);
} x86_enable[] = {
	{ KVM_CAP_DISABLE_QUIRKS, enable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2, enable_quirks2 },
	{ KVM_CAP_SPLIT_IRQCHIP, enable_split_irqchip },
	{ KVM_CAP_X2APIC_API, enable_x2apic_api },
	{ KVM_CAP_X86_DISABLE_EXITS, enable_disable_exits },
	{ KVM_CAP_MSR_PLATFORM_INFO, enable_platform_info },
	{ KVM_CAP_EXCEPTION_PAYLOAD, enable_exception_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, enable_triple_fault_event },
	{ KVM_CAP_X86_USER_SPACE_MSR, enable_user_space_msr },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, enable_exit_on_emulation_failure },
	{ KVM_CAP_MAX_VCPU_ID, enable_max_vcpu_id },
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, enable_apic_bus_cycles },
	{ KVM_CAP_EXIT_HYPERCALL, enable_exit_hypercall },
	{ KVM_CAP_X86_BUS_LOCK_EXIT, enable_bus_lock_exit },
	{ KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, enable_disable_nx_huge_pages },
};

int kvm_vm_ioctl_enable_cap(struct kvm *kvm, struct kvm_enable_cap *cap)
{
	int ret = -EINVAL;

	if (cap->flags)
		return -EINVAL;
	pthread_mutex_lock(&kvm->lock);
	for (size_t i = 0; i < ARRAY_SIZE(x86_enable); i++)
		if (x86_enable[i].cap == cap->cap)
			ret = x86_enable[i].enable(kvm, cap->args[0]);
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}
