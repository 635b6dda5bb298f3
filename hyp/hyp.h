/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyp: the CPU in software. This header is its whole public face; together with hyp/sys/<guest>/state.h it
 * plays the part that VM entry, VM exit and the VMCS/VMCB play for a hypervisor on silicon. It knows no
 * ioctl, no file descriptor, no kvm_run.
 *
 * Threads: one host thread runs a given hyp_cpu at a time. From any other thread (or from a signal handler
 * on the same thread) only hyp_cpu_kick() may be called on it. hyp_as functions may be called from any
 * thread that is not itself inside hyp_cpu_run().
 *
 * Errors are negative errno values. hyp never exits the process and never prints to stdout.
 */
#ifndef KUSE_HYP_H
#define KUSE_HYP_H

#include "lib/types.h"

struct hyp_as;  /* one guest-physical address space */
struct hyp_cpu; /* one virtual CPU */

/* ---- the engine as a whole ------------------------------------------------------------- */

/* Why this host can or cannot run the engine. `what` names the failed requirement, `remedy` what the user
 * can do about it; both are static strings. */
struct hyp_host_report {
	int error; /* 0, or -errno of the first failed check */
	const char *what;
	const char *remedy;
};

/* Checks: executable dual mapping (memfd) possible, CPU features the emitted code needs, futex. Cheap; may
 * be called repeatedly. Returns report->error. */
int hyp_host_check(struct hyp_host_report *report);

/* Once per process (reference counted): reserves nothing large; installs the SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL, SIGTRAP handlers chained in front of the client's. Returns 0 or -errno. */
int hyp_init(void);
void hyp_exit(void);

/* The process has a seccomp filter, or is about to get one: from now on hyp makes no system call that it
 * can do without, which ends direct execution of user code (hyp/direct). What is left of that goes with
 * hyp_cpu_confine for each CPU; then hyp_confined. Any thread; the caller serializes these and
 * hyp_cpu_destroy. */
void hyp_set_confined(bool confined);
void hyp_cpu_confine(struct hyp_cpu *cpu);
void hyp_confined(void);

/* The client has changed what is mapped where guest RAM is (mmap, munmap, mremap, mprotect): afterwards,
 * hyp_memory_moved, then hyp_cpu_memory_moved for each CPU: when that returns, the CPU uses what is there
 * now. Any thread; the caller serializes with hyp_cpu_destroy. */
void hyp_memory_moved(void);
void hyp_cpu_memory_moved(struct hyp_cpu *cpu);

/* ---- guest-physical memory -------------------------------------------------------------- */

#define HYP_REGION_READONLY (1u << 0)  /* guest writes exit as HYP_EXIT_MMIO */
#define HYP_REGION_LOG_DIRTY (1u << 1) /* first write to each page calls ops->mark_dirty */

struct hyp_region {
	gpa_t gpa; /* page aligned */
	u64 size;  /* bytes, page multiple */
	u8 *hva;   /* host address of the first byte */
	u8 *private_hva; /* the same for pages that are private (hyp_as_set_private); NULL: there are none */
	u32 flags; /* HYP_REGION_* */
	u32 id;    /* opaque to hyp (the slot number) */
};

/* A CPU sees guest-physical memory through one of these maps; see hyp_cpu_set_view. */
#define HYP_AS_VIEWS 2

struct hyp_as_ops {
	/* A page of a LOG_DIRTY region is about to be written by `cpu` (NULL: by hyp_as_write).
	 * Called on the writing thread, inside hyp_cpu_run: no libc, no floating point, no sleep.
	 * It is called again for the page only after hyp_as_rearm_dirty. True: as if the CPU were kicked,
	 * and the write, if it is an instruction's, comes after hyp_cpu_run has been called again. */
	bool (*mark_dirty)(void *opaque, struct hyp_cpu *cpu, u32 region_id, gpa_t gpa);
	/* Returns when every thread that was inside hyp_as_read, _write, _hva or used what the latter
	 * returned is through with it. NULL: the caller sees to that. */
	void (*quiesce)(void *opaque);
};

struct hyp_as *hyp_as_create(const struct hyp_as_ops *ops, void *opaque);
void hyp_as_destroy(struct hyp_as *as); /* all its CPUs must be gone */

/* Takes region `old` (found by its gpa) out of a view's map and puts `new` in; either may be NULL. When it
 * returns no CPU uses the previous map any more. Where `new` logs and `old` did not, all its pages are
 * clean. The caller serializes changes. 0, -ENOMEM, or -EINVAL where `new` is not aligned, reaches beyond
 * 2^48 or overlaps; nothing has changed then. */
int hyp_as_replace(struct hyp_as *as, unsigned view, const struct hyp_region *old, const struct hyp_region *new);

/* Does a region other than number `id` have a page in [gpa, gpa+size)? */
bool hyp_as_overlaps(struct hyp_as *as, unsigned view, gpa_t gpa, u64 size, u32 id);

/* Pages of [gpa, gpa+size) become private or shared, whether there is a region or not. The guest finds a
 * private page at its region's private_hva; hyp_as_read and _write never look there. When it returns no CPU
 * uses the pages as they were. The caller serializes. 0, or -ENOMEM (also beyond 2^48): nothing changed. */
int hyp_as_set_private(struct hyp_as *as, gpa_t gpa, u64 size, bool private);
bool hyp_as_is_private(struct hyp_as *as, gpa_t gpa);

/* Has the host find the page at gpa as the guest's read would: 0, -ENOENT where there is no RAM, -EFAULT
 * where the host refuses. *private says which of its two pages it was. */
int hyp_as_touch(struct hyp_as *as, gpa_t gpa, bool *private);

/* The 64 pages from gpa on whose bit is set in mask are to be reported dirty again. It is so for all CPUs
 * when hyp_as_rearm_sync has returned. */
void hyp_as_rearm_dirty(struct hyp_as *as, unsigned view, gpa_t gpa, u64 mask);
void hyp_as_rearm_sync(struct hyp_as *as);

/* KVM's own accesses to guest memory (pvclock, PV EOI, ...), through view 0. They mark pages dirty and drop
 * stale translations. 0, or -EFAULT where [gpa, gpa+len) is not RAM (or is read-only for a write). */
int hyp_as_read(struct hyp_as *as, gpa_t gpa, void *buf, size_t len);
int hyp_as_write(struct hyp_as *as, gpa_t gpa, const void *buf, size_t len);

/* fn(arg) with SIGSEGV and SIGBUS for addresses in guest RAM made harmless: -EFAULT where one happened (fn
 * has then been left in the middle: it holds no lock when it touches guest RAM), else what fn returned. */
int hyp_as_guarded(struct hyp_as *as, int (*fn)(void *arg), void *arg);

/* The client may have written guest RAM by itself: memcpy, preadv, io_uring. What it wrote over translated
 * code is noticed when that page is entered after a flush of the guest's TLB; a page that got new contents
 * is mapped anew before it is executed. Any thread; cheap. */
void hyp_as_client_ran(struct hyp_as *as);

/* Host address of one byte of RAM, valid up to the end of its page; NULL where there is none. For atomics on
 * guest memory, under hyp_as_guarded; a writer calls hyp_as_mark_written afterwards. */
u8 *hyp_as_hva(struct hyp_as *as, gpa_t gpa, bool write);
void hyp_as_mark_written(struct hyp_as *as, gpa_t gpa, size_t len);

/* ---- virtual CPUs ------------------------------------------------------------------------ */

/* The CPU starts in the reset state of the SDM (vol. 3, table 10-1). NULL on no memory. */
struct hyp_cpu *hyp_cpu_create(struct hyp_as *as, u32 id);
void hyp_cpu_destroy(struct hyp_cpu *cpu);

/* A CPU's own accesses to physical memory, in its view. On its own thread, outside hyp_cpu_run, while the
 * maps stand still (ops->quiesce). As hyp_as_read, _write. */
int hyp_cpu_read(struct hyp_cpu *cpu, gpa_t gpa, void *buf, size_t len);
int hyp_cpu_write(struct hyp_cpu *cpu, gpa_t gpa, const void *buf, size_t len);

/* The CPU goes on in another view of its address space (SMM). On its own thread, outside hyp_cpu_run. */
void hyp_cpu_set_view(struct hyp_cpu *cpu, unsigned view);

enum hyp_exit {
	HYP_EXIT_INTR = 0,      /* kicked; nothing happened otherwise */
	HYP_EXIT_IRQ_WINDOW,    /* asked for by want_irq_window; an interrupt can be injected now */
	HYP_EXIT_NMI_WINDOW,    /* asked for by want_nmi_window */
	HYP_EXIT_SMI_WINDOW,    /* asked for by want_smi_window */
	HYP_EXIT_IO,            /* exit.io */
	HYP_EXIT_MMIO,          /* exit.mmio: access to a gpa without RAM, or write to read-only */
	HYP_EXIT_HLT,           /* rip at the HLT; hyp_x86_skip() steps over it */
	HYP_EXIT_CPUID,         /* rip at the instruction */
	HYP_EXIT_RDMSR,         /* rip at the instruction; index in rcx */
	HYP_EXIT_WRMSR,         /* the same; value in edx:eax */
	HYP_EXIT_HYPERCALL,     /* VMCALL or VMMCALL; exit.hypercall.vmmcall says which */
	HYP_EXIT_CR8,           /* MOV to CR8 done; new value in state->cr8; rip after it */
	HYP_EXIT_XSETBV,        /* rip at the instruction */
	HYP_EXIT_PAUSE,         /* only where asked for by want_pause_exit */
	HYP_EXIT_MWAIT,         /* MONITOR/MWAIT reached; rip at the instruction */
	HYP_EXIT_RDPMC,         /* rip at the instruction; index in rcx */
	HYP_EXIT_INVD,          /* WBINVD/INVD; rip at the instruction */
	HYP_EXIT_DEBUG,         /* a debug exception that guest_debug claims; exit.debug */
	HYP_EXIT_SHUTDOWN,      /* triple fault */
	HYP_EXIT_EMULATION,     /* an instruction the engine cannot do; exit.emulation */
	HYP_EXIT_RSM,           /* RSM executed in SMM */
	HYP_EXIT_EVENT_DELIVERY,/* event delivery needed MMIO: exit.mmio has the gpa */
	HYP_EXIT_HOST_FAULT,    /* the host refused an access to guest RAM; rip at the instruction */
	HYP_EXIT_MEMORY_FAULT,  /* access to a private page that no region backs; rip at the instruction */
	HYP_EXIT_WFX,           /* arm64: WFI, or WFE where it is to exit; exit.wfx */
	HYP_EXIT_SYSREG,        /* arm64: MSR, MRS or SYS that KVM has to answer; exit.sysreg */
	HYP_EXIT_HVC,           /* arm64: exit.call; pc behind it */
	HYP_EXIT_SMC,           /* arm64: exit.call; pc at it */
	HYP_EXIT_INTERNAL,      /* hyp's own fault: the VM must be marked dead; exit.internal */
	HYP_EXIT_NR
};

/*
 * Runs the CPU on the calling thread until something needs KVM. Details are in hyp_x86_state(cpu)->exit (see
 * state.h). All register state is in the state structure while this function is not running, and may be
 * changed freely then (call the hyp_x86_* setter or hyp_x86_state_changed where state.h says so).
 */
enum hyp_exit hyp_cpu_run(struct hyp_cpu *cpu);

/* Makes a running (or the next) hyp_cpu_run return HYP_EXIT_INTR soon. Any thread, any signal handler. One
 * kick is consumed by one return. From another thread it does NOT send a signal: the attention word is
 * polled by translated code. */
void hyp_cpu_kick(struct hyp_cpu *cpu);

/* ---- looking at a running CPU: profiles ----------------------------------------------------- */

enum hyp_doing {
	HYP_IN_CODE,    /* translated code */
	HYP_IN_DIRECT,  /* user code that the host CPU runs as it is */
	HYP_TRANSLATES,
	HYP_FILLS_TLB,  /* a soft-TLB miss: look-up, page walk, dirty bits */
	HYP_HELPS,      /* an instruction done in C: SYSCALL, IRET, MOV CR, string instructions */
	HYP_INTERPRETS,
	HYP_DISPATCHES, /* look-up and linking of blocks, delivery of exceptions and interrupts */
	HYP_OUTSIDE,    /* not in hyp_cpu_run */
	HYP_DOING_NR
};

struct hyp_sample {
	enum hyp_doing doing;
	bool user;     /* x86: CPL 3 */
	gva_t pc;      /* linear address of the guest's instruction, or one of its block's */
	u64 root;      /* what names the guest's address space (x86: CR3's address) */
};

/* From a signal handler on the thread that runs the CPU, with the handler's ucontext_t; async-signal-safe. */
void hyp_cpu_sample(struct hyp_cpu *cpu, const void *ctx, struct hyp_sample *sample);

/* ---- translated blocks, for perf maps --------------------------------------------------------- */

struct hyp_block_info {
	u64 host; /* address of its code */
	u32 host_len, guest_len; /* bytes; guest_len 0: code that belongs to no block */
	gva_t pc;
	bool user;
};

/* At most max blocks made since the last call; *seen, first 0, is where the search goes on. Returns how many.
 * On the CPU's thread, outside of hyp_cpu_run. */
size_t hyp_cpu_blocks(struct hyp_cpu *cpu, u64 *seen, struct hyp_block_info *info, size_t max);

/* The n instructions that CPUs which have ended interpreted most often, in that order; returns how many
 * there are. */
struct hyp_insn_count { const char *name; u64 n; };
size_t hyp_interpreted(struct hyp_insn_count *top, size_t n);

/* Counters, in the order of hyp/stats.inc; see kuse stat. */
struct hyp_stat_desc { const char *name; const char *help; };
size_t hyp_stats(struct hyp_cpu *cpu, const struct hyp_stat_desc **desc, const u64 **values);
/* From now on they are counted at `to`, which stays as long as the CPU. Outside of hyp_cpu_run. */
void hyp_stats_move(struct hyp_cpu *cpu, u64 *to);

#endif
