/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ITS's registers: GITS_* (IHI 0069, 12.18), one frame of 64 KiB; the second one holds GITS_TRANSLATER,
 * which only devices
 * write to. User space (a->user) reaches whole registers, 64 bits of those that have them.
 */
#include "arch/arm64/vgic/its.h"

#define GITS_CTLR 0x0000
#define GITS_IIDR 0x0004
#define GITS_TYPER 0x0008
#define GITS_CBASER 0x0080
#define GITS_CWRITER 0x0088
#define GITS_CREADR 0x0090
#define GITS_BASER 0x0100
#define GITS_IDREGS 0xffd0

#define GITS_CTLR_ENABLE (1u << 0)
#define GITS_CTLR_QUIESCENT (1u << 31)
#define GITS_TYPER_PLPIS (1ull << 0)
#define GITS_TYPER_ITT_ENTRY_SIZE_SHIFT 4
#define GITS_TYPER_ID_BITS_SHIFT 8
#define GITS_TYPER_DEV_BITS_SHIFT 13

#define BASER_INNER_CACHE_SHIFT 59
#define BASER_OUTER_CACHE_SHIFT 53
#define BASER_ENTRY_SIZE_SHIFT 48
#define BASER_PAGE_SIZE_MASK (3ull << 8)
#define BASER_PAGE_SIZE_64K (2ull << 8)
#define BASER_READ_ONLY (GENMASK_ULL(52, 48) | GENMASK_ULL(58, 56))
#define BASER_INITIAL \
	(3ull << BASER_INNER_CACHE_SHIFT | 1ull << 10 | BASER_PAGE_SIZE_64K | (VITS_ESZ - 1ull) << BASER_ENTRY_SIZE_SHIFT)

#define ITS_CMD_SIZE 32u
#define ITS_CMD_OFFSET(reg) ((u32)((reg) & 0xfffe0))
#define ITS_CMD_BUFFER_SIZE(cbaser) ((((u32)(cbaser) & 0xff) + 1) << 12)
#define CBASER_ADDRESS(cbaser) ((cbaser) & GENMASK_ULL(51, 12))

static bool is_enabled(struct vgic_its *its)
{
	return __atomic_load_n(&its->enabled, __ATOMIC_ACQUIRE);
}

/* ---- the command queue. With cmd_lock ---- */

/* A command that cannot be read is skipped. */
static void process_commands(struct vgic_its *its)
{
	u64 cmd[ITS_CMD_SIZE / 8];

	while (is_enabled(its) && its->cwriter != its->creadr) {
		if (!kvm_read_guest(its->kvm, CBASER_ADDRESS(its->cbaser) + its->creadr, cmd, sizeof(cmd)))
			vgic_its_handle_command(its, cmd);
		its->creadr += ITS_CMD_SIZE;
		if (its->creadr == ITS_CMD_BUFFER_SIZE(its->cbaser))
			its->creadr = 0;
	}
}

static u64 read_its_cbaser(const struct vgic_access *a)
{
	return vgic_extract_bytes(a->its->cbaser, a->offset, a->len);
}

static int write_its_cbaser(const struct vgic_access *a, u64 val)
{
	struct vgic_its *its = a->its;

	if (is_enabled(its))
		return 0;
	pthread_mutex_lock(&its->cmd_lock);
	its->cbaser = vgic_sanitise_baser(vgic_update_bytes(its->cbaser, a->offset, a->len, val),
					  BASER_INNER_CACHE_SHIFT, BASER_OUTER_CACHE_SHIFT) &
		      ~GENMASK_ULL(15, 12);
	its->creadr = its->cwriter = 0;
	pthread_mutex_unlock(&its->cmd_lock);
	return 0;
}

static u64 read_its_cwriter(const struct vgic_access *a)
{
	return vgic_extract_bytes(a->its->cwriter, a->offset, a->len);
}

static int write_its_cwriter(const struct vgic_access *a, u64 val)
{
	struct vgic_its *its = a->its;
	u32 next;

	pthread_mutex_lock(&its->cmd_lock);
	next = ITS_CMD_OFFSET(vgic_update_bytes(its->cwriter, a->offset, a->len, val));
	if (next < ITS_CMD_BUFFER_SIZE(its->cbaser)) {
		its->cwriter = next;
		process_commands(its);
	}
	pthread_mutex_unlock(&its->cmd_lock);
	return 0;
}

static u64 read_its_creadr(const struct vgic_access *a)
{
	return vgic_extract_bytes(a->its->creadr, a->offset, a->len);
}

static int restore_creadr(struct vgic_its *its, u64 val)
{
	if (is_enabled(its))
		return -EBUSY;
	if (ITS_CMD_OFFSET(val) >= ITS_CMD_BUFFER_SIZE(its->cbaser))
		return -EINVAL;
	its->creadr = ITS_CMD_OFFSET(val);
	return 0;
}

/* The guest's is read-only. */
static int write_its_creadr(const struct vgic_access *a, u64 val)
{
	int ret;

	if (!a->user)
		return 0;
	pthread_mutex_lock(&a->its->cmd_lock);
	ret = restore_creadr(a->its, val);
	pthread_mutex_unlock(&a->its->cmd_lock);
	return ret;
}

static u64 read_its_ctlr(const struct vgic_access *a)
{
	struct vgic_its *its = a->its;
	u64 val;

	pthread_mutex_lock(&its->cmd_lock);
	val = (its->creadr == its->cwriter ? GITS_CTLR_QUIESCENT : 0) | (its->enabled ? GITS_CTLR_ENABLE : 0);
	pthread_mutex_unlock(&its->cmd_lock);
	return val;
}

/* It can be enabled once all three tables are valid. */
static int write_its_ctlr(const struct vgic_access *a, u64 val)
{
	struct vgic_its *its = a->its;
	bool enable = val & GITS_CTLR_ENABLE;

	pthread_mutex_lock(&its->cmd_lock);
	if (!enable || its->enabled ||
	    (its->baser_device_table & its->baser_coll_table & its->cbaser & GITS_BASER_VALID)) {
		__atomic_store_n(&its->enabled, enable, __ATOMIC_RELEASE);
		process_commands(its);
	}
	pthread_mutex_unlock(&its->cmd_lock);
	return 0;
}

/* ---- the tables ---- */

static u64 *baser_of(const struct vgic_access *a)
{
	switch ((a->offset - GITS_BASER) / 8) {
	case 0:
		return &a->its->baser_device_table;
	case 1:
		return &a->its->baser_coll_table;
	}
	return NULL;
}

static u64 read_its_baser(const struct vgic_access *a)
{
	u64 *baser = baser_of(a);

	return baser ? vgic_extract_bytes(*baser, a->offset, a->len) : 0;
}

/* Another table: nothing of the old one holds any longer. Linux's driver writes the same value when it
 * resumes. */
static void set_baser(struct vgic_its *its, u64 *baser, u64 val)
{
	pthread_mutex_lock(&its->its_lock);
	if (*baser != val && baser == &its->baser_device_table)
		vgic_its_free_devices(its);
	else if (*baser != val)
		vgic_its_free_collections(its);
	*baser = val;
	pthread_mutex_unlock(&its->its_lock);
}

static int write_its_baser(const struct vgic_access *a, u64 val)
{
	u64 *baser = baser_of(a), next;

	if (!baser || is_enabled(a->its))
		return 0;
	next = vgic_update_bytes(*baser, a->offset, a->len, val) & ~(BASER_READ_ONLY | BASER_PAGE_SIZE_MASK);
	if (baser == &a->its->baser_coll_table)
		next &= ~GITS_BASER_INDIRECT;
	next |= (*baser & BASER_READ_ONLY) | BASER_PAGE_SIZE_64K;
	set_baser(a->its, baser, vgic_sanitise_baser(next, BASER_INNER_CACHE_SHIFT, BASER_OUTER_CACHE_SHIFT));
	return 0;
}

/* ---- what it is ---- */

static u64 read_its_iidr(const struct vgic_access *a)
{
	return PRODUCT_ID_KVM << 24 | IMPLEMENTER_ARM; /* revision 0: that of the tables' ABI */
}

static int write_its_iidr(const struct vgic_access *a, u64 val)
{
	return a->user && val >> 12 & 0xf ? -EINVAL : 0;
}

static u64 read_its_typer(const struct vgic_access *a)
{
	u64 val = GITS_TYPER_PLPIS | (VITS_ESZ - 1) << GITS_TYPER_ITT_ENTRY_SIZE_SHIFT |
		  (VITS_ID_BITS - 1) << GITS_TYPER_ID_BITS_SHIFT |
		  (VITS_DEV_BITS - 1) << GITS_TYPER_DEV_BITS_SHIFT;

	return vgic_extract_bytes(val, a->offset, a->len);
}

static u64 read_its_idregs(const struct vgic_access *a)
{
	static const u8 ids[12] = { 0x40, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1 }; /* PIDR4.., PIDR0.., CIDR0.. */

	return ids[(a->offset - GITS_IDREGS) / 4];
}

#define REG(off, length, acc, rd, wr) \
	{ .reg_offset = off, .len = length, .access_flags = acc, .read = rd, .write = wr }
#define A32 VGIC_ACCESS_32bit
#define A64_32 (VGIC_ACCESS_64bit | VGIC_ACCESS_32bit)

static const struct vgic_register_region its_registers[] = {
	REG(GITS_CTLR, 4, A32, read_its_ctlr, write_its_ctlr),
	REG(GITS_IIDR, 4, A32, read_its_iidr, write_its_iidr),
	REG(GITS_TYPER, 8, A64_32, read_its_typer, vgic_mmio_write_wi),
	REG(GITS_CBASER, 8, A64_32, read_its_cbaser, write_its_cbaser),
	REG(GITS_CWRITER, 8, A64_32, read_its_cwriter, write_its_cwriter),
	REG(GITS_CREADR, 8, A64_32, read_its_creadr, write_its_creadr),
	REG(GITS_BASER, 64, A64_32, read_its_baser, write_its_baser),
	REG(GITS_IDREGS, 48, A32, read_its_idregs, vgic_mmio_write_wi),
};

void vgic_its_init_iodev(struct vgic_its *its)
{
	its->iodev = (struct vgic_io_device){
		.iodev_type = IODEV_ITS,
		.its = its,
		.regions = its_registers,
		.nr_regions = ARRAY_SIZE(its_registers),
	};
	kvm_iodevice_init(&its->iodev.dev, &kvm_io_gic_ops);
	its->baser_device_table = BASER_INITIAL | GITS_BASER_TYPE_DEVICE << GITS_BASER_TYPE_SHIFT;
	its->baser_coll_table = BASER_INITIAL | GITS_BASER_TYPE_COLLECTION << GITS_BASER_TYPE_SHIFT;
}

/* KVM_DEV_ARM_ITS_CTRL_RESET. With its_lock, no vCPU runs. */
void vgic_its_reset_registers(struct vgic_its *its)
{
	its->baser_device_table &= ~GITS_BASER_VALID;
	its->baser_coll_table &= ~GITS_BASER_VALID;
	its->cbaser = 0;
	its->creadr = its->cwriter = 0;
	__atomic_store_n(&its->enabled, false, __ATOMIC_RELEASE);
}

/* ---- user space ---- */

/* 64-bit registers lie between. */
static bool is_aligned(u32 offset)
{
	return !(offset & (offset < GITS_TYPER || offset >= GITS_IDREGS ? 3 : 7));
}

static const struct vgic_register_region *find_register(u32 offset)
{
	for (size_t i = 0; i < ARRAY_SIZE(its_registers); i++)
		if (offset - its_registers[i].reg_offset < its_registers[i].len)
			return &its_registers[i];
	return NULL;
}

int vgic_its_has_reg(u32 offset)
{
	if (!is_aligned(offset))
		return -EINVAL;
	return find_register(offset) ? 0 : -ENXIO;
}

int vgic_its_reg_access(struct vgic_its *its, u32 offset, u64 *val, bool write)
{
	const struct vgic_register_region *r = find_register(offset);
	struct vgic_access a = { .kvm = its->kvm, .its = its, .offset = offset, .user = true };

	if (!r)
		return -ENXIO;
	a.len = r->access_flags & VGIC_ACCESS_64bit ? 8 : 4;
	if (write)
		return r->write(&a, *val);
	*val = r->read(&a);
	return 0;
}
