/* SPDX-License-Identifier: Apache-2.0 */
/* What Xen guests need of a VM and of a vCPU. Owned by arch/x86/xen*.c. */
#ifndef KUSE_ARCH_X86_KVM_ARCH_XEN_H
#define KUSE_ARCH_X86_KVM_ARCH_XEN_H

#include <pthread.h>
#include "lib/types.h"
#include "uapi/kuse_kvm.h"

struct xen_evtchnfd;

/*
 * Where a structure shared with the guest is: 0: nowhere, address | XEN_AT_GPA, or client's address |
 * XEN_AT_HVA.
 * One atomic word: who reads it holds kvm->srcu for as long as it uses the address; who changes it waits for
 * those before it tells user space. Shared structures lie within one page, on 4 bytes.
 */
#define XEN_AT_GPA 1ull
#define XEN_AT_HVA 2ull

#define XEN_NOWHERE (~0ull) /* of plain guest-physical addresses; KVM_XEN_INVALID_GPA */
#define XEN_NR_RUNSTATES 4

struct kvm_xen {
	pthread_mutex_t xen_lock; /* attributes, the table of ports. Outside of kvm->srcu */
	struct kvm_xen_hvm_config config; /* msr and flags are read by vCPUs without the lock */
	u32 xen_version;
	bool long_mode, runstate_update_flag;
	u8 upcall_vector;
	u64 shared_info;
	struct xen_evtchnfd **evtchn_ports; /* by sending port; NULL until one is bound. Readers: kvm->srcu */
	u64 poll_mask[(288 + 63) / 64];     /* atomic: vCPUs in SCHEDOP_poll, by index */
};

struct kvm_vcpu_xen {
	u64 hypercall_rip;
	u32 vcpu_id; /* Xen's */
	u8 upcall_vector;
	u64 vcpu_info;
	gpa_t time_info, runstate_info;
	u64 evtchn_pending_sel; /* atomic: what could not be put into the guest's vcpu_info */

	u32 current_runstate;
	u64 runstate_entry_time, runstate_times[XEN_NR_RUNSTATES];
	u64 last_steal;

	u32 timer_virq;    /* port; 0: timers are user space's */
	u64 timer_expires; /* atomic; guest's ns, 0: not armed */
	bool timer_pending; /* atomic: expired, not delivered */
	struct kvm_timer timer, poll_timer;
	u32 poll_evtchn; /* atomic: port, 0: none, ~0: several */
};

#endif
