/* SPDX-License-Identifier: Apache-2.0 */
/* The partition-wide part of the Hyper-V enlightenments, in struct kvm_arch. Owned by arch/x86/hyperv*.c. */
#ifndef KUSE_ARCH_X86_KVM_ARCH_HYPERV_H
#define KUSE_ARCH_X86_KVM_ARCH_HYPERV_H

#include <pthread.h>
#include "lib/list.h"
#include "lib/types.h"

enum hv_tsc_page_status {
	HV_TSC_PAGE_UNSET = 0,     /* not enabled */
	HV_TSC_PAGE_GUEST_CHANGED, /* the guest has enabled it; to be filled */
	HV_TSC_PAGE_HOST_CHANGED,  /* user space has, or the clock was set; to be filled anew */
	HV_TSC_PAGE_SET,           /* valid */
	HV_TSC_PAGE_BROKEN,        /* cannot be valid: no memory there, no stable TSC */
};

struct kvm_hv_syndbg {
	u64 control, status, send_page, recv_page, pending_page, options;
};

struct kvm_hv {
	pthread_mutex_t lock; /* all of this, but what is said to be atomic */
	u64 guest_os_id;      /* atomic: every hypercall looks whether there is one */
	u64 hypercall;
	u64 tsc_page;
	u32 tsc_page_status;  /* enum hv_tsc_page_status */
	u64 tsc_scale, tsc_offset; /* of the page, while it is SET */
	u64 crash_param[5], crash_ctl;
	u64 reenlightenment_control, tsc_emulation_control, tsc_emulation_status;
	u64 invtsc_control;   /* atomic: CPUID reads it */
	struct kvm_hv_syndbg syndbg;
	struct list_head connections; /* KVM_HYPERV_EVENTFD */
};

#endif
