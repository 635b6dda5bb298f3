/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register ioctls: REGS, SREGS, SREGS2, FPU, XSAVE, XCRS, DEBUGREGS, and KVM_CAP_SYNC_REGS. Layouts are the
 * UAPI's on one side and x86_state's on the other; what Linux refuses is refused before anything is set.
 */
#include <string.h>
#include "arch/x86/x86.h"

/* ---- general registers -------------------------------------------------------------------------- */

/* struct kvm_regs starts with rax rbx rcx rdx rsi rdi rsp rbp r8..r15. */
static const u8 regs_order[16] = { X86_RAX, X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RSP, X86_RBP,
				   X86_R8,  X86_R9,  X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15 };
_Static_assert(offsetof(struct kvm_regs, r15) == 15 * 8 && offsetof(struct kvm_regs, rip) == 16 * 8,
	       "kvm_regs");

static void get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
	struct x86_state *s = x86s(vcpu);
	u64 *r = (u64 *)regs;

	for (int i = 0; i < 16; i++)
		r[i] = s->gpr[regs_order[i]];
	regs->rip = s->rip;
	regs->rflags = s->rflags;
}

static void set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	struct x86_state *s = x86s(vcpu);
	const u64 *r = (const u64 *)regs;

	for (int i = 0; i < 16; i++)
		s->gpr[regs_order[i]] = r[i];
	s->rip = regs->rip;
	s->rflags = regs->rflags | 2;
	vcpu->arch.exception.pending = false;
	hyp_x86_state_changed(vcpu->hyp);
	kvm_make_request(KVM_REQ_EVENT, vcpu);
}

/* ---- segments and control registers ---------------------------------------------------------------- */

static void get_segment(const struct x86_seg *s, struct kvm_segment *k)
{
	*k = (struct kvm_segment){ .base = s->base, .limit = s->limit, .selector = s->sel, .type = s->ar & 15,
				   .present = !!(s->ar & X86_AR_P), .dpl = (s->ar >> 5) & 3, .db = !!(s->ar & X86_AR_DB),
				   .s = !!(s->ar & X86_AR_S), .l = !!(s->ar & X86_AR_L), .g = !!(s->ar & X86_AR_G),
				   .avl = !!(s->ar & X86_AR_AVL), .unusable = !!(s->ar & X86_AR_UNUSABLE) };
	if (k->unusable)
		k->present = 0;
}

static void set_segment(struct x86_seg *s, const struct kvm_segment *k)
{
	s->base = k->base;
	s->limit = k->limit;
	s->sel = k->selector;
	s->ar = (k->type & 15u) | (k->s ? X86_AR_S : 0) | ((k->dpl & 3u) << 5) | (k->present ? X86_AR_P : 0) |
		(k->avl ? X86_AR_AVL : 0) | (k->l ? X86_AR_L : 0) | (k->db ? X86_AR_DB : 0) |
		(k->g ? X86_AR_G : 0) | (k->unusable || !k->present ? X86_AR_UNUSABLE : 0);
}

/* kvm_sregs: cs ds es fs gs ss tr ldt */
static const u8 sregs_order[8] = { X86_CS, X86_DS, X86_ES, X86_FS, X86_GS, X86_SS, X86_TR, X86_LDTR };
_Static_assert(offsetof(struct kvm_sregs, ldt) == 7 * sizeof(struct kvm_segment), "kvm_sregs");
_Static_assert(offsetof(struct kvm_sregs2, apic_base) == offsetof(struct kvm_sregs, apic_base), "kvm_sregs2");

static void get_sregs_common(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	struct x86_state *s = x86s(vcpu);

	for (int i = 0; i < 8; i++)
		get_segment(&s->seg[sregs_order[i]], &(&sregs->cs)[i]);
	sregs->idt.base = s->idtr.base;
	sregs->idt.limit = s->idtr.limit;
	sregs->gdt.base = s->gdtr.base;
	sregs->gdt.limit = s->gdtr.limit;
	sregs->cr0 = s->cr0;
	sregs->cr2 = s->cr2;
	sregs->cr3 = s->cr3;
	sregs->cr4 = s->cr4;
	sregs->cr8 = lapic_in_kernel(vcpu) ? kvm_lapic_get_cr8(vcpu) : s->cr8;
	sregs->efer = s->efer;
	sregs->apic_base = vcpu->arch.apic_base;
}

static void get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	memset(sregs, 0, sizeof(*sregs));
	get_sregs_common(vcpu, sregs);
	if (vcpu->arch.interrupt.injected && !vcpu->arch.interrupt.soft)
		sregs->interrupt_bitmap[vcpu->arch.interrupt.nr / 64] |=
			BIT_ULL(vcpu->arch.interrupt.nr % 64);
}

static bool is_pae_paging(const struct x86_state *s)
{
	return !(s->efer & X86_EFER_LMA) && (s->cr4 & X86_CR4_PAE) && (s->cr0 & X86_CR0_PG);
}

#define SREGS2_PDPTRS_VALID 1ull

static void get_sregs2(struct kvm_vcpu *vcpu, struct kvm_sregs2 *sregs)
{
	struct x86_state *s = x86s(vcpu);

	memset(sregs, 0, sizeof(*sregs));
	get_sregs_common(vcpu, (struct kvm_sregs *)sregs);
	if (is_pae_paging(s) &&
	    !kvm_vcpu_read_guest(vcpu, s->cr3 & ~31ull, sregs->pdptrs, sizeof(sregs->pdptrs)))
		sregs->flags |= SREGS2_PDPTRS_VALID;
}

static bool paging_modes_agree(struct kvm_vcpu *vcpu, const struct kvm_sregs *r)
{
	if ((r->efer & X86_EFER_LME) && (r->cr0 & X86_CR0_PG)) {
		/* 64-bit paging without PAE, or with LMA clear, cannot be entered. */
		if (!(r->cr4 & X86_CR4_PAE) || !(r->efer & X86_EFER_LMA))
			return false;
		return !(r->cr3 & (~(BIT_ULL(x86s(vcpu)->maxphyaddr) - 1) & ~BIT_ULL(63)));
	}
	return !(r->efer & X86_EFER_LMA) && !r->cs.l;
}

static bool sregs_valid(struct kvm_vcpu *vcpu, const struct kvm_sregs *r)
{
	struct x86_state *s = x86s(vcpu);

	if (!paging_modes_agree(vcpu, r) || (r->cr4 & ~s->cr4_valid))
		return false;
	if ((r->cr0 >> 32) || ((r->cr0 & X86_CR0_NW) && !(r->cr0 & X86_CR0_CD)))
		return false;
	return !((r->cr0 & X86_CR0_PG) && !(r->cr0 & X86_CR0_PE));
}

static int set_sregs_common(struct kvm_vcpu *vcpu, const struct kvm_sregs *r)
{
	struct x86_state *s = x86s(vcpu);

	if (!sregs_valid(vcpu, r) || kvm_set_apic_base(vcpu, r->apic_base, true))
		return -EINVAL;
	for (int i = 0; i < 8; i++)
		set_segment(&s->seg[sregs_order[i]], &(&r->cs)[i]);
	s->idtr = (struct x86_dtable){ r->idt.base, r->idt.limit };
	s->gdtr = (struct x86_dtable){ r->gdt.base, r->gdt.limit };
	s->cr2 = r->cr2;
	s->cr3 = r->cr3;
	s->cr0 = r->cr0 | X86_CR0_ET;
	s->cr4 = r->cr4;
	s->efer = r->efer;
	s->cr8 = r->cr8 & 15;
	if (lapic_in_kernel(vcpu))
		kvm_lapic_set_tpr(vcpu, s->cr8);
	hyp_x86_state_changed(vcpu->hyp);
	hyp_x86_flush_tlb(vcpu->hyp);
	/* Older user space does not set MP_STATE: a boot CPU at the reset vector in real mode may run. */
	if (kvm_vcpu_is_bsp(vcpu) && s->rip == 0xfff0 && r->cs.selector == 0xf000 &&
	    r->cs.base == 0xffff0000 && !(s->cr0 & X86_CR0_PE))
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 0;
}

static int highest_bit(const u64 *map)
{
	for (int i = 3; i >= 0; i--)
		if (map[i])
			return i * 64 + 63 - __builtin_clzll(map[i]);
	return -1;
}

static int set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *r)
{
	int ret = set_sregs_common(vcpu, r), vector = highest_bit((const u64 *)r->interrupt_bitmap);

	if (!ret && vector >= 0)
		vcpu->arch.interrupt = (struct kvm_queued_interrupt){ .injected = true, .nr = (u8)vector };
	return ret;
}

static int set_sregs2(struct kvm_vcpu *vcpu, const struct kvm_sregs2 *r)
{
	bool pae = (r->cr0 & X86_CR0_PG) && (r->cr4 & X86_CR4_PAE) && !(r->efer & X86_EFER_LMA);

	if (r->flags & ~SREGS2_PDPTRS_VALID)
		return -EINVAL;
	if ((r->flags & SREGS2_PDPTRS_VALID) && !pae)
		return -EINVAL;
	return set_sregs_common(vcpu, (const struct kvm_sregs *)r);
}

/* ---- x87, SSE, AVX ------------------------------------------------------------------------------------- */

/* The legacy region of the XSAVE area (SDM vol. 1, 10.5.1); MXCSR at 24, ST at 32, XMM at 160. */
struct fxsave {
	u16 fcw, fsw;
	u8 ftw, rsvd;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
	u8 unused[96];
};
_Static_assert(sizeof(struct fxsave) == 512, "FXSAVE area");
#define XSTATE_BV 512 /* offset of the header's XSTATE_BV */
#define XCOMP_BV 520

static u64 *xstate_bv(struct kvm_vcpu *vcpu)
{
	return (u64 *)(x86s(vcpu)->xsave + XSTATE_BV);
}

static void get_fpu(struct kvm_vcpu *vcpu, struct kvm_fpu *fpu)
{
	const struct fxsave *f = (const struct fxsave *)x86s(vcpu)->xsave;

	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, f->st, sizeof(fpu->fpr));
	fpu->fcw = f->fcw;
	fpu->fsw = f->fsw;
	fpu->ftwx = f->ftw;
	fpu->last_opcode = f->fop;
	fpu->last_ip = f->fip;
	fpu->last_dp = f->fdp;
	memcpy(fpu->xmm, f->xmm, sizeof(fpu->xmm));
	fpu->mxcsr = f->mxcsr;
}

static void set_fpu(struct kvm_vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct fxsave *f = (struct fxsave *)x86s(vcpu)->xsave;

	memcpy(f->st, fpu->fpr, sizeof(fpu->fpr));
	f->fcw = fpu->fcw;
	f->fsw = fpu->fsw;
	f->ftw = fpu->ftwx;
	f->fop = fpu->last_opcode;
	f->fip = fpu->last_ip;
	f->fdp = fpu->last_dp;
	memcpy(f->xmm, fpu->xmm, sizeof(fpu->xmm));
	f->mxcsr = fpu->mxcsr & 0xffff;
	*xstate_bv(vcpu) |= 3;
}

static void get_xsave(struct kvm_vcpu *vcpu, u8 *out, size_t size)
{
	const u8 *area = x86s(vcpu)->xsave;
	size_t have = MIN((size_t)kvm_xstate_size(kvm_supported_xcr0()), (size_t)X86_XSAVE_MAX);

	memset(out, 0, size);
	memcpy(out, area, MIN(size, have));
}

static int set_xsave(struct kvm_vcpu *vcpu, const u8 *in, size_t size)
{
	size_t have = MIN((size_t)kvm_xstate_size(kvm_supported_xcr0()), (size_t)X86_XSAVE_MAX);
	u64 bv, xcomp;
	u32 mxcsr;

	memcpy(&bv, in + XSTATE_BV, 8);
	memcpy(&xcomp, in + XCOMP_BV, 8);
	memcpy(&mxcsr, in + 24, 4);
	if ((bv & ~kvm_supported_xcr0()) || xcomp || (mxcsr & ~0x2ffffu))
		return -EINVAL;
	memcpy(x86s(vcpu)->xsave, in, MIN(size, have));
	return 0;
}

static void get_xcrs(struct kvm_vcpu *vcpu, struct kvm_xcrs *x)
{
	memset(x, 0, sizeof(*x));
	x->nr_xcrs = 1;
	x->xcrs[0].value = x86s(vcpu)->xcr0;
}

/* XSETBV's rules (SDM vol. 1, 13.3). 0, or 1: #GP. */
int kvm_set_xcr0(struct kvm_vcpu *vcpu, u64 xcr0)
{
	struct x86_state *s = x86s(vcpu);

	if (!(xcr0 & 1) || ((xcr0 & 4) && !(xcr0 & 2)) || (xcr0 & ~(s->xcr0_valid | 1)))
		return 1;
	if ((xcr0 & 0xe0) && (!(xcr0 & 4) || (xcr0 & 0xe0) != 0xe0))
		return 1;
	s->xcr0 = xcr0;
	return 0;
}

static int set_xcrs(struct kvm_vcpu *vcpu, const struct kvm_xcrs *x)
{
	if (x->nr_xcrs > KVM_MAX_XCRS || x->flags)
		return -EINVAL;
	for (u32 i = 0; i < x->nr_xcrs; i++)
		if (x->xcrs[i].xcr == 0)
			return kvm_set_xcr0(vcpu, x->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

/* ---- debug registers ---- */

static void get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *d)
{
	struct x86_state *s = x86s(vcpu);

	memset(d, 0, sizeof(*d));
	for (int i = 0; i < 4; i++)
		d->db[i] = s->dr[i];
	d->dr6 = s->dr6;
	d->dr7 = s->dr7;
}

static int set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *d)
{
	struct x86_state *s = x86s(vcpu);

	if (d->flags || (d->dr6 >> 32) || (d->dr7 >> 32))
		return -EINVAL;
	for (int i = 0; i < 4; i++)
		s->dr[i] = d->db[i];
	s->dr6 = d->dr6;
	s->dr7 = d->dr7;
	hyp_x86_state_changed(vcpu->hyp);
	return 0;
}

/* ---- KVM_CAP_SYNC_REGS ---- */

void kvm_store_sync_regs(struct kvm_vcpu *vcpu, struct kvm_sync_regs *out, u64 fields)
{
	if (fields & KVM_SYNC_X86_REGS)
		get_regs(vcpu, &out->regs);
	if (fields & KVM_SYNC_X86_SREGS)
		get_sregs(vcpu, &out->sregs);
	if (fields & KVM_SYNC_X86_EVENTS)
		kvm_get_vcpu_events(vcpu, &out->events);
}

/* `in` is the shared page: copied before it is checked, the client may write it meanwhile. */
int kvm_load_sync_regs(struct kvm_vcpu *vcpu, const struct kvm_sync_regs *in, u64 fields)
{
	struct kvm_vcpu_events events = in->events;
	struct kvm_sregs sregs = in->sregs;
	struct kvm_regs regs = in->regs;

	if (fields & KVM_SYNC_X86_REGS)
		set_regs(vcpu, &regs);
	if ((fields & KVM_SYNC_X86_SREGS) && set_sregs(vcpu, &sregs))
		return -EINVAL;
	if ((fields & KVM_SYNC_X86_EVENTS) && kvm_set_vcpu_events(vcpu, &events))
		return -EINVAL;
	return 0;
}

/* ---- the rows ---- */

#define GET(fn, call) \
	static long fn(void *vcpu, void *data, unsigned long arg) { (void)arg; call(vcpu, data); return 0; }
#define SET(fn, call) \
	static long fn(void *vcpu, void *data, unsigned long arg) { (void)arg; return call(vcpu, data); }

GET(ioctl_get_regs, get_regs)
GET(ioctl_set_regs, set_regs)
GET(ioctl_get_sregs, get_sregs)
SET(ioctl_set_sregs, set_sregs)
GET(ioctl_get_sregs2, get_sregs2)
SET(ioctl_set_sregs2, set_sregs2)
GET(ioctl_get_fpu, get_fpu)
GET(ioctl_set_fpu, set_fpu)
GET(ioctl_get_xcrs, get_xcrs)
SET(ioctl_set_xcrs, set_xcrs)
GET(ioctl_get_debugregs, get_debugregs)
SET(ioctl_set_debugregs, set_debugregs)

static long ioctl_get_xsave(void *vcpu, void *data, unsigned long arg)
{
	get_xsave(vcpu, data, sizeof(struct kvm_xsave));
	return 0;
}

static long ioctl_set_xsave(void *vcpu, void *data, unsigned long arg)
{
	return set_xsave(vcpu, data, sizeof(struct kvm_xsave));
}

/* XSAVE2 has the size KVM_CAP_XSAVE2 tells: 4096 as long as no component lies beyond. */
static long ioctl_get_xsave2(void *vcpu, void *data, unsigned long arg)
{
	u8 area[X86_XSAVE_MAX];

	get_xsave(vcpu, area, sizeof(area));
	return copy_to_client(arg, area, sizeof(area));
}

const struct kvm_ioctl_row kvm_reg_ioctls[] = {
	IOCTL_ROW(KVM_GET_REGS, ARG_OUT, ioctl_get_regs),
	IOCTL_ROW(KVM_SET_REGS, ARG_IN, ioctl_set_regs),
	IOCTL_ROW(KVM_GET_SREGS, ARG_OUT, ioctl_get_sregs),
	IOCTL_ROW(KVM_SET_SREGS, ARG_IN, ioctl_set_sregs),
	IOCTL_ROW(KVM_GET_SREGS2, ARG_OUT, ioctl_get_sregs2),
	IOCTL_ROW(KVM_SET_SREGS2, ARG_IN, ioctl_set_sregs2),
	IOCTL_ROW(KVM_GET_FPU, ARG_OUT, ioctl_get_fpu),
	IOCTL_ROW(KVM_SET_FPU, ARG_IN, ioctl_set_fpu),
	IOCTL_ROW(KVM_GET_XSAVE, ARG_OUT, ioctl_get_xsave),
	IOCTL_ROW(KVM_SET_XSAVE, ARG_IN, ioctl_set_xsave),
	IOCTL_ROW(KVM_GET_XSAVE2, ARG_PLAIN, ioctl_get_xsave2),
	IOCTL_ROW(KVM_GET_XCRS, ARG_OUT, ioctl_get_xcrs),
	IOCTL_ROW(KVM_SET_XCRS, ARG_IN, ioctl_set_xcrs),
	IOCTL_ROW(KVM_GET_DEBUGREGS, ARG_OUT, ioctl_get_debugregs),
	IOCTL_ROW(KVM_SET_DEBUGREGS, ARG_IN, ioctl_set_debugregs),
};
IOCTL_TABLE('C', kvm_reg_ioctls);
const size_t kvm_nr_reg_ioctls = ARRAY_SIZE(kvm_reg_ioctls);
