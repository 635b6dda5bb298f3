/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest instruction as the translator sees it: Zydis' decoding, plus the byte positions that
 * re-encoding needs and a verdict on how to treat it.
 */
#ifndef KUSE_HYP_X86_DECODE_H
#define KUSE_HYP_X86_DECODE_H

#include <Zydis/Zydis.h>

#include "lib/types.h"

enum insn_class {
	INSN_COPY,     /* same instruction, operands redirected */
	INSN_VERBATIM, /* the guest's bytes: no operands */
	INSN_LEA,
	INSN_NOP, /* no effect in translated code: NOP, ENDBR, PREFETCH */
	INSN_PUSH,
	INSN_POP,
	INSN_LEAVE,
	INSN_CLD_STD,
	INSN_RDTSC,
	INSN_RDTSCP,
	INSN_CLI,
	INSN_STI,
	INSN_STAC,
	INSN_CLAC,
	INSN_SWAPGS,
	INSN_PUSHF,
	INSN_MOV_FROM_SEG,
	INSN_MOV_FROM_CR, /* CR0, CR2 to CR4, at CPL 0 */
	INSN_READ_BASE, /* RDFSBASE, RDGSBASE */
	INSN_WRITE_BASE,
	INSN_BIT_STRING, /* BT, BTS, BTR, BTC with a register bit offset on memory */
	INSN_VZERO,      /* VZEROUPPER and VZEROALL of 32-bit code */
	INSN_STRING,     /* without a repeat prefix */
	INSN_HELPER,     /* helpers[helper] with operand helper_op; the block goes on behind it */
	INSN_JMP,        /* direct */
	INSN_JCC,
	INSN_JRCXZ,
	INSN_LOOP,
	INSN_CALL, /* direct */
	INSN_JMP_IND,
	INSN_CALL_IND,
	INSN_RET,
	INSN_HELPER_END, /* the same, but nothing follows in the block */
	INSN_INTERP,     /* the interpreter's; the block goes on behind it */
	INSN_INTERP_END, /* the interpreter's; it changes the flow of control or the mode */
};

/* A general register in an encoded field: guest number, or GPR_NONE where the field is something else. */
#define GPR_NONE 0xff

struct insn {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	u64 pc;
	u8 bytes[16]; /* 64-bit code, as far as it is copied (decode32.c) */
	u8 len;       /* of the guest's instruction */
	u8 elen;      /* of bytes[] */
	u8 cls;               /* enum insn_class */
	u8 live_in;           /* packed arithmetic flags wanted before this instruction */
	u8 live_out;          /* and behind it */
	u8 fl_read, fl_write; /* packed; write: overwritten for certain */

	/* positions in bytes[] */
	u8 op_start; /* opcode (or 0xC4/0xC5/0x62 prefix) */
	u8 tail;     /* immediates */
	u8 rex;      /* 0, or the REX byte */

	/* general registers by field, and how they are used (ZYDIS_OPERAND_ACTION_*) */
	u8 g_reg, g_rm, g_vvvv, g_opc;
	u8 a_reg, a_rm, a_vvvv, a_opc;
	u8 sz_reg, sz_rm, sz_vvvv, sz_opc; /* bytes */
	u8 helper;                         /* enum helper_id */
	u64 helper_op;
	bool high8;   /* uses AH..BH: no REX allowed */
	u16 gpr_used; /* guest registers read or written, implicit ones too */
	u16 gpr_written;
	s8 check[2]; /* planned checks of the operand and of the stack access, -1: none */

	/* explicit memory operand */
	bool has_mem;
	u8 mem_idx;
	bool mem_read, mem_write;
	u16 mem_size; /* bytes */
};

/* Decodes up to 15 bytes of 32- or 64-bit code. False: not decodable. */
bool insn_decode(struct insn *in, const u8 *bytes, unsigned avail, u64 pc, unsigned code_size);

/* Sets in->cls and the fields of its operands for a block with key `key`. */
void insn_classify(struct insn *in, u32 key);

/* A mask says which elements of the memory operand are accessed at all. */
bool insn_is_masked(const struct insn *in);

/* xlate_vec.c: a gather or scatter that a helper can do, and which helper with which operand. */
bool insn_vsib(const struct insn *in, u8 *helper, u64 *operand);

/* The class of an instruction executed by helpers[id]. */
u8 insn_use_helper(struct insn *in, u8 id, u64 operand);

/* decode32.c: 32-bit code. */
/* The 64-bit form of an instruction that has another encoding there; returns its length, 0: no such. */
unsigned insn32_rewrite(const ZydisDecodedInstruction *z, const u8 *bytes, u8 *out);
/* The bytes are the same instruction in 64-bit code, on the same registers and with the same widths. */
bool insn32_is_same(const struct insn *in);
/* Where 32-bit code differs; INSN_COPY: it does not. cls: by flow of control (INSN_COPY: none). */
u8 insn32_class(struct insn *in, u32 key, u8 cls);

/* Guest register number of a Zydis general register; sets *high for AH..BH. GPR_NONE otherwise. */
u8 insn_gpr(ZydisRegister r, bool *high);

/* RFLAGS arithmetic bits <-> 6-bit packed form. */
static inline u8 flags_pack(u32 fl)
{
	return (u8)((fl & 1) | (fl >> 1 & 2) | (fl >> 2 & 4) | (fl >> 3 & 8) | (fl >> 3 & 16) |
		    (fl >> 6 & 32));
}
#define FLAGS_ALL 63

#endif
