/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when translated code leaves: one handler per kind of site (engine.h). A handler either
 * names the code to enter next and returns GO_ON, or brings s.rip and s.rflags up to date and returns
 * to the run loop. Guest-live.
 */
#include "hyp/direct/x86/direct.h"
#include "hyp/rewrite/x86/cell.h"
#include "hyp/rewrite/x86/emit.h"
#include "hyp/rewrite/x86/helpers.h"
#include "hyp/rewrite/x86/run.h"

/* Handlers return an enum x86_ret, or this. */
#define GO_ON 100

static struct hyp_block *block_of(struct hyp_cpu *cpu, const struct hyp_site *site)
{
	return &cpu->engine->blocks[site->block];
}

static void sync_flags(struct hyp_cpu *cpu)
{
	cpu->s.rflags = (cpu->s.rflags & ~(u64)X86_FL_ARITH) | flags_from_ax(cpu->ax_flags);
}

static u64 code_at(struct hyp_cpu *cpu, u32 off)
{
	return (u64)cpu->engine->rx + off;
}

static struct hyp_itlb_entry *fetched_page(struct hyp_cpu *cpu, u64 pc)
{
	struct hyp_itlb_entry *e = &cpu->itlb[cpu->tlb_part][(pc >> PAGE_SHIFT) & (HYP_ITLB_SIZE - 1)];

	return e->tag == (pc & PAGE_MASK) ? e : NULL;
}

/*
 * The client may have changed the page (hyp_as_client_ran). A page of the kernel's that was not flushed since
 * it was compared needs no second look: a client raises an interrupt for every request it answers, and each
 * block whose place in the jump cache is another's comes here.
 */
static void compare_page(struct hyp_cpu *cpu, u64 pc, gpa_t gpa, const u8 *host)
{
	struct hyp_itlb_entry *e = fetched_page(cpu, pc);
	const u64 known = HYP_TLBE_GLOBAL | HYP_ITLBE_COMPARED;

	if (e && (e->gpa & PAGE_MASK) != (gpa & PAGE_MASK))
		e = NULL; /* mapped anew: the block's second page is not the one fetched */
	if (e && (e->gpa & known) == known)
		return;
	tcache_compare_page(cpu, gpa, (const u8 *)((u64)host & PAGE_MASK));
	if (e)
		e->gpa |= HYP_ITLBE_COMPARED;
}

static void compare_second_page(struct hyp_cpu *cpu, const struct hyp_block *b)
{
	const u8 *page = hyp_phys_ptr(cpu, b->gpa2 & PAGE_MASK, false);

	if (page)
		compare_page(cpu, b->pc + PAGE_SIZE, b->gpa2, page);
}

/*
 * The page behind a block that spans two is still the one it was made from. Where it cannot be had there is
 * no such block for now: the interpreter raises the fault.
 */
static bool same_second_page(struct hyp_cpu *cpu, struct hyp_block *b)
{
	u64 cr2 = cpu->s.cr2;
	enum x86_ret ret;
	gpa_t gpa2;

	if (!hyp_mem_ptr(cpu, (b->pc & PAGE_MASK) + PAGE_SIZE, X86_ACC_X, &gpa2, &ret)) {
		cpu->fault.type = X86_EVENT_NONE;
		cpu->s.cr2 = cr2;
		return false;
	}
	if ((gpa2 & PAGE_MASK) != (b->gpa2 & PAGE_MASK))
		tcache_kill(cpu->engine, b);
	else
		compare_second_page(cpu, b);
	return true;
}

/* A new block. NULL: interpret. */
static struct hyp_block *make_block(struct hyp_cpu *cpu, u64 pc, gpa_t gpa, const u8 *host, u32 key)
{
	struct hyp_block *b = xlate_block(cpu, pc, gpa, host, key);
	const struct hyp_itlb_entry *e = fetched_page(cpu, pc);

	if (!b)
		return NULL;
	if (unlikely(!(key & KEY_CPL0) && e && e->gpa & HYP_ITLBE_RW && !b->checks))
		tcache_watch(cpu->engine, gpa);
	cpu->stats[HYP_STAT_blocks]++;
	cpu->stats[HYP_STAT_insns] += b->n_insns;
	cpu->stats[HYP_STAT_host_bytes] += b->end - b->ind;
	return b;
}

/* Block at linear address pc under the current mode; translated if need be. NULL with *ret: X86_FAULT
 * (fetch fault), X86_EXIT meaning "interpret it" (no RAM, or a second page that faults). */
static struct hyp_block *find_block(struct hyp_cpu *cpu, u64 pc, u32 key, enum x86_ret *ret)
{
	gpa_t gpa;
	u8 *host = hyp_mem_ptr(cpu, pc, X86_ACC_X, &gpa, ret);
	struct hyp_block *b;

	if (!host)
		return NULL;
	compare_page(cpu, pc, gpa, host);
	b = tcache_lookup(cpu->engine, pc, gpa, key);
	*ret = X86_EXIT;
	if (b && !b->dead && b->gpa2 != TCACHE_NO_GPA && !same_second_page(cpu, b))
		return NULL;
	if (b && !b->dead)
		return b;
	return make_block(cpu, pc, gpa, host, key);
}

/* A block's second page need not have been fetched; "not global" would empty the jump cache at MOV CR3. */
static bool is_global(struct hyp_cpu *cpu, u64 pc)
{
	const struct hyp_itlb_entry *e = fetched_page(cpu, pc);
	u64 cr2 = cpu->s.cr2;
	enum x86_ret ret;
	gpa_t gpa;

	if (!e && !hyp_mem_ptr(cpu, pc, X86_ACC_X, &gpa, &ret)) {
		cpu->fault.type = X86_EVENT_NONE;
		cpu->s.cr2 = cr2;
		return false;
	}
	e = fetched_page(cpu, pc);
	return e && e->gpa & HYP_TLBE_GLOBAL;
}

static void note_page(struct hyp_cpu *cpu, u64 pc)
{
	hyp_jc_note(cpu, cpu->tlb_part, pc, is_global(cpu, pc));
}

static void fill_jc(struct hyp_cpu *cpu, const struct hyp_block *b)
{
	hyp_jc_set(cpu, key_class(b->key), jc_index(b->pc), code_at(cpu, b->ind));
	note_page(cpu, b->pc);
	if (b->gpa2 != TCACHE_NO_GPA)
		note_page(cpu, b->pc + PAGE_SIZE);
}

static int interpret(struct hyp_cpu *cpu)
{
	int ret;

	cpu->stats[HYP_STAT_interpreted]++;
	cpu->doing = HYP_INTERPRETS;
	hyp_fpu_put(cpu);
	ret = x86_interp_one(cpu);
	cpu->doing = 0;
	return ret;
}

/*
 * Blocks of another key (CR0.TS, CR4, XCR0, CPL ... changed) must not be found in the jump cache. What is not
 * about the size of code concerns the other classes too: STAC and CLAC go from one to another.
 */
static u32 current_key(struct hyp_cpu *cpu)
{
	u32 key = hyp_block_key(cpu), class = key_class(key), changed = cpu->jc_key[class] ^ key;

	if (unlikely(changed)) {
		hyp_jc_reset(cpu, class);
		for (unsigned i = 0; i < HYP_JC_CLASSES && !(changed & KEY_CODE32); i++)
			hyp_jc_reset(cpu, i);
		hyp_keys_changed(cpu);
		cpu->jc_key[class] = key;
	}
	cpu->jc_ready[class] = !(key & KEY_CODE32) &&
			       (class == HYP_TLB_USER ? !cpu->direct_on : (key & KEY_CPL0) != 0);
	return key;
}

/* Interrupted on the way to s.rip. */
static int interrupted(struct hyp_cpu *cpu)
{
	const struct hyp_itlb_entry *e = fetched_page(cpu, cpu->s.rip);

	if (e)
		hyp_heat(cpu, e->gpa);
	return X86_OK;
}

/* Goes to the direct entry of the block at s.rip. */
static int look_up_rip(struct hyp_cpu *cpu, u64 *code)
{
	u32 key = current_key(cpu);
	enum x86_ret ret;
	struct hyp_block *b;

	if (cpu->attention)
		return interrupted(cpu);
	if (hyp_direct_due(cpu))
		return X86_OK;
	b = find_block(cpu, cpu->s.rip, key, &ret);
	if (!b)
		return ret == X86_FAULT ? X86_FAULT : interpret(cpu);
	fill_jc(cpu, b);
	*code = code_at(cpu, b->direct);
	return GO_ON;
}

/* Where an indirect branch to s.rip would go: to a checked entry, which leaves again if it is not the one. */
static int go_to_rip(struct hyp_cpu *cpu, u64 *code)
{
	u64 cached = cpu->jc[key_class(current_key(cpu))][jc_index(cpu->s.rip)];

	if (cpu->attention || hyp_direct_due(cpu))
		return X86_OK;
	if (cached == cpu->jc_miss)
		return look_up_rip(cpu, code);
	cpu->scratch[4] = cpu->s.rip;
	*code = cached;
	return GO_ON;
}

static u64 missed_address(struct hyp_cpu *cpu, const struct hyp_site *site)
{
	const char *entries = (const char *)cpu->tlb[site->ac_part];
	const struct hyp_tlb_entry *e = (const struct hyp_tlb_entry *)(entries + cpu->scratch[5]);

	if (site->plain)
		return cpu->scratch[4];
	return cpu->scratch[4] + (site->write ? e->write_tag : e->read_tag);
}

/* Access to go on at host address p: what its code expects in S1 and S2. */
static void resume_access(struct hyp_cpu *cpu, const struct hyp_site *site, u64 gva, u8 *p)
{
	struct hyp_cell_ref *ref = (struct hyp_cell_ref *)cpu->scratch[3];

	cpu->scratch[4] = (u64)p;
	cpu->scratch[5] = 0;
	if (!site->plain)
		return;
	if (ref->based)
		cpu->scratch[5] = (u64)p - gva;
	hyp_cell_judge(cpu, ref, block_of(cpu, site), site);
}

/* What fails is the range, not yet an access: the instruction the check stands before is interpreted. */
static int give_check_up(struct hyp_cpu *cpu, const struct hyp_site *site, u64 cr2)
{
	struct hyp_block *b = block_of(cpu, site);

	cpu->s.cr2 = cr2;
	cpu->fault.type = X86_EVENT_NONE;
	hyp_cell_failed(cpu, b);
	return interpret(cpu);
}

static int site_check(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	struct hyp_cell_ref *ref = site->plain ? (struct hyp_cell_ref *)cpu->scratch[3] : NULL;
	struct hyp_block *b = block_of(cpu, site);
	u64 gva = missed_address(cpu, site), cr2 = cpu->s.cr2;
	struct hyp_fail fail;
	u8 *p = NULL;

	cpu->stats[HYP_STAT_tlb_miss]++;
	cpu->s.rip = b->pc + site->guest_off; /* now: the access may end in a guard (mem/guard.h) */
	sync_flags(cpu);
	if ((gva & ~PAGE_MASK) + site->size <= PAGE_SIZE)
		p = hyp_mem_ptr_size(cpu, gva, site->write ? X86_ACC_W : X86_ACC_R, site->size, &fail);
	if (p && site->write && unlikely(cpu->attention & HYP_ATTN_KICK))
		return X86_OK; /* the dirty ring is full */
	if (!p || b->dead || !hyp_cell_refill(cpu, ref, site, gva))
		return give_check_up(cpu, site, cr2);
	if (ref)
		hyp_cell_judge(cpu, ref, b, site);
	cpu->scratch[4] = (u64)p;
	*code = cpu->resume + sizeof(*site);
	return GO_ON;
}

/* The interpreter executes the instruction at s.rip, and execution goes on behind it. */
static int interpret_and_go_on(struct hyp_cpu *cpu, u64 *code)
{
	int ret = interpret(cpu);

	if (ret != X86_OK || cpu->attention || cpu->mmio.wn || hyp_must_interpret(cpu))
		return ret;
	cpu->ax_flags = flags_to_ax(cpu->s.rflags);
	return go_to_rip(cpu, code);
}

#define NOT_HAD 101

/* Goes on with the access, if its page can be had. NOT_HAD: fail->ret is why; X86_OK: it crosses the page. */
static int find_page(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code, struct hyp_fail *fail)
{
	struct hyp_block *b = block_of(cpu, site);
	u64 gva = missed_address(cpu, site);
	u8 *p;

	cpu->stats[HYP_STAT_tlb_miss]++;
	cpu->s.rip = b->pc + site->guest_off; /* now: the access may end in a guard (mem/guard.h) */
	sync_flags(cpu);
	fail->ret = X86_OK;
	if ((gva & ~PAGE_MASK) + site->size > PAGE_SIZE)
		return NOT_HAD;
	p = hyp_mem_ptr_size(cpu, gva, site->write ? X86_ACC_W : X86_ACC_R, site->size, fail);
	if (p && site->write && unlikely(cpu->attention & HYP_ATTN_KICK))
		return X86_OK; /* the dirty ring is full: the store waits */
	if (!p || b->dead)
		return NOT_HAD;
	resume_access(cpu, site, gva, p);
	*code = cpu->resume + sizeof(*site);
	return GO_ON;
}

static int site_mem(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	struct hyp_fail fail;
	int ret = find_page(cpu, site, code, &fail);

	if (likely(ret != NOT_HAD))
		return ret;
	if (fail.ret == X86_FAULT && cpu->fault.vector == X86_PF)
		return X86_FAULT;
	cpu->stats[HYP_STAT_mem_slow]++;
	cpu->fault.type = X86_EVENT_NONE;
	return interpret_and_go_on(cpu, code);
}

static int site_masked(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	u64 cr2 = cpu->s.cr2;
	struct hyp_fail fail;
	int ret = find_page(cpu, site, code, &fail);

	if (likely(ret != NOT_HAD))
		return ret;
	cpu->stats[HYP_STAT_mem_slow]++;
	cpu->fault.type = X86_EVENT_NONE;
	cpu->s.cr2 = cr2;
	return interpret_and_go_on(cpu, code);
}

static int site_interp(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	struct hyp_block *b = block_of(cpu, site);
	u32 generation = cpu->engine->generation;
	u64 next = b->pc + site->guest_off + site->size, resume = cpu->resume + sizeof(*site);
	bool ends = site->write; /* nothing follows in the block */
	int ret;

	cpu->s.rip = b->pc + site->guest_off;
	sync_flags(cpu);
	ret = interpret(cpu);
	if (ret != X86_OK)
		return ret;
	if (cpu->attention || cpu->mmio.wn || hyp_must_interpret(cpu))
		return X86_OK;
	cpu->ax_flags = flags_to_ax(cpu->s.rflags);
	if (cpu->s.rip == next && generation == cpu->engine->generation && !b->dead &&
	    b->key == hyp_block_key(cpu) && !ends) {
		*code = resume;
		return GO_ON;
	}
	return go_to_rip(cpu, code);
}

static int site_helper(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	const struct hyp_edge_site *e = (const struct hyp_edge_site *)site;
	const struct helper *h = &helpers[e->patch];
	struct hyp_block *b = block_of(cpu, site);
	u64 resume = cpu->resume + sizeof(*e);
	unsigned len = site->size, flags = h->flags;
	int ret;

	cpu->s.rip = b->pc + site->guest_off;
	sync_flags(cpu);
	ret = h->fn(cpu, e->target, len);
	if (flags & H_TAIL && likely(ret == X86_OK)) {
		*code = resume;
		return GO_ON;
	}
	if (unlikely(ret == HYP_HELPER_INTERP))
		ret = interpret(cpu);
	else if (unlikely(ret == HYP_HELPER_AGAIN))
		return X86_OK;
	else if ((ret == X86_OK || ret == X86_EXIT) && !(flags & H_RIP))
		cpu->s.rip = cpu->code_size == 64 ? cpu->s.rip + len : (u32)(cpu->s.rip + len);
	if (ret != X86_OK || cpu->attention || cpu->mmio.wn || hyp_must_interpret(cpu))
		return ret;
	cpu->ax_flags = flags_to_ax(cpu->s.rflags);
	if (flags & (H_ENDS | H_TAIL) || b->dead || cpu->s.rip != b->pc + site->guest_off + len)
		return go_to_rip(cpu, code);
	*code = resume;
	return GO_ON;
}

/*
 * An edge to a block that spans two pages is never linked: the second page may be mapped anew. The way out
 * becomes one through the jump cache, whose entries know about both pages: mov s1, target; jmp gs:[entry].
 */
static void edge_through_jc(struct hyp_cpu *cpu, const struct hyp_site *site, u64 target)
{
	struct emit e = { cpu->engine->rw + (cpu->resume - (u64)cpu->engine->rx) - HYP_LEAVE_CALL };

	e_mov_ri(&e, S1, target);
	e_jmp_gs(&e, jc_offset(site->ac_part, target));
}

static int site_edge(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	struct hyp_edge_site e = *(const struct hyp_edge_site *)site;
	struct hyp_engine *eng = cpu->engine;
	struct hyp_block *from = block_of(cpu, site), *b;
	u32 generation = eng->generation;
	enum x86_ret ret;

	cpu->s.rip = e.target;
	sync_flags(cpu);
	b = find_block(cpu, e.target, hyp_block_key(cpu), &ret);
	if (!b)
		return ret == X86_FAULT ? X86_FAULT : interpret(cpu);
	if (generation == eng->generation && b->gpa2 == TCACHE_NO_GPA && !from->dead &&
	    (from->gpa ^ b->gpa) >> PAGE_SHIFT == 0) {
		*(u32 *)(eng->rw + e.patch) = b->direct - (e.patch + 4);
		cpu->stats[HYP_STAT_links]++;
	} else if (generation == eng->generation && b->gpa2 != TCACHE_NO_GPA) {
		edge_through_jc(cpu, site, e.target);
		fill_jc(cpu, b);
	}
	*code = code_at(cpu, b->direct);
	return GO_ON;
}

static int site_poll(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	cpu->s.rip = ((const struct hyp_edge_site *)site)->target;
	sync_flags(cpu);
	hyp_heat(cpu, block_of(cpu, site)->gpa);
	if (cpu->turns < 0) {
		cpu->turns = HYP_TURNS;
		return go_to_rip(cpu, code);
	}
	cpu->stats[HYP_STAT_polls]++;
	return X86_OK;
}

static int site_jc_miss(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	cpu->stats[HYP_STAT_jc_miss]++;
	cpu->s.rip = cpu->scratch[4];
	sync_flags(cpu);
	return look_up_rip(cpu, code);
}

static int site_dead(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	struct hyp_block *old = block_of(cpu, site);
	u32 generation = cpu->engine->generation;
	u64 pc = old->pc;
	int ret;

	cpu->stats[HYP_STAT_dead]++;
	cpu->s.rip = pc;
	sync_flags(cpu);
	ret = look_up_rip(cpu, code);
	if (ret == GO_ON && generation == cpu->engine->generation &&
	    tcache_find_host(cpu->engine, *code)->gpa2 == TCACHE_NO_GPA) /* which is never linked */
		tcache_forward(cpu->engine, old, (u32)(*code - (u64)cpu->engine->rx));
	return ret;
}

/* The new block becomes a variant of those that are there (tcache_publish). */
static int site_changed(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code)
{
	u32 key = current_key(cpu);
	struct hyp_block *b;
	enum x86_ret ret;
	gpa_t gpa;
	u8 *host;

	cpu->stats[HYP_STAT_changed]++;
	cpu->s.rip = block_of(cpu, site)->pc;
	sync_flags(cpu);
	if (cpu->attention)
		return interrupted(cpu);
	host = hyp_mem_ptr(cpu, cpu->s.rip, X86_ACC_X, &gpa, &ret);
	if (!host)
		return ret == X86_FAULT ? X86_FAULT : interpret(cpu);
	if (tcache_limit_variants(cpu->engine, cpu->s.rip, gpa, key))
		hyp_note_moves(cpu->engine, cpu->s.rip);
	b = make_block(cpu, cpu->s.rip, gpa, host, key);
	if (!b)
		return interpret(cpu);
	if (b->checks != TCACHE_VARIANT)
		fill_jc(cpu, b);
	*code = code_at(cpu, b->direct);
	return GO_ON;
}

typedef int (*site_handler)(struct hyp_cpu *cpu, const struct hyp_site *site, u64 *code);

static const site_handler handlers[SITE_NR] = {
	[SITE_MEM] = site_mem,       [SITE_MASKED] = site_masked,   [SITE_CHECK] = site_check,
	[SITE_INTERP] = site_interp,   [SITE_EDGE] = site_edge,
	[SITE_POLL] = site_poll,     [SITE_JC_MISS] = site_jc_miss, [SITE_DEAD] = site_dead,
	[SITE_CHANGED] = site_changed, [SITE_HELPER] = site_helper,
};

/* signal.c has stored everything. */
static enum x86_ret left_by_signal(struct hyp_cpu *cpu)
{
	if (!cpu->host_fault && cpu->fault.type == X86_EVENT_NONE)
		return interpret(cpu);
	if (!cpu->host_fault)
		return X86_FAULT;
	cpu->s.exit.reason = HYP_EXIT_HOST_FAULT;
	cpu->s.exit.insn_len = 0;
	cpu->s.exit.host_fault.hva = cpu->host_fault;
	cpu->host_fault = 0;
	return X86_EXIT;
}

enum x86_ret hyp_run_translated(struct hyp_cpu *cpu)
{
	u64 code;
	int ret = go_to_rip(cpu, &code);

	cpu->ax_flags = flags_to_ax(cpu->s.rflags);
	while (ret == GO_ON) {
		const struct hyp_site *site;

		hyp_fpu_get(cpu);
		hyp_enter(cpu, code);
		if (!cpu->resume)
			return left_by_signal(cpu);
		site = (const struct hyp_site *)cpu->resume;
		ret = handlers[site->kind](cpu, site, &code);
	}
	return (enum x86_ret)ret;
}
