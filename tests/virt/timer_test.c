/* SPDX-License-Identifier: Apache-2.0 */
/* The timer service: order, re-arming, cancelling against a running callback, cost of doing nothing. */
#include <time.h>
#include "tests/virt/test.h"
#include "virt/kvm_host.h"

#define MS 1000000ull

static struct kvm kvm;
static int order[64], n;

struct numbered {
	struct kvm_timer timer;
	int number;
};

static void note(struct kvm_timer *t, void *ctx)
{
	int at = __atomic_load_n(&n, __ATOMIC_RELAXED); /* callbacks run one at a time */

	order[at] = ((struct numbered *)ctx)->number;
	__atomic_store_n(&n, at + 1, __ATOMIC_SEQ_CST);
}

static int up(void **state)
{
	n = 0;
	memset(&kvm, 0, sizeof(kvm));
	return kvm_timer_service_create(&kvm);
}

static int down(void **state)
{
	kvm_timer_service_destroy(&kvm);
	return 0;
}

/* Waits until `count` callbacks have run; a loaded machine may take its time, a hang fails. */
static void wait_for(int count)
{
	u64 limit = kvm_clock_monotonic_ns() + 20000 * MS;

	while (__atomic_load_n(&n, __ATOMIC_SEQ_CST) < count) {
		if (kvm_clock_monotonic_ns() > limit)
			fail_msg("%d of %d callbacks ran in 20 s", n, count);
		usleep(1000);
	}
}

/* What is done before `limit` counts; a machine that was too busy for that does it again, with more time. */
static bool too_late(u64 limit)
{
	if (kvm_clock_monotonic_ns() < limit)
		return false;
	usleep(50000);
	__atomic_store_n(&n, 0, __ATOMIC_SEQ_CST);
	return true;
}

static void in_order_of_deadline(void **state)
{
	struct numbered t[16];
	u64 start, ahead = 20 * MS;

	do {
		start = kvm_clock_monotonic_ns() + ahead;
		for (int i = 0; i < 16; i++) {
			int slot = (i * 7) % 16; /* any order of starting */

			t[slot].number = slot;
			kvm_timer_init(&t[slot].timer, &kvm, note, &t[slot]);
			kvm_timer_start(&t[slot].timer, start + (u64)slot * MS);
		}
		if (kvm_clock_monotonic_ns() < start)
			break;
		wait_for(16);
		ahead *= 4;
	} while (too_late(start));
	wait_for(16);
	assert_int_equal(n, 16);
	for (int i = 0; i < 16; i++)
		assert_int_equal(order[i], i);
}

static void past_deadline_runs_at_once(void **state)
{
	struct numbered t = { .number = 1 };

	kvm_timer_init(&t.timer, &kvm, note, &t);
	kvm_timer_start(&t.timer, 1);
	wait_for(1);
	assert_int_equal(n, 1);
}

static void never_early(void **state)
{
	struct numbered t = { .number = 1 };
	u64 deadline = kvm_clock_monotonic_ns() + 15 * MS;

	kvm_timer_init(&t.timer, &kvm, note, &t);
	kvm_timer_start(&t.timer, deadline);
	wait_for(1);
	assert_true(kvm_clock_monotonic_ns() >= deadline);
}

static void restart_moves_it(void **state)
{
	struct numbered t = { .number = 1 };
	u64 first;

	kvm_timer_init(&t.timer, &kvm, note, &t);
	do {
		first = kvm_clock_monotonic_ns() + 5 * MS;
		kvm_timer_start(&t.timer, first);
		kvm_timer_start(&t.timer, first + 100000 * MS);
	} while (too_late(first));
	usleep(20000);
	assert_int_equal(n, 0);
	assert_true(kvm_timer_active(&t.timer));
	kvm_timer_start(&t.timer, first);
	wait_for(1);
	assert_int_equal(n, 1);
	assert_false(kvm_timer_active(&t.timer));
}

static void cancelled_does_not_run(void **state)
{
	struct numbered t = { .number = 1 };
	u64 deadline;
	bool was;

	kvm_timer_init(&t.timer, &kvm, note, &t);
	do {
		deadline = kvm_clock_monotonic_ns() + 10 * MS;
		kvm_timer_start(&t.timer, deadline);
		was = kvm_timer_cancel(&t.timer);
	} while (too_late(deadline));
	assert_true(was);
	assert_false(kvm_timer_cancel(&t.timer));
	usleep(30000);
	assert_int_equal(n, 0);
}

static int inside, finished;

static void slow(struct kvm_timer *t, void *ctx)
{
	__atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
	usleep(30000);
	__atomic_store_n(&finished, 1, __ATOMIC_SEQ_CST);
	kvm_timer_start(t, kvm_clock_monotonic_ns()); /* re-arms itself: cancel must win all the same */
}

static void cancel_waits_for_a_running_callback(void **state)
{
	struct kvm_timer t;

	inside = finished = 0;
	kvm_timer_init(&t, &kvm, slow, NULL);
	kvm_timer_start(&t, 1);
	while (!__atomic_load_n(&inside, __ATOMIC_SEQ_CST))
		usleep(100);
	kvm_timer_cancel(&t);
	assert_int_equal(__atomic_load_n(&finished, __ATOMIC_SEQ_CST), 1);
	assert_false(kvm_timer_active(&t));
}

static void periodic(struct kvm_timer *t, void *ctx)
{
	__atomic_fetch_add(&n, 1, __ATOMIC_SEQ_CST);
	kvm_timer_start(t, t->deadline_ns + MS);
}

static void callback_may_rearm(void **state)
{
	struct kvm_timer t;

	kvm_timer_init(&t, &kvm, periodic, NULL);
	kvm_timer_start(&t, kvm_clock_monotonic_ns());
	/* Each run asks for the next a millisecond later: how long 20 take depends on the machine's load, but
	 * they cannot come early. */
	u64 start = kvm_clock_monotonic_ns();
	wait_for(20);
	kvm_timer_cancel(&t);
	assert_true(n >= 20);
	assert_true(kvm_clock_monotonic_ns() - start >= 18 * MS);
}

static void idle_costs_nothing(void **state)
{
	struct numbered t = { .number = 1 };
	struct timespec a, b;

	kvm_timer_init(&t.timer, &kvm, note, &t);
	kvm_timer_start(&t.timer, kvm_clock_monotonic_ns() + 1000000 * MS);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	usleep(200000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec < 5000000);
	kvm_timer_cancel(&t.timer);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(in_order_of_deadline), T(past_deadline_runs_at_once), T(never_early), T(restart_moves_it),
		T(cancelled_does_not_run), T(cancel_waits_for_a_running_callback), T(callback_may_rearm), T(idle_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
