/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM_RUN. Finish what user space answered; then, until something needs user space: requests, the interrupt
 * controller's lines, enter the guest, handle the exit. WFI and a vCPU that is off sleep instead of entering.
 *
 * This is the only file that writes struct kvm_run. It is shared with the client, who may write it at any
 * time: what is read from it is read once and checked.
 */
#include <string.h>
#include "arch/arm64/arm64.h"

/* ---- filling kvm_run -------------------------------------------------------------------------------- */

static int exit_reason(struct kvm_vcpu *vcpu, u32 reason, int ret)
{
	vcpu->run->exit_reason = reason;
	return ret;
}

int kvm_exit_mmio(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	struct kvm_run *run = vcpu->run;

	run->mmio.phys_addr = s->exit.mmio.gpa;
	run->mmio.len = s->exit.mmio.len;
	run->mmio.is_write = s->exit.mmio.write;
	memcpy(run->mmio.data, s->exit.mmio.data, sizeof(run->mmio.data));
	vcpu->mmio_needed = true;
	return exit_reason(vcpu, KVM_EXIT_MMIO, 0);
}

/* The ISS without what is not valid: as kvm_vcpu_dabt_iss_nisv_sanitized keeps CM, WnR, FSC and S1PTW. */
int kvm_exit_nisv(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);

	vcpu->run->arm_nisv.esr_iss = s->exit.mmio.esr & (BIT(8) | ESR_ELx_WNR | 0x3f);
	vcpu->run->arm_nisv.fault_ipa = s->exit.mmio.gpa;
	return exit_reason(vcpu, KVM_EXIT_ARM_NISV, 0);
}

int kvm_exit_debug(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);

	vcpu->run->debug.arch = (struct kvm_debug_exit_arch){ .hsr = s->exit.debug.esr, .far = s->exit.debug.far };
	vcpu->run->flags = KVM_DEBUG_ARCH_HSR_HIGH_VALID;
	return exit_reason(vcpu, KVM_EXIT_DEBUG, 0);
}

int kvm_exit_internal(struct kvm_vcpu *vcpu, u32 suberror, const u64 *data, u32 ndata)
{
	struct kvm_run *run = vcpu->run;

	run->internal.suberror = suberror;
	run->internal.ndata = MIN(ndata, (u32)ARRAY_SIZE(run->internal.data));
	for (u32 i = 0; i < run->internal.ndata; i++)
		run->internal.data[i] = data[i];
	return exit_reason(vcpu, KVM_EXIT_INTERNAL_ERROR, 0);
}

/* KVM_RUN fails as well: the client is to look at kvm_run all the same. */
int kvm_exit_memory_fault(struct kvm_vcpu *vcpu)
{
	struct kvm_run_memory_fault *f = (struct kvm_run_memory_fault *)&vcpu->run->hw;
	struct arm64_state *s = arm64s(vcpu);

	*f = (struct kvm_run_memory_fault){ s->exit.memory_fault.flags, s->exit.memory_fault.gpa,
					    s->exit.memory_fault.size };
	return exit_reason(vcpu, KVM_EXIT_MEMORY_FAULT, -EFAULT);
}

int kvm_exit_hypercall(struct kvm_vcpu *vcpu, u32 func_id, bool smc)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->hypercall.nr = func_id;
	/* 6.12's flags share the place of longmode. */
	run->hypercall.longmode = smc ? KVM_HYPERCALL_EXIT_SMC : 0;
	return exit_reason(vcpu, KVM_EXIT_HYPERCALL, 0);
}

int kvm_exit_system_event(struct kvm_vcpu *vcpu, u32 type, const u64 *data, u32 ndata)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->system_event, 0, sizeof(run->system_event));
	run->system_event.type = type;
	run->system_event.ndata = ndata;
	for (u32 i = 0; i < ndata; i++)
		run->system_event.data[i] = data[i];
	return exit_reason(vcpu, KVM_EXIT_SYSTEM_EVENT, 0);
}

/* ---- is there something to do ------------------------------------------------------------------------ */

static bool signal_pending(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->signal_pending, __ATOMIC_SEQ_CST);
}

static bool vcpu_can_run(struct kvm_vcpu *vcpu)
{
	return !kvm_arm_vcpu_stopped(vcpu) && !__atomic_load_n(&vcpu->arch.pause, __ATOMIC_SEQ_CST);
}

static u32 irq_lines(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.irq_lines, __ATOMIC_SEQ_CST);
}

bool kvm_arch_vcpu_runnable(struct kvm_vcpu *vcpu)
{
	if (!vcpu_can_run(vcpu))
		return false;
	if (irqchip_in_kernel(vcpu->kvm))
		return kvm_vgic_vcpu_pending_irq(vcpu);
	return irq_lines(vcpu) || kvm_timer_should_notify_user(vcpu) || kvm_pmu_should_notify_user(vcpu);
}

/* KVM_IRQ_LINE without in-kernel irqchip. */
int vcpu_interrupt_line(struct kvm_vcpu *vcpu, unsigned number, bool level)
{
	u32 bit = BIT(number), old;

	if (level)
		old = __atomic_fetch_or(&vcpu->arch.irq_lines, bit, __ATOMIC_SEQ_CST);
	else
		old = __atomic_fetch_and(&vcpu->arch.irq_lines, ~bit, __ATOMIC_SEQ_CST);
	if (!(old & bit) == level) {
		kvm_make_request(KVM_REQ_IRQ_PENDING, vcpu);
		kvm_vcpu_kick(vcpu);
	}
	return 0;
}

/* ---- sleeping ----------------------------------------------------------------------------------------- */

static void note_signal(struct kvm_vcpu *vcpu, int ret)
{
	if (ret == -EINTR)
		__atomic_store_n(&vcpu->signal_pending, 1, __ATOMIC_SEQ_CST);
}

void kvm_arch_vcpu_blocking(struct kvm_vcpu *vcpu)
{
}

bool kvm_arch_no_poll(struct kvm_vcpu *vcpu)
{
	return false;
}

void kvm_vcpu_wfi(struct kvm_vcpu *vcpu)
{
	kvm_timer_update(vcpu);
	note_signal(vcpu, kvm_vcpu_halt(vcpu));
	kvm_clear_request(KVM_REQ_UNBLOCK, vcpu);
}

/* Off, or held by kvm_arm_halt_guest: until that is over, or a signal comes. */
static void kvm_vcpu_sleep(struct kvm_vcpu *vcpu)
{
	while (!vcpu_can_run(vcpu) && !signal_pending(vcpu) && !kvm_test_request(KVM_REQ_VM_DEAD, vcpu))
		note_signal(vcpu, kvm_vcpu_block(vcpu));
	if (!vcpu_can_run(vcpu))
		kvm_make_request(KVM_REQ_SLEEP, vcpu);
}

/* KVM_MP_STATE_SUSPENDED: sleeps until there is an interrupt, which user space is told of. It alone ends the
 * state. */
static int kvm_vcpu_suspend(struct kvm_vcpu *vcpu)
{
	if (!kvm_arm_vcpu_suspended(vcpu))
		return 1;
	kvm_vcpu_wfi(vcpu);
	kvm_make_request(KVM_REQ_SUSPEND, vcpu);
	return kvm_arch_vcpu_runnable(vcpu) ? kvm_exit_system_event(vcpu, KVM_SYSTEM_EVENT_WAKEUP, NULL, 0)
					    : 1;
}

/* ---- requests: > 0 go on ------------------------------------------------------------------------------- */

static int check_vcpu_requests(struct kvm_vcpu *vcpu)
{
	if (!kvm_request_pending(vcpu))
		return 1;
	if (kvm_test_request(KVM_REQ_VM_DEAD, vcpu))
		return -EIO;
	if (kvm_check_request(KVM_REQ_SLEEP, vcpu))
		kvm_vcpu_sleep(vcpu);
	if (kvm_check_request(KVM_REQ_VCPU_RESET, vcpu))
		kvm_reset_vcpu(vcpu);
	kvm_clear_request(KVM_REQ_IRQ_PENDING, vcpu);
	kvm_clear_request(KVM_REQ_UNBLOCK, vcpu);
	if (kvm_check_request(KVM_REQ_TIMER, vcpu))
		kvm_timer_update(vcpu);
	if (kvm_check_request(KVM_REQ_PMU, vcpu))
		kvm_pmu_sync(vcpu);
	if (kvm_check_request(KVM_REQ_TLB_FLUSH, vcpu))
		hyp_arm64_request_flush_tlb(vcpu->hyp);
	if (kvm_check_request(KVM_REQ_RECORD_STEAL, vcpu))
		kvm_update_stolen_time(vcpu);
	if (kvm_check_request(KVM_REQ_SUSPEND, vcpu))
		return kvm_vcpu_suspend(vcpu);
	if (kvm_dirty_ring_check_request(vcpu))
		return exit_reason(vcpu, KVM_EXIT_DIRTY_RING_FULL, 0);
	return 1;
}

/* ---- the loop -------------------------------------------------------------------------------------------
 * */

static void flush_irq_lines(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	u32 lines;

	if (irqchip_in_kernel(vcpu->kvm)) {
		kvm_vgic_flush_hwstate(vcpu);
		return;
	}
	lines = irq_lines(vcpu);
	s->vi = lines & BIT(KVM_ARM_IRQ_CPU_IRQ);
	s->vf = lines & BIT(KVM_ARM_IRQ_CPU_FIQ);
}

/* Linux: vcpu->mode before the last look at the requests; see virt/request.c. */
static bool enter_guest_mode(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->mode, IN_GUEST_MODE, __ATOMIC_SEQ_CST);
	if (!kvm_request_pending(vcpu) && !signal_pending(vcpu))
		return true;
	__atomic_store_n(&vcpu->mode, OUTSIDE_GUEST_MODE, __ATOMIC_SEQ_CST);
	return false;
}

static int leave_for_signal(struct kvm_vcpu *vcpu)
{
	vcpu->stat->signal_exits++;
	return exit_reason(vcpu, KVM_EXIT_INTR, -EINTR);
}

static int vcpu_enter_guest(struct kvm_vcpu *vcpu)
{
	enum hyp_exit reason;

	flush_irq_lines(vcpu);
	/* A user-space irqchip hears of a timer's or PMU's output by KVM_RUN returning. */
	if (!irqchip_in_kernel(vcpu->kvm) &&
	    (kvm_timer_should_notify_user(vcpu) || kvm_pmu_should_notify_user(vcpu)))
		return exit_reason(vcpu, KVM_EXIT_INTR, -EINTR);
	if (!enter_guest_mode(vcpu))
		return 1;
	kvm_arm_setup_debug(vcpu);
	reason = hyp_cpu_run(vcpu->hyp);
	kvm_arm_clear_debug(vcpu);
	__atomic_store_n(&vcpu->mode, OUTSIDE_GUEST_MODE, __ATOMIC_SEQ_CST);
	return kvm_handle_exit(vcpu, reason);
}

static int vcpu_run(struct kvm_vcpu *vcpu)
{
	int ret = 1;

	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	vcpu->run->flags = 0;
	while (ret > 0) {
		if (signal_pending(vcpu))
			return leave_for_signal(vcpu);
		ret = check_vcpu_requests(vcpu);
		if (ret > 0)
			ret = vcpu_enter_guest(vcpu);
	}
	return ret;
}

/* ---- KVM_RUN ---------------------------------------------------------------------------------------------
 * */

/* Before the first run of each vCPU: what could be configured until now is final. */
static int first_run_init(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	int ret = 0;

	if (irqchip_in_kernel(kvm))
		ret = kvm_vgic_map_resources(kvm);
	if (!ret)
		ret = kvm_finalize_sys_regs(vcpu);
	if (!ret)
		ret = kvm_timer_enable(vcpu);
	if (!ret)
		ret = kvm_arm_pmu_v3_enable(vcpu);
	if (ret)
		return ret;
	pthread_mutex_lock(&kvm->arch.config_lock);
	__atomic_store_n(&kvm->arch.has_ran_once, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&kvm->arch.config_lock);
	__atomic_store_n(&vcpu->arch.has_run_once, true, __ATOMIC_RELEASE);
	return 0;
}

/* An answer for the access that left last time; user space may have made it void by injecting an abort. */
static void finish_mmio(struct kvm_vcpu *vcpu)
{
	if (vcpu->mmio_needed &&
	    __atomic_load_n(&vcpu->run->exit_reason, __ATOMIC_RELAXED) == KVM_EXIT_MMIO) {
		memcpy(arm64s(vcpu)->exit.mmio.data, vcpu->run->mmio.data, sizeof(vcpu->run->mmio.data));
		kvm_handle_mmio_return(vcpu);
	}
	vcpu->mmio_needed = false;
}

static void vcpu_load(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	u16 vmid = kvm_arm_vmid_update(&vcpu->kvm->arch.vmid);

	if (vmid != s->vmid || !vmid) {
		s->vmid = vmid;
		hyp_arm64_state_changed(vcpu->hyp);
	}
	if (kvm_arm_is_pvtime_enabled(vcpu))
		kvm_make_request(KVM_REQ_RECORD_STEAL, vcpu);
	kvm_timer_update(vcpu);
}

int kvm_arch_vcpu_ioctl_run(struct kvm_vcpu *vcpu)
{
	int ret;

	if (!kvm_vcpu_initialized(vcpu))
		return -ENOEXEC;
	if (!vcpu_has_run_once(vcpu)) {
		ret = first_run_init(vcpu);
		if (ret)
			return ret;
	}
	hyp_as_client_ran(vcpu->kvm->as);
	finish_mmio(vcpu);
	if (__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_ACQUIRE))
		return -EINTR;
	vcpu_load(vcpu);
	ret = vcpu_run(vcpu);
	if (!irqchip_in_kernel(vcpu->kvm)) {
		kvm_timer_update_run(vcpu);
		kvm_pmu_update_run(vcpu);
	}
	kvm_arm_vmid_put(&vcpu->kvm->arch.vmid);
	return ret;
}
