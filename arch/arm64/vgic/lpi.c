/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LPIs: message-signalled interrupts from 8192 on. Source: IHI 0069, 5.1. Each is one byte of priority and
 * enable in a table of the guest's
 * (GICR_PROPBASER, one for all CPUs), which is read when the LPI is mapped and when the guest says INV; and
 * one bit in the pending
 * table of the CPU it goes to (GICR_PENDBASER), which is read when LPIs are enabled and written when user
 * space asks for it.
 *
 * A struct vgic_irq exists for each LPI that was ever mapped and stays until the VM goes: whoever has found
 * one may use it. Without a mapping
 * (lpi_refs) it is disabled.
 */
#include <stdlib.h>

#include "arch/arm64/vgic/its.h"

#define BASER_ADDRESS(reg) ((reg) & GENMASK_ULL(51, 12))
#define PENDBASER_ADDRESS(reg) ((reg) & GENMASK_ULL(51, 16))
#define PROPBASER_ID_BITS(reg) (((reg) & 0x1f) + 1)
#define LPI_PROP_ENABLE 1u

/* ---- the table of LPIs ---- */

/* Caller holds lpi_lock. */
static struct vgic_irq *make_lpi(struct kvm *kvm, u32 intid)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	u32 n = intid - VGIC_MIN_LPI;
	struct vgic_irq **page = dist->lpi[n / VGIC_LPI_PAGE], *irq;

	if (!page) {
		page = calloc(VGIC_LPI_PAGE, sizeof(*page));
		if (!page)
			return NULL;
		__atomic_store_n(&dist->lpi[n / VGIC_LPI_PAGE], page, __ATOMIC_RELEASE);
	}
	if (page[n % VGIC_LPI_PAGE])
		return page[n % VGIC_LPI_PAGE];
	irq = calloc(1, sizeof(*irq));
	if (!irq)
		return NULL;
	vgic_irq_setup(kvm, irq, intid, NULL);
	irq->config = VGIC_CONFIG_EDGE;
	irq->group = 1;
	__atomic_store_n(&page[n % VGIC_LPI_PAGE], irq, __ATOMIC_RELEASE);
	return irq;
}

/* Calls fn for each LPI that is mapped, until it returns an error. */
static int for_each_lpi(struct kvm *kvm, int (*fn)(struct kvm *kvm, struct vgic_irq *irq, void *arg),
			void *arg)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	int ret = 0;

	for (u32 p = 0; p < VGIC_LPI_PAGES && !ret; p++) {
		struct vgic_irq **page = __atomic_load_n(&dist->lpi[p], __ATOMIC_ACQUIRE);

		for (u32 i = 0; page && i < VGIC_LPI_PAGE && !ret; i++) {
			struct vgic_irq *irq = __atomic_load_n(&page[i], __ATOMIC_ACQUIRE);

			if (irq && __atomic_load_n(&irq->lpi_refs, __ATOMIC_ACQUIRE))
				ret = fn(kvm, irq, arg);
		}
	}
	return ret;
}

void vgic_lpis_destroy(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;

	for (u32 p = 0; p < VGIC_LPI_PAGES; p++) {
		for (u32 i = 0; dist->lpi[p] && i < VGIC_LPI_PAGE; i++)
			free(dist->lpi[p][i]);
		free(dist->lpi[p]);
		dist->lpi[p] = NULL;
	}
}

/* ---- what guest memory says ---- */

int vgic_update_lpi_config(struct kvm *kvm, struct vgic_irq *irq)
{
	u64 propbaser = __atomic_load_n(&kvm->arch.vgic.propbaser, __ATOMIC_ACQUIRE);
	struct vgic_cpu *home;
	u8 prop;
	int ret = kvm_read_guest(kvm, BASER_ADDRESS(propbaser) + irq->intid - VGIC_MIN_LPI, &prop, 1);

	if (ret)
		return ret;
	home = vgic_irq_lock(irq);
	irq->priority = prop & VGIC_PRI_MASK;
	irq->enabled = prop & LPI_PROP_ENABLE;
	vgic_queue_irq_unlock(kvm, irq, home);
	return 0;
}

static gpa_t pending_byte(struct kvm_vcpu *vcpu, u32 intid)
{
	return PENDBASER_ADDRESS(vcpu->arch.vgic_cpu.pendbaser) + intid / 8;
}

/* The bit in the target's pending table becomes the LPI's state and is cleared. */
static int sync_pending_status(struct kvm *kvm, struct vgic_irq *irq, struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *home;
	u8 val, bit = (u8)(1u << irq->intid % 8);
	int ret;

	if (!vcpu)
		return 0;
	ret = kvm_read_guest(kvm, pending_byte(vcpu, irq->intid), &val, 1);
	if (ret)
		return ret;
	home = vgic_irq_lock(irq);
	if (irq->target_vcpu == vcpu)
		irq->pending_latch = val & bit;
	vgic_queue_irq_unlock(kvm, irq, home);
	if (!(val & bit))
		return 0;
	val &= (u8)~bit;
	return kvm_write_guest(kvm, pending_byte(vcpu, irq->intid), &val, 1);
}

/* ---- mappings ---- */

void vgic_put_lpi(struct kvm *kvm, struct vgic_irq *irq)
{
	pthread_mutex_lock(&kvm->arch.vgic.lpi_lock);
	if (!__atomic_sub_fetch(&irq->lpi_refs, 1, __ATOMIC_ACQ_REL)) {
		vgic_irq_clear(kvm, irq);
		vgic_irq_set_target(kvm, irq, NULL);
	}
	pthread_mutex_unlock(&kvm->arch.vgic.lpi_lock);
}

struct vgic_irq *vgic_add_lpi(struct kvm *kvm, u32 intid, struct kvm_vcpu *target, int *err)
{
	struct vgic_irq *irq = NULL;
	bool first = false;

	*err = intid < VGIC_MIN_LPI || intid >= VGIC_NR_LPI_IDS ? -EINVAL : -ENOMEM;
	if (*err == -EINVAL)
		return NULL;
	pthread_mutex_lock(&kvm->arch.vgic.lpi_lock);
	irq = make_lpi(kvm, intid);
	if (irq) {
		first = __atomic_add_fetch(&irq->lpi_refs, 1, __ATOMIC_ACQ_REL) == 1;
		if (first)
			vgic_irq_set_target(kvm, irq, target);
	}
	pthread_mutex_unlock(&kvm->arch.vgic.lpi_lock);
	if (!irq || !first)
		return irq;
	*err = vgic_update_lpi_config(kvm, irq);
	if (!*err)
		*err = sync_pending_status(kvm, irq, target);
	if (!*err)
		return irq;
	vgic_put_lpi(kvm, irq);
	return NULL;
}

static int sync_if_of(struct kvm *kvm, struct vgic_irq *irq, void *vcpu)
{
	return irq->target_vcpu == vcpu ? sync_pending_status(kvm, irq, vcpu) : 0;
}

void vgic_enable_lpis(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->arch.vgic_cpu.pendbaser & 1ull << 62)) /* PTZ: the guest says that the table is all zero */
		for_each_lpi(vcpu->kvm, sync_if_of, vcpu);
}

static int forget_if_of(struct kvm *kvm, struct vgic_irq *irq, void *vcpu)
{
	struct vgic_cpu *home = vgic_irq_lock(irq);

	if (irq->target_vcpu == vcpu)
		irq->pending_latch = false;
	vgic_queue_irq_unlock(kvm, irq, home);
	return 0;
}

void vgic_flush_pending_lpis(struct kvm_vcpu *vcpu)
{
	for_each_lpi(vcpu->kvm, forget_if_of, vcpu);
}

void vgic_its_inv_lpi(struct kvm *kvm, u32 intid)
{
	struct vgic_irq *irq = intid < VGIC_MIN_LPI ? NULL : vgic_get_irq(kvm, NULL, intid);

	if (irq && __atomic_load_n(&irq->lpi_refs, __ATOMIC_ACQUIRE))
		vgic_update_lpi_config(kvm, irq);
}

static int update_if_of(struct kvm *kvm, struct vgic_irq *irq, void *vcpu)
{
	if (irq->target_vcpu == vcpu)
		vgic_update_lpi_config(kvm, irq);
	return 0;
}

void vgic_its_invall(struct kvm_vcpu *vcpu)
{
	for_each_lpi(vcpu->kvm, update_if_of, vcpu);
}

static int move_if_of(struct kvm *kvm, struct vgic_irq *irq, void *vcpus)
{
	struct kvm_vcpu **from_to = vcpus;

	if (irq->target_vcpu == from_to[0])
		vgic_irq_set_target(kvm, irq, from_to[1]);
	return 0;
}

void vgic_lpis_move_all(struct kvm *kvm, struct kvm_vcpu *from, struct kvm_vcpu *to)
{
	struct kvm_vcpu *from_to[2] = { from, to };

	for_each_lpi(kvm, move_if_of, from_to);
}

static int save_pending(struct kvm *kvm, struct vgic_irq *irq, void *arg)
{
	struct vgic_cpu *home = vgic_irq_lock(irq);
	struct kvm_vcpu *vcpu = irq->target_vcpu;
	bool pending = irq->pending_latch;
	u8 val, next, bit = (u8)(1u << irq->intid % 8);
	int ret;

	vgic_irq_unlock(home);
	if (!vcpu)
		return 0;
	ret = kvm_read_guest(kvm, pending_byte(vcpu, irq->intid), &val, 1);
	if (ret)
		return ret;
	next = pending ? val | bit : val & (u8)~bit;
	return next == val ? 0 : kvm_write_guest(kvm, pending_byte(vcpu, irq->intid), &next, 1);
}

int vgic_v3_save_pending_tables(struct kvm *kvm)
{
	return vgic_initialized(kvm) ? for_each_lpi(kvm, save_pending, NULL) : -ENXIO;
}
