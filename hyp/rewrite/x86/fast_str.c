/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REP STOS and REP MOVS of 64-bit code inside one page each, without leaving translated code: kernels clear
 * and copy small structures with them all the time. A stub for each partition, instruction and element size.
 *
 * A site jumps here with the way to its helper in S2, as in fast.c; the instruction is over HYP_FAST_RESUME
 * bytes behind that. The soft TLB must have the pages (to read, to write; the latter says that no translated
 * code is there), all elements must lie in them, and DF must be clear. If the host refuses the memory, the
 * signal handler (hyp_fast_str_fault) goes on behind the instruction with the way back moved to the helper:
 * RCX, RSI and RDI say how far it got, and the helper meets the fault again.
 */
#include "hyp/rewrite/x86/fast.h"

__asm__(".text\n"
	".globl hyp_fast_str_begin\n.hidden hyp_fast_str_begin\n"
	"hyp_fast_str_begin:\n"

	/* \\reg: guest address -> \\host: host address; r14 destroyed */
	".macro str_page part tag reg host shift slow\n"
	"	mov %\\reg, %r14\n"
	"	rorx $str_tlb_bits, %r14, %\\host\n"
	"	xor %r14d, %\\host\\()d\n"
	"	shr $7, %\\host\\()d\n"
	"	and $str_tlb_mask, %\\host\\()d\n"
	"	sub %gs:str_tlb+\\part*str_part+\\tag(%\\host), %r14\n"
	"	cmp $0xfff, %r14\n"
	"	ja \\slow\n"
	"	mov %gs:str_tlb+\\part*str_part+str_host(%\\host), %\\host\n"
	"	add %r14, %\\host\n"
	"	neg %r14\n"
	"	add $0x1000, %r14\n"
	"	shr $\\shift, %r14\n"
	"	cmp %r14, %rcx\n"
	"	ja \\slow\n"
	".endm\n"

	/* \\reg: guest -> host, the difference to its slot */
	".macro str_redirect reg host slot\n"
	"	mov %\\reg, %r14\n"
	"	sub %\\host, %r14\n"
	"	mov %r14, %gs:\\slot\n"
	"	mov %\\host, %\\reg\n"
	".endm\n"

	".macro str_back to\n"
	"	popf\n"
	"	mov %gs:str_way, %r13\n"
	"	lea \\to(%r13), %r13\n"
	"	jmp *%r13\n"
	".endm\n"

	".macro str_stos part shift insn\n"
	"hyp_fast_stos_\\part\\()_\\shift:\n"
	"	mov %r13, %gs:str_way\n"
	"	pushf\n"
	"	cmpl $0, %gs:str_df\n"
	"	jne 9f\n"
	"	str_page \\part str_write_tag rdi r13 \\shift 9f\n"
	"	str_redirect rdi r13 str_rdi\n"
	"	rep \\insn\n"
	"	add %gs:str_rdi, %rdi\n"
	"	str_back str_resume\n"
	"9:	str_back 0\n"
	".endm\n"

	".macro str_movs part shift insn\n"
	"hyp_fast_movs_\\part\\()_\\shift:\n"
	"	mov %r13, %gs:str_way\n"
	"	pushf\n"
	"	push %r12\n"
	"	cmpl $0, %gs:str_df\n"
	"	jne 9f\n"
	"	str_page \\part str_read_tag rsi r12 \\shift 9f\n"
	"	str_page \\part str_write_tag rdi r13 \\shift 9f\n"
	"	str_redirect rsi r12 str_rsi\n"
	"	str_redirect rdi r13 str_rdi\n"
	"	rep \\insn\n"
	"	add %gs:str_rsi, %rsi\n"
	"	add %gs:str_rdi, %rdi\n"
	"	pop %r12\n"
	"	str_back str_resume\n"
	"9:	pop %r12\n"
	"	str_back 0\n"
	".endm\n"

	".irp part, 0, 1, 2\n"
	"	str_stos \\part 0 stosb\n	str_stos \\part 1 stosw\n	str_stos \\part 2 stosl\n"
	"	str_stos \\part 3 stosq\n"
	"	str_movs \\part 0 movsb\n	str_movs \\part 1 movsw\n	str_movs \\part 2 movsl\n"
	"	str_movs \\part 3 movsq\n"
	".endr\n"
	".globl hyp_fast_str_end\n.hidden hyp_fast_str_end\n"
	"hyp_fast_str_end:\n"

	/* their addresses in the order of HYP_FAST_STR */
	".section .data.rel.ro, \"aw\"\n"
	".p2align 3\n"
	".globl hyp_fast_str_stubs\n.hidden hyp_fast_str_stubs\n"
	"hyp_fast_str_stubs:\n"
	".irp part, 0, 1, 2\n"
	"	.irp shift, 0, 1, 2, 3\n	.quad hyp_fast_stos_\\part\\()_\\shift\n	.endr\n"
	"	.irp shift, 0, 1, 2, 3\n	.quad hyp_fast_movs_\\part\\()_\\shift\n	.endr\n"
	".endr\n"
	".text\n");

/* The offsets the assembly above uses, as absolute symbols. */
__attribute__((used)) static void offsets(void)
{
#define SET(name, value) __asm__ volatile(".set str_" name ", %c0" : : "i"(value))
#define OFF(name, field) SET(name, offsetof(struct hyp_cpu, field))
	OFF("way", scratch[2]);
	OFF("rdi", scratch[6]);
	OFF("rsi", scratch[7]);
	OFF("df", df);
	OFF("tlb", tlb);
	SET("part", sizeof(((struct hyp_cpu *)0)->tlb[0]));
	SET("read_tag", offsetof(struct hyp_tlb_entry, read_tag));
	SET("write_tag", offsetof(struct hyp_tlb_entry, write_tag));
	SET("host", offsetof(struct hyp_tlb_entry, host));
	SET("tlb_bits", HYP_TLB_BITS);
	SET("tlb_mask", (HYP_TLB_SIZE - 1) << HYP_TLB_SLOT_SHIFT);
	SET("resume", HYP_FAST_RESUME);
#undef OFF
#undef SET
}

bool hyp_fast_str_fault(struct hyp_cpu *cpu, u64 *rip)
{
	const u8 *p = (const u8 *)*rip;

	if (*rip < (u64)hyp_fast_str_begin || *rip >= (u64)hyp_fast_str_end)
		return false;
	while (*p == 0xf3 || *p == 0x66 || *p == 0x48) /* REP, operand size, REX.W */
		p++;
	*rip = (u64)p + 1;
	cpu->scratch[2] -= HYP_FAST_RESUME;
	return true;
}
