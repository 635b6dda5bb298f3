/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the VMM reaches a KVM: the system calls a client makes on /dev/kvm, as a table. There are two
 * tables: the host kernel's (accel_kvm.c) and KUSE's own, which cli/ passes in because vmm/ may not
 * see virt/. Every call returns what the system call returns: >= 0, or -1 with errno set.
 */
#ifndef KUSE_VMM_ACCEL_H
#define KUSE_VMM_ACCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct accel {
	const char *name;  /* as in --accel */
	const char *title; /* in messages: "the host's KVM (/dev/kvm)" */
	int (*open)(void);
	int (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, unsigned long arg);
	void *(*mmap)(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
	int (*munmap)(void *addr, size_t len);
	/* From a signal handler on a vCPU thread: a KVM_RUN under way must return EINTR. */
	void (*notify_signal)(void);
	/* After open failed: one line, cause and remedy, into buf. NULL: strerror(errno) says it all. */
	void (*explain)(char *buf, size_t len);
	bool ram_file; /* guest RAM had better be a file: parts of it are mapped in other processes, too */
};

/* The host kernel's /dev/kvm. */
extern const struct accel accel_host_kvm;

/*
 * Does the host's KVM really run guests? Tried in a child process, which is abandoned after a fraction of a
 * second, because an unusual /dev/kvm may hang. True if it does; else why (a phrase) says what is wrong.
 */
bool accel_probe_host(char *why, size_t len);

#endif
