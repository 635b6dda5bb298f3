/* SPDX-License-Identifier: Apache-2.0 */
/* fork, vfork and exec: what a child may do with KVM's descriptors, and what it may not do to its
 * parent's. */
#include "client.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static bool runs(int vcpu, struct kvm_run *run)
{
	return !ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO;
}

/* The status with which the child left, or -1. */
static int outcome(pid_t pid)
{
	int status;

	alarm(20);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	alarm(0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool refused(int fd, unsigned long request)
{
	return ioctl(fd, request, 0) == -1 && errno == EIO;
}

/* In a child: bit n of the status says that step n went wrong. */
static int child_of(struct vm *v)
{
	struct vm own;
	int bad = 0;

	bad |= !refused(v->vm, KVM_CHECK_EXTENSION) << 0;
	bad |= !refused(v->vcpu, KVM_RUN) << 1;
	bad |= (ioctl(v->kvm, KVM_GET_API_VERSION, 0) != 12) << 2;
	close(v->vcpu);
	close(v->vm);
	vm_make(&own, guest_out, sizeof(guest_out));
	bad |= !runs(own.vcpu, own.run) << 3;
	vm_end(&own);
	return bad;
}

static void forking(struct vm *v)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(child_of(v));
	status = outcome(pid);
	CHECK("fork: the parent's vm is refused with EIO", status >= 0 && !(status & 1));
	CHECK("fork: the parent's vcpu too", status >= 0 && !(status & 2));
	CHECK("fork: the kvm fd works", status >= 0 && !(status & 4));
	CHECK("fork: the child has a VM of its own", status >= 0 && !(status & 8));
	CHECK("fork: the parent's goes on", runs(v->vcpu, v->run));
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(!refused(v->vcpu, KVM_RUN));
	CHECK("a fork by syscall(2) is one too", outcome(pid) == 0);
	CHECK("and the parent's goes on", runs(v->vcpu, v->run));
}

/* vfork shares the memory: what the child closes must stay open here. */
static void vforking(struct vm *v)
{
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): what this is about */

	if (!pid) {
		close(v->vcpu); /* NOLINT(clang-analyzer-unix.Vfork): clients do it */
		dup2(0, v->vm);
		_exit(0);
	}
	CHECK("vfork", outcome(pid) == 0);
	CHECK("vfork: the vcpu is still there", runs(v->vcpu, v->run));
	CHECK("vfork: and the vm", ioctl(v->vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
}

/* After exec: 3 numbers in argv. */
static int after_exec(char **argv)
{
	int kvm = atoi(argv[2]), vm = atoi(argv[3]), vcpu = atoi(argv[4]), bad = 0;
	struct vm own;

	bad |= (ioctl(kvm, KVM_GET_API_VERSION, 0) != 12) << 0;
	bad |= !refused(vm, KVM_CREATE_VCPU) << 1;
	bad |= !refused(vcpu, KVM_RUN) << 2;
	bad |= (close(vm) || close(vcpu)) << 3;
	vm_make(&own, guest_out, sizeof(guest_out));
	bad |= !runs(own.vcpu, own.run) << 4;
	return bad;
}

static void executing(struct vm *v, char *self)
{
	char num[3][16];
	char *args[] = { self, "after-exec", num[0], num[1], num[2], NULL };
	int status, fds[3] = { dup(v->kvm), dup(v->vm), dup(v->vcpu) };
	pid_t pid;

	for (int i = 0; i < 3; i++)
		snprintf(num[i], sizeof(num[i]), "%d", fds[i]);
	pid = fork();
	if (!pid) {
		execv(self, args);
		_exit(127);
	}
	status = outcome(pid);
	CHECK("exec: the kvm fd works on", status >= 0 && !(status & 1));
	CHECK("exec: the vm is refused with EIO", status >= 0 && !(status & 2));
	CHECK("exec: the vcpu too", status >= 0 && !(status & 4));
	CHECK("exec: they can be closed", status >= 0 && !(status & 8));
	CHECK("exec: a VM of its own", status >= 0 && !(status & 16));
	CHECK("exec: the parent's goes on", runs(v->vcpu, v->run));
}

static void closed_on_exec(struct vm *v)
{
	char script[64];
	pid_t pid;

	snprintf(script, sizeof(script), "test ! -e /proc/self/fd/%d", v->vcpu);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	CHECK("exec: a vcpu fd is close-on-exec", outcome(pid) == 0);
}

int main(int argc, char **argv)
{
	struct vm v;

	if (argc == 5 && !strcmp(argv[1], "after-exec"))
		return after_exec(argv);
	vm_make(&v, guest_out, sizeof(guest_out));
	forking(&v);
	vforking(&v);
	executing(&v, argv[0]);
	closed_on_exec(&v);
	vm_end(&v);
	return done();
}
