/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to the client's memory.
 *
 * The client hands us pointers; a bad one must become -EFAULT, not a crash of the client's process.
 * As in the kernel, the copy is a plain REP MOVSB whose fault has a fixup: the SIGSEGV/SIGBUS handler
 * recognizes a fault between kuse_uaccess_start and kuse_uaccess_end and resumes at the fixup, where RCX
 * holds the bytes not copied. No system call is made, so clients' seccomp filters do not see it.
 */
#include "virt/uaccess.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define CLIENT_ADDRESS_MAX 0x7ffffffff000ul /* TASK_SIZE_MAX with 4-level paging */

extern const char kuse_uaccess_start[], kuse_uaccess_end[];

/* Bytes not copied. */
size_t kuse_uaccess_copy(void *dst, const void *src, size_t len);
__asm__(".text\n"
	".hidden kuse_uaccess_copy\n.globl kuse_uaccess_copy\n.type kuse_uaccess_copy, @function\n"
	".hidden kuse_uaccess_start\n.globl kuse_uaccess_start\n"
	".hidden kuse_uaccess_end\n.globl kuse_uaccess_end\n"
	"kuse_uaccess_copy:\n"
	"	mov %rdx, %rcx\n"
	"kuse_uaccess_start:\n"
	"	rep movsb\n"
	"kuse_uaccess_end:\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".size kuse_uaccess_copy, . - kuse_uaccess_copy\n");

static struct sigaction old_segv, old_bus;
static bool installed;

static void chain(const struct sigaction *old, int sig, siginfo_t *info, void *ctx)
{
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, ctx);
	} else if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN) {
		/* A synchronous fault cannot be ignored: let it happen again with the default action. */
		signal(sig, SIG_DFL);
	} else {
		old->sa_handler(sig);
	}
}

static void uaccess_fault(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;
	unsigned long pc = uc->uc_mcontext.gregs[REG_RIP];

	if (pc >= (unsigned long)kuse_uaccess_start && pc < (unsigned long)kuse_uaccess_end) {
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)kuse_uaccess_end;
		return;
	}
	chain(sig == SIGSEGV ? &old_segv : &old_bus, sig, info, ctx);
}

int uaccess_init(void)
{
	struct sigaction sa = { .sa_sigaction = uaccess_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (installed)
		return 0;
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGSEGV, &sa, &old_segv))
		return -errno;
	if (sigaction(SIGBUS, &sa, &old_bus)) {
		int err = -errno;

		sigaction(SIGSEGV, &old_segv, NULL);
		return err;
	}
	installed = true;
	return 0;
}

/* Puts the previous handler back only where ours is still the installed one. */
static void restore(int sig, const struct sigaction *old)
{
	struct sigaction cur;

	if (!sigaction(sig, NULL, &cur) && cur.sa_sigaction == uaccess_fault)
		sigaction(sig, old, NULL);
}

void uaccess_exit(void)
{
	if (!installed)
		return;
	restore(SIGBUS, &old_bus);
	restore(SIGSEGV, &old_segv);
	installed = false;
}

bool client_access_ok(unsigned long addr, u64 size)
{
	return addr + size >= addr && addr + size <= CLIENT_ADDRESS_MAX;
}

static int uaccess_copy(void *dst, const void *src, size_t len, unsigned long client)
{
	if (!client_access_ok(client, len))
		return -EFAULT;
	return kuse_uaccess_copy(dst, src, len) ? -EFAULT : 0;
}

int copy_from_client(void *dst, unsigned long src, size_t len)
{
	return uaccess_copy(dst, (const void *)src, len, src);
}

int copy_to_client(unsigned long dst, const void *src, size_t len)
{
	return uaccess_copy((void *)dst, src, len, dst);
}
