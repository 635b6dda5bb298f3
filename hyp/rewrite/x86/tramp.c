/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into translated code and out of it. GS is the CPU; see engine.h for the registers.
 *
 * hyp_enter(cpu, code): saves the host's callee-saved registers, loads the guest's and jumps.
 * hyp_leave: called from translated code; stores the guest's registers, cpu->resume = address behind
 * the CALL, and returns from hyp_enter. By a jump: the CPU expects a RET to go back behind that CALL, and
 * would be wrong every time. hyp_leave_tail: the same where a signal handler has already stored everything.
 */
#include "hyp/rewrite/x86/engine.h"

_Static_assert(offsetof(struct hyp_cpu, s.gpr) == 0, "gs:[8*n] is guest register n");

#define STR(x) #x
#define XSTR(x) STR(x)

__asm__(".text\n"
	".globl hyp_enter\n.hidden hyp_enter\n.type hyp_enter, @function\n"
	"hyp_enter:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	sub $8, %rsp\n"
	"	mov %rsp, %gs:hyp_off_host_rsp\n"
	"	mov %rsi, %gs:hyp_off_resume\n"
	"	mov %gs:hyp_off_ax_flags, %rax\n"
	"	add $0x7f, %al\n"
	"	sahf\n"
	"	mov %gs:0, %rax\n	mov %gs:8, %rcx\n	mov %gs:16, %rdx\n	mov %gs:24, %rbx\n"
	"	mov %gs:32, %r15\n	mov %gs:40, %rbp\n	mov %gs:48, %rsi\n	mov %gs:56, %rdi\n"
	"	mov %gs:64, %r8\n	mov %gs:72, %r9\n	mov %gs:80, %r10\n	mov %gs:88, %r11\n"
	"	mov %gs:96, %r12\n"
	"	mov %gs:hyp_off_s1, %r14\n	mov %gs:hyp_off_s2, %r13\n"
	"	jmp *%gs:hyp_off_resume\n"
	".size hyp_enter, .-hyp_enter\n"
	".globl hyp_leave\n.hidden hyp_leave\n.type hyp_leave, @function\n"
	"hyp_leave:\n"
	"	popq %gs:hyp_off_resume\n"
	"	mov %rax, %gs:0\n	mov %rcx, %gs:8\n	mov %rdx, %gs:16\n	mov %rbx, %gs:24\n"
	"	mov %r15, %gs:32\n	mov %rbp, %gs:40\n	mov %rsi, %gs:48\n	mov %rdi, %gs:56\n"
	"	mov %r8, %gs:64\n	mov %r9, %gs:72\n	mov %r10, %gs:80\n	mov %r11, %gs:88\n"
	"	mov %r12, %gs:96\n"
	"	mov %r14, %gs:hyp_off_s1\n	mov %r13, %gs:hyp_off_s2\n"
	"	lahf\n	seto %al\n	mov %rax, %gs:hyp_off_ax_flags\n"
	".globl hyp_leave_tail\n.hidden hyp_leave_tail\n"
	"hyp_leave_tail:\n"
	"	mov %gs:hyp_off_host_rsp, %rsp\n"
	"	add $8, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	pop %rcx\n"
	"	jmp *%rcx\n"
	".globl hyp_leave_end\n.hidden hyp_leave_end\n"
	"hyp_leave_end:\n"
	".size hyp_leave, .-hyp_leave\n");

/* The offsets the assembly above uses, as absolute symbols. */
__attribute__((used)) static void offsets(void)
{
#define OFF(name, field) \
	__asm__ volatile(".set hyp_off_" name ", %c0" : : "i"(offsetof(struct hyp_cpu, field)))
	OFF("host_rsp", host_rsp);
	OFF("resume", resume);
	OFF("ax_flags", ax_flags);
	OFF("s1", scratch[4]);
	OFF("s2", scratch[5]);
}
