/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty log: KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG. A bit is cleared first and the page is armed
 * again before the ioctl returns: a write between the two is seen in the page's content, a later one in
 * the bitmap.
 */
#include <stdlib.h>
#include <string.h>
#include "virt/uaccess.h"
#include "virt/vm.h"

static size_t bitmap_words(u64 npages)
{
	return (npages + 63) / 64;
}

u64 *kvm_alloc_dirty_bitmap(u64 npages, bool all_set)
{
	u64 *map = calloc(bitmap_words(npages), sizeof(u64));

	if (map && all_set) {
		memset(map, 0xff, npages / 64 * sizeof(u64));
		if (npages % 64)
			map[npages / 64] = BIT_ULL(npages % 64) - 1;
	}
	return map;
}

static struct kvm_memory_slot *logging_slot(struct kvm *kvm, u32 id, long *err)
{
	struct kvm_memory_slot *slot;

	*err = -EINVAL;
	if (id >= KVM_USER_MEM_SLOTS)
		return NULL;
	*err = -ENOENT;
	slot = kvm_id_to_memslot(kvm->memslots, id);
	return slot && slot->dirty_bitmap ? slot : NULL;
}

static void rearm(struct kvm *kvm, struct kvm_memory_slot *slot, u64 first, u64 n)
{
	n = MIN(n, slot->npages - first);
	hyp_as_rearm_dirty(kvm->as, (slot->base_gfn + first) << PAGE_SHIFT, n << PAGE_SHIFT);
}

/* Moves the bits out, 0/1: was any set. */
static bool take_bits(u64 *map, u64 *out, size_t words)
{
	bool any = false;

	for (size_t i = 0; i < words; i++) {
		out[i] = map[i] ? __atomic_exchange_n(&map[i], 0, __ATOMIC_SEQ_CST) : 0;
		any |= out[i] != 0;
	}
	return any;
}

static long take_log(struct kvm *kvm, struct kvm_memory_slot *slot, unsigned long dst)
{
	size_t words = bitmap_words(slot->npages);
	u64 *out = calloc(words, sizeof(u64));
	long ret;

	if (!out)
		return -ENOMEM;
	if (take_bits(slot->dirty_bitmap, out, words))
		rearm(kvm, slot, 0, slot->npages);
	ret = copy_to_client(dst, out, words * sizeof(u64));
	free(out);
	return ret;
}

long kvm_vm_ioctl_get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log)
{
	struct kvm_memory_slot *slot;
	unsigned long dst = (unsigned long)log->dirty_bitmap;
	long ret;

	pthread_mutex_lock(&kvm->slots_lock);
	slot = logging_slot(kvm, log->slot, &ret);
	if (slot && kvm->manual_dirty_log_protect)
		ret = copy_to_client(dst, slot->dirty_bitmap, bitmap_words(slot->npages) * sizeof(u64));
	else if (slot)
		ret = take_log(kvm, slot, dst);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

static bool clear_bits(u64 *map, const u64 *clear, size_t words)
{
	bool any = false;

	for (size_t i = 0; i < words; i++)
		any |= clear[i] && (__atomic_fetch_and(&map[i], ~clear[i], __ATOMIC_SEQ_CST) & clear[i]);
	return any;
}

static long clear_log(struct kvm *kvm, struct kvm_memory_slot *slot, const struct kvm_clear_dirty_log *log)
{
	u64 rest = slot->npages - log->first_page;
	size_t words = bitmap_words(log->num_pages);
	u64 *clear;
	long ret;

	if (log->first_page > slot->npages || log->num_pages > rest ||
	    (log->num_pages < rest && (log->num_pages & 63)))
		return -EINVAL;
	clear = calloc(words + 1, sizeof(u64));
	if (!clear)
		return -ENOMEM;
	ret = copy_from_client(clear, (unsigned long)log->dirty_bitmap, words * sizeof(u64));
	if (!ret && clear_bits(slot->dirty_bitmap + log->first_page / 64, clear, words))
		rearm(kvm, slot, log->first_page, log->num_pages);
	free(clear);
	return ret;
}

long kvm_vm_ioctl_clear_dirty_log(struct kvm *kvm, const struct kvm_clear_dirty_log *log)
{
	struct kvm_memory_slot *slot;
	long ret;

	if (log->slot < KVM_USER_MEM_SLOTS && (log->first_page & 63))
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	slot = logging_slot(kvm, log->slot, &ret);
	if (slot)
		ret = clear_log(kvm, slot, log);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}
