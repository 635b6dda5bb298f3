/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the KVM UAPI for arm64 that are newer than Linux 6.1's headers (6.12's api.rst). Needs the arm64
 * asm/kvm.h. */
#ifndef KUSE_UAPI_KVM_ARM64_H
#define KUSE_UAPI_KVM_ARM64_H

#include <linux/kvm.h>

/* Linux's, used by 6.1's asm/kvm.h */
#ifndef GENMASK
#define GENMASK(high, low) ((~0ull << (low)) & (~0ull >> (63 - (high))))
#endif

#ifndef KVM_DIRTY_LOG_PAGE_OFFSET
#define KVM_DIRTY_LOG_PAGE_OFFSET 64
#endif

#ifndef KVM_CAP_COUNTER_OFFSET
#define KVM_CAP_COUNTER_OFFSET 227
#define KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE 228
#define KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES 229
#define KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES 230
#endif

#ifndef KVM_ARM_VCPU_HAS_EL2
#define KVM_ARM_VCPU_HAS_EL2 7
#endif

/* run->s.regs.device_irq_level */
#ifndef KVM_ARM_DEV_EL1_VTIMER
#define KVM_ARM_DEV_EL1_VTIMER (1 << 0)
#define KVM_ARM_DEV_EL1_PTIMER (1 << 1)
#define KVM_ARM_DEV_PMU (1 << 2)
#endif

/* 4.138 KVM_ARM_SET_COUNTER_OFFSET */
#ifndef KVM_ARM_SET_COUNTER_OFFSET
struct kvm_arm_counter_offset {
	__u64 counter_offset, reserved;
};
#define KVM_ARM_SET_COUNTER_OFFSET _IOW(KVMIO, 0xb5, struct kvm_arm_counter_offset)
#endif

/* 4.139 KVM_ARM_GET_REG_WRITABLE_MASKS */
#ifndef KVM_ARM_GET_REG_WRITABLE_MASKS
struct reg_mask_range {
	__u64 addr;
	__u32 range, reserved[13];
};
#define KVM_ARM_GET_REG_WRITABLE_MASKS _IOR(KVMIO, 0xb6, struct reg_mask_range)
#define KVM_ARM_FEATURE_ID_RANGE 0
#define KVM_ARM_FEATURE_ID_RANGE_SIZE (3 * 8 * 8)
#endif

/* KVM_SET_DEVICE_ATTR on a VM: the SMCCC filter (devices/vm.rst) */
#ifndef KVM_ARM_VM_SMCCC_CTRL
#define KVM_ARM_VM_SMCCC_CTRL 0
#define KVM_ARM_VM_SMCCC_FILTER 0
enum kvm_smccc_filter_action {
	KVM_SMCCC_FILTER_HANDLE = 0,
	KVM_SMCCC_FILTER_DENY,
	KVM_SMCCC_FILTER_FWD_TO_USER,
};
struct kvm_smccc_filter {
	__u32 base, nr_functions;
	__u8 action, pad[15];
};
#define KVM_HYPERCALL_EXIT_SMC (1u << 0)
#define KVM_HYPERCALL_EXIT_16BIT (1u << 1)
#endif

#ifndef KVM_ARM_VCPU_TIMER_IRQ_HVTIMER
#define KVM_ARM_VCPU_TIMER_IRQ_HVTIMER 2
#define KVM_ARM_VCPU_TIMER_IRQ_HPTIMER 3
#endif

#endif
