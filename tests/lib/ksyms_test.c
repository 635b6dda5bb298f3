/* SPDX-License-Identifier: Apache-2.0 */
/* lib/ksyms.c on images made here, in each layout, and on maps. The stock kernel's: tests/cli/boot_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ksyms.h"

#define BASE 0xffffffff9d400000ull
#define IMAGE (1u << 20)
#define N 1000u

enum layout { OLD, OLD_SEQUENCE, NEW };

struct image {
	u8 *mem;
	size_t at;
	u32 marker[N / 256 + 1];
};

static void put(struct image *m, const void *data, size_t len)
{
	assert_true(m->at + len <= IMAGE);
	memcpy(m->mem + m->at, data, len);
	m->at += len;
}

static void put32(struct image *m, u32 v)
{
	put(m, &v, sizeof(v));
}

static void align(struct image *m)
{
	m->at = ALIGN_UP(m->at, 8);
}

/* Token i is character i, but for some that are words. */
static const char *token(unsigned i)
{
	static char text[2];

	switch (i) {
	case 0: return "Tsym_";
	case 1: return "tstatic_";
	case 2: return "long_";
	default: text[0] = (char)i; return text;
	}
}

static void put_tokens(struct image *m)
{
	u16 index[256];
	size_t start = m->at;

	for (unsigned i = 0; i < 256; i++) {
		index[i] = (u16)(m->at - start);
		put(m, token(i), strlen(token(i)) + 1);
	}
	align(m);
	put(m, index, sizeof(index));
	align(m);
}

/* Symbol i: sym_<i>; each tenth static_<i>; 500 has a name of two length bytes; each seventh is data. */
static void put_names(struct image *m)
{
	size_t start = m->at;

	for (u32 i = 0; i < N; i++) {
		u8 name[300] = { i % 10 ? 0 : 1 };
		size_t len = 1;

		if (i % 256 == 0)
			m->marker[i / 256] = (u32)(m->at - start);
		if (i % 7 == 0)
			name[0] = 'D';
		if (i == 500) {
			memset(name + 1, 2, 200);
			len = 201;
		}
		len += (size_t)sprintf((char *)name + len, "%u", i);
		put(m, len < 128 ? (u8[]){ (u8)len } : (u8[]){ (u8)(0x80 | (len & 0x7f)), (u8)(len >> 7) },
		    len < 128 ? 1 : 2);
		put(m, name, len);
	}
	align(m);
}

/* The first ten are absolute, as per-CPU variables are. */
static void put_offsets(struct image *m, bool percpu)
{
	u64 base = BASE;

	for (u32 i = 0; i < N; i++)
		put32(m, !percpu ? i * 16 : i < 10 ? i : (u32)-1 - i * 16);
	align(m);
	put(m, &base, sizeof(base));
}

static void put_markers(struct image *m)
{
	put(m, m->marker, sizeof(m->marker));
	align(m);
}

static void put_sequence(struct image *m)
{
	for (u32 i = 0; i < N; i++)
		put(m, (u8[]){ 0, (u8)(i >> 8), (u8)i }, 3);
	align(m);
}

static struct image make(enum layout layout, bool percpu)
{
	struct image m = { .mem = calloc(1, IMAGE), .at = 0x1238 };

	assert_non_null(m.mem);
	put(&m, "0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 20); /* not a token table */
	align(&m);
	if (layout != NEW)
		put_offsets(&m, percpu);
	put32(&m, N);
	align(&m);
	put_names(&m);
	put_markers(&m);
	if (layout == OLD_SEQUENCE)
		put_sequence(&m);
	put_tokens(&m);
	if (layout == NEW)
		put_offsets(&m, percpu);
	return m;
}

static void expect_name(const struct ksyms *k, u64 addr, const char *name, u64 offset)
{
	u64 off = ~0ull;
	const char *got = ksyms_find(k, addr, &off);

	assert_non_null(got);
	assert_string_equal(got, name);
	assert_int_equal(off, offset);
}

static void check_layout(enum layout layout, bool percpu)
{
	struct image m = make(layout, percpu);
	struct ksyms k;
	u64 off;

	assert_int_equal(ksyms_from_memory(&k, m.mem, IMAGE), 0);
	expect_name(&k, BASE + 11 * 16, "sym_11", 0);
	expect_name(&k, BASE + 20 * 16 + 5, "static_20", 5);
	expect_name(&k, BASE + 14 * 16 + 3, "sym_13", 19); /* 14 is data */
	expect_name(&k, BASE + 999 * 16, "sym_999", 0);
	assert_null(ksyms_find(&k, BASE + 0x100000, &off));
	assert_null(ksyms_find(&k, 0, &off));
	assert_int_equal(ksyms_address(&k, "sym_999"), BASE + 999 * 16);
	assert_int_equal(strlen(ksyms_find(&k, BASE + 500 * 16, &off)),
			 strlen("static_500") - 7 + 7 + 200 * 5);
	ksyms_free(&k);
	free(m.mem);
}

static void test_old(void **state)
{
	check_layout(OLD, true);
	check_layout(OLD, false);
}

static void test_sequence(void **state)
{
	check_layout(OLD_SEQUENCE, true);
}

static void test_new(void **state)
{
	check_layout(NEW, true);
	check_layout(NEW, false);
}

/* Every truncation, and damage anywhere: refused, or read, but never beyond the end (ASan looks). */
static void test_damaged(void **state)
{
	struct image m = make(OLD_SEQUENCE, true);
	struct ksyms k;

	for (size_t len = 0; len < m.at; len += 509) {
		u8 *exact = malloc(len ? len : 1);

		memcpy(exact, m.mem, len);
		assert_int_equal(ksyms_from_memory(&k, exact, len), -ENOENT);
		free(exact);
	}
	srand(1);
	for (int i = 0; i < 300; i++) {
		size_t at = 0x1200 + (size_t)rand() % (m.at - 0x1200);
		u8 was = m.mem[at];

		m.mem[at] = (u8)rand();
		if (!ksyms_from_memory(&k, m.mem, m.at))
			ksyms_free(&k);
		m.mem[at] = was;
	}
	free(m.mem);
}

static void test_map(void **state)
{
	static const char text[] =
		"0000000000000000 D percpu\nffffffff81000040 t second\r\nffffffff81000000 T _text\n"
		"ffffffff82000000 D data\nffffffff81000100 W weak\t[module]\n";
	struct ksyms k;

	assert_int_equal(ksyms_from_map(&k, text, sizeof(text) - 1), 0);
	expect_name(&k, 0xffffffff81000001, "_text", 1);
	expect_name(&k, 0xffffffff810000ff, "second", 0xbf);
	ksyms_move(&k, 0x1000);
	expect_name(&k, 0xffffffff81001040, "second", 0);
	ksyms_free(&k);
	assert_int_equal(ksyms_from_map(&k, "hello\n", 6), -EINVAL);
	assert_int_equal(ksyms_from_map(&k, "ffffffff81000000 T a\nhello\n", 27), -EINVAL);
	assert_int_equal(ksyms_from_map(&k, "", 0), -EINVAL);
	assert_int_equal(ksyms_from_map(&k, "ffffffffffffffff B The real one is elsewhere\n", 45), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_old),	 cmocka_unit_test(test_sequence), cmocka_unit_test(test_new),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_map),
	};

	return cmocka_run_group_tests_name("lib_ksyms", tests, NULL, NULL);
}
