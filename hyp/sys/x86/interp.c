/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One instruction at a time: the engine's universal fallback and its oracle.
 *
 * It executes every instruction in every mode, so a guest could run wholly on it. What redirects
 * control, memory or privilege is a short C function (interp_*.c, string.c, io.c), found through the
 * table in interp_table.c; everything else runs as itself on the host CPU (native.c).
 *
 *	fetch -> decode (cached by linear address and mode, validated by the bytes) -> code breakpoint
 *	-> state gates (#UD, #NM) -> the instruction -> rip, shadow, RF, TF, data breakpoints
 *
 * A function of an instruction leaves state untouched when it returns X86_FAULT. rip is stepped here,
 * after the function, unless the table says that the function sets it.
 *
 * Not guest-live: the caller has done hyp_fpu_put().
 */
#include <emmintrin.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/sys/x86/interp.h"

/* ---- per-CPU caches -------------------------------------------------------------------------- */

struct x86_interp *x86_interp_get(struct hyp_cpu *cpu)
{
	struct x86_interp *it = cpu->interp;

	if (likely(it != NULL))
		return it;
	/* A MiB that most vCPUs use little of: zero pages until then. */
	it = mmap(NULL, sizeof(*it), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (it == MAP_FAILED)
		return NULL;
	cpu->interp = it;
	if (x86_native_init(it))
		return it;
	x86_interp_free(cpu);
	return NULL;
}

bool x86_interp_make(struct hyp_cpu *cpu)
{
	return x86_interp_get(cpu) != NULL;
}

void x86_interp_free(struct hyp_cpu *cpu)
{
	if (!cpu->interp)
		return;
	x86_counts_add(cpu->interp);
	x86_native_fini(cpu->interp);
	munmap(cpu->interp, sizeof(*cpu->interp));
	cpu->interp = NULL;
}

/* ---- exits ----------------------------------------------------------------------------------- */

enum x86_ret x86_exit_at(struct hyp_cpu *cpu, const struct x86_insn *in, enum hyp_exit reason)
{
	cpu->s.exit.reason = reason;
	cpu->s.exit.insn_len = in->len;
	return X86_EXIT;
}

static enum x86_ret exit_internal(struct hyp_cpu *cpu, const char *what)
{
	cpu->s.exit = (struct x86_exit){ .reason = HYP_EXIT_INTERNAL,
					 .internal = { .what = what, .rip = cpu->s.rip } };
	return X86_EXIT;
}

static enum x86_ret exit_emulation(struct hyp_cpu *cpu, const u8 *bytes, unsigned n)
{
	cpu->s.exit = (struct x86_exit){ .reason = HYP_EXIT_EMULATION, .emulation = { .len = n } };
	memcpy(cpu->s.exit.emulation.bytes, bytes, MIN(n, 15));
	return X86_EXIT;
}

enum x86_ret x86_op_emulation(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return exit_emulation(cpu, in->bytes, in->len);
}

/* ---- fetch and decode ------------------------------------------------------------------------ */

struct fetch {
	gva_t lin;
	const u8 *page;  /* host address of lin */
	unsigned avail;  /* bytes up to the end of the page */
	u8 bytes[16];    /* used where the instruction crosses the page */
};

/* SDM vol. 3, 5.3: fetch beyond the CS limit is #GP(0). */
static enum x86_ret fetch_start(struct hyp_cpu *cpu, struct fetch *f)
{
	enum x86_ret ret = X86_OK;
	gpa_t gpa;

	if (cpu->code_size == 64) {
		f->lin = cpu->s.rip;
		if (!x86_canonical(cpu, f->lin))
			return x86_raise_err(cpu, X86_GP, 0);
	} else {
		f->lin = (u32)(cpu->s.seg[X86_CS].base + cpu->s.rip);
		if (cpu->s.rip > cpu->s.seg[X86_CS].limit)
			return x86_raise_err(cpu, X86_GP, 0);
	}
	f->avail = PAGE_SIZE - (f->lin & ~PAGE_MASK);
	f->page = hyp_mem_ptr(cpu, f->lin, X86_ACC_X, &gpa, &ret);
	if (likely(f->page != NULL))
		return X86_OK;
	return ret == X86_FAULT ? ret : exit_emulation(cpu, f->bytes, 0);
}

/* The bytes after the page's end are needed. */
static enum x86_ret fetch_second_page(struct hyp_cpu *cpu, struct fetch *f)
{
	gva_t next = (f->lin & PAGE_MASK) + PAGE_SIZE;
	enum x86_ret ret = X86_OK;
	gpa_t gpa;
	const u8 *p;

	if (cpu->code_size != 64)
		next = (u32)next;
	p = hyp_mem_ptr(cpu, next, X86_ACC_X, &gpa, &ret);
	if (!p)
		return ret == X86_FAULT ? ret : exit_emulation(cpu, f->page, f->avail);
	memcpy(f->bytes, f->page, f->avail);
	memcpy(f->bytes + f->avail, p, 15 - f->avail);
	f->page = f->bytes;
	f->avail = 15;
	return X86_OK;
}

static enum x86_ret decode_slow(struct hyp_cpu *cpu, struct fetch *f, enum x86_dmode mode,
				struct x86_insn *in)
{
	int err = x86_decode(mode, f->page, MIN(f->avail, 15), in);

	if (err < 0 && f->avail < 15) {
		X86_TRY(fetch_second_page(cpu, f));
		err = x86_decode(mode, f->page, 15, in);
	}
	if (err) {
		in->len = 0;
		return err == X86_GP ? x86_raise_err(cpu, X86_GP, 0) : x86_raise(cpu, X86_UD);
	}
	in->lin = f->lin;
	return X86_OK;
}

/* The decoded bytes are those at p. 16 bytes of each may be read. */
static bool same_bytes(const struct x86_insn *in, const u8 *p)
{
	__m128i a = _mm_loadu_si128((const __m128i *)in->bytes), b = _mm_loadu_si128((const __m128i *)p);
	unsigned equal = _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)), need = (1u << in->len) - 1;

	return (equal & need) == need;
}

static bool cached(const struct x86_insn *in, const struct fetch *f, enum x86_dmode mode)
{
	if (in->lin != f->lin || in->dmode != mode || !in->len || in->len > f->avail)
		return false;
	return likely(f->avail >= 16) ? same_bytes(in, f->page) : !memcmp(in->bytes, f->page, in->len);
}

static enum x86_ret fetch_decode(struct hyp_cpu *cpu, struct x86_interp *it, struct x86_insn **out)
{
	enum x86_dmode mode = x86_decode_mode(cpu);
	struct x86_insn *in;
	struct fetch f;

	X86_TRY(fetch_start(cpu, &f));
	in = &it->icache[(f.lin ^ f.lin >> 13) % X86_ICACHE_SIZE];
	if (unlikely(!cached(in, &f, mode)))
		X86_TRY(decode_slow(cpu, &f, mode, in));
	if (cpu->code_size != 64 && unlikely(cpu->s.rip + in->len - 1 > cpu->s.seg[X86_CS].limit))
		return x86_raise_err(cpu, X86_GP, 0);
	*out = in;
	return X86_OK;
}

/* ---- one instruction ------------------------------------------------------------------------- */

static enum x86_ret execute(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 next;

	if (in->gate)
		X86_TRY(x86_gate_check(cpu, in));
	if (in->op_flags & X86_OP_CPL0 && x86_priv(&cpu->s) != 0)
		return x86_raise_err(cpu, X86_GP, 0);
	if (in->op_flags & X86_OP_RIP)
		return in->fn(cpu, in);
	next = x86_next_rip(cpu, in);
	X86_TRY(in->fn(cpu, in));
	cpu->s.rip = next;
	return X86_OK;
}

enum x86_ret x86_interp_step(struct hyp_cpu *cpu)
{
	struct x86_interp *it = x86_interp_get(cpu);
	bool tf = cpu->s.rflags & X86_FL_TF;
	u64 rf = cpu->s.rflags & X86_FL_RF;
	u8 shadow = cpu->s.shadow;
	struct x86_insn *in = NULL;
	enum x86_ret ret;

	if (unlikely(!it))
		return exit_internal(cpu, "no memory for the interpreter");
	cpu->mmio.next = 0;
	x86_debug_arm(cpu);
	ret = fetch_decode(cpu, it, &in);
	if (ret == X86_OK)
		ret = x86_debug_fetch(cpu, in->lin);
	if (ret == X86_OK) {
		cpu->s.shadow = 0;
		cpu->s.rflags &= ~(u64)X86_FL_RF;
		it->retired = false;
		it->counts[in->mnemonic]++;
		ret = execute(cpu, in);
		if (ret != X86_OK && !it->retired) {
			cpu->s.shadow = shadow;
			cpu->s.rflags |= rf;
		}
		if (in->op_flags & X86_OP_NEW_TF)
			tf = tf && cpu->s.rflags & X86_FL_TF;
	}
	if (ret == X86_FAULT) {
		x86_mmio_drop(cpu);
		cpu->mmio.io_ready = false;
	} else {
		cpu->fault.type = X86_EVENT_NONE; /* of an access that was only tried */
	}
	return x86_debug_retire(cpu, tf, ret);
}

enum x86_ret x86_interp_one(struct hyp_cpu *cpu)
{
	enum x86_ret ret = x86_interp_step(cpu);

	if (ret == X86_OK && cpu->mmio.wn > cpu->mmio.wnext)
		return x86_mmio_flush(cpu);
	return ret;
}
