/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perf's map of code that was made at run time: a line "start size name" for each block, in hexadecimal,
 * where perf(1) looks for it. Lines are gathered and written 32 KiB at a time, when a VM ends, and
 * when the process does.
 *
 * Blocks are looked for after VM exits, not when they are made: translated code runs with the guest's vector
 * state live, and nothing may be written from there. What is made between the last exit and the emptying of a
 * full code cache is missed; and after such an emptying an address has had two names, of which perf knows
 * the last.
 */
#include "virt/perf_map.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "virt/kvm_host.h"
#include "virt/sys.h"

#define BATCH 64
#define LINE_MAX 96
#define FULL (32u << 10)

bool kvm_perf_mapping;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fd = -1;
static pid_t owner; /* a forked child must not write to its parent's map */
static char text[FULL + BATCH * LINE_MAX];
static size_t len;

/* Under lock. A full disk or the like is no reason to stop the guest: the map has a hole then. */
static void write_out(void)
{
	size_t done = 0;

	while (done < len && owner == getpid()) {
		ssize_t n = write(fd, text + done, len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	len = 0;
}

void kvm_perf_map_flush(void)
{
	if (!kvm_perf_mapping)
		return;
	pthread_mutex_lock(&lock);
	write_out();
	pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void at_exit(void)
{
	kvm_perf_map_flush();
}

static void add(const struct hyp_block_info *b)
{
	static const char *const names[] = { "guest-kernel", "guest-user" };
	int n = b->guest_len
			? snprintf(text + len, LINE_MAX, "%llx %x %s:0x%llx\n", (unsigned long long)b->host,
				   b->host_len, names[b->user], (unsigned long long)b->pc)
			: snprintf(text + len, LINE_MAX, "%llx %x kuse-stubs\n", (unsigned long long)b->host,
				   b->host_len);

	len += (size_t)n;
}

void kvm_perf_map_note(struct kvm_vcpu *vcpu)
{
	struct hyp_block_info info[BATCH];
	size_t n;

	while ((n = hyp_cpu_blocks(vcpu->hyp, &vcpu->perf_seen, info, BATCH))) {
		pthread_mutex_lock(&lock);
		for (size_t i = 0; i < n; i++)
			add(&info[i]);
		if (len >= FULL)
			write_out();
		pthread_mutex_unlock(&lock);
	}
}

/* The name is known to everybody: nobody's link is followed, nobody's file is written to. */
static int open_map(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	owner = getpid();
	return fd < 0 ? -errno : 0;
}

int kuse_perf_map(void)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (fd < 0 || owner != getpid())
		err = open_map();
	if (!err)
		__atomic_store_n(&kvm_perf_mapping, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return err;
}

void kvm_perf_map_init(void)
{
	const char *want = getenv("KUSE_PERF_MAP");

	if (want && !strcmp(want, "1"))
		kuse_perf_map();
}
