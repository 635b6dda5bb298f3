/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: what a KVM file descriptor refers to. A descriptor is a real one (a memfd), known here by its
 * number; several numbers (dup) may refer to one file. The last number's close releases the file.
 */
#ifndef KUSE_VIRT_FILE_H
#define KUSE_VIRT_FILE_H

#include <sys/types.h>
#include "lib/types.h"

struct kvm_file;

struct kvm_file_operations {
	const char *name;
	long (*ioctl)(struct kvm_file *file, unsigned int cmd, unsigned long arg);
	void (*release)(struct kvm_file *file);
	int (*fallocate)(struct kvm_file *file, int mode, off_t off, off_t len); /* 0 or -errno. NULL: ENODEV */
	/* Maps the file for the client as mmap(2): an address or MAP_FAILED with errno. NULL: ENODEV. */
	void *(*mmap)(struct kvm_file *file, int fd, void *addr, size_t len, int prot, int flags, off_t off);
};

struct kvm_file {
	const struct kvm_file_operations *ops;
	void *private_data;
	int fd;       /* the first number */
	s32 refs;     /* atomic: one for each number, one for each call under way */
	s32 numbers;  /* table lock */
	u32 mm;       /* kvm_current_mm() of its maker: never released elsewhere */
	dev_t dev;
	ino_t ino;    /* identity of the memfd behind it */
};

/* Makes a file of an open memfd `fd` (owned from now on, closed on failure) and enters its number.
 * The number, or -errno. */
int kvm_file_install(const struct kvm_file_operations *ops, void *private_data, int fd);
/* A memfd named for /proc/self/fd. -errno on failure. */
int kvm_memfd(const char *name, size_t size, bool cloexec);

/* The file behind fd with a reference, or NULL. `verify`: also ask the host whether the number still
 * refers to the same object (it may have been closed and reused behind our back), and adopt numbers made
 * by dup(2) that were not announced. */
struct kvm_file *kvm_fget(int fd, bool verify);
void kvm_fput(struct kvm_file *file);
bool kvm_fd_known(int fd);
/* The highest number that was ever ours, -1 for none. */
int kvm_fd_highest(void);
/* The number is gone. True where it was ours; the descriptor itself is closed by the caller. */
bool kvm_fd_forget(int fd);
int kvm_fd_dup(int oldfd, int newfd);
/* sys.h: kuse_descriptors_wrapped. */
void kvm_files_trust_numbers(bool trust);
/* process.c: the table is whole on both sides of a fork. */
void kvm_files_before_fork(void);
void kvm_files_after_fork(bool child);

#endif
