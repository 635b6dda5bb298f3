/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of guest user code that may not run directly.
 *
 * The host executes most of what a program at CPL 3 can do exactly as the guest's CPU would; what is
 * privileged faults there, and the translator does it. Between the two stand the instructions in `rows`:
 * they do not fault, and tell of the host: CPUID, RDTSC, SGDT, LSL ... A page with one of them is not
 * mapped executable in the stub, so that its code stays with the translator. So it is with two ways to call
 * the kernel that the stub's filter cannot hold up as they came: INT 0x80, of which Linux passes on half of
 * RAX only, and the system calls of uprobes, which no filter sees.
 *
 * Nearly all begin with 0F, but hardly any of the places where 0F and such a second byte stand next to each
 * other are instructions: the rest are parts of displacements and immediates (`and $0xfff,%eax` is 25 ff 0f
 * 00 00), in nearly every second page of what compilers make. A page that is refused for nothing is
 * expensive, since its loops bounce between stub and translator. So what is found is judged: no instruction
 * has more than 15 bytes, hence of any 15 neighbouring offsets one is the beginning of an instruction. From
 * each of the 15 offsets that are REACH bytes before the find, and from where a function seems to begin,
 * all is decoded up to it. If one of these ways comes to an instruction that begins with the find (after
 * its prefixes), the page is refused; it is, too, if none of them gets past the find, since then data lies
 * before it. Otherwise no program that runs through here in the usual manner comes to it.
 *
 * That is a rule for honest programs, and enough. One that jumps into the middle of its own instructions
 * sees the host's CPUID or time stamp counter, as it might have measured anyway; nothing that protects
 * anybody hangs on this. The stub's walls are in stub.c and filter.c.
 *
 * Out of scope: what depends on CPUID bits that a client has hidden, segment registers.
 */
#include "hyp/direct/x86/scan.h"

#include <emmintrin.h>
#include <string.h>
#include <Zydis/Zydis.h>

/* By the byte after 0F: for which ModRM bytes it is an instruction that matters. */
struct row {
	bool alone;     /* there is no ModRM byte */
	bool f3;        /* register forms: only behind the prefix F3 */
	u8 mem;         /* memory operand: bit n for /n */
	u8 mem_flag;    /* only with this flag; 0: always */
	u8 reg_flag;    /* likewise */
	u8 spared_flag; /* this one spares the register forms below, or the instruction without ModRM byte */
	u64 reg;        /* mod = 3: bit n for the ModRM byte C0 + n */
	u64 spared;
};
#define REG(n) (0xffull << 8 * (n))  /* C0 + 8n .. C7 + 8n: /n reg */
#define BYTE(b) (1ull << ((b)-0xc0)) /* one ModRM byte, as the manuals write it */

static const struct row rows[256] = {
	/*
	 * 0F 00, SLDT, STR, VERR, VERW, is left out: it is common in displacements (calls over a megabyte), four
	 * pages of cc1 in a thousand, hot ones among them, were refused for it; and what these say of the host's
	 * segments is what it says of any program's.
	 */
	/*
	 * SGDT, SIDT, SMSW; VMCALL, XGETBV, VMFUNC, VMMCALL, RDPKRU, WRPKRU, RDTSCP, MONITORX, MWAITX,
	 * RDPRU. VMCALL and VMMCALL: the host's own hypervisor would answer. XEND, XTEST, ENCLU, CLZERO,
	 * SERIALIZE and the user interrupts' do what they do in the guest or are undefined; the others are
	 * privileged.
	 */
	[0x01] = {.mem = 1 << 0 | 1 << 1 | 1 << 4,
		  .reg = BYTE(0xc1) | BYTE(0xd0) | BYTE(0xd4) | BYTE(0xd9) | REG(4) | BYTE(0xee) | BYTE(0xef) | BYTE(0xf9) |
			 BYTE(0xfa) | BYTE(0xfb) | BYTE(0xfd),
		  .spared = BYTE(0xf9),
		  .spared_flag = SCAN_TSC_FAULTS},
	[0x02] = {.mem = 0xff, .reg = ~0ull},                       /* LAR */
	[0x03] = {.mem = 0xff, .reg = ~0ull},                       /* LSL */
	[0x31] = {.alone = true, .spared_flag = SCAN_TSC_FAULTS},   /* RDTSC */
	[0x33] = {.alone = true},                                   /* RDPMC */
	[0x34] = {.alone = true},                                   /* SYSENTER */
	[0xa2] = {.alone = true, .spared_flag = SCAN_CPUID_FAULTS}, /* CPUID */
	/* XSAVE, XRSTOR, XSAVEOPT; RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
	[0xae] = {.mem = 1 << 4 | 1 << 5 | 1 << 6,
		  .mem_flag = SCAN_NO_XSAVE,
		  .reg = REG(0) | REG(1) | REG(2) | REG(3),
		  .reg_flag = SCAN_NO_FSGSBASE,
		  .f3 = true},
	/* XSAVEC (XSAVES and XRSTORS are privileged); RDPID */
	[0xc7] = {.mem = 1 << 4, .mem_flag = SCAN_NO_XSAVE, .reg = REG(7), .f3 = true},
};

/* No instruction is longer. */
#define INSN_MAX 15
/*
 * How far before a find decoding begins. Most ways have met long before they get there: in 9448 pages of
 * libc, cc1, perl, libcrypto and the like 20 were refused for nothing with 64, 41 with 48; 13 of the 20
 * hold tables.
 */
#define REACH 64
/* So many finds in a page are judged; one with more is no code, or odd code. */
#define MAX_FINDS 256

struct scan {
	const u8 *prev, *page, *next;
	unsigned flags;
	unsigned finds;
	ZydisDecoder dec;
};

/* What is known of the three pages, as offsets of this one. */
static int known_from(const struct scan *c)
{
	return c->prev ? -(int)PAGE_SIZE : 0;
}

static int known_to(const struct scan *c)
{
	return c->next ? 2 * PAGE_SIZE : PAGE_SIZE;
}

/* A byte by its offset in this page; -1: not known. */
static int byte_at(const struct scan *c, int i)
{
	if (i < known_from(c) || i >= known_to(c))
		return -1;
	if (i < 0)
		return c->prev[i + (int)PAGE_SIZE];
	return i < (int)PAGE_SIZE ? c->page[i] : c->next[i - (int)PAGE_SIZE];
}

static bool is_prefix(u8 b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x40 ... 0x4f:
	case 0x64 ... 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	}
	return false;
}

/* F3 may be among the prefixes before this offset. */
static bool maybe_f3(const struct scan *c, int at)
{
	int b;

	do {
		b = byte_at(c, --at);
	} while (b >= 0 && b != 0xf3 && is_prefix(b));
	return b < 0 || b == 0xf3;
}

static bool has_flag(const struct scan *c, unsigned flag)
{
	return !flag || (c->flags & flag);
}

/* A register form, by its bit. */
static bool reg_matters(const struct scan *c, const struct row *row, u64 bit, int at)
{
	if ((c->flags & row->spared_flag) && (row->spared & bit))
		return false;
	return (row->reg & bit) && has_flag(c, row->reg_flag) && (!row->f3 || maybe_f3(c, at));
}

/*
 * uprobe (336, Linux 6.18) and uretprobe (335, 6.11) are let through before seccomp filters look. Kernels put
 * them into programs' memory as MOV $n, %eax; SYSCALL or with REX.W; all other SYSCALLs are trapped.
 */
static bool is_uprobe(const struct scan *c, int syscall)
{
	int n = byte_at(c, syscall - 4);

	return (n == (335 & 0xff) || n == (336 & 0xff)) && byte_at(c, syscall - 3) == 335 >> 8 &&
	       !byte_at(c, syscall - 2) && !byte_at(c, syscall - 1);
}

/* Could the 0F or CD at this offset be the opcode of an instruction that matters? */
static bool matters(const struct scan *c, int at)
{
	int op = byte_at(c, at + 1), modrm = byte_at(c, at + 2);
	const struct row *row;

	if (op < 0)
		return true;
	if (c->page[at] == 0xcd)
		return op == 0x80; /* INT */
	if (op == 0x05)
		return is_uprobe(c, at);
	row = &rows[op];
	if (row->alone)
		return !(c->flags & row->spared_flag);
	if (!row->mem && !row->reg)
		return false;
	if (modrm < 0)
		return true;
	if (modrm < 0xc0)
		return row->mem >> (modrm >> 3 & 7) & 1 && has_flag(c, row->mem_flag);
	return reg_matters(c, row, 1ull << (modrm - 0xc0), at);
}

/* The bytes around a find, which has the offset `at` here, and which of them decoding has come by. */
struct window {
	u8 bytes[REACH + INSN_MAX];
	bool seen[REACH + 1];
	bool passed; /* one way has come by the find, inside another instruction */
	int at, size;
};

static void open_window(const struct scan *c, int at, struct window *w)
{
	int from = MAX(at - REACH, known_from(c)), to = MIN(at + INSN_MAX, known_to(c));

	w->at = at - from;
	w->size = to - from;
	for (int i = from; i < to; i++)
		w->bytes[i - from] = byte_at(c, i);
	memset(w->seen, 0, sizeof(w->seen));
	w->passed = false;
}

/* Decodes from i on. True: comes to an instruction whose opcode is the find. */
static bool leads_there(const struct scan *c, struct window *w, int i)
{
	ZydisDecodedInstruction z;
	ZyanStatus st;
	int op;

	while (i <= w->at && !w->seen[i]) {
		w->seen[i] = true;
		for (op = i; is_prefix(w->bytes[op]);)
			op++;
		if (op == w->at)
			return true;
		st = ZydisDecoderDecodeInstruction(&c->dec, NULL, w->bytes + i, w->size - i, &z);
		if (!ZYAN_SUCCESS(st) && st != ZYDIS_STATUS_NO_MORE_DATA)
			return false;
		i += ZYAN_SUCCESS(st) ? z.length : w->size; /* it goes on in the next page */
	}
	w->passed |= i > w->at;
	return false;
}

/* A function may begin here, perhaps after data: aligned, and behind RET, INT3 or NOP. */
static bool looks_like_entry(const struct window *w, int i)
{
	u8 b = i ? w->bytes[i - 1] : 0;

	return b == 0xc3 || b == 0xcc || b == 0x90;
}

/* Does the program come to an instruction at this offset, as far as one can tell? */
static bool begins_at(const struct scan *c, int at)
{
	struct window w;

	open_window(c, at, &w);
	for (int i = 0; i < INSN_MAX && i <= w.at; i++)
		if (leads_there(c, &w, i))
			return true;
	for (int i = w.at - (at & 15); i >= 0; i -= 16)
		if (looks_like_entry(&w, i) && leads_there(c, &w, i))
			return true;
	return !w.passed;
}

/* A find at this offset makes the page one that may not run. */
static bool refuse(struct scan *c, int at)
{
	if (!matters(c, at))
		return false;
	if (!c->finds++) {
		ZydisDecoderInit(&c->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ZydisDecoderEnableMode(&c->dec, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
	}
	return c->finds > MAX_FINDS || begins_at(c, at);
}

bool hyp_scan_page_between(const u8 *prev, const u8 *page, const u8 *next, unsigned flags)
{
	struct scan c = {.prev = prev, .page = page, .next = next, .flags = flags};
	const __m128i escape = _mm_set1_epi8(0x0f), intn = _mm_set1_epi8((char)0xcd);

	for (unsigned i = 0; i < PAGE_SIZE; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(page + i));
		__m128i eq = _mm_or_si128(_mm_cmpeq_epi8(v, escape), _mm_cmpeq_epi8(v, intn));
		unsigned found = _mm_movemask_epi8(eq);

		for (; found; found &= found - 1)
			if (refuse(&c, i + __builtin_ctz(found)))
				return false;
	}
	return true;
}
