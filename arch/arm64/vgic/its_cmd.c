/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ITS's commands (IHI 0069, 5.3): 32 bytes each, the fields where the manual has them. A command that
 * cannot be done is ignored:
 * GITS_TYPER says nothing of reporting errors (there is no SEIS). Return values are for tracing only.
 */
#include "arch/arm64/vgic/its.h"

enum {
	GITS_CMD_MOVI = 0x01,
	GITS_CMD_INT = 0x03,
	GITS_CMD_CLEAR = 0x04,
	GITS_CMD_SYNC = 0x05,
	GITS_CMD_MAPD = 0x08,
	GITS_CMD_MAPC = 0x09,
	GITS_CMD_MAPTI = 0x0a,
	GITS_CMD_MAPI = 0x0b,
	GITS_CMD_INV = 0x0c,
	GITS_CMD_INVALL = 0x0d,
	GITS_CMD_MOVALL = 0x0e,
	GITS_CMD_DISCARD = 0x0f,
	GITS_NR_CMDS,
};

static u64 field(const u64 *cmd, unsigned word, unsigned shift, unsigned bits)
{
	return cmd[word] >> shift & (BIT_ULL(bits) - 1);
}

#define CMD_DEVICE_ID(cmd) ((u32)field(cmd, 0, 32, 32))
#define CMD_EVENT_ID(cmd) ((u32)field(cmd, 1, 0, 32))
#define CMD_SIZE(cmd) ((u32)field(cmd, 1, 0, 5) + 1)
#define CMD_PHYSICAL_ID(cmd) ((u32)field(cmd, 1, 32, 32))
#define CMD_COLLECTION(cmd) ((u32)field(cmd, 2, 0, 16))
#define CMD_ITT_ADDR(cmd) (field(cmd, 2, 8, 44) << 8)
#define CMD_TARGET(cmd) ((u32)field(cmd, 2, 16, 32))  /* GITS_TYPER.PTA is 0: the vCPU's number */
#define CMD_TARGET2(cmd) ((u32)field(cmd, 3, 16, 32))
#define CMD_VALID(cmd) field(cmd, 2, 63, 1)

static struct its_ite *ite_of(struct vgic_its *its, const u64 *cmd)
{
	return vgic_its_find_ite(its, CMD_DEVICE_ID(cmd), CMD_EVENT_ID(cmd));
}

static bool is_mapped(const struct its_collection *collection)
{
	return collection && collection->target_addr != COLLECTION_NOT_MAPPED;
}

/* A table's entry of what is gone no longer says that it is there. */
static int clear_entry(struct vgic_its *its, gpa_t gpa)
{
	u64 zero = 0;

	return kvm_write_guest(its->kvm, gpa, &zero, sizeof(zero));
}

/* A device that is mapped already loses what was mapped of it. */
static int cmd_mapd(struct vgic_its *its, const u64 *cmd)
{
	struct its_device *device;
	gpa_t entry;

	if (!vgic_its_check_id(its, its->baser_device_table, CMD_DEVICE_ID(cmd), &entry))
		return -EINVAL;
	if (CMD_VALID(cmd) && CMD_SIZE(cmd) > VITS_ID_BITS)
		return -EINVAL;
	device = vgic_its_find_device(its, CMD_DEVICE_ID(cmd));
	if (device)
		vgic_its_free_device(its, device);
	if (!CMD_VALID(cmd))
		return clear_entry(its, entry);
	device = vgic_its_alloc_device(its, CMD_DEVICE_ID(cmd), CMD_ITT_ADDR(cmd), CMD_SIZE(cmd));
	return device ? 0 : -ENOMEM;
}

static void retarget(struct vgic_its *its, struct its_collection *collection, struct kvm_vcpu *vcpu)
{
	struct its_device *device;
	struct its_ite *ite;

	list_for_each_entry(device, &its->device_list, dev_list)
		list_for_each_entry(ite, &device->itt_head, ite_list)
			if (ite->collection == collection)
				vgic_irq_set_target(its->kvm, ite->irq, vcpu);
}

/* The collection, made where there is none yet; NULL: its table has no room for it, or no memory. */
static struct its_collection *get_collection(struct vgic_its *its, u32 coll_id)
{
	struct its_collection *collection = vgic_its_find_collection(its, coll_id);
	gpa_t entry;

	if (!collection && vgic_its_check_id(its, its->baser_coll_table, coll_id, &entry))
		collection = vgic_its_alloc_collection(its, coll_id);
	return collection;
}

static int cmd_mapc(struct vgic_its *its, const u64 *cmd)
{
	struct its_collection *collection = vgic_its_find_collection(its, CMD_COLLECTION(cmd));
	struct kvm_vcpu *vcpu;

	if (!CMD_VALID(cmd)) {
		if (collection)
			vgic_its_free_collection(its, collection);
		return 0;
	}
	vcpu = kvm_get_vcpu_by_id(its->kvm, (int)CMD_TARGET(cmd));
	if (!vcpu)
		return -EINVAL;
	collection = get_collection(its, CMD_COLLECTION(cmd));
	if (!collection)
		return -EINVAL;
	collection->target_addr = (u32)vcpu->vcpu_id;
	retarget(its, collection, vcpu);
	return 0;
}

static u32 nr_lpis(struct kvm *kvm)
{
	u32 bits = (u32)(__atomic_load_n(&kvm->arch.vgic.propbaser, __ATOMIC_RELAXED) & 0x1f) + 1;

	return 1u << MIN(bits, (u32)INTERRUPT_ID_BITS_ITS);
}

static int map_event(struct vgic_its *its, const u64 *cmd, u32 lpi)
{
	struct its_device *device = vgic_its_find_device(its, CMD_DEVICE_ID(cmd));
	struct its_collection *collection, *existing;
	int ret;

	if (!device || !vgic_its_check_event_id(its, device, CMD_EVENT_ID(cmd)))
		return -EINVAL;
	if (lpi < VGIC_MIN_LPI || lpi >= nr_lpis(its->kvm))
		return -EINVAL;
	if (ite_of(its, cmd))
		return 0; /* UNPREDICTABLE */
	existing = vgic_its_find_collection(its, CMD_COLLECTION(cmd));
	collection = existing ? existing : get_collection(its, CMD_COLLECTION(cmd));
	if (!collection)
		return -EINVAL;
	ret = vgic_its_alloc_ite(collection, its, device, CMD_EVENT_ID(cmd), lpi);
	if (ret && !existing)
		vgic_its_free_collection(its, collection);
	return ret;
}

static int cmd_mapti(struct vgic_its *its, const u64 *cmd)
{
	return map_event(its, cmd, CMD_PHYSICAL_ID(cmd));
}

/* The event's number is the LPI's. */
static int cmd_mapi(struct vgic_its *its, const u64 *cmd)
{
	return map_event(its, cmd, CMD_EVENT_ID(cmd));
}

static int cmd_movi(struct vgic_its *its, const u64 *cmd)
{
	struct its_ite *ite = ite_of(its, cmd);
	struct its_collection *collection = vgic_its_find_collection(its, CMD_COLLECTION(cmd));

	if (!ite || !is_mapped(ite->collection) || !is_mapped(collection))
		return -EINVAL;
	ite->collection = collection;
	vgic_irq_set_target(its->kvm, ite->irq, vgic_its_collection_vcpu(its, collection));
	return 0;
}

static int cmd_movall(struct vgic_its *its, const u64 *cmd)
{
	struct kvm_vcpu *from = kvm_get_vcpu_by_id(its->kvm, (int)CMD_TARGET(cmd));
	struct kvm_vcpu *to = kvm_get_vcpu_by_id(its->kvm, (int)CMD_TARGET2(cmd));

	if (!from || !to)
		return -EINVAL;
	vgic_lpis_move_all(its->kvm, from, to);
	return 0;
}

static int cmd_discard(struct vgic_its *its, const u64 *cmd)
{
	struct its_ite *ite = ite_of(its, cmd);
	gpa_t entry;

	if (!ite || !is_mapped(ite->collection))
		return -EINVAL;
	entry = ite->device->itt_addr + ite->event_id * VITS_ESZ;
	vgic_its_free_ite(its, ite);
	return clear_entry(its, entry);
}

static int cmd_clear(struct vgic_its *its, const u64 *cmd)
{
	struct its_ite *ite = ite_of(its, cmd);
	struct vgic_cpu *home;

	if (!ite)
		return -EINVAL;
	home = vgic_irq_lock(ite->irq);
	ite->irq->pending_latch = false;
	vgic_queue_irq_unlock(its->kvm, ite->irq, home);
	return 0;
}

static int cmd_inv(struct vgic_its *its, const u64 *cmd)
{
	struct its_ite *ite = ite_of(its, cmd);

	return ite ? vgic_update_lpi_config(its->kvm, ite->irq) : -EINVAL;
}

static int cmd_invall(struct vgic_its *its, const u64 *cmd)
{
	struct its_collection *collection = vgic_its_find_collection(its, CMD_COLLECTION(cmd));
	struct kvm_vcpu *vcpu = vgic_its_collection_vcpu(its, collection);

	if (!vcpu)
		return -EINVAL;
	vgic_its_invall(vcpu);
	return 0;
}

static int cmd_int(struct vgic_its *its, const u64 *cmd)
{
	return vgic_its_trigger(its, CMD_DEVICE_ID(cmd), CMD_EVENT_ID(cmd));
}

/* Every command is done when it has been taken. */
static int cmd_sync(struct vgic_its *its, const u64 *cmd)
{
	return 0;
}

static int (*const its_cmds[GITS_NR_CMDS])(struct vgic_its *its, const u64 *cmd) = {
	[GITS_CMD_MOVI] = cmd_movi,
	[GITS_CMD_INT] = cmd_int,
	[GITS_CMD_CLEAR] = cmd_clear,
	[GITS_CMD_SYNC] = cmd_sync,
	[GITS_CMD_MAPD] = cmd_mapd,
	[GITS_CMD_MAPC] = cmd_mapc,
	[GITS_CMD_MAPTI] = cmd_mapti,
	[GITS_CMD_MAPI] = cmd_mapi,
	[GITS_CMD_INV] = cmd_inv,
	[GITS_CMD_INVALL] = cmd_invall,
	[GITS_CMD_MOVALL] = cmd_movall,
	[GITS_CMD_DISCARD] = cmd_discard,
};

void vgic_its_handle_command(struct vgic_its *its, const u64 cmd[4])
{
	u8 nr = (u8)cmd[0];

	if (nr >= GITS_NR_CMDS || !its_cmds[nr])
		return;
	pthread_mutex_lock(&its->its_lock);
	its_cmds[nr](its, cmd);
	pthread_mutex_unlock(&its->its_lock);
}
