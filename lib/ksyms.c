/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of a Linux kernel. The tables in its memory (written by its scripts/kallsyms.c) have no label that
 * could be looked for, but one of them is like nothing else: the token table, 256 strings, of which those for
 * the characters 0 to 9 are these characters. From there the others are found by their places:
 *
 *   Linux 6.1:    offsets, relative base, number, names, markers, token table, token index
 *   6.1.y, 6.2:   the same, with the sequence (3 bytes a symbol) behind the markers
 *   since 6.4:    number, names, markers, token table, token index, offsets, relative base
 *
 * each aligned to 8 bytes. A name is a length (one byte, or two with bit 7 of the first set) and as many
 * tokens; its first character is the symbol's type. markers[i] is where name 256 * i begins. Every step is
 * proven by what the next one finds: the token index must name the tokens, the markers the names.
 *
 * An offset is from the relative base; or, with CONFIG_KALLSYMS_ABSOLUTE_PERCPU, -1 - offset is, where it
 * is negative, and it is an address itself where it is not.
 */
#include "lib/ksyms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0" "7\0" "8\0" "9"
#define MAX_TOKEN 64
#define MIN_SYMBOLS 256u
#define MAX_SYMBOLS (1u << 20)
#define KERNEL_HALF 0xffff800000000000ull

struct tables {
	const u8 *mem, *end;
	const u8 *tokens, *names, *markers, *number;
	const u8 *offsets, *base;
	u16 index[256];
	u32 n;
};

static u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u64 get64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---- the list under construction ---- */

static bool is_code(char type)
{
	return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

static bool reserve(void **p, size_t *max, size_t want, size_t size)
{
	size_t now = MAX(want, *max * 2);
	void *bigger;

	if (want <= *max)
		return true;
	bigger = realloc(*p, now * size);
	if (!bigger)
		return false;
	*p = bigger;
	*max = now;
	return true;
}

static int add(struct ksyms *k, u64 addr, const char *name, size_t len)
{
	if (!reserve((void **)&k->sym, &k->max, k->n + 1, sizeof(*k->sym)) ||
	    !reserve((void **)&k->names, &k->names_max, k->names_len + len + 1, 1))
		return -ENOMEM;
	k->sym[k->n++] = (struct ksym){ addr, (u32)k->names_len };
	memcpy(k->names + k->names_len, name, len);
	k->names[k->names_len + len] = '\0';
	k->names_len += len + 1;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct ksym *x = a, *y = b;

	return x->addr != y->addr ? (x->addr < y->addr ? -1 : 1) : (x->name > y->name) - (x->name < y->name);
}

/* The last symbol's end is not told; _einittext and the like are symbols themselves. */
static int finish(struct ksyms *k, int err)
{
	if (err || !k->n) {
		ksyms_free(k);
		return err ? err : -ENOENT;
	}
	qsort(k->sym, k->n, sizeof(*k->sym), by_address);
	k->end = k->sym[k->n - 1].addr + PAGE_SIZE;
	return 0;
}

/* ---- the tables in memory ---- */

/* From the token '0' back to token 1: 47 strings. */
static const u8 *second_token(const struct tables *t, const u8 *zero)
{
	const u8 *p = zero;

	for (int i = '0'; i > 1; i--) {
		const u8 *floor = p - t->mem > MAX_TOKEN ? p - MAX_TOKEN : t->mem + 1;

		for (p--; p > floor && p[-1]; p--)
			;
		if (p <= floor)
			return NULL;
	}
	return p;
}

static bool tokens_at(struct tables *t, const u8 *p)
{
	const u8 *index;

	t->tokens = p;
	for (int i = 0; i < 256; i++) {
		size_t len = strnlen((const char *)p, (size_t)(t->end - p));

		t->index[i] = (u16)(p - t->tokens);
		p += len + 1;
		if (len > MAX_TOKEN || p >= t->end)
			return false;
	}
	index = t->tokens + ALIGN_UP((u64)(p - t->tokens), 8);
	if ((size_t)(t->end - index) < sizeof(t->index) || memcmp(index, t->index, sizeof(t->index)))
		return false;
	t->offsets = index + sizeof(t->index);
	return true;
}

/* What lies in front of token 0 may be anything; but the table is aligned. */
static bool read_tokens(struct tables *t, const u8 *zero)
{
	const u8 *second = second_token(t, zero), *p;

	if (!second)
		return false;
	p = second - 2;
	for (p -= (p - t->mem) % 8; p >= t->mem && second - p <= MAX_TOKEN; p -= 8)
		if (tokens_at(t, p))
			return true;
	return false;
}

/* Length of a compressed name with its length in front. */
static u32 name_size(const u8 *p)
{
	return p[0] & 0x80 ? 2 + (p[0] & 0x7fu) + (u32)p[1] * 128 : 1 + p[0];
}

/* Do n names from here on lie where the markers say, and end where the markers begin? */
static bool names_fit(const struct tables *t, const u8 *names, u32 n)
{
	const u8 *p = names;

	for (u32 i = 0; i < n; i++) {
		if (p + 2 >= t->markers || !*p)
			return false;
		if (i % 256 == 0 && get32(t->markers + i / 256 * 4) != p - names)
			return false;
		p += name_size(p);
	}
	return p <= t->markers && t->markers - p < 8;
}

/* The number stands in front of the names, whose last 256 are as long as they are. */
static bool read_names(struct tables *t, u32 n_markers)
{
	const u8 *p = t->markers - ALIGN_UP((u64)get32(t->markers + n_markers * 4 - 4), 8), *floor;

	floor = p - t->mem > 256 * 512 ? p - 256 * 512 : t->mem + 8;
	for (; p >= floor; p -= 8) {
		u32 n = get32(p - 8);

		if (get32(p - 4) || n <= (n_markers - 1) * 256 || n > n_markers * 256 || !names_fit(t, p, n))
			continue;
		t->names = p;
		t->number = p - 8;
		t->n = n;
		return n >= MIN_SYMBOLS;
	}
	return false;
}

/* Are these n markers? They ascend from 0. */
static bool markers_at(struct tables *t, const u8 *p, u32 n)
{
	if (p - t->mem < 8 || (p - t->mem) % 8 || get32(p))
		return false;
	for (u32 i = 1; i < n; i++)
		if (get32(p + i * 4) <= get32(p + i * 4 - 4))
			return false;
	t->markers = p;
	return n > 1;
}

/* Markers that end where the token table begins: back to the 0. Padding is 0 as well. */
static bool markers_before_tokens(struct tables *t)
{
	const u8 *end = t->tokens, *p;

	if (end - t->mem < 16)
		return false;
	if (!get32(end - 4))
		end -= 4;
	for (p = end - 4; p >= t->mem + 4 && get32(p) > get32(p - 4); p -= 4)
		;
	return markers_at(t, p, (u32)((end - p) / 4)) && read_names(t, (u32)((end - p) / 4));
}

/* The sequence is between: its length tells the number of symbols and so that of the markers. */
static bool markers_before_sequence(struct tables *t)
{
	u64 max = MIN((u64)(t->tokens - t->mem), MAX_SYMBOLS * 3ul);

	for (u64 size = MIN_SYMBOLS * 3; size < max; size += 8) {
		u32 least = (u32)(size - 7 + 2) / 3, n = (least + 255) / 256,
		    most = (u32)(size / 3 + 255) / 256;

		for (; n <= most; n++) {
			const u8 *p = t->tokens - size - ALIGN_UP(n * 4ul, 8);

			if (markers_at(t, p, n) && read_names(t, n))
				return true;
		}
	}
	return false;
}

/* Most symbols are not absolute, so the offsets' signs tell which way they are written. */
static bool offsets_are_negative(const struct tables *t)
{
	u32 negative = 0;

	for (u32 i = 0; i < t->n; i++)
		negative += (s32)get32(t->offsets + i * 4) < 0;
	return negative > t->n / 2;
}

static u64 address_of(const struct tables *t, u32 i, bool negative)
{
	s32 off = (s32)get32(t->offsets + i * 4);

	if (!negative)
		return get64(t->base) + (u32)off;
	return off < 0 ? get64(t->base) - 1 - (u64)(s64)off : (u64)off;
}

/* Symbols are sorted by address. */
static bool offsets_fit(const struct tables *t)
{
	bool negative;
	u64 last = 0;

	if (get64(t->base) < KERNEL_HALF)
		return false;
	negative = offsets_are_negative(t);
	for (u32 i = 0; i < t->n; i++) {
		u64 addr = address_of(t, i, negative);

		if (addr < last)
			return false;
		last = addr;
	}
	return true;
}

/* Behind the token index, or in front of the number. */
static bool read_offsets(struct tables *t)
{
	u64 size = ALIGN_UP((u64)t->n * 4, 8);

	t->base = t->offsets + size;
	if ((u64)(t->end - t->offsets) >= size + 8 && offsets_fit(t))
		return true;
	t->base = t->number - 8;
	t->offsets = t->base - size;
	return (u64)(t->number - t->mem) >= size + 8 && offsets_fit(t);
}

/* Type and name, expanded. */
static size_t expand(const struct tables *t, const u8 *p, char *out, size_t max)
{
	u32 size = name_size(p), i = p[0] & 0x80 ? 2 : 1;
	size_t len = 0;

	for (; i < size; i++) {
		const char *token = (const char *)t->tokens + t->index[p[i]];

		while (*token && len < max)
			out[len++] = *token++;
	}
	return len;
}

static int collect(struct ksyms *k, const struct tables *t)
{
	bool negative = offsets_are_negative(t);
	const u8 *p = t->names;
	char name[1024];
	int err = 0;

	for (u32 i = 0; i < t->n && !err; i++, p += name_size(p)) {
		size_t len = expand(t, p, name, sizeof(name));

		if (len > 1 && is_code(name[0]))
			err = add(k, address_of(t, i, negative), name + 1, len - 1);
	}
	return err;
}

int ksyms_from_memory(struct ksyms *k, const void *mem, size_t len)
{
	struct tables t = { .mem = mem, .end = (const u8 *)mem + len };
	const u8 *at = mem;

	*k = (struct ksyms){ 0 };
	while ((at = memmem(at, (size_t)(t.end - at), DIGITS, sizeof(DIGITS)))) {
		if (read_tokens(&t, at) && (markers_before_tokens(&t) || markers_before_sequence(&t)) &&
		    read_offsets(&t))
			return finish(k, collect(k, &t));
		at++;
	}
	return -ENOENT;
}

/* ---- System.map ---- */

static int map_line(struct ksyms *k, const char *p, const char *end)
{
	u64 addr = 0;
	const char *start = p;

	for (; p < end && strchr("0123456789abcdefABCDEF", *p); p++)
		addr = addr << 4 | (u64)(*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
	if (p == start || end - p < 4 || p[0] != ' ' || p[2] != ' ')
		return -EINVAL;
	start = p + 3;
	while (end > start && strchr("\t\r ", end[-1]))
		end--;
	return is_code(p[1]) && addr ? add(k, addr, start, (size_t)(end - start)) : 0;
}

int ksyms_from_map(struct ksyms *k, const char *text, size_t len)
{
	const char *end = text + len;
	int err = 0;

	*k = (struct ksyms){ 0 };
	while (text < end && !err) {
		const char *nl = memchr(text, '\n', (size_t)(end - text)) ?: end;

		err = map_line(k, text, nl);
		text = nl + 1;
	}
	err = finish(k, err);
	return err == -ENOENT ? -EINVAL : err;
}

/* ---- questions ---- */

const char *ksyms_find(const struct ksyms *k, u64 addr, u64 *offset)
{
	size_t lo = 0, hi = k->n;

	if (!k->n || addr < k->sym[0].addr || addr >= k->end)
		return NULL;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (k->sym[mid].addr <= addr)
			lo = mid;
		else
			hi = mid;
	}
	while (lo && k->sym[lo - 1].addr == k->sym[lo].addr) /* the first of several names */
		lo--;
	*offset = addr - k->sym[lo].addr;
	return k->names + k->sym[lo].name;
}

u64 ksyms_address(const struct ksyms *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->names + k->sym[i].name, name))
			return k->sym[i].addr;
	return 0;
}

void ksyms_move(struct ksyms *k, u64 by)
{
	for (size_t i = 0; i < k->n; i++)
		k->sym[i].addr += by;
	k->end += by;
}

void ksyms_free(struct ksyms *k)
{
	free(k->sym);
	free(k->names);
	*k = (struct ksyms){ 0 };
}
