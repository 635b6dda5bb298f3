/* SPDX-License-Identifier: Apache-2.0 */
/* A client that closes seccomp behind itself once its VM is made: KVM_RUN, its signals and its timers then
 * get along with what such clients allow for their own sake. Everything else kills the process. */
#include "client.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

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

int main(void)
{
	struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };
	struct sigaction act = { .sa_handler = count };
	struct kvm_regs regs;
	struct vm v;
	bool ok = true;

	vm_make(&v, guest_spin, sizeof(guest_spin));
	sigaction(SIGALRM, &act, NULL);
	printf("# KVM_RUN once before: %d\n", (v.run->immediate_exit = 1, ioctl(v.vcpu, KVM_RUN, 0)));
	v.run->immediate_exit = 0;
	alarm(1);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 99;
	CHECK("a signal ends KVM_RUN", ioctl(v.vcpu, KVM_RUN, 0) == -1 && errno == EINTR && handled == 1);
	memcpy(v.mem, guest_out, sizeof(guest_out));
	CHECK("KVM_GET_REGS", !ioctl(v.vcpu, KVM_GET_REGS, &regs) && regs.rip == GUEST_BASE);
	for (int i = 0; i < 1000 && ok; i++)
		ok = !ioctl(v.vcpu, KVM_RUN, 0) && v.run->exit_reason == KVM_EXIT_IO;
	CHECK("a thousand exits", ok);
	FAILS("a bad pointer", ioctl(v.vcpu, KVM_SET_REGS, (void *)8), EFAULT);
	return done();
}
