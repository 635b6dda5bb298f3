/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the interpreter (interp*.c, native*.c, io.c, string.c): the decoded instruction, the
 * per-CPU caches, and the vocabulary its one-function-per-instruction files are written in.
 */
#ifndef KUSE_HYP_X86_INTERP_H
#define KUSE_HYP_X86_INTERP_H

#include "hyp/sys/x86/sys.h"

struct x86_insn;
/* Executes in at s.rip. Unless its table row says X86_OP_RIP, the caller then steps rip over it. */
typedef enum x86_ret (*x86_op_fn)(struct hyp_cpu *cpu, const struct x86_insn *in);

/* ---- one decoded instruction ----------------------------------------------------------------- */

enum x86_opnd_type { X86_OPND_NONE, X86_OPND_GPR, X86_OPND_MEM, X86_OPND_IMM, X86_OPND_SEG, X86_OPND_CR,
		     X86_OPND_DR, X86_OPND_PTR, X86_OPND_VEC, X86_OPND_MASK, X86_OPND_OTHER };

#define X86_REG_HIGH 16 /* AH CH DH BH are 16..19 */
#define X86_REG_NONE 0xff

struct x86_opnd {
	u8 type; /* enum x86_opnd_type */
	u8 reg;  /* GPR index or X86_REG_HIGH+n; segment, control, vector register number */
	u16 size; /* bytes */
};

/* The one explicit memory operand: seg:[base + index * scale + disp], address size in->asize. */
struct x86_mem {
	u8 seg;   /* X86_ES.. */
	u8 base;  /* X86_REG_NONE: absent */
	u8 index; /* of a GPR, or of a vector register where vsib */
	u8 scale;
	bool rip_relative;
	u8 vsib;  /* bytes of the vector index register, 0: none */
	u8 acc;   /* X86_ACC_R | X86_ACC_W: what the instruction does to it */
	bool agen; /* address only */
	u8 elem;  /* bytes of an element, for masked accesses */
	u16 size;
	s64 disp;
};

/* x86_insn.flags */
#define X86_IN_LOCK 1u
#define X86_IN_REP 2u   /* F3 on a string instruction (REP, REPE) */
#define X86_IN_REPNE 4u
#define X86_IN_VEC 8u   /* reads or writes x87, MMX, SSE, AVX, mask state */
#define X86_IN_FAR 16u
#define X86_IN_BCAST 32u

/* Which state an instruction needs enabled (interp_gate.c). */
enum x86_gate { X86_GATE_NONE, X86_GATE_X87, X86_GATE_FWAIT, X86_GATE_MMX, X86_GATE_SSE, X86_GATE_AVX,
		X86_GATE_AVX512, X86_GATE_FXSR, X86_GATE_XSAVE, X86_GATE_NR };

struct x86_insn {
	u64 lin;      /* cache tag: linear address */
	u8 dmode;     /* cache tag: enum x86_dmode */
	u8 len;       /* 0: empty */
	u8 bytes[15]; /* 16 may be read */
	u8 nopnd;
	u8 opsize;    /* bytes */
	u8 asize;     /* bytes */
	u8 opcode;    /* last opcode byte */
	u8 flags;     /* X86_IN_* */
	u8 gate;      /* enum x86_gate */
	u8 modrm_off;
	u8 op_flags;  /* X86_OP_* of the table row */
	u16 mnemonic;
	x86_op_fn fn;
	u64 imm[2];   /* sign-extended where the manual says so */
	struct x86_opnd opnd[4];
	struct x86_mem mem;

	/* interp_vector.c: masking */
	u8 mask_reg;  /* k register, 0: none */
	u8 vl;       /* bytes of the vector length */
	bool packed; /* compress, expand: the active elements are adjacent in memory */
	bool suppress; /* a masked-out element is not accessed */
	bool suppress_class; /* ... and does not fault (exception classes without NF) */

	/* native.c */
	const u8 *stub;  /* host code, NULL: not made yet */
	u32 stub_gen;
	u8 stub_len;     /* bytes of the instruction itself in the stub */
	u8 ptr_reg;      /* register that holds the operand's host address, X86_REG_NONE: no memory */
	u8 rsp_reg;      /* register that stands in for RSP, X86_REG_NONE */
	u16 gpr_used;    /* registers named by the instruction, hidden ones too */
};

enum x86_dmode { X86_DM_64, X86_DM_C32, X86_DM_C16, X86_DM_32, X86_DM_16, X86_DM_REAL, X86_DM_NR };

/* ---- the dispatch table (interp_table.c) ----------------------------------------------------- */
#define X86_OP_RIP 1u     /* the handler sets rip on X86_OK */
#define X86_OP_CPL0 2u    /* #GP(0) unless CPL 0 */
#define X86_OP_QINDEX 8u /* gather or scatter with quadword indexes */
#define X86_OP_NEW_TF 16u /* no single-step trap where the instruction has cleared TF */
#define X86_OP_BITSTRING 4u /* BTx: a register bit offset moves the memory operand */
struct x86_op {
	x86_op_fn fn;
	u8 flags;
};
extern const struct x86_op x86_op_table[];
const struct x86_op *x86_op_string(u16 mnemonic); /* MOVSD and CMPSD are also SSE names */

/* ---- per-CPU interpreter state --------------------------------------------------------------- */
#define X86_ICACHE_SIZE 8192
#define X86_BP_MAX 16
#define X86_MNEMONICS 2048

struct x86_native_pool {
	u8 *rw, *rx;
	size_t used, size;
	u32 gen;
	struct x86_stub *hash; /* stubs by content */
};

struct x86_interp {
	struct x86_insn icache[X86_ICACHE_SIZE];
	struct x86_native_pool pool;
	bool retired;    /* the instruction returned X86_EXIT after it was finished */
	bool bp_armed;   /* data breakpoints are enabled: record accesses */
	u8 bp_hits;      /* DR6.B0-3 found by the current instruction */
	u64 counts[X86_MNEMONICS]; /* instructions executed, by mnemonic */
	u8 bounce[8192 + 128] __attribute__((aligned(64)));
};
struct x86_interp *x86_interp_get(struct hyp_cpu *cpu); /* NULL on no memory */
void x86_counts_add(const struct x86_interp *it); /* interp_count.c */

/* ---- decode (interp_decode.c) ---------------------------------------------------------------- */
enum x86_dmode x86_decode_mode(const struct hyp_cpu *cpu);
/* 0; -1 more bytes needed; else the vector to raise (#UD, #GP for > 15 bytes). */
int x86_decode(enum x86_dmode mode, const u8 *bytes, unsigned n, struct x86_insn *in);
struct ZydisDecodedInstruction_;
struct ZydisDecodedOperand_;
bool x86_decode_full(enum x86_dmode mode, const u8 *bytes, unsigned n, struct ZydisDecodedInstruction_ *zi,
		     struct ZydisDecodedOperand_ *ops);
enum x86_ret x86_gate_check(struct hyp_cpu *cpu, const struct x86_insn *in);

/* ---- operands (interp_operand.c) ------------------------------------------------------------- */
u64 x86_trunc(u64 v, unsigned size);
s64 x86_sext(u64 v, unsigned size);
u64 x86_reg_get(const struct hyp_cpu *cpu, unsigned reg, unsigned size);
void x86_reg_set(struct hyp_cpu *cpu, unsigned reg, unsigned size, u64 val);
u64 x86_next_rip(const struct hyp_cpu *cpu, const struct x86_insn *in);
u64 x86_ea_offset(const struct hyp_cpu *cpu, const struct x86_insn *in);
enum x86_ret x86_ea(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned size, unsigned acc, gva_t *gva);
/* Memory by seg:offset, with breakpoints noted. */
enum x86_ret x86_seg_read(struct hyp_cpu *cpu, unsigned seg, u64 off, void *buf, unsigned size);
enum x86_ret x86_seg_write(struct hyp_cpu *cpu, unsigned seg, u64 off, const void *buf, unsigned size);
enum x86_ret x86_lin_read(struct hyp_cpu *cpu, gva_t gva, void *buf, unsigned size);
enum x86_ret x86_lin_write(struct hyp_cpu *cpu, gva_t gva, const void *buf, unsigned size);
/* x86_push and x86_pop, with breakpoints noted. */
enum x86_ret x86_opnd_push(struct hyp_cpu *cpu, u64 val, unsigned size);
enum x86_ret x86_opnd_pop(struct hyp_cpu *cpu, u64 *val, unsigned size);
/* Explicit operand i, integers of up to 8 bytes. */
enum x86_ret x86_opnd_get(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned i, u64 *val);
enum x86_ret x86_opnd_set(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned i, u64 val);
void x86_note_access(struct hyp_cpu *cpu, gva_t gva, unsigned size, bool write);
unsigned x86_stack_width(const struct hyp_cpu *cpu); /* bytes of SP in use: 2, 4, 8 */

/* CPL as privileged instructions see it: real mode is 0 whatever SS says. */
static inline unsigned x86_priv(const struct x86_state *s)
{
	return s->cr0 & X86_CR0_PE ? x86_cpl(s) : 0;
}

static inline u64 x86_get_a(const struct hyp_cpu *cpu, const struct x86_insn *in, unsigned reg)
{
	return x86_trunc(cpu->s.gpr[reg], in->asize);
}

/* #UD / #GP(0), as statements */
#define X86_TRY(expr) do { enum x86_ret try_ = (expr); if (try_ != X86_OK) return try_; } while (0)

/* ---- breakpoints and traps (interp_debug.c) -------------------------------------------------- */
void x86_debug_arm(struct hyp_cpu *cpu);
enum x86_ret x86_debug_fetch(struct hyp_cpu *cpu, gva_t lin); /* code breakpoints */
enum x86_ret x86_debug_retire(struct hyp_cpu *cpu, bool tf, enum x86_ret ret);
bool x86_debug_io(struct hyp_cpu *cpu, u16 port, unsigned size);

enum x86_ret x86_interp_step(struct hyp_cpu *cpu); /* without x86_mmio_flush */

/* ---- exits ----------------------------------------------------------------------------------- */
/* Leaves with rip at the instruction. */
enum x86_ret x86_exit_at(struct hyp_cpu *cpu, const struct x86_insn *in, enum hyp_exit reason);

/* ---- native.c -------------------------------------------------------------------------------- */
enum x86_ret x86_native(struct hyp_cpu *cpu, const struct x86_insn *in); /* the default x86_op_fn */
/* Runs in's stub with its memory operand at host (NULL: none). No checks, no memory accesses. */
enum x86_ret x86_native_at(struct hyp_cpu *cpu, struct x86_insn *in, void *host);
enum x86_ret x86_native_mem(struct hyp_cpu *cpu, const struct x86_insn *in, gva_t gva);
enum x86_ret x86_native_masked(struct hyp_cpu *cpu, struct x86_insn *in);
bool x86_native_init(struct x86_interp *it);
void x86_native_fini(struct x86_interp *it);
/* Re-encodes in as 64-bit code with its memory operand at [in->ptr_reg]; returns its length, 0: cannot. */
unsigned x86_native_encode(struct x86_insn *in, u8 *out);

/* ---- XSAVE area as seen from C (interp_xsave.c) ---------------------------------------------- */
void x86_vec_get(struct hyp_cpu *cpu, unsigned reg, void *buf, unsigned size);
void x86_vec_set(struct hyp_cpu *cpu, unsigned reg, const void *buf, unsigned size); /* the rest is zeroed */
void x86_mmx_enter(struct hyp_cpu *cpu);
void x86_mmx_get(struct hyp_cpu *cpu, unsigned reg, void *buf);
u64 x86_mask_get(struct hyp_cpu *cpu, unsigned k);
void x86_mask_set(struct hyp_cpu *cpu, unsigned k, u64 val);

/* ---- one function per instruction ------------------------------------------------------------ */
#define X86_OP_DECLARE(name) enum x86_ret x86_op_##name(struct hyp_cpu *cpu, const struct x86_insn *in);
#include "hyp/sys/x86/interp_ops.inc"
#undef X86_OP_DECLARE

#endif
