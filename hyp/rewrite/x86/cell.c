/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page cells. A place in translated code that accesses memory has a cell: the page it went to last.
 *
 *	lea s1, [base + disp]
 *	sub s1, gs:[cell.tag]		; offset in that page
 *	cmp s1, 4096 - size
 *	ja cold
 *	mov s2, gs:[cell.addend]	; nothing before this is on the way of the data: the branch is
 *	op [base + s2 + disp]		; predicted, and the address is base + a value from memory
 *
 * where the soft TLB needs its index first, a load that depends on it, and an addition: 12 cycles in front of
 * every load of a chain. Operands with an index go through [S1 + S2] with S2 the host page.
 *
 * The cold side jumps to a stub with S2 at a struct hyp_cell_ref. CELL_FILL looks into the soft TLB and
 * copies the entry to the cell; what it does not find goes to the handler of SITE_MEM. A place whose page
 * changes all the time (a random walk) is better off without a cell: every HYP_CELL_MISSES refills the
 * handler looks at the clock, and if they came faster than one in HYP_CELL_CYCLES cycles, the check is
 * overwritten with a jump to the cold side, and that goes to CELL_PASS.
 *
 * Guest-live.
 */
#include "hyp/rewrite/x86/cell.h"

_Static_assert(sizeof(struct hyp_cell) == 1 << HYP_CELL_SHIFT, "emitted index arithmetic");
_Static_assert(sizeof(struct hyp_cell_ref) == 10, "stubs step over it");
_Static_assert(offsetof(struct hyp_cell_ref, cell) == 4 && offsetof(struct hyp_cell_ref, limit) == 6 &&
		       offsetof(struct hyp_cell_ref, based) == 8,
	       "stubs read it");
_Static_assert(sizeof(struct hyp_large_entry) == 32 && HYP_LARGE_SHIFT == 21 && HYP_LARGE_VALID == 1 &&
		       offsetof(struct hyp_large_entry, host) == 8,
	       "large_lookup reads it");

#define HYP_CELL_CYCLES 300
#define HYP_CELL_NEVER 0x7fffffff

/*
 * S1: address (less the cell's tag, in CELL_FILL). Found: S1 = offset in the page; CELL_FILL resumes where S2
 * is loaded, CELL_PASS behind that with S2 in place. Not found: on behind the reference with S1 = address.
 */
__asm__(".text\n"
	".macro cell_lookup cells tlb tag\n"
	"	mov %r14, %gs:cell_gva\n"
	"	rorx $cell_bits, %r14, %r13\n"
	"	xor %r14d, %r13d\n"
	"	shr $7, %r13d\n"
	"	and $cell_mask, %r13d\n"
	"	sub %gs:\\tlb+\\tag(%r13), %r14\n"
	"	mov %gs:cell_ref, %rcx\n"
	"	movzwl 6(%rcx), %ecx\n"
	"	cmp %rcx, %r14\n"
	"	ja 9f\n"
	"	mov %gs:\\tlb+16(%r13), %r13\n"
	".endm\n"
	".macro cell_missed\n"
	"9:	mov %gs:cell_gva, %r14\n"
	"	mov %gs:cell_rcx, %rcx\n"
	"	mov %gs:cell_ref, %r13\n"
	"	lea 10(%r13), %r13\n"
	"	jmp *%r13\n"
	".endm\n"
	".macro cell_fill name cells tlb tag fills\n"
	".globl \\name\n.hidden \\name\n"
	"\\name:\n"
	"	mov %rcx, %gs:cell_rcx\n"
	"	mov %r13, %gs:cell_ref\n"
	"	movzwl 4(%r13), %ecx\n"
	"	shl $5, %ecx\n"
	"	add %gs:\\cells(%rcx), %r14\n"
	"	cell_lookup \\cells \\tlb \\tag\n"
	"	push %rax\n"
	"	push %rdx\n"
	"	mov %gs:cell_ref, %rdx\n"
	"	movzwl 4(%rdx), %edx\n"
	"	mov %edx, %ecx\n"
	"	shl $5, %ecx\n"
	"	decl %gs:\\cells+24(%rcx)\n"
	"	js 8f\n"
	"	cmpb $0x40, %gs:\\cells+23(%rcx)\n" /* HYP_CELL_NO_HOST */
	"	jne 1f\n" /* listed since it was emptied */
	"	movzwl %gs:\\fills, %eax\n"
	"	cmp $cell_fills_max, %eax\n"
	"	ja 1f\n"
	"	je 2f\n"
	"	mov %dx, %gs:\\fills+2(,%rax,2)\n"
	"2:	incw %gs:\\fills\n"
	"1:	mov %gs:cell_gva, %rax\n"
	"	sub %r14, %rax\n"
	"	mov %rax, %gs:\\cells(%rcx)\n"
	"	mov %r13, %gs:\\cells+8(%rcx)\n"
	"	neg %rax\n"
	"	add %r13, %rax\n"
	"	mov %rax, %gs:\\cells+16(%rcx)\n"
	"	pop %rdx\n"
	"	pop %rax\n"
	"	mov %gs:cell_ref, %r13\n"
	"	movslq (%r13), %rcx\n"
	"	add %rcx, %r13\n"
	"	mov %gs:cell_rcx, %rcx\n"
	"	jmp *%r13\n"
	"8:	pop %rdx\n"
	"	pop %rax\n"
	"	cell_missed\n"
	".endm\n"
	/* Not in the soft TLB: a read may still find its large page. As cell_lookup, or on behind. */
	".macro large_lookup large\n"
	"	mov %gs:cell_gva, %r13\n"
	"	mov %r13, %r14\n"
	"	shr $16, %r13\n" /* 21 bits of offset; entries of 32 bytes */
	"	and $large_index, %r13d\n"
	"	and $-2097152, %r14\n"
	"	or $1, %r14\n"
	"	cmp %r14, %gs:\\large(%r13)\n"
	"	jne 7f\n"
	"	mov %gs:cell_gva, %r14\n"
	"	mov %gs:cell_ref, %rcx\n"
	"	and $4095, %r14d\n"
	"	movzwl 6(%rcx), %ecx\n"
	"	cmp %ecx, %r14d\n"
	"	ja 7f\n"
	"	mov %gs:cell_gva, %rcx\n"
	"	and $0x1ff000, %ecx\n"
	"	add %gs:\\large+8(%r13), %rcx\n"
	"	mov %rcx, %r13\n"
	".endm\n"
	".macro cell_pass name cells tlb tag fills large=0\n"
	".globl \\name\n.hidden \\name\n"
	"\\name:\n"
	"	mov %rcx, %gs:cell_rcx\n"
	"	mov %r13, %gs:cell_ref\n"
	"	cell_lookup \\cells \\tlb \\tag\n"
	"5:	mov %gs:cell_ref, %rcx\n"
	"	cmpb $0, 8(%rcx)\n"
	"	je 1f\n"
	"	add %r14, %r13\n"
	"	sub %gs:cell_gva, %r13\n"
	"1:	push %rax\n"
	"	movslq (%rcx), %rax\n"
	"	lea 9(%rcx,%rax), %rcx\n"
	"	pop %rax\n"
	"	mov %rcx, %gs:cell_ref\n"
	"	mov %gs:cell_rcx, %rcx\n"
	"	jmp *%gs:cell_ref\n"
	".ifnc \\large,0\n"
	"9:	large_lookup \\large\n"
	"	jmp 5b\n"
	"7:\n"
	".endif\n"
	"	cell_missed\n"
	".endm\n"
	".macro cell_stubs part cells tlb fills large\n"
	"	cell_fill hyp_cell_fill_\\part\\()r \\cells \\tlb 0 \\fills\n"
	"	cell_fill hyp_cell_fill_\\part\\()w \\cells \\tlb 8 \\fills\n"
	"	cell_pass hyp_cell_pass_\\part\\()r \\cells \\tlb 0 \\fills \\large\n"
	"	cell_pass hyp_cell_pass_\\part\\()w \\cells \\tlb 8 \\fills\n"
	".endm\n"
	"	cell_stubs 0 cell_cells0 cell_tlb0 cell_fills0 cell_large0\n"
	"	cell_stubs 1 cell_cells1 cell_tlb1 cell_fills1 cell_large1\n"
	"	cell_stubs 2 cell_cells2 cell_tlb2 cell_fills2 cell_large2\n"
	".globl hyp_cell_stubs_end\n.hidden hyp_cell_stubs_end\n"
	"hyp_cell_stubs_end:\n");

/* The offsets the assembly above uses, as absolute symbols. */
__attribute__((used)) static void offsets(void)
{
#define OFF(name, field) __asm__ volatile(".set cell_" name ", %c0" : : "i"(offsetof(struct hyp_cpu, field)))
	OFF("rcx", scratch[2]);
	OFF("ref", scratch[3]);
	OFF("gva", scratch[6]);
	OFF("cells0", cell[0]);
	OFF("cells1", cell[1]);
	OFF("cells2", cell[2]);
	OFF("tlb0", tlb[0]);
	OFF("tlb1", tlb[1]);
	OFF("tlb2", tlb[2]);
	OFF("large0", large[0]);
	OFF("large1", large[1]);
	OFF("large2", large[2]);
	OFF("fills0", cell_fills[0]);
	OFF("fills1", cell_fills[1]);
	OFF("fills2", cell_fills[2]);
#undef OFF
	__asm__ volatile(".set cell_bits, %c0\n.set cell_mask, %c1\n.set cell_fills_max, %c2"
			 : : "i"(HYP_TLB_BITS), "i"((HYP_TLB_SIZE - 1) << HYP_TLB_SLOT_SHIFT), "i"(HYP_FILLS_MAX));
	__asm__ volatile(".set large_index, %c0" : : "i"((HYP_LARGE_SIZE - 1) << 5));
}

#define STUB(part, rw) extern const char hyp_cell_fill_##part##rw[], hyp_cell_pass_##part##rw[]
STUB(0, r);
STUB(0, w);
STUB(1, r);
STUB(1, w);
STUB(2, r);
STUB(2, w);
#undef STUB

#define STUB(part, rw) hyp_cell_fill_##part##rw, hyp_cell_pass_##part##rw
const char *const hyp_cell_stubs[HYP_TLB_PARTS * 2 * CELL_STUBS] = {
	STUB(0, r), STUB(0, w), STUB(1, r), STUB(1, w), STUB(2, r), STUB(2, w),
};

static u64 host_tsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

/*
 * The check becomes a jump to the cold side, which starts 12 bytes before the reference. That of a planned
 * check goes on filling its cell: only the comparison goes.
 */
static void demote(struct hyp_engine *e, const struct hyp_cell_ref *ref, const struct hyp_site *site)
{
	u32 at = (u32)((u8 *)ref - e->rx), check = at + (u32)ref->resume - CELL_CHECK_LEN;
	u32 stub = e->cell_stub[CELL_STUB(site->ac_part, site->write, CELL_PASS)];

	((struct hyp_cell_ref *)(e->rw + at))->demoted = 1;
	if (site->kind == SITE_CHECK)
		check += CELL_SUB_LEN;
	else
		*(u32 *)(e->rw + at - 4) = stub - at;
	e->rw[check] = 0xe9;
	*(u32 *)(e->rw + check + 1) = at - 12 - (check + 5);
}

void hyp_cell_judge(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, const struct hyp_site *site)
{
	struct hyp_cell *c = &cpu->cell[site->ac_part][ref->cell];
	u32 now;

	if (c->misses >= 0)
		return;
	c->misses = ref->demoted ? HYP_CELL_NEVER : HYP_CELL_MISSES;
	if (ref->demoted)
		return;
	now = (u32)(host_tsc() >> 10);
	if (now - c->since < HYP_CELL_MISSES * HYP_CELL_CYCLES >> 10 && ref->cell != HYP_CELL_STACK) {
		demote(cpu->engine, ref, site);
		cpu->stats[HYP_STAT_demoted]++;
	}
	c->since = now;
}

bool hyp_cell_refill(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, const struct hyp_site *site,
		     gva_t gva)
{
	const struct hyp_tlb_entry *e = &cpu->tlb[site->ac_part][hyp_tlb_slot(gva)];
	bool write = site->write || (ref && ref->cell == HYP_CELL_STACK);
	gva_t page = gva & PAGE_MASK;
	struct hyp_cell *c;

	if ((write ? e->write_tag : e->read_tag) != page)
		return false;
	if (!ref)
		return true;
	c = &cpu->cell[site->ac_part][ref->cell];
	if (c->host == HYP_CELL_NO_HOST)
		hyp_fills_add(&cpu->cell_fills[site->ac_part], ref->cell);
	*c = (struct hyp_cell){ page, e->host, e->host - page, c->misses, c->since };
	return true;
}

/* ---- blocks that are better off without plans ------------------------------------------------ */

#define FAILS_MAX 16

static unsigned unplanned_slot(u64 pc)
{
	return (unsigned)(pc * 0x9e3779b97f4a7c15ull >> 56) % ARRAY_SIZE(((struct hyp_engine *)0)->unplanned);
}

bool hyp_cell_unplanned(const struct hyp_engine *e, u64 pc)
{
	return e->unplanned[unplanned_slot(pc)] == (pc ^ HYP_CELL_NO_TAG);
}

void hyp_cell_failed(struct hyp_cpu *cpu, struct hyp_block *b)
{
	struct hyp_engine *e = cpu->engine;

	if (b->dead || ++b->fails < FAILS_MAX)
		return;
	e->unplanned[unplanned_slot(b->pc)] = b->pc ^ HYP_CELL_NO_TAG;
	tcache_kill(e, b);
	cpu->stats[HYP_STAT_unplanned]++;
}
