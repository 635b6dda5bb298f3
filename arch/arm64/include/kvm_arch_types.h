/* SPDX-License-Identifier: Apache-2.0 */
/* struct kvm_arch and struct kvm_vcpu_arch of arm64: what Linux keeps in asm/kvm_host.h. */
#ifndef KUSE_ARCH_ARM64_TYPES_H
#define KUSE_ARCH_ARM64_TYPES_H

#include "hyp/sys/arm64/state.h"
#include "arch/arm64/vmid.h"
#include "kvm_arch_sys_regs.h"
#include "kvm_arch_vgic.h"
#include "uapi/kuse_kvm_arm64.h"

/* What virt/ wants to know (virt/kvm_host.h). */
#define KVM_HALT_POLL_NS_DEFAULT 500000
#define KVM_MAX_VCPUS VGIC_V3_MAX_CPUS
#define KVM_MAX_VCPU_IDS KVM_MAX_VCPUS
#define KVM_INTERNAL_MEM_SLOTS 0
#define KVM_MAX_NR_ADDRESS_SPACES 1

/* Request bits (KVM_REQUEST_ARCH_BASE = 8). */
enum {
	KVM_REQ_SLEEP = 8,       /* PSCI CPU_OFF, KVM_MP_STATE_STOPPED, SUSPENDED: look at mp_state */
	KVM_REQ_IRQ_PENDING,     /* the vgic has something for this vCPU */
	KVM_REQ_VCPU_RESET,      /* PSCI CPU_ON by another vCPU: arch.reset_state is set */
	KVM_REQ_RECORD_STEAL,
	KVM_REQ_RELOAD_GICv4,    /* kept for the number; never made */
	KVM_REQ_RELOAD_PMU,
	KVM_REQ_SUSPEND,         /* PSCI SYSTEM_SUSPEND */
	KVM_REQ_PMU,             /* a counter may have overflowed */
	KVM_REQ_TIMER,           /* a timer of this vCPU expired: update its line */
};

struct kvm_smccc_range;

/* Numbered as KVM_ARM_VCPU_TIMER_IRQ_*. The last two are EL2's: they have an interrupt number and nothing
 * else. */
enum kvm_arch_timers { TIMER_VTIMER, TIMER_PTIMER, NR_KVM_TIMERS, TIMER_HVTIMER = NR_KVM_TIMERS, TIMER_HPTIMER, NR_KVM_PPIS };

/* One timer of a vCPU (arch_timer.c). Only the vCPU's own thread (or its ioctls) touches it, but for hrtimer.
 * */
struct arch_timer_context {
	u64 cval;
	u32 ctl;        /* ENABLE, IMASK; ISTATUS is computed */
	bool level;     /* the output as the interrupt controller was told */
	struct kvm_timer hrtimer; /* runs out when the output goes up */
	struct kvm_vcpu *vcpu;
};

/* A vCPU's performance monitor (pmu.c); its registers are in sys_regs[]. Own thread, but for the timer. */
struct kvm_pmu {
	bool created;   /* KVM_ARM_VCPU_PMU_V3_INIT; this and irq_num under config_lock until then */
	bool running;   /* has run once: counts */
	bool irq_level; /* the output as the interrupt controller was told */
	int irq_num;    /* INTID, 0: none yet */
	struct kvm_timer timer; /* when a counter may overflow */
	u64 deadline;           /* of it, ns */
};

struct vcpu_reset_state { /* of a vCPU that is switched on by another one; published by KVM_REQ_VCPU_RESET */
	u64 pc, r0;
	bool be, reset;
};

#define KVM_VCPU_MAX_FEATURES 8
#define KVM_ARM_NR_ID_REGS 56 /* op0=3 op1=0 CRn=0 CRm=1..7 op2=0..7 */

struct kvm_vcpu_arch {
	bool initialized; /* KVM_ARM_VCPU_INIT was called */
	bool has_run_once;
	u32 mp_state;     /* KVM_MP_STATE_*; under mp_state_lock */
	pthread_mutex_t mp_state_lock;
	struct vcpu_reset_state reset_state; /* mp_state_lock */
	u32 pause;        /* kvm_arm_halt_guest: how many hold it; atomic */

	struct vgic_cpu vgic_cpu;
	struct arch_timer_context timer[NR_KVM_TIMERS];
	bool timer_enabled;
	struct kvm_pmu pmu;

	u64 mpidr;          /* MPIDR_EL1 as reset; the CPU's copy is what the guest reads */
	u64 sys_regs[KVM_NR_SYS_REGS]; /* registers that KVM holds (sys_regs.h) */
	u32 *ccsidr;        /* NULL: the defaults */
	u64 hfar;           /* FAR of the last abort that left the guest */
	u64 spsr32[4];      /* SPSR_abt, und, irq, fiq: user space's alone */

	u32 guest_debug;    /* KVM_GUESTDBG_* */
	struct kvm_guest_debug_arch external_debug_state;
	u64 mdscr_saved;    /* the guest's MDSCR_EL1 while user space debugs it */
	bool debug_loaded;
	bool debug_stale; /* the CPU's breakpoint registers are not those that are to count */

	struct {
		u64 base; /* IPA, or INVALID_GPA */
		u64 last_steal;
	} steal;

	u32 irq_lines;      /* without vgic: KVM_ARM_IRQ_TYPE_CPU; atomic, bits as HCR_EL2.VI, VF */
};

struct kvm_arch {
	pthread_mutex_t config_lock; /* inside vcpu->mutex; outside of slots_lock */
	struct vgic_dist vgic;
	u8 ipa_bits;
	struct kvm_vmid vmid;

	u32 vcpu_features;           /* of the first KVM_ARM_VCPU_INIT; config_lock */
	bool vcpu_features_configured, has_ran_once;
	bool nisv_to_user, system_suspend_enabled;
	u64 id_regs[KVM_ARM_NR_ID_REGS];
	u64 ctr_el0;
	bool id_regs_initialized;

	struct {
		u64 offset[NR_KVM_TIMERS]; /* counter = host - offset */
		u8 ppi[NR_KVM_PPIS];
		bool immutable_ppis, counter_offset_set;
	} timer;

	struct {
		u8 n;        /* PMCR_EL0.N: event counters; atomic, until the VM runs */
		u64 *filter; /* a bit an event that may be counted, NULL: all; replaced before the VM runs */
	} pmu;           /* config_lock */

	struct {
		u64 std_bmap, std_hyp_bmap, vendor_hyp_bmap;
	} smccc_feat;
	/* sorted; NULL: none; replaced under config_lock before the VM runs */
	struct kvm_smccc_range *smccc_filter;
	u32 psci_version;
};

#endif
