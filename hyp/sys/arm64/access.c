/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and stores that emitted code does not do itself: soft-TLB misses, page crossings, alignment
 * faults, MMIO.
 *
 * An access that crosses a page is checked in both pages before anything is written. One without RAM
 * leaves as HYP_EXIT_MMIO, with the syndrome a stage-2 abort would have: valid (ISV) for single general
 * registers only.
 */
#include "hyp/ir/ir.h"
#include "hyp/mem/guard.h"
#include "hyp/sys/arm64/access.h"
#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

static unsigned acc_of(const struct hyp_cpu *cpu, u32 mem, unsigned rw)
{
	return mem & IR_MEM_USER && !(cpu->s.pstate & ARM64_PSR_UAO) ? rw | ARM64_ACC_USER : rw;
}

static bool alignment_fault(struct hyp_cpu *cpu, gva_t gva, unsigned acc)
{
	bool write = acc & ARM64_ACC_W && !(acc & ARM64_ACC_ATOMIC);

	arm64_data_abort(cpu, gva, FSC_ALIGN | (write ? ISS_WNR : 0));
	return false;
}

static bool misaligned(gva_t gva, unsigned size)
{
	return gva & (size - 1);
}

bool arm64_check_align(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned acc)
{
	if (misaligned(gva, IR_MEM_SIZE(mem)) && (mem & IR_MEM_ALIGN || arm64_sctlr(cpu) & SCTLR_A))
		return alignment_fault(cpu, gva, acc);
	return true;
}

/* ---- MMIO ----------------------------------------------------------------------------------------- */

static u32 mmio_syndrome(u32 mem, bool write, bool permission, bool valid)
{
	u32 iss = (permission ? FSC_PERM : FSC_TRANS) | 3 | (write ? ISS_WNR : 0);

	if (valid)
		iss |= ISS_ISV | ISS_SAS(mem & 7) | (mem & IR_MEM_SIGN ? ISS_SSE : 0) |
		       ISS_SRT(mem >> 10 & 31) | (mem & IR_MEM_SF ? ISS_SF : 0);
	return iss;
}

bool arm64_mmio_exit(struct hyp_cpu *cpu, gva_t gva, gpa_t gpa, u32 mem, const u64 *write)
{
	bool valid = !(mem & (IR_MEM_PAIR | IR_MEM_NOISV)) && IR_MEM_SIZE(mem) <= 8 &&
		     !misaligned(gva, IR_MEM_SIZE(mem));
	struct arm64_state *s = &cpu->s;

	arm64_exit(cpu, HYP_EXIT_MMIO, 4);
	s->exit.mmio.gpa = gpa;
	s->exit.mmio.len = valid ? (u8)IR_MEM_SIZE(mem) : 0;
	s->exit.mmio.write = write;
	s->exit.mmio.sign = mem & IR_MEM_SIGN;
	s->exit.mmio.sf = mem & IR_MEM_SF;
	s->exit.mmio.rt = mem >> 10 & 31;
	s->exit.mmio.far = gva;
	s->exit.mmio.esr = ESR(EC_DABT_LOW,
			       mmio_syndrome(mem, write, hyp_as_hva(cpu->as, gpa, false), valid));
	__builtin_memcpy(s->exit.mmio.data, write ? write : &(u64){ 0 }, 8);
	cpu->mmio.rt = s->exit.mmio.rt;
	cpu->mmio.len = s->exit.mmio.len;
	cpu->mmio.sign = s->exit.mmio.sign;
	cpu->mmio.sf = s->exit.mmio.sf;
	cpu->mmio.write = write;
	return false;
}

void hyp_arm64_complete_mmio(struct hyp_cpu *cpu)
{
	u64 v = 0;

	if (!cpu->mmio.write && cpu->mmio.len && cpu->mmio.rt != 31) {
		unsigned unused = 64 - 8u * cpu->mmio.len;

		__builtin_memcpy(&v, cpu->s.exit.mmio.data, 8);
		v = cpu->mmio.sign ? (u64)((s64)(v << unused) >> unused) : v << unused >> unused;
		cpu->s.x[cpu->mmio.rt] = cpu->mmio.sf ? v : (u32)v;
	}
	hyp_arm64_skip(cpu);
}

/* ---- the two pages of an access ---- */

struct span {
	struct arm64_place p[2];
	unsigned n[2]; /* bytes; n[1] is 0 for most */
};

/* False: leave is set. */
static bool place_span(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned acc, struct span *sp)
{
	unsigned size = IR_MEM_SIZE(mem), room = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));

	if (!arm64_check_align(cpu, gva, mem, acc))
		return false;
	sp->n[0] = MIN(size, room);
	sp->n[1] = size - sp->n[0];
	if (!arm64_place(cpu, gva, acc, &sp->p[0]) ||
	    (sp->n[1] && !arm64_place(cpu, gva + room, acc, &sp->p[1])))
		return false;
	if ((sp->p[0].device || (sp->n[1] && sp->p[1].device)) && misaligned(gva, size))
		return alignment_fault(cpu, gva, acc);
	return likely(!cpu->watching) || arm64_watch(cpu, gva, size, acc);
}

/* Where there is no RAM; NULL: all is RAM. */
static const struct arm64_place *without_ram(const struct span *sp)
{
	if (!sp->p[0].host)
		return &sp->p[0];
	return sp->n[1] && !sp->p[1].host ? &sp->p[1] : NULL;
}

/* Aligned accesses are single-copy atomic. */
static void copy_in(u64 val[2], const u8 *p, unsigned size)
{
	val[0] = val[1] = 0;
	switch (misaligned((u64)p, size) ? 0 : size) {
	case 1: val[0] = *p; break;
	case 2: val[0] = __atomic_load_n((const u16 *)p, __ATOMIC_SEQ_CST); break;
	case 4: val[0] = __atomic_load_n((const u32 *)p, __ATOMIC_SEQ_CST); break;
	case 8: val[0] = __atomic_load_n((const u64 *)p, __ATOMIC_SEQ_CST); break;
	case 16:
		val[0] = __atomic_load_n((const u64 *)p, __ATOMIC_SEQ_CST);
		val[1] = __atomic_load_n((const u64 *)p + 1, __ATOMIC_SEQ_CST);
		break;
	default: __builtin_memcpy(val, p, size);
	}
}

static void copy_out(u8 *p, const u64 val[2], unsigned size)
{
	switch (misaligned((u64)p, size) ? 0 : size) {
	case 1: __atomic_store_n(p, (u8)val[0], __ATOMIC_RELEASE); break;
	case 2: __atomic_store_n((u16 *)p, (u16)val[0], __ATOMIC_RELEASE); break;
	case 4: __atomic_store_n((u32 *)p, (u32)val[0], __ATOMIC_RELEASE); break;
	case 8: __atomic_store_n((u64 *)p, val[0], __ATOMIC_RELEASE); break;
	case 16:
		__atomic_store_n((u64 *)p, val[0], __ATOMIC_RELEASE);
		__atomic_store_n((u64 *)p + 1, val[1], __ATOMIC_RELEASE);
		break;
	default: __builtin_memcpy(p, val, size);
	}
}

static bool load(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2])
{
	const struct arm64_place *hole;
	struct span sp;

	if (!place_span(cpu, gva, mem, acc_of(cpu, mem, ARM64_ACC_R), &sp))
		return false;
	hole = without_ram(&sp);
	if (hole)
		return arm64_mmio_exit(cpu, gva, hole->gpa, mem, NULL);
	if (!sp.n[1]) {
		copy_in(val, sp.p[0].host, sp.n[0]);
		return true;
	}
	val[0] = val[1] = 0;
	__builtin_memcpy(val, sp.p[0].host, sp.n[0]);
	__builtin_memcpy((u8 *)val + sp.n[0], sp.p[1].host, sp.n[1]);
	return true;
}

static bool store(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2])
{
	const struct arm64_place *hole;
	struct span sp;

	if (!place_span(cpu, gva, mem, acc_of(cpu, mem, ARM64_ACC_W), &sp))
		return false;
	hole = without_ram(&sp);
	if (hole)
		return arm64_mmio_exit(cpu, gva, hole->gpa, mem, val);
	if (sp.n[1]) {
		__builtin_memcpy(sp.p[0].host, val, sp.n[0]);
		__builtin_memcpy(sp.p[1].host, (const u8 *)val + sp.n[0], sp.n[1]);
	} else {
		copy_out(sp.p[0].host, val, sp.n[0]);
	}
	if (mem & IR_MEM_REL) /* no later load-acquire may come before it */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

/* ---- the same under a guard: the host may refuse guest RAM at any time ---- */

bool hyp_arm64_load(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2])
{
	struct hyp_guard g;
	bool ok;

	if (HYP_GUARD(&g, cpu->as))
		return arm64_host_refused(cpu, g.hva);
	ok = load(cpu, gva, mem, val);
	hyp_guard_end(&g);
	return ok;
}

bool hyp_arm64_store(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2])
{
	struct hyp_guard g;
	bool ok;

	if (HYP_GUARD(&g, cpu->as))
		return arm64_host_refused(cpu, g.hva);
	ok = store(cpu, gva, mem, val);
	hyp_guard_end(&g);
	return ok;
}
