/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cold code. bench_unit is some hundred compiled functions (bench/unit.py), each called once by
 * unit_all(state, v): a new CPU translates all that is executed, a second run of the same CPU nothing. The
 * difference is what translation costs; the blocks tell what came of it. The host runs the same bytes and
 * must get the same result.
 */
#include <Zydis/Zydis.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench/micro/micro.h"
#include "hyp/rewrite/x86/engine.h"

#define ROUNDS 7
#define STATE_SIZE (1ul << 16)

static u8 *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	u8 *data = malloc(64 << 20);

	if (!f || !data)
		micro_fail(path);
	*size = fread(data, 1, 64 << 20, f);
	fclose(f);
	return data;
}

/* Segments to their addresses; the entry point. */
static u64 load(const char *path)
{
	size_t size;
	u8 *data = read_file(path, &size);
	const Elf64_Ehdr *h = (const void *)data;
	const Elf64_Phdr *p = (const void *)(data + h->e_phoff);
	u64 entry;

	if (size < sizeof(*h) || memcmp(h->e_ident, ELFMAG, SELFMAG) ||
	    h->e_phoff + h->e_phnum * sizeof(*p) > size)
		micro_fail("bench_unit is no ELF file");
	for (; p < (const Elf64_Phdr *)(data + h->e_phoff) + h->e_phnum; p++) {
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_vaddr < MICRO_UNIT || p->p_vaddr + p->p_memsz > MICRO_DATA ||
		    p->p_offset + p->p_filesz > size)
			micro_fail("bench_unit is not where it should be");
		memcpy((void *)p->p_vaddr, data + p->p_offset, p->p_filesz);
	}
	entry = h->e_entry;
	free(data);
	return entry;
}

static void fresh_state(void)
{
	u8 *state = (u8 *)MICRO_DATA;

	memset(state, 0, STATE_SIZE);
	for (unsigned i = 0; i < 4096; i++)
		state[i] = (u8)(i * 37 + (i >> 3));
	memset(state + 64 * 32, 0, STATE_SIZE - 64 * 32); /* doubles start at 0 */
}

static double timed(struct micro *m, u64 entry, u64 *result)
{
	double start;

	fresh_state();
	start = micro_now();
	*result = m ? micro_call(m, true, entry, MICRO_DATA, 1) : micro_call_native(entry, MICRO_DATA, 1);
	return micro_now() - start;
}

/* Host instructions of a block's code. Slow paths stand behind the rest and hold data: counting ends with the
 * first way out. */
static u64 hot_insns(const struct hyp_engine *e, const struct hyp_block *b, const ZydisDecoder *decoder)
{
	u64 n = 0;
	u32 at = b->direct;

	while (at < b->end) {
		ZydisDecodedInstruction insn;
		s32 to;

		if (!ZYAN_SUCCESS(
			    ZydisDecoderDecodeInstruction(decoder, NULL, e->rx + at, b->end - at, &insn)))
			break;
		memcpy(&to, e->rx + at + 1, sizeof(to));
		if (e->rx[at] == 0xe8 && at + 5 + to == e->stub_leave)
			break;
		if (!memcmp(e->rx + at, "\x4c\x8d\x2d\x05\0\0\0\xe9", 8)) /* a cell's miss */
			break;
		n++;
		at += insn.length;
	}
	return n;
}

static void count(struct micro *m, struct micro_cold *out)
{
	const struct hyp_engine *e = m->cpu->engine;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (u32 i = 0; i < e->n_blocks; i++) {
		const struct hyp_block *b = &e->blocks[i];

		out->blocks++;
		out->insns += b->n_insns;
		out->guest_bytes += b->guest_len;
		out->host_bytes += b->end - b->ind;
		out->hot_insns += hot_insns(e, b, &decoder);
	}
}

void micro_cold(struct micro *m, const char *unit, struct micro_cold *out)
{
	double cold[ROUNDS], warm[ROUNDS], native[ROUNDS];
	u64 entry = load(unit), host, first, second;

	*out = (struct micro_cold){ 0 };
	for (unsigned r = 0; r < ROUNDS; r++) {
		micro_cpu_destroy(m);
		micro_cpu_create(m);
		native[r] = timed(NULL, entry, &host);
		cold[r] = timed(m, entry, &first);
		warm[r] = timed(m, entry, &second);
		if (first != host || second != host)
			micro_fail("bench_unit: results differ");
	}
	out->native = micro_median(native, ROUNDS);
	out->cold = micro_median(cold, ROUNDS);
	out->warm = micro_median(warm, ROUNDS);
	count(m, out);
}
