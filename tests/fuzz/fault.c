/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fault that nobody expected: what lies around its address, before it takes its course (a sanitizer's
 * report, the default action). A sanitizer names an address that is in none of its own tables "unknown";
 * whether it was never mapped, is a hole that munmap left (unmap.c), or is protected, the host knows.
 *
 * Async-signal-safe: the fault may be inside malloc.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tests/fuzz/driver.h"

#define BEFORE 2 /* lines of /proc/self/maps */
#define AFTER 2
#define LINE 160

static struct sigaction old_segv, old_bus;

static u64 hex(const char **p)
{
	u64 v = 0;

	for (;; (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (u64)(c - 'a' + 10);
		else
			return v;
	}
}

static u64 end_of(const char *line)
{
	hex(&line);
	line++;
	return hex(&line);
}

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

/* The next line, cut to LINE bytes; false at the end. */
static bool next_line(int fd, char *line)
{
	size_t n = 0;
	char c;

	while (read(fd, &c, 1) == 1 && c != '\n')
		if (n < LINE - 2)
			line[n++] = c;
	line[n] = '\n';
	line[n + 1] = '\0';
	return n;
}

static void say_around(u64 addr)
{
	static char ring[BEFORE + 1][LINE];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	unsigned n = 0, after = 0;

	if (fd < 0)
		return;
	say("a fault; mapped around its address are:\n");
	for (; after <= AFTER && next_line(fd, ring[n % (BEFORE + 1)]); n++) {
		if (end_of(ring[n % (BEFORE + 1)]) <= addr)
			continue;
		for (unsigned i = after || n < BEFORE ? n : n - BEFORE; i <= n; i++)
			say(ring[i % (BEFORE + 1)]);
		after++;
	}
	close(fd);
}

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	const struct sigaction *old = sig == SIGSEGV ? &old_segv : &old_bus;

	say_around((u64)si->si_addr);
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, si, ctx);
	else
		sigaction(sig, old, NULL); /* it faults again */
}

void fuzz_explain_faults(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaction(SIGSEGV, &sa, &old_segv);
	sigaction(SIGBUS, &sa, &old_bus);
}
