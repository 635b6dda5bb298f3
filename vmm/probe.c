/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the host's /dev/kvm a KVM that can run a guest? That it opens proves little: the module may be
 * there without VT-x or AMD-V behind it, or be a backend that interprets guests at a crawl, or hang. A child
 * process runs a guest of a few bytes twice: in real mode (every kernel's secondary CPUs start there)
 * and in long mode, each time expecting one OUT with the right value and then HLT. The child writes its
 * verdict into a pipe; the parent waits a bounded time and then leaves the child to SIGKILL.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/types.h"
#include "vmm/accel.h"

/* For creating the VM and a few instructions; for a loop that takes a CPU 3 ms. */
#define ACCEL_PROBE_START_MS 500
#define ACCEL_PROBE_LOOP_MS 150
#define PROBE_RAM 0x10000u
#define PROBE_CODE 0x1000u
#define PROBE_PML4 0x2000u
#define PROBE_PORT 0xe9

/* mov $0x41, %al; out %al, $0xe9; hlt */
static const u8 real_code[] = {0xb0, 0x41, 0xe6, PROBE_PORT, 0xf4};
/*
 * mov $5000000, %ecx; 1: dec %ecx; jnz 1b; movabs $0x42 << 56, %rax; shr $56, %rax; out %al, $0xe9; hlt
 * The loop takes milliseconds on a CPU, and many seconds on a KVM that interprets guests.
 */
static const u8 long_code[] = {
	0xb9, 0x40, 0x4b, 0x4c, 0x00,
	0xff, 0xc9,
	0x75, 0xfc,
	0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x42,
	0x48, 0xc1, 0xe8, 56,
	0xe6, PROBE_PORT,
	0xf4,
};

struct probe {
	int kvm, vm, vcpu;
	u8 *ram;
	struct kvm_run *run;
	char why[120];
};

static bool probe_fail(struct probe *p, const char *what)
{
	snprintf(p->why, sizeof(p->why), "%s: %s", what, strerror(errno));
	return false;
}

static bool probe_create(struct probe *p)
{
	struct kvm_userspace_memory_region slot = {.memory_size = PROBE_RAM};
	int size;

	p->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (p->kvm < 0)
		return probe_fail(p, "open /dev/kvm");
	if (ioctl(p->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return probe_fail(p, "KVM_GET_API_VERSION is not 12");
	p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
	if (p->vm < 0)
		return probe_fail(p, "KVM_CREATE_VM");
	p->ram = mmap(NULL, PROBE_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (unsigned long)p->ram;
	if (p->ram == MAP_FAILED || ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return probe_fail(p, "guest memory");
	p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
	size = ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (p->vcpu < 0 || size <= 0)
		return probe_fail(p, "KVM_CREATE_VCPU");
	p->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	return p->run != MAP_FAILED || probe_fail(p, "mmap of the vCPU");
}

/* Runs to the OUT of `value`, then to HLT. */
static bool probe_run(struct probe *p, const char *mode, u8 value)
{
	struct kvm_run *run = p->run;

	if (ioctl(p->vcpu, KVM_RUN, 0) < 0)
		return probe_fail(p, "KVM_RUN");
	if (run->exit_reason == KVM_EXIT_IO && run->io.port == PROBE_PORT &&
	    *((u8 *)run + run->io.data_offset) == value) {
		if (ioctl(p->vcpu, KVM_RUN, 0) < 0)
			return probe_fail(p, "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_HLT)
			return true;
	}
	snprintf(p->why, sizeof(p->why), "a guest in %s mode ends with exit %u", mode, run->exit_reason);
	return false;
}

static bool probe_real_mode(struct probe *p)
{
	struct kvm_regs regs = {.rip = PROBE_CODE, .rflags = 2};
	struct kvm_sregs sregs;

	memcpy(p->ram + PROBE_CODE, real_code, sizeof(real_code));
	if (ioctl(p->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return probe_fail(p, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(p->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(p->vcpu, KVM_SET_REGS, &regs) < 0)
		return probe_fail(p, "KVM_SET_SREGS (real mode)");
	return probe_run(p, "real", 0x41);
}

static bool probe_long_mode(struct probe *p)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_regs regs = {.rip = PROBE_CODE, .rflags = 2};
	u64 *pml4 = (u64 *)(p->ram + PROBE_PML4);
	struct kvm_sregs sregs;

	memcpy(p->ram + PROBE_CODE, long_code, sizeof(long_code));
	pml4[0] = (PROBE_PML4 + 0x1000) | 3;
	pml4[512] = (PROBE_PML4 + 0x2000) | 3;
	pml4[1024] = 0x83; /* 2 MiB page at 0 */
	if (ioctl(p->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return probe_fail(p, "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.cr3 = PROBE_PML4;
	sregs.cr4 = 0x20;
	sregs.cr0 = 0x80000011;
	sregs.efer = 0x500;
	if (ioctl(p->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(p->vcpu, KVM_SET_REGS, &regs) < 0)
		return probe_fail(p, "KVM_SET_SREGS (long mode)");
	return probe_run(p, "long", 0x42);
}

/* Into the pipe: one byte when real mode has worked, then the verdict, empty if all is well. */
static void __attribute__((noreturn)) probe_child(int fd)
{
	struct probe p = {.kvm = -1};
	bool ok = probe_create(&p) && probe_real_mode(&p);
	bool told = write(fd, "", 1) == 1;

	if (ok)
		probe_long_mode(&p);
	told = write(fd, p.why, strlen(p.why) + 1) > 0 && told;
	_exit(!told);
}

/* Kills and reaps; a child stuck in the kernel is left to init. */
static void probe_reap(pid_t pid)
{
	const struct timespec tick = {.tv_nsec = 5000000};

	kill(pid, SIGKILL);
	for (int i = 0; i < 20 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&tick, NULL);
}

/* One message of the child, at most len bytes, in time: its length, 0 if the child died, -1 if it hangs. */
static ssize_t probe_hear(int fd, void *buf, size_t len, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) > 0 ? read(fd, buf, len) : -1;
}

static bool probe_parent(int fd, char *why, size_t len)
{
	ssize_t n = probe_hear(fd, why, 1, ACCEL_PROBE_START_MS);

	if (n > 0)
		n = probe_hear(fd, why, len - 1, ACCEL_PROBE_LOOP_MS);
	if (n > 0) {
		why[n] = 0;
		return why[0] == 0;
	}
	if (n < 0)
		snprintf(why, len, "/dev/kvm is there, but a test guest hangs or is interpreted at a crawl");
	else
		snprintf(why, len, "/dev/kvm is there, but the process of a test guest died");
	return false;
}

static bool probe_device(char *why, size_t len)
{
	bool works = false;
	int fds[2];
	pid_t pid;

	snprintf(why, len, "the probe of /dev/kvm could not be started");
	if (access("/dev/kvm", F_OK) < 0) {
		snprintf(why, len, "there is no /dev/kvm");
		return false;
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0)
		probe_child(fds[1]);
	close(fds[1]);
	if (pid > 0) {
		works = probe_parent(fds[0], why, len);
		probe_reap(pid);
	}
	close(fds[0]);
	return works;
}

static bool cpu_has_vmx_or_svm(void)
{
	u32 a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5))
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2);
}

bool accel_probe_host(char *why, size_t len)
{
	size_t n = 0;

	if (!cpu_has_vmx_or_svm())
		n = (size_t)snprintf(why, len, "this CPU offers no VT-x or AMD-V; ");
	return n < len && probe_device(why + n, len - n);
}
