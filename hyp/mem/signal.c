/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler of host signals, in front of the client's: the engine is asked whether its code raised it
 * (hyp_engine_signal), then a guard of C code that touches guest RAM (guard.h). Everything else is passed to
 * the handler the client had installed.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "hyp/mem/guard.h"
#include "hyp/mem/signal.h"

__thread struct hyp_cpu *hyp_current __attribute__((tls_model("initial-exec")));

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
static struct sigaction old_actions[ARRAY_SIZE(signals)];
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;

/* The host would not let us have a page (and not: a non-canonical address, a signal somebody sent). */
bool hyp_is_host_fault(int sig, const siginfo_t *si, struct hyp_as *as)
{
	if (sig == SIGBUS ? si->si_code != BUS_ADRERR
			  : sig != SIGSEGV || si->si_code <= 0 || si->si_code == SI_KERNEL)
		return false;
	return hyp_as_is_ram(as, (u64)si->si_addr);
}

/* Runs where the fault happened, no longer in the handler. */
static void go_to_guard(struct hyp_guard *g)
{
	__builtin_longjmp(g->place, 1);
}

static bool guarded_signal(int sig, const siginfo_t *si, ucontext_t *uc)
{
	struct hyp_guard *guard = hyp_guard_top;
	greg_t *g = uc->uc_mcontext.gregs;

	if (!guard || !hyp_is_host_fault(sig, si, guard->as))
		return false;
	guard->hva = (u64)si->si_addr;
	g[REG_RDI] = (greg_t)guard;
	g[REG_RSP] = ((g[REG_RSP] - 128) & ~15) - 8; /* below the red zone, as if called */
	g[REG_RIP] = (greg_t)go_to_guard;
	return true;
}

static const struct sigaction *old_action(int sig)
{
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i] == sig)
			return &old_actions[i];
	return NULL;
}

/* The client's own handler, or the default action on return. */
static void chain(int sig, siginfo_t *si, void *ctx)
{
	const struct sigaction *old = old_action(sig);

	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, si, ctx);
	} else if (old->sa_handler == SIG_DFL) {
		struct sigaction dfl = { .sa_handler = SIG_DFL };

		sigaction(sig, &dfl, NULL); /* the instruction faults again, with the default action */
		if (si->si_code <= 0)
			raise(sig);
	} else if (old->sa_handler != SIG_IGN) {
		old->sa_handler(sig);
	}
}

static void handler(int sig, siginfo_t *si, void *ctx)
{
	int saved = errno;

	if (!hyp_engine_signal(sig, si, ctx) && !guarded_signal(sig, si, ctx))
		chain(sig, si, ctx);
	errno = saved;
}

static void install(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction sa = { .sa_sigaction = handler,
					.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };

		sigemptyset(&sa.sa_mask);
		sigaction(signals[i], &sa, &old_actions[i]);
	}
}

int hyp_signal_init(void)
{
	pthread_mutex_lock(&init_lock);
	if (!users++)
		install();
	pthread_mutex_unlock(&init_lock);
	return 0;
}

void hyp_signal_exit(void)
{
	pthread_mutex_lock(&init_lock);
	if (!--users)
		for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
			sigaction(signals[i], &old_actions[i], NULL);
	pthread_mutex_unlock(&init_lock);
}
