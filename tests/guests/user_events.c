/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes a program away and brings it back: the timer in an endless loop, system calls of every number,
 * a kernel that goes on elsewhere than it was left, a program that is stopped and gone on with later (its
 * signal handler in between).
 */
#include "tests/guests/user_state.h"

#define V_TIMER 0x51

static volatile u32 ticks;
static u32 ticks_wanted;

static void timer(u32 count)
{
	apic_write(APIC_TDCR, 3);
	apic_write(APIC_LVTT, count ? 0x20000 | V_TIMER : 1u << 16);
	apic_write(APIC_TMICT, count);
}

/*
 * ---- an endless loop
 * ------------------------------------------------------------------------------------------------
 */

static volatile u64 loops USER_DATA;
extern u8 loop_end[];

static USER_TEXT void forever(u64 a)
{
	asm volatile("1: incq (%0); inc %%rbx; jmp 1b\n"
		     ".globl loop_end\nloop_end: nop" : : "r"(&loops) : "rbx", "memory");
	user_return(loops);
}

static u64 loops_before;

static void tick(struct frame *f)
{
	apic_write(APIC_EOI, 0);
	if (!loops)
		return; /* has not begun */
	ticks++;
	CHECK_EQ(f->cs, 0x33);
	CHECK_EQ(f->rflags & 0x200, 0x200);
	CHECK(loops >= loops_before);
	loops_before = loops;
	if (ticks == ticks_wanted)
		f->rip = (u64)loop_end;
}

static void endless(void)
{
	trap_handler(V_TIMER, tick);
	for (u32 i = 0; i < 5; i++) {
		loops = loops_before = 0;
		ticks = 0;
		ticks_wanted = 1 + 10 * i;
		timer(20000);
		CHECK_EQ(user_call(forever, 0), V_USER_RETURN);
		timer(0);
		CHECK(ticks >= ticks_wanted);
		CHECK(trap.f.rax > 0);
	}
}

/*
 * ---- all registers across interrupts
 * ----------------------------------------------------------------------------------
 */

static void tick_in_state(struct frame *f)
{
	ticks++;
	apic_write(APIC_EOI, 0);
	if (f->rip != (u64)state_spin)
		return; /* not there yet, or on its way back */
	state_check_frame(f, (u64)state_spin);
	f->rip += 2;
}

static void interrupted_state(void)
{
	trap_handler(V_TIMER, tick_in_state);
	for (u32 i = 0; i < 60; i++) {
		state_make();
		timer(3000 + i * 100);
		CHECK_EQ(user_call(user_state, STATE_SPIN), V_USER_RETURN);
		timer(0);
		state_check_regs(0, __LINE__);
		state_check_image(__LINE__);
	}
}

/*
 * ---- system calls
 * -------------------------------------------------------------------------------------------------------
 */

/* The kernel answers number ^ argument. Returns how often it did not, and below that the last such number. */
static USER_TEXT void callers(u64 count)
{
	u64 wrong = 0;

	for (u64 i = 0; i < count; i++) {
		u64 r = i, arg = i * 3;

		if (i == 335 || i == 336)
			continue; /* uprobes': below */
		register u64 r10 asm("r10") = i, r8 asm("r8") = i;

		asm volatile("syscall" : "+a"(r) : "D"(arg), "S"(0x1000), "d"(i), "r"(r10), "r"(r8)
			     : "rcx", "r11", "memory");
		wrong = r != (i ^ arg) ? (wrong & ~0xffffull) + 0x10000 + i : wrong;
		r = i;
		asm volatile("int $0x42" : "+a"(r) : "D"(arg), "S"(0x1000), "d"(i) : "memory");
		wrong = r != (i ^ arg) ? (wrong & ~0xffffull) + 0x10000 + i : wrong;
	}
	user_return(wrong);
}

/* INT 0x80, and all of RAX. */
static USER_SPECIAL void int80_callers(u64 count)
{
	u64 wrong = 0;

	for (u64 i = 0; i < count; i++) {
		u64 r = i << 32 | i, arg = ~i;

		asm volatile("int $0x80" : "+a"(r) : "D"(arg) : "memory");
		wrong += r != ((i << 32 | i) ^ arg);
	}
	user_return(wrong);
}

/* As kernels write them into programs for uprobes. */
static USER_SPECIAL void uprobes(u64 arg)
{
	u64 a, b;

	asm volatile("mov $335, %%eax; syscall" : "=a"(a) : "D"(arg) : "rcx", "r11", "memory");
	asm volatile("movq $336, %%rax; syscall" : "=a"(b) : "D"(arg) : "rcx", "r11", "memory");
	user_return(a << 32 | b);
}

extern u8 answer_entry[];
u64 answered;
asm(".text\nanswer_entry:\n"
    "	xor %rdi, %rax\n"
    "	incq answered(%rip)\n"
    "	sysretq\n");

static void answer(struct frame *f)
{
	f->rax ^= f->rdi;
	answered++;
}

/* What the host's system calls of these numbers do must not happen: exit, kill, munmap, execve among them. */
static void every_number(void)
{
	wrmsr(MSR_LSTAR, (u64)answer_entry);
	trap_handler(V_SYSTEM_CALL, answer);
	trap_handler(0x80, answer);
	answered = 0;
	CHECK_EQ(user_call(callers, 600), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	CHECK_EQ(answered, 1196);
	CHECK_EQ(user_call(int80_callers, 500), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	CHECK_EQ(answered, 1696);
	CHECK_EQ(user_call(uprobes, 1000), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, (u64)(335 ^ 1000) << 32 | (336 ^ 1000));
	CHECK_EQ(answered, 1698);
}

/*
 * ---- signals: the kernel calls a handler of the program's, which returns through the kernel
 * ------------------------------
 */

static struct frame saved;
static u32 delivered;
static volatile u64 handled USER_DATA, stop USER_DATA;

static USER_TEXT void handler(u64 n)
{
	handled += n;
	asm volatile("xor %%ebx, %%ebx; xor %%ebp, %%ebp; std; cld; int $0x42" : : "a"(0x51) : "rbx", "memory");
	__builtin_unreachable();
}

/* Keeps its registers consistent: RBX counts, RCX is three times as much. */
static USER_TEXT void program(u64 a)
{
	u64 n = 0, thrice = 0;

	asm volatile("1: inc %0; add $3, %1; cmpq $0, (%2); je 1b" : "+r"(n), "+r"(thrice) : "r"(&stop) : "memory");
	user_return(thrice == 3 * n ? n : 0);
}

/* Takes what it saved: the program goes on where the signal met it. */
static void sigreturn(struct frame *f)
{
	CHECK_EQ(f->rax, 0x51);
	*f = saved;
	if (delivered == 30)
		stop = 1;
}

static void deliver(struct frame *f)
{
	apic_write(APIC_EOI, 0);
	if (handled != delivered || stop)
		return; /* still in the last one */
	saved = *f;
	delivered++;
	f->rip = (u64)handler;
	f->rsp = ((f->rsp - 512) & ~15ull) - 8;
	f->rdi = 1;
	f->rflags &= ~0x400ull;
}

static void signals(void)
{
	trap_handler(V_TIMER, deliver);
	trap_handler(V_SYSTEM_CALL, sigreturn);
	timer(20000);
	CHECK_EQ(user_call(program, 0), V_USER_RETURN);
	timer(0);
	CHECK(trap.f.rax > 0);
	CHECK_EQ(handled, 30);
}

int guest_main(void)
{
	user_as_os();
	state_setup();
	apic_enable();
	page_map(READ_CR(3), STATE_VA, page_alloc(), PTE_P | PTE_W | PTE_U | PTE_NX, 12);
	wrmsr(MSR_STAR, 0x0023ull << 48 | 0x0010ull << 32);
	wrmsr(MSR_SFMASK, 0x700);
	idt[0x80].lo |= 3ull << 45; /* for ring 3 */
	endless();
	interrupted_state();
	every_number();
	signals();
	return 0;
}
