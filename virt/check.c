/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities that do not depend on the architecture. What is not listed is the architecture's. */
#include "virt/vm.h"

static const struct {
	int cap, value;
} generic_caps[] = {
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_USER_MEMORY2, 1 },
	{ KVM_CAP_MEMORY_FAULT_INFO, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_HALT_POLL, 1 },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_IRQ_ROUTING, KVM_MAX_IRQ_ROUTES },
	{ KVM_CAP_NR_MEMSLOTS, KVM_USER_MEM_SLOTS },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_SYSTEM_EVENT_DATA, 1 },
	{ KVM_CAP_DEVICE_CTRL, 1 },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, (int)KVM_DIRTY_RING_MAX_SIZE },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
};

int kvm_vm_ioctl_check_extension_generic(struct kvm *kvm, long ext)
{
	if (ext == KVM_CAP_MEMORY_ATTRIBUTES)
		return (int)kvm_supported_mem_attributes(kvm);
	if (ext == KVM_CAP_MULTI_ADDRESS_SPACE && kvm && KVM_MAX_NR_ADDRESS_SPACES > 1)
		return kvm_arch_nr_memslot_as_ids(kvm);
	if (ext == KVM_CAP_GUEST_MEMFD)
		return kvm_arch_has_private_mem(kvm);
	for (size_t i = 0; i < ARRAY_SIZE(generic_caps); i++)
		if (generic_caps[i].cap == ext)
			return generic_caps[i].value;
	return kvm_vm_ioctl_check_extension(kvm, ext);
}

static int enable_manual_dirty_log(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (cap->flags || (cap->args[0] & ~allowed))
		return -EINVAL;
	kvm->manual_dirty_log_protect = cap->args[0];
	return 0;
}

/* For an architecture whose devices write memory without a vCPU (arm64's ITS): what they write is in the
 * bitmap. */
static int enable_ring_with_bitmap(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	int ret = -EINVAL;

	if (!kvm_vm_ioctl_check_extension_generic(kvm, cap->cap) || !kvm->dirty_ring_size || cap->flags)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	if (kvm_are_all_memslots_empty(kvm)) {
		kvm->dirty_ring_with_bitmap = true;
		ret = 0;
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

int kvm_vm_ioctl_enable_cap_generic(struct kvm *kvm, struct kvm_enable_cap *cap)
{
	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_dirty_log(kvm, cap);
	case KVM_CAP_HALT_POLL:
		if (cap->flags || cap->args[0] != (u32)cap->args[0])
			return -EINVAL;
		kvm_set_max_halt_poll_ns(kvm, (u32)cap->args[0]);
		return 0;
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		if (!kvm_vm_ioctl_check_extension_generic(kvm, cap->cap))
			return -EINVAL;
		return (int)kvm_vm_ioctl_enable_dirty_log_ring(kvm, (u32)cap->args[0]);
	case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
		return enable_ring_with_bitmap(kvm, cap);
	default:
		return kvm_vm_ioctl_enable_cap(kvm, cap);
	}
}
