/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What x86 silicon does besides arithmetic: page walk, segmentation, event delivery, far transfers,
 * system registers and instructions. One function per instruction or mechanism, in the order of SDM
 * vol. 3. Everything here is guest-live (see hyp/cpu.h) except interp.c and native.c.
 *
 * Convention: a function that can fault returns enum x86_ret. X86_FAULT leaves the architectural
 * state as it was before the instruction, with the exception in cpu->fault (x86_raise).
 *
 * opsize and size are in bytes (2, 4, 8) everywhere.
 *
 * Functions here check privilege themselves (CPL, IOPL, protected mode: #GP/#UD). Those that transfer
 * control (jmp, call, ret, iret, syscall ..., x86_softint) set s.rip; all others leave it to the caller.
 */
#ifndef KUSE_HYP_X86_SYS_H
#define KUSE_HYP_X86_SYS_H

#include "hyp/cpu.h"

/* ---- exceptions (exc.c) ---------------------------------------------------------------- */
/* Puts an exception in cpu->fault and returns X86_FAULT. */
enum x86_ret x86_raise(struct hyp_cpu *cpu, u8 vector);
enum x86_ret x86_raise_err(struct hyp_cpu *cpu, u8 vector, u32 error);
enum x86_ret x86_raise_pf(struct hyp_cpu *cpu, gva_t gva, u32 error); /* also sets s.cr2 */

/* #DB with these DR6 bits (BS, B0-3, BD, or 0). Sets s.dr6 unless guest_debug claims the exception. */
enum x86_ret x86_raise_db(struct hyp_cpu *cpu, u64 dr6_bits);

/* INT n, INT3, INTO (where it traps): gate DPL and IOPL checks, frame with next_rip. A fault on the way
 * is returned as X86_FAULT with s.rip still at the instruction. INT3 that guest_debug claims: X86_EXIT. */
enum x86_ret x86_softint(struct hyp_cpu *cpu, u8 vector, u64 next_rip);

/* An exception event with this vector is a shutdown waiting to happen (queued on top of a double fault). */
#define X86_VEC_SHUTDOWN 255

/* ev == &cpu->fault: raised by the guest, so guest_debug may claim #DB and #BP (exit DEBUG). Any other ev
 * is an injection, which nothing intercepts. ev may be overwritten meanwhile; it is copied first.
 * Delivers ev through IVT/IDT (real, protected, long mode; gates, IST, stack switch, error code;
 * faults during delivery combine to #DF and shutdown: SDM 6.15). RIP in the frame is s.rip.
 * X86_OK, or X86_EXIT (shutdown, or exit.reason EVENT_DELIVERY / DEBUG). */
enum x86_ret x86_deliver(struct hyp_cpu *cpu, const struct x86_event *ev);

/* ---- paging (mmu.c) ---------------------------------------------------------------------- */
struct x86_walk {
	gpa_t gpa;      /* of the byte asked for */
	u8 page_shift;  /* 12, 21, 22 or 30 */
	bool writable;  /* a write at this privilege would be allowed and the dirty bit is set, so that
	                   a write entry may be cached */
	bool global;
	bool user, rw;  /* U/S, R/W set on every level */
};
#define X86_ACC_NOSMAP 32u /* x86_walk only: explicit supervisor access that SMAP ignores (KVM_TRANSLATE) */
#define X86_ACC_PEEK 64u /* x86_walk only: sets no A or D bit, and faults where one would have to be set */
/* Walks the guest's tables for gva as acc (X86_ACC_*) at the current CPL, sets A/D bits as the
 * access requires (D only for X86_ACC_W), honours WP, NX, SMEP, SMAP, reserved bits, PSE/PAE/4- and
 * 5-level. X86_OK or X86_FAULT (#PF raised). No paging: identity. */
enum x86_ret x86_walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct x86_walk *out);
bool x86_canonical(struct hyp_cpu *cpu, gva_t gva);

/* ---- memory (access.c) --------------------------------------------------------------------- */
/* Linear-address accesses of any length and alignment, MMIO included. */
enum x86_ret x86_mem_read(struct hyp_cpu *cpu, gva_t gva, void *buf, unsigned len, unsigned acc);
enum x86_ret x86_mem_write(struct hyp_cpu *cpu, gva_t gva, const void *buf, unsigned len, unsigned acc);
/* seg:offset to linear with limit, type and canonical checks (#GP or #SS). size: bytes accessed. */
enum x86_ret x86_linear(struct hyp_cpu *cpu, unsigned seg, u64 off, unsigned size, unsigned acc, gva_t *out);
/* Stack pushes and pops with SS.B / long-mode width; they move RSP only when they succeed. */
enum x86_ret x86_push(struct hyp_cpu *cpu, u64 val, unsigned size);
enum x86_ret x86_pop(struct hyp_cpu *cpu, u64 *val, unsigned size);

/* MMIO pieces (cpu->mmio). Each instruction ends with one of: x86_mmio_retire (answered reads are used up,
 * queued writes stay to be flushed) or x86_mmio_drop (it faulted: queued writes never happened). */
static inline void x86_mmio_retire(struct hyp_cpu *cpu)
{
	cpu->mmio.n = cpu->mmio.next = 0;
}

static inline void x86_mmio_drop(struct hyp_cpu *cpu)
{
	cpu->mmio.n = cpu->mmio.next = 0;
	cpu->mmio.wn = cpu->mmio.wnext = 0;
}

/* ---- segmentation and far transfers (seg.c, far.c) ------------------------------------------ */
enum x86_ret x86_load_seg(struct hyp_cpu *cpu, unsigned seg, u16 sel); /* MOV/POP/Lxs to ES SS DS FS GS */
enum x86_ret x86_lldt(struct hyp_cpu *cpu, u16 sel);
enum x86_ret x86_ltr(struct hyp_cpu *cpu, u16 sel);
/* *ok is the resulting ZF; *out (LAR, LSL) is written only where it is true. #UD in real mode and VM86. */
enum x86_ret x86_lar(struct hyp_cpu *cpu, u16 sel, u32 *out, bool *ok);
enum x86_ret x86_lsl(struct hyp_cpu *cpu, u16 sel, u32 *out, bool *ok);
enum x86_ret x86_verr(struct hyp_cpu *cpu, u16 sel, bool write, bool *ok); /* write: VERW */
enum x86_ret x86_far_jmp(struct hyp_cpu *cpu, u16 sel, u64 off, unsigned opsize);
enum x86_ret x86_far_call(struct hyp_cpu *cpu, u16 sel, u64 off, unsigned opsize, u64 next_rip);
enum x86_ret x86_far_ret(struct hyp_cpu *cpu, unsigned opsize, u16 imm);
enum x86_ret x86_iret(struct hyp_cpu *cpu, unsigned opsize); /* rip is at the IRET; on OK at the target */

/* ---- system calls (syscall.c): next_rip is the address after the instruction ------------------ */
enum x86_ret x86_syscall(struct hyp_cpu *cpu, u64 next_rip);
enum x86_ret x86_sysret(struct hyp_cpu *cpu, unsigned opsize);
enum x86_ret x86_sysenter(struct hyp_cpu *cpu);
enum x86_ret x86_sysexit(struct hyp_cpu *cpu, unsigned opsize);
enum x86_ret x86_swapgs(struct hyp_cpu *cpu);

/* ---- flags, control and debug registers (sysreg.c) --------------------------------------------- */
u64 x86_get_rflags(struct hyp_cpu *cpu); /* s.rflags merged with cpu->df */
void x86_set_rflags(struct hyp_cpu *cpu, u64 val); /* all bits, no privilege check; updates df, mode */
enum x86_ret x86_pushf(struct hyp_cpu *cpu, unsigned opsize);
/* IOPL and IF rules; sets attention where IF rises */
enum x86_ret x86_popf(struct hyp_cpu *cpu, unsigned opsize);
enum x86_ret x86_cli(struct hyp_cpu *cpu);
enum x86_ret x86_sti(struct hyp_cpu *cpu); /* sets the STI shadow where IF was 0 */
enum x86_ret x86_stac_clac(struct hyp_cpu *cpu, bool ac);
enum x86_ret x86_mov_to_cr(struct hyp_cpu *cpu, unsigned cr, u64 val);
enum x86_ret x86_mov_from_cr(struct hyp_cpu *cpu, unsigned cr, u64 *val);
enum x86_ret x86_mov_to_dr(struct hyp_cpu *cpu, unsigned dr, u64 val);
enum x86_ret x86_mov_from_dr(struct hyp_cpu *cpu, unsigned dr, u64 *val);
enum x86_ret x86_clts(struct hyp_cpu *cpu);
enum x86_ret x86_lmsw(struct hyp_cpu *cpu, u16 val);
enum x86_ret x86_invlpg(struct hyp_cpu *cpu, gva_t gva);
enum x86_ret x86_invpcid(struct hyp_cpu *cpu, u64 type, u64 pcid, gva_t gva);

/* ---- one instruction (interp.c) --------------------------------------------------------------- */
/*
 * Executes exactly one instruction (one iteration of a REP string instruction at least) at s.rip in
 * any mode, entirely on the state in cpu->s. System instructions by the functions above, everything
 * else by running the instruction itself in a one-instruction stub (native.c) with its memory operand
 * in a bounce buffer. Not guest-live: the caller has called hyp_fpu_put().
 *
 * Exits with rip at the instruction: CPUID RDMSR WRMSR HLT VMCALL XSETBV MWAIT RDPMC INVD PAUSE(if wanted).
 * IN/INS/OUT/OUTS/MMIO as state.h says. Handles TF, RF, debug registers and guest_debug single-step,
 * clears s.shadow after the instruction (and sets it for STI, MOV SS, POP SS).
 */
enum x86_ret x86_interp_one(struct hyp_cpu *cpu);

/* With the CPU: clients may forbid mmap by seccomp before it runs for the first time. False: no memory. */
bool x86_interp_make(struct hyp_cpu *cpu);
void x86_interp_free(struct hyp_cpu *cpu); /* with the CPU */
/* From the engine's handler of SIGSEGV, SIGFPE, SIGILL, SIGTRAP: true where the signal was a guest
 * instruction's fault inside a native stub of this thread; the context is then to be resumed. */
bool x86_native_signal(int sig, const void *siginfo, void *ucontext);

/* Writes of a retired instruction that went to MMIO leave one exit each. Called by the run loop first. */
enum x86_ret x86_mmio_flush(struct hyp_cpu *cpu);

#endif
