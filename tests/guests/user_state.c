/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's registers across system calls, faults that are mended, and instructions that the kernel sees
 * nothing of.
 */
#include "tests/guests/user_state.h"

#define ROUNDS 40

static u64 cr3, page, entered;
static bool changes; /* the kernel changes registers */

static u64 xmm7(void)
{
	u64 v;

	asm volatile("movq %%xmm7, %0" : "=r"(v));
	return v;
}

/* The program's vector registers are the kernel's for the moment. */
static void look_at_vectors(void)
{
	CHECK_EQ(xmm7(), *(u64 *)(image_in + 160 + 7 * 16));
	if (changes) {
		asm volatile("pcmpeqd %xmm3, %xmm3");
		for (u32 i = 0; i < 16; i++)
			image_in[160 + 3 * 16 + i] = 0xff;
	}
}

static void on_int(struct frame *f)
{
	entered++;
	state_check_frame(f, (u64)state_int + 2);
	look_at_vectors();
	if (!changes)
		return;
	f->r13 = state_in.r13 = ~state_in.r13;
	f->rax = state_in.rax = 5;
}

static void on_page_fault(struct frame *f)
{
	bool store = f->error & 2;

	entered++;
	CHECK_EQ(READ_CR(2), STATE_VA);
	CHECK_EQ(f->error, store ? 6 : 4);
	state_check_frame(f, store ? (u64)state_store : (u64)state_load);
	look_at_vectors();
	*page_entry(cr3, STATE_VA, 12) = page | PTE_P | PTE_W | PTE_U | PTE_NX;
}

static void on_ud(struct frame *f)
{
	entered++;
	state_check_frame(f, (u64)state_ud2);
	look_at_vectors();
	f->rip += 2;
}

extern u8 state_entry[];
u64 syscall_rcx, syscall_r11, syscall_count;
asm(".text\nstate_entry:\n"
    "	mov %rcx, syscall_rcx(%rip)\n"
    "	mov %r11, syscall_r11(%rip)\n"
    "	incq syscall_count(%rip)\n"
    "	sysretq\n");

static void syscall_done(void)
{
	entered += syscall_count;
	syscall_count = 0;
	CHECK_EQ(syscall_rcx, (u64)state_after_syscall);
	CHECK_EQ(syscall_r11, STATE_FLAGS);
	CHECK_EQ(state_out.rcx, (u64)state_after_syscall);
	CHECK_EQ(state_out.r11, STATE_FLAGS);
}

static void one(u32 event)
{
	static const u32 written[STATE_EVENTS] = { [STATE_SYSCALL] = 1u << 1 | 1u << 11,
						   [STATE_LOAD] = 1,
						   [STATE_RDTSC] = 1 | 1u << 2 };

	state_make();
	*page_entry(cr3, STATE_VA, 12) = 0;
	invlpg(STATE_VA);
	*(volatile u64 *)page = state_random();
	entered = 0;
	CHECK_EQ(user_call(user_state, event), V_USER_RETURN);
	if (event == STATE_SYSCALL)
		syscall_done();
	CHECK_EQ(entered, event != STATE_RDTSC);
	state_check_regs(written[event], __LINE__);
	state_check_image(__LINE__);
	if (event == STATE_LOAD)
		CHECK_EQ(state_out.rax, *(volatile u64 *)page);
	if (event == STATE_STORE)
		CHECK_EQ(state_in.rax, *(volatile u64 *)page);
	CHECK_EQ(rdmsr(MSR_FS_BASE), STATE_VA + 0x1230);
	CHECK_EQ(rdmsr(MSR_GS_BASE), 0x00007fff12345000);
}

/*
 * ---- FS and GS
 * --------------------------------------------------------------------------------------------------
 */

static USER_TEXT void bases(u64 n)
{
	u64 fs, gs, wrong = 0;

	for (u64 i = 0; i < n; i++) {
		asm volatile("rdfsbase %0; rdgsbase %1" : "=r"(fs), "=r"(gs));
		wrong += fs != STATE_VA + i * 8 || gs != i << 12;
		asm volatile("wrfsbase %0; wrgsbase %1" : : "r"(fs + 8), "r"(gs + 4096));
		asm volatile("int $0x42" : : : "memory");
	}
	user_return(wrong);
}

static u64 expected_fs;

static void on_bases(struct frame *f)
{
	expected_fs += 8;
	CHECK_EQ(rdmsr(MSR_FS_BASE), expected_fs);
	CHECK_EQ(rdmsr(MSR_GS_BASE), (expected_fs - STATE_VA) / 8 << 12);
	if (expected_fs & 8)
		wrmsr(MSR_FS_BASE, expected_fs); /* no change */
}

/* Thread-local variables: through FS, on a page that is mapped only now. */
static USER_TEXT void through_fs(u64 v)
{
	u64 got;

	asm volatile("mov %1, %%fs:8; mov %%fs:8, %0" : "=r"(got) : "r"(v) : "memory");
	user_return(got);
}

static void segment_bases(void)
{
	page_map(cr3, STATE_VA, page, PTE_P | PTE_W | PTE_U | PTE_NX, 12);
	wrmsr(MSR_FS_BASE, STATE_VA + 0x100);
	CHECK_EQ(user_call(through_fs, 77), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 77);
	CHECK_EQ(*(volatile u64 *)(page + 0x108), 77);
	if (!(cpuid(7, 0).b & 1))
		return;
	trap_handler(V_SYSTEM_CALL, on_bases);
	wrmsr(MSR_FS_BASE, STATE_VA);
	wrmsr(MSR_GS_BASE, 0);
	expected_fs = STATE_VA;
	CHECK_EQ(user_call(bases, 100), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	WRITE_CR(4, READ_CR(4) & ~CR4_FSGSBASE);
	CHECK_EQ(user_call(bases, 100), V_UD);
	WRITE_CR(4, READ_CR(4) | CR4_FSGSBASE);
}

/*
 * ---- AC does nothing without CR0.AM, whatever the host has
 * ----------------------------------------------------------
 */

static USER_TEXT void misaligned(u64 a)
{
	u64 sum = 0;

	for (u64 i = 0; i < 20; i++)
		asm volatile("pushfq; orl $0x40000, (%%rsp); popfq; add 1(%1), %0" : "+r"(sum) : "r"(a) : "memory", "cc");
	user_return(sum);
}

static void alignment(void)
{
	*(volatile u64 *)page = 0x300;
	*(volatile u64 *)(page + 8) = 0;
	CHECK_EQ(user_call(misaligned, STATE_VA), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 60);
	WRITE_CR(0, READ_CR(0) | CR0_AM);
	CHECK_EQ(user_call(misaligned, STATE_VA), V_AC);
	CHECK_EQ(trap.f.error, 0);
	WRITE_CR(0, READ_CR(0) & ~CR0_AM);
	CHECK_EQ(user_call(misaligned, STATE_VA), V_USER_RETURN);
}

int guest_main(void)
{
	user_as_os();
	state_setup();
	cr3 = READ_CR(3);
	page = page_alloc();
	page_map(cr3, STATE_VA, 0, 0, 12);
	wrmsr(MSR_STAR, 0x0023ull << 48 | 0x0010ull << 32);
	wrmsr(MSR_LSTAR, (u64)state_entry);
	wrmsr(MSR_SFMASK, 0x700);
	trap_handler(V_SYSTEM_CALL, on_int);
	trap_handler(V_PF, on_page_fault);
	trap_handler(V_UD, on_ud);
	for (u32 i = 0; i < ROUNDS; i++) {
		changes = i & 1;
		for (u32 event = 0; event < STATE_SPIN; event++)
			one(event);
	}
	trap_handler(V_PF, NULL);
	trap_handler(V_UD, NULL);
	segment_bases();
	alignment();
	return 0;
}
