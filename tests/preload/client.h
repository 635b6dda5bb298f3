/* SPDX-License-Identifier: Apache-2.0 */
/* What the clients of tests/preload share: cases in TAP, and a small real-mode VM made with plain ioctls.
 * They are ordinary programs, linked to libc only and not to KUSE; `kuse exec` puts KVM in front of them. */
#ifndef KUSE_TESTS_PRELOAD_CLIENT_H
#define KUSE_TESTS_PRELOAD_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int cases, failures;

static inline void check(bool ok, const char *name, int line)
{
	int err = errno;

	printf("%sok %d - %s\n", ok ? "" : "not ", ++cases, name);
	if (!ok) {
		failures++;
		printf("# line %d, errno %d (%s)\n", line, err, strerror(err));
	}
	fflush(stdout);
	errno = err;
}

#define CHECK(name, cond) check(cond, name, __LINE__)
/* expr is -1 with that errno. */
#define FAILS(name, expr, error) CHECK(name, (errno = 0, (expr) == -1) && errno == (error))

static inline int done(void)
{
	printf("1..%d\n", cases);
	return failures ? 1 : 0;
}

#define GUEST_BASE 0x1000
#define GUEST_SIZE 0x1000

struct vm {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

/* One vCPU at the first byte of `code`, in real mode. Ends the program where a step fails. */
static inline void vm_make_with(struct vm *v, const void *code, size_t len, bool irqchip)
{
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = GUEST_BASE, .memory_size = GUEST_SIZE };
	struct kvm_regs regs = { .rip = GUEST_BASE, .rflags = 2 };
	struct kvm_sregs sregs;
	int size;

	v->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	v->vm = ioctl(v->kvm, KVM_CREATE_VM, 0);
	v->mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy(v->mem, code, len);
	slot.userspace_addr = (uintptr_t)v->mem;
	size = ioctl(v->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (v->vm < 0 || ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &slot) || size <= 0 ||
	    (irqchip && ioctl(v->vm, KVM_CREATE_IRQCHIP, 0)) ||
	    (v->vcpu = ioctl(v->vm, KVM_CREATE_VCPU, 0)) < 0)
		exit(99);
	v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	if (v->run == MAP_FAILED || ioctl(v->vcpu, KVM_GET_SREGS, &sregs))
		exit(99);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(v->vcpu, KVM_SET_SREGS, &sregs) || ioctl(v->vcpu, KVM_SET_REGS, &regs))
		exit(99);
}

static inline void vm_make(struct vm *v, const void *code, size_t len)
{
	vm_make_with(v, code, len, false);
}

static inline void vm_end(struct vm *v)
{
	close(v->vcpu);
	close(v->vm);
	close(v->kvm);
}

static const uint8_t guest_out[] = { 0xe6, 0x10, 0xeb, 0xfc };  /* 1: out 0x10, al; jmp 1b */
static const uint8_t guest_spin[] = { 0xeb, 0xfe };             /* 1: jmp 1b */

#endif
