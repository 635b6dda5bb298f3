/* SPDX-License-Identifier: Apache-2.0 */
/* Stolen time (DEN0057): how long a vCPU could have run and did not, in a page that user space points out. */
#include "arch/arm64/arm64.h"

#define HV_PV_TIME_FEATURES 0xc5000020u
#define HV_PV_TIME_ST 0xc5000021u

struct stolen_time { /* DEN0057, 3.2.2 */
	u32 revision, attributes;
	u64 stolen_ns;
	u8 padding[48];
};
_Static_assert(sizeof(struct stolen_time) == 64, "stolen time ABI");

void kvm_arm_pvtime_vcpu_init(struct kvm_vcpu *vcpu)
{
	vcpu->arch.steal.base = INVALID_GPA;
}

void kvm_update_stolen_time(struct kvm_vcpu *vcpu)
{
	gpa_t gpa = vcpu->arch.steal.base + offsetof(struct stolen_time, stolen_ns);
	u64 last = vcpu->arch.steal.last_steal, now, stolen;

	if (!kvm_arm_is_pvtime_enabled(vcpu) || kvm_read_guest(vcpu->kvm, gpa, &stolen, sizeof(stolen)))
		return;
	now = kvm_run_delay_ns(vcpu);
	vcpu->arch.steal.last_steal = now;
	stolen += now > last ? now - last : 0;
	kvm_write_guest(vcpu->kvm, gpa, &stolen, sizeof(stolen));
}

u64 kvm_hypercall_pv_features(struct kvm_vcpu *vcpu)
{
	u32 feature = (u32)arm64s(vcpu)->x[1];

	if (feature != HV_PV_TIME_FEATURES && feature != HV_PV_TIME_ST)
		return ~0ull;
	return kvm_arm_is_pvtime_enabled(vcpu) ? 0 : ~0ull;
}

/* Counted from here on. */
gpa_t kvm_init_stolen_time(struct kvm_vcpu *vcpu)
{
	struct stolen_time zero = { 0 };

	if (!kvm_arm_is_pvtime_enabled(vcpu))
		return INVALID_GPA;
	vcpu->arch.steal.last_steal = kvm_run_delay_ns(vcpu);
	kvm_write_guest(vcpu->kvm, vcpu->arch.steal.base, &zero, sizeof(zero));
	return vcpu->arch.steal.base;
}

static bool in_memslot(struct kvm *kvm, gpa_t gpa)
{
	u8 byte;

	return !kvm_read_guest(kvm, gpa, &byte, 1);
}

static int pvtime_set_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	u64 ipa;

	if (!kvm_sched_info_on() || attr->attr != KVM_ARM_VCPU_PVTIME_IPA)
		return -ENXIO;
	if (copy_from_client(&ipa, attr->addr, sizeof(ipa)))
		return -EFAULT;
	if (ipa & 63)
		return -EINVAL;
	if (kvm_arm_is_pvtime_enabled(vcpu))
		return -EEXIST;
	if (!in_memslot(vcpu->kvm, ipa))
		return -EINVAL;
	vcpu->arch.steal.base = ipa;
	return 0;
}

static int pvtime_get_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	if (!kvm_sched_info_on() || attr->attr != KVM_ARM_VCPU_PVTIME_IPA)
		return -ENXIO;
	return copy_to_client(attr->addr, &vcpu->arch.steal.base, sizeof(u64));
}

static int pvtime_has_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	return kvm_sched_info_on() && attr->attr == KVM_ARM_VCPU_PVTIME_IPA ? 0 : -ENXIO;
}

const struct vcpu_attr_group kvm_pvtime_attrs = { KVM_ARM_VCPU_PVTIME_CTRL, pvtime_set_attr, pvtime_get_attr,
						  pvtime_has_attr };
