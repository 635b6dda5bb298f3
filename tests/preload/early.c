/* SPDX-License-Identifier: Apache-2.0 */
/* A library of the client's, whose constructor runs before libkuse-preload.so's may have: KVM must work in
 * it. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int early_version = -1, early_mode;

static void handler(int sig)
{
}

__attribute__((constructor)) static void early(void)
{
	int fd = open("/dev/kvm", O_RDWR);
	struct stat st;

	signal(SIGUSR1, handler);
	early_version = ioctl(fd, KVM_GET_API_VERSION, 0);
	early_mode = stat("/dev/kvm", &st) ? 0 : (int)st.st_mode;
	close(fd);
}
