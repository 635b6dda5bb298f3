/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System management mode (AMD APM vol. 2, chapter 10): the state save area and what smm.c offers.
 *
 * The area is the top 512 bytes of the 64 KiB at SMBASE. Processors with long mode use AMD's 64-bit layout,
 * others the P6's 32-bit one; int_shadow is KVM's own addition to both. Auto-halt restart and I/O restart
 * are not done: as on Linux KVM these fields stay zero.
 */
#ifndef KUSE_ARCH_X86_SMM_H
#define KUSE_ARCH_X86_SMM_H

#include "arch/x86/x86.h"

#define SMBASE_RESET 0x30000
#define SMM_ENTRY 0x8000      /* of the handler, from SMBASE */
#define SMM_SAVE_AREA 0xfe00  /* the same */
#define SMM_REVISION_64 0x00020064
#define SMM_REVISION_32 0x00020000

struct smm_seg_64 {
	u16 selector, attributes;
	u32 limit;
	u64 base;
};

struct smm_state_64 {
	struct smm_seg_64 es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u64 io_restart[4];
	u32 io_restart_dword, rsvd1;
	u8 io_inst_restart, auto_hlt_restart, nmi_mask, int_shadow;
	u32 rsvd2;
	u64 efer;
	u64 svm[3];
	u32 rsvd3[3];
	u32 revision, smbase;
	u32 rsvd4[5];
	u64 ssp, svm_state[5];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u64 gpr[16]; /* R15 first, RAX last */
};

struct smm_seg_32 {
	u32 flags, limit, base;
};

struct smm_state_32 {
	u32 rsvd1[62];
	u32 smbase, revision;
	u16 io_inst_restart, auto_hlt_restart;
	u32 io_restart[4];
	u32 cr4;
	u16 rsvd2;
	u8 int_shadow, rsvd3[17];
	struct smm_seg_32 ds, fs, gs, idtr, tr;
	u32 rsvd4;
	struct smm_seg_32 gdtr, ldtr, es, cs, ss;
	u32 es_sel, cs_sel, ss_sel, ds_sel, fs_sel, gs_sel, ldtr_sel, tr_sel;
	u32 dr7, dr6;
	u32 gpr[8]; /* EAX first */
	u32 eip, eflags, cr3, cr0;
};

union smm_save_area {
	struct smm_state_64 s64;
	struct smm_state_32 s32;
};

#define SMM_AT(type, field, at) \
	_Static_assert(offsetof(struct type, field) == (at) - SMM_SAVE_AREA, #type "." #field)
SMM_AT(smm_state_64, tr, 0xfe90);
SMM_AT(smm_state_64, int_shadow, 0xfecb);
SMM_AT(smm_state_64, efer, 0xfed0);
SMM_AT(smm_state_64, revision, 0xfefc);
SMM_AT(smm_state_64, smbase, 0xff00);
SMM_AT(smm_state_64, cr4, 0xff48);
SMM_AT(smm_state_64, gpr, 0xff80);
SMM_AT(smm_state_32, smbase, 0xfef8);
SMM_AT(smm_state_32, cr4, 0xff14);
SMM_AT(smm_state_32, int_shadow, 0xff1a);
SMM_AT(smm_state_32, ds, 0xff2c);
SMM_AT(smm_state_32, gdtr, 0xff6c);
SMM_AT(smm_state_32, es_sel, 0xffa8);
SMM_AT(smm_state_32, gpr, 0xffd0);
SMM_AT(smm_state_32, cr0, 0xfffc);
_Static_assert(sizeof(union smm_save_area) == 512, "SMM state save area");

static inline bool is_smm(struct kvm_vcpu *vcpu)
{
	return x86s(vcpu)->in_smm;
}

/* Any thread: an SMI for this vCPU; does not kick. */
static inline void kvm_inject_smi(struct kvm_vcpu *vcpu)
{
	kvm_make_request(KVM_REQ_SMI, vcpu);
}

/* Enters or leaves the mode as far as KVM is concerned: the other address space, what was latched. No
 * register but the flag changes. */
void kvm_smm_changed(struct kvm_vcpu *vcpu, bool entering_smm);
void kvm_enter_smm(struct kvm_vcpu *vcpu);
/* RSM: 0, or -1 where the save area holds what no CPU can be in (a shutdown). */
int kvm_leave_smm(struct kvm_vcpu *vcpu);
void kvm_process_smi(struct kvm_vcpu *vcpu);

#endif
