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

bool kvm_use_dirty_bitmap(struct kvm *kvm)
{
	return !kvm->dirty_ring_size || kvm->dirty_ring_with_bitmap;
}

/* Why the slot's log can't be had, 0 where it can. */
static long check_log(struct kvm *kvm, u32 id, u64 first_page)
{
	if (!kvm_use_dirty_bitmap(kvm))
		return -ENXIO;
	return !kvm_memslot_id_valid(kvm, id) || (first_page & 63) ? -EINVAL : 0;
}

static struct kvm_memory_slot *logging_slot(struct kvm *kvm, u32 id, u64 first_page, long *err)
{
	struct kvm_memory_slot *slot;

	*err = check_log(kvm, id, first_page);
	if (*err)
		return NULL;
	*err = -ENOENT;
	slot = kvm_id_to_memslot(kvm, id);
	return slot && slot->dirty_bitmap ? slot : NULL;
}

/* The 64 pages from `first` on. */
void kvm_rearm_dirty(struct kvm *kvm, const struct kvm_memory_slot *slot, u64 first, u64 mask)
{
	hyp_as_rearm_dirty(kvm->as, slot->id >> 16, (slot->base_gfn + first) << PAGE_SHIFT, mask);
}

/* Moves the bits out and arms their pages again. */
static void take_bits(struct kvm *kvm, struct kvm_memory_slot *slot, u64 *out)
{
	bool any = false;

	for (size_t i = 0; i < bitmap_words(slot->npages); i++) {
		if (!slot->dirty_bitmap[i])
			continue;
		out[i] = __atomic_exchange_n(&slot->dirty_bitmap[i], 0, __ATOMIC_SEQ_CST);
		kvm_rearm_dirty(kvm, slot, i * 64, out[i]);
		any = true;
	}
	if (any)
		hyp_as_rearm_sync(kvm->as);
}

static long take_log(struct kvm *kvm, struct kvm_memory_slot *slot, unsigned long dst)
{
	size_t words = bitmap_words(slot->npages);
	u64 *out = calloc(words, sizeof(u64));
	long ret;

	if (!out)
		return -ENOMEM;
	take_bits(kvm, slot, out);
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
	slot = logging_slot(kvm, log->slot, 0, &ret);
	if (slot && kvm->manual_dirty_log_protect)
		ret = copy_to_client(dst, slot->dirty_bitmap, bitmap_words(slot->npages) * sizeof(u64));
	else if (slot)
		ret = take_log(kvm, slot, dst);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

static void clear_bits(struct kvm *kvm, struct kvm_memory_slot *slot, u64 first_page, const u64 *clear,
		       size_t words)
{
	u64 *map = slot->dirty_bitmap + first_page / 64, mask;
	bool any = false;

	for (size_t i = 0; i < words; i++) {
		if (!clear[i])
			continue;
		mask = __atomic_fetch_and(&map[i], ~clear[i], __ATOMIC_SEQ_CST) & clear[i];
		kvm_rearm_dirty(kvm, slot, first_page + i * 64, mask);
		any |= mask != 0;
	}
	if (any)
		hyp_as_rearm_sync(kvm->as);
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
	if (!ret)
		clear_bits(kvm, slot, log->first_page, clear, words);
	free(clear);
	return ret;
}

long kvm_vm_ioctl_clear_dirty_log(struct kvm *kvm, const struct kvm_clear_dirty_log *log)
{
	struct kvm_memory_slot *slot;
	long ret;

	pthread_mutex_lock(&kvm->slots_lock);
	slot = logging_slot(kvm, log->slot, log->first_page, &ret);
	if (slot)
		ret = clear_log(kvm, slot, log);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}
