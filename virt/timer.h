/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timer service: one thread per VM sleeps until the earliest deadline of an ordered queue and runs
 * callbacks. It sleeps without a timeout while the queue is empty: an idle VM costs nothing.
 *
 * A callback runs on the service thread with no lock of the service held; it may start or cancel any
 * timer, its own too. It must not touch a vCPU's registers: only set request bits and kick.
 */
#ifndef KUSE_VIRT_TIMER_H
#define KUSE_VIRT_TIMER_H

#include "lib/list.h"
#include "lib/types.h"

struct kvm;
struct kvm_timer;
struct kvm_timer_service;

typedef void (*kvm_timer_fn)(struct kvm_timer *timer, void *ctx);

struct kvm_timer {
	struct list_head link; /* in the service's queue, ordered by deadline; service lock */
	struct kvm_timer_service *service;
	kvm_timer_fn fn;
	void *ctx;
	u64 deadline_ns; /* CLOCK_MONOTONIC */
	bool queued;
	bool cancelling; /* someone waits in kvm_timer_cancel: the callback's own re-arming is void */
};

void kvm_timer_init(struct kvm_timer *timer, struct kvm *kvm, kvm_timer_fn fn, void *ctx);
/* (Re)arms: fn runs once at deadline_ns of CLOCK_MONOTONIC, at once where that has passed. */
void kvm_timer_start(struct kvm_timer *timer, u64 deadline_ns);
/* Afterwards fn neither is running nor will run, except where called from fn itself. Do not hold a
 * lock that fn takes. Returns true if the timer was armed. */
bool kvm_timer_cancel(struct kvm_timer *timer);
/* The same without waiting for a running fn: may be called with locks held that fn takes. */
bool kvm_timer_try_cancel(struct kvm_timer *timer);
bool kvm_timer_active(struct kvm_timer *timer);

/* CLOCK_MONOTONIC in ns. */
u64 kvm_clock_monotonic_ns(void);

/* VM life cycle: called by kvm_create_vm / kvm_destroy_vm. The thread starts with the first timer. */
int kvm_timer_service_create(struct kvm *kvm);
void kvm_timer_service_destroy(struct kvm *kvm);

#endif
