/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyp's own view of an arm64 virtual CPU. Private to hyp/.
 *
 * There is no vector rule here (hyp/cpu.h has one for x86 guests): guest registers are in this structure
 * whenever C code runs, only MXCSR holds the guest's rounding mode, FZ and exception flags
 * (arm64_fp_enter/leave). C code that computes in floating point for the guest says so and cares for MXCSR.
 *
 * Emitted code reaches this structure through the GS base: cpu->x at offset 0.
 */
#ifndef KUSE_HYP_ARM64_CPU_H
#define KUSE_HYP_ARM64_CPU_H

#include "hyp/sys/arm64/state.h"

enum {
#define STAT(name, help) HYP_STAT_##name,
#include "hyp/sys/arm64/stats.inc"
#undef STAT
	HYP_NSTATS
};

/* ---- soft TLB: layout as in hyp/cpu.h, so that hyp/mem serves both ---------------------------- */
struct hyp_tlb_entry {
	u64 read_tag;  /* the page's address with its top byte, as accesses have it; or HYP_TLB_NONE */
	u64 write_tag;
	u64 addend;    /* host - guest address */
	u64 gpa;       /* page's guest-physical address | HYP_TLBE_* */
};
/* Bits 55:48 neither all 0 nor all 1: no address has that, whatever its top byte. */
#define HYP_TLB_NONE(slot) (0x0080000000000000ull | (u64)((slot) ^ 1u) << 12)
#define HYP_TLBE_GLOBAL 1ull
#define HYP_TLB_BITS 14
#define HYP_TLB_SIZE (1 << HYP_TLB_BITS)
#define HYP_TLB_SLOT_SHIFT 5

/* Which partition an access uses. EL1 with PAN clear sees user pages too, so it has its own. */
enum hyp_tlb_part { HYP_TLB_EL0, HYP_TLB_EL1, HYP_TLB_EL1_PAN, HYP_TLB_PARTS };

/* As emitted code computes it: address bits above the index are folded in, so that arrays a power of two
 * apart do not fight for one slot; the tag byte is not. */
static inline unsigned hyp_tlb_slot(gva_t gva)
{
	return (gva >> PAGE_SHIFT ^ gva >> (PAGE_SHIFT + HYP_TLB_BITS)) & (HYP_TLB_SIZE - 1);
}

/* Blocks: 2 MiB of RAM in one piece on the host, behind the soft TLB. */
struct hyp_large_entry {
	u64 tag;   /* address with its top byte | HYP_LARGE_VALID; 0: empty */
	u8 *host;  /* of the first byte */
	gpa_t gpa; /* | HYP_LARGE_WRITABLE | HYP_TLBE_GLOBAL */
	const struct hyp_region *region;
};
#define HYP_LARGE_SHIFT 21
#define HYP_LARGE_MASK (~((1ull << HYP_LARGE_SHIFT) - 1))
#define HYP_LARGE_SIZE 64 /* a bit each in large_used */
#define HYP_LARGE_VALID 1ull
#define HYP_LARGE_WRITABLE 4ull

/* Instruction fetches. */
struct hyp_itlb_entry {
	u64 tag;
	u8 *host;
	gpa_t gpa; /* | HYP_TLBE_GLOBAL */
};
#define HYP_ITLB_SIZE 512

/* A short list of TLB slots; n > HYP_FILLS_MAX: too many to list. */
#define HYP_FILLS_MAX 1000
struct hyp_fills {
	u16 n;
	u16 slot[HYP_FILLS_MAX];
};

/* TLB maintenance, on this CPU or asked for by another. */
enum arm64_tlbi_op { TLBI_ALL, TLBI_ASID, TLBI_VA, TLBI_RANGE };
struct arm64_tlbi {
	u8 op;
	u16 asid; /* TLBI_ASID */
	gva_t va;
	u64 len; /* TLBI_RANGE: bytes */
};
#define HYP_TLBI_QUEUE 16

/* Where indirect and page-crossing branches go: by hash of pc. Entries of another key or mapping are
 * emptied. */
struct hyp_jc_entry {
	u64 pc;   /* ~0: empty */
	u64 code; /* host address */
};
#define HYP_JC_BITS 15
#define HYP_JC_SIZE (1 << HYP_JC_BITS)

/* ---- what a block is translated for: block key ------------------------------------------------- */
#define HYP_KEY_EL1 1u
#define HYP_KEY_PAN 2u
#define HYP_KEY_UAO 4u
#define HYP_KEY_SPSEL 8u
#define HYP_KEY_FP 16u    /* CPACR_EL1.FPEN lets FP/SIMD through at this EL */
#define HYP_KEY_ALIGN 32u /* SCTLR_EL1.A */
#define HYP_KEY_DEBUG 64u /* single step: one instruction a block */
#define HYP_KEY_SPALIGN 128u /* SCTLR_EL1.SA or SA0: the stack pointer as a base is checked */
#define HYP_KEY_RMODE(x) ((x) << 8) /* FPCR: RMode, FZ, DN, AHP as needed by lifters; bits 8..13 */
#define HYP_KEY_EL0_TRAPS(x) \
	((x) << 14)                         /* SCTLR_EL1.UCT, UCI, DZE, nTWI, nTWE, CNTKCTL.EL0VCTEN, UMA
				 * ...: bits 14..23, EL0 only */
#define HYP_KEY_UCT HYP_KEY_EL0_TRAPS(1u)   /* CTR_EL0 can be read */
#define HYP_KEY_VCTEN HYP_KEY_EL0_TRAPS(2u) /* CNTVCT_EL0, CNTFRQ_EL0 too */
#define HYP_KEY_BIGEND (1u << 24)

/* ---- attention word ------------------------------------------------------------------------------ */
#define HYP_ATTN_KICK 1u
#define HYP_ATTN_FLUSH 2u
#define HYP_ATTN_SYNC 4u
#define HYP_ATTN_IRQ 8u   /* vi, vf or vse is set and PSTATE may let it through */
#define HYP_ATTN_TLBI 16u /* TLB maintenance is queued */
#define HYP_ATTN_INVAL 32u /* code pages to drop are queued */

/* ARM64_AGAIN: the run loop has nothing to do, s.pc is where to go on. */
enum arm64_leave { ARM64_GO_ON = 0, ARM64_RAISED, ARM64_EXIT, ARM64_AGAIN };

struct hyp_cpu {
	struct arm64_state s;

	u32 attention __attribute__((aligned(64)));
	u32 leave; /* enum arm64_leave: set by a helper (CALLX) that raised an exception or filled s.exit */
	u64 scratch[16]; /* of emitted code: EM_* in hyp/emit/x86/em.h */
	u32 hflags;      /* NZCV while emitted code runs, as the host's LAHF (AH) and SETO (AL) with the carry inverted */
	struct arm64_v spill[48] __attribute__((aligned(16))); /* values of a block that found no register */
	u64 host_rsp, resume, host_gs;

	/* local exclusive monitor (s.exclusive says whether it is closed, and of what size): address, value */
	u64 ex_addr, ex_val[2];
	u32 event; /* the event register of WFE: 0 or 1; other CPUs set it */

	/* the exception a helper raised: taken by the run loop */
	struct {
		u32 esr;
		u64 far;
	} exc;

	/* MMIO read answered by KVM: the instruction at pc is finished with it (hyp_arm64_complete_mmio) */
	struct {
		u8 rt, len;
		bool sign, sf, write;
	} mmio;

	bool in_run, dead;
	bool watching; /* a watchpoint is armed: its pages are not in the soft TLB */
	u8 want_sync;
	u8 tlb_part; /* partition of data accesses in the current mode */
	u32 key;     /* block key of the current mode */
	u64 host_fault;

	struct hyp_as *as;
	struct hyp_cpu *as_next;
	const struct hyp_map *map;
	u32 last_region;
	u32 view;
	u32 id;
	struct {
		bool overflow;
		gpa_t page[64];
	} inval;
	/* TLB maintenance broadcast by other CPUs: under lock but for posted, done (atomic counts) */
	struct {
		u32 lock, n, posted, done;
		struct arm64_tlbi q[HYP_TLBI_QUEUE];
	} tlbi;
	u8 sp_bank;    /* which SP x[31] holds: 0 or 1 */
	u64 tr[6];     /* translation registers the TLB was filled with */
	u8 spins;      /* YIELDs (IR_SPIN) until a64_helper_spin() is called: 0 are 256 */
	struct lift_engine *engine; /* hyp/lift: code cache, working memory */
	u64 *stats; /* [HYP_NSTATS], own_stats or where hyp_stats_move said */
	u64 own_stats[HYP_NSTATS];

	/*
	 * Filters, one bit per hash of a number: code pages fetched since jc was reset (EL0, EL1); 2 MiB
	 * areas that entries were filled from larger pages than the granule in.
	 */
	u64 exec_pages[2][64];
	struct hyp_large_entry large[HYP_TLB_PARTS][HYP_LARGE_SIZE];
	u64 large_used[HYP_TLB_PARTS];
	u64 large_areas[HYP_TLB_PARTS + 2][64];
	u64 huge_areas[HYP_TLB_PARTS + 2][64]; /* the same for 1 GiB areas and blocks beyond 2 MiB */
	struct hyp_fills fills[HYP_TLB_PARTS + 2]; /* slots with non-global entries; the last two: itlb */
	struct hyp_itlb_entry itlb[2][HYP_ITLB_SIZE]; /* EL0, EL1 */
	struct hyp_tlb_entry tlb[HYP_TLB_PARTS][HYP_TLB_SIZE] __attribute__((aligned(64)));
	struct hyp_jc_entry jc[2][HYP_JC_SIZE] __attribute__((aligned(64))); /* EL0, EL1 */
};

/* ---- hyp/sys/arm64/mmu.c --------------------------------------------------------------------------- */
#define ARM64_ACC_R 1u
#define ARM64_ACC_W 2u
#define ARM64_ACC_X 4u
#define ARM64_ACC_USER 8u  /* as EL0 */
#define ARM64_ACC_CM 16u   /* cache maintenance: ISS.CM */
#define ARM64_ACC_NOISV 32u

/* Partitions have no cells (hyp/mem/sync.c asks for x86 guests). */
static inline void hyp_cells_drop(struct hyp_cpu *cpu, unsigned part)
{
}

/*
 * Host pointer for an access of size bytes inside one page (size 1..16, or DC ZVA's block). Fills the soft
 * TLB. NULL: cpu->leave says why: an abort has been raised (exc), or there is no RAM (*gpa; the caller makes
 * the MMIO exit).
 */
u8 *hyp_mem_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, unsigned size, gpa_t *gpa);

/* Physical accesses of the page walker and of hyp/mem. NULL where there is no RAM. Valid up to the end of
 * the page. */
u8 *hyp_phys_ptr(struct hyp_cpu *cpu, gpa_t gpa, bool write);

/*
 * The slow path of LD/ST and friends: TLB misses, page crossing, alignment faults, MMIO. `mem` is the IR's
 * (IR_MEM_*); size up to 16. True: done. False: cpu->leave is set (abort raised, or s.exit filled for MMIO
 * with pc at the instruction).
 */
bool hyp_arm64_load(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2]);
bool hyp_arm64_store(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2]);
/* Atomic read-modify-write of the IR's CAS, ATOMIC, STX; `op` as their cc; result the old value (STX: 0 or
 * 1). */
bool hyp_arm64_cas(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 expect[2], const u64 val[2],
		   u64 old[2]);
bool hyp_arm64_atomic(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned op, u64 val, u64 *old);
bool hyp_arm64_load_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2]);
bool hyp_arm64_store_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2], u64 *failed);

/* Where pc's bytes are, valid to the end of the page. NULL: cpu->leave is set (abort, or exit). */
const u8 *hyp_arm64_fetch(struct hyp_cpu *cpu, gva_t pc, gpa_t *gpa);

void hyp_tlb_flush_all(struct hyp_cpu *cpu);
void hyp_tlb_flush_page(struct hyp_cpu *cpu, gva_t gva);
void hyp_tlb_flush_nonglobal(struct hyp_cpu *cpu);

/* ---- hyp/sys/arm64: exceptions, system registers; all may be IR helpers ------------------------------ */
/* A synchronous exception is to be taken at the current pc. Sets leave. esr: EC, IL, ISS. */
void hyp_arm64_raise(struct hyp_cpu *cpu, u32 esr, u64 far);
void hyp_arm64_undefined(struct hyp_cpu *cpu); /* EC 0 */
/* Takes the exception: ELR, SPSR, ESR, FAR, PSTATE, VBAR offset. kind: 0 sync, 0x80 IRQ, 0x100 FIQ, 0x180
 * SError. */
void hyp_arm64_take(struct hyp_cpu *cpu, u32 kind, u64 ret, u32 esr, u64 far);
/* The mode (EL, SPSel, PAN, ...) changed: key, tlb_part. */
void hyp_mode_update(struct hyp_cpu *cpu);

/* IR_CALLX helpers for lifters. `sys` is ARM64_SYS(); rt the transfer register for an exit's syndrome. */
u64 a64_helper_mrs(struct hyp_cpu *cpu, u64 sys, u64 rt, u64 unused);      /* the value; may exit: SYSREG */
u64 a64_helper_msr(struct hyp_cpu *cpu, u64 sys, u64 rt, u64 value); /* SYS instructions too: TLBI, ... */
u64 a64_helper_msr_imm(struct hyp_cpu *cpu, u64 op1_op2, u64 imm, u64 unused); /* DAIFSet, SPSel, PAN, ... */
u64 a64_helper_eret(struct hyp_cpu *cpu, u64 unused, u64 b, u64 c);
u64 a64_helper_wfx(struct hyp_cpu *cpu, u64 wfe, u64 b, u64 c);
u64 a64_helper_spin(struct hyp_cpu *cpu, u64 a, u64 b, u64 c);
u64 a64_helper_sev(struct hyp_cpu *cpu, u64 a, u64 b, u64 c);
u64 a64_helper_hvc(struct hyp_cpu *cpu, u64 imm, u64 b, u64 c);
u64 a64_helper_smc(struct hyp_cpu *cpu, u64 imm, u64 b, u64 c);
u64 a64_helper_dc_zva(struct hyp_cpu *cpu, u64 addr, u64 rt, u64 unused);
/* SVC, BRK and undefined instructions are RAISE. */

/* Lifter's question: a register that can be read or written by LDSTATE/STSTATE in the current key
 * (TPIDR_EL0, ...): offset in struct hyp_cpu and size, or 0. */
unsigned hyp_arm64_plain_sr(u32 sys, u32 key, bool write, unsigned *size);

/* ---- MXCSR <-> FPCR/FPSR ----------------------------------------------------------------------------- */
void arm64_fp_enter(struct hyp_cpu *cpu); /* guest's rounding, FZ; flags clear */
void arm64_fp_leave(struct hyp_cpu *cpu); /* collects flags into s.fpsr; host default back */

/* ---- the engine -------------------------------------------------------------------------------------- */
struct ir_block;
/* hyp/ir/interp.c: runs a block. Returns when it ended: pc is where to go on, leave may be set. */
void ir_interp(struct hyp_cpu *cpu, const struct ir_block *b);

/* ---- provided by the engine for hyp/mem (see hyp/mem/as.h) and sys ------------------------------------- */
/* IC IVAU: translations of a page (by gpa) are looked at anew, on all CPUs of the address space. All of them:
 * hyp_arm64_ic_all. */
void hyp_arm64_ic_page(struct hyp_cpu *cpu, gpa_t gpa);

/* Sets attention bits of any CPU, from any thread. */
static inline void hyp_attend(struct hyp_cpu *cpu, u32 bits)
{
	__atomic_fetch_or(&cpu->attention, bits, __ATOMIC_SEQ_CST);
}

/* For what hyp/mem shares with CPUs that run user code directly. */
static inline void hyp_direct_page_changed(struct hyp_cpu *cpu, gpa_t gpa)
{
	(void)cpu;
	(void)gpa;
}

#endif
