/* SPDX-License-Identifier: Apache-2.0 */
/* One vCPU: its descriptor, its kvm_run, its thread. */
#ifndef KUSE_VMM_VCPU_H
#define KUSE_VMM_VCPU_H

#include "vmm/vm.h"

struct kvm_cpuid2;

struct vcpu {
	struct vm *vm;
	u32 id; /* = APIC id */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	bool done;       /* atomic: the thread has left its loop */
	u32 inspected;   /* last stuck-check round answered */
};

int vcpus_create(struct vm *vm);
void vcpus_destroy(struct vm *vm);
int vcpus_reset(struct vm *vm);
int vcpus_start(struct vm *vm);
/* Makes every vCPU thread leave KVM_RUN and join it; sets vm->stopping. */
void vcpus_stop(struct vm *vm);
/* Makes every vCPU thread leave KVM_RUN once. */
void vcpus_kick(struct vm *vm);
/* CPU time used by all vCPU threads, ns. */
u64 vcpus_cpu_time(struct vm *vm);
int vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg);

/* x86: cpuid.c reads KVM_GET_SUPPORTED_CPUID once, then sets each vCPU's own copy. */
int cpuid_init(struct vm *vm);
void cpuid_exit(struct vm *vm);
int cpuid_set(struct vcpu *vcpu);
/* Fixes the leaves that differ by vCPU or topology; for tests. */
void cpuid_fixup(struct kvm_cpuid2 *cpuid, u32 id, u32 cpus, bool tsc_deadline);

/* x86: regs.c */
int regs_set(struct vcpu *vcpu);

#endif
