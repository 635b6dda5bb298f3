/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first write to a page of a slot that logs. Runs inside hyp_cpu_run with the guest's vector state
 * live: built with the guest-live flags, calls nothing.
 */
#include "virt/vm.h"

static struct kvm_memory_slot *gfn_to_memslot(struct kvm_memslots *slots, u64 gfn)
{
	int lo = 0, hi = slots->nr;

	while (lo < hi) {
		int mid = (lo + hi) / 2;

		if (slots->slot[mid].base_gfn + slots->slot[mid].npages <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < slots->nr && slots->slot[lo].base_gfn <= gfn ? &slots->slot[lo] : NULL;
}

void kvm_mark_page_dirty(void *opaque, struct hyp_cpu *cpu, u32 region_id, gpa_t gpa)
{
	struct kvm *kvm = opaque;
	int idx = srcu_read_lock(&kvm->srcu);
	struct kvm_memory_slot *slot = gfn_to_memslot(srcu_dereference(kvm->memslots), gpa >> PAGE_SHIFT);

	(void)cpu;
	(void)region_id;
	if (slot && slot->dirty_bitmap) {
		u64 rel = (gpa >> PAGE_SHIFT) - slot->base_gfn;

		__atomic_fetch_or(&slot->dirty_bitmap[rel / 64], BIT_ULL(rel % 64), __ATOMIC_SEQ_CST);
	}
	srcu_read_unlock(&kvm->srcu, idx);
}
