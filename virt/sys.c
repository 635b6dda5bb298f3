/* SPDX-License-Identifier: Apache-2.0 */
/* The client border (sys.h): system calls on KVM's descriptors. Returns -1 and errno. */
#include "virt/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/file.h"
#include "virt/init.h"
#include "virt/vm.h"

static int sys_return(long ret)
{
	if (ret >= 0)
		return (int)ret;
	errno = (int)-ret;
	return -1;
}

int kuse_open(int flags)
{
	int err = kuse_init();
	int fd;

	if (err || !kvm_dev_visible())
		return sys_return(err ? err : -ENODEV);
	fd = kvm_memfd("kvm", 0, flags & O_CLOEXEC);
	if (fd >= 0)
		fd = kvm_file_install(&kvm_chardev_ops, NULL, fd);
	return sys_return(fd);
}

int kuse_close(int fd)
{
	/* The number is forgotten first: another thread may get it again as soon as it is closed. */
	kvm_fd_forget(fd);
	return (int)syscall(SYS_close, fd);
}

void kuse_forget(unsigned int first, unsigned int last)
{
	unsigned int end = (unsigned int)(kvm_fd_highest() + 1);

	for (unsigned int fd = first; fd < end && fd <= last; fd++)
		kvm_fd_forget((int)fd);
}

int kuse_ioctl(int fd, unsigned long request, unsigned long arg)
{
	unsigned int cmd = (unsigned int)request;
	/* KVM_RUN is the hot path: no system call of our own in it. */
	struct kvm_file *file = kvm_fget(fd, cmd != KVM_RUN);
	long ret;

	if (!file)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	ret = file->ops->ioctl(file, cmd, arg);
	kvm_fput(file);
	return sys_return(ret);
}

void *kuse_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
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

int kuse_munmap(void *addr, size_t len)
{
	return (int)syscall(SYS_munmap, addr, len);
}

bool kuse_owns_fd(int fd)
{
	return kvm_fd_known(fd);
}

int kuse_dup(int oldfd, int newfd)
{
	return sys_return(kvm_fd_dup(oldfd, newfd));
}
