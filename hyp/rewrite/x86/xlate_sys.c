/* SPDX-License-Identifier: Apache-2.0 */
/* System instructions that translated code executes itself, and the way to helpers (helpers.h). */
#include "hyp/rewrite/x86/fast.h"
#include "hyp/rewrite/x86/helpers.h"
#include "hyp/rewrite/x86/xlate.h"

static void put_helper_site(struct xlate *x, const struct insn *in, u8 id, u64 operand)
{
	x_leave(x, SITE_HELPER, in);
	e_8(&x->e, operand);
	e_4(&x->e, id);
}

void x_helper_site(struct xlate *x, const struct insn *in)
{
	put_helper_site(x, in, in->helper, in->helper_op);
}

/* lea s2, [rip + 5]; jmp stub: what follows is the way that is always right */
static void try_stub(struct xlate *x, u32 stub)
{
	e_bytes(&x->e, "\x4c\x8d\x2d\x05\0\0\0", 7);
	e_1(&x->e, 0xe9);
	e_4(&x->e, stub - (x_here(x) + 4));
}

static bool has_string_stub(const struct xlate *x, const struct insn *in)
{
	return x_is64(x) && (in->helper == HELPER_stos || in->helper == HELPER_movs) &&
	       in->helper_op & H_STR_REP && !(in->helper_op & H_STR_A32);
}

void x_helper(struct xlate *x, const struct insn *in)
{
	if (helpers[in->helper].flags & H_TAIL) {
		x_gather_scatter(x, in);
		return;
	}
	if (helpers[in->helper].flags & H_MEM)
		x_address(x, in);
	if (in->helper == HELPER_syscall && x_is64(x) && x->part == HYP_TLB_USER) {
		e_mov_ri(&x->e, S1, x_next(x, in));
		try_stub(x, x->eng->fast_stub[HYP_FAST_SYSCALL]);
	} else if (in->helper == HELPER_sysret && x_is64(x) && in->helper_op == 8 && x->key & KEY_CPL0) {
		try_stub(x, x->eng->fast_stub[HYP_FAST_SYSRET]);
	} else if (has_string_stub(x, in)) {
		try_stub(x, x->eng->str_stub[HYP_FAST_STR(x->part, in->helper == HELPER_movs,
							  __builtin_ctz((unsigned)in->helper_op & 15))]);
	}
	x_helper_site(x, in);
}

/* rdtsc or rdtscp; combine; add the offset; split (TSC ratio 1: KEY_TSC) */
void x_rdtsc(struct xlate *x, const struct insn *in)
{
	if (in->cls == INSN_RDTSCP) {
		e_bytes(&x->e, "\x0f\x01\xf9", 3);
		e_gs(&x->e, false, 0x8b, X86_RCX, OFF(s.tsc_aux));
	} else {
		e_bytes(&x->e, "\x0f\x31", 2);
	}
	e_rr(&x->e, false, 0x89, X86_RAX, S1);
	if (in->live_out)
		e_flags_to_ax(&x->e); /* RAX is dead: its half is in S1 */
	e_bytes(&x->e, "\x48\xc1\xe2\x20", 4); /* shl rdx, 32 */
	e_rr(&x->e, true, 0x09, X86_RDX, S1);  /* or s1, rdx */
	e_gs(&x->e, true, 0x03, S1, OFF(s.tsc_offset));
	e_mov_rr(&x->e, X86_RDX, S1);
	e_bytes(&x->e, "\x48\xc1\xea\x20", 4); /* shr rdx, 32 */
	if (in->live_out)
		e_flags_from_ax(&x->e);
	e_rr(&x->e, false, 0x89, S1, X86_RAX);
}

/* op dword gs:[off], imm32 (op: 1 OR, 4 AND) */
static void gs_imm(struct xlate *x, u8 op, u32 off, u32 imm)
{
	e_bytes(&x->e, "\x65\x81", 2);
	e_1(&x->e, (u8)(op << 3 | 4));
	e_1(&x->e, 0x25);
	e_4(&x->e, off);
	e_4(&x->e, imm);
}

/* STI with a window wanted takes the helper, which sees to the shadow. */
static void sti(struct xlate *x, const struct insn *in, bool live)
{
	u32 at;

	e_bytes(&x->e, "\x65\x80\x3c\x25", 4); /* cmp byte gs:[want_irq_window], 0 */
	e_4(&x->e, OFF(s.want_irq_window));
	e_1(&x->e, 0);
	e_bytes(&x->e, "\x0f\x85\0\0\0\0", 6);
	at = x_here(x) - 4;
	gs_imm(x, 1, OFF(s.rflags), X86_FL_IF);
	if (live)
		x_restore_flags(x);
	struct cold *c = x_cold(x, SITE_HELPER, at);

	c->restore_flags = live;
	c->site = x_site(x, SITE_HELPER, in);
	c->site.size = in->len;
	c->target = 0;
	c->patch = HELPER_sti;
	c->resume = x_here(x);
}

void x_cli_sti(struct xlate *x, const struct insn *in)
{
	bool live = in->live_out;

	if (live)
		x_save_flags(x);
	if (in->cls == INSN_STI) {
		sti(x, in, live);
		return;
	}
	gs_imm(x, 4, OFF(s.rflags), ~X86_FL_IF);
	if (live)
		x_restore_flags(x);
}

/* With SMAP on, the TLB partition says what AC is; the rest of the block uses the other partition. */
void x_stac_clac(struct xlate *x, const struct insn *in)
{
	unsigned part = in->cls == INSN_STAC ? HYP_TLB_KERNEL_AC : HYP_TLB_KERNEL;

	if (part == x->part)
		return;
	e_gs(&x->e, false, 0x8b, S1, OFF(s.rflags));
	e_lea(&x->e, false, S1, S1, NO_REG, 1, part == HYP_TLB_KERNEL_AC ? (s32)X86_FL_AC : -(s32)X86_FL_AC);
	e_gs(&x->e, false, 0x89, S1, OFF(s.rflags));
	e_bytes(&x->e, "\x65\xc6\x04\x25", 4); /* mov byte gs:[tlb_part], part */
	e_4(&x->e, OFF(tlb_part));
	e_1(&x->e, (u8)part);
	x->part = part;
	x->key = (x->key & ~3u) | part;
}

void x_swapgs(struct xlate *x)
{
	e_load_gs(&x->e, S1, OFF(s.seg[X86_GS].base));
	e_load_gs(&x->e, S2, OFF(s.kernel_gs_base));
	e_store_gs(&x->e, OFF(s.kernel_gs_base), S1);
	e_store_gs(&x->e, OFF(s.seg[X86_GS].base), S2);
}

/* Image: arithmetic flags from the host, DF, the rest from s.rflags without RF and VM. */
void x_pushf(struct xlate *x, const struct insn *in)
{
	struct memref m;
	int h;

	e_bytes(&x->e, "\x9c\x41\x5d", 3); /* pushfq; pop s2 */
	x_save_flags(x);                   /* the push may fault, and is then done again with these flags */
	e_bytes(&x->e, "\x41\x81\xe5", 3); /* and s2d, arithmetic */
	e_4(&x->e, X86_FL_ARITH);
	e_gs(&x->e, false, 0x8b, S1, OFF(s.rflags));
	e_bytes(&x->e, "\x41\x81\xe6", 3); /* and s1d, rest */
	e_4(&x->e, ~(X86_FL_ARITH | X86_FL_RF | X86_FL_VM | X86_FL_DF));
	e_rr(&x->e, false, 0x09, S1, S2);
	e_gs(&x->e, false, 0x0b, S2, OFF(df));
	e_store_gs(&x->e, OFF(scratch[1]), S2);
	x_restore_flags(x);
	m = x_stack(x, -(s32)x_word(x), true, FLAGS_ALL);
	h = x_spare(x, &m);
	e_load_gs(&x->e, h, OFF(scratch[1]));
	e_mem(&x->e, x_is64(x), 0x89, h, &m);
	x_push_done(x);
}

/* Guest register g's low 16 bits = s2's */
static void put_word(struct xlate *x, u8 g, int s2)
{
	if (host_of(g) == NO_REG) {
		e_bytes(&x->e, "\x65\x66", 2);
		e_rex(&x->e, false, s2, 0, 0);
		e_1(&x->e, 0x89);
		e_1(&x->e, (u8)((s2 & 7) << 3 | 4));
		e_1(&x->e, 0x25);
		e_4(&x->e, OFF_GPR(g));
		return;
	}
	e_1(&x->e, 0x66);
	e_rr(&x->e, false, 0x89, s2, host_of(g));
}

void x_mov_from_cr(struct xlate *x, const struct insn *in)
{
	static const u32 where[] = { OFF(s.cr0), 0, OFF(s.cr2), OFF(s.cr3), OFF(s.cr4) };
	u8 g = insn_gpr(in->op[0].reg.value, NULL);
	int h = host_of(g) == NO_REG ? S2 : host_of(g);

	e_gs(&x->e, x_is64(x), 0x8b, h, where[ZydisRegisterGetId(in->op[1].reg.value)]);
	if (h == S2)
		e_store_gs(&x->e, OFF_GPR(g), S2);
}

/* RDFSBASE, RDGSBASE: KEY_FSGSBASE, so they cannot fault. */
void x_read_base(struct xlate *x, const struct insn *in)
{
	unsigned seg = in->z.mnemonic == ZYDIS_MNEMONIC_RDFSBASE ? X86_FS : X86_GS;
	u8 g = insn_gpr(in->op[0].reg.value, NULL);
	int h = host_of(g) == NO_REG ? S2 : host_of(g);

	e_gs(&x->e, in->z.operand_width == 64, 0x8b, h, OFF(s.seg) + seg * (u32)sizeof(struct x86_seg));
	if (h == S2)
		e_store_gs(&x->e, OFF_GPR(g), S2);
}

/* Bits 47 to 63 must be equal; others, which LA57 may allow, are the interpreter's. */
static void check_base(struct xlate *x, const struct insn *in)
{
	struct cold *c;

	if (in->live_in)
		x_save_flags(x);
	e_mov_rr(&x->e, S2, S1);
	e_bytes(&x->e, "\x49\xc1\xfd\x2f", 4); /* sar s2, 47 */
	e_bytes(&x->e, "\x49\xff\xc5", 3);     /* inc s2 */
	e_bytes(&x->e, "\x49\x83\xfd\x01", 4); /* cmp s2, 1 */
	e_bytes(&x->e, "\x0f\x87\0\0\0\0", 6); /* ja */
	c = x_cold(x, SITE_INTERP, x_here(x) - 4);
	c->restore_flags = in->live_in;
	c->site = x_site(x, SITE_INTERP, in);
	c->site.size = in->len;
	c->site.write = 1; /* nothing follows there */
	if (in->live_in)
		x_restore_flags(x);
}

void x_write_base(struct xlate *x, const struct insn *in)
{
	unsigned seg = in->z.mnemonic == ZYDIS_MNEMONIC_WRFSBASE ? X86_FS : X86_GS;
	u8 g = insn_gpr(in->op[0].reg.value, NULL);
	bool wide = in->z.operand_width == 64;

	if (host_of(g) == NO_REG)
		e_gs(&x->e, wide, 0x8b, S1, OFF_GPR(g));
	else
		e_rr(&x->e, wide, 0x89, host_of(g), S1);
	if (wide)
		check_base(x, in);
	e_store_gs(&x->e, OFF(s.seg) + seg * (u32)sizeof(struct x86_seg), S1);
}

/* The selector, zero-extended; 16 bits to memory and to a 16-bit register. */
void x_mov_from_seg(struct xlate *x, const struct insn *in)
{
	unsigned seg = (unsigned)ZydisRegisterGetId(in->op[1].reg.value);
	u8 g = in->has_mem ? GPR_NONE : insn_gpr(in->op[0].reg.value, NULL);
	bool word = in->z.operand_width == 16;
	int h = g == GPR_NONE || host_of(g) == NO_REG || word ? S2 : host_of(g);

	if (in->has_mem) {
		x_address(x, in);
		x_check(x, 2, true, in->live_in);
	}
	e_1(&x->e, 0x65); /* movzx h, word gs:[sel] */
	e_rex(&x->e, false, h, 0, 0);
	e_bytes(&x->e, "\x0f\xb7", 2);
	e_1(&x->e, (u8)((h & 7) << 3 | 4));
	e_1(&x->e, 0x25);
	e_4(&x->e, (u32)(offsetof(struct hyp_cpu, s.seg) + seg * sizeof(struct x86_seg) +
			 offsetof(struct x86_seg, sel)));
	if (in->has_mem) {
		e_1(&x->e, 0x66);
		e_rm(&x->e, false, 0x89, S2, S1, 0);
	} else if (word) {
		put_word(x, g, S2);
	} else if (h == S2) {
		e_store_gs(&x->e, OFF_GPR(g), S2);
	}
}
