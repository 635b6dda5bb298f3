/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Synthetic timers: four per vCPU, in reference time (hyperv_clock.c). A timer expires by a message in a
 * SINT's slot, or in direct mode by an interrupt of its own. `count` is a point in time (one-shot) or a
 * period.
 *
 *	MSR written      cleanup; if enabled: pending
 *	service thread   its time has come: pending, kick               (only that, see virt/timer.h)
 *	vCPU thread      pending: expired? send. Still enabled and nothing waits for a slot: start
 *
 * A one-shot timer whose slot is taken keeps msg_pending and is looked at again when the slot may be free.
 * Ticks of a periodic one are lost instead.
 */
#include "arch/x86/hyperv.h"

#include "arch/x86/lapic.h"
#include "arch/x86/msr.h"

#define NEVER_NS (~0ull >> 1)

/* Any thread. */
static void mark_pending(struct kvm_vcpu_hv *hv, u32 index)
{
	__atomic_fetch_or(&hv->stimer_pending, BIT(index), __ATOMIC_SEQ_CST);
	kvm_make_request(KVM_REQ_HV_STIMER, hv->vcpu);
}

static void stimer_fires(struct kvm_timer *timer, void *ctx)
{
	struct kvm_vcpu_hv_stimer *t = ctx;

	mark_pending(to_hv_vcpu(t->vcpu), t->index);
	kvm_vcpu_kick(t->vcpu);
}

void kvm_hv_stimers_init(struct kvm_vcpu_hv *hv)
{
	for (u32 i = 0; i < HV_SYNIC_STIMER_COUNT; i++) {
		hv->stimer[i].vcpu = hv->vcpu;
		hv->stimer[i].index = i;
		kvm_timer_init(&hv->stimer[i].timer, hv->vcpu->kvm, stimer_fires, &hv->stimer[i]);
	}
}

static void stimer_cleanup(struct kvm_vcpu_hv_stimer *t)
{
	kvm_timer_cancel(&t->timer);
	__atomic_fetch_and(&to_hv_vcpu(t->vcpu)->stimer_pending, ~(u32)BIT(t->index), __ATOMIC_SEQ_CST);
	t->msg_pending = false;
	t->exp_time = 0;
}

void kvm_hv_stimers_free(struct kvm_vcpu_hv *hv)
{
	for (u32 i = 0; i < HV_SYNIC_STIMER_COUNT; i++)
		stimer_cleanup(&hv->stimer[i]);
}

bool kvm_hv_has_stimer_pending(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	return hv && __atomic_load_n(&hv->stimer_pending, __ATOMIC_SEQ_CST);
}

/* ---- running ------------------------------------------------------------------------------------------ */

static u64 deadline_ns(u64 delta_100ns)
{
	u64 now = kvm_clock_monotonic_ns();

	return delta_100ns >= (NEVER_NS - now) / 100 ? NEVER_NS : now + delta_100ns * 100;
}

/* Where ticks have been missed the next one stays in step. */
static void next_period(struct kvm_vcpu_hv_stimer *t, u64 now)
{
	if (!t->exp_time)
		t->exp_time = now + t->count;
	else if (now >= t->exp_time)
		t->exp_time = now + t->count - (now - t->exp_time) % t->count;
}

/* Enabled, count != 0. A one-shot timer set to the past expires at once (TLFS 12.3.3). */
static void stimer_start(struct kvm_vcpu_hv_stimer *t)
{
	u64 now = kvm_hv_reference_time(t->vcpu->kvm);

	if (t->config & HV_STIMER_PERIODIC)
		next_period(t, now);
	else
		t->exp_time = t->count;
	if (now >= t->exp_time)
		mark_pending(to_hv_vcpu(t->vcpu), t->index);
	else
		kvm_timer_start(&t->timer, deadline_ns(t->exp_time - now));
}

static int send_message(struct kvm_vcpu_hv_stimer *t)
{
	struct hv_timer_message msg = {
		.message_type = HVMSG_TIMER_EXPIRED,
		.payload_size = sizeof(msg) - offsetof(struct hv_timer_message, timer_index),
		.timer_index = t->index,
		.expiration_time = t->exp_time,
		.delivery_time = kvm_hv_reference_time(t->vcpu->kvm),
	};

	return kvm_hv_synic_deliver(to_hv_vcpu(t->vcpu), HV_STIMER_SINTX(t->config), &msg,
				    !(t->config & HV_STIMER_PERIODIC));
}

static int send_interrupt(struct kvm_vcpu_hv_stimer *t)
{
	struct kvm_lapic_irq irq = { .delivery_mode = APIC_DM_FIXED, .vector = HV_STIMER_APIC_VECTOR(t->config) };

	if (!lapic_in_kernel(t->vcpu))
		return 0;
	return kvm_apic_set_irq(t->vcpu, &irq) ? 0 : -EAGAIN;
}

static void stimer_expires(struct kvm_vcpu_hv_stimer *t)
{
	t->msg_pending = (t->config & HV_STIMER_DIRECT_MODE ? send_interrupt(t) : send_message(t)) != 0;
	if (!t->msg_pending && !(t->config & HV_STIMER_PERIODIC))
		t->config &= ~HV_STIMER_ENABLE;
}

static void process(struct kvm_vcpu_hv_stimer *t)
{
	if (!(t->config & HV_STIMER_ENABLE))
		return;
	if (t->exp_time && kvm_hv_reference_time(t->vcpu->kvm) >= t->exp_time)
		stimer_expires(t);
	if (!(t->config & HV_STIMER_ENABLE) || !t->count)
		stimer_cleanup(t);
	else if (!t->msg_pending)
		stimer_start(t);
}

void kvm_hv_process_stimers(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);
	u32 pending = hv ? __atomic_exchange_n(&hv->stimer_pending, 0, __ATOMIC_SEQ_CST) : 0;

	for (u32 i = 0; i < HV_SYNIC_STIMER_COUNT; i++)
		if (pending & BIT(i))
			process(&hv->stimer[i]);
}

void kvm_hv_stimers_retry(struct kvm_vcpu_hv *hv, u32 sint)
{
	for (u32 i = 0; i < HV_SYNIC_STIMER_COUNT; i++) {
		const struct kvm_vcpu_hv_stimer *t = &hv->stimer[i];

		if (t->msg_pending && (t->config & HV_STIMER_ENABLE) &&
		    !(t->config & HV_STIMER_DIRECT_MODE) && HV_STIMER_SINTX(t->config) == sint)
			mark_pending(hv, i);
	}
}

/* ---- MSRs: CONFIG and COUNT by turns ---- */

static struct kvm_vcpu_hv_stimer *timer_of(struct msr_access *a, bool *count)
{
	u32 n = a->index - HV_X64_MSR_STIMER0_CONFIG;

	*count = n & 1;
	return &to_hv_vcpu(a->vcpu)->stimer[n / 2];
}

/* SINT 0 is not for timers: one that was enabled is switched off by it. */
static int set_config(struct msr_access *a, struct kvm_vcpu_hv_stimer *t)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);
	u64 config = a->data;
	bool direct = config & HV_STIMER_DIRECT_MODE;

	if (!a->host && hv->enforce_cpuid && direct &&
	    !(hv->cpuid.features_edx & HV_STIMER_DIRECT_MODE_AVAILABLE))
		return 1;
	stimer_cleanup(t);
	if ((t->config & HV_STIMER_ENABLE) && !direct && !HV_STIMER_SINTX(config))
		config &= ~HV_STIMER_ENABLE;
	t->config = config;
	return 0;
}

static void set_count(struct msr_access *a, struct kvm_vcpu_hv_stimer *t)
{
	stimer_cleanup(t);
	t->count = a->data;
	if (a->host)
		return;
	if (!t->count)
		t->config &= ~HV_STIMER_ENABLE;
	else if (t->config & HV_STIMER_AUTO_ENABLE)
		t->config |= HV_STIMER_ENABLE;
}

int kvm_hv_stimer_set_msr(struct msr_access *a)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);
	bool count;
	struct kvm_vcpu_hv_stimer *t = timer_of(a, &count);

	if (!kvm_hv_synic_active(hv) && (!a->host || a->data))
		return 1;
	if (count)
		set_count(a, t);
	else if (set_config(a, t))
		return 1;
	if (t->config & HV_STIMER_ENABLE)
		mark_pending(hv, t->index);
	return 0;
}

int kvm_hv_stimer_get_msr(struct msr_access *a)
{
	bool count;
	const struct kvm_vcpu_hv_stimer *t = timer_of(a, &count);

	a->data = count ? t->count : t->config;
	return 0;
}
