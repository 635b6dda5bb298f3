/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The differential tester: the same instructions on the host CPU and on hyp's CPU, same registers,
 * same memory at the same linear addresses; everything a program can see afterwards must be equal.
 *
 *   gen.c      one random, decodable instruction with its memory operand aimed at our pages
 *   seq.c      a case: 1 to 20 such instructions, jumps, calls, loops; linked into bytes
 *   state.c    random initial registers and memory
 *   native.c   runs a case on the host CPU, in a forked child, by sigreturn and SIGSEGV
 *   guest.c    runs a case on a hyp_cpu in one of the modes below
 *   compare.c  what must be equal, and the words for what is not
 *   main.c     options, batches, the minimizer
 *
 * A case is a function of its 64-bit seed, nothing else. `diff_test --case SEED` runs it again.
 */
#ifndef KUSE_TESTS_DIFF_H
#define KUSE_TESTS_DIFF_H

#include <Zydis/Zydis.h>

#include "lib/types.h"

/* Linear addresses, the same in both worlds; nothing else below 4 GiB is mapped. */
#define DT_CODE 0x10000000u
#define DT_CODE_PAGES 2
#define DT_DATA 0x20000000u
#define DT_DATA_RW_PAGES 3
#define DT_DATA_PAGES 4 /* the last one is read-only */
#define DT_STACK 0x30000000u
#define DT_STACK_PAGES 2
#define DT_RO (DT_DATA + DT_DATA_RW_PAGES * PAGE_SIZE)
/* What the read-only page holds: vector indexes for gathers, write-masks, then random bytes. */
#define DT_IDX32 DT_RO
#define DT_IDX64 (DT_RO + 64)
#define DT_KMASK (DT_RO + 128)
#define DT_KMASKS 16

struct dt_mem {
	u8 code[DT_CODE_PAGES * PAGE_SIZE];
	u8 data[DT_DATA_PAGES * PAGE_SIZE];
	u8 stack[DT_STACK_PAGES * PAGE_SIZE];
};

#define DT_XSAVE 4096
struct dt_state {
	u64 gpr[16]; /* encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8.. */
	u64 rip, rflags;
	u64 fs_base, gs_base;
	u8 xsave[DT_XSAVE] __attribute__((aligned(64))); /* standard format */
};

struct dt_result {
	u8 vector;   /* of the exception that ended the case, or DT_* */
	u32 error;
	u64 cr2;     /* of #PF only */
	struct dt_state s;
	struct dt_mem m;
};
#define DT_TIMEOUT 0xff /* did not end */
#define DT_STRANGE 0xfe /* a signal or exit that no exception explains */

/* Guest modes. The first two share the native 64-bit run, the others the 32-bit one. (In protected mode an
 * exception at CPL 0 has no stack of its own: not one of them.) */
enum dt_mode { DT_LONG_USER, DT_LONG_KERNEL, DT_COMPAT_USER, DT_PROT_USER, DT_COMPAT_KERNEL, DT_MODES };
static inline bool dt_is64(enum dt_mode m) { return m <= DT_LONG_KERNEL; }
static inline bool dt_is_kernel(enum dt_mode m) { return m == DT_LONG_KERNEL || m == DT_COMPAT_KERNEL; }

/* ---- a case ------------------------------------------------------------------------------ */
enum dt_fix {
	DT_FIX_NONE,
	DT_FIX_REL,    /* displacement to the start of item `target` */
	DT_FIX_RIP,    /* displacement to the absolute address `addr` */
	DT_FIX_ABS,    /* absolute address of item `target` + addr */
	DT_FIX_RIPREF, /* displacement to item `target` + addr (self-modifying code) */
};

struct dt_item {
	u8 b[16];
	u8 len;
	u8 fix, fix_off, fix_size;
	u8 target;       /* item index; == n: the end */
	bool dead;       /* dropped by the minimizer */
	u64 addr;
	u32 flags_undef; /* arithmetic flags undefined before this item */
	u32 at;          /* address after linking */
};

#define DT_ITEMS 64
struct dt_case {
	u64 seed;
	enum dt_mode mode;
	unsigned n;
	struct dt_item item[DT_ITEMS + 1]; /* item[n]: UD2, the end */
	u32 start;      /* address of the first instruction */
	u32 ptr_regs;   /* GPRs that point into data and should stay so */
	u32 idx_regs;   /* GPRs that hold small numbers */
	u32 locked;     /* GPRs no generated instruction may write: loop counters */
	u32 flags_undef; /* running mask while generating */
	bool user_only; /* has an instruction whose meaning depends on CPL */
	struct dt_state init;
	struct dt_mem mem;
};

/* ---- random numbers (splitmix64) ----------------------------------------------------------- */
struct rng { u64 s; };
static inline u64 rng_u64(struct rng *r)
{
	u64 z = (r->s += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
static inline u32 rng_below(struct rng *r, u32 n) { return (u32)(((rng_u64(r) >> 32) * n) >> 32); }
static inline bool rng_pct(struct rng *r, u32 pct) { return rng_below(r, 100) < pct; }
u64 rng_value(struct rng *r); /* edge cases more often than not */

/* ---- gen.c ---------------------------------------------------------------------------------- */
void gen_init(void);
/* Appends one random instruction, with the items that prepare its registers. False: no room. */
bool gen_insn(struct rng *r, struct dt_case *c);
const ZydisDecoder *gen_decoder(enum dt_mode mode);
void emit_mov_imm(struct dt_case *c, int reg, u32 imm); /* MOV r32, imm32 */
/* Appends plain bytes. */
struct dt_item *item_add(struct dt_case *c, const void *bytes, unsigned len);

/* ---- seq.c ----------------------------------------------------------------------------------- */
void case_generate(struct dt_case *c, u64 seed, enum dt_mode mode);
void case_link(struct dt_case *c); /* writes mem.code */
void case_print(const struct dt_case *c);

/* ---- state.c --------------------------------------------------------------------------------- */
void state_random(struct rng *r, struct dt_case *c);
/* Offset of an XSAVE component in the standard format, its size, and the whole size. */
unsigned xsave_offset(unsigned comp), xsave_size(unsigned comp), xsave_total(void);
u64 xsave_features(void); /* components that are compared */
/* Components marked as being in their initial state get its bytes. */
void xsave_normalize(u8 *x);

/* ---- native.c ----------------------------------------------------------------------------------- */
#define DT_BATCH 64
struct dt_batch {
	u32 n;
	struct dt_case c[DT_BATCH];
	struct dt_result native[DT_BATCH];
};
struct dt_batch *native_start(void);
/* Runs batch->c[0..n) on the host CPU, fills batch->native. Asynchronous in two halves. */
void native_submit(u32 n);
void native_wait(void);
void native_stop(void);

/* ---- guest.c -------------------------------------------------------------------------------------- */
struct guest;
struct guest *guest_create(enum dt_mode mode);
void guest_destroy(struct guest *g);
/* Kicks and interrupts at any moment; to be set before guest_create. */
extern bool guest_interruptions;
extern u64 guest_interrupts; /* injected so far */
void guest_run(struct guest *g, const struct dt_case *c, struct dt_result *out);
/* The same case once more on the same CPU: by IRET, with the TLB warm and the blocks translated and linked.
 * `out` is the first run's result. False: not possible (it changed its code or segments). */
bool guest_run_again(struct guest *g, const struct dt_case *c, struct dt_result *out);

/* ---- compare.c ------------------------------------------------------------------------------------ */
/* True where equal. With print, says what differs. */
bool result_equal(const struct dt_case *c, const struct dt_result *nat, const struct dt_result *hyp,
		  bool print);

#endif
