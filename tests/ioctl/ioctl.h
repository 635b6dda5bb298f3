/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harness of the ioctl tests. Every test says what Linux's KVM does; with KUSE_TEST_KVM=real the same
 * programs run against /dev/kvm of the host, which is how the expectations were checked.
 */
#ifndef KUSE_TESTS_IOCTL_H
#define KUSE_TESTS_IOCTL_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "uapi/kuse_kvm.h"
#include "virt/sys.h"

#define BAD_POINTER 0xdead0000ul /* nothing is mapped there */

bool kvm_is_real(void);
int k_open(void);
int k_close(int fd);
int k_ioctl(int fd, unsigned long request, unsigned long arg);
void *k_mmap(size_t len, int fd, off_t offset);

/* A call that must succeed / must fail with this errno. */
#define ok(call) assert_return_code((call), errno)
#define fails(err, call)                          \
	do {                                      \
		errno = 0;                        \
		assert_int_equal((call), -1);     \
		assert_int_equal(errno, (err));   \
	} while (0)
#define IOCTL(fd, request, arg) k_ioctl((fd), (request), (unsigned long)(arg))

/* One VM with one vCPU and `MEM_SIZE` bytes of RAM at 0. */
#define MEM_SIZE 0x200000ul
struct machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

enum { NO_IRQCHIP, IRQCHIP };
int machine_up(struct machine *m, int irqchip);
void machine_vm(struct machine *m, uint64_t ram); /* its first half: a VM with RAM there */
void machine_vcpu(struct machine *m);             /* its second, behind the interrupt controllers: vCPU 0 */
void machine_down(struct machine *m);
/* 16-bit code at 0x1000, real mode, registers otherwise zero, SP 0x8000. */
void machine_code(struct machine *m, const void *code, size_t len);
int machine_run(struct machine *m); /* KVM_RUN: 0 or -1/errno */

void every_step_can_fail(void **state); /* a test: start-up's unwinding */

#define skip_real() do { if (kvm_is_real()) skip(); } while (0)

#endif
