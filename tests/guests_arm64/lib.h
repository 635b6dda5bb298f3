/* SPDX-License-Identifier: Apache-2.0 */
/* What the arm64 test guests share. A guest is one C file with guest_main(cpu); it ends with done() or a
 * failed check(). */
#ifndef KUSE_TESTS_GUESTS_ARM64_LIB_H
#define KUSE_TESTS_GUESTS_ARM64_LIB_H

#include "tests/guests_arm64/machine.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

void guest_main(u64 cpu);

/* ---- console, end ---- */
void putch(char c);
void puts_(const char *s);
void puthex(u64 v);
__attribute__((noreturn)) void done(void);
__attribute__((noreturn)) void failed(const char *what, int line, u64 got, u64 want);
#define check(cond) ((cond) ? (void)0 : failed(#cond, __LINE__, 0, 0))
#define check_eq(got, want) check_equal(#got, __LINE__, (u64)(got), (u64)(want))
static inline void check_equal(const char *what, int line, u64 got, u64 want)
{
	if (got != want)
		failed(what, line, got, want);
}

/* ---- devices ---- */
static inline void write64(u64 at, u64 v) { *(volatile u64 *)at = v; }
static inline u64 read64(u64 at) { return *(volatile u64 *)at; }

/* ---- registers ---- */
#define STR_(x) #x
#define STR(x) STR_(x)
#define mrs(reg) \
	({ \
		u64 v_; \
		__asm__ volatile("mrs %0, " STR(reg) : "=r"(v_) : : "memory"); \
		v_; \
	})
#define msr(reg, val) __asm__ volatile("msr " STR(reg) ", %x0" : : "rZ"((u64)(val)) : "memory")
#define isb() __asm__ volatile("isb" : : : "memory")
#define dsb() __asm__ volatile("dsb sy" : : : "memory")

/* ---- exceptions ---- */
struct frame {
	u64 x[31], pc, spsr, esr, far, pad;
};
/* The last one taken: kind of vector (0..15), and what it said. */
struct taken {
	u64 n, vector, pc, spsr, esr, far;
};
extern volatile struct taken taken[MAX_CPUS];
/* Called by the vectors. The default records, and goes on behind the instruction (sync) or returns
 * (interrupts). */
void on_exception(struct frame *f, u64 vector);
extern void (*exception_hook)(struct frame *f, u64 vector); /* instead of the default */
void call_el0(void (*fn)(u64, u64), u64 a, u64 b, u64 sp);
void back_from_el0(void);

#define VEC_CUR_SYNC 4
#define VEC_CUR_IRQ 5
#define VEC_CUR_FIQ 6
#define VEC_CUR_SERROR 7
#define VEC_LOW_SYNC 8
#define VEC_LOW_IRQ 9

/* The instruction(s) in `code` raise exactly this: ESR whole, and 0 others. */
#define expect_esr(want, stmt) \
	do { \
		u64 n_ = taken[0].n; \
		stmt; \
		check_eq(taken[0].n, n_ + 1); \
		check_eq(taken[0].esr, want); \
	} while (0)
#define expect_none(stmt) \
	do { \
		u64 n_ = taken[0].n; \
		stmt; \
		check_eq(taken[0].n, n_); \
	} while (0)
#define ESR(ec, iss) ((u64)(ec) << 26 | 1ul << 25 | (iss))
#define UNDEF ESR(0, 0)
#define sysreg_esr(op0, op1, crn, crm, op2, rt, read) \
	ESR(0x18, (op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (rt) << 5 | (crm) << 1 | (read))

/* ---- stage 1 ---- */
#define PTE_VALID 1ul
#define PTE_TABLE 3ul
#define PTE_PAGE 3ul
#define PTE_BLOCK 1ul
#define PTE_ATTR(n) ((u64)(n) << 2) /* 0 normal, 1 device */
#define PTE_USER (1ul << 6)
#define PTE_RO (1ul << 7)
#define PTE_SH (3ul << 8)
#define PTE_AF (1ul << 10)
#define PTE_NG (1ul << 11)
#define PTE_DBM (1ul << 51)
#define PTE_PXN (1ul << 53)
#define PTE_UXN (1ul << 54)
#define PTE_NORMAL (PTE_ATTR(0) | PTE_SH | PTE_AF)
#define PTE_DEVICE (PTE_ATTR(1) | PTE_AF)

/* 4K granule, 48 bits, RAM and devices identity mapped by 1 GiB blocks, kernel only; TTBR1 off. Returns
 * the level 0 table. */
u64 *mmu_on(u64 tcr_extra);
/* The TTBR0 tables get this page (level 3 descriptor); tables are made as needed. */
u64 *map_page(u64 *root, u64 va, u64 desc);
void mmu_use(u64 *l0, u64 tcr_extra); /* these tables on another CPU */
/* The image is seen by EL0 at UVA too, writable: code there is not EL1's. */
#define UVA 0x8000000000ul
void map_user(u64 *root);
static inline u64 user(const void *p) { return (u64)p + UVA; }
void *alloc_page(void);
void tlbi_all(void);
void cpu_wait(volatile u64 *word, u64 value);

/* ---- several CPUs ---- */
static inline u64 acquire(const u64 *p)
{
	u64 v;

	__asm__ volatile("ldar %0, [%1]" : "=r"(v) : "r"(p) : "memory");
	return v;
}

static inline void release(u64 *p, u64 v)
{
	__asm__ volatile("stlr %0, [%1]" : : "r"(v), "r"(p) : "memory");
}

static inline u64 add_lse(u64 *p)
{
	u64 old;

	__asm__ volatile("ldaddal %1, %0, [%2]" : "=&r"(old) : "r"(1ul), "r"(p) : "memory");
	return old;
}

extern u64 cpus; /* their number, once smp_start() is through */
/* Called by every CPU first: all run with CPU 0's tables (mmu_on(0)), which it returns. */
u64 *smp_start(u64 cpu);
/* All CPUs are here. */
void barrier(void);

#endif
