/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a GICv3's redistributors are: one region of unknown length that grows with the vCPUs
 * (KVM_VGIC_V3_ADDR_TYPE_REDIST), or
 * several of a given number of redistributors (REDIST_REGION), filled in the order of their indexes. Region
 * or vCPU may come first.
 * kvm->slots_lock is held: it orders vCPUs and regions.
 */
#include <stdlib.h>

#include "arch/arm64/vgic/vgic.h"

static bool region_full(const struct vgic_redist_region *r)
{
	return r->count && r->free_index >= r->count;
}

static u64 region_size(struct kvm *kvm, const struct vgic_redist_region *r)
{
	return (u64)(r->count ? r->count : kvm_online_vcpus(kvm)) * KVM_VGIC_V3_REDIST_SIZE;
}

static bool overlaps(struct kvm *kvm, gpa_t base, u64 size)
{
	struct vgic_redist_region *r;

	list_for_each_entry(r, &kvm->arch.vgic.rd_regions, list)
		if (base + size > r->base && base < r->base + region_size(kvm, r))
			return true;
	return false;
}

static bool dist_overlaps(struct kvm *kvm, gpa_t base, u64 size)
{
	gpa_t dist = kvm->arch.vgic.vgic_dist_base;

	return !vgic_is_undef(dist) && base + size > dist && base < dist + KVM_VGIC_V3_DIST_SIZE;
}

/* Do all frames whose addresses are known lie in memory, and apart? */
static bool vgic_v3_check_base(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	struct vgic_redist_region *r;

	list_for_each_entry(r, &dist->rd_regions, list)
		if (vgic_check_iorange(kvm, VGIC_ADDR_UNDEF, r->base, SZ_64K, region_size(kvm, r)))
			return false;
	return vgic_is_undef(dist->vgic_dist_base) ||
	       !overlaps(kvm, dist->vgic_dist_base, KVM_VGIC_V3_DIST_SIZE);
}

static struct vgic_redist_region *free_slot(struct kvm *kvm)
{
	struct vgic_redist_region *r;

	list_for_each_entry(r, &kvm->arch.vgic.rd_regions, list)
		if (!region_full(r))
			return r;
	return NULL;
}

struct vgic_redist_region *vgic_v3_rdist_region_from_index(struct kvm *kvm, u32 index)
{
	struct vgic_redist_region *r;

	list_for_each_entry(r, &kvm->arch.vgic.rd_regions, list)
		if (r->index == index)
			return r;
	return NULL;
}

/* Of its region, and no other region goes on where that ends. */
bool vgic_v3_rdist_is_last(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;
	struct vgic_redist_region *r, *mine = cpu->rdreg;

	if (!mine || cpu->rdreg_index + 1 < mine->free_index)
		return false;
	if (mine->count && cpu->rdreg_index == mine->count - 1)
		list_for_each_entry(r, &vcpu->kvm->arch.vgic.rd_regions, list)
			if (r->base == mine->base + region_size(vcpu->kvm, mine) && r->free_index)
				return false;
	return true;
}

/* ---- redistributors on the bus ---- */

static int register_at(struct kvm_vcpu *vcpu, struct vgic_redist_region *r)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;
	gpa_t base = r->base + (u64)r->free_index * KVM_VGIC_V3_REDIST_SIZE;
	int ret;

	vgic_v3_init_redist_iodev(&cpu->rd_iodev);
	cpu->rd_iodev.base_addr = base;
	cpu->rd_iodev.redist_vcpu = vcpu;
	cpu->rdreg = r;
	cpu->rdreg_index = r->free_index++;
	ret = kvm_io_bus_register_dev(vcpu->kvm, KVM_MMIO_BUS, base, KVM_VGIC_V3_REDIST_SIZE,
				      &cpu->rd_iodev.dev);
	if (ret) {
		r->free_index--;
		cpu->rdreg = NULL;
		cpu->rd_iodev.base_addr = VGIC_ADDR_UNDEF;
	}
	return ret;
}

/* 0 also where there is no room for it yet: it is tried again when a region comes. */
int vgic_register_redist_iodev(struct kvm_vcpu *vcpu)
{
	struct vgic_redist_region *r;

	if (!vgic_is_undef(vcpu->arch.vgic_cpu.rd_iodev.base_addr))
		return 0;
	r = free_slot(vcpu->kvm);
	if (!r)
		return 0;
	if (!vgic_v3_check_base(vcpu->kvm))
		return -EINVAL;
	return register_at(vcpu, r);
}

void vgic_unregister_redist_iodev(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;

	if (vgic_is_undef(cpu->rd_iodev.base_addr))
		return;
	kvm_io_bus_unregister_dev(vcpu->kvm, KVM_MMIO_BUS, &cpu->rd_iodev.dev);
	cpu->rdreg = NULL;
	cpu->rd_iodev.base_addr = VGIC_ADDR_UNDEF;
}

static int register_all(struct kvm *kvm, struct vgic_redist_region *r)
{
	struct kvm_vcpu *vcpu;
	u32 i;
	int ret = 0;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		ret = vgic_register_redist_iodev(vcpu);
		if (ret)
			break;
	}
	if (!ret)
		return 0;
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->arch.vgic_cpu.rdreg == r)
			vgic_unregister_redist_iodev(vcpu);
	return ret;
}

/* ---- regions ---- */

/* May a region of that index and number of redistributors follow those there are? */
static int check_order(struct kvm *kvm, u32 index, u32 count)
{
	struct list_head *regions = &kvm->arch.vgic.rd_regions;
	struct vgic_redist_region *last;

	if (list_empty(regions))
		return index ? -EINVAL : 0;
	last = list_entry(regions->prev, struct vgic_redist_region, list);
	if (!count)
		return last->count ? -EINVAL : -EEXIST; /* the two kinds do not mix */
	return index != last->index + 1 ? -EINVAL : 0;
}

static int alloc_region(struct kvm *kvm, u32 index, gpa_t base, u32 count)
{
	struct vgic_redist_region region = { .index = index, .base = base, .count = count }, *r;
	u64 size = region_size(kvm, &region);
	int ret;

	if (base + size < base)
		return -EINVAL;
	ret = check_order(kvm, index, count);
	if (ret)
		return ret;
	if ((!count && dist_overlaps(kvm, base, size)) || overlaps(kvm, base, size))
		return -EINVAL;
	ret = vgic_check_iorange(kvm, VGIC_ADDR_UNDEF, base, SZ_64K, size);
	if (ret)
		return ret;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = region;
	list_add_tail(&r->list, &kvm->arch.vgic.rd_regions);
	return 0;
}

static void free_region(struct vgic_redist_region *r)
{
	list_del(&r->list);
	free(r);
}

void vgic_v3_free_redist_regions(struct kvm *kvm)
{
	struct vgic_redist_region *r, *next;

	list_for_each_entry_safe(r, next, &kvm->arch.vgic.rd_regions, list)
		free_region(r);
}

int vgic_v3_set_redist_base(struct kvm *kvm, u32 index, u64 addr, u32 count)
{
	struct vgic_redist_region *r;
	int ret = alloc_region(kvm, index, addr, count);

	if (ret)
		return ret;
	r = vgic_v3_rdist_region_from_index(kvm, index);
	ret = register_all(kvm, r);
	if (ret)
		free_region(r);
	return ret;
}

int vgic_v3_map_resources(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vgic_is_undef(vcpu->arch.vgic_cpu.rd_iodev.base_addr))
			return -ENXIO;
	if (vgic_is_undef(kvm->arch.vgic.vgic_dist_base))
		return -ENXIO;
	if (!vgic_v3_check_base(kvm))
		return -EINVAL;
	return vgic_initialized(kvm) ? 0 : -EBUSY;
}
