/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for the tests of hyp/sys/x86: RAM in an array, no soft TLB (every access walks), flushes
 * counted. It stands in for hyp/mem; everything under test is the real code.
 */
#ifndef KUSE_TESTS_HYP_SYS_FAKE_H
#define KUSE_TESTS_HYP_SYS_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "hyp/sys/x86/sys.h"

#define RAM_SIZE (64ull << 20)
#define ROM_START 0x3000000ull /* [ROM_START, ROM_END): reads are RAM, writes are MMIO */
#define ROM_END 0x3010000ull

struct fake_counts {
	unsigned flush_all, flush_nonglobal, flush_page, state_changed;
	gva_t flushed;
	/* Another CPU: when the walker asks to write gpa race_at, the entry becomes race_val first, once. */
	gpa_t race_at;
	u64 race_val;
};
extern struct fake_counts fake;
extern u8 *fake_ram;

/* A fresh CPU in reset state, zeroed RAM. */
int fake_setup(void **state);
int fake_teardown(void **state);
static inline struct hyp_cpu *cpu_of(void **state) { return *state; }

u64 ram64(gpa_t gpa);
void ram64_set(gpa_t gpa, u64 val);
u32 ram32(gpa_t gpa);
void ram32_set(gpa_t gpa, u32 val);

/* Where the canned machines keep things (linear = physical there). */
enum {
	PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT0 = 0x4000, PML5 = 0x5000,
	GDT = 0x6000, IDT = 0x7000, TSS = 0x8000, LDT = 0x9000,
	STACK0 = 0x10000, IST1 = 0x12000, STACK3 = 0x18000, /* tops */
	HANDLER = 0x20000, /* entry of vector v is HANDLER + v * 16 */
	NOT_PRESENT = 0x1f0000, /* a page PT0 leaves out */
};

/* GDT of the canned machines */
enum {
	SEL_K64 = 0x08, SEL_KDATA = 0x10, SEL_K32 = 0x18, SEL_U32 = 0x23, SEL_UDATA = 0x2b, SEL_U64 = 0x33,
	SEL_TSS = 0x38, /* 16 bytes */
	SEL_ABSENT_DATA = 0x48, SEL_RO_DATA = 0x50, SEL_XO_CODE = 0x58, SEL_CONFORMING = 0x60,
	SEL_LDT = 0x68, /* 16 bytes */
	SEL_GATE = 0x78, /* 16 bytes: call gate, free for the test */
	SEL_FREE = 0x88, SEL_FREE2 = 0x90, GDT_LIMIT = 0x97,
};

#define DESC(type_s_dpl_p, flags) \
	(0x000000000000ffffull | (u64)(type_s_dpl_p) << 40 | 0xfull << 48 | (u64)(flags) << 52)
#define DESC_CODE64(dpl) DESC(0x9b | (dpl) << 5, 0xa)
#define DESC_CODE32(dpl) DESC(0x9b | (dpl) << 5, 0xc)
#define DESC_DATA(dpl) DESC(0x93 | (dpl) << 5, 0xc)

/* 64-bit mode: 0-2 MiB identity in 4K pages (supervisor unless changed), rest of RAM in 2M user pages,
 * GDT, TSS with stacks, an IDT whose every vector is an interrupt gate. */
void machine_long(struct hyp_cpu *cpu, unsigned cpl);
/* 32-bit flat protected mode without paging, same GDT, 32-bit TSS and IDT. */
void machine_protected(struct hyp_cpu *cpu, unsigned cpl);
/* Real mode as after reset, CS:IP 0x1000:0x100, SS:SP 0x2000:0x1000, IVT at 0. */
void machine_real(struct hyp_cpu *cpu);

void set_gate64(unsigned vector, u16 cs, u64 rip, unsigned type_dpl_p, unsigned ist);
void set_gate32(unsigned vector, u16 cs, u32 rip, unsigned type_dpl_p);
void set_cpl(struct hyp_cpu *cpu, unsigned cpl);

static inline struct x86_event exception(u8 vector, bool has_error, u32 error)
{
	return (struct x86_event){ .type = X86_EVENT_EXCEPTION, .vector = vector, .has_error = has_error,
				   .error = error };
}

/* The call faulted with this vector and error code. */
#define assert_fault(cpu, expr, vec, err) \
	do { \
		assert_int_equal((expr), X86_FAULT); \
		assert_int_equal((cpu)->fault.type, X86_EVENT_EXCEPTION); \
		assert_int_equal((cpu)->fault.vector, (vec)); \
		assert_true((cpu)->fault.has_error); \
		assert_int_equal((cpu)->fault.error, (err)); \
	} while (0)
#define assert_fault_noerr(cpu, expr, vec) \
	do { \
		assert_int_equal((expr), X86_FAULT); \
		assert_int_equal((cpu)->fault.vector, (vec)); \
		assert_false((cpu)->fault.has_error); \
	} while (0)
#define assert_ok(expr) assert_int_equal((expr), X86_OK)

/* What main.c runs; each program has a list, which ends with NULL. */
struct test_group {
	const char *name;
	int (*run)(void);
};
extern const struct test_group test_groups[];

#endif
