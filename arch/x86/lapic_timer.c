/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's timer (SDM vol. 3, 11.5.4): one-shot, periodic, TSC-deadline.
 *
 * The count is never stored. One input tick is kvm->arch.apic_bus_cycle_ns (1 ns unless
 * KVM_CAP_X86_APIC_BUS_CYCLES_NS says otherwise) times the divider, so TMICT = n means that the count
 * reaches zero at target_ns = start + n * divide * cycle, and TMCCT is computed back from that.
 * A TSC deadline is converted to CLOCK_MONOTONIC once, when it is written.
 *
 * Threads: everything here runs on the own thread except lapic_timer_fn, which runs on the VM's timer
 * service. It does not deliver: it counts `pending` up, requests KVM_REQ_UNBLOCK and kicks. The own
 * thread delivers before its next entry (kvm_inject_apic_timer_irqs). The callback reads mode and
 * period_ns and advances target_ns; the own thread cancels the timer, which waits for a running
 * callback, before it changes period or target, and uses atomics for what it changes without.
 */
#include "arch/x86/lapic.h"

#define MIN_PERIOD_NS 200000u /* Linux's min_timer_period_us: a guest cannot make us spin */
#define APIC_BUS_CYCLE_NS_DEFAULT 1u
#define TDCR_LOW 0x3u
#define TDCR_HIGH 0x8u

static u32 timer_mode(const struct kvm_lapic *apic)
{
	return __atomic_load_n(&apic->timer.mode, __ATOMIC_RELAXED);
}

static u64 timer_target(const struct kvm_lapic *apic)
{
	return __atomic_load_n(&apic->timer.target_ns, __ATOMIC_RELAXED);
}

static void timer_set_target(struct kvm_lapic *apic, u64 ns)
{
	__atomic_store_n(&apic->timer.target_ns, ns, __ATOMIC_RELAXED);
}

static u64 timer_period(const struct kvm_lapic *apic)
{
	return __atomic_load_n(&apic->timer.period_ns, __ATOMIC_RELAXED);
}

static u64 timer_tick_ns(const struct kvm_lapic *apic)
{
	u64 cycle_ns = apic->vcpu->kvm->arch.apic_bus_cycle_ns;

	return (cycle_ns ? cycle_ns : APIC_BUS_CYCLE_NS_DEFAULT) * apic->timer.divide;
}

/* From the count in TMICT; periodic ones have a floor. */
static void timer_set_period(struct kvm_lapic *apic)
{
	u64 ns = kvm_lapic_get_reg(apic, APIC_TMICT) * timer_tick_ns(apic);

	if (timer_mode(apic) == APIC_LVT_TIMER_PERIODIC && ns && ns < MIN_PERIOD_NS)
		ns = MIN_PERIOD_NS;
	__atomic_store_n(&apic->timer.period_ns, ns, __ATOMIC_RELAXED);
}

static void timer_expire(struct kvm_lapic *apic)
{
	__atomic_store_n(&apic->timer.pending, 1, __ATOMIC_RELEASE);
	kvm_make_request(KVM_REQ_UNBLOCK, apic->vcpu);
}

/* Missed periods are not made up for: at most one interrupt is pending anyway. */
static void timer_advance(struct kvm_lapic *apic)
{
	u64 now = kvm_clock_monotonic_ns();
	u64 next = timer_target(apic) + timer_period(apic);

	timer_set_target(apic, MAX(next, now));
}

static void lapic_timer_fn(struct kvm_timer *timer, void *ctx)
{
	struct kvm_lapic *apic = ctx;

	timer_expire(apic);
	kvm_vcpu_kick(apic->vcpu);
	if (timer_mode(apic) == APIC_LVT_TIMER_PERIODIC && timer_period(apic)) {
		timer_advance(apic);
		kvm_timer_start(timer, timer_target(apic));
	}
}

void lapic_timer_init(struct kvm_lapic *apic)
{
	apic->timer.divide = 1;
	kvm_timer_init(&apic->timer.timer, apic->vcpu->kvm, lapic_timer_fn, apic);
}

void lapic_timer_cancel(struct kvm_lapic *apic)
{
	kvm_timer_cancel(&apic->timer.timer);
	__atomic_store_n(&apic->timer.pending, 0, __ATOMIC_RELAXED);
}

/* ---- counting modes -------------------------------------------------------------------------- */

static u32 timer_divide(u32 tdcr)
{
	u32 code = (tdcr & TDCR_LOW) | (tdcr & TDCR_HIGH) >> 1; /* 0: 2, 1: 4, ... 6: 128, 7: 1 */

	return 1u << ((code + 1) & 7);
}

static void timer_start_counting(struct kvm_lapic *apic, u64 ns)
{
	timer_set_target(apic, kvm_clock_monotonic_ns() + ns);
	kvm_timer_start(&apic->timer.timer, timer_target(apic));
}

void lapic_timer_set_initial(struct kvm_lapic *apic, u32 count)
{
	if (timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE)
		return;
	lapic_timer_cancel(apic);
	kvm_lapic_set_reg(apic, APIC_TMICT, count);
	timer_set_period(apic);
	if (timer_period(apic))
		timer_start_counting(apic, timer_period(apic));
}

static u64 timer_remaining_ns(const struct kvm_lapic *apic)
{
	u64 now = kvm_clock_monotonic_ns(), target = timer_target(apic);

	return target > now ? target - now : 0;
}

u32 lapic_timer_current(struct kvm_lapic *apic)
{
	if (timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE || !kvm_lapic_get_reg(apic, APIC_TMICT) ||
	    !timer_period(apic))
		return 0;
	return timer_remaining_ns(apic) % timer_period(apic) / timer_tick_ns(apic);
}

/* A new divider takes effect at once: what remains is scaled by it. */
void lapic_timer_update_divide(struct kvm_lapic *apic)
{
	u32 old = apic->timer.divide, new = timer_divide(kvm_lapic_get_reg(apic, APIC_TDCR));
	u64 remaining;

	if (new == old)
		return;
	if (!timer_period(apic)) {
		apic->timer.divide = new;
		return;
	}
	kvm_timer_cancel(&apic->timer.timer);
	remaining = timer_remaining_ns(apic);
	apic->timer.divide = new;
	timer_set_period(apic);
	if (remaining || timer_mode(apic) == APIC_LVT_TIMER_PERIODIC)
		timer_start_counting(apic, remaining * new / old);
}

/* ---- mode ------------------------------------------------------------------------------------ */

u32 lapic_timer_mode_mask(const struct kvm_lapic *apic)
{
	return apic->vcpu->arch.guest_has_tsc_deadline ? 3u << 17 : 1u << 17;
}

/* Between one-shot and periodic the count goes on; to or from TSC-deadline the timer is disarmed
 * (SDM 11.5.4.1). */
void lapic_timer_update_mode(struct kvm_lapic *apic)
{
	u32 old = timer_mode(apic);
	u32 new = kvm_lapic_get_reg(apic, APIC_LVTT) & lapic_timer_mode_mask(apic);

	if (new == old)
		return;
	if (old == APIC_LVT_TIMER_TSCDEADLINE || new == APIC_LVT_TIMER_TSCDEADLINE) {
		lapic_timer_cancel(apic);
		kvm_lapic_set_reg(apic, APIC_TMICT, 0);
		apic->timer.tscdeadline = 0;
	}
	__atomic_store_n(&apic->timer.mode, new, __ATOMIC_RELAXED);
	timer_set_period(apic);
}

/* ---- TSC deadline ---------------------------------------------------------------------------- */

u64 kvm_get_lapic_tscdeadline_msr(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!kvm_apic_present(vcpu) || timer_mode(apic) != APIC_LVT_TIMER_TSCDEADLINE)
		return 0;
	return apic->timer.tscdeadline;
}

static void timer_start_deadline(struct kvm_lapic *apic)
{
	u64 deadline = apic->timer.tscdeadline;

	if (!deadline)
		return;
	if (deadline <= kvm_read_l1_tsc(apic->vcpu))
		timer_expire(apic);
	else
		kvm_timer_start(&apic->timer.timer, kvm_guest_tsc_to_monotonic(apic->vcpu, deadline));
}

void kvm_set_lapic_tscdeadline_msr(struct kvm_vcpu *vcpu, u64 data)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!kvm_apic_present(vcpu) || timer_mode(apic) != APIC_LVT_TIMER_TSCDEADLINE)
		return;
	lapic_timer_cancel(apic);
	apic->timer.tscdeadline = data;
	timer_start_deadline(apic);
}

/* ---- state, delivery ------------------------------------------------------------------------- */

/* An expired one-shot timer (current 0) fires once more: its interrupt may not have been seen. */
static u64 timer_restored_ns(struct kvm_lapic *apic, u32 current)
{
	u64 ns = current * timer_tick_ns(apic);

	if (!current && timer_mode(apic) == APIC_LVT_TIMER_PERIODIC)
		return timer_period(apic);
	return MIN(ns, timer_period(apic));
}

void lapic_timer_restore(struct kvm_lapic *apic, u32 current)
{
	lapic_timer_cancel(apic);
	lapic_timer_update_mode(apic);
	apic->timer.divide = timer_divide(kvm_lapic_get_reg(apic, APIC_TDCR));
	if (timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE) {
		timer_start_deadline(apic);
		return;
	}
	timer_set_period(apic);
	if (timer_period(apic))
		timer_start_counting(apic, timer_restored_ns(apic, current));
}

bool apic_has_pending_timer(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	return kvm_lapic_enabled(vcpu) && !(kvm_lapic_get_reg(apic, APIC_LVTT) & APIC_LVT_MASKED) &&
	       __atomic_load_n(&apic->timer.pending, __ATOMIC_ACQUIRE);
}

void kvm_inject_apic_timer_irqs(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!__atomic_exchange_n(&apic->timer.pending, 0, __ATOMIC_ACQUIRE))
		return;
	kvm_apic_local_deliver(apic, APIC_LVTT);
	if (timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE)
		apic->timer.tscdeadline = 0;
}
