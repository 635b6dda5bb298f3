/* SPDX-License-Identifier: Apache-2.0 */
/* Integer and flag operations on known operands: one meaning for the interpreter and for constant folding. */
#include "hyp/ir/ir.h"

#define N (1u << 31)
#define Z (1u << 30)
#define C (1u << 29)
#define V (1u << 28)

bool ir_cond_holds(unsigned cc, u32 f)
{
	bool n = f & N, z = f & Z, c = f & C, v = f & V, r;

	switch (cc >> 1) {
	case 0: r = z; break;
	case 1: r = c; break;
	case 2: r = n; break;
	case 3: r = v; break;
	case 4: r = c && !z; break;
	case 5: r = n == v; break;
	case 6: r = n == v && !z; break;
	default: return true;
	}
	return r != (cc & 1);
}

static u64 sext(u64 x, unsigned bits)
{
	return (u64)((s64)(x << (64 - bits)) >> (64 - bits));
}

/* NZCV of x + y + carry */
static u32 flags_of_sum(u64 x, u64 y, bool carry, unsigned width)
{
	u64 mask = ~0ull >> (64 - width), sign = 1ull << (width - 1), sum = (x + y + carry) & mask;
	bool c = carry ? sum <= x : sum < x;

	return (sum & sign ? N : 0) | (sum ? 0 : Z) | (c ? C : 0) | ((x ^ sum) & (y ^ sum) & sign ? V : 0);
}

static u64 reversed_bits(u64 x, unsigned width)
{
	u64 r = 0;

	for (unsigned k = 0; k < width; k++)
		r |= (x >> k & 1) << (width - 1 - k);
	return r;
}

static u64 reversed_bytes(u64 x, unsigned unit)
{
	switch (unit) {
	case 2: return (x & 0x00ff00ff00ff00ffull) << 8 | (x >> 8 & 0x00ff00ff00ff00ffull);
	case 4: return (u64)__builtin_bswap32((u32)(x >> 32)) << 32 | __builtin_bswap32((u32)x);
	default: return __builtin_bswap64(x);
	}
}

static u64 divide_signed(u64 x, u64 y, unsigned width)
{
	s64 a = (s64)sext(x, width), b = (s64)sext(y, width);

	if (!b)
		return 0;
	return b == -1 ? 0 - (u64)a : (u64)(a / b);
}

static u64 crc32(u32 crc, u64 data, unsigned bytes, bool castagnoli)
{
	u32 poly = castagnoli ? 0x82f63b78u : 0xedb88320u;

	for (unsigned k = 0; k < bytes; k++) {
		crc ^= (u8)(data >> (8 * k));
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? poly : 0);
	}
	return crc;
}

static u64 field(const struct ir_insn *i, u64 x)
{
	unsigned width = (unsigned)(i->imm >> 8);

	return x >> (i->imm & 63) & ~0ull >> (64 - width);
}

static u64 deposit(const struct ir_insn *i, u64 x, u64 y)
{
	u64 mask = ~0ull >> (64 - (i->imm >> 8)) << (i->imm & 63);

	return (x & ~mask) | (y << (i->imm & 63) & mask);
}

/* Flags and what reads them. FADD .. FAND have their operands' type in cc (ir_add_insn). */
static u64 eval_flags(const struct ir_insn *i, u64 x, u64 y, u64 z)
{
	unsigned width = ir_width(i->type == IR_FLAGS ? i->cc : i->type);
	u64 mask = ~0ull >> (64 - width), sign = 1ull << (width - 1);

	switch (i->op) {
	case IR_FADD: return flags_of_sum(x, y, false, width);
	case IR_FSUB: return flags_of_sum(x, ~y & mask, true, width);
	case IR_FADC: return flags_of_sum(x, y, z & C, width);
	case IR_FSBC: return flags_of_sum(x, ~y & mask, z & C, width);
	case IR_FAND: return (x & sign ? N : 0) | (x ? 0 : Z);
	case IR_FIMM: return (u32)i->imm << 28;
	case IR_FFROM:
	case IR_FTO: return x & 0xf0000000u;
	case IR_ADC: return x + y + !!(z & C);
	case IR_SBC: return x - y - !(z & C);
	case IR_CSEL: return ir_cond_holds(i->cc, (u32)z) ? x : y;
	default: return ir_cond_holds(i->cc, (u32)x); /* CSET */
	}
}

static u64 eval_int(const struct ir_insn *i, u64 x, u64 y)
{
	unsigned width = ir_width(i->type), by = (unsigned)y & (width - 1);

	switch (i->op) {
	case IR_ADD: return x + y;
	case IR_SUB: return x - y;
	case IR_AND: return x & y;
	case IR_OR: return x | y;
	case IR_XOR: return x ^ y;
	case IR_NOT: return ~x;
	case IR_NEG: return 0 - x;
	case IR_SHL: return x << by;
	case IR_SHR: return x >> by;
	case IR_SAR: return (u64)((s64)sext(x, width) >> by);
	case IR_ROR: return by ? x >> by | x << (width - by) : x;
	case IR_MUL: return x * y;
	case IR_UMULH: return (u64)((unsigned __int128)x * y >> 64);
	case IR_SMULH: return (u64)((__int128)(s64)x * (s64)y >> 64);
	case IR_UDIV: return y ? x / y : 0;
	case IR_SDIV: return divide_signed(x, y, width);
	case IR_CLZ: return x ? (u64)__builtin_clzll(x) - (64 - width) : width;
	case IR_RBIT: return reversed_bits(x, width);
	case IR_REV: return reversed_bytes(x, i->cc);
	case IR_SEXT: return sext(x, (unsigned)i->imm);
	case IR_ZEXT: return x & ~0ull >> (64 - i->imm);
	case IR_EXTRACT: return field(i, x);
	case IR_SEXTRACT: return sext(field(i, x), (unsigned)(i->imm >> 8));
	case IR_DEPOSIT: return deposit(i, x, y);
	case IR_EXTR: return i->imm ? y >> i->imm | x << (width - i->imm) : y;
	case IR_TRUNC:
	case IR_WIDEN: return (u32)x;
	case IR_WIDENS: return sext(x, 32);
	default: return crc32((u32)x, y, i->cc, i->imm); /* CRC32 */
	}
}

bool ir_can_eval(enum ir_op op)
{
	return op >= IR_ADD && op <= IR_CSET;
}

u64 ir_eval(const struct ir_insn *i, u64 x, u64 y, u64 z)
{
	if (i->op == IR_FCCMP)
		return ir_cond_holds(i->cc, (u32)x) ? y : (u32)i->imm << 28;
	if (i->op >= IR_FADD)
		return eval_flags(i, x, y, z) & (i->type == IR_FLAGS ? 0xf0000000u : ir_mask(i->type));
	return eval_int(i, x, y) & ir_mask(i->type);
}
