/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timer service of a VM: see timer.h. The queue is a list ordered by deadline: a VM has one LAPIC timer
 * a vCPU, one PIT and a few more, and new deadlines mostly are the nearest ones.
 *
 * Lock order: the service lock is innermost; callbacks run without it. `running` tells kvm_timer_cancel
 * that a callback is under way; `seq` is the futex the thread sleeps on, bumped by every change that
 * could bring the earliest deadline forward.
 */
#include "virt/timer.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include "virt/futex.h"
#include "virt/kvm_host.h"
#include "virt/worker.h"

#define TIMER_SLACK_NS 1000ul /* the host's default, 50 us, is long for a guest's timer */

struct kvm_timer_service {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* a callback has returned */
	pthread_t thread;
	bool started, stop;
	struct list_head queue;
	struct kvm_timer *running;
	u32 seq;
};

u64 kvm_clock_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

static void service_notify(struct kvm_timer_service *s)
{
	__atomic_add_fetch(&s->seq, 1, __ATOMIC_SEQ_CST);
	futex_wake(&s->seq);
}

static bool on_service_thread(struct kvm_timer_service *s)
{
	return s->started && pthread_equal(s->thread, pthread_self());
}

static struct kvm_timer *first_timer(struct kvm_timer_service *s)
{
	return list_empty(&s->queue) ? NULL : list_entry(s->queue.next, struct kvm_timer, link);
}

/* Lock held; drops it around the callback. */
static void run_timer(struct kvm_timer_service *s, struct kvm_timer *t)
{
	list_del(&t->link);
	t->queued = false;
	s->running = t;
	pthread_mutex_unlock(&s->lock);
	t->fn(t, t->ctx);
	pthread_mutex_lock(&s->lock);
	s->running = NULL;
	pthread_cond_broadcast(&s->idle);
}

static void *service_thread(void *arg)
{
	struct kvm_timer_service *s = arg;

	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct kvm_timer *t = first_timer(s);
		u32 seq = __atomic_load_n(&s->seq, __ATOMIC_SEQ_CST);
		u64 deadline = t ? t->deadline_ns : FUTEX_NO_DEADLINE;

		if (t && deadline <= kvm_clock_monotonic_ns()) {
			run_timer(s, t);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		futex_wait_until(&s->seq, seq, deadline);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void enqueue(struct kvm_timer_service *s, struct kvm_timer *t)
{
	struct kvm_timer *pos;

	list_for_each_entry(pos, &s->queue, link)
		if (pos->deadline_ns > t->deadline_ns)
			break;
	list_add_tail(&t->link, &pos->link); /* before pos, or at the end */
	t->queued = true;
}

static void dequeue(struct kvm_timer *t)
{
	if (!t->queued)
		return;
	list_del(&t->link);
	t->queued = false;
}

/* Lock held. Early, with the first timer made: a client may forbid new threads once it is set up. */
static void ensure_thread(struct kvm_timer_service *s)
{
	if (!s->started && !s->stop)
		s->started = !kvm_worker_create(&s->thread, "kvm-timer", service_thread, s);
}

void kvm_timer_init(struct kvm_timer *timer, struct kvm *kvm, kvm_timer_fn fn, void *ctx)
{
	*timer = (struct kvm_timer){ .service = kvm->timer_service, .fn = fn, .ctx = ctx };
	list_init(&timer->link);
	pthread_mutex_lock(&timer->service->lock);
	ensure_thread(timer->service);
	pthread_mutex_unlock(&timer->service->lock);
}

void kvm_timer_start(struct kvm_timer *t, u64 deadline_ns)
{
	struct kvm_timer_service *s = t->service;
	bool wake;

	pthread_mutex_lock(&s->lock);
	if (t->cancelling && on_service_thread(s)) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	ensure_thread(s);
	dequeue(t);
	t->deadline_ns = deadline_ns;
	enqueue(s, t);
	/* The service thread itself looks at the queue again before it sleeps. */
	wake = first_timer(s) == t && !on_service_thread(s);
	if (wake)
		__atomic_add_fetch(&s->seq, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&s->lock);
	if (wake)
		futex_wake(&s->seq);
}

bool kvm_timer_try_cancel(struct kvm_timer *t)
{
	struct kvm_timer_service *s = t->service;
	bool was;

	if (!s)
		return false;
	pthread_mutex_lock(&s->lock);
	was = t->queued;
	dequeue(t);
	pthread_mutex_unlock(&s->lock);
	return was;
}

bool kvm_timer_cancel(struct kvm_timer *t)
{
	struct kvm_timer_service *s = t->service;
	bool was;

	if (!s)
		return false;
	pthread_mutex_lock(&s->lock);
	was = t->queued;
	dequeue(t);
	while (s->running == t && !on_service_thread(s)) {
		t->cancelling = true;
		pthread_cond_wait(&s->idle, &s->lock);
		dequeue(t); /* a third thread may have armed it again */
	}
	t->cancelling = false;
	pthread_mutex_unlock(&s->lock);
	return was;
}

bool kvm_timer_active(struct kvm_timer *t)
{
	return t->service && __atomic_load_n(&t->queued, __ATOMIC_ACQUIRE);
}

int kvm_timer_service_create(struct kvm *kvm)
{
	struct kvm_timer_service *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	list_init(&s->queue);
	kvm->timer_service = s;
	return 0;
}

void kvm_timer_service_destroy(struct kvm *kvm)
{
	struct kvm_timer_service *s = kvm->timer_service;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	if (s->started) {
		service_notify(s);
		pthread_join(s->thread, NULL);
	}
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
	kvm->timer_service = NULL;
}
