/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for other CPUs: YIELD, WFE and the event register, SEV; and WFI, which waits outside.
 *
 * WFE may end at any time (Arm ARM, "Wait for Event"), and here it does: when the event register is set, when
 * memory under the closed monitor has another value than the load-exclusive saw, when something is pending,
 * and at the latest after a microsecond or two, when who is waited for may need this host CPU: it gets it. So
 * the timer's event stream needs no implementation of its own.
 */
#include "hyp/mem/as.h"
#include "hyp/sys/arm64/sys.h"

#define WFE_SPINS 64
#define YIELD_TAKEN 6000 /* cycles; a context switch and back takes more, a system call less */
#define SPINS_BUSY 8
#define SPINS_IDLE 255

/* Of a loop of YIELDs: who is waited for may need this host CPU. A system call that comes back at once tells
 * that nobody does: the next is long after. */
u64 a64_helper_spin(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	u64 before = __builtin_ia32_rdtsc();

	hyp_relax(63);
	cpu->spins = __builtin_ia32_rdtsc() - before > YIELD_TAKEN ? SPINS_BUSY : SPINS_IDLE;
	return 0;
}

/* The event register was set; it is clear now. */
static bool take_event(struct hyp_cpu *cpu)
{
	return __atomic_load_n(&cpu->event, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(&cpu->event, 0, __ATOMIC_ACQUIRE);
}

/* Where the monitor watches, if the soft TLB has it. The run loop's guard is around. */
static const void *watched(const struct hyp_cpu *cpu)
{
	const struct hyp_tlb_entry *e = &cpu->tlb[cpu->tlb_part][hyp_tlb_slot(cpu->ex_addr)];

	if (!cpu->s.exclusive || e->read_tag != (cpu->ex_addr & PAGE_MASK))
		return NULL;
	return (const void *)(cpu->ex_addr + e->addend);
}

static bool changed(const struct hyp_cpu *cpu, const void *p)
{
	switch (p ? cpu->s.exclusive : 0) {
	case 1: return *(const volatile u8 *)p != (u8)cpu->ex_val[0];
	case 2: return *(const volatile u16 *)p != (u16)cpu->ex_val[0];
	case 4: return *(const volatile u32 *)p != (u32)cpu->ex_val[0];
	case 8: return *(const volatile u64 *)p != cpu->ex_val[0];
	case 16:
		return ((const volatile u64 *)p)[0] != cpu->ex_val[0] ||
		       ((const volatile u64 *)p)[1] != cpu->ex_val[1];
	default: return false;
	}
}

static void wait_for_event(struct hyp_cpu *cpu)
{
	const void *p = watched(cpu);

	for (unsigned n = 0; n < WFE_SPINS; n++) {
		if (take_event(cpu) || changed(cpu, p) || __atomic_load_n(&cpu->attention, __ATOMIC_RELAXED))
			return;
		hyp_relax(n);
	}
}

/* SEV, for all CPUs. */
u64 a64_helper_sev(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	for (struct hyp_cpu *to = cpu->as->cpus; to; to = to->as_next)
		__atomic_store_n(&to->event, 1, __ATOMIC_RELEASE);
	return 0;
}

static bool trapped(const struct hyp_cpu *cpu, u64 sctlr_bit)
{
	return !arm64_el(cpu) && !(arm64_sctlr(cpu) & sctlr_bit);
}

static void wfe(struct hyp_cpu *cpu)
{
	if (take_event(cpu))
		return;
	if (trapped(cpu, SCTLR_NTWE)) {
		hyp_arm64_raise(cpu, ESR(EC_WFX, 0x1e00001), 0);
	} else if (cpu->s.hcr & ARM64_HCR_TWE) {
		arm64_exit(cpu, HYP_EXIT_WFX, 4);
		cpu->s.exit.wfx.wfe = true;
	} else {
		wait_for_event(cpu);
	}
}

static void wfi(struct hyp_cpu *cpu)
{
	if (trapped(cpu, SCTLR_NTWI)) {
		hyp_arm64_raise(cpu, ESR(EC_WFX, 0x1e00000), 0);
	} else if (!(cpu->s.vi || cpu->s.vf || cpu->s.vse)) {
		arm64_exit(cpu, HYP_EXIT_WFX, 4);
		cpu->s.exit.wfx.wfe = false;
	}
}

u64 a64_helper_wfx(struct hyp_cpu *cpu, u64 is_wfe, u64 b, u64 c)
{
	if (is_wfe)
		wfe(cpu);
	else
		wfi(cpu);
	return 0;
}
