/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle: cases run on the host CPU in a forked child. The child's life is one signal handler.
 * Each case ends in an exception (the UD2 behind it, or its own), Linux delivers a signal with
 * all registers in the frame; the handler stores them as the result, writes the next case into the
 * frame and returns: sigreturn loads every register, XSAVE state and CS included, so 32-bit code is
 * just a frame with CS = 0x23. FS and GS base are what sigreturn leaves alone: the assembly around
 * the C handler reads and writes them, and gives C its own FS base in between.
 *
 * Linux tells vector, error code and CR2 in the frame (REG_TRAPNO, REG_ERR, REG_CR2). A case that
 * does not end is cut off by a timer. A system call from case memory (a wild jump) is trapped by
 * seccomp and comes out as DT_STRANGE.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/diff/diff.h"

/* What parent and child share besides the batch. */
struct native_shared {
	u32 go, done; /* futexes: counters of submitted and finished batches */
	struct dt_batch batch;
};

static struct native_shared *shared;
static pid_t child;
static u32 submitted;

/* ---- the child ---------------------------------------------------------------------------------- */

/* Read by the assembly below. */
__attribute__((used)) u64 native_own_fs, native_fs, native_gs;
__attribute__((used)) u32 native_sel; /* in DS ES FS GS, as guest.c has it */

static struct dt_mem *window; /* a writable alias of the case's three areas */
static ucontext_t own_context;
static u8 own_xsave[DT_XSAVE] __attribute__((aligned(64)));
static u32 cur;
static u64 serial, ticked; /* cases started in all; the one running at the last timer tick */
static bool running;

void native_entry(int, siginfo_t *, void *);
asm(".text\n"
    "native_entry:\n"
    "	rdfsbase %rax\n"
    "	mov %rax, native_fs(%rip)\n"
    "	rdgsbase %rax\n"
    "	mov %rax, native_gs(%rip)\n"
    "	mov native_own_fs(%rip), %rax\n"
    "	wrfsbase %rax\n"
    "	pushfq\n"
    "	andl $0xfffbffff, (%rsp)\n" /* AC */
    "	popfq\n"
    "	sub $8, %rsp\n"
    "	call native_signal\n"
    "	add $8, %rsp\n"
    "	mov native_sel(%rip), %eax\n" /* the last case may have got at them */
    "	mov %eax, %ds\n"
    "	mov %eax, %es\n"
    "	mov %eax, %fs\n"
    "	mov %eax, %gs\n"
    "	mov native_fs(%rip), %rax\n"
    "	wrfsbase %rax\n"
    "	mov native_gs(%rip), %rax\n"
    "	wrgsbase %rax\n"
    "	ret\n");

static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				 REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static void copy_memory(struct dt_mem *to, const struct dt_mem *from)
{
	memcpy(to->code, from->code, sizeof(to->code));
	memcpy(to->data, from->data, sizeof(to->data));
	memcpy(to->stack, from->stack, sizeof(to->stack));
}

/* The XSAVE image of the frame: everything but the software-reserved bytes 464..511. */
static void frame_set_xsave(void *frame, const u8 *x)
{
	memcpy(frame, x, 464);
	memcpy((u8 *)frame + 512, x + 512, xsave_total() - 512);
}

static void frame_load(ucontext_t *uc, const struct dt_case *c)
{
	greg_t *g = uc->uc_mcontext.gregs;
	u64 cs = dt_is64(c->mode) ? 0x33 : 0x23;

	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = c->init.gpr[i];
	g[REG_RIP] = c->init.rip;
	g[REG_EFL] = c->init.rflags;
	g[REG_CSGSFS] = cs | 0x2bull << 48;
	native_sel = c->mode == DT_LONG_USER ? 0 : 0x2b;
	frame_set_xsave(uc->uc_mcontext.fpregs, c->init.xsave);
	native_fs = c->init.fs_base;
	native_gs = c->init.gs_base;
	copy_memory(window, &c->mem);
}

static void frame_store(const ucontext_t *uc, int sig, struct dt_result *r)
{
	const greg_t *g = uc->uc_mcontext.gregs;

	for (unsigned i = 0; i < 16; i++)
		r->s.gpr[i] = g[greg_of[i]];
	r->s.rip = g[REG_RIP];
	r->s.rflags = g[REG_EFL];
	r->s.fs_base = native_fs;
	r->s.gs_base = native_gs;
	memcpy(r->s.xsave, uc->uc_mcontext.fpregs, xsave_total());
	memset(r->s.xsave + 464, 0, 48);
	r->vector = g[REG_TRAPNO];
	r->error = g[REG_ERR];
	r->cr2 = r->vector == 14 ? g[REG_CR2] : 0;
	if (sig == SIGPROF)
		r->vector = DT_TIMEOUT;
	else if (sig == SIGSYS)
		r->vector = DT_STRANGE;
	copy_memory(&r->m, window);
}

__attribute__((used)) void native_signal(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	struct dt_batch *b = &shared->batch;

	if (sig == SIGPROF && (!running || ticked != serial)) {
		ticked = serial;
		return;
	}
	if (!running) { /* SIGUSR1: a batch starts */
		memcpy(&own_context, uc, sizeof(own_context));
		memcpy(own_xsave, uc->uc_mcontext.fpregs, xsave_total());
		running = true;
		cur = 0;
	} else {
		frame_store(uc, sig, &b->native[cur]);
		cur++;
	}
	serial++;
	if (cur < b->n) {
		frame_load(uc, &b->c[cur]);
		return;
	}
	running = false;
	memcpy(uc->uc_mcontext.gregs, own_context.uc_mcontext.gregs, sizeof(uc->uc_mcontext.gregs));
	frame_set_xsave(uc->uc_mcontext.fpregs, own_xsave);
	native_fs = native_own_fs;
	native_gs = 0;
}

struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

void native_restorer(void);
asm("native_restorer:\n	mov $15, %eax\n	syscall\n");

/* Not glibc's sigaction: the handler must be entered without anything in front. */
static void install(int sig)
{
	struct kernel_sigaction sa = { native_entry, SA_SIGINFO | SA_ONSTACK | 0x04000000 /* SA_RESTORER */,
				       native_restorer, ~0ul };

	syscall(SYS_rt_sigaction, sig, &sa, NULL, 8);
}

/* System calls from below 4 GiB are the case's, not ours. */
static void guard_syscalls(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { ARRAY_SIZE(f), f };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		perror("seccomp");
}

/* The three areas at their addresses from one memfd; `window` is a writable alias of all. */
static int map_areas(void)
{
	static const struct { u32 at, len; int prot; size_t off; } area[] = {
		{ DT_CODE, sizeof(window->code), PROT_READ | PROT_WRITE | PROT_EXEC, 0 },
		{ DT_DATA, DT_DATA_RW_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		  offsetof(struct dt_mem, data) },
		{ DT_RO, PAGE_SIZE, PROT_READ, offsetof(struct dt_mem, data) + DT_DATA_RW_PAGES * PAGE_SIZE },
		{ DT_STACK, sizeof(window->stack), PROT_READ | PROT_WRITE, offsetof(struct dt_mem, stack) },
	};
	int fd = memfd_create("diff", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, sizeof(struct dt_mem)))
		return -errno;
	window = mmap(NULL, sizeof(struct dt_mem), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (window == MAP_FAILED)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(area); i++) {
		void *p = mmap((void *)(uintptr_t)area[i].at, area[i].len, area[i].prot,
			       MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, area[i].off);

		if (p != (void *)(uintptr_t)area[i].at)
			return -EEXIST;
	}
	return 0;
}

static void futex_wait(u32 *w, u32 seen)
{
	syscall(SYS_futex, w, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void futex_wake(u32 *w)
{
	syscall(SYS_futex, w, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void set_segments(void)
{
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(0x2b));
	asm volatile("wrfsbase %0" : : "r"(native_own_fs));
}

static _Noreturn void child_main(void)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGPROF, SIGSYS, SIGUSR1 };
	struct itimerval tick = { { 0, 100000 }, { 0, 100000 } };
	stack_t st = { .ss_size = 1 << 18 };
	u32 seen = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPROF, SIG_DFL);
	asm volatile("rdfsbase %0" : "=r"(native_own_fs));
	st.ss_sp = mmap(NULL, st.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
			-1, 0);
	if (map_areas() || sigaltstack(&st, NULL))
		_exit(2);
	for (unsigned i = 0; i < ARRAY_SIZE(sigs); i++)
		install(sigs[i]);
	set_segments();
	guard_syscalls();
	setitimer(ITIMER_PROF, &tick, NULL);
	for (;;) {
		while (__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE) == seen)
			futex_wait(&shared->go, seen);
		seen++;
		syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
		__atomic_store_n(&shared->done, seen, __ATOMIC_RELEASE);
		futex_wake(&shared->done);
	}
}

/* ---- the parent ------------------------------------------------------------------------------------ */

static void spawn(void)
{
	shared->go = shared->done = submitted = 0;
	fflush(stdout);
	child = fork();
	if (!child)
		child_main();
}

struct dt_batch *native_start(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return NULL;
	spawn();
	return &shared->batch;
}

void native_submit(u32 n)
{
	shared->batch.n = n;
	for (u32 i = 0; i < n; i++)
		shared->batch.native[i].vector = DT_STRANGE;
	__atomic_store_n(&shared->go, ++submitted, __ATOMIC_RELEASE);
	futex_wake(&shared->go);
}

/* A child that died (a case hit its memory) leaves the rest of the batch DT_STRANGE. */
void native_wait(void)
{
	struct timespec slice = { 0, 50000000 };
	u32 d;
	int st;

	while ((d = __atomic_load_n(&shared->done, __ATOMIC_ACQUIRE)) != submitted) {
		syscall(SYS_futex, &shared->done, FUTEX_WAIT, d, &slice, NULL, 0);
		if (waitpid(child, &st, WNOHANG) == child) {
			fprintf(stderr, "native child ended (status %#x), started again\n", st);
			spawn();
			return;
		}
	}
}

void native_stop(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
