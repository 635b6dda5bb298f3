/* SPDX-License-Identifier: Apache-2.0 */
/* arch/x86's own seams: what its files (but the interrupt controllers: irq.h) offer each other. */
#ifndef KUSE_ARCH_X86_X86_H
#define KUSE_ARCH_X86_X86_H

#include "arch/x86/irq.h"

/* MSRs and small facts of the SDM / APM that several files need. */
#define KVM_TSC_RATIO_SHIFT 48
#define KVM_MAX_GUEST_TSC_KHZ 0x7fffffffu
#define X86_DR6_FIXED_1 0xffff0ff0ul
#define X86_DR6_VOLATILE 0x0001e80ful
#define X86_DR7_FIXED_1 0x400ul
#define MISC_ENABLE_MWAIT BIT_ULL(18)

static inline struct x86_state *x86s(struct kvm_vcpu *vcpu)
{
	return hyp_x86_state(vcpu->hyp);
}

static inline bool is_64_bit_mode(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);

	return (s->efer & X86_EFER_LMA) && (s->seg[X86_CS].ar & X86_AR_L);
}

static inline u64 kvm_linear_rip(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);

	return is_64_bit_mode(vcpu) ? s->rip : (u32)(s->seg[X86_CS].base + s->rip);
}

/* EDX:EAX as RDMSR, WRMSR, XSETBV use it. */
static inline u64 kvm_read_edx_eax(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);

	return (u32)s->gpr[X86_RAX] | (s->gpr[X86_RDX] << 32);
}

/* ---- cpuid.c ------------------------------------------------------------------------------------ */
struct cpuid_regs {
	u32 eax, ebx, ecx, edx;
};
int kvm_cpuid_init(const char **verdict, const char **remedy); /* reads the host, masks the table */
u64 kvm_supported_xcr0(void);
u32 kvm_host_maxphyaddr(void);
/* Size of the standard-format XSAVE area for these components. */
u32 kvm_xstate_size(u64 xcr0);
int kvm_dev_ioctl_get_supported_cpuid(unsigned long arg, bool emulated);
int kvm_vcpu_ioctl_set_cpuid(struct kvm_vcpu *vcpu, unsigned long arg);
int kvm_vcpu_ioctl_set_cpuid2(struct kvm_vcpu *vcpu, unsigned long arg);
int kvm_vcpu_ioctl_get_cpuid2(struct kvm_vcpu *vcpu, unsigned long arg);
/* What CPUID returns to the guest. */
void kvm_cpuid(struct kvm_vcpu *vcpu, u32 function, u32 index, struct cpuid_regs *out);
bool guest_cpuid_has(struct kvm_vcpu *vcpu, u32 function, u32 index, int reg, u32 bit);
/* KVM_FEATURE_*: there for the guest. Without KVM_CAP_ENFORCE_PV_FEATURE_CPUID all are. */
static inline bool guest_pv_has(struct kvm_vcpu *vcpu, u32 feature)
{
	return !vcpu->arch.pv_cpuid_enforce || (vcpu->arch.pv_cpuid_features & (1u << feature));
}
enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
/* Recomputes what depends on CPUID. Called when user space has set it, and at creation. */
void kvm_vcpu_after_set_cpuid(struct kvm_vcpu *vcpu);
bool kvm_vendor_amd_host(void);

/* ---- msr.c ----------------------------------------------------------------------------------------- */
/* 0; 1: #GP (or the index does not exist, KVM_MSR_RET_INVALID). Guest: from WRMSR/RDMSR. */
#define KVM_MSR_RET_INVALID 2
int kvm_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int kvm_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host);
int kvm_msr_table_init(const char **verdict, const char **remedy);
long kvm_vcpu_ioctl_get_msrs(struct kvm_vcpu *vcpu, unsigned long arg);
long kvm_vcpu_ioctl_set_msrs(struct kvm_vcpu *vcpu, unsigned long arg);
long kvm_dev_ioctl_get_msrs(unsigned long arg);
long kvm_dev_ioctl_get_msr_index_list(unsigned long arg, bool features);
void kvm_msrs_reset(struct kvm_vcpu *vcpu);
bool kvm_efer_valid(struct kvm_vcpu *vcpu, u64 efer);
/* KVM_X86_GET_MCE_CAP_SUPPORTED: MCG_CTL_P, MCG_CMCI_P, MCG_SER_P */
#define KVM_MCE_CAP_SUPPORTED (BIT_ULL(8) | BIT_ULL(10) | BIT_ULL(24))
long kvm_vcpu_ioctl_setup_mce(struct kvm_vcpu *vcpu, u64 mcg_cap);
long kvm_vcpu_ioctl_set_mce(struct kvm_vcpu *vcpu, const struct kvm_x86_mce *mce);

/* Hypercalls that can be made to leave for user space. */
#define KVM_EXIT_HYPERCALL_MASK (1u << KVM_HC_MAP_GPA_RANGE)

/* ---- pmu.c ---- */
long kvm_vm_ioctl_set_pmu_event_filter(unsigned long arg);

/* ---- msr_filter.c ------------------------------------------------------------------------------------ */
long kvm_vm_ioctl_set_msr_filter(struct kvm *kvm, unsigned long arg);
void kvm_msr_filter_free(struct kvm *kvm);
bool kvm_msr_allowed(struct kvm_vcpu *vcpu, u32 index, u32 type);

/* ---- regs.c ------------------------------------------------------------------------------------------ */
extern const struct kvm_ioctl_row kvm_reg_ioctls[];
extern const size_t kvm_nr_reg_ioctls;
void kvm_store_sync_regs(struct kvm_vcpu *vcpu, struct kvm_sync_regs *out, u64 fields);
int kvm_load_sync_regs(struct kvm_vcpu *vcpu, const struct kvm_sync_regs *in, u64 fields);
int kvm_set_xcr0(struct kvm_vcpu *vcpu, u64 xcr0);
void kvm_get_vcpu_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev);
int kvm_set_vcpu_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev);

/* ---- events.c ------------------------------------------------------------------------------------------ */
extern const struct kvm_ioctl_row kvm_event_ioctls[];
extern const size_t kvm_nr_event_ioctls;

/* ---- inject.c ------------------------------------------------------------------------------------------ */
void kvm_queue_exception(struct kvm_vcpu *vcpu, u8 vector);
void kvm_queue_exception_e(struct kvm_vcpu *vcpu, u8 vector, u32 error);
void kvm_process_nmi(struct kvm_vcpu *vcpu);
/* Picks the event to deliver at the next entry; asks for windows. 0, or < 0. */
int kvm_inject_events(struct kvm_vcpu *vcpu, bool want_window);
/* After hyp_cpu_run: what was delivered is forgotten, the rest stays to be injected again. */
void kvm_complete_injection(struct kvm_vcpu *vcpu);
bool kvm_event_needs_reinjection(struct kvm_vcpu *vcpu);
void kvm_deliver_exception_payload(struct kvm_vcpu *vcpu);

/* ---- exit.c ---- */
/* > 0: re-enter, 0: kvm_run is filled, < 0: -errno. */
int kvm_handle_exit(struct kvm_vcpu *vcpu, enum hyp_exit reason);

/* ---- hypercall.c ---- */
int kvm_emulate_hypercall(struct kvm_vcpu *vcpu);

/* ---- run.c: the only file that writes kvm_run ---- */
int kvm_exit_io(struct kvm_vcpu *vcpu, const struct x86_exit *e);
int kvm_exit_mmio(struct kvm_vcpu *vcpu, const struct x86_exit *e);
int kvm_exit_hlt(struct kvm_vcpu *vcpu);
int kvm_exit_set_tpr(struct kvm_vcpu *vcpu);
int kvm_exit_memory_fault(struct kvm_vcpu *vcpu, gpa_t gpa, bool private);
int kvm_exit_shutdown(struct kvm_vcpu *vcpu);
int kvm_exit_debug(struct kvm_vcpu *vcpu, const struct x86_exit *e);
int kvm_exit_emulation_failure(struct kvm_vcpu *vcpu, const struct x86_exit *e);
int kvm_exit_internal(struct kvm_vcpu *vcpu, u32 suberror, const u64 *data, u32 ndata);
/* For user space to answer; its answer becomes RAX. */
int kvm_exit_hypercall(struct kvm_vcpu *vcpu, u64 nr, const u64 args[3], bool long_mode);
int kvm_exit_hyperv(struct kvm_vcpu *vcpu, const struct kvm_hyperv_exit *exit,
		    int (*complete)(struct kvm_vcpu *));
int kvm_exit_msr(struct kvm_vcpu *vcpu, bool write, u32 index, u64 data, u32 reason);

/* ---- pvclock.c, tsc.c ---- */
int kvm_tsc_init(const char **verdict, const char **remedy); /* host TSC frequency */
u32 kvm_host_tsc_khz(void);
void kvm_tsc_vcpu_create(struct kvm_vcpu *vcpu);
int kvm_set_tsc_khz(struct kvm_vcpu *vcpu, u32 khz);
void kvm_synchronize_tsc(struct kvm_vcpu *vcpu, u64 value); /* host write of IA32_TSC */
void kvm_adjust_tsc_offset(struct kvm_vcpu *vcpu, s64 delta);
void kvm_write_tsc_offset(struct kvm_vcpu *vcpu, u64 offset);
u64 kvm_scale_tsc(struct kvm_vcpu *vcpu, u64 host_tsc);
void kvm_clock_init_vm(struct kvm *kvm);
void kvm_update_masterclock(struct kvm *kvm);
u64 kvm_get_kvmclock_ns(struct kvm *kvm);
int kvm_get_clock(struct kvm *kvm, struct kvm_clock_data *data);
int kvm_set_clock(struct kvm *kvm, const struct kvm_clock_data *data);
int kvm_set_system_time_msr(struct kvm_vcpu *vcpu, u64 data, bool old_msr);
u64 kvm_get_wall_clock_epoch(struct kvm *kvm); /* CLOCK_REALTIME in ns at kvmclock's 0 */
/* ns = (cycles << shift) * mul >> 32 of a clock of this frequency. */
void kvm_get_time_scale(u32 khz, u32 *mul, s8 *shift);
void kvm_write_wall_clock(struct kvm *kvm, gpa_t gpa);
void kvm_guest_time_update(struct kvm_vcpu *vcpu);
int kvm_set_guest_paused(struct kvm_vcpu *vcpu);
int kvm_pv_clock_pairing(struct kvm_vcpu *vcpu, gpa_t gpa, u64 type);

/* ---- steal.c ---- */
int kvm_set_steal_time_msr(struct kvm_vcpu *vcpu, u64 data);
void kvm_record_steal_time(struct kvm_vcpu *vcpu);   /* entering: not preempted; a flush owed is done */
void kvm_steal_time_set_preempted(struct kvm_vcpu *vcpu);
void kvm_steal_time_tick(struct kvm_vcpu *vcpu);     /* requests an update now and then */

#endif
