/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs under qemu-aarch64: executes cases natively. Each ends in the signal handler, which notes the state
 * it finds in the signal frame, puts the next case's there and returns into it.
 */
#include <asm/sigcontext.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "case.h"

static struct a64_case cases[A64_BATCH];
static struct a64_result results[A64_BATCH];
static uint32_t count, next; /* next: the case to start; the one before it is running */
static ucontext_t home;
static struct fpsimd_context home_fp;
static char stack[65536] __attribute__((aligned(16)));

static struct fpsimd_context *fp_of(ucontext_t *uc)
{
	return (struct fpsimd_context *)uc->uc_mcontext.__reserved;
}

static void note(struct a64_result *r, ucontext_t *uc, int signal)
{
	struct fpsimd_context *fp = fp_of(uc);

	memcpy(r->s.x, uc->uc_mcontext.regs, sizeof(r->s.x));
	r->s.sp = uc->uc_mcontext.sp;
	r->s.nzcv = uc->uc_mcontext.pstate & 0xf0000000;
	r->s.fpcr = fp->fpcr;
	r->s.fpsr = fp->fpsr;
	memcpy(r->s.v, fp->vregs, sizeof(r->s.v));
	r->pc = uc->uc_mcontext.pc;
	r->signal = (uint32_t)signal;
	r->mem_hash = case_hash_mem((uint64_t *)A64_MEM);
}

static void start(const struct a64_case *c, ucontext_t *uc)
{
	struct fpsimd_context *fp = fp_of(uc);

	memcpy(uc->uc_mcontext.regs, c->s.x, sizeof(c->s.x));
	uc->uc_mcontext.sp = c->s.sp;
	uc->uc_mcontext.pstate = c->s.nzcv;
	uc->uc_mcontext.pc = A64_CODE + (uint64_t)(c - cases) * A64_SLOT;
	fp->fpcr = c->s.fpcr;
	fp->fpsr = c->s.fpsr;
	memcpy(fp->vregs, c->s.v, sizeof(c->s.v));
	case_fill_mem((uint64_t *)A64_MEM, c->mem_seed);
}

static void handler(int signal, siginfo_t *info, void *arg)
{
	ucontext_t *uc = arg;

	if (next) {
		note(&results[next - 1], uc, signal);
	} else {
		home = *uc;
		home_fp = *fp_of(uc);
	}
	if (next < count) {
		start(&cases[next++], uc);
		return;
	}
	memcpy(&uc->uc_mcontext, &home.uc_mcontext, sizeof(home.uc_mcontext));
	*fp_of(uc) = home_fp;
	uc->uc_mcontext.pc += 4;
}

static void all(void *buf, size_t len, ssize_t (*io)(int, void *, size_t), int fd)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = io(fd, (char *)buf + done, len - done);
		if (n <= 0)
			_exit(0);
		done += (size_t)n;
	}
}

static ssize_t write_io(int fd, void *buf, size_t len)
{
	return write(fd, buf, len);
}

int main(void)
{
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static const int signals[] = { SIGILL, SIGSEGV, SIGBUS, SIGTRAP, SIGFPE };
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	uint32_t *code = mmap((void *)A64_CODE, A64_BATCH * A64_SLOT, PROT_READ | PROT_WRITE | PROT_EXEC,
			      flags, -1, 0);

	mmap((void *)A64_MEM, A64_MEM_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
	sigaltstack(&ss, 0);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &sa, 0);
	for (;;) {
		all(&count, sizeof(count), read, 0);
		all(cases, count * sizeof(*cases), read, 0);
		for (uint32_t i = 0; i < count; i++)
			case_fill_slot(code + i * (A64_SLOT / 4), &cases[i]);
		__builtin___clear_cache((char *)code, (char *)code + count * A64_SLOT);
		next = 0;
		__asm__ volatile("brk #1" ::: "memory");
		all(results, count * sizeof(*results), write_io, 1);
	}
}
