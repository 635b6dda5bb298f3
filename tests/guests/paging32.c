/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected mode without long mode: no paging, two-level paging with 4 KiB and 4 MiB pages, PAE. In
 * each, the same 32-bit program: read and write through a mapping, take a #PF on a missing page, on a
 * write to a read-only one, and note error code and CR2. Then back to long mode.
 */
#include "guest/lib/guest.h"

#define LINEAR 0x10000000u /* what the tables map; without paging there is no RAM here */
#define V_PF32 14

/* Filled by the 32-bit program. */
struct report {
	u32 read, error_missing, cr2_missing, error_readonly, cr2_readonly, pushed;
};
struct report report32;
u32 cr0_32, cr3_32, cr4_32, paged_32;
u64 idt32[32];
void go32(void);
extern u8 fault32[];

asm(".text\n"
    "go32:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, saved_rsp32(%rip)\n"
    "	sidt saved_idt32(%rip)\n"
    "	ljmp *ptr32(%rip)\n"
    "ptr32: .long in32\n .word 8\n"
    ".code32\n"
    "in32:\n"
    "	mov $0x11, %eax\n"
    "	mov %eax, %cr0\n" /* leaves long mode */
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	and $~0x100, %eax\n"
    "	wrmsr\n"
    "	mov $0x18, %eax\n"
    "	mov %eax, %ds\n	mov %eax, %es\n	mov %eax, %ss\n"
    "	mov cr4_32, %eax\n"
    "	mov %eax, %cr4\n"
    "	mov cr3_32, %eax\n"
    "	mov %eax, %cr3\n"
    "	mov cr0_32, %eax\n"
    "	mov %eax, %cr0\n"
    "	jmp 1f\n"
    "1:	lidt ptr_idt32\n"
    "	mov $stack32_top, %esp\n"
    "	movl $0x1234, %eax\n"
    "	pushl %eax\n"
    "	popl report32 + 20\n"
    "	cmpl $0, paged_32\n"
    "	je 9f\n"
    "	mov 0x10000010, %eax\n"
    "	mov %eax, report32\n"
    "	movl $2f, resume32\n"
    "	mov 0x10801000, %eax\n" /* missing */
    "2:	mov %ebx, report32 + 4\n"
    "	mov %edx, report32 + 8\n"
    "	movl $3f, resume32\n"
    "	movl $1, 0x10001004\n" /* read-only */
    "3:	mov %ebx, report32 + 12\n"
    "	mov %edx, report32 + 16\n"
    "	movl $0x77, 0x10000014\n"
    "9:	mov $0x11, %eax\n"
    "	mov %eax, %cr0\n"
    "	mov $0x620, %eax\n"
    "	mov %eax, %cr4\n"
    "	mov $boot_pml4, %eax\n"
    "	mov %eax, %cr3\n"
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	or $0x100, %eax\n"
    "	wrmsr\n"
    "	mov $0x80010033, %eax\n"
    "	mov %eax, %cr0\n"
    "	ljmp $0x10, $back64\n"
    "fault32:\n" /* ebx = error code, edx = CR2, go on at resume32 */
    "	pop %ebx\n"
    "	mov %cr2, %edx\n"
    "	mov resume32, %eax\n"
    "	mov %eax, (%esp)\n"
    "	iretl\n"
    ".code64\n"
    "back64:\n"
    "	mov saved_rsp32(%rip), %rsp\n"
    "	lidt saved_idt32(%rip)\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    ".data\n"
    "saved_rsp32: .quad 0\n"
    "saved_idt32: .skip 10\n"
    "ptr_idt32: .word 255\n .long idt32\n"
    "resume32: .long 0\n"
    "	.skip 512\n"
    "stack32_top:\n"
    ".text\n");

static void run(u32 cr0, u32 cr3, u32 cr4)
{
	u64 h = (u64)fault32;

	report32 = (struct report){ 0 };
	idt32[V_PF32] = (h & 0xffff) | 0x08ull << 16 | 0x8eull << 40 | (h >> 16 & 0xffff) << 48;
	cr0_32 = cr0;
	cr3_32 = cr3;
	cr4_32 = cr4;
	paged_32 = cr0 >> 31;
	go32();
	CHECK_EQ(report32.pushed, 0x1234);
}

static void check_paged(u64 page)
{
	CHECK_EQ(report32.read, 0xfeed);
	CHECK_EQ(report32.error_missing, 0);
	CHECK_EQ(report32.cr2_missing, 0x10801000);
	CHECK_EQ(report32.error_readonly, 3);
	CHECK_EQ(report32.cr2_readonly, 0x10001004);
	CHECK_EQ(*(volatile u32 *)(page + 0x14), 0x77);
}

static u64 fresh_page(void)
{
	u64 p = page_alloc();

	*(volatile u32 *)(p + 0x10) = 0xfeed;
	return p;
}

/* Two levels: 4 MiB pages one to one for ourselves (CR4.PSE), 4 KiB pages at LINEAR. */
static void two_levels(void)
{
	u32 *dir = (u32 *)page_alloc(), *table = (u32 *)page_alloc();
	u64 page = fresh_page();

	for (u32 i = 0; i < 16; i++)
		dir[i] = i << 22 | PTE_P | PTE_W | PTE_PS;
	dir[LINEAR >> 22] = (u32)(u64)table | PTE_P | PTE_W;
	table[0] = (u32)page | PTE_P | PTE_W;
	table[1] = (u32)page | PTE_P;
	run(0x80010011, (u32)(u64)dir, 0x10);
	check_paged(page);
	CHECK_EQ(table[0] & (PTE_A | PTE_D), PTE_A | PTE_D);
	CHECK_EQ(dir[LINEAR >> 22] & PTE_A, PTE_A);
	CHECK_EQ(dir[0] & PTE_A, PTE_A);
}

static void pae(void)
{
	u64 *pdpt = (u64 *)page_alloc(), *dir = (u64 *)page_alloc(), *table = (u64 *)page_alloc();
	u64 page = fresh_page();

	pdpt[0] = (u64)dir | PTE_P;
	for (u64 i = 0; i < 32; i++)
		dir[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
	dir[LINEAR >> 21] = (u64)table | PTE_P | PTE_W;
	table[0] = page | PTE_P | PTE_W | PTE_NX;
	table[1] = page | PTE_P;
	run(0x80010011, (u32)(u64)pdpt, 0x20);
	check_paged(page);
	CHECK_EQ(table[0] & (PTE_A | PTE_D), PTE_A | PTE_D);
}

int guest_main(void)
{
	for (int i = 0; i < 3; i++) {
		run(0x11, 0, 0);
		two_levels();
		pae();
	}
	return 0;
}
