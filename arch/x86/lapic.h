/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC, as the files lapic*.c and the interrupt chips see it. What the rest of arch/x86
 * may call is in irq.h. Register names and bits: Intel SDM vol. 3 ch. 11 ("APIC"), table 11-1 (xAPIC)
 * and 11-6 (x2APIC MSRs); the names of constants are those Linux guests use.
 */
#ifndef KUSE_X86_LAPIC_H
#define KUSE_X86_LAPIC_H

#include "arch/x86/irq.h"

/* ---- MSR_IA32_APICBASE ----------------------------------------------------------------------- */
#define APIC_DEFAULT_PHYS_BASE 0xfee00000ull
#define MSR_IA32_APICBASE_BSP (1ull << 8)
#define X2APIC_ENABLE (1ull << 10)
#define MSR_IA32_APICBASE_ENABLE (1ull << 11)
#define MSR_IA32_APICBASE_BASE 0x000ffffffffff000ull
#define APIC_BASE_MSR 0x800 /* first x2APIC MSR: register offset >> 4 */

enum lapic_mode {
	LAPIC_MODE_DISABLED = 0,
	LAPIC_MODE_INVALID = X2APIC_ENABLE,
	LAPIC_MODE_XAPIC = MSR_IA32_APICBASE_ENABLE,
	LAPIC_MODE_X2APIC = MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE,
};

/* ---- register offsets ------------------------------------------------------------------------ */
#define APIC_ID 0x20
#define APIC_LVR 0x30
#define APIC_LVR_DIRECTED_EOI (1u << 24)
#define APIC_TASKPRI 0x80
#define APIC_ARBPRI 0x90
#define APIC_PROCPRI 0xa0
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_LDR_MASK 0xff000000u
#define APIC_DFR 0xe0
#define APIC_DFR_CLUSTER 0x0fffffffu
#define APIC_DFR_FLAT 0xffffffffu
#define APIC_SPIV 0xf0
#define APIC_SPIV_APIC_ENABLED (1u << 8)
#define APIC_SPIV_DIRECTED_EOI (1u << 12)
#define APIC_ISR 0x100
#define APIC_TMR 0x180
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_LVTCMCI 0x2f0
#define APIC_ICR 0x300
#define APIC_ICR2 0x310
#define APIC_LVTT 0x320
#define APIC_LVTTHMR 0x330
#define APIC_LVTPC 0x340
#define APIC_LVT0 0x350
#define APIC_LVT1 0x360
#define APIC_LVTERR 0x370
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR 0x3e0
#define APIC_SELF_IPI 0x3f0
#define APIC_REG_MAX 0x3f0
#define LAPIC_REGS_SIZE 0x400 /* bytes of the page that exist */

/* ---- ICR and LVT fields: delivery mode, destination mode and so on share their places -------- */
#define APIC_VECTOR_MASK 0xffu
#define APIC_MODE_MASK 0x700u
#define APIC_DM_FIXED 0x000u
#define APIC_DM_LOWEST 0x100u
#define APIC_DM_SMI 0x200u
#define APIC_DM_REMRD 0x300u
#define APIC_DM_NMI 0x400u
#define APIC_DM_INIT 0x500u
#define APIC_DM_STARTUP 0x600u
#define APIC_DM_EXTINT 0x700u
#define APIC_DEST_PHYSICAL 0u
#define APIC_DEST_LOGICAL 0x800u
#define APIC_DEST_MASK 0x800u
#define APIC_ICR_BUSY 0x1000u
#define APIC_INT_ASSERT 0x4000u
#define APIC_INT_LEVELTRIG 0x8000u
#define APIC_DEST_NOSHORT 0u
#define APIC_DEST_SELF 0x40000u
#define APIC_DEST_ALLINC 0x80000u
#define APIC_DEST_ALLBUT 0xc0000u
#define APIC_SHORT_MASK 0xc0000u
#define APIC_SEND_PENDING 0x1000u
#define APIC_INPUT_POLARITY 0x2000u
#define APIC_LVT_REMOTE_IRR 0x4000u
#define APIC_LVT_LEVEL_TRIGGER 0x8000u
#define APIC_LVT_MASKED 0x10000u
#define APIC_LVT_TIMER_ONESHOT (0u << 17)
#define APIC_LVT_TIMER_PERIODIC (1u << 17)
#define APIC_LVT_TIMER_TSCDEADLINE (2u << 17)

#define APIC_BROADCAST 0xffu
#define X2APIC_BROADCAST 0xffffffffu

#define MCG_CMCI_P (1ull << 10) /* IA32_MCG_CAP: LVT CMCI exists */

/* pending_events */
#define KVM_APIC_INIT 0
#define KVM_APIC_SIPI 1

/* A message on the APIC bus. */
struct kvm_lapic_irq {
	u32 vector;
	u32 delivery_mode; /* APIC_DM_* */
	u32 dest_mode;     /* APIC_DEST_PHYSICAL or _LOGICAL */
	bool level;        /* assert */
	bool trig_mode;    /* level-triggered */
	u32 shorthand;     /* APIC_DEST_NOSHORT .. ALLBUT */
	u32 dest_id;
	bool msi_redir_hint;
};

struct lapic_timer {
	struct kvm_timer timer;
	u64 period_ns;   /* of the initial count; 0: stopped. The callback reads it */
	u64 target_ns;   /* CLOCK_MONOTONIC at which the count reaches 0. The callback advances it */
	u32 mode;        /* APIC_LVT_TIMER_*. The callback reads it */
	u32 pending;     /* expired, not delivered yet. The callback sets it */
	u32 divide;      /* 1 .. 128, from TDCR; own thread */
	u64 tscdeadline; /* own thread */
};

struct kvm_lapic {
	struct kvm_vcpu *vcpu;
	struct lapic_timer timer;
	unsigned long pending_events; /* atomic: 1 << KVM_APIC_INIT, _SIPI */
	u8 sipi_vector;               /* written before KVM_APIC_SIPI is set */
	bool lvt0_in_nmi_mode;
	/* The register page: 32 bits at every multiple of 16. IRR and TMR bits are set by any thread
	 * (atomic read-modify-write); all else is written by the own thread, and read by others that
	 * match destinations, so every access is a relaxed atomic one. */
	u32 regs[LAPIC_REGS_SIZE / 4] __attribute__((aligned(64)));
};

static inline u32 kvm_lapic_get_reg(const struct kvm_lapic *apic, u32 reg)
{
	return __atomic_load_n(&apic->regs[reg / 4], __ATOMIC_RELAXED);
}

static inline void kvm_lapic_set_reg(struct kvm_lapic *apic, u32 reg, u32 val)
{
	__atomic_store_n(&apic->regs[reg / 4], val, __ATOMIC_RELAXED);
}

/* The word of a 256-bit register (ISR, TMR, IRR) with a vector, and the vector's bit in it. */
static inline u32 *lapic_vector_word(struct kvm_lapic *apic, u32 reg, u8 vector)
{
	return &apic->regs[reg / 4 + vector / 32 * 4];
}

static inline bool lapic_test_vector(struct kvm_lapic *apic, u32 reg, u8 vector)
{
	return __atomic_load_n(lapic_vector_word(apic, reg, vector), __ATOMIC_RELAXED) >> vector % 32 & 1;
}

static inline u64 lapic_base(const struct kvm_lapic *apic)
{
	return __atomic_load_n(&apic->vcpu->arch.apic_base, __ATOMIC_RELAXED);
}

static inline enum lapic_mode kvm_apic_mode(u64 apic_base)
{
	return apic_base & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE);
}

static inline bool kvm_apic_hw_enabled(const struct kvm_lapic *apic)
{
	return lapic_base(apic) & MSR_IA32_APICBASE_ENABLE;
}

static inline bool kvm_apic_sw_enabled(const struct kvm_lapic *apic)
{
	return kvm_lapic_get_reg(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;
}

static inline bool apic_x2apic_mode(const struct kvm_lapic *apic)
{
	return kvm_apic_mode(lapic_base(apic)) == LAPIC_MODE_X2APIC;
}

/* In the kernel and not switched off in APIC_BASE. */
static inline bool kvm_apic_present(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.apic && kvm_apic_hw_enabled(vcpu->arch.apic);
}

static inline u32 kvm_x2apic_id(const struct kvm_lapic *apic)
{
	return apic->vcpu->vcpu_id;
}

static inline u8 kvm_xapic_id(const struct kvm_lapic *apic)
{
	return kvm_lapic_get_reg(apic, APIC_ID) >> 24;
}

/* Logical x2APIC ID: cluster in 31:16, one bit of 15:0 (SDM 11.12.10.2). */
static inline u32 kvm_apic_calc_x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/* ---- lapic.c: Hyper-V's MSRs of EOI, ICR and TPR. 0, or 1: #GP -------------------------------- */
int kvm_hv_vapic_msr_read(struct kvm_vcpu *vcpu, u32 reg, u64 *data);
int kvm_hv_vapic_msr_write(struct kvm_vcpu *vcpu, u32 reg, u64 data);

/* ---- lapic_irq.c: from acceptance to EOI ----------------------------------------------------- */
/* Any thread. 1 accepted, 0 discarded. */
int kvm_apic_set_irq(struct kvm_vcpu *vcpu, const struct kvm_lapic_irq *irq);
/* One of the LVT's sources fires. Any thread. */
int kvm_apic_local_deliver(struct kvm_lapic *apic, u32 lvt_reg);
void kvm_apic_nmi_wd_deliver(struct kvm_vcpu *vcpu); /* any thread */
void apic_update_ppr(struct kvm_lapic *apic);
void apic_set_eoi(struct kvm_lapic *apic);
void kvm_apic_ack_interrupt(struct kvm_vcpu *vcpu, int vector);

/* ---- lapic_map.c: destinations --------------------------------------------------------------- */
/* Something that the map depends on has changed (ID, LDR, DFR, enable bits). */
void kvm_apic_map_dirty(struct kvm *kvm);
/* Builds the map anew if it is dirty. Never call it inside an irq_srcu read section. */
void kvm_recalculate_apic_map(struct kvm *kvm);
/* Any thread. Number of CPUs that accepted, 0 where all of them discarded it, -1 where none matched. */
int kvm_irq_delivery_to_apic(struct kvm *kvm, struct kvm_lapic *src, const struct kvm_lapic_irq *irq);
/* By the map alone; false: the map cannot tell. */
bool kvm_irq_delivery_to_apic_fast(struct kvm *kvm, struct kvm_lapic *src, const struct kvm_lapic_irq *irq,
				   int *r);
bool kvm_apic_match_dest(struct kvm_vcpu *vcpu, struct kvm_lapic *src, const struct kvm_lapic_irq *irq);
void kvm_apic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high);

/* ---- lapic_timer.c (own thread) -------------------------------------------------------------- */
void lapic_timer_init(struct kvm_lapic *apic);
void lapic_timer_cancel(struct kvm_lapic *apic);
void lapic_timer_update_mode(struct kvm_lapic *apic);   /* LVTT was written */
void lapic_timer_update_divide(struct kvm_lapic *apic); /* TDCR was written */
void lapic_timer_set_initial(struct kvm_lapic *apic, u32 count);
u32 lapic_timer_current(struct kvm_lapic *apic);
/* KVM_SET_LAPIC: all timer registers are new; current is the saved current count. */
void lapic_timer_restore(struct kvm_lapic *apic, u32 current);
u32 lapic_timer_mode_mask(const struct kvm_lapic *apic);
bool apic_has_pending_timer(struct kvm_vcpu *vcpu);
void kvm_inject_apic_timer_irqs(struct kvm_vcpu *vcpu);

#endif
