/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Interrupt Translation Service: a device that writes event e to the ITS's doorbell, or user space with
 * KVM_SIGNAL_MSI in its
 * name, raises the LPI that the guest has mapped (device, event) to. Source: IHI 0069, chapter 5.
 *
 * The guest maps with commands in a queue in its memory (its_cmd.c), announced by GITS_CWRITER (its_mmio.c):
 *
 *	MAPD  device 8, ITT of 2^5 events	a struct its_device
 *	MAPC  collection 1 -> vCPU 1		a struct its_collection
 *	MAPTI device 8, event 3 -> LPI 8195, collection 1	a struct its_ite
 *	INV   device 8, event 3			the LPI's priority and enable are read from memory
 *
 * after which an MSI of device 8 with data 3 makes LPI 8195 pending on vCPU 1. What is mapped is kept here;
 * the tables that the guest gives
 * (GITS_BASER<n>, the devices' ITTs) are written only when user space saves them (its_table.c), and bound
 * what can be mapped.
 *
 * Delivery looks (device, event) up in a hash table. Lists are sorted by id, as tables are saved in that
 * order; guests map in that order too.
 */
#include <stdlib.h>

#include "arch/arm64/vgic/its.h"

/* ---- looking up ---- */

static struct its_ite **bucket(struct vgic_its *its, u32 device_id, u32 event_id)
{
	return &its->hash[(device_id * 61 + event_id) % VITS_HASH];
}

struct its_ite *vgic_its_find_ite(struct vgic_its *its, u32 device_id, u32 event_id)
{
	struct its_ite *ite = *bucket(its, device_id, event_id);

	while (ite && (ite->event_id != event_id || ite->device->device_id != device_id))
		ite = ite->hash_next;
	return ite;
}

struct its_device *vgic_its_find_device(struct vgic_its *its, u32 device_id)
{
	struct its_device *device;

	list_for_each_entry(device, &its->device_list, dev_list)
		if (device->device_id == device_id)
			return device;
	return NULL;
}

struct its_collection *vgic_its_find_collection(struct vgic_its *its, u32 coll_id)
{
	struct its_collection *collection;

	list_for_each_entry(collection, &its->collection_list, coll_list)
		if (collection->collection_id == coll_id)
			return collection;
	return NULL;
}

struct kvm_vcpu *vgic_its_collection_vcpu(struct vgic_its *its, const struct its_collection *collection)
{
	if (!collection || collection->target_addr == COLLECTION_NOT_MAPPED)
		return NULL;
	return kvm_get_vcpu_by_id(its->kvm, (int)collection->target_addr);
}

/* ---- the guest's tables bound what there can be ---- */

static bool is_memory(struct vgic_its *its, gpa_t gpa)
{
	u8 byte;

	return !kvm_read_guest(its->kvm, gpa, &byte, 1);
}

/* A two-level table: each entry of the first one is the address of a 64 KiB page of the second. */
static bool level2_entry(struct vgic_its *its, u64 baser, u32 id, gpa_t *entry)
{
	u32 per_page = SZ_64K / VITS_ESZ, index = id / per_page;
	u64 l1;

	if (index >= GITS_BASER_BYTES(baser) / sizeof(l1))
		return false;
	if (kvm_read_guest(its->kvm, GITS_BASER_ADDRESS(baser) + index * sizeof(l1), &l1, sizeof(l1)))
		return false;
	*entry = (l1 & GENMASK_ULL(51, 16)) + id % per_page * VITS_ESZ;
	return l1 & GITS_BASER_VALID;
}

bool vgic_its_check_id(struct vgic_its *its, u64 baser, u32 id, gpa_t *entry)
{
	if (id >= 1u << VITS_DEV_BITS) /* as many as of collections */
		return false;
	if (baser & GITS_BASER_INDIRECT)
		return level2_entry(its, baser, id, entry) && is_memory(its, *entry);
	*entry = GITS_BASER_ADDRESS(baser) + id * VITS_ESZ;
	return id < GITS_BASER_BYTES(baser) / VITS_ESZ && is_memory(its, *entry);
}

bool vgic_its_check_event_id(struct vgic_its *its, const struct its_device *device, u32 event_id)
{
	return event_id < 1ull << device->num_eventid_bits &&
	       is_memory(its, device->itt_addr + event_id * VITS_ESZ);
}

/* ---- mapping ---- */

struct its_device *vgic_its_alloc_device(struct vgic_its *its, u32 device_id, gpa_t itt_addr,
					 u32 num_eventid_bits)
{
	struct its_device *device = calloc(1, sizeof(*device));
	struct list_head *at = its->device_list.prev;

	if (!device)
		return NULL;
	device->device_id = device_id;
	device->itt_addr = itt_addr;
	device->num_eventid_bits = num_eventid_bits;
	list_init(&device->itt_head);
	while (at != &its->device_list && list_entry(at, struct its_device, dev_list)->device_id > device_id)
		at = at->prev;
	list_add(&device->dev_list, at);
	return device;
}

struct its_collection *vgic_its_alloc_collection(struct vgic_its *its, u32 coll_id)
{
	struct its_collection *collection = calloc(1, sizeof(*collection));

	if (!collection)
		return NULL;
	collection->collection_id = coll_id;
	collection->target_addr = COLLECTION_NOT_MAPPED;
	list_add_tail(&collection->coll_list, &its->collection_list);
	return collection;
}

static void insert_ite(struct vgic_its *its, struct its_ite *ite)
{
	struct list_head *head = &ite->device->itt_head, *at = head->prev;
	struct its_ite **b = bucket(its, ite->device->device_id, ite->event_id);

	while (at != head && list_entry(at, struct its_ite, ite_list)->event_id > ite->event_id)
		at = at->prev;
	list_add(&ite->ite_list, at);
	ite->hash_next = *b;
	*b = ite;
}

int vgic_its_alloc_ite(struct its_collection *collection, struct vgic_its *its, struct its_device *device,
		       u32 event_id, u32 lpi)
{
	struct its_ite *ite = calloc(1, sizeof(*ite));
	int err;

	if (!ite)
		return -ENOMEM;
	ite->irq = vgic_add_lpi(its->kvm, lpi, vgic_its_collection_vcpu(its, collection), &err);
	if (!ite->irq) {
		free(ite);
		return err;
	}
	ite->device = device;
	ite->event_id = event_id;
	ite->collection = collection;
	insert_ite(its, ite);
	return 0;
}

void vgic_its_free_ite(struct vgic_its *its, struct its_ite *ite)
{
	struct its_ite **p = bucket(its, ite->device->device_id, ite->event_id);

	while (*p != ite)
		p = &(*p)->hash_next;
	*p = ite->hash_next;
	list_del(&ite->ite_list);
	vgic_put_lpi(its->kvm, ite->irq);
	free(ite);
}

void vgic_its_free_device(struct vgic_its *its, struct its_device *device)
{
	struct its_ite *ite, *next;

	list_for_each_entry_safe(ite, next, &device->itt_head, ite_list)
		vgic_its_free_ite(its, ite);
	list_del(&device->dev_list);
	free(device);
}

/* Its entries stay, without a collection: their events are blocked. */
void vgic_its_free_collection(struct vgic_its *its, struct its_collection *collection)
{
	struct its_device *device;
	struct its_ite *ite;

	list_for_each_entry(device, &its->device_list, dev_list)
		list_for_each_entry(ite, &device->itt_head, ite_list)
			if (ite->collection == collection)
				ite->collection = NULL;
	list_del(&collection->coll_list);
	free(collection);
}

void vgic_its_free_devices(struct vgic_its *its)
{
	struct its_device *device, *next;

	list_for_each_entry_safe(device, next, &its->device_list, dev_list)
		vgic_its_free_device(its, device);
}

void vgic_its_free_collections(struct vgic_its *its)
{
	struct its_collection *collection, *next;

	list_for_each_entry_safe(collection, next, &its->collection_list, coll_list)
		vgic_its_free_collection(its, collection);
}

/* ---- delivery ---- */

int vgic_its_trigger(struct vgic_its *its, u32 device_id, u32 event_id)
{
	struct its_ite *ite;
	struct kvm_vcpu *vcpu;

	if (!__atomic_load_n(&its->enabled, __ATOMIC_ACQUIRE))
		return -EBUSY;
	ite = vgic_its_find_ite(its, device_id, event_id);
	vcpu = ite ? vgic_its_collection_vcpu(its, ite->collection) : NULL;
	if (!vcpu)
		return ITS_UNMAPPED;
	if (!vgic_lpis_enabled(vcpu))
		return -EBUSY;
	vgic_irq_make_pending(its->kvm, ite->irq);
	return 0;
}

/* The ITS in whose frames the doorbell's address is. */
static struct vgic_its *doorbell_to_its(struct kvm *kvm, gpa_t addr)
{
	struct vgic_its *its, *found = NULL;

	pthread_mutex_lock(&kvm->arch.vgic.config_lock);
	list_for_each_entry(its, &kvm->arch.vgic.its_list, its_list) {
		gpa_t base = __atomic_load_n(&its->vgic_its_base, __ATOMIC_ACQUIRE);

		if (!vgic_is_undef(base) && addr >= base && addr - base < KVM_VGIC_V3_ITS_SIZE)
			found = its;
	}
	pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
	return found;
}

int vgic_its_inject_msi(struct kvm *kvm, struct kvm_msi *msi)
{
	struct vgic_its *its;
	int ret;

	if (!(msi->flags & KVM_MSI_VALID_DEVID))
		return -EINVAL;
	its = doorbell_to_its(kvm, (u64)msi->address_hi << 32 | msi->address_lo);
	if (!its)
		return -EINVAL;
	pthread_mutex_lock(&its->its_lock);
	ret = vgic_its_trigger(its, msi->devid, msi->data);
	pthread_mutex_unlock(&its->its_lock);
	return ret < 0 ? ret : !ret;
}
