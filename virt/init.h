/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up steps that are the same for every architecture; an architecture's table names them in
 * Linux's order (kvm_arch.h). Signature as struct kvm_init_step. */
#ifndef KUSE_VIRT_INIT_H
#define KUSE_VIRT_INIT_H

#include "virt/kvm_arch.h"

int kvm_mode_check(const char **verdict, const char **remedy); /* KUSE_MODE / early kvm mode parameter */
int kvm_hyp_available(const char **verdict, const char **remedy);
int kvm_hyp_enable(const char **verdict, const char **remedy);
void kvm_hyp_disable(void);
int kvm_uaccess_setup(const char **verdict, const char **remedy); /* after kvm_hyp_enable: in front of its handlers */
void kvm_uaccess_teardown(void);
int kvm_vcpu_cache_init(const char **verdict, const char **remedy);
int kvm_kick_mask_init(const char **verdict, const char **remedy);
int kvm_irqfd_init(const char **verdict, const char **remedy);
int kvm_async_pf_init(const char **verdict, const char **remedy);
int kvm_ops_init(const char **verdict, const char **remedy);
int kvm_vfio_ops_init(const char **verdict, const char **remedy);
int kvm_dev_register(const char **verdict, const char **remedy); /* /dev/kvm becomes visible */
void kvm_dev_deregister(void);
bool kvm_dev_visible(void);

/* Nobody is starting or stopping KVM while a fork copies it. */
void kvm_init_before_fork(void);
void kvm_init_after_fork(void);

#endif
