/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusives and atomics on guest memory, by the host's own atomic instructions.
 *
 * The monitor remembers address, size and value of the last load-exclusive. The store-exclusive is a
 * compare-and-swap against that value, so it also succeeds where another CPU has written the same value
 * back meanwhile: as with every emulation by compare-and-swap. Software that needs more than "still this
 * value" does not exist in practice, since compilers make compare-and-swap of exclusives.
 */
#include "hyp/ir/ir.h"
#include "hyp/mem/guard.h"
#include "hyp/sys/arm64/access.h"
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

/* *old = what was there. */
static void host_cas16(u8 *p, const u64 expect[2], const u64 val[2], u64 old[2])
{
	u64 lo = expect[0], hi = expect[1];

	__asm__ volatile("lock cmpxchg16b %2"
			 : "+a"(lo), "+d"(hi), "+m"(*(u64(*)[2])p)
			 : "b"(val[0]), "c"(val[1])
			 : "cc", "memory");
	old[0] = lo;
	old[1] = hi;
}

#define CAS(type) \
	do { \
		type e = (type)expect[0]; \
		__atomic_compare_exchange_n((type *)p, &e, (type)val[0], false, __ATOMIC_SEQ_CST, \
					    __ATOMIC_SEQ_CST); \
		old[0] = e; \
	} while (0)

static void host_cas(u8 *p, unsigned size, const u64 expect[2], const u64 val[2], u64 old[2])
{
	old[1] = 0;
	switch (size) {
	case 1: CAS(u8); break;
	case 2: CAS(u16); break;
	case 4: CAS(u32); break;
	case 8: CAS(u64); break;
	default: host_cas16(p, expect, val, old);
	}
}

static u64 trunc_to(u64 v, unsigned size)
{
	return size >= 8 ? v : v & ((1ull << 8 * size) - 1);
}

static s64 sext_from(u64 v, unsigned size)
{
	unsigned unused = size >= 8 ? 0 : 64 - 8 * size;

	return (s64)(v << unused) >> unused;
}

/* LSE: what is stored, by IR_ATOMIC's cc */
static u64 combine(unsigned op, u64 old, u64 val, unsigned size)
{
	s64 so = sext_from(old, size), sv = sext_from(val, size);

	val = trunc_to(val, size);
	switch (op) {
	case 0: return old + val;
	case 1: return old & ~val;
	case 2: return old ^ val;
	case 3: return old | val;
	case 4: return so > sv ? old : val;
	case 5: return so < sv ? old : val;
	case 6: return old > val ? old : val;
	case 7: return old < val ? old : val;
	default: return val;
	}
}

static u64 peek(const u8 *p, unsigned size)
{
	switch (size) {
	case 1: return *p;
	case 2: return __atomic_load_n((const u16 *)p, __ATOMIC_RELAXED);
	case 4: return __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
	default: return __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED);
	}
}

/* One aligned place for an atomic access, with RAM. False: leave is set. */
static bool place_atomic(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned acc, const u64 *write, u8 **p)
{
	struct arm64_place at;

	mem |= IR_MEM_ALIGN | IR_MEM_NOISV;
	if (!arm64_check_align(cpu, gva, mem, acc) || !arm64_place(cpu, gva, acc, &at))
		return false;
	if (unlikely(cpu->watching) && !arm64_watch(cpu, gva, IR_MEM_SIZE(mem), acc))
		return false;
	if (!at.host)
		return arm64_mmio_exit(cpu, gva, at.gpa, mem, write);
	*p = at.host;
	return true;
}

#define ACC_RMW (ARM64_ACC_R | ARM64_ACC_W | ARM64_ACC_ATOMIC)

bool hyp_arm64_cas(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 expect[2], const u64 val[2], u64 old[2])
{
	struct hyp_guard g;
	bool ok;
	u8 *p;

	if (HYP_GUARD(&g, cpu->as))
		return arm64_host_refused(cpu, g.hva);
	ok = place_atomic(cpu, gva, mem, ACC_RMW, val, &p);
	if (ok)
		host_cas(p, IR_MEM_SIZE(mem), expect, val, old);
	hyp_guard_end(&g);
	return ok;
}

static u64 host_atomic(u8 *p, unsigned size, unsigned op, u64 val)
{
	u64 expect[2] = { peek(p, size), 0 }, new[2] = { 0, 0 }, old[2];

	for (;; expect[0] = old[0]) {
		new[0] = combine(op, expect[0], val, size);
		host_cas(p, size, expect, new, old);
		if (old[0] == expect[0])
			return old[0];
	}
}

bool hyp_arm64_atomic(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned op, u64 val, u64 *old)
{
	struct hyp_guard g;
	bool ok;
	u8 *p;

	if (HYP_GUARD(&g, cpu->as))
		return arm64_host_refused(cpu, g.hva);
	ok = place_atomic(cpu, gva, mem, ACC_RMW, &val, &p);
	if (ok)
		*old = host_atomic(p, IR_MEM_SIZE(mem), op, val);
	hyp_guard_end(&g);
	return ok;
}

bool hyp_arm64_load_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2])
{
	if (!hyp_arm64_load(cpu, gva, mem | IR_MEM_ALIGN | IR_MEM_NOISV, val))
		return false;
	cpu->ex_addr = gva;
	cpu->ex_val[0] = val[0];
	cpu->ex_val[1] = val[1];
	cpu->s.exclusive = (u8)IR_MEM_SIZE(mem);
	return true;
}

/* The monitor stays closed while the store has yet to be tried (an exit comes back). */
static bool store_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2], u64 *failed)
{
	unsigned size = IR_MEM_SIZE(mem);
	u64 old[2];
	u8 *p;

	if (!arm64_check_align(cpu, gva, mem | IR_MEM_ALIGN, ARM64_ACC_W))
		return false;
	*failed = 1;
	if (cpu->s.exclusive != size || cpu->ex_addr != gva) {
		cpu->s.exclusive = 0;
		return true;
	}
	if (!place_atomic(cpu, gva, mem, ARM64_ACC_W, val, &p))
		return false;
	host_cas(p, size, cpu->ex_val, val, old); /* the host may refuse the place: a guard leaves here */
	cpu->s.exclusive = 0;
	*failed = old[0] != cpu->ex_val[0] || (size == 16 && old[1] != cpu->ex_val[1]);
	return true;
}

bool hyp_arm64_store_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2], u64 *failed)
{
	struct hyp_guard g;
	bool ok;

	if (HYP_GUARD(&g, cpu->as))
		return arm64_host_refused(cpu, g.hva);
	ok = store_excl(cpu, gva, mem, val, failed);
	hyp_guard_end(&g);
	return ok;
}
