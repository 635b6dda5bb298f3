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

#endif
