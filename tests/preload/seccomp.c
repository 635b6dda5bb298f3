/* SPDX-License-Identifier: Apache-2.0 */
/* A client that closes seccomp behind itself once its VM is made: KVM_RUN, its signals and its timers then
 * get along with what such clients allow for their own sake. Everything else kills the process. */
#include "client.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define ALLOW(name)                                                     \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1),          \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(futex),
	ALLOW(write),
	ALLOW(close),
	ALLOW(rt_sigreturn),
	ALLOW(rt_sigprocmask),
	ALLOW(exit_group),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static volatile sig_atomic_t handled;

static void count(int sig)
{
	handled++;
}

/* A PIC that vectors from 0x20 on, automatic EOI; sti; 1: hlt; jmp 1b. Its lines have IRET for a handler. */
static const uint8_t guest_halts[] = { 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0,
				       0x03, 0xe6, 0x21, 0xb0, 0x00, 0xe6, 0x21, 0xfb, 0xf4, 0xeb, 0xfd };

static int halting_vm;
static volatile bool woken_enough;

/* Short halts, of the kind that vCPUs poll in. Not filtered: the filter is the main thread's. */
static void *wake(void *arg)
{
	struct timespec ts = { 0, 50000 };
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	while (!woken_enough)
		for (unsigned level = 0; level < 2; level++) {
			struct kvm_irq_level irq = { .irq = 5, .level = level };

			nanosleep(&ts, NULL);
			if (ioctl(halting_vm, KVM_IRQ_LINE, &irq))
				return arg;
		}
	return NULL;
}

static void make_halting(struct vm *v)
{
	struct kvm_userspace_memory_region slot = { .slot = 1, .memory_size = 0x1000 };
	struct kvm_regs regs = { .rip = GUEST_BASE, .rsp = 0x700, .rflags = 2 };
	uint8_t *mem = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	vm_make_with(v, guest_halts, sizeof(guest_halts), true);
	mem[0x800] = 0xcf;
	for (unsigned i = 0x20; i < 0x28; i++)
		*(uint32_t *)(mem + 4 * i) = 0x800;
	slot.userspace_addr = (uintptr_t)mem;
	if (ioctl(v->vcpu, KVM_SET_REGS, &regs) || ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &slot))
		exit(99);
	halting_vm = v->vm;
}

int main(void)
{
	struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };
	struct sigaction act = { .sa_handler = count };
	struct itimerval often = { { 0, 400000 }, { 0, 400000 } };
	struct kvm_regs regs;
	struct vm v, halting;
	bool ok = true;
	pthread_t waker;

	vm_make(&v, guest_spin, sizeof(guest_spin));
	sigaction(SIGALRM, &act, NULL);
	printf("# KVM_RUN once before: %d\n", (v.run->immediate_exit = 1, ioctl(v.vcpu, KVM_RUN, 0)));
	v.run->immediate_exit = 0;
	make_halting(&halting);
	pthread_create(&waker, NULL, wake, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 99;
	CHECK("a signal ends KVM_RUN", ioctl(v.vcpu, KVM_RUN, 0) == -1 && errno == EINTR && handled == 1);
	CHECK("and many short halts", ioctl(halting.vcpu, KVM_RUN, 0) == -1 && errno == EINTR && handled > 1);
	woken_enough = true;
	memcpy(v.mem, guest_out, sizeof(guest_out));
	CHECK("KVM_GET_REGS", !ioctl(v.vcpu, KVM_GET_REGS, &regs) && regs.rip == GUEST_BASE);
	for (int i = 0; i < 1000 && ok; i++)
		ok = !ioctl(v.vcpu, KVM_RUN, 0) && v.run->exit_reason == KVM_EXIT_IO;
	CHECK("a thousand exits", ok);
	FAILS("a bad pointer", ioctl(v.vcpu, KVM_SET_REGS, (void *)8), EFAULT);
	return done();
}
