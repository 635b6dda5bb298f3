/* SPDX-License-Identifier: Apache-2.0 */
/* Xen: the vCPU's singleshot timer. It expires at a time of the guest's clock and sends VIRQ_TIMER's port. */
#include "arch/x86/xen.h"

#define NSEC_PER_MSEC 1000000ull

static bool send_virq(struct kvm_vcpu *vcpu)
{
	struct xen_evtchn e = { vcpu->arch.xen.timer_virq, (u32)vcpu->vcpu_id };
	int ret = kvm_xen_set_evtchn(vcpu->kvm, &e);

	return ret >= 0 || ret == -ENOTCONN;
}

static void poll_expired(struct kvm_timer *timer, void *ctx)
{
	struct kvm_vcpu *vcpu = ctx;

	(void)timer;
	kvm_make_request(KVM_REQ_UNBLOCK, vcpu);
	kvm_vcpu_kick(vcpu);
}

/* Where there is no shared info page just now the vCPU wakes up, and tries once more. */
static void timer_expired(struct kvm_timer *timer, void *ctx)
{
	struct kvm_vcpu *vcpu = ctx;

	if (send_virq(vcpu)) {
		__atomic_store_n(&vcpu->arch.xen.timer_expires, 0, __ATOMIC_SEQ_CST);
	} else {
		__atomic_store_n(&vcpu->arch.xen.timer_pending, true, __ATOMIC_SEQ_CST);
		poll_expired(timer, ctx);
	}
}

void kvm_xen_inject_timer_irqs(struct kvm_vcpu *vcpu)
{
	if (!__atomic_exchange_n(&vcpu->arch.xen.timer_pending, false, __ATOMIC_SEQ_CST))
		return;
	send_virq(vcpu);
	__atomic_store_n(&vcpu->arch.xen.timer_expires, 0, __ATOMIC_SEQ_CST);
}

void kvm_xen_init_timers(struct kvm_vcpu *vcpu)
{
	kvm_timer_init(&vcpu->arch.xen.timer, vcpu->kvm, timer_expired, vcpu);
	kvm_timer_init(&vcpu->arch.xen.poll_timer, vcpu->kvm, poll_expired, vcpu);
}

void kvm_xen_stop_timer(struct kvm_vcpu *vcpu)
{
	kvm_timer_cancel(&vcpu->arch.xen.timer);
	__atomic_store_n(&vcpu->arch.xen.timer_pending, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vcpu->arch.xen.timer_expires, 0, __ATOMIC_SEQ_CST);
}

/*
 * linux_wa: as Xen does for set_timer_op, a time before the beginning or some 13 days ahead (2^50 ns), which
 * is how a guest's overflow looks, means 100 ms from now.
 */
void kvm_xen_start_timer(struct kvm_vcpu *vcpu, u64 guest_abs, bool linux_wa)
{
	u64 guest_now = kvm_get_kvmclock_ns(vcpu->kvm), host_now = kvm_clock_monotonic_ns();
	s64 delta = (s64)(guest_abs - guest_now);

	if (linux_wa && ((s64)guest_abs < 0 || (delta > 0 && (u32)(delta >> 50)))) {
		delta = (s64)(100 * NSEC_PER_MSEC);
		guest_abs = guest_now + (u64)delta;
	}
	kvm_xen_stop_timer(vcpu);
	__atomic_store_n(&vcpu->arch.xen.timer_expires, guest_abs, __ATOMIC_SEQ_CST);
	if (delta <= 0)
		timer_expired(&vcpu->arch.xen.timer, vcpu);
	else
		kvm_timer_start(&vcpu->arch.xen.timer, host_now + (u64)delta);
}

/* Stopped for the look, so that an expiry is either not yet or in the shared info page. */
u64 kvm_xen_get_timer(struct kvm_vcpu *vcpu)
{
	struct kvm_timer *timer = &vcpu->arch.xen.timer;
	u64 deadline = timer->deadline_ns, expires;

	if (!__atomic_load_n(&vcpu->arch.xen.timer_expires, __ATOMIC_SEQ_CST))
		return 0;
	kvm_timer_cancel(timer);
	kvm_xen_inject_timer_irqs(vcpu);
	expires = __atomic_load_n(&vcpu->arch.xen.timer_expires, __ATOMIC_SEQ_CST);
	if (expires)
		kvm_timer_start(timer, deadline);
	return expires;
}
