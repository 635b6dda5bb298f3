/* SPDX-License-Identifier: Apache-2.0 */
/* The process KVM lives in: forks of it, and its threads' signals. */
#ifndef KUSE_VIRT_PROCESS_H
#define KUSE_VIRT_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include "lib/types.h"

/* Identifies the address space: another number in a forked child, the same in a vfork child or a thread.
 * Linux: current->mm. */
u32 kvm_current_mm(void);
/* False in a child that shares our memory but not our descriptors (vfork). */
bool kvm_owns_descriptors(void);
int kvm_process_init(void);
void kvm_client_init(void); /* client.c */
void kvm_client_before_fork(void);
void kvm_client_after_fork(bool child);

/* Around every call of sys.h: a client's handler does not run between them (kuse_signal_defer). */
void kvm_client_enter(void);
void kvm_client_leave(void);
/* A handler has been put off that this thread has not run yet: for Linux a pending signal. */
bool kvm_client_signal_pending(void);
/* The mask of KVM_SET_SIGNAL_MASK, for the length of a KVM_RUN. */
void kvm_sigset_activate(u64 sigset);
void kvm_sigset_deactivate(void);

#endif
