/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's side of the stub (stub.h): its frame, its list of calls, and the notification that passes
 * control.
 *
 * Nothing in the shared pages may be believed, with one exception: what the kernel wrote into the very first
 * frame, before any guest code was mapped (struct stub_template). Whatever of a frame decides about more
 * than the guest's own registers is written anew from there before each return: selectors, signal mask,
 * signal stack, the pointer to the XSAVE image and what the kernel checks of it. The frame always lies at
 * the same address (SS_AUTODISARM).
 *
 * The secret is in the stub's memory only from the answer until the handler erases it. If the stub parks
 * with RIP in our code page, guest code has jumped there and was interrupted, maybe with the secret in the
 * frame: such a stub is killed.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/seccomp.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "hyp/direct/x86/stub_priv.h"

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP /* Linux 6.6 */
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

/* ucontext as the kernel has it: its signal mask is 8 bytes, and siginfo follows. */
#define UC_SIZE (offsetof(ucontext_t, uc_sigmask) + 8)
#define XSAVE_MXCSR 24
#define XSAVE_MXCSR_MASK 28
#define XSAVE_SOFTWARE 464
#define XSAVE_HEADER 512
#define XSAVE_MAGIC1 0x46505853u
#define XSAVE_MAGIC2 0x46505845u
#define VSYSCALL_PAGE 0xffffffffff600000ull
#define RFLAGS_OF_RUN 0x40cd5ull   /* AC OF DF SF ZF AF PF CF: what rt_sigreturn loads */
#define RFLAGS_OF_POPF 0x204000ull /* ID NT: what it does not */

_Static_assert(offsetof(struct stub_ctl, secret_flags) == STUB_CTL_SECRET_FLAGS, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, secret_fd) == STUB_CTL_SECRET_FD, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, count) == STUB_CTL_COUNT, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, again) == STUB_CTL_AGAIN, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, frame) == STUB_CTL_FRAME, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, fs_base) == STUB_CTL_FS_BASE, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, gs_base) == STUB_CTL_GS_BASE, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, rflags) == STUB_CTL_RFLAGS, "stub_code.S");
_Static_assert(offsetof(struct stub_ctl, calls) == STUB_CTL_CALLS, "stub_code.S");
_Static_assert(sizeof(struct stub_call) == STUB_CALL_SIZE, "stub_code.S");
_Static_assert(sizeof(struct stub_ctl) <= STUB_CTL_SIZE, "the control area");
_Static_assert(offsetof(struct hyp_stub, pid) == 0, "kick.c");

/* Number in ModRM -> index in the kernel's register array. */
static const u8 greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static void *stub_pointer(const struct hyp_stub *s, u64 addr)
{
	return s->shared + (addr - HYP_STUB_BASE - STUB_CODE_SIZE);
}

static u8 *stub_xsave(const struct hyp_stub *s)
{
	return stub_pointer(s, s->first.fpregs);
}

static u64 get64(const void *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u32 get32(const void *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put16(void *p, u16 v)
{
	memcpy(p, &v, sizeof(v));
}

static void put32(void *p, u32 v)
{
	memcpy(p, &v, sizeof(v));
}

static void put64(void *p, u64 v)
{
	memcpy(p, &v, sizeof(v));
}

/* ---- the notification ------------------------------------------------------------------------- */

/* Without the flag a wake-up on another CPU costs some 40 us: the stub follows the calling thread. */
static void stub_follow(struct hyp_stub *s)
{
	int cpu = s->sync_wake_up ? s->cpu : sched_getcpu();
	u64 set[16] = { 0 };

	if (cpu == s->cpu || cpu < 0 || cpu >= 1024)
		return;
	set[cpu / 64] = BIT_ULL(cpu % 64);
	STUB_SYSCALL(SYS_sched_setaffinity, (u64)s->pid, sizeof(set), (u64)set);
	s->cpu = cpu;
}

static void stub_answer(struct hyp_stub *s)
{
	struct seccomp_notif_resp r = { .id = s->notif_id };

	/* ENOENT: it has been interrupted (or killed); stub_wait sees what comes next. */
	while (STUB_SYSCALL(SYS_ioctl, (u64)s->listener, SECCOMP_IOCTL_NOTIF_SEND, (u64)&r) == -EINTR)
		;
	s->parked = false;
}

/* Before Linux 6.11 RECV waits for ever when nobody is left who could park: see hyp_stub.pidfd. */
static long stub_poll(const struct hyp_stub *s)
{
	struct pollfd p[2] = { { s->listener, POLLIN, 0 }, { s->pidfd, POLLIN, 0 } };
	long ret = STUB_SYSCALL(SYS_poll, (u64)p, 2, (u64)-1);

	if (ret < 0)
		return ret;
	return p[1].revents ? -ESRCH : 0;
}

static long stub_receive(struct hyp_stub *s, struct seccomp_notif *n)
{
	long ret = s->pidfd >= 0 ? stub_poll(s) : 0;

	memset(n, 0, sizeof(*n));
	return ret ? ret : STUB_SYSCALL(SYS_ioctl, (u64)s->listener, SECCOMP_IOCTL_NOTIF_RECV, (u64)n);
}

/* Waits for the next park. 0 or -ESRCH. */
static int stub_wait(struct hyp_stub *s, u64 args[6])
{
	struct seccomp_notif n;
	long ret;

	while ((ret = stub_receive(s, &n))) {
		if (ret == -EINTR && s->uc)
			hyp_stub_kick(s);
		else if (ret == -EINTR || (ret == -ENOENT && !stub_exited(s)))
			continue; /* guest code jumped to park, and a signal interrupted it */
		else
			break;
	}
	s->ctl->secret_flags = s->ctl->secret_fd = 0;
	if (ret) {
		stub_kill(s);
		return -ESRCH;
	}
	s->parked = true;
	s->notif_id = n.id;
	for (unsigned i = 0; i < 6; i++)
		args[i] = n.data.args[i];
	return 0;
}

/* ---- the frame -------------------------------------------------------------------------------- */

static bool in_shared(u64 addr, u64 size)
{
	return addr >= HYP_STUB_BASE + STUB_CODE_SIZE + STUB_CTL_SIZE &&
	       addr <= HYP_STUB_BASE + HYP_STUB_SIZE - size;
}

static bool in_code(u64 addr)
{
	return addr - HYP_STUB_BASE < STUB_CODE_SIZE;
}

static bool canonical(u64 addr)
{
	return addr == (u64)((s64)(addr << 16) >> 16);
}

/* The first frame, which is the kernel's work alone. */
static int stub_learn(struct hyp_stub *s, const u64 args[6])
{
	struct stub_template *f = &s->first;
	u8 *x;

	if (args[0] != SIGILL || !in_shared(args[2], UC_SIZE + sizeof(siginfo_t)) ||
	    args[1] != args[2] + UC_SIZE)
		return -ENOTSUP;
	s->uc_addr = args[2];
	s->uc = stub_pointer(s, args[2]);
	s->info = stub_pointer(s, args[1]);
	f->uc_flags = s->uc->uc_flags;
	f->link = s->uc->uc_link;
	f->stack = s->uc->uc_stack;
	f->csgsfs = (u64)s->uc->uc_mcontext.gregs[REG_CSGSFS];
	f->fpregs = (u64)s->uc->uc_mcontext.fpregs;
	f->sigmask = get64(&s->uc->uc_sigmask);
	if (!in_shared(f->fpregs, XSAVE_HEADER + 64) || f->fpregs % 64)
		return -ENOTSUP;
	x = stub_xsave(s);
	memcpy(f->software, x + XSAVE_SOFTWARE, sizeof(f->software));
	f->xfeatures = get64(f->software + 8);
	f->xsave_size = get32(f->software + 16);
	f->mxcsr_mask = get32(x + XSAVE_MXCSR_MASK) ?: 0xffbf;
	if (get32(f->software) != XSAVE_MAGIC1 || !in_shared(f->fpregs, f->xsave_size + 4ull))
		return -ENOTSUP;
	memset(x, 0, XSAVE_SOFTWARE); /* the client's registers are none of the guest's business */
	memset(x + XSAVE_HEADER, 0, f->xsave_size - XSAVE_HEADER);
	put16(x, 0x37f);
	put32(x + XSAVE_MXCSR, 0x1f80);
	return 0;
}

static void stub_prepare_xsave(struct hyp_stub *s)
{
	const struct stub_template *f = &s->first;
	u8 *x = stub_xsave(s);

	put32(x + XSAVE_MXCSR, get32(x + XSAVE_MXCSR) & f->mxcsr_mask);
	memcpy(x + XSAVE_SOFTWARE, f->software, sizeof(f->software));
	put64(x + XSAVE_HEADER, get64(x + XSAVE_HEADER) & f->xfeatures);
	memset(x + XSAVE_HEADER + 8, 0, 56);
	put32(x + f->xsave_size, XSAVE_MAGIC2);
}

/* False: a base that WRFSBASE would not load, so it was never in use. */
static bool stub_prepare(struct hyp_stub *s)
{
	const struct stub_template *f = &s->first;
	greg_t *g = s->uc->uc_mcontext.gregs;

	if (!canonical(s->ctl->fs_base) || !canonical(s->ctl->gs_base))
		return false;
	s->uc->uc_flags = f->uc_flags;
	s->uc->uc_link = f->link;
	s->uc->uc_stack = f->stack;
	put64(&s->uc->uc_sigmask, f->sigmask);
	s->uc->uc_mcontext.fpregs = (fpregset_t)f->fpregs;
	g[REG_CSGSFS] = (greg_t)f->csgsfs;
	s->ctl->rflags = ((u64)g[REG_EFL] & RFLAGS_OF_POPF) | 0x202;
	g[REG_EFL] = (greg_t)(((u64)g[REG_EFL] & (RFLAGS_OF_RUN | RFLAGS_OF_POPF)) | 0x202);
	s->ctl->frame = s->uc_addr;
	stub_prepare_xsave(s);
	return true;
}

/* ---- interface -------------------------------------------------------------------------------- */

void hyp_stub_get_regs(const struct hyp_stub *s, struct hyp_stub_regs *r)
{
	const greg_t *g = s->uc->uc_mcontext.gregs;

	for (unsigned i = 0; i < 16; i++)
		r->gpr[i] = (u64)g[greg_of[i]];
	r->rip = (u64)g[REG_RIP];
	r->rflags = (u64)g[REG_EFL];
	r->fs_base = canonical(s->ctl->fs_base) ? s->ctl->fs_base : 0;
	r->gs_base = canonical(s->ctl->gs_base) ? s->ctl->gs_base : 0;
	r->cs = (u16)g[REG_CSGSFS];
	r->ss = (u16)((u64)g[REG_CSGSFS] >> 48);
}

void hyp_stub_set_regs(struct hyp_stub *s, const struct hyp_stub_regs *r)
{
	greg_t *g = s->uc->uc_mcontext.gregs;

	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = (greg_t)r->gpr[i];
	g[REG_RIP] = (greg_t)r->rip;
	g[REG_EFL] = (greg_t)r->rflags;
	s->ctl->fs_base = r->fs_base;
	s->ctl->gs_base = r->gs_base;
}

void *hyp_stub_xsave(struct hyp_stub *s, u32 *size)
{
	stub_prepare_xsave(s); /* it may be forged: what XRSTOR refuses must not get out */
	*size = s->first.xsave_size;
	return stub_xsave(s);
}

static bool stub_queue(struct hyp_stub *s, u64 nr, const u64 args[6])
{
	u64 va = args[0], len = args[1];

	if (len > HYP_STUB_TOP || va > HYP_STUB_TOP - len ||
	    (va < HYP_STUB_BASE + HYP_STUB_SIZE && va + len > HYP_STUB_BASE)) {
		s->queue_error = s->queue_error ?: -EINVAL;
		return true;
	}
	if (s->n_calls == HYP_STUB_MAX_CALLS)
		return false;
	s->ctl->calls[s->n_calls] = (struct stub_call){ .nr = nr };
	memcpy(s->ctl->calls[s->n_calls++].args, args, sizeof(u64[6]));
	return true;
}

bool hyp_stub_map(struct hyp_stub *s, u64 va, u64 len, int prot, int fd, u64 offset, bool populate)
{
	u64 flags = MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0);

	return stub_queue(s, SYS_mmap, (const u64[6]){ va, len, (u64)prot, flags, (u32)fd, offset });
}

bool hyp_stub_unmap(struct hyp_stub *s, u64 va, u64 len)
{
	return stub_queue(s, SYS_munmap, (const u64[6]){ va, len });
}

/* First failure among the calls that were made, and those that were not. */
static int stub_results(struct hyp_stub *s)
{
	int error = s->queue_error;

	for (unsigned i = 0; i < s->n_calls && !error; i++)
		if (s->ctl->calls[i].result < 0 && s->ctl->calls[i].result > -4096)
			error = (int)s->ctl->calls[i].result;
	s->n_calls = 0;
	s->queue_error = 0;
	return error;
}

/*
 * Guest code has entered ours. The registers are whatever came of that, but show no secret (which is only
 * ever in RAX, R8 and R10) and an RIP in our pages.
 */
static int stub_caught(struct hyp_stub *s)
{
	greg_t *g = s->uc->uc_mcontext.gregs;

	stub_kill(s);
	g[REG_RAX] = g[REG_R8] = g[REG_R10] = 0;
	if (!in_code((u64)g[REG_RIP]))
		g[REG_RIP] = (greg_t)HYP_STUB_BASE;
	return -EPERM;
}

/* One turn: the queued calls, then (without `again`) guest code, until it parks. */
static int stub_turn(struct hyp_stub *s, bool again, u64 args[6], int *error)
{
	if (s->dead)
		return -ESRCH;
	if (in_code((u64)s->uc->uc_mcontext.gregs[REG_RIP]) || !stub_prepare(s))
		return stub_caught(s);
	stub_follow(s);
	s->ctl->count = s->n_calls;
	s->ctl->again = again;
	s->ctl->secret_flags = (u64)s->secret[0] << 32;
	s->ctl->secret_fd = (u64)s->secret[1] << 32;
	stub_answer(s);
	if (stub_wait(s, args))
		return -ESRCH;
	*error = stub_results(s);
	return in_code((u64)s->uc->uc_mcontext.gregs[REG_RIP]) ? stub_caught(s) : 0;
}

int hyp_stub_flush(struct hyp_stub *s)
{
	u64 args[6];
	int error, ret;

	if (!s->n_calls && !s->queue_error)
		return s->dead ? -ESRCH : 0;
	ret = stub_turn(s, true, args, &error);
	return ret ? ret : error;
}

/* The kernel took the call for its own vsyscall page: RIP and RSP as if it had returned from there. */
static bool stub_undo_vsyscall(struct hyp_stub *s, struct hyp_stub_stop *stop)
{
	greg_t *g = s->uc->uc_mcontext.gregs;
	u64 addr = (u64)s->info->si_call_addr;

	if (addr < VSYSCALL_PAGE || addr - VSYSCALL_PAGE >= 4096)
		return false;
	g[REG_RIP] = (greg_t)addr;
	g[REG_RSP] -= 8;
	*stop = (struct hyp_stub_stop){ SIGSEGV, 14, 0x14, addr, SEGV_MAPERR, stop->map_error };
	return true;
}

static void stub_describe(struct hyp_stub *s, struct hyp_stub_stop *stop)
{
	const greg_t *g = s->uc->uc_mcontext.gregs;

	stop->si_code = s->info->si_code;
	if (stop->signo == SIGSYS || stop->signo == HYP_STUB_KICK) {
		if (stop->signo == SIGSYS && stub_undo_vsyscall(s, stop))
			return;
		stop->trapno = HYP_STUB_NO_TRAP;
		stop->addr = (u64)s->info->si_call_addr;
		return;
	}
	stop->trapno = (u32)g[REG_TRAPNO];
	stop->error_code = (u64)g[REG_ERR];
	stop->addr = stop->trapno == 14 ? (u64)g[REG_CR2] : (u64)s->info->si_addr;
}

int hyp_stub_run(struct hyp_stub *s, struct hyp_stub_stop *stop)
{
	u64 args[6];
	int ret;

	*stop = (struct hyp_stub_stop){ 0 };
	ret = stub_turn(s, false, args, &stop->map_error);
	if (ret)
		return ret;
	if (args[2] != s->uc_addr || !args[0] || args[0] > 64) /* parked, but not by a signal */
		return stub_caught(s);
	stop->signo = (int)args[0];
	stub_describe(s, stop);
	return 0;
}

/* ---- creation --------------------------------------------------------------------------------- */

static int stub_memory(struct hyp_stub *s)
{
	int fd = memfd_create("kuse-stub", MFD_CLOEXEC);
	ssize_t size = hyp_stub_code_end - hyp_stub_code;

	if (fd < 0)
		return -errno;
	s->shared = MAP_FAILED;
	if (!ftruncate(fd, HYP_STUB_SIZE) && pwrite(fd, hyp_stub_code, (size_t)size, 0) == size)
		s->shared = mmap(NULL, STUB_SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				 STUB_CODE_SIZE);
	if (s->shared == MAP_FAILED) {
		int error = -errno;

		close(fd);
		return error;
	}
	s->ctl = (struct stub_ctl *)s->shared;
	return fd;
}

static bool recv_sees_death(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 11));
}

static int stub_features(struct hyp_stub *s)
{
	s->sync_wake_up = !STUB_SYSCALL(SYS_ioctl, (u64)s->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
					SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	return recv_sees_death() ? 0 : stub_open_pidfd(s);
}

/* The first park, and away with the client's memory. */
static int stub_first_park(struct hyp_stub *s)
{
	u64 args[6];
	int ret = stub_wait(s, args);

	if (!ret)
		ret = stub_learn(s, args);
	if (ret)
		return ret;
	stub_queue(s, SYS_munmap, (const u64[6]){ 0, HYP_STUB_BASE });
	stub_queue(s, SYS_munmap,
		   (const u64[6]){ HYP_STUB_BASE + HYP_STUB_SIZE,
				   HYP_STUB_TOP - HYP_STUB_BASE - HYP_STUB_SIZE });
	return hyp_stub_flush(s);
}

static int stub_create(struct hyp_stub *s)
{
	int fd = stub_memory(s), ret;

	if (fd < 0)
		return fd;
	ret = stub_start(s, fd);
	close(fd);
	if (ret)
		return ret;
	ret = stub_features(s);
	return ret ? ret : stub_first_park(s);
}

struct hyp_stub *hyp_stub_create(void)
{
	struct hyp_stub *s;
	int ret;

	if (getauxval(AT_MINSIGSTKSZ) + 256 > STUB_STACK_SIZE) {
		errno = E2BIG;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->listener = s->pidfd = s->pid = s->cpu = -1;
	ret = getrandom(s->secret, sizeof(s->secret), 0) == sizeof(s->secret) ? stub_create(s) : -EAGAIN;
	if (!ret)
		return s;
	hyp_stub_destroy(s);
	errno = -ret;
	return NULL;
}

void hyp_stub_destroy(struct hyp_stub *s)
{
	if (!s)
		return;
	if (s->pid > 0)
		stub_reap(s);
	if (s->pidfd >= 0)
		STUB_SYSCALL(SYS_close, (u64)s->pidfd);
	if (s->listener >= 0)
		STUB_SYSCALL(SYS_close, (u64)s->listener);
	if (s->shared && s->shared != MAP_FAILED)
		munmap(s->shared, STUB_SHARED_SIZE);
	free(s);
}
