/* SPDX-License-Identifier: Apache-2.0 */
/* SYSCALL and SYSRET: selectors, RCX, R11, the flag mask; off without EFER.SCE; a kernel that changes CR4. */
#include "guest/lib/guest.h"

extern u8 syscall_entry[], user_after_syscall[];
u64 in_cs, in_ss, in_rcx, in_r11, in_flags, saved_rsp; /* written by the assembly */
asm(".text\nsyscall_entry:\n"
    "	mov %rsp, saved_rsp(%rip)\n"
    "	lea tmp_stack_top(%rip), %rsp\n"
    "	mov %rcx, in_rcx(%rip)\n"
    "	mov %r11, in_r11(%rip)\n"
    "	mov %cs, %rdx\n"
    "	mov %rdx, in_cs(%rip)\n"
    "	mov %ss, %rdx\n"
    "	mov %rdx, in_ss(%rip)\n"
    "	pushfq\n"
    "	pop %rdx\n"
    "	mov %rdx, in_flags(%rip)\n"
    "	mov saved_rsp(%rip), %rsp\n"
    "	add $1, %rax\n"
    "	sysretq\n"
    ".bss\n.skip 256\ntmp_stack_top:\n.text\n");

static USER_TEXT void user_syscall(u64 n)
{
	u64 r = 0, cs, ss, fl;

	asm volatile("std; stc\n"
		     "1: syscall\n"
		     ".globl user_after_syscall\nuser_after_syscall:\n"
		     "	add $1, %0\n"
		     "	dec %1\n"
		     "	jnz 1b\n"
		     "	pushfq; pop %2; cld; mov %%cs, %3; mov %%ss, %4"
		     : "+a"(r), "+b"(n), "=&r"(fl), "=&r"(cs), "=&r"(ss) : : "rcx", "r11", "rdx", "memory");
	user_return(r << 32 | (cs & 0xff) << 16 | (ss & 0xff) << 8 | (fl >> 10 & 1));
}

/* RDTSC in user code works until the kernel sets CR4.TSD in the last system call. */
extern u8 tsd_entry[];
asm("tsd_entry:\n"
    "	cmp $1, %rbx\n"
    "	jne 1f\n"
    "	mov %cr4, %rdx\n"
    "	or $4, %rdx\n"
    "	mov %rdx, %cr4\n"
    "1:	sysretq\n");

static USER_TEXT void user_rdtsc(u64 n)
{
	asm volatile("1: syscall; rdtsc; dec %0; jnz 1b" : "+b"(n) : : "rax", "rcx", "r11", "rdx", "memory");
	user_return(n);
}

static void changed_cr4(void)
{
	u64 cr4 = READ_CR(4);

	wrmsr(MSR_LSTAR, (u64)tsd_entry);
	for (int i = 0; i < 3; i++) {
		WRITE_CR(4, cr4);
		CHECK_EQ(user_call(user_rdtsc, 50), V_GP);
		CHECK_EQ(trap.f.rbx, 1);
	}
	WRITE_CR(4, cr4);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
}

/* Flags that the mask clears are clear in the kernel and back in the user's program. */
static void arithmetic_flags(void)
{
	wrmsr(MSR_SFMASK, 0xfd5);
	CHECK_EQ(user_call(user_syscall, 100), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 200ull << 32 | 0x33 << 16 | 0x2b << 8 | 1);
	CHECK_EQ(in_flags & 0xfd5, 0);
	wrmsr(MSR_SFMASK, 0x700);
}

int guest_main(void)
{
	wrmsr(MSR_STAR, 0x0023ull << 48 | 0x0010ull << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_SFMASK, 0x700);
	CHECK_EQ(user_call(user_syscall, 100), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 200ull << 32 | 0x33 << 16 | 0x2b << 8 | 1);
	CHECK_EQ(in_cs, 0x10);
	CHECK_EQ(in_ss, 0x18);
	CHECK_EQ(in_rcx, (u64)user_after_syscall);
	CHECK_EQ(in_r11 & 0x400, 0x400);
	CHECK_EQ(in_flags & 0x700, 0);
	arithmetic_flags();
	changed_cr4();
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ull);
	CHECK_EQ(user_call(user_syscall, 1), V_UD);
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
	CHECK_EQ(user_call(user_syscall, 1), V_USER_RETURN);
	return 0;
}
