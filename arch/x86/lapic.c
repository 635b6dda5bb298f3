/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC of one vCPU: its registers and the three doors to them, the xAPIC page
 * (kvm_lapic_mmio_*), the x2APIC MSRs (kvm_x2apic_msr_*) and KVM_GET/SET_LAPIC. How an interrupt
 * travels is elsewhere: lapic_map.c finds the destinations of a message, lapic_irq.c accepts it,
 * prioritizes and ends it, lapic_timer.c is the timer.
 *
 * lapic_regs[] below is the register map of SDM vol. 3 table 11-6: one line a register. Behaviour
 * that Linux KVM (6.12) has and silicon has not is kept, as guests and VMMs know it: there is no
 * delivery delay (ICR.BUSY is always 0) and no error is ever latched in ESR.
 *
 * Threads: registers belong to the thread that runs the vCPU or holds vcpu->mutex. Other threads set
 * IRR/TMR bits, pending_events and the timer's `pending` atomically and kick; they read ID, LDR, DFR,
 * SPIV and LVT0 to match destinations. No lock is held while a register function runs. Locks taken
 * inside: kvm->arch.apic_map_lock (lapic_map.c), the timer service's. Both are leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/lapic.h"
#include "arch/x86/xen.h"

#define APIC_VERSION 0x14u
#define LAPIC_MMIO_LENGTH 0x1000u
#define NR_LVT_WITHOUT_CMCI 6
#define SPIV_WRITABLE 0x3ffu /* vector, enable, focus checking off */
#define TDCR_WRITABLE 0xbu
#define X2APIC_ICR_RESERVED (GENMASK_ULL(31, 20) | GENMASK_ULL(17, 16) | BIT_ULL(13))
#define APIC_BASE_RESERVED 0x2ffull

/* Who may access a register: R/W through the xAPIC page, through x2APIC MSRs. */
enum { XR = 1, XW = 2, MR = 4, MW = 8, RO = XR | MR, RW = XR | XW | MR | MW };

struct lapic_reg {
	u8 access;
	u32 (*read)(struct kvm_lapic *apic, u32 reg);           /* NULL: the stored value */
	int (*write)(struct kvm_lapic *apic, u32 reg, u32 val); /* 0, or 1: #GP from an MSR */
};

/* ---- registers with a meaning ---------------------------------------------------------------- */

static bool lapic_has_lvt(const struct kvm_lapic *apic, u32 reg)
{
	return reg != APIC_LVTCMCI || apic->vcpu->arch.mcg_cap & MCG_CMCI_P;
}

/* LINT0 as NMI makes the PIT a watchdog: the PIT asks how many vCPUs want that. */
static void lapic_note_lint0(struct kvm_lapic *apic)
{
	u32 lvt0 = kvm_lapic_get_reg(apic, APIC_LVT0);
	bool nmi = (lvt0 & (APIC_MODE_MASK | APIC_LVT_MASKED)) == APIC_DM_NMI;

	if (nmi == apic->lvt0_in_nmi_mode)
		return;
	apic->lvt0_in_nmi_mode = nmi;
	__atomic_fetch_add(&apic->vcpu->kvm->arch.vapics_in_nmi_mode, nmi ? 1 : -1, __ATOMIC_RELAXED);
}

static void lapic_set_xapic_id(struct kvm_lapic *apic, u8 id)
{
	kvm_lapic_set_reg(apic, APIC_ID, (u32)id << 24);
	kvm_apic_map_dirty(apic->vcpu->kvm);
}

static void lapic_set_x2apic_id(struct kvm_lapic *apic)
{
	u32 id = kvm_x2apic_id(apic);

	kvm_lapic_set_reg(apic, APIC_ID, id);
	kvm_lapic_set_reg(apic, APIC_LDR, kvm_apic_calc_x2apic_ldr(id));
}

static int lapic_write_id(struct kvm_lapic *apic, u32 reg, u32 val)
{
	lapic_set_xapic_id(apic, val >> 24);
	return 0;
}

static int lapic_write_ldr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	kvm_lapic_set_reg(apic, APIC_LDR, val & APIC_LDR_MASK);
	kvm_apic_map_dirty(apic->vcpu->kvm);
	return 0;
}

static int lapic_write_dfr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	kvm_lapic_set_reg(apic, APIC_DFR, val | 0x0fffffff);
	kvm_apic_map_dirty(apic->vcpu->kvm);
	return 0;
}

static int lapic_write_tpr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	kvm_lapic_set_reg(apic, APIC_TASKPRI, val & 0xff);
	apic_update_ppr(apic);
	return 0;
}

/* KVM_TPR_ACCESS_REPORTING: user space learns which instruction did it. */
static void lapic_report_tpr_access(struct kvm_lapic *apic, bool write)
{
	struct kvm_vcpu *vcpu = apic->vcpu;

	if (!vcpu->arch.tpr_access_reporting)
		return;
	vcpu->arch.tpr_access.rip = hyp_x86_state(vcpu->hyp)->rip;
	vcpu->arch.tpr_access.write = write;
	kvm_make_request(KVM_REQ_REPORT_TPR_ACCESS, vcpu);
}

static u32 lapic_guest_read_tpr(struct kvm_lapic *apic, u32 reg)
{
	lapic_report_tpr_access(apic, false);
	return kvm_lapic_get_reg(apic, reg);
}

static int lapic_guest_write_tpr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	lapic_report_tpr_access(apic, true);
	return lapic_write_tpr(apic, reg, val);
}

static u32 lapic_read_ppr(struct kvm_lapic *apic, u32 reg)
{
	apic_update_ppr(apic);
	return kvm_lapic_get_reg(apic, APIC_PROCPRI);
}

static int lapic_write_eoi(struct kvm_lapic *apic, u32 reg, u32 val)
{
	if (val && apic_x2apic_mode(apic)) /* SDM 11.12.1.2, table 11-6 */
		return 1;
	apic_set_eoi(apic);
	return 0;
}

static const u32 lvt_regs[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC,  APIC_LVT0,
				APIC_LVT1, APIC_LVTERR,  APIC_LVTCMCI };

static void lapic_set_spiv(struct kvm_lapic *apic, u32 val)
{
	u32 old = kvm_lapic_get_reg(apic, APIC_SPIV);

	kvm_lapic_set_reg(apic, APIC_SPIV, val);
	if ((old ^ val) & APIC_SPIV_APIC_ENABLED) {
		kvm_apic_map_dirty(apic->vcpu->kvm);
		if (val & APIC_SPIV_APIC_ENABLED)
			kvm_xen_sw_enable_lapic(apic->vcpu);
	}
}

static int lapic_write_spiv(struct kvm_lapic *apic, u32 reg, u32 val)
{
	u32 mask = SPIV_WRITABLE;

	if (kvm_lapic_get_reg(apic, APIC_LVR) & APIC_LVR_DIRECTED_EOI)
		mask |= APIC_SPIV_DIRECTED_EOI;
	lapic_set_spiv(apic, val & mask);
	if (val & APIC_SPIV_APIC_ENABLED)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(lvt_regs); i++)
		if (lapic_has_lvt(apic, lvt_regs[i]))
			kvm_lapic_set_reg(apic, lvt_regs[i],
					  kvm_lapic_get_reg(apic, lvt_regs[i]) | APIC_LVT_MASKED);
	lapic_note_lint0(apic);
	lapic_timer_update_mode(apic);
	__atomic_store_n(&apic->timer.pending, 0, __ATOMIC_RELAXED);
	return 0;
}

/* Nothing is latched here: a write moves "no errors" into the register. */
static int lapic_write_esr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	if (apic_x2apic_mode(apic) && val)
		return 1;
	kvm_lapic_set_reg(apic, APIC_ESR, 0);
	return 0;
}

static int lapic_write_icr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	val &= ~APIC_ICR_BUSY;
	kvm_lapic_set_reg(apic, APIC_ICR, val);
	kvm_apic_send_ipi(apic, val, kvm_lapic_get_reg(apic, APIC_ICR2));
	return 0;
}

static int lapic_write_icr2(struct kvm_lapic *apic, u32 reg, u32 val)
{
	kvm_lapic_set_reg(apic, APIC_ICR2, val & 0xff000000);
	return 0;
}

static int lapic_write_self_ipi(struct kvm_lapic *apic, u32 reg, u32 val)
{
	if (val & ~APIC_VECTOR_MASK)
		return 1;
	kvm_apic_send_ipi(apic, APIC_DEST_SELF | val, 0);
	return 0;
}

/* Writable bits of an LVT entry (SDM figure 11-8). */
static u32 lapic_lvt_mask(const struct kvm_lapic *apic, u32 reg)
{
	u32 mask = APIC_VECTOR_MASK | APIC_SEND_PENDING | APIC_LVT_MASKED;

	if (reg == APIC_LVTT)
		return mask | lapic_timer_mode_mask(apic);
	if (reg == APIC_LVTERR)
		return mask;
	mask |= APIC_MODE_MASK;
	if (reg == APIC_LVT0 || reg == APIC_LVT1)
		mask |= APIC_INPUT_POLARITY | APIC_LVT_REMOTE_IRR | APIC_LVT_LEVEL_TRIGGER;
	return mask;
}

static int lapic_write_lvt(struct kvm_lapic *apic, u32 reg, u32 val)
{
	if (!kvm_apic_sw_enabled(apic))
		val |= APIC_LVT_MASKED;
	kvm_lapic_set_reg(apic, reg, val & lapic_lvt_mask(apic, reg));
	if (reg == APIC_LVTT)
		lapic_timer_update_mode(apic);
	if (reg == APIC_LVT0) { /* the PIC may have been waiting for this */
		lapic_note_lint0(apic);
		kvm_make_request(KVM_REQ_EVENT, apic->vcpu);
	}
	return 0;
}

static int lapic_write_tmict(struct kvm_lapic *apic, u32 reg, u32 val)
{
	lapic_timer_set_initial(apic, val);
	return 0;
}

static u32 lapic_read_tmcct(struct kvm_lapic *apic, u32 reg)
{
	return lapic_timer_current(apic);
}

static int lapic_write_tdcr(struct kvm_lapic *apic, u32 reg, u32 val)
{
	kvm_lapic_set_reg(apic, APIC_TDCR, val & TDCR_WRITABLE);
	lapic_timer_update_divide(apic);
	return 0;
}

/* ICR as an MSR is one register of 64 bits, see kvm_x2apic_icr_write. */
static const struct lapic_reg lapic_regs[APIC_REG_MAX / 16 + 1] = {
	[APIC_ID / 16] = { RO | XW, NULL, lapic_write_id },
	[APIC_LVR / 16] = { RO },
	[APIC_TASKPRI / 16] = { RW, lapic_guest_read_tpr, lapic_guest_write_tpr },
	[APIC_ARBPRI / 16] = { XR },
	[APIC_PROCPRI / 16] = { RO, lapic_read_ppr },
	[APIC_EOI / 16] = { XW | MW, NULL, lapic_write_eoi },
	[APIC_LDR / 16] = { RO | XW, NULL, lapic_write_ldr },
	[APIC_DFR / 16] = { XR | XW, NULL, lapic_write_dfr },
	[APIC_SPIV / 16] = { RW, NULL, lapic_write_spiv },
	[APIC_ISR / 16 ... APIC_ISR / 16 + 7] = { RO },
	[APIC_TMR / 16 ... APIC_TMR / 16 + 7] = { RO },
	[APIC_IRR / 16 ... APIC_IRR / 16 + 7] = { RO },
	[APIC_ESR / 16] = { RW, NULL, lapic_write_esr },
	[APIC_LVTCMCI / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_ICR / 16] = { XR | XW, NULL, lapic_write_icr },
	[APIC_ICR2 / 16] = { XR | XW, NULL, lapic_write_icr2 },
	[APIC_LVTT / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_LVTTHMR / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_LVTPC / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_LVT0 / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_LVT1 / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_LVTERR / 16] = { RW, NULL, lapic_write_lvt },
	[APIC_TMICT / 16] = { RW, NULL, lapic_write_tmict },
	[APIC_TMCCT / 16] = { RO, lapic_read_tmcct },
	[APIC_TDCR / 16] = { RW, NULL, lapic_write_tdcr },
	[APIC_SELF_IPI / 16] = { MW, NULL, lapic_write_self_ipi },
};

/* The register at an offset (a multiple of 16), if this door leads to it. */
static const struct lapic_reg *lapic_reg_at(const struct kvm_lapic *apic, u32 reg, u8 door)
{
	if (reg > APIC_REG_MAX || !(lapic_regs[reg / 16].access & door) || !lapic_has_lvt(apic, reg))
		return NULL;
	return &lapic_regs[reg / 16];
}

/* 0, or 1 (an MSR access faults, one through the page has no effect). */
static int lapic_reg_read(struct kvm_lapic *apic, u32 reg, u8 door, u32 *val)
{
	const struct lapic_reg *r = lapic_reg_at(apic, reg, door);

	if (!r)
		return 1;
	*val = r->read ? r->read(apic, reg) : kvm_lapic_get_reg(apic, reg);
	return 0;
}

static int lapic_reg_write(struct kvm_lapic *apic, u32 reg, u8 door, u32 val)
{
	const struct lapic_reg *r = lapic_reg_at(apic, reg, door);
	int ret = r ? r->write(apic, reg, val) : 1;

	kvm_recalculate_apic_map(apic->vcpu->kvm);
	return ret;
}

/* ---- the xAPIC page -------------------------------------------------------------------------- */

static int lapic_in_range(struct kvm_vcpu *vcpu, gpa_t addr)
{
	return vcpu->arch.apic && addr - (vcpu->arch.apic_base & MSR_IA32_APICBASE_BASE) < LAPIC_MMIO_LENGTH;
}

static bool lapic_page_open(struct kvm_vcpu *vcpu)
{
	return kvm_apic_mode(vcpu->arch.apic_base) == LAPIC_MODE_XAPIC;
}

/* With the page closed (APIC off, or x2APIC) Linux still swallows accesses, unless asked not to. */
static int lapic_closed_page(struct kvm_vcpu *vcpu)
{
	return kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE) ? 0 : -EOPNOTSUPP;
}

int kvm_lapic_mmio_read(struct kvm_vcpu *vcpu, gpa_t addr, int len, void *data)
{
	u32 offset = addr & (LAPIC_MMIO_LENGTH - 1), val = 0;

	if (!lapic_in_range(vcpu, addr))
		return -EOPNOTSUPP;
	if (!lapic_page_open(vcpu)) {
		memset(data, 0xff, len);
		return lapic_closed_page(vcpu);
	}
	memset(data, 0, len);
	if ((offset & 0xf) + len <= 4 && !lapic_reg_read(vcpu->arch.apic, offset & ~0xfu, XR, &val))
		memcpy(data, (char *)&val + (offset & 0xf), len);
	return 0;
}

/* Registers are written as aligned 32-bit words only (SDM 11.4.1); Linux drops anything else. */
int kvm_lapic_mmio_write(struct kvm_vcpu *vcpu, gpa_t addr, int len, const void *data)
{
	u32 offset = addr & (LAPIC_MMIO_LENGTH - 1), val;

	if (!lapic_in_range(vcpu, addr))
		return -EOPNOTSUPP;
	if (!lapic_page_open(vcpu))
		return lapic_closed_page(vcpu);
	if (len != 4 || offset & 0xf)
		return 0;
	memcpy(&val, data, 4);
	lapic_reg_write(vcpu->arch.apic, offset, XW, val);
	return 0;
}

/* ---- x2APIC MSRs ----------------------------------------------------------------------------- */

static int kvm_x2apic_icr_write(struct kvm_lapic *apic, u64 data)
{
	if (data & X2APIC_ICR_RESERVED)
		return 1;
	data &= ~(u64)APIC_ICR_BUSY;
	kvm_lapic_set_reg(apic, APIC_ICR, data);
	kvm_lapic_set_reg(apic, APIC_ICR2, data >> 32);
	kvm_apic_send_ipi(apic, data, data >> 32);
	return 0;
}

int kvm_x2apic_msr_write(struct kvm_vcpu *vcpu, u32 msr, u64 data)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	u32 reg = (msr - APIC_BASE_MSR) << 4;

	if (!apic || !apic_x2apic_mode(apic))
		return 1;
	if (reg == APIC_ICR)
		return kvm_x2apic_icr_write(apic, data);
	if (data >> 32)
		return 1;
	return lapic_reg_write(apic, reg, MW, data);
}

static int lapic_msr_read(struct kvm_lapic *apic, u32 reg, u64 *data)
{
	u32 val;

	if (reg == APIC_ICR) {
		*data = kvm_lapic_get_reg(apic, APIC_ICR) | (u64)kvm_lapic_get_reg(apic, APIC_ICR2) << 32;
		return 0;
	}
	if (lapic_reg_read(apic, reg, MR, &val))
		return 1;
	*data = val;
	return 0;
}

int kvm_x2apic_msr_read(struct kvm_vcpu *vcpu, u32 msr, u64 *data)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!apic || !apic_x2apic_mode(apic))
		return 1;
	return lapic_msr_read(apic, (msr - APIC_BASE_MSR) << 4, data);
}

int kvm_hv_vapic_msr_read(struct kvm_vcpu *vcpu, u32 reg, u64 *data)
{
	return vcpu->arch.apic ? lapic_msr_read(vcpu->arch.apic, reg, data) : 1;
}

/* As in x2APIC mode, but whatever the mode is, and the value of an EOI does not matter. */
int kvm_hv_vapic_msr_write(struct kvm_vcpu *vcpu, u32 reg, u64 data)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!apic)
		return 1;
	if (reg == APIC_ICR)
		return kvm_x2apic_icr_write(apic, data);
	if (data >> 32)
		return 1;
	return lapic_reg_write(apic, reg, MW, reg == APIC_EOI ? 0 : (u32)data);
}

void kvm_lapic_set_tpr(struct kvm_vcpu *vcpu, unsigned long cr8)
{
	lapic_write_tpr(vcpu->arch.apic, APIC_TASKPRI, (cr8 & 0xf) << 4);
}

u64 kvm_lapic_get_cr8(struct kvm_vcpu *vcpu)
{
	return kvm_lapic_get_reg(vcpu->arch.apic, APIC_TASKPRI) >> 4 & 0xf;
}

void kvm_lapic_set_eoi(struct kvm_vcpu *vcpu)
{
	apic_set_eoi(vcpu->arch.apic);
}

/* ---- APIC_BASE ------------------------------------------------------------------------------- */

static void lapic_set_base(struct kvm_vcpu *vcpu, u64 value)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	u64 changed = vcpu->arch.apic_base ^ value;

	__atomic_store_n(&vcpu->arch.apic_base, value, __ATOMIC_RELAXED);
	if (!apic)
		return;
	if (changed & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE))
		kvm_apic_map_dirty(vcpu->kvm);
	if (changed & MSR_IA32_APICBASE_ENABLE && value & MSR_IA32_APICBASE_ENABLE)
		lapic_set_xapic_id(apic, vcpu->vcpu_id);
	if (!(changed & X2APIC_ENABLE))
		return;
	if (value & X2APIC_ENABLE)
		lapic_set_x2apic_id(apic);
	else if (value & MSR_IA32_APICBASE_ENABLE)
		lapic_set_xapic_id(apic, vcpu->vcpu_id);
}

/* SDM figure 11-27: a guest leaves x2APIC only through "disabled", and enters it only from xAPIC. */
static bool lapic_transition_allowed(enum lapic_mode from, enum lapic_mode to)
{
	return !(from == LAPIC_MODE_X2APIC && to == LAPIC_MODE_XAPIC) &&
	       !(from == LAPIC_MODE_DISABLED && to == LAPIC_MODE_X2APIC);
}

int kvm_set_apic_base(struct kvm_vcpu *vcpu, u64 value, bool host_initiated)
{
	enum lapic_mode from = kvm_apic_mode(vcpu->arch.apic_base), to = kvm_apic_mode(value);
	u64 reserved = APIC_BASE_RESERVED | ~0ull << hyp_x86_state(vcpu->hyp)->maxphyaddr;

	if (!vcpu->arch.guest_has_x2apic)
		reserved |= X2APIC_ENABLE;
	if (value & reserved || to == LAPIC_MODE_INVALID)
		return 1;
	if (!host_initiated && !lapic_transition_allowed(from, to))
		return 1;
	lapic_set_base(vcpu, value);
	if (vcpu->arch.apic)
		kvm_recalculate_apic_map(vcpu->kvm);
	return 0;
}

bool kvm_apic_hw_enabled_vcpu(struct kvm_vcpu *vcpu)
{
	return kvm_apic_present(vcpu);
}

bool kvm_lapic_enabled(struct kvm_vcpu *vcpu)
{
	return kvm_apic_present(vcpu) && kvm_apic_sw_enabled(vcpu->arch.apic);
}

bool kvm_apic_x2apic_mode(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.apic && apic_x2apic_mode(vcpu->arch.apic);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The in-kernel IOAPIC is an 82093AA and has no EOI register, so it needs the EOI broadcast: only
 * with an IOAPIC in user space is "directed EOI" offered. */
void kvm_apic_set_version(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	u32 nr_lvt = NR_LVT_WITHOUT_CMCI, lvr;

	if (!apic)
		return;
	if (lapic_has_lvt(apic, APIC_LVTCMCI))
		nr_lvt++;
	lvr = APIC_VERSION | (nr_lvt - 1) << 16;
	if (vcpu->arch.guest_has_x2apic && !irqchip_kernel(vcpu->kvm))
		lvr |= APIC_LVR_DIRECTED_EOI;
	kvm_lapic_set_reg(apic, APIC_LVR, lvr);
}

/* Register values after power-on and after INIT (SDM 11.4.7.1, 11.4.7.3). */
static void lapic_reset_regs(struct kvm_lapic *apic)
{
	struct kvm_vcpu *vcpu = apic->vcpu;
	bool x2apic = apic_x2apic_mode(apic);

	for (unsigned i = 0; i < ARRAY_SIZE(lvt_regs); i++)
		if (lapic_has_lvt(apic, lvt_regs[i]))
			kvm_lapic_set_reg(apic, lvt_regs[i], APIC_LVT_MASKED);
	if (kvm_vcpu_is_bsp(vcpu) && kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_LINT0_REENABLED))
		kvm_lapic_set_reg(apic, APIC_LVT0, APIC_DM_EXTINT);
	lapic_note_lint0(apic);

	kvm_lapic_set_reg(apic, APIC_DFR, APIC_DFR_FLAT);
	lapic_set_spiv(apic, 0xff);
	kvm_lapic_set_reg(apic, APIC_TASKPRI, 0);
	if (!x2apic)
		kvm_lapic_set_reg(apic, APIC_LDR, 0);
	kvm_lapic_set_reg(apic, APIC_ESR, 0);
	kvm_lapic_set_reg(apic, APIC_ICR, 0);
	kvm_lapic_set_reg(apic, APIC_ICR2, 0);
	kvm_lapic_set_reg(apic, APIC_TDCR, 0);
	kvm_lapic_set_reg(apic, APIC_TMICT, 0);
	for (unsigned vector = 0; vector < 256; vector += 32) {
		__atomic_store_n(lapic_vector_word(apic, APIC_IRR, vector), 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(lapic_vector_word(apic, APIC_ISR, vector), 0, __ATOMIC_RELAXED);
		__atomic_store_n(lapic_vector_word(apic, APIC_TMR, vector), 0, __ATOMIC_SEQ_CST);
	}
	kvm_apic_map_dirty(vcpu->kvm);
}

void kvm_lapic_reset(struct kvm_vcpu *vcpu, bool init_event)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	u64 base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE;

	if (!init_event) {
		if (kvm_vcpu_is_bsp(vcpu))
			base |= MSR_IA32_APICBASE_BSP;
		lapic_set_base(vcpu, base);
	}
	if (!apic)
		return;
	if (!init_event)
		lapic_set_xapic_id(apic, vcpu->vcpu_id);
	kvm_apic_set_version(vcpu);
	lapic_reset_regs(apic);
	lapic_timer_restore(apic, 0);
	vcpu->arch.pv_eoi.msr_val = 0;
	vcpu->arch.pv_eoi.active = false;
	vcpu->arch.apic_attention = 0;
	apic_update_ppr(apic);
	kvm_recalculate_apic_map(vcpu->kvm);
}

int kvm_create_lapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic;

	if (!irqchip_in_kernel(vcpu->kvm))
		return 0;
	apic = aligned_alloc(64, ALIGN_UP(sizeof(*apic), 64));
	if (!apic)
		return -ENOMEM;
	memset(apic, 0, sizeof(*apic));
	apic->vcpu = vcpu;
	lapic_timer_init(apic);
	vcpu->arch.apic = apic;
	return 0;
}

void kvm_free_lapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	if (!apic)
		return;
	lapic_timer_cancel(apic);
	if (apic->lvt0_in_nmi_mode)
		__atomic_fetch_sub(&vcpu->kvm->arch.vapics_in_nmi_mode, 1, __ATOMIC_RELAXED);
	vcpu->arch.apic = NULL;
	free(apic);
}

/* ---- KVM_GET_LAPIC, KVM_SET_LAPIC ------------------------------------------------------------ */

static u32 lapic_state_get(const struct kvm_lapic_state *s, u32 reg)
{
	u32 val;

	memcpy(&val, s->regs + reg, 4);
	return val;
}

static void lapic_state_set(struct kvm_lapic_state *s, u32 reg, u32 val)
{
	memcpy(s->regs + reg, &val, 4);
}

/* In x2APIC mode the ID is 32 bits wide for those who asked for KVM_X2APIC_API_USE_32BIT_IDS; others
 * see its low byte where xAPIC has it. */
int kvm_apic_get_state(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	for (u32 reg = 0; reg < LAPIC_REGS_SIZE; reg += 4)
		lapic_state_set(s, reg, kvm_lapic_get_reg(apic, reg));
	lapic_state_set(s, APIC_TMCCT, lapic_timer_current(apic));
	if (apic_x2apic_mode(apic) && !vcpu->kvm->arch.x2apic_format)
		lapic_state_set(s, APIC_ID, kvm_x2apic_id(apic) << 24);
	return 0;
}

/* ID and LDR are read-only in x2APIC mode. */
static int lapic_state_fixup(struct kvm_lapic *apic, struct kvm_lapic_state *s)
{
	u32 id = kvm_x2apic_id(apic);

	if (!apic_x2apic_mode(apic))
		return 0;
	if (apic->vcpu->kvm->arch.x2apic_format && lapic_state_get(s, APIC_ID) != id)
		return -EINVAL;
	lapic_state_set(s, APIC_ID, id);
	lapic_state_set(s, APIC_LDR, kvm_apic_calc_x2apic_ldr(id));
	return 0;
}

int kvm_apic_set_state(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct kvm_lapic *apic = vcpu->arch.apic;
	int ret = lapic_state_fixup(apic, s);

	if (ret)
		return ret;
	for (u32 reg = 0; reg < LAPIC_REGS_SIZE; reg += 4)
		kvm_lapic_set_reg(apic, reg, lapic_state_get(s, reg));
	kvm_apic_map_dirty(vcpu->kvm);
	kvm_recalculate_apic_map(vcpu->kvm);
	kvm_apic_set_version(vcpu);
	apic_update_ppr(apic);
	lapic_note_lint0(apic);
	lapic_timer_restore(apic, lapic_state_get(s, APIC_TMCCT));
	kvm_lapic_set_reg(apic, APIC_TMCCT, 0);
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 0;
}
