/* SPDX-License-Identifier: Apache-2.0 */
/* What bench/micro runs: functions of (rdi: count, rsi: buffer) that change caller-saved registers only. */
#include "bench/micro/micro.h"

#define CODE(name, ...)                                                                                      \
	__asm__(".text\n.p2align 12\ncode_" #name ":\n" __VA_ARGS__ "code_" #name "_end:\n");                 \
	extern const char code_##name[], code_##name##_end[]

#define COUNTED(body) "1:\n" body "	dec %rdi\n	jnz 1b\n	ret\n"
#define TIMES(n, body) "	.rept " #n "\n" body "	.endr\n"

CODE(loop, "1:	sub $1, %rdi\n	jnz 1b\n	ret\n");
CODE(loop_dec, COUNTED("")); /* leaves CF alone */
CODE(branch, COUNTED("	xor %eax, %eax\n" TIMES(16, "	jz 2f\n	ud2\n2:\n")));
CODE(page, COUNTED("	jmp 2f\n	.skip 4096, 0xcc\n2:\n"));
CODE(ijump, COUNTED(TIMES(8, "	lea 2f(%rip), %rax\n	jmp *%rax\n	ud2\n2:\n")));
CODE(ijump_16,
     "	lea 4f(%rip), %rdx\n"
     "1:	mov %edi, %eax\n	and $15, %eax\n	shl $5, %eax\n	add %rdx, %rax\n	jmp *%rax\n"
     "	.p2align 5\n4:\n" TIMES(16, "	dec %rdi\n	jnz 1b\n	ret\n	.p2align 5\n"));
/* Targets of 32 bytes (CODE_TARGET), 13 apart, around and around; the buffer says (their number - 1) * 32. */
CODE(ijump_miss, "	xor %r8d, %r8d\n	mov (%rsi), %rcx\n	add $4096, %rsi\n	jmp *%rsi\n");
CODE(target, "	dec %rdi\n	jz 9f\n	add $416, %r8\n	and %rcx, %r8\n	lea (%rsi, %r8), %rax\n"
	     "	jmp *%rax\n9:	ret\n");
CODE(call, COUNTED(TIMES(8, "	call 5f\n")) "5:	ret\n");
CODE(icall, "	lea 5f(%rip), %rdx\n" COUNTED(TIMES(8, "	call *%rdx\n")) "5:	ret\n");
CODE(load, COUNTED(TIMES(16, "	mov (%rsi), %rsi\n")));
CODE(store, COUNTED(TIMES(16, "	mov %rdi, (%rsi)\n")));
CODE(push, COUNTED(TIMES(8, "	push %rdi\n	pop %rax\n")));
CODE(syscall, COUNTED("	mov $39, %eax\n	syscall\n")); /* on the host: getpid */
CODE(stos, COUNTED(TIMES(8, "	mov %rsi, %rdx\n	xchg %rdi, %rdx\n	mov $8, %ecx\n	rep stosq\n"
			    "	mov %rdx, %rdi\n")));
CODE(handler, "	sysretq\n");
CODE(out, COUNTED("	out %al, $0x11\n"));

#define ROW(index, name) [index] = { code_##name, code_##name##_end }
const struct micro_code micro_code[] = {
	ROW(CODE_LOOP, loop),
	ROW(CODE_LOOP_DEC, loop_dec),
	ROW(CODE_BRANCH, branch),
	ROW(CODE_PAGE, page),
	ROW(CODE_IJUMP, ijump),
	ROW(CODE_IJUMP_16, ijump_16),
	ROW(CODE_IJUMP_MISS, ijump_miss),
	ROW(CODE_CALL, call),
	ROW(CODE_ICALL, icall),
	ROW(CODE_LOAD, load),
	ROW(CODE_STORE, store),
	ROW(CODE_PUSH, push),
	ROW(CODE_SYSCALL, syscall),
	ROW(CODE_OUT, out),
	ROW(CODE_STOS, stos),
	ROW(CODE_HANDLER, handler),
	ROW(CODE_TARGET, target),
};
