/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Down from long mode to real mode and up again. There: segments times 16, IVT, string and stack
 * instructions, 32-bit operands, a loop, an interrupt of our own, #DE through the IVT.
 */
#include "guest/lib/guest.h"

#define RM 0x9000 /* where the real-mode code is copied to: segment 0x900 */

extern u8 rm_begin[], rm_end[], rm_code[];
void go_real(void);
static volatile u32 *const result = (u32 *)0x9800;

asm(".text\n"
    "go_real:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, rm_saved_rsp(%rip)\n"
    "	sidt rm_saved_idt(%rip)\n"
    "	ljmp *rm_ptr32(%rip)\n"
    "rm_ptr32: .long rm_32\n .word 8\n"
    ".code32\n"
    "rm_32:\n"				/* compatibility mode: paging and long mode off */
    "	mov $0x11, %eax\n"
    "	mov %eax, %cr0\n"
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	and $~0x100, %eax\n"
    "	wrmsr\n"
    "	xor %eax, %eax\n"
    "	mov %eax, %cr4\n"
    "	mov $0x58, %eax\n"		/* 16-bit data */
    "	mov %eax, %ds\n	mov %eax, %es\n	mov %eax, %ss\n	mov %eax, %fs\n	mov %eax, %gs\n"
    "	ljmp $0x50, $rm_16 - rm_begin\n"
    ".code16\n"
    "rm_begin:\n"
    "rm_16:\n"				/* 16-bit protected, base 0x9000 */
    "	mov $0x10, %eax\n"
    "	mov %eax, %cr0\n"
    "	ljmp $0x900, $rm_code - rm_begin\n"
    "rm_code:\n"
    "	xor %ax, %ax\n"
    "	mov %ax, %ds\n	mov %ax, %ss\n"
    "	mov $0x7000, %sp\n"
    "	lidtl %cs:rm_idt - rm_begin\n"
    "	movw $rm_int - rm_begin, 0x60 * 4\n"
    "	movw $0x900, 0x60 * 4 + 2\n"
    "	movw $rm_div - rm_begin, 0\n"
    "	movw $0x900, 2\n"
    "	mov $0x980, %ax\n"
    "	mov %ax, %es\n"
    "	movl $0x12345678, %es:0\n"	/* result[0] */
    "	xor %bx, %bx\n"
    "	mov $100, %cx\n"
    "1:	add %cx, %bx\n"
    "	loop 1b\n"
    "	mov %bx, %es:4\n"		/* 5050 */
    "	int $0x60\n"			/* result[2] */
    "	mov $7, %ax\n"
    "	xor %dl, %dl\n"
    "	div %dl\n"			/* #DE: handler adds 2 to IP; result[3] */
    "	push %es\n"
    "	mov $rm_text - rm_begin, %si\n"
    "	mov $0x20, %di\n"
    "	mov $8, %cx\n"
    "	cld\n"
    "	push %cs\n"
    "	pop %ds\n"
    "	rep movsb\n"			/* result[8..9] */
    "	pop %es\n"
    "	mov $0xffff, %ax\n"		/* beyond 1 MiB with A20: ffff:0010 */
    "	mov %ax, %ds\n"
    "	mov 0x10, %eax\n"
    "	mov %eax, %es:16\n"		/* result[4] */
    "	lcallw $0x900, $rm_far - rm_begin\n"
    "	mov %ax, %es:20\n"		/* result[5] */
    "	xor %ax, %ax\n"
    "	mov %ax, %ds\n"
    "	lgdtl %cs:rm_gdt - rm_begin\n"
    "	mov $0x11, %eax\n"
    "	mov %eax, %cr0\n"
    "	ljmpl $8, $rm_back\n"
    "rm_int:\n"
    "	pushfw\n"
    "	pop %ax\n"
    "	mov %ax, %es:8\n"
    "	mov %sp, %es:10\n"
    "	iretw\n"
    "rm_div:\n"
    "	movw $0xde, %es:12\n"
    "	push %bp\n"
    "	mov %sp, %bp\n"
    "	addw $2, 2(%bp)\n"
    "	pop %bp\n"
    "	iretw\n"
    "rm_far:\n"
    "	mov $0xfa12, %ax\n"
    "	lretw\n"
    "rm_text: .ascii \"realmode\"\n"
    "rm_idt: .word 0x3ff\n .long 0\n"
    "rm_gdt: .word 0x7f\n .long boot_gdt\n"
    "rm_end:\n"
    ".code32\n"
    "rm_back:\n"
    "	mov $0x18, %eax\n"
    "	mov %eax, %ds\n	mov %eax, %es\n	mov %eax, %ss\n"
    "	mov $0x620, %eax\n"
    "	mov %eax, %cr4\n"
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	or $0x100, %eax\n"
    "	wrmsr\n"
    "	mov $0x80010033, %eax\n"
    "	mov %eax, %cr0\n"
    "	ljmp $0x10, $rm_long\n"
    ".code64\n"
    "rm_long:\n"
    "	mov rm_saved_rsp(%rip), %rsp\n"
    "	lidt rm_saved_idt(%rip)\n"
    "	xor %eax, %eax\n"
    "	mov %eax, %fs\n	mov %eax, %gs\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    ".data\n"
    "rm_saved_rsp: .quad 0\n"
    "rm_saved_idt: .skip 10\n"
    ".text\n");

int guest_main(void)
{
	volatile u8 *to = (u8 *)RM;

	for (u8 *from = rm_begin; from < rm_end; from++)
		*to++ = *from;
	boot_gdt[10] = 0x00009b009000ffff; /* 0x50: 16-bit code at 0x9000 */
	boot_gdt[11] = 0x000093000000ffff; /* 0x58: 16-bit data at 0 */
	go_real();
	CHECK_EQ(result[0], 0x12345678);
	CHECK_EQ(result[1] & 0xffff, 5050);
	CHECK_EQ(result[2] >> 16, 0x7000 - 6);
	CHECK_EQ(result[2] & 0x200, 0);
	CHECK_EQ(result[3] & 0xffff, 0xde);
	CHECK_EQ(result[4], *(volatile u32 *)0x100000);
	CHECK_EQ(result[5] & 0xffff, 0xfa12);
	CHECK_EQ(result[8], 0x6c616572); /* "real" */
	CHECK_EQ(result[9], 0x65646f6d); /* "mode" */
	go_real();
	CHECK_EQ(result[1] & 0xffff, 5050);
	return 0;
}
