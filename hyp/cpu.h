/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyp's own view of an x86 virtual CPU. Private to hyp/.
 *
 * The vector rule. While translated code runs, and in every helper it calls, the guest's x87, SSE
 * and AVX state is live in the host's registers (cpu->fpu_live). Files listed as `guest_live` in
 * hyp/meson.build are compiled -mgeneral-regs-only and call nothing outside that list: no libc, no
 * Zydis. Everything else must be reached through hyp_fpu_put(), which saves the guest's vector
 * state into s.xsave and gives the host its default control words.
 */
#ifndef KUSE_HYP_CPU_H
#define KUSE_HYP_CPU_H

#include "hyp/sys/x86/state.h"

/* Counters (stats.inc). */
enum {
#define STAT(name, help) HYP_STAT_##name,
#include "hyp/stats.inc"
#undef STAT
	HYP_NSTATS
};

/* ---- soft TLB ---------------------------------------------------------------------------- */

/* One entry answers "may this page be read / written, and where is it on the host". The tags are
 * the page's linear address, or HYP_TLB_NONE, which no page of this slot has. write_tag stays NONE for
 * pages that must be seen on write: not dirty yet, with translated code, read-only, clean PTE. */
struct hyp_tlb_entry {
	u64 read_tag;
	u64 write_tag;
	u64 host; /* hva of the page */
	u64 gpa;  /* page's guest-physical address | HYP_TLBE_* */
};
/* Non-canonical with 48 and with 57 bits, and in another slot: a guest that uses this very address looks for
 * it elsewhere. */
#define HYP_TLB_NONE(slot) (0x8000000000000000ull | (u64)((slot) ^ 1u) << 12)
#define HYP_TLBE_GLOBAL 1ull
#define HYP_ITLBE_RW 2ull /* R/W is set on every level of the page's translation */
#define HYP_ITLBE_COMPARED 4ull /* its blocks were compared with its bytes since it is here */
#define HYP_TLB_BITS 13
#define HYP_TLB_SIZE (1 << HYP_TLB_BITS)
#define HYP_TLB_SLOT_SHIFT 5 /* log2(sizeof(struct hyp_tlb_entry)) */

/*
 * The page an access went to last, one cell for a place in translated code (or several that use the same
 * base register): tried before the soft TLB, whose entry it copies. Accesses through RSP share cell 0.
 * Empty: a tag no canonical page has, and an addend and a page with which every address faults, that one too.
 */
struct hyp_cell {
	u64 tag;    /* linear address of the page */
	u64 host;   /* hva of the page */
	u64 addend; /* host - tag */
	s32 misses; /* refills left until the place is judged (cell.c) */
	u32 since;  /* time of the last judgement, TSC / 1024 */
};
#define HYP_CELL_NO_TAG 0x8000000000000000ull
#define HYP_CELL_NO_HOST 0x4000000000000000ull /* host and addend: the sums are non-canonical */
static inline void hyp_cell_empty(struct hyp_cell *c)
{
	c->tag = HYP_CELL_NO_TAG;
	c->host = c->addend = HYP_CELL_NO_HOST;
}

#define HYP_CELL_SHIFT 5 /* log2(sizeof(struct hyp_cell)) */
#define HYP_CELLS 4096
#define HYP_CELL_STACK 0
#define HYP_MAX_CHECKS 48

enum { HYP_VEC_INDEX, HYP_VEC_DATA, HYP_VEC_MASK, HYP_VECS };
#define HYP_VEC_BYTES 64u

/* Large pages: 2 MiB of RAM in one piece on the host. Behind the soft TLB, for what missed there. */
struct hyp_large_entry {
	u64 tag;    /* linear address | HYP_LARGE_VALID; 0: empty */
	u8 *host;   /* of the first byte */
	gpa_t gpa;  /* | HYP_LARGE_WRITABLE | HYP_TLBE_GLOBAL */
	const struct hyp_region *region;
};
#define HYP_LARGE_SHIFT 21
#define HYP_LARGE_MASK (~((1ull << HYP_LARGE_SHIFT) - 1))
#define HYP_LARGE_SIZE 64 /* a bit each in large_used */
#define HYP_LARGE_VALID 1ull
#define HYP_LARGE_WRITABLE 4ull

/* Instruction fetches have their own small TLB. */
struct hyp_itlb_entry {
	u64 tag;
	u8 *host;
	gpa_t gpa; /* | HYP_TLBE_GLOBAL | HYP_ITLBE_RW | HYP_ITLBE_COMPARED */
};
#define HYP_ITLB_SIZE 256
#define HYP_REUSE_PAGES 64
#define HYP_CHECKED_PAGES 64

/* A short list of TLB slots; n > HYP_FILLS_MAX: too many to list. */
#define HYP_FILLS_MAX 1000
struct hyp_fills {
	u16 n;
	u16 slot[HYP_FILLS_MAX];
};

/* A kernel's calls and returns touch many places: with 4096 entries, creating a file missed 194 times. */
#define HYP_JC_SIZE 32768
#define HYP_JC_CLASSES 3 /* one per partition; between 64- and 32-bit code it is emptied */

/* Which partition the current privilege uses. */
enum hyp_tlb_part { HYP_TLB_KERNEL, HYP_TLB_KERNEL_AC, HYP_TLB_USER, HYP_TLB_PARTS };

/* What cpu->mode says. 16 or 32 bits of code size are in code_size. */
enum hyp_mode { HYP_MODE_REAL, HYP_MODE_VM86, HYP_MODE_PROT, HYP_MODE_COMPAT, HYP_MODE_LONG };

/* ---- attention word bits ------------------------------------------------------------------ */
#define HYP_ATTN_KICK 1u       /* hyp_cpu_kick */
#define HYP_ATTN_FLUSH 2u      /* hyp_x86_request_flush_tlb */
#define HYP_ATTN_SYNC 4u       /* another thread waits until this CPU is out of its map */
#define HYP_ATTN_IRQ_WINDOW 8u /* want_irq_window and IF may have become 1 */
#define HYP_ATTN_INVAL 32u     /* code pages to drop are queued */

/* ---- results of one instruction ------------------------------------------------------------ */
enum x86_ret {
	X86_OK = 0, /* retired; rip is at the next instruction */
	X86_FAULT,  /* cpu->fault holds an exception, state is as before the instruction */
	X86_EXIT,   /* s.exit is filled */
};

/* ---- accesses ---------------------------------------------------------------------------- */
#define X86_ACC_R 1u
#define X86_ACC_W 2u
#define X86_ACC_X 4u
#define X86_ACC_SUPER 8u /* implicit supervisor access (descriptor tables, TSS): CPL 0, SMAP ignores AC */
#define X86_ACC_USER 16u /* act as CPL 3 whatever CPL is */

struct hyp_cpu {
	struct x86_state s;

	/* the words emitted code touches most, on one line */
	u32 attention __attribute__((aligned(64)));
	u32 df;         /* 0 or 0x400: the guest's DF; the host's DF stays 0 */
	u64 scratch[8]; /* spill slots of emitted code; 2, 3, 6: cell stubs; 4, 5: S1 and S2 outside */
	/* FS, GS in 32-bit code: the first offset beyond a writable data segment that does not expand down; 0:
	 * another kind of segment, the interpreter's. */
	u64 seg_end[2];
	u64 addend[HYP_MAX_CHECKS]; /* host - linear address, of a block's planned checks without a cell */
	u8 vec[HYP_VECS][HYP_VEC_BYTES] __attribute__((aligned(64))); /* registers of a gather (helpers_vec.c) */
	/* direct execution of user code (direct/x86/direct.h) */
	bool direct_on;     /* the current address space is one for it */
	bool direct_armed;  /* and this stretch of user code is not an exception */
	s32 direct_pid;     /* atomic: the process that runs user code of ours right now, 0: none */
	u32 direct_gen;     /* counts flushes of the soft TLB */
	u32 direct_detour;  /* instructions left to interpret on a page that may not run directly (run.c) */
	gva_t direct_detour_page;
	u32 n_direct_page;  /* flushed one by one since */
	gva_t direct_page[16];
	u32 n_direct_changed;  /* pages whose mappings are to go; more than fit: all */
	gpa_t direct_changed[8];
	struct hyp_direct *direct; /* NULL: never */
	u32 kernel_entries; /* system calls and events so far */
	s32 turns;      /* backward branches of code without cells until the next look (heat.c) */
	u64 host_rsp;   /* stack of hyp_enter while translated code runs */
	u64 resume;     /* where emitted code called hyp_leave from */
	u64 ax_flags;   /* guest arithmetic flags: AH as LAHF has them, AL = OF */
	u64 host_gs;    /* the thread's GS base outside hyp_cpu_run */

	/* Exception raised by the current instruction, delivered by the run loop. */
	struct x86_event fault;
	bool fpu_live; /* guest vector state is in host registers */
	bool in_run;   /* inside hyp_cpu_run */
	bool dead;
	u8 doing; /* enum hyp_doing where C code says so, 0: as the site says that was left from (sample.c) */
	u64 host_fault; /* host address that a translated instruction could not access, 0: none */
	u8 want_sync; /* set by a thread that waits in hyp_as_sync */
	u8 mode;      /* enum hyp_mode, see hyp_x86_state_changed */
	u8 tlb_part;  /* partition of the current CPL/AC */
	u8 code_size; /* 16, 32 or 64 */
	u8 flat;      /* code for the translator: 64-bit, or 32-bit with CS DS ES SS all usable, base 0,
	                      limit 4 GiB, CS readable, DS ES SS writable and SS.B: no segment checks needed
	                      but on FS and GS */

	/* A read from MMIO or a port, answered by KVM, on which the instruction at rip is re-run. */
	struct {
		u8 n;          /* answered pieces */
		u8 next;       /* next piece to use in this re-run */
		bool io_ready; /* ins_data is the answer for the INS at rip */
		struct {
			gpa_t gpa;
			u8 len;
			u8 data[8];
		} piece[16];
		/* writes to MMIO that the retired instruction made, leaving one exit at a time */
		u8 wn, wnext;
		struct {
			gpa_t gpa;
			u8 len;
			u8 data[8];
		} wpiece[16];
	} mmio;

	struct hyp_as *as;
	struct hyp_cpu *as_next;   /* as->cpus */
	const struct hyp_map *map; /* snapshot in use; NULL outside hyp_cpu_run */
	u32 last_region;           /* where in map, a guess */
	u32 view;                  /* which of the address space's maps */
	u32 id;
	/* gpa pages whose translations another thread asked to drop (HYP_ATTN_INVAL) */
	struct {
		bool overflow;
		gpa_t page[64];
	} inval;
	u64 storing; /* mem/store.c: filter of pages; atomic, own thread writes */
	/* pages with translations that are written to, by page number (mem/reuse.c) */
	struct hyp_reuse {
		u64 page;   /* number + 1; 0: free */
		u32 stores; /* that hit no translation, since the last that did */
		u32 limit;  /* stores after which the mark goes */
		u64 when;   /* host TSC when it went last */
		bool gone;  /* it is not known to have come back since */
		u8 checks;  /* times that its code came to check itself, soon after each other */
		u32 hits;   /* stores that did hit a translation */
		u64 since;  /* host TSC when the last HYP_CHECK_HITS of them began */
		u64 calm;   /* when its code ceased to check itself */
	} reuse[HYP_REUSE_PAGES];
	/* pages whose code checks itself because this CPU stored to it: until when (host TSC) */
	struct hyp_checked {
		gpa_t gpa;
		u64 until;
	} checked[HYP_CHECKED_PAGES];
	u32 n_checked;
	u64 calm_at; /* the least of `until` */
	struct hyp_engine *engine; /* rewrite/x86: code cache, jump cache */
	struct x86_interp *interp; /* sys/x86/interp.c: decode cache, stubs; x86_interp_make() */
	u64 *stats; /* [HYP_NSTATS], own_stats or where hyp_stats_move said */
	u64 own_stats[HYP_NSTATS];

	struct hyp_itlb_entry itlb[HYP_TLB_PARTS][HYP_ITLB_SIZE];
	struct hyp_tlb_entry tlb[HYP_TLB_PARTS][HYP_TLB_SIZE] __attribute__((aligned(64)));
	struct hyp_large_entry large[HYP_TLB_PARTS][HYP_LARGE_SIZE];
	u64 large_used[HYP_TLB_PARTS];
	/* Code addresses by hash of the target's linear address, one table per block class: where an
	 * indirect or page-crossing branch goes. The target checks that it is the right one. */
	u64 jc[HYP_JC_CLASSES][HYP_JC_SIZE];
	/* Filters, one bit per hash of a page number: pages that jc entries lie in, 2 MiB areas that
	 * soft-TLB entries were filled from large pages in. */
	u64 jc_pages[HYP_TLB_PARTS][64];
	u64 jc_low[HYP_TLB_PARTS], jc_high[HYP_TLB_PARTS]; /* lowest and highest of these pages */
	u64 large_areas[HYP_TLB_PARTS][64];
	u32 jc_key[HYP_JC_CLASSES];        /* block key that the entries of a class were made under */
	bool jc_ready[HYP_JC_CLASSES];     /* jc_key is the key that 64-bit code of this class has (fast.c) */
	bool jc_nonglobal;                 /* the kernel partition's jc has entries on non-global pages */
	u64 huge_areas[HYP_TLB_PARTS][64]; /* the same for 1 GiB areas and 4 MiB or 1 GiB pages */
	struct hyp_cell cell[HYP_TLB_PARTS][HYP_CELLS] __attribute__((aligned(64)));
	/* Slots filled since the last flush that MOV CR3 has to empty, so that it need not visit all. */
	struct hyp_fills tlb_fills[HYP_TLB_PARTS], itlb_fills[HYP_TLB_PARTS], jc_fills[HYP_TLB_PARTS];
	struct hyp_fills cell_fills[HYP_TLB_PARTS];
	u64 jc_miss; /* where empty jc entries lead */
	u64 jc_mask; /* operand of the PEXT that indexes jc */
};

/* As emitted code computes it (x_check): address bits 12-22 and 23-33 folded, so that arrays a power of two
 * apart do not fight for one slot. */
static inline unsigned hyp_tlb_slot(gva_t gva)
{
	return (gva >> PAGE_SHIFT ^ gva >> (PAGE_SHIFT + HYP_TLB_BITS)) & (HYP_TLB_SIZE - 1);
}

static inline void hyp_fills_add(struct hyp_fills *f, unsigned slot)
{
	if (f->n < HYP_FILLS_MAX)
		f->slot[f->n] = (u16)slot;
	if (f->n <= HYP_FILLS_MAX)
		f->n++;
}

/* Sets attention bits of any CPU, from any thread or signal handler. A CPU that runs user code directly does
 * not poll them, and is signalled. Guest-live. */
void hyp_direct_kick(s32 pid);
static inline void hyp_attend(struct hyp_cpu *cpu, u32 bits)
{
	s32 pid;

	__atomic_fetch_or(&cpu->attention, bits, __ATOMIC_SEQ_CST);
	pid = __atomic_load_n(&cpu->direct_pid, __ATOMIC_SEQ_CST);
	if (unlikely(pid))
		hyp_direct_kick(pid);
}

/* Mappings of direct execution, a part of the soft TLB, are to be walked again: all, or gva's page.
 * Guest-live. */
static inline void hyp_direct_flush(struct hyp_cpu *cpu)
{
	cpu->direct_gen++;
	if (cpu->direct)
		cpu->jc_ready[HYP_TLB_USER] = false; /* another address space: SYSRET to it is a matter of policy */
}

static inline void hyp_direct_flush_page(struct hyp_cpu *cpu, gva_t gva)
{
	if (cpu->n_direct_page < 16)
		cpu->direct_page[cpu->n_direct_page++] = gva;
	else
		cpu->direct_gen++;
}

/* A page of code was stored to, or one with write entries is to be code: its direct mappings go.
 * Guest-live. */
static inline void hyp_direct_page_changed(struct hyp_cpu *cpu, gpa_t gpa)
{
	if (cpu->direct && cpu->n_direct_changed < ARRAY_SIZE(cpu->direct_changed))
		cpu->direct_changed[cpu->n_direct_changed] = gpa & PAGE_MASK;
	cpu->n_direct_changed += cpu->n_direct_changed <= ARRAY_SIZE(cpu->direct_changed);
}

/* Something that block keys depend on may have changed. */
static inline void hyp_keys_changed(struct hyp_cpu *cpu)
{
	for (unsigned i = 0; i < HYP_JC_CLASSES; i++)
		cpu->jc_ready[i] = false;
}

/* Saves live guest vector state to s.xsave; afterwards ordinary C may run. Idempotent. */
void hyp_fpu_put(struct hyp_cpu *cpu);

struct hyp_fail {
	enum x86_ret ret;
	gpa_t gpa;
};

/* ---- hyp/mem: translation of addresses ------------------------------------------------------ */

/*
 * Host pointer for an access to [gva, gva+1) that may be used up to the end of gva's page.
 * acc: X86_ACC_*. Fills the soft TLB. On failure returns NULL and sets *ret:
 *   X86_FAULT  #PF or #GP (non-canonical: #SS is the caller's to rewrite) is in cpu->fault
 *   X86_EXIT   no RAM there (or write to read-only): *gpa is the guest-physical address. Nothing is
 *              put in s.exit; x86_mem_read/x86_mem_write make the MMIO exit.
 * For a write to a page with translated code, the translations are dropped first.
 * Guest-live.
 */
u8 *hyp_mem_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, gpa_t *gpa, enum x86_ret *ret);

/* The same for an access of `size` bytes: drops only the translations it overlaps. Guest-live. */
u8 *hyp_mem_ptr_size(struct hyp_cpu *cpu, gva_t gva, unsigned acc, unsigned size, struct hyp_fail *fail);

/* Physical accesses of the page walker and of descriptor/TSS loads. NULL where there is no RAM. The
 * pointer is valid up to the end of the page. Guest-live. */
u8 *hyp_phys_ptr(struct hyp_cpu *cpu, gpa_t gpa, bool write);

/*
 * What a walk for a direct mapping of gva's page finds; nothing is cached. With X86_ACC_PEEK in acc a page
 * that was not accessed yet is not found, and stays so. write asks for p->write: may it be mapped writable
 * (it is dirty, in the guest's tables and in the log, and has no code)? The page counts as one with a write
 * entry then. False: not for this access. Guest-live.
 */
struct hyp_probe {
	u8 *host;   /* of the page */
	bool write;
	bool rw;    /* R/W is set on every level */
	bool large; /* a page of 2 MiB or more, and RAM in one piece on the host around gva */
	gpa_t gpa;
};
bool hyp_tlb_probe(struct hyp_cpu *cpu, gva_t gva, unsigned acc, bool write, struct hyp_probe *p);
/* As p->write, for all of the 2 MiB around gpa. */
bool hyp_tlb_probe_large(struct hyp_cpu *cpu, gpa_t gpa);

void hyp_tlb_flush_all(struct hyp_cpu *cpu);             /* every entry, global too. Guest-live */
void hyp_tlb_flush_nonglobal(struct hyp_cpu *cpu);       /* MOV CR3. Guest-live */
void hyp_tlb_flush_page(struct hyp_cpu *cpu, gva_t gva); /* INVLPG. Guest-live */
void hyp_cells_drop(struct hyp_cpu *cpu, unsigned part);  /* empties a partition's cells. Guest-live */

/* Records that a jc entry was made for code at pc (see jc_pages). Guest-live. */
void hyp_jc_reset(struct hyp_cpu *cpu, unsigned part); /* drops a partition's jc entries. Guest-live */
void hyp_jc_note(struct hyp_cpu *cpu, unsigned part, gva_t pc, bool global);
void hyp_jc_set(struct hyp_cpu *cpu, unsigned part, unsigned slot, u64 code); /* Guest-live */

/* Recomputes mode, code_size, tlb_part from CS, SS, CR0, EFER, RFLAGS; no flush. Guest-live. */
void hyp_mode_update(struct hyp_cpu *cpu);

#endif
