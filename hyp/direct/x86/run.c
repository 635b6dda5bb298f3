/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over to a stub and back. While the stub is parked, the registers are in cpu->s as always: so the
 * page walker, the interpreter and a guard that ends the run find what they expect.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "hyp/direct/x86/direct.h"
#include "hyp/sys/x86/sys.h"

/* Flags of RFLAGS that user code has and changes by itself. IF is 1 and IOPL 0 on both sides. */
#define USER_FLAGS (X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT | X86_FL_AC | X86_FL_ID)

#define DETOUR 300 /* instructions */
#define DR6_BS 0x4000ull
#define USER_CS 0x33 /* as Linux has them: the guest must have the same */
#define USER_SS 0x2b

#define FX_SIZE 464 /* of the image's first 512 bytes; the rest is software's, in a signal frame the kernel's */
#define XSTATE_BV 512
#define EXTENDED 576

static u64 host_xcr0(void)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo | (u64)hi << 32;
}

/* What the guest may see of the host's state: not PKRU, not AMX (rewrite/x86/fpu.c). */
#define STATE_MASK (~(7ull << 17 | 1ull << 9))

/* The guest's components: those that FXSAVE has if it knows no other. */
static u64 guest_xstate(const struct x86_state *s)
{
	return s->cr4 & X86_CR4_OSXSAVE ? s->xcr0 | 3 : 3;
}

bool hyp_direct_all_xstate(const struct x86_state *s)
{
	return s->cr4 & X86_CR4_OSXSAVE && s->xcr0 == (host_xcr0() & STATE_MASK);
}

/* The state that decides whether user code behaves on the host as on the guest's CPU. */
static bool eligible(const struct x86_state *s)
{
	const u64 cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP;
	const u64 cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	return s->seg[X86_CS].sel == USER_CS && s->seg[X86_SS].sel == USER_SS && !s->seg[X86_DS].sel &&
	       !s->seg[X86_ES].sel && !s->seg[X86_FS].sel && !s->seg[X86_GS].sel &&
	       (s->cr0 & (cr0 | X86_CR0_EM | X86_CR0_TS)) == cr0 && (s->cr4 & cr4) == cr4 &&
	       !(s->cr4 & X86_CR4_PKE) &&
	       (s->rflags & (X86_FL_IF | X86_FL_IOPL | X86_FL_TF | X86_FL_VIP | X86_FL_VIF)) == X86_FL_IF &&
	       !(guest_xstate(s) & ~(host_xcr0() & STATE_MASK)) && s->rip < HYP_STUB_TOP;
}

static void put_state(struct hyp_cpu *cpu, struct hyp_stub *stub)
{
	const struct x86_state *s = &cpu->s;
	struct hyp_stub_regs r = { .rip = s->rip, .rflags = x86_get_rflags(cpu) & (USER_FLAGS | 2),
				   .fs_base = s->seg[X86_FS].base, .gs_base = s->seg[X86_GS].base,
				   .cs = USER_CS, .ss = USER_SS };
	u32 size;
	u8 *image = hyp_stub_xsave(stub, &size);
	u64 bv;

	memcpy(r.gpr, s->gpr, sizeof(r.gpr));
	hyp_stub_set_regs(stub, &r);
	memcpy(&bv, s->xsave + XSTATE_BV, sizeof(bv));
	memcpy(image, s->xsave, FX_SIZE);
	memcpy(image + XSTATE_BV, &bv, sizeof(bv));
	memcpy(image + EXTENDED, s->xsave + EXTENDED, MIN(size, X86_XSAVE_MAX) - EXTENDED);
}

static void get_state(struct hyp_cpu *cpu, struct hyp_stub *stub, struct hyp_stub_regs *r)
{
	struct x86_state *s = &cpu->s;
	u32 size;
	const u8 *image = hyp_stub_xsave(stub, &size);
	u64 bv, old;

	hyp_stub_get_regs(stub, r);
	memcpy(s->gpr, r->gpr, sizeof(r->gpr));
	s->rip = r->rip;
	s->seg[X86_FS].base = r->fs_base;
	s->seg[X86_GS].base = r->gs_base;
	x86_set_rflags(cpu,
		       (x86_get_rflags(cpu) & ~(u64)(USER_FLAGS | X86_FL_RF)) | (r->rflags & USER_FLAGS));
	memcpy(&old, s->xsave + XSTATE_BV, sizeof(old));
	memcpy(&bv, image + XSTATE_BV, sizeof(bv));
	bv &= guest_xstate(s) | old;
	memcpy(s->xsave, image, FX_SIZE);
	memcpy(s->xsave + XSTATE_BV, &bv, sizeof(bv));
	memcpy(s->xsave + EXTENDED, image + EXTENDED, MIN(size, X86_XSAVE_MAX) - EXTENDED);
}

/* False: something wants attention. While the stub runs, others see whom to signal. */
static bool run_stub(struct hyp_cpu *cpu, struct hyp_stub *stub, struct hyp_stub_stop *stop, int *ret)
{
	__atomic_store_n(&cpu->direct_pid, hyp_stub_pid(stub), __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&cpu->direct_pid, 0, __ATOMIC_SEQ_CST);
		return false;
	}
	*ret = hyp_stub_run(stub, stop);
	__atomic_store_n(&cpu->direct_pid, 0, __ATOMIC_SEQ_CST);
	return true;
}

/* Was it the opcode CC or CE, or an INT with a number? */
static unsigned int_length(struct hyp_cpu *cpu)
{
	struct hyp_probe p;
	gva_t last = cpu->s.rip - 1;

	return hyp_tlb_probe(cpu, last, X86_ACC_X, false, &p) && p.host[last & ~PAGE_MASK] == 0xcc ? 1 : 2;
}

/* To the instruction that a signal stands for, where the frame says what comes after it. */
static void back_up(struct hyp_cpu *cpu, const struct hyp_stub_stop *stop)
{
	if (stop->signo == SIGSYS)
		cpu->s.rip = stop->addr - 2; /* SYSCALL. The frame's may be that for a restart by the kernel. */
	else if (stop->trapno == X86_BP || stop->trapno == X86_OF)
		cpu->s.rip -= int_length(cpu);
}

enum next { GO_ON, INTERPRET, FAULT, LOOK_AGAIN };

static void note_fault(struct hyp_cpu *cpu, const struct hyp_stub_stop *stop)
{
	struct hyp_direct *d = cpu->direct;

	d->fault = stop->addr;
	d->fault_error = (u32)stop->error_code;
	d->fault_rip = cpu->s.rip;
	d->fault_cr3 = cpu->s.cr3;
}

/* The kernel has come back to an instruction that faulted: its page is there now and needs no second stop. */
static void map_ahead(struct hyp_cpu *cpu)
{
	struct hyp_direct *d = cpu->direct;
	bool same = d->fault_rip == cpu->s.rip && d->fault_cr3 == cpu->s.cr3;
	u64 cr2 = cpu->s.cr2;

	d->fault_rip = 0;
	if (same)
		hyp_direct_fault(cpu, d->fault, d->fault_error);
	cpu->fault.type = X86_EVENT_NONE;
	cpu->s.cr2 = cr2;
}

static enum next stopped(struct hyp_cpu *cpu, const struct hyp_stub_stop *stop)
{
	enum direct_fault f;

	if (stop->signo == HYP_STUB_KICK)
		return LOOK_AGAIN;
	back_up(cpu, stop);
	if (stop->signo != SIGSEGV || stop->trapno != X86_PF)
		return INTERPRET;
	f = hyp_direct_fault(cpu, stop->addr, (u32)stop->error_code);
	switch (f) {
	case DIRECT_MAPPED:
		return GO_ON;
	case DIRECT_NOT_MAPPED:
		return INTERPRET;
	case DIRECT_LATER:
		return LOOK_AGAIN;
	case DIRECT_FAULTS:
		note_fault(cpu, stop);
		return FAULT;
	case DIRECT_NOT_CODE:
		break;
	}
	cpu->stats[HYP_STAT_direct_refused]++;
	cpu->direct_detour = DETOUR;
	cpu->direct_detour_page = cpu->s.rip & PAGE_MASK;
	return INTERPRET;
}

/* Somebody has killed the stub, and what the program computed is lost: the guest's kernel is to end it. */
static enum hyp_direct_end lost(struct hyp_cpu *cpu)
{
	hyp_direct_lost(cpu);
	x86_raise_err(cpu, X86_GP, 0);
	return HYP_DIRECT_FAULT;
}

/* User code has gone to other segments, by far transfers, which mean what the guest's tables say. */
static enum hyp_direct_end far_away(struct hyp_cpu *cpu, const struct hyp_stub_regs *r)
{
	cpu->direct_armed = false;
	if ((r->ss != USER_SS && x86_load_seg(cpu, X86_SS, r->ss) != X86_OK) ||
	    (r->cs != USER_CS && x86_far_jmp(cpu, r->cs, r->rip, 8) != X86_OK))
		return HYP_DIRECT_FAULT;
	return HYP_DIRECT_AGAIN;
}

/* Single-stepped: POPF has set TF, and the instruction after it is done. */
static bool stepped(const struct x86_state *s, const struct hyp_stub_stop *stop)
{
	return stop->signo == SIGTRAP && stop->trapno == X86_DB && s->rflags & X86_FL_TF;
}

/*
 * Code on a page that may not run directly is interpreted until it leaves the page: most of it is a function
 * called now and then. What stays longer is translated, until the kernel comes back to user code.
 */
static bool detour(struct hyp_cpu *cpu)
{
	if ((cpu->s.rip & PAGE_MASK) != cpu->direct_detour_page) {
		cpu->direct_detour = 0;
		return false;
	}
	if (--cpu->direct_detour)
		return true;
	cpu->direct_armed = false;
	return true;
}

static u64 now(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) ? 0 : (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* By the stub's own CPU clock (clock_getcpuclockid(3)), since the last time. */
static void measure(struct hyp_cpu *cpu, const struct hyp_stub *stub, u64 since, bool mapped)
{
	u64 used = now((clockid_t)(~(u32)hyp_stub_pid(stub) << 3 | 2)), wall = now(CLOCK_MONOTONIC) - since;
	struct hyp_direct *d = cpu->direct;

	if (d->measured == stub && used >= d->used)
		hyp_direct_ran(cpu, wall, used - d->used, mapped);
	d->measured = stub;
	d->used = used;
}

static struct hyp_stub *current_stub(struct hyp_cpu *cpu)
{
	struct hyp_stub *stub = hyp_direct_possible(cpu) && eligible(&cpu->s) ? hyp_direct_space(cpu) : NULL;

	if (!stub || !cpu->direct->fault_rip)
		return stub;
	map_ahead(cpu);
	return hyp_direct_space(cpu);
}

static enum hyp_direct_end run(struct hyp_cpu *cpu)
{
	enum next next = GO_ON;
	bool fresh = true;
	u64 since;

	if (cpu->direct_detour && detour(cpu))
		return HYP_DIRECT_INTERPRET;
	cpu->stats[HYP_STAT_direct_runs]++;
	while (next == GO_ON && cpu->direct_armed) {
		struct hyp_stub *stub = current_stub(cpu);
		struct hyp_stub_stop stop;
		struct hyp_stub_regs r;
		int ret;

		if (!stub) {
			hyp_direct_give_up(cpu);
			break;
		}
		if (fresh)
			put_state(cpu, stub);
		fresh = false;
		since = now(CLOCK_MONOTONIC);
		if (!run_stub(cpu, stub, &stop, &ret))
			return HYP_DIRECT_AGAIN;
		if (ret == -ESRCH)
			return lost(cpu);
		get_state(cpu, stub, &r);
		if (ret) { /* it has come into the stub's own code, which the guest's tables do not know */
			hyp_direct_lost(cpu);
			return HYP_DIRECT_INTERPRET;
		}
		cpu->stats[HYP_STAT_direct_stops]++;
		if (unlikely(stop.map_error)) { /* what is mapped there is not what pages.c believes */
			hyp_direct_lost(cpu);
			hyp_direct_give_up(cpu);
			return HYP_DIRECT_AGAIN;
		}
		if (unlikely(r.cs != USER_CS || r.ss != USER_SS))
			return far_away(cpu, &r);
		if (unlikely(stepped(&cpu->s, &stop))) {
			x86_raise_db(cpu, DR6_BS);
			return HYP_DIRECT_FAULT;
		}
		next = stopped(cpu, &stop);
		if (stop.signo != HYP_STUB_KICK)
			measure(cpu, stub, since, next == GO_ON);
	}
	cpu->stats[HYP_STAT_direct_interpreted] += next == INTERPRET || next == FAULT;
	return next == INTERPRET ? HYP_DIRECT_INTERPRET : next == FAULT ? HYP_DIRECT_FAULT : HYP_DIRECT_AGAIN;
}

enum hyp_direct_end hyp_direct_run(struct hyp_cpu *cpu)
{
	enum hyp_direct_end end;

	__atomic_store_n(&cpu->direct->busy, true, __ATOMIC_SEQ_CST); /* before it is asked what is possible */
	end = run(cpu);
	__atomic_store_n(&cpu->direct->busy, false, __ATOMIC_RELEASE);
	return end;
}
