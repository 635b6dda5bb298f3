/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM_RUN. Finish what user space answered; then, until something needs user space: requests, pick an event
 * to inject, enter the guest, handle the exit. A halted vCPU sleeps instead of entering.
 *
 * This is the only file that writes struct kvm_run. It is shared with the client, who may write it at any
 * time: what is read from it is read once and checked.
 */
#include <string.h>
#include "arch/x86/hyperv.h"
#include "arch/x86/smm.h"
#include "arch/x86/xen.h"

#define PIO_PAGE_OFFSET 1 /* page of the kvm_run mapping, KVM_PIO_PAGE_OFFSET */

/* ---- filling kvm_run ------------------------------------------------------------------------------- */

static bool still_at_instruction(struct kvm_vcpu *vcpu)
{
	return kvm_linear_rip(vcpu) == vcpu->arch.pio.linear_rip;
}

static u8 *pio_data(struct kvm_vcpu *vcpu)
{
	return (u8 *)vcpu->run + PIO_PAGE_OFFSET * PAGE_SIZE;
}

/* User space has put the value in the PIO page; if it has moved RIP, the IN is forgotten. */
static int complete_io(struct kvm_vcpu *vcpu)
{
	struct x86_exit *e = &x86s(vcpu)->exit;

	if (!still_at_instruction(vcpu)) {
		hyp_x86_abort_access(vcpu->hyp);
		return 1;
	}
	e->io.data = 0;
	if (e->io.string)
		memcpy(x86s(vcpu)->ins_data, pio_data(vcpu), (size_t)e->io.size * e->io.count);
	else
		memcpy(&e->io.data, pio_data(vcpu), e->io.size);
	hyp_x86_complete_io(vcpu->hyp);
	return 1;
}

int kvm_exit_io(struct kvm_vcpu *vcpu, const struct x86_exit *e)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = e->io.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = e->io.size;
	run->io.port = e->io.port;
	run->io.count = e->io.count;
	run->io.data_offset = PIO_PAGE_OFFSET * PAGE_SIZE;
	if (e->io.in) {
		vcpu->arch.pio.linear_rip = kvm_linear_rip(vcpu);
		vcpu->arch.complete_userspace_io = complete_io;
	} else {
		memcpy(pio_data(vcpu), &e->io.data, e->io.size);
	}
	return 0;
}

static int complete_mmio(struct kvm_vcpu *vcpu)
{
	struct x86_exit *e = &x86s(vcpu)->exit;

	vcpu->mmio_needed = false;
	if (!still_at_instruction(vcpu)) {
		hyp_x86_abort_access(vcpu->hyp);
		return 1;
	}
	memcpy(e->mmio.data, vcpu->run->mmio.data, sizeof(e->mmio.data));
	hyp_x86_complete_mmio(vcpu->hyp);
	return 1;
}

int kvm_exit_mmio(struct kvm_vcpu *vcpu, const struct x86_exit *e)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = e->mmio.gpa;
	run->mmio.len = e->mmio.size;
	run->mmio.is_write = e->mmio.write;
	memcpy(run->mmio.data, e->mmio.data, sizeof(run->mmio.data));
	if (!e->mmio.write) {
		vcpu->mmio_needed = true;
		vcpu->arch.pio.linear_rip = kvm_linear_rip(vcpu);
		vcpu->arch.complete_userspace_io = complete_mmio;
	}
	return 0;
}

int kvm_exit_hlt(struct kvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return 0;
}

int kvm_exit_set_tpr(struct kvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return 0;
}

/* KVM_RUN fails as well: the client is to look at kvm_run all the same. */
int kvm_exit_memory_fault(struct kvm_vcpu *vcpu, gpa_t gpa, bool private)
{
	struct kvm_run_memory_fault *f = (struct kvm_run_memory_fault *)&vcpu->run->hw;

	vcpu->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	*f = (struct kvm_run_memory_fault){ private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0, gpa & PAGE_MASK, PAGE_SIZE };
	return -EFAULT;
}

int kvm_exit_shutdown(struct kvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	vcpu->mmio_needed = false;
	return 0;
}

int kvm_exit_debug(struct kvm_vcpu *vcpu, const struct x86_exit *e)
{
	struct kvm_debug_exit_arch *d = &vcpu->run->debug.arch;

	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	*d = (struct kvm_debug_exit_arch){ .exception = e->debug.vector, .pc = e->debug.pc, .dr6 = e->debug.dr6,
					   .dr7 = e->debug.dr7 };
	return 0;
}

int kvm_exit_internal(struct kvm_vcpu *vcpu, u32 suberror, const u64 *data, u32 ndata)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = MIN(ndata, (u32)ARRAY_SIZE(run->internal.data));
	for (u32 i = 0; i < run->internal.ndata; i++)
		run->internal.data[i] = data[i];
	return 0;
}

int kvm_exit_emulation_failure(struct kvm_vcpu *vcpu, const struct x86_exit *e)
{
	struct kvm_run *run = vcpu->run;
	u32 len = MIN((u32)e->emulation.len, 15u);

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	/* ndata counts 64-bit words: the flags, and two with the length and the bytes. */
	run->emulation_failure.ndata = len ? 3 : 1;
	run->emulation_failure.flags = len ? KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES : 0;
	run->emulation_failure.insn_size = (u8)len;
	memset(run->emulation_failure.insn_bytes, 0x90, sizeof(run->emulation_failure.insn_bytes));
	memcpy(run->emulation_failure.insn_bytes, e->emulation.bytes, len);
	return 0;
}

static int complete_msr(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	struct kvm_run *run = vcpu->run;
	u64 data = run->msr.data;

	if (run->msr.error) {
		kvm_queue_exception_e(vcpu, X86_GP, 0);
		return 1;
	}
	if (!vcpu->arch.msr_user_write) {
		s->gpr[X86_RAX] = (u32)data;
		s->gpr[X86_RDX] = data >> 32;
	}
	hyp_x86_skip(vcpu->hyp);
	return 1;
}

int kvm_exit_msr(struct kvm_vcpu *vcpu, bool write, u32 index, u64 data, u32 reason)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = index;
	run->msr.data = data;
	vcpu->arch.msr_user_write = write;
	vcpu->arch.complete_userspace_io = complete_msr;
	return 0;
}

static int complete_hypercall(struct kvm_vcpu *vcpu)
{
	u64 ret = vcpu->run->hypercall.ret;

	x86s(vcpu)->gpr[X86_RAX] = is_64_bit_mode(vcpu) ? ret : (u32)ret;
	hyp_x86_skip(vcpu->hyp);
	return 1;
}

int kvm_exit_hypercall(struct kvm_vcpu *vcpu, u64 nr, const u64 args[3], bool long_mode)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_HYPERCALL;
	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->hypercall.nr = nr;
	for (int i = 0; i < 3; i++)
		run->hypercall.args[i] = args[i];
	run->hypercall.longmode = long_mode; /* KVM_EXIT_HYPERCALL_LONG_MODE of the flags that replaced it */
	vcpu->arch.complete_userspace_io = complete_hypercall;
	return 0;
}

/* complete: what user space's answer is for, run by the next KVM_RUN; NULL: there is none. */
int kvm_exit_hyperv(struct kvm_vcpu *vcpu, const struct kvm_hyperv_exit *exit,
		    int (*complete)(struct kvm_vcpu *))
{
	vcpu->run->exit_reason = KVM_EXIT_HYPERV;
	vcpu->run->hyperv = *exit;
	vcpu->arch.complete_userspace_io = complete;
	return 0;
}

/* If user space has moved RIP, there is no result to be set. */
static int complete_xen_hypercall(struct kvm_vcpu *vcpu)
{
	if (kvm_linear_rip(vcpu) != vcpu->arch.xen.hypercall_rip)
		return 1;
	x86s(vcpu)->gpr[X86_RAX] = vcpu->run->xen.u.hcall.result;
	hyp_x86_skip(vcpu->hyp);
	return 1;
}

int kvm_exit_xen(struct kvm_vcpu *vcpu, const struct kvm_xen_exit *xen)
{
	vcpu->run->exit_reason = KVM_EXIT_XEN;
	vcpu->run->xen = *xen;
	vcpu->arch.xen.hypercall_rip = kvm_linear_rip(vcpu);
	vcpu->arch.complete_userspace_io = complete_xen_hypercall;
	return 0;
}

static int exit_system_event(struct kvm_vcpu *vcpu, u32 type)
{
	vcpu->run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	vcpu->run->system_event.type = type;
	vcpu->run->system_event.ndata = 0;
	return 0;
}

static int exit_reason(struct kvm_vcpu *vcpu, u32 reason, int ret)
{
	vcpu->run->exit_reason = reason;
	return ret;
}

/* ---- is there something to do ------------------------------------------------------------------------ */

static bool signal_pending(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->signal_pending, __ATOMIC_SEQ_CST);
}

static bool vcpu_running(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE;
}

static bool vcpu_has_events(struct kvm_vcpu *vcpu)
{
	if (lapic_in_kernel(vcpu) && kvm_apic_has_pending_init_or_sipi(vcpu) &&
	    kvm_apic_init_sipi_allowed(vcpu))
		return true;
	if (__atomic_load_n(&vcpu->arch.pv_unhalted, __ATOMIC_SEQ_CST) || vcpu->arch.exception.pending)
		return true;
	if (kvm_test_request(KVM_REQ_SMI, vcpu) || (vcpu->arch.smi_pending && hyp_x86_smi_allowed(vcpu->hyp)))
		return true;
	if (kvm_test_request(KVM_REQ_NMI, vcpu) || (vcpu->arch.nmi_pending && hyp_x86_nmi_allowed(vcpu->hyp)))
		return true;
	if (kvm_test_request(KVM_REQ_TRIPLE_FAULT, vcpu))
		return true;
	if (kvm_xen_has_pending_events(vcpu))
		return true;
	if (vcpu->arch.mp_state == KVM_MP_STATE_UNINITIALIZED ||
	    vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return false;
	return kvm_hv_has_stimer_pending(vcpu) ||
	       (kvm_cpu_has_interrupt(vcpu) && hyp_x86_irq_allowed(vcpu->hyp));
}

bool kvm_arch_vcpu_runnable(struct kvm_vcpu *vcpu)
{
	return vcpu_running(vcpu) || vcpu_has_events(vcpu);
}

bool kvm_arch_no_poll(struct kvm_vcpu *vcpu)
{
	return !(vcpu->arch.msr_kvm_poll_control & 1);
}

void kvm_arch_vcpu_blocking(struct kvm_vcpu *vcpu)
{
	kvm_steal_time_set_preempted(vcpu);
}

static bool accepts_dm_interrupt(struct kvm_vcpu *vcpu)
{
	return !lapic_in_kernel(vcpu) || kvm_apic_accept_pic_intr(vcpu);
}

static bool dm_request_for_irq_injection(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->run->request_interrupt_window, __ATOMIC_RELAXED) &&
	       !pic_in_kernel(vcpu->kvm);
}

static bool ready_for_interrupt_injection(struct kvm_vcpu *vcpu)
{
	return hyp_x86_irq_allowed(vcpu->hyp) && accepts_dm_interrupt(vcpu) &&
	       !kvm_event_needs_reinjection(vcpu) && !vcpu->arch.exception.pending;
}

/* ---- requests ---- */

static int handle_eoi_exit(struct kvm_vcpu *vcpu)
{
	int vector = vcpu->arch.pending_ioapic_eoi;

	if (!(vcpu->arch.ioapic_handled_vectors[vector / 64] & BIT_ULL(vector % 64)))
		return 1;
	vcpu->run->eoi.vector = (u8)vector;
	return exit_reason(vcpu, KVM_EXIT_IOAPIC_EOI, 0);
}

static void handle_clock_requests(struct kvm_vcpu *vcpu)
{
	if (kvm_check_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu))
		kvm_update_masterclock(vcpu->kvm);
	if (kvm_check_request(KVM_REQ_CLOCK_UPDATE, vcpu))
		kvm_guest_time_update(vcpu);
	if (kvm_check_request(KVM_REQ_STEAL_UPDATE, vcpu))
		kvm_record_steal_time(vcpu);
}

static void handle_flush_requests(struct kvm_vcpu *vcpu)
{
	bool flush = kvm_check_request(KVM_REQ_TLB_FLUSH, vcpu);

	flush |= kvm_check_request(KVM_REQ_TLB_FLUSH_GUEST, vcpu);
	if (flush) {
		hyp_x86_flush_tlb(vcpu->hyp);
		vcpu->stat->tlb_flush++;
	}
	if (kvm_check_request(KVM_REQ_HV_TLB_FLUSH, vcpu)) {
		hyp_x86_state_changed(vcpu->hyp); /* global entries, too */
		vcpu->stat->tlb_flush++;
	}
}

/* After the clock's requests: the timers run on it. > 0: go on. */
static int handle_hyperv_requests(struct kvm_vcpu *vcpu)
{
	if (kvm_check_request(KVM_REQ_HV_CRASH, vcpu))
		return exit_system_event(vcpu, KVM_SYSTEM_EVENT_CRASH);
	if (kvm_check_request(KVM_REQ_HV_RESET, vcpu))
		return exit_system_event(vcpu, KVM_SYSTEM_EVENT_RESET);
	if (kvm_check_request(KVM_REQ_HV_EXIT, vcpu))
		return kvm_hv_leave(vcpu);
	if (kvm_check_request(KVM_REQ_HV_STIMER, vcpu))
		kvm_hv_process_stimers(vcpu);
	return 1;
}

static int exit_tpr_access(struct kvm_vcpu *vcpu)
{
	vcpu->run->tpr_access.rip = vcpu->arch.tpr_access.rip;
	vcpu->run->tpr_access.is_write = vcpu->arch.tpr_access.write;
	return exit_reason(vcpu, KVM_EXIT_TPR_ACCESS, 0);
}

/* Requests that nothing offered here can make sense of. KVM_REQ_UNBLOCK is none of them: it gives up the
 * entry, so that vcpu_run looks at timers that expired while the vCPU was not in KVM_RUN. */
static const u8 no_action[] = { KVM_REQ_PMI, KVM_REQ_MCE };

/* > 0: go on. */
static int handle_requests(struct kvm_vcpu *vcpu)
{
	if (!kvm_request_pending(vcpu))
		return 1;
	if (kvm_test_request(KVM_REQ_VM_DEAD, vcpu))
		return -EIO;
	if (kvm_dirty_ring_check_request(vcpu))
		return exit_reason(vcpu, KVM_EXIT_DIRTY_RING_FULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(no_action); i++)
		kvm_clear_request(no_action[i], vcpu);
	handle_clock_requests(vcpu);
	handle_flush_requests(vcpu);
	if (kvm_check_request(KVM_REQ_REPORT_TPR_ACCESS, vcpu))
		return exit_tpr_access(vcpu);
	if (kvm_check_request(KVM_REQ_TRIPLE_FAULT, vcpu))
		return kvm_exit_shutdown(vcpu);
	if (kvm_check_request(KVM_REQ_SMI, vcpu))
		kvm_process_smi(vcpu);
	if (kvm_check_request(KVM_REQ_NMI, vcpu))
		kvm_process_nmi(vcpu);
	if (kvm_check_request(KVM_REQ_SCAN_IOAPIC, vcpu))
		vcpu_scan_ioapic(vcpu);
	if (kvm_check_request(KVM_REQ_IOAPIC_EOI_EXIT, vcpu))
		return handle_eoi_exit(vcpu);
	return handle_hyperv_requests(vcpu);
}

/* ---- the loop ---- */

/* > 0: enter. 1 from the caller's view without entering is -EAGAIN here. */
static int prepare_events(struct kvm_vcpu *vcpu)
{
	bool window = dm_request_for_irq_injection(vcpu) && accepts_dm_interrupt(vcpu);

	if (!kvm_check_request(KVM_REQ_EVENT, vcpu) && !window && !kvm_xen_has_interrupt(vcpu))
		return 1;
	vcpu->stat->req_event++;
	if (lapic_in_kernel(vcpu) && kvm_apic_accept_events(vcpu) < 0)
		return 0;
	if (vcpu->arch.mp_state != KVM_MP_STATE_RUNNABLE)
		return -EAGAIN;
	kvm_inject_events(vcpu, window);
	if (lapic_in_kernel(vcpu))
		kvm_lapic_sync_to_vapic(vcpu);
	return 1;
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

static int vcpu_enter_guest(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	enum hyp_exit reason;
	int ret = handle_requests(vcpu);

	if (ret > 0)
		ret = prepare_events(vcpu);
	if (ret <= 0)
		return ret == -EAGAIN ? 1 : ret;
	if (lapic_in_kernel(vcpu))
		s->cr8 = kvm_lapic_get_cr8(vcpu);
	vcpu->arch.cr8_before = s->cr8;
	kvm_steal_time_tick(vcpu);
	if (!enter_guest_mode(vcpu)) {
		kvm_complete_injection(vcpu);
		return 1;
	}
	reason = hyp_cpu_run(vcpu->hyp);
	__atomic_store_n(&vcpu->mode, OUTSIDE_GUEST_MODE, __ATOMIC_SEQ_CST);
	kvm_complete_injection(vcpu);
	if (lapic_in_kernel(vcpu))
		kvm_lapic_sync_from_vapic(vcpu);
	return kvm_handle_exit(vcpu, reason);
}

/* A vCPU that does not run sleeps until it has a reason to. */
static int vcpu_block(struct kvm_vcpu *vcpu)
{
	int ret;

	if (!kvm_arch_vcpu_runnable(vcpu)) {
		ret = vcpu->arch.mp_state == KVM_MP_STATE_HALTED ? kvm_vcpu_halt(vcpu) : kvm_vcpu_block(vcpu);
		if (ret == -EINTR)
			__atomic_store_n(&vcpu->signal_pending, 1, __ATOMIC_SEQ_CST);
		if (!kvm_arch_vcpu_runnable(vcpu))
			return kvm_test_request(KVM_REQ_VM_DEAD, vcpu) ? -EIO : 1;
	}
	if (kvm_apic_accept_events(vcpu) < 0)
		return 0;
	if (vcpu->arch.mp_state == KVM_MP_STATE_HALTED || vcpu->arch.mp_state == KVM_MP_STATE_AP_RESET_HOLD) {
		__atomic_store_n(&vcpu->arch.pv_unhalted, false, __ATOMIC_SEQ_CST);
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
		kvm_make_request(KVM_REQ_EVENT, vcpu);
	}
	return 1;
}

static int leave_for_signal(struct kvm_vcpu *vcpu)
{
	vcpu->stat->signal_exits++;
	return exit_reason(vcpu, KVM_EXIT_INTR, -EINTR);
}

static int vcpu_run(struct kvm_vcpu *vcpu)
{
	int ret;

	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	for (;;) {
		ret = vcpu_running(vcpu) ? vcpu_enter_guest(vcpu) : vcpu_block(vcpu);
		if (ret <= 0)
			return ret;
		kvm_clear_request(KVM_REQ_UNBLOCK, vcpu);
		if (kvm_xen_has_pending_events(vcpu))
			kvm_xen_inject_pending_events(vcpu);
		if (kvm_xen_has_pending_timer(vcpu))
			kvm_xen_inject_timer_irqs(vcpu);
		if (kvm_cpu_has_pending_timer(vcpu))
			kvm_inject_pending_timer_irqs(vcpu);
		if (dm_request_for_irq_injection(vcpu) && ready_for_interrupt_injection(vcpu)) {
			vcpu->stat->request_irq_exits++;
			return exit_reason(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN, 0);
		}
		if (signal_pending(vcpu))
			return leave_for_signal(vcpu);
	}
}

/* ---- KVM_RUN ---- */

#define SYNC_VALID (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static bool immediate_exit(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_ACQUIRE);
}

/* An AP that has not seen INIT: sleeps here, and tells user space to call again. */
static int run_uninitialized(struct kvm_vcpu *vcpu)
{
	if (immediate_exit(vcpu))
		return -EINTR;
	if (kvm_vcpu_block(vcpu) == -EINTR)
		__atomic_store_n(&vcpu->signal_pending, 1, __ATOMIC_SEQ_CST);
	if (kvm_test_request(KVM_REQ_VM_DEAD, vcpu))
		return -EIO;
	if (kvm_apic_accept_events(vcpu) < 0)
		return 0;
	return signal_pending(vcpu) ? leave_for_signal(vcpu) : -EAGAIN;
}

static int take_sync_regs(struct kvm_vcpu *vcpu)
{
	u64 dirty = vcpu->run->kvm_dirty_regs, valid = vcpu->run->kvm_valid_regs;

	if ((dirty | valid) & ~(u64)SYNC_VALID)
		return -EINVAL;
	if (!dirty)
		return 0;
	if (kvm_load_sync_regs(vcpu, &vcpu->run->s.regs, dirty))
		return -EINVAL;
	vcpu->run->kvm_dirty_regs = 0;
	return 0;
}

static int take_cr8(struct kvm_vcpu *vcpu)
{
	u64 cr8 = vcpu->run->cr8;

	if (lapic_in_kernel(vcpu))
		return 0;
	if (cr8 & ~15ull)
		return -EINVAL;
	x86s(vcpu)->cr8 = cr8;
	return 0;
}

/* What the previous exit left for user space to answer. > 0: go on. */
static int finish_userspace_io(struct kvm_vcpu *vcpu)
{
	int (*complete)(struct kvm_vcpu *) = vcpu->arch.complete_userspace_io;

	vcpu->arch.complete_userspace_io = NULL;
	return complete ? complete(vcpu) : 1;
}

static int run_initialized(struct kvm_vcpu *vcpu)
{
	int ret = take_sync_regs(vcpu);

	if (!ret)
		ret = take_cr8(vcpu);
	if (ret)
		return ret;
	ret = finish_userspace_io(vcpu);
	if (ret <= 0)
		return ret;
	if (immediate_exit(vcpu))
		return -EINTR;
	vcpu->arch.last_vmentry_seen = true;
	return vcpu_run(vcpu);
}

static void post_kvm_run_save(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct x86_state *s = x86s(vcpu);

	if (is_smm(vcpu))
		run->flags |= KVM_RUN_X86_SMM;
	run->if_flag = !!(s->rflags & X86_FL_IF);
	run->cr8 = lapic_in_kernel(vcpu) ? kvm_lapic_get_cr8(vcpu) : s->cr8;
	run->apic_base = vcpu->arch.apic_base;
	run->ready_for_interrupt_injection = pic_in_kernel(vcpu->kvm) || ready_for_interrupt_injection(vcpu);
}

int kvm_arch_vcpu_ioctl_run(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid;
	int ret;

	run->flags = 0;
	hyp_as_client_ran(vcpu->kvm->as);
	if (kvm_xen_msr_enabled(vcpu->kvm))
		kvm_make_request(KVM_REQ_STEAL_UPDATE, vcpu); /* the run state */
	if (vcpu->arch.mp_state == KVM_MP_STATE_UNINITIALIZED)
		ret = run_uninitialized(vcpu);
	else
		ret = run_initialized(vcpu);
	valid = run->kvm_valid_regs;
	if (valid & SYNC_VALID)
		kvm_store_sync_regs(vcpu, &run->s.regs, valid);
	post_kvm_run_save(vcpu);
	kvm_steal_time_set_preempted(vcpu);
	return ret;
}
