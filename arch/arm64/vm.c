/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine on arm64, and the ioctls of the kvm and vm descriptors that are arm64's. */
#include <stdlib.h>
#include "arch/arm64/arm64.h"

/* ---- life ------------------------------------------------------------------------------------------ */

#define IPA_SIZE_DEFAULT 40u /* of type 0: what VMs had before it could be chosen */
#define IPA_SIZE_MIN 32u

/* KVM_CREATE_VM's type: KVM_VM_TYPE_ARM_IPA_SIZE and nothing else. */
static int ipa_size(unsigned long type, u8 *bits)
{
	u32 size = type & KVM_VM_TYPE_ARM_IPA_SIZE_MASK;

	if (type & ~KVM_VM_TYPE_ARM_IPA_SIZE_MASK)
		return -EINVAL;
	if (!size)
		size = IPA_SIZE_DEFAULT;
	if (size < IPA_SIZE_MIN || size > get_kvm_ipa_limit())
		return -EINVAL;
	*bits = (u8)size;
	return 0;
}

int kvm_arch_init_vm(struct kvm *kvm, unsigned long type)
{
	int err = ipa_size(type, &kvm->arch.ipa_bits);

	if (err)
		return err;
	pthread_mutex_init(&kvm->arch.config_lock, NULL);
	kvm_arm_vmid_register(&kvm->arch.vmid);
	kvm_vgic_early_init(kvm);
	kvm_timer_init_vm(kvm);
	kvm_arm_init_hypercalls(kvm);
	kvm->max_vcpus = kvm_vgic_get_max_vcpus();
	return 0;
}

void kvm_arch_pre_destroy_vm(struct kvm *kvm)
{
	(void)kvm;
}

void kvm_arch_destroy_vm(struct kvm *kvm)
{
	kvm_vgic_destroy(kvm);
	kvm_arm_teardown_hypercalls(kvm);
	kvm_pmu_destroy_vm(kvm);
	kvm_arm_vmid_unregister(&kvm->arch.vmid);
	pthread_mutex_destroy(&kvm->arch.config_lock);
}

bool kvm_vm_has_ran_once(struct kvm *kvm)
{
	return __atomic_load_n(&kvm->arch.has_ran_once, __ATOMIC_ACQUIRE);
}

u32 kvm_phys_shift(struct kvm *kvm)
{
	return kvm->arch.ipa_bits;
}

int kvm_arch_nr_memslot_as_ids(struct kvm *kvm)
{
	return KVM_MAX_NR_ADDRESS_SPACES;
}

bool kvm_arch_has_private_mem(struct kvm *kvm)
{
	return false;
}

u32 kvm_arch_valid_mem_flags(void)
{
	return KVM_MEM_READONLY;
}

/* Linux: kvm_arch_prepare_memory_region, "out of the VM's physical address space". */
int kvm_arch_check_memory_region(struct kvm *kvm, gpa_t gpa, u64 size)
{
	return gpa + size > 1ull << kvm->arch.ipa_bits ? -EFAULT : 0;
}

/* ---- the rest of the VM stands still --------------------------------------------------------------- */

void kvm_arm_halt_guest(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		__atomic_add_fetch(&vcpu->arch.pause, 1, __ATOMIC_SEQ_CST);
	kvm_make_all_cpus_request(kvm, KVM_REQ_SLEEP);
}

void kvm_arm_resume_guest(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (!__atomic_sub_fetch(&vcpu->arch.pause, 1, __ATOMIC_SEQ_CST)) {
			kvm_make_request(KVM_REQ_UNBLOCK, vcpu);
			kvm_vcpu_wake_up(vcpu);
		}
	}
}

/* ---- ioctls ---------------------------------------------------------------------------------------- */

static long vm_create_irqchip(void *obj, void *data, unsigned long arg)
{
	struct kvm *kvm = obj;
	long ret;

	pthread_mutex_lock(&kvm->lock);
	ret = kvm_vgic_create(kvm, KVM_DEV_TYPE_ARM_VGIC_V2);
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}

static long vm_set_device_addr(void *obj, void *data, unsigned long arg)
{
	struct kvm_arm_device_addr *addr = data;

	/* KVM_ARM_DEVICE_ID_MASK */
	if ((addr->id >> KVM_ARM_DEVICE_ID_SHIFT & 0xffff) != KVM_ARM_DEVICE_VGIC_V2)
		return -ENODEV;
	return kvm_set_legacy_vgic_v2_addr(obj, addr);
}

static long vm_preferred_target(void *obj, void *data, unsigned long arg)
{
	*(struct kvm_vcpu_init *)data = (struct kvm_vcpu_init){ .target = KVM_ARM_TARGET_GENERIC_V8 };
	return 0;
}

static long vm_mte_copy_tags(void *obj, void *data, unsigned long arg)
{
	return -EINVAL; /* no VM has tags */
}

static long vm_set_counter_offset(void *obj, void *data, unsigned long arg)
{
	return kvm_vm_ioctl_set_counter_offset(obj, data);
}

static long vm_has_attr(void *obj, void *data, unsigned long arg)
{
	const struct kvm_device_attr *attr = data;

	return attr->group == KVM_ARM_VM_SMCCC_CTRL ? kvm_vm_smccc_has_attr(obj, attr) : -ENXIO;
}

static long vm_set_attr(void *obj, void *data, unsigned long arg)
{
	const struct kvm_device_attr *attr = data;

	return attr->group == KVM_ARM_VM_SMCCC_CTRL ? kvm_vm_smccc_set_attr(obj, attr) : -ENXIO;
}

static long vm_reg_writable_masks(void *obj, void *data, unsigned long arg)
{
	return kvm_vm_ioctl_get_reg_writable_masks(obj, data);
}

static const struct kvm_ioctl_row vm_ioctls[] = {
	IOCTL_ROW(KVM_CREATE_IRQCHIP, ARG_PLAIN, vm_create_irqchip),
	IOCTL_ROW(KVM_ARM_SET_DEVICE_ADDR, ARG_IN, vm_set_device_addr),
	IOCTL_ROW(KVM_ARM_PREFERRED_TARGET, ARG_OUT, vm_preferred_target),
	IOCTL_ROW(KVM_ARM_MTE_COPY_TAGS, ARG_IN, vm_mte_copy_tags),
	IOCTL_ROW(KVM_ARM_SET_COUNTER_OFFSET, ARG_IN, vm_set_counter_offset),
	IOCTL_ROW(KVM_HAS_DEVICE_ATTR, ARG_IN, vm_has_attr),
	IOCTL_ROW(KVM_SET_DEVICE_ATTR, ARG_IN, vm_set_attr),
	IOCTL_ROW(KVM_ARM_GET_REG_WRITABLE_MASKS, ARG_IN, vm_reg_writable_masks),
};
IOCTL_TABLE('V', vm_ioctls);

long kvm_arch_vm_ioctl(struct kvm *kvm, unsigned int ioctl, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(vm_ioctls, ARRAY_SIZE(vm_ioctls), ioctl);

	return row ? kvm_ioctl_call(row, kvm, arg) : -EINVAL;
}

long kvm_arch_dev_ioctl(unsigned int ioctl, unsigned long arg)
{
	return -EINVAL;
}

/* ---- what clients see of KVM elsewhere ---- */

const struct kvm_module_param *kvm_arch_module_param(unsigned i)
{
	return NULL;
}

/* The program runs on another architecture's host: there is nothing in its CPUID that would tell. */
bool kvm_arch_cpuid_hides_kvm(void)
{
	return false;
}

void kvm_arch_client_cpuid(u32 regs[4], u32 leaf, u32 subleaf)
{
	regs[0] = regs[1] = regs[2] = regs[3] = 0;
}
