/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM_ARM_VCPU_PMU_V3_CTRL (Documentation/virt/kvm/devices/vcpu.rst, 1): the overflow interrupt, what may be
 * counted, and INIT, after which neither changes. A VM has one monitor, the software CPU's.
 */
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include "arch/arm64/sys_regs.h"

#define PMU_EVENTS 0x10000u /* 16 bits of event number, whatever PMUVer the VM is given */
#define FILTER_WORDS (PMU_EVENTS / 64)

/*
 * The only PMU there is, by the number that an x86 host gives its CPUs':
 * /sys/bus/event_source/devices/cpu/type.
 */
#define PMU_ID PERF_TYPE_RAW

void kvm_pmu_init_vm(struct kvm *kvm)
{
	if (kvm->arch.vcpu_features & 1u << KVM_ARM_VCPU_PMU_V3)
		kvm->arch.pmu.n = PMU_EVENT_COUNTERS;
}

void kvm_pmu_destroy_vm(struct kvm *kvm)
{
	free(kvm->arch.pmu.filter);
}

/*
 * ---- the interrupt
 * --------------------------------------------------------------------------------------
 */

/* A PPI is the same on all vCPUs, an SPI on none. */
static bool irq_is_valid(struct kvm *kvm, int irq)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (kvm_arm_pmu_irq_initialized(vcpu) &&
		    (vcpu->arch.pmu.irq_num == irq) != irq_is_ppi((u32)irq))
			return false;
	return true;
}

static int set_irq(struct kvm_vcpu *vcpu, u64 addr)
{
	int irq;

	if (!irqchip_in_kernel(vcpu->kvm))
		return -EINVAL;
	if (copy_from_client(&irq, addr, sizeof(irq)))
		return -EFAULT;
	if (!irq_is_ppi((u32)irq) && !irq_is_spi((u32)irq))
		return -EINVAL;
	if (!irq_is_valid(vcpu->kvm, irq))
		return -EINVAL;
	if (kvm_arm_pmu_irq_initialized(vcpu))
		return -EBUSY;
	vcpu->arch.pmu.irq_num = irq;
	return 0;
}

static int init(struct kvm_vcpu *vcpu, u64 addr)
{
	int ret = 0;

	if (irqchip_in_kernel(vcpu->kvm)) {
		if (!vgic_initialized(vcpu->kvm))
			return -ENODEV;
		if (!kvm_arm_pmu_irq_initialized(vcpu))
			return -ENXIO;
		ret = kvm_vgic_set_owner(vcpu, (unsigned)vcpu->arch.pmu.irq_num, &vcpu->arch.pmu);
	}
	if (!ret)
		vcpu->arch.pmu.created = true;
	return ret;
}

/*
 * ---- the filter
 * -----------------------------------------------------------------------------------------
 */

static void filter_range(u64 *filter, const struct kvm_pmu_event_filter *f)
{
	for (u32 event = f->base_event; event < (u32)f->base_event + f->nevents; event++) {
		u64 bit = BIT_ULL(event % 64), *word = &filter[event / 64];

		*word = f->action == KVM_PMU_EVENT_ALLOW ? *word | bit : *word & ~bit;
	}
}

/* The first filter says what becomes of events that none names: the opposite. */
static int set_filter(struct kvm_vcpu *vcpu, u64 addr)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_pmu_event_filter f;
	u64 *filter = kvm->arch.pmu.filter;

	if (copy_from_client(&f, addr, sizeof(f)))
		return -EFAULT;
	if ((u32)f.base_event + f.nevents > PMU_EVENTS ||
	    (f.action != KVM_PMU_EVENT_ALLOW && f.action != KVM_PMU_EVENT_DENY))
		return -EINVAL;
	if (kvm_vm_has_ran_once(kvm))
		return -EBUSY;
	if (!filter) {
		filter = malloc(FILTER_WORDS * sizeof(*filter));
		if (!filter)
			return -ENOMEM;
		memset(filter, f.action == KVM_PMU_EVENT_ALLOW ? 0 : 0xff, FILTER_WORDS * sizeof(*filter));
		__atomic_store_n(&kvm->arch.pmu.filter, filter, __ATOMIC_RELEASE);
	}
	filter_range(filter, &f);
	return 0;
}

/* The counters that there are, each with its number as PMCEID<n>_EL0 counts them. */
static const u16 events[] = { PMU_SW_INCR, PMU_EXC_TAKEN, PMU_EXC_RETURN, PMU_CPU_CYCLES, PMU_CHAIN };

u64 kvm_pmu_get_pmceid(struct kvm_vcpu *vcpu, bool pmceid1)
{
	const u64 *filter = __atomic_load_n(&vcpu->kvm->arch.pmu.filter, __ATOMIC_ACQUIRE);
	u64 val = 0;

	for (size_t i = 0; i < ARRAY_SIZE(events) && !pmceid1; i++)
		if (!filter || filter[events[i] / 64] >> events[i] % 64 & 1)
			val |= BIT_ULL(events[i]);
	return val;
}

static int set_pmu(struct kvm_vcpu *vcpu, u64 addr)
{
	struct kvm *kvm = vcpu->kvm;
	int id;

	if (copy_from_client(&id, addr, sizeof(id)))
		return -EFAULT;
	if (id != PMU_ID)
		return -ENXIO;
	if (kvm_vm_has_ran_once(kvm))
		return -EBUSY;
	__atomic_store_n(&kvm->arch.pmu.n, PMU_EVENT_COUNTERS, __ATOMIC_RELAXED);
	return 0;
}

/*
 * ---- the group
 * -------------------------------------------------------------------------------------------
 */

static int (*const setters[])(struct kvm_vcpu *vcpu, u64 addr) = {
	[KVM_ARM_VCPU_PMU_V3_IRQ] = set_irq,
	[KVM_ARM_VCPU_PMU_V3_INIT] = init,
	[KVM_ARM_VCPU_PMU_V3_FILTER] = set_filter,
	[KVM_ARM_VCPU_PMU_V3_SET_PMU] = set_pmu,
};

/* config_lock held. */
static int set_attr_locked(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	if (!kvm_vcpu_has_pmu(vcpu))
		return -ENODEV;
	if (vcpu->arch.pmu.created)
		return -EBUSY;
	return attr->attr < ARRAY_SIZE(setters) ? setters[attr->attr](vcpu, attr->addr) : -ENXIO;
}

static int pmu_set_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	int ret;

	pthread_mutex_lock(&vcpu->kvm->arch.config_lock);
	ret = set_attr_locked(vcpu, attr);
	pthread_mutex_unlock(&vcpu->kvm->arch.config_lock);
	return ret;
}

static int pmu_get_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	if (attr->attr != KVM_ARM_VCPU_PMU_V3_IRQ)
		return -ENXIO;
	if (!irqchip_in_kernel(vcpu->kvm))
		return -EINVAL;
	if (!kvm_vcpu_has_pmu(vcpu))
		return -ENODEV;
	if (!kvm_arm_pmu_irq_initialized(vcpu))
		return -ENXIO;
	return copy_to_client(attr->addr, &vcpu->arch.pmu.irq_num, sizeof(vcpu->arch.pmu.irq_num));
}

static int pmu_has_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	return kvm_vcpu_has_pmu(vcpu) && attr->attr < ARRAY_SIZE(setters) ? 0 : -ENXIO;
}

const struct vcpu_attr_group kvm_pmu_attrs = { KVM_ARM_VCPU_PMU_V3_CTRL, pmu_set_attr, pmu_get_attr,
					       pmu_has_attr };
