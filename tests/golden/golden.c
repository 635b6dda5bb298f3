/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golden DIR [--rebase]
 *
 * Translates a sample of guest instructions and compares the host code, disassembled, with the files
 * DIR/<group>.txt; --rebase writes these anew. It is no test of what is right (tests/diff is) but of what
 * changed: a change of the translator shows in review as the code it makes.
 *
 * What differs from run to run or with the layout of a structure is symbolic: labels for host addresses,
 * names for fields of struct hyp_cpu (gs:[...]), letters for page cells; sites (engine.h) are data behind a
 * call. The host's registers are printed as they are: r14 is S1, r13 S2, r15 the guest's RSP. The checked
 * entry, the same for all, is shown with the first block of a group.
 *
 * Guest bytes are the assembler's: another binutils may choose other encodings.
 */
#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/cell.h"
#include "hyp/rewrite/x86/fast.h"
#include "hyp/rewrite/x86/helpers.h"

#define RAM_SIZE (1ul << 20)
#define GPA 0x10000ul
#define MAX_LABELS 256

/* ---- the guest's code --------------------------------------------------------------------------- */

struct sequence {
	const char *name;
	const u8 *code, *end;
};

#define SEQ(name, text) \
	__asm__(".pushsection .rodata\ngolden_" #name ":\n" text "; ud2\ngolden_end_" #name ":\n.popsection\n");
#include "tests/golden/kernel64.inc"
#include "tests/golden/user64.inc"
#include "tests/golden/user64_cold.inc"
#include "tests/golden/user64_checked.inc"
#undef SEQ
#define SEQ(name, text) \
	__asm__(".pushsection .rodata\n.code32\ngolden_" #name ":\n" text "; ud2\ngolden_end_" #name \
		":\n.code64\n.popsection\n");
#include "tests/golden/user32.inc"
#undef SEQ

#define SEQ(name, text) extern const u8 golden_##name[], golden_end_##name[];
#include "tests/golden/kernel64.inc"
#include "tests/golden/user32.inc"
#include "tests/golden/user64.inc"
#include "tests/golden/user64_cold.inc"
#include "tests/golden/user64_checked.inc"
#undef SEQ

#define SEQ(name, text) { #name, golden_##name, golden_end_##name },
static const struct sequence user64[] = {
#include "tests/golden/user64.inc"
};
static const struct sequence user64_cold[] = {
#include "tests/golden/user64_cold.inc"
};
static const struct sequence user64_checked[] = {
#include "tests/golden/user64_checked.inc"
};
static const struct sequence kernel64[] = {
#include "tests/golden/kernel64.inc"
};
static const struct sequence user32[] = {
#include "tests/golden/user32.inc"
};
#undef SEQ

#define KEY_VECTOR (KEY_SSE | KEY_AVX | KEY_X87 | KEY_TSC)
static const struct group {
	const char *name;
	u64 pc;
	u32 key;
	const struct sequence *seq;
	size_t n;
	bool hot, checked;
} groups[] = {
	{ "user64", 0x401000, HYP_TLB_USER | KEY_VECTOR, user64, ARRAY_SIZE(user64), true },
	{ "user64_cold", 0x7f1234567000, HYP_TLB_USER | KEY_VECTOR, user64_cold, ARRAY_SIZE(user64_cold), false },
	{ "kernel64", 0xffffffff81001000, HYP_TLB_KERNEL | KEY_VECTOR | KEY_CPL0 | KEY_SMAP, kernel64,
	  ARRAY_SIZE(kernel64), false },
	{ "user32", 0x8049000, HYP_TLB_USER | KEY_VECTOR | KEY_CODE32, user32, ARRAY_SIZE(user32), true },
	/* last: the page stays so */
	{ "user64_checked", 0x401000, HYP_TLB_USER | KEY_VECTOR, user64_checked, ARRAY_SIZE(user64_checked), false,
	  true },
};

/* ---- names -------------------------------------------------------------------------------------- */

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					   "r8",  "r9",	 "r10", "r11", "r12", "r13", "r14", "r15" };

/* Fields of struct hyp_cpu that emitted code touches; `each`: an array's element, 0: none. */
#define FIELD(f) { #f, offsetof(struct hyp_cpu, f), sizeof(((struct hyp_cpu *)0)->f), 0 }
#define ARRAY(f) { #f, offsetof(struct hyp_cpu, f), sizeof(((struct hyp_cpu *)0)->f), \
		   sizeof(((struct hyp_cpu *)0)->f[0]) }
static const struct {
	const char *name;
	size_t offset, size, each;
} fields[] = {
	FIELD(s.rflags), FIELD(s.kernel_gs_base), FIELD(s.tsc_offset), FIELD(s.tsc_aux), FIELD(s.shadow),
	FIELD(s.want_irq_window), FIELD(s.want_nmi_window), FIELD(s.want_smi_window), FIELD(s.cr2),
	FIELD(s.cr3), FIELD(s.cr4), FIELD(s.cr0), FIELD(s.seg[X86_ES].base), FIELD(s.seg[X86_CS].base),
	FIELD(s.seg[X86_SS].base), FIELD(s.seg[X86_DS].base), FIELD(s.seg[X86_FS].base),
	FIELD(s.seg[X86_GS].base), FIELD(s.seg[X86_CS].sel), FIELD(s.seg[X86_SS].sel), FIELD(attention), FIELD(turns),
	FIELD(df), ARRAY(scratch), ARRAY(seg_end), ARRAY(addend), FIELD(host_rsp), FIELD(resume),
	FIELD(ax_flags), FIELD(tlb_part), FIELD(jc_mask), FIELD(jc_miss), ARRAY(jc), ARRAY(tlb),
	ARRAY(vec),
};

struct listing {
	FILE *out;
	struct hyp_cpu *cpu;
	const struct hyp_block *b;
	const struct group *group;
	ZydisDecoder host, guest;
	ZydisFormatter formatter;
	u32 label[MAX_LABELS]; /* code offsets, ascending */
	unsigned n_labels;
	unsigned cell[26]; /* letters given out */
	unsigned n_cells;
	bool guest_code; /* that is being decoded, not the host's */
	const u8 *ram;
};

static void cell_name(struct listing *l, size_t at, char *text, size_t len)
{
	static const struct {
		const char *name;
		size_t offset;
	} part[] = { { "tag", offsetof(struct hyp_cell, tag) }, { "host", offsetof(struct hyp_cell, host) },
		     { "addend", offsetof(struct hyp_cell, addend) } };
	unsigned cell = (unsigned)(at % sizeof(l->cpu->cell[0]) / sizeof(struct hyp_cell)), i = 0, k = 0;

	while (k < ARRAY_SIZE(part) - 1 && part[k].offset != at % sizeof(struct hyp_cell))
		k++;
	if (cell == HYP_CELL_STACK) {
		snprintf(text, len, "cell[stack].%s", part[k].name);
		return;
	}
	while (i < l->n_cells && l->cell[i] != cell)
		i++;
	if (i == l->n_cells && i < ARRAY_SIZE(l->cell))
		l->cell[l->n_cells++] = cell;
	snprintf(text, len, "cell[%c].%s", 'A' + (int)i, part[k].name);
}

static void field_name(struct listing *l, size_t at, char *text, size_t len)
{
	if (at - offsetof(struct hyp_cpu, cell) < sizeof(l->cpu->cell)) {
		cell_name(l, at - offsetof(struct hyp_cpu, cell), text, len);
		return;
	}
	if (at < sizeof(l->cpu->s.gpr)) {
		snprintf(text, len, "guest.%s%s", gpr_names[at / 8], at % 8 ? "+4" : "");
		return;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		size_t off = at - fields[i].offset, rest = fields[i].each ? off % fields[i].each : off;

		if (off >= fields[i].size)
			continue;
		snprintf(text, len, fields[i].each ? "%s[%zu]" : "%s", fields[i].name,
			 fields[i].each ? off / fields[i].each : 0);
		if (rest)
			snprintf(text + strlen(text), len - strlen(text), "+%zu", rest);
		return;
	}
	snprintf(text, len, "cpu+0x%zx", at);
}

/* Host code: a label, a stub, or where else. */
static void place_name(struct listing *l, u32 at, char *text, size_t len)
{
	const struct hyp_engine *e = l->cpu->engine;

	for (unsigned i = 0; i < l->n_labels; i++)
		if (l->label[i] == at) {
			snprintf(text, len, "L%u", i);
			return;
		}
	snprintf(text, len, "%s",
		 at == e->stub_leave     ? "leave"
		 : at == e->stub_jc_miss ? "jc_miss"
					 : "elsewhere");
	for (unsigned i = 0; i < ARRAY_SIZE(e->fast_stub); i++)
		if (e->fast_stub[i] == at)
			snprintf(text, len, "fast_%s", i == HYP_FAST_SYSCALL ? "syscall" : "sysret");
	for (unsigned i = 0; i < HYP_FAST_STRS; i++)
		if (e->str_stub[i] == at)
			snprintf(text, len, "fast_%s%u", i & HYP_FAST_STR(0, 1, 0) ? "movs" : "stos",
				 8u << (i & 3));
	for (unsigned i = 0; i < ARRAY_SIZE(e->cell_stub); i++)
		if (e->cell_stub[i] == at)
			snprintf(text, len, "cell_fill_%s", i % 2 ? "w" : "r");
}

/* The guest's: a distance from the block. */
static void guest_name(struct listing *l, u64 pc, char *text, size_t len)
{
	s64 off = (s64)(pc - l->b->pc);

	snprintf(text, len, "guest%c0x%" PRIx64, off < 0 ? '-' : '+', (u64)(off < 0 ? -off : off));
}

/* ---- disassembly ---------------------------------------------------------------------------------- */

struct line {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	char text[160];
};

static bool is_branch(const struct line *i, s64 *distance)
{
	if (!i->z.operand_count || i->op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !i->op[0].imm.is_relative)
		return false;
	*distance = i->op[0].imm.value.s;
	return true;
}

/* gs:[...]: the number in it is an offset in struct hyp_cpu. */
static void name_field(struct listing *l, struct line *i)
{
	char name[64], *open = strstr(i->text, "gs:["), *close = open ? strchr(open, ']') : NULL, *number,
		       rest[64];

	if (!close)
		return;
	snprintf(rest, sizeof(rest), "%s", close);
	for (number = close; number > open && strncmp(number, "0x", 2); number--)
		;
	if (number == open)
		number = close;
	field_name(l, number == close ? 0 : strtoul(number, NULL, 16), name, sizeof(name));
	snprintf(number, sizeof(i->text) - (size_t)(number - i->text), "%s%s", name, rest);
}

/* The host address of one of the block's bytes. */
static void name_code(struct listing *l, struct line *i)
{
	u64 at = i->op[1].imm.value.u - (u64)(l->ram + GPA);

	if (i->z.mnemonic == ZYDIS_MNEMONIC_MOV && i->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	    at < PAGE_SIZE)
		snprintf(i->text, sizeof(i->text), "mov %s, host address of guest+0x%" PRIx64,
			 ZydisRegisterGetString(i->op[0].reg.value), at);
}

static void name_target(struct listing *l, struct line *i, u32 at, s64 distance)
{
	char name[64];

	if (l->guest_code)
		guest_name(l, l->b->pc + at + i->z.length + (u64)distance, name, sizeof(name));
	else
		place_name(l, at + i->z.length + (u32)distance, name, sizeof(name));
	snprintf(i->text, sizeof(i->text), "%s %s", ZydisMnemonicGetString(i->z.mnemonic), name);
}

static bool decode(struct listing *l, struct line *i, const u8 *code, u32 at)
{
	const ZydisDecoder *d = l->guest_code ? &l->guest : &l->host;
	s64 distance;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, code + at, 16, &i->z, i->op)))
		return false;
	ZydisFormatterFormatInstruction(&l->formatter, &i->z, i->op, i->z.operand_count_visible, i->text,
					sizeof(i->text), ZYDIS_RUNTIME_ADDRESS_NONE, NULL);
	if (is_branch(i, &distance))
		name_target(l, i, at, distance);
	else if (!l->guest_code)
		name_field(l, i), name_code(l, i);
	return true;
}

/* A site off the hot line always has an edge's fields, zero where it has no edge. */
static bool has_edge(const struct hyp_site *site)
{
	static const u8 none[sizeof(struct hyp_edge_site) - sizeof(*site)];

	return site->kind == SITE_EDGE || site->kind == SITE_POLL || site->kind == SITE_HELPER ||
	       (site->kind == SITE_INTERP && !memcmp(site + 1, none, sizeof(none)));
}

static u32 target_of(const struct line *i, u32 at, s64 distance)
{
	return at + i->z.length + (u32)distance;
}

static bool is_cell_stub(const struct listing *l, u32 target)
{
	for (unsigned i = 0; i < ARRAY_SIZE(l->cpu->engine->cell_stub); i++)
		if (l->cpu->engine->cell_stub[i] == target)
			return true;
	return false;
}

/* Bytes of data behind an instruction that leaves. */
static u32 data_behind(struct listing *l, const struct line *i, u32 at)
{
	const struct hyp_site *site = (const void *)(l->cpu->engine->rx + at + i->z.length);
	s64 distance;

	if (!is_branch(i, &distance))
		return 0;
	if (is_cell_stub(l, target_of(i, at, distance)))
		return sizeof(struct hyp_cell_ref);
	if (i->z.mnemonic != ZYDIS_MNEMONIC_CALL || target_of(i, at, distance) != l->cpu->engine->stub_leave)
		return 0;
	return has_edge(site) ? sizeof(struct hyp_edge_site) : sizeof(struct hyp_site);
}

static void print_site(struct listing *l, const struct hyp_site *site)
{
	static const char *const kinds[SITE_NR] = { "mem",  "check",   "masked", "interp", "edge",
						    "poll", "jc_miss", "dead",   "changed", "helper" };
	static const char *const helper_names[] = {
#define HELPER(id, mnemonic, flags) #id,
#include "hyp/rewrite/x86/helpers.inc"
#undef HELPER
	};
	const struct hyp_edge_site *e = (const struct hyp_edge_site *)site;
	char name[64];

	fprintf(l->out, "\t\t.site %s at guest+%u", kinds[site->kind], site->guest_off);
	if (site->kind == SITE_MEM || site->kind == SITE_MASKED || site->kind == SITE_CHECK)
		fprintf(l->out, ", %s %u, partition %u%s", site->write ? "write" : "read", site->size,
			site->ac_part, site->plain ? ", plain" : "");
	if (site->kind == SITE_EDGE || site->kind == SITE_POLL) {
		guest_name(l, e->target, name, sizeof(name));
		fprintf(l->out, " to %s", name);
	}
	if (site->kind == SITE_HELPER)
		fprintf(l->out, " %s 0x%" PRIx64, helper_names[e->patch], e->target);
	fprintf(l->out, "\n");
}

static void print_ref(struct listing *l, u32 at)
{
	const struct hyp_cell_ref *ref = (const void *)(l->cpu->engine->rx + at);
	char where[64], cell[64];

	place_name(l, at + (u32)ref->resume, where, sizeof(where));
	cell_name(l, ref->cell * sizeof(struct hyp_cell), cell, sizeof(cell));
	fprintf(l->out, "\t\t.cell %.*s, limit %u, resume %s%s\n", (int)strcspn(cell, "."), cell, ref->limit,
		where, ref->based ? ", based" : "");
}

/* Walks the block's code from an offset on: fn for each instruction. Returns how many. */
static unsigned walk(struct listing *l, u32 at, void (*fn)(struct listing *l, struct line *i, u32 at))
{
	unsigned n = 0;
	struct line i;

	for (; at < l->b->end; n++) {
		if (!decode(l, &i, l->cpu->engine->rx, at)) {
			fprintf(stderr, "golden: no instruction at block+%u\n", at - l->b->ind);
			exit(1);
		}
		fn(l, &i, at);
		at += i.z.length + data_behind(l, &i, at);
	}
	return n;
}

static void add_label(struct listing *l, u32 at)
{
	unsigned i = l->n_labels;

	for (unsigned k = 0; k < l->n_labels; k++)
		if (l->label[k] == at)
			return;
	if (at < l->b->ind || at >= l->b->end || l->n_labels == MAX_LABELS)
		return;
	for (; i && l->label[i - 1] > at; i--)
		l->label[i] = l->label[i - 1];
	l->label[i] = at;
	l->n_labels++;
}

static void note_labels(struct listing *l, struct line *i, u32 at)
{
	u32 behind = at + i->z.length;
	s64 distance;

	if (is_branch(i, &distance))
		add_label(l, target_of(i, at, distance));
	if (data_behind(l, i, at) == sizeof(struct hyp_cell_ref))
		add_label(l,
			  behind + (u32)((const struct hyp_cell_ref *)(l->cpu->engine->rx + behind))->resume);
}

static void print_line(struct listing *l, struct line *i, u32 at)
{
	u32 behind = at + i->z.length, data = data_behind(l, i, at);

	for (unsigned k = 0; k < l->n_labels; k++)
		if (l->label[k] == at)
			fprintf(l->out, "L%u:", k);
	fprintf(l->out, "\t%s\n", i->text);
	if (data == sizeof(struct hyp_cell_ref))
		print_ref(l, behind);
	else if (data)
		print_site(l, (const void *)(l->cpu->engine->rx + behind));
}

static void count_line(struct listing *l, struct line *i, u32 at)
{
}

/* ---- a sequence ------------------------------------------------------------------------------------- */

static void print_guest(struct listing *l, const u8 *code, u32 len)
{
	struct line i;

	l->guest_code = true;
	for (u32 at = 0; at < len && decode(l, &i, code, at); at += i.z.length)
		fprintf(l->out, "\t%s\n", i.text);
	l->guest_code = false;
}

static void print_sequence(struct listing *l, const struct sequence *s, u8 *ram)
{
	size_t len = (size_t)(s->end - s->code);
	u32 from;

	memset(ram + GPA, 0x90, 2 * PAGE_SIZE);
	memcpy(ram + GPA, s->code, len);
	hyp_engine_flush(l->cpu);
	l->cpu->engine->always_hot = l->group->hot;
	l->cpu->engine->always_checks = l->group->checked;
	memset(l->cpu->engine->n_cells, 0, sizeof(l->cpu->engine->n_cells));
	l->b = xlate_block(l->cpu, l->group->pc, GPA, ram + GPA, l->group->key);
	l->n_labels = l->n_cells = 0;
	fprintf(l->out, "== %s\n", s->name);
	print_guest(l, s->code, MIN((u32)len, l->b ? l->b->guest_len : (u32)len));
	if (!l->b) {
		fprintf(l->out, "-- not translated\n\n");
		return;
	}
	from = s == l->group->seq ? l->b->ind : l->b->direct;
	walk(l, from, note_labels);
	fprintf(l->out, "-- %u instructions, %u bytes%s\n", walk(l, from, count_line), l->b->end - from,
		from == l->b->ind ? ", the checked entry first" : "");
	walk(l, from, print_line);
	fprintf(l->out, "\n");
}

static char *list_group(struct hyp_cpu *cpu, u8 *ram, const struct group *g)
{
	struct listing l = { .cpu = cpu, .group = g, .ram = ram };
	char *text = NULL;
	size_t len;

	l.out = open_memstream(&text, &len);
	ZydisDecoderInit(&l.host, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (g->key & KEY_CODE32)
		ZydisDecoderInit(&l.guest, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		l.guest = l.host;
	ZydisFormatterInit(&l.formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterSetProperty(&l.formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
	for (size_t i = 0; i < g->n; i++)
		print_sequence(&l, &g->seq[i], ram);
	fclose(l.out);
	return text;
}

/* ---- files -------------------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = fopen(path, "re");

	if (!f || getdelim(&text, &len, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	if (f)
		fclose(f);
	return text;
}

/* The sequence that the first different line is in. */
static void tell_difference(const char *want, const char *got, const char *path)
{
	const char *name = got + 3, *w = want, *g = got; /* it begins with "== " */
	int line = 1;

	for (; *w && *w == *g; w++, g++) {
		line += *w == '\n';
		if (!strncmp(g, "\n== ", 4))
			name = g + 4;
	}
	while (w > want && w[-1] != '\n')
		w--, g--;
	printf("# %s:%d, in %.*s: not as in the file\n#   file: %.*s\n#   now:  %.*s\n", path, line,
	       (int)strcspn(name, "\n"), name, (int)strcspn(w, "\n"), w, (int)strcspn(g, "\n"), g);
	printf("#   if that is meant: tools/golden --rebase, and commit the difference\n");
}

static bool write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f)) {
		perror(path);
		return false;
	}
	return true;
}

static bool check_group(const char *dir, const struct group *g, char *now)
{
	char path[4096], *want;
	bool same;

	snprintf(path, sizeof(path), "%s/%s.txt", dir, g->name);
	want = read_file(path);
	same = want && !strcmp(want, now);
	if (!same)
		tell_difference(want ?: "", now, path);
	free(want);
	return same;
}

int main(int argc, char **argv)
{
	static const struct hyp_as_ops ops;
	struct hyp_region ram = { .size = RAM_SIZE };
	bool rebase = argc == 3 && !strcmp(argv[2], "--rebase"), good = true;
	struct hyp_cpu *cpu;
	struct hyp_as *as;

	if (argc != 2 + rebase)
		return fprintf(stderr, "usage: golden DIR [--rebase]\n"), 2;
	ram.hva = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ram.hva == MAP_FAILED || hyp_init() || !(as = hyp_as_create(&ops, NULL)) ||
	    hyp_as_replace(as, 0, NULL, &ram) || !(cpu = hyp_cpu_create(as, 0)))
		return 2;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		char *now = list_group(cpu, ram.hva, &groups[i]), path[4096];
		bool ok;

		snprintf(path, sizeof(path), "%s/%s.txt", argv[1], groups[i].name);
		ok = rebase ? write_file(path, now) : check_group(argv[1], &groups[i], now);
		printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, groups[i].name);
		good &= ok;
		free(now);
	}
	printf("1..%zu\n", ARRAY_SIZE(groups));
	return good ? 0 : 1;
}
