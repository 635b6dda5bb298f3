/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: duplicates, closing in every order and by every call, numbers used again. */
#include "client.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool runs(int vcpu, struct kvm_run *run)
{
	return !ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.port == 0x10;
}

static void duplicates(void)
{
	struct vm v;
	int a, b, c, d;

	vm_make(&v, guest_out, sizeof(guest_out));
	a = dup(v.vcpu);
	b = dup2(v.vcpu, 100);
	c = dup3(v.vcpu, 101, O_CLOEXEC);
	d = fcntl(v.vcpu, F_DUPFD, 200);
	CHECK("dup", runs(a, v.run));
	CHECK("dup2", b == 100 && runs(b, v.run));
	CHECK("dup3", c == 101 && runs(c, v.run) && fcntl(c, F_GETFD) == FD_CLOEXEC);
	CHECK("F_DUPFD", d >= 200 && runs(d, v.run));
	CHECK("F_DUPFD_CLOEXEC", runs(fcntl(v.vcpu, F_DUPFD_CLOEXEC, 0), v.run));
	CHECK("syscall(SYS_dup)", runs((int)syscall(SYS_dup, v.vcpu), v.run));
	CHECK("dup2 onto itself", dup2(v.vcpu, v.vcpu) == v.vcpu && runs(v.vcpu, v.run));
	FAILS("dup2 of nothing", dup2(999, v.vcpu), EBADF);
	CHECK("which leaves the target", runs(v.vcpu, v.run));
	close(v.vcpu);
	CHECK("a duplicate outlives the first number", runs(a, v.run));
	close(v.vm);
	close(v.kvm);
	CHECK("a vcpu outlives vm and kvm", runs(b, v.run));
	FAILS("a closed number", ioctl(v.vcpu, KVM_RUN, 0), EBADF);
	FAILS("closing it again", close(v.vcpu), EBADF);
	CHECK("mmap through a duplicate", mmap(NULL, 4096, PROT_READ, MAP_SHARED, a, 0) != MAP_FAILED);
}

static void numbers_again(void)
{
	struct vm v;
	int pipes[2];
	char c = 0;

	vm_make(&v, guest_out, sizeof(guest_out));
	if (pipe(pipes))
		exit(99);
	CHECK("dup2 over a vcpu", dup2(pipes[0], v.vcpu) == v.vcpu);
	CHECK("which is a pipe then", write(pipes[1], "x", 1) == 1 && read(v.vcpu, &c, 1) == 1 && c == 'x');
	FAILS("and has no KVM_RUN", ioctl(v.vcpu, KVM_RUN, 0), ENOTTY);
	CHECK("close", !close(v.vm));
	CHECK("the lowest number is used again",
	      open("/dev/null", O_WRONLY) <= v.vm && write(v.vm, "x", 1) == 1);
	FAILS("and has no ioctls of a vm", ioctl(v.vm, KVM_CREATE_VCPU, 1), ENOTTY);
	close(v.kvm);
}

static void closing(void)
{
	struct vm v;
	FILE *f;

	vm_make(&v, guest_out, sizeof(guest_out));
	CHECK("close_range with CLOEXEC closes nothing",
	      !close_range((unsigned)v.kvm, ~0u, CLOSE_RANGE_CLOEXEC) && runs(v.vcpu, v.run));
	CHECK("close_range", !close_range((unsigned)v.vcpu, (unsigned)v.vcpu, 0));
	FAILS("closed", ioctl(v.vcpu, KVM_RUN, 0), EBADF);
	f = fdopen(v.vm, "r+");
	CHECK("fclose of a vm", f && !fclose(f));
	FAILS("closed", ioctl(v.vm, KVM_CHECK_EXTENSION, 0), EBADF);
	CHECK("syscall(SYS_close)", !syscall(SYS_close, v.kvm));
	FAILS("closed", ioctl(v.kvm, KVM_GET_API_VERSION, 0), EBADF);
	vm_make(&v, guest_out, sizeof(guest_out));
	closefrom(3);
	FAILS("closefrom", ioctl(v.kvm, KVM_GET_API_VERSION, 0), EBADF);
	vm_make(&v, guest_out, sizeof(guest_out));
	CHECK("a VM after that", runs(v.vcpu, v.run));
	vm_end(&v);
}

static void other_calls(void)
{
	struct pollfd p = { .events = POLLIN | POLLOUT };
	struct epoll_event ev = { .events = EPOLLIN };
	struct stat st;
	struct vm v;
	char c = 0;

	vm_make(&v, guest_out, sizeof(guest_out));
	p.fd = v.vcpu;
	CHECK("poll: always ready", poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT));
	FAILS("epoll: not a file to wait for", epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, v.vcpu, &ev),
	      EPERM);
	FAILS("read", read(v.vcpu, &c, 1), EINVAL);
	FAILS("write", write(v.vm, &c, 1), EINVAL);
	CHECK("FIOCLEX", !ioctl(v.vcpu, FIOCLEX) && fcntl(v.vcpu, F_GETFD) == FD_CLOEXEC);
	CHECK("FIONCLEX", !ioctl(v.vcpu, FIONCLEX) && fcntl(v.vcpu, F_GETFD) == 0);
	CHECK("F_SETFD", !fcntl(v.vcpu, F_SETFD, FD_CLOEXEC) && fcntl(v.vcpu, F_GETFD) == FD_CLOEXEC);
	CHECK("fstat of a vm: no type", !fstat(v.vm, &st) && !(st.st_mode & S_IFMT));
	FAILS("an unknown ioctl", ioctl(v.kvm, _IO(0xae, 0xfe), 0), EINVAL);
	FAILS("a bad pointer", ioctl(v.vcpu, KVM_SET_REGS, (void *)8), EFAULT);
	FAILS("an unmapped one", ioctl(v.vcpu, KVM_GET_REGS, (void *)0x7ffff0000000), EFAULT);
	FAILS("KVM_RUN with an argument", ioctl(v.vcpu, KVM_RUN, 1), EINVAL);
	FAILS("mmap of a vm", (long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, v.vm, 0), ENODEV);
	CHECK("syscall(SYS_ioctl)",
	      !syscall(SYS_ioctl, v.vcpu, KVM_RUN, 0) && v.run->exit_reason == KVM_EXIT_IO);
	CHECK("anonymous mmap with a vcpu's number",
	      mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, v.vcpu, 0) != MAP_FAILED);
	CHECK("munmap of kvm_run", !munmap(v.run, 4096));
	CHECK("and KVM_RUN goes on", !ioctl(v.vcpu, KVM_RUN, 0));
	vm_end(&v);
}

int main(void)
{
	duplicates();
	numbers_again();
	closing();
	other_calls();
	return done();
}
