/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be equal. Not compared, because the architecture or Linux leaves it open: undefined
 * flags; RF, IF, IOPL; x87 FOP/FIP/FDP (the engine's code runs elsewhere); the user bit of #PF
 * error codes where the guest runs at CPL 0; the present bit of faults above the canonical hole
 * (Linux hides the kernel's own mappings).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/diff.h"

static const char *const gpr_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

struct cmp {
	bool print, equal;
};

static void cmp_u64(struct cmp *x, const char *name, u64 nat, u64 hyp)
{
	if (nat == hyp)
		return;
	x->equal = false;
	if (x->print)
		printf("    %-12s native %016llx  hyp %016llx\n", name, (unsigned long long)nat,
		       (unsigned long long)hyp);
}

static void print_bytes(const u8 *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		printf("%02x", p[i]);
}

static void cmp_bytes(struct cmp *x, const char *name, u64 at, const u8 *nat, const u8 *hyp, unsigned n)
{
	unsigned shown = 0;

	if (!memcmp(nat, hyp, n))
		return;
	x->equal = false;
	for (unsigned i = 0; x->print && i < n && shown < 6; i += 16) {
		unsigned k = MIN(16u, n - i);

		if (!memcmp(nat + i, hyp + i, k))
			continue;
		printf("    %s %08llx native ", name, (unsigned long long)at + i);
		print_bytes(nat + i, k);
		printf("  hyp ");
		print_bytes(hyp + i, k);
		printf("\n");
		shown++;
	}
}

static void cmp_xsave(struct cmp *x, const u8 *a, const u8 *b)
{
	static const struct { const char *name; unsigned comp; } part[] = {
		{ "ymm_hi", 2 }, { "opmask", 5 }, { "zmm_hi", 6 }, { "zmm16+", 7 } };
	u8 nat[DT_XSAVE], hyp[DT_XSAVE];

	memcpy(nat, a, sizeof(nat));
	memcpy(hyp, b, sizeof(hyp));
	xsave_normalize(nat);
	xsave_normalize(hyp);
	cmp_u64(x, "fcw", *(u16 *)nat, *(u16 *)hyp);
	cmp_u64(x, "fsw", *(u16 *)(nat + 2), *(u16 *)(hyp + 2));
	cmp_u64(x, "ftw", nat[4], hyp[4]);
	cmp_u64(x, "mxcsr", *(u32 *)(nat + 24), *(u32 *)(hyp + 24));
	for (unsigned i = 0; i < 8; i++)
		cmp_bytes(x, "st/mm", i, nat + 32 + 16 * i, hyp + 32 + 16 * i, 10);
	cmp_bytes(x, "xmm", 0, nat + 160, hyp + 160, 256);
	for (unsigned i = 0; i < ARRAY_SIZE(part); i++)
		if (xsave_features() >> part[i].comp & 1)
			cmp_bytes(x, part[i].name, 0, nat + xsave_offset(part[i].comp),
				  hyp + xsave_offset(part[i].comp), xsave_size(part[i].comp));
}

static u32 undefined_at(const struct dt_case *c, u64 rip)
{
	u32 all = 0;

	for (unsigned i = 0; i <= c->n; i++) {
		if (!c->item[i].dead && c->item[i].at == rip)
			return c->item[i].flags_undef;
		all |= c->item[i].flags_undef;
	}
	return all;
}

static const struct dt_item *item_at(const struct dt_case *c, u64 rip)
{
	for (unsigned i = 0; i < c->n; i++)
		if (!c->item[i].dead && c->item[i].at == rip)
			return &c->item[i];
	return NULL;
}

static bool decode_item(const struct dt_case *c, const struct dt_item *it, ZydisDecodedInstruction *in)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(gen_decoder(c->mode), NULL, it->b, it->len, in));
}

/* What faulting microcode has done by then, and which of its accesses faults first, is its own affair:
 * MASKMOVQ has gone to MMX state, state is loaded in any order. */
static bool same_but_microcode(const struct dt_case *c, const struct dt_result *nat,
			       const struct dt_result *hyp)
{
	const struct dt_item *it = item_at(c, nat->s.rip);
	ZydisDecodedInstruction in;

	if (nat->vector == 6 || !it || !decode_item(c, it, &in))
		return false;
	if (in.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || in.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
	    in.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU)
		return true; /* with a mask of zero it may fault or not */
	if (nat->vector != hyp->vector || nat->s.rip != hyp->s.rip)
		return false;
	switch (in.mnemonic) {
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_FRSTOR:
		return true;
	default: /* write-masked: which element's address is told */
		return nat->vector == 14 && in.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
		       nat->cr2 >> 12 == hyp->cr2 >> 12;
	}
}

/* ---- what the rewriting engine is allowed beyond that ------------------------------------------- */

static bool rewriting(void)
{
	const char *e = getenv("KUSE_HYP_ENGINE");

	return !e || strcmp(e, "interp");
}

static bool is_repeated(const ZydisDecodedInstruction *in)
{
	return in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
}

/* Flags that the instructions from `it` on overwrite before anything reads them, on every path: the frame
 * of a fault there may hold anything in them (docs/caveats). */
static u32 dead_flags(const struct dt_case *c, const struct dt_item *it, unsigned budget)
{
	u32 open = 0x8d5, dead = 0;

	for (; it && it < &c->item[c->n] && open; it++) {
		ZydisDecodedInstruction in;

		if (it->dead)
			continue;
		if (!budget-- || !decode_item(c, it, &in))
			break;
		if (in.cpu_flags) {
			open &= ~in.cpu_flags->tested;
			if (!is_repeated(&in)) /* perhaps not once */
				dead |= open & (in.cpu_flags->modified | in.cpu_flags->set_0 |
						in.cpu_flags->set_1 | in.cpu_flags->undefined);
			open &= ~dead;
		}
		if (it->fix != DT_FIX_REL)
			continue;
		if (in.meta.category == ZYDIS_CATEGORY_COND_BR)
			open &= dead_flags(c, it + 1, budget / 2);
		return dead | (open & dead_flags(c, &c->item[it->target], budget / 2));
	}
	return dead;
}

/* The same where the case has changed its own code: what is there now counts, one instruction far. */
static u32 dead_in_changed_code(const struct dt_case *c, const struct dt_result *nat)
{
	u64 off = nat->s.rip - DT_CODE;
	ZydisDecodedInstruction in;

	if (off > sizeof(nat->m.code) - 15 || !memcmp(nat->m.code, c->mem.code, sizeof(nat->m.code)) ||
	    ZYAN_FAILED(
		    ZydisDecoderDecodeInstruction(gen_decoder(c->mode), NULL, nat->m.code + off, 15, &in)) ||
	    !in.cpu_flags)
		return 0;
	return (in.cpu_flags->modified | in.cpu_flags->set_0 | in.cpu_flags->set_1 |
		in.cpu_flags->undefined) &
	       ~in.cpu_flags->tested;
}

/* A near transfer to a non-canonical address faults at the target, not at the instruction. */
static bool same_but_target(const struct dt_result *nat, const struct dt_result *hyp)
{
	u64 top = hyp->s.rip >> 47;

	return nat->vector == 13 && hyp->vector == 13 && top != 0 && top != 0x1ffff;
}

/* An x87 exception is pending and the operand's page is not there: the soft TLB is asked first. */
static bool same_but_pending(const struct dt_result *nat, const struct dt_result *hyp)
{
	return nat->vector == 16 && hyp->vector == 14 && nat->s.rip == hyp->s.rip;
}

static u32 error_code(const struct dt_case *c, const struct dt_result *r)
{
	u32 e = r->error;

	if (r->vector != 14)
		return e;
	if (dt_is_kernel(c->mode))
		e &= ~4u;
	if (r->cr2 >> 63 || (c->mode == DT_PROT_USER && r->cr2 >= 0xf0000000)) /* where the kernel is */
		e &= ~1u;
	return e;
}

/* A misaligned vector operand on a page that is not there: #GP or #PF first is the silicon's choice. */
static bool same_but_alignment(const struct dt_case *c, const struct dt_result *nat,
			       const struct dt_result *hyp)
{
	return nat->vector == 13 && !nat->error && hyp->vector == 14 && nat->s.rip == hyp->s.rip;
}

bool result_equal(const struct dt_case *c, const struct dt_result *nat, const struct dt_result *hyp,
		  bool print)
{
	struct cmp x = { print, true };
	u64 gpr_mask = dt_is64(c->mode) ? ~0ull : 0xffffffff; /* KMOVD with W fills the rest, it was seen */
	u32 flags = 0xcd5 & ~undefined_at(c, nat->s.rip);

	if (rewriting()) {
		flags &= ~dead_flags(c, item_at(c, nat->s.rip), 64) & ~dead_in_changed_code(c, nat);
		if (same_but_target(nat, hyp) || same_but_pending(nat, hyp))
			return true;
	}

	if (dt_is_kernel(c->mode) && nat->vector == 14 && nat->cr2 >> 63)
		return true; /* ours to see at CPL 0 */
	if (nat->vector == DT_STRANGE || (nat->vector == DT_TIMEOUT && hyp->vector == DT_TIMEOUT) ||
	    same_but_alignment(c, nat, hyp) || same_but_microcode(c, nat, hyp))
		return true;
	cmp_u64(&x, "vector", nat->vector, hyp->vector);
	cmp_u64(&x, "error", error_code(c, nat), error_code(c, hyp));
	cmp_u64(&x, "cr2", nat->cr2, hyp->cr2);
	cmp_u64(&x, "rip", nat->s.rip, hyp->s.rip);
	cmp_u64(&x, "rflags", nat->s.rflags & flags, hyp->s.rflags & flags);
	for (unsigned i = 0; i < 16; i++)
		if (dt_is64(c->mode) || i < 8)
			cmp_u64(&x, gpr_name[i], nat->s.gpr[i] & gpr_mask, hyp->s.gpr[i] & gpr_mask);
	if (dt_is64(c->mode)) {
		cmp_u64(&x, "fs_base", nat->s.fs_base, hyp->s.fs_base);
		cmp_u64(&x, "gs_base", nat->s.gs_base, hyp->s.gs_base);
	}
	cmp_xsave(&x, nat->s.xsave, hyp->s.xsave);
	cmp_bytes(&x, "code", DT_CODE, nat->m.code, hyp->m.code, sizeof(nat->m.code));
	cmp_bytes(&x, "data", DT_DATA, nat->m.data, hyp->m.data, sizeof(nat->m.data));
	cmp_bytes(&x, "stack", DT_STACK, nat->m.stack, hyp->m.stack, sizeof(nat->m.stack));
	return x.equal;
}
