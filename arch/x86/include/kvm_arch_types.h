/* SPDX-License-Identifier: Apache-2.0 */
/* struct kvm_arch and struct kvm_vcpu_arch of x86: what Linux keeps in asm/kvm_host.h. */
#ifndef KUSE_ARCH_X86_TYPES_H
#define KUSE_ARCH_X86_TYPES_H

#include "hyp/sys/x86/state.h"
#include "kvm_arch_hyperv.h"
#include "kvm_arch_xen.h"

#define KVM_HALT_POLL_NS_DEFAULT 200000
#define KVM_MAX_VCPUS 1024 /* ids go to KVM_MAX_VCPU_IDS */
#define KVM_MAX_VCPU_IDS 4096
#define KVM_INTERNAL_MEM_SLOTS 3
#define KVM_MAX_NR_ADDRESS_SPACES 2 /* the second one is what a CPU in SMM sees */
#define KVM_NR_IRQCHIPS 3
#define KVM_IRQCHIP_NUM_PINS 24

struct kvm_lapic;
struct kvm_pic;
struct kvm_ioapic;
struct kvm_pit;
struct kvm_apic_map;
struct x86_msr_filter;

enum kvm_irqchip_mode { KVM_IRQCHIP_NONE, KVM_IRQCHIP_KERNEL, KVM_IRQCHIP_SPLIT };

/* Request bits (KVM_REQUEST_ARCH_BASE = 8). */
enum {
	KVM_REQ_EVENT = 8,      /* look for something to inject */
	KVM_REQ_NMI,
	KVM_REQ_PMI,
	KVM_REQ_TRIPLE_FAULT,
	KVM_REQ_REPORT_TPR_ACCESS,
	KVM_REQ_STEAL_UPDATE,
	KVM_REQ_CLOCK_UPDATE,
	KVM_REQ_MASTERCLOCK_UPDATE,
	KVM_REQ_SCAN_IOAPIC,     /* split irqchip: compute ioapic_handled_vectors */
	KVM_REQ_IOAPIC_EOI_EXIT, /* split irqchip: tell user space pending_ioapic_eoi */
	KVM_REQ_TLB_FLUSH_GUEST, /* PV TLB flush */
	KVM_REQ_SMI,
	KVM_REQ_MCE,
	KVM_REQ_HV_CRASH,        /* Hyper-V: the guest has crashed, */
	KVM_REQ_HV_RESET,        /* wants a reset, */
	KVM_REQ_HV_EXIT,         /* has something for user space; */
	KVM_REQ_HV_STIMER,       /* timers to look at; */
	KVM_REQ_HV_TLB_FLUSH,    /* flush everything */
};

struct kvm_queued_exception {
	bool pending;  /* raised by KVM or user space, not delivered yet: side effects not applied */
	bool injected; /* being delivered; re-injected until delivery ended */
	bool has_error_code;
	u8 vector;
	u32 error_code;
	bool has_payload;
	u64 payload;
};

struct kvm_queued_interrupt {
	bool injected;
	bool soft;
	u8 nr;
};

struct kvm_pv_time {
	gpa_t gpa;
	bool active;
};

#define KVM_MAX_CPUID_ENTRIES 256
#define KVM_MAX_MCE_BANKS 32
#define KVM_NR_VAR_MTRR 8

struct kvm_vcpu_arch {
	struct kvm_lapic *apic; /* NULL without in-kernel LAPIC */
	u64 apic_base;          /* MSR_IA32_APICBASE */
	u32 mp_state;           /* KVM_MP_STATE_*; only the vCPU's own thread (or its ioctls) writes it */
	u8 sipi_vector;
	bool at_instruction_boundary;

	struct kvm_queued_exception exception;
	struct kvm_queued_interrupt interrupt;
	u32 nmi_queued;      /* atomic: raised by anyone */
	u32 nmi_pending;
	bool nmi_injected;
	bool triple_fault_pending;
	bool smi_pending;
	bool smm_inside_nmi; /* the SMI came while NMIs were blocked: RSM leaves them so */
	u8 handed_over;      /* enum x86_event_type given to the CPU for the coming entry */
	bool tpr_access_reporting;
	struct {
		u64 rip;
		bool write;
	} tpr_access; /* what KVM_REQ_REPORT_TPR_ACCESS tells */
	int pending_external_vector; /* userspace PIC with in-kernel LAPIC (split irqchip); -1 none */

	/* split irqchip */
	int pending_ioapic_eoi;
	u64 ioapic_handled_vectors[4];

	/* PV EOI: MSR_KVM_PV_EOI_EN. Owned by lapic.c */
	struct {
		u64 msr_val;
		gpa_t gpa;
		bool active; /* the guest's EOI bit is set in memory */
	} pv_eoi;
	/* MSR_KVM_POLL_CONTROL, wall clock and system time */
	u64 msr_kvm_poll_control;
	u64 time; /* MSR_KVM_SYSTEM_TIME_NEW */
	struct kvm_pv_time pv_time;
	u32 pvclock_version;
	bool pvclock_set_guest_stopped_request;
	struct {
		u64 msr_val;
		bool preempted;  /* the guest has been told so */
		u64 last_tsc;    /* of the last look at the clocks */
		u64 owed;        /* ns stolen that the guest has not been told yet */
		u64 run_delay;   /* of this thread, as it was then */
		pthread_t thread;
		u64 wall_ns, cpu_ns; /* CLOCK_MONOTONIC and thread CPU time then */
	} st;
	struct {
		u64 msr_en_val, msr_int_val;
	} apf;
	bool pv_unhalted;

	/* TSC: guest = host * ratio + offset. The copy other threads may read. */
	u32 virtual_tsc_khz;
	u64 l1_tsc_offset;
	u64 l1_tsc_scaling_ratio;
	u64 ia32_tsc_adjust_msr;

	/* CPUID set by user space */
	int cpuid_nent;
	struct kvm_cpuid_entry2 *cpuid_entries;
	bool last_vmentry_seen; /* KVM_RUN ran: CPUID may not change any more */
	u32 pv_cpuid_features;
	bool pv_cpuid_enforce;
	struct kvm_vcpu_hv *hyperv; /* hyperv.h; NULL until something of Hyper-V is used */
	struct kvm_vcpu_xen xen;
	u32 xen_cpuid_base;         /* first leaf of Xen's in the guest's CPUID, or 0 */
	bool hyperv_enabled;        /* the guest's CPUID says Hyper-V */
	bool guest_has_x2apic, guest_has_tsc_deadline, guest_has_arch_capabilities;

	/* MSRs that only KVM reads */
	u64 mcg_cap, mcg_status, mcg_ctl, mcg_ext_ctl;
	u64 mce_banks[4 * KVM_MAX_MCE_BANKS];
	u64 mci_ctl2_banks[KVM_MAX_MCE_BANKS];
	u64 microcode_version, arch_capabilities, ia32_misc_enable, msr_platform_info, msr_misc_features_enables;
	u64 msr_ia32_power_ctl, de_cfg, spec_ctrl, tfa_ctl, perf_capabilities, smbase, osvw_length, osvw_status, hwcr,
		virt_spec_ctrl, smi_count;
	struct {
		u64 deftype, fixed[11], var[2 * KVM_NR_VAR_MTRR];
	} mtrr;
	u64 debugctl;

	u32 guest_debug; /* KVM_GUESTDBG_* as set */

	/* what the next KVM_RUN has to finish first, set by the handler that left for user space */
	int (*complete_userspace_io)(struct kvm_vcpu *vcpu);
	struct {
		u64 linear_rip;   /* of the instruction that waits for an answer */
	} pio;
	bool msr_user_write; /* KVM_EXIT_X86_WRMSR is out */
	u64 cr8_before;      /* at the last entry */
	u32 apic_attention;
	gpa_t vapic_addr;
};

struct kvm_arch {
	enum kvm_irqchip_mode irqchip_mode; /* written under kvm->lock, read with acquire */
	u8 nr_reserved_ioapic_pins;         /* split irqchip: KVM_CAP_SPLIT_IRQCHIP's argument */
	struct kvm_pic *vpic;
	struct kvm_ioapic *vioapic;
	struct kvm_pit *vpit;
	u32 vapics_in_nmi_mode;   /* atomic: LVT LINT0 = NMI, for the PIT's watchdog */
	struct kvm_apic_map *apic_map; /* srcu: kvm->irq_srcu; owned by lapic.c */
	pthread_mutex_t apic_map_lock;
	u32 apic_map_dirty;
	u64 irq_sources_bitmap;
	u64 apic_bus_cycle_ns;    /* KVM_CAP_X86_APIC_BUS_CYCLES_NS; 0: the default, 1 */
	int bsp_vcpu_id;
	u32 max_vcpu_ids;
	bool x2apic_format;                 /* KVM_CAP_X2APIC_API */
	bool x2apic_broadcast_quirk_disabled;

	u64 disabled_quirks; /* KVM_CAP_DISABLE_QUIRKS2 */
	bool exception_payload_enabled, triple_fault_event;
	bool pause_in_guest, hlt_in_guest, mwait_in_guest, cstate_in_guest;
	bool exit_on_emulation_error;
	bool bus_lock_detection_enabled, guest_can_read_msr_platform_info, enable_pmu;
	u32 hypercall_exit_enabled; /* KVM_CAP_EXIT_HYPERCALL: bits of KVM_HC_* */
	u32 user_space_msr_mask; /* KVM_MSR_EXIT_REASON_* */
	struct x86_msr_filter *msr_filter; /* srcu: kvm->srcu */
	u32 notify_window, notify_vmexit_flags;

	bool has_private_mem; /* KVM_X86_SW_PROTECTED_VM */
	gpa_t tss_addr, identity_map_addr;
	bool tss_addr_set;

	struct kvm_hv hyperv;
	struct kvm_xen xen;

	/* kvmclock: guest time = CLOCK_BOOTTIME ns + kvmclock_offset; see pvclock.c */
	pthread_mutex_t tsc_write_lock;
	s64 kvmclock_offset;
	u64 master_kernel_ns, master_cycle_now;
	bool use_master_clock;
	gpa_t wall_clock;
	u32 default_tsc_khz;
	u64 last_tsc_write_ns, last_tsc_value, cur_tsc_offset;
	bool has_last_tsc;
};

#endif
