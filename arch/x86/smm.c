/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System management mode: the CPU leaves what it does at an instruction boundary, stores its state at
 * SMBASE + 0xfe00, and executes the handler at SMBASE + 0x8000 in something like real mode with 4 GiB
 * segments; RSM loads the state again. While it is there, INIT, NMI and further SMIs wait, and guest-physical
 * addresses lead to address space 1 (KVM_CAP_MULTI_ADDRESS_SPACE), where user space maps SMRAM.
 *
 *	KVM_SMI, an SMI IPI or MSI	KVM_REQ_SMI                    any thread
 *	noticed				smi_pending, KVM_REQ_EVENT     own thread, kvm_process_smi
 *	taken				kvm_enter_smm                  kvm_inject_events
 *	RSM				kvm_leave_smm                  HYP_EXIT_RSM
 *
 * A save area that cannot be written leaves the machine in no defined state: the VM is dead. One that
 * cannot be loaded by RSM is a shutdown.
 */
#include <string.h>
#include "arch/x86/cpuid.h"
#include "arch/x86/smm.h"

/* G, D/B, L, AVL, P, DPL, S and type as descriptors have them: bits 23:8 of the second word. */
#define SMM_SEG_ATTRIBUTES 0xf0ffu

static bool guest_has_long_mode(struct kvm_vcpu *vcpu)
{
	return guest_cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 29);
}

void kvm_smm_changed(struct kvm_vcpu *vcpu, bool entering_smm)
{
	struct x86_state *s = x86s(vcpu);

	kvm_trace(KVM_TRACE_IRQ, "smm", { "vcpu", (u64)vcpu->vcpu_id, NULL },
		  { "smbase", vcpu->arch.smbase, NULL }, { "entering", entering_smm, NULL });
	s->in_smm = entering_smm;
	if (!entering_smm) {
		vcpu->arch.smm_inside_nmi = false;
		kvm_make_request(KVM_REQ_EVENT, vcpu); /* an INIT or an SMI may have been latched */
	}
	hyp_cpu_set_view(vcpu->hyp, entering_smm);
	hyp_x86_state_changed(vcpu->hyp);
}

void kvm_process_smi(struct kvm_vcpu *vcpu)
{
	vcpu->arch.smi_pending = true;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
}

/* ---- entry ------------------------------------------------------------------------------------- */

static u32 saved_attributes(const struct x86_seg *seg)
{
	return seg->ar & SMM_SEG_ATTRIBUTES & ~(seg->ar & X86_AR_UNUSABLE ? X86_AR_P : 0);
}

static struct smm_seg_64 save_seg_64(const struct x86_seg *seg)
{
	return (struct smm_seg_64){ seg->sel, (u16)saved_attributes(seg), seg->limit, seg->base };
}

static struct smm_seg_64 save_table_64(const struct x86_dtable *t)
{
	return (struct smm_seg_64){ .limit = t->limit, .base = t->base };
}

static void save_state_64(struct kvm_vcpu *vcpu, struct smm_state_64 *m)
{
	const struct x86_state *s = x86s(vcpu);
	struct smm_seg_64 *const seg[X86_NSEG] = { &m->es, &m->cs, &m->ss, &m->ds, &m->fs, &m->gs, &m->ldtr, &m->tr };

	for (int i = 0; i < X86_NSEG; i++)
		*seg[i] = save_seg_64(&s->seg[i]);
	for (int i = 0; i < 16; i++)
		m->gpr[15 - i] = s->gpr[i];
	m->gdtr = save_table_64(&s->gdtr);
	m->idtr = save_table_64(&s->idtr);
	m->rip = s->rip;
	m->rflags = s->rflags;
	m->dr6 = s->dr6;
	m->dr7 = s->dr7;
	m->cr0 = s->cr0;
	m->cr3 = s->cr3;
	m->cr4 = s->cr4;
	m->efer = s->efer;
	m->smbase = (u32)vcpu->arch.smbase;
	m->revision = SMM_REVISION_64;
	m->int_shadow = s->shadow;
}

static struct smm_seg_32 save_seg_32(const struct x86_seg *seg, u32 *selector)
{
	*selector = seg->sel;
	return (struct smm_seg_32){ saved_attributes(seg) << 8, seg->limit, (u32)seg->base };
}

static struct smm_seg_32 save_table_32(const struct x86_dtable *t)
{
	return (struct smm_seg_32){ .limit = t->limit, .base = (u32)t->base };
}

static void save_state_32(struct kvm_vcpu *vcpu, struct smm_state_32 *m)
{
	const struct x86_state *s = x86s(vcpu);
	struct smm_seg_32 *const seg[X86_NSEG] = { &m->es, &m->cs, &m->ss, &m->ds, &m->fs, &m->gs, &m->ldtr, &m->tr };
	u32 *const sel[X86_NSEG] = { &m->es_sel, &m->cs_sel, &m->ss_sel, &m->ds_sel,
				     &m->fs_sel, &m->gs_sel, &m->ldtr_sel, &m->tr_sel };

	for (int i = 0; i < X86_NSEG; i++)
		*seg[i] = save_seg_32(&s->seg[i], sel[i]);
	for (int i = 0; i < 8; i++)
		m->gpr[i] = (u32)s->gpr[i];
	m->gdtr = save_table_32(&s->gdtr);
	m->idtr = save_table_32(&s->idtr);
	m->eip = (u32)s->rip;
	m->eflags = (u32)s->rflags;
	m->dr6 = (u32)s->dr6;
	m->dr7 = (u32)s->dr7;
	m->cr0 = (u32)s->cr0;
	m->cr3 = (u32)s->cr3;
	m->cr4 = (u32)s->cr4;
	m->smbase = (u32)vcpu->arch.smbase;
	m->revision = SMM_REVISION_32;
	m->int_shadow = s->shadow;
}

/* What the handler starts with: APM vol. 2, table 10-2. An IDT limit of 0 is what processors do. */
static void load_entry_state(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	const struct x86_seg data = { .limit = 0xffffffff, .ar = X86_AR_P | X86_AR_S | X86_AR_G | 3 };

	for (int i = X86_ES; i <= X86_GS; i++)
		s->seg[i] = data;
	s->seg[X86_CS].sel = (u16)(vcpu->arch.smbase >> 4);
	s->seg[X86_CS].base = vcpu->arch.smbase;
	s->rflags = 2;
	s->rip = SMM_ENTRY;
	s->shadow = 0;
	s->cr0 &= ~(u64)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
	s->cr4 = 0;
	s->efer = 0;
	s->idtr = (struct x86_dtable){ 0 };
	s->dr7 = X86_DR7_FIXED_1;
}

void kvm_enter_smm(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	union smm_save_area area;

	memset(&area, 0, sizeof(area));
	if (guest_has_long_mode(vcpu))
		save_state_64(vcpu, &area.s64);
	else
		save_state_32(vcpu, &area.s32);
	kvm_smm_changed(vcpu, true);
	if (kvm_vcpu_write_guest(vcpu, vcpu->arch.smbase + SMM_SAVE_AREA, &area, sizeof(area))) {
		kvm_vm_dead(vcpu->kvm);
		return;
	}
	vcpu->arch.smm_inside_nmi = s->nmi_blocked;
	s->nmi_blocked = true;
	load_entry_state(vcpu);
	hyp_x86_state_changed(vcpu->hyp);
}

/* ---- RSM ---------------------------------------------------------------------------------------- */

static u32 loaded_attributes(u32 attributes)
{
	return (attributes & SMM_SEG_ATTRIBUTES) | (attributes & X86_AR_P ? 0 : X86_AR_UNUSABLE);
}

static struct x86_seg load_seg_64(const struct smm_seg_64 *m)
{
	return (struct x86_seg){ m->base, m->limit, loaded_attributes(m->attributes), m->selector };
}

static struct x86_seg load_seg_32(const struct smm_seg_32 *m, u32 selector)
{
	return (struct x86_seg){ m->base, m->limit, loaded_attributes(m->flags >> 8), (u16)selector };
}

/* Control and debug registers of a save area, whichever layout. */
struct smm_control {
	u64 cr0, cr3, cr4, efer, dr6, dr7;
};

/* What a MOV to these registers, in the order in which RSM has to make them, would refuse. */
static bool control_valid(struct kvm_vcpu *vcpu, const struct smm_control *c)
{
	const struct x86_state *s = x86s(vcpu);
	bool pg = c->cr0 & X86_CR0_PG, lma = pg && (c->efer & X86_EFER_LME);

	if (c->cr0 >> 32 || c->dr6 >> 32 || c->dr7 >> 32 || c->cr4 & ~s->cr4_valid)
		return false;
	if ((c->efer & ~(u64)X86_EFER_LMA) & ~s->efer_valid)
		return false;
	if ((pg && !(c->cr0 & X86_CR0_PE)) || ((c->cr0 & X86_CR0_NW) && !(c->cr0 & X86_CR0_CD)))
		return false;
	if (lma && (!(c->cr4 & X86_CR4_PAE) || c->cr3 & ~(BIT_ULL(s->maxphyaddr) - 1)))
		return false;
	return lma || !(c->cr4 & X86_CR4_PCIDE);
}

static int load_control(struct kvm_vcpu *vcpu, const struct smm_control *c)
{
	struct x86_state *s = x86s(vcpu);

	if (!control_valid(vcpu, c))
		return -1;
	s->cr0 = c->cr0 | X86_CR0_ET;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->efer = c->efer & ~(u64)X86_EFER_LMA;
	if ((s->cr0 & X86_CR0_PG) && (s->efer & X86_EFER_LME))
		s->efer |= X86_EFER_LMA;
	s->dr6 = (c->dr6 & 0xe00f) | X86_DR6_FIXED_1;
	s->dr7 = (c->dr7 & 0xffff23ff) | X86_DR7_FIXED_1;
	return 0;
}

static int load_state_64(struct kvm_vcpu *vcpu, const struct smm_state_64 *m)
{
	const struct smm_control c = { m->cr0, m->cr3, m->cr4, m->efer, m->dr6, m->dr7 };
	const struct smm_seg_64 *const seg[X86_NSEG] = { &m->es, &m->cs, &m->ss,   &m->ds,
							 &m->fs, &m->gs, &m->ldtr, &m->tr };
	struct x86_state *s = x86s(vcpu);

	if (load_control(vcpu, &c))
		return -1;
	for (int i = 0; i < X86_NSEG; i++)
		s->seg[i] = load_seg_64(seg[i]);
	for (int i = 0; i < 16; i++)
		s->gpr[i] = m->gpr[15 - i];
	s->gdtr = (struct x86_dtable){ m->gdtr.base, (u16)m->gdtr.limit };
	s->idtr = (struct x86_dtable){ m->idtr.base, (u16)m->idtr.limit };
	s->rip = m->rip;
	s->rflags = m->rflags | 2;
	s->shadow = m->int_shadow & (X86_SHADOW_STI | X86_SHADOW_MOV_SS);
	vcpu->arch.smbase = m->smbase;
	return 0;
}

static int load_state_32(struct kvm_vcpu *vcpu, const struct smm_state_32 *m)
{
	const struct smm_control c = { m->cr0, m->cr3, m->cr4, 0, m->dr6, m->dr7 };
	const struct smm_seg_32 *const seg[X86_NSEG] = { &m->es, &m->cs, &m->ss,   &m->ds,
							 &m->fs, &m->gs, &m->ldtr, &m->tr };
	const u32 sel[X86_NSEG] = { m->es_sel, m->cs_sel, m->ss_sel,   m->ds_sel,
				    m->fs_sel, m->gs_sel, m->ldtr_sel, m->tr_sel };
	struct x86_state *s = x86s(vcpu);

	if (load_control(vcpu, &c))
		return -1;
	for (int i = 0; i < X86_NSEG; i++)
		s->seg[i] = load_seg_32(seg[i], sel[i]);
	for (int i = 0; i < 8; i++)
		s->gpr[i] = m->gpr[i];
	s->gdtr = (struct x86_dtable){ m->gdtr.base, (u16)m->gdtr.limit };
	s->idtr = (struct x86_dtable){ m->idtr.base, (u16)m->idtr.limit };
	s->rip = m->eip;
	s->rflags = m->eflags | 2;
	s->shadow = m->int_shadow & (X86_SHADOW_STI | X86_SHADOW_MOV_SS);
	vcpu->arch.smbase = m->smbase;
	return 0;
}

int kvm_leave_smm(struct kvm_vcpu *vcpu)
{
	union smm_save_area area;
	int ret;

	if (kvm_vcpu_read_guest(vcpu, vcpu->arch.smbase + SMM_SAVE_AREA, &area, sizeof(area)))
		return -1;
	if (!vcpu->arch.smm_inside_nmi)
		x86s(vcpu)->nmi_blocked = false;
	kvm_smm_changed(vcpu, false);
	ret = guest_has_long_mode(vcpu) ? load_state_64(vcpu, &area.s64) : load_state_32(vcpu, &area.s32);
	hyp_x86_state_changed(vcpu->hyp);
	return ret;
}
