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

/* What C code may rely on by the ABI: control words, an empty x87 stack. Most guests leave them so. */
static void host_defaults(const u8 *image)
{
	static const u32 mxcsr = 0x1f80;
	u64 x87;
	u32 m;

	__builtin_memcpy(&x87, image, sizeof(x87)); /* FCW, FSW, FTW (0: empty) */
	__builtin_memcpy(&m, image + 24, sizeof(m));
	if (unlikely((x87 & 0xffffffffffull) != 0x37f))
		__asm__ volatile("fninit");
	if (unlikely(m != mxcsr))
		__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	__asm__ volatile(".byte 0xc5, 0xf8, 0x77" ::: "memory"); /* vzeroupper */
}

/*
 * The x87 remembers where its last instruction and operand were, and FXSAVE and FNSTENV write it down.
 * Those are host addresses here: the guest gets its own instruction's, and no operand.
 */
static void hide_x87_pointers(struct hyp_cpu *cpu)
{
	u64 *fip = (u64 *)(cpu->s.xsave + 8), *fdp = (u64 *)(cpu->s.xsave + 16);

	if (likely(*fip - (u64)cpu->engine->rx >= cpu->engine->size))
		return;
	*fip = tcache_guest_pc(cpu->engine, *fip);
	*fdp = 0;
}

void hyp_fpu_put(struct hyp_cpu *cpu)
{
	if (!cpu->fpu_live)
		return;
	cpu->fpu_live = false;
	__asm__ volatile("xsave64 %0" : "+m"(cpu->s.xsave) : "a"(STATE_MASK), "d"(0) : "memory");
	host_defaults(cpu->s.xsave);
	hide_x87_pointers(cpu);
}

void hyp_fpu_peek(struct hyp_cpu *cpu)
{
	__asm__ volatile("xsave64 %0" : "+m"(cpu->s.xsave) : "a"(STATE_MASK), "d"(0) : "memory");
	hide_x87_pointers(cpu);
}

void hyp_fpu_poke(struct hyp_cpu *cpu, u64 which)
{
	__asm__ volatile("xrstor64 %0" : : "m"(cpu->s.xsave), "a"((u32)which & STATE_MASK), "d"(0) : "memory");
}

void hyp_fpu_get(struct hyp_cpu *cpu)
{
	if (cpu->fpu_live)
		return;
	cpu->fpu_live = true;
	__asm__ volatile("xrstor64 %0" : : "m"(cpu->s.xsave), "a"(STATE_MASK), "d"(0) : "memory");
}
