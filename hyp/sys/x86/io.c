/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port I/O. OUT is finished before its exit; IN exits with rip at the instruction and is finished by
 * hyp_x86_complete_io(), INS by the run after it. OUTS makes one exit per element, REP INS one for as many as
 * the page of the destination takes (a disk is read by REP INS); rip stays at the instruction until the count
 * is 0, so that interrupts come in between.
 */
#include "hyp/sys/x86/interp.h"

#define TSS_TYPE_MASK 0xdu /* busy or not */
#define TSS_TYPE_32 0x9u
#define TSS_IOMAP_BASE 0x66

/* SDM vol. 1, 19.5.2: the two bytes that hold the ports' bits must be within the TSS limit. */
static enum x86_ret check_bitmap(struct hyp_cpu *cpu, u16 port, unsigned size)
{
	const struct x86_seg *tr = &cpu->s.seg[X86_TR];
	u16 base, bits;

	if ((tr->ar & X86_AR_TYPE & TSS_TYPE_MASK) != TSS_TYPE_32 || tr->limit < TSS_IOMAP_BASE + 1)
		return x86_raise_err(cpu, X86_GP, 0);
	X86_TRY(x86_mem_read(cpu, tr->base + TSS_IOMAP_BASE, &base, 2, X86_ACC_R | X86_ACC_SUPER));
	if ((u32)base + port / 8 + 1 > tr->limit)
		return x86_raise_err(cpu, X86_GP, 0);
	X86_TRY(x86_mem_read(cpu, tr->base + base + port / 8, &bits, 2, X86_ACC_R | X86_ACC_SUPER));
	if (bits >> (port & 7) & ((1u << size) - 1))
		return x86_raise_err(cpu, X86_GP, 0);
	return X86_OK;
}

static enum x86_ret check_port(struct hyp_cpu *cpu, u16 port, unsigned size)
{
	unsigned iopl = (cpu->s.rflags & X86_FL_IOPL) >> 12;

	if (!(cpu->s.cr0 & X86_CR0_PE))
		return X86_OK;
	if (!(cpu->s.rflags & X86_FL_VM) && x86_priv(&cpu->s) <= iopl)
		return X86_OK;
	return check_bitmap(cpu, port, size);
}

static enum x86_ret exit_io(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned port, unsigned size)
{
	struct x86_exit *e = &cpu->s.exit;

	e->io.port = port;
	e->io.size = size;
	e->io.count = 1;
	return x86_exit_at(cpu, in, HYP_EXIT_IO);
}

/* ---- IN, OUT --------------------------------------------------------------------------------- */

static u16 port_operand(const struct hyp_cpu *cpu, const struct x86_insn *in, unsigned i)
{
	return in->opnd[i].type == X86_OPND_IMM ? (u8)in->imm[0] : (u16)cpu->s.gpr[X86_RDX];
}

enum x86_ret x86_op_in(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	u16 port = port_operand(cpu, in, 1);

	X86_TRY(check_port(cpu, port, size));
	cpu->s.exit.io.in = true;
	cpu->s.exit.io.string = false;
	return exit_io(cpu, in, port, size);
}

enum x86_ret x86_op_out(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->opnd[1].size;
	u16 port = port_operand(cpu, in, 0);

	X86_TRY(check_port(cpu, port, size));
	x86_debug_io(cpu, port, size);
	cpu->s.exit.io.in = false;
	cpu->s.exit.io.string = false;
	cpu->s.exit.io.data = x86_reg_get(cpu, X86_RAX, size);
	cpu->s.rip = x86_next_rip(cpu, in);
	cpu->interp->retired = true;
	return exit_io(cpu, in, port, size);
}

/* ---- INS, OUTS ------------------------------------------------------------------------------- */

/* One element is done: steps the index and, with REP, the count; rip when the last one is. */
static void string_step(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned index, unsigned size)
{
	u64 count;

	x86_reg_set(cpu, index, in->asize, cpu->s.gpr[index] + (cpu->df ? -(u64)size : size));
	if (in->flags & (X86_IN_REP | X86_IN_REPNE)) {
		count = x86_get_a(cpu, in, X86_RCX) - 1;
		x86_reg_set(cpu, X86_RCX, in->asize, count);
		if (count)
			return;
	}
	cpu->s.rip = x86_next_rip(cpu, in);
}

static bool rep_done(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (!(in->flags & (X86_IN_REP | X86_IN_REPNE)) || x86_get_a(cpu, in, X86_RCX))
		return false;
	cpu->s.rip = x86_next_rip(cpu, in);
	return true;
}

static unsigned element_size(const struct x86_insn *in)
{
	return in->opcode & 1 ? MIN(in->opsize, 4) : 1;
}

/* How many elements to ask for at once: what fits on the destination's page, where that is plain RAM. */
static unsigned ins_count(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned size)
{
	enum x86_ret ret = X86_OK;
	u64 count, room;
	gva_t gva;
	gpa_t gpa;

	if (!(in->flags & (X86_IN_REP | X86_IN_REPNE)) || cpu->df)
		return 1;
	if ((cpu->s.rflags & X86_FL_TF) || cpu->s.guest_debug)
		return 1;
	if (x86_linear(cpu, X86_ES, x86_get_a(cpu, in, X86_RDI), size, X86_ACC_W, &gva) != X86_OK)
		return 1;
	room = MIN(PAGE_SIZE - (gva & ~PAGE_MASK), (u64)X86_INS_MAX) / size;
	count = MIN(x86_get_a(cpu, in, X86_RCX), room);
	if (count < 2 || !hyp_mem_ptr(cpu, gva, X86_ACC_W, &gpa, &ret))
		return 1;
	ret = x86_linear(cpu, X86_ES, x86_get_a(cpu, in, X86_RDI), (unsigned)count * size, X86_ACC_W, &gva);
	return ret == X86_OK ? (unsigned)count : 1;
}

/* User space may have changed the registers meanwhile: no more is stored than RCX says. */
static enum x86_ret ins_store(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned size)
{
	unsigned count = cpu->s.exit.io.count;

	cpu->mmio.io_ready = false;
	if (in->flags & (X86_IN_REP | X86_IN_REPNE))
		count = (unsigned)MIN((u64)count, x86_get_a(cpu, in, X86_RCX));
	for (unsigned i = 0; i < count; i++) {
		const u8 *data = cpu->s.ins_data + i * size;

		X86_TRY(x86_seg_write(cpu, X86_ES, x86_get_a(cpu, in, X86_RDI), data, size));
		x86_debug_io(cpu, (u16)cpu->s.gpr[X86_RDX], size);
		string_step(cpu, in, X86_RDI, size);
	}
	return X86_OK;
}

static enum x86_ret probe_destination(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned size)
{
	enum x86_ret ret = X86_OK;
	gva_t gva;
	gpa_t gpa;

	X86_TRY(x86_linear(cpu, X86_ES, x86_get_a(cpu, in, X86_RDI), size, X86_ACC_W, &gva));
	if (!hyp_mem_ptr(cpu, gva, X86_ACC_W, &gpa, &ret) && ret == X86_FAULT)
		return ret;
	gva += size - 1;
	ret = X86_OK;
	return !hyp_mem_ptr(cpu, gva, X86_ACC_W, &gpa, &ret) && ret == X86_FAULT ? ret : X86_OK;
}

enum x86_ret x86_op_ins(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = element_size(in);
	u16 port = cpu->s.gpr[X86_RDX];

	X86_TRY(check_port(cpu, port, size));
	if (rep_done(cpu, in))
		return X86_OK;
	if (cpu->mmio.io_ready)
		return ins_store(cpu, in, size);
	X86_TRY(probe_destination(cpu, in, size)); /* the port must not be read for nothing */
	cpu->s.exit.io.in = true;
	cpu->s.exit.io.string = true;
	exit_io(cpu, in, port, size);
	cpu->s.exit.io.count = (u16)ins_count(cpu, in, size);
	return X86_EXIT;
}

enum x86_ret x86_op_outs(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = element_size(in);
	u16 port = cpu->s.gpr[X86_RDX];
	u32 data = 0;

	X86_TRY(check_port(cpu, port, size));
	if (rep_done(cpu, in))
		return X86_OK;
	X86_TRY(x86_seg_read(cpu, in->mem.seg, x86_get_a(cpu, in, X86_RSI), &data, size));
	x86_debug_io(cpu, port, size);
	string_step(cpu, in, X86_RSI, size);
	cpu->s.exit.io.in = false;
	cpu->s.exit.io.string = true;
	cpu->s.exit.io.data = data;
	cpu->interp->retired = true;
	return exit_io(cpu, in, port, size);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* IN is finished here. INS needs guest memory, so the next hyp_cpu_run finishes it. */
void hyp_x86_complete_io(struct hyp_cpu *cpu)
{
	const struct x86_exit *e = &cpu->s.exit;

	if (!e->io.in)
		return;
	if (e->io.string) {
		cpu->mmio.io_ready = true;
		return;
	}
	x86_reg_set(cpu, X86_RAX, e->io.size, e->io.data);
	hyp_x86_skip(cpu);
}
