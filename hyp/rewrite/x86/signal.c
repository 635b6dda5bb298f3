/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host signals that are guest exceptions: an instruction copied into translated code (or run by the
 * interpreter's native stub) raised #DE, #UD, #MF, #XM, or #GP for misalignment. The handler maps the
 * host PC to the guest instruction, stores the guest's registers as hyp_leave would, and continues at
 * hyp_leave_tail. Everything else is passed to the handler the client had installed.
 *
 * A fault on guest RAM that the client has unmapped or protected: translated code is left the same way, C
 * code by way of its guard (mem/guard.h).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "hyp/mem/guard.h"
#include "hyp/rewrite/x86/run.h"

__thread struct hyp_cpu *hyp_current __attribute__((tls_model("initial-exec")));

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
static struct sigaction old_actions[ARRAY_SIZE(signals)];
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;

static void store_registers(struct hyp_cpu *cpu, const greg_t *g, u16 state)
{
	/* by number of the register on the host; the guest's RSP is in R15 */
	static const int from[13] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_R15, REG_RBP, REG_RSI,
				      REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12 };
	u64 flags = (u64)g[REG_EFL];

	for (unsigned i = 0; i < ARRAY_SIZE(from); i++)
		cpu->s.gpr[i] = (u64)g[from[i]];
	if (state >> 12)
		cpu->s.gpr[state >> 12] = cpu->scratch[1];
	if (state & INSN_MAP_HELD) {
		flags = flags_from_ax((u64)g[REG_RAX]);
		cpu->s.gpr[X86_RAX] = cpu->scratch[0];
	}
	cpu->s.rflags = (cpu->s.rflags & ~(u64)X86_FL_ARITH) | (flags & X86_FL_ARITH);
}

/* INSN_MAP_* of the instruction whose code contains host offset `off` (from the direct entry). */
static bool find_insn(struct hyp_engine *e, const struct hyp_block *b, u32 off, u16 *state)
{
	const struct hyp_insn_map *m = e->maps + b->map;
	int found = -1;

	for (unsigned i = 0; i < b->n_insns && m[i].host <= off; i++)
		found = (int)i;
	if (found < 0)
		return false;
	*state = m[found].guest;
	return true;
}

/* #XM or #MF, as the host CPU said. Without CR4.OSXMMEXCPT the former is #UD. */
static u8 fp_vector(const ucontext_t *uc)
{
	if (uc->uc_mcontext.gregs[REG_TRAPNO] != X86_XM)
		return X86_MF;
	return hyp_current->s.cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD;
}

/* The host would not let us have a page (and not: a non-canonical address, a signal somebody sent). */
static bool host_fault(int sig, const siginfo_t *si, struct hyp_as *as)
{
	if (sig == SIGBUS ? si->si_code != BUS_ADRERR
			  : sig != SIGSEGV || si->si_code <= 0 || si->si_code == SI_KERNEL)
		return false;
	return hyp_as_is_ram(as, (u64)si->si_addr);
}

/* Vector and error of the guest exception, or false where it is none. */
static bool guest_exception(int sig, const siginfo_t *si, const ucontext_t *uc)
{
	struct hyp_cpu *cpu = hyp_current;

	switch (sig) {
	case SIGFPE:
		x86_raise(cpu, si->si_code == FPE_INTDIV ? X86_DE : fp_vector(uc));
		return true;
	case SIGILL:
		x86_raise(cpu, X86_UD);
		return true;
	case SIGSEGV:
		if (si->si_code != SI_KERNEL)
			return false;
		x86_raise_err(cpu, X86_GP, 0);
		return true;
	case SIGBUS: /* a non-canonical address with RBP or RSP as its base */
		if (si->si_code != SI_KERNEL || uc->uc_mcontext.gregs[REG_TRAPNO] != X86_SS_VEC)
			return false;
		x86_raise_err(cpu, X86_SS_VEC, 0);
		return true;
	default:
		return false;
	}
}

static bool translated_signal(int sig, const siginfo_t *si, ucontext_t *uc)
{
	struct hyp_cpu *cpu = hyp_current;
	greg_t *g = uc->uc_mcontext.gregs;
	struct hyp_block *b;
	u16 state;

	if (!cpu)
		return false;
	b = tcache_find_host(cpu->engine, (u64)g[REG_RIP]);
	if (!b || (u64)g[REG_RIP] < (u64)cpu->engine->rx + b->direct)
		return false;
	if (!find_insn(cpu->engine, b, (u32)((u64)g[REG_RIP] - (u64)cpu->engine->rx - b->direct), &state))
		return false;
	if (host_fault(sig, si, cpu->as))
		cpu->host_fault = (u64)si->si_addr;
	else if (!guest_exception(sig, si, uc))
		return false;
	store_registers(cpu, g, state);
	cpu->s.rip = b->pc + (state & INSN_MAP_OFFSET);
	cpu->resume = 0;
	g[REG_RIP] = (greg_t)hyp_leave_tail;
	return true;
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

	if (!guard || !host_fault(sig, si, guard->as))
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

	if (!x86_native_signal(sig, si, ctx) && !translated_signal(sig, si, ctx) &&
	    !guarded_signal(sig, si, ctx))
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
