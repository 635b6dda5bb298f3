/* SPDX-License-Identifier: Apache-2.0 */
/* Builders, descriptions and the printer of the IR (see ir.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hyp/ir/ir.h"

#define T_V IR_VOID
#define T_I IR_ANY
#define T_W IR_I32
#define T_X IR_I64
#define T_F IR_FLAGS
#define T_Q IR_V128

static const struct ir_op_desc descs[IR_NR_OPS] = {
#define IR(name, result, a, b, c, flags, text) [IR_##name] = { #name, T_##result, { T_##a, T_##b, T_##c }, flags },
#include "hyp/ir/ops.inc"
#undef IR
};

const struct ir_op_desc *ir_op_desc(enum ir_op op)
{
	return &descs[op];
}

void ir_block_init(struct ir_block *b, u64 pc, u32 key)
{
	memset(b, 0, offsetof(struct ir_block, ir[1]));
	b->pc = pc;
	b->key = key;
	b->n = 1;
}

u16 ir_add_insn(struct ir_block *b, struct ir_insn i)
{
	if (b->n >= IR_MAX_INSNS) {
		b->overflow = true;
		return 0;
	}
	if (i.op >= IR_FADD && i.op <= IR_FAND)
		i.cc = b->ir[i.a].type; /* the flags' width, where only the operation is at hand */
	b->ir[b->n] = i;
	return (u16)b->n++;
}

struct out {
	char *buf;
	size_t size;
	int n;
};

static __attribute__((format(printf, 2, 3))) void put(struct out *o, const char *fmt, ...)
{
	size_t left = (size_t)o->n < o->size ? o->size - (size_t)o->n : 0;
	va_list ap;

	va_start(ap, fmt);
	o->n += vsnprintf(left ? o->buf + o->n : NULL, left, fmt, ap);
	va_end(ap);
}

static void print_insn(struct out *o, const struct ir_block *b, u32 v)
{
	static const char *const types[] = { "", ".w", ".x", ".f", ".q" };
	const struct ir_insn *i = &b->ir[v];
	const struct ir_op_desc *d = &descs[i->op];
	const u16 args[3] = { i->a, i->b, i->c };

	if (i->op == IR_INSN) {
		put(o, "; %llx\n", (unsigned long long)(b->pc + (u64)i->imm));
		return;
	}
	put(o, "%4u %s%s", v, d->name, types[i->type <= IR_V128 ? i->type : 0]);
	for (unsigned k = 0; k < 3; k++)
		if (d->arg[k] != IR_VOID)
			put(o, " %%%u", args[k]);
	if (i->imm)
		put(o, " #%llx", (unsigned long long)i->imm);
	if (i->cc)
		put(o, " cc%u", i->cc);
	if (i->mem)
		put(o, " mem%x", i->mem);
	put(o, "\n");
}

int ir_print(const struct ir_block *b, char *buf, size_t size)
{
	struct out o = { buf, size, 0 };

	put(&o, "block %llx key %x, %u instructions\n", (unsigned long long)b->pc, b->key, b->guest_insns);
	for (u32 v = 1; v < b->n; v++)
		if (b->ir[v].op != IR_NONE)
			print_insn(&o, b, v);
	return o.n;
}
