/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets an APIC message: from destination mode, destination and shorthand to local APICs
 * (SDM vol. 3, 11.6.2 and 11.12.10).
 *
 * Two ways to the same answer. kvm_apic_match_dest() asks one APIC; asking all of them is always right
 * and O(vCPUs). The APIC map answers in O(1): phys[] by APIC ID, flat[] and cluster[][] by logical ID.
 * It is an immutable snapshot, built whenever an ID, LDR, DFR or enable bit has changed, and it declines
 * where it could be wrong: IDs used twice, mixed logical modes, broadcasts, a change not yet in it.
 *
 * Example, three xAPICs with flat LDRs 1, 2, 4: flat[] = {A, B, C}; logical destination 0x05 selects
 * the entries of bits 0 and 2. In x2APIC mode the logical ID derives from the APIC ID, so cluster n is
 * phys[16n .. 16n+15] and needs no table.
 *
 * Linux's (6.12) deviations from silicon are kept: xAPICs do not alias IDs above 255; with the broadcast
 * quirk 0xff from an MSI or the IOAPIC reaches x2APICs as broadcast; a vCPU with an ID above 255 still
 * in xAPIC mode is reached by its 32-bit ID (CPU hotplug); lowest priority picks by vector hashing.
 *
 * Locks: apic_map_lock serializes builders and is a leaf. Readers are in an irq_srcu section. The
 * old map is freed after synchronize_srcu, with no lock held.
 */
#include <stdlib.h>

#include "arch/x86/lapic.h"
#include "uapi/kuse_kvm.h"

enum apic_logical_mode { LOGICAL_NONE, LOGICAL_FLAT, LOGICAL_CLUSTER, LOGICAL_X2APIC, LOGICAL_UNMAPPED };

struct kvm_apic_map {
	enum apic_logical_mode logical_mode; /* NONE: nobody software-enabled. UNMAPPED: cannot tell */
	u32 nr_vcpus;                        /* that were online when it was built */
	u32 max_apic_id;                     /* phys[] has max_apic_id + 1 entries */
	struct kvm_lapic *flat[8];
	struct kvm_lapic *cluster[16][4];
	struct kvm_lapic *phys[];
};

/* The lapic[i] (those not NULL) with bit i in mask. */
struct apic_dests {
	struct kvm_lapic *const *lapic;
	u32 mask;
};

static bool is_lowest_prio(const struct kvm_lapic_irq *irq)
{
	return irq->delivery_mode == APIC_DM_LOWEST || irq->msi_redir_hint;
}

/* ---- building -------------------------------------------------------------------------------- */

void kvm_apic_map_dirty(struct kvm *kvm)
{
	__atomic_store_n(&kvm->arch.apic_map_dirty, 1, __ATOMIC_RELEASE);
}

/* False: an ID is used twice, so that a map cannot tell. */
static bool apic_map_add_phys(struct kvm_apic_map *map, struct kvm_lapic *apic)
{
	bool x2apic = apic_x2apic_mode(apic);
	u32 id = x2apic ? kvm_x2apic_id(apic) : kvm_xapic_id(apic);

	if (apic->vcpu->kvm->arch.x2apic_format) { /* the first owner of an xAPIC ID keeps it */
		if (x2apic || kvm_x2apic_id(apic) > 0xff)
			map->phys[kvm_x2apic_id(apic)] = apic;
		if (!x2apic && !map->phys[id])
			map->phys[id] = apic;
		return true;
	}
	if (map->phys[id])
		return false;
	map->phys[id] = apic;
	return true;
}

static enum apic_logical_mode apic_logical_mode_of(const struct kvm_lapic *apic)
{
	if (apic_x2apic_mode(apic))
		return LOGICAL_X2APIC;
	return kvm_lapic_get_reg(apic, APIC_DFR) == APIC_DFR_FLAT ? LOGICAL_FLAT : LOGICAL_CLUSTER;
}

/* Where an xAPIC logical ID (or MDA) points: a row of entries and the bits that select in it. */
static struct apic_dests apic_map_row(const struct kvm_apic_map *map, u8 id)
{
	if (map->logical_mode == LOGICAL_FLAT)
		return (struct apic_dests){ map->flat, id };
	return (struct apic_dests){ map->cluster[id >> 4], id & 0xfu };
}

static void apic_map_add_logical(struct kvm_apic_map *map, struct kvm_lapic *apic)
{
	enum apic_logical_mode mode = apic_logical_mode_of(apic);
	u32 ldr = kvm_lapic_get_reg(apic, APIC_LDR);
	struct kvm_lapic **slot;
	struct apic_dests row;

	if (map->logical_mode == LOGICAL_UNMAPPED || !kvm_apic_sw_enabled(apic) || !ldr)
		return;
	if (map->logical_mode == LOGICAL_NONE)
		map->logical_mode = mode;
	if (map->logical_mode != mode)
		map->logical_mode = LOGICAL_UNMAPPED;
	if (map->logical_mode == LOGICAL_UNMAPPED || mode == LOGICAL_X2APIC)
		return;
	row = apic_map_row(map, ldr >> 24);
	if (!row.mask)
		return;
	slot = (struct kvm_lapic **)&row.lapic[__builtin_ctz(row.mask)];
	if (row.mask & (row.mask - 1) || *slot)
		map->logical_mode = LOGICAL_UNMAPPED;
	else
		*slot = apic;
}

/* NULL where no map can be right (or there is no memory for one). */
static struct kvm_apic_map *apic_map_build(struct kvm *kvm)
{
	u32 nr = kvm_online_vcpus(kvm), max_id = 255;
	struct kvm_apic_map *map;

	for (u32 i = 0; i < nr; i++)
		if (kvm_apic_present(kvm->vcpus[i]))
			max_id = MAX(max_id, (u32)kvm->vcpus[i]->vcpu_id);
	map = calloc(1, sizeof(*map) + (max_id + 1) * sizeof(map->phys[0]));
	if (!map)
		return NULL;
	map->nr_vcpus = nr;
	map->max_apic_id = max_id;
	for (u32 i = 0; i < nr; i++) {
		struct kvm_lapic *apic = kvm->vcpus[i]->arch.apic;

		/* The mode may change under us: an x2APIC ID then is still within max_id or absent. */
		if (!kvm_apic_present(kvm->vcpus[i]) || kvm_x2apic_id(apic) > max_id)
			continue;
		if (!apic_map_add_phys(map, apic)) {
			free(map);
			return NULL;
		}
		apic_map_add_logical(map, apic);
	}
	return map;
}

void kvm_recalculate_apic_map(struct kvm *kvm)
{
	struct kvm_apic_map *old;

	if (!__atomic_load_n(&kvm->arch.apic_map_dirty, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&kvm->arch.apic_map_lock);
	/* Cleared before registers are read: a later change makes it dirty again. */
	if (!__atomic_exchange_n(&kvm->arch.apic_map_dirty, 0, __ATOMIC_ACQ_REL)) {
		pthread_mutex_unlock(&kvm->arch.apic_map_lock);
		return;
	}
	old = kvm->arch.apic_map;
	rcu_assign_pointer(kvm->arch.apic_map, apic_map_build(kvm));
	pthread_mutex_unlock(&kvm->arch.apic_map_lock);
	if (old) {
		synchronize_srcu(&kvm->irq_srcu);
		free(old);
	}
	if (irqchip_split(kvm))
		kvm_make_all_cpus_request(kvm, KVM_REQ_SCAN_IOAPIC);
}

void kvm_apic_map_destroy(struct kvm *kvm)
{
	free(kvm->arch.apic_map);
	kvm->arch.apic_map = NULL;
}

/* ---- asking one APIC ------------------------------------------------------------------------- */

static bool apic_is_broadcast(const struct kvm_lapic *apic, u32 mda)
{
	return mda == (apic_x2apic_mode(apic) ? X2APIC_BROADCAST : APIC_BROADCAST);
}

static bool apic_match_physical(const struct kvm_lapic *apic, u32 mda)
{
	if (apic_x2apic_mode(apic) || mda > 0xff)
		return mda == kvm_x2apic_id(apic);
	return mda == kvm_xapic_id(apic);
}

static bool apic_match_logical(const struct kvm_lapic *apic, u32 mda)
{
	u32 ldr = kvm_lapic_get_reg(apic, APIC_LDR);

	if (apic_x2apic_mode(apic))
		return ldr >> 16 == mda >> 16 && (ldr & mda & 0xffff);
	ldr >>= 24;
	switch (kvm_lapic_get_reg(apic, APIC_DFR)) {
	case APIC_DFR_FLAT:
		return ldr & mda;
	case APIC_DFR_CLUSTER:
		return ldr >> 4 == mda >> 4 && (ldr & mda & 0xf);
	}
	return false;
}

static bool apic_match_mda(struct kvm_lapic *apic, struct kvm_lapic *src, const struct kvm_lapic_irq *irq)
{
	bool quirk = !apic->vcpu->kvm->arch.x2apic_broadcast_quirk_disabled;
	u32 mda = irq->dest_id;

	if (quirk && !src && mda == APIC_BROADCAST && apic_x2apic_mode(apic))
		return true;
	if (apic_is_broadcast(apic, mda))
		return true;
	return irq->dest_mode == APIC_DEST_PHYSICAL ? apic_match_physical(apic, mda)
						    : apic_match_logical(apic, mda);
}

bool kvm_apic_match_dest(struct kvm_vcpu *vcpu, struct kvm_lapic *src, const struct kvm_lapic_irq *irq)
{
	struct kvm_lapic *apic = vcpu->arch.apic;

	switch (irq->shorthand) {
	case APIC_DEST_SELF:
		return apic == src;
	case APIC_DEST_ALLINC:
		return true;
	case APIC_DEST_ALLBUT:
		return apic != src;
	}
	return apic_match_mda(apic, src, irq);
}

/* ---- asking the map -------------------------------------------------------------------------- */

/* The map and those who read it may see different modes while a CPU changes its own: broadcasts, in
 * whichever form, are left to the slow way. */
static bool apic_map_is_broadcast(struct kvm *kvm, const struct kvm_apic_map *map, struct kvm_lapic *src,
				  const struct kvm_lapic_irq *irq)
{
	bool x2apic_ipi = src && apic_x2apic_mode(src);

	if (kvm->arch.x2apic_broadcast_quirk_disabled)
		return irq->dest_id == X2APIC_BROADCAST ||
		       (irq->dest_id == APIC_BROADCAST && map->logical_mode != LOGICAL_X2APIC);
	return irq->dest_id == (x2apic_ipi ? X2APIC_BROADCAST : APIC_BROADCAST);
}

static struct apic_dests apic_map_x2apic_cluster(const struct kvm_apic_map *map, u32 mda)
{
	u64 first = (u64)(mda >> 16) * 16;
	u32 size;

	if (first > map->max_apic_id)
		return (struct apic_dests){ NULL, 0 };
	size = MIN(map->max_apic_id - first + 1, 16);
	return (struct apic_dests){ &map->phys[first], mda & 0xffff >> (16 - size) };
}

static bool apic_map_logical(const struct kvm_apic_map *map, u32 mda, struct apic_dests *dests)
{
	switch (map->logical_mode) {
	case LOGICAL_UNMAPPED:
		return false;
	case LOGICAL_NONE:
		*dests = (struct apic_dests){ NULL, 0 };
		return true;
	case LOGICAL_X2APIC:
		*dests = apic_map_x2apic_cluster(map, mda);
		return true;
	default:
		*dests = apic_map_row(map, mda);
		return true;
	}
}

static bool apic_map_lookup(struct kvm *kvm, struct kvm_lapic *src, const struct kvm_lapic_irq *irq,
			    struct apic_dests *dests)
{
	const struct kvm_apic_map *map = srcu_dereference(kvm->arch.apic_map);

	if (!map || irq->shorthand || map->nr_vcpus != kvm_online_vcpus(kvm) ||
	    __atomic_load_n(&kvm->arch.apic_map_dirty, __ATOMIC_ACQUIRE) ||
	    apic_map_is_broadcast(kvm, map, src, irq))
		return false;
	if (irq->dest_mode == APIC_DEST_LOGICAL)
		return apic_map_logical(map, irq->dest_id, dests);
	if (irq->dest_id > map->max_apic_id)
		*dests = (struct apic_dests){ NULL, 0 };
	else
		*dests = (struct apic_dests){ &map->phys[irq->dest_id], 1 };
	return true;
}

/* ---- delivery -------------------------------------------------------------------------------- */

/* Lowest priority takes one candidate, the (vector mod n)th: reserves the same CPU for a vector. */
static u32 apic_pick_lowest(const struct apic_dests *d, u32 vector)
{
	u32 able = 0;

	for (u32 m = d->mask; m; m &= m - 1) {
		struct kvm_lapic *apic = d->lapic[__builtin_ctz(m)];

		if (apic && kvm_apic_sw_enabled(apic))
			able |= m & -m;
	}
	if (!able)
		return 0;
	for (u32 skip = vector % __builtin_popcount(able); skip; skip--)
		able &= able - 1;
	return able & -able;
}

static int apic_deliver_dests(struct apic_dests d, const struct kvm_lapic_irq *irq)
{
	int r = 0;

	if (is_lowest_prio(irq))
		d.mask = apic_pick_lowest(&d, irq->vector);
	for (u32 m = d.mask; m; m &= m - 1) {
		struct kvm_lapic *apic = d.lapic[__builtin_ctz(m)];

		if (apic)
			r += kvm_apic_set_irq(apic->vcpu, irq);
	}
	return r;
}

bool kvm_irq_delivery_to_apic_fast(struct kvm *kvm, struct kvm_lapic *src, const struct kvm_lapic_irq *irq,
				   int *r)
{
	struct apic_dests dests;
	bool known;
	int idx;

	if (irq->shorthand == APIC_DEST_SELF) {
		*r = src ? kvm_apic_set_irq(src->vcpu, irq) : 0;
		return true;
	}
	idx = srcu_read_lock(&kvm->irq_srcu);
	known = apic_map_lookup(kvm, src, irq, &dests);
	if (known)
		*r = apic_deliver_dests(dests, irq);
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return known;
}

static bool apic_is_candidate(struct kvm_vcpu *vcpu, struct kvm_lapic *src, const struct kvm_lapic_irq *irq)
{
	return kvm_apic_present(vcpu) && kvm_apic_match_dest(vcpu, src, irq) &&
	       (!is_lowest_prio(irq) || kvm_apic_sw_enabled(vcpu->arch.apic));
}

static int apic_deliver_lowest_slow(struct kvm *kvm, struct kvm_lapic *src, const struct kvm_lapic_irq *irq)
{
	u16 able[KVM_MAX_VCPUS], n = 0;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (apic_is_candidate(vcpu, src, irq))
			able[n++] = i;
	return n ? kvm_apic_set_irq(kvm_get_vcpu(kvm, able[irq->vector % n]), irq) : -1;
}

int kvm_irq_delivery_to_apic(struct kvm *kvm, struct kvm_lapic *src, const struct kvm_lapic_irq *irq)
{
	struct kvm_lapic_irq copy = *irq;
	struct kvm_vcpu *vcpu;
	unsigned long i;
	int r = -1;

	if (kvm_irq_delivery_to_apic_fast(kvm, src, irq, &r))
		return r;
	/* A physical broadcast with lowest priority is undefined (SDM 11.6.2.1); all get it. */
	if (irq->dest_mode == APIC_DEST_PHYSICAL && irq->dest_id == APIC_BROADCAST && is_lowest_prio(irq)) {
		copy.delivery_mode = APIC_DM_FIXED;
		copy.msi_redir_hint = false;
	}
	if (is_lowest_prio(&copy))
		return apic_deliver_lowest_slow(kvm, src, &copy);
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (apic_is_candidate(vcpu, src, &copy))
			r = MAX(r, 0) + kvm_apic_set_irq(vcpu, &copy);
	return r;
}

void kvm_apic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high)
{
	struct kvm_lapic_irq irq = {
		.vector = icr_low & APIC_VECTOR_MASK,
		.delivery_mode = icr_low & APIC_MODE_MASK,
		.dest_mode = icr_low & APIC_DEST_MASK,
		.level = icr_low & APIC_INT_ASSERT,
		.trig_mode = icr_low & APIC_INT_LEVELTRIG,
		.shorthand = icr_low & APIC_SHORT_MASK,
		.dest_id = apic_x2apic_mode(apic) ? icr_high : icr_high >> 24,
	};

	kvm_irq_delivery_to_apic(apic->vcpu->kvm, apic, &irq);
}

/* ---- paravirtual: KVM_HC_SEND_IPI, KVM_HC_KICK_CPU ------------------------------------------- */

struct kvm_vcpu *kvm_get_vcpu_by_apicid(struct kvm *kvm, u32 apicid)
{
	struct kvm_lapic_irq irq = { .dest_mode = APIC_DEST_PHYSICAL, .dest_id = apicid };
	struct kvm_vcpu *vcpu, *found = NULL;
	struct apic_dests dests;
	unsigned long i;
	int idx;

	idx = srcu_read_lock(&kvm->irq_srcu);
	if (apic_map_lookup(kvm, NULL, &irq, &dests)) {
		if (dests.mask && dests.lapic[0])
			found = dests.lapic[0]->vcpu;
	} else {
		kvm_for_each_vcpu(i, vcpu, kvm)
			if (!found && kvm_apic_present(vcpu) && apic_match_physical(vcpu->arch.apic, apicid))
				found = vcpu;
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return found;
}

static int apic_send_to_bitmap(struct kvm *kvm, u64 bitmap, u32 min, const struct kvm_lapic_irq *irq)
{
	int count = 0;

	for (; bitmap; bitmap &= bitmap - 1) {
		u64 id = (u64)min + __builtin_ctzll(bitmap);
		struct kvm_vcpu *vcpu = id <= UINT32_MAX ? kvm_get_vcpu_by_apicid(kvm, id) : NULL;

		if (vcpu)
			count += kvm_apic_set_irq(vcpu, irq);
	}
	return count;
}

int kvm_pv_send_ipi(struct kvm *kvm, u64 bitmap_low, u64 bitmap_high, u32 min, u64 icr, bool op_64_bit)
{
	u32 cluster_size = op_64_bit ? 64 : 32;
	struct kvm_lapic_irq irq = {
		.vector = icr & APIC_VECTOR_MASK,
		.delivery_mode = icr & APIC_MODE_MASK,
		.level = icr & APIC_INT_ASSERT,
		.trig_mode = icr & APIC_INT_LEVELTRIG,
	};

	if (icr & (APIC_DEST_MASK | APIC_SHORT_MASK))
		return -KVM_EINVAL;
	if (!op_64_bit) {
		bitmap_low = (u32)bitmap_low;
		bitmap_high = (u32)bitmap_high;
	}
	return apic_send_to_bitmap(kvm, bitmap_low, min, &irq) +
	       (min + cluster_size < min ? 0
					 : apic_send_to_bitmap(kvm, bitmap_high, min + cluster_size, &irq));
}

void kvm_pv_kick_cpu_op(struct kvm *kvm, int apicid)
{
	struct kvm_lapic_irq irq = {
		.delivery_mode = APIC_DM_REMRD,
		.dest_mode = APIC_DEST_PHYSICAL,
		.dest_id = apicid,
	};

	kvm_irq_delivery_to_apic(kvm, NULL, &irq);
}
