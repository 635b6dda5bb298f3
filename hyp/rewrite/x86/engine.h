/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same-ISA engine: x86 guest code rewritten for the x86 host.
 *
 * Register assignment in translated code (64-bit encodings of the host):
 *
 *   guest rax..rdi but rsp, r8..r12   the same host register
 *   guest rsp                          host r15
 *   guest r13 r14 r15                  memory, gs:[8*n]
 *   host rsp                           the host's stack: signal handlers run on it
 *   host r14 (S1)                      address of the current memory operand; target of a branch
 *   host r13 (S2)                      TLB index, host page, substitute for a memory-resident register
 *   host gs                            base of struct hyp_cpu
 *
 * 32-bit guest code (decode32.c) runs in the same registers; S1, r15 and what it loads into eax..edi are
 * zero-extended, branch targets are linear addresses below 4 GiB.
 *
 * The guest's arithmetic flags are the host's; the guest's other flags are in s.rflags, DF in cpu->df.
 * A TLB check destroys flags; where the block still needs them they are kept in AH:AL meanwhile
 * (LAHF + SETO), RAX in cpu->scratch[0].
 *
 * Translated code leaves only through hyp_leave (a CALL followed by a struct hyp_site), which stores
 * the guest's registers; the run loop (run.c) does what the site asks for and enters again, in the
 * middle of the block or elsewhere. Nothing else is called from translated code.
 */
#ifndef KUSE_HYP_X86_ENGINE_H
#define KUSE_HYP_X86_ENGINE_H

#include "hyp/cpu.h"
#include "hyp/tcache/tcache.h"

enum { S1 = 14, S2 = 13, HRSP = 15 };

#define HYP_LEAVE_CALL 5 /* bytes of the CALL that leaves translated code */

/* Follows it. */
struct hyp_site {
	u32 block; /* index */
	u32 kind : 6;
	u32 write : 1;
	u32 ac_part : 2; /* soft-TLB partition of the access */
	u32 guest_off : 11;
	u32 plain : 1; /* SITE_MEM: S1 is the address itself; cpu->scratch[3] the cell's reference */
	u32 size : 11;
} __attribute__((packed));

struct hyp_edge_site {
	struct hyp_site site;
	u64 target; /* linear address */
	u32 patch;  /* code offset of the rel32 to patch, 0: none */
} __attribute__((packed));

enum hyp_site_kind {
	SITE_MEM,     /* soft-TLB miss: S1 + tag is the address; S1 becomes the host pointer, or S2 (cell.c) */
	SITE_CHECK,   /* the same for a planned check (xlate_plan.c): given up where no soft-TLB entry results */
	SITE_MASKED,  /* SITE_MEM of an access with a mask: what is masked off must not fault, so that the interpreter
		       * knows what to do where the page cannot be had */
	SITE_INTERP,  /* the instruction at guest_off is for the interpreter; resumes behind the site */
	SITE_EDGE,    /* struct hyp_edge_site: a direct branch not linked yet */
	SITE_POLL,    /* struct hyp_edge_site: attention word set on the way to target */
	SITE_JC_MISS, /* S1 is the target */
	SITE_DEAD,    /* the block was invalidated: look its pc up again */
	SITE_CHANGED, /* a block that checks itself found other bytes, and has no variants left to try */
	SITE_HELPER,  /* struct hyp_edge_site: helpers[patch] with operand `target`; resumes behind */
	SITE_NR
};

/* Block key: what translated code depends on besides the bytes. Class (jump cache) in the low bits. */
#define KEY_PART(k) ((k)&3)
#define KEY_CODE32 4u
#define KEY_SSE 8u  /* SSE usable: CR0.EM=TS=0, CR4.OSFXSR */
#define KEY_AVX 16u /* AVX usable: CR4.OSXSAVE, XCR0 */
#define KEY_AVX512 32u
#define KEY_X87 64u /* CR0.EM=TS=0 */
#define KEY_CPL0 128u
#define KEY_PAUSE_EXIT 256u
#define KEY_SMAP 512u /* CR4.SMAP: STAC and CLAC switch the TLB partition */
#define KEY_TSC 1024u /* RDTSC needs no check and no scaling */
#define KEY_RDTSCP 4096u /* the same for RDTSCP */
#define KEY_FSGSBASE 8192u /* CR4.FSGSBASE, 64-bit code */
#define KEY_VIEW 2048u /* the address space's other view: other memory at the same guest-physical address */
static inline unsigned key_class(u32 key)
{
	return KEY_PART(key);
}
u32 hyp_block_key(struct hyp_cpu *cpu);

/* Index of the jump cache for a target: rorx s2, pc, 9; lea s2, [s2 + pc]; pext with jc_mask. Functions are
 * 16-byte aligned, so the low bits alone would use a sixteenth of the table. */
#define JC_HASH_SHIFT 9
static inline u32 jc_index(u64 pc)
{
	return (u32)((pc >> JC_HASH_SHIFT) + pc) & (HYP_JC_SIZE - 1);
}

/* gs offset of the entry for a target */
static inline u32 jc_offset(unsigned class, u64 target)
{
	return (u32)(offsetof(struct hyp_cpu, jc) + class * sizeof(((struct hyp_cpu *)0)->jc[0]) +
		     8 * jc_index(target));
}

/* Translates the block at pc whose first byte is at host/gpa. NULL: not translatable, interpret. Not
 * guest-live; calls hyp_fpu_put. */
struct hyp_block *xlate_block(struct hyp_cpu *cpu, u64 pc, gpa_t gpa, const u8 *host, u32 key);
int xlate_create(struct hyp_engine *e);
void xlate_destroy(struct hyp_engine *e);
/* Writes the ways to the stubs of cell.c and fast.c at e->base, and moves e->base behind them. */
void xlate_stubs(struct hyp_engine *e);

/* heat.c: which user code has page cells. Does the code in gpa's page? Unless the place was seen to miss
 * all the time. */
bool hyp_is_hot(const struct hyp_engine *e, gpa_t gpa);
bool hyp_has_no_cell(const struct hyp_engine *e, u64 pc);
/* The guest was found executing in gpa's page: often enough, and the page's blocks are dropped, to be
 * made anew with cells. */
void hyp_heat(struct hyp_cpu *cpu, gpa_t gpa);
/* The instruction at pc, of block b, goes without a cell from now on; the block is dropped. */
void hyp_take_cell(struct hyp_cpu *cpu, struct hyp_block *b, u64 pc);
/* The block at pc changed more often than there may be variants. */
void hyp_note_moves(struct hyp_engine *e, u64 pc);
bool hyp_moves(const struct hyp_engine *e, u64 pc);
#define HYP_TURNS 16384 /* backward branches in code without cells between two looks at where they are */

/* tramp.c */
void hyp_enter(struct hyp_cpu *cpu, u64 code);
extern const char hyp_leave[], hyp_leave_tail[], hyp_leave_end[]; /* hyp_enter is in front of them */

/* fpu.c */
void hyp_fpu_get(struct hyp_cpu *cpu); /* guest vector state into the host's registers */
/* While it is there, s.xsave is free: a copy of the registers, and components `which` back from it. */
void hyp_fpu_peek(struct hyp_cpu *cpu);
void hyp_fpu_poke(struct hyp_cpu *cpu, u64 which);

#endif
