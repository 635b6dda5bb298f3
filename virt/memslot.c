/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory slots. A slot is an immutable object (but for its bitmap's contents), found by its number through
 * a table that is read without a lock; what is where in guest-physical memory is kept by the CPU's map
 * (hyp_as_replace), the same set of slots sorted by address. An ioctl validates, prepares a changed
 * slot (may fail), commits by handing it to the CPU, which waits until nobody uses the old one, and
 * frees that. slots_lock orders writers; readers hold kvm->srcu or are CPUs inside hyp_cpu_run.
 *
 * An address space's slots are numbered as_id << 16 | id, and are the CPU's view of the same number.
 */
#include <stdlib.h>
#include <string.h>
#include "virt/uaccess.h"
#include "virt/vm.h"

struct slot_change {
	struct kvm_memory_slot *old; /* in the table; NULL: create */
	struct kvm_memory_slot *new; /* NULL: delete */
	struct kvm_file *gmem;       /* what guest_memfd refers to, where it counts */
};

int kvm_memslots_init(struct kvm *kvm)
{
	for (int as = 0; as < KVM_MAX_NR_ADDRESS_SPACES; as++) {
		kvm->memslots[as] = calloc(1, sizeof(*kvm->memslots[as]));
		if (!kvm->memslots[as]) {
			kvm_memslots_destroy(kvm);
			return -ENOMEM;
		}
	}
	return 0;
}

static void free_slot(struct kvm_memory_slot *slot)
{
	if (!slot)
		return;
	free(slot->dirty_bitmap);
	free(slot);
}

static void free_page_of_slots(struct kvm_memory_slot **page)
{
	for (u32 i = 0; page && i < KVM_MEMSLOTS_PAGE; i++)
		free_slot(page[i]);
	free(page);
}

void kvm_memslots_destroy(struct kvm *kvm)
{
	for (int as = 0; as < KVM_MAX_NR_ADDRESS_SPACES; as++) {
		struct kvm_memslots *slots = kvm->memslots[as];

		for (u32 i = 0; slots && i < ARRAY_SIZE(slots->page); i++)
			free_page_of_slots(slots->page[i]);
		free(slots);
		kvm->memslots[as] = NULL;
	}
}

static struct kvm_memory_slot **slot_place(struct kvm *kvm, u32 id)
{
	return &kvm->memslots[id >> 16]->page[(u16)id / KVM_MEMSLOTS_PAGE][(u16)id % KVM_MEMSLOTS_PAGE];
}

static int make_place(struct kvm *kvm, u32 id)
{
	struct kvm_memory_slot ***page = &kvm->memslots[id >> 16]->page[(u16)id / KVM_MEMSLOTS_PAGE], **new;

	if (*page)
		return 0;
	new = calloc(KVM_MEMSLOTS_PAGE, sizeof(*new));
	if (!new)
		return -ENOMEM;
	rcu_assign_pointer(*page, new);
	return 0;
}

bool kvm_are_all_memslots_empty(struct kvm *kvm)
{
	for (u32 as = 0; as < KVM_MAX_NR_ADDRESS_SPACES; as++)
		for (u32 id = 0; id < KVM_USER_MEM_SLOTS; id++)
			if (kvm_id_to_memslot(kvm, as << 16 | id))
				return false;
	return true;
}

bool kvm_memslot_id_valid(struct kvm *kvm, u32 id)
{
	return (int)(id >> 16) < kvm_arch_nr_memslot_as_ids(kvm) && (u16)id < KVM_USER_MEM_SLOTS;
}

/* ---- validate -------------------------------------------------------------------------------------- */

/* Private memory can be neither logged nor read-only: the one is not supported, the other is MMIO. */
static u32 valid_flags(struct kvm *kvm, u32 flags)
{
	if (flags & KVM_MEM_GUEST_MEMFD)
		return kvm_arch_has_private_mem(kvm) ? KVM_MEM_GUEST_MEMFD : 0;
	return KVM_MEM_LOG_DIRTY_PAGES | kvm_arch_valid_mem_flags();
}

static bool gmem_range_valid(const struct kvm_userspace_memory_region2 *mem)
{
	return !(mem->guest_memfd_offset & ~PAGE_MASK) &&
	       mem->guest_memfd_offset + mem->memory_size >= mem->guest_memfd_offset;
}

static int check_region(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem)
{
	if (mem->flags & ~valid_flags(kvm, mem->flags))
		return -EINVAL;
	if (mem->flags & KVM_MEM_GUEST_MEMFD && !gmem_range_valid(mem))
		return -EINVAL;
	if ((mem->memory_size | mem->guest_phys_addr | mem->userspace_addr) & ~PAGE_MASK)
		return -EINVAL;
	if (!client_access_ok(mem->userspace_addr, mem->memory_size))
		return -EINVAL;
	if (!kvm_memslot_id_valid(kvm, mem->slot))
		return -EINVAL;
	if (mem->guest_phys_addr + mem->memory_size < mem->guest_phys_addr)
		return -EINVAL;
	if ((mem->memory_size >> PAGE_SHIFT) > KVM_MEM_MAX_NR_PAGES)
		return -EINVAL;
	return 0;
}

static int check_overlap(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem)
{
	return hyp_as_overlaps(kvm->as, mem->slot >> 16, mem->guest_phys_addr, mem->memory_size, mem->slot)
		       ? -EEXIST
		       : 0;
}

/* 0: do it, 1: nothing to change, < 0. */
static int check_change(struct kvm *kvm, const struct kvm_memory_slot *old,
			const struct kvm_userspace_memory_region2 *mem)
{
	if (!mem->memory_size)
		return old ? 0 : -EINVAL;
	if (old) {
		if (mem->flags & KVM_MEM_GUEST_MEMFD) /* those can only be deleted */
			return -EINVAL;
		if (mem->userspace_addr != old->userspace_addr ||
		    mem->memory_size >> PAGE_SHIFT != old->npages ||
		    ((mem->flags ^ old->flags) & (KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD)))
			return -EINVAL;
		if (mem->guest_phys_addr >> PAGE_SHIFT == old->base_gfn)
			return mem->flags == old->flags;
	}
	return check_overlap(kvm, mem);
}

/* ---- prepare --------------------------------------------------------------------------------------- */

/* The bitmap goes on from the old slot to the new one where both log. */
static int prepare_bitmap(struct kvm *kvm, struct slot_change *c)
{
	if (!(c->new->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	if (c->old && c->old->dirty_bitmap) {
		c->new->dirty_bitmap = c->old->dirty_bitmap;
		return 0;
	}
	if (!kvm_use_dirty_bitmap(kvm))
		return 0;
	c->new->dirty_bitmap = kvm_alloc_dirty_bitmap(c->new->npages,
						      kvm->manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET);
	return c->new->dirty_bitmap ? 0 : -ENOMEM;
}

static int prepare(struct kvm *kvm, struct slot_change *c, const struct kvm_userspace_memory_region2 *mem)
{
	if (!mem->memory_size)
		return 0;
	if (make_place(kvm, mem->slot))
		return -ENOMEM;
	c->new = malloc(sizeof(*c->new));
	if (!c->new)
		return -ENOMEM;
	*c->new = (struct kvm_memory_slot){ .id = mem->slot, .flags = mem->flags,
					    .base_gfn = mem->guest_phys_addr >> PAGE_SHIFT,
					    .npages = mem->memory_size >> PAGE_SHIFT,
					    .userspace_addr = mem->userspace_addr };
	if (c->gmem)
		return kvm_gmem_bind(kvm, c->new, c->gmem, mem->guest_memfd_offset);
	return prepare_bitmap(kvm, c);
}

/* Frees a slot that is no longer, or never was, in the table; its bitmap unless `heir` has it. */
static void drop_slot(struct kvm_memory_slot *slot, const struct kvm_memory_slot *heir)
{
	if (!slot)
		return;
	if (heir && heir->dirty_bitmap == slot->dirty_bitmap)
		slot->dirty_bitmap = NULL;
	kvm_gmem_unbind(slot);
	free_slot(slot);
}

/* ---- commit ---------------------------------------------------------------------------------------- */

static u32 region_flags(u32 flags)
{
	return (flags & KVM_MEM_READONLY ? HYP_REGION_READONLY : 0) |
	       (flags & KVM_MEM_LOG_DIRTY_PAGES ? HYP_REGION_LOG_DIRTY : 0);
}

static const struct hyp_region *region_of(const struct kvm_memory_slot *s, struct hyp_region *r)
{
	if (!s)
		return NULL;
	*r = (struct hyp_region){ .gpa = s->base_gfn << PAGE_SHIFT,
				  .size = s->npages << PAGE_SHIFT,
				  .hva = (u8 *)s->userspace_addr,
				  .private_hva = kvm_gmem_hva(s),
				  .flags = region_flags(s->flags),
				  .id = s->id };
	return r;
}

static int give_to_cpu(struct kvm *kvm, const struct slot_change *c)
{
	u32 id = c->new ? c->new->id : c->old->id;
	struct hyp_region old, new;

	return hyp_as_replace(kvm->as, id >> 16, region_of(c->old, &old), region_of(c->new, &new));
}

/* The table first: a page of a new slot must not be marked dirty while the table lacks the slot. */
static int commit(struct kvm *kvm, const struct slot_change *c)
{
	struct kvm_memory_slot **place = slot_place(kvm, c->new ? c->new->id : c->old->id);
	int err;

	if (c->new)
		rcu_assign_pointer(*place, c->new);
	err = give_to_cpu(kvm, c);
	if (err) {
		rcu_assign_pointer(*place, c->old);
		synchronize_srcu(&kvm->srcu);
	} else if (!c->new) {
		rcu_assign_pointer(*place, NULL);
	}
	return err;
}

static int set_memslot(struct kvm *kvm, struct slot_change *c, const struct kvm_userspace_memory_region2 *mem)
{
	int err = prepare(kvm, c, mem);

	if (c->new)
		kvm_client_memory_add(mem->userspace_addr, mem->memory_size);
	if (!err)
		err = commit(kvm, c);
	if (err) {
		drop_slot(c->new, c->old);
		return err;
	}
	drop_slot(c->old, c->new);
	kvm->stat.memslot_updates++;
	return 0;
}

int kvm_memslot_drop_gmem(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	struct hyp_region old, new;

	region_of(slot, &old);
	new = old;
	new.private_hva = NULL;
	kvm_gmem_unbind(slot);
	return hyp_as_replace(kvm->as, slot->id >> 16, &old, &new);
}

static long change_slot(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem,
			struct slot_change *c)
{
	long ret;

	pthread_mutex_lock(&kvm->slots_lock);
	c->old = kvm_id_to_memslot(kvm, mem->slot);
	ret = check_change(kvm, c->old, mem);
	if (!ret && mem->memory_size)
		ret = kvm_arch_check_memory_region(kvm, mem->guest_phys_addr, mem->memory_size);
	if (!ret)
		ret = set_memslot(kvm, c, mem);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret < 0 ? ret : 0;
}

/* The file is held across the lock: to let it go may be to release it, which takes the lock. */
long kvm_vm_ioctl_set_memory_region(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem)
{
	struct slot_change c = { 0 };
	long ret = check_region(kvm, mem);

	if (!ret && mem->memory_size && mem->flags & KVM_MEM_GUEST_MEMFD)
		ret = kvm_gmem_get((int)mem->guest_memfd, &c.gmem);
	if (!ret)
		ret = change_slot(kvm, mem, &c);
	if (c.gmem)
		kvm_fput(c.gmem);
	return ret;
}

/* ---- KVM's own accesses ----------------------------------------------------------------------------- */

int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len)
{
	int idx = srcu_read_lock(&kvm->srcu), ret = hyp_as_read(kvm->as, gpa, data, len);

	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, unsigned long len)
{
	int idx = srcu_read_lock(&kvm->srcu), ret = hyp_as_write(kvm->as, gpa, data, len);

	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int kvm_vcpu_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, unsigned long len)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu), ret = hyp_cpu_read(vcpu->hyp, gpa, data, len);

	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}

int kvm_vcpu_write_guest(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data, unsigned long len)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu), ret = hyp_cpu_write(vcpu->hyp, gpa, data, len);

	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}
