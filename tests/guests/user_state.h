/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All registers of a program, before and after something that takes it to the kernel and back: general
 * registers, flags, everything XSAVE knows, FS and GS. The kernel looks at them, too, and may change some.
 */
#ifndef KUSE_TESTS_GUESTS_USER_STATE_H
#define KUSE_TESTS_GUESTS_USER_STATE_H

#include "guest/lib/guest.h"

#define STATE_FLAGS 0x240ed7ull /* ID, AC, OF, DF, IF, SF, ZF, AF, PF, CF */
#define STATE_VA GUEST_VA       /* in RBX: what is not there until it is touched */
#define STATE_XSAVE 4096

/* What user_state does between loading and storing its registers. */
enum { STATE_INT, STATE_SYSCALL, STATE_LOAD, STATE_STORE, STATE_UD2, STATE_RDTSC, STATE_SPIN, STATE_EVENTS };

struct user_regs {
	u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rflags;
};

static struct user_regs state_in USER_DATA, state_out USER_DATA;
static u8 image_in[STATE_XSAVE] USER_DATA __attribute__((aligned(64)));
static u8 image_out[STATE_XSAVE] USER_DATA __attribute__((aligned(64)));
static u64 state_events[STATE_EVENTS] USER_DATA;
static u64 state_to USER_DATA;
void user_state(u64 event);
extern u8 state_int[], state_syscall[], state_load[], state_store[], state_ud2[], state_rdtsc[], state_spin[];
extern u8 state_after_syscall[];

#define R(r, o) "	mov " #o "(%rdx), %" #r "\n"
#define S(r, o) "	mov %" #r ", state_out+" #o "(%rip)\n"
asm(".pushsection .user.text, \"ax\"\n"
    ".globl user_state\nuser_state:\n"
    "	lea state_events(%rip), %rax\n"
    "	mov (%rax, %rdi, 8), %rax\n"
    "	mov %rax, state_to(%rip)\n"
    "	mov $-1, %eax\n"
    "	mov %eax, %edx\n"
    "	xrstor64 image_in(%rip)\n"
    "	lea state_in(%rip), %rdx\n"
    "	pushq 128(%rdx)\n"
    "	popfq\n"
    R(rax, 0) R(rcx, 8) R(rbx, 24) R(rbp, 40) R(rsi, 48) R(rdi, 56) R(r8, 64) R(r9, 72) R(r10, 80) R(r11, 88)
    R(r12, 96) R(r13, 104) R(r14, 112) R(r15, 120)
    "	mov 16(%rdx), %rdx\n"
    "	jmp *state_to(%rip)\n"
    ".globl state_int, state_syscall, state_load, state_store, state_ud2, state_spin, state_after_syscall\n"
    "state_int: int $0x42\n"
    "	jmp 1f\n"
    "state_syscall: syscall\n"
    "state_after_syscall: jmp 1f\n"
    "state_load: mov (%rbx), %rax\n"
    "	jmp 1f\n"
    "state_store: mov %rax, (%rbx)\n"
    "	jmp 1f\n"
    "state_ud2: ud2\n"
    "	jmp 1f\n"
    "state_spin: jmp state_spin\n"
    "	jmp 1f\n"
    ".pushsection .user.special, \"ax\"\n"
    ".globl state_rdtsc\nstate_rdtsc: rdtsc\n"
    "	jmp 1f\n"
    ".popsection\n"
    "1:\n"
    S(rax, 0) S(rcx, 8) S(rdx, 16) S(rbx, 24) S(rsp, 32) S(rbp, 40) S(rsi, 48) S(rdi, 56) S(r8, 64) S(r9, 72)
    S(r10, 80) S(r11, 88) S(r12, 96) S(r13, 104) S(r14, 112) S(r15, 120)
    "	pushfq\n"
    "	popq state_out+128(%rip)\n"
    "	cld\n"
    "	mov $-1, %eax\n"
    "	mov %eax, %edx\n"
    "	xsave64 image_out(%rip)\n"
    "	int $0x41\n"
    ".popsection\n");
#undef R
#undef S

static u32 state_seed = 12345;

static u32 state_random(void)
{
	state_seed = state_seed * 1664525 + 1013904223;
	return state_seed >> 8 | state_seed << 24;
}

static void state_fill(u8 *p, u32 n)
{
	for (u32 i = 0; i < n; i++)
		p[i] = (u8)state_random();
}

/* An XSAVE image in which nothing is as after a reset. */
static void state_make_image(void)
{
	u64 xcr0 = cpuid(0xd, 0).a;
	struct cpuid c;

	for (u32 i = 0; i < STATE_XSAVE; i++)
		image_in[i] = image_out[i] = 0;
	*(u16 *)image_in = 0x0f7f;                              /* FCW: rounds to zero */
	*(u16 *)(image_in + 2) = 0x2800 | (state_random() & 0x7f & ~0x40); /* FSW: TOP, flags that were raised and masked */
	image_in[4] = 0xff;                                     /* all x87 registers in use */
	*(u32 *)(image_in + 24) = 0x7f80 | (state_random() & 0x3f); /* MXCSR */
	for (u32 i = 0; i < 8; i++) {
		state_fill(image_in + 32 + 16 * i, 7);
		image_in[32 + 16 * i + 7] = 0x80;
		image_in[32 + 16 * i + 9] = 0x3f;
	}
	state_fill(image_in + 160, 256);
	for (u32 i = 2; i < 8; i++) {
		c = cpuid(0xd, i);
		if (xcr0 >> i & 1)
			state_fill(image_in + c.b, c.a);
	}
	*(u64 *)(image_in + 512) = xcr0 & 0xe7;
}

static void state_make(void)
{
	u64 *r = (u64 *)&state_in;

	for (u32 i = 0; i < 16; i++)
		r[i] = (u64)state_random() << 32 | state_random();
	state_in.rbx = STATE_VA;
	state_in.rflags = STATE_FLAGS;
	state_make_image();
	wrmsr(MSR_FS_BASE, STATE_VA + 0x1230);
	wrmsr(MSR_GS_BASE, 0x00007fff12345000);
}

/* The image as it was: all but the x87 pointers, which not every CPU stores without an exception pending. */
static void state_check_image(int line)
{
	struct cpuid c = cpuid(0xd, 0);

	for (u32 i = 0; i < c.b && i < STATE_XSAVE; i++) {
		if ((i >= 8 && i < 24) || (i >= 28 && i < 32) || (i >= 464 && i < 512))
			continue;
		if (image_out[i] == image_in[i])
			continue;
		print("XSAVE image differs at %u: %x, not %x\n", i, image_out[i], image_in[i]);
		check_equal(0, 1, "image", line);
		return;
	}
}

/* The general registers that the event leaves alone (bit 4, RSP, is for the frame). */
static void state_check_regs(u32 but, int line)
{
	const u64 *in = (u64 *)&state_in, *out = (u64 *)&state_out;

	for (u32 i = 0; i < 16; i++) {
		if ((but | 1u << 4) >> i & 1 || in[i] == out[i])
			continue;
		print("register %u: %lx, not %lx\n", i, out[i], in[i]);
		check_equal(0, 1, "register", line);
	}
	check_equal(state_out.rflags, STATE_FLAGS, "rflags", line);
}

/* What the kernel's handler is to find in its frame: the program's registers. */
static void state_check_frame(const struct frame *f, u64 rip)
{
	CHECK_EQ(f->rax, state_in.rax);
	CHECK_EQ(f->rcx, state_in.rcx);
	CHECK_EQ(f->rdx, state_in.rdx);
	CHECK_EQ(f->rbx, state_in.rbx);
	CHECK_EQ(f->rbp, state_in.rbp);
	CHECK_EQ(f->rsi, state_in.rsi);
	CHECK_EQ(f->rdi, state_in.rdi);
	CHECK_EQ(f->r8, state_in.r8);
	CHECK_EQ(f->r11, state_in.r11);
	CHECK_EQ(f->r15, state_in.r15);
	CHECK_EQ(f->cs, 0x33);
	CHECK_EQ(f->ss, 0x2b);
	CHECK_EQ(f->rip, rip);
	CHECK_EQ(f->rflags & ~0x10000ull, STATE_FLAGS); /* RF: set in the frame of a fault */
}

static void state_setup(void)
{
	state_events[STATE_INT] = (u64)state_int;
	state_events[STATE_SYSCALL] = (u64)state_syscall;
	state_events[STATE_LOAD] = (u64)state_load;
	state_events[STATE_STORE] = (u64)state_store;
	state_events[STATE_UD2] = (u64)state_ud2;
	state_events[STATE_RDTSC] = (u64)state_rdtsc;
	state_events[STATE_SPIN] = (u64)state_spin;
	if (!(cpuid(1, 0).c >> 26 & 1) || cpuid(0xd, 0).b > STATE_XSAVE)
		guest_skip("no XSAVE, or too much of it");
}

#endif
