/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Architectural state of an x86 hyp_cpu, and the calls KVM for x86 (arch/x86) makes on it.
 * The part a VMCS/VMCB plays on silicon. Register names are the SDM's.
 *
 * Who may touch it: the thread that runs the CPU, outside hyp_cpu_run(); and hyp itself.
 */
#ifndef KUSE_HYP_X86_STATE_H
#define KUSE_HYP_X86_STATE_H

#include "hyp/hyp.h"

/* Index of gpr[]: the encoding order of ModRM + REX. */
enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
       X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15 };

/* Index of seg[]: the encoding order of segment registers, then LDTR and TR. */
enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR, X86_NSEG };

/* RFLAGS bits */
#define X86_FL_CF 0x1u
#define X86_FL_PF 0x4u
#define X86_FL_AF 0x10u
#define X86_FL_ZF 0x40u
#define X86_FL_SF 0x80u
#define X86_FL_TF 0x100u
#define X86_FL_IF 0x200u
#define X86_FL_DF 0x400u
#define X86_FL_OF 0x800u
#define X86_FL_IOPL 0x3000u
#define X86_FL_NT 0x4000u
#define X86_FL_RF 0x10000u
#define X86_FL_VM 0x20000u
#define X86_FL_AC 0x40000u
#define X86_FL_VIF 0x80000u
#define X86_FL_VIP 0x100000u
#define X86_FL_ID 0x200000u
#define X86_FL_ARITH (X86_FL_CF | X86_FL_PF | X86_FL_AF | X86_FL_ZF | X86_FL_SF | X86_FL_OF)

#define X86_CR0_PE 0x1u
#define X86_CR0_MP 0x2u
#define X86_CR0_EM 0x4u
#define X86_CR0_TS 0x8u
#define X86_CR0_ET 0x10u
#define X86_CR0_NE 0x20u
#define X86_CR0_WP 0x10000u
#define X86_CR0_AM 0x40000u
#define X86_CR0_NW 0x20000000u
#define X86_CR0_CD 0x40000000u
#define X86_CR0_PG 0x80000000u

#define X86_CR4_VME 0x1u
#define X86_CR4_PVI 0x2u
#define X86_CR4_TSD 0x4u
#define X86_CR4_DE 0x8u
#define X86_CR4_PSE 0x10u
#define X86_CR4_PAE 0x20u
#define X86_CR4_MCE 0x40u
#define X86_CR4_PGE 0x80u
#define X86_CR4_PCE 0x100u
#define X86_CR4_OSFXSR 0x200u
#define X86_CR4_OSXMMEXCPT 0x400u
#define X86_CR4_UMIP 0x800u
#define X86_CR4_LA57 0x1000u
#define X86_CR4_VMXE 0x2000u
#define X86_CR4_FSGSBASE 0x10000u
#define X86_CR4_PCIDE 0x20000u
#define X86_CR4_OSXSAVE 0x40000u
#define X86_CR4_SMEP 0x100000u
#define X86_CR4_SMAP 0x200000u
#define X86_CR4_PKE 0x400000u

#define X86_EFER_SCE 0x1u
#define X86_EFER_LME 0x100u
#define X86_EFER_LMA 0x400u
#define X86_EFER_NX 0x800u
#define X86_EFER_SVME 0x1000u
#define X86_EFER_FFXSR 0x4000u

/* Exception vectors (SDM vol. 3, table 6-1) */
enum { X86_DE = 0, X86_DB = 1, X86_NMI = 2, X86_BP = 3, X86_OF = 4, X86_BR = 5, X86_UD = 6,
       X86_NM = 7, X86_DF = 8, X86_TS = 10, X86_NP = 11, X86_SS_VEC = 12, X86_GP = 13, X86_PF = 14,
       X86_MF = 16, X86_AC = 17, X86_MC = 18, X86_XM = 19 };

/* Page-fault error code */
#define X86_PFEC_P 1u
#define X86_PFEC_W 2u
#define X86_PFEC_U 4u
#define X86_PFEC_RSVD 8u
#define X86_PFEC_I 16u
#define X86_PFEC_PK 32u

/* Segment attributes, laid out as the VMX access-rights field (SDM vol. 3, table 25-2). */
#define X86_AR_TYPE 0xfu
#define X86_AR_S 0x10u
#define X86_AR_DPL_SHIFT 5
#define X86_AR_DPL 0x60u
#define X86_AR_P 0x80u
#define X86_AR_AVL 0x1000u
#define X86_AR_L 0x2000u
#define X86_AR_DB 0x4000u
#define X86_AR_G 0x8000u
#define X86_AR_UNUSABLE 0x10000u

struct x86_seg {
	u64 base;
	u32 limit; /* in bytes, granularity already applied; offset > limit faults */
	u32 ar;    /* X86_AR_* */
	u16 sel;
};

struct x86_dtable {
	u64 base;
	u16 limit;
};

/* An event waiting to be delivered through the IDT at the next hyp_cpu_run. */
enum x86_event_type { X86_EVENT_NONE = 0, X86_EVENT_EXTINT, X86_EVENT_NMI, X86_EVENT_EXCEPTION,
		      X86_EVENT_SOFTINT /* int n; rip is already past it */ };

struct x86_event {
	u8 type;   /* enum x86_event_type */
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2_or_dr6; /* payload of #PF (cr2) and #DB (dr6 bits to set), already applied by raiser */
};

/* interruptibility */
#define X86_SHADOW_MOV_SS 1u /* the values of KVM_X86_SHADOW_INT_* */
#define X86_SHADOW_STI 2u

/* guest_debug (KVM_SET_GUEST_DEBUG's meaning) */
#define X86_GDBG_SINGLESTEP 1u /* exit after each instruction */
#define X86_GDBG_SW_BP 2u      /* #BP exits instead of being delivered */
#define X86_GDBG_HW_BP 4u      /* gdbg_dr[] are used instead of dr[], #DB exits */

struct x86_exit {
	enum hyp_exit reason;
	u8 insn_len; /* of the instruction at rip, where the reason says "rip at the instruction" */
	union {
		struct {
			u16 port;
			u8 size; /* 1, 2, 4: bytes of one element */
			bool in;
			bool string;
			u16 count; /* elements: more than 1 only for REP INS, whose answer goes into ins_data */
			u32 data;  /* OUT: the value. IN: KVM fills it, then hyp_x86_complete_io */
		} io;
		struct {
			gpa_t gpa;
			u8 size; /* 1..8, never crosses an 8-byte boundary's worth of data[] */
			bool write;
			u8 data[8]; /* write: the bytes. read: KVM fills, then hyp_x86_complete_mmio */
		} mmio;
		struct { u64 hva; } host_fault;
		struct { gpa_t gpa; } memory_fault; /* of a private page */
		struct { bool vmmcall; } hypercall;
		struct { u64 dr6, dr7, pc; u8 vector; } debug;
		struct { u8 len; u8 bytes[15]; } emulation;
		struct { const char *what; u64 rip; u64 info[4]; } internal;
	};
};

#define X86_XSAVE_MAX 4096
#define X86_INS_MAX 1024 /* bytes that one exit of REP INS asks for (Linux: struct read_cache) */

struct x86_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags; /* bit 1 always set */

	struct x86_seg seg[X86_NSEG];
	struct x86_dtable gdtr, idtr;
	u64 cr0, cr2, cr3, cr4;
	u64 cr8; /* TPR bits 7:4, kept equal to the LAPIC's by arch/x86 */
	u64 efer, xcr0;
	u64 dr[4], dr6, dr7;

	/* MSRs the CPU itself reads */
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 tsc_aux, pat, xss;

	/* guest TSC = (host TSC * tsc_ratio >> 48) + tsc_offset; ratio 1<<48 means no scaling */
	u64 tsc_offset, tsc_ratio;

	u8 shadow;      /* X86_SHADOW_*: blocks interrupts for one instruction */
	bool nmi_blocked;
	bool in_smm;
	bool cpuid_faulting;

	struct x86_event inject;  /* KVM -> hyp: deliver this at entry; cleared once delivered */
	bool want_irq_window;     /* KVM -> hyp: exit as soon as IF=1 and no shadow */
	bool want_nmi_window;
	bool want_smi_window;     /* outside of SMM: exit at the next instruction boundary */
	bool want_pause_exit;
	bool want_mwait_nop;

	u32 guest_debug;          /* X86_GDBG_* */
	u64 gdbg_dr[4], gdbg_dr7;

	/* What CPUID offers, as far as the CPU's behaviour depends on it; KVM sets it from CPUID. */
	u64 cr4_valid, cr0_valid, efer_valid; /* bits the guest may set */
	u64 xcr0_valid;
	u8 maxphyaddr; /* bits */
	u8 maxlinaddr; /* 48 or 57: whether LA57 may be set is in cr4_valid */
	bool is_amd;   /* vendor-specific behaviour: SYSCALL in compat mode, SYSENTER in long mode */
	bool has_rdtscp, has_rdpid, has_invpcid, has_gbpages, has_umip, has_erms;

	struct x86_exit exit;
	u8 ins_data[X86_INS_MAX]; /* the answer to a string IN: exit.io.count elements of exit.io.size bytes */

	/* x87/SSE/AVX/AVX-512 state in the host's standard (non-compacted) XSAVE format */
	u8 xsave[X86_XSAVE_MAX] __attribute__((aligned(64)));
};

struct x86_state *hyp_x86_state(struct hyp_cpu *cpu);

/* After writing any of: seg, cr0, cr3, cr4, efer, rflags (system bits), dr7, guest_debug, *_valid,
 * directly in the structure. Recomputes the mode and drops cached translations of addresses. */
void hyp_x86_state_changed(struct hyp_cpu *cpu);

/* Architectural power-on / INIT reset. INIT keeps MSRs, FPU, CR0.CD/NW as the SDM says. */
void hyp_x86_reset(struct hyp_cpu *cpu, bool init);

/* Steps over the instruction at rip (exit.insn_len): clears the interrupt shadow and RF, and raises
 * the single-step #DB where TF asks for it. */
void hyp_x86_skip(struct hyp_cpu *cpu);

/* Queue an exception as if the instruction at rip had raised it (combines to #DF / shutdown with
 * one already queued, SDM table 6-5). cr2 is set by the caller for #PF. */
void hyp_x86_queue_exception(struct hyp_cpu *cpu, u8 vector, bool has_error, u32 error);

/* The answer to HYP_EXIT_IO with .in: exit.io.data holds it (.string: ins_data). Finishes the instruction.
 * For .in == false the instruction was finished before the exit and nothing is to be called. */
void hyp_x86_complete_io(struct hyp_cpu *cpu);

/* The answer to a HYP_EXIT_MMIO read: exit.mmio.data holds it. The next hyp_cpu_run finishes the
 * instruction (it may exit again for a further piece). Writes need no answer. */
void hyp_x86_complete_mmio(struct hyp_cpu *cpu);

/* Drops a half-answered MMIO/IO instruction and what hyp_x86_queue_exception, hyp_x86_skip or
 * hyp_x86_complete_io left to be delivered (state was set by user space in between). */
void hyp_x86_abort_access(struct hyp_cpu *cpu);

/* True where an external interrupt (NMI, SMI) could be delivered right now. */
bool hyp_x86_irq_allowed(struct hyp_cpu *cpu);
bool hyp_x86_nmi_allowed(struct hyp_cpu *cpu);
bool hyp_x86_smi_allowed(struct hyp_cpu *cpu);

/* Guest TLB. flush_guest: everything but global entries as a MOV CR3 would. */
void hyp_x86_flush_tlb(struct hyp_cpu *cpu);
/* The same from another thread: takes effect before that CPU runs its next block. Any thread. */
void hyp_x86_request_flush_tlb(struct hyp_cpu *cpu);

/* KVM_TRANSLATE and KVM's own gva accesses: walks the page tables as a supervisor read.
 * 0 or -EFAULT. */
int hyp_x86_translate(struct hyp_cpu *cpu, gva_t gva, gpa_t *gpa, bool *writeable, bool *usermode);
/* The same for a write: it must be allowed, and the page becomes dirty. */
int hyp_x86_translate_write(struct hyp_cpu *cpu, gva_t gva, gpa_t *gpa);

/* Guest TSC now. */
u64 hyp_x86_tsc(struct hyp_cpu *cpu);

/* CPL of the CPU: DPL of SS as on VMX. */
static inline unsigned x86_cpl(const struct x86_state *s)
{
	return (s->seg[X86_SS].ar & X86_AR_DPL) >> X86_AR_DPL_SHIFT;
}

/* The DR7 in force: the client's where it has set hardware breakpoints. */
static inline u64 x86_dr7(const struct x86_state *s)
{
	return s->guest_debug & X86_GDBG_HW_BP ? s->gdbg_dr7 : s->dr7;
}

/* Misaligned accesses raise #AC. */
static inline bool x86_alignment_checked(const struct x86_state *s)
{
	return (s->rflags & X86_FL_AC) && (s->cr0 & X86_CR0_AM) && x86_cpl(s) == 3;
}

#endif
