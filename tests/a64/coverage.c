/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coverage: prints docs/a64-coverage.md, made from the decode table. coverage --check FILE: compares; exit
 * status 1 where the file is stale.
 */
#include "hyp/lift/arm64/decode.h"
#include "hyp/sys/arm64/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
	"# A64: what the decode table has\n"
	"\n"
	"Made from hyp/lift/arm64/a64_*.inc by build/tests/a64/a64_coverage; do not edit. A test compares.\n"
	"\n"
	"A row is an instruction in one form (vector, scalar, by element, half precision count apart).\n"
	"Rows that read or write system registers are lifted here; which registers exist is hyp/sys/arm64's\n"
	"table. SVE, SME, AArch32, EL2 and EL3 have no rows.\n"
	"\n"
	"Not as the manual has it: the alignment of SP is not checked (SCTLR_EL1.SA, SA0); FPSR.UFC is not\n"
	"set by a single or double result that rounds up to the least normal number (the host finds\n"
	"tininess after rounding; the IR interpreter is exact).\n"
	"\n";

static const char *const chapters[] = { [A64_DP_IMM] = "Data processing, immediate",
					[A64_BRANCH] = "Branches, exceptions, system",
					[A64_LDST] = "Loads and stores", [A64_DP_REG] = "Data processing, register",
					[A64_LDST_SIMD] = "Loads and stores of vector registers",
					[A64_FP] = "Scalar floating point", [A64_SIMD] = "Advanced SIMD, cryptography" };

static bool lifted(unsigned row)
{
	return a64_table[row].lift != lift_none;
}

static void print_summary(FILE *f)
{
	unsigned all = 0, done = 0;

	fputs("| chapter | rows | lifted |\n|---|---|---|\n", f);
	for (unsigned c = 0; c < ARRAY_SIZE(chapters); c++) {
		unsigned n = 0, ok = 0;
		for (unsigned row = 0; row < a64_nr_rows; row++) {
			n += a64_table[row].chapter == c;
			ok += a64_table[row].chapter == c && lifted(row);
		}
		fprintf(f, "| %s | %u | %u |\n", chapters[c], n, ok);
		all += n;
		done += ok;
	}
	fprintf(f, "| all | %u | %u |\n", all, done);
}

static bool seen_before(unsigned row)
{
	for (unsigned k = 0; k < row; k++)
		if (!strcmp(a64_table[k].feature, a64_table[row].feature))
			return true;
	return false;
}

static void print_features(FILE *f)
{
	fputs("\n## Features\n\nBeyond the base of ARMv8.0. Offered means: every row of it has a lifter.\n\n"
	      "| feature | offered |\n|---|---|\n",
	      f);
	for (unsigned row = 0; row < a64_nr_rows; row++)
		if (a64_table[row].feature[0] && !seen_before(row))
			fprintf(f, "| %s | %s |\n", a64_table[row].feature,
				a64_feature(a64_table[row].feature) ? "yes" : "no");
}

static void print_missing_row(FILE *f, const struct a64_enc *e)
{
	fprintf(f, "| %s | %s | `", e->name, e->feature);
	for (const char *t = e->text; *t; t++)
		fprintf(f, "%s%c", *t == '|' ? "\\" : "", *t);
	fputs("` |\n", f);
}

static void print_missing(FILE *f)
{
	fputs("\n## Rows without a lifter\n\nUNDEFINED for the guest.\n\n", f);
	fputs("| row | feature | text |\n|---|---|---|\n", f);
	for (unsigned row = 0; row < a64_nr_rows; row++)
		if (!lifted(row))
			print_missing_row(f, &a64_table[row]);
}

static void print_lifted(FILE *f)
{
	fputs("\n## Rows with a lifter\n", f);
	for (unsigned c = 0; c < ARRAY_SIZE(chapters); c++) {
		fprintf(f, "\n%s:", chapters[c]);
		unsigned column = 80;
		for (unsigned row = 0; row < a64_nr_rows; row++) {
			if (a64_table[row].chapter != c || !lifted(row))
				continue;
			bool wrap = column + strlen(a64_table[row].name) > 100;
			column = wrap ? 0 : column;
			column += (unsigned)fprintf(f, "%s%s", wrap ? "\n" : " ", a64_table[row].name);
		}
		fputs("\n", f);
	}
}

static char *document(size_t *size)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, size);

	if (!f)
		abort();
	fputs(head, f);
	print_summary(f);
	print_features(f);
	print_missing(f);
	print_lifted(f);
	fclose(f);
	return text;
}

/* What the ID registers offer has its lifters: field of (op0 3, op1 0, CRn 0) CRm, op2 from a value on. */
static const struct {
	const char *feature;
	u8 crm, op2, shift, value;
} id_fields[] = {
	{ "FEAT_FP16", 4, 0, 16, 1 }, { "FEAT_FP16", 4, 0, 20, 1 }, { "FEAT_MTE", 4, 1, 8, 1 },
	{ "FEAT_AES", 6, 0, 4, 1 }, { "FEAT_PMULL", 6, 0, 4, 2 }, { "FEAT_SHA1", 6, 0, 8, 1 },
	{ "FEAT_SHA256", 6, 0, 12, 1 }, { "FEAT_SHA512", 6, 0, 12, 2 }, { "FEAT_CRC32", 6, 0, 16, 1 },
	{ "FEAT_LSE", 6, 0, 20, 2 }, { "FEAT_RDM", 6, 0, 28, 1 }, { "FEAT_SHA3", 6, 0, 32, 1 },
	{ "FEAT_SM3", 6, 0, 36, 1 }, { "FEAT_SM4", 6, 0, 40, 1 }, { "FEAT_DotProd", 6, 0, 44, 1 },
	{ "FEAT_FHM", 6, 0, 48, 1 }, { "FEAT_FlagM", 6, 0, 52, 1 }, { "FEAT_FlagM2", 6, 0, 52, 2 },
	{ "FEAT_PAuth", 6, 1, 4, 1 }, { "FEAT_PAuth", 6, 1, 8, 1 }, { "FEAT_JSCVT", 6, 1, 12, 1 },
	{ "FEAT_FCMA", 6, 1, 16, 1 }, { "FEAT_LRCPC", 6, 1, 20, 1 }, { "FEAT_LRCPC2", 6, 1, 20, 2 },
	{ "FEAT_FRINTTS", 6, 1, 32, 1 }, { "FEAT_SB", 6, 1, 36, 1 }, { "FEAT_BF16", 6, 1, 44, 1 },
	{ "FEAT_I8MM", 6, 1, 52, 1 }, { "FEAT_LS64", 6, 1, 60, 1 }, { "FEAT_WFxT", 6, 2, 0, 2 },
	{ "FEAT_MOPS", 6, 2, 16, 1 }, { "FEAT_LOR", 7, 1, 16, 1 },
};

static bool id_registers_honest(void)
{
	bool ok = true;

	for (unsigned k = 0; k < ARRAY_SIZE(id_fields); k++) {
		u64 id = hyp_arm64_id_max(ARM64_SYS(3, 0, 0, id_fields[k].crm, id_fields[k].op2));
		unsigned field = id >> id_fields[k].shift & 15;
		bool none = field == 15 && id_fields[k].crm == 4; /* FP, AdvSIMD: signed */
		if (none || field < id_fields[k].value || a64_feature(id_fields[k].feature))
			continue;
		printf("an ID register offers %s\n", id_fields[k].feature);
		ok = false;
	}
	return ok;
}

static int check(const char *path, const char *text, size_t size)
{
	FILE *f = fopen(path, "r");
	char *old = malloc(size + 1);
	bool same = f && old && fread(old, 1, size + 1, f) == size && !memcmp(old, text, size);

	if (!f)
		printf("%s cannot be read\n", path);
	else if (!same)
		printf("%s is stale: build/tests/a64/a64_coverage > %s\n", path, path);
	if (f)
		fclose(f);
	free(old);
	return !same;
}

int main(int argc, char **argv)
{
	size_t size;

	if (a64_table_fault()) {
		printf("row %s is not well formed\n", a64_table_fault());
		return 1;
	}
	char *text = document(&size);
	if (argc == 3 && !strcmp(argv[1], "--check"))
		return !id_registers_honest() || check(argv[2], text, size);
	fwrite(text, 1, size, stdout);
	return 0;
}
