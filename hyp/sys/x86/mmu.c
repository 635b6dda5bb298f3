/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page walker: guest-linear to guest-physical through the guest's own tables (SDM vol. 3, ch. 4).
 *
 * One loop serves all four paging modes; struct mode_desc says where they differ. Accessed bits on the
 * way and the dirty bit on a write are set after the permission check, by compare-and-exchange on the
 * guest's entry (other vCPUs write the tables meanwhile); an entry that changed restarts the walk.
 *
 * Order of checks, as on silicon: present, reserved bits (both level by level), then rights over all
 * levels. A page fault's error code says what the access was, and P only where every level was present.
 */
#include "hyp/mem/guard.h"
#include "hyp/sys/x86/desc.h"
#include <errno.h>

#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX 0x8000000000000000ull
#define PTE_ADDR 0x000ffffffffff000ull

#define MAX_LEVELS 5

struct walk {
	struct hyp_cpu *cpu;
	gva_t gva;
	unsigned acc;
	bool user;         /* the access is a user-mode access */
	bool wide;         /* 8-byte entries */
	bool unset;        /* X86_ACC_PEEK: a bit would have to be set */
	u8 levels;
	u8 n;              /* entries visited */
	u8 shift;          /* of the leaf */
	u64 rsvd;          /* bits reserved in every entry */
	u64 leaf;
	u64 and_bits;      /* AND of W, U and OR-ed NX over the levels */
	struct { gpa_t gpa; u64 val; } entry[MAX_LEVELS];
};

bool x86_canonical(struct hyp_cpu *cpu, gva_t gva)
{
	return x86_is_canonical(&cpu->s, gva);
}

static bool pae_paging(const struct x86_state *s) { return s->cr4 & X86_CR4_PAE; }
static bool nx_enabled(const struct x86_state *s) { return pae_paging(s) && (s->efer & X86_EFER_NX); }

static enum x86_ret walk_fault(const struct walk *w, u32 code)
{
	const struct x86_state *s = &w->cpu->s;

	if (w->acc & X86_ACC_W)
		code |= X86_PFEC_W;
	if (w->user)
		code |= X86_PFEC_U;
	if ((w->acc & X86_ACC_X) && (nx_enabled(s) || (s->cr4 & X86_CR4_SMEP)))
		code |= X86_PFEC_I;
	return x86_raise_pf(w->cpu, w->gva, code);
}

static bool read_entry(struct walk *w, gpa_t gpa, u64 *val)
{
	const u8 *p = hyp_phys_ptr(w->cpu, gpa, false);

	if (unlikely(!p))
		return false;
	if (w->wide)
		*val = __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED);
	else
		*val = __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
	return true;
}

/* Reserved address bits of a large page, by the level that maps it. */
static u64 large_rsvd(const struct walk *w, unsigned level)
{
	unsigned bits = w->cpu->s.maxphyaddr;

	if (w->wide)
		return (level == 2 ? 0x1fe000ull : 0x3fffe000ull);
	/* PSE-36: bits 20:13 of the entry are bits 39:32 of the address, bit 21 is reserved */
	return 0x200000ull | (bits >= 40 ? 0 : (0x1fe000ull << (bits > 32 ? bits - 32 : 0)) & 0x1fe000ull);
}

static bool is_large(const struct walk *w, unsigned level, u64 val)
{
	const struct x86_state *s = &w->cpu->s;

	if (!(val & PTE_PS) || level == 1)
		return false;
	if (!w->wide)
		return s->cr4 & X86_CR4_PSE;
	return level == 2 || (level == 3 && w->levels >= 4 && s->has_gbpages);
}

static u64 entry_rsvd(const struct walk *w, unsigned level, u64 val, bool large)
{
	u64 rsvd = w->rsvd;

	if (large)
		return rsvd | large_rsvd(w, level);
	if (w->wide && level >= 3)
		rsvd |= PTE_PS;
	return rsvd;
}

/* Physical address of the frame or table that an entry names. */
static gpa_t entry_addr(const struct walk *w, u64 val, unsigned shift)
{
	if (likely(w->wide))
		return val & PTE_ADDR & ~((1ull << shift) - 1);
	if (shift == 22)
		return (val & 0xffc00000) | ((val >> 13) & 0xff) << 32;
	return val & 0xfffff000;
}

/* 0 where a leaf was reached; otherwise the fault's code | 0x100. */
#define WALK_FAULT 0x100u

static unsigned walk_down(struct walk *w, gpa_t table, unsigned level)
{
	unsigned idx_bits = w->wide ? 9 : 10, entry_size = w->wide ? 8 : 4;

	for (;; level--) {
		unsigned shift = 12 + idx_bits * (level - 1);
		gpa_t at = table + ((w->gva >> shift) & ((1u << idx_bits) - 1)) * entry_size;
		u64 val;
		bool large;

		if (unlikely(!read_entry(w, at, &val) || !(val & PTE_P)))
			return WALK_FAULT;
		w->entry[w->n].gpa = at;
		w->entry[w->n++].val = val;
		large = is_large(w, level, val);
		if (unlikely(val & entry_rsvd(w, level, val, large)))
			return WALK_FAULT | X86_PFEC_P | X86_PFEC_RSVD;
		w->and_bits &= val ^ PTE_NX;
		if (level == 1 || large) {
			w->leaf = val;
			w->shift = shift;
			return 0;
		}
		table = entry_addr(w, val, 12);
	}
}

/* PAE's top level: four entries without rights, reserved bits of their own. */
static unsigned walk_pdpte(struct walk *w, gpa_t *table)
{
	u64 val;

	if (!read_entry(w, (w->cpu->s.cr3 & 0xffffffe0) + ((w->gva >> 30) & 3) * 8, &val) || !(val & PTE_P))
		return WALK_FAULT;
	if (val & (w->rsvd | PTE_NX | 0x1e6))
		return WALK_FAULT | X86_PFEC_P | X86_PFEC_RSVD;
	*table = val & PTE_ADDR;
	return 0;
}

static unsigned walk_tables(struct walk *w)
{
	const struct x86_state *s = &w->cpu->s;
	u64 phys_rsvd = PTE_ADDR & ~((1ull << s->maxphyaddr) - 1);
	gpa_t table = s->cr3 & PTE_ADDR;
	unsigned bad;

	w->n = 0;
	w->and_bits = ~0ull;
	if (likely(x86_long_active(s))) {
		w->wide = true;
		w->rsvd = phys_rsvd | (s->efer & X86_EFER_NX ? 0 : PTE_NX);
		w->levels = s->cr4 & X86_CR4_LA57 ? 5 : 4;
		return walk_down(w, table, w->levels);
	}
	w->wide = pae_paging(s);
	if (!w->wide) {
		w->levels = 2;
		w->rsvd = 0;
		return walk_down(w, s->cr3 & 0xfffff000, 2);
	}
	w->levels = 3;
	w->rsvd = phys_rsvd | 0x7ff0000000000000ull | (s->efer & X86_EFER_NX ? 0 : PTE_NX);
	bad = walk_pdpte(w, &table);
	return bad ? bad : walk_down(w, table, 2);
}

/* Whether this privilege may do `acc` to the page (SDM 4.6.1). */
static bool allowed(const struct walk *w, unsigned acc)
{
	const struct x86_state *s = &w->cpu->s;
	bool user_page = w->and_bits & PTE_U;

	if ((acc & X86_ACC_X) && !(w->and_bits & PTE_NX))
		return false;
	if (w->user)
		return user_page && (!(acc & X86_ACC_W) || (w->and_bits & PTE_W));
	if (user_page && (acc & X86_ACC_X) && (s->cr4 & X86_CR4_SMEP))
		return false;
	if (user_page && !(acc & X86_ACC_X) && (s->cr4 & X86_CR4_SMAP) && !(acc & X86_ACC_NOSMAP) &&
	    ((acc & X86_ACC_SUPER) || !(s->rflags & X86_FL_AC)))
		return false;
	return !(acc & X86_ACC_W) || (w->and_bits & PTE_W) || !(s->cr0 & X86_CR0_WP);
}

/* Sets `bits` in entry i. False where the entry changed meanwhile. */
static bool set_bits(struct walk *w, unsigned i, u64 bits)
{
	u64 old = w->entry[i].val;
	u8 *p;

	if (likely(!(bits & ~old)))
		return true;
	if (w->acc & X86_ACC_PEEK) {
		w->unset = true;
		return true;
	}
	p = hyp_phys_ptr(w->cpu, w->entry[i].gpa, true);
	if (!p)
		return true; /* tables in ROM: the write goes nowhere */
	w->entry[i].val = old | bits;
	if (w->wide)
		return __atomic_compare_exchange_n((u64 *)p, &old, old | bits, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	u32 old32 = old;

	return __atomic_compare_exchange_n((u32 *)p, &old32, old32 | (u32)bits, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static bool set_accessed(struct walk *w)
{
	u64 leaf_bits = PTE_A | (w->acc & X86_ACC_W ? PTE_D : 0);

	for (unsigned i = 0; i + 1 < w->n; i++)
		if (!set_bits(w, i, PTE_A))
			return false;
	return set_bits(w, w->n - 1, leaf_bits);
}

static void fill_result(const struct walk *w, struct x86_walk *out)
{
	u64 leaf = w->entry[w->n - 1].val, mask = (1ull << w->shift) - 1;

	out->gpa = entry_addr(w, leaf, w->shift) | (w->gva & mask);
	out->page_shift = w->shift;
	out->global = (leaf & PTE_G) && (w->cpu->s.cr4 & X86_CR4_PGE);
	out->user = w->and_bits & PTE_U;
	out->rw = w->and_bits & PTE_W;
	out->writable = (leaf & PTE_D) && allowed(w, (w->acc & ~(X86_ACC_X | X86_ACC_R)) | X86_ACC_W);
}

enum x86_ret x86_walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct x86_walk *out)
{
	const struct x86_state *s = &cpu->s;
	struct walk w = { .cpu = cpu, .gva = gva, .acc = acc };
	unsigned bad;

	if (unlikely(!(s->cr0 & X86_CR0_PG))) {
		*out = (struct x86_walk){ .gpa = (u32)gva, .page_shift = 12, .writable = true, .user = true, .rw = true };
		return X86_OK;
	}
	w.user = (acc & X86_ACC_USER) || (x86_cpl(s) == 3 && !(acc & X86_ACC_SUPER));
	do {
		bad = walk_tables(&w);
		if (unlikely(bad))
			return walk_fault(&w, bad & 0xff);
		if (unlikely(!allowed(&w, acc)))
			return walk_fault(&w, X86_PFEC_P);
	} while (unlikely(!set_accessed(&w)));
	if (unlikely(w.unset))
		return walk_fault(&w, X86_PFEC_P);
	fill_result(&w, out);
	return X86_OK;
}

/* The walk for KVM, outside hyp_cpu_run. */
static enum x86_ret guarded_walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct x86_walk *w)
{
	struct hyp_guard g;
	enum x86_ret ret;

	if (HYP_GUARD(&g, cpu->as))
		return X86_FAULT;
	ret = x86_walk(cpu, gva, acc, w);
	hyp_guard_end(&g);
	return ret;
}

/* A walk that leaves no fault behind. */
static int translate(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct x86_walk *w)
{
	struct x86_event fault = cpu->fault;
	u64 cr2 = cpu->s.cr2;
	enum x86_ret ret = X86_FAULT;

	if (x86_canonical(cpu, gva))
		ret = guarded_walk(cpu, gva, acc | X86_ACC_SUPER | X86_ACC_NOSMAP, w);
	cpu->fault = fault;
	cpu->s.cr2 = cr2;
	return ret == X86_OK ? 0 : -EFAULT;
}

int hyp_x86_translate(struct hyp_cpu *cpu, gva_t gva, gpa_t *gpa, bool *writeable, bool *usermode)
{
	struct x86_walk w;

	if (translate(cpu, gva, X86_ACC_R, &w))
		return -EFAULT;
	*gpa = w.gpa;
	*writeable = w.writable;
	*usermode = w.user;
	return 0;
}

int hyp_x86_translate_write(struct hyp_cpu *cpu, gva_t gva, gpa_t *gpa)
{
	struct x86_walk w;

	if (translate(cpu, gva, X86_ACC_W, &w))
		return -EFAULT;
	*gpa = w.gpa;
	return 0;
}
