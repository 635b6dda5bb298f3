/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory-mapped registers: finding the register of an access, and the handlers for those that speak of
 * interrupts, which are the
 * same in a GICv2, a GICv3's distributor and its redistributors. A register that speaks of interrupts has
 * bits_per_irq of them for each;
 * the access then says which interrupt comes first (vgic_access.intid).
 *
 * User space (a->user) saves and restores: what it writes has no side effects but those, and pending means
 * the latch alone on a GICv3
 * (the line levels are saved apart: Documentation/virt/kvm/devices/arm-vgic-v3.rst).
 */
#include <string.h>

#include "arch/arm64/vgic/vgic.h"

/* ---- interrupts of an access ---- */

static struct vgic_irq *irq_of(const struct vgic_access *a, u32 i)
{
	return vgic_get_irq(a->kvm, a->vcpu, a->intid + i);
}

/* A register with one bit for each interrupt: of which does `is` hold? */
static u64 read_bits(const struct vgic_access *a,
		     bool (*is)(const struct vgic_access *a, const struct vgic_irq *irq))
{
	u64 val = 0;

	for (u32 i = 0; i < a->len * 8; i++) {
		struct vgic_irq *irq = irq_of(a, i);
		struct vgic_cpu *home;

		if (!irq)
			continue;
		home = vgic_irq_lock(irq);
		val |= (u64)is(a, irq) << i;
		vgic_irq_unlock(home);
	}
	return val;
}

/* Does `set` to each interrupt whose bit is one. */
static int write_bits(const struct vgic_access *a, u64 val,
		      void (*set)(const struct vgic_access *a, struct vgic_irq *irq))
{
	for (; val; val &= val - 1) {
		struct vgic_irq *irq = irq_of(a, (u32)__builtin_ctzll(val));
		struct vgic_cpu *home;

		if (!irq)
			continue;
		home = vgic_irq_lock(irq);
		set(a, irq);
		vgic_queue_irq_unlock(a->kvm, irq, home);
	}
	return 0;
}

u64 vgic_mmio_read_raz(const struct vgic_access *a)
{
	return 0;
}

u64 vgic_mmio_read_rao(const struct vgic_access *a)
{
	return ~0ull;
}

int vgic_mmio_write_wi(const struct vgic_access *a, u64 val)
{
	return 0;
}

static bool is_group1(const struct vgic_access *a, const struct vgic_irq *irq)
{
	return irq->group;
}

static void set_group1(const struct vgic_access *a, struct vgic_irq *irq)
{
	irq->group = 1;
}

static void set_group0(const struct vgic_access *a, struct vgic_irq *irq)
{
	irq->group = 0;
}

u64 vgic_mmio_read_group(const struct vgic_access *a)
{
	return read_bits(a, is_group1);
}

int vgic_mmio_write_group(const struct vgic_access *a, u64 val)
{
	write_bits(a, val, set_group1);
	return write_bits(a, ~val & GENMASK_ULL(a->len * 8 - 1, 0), set_group0);
}

static bool is_enabled(const struct vgic_access *a, const struct vgic_irq *irq)
{
	return irq->enabled;
}

static void enable(const struct vgic_access *a, struct vgic_irq *irq)
{
	irq->enabled = true;
}

static void disable(const struct vgic_access *a, struct vgic_irq *irq)
{
	irq->enabled = false;
}

u64 vgic_mmio_read_enable(const struct vgic_access *a)
{
	return read_bits(a, is_enabled);
}

int vgic_mmio_write_senable(const struct vgic_access *a, u64 val)
{
	return write_bits(a, val, enable);
}

int vgic_mmio_write_cenable(const struct vgic_access *a, u64 val)
{
	return write_bits(a, val, disable);
}

static bool is_pending(const struct vgic_access *a, const struct vgic_irq *irq)
{
	return a->user && vgic_is_v3(a->kvm) ? irq->pending_latch : irq_is_pending(irq);
}

/* A GICv2's SGIs are set by SPENDSGIR, which names the source; user space restores them as sent by the CPU
 * itself. */
static void set_pending(const struct vgic_access *a, struct vgic_irq *irq)
{
	if (vgic_is_v2_sgi(a->kvm, irq->intid)) {
		if (!a->user)
			return;
		irq->source |= (u8)(1u << a->vcpu->vcpu_idx);
	}
	irq->pending_latch = true;
}

static void clear_pending(const struct vgic_access *a, struct vgic_irq *irq)
{
	if (vgic_is_v2_sgi(a->kvm, irq->intid)) {
		if (!a->user)
			return;
		irq->source = 0;
	}
	irq->pending_latch = false;
}

u64 vgic_mmio_read_pending(const struct vgic_access *a)
{
	return read_bits(a, is_pending);
}

int vgic_mmio_write_spending(const struct vgic_access *a, u64 val)
{
	return write_bits(a, val, set_pending);
}

int vgic_mmio_write_cpending(const struct vgic_access *a, u64 val)
{
	return write_bits(a, val, clear_pending);
}

static bool is_active(const struct vgic_access *a, const struct vgic_irq *irq)
{
	return irq->active;
}

static void activate(const struct vgic_access *a, struct vgic_irq *irq)
{
	struct kvm_vcpu *requester = kvm_get_running_vcpu();

	irq->active = true;
	if (vgic_is_v2_sgi(a->kvm, irq->intid))
		irq->active_source = requester ? (u8)requester->vcpu_idx : 0;
}

static void deactivate(const struct vgic_access *a, struct vgic_irq *irq)
{
	irq->active = false;
}

u64 vgic_mmio_read_active(const struct vgic_access *a)
{
	return read_bits(a, is_active);
}

int vgic_mmio_write_sactive(const struct vgic_access *a, u64 val)
{
	return write_bits(a, val, activate);
}

int vgic_mmio_write_cactive(const struct vgic_access *a, u64 val)
{
	return write_bits(a, val, deactivate);
}

u64 vgic_mmio_read_priority(const struct vgic_access *a)
{
	u64 val = 0;

	for (u32 i = 0; i < a->len; i++) {
		struct vgic_irq *irq = irq_of(a, i);

		if (irq)
			val |= (u64)irq->priority << 8 * i;
	}
	return val;
}

int vgic_mmio_write_priority(const struct vgic_access *a, u64 val)
{
	for (u32 i = 0; i < a->len; i++) {
		struct vgic_irq *irq = irq_of(a, i);
		struct vgic_cpu *home;

		if (!irq)
			continue;
		home = vgic_irq_lock(irq);
		irq->priority = val >> 8 * i & VGIC_PRI_MASK;
		vgic_queue_irq_unlock(a->kvm, irq, home);
	}
	return 0;
}

u64 vgic_mmio_read_config(const struct vgic_access *a)
{
	u64 val = 0;

	for (u32 i = 0; i < a->len * 4; i++) {
		struct vgic_irq *irq = irq_of(a, i);

		if (irq && irq->config == VGIC_CONFIG_EDGE)
			val |= 2ull << 2 * i;
	}
	return val;
}

/* Of SPIs only: SGIs are edges, and PPIs levels by implementation. */
int vgic_mmio_write_config(const struct vgic_access *a, u64 val)
{
	for (u32 i = 0; i < a->len * 4; i++) {
		struct vgic_irq *irq = irq_of(a, i);
		struct vgic_cpu *home;

		if (!irq || irq->intid < VGIC_NR_PRIVATE_IRQS)
			continue;
		home = vgic_irq_lock(irq);
		irq->config = val >> 2 * i & 2 ? VGIC_CONFIG_EDGE : VGIC_CONFIG_LEVEL;
		vgic_queue_irq_unlock(a->kvm, irq, home);
	}
	return 0;
}

static bool has_line(struct kvm *kvm, u32 intid)
{
	return intid >= VGIC_NR_SGIS && intid < vgic_nr_irqs(kvm);
}

u32 vgic_read_irq_line_level_info(struct kvm_vcpu *vcpu, u32 intid)
{
	u32 val = 0;

	for (u32 i = 0; i < 32; i++) {
		struct vgic_irq *irq = has_line(vcpu->kvm, intid + i)
					       ? vgic_get_irq(vcpu->kvm, vcpu, intid + i)
					       : NULL;

		if (irq && irq->config == VGIC_CONFIG_LEVEL && irq->line_level)
			val |= 1u << i;
	}
	return val;
}

/* Of edge interrupts too: their configuration may be restored afterwards. */
void vgic_write_irq_line_level_info(struct kvm_vcpu *vcpu, u32 intid, u32 val)
{
	for (u32 i = 0; i < 32; i++) {
		struct vgic_irq *irq = has_line(vcpu->kvm, intid + i)
					       ? vgic_get_irq(vcpu->kvm, vcpu, intid + i)
					       : NULL;
		struct vgic_cpu *home;

		if (!irq)
			continue;
		home = vgic_irq_lock(irq);
		irq->line_level = val >> i & 1;
		vgic_queue_irq_unlock(vcpu->kvm, irq, home);
	}
}

u64 vgic_extract_bytes(u64 reg, u32 offset, u32 len)
{
	return reg >> (offset & 7) * 8 & GENMASK_ULL(len * 8 - 1, 0);
}

u64 vgic_update_bytes(u64 reg, u32 offset, u32 len, u64 val)
{
	unsigned low = (offset & 7) * 8;
	u64 mask = GENMASK_ULL(len * 8 - 1, 0);

	return (reg & ~(mask << low)) | (val & mask) << low;
}

/* ---- dispatch ---- */

static const struct vgic_register_region *find_region(const struct vgic_io_device *iodev, u32 offset)
{
	int lo = 0, hi = iodev->nr_regions;

	while (lo < hi) {
		int mid = (lo + hi) / 2;
		const struct vgic_register_region *r = &iodev->regions[mid];

		if (offset < r->reg_offset)
			hi = mid;
		else if (offset >= r->reg_offset + r->len)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

static u32 access_flag(u32 len)
{
	return len == 1 ? VGIC_ACCESS_8bit : len == 4 ? VGIC_ACCESS_32bit : len == 8 ? VGIC_ACCESS_64bit : 0;
}

static u32 first_intid(const struct vgic_register_region *r, u32 offset)
{
	return r->first_intid + (offset - r->reg_offset) * 8 / r->bits_per_irq;
}

const struct vgic_register_region *vgic_get_mmio_region(struct kvm *kvm, const struct vgic_io_device *iodev,
							u32 offset, u32 len)
{
	const struct vgic_register_region *r = find_region(iodev, offset);

	if (!r || !(r->access_flags & access_flag(len)) || offset & (len - 1))
		return NULL;
	/* Beyond the interrupts there are, nothing answers. */
	return !r->bits_per_irq || first_intid(r, offset) < vgic_nr_irqs(kvm) ? r : NULL;
}

static struct vgic_access access_to(struct kvm_vcpu *vcpu, const struct vgic_io_device *iodev,
				    const struct vgic_register_region *r, u32 offset, u32 len)
{
	return (struct vgic_access){
		.kvm = vcpu->kvm,
		.vcpu = iodev->redist_vcpu ? iodev->redist_vcpu : vcpu,
		.its = iodev->its,
		.offset = offset,
		.intid = r->bits_per_irq ? first_intid(r, offset) : 0,
		.len = len,
	};
}

static int dispatch_mmio_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len,
			      void *val)
{
	struct vgic_io_device *iodev = container_of(dev, struct vgic_io_device, dev);
	u32 offset = (u32)(addr - iodev->base_addr);
	const struct vgic_register_region *r = vgic_get_mmio_region(vcpu->kvm, iodev, offset, (u32)len);
	struct vgic_access a;
	u64 data;

	memset(val, 0, (size_t)len);
	if (!r)
		return 0;
	a = access_to(vcpu, iodev, r, offset, (u32)len);
	data = r->read(&a);
	memcpy(val, &data, (size_t)len); /* little endian, as the host */
	return 0;
}

static int dispatch_mmio_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len,
			       const void *val)
{
	struct vgic_io_device *iodev = container_of(dev, struct vgic_io_device, dev);
	u32 offset = (u32)(addr - iodev->base_addr);
	const struct vgic_register_region *r = vgic_get_mmio_region(vcpu->kvm, iodev, offset, (u32)len);
	struct vgic_access a;
	u64 data = 0;

	if (!r)
		return 0;
	a = access_to(vcpu, iodev, r, offset, (u32)len);
	memcpy(&data, val, (size_t)len);
	r->write(&a, data);
	return 0;
}

const struct kvm_io_device_ops kvm_io_gic_ops = {
	.read = dispatch_mmio_read,
	.write = dispatch_mmio_write,
};

int vgic_uaccess(struct kvm_vcpu *vcpu, const struct vgic_io_device *iodev, bool write, u32 offset, u32 *val)
{
	const struct vgic_register_region *r = vgic_get_mmio_region(vcpu->kvm, iodev, offset, sizeof(u32));
	struct vgic_access a;

	if (!r) {
		if (!write)
			*val = 0;
		return 0;
	}
	a = access_to(vcpu, iodev, r, offset, sizeof(u32));
	a.user = true;
	if (write)
		return r->write(&a, *val);
	*val = (u32)r->read(&a);
	return 0;
}
