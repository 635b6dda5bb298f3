/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's signal handlers (DESIGN §5). The kernel runs a handler when a system call has returned, never
 * inside of it; a handler may then do anything: call KVM again, longjmp away, be pthread_cancel's. Here KVM's
 * code is interrupted by handlers anywhere. So one that arrives between kvm_client_enter and
 * kvm_client_leave ends KVM_RUN (kuse_signal_notify), is noted in a slot of the thread, and is called by
 * kvm_client_leave, with the mask it would have had. Until then its signal stays blocked, so that a second
 * one stays pending in the kernel, as it would.
 *
 * During a KVM_RUN with KVM_SET_SIGNAL_MASK, a signal that only this mask lets through is not the handler's
 * on Linux: KVM_RUN returns EINTR and the signal is still pending, for sigwait or signalfd. Such a one is
 * sent to the thread anew, and blocked.
 *
 * Async-signal-safe all of it; a slot is written by the handler and read with all signals blocked.
 */
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "virt/kvm_host.h"
#include "virt/process.h"
#include "virt/sys.h"

#define SLOTS 4
#define FAULT_SIGNALS (BIT_ULL(SIGSEGV - 1) | BIT_ULL(SIGBUS - 1) | BIT_ULL(SIGFPE - 1) | BIT_ULL(SIGILL - 1) | \
		       BIT_ULL(SIGTRAP - 1))

struct deferred {
	int sig;
	void (*handler)(int sig, siginfo_t *si, void *ctx);
	siginfo_t si;
	ucontext_t uc;
	u64 mask; /* while the handler runs */
};

static __thread struct {
	unsigned depth;
	unsigned n;
	u64 blocked; /* by us, until kvm_client_leave */
	u64 outside; /* the mask that KVM_SET_SIGNAL_MASK's replaces */
	u64 held;    /* signals that kuse_hold_signals's function has been told of */
	bool masked; /* KVM_SET_SIGNAL_MASK's is active */
	struct deferred slot[SLOTS];
} self __attribute__((tls_model("initial-exec")));

#define barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The system call itself: libc's functions leave out its own signals, pthread_cancel's among them. */
static void change_mask(int how, const u64 *set, u64 *old)
{
	syscall(SYS_rt_sigprocmask, how, set, old, sizeof(u64));
}

static u64 bit(int sig)
{
	return BIT_ULL(sig - 1);
}

void kvm_client_enter(void)
{
	self.depth++;
	barrier();
}

/* One slot: out of the table, called, and the mask from before put back. All signals are blocked. */
static void run_one(const u64 *before)
{
	struct deferred d = self.slot[--self.n];
	u64 after = *before;

	if (!self.n) {
		after &= ~self.blocked;
		self.blocked = 0;
	}
	memcpy(&d.uc.uc_sigmask, &after, sizeof(after));
	d.uc.uc_mcontext.fpregs = &d.uc.__fpregs_mem;
	change_mask(SIG_SETMASK, &d.mask, NULL);
	d.handler(d.sig, &d.si, &d.uc);
	change_mask(SIG_SETMASK, &after, NULL);
}

static void __attribute__((noinline)) run_deferred(void)
{
	u64 all = ~0ull, before;

	while (__atomic_load_n(&self.n, __ATOMIC_RELAXED)) {
		change_mask(SIG_SETMASK, &all, &before);
		if (self.n)
			run_one(&before);
		else
			change_mask(SIG_SETMASK, &before, NULL);
	}
}

void kvm_client_leave(void)
{
	barrier();
	self.depth--;
	barrier();
	if (unlikely(self.n) && !self.depth)
		run_deferred();
}

bool kvm_client_signal_pending(void)
{
	barrier();
	return self.n;
}

/* Pending again, for whoever waits for it outside. */
static void send_again(int sig, siginfo_t *si)
{
	pid_t pid = getpid(), tid = (pid_t)syscall(SYS_gettid);

	if (syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, si))
		syscall(SYS_tgkill, pid, tid, sig);
}

/* The host's ucontext ends behind one word of uc_sigmask; libc's type is longer. */
static void note(struct deferred *d, const ucontext_t *uc)
{
	memset(&d->uc, 0, sizeof(d->uc));
	memcpy(&d->uc, uc, offsetof(ucontext_t, uc_sigmask) + sizeof(u64));
	if (uc->uc_mcontext.fpregs)
		memcpy(&d->uc.__fpregs_mem, uc->uc_mcontext.fpregs, sizeof(d->uc.__fpregs_mem));
	change_mask(SIG_BLOCK, NULL, &d->mask);
}

bool kuse_signal_defer(int sig, siginfo_t *si, void *ctx, void (*handler)(int, siginfo_t *, void *))
{
	u64 *mask = (u64 *)&((ucontext_t *)ctx)->uc_sigmask;
	struct deferred *d = &self.slot[self.n];

	if (!handler && !(self.masked && self.outside & bit(sig)))
		return false;
	kuse_signal_notify();
	if (!self.depth)
		return false;
	if (self.masked && self.outside & bit(sig)) {
		*mask |= bit(sig);
		send_again(sig, si);
		return true;
	}
	if (self.n == SLOTS)
		return false;
	d->sig = sig;
	d->handler = handler;
	d->si = *si;
	note(d, ctx);
	self.blocked |= bit(sig) & ~*mask;
	*mask |= bit(sig);
	barrier();
	self.n++;
	return true;
}

/* ---- KVM_SET_SIGNAL_MASK ------------------------------------------------------------------------------- */

static void (*hold_signals)(unsigned long signals);

void kuse_hold_signals(void (*hold)(unsigned long signals))
{
	hold_signals = hold;
}

/* Once a thread for each signal: to find out what is blocked takes a system call. */
static void hold(u64 run)
{
	u64 outside;

	change_mask(SIG_BLOCK, NULL, &outside);
	hold_signals(outside & ~run & ~self.held);
	self.held |= ~run;
}

void kvm_sigset_activate(u64 sigset)
{
	u64 run = sigset & ~FAULT_SIGNALS; /* KVM needs these itself */

	if (hold_signals && ~run & ~self.held)
		hold(run);
	self.masked = true;
	barrier();
	change_mask(SIG_SETMASK, &run, &self.outside);
}

void kvm_sigset_deactivate(void)
{
	u64 outside = self.outside | self.blocked;

	change_mask(SIG_SETMASK, &outside, NULL);
	barrier();
	self.masked = false;
}
