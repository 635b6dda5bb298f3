/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arch/arm64's own seams: what its files offer each other. Names are Linux's (arch/arm64/kvm).
 *
 * Lock order, within that of virt/kvm_host.h: vcpu->mutex (lock_all_vcpus only tries them), kvm->lock,
 * kvm->slots_lock, arch.config_lock, a vCPU's arch.mp_state_lock, the vgic's locks (arch/arm64/vgic). "Own
 * thread": the thread inside the vCPU's KVM_RUN or holding vcpu->mutex for an ioctl.
 */
#ifndef KUSE_ARCH_ARM64_H
#define KUSE_ARCH_ARM64_H

#include "arch/arm64/vgic.h"
#include "virt/kvm_host.h"

#define INVALID_GPA (~0ull)

static inline struct arm64_state *arm64s(struct kvm_vcpu *vcpu)
{
	return hyp_arm64_state(vcpu->hyp);
}

/* X registers as an instruction names them: 31 is XZR. */
static inline u64 vcpu_get_reg(struct kvm_vcpu *vcpu, u8 rt)
{
	return rt == 31 ? 0 : arm64s(vcpu)->x[rt];
}

static inline void vcpu_set_reg(struct kvm_vcpu *vcpu, u8 rt, u64 val)
{
	if (rt != 31)
		arm64s(vcpu)->x[rt] = val;
}

/* ESR_ELx, as delivered to the guest. */
#define ESR_ELx_EC_UNKNOWN 0x00u
#define ESR_ELx_EC_IABT_LOW 0x20u
#define ESR_ELx_EC_IABT_CUR 0x21u
#define ESR_ELx_EC_DABT_LOW 0x24u
#define ESR_ELx_EC_DABT_CUR 0x25u
#define ESR_ELx_EC_SHIFT 26
#define ESR_ELx_IL (1u << 25)
#define ESR_ELx_FSC_EXTABT 0x10u
#define ESR_ELx_FSC_SEA_TTW(level) (0x14u + (level))
#define ESR_ELx_S1PTW (1u << 7)
#define ESR_ELx_WNR (1u << 6)

/* ---- start-up (init.c) ---- */
u32 get_kvm_ipa_limit(void); /* bits */

/* ---- a VM (vm.c), capabilities (caps.c) ---- */
bool kvm_vm_has_ran_once(struct kvm *kvm); /* arch.config_lock makes it stable */
#define vcpu_has_feature(vcpu, f) (!!((vcpu)->kvm->arch.vcpu_features & (1u << (f))))
u32 kvm_system_supported_vcpu_features(void);
void kvm_arm_halt_guest(struct kvm *kvm);
void kvm_arm_resume_guest(struct kvm *kvm);

/* ---- a vCPU (vcpu.c) ---- */
void kvm_reset_vcpu(struct kvm_vcpu *vcpu); /* own thread */
u64 kvm_default_mpidr(u32 id);
bool kvm_arm_vcpu_stopped(struct kvm_vcpu *vcpu);
bool kvm_arm_vcpu_suspended(struct kvm_vcpu *vcpu);
void kvm_arm_vcpu_power_off(struct kvm_vcpu *vcpu);
bool kvm_vcpu_initialized(struct kvm_vcpu *vcpu);

/* ---- KVM_RUN (run.c): the only file that writes kvm_run ---- */
int kvm_exit_mmio(struct kvm_vcpu *vcpu);
int kvm_exit_nisv(struct kvm_vcpu *vcpu);
int kvm_exit_debug(struct kvm_vcpu *vcpu);
int kvm_exit_internal(struct kvm_vcpu *vcpu, u32 suberror, const u64 *data, u32 ndata);
int kvm_exit_memory_fault(struct kvm_vcpu *vcpu);
int kvm_exit_hypercall(struct kvm_vcpu *vcpu, u32 func_id, bool smc);
/* data: ndata values, may be none. */
int kvm_exit_system_event(struct kvm_vcpu *vcpu, u32 type, const u64 *data, u32 ndata);
/* WFI: until an interrupt can be taken, a request or a signal comes. */
void kvm_vcpu_wfi(struct kvm_vcpu *vcpu);

/* ---- the exit table (exit.c), MMIO (mmio.c) ---- */
int kvm_handle_exit(struct kvm_vcpu *vcpu, enum hyp_exit reason);
int kvm_handle_mmio(struct kvm_vcpu *vcpu);
int kvm_handle_mmio_return(struct kvm_vcpu *vcpu);

/* ---- what KVM injects (inject.c). Own thread ---- */
void kvm_inject_undefined(struct kvm_vcpu *vcpu);
void kvm_inject_dabt(struct kvm_vcpu *vcpu, u64 far);  /* synchronous external abort of a data access */
void kvm_inject_pabt(struct kvm_vcpu *vcpu, u64 far);
void kvm_inject_serror(struct kvm_vcpu *vcpu, u64 esr); /* ISS */

/* ---- registers for user space (guest.c) ---- */
long kvm_arm_set_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg);
long kvm_arm_get_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg);
long kvm_arm_get_reg_list(struct kvm_vcpu *vcpu, unsigned long arg);

/* A list of register ids on its way to the client: counted, and written where at is not 0. */
struct reg_list_out {
	unsigned long at; /* client address of the next one, or 0 */
	u64 n;
	int error;
};
void reg_list_put(struct reg_list_out *out, u64 id);

/* ---- system registers (sys_regs.c, sys_regs_table.c, id_regs.c) ---- */
int kvm_sys_reg_table_init(const char **verdict, const char **remedy);
void kvm_reset_sys_regs(struct kvm_vcpu *vcpu);
void kvm_init_id_regs(struct kvm *kvm);       /* first reset of a VM's vCPU; config_lock */
int kvm_finalize_sys_regs(struct kvm_vcpu *vcpu); /* first run */
int kvm_handle_sys_reg(struct kvm_vcpu *vcpu); /* exit.sysreg */
long kvm_arm_sys_reg_get_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg);
long kvm_arm_sys_reg_set_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg);
void kvm_arm_copy_sys_reg_indices(struct kvm_vcpu *vcpu, struct reg_list_out *out);
long kvm_vm_ioctl_get_reg_writable_masks(struct kvm *kvm, const struct reg_mask_range *range);
u64 kvm_read_id_reg(struct kvm *kvm, u32 sys);

/* ---- hypercalls (hypercalls.c, psci.c, trng.c, pvtime.c): > 0 go on, 0 leave, < 0 errno ---- */
int kvm_smccc_call_handler(struct kvm_vcpu *vcpu, bool smc);
void smccc_set_retval(struct kvm_vcpu *vcpu, u64 a0, u64 a1, u64 a2, u64 a3);
int kvm_psci_call(struct kvm_vcpu *vcpu);
int kvm_trng_call(struct kvm_vcpu *vcpu);
void kvm_arm_init_hypercalls(struct kvm *kvm);
void kvm_arm_teardown_hypercalls(struct kvm *kvm);
u32 kvm_psci_version(struct kvm_vcpu *vcpu);
long kvm_arm_get_fw_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg);
long kvm_arm_set_fw_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg);
void kvm_arm_copy_fw_reg_indices(struct reg_list_out *out);
int kvm_vm_smccc_has_attr(struct kvm *kvm, const struct kvm_device_attr *attr);
int kvm_vm_smccc_set_attr(struct kvm *kvm, const struct kvm_device_attr *attr);

void kvm_arm_pvtime_vcpu_init(struct kvm_vcpu *vcpu);
u64 kvm_hypercall_pv_features(struct kvm_vcpu *vcpu);
gpa_t kvm_init_stolen_time(struct kvm_vcpu *vcpu);
void kvm_update_stolen_time(struct kvm_vcpu *vcpu);
static inline bool kvm_arm_is_pvtime_enabled(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.steal.base != INVALID_GPA;
}

/* ---- the generic timer (arch_timer.c) ---- */
int kvm_timer_hyp_init(const char **verdict, const char **remedy);
void kvm_timer_init_vm(struct kvm *kvm);
void kvm_timer_vcpu_init(struct kvm_vcpu *vcpu);
void kvm_timer_vcpu_reset(struct kvm_vcpu *vcpu);
void kvm_timer_vcpu_terminate(struct kvm_vcpu *vcpu);
int kvm_timer_enable(struct kvm_vcpu *vcpu); /* first run */
/* Own thread, before the guest runs or sleeps: outputs as they are now, host timers for when they change. */
void kvm_timer_update(struct kvm_vcpu *vcpu);
bool kvm_timer_should_notify_user(struct kvm_vcpu *vcpu);
void kvm_timer_update_run(struct kvm_vcpu *vcpu);
bool kvm_timer_access(struct kvm_vcpu *vcpu, u32 sys, bool write, u64 *val); /* guest; false: UNDEFINED */
u64 kvm_arm_timer_get_reg(struct kvm_vcpu *vcpu, u64 id);
int kvm_arm_timer_set_reg(struct kvm_vcpu *vcpu, u64 id, u64 val);
bool kvm_arm_is_timer_reg(u64 id);
void kvm_arm_copy_timer_indices(struct reg_list_out *out);
int kvm_vm_ioctl_set_counter_offset(struct kvm *kvm, const struct kvm_arm_counter_offset *offset);
u64 kvm_timer_ticks_to_ns(u64 ticks); /* rounded up; an hour at most */
u64 kvm_timer_vm_counter(struct kvm *kvm, enum kvm_arch_timers timer); /* as an offset-less vCPU reads it */

/* ---- the performance monitor: counting (pmu.c), registers (pmu_regs.c), attributes (pmu_attr.c) ---- */
void kvm_pmu_init_vm(struct kvm *kvm); /* once the VM's features are known; config_lock */
void kvm_pmu_destroy_vm(struct kvm *kvm);
void kvm_pmu_vcpu_init(struct kvm_vcpu *vcpu);
void kvm_pmu_vcpu_reset(struct kvm_vcpu *vcpu); /* after its registers */
void kvm_pmu_vcpu_destroy(struct kvm_vcpu *vcpu);
int kvm_arm_pmu_v3_enable(struct kvm_vcpu *vcpu); /* first run; 0, -EINVAL */
/* Own thread, outside the guest: the counters are what they are now, so is the interrupt. */
void kvm_pmu_sync(struct kvm_vcpu *vcpu);
bool kvm_pmu_should_notify_user(struct kvm_vcpu *vcpu);
void kvm_pmu_update_run(struct kvm_vcpu *vcpu);

/* ---- attributes of a vCPU: -ENXIO where there is no such ---- */
struct vcpu_attr_group {
	u32 group;
	int (*set)(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr);
	int (*get)(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr);
	int (*has)(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr);
};
extern const struct vcpu_attr_group kvm_timer_attrs, kvm_pvtime_attrs, kvm_pmu_attrs;

/* ---- guest debugging (debug.c) ---- */
#define KVM_GUESTDBG_VALID_MASK \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW | KVM_GUESTDBG_SINGLESTEP)
long kvm_arch_vcpu_ioctl_set_guest_debug(struct kvm_vcpu *vcpu, const struct kvm_guest_debug *dbg);
void kvm_arm_setup_debug(struct kvm_vcpu *vcpu); /* around hyp_cpu_run */
void kvm_arm_clear_debug(struct kvm_vcpu *vcpu);

#endif
