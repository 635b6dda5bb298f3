/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to the client's memory.
 *
 * The client hands us pointers; a bad one must become -EFAULT, not a crash of the client's process.
 * As in the kernel, the copy is a plain REP MOVSB whose fault has a fixup: the SIGSEGV/SIGBUS handler
 * recognizes a fault between kuse_uaccess_start and kuse_uaccess_end and resumes at the fixup, where RCX
 * holds the bytes not copied. Atomic accesses to one word work the same way. No system call is made, so
 * clients' seccomp filters do not see it.
 *
 * That holds as long as our handler is the first. A client that links the library may install its own later:
 * unless someone promised to prevent that (kuse_handlers_wrapped), the handler is looked at before each copy,
 * and where it is not ours the host's process_vm_readv / writev make the copy.
 */
#include "virt/uaccess.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>
#include "virt/sys.h"

#define CLIENT_ADDRESS_MAX 0x7ffffffff000ul /* TASK_SIZE_MAX with 4-level paging */

extern const char kuse_uaccess_start[], kuse_uaccess_end[];

/* Bytes not copied. */
size_t kuse_uaccess_copy(void *dst, const void *src, size_t len);
/* 0; kuse_uaccess_bts: 0, 1: the bit was set. 2: a fault. */
size_t kuse_uaccess_or32(u32 *word, u32 mask);
size_t kuse_uaccess_bts(u32 *word, u32 bit);
__asm__(".text\n"
	".hidden kuse_uaccess_copy\n.globl kuse_uaccess_copy\n.type kuse_uaccess_copy, @function\n"
	".hidden kuse_uaccess_start\n.globl kuse_uaccess_start\n"
	".hidden kuse_uaccess_end\n.globl kuse_uaccess_end\n"
	"kuse_uaccess_copy:\n"
	"	mov %rdx, %rcx\n"
	"	jmp 3f\n"
	".hidden kuse_uaccess_or32\n.globl kuse_uaccess_or32\n"
	"kuse_uaccess_or32:\n"
	"	mov $2, %ecx\n"
	"	jmp 1f\n"
	".hidden kuse_uaccess_bts\n.globl kuse_uaccess_bts\n"
	"kuse_uaccess_bts:\n"
	"	mov $2, %ecx\n"
	"	jmp 2f\n"
	"kuse_uaccess_start:\n"
	"1:	lock orl %esi, (%rdi)\n"
	"	xor %ecx, %ecx\n"
	"	jmp kuse_uaccess_end\n"
	"2:	lock btsl %esi, (%rdi)\n"
	"	setc %cl\n"
	"	movzbl %cl, %ecx\n"
	"	jmp kuse_uaccess_end\n"
	"3:	rep movsb\n"
	"kuse_uaccess_end:\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".size kuse_uaccess_copy, . - kuse_uaccess_copy\n");

static struct sigaction old_segv, old_bus;
static bool installed, wrapped;

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

void kuse_handlers_wrapped(bool promise)
{
	__atomic_store_n(&wrapped, promise, __ATOMIC_RELEASE);
}

static bool handler_is_first(void)
{
	struct sigaction cur;

	if (__atomic_load_n(&wrapped, __ATOMIC_ACQUIRE))
		return true;
	return installed && !sigaction(SIGSEGV, NULL, &cur) && cur.sa_sigaction == uaccess_fault;
}

/* The host copies between "another process" and us: a bad address is -EFAULT, or a short count. */
static int copy_by_host(void *ours, unsigned long client, size_t len, bool to_client)
{
	struct iovec local = { ours, len }, remote = { (void *)client, len };
	ssize_t n = to_client ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			      : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	return n == (ssize_t)len ? 0 : -EFAULT;
}

int copy_from_client(void *dst, unsigned long src, size_t len)
{
	if (!client_access_ok(src, len))
		return -EFAULT;
	if (!handler_is_first())
		return copy_by_host(dst, src, len, false);
	return kuse_uaccess_copy(dst, (const void *)src, len) ? -EFAULT : 0;
}

int copy_to_client(unsigned long dst, const void *src, size_t len)
{
	if (!client_access_ok(dst, len))
		return -EFAULT;
	if (!handler_is_first())
		return copy_by_host((void *)(uintptr_t)src, dst, len, true);
	return kuse_uaccess_copy((void *)dst, src, len) ? -EFAULT : 0;
}

/* Where the handler is not ours the host is asked whether the word is there; the answer may be outdated. */
static bool word_usable(unsigned long addr)
{
	u32 word;

	return !(addr & 3) && client_access_ok(addr, sizeof(word)) &&
	       (handler_is_first() || !copy_by_host(&word, addr, sizeof(word), false));
}

int client_or32(unsigned long addr, u32 mask)
{
	return word_usable(addr) && !kuse_uaccess_or32((u32 *)addr, mask) ? 0 : -EFAULT;
}

int client_test_and_set_bit(unsigned long addr, u32 bit)
{
	size_t was = word_usable(addr) ? kuse_uaccess_bts((u32 *)addr, bit & 31) : 2;

	return was > 1 ? -EFAULT : (int)was;
}
