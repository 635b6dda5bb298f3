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
	[0x31] = {.alone = true, .spared_flag = SCAN_TSC_FAULTS | SCAN_SAME_TSC}, /* RDTSC */
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
#define AFTER 40 /* bytes from the find on */
/* So many finds in a page are judged; one with more is no code, or odd code. */
#define MAX_FINDS 256

struct scan {
	const u8 *prev, *page, *next;
	unsigned flags;
	unsigned finds;
	struct hyp_scan_patch *patch;
	ZydisDecoder dec, full;
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
	u8 bytes[REACH + AFTER];
	bool seen[REACH + 1];
	bool passed; /* one way has come by the find, inside another instruction */
	int at, size;
};

static void open_window(const struct scan *c, int at, struct window *w)
{
	int from = MAX(at - REACH, known_from(c)), to = MIN(at + AFTER, known_to(c));

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

/* ---- instructions that are replaced ---------------------------------------------------------------- */

#define PATCH_BEFORE 5 /* ordinary instructions */
#define PATCH_AFTER 4
#define PATCH_STARTS 4 /* ways that lead to the find; none may pass it */

/* What compilers and their libraries use. Where bytes are data, one in three that decode is none of these. */
static bool is_ordinary(const ZydisDecodedInstruction *z)
{
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_CET:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_MISC:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_WIDENOP:
		return true;
	default:
		return false;
	}
}

/* The next instruction; a find counts as ordinary. 0: none, or an odd one. */
static int ordinary_length(const struct scan *c, const struct window *w, int i)
{
	ZydisDecodedInstruction z;
	u8 op;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&c->full, NULL, w->bytes + i, w->size - i, &z)))
		return 0;
	op = z.opcode;
	if (z.opcode_map == ZYDIS_OPCODE_MAP_0F && (op == 0xa2 || op == 0x31 || op == 0x01 || op == 0xae))
		return z.length;
	return is_ordinary(&z) ? z.length : 0;
}

/* From i on: n ordinary instructions at least, until one begins at `to` (its prefixes count as a part). */
static bool ordinary_until(const struct scan *c, const struct window *w, int i, int to, int n)
{
	int len;

	for (; i < to; i += len, n--) {
		int op = i;

		while (op < to && is_prefix(w->bytes[op]))
			op++;
		if (op == to)
			break;
		len = ordinary_length(c, w, i);
		if (!len)
			return false;
	}
	return n <= 0;
}

/* CPUID, RDTSC, XGETBV or RDTSCP, and what follows is code. */
static bool ordinary_after(const struct scan *c, const struct window *w)
{
	const u8 *find = &w->bytes[w->at];
	int i = w->at + 2, len;

	if (find[1] == 0x01 && (find[2] == 0xd0 || find[2] == 0xf9))
		i++;
	else if (find[0] != 0x0f || (find[1] != 0xa2 && find[1] != 0x31))
		return false;
	for (int n = 0; n < PATCH_AFTER; n++, i += len) {
		len = i < w->size ? ordinary_length(c, w, i) : 0;
		if (!len)
			return false;
	}
	return true;
}

/*
 * Is the find an instruction beyond reasonable doubt? Then the page can run with UD2 in its place, which
 * brings the program back to us. All ways that decode at all must lead to it, through ordinary code: what is
 * taken for code here and is a table instead would be read with two bytes changed.
 */
static bool is_certain(const struct scan *c, int at)
{
	int leads = 0, from = -1;
	struct window w;

	if (at + 1 >= (int)PAGE_SIZE || at < 2)
		return false;
	open_window(c, at, &w);
	for (int i = 0; i < INSN_MAX && i <= w.at; i++) {
		memset(w.seen, 0, sizeof(w.seen));
		w.passed = false;
		if (leads_there(c, &w, i)) {
			leads++;
			from = from < 0 && ordinary_until(c, &w, i, w.at, PATCH_BEFORE) ? i : from;
		} else if (w.passed) {
			return false;
		}
	}
	return leads >= PATCH_STARTS && from >= 0 && ordinary_after(c, &w);
}

static bool note_patch(struct scan *c, int at)
{
	if (!c->patch || c->patch->n == HYP_SCAN_PATCHES || !is_certain(c, at))
		return false;
	c->patch->at[c->patch->n++] = (u16)at;
	return true;
}

/* A find at this offset makes the page one that may not run, or not as it is. */
static bool refuse(struct scan *c, int at)
{
	if (!matters(c, at))
		return false;
	if (!c->finds++) {
		ZydisDecoderInit(&c->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		c->full = c->dec;
		ZydisDecoderEnableMode(&c->dec, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
	}
	return c->finds > MAX_FINDS || (begins_at(c, at) && !note_patch(c, at));
}

bool hyp_scan_page_between(const u8 *prev, const u8 *page, const u8 *next, unsigned flags,
			   struct hyp_scan_patch *patch)
{
	struct scan c = {.prev = prev, .page = page, .next = next, .flags = flags, .patch = patch};
	const __m128i escape = _mm_set1_epi8(0x0f), intn = _mm_set1_epi8((char)0xcd);

	if (patch)
		patch->n = 0;
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
