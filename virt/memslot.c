/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory slots. The set is an immutable array sorted by guest frame, published by pointer: an ioctl
 * validates, prepares a changed copy (may fail), commits by swapping the pointer and handing the regions to
 * the CPU (hyp_as_update), and frees the old copy after every reader has left it. slots_lock orders
 * writers; readers hold kvm->srcu.
 */
#include <stdlib.h>
#include <string.h>
#include "virt/uaccess.h"
#include "virt/vm.h"

struct slot_change {
	struct kvm_memory_slot *old; /* in the current set; NULL: create */
	struct kvm_memory_slot new;  /* npages 0: delete */
};

static struct kvm_memslots *slots_alloc(int nr)
{
	struct kvm_memslots *slots = calloc(1, sizeof(*slots) + (size_t)nr * sizeof(slots->slot[0]));

	if (slots)
		slots->nr = nr;
	return slots;
}

int kvm_memslots_init(struct kvm *kvm)
{
	kvm->memslots = slots_alloc(0);
	return kvm->memslots ? 0 : -ENOMEM;
}

void kvm_memslots_destroy(struct kvm *kvm)
{
	if (!kvm->memslots)
		return;
	for (int i = 0; i < kvm->memslots->nr; i++)
		free(kvm->memslots->slot[i].dirty_bitmap);
	free(kvm->memslots);
	kvm->memslots = NULL;
}

struct kvm_memory_slot *kvm_id_to_memslot(struct kvm_memslots *slots, u32 id)
{
	for (int i = 0; i < slots->nr; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

/* ---- validate -------------------------------------------------------------------------------------- */

static int check_region(const struct kvm_userspace_memory_region *mem)
{
	if (mem->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | kvm_arch_valid_mem_flags()))
		return -EINVAL;
	if ((mem->memory_size | mem->guest_phys_addr | mem->userspace_addr) & ~PAGE_MASK)
		return -EINVAL;
	if (!client_access_ok(mem->userspace_addr, mem->memory_size))
		return -EINVAL;
	if (mem->slot >= KVM_USER_MEM_SLOTS) /* address space in bits 31:16: only 0 exists */
		return -EINVAL;
	if (mem->guest_phys_addr + mem->memory_size < mem->guest_phys_addr)
		return -EINVAL;
	if ((mem->memory_size >> PAGE_SHIFT) > KVM_MEM_MAX_NR_PAGES)
		return -EINVAL;
	return 0;
}

static bool overlaps(const struct kvm_memslots *slots, const struct kvm_memory_slot *new)
{
	for (int i = 0; i < slots->nr; i++) {
		const struct kvm_memory_slot *s = &slots->slot[i];

		if (s->id != new->id && s->base_gfn < new->base_gfn + new->npages &&
		    new->base_gfn < s->base_gfn + s->npages)
			return true;
	}
	return false;
}

/* 0: do it, 1: nothing to change, < 0. */
static int check_change(const struct kvm_memslots *slots, const struct slot_change *c)
{
	const struct kvm_memory_slot *old = c->old, *new = &c->new;

	if (!new->npages)
		return old ? 0 : -EINVAL;
	if (old) {
		if (new->userspace_addr != old->userspace_addr || new->npages != old->npages ||
		    ((new->flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (new->base_gfn == old->base_gfn)
			return new->flags == old->flags;
	}
	return overlaps(slots, new) ? -EEXIST : 0;
}

/* ---- prepare --------------------------------------------------------------------------------------- */

static int prepare_bitmap(struct kvm *kvm, struct slot_change *c)
{
	if (!c->new.npages || !(c->new.flags & KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	if (c->old && c->old->dirty_bitmap) {
		c->new.dirty_bitmap = c->old->dirty_bitmap;
		return 0;
	}
	c->new.dirty_bitmap = kvm_alloc_dirty_bitmap(c->new.npages,
						     kvm->manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET);
	return c->new.dirty_bitmap ? 0 : -ENOMEM;
}

static void insert_sorted(struct kvm_memslots *slots, int n, const struct kvm_memory_slot *new)
{
	while (n > 0 && slots->slot[n - 1].base_gfn > new->base_gfn) {
		slots->slot[n] = slots->slot[n - 1];
		n--;
	}
	slots->slot[n] = *new;
}

static struct kvm_memslots *changed_copy(const struct kvm_memslots *cur, const struct slot_change *c)
{
	struct kvm_memslots *next = slots_alloc(cur->nr - (c->old != NULL) + (c->new.npages != 0));
	int n = 0;

	if (!next)
		return NULL;
	for (int i = 0; i < cur->nr; i++)
		if (&cur->slot[i] != c->old)
			next->slot[n++] = cur->slot[i];
	if (c->new.npages)
		insert_sorted(next, n, &c->new);
	next->generation = cur->generation + 1;
	return next;
}

/* ---- commit ---------------------------------------------------------------------------------------- */

static u32 region_flags(u32 flags)
{
	return (flags & KVM_MEM_READONLY ? HYP_REGION_READONLY : 0) |
	       (flags & KVM_MEM_LOG_DIRTY_PAGES ? HYP_REGION_LOG_DIRTY : 0);
}

static int give_to_cpu(struct kvm *kvm, const struct kvm_memslots *slots)
{
	struct hyp_region *r = calloc((size_t)slots->nr + 1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	for (int i = 0; i < slots->nr; i++) {
		const struct kvm_memory_slot *s = &slots->slot[i];

		r[i] = (struct hyp_region){ .gpa = s->base_gfn << PAGE_SHIFT, .size = s->npages << PAGE_SHIFT,
					    .hva = (u8 *)s->userspace_addr, .flags = region_flags(s->flags), .id = s->id };
	}
	err = hyp_as_update(kvm->as, r, (size_t)slots->nr);
	free(r);
	return err;
}

/* The pointer first: a page of a new slot must not be marked dirty in a set that lacks the slot. */
static int commit(struct kvm *kvm, struct kvm_memslots *next)
{
	struct kvm_memslots *cur = kvm->memslots;
	int err;

	rcu_assign_pointer(kvm->memslots, next);
	err = give_to_cpu(kvm, next);
	if (err)
		rcu_assign_pointer(kvm->memslots, cur);
	synchronize_srcu(&kvm->srcu);
	return err;
}

static int set_memslot(struct kvm *kvm, struct slot_change *c)
{
	struct kvm_memslots *cur = kvm->memslots, *next;
	u64 *old_bitmap = c->old ? c->old->dirty_bitmap : NULL;
	int err = prepare_bitmap(kvm, c);

	if (err)
		return err;
	next = changed_copy(cur, c);
	err = next ? commit(kvm, next) : -ENOMEM;
	if (err) {
		if (c->new.dirty_bitmap != old_bitmap)
			free(c->new.dirty_bitmap);
		free(next);
		return err;
	}
	if (c->new.dirty_bitmap != old_bitmap)
		free(old_bitmap);
	free(cur);
	kvm->stat.memslot_updates++;
	return 0;
}

long kvm_vm_ioctl_set_memory_region(struct kvm *kvm, const struct kvm_userspace_memory_region *mem)
{
	struct slot_change c = { 0 };
	long ret = check_region(mem);

	if (ret)
		return ret;
	pthread_mutex_lock(&kvm->slots_lock);
	c.old = kvm_id_to_memslot(kvm->memslots, mem->slot);
	c.new = (struct kvm_memory_slot){ .id = mem->slot, .flags = mem->flags,
					  .base_gfn = mem->guest_phys_addr >> PAGE_SHIFT,
					  .npages = mem->memory_size >> PAGE_SHIFT,
					  .userspace_addr = mem->userspace_addr };
	ret = check_change(kvm->memslots, &c);
	if (!ret)
		ret = set_memslot(kvm, &c);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret < 0 ? ret : 0;
}

/* ---- KVM's own accesses ----------------------------------------------------------------------------- */

int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len)
{
	return hyp_as_read(kvm->as, gpa, data, len);
}

int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, unsigned long len)
{
	return hyp_as_write(kvm->as, gpa, data, len);
}
