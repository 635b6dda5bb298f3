/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MOVS STOS LODS CMPS SCAS. An iteration either happens wholly or not at all, and the index and count
 * registers are stepped after each, so a fault or an exit in the middle of a REP leaves an instruction
 * that simply continues when it is run again. A REP stops early, with rip at the instruction, when
 * something wants the CPU's attention, and after REP_MAX iterations.
 *
 * MOVS, in either direction, and forward STOS between plain RAM pages go a page at a time.
 */
#include <string.h>

#include "hyp/sys/x86/interp.h"

#define REP_MAX 4096

/* One string instruction being executed. */
struct str {
	const struct x86_insn *in;
	unsigned size;  /* bytes of an element */
	unsigned asize;
	bool rep;
	u64 step;       /* +size or -size */
};

typedef enum x86_ret (*str_fn)(struct hyp_cpu *cpu, const struct str *st);

static u64 index_get(const struct hyp_cpu *cpu, const struct str *st, unsigned reg)
{
	return x86_trunc(cpu->s.gpr[reg], st->asize);
}

static void index_add(struct hyp_cpu *cpu, const struct str *st, unsigned reg, u64 delta)
{
	x86_reg_set(cpu, reg, st->asize, cpu->s.gpr[reg] + delta);
}

static enum x86_ret load_src(struct hyp_cpu *cpu, const struct str *st, u64 *val)
{
	*val = 0;
	return x86_seg_read(cpu, st->in->mem.seg, index_get(cpu, st, X86_RSI), val, st->size);
}

static enum x86_ret load_dst(struct hyp_cpu *cpu, const struct str *st, u64 *val)
{
	*val = 0;
	return x86_seg_read(cpu, X86_ES, index_get(cpu, st, X86_RDI), val, st->size);
}

static enum x86_ret store_dst(struct hyp_cpu *cpu, const struct str *st, u64 val)
{
	return x86_seg_write(cpu, X86_ES, index_get(cpu, st, X86_RDI), &val, st->size);
}

/* Flags of a - b. */
static void compare(struct hyp_cpu *cpu, unsigned size, u64 a, u64 b)
{
	u64 r = x86_trunc(a - b, size), sign = 1ull << (8 * size - 1);
	u64 fl = cpu->s.rflags & ~(u64)X86_FL_ARITH;

	fl |= a < b ? X86_FL_CF : 0;
	fl |= r == 0 ? X86_FL_ZF : 0;
	fl |= r & sign ? X86_FL_SF : 0;
	fl |= (a ^ b) & (a ^ r) & sign ? X86_FL_OF : 0;
	fl |= (a ^ b ^ r) & 0x10 ? X86_FL_AF : 0;
	fl |= __builtin_parity((u8)r) ? 0 : X86_FL_PF;
	cpu->s.rflags = fl;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static enum x86_ret movs_one(struct hyp_cpu *cpu, const struct str *st)
{
	u64 val;

	X86_TRY(load_src(cpu, st, &val));
	X86_TRY(store_dst(cpu, st, val));
	index_add(cpu, st, X86_RSI, st->step);
	index_add(cpu, st, X86_RDI, st->step);
	return X86_OK;
}

static enum x86_ret stos_one(struct hyp_cpu *cpu, const struct str *st)
{
	X86_TRY(store_dst(cpu, st, x86_reg_get(cpu, X86_RAX, st->size)));
	index_add(cpu, st, X86_RDI, st->step);
	return X86_OK;
}

static enum x86_ret lods_one(struct hyp_cpu *cpu, const struct str *st)
{
	u64 val;

	X86_TRY(load_src(cpu, st, &val));
	x86_reg_set(cpu, X86_RAX, st->size, val);
	index_add(cpu, st, X86_RSI, st->step);
	return X86_OK;
}

static enum x86_ret cmps_one(struct hyp_cpu *cpu, const struct str *st)
{
	u64 a, b;

	X86_TRY(load_src(cpu, st, &a));
	X86_TRY(load_dst(cpu, st, &b));
	compare(cpu, st->size, a, b);
	index_add(cpu, st, X86_RSI, st->step);
	index_add(cpu, st, X86_RDI, st->step);
	return X86_OK;
}

static enum x86_ret scas_one(struct hyp_cpu *cpu, const struct str *st)
{
	u64 val;

	X86_TRY(load_dst(cpu, st, &val));
	compare(cpu, st->size, x86_reg_get(cpu, X86_RAX, st->size), val);
	index_add(cpu, st, X86_RDI, st->step);
	return X86_OK;
}

/* ---- a page at a time ------------------------------------------------------------------------ */

/* Bytes from offset to the end of its page and of the address size; host address in *host. 0: not plain. */
static u64 plain_run(struct hyp_cpu *cpu, const struct str *st, unsigned seg, unsigned reg, unsigned acc,
		     u8 **host)
{
	u64 off = index_get(cpu, st, reg),
	    left = st->asize == 8 ? PAGE_SIZE : (1ull << (8 * st->asize)) - off;
	enum x86_ret ret = X86_OK;
	gva_t gva;
	gpa_t gpa;

	if (x86_linear(cpu, seg, off, 1, acc, &gva) != X86_OK)
		return 0;
	left = MIN(left, PAGE_SIZE - (gva & ~PAGE_MASK));
	if (x86_linear(cpu, seg, off, left, acc, &gva) != X86_OK)
		return 0;
	*host = hyp_mem_ptr(cpu, gva, acc, &gpa, &ret);
	return *host ? left : 0;
}

/* Downwards: bytes from the end of the element at offset down to the start of its page; *host is that end. */
static u64 plain_run_down(struct hyp_cpu *cpu, const struct str *st, unsigned seg, unsigned reg, unsigned acc,
			  u8 **host)
{
	u64 end = index_get(cpu, st, reg) + st->size, left;
	enum x86_ret ret = X86_OK;
	gva_t gva;
	gpa_t gpa;

	if (x86_linear(cpu, seg, end - st->size, st->size, acc, &gva) != X86_OK)
		return 0;
	left = (gva & ~PAGE_MASK) + st->size;
	if (left > PAGE_SIZE) /* the element crosses into the next page */
		return 0;
	left = MIN(left, end);
	if (x86_linear(cpu, seg, end - left, left, acc, &gva) != X86_OK)
		return 0;
	*host = hyp_mem_ptr(cpu, gva, acc, &gpa, &ret);
	if (!*host)
		return 0;
	*host += left;
	return left;
}

static void rep_retire(struct hyp_cpu *cpu, const struct str *st, u64 n)
{
	x86_reg_set(cpu, X86_RCX, st->asize, index_get(cpu, st, X86_RCX) - n);
}

/* Iterations done, 0: do one the slow way (which also raises what has to be raised). */
static u64 movs_page(struct hyp_cpu *cpu, const struct str *st)
{
	u64 n = index_get(cpu, st, X86_RCX), bytes;
	u8 *src, *dst;
	u64 a = plain_run(cpu, st, st->in->mem.seg, X86_RSI, X86_ACC_R, &src);
	u64 b = a ? plain_run(cpu, st, X86_ES, X86_RDI, X86_ACC_W, &dst) : 0;

	n = MIN(n, MIN(a, b) / st->size);
	bytes = n * st->size;
	if (!n || (dst > src && dst < src + bytes)) /* an overlap repeats a pattern */
		return 0;
	memmove(dst, src, bytes);
	index_add(cpu, st, X86_RSI, bytes);
	index_add(cpu, st, X86_RDI, bytes);
	return n;
}

static u64 movs_page_down(struct hyp_cpu *cpu, const struct str *st)
{
	u64 n = index_get(cpu, st, X86_RCX), bytes;
	u8 *src, *dst;
	u64 a = plain_run_down(cpu, st, st->in->mem.seg, X86_RSI, X86_ACC_R, &src);
	u64 b = a ? plain_run_down(cpu, st, X86_ES, X86_RDI, X86_ACC_W, &dst) : 0;

	n = MIN(n, MIN(a, b) / st->size);
	bytes = n * st->size;
	if (!n || (dst < src && dst > src - bytes))
		return 0;
	memmove(dst - bytes, src - bytes, bytes);
	index_add(cpu, st, X86_RSI, -bytes);
	index_add(cpu, st, X86_RDI, -bytes);
	return n;
}

static u64 stos_page(struct hyp_cpu *cpu, const struct str *st)
{
	u64 n = index_get(cpu, st, X86_RCX), val = cpu->s.gpr[X86_RAX];
	u8 *dst;

	n = MIN(n, plain_run(cpu, st, X86_ES, X86_RDI, X86_ACC_W, &dst) / st->size);
	if (st->size == 1)
		memset(dst, val, n);
	else
		for (u64 i = 0; i < n; i++)
			memcpy(dst + i * st->size, &val, st->size);
	index_add(cpu, st, X86_RDI, n * st->size);
	return n;
}

/* ---- REP ------------------------------------------------------------------------------------- */

static bool stop_early(const struct hyp_cpu *cpu)
{
	return __atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) || cpu->mmio.wn > cpu->mmio.wnext ||
	       cpu->s.rflags & X86_FL_TF || cpu->s.guest_debug & X86_GDBG_SINGLESTEP || cpu->interp->bp_hits;
}

/* cond: CMPS and SCAS also stop on ZF */
static bool rep_finished(const struct hyp_cpu *cpu, const struct str *st, bool cond)
{
	bool zf = cpu->s.rflags & X86_FL_ZF;

	if (index_get(cpu, st, X86_RCX) == 0)
		return true;
	return cond && zf == !!(st->in->flags & X86_IN_REPNE);
}

static enum x86_ret run_rep(struct hyp_cpu *cpu, const struct str *st, str_fn one,
			    u64 (*page)(struct hyp_cpu *, const struct str *), bool cond)
{
	u64 done = 0, n;

	if (index_get(cpu, st, X86_RCX) == 0) {
		cpu->s.rip = x86_next_rip(cpu, st->in);
		return X86_OK;
	}
	if (cpu->interp->bp_armed || cpu->s.rflags & X86_FL_TF || cpu->s.guest_debug & X86_GDBG_SINGLESTEP)
		page = NULL;
	do {
		n = page && !cpu->mmio.n ? page(cpu, st) : 0;
		if (!n) {
			X86_TRY(one(cpu, st));
			n = 1;
			cpu->mmio.n = cpu->mmio.next = 0;
		}
		rep_retire(cpu, st, n);
		if (rep_finished(cpu, st, cond)) {
			cpu->s.rip = x86_next_rip(cpu, st->in);
			return X86_OK;
		}
		done += n;
	} while (done < REP_MAX && !stop_early(cpu));
	return X86_OK;
}

static struct str str_of(const struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->opcode & 1 ? in->opsize : 1;

	return (struct str){ .in = in, .size = size, .asize = in->asize,
			     .rep = in->flags & (X86_IN_REP | X86_IN_REPNE),
			     .step = cpu->df ? -(u64)size : size };
}

static enum x86_ret run(struct hyp_cpu *cpu, const struct x86_insn *in, str_fn one,
			u64 (*page)(struct hyp_cpu *, const struct str *), bool cond)
{
	struct str st = str_of(cpu, in);

	if (st.rep)
		return run_rep(cpu, &st, one, page, cond);
	X86_TRY(one(cpu, &st));
	cpu->s.rip = x86_next_rip(cpu, in);
	return X86_OK;
}

enum x86_ret x86_op_movs(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return run(cpu, in, movs_one, cpu->df ? movs_page_down : movs_page, false);
}

enum x86_ret x86_op_stos(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return run(cpu, in, stos_one, cpu->df ? NULL : stos_page, false);
}

enum x86_ret x86_op_lods(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return run(cpu, in, lods_one, NULL, false);
}

enum x86_ret x86_op_cmps(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return run(cpu, in, cmps_one, NULL, true);
}

enum x86_ret x86_op_scas(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return run(cpu, in, scas_one, NULL, true);
}
