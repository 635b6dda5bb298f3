/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host signals that are guest exceptions: an instruction copied into translated code (or run by the
 * interpreter's native stub) raised #DE, #UD, #MF, #XM, or #GP for misalignment. The handler maps the
 * host PC to the guest instruction, stores the guest's registers as hyp_leave would, and continues at
 * hyp_leave_tail. A fault on guest RAM that the client has unmapped or protected leaves translated code
 * the same way. The handler itself is in mem/signal.c.
 */
#include <ucontext.h>

#include "hyp/rewrite/x86/fast.h"
#include "hyp/rewrite/x86/run.h"

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

/*
 * Vector and error of the guest exception, or false where it is none. #GP or #SS depends on the guest's
 * registers, not on those the host address is made of: the interpreter finds out (cpu->fault stays empty).
 */
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
		cpu->fault.type = X86_EVENT_NONE;
		return si->si_code == SI_KERNEL;
	case SIGBUS: /* a non-canonical address with RBP or RSP as its base */
		cpu->fault.type = X86_EVENT_NONE;
		return si->si_code == SI_KERNEL && uc->uc_mcontext.gregs[REG_TRAPNO] == X86_SS_VEC;
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
	if (hyp_is_host_fault(sig, si, cpu->as) && hyp_fast_str_fault(cpu, (u64 *)&g[REG_RIP]))
		return true;
	b = tcache_find_host(cpu->engine, (u64)g[REG_RIP]);
	if (!b || (u64)g[REG_RIP] < (u64)cpu->engine->rx + b->direct)
		return false;
	if (!find_insn(cpu->engine, b, (u32)((u64)g[REG_RIP] - (u64)cpu->engine->rx - b->direct), &state))
		return false;
	if (hyp_is_host_fault(sig, si, cpu->as))
		cpu->host_fault = (u64)si->si_addr;
	else if (!guest_exception(sig, si, uc))
		return false;
	store_registers(cpu, g, state);
	cpu->s.rip = b->pc + (state & INSN_MAP_OFFSET);
	cpu->resume = 0;
	g[REG_RIP] = (greg_t)hyp_leave_tail;
	return true;
}

bool hyp_engine_signal(int sig, siginfo_t *si, void *ctx)
{
	return x86_native_signal(sig, si, ctx) || translated_signal(sig, si, ctx);
}
