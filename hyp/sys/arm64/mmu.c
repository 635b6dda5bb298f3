/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage-1 walk of the EL1&0 regime (DDI 0487, D8): virtual to intermediate physical address through
 * the guest's tables, for every granule, with the checks in the manual's order: size of the input address,
 * EPD, then level by level the table's address, the descriptor, the output address; then access flag, then
 * permissions over all levels.
 *
 * Hardware updates (TCR_EL1.HA, HD) are made after all checks, by compare-and-exchange on the guest's
 * descriptor: other CPUs write the tables meanwhile, and a descriptor that changed restarts the walk.
 *
 * What stage 2 says is said here too: an output address beyond the IPA size, or a table where there is no
 * RAM, becomes the abort that KVM injects for it.
 */
#include "hyp/sys/arm64/sys.h"

#define DESC_VALID 1ull
#define DESC_TABLE 2ull
#define DESC_AP_USER (1ull << 6)
#define DESC_AP_RO (1ull << 7)
#define DESC_AF (1ull << 10)
#define DESC_NG (1ull << 11)
#define DESC_DBM (1ull << 51)
#define DESC_PXN (1ull << 53)
#define DESC_UXN (1ull << 54)
#define TABLE_PXN (1ull << 59)
#define TABLE_UXN (1ull << 60)
#define TABLE_NO_USER (1ull << 61)
#define TABLE_RO (1ull << 62)
#define ADDR_MASK 0x0000fffffffff000ull

struct walk {
	struct hyp_cpu *cpu;
	gva_t va;
	unsigned acc;
	u64 tcr;
	bool high, user, nodes; /* nodes: hierarchical permissions count */
	u8 granule, isize;      /* log2 of the granule, bits of the input address */
	u8 pa_bits;             /* output address size: TCR_EL1.IPS */
	u8 level;
	u64 table;  /* attributes of all tables, ORed */
	gpa_t at;   /* of the leaf's descriptor */
	u64 desc;
};

struct perm {
	bool r, w, x;
};

static bool fail(struct arm64_walk *out, u8 fsc)
{
	out->fsc = fsc;
	return false;
}

unsigned arm64_granule(const struct hyp_cpu *cpu, gva_t va)
{
	static const u8 tg0[4] = { 12, 16, 14, 12 }, tg1[4] = { 12, 14, 12, 16 };
	u64 tcr = cpu->s.sr[ARM64_SR_TCR_EL1];

	return va >> 55 & 1 ? tg1[tcr >> 30 & 3] : tg0[tcr >> 14 & 3];
}

u16 arm64_asid(const struct hyp_cpu *cpu)
{
	u64 tcr = cpu->s.sr[ARM64_SR_TCR_EL1];
	u64 ttbr = cpu->s.sr[tcr & TCR_A1 ? ARM64_SR_TTBR1_EL1 : ARM64_SR_TTBR0_EL1];

	return tcr & TCR_AS ? ttbr >> 48 : ttbr >> 48 & 0xff;
}

static u8 output_bits(u64 tcr)
{
	static const u8 ips[8] = { 32, 36, 40, 42, 44, 48, 48, 48 };

	return ips[tcr >> 32 & 7];
}

/* Is the address in the range that TxSZ spans? Bits from its size up to the tag all equal bit 55. */
static bool input_in_range(const struct walk *w)
{
	unsigned top = arm64_tbi(w->cpu, w->va) ? 55 : 63;
	u64 mask = GENMASK_ULL(top, w->isize);

	return (w->va & mask) == (w->high ? mask : 0);
}

static bool setup(struct walk *w, struct arm64_walk *out)
{
	unsigned tsz = w->tcr >> (w->high ? 16 : 0) & 0x3f;

	w->granule = (u8)arm64_granule(w->cpu, w->va);
	w->pa_bits = output_bits(w->tcr);
	w->nodes = !(w->tcr & (w->high ? TCR_HPD1 : TCR_HPD0));
	if (tsz < ARM64_TSZ_MIN || tsz > ARM64_TSZ_MAX)
		return fail(out, FSC_TRANS);
	w->isize = (u8)(64 - tsz);
	if (!input_in_range(w) || w->tcr & (w->high ? TCR_EPD1 : TCR_EPD0))
		return fail(out, FSC_TRANS);
	if (w->user && w->tcr & (w->high ? TCR_E0PD1 : TCR_E0PD0))
		return fail(out, FSC_TRANS);
	return true;
}

static bool load_desc(struct walk *w, struct arm64_walk *out)
{
	const u8 *p = hyp_phys_ptr(w->cpu, w->at, false);

	out->ptw_ext = !p;
	if (unlikely(!p))
		return fail(out, FSC_EXTABT);
	w->desc = __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED);
	return true;
}

/* Does the descriptor end the walk? Blocks are at levels 1 and 2 (4K), 2 (16K, 64K). */
static bool block_allowed(const struct walk *w)
{
	return w->level == 2 || (w->level == 1 && w->granule == 12);
}

static bool beyond(const struct walk *w, u64 addr)
{
	return addr >> w->pa_bits;
}

/* From the table's base down to the leaf. */
static bool walk_down(struct walk *w, struct arm64_walk *out, u64 base)
{
	unsigned stride = w->granule - 3, bits = w->isize - w->granule;

	for (w->level = (u8)(4 - (bits + stride - 1) / stride);; w->level++) {
		unsigned shift = w->granule + stride * (3 - w->level);
		u64 mask = MIN(stride, w->isize - shift);

		w->at = base | ((w->va >> shift & ((1ull << mask) - 1)) << 3);
		if (!load_desc(w, out))
			return false;
		if (!(w->desc & DESC_VALID) || (!(w->desc & DESC_TABLE) && !block_allowed(w)))
			return fail(out, FSC_TRANS + w->level);
		base = w->desc & ADDR_MASK & ~((1ull << w->granule) - 1);
		if (w->level == 3 || !(w->desc & DESC_TABLE)) {
			out->shift = (u8)shift;
			out->gpa = (w->desc & ADDR_MASK & ~((1ull << shift) - 1)) |
				   (w->va & ((1ull << shift) - 1));
			return beyond(w, out->gpa) ? fail(out, FSC_ADDRSZ + w->level) : true;
		}
		if (beyond(w, base))
			return fail(out, FSC_ADDRSZ + w->level);
		if (w->nodes)
			w->table |= w->desc;
	}
}

static bool walk_tables(struct walk *w, struct arm64_walk *out)
{
	u64 ttbr = w->cpu->s.sr[w->high ? ARM64_SR_TTBR1_EL1 : ARM64_SR_TTBR0_EL1];
	unsigned stride = w->granule - 3, bits = w->isize - w->granule;
	unsigned first = 3 + bits - stride * ((bits - 1) / stride); /* log2 of the first table's size */
	u64 base = ttbr & 0x0000fffffffffffeull & ~((1ull << first) - 1);

	w->table = 0;
	if (beyond(w, base))
		return fail(out, FSC_ADDRSZ);
	return walk_down(w, out, base);
}

/* ---- permissions (D8.4) --------------------------------------------------------------------------- */

static bool dirty_managed(const struct walk *w)
{
	return w->desc & DESC_DBM && (w->tcr & (TCR_HA | TCR_HD)) == (TCR_HA | TCR_HD);
}

static struct perm user_perm(const struct walk *w, bool ap_user, bool ro)
{
	bool uxn = (w->desc & DESC_UXN) || (w->table & TABLE_UXN);
	struct perm p = { ap_user, ap_user && !ro, !uxn };

	return p;
}

static struct perm kernel_perm(const struct walk *w, bool ap_user, bool ro)
{
	bool pxn = (w->desc & DESC_PXN) || (w->table & TABLE_PXN);
	struct perm p = { true, !ro, !pxn && !(ap_user && !ro) };
	bool pan = w->cpu->s.pstate & ARM64_PSR_PAN && !(w->acc & ARM64_ACC_NOPAN);

	if (pan && (ap_user || (arm64_sctlr(w->cpu) & SCTLR_EPAN && user_perm(w, ap_user, ro).x)))
		p.r = p.w = false;
	return p;
}

static struct perm permissions(const struct walk *w)
{
	bool ap_user = w->desc & DESC_AP_USER && !(w->table & TABLE_NO_USER);
	bool ro = (w->desc & DESC_AP_RO && !dirty_managed(w)) || w->table & TABLE_RO;
	struct perm p = w->user ? user_perm(w, ap_user, ro) : kernel_perm(w, ap_user, ro);
	bool writable = w->user ? ap_user && !ro : !ro;

	if (arm64_sctlr(w->cpu) & SCTLR_WXN && writable)
		p.x = false;
	return p;
}

static bool allowed(const struct perm *p, unsigned acc)
{
	return !((acc & ARM64_ACC_R && !p->r) || (acc & ARM64_ACC_W && !p->w) ||
		 (acc & ARM64_ACC_X && !p->x));
}

/* ---- hardware update of the leaf --------------------------------------------------------------------- */

/* False: the descriptor changed meanwhile. */
static bool update_leaf(struct walk *w)
{
	u64 old = w->desc, new = old;
	u8 *p;

	if (w->tcr & TCR_HA)
		new |= DESC_AF;
	if (w->acc & ARM64_ACC_W && dirty_managed(w))
		new &= ~DESC_AP_RO;
	if (likely(new == old))
		return true;
	p = hyp_phys_ptr(w->cpu, w->at, true);
	if (!p)
		return true; /* tables in ROM: the write goes nowhere */
	w->desc = new;
	return __atomic_compare_exchange_n((u64 *)p, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void fill_result(const struct walk *w, const struct perm *p, struct arm64_walk *out)
{
	out->global = !(w->desc & DESC_NG);
	out->sh = w->desc >> 8 & 3;
	out->attr = (u8)(w->cpu->s.sr[ARM64_SR_MAIR_EL1] >> (w->desc >> 2 & 7) * 8);
	out->device = !(out->attr & 0xf0);
	out->writable = p->w && !(w->desc & DESC_AP_RO);
}

/* ---- the MMU off ---- */

static bool flat(struct hyp_cpu *cpu, gva_t va, unsigned acc, struct arm64_walk *out)
{
	unsigned top = arm64_tbi(cpu, va) ? 55 : 63;

	if (va & GENMASK_ULL(top, MIN(cpu->s.pa_bits, ARM64_PA_BITS)))
		return fail(out, FSC_ADDRSZ);
	out->gpa = va & GENMASK_ULL(ARM64_PA_BITS - 1, 0);
	out->shift = PAGE_SHIFT;
	out->global = true;
	out->device = !(acc & ARM64_ACC_X);
	out->writable = true;
	out->attr = 0;
	out->sh = 2;
	return true;
}

/* ---- all of it ---- */

static bool walk_once(struct walk *w, struct arm64_walk *out, bool *again)
{
	struct perm p;

	if (!walk_tables(w, out))
		return false;
	if (!(w->desc & DESC_AF) && !(w->tcr & TCR_HA))
		return fail(out, FSC_ACCESS + w->level);
	p = permissions(w);
	if (!allowed(&p, w->acc))
		return fail(out, FSC_PERM + w->level);
	if (out->gpa >> w->cpu->s.pa_bits)
		return fail(out, FSC_ADDRSZ);
	*again = !update_leaf(w);
	fill_result(w, &p, out);
	return true;
}

bool arm64_walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct arm64_walk *out)
{
	struct walk w = { .cpu = cpu, .va = gva, .acc = acc, .tcr = cpu->s.sr[ARM64_SR_TCR_EL1],
			  .high = gva >> 55 & 1 };
	bool again;

	out->ptw_ext = false;
	if (unlikely(!(arm64_sctlr(cpu) & SCTLR_M)))
		return flat(cpu, gva, acc, out);
	w.user = acc & ARM64_ACC_USER || arm64_el(cpu) == 0;
	if (!setup(&w, out))
		return false;
	do {
		again = false;
		if (!walk_once(&w, out, &again))
			return false;
	} while (unlikely(again));
	return true;
}
