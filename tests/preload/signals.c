/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: what ends KVM_RUN and what does not, handlers kept as the client set them, masks, cancellation. */
#include "client.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static struct vm spin;
static volatile sig_atomic_t handled, inside;
static volatile int seen_sig, seen_code;
static sigjmp_buf back;

static void count(int sig)
{
	handled++;
	seen_sig = sig;
}

static void count_info(int sig, siginfo_t *si, void *ctx)
{
	handled++;
	seen_sig = sig;
	seen_code = si->si_code;
	inside = sigismember(&((ucontext_t *)ctx)->uc_sigmask, SIGUSR1) == 1;
}

static void set(int sig, void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&act.sa_mask);
	handled = 0;
	if (sigaction(sig, &act, NULL))
		exit(99);
}

static void set_info(int sig, void (*handler)(int, siginfo_t *, void *))
{
	set(sig, (void (*)(int))(void *)handler, SA_SIGINFO);
}

/* SIGALRM after ms milliseconds, and again where the machine was too busy to get us into KVM_RUN by then. */
static void timer(int ms)
{
	struct itimerval t = { .it_value = { ms / 1000, ms % 1000 * 1000 }, .it_interval = { 0, ms ? 500000 : 0 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

static bool run_is_interrupted(void)
{
	bool ok = (errno = 0, ioctl(spin.vcpu, KVM_RUN, 0)) == -1 && errno == EINTR;
	int err = errno;

	timer(0);
	errno = err;
	return ok;
}

/* ---- what ends KVM_RUN ------------------------------------------------------------------------------- */

static void ends_run(void)
{
	set(SIGALRM, count, 0);
	timer(30);
	CHECK("a handler ends KVM_RUN with EINTR",
	      run_is_interrupted() && spin.run->exit_reason == KVM_EXIT_INTR);
	CHECK("and was called", handled && seen_sig == SIGALRM);
	set(SIGALRM, count, (int)SA_RESTART);
	timer(30);
	CHECK("SA_RESTART makes no difference", run_is_interrupted() && handled);
	set_info(SIGALRM, count_info);
	timer(30);
	CHECK("SA_SIGINFO", run_is_interrupted() && handled && seen_code == SI_KERNEL);
	for (int i = 0; i < 20; i++) {
		timer(1);
		if (!run_is_interrupted())
			break;
	}
	CHECK("again and again", handled >= 21);
	set(SIGUSR1, SIG_IGN, 0);
	set(SIGALRM, count, 0);
	timer(60);
	if (!fork()) {
		usleep(20000);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK("an ignored signal does not", run_is_interrupted() && handled);
	spin.run->immediate_exit = 1;
	CHECK("immediate_exit does", run_is_interrupted());
	spin.run->immediate_exit = 0;
}

static void raise_from_handler(int sig)
{
	handled++;
	seen_code = ioctl(spin.vcpu, KVM_GET_MP_STATE, &(struct kvm_mp_state){ 0 });
}

static void jump(int sig)
{
	siglongjmp(back, 1);
}

/* A handler may do what it likes: KVM_RUN is over when it is called. */
static void handlers_are_free(void)
{
	set(SIGALRM, raise_from_handler, 0);
	timer(30);
	CHECK("a handler that calls the same vcpu", run_is_interrupted() && handled && seen_code == 0);
	set(SIGALRM, jump, 0);
	if (!sigsetjmp(back, 1)) {
		timer(30);
		ioctl(spin.vcpu, KVM_RUN, 0);
	}
	timer(0);
	set(SIGALRM, count, 0);
	timer(30);
	CHECK("a handler that jumps out: the vcpu runs on", run_is_interrupted() && handled);
	CHECK("and the vm takes calls", ioctl(spin.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
}

/* ---- actions ------------------------------------------------------------------------------------------- */

static void actions(void)
{
	struct sigaction act = { .sa_sigaction = count_info, .sa_flags = (int)(SA_SIGINFO | SA_RESTART) }, old;

	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGUSR1);
	CHECK("sigaction", !sigaction(SIGUSR2, &act, NULL) && !sigaction(SIGUSR2, NULL, &old));
	CHECK("gives back the handler", old.sa_sigaction == count_info);
	CHECK("its flags",
	      (old.sa_flags & (int)(SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_ONSTACK)) == act.sa_flags);
	CHECK("its mask", sigismember(&old.sa_mask, SIGUSR1) == 1 && !sigismember(&old.sa_mask, SIGHUP));
	handled = 0;
	raise(SIGUSR2);
	CHECK("and calls it", handled == 1 && seen_sig == SIGUSR2 && seen_code == SI_TKILL);
	CHECK("signal tells the one before", signal(SIGUSR2, count) == (void (*)(int))(void *)count_info);
	CHECK("without SA_SIGINFO", !sigaction(SIGUSR2, NULL, &old) && old.sa_handler == count &&
					    !(old.sa_flags & SA_SIGINFO) && old.sa_flags & (int)SA_RESTART);
	CHECK("SIG_IGN is told as such",
	      signal(SIGUSR2, SIG_IGN) == count && signal(SIGUSR2, SIG_DFL) == SIG_IGN);
	set(SIGUSR2, count, (int)SA_RESETHAND);
	raise(SIGUSR2);
	CHECK("SA_RESETHAND", handled == 1 && !sigaction(SIGUSR2, NULL, &old) && old.sa_handler == SIG_DFL);
	FAILS("SIGKILL", sigaction(SIGKILL, &act, NULL), EINVAL);
	FAILS("no signal", sigaction(0, &act, NULL), EINVAL);
	FAILS("beyond the last", sigaction(65, &act, NULL), EINVAL);
}

/* ---- the signals that KVM needs too ---- */

static void recover(int sig, siginfo_t *si, void *ctx)
{
	handled++;
	seen_sig = sig;
	siglongjmp(back, 1);
}

static void fault(volatile int *p)
{
	if (!sigsetjmp(back, 1))
		*p = 1;
}

static void faults(void)
{
	struct sigaction old;
	void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK("SIGSEGV is SIG_DFL at first", !sigaction(SIGSEGV, NULL, &old) && old.sa_handler == SIG_DFL);
	set_info(SIGSEGV, recover);
	set_info(SIGBUS, recover);
	fault(page);
	CHECK("the client's SIGSEGV handler is called", handled == 1 && seen_sig == SIGSEGV);
	FAILS("but not for a bad ioctl pointer", ioctl(spin.vcpu, KVM_GET_REGS, page), EFAULT);
	CHECK("of which it hears nothing", handled == 1);
	CHECK("sigaction gives it back",
	      !sigaction(SIGSEGV, NULL, &old) && old.sa_sigaction == recover && old.sa_flags & SA_SIGINFO);
	set_info(SIGTRAP, count_info);
	raise(SIGTRAP);
	CHECK("SIGTRAP by raise", handled == 1 && seen_sig == SIGTRAP);
	__asm__ volatile("int3");
	CHECK("SIGTRAP by int3", handled == 2);
	set_info(SIGSEGV, count_info);
	set(SIGALRM, count, 0);
	timer(30);
	CHECK("the guest runs with them installed", run_is_interrupted());
	set(SIGSEGV, SIG_DFL, 0);
	if (!fork()) {
		*(volatile int *)page = 1;
		_exit(0);
	}
}

/* Threads of clients block what they can; KVM's signals must come all the same. */
static void *blocked_thread(void *arg)
{
	sigset_t all, cur;
	void *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	*(int *)arg = ioctl(spin.vcpu, KVM_GET_REGS, bad) == -1 && errno == EFAULT;
	pthread_sigmask(SIG_BLOCK, NULL, &cur);
	if (sigismember(&cur, SIGSEGV) != 1 || sigismember(&cur, SIGUSR1) != 1)
		*(int *)arg |= 2;
	sigemptyset(&all);
	sigaddset(&all, SIGSEGV);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	sigprocmask(SIG_SETMASK, NULL, &cur);
	if (sigismember(&cur, SIGSEGV) || sigismember(&cur, SIGBUS) != 1)
		*(int *)arg |= 4;
	return NULL;
}

static void blocked(void)
{
	pthread_t thread;
	int result = 0;

	pthread_create(&thread, NULL, blocked_thread, &result);
	pthread_join(thread, NULL);
	CHECK("a bad pointer with all signals blocked", result & 1);
	CHECK("which they are, as the thread is told", !(result & 2));
	CHECK("and can be unblocked one by one", !(result & 4));
}

/* By number, past libc's sigaction: the kernel's own structure. */
static void by_syscall(void)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} act = { .handler = count }, old;
	struct sigaction told;
	void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t mask = 1ull << (SIGSEGV - 1), before = 0;

	handled = 0;
	CHECK("rt_sigaction", !syscall(SYS_rt_sigaction, SIGSEGV, &act, NULL, 8l));
	FAILS("KVM still sees a bad pointer first", ioctl(spin.vcpu, KVM_GET_REGS, page), EFAULT);
	CHECK("sigaction tells it", !sigaction(SIGSEGV, NULL, &told) && told.sa_handler == count);
	CHECK("and rt_sigaction",
	      !syscall(SYS_rt_sigaction, SIGSEGV, NULL, &old, 8l) && old.handler == count);
	raise(SIGSEGV);
	CHECK("it is called", handled == 1);
	CHECK("rt_sigprocmask",
	      !syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, &before, 8l) && !(before & mask));
	FAILS("which does not take it from KVM", ioctl(spin.vcpu, KVM_GET_REGS, page), EFAULT);
	CHECK("and undone", !syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, &before, 8l) && before & mask);
	set(SIGSEGV, SIG_DFL, 0);
}

/* ---- masks --------------------------------------------------------------------------------------------- */

/* A child that unblocks a signal and gets it. */
static bool dies_of(int sig)
{
	sigset_t set;
	int status;
	pid_t pid = fork();

	if (!pid) {
		raise(sig);
		sigemptyset(&set);
		sigaddset(&set, sig);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

static void signal_mask(void)
{
	struct {
		uint32_t len; /* struct kvm_signal_mask, and what its array holds */
		uint8_t bits[8];
	} arg = { .len = 8 };
	struct timespec none = { 0 };
	struct signalfd_siginfo info;
	sigset_t block, pending;
	siginfo_t si;
	int fd;

	set(SIGALRM, count, 0);
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	CHECK("KVM_SET_SIGNAL_MASK", !ioctl(spin.vcpu, KVM_SET_SIGNAL_MASK, &arg));
	timer(30);
	CHECK("lets a blocked signal end KVM_RUN", run_is_interrupted());
	CHECK("whose handler is not called", handled == 0);
	CHECK("it is pending", !sigpending(&pending) && sigismember(&pending, SIGALRM) == 1);
	CHECK("for sigtimedwait", sigtimedwait(&block, &si, &none) == SIGALRM && si.si_code == SI_KERNEL);
	fd = signalfd(-1, &block, SFD_NONBLOCK);
	timer(30);
	CHECK("or signalfd", run_is_interrupted() && read(fd, &info, sizeof(info)) == sizeof(info) &&
				     info.ssi_signo == SIGALRM);
	timer(30);
	CHECK("or the handler, when it is unblocked", run_is_interrupted() && handled == 0 &&
							      !sigprocmask(SIG_UNBLOCK, &block, NULL) &&
							      handled == 1);
	set(SIGALRM, SIG_DFL, 0);
	sigprocmask(SIG_BLOCK, &block, NULL);
	timer(30);
	CHECK("without a handler, too", run_is_interrupted() && sigtimedwait(&block, &si, &none) == SIGALRM);
	CHECK("which is told as SIG_DFL", signal(SIGALRM, SIG_DFL) == SIG_DFL);
	CHECK("and acts when it is unblocked", dies_of(SIGALRM));
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	CHECK("no mask again", !ioctl(spin.vcpu, KVM_SET_SIGNAL_MASK, NULL));
	arg.len = 4;
	FAILS("a mask of another length", ioctl(spin.vcpu, KVM_SET_SIGNAL_MASK, &arg), EINVAL);
}

/* ---- threads that are ended --------------------------------------------------------------------------- */

static void *runner(void *arg)
{
	pthread_setcanceltype(*(int *)arg, NULL);
	for (;;) {
		ioctl(spin.vcpu, KVM_RUN, 0);
		pthread_testcancel();
	}
	return NULL;
}

static bool can_be_cancelled(int type)
{
	struct timespec until;
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, runner, &type);
	usleep(30000);
	pthread_cancel(thread);
	for (int i = 0; i < 100; i++) {
		if (type == PTHREAD_CANCEL_DEFERRED) /* for which libc sends no signal */
			pthread_kill(thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += (until.tv_nsec + 100000000) / 1000000000;
		until.tv_nsec = (until.tv_nsec + 100000000) % 1000000000;
		if (!pthread_timedjoin_np(thread, &result, &until))
			return result == PTHREAD_CANCELED;
	}
	return false;
}

static volatile int kicked_result;

static void *kicked(void *arg)
{
	kicked_result = ioctl(spin.vcpu, KVM_RUN, 0) == -1 && errno == EINTR ? 1 : 2;
	return NULL;
}

static void threads(void)
{
	pthread_t thread;

	set(SIGUSR1, count, 0);
	pthread_create(&thread, NULL, kicked, NULL);
	while (!kicked_result) { /* again where it came before KVM_RUN */
		usleep(30000);
		pthread_kill(thread, SIGUSR1);
	}
	pthread_join(thread, NULL);
	CHECK("pthread_kill ends another thread's KVM_RUN", kicked_result == 1 && handled);
	CHECK("pthread_cancel, deferred", can_be_cancelled(PTHREAD_CANCEL_DEFERRED));
	CHECK("pthread_cancel, asynchronous", can_be_cancelled(PTHREAD_CANCEL_ASYNCHRONOUS));
	set(SIGALRM, count, 0);
	timer(30);
	CHECK("the vcpu is not locked afterwards", run_is_interrupted() && handled);
	CHECK("nor the vm",
	      !ioctl(spin.vm, KVM_SET_USER_MEMORY_REGION,
		     &(struct kvm_userspace_memory_region){ .slot = 1,
							    .guest_phys_addr = 0x100000,
							    .memory_size = 4096,
							    .userspace_addr = (uintptr_t)spin.mem }));
}

int main(void)
{
	vm_make(&spin, guest_spin, sizeof(guest_spin));
	ends_run();
	handlers_are_free();
	actions();
	faults();
	blocked();
	by_syscall();
	signal_mask();
	threads();
	vm_end(&spin);
	return done();
}
