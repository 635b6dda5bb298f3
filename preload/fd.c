/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on descriptors: ioctl, mmap, and what makes or ends a number. */
#include "preload/preload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <linux/userfaultfd.h>
#include "virt/sys.h"

#define KVMIO 0xae /* the ioctl type of KVM */

static int changed(int ret, const void *addr, size_t len)
{
	if (!ret)
		kuse_memory_changed(addr, len);
	return ret;
}

/* Who answers faults of the client's mapping would not see those of another one. */
static int register_userfault(int fd, unsigned long arg)
{
	const struct uffdio_register *r = (const void *)arg;
	int ret = NEXT(ioctl)(fd, UFFDIO_REGISTER, arg);

	return ret ? ret : changed(0, (const void *)(uintptr_t)r->range.start, r->range.len);
}

int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	/* A number that KVM does not know may still be one of its files: a dup it was not told of. */
	if (kuse_owns_fd(fd) || _IOC_TYPE(request) == KVMIO) {
		preload_open_faults();
		return kuse_ioctl(fd, request, arg);
	}
	return request == UFFDIO_REGISTER ? register_userfault(fd, arg) : NEXT(ioctl)(fd, request, arg);
}

/* ---- what is mapped where: KVM wants to know if it is guest RAM (Linux: MMU notifiers) ---- */

#define MMAP(name, offset_t)                                                              \
	void *name(void *addr, size_t len, int prot, int flags, int fd, offset_t offset) \
	{                                                                                 \
		bool ours = !(flags & MAP_ANONYMOUS) && kuse_owns_fd(fd);                 \
		void *at = ours ? kuse_mmap(addr, len, prot, flags, fd, offset)           \
				: NEXT(name)(addr, len, prot, flags, fd, offset);         \
		if (at != MAP_FAILED)                                                     \
			kuse_memory_changed(at, len);                                     \
		return at;                                                                \
	}
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

#define FALLOCATE(name, offset_t)                                                         \
	int name(int fd, int mode, offset_t offset, offset_t len)                        \
	{                                                                                 \
		if (kuse_owns_fd(fd))                                                     \
			return kuse_fallocate(fd, mode, offset, len);                     \
		return NEXT(name)(fd, mode, offset, len);                                 \
	}
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

int munmap(void *addr, size_t len)
{
	return changed(NEXT(munmap)(addr, len), addr, len);
}

int mprotect(void *addr, size_t len, int prot)
{
	return changed(NEXT(mprotect)(addr, len, prot), addr, len);
}

void *mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
	void *new, *at;
	va_list ap;

	va_start(ap, flags);
	new = va_arg(ap, void *);
	va_end(ap);
	at = NEXT(mremap)(old, old_len, len, flags, new);
	if (at == MAP_FAILED)
		return at;
	kuse_memory_changed(old, old_len);
	kuse_memory_changed(at, len);
	return at;
}

/* ---- numbers that end ------------------------------------------------------------------------------ */

int close(int fd)
{
	return kuse_owns_fd(fd) ? kuse_close(fd) : NEXT(close)(fd);
}

int fclose(FILE *f)
{
	int fd = fileno(f);

	/* Forgotten before it is closed: another thread may get the number at once. */
	if (kuse_owns_fd(fd))
		kuse_forget(fd, fd);
	return NEXT(fclose)(f);
}

int close_range(unsigned int first, unsigned int last, int flags)
{
	int ret = NEXT(close_range)(first, last, flags);

	if (!ret && !(flags & CLOSE_RANGE_CLOEXEC))
		kuse_forget(first, last);
	return ret;
}

void closefrom(int first)
{
	kuse_forget(first < 0 ? 0 : (unsigned int)first, UINT32_MAX);
	NEXT(closefrom)(first);
}

/* ---- numbers that begin ---------------------------------------------------------------------------- */

/* newfd is a number for what oldfd is. KVM's table may have no room for it. */
static int announce(int oldfd, int newfd)
{
	int err;

	if (newfd < 0 || !kuse_owns_fd(oldfd) || !kuse_dup(oldfd, newfd))
		return newfd;
	err = errno;
	NEXT(close)(newfd);
	errno = err;
	return -1;
}

int dup(int fd)
{
	return announce(fd, NEXT(dup)(fd));
}

/* What newfd was before is closed by dup2. */
static int replaced(int oldfd, int newfd, int ret)
{
	if (ret < 0 || oldfd == newfd)
		return ret;
	if (!kuse_owns_fd(oldfd) && kuse_owns_fd(newfd))
		kuse_forget((unsigned int)newfd, (unsigned int)newfd);
	return announce(oldfd, ret);
}

int dup2(int oldfd, int newfd)
{
	return replaced(oldfd, newfd, NEXT(dup2)(oldfd, newfd));
}

int dup3(int oldfd, int newfd, int flags)
{
	return replaced(oldfd, newfd, NEXT(dup3)(oldfd, newfd, flags));
}

#define FCNTL(name)                                                                          \
	int name(int fd, int cmd, ...)                                                       \
	{                                                                                    \
		unsigned long arg;                                                           \
		va_list ap;                                                                  \
		va_start(ap, cmd);                                                           \
		arg = va_arg(ap, unsigned long);                                             \
		va_end(ap);                                                                  \
		if ((cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) && kuse_owns_fd(fd))          \
			return announce(fd, NEXT(name)(fd, cmd, arg));                       \
		return NEXT(name)(fd, cmd, arg);                                             \
	}
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- reading and writing: KVM's files have neither --------------------------------------------------- */

static ssize_t no_such_operation(int fd)
{
	errno = fcntl(fd, F_GETFD) < 0 ? EBADF : EINVAL;
	return -1;
}

ssize_t read(int fd, void *buf, size_t n)
{
	return kuse_owns_fd(fd) ? no_such_operation(fd) : NEXT(read)(fd, buf, n);
}

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	return kuse_owns_fd(fd) ? no_such_operation(fd) : NEXT(__read_chk)(fd, buf, n, size);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	return kuse_owns_fd(fd) ? no_such_operation(fd) : NEXT(write)(fd, buf, n);
}
