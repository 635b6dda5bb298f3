/* SPDX-License-Identifier: Apache-2.0 */
/* What vCPUs spend their time on, sampled: kuse_profile_start and _stop (virt/sys.h). */
#ifndef KUSE_VIRT_PROFILE_H
#define KUSE_VIRT_PROFILE_H

#include "virt/kvm_host.h"

extern bool kvm_profiling;

/* On the vCPU's thread: from now on this thread is sampled for it. */
void kvm_profile_enter(struct kvm_vcpu *vcpu);
/* The vCPU is about to go. */
void kvm_profile_forget(struct kvm_vcpu *vcpu);
/* Around a fork; the child is not profiled. */
void kvm_profile_before_fork(void);
void kvm_profile_after_fork(bool child);

#endif
