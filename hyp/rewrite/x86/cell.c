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
 * where the soft TLB needs its index first, a load that depends on it, and an addition: 12 cycles in
 * front of every load of a chain. Operands with an index go through [S1 + S2] with S2 the host page.
 *
 * The cold side jumps to a stub with S2 at a struct hyp_cell_ref. The stub looks into the soft TLB and
 * copies the entry to the cell; what it does not find goes to the handler of SITE_MEM. A refill costs
 * some 70 cycles, what is written above saves six. So a place whose page changes all the time is better
 * off without a cell: every HYP_CELL_MISSES refills the handler looks at the clock, and if they came
 * faster than one in HYP_CELL_CYCLES cycles, the cell is taken away (heat.c).
 *
 * Guest-live.
 */
#include "hyp/rewrite/x86/cell.h"

_Static_assert(sizeof(struct hyp_cell) == 1 << HYP_CELL_SHIFT, "emitted index arithmetic");
_Static_assert(sizeof(struct hyp_cell_ref) == 10, "stubs step over it");
_Static_assert(offsetof(struct hyp_cell_ref, cell) == 4 && offsetof(struct hyp_cell_ref, limit) == 6 &&
		       offsetof(struct hyp_cell_ref, based) == 8,
	       "stubs read it");

#define HYP_CELL_CYCLES 3000

/*
 * S1: address less the cell's tag. Found: S1 = offset in the page, on where S2 is loaded. Not found: on
 * behind the reference with S1 = address.
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
	".macro cell_stubs part cells tlb fills\n"
	"	cell_fill hyp_cell_fill_\\part\\()r \\cells \\tlb 0 \\fills\n"
	"	cell_fill hyp_cell_fill_\\part\\()w \\cells \\tlb 8 \\fills\n"
	".endm\n"
	"	cell_stubs 0 cell_cells0 cell_tlb0 cell_fills0\n"
	"	cell_stubs 1 cell_cells1 cell_tlb1 cell_fills1\n"
	"	cell_stubs 2 cell_cells2 cell_tlb2 cell_fills2\n"
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
	OFF("fills0", cell_fills[0]);
	OFF("fills1", cell_fills[1]);
	OFF("fills2", cell_fills[2]);
#undef OFF
	__asm__ volatile(".set cell_bits, %c0\n.set cell_mask, %c1\n.set cell_fills_max, %c2"
			 : : "i"(HYP_TLB_BITS), "i"((HYP_TLB_SIZE - 1) << HYP_TLB_SLOT_SHIFT), "i"(HYP_FILLS_MAX));
}

#define STUB(part, rw) extern const char hyp_cell_fill_##part##rw[]
STUB(0, r);
STUB(0, w);
STUB(1, r);
STUB(1, w);
STUB(2, r);
STUB(2, w);
#undef STUB

#define STUB(part, rw) hyp_cell_fill_##part##rw
const char *const hyp_cell_stubs[HYP_TLB_PARTS * 2] = {
	STUB(0, r), STUB(0, w), STUB(1, r), STUB(1, w), STUB(2, r), STUB(2, w),
};

void hyp_cell_judge(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, struct hyp_block *b,
		    const struct hyp_site *site)
{
	struct hyp_cell *c = &cpu->cell[site->ac_part][ref->cell];
	u32 now;

	if (c->misses >= 0)
		return;
	c->misses = HYP_CELL_MISSES;
	now = hyp_cell_now();
	if (now - c->since < HYP_CELL_MISSES * HYP_CELL_CYCLES >> 10 && ref->cell != HYP_CELL_STACK)
		hyp_take_cell(cpu, b, b->pc + site->guest_off);
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
