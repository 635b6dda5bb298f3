/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hyper-V enlightenments: what a guest that runs well on Hyper-V finds here too
 * (Documentation/virt/kvm/api.rst, KVM_CAP_HYPERV*). One file per part:
 *
 *	hyperv.c	life, CPUID, what of it the guest is held to, KVM_HYPERV_EVENTFD
 *	hyperv_msr.c	the table of MSRs
 *	hyperv_clock.c	reference time: the counter and the TSC page
 *	hyperv_synic.c	synthetic interrupt controller
 *	hyperv_stimer.c	synthetic timers
 *	hyperv_hcall.c	hypercalls: the ABI, their table, those that go to user space
 *	hyperv_vpset.c	hypercalls on sets of processors: TLB flushes, IPIs
 *
 * A vCPU gets a struct kvm_vcpu_hv with the first Hyper-V CPUID, MSR or capability and keeps it. Its own
 * thread owns it; other threads read vp_index, SINTs and stimer_pending, which are atomic.
 *
 * Locks: kvm_hv.lock is a device lock (see kvm_host.h); kvm->arch.tsc_write_lock is inside it.
 */
#ifndef KUSE_ARCH_X86_HYPERV_H
#define KUSE_ARCH_X86_HYPERV_H

#include "arch/x86/hyperv_tlfs.h"
#include "arch/x86/x86.h"

struct kvm_vcpu_hv_stimer {
	struct kvm_vcpu *vcpu;
	struct kvm_timer timer;
	u32 index;
	u64 config; /* HV_STIMER_* */
	u64 count;  /* 100 ns: the period, or the time of expiry */
	u64 exp_time; /* reference time of the next expiry; 0: not running */
	bool msg_pending; /* expired, and the message's slot was not free */
};

struct kvm_vcpu_hv_synic {
	u64 version, control, msg_page, evt_page;
	u64 sint[HV_SYNIC_SINT_COUNT];        /* atomic */
	int sint_to_gsi[HV_SYNIC_SINT_COUNT]; /* atomic; -1 none */
	u64 vectors[4], auto_eoi_vectors[4];  /* of the SINTs that are not masked */
	bool active;                          /* atomic */
	bool dont_zero_synic_pages;           /* KVM_CAP_HYPERV_SYNIC2 */
};

struct kvm_vcpu_hv {
	struct kvm_vcpu *vcpu;
	u32 vp_index; /* atomic */
	u64 vp_assist_page;
	u64 runtime_offset;
	struct kvm_vcpu_hv_synic synic;
	struct kvm_vcpu_hv_stimer stimer[HV_SYNIC_STIMER_COUNT];
	u32 stimer_pending; /* atomic: bit per timer that is to be looked at */
	struct kvm_hyperv_exit exit; /* KVM_REQ_HV_EXIT */
	bool enforce_cpuid;
	struct {
		u32 features_eax, features_ebx, features_edx, enlightenments_eax, enlightenments_ebx, syndbg_eax;
	} cpuid;
};

static inline struct kvm_vcpu_hv *to_hv_vcpu(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.hyperv, __ATOMIC_ACQUIRE);
}

static inline struct kvm_hv *to_kvm_hv(struct kvm *kvm)
{
	return &kvm->arch.hyperv;
}

static inline u32 kvm_hv_get_vpindex(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	return hv ? __atomic_load_n(&hv->vp_index, __ATOMIC_RELAXED) : (u32)vcpu->vcpu_idx;
}

/* ---- hyperv.c ---- */
void kvm_hv_init_vm(struct kvm *kvm);
void kvm_hv_destroy_vm(struct kvm *kvm);
int kvm_hv_vcpu_init(struct kvm_vcpu *vcpu); /* 0, -ENOMEM; nothing where it is there already */
void kvm_hv_vcpu_uninit(struct kvm_vcpu *vcpu);
/* Do these entries say that the guest is on Hyper-V? */
bool kvm_cpuid_has_hyperv(const struct kvm_cpuid_entry2 *entries, u32 n);
void kvm_hv_set_cpuid(struct kvm_vcpu *vcpu); /* CPUID was set */
/* The guest may ask for the invariant TSC bit of CPUID, and has not. */
bool kvm_hv_invtsc_suppressed(struct kvm_vcpu *vcpu);
int kvm_hv_set_enforce_cpuid(struct kvm_vcpu *vcpu, bool enforce);
/* KVM_GET_SUPPORTED_HV_CPUID; vcpu is NULL on the system descriptor. */
int kvm_ioctl_get_supported_hv_cpuid(struct kvm_vcpu *vcpu, unsigned long arg);
int kvm_vm_ioctl_hv_eventfd(struct kvm *kvm, const struct kvm_hyperv_eventfd *args);
/* Signals the eventfd of a connection; false: there is none. */
bool kvm_hv_signal_connection(struct kvm *kvm, u32 conn_id);
bool kvm_hv_syndbg_enabled(const struct kvm_vcpu_hv *hv);
/* KVM_EXIT_HYPERV at the next look at the requests. */
void kvm_hv_request_exit(struct kvm_vcpu_hv *hv, const struct kvm_hyperv_exit *exit);
int kvm_hv_leave(struct kvm_vcpu *vcpu); /* that look */

/* ---- hyperv_msr.c: 0, or 1 for #GP ---- */
struct msr_access;
int kvm_hv_msr_get(struct msr_access *a);
int kvm_hv_msr_set(struct msr_access *a);

/* ---- hyperv_clock.c ---- */
u64 kvm_hv_reference_time(struct kvm *kvm); /* 100 ns. Takes kvm_hv.lock */
/* The clock has been set, or TSCs have moved: the page is to be computed anew. True where there is one. */
bool kvm_hv_request_tsc_page_update(struct kvm *kvm);
/* kvm_guest_time_update: the guest's TSC was tsc_timestamp at kvmclock time system_time. */
void kvm_hv_setup_tsc_page(struct kvm_vcpu *vcpu, bool stable, u64 tsc_timestamp, u64 system_time);
bool kvm_hv_tsc_page_wanted(struct kvm *kvm); /* any thread */

/* ---- hyperv_synic.c ---- */
void kvm_hv_synic_init(struct kvm_vcpu_hv_synic *synic);
int kvm_hv_activate_synic(struct kvm_vcpu *vcpu, bool dont_zero_synic_pages);
int kvm_hv_synic_get_msr(struct msr_access *a);
int kvm_hv_synic_set_msr(struct msr_access *a);
bool kvm_hv_synic_active(struct kvm_vcpu_hv *hv);
bool kvm_hv_synic_has_vector(struct kvm_vcpu *vcpu, u8 vector);
bool kvm_hv_synic_auto_eoi_set(struct kvm_vcpu *vcpu, u8 vector);
void kvm_hv_synic_send_eoi(struct kvm_vcpu *vcpu, u8 vector);
/* KVM_IRQ_ROUTING_HV_SINT. > 0 delivered, 0 not accepted, < 0. Any thread. */
int kvm_hv_synic_set_irq(struct kvm *kvm, u32 vpidx, u32 sint);
void kvm_hv_irq_routing_update(struct kvm *kvm);
/* 0; -EAGAIN: the slot is taken, EOM or EOI will tell when it is free; other errors. */
int kvm_hv_synic_deliver(struct kvm_vcpu_hv *hv, u32 sint, const struct hv_timer_message *msg, bool retry);

/* ---- hyperv_stimer.c (own thread) ---- */
void kvm_hv_stimers_init(struct kvm_vcpu_hv *hv);
void kvm_hv_stimers_free(struct kvm_vcpu_hv *hv);
int kvm_hv_stimer_get_msr(struct msr_access *a);
int kvm_hv_stimer_set_msr(struct msr_access *a);
void kvm_hv_process_stimers(struct kvm_vcpu *vcpu);
void kvm_hv_stimers_retry(struct kvm_vcpu_hv *hv, u32 sint); /* that SINT's message slot may be free */
bool kvm_hv_has_stimer_pending(struct kvm_vcpu *vcpu);

/* ---- hyperv_hcall.c ---- */
struct hv_hcall {
	struct kvm_vcpu *vcpu;
	struct kvm_vcpu_hv *hv;
	u64 param;          /* the input value */
	u64 ingpa, outgpa;  /* fast: 16 bytes of input */
	u16 code, var_cnt, rep_cnt, rep_idx;
	bool fast;
	u64 xmm[2 * HV_HYPERCALL_MAX_XMM_REGISTERS];
	u32 consumed;       /* words of xmm, or bytes at ingpa, that were read */
};
bool kvm_hv_hypercall_enabled(struct kvm_vcpu *vcpu);
int kvm_hv_hypercall(struct kvm_vcpu *vcpu);
/* The next n words of variable input; false where there are not so many. */
bool kvm_hv_get_hc_words(struct hv_hcall *hc, u64 *words, u32 n);

/* ---- hyperv_vpset.c: the result value ---- */
u64 kvm_hv_flush_tlb(struct hv_hcall *hc);
u64 kvm_hv_send_ipi(struct hv_hcall *hc);

#endif
