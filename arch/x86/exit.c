/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit table: what KVM does when the CPU stops. A handler returns > 0 to re-enter the guest, 0 with
 * kvm_run filled (by run.c) to leave for user space, < 0 an errno for KVM_RUN.
 *
 * "rip at the instruction" exits step over it with hyp_x86_skip once it has been done.
 */
#include <string.h>
#include "arch/x86/smm.h"

static int inject_gp(struct kvm_vcpu *vcpu)
{
	kvm_queue_exception_e(vcpu, X86_GP, 0);
	return 1;
}

static int inject_ud(struct kvm_vcpu *vcpu)
{
	kvm_queue_exception(vcpu, X86_UD);
	return 1;
}

static int skip(struct kvm_vcpu *vcpu)
{
	hyp_x86_skip(vcpu->hyp);
	return 1;
}

/* ---- windows, kicks -------------------------------------------------------------------------------- */

static int handle_intr(struct kvm_vcpu *vcpu)
{
	return 1; /* requests and signals are looked at by the loop */
}

static int handle_irq_window(struct kvm_vcpu *vcpu)
{
	x86s(vcpu)->want_irq_window = false;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	vcpu->stat->irq_window_exits++;
	return 1;
}

static int handle_nmi_window(struct kvm_vcpu *vcpu)
{
	x86s(vcpu)->want_nmi_window = false;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 1;
}

static int handle_smi_window(struct kvm_vcpu *vcpu)
{
	x86s(vcpu)->want_smi_window = false;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
	return 1;
}

/* ---- I/O --------------------------------------------------------------------------------------------- */

/* 0: read. A device that goes away in the middle of a string reads as 0 from there. */
static int read_port(struct kvm_vcpu *vcpu, struct x86_exit *e)
{
	u8 *data = e->io.string ? x86s(vcpu)->ins_data : (u8 *)&e->io.data;

	e->io.data = 0;
	memset(data, 0, (size_t)e->io.count * e->io.size);
	for (u32 i = 0; i < e->io.count; i++, data += e->io.size)
		if (kvm_io_bus_read(vcpu, KVM_PIO_BUS, e->io.port, e->io.size, data))
			return i ? 0 : -EOPNOTSUPP;
	return 0;
}

static int handle_io(struct kvm_vcpu *vcpu)
{
	struct x86_exit *e = &x86s(vcpu)->exit;

	vcpu->stat->io_exits++;
	if (e->io.in) {
		if (read_port(vcpu, e))
			return kvm_exit_io(vcpu, e);
		hyp_x86_complete_io(vcpu->hyp);
		return 1;
	}
	if (kvm_io_bus_write(vcpu, KVM_PIO_BUS, e->io.port, e->io.size, &e->io.data))
		return kvm_exit_io(vcpu, e);
	return 1;
}

static int handle_mmio(struct kvm_vcpu *vcpu)
{
	struct x86_exit *e = &x86s(vcpu)->exit;
	gpa_t gpa = e->mmio.gpa;
	int len = e->mmio.size;

	vcpu->stat->mmio_exits++;
	if (e->mmio.write) {
		if (lapic_in_kernel(vcpu) && !kvm_lapic_mmio_write(vcpu, gpa, len, e->mmio.data))
			return 1;
		return kvm_io_bus_write(vcpu, KVM_MMIO_BUS, gpa, len, e->mmio.data) ? kvm_exit_mmio(vcpu, e)
										    : 1;
	}
	memset(e->mmio.data, 0, sizeof(e->mmio.data));
	if (!(lapic_in_kernel(vcpu) && !kvm_lapic_mmio_read(vcpu, gpa, len, e->mmio.data)) &&
	    kvm_io_bus_read(vcpu, KVM_MMIO_BUS, gpa, len, e->mmio.data))
		return kvm_exit_mmio(vcpu, e);
	hyp_x86_complete_mmio(vcpu->hyp);
	return 1;
}

/* ---- instructions ---- */

static int handle_hlt(struct kvm_vcpu *vcpu)
{
	hyp_x86_skip(vcpu->hyp);
	/* Without an in-kernel LAPIC user space does the waiting, unless it asked for HLT not to exit. */
	if (!lapic_in_kernel(vcpu) && !vcpu->kvm->arch.hlt_in_guest)
		return kvm_exit_hlt(vcpu);
	vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
	return 1;
}

static int handle_cpuid(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	struct cpuid_regs r;

	if (s->cpuid_faulting && x86_cpl(s))
		return inject_gp(vcpu);
	kvm_cpuid(vcpu, (u32)s->gpr[X86_RAX], (u32)s->gpr[X86_RCX], &r);
	s->gpr[X86_RAX] = r.eax;
	s->gpr[X86_RBX] = r.ebx;
	s->gpr[X86_RCX] = r.ecx;
	s->gpr[X86_RDX] = r.edx;
	return skip(vcpu);
}

/* A refused access: for user space where it asked for this kind, else #GP. */
static int msr_refused(struct kvm_vcpu *vcpu, bool write, u32 index, u64 data, u32 reason)
{
	if (vcpu->kvm->arch.user_space_msr_mask & reason)
		return kvm_exit_msr(vcpu, write, index, data, reason);
	return inject_gp(vcpu);
}

static u32 refusal(int ret)
{
	return ret == KVM_MSR_RET_INVALID ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

static int handle_rdmsr(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);
	u32 index = (u32)s->gpr[X86_RCX];
	u64 data = 0;
	int ret;

	if (!kvm_msr_allowed(vcpu, index, KVM_MSR_FILTER_READ))
		return msr_refused(vcpu, false, index, 0, KVM_MSR_EXIT_REASON_FILTER);
	ret = kvm_get_msr(vcpu, index, &data, false);
	if (ret)
		return msr_refused(vcpu, false, index, 0, refusal(ret));
	s->gpr[X86_RAX] = (u32)data;
	s->gpr[X86_RDX] = data >> 32;
	return skip(vcpu);
}

static int handle_wrmsr(struct kvm_vcpu *vcpu)
{
	u32 index = (u32)x86s(vcpu)->gpr[X86_RCX];
	u64 data = kvm_read_edx_eax(vcpu);
	int ret;

	if (!kvm_msr_allowed(vcpu, index, KVM_MSR_FILTER_WRITE))
		return msr_refused(vcpu, true, index, data, KVM_MSR_EXIT_REASON_FILTER);
	ret = kvm_set_msr(vcpu, index, data, false);
	if (ret < 0 && !(vcpu->kvm->arch.user_space_msr_mask & KVM_MSR_EXIT_REASON_INVAL))
		return ret;
	if (ret)
		return msr_refused(vcpu, true, index, data, refusal(ret));
	return skip(vcpu);
}

static int handle_cr8(struct kvm_vcpu *vcpu)
{
	u64 cr8 = x86s(vcpu)->cr8, before = vcpu->arch.cr8_before;

	if (lapic_in_kernel(vcpu)) {
		kvm_lapic_set_tpr(vcpu, cr8);
		kvm_make_request(KVM_REQ_EVENT, vcpu);
		return 1;
	}
	/* The user-space LAPIC only needs to know when something may have become deliverable. */
	return before <= cr8 ? 1 : kvm_exit_set_tpr(vcpu);
}

static int handle_xsetbv(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);

	if (x86_cpl(s) || (u32)s->gpr[X86_RCX] || kvm_set_xcr0(vcpu, kvm_read_edx_eax(vcpu)))
		return inject_gp(vcpu);
	return skip(vcpu);
}

/*
 * MONITOR and MWAIT are not offered. By default they do nothing; with the quirk off they are #UD unless CPUID
 * (with another quirk off IA32_MISC_ENABLE) says they are there.
 */
#ifndef KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS
#define KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS (1 << 6)
#endif
static bool mwait_enabled(struct kvm_vcpu *vcpu)
{
	if (kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return true;
	if (kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
		return guest_cpuid_has(vcpu, 1, 0, CPUID_ECX, 3);
	return vcpu->arch.ia32_misc_enable & MISC_ENABLE_MWAIT;
}

static int handle_mwait(struct kvm_vcpu *vcpu)
{
	return mwait_enabled(vcpu) ? skip(vcpu) : inject_ud(vcpu);
}

static int handle_pause(struct kvm_vcpu *vcpu)
{
	return skip(vcpu);
}

static int handle_rdpmc(struct kvm_vcpu *vcpu)
{
	return inject_gp(vcpu); /* no counters */
}

static int handle_invd(struct kvm_vcpu *vcpu)
{
	return skip(vcpu); /* guest memory is as coherent as the client's */
}

static int handle_rsm(struct kvm_vcpu *vcpu)
{
	if (kvm_leave_smm(vcpu))
		kvm_make_request(KVM_REQ_TRIPLE_FAULT, vcpu);
	return 1;
}

/* ---- the end ---- */

static int handle_debug(struct kvm_vcpu *vcpu)
{
	return kvm_exit_debug(vcpu, &x86s(vcpu)->exit);
}

static int handle_shutdown(struct kvm_vcpu *vcpu)
{
	return kvm_exit_shutdown(vcpu);
}

/* The guest sees #UD; at CPL 0 user space is told as well: the guest is unlikely to get over it. */
static int handle_emulation(struct kvm_vcpu *vcpu)
{
	vcpu->stat->insn_emulation_fail++;
	if (vcpu->kvm->arch.exit_on_emulation_error)
		return kvm_exit_emulation_failure(vcpu, &x86s(vcpu)->exit);
	kvm_queue_exception(vcpu, X86_UD);
	if (x86_cpl(x86s(vcpu)) == 0)
		return kvm_exit_emulation_failure(vcpu, &x86s(vcpu)->exit);
	return 1;
}

static int handle_event_delivery(struct kvm_vcpu *vcpu)
{
	struct x86_exit *e = &x86s(vcpu)->exit;
	u64 data[4] = { vcpu->arch.handed_over, (u64)e->reason, 0, e->mmio.gpa };

	return kvm_exit_internal(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, data, ARRAY_SIZE(data));
}

/* What lies behind the slot is not mapped, or not with the right that the access needs. */
static int handle_host_fault(struct kvm_vcpu *vcpu)
{
	return -EFAULT;
}

static int handle_memory_fault(struct kvm_vcpu *vcpu)
{
	return kvm_exit_memory_fault(vcpu, x86s(vcpu)->exit.memory_fault.gpa, true);
}

/* Our own fault: the VM is dead from here on, others live. */
static int handle_internal(struct kvm_vcpu *vcpu)
{
	struct x86_exit *e = &x86s(vcpu)->exit;
	u64 data[5] = { e->internal.rip, e->internal.info[0], e->internal.info[1], e->internal.info[2],
			e->internal.info[3] };

	kvm_vm_bugged(vcpu->kvm, e->internal.what);
	return kvm_exit_internal(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, data, ARRAY_SIZE(data));
}

static int (*const exit_handlers[HYP_EXIT_NR])(struct kvm_vcpu *vcpu) = {
	[HYP_EXIT_INTR] = handle_intr,
	[HYP_EXIT_IRQ_WINDOW] = handle_irq_window,
	[HYP_EXIT_NMI_WINDOW] = handle_nmi_window,
	[HYP_EXIT_SMI_WINDOW] = handle_smi_window,
	[HYP_EXIT_IO] = handle_io,
	[HYP_EXIT_MMIO] = handle_mmio,
	[HYP_EXIT_HLT] = handle_hlt,
	[HYP_EXIT_CPUID] = handle_cpuid,
	[HYP_EXIT_RDMSR] = handle_rdmsr,
	[HYP_EXIT_WRMSR] = handle_wrmsr,
	[HYP_EXIT_HYPERCALL] = kvm_emulate_hypercall,
	[HYP_EXIT_CR8] = handle_cr8,
	[HYP_EXIT_XSETBV] = handle_xsetbv,
	[HYP_EXIT_PAUSE] = handle_pause,
	[HYP_EXIT_MWAIT] = handle_mwait,
	[HYP_EXIT_RDPMC] = handle_rdpmc,
	[HYP_EXIT_INVD] = handle_invd,
	[HYP_EXIT_DEBUG] = handle_debug,
	[HYP_EXIT_SHUTDOWN] = handle_shutdown,
	[HYP_EXIT_EMULATION] = handle_emulation,
	[HYP_EXIT_RSM] = handle_rsm,
	[HYP_EXIT_EVENT_DELIVERY] = handle_event_delivery,
	[HYP_EXIT_HOST_FAULT] = handle_host_fault,
	[HYP_EXIT_MEMORY_FAULT] = handle_memory_fault,
	[HYP_EXIT_INTERNAL] = handle_internal,
};

static const char *const exit_names[HYP_EXIT_NR] = {
	[HYP_EXIT_INTR] = "intr", [HYP_EXIT_IRQ_WINDOW] = "irq-window", [HYP_EXIT_NMI_WINDOW] = "nmi-window",
	[HYP_EXIT_SMI_WINDOW] = "smi-window",
	[HYP_EXIT_IO] = "io", [HYP_EXIT_MMIO] = "mmio", [HYP_EXIT_HLT] = "hlt", [HYP_EXIT_CPUID] = "cpuid",
	[HYP_EXIT_RDMSR] = "rdmsr", [HYP_EXIT_WRMSR] = "wrmsr", [HYP_EXIT_HYPERCALL] = "hypercall",
	[HYP_EXIT_CR8] = "cr8", [HYP_EXIT_XSETBV] = "xsetbv", [HYP_EXIT_PAUSE] = "pause", [HYP_EXIT_MWAIT] = "mwait",
	[HYP_EXIT_RDPMC] = "rdpmc", [HYP_EXIT_INVD] = "invd", [HYP_EXIT_DEBUG] = "debug",
	[HYP_EXIT_SHUTDOWN] = "shutdown", [HYP_EXIT_EMULATION] = "emulation", [HYP_EXIT_RSM] = "rsm",
	[HYP_EXIT_EVENT_DELIVERY] = "event-delivery", [HYP_EXIT_INTERNAL] = "internal",
	[HYP_EXIT_HOST_FAULT] = "host-fault",
	[HYP_EXIT_MEMORY_FAULT] = "memory-fault",
};

const char *kvm_arch_exit_name(unsigned reason)
{
	return exit_names[reason];
}

/* The one number that tells most about an exit. */
static u64 exit_detail(struct kvm_vcpu *vcpu, enum hyp_exit reason)
{
	struct x86_state *s = x86s(vcpu);

	switch (reason) {
	case HYP_EXIT_IO:
		return s->exit.io.port;
	case HYP_EXIT_MMIO:
	case HYP_EXIT_EVENT_DELIVERY:
		return s->exit.mmio.gpa;
	case HYP_EXIT_HOST_FAULT:
		return s->exit.host_fault.hva;
	case HYP_EXIT_RDMSR:
	case HYP_EXIT_WRMSR:
		return (u32)s->gpr[X86_RCX];
	case HYP_EXIT_CPUID:
	case HYP_EXIT_HYPERCALL:
		return (u32)s->gpr[X86_RAX];
	default:
		return 0;
	}
}

static void trace_exit(struct kvm_vcpu *vcpu, enum hyp_exit reason)
{
	kvm_trace(KVM_TRACE_EXIT, "exit", { "vcpu", (u64)vcpu->vcpu_id, NULL },
		  { "reason", 0, exit_names[reason] }, { "rip", x86s(vcpu)->rip, NULL },
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
