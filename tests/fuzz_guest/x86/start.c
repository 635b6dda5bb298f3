/* SPDX-License-Identifier: Apache-2.0 */
/* Random tables and registers: what points somewhere points near an edge. */
#include <cpuid.h>
#include <string.h>
#include "tests/fuzz_guest/x86/x86.h"

/* Page tables in slot 0. The same lower levels hang under several upper entries. */
enum { T_PML4 = 0x1000, T_PDPT = 0x2000, T_PD = 0x3000, T_PT0 = 0x4000, T_PT1 = 0x5000, T_PT_TOP = 0x6000,
       T_PD32 = 0x7000, T_PT32 = 0x8000, T_PDPT_PAE = 0x9000 };

#define PTE_P 1ull
#define PTE_RWU 7ull
#define PTE_PS 0x80ull
#define PTE_NX (1ull << 63)

static void put32(u32 at, u32 v) { memcpy(ram(at), &v, 4); }

static u64 pte_random(struct fuzz_rng *r)
{
	u64 flags = PTE_RWU | (fuzz_chance(r, 20) ? fuzz_below(r, 0x1000) : 0) |
		    (fuzz_chance(r, 10) ? PTE_NX : 0);

	if (fuzz_chance(r, 5))
		return fuzz_u64(r) | 1ull << 50;
	return gpa_random(r) | (fuzz_chance(r, 10) ? flags & ~PTE_P : flags);
}

static void random_table(struct fuzz_rng *r, u32 at)
{
	for (unsigned i = 0; i < 512; i++)
		ram_put(at + 8 * i, pte_random(r));
}

static void tables_64(struct fuzz_rng *r)
{
	static const u16 top[] = { 0, 255, 256, 511 };

	for (unsigned i = 0; i < COUNT(top); i++)
		ram_put(T_PML4 + 8 * top[i], T_PDPT | PTE_RWU);
	ram_put(T_PDPT, T_PD | PTE_RWU);
	ram_put(T_PDPT + 8 * 3, T_PD | PTE_RWU);
	ram_put(T_PDPT + 8 * 511, T_PD | PTE_RWU);
	ram_put(T_PDPT + 8, 0 | PTE_RWU | PTE_PS); /* 1 GiB: guest-physical 0 again */
	ram_put(T_PD, T_PT0 | PTE_RWU);
	ram_put(T_PD + 8, T_PT1 | PTE_RWU);
	ram_put(T_PD + 16, 0 | PTE_RWU | PTE_PS);
	ram_put(T_PD + 24, 0x200000 | PTE_RWU | PTE_PS);
	ram_put(T_PD + 8 * 511, T_PT_TOP | PTE_RWU);
	random_table(r, T_PT0);
	random_table(r, T_PT1);
	random_table(r, T_PT_TOP);
	for (u32 page = 0; page < 64; page++)
		ram_put(T_PT0 + 8 * page, page * PAGE_SIZE | PTE_RWU);
	for (unsigned i = 0; i < 4; i++)
		ram_put(T_PDPT_PAE + 8 * i, T_PD | PTE_P);
}

static void tables_32(struct fuzz_rng *r)
{
	for (u32 i = 0; i < 1024; i++)
		put32(T_PT32 + 4 * i, i < 64 ? i * (u32)PAGE_SIZE | 7 : (u32)pte_random(r));
	put32(T_PD32, T_PT32 | 7);
	put32(T_PD32 + 4, T_PT32 | 7);
	put32(T_PD32 + 8, 0x87); /* 4 MiB */
	put32(T_PD32 + 4 * 1023, T_PT32 | 7);
}

/* A descriptor: mostly flat ones, sometimes with a limit or base at an edge, sometimes noise. */
static u64 descriptor_random(struct fuzz_rng *r)
{
	static const u64 usual[] = { 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff,
				     0x00affb000000ffff, 0x00cff3000000ffff, 0x008f9b000000ffff, 0x0000930000000fff,
				     0x00409700000003ff, 0x00008b0140000067, 0x0000e90000200028, 0x00008b0140002fff };

	return fuzz_chance(r, 85) ? usual[fuzz_below(r, COUNT(usual))] : fuzz_u64(r) | 1ull << 50;
}

static void descriptors(struct fuzz_rng *r)
{
	for (unsigned i = 1; i < 64; i++)
		ram_put(P_GDT + 8 * i, descriptor_random(r));
	for (unsigned v = 0; v < 256; v++) {
		u64 to = CODE + fuzz_below(r, CODE_SIZE), type = 0x8e | (fuzz_chance(r, 30) ? 0x60 : 0),
		    sel = 8 * fuzz_below(r, 12);

		ram_put(P_IDT + 16 * v,
			(to & 0xffff) | sel << 16 | fuzz_below(r, 2) << 32 | type << 40 | (to >> 16) << 48);
		ram_put(P_IDT + 16 * v + 8, 0);
	}
	for (unsigned i = 4; i < 0x68; i += 8)
		ram_put(P_TSS + i, address_random(r));
}

void memory_random(struct fuzz_rng *r)
{
	tables_64(r);
	tables_32(r);
	descriptors(r);
	code_random(r, ram(CODE), CODE_SIZE);
}

/* ---- registers ---- */

u64 address_random(struct fuzz_rng *r)
{
	static const u64 edges[] = { 0x40000,     0x103000,      0x105000,          0x200000,          0x202000,
				     0x304000,    0x400000,      0x600000,          0x3fffffff,        0x40040000,
				     0x40103000,  0xc0000000,    0x100000000,       1ull << 47,        0xffff800000000000,
				     0,           ~0ull,         0xffffffffc0000000, 0x7fffffe00000,   0x80000000,
				     0xffffe000,  0x20000 + 0x4000, 0xfffffffffffff000, 0x8000000000000000 };
	u64 base = edges[fuzz_below(r, COUNT(edges))];

	if (fuzz_chance(r, 30))
		base = fuzz_below(r, 0x400) * PAGE_SIZE;
	return fuzz_chance(r, 15) ? fuzz_value(r) | 1ull << 50 : base - fuzz_below(r, 80) + fuzz_below(r, 16);
}

void registers_random(struct fuzz_rng *r, struct x86_state *s)
{
	for (unsigned i = 0; i < 16; i++)
		if (fuzz_chance(r, 60))
			s->gpr[i] = fuzz_chance(r, 25) ? fuzz_below(r, 600) : address_random(r);
	s->rip = CODE + fuzz_below(r, CODE_SIZE);
	s->rflags = 2 |
		    (fuzz_u64(r) &
		     (X86_FL_ARITH | X86_FL_DF | X86_FL_AC | (fuzz_chance(r, 5) ? X86_FL_TF : 0))) |
		    (s->rflags & X86_FL_VM);
}

enum mode { LONG, LONG_USER, COMPAT, PROT32, PROT16, REAL, VM86, NR_MODES };

static void segment(struct x86_seg *seg, u64 base, u32 limit, u32 ar, u16 sel)
{
	*seg = (struct x86_seg){ base, limit, ar, sel };
}

static void segments(struct fuzz_rng *r, struct x86_state *s, enum mode m)
{
	bool user = m == LONG_USER || m == COMPAT || fuzz_chance(r, 30), small = m == REAL || m == VM86;
	u32 dpl = user && m != LONG && m != REAL ? 0x60 : 0, size = m <= LONG_USER ? 0x2000
								    : m == PROT16  ? 0
										   : 0x4000;

	for (unsigned i = 0; i < 6; i++) {
		u64 base = small ? fuzz_below(r, 0x10000) << 4 : 0;

		segment(&s->seg[i], base, small ? 0xffff : 0xffffffff, 0x8093 | dpl | 0x4000,
			(u16)(base >> 4));
		if (!small && fuzz_chance(r, 10))
			s->seg[i].limit = (u32)fuzz_value(r);
		if (m == VM86)
			s->seg[i].ar = 0xf3;
	}
	segment(&s->seg[X86_CS], small ? CODE - 0x1000 : 0, small ? 0xffff : 0xffffffff, 0x809b | dpl | size,
		(u16)(small ? (CODE - 0x1000) >> 4 : 8 | dpl >> 5));
	if (m == VM86)
		s->seg[X86_CS].ar = 0xf3;
	if (m == LONG || (m != REAL && m != VM86 && !dpl))
		s->seg[X86_SS].ar &= ~0x60u;
	s->seg[X86_FS].base = small ? s->seg[X86_FS].base : address_random(r);
	s->seg[X86_GS].base = small ? s->seg[X86_GS].base : address_random(r);
	segment(&s->seg[X86_TR], P_TSS - fuzz_below(r, 2) * 0x30, (u32)(0x67 + fuzz_below(r, 0x3000)), 0x8b,
		0x40);
	segment(&s->seg[X86_LDTR], 0, 0, X86_AR_UNUSABLE, 0);
}

static void control(struct fuzz_rng *r, struct x86_state *s, enum mode m)
{
	bool lm = m <= COMPAT, pae = lm || fuzz_chance(r, 50),
	     paging = m != REAL && (lm || fuzz_chance(r, 70));

	s->cr0 = X86_CR0_ET | X86_CR0_NE | (m == REAL ? 0 : X86_CR0_PE) | (paging ? X86_CR0_PG : 0) |
		 (fuzz_chance(r, 70) ? X86_CR0_WP : 0) | (fuzz_chance(r, 20) ? X86_CR0_AM : 0);
	s->cr4 = (pae ? X86_CR4_PAE : 0) | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		 X86_CR4_FSGSBASE | (fuzz_chance(r, 50) ? X86_CR4_PGE : 0) |
		 (fuzz_chance(r, 20) ? X86_CR4_SMAP : 0) | (fuzz_chance(r, 10) ? X86_CR4_SMEP : 0) |
		 (pae ? 0 : X86_CR4_PSE);
	s->cr3 = lm ? T_PML4 : pae ? T_PDPT_PAE : T_PD32;
	s->efer = X86_EFER_SCE | X86_EFER_NX | (lm ? X86_EFER_LME | X86_EFER_LMA : 0);
	s->cr0_valid = 0xe005003f;
	s->cr4_valid = s->cr4 | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PSE | X86_CR4_PAE |
		       X86_CR4_TSD;
	s->efer_valid = s->efer | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX;
	s->star = 0x0013000800000000;
	s->lstar = s->cstar = CODE + fuzz_below(r, CODE_SIZE);
	s->gdtr = (struct x86_dtable){ P_GDT, 0x1ff };
	s->idtr = (struct x86_dtable){ fuzz_chance(r, 90) ? P_IDT : address_random(r), fuzz_chance(r, 50) ? 0xfff : 0 };
	if (m == REAL)
		s->idtr = (struct x86_dtable){ 0, 0x3ff };
}

/* Components that the host has and that fit. */
static u64 host_xcr0(void)
{
	u32 lo, hi;

	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo & 0xe7;
}

/* Random vector registers in a valid image: rounding and masks are sane, nothing looks like an address. */
static void vectors(struct fuzz_rng *r, struct x86_state *s)
{
	u32 size, b, c, d, mxcsr = 0x1f80;
	u64 xcr0 = host_xcr0(), zero[8] = { 0 };
	u16 fcw = 0x37f;

	__cpuid_count(13, 0, b, size, c, d);
	(void)b, (void)c, (void)d;
	size = size < X86_XSAVE_MAX ? size : X86_XSAVE_MAX;
	for (u32 i = 0; i + 8 <= size; i += 8) {
		u64 v = fuzz_chance(r, 50) ? address_random(r) : fuzz_u64(r) | 1ull << 50;

		memcpy(s->xsave + i, &v, 8);
	}
	memset(s->xsave, 0, 32);
	memcpy(s->xsave, &fcw, 2);
	memcpy(s->xsave + 24, &mxcsr, 4);
	memcpy(s->xsave + 512, zero, 64);
	memcpy(s->xsave + 512, &xcr0, 8);
	s->xcr0 = s->xcr0_valid = xcr0;
}

void cpu_start(struct fuzz_rng *r, struct hyp_cpu *cpu)
{
	static const u8 weights[NR_MODES] = { 35, 25, 10, 12, 6, 8, 4 };
	struct x86_state *s = hyp_x86_state(cpu);
	unsigned at = (unsigned)fuzz_below(r, 100);
	enum mode m = LONG;

	while (at >= weights[m])
		at -= weights[m++];
	s->rflags = m == VM86 ? X86_FL_VM | 2 : 2;
	segments(r, s, m);
	control(r, s, m);
	vectors(r, s);
	s->maxphyaddr = 40;
	s->maxlinaddr = 48;
	s->is_amd = fuzz_chance(r, 50);
	s->has_rdtscp = s->has_rdpid = s->has_invpcid = s->has_gbpages = s->has_umip = s->has_erms = true;
	s->tsc_ratio = 1ull << 48;
	s->tsc_offset = 0 - __builtin_ia32_rdtsc(); /* a small TSC is no address of ours */
	s->inject.type = X86_EVENT_NONE;
	s->shadow = 0;
	registers_random(r, s);
	if (m == REAL || m == VM86)
		s->rip = 0x1000 + fuzz_below(r, CODE_SIZE);
	hyp_x86_state_changed(cpu);
}
