/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSCALL from user code and SYSRET to it without leaving translated code: what x86_syscall, x86_sysret
 * and hyp_mode_update do, for 64-bit code on both sides and flags that ask for nothing unusual.
 *
 * A site jumps to a stub with the way to its helper in S2 (and the address behind the SYSCALL in S1). A stub
 * that finds a condition not met restores the flags and goes there, with nothing changed.
 *
 * They go on through the other privilege's jump cache, whose entries must have been made under the block key
 * that its code has now: cpu->jc_ready, set by whoever computes a key (current_key), cleared by everything
 * that changes what keys depend on and at each entry of hyp_cpu_run.
 */
#include "hyp/rewrite/x86/fast.h"
#include "hyp/sys/x86/desc.h"

__asm__(".text\n"
	/* the slow way: S2 = where, flags are on the stack */
	".globl hyp_fast_begin\n.hidden hyp_fast_begin\n"
	"hyp_fast_begin:\n"
	"hyp_fast_slow:\n"
	"	popf\n"
	"	mov %gs:fast_slow, %r13\n"
	"	jmp *%r13\n"

	/* to S1: from guest flags in r13d to the host's; CS and SS selectors are in place */
	".macro fast_enter cs ss dpl part\n"
	"	movq $0, %gs:fast_cs+fast_seg_base\n"
	"	movl $-1, %gs:fast_cs+fast_seg_limit\n"
	"	movl $fast_code64+\\dpl, %gs:fast_cs+fast_seg_ar\n"
	"	movq $0, %gs:fast_ss+fast_seg_base\n"
	"	movl $-1, %gs:fast_ss+fast_seg_limit\n"
	"	movl $fast_data+\\dpl, %gs:fast_ss+fast_seg_ar\n"
	"	movb $\\part, %gs:fast_tlb_part\n"
	"	mov %rax, %gs:fast_rax\n"
	"	mov %r13d, %eax\n"
	"	and $0x400, %r13d\n"
	"	mov %r13d, %gs:fast_df\n"
	"	xchg %al, %ah\n" /* AH: SF ZF AF PF CF as SAHF wants them; AL bit 3: OF */
	"	and $8, %al\n"
	"	add $0x78, %al\n"
	"	sahf\n"
	"	mov %gs:fast_rax, %rax\n"
	"	lea 8(%rsp), %rsp\n"
	"	rorx $fast_hash_shift, %r14, %r13\n"
	"	lea (%r13,%r14), %r13\n"
	"	pext %gs:fast_jc_mask, %r13, %r13\n"
	"	jmp *%gs:fast_jc+\\part*fast_jc_size(,%r13,8)\n"
	".endm\n"

	".globl hyp_fast_syscall\n.hidden hyp_fast_syscall\n"
	"hyp_fast_syscall:\n"
	"	mov %r13, %gs:fast_slow\n"
	"	mov %r14, %gs:fast_next\n"
	"	pushf\n"
	"	testb $1, %gs:fast_efer\n" /* SCE */
	"	jz hyp_fast_slow\n"
	"	cmpb $0, %gs:fast_ready_kernel\n"
	"	je hyp_fast_slow\n"
	"	mov (%rsp), %r13d\n"
	"	and $fast_arith, %r13d\n"
	"	mov %gs:fast_rflags, %r14d\n"
	"	and $~(fast_arith | 0x10400), %r14d\n" /* RF, DF */
	"	or %r14d, %r13d\n"
	"	or %gs:fast_df, %r13d\n"
	"	or $2, %r13d\n"
	"	mov %gs:fast_sfmask, %r14\n"
	"	andn %r13, %r14, %r14\n"
	"	test $0x40000, %r14d\n" /* AC: another partition */
	"	jnz hyp_fast_slow\n"
	"	mov %r13, %r11\n"
	"	mov %gs:fast_next, %rcx\n"
	"	or $2, %r14d\n"
	"	mov %r14, %gs:fast_rflags\n"
	"	movzwl %gs:fast_star+4, %r13d\n"
	"	and $0xfffc, %r13d\n"
	"	mov %r13w, %gs:fast_cs+fast_seg_sel\n"
	"	add $8, %r13d\n"
	"	mov %r13w, %gs:fast_ss+fast_seg_sel\n"
	"	mov %r14d, %r13d\n"
	"	mov %gs:fast_lstar, %r14\n"
	"	incl %gs:fast_entries\n"
	"	fast_enter fast_cs fast_ss 0 0\n"

	".globl hyp_fast_sysret\n.hidden hyp_fast_sysret\n"
	"hyp_fast_sysret:\n"
	"	mov %r13, %gs:fast_slow\n"
	"	pushf\n"
	"	testb $1, %gs:fast_efer\n"
	"	jz hyp_fast_slow\n"
	"	cmpb $0, %gs:fast_ready_user\n"
	"	je hyp_fast_slow\n"
	"	cmpw $0, %gs:fast_windows\n" /* IF may rise */
	"	jne hyp_fast_slow\n"
	"	mov %rcx, %r13\n"
	"	shr $47, %r13\n"
	"	jnz hyp_fast_slow\n"
	"	test $0x40100, %r11d\n" /* AC, TF */
	"	jnz hyp_fast_slow\n"
	"	mov %r11d, %r14d\n"
	"	and $0x3c7fd7, %r14d\n"
	"	or $2, %r14d\n"
	"	mov %r14, %gs:fast_rflags\n"
	"	movzwl %gs:fast_star+6, %r13d\n"
	"	add $8, %r13d\n"
	"	or $3, %r13d\n"
	"	mov %r13w, %gs:fast_ss+fast_seg_sel\n"
	"	movzwl %gs:fast_star+6, %r13d\n"
	"	add $16, %r13d\n"
	"	or $3, %r13d\n"
	"	mov %r13w, %gs:fast_cs+fast_seg_sel\n"
	"	mov %r14d, %r13d\n"
	"	mov %rcx, %r14\n"
	"	fast_enter fast_cs fast_ss 0x60 2\n"
	".globl hyp_fast_end\n.hidden hyp_fast_end\n"
	"hyp_fast_end:\n");

_Static_assert(HYP_TLB_KERNEL == 0 && HYP_TLB_USER == 2 && 3u << X86_AR_DPL_SHIFT == 0x60, "constants above");
_Static_assert(offsetof(struct x86_state, want_nmi_window) == offsetof(struct x86_state, want_irq_window) + 1,
	       "one comparison for both");

/* The offsets the assembly above uses, as absolute symbols. */
__attribute__((used)) static void offsets(void)
{
#define SET(name, value) __asm__ volatile(".set fast_" name ", %c0" : : "i"(value))
#define OFF(name, field) SET(name, offsetof(struct hyp_cpu, field))
	OFF("rax", scratch[0]);
	OFF("slow", scratch[2]);
	OFF("next", scratch[3]);
	OFF("entries", kernel_entries);
	OFF("efer", s.efer);
	OFF("rflags", s.rflags);
	OFF("df", df);
	OFF("sfmask", s.sfmask);
	OFF("star", s.star);
	OFF("lstar", s.lstar);
	OFF("windows", s.want_irq_window);
	OFF("cs", s.seg[X86_CS]);
	OFF("ss", s.seg[X86_SS]);
	OFF("tlb_part", tlb_part);
	OFF("ready_kernel", jc_ready[HYP_TLB_KERNEL]);
	OFF("ready_user", jc_ready[HYP_TLB_USER]);
	OFF("jc", jc);
	OFF("jc_mask", jc_mask);
	SET("jc_size", sizeof(((struct hyp_cpu *)0)->jc[0]));
	SET("hash_shift", JC_HASH_SHIFT);
	SET("seg_base", offsetof(struct x86_seg, base));
	SET("seg_limit", offsetof(struct x86_seg, limit));
	SET("seg_ar", offsetof(struct x86_seg, ar));
	SET("seg_sel", offsetof(struct x86_seg, sel));
	SET("arith", X86_FL_ARITH);
	SET("code64", X86_AR_FLAT_CODE64);
	SET("data", X86_AR_FLAT_DATA);
#undef OFF
#undef SET
}

const char *const hyp_fast_stubs[HYP_FAST_STUBS] = {
	[HYP_FAST_SYSCALL] = hyp_fast_syscall,
	[HYP_FAST_SYSRET] = hyp_fast_sysret,
};
