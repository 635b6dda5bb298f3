/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine on x86, and the ioctls of the kvm and vm descriptors that are x86's. */
#include <unistd.h>
#include "arch/x86/hyperv.h"
#include "arch/x86/xen.h"

#define KVM_MIN_ALLOC_MMU_PAGES 64

/* ---- life ------------------------------------------------------------------------------------------ */

int kvm_arch_init_vm(struct kvm *kvm, unsigned long type)
{
	if (type != KVM_X86_DEFAULT_VM && type != KVM_X86_SW_PROTECTED_VM)
		return -EINVAL;
	kvm->arch.has_private_mem = type == KVM_X86_SW_PROTECTED_VM;
	pthread_mutex_init(&kvm->arch.apic_map_lock, NULL);
	kvm->arch.irq_sources_bitmap = BIT_ULL(KVM_USERSPACE_IRQ_SOURCE_ID) |
				       BIT_ULL(KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID);
	kvm->arch.guest_can_read_msr_platform_info = true;
	kvm_clock_init_vm(kvm);
	kvm_hv_init_vm(kvm);
	kvm_xen_init_vm(kvm);
	return 0;
}

/* Before the routing goes: nothing may raise an interrupt any more. */
void kvm_arch_pre_destroy_vm(struct kvm *kvm)
{
	if (kvm->arch.vpit)
		kvm_free_pit(kvm);
}

void kvm_arch_destroy_vm(struct kvm *kvm)
{
	if (kvm->arch.vioapic)
		kvm_ioapic_destroy(kvm);
	if (kvm->arch.vpic)
		kvm_pic_destroy(kvm);
	kvm_apic_map_destroy(kvm);
	kvm_msr_filter_free(kvm);
	kvm_hv_destroy_vm(kvm);
	kvm_xen_destroy_vm(kvm);
	pthread_mutex_destroy(&kvm->arch.apic_map_lock);
}

int kvm_arch_nr_memslot_as_ids(struct kvm *kvm)
{
	/* The second one is what a CPU in SMM sees; which of them would be private is nowhere said. */
	return kvm_arch_has_private_mem(kvm) ? 1 : KVM_MAX_NR_ADDRESS_SPACES;
}

bool kvm_arch_has_private_mem(struct kvm *kvm)
{
	return !kvm || kvm->arch.has_private_mem;
}

int kvm_arch_check_memory_region(struct kvm *kvm, gpa_t gpa, u64 size)
{
	return 0;
}

u32 kvm_arch_valid_mem_flags(void)
{
	return KVM_MEM_READONLY;
}

/* ---- the in-kernel interrupt controllers ---- */

/* kvm->lock held. */
static int create_irqchip(struct kvm *kvm)
{
	int err;

	if (irqchip_in_kernel(kvm))
		return -EEXIST;
	if (kvm->created_vcpus)
		return -EINVAL;
	err = kvm_pic_init(kvm);
	if (err)
		return err;
	err = kvm_ioapic_init(kvm);
	if (err) {
		kvm_pic_destroy(kvm);
		return err;
	}
	err = kvm_setup_default_irq_routing(kvm);
	if (err) {
		kvm_ioapic_destroy(kvm);
		kvm_pic_destroy(kvm);
		return err;
	}
	__atomic_store_n(&kvm->arch.irqchip_mode, KVM_IRQCHIP_KERNEL, __ATOMIC_RELEASE);
	return 0;
}

static int create_pit(struct kvm *kvm, u32 flags)
{
	if (kvm->arch.vpit)
		return -EEXIST;
	if (!pic_in_kernel(kvm))
		return -ENOENT;
	kvm->arch.vpit = kvm_create_pit(kvm, flags);
	return kvm->arch.vpit ? 0 : -ENOMEM;
}

bool kvm_arch_irqfd_allowed(struct kvm *kvm, bool resample)
{
	return resample ? irqchip_kernel(kvm) : irqchip_in_kernel(kvm);
}

static int irqchip_call(struct kvm *kvm, int (*fn)(struct kvm *, struct kvm_irqchip *), void *data)
{
	return irqchip_kernel(kvm) ? fn(kvm, data) : -ENXIO;
}

static int set_boot_cpu_id(struct kvm *kvm, unsigned long id)
{
	if (kvm->created_vcpus)
		return -EBUSY;
	if (id > KVM_MAX_VCPU_IDS || (kvm->arch.max_vcpu_ids && id > kvm->arch.max_vcpu_ids))
		return -EINVAL;
	kvm->arch.bsp_vcpu_id = (int)id;
	return 0;
}

static int set_identity_map_addr(struct kvm *kvm, u64 addr)
{
	if (kvm->created_vcpus)
		return -EINVAL;
	kvm->arch.identity_map_addr = addr;
	return 0;
}

/* Only Intel's real-mode virtualization needs the page; here it is just remembered. */
static int set_tss_addr(struct kvm *kvm, unsigned long addr)
{
	if (addr > (unsigned int)(-3 * (int)PAGE_SIZE))
		return -EINVAL;
	kvm->arch.tss_addr = addr;
	kvm->arch.tss_addr_set = true;
	return 0;
}

static int set_vm_tsc_khz(struct kvm *kvm, unsigned long khz)
{
	if ((u32)khz >= KVM_MAX_GUEST_TSC_KHZ)
		return -EINVAL;
	__atomic_store_n(&kvm->arch.default_tsc_khz, (u32)khz ? (u32)khz : kvm_host_tsc_khz(),
			 __ATOMIC_RELAXED);
	return 0;
}

static long get_vm_tsc_khz(struct kvm *kvm)
{
	u32 khz = __atomic_load_n(&kvm->arch.default_tsc_khz, __ATOMIC_RELAXED);

	return khz ? khz : kvm_host_tsc_khz();
}

static int set_nr_mmu_pages(unsigned long n)
{
	return n < KVM_MIN_ALLOC_MMU_PAGES ? -EINVAL : 0; /* no shadow pages to limit */
}

/* ---- rows: `call` runs with kvm->lock held where LOCKED ---- */

#define VM_ROW(fn, call)                                             \
	static long fn(void *obj, void *data, unsigned long arg)     \
	{                                                            \
		struct kvm *kvm = obj;                               \
		(void)kvm, (void)data, (void)arg;                    \
		return call;                                         \
	}
#define VM_ROW_LOCKED(fn, call)                                      \
	static long fn(void *obj, void *data, unsigned long arg)     \
	{                                                            \
		struct kvm *kvm = obj;                               \
		long ret;                                            \
		(void)data, (void)arg;                               \
		pthread_mutex_lock(&kvm->lock);                      \
		ret = call;                                          \
		pthread_mutex_unlock(&kvm->lock);                    \
		return ret;                                          \
	}

VM_ROW_LOCKED(vm_create_irqchip, create_irqchip(kvm))
VM_ROW_LOCKED(vm_create_pit, create_pit(kvm, KVM_PIT_SPEAKER_DUMMY))
VM_ROW_LOCKED(vm_create_pit2, create_pit(kvm, ((struct kvm_pit_config *)data)->flags))
VM_ROW_LOCKED(vm_get_irqchip, irqchip_call(kvm, kvm_vm_ioctl_get_irqchip, data))
VM_ROW_LOCKED(vm_set_irqchip, irqchip_call(kvm, kvm_vm_ioctl_set_irqchip, data))
VM_ROW_LOCKED(vm_get_pit, kvm->arch.vpit ? kvm_vm_ioctl_get_pit(kvm, data) : -ENXIO)
VM_ROW_LOCKED(vm_set_pit, kvm->arch.vpit ? kvm_vm_ioctl_set_pit(kvm, data) : -ENXIO)
VM_ROW_LOCKED(vm_get_pit2, kvm->arch.vpit ? kvm_vm_ioctl_get_pit2(kvm, data) : -ENXIO)
VM_ROW_LOCKED(vm_set_pit2, kvm->arch.vpit ? kvm_vm_ioctl_set_pit2(kvm, data) : -ENXIO)
VM_ROW_LOCKED(vm_reinject, kvm->arch.vpit ? kvm_vm_ioctl_reinject(kvm, data) : -ENXIO)
VM_ROW_LOCKED(vm_set_boot_cpu_id, set_boot_cpu_id(kvm, arg))
VM_ROW_LOCKED(vm_set_identity_map_addr, set_identity_map_addr(kvm, *(u64 *)data))
VM_ROW(vm_set_tss_addr, set_tss_addr(kvm, arg))
VM_ROW(vm_set_nr_mmu_pages, set_nr_mmu_pages(arg))
VM_ROW(vm_get_clock, kvm_get_clock(kvm, data))
VM_ROW(vm_set_clock, kvm_set_clock(kvm, data))
VM_ROW(vm_set_tsc_khz, set_vm_tsc_khz(kvm, arg))
VM_ROW(vm_get_tsc_khz, get_vm_tsc_khz(kvm))
VM_ROW(vm_set_pmu_event_filter, kvm_vm_ioctl_set_pmu_event_filter(arg))
VM_ROW(vm_hv_eventfd, kvm_vm_ioctl_hv_eventfd(kvm, data))
VM_ROW(vm_set_msr_filter, kvm_vm_ioctl_set_msr_filter(kvm, arg))

static const struct kvm_ioctl_row vm_ioctls[] = {
	IOCTL_ROW(KVM_CREATE_IRQCHIP, ARG_PLAIN, vm_create_irqchip),
	IOCTL_ROW(KVM_CREATE_PIT, ARG_PLAIN, vm_create_pit),
	IOCTL_ROW(KVM_CREATE_PIT2, ARG_IN, vm_create_pit2),
	IOCTL_ROW(KVM_GET_IRQCHIP, ARG_IN | ARG_OUT, vm_get_irqchip),
	IOCTL_ROW(KVM_SET_IRQCHIP, ARG_IN, vm_set_irqchip),
	IOCTL_ROW(KVM_GET_PIT, ARG_IN | ARG_OUT, vm_get_pit),
	IOCTL_ROW(KVM_SET_PIT, ARG_IN, vm_set_pit),
	IOCTL_ROW(KVM_GET_PIT2, ARG_OUT, vm_get_pit2),
	IOCTL_ROW(KVM_SET_PIT2, ARG_IN, vm_set_pit2),
	IOCTL_ROW(KVM_REINJECT_CONTROL, ARG_IN, vm_reinject),
	IOCTL_ROW(KVM_SET_BOOT_CPU_ID, ARG_PLAIN, vm_set_boot_cpu_id),
	IOCTL_ROW(KVM_SET_IDENTITY_MAP_ADDR, ARG_IN, vm_set_identity_map_addr),
	IOCTL_ROW(KVM_SET_TSS_ADDR, ARG_PLAIN, vm_set_tss_addr),
	IOCTL_ROW(KVM_SET_NR_MMU_PAGES, ARG_PLAIN, vm_set_nr_mmu_pages),
	IOCTL_ROW(KVM_GET_CLOCK, ARG_OUT, vm_get_clock),
	IOCTL_ROW(KVM_SET_CLOCK, ARG_IN, vm_set_clock),
	IOCTL_ROW(KVM_SET_TSC_KHZ, ARG_PLAIN, vm_set_tsc_khz),
	IOCTL_ROW(KVM_GET_TSC_KHZ, ARG_PLAIN, vm_get_tsc_khz),
	IOCTL_ROW(KVM_SET_PMU_EVENT_FILTER, ARG_PLAIN, vm_set_pmu_event_filter),
	IOCTL_ROW(KVM_HYPERV_EVENTFD, ARG_IN, vm_hv_eventfd),
	IOCTL_ROW(KVM_X86_SET_MSR_FILTER, ARG_PLAIN, vm_set_msr_filter),
};
IOCTL_TABLE('V', vm_ioctls);

long kvm_arch_vm_ioctl(struct kvm *kvm, unsigned int ioctl, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(vm_ioctls, ARRAY_SIZE(vm_ioctls), ioctl);

	if (!row)
		row = kvm_ioctl_find(kvm_xen_vm_ioctls, kvm_nr_xen_vm_ioctls, ioctl);
	return row ? kvm_ioctl_call(row, kvm, arg) : -ENOTTY;
}

/* ---- kvm fd ---- */

static long dev_get_supported_cpuid(void *obj, void *data, unsigned long arg)
{
	return kvm_dev_ioctl_get_supported_cpuid(arg, false);
}

static long dev_get_emulated_cpuid(void *obj, void *data, unsigned long arg)
{
	return kvm_dev_ioctl_get_supported_cpuid(arg, true);
}

static long dev_get_msr_index_list(void *obj, void *data, unsigned long arg)
{
	return kvm_dev_ioctl_get_msr_index_list(arg, false);
}

static long dev_get_msr_feature_index_list(void *obj, void *data, unsigned long arg)
{
	return kvm_dev_ioctl_get_msr_index_list(arg, true);
}

static long dev_get_supported_hv_cpuid(void *obj, void *data, unsigned long arg)
{
	return kvm_ioctl_get_supported_hv_cpuid(NULL, arg);
}

static long dev_get_msrs(void *obj, void *data, unsigned long arg)
{
	return kvm_dev_ioctl_get_msrs(arg);
}

static long dev_get_mce_cap(void *obj, void *data, unsigned long arg)
{
	*(u64 *)data = KVM_MCE_CAP_SUPPORTED;
	return 0;
}

static bool dev_attr_known(const struct kvm_device_attr *attr)
{
	return !attr->group && attr->attr == KVM_X86_XCOMP_GUEST_SUPP;
}

static long dev_has_attr(void *obj, void *data, unsigned long arg)
{
	return dev_attr_known(data) ? 0 : -ENXIO;
}

static long dev_get_attr(void *obj, void *data, unsigned long arg)
{
	const struct kvm_device_attr *attr = data;
	u64 xcr0 = kvm_supported_xcr0();

	return dev_attr_known(attr) ? copy_to_client(attr->addr, &xcr0, sizeof(xcr0)) : -ENXIO;
}

static const struct kvm_ioctl_row dev_ioctls[] = {
	IOCTL_ROW(KVM_GET_SUPPORTED_CPUID, ARG_PLAIN, dev_get_supported_cpuid),
	IOCTL_ROW(KVM_GET_EMULATED_CPUID, ARG_PLAIN, dev_get_emulated_cpuid),
	IOCTL_ROW(KVM_GET_SUPPORTED_HV_CPUID, ARG_PLAIN, dev_get_supported_hv_cpuid),
	IOCTL_ROW(KVM_GET_MSR_INDEX_LIST, ARG_PLAIN, dev_get_msr_index_list),
	IOCTL_ROW(KVM_GET_MSR_FEATURE_INDEX_LIST, ARG_PLAIN, dev_get_msr_feature_index_list),
	IOCTL_ROW(KVM_GET_MSRS, ARG_PLAIN, dev_get_msrs),
	IOCTL_ROW(KVM_X86_GET_MCE_CAP_SUPPORTED, ARG_OUT, dev_get_mce_cap),
	IOCTL_ROW(KVM_HAS_DEVICE_ATTR, ARG_IN, dev_has_attr),
	IOCTL_ROW(KVM_GET_DEVICE_ATTR, ARG_IN, dev_get_attr),
};
IOCTL_TABLE('D', dev_ioctls);

long kvm_arch_dev_ioctl(unsigned int ioctl, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(dev_ioctls, ARRAY_SIZE(dev_ioctls), ioctl);

	return row ? kvm_ioctl_call(row, NULL, arg) : -EINVAL;
}
