/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID is consistent with itself and with what the CPU then does. */
#include "guest/lib/guest.h"

static void xgetbv(u64 a) { asm volatile("xgetbv" : : "c"(0) : "rax", "rdx"); }
static void set_cr4(u64 v) { WRITE_CR(4, v); }
static void xsetbv(u64 v) { asm volatile("xsetbv" : : "c"(0), "a"((u32)v), "d"((u32)(v >> 32))); }

static void xsave_leaf(void)
{
	struct cpuid d;
	u32 end = 576;

	if (!(cpuid(1, 0).c >> 26 & 1)) {
		CHECK_EQ(trap_of(set_cr4, READ_CR(4) | CR4_OSXSAVE), V_GP);
		return;
	}
	CHECK_EQ(cpuid(1, 0).c >> 27 & 1, 0);
	CHECK_EQ(trap_of(xgetbv, 0), V_UD);
	WRITE_CR(4, READ_CR(4) | CR4_OSXSAVE);
	CHECK_EQ(cpuid(1, 0).c >> 27 & 1, 1);
	CHECK_EQ(trap_of(xgetbv, 0), -1);
	d = cpuid(0xd, 0);
	CHECK_EQ(trap_of(xsetbv, 0), V_GP);
	CHECK_EQ(trap_of(xsetbv, 5), V_GP); /* AVX without SSE */
	CHECK_EQ(trap_of(xsetbv, 1ull << 40 | 3), V_GP);
	CHECK_EQ(trap_of(xsetbv, d.a & 7), -1);
	if (d.a & 4)
		end = cpuid(0xd, 2).a + cpuid(0xd, 2).b;
	CHECK_EQ(cpuid(0xd, 0).b, end); /* size for what is enabled now */
	CHECK(cpuid(0xd, 0).c >= end);
}

static void feature(u32 bit, const char *name, void (*fn)(u64))
{
	if (trap_of(fn, 0) != (bit ? -1 : V_UD)) {
		print("%s: CPUID says %d, execution says otherwise\n", name, bit);
		guest_failed++;
	}
}

static void do_rdrand(u64 a) { asm volatile("rdrand %%rax" : : : "rax"); }
static void do_rdtscp(u64 a) { asm volatile("rdtscp" : : : "rax", "rcx", "rdx"); }
static void do_popcnt(u64 a) { asm volatile("popcnt %%rax, %%rax" : : : "rax"); }
static void do_movbe(u64 a) { u32 m = 0; asm volatile("movbe %0, %%eax" : : "m"(m) : "rax"); }
static void do_andn(u64 a) { asm volatile("andn %%rax, %%rax, %%rax" : : : "rax"); }
static void do_adx(u64 a) { asm volatile("adcx %%rax, %%rax" : : : "rax"); }
static void do_cx16(u64 a)
{
	static struct {
		u64 a, b;
	} m __attribute__((aligned(16)));

	asm volatile("cmpxchg16b %0" : "+m"(m) : : "rax", "rdx");
}

int guest_main(void)
{
	struct cpuid one = cpuid(1, 0), seven = cpuid(7, 0);
	u32 max = cpuid(0, 0).a;

	CHECK(max >= 0xd);
	CHECK(cpuid(0x80000000, 0).a >= 0x80000008);
	CHECK_EQ(one.d & 0x07000011, 0x07000011); /* FPU TSC SSE2 SSE FXSR */
	CHECK_EQ(cpuid(0x80000001, 0).d >> 29 & 1, 1); /* long mode */
	CHECK((cpuid(0x80000008, 0).a & 0xff) >= 36);
	CHECK_EQ(one.b >> 24, 0); /* initial APIC id of CPU 0 */
	CHECK_EQ(one.c >> 31, 1); /* a hypervisor */
	xsave_leaf();
	feature(one.c >> 30 & 1, "RDRAND", do_rdrand);
	feature(cpuid(0x80000001, 0).d >> 27 & 1, "RDTSCP", do_rdtscp);
	feature(one.c >> 23 & 1, "POPCNT", do_popcnt);
	feature(one.c >> 22 & 1, "MOVBE", do_movbe);
	feature(one.c >> 13 & 1, "CX16", do_cx16);
	feature(seven.b >> 19 & 1, "ADX", do_adx);
	if (seven.b >> 3 & 1)
		feature(1, "BMI1", do_andn);
	if (!(seven.b >> 20 & 1))
		CHECK_EQ(trap_of(set_cr4, READ_CR(4) | CR4_SMAP), V_GP);
	if (!(seven.c >> 16 & 1))
		CHECK_EQ(trap_of(set_cr4, READ_CR(4) | 0x1000), V_GP);
	return 0;
}
