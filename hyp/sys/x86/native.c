/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host CPU is the ALU: one guest instruction, run as itself.
 *
 * A stub is the guest's instruction re-encoded as 64-bit code (native_encode.c), followed by a jump to
 * the exit path. Two things are replaced: the memory operand becomes [r] with r a register the
 * instruction does not name, holding a host address (guest RAM itself, or a bounce buffer); and RSP as
 * an operand becomes another free register, because RSP stays the host's stack: signal handlers run on
 * it. Everything else, flags and rounding and NaNs, is the silicon's own business.
 *
 *	add  [rsp+8], rsp   ->   enter: load 15 GPRs, flags     add [rsi], rdi     jmp exit: store them
 *
 * Stubs live in a memfd mapped twice, writable here and executable there, and are found by content:
 * the same bytes in the same mode are one stub wherever they stand. When the pool is full it is emptied;
 * stub_gen tells the decoded instructions that their pointer has died.
 *
 * An instruction that faults raises a host signal. x86_native_signal() recognises it by its PC, notes
 * the vector and continues at the exit path: registers and flags still hold the values from before.
 *
 * Never: a system flag in the host's RFLAGS (TF, AC, DF, NT stay the host's), a guest pointer followed
 * by the host, a libc call between enter and exit.
 */
#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "hyp/mem/guard.h"
#include "hyp/sys/x86/interp.h"

#define POOL_SIZE (1u << 20)
#define SLOT_SIZE 32u
#define STUB_HASH (2 * POOL_SIZE / SLOT_SIZE)

struct x86_stub {
	const u8 *code; /* NULL: empty */
	u8 dmode, len, stub_len, ptr_reg, rsp_reg;
	u8 bytes[15];
};

/* Offsets are known to the assembly below. */
struct native_ctx {
	u64 *gpr;
	u64 flags;
	const void *target;
	void *xsave; /* NULL: the instruction has no vector state */
	u64 xmask;
	u32 mxcsr;
	u16 fcw;
	const u8 *insn_end;
	u32 trap; /* host vector + 1, 0: none */
};
_Static_assert(offsetof(struct native_ctx, flags) == 8 && offsetof(struct native_ctx, target) == 16 &&
		       offsetof(struct native_ctx, xsave) == 24 && offsetof(struct native_ctx, xmask) == 32 &&
		       offsetof(struct native_ctx, mxcsr) == 40 && offsetof(struct native_ctx, fcw) == 44,
	       "asm below");

/* Stack while the stub runs: [rsp] ctx, [rsp+8] the stub's address, later guest RAX, [rsp+16] exit. */
void x86_native_enter(struct native_ctx *ctx);
asm(".text\n"
    ".globl x86_native_enter\n"
    ".hidden x86_native_enter\n"
    ".type x86_native_enter, @function\n"
    "x86_native_enter:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	sub $24, %rsp\n"
    "	mov %rdi, (%rsp)\n"
    "	mov 16(%rdi), %rax\n"
    "	mov %rax, 8(%rsp)\n"
    "	lea 1f(%rip), %rax\n"
    "	mov %rax, 16(%rsp)\n"
    "	cmpq $0, 24(%rdi)\n"
    "	je 2f\n"
    "	stmxcsr 40(%rdi)\n"
    "	fnstcw 44(%rdi)\n"
    "	mov 24(%rdi), %rcx\n"
    "	mov 32(%rdi), %eax\n"
    "	mov 36(%rdi), %edx\n"
    "	xrstor64 (%rcx)\n"
    "2:	pushq 8(%rdi)\n"
    "	popfq\n"
    "	mov (%rdi), %rax\n"
    "	mov 8(%rax), %rcx; mov 16(%rax), %rdx; mov 24(%rax), %rbx; mov 40(%rax), %rbp\n"
    "	mov 48(%rax), %rsi; mov 56(%rax), %rdi; mov 64(%rax), %r8; mov 72(%rax), %r9\n"
    "	mov 80(%rax), %r10; mov 88(%rax), %r11; mov 96(%rax), %r12; mov 104(%rax), %r13\n"
    "	mov 112(%rax), %r14; mov 120(%rax), %r15\n"
    "	mov (%rax), %rax\n"
    "	jmp *8(%rsp)\n"
    "1:	mov %rax, 8(%rsp)\n"
    "	mov (%rsp), %rax\n"
    "	pushfq\n"
    "	popq 8(%rax)\n"
    "	mov (%rax), %rax\n"
    "	mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax); mov %rbp, 40(%rax)\n"
    "	mov %rsi, 48(%rax); mov %rdi, 56(%rax); mov %r8, 64(%rax); mov %r9, 72(%rax)\n"
    "	mov %r10, 80(%rax); mov %r11, 88(%rax); mov %r12, 96(%rax); mov %r13, 104(%rax)\n"
    "	mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
    "	mov 8(%rsp), %rcx\n"
    "	mov %rcx, (%rax)\n"
    "	mov (%rsp), %rdi\n"
    "	cmpq $0, 24(%rdi)\n"
    "	je 3f\n"
    "	mov 24(%rdi), %rcx\n"
    "	mov 32(%rdi), %eax\n"
    "	mov 36(%rdi), %edx\n"
    "	xsave64 (%rcx)\n"
    "	fninit\n"
    "	fldcw 44(%rdi)\n"
    "	vzeroupper\n"
    "	ldmxcsr 40(%rdi)\n"
    "3:	add $24, %rsp\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    ".size x86_native_enter, . - x86_native_enter\n");

/* The stub this thread is inside, for the signal handler. */
static __thread struct native_ctx *volatile native_current __attribute__((tls_model("initial-exec")));

static u64 host_xmask; /* components of XCR0 that are guest vector state: all but PKRU, AMX */

static void host_xmask_init(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	host_xmask = lo & 0xe7u;
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void *map_fd(int fd, int prot)
{
	void *p = mmap(NULL, POOL_SIZE, prot, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool x86_native_init(struct x86_interp *it)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct x86_native_pool *p = &it->pool;
	int fd = memfd_create("kuse-interp", MFD_CLOEXEC);

	pthread_once(&once, host_xmask_init);
	if (fd < 0)
		return false;
	if (ftruncate(fd, POOL_SIZE) == 0) {
		p->rw = map_fd(fd, PROT_READ | PROT_WRITE);
		p->rx = map_fd(fd, PROT_READ | PROT_EXEC);
	}
	close(fd);
	p->hash = calloc(STUB_HASH, sizeof(*p->hash));
	p->gen = 1;
	return p->rw && p->rx && p->hash;
}

void x86_native_fini(struct x86_interp *it)
{
	struct x86_native_pool *p = &it->pool;

	if (p->rw)
		munmap(p->rw, POOL_SIZE);
	if (p->rx)
		munmap(p->rx, POOL_SIZE);
	free(p->hash);
}

static u32 content_hash(const struct x86_insn *in)
{
	u32 h = 2166136261u ^ in->dmode;

	for (unsigned i = 0; i < in->len; i++)
		h = (h ^ in->bytes[i]) * 16777619u;
	return h ^ h >> 15;
}

static bool same_content(const struct x86_stub *st, const struct x86_insn *in)
{
	return st->len == in->len && st->dmode == in->dmode && !memcmp(st->bytes, in->bytes, in->len);
}

static struct x86_stub *stub_find(struct x86_native_pool *p, const struct x86_insn *in)
{
	u32 h = content_hash(in);

	while (p->hash[h % STUB_HASH].code && !same_content(&p->hash[h % STUB_HASH], in))
		h++;
	return &p->hash[h % STUB_HASH];
}

static void pool_empty(struct x86_native_pool *p)
{
	memset(p->hash, 0, STUB_HASH * sizeof(*p->hash));
	p->used = 0;
	p->gen++;
}

static bool stub_make(struct x86_native_pool *p, struct x86_stub *st, struct x86_insn *in)
{
	static const u8 leave[] = { 0xff, 0x64, 0x24, 0x10 }; /* jmp *16(%rsp) */
	u8 *out = p->rw + p->used;
	unsigned n = x86_native_encode(in, out);

	if (!n)
		return false;
	memcpy(out + n, leave, sizeof(leave));
	*st = (struct x86_stub){ .code = p->rx + p->used, .dmode = in->dmode, .len = in->len, .stub_len = n,
				 .ptr_reg = in->ptr_reg, .rsp_reg = in->rsp_reg };
	memcpy(st->bytes, in->bytes, in->len);
	p->used += SLOT_SIZE;
	return true;
}

static bool stub_get(struct x86_native_pool *p, struct x86_insn *in)
{
	struct x86_stub *st;

	if (in->stub && in->stub_gen == p->gen)
		return true;
	if (p->used + SLOT_SIZE > POOL_SIZE)
		pool_empty(p);
	st = stub_find(p, in);
	if (!st->code && !stub_make(p, st, in))
		return false;
	in->stub = st->code;
	in->stub_gen = p->gen;
	in->stub_len = st->stub_len;
	in->ptr_reg = st->ptr_reg;
	in->rsp_reg = st->rsp_reg;
	return true;
}

/* ---- faults ---------------------------------------------------------------------------------- */

bool x86_native_signal(int sig, const void *siginfo, void *ucontext)
{
	const siginfo_t *si = siginfo;
	struct native_ctx *ctx = native_current;
	greg_t *regs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
	const u8 *pc = (const u8 *)regs[REG_RIP];

	if (!ctx || pc < (const u8 *)ctx->target || pc >= ctx->insn_end)
		return false;
	/* a page fault of the host is about guest RAM: not the instruction's doing, but its end */
	if (sig == SIGBUS || (sig == SIGSEGV && regs[REG_TRAPNO] == X86_PF)) {
		if (!hyp_guard_top || !hyp_as_is_ram(hyp_guard_top->as, (u64)si->si_addr))
			return false;
		hyp_guard_top->hva = (u64)si->si_addr;
		ctx->trap = 1 + X86_PF;
		regs[REG_RIP] = (greg_t)ctx->insn_end;
		return true;
	}
	if (sig != SIGSEGV && sig != SIGFPE && sig != SIGILL && sig != SIGTRAP)
		return false;
	ctx->trap = 1 + regs[REG_TRAPNO];
	regs[REG_RIP] = (greg_t)ctx->insn_end;
	return true;
}

static enum x86_ret raise_trap(struct hyp_cpu *cpu, unsigned vector)
{
	switch (vector) {
	case X86_PF:
		cpu->s.exit.reason = HYP_EXIT_HOST_FAULT;
		cpu->s.exit.insn_len = 0;
		cpu->s.exit.host_fault.hva = hyp_guard_top->hva;
		return X86_EXIT;
	case X86_GP:
	case X86_SS_VEC:
		return x86_raise_err(cpu, vector, 0);
	case X86_AC:
		return x86_raise_err(cpu, X86_GP, 0);
	case X86_XM:
		return x86_raise(cpu, cpu->s.cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
	default:
		return x86_raise(cpu, vector);
	}
}

/* ---- running --------------------------------------------------------------------------------- */

/* The x87 remembers where its last instruction and operand were: they must not be the host's. */
static void x87_pointers(struct hyp_cpu *cpu, const struct x86_insn *in, const struct native_ctx *ctx)
{
	u64 fip, fdp = in->mem.acc ? x86_ea_offset(cpu, in) : 0;

	memcpy(&fip, cpu->s.xsave + 8, 8);
	if (fip < (u64)ctx->target || fip >= (u64)ctx->insn_end)
		return;
	memcpy(cpu->s.xsave + 8, &cpu->s.rip, 8);
	if (in->mem.acc)
		memcpy(cpu->s.xsave + 16, &fdp, 8);
}

static void run_stub(struct hyp_cpu *cpu, const struct x86_insn *in, struct native_ctx *ctx)
{
	ctx->gpr = cpu->s.gpr;
	ctx->flags = (cpu->s.rflags & X86_FL_ARITH) | 0x202;
	ctx->target = in->stub;
	ctx->insn_end = in->stub + in->stub_len;
	ctx->xsave = in->flags & X86_IN_VEC ? cpu->s.xsave : NULL;
	ctx->xmask = host_xmask;
	ctx->trap = 0;
	native_current = ctx;
	x86_native_enter(ctx);
	native_current = NULL;
}

enum x86_ret x86_native_at(struct hyp_cpu *cpu, struct x86_insn *in, void *host)
{
	struct x86_interp *it = cpu->interp;
	u64 *gpr = cpu->s.gpr, ptr_saved = 0, rsp_saved = 0;
	struct native_ctx ctx;

	if (!stub_get(&it->pool, in))
		return x86_raise(cpu, X86_UD);
	if (in->ptr_reg != X86_REG_NONE) {
		ptr_saved = gpr[in->ptr_reg];
		gpr[in->ptr_reg] = (u64)host;
	}
	if (in->rsp_reg != X86_REG_NONE) {
		rsp_saved = gpr[in->rsp_reg];
		gpr[in->rsp_reg] = gpr[X86_RSP];
	}
	run_stub(cpu, in, &ctx);
	if (in->rsp_reg != X86_REG_NONE) {
		gpr[X86_RSP] = gpr[in->rsp_reg];
		gpr[in->rsp_reg] = rsp_saved;
	}
	if (in->ptr_reg != X86_REG_NONE)
		gpr[in->ptr_reg] = ptr_saved;
	if (in->gate == X86_GATE_X87)
		x87_pointers(cpu, in, &ctx);
	if (unlikely(ctx.trap))
		return raise_trap(cpu, ctx.trap - 1);
	cpu->s.rflags = (cpu->s.rflags & ~(u64)X86_FL_ARITH) | (ctx.flags & X86_FL_ARITH);
	return X86_OK;
}

/* ---- memory operands ------------------------------------------------------------------------- */

static bool crosses_page(gva_t gva, unsigned size)
{
	return (gva & ~PAGE_MASK) + size > PAGE_SIZE;
}

/* Raises what an access to the last page of the operand would raise. */
static enum x86_ret probe(struct hyp_cpu *cpu, gva_t gva, unsigned acc)
{
	enum x86_ret ret = X86_OK;
	gpa_t gpa;

	return !hyp_mem_ptr(cpu, gva, acc, &gpa, &ret) && ret == X86_FAULT ? X86_FAULT : X86_OK;
}

/* The operand is MMIO or crosses a page: through the bounce buffer, which keeps its alignment. */
static enum x86_ret run_bounced(struct hyp_cpu *cpu, struct x86_insn *in, gva_t gva)
{
	u8 *buf = cpu->interp->bounce + (gva & 63);
	unsigned size = in->mem.size, acc = in->mem.acc;

	if (crosses_page(gva, size)) {
		X86_TRY(probe(cpu, gva, acc));
		X86_TRY(probe(cpu, ALIGN_DOWN(gva + size - 1, PAGE_SIZE), acc));
	}
	/* an x87 store with an unmasked exception stores nothing */
	if (acc & X86_ACC_R || (in->gate == X86_GATE_X87 && crosses_page(gva, size)))
		X86_TRY(x86_mem_read(cpu, gva, buf, size, X86_ACC_R));
	X86_TRY(x86_native_at(cpu, in, buf));
	return acc & X86_ACC_W ? x86_mem_write(cpu, gva, buf, size, X86_ACC_W) : X86_OK;
}

/*
 * The operand's address or page faults. Which of the instruction's other faults come first (#UD on this
 * CPU, a pending #MF, #GP for misalignment) the host knows: it runs on a dummy, and all of it is undone.
 */
static enum x86_ret prioritize(struct hyp_cpu *cpu, struct x86_insn *in, gva_t gva, u64 old_cr2)
{
	static const u32 earlier = 1u << X86_UD | 1u << X86_GP | 1u << X86_MF;
	struct x86_state *s = &cpu->s;
	struct x86_event fault = cpu->fault;
	u64 gpr[16], rflags = s->rflags, cr2 = s->cr2;
	u8 xsave[X86_XSAVE_MAX];
	enum x86_ret ret;

	if (!(in->flags & X86_IN_VEC))
		return X86_FAULT;
	memcpy(gpr, s->gpr, sizeof(gpr));
	memcpy(xsave, s->xsave, sizeof(xsave));
	memset(cpu->interp->bounce + (gva & 63), 0, in->mem.size);
	s->cr2 = old_cr2;
	ret = x86_native_at(cpu, in, cpu->interp->bounce + (gva & 63));
	memcpy(s->gpr, gpr, sizeof(gpr));
	memcpy(s->xsave, xsave, sizeof(xsave));
	s->rflags = rflags;
	if (ret == X86_FAULT && earlier >> cpu->fault.vector & 1)
		return X86_FAULT;
	cpu->fault = fault;
	s->cr2 = cr2;
	return X86_FAULT;
}

/* An operand over two pages that lie side by side on the host as well. NULL: not so, or something faults. */
static u8 *adjoining(struct hyp_cpu *cpu, const struct x86_insn *in, gva_t gva)
{
	gva_t second = ALIGN_DOWN(gva, PAGE_SIZE) + PAGE_SIZE;
	enum x86_ret ret;
	gpa_t gpa;
	u8 *a = hyp_mem_ptr(cpu, gva, in->mem.acc, &gpa, &ret);
	bool wraps = cpu->code_size == 64 ? !x86_canonical(cpu, second) : second >> 32;
	u8 *b = a && !wraps ? hyp_mem_ptr(cpu, second, in->mem.acc, &gpa, &ret) : NULL;

	return b && b - a == (ptrdiff_t)(second - gva) ? a : NULL;
}

/* In place: plain RAM. That is what makes LOCK mean something. NULL: *ret says why not. */
static u8 *in_place(struct hyp_cpu *cpu, const struct x86_insn *in, gva_t gva, enum x86_ret *ret)
{
	gpa_t gpa;

	*ret = X86_EXIT;
	if (!crosses_page(gva, in->mem.size))
		return hyp_mem_ptr(cpu, gva, in->mem.acc, &gpa, ret);
	return in->mask_reg ? NULL : adjoining(cpu, in, gva);
}

/*
 * Linux's emulator, which handles MMIO there, knows of the x87 only FNSTCW and FNSTSW. The rest has to fail
 * here as well: user space that asked for such exits (KVM_CAP_EXIT_ON_EMULATION_FAILURE) counts on it.
 */
static bool emulator_lacks(const struct x86_insn *in)
{
	u8 reg = in->bytes[in->modrm_off] >> 3 & 7;

	return in->gate == X86_GATE_X87 && !((in->opcode == 0xd9 || in->opcode == 0xdd) && reg == 7);
}

/* A write-mask decides what is accessed. A load is tried whole first: the host then does the masking. */
static enum x86_ret run_masked(struct hyp_cpu *cpu, struct x86_insn *in, gva_t gva, enum x86_ret ret)
{
	u64 cr2 = cpu->s.cr2;

	if (!(in->mem.acc & X86_ACC_W) && ret == X86_EXIT) {
		ret = run_bounced(cpu, in, gva);
		if (ret != X86_FAULT || cpu->fault.vector != X86_PF)
			return ret;
	}
	cpu->s.cr2 = cr2;
	return x86_native_masked(cpu, in);
}

enum x86_ret x86_native_mem(struct hyp_cpu *cpu, const struct x86_insn *cin, gva_t gva)
{
	struct x86_insn *in = (struct x86_insn *)cin; /* stub_get caches the stub in it */
	u64 cr2 = cpu->s.cr2;
	enum x86_ret ret;
	u8 *host;

	x86_note_access(cpu, gva, in->mem.size, in->mem.acc & X86_ACC_W);
	host = in_place(cpu, in, gva, &ret);
	if (likely(host != NULL))
		return x86_native_at(cpu, in, host);
	if (in->mask_reg && in->suppress) {
		cpu->s.cr2 = cr2;
		ret = run_masked(cpu, in, gva, ret);
	} else if (ret != X86_FAULT) {
		if (unlikely(emulator_lacks(in)) && !crosses_page(gva, in->mem.size))
			return x86_op_emulation(cpu, in);
		ret = run_bounced(cpu, in, gva);
	}
	return ret == X86_FAULT && cpu->fault.vector == X86_PF ? prioritize(cpu, in, gva, cr2) : ret;
}

enum x86_ret x86_native(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	gva_t gva = 0;
	enum x86_ret ret;

	if (!in->mem.acc)
		return x86_native_at(cpu, (struct x86_insn *)in, NULL);
	ret = x86_ea(cpu, in, in->mem.size, in->mem.acc, &gva);
	if (unlikely(ret != X86_OK) && in->mask_reg && in->suppress)
		ret = x86_native_masked(cpu, (struct x86_insn *)in);
	else if (likely(ret == X86_OK))
		return x86_native_mem(cpu, in, gva);
	if (ret == X86_FAULT) {
		gva = x86_ea_offset(cpu, in) + cpu->s.seg[in->mem.seg].base;
		return prioritize(cpu, (struct x86_insn *)in, gva, cpu->s.cr2);
	}
	return ret;
}

/* BTx: x86_ea() has moved the operand by whole units; the stub gets the rest of the bit offset. */
enum x86_ret x86_op_bit_string(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 *reg = &cpu->s.gpr[in->opnd[1].reg & 15], saved = *reg;
	enum x86_ret ret;
	gva_t gva;

	if (in->opnd[0].type != X86_OPND_MEM || in->opnd[1].type != X86_OPND_GPR)
		return x86_native(cpu, in);
	X86_TRY(x86_ea(cpu, in, in->mem.size, in->mem.acc, &gva));
	*reg &= in->opnd[1].size * 8 - 1;
	ret = x86_native_mem(cpu, in, gva);
	*reg = saved;
	return ret;
}
