/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the stub: what stub.c, start.c, filter.c and kick.c share. */
#ifndef KUSE_HYP_DIRECT_X86_STUB_PRIV_H
#define KUSE_HYP_DIRECT_X86_STUB_PRIV_H

#include <ucontext.h>
#include <linux/filter.h>

#include "hyp/direct/x86/stub.h"
#include "hyp/direct/x86/stub_layout.h"

/* One system call for the handler to make. The upper halves of args[3] and args[4] are the secret's place. */
struct stub_call {
	u64 nr, args[6];
	s64 result;
};

/*
 * The control area: written by the engine while the stub is parked, and by hostile guest code while it runs.
 */
struct stub_ctl {
	u64 secret_flags, secret_fd; /* in the upper halves; nonzero only while the handler makes calls */
	u64 count;                   /* of calls */
	u64 again;                   /* park again after the calls */
	u64 frame;                   /* linear address of the ucontext */
	u64 fs_base, gs_base;
	u64 rflags;
	struct stub_call calls[HYP_STUB_MAX_CALLS];
	/* Only before the filter stands: what the child has to say. */
	s32 listener; /* STUB_STARTING, the descriptor, or -errno */
};

#define STUB_STARTING (-4096)

/* What the kernel wrote into the first frame and must find in every frame it restores. */
struct stub_template {
	u64 uc_flags, csgsfs;
	struct ucontext_t *link;
	stack_t stack;
	u64 sigmask;
	u64 fpregs;
	u64 xfeatures;
	u32 mxcsr_mask, xsave_size;
	u8 software[48]; /* bytes 464 .. 511 of the XSAVE image */
};

struct hyp_stub {
	int pid;      /* first: kick.c */
	int listener; /* of the notifications */
	int pidfd;    /* to poll beside it, -1: the kernel is new enough to tell the listener of the end */
	bool dead, parked, sync_wake_up;
	int cpu;          /* the stub is pinned to, -1: nowhere */
	int queue_error;  /* first call that was refused when queued */
	unsigned n_calls; /* in ctl->calls */
	u64 notif_id;
	u32 secret[2];
	u64 uc_addr; /* of the frame, in the stub */
	ucontext_t *uc;
	siginfo_t *info;
	struct stub_ctl *ctl;
	u8 *shared; /* control area and signal stack, STUB_SHARED_SIZE bytes at HYP_STUB_BASE + STUB_CODE_SIZE */
	struct stub_template first;
};

#define STUB_SHARED_SIZE (HYP_STUB_SIZE - STUB_CODE_SIZE)
#define STUB_STACK_SIZE (STUB_SHARED_SIZE - STUB_CTL_SIZE)

extern const u8 hyp_stub_code[], hyp_stub_park_ip[], hyp_stub_call_ip[], hyp_stub_sigreturn_ip[],
	hyp_stub_restorer[], hyp_stub_code_end[];

/* A system call without libc: no errno, no cancellation, no interposer, no sanitizer. */
#define STUB_BARE __attribute__((no_sanitize("address", "thread", "undefined")))
STUB_BARE static inline long stub_syscall(long nr, const u64 a[6])
{
	register u64 r10 asm("r10") = a[3], r8 asm("r8") = a[4], r9 asm("r9") = a[5];
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return ret;
}
#define STUB_SYSCALL(nr, ...) stub_syscall(nr, (const u64[6]){ __VA_ARGS__ })

/* Length of the filter program, which is written to `out` (STUB_FILTER_MAX entries). */
#define STUB_FILTER_MAX 40
unsigned stub_filter(struct sock_filter *out, const u32 secret[2]);

/* Makes the process, until its filter stands: sets pid and listener. 0 or -errno. */
int stub_start(struct hyp_stub *s, int memfd);
int stub_open_pidfd(struct hyp_stub *s);
bool stub_exited(const struct hyp_stub *s);
void stub_kill(struct hyp_stub *s);
void stub_reap(struct hyp_stub *s);

#endif
