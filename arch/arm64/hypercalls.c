/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SMC calling convention (DEN0028), version 1.1: who answers a guest's HVC or SMC. In this order: the
 * VM's filter (KVM_ARM_VM_SMCCC_FILTER), the bitmaps of pseudo-firmware registers that offer a service or
 * not, the services.
 */
#include <stdlib.h>
#include <time.h>
#include "arch/arm64/arm64.h"

#define SMCCC_VERSION_FN 0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u
#define SMCCC_ARCH_WORKAROUND_1 0x80008000u
#define SMCCC_ARCH_WORKAROUND_2 0x80007fffu
#define SMCCC_ARCH_WORKAROUND_3 0x80003fffu
#define SMCCC_HV_PV_TIME_FEATURES 0xc5000020u
#define SMCCC_HV_PV_TIME_ST 0xc5000021u
#define SMCCC_VENDOR_HYP_CALL_UID 0x8600ff01u
#define SMCCC_VENDOR_HYP_KVM_FEATURES 0x86000000u
#define SMCCC_VENDOR_HYP_KVM_PTP 0x86000001u
#define SMCCC_TRNG_VERSION 0x84000050u
#define SMCCC_TRNG_RND32 0x84000053u
#define SMCCC_TRNG_RND64 0xc4000053u

#define SMCCC_VERSION_1_1 0x10001u
#define SMCCC_SUCCESS 0ull
#define SMCCC_NOT_SUPPORTED (~0ull)
#define SMCCC_NOT_REQUIRED (~1ull) /* of WORKAROUND_2 */
#define SMCCC_UNAFFECTED 1ull      /* of WORKAROUND_1, _3: may be called and does nothing */

#define ARCH_RANGE_SIZE 0x10000u

void smccc_set_retval(struct kvm_vcpu *vcpu, u64 a0, u64 a1, u64 a2, u64 a3)
{
	struct arm64_state *s = arm64s(vcpu);

	s->x[0] = a0;
	s->x[1] = a1;
	s->x[2] = a2;
	s->x[3] = a3;
}

/* ---- the filter ------------------------------------------------------------------------------------------
 * */

/* Ranges that do not overlap, in no order; the first two are the architecture's, which nobody may take. */
struct kvm_smccc_range {
	u32 first, last;
	u8 action;
	struct kvm_smccc_range *next;
};

static bool overlaps(const struct kvm_smccc_range *r, u32 first, u32 last)
{
	for (; r; r = r->next)
		if (first <= r->last && r->first <= last)
			return true;
	return false;
}

static int insert_range(struct kvm *kvm, u32 first, u32 last, u8 action)
{
	struct kvm_smccc_range *r;

	if (overlaps(kvm->arch.smccc_filter, first, last))
		return -EEXIST;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct kvm_smccc_range){ first, last, action, kvm->arch.smccc_filter };
	kvm->arch.smccc_filter = r;
	return 0;
}

/* Mitigations must not be misrepresented to the guest. */
static int insert_reserved(struct kvm *kvm)
{
	int err = 0;

	if (!kvm->arch.smccc_filter)
		err = insert_range(kvm, SMCCC_VERSION_FN, SMCCC_VERSION_FN + ARCH_RANGE_SIZE - 1,
				   KVM_SMCCC_FILTER_HANDLE);
	if (!err && !kvm->arch.smccc_filter->next)
		err = insert_range(kvm, 0xc0000000, 0xc0000000 + ARCH_RANGE_SIZE - 1,
				   KVM_SMCCC_FILTER_HANDLE);
	return err;
}

static int set_filter_locked(struct kvm *kvm, const struct kvm_smccc_filter *f)
{
	int err;

	if (kvm_vm_has_ran_once(kvm))
		return -EBUSY;
	err = insert_reserved(kvm);
	return err ? err : insert_range(kvm, f->base, f->base + f->nr_functions - 1, f->action);
}

static int set_filter(struct kvm *kvm, unsigned long addr)
{
	struct kvm_smccc_filter f;
	int err;

	if (copy_from_client(&f, addr, sizeof(f)))
		return -EFAULT;
	for (size_t i = 0; i < sizeof(f.pad); i++)
		if (f.pad[i])
			return -EINVAL;
	if (!f.nr_functions || f.base + f.nr_functions - 1 < f.base ||
	    f.action > KVM_SMCCC_FILTER_FWD_TO_USER)
		return -EINVAL;
	pthread_mutex_lock(&kvm->arch.config_lock);
	err = set_filter_locked(kvm, &f);
	pthread_mutex_unlock(&kvm->arch.config_lock);
	return err;
}

int kvm_vm_smccc_has_attr(struct kvm *kvm, const struct kvm_device_attr *attr)
{
	return attr->attr == KVM_ARM_VM_SMCCC_FILTER ? 0 : -ENXIO;
}

int kvm_vm_smccc_set_attr(struct kvm *kvm, const struct kvm_device_attr *attr)
{
	return attr->attr == KVM_ARM_VM_SMCCC_FILTER ? set_filter(kvm, attr->addr) : -ENXIO;
}

void kvm_arm_teardown_hypercalls(struct kvm *kvm)
{
	while (kvm->arch.smccc_filter) {
		struct kvm_smccc_range *r = kvm->arch.smccc_filter;

		kvm->arch.smccc_filter = r->next;
		free(r);
	}
}

/* ---- pseudo-firmware registers
 * ----------------------------------------------------------------------------- */

/* A bitmap: the services that one of its bits offers. */
static const struct {
	u64 id;
	size_t offset; /* in struct kvm_arch */
	u64 features;
} bitmaps[] = {
	{ KVM_REG_ARM_STD_BMAP, offsetof(struct kvm_arch, smccc_feat.std_bmap), BIT(KVM_REG_ARM_STD_BIT_TRNG_V1_0) },
	{ KVM_REG_ARM_STD_HYP_BMAP, offsetof(struct kvm_arch, smccc_feat.std_hyp_bmap),
	  BIT(KVM_REG_ARM_STD_HYP_BIT_PV_TIME) },
	{ KVM_REG_ARM_VENDOR_HYP_BMAP, offsetof(struct kvm_arch, smccc_feat.vendor_hyp_bmap),
	  BIT(KVM_REG_ARM_VENDOR_HYP_BIT_FUNC_FEAT) | BIT(KVM_REG_ARM_VENDOR_HYP_BIT_PTP) },
};

static u64 *bitmap_of(struct kvm *kvm, size_t i)
{
	return (u64 *)((u8 *)&kvm->arch + bitmaps[i].offset);
}

void kvm_arm_init_hypercalls(struct kvm *kvm)
{
	for (size_t i = 0; i < ARRAY_SIZE(bitmaps); i++)
		*bitmap_of(kvm, i) = bitmaps[i].features;
}

static int set_bitmap(struct kvm *kvm, size_t i, u64 val)
{
	int ret = 0;

	if (val & ~bitmaps[i].features)
		return -EINVAL;
	pthread_mutex_lock(&kvm->arch.config_lock);
	if (kvm_vm_has_ran_once(kvm) && val != *bitmap_of(kvm, i))
		ret = -EBUSY;
	else
		__atomic_store_n(bitmap_of(kvm, i), val, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&kvm->arch.config_lock);
	return ret;
}

#define LEVEL_MASK 15ull
#define WA2_ENABLED ((u64)KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_ENABLED)

/* The software CPU does not speculate: no workaround is required. */
static u64 wa_level(u64 id)
{
	return id == KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2 ? KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_NOT_REQUIRED
							 : KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_NOT_REQUIRED;
}

static int set_workaround(u64 id, u64 val)
{
	bool wa2 = id == KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2;

	if (val & ~(LEVEL_MASK | (wa2 ? WA2_ENABLED : 0)))
		return -EINVAL;
	if (val & WA2_ENABLED && (val & LEVEL_MASK) != KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_AVAIL)
		return -EINVAL;
	return (val & LEVEL_MASK) > wa_level(id) ? -EINVAL : 0;
}

#define PSCI_VERSION_0_1 1u

static int set_psci_version(struct kvm_vcpu *vcpu, u64 val)
{
	static const u32 known[] = { 0x2, 0x10000, 0x10001 };
	bool wants_02 = vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2);

	if (val == PSCI_VERSION_0_1 && !wants_02)
		return 0;
	for (size_t i = 0; wants_02 && i < ARRAY_SIZE(known); i++) {
		if (known[i] == val) {
			vcpu->kvm->arch.psci_version = (u32)val;
			return 0;
		}
	}
	return -EINVAL;
}

static const u64 fw_regs[] = {
	KVM_REG_ARM_PSCI_VERSION,
	KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1,
	KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2,
	KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3,
	KVM_REG_ARM_STD_BMAP,
	KVM_REG_ARM_STD_HYP_BMAP,
	KVM_REG_ARM_VENDOR_HYP_BMAP,
};
#define FW_REG_BITMAP0 4 /* the first of them that is a bitmap */

static int fw_reg(u64 id)
{
	for (size_t i = 0; i < ARRAY_SIZE(fw_regs); i++)
		if (fw_regs[i] == id)
			return (int)i;
	return -ENOENT;
}

void kvm_arm_copy_fw_reg_indices(struct reg_list_out *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(fw_regs); i++)
		reg_list_put(out, fw_regs[i]);
}

long kvm_arm_get_fw_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	int i = fw_reg(reg->id);
	u64 val;

	if (i < 0)
		return i;
	if (!i)
		val = kvm_psci_version(vcpu);
	else
		val = i < FW_REG_BITMAP0 ? wa_level(reg->id)
					 : *bitmap_of(vcpu->kvm, (size_t)i - FW_REG_BITMAP0);
	return copy_to_client(reg->addr, &val, sizeof(val));
}

long kvm_arm_set_fw_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	int i = fw_reg(reg->id);
	u64 val;

	if (KVM_REG_SIZE(reg->id) != sizeof(val))
		return -ENOENT;
	if (copy_from_client(&val, reg->addr, sizeof(val)))
		return -EFAULT;
	if (i < 0)
		return i;
	if (!i)
		return set_psci_version(vcpu, val);
	return i < FW_REG_BITMAP0 ? set_workaround(reg->id, val)
				  : set_bitmap(vcpu->kvm, (size_t)i - FW_REG_BITMAP0, val);
}

/* ---- services
 * ------------------------------------------------------------------------------------------------ */

struct smccc_ret {
	u64 a[4];
};

static u64 arch_features(struct kvm_vcpu *vcpu)
{
	switch ((u32)arm64s(vcpu)->x[1]) {
	case SMCCC_ARCH_WORKAROUND_1:
	case SMCCC_ARCH_WORKAROUND_3:
		return SMCCC_UNAFFECTED;
	case SMCCC_ARCH_WORKAROUND_2:
		return SMCCC_NOT_REQUIRED;
	case SMCCC_HV_PV_TIME_FEATURES:
		return vcpu->kvm->arch.smccc_feat.std_hyp_bmap & BIT(KVM_REG_ARM_STD_HYP_BIT_PV_TIME)
			       ? SMCCC_SUCCESS
			       : SMCCC_NOT_SUPPORTED;
	}
	return SMCCC_NOT_SUPPORTED;
}

/* Wall clock and counter of one moment: KVM_PTP_VIRT_COUNTER 0, KVM_PTP_PHYS_COUNTER 1. */
static struct smccc_ret ptp_time(struct kvm_vcpu *vcpu)
{
	u32 which = (u32)arm64s(vcpu)->x[1];
	struct timespec ts;
	u64 ns, cycles;

	if (which > 1)
		return (struct smccc_ret){ { SMCCC_NOT_SUPPORTED } };
	clock_gettime(CLOCK_REALTIME, &ts);
	cycles = kvm_timer_vm_counter(vcpu->kvm, which ? TIMER_PTIMER : TIMER_VTIMER);
	ns = (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
	return (struct smccc_ret){ { ns >> 32, (u32)ns, cycles >> 32, (u32)cycles } };
}

/* The four words of KVM's UID, 28b46fb6-2ec5-11e9-a9ca-4b564d003a74. */
static const struct smccc_ret kvm_uid = { { 0xb66fb428, 0xe911c52e, 0x564bcaa9, 0x743a004d } };

static struct smccc_ret call_value(struct kvm_vcpu *vcpu, u32 fn)
{
	switch (fn) {
	case SMCCC_VERSION_FN:
		return (struct smccc_ret){ { SMCCC_VERSION_1_1 } };
	case SMCCC_ARCH_FEATURES:
		return (struct smccc_ret){ { arch_features(vcpu) } };
	case SMCCC_HV_PV_TIME_FEATURES:
		return (struct smccc_ret){ { kvm_hypercall_pv_features(vcpu) } };
	case SMCCC_HV_PV_TIME_ST: /* INVALID_GPA is NOT_SUPPORTED, too */
		return (struct smccc_ret){ { kvm_init_stolen_time(vcpu) } };
	case SMCCC_VENDOR_HYP_CALL_UID:
		return kvm_uid;
	case SMCCC_VENDOR_HYP_KVM_FEATURES:
		return (struct smccc_ret){ { vcpu->kvm->arch.smccc_feat.vendor_hyp_bmap } };
	case SMCCC_VENDOR_HYP_KVM_PTP:
		return ptp_time(vcpu);
	}
	return (struct smccc_ret){ { SMCCC_NOT_SUPPORTED } };
}

/* A function that a bit of a bitmap offers; bitmap -1: it is always there. */
static const struct smccc_service {
	u32 first, last;
	int bitmap, bit;
	enum { SVC_VALUE, SVC_TRNG, SVC_PSCI } kind;
} services[] = {
	{ SMCCC_VERSION_FN, SMCCC_ARCH_FEATURES, -1, 0, SVC_VALUE },
	{ 0x84000000, 0x8400001f, -1, 0, SVC_PSCI },
	{ 0xc4000000, 0xc400001f, -1, 0, SVC_PSCI },
	{ KVM_PSCI_FN(0), KVM_PSCI_FN(3), -1, 0, SVC_PSCI },
	{ SMCCC_TRNG_VERSION, SMCCC_TRNG_RND32, 0, KVM_REG_ARM_STD_BIT_TRNG_V1_0, SVC_TRNG },
	{ SMCCC_TRNG_RND64, SMCCC_TRNG_RND64, 0, KVM_REG_ARM_STD_BIT_TRNG_V1_0, SVC_TRNG },
	{ SMCCC_HV_PV_TIME_FEATURES, SMCCC_HV_PV_TIME_ST, 1, KVM_REG_ARM_STD_HYP_BIT_PV_TIME, SVC_VALUE },
	{ SMCCC_VENDOR_HYP_KVM_FEATURES, SMCCC_VENDOR_HYP_KVM_FEATURES, 2, KVM_REG_ARM_VENDOR_HYP_BIT_FUNC_FEAT,
	  SVC_VALUE },
	{ SMCCC_VENDOR_HYP_CALL_UID, SMCCC_VENDOR_HYP_CALL_UID, 2, KVM_REG_ARM_VENDOR_HYP_BIT_FUNC_FEAT, SVC_VALUE },
	{ SMCCC_VENDOR_HYP_KVM_PTP, SMCCC_VENDOR_HYP_KVM_PTP, 2, KVM_REG_ARM_VENDOR_HYP_BIT_PTP, SVC_VALUE },
};

static const struct smccc_service *find_service(struct kvm *kvm, u32 fn)
{
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		const struct smccc_service *s = &services[i];

		if (fn < s->first || fn > s->last)
			continue;
		if (s->bitmap < 0 || *bitmap_of(kvm, (size_t)s->bitmap) & BIT_ULL(s->bit))
			return s;
	}
	return NULL;
}

static u8 filter_action(struct kvm *kvm, u32 fn)
{
	for (const struct kvm_smccc_range *r = kvm->arch.smccc_filter; r; r = r->next)
		if (fn >= r->first && fn <= r->last)
			return r->action;
	return KVM_SMCCC_FILTER_HANDLE;
}

int kvm_smccc_call_handler(struct kvm_vcpu *vcpu, bool smc)
{
	u32 fn = (u32)arm64s(vcpu)->x[0];
	u8 action = filter_action(vcpu->kvm, fn);
	const struct smccc_service *service = find_service(vcpu->kvm, fn);
	struct smccc_ret r;

	if (action == KVM_SMCCC_FILTER_FWD_TO_USER)
		return kvm_exit_hypercall(vcpu, fn, smc);
	if (action == KVM_SMCCC_FILTER_DENY || !service) {
		smccc_set_retval(vcpu, SMCCC_NOT_SUPPORTED, 0, 0, 0);
		return 1;
	}
	if (service->kind == SVC_PSCI)
		return kvm_psci_call(vcpu);
	if (service->kind == SVC_TRNG)
		return kvm_trng_call(vcpu);
	r = call_value(vcpu, fn);
	smccc_set_retval(vcpu, r.a[0], r.a[1], r.a[2], r.a[3]);
	return 1;
}
