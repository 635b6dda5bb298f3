/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of a VM's vCPUs, where `kuse stat` can see them (struct kuse_stat_page in virt/sys.h). */
#ifndef KUSE_VIRT_STAT_PAGE_H
#define KUSE_VIRT_STAT_PAGE_H

#include "virt/kvm_host.h"

/* 0 or -ENOMEM. A host that gives no memfd is no failure: this VM counts where nobody sees it. */
int kvm_stat_page_create(struct kvm *kvm);
void kvm_stat_page_destroy(struct kvm *kvm);

/* Gives the vCPU, whose CPU exists, a place for its counters and its CPU's. 0 or -ENOMEM. */
int kvm_stat_page_add(struct kvm_vcpu *vcpu);
void kvm_stat_page_del(struct kvm_vcpu *vcpu);

#endif
