/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a stub process: from clone to its first park, and its end.
 *
 * The client may have any number of threads, holding any locks: between clone and the first park the child
 * makes only the system calls of a list that the parent has prepared. It blocks all signals but those that
 * stop it (it is in the client's process group: Ctrl-C must not reach it), and has exit signal 0, so that
 * the client's SIGCHLD handlers and wait calls do not see it. Nor does a debugger of the client's, which
 * would take each of its page faults for one of the client's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hyp/direct/x86/stub_priv.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif
#define ARCH_SHSTK_DISABLE 0x5002
#define START_SECONDS 10
#define FD_MIN 900

static const int stop_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, HYP_STUB_KICK };

/* struct sigaction as the kernel has it */
struct kernel_sigaction {
	u64 handler, flags, restorer, mask;
};
#define KERNEL_SA_RESTORER 0x04000000

struct start_call {
	u64 nr, args[6];
	bool may_fail;
};

/* What the child does, in the parent's words. */
struct start_plan {
	struct stub_ctl *ctl;
	u64 parent, rseq;
	unsigned n;
	struct start_call calls[24];
	struct start_call install; /* seccomp: the last one, its result is the listener */
	struct kernel_sigaction action;
	stack_t stack;
	u64 mask;
	struct sock_filter filter[STUB_FILTER_MAX];
	struct sock_fprog program;
};

/* ---- the child: no libc, nothing that a sanitizer instruments --------------------------------- */

/* The kernel wants the length that libc registered, which nothing tells. */
STUB_BARE static void start_drop_rseq(u64 area)
{
	for (u64 len = 20; len <= 512; len += 4)
		if (!STUB_SYSCALL(SYS_rseq, area, len, RSEQ_FLAG_UNREGISTER, 0x53053053))
			return;
}

STUB_BARE static void start_fail(struct start_plan *p, long error)
{
	p->ctl->listener = (s32)error;
	for (;;)
		STUB_SYSCALL(SYS_exit_group, 1);
}

STUB_BARE static void start_child(struct start_plan *p)
{
	if (p->rseq)
		start_drop_rseq(p->rseq);
	for (unsigned i = 0; i < p->n; i++) {
		struct start_call *c = &p->calls[i];
		long ret = stub_syscall((long)c->nr, c->args);

		if (ret < 0 && ret > -4096 && !c->may_fail)
			start_fail(p, ret);
	}
	if ((u64)STUB_SYSCALL(SYS_getppid, 0) != p->parent)
		start_fail(p, -ESRCH);
	__atomic_store_n(&p->ctl->listener, (s32)stub_syscall((long)p->install.nr, p->install.args),
			 __ATOMIC_RELEASE);
	for (;;)
		asm volatile("ud2"); /* the first frame */
}

STUB_BARE static int start_clone(struct start_plan *p)
{
	u64 all = ~0ull, old;
	long pid;

	STUB_SYSCALL(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&all, (u64)&old, 8);
	pid = STUB_SYSCALL(SYS_clone, CLONE_FILES | CLONE_UNTRACED);
	if (!pid)
		start_child(p);
	STUB_SYSCALL(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&old, 0, 8);
	return (int)pid;
}

/* ---- the plan --------------------------------------------------------------------------------- */

#define PLAN(p, nr, ...) ((p)->calls[(p)->n++] = (struct start_call){ nr, { __VA_ARGS__ }, false })
#define PLAN_MAY_FAIL(p, nr, ...) ((p)->calls[(p)->n++] = (struct start_call){ nr, { __VA_ARGS__ }, true })

static void plan_process(struct start_plan *p)
{
	PLAN(p, SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	PLAN(p, SYS_prctl, PR_SET_DUMPABLE, 0);
	PLAN(p, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1);
	PLAN_MAY_FAIL(p, SYS_prctl, PR_SET_NAME, (u64) "kuse-stub");
	PLAN_MAY_FAIL(p, SYS_arch_prctl, ARCH_SHSTK_DISABLE, 1); /* our handler returns from no call */
}

static void plan_memory(struct start_plan *p, int memfd)
{
	PLAN(p, SYS_mmap, HYP_STUB_BASE, STUB_CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED,
	     (u64)memfd, 0);
	PLAN(p, SYS_mmap, HYP_STUB_BASE + STUB_CODE_SIZE, STUB_SHARED_SIZE, PROT_READ | PROT_WRITE,
	     MAP_SHARED | MAP_FIXED, (u64)memfd, STUB_CODE_SIZE);
}

/*
 * SS_AUTODISARM: every frame starts at the top of the signal stack, even if the guest's RSP points there,
 * and a signal within the handler kills.
 */
static void plan_signals(struct start_plan *p)
{
	p->stack = (stack_t){ .ss_sp = (void *)(HYP_STUB_BASE + STUB_CODE_SIZE + STUB_CTL_SIZE),
			      .ss_size = STUB_STACK_SIZE,
			      .ss_flags = (int)SS_AUTODISARM };
	p->action = (struct kernel_sigaction){ .handler = HYP_STUB_BASE,
					       .flags = SA_SIGINFO | SA_ONSTACK | KERNEL_SA_RESTORER,
					       .restorer = HYP_STUB_BASE + (u64)(hyp_stub_restorer - hyp_stub_code),
					       .mask = ~0ull };
	p->mask = ~0ull;
	PLAN(p, SYS_sigaltstack, (u64)&p->stack, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(stop_signals); i++) {
		p->mask &= ~BIT_ULL(stop_signals[i] - 1);
		PLAN(p, SYS_rt_sigaction, (u64)stop_signals[i], (u64)&p->action, 0, 8);
	}
	PLAN(p, SYS_rt_sigprocmask, SIG_SETMASK, (u64)&p->mask, 0, 8);
}

static void plan_filter(struct start_plan *p, const u32 secret[2])
{
	p->program = (struct sock_fprog){ .len = (u16)stub_filter(p->filter, secret), .filter = p->filter };
	p->install = (struct start_call){ SYS_seccomp,
					  { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
					    (u64)&p->program },
					  false };
}

/* ---- the parent ------------------------------------------------------------------------------- */

bool stub_exited(const struct hyp_stub *s)
{
	siginfo_t si = { 0 };

	return STUB_SYSCALL(SYS_waitid, P_PID, (u64)s->pid, (u64)&si, WEXITED | WNOHANG | WNOWAIT | __WALL) <
		       0 ||
	       si.si_pid;
}

void stub_kill(struct hyp_stub *s)
{
	s->dead = true;
	STUB_SYSCALL(SYS_kill, (u64)s->pid, SIGKILL);
}

void stub_reap(struct hyp_stub *s)
{
	stub_kill(s);
	while (STUB_SYSCALL(SYS_wait4, (u64)s->pid, 0, __WALL, 0) == -EINTR)
		;
}

/* The child cannot wake anybody once the filter stands, so this looks every now and then. */
static int start_wait_listener(struct hyp_stub *s)
{
	const struct timespec pause = { 0, 50 * 1000 };
	s32 fd;

	for (unsigned i = 0; i < START_SECONDS * 20000u; i++) {
		fd = __atomic_load_n(&s->ctl->listener, __ATOMIC_ACQUIRE);
		if (fd != STUB_STARTING)
			return fd;
		if (stub_exited(s))
			break;
		STUB_SYSCALL(SYS_nanosleep, (u64)&pause, 0);
	}
	fd = __atomic_load_n(&s->ctl->listener, __ATOMIC_ACQUIRE);
	return fd != STUB_STARTING ? fd : -ESRCH;
}

/*
 * At a high number: clients expect the small ones, and the listener came at the lowest free one
 * (CLONE_FILES).
 */
static int start_move_fd(int fd)
{
	long moved = STUB_SYSCALL(SYS_fcntl, (u64)fd, F_DUPFD_CLOEXEC, FD_MIN);

	if (moved < 0)
		return fd;
	STUB_SYSCALL(SYS_close, (u64)fd);
	return (int)moved;
}

int stub_open_pidfd(struct hyp_stub *s)
{
	long fd = STUB_SYSCALL(SYS_pidfd_open, (u64)s->pid, 0);

	if (fd < 0)
		return (int)fd;
	s->pidfd = start_move_fd((int)fd);
	return 0;
}

int stub_start(struct hyp_stub *s, int memfd)
{
	struct start_plan p = { .ctl = s->ctl, .parent = (u64)getpid() };
	int fd;

	if (__rseq_size)
		p.rseq = (u64)__builtin_thread_pointer() + (u64)__rseq_offset;
	plan_process(&p);
	plan_memory(&p, memfd);
	plan_signals(&p);
	plan_filter(&p, s->secret);
	s->ctl->listener = STUB_STARTING;
	s->pid = start_clone(&p);
	if (s->pid < 0)
		return s->pid;
	fd = start_wait_listener(s);
	if (fd < 0) /* EINVAL: a kernel before 5.0 */
		return fd == -EINVAL ? -ENOSYS : fd;
	s->listener = start_move_fd(fd);
	return 0;
}
