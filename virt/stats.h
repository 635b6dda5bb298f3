/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KUSE_VIRT_STATS_H
#define KUSE_VIRT_STATS_H

#include "virt/kvm_host.h"

/* KVM_GET_STATS_FD: a descriptor in the binary statistics format (Documentation/virt/kvm/api.rst 4.133).
 * It is a memfd; a vCPU's values are refreshed when KVM_RUN returns. */
long kvm_vm_ioctl_get_stats_fd(struct kvm *kvm);
long kvm_vcpu_ioctl_get_stats_fd(struct kvm_vcpu *vcpu);
void kvm_vcpu_stats_publish(struct kvm_vcpu *vcpu);
void kvm_vcpu_stats_free(struct kvm_vcpu *vcpu);

#endif
