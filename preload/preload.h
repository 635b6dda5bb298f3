/* SPDX-License-Identifier: Apache-2.0 */
/* libkuse-preload.so's own seams. The rules it lives by are at the top of preload.c. */
#ifndef KUSE_PRELOAD_PRELOAD_H
#define KUSE_PRELOAD_PRELOAD_H

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the headers of libc do not declare: the checked variants of -D_FORTIFY_SOURCE, and old entry
 * points. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __xstat(int ver, const char *path, struct stat *st);
int __xstat64(int ver, const char *path, struct stat64 *st);
int __lxstat(int ver, const char *path, struct stat *st);
int __lxstat64(int ver, const char *path, struct stat64 *st);
int __fxstat(int ver, int fd, struct stat *st);
int __fxstat64(int ver, int fd, struct stat64 *st);
int __fxstatat(int ver, int dirfd, const char *path, struct stat *st, int flags);
int __fxstatat64(int ver, int dirfd, const char *path, struct stat64 *st, int flags);
char *__realpath_chk(const char *path, char *resolved, size_t size);
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
sighandler_t bsd_signal(int sig, sighandler_t handler);

/* next_<name>: what comes after us for that name, as dlsym(RTLD_NEXT) said. */
#define CALL(name) extern void *next_##name __attribute__((visibility("hidden")));
#define CALL_OWN CALL
#include "preload/calls.inc"
#undef CALL
#undef CALL_OWN

/* preload.c: looks one name up; before the constructor has run, all of them. */
void *preload_resolve(void **slot);

#define NEXT(name) ((__typeof__(&name))preload_next(&next_##name))

static inline void *preload_next(void **slot)
{
	void *p = __atomic_load_n(slot, __ATOMIC_RELAXED);

	return p ? p : preload_resolve(slot);
}

/* signal.c */
void preload_signal_init(void);
/* The system calls of that name. */
long preload_rt_sigaction(int sig, const void *act, void *old, size_t size);
long preload_rt_sigprocmask(int how, const void *set, void *old, size_t size);
/* Before this thread's first call of KVM: its faults must reach KVM. */
void preload_open_faults(void);
void preload_open_faults_everywhere(void);
/* KVM's own sigaction: in front of the client's for the five signals that are KVM's. */
int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

/* cpuid.c */
void preload_cpuid_init(void);

#endif
