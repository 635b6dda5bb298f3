/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From guest bytes to a block: decode until a branch or the page's end, find out where flags are
 * live, emit. See engine.h for what the emitted code may assume.
 *
 * Liveness is per instruction and per flag, backwards from the block's end; at the end it is what the
 * known successors read (a short look ahead in the same page), or everything.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hyp/mem/reuse.h"
#include "hyp/rewrite/x86/xlate.h"

int xlate_create(struct hyp_engine *e)
{
	e->xlate = calloc(1, sizeof(*e->xlate));
	return e->xlate ? 0 : -ENOMEM;
}

void xlate_destroy(struct hyp_engine *e)
{
	free(e->xlate);
}

/* A conditional branch does not end a block: the way on is straight, the taken side leaves (x_side_edges). */
static bool ends_block(const struct insn *in)
{
	return in->cls >= INSN_JMP && in->cls != INSN_INTERP && in->cls != INSN_JCC;
}

/* An undecodable instruction is the interpreter's: it raises #UD or #GP as the manual says. */
static void make_undecodable(struct insn *in, const u8 *bytes, u64 pc)
{
	memset(in, 0, sizeof(*in));
	in->pc = pc;
	in->len = 1;
	in->bytes[0] = *bytes;
	in->cls = INSN_INTERP_END;
	in->fl_read = FLAGS_ALL;
}

static void decode_block(struct xlate *x, u64 pc)
{
	unsigned branches = 0;

	for (x->n = 0; x->n < XLATE_MAX_INSNS && (pc & PAGE_MASK) == x->page; x->n++) {
		struct insn *in = &x->insn[x->n];
		unsigned off = (unsigned)(pc & ~PAGE_MASK);

		if (!insn_decode(in, x->page_host + off, (unsigned)PAGE_SIZE - off, pc, x->code_size)) {
			if (PAGE_SIZE - off < 15)
				return; /* may go on in the next page: a block of its own */
			make_undecodable(in, x->page_host + off, pc);
		} else {
			insn_classify(in, x->key);
		}
		pc += in->len;
		branches += in->cls == INSN_JCC;
		if (ends_block(in) || x_self_ends(x, in) || branches == XLATE_MAX_BRANCHES) {
			x->n++;
			return;
		}
	}
}

/* May code be made of gpa's page now? Not if a store to it is on its way, nor if the host address of pc's
 * page is void: a sync request was answered, which empties the soft TLB. */
static bool mark_page(struct hyp_cpu *cpu, gpa_t gpa, u64 pc)
{
	const u64 *tag = &cpu->itlb[cpu->tlb_part][pc >> PAGE_SHIFT & (HYP_ITLB_SIZE - 1)].tag,
		  fetched = *tag;

	hyp_as_mark_code(cpu, gpa);
	return !hyp_stores_pending(cpu, gpa) && *tag == fetched;
}

/* Do blocks with code in gpa's page check themselves? Otherwise it is to be marked. */
static bool checks_itself(struct hyp_cpu *cpu, gpa_t gpa)
{
	if (unlikely(cpu->engine->always_checks))
		hyp_as_check_code(cpu->as, gpa);
	return hyp_must_check_itself(cpu->as, gpa);
}

/* The first instruction spans two pages. */
static bool decode_straddler(struct xlate *x, u64 pc)
{
	unsigned head = (unsigned)(PAGE_SIZE - (pc & ~PAGE_MASK));
	u64 cr2 = x->cpu->s.cr2; /* the look at the next page may fault and be for nothing */
	enum x86_ret ret;
	gpa_t gpa2;
	u8 buf[15];
	bool at_top = x_wrap(x, x->page + PAGE_SIZE) == 0; /* the interpreter knows what happens there */
	u8 *next = at_top ? NULL : hyp_mem_ptr(x->cpu, x->page + PAGE_SIZE, X86_ACC_X, &gpa2, &ret);

	if (!next) {
		x->cpu->fault.type = X86_EVENT_NONE;
		x->cpu->s.cr2 = cr2;
		return false;
	}
	if (checks_itself(x->cpu, gpa2))
		x->self = true;
	else if (!mark_page(x->cpu, gpa2, pc))
		return false;
	memcpy(buf, x->page_host + (pc & ~PAGE_MASK), head);
	memcpy(buf + head, next, sizeof(buf) - head);
	x_copy_second(x, buf, head, next);
	x->b->gpa2 = gpa2;
	x->n = 1;
	if (!insn_decode(&x->insn[0], buf, sizeof(buf), pc, x->code_size))
		make_undecodable(&x->insn[0], buf, pc);
	else
		insn_classify(&x->insn[0], x->key);
	if (x->insn[0].len <= head)
		x->b->gpa2 = TCACHE_NO_GPA;
	return true;
}

static u8 live_at_end(struct xlate *x)
{
	struct insn *last = &x->insn[x->n - 1];
	u64 next = x_next(x, last);

	switch (last->cls) {
	case INSN_JMP:
	case INSN_CALL:
		return x_live_at(x, x_target(x, last));
	case INSN_JRCXZ:
	case INSN_LOOP:
		return x_live_at(x, x_target(x, last)) | x_live_at(x, next);
	case INSN_JMP_IND:
	case INSN_CALL_IND:
	case INSN_RET:
	case INSN_HELPER_END:
	case INSN_INTERP_END:
		return FLAGS_ALL;
	default:
		return x_live_at(x, next);
	}
}

static void find_liveness(struct xlate *x)
{
	u8 live = live_at_end(x);

	for (unsigned i = x->n; i-- > 0;) {
		struct insn *in = &x->insn[i];

		if (in->cls == INSN_JCC)
			live |= x_live_at(x, x_target(x, in));
		in->live_out = live;
		live = (u8)((live & ~in->fl_write) | in->fl_read);
		in->live_in = live;
	}
}

static void cld_std(struct xlate *x, const struct insn *in)
{
	e_bytes(&x->e, "\x65\xc7\x04\x25", 4); /* mov dword gs:[df], imm */
	e_4(&x->e, OFF(df));
	e_4(&x->e, in->z.mnemonic == ZYDIS_MNEMONIC_STD ? X86_FL_DF : 0);
}

static void emit_insn(struct xlate *x, const struct insn *in)
{
	switch (in->cls) {
	case INSN_COPY:
		x_copy(x, in);
		break;
	case INSN_VERBATIM:
		e_bytes(&x->e, in->bytes, in->len);
		break;
	case INSN_LEA:
		x_lea(x, in);
		break;
	case INSN_NOP:
		break;
	case INSN_PUSH:
		x_push(x, in);
		break;
	case INSN_POP:
		x_pop(x, in);
		break;
	case INSN_LEAVE:
		x_leave_insn(x, in);
		break;
	case INSN_CLD_STD:
		cld_std(x, in);
		break;
	case INSN_INTERP:
		x_leave(x, SITE_INTERP, in);
		break;
	case INSN_HELPER:
		x_helper(x, in);
		break;
	case INSN_RDTSC:
	case INSN_RDTSCP:
		x_rdtsc(x, in);
		break;
	case INSN_CLI:
	case INSN_STI:
		x_cli_sti(x, in);
		break;
	case INSN_STAC:
	case INSN_CLAC:
		x_stac_clac(x, in);
		break;
	case INSN_SWAPGS:
		x_swapgs(x);
		break;
	case INSN_PUSHF:
		x_pushf(x, in);
		break;
	case INSN_MOV_FROM_CR:
		x_mov_from_cr(x, in);
		break;
	case INSN_READ_BASE:
		x_read_base(x, in);
		break;
	case INSN_WRITE_BASE:
		x_write_base(x, in);
		break;
	case INSN_MOV_FROM_SEG:
		x_mov_from_seg(x, in);
		break;
	case INSN_VZERO:
		x_vzero(x, in);
		break;
	case INSN_STRING:
		x_string(x, in);
		break;
	case INSN_BIT_STRING:
		x_bit_string(x, in);
		break;
	default:
		x_flow(x, in);
	}
}

/* A filled MiB of the writable view is given up: linking touches few of its pages again, and both views
 * count as resident memory. */
static void drop_writable(struct hyp_engine *eng, u32 from, u32 to)
{
	if (from >> 20 != to >> 20)
		madvise(eng->rw + (from & ~0xfffffu), 1u << 20, MADV_DONTNEED);
}

/* Classes whose emitters say themselves what becomes of S2 (struct xlate, s2_check). */
static bool keeps_s2(const struct insn *in)
{
	return in->cls == INSN_COPY || in->cls == INSN_VERBATIM || in->cls == INSN_LEA ||
	       in->cls == INSN_NOP || in->cls == INSN_PUSH || in->cls == INSN_POP || in->cls == INSN_JCC;
}

static void emit_block(struct xlate *x)
{
	struct hyp_engine *eng = x->eng;
	struct hyp_insn_map *map = eng->maps + eng->n_maps;

	x->cur = &x->insn[0];
	x->flags_held = false;
	x_entry(x);
	if (x->n_pre)
		*map++ = (struct hyp_insn_map){ 0, INSN_MAP_SPILLED(X86_RCX) };
	for (unsigned i = 0; i < x->n; i++) {
		x->cur = &x->insn[i];
		map[i].host = (u16)(x_here(x) - x->b->direct);
		map[i].guest = (u16)(x->cur->pc - x->b->pc);
		if (!x_can_hold_flags(x->cur))
			x_release_flags(x);
		x_planned_checks(x, i);
		x->insn_state = 0;
		emit_insn(x, x->cur);
		map[i].guest |= x->insn_state;
		if (!keeps_s2(x->cur))
			x->s2_check = -1;
	}
	if (!ends_block(x->cur))
		x_edge(x, x_next(x, x->cur));
	x_side_edges(x);
	x->cur = &x->insn[x->n - 1];
	x_emit_cold(x);
	eng->n_maps += x->n_pre + x->n + x->b->n_tail;
	drop_writable(eng, eng->next, ALIGN_UP(x_here(x), 16u));
	eng->next = ALIGN_UP(x_here(x), 16u);
	x->b->end = x_here(x);
	x->b->n_insns = (u8)(x->n_pre + x->n);
	x->b->guest_len = (u16)(x->cur->pc + x->cur->len - x->b->pc);
}

static void begin(struct xlate *x, struct hyp_cpu *cpu, u64 pc, const u8 *host)
{
	struct hyp_engine *eng = cpu->engine;

	if (eng->next + XLATE_MAX_BYTES > eng->size || eng->n_blocks + 1 >= eng->max_blocks ||
	    eng->n_maps + XLATE_MAX_MAPS >= eng->max_maps)
		hyp_engine_flush(cpu);
	x->cpu = cpu;
	x->eng = eng;
	x->e.p = eng->rw + eng->next;
	x->page = pc & PAGE_MASK;
	x->page_host = (const u8 *)((u64)host & PAGE_MASK);
	x->n_cold = x->n_side = x->n_pre = 0;
	x->s2_check = -1;
	x->b = tcache_add(eng);
	x->block_idx = (u32)(x->b - eng->blocks);
}

static void note_sums(struct hyp_block *b, struct hyp_cpu *cpu, const u8 *page)
{
	const u8 *second = b->gpa2 == TCACHE_NO_GPA ? NULL : hyp_phys_ptr(cpu, b->gpa2 & PAGE_MASK, false);

	b->sum[0] = tcache_block_sum(b, 0, page);
	b->sum[1] = second ? tcache_block_sum(b, 1, second) : 0;
}

static struct hyp_block *translate(struct hyp_cpu *cpu, u64 pc, gpa_t gpa, const u8 *host, u32 key)
{
	struct xlate *x = cpu->engine->xlate;

	x->self = checks_itself(cpu, gpa);
	if (!x->self && !mark_page(cpu, gpa, pc))
		return NULL;
	hyp_fpu_put(cpu);
	begin(x, cpu, pc, host);
	if (x->self)
		x_copy_code(x, host);
	x->key = key;
	x->part = KEY_PART(key);
	x->code_size = key & KEY_CODE32 ? 32 : 64;
	x->b->pc = pc;
	x->b->gpa = gpa;
	x->hot = x->part == HYP_TLB_USER && hyp_is_hot(x->eng, gpa);
	x->b->key = key;
	decode_block(x, pc);
	if (!x->n && !decode_straddler(x, pc))
		return NULL;
	find_liveness(x);
	x_plan(x);
	emit_block(x);
	if (!x->self)
		note_sums(x->b, cpu, x->page_host);
	tcache_publish(x->eng, x->b);
	return x->b;
}

struct hyp_block *xlate_block(struct hyp_cpu *cpu, u64 pc, gpa_t gpa, const u8 *host, u32 key)
{
	struct hyp_block *b;

	cpu->doing = HYP_TRANSLATES;
	b = translate(cpu, pc, gpa, host, key);
	cpu->doing = 0;
	return b;
}
