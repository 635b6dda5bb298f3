/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code in pages that are stored into all the time, which engines may treat in a way of its own: immediates of
 * all forms patched, versions of a function that take turns, stores to the instruction that comes next, flags
 * and registers that live through a change, branches patched, an instruction that two pages share, aliases,
 * pages mapped anew, and a page that has its peace again.
 */
#include "guest/lib/guest.h"

#define WARM 200u /* stores into code that has run */

static u8 *page, *other;

struct result { u64 rax, rcx, rdx; u32 flags; };

/* As a function of rdi, rsi; all other registers may change. */
static struct result run(const void *p, u64 a, u64 b)
{
	struct result r;
	u64 flags;

	asm volatile("call *%[p]\n\tpushfq\n\tpop %[flags]"
		     : "=a"(r.rax), "=c"(r.rcx), "=d"(r.rdx), "+D"(a), "+S"(b), [flags] "=&r"(flags)
		     : [p] "0"(p)
		     : "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	r.flags = (u32)flags & 0x8c5; /* AF is undefined behind the logical instructions */
	return r;
}

static void put(volatile u8 *p, const void *bytes, u32 n)
{
	for (u32 i = 0; i < n; i++)
		p[i] = ((const u8 *)bytes)[i];
}

#define PUT(p, ...) put(p, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* mov al, imm8; ret: stored over and over, and run. */
static void warm(u8 *p)
{
	PUT(p, 0xb0, 0, 0xc3);
	for (u32 i = 0; i < WARM; i++) {
		((volatile u8 *)p)[1] = (u8)i;
		CHECK_EQ((u8)run(p, 0, 0).rax, (u8)i);
	}
}

/* ---- immediates ----------------------------------------------------------------------------------- */

/* cmp rdi, rdi; clc or stc; mov reg, rdi */
static u8 *put_head(u8 *p, u32 reg, u32 carry)
{
	PUT(p, 0x48, 0x39, 0xff, 0xf8 | carry, 0x48 | (reg >> 3), 0x89, 0xf8 | (reg & 7));
	return p + 7;
}

/* mov rax, reg; ret */
static void put_tail(u8 *p, u32 reg)
{
	PUT(p, 0x48 | (reg >> 3) << 2, 0x89, 0xc0 | (reg & 7) << 3, 0xc3);
}

enum { TEST = 8, MOV, MOV_SHORT, MOV_LONG, BYTE, FORMS = BYTE + 8 };

/* The instruction with an immediate, and the same with RSI instead; its length. */
static u32 put_form(u8 *p, u8 *ref, u32 form, u32 reg, bool wide)
{
	u8 rex = 0x40 | wide << 3 | (reg >> 3), rm = 0xc0 | (reg & 7);
	u32 len = 7;

	if (form < TEST)
		PUT(p, rex, 0x81, rm | form << 3, 0, 0, 0, 0);
	else if (form == TEST)
		PUT(p, rex, 0xf7, rm, 0, 0, 0, 0);
	else if (form == MOV)
		PUT(p, rex, 0xc7, rm, 0, 0, 0, 0);
	else if (form == MOV_SHORT)
		PUT(p, rex & 0xf7, 0xb8 | (reg & 7), 0, 0, 0, 0), len = 6;
	else if (form == MOV_LONG)
		PUT(p, rex | 8, 0xb8 | (reg & 7), 0, 0, 0, 0, 0, 0, 0, 0), len = 10;
	else
		PUT(p, rex, 0x83, rm | (form - BYTE) << 3, 0), len = 4;
	if (form == MOV_SHORT)
		rex &= 0xf7;
	else if (form == MOV_LONG)
		rex |= 8;
	PUT(ref, rex, 0x89, rm | 6 << 3);
	if (form < TEST || form >= BYTE)
		ref[1] = (form < TEST ? form : form - BYTE) << 3 | 1;
	else if (form == TEST)
		ref[1] = 0x85;
	return len;
}

static u64 patch(u8 *end, u32 size, u64 value)
{
	switch (size) {
	case 1: return (u64)(s64)(*(volatile signed char *)(end - 1) = (signed char)value);
	case 4: return (u64)(s64)(*(volatile int *)(end - 4) = (int)value);
	default: return *(volatile u64 *)(end - 8) = value;
	}
}

static void patch_form(u32 form, u32 reg, bool wide, u32 carry)
{
	u8 *p = put_head(page + 64, reg, carry), *q = put_head(other, reg, carry);
	u32 len = put_form(p, q, form, reg, wide), size = form == MOV_LONG ? 8 : form < BYTE ? 4 : 1;
	u64 value = 0x9e3779b97f4a7c15ull * (form + reg * 16 + 1);

	put_tail(p + len, reg);
	put_tail(q + 3, reg);
	for (u32 i = 0; i < 9; i++, value = value * 0xd1342543de82ef95ull + 1) {
		u64 imm = patch(p + len, size, value >> 7), arg = i & 1 ? value << 7 : imm;
		struct result got, want;

		got = run(page + 64, arg, imm);
		want = run(other, arg, imm);
		CHECK_EQ(got.rax, want.rax);
		CHECK_EQ(got.flags, want.flags);
	}
}

static void immediates(void)
{
	static const u8 regs[] = { 0, 1, 2, 3, 8, 12, 13, 14, 15 };

	for (u32 form = 0; form < FORMS; form++)
		for (u32 i = 0; i < sizeof(regs); i++)
			for (u32 k = 0; k < 4; k++)
				patch_form(form, regs[i], k & 1, k >> 1);
}

/* ---- versions --------------------------------------------------------------------------------------- */

/* n versions of different lengths take turns, in order and out of it. */
static void put_version(u8 *p, u32 v)
{
	switch (v % 6) {
	case 0: PUT(p, 0xb0, 0x10, 0xc3); break;                           /* mov al, 0x10 */
	case 1: PUT(p, 0x6a, 0x11, 0x58, 0xc3); break;                     /* push 0x11; pop rax */
	case 2: PUT(p, 0x31, 0xc0, 0x04, 0x12, 0xc3); break;               /* xor eax, eax; add al, 0x12 */
	case 3: PUT(p, 0xb8, 0x13, 0, 0, 0, 0xc3); break;                  /* mov eax, 0x13 */
	case 4: PUT(p, 0xeb, 0x02, 0x0f, 0x0b, 0xb0, 0x14, 0xc3); break;   /* jmp over ud2 */
	case 5: PUT(p, 0x48, 0x8d, 0x04, 0x25, 0x15, 0, 0, 0, 0xc3); break; /* lea rax, [0x15] */
	}
}

static void versions(void)
{
	for (u32 n = 2; n <= 6; n++)
		for (u32 i = 0; i < 60; i++) {
			u32 v = i % 3 ? i % n : i * 7 % n;

			put_version(page + 128, v);
			CHECK_EQ((u8)run(page + 128, 0, 0).rax, 0x10 + v % 6);
			CHECK_EQ((u8)run(page + 128, 0, 0).rax, 0x10 + v % 6);
		}
}

/* ---- what comes next ------------------------------------------------------------------------------ */

/* A store in front of four bytes of code, which it writes: mov, xchg, movsb, stosb. */
static void next_instruction(u32 way)
{
	u8 *p = page + 256;

	PUT(p, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
	switch (way) {
	case 0: PUT(p + 3, 0x89, 0x3d, 0, 0, 0, 0); break; /* mov [rip], edi */
	case 1: PUT(p + 3, 0x87, 0x3d, 0, 0, 0, 0); break; /* xchg [rip], edi */
	case 2: PUT(p + 3, 0xf0, 0x0f, 0xc1, 0x3d, 0xf9, 0xff), p += 2; /* lock xadd, below */ break;
	}
	if (way == 2)
		PUT(p - 1, 0x31, 0xc0, 0xf0, 0x0f, 0xc1, 0x3d, 0, 0, 0, 0), p = page + 256;
	for (u32 i = 0; i < 100; i++) {
		u32 code = i % 3 == 0 ? 0x9090c031u : 0x909000b0u | (i & 0xff) << 8; /* xor eax, eax; mov al, i */
		u32 want = i % 3 == 0 ? 0 : i & 0xff;

		if (way == 2)
			PUT(p + 11, 0, 0, 0, 0, 0xc3);
		else
			PUT(p + 9, 0xb0, 0xee, 0x90, 0x90, 0xc3);
		CHECK_EQ((u8)run(p, code, 0).rax, want);
	}
}

/* rep movsb copies over what follows it; stosq, too. */
static void next_by_string(void)
{
	static u8 src[8];

	PUT(page + 512, 0x48, 0x89, 0xf9, 0xb9, 8, 0, 0, 0); /* mov rcx, rdi; mov ecx, 8 */
	PUT(page + 520, 0x48, 0x8d, 0x3d, 2, 0, 0, 0, 0xf3, 0xa4); /* lea rdi, [rip + 2]; rep movsb */
	PUT(page + 544, 0x48, 0x89, 0xf0, 0x48, 0x8d, 0x3d, 2, 0, 0, 0, 0x48, 0xab); /* the same: rax, stosq */
	for (u32 i = 0; i < 100; i++) {
		u64 code = i & 1 ? 0x90909090c3c030ull : 0x9090909090c300b0ull | (i & 0xff) << 8;
		u32 want = i & 1 ? 0 : i & 0xff;

		put(src, &code, 8);
		PUT(page + 529, 0xb0, 0xee, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90);
		CHECK_EQ((u8)run(page + 512, 0, (u64)src).rax, want);
		PUT(page + 556, 0xb0, 0xee, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90);
		CHECK_EQ((u8)run(page + 544, 0, code).rax, want);
	}
}

/* L: add dword [rip + add's immediate], 1; add eax, imm32; dec ecx; jnz L: a loop that changes itself. */
static void loop_changes_itself(void)
{
	u8 *p = page + 640;

	PUT(p, 0x31, 0xc0, 0xb9, 10, 0, 0, 0);
	PUT(p + 7, 0x83, 0x05, 1, 0, 0, 0, 1, 0x05, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf0, 0xc3);
	for (u32 i = 0; i < 40; i++) {
		*(volatile u32 *)(p + 15) = i;
		CHECK_EQ((u32)run(p, 0, 0).rax, 10 * i + 55);
	}
}

/* ---- what lives on --------------------------------------------------------------------------------- */

/* cmp rdi, rsi; mov rcx, rdi; lea rdx, [rsi + 5]; mov r8, [rsp]; jmp B, B: setcc al; nop or ret */
static void flags_live(u32 first)
{
	static const u8 cc[] = { 0x92, 0x94, 0x9c, 0x9f, 0x97, 0x9a };
	u8 *p = page + 768, *b = page + 1024;

	PUT(p, 0x48, 0x39, 0xf7, 0x48, 0x89, 0xf9, 0x48, 0x8d, 0x56, 5, 0x4c, 0x8b, 0x04, 0x24, 0xe9);
	*(volatile u32 *)(p + 15) = (u32)(b - (p + 19));
	PUT(other, 0x48, 0x39, 0xf7, 0x0f, 0x90, 0xc0, 0xc3);
	for (u32 i = first; i < 300; i++) {
		u64 x = i % 5 == 0 ? 7 : i * 0x123456789abcdull, y = 7 + (i % 7) * 0x876543210fedull;
		struct result got;

		other[4] = cc[i % 6];
		if (i % 4 == 3)
			PUT(b, 0x31, 0xc0, 0xc3); /* xor eax, eax: the flags are dead */
		else
			PUT(b, 0x0f, cc[i % 6], 0xc0, 0xc3);
		got = run(p, x, y);
		CHECK_EQ(got.rcx, x);
		CHECK_EQ(got.rdx, y + 5);
		CHECK_EQ((u8)got.rax, i % 4 == 3 ? 0 : (u8)run(other, x, y).rax);
	}
}

/* call and jmp rel32, a jcc, whose targets change. */
static void branches(void)
{
	u8 *p = page + 1280, *to = page + 2048;

	for (u32 i = 0; i < 16; i++)
		PUT(to + 32 * i, 0xb0, 0x40 + i, 0xc3);
	PUT(p, 0xe8, 0, 0, 0, 0, 0x90, 0xc3);
	PUT(p + 16, 0xe9, 0, 0, 0, 0);
	PUT(p + 32, 0x85, 0xff, 0x0f, 0x85, 0, 0, 0, 0, 0xb0, 0x3f, 0xc3); /* test edi, edi; jnz */
	for (u32 i = 0; i < 400; i++) {
		u32 n = i < 200 ? i % 16 : i / 8 % 16, m = i * 5 % 16;

		*(volatile u32 *)(p + 1) = (u32)(to + 32 * n - (p + 5));
		CHECK_EQ((u8)run(p, 0, 0).rax, 0x40 + n);
		*(volatile u32 *)(p + 17) = (u32)(to + 32 * m - (p + 21));
		CHECK_EQ((u8)run(p + 16, 0, 0).rax, 0x40 + m);
		*(volatile u32 *)(p + 36) = (u32)(to + 32 * m - (p + 40));
		CHECK_EQ((u8)run(p + 32, i & 1, 0).rax, i & 1 ? 0x40 + m : 0x3f);
	}
}

/* ---- pages ------------------------------------------------------------------------------------------ */

/* mov eax, imm32, `head` bytes of it in the first page, in front of ret; and xor instead of it. */
static void spanning(u32 head)
{
	u8 *p = page + 4096 - head;

	for (u32 i = 0; i < 100; i++) {
		PUT(p, 0xb8, 0, 0, 0, 0, 0xc3);
		for (u32 k = 0; k < 4; k++)
			((volatile u8 *)p)[1 + k] = (u8)(i + k);
		CHECK_EQ((u32)run(p, 0, 0).rax, 0x03020100u + (u8)i * 0x01010101u);
		((volatile u8 *)p)[4] = 0x7f;
		CHECK_EQ((u32)run(p, 0, 0).rax >> 24, 0x7f);
		((volatile u8 *)p)[0] = 0x0d; /* or eax, imm32 */
		CHECK_EQ((u32)run(p, 0, 0).rax >> 24 & 0x7f, 0x7f);
	}
	page[4096 + 8] = 0; /* data in the second page */
}

static void alias(void)
{
	volatile u8 *far = (volatile u8 *)GUEST_VA;

	page_map(READ_CR(3), GUEST_VA, (u64)page, PTE_P | PTE_W, 12);
	for (u32 i = 0; i < 200; i++) {
		far[1537] = (u8)i;
		PUT(far + 1536, i & 2 ? 0xb0 : 0xb4); /* mov al or ah */
		PUT(far + 1538, 0xc3);
		CHECK_EQ((u8)(run(page + 1536, 0, 0).rax >> (i & 2 ? 0 : 8)), (u8)i);
		page[1537] = (u8)~i;
		CHECK_EQ((u8)(run((void *)(far + 1536), 0, 0).rax >> (i & 2 ? 0 : 8)), (u8)~i);
	}
}

/* One address, two pages, which change both. */
static void remap(void)
{
	u8 *two[2] = { page, other };
	u8 *far = (u8 *)GUEST_VA + 4096;

	warm(other + 1792);
	for (u32 i = 0; i < 200; i++) {
		u8 *p = two[i & 1];

		PUT(p + 1792, 0xb0, i, 0xc3);
		page_map(READ_CR(3), (u64)far, (u64)p, PTE_P | PTE_W, 12);
		CHECK_EQ((u8)run(far + 1792, 0, 0).rax, (u8)i);
		two[i >> 1 & 1][1793] = (u8)(i + 1); /* one or the other */
		CHECK_EQ((u8)run(far + 1792, 0, 0).rax, p[1793]);
	}
}

/* At the end of a page: RET, or MOV AL with its immediate in the page behind, which is one of two. */
static void spanning_remapped(void)
{
	u64 far = GUEST_VA + 8192, second[2] = { (u64)page + 4096, (u64)other };
	u8 *p = (u8 *)far + 4095;

	warm(page + 2560);
	PUT(page + 4096, 0x77, 0xc3);
	PUT(other, 0x78, 0xc3);
	page_map(READ_CR(3), far, (u64)page, PTE_P | PTE_W, 12);
	for (u32 i = 0; i < 200; i++) {
		u32 which = i >> 2 & 1;

		page_map(READ_CR(3), far + 4096, second[which], PTE_P | PTE_W, 12);
		((volatile u8 *)page)[4095] = i * 5 & 8 ? 0xc3 : 0xb0;
		CHECK_EQ((u8)run(p, 0, 0).rax, i * 5 & 8 ? (u8)(u64)p : 0x77 + which);
	}
}

/* Executed for longer than it is treated as code that changes, and changed again. */
static void peace(void)
{
	for (u32 round = 0; round < 3; round++) {
		u64 end = rdtsc() + (1ull << 29);

		warm(page + 1800);
		while (rdtsc() < end)
			CHECK_EQ((u8)run(page + 1800, 0, 0).rax, (u8)(WARM - 1));
		outb(0x80, 0);
		versions();
	}
}

/* The same where no store came near for a while: nothing is known of the page. */
static void cold_flags(void)
{
	page = (u8 *)page_alloc();
	page_alloc();
	flags_live(3); /* dead at first */
}

int guest_main(void)
{
	page = (u8 *)page_alloc();
	CHECK_EQ(page_alloc(), (u64)page + 4096);
	other = (u8 *)page_alloc();
	WRITE_CR(0, READ_CR(0) & ~CR0_WP);
	for (u32 round = 0; round < 2; round++) {
		warm(page + 32);
		if (round)
			warm(page + 4096 + 64);
		immediates();
		versions();
		for (u32 way = 0; way < 3; way++)
			next_instruction(way);
		next_by_string();
		loop_changes_itself();
		flags_live(0);
		branches();
		for (u32 head = 1; head < 5; head++)
			spanning(head);
		alias();
		remap();
		spanning_remapped();
	}
	peace();
	cold_flags();
	return 0;
}
