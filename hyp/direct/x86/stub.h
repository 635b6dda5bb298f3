/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub: a process whose address space holds guest user pages and a few pages of ours, for direct
 * execution.
 *
 * Guest user code runs in it natively. Every event is a signal there; its one handler (stub_code.S) parks
 * the stub in a system call that a seccomp filter hands to the engine (a user notification), and the
 * registers lie in the signal frame, which is memory the engine shares. To go on, the engine writes a list
 * of system calls (mmap, munmap), answers the notification, the handler makes the calls and returns from the
 * signal.
 *
 *	struct hyp_stub *s = hyp_stub_create();
 *	hyp_stub_map(s, rip_page, 4096, PROT_READ | PROT_EXEC, ram_fd, offset, true);
 *	hyp_stub_set_regs(s, &regs);
 *	hyp_stub_run(s, &stop);			what happened: signal, trap number, error code, CR2
 *	hyp_stub_get_regs(s, &regs);
 *
 * The guest's code is hostile. It can do to the stub's registers and to every writable page of the stub what
 * it likes, so all that this interface returns (registers, XSAVE image, struct hyp_stub_stop) are hints:
 * nothing worse may come of them than that the guest's user code, with registers it could have loaded
 * itself, causes an exception. It cannot make a system call (filter.c), and it cannot escape the kick. A
 * stub that was caught in our code page is killed.
 *
 * The caller's part:
 * - The linear addresses [HYP_STUB_BASE, + HYP_STUB_SIZE) show our pages, not the guest's. An address space
 *   in which the guest maps anything there must not be run directly.
 * - Only one thread at a time uses a stub, except hyp_stub_kick. The stub dies with the THREAD that created
 *   it (PR_SET_PDEATHSIG): a vCPU thread makes its own; another thread may use it as long as that one lives.
 * - The stub shares the file descriptor table (CLONE_FILES): a descriptor passed to hyp_stub_map must be
 *   open until the call was made (the next hyp_stub_flush or hyp_stub_run); the mapping then holds the file.
 * - hyp_stub_create copies the address space (fork) for a moment: milliseconds in a big process.
 * - What differs from the guest's own CPU: selectors and descriptor tables are the host's; a call into the
 *   vsyscall page is reported as a page fault at its address, with RAX lost (it is not preserved by those
 *   functions anyway).
 */
#ifndef KUSE_HYP_DIRECT_X86_STUB_H
#define KUSE_HYP_DIRECT_X86_STUB_H

#include <signal.h>

#include "lib/types.h"

#define HYP_STUB_BASE 0x4b5553450000ull
#define HYP_STUB_SIZE 0x10000ull
#define HYP_STUB_TOP 0x7ffffffff000ull /* end of the addresses that can be mapped */

#define HYP_STUB_KICK SIGURG   /* stop.signo after hyp_stub_kick. Not a real-time signal: those queue */
#define HYP_STUB_NO_TRAP (~0u) /* stop.trapno: no CPU exception */
#define HYP_STUB_MAX_CALLS 64

struct hyp_stub;

struct hyp_stub_regs {
	u64 gpr[16]; /* numbered as in ModRM: RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15 */
	u64 rip, rflags, fs_base, gs_base;
	u16 cs, ss; /* of the host, 0x33 and 0x2b; hyp_stub_set_regs ignores them */
};

/*
 * Why the stub stopped.
 * SIGSEGV SIGBUS SIGILL SIGFPE SIGTRAP: a CPU exception, trapno and error_code as the CPU gave them (Linux
 *	sets the P bit in the error code of accesses above the user half). RIP is the CPU's: behind INT3, at
 *	the instruction for faults.
 * SIGSYS: SYSCALL or INT 0x80. RIP is behind the (two byte) instruction, RCX and R11 are clobbered if it was
 *	SYSCALL, RAX is intact: to execute it again the caller subtracts 2.
 * HYP_STUB_KICK: nothing.
 */
struct hyp_stub_stop {
	int signo;
	u32 trapno; /* HYP_STUB_NO_TRAP with SIGSYS and HYP_STUB_KICK */
	u64 error_code;
	u64 addr; /* trapno 14: CR2; SIGSYS: behind the instruction; otherwise si_addr */
	int si_code;
	int map_error; /* 0, or -errno of the first queued call that failed */
};

/*
 * A parked stub with an empty address space. NULL: errno says why. ENOSYS no user notification, E2BIG this
 * host's signal frame does not fit, others as the failed system call gave them (a sandbox around us, a
 * sealed vdso).
 */
struct hyp_stub *hyp_stub_create(void);
/* Kills and reaps. NULL is fine. */
void hyp_stub_destroy(struct hyp_stub *s);

/* While parked. Of rflags the arithmetic flags, DF, AC, ID and NT are taken. */
void hyp_stub_set_regs(struct hyp_stub *s, const struct hyp_stub_regs *r);
void hyp_stub_get_regs(const struct hyp_stub *s, struct hyp_stub_regs *r);

/*
 * The XSAVE image in the frame, standard format, to be read and written while parked. Its XSTATE_BV is the
 * hardware's: a component whose bit is clear is in its initial state whatever its bytes are. Here and before
 * a run the header is made valid, MXCSR's reserved bits are cleared.
 */
void *hyp_stub_xsave(struct hyp_stub *s, u32 *size);

/*
 * Queue a call, to be made by the next hyp_stub_flush or hyp_stub_run in the order of queueing. False: the
 * list is full (HYP_STUB_MAX_CALLS), flush first. Addresses that are ours or not below HYP_STUB_TOP count as
 * a failed call (-EINVAL).
 * map: MAP_SHARED | MAP_FIXED of a file; populate also makes the page table entries.
 */
bool hyp_stub_map(struct hyp_stub *s, u64 va, u64 len, int prot, int fd, u64 offset, bool populate);
bool hyp_stub_unmap(struct hyp_stub *s, u64 va, u64 len);

/*
 * Makes the queued calls without running guest code. 0, the first failure's -errno, or -ESRCH, -EPERM as
 * hyp_stub_run.
 */
int hyp_stub_flush(struct hyp_stub *s);

/*
 * Makes the queued calls and runs guest code until the stub is parked again. 0, or it is dead and only
 * destroy is left:
 * -ESRCH: killed from outside. The registers are lost (as hyp_stub_set_regs set them, or newer).
 * -EPERM: killed because guest code entered our code page, what no honest code does. The registers are
 *	usable: RIP is in our page, where the guest's page tables have nothing, so that the exception it
 *	deserves can be raised.
 * A failed call is reported in *stop; guest code did run. A signal handler that interrupts the calling
 * thread (without SA_RESTART) counts as a kick.
 */
int hyp_stub_run(struct hyp_stub *s, struct hyp_stub_stop *stop);

/*
 * Any thread, any context (raw system call, errno untouched): a stub that runs guest code stops soon.
 * Otherwise the next run stops at once, once.
 */
void hyp_stub_kick(const struct hyp_stub *s);
/* Its process; hyp_direct_kick (hyp/cpu.h) kicks by it. */
int hyp_stub_pid(const struct hyp_stub *s);

#endif
