/* SPDX-License-Identifier: Apache-2.0 */
/* Processes with VMs that fork, exec and die at any moment: nothing hangs, nothing is left. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/ioctl/ioctl.h"
#include "tests/lib/descriptors.h"

#define BUSY_THREADS 2
#define FORKS 150

static bool stop;

/* Opens, creates, runs, closes. */
static int one_life(void)
{
	static const uint8_t code[] = { 0xe6, 0x10 };
	struct machine m;

	machine_up(&m, IRQCHIP);
	machine_code(&m, code, sizeof(code));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	machine_down(&m);
	return 0;
}

static void *busy(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		one_life();
	return arg;
}

static int wait_for(pid_t pid, int seconds)
{
	int status;

	for (int i = 0; i < seconds * 200; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* Whatever other threads were in the middle of, the child can have VMs of its own. */
static void fork_of_a_busy_process(void **state)
{
	pthread_t t[BUSY_THREADS];

	stop = false;
	for (int i = 0; i < BUSY_THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, busy, NULL), 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(one_life());
		assert_int_equal(wait_for(pid, 10), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < BUSY_THREADS; i++)
		pthread_join(t[i], NULL);
}

/* The sampling thread holds a lock much of the time, and is not in the child. */
static void fork_of_a_profiled_process(void **state)
{
	struct kuse_profile_sample *samples;
	pthread_t t;

	skip_real();
	stop = false;
	assert_int_equal(kuse_profile_start(100000), 0);
	assert_int_equal(pthread_create(&t, NULL, busy, NULL), 0);
	for (int i = 0; i < FORKS / 3; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(one_life() || kuse_profile_stop(&samples) != -EINVAL);
		assert_int_equal(wait_for(pid, 10), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(kuse_profile_stop(&samples) >= 0);
	free(samples);
}

/* The child closes what it got from its parent, in some order, and may even go on creating. */
static void child_closes_the_parents(void **state)
{
	struct machine m;
	unsigned before = descriptors();

	machine_up(&m, IRQCHIP);
	for (int order = 0; order < 6; order++) {
		pid_t pid = fork();

		if (!pid) {
			int fd[3] = { m.kvm, m.vm, m.vcpu };

			for (int i = 0; i < 3; i++)
				if (k_close(fd[(order + i * (order & 1 ? 1 : 2)) % 3]))
					_exit(1);
			_exit(one_life());
		}
		assert_int_equal(wait_for(pid, 10), 0);
	}
	machine_down(&m);
	assert_int_equal(descriptors(), before);
}

/* KVM's descriptors do not survive exec, as on Linux where they are opened with O_CLOEXEC. */
static void nothing_survives_exec(void **state)
{
	struct machine m;
	pid_t pid;

	machine_up(&m, IRQCHIP);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", "! ls -l /proc/self/fd | grep -E 'memfd|kvm|kuse'",
		      (char *)NULL);
		_exit(127);
	}
	assert_int_equal(wait_for(pid, 10), 0);
	machine_down(&m);
}

static void *run_for_ever(void *arg)
{
	struct machine *m = arg;

	while (!machine_run(m))
		;
	return NULL;
}

/* Killed while vCPUs run, timers tick and interrupts are under way. */
static void killed_at_any_moment(void **state)
{
	static const uint8_t loop[] = { 0xeb, 0xfe };

	stop = false;
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid) {
			struct machine m;
			pthread_t t;

			machine_up(&m, IRQCHIP);
			machine_code(&m, loop, sizeof(loop));
			pthread_create(&t, NULL, run_for_ever, &m);
			busy(NULL);
			_exit(1);
		}
		assert_true(pid > 0); /* kill(0) and kill(-1) would hit others */
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 * (i + 1) }, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(wait_for(pid, 10), SIGKILL);
	}
}

/* A process that returns from main with everything open and running. */
static void exit_with_everything_open(void **state)
{
	static const uint8_t loop[] = { 0xeb, 0xfe };
	pid_t pid = fork();

	if (!pid) {
		static struct machine m;
		pthread_t t;

		machine_up(&m, IRQCHIP);
		machine_code(&m, loop, sizeof(loop));
		pthread_create(&t, NULL, run_for_ever, &m);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		fclose(stdout); /* the test's output is the parent's */
		exit(0);
	}
	assert_int_equal(wait_for(pid, 10), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fork_of_a_busy_process), cmocka_unit_test(fork_of_a_profiled_process),
		cmocka_unit_test(child_closes_the_parents),
		cmocka_unit_test(nothing_survives_exec), cmocka_unit_test(killed_at_any_moment),
		cmocka_unit_test(exit_with_everything_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
