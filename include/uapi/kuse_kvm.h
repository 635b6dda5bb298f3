/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM UAPI of Linux 6.12, our KVM's personality: the installed linux/kvm.h (6.1 on Debian 12)
 * plus definitions of what is newer and offered here. Include this and nothing else.
 */
#ifndef KUSE_UAPI_KVM_H
#define KUSE_UAPI_KVM_H

#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include "uapi/kuse_kvm_mem.h"

/* From arch/x86/include/uapi/asm/kvm.h: how many pins, pages. */
#ifndef KVM_IOAPIC_NUM_PINS
#define KVM_IOAPIC_NUM_PINS 24
#endif

/* KVM's own errno values of the hypercall ABI (linux/kvm_para.h names them KVM_E*). */
#ifndef KVM_ENOSYS
#define KVM_ENOSYS 1000
#endif

/* KVM_CAP_XEN_HVM: newer than 6.1. Their values share the unions' first members. */
#ifndef KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG
#define KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG (1 << 6)
#define KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG 0x5 /* u.runstate_update_flag, a byte as u.vector */
#endif
#ifndef KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA
#define KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE (1 << 7)
#define KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA (1 << 8)
#define KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA 0x6   /* u.shared_info.hva, as .gfn */
#define KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA 0x9 /* u.hva, as u.gpa */
#endif

#endif
