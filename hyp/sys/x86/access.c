/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory as instructions see it: segmentation, page crossing, and MMIO.
 *
 * An access that meets no RAM is MMIO. A read leaves hyp_cpu_run with one piece of at most 8 bytes in
 * s.exit; KVM answers it (hyp_x86_complete_mmio), which records the piece, and the whole instruction
 * runs again from its start: recorded pieces are used up in order, until a further piece is missing or
 * the instruction retires. A write is queued while the instruction runs and leaves after it has retired
 * (x86_mmio_flush), one exit a piece. So an instruction, however odd, sees either all of its input or
 * does not happen, and a device sees each access once. Example: "add %eax,(mmio)" exits for the read,
 * is re-run with the answer, retires, and exits for the write.
 *
 * A write that crosses into a second page looks both pages up before it stores a byte.
 */
#include "hyp/sys/x86/desc.h"

static inline void copy_bytes(void *dst, const void *src, unsigned len)
{
	u8 *d = dst;
	const u8 *s = src;

	switch (len) { /* each a single access, as atomic as the instruction's own */
	case 1: *d = *s; return;
	case 2: __builtin_memcpy(d, s, 2); return;
	case 4: __builtin_memcpy(d, s, 4); return;
	case 8: __builtin_memcpy(d, s, 8); return;
	}
	for (; len >= 8; len -= 8, d += 8, s += 8)
		__builtin_memcpy(d, s, 8);
	while (len--)
		*d++ = *s++;
}

static inline unsigned to_page_end(gva_t gva, unsigned len)
{
	unsigned room = PAGE_SIZE - (gva & (PAGE_SIZE - 1));

	return MIN(room, len);
}

/* Legacy linear addresses wrap at 4 GiB. */
static inline gva_t next_linear(const struct hyp_cpu *cpu, gva_t gva, unsigned len)
{
	return x86_long_active(&cpu->s) ? gva + len : (u32)(gva + len);
}

/* ---- segmentation ---- */

static bool in_limit(const struct x86_seg *seg, u64 off, unsigned size)
{
	u64 last = off + (size ? size - 1 : 0);

	if ((seg->ar & (X86_AR_S | 0xc)) == (X86_AR_S | 0x4)) /* expand-down data */
		return off > seg->limit && last <= (seg->ar & X86_AR_DB ? 0xffffffff : 0xffff);
	return last <= seg->limit;
}

static bool type_allows(u32 ar, unsigned acc)
{
	bool code = ar & X86_AR_TYPE_CODE, rw = ar & X86_AR_TYPE_WRITE;

	if (acc & X86_ACC_W)
		return !code && rw;
	return !(acc & X86_ACC_R) || !code || rw;
}

static enum x86_ret seg_fault(struct hyp_cpu *cpu, unsigned seg)
{
	return x86_raise_err(cpu, seg == X86_SS ? X86_SS_VEC : X86_GP, 0);
}

/* SDM vol. 3, 6.15, #AC: integer operands. */
static enum x86_ret check_alignment(struct hyp_cpu *cpu, gva_t lin, unsigned size)
{
	if (likely(!x86_alignment_checked(&cpu->s)) || size > 8 || !(lin & (size - 1)) || size & (size - 1))
		return X86_OK;
	return x86_raise_err(cpu, X86_AC, 0);
}

enum x86_ret x86_linear(struct hyp_cpu *cpu, unsigned seg, u64 off, unsigned size, unsigned acc, gva_t *out)
{
	const struct x86_seg *sg = &cpu->s.seg[seg];

	if (likely(cpu->code_size == 64)) {
		gva_t lin = seg == X86_FS || seg == X86_GS ? sg->base + off : off;

		gva_t last = lin + (size ? size - 1 : 0);

		*out = lin;
		if (likely(x86_is_canonical(&cpu->s, lin) && x86_is_canonical(&cpu->s, last)))
			return check_alignment(cpu, lin, size);
		return seg_fault(cpu, seg);
	}
	off = (u32)off;
	*out = (u32)(sg->base + off);
	if (unlikely(!in_limit(sg, off, size)))
		return seg_fault(cpu, seg);
	/* real-address modes know only the limit */
	if (cpu->mode > HYP_MODE_VM86 && ((sg->ar & X86_AR_UNUSABLE) || !type_allows(sg->ar, acc)))
		return seg_fault(cpu, seg);
	return check_alignment(cpu, *out, size);
}

/* ---- MMIO ---- */

static unsigned mmio_piece_len(unsigned len)
{
	return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : len;
}

static enum x86_ret mmio_too_long(struct hyp_cpu *cpu)
{
	cpu->s.exit.reason = HYP_EXIT_EMULATION;
	cpu->s.exit.insn_len = 0;
	cpu->s.exit.emulation.len = 0;
	return X86_EXIT;
}

static enum x86_ret mmio_ask(struct hyp_cpu *cpu, gpa_t gpa, unsigned len)
{
	struct x86_exit *exit = &cpu->s.exit;

	if (cpu->mmio.n == ARRAY_SIZE(cpu->mmio.piece))
		return mmio_too_long(cpu);
	exit->reason = HYP_EXIT_MMIO;
	exit->insn_len = 0;
	exit->mmio.gpa = gpa;
	exit->mmio.size = len;
	exit->mmio.write = false;
	__builtin_memset(exit->mmio.data, 0, 8);
	return X86_EXIT;
}

static enum x86_ret mmio_read(struct hyp_cpu *cpu, gpa_t gpa, u8 *buf, unsigned len)
{
	while (len) {
		unsigned n = mmio_piece_len(len), i = cpu->mmio.next;

		if (i < cpu->mmio.n && (cpu->mmio.piece[i].gpa != gpa || cpu->mmio.piece[i].len != n))
			cpu->mmio.n = i; /* the instruction changed under us: ask anew */
		if (i >= cpu->mmio.n)
			return mmio_ask(cpu, gpa, n);
		copy_bytes(buf, cpu->mmio.piece[i].data, n);
		cpu->mmio.next++;
		gpa += n;
		buf += n;
		len -= n;
	}
	return X86_OK;
}

static unsigned mmio_pieces(unsigned len)
{
	return len / 8 + !!(len & 4) + !!(len & 2) + (len & 1);
}

static void mmio_queue(struct hyp_cpu *cpu, gpa_t gpa, const u8 *buf, unsigned len)
{
	while (len) {
		unsigned n = mmio_piece_len(len), i = cpu->mmio.wn++;

		cpu->mmio.wpiece[i].gpa = gpa;
		cpu->mmio.wpiece[i].len = n;
		copy_bytes(cpu->mmio.wpiece[i].data, buf, n);
		gpa += n;
		buf += n;
		len -= n;
	}
}

enum x86_ret x86_mmio_flush(struct hyp_cpu *cpu)
{
	struct x86_exit *exit = &cpu->s.exit;
	unsigned i = cpu->mmio.wnext;

	if (likely(i >= cpu->mmio.wn))
		return X86_OK;
	exit->reason = HYP_EXIT_MMIO;
	exit->insn_len = 0;
	exit->mmio.gpa = cpu->mmio.wpiece[i].gpa;
	exit->mmio.size = cpu->mmio.wpiece[i].len;
	exit->mmio.write = true;
	__builtin_memcpy(exit->mmio.data, cpu->mmio.wpiece[i].data, 8);
	if (++cpu->mmio.wnext == cpu->mmio.wn)
		cpu->mmio.wn = cpu->mmio.wnext = 0;
	return X86_EXIT;
}

void hyp_x86_complete_mmio(struct hyp_cpu *cpu)
{
	const struct x86_exit *exit = &cpu->s.exit;
	unsigned i = cpu->mmio.n;

	if (exit->mmio.write || i >= ARRAY_SIZE(cpu->mmio.piece))
		return;
	cpu->mmio.piece[i].gpa = exit->mmio.gpa;
	cpu->mmio.piece[i].len = exit->mmio.size;
	__builtin_memcpy(cpu->mmio.piece[i].data, exit->mmio.data, 8);
	cpu->mmio.n = i + 1;
	cpu->mmio.next = 0;
}

void hyp_x86_abort_access(struct hyp_cpu *cpu)
{
	x86_mmio_drop(cpu);
	cpu->mmio.io_ready = false;
	cpu->fault.type = X86_EVENT_NONE;
}

/* ---- linear accesses ---- */

/* A read-modify-write asks for both rights; where only the write meets no RAM (ROM), the read still works. */
static u8 *read_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, gpa_t *gpa, enum x86_ret *ret)
{
	u8 *p = hyp_mem_ptr(cpu, gva, acc, gpa, ret);

	if (unlikely(!p && *ret == X86_EXIT && (acc & X86_ACC_W)))
		p = hyp_mem_ptr(cpu, gva, acc & ~X86_ACC_W, gpa, ret);
	return p;
}

enum x86_ret x86_mem_read(struct hyp_cpu *cpu, gva_t gva, void *buf, unsigned len, unsigned acc)
{
	u8 *dst = buf;

	if (!(acc & X86_ACC_X))
		acc |= X86_ACC_R;
	while (len) {
		unsigned n = to_page_end(gva, len);
		enum x86_ret ret;
		gpa_t gpa;
		u8 *p = read_ptr(cpu, gva, acc, &gpa, &ret);

		if (likely(p)) {
			copy_bytes(dst, p, n);
		} else {
			if (ret == X86_EXIT)
				ret = mmio_read(cpu, gpa, dst, n);
			if (ret != X86_OK)
				return ret;
		}
		dst += n;
		len -= n;
		gva = next_linear(cpu, gva, n);
	}
	return X86_OK;
}

struct target { /* one page's worth of a write */
	u8 *p;
	gpa_t gpa;
	unsigned len;
};

static enum x86_ret find_target(struct hyp_cpu *cpu, gva_t gva, unsigned len, unsigned acc, struct target *t)
{
	enum x86_ret ret = X86_OK;

	t->len = len;
	t->p = hyp_mem_ptr(cpu, gva, acc, &t->gpa, &ret);
	return !t->p && ret == X86_FAULT ? X86_FAULT : X86_OK;
}

static void put_target(struct hyp_cpu *cpu, const struct target *t, const u8 *src)
{
	if (likely(t->p))
		copy_bytes(t->p, src, t->len);
	else
		mmio_queue(cpu, t->gpa, src, t->len);
}

enum x86_ret x86_mem_write(struct hyp_cpu *cpu, gva_t gva, const void *buf, unsigned len, unsigned acc)
{
	struct target t[2] = { 0 };
	unsigned first = to_page_end(gva, len), mmio = 0;

	acc |= X86_ACC_W;
	if (find_target(cpu, gva, first, acc, &t[0]) == X86_FAULT)
		return X86_FAULT;
	if (likely(first == len && t[0].p)) {
		copy_bytes(t[0].p, buf, len);
		return X86_OK;
	}
	if (len - first > PAGE_SIZE)
		return mmio_too_long(cpu);
	if (len > first &&
	    find_target(cpu, next_linear(cpu, gva, first), len - first, acc, &t[1]) == X86_FAULT)
		return X86_FAULT;
	mmio += t[0].p ? 0 : mmio_pieces(first);
	mmio += t[1].p ? 0 : mmio_pieces(len - first);
	if (cpu->mmio.wn + mmio > ARRAY_SIZE(cpu->mmio.wpiece))
		return mmio_too_long(cpu);
	put_target(cpu, &t[0], buf);
	if (len > first)
		put_target(cpu, &t[1], (const u8 *)buf + first);
	return X86_OK;
}

/* ---- stack ---- */

enum x86_ret x86_push(struct hyp_cpu *cpu, u64 val, unsigned size)
{
	u64 mask = x86_stack_mask(cpu), sp = (cpu->s.gpr[X86_RSP] - size) & mask;
	enum x86_ret ret;
	gva_t gva;

	ret = x86_linear(cpu, X86_SS, sp, size, X86_ACC_W, &gva);
	if (ret == X86_OK)
		ret = x86_mem_write(cpu, gva, &val, size, X86_ACC_W);
	if (ret == X86_OK)
		x86_set_sp(cpu, sp, mask);
	return ret;
}

enum x86_ret x86_stack_read(struct hyp_cpu *cpu, unsigned disp, u64 *val, unsigned size)
{
	u64 sp = (cpu->s.gpr[X86_RSP] + disp) & x86_stack_mask(cpu);
	enum x86_ret ret;
	gva_t gva;

	*val = 0;
	ret = x86_linear(cpu, X86_SS, sp, size, X86_ACC_R, &gva);
	return ret == X86_OK ? x86_mem_read(cpu, gva, val, size, X86_ACC_R) : ret;
}

enum x86_ret x86_pop(struct hyp_cpu *cpu, u64 *val, unsigned size)
{
	enum x86_ret ret = x86_stack_read(cpu, 0, val, size);

	if (ret == X86_OK)
		x86_set_sp(cpu, cpu->s.gpr[X86_RSP] + size, x86_stack_mask(cpu));
	return ret;
}

enum x86_ret x86_stack_push(struct hyp_cpu *cpu, struct x86_stack *st, u64 val, unsigned size)
{
	u64 sp = (st->sp - size) & st->mask;
	enum x86_ret ret;
	gva_t gva = sp;
	bool ok;

	if (st->ss) { /* a writable segment: that was checked when it was loaded */
		gva = (u32)(st->ss->base + sp);
		ok = in_limit(st->ss, sp, size) &&
		     (!(st->ss->ar & X86_AR_UNUSABLE) || cpu->mode == HYP_MODE_REAL);
	} else {
		ok = x86_is_canonical(&cpu->s, sp) && x86_is_canonical(&cpu->s, sp + size - 1);
	}
	if (unlikely(!ok))
		return x86_raise_err(cpu, X86_SS_VEC, st->err);
	ret = x86_mem_write(cpu, gva, &val, size, st->acc);
	if (ret == X86_OK)
		st->sp = sp;
	return ret;
}
