/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub process: what stub.h promises an honest guest, and what a hostile one gets (a stop or a dead
 * stub).
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hyp/direct/x86/stub_priv.h"
#include "tests/hyp_direct/stub_guest.h"
#include "tests/lib/descriptors.h"

#define UD2 0x0f, 0x0b
#define SYSCALL 0x0f, 0x05

static int setup(void **state)
{
	struct stub_guest *g = calloc(1, sizeof(*g));

	*state = NULL;
	if (!stub_guest_init(g)) {
		free(g);
		return 0;
	}
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		stub_guest_exit(*state);
	free(*state);
	return 0;
}

static struct stub_guest *guest(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* ---- an honest guest -------------------------------------------------------------------------- */

static void test_registers(void **state)
{
	struct stub_guest *g = guest(state);
	struct hyp_stub_regs want;

	for (unsigned i = 0; i < 16; i++)
		g->r.gpr[i] = 0x1122334455667700ull * (i + 1);
	g->r.rflags = 0x202 | 0xcd5 | 1 << 18 | 1 << 21 | 1 << 14; /* AC ID NT */
	g->r.fs_base = 0x00007123456789a0;
	g->r.gs_base = 0xffff888012345678; /* the kernel half is fine for a base */
	want = g->r;
	assert_int_equal(RUN(g, UD2), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_int_equal(g->stop.trapno, 6);
	assert_int_equal(g->r.rip, CODE);
	assert_memory_equal(g->r.gpr, want.gpr, sizeof(want.gpr));
	assert_int_equal(g->r.rflags & ~0x10000ull, want.rflags);
	assert_int_equal(g->r.fs_base, want.fs_base);
	assert_int_equal(g->r.gs_base, want.gs_base);
	assert_int_equal(g->r.cs, 0x33);
	/* the guest's own changes: incq every register, wrfsbase rax; popf clears AC, ID, NT */
	g->r.gpr[RSP] = DATA + 0x100;
	*(u64 *)(g->data + 0xf8) = 0x246;
	assert_int_equal(RUN(g, 0x48, 0xff, 0xc0, 0x49, 0xff, 0xc7, 0xf3, 0x48, 0x0f, 0xae, 0xd1, 0x48, 0x83,
			     0xec, 8, 0x9d, UD2),
			 0);
	assert_int_equal(g->r.gpr[RAX], want.gpr[RAX] + 1);
	assert_int_equal(g->r.gpr[15], want.gpr[15] + 1);
	assert_int_equal(g->stop.signo, SIGSEGV); /* wrfsbase of a non-canonical rcx */
	assert_int_equal(g->stop.trapno, 13);
	g->r.gpr[RCX] = 0x1000;
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_int_equal(g->r.fs_base, 0x1000);
	assert_int_equal(g->r.rflags & ~0x10000ull, 0x246);
}

static void test_vectors(void **state)
{
	struct stub_guest *g = guest(state);
	u32 size;
	u8 *x = hyp_stub_xsave(g->stub, &size);
	static const u8 ymm_high[16] = "upper half of 1";

	assert_true(size >= 576);
	memcpy(x + 160, "sixteen bytes 0", 16); /* XMM0 */
	*(u64 *)(x + 512) |= 3;
	*(u32 *)(x + 24) = 0xffffffff & ~0x1f80u; /* reserved bits set: must not be the end */
	if (size > 576 + 256 && __builtin_cpu_supports("avx")) {
		*(u64 *)(x + 512) |= 4;
		memcpy(x + 576 + 16, ymm_high, 16);
	}
	*(u64 *)(x + 520) = 1ull << 63 | 7; /* XCOMP_BV */
	*(u32 *)(x + 464) = 0;
	*(u32 *)(x + 24) |= 0x1f80;
	/* movdqa xmm2, xmm0; movdqa [rdi], xmm0 */
	assert_int_equal(RUN(g, 0x66, 0x0f, 0x6f, 0xd0, 0x66, 0x0f, 0x7f, 0x07, UD2), 0);
	assert_int_equal(g->stop.signo, SIGSEGV); /* rdi is 0 */
	g->r.gpr[RDI] = DATA;
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_string_equal((char *)g->data, "sixteen bytes 0");
	assert_string_equal((char *)x + 160 + 32, "sixteen bytes 0");
	assert_int_equal(*(u32 *)(x + 24) & ~g->stub->first.mxcsr_mask, 0);
	if (*(u64 *)(x + 512) & 4)
		assert_memory_equal(x + 576 + 16, ymm_high, 16);
	memset(x + 512, 0xff, 64); /* the header as a hostile guest might leave it */
	g->r.rip = CODE + 8;
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
}

static void test_page_faults(void **state)
{
	struct stub_guest *g = guest(state);

	g->r.gpr[RDI] = 0x700123;
	assert_int_equal(RUN(g, 0x48, 0x89, 0x07, UD2), 0); /* mov [rdi], rax */
	assert_int_equal(g->stop.signo, SIGSEGV);
	assert_int_equal(g->stop.trapno, 14);
	assert_int_equal(g->stop.addr, 0x700123);
	assert_int_equal(g->stop.error_code, 6);
	assert_int_equal(g->stop.map_error, 0);
	g->r.gpr[RDI] = CODE + 0x100; /* read-only */
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.error_code, 7);
	/* mapped now: goes on */
	g->r.gpr[RDI] = 0x700120;
	g->r.gpr[RAX] = 0x4711;
	assert_true(hyp_stub_map(g->stub, 0x700000, 4096, PROT_READ | PROT_WRITE, g->ram, 2 * 4096, true));
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_int_equal(*(u64 *)(g->code + 2 * 4096 + 0x120), 0x4711);
	/* and unmapped */
	assert_true(hyp_stub_unmap(g->stub, 0x700000, 4096));
	g->r.rip = CODE;
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.addr, 0x700120);
	g->r.rip = DATA; /* not executable */
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.addr, DATA);
	assert_int_equal(g->stop.error_code, 0x15);
	g->r.rip = 0x8000000000001234; /* not canonical */
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.trapno, 13);
	assert_int_equal(RUN(g, 0xcc), 0);
	assert_int_equal(g->stop.signo, SIGTRAP);
	assert_int_equal(g->stop.trapno, 3);
	assert_int_equal(g->r.rip, CODE + 1);
	assert_int_equal(RUN(g, 0x31, 0xd2, 0x31, 0xc9, 0xf7, 0xf1), 0); /* div 0 */
	assert_int_equal(g->stop.signo, SIGFPE);
	assert_int_equal(g->stop.trapno, 0);
}

static void test_map_errors(void **state)
{
	struct stub_guest *g = guest(state);

	assert_true(hyp_stub_map(g->stub, 0x700000, 4096, PROT_READ, 1 << 20, 0, false));
	assert_int_equal(hyp_stub_flush(g->stub), -EBADF);
	assert_int_equal(hyp_stub_flush(g->stub), 0);
	assert_true(hyp_stub_map(g->stub, 0x700000, 4096, PROT_READ, 1 << 20, 0, false));
	assert_int_equal(RUN(g, UD2), 0);
	assert_int_equal(g->stop.map_error, -EBADF);
	assert_int_equal(g->stop.signo, SIGILL);
	/* ours, or beyond the end */
	assert_true(hyp_stub_map(g->stub, HYP_STUB_BASE, 4096, PROT_READ, g->ram, 0, false));
	assert_int_equal(hyp_stub_flush(g->stub), -EINVAL);
	assert_true(hyp_stub_unmap(g->stub, HYP_STUB_BASE - 4096, 8192));
	assert_int_equal(hyp_stub_flush(g->stub), -EINVAL);
	assert_true(hyp_stub_unmap(g->stub, HYP_STUB_TOP - 4096, 8192));
	assert_int_equal(hyp_stub_flush(g->stub), -EINVAL);
	assert_true(hyp_stub_unmap(g->stub, 4096, ~0ull - 4095));
	assert_int_equal(hyp_stub_flush(g->stub), -EINVAL);
	for (unsigned i = 0; i < HYP_STUB_MAX_CALLS; i++)
		assert_true(hyp_stub_map(g->stub, 0x800000 + i * 4096, 4096, PROT_READ, g->ram, 4096, i & 1));
	assert_false(hyp_stub_map(g->stub, 0x700000, 4096, PROT_READ, g->ram, 0, false));
	assert_int_equal(hyp_stub_flush(g->stub), 0);
	assert_true(hyp_stub_map(g->stub, 0x700000, 4096, PROT_READ, g->ram, 0, false));
	assert_int_equal(RUN(g, UD2), 0);
	assert_int_equal(g->stop.map_error, 0);
}

static void test_many_runs(void **state)
{
	struct stub_guest *g = guest(state);

	memcpy(g->code, (const u8[]){ 0x48, 0xff, 0xc0, UD2 }, 5);
	g->r.gpr[RAX] = 0;
	for (unsigned i = 0; i < 1000; i++) {
		g->r.rip = CODE;
		assert_int_equal(stub_guest_go(g), 0);
	}
	assert_int_equal(g->r.gpr[RAX], 1000);
}

static void *kicker(void *stub)
{
	usleep(20 * 1000);
	hyp_stub_kick(stub);
	return NULL;
}

static void test_kick(void **state)
{
	struct stub_guest *g = guest(state);
	pthread_t t;

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&t, NULL, kicker, g->stub), 0);
		assert_int_equal(RUN(g, 0xeb, 0xfe), 0);
		assert_int_equal(g->stop.signo, HYP_STUB_KICK);
		assert_int_equal(g->stop.trapno, HYP_STUB_NO_TRAP);
		assert_int_equal(g->r.rip, CODE);
		pthread_join(t, NULL);
	}
	/* while parked: the next run stops once, before the first instruction */
	for (unsigned i = 0; i < 5; i++)
		hyp_stub_kick(g->stub);
	assert_int_equal(RUN(g, 0x90, UD2), 0);
	assert_int_equal(g->stop.signo, HYP_STUB_KICK);
	assert_int_equal(g->r.rip, CODE);
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
}

struct storm {
	struct hyp_stub *stub;
	int begun, over;
};

static void *storm(void *arg)
{
	struct storm *s = arg;

	do {
		hyp_stub_kick(s->stub);
		__atomic_store_n(&s->begun, 1, __ATOMIC_RELEASE);
	} while (!__atomic_load_n(&s->over, __ATOMIC_RELAXED));
	return NULL;
}

/* Kicks at any moment, within the handler too: the guest gets done what it would have. */
static void test_kick_storm(void **state)
{
	struct stub_guest *g = guest(state);
	struct storm s = { g->stub, 0, 0 };
	unsigned kicks = 0, turns = 0;
	pthread_t t;

	/* 1: inc rax; mov [rsi], rax; cmp rax, rdi; jne 1b; ud2 */
	memcpy(g->code, (const u8[]){ 0x48, 0xff, 0xc0, 0x48, 0x89, 0x06, 0x48, 0x39, 0xf8, 0x75, 0xf5, UD2 }, 13);
	g->r.rip = CODE;
	g->r.gpr[RSI] = DATA;
	g->r.gpr[RDI] = 10000000;
	assert_int_equal(pthread_create(&t, NULL, storm, &s), 0);
	while (!__atomic_load_n(&s.begun, __ATOMIC_ACQUIRE))
		sched_yield();
	do {
		u64 other = 0x700000 + 4096 * (turns % 7);

		assert_true(hyp_stub_map(g->stub, other, 4096, PROT_READ, g->ram, 0, turns & 1));
		assert_true(hyp_stub_unmap(g->stub, other, 4096));
		if (turns % 5 == 0)
			assert_int_equal(hyp_stub_flush(g->stub), 0);
		assert_int_equal(stub_guest_go(g), 0);
		assert_int_equal(g->stop.map_error, 0);
		kicks += g->stop.signo == HYP_STUB_KICK;
	} while (++turns < 500 && g->stop.signo == HYP_STUB_KICK);
	__atomic_store_n(&s.over, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	while (g->stop.signo == HYP_STUB_KICK)
		assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_true(kicks > 0);
	assert_int_equal(g->r.gpr[RAX], 10000000);
	assert_int_equal(*(u64 *)g->data, 10000000);
}

static void nothing(int signo)
{
}

static void *interrupter(void *thread)
{
	usleep(20 * 1000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

/* A signal handler in the waiting thread is a kick. */
static void test_interrupted(void **state)
{
	struct stub_guest *g = guest(state);
	struct sigaction old, sa = { .sa_handler = nothing };
	pthread_t t, self = pthread_self();

	sigaction(SIGUSR1, &sa, &old);
	assert_int_equal(pthread_create(&t, NULL, interrupter, &self), 0);
	assert_int_equal(RUN(g, 0xeb, 0xfe), 0);
	assert_int_equal(g->stop.signo, HYP_STUB_KICK);
	pthread_join(t, NULL);
	sigaction(SIGUSR1, &old, NULL);
}

/* ---- a hostile guest -------------------------------------------------------------------------- */

/* Every page of the stub that the guest can read. */
static void assert_no_secret(const struct hyp_stub *s)
{
	const u32 *w = (const u32 *)s->shared;

	for (unsigned i = 0; i < STUB_SHARED_SIZE / 4; i++) {
		if (s->secret[0])
			assert_int_not_equal(w[i], s->secret[0]);
		if (s->secret[1])
			assert_int_not_equal(w[i], s->secret[1]);
	}
}

static void test_syscalls(void **state)
{
	struct stub_guest *g = guest(state);
	static const u32 nrs[] = { SYS_read, SYS_write, SYS_mmap, SYS_munmap, SYS_rt_sigreturn, SYS_exit_group,
				   SYS_kill, SYS_fork, SYS_ptrace, SYS_sched_yield, SYS_prctl, SYS_seccomp, SYS_io_uring_setup,
				   SYS_mmap | 0x40000000 /* x32 */, 0xffffffff };

	for (unsigned i = 0; i < ARRAY_SIZE(nrs); i++) {
		g->r.gpr[RAX] = nrs[i];
		g->r.gpr[RDI] = 0;
		g->r.gpr[RSI] = 4096;
		assert_int_equal(RUN(g, SYSCALL, UD2), 0);
		assert_int_equal(g->stop.signo, SIGSYS);
		assert_int_equal(g->stop.trapno, HYP_STUB_NO_TRAP);
		assert_int_equal(g->r.rip, CODE + 2);
		assert_int_equal(g->r.gpr[RAX], nrs[i]);
	}
	/* int 0x80: the numbers of another architecture, 20 is getpid */
	g->r.gpr[RAX] = 20;
	assert_int_equal(RUN(g, 0xcd, 0x80, UD2), 0);
	assert_int_equal(g->stop.signo == SIGSYS || g->stop.signo == SIGSEGV, 1);
	assert_no_secret(g->stub);
}

/* sysenter and the vsyscall page */
static void test_other_entries(void **state)
{
	struct stub_guest *g = guest(state);

	assert_int_equal(RUN(g, 0xff, 0xd0, UD2) /* call rax = 0 */, 0);
	g->r.gpr[RAX] = 0xffffffffff600000;
	g->r.gpr[RSP] = DATA + 0x800;
	g->r.gpr[RDI] = DATA;
	memset(g->data, 0, 16);
	assert_int_equal(RUN(g, 0xff, 0xd0, UD2), 0);
	assert_int_equal(g->stop.signo, SIGSEGV);
	assert_int_equal(g->stop.addr, 0xffffffffff600000);
	assert_int_equal(g->r.rip, 0xffffffffff600000);
	assert_int_equal(g->r.gpr[RSP], DATA + 0x7f8);
	assert_int_equal(*(u64 *)g->data, 0);
	(void)RUN(g, 0x0f, 0x34, UD2);
	assert_true(!g->stub->dead || stub_exited(g->stub));
}

static u64 in_stub(const u8 *symbol)
{
	return HYP_STUB_BASE + (u64)(symbol - hyp_stub_code);
}

/* mmap of a page of RAM, as the list would have it, but for the secret */
static void load_mmap(struct stub_guest *g, u32 secret_flags, u32 secret_fd)
{
	u64 *a = g->r.gpr;

	a[RAX] = SYS_mmap;
	a[RDI] = 0x700000;
	a[RSI] = 4096;
	a[RDX] = PROT_READ | PROT_WRITE;
	a[R10] = MAP_SHARED | MAP_FIXED | (u64)secret_flags << 32;
	a[R8] = (u32)g->ram | (u64)secret_fd << 32;
	a[R9] = 0;
}

/* Runs what has been prepared. No mapping at 0x700000 may come of it, and no secret. Then a new stub. */
static void attack(struct stub_guest *g, u64 rip)
{
	struct stub_guest next;
	int ret;

	/* jmp rbx */
	g->r.gpr[RBX] = rip;
	ret = RUN(g, 0xff, 0xe3);
	if (ret) {
		assert_true(ret == -EPERM || ret == -ESRCH);
		if (ret == -EPERM)
			assert_true(g->r.rip - HYP_STUB_BASE < STUB_CODE_SIZE);
		assert_no_secret(g->stub);
		assert_int_equal(hyp_stub_run(g->stub, &g->stop), -ESRCH);
		assert_true(g->stub->dead);
		for (unsigned i = 0; i < 1000 && !stub_exited(g->stub); i++)
			usleep(1000);
		assert_true(stub_exited(g->stub));
	} else {
		assert_int_not_equal(g->r.rip - HYP_STUB_BASE < STUB_CODE_SIZE, 1);
		assert_no_secret(g->stub);
		g->r.gpr[RDI] = 0x700000;
		ret = RUN(g, 0x8a, 0x07, UD2);
		if (!ret) {
			assert_int_equal(g->stop.signo, SIGSEGV);
			assert_int_equal(g->stop.addr, 0x700000);
		}
	}
	assert_true(stub_guest_init(&next));
	stub_guest_exit(g);
	*g = next;
}

static void test_jumps_to_our_syscalls(void **state)
{
	struct stub_guest *g = guest(state);
	const u8 *ips[] = { hyp_stub_park_ip, hyp_stub_call_ip, hyp_stub_sigreturn_ip };
	static const u32 nrs[] = { SYS_mmap, SYS_rt_sigreturn, SYS_write, SYS_sched_yield };

	for (unsigned i = 0; i < ARRAY_SIZE(ips); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(nrs); k++) {
			load_mmap(g, 0x11111111, 0x22222222);
			g->r.gpr[RAX] = nrs[k];
			attack(g, in_stub(ips[i]) - 2);
		}
	/* each half of the secret right, the other wrong */
	load_mmap(g, g->stub->secret[0], ~g->stub->secret[1]);
	attack(g, in_stub(hyp_stub_call_ip) - 2);
	load_mmap(g, ~g->stub->secret[0], g->stub->secret[1]);
	attack(g, in_stub(hyp_stub_call_ip) - 2);
	/* the right secret from a wrong address */
	load_mmap(g, g->stub->secret[0], g->stub->secret[1]);
	attack(g, in_stub(hyp_stub_park_ip) - 2);
	load_mmap(g, g->stub->secret[0], g->stub->secret[1]);
	assert_int_equal(RUN(g, SYSCALL, UD2), 0);
	assert_int_equal(g->stop.signo, SIGSYS);
	/* a control: with the secret and from the right place it would have worked */
	load_mmap(g, g->stub->secret[0], g->stub->secret[1]);
	g->r.gpr[12] = DATA;
	g->r.gpr[RBX] = in_stub(hyp_stub_call_ip) - 2;
	assert_int_equal(RUN(g, 0xff, 0xe3), -EPERM);
}

/* Every byte of our code is a possible entry. With the trap flag, and without. */
static void test_jumps_anywhere(void **state)
{
	struct stub_guest *g = guest(state);

	for (unsigned i = 0; i < hyp_stub_code_end - hyp_stub_code; i += 1) {
		load_mmap(g, 0, 0);
		g->r.gpr[12] = HYP_STUB_BASE + STUB_CODE_SIZE + STUB_CTL_CALLS;
		attack(g, HYP_STUB_BASE + i);
	}
}

/* With TF set, the first step in our code is the end. */
static void test_single_step(void **state)
{
	struct stub_guest *g = guest(state);
	static const u8 code[] = { 0x9d, 0x90, 0xff, 0xe3 }; /* popf; nop; jmp rbx */

	g->r.gpr[RSP] = DATA + 0x100;
	*(u64 *)(g->data + 0x100) = 0x302;
	assert_int_equal(stub_guest_run(g, code, sizeof(code)), 0);
	assert_int_equal(g->stop.signo, SIGTRAP);
	assert_int_equal(g->stop.trapno, 1);
	assert_int_equal(g->r.rip, CODE + 2);
	assert_int_equal(g->r.rflags & 0x100, 0x100);
	/* TF in the registers that the caller sets is not taken */
	memcpy(g->code + 2, (const u8[]){ 0x90, UD2 }, 3);
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	memcpy(g->code + 1, (const u8[]){ 0xff, 0xe3 }, 2); /* popf; jmp rbx */
	g->r.gpr[RSP] = DATA + 0x100;
	g->r.gpr[RBX] = in_stub(hyp_stub_park_ip) - 2;
	g->r.gpr[RAX] = SYS_sched_yield;
	g->r.rip = CODE;
	assert_int_equal(stub_guest_go(g), -EPERM);
	assert_int_equal(g->r.rip, in_stub(hyp_stub_park_ip) - 2);
}

/*
 * A park that is none of the handler's, with a signal's arguments and all signals unblocked: it passes for a
 * stop, and the frame is the guest's work. A kick then interrupts the handler's calls when the secret is
 * there.
 */
static void test_forged_park(void **state)
{
	struct stub_guest *g = guest(state);
	struct hyp_stub_stop stop;

	g->r.gpr[RAX] = SYS_sched_yield;
	g->r.gpr[RDI] = SIGILL;
	g->r.gpr[RDX] = g->stub->uc_addr;
	g->r.gpr[RBX] = in_stub(hyp_stub_park_ip) - 2;
	assert_int_equal(RUN(g, 0xff, 0xe3), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_int_equal(g->r.rip, CODE); /* the old frame */
	assert_no_secret(g->stub);
	assert_int_equal(RUN(g, UD2), 0); /* nothing came of it */
	assert_int_equal(g->stop.signo, SIGILL);
	g->r.gpr[RAX] = SYS_sched_yield;
	assert_int_equal(RUN(g, 0xff, 0xe3), 0);
	hyp_stub_kick(g->stub);
	assert_int_equal(hyp_stub_run(g->stub, &stop), -EPERM);
	assert_true(g->stub->dead);
	assert_no_secret(g->stub);
}

/* RSP in our pages: the frame must not follow it. Forged control words. */
static void test_our_pages(void **state)
{
	struct stub_guest *g = guest(state);
	u64 ctl = HYP_STUB_BASE + STUB_CODE_SIZE;

	for (u64 at = ctl; at <= HYP_STUB_BASE + HYP_STUB_SIZE; at += 0x800) {
		g->r.gpr[RSP] = at;
		assert_int_equal(RUN(g, UD2), 0);
		assert_int_equal(g->r.gpr[RSP], at);
		assert_int_equal(g->stop.signo, SIGILL);
	}
	/* rep stosb over all that is writable */
	g->r.gpr[RDI] = ctl;
	g->r.gpr[RCX] = STUB_SHARED_SIZE;
	g->r.gpr[RAX] = 0x5a;
	assert_int_equal(RUN(g, 0xf3, 0xaa, UD2), 0);
	assert_int_equal(g->stop.signo, SIGILL);
	assert_int_equal(g->r.gpr[RDI], HYP_STUB_BASE + HYP_STUB_SIZE);
	assert_int_equal(stub_guest_go(g), 0);
	assert_int_equal(g->r.gpr[RCX], 0);
	/* our code is not writable */
	g->r.gpr[RDI] = HYP_STUB_BASE;
	assert_int_equal(RUN(g, 0x88, 0x07, UD2), 0);
	assert_int_equal(g->stop.signo, SIGSEGV);
	assert_int_equal(g->stop.error_code, 7);
}

/* What the guest left in the frame while it was parked by a forged "signal" does not reach the kernel. */
static void test_frame_is_rewritten(void **state)
{
	struct stub_guest *g = guest(state);
	pthread_t t;
	u32 size;
	u8 *x;

	assert_int_equal(RUN(g, UD2), 0);
	memset(&g->stub->uc->uc_sigmask, 0xff, 8);
	memset(&g->stub->uc->uc_stack, 0, sizeof(stack_t));
	g->stub->uc->uc_mcontext.gregs[REG_CSGSFS] = 0x23;
	g->stub->uc->uc_mcontext.fpregs = (fpregset_t)0x1000;
	g->stub->uc->uc_flags = 0;
	assert_int_equal(pthread_create(&t, NULL, kicker, g->stub), 0);
	assert_int_equal(RUN(g, 0xeb, 0xfe), 0);
	assert_int_equal(g->stop.signo, HYP_STUB_KICK);
	pthread_join(t, NULL);
	assert_int_equal(g->r.cs, 0x33);
	/* an XSAVE image and bases that cannot be loaded do not get out */
	memset(g->stub->shared + (g->stub->first.fpregs - HYP_STUB_BASE - STUB_CODE_SIZE), 0xff, 576);
	x = hyp_stub_xsave(g->stub, &size);
	assert_int_equal(*(u32 *)(x + 24) & ~g->stub->first.mxcsr_mask, 0);
	assert_int_equal(*(u64 *)(x + 512) & ~g->stub->first.xfeatures, 0);
	assert_int_equal(*(u64 *)(x + 520) | *(u64 *)(x + 528), 0);
	g->stub->ctl->gs_base = 0x8000000000000000;
	hyp_stub_get_regs(g->stub, &g->r);
	assert_int_equal(g->r.gs_base, 0);
	assert_int_equal(hyp_stub_run(g->stub, &g->stop), -EPERM);
}

/* ---- life and death --------------------------------------------------------------------------- */

static volatile sig_atomic_t sigchlds;

static void count_sigchld(int signo)
{
	sigchlds++;
}

static void test_leaves_nothing(void **state)
{
	struct sigaction old, sa = { .sa_handler = count_sigchld };
	unsigned before = descriptors();
	struct stub_guest g;

	guest(state);
	sigaction(SIGCHLD, &sa, &old);
	hyp_stub_destroy(NULL);
	for (unsigned i = 0; i < 5; i++) {
		int pid;

		assert_true(stub_guest_init(&g));
		if (i & 1)
			assert_int_equal(RUN(&g, UD2), 0);
		pid = g.stub->pid;
		stub_guest_exit(&g); /* while parked */
		assert_int_equal(kill(pid, 0), -1);
		assert_int_equal(errno, ESRCH);
	}
	assert_int_equal(descriptors(), before);
	assert_int_equal(sigchlds, 0);
	sigaction(SIGCHLD, &old, NULL);
}

static void *killer(void *pid)
{
	usleep(20 * 1000);
	kill(*(int *)pid, SIGKILL);
	return NULL;
}

static void test_killed(void **state)
{
	struct stub_guest *g = guest(state);
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, killer, &g->stub->pid), 0);
	assert_int_equal(RUN(g, 0xeb, 0xfe), -ESRCH);
	pthread_join(t, NULL);
	assert_int_equal(hyp_stub_run(g->stub, &g->stop), -ESRCH);
	assert_int_equal(hyp_stub_flush(g->stub), -ESRCH);
	hyp_stub_kick(g->stub);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* not even a child to the client */
	/* and while parked */
	stub_guest_exit(g);
	assert_true(stub_guest_init(g));
	kill(g->stub->pid, SIGKILL);
	assert_int_equal(RUN(g, UD2), -ESRCH);
}

/* As on kernels before 6.11 and 6.6. */
static void test_old_kernels(void **state)
{
	struct stub_guest *g = guest(state);

	assert_int_equal(stub_open_pidfd(g->stub), 0);
	test_many_runs(state);
	test_kick(state);
	test_interrupted(state);
	g->stub->sync_wake_up = false;
	test_many_runs(state);
	assert_true(g->stub->cpu >= 0);
	stub_guest_exit(g);
	assert_true(stub_guest_init(g));
	assert_int_equal(stub_open_pidfd(g->stub), 0);
	test_killed(state);
}

/* The stub dies with the thread that made it. */
static void *create_and_leave(void *stub)
{
	*(struct hyp_stub **)stub = hyp_stub_create();
	return NULL;
}

static void test_thread_exits(void **state)
{
	struct hyp_stub *s = NULL;
	struct hyp_stub_stop stop;
	pthread_t t;

	guest(state);
	assert_int_equal(pthread_create(&t, NULL, create_and_leave, &s), 0);
	pthread_join(t, NULL);
	assert_non_null(s);
	assert_int_equal(hyp_stub_run(s, &stop), -ESRCH);
	hyp_stub_destroy(s);
}

/* ---- how long it takes (not a test: stub_test --time) ------------------------------------------ */

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

#define TURNS 1000
#define ROUNDS 20 /* of which the best counts: the machine may be busy */

enum { NO_MAP, SAME_PAGE, NEXT_PAGE, UNMAP_TOO };

static double time_round(struct stub_guest *g, int map, u64 at)
{
	struct hyp_stub_stop stop;
	double start = now_us();

	for (unsigned i = 0; i < TURNS; i++) {
		if (map)
			hyp_stub_map(g->stub, at, 4096, PROT_READ | PROT_WRITE, g->ram, 2 * 4096, true);
		if (map == NEXT_PAGE)
			at += 8192;
		if (map == UNMAP_TOO)
			hyp_stub_unmap(g->stub, at, 4096);
		hyp_stub_run(g->stub, &stop);
	}
	return (now_us() - start) / TURNS;
}

static double time_turns(struct stub_guest *g, int map)
{
	double best = 1e9;

	for (u64 i = 0; i < ROUNDS; i++) {
		double us = time_round(g, map, 0x10000000 + i * 0x1000000);

		best = us < best ? us : best;
	}
	return best;
}

static double time_create(void)
{
	double best = 1e9;

	for (unsigned i = 0; i < ROUNDS; i++) {
		double start = now_us(), us;
		struct hyp_stub *s = hyp_stub_create();

		us = now_us() - start;
		hyp_stub_destroy(s);
		best = us < best ? us : best;
	}
	return best;
}

static int time_all(void)
{
	struct stub_guest g;

	if (!stub_guest_init(&g))
		return 77;
	printf("create                 %8.2f us\n", time_create());
	g.r.gpr[RDI] = 0x123000;
	RUN(&g, 0x8a, 0x07); /* SIGSEGV */
	printf("run + SIGSEGV          %8.2f us\n", time_turns(&g, NO_MAP));
	printf("with a map, new page   %8.2f us\n", time_turns(&g, NEXT_PAGE));
	printf("with a map, same page  %8.2f us\n", time_turns(&g, SAME_PAGE));
	printf("with a map and unmap   %8.2f us\n", time_turns(&g, UNMAP_TOO));
	stub_open_pidfd(g.stub);
	printf("run, poll first        %8.2f us\n", time_turns(&g, NO_MAP));
	RUN(&g, SYSCALL, 0xeb, 0xfc);
	printf("run + SIGSYS           %8.2f us\n", time_turns(&g, NO_MAP));
	stub_guest_exit(&g);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(test_##f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(registers), TEST(vectors), TEST(page_faults), TEST(map_errors), TEST(many_runs),
		TEST(kick), TEST(kick_storm), TEST(interrupted), TEST(syscalls), TEST(other_entries),
		TEST(jumps_to_our_syscalls), TEST(jumps_anywhere), TEST(single_step), TEST(forged_park),
		TEST(our_pages), TEST(frame_is_rewritten), TEST(leaves_nothing), TEST(killed),
		TEST(old_kernels), TEST(thread_exits),
	};

	if (argc > 1 && !strcmp(argv[1], "--time"))
		return time_all();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
