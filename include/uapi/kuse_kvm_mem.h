/* SPDX-License-Identifier: Apache-2.0 */
/* Memory parts of the KVM UAPI that are newer than the installed linux/kvm.h (6.12's api.rst). */
#ifndef KUSE_UAPI_KVM_MEM_H
#define KUSE_UAPI_KVM_MEM_H

#include <linux/kvm.h>

#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_USER_MEMORY2 231
#define KVM_CAP_MEMORY_FAULT_INFO 232
#define KVM_CAP_MEMORY_ATTRIBUTES 233
#define KVM_CAP_GUEST_MEMFD 234

#define KVM_MEM_GUEST_MEMFD (1u << 2)

/* 4.140 KVM_SET_USER_MEMORY_REGION2: begins like struct kvm_userspace_memory_region */
struct kvm_userspace_memory_region2 {
	__u32 slot, flags;
	__u64 guest_phys_addr, memory_size, userspace_addr;
	__u64 guest_memfd_offset;
	__u32 guest_memfd, pad1;
	__u64 pad2[14];
};
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)

/* 4.141 KVM_SET_MEMORY_ATTRIBUTES */
struct kvm_memory_attributes {
	__u64 address, size, attributes, flags;
};
#define KVM_MEMORY_ATTRIBUTE_PRIVATE (1ull << 3)
#define KVM_SET_MEMORY_ATTRIBUTES _IOW(KVMIO, 0xd2, struct kvm_memory_attributes)

/* 4.142 KVM_CREATE_GUEST_MEMFD */
struct kvm_create_guest_memfd {
	__u64 size, flags, reserved[6];
};
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)

#define KVM_EXIT_MEMORY_FAULT 39
#endif

#ifndef KVM_MEMORY_EXIT_FLAG_PRIVATE
#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ull << 3)
#endif

/* kvm_run's member of KVM_EXIT_MEMORY_FAULT, at the place of the union */
struct kvm_run_memory_fault {
	__u64 flags, gpa, size;
};

#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235
#endif
#ifndef KVM_X86_DEFAULT_VM
#define KVM_X86_DEFAULT_VM 0
#endif
#ifndef KVM_X86_SW_PROTECTED_VM
#define KVM_X86_SW_PROTECTED_VM 1
#endif

/* 4.143 KVM_PRE_FAULT_MEMORY */
#ifndef KVM_CAP_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
struct kvm_pre_fault_memory {
	__u64 gpa, size, flags, padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif

#endif
