/* SPDX-License-Identifier: Apache-2.0 */
/* syscall(2): clients that make system calls by number through libc. Those that concern KVM go to the
 * functions of that name; every other call passes with its six arguments untouched. */
#include "preload/preload.h"

#include <stdarg.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "virt/sys.h"

/* --wrap sends a plain `ioctl` past us (preload.c, rule 4), and __real_ioctl to us. */
#define OURS(name) __real_##name
#define DECLARE(name) extern __typeof__(name) __real_##name;
DECLARE(open)
DECLARE(openat)
DECLARE(ioctl)
DECLARE(mmap)
DECLARE(munmap)
DECLARE(mprotect)
DECLARE(mremap)
DECLARE(fallocate)
DECLARE(close)
DECLARE(close_range)
DECLARE(dup)
DECLARE(dup2)
DECLARE(dup3)
DECLARE(fcntl)
DECLARE(stat)
DECLARE(lstat)
DECLARE(fstat)
DECLARE(fstatat)
DECLARE(statx)
DECLARE(access)
DECLARE(faccessat)

typedef long (*call6)(long a, long b, long c, long d, long e, long f);

static long do_open(long path, long flags, long mode, long d, long e, long f)
{
	return OURS(open)((const char *)path, (int)flags, (mode_t)mode);
}

static long do_openat(long dirfd, long path, long flags, long mode, long e, long f)
{
	return OURS(openat)((int)dirfd, (const char *)path, (int)flags, (mode_t)mode);
}

static long do_ioctl(long fd, long request, long arg, long d, long e, long f)
{
	return OURS(ioctl)((int)fd, (unsigned long)request, arg);
}

static long do_mmap(long addr, long len, long prot, long flags, long fd, long offset)
{
	return (long)OURS(mmap)((void *)addr, (size_t)len, (int)prot, (int)flags, (int)fd, offset);
}

static long do_munmap(long addr, long len, long c, long d, long e, long f)
{
	return OURS(munmap)((void *)addr, (size_t)len);
}

static long do_mprotect(long addr, long len, long prot, long d, long e, long f)
{
	return OURS(mprotect)((void *)addr, (size_t)len, (int)prot);
}

static long do_mremap(long old, long old_len, long len, long flags, long new, long f)
{
	return (long)OURS(mremap)((void *)old, (size_t)old_len, (size_t)len, (int)flags, (void *)new);
}

static long do_fallocate(long fd, long mode, long offset, long len, long e, long f)
{
	return OURS(fallocate)((int)fd, (int)mode, offset, len);
}

static long do_close(long fd, long b, long c, long d, long e, long f)
{
	return OURS(close)((int)fd);
}

static long do_close_range(long first, long last, long flags, long d, long e, long f)
{
	return OURS(close_range)((unsigned int)first, (unsigned int)last, (int)flags);
}

static long do_dup(long fd, long b, long c, long d, long e, long f)
{
	return OURS(dup)((int)fd);
}

static long do_dup2(long oldfd, long newfd, long c, long d, long e, long f)
{
	return OURS(dup2)((int)oldfd, (int)newfd);
}

static long do_dup3(long oldfd, long newfd, long flags, long d, long e, long f)
{
	return OURS(dup3)((int)oldfd, (int)newfd, (int)flags);
}

static long do_fcntl(long fd, long cmd, long arg, long d, long e, long f)
{
	return OURS(fcntl)((int)fd, (int)cmd, arg);
}

static long do_stat(long path, long st, long c, long d, long e, long f)
{
	return OURS(stat)((const char *)path, (struct stat *)st);
}

static long do_lstat(long path, long st, long c, long d, long e, long f)
{
	return OURS(lstat)((const char *)path, (struct stat *)st);
}

static long do_fstat(long fd, long st, long c, long d, long e, long f)
{
	return OURS(fstat)((int)fd, (struct stat *)st);
}

static long do_newfstatat(long dirfd, long path, long st, long flags, long e, long f)
{
	return OURS(fstatat)((int)dirfd, (const char *)path, (struct stat *)st, (int)flags);
}

static long do_statx(long dirfd, long path, long flags, long mask, long sx, long f)
{
	return OURS(statx)((int)dirfd, (const char *)path, (int)flags, (unsigned int)mask,
			   (struct statx *)sx);
}

static long do_access(long path, long mode, long c, long d, long e, long f)
{
	return OURS(access)((const char *)path, (int)mode);
}

static long do_faccessat(long dirfd, long path, long mode, long d, long e, long f)
{
	return OURS(faccessat)((int)dirfd, (const char *)path, (int)mode, 0);
}

static long do_rt_sigaction(long sig, long act, long old, long size, long e, long f)
{
	return preload_rt_sigaction((int)sig, (const void *)act, (void *)old, (size_t)size);
}

static long do_rt_sigprocmask(long how, long set, long old, long size, long e, long f)
{
	return preload_rt_sigprocmask((int)how, (const void *)set, (void *)old, (size_t)size);
}

/* Before the call: a vCPU's thread must not meet the filter. */
static long do_prctl(long option, long b, long c, long d, long e, long f)
{
	bool was = option == PR_SET_SECCOMP && kuse_confined(true);
	long ret = NEXT(prctl)((int)option, b, c, d, e);

	if (option == PR_SET_SECCOMP && ret)
		kuse_confined(was);
	return ret;
}

static long do_seccomp(long operation, long flags, long args, long d, long e, long f)
{
	bool sets = operation == SECCOMP_SET_MODE_FILTER || operation == SECCOMP_SET_MODE_STRICT;
	bool was = sets && kuse_confined(true);
	long ret = NEXT(syscall)(SYS_seccomp, operation, flags, args);

	if (sets && ret < 0)
		kuse_confined(was);
	return ret;
}

/* As many arguments behind `last` as the array has room for; those that were not given are garbage. */
#define TAKE_ARGS(a, last)                                              \
	do {                                                            \
		va_list ap;                                             \
		va_start(ap, last);                                     \
		for (size_t i = 0; i < sizeof(a) / sizeof((a)[0]); i++) \
			(a)[i] = va_arg(ap, long);                      \
		va_end(ap);                                             \
	} while (0)

int prctl(int option, ...)
{
	long a[4];

	TAKE_ARGS(a, option);
	return (int)do_prctl(option, a[0], a[1], a[2], a[3], 0);
}

/* Which of its arguments make a system call one about KVM. */
enum concern {
	FD,      /* the first is a descriptor */
	FD_BOTH, /* the first two are */
	PATH,    /* the first is a name */
	PATH_AT, /* the second is, relative to the first */
	ANY,     /* asked further down */
};

static const struct {
	long nr;
	enum concern concern;
	call6 call;
} rows[] = {
	{ SYS_ioctl, ANY, do_ioctl },
	{ SYS_close, FD, do_close },
	{ SYS_fcntl, FD, do_fcntl },
	{ SYS_mmap, ANY, do_mmap },
	{ SYS_munmap, ANY, do_munmap },
	{ SYS_mprotect, ANY, do_mprotect },
	{ SYS_mremap, ANY, do_mremap },
	{ SYS_open, PATH, do_open },
	{ SYS_openat, PATH_AT, do_openat },
	{ SYS_fallocate, FD, do_fallocate },
	{ SYS_close_range, ANY, do_close_range },
	{ SYS_dup, FD, do_dup },
	{ SYS_dup2, FD_BOTH, do_dup2 },
	{ SYS_dup3, FD_BOTH, do_dup3 },
	{ SYS_fstat, FD, do_fstat },
	{ SYS_stat, PATH, do_stat },
	{ SYS_lstat, PATH, do_lstat },
	{ SYS_newfstatat, PATH_AT, do_newfstatat },
	{ SYS_statx, PATH_AT, do_statx },
	{ SYS_access, PATH, do_access },
	{ SYS_faccessat, PATH_AT, do_faccessat },
	{ SYS_prctl, ANY, do_prctl },
	{ SYS_seccomp, ANY, do_seccomp },
	{ SYS_rt_sigaction, ANY, do_rt_sigaction },
	{ SYS_rt_sigprocmask, ANY, do_rt_sigprocmask },
};

static bool concerns_kvm(enum concern concern, const long *a)
{
	switch (concern) {
	case FD:
		return kuse_owns_fd((int)a[0]);
	case FD_BOTH:
		return kuse_owns_fd((int)a[0]) || kuse_owns_fd((int)a[1]);
	case PATH:
		return kuse_owns_path(AT_FDCWD, (const char *)a[0]);
	case PATH_AT:
		return kuse_owns_path((int)a[0], (const char *)a[1]) || kuse_owns_fd((int)a[0]);
	default:
		return true;
	}
}

long syscall(long nr, ...)
{
	long a[6];

	TAKE_ARGS(a, nr);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].nr == nr && concerns_kvm(rows[i].concern, a))
			return rows[i].call(a[0], a[1], a[2], a[3], a[4], a[5]);
	return NEXT(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
