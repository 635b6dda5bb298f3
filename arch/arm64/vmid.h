/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMIDs: the tags of a VM's entries in the CPUs' TLBs. There are 2^8 or 2^16 of them, 0 is nobody's; when
 * they are used up a new generation begins: VMs that have a vCPU loaded keep theirs, the others get a new one
 * when they run next, and a vCPU that finds its VM's VMID changed flushes its TLB.
 */
#ifndef KUSE_ARCH_ARM64_VMID_H
#define KUSE_ARCH_ARM64_VMID_H

#include "lib/list.h"
#include "lib/types.h"

struct kvm_vmid {
	u64 id;    /* generation above kvm_arm_vmid_bits, VMID below; atomic. 0: none yet */
	u32 users; /* loaded vCPUs; atomic */
	struct list_head link;
};

extern u32 kvm_arm_vmid_bits; /* 8 or 16; before kvm_arm_vmid_alloc_init */

int kvm_arm_vmid_alloc_init(const char **verdict, const char **remedy);
void kvm_arm_vmid_alloc_free(void);

void kvm_arm_vmid_register(struct kvm_vmid *vmid);
void kvm_arm_vmid_unregister(struct kvm_vmid *vmid); /* no users */
/* A vCPU of the VM is loaded: its VMID, valid and its alone until kvm_arm_vmid_put. 0 where all are in use by
 * loaded VMs: then nothing in the TLB may be kept. Any thread; no lock in the usual case. */
u16 kvm_arm_vmid_update(struct kvm_vmid *vmid);
void kvm_arm_vmid_put(struct kvm_vmid *vmid);

#endif
