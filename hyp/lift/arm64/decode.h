/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A64 by one table in the Arm manual's notation (a64_*.inc): decoder, lifter, disassembler, coverage
 * document and fuzzer read the same rows. A row is
 *
 *	A64(ADD_imm, "sf op=0 S=0 100010 sh imm12 Rn Rd", "add <Rd|SP>, <Rn|SP>, #<imm12><sh>",
 *	    lift_addsub_imm, "FEAT_...")
 *
 * where the second string lists bits 31..0: digits, x for bits that do not matter, (0)/(1) for should-be,
 * and named fields, whose width is given once in fields.inc ("Rd" 5, "imm12" 12, ...) or after a colon;
 * "op=1" is a field that has that value in this row. The first row that matches wins; where none does, or
 * its lifter refuses, the instruction is UNDEFINED. Rows with lift_none are those of features that are not
 * offered.
 */
#ifndef KUSE_HYP_LIFT_ARM64_DECODE_H
#define KUSE_HYP_LIFT_ARM64_DECODE_H

#include "hyp/ir/ir.h"

enum a64_field {
#define FIELD(name, width) A64_##name,
#include "hyp/lift/arm64/fields.inc"
#undef FIELD
	A64_NR_FIELDS
};

struct lift;
struct a64_insn;

/* False: these field values are unallocated (UNDEFINED). */
typedef bool (*a64_lifter)(struct lift *l, const struct a64_insn *i);

/* Rows with one kind of operands; the last three need FP/SIMD enabled. */
enum a64_chapter { A64_DP_IMM, A64_BRANCH, A64_LDST, A64_DP_REG, A64_LDST_SIMD, A64_FP, A64_SIMD };

struct a64_enc {
	const char *name, *bits, *text;
	a64_lifter lift;
	const char *feature; /* "": base; else as the manual names it: "FEAT_LSE" ... */
	u8 chapter;          /* enum a64_chapter */
};

struct a64_insn {
	u32 raw;
	const struct a64_enc *enc;
	u32 f[A64_NR_FIELDS];
};
#define F(i, name) ((i)->f[A64_##name])

extern const struct a64_enc a64_table[];
extern const unsigned a64_nr_rows;
/* For tools that walk the table: the bits that decide; where a field is (its lsb, -1: not in this row);
 * NULL, or the row that is not well formed. */
void a64_row_bits(unsigned row, u32 *mask, u32 *value);
void a64_row_should_be(unsigned row, u32 *mask, u32 *value);
int a64_row_field(unsigned row, enum a64_field f, unsigned *width);
const char *a64_table_fault(void);
/* True where every row of the feature has a lifter: what ID registers may offer. */
bool a64_feature(const char *feature);
bool lift_none(struct lift *l, const struct a64_insn *i);

/* The row an instruction belongs to (fields taken apart), or NULL. */
const struct a64_enc *a64_decode(u32 raw, struct a64_insn *out);
/* Disassembles for traces. */
void a64_disassemble(u32 raw, u64 pc, char *buf, size_t size);

/* What a lifter works with. */
struct lift {
	struct ir_block *b;
	u64 pc;       /* of the instruction being lifted */
	u32 key;      /* HYP_KEY_*: el, what traps, FP enabled (hyp/sys/arm64/cpu.h) */
	bool end;     /* set by the lifter: the block ends here */
	bool sp_aligned; /* the stack pointer is known to be, by a check before */
};

/* Lifts from `code` (host address of pc's bytes, `avail` of them readable, page end at most) up to the end
 * of the basic block, or of the page, or max_insns. An undecodable first instruction becomes a RAISE.
 * Returns guest bytes used. */
u32 a64_lift_block(struct ir_block *b, u64 pc, const u8 *code, u32 avail, u32 key, u32 max_insns);

#endif
