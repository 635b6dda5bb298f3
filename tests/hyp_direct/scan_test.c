/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of user code may run directly (hyp/direct/x86/scan.h). */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "hyp/direct/x86/scan.h"

/* The page in question and its neighbours, full of NOP; ADD EAX,EDX; MOV RAX,[RSP+8]. */
static u8 pages[3 * PAGE_SIZE];
static u8 *const prev = pages, *const page = pages + PAGE_SIZE, *const next = pages + 2 * PAGE_SIZE;

static void fill(void)
{
	static const u8 code[] = {0x90, 0x01, 0xd0, 0x48, 0x8b, 0x44, 0x24, 0x08};

	for (unsigned i = 0; i < sizeof(pages); i++)
		pages[i] = code[i % sizeof(code)];
}

/* The instructions that stand at a multiple of 8 bytes from the page's beginning, which may be negative. */
static void put(int at, const u8 *bytes, unsigned n)
{
	unsigned room = ALIGN_UP(n, 8);

	assert_int_equal(at & 7, 0);
	memset(page + at, 0x90, room);
	memcpy(page + at, bytes, n);
}

static bool scan(unsigned flags)
{
	return hyp_scan_page_between(prev, page, next, flags, NULL);
}

struct sample {
	const char *name;
	u8 bytes[12];
	u8 n;
	unsigned flags; /* those under which it is allowed and refused, respectively; 0: always */
};

static const struct sample refused[] = {
	{"sgdt (%rax)", {0x0f, 0x01, 0x00}, 3},
	{"sidt 16(%rsp)", {0x0f, 0x01, 0x4c, 0x24, 0x10}, 5},
	{"smsw %ax", {0x66, 0x0f, 0x01, 0xe0}, 4},
	{"smsw (%r9)", {0x41, 0x0f, 0x01, 0x21}, 4},
	{"vmcall", {0x0f, 0x01, 0xc1}, 3},
	{"xgetbv", {0x0f, 0x01, 0xd0}, 3},
	{"vmfunc", {0x0f, 0x01, 0xd4}, 3},
	{"vmmcall", {0x0f, 0x01, 0xd9}, 3},
	{"rdpkru", {0x0f, 0x01, 0xee}, 3},
	{"wrpkru", {0x0f, 0x01, 0xef}, 3},
	{"rdtscp", {0x0f, 0x01, 0xf9}, 3},
	{"monitorx", {0x0f, 0x01, 0xfa}, 3},
	{"rdpru", {0x0f, 0x01, 0xfd}, 3},
	{"lar %cx,%eax", {0x0f, 0x02, 0xc1}, 3},
	{"lsl %eax,%ecx", {0x0f, 0x03, 0xc8}, 3},
	{"lsl (%r8),%r9", {0x4d, 0x0f, 0x03, 0x08}, 4},
	{"rdtsc", {0x0f, 0x31}, 2},
	{"rdpmc", {0x0f, 0x33}, 2},
	{"sysenter", {0x0f, 0x34}, 2},
	{"cpuid", {0x0f, 0xa2}, 2},
	{"int $0x80", {0xcd, 0x80}, 2},
	{"mov $336,%rax; syscall", {0x48, 0xc7, 0xc0, 0x50, 0x01, 0x00, 0x00, 0x0f, 0x05}, 9},
	{"mov $335,%eax; syscall", {0xb8, 0x4f, 0x01, 0x00, 0x00, 0x0f, 0x05}, 7},
	{"cpuid with prefixes", {0x66, 0xf2, 0x48, 0x0f, 0xa2}, 5},
	{"rdpid %rax", {0xf3, 0x0f, 0xc7, 0xf8}, 4},
	{"rdpid %r10", {0xf3, 0x41, 0x0f, 0xc7, 0xfa}, 5},
	{"rdfsbase %rax", {0xf3, 0x48, 0x0f, 0xae, 0xc0}, 5, SCAN_NO_FSGSBASE},
	{"wrgsbase %r8d", {0xf3, 0x41, 0x0f, 0xae, 0xd8}, 5, SCAN_NO_FSGSBASE},
	{"xsave (%rdi)", {0x0f, 0xae, 0x27}, 3, SCAN_NO_XSAVE},
	{"xrstor64 64(%rsp)", {0x48, 0x0f, 0xae, 0x6c, 0x24, 0x40}, 6, SCAN_NO_XSAVE},
	{"xsaveopt (%rdi)", {0x0f, 0xae, 0x37}, 3, SCAN_NO_XSAVE},
	{"xsavec (%rdi)", {0x0f, 0xc7, 0x27}, 3, SCAN_NO_XSAVE},
};

/* What runs as in the guest, or faults; and finds that are not the beginning of an instruction. */
static const struct sample allowed[] = {
	{"syscall", {0x0f, 0x05}, 2},
	{"mov $337,%eax; syscall", {0xb8, 0x51, 0x01, 0x00, 0x00, 0x0f, 0x05}, 7},
	{"int $0x81", {0xcd, 0x81}, 2},
	{"mov $0x80cd,%eax", {0xb8, 0xcd, 0x80, 0x00, 0x00}, 5},
	{"sldt %eax", {0x0f, 0x00, 0xc0}, 3},
	{"str (%rdx)", {0x0f, 0x00, 0x0a}, 3},
	{"verr %cx", {0x0f, 0x00, 0xe1}, 3},
	{"verw 8(%rax)", {0x0f, 0x00, 0x68, 0x08}, 4},
	{"lldt %ax", {0x0f, 0x00, 0xd0}, 3},
	{"lgdt (%rax)", {0x0f, 0x01, 0x10}, 3},
	{"invlpg (%rax)", {0x0f, 0x01, 0x38}, 3},
	{"xsetbv", {0x0f, 0x01, 0xd1}, 3},
	{"xtest", {0x0f, 0x01, 0xd6}, 3},
	{"swapgs", {0x0f, 0x01, 0xf8}, 3},
	{"clzero", {0x0f, 0x01, 0xfc}, 3},
	{"rdmsr", {0x0f, 0x32}, 2},
	{"lfence", {0x0f, 0xae, 0xe8}, 3},
	{"mfence", {0x0f, 0xae, 0xf0}, 3},
	{"ldmxcsr (%rax)", {0x0f, 0xae, 0x10}, 3},
	{"cmpxchg16b (%rsi)", {0x48, 0x0f, 0xc7, 0x0e}, 4},
	{"rdrand %eax", {0x0f, 0xc7, 0xf0}, 3},
	{"rdseed %eax", {0x0f, 0xc7, 0xf8}, 3},
	{"and $0xfff,%eax", {0x25, 0xff, 0x0f, 0x00, 0x00}, 5},
	{"mov $0xa20f,%ecx", {0xb9, 0x0f, 0xa2, 0x00, 0x00}, 5},
	{"mov $0x90310f0190310f90,%rax", {0x48, 0xb8, 0x90, 0x0f, 0x31, 0x90, 0x01, 0x0f, 0x31, 0x90}, 10},
	{"call with cpuid in it", {0xe8, 0x90, 0x90, 0x0f, 0xa2}, 5},
	{"movaps 0x310f(%rip),%xmm0", {0x0f, 0x28, 0x05, 0x0f, 0x31, 0x00, 0x00}, 7},
	{"vaddps with 0f 01 d0 in the displacement", {0xc5, 0xfc, 0x58, 0x80, 0x0f, 0x01, 0xd0, 0x00}, 8},
	{"rdtsc where it faults", {0x0f, 0x31}, 2, SCAN_TSC_FAULTS},
	{"rdtscp where it faults", {0x0f, 0x01, 0xf9}, 3, SCAN_TSC_FAULTS},
	{"cpuid where it faults", {0x0f, 0xa2}, 2, SCAN_CPUID_FAULTS},
};

static const unsigned offsets[] = {16, 64, 1000, 2048, 4072};

static void check_sample(const struct sample *s, unsigned flags, bool expected)
{
	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		fill();
		assert_true(scan(~0u));
		put(offsets[i], s->bytes, s->n);
		if (scan(flags) != expected)
			fail_msg("%s at %u with flags %#x", s->name, offsets[i], flags);
	}
}

static void test_refused(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		check_sample(&refused[i], refused[i].flags, false);
		if (refused[i].flags)
			check_sample(&refused[i], 0, true);
	}
}

static void test_allowed(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(allowed); i++)
		check_sample(&allowed[i], allowed[i].flags | SCAN_NO_FSGSBASE | SCAN_NO_XSAVE, true);
}

/* With no neighbours known, what may go on in the next page is refused. */
static void test_page_end(void **state)
{
	static const u8 and[] = {0x25, 0xff, 0x0f};

	fill();
	assert_true(hyp_scan_page(page, 0));
	page[PAGE_SIZE - 1] = 0x0f; /* in the place of MOV's displacement */
	assert_true(hyp_scan_page(page, 0));
	memset(page + PAGE_SIZE - 8, 0x90, 7);
	assert_false(hyp_scan_page(page, 0));
	next[0] = 0xa2;
	assert_false(scan(0));
	next[0] = 0x84; /* JZ */
	assert_true(scan(0));
	page[PAGE_SIZE - 2] = 0x0f, page[PAGE_SIZE - 1] = 0x01;
	assert_false(hyp_scan_page(page, 0));
	next[0] = 0xd0; /* XGETBV */
	assert_false(scan(0));
	next[0] = 0xf8; /* SWAPGS */
	assert_true(scan(0));
	memcpy(page + PAGE_SIZE - 3, and, 3); /* goes on in the next page, and is no other */
	assert_true(hyp_scan_page(page, 0));
}

static void test_page_begin(void **state)
{
	fill();
	prev[PAGE_SIZE - 2] = 0x25, prev[PAGE_SIZE - 1] = 0xff; /* AND $0x310fff,%eax */
	page[0] = 0x0f, page[1] = 0x31, page[2] = 0, page[3] = 0x90;
	memset(prev + PAGE_SIZE - 8, 0x90, 6);
	assert_false(hyp_scan_page(page, 0));
	assert_true(scan(0));
	prev[PAGE_SIZE - 2] = 0x90, prev[PAGE_SIZE - 1] = 0x90; /* RDTSC */
	assert_false(scan(0));
	page[0] = 0x90, page[1] = 0x0f, page[2] = 0xc7, page[3] = 0xf8; /* RDSEED, and RDPID behind an F3 */
	assert_true(scan(0));
	memcpy(page, "\x0f\xc7\xf8\x90", 4);
	assert_true(scan(0));
	prev[PAGE_SIZE - 1] = 0xf3;
	assert_false(scan(0));
	prev[PAGE_SIZE - 2] = 0xf3, prev[PAGE_SIZE - 1] = 0x49;
	assert_false(scan(0));
	prev[PAGE_SIZE - 2] = 0xf3, prev[PAGE_SIZE - 1] = 0x90; /* PAUSE */
	assert_true(scan(0));
}

/* In code without doubt an instruction can be replaced; among bytes that might be a table it is not. */
static void test_replaced(void **state)
{
	static const u8 code[] = {0x53, 0x48, 0x89, 0xfe, 0x31, 0xc9, 0x31, 0xc0, 0x0f, 0xa2, 0x89, 0x06, 0x89, 0x5e,
				  0x04, 0x89, 0x4e, 0x08, 0x89, 0x56, 0x0c, 0x5b, 0xc3};
	struct hyp_scan_patch patch;

	fill();
	memcpy(page + 1024, code, sizeof(code));
	assert_false(scan(0));
	assert_true(hyp_scan_page_between(prev, page, next, 0, &patch));
	assert_int_equal(patch.n, 1);
	assert_int_equal(patch.at[0], 1024 + 8);
	for (unsigned i = 0; i < 512; i++)
		page[768 + i] = (u8)(i * 37 + (i >> 3) * 101); /* no ordinary code any more */
	page[1032] = 0x0f, page[1033] = 0xa2;
	assert_false(scan(0));
	assert_false(hyp_scan_page_between(prev, page, next, 0, &patch));
	fill();
	page[100] = 0x0f, page[101] = 0x31; /* RDTSC */
	assert_false(scan(0));
	assert_true(scan(SCAN_SAME_TSC));
}

/* Code that begins behind data, with the find soon after: the vDSO of Linux 6.18, .eh_frame before .text. */
static void test_behind_data(void **state)
{
	static const u8 data[] = {
		0x08, 0x07, 0x08, 0x55, 0x0b, 0x02, 0x5e, 0x0a, 0xc3, 0x42, 0xcc, 0x42, 0xcd, 0x42, 0xce, 0x42,
		0xcf, 0x41, 0xc6, 0x0c, 0x07, 0x08, 0x55, 0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x8b, 0x15, 0x7a, 0xd8, 0xff, 0xff, 0x48, 0x8d, 0x35, 0x73, 0xd8, 0xff, 0xff, 0xf6, 0x46, 0x1d,
		0x01, 0x74, 0x63, 0x89, 0xd7, 0x83, 0xe7, 0xfe, 0x0f, 0x01, 0xf9, 0x66, 0x90, 0x90, 0x90, 0x90,
	};

	for (unsigned n = 32; n <= 4000; n += 16) {
		fill();
		memset(page, 0x06, n); /* no instruction */
		put(n, data, sizeof(data));
		assert_false(scan(0));
		assert_true(scan(SCAN_TSC_FAULTS));
	}
}

/* ---- random code ---- */

static u32 seed = 1;

static u32 rnd(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* Instructions with `imm` bytes behind `n`. */
static const struct {
	u8 bytes[6];
	u8 n, imm;
} templates[] = {
	{{0x90}, 1, 0},
	{{0x55}, 1, 0},
	{{0x48, 0x89, 0xe5}, 3, 0},
	{{0x48, 0xb8}, 2, 8},             /* mov $,%rax */
	{{0xb9}, 1, 4},                   /* mov $,%ecx */
	{{0x81, 0xe1}, 2, 4},             /* and $,%ecx */
	{{0xe8}, 1, 4},                   /* call */
	{{0x0f, 0x84}, 2, 4},             /* jz */
	{{0x74}, 1, 1},                   /* jz */
	{{0x48, 0x8b, 0x05}, 3, 4},       /* mov (%rip),%rax */
	{{0x8b, 0x44, 0x24}, 3, 1},       /* mov (%rsp),%eax */
	{{0x48, 0x8d, 0x84, 0x24}, 4, 4}, /* lea (%rsp),%rax */
	{{0xc7, 0x85}, 2, 8},             /* movl $,(%rbp) */
	{{0x0f, 0xb6, 0xc0}, 3, 0},
	{{0x0f, 0x1f, 0x84, 0x00}, 4, 4}, /* nopl (%rax,%rax) */
	{{0xc5, 0xfd, 0x6f, 0x87}, 4, 4}, /* vmovdqa (%rdi),%ymm0 */
	{{0xc3}, 1, 0},
};

/* One random instruction, its immediates full of what is looked for. */
static unsigned random_insn(u8 *p)
{
	unsigned t = rnd() % ARRAY_SIZE(templates), n = templates[t].n;
	static const u8 tempting[] = {0x0f, 0x0f, 0x0f, 0x00, 0x01, 0x31, 0xa2, 0xd0};

	memcpy(p, templates[t].bytes, n);
	for (unsigned i = 0; i < templates[t].imm; i++)
		p[n++] = rnd() % 4 ? rnd() : tempting[rnd() % ARRAY_SIZE(tempting)];
	return n;
}

/* Three pages of it; with `special` at one place within the middle one. */
static void random_code(const struct sample *special)
{
	unsigned where = PAGE_SIZE + rnd() % (PAGE_SIZE - 16);
	u8 *p = pages, *end = pages + sizeof(pages) - 16;

	memset(pages, 0x90, sizeof(pages));
	while (p < end) {
		if (special && p >= pages + where) {
			memcpy(p, special->bytes, special->n);
			p += special->n;
			special = NULL;
		}
		p += random_insn(p);
	}
}

/* An instruction that a program comes to is never missed, with or without neighbours. */
static void test_never_missed(void **state)
{
	for (unsigned i = 0; i < 6000; i++) {
		const struct sample *s = &refused[i % ARRAY_SIZE(refused)];

		random_code(s);
		if (scan(SCAN_NO_FSGSBASE | SCAN_NO_XSAVE))
			fail_msg("%s missed in case %u", s->name, i);
		if (hyp_scan_page(page, SCAN_NO_FSGSBASE | SCAN_NO_XSAVE))
			fail_msg("%s missed in case %u without neighbours", s->name, i);
	}
}

/* Code that has none is seldom refused, though every page is full of finds. */
static void test_seldom_wrong(void **state)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 2000; i++) {
		random_code(NULL);
		wrong += !scan(0);
	}
	print_message("# %u of 2000 random pages refused\n", wrong);
	assert_in_range(wrong, 0, 100);
}

/* ---- this process' own libraries, judged by decoding them from their beginning ---- */

struct tally {
	unsigned pages, refused, falsely, missed;
};

/* By offset: is an instruction's opcode there? */
static u8 *opcodes_of(const u8 *text, size_t n)
{
	u8 *is_opcode = calloc(1, n + 16);
	ZydisDecodedInstruction z;
	ZydisDecoder dec;

	assert_non_null(is_opcode);
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0; i < n;) {
		if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&dec, NULL, text + i, n - i, &z))) {
			unsigned skip = z.raw.prefix_count;

			is_opcode[i + skip] = 1;
			i += z.length;
		} else
			i++;
	}
	return is_opcode;
}

/* Of those that libraries have: CPUID, RDTSC, XGETBV, RDTSCP, RDPKRU, WRPKRU, LSL. */
static bool tells(const u8 *p)
{
	return p[0] == 0x0f &&
	       (p[1] == 0xa2 || p[1] == 0x31 || p[1] == 0x03 ||
		(p[1] == 0x01 && (p[2] == 0xd0 || p[2] == 0xf9 || p[2] == 0xee || p[2] == 0xef)));
}

static void scan_text(const u8 *text, size_t n, struct tally *t)
{
	u8 *is_opcode = opcodes_of(text, n);

	for (size_t o = 0; o < n; o += PAGE_SIZE) {
		bool ok = hyp_scan_page_between(o ? text + o - PAGE_SIZE : NULL, text + o,
						o + PAGE_SIZE < n ? text + o + PAGE_SIZE : NULL, 0, NULL);
		bool has = false;

		for (size_t i = o; i < o + PAGE_SIZE - 3; i++)
			has |= is_opcode[i] && tells(text + i);
		t->pages++;
		t->refused += !ok;
		t->falsely += !ok && !has;
		t->missed += ok && has;
	}
	free(is_opcode);
}

static void test_own_libc(void **state)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	struct tally t = {0};
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx r-xp", &from, &to) == 2 && strstr(line, "r-xp") &&
		    strstr(line, "/libc.so"))
			scan_text((const u8 *)from, to - from, &t);
	fclose(f);
	print_message("# libc: %u pages, %u refused, %u falsely, %u missed\n", t.pages, t.refused, t.falsely,
		      t.missed);
	if (!t.pages)
		skip();
	assert_int_equal(t.missed, 0);
	assert_in_range(t.falsely, 0, t.pages / 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_page_end),
		cmocka_unit_test(test_page_begin),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_behind_data),
		cmocka_unit_test(test_never_missed),
		cmocka_unit_test(test_seldom_wrong),
		cmocka_unit_test(test_own_libc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
