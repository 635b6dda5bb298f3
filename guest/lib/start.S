/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up of a guest. PVH (xen/docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, no
 * paging, EBX -> hvm_start_info. We map the first 4 GiB one to one with 2 MiB pages (supervisor, but
 * for the page at 4 MiB), switch to long mode, enable SSE, and call guest_start64.
 */
	.section .note.pvh, "a", @note
	.long 4, 4, 18			/* "Xen", XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long guest_start

	.text
	.code32
	.globl guest_start
guest_start:
	cli
	cld
	movl $boot_stack_top, %esp
	movl %ebx, guest_start_info
	/* PML4[0] -> PDPT; PDPT[0..3] -> 4 page directories */
	movl $boot_pdpt + 7, boot_pml4
	movl $boot_pd + 7, %eax
	xorl %ecx, %ecx
1:	movl %eax, boot_pdpt(, %ecx, 8)
	addl $4096, %eax
	incl %ecx
	cmpl $4, %ecx
	jne 1b
	movl $0x83, %eax		/* present, writable, 2 MiB */
	xorl %ecx, %ecx
2:	movl %eax, boot_pd(, %ecx, 8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jne 2b
	orl $4, boot_pd + 2 * 8		/* 4 MiB: user */

	.globl guest_enter_long
guest_enter_long:			/* application processors come here with their own ESP */
	movl $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $boot_pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx		/* EFER: SCE, LME, NXE */
	rdmsr
	orl $0x901, %eax
	wrmsr
	movl $0x80010033, %eax		/* PG WP NE ET MP PE */
	movl %eax, %cr0
	lgdt boot_gdtr
	ljmp $0x10, $3f

	.code64
3:	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl %esp, %esp
	cmpl $boot_stack_top, %esp
	jne guest_ap_start64
	call guest_start64
4:	hlt
	jmp 4b

guest_ap_start64:
	call guest_ap_main
	jmp 4b

/* ---- an application processor: real mode, copied to a page below 1 MiB ------------------------- */
	.globl guest_ap_trampoline, guest_ap_trampoline_end
	.code16
guest_ap_trampoline:
	cli
	movw %cs, %ax
	movw %ax, %ds
	lgdtl ap_gdtr - guest_ap_trampoline
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $0x08, $ap_protected
ap_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
guest_ap_trampoline_end:

	.code32
ap_protected:
	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $ap_stack_top, %esp
	jmp guest_enter_long

/* ---- exceptions and interrupts: one stub per vector, 16 bytes apart ------------------------------ */
	.code64
	.globl guest_stubs
	.balign 16
guest_stubs:
	.set v, 0
	.rept 256
	.balign 16
	.if !((v == 8) || (v >= 10 && v <= 14) || (v == 17) || (v == 21) || (v == 29) || (v == 30))
	pushq $0
	.endif
	pushq $v
	jmp common_stub
	.set v, v + 1
	.endr

common_stub:				/* builds struct frame */
	cld
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %rdi
	movq %rsp, %rbx
	andq $-16, %rsp
	call guest_trap
	movq %rbx, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* bool trap_call(void (*fn)(u64), u64 arg): false if fn returned, true if a trap ended it */
	.globl trap_call, trap_return
trap_call:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushfq
	pushq trap_sp
	subq $8, %rsp
	movq %rsp, trap_sp
	movq %rdi, %rax
	movq %rsi, %rdi
	call *%rax
	xorl %eax, %eax
	jmp 5f
trap_return:				/* the handler comes here instead of IRET */
	movq trap_sp, %rsp
	movl $1, %eax
5:	addq $8, %rsp
	popq trap_sp
	popfq
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

/* void user_enter(u64 rip, u64 rsp, u64 arg, u64 rflags): IRET to ring 3, never returns */
	.globl user_enter
user_enter:
	pushq $0x2b
	pushq %rsi
	pushq %rcx
	pushq $0x33
	pushq %rdi
	movq %rdx, %rdi
	iretq

/* ---- tables -------------------------------------------------------------------------------------- */
	.data
	.balign 16
	.globl boot_gdt, boot_gdt_end
boot_gdt:				/* the selectors are Linux's */
	.quad 0
	.quad 0x00cf9b000000ffff	/* 0x08 kernel 32 */
	.quad 0x00af9b000000ffff	/* 0x10 kernel 64 */
	.quad 0x00cf93000000ffff	/* 0x18 kernel data */
	.quad 0x00cffb000000ffff	/* 0x23 user 32 */
	.quad 0x00cff3000000ffff	/* 0x2b user data */
	.quad 0x00affb000000ffff	/* 0x33 user 64 */
	.quad 0
	.quad 0, 0			/* 0x40 TSS */
	.quad 0, 0, 0, 0, 0, 0		/* 0x50... free for tests */
boot_gdt_end:
boot_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.quad boot_gdt
	.globl trap_sp
trap_sp:
	.quad 0

	.bss
	.balign 4096
	.globl boot_pml4
boot_pml4:
	.skip 4096
boot_pdpt:
	.skip 4096
boot_pd:
	.skip 4 * 4096
	.skip 16384
boot_stack_top:
	.skip 16384
ap_stack_top:
	.globl guest_start_info
guest_start_info:
	.long 0
	.section .note.GNU-stack, "", @progbits
