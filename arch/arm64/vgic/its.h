/* SPDX-License-Identifier: Apache-2.0 */
/* LPIs (lpi.c) and the Interrupt Translation Service that maps device events to them (its*.c). Essay: its.c.
 * */
#ifndef KUSE_ARCH_ARM64_VGIC_ITS_H
#define KUSE_ARCH_ARM64_VGIC_ITS_H

#include "arch/arm64/vgic/vgic.h"

/* ---- lpi.c ---- */

/* The LPI, for one more mapping; at first as the tables in guest memory say. *err: -ENOMEM, -EFAULT,
 * -EINVAL. */
struct vgic_irq *vgic_add_lpi(struct kvm *kvm, u32 intid, struct kvm_vcpu *target, int *err);
/* A mapping less; without any it is gone: neither enabled nor pending. */
void vgic_put_lpi(struct kvm *kvm, struct vgic_irq *irq);
/* Its configuration byte is read again. 0 or -EFAULT. */
int vgic_update_lpi_config(struct kvm *kvm, struct vgic_irq *irq);
/* GICR_CTLR.EnableLPIs: LPIs recorded as pending in the vCPU's pending table; and its opposite. */
void vgic_enable_lpis(struct kvm_vcpu *vcpu);
void vgic_flush_pending_lpis(struct kvm_vcpu *vcpu);
void vgic_its_inv_lpi(struct kvm *kvm, u32 intid);
void vgic_its_invall(struct kvm_vcpu *vcpu);
void vgic_lpis_move_all(struct kvm *kvm, struct kvm_vcpu *from, struct kvm_vcpu *to);
/* KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES. 0, -ENXIO: not initialized, -EFAULT. */
int vgic_v3_save_pending_tables(struct kvm *kvm);
void vgic_lpis_destroy(struct kvm *kvm);

/* ---- the ITS: its.c, its_cmd.c, its_mmio.c, its_table.c, its_device.c ---- */

#define VITS_ID_BITS 16  /* of an event */
#define VITS_DEV_BITS 16 /* of a device */
#define VITS_COLL_BITS 16
#define VITS_ESZ 8u      /* bytes of an entry of each table (ABI revision 0) */
#define VITS_HASH 1024u
#define COLLECTION_NOT_MAPPED (~0u)

struct its_collection {
	struct list_head coll_list;
	u32 collection_id;
	u32 target_addr; /* vCPU id, or COLLECTION_NOT_MAPPED */
};

struct its_device {
	struct list_head dev_list; /* its->device_list, by device_id */
	struct list_head itt_head; /* struct its_ite, by event_id */
	u32 device_id;
	u32 num_eventid_bits;
	gpa_t itt_addr;
};

/* Interrupt translation entry: what an event of a device becomes. */
struct its_ite {
	struct list_head ite_list;
	struct its_ite *hash_next;
	struct its_device *device;
	u32 event_id;
	struct vgic_irq *irq;
	struct its_collection *collection; /* NULL: was unmapped */
};

/* Lock order: cmd_lock, its_lock, then dist->lpi_lock. */
struct vgic_its {
	struct list_head its_list; /* dist->its_list; config_lock */
	struct kvm *kvm;
	gpa_t vgic_its_base;       /* VGIC_ADDR_UNDEF until set; atomic */
	struct vgic_io_device iodev;
	bool enabled;              /* written with cmd_lock; atomic reads */

	pthread_mutex_t cmd_lock;  /* the command queue */
	u64 cbaser;
	u32 creadr, cwriter;

	pthread_mutex_t its_lock;  /* all below */
	u64 baser_device_table, baser_coll_table;
	struct list_head device_list, collection_list;
	struct its_ite *hash[VITS_HASH]; /* of (device, event) */
};

/* its.c. With its_lock. */
struct its_device *vgic_its_find_device(struct vgic_its *its, u32 device_id);
struct its_collection *vgic_its_find_collection(struct vgic_its *its, u32 coll_id);
struct its_ite *vgic_its_find_ite(struct vgic_its *its, u32 device_id, u32 event_id);
/* NULL: no memory. */
struct its_device *vgic_its_alloc_device(struct vgic_its *its, u32 device_id, gpa_t itt_addr,
					 u32 num_eventid_bits);
struct its_collection *vgic_its_alloc_collection(struct vgic_its *its, u32 coll_id);
/* Maps it to an LPI. 0, -ENOMEM, -EFAULT, -EINVAL. */
int vgic_its_alloc_ite(struct its_collection *collection, struct vgic_its *its, struct its_device *device,
		       u32 event_id, u32 lpi);
void vgic_its_free_ite(struct vgic_its *its, struct its_ite *ite);
void vgic_its_free_device(struct vgic_its *its, struct its_device *device);
void vgic_its_free_collection(struct vgic_its *its, struct its_collection *collection);
void vgic_its_free_devices(struct vgic_its *its);
void vgic_its_free_collections(struct vgic_its *its);
/* The vCPU of a mapped collection, or NULL (also of NULL). */
struct kvm_vcpu *vgic_its_collection_vcpu(struct vgic_its *its, const struct its_collection *collection);
/* Is there memory for the entry of that id in the table of BASER? *entry: where. */
bool vgic_its_check_id(struct vgic_its *its, u64 baser, u32 id, gpa_t *entry);
bool vgic_its_check_event_id(struct vgic_its *its, const struct its_device *device, u32 event_id);
/* 0; ITS_UNMAPPED: the guest has not mapped it; -EBUSY: disabled. */
#define ITS_UNMAPPED 1
int vgic_its_trigger(struct vgic_its *its, u32 device_id, u32 event_id);

/* KVM_SIGNAL_MSI. 1: delivered, 0: blocked by the guest, -EINVAL: no ITS there, -EBUSY: ITS or LPIs
 * disabled. */
int vgic_its_inject_msi(struct kvm *kvm, struct kvm_msi *msi);

/* its_cmd.c. One command of the queue; errors are the guest's own business. With cmd_lock. */
void vgic_its_handle_command(struct vgic_its *its, const u64 cmd[4]);

/* its_mmio.c */
#define GITS_BASER_VALID (1ull << 63)
#define GITS_BASER_INDIRECT (1ull << 62)
#define GITS_BASER_TYPE_SHIFT 56
#define GITS_BASER_TYPE_DEVICE 1ull
#define GITS_BASER_TYPE_COLLECTION 4ull
/* 64 KiB pages: bits 51:48 of the address are in 15:12. */
#define GITS_BASER_ADDRESS(baser) (((baser) & GENMASK_ULL(47, 16)) | ((baser) >> 12 & 0xf) << 48)
#define GITS_BASER_BYTES(baser) ((((baser) & 0xff) + 1) * SZ_64K)
void vgic_its_init_iodev(struct vgic_its *its);
void vgic_its_reset_registers(struct vgic_its *its);
int vgic_its_reg_access(struct vgic_its *its, u32 offset, u64 *val, bool write);
int vgic_its_has_reg(u32 offset);

/* its_table.c: ABI revision 0 of Documentation/virt/kvm/devices/arm-vgic-its.rst. With its_lock. 0, -EFAULT,
 * -EINVAL, ... */
int vgic_its_save_tables(struct vgic_its *its);
int vgic_its_restore_tables(struct vgic_its *its);

#endif
