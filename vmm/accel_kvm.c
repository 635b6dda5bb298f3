/* SPDX-License-Identifier: Apache-2.0 */
/* The host kernel's KVM: plain system calls. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/accel.h"

static int host_open(void)
{
	return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

static int host_ioctl(int fd, unsigned long request, unsigned long arg)
{
	return ioctl(fd, request, arg);
}

/* Any signal ends the kernel's KVM_RUN by itself. */
static void host_notify_signal(void)
{
}

const struct accel accel_host_kvm = {
	.name = "kvm",
	.title = "the host's KVM (/dev/kvm)",
	.open = host_open,
	.close = close,
	.ioctl = host_ioctl,
	.mmap = mmap,
	.munmap = munmap,
	.notify_signal = host_notify_signal,
};
