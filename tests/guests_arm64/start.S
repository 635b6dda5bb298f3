/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of every CPU (x0: its number), vectors that save a frame and call on_exception(frame, vector). */
#include "tests/guests_arm64/machine.h"

	.section .start, "ax"
	.globl _start
_start:
	adr	x1, stacks
	add	x2, x0, #1
	mov	x3, #STACK_BYTES
	madd	x1, x2, x3, x1
	mov	sp, x1
	adr	x1, vectors
	msr	vbar_el1, x1
	isb
	b	guest_main

	.macro	vector n
	.balign	128
	sub	sp, sp, #288
	stp	x0, x1, [sp]
	mov	x1, #\n
	b	save_frame
	.endm

	.text
	.balign	2048
	.globl	vectors
vectors:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector	\n
	.endr

save_frame:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x2, elr_el1
	stp	x30, x2, [sp, #240]
	mrs	x2, spsr_el1
	mrs	x3, esr_el1
	stp	x2, x3, [sp, #256]
	mrs	x2, far_el1
	str	x2, [sp, #272]
	mov	x0, sp
	bl	on_exception
	ldp	x30, x2, [sp, #240]
	ldr	x3, [sp, #256]
	msr	elr_el1, x2
	msr	spsr_el1, x3
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	ldp	x0, x1, [sp]
	add	sp, sp, #288
	eret

	.globl	call_el0
	/* void call_el0(fn, a, b, user_sp): at EL0 with all interrupts masked as now; returns by SVC #0xe0 */
call_el0:
	stp	x29, x30, [sp, #-16]!
	stp	x19, x20, [sp, #-16]!
	stp	x21, x22, [sp, #-16]!
	stp	x23, x24, [sp, #-16]!
	stp	x25, x26, [sp, #-16]!
	stp	x27, x28, [sp, #-16]!
	msr	sp_el0, x3
	msr	elr_el1, x0
	mov	x3, #0x3c0
	msr	spsr_el1, x3
	and	x4, x0, #~((1 << 39) - 1)	/* the image as EL0 sees it */
	adr	x30, el0_return
	add	x30, x30, x4
	mov	x0, x1
	mov	x1, x2
	eret
el0_return:
	svc	#0xe0

	.globl	back_from_el0
	/* where on_exception goes for that SVC: its frame is dropped, x0 as EL0 left it */
back_from_el0:
	ldp	x27, x28, [sp], #16
	ldp	x25, x26, [sp], #16
	ldp	x23, x24, [sp], #16
	ldp	x21, x22, [sp], #16
	ldp	x19, x20, [sp], #16
	ldp	x29, x30, [sp], #16
	ret

	.section .stacks, "aw", %nobits
	.balign	16
stacks:
	.space	STACK_BYTES * MAX_CPUS
