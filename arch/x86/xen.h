/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Xen guests on KVM: KVM_CAP_XEN_HVM. User space plays the hypervisor; KVM does what is hot: the hypercall
 * page and its exits, event channels, timers, run states. Layouts are those of Xen's public headers
 * (xen.h, arch-x86/xen.h, vcpu.h, event_channel.h, sched.h); 32-bit guests have the "compat" ones.
 *
 *	xen.c		KVM_XEN_HVM_CONFIG, VM attributes, hypercall page, access to shared structures
 *	xen_vcpu.c	vCPU attributes, run states, time
 *	xen_evtchn.c	event channels: delivery, routes, ports bound for sending, upcalls
 *	xen_timer.c	the singleshot timer
 *	xen_hypercall.c	the hypercalls that KVM answers, SCHEDOP_poll
 */
#ifndef KUSE_ARCH_X86_XEN_H
#define KUSE_ARCH_X86_XEN_H

#include "arch/x86/x86.h"

/* The shared info page. */
#define XEN_SHINFO_EVTCHN_PENDING(lm) ((lm) ? 0x800u : 0x800u)
#define XEN_SHINFO_EVTCHN_MASK(lm) ((lm) ? 0xa00u : 0x880u)
#define XEN_SHINFO_WC(lm) ((lm) ? 0xc00u : 0x900u)         /* version, sec, nsec */
#define XEN_SHINFO_WC_SEC_HI(lm) ((lm) ? 0xc0cu : 0x924u)
#define XEN_NR_PORTS(lm) ((lm) ? 4096u : 1024u)            /* of the 2-level ABI */

/* struct vcpu_info: 64 bytes. */
#define XEN_VCPU_INFO_SIZE 64u
#define XEN_VCPU_INFO_UPCALL_PENDING 0u
#define XEN_VCPU_INFO_PENDING_SEL(lm) ((lm) ? 8u : 4u)
#define XEN_VCPU_INFO_TIME 32u
#define XEN_TIME_INFO_SIZE 32u

enum { XEN_RUNSTATE_RUNNING, XEN_RUNSTATE_RUNNABLE, XEN_RUNSTATE_BLOCKED, XEN_RUNSTATE_OFFLINE };

/* ---- which guests ---- */
static inline bool kvm_xen_msr_enabled(struct kvm *kvm)
{
	return unlikely(__atomic_load_n(&kvm->arch.xen.config.msr, __ATOMIC_RELAXED));
}

static inline bool kvm_xen_hypercall_enabled(struct kvm *kvm)
{
	return kvm_xen_msr_enabled(kvm) && (kvm->arch.xen.config.flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
}

static inline bool kvm_xen_timer_enabled(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.xen.timer_virq;
}

/* ---- xen.c ---- */
int kvm_xen_capability(void);
void kvm_xen_init_vm(struct kvm *kvm);
void kvm_xen_destroy_vm(struct kvm *kvm);
/* A write to the MSR that KVM_XEN_HVM_CONFIG names. 0, 1: #GP, < 0: errno of KVM_RUN. */
int kvm_xen_write_hypercall_page(struct kvm_vcpu *vcpu, u64 data);
extern const struct kvm_ioctl_row kvm_xen_vm_ioctls[];
extern const size_t kvm_nr_xen_vm_ioctls;

/* `*at` is set to an address and who may still use the old one is waited for. 0, -EINVAL (it leaves its
 * page), -EFAULT (nothing to write to there; it is remembered all the same). xen_lock held. */
int xen_activate_gpa(struct kvm *kvm, u64 *at, gpa_t gpa, u32 len);
int xen_activate_hva(struct kvm *kvm, u64 *at, u64 hva, u32 len);
void xen_deactivate(struct kvm *kvm, u64 *at);
u64 xen_gpa_of(u64 at); /* or XEN_NOWHERE */
u64 xen_hva_of(u64 at); /* or 0 */
/* 0, -EINVAL where it is nowhere, -EFAULT. */
int xen_read(struct kvm *kvm, const u64 *at, u32 offset, void *data, u32 len);
int xen_write(struct kvm *kvm, const u64 *at, u32 offset, const void *data, u32 len);
/* Bit `nr` of the bitmap at offset. *was: it had been set. */
int xen_test_and_set_bit(struct kvm *kvm, const u64 *at, u32 offset, u32 nr, bool *was);
int xen_test_bit(struct kvm *kvm, const u64 *at, u32 offset, u32 nr, bool *is);

/* ---- xen_vcpu.c ---- */
void kvm_xen_init_vcpu(struct kvm_vcpu *vcpu);
void kvm_xen_destroy_vcpu(struct kvm_vcpu *vcpu);
extern const struct kvm_ioctl_row kvm_xen_vcpu_ioctls[];
extern const size_t kvm_nr_xen_vcpu_ioctls;
void kvm_xen_update_runstate(struct kvm_vcpu *vcpu, u32 state);
/* Is there something to be told the time? */
bool kvm_xen_time_wanted(struct kvm_vcpu *vcpu);
/* time: struct pvclock_vcpu_time_info, whose version is the guest's business. */
void kvm_xen_update_time(struct kvm_vcpu *vcpu, const void *time);

/* ---- xen_evtchn.c ---- */
struct xen_evtchn {
	u32 port, vcpu_id;
};
/* > 0: delivered, 0: was pending already, -ENOTCONN: masked, other errors: no such port, vCPU, page. */
int kvm_xen_set_evtchn(struct kvm *kvm, const struct xen_evtchn *e);
int kvm_xen_hvm_evtchn_send(struct kvm *kvm, const struct kvm_irq_routing_xen_evtchn *uxe);
int kvm_xen_setup_evtchn(struct kvm_kernel_irq_routing_entry *e, const struct kvm_irq_routing_entry *ue);
int kvm_xen_setattr_evtchn(struct kvm *kvm, const struct kvm_xen_hvm_attr *data);
void kvm_xen_release_evtchns(struct kvm *kvm);
/* EVTCHNOP_send from the guest. False: for user space. */
bool kvm_xen_evtchn_send(struct kvm *kvm, u32 port);
/* The HVM-wide upcall vector is to be injected. Own thread. */
bool __kvm_xen_has_interrupt(struct kvm_vcpu *vcpu);
static inline bool kvm_xen_has_interrupt(struct kvm_vcpu *vcpu)
{
	return kvm_xen_msr_enabled(vcpu->kvm) && __kvm_xen_has_interrupt(vcpu);
}
void kvm_xen_inject_vcpu_vector(struct kvm_vcpu *vcpu);
bool kvm_xen_has_pending_events(struct kvm_vcpu *vcpu);
void kvm_xen_inject_pending_events(struct kvm_vcpu *vcpu);
/* The local APIC is software-enabled: what came before is told now. */
void kvm_xen_sw_enable_lapic(struct kvm_vcpu *vcpu);

/* ---- xen_timer.c ---- */
void kvm_xen_start_timer(struct kvm_vcpu *vcpu, u64 guest_abs, bool linux_wa);
void kvm_xen_stop_timer(struct kvm_vcpu *vcpu);
/* Guest's ns at which it fires, 0: not armed; what has expired has been delivered. */
u64 kvm_xen_get_timer(struct kvm_vcpu *vcpu);
void kvm_xen_init_timers(struct kvm_vcpu *vcpu);
/* One has expired that could not be delivered then: before entry, own thread. */
static inline bool kvm_xen_has_pending_timer(struct kvm_vcpu *vcpu)
{
	return kvm_xen_timer_enabled(vcpu) &&
	       __atomic_load_n(&vcpu->arch.xen.timer_pending, __ATOMIC_RELAXED);
}
void kvm_xen_inject_timer_irqs(struct kvm_vcpu *vcpu);

/* ---- xen_hypercall.c ---- */
int kvm_xen_hypercall(struct kvm_vcpu *vcpu);

/* ---- run.c ---- */
int kvm_exit_xen(struct kvm_vcpu *vcpu, const struct kvm_xen_exit *xen);

#endif
