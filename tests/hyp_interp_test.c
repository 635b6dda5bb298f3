/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_interp_one() against the host CPU: random single instructions over identity-mapped memory, in
 * 64-, 32- and 16-bit code. Both sides start from the same registers, vector state and memory, and must
 * end with the same ones, or with the same exception.
 *
 * The native side runs by sigreturn: SIGUSR1's handler replaces the whole context (RSP too) by the
 * case's, the instruction runs, and the signal that follows (int3 -> SIGTRAP, or a fault) hands the
 * result back and restores the test's own context.
 *
 *	hyp_interp_test [cases [seed]]      default 60000 cases per mode
 */
#include <asm/ldt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "hyp/sys/x86/interp.h"

#define CODE 0x10000000ul
#define DATA 0x20000000ul
#define DATA_SIZE 0x4000ul
#define PTR (DATA + 0x1800) /* what the pointer register points at; accesses stay within the page around it */
#define XSAVE_MAX 2816

/* ---- the machine around the interpreter: identity-mapped RAM --------------------------------- */

static bool in_range(gva_t gva, u64 base, u64 size)
{
	return gva >= base && gva < base + size;
}

u8 *hyp_mem_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, gpa_t *gpa, enum x86_ret *ret)
{
	*gpa = gva;
	if (in_range(gva, DATA, DATA_SIZE) && !(acc & X86_ACC_X))
		return (u8 *)gva;
	if (in_range(gva, CODE, 4096) && !(acc & X86_ACC_W))
		return (u8 *)gva;
	*ret = x86_raise_pf(cpu, gva, 0);
	return NULL;
}

u8 *hyp_phys_ptr(struct hyp_cpu *cpu, gpa_t gpa, bool write) { return NULL; }
void hyp_tlb_flush_all(struct hyp_cpu *cpu) {}
void hyp_tlb_flush_nonglobal(struct hyp_cpu *cpu) {}
void hyp_tlb_flush_page(struct hyp_cpu *cpu, gva_t gva) {}
void hyp_x86_state_changed(struct hyp_cpu *cpu) { hyp_mode_update(cpu); }
u64 hyp_x86_tsc(struct hyp_cpu *cpu) { return 0; }

/* ---- one side's state ------------------------------------------------------------------------ */

struct state {
	u64 gpr[16], rip, rflags;
	unsigned trap; /* vector + 1 */
	u8 xsave[XSAVE_MAX] __attribute__((aligned(64)));
	u8 data[DATA_SIZE];
};

static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				 REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
static struct state *volatile native;
static gregset_t own_gregs;
static u8 own_xsave[XSAVE_MAX];
static unsigned code_bits, xsave_size;
static u16 cs16;

/* ---- the native side ------------------------------------------------------------------------- */

static void xsave_put(ucontext_t *uc, const u8 *img)
{
	u8 *x = (u8 *)uc->uc_mcontext.fpregs;

	memcpy(x, img, 464); /* 464-511: the kernel's notes */
	memcpy(x + 512, img + 512, xsave_size - 512);
}

static void on_start(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	greg_t *g = uc->uc_mcontext.gregs;
	u16 cs = code_bits == 64 ? 0x33 : code_bits == 32 ? 0x23 : cs16;

	memcpy(own_gregs, g, sizeof(own_gregs));
	memcpy(own_xsave, uc->uc_mcontext.fpregs, xsave_size);
	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = native->gpr[i];
	g[REG_RIP] = code_bits == 16 ? native->rip - CODE : native->rip;
	g[REG_EFL] = native->rflags;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffll) | cs;
	xsave_put(uc, native->xsave);
}

static void on_end(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	greg_t *g = uc->uc_mcontext.gregs;

	if (x86_native_signal(sig, si, p))
		return;
	if (!native) {
		fprintf(stderr, "signal %d in the test itself, rip %llx addr %p, after", sig,
			(unsigned long long)g[REG_RIP], si->si_addr);
		for (unsigned i = 0; i < 15; i++)
			fprintf(stderr, " %02x", ((u8 *)CODE)[0x100 + i]);
		fprintf(stderr, "\n");
		abort();
	}
	for (unsigned i = 0; i < 16; i++)
		native->gpr[i] = g[greg_of[i]];
	native->rip = g[REG_RIP];
	native->rflags = g[REG_EFL];
	native->trap = g[REG_TRAPNO] + 1;
	memcpy(native->xsave, uc->uc_mcontext.fpregs, xsave_size);
	memcpy(g, own_gregs, sizeof(own_gregs));
	xsave_put(uc, own_xsave);
}

static void handlers(void)
{
	static u8 alt[65536];
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) };
	const int flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	struct sigaction start = { .sa_sigaction = on_start, .sa_flags = flags };
	struct sigaction end = { .sa_sigaction = on_end, .sa_flags = flags };
	static const int sigs[] = { SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS };

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &start, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &end, NULL);
}

static void run_native(struct state *st, unsigned len)
{
	native = st;
	memcpy((void *)DATA, st->data, DATA_SIZE);
	raise(SIGUSR1);
	native = NULL;
	memcpy(st->data, (void *)DATA, DATA_SIZE);
	if (st->trap == X86_BP + 1) {
		st->trap = 0;
		st->rip--;
	}
	if (code_bits == 16)
		st->rip += CODE;
}

/* ---- the interpreter's side ------------------------------------------------------------------ */

static struct hyp_cpu *cpu;

static void machine_init(void)
{
	u32 ar = X86_AR_P | X86_AR_S | X86_AR_DPL | 3 | X86_AR_DB | X86_AR_G;

	if (posix_memalign((void **)&cpu, 64, sizeof(*cpu)))
		abort();
	memset(cpu, 0, sizeof(*cpu));
	hyp_x86_reset(cpu, false);
	for (unsigned i = X86_ES; i <= X86_GS; i++)
		cpu->s.seg[i] = (struct x86_seg){ .limit = ~0u, .ar = ar, .sel = 0x2b };
	cpu->s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP | X86_CR0_ET;
	cpu->s.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu->s.efer = X86_EFER_LME | X86_EFER_LMA;
	cpu->s.xcr0 = 0xe7;
}

static void machine_mode(void)
{
	u32 ar = X86_AR_P | X86_AR_S | X86_AR_DPL | 0xb | X86_AR_G;
	struct x86_seg *cs = &cpu->s.seg[X86_CS];

	cs->ar = ar | (code_bits == 64 ? X86_AR_L : code_bits == 32 ? X86_AR_DB : 0);
	cs->base = code_bits == 16 ? CODE : 0;
	cs->limit = code_bits == 16 ? 0xffff : ~0u;
	hyp_mode_update(cpu);
}

static void run_interp(struct state *st)
{
	struct x86_state *s = &cpu->s;
	enum x86_ret ret;

	memcpy((void *)DATA, st->data, DATA_SIZE);
	memcpy(s->gpr, st->gpr, sizeof(s->gpr));
	memcpy(s->xsave, st->xsave, xsave_size);
	s->rip = code_bits == 16 ? st->rip - CODE : st->rip;
	s->rflags = st->rflags;
	s->dr7 = 0x400;
	cpu->df = s->rflags & X86_FL_DF;
	for (unsigned i = 0; i < 64; i++) { /* REP may take several turns */
		u64 rip = s->rip;

		ret = x86_interp_one(cpu);
		if (ret != X86_OK || s->rip != rip)
			break;
	}
	st->trap = ret == X86_FAULT ? cpu->fault.vector + 1 : ret == X86_EXIT ? 100 + s->exit.reason : 0;
	memcpy(st->gpr, s->gpr, sizeof(s->gpr));
	memcpy(st->xsave, s->xsave, xsave_size);
	st->rip = code_bits == 16 ? s->rip + CODE : s->rip;
	st->rflags = (s->rflags & ~(u64)X86_FL_DF) | cpu->df;
	memcpy(st->data, (void *)DATA, DATA_SIZE);
}

/* ---- random instructions --------------------------------------------------------------------- */

static u64 rng;

static u64 rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static unsigned one_of(const u8 *list, unsigned n)
{
	return list[rnd() % n];
}

/* ModRM with a register, or with [rbx], [rbx+disp8], [rbx+disp32] */
static unsigned put_modrm(u8 *b)
{
	unsigned reg = rnd() & 7, mod = rnd() & 3, n = 0;
	s32 disp = (s32)(rnd() & 0x7f);

	if (mod == 3 || !(rnd() & 3)) {
		b[n++] = 0xc0 | (rnd() & 0x3f);
		return n;
	}
	b[n++] = mod << 6 | reg << 3 | 3;
	if (mod == 1)
		b[n++] = disp;
	if (mod == 2) {
		memcpy(b + n, &disp, 4);
		n += 4;
	}
	return n;
}

static unsigned put_opcode_legacy(u8 *b)
{
	static const u8 prefix[] = { 0x66, 0xf2, 0xf3, 0xf0 };
	unsigned n = 0, map = rnd() % 6;

	if (code_bits == 16)
		b[n++] = 0x67;
	if (rnd() & 1)
		b[n++] = one_of(prefix, 4);
	if (!(rnd() & 7))
		b[n++] = one_of(prefix, 4);
	if (code_bits == 64 && rnd() & 1)
		b[n++] = 0x40 | (rnd() & 0xe) | (rnd() & 7 ? 0 : 1);
	if (map >= 2)
		b[n++] = 0x0f;
	if (map == 4)
		b[n++] = 0x38;
	if (map == 5)
		b[n++] = 0x3a;
	b[n++] = map == 1 && rnd() & 1 ? 0xd8 | (rnd() & 7) : rnd();
	return n;
}

static unsigned put_opcode_vex(u8 *b)
{
	unsigned n = 0;

	if (code_bits == 16)
		b[n++] = 0x67;
	b[n++] = 0xc4;
	b[n++] = 0x60 | (code_bits == 64 ? rnd() & 0x80 : 0x80) | (1 + rnd() % 3);
	b[n++] = rnd() & 1 ? rnd() : (rnd() & 0x87) | 0x78;
	b[n++] = rnd();
	return n;
}

static unsigned put_opcode_evex(u8 *b)
{
	unsigned n = 0;

	if (code_bits == 16)
		b[n++] = 0x67;
	b[n++] = 0x62;
	b[n++] = (code_bits == 64 ? 0x60 | (rnd() & 0x90) : 0xf0) | (1 + rnd() % 3);
	b[n++] = (rnd() & 0xfb) | 4;
	b[n++] = rnd();
	b[n++] = rnd();
	return n;
}

/* Control flow, the system, and what reads the machine's own state are other tests' business. */
static bool skip_insn(const ZydisDecodedInstruction *zi)
{
	static const u16 list[] = {
		ZYDIS_MNEMONIC_CPUID, ZYDIS_MNEMONIC_RDTSC, ZYDIS_MNEMONIC_RDTSCP, ZYDIS_MNEMONIC_RDPID,
		ZYDIS_MNEMONIC_RDRAND, ZYDIS_MNEMONIC_RDSEED, ZYDIS_MNEMONIC_RDPRU, ZYDIS_MNEMONIC_XGETBV,
		ZYDIS_MNEMONIC_SLDT, ZYDIS_MNEMONIC_STR, ZYDIS_MNEMONIC_SMSW, ZYDIS_MNEMONIC_SGDT,
		ZYDIS_MNEMONIC_SIDT, ZYDIS_MNEMONIC_LAR, ZYDIS_MNEMONIC_LSL, ZYDIS_MNEMONIC_VERR,
		ZYDIS_MNEMONIC_VERW, ZYDIS_MNEMONIC_PUSHF, ZYDIS_MNEMONIC_PUSHFD, ZYDIS_MNEMONIC_PUSHFQ,
		ZYDIS_MNEMONIC_POPF, ZYDIS_MNEMONIC_POPFD, ZYDIS_MNEMONIC_POPFQ, ZYDIS_MNEMONIC_STI,
		ZYDIS_MNEMONIC_LDS, ZYDIS_MNEMONIC_LES, ZYDIS_MNEMONIC_LSS, ZYDIS_MNEMONIC_LFS,
		ZYDIS_MNEMONIC_LGS, ZYDIS_MNEMONIC_RDFSBASE, ZYDIS_MNEMONIC_RDGSBASE,
		ZYDIS_MNEMONIC_WRFSBASE, ZYDIS_MNEMONIC_WRGSBASE, ZYDIS_MNEMONIC_MONITORX,
		ZYDIS_MNEMONIC_MWAITX, ZYDIS_MNEMONIC_VMMCALL, ZYDIS_MNEMONIC_VMCALL,
		ZYDIS_MNEMONIC_PTWRITE, ZYDIS_MNEMONIC_MCOMMIT, ZYDIS_MNEMONIC_ENTER, ZYDIS_MNEMONIC_FNSAVE,
		ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXSAVE64,
		ZYDIS_MNEMONIC_XSAVE, ZYDIS_MNEMONIC_XSAVE64, ZYDIS_MNEMONIC_XSAVEC,
		ZYDIS_MNEMONIC_XSAVEC64, ZYDIS_MNEMONIC_XSAVEOPT, ZYDIS_MNEMONIC_XSAVEOPT64,
		ZYDIS_MNEMONIC_INVLPGA, ZYDIS_MNEMONIC_PVALIDATE, ZYDIS_MNEMONIC_XSAVES,
		ZYDIS_MNEMONIC_XSAVES64, ZYDIS_MNEMONIC_XRSTORS, ZYDIS_MNEMONIC_XRSTORS64,
		ZYDIS_MNEMONIC_RMPADJUST, ZYDIS_MNEMONIC_CLZERO, ZYDIS_MNEMONIC_STGI, ZYDIS_MNEMONIC_CLGI,
		ZYDIS_MNEMONIC_SKINIT, ZYDIS_MNEMONIC_VMRUN, ZYDIS_MNEMONIC_VMLOAD, ZYDIS_MNEMONIC_VMSAVE,
		ZYDIS_MNEMONIC_INVLPGB, ZYDIS_MNEMONIC_TLBSYNC, ZYDIS_MNEMONIC_SALC,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(list); i++)
		if (zi->mnemonic == list[i])
			return true;
	switch (zi->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_SEGOP:
		return true;
	default:
		return false;
	}
}

/* Registers that hold an address or a selector are kept out of random hands. */
static bool skip_operands(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
	for (unsigned i = 0; i < zi->operand_count; i++) {
		if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			ZydisRegisterClass c = ZydisRegisterGetClass(op[i].reg.value);

			if (c == ZYDIS_REGCLASS_SEGMENT || c == ZYDIS_REGCLASS_CONTROL ||
			    c == ZYDIS_REGCLASS_DEBUG)
				return true;
		}
		if (op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (op[i].mem.segment == ZYDIS_REGISTER_FS || op[i].mem.segment == ZYDIS_REGISTER_GS))
			return true;
		if (op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && op[i].mem.segment == ZYDIS_REGISTER_CS &&
		    code_bits == 16)
			return true;
	}
	return false;
}

static ZydisDecoder decoder[3];

/* Flags that the manual leaves open, where C code (not the host) decides them. */
static u32 open_flags;

static unsigned generate(u8 *b, ZydisMnemonic *mnemonic, bool *string)
{
	ZydisDecoder *d = &decoder[code_bits == 64 ? 0 : code_bits == 32 ? 1 : 2];
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	unsigned n, kind;

	for (;;) {
		kind = rnd() % 8;
		n = kind < 4 ? put_opcode_legacy(b) : kind < 6 ? put_opcode_vex(b) : put_opcode_evex(b);
		n += put_modrm(b + n);
		for (unsigned i = 0; i < 8; i++)
			b[n + i] = rnd();
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, b, 15, &zi, op)) || skip_insn(&zi) ||
		    skip_operands(&zi, op))
			continue;
		*mnemonic = zi.mnemonic;
		open_flags = zi.meta.category == ZYDIS_CATEGORY_DECIMAL && zi.cpu_flags
				     ? zi.cpu_flags->undefined
				     : 0;
		*string = zi.meta.category == ZYDIS_CATEGORY_STRINGOP ||
			  zi.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ||
			  zi.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
			  zi.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
		return zi.length;
	}
}

/* ---- random state ---------------------------------------------------------------------------- */

static void random_vectors(u8 *x)
{
	static const u32 interesting[] = { 0,	       0x3f800000, 0xbf800000, 0x7f800000,
					   0x7fc00000, 0x00000001, 0x40490fdb };
	u64 bv = 0xe7;
	u16 fcw = 0x37f;
	u32 csr = 0x1f80;

	memset(x, 0, xsave_size);
	for (unsigned i = 160; i < 416; i += 4) {
		u32 v = rnd() & 3 ? interesting[rnd() % 7] : rnd();

		memcpy(x + i, &v, 4);
	}
	for (unsigned i = 576; i < xsave_size; i++)
		x[i] = rnd();
	memcpy(x, &fcw, 2);
	x[4] = 0xf0; /* four valid x87 registers: TOP 4 */
	x[3] = 4 << 3;
	for (unsigned i = 0; i < 8; i++) {
		double v = (double)(s64)rnd() / 1048576.0;
		long double l = v;

		memcpy(x + 32 + 16 * i, &l, 10);
	}
	memcpy(x + 24, &csr, 4);
	memcpy(x + 512, &bv, 8);
}

static void random_state(struct state *st, bool string)
{
	for (unsigned i = 0; i < 16; i++) {
		st->gpr[i] = rnd() >> (rnd() & 1 ? rnd() & 63 : 0);
		if (code_bits != 64)
			st->gpr[i] = i < 8 ? (u32)st->gpr[i] : 0;
	}
	for (unsigned i = 0; i < DATA_SIZE; i++)
		st->data[i] = rnd();
	st->gpr[X86_RBX] = PTR + (rnd() & 63) * (rnd() & 1 ? 16 : 1);
	st->gpr[X86_RSP] = DATA + 0x3000 + (rnd() & 0xf8);
	if (string) {
		st->gpr[X86_RSI] = PTR + (rnd() & 255);
		st->gpr[X86_RDI] = PTR + (rnd() & 255);
		st->gpr[X86_RCX] = rnd() & 63;
	}
	random_vectors(st->xsave);
	st->rflags = 0x202 | (rnd() & X86_FL_ARITH) | (string && rnd() & 1 ? X86_FL_DF : 0);
	st->trap = 0;
}

/* ---- comparison ------------------------------------------------------------------------------ */

static bool same_fp(const u8 *a, const u8 *b)
{
	static const u16 legacy[][2] = { { 0, 6 }, { 24, 4 }, { 32, 384 } }; /* not FOP, FIP, FDP */

	for (unsigned i = 0; i < ARRAY_SIZE(legacy); i++)
		if (memcmp(a + legacy[i][0], b + legacy[i][0], legacy[i][1]))
			return false;
	return !memcmp(a + 576, b + 576, xsave_size - 576);
}

/* A component in its initial configuration has whatever bytes; make them what they mean. */
static void canonical(u8 *x)
{
	static const struct { u8 bit; u16 off, size; } part[] = {
		{ 1, 160, 256 }, { 2, 576, 256 }, { 5, 832, 64 }, { 6, 896, 512 }, { 7, 1408, 1024 } };
	u64 bv;

	memcpy(&bv, x + 512, 8);
	for (unsigned i = 0; i < ARRAY_SIZE(part); i++)
		if (!(bv >> part[i].bit & 1))
			memset(x + part[i].off, 0, part[i].size);
	if (!(bv & 1)) {
		memset(x, 0, 24);
		memset(x + 32, 0, 128);
		x[0] = 0x7f;
		x[1] = 3;
	}
}

static const char *difference(struct state *n, struct state *h)
{
	if (n->trap != h->trap)
		return "exception";
	if (n->trap) /* partial effects of a faulting MMX instruction are the model's */
		memcpy(h->xsave, n->xsave, 160);
	if (memcmp(n->gpr, h->gpr, sizeof(n->gpr)))
		return "registers";
	if (n->rip != h->rip)
		return "rip";
	if ((n->rflags ^ h->rflags) & (X86_FL_ARITH | X86_FL_DF) & ~open_flags)
		return "flags";
	if (memcmp(n->data, h->data, DATA_SIZE))
		return "memory";
	canonical(n->xsave);
	canonical(h->xsave);
	return same_fp(n->xsave, h->xsave) ? NULL : "vector state";
}

static void report(const char *what, const u8 *b, unsigned len, ZydisMnemonic m, struct state *in)
{
	extern struct state nat_end, hyp_end;

	printf("%u-bit", code_bits);
	for (unsigned i = 0; i < len; i++)
		printf(" %02x", b[i]);
	printf("  %s: %s differ (trap %d / %d, flags %llx / %llx in %llx)\n", ZydisMnemonicGetString(m), what,
	       (int)nat_end.trap - 1, (int)hyp_end.trap - 1, (unsigned long long)nat_end.rflags,
	       (unsigned long long)hyp_end.rflags, (unsigned long long)in->rflags);
	for (unsigned i = 0; i < 16; i++)
		if (nat_end.gpr[i] != hyp_end.gpr[i])
			printf("    gpr%u in %llx native %llx hyp %llx\n", i, (unsigned long long)in->gpr[i],
			       (unsigned long long)nat_end.gpr[i], (unsigned long long)hyp_end.gpr[i]);
}

struct state nat_end, hyp_end;

static unsigned run_mode(unsigned bits, unsigned cases)
{
	static struct state start;
	ZydisMnemonic m = 0;
	unsigned bad = 0, faults = 0;
	bool string = false;
	u8 b[32];

	code_bits = bits;
	machine_mode();
	for (unsigned i = 0; i < cases; i++) {
		unsigned len = generate(b, &m, &string);
		const char *what;

		mprotect((void *)CODE, 4096, PROT_READ | PROT_WRITE);
		memcpy((void *)(CODE + 0x100), b, len);
		memset((void *)(CODE + 0x100 + len), 0xcc, 16);
		mprotect((void *)CODE, 4096, PROT_READ | PROT_EXEC);
		random_state(&start, string);
		start.rip = CODE + 0x100;
		nat_end = hyp_end = start;
		run_native(&nat_end, len);
		run_interp(&hyp_end);
		faults += nat_end.trap != 0;
		what = difference(&nat_end, &hyp_end);
		if (!what)
			continue;
		if (bad++ < 40)
			report(what, b, len, m, &start);
	}
	printf("%u-bit code: %u cases, %u ended in an exception, %u differ\n", bits, cases, faults, bad);
	return bad;
}

/* ---- speed: a loop, wholly interpreted ------------------------------------------------------- */

static void speed(void)
{
	/* add rax, rcx; mov [rbx], rax; xor rax, [rbx+8]; imul rax, rax, 5; dec rcx; jnz */
	static const u8 loop[] = { 0x48, 0x01, 0xc8, 0x48, 0x89, 0x03, 0x48, 0x33, 0x43, 0x08,
				   0x48, 0x6b, 0xc0, 0x05, 0x48, 0xff, 0xc9, 0x75, 0xed };
	struct timespec a, b;
	unsigned n = 0;

	code_bits = 64;
	machine_mode();
	mprotect((void *)CODE, 4096, PROT_READ | PROT_WRITE);
	memcpy((void *)CODE, loop, sizeof(loop));
	cpu->s.rip = CODE;
	cpu->s.gpr[X86_RCX] = 100000;
	cpu->s.gpr[X86_RBX] = PTR;
	clock_gettime(CLOCK_MONOTONIC, &a);
	while (cpu->s.rip < CODE + sizeof(loop) && x86_interp_one(cpu) == X86_OK)
		n++;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%.0f ns per instruction\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n);
}

int main(int argc, char **argv)
{
	unsigned cases = argc > 1 ? atoi(argv[1]) : 60000, bad = 0, a, b, c, d;
	struct user_desc desc = { .entry_number = 0, .base_addr = CODE, .limit = 0xffff,
				  .contents = MODIFY_LDT_CONTENTS_CODE };

	rng = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x9e3779b97f4a7c15ull;
	asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0xd), "c"(0));
	xsave_size = b < XSAVE_MAX ? b : XSAVE_MAX;
	if (mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) == MAP_FAILED ||
	    mmap((void *)DATA, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) == MAP_FAILED)
		return 77;
	ZydisDecoderInit(&decoder[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(&decoder[1], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoder[2], ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16);
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b)); /* 64-bit processes start with null ones */
	machine_init();
	handlers();
	bad += run_mode(64, cases);
	bad += run_mode(32, cases);
	cs16 = 7;
	if (syscall(SYS_modify_ldt, 1, &desc, sizeof(desc)) == 0)
		bad += run_mode(16, cases);
	speed();
	return bad != 0;
}
