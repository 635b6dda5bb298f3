/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 32-bit code in long mode: what 64-bit code encodes otherwise, widths and wrapping with garbage in the
 * upper halves, FS and GS with bases and limits, segments that are not flat, the same bytes as 32-bit and as
 * 64-bit code, faults, ring 3 with its ways into the kernel.
 */
#include "guest/lib/guest.h"

#define CODE32 0x08
#define CODE64 0x10
#define GARBAGE 0xdeadbeef00000000ull

struct regs {
	u64 a, b, c, d, si, di;
};

/* Far call of `fn` in code segment `sel`, stack below 4 GiB. */
static void far_call(u16 sel, u8 *fn, struct regs *r)
{
	struct {
		u32 off;
		u16 sel;
	} __attribute__((packed)) p = { (u32)(u64)fn, sel };

	asm volatile("lcall *%[p]"
		     : "+a"(r->a), "+b"(r->b), "+c"(r->c), "+d"(r->d), "+S"(r->si), "+D"(r->di)
		     : [p] "m"(p) : "memory", "cc");
}

static u32 call32(u8 *fn, u64 a, u64 b)
{
	struct regs r = { .a = a, .b = b };

	far_call(CODE32, fn, &r);
	return (u32)r.a;
}

/* ---- flow, stack, encodings ----------------------------------------------------------------------- */

extern u8 flow32[], stack32[], moffs32[], high8[], bits32[], narrow32[];
u32 word32 = 0x11223344, words32[16];
asm(".text\n.code32\n"
    "flow32:\n" /* eax = ebx rounds of 60 */
    "	xorl %eax, %eax\n"
    "8:	movl $7, %ecx\n"
    "1:	addl %ecx, %eax\n" /* 28 */
    "	loop 1b\n"
    "	jecxz 2f\n"
    "	ud2\n"
    "2:	stc\n"
    "	incl %eax\n" /* keeps carry */
    "	adcl $0, %eax\n" /* 30 */
    "	decl %eax\n" /* 29, carry clear */
    "	adcl $1, %eax\n" /* 30 */
    "	movl $3f, %edx\n"
    "	jmp *%edx\n"
    "	ud2\n"
    "3:	call 5f\n" /* 40 */
    "	call *table32 + 4\n" /* 50 */
    "	movl $table32, %edx\n"
    "	xorl %ecx, %ecx\n"
    "	jmp *(%edx, %ecx, 4)\n"
    "4:	pushl $0x55\n"
    "	pushl $0x66\n"
    "	call 6f\n" /* 60 */
    "	decl %ebx\n"
    "	jnz 8b\n"
    "	lretl\n"
    "5:	addl $10, %eax\n"
    "	ret\n"
    "6:	addl $10, %eax\n"
    "	ret $8\n"
    "stack32:\n" /* eax, ebx pushed and popped in every form */
    "	enter $16, $0\n"
    "	movl %eax, -4(%ebp)\n"
    "	pushl -4(%ebp)\n"
    "	pushl %ebx\n"
    "	pushl $-2\n"
    "	movl 8(%esp), %eax\n"
    "	addl (%esp), %eax\n" /* a - 2 */
    "	popl %ecx\n"
    "	popl %ecx\n"
    "	addl %ecx, %eax\n" /* + b */
    "	pushl %esp\n"
    "	popl %ecx\n"
    "	subl %esp, %ecx\n" /* 0 */
    "	addl %ecx, %eax\n"
    "	movl %esp, %edx\n"
    "	pushl %edx\n"
    "	popl %esp\n"
    "	subl %esp, %edx\n" /* 0 */
    "	addl %edx, %eax\n"
    "	pushl $1\n	pushl $2\n	pushl $3\n"
    "	popl 4(%esp)\n" /* takes the place of 1: the address is that behind the pop */
    "	popl %ecx\n"
    "	popl %edx\n"
    "	leal -5(%eax, %ecx), %eax\n"
    "	addl %edx, %eax\n" /* 2 + 3 - 5 */
    "	pushal\n"
    "	movl $0, %eax\n"
    "	popal\n"
    "	leave\n"
    "	lretl\n"
    "moffs32:\n"
    "	movl word32, %eax\n" /* A1 */
    "	movb word32 + 3, %al\n" /* A0 */
    "	movl %eax, words32\n" /* A3 */
    "	movb %al, words32 + 5\n" /* A2 */
    "	movw %ax, words32 + 6\n" /* 66 A3 */
    "	movl words32 + 4, %eax\n"
    "	lretl\n"
    "high8:\n" /* AH..BH with an address through each register */
    "	movl $0x1234, %ecx\n"
    "	movl $words32, %esi\n"
    "	movl $0, (%esi)\n"
    "	movb %ch, (%esi)\n"
    "	addb (%esi), %ah\n"
    "	movb %ah, 1(%esi)\n"
    "	movb 1(%esi, %edi), %bh\n"
    "	movb %bh, 2(%esi)\n"
    "	movl (%esi), %eax\n"
    "	lretl\n"
    "bits32:\n" /* bit offsets beyond the operand, both ways */
    "	btsl %eax, 32(%ebx)\n"
    "	negl %eax\n"
    "	btsl %eax, 32(%ebx)\n"
    "	sbbl %eax, %eax\n"
    "	lretl\n"
    "narrow32:\n" /* 16-bit addresses and operands */
    "	pushw $0x4321\n"
    "	popw %ax\n"
    "	cwtl\n"
    "	movw $1, %bx\n"
    "	addr16 leal 2(%bx, %si), %ecx\n"
    "	addl %ecx, %eax\n"
    "	addr16 jecxz 1f\n"
    "	incl %eax\n"
    "1:	lretl\n"
    ".code64\n.data\n"
    "table32: .long 4b, 5b\n"
    ".text\n");

static void encodings(void)
{
	CHECK_EQ(call32(flow32, 0, 500), 500 * 60);
	CHECK_EQ(call32(narrow32, 0, 0), 0x4325);
	CHECK_EQ(call32(stack32, GARBAGE | 100, GARBAGE | 20), 118);
	CHECK_EQ(call32(moffs32, 0, 0), 0x33111100);
	CHECK_EQ(words32[0], 0x11223311);
	CHECK_EQ(call32(high8, 0x500, 0), 0x00171712);
	words32[6] = words32[10] = 0;
	CHECK_EQ(call32(bits32, GARBAGE | 70, GARBAGE | (u64)words32), 0);
	CHECK_EQ(words32[10], 1u << 6); /* 70 = 64 + 6 */
	CHECK_EQ(words32[5], 1u << 26); /* -70 = -96 + 26 */
	CHECK_EQ(call32(bits32, 70, (u64)words32), 0xffffffff);
}

/* ---- garbage in the upper halves, wrapping ----------------------------------------------------------- */

extern u8 upper32[], wrap32[], strings32[];
asm(".text\n.code32\n"
    "upper32:\n" /* eax = words32[2] + words32[3], through rsi, rbx and rcx with garbage above */
    "	movl 8(%esi), %eax\n"
    "	addl (%esi, %ecx, 4), %eax\n"
    "	leal (%esi, %ecx, 4), %edx\n"
    "	subl %esi, %edx\n" /* 12 */
    "	addl %edx, %eax\n"
    "	jmp *%ebx\n"
    "upper32_to:\n"
    "	pushl %esi\n"
    "	popl %edx\n"
    "	addl 4(%edx), %eax\n"
    "	lretl\n"
    "wrap32:\n" /* base + index + displacement beyond 4 GiB */
    "	movl $0xfffffff0, %ecx\n"
    "	movl 0x10(%ebx, %ecx), %eax\n"
    "	movl $0xffffffff, %ecx\n"
    "	addl 4(%ebx, %ecx, 4), %eax\n"
    "	lretl\n"
    "strings32:\n"
    "	cld\n"
    "	rep movsl\n"
    "	movl %eax, %ecx\n"
    "	movl $0x5a5a5a5a, %eax\n"
    "	rep stosb\n"
    "	stosl\n"
    "	movl %edi, %eax\n"
    "	lretl\n"
    ".code64\n");

static void widths(void)
{
	extern u8 upper32_to[];
	static u32 copy[16];
	struct regs r = { .si = GARBAGE | (u64)words32, .b = GARBAGE | (u64)upper32_to, .c = GARBAGE | 3 };

	for (u32 i = 0; i < 16; i++)
		words32[i] = i * 0x100;
	far_call(CODE32, upper32, &r);
	CHECK_EQ((u32)r.a, 0x200 + 0x300 + 12 + 0x100);
	words32[0] = 7;
	CHECK_EQ(call32(wrap32, 0, (u64)words32), 14);
	r = (struct regs){ .a = GARBAGE | 6, .c = GARBAGE | 5, .si = GARBAGE | (u64)words32,
			   .di = GARBAGE | (u64)copy };
	far_call(CODE32, strings32, &r);
	CHECK_EQ((u32)r.a, (u64)copy + 5 * 4 + 6 + 4);
	CHECK_EQ(copy[4], 0x400);
	CHECK_EQ(copy[5], 0x5a5a5a5a);
	CHECK_EQ(copy[7], 0x5a5a);
	CHECK_EQ(copy[8], 0);
	CHECK_EQ((u32)r.si, (u64)&words32[5]);
}

/* ---- FS and GS ---------------------------------------------------------------------------------------- */

enum { SEG_BASE = 0x50, SEG_SHORT = 0x58, SEG_RO = 0x60, SEG_DOWN = 0x68, SEG_BASE2 = 0x70, SEG_DS = 0x78 };

static void set_descriptor(u16 sel, u32 base, u32 limit, u32 type, bool pages)
{
	boot_gdt[sel / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(0x90 | type) << 40 |
			    (u64)(limit >> 16 & 15) << 48 | (u64)(pages ? 0xc : 0x4) << 52 |
			    (u64)(base >> 24) << 56;
}

extern u8 fs_read32[], fs_write32[], fs_turns32[], gs_moffs32[], ds_read32[];
asm(".text\n.code32\n"
    "fs_read32:\n"
    "	movl %eax, %fs\n"
    "	movl %fs:(%ebx), %eax\n"
    "	lretl\n"
    "fs_write32:\n"
    "	movl %eax, %fs\n"
    "	movl %ebx, %fs:4\n"
    "	lretl\n"
    "fs_turns32:\n" /* two selectors in turn, in one block */
    "	movl $100, %ecx\n"
    "	xorl %edx, %edx\n"
    "1:	movl %eax, %fs\n"
    "	addl %fs:0, %edx\n"
    "	pushl %ebx\n"
    "	popl %fs\n"
    "	addl %fs:0, %edx\n"
    "	loop 1b\n"
    "	pushl %fs\n"
    "	popl %eax\n"
    "	shll $16, %eax\n"
    "	addl %edx, %eax\n"
    "	lretl\n"
    "gs_moffs32:\n"
    "	movl %eax, %gs\n"
    "	movl %gs:4, %eax\n" /* 65 A1 */
    "	movl %eax, %gs:8\n" /* 65 A3 */
    "	movl %gs:-4, %ebx\n" /* below the base, as TLS */
    "	addl %ebx, %eax\n"
    "	lretl\n"
    "ds_read32:\n" /* ds:[ebx] with ds = eax, and flat again */
    "	pushl %ds\n"
    "	movl %eax, %ds\n"
    "	movl (%ebx), %eax\n"
    "	addl %es:(%ebx), %eax\n"
    "	popl %ds\n"
    "	addl (%ebx), %eax\n"
    "	lretl\n"
    ".code64\n");

static void fs_read(u64 sel) { call32(fs_read32, sel, 4); }
static void fs_read_far(u64 sel) { call32(fs_read32, sel, 16); }
static void fs_read_last(u64 sel) { call32(fs_read32, sel, 13); }
static void fs_read_top(u64 sel) { call32(fs_read32, sel, (u32)-3); }
static void fs_write(u64 sel) { call32(fs_write32, sel, 4); }

static void segments(void)
{
	u32 at = (u32)(u64)&words32[8];

	for (u32 i = 0; i < 16; i++)
		words32[i] = i + 1;
	set_descriptor(SEG_BASE, at, 0xfffff, 3, true);
	set_descriptor(SEG_BASE2, at + 4, 0xfffff, 3, true);
	set_descriptor(SEG_SHORT, at, 15, 3, false);
	set_descriptor(SEG_RO, at, 0xfffff, 1, true);
	set_descriptor(SEG_DOWN, at - 4096, 0, 7, true); /* expand-down: above 4095 */
	set_descriptor(SEG_DS, 16, 0xfffff, 3, true);
	CHECK_EQ(call32(fs_read32, SEG_BASE, 4), 10);
	CHECK_EQ(call32(fs_read32, SEG_BASE, (u32)-8), 7);
	CHECK_EQ(call32(fs_turns32, SEG_BASE, SEG_BASE2), 1900 + (SEG_BASE2 << 16));
	CHECK_EQ(call32(gs_moffs32, SEG_BASE, 0), 18);
	CHECK_EQ(words32[10], 10);
	CHECK_EQ(call32(fs_read32, SEG_SHORT, 12), 12);
	CHECK_EQ(trap_of(fs_read_far, SEG_SHORT), V_GP);
	CHECK_EQ(trap_of(fs_read_last, SEG_SHORT), V_GP);
	CHECK_EQ(call32(fs_read32, SEG_BASE, (u32)-4), 8);
	CHECK_EQ(trap_of(fs_read_top, SEG_BASE), V_GP);
	CHECK_EQ(trap_of(fs_read, 0), V_GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap_of(fs_read, SEG_RO), -1);
	CHECK_EQ(trap_of(fs_write, SEG_RO), V_GP);
	CHECK_EQ(trap_of(fs_read, CODE32), -1);
	CHECK_EQ(trap_of(fs_write, CODE32), V_GP);
	CHECK_EQ(trap_of(fs_write, SEG_BASE), -1);
	CHECK_EQ(words32[9], 4);
	CHECK_EQ(trap_of(fs_read, SEG_DOWN), V_GP);
	CHECK_EQ(call32(fs_read32, SEG_DOWN, 4096), 9);
	words32[0] = 1, words32[4] = 0x100;
	for (u32 i = 0; i < 3; i++)
		CHECK_EQ(call32(ds_read32, SEG_DS, (u64)words32), 0x102);
	asm volatile("mov %w0, %%fs; mov %w0, %%gs" : : "r"(0));
}

/* ---- one piece of code, two meanings ---- */

extern u8 both[];
asm(".text\n.balign 16\n"
    "both: .byte 0x48, 0xff, 0xc0, 0xcb\n"); /* dec eax; inc eax; lret / inc rax; lret */

static u64 pop_to_stack(void)
{
	u64 two, three;

	asm volatile("pushq $1; pushq $2; pushq $3; popq 8(%%rsp); popq %0; popq %1" : "=r"(two), "=r"(three));
	return two << 8 | three;
}

static void two_modes(void)
{
	CHECK_EQ(pop_to_stack(), 0x203);
	for (u32 i = 0; i < 8; i++) {
		struct regs r = { .a = 5 };

		far_call(i & 1 ? CODE64 : CODE32, both, &r);
		CHECK_EQ(r.a, 5 + (i & 1));
	}
}

/* ---- faults ---- */

extern u8 div32[], div32_at[], ud32[], cs_write32[], code_write32[], code_write32_at[];
asm(".text\n.code32\n"
    "div32:\n"
    "	xorl %edx, %edx\n"
    "	pushl %ebx\n"
    "div32_at:\n"
    "	divl (%esp)\n"
    "	popl %ebx\n"
    "	lretl\n"
    "ud32:\n"
    "	ud2\n"
    "cs_write32:\n"
    "	movl %eax, %cs:(%ebx)\n"
    "	lretl\n"
    ".code64\n.data\n.code32\n"
    "code_write32:\n" /* patches the immediate behind it, ebx times */
    "	xorl %eax, %eax\n"
    "1:	incl code_write32_at + 1\n"
    "code_write32_at:\n"
    "	addl $0x10000, %eax\n" /* 05 imm32 */
    "	decl %ebx\n"
    "	jnz 1b\n"
    "	lretl\n"
    ".code64\n.text\n");

static void divide(u64 by) { call32(div32, 100, by); }
static void undefined(u64 a) { call32(ud32, 0, 0); }
static void write_code(u64 at) { call32(cs_write32, 0, at); }

static void faults(void)
{
	CHECK_EQ(call32(div32, 100, 7), 14);
	CHECK_EQ(trap_of(divide, 0), V_DE);
	CHECK_EQ(trap.f.rip, (u64)div32_at);
	CHECK_EQ(trap.f.cs, CODE32);
	CHECK_EQ(trap_of(undefined, 0), V_UD);
	CHECK_EQ(trap.f.rip, (u64)ud32);
	CHECK_EQ(trap_of(write_code, (u64)words32), V_GP);
	CHECK_EQ(call32(code_write32, 0, 3), 3 * 0x10000 + 1 + 2 + 3);
}

/* ---- ring 3 ---- */

extern u8 user_loop32[], user_syscall32[], user_after_syscall32[], cstar_entry[];
u64 cstar_rcx, cstar_r11, cstar_cs;
asm(".section .user.text, \"ax\"\n.code32\n"
    "user_loop32:\n"
    "	movl $1000, %ecx\n"
    "	xorl %eax, %eax\n"
    "1:	pushfl\n"
    "	popl %edx\n"
    "	pushl %edx\n"
    "	popfl\n"
    "	pushl %ds\n	pushl %es\n	popl %es\n	popl %ds\n"
    "	addl %ecx, %eax\n"
    "	decl %ecx\n"
    "	jnz 1b\n"
    "	int $0x41\n"
    "user_syscall32:\n"
    "	xorl %ebx, %ebx\n"
    "	movl $100, %esi\n"
    "1:	movl $5, %eax\n"
    "	syscall\n"
    "user_after_syscall32:\n"
    "	addl %eax, %ebx\n"
    "	decl %esi\n"
    "	jnz 1b\n"
    "	movl %ebx, %eax\n"
    "	int $0x41\n"
    ".code64\n.text\n"
    "cstar_entry:\n"
    "	mov %rcx, cstar_rcx(%rip)\n"
    "	mov %r11, cstar_r11(%rip)\n"
    "	mov %cs, %rdx\n"
    "	mov %rdx, cstar_cs(%rip)\n"
    "	inc %eax\n"
    "	sysretl\n");

static u8 user_stack32[512] USER_DATA;

static void enter_user32(u64 rip)
{
	asm volatile("pushq $0x2b; pushq %0; pushq $2; pushq $0x23; pushq %1; iretq"
		     : : "r"((u64)user_stack32 + sizeof(user_stack32)), "r"(rip) : "memory");
}

static void user(void)
{
	asm volatile("mov %w0, %%ds; mov %w0, %%es" : : "r"(0x2b));
	CHECK_EQ(trap_of(enter_user32, (u64)user_loop32), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 1000 * 1001 / 2);
	CHECK_EQ(trap.f.cs, 0x23);
	CHECK_EQ(trap.f.rsp, (u64)user_stack32 + sizeof(user_stack32));
	if (cpuid(0, 0).b == 0x68747541) { /* AMD: SYSCALL in compatibility mode */
		wrmsr(MSR_STAR, 0x0023ull << 48 | 0x0010ull << 32);
		wrmsr(0xc0000083, (u64)cstar_entry);
		CHECK_EQ(trap_of(enter_user32, (u64)user_syscall32), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, 600);
		CHECK_EQ(cstar_rcx, (u64)user_after_syscall32);
		CHECK_EQ(cstar_cs, 0x10);
	}
	asm volatile("mov %w0, %%ds; mov %w0, %%es" : : "r"(0x18));
}

int guest_main(void)
{
	encodings();
	widths();
	segments();
	two_modes();
	faults();
	user();
	return 0;
}
