/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first write to a page of a slot that logs. Runs inside hyp_cpu_run with the guest's vector state
 * live: built with the guest-live flags, calls nothing.
 */
#include "virt/vm.h"

__thread struct kvm_vcpu *kvm_loaded_vcpu __attribute__((tls_model("initial-exec")));

/* True: the ring is as full as it may get before the vCPU has to leave. */
static bool ring_push(struct kvm_vcpu *vcpu, u32 slot, u64 offset)
{
	struct kvm_dirty_ring *ring = &vcpu->dirty_ring;
	struct kvm_dirty_gfn *entry = &ring->dirty_gfns[ring->dirty_index & (ring->size - 1)];

	entry->slot = slot;
	entry->offset = offset;
	__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
	__atomic_store_n(&ring->dirty_index, ring->dirty_index + 1, __ATOMIC_RELEASE);
	if (!kvm_dirty_ring_soft_full(ring))
		return false;
	__atomic_fetch_or(&vcpu->requests, BIT_ULL(KVM_REQ_DIRTY_RING_SOFT_FULL), __ATOMIC_SEQ_CST);
	return true;
}

/*
 * A write by KVM itself goes to the ring of the vCPU whose ioctl the thread is in. As on Linux, where there
 * is none (nothing on x86 writes that way) a VM with rings notes it in the bitmap, if it has one.
 */
bool kvm_mark_page_dirty(void *opaque, struct hyp_cpu *cpu, u32 region_id, gpa_t gpa)
{
	struct kvm *kvm = opaque;
	struct kvm_memory_slot *slot = kvm_id_to_memslot(kvm, region_id);
	struct kvm_vcpu *vcpu = kvm_loaded_vcpu;
	u64 rel;

	(void)cpu;
	if (!slot)
		return false;
	rel = (gpa >> PAGE_SHIFT) - slot->base_gfn;
	if (unlikely(rel >= slot->npages)) /* a slot on its way to another place: the CPU has the old map yet */
		return false;
	if (kvm->dirty_ring_size && vcpu && vcpu->kvm == kvm)
		return ring_push(vcpu, slot->id, rel);
	if (slot->dirty_bitmap)
		__atomic_fetch_or(&slot->dirty_bitmap[rel / 64], BIT_ULL(rel % 64), __ATOMIC_SEQ_CST);
	return false;
}
