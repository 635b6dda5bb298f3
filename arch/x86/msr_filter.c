/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM_X86_SET_MSR_FILTER: ranges of MSRs that a guest may or may not read and write. The filter is an
 * immutable snapshot; readers hold kvm->srcu. x2APIC registers are never filtered.
 */
#include <stdlib.h>
#include "arch/x86/x86.h"

struct filter_range {
	u32 flags, nmsrs, base;
	u8 *bitmap;
};

struct x86_msr_filter {
	bool default_allow;
	u32 count;
	struct filter_range range[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct x86_msr_filter *f)
{
	for (u32 i = 0; f && i < f->count; i++)
		free(f->range[i].bitmap);
	free(f);
}

void kvm_msr_filter_free(struct kvm *kvm)
{
	filter_free(kvm->arch.msr_filter);
	kvm->arch.msr_filter = NULL;
}

static bool filter_allows(const struct x86_msr_filter *f, u32 index, u32 type)
{
	for (u32 i = 0; i < f->count; i++) {
		const struct filter_range *r = &f->range[i];

		if ((r->flags & type) && index >= r->base && index - r->base < r->nmsrs)
			return r->bitmap[(index - r->base) / 8] & (1u << ((index - r->base) % 8));
	}
	return f->default_allow;
}

bool kvm_msr_allowed(struct kvm_vcpu *vcpu, u32 index, u32 type)
{
	struct kvm *kvm = vcpu->kvm;
	const struct x86_msr_filter *f;
	bool allowed = true;
	int idx;

	if (index >= 0x800 && index <= 0x8ff)
		return true;
	idx = srcu_read_lock(&kvm->srcu);
	f = srcu_dereference(kvm->arch.msr_filter);
	if (f)
		allowed = filter_allows(f, index, type);
	srcu_read_unlock(&kvm->srcu, idx);
	return allowed;
}

/* Bitmaps are at most this long (Linux: KVM_MSR_FILTER_MAX_BITMAP_SIZE). */
#define BITMAP_MAX 0x600

static int add_range(struct x86_msr_filter *f, const struct kvm_msr_filter_range *u)
{
	size_t bytes = ALIGN_UP((size_t)u->nmsrs, 64) / 8;
	struct filter_range *r = &f->range[f->count];

	if (!u->nmsrs)
		return 0;
	if ((u->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) || !u->flags || bytes > BITMAP_MAX)
		return -EINVAL;
	*r = (struct filter_range){ u->flags, u->nmsrs, u->base, malloc(bytes) };
	if (!r->bitmap)
		return -ENOMEM;
	f->count++;
	return copy_from_client(r->bitmap, (unsigned long)u->bitmap, bytes);
}

static int filter_build(const struct kvm_msr_filter *u, struct x86_msr_filter **out)
{
	struct x86_msr_filter *f;
	bool empty = true;
	int err = 0;

	if (u->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->default_allow = !(u->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (int i = 0; i < KVM_MSR_FILTER_MAX_RANGES && !err; i++) {
		empty &= !u->ranges[i].nmsrs;
		err = add_range(f, &u->ranges[i]);
	}
	if (!err && empty && !f->default_allow) /* would deny everything, the caller can't mean that */
		err = -EINVAL;
	if (err)
		filter_free(f);
	else
		*out = f;
	return err;
}

long kvm_vm_ioctl_set_msr_filter(struct kvm *kvm, unsigned long arg)
{
	struct x86_msr_filter *f = NULL, *old;
	struct kvm_msr_filter u;
	int err;

	if (copy_from_client(&u, arg, sizeof(u)))
		return -EFAULT;
	err = filter_build(&u, &f);
	if (err)
		return err;
	pthread_mutex_lock(&kvm->lock);
	old = kvm->arch.msr_filter;
	rcu_assign_pointer(kvm->arch.msr_filter, f);
	pthread_mutex_unlock(&kvm->lock);
	synchronize_srcu(&kvm->srcu);
	filter_free(old);
	return 0;
}
