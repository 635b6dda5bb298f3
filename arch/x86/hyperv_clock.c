/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hyper-V reference time: units of 100 ns since the partition was made. It is kvmclock's time, read from
 * the MSR TIME_REF_COUNT, or computed by the guest from a page:
 *
 *	time = (TSC * scale >> 64) + offset
 *
 * kvmclock says: at TSC tsc_timestamp it was system_time ns. So scale = 2^64 * (100 ns per tick) and
 * offset = system_time / 100 - (tsc_timestamp * scale >> 64). While the page is valid the MSR is computed
 * the same way: the two clocks never disagree by the rounding.
 *
 * The page is written by whichever vCPU updates its kvmclock next. sequence is 0 while it changes.
 *
 * A guest that has asked for TSC emulation (HV_X64_MSR_TSC_EMULATION_CONTROL: it was migrated) is told of a
 * new frequency before its page may change; such notifications are not sent, so the page keeps its values.
 */
#include "arch/x86/hyperv.h"

#define TICKS_100NS_PER_MS 10000u

static u64 mul_shr64(u64 a, u64 b)
{
	return (u64)((unsigned __int128)a * b >> 64);
}

u64 kvm_hv_reference_time(struct kvm *kvm)
{
	struct kvm_hv *hv = to_kvm_hv(kvm);
	u64 now;

	pthread_mutex_lock(&hv->lock);
	if (hv->tsc_page_status == HV_TSC_PAGE_SET)
		now = mul_shr64(kvm_read_l1_tsc(kvm_get_vcpu(kvm, 0)), hv->tsc_scale) + hv->tsc_offset;
	else
		now = kvm_get_kvmclock_ns(kvm) / 100;
	pthread_mutex_unlock(&hv->lock);
	return now;
}

static bool update_unsafe(const struct kvm_hv *hv)
{
	return hv->tsc_page_status != HV_TSC_PAGE_GUEST_CHANGED && hv->tsc_emulation_control;
}

bool kvm_hv_request_tsc_page_update(struct kvm *kvm)
{
	struct kvm_hv *hv = to_kvm_hv(kvm);
	bool wanted;

	pthread_mutex_lock(&hv->lock);
	if (hv->tsc_page_status == HV_TSC_PAGE_SET && !update_unsafe(hv))
		__atomic_store_n(&hv->tsc_page_status, HV_TSC_PAGE_HOST_CHANGED, __ATOMIC_RELAXED);
	wanted = kvm_hv_tsc_page_wanted(kvm);
	pthread_mutex_unlock(&hv->lock);
	return wanted;
}

bool kvm_hv_tsc_page_wanted(struct kvm *kvm)
{
	u32 status = __atomic_load_n(&to_kvm_hv(kvm)->tsc_page_status, __ATOMIC_RELAXED);

	return status == HV_TSC_PAGE_GUEST_CHANGED || status == HV_TSC_PAGE_HOST_CHANGED;
}

/* False where the scale does not fit 64 bits: a TSC of 10 MHz or less. */
static bool compute(struct hv_reference_tsc_page *page, u32 khz, u64 tsc_timestamp, u64 system_time)
{
	if (khz <= TICKS_100NS_PER_MS)
		return false;
	page->scale = (u64)(((unsigned __int128)TICKS_100NS_PER_MS << 64) / khz);
	page->offset = system_time / 100 - mul_shr64(tsc_timestamp, page->scale);
	return true;
}

static int write_sequence(struct kvm *kvm, gpa_t gpa, u32 sequence)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return kvm_write_guest(kvm, gpa, &sequence, sizeof(sequence));
}

/* 0 and ~0 are not valid ones. */
static u32 next_sequence(u32 sequence)
{
	return sequence + 1 == ~0u || sequence + 1 == 0 ? 1 : sequence + 1;
}

/* 0, or < 0: the page cannot be used. kvm_hv.lock held. */
static int fill_page(struct kvm_vcpu *vcpu, bool stable, u64 tsc_timestamp, u64 system_time)
{
	struct kvm_hv *hv = to_kvm_hv(vcpu->kvm);
	gpa_t gpa = hv->tsc_page & PAGE_MASK;
	struct hv_reference_tsc_page page;
	u32 sequence;

	if (kvm_read_guest(vcpu->kvm, gpa, &page, sizeof(page)))
		return -EFAULT;
	sequence = page.sequence;
	if (!sequence || !update_unsafe(hv)) {
		if (write_sequence(vcpu->kvm, gpa, 0))
			return -EFAULT;
		page.sequence = 0;
		if (!stable || !compute(&page, vcpu->arch.virtual_tsc_khz, tsc_timestamp, system_time))
			return -EINVAL;
		if (kvm_write_guest(vcpu->kvm, gpa, &page, sizeof(page)))
			return -EFAULT;
		if (write_sequence(vcpu->kvm, gpa, next_sequence(sequence)))
			return -EFAULT;
	}
	hv->tsc_scale = page.scale;
	hv->tsc_offset = page.offset;
	return 0;
}

void kvm_hv_setup_tsc_page(struct kvm_vcpu *vcpu, bool stable, u64 tsc_timestamp, u64 system_time)
{
	struct kvm_hv *hv = to_kvm_hv(vcpu->kvm);
	u32 status;

	pthread_mutex_lock(&hv->lock);
	if (kvm_hv_tsc_page_wanted(vcpu->kvm) && (hv->tsc_page & HV_MSR_PAGE_ENABLE)) {
		status = fill_page(vcpu, stable, tsc_timestamp, system_time) ? HV_TSC_PAGE_BROKEN
									     : HV_TSC_PAGE_SET;
		__atomic_store_n(&hv->tsc_page_status, status, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&hv->lock);
}
