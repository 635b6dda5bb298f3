/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Architectural state of an arm64 hyp_cpu, and the calls KVM for arm64 (arch/arm64) makes on it: the part
 * that the EL2 system registers and the saved context play on silicon. Register names are the Arm ARM's (DDI
 * 0487).
 *
 * Who may touch it: the thread that runs the CPU, outside hyp_cpu_run(); and hyp itself. The exceptions are
 * named.
 */
#ifndef KUSE_HYP_ARM64_STATE_H
#define KUSE_HYP_ARM64_STATE_H

#include "hyp/hyp.h"

/* A system register by its encoding, as in bits 20:5 of MSR/MRS: op0 op1 CRn CRm op2. */
#define ARM64_SYS(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

/* Registers the CPU itself holds (sysregs.inc). All others leave as HYP_EXIT_SYSREG. */
enum arm64_sr {
#define SYSREG(name, op0, op1, crn, crm, op2, flags, reset) ARM64_SR_##name,
#include "hyp/sys/arm64/sysregs.inc"
#undef SYSREG
	ARM64_NR_SR
};

/* PSTATE in the layout of SPSR_EL1; NZCV and everything else. */
#define ARM64_PSR_N (1u << 31)
#define ARM64_PSR_Z (1u << 30)
#define ARM64_PSR_C (1u << 29)
#define ARM64_PSR_V (1u << 28)
#define ARM64_PSR_NZCV (0xfu << 28)
#define ARM64_PSR_TCO (1u << 25)
#define ARM64_PSR_DIT (1u << 24)
#define ARM64_PSR_UAO (1u << 23)
#define ARM64_PSR_PAN (1u << 22)
#define ARM64_PSR_SS (1u << 21)
#define ARM64_PSR_IL (1u << 20)
#define ARM64_PSR_SSBS (1u << 12)
#define ARM64_PSR_BTYPE (3u << 10)
#define ARM64_PSR_D (1u << 9)
#define ARM64_PSR_A (1u << 8)
#define ARM64_PSR_I (1u << 7)
#define ARM64_PSR_F (1u << 6)
#define ARM64_PSR_DAIF (0xfu << 6)
#define ARM64_PSR_NRW (1u << 4)
#define ARM64_PSR_EL(n) ((u32)(n) << 2)
#define ARM64_PSR_GET_EL(p) ((p) >> 2 & 3)
#define ARM64_PSR_SP 1u /* SPSel: 1 = SP_ELx */

/* What arch/arm64 wants of the CPU, hcr: names and meaning of HCR_EL2, MDCR_EL2 bits. */
#define ARM64_HCR_TWI (1u << 0)  /* WFI exits (always set by KVM) */
#define ARM64_HCR_TWE (1u << 1)  /* WFE exits; else it is a hint */
#define ARM64_HCR_TSC (1u << 2)  /* SMC exits; else UNDEFINED */
#define ARM64_HCR_TVM (1u << 3)  /* writes to stage-1 control registers exit as SYSREG */
#define ARM64_HCR_TDE (1u << 8)  /* debug exceptions, BRK and single step exit as DEBUG */
#define ARM64_HCR_TDA (1u << 9)  /* debug registers exit as SYSREG */

/* What a performance monitor can be asked to count. */
enum arm64_pmu_count {
	ARM64_PMU_CYCLES,     /* of hyp_arm64_counter(), inside hyp_cpu_run() */
	ARM64_PMU_EXC_TAKEN,  /* exceptions to EL1 */
	ARM64_PMU_EXC_RETURN, /* ERET */
	ARM64_PMU_NR_COUNTS
};

struct arm64_state {
	u64 x[32]; /* x[31] is SP of the current PSTATE.EL and SPSel; the others are in sr[] */
	u64 pc;
	u32 pstate; /* ARM64_PSR_* */
	u32 fpcr, fpsr;
	u32 hcr; /* ARM64_HCR_* */
	struct arm64_v {
		u64 d[2];
	} v[32] __attribute__((aligned(16)));
	u64 sr[ARM64_NR_SR];

	/*
	 * Interrupt lines as HCR_EL2.VI, VF, VSE: level; the CPU takes the exception when PSTATE lets it. Set
	 * from the CPU's own thread outside hyp_cpu_run (others kick it). vse is cleared when taken.
	 */
	bool vi, vf, vse;
	u64 vsesr; /* ISS of a virtual SError */

	/* DBGBCR<n>_EL1 and the others, in force where MDSCR_EL1.MDE is set. The layout is KVM's
	 * kvm_guest_debug_arch. */
	struct arm64_debug_regs {
		u64 bcr[16], bvr[16], wcr[16], wvr[16];
	} dbg;
	bool os_lock; /* OSLSR_EL1.OSLK: holds back debug exceptions to EL1, all but BRK's */

	/*
	 * Performance monitor: while `on`, n[] grows by what happens at EL0 and at EL1; an exception and a return
	 * belong to the EL that is left. KVM sets on and `soon` and takes the numbers, outside hyp_cpu_run().
	 */
	struct arm64_pmu {
		u64 n[ARM64_PMU_NR_COUNTS][2];
		u64 soon;  /* leave with HYP_EXIT_INTR after so many exceptions and returns; 0: do not */
		u64 since; /* hyp's own: counter value that cycles have been counted up to */
		bool on;
	} pmu;

	u64 cntvoff, cntpoff; /* counter = host counter (see hyp_arm64_counter) - offset */
	u8 exclusive;         /* local monitor: size of the load that closed it; 0: open, as exceptions leave it */
	u8 pa_bits;           /* stage-2 (IPA) size: output addresses beyond it are address size faults */
	u16 vmid;

	struct {
		enum hyp_exit reason;
		u8 insn_len; /* 4, or 0 where pc is already behind */
		union {
			struct {
				gpa_t gpa;
				u8 len; /* 1, 2, 4, 8; 0: no valid syndrome (pair, vector, atomic, ...) */
				bool write, sign, sf; /* sf: 64-bit destination */
				u8 rt;                /* 31: XZR */
				u8 data[8];           /* of a write, little endian */
				u64 esr;              /* as ESR_EL2 of a stage-2 data abort, ISV as above */
				gva_t far;
			} mmio;
			struct {
				u32 sys; /* ARM64_SYS() */
				u8 rt;
				bool write; /* MSR; SYS instructions too (op0 == 1) */
			} sysreg; /* pc at the instruction; hyp_arm64_skip() steps over it */
			struct {
				u16 imm;
			} call; /* HVC: pc behind it; SMC: pc at it, as on silicon */
			struct {
				bool wfe;
			} wfx; /* pc at the instruction */
			struct {
				u32 esr; /* EC and ISS as in ESR_EL2 */
				gva_t far;
			} debug;
			struct {
				gpa_t gpa;
				u64 size;
				u64 flags;
			} memory_fault;
			struct {
				u64 hva;
			} host_fault;
			struct {
				u64 pc;
				const char *what;
			} internal;
		};
	} exit;
};

/* The state of a CPU; stable while the CPU exists. */
struct arm64_state *hyp_arm64_state(struct hyp_cpu *cpu);

/* Must follow a change of anything but x, v, fpsr, vi/vf/vse, exit: recomputes what is derived, flushes the
 * TLB where translation registers changed. */
void hyp_arm64_state_changed(struct hyp_cpu *cpu);

/* Warm reset as the Arm ARM says, EL1h, DAIF set, MMU off, pc = 0. MPIDR and the ID registers stay. */
void hyp_arm64_reset(struct hyp_cpu *cpu);

/* pc += 4, as an executed instruction does (BTYPE, SS). */
void hyp_arm64_skip(struct hyp_cpu *cpu);

/* Ends an MMIO read: writes exit.mmio.data to the destination register, skips. Or a write: skips. */
void hyp_arm64_complete_mmio(struct hyp_cpu *cpu);

/* Has the CPU take a synchronous exception to EL1 at its current pc, with ESR_EL1 = esr (and FAR_EL1 = far
 * for aborts): what KVM injects. */
void hyp_arm64_inject_sync(struct hyp_cpu *cpu, u32 esr, u64 far);

/* Registers that the CPU holds, by encoding, as the host sees them (KVM_GET/SET_ONE_REG). -ENOENT: not one
 * of these. */
int hyp_arm64_get_sr(struct hyp_cpu *cpu, u32 sys, u64 *val);
int hyp_arm64_set_sr(struct hyp_cpu *cpu, u32 sys, u64 val);

/* The counter all CPUs share, before offsets, and its frequency in Hz (CNTFRQ_EL0): the host's TSC. */
u64 hyp_arm64_counter(void);
u64 hyp_arm64_counter_hz(void);

/* What the engine can offer: the value of an ID register (op0=3, op1=0, CRn=0, CRm=1..7, and CTR_EL0,
 * DCZID_EL0, MIDR_EL1), every field at the largest value it executes. 0 for those it does not know. */
u64 hyp_arm64_id_max(u32 sys);
/* Largest IPA size in bits this host and engine can do. */
unsigned hyp_arm64_ipa_bits(void);

/* IC IALLUIS: what is translated is looked at anew, on all CPUs of the address space. From this CPU's own
 * thread; for code that the host has changed. */
void hyp_arm64_ic_all(struct hyp_cpu *cpu);

/* From any thread, or this CPU's own: TLBs of all CPUs of the address space. */
void hyp_arm64_request_flush_tlb(struct hyp_cpu *cpu);

#endif
