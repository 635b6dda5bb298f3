/* SPDX-License-Identifier: Apache-2.0 */
/* The page walk: every mode, right, reserved bit and error code, and the A and D bits (SDM vol. 3, ch. 4). */
#include "tests/hyp_sys/fake.h"

#define R X86_ACC_R
#define W X86_ACC_W
#define X X86_ACC_X
#define A_BIT 0x20ull
#define D_BIT 0x40ull
#define NX (1ull << 63)

#define P X86_PFEC_P
#define PW X86_PFEC_W
#define PU X86_PFEC_U
#define PR X86_PFEC_RSVD
#define PI X86_PFEC_I

enum { PAGE = 0x100000 }; /* the page the tests play with, in PT0 */
#define PTE (PT0 + (PAGE >> 12) * 8)

static enum x86_ret walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct x86_walk *w)
{
	memset(w, 0xee, sizeof(*w));
	memset(&cpu->fault, 0, sizeof(cpu->fault));
	return x86_walk(cpu, gva, acc, w);
}

#define assert_pf(cpu, gva, acc, err) \
	do { \
		struct x86_walk w_; \
		assert_fault(cpu, walk(cpu, gva, acc, &w_), X86_PF, err); \
		assert_int_equal((cpu)->s.cr2, gva); \
	} while (0)

static void test_no_paging(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_protected(cpu, 3);
	assert_ok(walk(cpu, 0x12345678, R | W | X, &w));
	assert_int_equal(w.gpa, 0x12345678);
	assert_int_equal(w.page_shift, 12);
	assert_true(w.writable);
}

static void test_4level_4k(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	ram64_set(PTE, 0xabc000 | 3);
	assert_ok(walk(cpu, PAGE + 0x123, R, &w));
	assert_int_equal(w.gpa, 0xabc123);
	assert_int_equal(w.page_shift, 12);
	assert_false(w.writable); /* not dirty yet */
	assert_false(w.user);
	assert_false(w.global);
	assert_int_equal(ram64(PTE), 0xabc000 | 3 | A_BIT);
	assert_int_equal(ram64(PD), PT0 | 7 | A_BIT);
	assert_int_equal(ram64(PDPT), PD | 7 | A_BIT);
	assert_int_equal(ram64(PML4), PDPT | 7 | A_BIT);
	assert_ok(walk(cpu, PAGE, W, &w));
	assert_true(w.writable);
	assert_int_equal(ram64(PTE), 0xabc000 | 3 | A_BIT | D_BIT);
	assert_int_equal(ram64(PD), PT0 | 7 | A_BIT); /* no D in a table entry */
	assert_ok(walk(cpu, PAGE, R, &w));
	assert_true(w.writable);
}

static void test_fault_leaves_ad_clear(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 3);
	assert_pf(cpu, PAGE, W, P | PW | PU);
	assert_int_equal(ram64(PTE), PAGE | 3);
	set_cpl(cpu, 0);
	ram64_set(PTE, PAGE | 1);
	assert_pf(cpu, PAGE, W, P | PW);
	assert_int_equal(ram64(PTE) & D_BIT, 0);
}

static void test_large_pages(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	assert_ok(walk(cpu, 0x212345, W, &w));
	assert_int_equal(w.gpa, 0x212345);
	assert_int_equal(w.page_shift, 21);
	assert_true(w.user);
	assert_int_equal(ram64(PD + 8), 0x200000 | 0x87 | A_BIT | D_BIT);
	ram64_set(PD + 8, 0x200000 | 0x1087); /* PAT of a large page is bit 12, not an address bit */
	assert_ok(walk(cpu, 0x212345, R, &w));
	assert_int_equal(w.gpa, 0x212345);
	ram64_set(PDPT + 8, 0x40000000 | 0x183);
	assert_ok(walk(cpu, 0x52345678, R, &w));
	assert_int_equal(w.gpa, 0x52345678);
	assert_int_equal(w.page_shift, 30);
	assert_true(w.global);
	cpu->s.cr4 &= ~(u64)X86_CR4_PGE;
	assert_ok(walk(cpu, 0x52345678, R, &w));
	assert_false(w.global);
	cpu->s.has_gbpages = false;
	assert_pf(cpu, 0x52345678, R, P | PR);
}

static void test_5level(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	gva_t gva = 5ull << 48 | 0x212345;
	struct x86_walk w;

	machine_long(cpu, 0);
	cpu->s.cr4 |= X86_CR4_LA57;
	cpu->s.cr3 = PML5;
	ram64_set(PML5 + 5 * 8, PML4 | 7);
	assert_true(x86_canonical(cpu, gva));
	assert_ok(walk(cpu, gva, R, &w));
	assert_int_equal(w.gpa, 0x212345);
	assert_int_equal(ram64(PML5 + 5 * 8), PML4 | 7 | A_BIT);
	assert_pf(cpu, 0x212345, R, 0); /* PML5[0] is empty */
	ram64_set(PML5 + 5 * 8, PML4 | 0x87);
	assert_pf(cpu, gva, R, P | PR);
	assert_false(x86_canonical(cpu, 1ull << 56));
	cpu->s.cr4 &= ~(u64)X86_CR4_LA57;
	assert_false(x86_canonical(cpu, gva));
	assert_true(x86_canonical(cpu, 0xffff800000000000ull));
	assert_false(x86_canonical(cpu, 0x0000800000000000ull));
}

/* The access part of the error code, for a page that is not there. */
static void test_error_not_present(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);

	machine_long(cpu, 0);
	assert_pf(cpu, NOT_PRESENT + 8, R, 0);
	assert_pf(cpu, NOT_PRESENT + 8, W, PW);
	assert_pf(cpu, NOT_PRESENT + 8, X, PI);
	assert_pf(cpu, NOT_PRESENT + 8, R | X86_ACC_USER, PU);
	set_cpl(cpu, 3);
	assert_pf(cpu, NOT_PRESENT + 8, R, PU);
	assert_pf(cpu, NOT_PRESENT + 8, W, PU | PW);
	assert_pf(cpu, NOT_PRESENT + 8, X, PU | PI);
	assert_pf(cpu, NOT_PRESENT + 8, R | X86_ACC_SUPER, 0);
	cpu->s.efer &= ~(u64)X86_EFER_NX; /* I/D is reported only with NX or SMEP */
	assert_pf(cpu, NOT_PRESENT + 8, X, PU);
	cpu->s.cr4 |= X86_CR4_SMEP;
	assert_pf(cpu, NOT_PRESENT + 8, X, PU | PI);
	ram64_set(PDPT, 0);
	assert_pf(cpu, PAGE, R, PU);
	ram64_set(PML4, 0);
	assert_pf(cpu, PAGE, R, PU);
	ram64_set(PML4, RAM_SIZE | 7); /* a table outside RAM */
	assert_pf(cpu, PAGE, R, PU);
}

/* U/S and R/W count on every level: clear it at each in turn. */
static void test_rights_every_level(void **state)
{
	static const u64 entries[4] = { PML4, PDPT, PD, PTE };
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 3);
	ram64_set(PTE, PAGE | 7);
	assert_ok(walk(cpu, PAGE, W, &w));
	for (unsigned i = 0; i < 4; i++) {
		u64 was = ram64(entries[i]);

		ram64_set(entries[i], was & ~4ull);
		assert_pf(cpu, PAGE, R, P | PU);
		ram64_set(entries[i], was & ~2ull);
		assert_ok(walk(cpu, PAGE, R, &w));
		assert_false(w.writable);
		assert_pf(cpu, PAGE, W, P | PU | PW);
		ram64_set(entries[i], was | NX);
		assert_ok(walk(cpu, PAGE, W, &w));
		assert_pf(cpu, PAGE, X, P | PU | PI);
		ram64_set(entries[i], was);
	}
}

static void test_wp(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	ram64_set(PTE, PAGE | 1);
	assert_pf(cpu, PAGE, W, P | PW);
	cpu->s.cr0 &= ~(u64)X86_CR0_WP;
	assert_ok(walk(cpu, PAGE, W, &w));
	assert_true(w.writable);
	assert_int_equal(ram64(PTE), PAGE | 1 | A_BIT | D_BIT);
	ram64_set(PTE, PAGE | 5);
	assert_pf(cpu, PAGE, W | X86_ACC_USER, P | PW | PU); /* WP is the supervisor's only */
}

static void test_smep_smap(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	ram64_set(PTE, PAGE | 7);
	assert_ok(walk(cpu, PAGE, X, &w));
	cpu->s.cr4 |= X86_CR4_SMEP;
	assert_pf(cpu, PAGE, X, P | PI);
	assert_ok(walk(cpu, PAGE, R, &w));
	cpu->s.cr4 |= X86_CR4_SMAP;
	assert_pf(cpu, PAGE, R, P);
	assert_pf(cpu, PAGE, W, P | PW);
	assert_pf(cpu, PAGE, R | X86_ACC_SUPER, P);
	cpu->s.rflags |= X86_FL_AC;
	assert_ok(walk(cpu, PAGE, W, &w));
	assert_true(w.writable);
	assert_pf(cpu, PAGE, R | X86_ACC_SUPER, P); /* implicit accesses ignore AC */
	assert_ok(walk(cpu, PAGE, R | X86_ACC_SUPER | X86_ACC_NOSMAP, &w));
	set_cpl(cpu, 3);
	cpu->s.rflags &= ~(u64)X86_FL_AC;
	assert_ok(walk(cpu, PAGE, R, &w));
	assert_ok(walk(cpu, PAGE, X, &w));
}

static void test_reserved_bits(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	cpu->s.maxphyaddr = 40;
	for (unsigned bit = 40; bit < 52; bit++) {
		ram64_set(PTE, PAGE | 3 | 1ull << bit);
		assert_pf(cpu, PAGE, R, P | PR);
	}
	for (unsigned bit = 52; bit < 63; bit++) { /* software's and protection keys' */
		ram64_set(PTE, PAGE | 3 | 1ull << bit);
		assert_ok(walk(cpu, PAGE, R, &w));
	}
	ram64_set(PTE, PAGE | 3 | NX);
	assert_ok(walk(cpu, PAGE, R, &w));
	cpu->s.efer &= ~(u64)X86_EFER_NX;
	assert_pf(cpu, PAGE, W, P | PR | PW);
	cpu->s.efer |= X86_EFER_NX;
	ram64_set(PTE, PAGE | 3 | 1ull << 45);
	cpu->s.maxphyaddr = 46;
	assert_ok(walk(cpu, PAGE, R, &w));
	assert_int_equal(w.gpa, 1ull << 45 | PAGE);
}

static void test_reserved_bits_upper(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	ram64_set(PML4, PDPT | 0x87);
	assert_pf(cpu, PAGE, R, P | PR);
	ram64_set(PML4, PDPT | 7);
	for (unsigned bit = 13; bit <= 20; bit++) {
		ram64_set(PD + 8, 0x200000 | 0x87 | 1ull << bit);
		assert_pf(cpu, 0x200000, R, P | PR);
	}
	for (unsigned bit = 13; bit <= 29; bit++) {
		ram64_set(PDPT + 8, 0x40000000 | 0x87 | 1ull << bit);
		assert_pf(cpu, 0x40000000, R, P | PR);
	}
	ram64_set(PTE, PAGE | 0x83); /* bit 7 of a 4K entry is PAT */
	assert_ok(walk(cpu, PAGE, R, &w));
}

/* 32-bit paging: directory at PD, one table at PT0. */
static void setup_32bit(struct hyp_cpu *cpu, unsigned cpl)
{
	machine_protected(cpu, cpl);
	cpu->s.cr0 |= X86_CR0_PG | X86_CR0_WP;
	cpu->s.cr3 = PD;
	ram32_set(PD, PT0 | 7);
	ram32_set(PT0 + 0x100 * 4, PAGE | 0x107);
	ram32_set(PD + 4, 0x00400000 | 0x87);
	hyp_mode_update(cpu);
}

static void test_32bit(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	setup_32bit(cpu, 3);
	assert_ok(walk(cpu, PAGE + 4, W, &w));
	assert_int_equal(w.gpa, PAGE + 4);
	assert_int_equal(w.page_shift, 12);
	assert_false(w.global);
	assert_int_equal(ram32(PT0 + 0x100 * 4), PAGE | 0x107 | A_BIT | D_BIT);
	assert_int_equal(ram32(PT0 + 0x101 * 4), 0);
	assert_int_equal(ram32(PD), PT0 | 7 | A_BIT);
	cpu->s.cr4 |= X86_CR4_PGE;
	assert_ok(walk(cpu, PAGE + 4, R, &w));
	assert_true(w.global);
	assert_pf(cpu, 0x800000, X, PU); /* no NX without PAE: no I/D */
	assert_pf(cpu, 0x1000, W, PU | PW);
	ram32_set(PD, PT0 | 5);
	assert_pf(cpu, PAGE, W, P | PU | PW);
}

static void test_32bit_pse(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	setup_32bit(cpu, 0);
	ram32_set(0x400000 + 0x12 * 4, 0x33000 | 3); /* without PSE the entry is a table at 4 MiB */
	assert_ok(walk(cpu, 0x412345, R, &w));
	assert_int_equal(w.gpa, 0x33345);
	cpu->s.cr4 |= X86_CR4_PSE;
	assert_ok(walk(cpu, 0x412345, W, &w));
	assert_int_equal(w.gpa, 0x412345);
	assert_int_equal(w.page_shift, 22);
	ram32_set(PD + 4, 0x00400000 | 0x87 | 5 << 13); /* PSE-36 */
	assert_ok(walk(cpu, 0x412345, R, &w));
	assert_int_equal(w.gpa, 0x500412345ull);
	ram32_set(PD + 4, 0x00400000 | 0x87 | 1 << 21);
	assert_pf(cpu, 0x412345, R, P | PR);
	cpu->s.maxphyaddr = 36;
	ram32_set(PD + 4, 0x00400000 | 0x87 | 1 << 17);
	assert_pf(cpu, 0x412345, R, P | PR);
	ram32_set(PD + 4, 0x00400000 | 0x87 | 1 << 16);
	assert_ok(walk(cpu, 0x412345, R, &w));
}

static void setup_pae(struct hyp_cpu *cpu, unsigned cpl)
{
	machine_protected(cpu, cpl);
	cpu->s.cr0 |= X86_CR0_PG | X86_CR0_WP;
	cpu->s.cr4 |= X86_CR4_PAE;
	cpu->s.efer = X86_EFER_NX;
	cpu->s.cr3 = PDPT + 0x20; /* only 32-byte aligned */
	ram64_set(PDPT + 0x20 + 8, PD | 1);
	ram64_set(PD, PT0 | 7);
	ram64_set(PD + 8, 0x200000 | 0x87);
	ram64_set(PT0, 0x5000 | 7);
	hyp_mode_update(cpu);
}

static void test_pae(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	setup_pae(cpu, 3);
	assert_ok(walk(cpu, 0x40000123, W, &w));
	assert_int_equal(w.gpa, 0x5123);
	assert_int_equal(ram64(PT0), 0x5000 | 7 | A_BIT | D_BIT);
	assert_int_equal(ram64(PDPT + 0x28), PD | 1); /* no A bit in a PDPTE */
	assert_ok(walk(cpu, 0x40212345, R, &w));
	assert_int_equal(w.gpa, 0x212345);
	assert_int_equal(w.page_shift, 21);
	assert_pf(cpu, 0x80000000, R, PU);
	ram64_set(PT0, 0x5000 | 7 | NX);
	assert_pf(cpu, 0x40000000, X, P | PU | PI);
	ram64_set(PT0, 0x5000 | 7 | 1ull << 60); /* 62:52 are reserved here */
	assert_pf(cpu, 0x40000000, R, P | PU | PR);
	ram64_set(PDPT + 0x28, PD | 3);
	assert_pf(cpu, 0x40000000, R, P | PU | PR);
}

static void test_rom_tables(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	ram64_set(PD, ROM_START | 7);
	ram64_set(ROM_START + (PAGE >> 12) * 8, PAGE | 3);
	assert_ok(walk(cpu, PAGE, W, &w)); /* the A/D write goes nowhere, as on silicon */
	assert_int_equal(ram64(ROM_START + (PAGE >> 12) * 8), PAGE | 3);
}

/* The table changes between the walker's read and its A/D write: the new entry counts. */
static void test_race(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	machine_long(cpu, 0);
	fake.race_at = PTE;
	fake.race_val = 0x123000 | 3;
	assert_ok(walk(cpu, PAGE + 5, W, &w));
	assert_int_equal(w.gpa, 0x123005);
	assert_int_equal(ram64(PTE), 0x123000 | 3 | A_BIT | D_BIT);
	fake.race_at = PD;
	fake.race_val = 0; /* the whole table went away */
	ram64_set(PD, PT0 | 7);
	assert_pf(cpu, PAGE, R, 0);
	assert_int_equal(ram64(PD), 0);
}

static void test_race_32bit(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	struct x86_walk w;

	setup_32bit(cpu, 0);
	fake.race_at = PT0 + 0x100 * 4;
	fake.race_val = 0xdeadbeef00000000ull | 0x123000 | 1; /* the neighbour is not the walker's */
	assert_ok(walk(cpu, PAGE, R, &w));
	assert_int_equal(w.gpa, 0x123000);
	assert_int_equal(ram64(PT0 + 0x100 * 4), 0xdeadbeef00000000ull | 0x123000 | 1 | A_BIT);
}

static void test_translate(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	bool w, u;
	gpa_t gpa;

	machine_long(cpu, 3);
	cpu->s.cr4 |= X86_CR4_SMAP;
	cpu->s.cr2 = 0x77;
	assert_int_equal(hyp_x86_translate(cpu, 0x212345, &gpa, &w, &u), 0);
	assert_int_equal(gpa, 0x212345);
	assert_true(u);
	assert_int_equal(hyp_x86_translate(cpu, NOT_PRESENT, &gpa, &w, &u), -14);
	assert_int_equal(hyp_x86_translate(cpu, 1ull << 60, &gpa, &w, &u), -14);
	assert_int_equal(cpu->s.cr2, 0x77);
	assert_int_equal(cpu->fault.type, X86_EVENT_NONE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_walk_tests(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_paging), T(test_4level_4k), T(test_fault_leaves_ad_clear), T(test_large_pages),
		T(test_5level), T(test_error_not_present), T(test_rights_every_level), T(test_wp),
		T(test_smep_smap), T(test_reserved_bits), T(test_reserved_bits_upper), T(test_32bit),
		T(test_32bit_pse), T(test_pae), T(test_rom_tables), T(test_race),
		T(test_race_32bit), T(test_translate),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
