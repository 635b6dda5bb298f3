/* SPDX-License-Identifier: Apache-2.0 */
/* What mode the CPU is in, and the state it starts in (SDM vol. 3, table 10-1). */
#include "hyp/direct/x86/direct.h"
#include "hyp/sys/x86/desc.h"

#define XSAVE_FCW 0
#define XSAVE_MXCSR 24

struct x86_state *hyp_x86_state(struct hyp_cpu *cpu)
{
	return &cpu->s;
}

static enum hyp_mode current_mode(const struct x86_state *s)
{
	if (x86_long_active(s))
		return s->seg[X86_CS].ar & X86_AR_L ? HYP_MODE_LONG : HYP_MODE_COMPAT;
	if (!(s->cr0 & X86_CR0_PE))
		return HYP_MODE_REAL;
	return s->rflags & X86_FL_VM ? HYP_MODE_VM86 : HYP_MODE_PROT;
}

static u8 current_part(const struct x86_state *s, enum hyp_mode mode)
{
	if (mode != HYP_MODE_REAL && x86_cpl(s) == 3)
		return HYP_TLB_USER;
	return (s->cr4 & X86_CR4_SMAP) && (s->rflags & X86_FL_AC) ? HYP_TLB_KERNEL_AC : HYP_TLB_KERNEL;
}

static bool seg_is_flat(const struct x86_seg *seg, u32 need)
{
	return !seg->base && seg->limit == 0xffffffff && (seg->ar & (need | X86_AR_UNUSABLE)) == need;
}

/* Expand-down (type bit 2) with limit 4 GiB has no valid byte, so it is not flat. */
static bool is_flat(const struct x86_state *s)
{
	const u32 data = X86_AR_S | X86_AR_TYPE_WRITE, code = data | X86_AR_TYPE_CODE;
	const u32 not_data = X86_AR_TYPE_CODE | X86_AR_TYPE_CONFORMING;
	const struct x86_seg *ds = &s->seg[X86_DS], *es = &s->seg[X86_ES], *ss = &s->seg[X86_SS];

	return seg_is_flat(&s->seg[X86_CS], code) && seg_is_flat(ss, data | X86_AR_DB) &&
	       seg_is_flat(ds, data) && seg_is_flat(es, data) && !((ds->ar | es->ar | ss->ar) & not_data);
}

static u64 seg_end(const struct x86_seg *seg)
{
	bool plain = (seg->ar & (X86_AR_S | X86_AR_UNUSABLE | X86_AR_TYPE_CODE | X86_AR_TYPE_CONFORMING |
				 X86_AR_TYPE_WRITE)) == (X86_AR_S | X86_AR_TYPE_WRITE);

	return plain ? seg->limit + 1ull : 0;
}

void hyp_mode_update(struct hyp_cpu *cpu)
{
	const struct x86_state *s = &cpu->s;
	enum hyp_mode mode = current_mode(s);

	cpu->mode = mode;
	cpu->tlb_part = current_part(s, mode);
	if (likely(mode == HYP_MODE_LONG)) {
		cpu->code_size = 64;
		cpu->flat = true;
		if (cpu->direct && cpu->tlb_part == HYP_TLB_USER)
			hyp_direct_user(cpu);
		return;
	}
	cpu->code_size = s->seg[X86_CS].ar & X86_AR_DB ? 32 : 16;
	cpu->flat = cpu->code_size == 32 && mode >= HYP_MODE_PROT && is_flat(s);
	cpu->seg_end[0] = seg_end(&s->seg[X86_FS]);
	cpu->seg_end[1] = seg_end(&s->seg[X86_GS]);
}

static void zero_bytes(void *p, unsigned len)
{
	volatile u8 *b = p; /* volatile: the compiler shall not make a memset call of it */

	while (len--)
		*b++ = 0;
}

static void reset_segments(struct x86_state *s)
{
	for (unsigned i = 0; i < X86_NSEG; i++)
		s->seg[i] = (struct x86_seg){ .limit = 0xffff, .ar = X86_AR_P | X86_AR_S | 0x3 };
	s->seg[X86_CS].sel = 0xf000;
	s->seg[X86_CS].base = 0xffff0000;
	s->seg[X86_CS].ar |= X86_AR_TYPE_CODE;
	s->seg[X86_LDTR].ar = X86_AR_P | X86_DT_LDT;
	s->seg[X86_TR].ar = X86_AR_P | X86_DT_TSS_BUSY;
	s->gdtr = s->idtr = (struct x86_dtable){ .limit = 0xffff };
}

/* State that INIT leaves alone: MSRs and FPU. */
static void reset_power_on(struct x86_state *s)
{
	s->star = s->lstar = s->cstar = s->sfmask = s->kernel_gs_base = 0;
	s->sysenter_cs = s->sysenter_esp = s->sysenter_eip = 0;
	s->tsc_aux = s->xss = 0;
	s->pat = 0x0007040600070406ull;
	s->xcr0 = 1;
	s->tsc_offset = 0;
	s->tsc_ratio = 1ull << 48;
	zero_bytes(s->xsave, sizeof(s->xsave));
	*(u16 *)(s->xsave + XSAVE_FCW) = 0x37f; /* as after FNINIT, which Linux KVM starts a vCPU with */
	*(u32 *)(s->xsave + XSAVE_MXCSR) = 0x1f80;
}

/* What a CPU may do before KVM_SET_CPUID told it; afterwards these are KVM's. */
static void default_features(struct x86_state *s)
{
	if (!s->cr0_valid)
		s->cr0_valid = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |
			       X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG;
	if (!s->cr4_valid)
		s->cr4_valid = 0x7ff; /* VME to OSXMMEXCPT */
	if (!s->maxphyaddr)
		s->maxphyaddr = 36;
	if (!s->maxlinaddr)
		s->maxlinaddr = 48;
}

void hyp_x86_reset(struct hyp_cpu *cpu, bool init)
{
	struct x86_state *s = &cpu->s;
	u64 cache_bits = init ? s->cr0 & (X86_CR0_CD | X86_CR0_NW) : X86_CR0_CD | X86_CR0_NW;

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = s->dr[i & 3] = 0;
	s->gpr[X86_RDX] = 0x600;
	s->rip = 0xfff0;
	s->rflags = 2;
	reset_segments(s);
	s->cr0 = X86_CR0_ET | cache_bits;
	s->cr2 = s->cr3 = s->cr4 = s->cr8 = s->efer = 0;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->shadow = 0;
	s->nmi_blocked = s->in_smm = false;
	s->inject.type = cpu->fault.type = X86_EVENT_NONE;
	if (!init)
		reset_power_on(s);
	default_features(s);
	cpu->df = 0;
	hyp_x86_abort_access(cpu);
	hyp_x86_state_changed(cpu);
}
