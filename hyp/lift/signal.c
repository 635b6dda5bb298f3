/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host signals raised by emitted code (mem/signal.h): guest RAM that the host does not let it have. The
 * guest's state is stored, and the run loop's guard takes over as for C code; it calls lift_abandon().
 */
#include <ucontext.h>

#include "hyp/emit/x86/emit.h"
#include "hyp/lift/engine.h"
#include "hyp/mem/signal.h"

bool hyp_engine_signal(int sig, siginfo_t *si, void *ctx)
{
	static const int from[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				      REG_R8,  REG_R9,	REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	const greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	struct hyp_cpu *cpu = hyp_current;
	u64 host[16];

	if (!cpu || !hyp_is_host_fault(sig, si, cpu->as))
		return false;
	for (unsigned r = 0; r < 16; r++)
		host[r] = (u64)g[from[r]];
	emit_fault(cpu, (u64)g[REG_RIP], host);
	return false;
}
