/* SPDX-License-Identifier: Apache-2.0 */
/* What every block must keep to (ir.h, docs/ir.md). */
#include "hyp/ir/ir.h"

static bool operand_type(u8 want, u8 have, u8 *any)
{
	if (want != IR_ANY)
		return want == have;
	if (have != IR_I32 && have != IR_I64)
		return false;
	if (*any != IR_VOID && *any != have)
		return false;
	*any = have;
	return true;
}

static const char *check_operands(const struct ir_block *b, u32 v)
{
	const struct ir_insn *i = &b->ir[v];
	const struct ir_op_desc *d = ir_op_desc((enum ir_op)i->op);
	const u16 args[3] = { i->a, i->b, i->c };
	bool call = i->op == IR_CALL || i->op == IR_CALLX;
	u8 any = IR_VOID;

	if (d->result != IR_VOID ? !operand_type(d->result, i->type, &any) : i->type != IR_VOID)
		return "type of the result";
	for (unsigned k = 0; k < 3; k++) {
		if (d->arg[k] == IR_VOID || (call && !args[k])) {
			if (args[k])
				return "operand where there is none";
			continue;
		}
		if (!args[k] || args[k] >= v)
			return "operand is not defined before";
		if (!operand_type(d->arg[k], b->ir[args[k]].type, &any))
			return "type of an operand";
	}
	return NULL;
}

static u8 int_type(const struct ir_block *b, const struct ir_insn *i)
{
	return i->type == IR_VOID && i->a ? b->ir[i->a].type : i->type;
}

static bool field_valid(const struct ir_insn *i)
{
	u64 lsb = (u64)i->imm & 63, width = (u64)i->imm >> 8;

	return width && lsb + width <= ir_width(i->type) && !((u64)i->imm & 0xc0);
}

static bool access_valid(const struct ir_block *b, const struct ir_insn *i)
{
	unsigned size = IR_MEM_SIZE(i->mem);

	switch (i->op) {
	case IR_LDV:
	case IR_STV:
		return size <= 16;
	case IR_LDXQ:
	case IR_STXQ:
	case IR_CASQ:
		return size == 16;
	case IR_ST:
	case IR_STX:
		return size <= ir_width(b->ir[i->b].type) / 8;
	default:
		return size <= ir_width(i->type) / 8;
	}
}

/* imm, cc, mem */
static const char *check_fields(const struct ir_block *b, const struct ir_insn *i)
{
	switch (i->op) {
	case IR_GET:
	case IR_SET:
	case IR_GETV:
	case IR_SETV:
		return i->imm >= 0 && i->imm < 32 ? NULL : "register number";
	case IR_CONST:
		return i->type == IR_I64 || i->imm >> 32 == 0 ? NULL : "constant beyond its type";
	case IR_SEXT:
	case IR_ZEXT:
		return i->imm >= 1 && i->imm <= ir_width(i->type) ? NULL : "width";
	case IR_EXTRACT:
	case IR_SEXTRACT:
	case IR_DEPOSIT:
		return field_valid(i) ? NULL : "bit field";
	case IR_EXTR:
		return i->imm >= 0 && i->imm < ir_width(i->type) ? NULL : "shift";
	case IR_REV:
		return (i->cc == 2 || i->cc == 4 || (i->cc == 8 && i->type == IR_I64)) ? NULL : "unit";
	case IR_CRC32:
		return i->cc == 1 || i->cc == 2 || i->cc == 4 || (i->cc == 8 && b->ir[i->b].type == IR_I64)
			       ? NULL
			       : "size";
	case IR_FADD:
	case IR_FSUB:
	case IR_FADC:
	case IR_FSBC:
	case IR_FAND:
		return i->cc == b->ir[i->a].type ? NULL : "width of flags";
	case IR_FCCMP:
	case IR_CSEL:
	case IR_CSET:
	case IR_BCC:
		return i->cc <= IR_NV ? NULL : "condition";
	case IR_ATOMIC:
		if (i->cc > 8)
			return "atomic operation";
		/* fall through */
	case IR_LD:
	case IR_ST:
	case IR_LDX:
	case IR_STX:
	case IR_CAS:
	case IR_LDXQ:
	case IR_STXQ:
	case IR_CASQ:
	case IR_LDV:
	case IR_STV:
		return access_valid(b, i) ? NULL : "size of access";
	case IR_VAES:
		return i->cc & (IR_AES_SUB | IR_AES_MIX) && i->cc < 8 ? NULL : "step";
	case IR_LDSTATE:
	case IR_STSTATE:
		return i->imm >= 0 && i->imm % (ir_width(int_type(b, i)) / 8) == 0 ? NULL : "offset";
	default:
		return NULL;
	}
}

const char *ir_verify(const struct ir_block *b)
{
	const char *wrong;

	if (b->overflow)
		return "overflow";
	if (b->n < 3 || b->n > IR_MAX_INSNS)
		return "no operations";
	for (u32 v = 1; v < b->n; v++) {
		const struct ir_insn *i = &b->ir[v];

		if (i->op >= IR_NR_OPS)
			return "unknown operation";
		if (v + 1 == b->n ? !(ir_op_desc((enum ir_op)i->op)->flags & IR_F_END)
				  : ir_op_desc((enum ir_op)i->op)->flags & IR_F_END)
			return "end of the block";
		wrong = check_operands(b, v);
		if (!wrong)
			wrong = check_fields(b, i);
		if (wrong)
			return wrong;
	}
	return NULL;
}
