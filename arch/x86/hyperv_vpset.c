/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls on sets of virtual processors: HvFlushVirtualAddress{Space,List}{,Ex} and
 * HvCallSendSyntheticClusterIpi{,Ex}. A set is a mask of 64 processors, or banks of 64 by VP index.
 *
 * A flush is done when the hypercall returns: nothing the named processors do afterwards uses an old
 * translation. So the caller waits until each of them has left the guest or taken the request; it will
 * flush before it enters again. The address space and the addresses are read as far as Linux reads them,
 * and everything is flushed.
 */
#include "arch/x86/hyperv.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "arch/x86/lapic.h"

#define MAX_BANKS ((KVM_MAX_VCPUS + HV_VCPUS_PER_SPARSE_BANK - 1) / HV_VCPUS_PER_SPARSE_BANK)
#define MAX_FLUSH_ENTRIES 15 /* a longer list is not read: everything is flushed (Linux's FIFO) */
#define SPINS 200
#define NAP_NS 20000
#define MAX_NAPS 20000 /* 1 to 2 s, with the host's timer slack */

struct vp_set {
	bool all;
	u64 valid_banks;
	u64 banks[MAX_BANKS]; /* contents of the valid ones, packed */
};

static bool vp_set_has(const struct vp_set *set, u32 vp)
{
	u32 bank = vp / HV_VCPUS_PER_SPARSE_BANK;
	u32 packed;

	if (set->all)
		return true;
	if (bank >= HV_MAX_SPARSE_VCPU_BANKS || !(set->valid_banks & BIT_ULL(bank)))
		return false;
	packed = (u32)__builtin_popcountll(set->valid_banks & (BIT_ULL(bank) - 1));
	return packed < MAX_BANKS && (set->banks[packed] >> vp % HV_VCPUS_PER_SPARSE_BANK & 1);
}

static bool vp_set_empty(const struct vp_set *set)
{
	return !set->all && !set->valid_banks;
}

/* The contents of the banks; of those that no processor can be in, only the number counts. */
static bool read_banks(struct hv_hcall *hc, struct vp_set *set)
{
	if (hc->var_cnt > HV_MAX_SPARSE_VCPU_BANKS)
		return false;
	if (hc->fast && hc->var_cnt > ARRAY_SIZE(hc->xmm) - hc->consumed)
		return false;
	return kvm_hv_get_hc_words(hc, set->banks, MIN(hc->var_cnt, (u32)MAX_BANKS));
}

static bool read_header(struct hv_hcall *hc, void *header, u32 size)
{
	hc->consumed = size;
	return !kvm_read_guest(hc->vcpu->kvm, hc->ingpa, header, size);
}

/* ---- flushes ---- */

/* Windows Server 2012 sends an empty mask and expects a flush of all. */
static bool flush_header(struct hv_hcall *hc, struct vp_set *set)
{
	struct hv_tlb_flush f = { hc->ingpa, hc->outgpa, hc->xmm[0] };

	if (hc->fast)
		hc->consumed = 1;
	else if (!read_header(hc, &f, sizeof(f)))
		return false;
	set->valid_banks = 1;
	set->banks[0] = f.processor_mask;
	set->all = (f.flags & HV_FLUSH_ALL_PROCESSORS) || !f.processor_mask;
	return true;
}

static bool flush_header_ex(struct hv_hcall *hc, struct vp_set *set)
{
	struct hv_tlb_flush_ex f = { hc->ingpa, hc->outgpa, { hc->xmm[0], hc->xmm[1] } };

	if (hc->fast)
		hc->consumed = 2;
	else if (!read_header(hc, &f, sizeof(f)))
		return false;
	set->valid_banks = f.vp_set.valid_bank_mask;
	set->all = f.vp_set.format != HV_GENERIC_SET_SPARSE_4K;
	if (hc->var_cnt != __builtin_popcountll(set->valid_banks))
		return false;
	if (!set->all && hc->var_cnt && !read_banks(hc, set))
		return false;
	hc->consumed += hc->fast ? hc->var_cnt : hc->var_cnt * (u32)sizeof(u64);
	return true;
}

static bool is_ex(const struct hv_hcall *hc)
{
	return hc->code == HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX ||
	       hc->code == HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX;
}

static bool is_list(const struct hv_hcall *hc)
{
	return hc->code == HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST ||
	       hc->code == HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX;
}

/* The list is only looked at for whether it is there. */
static bool entries_readable(struct hv_hcall *hc)
{
	u64 entries[MAX_FLUSH_ENTRIES];

	if (!is_list(hc) || hc->rep_cnt > MAX_FLUSH_ENTRIES)
		return true;
	if (hc->fast && hc->consumed > ARRAY_SIZE(hc->xmm))
		return false;
	return kvm_hv_get_hc_words(hc, entries, hc->rep_cnt);
}

/* See virt/request.c: who sets the bit and then finds the vCPU outside of the guest knows that it will
 * see it. */
static bool may_run_on(struct kvm_vcpu *vcpu)
{
	return kvm_test_request(KVM_REQ_HV_TLB_FLUSH, vcpu) &&
	       __atomic_load_n(&vcpu->mode, __ATOMIC_SEQ_CST) != OUTSIDE_GUEST_MODE;
}

/*
 * A running vCPU leaves within a microsecond. For one that the host has descheduled the waiter sleeps: its
 * processor is what the other needs. A thread that was killed inside the guest (pthread_cancel) never
 * leaves, and runs nothing.
 */
static void wait_until_noticed(struct kvm_vcpu *vcpu)
{
	const struct timespec nap = { 0, NAP_NS };

	for (int i = 0; i < SPINS && may_run_on(vcpu); i++)
		__builtin_ia32_pause();
	for (int i = 0; i < MAX_NAPS && may_run_on(vcpu); i++)
		syscall(SYS_nanosleep, &nap, NULL); /* no cancellation point (virt/sys.c) */
}

static void flush(struct kvm_vcpu *self, const struct vp_set *set)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, self->kvm) {
		if (!vp_set_has(set, kvm_hv_get_vpindex(vcpu)))
			continue;
		kvm_make_request(KVM_REQ_HV_TLB_FLUSH, vcpu);
		if (vcpu != self && may_run_on(vcpu))
			kvm_vcpu_kick(vcpu);
	}
	kvm_for_each_vcpu(i, vcpu, self->kvm)
		if (vcpu != self && vp_set_has(set, kvm_hv_get_vpindex(vcpu)))
			wait_until_noticed(vcpu);
}

u64 kvm_hv_flush_tlb(struct hv_hcall *hc)
{
	struct vp_set set = { 0 };

	if (!(is_ex(hc) ? flush_header_ex(hc, &set) : flush_header(hc, &set)))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (!vp_set_empty(&set)) {
		if (!entries_readable(hc))
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		flush(hc->vcpu, &set);
	}
	return HV_STATUS_SUCCESS | (u64)hc->rep_cnt << HV_HYPERCALL_REP_COMP_OFFSET;
}

/* ---- IPIs ---- */

static bool ipi_header(struct hv_hcall *hc, struct vp_set *set, u32 *vector)
{
	struct hv_send_ipi ipi = { (u32)hc->ingpa, (u32)(hc->ingpa >> 32), hc->outgpa };

	if (hc->fast ? ipi.reserved != 0 : !read_header(hc, &ipi, sizeof(ipi)))
		return false;
	*vector = ipi.vector;
	set->valid_banks = 1;
	set->banks[0] = ipi.cpu_mask;
	return true;
}

static bool ipi_header_ex(struct hv_hcall *hc, struct vp_set *set, u32 *vector)
{
	struct hv_send_ipi_ex ipi = { (u32)hc->ingpa, 0, { hc->outgpa, hc->xmm[0] } };

	if (hc->fast)
		hc->consumed = 1;
	else if (!read_header(hc, &ipi, sizeof(ipi)))
		return false;
	*vector = ipi.vector;
	set->valid_banks = ipi.vp_set.valid_bank_mask;
	set->all = ipi.vp_set.format == HV_GENERIC_SET_ALL;
	if (hc->var_cnt != __builtin_popcountll(set->valid_banks))
		return false;
	return set->all || !hc->var_cnt || read_banks(hc, set);
}

static void send_ipis(struct kvm *kvm, const struct vp_set *set, u32 vector)
{
	struct kvm_lapic_irq irq = { .delivery_mode = APIC_DM_FIXED, .vector = vector };
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vp_set_has(set, kvm_hv_get_vpindex(vcpu)))
			kvm_apic_set_irq(vcpu, &irq); /* refused only where the APIC is off */
}

u64 kvm_hv_send_ipi(struct hv_hcall *hc)
{
	struct vp_set set = { 0 };
	bool ex = hc->code == HVCALL_SEND_IPI_EX;
	u32 vector = 0;

	if (!lapic_in_kernel(hc->vcpu) ||
	    !(ex ? ipi_header_ex(hc, &set, &vector) : ipi_header(hc, &set, &vector)))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (vp_set_empty(&set)) /* not even the vector is looked at */
		return HV_STATUS_SUCCESS;
	if (vector < HV_IPI_LOW_VECTOR || vector > HV_IPI_HIGH_VECTOR)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	send_ipis(hc->vcpu->kvm, &set, vector);
	return HV_STATUS_SUCCESS;
}
