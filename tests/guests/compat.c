/* SPDX-License-Identifier: Apache-2.0 */
/* Compatibility mode in ring 0 and 3: 32-bit encodings, wrapping, exceptions back to 64-bit handlers. */
#include "guest/lib/guest.h"

/* Called as a far procedure in a 32-bit code segment, stack below 4 GiB. */
extern u8 code32[], code32_wrap[], code32_ud[];
asm(".text\n.code32\n"
    "code32:\n"
    "	movl $5, %eax\n"
    "	incl %eax\n"			/* 40: a REX prefix in 64-bit mode */
    "	pushl %eax\n"
    "	addl (%esp), %eax\n"
    "	popl %ecx\n"
    "	aam $10\n"			/* 12 -> ah 1 al 2 */
    "	movl code32_data, %edx\n"
    "	lretl\n"
    "code32_wrap:\n"
    "	movl $0xffffffff, %eax\n"
    "	movl code32_data + 1(%eax), %edx\n"
    "	movl $3, %eax\n"
    "	.byte 0xd6\n"
    "	lretl\n"
    "code32_ud:\n"
    "	ud2\n"
    "code32_data: .long 0xabcd1234\n"
    ".code64\n");

struct regs { u32 eax, edx; };

static struct regs far_call(u8 *fn)
{
	struct { u32 off; u16 sel; } __attribute__((packed)) p = { (u32)(u64)fn, 0x08 };
	struct regs r;

	asm volatile("clc; lcall *%2" : "=a"(r.eax), "=d"(r.edx) : "m"(p) : "rcx", "memory", "cc");
	return r;
}

static void far_call_ud(u64 a) { far_call(code32_ud); }

/* ---- ring 3 -------------------------------------------------------------------------------------- */
extern u8 user32[];
asm(".section .user.text, \"ax\"\n.code32\n"
    "user32:\n"
    "	movl $0x1234, %eax\n"
    "	pushl %eax\n"
    "	xorl %eax, %eax\n"
    "	decl %eax\n"
    "	popl %eax\n"
    "	int $0x41\n"
    ".code64\n.text\n");

static u8 stack32[512] USER_DATA;

static void enter_user32(u64 rip)
{
	asm volatile("pushq $0x2b; pushq %0; pushq $2; pushq $0x23; pushq %1; iretq"
		     : : "r"((u64)stack32 + sizeof(stack32)), "r"(rip) : "memory");
}

int guest_main(void)
{
	struct regs r = far_call(code32);

	CHECK_EQ(r.eax, 0x102);
	CHECK_EQ(r.edx, 0xabcd1234);
	r = far_call(code32_wrap);
	CHECK_EQ(r.eax & 0xff, 0);
	CHECK_EQ(r.edx, 0xabcd1234);
	CHECK_EQ(trap_of(far_call_ud, 0), V_UD);
	CHECK_EQ(trap.f.cs, 0x08);
	CHECK_EQ(trap.f.rip, (u64)code32_ud);
	CHECK_EQ(trap_of(enter_user32, (u64)user32), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0x1234);
	CHECK_EQ(trap.f.cs, 0x23);
	CHECK_EQ(trap.f.rsp, (u64)stack32 + sizeof(stack32));
	return 0;
}
