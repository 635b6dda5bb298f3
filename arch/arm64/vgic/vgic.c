/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the virtual GIC: their state, whose they are, who is told. Source: Arm IHI 0069 (GICv3, v4)
 * and IHI 0048
 * (GICv2). Names are Linux's (arch/arm64/kvm/vgic); the mechanism is not, because there are no list
 * registers here: the CPU
 * interface is emulated (cpuif.c), so an interrupt's one and only state is its struct vgic_irq.
 *
 * Every interrupt has a home, the struct vgic_cpu whose lock guards it and on whose ap_list it is while it
 * is active, or enabled
 * and pending. So what a CPU does with its own interrupts (acknowledge, end) takes one lock, which others
 * only take to send it
 * something, and looks at a list of the few interrupts that matter now, never at all of them. An interrupt
 * moves home to its target
 * when it is not active. Moving takes no second lock: it leaves the old home's list, home changes, and it is
 * queued anew:
 *
 *	vgic_irq_lock:	home = irq->home; lock(home); if irq->home is no longer home: unlock, once more
 *	move:		(old home locked) off the list; irq->home = next; unlock; vgic_irq_lock; on the list
 *
 * In between it is on no list; whoever gets the lock meanwhile may queue it as well, which is the same. SPIs
 * and LPIs without a
 * target are at home with dist->nobody, which is no vCPU's.
 *
 * Example: SPI 40, level, routed to CPU 1, raised by a device's thread. Home is CPU 1's: lock, line_level =
 * true, it is pending and
 * enabled: onto the list, `changed`, unlock, KVM_REQ_IRQ_PENDING and a kick for CPU 1. That one leaves the
 * guest, finds `changed` before the
 * next entry, picks the interrupt of highest priority from its list and sets state->vi. The guest takes an
 * IRQ, reads ICC_IAR1_EL1: active.
 * Its EOI: inactive, and as the line is still high, pending again.
 *
 * Locks, outermost first: kvm->lock, vcpu->mutex, kvm->slots_lock, dist->config_lock, the ITS's (its.h),
 * dist->lpi_lock, vgic_cpu.lock.
 * Two vgic_cpu.locks are never held together, and nothing is called with one.
 */
#include <stdlib.h>

#include "arch/arm64/vgic/vgic.h"

static struct vgic_irq *get_lpi(struct vgic_dist *dist, u32 intid)
{
	u32 n = intid - VGIC_MIN_LPI;
	struct vgic_irq **page;

	if (intid < VGIC_MIN_LPI || intid >= VGIC_NR_LPI_IDS)
		return NULL;
	page = __atomic_load_n(&dist->lpi[n / VGIC_LPI_PAGE], __ATOMIC_ACQUIRE);
	return page ? __atomic_load_n(&page[n % VGIC_LPI_PAGE], __ATOMIC_ACQUIRE) : NULL;
}

struct vgic_irq *vgic_get_irq(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid)
{
	struct vgic_dist *dist = &kvm->arch.vgic;

	if (intid < VGIC_NR_PRIVATE_IRQS)
		return vcpu && vcpu->arch.vgic_cpu.private_irqs ? &vcpu->arch.vgic_cpu.private_irqs[intid]
								: NULL;
	if (vgic_valid_spi(kvm, intid))
		return dist->spis ? &dist->spis[intid - VGIC_NR_PRIVATE_IRQS] : NULL;
	return get_lpi(dist, intid);
}

static struct vgic_cpu *target_home(struct kvm *kvm, struct kvm_vcpu *target)
{
	return target ? &target->arch.vgic_cpu : &kvm->arch.vgic.nobody;
}

void vgic_cpu_setup(struct vgic_cpu *cpu, struct kvm_vcpu *vcpu)
{
	pthread_mutex_init(&cpu->lock, NULL);
	list_init(&cpu->ap_list_head);
	cpu->vcpu = vcpu;
}

void vgic_irq_setup(struct kvm *kvm, struct vgic_irq *irq, u32 intid, struct kvm_vcpu *target)
{
	list_init(&irq->ap_list);
	irq->intid = intid;
	irq->target_vcpu = target;
	irq->home = target_home(kvm, target);
}

/* ---- home and queue ---- */

struct vgic_cpu *vgic_irq_lock(struct vgic_irq *irq)
{
	for (;;) {
		struct vgic_cpu *home = __atomic_load_n(&irq->home, __ATOMIC_ACQUIRE);

		pthread_mutex_lock(&home->lock);
		if (__atomic_load_n(&irq->home, __ATOMIC_RELAXED) == home)
			return home;
		pthread_mutex_unlock(&home->lock);
	}
}

void vgic_irq_unlock(struct vgic_cpu *home)
{
	pthread_mutex_unlock(&home->lock);
}

static bool is_deliverable(const struct vgic_irq *irq)
{
	return irq->enabled && irq_is_pending(irq);
}

static void set_changed(struct vgic_cpu *cpu)
{
	__atomic_store_n(&cpu->changed, true, __ATOMIC_RELEASE);
}

static void update_ap_list(struct vgic_irq *irq, struct vgic_cpu *home)
{
	bool wanted = irq->active || is_deliverable(irq);

	if (wanted == list_empty(&irq->ap_list)) {
		if (wanted)
			list_add_tail(&irq->ap_list, &home->ap_list_head);
		else
			list_del(&irq->ap_list);
	}
	set_changed(home);
}

/* Its home becomes that of its target; returns that, locked. */
static struct vgic_cpu *go_home(struct kvm *kvm, struct vgic_irq *irq, struct vgic_cpu *home)
{
	struct vgic_cpu *next;

	while (!irq->active && (next = target_home(kvm, irq->target_vcpu)) != home) {
		list_del(&irq->ap_list);
		set_changed(home);
		__atomic_store_n(&irq->home, next, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&home->lock);
		home = vgic_irq_lock(irq);
	}
	return home;
}

static void tell(struct kvm_vcpu *vcpu)
{
	if (!vcpu || vcpu == kvm_get_running_vcpu())
		return; /* it looks before it enters the guest */
	kvm_make_request(KVM_REQ_IRQ_PENDING, vcpu);
	kvm_vcpu_kick(vcpu);
}

void vgic_queue_irq_unlock(struct kvm *kvm, struct vgic_irq *irq, struct vgic_cpu *home)
{
	bool wake;

	home = go_home(kvm, irq, home);
	update_ap_list(irq, home);
	wake = is_deliverable(irq) && !irq->active;
	pthread_mutex_unlock(&home->lock);
	if (wake)
		tell(home->vcpu);
}

void vgic_irq_set_target(struct kvm *kvm, struct vgic_irq *irq, struct kvm_vcpu *target)
{
	struct vgic_cpu *home = vgic_irq_lock(irq);

	irq->target_vcpu = target;
	vgic_queue_irq_unlock(kvm, irq, home);
}

void vgic_irq_clear(struct kvm *kvm, struct vgic_irq *irq)
{
	struct vgic_cpu *home = vgic_irq_lock(irq);

	irq->enabled = irq->active = irq->pending_latch = irq->line_level = false;
	vgic_queue_irq_unlock(kvm, irq, home);
}

void vgic_irq_make_pending(struct kvm *kvm, struct vgic_irq *irq)
{
	struct vgic_cpu *home = vgic_irq_lock(irq);

	irq->pending_latch = true;
	vgic_queue_irq_unlock(kvm, irq, home);
}

void vgic_kick_vcpus(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		set_changed(&vcpu->arch.vgic_cpu);
		tell(vcpu);
	}
}

/* ---- lines from devices ---- */

/* A level's change, or an edge; by its owner. */
static bool vgic_validate_injection(const struct vgic_irq *irq, bool level, void *owner)
{
	if (irq->owner != owner)
		return false;
	return irq->config == VGIC_CONFIG_LEVEL ? irq->line_level != level : level;
}

static void vgic_inject(struct kvm *kvm, struct vgic_irq *irq, bool level, void *owner)
{
	struct vgic_cpu *home = vgic_irq_lock(irq);

	if (!vgic_validate_injection(irq, level, owner)) {
		vgic_irq_unlock(home);
		return;
	}
	if (irq->config == VGIC_CONFIG_LEVEL)
		irq->line_level = level;
	else
		irq->pending_latch = true;
	vgic_queue_irq_unlock(kvm, irq, home);
}

int kvm_vgic_inject_irq(struct kvm *kvm, struct kvm_vcpu *vcpu, unsigned intid, bool level, void *owner)
{
	struct vgic_irq *irq;
	int ret = vgic_lazy_init(kvm);

	if (ret)
		return ret;
	irq = vgic_get_irq(kvm, vcpu, intid);
	if (!irq)
		return -EINVAL;
	vgic_inject(kvm, irq, level, owner);
	return 0;
}

int kvm_vgic_set_owner(struct kvm_vcpu *vcpu, unsigned intid, void *owner)
{
	struct vgic_irq *irq;
	struct vgic_cpu *home;
	int ret = 0;

	if (!vgic_initialized(vcpu->kvm))
		return -EAGAIN;
	if (!irq_is_ppi(intid) && !vgic_valid_spi(vcpu->kvm, intid))
		return -EINVAL;
	irq = vgic_get_irq(vcpu->kvm, vcpu, intid);
	home = vgic_irq_lock(irq);
	if (irq->owner && irq->owner != owner)
		ret = -EEXIST;
	else
		irq->owner = owner;
	vgic_irq_unlock(home);
	return ret;
}

void kvm_vgic_reset_mapped_irq(struct kvm_vcpu *vcpu, u32 vintid)
{
	struct vgic_irq *irq = vgic_get_irq(vcpu->kvm, vcpu, vintid);
	struct vgic_cpu *home;

	if (!irq)
		return;
	home = vgic_irq_lock(irq);
	irq->active = irq->pending_latch = irq->line_level = false;
	vgic_queue_irq_unlock(vcpu->kvm, irq, home);
}
