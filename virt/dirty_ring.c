/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty ring (api.rst, 8.29): each vCPU notes the pages it writes first in a ring of its own, which user
 * space maps at KVM_DIRTY_LOG_PAGE_OFFSET of the vcpu fd. An entry goes round:
 *
 *	0 --vCPU--> DIRTY --user space--> RESET --KVM_RESET_DIRTY_RINGS--> 0
 *
 * Only the vCPU's thread (its mutex held) advances dirty_index, only KVM_RESET_DIRTY_RINGS (slots_lock
 * held) advances reset_index, so neither waits for the other. What user space writes into an entry is
 * looked at once and checked: it may name any slot and page.
 *
 * A page is armed again after its entry has been given back and before the ioctl returns; a vCPU that writes
 * it in between is still allowed to without an entry, as it was before, and user space collects the page's
 * content only later.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/vm.h"

#define RSVD_ENTRIES 64u /* KVM_DIRTY_RING_RSVD_ENTRIES: what one exit may take to come about */
#define RING_OFFSET ((off_t)(KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE))

long kvm_vm_ioctl_enable_dirty_log_ring(struct kvm *kvm, u32 size)
{
	long ret = -EINVAL;

	if (!size || (size & (size - 1)) || size < RSVD_ENTRIES * sizeof(struct kvm_dirty_gfn) ||
	    size < PAGE_SIZE)
		return -EINVAL;
	if (size > KVM_DIRTY_RING_MAX_SIZE)
		return -E2BIG;
	pthread_mutex_lock(&kvm->lock);
	if (!kvm->dirty_ring_size && !kvm->created_vcpus) {
		__atomic_store_n(&kvm->dirty_ring_size, size, __ATOMIC_RELEASE);
		ret = 0;
	}
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}

int kvm_dirty_ring_alloc(struct kvm_dirty_ring *ring, u32 size)
{
	void *map;

	ring->fd = kvm_memfd("kvm-dirty-ring", size, true);
	if (ring->fd < 0)
		return ring->fd;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (map == MAP_FAILED) {
		close(ring->fd);
		return -ENOMEM;
	}
	ring->dirty_gfns = map;
	ring->size = size / sizeof(struct kvm_dirty_gfn);
	ring->soft_limit = ring->size - RSVD_ENTRIES;
	return 0;
}

void kvm_dirty_ring_free(struct kvm_dirty_ring *ring)
{
	if (!ring->dirty_gfns)
		return;
	munmap(ring->dirty_gfns, ring->size * sizeof(struct kvm_dirty_gfn));
	close(ring->fd);
	ring->dirty_gfns = NULL;
}

/* ---- mapping ---- */

static bool in_ring(const struct kvm *kvm, off_t off)
{
	return off >= RING_OFFSET && off < RING_OFFSET + (off_t)kvm->dirty_ring_size;
}

bool kvm_dirty_ring_may_map(const struct kvm *kvm, size_t len, off_t off, int prot, int flags)
{
	bool touched = in_ring(kvm, off) ||
		       in_ring(kvm, off + (off_t)ALIGN_UP(len, PAGE_SIZE) - (off_t)PAGE_SIZE);

	return !touched || (!(prot & PROT_EXEC) && (flags & MAP_TYPE) != MAP_PRIVATE);
}

int kvm_dirty_ring_map(struct kvm_vcpu *vcpu, char *at, size_t len, off_t off, struct kvm_map_as how)
{
	off_t first = MAX(off, RING_OFFSET);
	off_t last = MIN(off + (off_t)ALIGN_UP(len, PAGE_SIZE),
			 RING_OFFSET + (off_t)vcpu->kvm->dirty_ring_size);

	if (first >= last)
		return 0;
	return syscall(SYS_mmap, at + (first - off), last - first, how.prot,
		       (how.flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, vcpu->dirty_ring.fd,
		       first - RING_OFFSET) == -1
		       ? -errno
		       : 0;
}

/* ---- KVM_RESET_DIRTY_RINGS ---- */

static void reset_page(struct kvm *kvm, u32 id, u64 offset)
{
	const struct kvm_memory_slot *slot = kvm_memslot_id_valid(kvm, id) ? kvm_id_to_memslot(kvm, id)
									   : NULL;

	if (slot && offset < slot->npages)
		kvm_rearm_dirty(kvm, slot, offset, 1);
}

static long reset_ring(struct kvm *kvm, struct kvm_dirty_ring *ring)
{
	long count = 0;

	for (; count < ring->size; count++) {
		struct kvm_dirty_gfn *entry = &ring->dirty_gfns[ring->reset_index & (ring->size - 1)];
		u32 slot = __atomic_load_n(&entry->slot, __ATOMIC_RELAXED);
		u64 offset = __atomic_load_n(&entry->offset, __ATOMIC_RELAXED);

		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET))
			break;
		__atomic_store_n(&entry->flags, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&ring->reset_index, ring->reset_index + 1, __ATOMIC_RELEASE);
		reset_page(kvm, slot, offset);
	}
	return count;
}

long kvm_vm_ioctl_reset_dirty_pages(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	long cleared = 0;
	u32 i;

	if (!kvm->dirty_ring_size)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_for_each_vcpu(i, vcpu, kvm)
		cleared += reset_ring(kvm, &vcpu->dirty_ring);
	if (cleared)
		hyp_as_rearm_sync(kvm->as);
	pthread_mutex_unlock(&kvm->slots_lock);
	return cleared;
}

bool kvm_dirty_ring_check_request(struct kvm_vcpu *vcpu)
{
	if (!kvm_check_request(KVM_REQ_DIRTY_RING_SOFT_FULL, vcpu) ||
	    !kvm_dirty_ring_soft_full(&vcpu->dirty_ring))
		return false;
	kvm_make_request(KVM_REQ_DIRTY_RING_SOFT_FULL, vcpu); /* until user space has made room */
	return true;
}
