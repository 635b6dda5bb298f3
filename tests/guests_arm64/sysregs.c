/* SPDX-License-Identifier: Apache-2.0 */
/* System registers: what reads back, what EL0 may, which trap it gets otherwise. Run at EL0 from the
 * image's user mapping. */
#include "tests/guests_arm64/lib.h"

static u64 user_stack[256] __attribute__((aligned(16)));
static u64 esr, el0_result, traps, trap_pc;

static void keep(struct frame *f, u64 vector)
{
	if (f->esr >> 26 == 0x15 && (f->esr & 0xffff) == 0xe0) {
		el0_result = f->x[0];
		f->pc = (u64)back_from_el0;
		f->spsr = 0x3c5;
	} else {
		esr = f->esr;
		trap_pc = f->pc - UVA;
		traps++;
		f->pc += 4;
	}
}

static u64 at_el0(u64 (*fn)(void))
{
	esr = traps = 0;
	exception_hook = keep;
	call_el0((void (*)(u64, u64))((u64)fn + UVA), 0, 0, (u64)user_stack + UVA + sizeof(user_stack));
	exception_hook = NULL;
	return el0_result;
}

#define EL0_READ(name, reg) \
	static u64 name(void) \
	{ \
		return mrs(reg); \
	}
#define EL0_DO(name, insn) \
	static u64 name(void) \
	{ \
		__asm__ volatile(insn ::: "memory"); \
		return 0; \
	}
EL0_READ(r_ctr, ctr_el0)
EL0_READ(r_dczid, dczid_el0)
EL0_READ(r_cntvct, cntvct_el0)
EL0_READ(r_cntpct, cntpct_el0)
EL0_READ(r_cntfrq, cntfrq_el0)
EL0_READ(r_cntv_ctl, cntv_ctl_el0)
EL0_READ(r_daif, daif)
EL0_READ(r_midr, midr_el1)
EL0_READ(r_sctlr, sctlr_el1)
EL0_READ(r_tpidr, tpidr_el0)
EL0_READ(r_tpidrro, tpidrro_el0)
EL0_READ(r_idpfr0, id_aa64pfr0_el1)
EL0_READ(r_nzcv, nzcv)
EL0_READ(r_fpcr, fpcr)
EL0_DO(w_tpidr, "msr tpidr_el0, x30")
EL0_DO(w_tpidrro, "msr tpidrro_el0, x30")
EL0_DO(w_tpidr1, "msr tpidr_el1, x30")
EL0_DO(w_daif, "msr daif, x30")
EL0_DO(w_daifset, "msr daifset, #2")
EL0_DO(w_spsel, "msr spsel, #0")
EL0_DO(i_wfi, "wfi")
EL0_DO(i_wfe, "wfe\nwfe") /* the exception return is an event: for the first */
EL0_DO(i_zva, "mov x9, sp\nsub x9, x9, #1024\ndc zva, x9")
EL0_DO(i_cvau, "mov x9, sp\ndc cvau, x9")
EL0_DO(i_ivau, "mov x9, sp\nic ivau, x9")
EL0_DO(i_tlbi, "tlbi vmalle1")
EL0_DO(i_iallu, "ic iallu")

#define SCTLR_DZE (1ul << 14)
#define SCTLR_UCT (1ul << 15)
#define SCTLR_NTWI (1ul << 16)
#define SCTLR_NTWE (1ul << 18)
#define SCTLR_UCI (1ul << 26)
#define SCTLR_UMA (1ul << 9)

/* With the bit: allowed. Without: this syndrome. */
static void by_bit(u64 (*fn)(void), u64 bit, u64 want)
{
	msr(sctlr_el1, mrs(sctlr_el1) | bit);
	isb();
	at_el0(fn);
	check_eq(esr, 0);
	msr(sctlr_el1, mrs(sctlr_el1) & ~bit);
	isb();
	at_el0(fn);
	check_eq(esr, want);
}

static void el0_by_sctlr(void)
{
	by_bit(r_ctr, SCTLR_UCT, sysreg_esr(3, 3, 0, 0, 1, 0, 1));
	by_bit(r_daif, SCTLR_UMA, sysreg_esr(3, 3, 4, 2, 1, 0, 1));
	by_bit(w_daif, SCTLR_UMA, sysreg_esr(3, 3, 4, 2, 1, 30, 0));
	by_bit(w_daifset, SCTLR_UMA, sysreg_esr(0, 3, 4, 2, 6, 31, 0));
	by_bit(i_cvau, SCTLR_UCI, sysreg_esr(1, 3, 7, 11, 1, 9, 0));
	by_bit(i_ivau, SCTLR_UCI, sysreg_esr(1, 3, 7, 5, 1, 9, 0));
	by_bit(i_zva, SCTLR_DZE, sysreg_esr(1, 3, 7, 4, 1, 9, 0));
	by_bit(i_wfi, SCTLR_NTWI, ESR(1, 0x1e00000));
	by_bit(i_wfe, SCTLR_NTWE, ESR(1, 0x1e00001));
	check_eq(at_el0(r_dczid), 0x14); /* DZP while DZE is clear */
}

/* A WFE traps where the event register is clear, and clears it; the exception return, SEVL, SEV set it. */
extern const char event_is_clear[];
EL0_DO(i_event, "wfe\nsevl\nwfe\nsev\nwfe\n.globl event_is_clear\nevent_is_clear: wfe")

static void el0_event_register(void)
{
	msr(sctlr_el1, mrs(sctlr_el1) & ~SCTLR_NTWE);
	isb();
	at_el0(i_event);
	check_eq(traps, 1);
	check_eq(trap_pc, (u64)event_is_clear);
}

static void by_cntkctl(u64 (*fn)(void), u64 bits, u64 want)
{
	msr(cntkctl_el1, bits);
	isb();
	at_el0(fn);
	check_eq(esr, 0);
	msr(cntkctl_el1, ~bits);
	isb();
	at_el0(fn);
	check_eq(esr, want);
}

static void el0_counters(void)
{
	by_cntkctl(r_cntvct, 2, sysreg_esr(3, 3, 14, 0, 2, 0, 1));
	by_cntkctl(r_cntpct, 1, sysreg_esr(3, 3, 14, 0, 1, 0, 1));
	by_cntkctl(r_cntfrq, 3, sysreg_esr(3, 3, 14, 0, 0, 0, 1));
	msr(cntkctl_el1, 0);
	isb();
	at_el0(r_cntv_ctl);
	check_eq(esr, sysreg_esr(3, 3, 14, 3, 1, 0, 1));
}

static void el0_undefined(void)
{
	static u64 (*const fn[])(void) = { r_midr, r_sctlr, r_idpfr0, w_tpidrro, w_tpidr1, w_spsel, i_tlbi, i_iallu };

	for (unsigned i = 0; i < sizeof(fn) / sizeof(fn[0]); i++) {
		at_el0((u64(*)(void))fn[i]);
		check_eq(esr, UNDEF);
	}
}

static void el0_allowed(void)
{
	msr(tpidr_el0, 0x1234);
	msr(tpidrro_el0, 0x5678);
	check_eq(at_el0(r_tpidr), 0x1234);
	check_eq(at_el0(r_tpidrro), 0x5678);
	at_el0(w_tpidr);
	check_eq(esr, 0);
	check_eq(mrs(tpidr_el0) >> 39, 1); /* x30 there is in the user mapping */
	at_el0(r_nzcv);
	check_eq(esr, 0);
	msr(cpacr_el1, 0);
	isb();
	at_el0(r_fpcr);
	check_eq(esr, ESR(7, 0x1e00000));
	msr(cpacr_el1, 3ul << 20);
	isb();
	at_el0(r_fpcr);
	check_eq(esr, 0);
}

/* ---- EL1
 * --------------------------------------------------------------------------------------------------- */

#define READS_BACK(reg, val, want) \
	do { \
		u64 old_ = mrs(reg); \
		msr(reg, val); \
		isb(); \
		check_eq(mrs(reg), want); \
		msr(reg, old_); \
		isb(); \
	} while (0)

static void read_back(void)
{
	READS_BACK(vbar_el1, 0x1234567890abcfff, 0x1234567890abc800);
	READS_BACK(far_el1, ~0ul, ~0ul);
	READS_BACK(elr_el1, 0xdeadbeefcafe0123, 0xdeadbeefcafe0123);
	READS_BACK(mair_el1, 0x00bb0000000000ff, 0x00bb0000000000ff);
	READS_BACK(tpidr_el1, ~0ul, ~0ul);
	READS_BACK(contextidr_el1, 0x1234, 0x1234);
	READS_BACK(sp_el0, 0x1230, 0x1230);
	READS_BACK(fpcr, ~0ul, 0x07c80000);
	READS_BACK(fpsr, ~0ul, 0x0800009f);
	READS_BACK(cntkctl_el1, ~0ul, 0x203ff);
	READS_BACK(cpacr_el1, ~0ul, 0x300000);
	READS_BACK(nzcv, ~0ul, 0xf0000000);
	check_eq(mrs(sctlr_el1) & 0x30500980, 0x30500980); /* RES1 */
	msr(sctlr_el1, mrs(sctlr_el1) | 3ul << 24);	   /* big endian is not offered */
	check_eq(mrs(sctlr_el1) & 3ul << 24, 0);
}

static void identity(void)
{
	check_eq(mrs(mpidr_el1) & 0xffffff, 0);
	check_eq(mrs(mpidr_el1) >> 31, 1);
	check_eq(mrs(midr_el1) >> 16 & 15, 15);
	check_eq(mrs(ctr_el0) & 15, 10);
	check_eq(mrs(id_aa64pfr0_el1) & 0xff, 0x11); /* EL0, EL1: AArch64 only */
	check_eq(mrs(S3_0_C0_C3_7), 0);		     /* reserved: reads as zero */
	check_eq(mrs(id_aa64mmfr0_el1) >> 28 & 15, 0);
}

static void counter(void)
{
	u64 f = mrs(cntfrq_el0), t0 = mrs(cntvct_el0), t1 = mrs(cntvct_el0), p = mrs(cntpct_el0);

	check(f > 1000000);
	check(t1 > t0);
	check(p >= t1);
}

void guest_main(u64 cpu)
{
	map_user(mmu_on(0));
	msr(cpacr_el1, 3ul << 20);
	isb();
	read_back();
	identity();
	counter();
	el0_by_sctlr();
	el0_event_register();
	el0_counters();
	el0_undefined();
	el0_allowed();
	done();
}
