/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU interface that GICv2 (memory-mapped) and GICv3 (system registers) have in common: what is
 * signalled, acknowledge, end of
 * interrupt, priorities. Source: IHI 0069, 4.8 (priorities), 12 (registers); with one Security state
 * (GICD_CTLR.DS = 1), so
 * Group 0 is signalled as FIQ and Group 1 as IRQ (a GICv2: Group 0 as FIQ where GICC_CTLR.FIQEn says so).
 *
 * Active priorities are bits of apr[group], one for each of the 32 preemption levels: acknowledging sets the
 * interrupt's, ending clears the
 * highest there is. Priority 0 is the highest.
 */
#include "arch/arm64/vgic/vgic.h"

static struct vgic_cpu *vgic_cpu_of(struct kvm_vcpu *vcpu)
{
	return &vcpu->arch.vgic_cpu;
}

void vgic_cpuif_changed(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vgic_cpu_of(vcpu)->changed, true, __ATOMIC_RELEASE);
}

void vgic_cpuif_reset(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = vgic_cpu_of(vcpu);

	cpu->vmcr = (struct vgic_vmcr){ .bpr = VGIC_BPR0_MIN, .abpr = VGIC_BPR1_MIN, .fiqen = vgic_is_v3(vcpu->kvm) };
	cpu->apr[0] = cpu->apr[1] = 0;
	cpu->num_pri_bits = VGIC_PRI_BITS;
	cpu->num_id_bits = 0; /* 16 bits */
	vgic_cpuif_changed(vcpu);
}

/* ---- priorities ---- */

u8 vgic_vmcr_bpr1(const struct vgic_vmcr *vmcr)
{
	return vmcr->cbpr ? MIN(vmcr->bpr + 1, 7) : vmcr->abpr;
}

/* The part of a priority that counts for preemption. */
static u8 pri_to_pre(const struct vgic_vmcr *vmcr, u8 pri, unsigned grp)
{
	unsigned bpr = grp ? vgic_vmcr_bpr1(vmcr) : vmcr->bpr + 1u;

	return (u8)(pri & 0xffu << bpr);
}

static u8 highest_active_priority(const struct vgic_cpu *cpu)
{
	u32 apr = cpu->apr[0] | cpu->apr[1];

	return apr ? (u8)(__builtin_ctz(apr) << (8 - VGIC_PRI_BITS)) : VGIC_IDLE_PRIORITY;
}

static void set_active_priority(struct vgic_cpu *cpu, u8 pri, unsigned grp)
{
	cpu->apr[grp] |= 1u << (pri_to_pre(&cpu->vmcr, pri, grp) >> (8 - VGIC_PRI_BITS));
}

static void drop_priority(struct vgic_cpu *cpu)
{
	unsigned grp = cpu->apr[1] &&
		       (!cpu->apr[0] || __builtin_ctz(cpu->apr[1]) <= __builtin_ctz(cpu->apr[0]));

	cpu->apr[grp] &= cpu->apr[grp] - 1;
}

u8 vgic_cpuif_rpr(struct kvm_vcpu *vcpu)
{
	return highest_active_priority(vgic_cpu_of(vcpu));
}

/* ---- what is pending. cpu->lock is held ---- */

static bool may_signal(const struct vgic_cpu *cpu, const struct vgic_irq *irq)
{
	bool group_on = irq->group ? cpu->vmcr.grpen1 : cpu->vmcr.grpen0;

	return group_on && !irq->active && irq->enabled && irq_is_pending(irq);
}

static struct vgic_irq *highest_pending(struct vgic_cpu *cpu)
{
	struct vgic_irq *irq, *best = NULL;

	if (!__atomic_load_n(&cpu->vcpu->kvm->arch.vgic.enabled, __ATOMIC_ACQUIRE))
		return NULL;
	list_for_each_entry(irq, &cpu->ap_list_head, ap_list)
		if (may_signal(cpu, irq) && (!best || irq->priority < best->priority))
			best = irq;
	return best;
}

/* The one that is signalled: not masked, and it preempts what is active. */
static struct vgic_irq *signalled(struct vgic_cpu *cpu)
{
	struct vgic_irq *irq = highest_pending(cpu);

	if (!irq || irq->priority >= cpu->vmcr.pmr)
		return NULL;
	return pri_to_pre(&cpu->vmcr, irq->priority, irq->group) < highest_active_priority(cpu) ? irq : NULL;
}

/* ---- towards the CPU ---- */

void kvm_vgic_flush_hwstate(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = vgic_cpu_of(vcpu);
	struct arm64_state *state;
	struct vgic_irq *irq;
	bool fiq;

	if (!__atomic_load_n(&cpu->changed, __ATOMIC_ACQUIRE) || !irqchip_in_kernel(vcpu->kvm))
		return;
	__atomic_store_n(&cpu->changed, false, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&cpu->lock);
	irq = signalled(cpu);
	fiq = irq && !irq->group && cpu->vmcr.fiqen;
	pthread_mutex_unlock(&cpu->lock);
	state = hyp_arm64_state(vcpu->hyp);
	state->vi = irq && !fiq;
	state->vf = fiq;
}

bool kvm_vgic_vcpu_pending_irq(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = vgic_cpu_of(vcpu);
	bool pending;

	if (!vgic_initialized(vcpu->kvm))
		return false;
	pthread_mutex_lock(&cpu->lock);
	pending = signalled(cpu) != NULL;
	pthread_mutex_unlock(&cpu->lock);
	return pending;
}

/* ---- acknowledge ---- */

/* One of the CPUs that sent a GICv2's SGI; the others stay pending. Its number in its place in IAR. */
static u32 take_source(struct vgic_irq *irq)
{
	u32 cpu = (u32)__builtin_ctz(irq->source);

	irq->active_source = (u8)cpu;
	irq->source &= irq->source - 1;
	irq->pending_latch = irq->source != 0;
	return cpu << 10;
}

/* Pending becomes active; an LPI has no active state. */
static u32 acknowledge(struct vgic_cpu *cpu, struct vgic_irq *irq)
{
	u32 iar = irq->intid;

	set_active_priority(cpu, irq->priority, irq->group);
	if (vgic_is_v2_sgi(cpu->vcpu->kvm, irq->intid) && irq->source)
		iar |= take_source(irq);
	else
		irq->pending_latch = false;
	if (irq->intid < VGIC_MIN_LPI)
		irq->active = true;
	else
		list_del(&irq->ap_list);
	return iar;
}

/* A GICv2 says that there is one of the other group, a GICv3 does not. */
static u32 not_of_group(struct kvm_vcpu *vcpu, unsigned grp)
{
	return grp || vgic_is_v3(vcpu->kvm) ? VGIC_INTID_SPURIOUS : VGIC_INTID_GROUP1;
}

u32 vgic_cpuif_iar(struct kvm_vcpu *vcpu, unsigned grp)
{
	struct vgic_cpu *cpu = vgic_cpu_of(vcpu);
	u32 iar = VGIC_INTID_SPURIOUS;
	struct vgic_irq *irq;

	pthread_mutex_lock(&cpu->lock);
	irq = signalled(cpu);
	if (irq)
		iar = irq->group == grp || (irq->group && cpu->vmcr.ackctl) ? acknowledge(cpu, irq)
									    : not_of_group(vcpu, grp);
	pthread_mutex_unlock(&cpu->lock);
	vgic_cpuif_changed(vcpu);
	return iar;
}

u32 vgic_cpuif_hppir(struct kvm_vcpu *vcpu, unsigned grp)
{
	struct vgic_cpu *cpu = vgic_cpu_of(vcpu);
	u32 intid = VGIC_INTID_SPURIOUS;
	struct vgic_irq *irq;

	pthread_mutex_lock(&cpu->lock);
	irq = highest_pending(cpu);
	if (irq && (irq->group == grp || (irq->group && cpu->vmcr.ackctl)))
		intid = irq->intid | (irq->source ? (u32)__builtin_ctz(irq->source) << 10 : 0);
	else if (irq)
		intid = not_of_group(vcpu, grp);
	pthread_mutex_unlock(&cpu->lock);
	return intid;
}

/* ---- end ---- */

static void deactivate(struct kvm_vcpu *vcpu, u32 intid)
{
	struct vgic_irq *irq = intid < VGIC_MIN_LPI ? vgic_get_irq(vcpu->kvm, vcpu, intid) : NULL;
	struct vgic_cpu *home;
	bool was_active, level;

	if (!irq)
		return;
	home = vgic_irq_lock(irq);
	was_active = irq->active;
	level = irq->config == VGIC_CONFIG_LEVEL;
	irq->active = false;
	vgic_queue_irq_unlock(vcpu->kvm, irq, home);
	if (was_active && level && vgic_valid_spi(vcpu->kvm, intid))
		kvm_notify_acked_irq(vcpu->kvm, 0, intid - VGIC_NR_PRIVATE_IRQS);
}

/* Special INTIDs: nothing was acknowledged. */
static bool is_special(u32 intid)
{
	return intid > VGIC_MAX_SPI && intid < VGIC_MIN_LPI;
}

void vgic_cpuif_eoir(struct kvm_vcpu *vcpu, u32 intid)
{
	struct vgic_cpu *cpu = vgic_cpu_of(vcpu);

	if (is_special(intid))
		return;
	drop_priority(cpu);
	vgic_cpuif_changed(vcpu);
	if (!cpu->vmcr.eoim)
		deactivate(vcpu, intid);
}

void vgic_cpuif_dir(struct kvm_vcpu *vcpu, u32 intid)
{
	if (vgic_cpu_of(vcpu)->vmcr.eoim)
		deactivate(vcpu, intid);
}
