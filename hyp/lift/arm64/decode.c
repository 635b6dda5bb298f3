/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decode table and its reader. The bit strings of a64_*.inc are taken apart once, into mask, value and
 * the places of the fields; an index by bits 31:21 then leaves few rows to try. A row that cannot be parsed
 * is a bug that the first call reports (a64_table_fault): tests ask for it.
 */
#include "hyp/lift/arm64/lift.h"

#include <pthread.h>
#include <string.h>

const struct a64_enc a64_table[] = {
#define A64(name, bits, text, lifter, feature) { #name, bits, text, lifter, feature, A64_CHAPTER },
#include "hyp/lift/arm64/a64.inc"
#undef A64
};
const unsigned a64_nr_rows = ARRAY_SIZE(a64_table);

#define NR_ROWS ARRAY_SIZE(a64_table)
#define ROW_FIELDS 14
#define INDEX_SHIFT 21
#define INDEX_SIZE (1u << (32 - INDEX_SHIFT))

struct row {
	u32 mask, value;     /* bits that decide */
	u32 should, should_be; /* (0), (1) */
	u8 nr_fields;
	struct {
		u8 field, lsb, width;
	} field[ROW_FIELDS];
};

static const struct {
	const char *name;
	u8 width;
} fields[] = {
#define FIELD(name, width) { #name, width },
#include "hyp/lift/arm64/fields.inc"
#undef FIELD
};

static struct row rows[NR_ROWS];
static struct {
	u16 start, count;
} index_of[INDEX_SIZE];
static u16 candidates[1u << 16];
static const char *fault;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- taking a bit string apart ---- */

static int field_by_name(const char *s, size_t len)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		if (strlen(fields[i].name) == len && !memcmp(fields[i].name, s, len))
			return (int)i;
	return -1;
}

/* One bit of the pattern; lsb counts down from 32. */
static bool add_bit(struct row *r, int *lsb, char c)
{
	if (--*lsb < 0)
		return false;
	if (c != 'x') {
		r->mask |= 1u << *lsb;
		r->value |= (u32)(c == '1') << *lsb;
	}
	return true;
}

/* "name", "name:width" or "name=bits". */
static const char *add_field(struct row *r, int *lsb, const char *s)
{
	size_t len = strcspn(s, " :=(");
	int f = field_by_name(s, len);
	if (f < 0 || r->nr_fields == ROW_FIELDS)
		return NULL;

	unsigned width = fields[f].width;
	const char *end = s + len;
	if (*end == ':') {
		width = (unsigned)(end[1] - '0');
		end += 2;
	}
	const char *bits = *end == '=' ? end + 1 : NULL;
	if (bits)
		width = (unsigned)strspn(bits, "01x");
	if (!width || (int)width > *lsb)
		return NULL;
	r->field[r->nr_fields].field = (u8)f;
	r->field[r->nr_fields].lsb = (u8)(*lsb - (int)width);
	r->field[r->nr_fields++].width = (u8)width;
	if (!bits) {
		*lsb -= (int)width;
		return end;
	}
	for (unsigned i = 0; i < width; i++)
		add_bit(r, lsb, bits[i]);
	return bits + width;
}

static bool parse_row(struct row *r, const char *s)
{
	int lsb = 32;

	while (*s) {
		if (*s == ' ') {
			s++;
		} else if (*s == '(') { /* should-be bits do not decide */
			if (!add_bit(r, &lsb, 'x'))
				return false;
			r->should |= 1u << lsb;
			r->should_be |= (u32)(s[1] == '1') << lsb;
			s += 3;
		} else if (*s == '0' || *s == '1' || (*s == 'x' && (s[1] == ' ' || s[1] == 'x'))) {
			if (!add_bit(r, &lsb, *s++))
				return false;
		} else if (!(s = add_field(r, &lsb, s))) {
			return false;
		}
	}
	return lsb == 0;
}

/* ---- the index ---- */

static unsigned fill_index(unsigned slot, unsigned at)
{
	u32 bits = slot << INDEX_SHIFT, top = ~0u << INDEX_SHIFT;

	index_of[slot].start = (u16)at;
	for (unsigned i = 0; i < NR_ROWS && at < ARRAY_SIZE(candidates); i++)
		if ((bits & rows[i].mask & top) == (rows[i].value & top))
			candidates[at++] = (u16)i;
	index_of[slot].count = (u16)(at - index_of[slot].start);
	return at;
}

static void init(void)
{
	unsigned at = 0;

	for (unsigned i = 0; i < NR_ROWS; i++)
		if (!parse_row(&rows[i], a64_table[i].bits))
			fault = a64_table[i].name;
	for (unsigned slot = 0; slot < INDEX_SIZE; slot++)
		at = fill_index(slot, at);
	if (at == ARRAY_SIZE(candidates))
		fault = "index too small";
}

const char *a64_table_fault(void)
{
	pthread_once(&once, init);
	return fault;
}

void a64_row_bits(unsigned row, u32 *mask, u32 *value)
{
	pthread_once(&once, init);
	*mask = rows[row].mask;
	*value = rows[row].value;
}

void a64_row_should_be(unsigned row, u32 *mask, u32 *value)
{
	pthread_once(&once, init);
	*mask = rows[row].should;
	*value = rows[row].should_be;
}

int a64_row_field(unsigned row, enum a64_field f, unsigned *width)
{
	for (unsigned i = 0; i < rows[row].nr_fields; i++) {
		if (rows[row].field[i].field != f)
			continue;
		*width = rows[row].field[i].width;
		return rows[row].field[i].lsb;
	}
	return -1;
}

static void take_fields(const struct row *r, struct a64_insn *out)
{
	memset(out->f, 0, sizeof(out->f));
	for (unsigned i = 0; i < r->nr_fields; i++)
		out->f[r->field[i].field] = out->raw >> r->field[i].lsb & ((1u << r->field[i].width) - 1);
}

const struct a64_enc *a64_decode(u32 raw, struct a64_insn *out)
{
	pthread_once(&once, init);
	out->raw = raw;
	out->enc = NULL;
	const u16 *c = candidates + index_of[raw >> INDEX_SHIFT].start;
	const u16 *end = c + index_of[raw >> INDEX_SHIFT].count;
	for (; c < end; c++) {
		const struct row *r = &rows[*c];
		if ((raw & r->mask) != r->value)
			continue;
		out->enc = &a64_table[*c];
		take_fields(r, out);
		return out->enc;
	}
	return NULL;
}
