/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage-1 walk (hyp/sys/arm64/mmu.c) on RAM in an array: every granule and level, every kind of fault,
 * permissions as the Arm ARM's tables have them, hardware updates of descriptors and their race with
 * another CPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hyp/sys/arm64/sys.h"

#define RAM (4u << 20)
#define ROOT 0x10000u /* the first table; the others follow, 64 KiB apart */
#define OUT 0x123456780000ull

#define VALID 1ull
#define TABLE 3ull
#define USER (1ull << 6)
#define RO (1ull << 7)
#define AF (1ull << 10)
#define NG (1ull << 11)
#define DBM (1ull << 51)
#define PXN (1ull << 53)
#define UXN (1ull << 54)
#define PXNT (1ull << 59)
#define UXNT (1ull << 60)
#define APT_NO_USER (1ull << 61)
#define APT_RO (1ull << 62)
#define R ARM64_ACC_R
#define W ARM64_ACC_W
#define X ARM64_ACC_X
#define U ARM64_ACC_USER

static u8 *ram;
static struct hyp_cpu *cpu;
static gpa_t race_at; /* another CPU writes race_val there when the walker is about to update it */
static u64 race_val;

u8 *hyp_phys_ptr(struct hyp_cpu *c, gpa_t gpa, bool write)
{
	if (gpa >= RAM)
		return NULL;
	if (write && race_at == gpa) {
		memcpy(ram + gpa, &race_val, 8);
		race_at = 0;
	}
	return ram + gpa;
}

static u64 *sr(enum arm64_sr r) { return &cpu->s.sr[r]; }

static int setup(void **state)
{
	cpu = aligned_alloc(64, ALIGN_UP(sizeof(*cpu), 64));
	ram = calloc(1, RAM);
	if (!cpu || !ram)
		return -1;
	memset(cpu, 0, sizeof(*cpu));
	cpu->s.pa_bits = 48;
	cpu->s.pstate = ARM64_PSR_EL(1) | ARM64_PSR_SP;
	*sr(ARM64_SR_SCTLR_EL1) = SCTLR_M | SCTLR_SPAN;
	*sr(ARM64_SR_MAIR_EL1) = 0xff | 0x04ull << 8 | 0x44ull << 16;
	return 0;
}

static int teardown(void **state)
{
	free(cpu);
	free(ram);
	return 0;
}

static void put(gpa_t at, u64 v) { memcpy(ram + at, &v, 8); }
static u64 get(gpa_t at)
{
	u64 v;

	memcpy(&v, ram + at, 8);
	return v;
}

/* Tables of one granule for one half of the address space. */
struct tree {
	unsigned granule, tsz, first; /* first: level of the root */
	bool high;
	gpa_t at[4]; /* descriptor of the level on the way to va */
};

static void set_regime(const struct tree *t)
{
	static const u8 tg0[17] = { [12] = 0, [14] = 2, [16] = 1 }, tg1[17] = { [12] = 2, [14] = 1, [16] = 3 };
	u64 tcr = 5ull << 32 | 16 | 16 << 16 | 2ull << 30; /* 48 bits */

	if (t->high)
		tcr = (tcr & ~(63ull << 16 | 3ull << 30)) | (u64)t->tsz << 16 | (u64)tg1[t->granule] << 30;
	else
		tcr = (tcr & ~(63ull | 3ull << 14)) | t->tsz | (u64)tg0[t->granule] << 14;
	*sr(ARM64_SR_TCR_EL1) = tcr;
	*sr(t->high ? ARM64_SR_TTBR1_EL1 : ARM64_SR_TTBR0_EL1) = ROOT;
}

/* Tables down to `level`, where `leaf` goes; `attr` into every table descriptor. */
static void build(struct tree *t, gva_t va, unsigned level, u64 leaf, u64 attr)
{
	unsigned stride = t->granule - 3, isize = 64 - t->tsz,
		 levels = (isize - t->granule + stride - 1) / stride;
	gpa_t table = ROOT;

	set_regime(t);
	t->first = 4 - levels;
	for (unsigned l = t->first; l <= level; l++) {
		unsigned shift = t->granule + stride * (3 - l), bits = MIN(stride, isize - shift);

		t->at[l] = table + (va >> shift & ((1ull << bits) - 1)) * 8;
		table = ROOT + 0x10000 * (l - t->first + 1);
		put(t->at[l], l == level ? leaf : table | TABLE | attr);
	}
}

static struct arm64_walk w;

static bool walk(gva_t va, unsigned acc)
{
	memset(&w, 0xee, sizeof(w));
	return arm64_walk(cpu, va, acc, &w);
}

#define assert_fsc(va, acc, code) \
	do { \
		assert_false(walk(va, acc)); \
		assert_int_equal(w.fsc, code); \
	} while (0)

/* ---- sizes and levels ------------------------------------------------------------------------------ */

#define VA_LOW 0x0000234567890abcull
#define VA_HIGH 0xffff234567890abcull

static unsigned level_shift(unsigned granule, unsigned level)
{
	return granule + (granule - 3) * (3 - level);
}

static bool block_level(unsigned granule, unsigned level)
{
	return level == 2 || (level == 1 && granule == 12);
}

/* Pages and blocks in both halves; every level invalid, and blocks where there are none. */
static void test_levels(void **state)
{
	static const u8 granules[] = { 12, 14, 16 };

	for (unsigned i = 0; i < 6; i++) {
		struct tree t = { .granule = granules[i % 3], .tsz = 16, .high = i / 3 };
		gva_t va = t.high ? VA_HIGH : VA_LOW;

		build(&t, va, 3, 0, 0);
		for (unsigned level = t.first; level <= 3; level++) {
			unsigned shift = level_shift(t.granule, level);
			u64 out = OUT >> shift << shift, mask = (1ull << shift) - 1;

			build(&t, va, level, 0, 0);
			assert_fsc(va, R, FSC_TRANS + level);
			build(&t, va, level, out | AF | (level == 3 ? 3 : 1), 0);
			if (level < 3 && !block_level(t.granule, level)) {
				assert_fsc(va, R, FSC_TRANS + level);
				continue;
			}
			assert_true(walk(va, R));
			assert_true(w.gpa == (out | (va & mask)));
			assert_int_equal(w.shift, shift);
			if (level == 3) {
				put(t.at[3], out | AF | 1); /* reserved */
				assert_fsc(va, R, FSC_TRANS + 3);
			}
		}
	}
}

/* Input sizes: the level the walk starts at, what is out of range, TxSZ that are not allowed. */
static void test_sizes(void **state)
{
	for (unsigned tsz = 16; tsz <= 39; tsz++) {
		struct tree t = { .granule = 12, .tsz = tsz };
		gva_t va = (1ull << (64 - tsz)) - 0x1000;

		build(&t, va, 3, OUT | AF | 3, 0);
		assert_true(walk(va, R));
		assert_int_equal(t.first, tsz <= 24 ? 0 : tsz <= 33 ? 1 : 2);
		assert_fsc(va + 0x1000, R, FSC_TRANS);
		assert_fsc(0xff80000000000000ull, R, FSC_TRANS);
		assert_fsc(0xff7ffffffffff000ull, R, FSC_TRANS);
	}
	for (unsigned tsz = 0; tsz < 64; tsz++) {
		struct tree t = { .granule = 12, .tsz = tsz };

		if (tsz >= 16 && tsz <= 39)
			continue;
		set_regime(&t);
		assert_fsc(0, R, FSC_TRANS);
	}
}

static void test_small_roots(void **state)
{
	struct tree t = { .granule = 16, .tsz = 39, .high = true }; /* 25 bits: 9 bits at level 3 */
	gva_t va = 0ull - 0x10000;

	build(&t, va, 3, (OUT & ~0xffffull) | AF | 3, 0);
	assert_int_equal(t.first, 3);
	assert_true(walk(va + 0x4321, R));
	assert_true(w.gpa == ((OUT & ~0xffffull) | 0x4321));
}

/* Bits below a small root's size are ignored. */
static void test_root_alignment(void **state)
{
	struct tree t = { .granule = 12, .tsz = 25 }; /* 39 bits: one whole table at level 1 */

	build(&t, 0x1000, 3, OUT | AF | 3, 0);
	*sr(ARM64_SR_TTBR0_EL1) = ROOT | 0x801 | 5ull << 48;
	assert_true(walk(0x1000, R));
}

static void test_epd_tbi(void **state)
{
	struct tree lo = { .granule = 12, .tsz = 16 };

	build(&lo, VA_LOW, 3, OUT | AF | 3, 0);
	assert_fsc(VA_LOW | 0xa5ull << 56, R, FSC_TRANS);
	*sr(ARM64_SR_TCR_EL1) |= TCR_TBI0;
	assert_true(walk(VA_LOW | 0xa5ull << 56, R));
	*sr(ARM64_SR_TCR_EL1) |= TCR_EPD0;
	assert_fsc(VA_LOW, R, FSC_TRANS);
	*sr(ARM64_SR_TCR_EL1) &= ~TCR_EPD0;
	*sr(ARM64_SR_TCR_EL1) |= TCR_E0PD0;
	assert_true(walk(VA_LOW, R));
	assert_fsc(VA_LOW, R | U, FSC_TRANS);
	*sr(ARM64_SR_TCR_EL1) |= TCR_EPD1;
	assert_fsc(VA_HIGH, R, FSC_TRANS);
}

/* ---- output addresses ---------------------------------------------------------------------------------- */

static void test_address_size(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };

	build(&t, VA_LOW, 3, OUT | AF | 3, 0);
	*sr(ARM64_SR_TCR_EL1) &= ~(7ull << 32); /* 32 bits */
	assert_fsc(VA_LOW, R, FSC_ADDRSZ + 3);
	for (unsigned level = 0; level < 3; level++) {
		build(&t, VA_LOW, 3, 0x5000 | AF | 3, 0);
		*sr(ARM64_SR_TCR_EL1) &= ~(7ull << 32);
		assert_true(walk(VA_LOW, R));
		put(t.at[level], get(t.at[level]) | 1ull << 32);
		assert_fsc(VA_LOW, R, FSC_ADDRSZ + level);
	}
	*sr(ARM64_SR_TTBR0_EL1) = ROOT | 1ull << 32;
	assert_fsc(VA_LOW, R, FSC_ADDRSZ);
}

/* Beyond the IPA size: what KVM injects. A table where there is no RAM: an external abort. */
static void test_stage2(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };

	build(&t, VA_LOW, 3, OUT | AF | 3, 0);
	cpu->s.pa_bits = 40;
	assert_fsc(VA_LOW, R, FSC_ADDRSZ);
	cpu->s.pa_bits = 48;
	put(t.at[1], 0x10000000 | TABLE);
	assert_fsc(VA_LOW, R, FSC_EXTABT);
	assert_true(w.ptw_ext);
}

static void test_mmu_off(void **state)
{
	*sr(ARM64_SR_SCTLR_EL1) &= ~SCTLR_M;
	cpu->s.pa_bits = 40;
	assert_true(walk(0x12345678, R | W));
	assert_true(w.gpa == 0x12345678 && w.device && w.writable && w.shift == 12);
	assert_true(walk(0x12345678, X));
	assert_false(w.device);
	assert_fsc(1ull << 40, R, FSC_ADDRSZ);
	assert_fsc(0xaa00000000000000ull, R, FSC_ADDRSZ);
	*sr(ARM64_SR_TCR_EL1) = TCR_TBI0;
	assert_true(walk(0xaa00000000000123ull, R));
	assert_true(w.gpa == 0x123);
}

/* ---- access flag, dirty state ---- */

static void test_access_flag(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };

	for (unsigned level = 1; level <= 3; level++) {
		u64 leaf = (OUT & ~0x3fffffffull) | (level == 3 ? 3 : 1);

		build(&t, VA_LOW, level, leaf, 0);
		assert_fsc(VA_LOW, R, FSC_ACCESS + level);
		assert_true(get(t.at[level]) == leaf);
		*sr(ARM64_SR_TCR_EL1) |= TCR_HA;
		assert_true(walk(VA_LOW, R));
		assert_true(get(t.at[level]) == (leaf | AF));
	}
}

static void test_no_update_on_fault(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };

	build(&t, VA_LOW, 3, OUT | 3 | RO, 0);
	*sr(ARM64_SR_TCR_EL1) |= TCR_HA;
	assert_fsc(VA_LOW, W, FSC_PERM + 3);
	assert_true(get(t.at[3]) == (OUT | 3 | RO));
}

static void test_dirty(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };
	u64 leaf = OUT | 3 | RO | DBM | AF;

	build(&t, VA_LOW, 3, leaf, 0);
	assert_fsc(VA_LOW, W, FSC_PERM + 3); /* DBM without HD */
	*sr(ARM64_SR_TCR_EL1) |= TCR_HD;
	assert_fsc(VA_LOW, W, FSC_PERM + 3); /* HD without HA */
	*sr(ARM64_SR_TCR_EL1) |= TCR_HA;
	assert_true(walk(VA_LOW, R));
	assert_false(w.writable);
	assert_true(get(t.at[3]) == leaf);
	assert_true(walk(VA_LOW, W));
	assert_true(w.writable);
	assert_true(get(t.at[3]) == (leaf & ~RO));
	build(&t, VA_LOW, 3, leaf, APT_RO); /* read-only by the tables stays read-only */
	*sr(ARM64_SR_TCR_EL1) |= TCR_HA | TCR_HD;
	assert_fsc(VA_LOW, W, FSC_PERM + 3);
}

static void test_race(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };

	build(&t, VA_LOW, 3, OUT | 3, 0);
	*sr(ARM64_SR_TCR_EL1) |= TCR_HA;
	race_at = t.at[3];
	race_val = 0;
	assert_fsc(VA_LOW, R, FSC_TRANS + 3);
	put(t.at[3], OUT | 3);
	race_at = t.at[3];
	race_val = (OUT ^ 0x1000) | 3;
	assert_true(walk(VA_LOW, R));
	assert_true(w.gpa >> 12 == (OUT ^ 0x1000) >> 12);
	assert_true(get(t.at[3]) == (race_val | AF));
}

/* ---- permissions: all combinations against the manual's rules, written down a second time ---- */

struct rights {
	bool r, w, x;
};

/* Tables D8-37 ff.: EL1 or EL0, from AP[2:1] after APTable, and the XN bits. */
static struct rights expected(u64 leaf, u64 table, bool el0, bool pan, bool epan, bool wxn)
{
	bool user = leaf & USER && !(table & APT_NO_USER), ro = leaf & RO || table & APT_RO;
	bool uxn = leaf & UXN || table & UXNT, pxn = leaf & PXN || table & PXNT;
	struct rights e0 = { user, user && !ro, !uxn && !(wxn && user && !ro) };
	struct rights e1 = { true, !ro, !pxn && !(user && !ro) && !(wxn && !ro) };

	if (el0)
		return e0;
	if (pan && (user || (epan && !uxn)))
		e1.r = e1.w = false;
	return e1;
}

static void check_rights(gva_t va, unsigned level, struct rights want, unsigned acc)
{
	static const unsigned kind[3] = { R, W, X };
	bool may[3] = { want.r, want.w, want.x };

	for (unsigned i = 0; i < 3; i++) {
		bool ok = walk(va, kind[i] | acc);

		assert_int_equal(ok, may[i]);
		if (!ok)
			assert_int_equal(w.fsc, FSC_PERM + level);
	}
}

static void test_permissions(void **state)
{
	static const u64 leaf_bits[] = { USER, RO, PXN, UXN }, table_bits[] = { PXNT, UXNT, APT_NO_USER, APT_RO };
	struct tree t = { .granule = 12, .tsz = 16 };

	for (unsigned i = 0; i < 1u << 12; i++) {
		u64 leaf = (OUT & ~0x1fffffull) | AF | 1, table = 0;
		bool el0 = i & 256, pan = i & 512, epan = i & 1024, wxn = i & 2048;

		for (unsigned b = 0; b < 4; b++) {
			leaf |= i >> b & 1 ? leaf_bits[b] : 0;
			table |= i >> (4 + b) & 1 ? table_bits[b] : 0;
		}
		build(&t, VA_LOW, 2, leaf, table);
		cpu->s.pstate = ARM64_PSR_EL(!el0) | (pan ? ARM64_PSR_PAN : 0);
		*sr(ARM64_SR_SCTLR_EL1) = SCTLR_M | (wxn ? SCTLR_WXN : 0) | (epan ? SCTLR_EPAN : 0);
		check_rights(VA_LOW, 2, expected(leaf, table, el0, pan, epan, wxn), 0);
		if (!el0) /* LDTR, STTR: EL0's rights, PAN does not count */
			check_rights(VA_LOW, 2, expected(leaf, table, true, false, false, wxn), U);
		*sr(ARM64_SR_TCR_EL1) |= TCR_HPD0;
		check_rights(VA_LOW, 2, expected(leaf, 0, el0, pan, epan, wxn), 0);
	}
}

static void test_attributes(void **state)
{
	struct tree t = { .granule = 12, .tsz = 16 };

	build(&t, VA_LOW, 3, OUT | AF | 3 | 3 << 8, 0);
	assert_true(walk(VA_LOW, R));
	assert_true(w.global && !w.device && w.attr == 0xff && w.sh == 3);
	put(t.at[3], OUT | AF | 3 | NG | 1 << 2);
	assert_true(walk(VA_LOW, R));
	assert_true(!w.global && w.device && w.attr == 0x04);
	put(t.at[3], OUT | AF | 3 | 2 << 2); /* Normal, not cacheable */
	assert_true(walk(VA_LOW, R));
	assert_true(!w.device && w.attr == 0x44);
}

static void test_asid(void **state)
{
	*sr(ARM64_SR_TTBR0_EL1) = 0x1234ull << 48;
	*sr(ARM64_SR_TTBR1_EL1) = 0xabcdull << 48;
	assert_int_equal(arm64_asid(cpu), 0x34);
	*sr(ARM64_SR_TCR_EL1) = TCR_AS;
	assert_int_equal(arm64_asid(cpu), 0x1234);
	*sr(ARM64_SR_TCR_EL1) = TCR_AS | TCR_A1;
	assert_int_equal(arm64_asid(cpu), 0xabcd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_roots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_alignment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_epd_tbi, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stage2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mmu_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access_flag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_update_on_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dirty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attributes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asid, setup, teardown),
	};

	return cmocka_run_group_tests_name("arm64-walk", tests, NULL, NULL);
}
