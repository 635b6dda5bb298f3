/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side: system calls, signals, processes, memory, files. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "work.h"

static uint64_t work_getpid(unsigned rounds)
{
	uint64_t good = 0;
	long pid = getpid();

	for (unsigned i = 0; i < rounds * 1000; i++)
		good += syscall(SYS_getpid) == pid;
	return good;
}

static volatile unsigned signals_seen;

static void count_signal(int sig)
{
	signals_seen += sig == SIGUSR1;
}

static uint64_t work_signal(unsigned rounds)
{
	struct sigaction act = { .sa_handler = count_signal };

	signals_seen = 0;
	sigaction(SIGUSR1, &act, NULL);
	for (unsigned i = 0; i < rounds * 1000; i++)
		raise(SIGUSR1);
	return signals_seen;
}

static void pipe_echo(int in, int out)
{
	uint32_t v;

	while (read(in, &v, sizeof(v)) == sizeof(v)) {
		v = v * 3 + 1;
		if (write(out, &v, sizeof(v)) != sizeof(v))
			_exit(1);
	}
	_exit(0);
}

static uint64_t work_pipe(unsigned rounds)
{
	int there[2], back[2];
	uint32_t v = 1;
	pid_t child;

	if (pipe(there) || pipe(back))
		work_fail("pipe");
	child = fork();
	if (child < 0)
		work_fail("fork");
	if (!child) {
		close(there[1]);
		pipe_echo(there[0], back[1]);
	}
	for (unsigned i = 0; i < rounds * 100; i++)
		if (write(there[1], &v, sizeof(v)) != sizeof(v) || read(back[0], &v, sizeof(v)) != sizeof(v))
			work_fail("pipe");
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
	waitpid(child, NULL, 0);
	return v;
}

static uint64_t work_fork(unsigned rounds)
{
	uint64_t sum = WORK_SUM;

	for (unsigned i = 0; i < rounds; i++) {
		pid_t child = fork();
		int status;

		if (child < 0)
			work_fail("fork");
		if (!child)
			_exit(i & 0x7f);
		if (waitpid(child, &status, 0) != child)
			work_fail("waitpid");
		sum = work_mix(sum, WEXITSTATUS(status));
	}
	return sum;
}

/* The child becomes this program again, which does nothing. */
static uint64_t work_forkexec(unsigned rounds)
{
	uint64_t sum = WORK_SUM;

	for (unsigned i = 0; i < rounds; i++) {
		char status_arg[8];
		int status;
		pid_t child;

		snprintf(status_arg, sizeof(status_arg), "%u", i & 0x7f);
		child = fork();
		if (child < 0)
			work_fail("fork");
		if (!child) {
			execl("/proc/self/exe", "work", "--exit", status_arg, (char *)NULL);
			_exit(255);
		}
		if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) == 255)
			work_fail("exec");
		sum = work_mix(sum, WEXITSTATUS(status));
	}
	return sum;
}

static uint8_t *map(size_t size)
{
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		work_fail("mmap");
	return p;
}

static uint64_t work_mmap(unsigned rounds)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < rounds * 100; i++) {
		size_t size = 4096 * (1 + i % 8);
		uint8_t *p = map(size);

		for (size_t at = 0; at < size; at += 4096)
			p[at] = at >> 12;
		sum += p[size - 4096];
		munmap(p, size);
	}
	return sum;
}

static uint64_t work_fault(unsigned rounds)
{
	size_t size = 4096 * 1024;
	uint64_t sum = 0;
	uint8_t *p = map(size);

	madvise(p, size, MADV_NOHUGEPAGE);
	for (unsigned r = 0; r < rounds; r++) {
		for (size_t at = 0; at < size; at += 4096)
			sum += ++p[at];
		madvise(p, size, MADV_DONTNEED);
	}
	munmap(p, size);
	return sum;
}

static uint64_t work_mprotect(unsigned rounds)
{
	size_t size = 4096 * 4;
	uint8_t *p = map(size);
	uint64_t sum = 0;

	for (unsigned i = 0; i < rounds * 100; i++) {
		p[(i % 4) * 4096] = i;
		mprotect(p, size, PROT_READ);
		sum += p[(i % 4) * 4096];
		mprotect(p, size, PROT_READ | PROT_WRITE);
	}
	munmap(p, size);
	return sum;
}

/* Creates, writes, reads back and unlinks files in a tmpfs. */
static uint64_t work_file(unsigned rounds)
{
	char name[64], buf[512] = "";
	uint64_t sum = WORK_SUM;

	snprintf(name, sizeof(name), "/dev/shm/kuse-bench-%d", getpid());
	for (unsigned i = 0; i < rounds * 100; i++) {
		int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);

		if (fd < 0)
			work_fail(name);
		buf[i % sizeof(buf)] = i;
		if (write(fd, buf, sizeof(buf)) != sizeof(buf) ||
		    pread(fd, buf, sizeof(buf), 0) != sizeof(buf))
			work_fail(name);
		sum = work_mix(sum, (uint8_t)buf[i % sizeof(buf)]);
		close(fd);
		unlink(name);
	}
	return sum;
}

static uint64_t work_clock(unsigned rounds)
{
	struct timespec t, last = { 0 };
	uint64_t backwards = 0;

	for (unsigned i = 0; i < rounds * 1000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		backwards += t.tv_sec < last.tv_sec || (t.tv_sec == last.tv_sec && t.tv_nsec < last.tv_nsec);
		last = t;
	}
	return backwards;
}

/* A sleep must not end early. */
static uint64_t work_timer(unsigned rounds)
{
	const struct timespec pause = { .tv_nsec = 50000 };
	uint64_t early = 0;

	for (unsigned i = 0; i < rounds; i++) {
		struct timespec a, b;

		clock_gettime(CLOCK_MONOTONIC, &a);
		if (nanosleep(&pause, NULL))
			work_fail("nanosleep");
		clock_gettime(CLOCK_MONOTONIC, &b);
		early += (b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec < pause.tv_nsec;
	}
	return early;
}

const struct workload kern_workloads[] = {
	{ "getpid", "a system call", work_getpid, 3000 },
	{ "signal", "to oneself", work_signal, 200 },
	{ "pipe", "two processes", work_pipe, 100 },
	{ "fork", "fork, exit, wait", work_fork, 1500 },
	{ "forkexec", "fork, exec, wait", work_forkexec, 400 },
	{ "mmap", "map, touch, unmap", work_mmap, 200 },
	{ "fault", "page faults", work_fault, 150 },
	{ "mprotect", "flip and touch", work_mprotect, 1500 },
	{ "file", "create, write, read, unlink in tmpfs", work_file, 300 },
	{ "clock", "clock_gettime", work_clock, 8000 },
	{ "timer", "sleeps of 50 us", work_timer, 4000 },
	{ NULL },
};
