/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ITS's tables as user space saves and restores them: revision 0 of the ABI in
 * Documentation/virt/kvm/devices/arm-vgic-its.rst.
 * Entries have 8 bytes. Device and interrupt entries say how far it is to the next one, so that reading
 * skips what is empty; 0: the last.
 *
 *	collection: V 63, vCPU 51:16, collection 15:0; one after the other, an invalid one ends them
 *	device:     V 63, next 62:49, address of the ITT (51:8) 48:5, bits of an event - 1 4:0
 *	interrupt:  next 63:48, LPI 47:16 (0: invalid), collection 15:0
 */
#include "arch/arm64/vgic/its.h"

#define CTE_VALID (1ull << 63)
#define CTE_RDBASE_SHIFT 16
#define DTE_VALID (1ull << 63)
#define DTE_NEXT_SHIFT 49
#define DTE_NEXT_MAX 0x3fffu
#define DTE_ITT_SHIFT 5
#define DTE_ITT_MASK GENMASK_ULL(48, 5)
#define DTE_SIZE_MASK 0x1fu
#define ITE_NEXT_SHIFT 48
#define ITE_NEXT_MAX 0xffffu
#define ITE_LPI_SHIFT 16
#define ID_MASK 0xffffu

static int write_entry(struct vgic_its *its, gpa_t gpa, u64 entry)
{
	return kvm_write_guest(its->kvm, gpa, &entry, sizeof(entry));
}

/* ---- saving ---- */

static u64 next_event(const struct its_device *device, const struct its_ite *ite)
{
	const struct list_head *next = ite->ite_list.next;

	if (next == &device->itt_head)
		return 0;
	return MIN(list_entry(next, struct its_ite, ite_list)->event_id - ite->event_id, ITE_NEXT_MAX);
}

/* Without a collection it cannot be named: an invalid entry. */
static int save_itt(struct vgic_its *its, struct its_device *device)
{
	struct its_ite *ite;

	list_for_each_entry(ite, &device->itt_head, ite_list) {
		u64 entry = 0;
		int ret;

		if (ite->collection)
			entry = next_event(device, ite) << ITE_NEXT_SHIFT |
				(u64)ite->irq->intid << ITE_LPI_SHIFT | ite->collection->collection_id;
		ret = write_entry(its, device->itt_addr + ite->event_id * VITS_ESZ, entry);
		if (ret)
			return ret;
	}
	return 0;
}

/* How far to the next device that has an entry in the table. */
static u64 next_device(struct vgic_its *its, const struct its_device *device)
{
	gpa_t entry;

	for (const struct list_head *p = device->dev_list.next; p != &its->device_list; p = p->next) {
		u32 id = list_entry(p, struct its_device, dev_list)->device_id;

		if (vgic_its_check_id(its, its->baser_device_table, id, &entry))
			return MIN(id - device->device_id, DTE_NEXT_MAX);
	}
	return 0;
}

static int save_device(struct vgic_its *its, struct its_device *device)
{
	gpa_t entry;
	int ret;

	if (!vgic_its_check_id(its, its->baser_device_table, device->device_id, &entry))
		return 0; /* the guest took its table away: not a reason to fail */
	ret = save_itt(its, device);
	if (ret)
		return ret;
	return write_entry(its, entry,
			   DTE_VALID | next_device(its, device) << DTE_NEXT_SHIFT |
				   device->itt_addr >> 8 << DTE_ITT_SHIFT | (device->num_eventid_bits - 1));
}

static int save_devices(struct vgic_its *its)
{
	struct its_device *device;
	int ret = 0;

	if (!(its->baser_device_table & GITS_BASER_VALID))
		return 0;
	list_for_each_entry(device, &its->device_list, dev_list) {
		ret = save_device(its, device);
		if (ret)
			break;
	}
	return ret;
}

static int save_collections(struct vgic_its *its)
{
	u64 baser = its->baser_coll_table;
	gpa_t gpa = GITS_BASER_ADDRESS(baser), end = gpa + GITS_BASER_BYTES(baser);
	struct its_collection *c;

	if (!(baser & GITS_BASER_VALID))
		return 0;
	list_for_each_entry(c, &its->collection_list, coll_list) {
		int ret = write_entry(its, gpa,
				      CTE_VALID | (u64)c->target_addr << CTE_RDBASE_SHIFT | c->collection_id);

		if (ret)
			return ret;
		gpa += VITS_ESZ;
	}
	return gpa < end ? write_entry(its, gpa, 0) : 0;
}

int vgic_its_save_tables(struct vgic_its *its)
{
	int ret = save_devices(its);

	return ret ? ret : save_collections(its);
}

/* ---- restoring ---- */

/* A table's part in memory: entries from id first on. */
struct span {
	gpa_t base;
	u64 bytes;
	u32 first;
};

/* fn returns how far to go on, 0 at the last entry, -errno. scan: 1 where the end was not seen. */
typedef int (*entry_fn)(struct vgic_its *its, u32 id, u64 entry, void *arg);

static int scan(struct vgic_its *its, struct span s, entry_fn fn, void *arg)
{
	u64 at = 0;

	while (at < s.bytes) {
		u64 entry;
		int ret = kvm_read_guest(its->kvm, s.base + at, &entry, sizeof(entry));

		if (!ret)
			ret = fn(its, s.first + (u32)(at / VITS_ESZ), entry, arg);
		if (ret <= 0)
			return ret;
		at += (u64)ret * VITS_ESZ;
	}
	return 1;
}

static int restore_ite(struct vgic_its *its, u32 event_id, u64 entry, void *arg)
{
	struct its_device *device = arg;
	u32 lpi = (u32)(entry >> ITE_LPI_SHIFT), next = (u32)(entry >> ITE_NEXT_SHIFT);
	struct its_collection *collection;
	int ret;

	if (!lpi)
		return 1;
	if (lpi < VGIC_MIN_LPI || event_id + next >= 1ull << device->num_eventid_bits)
		return -EINVAL;
	collection = vgic_its_find_collection(its, entry & ID_MASK);
	if (!collection || !vgic_its_check_event_id(its, device, event_id))
		return -EINVAL;
	if (vgic_its_find_ite(its, device->device_id, event_id))
		return -EINVAL; /* a table that runs in circles, or restored twice */
	ret = vgic_its_alloc_ite(collection, its, device, event_id, lpi);
	return ret ? ret : (int)next;
}

static int restore_itt(struct vgic_its *its, struct its_device *device)
{
	struct span s = { .base = device->itt_addr, .bytes = (1ull << device->num_eventid_bits) * VITS_ESZ };

	return scan(its, s, restore_ite, device);
}

static int restore_dte(struct vgic_its *its, u32 id, u64 entry, void *arg)
{
	u32 bits = (u32)(entry & DTE_SIZE_MASK) + 1;
	struct its_device *device;
	gpa_t at;
	int ret;

	if (!(entry & DTE_VALID))
		return 1;
	if (bits > VITS_ID_BITS || !vgic_its_check_id(its, its->baser_device_table, id, &at))
		return -EINVAL;
	if (vgic_its_find_device(its, id))
		return -EINVAL;
	device = vgic_its_alloc_device(its, id, (entry & DTE_ITT_MASK) >> DTE_ITT_SHIFT << 8, bits);
	if (!device)
		return -ENOMEM;
	ret = restore_itt(its, device);
	if (ret < 0) {
		vgic_its_free_device(its, device);
		return ret;
	}
	return (int)(entry >> DTE_NEXT_SHIFT & DTE_NEXT_MAX);
}

/* An entry of the first level. */
static int restore_l1(struct vgic_its *its, u32 id, u64 entry, void *arg)
{
	u32 per_page = SZ_64K / VITS_ESZ;
	struct span s = { .base = entry & GENMASK_ULL(51, 16), .bytes = SZ_64K, .first = id * per_page };

	return entry & GITS_BASER_VALID ? scan(its, s, restore_dte, NULL) : 1;
}

static int restore_devices(struct vgic_its *its)
{
	u64 baser = its->baser_device_table;
	struct span s = { .base = GITS_BASER_ADDRESS(baser), .bytes = GITS_BASER_BYTES(baser) };
	int ret;

	if (!(baser & GITS_BASER_VALID))
		return 0;
	ret = scan(its, s, baser & GITS_BASER_INDIRECT ? restore_l1 : restore_dte, NULL);
	if (ret < 0)
		vgic_its_free_devices(its);
	return MIN(ret, 0);
}

/* 1, 0 where the entry ends the table, or -errno. */
static int restore_cte(struct vgic_its *its, u32 n, u64 entry, void *arg)
{
	u32 target = (u32)(entry >> CTE_RDBASE_SHIFT), id = entry & ID_MASK;
	struct its_collection *collection;
	gpa_t at;

	if (!(entry & CTE_VALID))
		return 0;
	if (target != COLLECTION_NOT_MAPPED && !kvm_get_vcpu_by_id(its->kvm, (int)target))
		return -EINVAL;
	if (vgic_its_find_collection(its, id))
		return -EEXIST;
	if (!vgic_its_check_id(its, its->baser_coll_table, id, &at))
		return -EINVAL;
	collection = vgic_its_alloc_collection(its, id);
	if (!collection)
		return -ENOMEM;
	collection->target_addr = target;
	return 1;
}

static int restore_collections(struct vgic_its *its)
{
	u64 baser = its->baser_coll_table;
	struct span s = { .base = GITS_BASER_ADDRESS(baser), .bytes = GITS_BASER_BYTES(baser) };

	return baser & GITS_BASER_VALID ? MIN(scan(its, s, restore_cte, NULL), 0) : 0;
}

int vgic_its_restore_tables(struct vgic_its *its)
{
	int ret = restore_collections(its);

	if (!ret)
		ret = restore_devices(its);
	if (ret)
		vgic_its_free_collections(its);
	return ret;
}
