/* SPDX-License-Identifier: Apache-2.0 */
/* Halt polling: KVM_CAP_HALT_POLL, MSR_KVM_POLL_CONTROL and what KVM_GET_STATS_FD tells about it. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include "tests/ioctl/ioctl.h"

#define POLL_CONTROL 0x4b564d05u

static struct machine m;

/* ---- a guest that halts, and is woken every half a millisecond -------------------------------------- */

static struct {
	pthread_t thread;
	int ev;
	bool stop; /* atomic */
} ticker;

static void *tick(void *arg)
{
	struct timespec half = { 0, 500000 };
	uint64_t one = 1;

	while (!__atomic_load_n(&ticker.stop, __ATOMIC_SEQ_CST)) {
		nanosleep(&half, NULL);
		if (write(ticker.ev, &one, sizeof(one)) != sizeof(one))
			return arg;
	}
	return NULL;
}

static int up(void **state)
{
	/* ICW1-4 to the master PIC at 0x20, automatic EOI; unmask all; sti; 1: hlt; jmp 1b */
	static const uint8_t code[] = { 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21,
					0xb0, 0x03, 0xe6, 0x21, 0xb0, 0x00, 0xe6, 0x21, 0xfb, 0xf4, 0xeb, 0xfd };
	struct kvm_irqfd a = { .gsi = 5 };
	sigset_t alarm;
	int err = machine_up(&m, IRQCHIP);

	m.mem[0x1800] = 0xcf; /* iret */
	*(uint32_t *)(m.mem + 4 * 0x25) = 0x1800;
	machine_code(&m, code, sizeof(code));
	ticker.stop = false;
	ticker.ev = eventfd(0, 0);
	a.fd = (__u32)ticker.ev;
	ok(IOCTL(m.vm, KVM_IRQFD, &a));
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL); /* the thread's */
	ok(-pthread_create(&ticker.thread, NULL, tick, NULL));
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	return err;
}

static int down(void **state)
{
	void *failed;

	__atomic_store_n(&ticker.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(ticker.thread, &failed);
	close(ticker.ev);
	machine_down(&m);
	return failed != NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
	kuse_signal_notify();
}

static void run_for(unsigned ms)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { .it_value = { 0, (long)ms * 1000 } };

	sigaction(SIGALRM, &sa, NULL);
	ok(setitimer(ITIMER_REAL, &it, NULL));
	fails(EINTR, machine_run(&m));
}

/* ---- */

static int set_halt_poll(uint32_t flags, uint64_t ns)
{
	struct kvm_enable_cap ec = { .cap = KVM_CAP_HALT_POLL, .flags = flags, .args[0] = ns };

	return IOCTL(m.vm, KVM_ENABLE_CAP, &ec);
}

/* The counter's value; *desc: what KVM says of it. */
static uint64_t counter(const char *name, struct kvm_stats_desc *desc)
{
	int fd = IOCTL(m.vcpu, KVM_GET_STATS_FD, 0);
	struct kvm_stats_header h;
	uint64_t v;

	ok(fd);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	for (unsigned i = 0; i < h.num_desc; i++) {
		off_t at = h.desc_offset + (off_t)i * (off_t)(sizeof(*desc) + h.name_size);
		char text[128] = "";

		assert_int_equal(pread(fd, desc, sizeof(*desc), at), sizeof(*desc));
		assert_int_equal(pread(fd, text, h.name_size, at + (off_t)sizeof(*desc)), h.name_size);
		if (strcmp(text, name))
			continue;
		assert_int_equal(pread(fd, &v, 8, h.data_offset + (off_t)desc->offset), 8);
		close(fd);
		return v;
	}
	fail_msg("there is no counter %s", name);
	return 0;
}

static uint64_t value(const char *name)
{
	struct kvm_stats_desc desc;

	return counter(name, &desc);
}

/* Until the guest has halted that often. */
static void run_halts(unsigned n)
{
	for (int i = 0; i < 200 && value("halt_exits") < n; i++)
		run_for(50);
	assert_true(value("halt_exits") >= n);
}

static void errors(void **state)
{
	assert_true(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_HALT_POLL) > 0);
	fails(EINVAL, set_halt_poll(1, 1000));
	fails(EINVAL, set_halt_poll(0, 1ull << 32));
	ok(set_halt_poll(0, 0));
	ok(set_halt_poll(0, UINT32_MAX));
}

static void units(void **state)
{
	static const char *const names[] = { "halt_poll_success_ns", "halt_poll_fail_ns", "halt_wait_ns" };
	struct kvm_stats_desc desc;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		counter(names[i], &desc);
		assert_int_equal(desc.flags & KVM_STATS_UNIT_MASK, KVM_STATS_UNIT_SECONDS);
		assert_int_equal(desc.exponent, -9);
	}
	counter("halt_attempted_poll", &desc);
	assert_int_equal(desc.flags & KVM_STATS_UNIT_MASK, KVM_STATS_UNIT_NONE);
	assert_int_equal(desc.exponent, 0);
}

/* 0: it sleeps at once. */
static void no_polling(void **state)
{
	ok(set_halt_poll(0, 0));
	run_halts(10);
	assert_int_equal(value("halt_attempted_poll"), 0);
	assert_int_equal(value("halt_poll_fail_ns"), 0);
	assert_true(value("halt_wait_ns") > 1000000);
}

/* Halts that are short against the longest poll allowed: the interval grows until one ends while polling. A
 * machine that is busy all the time sees none of these: each poll gives up. */
static void polling(void **state)
{
	ok(set_halt_poll(0, 200000000));
	for (int i = 0; i < 40 && !value("halt_successful_poll"); i++)
		run_for(50);
	assert_true(value("halt_attempted_poll") > 0);
	assert_true(value("halt_attempted_poll") >= value("halt_successful_poll"));
	assert_true(value("halt_exits") > value("halt_attempted_poll"));
	assert_int_equal(value("halt_successful_poll") > 0, value("halt_poll_success_ns") > 0);
	if (!value("halt_successful_poll"))
		print_message("# no poll was successful: the machine is busy\n");
}

/* Halts that are longer than the longest poll allowed, here 50 us: it is not worth while. */
static void long_halts(void **state)
{
	ok(set_halt_poll(0, 50000));
	run_halts(40);
	assert_true(value("halt_attempted_poll") * 2 < value("halt_exits"));
}

/* The guest polls by itself. */
static void guest_polls(void **state)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = POLL_CONTROL } };

	ok(set_halt_poll(0, 200000000));
	assert_int_equal(IOCTL(m.vcpu, KVM_SET_MSRS, &msrs), 1);
	run_halts(10);
	assert_int_equal(value("halt_attempted_poll"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(errors), T(units), T(no_polling), T(polling), T(long_halts), T(guest_polls),
	};

	return cmocka_run_group_tests_name("halt", tests, NULL, NULL);
}
