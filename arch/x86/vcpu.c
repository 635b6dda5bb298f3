/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual CPU's life on x86: creation, reset, INIT/SIPI, and the dispatch of its ioctls. */
#include <stdlib.h>
#include "arch/x86/hyperv.h"
#include "arch/x86/smm.h"
#include "arch/x86/xen.h"

/* ---- creation, reset --------------------------------------------------------------------------- */

int kvm_arch_vcpu_precreate(struct kvm *kvm, unsigned id)
{
	if (!kvm->arch.max_vcpu_ids)
		kvm->arch.max_vcpu_ids = KVM_MAX_VCPU_IDS;
	return id >= kvm->arch.max_vcpu_ids ? -EINVAL : 0;
}

int kvm_arch_vcpu_create(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_arch *v = &vcpu->arch;

	kvm_xen_init_vcpu(vcpu);
	v->pending_external_vector = -1;
	v->mcg_cap = KVM_MAX_MCE_BANKS;
	v->mp_state = !irqchip_in_kernel(vcpu->kvm) || kvm_vcpu_is_bsp(vcpu) ? KVM_MP_STATE_RUNNABLE
									     : KVM_MP_STATE_UNINITIALIZED;
	if (irqchip_in_kernel(vcpu->kvm)) {
		int err = kvm_create_lapic(vcpu);

		if (err)
			return err;
	}
	kvm_msrs_reset(vcpu);
	kvm_vcpu_after_set_cpuid(vcpu);
	kvm_vcpu_reset(vcpu, false);
	kvm_tsc_vcpu_create(vcpu);
	return 0;
}

void kvm_arch_vcpu_postcreate(struct kvm_vcpu *vcpu)
{
	kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
}

void kvm_arch_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (lapic_in_kernel(vcpu))
		kvm_free_lapic(vcpu);
	kvm_hv_vcpu_uninit(vcpu);
	kvm_xen_destroy_vcpu(vcpu);
	free(vcpu->arch.cpuid_entries);
	vcpu->arch.cpuid_entries = NULL;
	vcpu->arch.cpuid_nent = 0;
}

static void forget_events(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_arch *v = &vcpu->arch;

	__atomic_store_n(&v->nmi_queued, 0, __ATOMIC_RELAXED);
	v->nmi_pending = 0;
	v->nmi_injected = false;
	v->smi_pending = false;
	v->smi_count = 0;
	v->smm_inside_nmi = false;
	v->interrupt = (struct kvm_queued_interrupt){ 0 };
	v->exception = (struct kvm_queued_exception){ 0 };
	v->handed_over = X86_EVENT_NONE;
	v->complete_userspace_io = NULL;
}

static void forget_paravirtual(struct kvm_vcpu *vcpu)
{
	vcpu->arch.time = 0;
	vcpu->arch.pv_time.active = false;
	vcpu->arch.st.msr_val = 0;
	vcpu->arch.st.preempted = false;
	__atomic_store_n(&vcpu->arch.pv_unhalted, false, __ATOMIC_RELAXED);
}

/* RDX holds the processor's signature. */
static u32 signature(struct kvm_vcpu *vcpu)
{
	struct cpuid_regs r;

	kvm_cpuid(vcpu, 1, 0, &r);
	return r.eax ? r.eax : 0x600;
}

void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init_event)
{
	struct x86_state *s = x86s(vcpu);

	hyp_x86_abort_access(vcpu->hyp);
	forget_events(vcpu);
	forget_paravirtual(vcpu);
	s->inject.type = X86_EVENT_NONE;
	hyp_x86_reset(vcpu->hyp, init_event);
	hyp_cpu_set_view(vcpu->hyp, 0);
	s->gpr[X86_RDX] = signature(vcpu);
	if (!init_event) {
		vcpu->arch.msr_misc_features_enables = 0;
		s->cpuid_faulting = false;
		vcpu->arch.smbase = SMBASE_RESET;
		s->xcr0 = 1;
		s->xss = 0;
	}
	if (lapic_in_kernel(vcpu))
		kvm_lapic_reset(vcpu, init_event);
	else if (!init_event)
		vcpu->arch.apic_base = 0xfee00000ull | BIT_ULL(11) | (kvm_vcpu_is_bsp(vcpu) ? BIT_ULL(8) : 0);
	hyp_x86_state_changed(vcpu->hyp);
	hyp_x86_flush_tlb(vcpu->hyp);
	kvm_make_request(KVM_REQ_EVENT, vcpu);
}

void kvm_vcpu_deliver_sipi_vector(struct kvm_vcpu *vcpu, u8 vector)
{
	struct x86_state *s = x86s(vcpu);

	s->seg[X86_CS].sel = (u16)(vector << 8);
	s->seg[X86_CS].base = (u64)vector << 12;
	s->rip = 0;
	hyp_x86_state_changed(vcpu->hyp);
}

/* ---- TSC, clock, capabilities ---------------------------------------------------------------------- */

static long ioctl_set_tsc_khz(void *obj, void *data, unsigned long arg)
{
	u32 khz = (u32)arg ? (u32)arg : kvm_host_tsc_khz();

	return khz >= KVM_MAX_GUEST_TSC_KHZ ? -EINVAL : kvm_set_tsc_khz(obj, khz);
}

static long ioctl_get_tsc_khz(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;

	return vcpu->arch.virtual_tsc_khz;
}

static long ioctl_kvmclock_ctrl(void *obj, void *data, unsigned long arg)
{
	return kvm_set_guest_paused(obj);
}

static long ioctl_enable_cap(void *obj, void *data, unsigned long arg)
{
	const struct kvm_enable_cap *cap = data;
	struct kvm_vcpu *vcpu = obj;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_HYPERV_SYNIC:
		return irqchip_in_kernel(vcpu->kvm) ? kvm_hv_activate_synic(vcpu, false) : -EINVAL;
	case KVM_CAP_HYPERV_SYNIC2:
		return irqchip_in_kernel(vcpu->kvm) && !cap->args[0] ? kvm_hv_activate_synic(vcpu, true)
								     : -EINVAL;
	case KVM_CAP_HYPERV_ENFORCE_CPUID:
		return kvm_hv_set_enforce_cpuid(vcpu, cap->args[0]);
	case KVM_CAP_HYPERV_ENLIGHTENED_VMCS: /* no nested guests */
	case KVM_CAP_HYPERV_DIRECT_TLBFLUSH:
		return -ENOTTY;
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
		vcpu->arch.pv_cpuid_enforce = cap->args[0];
		return 0;
	}
	return -EINVAL;
}

/* KVM_VCPU_TSC_CTRL / KVM_VCPU_TSC_OFFSET is the one attribute. */
static bool has_attr(const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET;
}

static long ioctl_has_attr(void *obj, void *data, unsigned long arg)
{
	return has_attr(data) ? 0 : -ENXIO;
}

static long ioctl_get_attr(void *obj, void *data, unsigned long arg)
{
	const struct kvm_device_attr *attr = data;
	struct kvm_vcpu *vcpu = obj;

	return has_attr(attr) ? copy_to_client(attr->addr, &vcpu->arch.l1_tsc_offset, sizeof(u64)) : -ENXIO;
}

static long ioctl_set_attr(void *obj, void *data, unsigned long arg)
{
	const struct kvm_device_attr *attr = data;
	u64 offset;

	if (!has_attr(attr))
		return -ENXIO;
	if (copy_from_client(&offset, attr->addr, sizeof(offset)))
		return -EFAULT;
	kvm_write_tsc_offset(obj, offset);
	kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, obj);
	return 0;
}

/* ---- CPUID, MSRs ---- */

static long ioctl_set_cpuid(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_set_cpuid(obj, arg);
}

static long ioctl_set_cpuid2(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_set_cpuid2(obj, arg);
}

static long ioctl_get_cpuid2(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_get_cpuid2(obj, arg);
}

static long ioctl_get_supported_hv_cpuid(void *obj, void *data, unsigned long arg)
{
	return kvm_ioctl_get_supported_hv_cpuid(obj, arg);
}

static long ioctl_get_msrs(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_get_msrs(obj, arg);
}

static long ioctl_set_msrs(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_set_msrs(obj, arg);
}

static const struct kvm_ioctl_row vcpu_ioctls[] = {
	IOCTL_ROW(KVM_SET_CPUID, ARG_PLAIN, ioctl_set_cpuid),
	IOCTL_ROW(KVM_SET_CPUID2, ARG_PLAIN, ioctl_set_cpuid2),
	IOCTL_ROW(KVM_GET_CPUID2, ARG_PLAIN, ioctl_get_cpuid2),
	IOCTL_ROW(KVM_GET_SUPPORTED_HV_CPUID, ARG_PLAIN, ioctl_get_supported_hv_cpuid),
	IOCTL_ROW(KVM_GET_MSRS, ARG_PLAIN, ioctl_get_msrs),
	IOCTL_ROW(KVM_SET_MSRS, ARG_PLAIN, ioctl_set_msrs),
	IOCTL_ROW(KVM_SET_TSC_KHZ, ARG_PLAIN, ioctl_set_tsc_khz),
	IOCTL_ROW(KVM_GET_TSC_KHZ, ARG_PLAIN, ioctl_get_tsc_khz),
	IOCTL_ROW(KVM_KVMCLOCK_CTRL, ARG_PLAIN, ioctl_kvmclock_ctrl),
	IOCTL_ROW(KVM_ENABLE_CAP, ARG_IN, ioctl_enable_cap),
	IOCTL_ROW(KVM_HAS_DEVICE_ATTR, ARG_IN, ioctl_has_attr),
	IOCTL_ROW(KVM_GET_DEVICE_ATTR, ARG_IN, ioctl_get_attr),
	IOCTL_ROW(KVM_SET_DEVICE_ATTR, ARG_IN, ioctl_set_attr),
};
IOCTL_TABLE('C', vcpu_ioctls);

long kvm_arch_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(kvm_reg_ioctls, kvm_nr_reg_ioctls, ioctl);

	if (!row)
		row = kvm_ioctl_find(kvm_event_ioctls, kvm_nr_event_ioctls, ioctl);
	if (!row)
		row = kvm_ioctl_find(kvm_xen_vcpu_ioctls, kvm_nr_xen_vcpu_ioctls, ioctl);
	if (!row)
		row = kvm_ioctl_find(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), ioctl);
	return row ? kvm_ioctl_call(row, vcpu, arg) : -EINVAL;
}
