/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving vector state between the guest (s.xsave) and the host's registers. The guest's is live while
 * translated code runs; see hyp/cpu.h. Guest-live.
 *
 * XSAVE/XRSTOR with the host's whole XCR0: a guest that enabled less cannot reach the rest, whose
 * state in s.xsave is then the initial one.
 */
#include "hyp/rewrite/x86/engine.h"

/* All but PKRU (the host's own protection keys) and the AMX tiles, neither of which guests get. */
#define STATE_MASK (~((1u << 9) | (1u << 17) | (1u << 18)))

/* What C code may rely on by the ABI. */
static void host_defaults(void)
{
	static const u32 mxcsr = 0x1f80;
	static const u16 fcw = 0x37f;

	__asm__ volatile("fninit; fldcw %0; ldmxcsr %1" : : "m"(fcw), "m"(mxcsr));
	__asm__ volatile(".byte 0xc5, 0xf8, 0x77" ::: "memory"); /* vzeroupper */
}

void hyp_fpu_put(struct hyp_cpu *cpu)
{
	if (!cpu->fpu_live)
		return;
	cpu->fpu_live = false;
	__asm__ volatile("xsave64 %0" : "+m"(cpu->s.xsave) : "a"(STATE_MASK), "d"(0) : "memory");
	host_defaults();
}

void hyp_fpu_get(struct hyp_cpu *cpu)
{
	if (cpu->fpu_live)
		return;
	cpu->fpu_live = true;
	__asm__ volatile("xrstor64 %0" : : "m"(cpu->s.xsave), "a"(STATE_MASK), "d"(0) : "memory");
}
