/* SPDX-License-Identifier: Apache-2.0 */
/* The client border (sys.h): system calls on KVM's descriptors. Returns -1 and errno. */
#include "virt/sys.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/file.h"
#include "virt/init.h"
#include "virt/kvm_arch.h"
#include "virt/process.h"
#include "virt/vm.h"

#define DEV_NAME "kvm" /* of the kvm fd's memfd; vm and vcpu fds are called kvm-vm, kvm-vcpu */

/* Every call begins with kvm_client_enter and ends here. */
static int sys_return(long ret)
{
	kvm_client_leave();
	if (ret >= 0)
		return (int)ret;
	errno = (int)-ret;
	return -1;
}

static long host_call(long ret)
{
	return ret < 0 ? -errno : ret;
}

bool kuse_is_open(void)
{
	return kvm_dev_visible();
}

static long open_kvm(int flags)
{
	int err = kuse_init();
	int fd;

	if (err || !kvm_dev_visible())
		return err ? err : -ENODEV;
	fd = kvm_memfd(DEV_NAME, 0, flags & O_CLOEXEC);
	return fd < 0 ? fd : kvm_file_install(&kvm_chardev_ops, NULL, fd);
}

int kuse_open(int flags)
{
	kvm_client_enter();
	return sys_return(open_kvm(flags));
}

int kuse_close(int fd)
{
	kvm_client_enter();
	/* The number is forgotten first: another thread may get it again as soon as it is closed. */
	if (kvm_owns_descriptors())
		kvm_fd_forget(fd);
	return sys_return(host_call(syscall(SYS_close, fd)));
}

static void forget(unsigned int first, unsigned int last)
{
	unsigned int end = (unsigned int)(kvm_fd_highest() + 1);

	for (unsigned int fd = first; fd < end && fd <= last; fd++)
		kvm_fd_forget((int)fd);
}

void kuse_forget(unsigned int first, unsigned int last)
{
	kvm_client_enter();
	if (kvm_owns_descriptors())
		forget(first, last);
	kvm_client_leave();
}

/* ---- ioctl ------------------------------------------------------------------------------------------- */

/* Every file has these: the kernel answers them without asking the file's owner. */
static bool ioctl_of_any_file(unsigned int cmd)
{
	return cmd == FIOCLEX || cmd == FIONCLEX || cmd == FIONBIO || cmd == FIOASYNC || cmd == FIOQSIZE;
}

/* The name that kvm_memfd gave the file behind a number, also if that was in another process. */
static bool made_by_kvm(int fd, char name[32])
{
	char link[64], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	return sscanf(target, "/memfd:%31[^ ]", name) == 1 && !strncmp(name, DEV_NAME, strlen(DEV_NAME));
}

/* A descriptor from before an exec, or from another process: a kvm fd works on, the others belong to an
 * address space that is not this one. */
static long ioctl_on_stranger(int fd, unsigned int cmd, unsigned long arg)
{
	char name[32];

	if (_IOC_TYPE(cmd) != KVMIO || !made_by_kvm(fd, name))
		return host_call(syscall(SYS_ioctl, fd, cmd, arg));
	if (strcmp(name, DEV_NAME))
		return -EIO;
	if (kuse_init() || !kvm_dev_visible())
		return -ENODEV;
	return kvm_chardev_ops.ioctl(NULL, cmd, arg);
}

static long do_ioctl(int fd, unsigned int cmd, unsigned long arg)
{
	/* KVM_RUN is the hot path: no system call of our own in it. */
	struct kvm_file *file = kvm_fget(fd, cmd != KVM_RUN);
	long ret;

	if (!file)
		return ioctl_on_stranger(fd, cmd, arg);
	if (unlikely(ioctl_of_any_file(cmd)))
		ret = host_call(syscall(SYS_ioctl, fd, cmd, arg));
	else
		ret = file->ops->ioctl(file, cmd, arg);
	kvm_fput(file);
	return ret;
}

/*
 * libc's cancellation points wait for pthread_cancel's signal to be handled, and we put it off until KVM is
 * left: the two would wait for each other. So no call of ours is one. KVM_RUN, which the signal has to end,
 * keeps to system calls of its own; everything else holds cancellation off.
 */
struct cancel {
	int state, type;
};

static void cancel_hold(struct cancel *c)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &c->state);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &c->type);
}

/* The type last: only there glibc 2.36 says PTHREAD_CANCELED to who joins. */
static void cancel_release(const struct cancel *c)
{
	int old;

	pthread_setcancelstate(c->state, &old);
	pthread_setcanceltype(c->type, &old);
}

int kuse_ioctl(int fd, unsigned long request, unsigned long arg)
{
	bool run = (unsigned int)request == KVM_RUN;
	struct cancel c;
	int ret;

	if (!run)
		cancel_hold(&c);
	kvm_client_enter();
	ret = sys_return(do_ioctl(fd, (unsigned int)request, arg));
	if (!run)
		cancel_release(&c);
	return ret;
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void *do_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct kvm_file *file = flags & MAP_ANONYMOUS ? NULL : kvm_fget(fd, true);
	void *ret = MAP_FAILED;

	if (!file)
		return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
	if (file->ops->mmap)
		ret = file->ops->mmap(file, fd, addr, len, prot, flags, offset);
	else
		errno = ENODEV;
	kvm_fput(file);
	return ret;
}

void *kuse_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *ret;
	int err;

	kvm_client_enter();
	ret = do_mmap(addr, len, prot, flags, fd, offset);
	err = errno;
	kvm_client_leave();
	errno = err;
	return ret;
}

int kuse_fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct kvm_file *file = kvm_fget(fd, true);
	int ret;

	if (!file)
		return (int)syscall(SYS_fallocate, fd, mode, offset, len);
	ret = file->ops->fallocate ? file->ops->fallocate(file, mode, offset, len) : -ENODEV;
	kvm_fput(file);
	return sys_return(ret);
}

int kuse_munmap(void *addr, size_t len)
{
	return (int)syscall(SYS_munmap, addr, len);
}

void kuse_descriptors_wrapped(bool wrapped)
{
	kvm_files_trust_numbers(wrapped);
}

bool kuse_owns_fd(int fd)
{
	return kvm_fd_known(fd);
}

int kuse_dup(int oldfd, int newfd)
{
	kvm_client_enter();
	return sys_return(kvm_owns_descriptors() ? kvm_fd_dup(oldfd, newfd) : 0);
}

bool kuse_cpuid_hides_kvm(void)
{
	return kvm_arch_cpuid_hides_kvm();
}

void kuse_cpuid(unsigned int regs[4], unsigned int leaf, unsigned int subleaf)
{
	kvm_arch_client_cpuid(regs, leaf, subleaf);
}
