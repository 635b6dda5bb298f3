/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties that hold whatever the guest puts in its tables: random descriptors, gates, stacks, TSS and
 * operands, in every mode. A fault leaves the registers as they were; a success leaves a CPU whose CPL,
 * selectors, mode and RIP agree; nothing reads or writes outside RAM (this suite runs under ASan too).
 */
#include "tests/hyp_sys/fake.h"

#define CASES 100000

static u64 seed = 0x9e3779b97f4a7c15ull;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned pick(unsigned n)
{
	return (unsigned)(rnd() >> 33) % n;
}

static u16 any_selector(void)
{
	static const u16 sels[] = {
		0, 3, SEL_K64, SEL_KDATA, SEL_K32, SEL_U32, SEL_UDATA, SEL_U64, SEL_TSS, SEL_ABSENT_DATA,
		SEL_RO_DATA, SEL_XO_CODE, SEL_CONFORMING, SEL_LDT, SEL_GATE, SEL_FREE, SEL_FREE2,
		GDT_LIMIT + 1,
	};
	u16 sel = pick(8) ? sels[pick(ARRAY_SIZE(sels))] : (u16)rnd();

	return pick(4) ? sel : sel ^ pick(4);
}

static u64 any_address(struct hyp_cpu *cpu)
{
	switch (pick(6)) {
	case 0: return rnd();
	case 1: return NOT_PRESENT + pick(64);
	case 2: return 0x0000800000000000ull - pick(64);
	case 3: return 0xffffffff81000000ull;
	case 4: return pick(0x20000);
	}
	return cpu->s.rip;
}

static u64 any_flags(void)
{
	return pick(2) ? rnd() : 0x202;
}

/* A few bits of the tables are not what the canned machine has. */
static void spoil_tables(struct hyp_cpu *cpu)
{
	for (unsigned i = pick(4); i--;) {
		gpa_t at = GDT + pick(GDT_LIMIT / 8) * 8;

		ram64_set(at, pick(3) ? ram64(at) ^ 1ull << (40 + pick(24)) : rnd());
	}
	ram64_set(GDT + SEL_GATE, (u64)(0x84 | pick(4) << 5 | pick(16)) << 40 | (u64)any_selector() << 16 |
					  (u64)pick(32) << 32 | pick(0x10000));
	if (pick(2))
		ram64_set(GDT + SEL_GATE + 8, pick(4) ? 0 : rnd());
	for (unsigned i = pick(4); i--;)
		set_gate64(pick(64), any_selector(), any_address(cpu), 0x80 | (unsigned)rnd() % 128, pick(8));
	for (unsigned i = pick(3); i--;)
		ram64_set(TSS + 4 + pick(12) * 8, any_address(cpu));
}

static void any_machine(struct hyp_cpu *cpu)
{
	static const u32 cr4_bits[] = { X86_CR4_SMEP, X86_CR4_SMAP, X86_CR4_PCIDE, X86_CR4_PVI };
	struct x86_state *s = &cpu->s;

	s->seg[X86_CS].ar = 0x9b;
	s->cr0 = X86_CR0_ET;
	s->efer = s->cr4 = 0;
	switch (pick(5)) {
	case 0:
		machine_protected(cpu, pick(2) * 3);
		break;
	case 1:
		machine_real(cpu);
		break;
	default:
		machine_long(cpu, pick(2) * 3);
		s->cr4 |= cr4_bits[pick(4)];
	}
	s->is_amd = pick(2);
	s->star = rnd();
	s->sysenter_cs = pick(4) ? 0x10 : rnd();
	s->lstar = s->cstar = s->sysenter_eip = 0xffffffff81000000ull;
	s->sfmask = rnd();
	s->gpr[X86_RCX] = any_address(cpu);
	s->gpr[X86_RDX] = any_address(cpu);
	s->gpr[X86_R11] = rnd();
	if (!pick(8))
		s->rflags |= X86_FL_NT;
	if (!pick(8))
		s->rflags |= X86_FL_IOPL;
	hyp_mode_update(cpu);
}

/* Something to return to. */
static void any_stack(struct hyp_cpu *cpu)
{
	static const u8 sizes[] = { 2, 4, 8 };
	unsigned size = sizes[pick(3)];
	u64 frame[5] = { any_address(cpu), any_selector(), any_flags(), any_address(cpu), any_selector() };
	gpa_t at = (u32)(cpu->s.seg[X86_SS].base + cpu->s.gpr[X86_RSP] - 64);

	if (!pick(8)) {
		cpu->s.gpr[X86_RSP] = any_address(cpu);
		return;
	}
	cpu->s.gpr[X86_RSP] -= 64;
	for (unsigned i = 0; i < 5; i++)
		memcpy(fake_ram + at + i * size, &frame[i], size);
}

static enum x86_ret any_instruction(struct hyp_cpu *cpu)
{
	static const u8 sizes[] = { 2, 4, 8 };
	unsigned size = sizes[cpu->code_size == 64 ? pick(3) : pick(2)];
	unsigned to = cpu->code_size == 64 && pick(2) ? 8 : 4;
	u32 out;
	bool ok;
	u64 v;

	switch (pick(20)) {
	case 0: return x86_load_seg(cpu, pick(6), any_selector());
	case 1: return x86_lldt(cpu, any_selector());
	case 2: return x86_ltr(cpu, any_selector());
	case 3: return x86_lar(cpu, any_selector(), &out, &ok);
	case 4: return x86_far_jmp(cpu, any_selector(), any_address(cpu), size);
	case 5: return x86_far_call(cpu, any_selector(), any_address(cpu), size, cpu->s.rip + 7);
	case 6: return x86_far_ret(cpu, size, pick(2) * 8);
	case 7: case 8: case 9: return x86_iret(cpu, size);
	case 10: return x86_syscall(cpu, cpu->s.rip + 2);
	case 11: return x86_sysret(cpu, to);
	case 12: return x86_sysenter(cpu);
	case 13: return x86_sysexit(cpu, to);
	case 14: return x86_softint(cpu, pick(64), cpu->s.rip + 2);
	case 15: return x86_popf(cpu, size);
	case 16: return x86_mov_to_cr(cpu, pick(9), pick(2) ? rnd() : cpu->s.cr0 ^ 1ull << pick(32));
	case 17: return x86_mov_to_dr(cpu, pick(8), pick(2) ? rnd() : (u32)rnd());
	case 18: return x86_pop(cpu, &v, size);
	}
	return x86_push(cpu, rnd(), size);
}

static bool flat_tables(const struct hyp_cpu *cpu)
{
	return cpu->mode >= HYP_MODE_PROT;
}

/* CS, SS, CPL, mode and RIP fit together. */
static void assert_consistent(struct hyp_cpu *cpu)
{
	const struct x86_state *s = &cpu->s;
	bool lm = s->efer & X86_EFER_LMA;
	struct hyp_cpu copy = { .s = *s };

	hyp_mode_update(&copy);
	assert_int_equal(copy.mode, cpu->mode);
	assert_int_equal(copy.tlb_part, cpu->tlb_part);
	assert_int_equal(copy.code_size, cpu->code_size);
	assert_true(s->rflags & 2);
	assert_int_equal(s->rflags & 0x8028, 0);
	if (lm)
		assert_false(s->rflags & X86_FL_VM);
	if (!flat_tables(cpu))
		return;
	assert_int_equal(s->seg[X86_CS].sel & 3, x86_cpl(s));
	assert_int_equal(s->seg[X86_CS].ar & (X86_AR_P | X86_AR_S | 8), X86_AR_P | X86_AR_S | 8);
	if (cpu->code_size != 64)
		assert_true(s->rip <= s->seg[X86_CS].limit);
}

/* CR2 is the page fault's own, and IRET unblocks NMIs even where it faults. */
static void assert_unchanged(const struct x86_state *was, struct x86_state *now)
{
	now->cr2 = was->cr2;
	now->dr6 = was->dr6;
	assert_memory_equal(now, was, offsetof(struct x86_state, exit));
}

static void test_instructions(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	static struct x86_state was;
	unsigned ok = 0, faults = 0;

	for (unsigned i = 0; i < CASES; i++) {
		enum x86_ret ret;

		any_machine(cpu);
		spoil_tables(cpu);
		any_stack(cpu);
		cpu->df = 0;
		was = cpu->s;
		memset(&cpu->fault, 0, sizeof(cpu->fault));
		ret = any_instruction(cpu);
		if (ret == X86_FAULT) {
			assert_int_equal(cpu->fault.type, X86_EVENT_EXCEPTION);
			assert_unchanged(&was, &cpu->s);
			faults++;
		} else if (ret == X86_OK) {
			assert_consistent(cpu);
			ok++;
		}
		x86_mmio_drop(cpu);
	}
	assert_true(ok > CASES / 10);
	assert_true(faults > CASES / 10);
}

static void test_delivery(void **state)
{
	struct hyp_cpu *cpu = cpu_of(state);
	static struct x86_state was;
	unsigned ok = 0, shutdowns = 0;

	for (unsigned i = 0; i < CASES; i++) {
		struct x86_event ev = { .type = 1 + pick(3), .vector = pick(64), .has_error = pick(2) };

		any_machine(cpu);
		spoil_tables(cpu);
		any_stack(cpu);
		was = cpu->s;
		if (x86_deliver(cpu, &ev) == X86_OK) {
			assert_consistent(cpu);
			assert_int_equal(cpu->fault.type, X86_EVENT_NONE);
			ok++;
		} else if (cpu->s.exit.reason == HYP_EXIT_SHUTDOWN) {
			assert_unchanged(&was, &cpu->s);
			shutdowns++;
		}
		x86_mmio_drop(cpu);
	}
	assert_true(ok > CASES / 2);
	assert_true(shutdowns > CASES / 200);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int run_random_tests(void)
{
	const struct CMUnitTest tests[] = { T(test_instructions), T(test_delivery) };

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
