/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The border of KUSE's KVM towards its client: the same calls a program makes on /dev/kvm, by name.
 * It is a user/kernel border even though both sides live in one process: ioctl arguments are copied
 * in and out once at the top (copy_from_client / copy_to_client) and nothing deeper follows a client
 * pointer except guest RAM through memory slots.
 *
 * File descriptors are real ones (each is backed by a memfd or eventfd, so dup, fcntl, poll, close-
 * on-exec and fd passing behave), known to KUSE by number. All calls return what the system call
 * returns: >= 0, or -1 with errno set as Linux KVM (6.12) sets it.
 */
#ifndef KUSE_VIRT_SYS_H
#define KUSE_VIRT_SYS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Loads KVM (kvm_init and the architecture's start-up) on first use; idempotent, thread-safe.
 * Returns 0 or -errno; what failed is told by kuse_init_report. */
int kuse_init(void);
void kuse_exit(void);
/* Between the two. */
bool kuse_is_open(void);

/* Every start-up step in Linux's order, for kuse doctor and kuse trace init. */
struct kuse_init_step {
	const char *name;    /* Linux's name of the step */
	int error;           /* 0, or the -errno it failed with; 1: not reached */
	const char *verdict; /* one line */
	const char *remedy;  /* NULL, or what the user can do */
	unsigned long ns;    /* time taken */
};
size_t kuse_init_report(const struct kuse_init_step **steps);

/* open("/dev/kvm"). flags: O_RDWR | O_CLOEXEC as for open(2). */
int kuse_open(int flags);
int kuse_close(int fd);
int kuse_ioctl(int fd, unsigned long request, unsigned long arg);
void *kuse_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int kuse_fallocate(int fd, int mode, off_t offset, off_t len);
int kuse_munmap(void *addr, size_t len);
bool kuse_owns_fd(int fd);
/* newfd was made from oldfd by dup, dup2, dup3 or fcntl: both refer to the same KVM object now. 0 or -1. */
int kuse_dup(int oldfd, int newfd);

/* Numbers from first to last are closed, or about to be, by something else than kuse_close. */
void kuse_forget(unsigned int first, unsigned int last);

/* The names KVM brings into the file system: /dev/kvm, and /sys/module/<kvm module>/parameters/<name> with
 * the directories above. dirfd and path as in openat(2). The other calls are for paths this one says yes
 * to, and are the system calls of that name: 0 or more, or -1 and errno. */
bool kuse_owns_path(int dirfd, const char *path);
int kuse_openat(int dirfd, const char *path, int flags);
int kuse_fstatat(int dirfd, const char *path, struct stat *st);
int kuse_faccessat(int dirfd, const char *path, int mode);
/* fstat(2) of a descriptor that is ours (kuse_owns_fd). */
int kuse_fstat(int fd, struct stat *st);

/* To be called from a signal handler: if the calling thread is inside KVM_RUN, that KVM_RUN returns
 * -1/EINTR with exit_reason KVM_EXIT_INTR, as it does on Linux where any signal ends it.
 * Async-signal-safe. (libkuse-preload.so calls it for handlers the client installs.) */
void kuse_signal_notify(void);

/* What a wrapper of the client's signal handlers calls first. Outside of every call of this header: false,
 * the handler is to be run. Inside of one: KVM_RUN ends as kuse_signal_notify says, the handler is called
 * when the call is over, as if the signal came then, and true is returned. `ctx` is the handler's ucontext_t.
 * Without `handler` only a signal is taken that is blocked outside of this KVM_RUN (KVM_SET_SIGNAL_MASK).
 * Async-signal-safe. */
bool kuse_signal_defer(int sig, siginfo_t *si, void *ctx, void (*handler)(int, siginfo_t *, void *));

/* `hold` is called before KVM_RUN lets signals through (bit n - 1: signal n) that are blocked outside. One
 * whose action is the default must not take it then: it gets a handler that calls kuse_signal_defer. */
void kuse_hold_signals(void (*hold)(unsigned long signals));

/* A promise of the caller: handlers that the client installs for SIGSEGV and SIGBUS are kept behind KUSE's
 * (libkuse-preload.so wraps sigaction). Without it every copy from and to the client asks the host
 * whether that is so, and falls back to process_vm_readv / process_vm_writev. */
void kuse_handlers_wrapped(bool wrapped);

/* Another: KVM is told of every close, dup and fcntl (kuse_close, kuse_forget, kuse_dup). Without it each
 * call but KVM_RUN asks the host whether the number still is what it was. */
void kuse_descriptors_wrapped(bool wrapped);

/* The client has changed what is mapped at [addr, addr+len): mmap, munmap, mremap, mprotect, userfaultfd.
 * When this returns, no vCPU uses what was there (Linux: MMU notifiers). Costs nanoseconds where no memory
 * slot is; errno stays. libkuse-preload.so calls it. A client without it that does so to guest RAM calls it
 * too, or deletes the slot and sets it again. */
void kuse_memory_changed(const void *addr, size_t len);

/* The client is about to put itself under a seccomp filter; false: that came to nothing. From now on a VM
 * makes no system calls but futex and those that its requests ask for, halted vCPUs do not poll, and user
 * code is translated. Returns what it was. A filter that was there when KUSE came into the process does not
 * count: it is the container's or the service manager's. */
bool kuse_confined(bool confined);

/* x86: does a program that executes CPUID itself find no virtualization extension, so that it would not
 * even try /dev/kvm? And what CPUID tells it when there is one: in: eax, ecx; out: eax, ebx, ecx, edx. */
bool kuse_cpuid_hides_kvm(void);
void kuse_cpuid(unsigned int regs[4], unsigned int leaf, unsigned int subleaf);

/* Trace: a file descriptor that receives JSON lines or text for the named event classes
 * ("exit", "irq", "init", "block", comma separated). 0 or -EINVAL. */
int kuse_trace(const char *classes, int fd, bool json);

/* Counters that any process may read that may open /proc/PID/fd of this one: each VM has a memfd of this
 * name, which begins with a struct kuse_stat_page. Its vCPUs' slots follow each other from `slots` on; a
 * slot's counters, 64-bit numbers that only grow, come behind its head, named in that order at `names`. */
#define KUSE_STAT_NAME "kuse-stat"
#define KUSE_STAT_MAGIC 0x31746174736b7575ul
struct kuse_stat_page {
	unsigned long magic;
	unsigned long started; /* CLOCK_MONOTONIC, ns */
	unsigned int n_counters;
	unsigned int names; /* offset of struct kuse_stat_name[n_counters] */
	unsigned int slots; /* offset of the first slot; the last one ends where the memfd does */
	unsigned int slot_size;
};
struct kuse_stat_name {
	char name[32];
	char help[96];
};
struct kuse_stat_slot {
	unsigned int used;
	unsigned int id; /* the vCPU's */
	unsigned long reserved;
};

/* From now on /tmp/perf-PID.map tells perf(1) which of the guest's code each translated block is. 0, or
 * -errno: the file cannot be made. perf looks into it only if KUSE_PERF_MAP=1 was in the environment when the
 * vCPU was made; with that, KVM_CREATE_VM does this by itself. */
int kuse_perf_map(void);

/* Profile: what every vCPU of this process is doing, looked at hz times a second (1 to 100000) from now
 * until kuse_profile_stop. Uses SIGPROF. 0, -EINVAL, -EBUSY (there is one already), -ENOMEM, -EAGAIN. */
enum kuse_profile_state {
	KUSE_PROFILE_CODE,
	KUSE_PROFILE_DIRECT, /* user code that the host CPU runs as it is */
	KUSE_PROFILE_TRANSLATE,
	KUSE_PROFILE_TLB,
	KUSE_PROFILE_HELPER,
	KUSE_PROFILE_INTERP,
	KUSE_PROFILE_DISPATCH,
	KUSE_PROFILE_KVM,
	KUSE_PROFILE_VMM,
	KUSE_PROFILE_IDLE,
	KUSE_PROFILE_WAITING, /* the host had no CPU for the vCPU's thread */
	KUSE_PROFILE_NR
};
struct kuse_profile_sample {
	unsigned long pc;    /* linear address in the guest; 0 where state says nothing of the guest */
	unsigned long root;  /* user code: what names the address space (x86: CR3's address); else 0 */
	unsigned long count;
	unsigned char state; /* enum kuse_profile_state */
	bool user;           /* the guest's user mode */
};
int kuse_profile_start(unsigned int hz);
/* How many samples differ in more than their count, or -EINVAL (none was started); *samples is the
 * caller's to free. */
long kuse_profile_stop(struct kuse_profile_sample **samples);
/* The n instructions that vCPUs which have ended interpreted most often, in that order; returns how many. */
struct kuse_profile_insn {
	const char *name;
	unsigned long count;
};
unsigned long kuse_profile_interpreted(struct kuse_profile_insn *top, unsigned long n);
const char *kuse_profile_state_name(enum kuse_profile_state state);

#endif
