/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own reference to a client's eventfd: a dup of the descriptor, so that the client may close its
 * number, and the kernel's id of the eventfd, so that a later ioctl with another number for the same
 * eventfd is recognized (all eventfds share one inode).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "virt/vm.h"

/* False where /proc says it is something else. Without /proc (a jail) the client is believed. */
static bool is_eventfd(int fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return true;
	target[n] = '\0';
	return !strcmp(target, "anon_inode:[eventfd]");
}

/* "eventfd-id:" of fdinfo; the descriptor's number where the kernel does not tell. */
static u64 eventfd_id(int client_fd)
{
	char path[64], text[512], *at;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", client_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n > 0) {
		text[n] = '\0';
		at = strstr(text, "eventfd-id:");
		if (at)
			return strtoull(at + strlen("eventfd-id:"), NULL, 10) | BIT_ULL(63);
	}
	return (u64)client_fd;
}

int kvm_eventfd_get(struct kvm_eventfd *ev, int client_fd)
{
	if (fcntl(client_fd, F_GETFD) < 0)
		return -EBADF;
	if (!is_eventfd(client_fd))
		return -EINVAL;
	ev->fd = fcntl(client_fd, F_DUPFD_CLOEXEC, 3);
	if (ev->fd < 0)
		return -errno;
	ev->id = eventfd_id(client_fd);
	return 0;
}

void kvm_eventfd_put(struct kvm_eventfd *ev)
{
	if (ev->fd >= 0)
		close(ev->fd);
	ev->fd = -1;
}

void kvm_eventfd_signal(struct kvm_eventfd *ev)
{
	u64 one = 1;
	ssize_t n;

	do
		n = syscall(SYS_write, ev->fd, &one, sizeof(one)); /* no cancellation point: sys.c */
	while (n < 0 && errno == EINTR);
}

bool kvm_eventfd_consume(struct kvm_eventfd *ev)
{
	u64 count;
	struct iovec iov = { &count, sizeof(count) };
	/* The descriptor may be a blocking one, and the client may read it too: do not wait. */
	ssize_t n = preadv2(ev->fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		n = read(ev->fd, &count, sizeof(count));
	return n == (ssize_t)sizeof(count);
}
