/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's TSC: the host's, scaled and offset, read inline by translated code. vCPUs of a VM share one
 * offset unless the guest or user space moves one of them away, so their TSCs agree and kvmclock can be
 * stable.
 */
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>
#include "arch/x86/x86.h"
#include "lib/tsc.h"

static u32 host_khz;

int kvm_tsc_init(const char **verdict, const char **remedy)
{
	bool stated;

	host_khz = host_tsc_khz(&stated);
	*verdict = stated ? "TSC frequency as the host kernel states it"
			  : "TSC frequency measured against CLOCK_MONOTONIC_RAW";
	return host_khz ? 0 : -EIO;
}

u32 kvm_host_tsc_khz(void)
{
	return host_khz;
}

/* ---- scaling and offset ------------------------------------------------------------------------------ */

#define UNSCALED BIT_ULL(KVM_TSC_RATIO_SHIFT)

u64 kvm_scale_tsc(struct kvm_vcpu *vcpu, u64 host_tsc)
{
	u64 ratio = vcpu->arch.l1_tsc_scaling_ratio;

	return ratio == UNSCALED ? host_tsc
				 : (u64)((unsigned __int128)host_tsc * ratio >> KVM_TSC_RATIO_SHIFT);
}

u64 kvm_read_l1_tsc(struct kvm_vcpu *vcpu)
{
	return kvm_scale_tsc(vcpu, __rdtsc()) + vcpu->arch.l1_tsc_offset;
}

void kvm_write_tsc_offset(struct kvm_vcpu *vcpu, u64 offset)
{
	vcpu->arch.l1_tsc_offset = offset;
	x86s(vcpu)->tsc_offset = offset;
}

void kvm_adjust_tsc_offset(struct kvm_vcpu *vcpu, s64 delta)
{
	kvm_write_tsc_offset(vcpu, vcpu->arch.l1_tsc_offset + (u64)delta);
	kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
	kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
}

/* 0, or -EINVAL where the ratio does not fit. */
int kvm_set_tsc_khz(struct kvm_vcpu *vcpu, u32 khz)
{
	u64 ratio = khz == host_khz ? UNSCALED
				    : (u64)(((unsigned __int128)khz << KVM_TSC_RATIO_SHIFT) / host_khz);

	if (!khz || !ratio)
		return -EINVAL;
	vcpu->arch.virtual_tsc_khz = khz;
	vcpu->arch.l1_tsc_scaling_ratio = ratio;
	x86s(vcpu)->tsc_ratio = ratio;
	return 0;
}

/* How far a TSC of this vCPU's frequency gets in ns. */
static u64 ns_to_cycles(struct kvm_vcpu *vcpu, u64 ns)
{
	return (u64)((unsigned __int128)ns * vcpu->arch.virtual_tsc_khz / 1000000u);
}

/*
 * User space writes TSCs one vCPU after the other, meaning them to agree: 0 (a reset), or a value within a
 * second of where the previously written TSC is by now, is taken as "the same as the others".
 */
void kvm_synchronize_tsc(struct kvm_vcpu *vcpu, u64 value)
{
	struct kvm_arch *ka = &vcpu->kvm->arch;
	u64 now = kvm_clock_monotonic_ns(), host_tsc = __rdtsc();
	u64 offset = value - kvm_scale_tsc(vcpu, host_tsc);
	bool same = false;

	pthread_mutex_lock(&ka->tsc_write_lock);
	if (ka->has_last_tsc && vcpu->arch.virtual_tsc_khz) {
		u64 expected = ka->last_tsc_value + ns_to_cycles(vcpu, now - ka->last_tsc_write_ns);
		u64 second = (u64)vcpu->arch.virtual_tsc_khz * 1000;

		same = value == 0 || (value < expected + second && value + second > expected);
	}
	if (same) {
		offset = ka->cur_tsc_offset;
	} else {
		ka->cur_tsc_offset = offset;
		ka->last_tsc_value = value;
		ka->last_tsc_write_ns = now;
		ka->has_last_tsc = true;
	}
	pthread_mutex_unlock(&ka->tsc_write_lock);
	kvm_write_tsc_offset(vcpu, offset);
	kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
}

void kvm_tsc_vcpu_create(struct kvm_vcpu *vcpu)
{
	u32 khz = __atomic_load_n(&vcpu->kvm->arch.default_tsc_khz, __ATOMIC_RELAXED);

	kvm_set_tsc_khz(vcpu, khz ? khz : host_khz);
	kvm_synchronize_tsc(vcpu, 0);
}

u64 kvm_guest_tsc_to_monotonic(struct kvm_vcpu *vcpu, u64 tsc)
{
	u64 now_ns = kvm_clock_monotonic_ns(), now = kvm_read_l1_tsc(vcpu), cycles = tsc - now;

	if ((s64)cycles <= 0)
		return now_ns;
	return now_ns + (u64)((unsigned __int128)cycles * 1000000u / vcpu->arch.virtual_tsc_khz);
}
