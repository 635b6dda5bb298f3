/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SynIC: 16 synthetic interrupt sources (SINT) per vCPU, each with a vector, and two pages of the guest: a
 * slot for a message per SINT, and event flags per SINT. KVM puts timer messages into slots; user space
 * (which learns of the pages by KVM_EXIT_HYPERV_SYNIC) does the rest and raises SINTs through irq routing
 * (KVM_IRQ_ROUTING_HV_SINT).
 *
 * When the guest has taken a message it ends the interrupt (EOI, or by itself with AUTO_EOI) or writes EOM:
 * whoever waited for the slot tries again, and an irqfd's resampler is told.
 */
#include "arch/x86/hyperv.h"

#include "arch/x86/lapic.h"
#include "arch/x86/msr.h"

static u64 read_sint(const struct kvm_vcpu_hv_synic *synic, u32 sint)
{
	return __atomic_load_n(&synic->sint[sint], __ATOMIC_RELAXED);
}

/* -1: masked */
static int sint_vector(u64 sint)
{
	return sint & HV_SYNIC_SINT_MASKED ? -1 : (int)(sint & HV_SYNIC_SINT_VECTOR_MASK);
}

void kvm_hv_synic_init(struct kvm_vcpu_hv_synic *synic)
{
	synic->version = HV_SYNIC_VERSION_1;
	for (u32 i = 0; i < HV_SYNIC_SINT_COUNT; i++) {
		synic->sint[i] = HV_SYNIC_SINT_MASKED;
		synic->sint_to_gsi[i] = -1;
	}
}

bool kvm_hv_synic_active(struct kvm_vcpu_hv *hv)
{
	return __atomic_load_n(&hv->synic.active, __ATOMIC_ACQUIRE);
}

int kvm_hv_activate_synic(struct kvm_vcpu *vcpu, bool dont_zero_synic_pages)
{
	struct kvm_vcpu_hv_synic *synic;

	if (kvm_hv_vcpu_init(vcpu))
		return -ENOMEM;
	synic = &to_hv_vcpu(vcpu)->synic;
	synic->dont_zero_synic_pages = dont_zero_synic_pages;
	synic->control = HV_SYNIC_CONTROL_ENABLE;
	__atomic_store_n(&synic->active, true, __ATOMIC_RELEASE);
	return 0;
}

/* ---- vectors: what the LAPIC asks at acknowledge and EOI -------------------------------------------- */

static bool bit_set(const u64 *map, u8 vector)
{
	return map[vector / 64] >> vector % 64 & 1;
}

bool kvm_hv_synic_has_vector(struct kvm_vcpu *vcpu, u8 vector)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	return hv && bit_set(hv->synic.vectors, vector);
}

bool kvm_hv_synic_auto_eoi_set(struct kvm_vcpu *vcpu, u8 vector)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	return hv && bit_set(hv->synic.auto_eoi_vectors, vector);
}

/* Several SINTs may share a vector: the sets are computed anew. */
static void update_vectors(struct kvm_vcpu_hv_synic *synic)
{
	u64 vectors[4] = { 0 }, auto_eoi[4] = { 0 };

	for (u32 i = 0; i < HV_SYNIC_SINT_COUNT; i++) {
		u64 sint = read_sint(synic, i);
		int v = sint_vector(sint);

		if (v < HV_SYNIC_FIRST_VALID_VECTOR)
			continue;
		vectors[v / 64] |= BIT_ULL(v % 64);
		if (sint & HV_SYNIC_SINT_AUTO_EOI)
			auto_eoi[v / 64] |= BIT_ULL(v % 64);
	}
	for (int i = 0; i < 4; i++) {
		synic->vectors[i] = vectors[i];
		synic->auto_eoi_vectors[i] = auto_eoi[i];
	}
}

/* ---- raising ------------------------------------------------------------------------------------------ */

static int set_irq(struct kvm_vcpu_hv *hv, u32 sint)
{
	struct kvm_lapic_irq irq = { .delivery_mode = APIC_DM_FIXED, .level = true };
	int vector = sint_vector(read_sint(&hv->synic, sint));

	if (vector < 0)
		return -ENOENT;
	irq.vector = (u32)vector;
	return kvm_apic_set_irq(hv->vcpu, &irq);
}

static struct kvm_vcpu_hv *synic_by_vpindex(struct kvm *kvm, u32 vpidx)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

		if (kvm_hv_get_vpindex(vcpu) == vpidx)
			return hv && kvm_hv_synic_active(hv) ? hv : NULL;
	}
	return NULL;
}

int kvm_hv_synic_set_irq(struct kvm *kvm, u32 vpidx, u32 sint)
{
	struct kvm_vcpu_hv *hv = synic_by_vpindex(kvm, vpidx);

	return hv && sint < HV_SYNIC_SINT_COUNT ? set_irq(hv, sint) : -EINVAL;
}

/* An EOI of a SINT is an EOI of the GSI that was routed to it last. */
void kvm_hv_irq_routing_update(struct kvm *kvm)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	struct kvm_irq_routing_table *table = srcu_dereference(kvm->irq_routing);

	for (u32 i = 0; table && i < table->nr_entries; i++) {
		const struct kvm_kernel_irq_routing_entry *e = &table->entry[i];
		struct kvm_vcpu_hv *hv;

		if (e->type != KVM_IRQ_ROUTING_HV_SINT || e->hv_sint.sint >= HV_SYNIC_SINT_COUNT)
			continue;
		hv = synic_by_vpindex(kvm, e->hv_sint.vcpu);
		if (hv)
			__atomic_store_n(&hv->synic.sint_to_gsi[e->hv_sint.sint], (int)e->gsi,
					 __ATOMIC_RELAXED);
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

/* ---- messages ---- */

/* The slot is taken: the guest is asked to write EOM when it has taken the message out. */
static int slot_taken(struct kvm *kvm, gpa_t slot)
{
	u8 flags = HV_MESSAGE_PENDING;

	if (kvm_write_guest(kvm, slot + offsetof(struct hv_timer_message, message_flags), &flags,
			    sizeof(flags)))
		return -EFAULT;
	return -EAGAIN;
}

int kvm_hv_synic_deliver(struct kvm_vcpu_hv *hv, u32 sint, const struct hv_timer_message *msg, bool retry)
{
	struct kvm *kvm = hv->vcpu->kvm;
	gpa_t slot = (hv->synic.msg_page & PAGE_MASK) + sint * HV_MESSAGE_SIZE;
	u32 type;
	int ret;

	if (!(hv->synic.msg_page & HV_MSR_PAGE_ENABLE))
		return -ENOENT;
	if (kvm_read_guest(kvm, slot, &type, sizeof(type)))
		return -EFAULT;
	if (type != HVMSG_NONE)
		return retry ? slot_taken(kvm, slot) : 0;
	if (kvm_write_guest(kvm, slot, msg, sizeof(*msg)))
		return -EFAULT;
	ret = set_irq(hv, sint);
	return ret > 0 ? 0 : ret < 0 ? ret : -EFAULT;
}

static void acked(struct kvm_vcpu_hv *hv, u32 sint)
{
	int gsi = __atomic_load_n(&hv->synic.sint_to_gsi[sint], __ATOMIC_RELAXED);

	kvm_hv_stimers_retry(hv, sint);
	if (gsi >= 0)
		kvm_notify_acked_gsi(hv->vcpu->kvm, gsi);
}

void kvm_hv_synic_send_eoi(struct kvm_vcpu *vcpu, u8 vector)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	for (u32 i = 0; i < HV_SYNIC_SINT_COUNT; i++)
		if (sint_vector(read_sint(&hv->synic, i)) == vector)
			acked(hv, i);
}

/* ---- MSRs ---- */

/* User space serves the pages: it is told of each change that is not its own. */
static int changed(struct msr_access *a)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);
	struct kvm_hyperv_exit exit = { .type = KVM_EXIT_HYPERV_SYNIC };

	if (a->host)
		return 0;
	exit.u.synic.msr = a->index;
	exit.u.synic.control = hv->synic.control;
	exit.u.synic.evt_page = hv->synic.evt_page;
	exit.u.synic.msg_page = hv->synic.msg_page;
	kvm_hv_request_exit(hv, &exit);
	return 0;
}

static int set_page(struct msr_access *a, u64 *page)
{
	static const u8 zeros[PAGE_SIZE];
	struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);

	if ((a->data & HV_MSR_PAGE_ENABLE) && !a->host && !hv->synic.dont_zero_synic_pages &&
	    kvm_write_guest(a->vcpu->kvm, a->data & PAGE_MASK, zeros, sizeof(zeros)))
		return 1;
	*page = a->data;
	return changed(a);
}

/* Hyper-V itself as a guest writes the reset value, a masked vector 0. */
static int set_sint(struct msr_access *a)
{
	struct kvm_vcpu_hv_synic *synic = &to_hv_vcpu(a->vcpu)->synic;

	if ((a->data & HV_SYNIC_SINT_VECTOR_MASK) < HV_SYNIC_FIRST_VALID_VECTOR && !a->host &&
	    !(a->data & HV_SYNIC_SINT_MASKED))
		return 1;
	__atomic_store_n(&synic->sint[a->index - HV_X64_MSR_SINT0], a->data, __ATOMIC_RELAXED);
	update_vectors(synic);
	return 0;
}

static int set_eom(struct kvm_vcpu_hv *hv)
{
	for (u32 i = 0; kvm_hv_synic_active(hv) && i < HV_SYNIC_SINT_COUNT; i++)
		acked(hv, i);
	return 0;
}

int kvm_hv_synic_set_msr(struct msr_access *a)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);

	if (!kvm_hv_synic_active(hv) && (!a->host || a->data))
		return 1;
	switch (a->index) {
	case HV_X64_MSR_SCONTROL:
		hv->synic.control = a->data;
		return changed(a);
	case HV_X64_MSR_SVERSION:
		if (a->host)
			hv->synic.version = a->data;
		return !a->host;
	case HV_X64_MSR_SIEFP:
		return set_page(a, &hv->synic.evt_page);
	case HV_X64_MSR_SIMP:
		return set_page(a, &hv->synic.msg_page);
	case HV_X64_MSR_EOM:
		return set_eom(hv);
	default:
		return set_sint(a);
	}
}

int kvm_hv_synic_get_msr(struct msr_access *a)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(a->vcpu);
	struct kvm_vcpu_hv_synic *synic = &hv->synic;

	if (!kvm_hv_synic_active(hv) && !a->host)
		return 1;
	switch (a->index) {
	case HV_X64_MSR_SCONTROL:
		a->data = synic->control;
		return 0;
	case HV_X64_MSR_SVERSION:
		a->data = synic->version;
		return 0;
	case HV_X64_MSR_SIEFP:
		a->data = synic->evt_page;
		return 0;
	case HV_X64_MSR_SIMP:
		a->data = synic->msg_page;
		return 0;
	case HV_X64_MSR_EOM:
		a->data = 0;
		return 0;
	default:
		a->data = read_sint(synic, a->index - HV_X64_MSR_SINT0);
		return 0;
	}
}
