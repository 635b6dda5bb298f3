/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code page of the stub (stub.h): the one signal handler, which is copied to HYP_STUB_BASE and runs
 * there.
 *
 * It uses no stack and trusts no register: guest code can jump to any byte of it with any register values.
 * What it then reaches are the three SYSCALLs, which the seccomp filter (filter.c) knows by their addresses:
 * `park` is harmless from anywhere, the other two need the secret, which is in the control area only between
 * the engine's answer to `park` and the store below.
 *
 * AC may be set: every access is aligned.
 */
#include <asm/unistd.h>

#include "hyp/direct/x86/stub_layout.h"

	.section .rodata.hyp_stub, "a", @progbits
	.balign	64

	.macro symbol name
	.globl	\name
	.hidden	\name
\name:
	.endm

/* A signal: RDI its number, RSI siginfo, RDX ucontext, which the engine gets as the arguments of `park`. */
symbol hyp_stub_code
	.set	ctl, hyp_stub_code + STUB_CODE_SIZE
	rdfsbase %rax
	mov	%rax, ctl + STUB_CTL_FS_BASE(%rip)
	rdgsbase %rax
	mov	%rax, ctl + STUB_CTL_GS_BASE(%rip)
park:
	mov	$__NR_sched_yield, %eax
	syscall
symbol hyp_stub_park_ip
	mov	ctl + STUB_CTL_COUNT(%rip), %rbx
	lea	ctl + STUB_CTL_CALLS(%rip), %r12
	jmp	2f
1:	mov	STUB_CALL_NR(%r12), %rax
	mov	STUB_CALL_ARG(0)(%r12), %rdi
	mov	STUB_CALL_ARG(1)(%r12), %rsi
	mov	STUB_CALL_ARG(2)(%r12), %rdx
	mov	STUB_CALL_ARG(3)(%r12), %r10
	mov	STUB_CALL_ARG(4)(%r12), %r8
	mov	STUB_CALL_ARG(5)(%r12), %r9
	or	ctl + STUB_CTL_SECRET_FLAGS(%rip), %r10
	or	ctl + STUB_CTL_SECRET_FD(%rip), %r8
	syscall
symbol hyp_stub_call_ip
	mov	%rax, STUB_CALL_RESULT(%r12)
	add	$STUB_CALL_SIZE, %r12
	dec	%rbx
2:	test	%rbx, %rbx
	jnz	1b

	/* The secret moves to where rt_sigreturn shows it to the filter and overwrites it. */
	xor	%eax, %eax
	mov	ctl + STUB_CTL_SECRET_FLAGS(%rip), %r10
	mov	ctl + STUB_CTL_SECRET_FD(%rip), %r8
	mov	%rax, ctl + STUB_CTL_SECRET_FLAGS(%rip)
	mov	%rax, ctl + STUB_CTL_SECRET_FD(%rip)
	cmp	%rax, ctl + STUB_CTL_AGAIN(%rip)
	je	3f
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	jmp	park

3:	mov	ctl + STUB_CTL_FS_BASE(%rip), %rax
	wrfsbase %rax
	mov	ctl + STUB_CTL_GS_BASE(%rip), %rax
	wrgsbase %rax
	lea	ctl + STUB_CTL_RFLAGS(%rip), %rsp /* ID and NT, which rt_sigreturn leaves as they are */
	popfq
	mov	ctl + STUB_CTL_FRAME(%rip), %rsp
	mov	$__NR_rt_sigreturn, %eax
	syscall
symbol hyp_stub_sigreturn_ip
	ud2
symbol hyp_stub_restorer
	ud2
symbol hyp_stub_code_end

	.section .note.GNU-stack, "", @progbits
