/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first write to a page of a slot that logs. Runs inside hyp_cpu_run with the guest's vector state
 * live: built with the guest-live flags, calls nothing.
 */
#include "virt/vm.h"

void kvm_mark_page_dirty(void *opaque, struct hyp_cpu *cpu, u32 region_id, gpa_t gpa)
{
	struct kvm_memory_slot *slot = kvm_id_to_memslot(opaque, region_id);
	u64 rel;

	(void)cpu;
	if (!slot || !slot->dirty_bitmap)
		return;
	rel = (gpa >> PAGE_SHIFT) - slot->base_gfn;
	__atomic_fetch_or(&slot->dirty_bitmap[rel / 64], BIT_ULL(rel % 64), __ATOMIC_SEQ_CST);
}
