/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating-point and vector state under a kernel's hands: saved and loaded with FXSAVE and XSAVE,
 * enabled with XCR0, exceptions #MF, #XM, #NM, #UD by CR0, CR4 and XCR0; state survives interrupts, exits
 * and a good deal of integer work.
 */
#include "guest/lib/guest.h"

static u8 area[8192] __attribute__((aligned(4096)));
static u64 in[8] __attribute__((aligned(64))), out[8] __attribute__((aligned(64)));

static void xsetbv(u64 v) { asm volatile("xsetbv" : : "c"(0), "a"((u32)v), "d"((u32)(v >> 32))); }
static void avx(u64 a) { asm volatile(".byte 0xc5, 0xfc, 0x28, 0xc8"); /* vmovaps ymm1, ymm0 */ }
static void sse(u64 a) { asm volatile("movaps %xmm0, %xmm1"); }
static void fld(u64 a) { asm volatile("fld1; fstp %st(0)"); }
static void xsave(u64 a) { asm volatile("xsave (%0)" : : "r"(area), "a"(7), "d"(0) : "memory"); }

static void mf(u64 a)
{
	u16 cw = 0x37b; /* zero divide unmasked */

	asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(cw));
}

static void xm(u64 a)
{
	u32 csr = 0x1d80; /* zero divide unmasked */

	asm volatile("ldmxcsr %0; xorps %%xmm1, %%xmm1; mov $0x3f800000, %%eax; movd %%eax, %%xmm0\n"
		     "divss %%xmm1, %%xmm0"
		     : : "m"(csr) : "rax");
}

static void exceptions(void)
{
	u32 csr = 0x1f80;

	WRITE_CR(0, READ_CR(0) | 0x20); /* NE */
	CHECK_EQ(trap_of(mf, 0), 16);
	asm volatile("fninit");
	CHECK_EQ(trap_of(xm, 0), 19);
	WRITE_CR(4, READ_CR(4) & ~0x400ull); /* OSXMMEXCPT */
	CHECK_EQ(trap_of(xm, 0), V_UD);
	WRITE_CR(4, READ_CR(4) | 0x400);
	asm volatile("ldmxcsr %0" : : "m"(csr));
}

static void gates(void)
{
	WRITE_CR(4, READ_CR(4) & ~0x200ull); /* OSFXSR */
	CHECK_EQ(trap_of(sse, 0), V_UD);
	CHECK_EQ(trap_of(fld, 0), -1);
	WRITE_CR(4, READ_CR(4) | 0x200);
	CHECK_EQ(trap_of(sse, 0), -1);
	WRITE_CR(0, READ_CR(0) | 4); /* EM */
	CHECK_EQ(trap_of(sse, 0), V_UD);
	CHECK_EQ(trap_of(fld, 0), V_NM);
	WRITE_CR(0, READ_CR(0) & ~4ull);
	CHECK_EQ(trap_of(sse, 0), -1);
	CHECK_EQ(trap_of(avx, 0), V_UD); /* CR4.OSXSAVE is off */
	CHECK_EQ(trap_of(xsave, 0), V_UD);
	WRITE_CR(4, READ_CR(4) | CR4_OSXSAVE);
	xsetbv(3);
	CHECK_EQ(trap_of(avx, 0), V_UD);
	xsetbv(7);
	CHECK_EQ(trap_of(avx, 0), -1);
	WRITE_CR(0, READ_CR(0) | CR0_TS);
	CHECK_EQ(trap_of(avx, 0), V_NM);
	CHECK_EQ(trap_of(xsave, 0), V_NM);
	WRITE_CR(0, READ_CR(0) & ~CR0_TS);
}

static void fill(u64 seed)
{
	for (int i = 0; i < 8; i++)
		in[i] = seed * 0x9e3779b97f4a7c15ull + i;
}

static u64 differences(unsigned words)
{
	u64 n = 0;

	for (unsigned i = 0; i < words; i++)
		n += in[i] != out[i];
	return n;
}

static void load_ymm5(void) { asm volatile("vmovdqu %0, %%ymm5" : : "m"(in)); }
static void store_ymm5(void) { asm volatile("vmovdqu %%ymm5, %0" : "=m"(out)); }

static void save_and_restore(void)
{
	for (u64 i = 0; i < 100; i++) {
		fill(i);
		load_ymm5();
		asm volatile("xsave (%0)" : : "r"(area), "a"(7), "d"(0) : "memory");
		CHECK_EQ(*(u64 *)(area + 512) & ~7ull, 0); /* XSTATE_BV: nothing beyond XCR0 */
		asm volatile("vzeroall");
		asm volatile("xrstor (%0)" : : "r"(area), "a"(7), "d"(0) : "memory");
		store_ymm5();
		CHECK_EQ(differences(4), 0);
	}
	/* a component that is not asked for stays */
	fill(1000);
	load_ymm5();
	*(u64 *)(area + 512) = 0;
	asm volatile("xrstor (%0)" : : "r"(area), "a"(1), "d"(0) : "memory");
	store_ymm5();
	CHECK_EQ(differences(4), 0);
	/* asked for, not in the image: initial state */
	asm volatile("xrstor (%0)" : : "r"(area), "a"(4), "d"(0) : "memory");
	store_ymm5();
	CHECK_EQ(out[0], in[0]);
	CHECK_EQ(out[2] | out[3], 0);
}

/* XSAVE64, XSAVEOPT64, XRSTOR64 on an area in two pages; what the header says of initial state. */
static void wide_forms(void)
{
	u8 *at = area + 4096 - 512 - 64;
	u32 csr = 0x1f80, odd = 0x3f80;

	fill(4711);
	load_ymm5();
	asm volatile("ldmxcsr %0" : : "m"(odd));
	asm volatile("xsave64 (%0)" : : "r"(at), "a"(7), "d"(0) : "memory");
	asm volatile("vzeroall; ldmxcsr %0" : : "m"(csr));
	asm volatile("xrstor64 (%0)" : : "r"(at), "a"(7), "d"(0) : "memory");
	store_ymm5();
	CHECK_EQ(differences(4), 0);
	asm volatile("stmxcsr %0" : "=m"(csr));
	CHECK_EQ(csr, odd);
	csr = 0x1f80;
	asm volatile("vzeroall; fninit; ldmxcsr %0" : : "m"(csr));
	*(u64 *)(at + 512) = 0;
	asm volatile("xrstor64 (%0)" : : "r"(at), "a"(6), "d"(0) : "memory"); /* MXCSR is loaded */
	asm volatile("stmxcsr %0" : "=m"(odd));
	CHECK_EQ(odd, 0x3f80);
	asm volatile("ldmxcsr %0" : : "m"(csr));
	*(u64 *)(at + 512) = 7;
	*(u64 *)(at + 576) = 0x1234;
	asm volatile("xsaveopt64 (%0)" : : "r"(at), "a"(4), "d"(0) : "memory");
	CHECK_EQ(*(u64 *)(at + 512), 3);
	CHECK_EQ(*(u64 *)(at + 576), 0x1234);
	fill(9);
	load_ymm5();
	asm volatile("xsaveopt64 (%0)" : : "r"(at), "a"(4), "d"(0) : "memory");
	CHECK_EQ(*(u64 *)(at + 512), 7);
	CHECK_EQ(*(u64 *)(at + 576 + 5 * 16), in[2]);
}

static void fxsave(void)
{
	fill(7);
	asm volatile("movdqu %0, %%xmm9; fninit; fldpi" : : "m"(in));
	asm volatile("fxsave (%0)" : : "r"(area) : "memory");
	CHECK_EQ(*(u64 *)(area + 160 + 9 * 16), in[0]);
	CHECK_EQ(*(u16 *)area, 0x37f);
	CHECK_EQ(area[4], 0x80); /* one register in use */
	CHECK_EQ(*(u64 *)(area + 32), 0xc90fdaa22168c235);
	asm volatile("fninit; xorps %xmm9, %xmm9");
	asm volatile("fxrstor (%1); movdqu %%xmm9, %0; fstp %%st(0)" : "=m"(out) : "r"(area));
	CHECK_EQ(differences(2), 0);
}

/* Exits and page faults in between must not cost a bit. */
static void survives(void)
{
	fill(12345);
	load_ymm5();
	for (int i = 0; i < 50; i++) {
		cpuid(0, 0);
		inb(0x80);
		(void)*(volatile u32 *)0xd0000000;
	}
	store_ymm5();
	CHECK_EQ(differences(4), 0);
}

static void xrstor64(u64 a) { asm volatile("xrstor64 (%0)" : : "r"(a), "a"(7), "d"(0) : "memory"); }
static void xsave64(u64 a) { asm volatile("xsave64 (%0)" : : "r"(a), "a"(7), "d"(0) : "memory"); }
static void xrstor(u64 a) { asm volatile("xrstor (%0)" : : "r"(a), "a"(7), "d"(0) : "memory"); }

static void bad_images(void)
{
	for (int i = 0; i < 576; i++)
		area[i] = 0;
	*(u64 *)(area + 512) = 1ull << 20; /* not in XCR0 */
	CHECK_EQ(trap_of(xrstor, (u64)area), V_GP);
	CHECK_EQ(trap_of(xrstor, (u64)area + 8), V_GP);
	*(u64 *)(area + 512) = 0;
	CHECK_EQ(trap_of(xsave64, (u64)area + 8), V_GP);
	*(u64 *)(area + 528) = 1; /* reserved byte of the header */
	CHECK_EQ(trap_of(xrstor, (u64)area), V_GP);
	CHECK_EQ(trap_of(xrstor64, (u64)area), V_GP);
	*(u64 *)(area + 528) = 0;
	*(u32 *)(area + 24) = 1u << 31; /* reserved in MXCSR */
	CHECK_EQ(trap_of(xrstor64, (u64)area), V_GP);
	CHECK_EQ(trap_of(xrstor64, 1ull << 63), V_GP);
	CHECK_EQ(trap_of(xsave64, 1ull << 63), V_GP);
}

int guest_main(void)
{
	exceptions();
	if (!(cpuid(1, 0).c >> 26 & 1) || !(cpuid(1, 0).c >> 28 & 1))
		guest_skip("no XSAVE or no AVX");
	gates();
	save_and_restore();
	wide_forms();
	fxsave();
	survives();
	bad_images();
	return 0;
}
