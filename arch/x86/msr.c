/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers: one row per register or range, sorted by index, with what a guest's RDMSR and
 * WRMSR do and what user space's KVM_GET_MSRS / KVM_SET_MSRS may do beyond that (`host`). A register that
 * has no row does not exist: #GP, or KVM_EXIT_X86_RDMSR/WRMSR where user space asked for that.
 *
 * Return values: 0; 1: #GP; KVM_MSR_RET_INVALID: no such register (in this direction), #GP as well, but user
 * space that asked for it is told the difference.
 */
#include "arch/x86/hyperv.h"
#include "arch/x86/msr.h"
#include "arch/x86/xen.h"

#include <stdlib.h>
#include <string.h>

#define ARCH(f) offsetof(struct kvm_vcpu_arch, f)
#define STATE(f) offsetof(struct x86_state, f)

static u64 *arch_word(struct kvm_vcpu *vcpu, const struct msr_row *row)
{
	return (u64 *)((char *)&vcpu->arch + row->offset);
}

static u64 *state_word(struct kvm_vcpu *vcpu, const struct msr_row *row)
{
	return (u64 *)((char *)x86s(vcpu) + row->offset);
}

/* ---- plain kinds -------------------------------------------------------------------------------- */

static int get_arch(struct msr_access *a)
{
	a->data = *arch_word(a->vcpu, a->row);
	return 0;
}

static int set_arch(struct msr_access *a)
{
	if (a->data & ~a->row->valid)
		return 1;
	*arch_word(a->vcpu, a->row) = a->data;
	return 0;
}

static int set_none(struct msr_access *a)
{
	(void)a;
	return KVM_MSR_RET_INVALID;
}

static int get_none(struct msr_access *a)
{
	(void)a;
	return KVM_MSR_RET_INVALID;
}

static int get_fault(struct msr_access *a)
{
	(void)a;
	return 1;
}

/* A command or control of a feature that is not offered: user space may say 0, the guest nothing. */
static int set_zero_host(struct msr_access *a)
{
	return !a->host || a->data;
}

static int get_zero_host(struct msr_access *a)
{
	a->data = 0;
	return !a->host;
}

/* User space sets it, the guest only reads. */
static int set_arch_host(struct msr_access *a)
{
	return a->host ? set_arch(a) : 1;
}

static int get_arch_host(struct msr_access *a)
{
	return a->host ? get_arch(a) : 1;
}

/* The guest's write is dropped. */
static int set_arch_host_else_ignore(struct msr_access *a)
{
	return a->host ? set_arch(a) : 0;
}

static int get_state(struct msr_access *a)
{
	a->data = *state_word(a->vcpu, a->row);
	return 0;
}

static int set_state(struct msr_access *a)
{
	*state_word(a->vcpu, a->row) = a->data;
	return 0;
}

static bool canonical(u64 va)
{
	return (u64)((s64)(va << 16) >> 16) == va;
}

static int set_state_canonical(struct msr_access *a)
{
	return canonical(a->data) ? set_state(a) : 1;
}

/* SYSENTER's: what is not canonical is made so. */
static int set_state_made_canonical(struct msr_access *a)
{
	a->data = (u64)((s64)(a->data << 16) >> 16);
	return set_state(a);
}

static int get_const(struct msr_access *a)
{
	a->data = a->row->valid;
	return 0;
}

static int get_zero(struct msr_access *a)
{
	a->data = 0;
	return 0;
}

static int set_ignore(struct msr_access *a)
{
	(void)a;
	return 0;
}

static int set_zero_only(struct msr_access *a)
{
	return a->data != 0;
}

static int set_fault(struct msr_access *a)
{
	(void)a;
	return 1;
}

/* ---- registers with a life of their own ------------------------------------------------------------ */

static int get_tsc(struct msr_access *a)
{
	a->data = kvm_read_l1_tsc(a->vcpu);
	return 0;
}

static int set_tsc(struct msr_access *a)
{
	s64 delta;

	if (a->host) {
		kvm_synchronize_tsc(a->vcpu, a->data);
		return 0;
	}
	delta = (s64)(a->data - kvm_read_l1_tsc(a->vcpu));
	kvm_adjust_tsc_offset(a->vcpu, delta);
	a->vcpu->arch.ia32_tsc_adjust_msr += (u64)delta;
	return 0;
}

static int set_tsc_adjust(struct msr_access *a)
{
	if (!guest_cpuid_has(a->vcpu, 7, 0, CPUID_EBX, 1))
		return 0;
	if (!a->host)
		kvm_adjust_tsc_offset(a->vcpu, (s64)(a->data - a->vcpu->arch.ia32_tsc_adjust_msr));
	a->vcpu->arch.ia32_tsc_adjust_msr = a->data;
	return 0;
}

static int set_apic_base(struct msr_access *a)
{
	return kvm_set_apic_base(a->vcpu, a->data, a->host);
}

static int get_tsc_deadline(struct msr_access *a)
{
	a->data = lapic_in_kernel(a->vcpu) ? kvm_get_lapic_tscdeadline_msr(a->vcpu) : 0;
	return 0;
}

static int set_tsc_deadline(struct msr_access *a)
{
	if (lapic_in_kernel(a->vcpu))
		kvm_set_lapic_tscdeadline_msr(a->vcpu, a->data);
	return 0;
}

static int get_x2apic(struct msr_access *a)
{
	return lapic_in_kernel(a->vcpu) ? kvm_x2apic_msr_read(a->vcpu, a->index, &a->data) : 1;
}

static int set_x2apic(struct msr_access *a)
{
	return lapic_in_kernel(a->vcpu) ? kvm_x2apic_msr_write(a->vcpu, a->index, a->data) : 1;
}

static int set_efer(struct msr_access *a)
{
	struct x86_state *s = x86s(a->vcpu);
	u64 lma = s->efer & X86_EFER_LMA;

	if (a->data & ~s->efer_valid)
		return 1;
	if (!a->host && (s->cr0 & X86_CR0_PG) && ((a->data ^ s->efer) & X86_EFER_LME))
		return 1;
	s->efer = (a->data & ~(u64)X86_EFER_LMA) | lma; /* LMA is the CPU's */
	hyp_x86_state_changed(a->vcpu->hyp);
	return 0;
}

static int get_seg_base(struct msr_access *a)
{
	a->data = x86s(a->vcpu)->seg[a->index == 0xc0000100 ? X86_FS : X86_GS].base;
	return 0;
}

static int set_seg_base(struct msr_access *a)
{
	if (!canonical(a->data))
		return 1;
	/* Neither the mode nor a translation depends on it. Without FSGSBASE a guest comes here at every
	 * context switch. */
	x86s(a->vcpu)->seg[a->index == 0xc0000100 ? X86_FS : X86_GS].base = a->data;
	return 0;
}

static int set_tsc_aux(struct msr_access *a)
{
	if (!a->host && !x86s(a->vcpu)->has_rdtscp && !x86s(a->vcpu)->has_rdpid)
		return 1;
	if (!x86s(a->vcpu)->is_amd && a->data >> 32)
		return 1;
	a->data = (u32)a->data; /* AMD ignores the rest */
	return set_state(a);
}

/* Memory types 0, 1, 4-7 (PAT) in each byte. */
static int set_pat(struct msr_access *a)
{
	for (int i = 0; i < 64; i += 8) {
		u64 type = (a->data >> i) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return 1;
	}
	return set_state(a);
}

static bool mtrr_type_ok(u64 t)
{
	return t < 7 && t != 2 && t != 3;
}

static int set_mtrr_deftype(struct msr_access *a)
{
	if ((a->data & ~0xcffull) || !mtrr_type_ok(a->data & 0xff))
		return 1;
	return set_arch(a);
}

/* MSR -> index in mtrr.fixed[]: 250, 258, 259, 268..26f. */
static int mtrr_fixed_index(u32 msr)
{
	return msr == 0x250 ? 0 : msr < 0x260 ? (int)(msr - 0x258 + 1) : (int)(msr - 0x268 + 3);
}

static int get_mtrr_fixed(struct msr_access *a)
{
	a->data = a->vcpu->arch.mtrr.fixed[mtrr_fixed_index(a->index)];
	return 0;
}

static int set_mtrr_fixed(struct msr_access *a)
{
	for (int i = 0; i < 64; i += 8)
		if (!mtrr_type_ok((a->data >> i) & 0xff))
			return 1;
	a->vcpu->arch.mtrr.fixed[mtrr_fixed_index(a->index)] = a->data;
	return 0;
}

static int get_mtrr_var(struct msr_access *a)
{
	a->data = a->vcpu->arch.mtrr.var[a->index - 0x200];
	return 0;
}

static int set_mtrr_var(struct msr_access *a)
{
	u64 above = ~(BIT_ULL(x86s(a->vcpu)->maxphyaddr) - 1);
	bool mask = a->index & 1;

	if (a->data & (above | (mask ? 0x7ff : 0xf00)))
		return 1;
	if (!mask && !mtrr_type_ok(a->data & 0xff))
		return 1;
	a->vcpu->arch.mtrr.var[a->index - 0x200] = a->data;
	return 0;
}

static int get_feat_ctl(struct msr_access *a)
{
	a->data = 1; /* locked, nothing enabled */
	return x86s(a->vcpu)->is_amd;
}

static int get_arch_capabilities(struct msr_access *a)
{
	a->data = a->vcpu->arch.arch_capabilities;
	return !a->host && !a->vcpu->arch.guest_has_arch_capabilities;
}

static int get_platform_info(struct msr_access *a)
{
	a->data = a->vcpu->arch.msr_platform_info;
	return !a->host && !a->vcpu->kvm->arch.guest_can_read_msr_platform_info;
}

#define PLATFORM_INFO_CPUID_FAULT BIT_ULL(31)

static int set_platform_info(struct msr_access *a)
{
	if (!a->host || (!(a->data & PLATFORM_INFO_CPUID_FAULT) && x86s(a->vcpu)->cpuid_faulting))
		return 1;
	return set_arch(a);
}

static int set_misc_features(struct msr_access *a)
{
	if ((a->data & ~1ull) ||
	    ((a->data & 1) && !(a->vcpu->arch.msr_platform_info & PLATFORM_INFO_CPUID_FAULT)))
		return 1;
	x86s(a->vcpu)->cpuid_faulting = a->data & 1;
	return set_arch(a);
}

#define MISC_ENABLE_EMON BIT_ULL(7)
#define MISC_ENABLE_PMU_RO (BIT_ULL(11) | BIT_ULL(12)) /* BTS, PEBS unavailable */

static int set_misc_enable(struct msr_access *a)
{
	u64 old = a->vcpu->arch.ia32_misc_enable;

	if (!a->host) {
		if ((old ^ a->data) & MISC_ENABLE_PMU_RO)
			return 1;
		a->data = (a->data & ~MISC_ENABLE_EMON) | (old & MISC_ENABLE_EMON);
	}
	/* With the quirk off the bit shows in CPUID (cpuid_runtime); it needs SSE3, as on silicon. */
	if (!kvm_check_has_quirk(a->vcpu->kvm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT) &&
	    ((old ^ a->data) & MISC_ENABLE_MWAIT) && !guest_cpuid_has(a->vcpu, 1, 0, CPUID_ECX, 0))
		return 1;
	return set_arch(a);
}

/* LBR and BTF are accepted and have no effect; AMD's bits 5:2 (external pins) as well. */
static int set_debugctl(struct msr_access *a)
{
	return (a->data & (x86s(a->vcpu)->is_amd ? ~0x3full : ~3ull)) != 0;
}

static int set_hwcr(struct msr_access *a)
{
	/* Ignored bits first, as on Linux: MONMWAITDIS, FFDIS, TLBCACHEDIS. McStatusWrEn, TscFreqSel stay. */
	a->data &= ~(0x40ull | 0x100 | 0x8);
	if (a->data & ~(BIT_ULL(18) | BIT_ULL(24)))
		return 1;
	return set_arch(a);
}

static int get_osvw(struct msr_access *a)
{
	return guest_cpuid_has(a->vcpu, 0x80000001, 0, CPUID_ECX, 9) ? get_arch(a) : 1;
}

static int set_osvw(struct msr_access *a)
{
	return guest_cpuid_has(a->vcpu, 0x80000001, 0, CPUID_ECX, 9) ? set_arch(a) : 1;
}

#define SPEC_CTRL_SSBD BIT_ULL(2)

static int get_virt_spec_ctrl(struct msr_access *a)
{
	return !a->host && !guest_cpuid_has(a->vcpu, 0x80000008, 0, CPUID_EBX, 25) ? 1 : get_arch(a);
}

static int set_virt_spec_ctrl(struct msr_access *a)
{
	return !a->host && !guest_cpuid_has(a->vcpu, 0x80000008, 0, CPUID_EBX, 25) ? 1 : set_arch(a);
}

/* Not offered in CPUID, so only user space may touch it: the default, or 0 (QEMU 6.2): no change. */
#define TSC_RATIO_DEFAULT BIT_ULL(32)

static int get_tsc_ratio(struct msr_access *a)
{
	a->data = TSC_RATIO_DEFAULT;
	return !a->host;
}

static int set_tsc_ratio(struct msr_access *a)
{
	return !a->host || (a->data && a->data != TSC_RATIO_DEFAULT);
}

static int set_xss(struct msr_access *a)
{
	if (!a->host && !guest_cpuid_has(a->vcpu, 0xd, 1, CPUID_EAX, 3))
		return 1;
	return a->data ? 1 : set_state(a); /* XSAVES is not offered */
}

static int get_xss(struct msr_access *a)
{
	return !a->host && !guest_cpuid_has(a->vcpu, 0xd, 1, CPUID_EAX, 3) ? 1 : get_state(a);
}

/* ---- paravirtual ------------------------------------------------------------------------------------ */

static int get_wall_clock(struct msr_access *a)
{
	a->data = a->vcpu->kvm->arch.wall_clock;
	return 0;
}

static int set_wall_clock(struct msr_access *a)
{
	a->vcpu->kvm->arch.wall_clock = a->data;
	kvm_write_wall_clock(a->vcpu->kvm, a->data);
	return 0;
}

static int set_system_time(struct msr_access *a)
{
	return kvm_set_system_time_msr(a->vcpu, a->data, a->index == MSR_KVM_SYSTEM_TIME);
}

static int set_steal_time(struct msr_access *a)
{
	return kvm_set_steal_time_msr(a->vcpu, a->data);
}

static int set_pv_eoi(struct msr_access *a)
{
	return kvm_lapic_set_pv_eoi(a->vcpu, a->data);
}

static int set_poll_control(struct msr_access *a)
{
	return a->data & ~1ull ? 1 : set_arch(a);
}

/* ---- the table ---- */

#define LIST MSR_LIST
#define FEAT MSR_FEATURE
#define ALL (~0ull)
#define DE_CFG_LFENCE_SERIALIZE BIT_ULL(1)

#define PV(feature) .pv = 1 + KVM_FEATURE_##feature

static const struct msr_row msr_table[] = {
	{ 0x0, 0x1, 0, get_zero, set_none },                                             /* P5_MC_ADDR, P5_MC_TYPE */
	{ 0x10, 0x10, LIST, get_tsc, set_tsc },
	{ 0x11, 0x11, LIST, get_wall_clock, set_wall_clock, PV(CLOCKSOURCE) },           /* MSR_KVM_WALL_CLOCK */
	{ 0x12, 0x12, LIST, get_arch, set_system_time, ARCH(time), PV(CLOCKSOURCE) },    /* MSR_KVM_SYSTEM_TIME */
	{ 0x17, 0x17, 0, get_zero, set_none },                                           /* PLATFORM_ID */
	{ 0x1b, 0x1b, 0, get_arch, set_apic_base, ARCH(apic_base) },
	{ 0x2a, 0x2a, 0, get_zero, set_none },                                           /* EBL_CR_POWERON */
	{ 0x2c, 0x2c, 0, get_const, set_none, .valid = 1 << 24 },                        /* EBC_FREQUENCY_ID */
	{ 0x34, 0x34, LIST, get_arch, set_arch_host, ARCH(smi_count), ALL },             /* SMI_COUNT */
	{ 0x3a, 0x3a, 0, get_feat_ctl, set_fault },                                      /* FEAT_CTL */
	{ 0x3b, 0x3b, LIST, get_arch, set_tsc_adjust, ARCH(ia32_tsc_adjust_msr) },
	{ 0x48, 0x48, 0, get_zero_host, set_zero_host },                                 /* SPEC_CTRL */
	{ 0x49, 0x49, 0, get_none, set_zero_host },                                      /* PRED_CMD */
	{ 0x79, 0x79, 0, get_none, set_ignore },                                         /* UCODE_WRITE */
	{ 0x8b, 0x8b, LIST | FEAT, get_arch, set_arch_host_else_ignore, ARCH(microcode_version), ALL },
	{ 0x9e, 0x9e, LIST, get_arch_host, set_arch_host, ARCH(smbase), ALL },           /* SMBASE */
	{ 0xc1, 0xc2, 0, get_zero, set_ignore },                                         /* P6 PERFCTR0, 1 */
	{ 0xcd, 0xcd, 0, get_const, set_none, .valid = 3 },                              /* FSB_FREQ */
	{ 0xce, 0xce, LIST, get_platform_info, set_platform_info, ARCH(msr_platform_info), ALL },
	{ 0xfe, 0xfe, 0, get_const, set_none, .valid = 0x500 | KVM_NR_VAR_MTRR },        /* MTRRcap: WC, fixed */
	{ 0x10a, 0x10a, LIST | FEAT, get_arch_capabilities, set_arch_host, ARCH(arch_capabilities), ALL },
	{ 0x10b, 0x10b, 0, get_none, set_fault },                                        /* FLUSH_CMD */
	{ 0x11e, 0x11e, 0, get_const, set_ignore, .valid = 0xbe702111 },                 /* BBL_CR_CTL3 */
	{ 0x140, 0x140, LIST, get_arch, set_misc_features, ARCH(msr_misc_features_enables), ALL },
	{ 0x174, 0x174, LIST, get_state, set_state, STATE(sysenter_cs) },
	{ 0x175, 0x175, LIST, get_state, set_state_made_canonical, STATE(sysenter_esp) },
	{ 0x176, 0x176, LIST, get_state, set_state_made_canonical, STATE(sysenter_eip) },
	{ 0x179, 0x179, 0, get_arch, set_none, ARCH(mcg_cap) },
	{ 0x17a, 0x17a, LIST, get_arch, set_arch, ARCH(mcg_status), ALL },
	{ 0x17b, 0x17b, LIST, kvm_msr_get_mcg_ctl, kvm_msr_set_mcg_ctl, ARCH(mcg_ctl) },
	{ 0x186, 0x187, 0, get_zero, set_ignore },                                       /* P6 EVNTSEL0, 1 */
	{ 0x198, 0x198, 0, get_const, set_none, .valid = 1000ull | 4ull << 40 },         /* PERF_STATUS */
	{ 0x199, 0x199, 0, get_zero, set_none },                                         /* PERF_CTL */
	{ 0x1a0, 0x1a0, LIST, get_arch, set_misc_enable, ARCH(ia32_misc_enable), ALL },
	{ 0x1d9, 0x1d9, LIST, get_zero, set_debugctl },                                  /* DEBUGCTL */
	{ 0x1db, 0x1de, LIST, get_zero, set_none },                                      /* last branch, last int */
	{ 0x1fc, 0x1fc, LIST, get_arch, set_arch, ARCH(msr_ia32_power_ctl), ALL },
	{ 0x200, 0x20f, 0, get_mtrr_var, set_mtrr_var },
	{ 0x210, 0x24f, 0, get_fault, set_fault },                                       /* MTRRs that there are not */
	{ 0x250, 0x250, 0, get_mtrr_fixed, set_mtrr_fixed },
	{ 0x251, 0x257, 0, get_fault, set_fault },
	{ 0x258, 0x259, 0, get_mtrr_fixed, set_mtrr_fixed },
	{ 0x25a, 0x267, 0, get_fault, set_fault },
	{ 0x268, 0x26f, 0, get_mtrr_fixed, set_mtrr_fixed },
	{ 0x277, 0x277, LIST, get_state, set_pat, STATE(pat) },
	{ 0x280, 0x29f, 0, kvm_msr_get_mci_ctl2, kvm_msr_set_mci_ctl2 },
	{ 0x2ff, 0x2ff, 0, get_arch, set_mtrr_deftype, ARCH(mtrr.deftype), ALL },
	{ 0x345, 0x345, LIST | FEAT, get_zero_host, set_zero_host },                     /* PERF_CAPABILITIES: no PMU */
	{ 0x400, 0x47f, 0, kvm_msr_get_mce_bank, kvm_msr_set_mce_bank },
	{ 0x606, 0x606, 0, get_zero, set_none },                                         /* RAPL_POWER_UNIT */
	{ 0x611, 0x611, 0, get_zero, set_none },                                         /* energy status, package */
	{ 0x619, 0x619, 0, get_zero, set_none },
	{ 0x639, 0x639, 0, get_zero, set_none },
	{ 0x641, 0x641, 0, get_zero, set_none },
	{ 0x6e0, 0x6e0, LIST, get_tsc_deadline, set_tsc_deadline },
	{ 0x800, 0x8ff, 0, get_x2apic, set_x2apic },
	{ 0xda0, 0xda0, 0, get_xss, set_xss, STATE(xss) },
	{ 0x40000000, 0x40000003, LIST, kvm_hv_msr_get, kvm_hv_msr_set },                /* Hyper-V: hyperv_msr.c */
	{ 0x40000004, 0x4000000f, 0, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000010, 0x40000010, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000011, 0x4000001f, 0, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000020, 0x40000023, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000024, 0x40000072, 0, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000073, 0x40000073, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000074, 0x4000007f, 0, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000080, 0x40000080, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000081, 0x4000009f, 0, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x400000b0, 0x400000b0, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x400000b1, 0x400000b7, 0, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x400000f1, 0x400000f5, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x400000ff, 0x400000ff, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000100, 0x40000108, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x40000118, 0x40000118, LIST, kvm_hv_msr_get, kvm_hv_msr_set },
	{ 0x4b564d00, 0x4b564d00, LIST, get_wall_clock, set_wall_clock, PV(CLOCKSOURCE2) },
	{ 0x4b564d01, 0x4b564d01, LIST, get_arch, set_system_time, ARCH(time), PV(CLOCKSOURCE2) },
	{ 0x4b564d02, 0x4b564d02, LIST, get_zero, set_zero_only, PV(ASYNC_PF) },         /* ASYNC_PF_EN: not offered */
	{ 0x4b564d03, 0x4b564d03, LIST, get_arch, set_steal_time, ARCH(st.msr_val), PV(STEAL_TIME) },
	{ 0x4b564d04, 0x4b564d04, LIST, get_arch, set_pv_eoi, ARCH(pv_eoi.msr_val), PV(PV_EOI) },
	{ 0x4b564d05, 0x4b564d05, LIST, get_arch, set_poll_control, ARCH(msr_kvm_poll_control), 1, PV(POLL_CONTROL) },
	{ 0x4b564d06, 0x4b564d07, LIST, get_zero, set_zero_only, PV(ASYNC_PF_INT) },     /* ASYNC_PF_INT, _ACK */
	{ 0xc0000080, 0xc0000080, 0, get_state, set_efer, STATE(efer) },
	{ 0xc0000081, 0xc0000081, LIST, get_state, set_state, STATE(star) },
	{ 0xc0000082, 0xc0000082, LIST, get_state, set_state_canonical, STATE(lstar) },
	{ 0xc0000083, 0xc0000083, LIST, get_state, set_state_canonical, STATE(cstar) },
	{ 0xc0000084, 0xc0000084, LIST, get_state, set_state, STATE(sfmask) },
	{ 0xc0000100, 0xc0000101, 0, get_seg_base, set_seg_base },
	{ 0xc0000102, 0xc0000102, LIST, get_state, set_state_canonical, STATE(kernel_gs_base) },
	{ 0xc0000103, 0xc0000103, LIST, get_state, set_tsc_aux, STATE(tsc_aux) },
	{ 0xc0000104, 0xc0000104, LIST, get_tsc_ratio, set_tsc_ratio },                  /* AMD64_TSC_RATIO */
	{ 0xc0010000, 0xc0010007, 0, get_zero, set_ignore },                             /* K7 EVNTSEL, PERFCTR */
	{ 0xc0010010, 0xc0010010, 0, get_zero, set_none },                               /* SYSCFG */
	{ 0xc0010015, 0xc0010015, LIST, get_arch, set_hwcr, ARCH(hwcr), ALL },
	{ 0xc001001b, 0xc001001b, 0, get_const, set_ignore, .valid = 0x20000000 },       /* K7_CLK_CTL */
	{ 0xc001001f, 0xc001001f, 0, get_zero, set_ignore },                             /* NB_CFG */
	{ 0xc0010020, 0xc0010020, 0, get_none, set_ignore },                             /* PATCH_LOADER */
	{ 0xc0010055, 0xc0010055, 0, get_zero, set_none },                               /* INT_PENDING_MSG */
	{ 0xc0010058, 0xc0010058, 0, get_zero, set_zero_only },                          /* FAM10H_MMIO_CONF_BASE */
	{ 0xc0010112, 0xc0010113, 0, get_zero, set_none },                               /* K8_TSEG_ADDR, _MASK */
	{ 0xc0010115, 0xc0010115, 0, get_none, set_ignore },                             /* VM_IGNNE */
	{ 0xc0010117, 0xc0010117, LIST, get_zero, set_ignore },                          /* VM_HSAVE_PA */
	{ 0xc001011f, 0xc001011f, LIST, get_virt_spec_ctrl, set_virt_spec_ctrl, ARCH(virt_spec_ctrl), SPEC_CTRL_SSBD },
	{ 0xc0010140, 0xc0010140, 0, get_osvw, set_osvw, ARCH(osvw_length), ALL },
	{ 0xc0010141, 0xc0010141, 0, get_osvw, set_osvw, ARCH(osvw_status), ALL },
	{ 0xc0011021, 0xc0011021, 0, get_zero, set_none },                               /* IC_CFG */
	{ 0xc0011022, 0xc0011023, 0, get_zero, set_ignore },                             /* DC_CFG, TW_CFG */
	{ 0xc0011029, 0xc0011029, FEAT, get_arch, set_arch, ARCH(de_cfg), DE_CFG_LFENCE_SERIALIZE },
	{ 0xc001102a, 0xc001102a, 0, get_zero, set_ignore },                             /* BU_CFG2 */
	{ 0xc001102c, 0xc001102c, 0, get_zero, set_ignore },                             /* F15H_EX_CFG */
};

/*
 * IA32_ARCH_CAPABILITIES as offered: RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO,
 * SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, FB_CLEAR, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO. The guest's privilege levels
 * are not the processor's here, so nothing the guest could do against these has an effect; only cost.
 */
#define ARCH_CAPABILITIES_OFFERED                                                                                \
	(BIT_ULL(0) | BIT_ULL(3) | BIT_ULL(4) | BIT_ULL(5) | BIT_ULL(6) | BIT_ULL(8) | BIT_ULL(13) | BIT_ULL(14) | \
	 BIT_ULL(15) | BIT_ULL(17) | BIT_ULL(20) | BIT_ULL(24) | BIT_ULL(26) | BIT_ULL(27))
#define UCODE_REV_DEFAULT_AMD 0x01000065ull
#define UCODE_REV_DEFAULT_INTEL 0x100000000ull

static const struct msr_row *find_row(u32 index)
{
	size_t lo = 0, hi = ARRAY_SIZE(msr_table);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (msr_table[mid].last < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ARRAY_SIZE(msr_table) && msr_table[lo].first <= index ? &msr_table[lo] : NULL;
}

/* Linux (arm64): kvm_sys_reg_table_init. */
int kvm_msr_table_init(const char **verdict, const char **remedy)
{
	for (size_t i = 0; i < ARRAY_SIZE(msr_table); i++) {
		const struct msr_row *r = &msr_table[i];

		if (r->first > r->last || !r->get || !r->set || (i && msr_table[i - 1].last >= r->first)) {
			*verdict = "the table of MSRs is not sorted or has a row without access functions";
			return -EINVAL;
		}
	}
	*verdict = "table sorted, every row has guest and host access";
	return 0;
}

/* NULL where there is none for this vCPU. */
static const struct msr_row *vcpu_row(struct kvm_vcpu *vcpu, u32 index)
{
	const struct msr_row *row = find_row(index);

	return row && row->pv && !guest_pv_has(vcpu, row->pv - 1u) ? NULL : row;
}

int kvm_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	struct msr_access a = { .vcpu = vcpu, .row = vcpu_row(vcpu, index), .index = index, .host = host };
	int ret = a.row ? a.row->get(&a) : KVM_MSR_RET_INVALID;

	if (!ret)
		*data = a.data;
	return ret;
}

int kvm_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	struct msr_access a = { .vcpu = vcpu, .row = vcpu_row(vcpu, index), .index = index, .data = data, .host = host };

	if (unlikely(index && index == vcpu->kvm->arch.xen.config.msr))
		return kvm_xen_write_hypercall_page(vcpu, data);
	return a.row ? a.row->set(&a) : KVM_MSR_RET_INVALID;
}

static u64 default_ucode_rev(void)
{
	return kvm_vendor_amd_host() ? UCODE_REV_DEFAULT_AMD : UCODE_REV_DEFAULT_INTEL;
}

void kvm_msrs_reset(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_arch *v = &vcpu->arch;

	v->ia32_misc_enable = BIT_ULL(11) | BIT_ULL(12); /* BTS, PEBS unavailable */
	v->msr_platform_info = PLATFORM_INFO_CPUID_FAULT;
	v->microcode_version = default_ucode_rev();
	v->arch_capabilities = ARCH_CAPABILITIES_OFFERED;
	v->msr_kvm_poll_control = 1;
	v->osvw_length = 5;
	v->osvw_status = 2;
}

/* ---- ioctls ---- */

#define MAX_IO_MSRS 256

typedef int (*msr_fn)(struct kvm_vcpu *vcpu, struct kvm_msr_entry *e);

/* What the lists name user space may read, and write 0 to, even where this vCPU does not have it. */
static bool listed(u32 index)
{
	const struct msr_row *row = find_row(index);

	return row && (row->flags & LIST);
}

static int get_one(struct kvm_vcpu *vcpu, struct kvm_msr_entry *e)
{
	u64 data = 0;
	int ret = kvm_get_msr(vcpu, e->index, &data, true);

	e->data = data;
	return ret == KVM_MSR_RET_INVALID && listed(e->index) ? 0 : ret;
}

/* What a guest may have seen must not change: feature MSRs, all but the microcode revision. */
static bool immutable(struct kvm_vcpu *vcpu, u32 index)
{
	const struct msr_row *row = find_row(index);

	return vcpu->arch.last_vmentry_seen && row && (row->flags & FEAT) && index != 0x8b;
}

static int set_one(struct kvm_vcpu *vcpu, struct kvm_msr_entry *e)
{
	u64 now;
	int ret;

	if (immutable(vcpu, e->index))
		return kvm_get_msr(vcpu, e->index, &now, true) || now != e->data;
	ret = kvm_set_msr(vcpu, e->index, e->data, true);
	return ret == KVM_MSR_RET_INVALID && !e->data && listed(e->index) ? 0 : ret;
}

/* System-wide: what a feature MSR can be. */
static int get_feature(struct kvm_vcpu *vcpu, struct kvm_msr_entry *e)
{
	const struct msr_row *row = find_row(e->index);

	if (!row || !(row->flags & FEAT))
		return 1;
	if (e->index == 0x10a)
		e->data = ARCH_CAPABILITIES_OFFERED;
	else if (e->index == 0x8b)
		e->data = default_ucode_rev();
	else
		e->data = row->get == get_arch ? row->valid : 0;
	return 0;
}

/* The number of entries done before the first that failed. */
static long msr_io(struct kvm_vcpu *vcpu, unsigned long arg, msr_fn fn, bool writeback)
{
	struct kvm_msr_entry *e;
	struct kvm_msrs head;
	size_t size;
	long n = 0;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	size = head.nmsrs * sizeof(*e);
	e = malloc(size + 1);
	if (!e)
		return -ENOMEM;
	if (copy_from_client(e, arg + sizeof(head), size))
		n = -EFAULT;
	while (n >= 0 && n < (long)head.nmsrs && !fn(vcpu, &e[n]))
		n++;
	if (n >= 0 && writeback && copy_to_client(arg + sizeof(head), e, size))
		n = -EFAULT;
	free(e);
	return n;
}

long kvm_vcpu_ioctl_get_msrs(struct kvm_vcpu *vcpu, unsigned long arg)
{
	return msr_io(vcpu, arg, get_one, true);
}

long kvm_vcpu_ioctl_set_msrs(struct kvm_vcpu *vcpu, unsigned long arg)
{
	return msr_io(vcpu, arg, set_one, false);
}

long kvm_dev_ioctl_get_msrs(unsigned long arg)
{
	return msr_io(NULL, arg, get_feature, true);
}

static u32 list_msrs(u32 *out, u32 flag)
{
	u32 n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(msr_table); i++)
		for (u32 m = msr_table[i].first; (msr_table[i].flags & flag) && m <= msr_table[i].last; m++)
			out[n++] = m;
	return n;
}

/* E2BIG still tells how many there are. */
long kvm_dev_ioctl_get_msr_index_list(unsigned long arg, bool features)
{
	u32 list[ARRAY_SIZE(msr_table) * 2];
	struct kvm_msr_list head;
	u32 room;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	room = head.nmsrs;
	head.nmsrs = list_msrs(list, features ? FEAT : LIST);
	if (copy_to_client(arg, &head, sizeof(head)))
		return -EFAULT;
	if (room < head.nmsrs)
		return -E2BIG;
	return copy_to_client(arg + sizeof(head), list, head.nmsrs * sizeof(u32));
}
