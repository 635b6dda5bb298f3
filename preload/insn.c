/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proof that bytes are an instruction (insn.h). `0f a2` in a text segment may be CPUID, or the middle of
 * something else, or data. Two ways of reading a function must agree: from its first byte one instruction
 * after the other, and along its branches.
 */
#include "preload/insn.h"

#include <Zydis/Zydis.h>
#include <stddef.h>
#include <string.h>

#define FUNCTION_MAX 65536 /* bytes; longer functions prove nothing */
#define WORK_MAX 4096      /* branch targets to be followed */

/* DWARF's pointer encodings (LSB core specification, .eh_frame_hdr). */
#define PCREL_SDATA4 0x1b
#define UDATA4 0x03
#define DATAREL_SDATA4 0x3b

struct function {
	const uint8_t *start;
	size_t len;
	uint8_t first[FUNCTION_MAX / 8];   /* bit: an instruction begins here */
	uint8_t reached[FUNCTION_MAX / 8]; /* bit: control flow comes here */
	uint32_t work[WORK_MAX];
	unsigned n_work;
};

bool function_table_init(struct function_table *t, uintptr_t hdr)
{
	const uint8_t *p = (const uint8_t *)hdr;
	uint32_t n;

	if (p[0] != 1 || p[1] != PCREL_SDATA4 || p[2] != UDATA4 || p[3] != DATAREL_SDATA4)
		return false;
	memcpy(&n, p + 8, sizeof(n));
	t->header = hdr;
	t->row = (const int32_t(*)[2])(p + 12);
	t->n = n;
	return n > 0;
}

/* The last function that begins at or before `site`, with the length its description gives. */
static bool find_function(const struct function_table *t, const uint8_t *site, struct function *f)
{
	unsigned lo = 0, hi = t->n;
	const uint8_t *fde;
	uint32_t range;
	int32_t rel;

	while (hi - lo > 1) {
		unsigned mid = lo + (hi - lo) / 2;

		if (t->header + (uintptr_t)(intptr_t)t->row[mid][0] <= (uintptr_t)site)
			lo = mid;
		else
			hi = mid;
	}
	f->start = (const uint8_t *)(t->header + (uintptr_t)(intptr_t)t->row[lo][0]);
	fde = (const uint8_t *)(t->header + (uintptr_t)(intptr_t)t->row[lo][1]);
	memcpy(&rel, fde + 8, sizeof(rel)); /* behind length and CIE pointer: where it begins, and how long */
	memcpy(&range, fde + 12, sizeof(range));
	f->len = range;
	/* That the beginning comes out right says that the encoding is the one supposed. */
	return fde + 8 + rel == f->start && range <= FUNCTION_MAX && site >= f->start &&
	       site < f->start + range && f->start >= t->text && f->start + range <= t->text_end;
}

static bool test(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static void set(uint8_t *bits, size_t i)
{
	bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

static bool decode(const struct function *f, size_t at, ZydisDecodedInstruction *in)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, f->start + at, f->len - at, in));
}

/* The target of a direct branch as an offset into the function; false for every other instruction. */
static bool branch_target(const ZydisDecodedInstruction *in, size_t at, int64_t *target)
{
	if (!(in->attributes & ZYDIS_ATTRIB_IS_RELATIVE) || !in->raw.imm[0].is_relative)
		return false;
	*target = (int64_t)at + in->length + in->raw.imm[0].value.s;
	return true;
}

static bool read_in_order(struct function *f)
{
	ZydisDecodedInstruction in;

	for (size_t at = 0; at < f->len; at += in.length) {
		if (!decode(f, at, &in))
			return false;
		set(f->first, at);
	}
	return true;
}

static bool branches_meet_instructions(struct function *f)
{
	ZydisDecodedInstruction in;
	int64_t target;

	for (size_t at = 0; at < f->len; at += in.length)
		if (!decode(f, at, &in) || (branch_target(&in, at, &target) && target >= 0 &&
					    target < (int64_t)f->len && !test(f->first, (size_t)target)))
			return false;
	return true;
}

static bool goes_on(const ZydisDecodedInstruction *in)
{
	return in->meta.category != ZYDIS_CATEGORY_UNCOND_BR && in->meta.category != ZYDIS_CATEGORY_RET &&
	       in->mnemonic != ZYDIS_MNEMONIC_UD2 && in->mnemonic != ZYDIS_MNEMONIC_HLT;
}

/* Follows one path until it ends or meets another; branches off it are noted. False: too many. */
static bool follow(struct function *f, size_t at)
{
	ZydisDecodedInstruction in;
	int64_t target;

	for (; at < f->len && !test(f->reached, at); at += in.length) {
		if (!test(f->first, at) || !decode(f, at, &in))
			return false;
		set(f->reached, at);
		if (branch_target(&in, at, &target) && target >= 0 && target < (int64_t)f->len) {
			if (f->n_work == WORK_MAX)
				return false;
			f->work[f->n_work++] = (uint32_t)target;
		}
		if (!goes_on(&in))
			break;
	}
	return true;
}

static bool follow_all(struct function *f)
{
	bool ok = follow(f, 0);

	while (ok && f->n_work)
		ok = follow(f, f->work[--f->n_work]);
	return ok;
}

bool insn_is_proven(const struct function_table *t, const uint8_t *site)
{
	static struct function f; /* one thread: the constructor's */

	memset(&f, 0, sizeof(f));
	return find_function(t, site, &f) && read_in_order(&f) && branches_meet_instructions(&f) &&
	       follow_all(&f) && test(f.reached, (size_t)(site - f.start));
}
