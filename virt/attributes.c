/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_SET_MEMORY_ATTRIBUTES (api.rst, 4.141) and KVM_PRE_FAULT_MEMORY (4.143). */
#include "virt/vm.h"

u64 kvm_supported_mem_attributes(struct kvm *kvm)
{
	return kvm_arch_has_private_mem(kvm) ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

/* The CPU keeps the one attribute there is, page by page, whether there is a slot or not. */
long kvm_vm_ioctl_set_mem_attributes(struct kvm *kvm, const struct kvm_memory_attributes *attrs)
{
	long ret;

	if (!kvm_arch_has_private_mem(NULL)) /* the architecture does not have the ioctl */
		return -EINVAL;
	if (attrs->flags || attrs->attributes & ~kvm_supported_mem_attributes(kvm))
		return -EINVAL;
	if (!attrs->size || attrs->address + attrs->size < attrs->address)
		return -EINVAL;
	if ((attrs->address | attrs->size) & ~PAGE_MASK)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	ret = hyp_as_set_private(kvm->as, attrs->address, attrs->size, attrs->attributes != 0);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

static long pre_fault_page(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	int idx;
	long ret;
	bool private;

	idx = srcu_read_lock(&vcpu->kvm->srcu);
	ret = hyp_as_touch(vcpu->kvm->as, gpa, &private);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}

/* Pages until the first that can't be had; *range is what is left. An error counts where it was the first. */
static long pre_fault(struct kvm_vcpu *vcpu, struct kvm_pre_fault_memory *range)
{
	u64 full_size = range->size;

	while (range->size) {
		long ret = pre_fault_page(vcpu, range->gpa);

		if (ret)
			return full_size == range->size ? ret : 0;
		range->size -= PAGE_SIZE;
		range->gpa += PAGE_SIZE;
	}
	return 0;
}

long kvm_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct kvm_pre_fault_memory range;
	long ret;

	if (!kvm_vm_ioctl_check_extension_generic(vcpu->kvm, KVM_CAP_PRE_FAULT_MEMORY))
		return -EINVAL;
	if (copy_from_client(&range, arg, sizeof(range)))
		return -EFAULT;
	if (range.flags || (range.gpa | range.size) & ~PAGE_MASK || range.gpa + range.size <= range.gpa)
		ret = -EINVAL;
	else
		ret = pre_fault(vcpu, &range);
	return copy_to_client(arg, &range, sizeof(range)) ? -EFAULT : ret; /* also when it failed */
}
