/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into emitted code, out of it, and to C and back. GS is the CPU. Pinned registers are those of
 * alloc.c.
 *
 * emit_enter(cpu, code): saves the host's callee-saved registers, loads the pinned ones and jumps.
 * emit_leave: called from emitted code; stores the pinned ones, cpu->resume = address behind the CALL (the
 * site), and returns from emit_enter. emit_stub_call, emit_stub_mem: called from emitted code, call C with
 * the site and come back behind it. All state is in the structure meanwhile. Where cpu->leave is set
 * afterwards (mem: C returned false) they leave with cpu->resume = 0.
 */
#include "hyp/emit/x86/em.h"

#define STORE_PINNED \
	"	mov %rbx, %gs:0\n	mov %rbp, %gs:8\n	mov %r12, %gs:16\n	mov %r13, %gs:24\n" \
	"	mov %r9, %gs:32\n	mov %r10, %gs:40\n	mov %r14, %gs:152\n	mov %r15, %gs:160\n" \
	"	mov %r11, %gs:248\n"
#define LOAD_VOLATILE "	mov %gs:32, %r9\n	mov %gs:40, %r10\n	mov %gs:248, %r11\n"
#define LOAD_PINNED \
	"	mov %gs:0, %rbx\n	mov %gs:8, %rbp\n	mov %gs:16, %r12\n	mov %gs:24, %r13\n" \
	"	mov %gs:152, %r14\n	mov %gs:160, %r15\n" LOAD_VOLATILE
#define SAVE_ALLOC \
	"	mov %rdx, %gs:emit_off_save\n	mov %rsi, %gs:emit_off_save + 8\n" \
	"	mov %rdi, %gs:emit_off_save + 16\n	mov %r8, %gs:emit_off_save + 24\n"
#define LOAD_ALLOC \
	"	mov %gs:emit_off_save, %rdx\n	mov %gs:emit_off_save + 8, %rsi\n" \
	"	mov %gs:emit_off_save + 16, %rdi\n	mov %gs:emit_off_save + 24, %r8\n"

_Static_assert(offsetof(struct hyp_cpu, s.x) == 0, "gs:[8*n] is guest register n");

__asm__(".text\n"
	".globl emit_enter\n.hidden emit_enter\n.type emit_enter, @function\n"
	"emit_enter:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	sub $8, %rsp\n"
	"	mov %rsp, %gs:emit_off_host_rsp\n"
	LOAD_PINNED
	"	jmp *%rsi\n"
	".globl emit_leave\n.hidden emit_leave\n"
	"emit_leave:\n"
	"	popq %gs:emit_off_resume\n"
	"	mov %rax, %gs:emit_off_target\n"
	STORE_PINNED
	".globl emit_leave_tail\n.hidden emit_leave_tail\n"
	"emit_leave_tail:\n"
	"	mov %gs:emit_off_host_rsp, %rsp\n"
	"	add $8, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	".size emit_enter, .-emit_enter\n"

	".globl emit_stub_mem\n.hidden emit_stub_mem\n"
	"emit_stub_mem:\n"
	STORE_PINNED
	SAVE_ALLOC
	"	mov (%rsp), %rsi\n"
	"	rdgsbase %rdi\n"
	"	sub $8, %rsp\n"
	"	call emit_slow_mem\n"
	"	add $8, %rsp\n"
	"	test %al, %al\n"
	"	je emit_left\n"
	LOAD_VOLATILE
	LOAD_ALLOC
	"	addq $20, (%rsp)\n"
	"	ret\n"

	".globl emit_stub_call\n.hidden emit_stub_call\n"
	"emit_stub_call:\n"
	STORE_PINNED
	SAVE_ALLOC
	"	mov (%rsp), %rsi\n"
	"	rdgsbase %rdi\n"
	"	sub $8, %rsp\n"
	"	call emit_call_helper\n"
	"	add $8, %rsp\n"
	"	cmpl $0, %gs:emit_off_leave\n"
	"	jne emit_left\n"
	LOAD_PINNED
	LOAD_ALLOC
	"	addq $20, (%rsp)\n"
	"	ret\n"
	"emit_left:\n"
	"	movq $0, %gs:emit_off_resume\n"
	"	jmp emit_leave_tail\n");

/* The offsets the assembly above uses, as absolute symbols. */
__attribute__((used)) static void offsets(void)
{
#define DEFINE(name, off) __asm__ volatile(".set emit_off_" name ", %c0" : : "i"(off))
	DEFINE("host_rsp", OFF(host_rsp));
	DEFINE("resume", OFF(resume));
	DEFINE("leave", OFF(leave));
	DEFINE("target", OFF_SCRATCH(EM_TARGET));
	DEFINE("save", OFF_SCRATCH(EM_SAVE));
}
