/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals (DESIGN §5). Two things are wanted of a client's handlers:
 *
 *  - One that runs on a thread inside KVM_RUN ends that KVM_RUN with EINTR. So the kernel is given on_signal,
 *    which tells KVM first (kuse_signal_notify) and then calls the client's. The client's function is kept in
 *    one word a signal, so that setting and running it need no lock; flags and mask are the kernel's to keep.
 *    sigaction gives the client its own function back.
 *
 *  - KVM needs SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP for itself, before the client: guest exceptions
 *    and bad ioctl pointers are told by them. From the moment KVM asks for one (through __wrap_sigaction),
 *    the kernel has KVM's handler, with the mask and flags of the client's, and what KVM does not want
 *    reaches the client's action through client_fault: its handler, or the default action, or being ignored.
 *
 *    They must not be blocked either while KVM runs. On a thread's first call of KVM they are unblocked
 *    for good, and from then on the functions that change and show its mask keep the client's wish for
 *    these five here.
 *
 * pthread_cancel's signal has a handler inside of libc, which may unwind the thread where it stands. The
 * first pthread_cancel after KVM was opened puts ours in front of it, by the system call (libc refuses).
 *
 * Never: a handler of the client in front of KVM's for those five.
 */
#include "preload/preload.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include "virt/sys.h"

typedef void (*handler3)(int sig, siginfo_t *si, void *ctx);

/* The kernel's struct sigaction. */
struct kernel_action {
	handler3 handler;
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

#define NSIGNALS 65
#define SIGCANCEL 32           /* libc's; the next one, too */
#define SA_RESTORER 0x04000000ul /* the kernel's: kernel_action.restorer is set */
#define SIGINFO_BIT (1ul << 63) /* in a word: the client set SA_SIGINFO */

/* The client's handler for each signal, as an address and SIGINFO_BIT. */
static uintptr_t word[NSIGNALS];

/* Signals that have on_signal also for the default action. */
static uint64_t held;

/* The five: what the client wants, and KVM's handler (NULL: KVM has not asked for it). */
static struct fault {
	struct sigaction client;
	handler3 kvm;
} faults[NSIGNALS];
static int fault_lock;

static const int the_five[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

/* Of this thread: it has called KVM, so the five are not blocked any more; those it believes to be. */
static __thread bool opened __attribute__((tls_model("initial-exec")));
static __thread uint64_t hidden __attribute__((tls_model("initial-exec")));
static bool on_all_threads; /* cpuid.c needs SIGTRAP on threads that never call KVM */

static uint64_t bit(int sig)
{
	return 1ul << (sig - 1);
}

static bool is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP;
}

static uintptr_t word_of(const struct sigaction *act)
{
	return (uintptr_t)act->sa_sigaction | (act->sa_flags & SA_SIGINFO ? SIGINFO_BIT : 0);
}

static bool has_handler(const struct sigaction *act)
{
	return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

/* Now, or when the call of KVM that it interrupted is over. */
static void call_client(uintptr_t w, int sig, siginfo_t *si, void *ctx)
{
	handler3 handler = (handler3)(w & ~SIGINFO_BIT); /* one that takes only `sig` ignores the rest */

	if (!kuse_signal_defer(sig, si, ctx, handler))
		handler(sig, si, ctx);
}

/* The default action of a signal that has on_signal only to be held (hold_signals): all of those end the
 * process or stop it. */
static void act_by_default(int sig)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	if (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
		raise(SIGSTOP);
		return;
	}
	NEXT(sigaction)(sig, &dfl, NULL);
	raise(sig); /* blocked now; it comes when the handler returns */
}

/* What the kernel is given for a client's handler. */
static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	uintptr_t w = __atomic_load_n(&word[sig], __ATOMIC_ACQUIRE) & ~SIGINFO_BIT;

	if (w > (uintptr_t)SIG_IGN)
		call_client(w, sig, si, ctx);
	else if (!kuse_signal_defer(sig, si, ctx, NULL) && !w)
		act_by_default(sig);
}

/* The client's action as it set it, from what the kernel says and the word from before. */
static void unwrap(struct sigaction *act, uintptr_t w)
{
	if (act->sa_sigaction != on_signal)
		return;
	act->sa_sigaction = (handler3)(w & ~SIGINFO_BIT);
	if (!(w & SIGINFO_BIT))
		act->sa_flags &= ~SA_SIGINFO;
}

static bool must_hold(int sig, const struct sigaction *act)
{
	return act->sa_handler == SIG_DFL && __atomic_load_n(&held, __ATOMIC_RELAXED) & bit(sig);
}

static int set_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	uintptr_t before = __atomic_load_n(&word[sig], __ATOMIC_ACQUIRE);
	struct sigaction ours;
	int ret;

	if (act && (has_handler(act) || must_hold(sig, act))) {
		ours = *act;
		ours.sa_sigaction = on_signal;
		ours.sa_flags |= SA_SIGINFO;
		__atomic_store_n(&word[sig], word_of(act), __ATOMIC_RELEASE);
		act = &ours;
	}
	ret = NEXT(sigaction)(sig, act, old);
	if (ret && act == &ours)
		__atomic_store_n(&word[sig], before, __ATOMIC_RELEASE);
	if (!ret && old)
		unwrap(old, before);
	return ret;
}

/* KVM_SET_SIGNAL_MASK lets them through, and they must not act by default then, but stay pending. */
static void hold_signals(unsigned long signals)
{
	const uint64_t harmless = bit(SIGCHLD) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGCONT);
	struct sigaction cur;

	for (int sig = 1; sig < NSIGNALS; sig++) {
		if (!(signals & ~harmless & bit(sig)) || is_fault(sig) || sig == SIGKILL || sig == SIGSTOP)
			continue;
		__atomic_fetch_or(&held, bit(sig), __ATOMIC_RELAXED);
		if (!NEXT(sigaction)(sig, NULL, &cur) && cur.sa_handler == SIG_DFL)
			set_action(sig, &cur, NULL);
	}
}

/* ---- the five ------------------------------------------------------------------------------------------ */

static void lock_faults(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	NEXT(pthread_sigmask)(SIG_SETMASK, &all, saved);
	while (__atomic_exchange_n(&fault_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock_faults(const sigset_t *saved)
{
	__atomic_store_n(&fault_lock, 0, __ATOMIC_RELEASE);
	NEXT(pthread_sigmask)(SIG_SETMASK, saved, NULL);
}

/* KVM's handler with the client's mask and flags; without a client's handler, the flags KVM needs least. */
static int install_kvm(int sig)
{
	struct sigaction act = faults[sig].client;

	if (!has_handler(&act)) {
		sigemptyset(&act.sa_mask);
		act.sa_flags = SA_NODEFER | SA_ONSTACK;
	}
	act.sa_sigaction = faults[sig].kvm;
	act.sa_flags = (act.sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
	return NEXT(sigaction)(sig, &act, NULL);
}

static void store_client(int sig, const struct sigaction *act)
{
	faults[sig].client = *act;
	__atomic_store_n(&word[sig], has_handler(act) ? word_of(act) : (uintptr_t)act->sa_handler,
			 __ATOMIC_RELEASE);
}

static int set_fault_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction before;
	sigset_t saved;
	int ret = 0;

	lock_faults(&saved);
	before = faults[sig].client;
	if (!faults[sig].kvm) {
		ret = set_action(sig, act, old);
	} else if (act) {
		store_client(sig, act);
		ret = install_kvm(sig);
	}
	if (faults[sig].kvm && old)
		*old = before;
	unlock_faults(&saved);
	return ret;
}

/* The default action for a fault: the handler goes, and it happens again when we return. */
static void default_action(int sig, const siginfo_t *si)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	NEXT(sigaction)(sig, &dfl, NULL);
	if (si->si_code <= 0) /* sent by kill: it would not happen again by itself */
		raise(sig);
}

/* What KVM passes on. */
static void client_fault(int sig, siginfo_t *si, void *ctx)
{
	uintptr_t w = __atomic_load_n(&word[sig], __ATOMIC_ACQUIRE);
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	if ((sighandler_t)w == SIG_IGN && si->si_code <= 0)
		return;
	if (w <= (uintptr_t)SIG_IGN) {
		default_action(sig, si);
		return;
	}
	if (faults[sig].client.sa_flags & (int)SA_RESETHAND)
		store_client(sig, &dfl);
	if (si->si_code <= 0)
		call_client(w, sig, si, ctx);
	else if (hidden & bit(sig)) /* a fault while it is blocked: the kernel would not call the handler */
		default_action(sig, si);
	else
		((handler3)(w & ~SIGINFO_BIT))(sig, si, ctx);
}

static void kvm_takes(int sig, handler3 kvm)
{
	struct sigaction cur;

	if (!faults[sig].kvm && !NEXT(sigaction)(sig, NULL, &cur)) {
		unwrap(&cur, word[sig]);
		store_client(sig, &cur);
	}
	faults[sig].kvm = kvm;
	install_kvm(sig);
}

static void kvm_gives_back(int sig)
{
	faults[sig].kvm = NULL;
	set_action(sig, &faults[sig].client, NULL);
}

/* KVM's own sigaction. */
int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	handler3 before;
	sigset_t saved;

	if (!is_fault(sig) || (act && act->sa_handler == SIG_DFL))
		return NEXT(sigaction)(sig, act, old);
	lock_faults(&saved);
	before = faults[sig].kvm;
	if (act && act->sa_sigaction == client_fault)
		kvm_gives_back(sig);
	else if (act)
		kvm_takes(sig, act->sa_sigaction);
	if (old)
		*old = (struct sigaction){ .sa_sigaction = before ? before : client_fault, .sa_flags = SA_SIGINFO };
	unlock_faults(&saved);
	return 0;
}

/* ---- what the client calls --------------------------------------------------------------------------- */

int sigaction(int sig, const struct sigaction *restrict act, struct sigaction *restrict old)
{
	if (sig <= 0 || sig >= NSIGNALS)
		return NEXT(sigaction)(sig, act, old);
	return is_fault(sig) ? set_fault_action(sig, act, old) : set_action(sig, act, old);
}

int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(sig, act, old);
}

static sighandler_t set_handler(int sig, sighandler_t handler, int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;

	sigemptyset(&act.sa_mask);
	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

sighandler_t signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART);
}

sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART);
}

sighandler_t ssignal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART);
}

sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER));
}

sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER));
}

/* ---- masks ---- */

void preload_open_faults(void)
{
	sigset_t five, old;

	if (opened)
		return;
	sigemptyset(&five);
	for (size_t i = 0; i < sizeof(the_five) / sizeof(the_five[0]); i++)
		sigaddset(&five, the_five[i]);
	NEXT(pthread_sigmask)(SIG_UNBLOCK, &five, &old);
	for (size_t i = 0; i < sizeof(the_five) / sizeof(the_five[0]); i++)
		if (sigismember(&old, the_five[i]))
			hidden |= bit(the_five[i]);
	opened = true;
}

/* To be called while there is one thread: the others inherit its mask. */
void preload_open_faults_everywhere(void)
{
	preload_open_faults();
	on_all_threads = true;
}

/* The part of a change that concerns one of the five stays here. */
static void keep_wish(int how, const sigset_t *set, int sig)
{
	bool in = sigismember(set, sig) == 1;

	if (how == SIG_SETMASK)
		hidden = (hidden & ~bit(sig)) | (in ? bit(sig) : 0);
	else if (in && how == SIG_BLOCK)
		hidden |= bit(sig);
	else if (in && how == SIG_UNBLOCK)
		hidden &= ~bit(sig);
}

static int change_mask(int how, const sigset_t *set, sigset_t *old)
{
	uint64_t before = hidden;
	sigset_t rest;
	int err;

	if (set) {
		rest = *set;
		for (size_t i = 0; i < sizeof(the_five) / sizeof(the_five[0]); i++)
			sigdelset(&rest, the_five[i]);
	}
	err = NEXT(pthread_sigmask)(how, set ? &rest : NULL, old);
	for (size_t i = 0; i < sizeof(the_five) / sizeof(the_five[0]) && !err; i++) {
		if (set)
			keep_wish(how, set, the_five[i]);
		if (old && before & bit(the_five[i]))
			sigaddset(old, the_five[i]);
	}
	return err;
}

int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	if (!opened && !on_all_threads)
		return NEXT(pthread_sigmask)(how, set, old);
	return change_mask(how, set, old);
}

int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	int err;

	if (!opened && !on_all_threads)
		return NEXT(sigprocmask)(how, set, old);
	err = change_mask(how, set, old);
	if (err)
		errno = err;
	return err ? -1 : 0;
}

/* ---- the same by syscall(2): the kernel's structures, and its eight bytes of a mask
 * ------------------------ */

static void from_kernel(struct sigaction *act, const struct kernel_action *k)
{
	*act = (struct sigaction){ .sa_sigaction = k->handler, .sa_flags = (int)(k->flags & ~SA_RESTORER) };
	memcpy(&act->sa_mask, &k->mask, sizeof(k->mask));
}

static void to_kernel(struct kernel_action *k, const struct sigaction *act)
{
	*k = (struct kernel_action){ .handler = act->sa_sigaction, .flags = (unsigned int)act->sa_flags };
	memcpy(&k->mask, &act->sa_mask, sizeof(k->mask));
}

long preload_rt_sigaction(int sig, const void *act, void *old, size_t size)
{
	struct sigaction new_action, old_action;

	if (size != sizeof(uint64_t) || sig == SIGCANCEL || sig == SIGCANCEL + 1)
		return NEXT(syscall)(SYS_rt_sigaction, sig, act, old, size);
	if (act)
		from_kernel(&new_action, act);
	if (sigaction(sig, act ? &new_action : NULL, &old_action))
		return -1;
	if (old)
		to_kernel(old, &old_action);
	return 0;
}

long preload_rt_sigprocmask(int how, const void *set, void *old, size_t size)
{
	sigset_t new_set, old_set;
	int err;

	if (size != sizeof(uint64_t) || (!opened && !on_all_threads))
		return NEXT(syscall)(SYS_rt_sigprocmask, how, set, old, size);
	sigemptyset(&new_set);
	sigemptyset(&old_set);
	if (set)
		memcpy(&new_set, set, size);
	err = change_mask(how, set ? &new_set : NULL, &old_set);
	if (err) {
		errno = err;
		return -1;
	}
	if (old)
		memcpy(old, &old_set, size);
	return 0;
}

/* ---- pthread_cancel ---- */

static void *wait_to_be_cancelled(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* libc installs its handler with the first pthread_cancel of all: of a thread made for that. */
static bool make_libc_install(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_to_be_cancelled, NULL))
		return false;
	NEXT(pthread_cancel)(thread);
	pthread_join(thread, NULL);
	return true;
}

static void wrap_cancel(void)
{
	struct kernel_action act;

	if (word[SIGCANCEL] || !make_libc_install())
		return;
	if (NEXT(syscall)(SYS_rt_sigaction, SIGCANCEL, NULL, &act, sizeof(act.mask)) ||
	    (uintptr_t)act.handler <= (uintptr_t)SIG_IGN)
		return;
	__atomic_store_n(&word[SIGCANCEL], (uintptr_t)act.handler | SIGINFO_BIT, __ATOMIC_RELEASE);
	act.handler = on_signal;
	NEXT(syscall)(SYS_rt_sigaction, SIGCANCEL, &act, NULL, sizeof(act.mask));
}

int pthread_cancel(pthread_t thread)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (kuse_is_open())
		pthread_once(&once, wrap_cancel);
	return NEXT(pthread_cancel)(thread);
}

/* Another thread had it, which the child has not. */
static void child_of_fork(void)
{
	__atomic_store_n(&fault_lock, 0, __ATOMIC_RELAXED);
}

void preload_signal_init(void)
{
	pthread_atfork(NULL, NULL, child_of_fork);
	kuse_handlers_wrapped(true);
	kuse_hold_signals(hold_signals);
}
