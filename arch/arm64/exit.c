/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit table: what KVM does when the CPU stops. A handler returns > 0 to re-enter the guest, 0 with
 * kvm_run filled (by run.c) to leave for user space, < 0 an errno for KVM_RUN.
 */
#include <sched.h>
#include "arch/arm64/arm64.h"

static int handle_intr(struct kvm_vcpu *vcpu)
{
	/* Requests and signals are looked at by the loop. */
	if (unlikely(arm64s(vcpu)->pmu.on))
		kvm_pmu_sync(vcpu);
	return 1;
}

static int handle_wfx(struct kvm_vcpu *vcpu)
{
	/* Before sleeping: user space may look at, or replace, the state while it lasts. */
	hyp_arm64_skip(vcpu->hyp);
	if (arm64s(vcpu)->exit.wfx.wfe)
		sched_yield(); /* what the guest spins for is another vCPU's to do */
	else
		kvm_vcpu_wfi(vcpu);
	return 1;
}

static int handle_hvc(struct kvm_vcpu *vcpu)
{
	vcpu->stat->hypercalls++;
	return kvm_smccc_call_handler(vcpu, false);
}

static int handle_smc(struct kvm_vcpu *vcpu)
{
	u16 imm = arm64s(vcpu)->exit.call.imm;

	vcpu->stat->hypercalls++;
	hyp_arm64_skip(vcpu->hyp);
	if (!imm)
		return kvm_smccc_call_handler(vcpu, true);
	vcpu_set_reg(vcpu, 0, ~0ull); /* reserved (DEN0028, 2.9): unknown function */
	return 1;
}

static int handle_debug(struct kvm_vcpu *vcpu)
{
	return kvm_exit_debug(vcpu);
}

/* What lies behind the slot is not mapped, or not with the right that the access needs. */
static int handle_host_fault(struct kvm_vcpu *vcpu)
{
	return -EFAULT;
}

static int handle_memory_fault(struct kvm_vcpu *vcpu)
{
	return kvm_exit_memory_fault(vcpu);
}

/* Our own fault: the VM is dead from here on, others live. */
static int handle_internal(struct kvm_vcpu *vcpu)
{
	u64 data[1] = { arm64s(vcpu)->exit.internal.pc };

	kvm_vm_bugged(vcpu->kvm, arm64s(vcpu)->exit.internal.what);
	return kvm_exit_internal(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, data, ARRAY_SIZE(data));
}

static int (*const exit_handlers[HYP_EXIT_NR])(struct kvm_vcpu *vcpu) = {
	[HYP_EXIT_INTR] = handle_intr,
	[HYP_EXIT_MMIO] = kvm_handle_mmio,
	[HYP_EXIT_DEBUG] = handle_debug,
	[HYP_EXIT_HOST_FAULT] = handle_host_fault,
	[HYP_EXIT_MEMORY_FAULT] = handle_memory_fault,
	[HYP_EXIT_WFX] = handle_wfx,
	[HYP_EXIT_SYSREG] = kvm_handle_sys_reg,
	[HYP_EXIT_HVC] = handle_hvc,
	[HYP_EXIT_SMC] = handle_smc,
	[HYP_EXIT_INTERNAL] = handle_internal,
};

static const char *const exit_names[HYP_EXIT_NR] = {
	[HYP_EXIT_INTR] = "intr", [HYP_EXIT_MMIO] = "mmio", [HYP_EXIT_DEBUG] = "debug",
	[HYP_EXIT_HOST_FAULT] = "host-fault", [HYP_EXIT_MEMORY_FAULT] = "memory-fault", [HYP_EXIT_WFX] = "wfx",
	[HYP_EXIT_SYSREG] = "sysreg", [HYP_EXIT_HVC] = "hvc", [HYP_EXIT_SMC] = "smc",
	[HYP_EXIT_INTERNAL] = "internal",
};

const char *kvm_arch_exit_name(unsigned reason)
{
	return exit_names[reason] ? exit_names[reason] : "none";
}

/* The one number that tells most about an exit. */
static u64 exit_detail(struct kvm_vcpu *vcpu, enum hyp_exit reason)
{
	struct arm64_state *s = arm64s(vcpu);

	switch (reason) {
	case HYP_EXIT_MMIO:
		return s->exit.mmio.gpa;
	case HYP_EXIT_SYSREG:
		return s->exit.sysreg.sys;
	case HYP_EXIT_HVC:
	case HYP_EXIT_SMC:
		return s->x[0];
	default:
		return 0;
	}
}

static void trace_exit(struct kvm_vcpu *vcpu, enum hyp_exit reason)
{
	kvm_trace(KVM_TRACE_EXIT, "exit", { "vcpu", (u64)vcpu->vcpu_id, NULL },
		  { "reason", 0, exit_names[reason] }, { "pc", arm64s(vcpu)->pc, NULL },
		  { "detail", exit_detail(vcpu, reason), NULL });
}

int kvm_handle_exit(struct kvm_vcpu *vcpu, enum hyp_exit reason)
{
	if ((unsigned)reason >= HYP_EXIT_NR || !exit_handlers[reason]) {
		u64 data[1] = { (u64)reason };

		return kvm_exit_internal(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, data, 1);
	}
	trace_exit(vcpu, reason);
	if (unlikely(kvm_perf_mapping))
		kvm_perf_map_note(vcpu);
	vcpu->stat->exits++;
	vcpu->stat->exit_reason[reason]++;
	return exit_handlers[reason](vcpu);
}
