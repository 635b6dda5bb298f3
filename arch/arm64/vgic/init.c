/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of the virtual GIC. Three steps, as in Linux: create (the type is known: in_kernel), init (sizes are
 * known and fixed:
 * initialized), map (all addresses are known, on the first KVM_RUN: ready). A GICv2 initializes itself when
 * it is first used, a GICv3
 * must be told to (KVM_DEV_ARM_VGIC_CTRL_INIT).
 */
#include <stdlib.h>

#include "arch/arm64/vgic/its.h"

static const struct {
	u32 type;
	const struct kvm_device_ops *ops;
} device_types[] = {
	{ KVM_DEV_TYPE_ARM_VGIC_V2, &kvm_arm_vgic_v2_ops },
	{ KVM_DEV_TYPE_ARM_VGIC_V3, &kvm_arm_vgic_v3_ops },
	{ KVM_DEV_TYPE_ARM_VGIC_ITS, &kvm_arm_vgic_its_ops },
};

int kvm_vgic_hyp_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(device_types); i++) {
		int ret = kvm_register_device_ops(device_types[i].ops, device_types[i].type);

		while (ret && i--)
			kvm_unregister_device_ops(device_types[i].type);
		if (ret)
			return ret;
	}
	return 0;
}

void kvm_vgic_hyp_exit(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(device_types); i++)
		kvm_unregister_device_ops(device_types[i].type);
}

void kvm_vgic_early_init(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;

	pthread_mutex_init(&dist->config_lock, NULL);
	pthread_mutex_init(&dist->lpi_lock, NULL);
	list_init(&dist->rd_regions);
	list_init(&dist->its_list);
	vgic_cpu_setup(&dist->nobody, NULL);
	dist->vgic_dist_base = dist->vgic_cpu_base = VGIC_ADDR_UNDEF;
	dist->dist_iodev.base_addr = dist->cpu_iodev.base_addr = VGIC_ADDR_UNDEF;
}

/* ---- create ---- */

bool lock_all_vcpus(struct kvm *kvm)
{
	u32 n = kvm_online_vcpus(kvm);

	for (u32 i = 0; i < n; i++)
		if (pthread_mutex_trylock(&kvm->vcpus[i]->mutex)) {
			while (i--)
				pthread_mutex_unlock(&kvm->vcpus[i]->mutex);
			return false;
		}
	return true;
}

void unlock_all_vcpus(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		pthread_mutex_unlock(&vcpu->mutex);
}

static int create_locked(struct kvm *kvm, u32 type)
{
	u32 max = type == KVM_DEV_TYPE_ARM_VGIC_V2 ? VGIC_V2_MAX_CPUS : VGIC_V3_MAX_CPUS, i;
	struct kvm_vcpu *vcpu;

	if (irqchip_in_kernel(kvm))
		return -EEXIST;
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu_has_run_once(vcpu))
			return -EBUSY;
	kvm->max_vcpus = max;
	if (kvm_online_vcpus(kvm) > max)
		return -E2BIG;
	kvm->arch.vgic.vgic_model = type;
	__atomic_store_n(&kvm->arch.vgic.in_kernel, true, __ATOMIC_RELEASE);
	return 0;
}

int kvm_vgic_create(struct kvm *kvm, u32 type)
{
	int ret;

	if (!lock_all_vcpus(kvm))
		return -EBUSY;
	pthread_mutex_lock(&kvm->arch.vgic.config_lock);
	ret = create_locked(kvm, type);
	pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
	unlock_all_vcpus(kvm);
	return ret;
}

/* ---- vCPUs ---- */

/* SGIs are edges and always enabled, PPIs are levels. Caller holds config_lock. */
static int alloc_private_irqs(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;
	struct vgic_irq *irqs;

	if (cpu->private_irqs)
		return 0;
	irqs = calloc(VGIC_NR_PRIVATE_IRQS, sizeof(*irqs));
	if (!irqs)
		return -ENOMEM;
	for (u32 i = 0; i < VGIC_NR_PRIVATE_IRQS; i++) {
		vgic_irq_setup(vcpu->kvm, &irqs[i], i, vcpu);
		irqs[i].enabled = i < VGIC_NR_SGIS;
		irqs[i].config = i < VGIC_NR_SGIS ? VGIC_CONFIG_EDGE : VGIC_CONFIG_LEVEL;
	}
	cpu->private_irqs = irqs;
	return 0;
}

int kvm_vgic_vcpu_init(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	int ret;

	vgic_cpu_setup(&vcpu->arch.vgic_cpu, vcpu);
	vcpu->arch.vgic_cpu.rd_iodev.base_addr = VGIC_ADDR_UNDEF;
	if (!irqchip_in_kernel(kvm))
		return 0;
	pthread_mutex_lock(&kvm->slots_lock);
	pthread_mutex_lock(&kvm->arch.vgic.config_lock);
	ret = alloc_private_irqs(vcpu);
	pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
	if (!ret && vgic_is_v3(kvm))
		ret = vgic_register_redist_iodev(vcpu);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

void kvm_vgic_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;

	if (!cpu->vcpu)
		return; /* its creation failed before kvm_vgic_vcpu_init */
	pthread_mutex_lock(&vcpu->kvm->slots_lock);
	vgic_unregister_redist_iodev(vcpu);
	pthread_mutex_unlock(&vcpu->kvm->slots_lock);
	free(cpu->private_irqs);
	cpu->private_irqs = NULL;
	pthread_mutex_destroy(&cpu->lock);
}

/* ---- init ---- */

static int init_spis(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	struct kvm_vcpu *vcpu0 = kvm_get_vcpu(kvm, 0);
	struct vgic_irq *spis = calloc(dist->nr_spis, sizeof(*spis));

	if (!spis)
		return -ENOMEM;
	for (u32 i = 0; i < dist->nr_spis; i++) {
		vgic_irq_setup(kvm, &spis[i], i + VGIC_NR_PRIVATE_IRQS, vcpu0);
		spis[i].group = vgic_is_v3(kvm);
	}
	dist->spis = spis;
	return 0;
}

#define INITIAL_PENDBASER 0x0580ull /* inner shareable, inner cacheability read-allocate write-back */

static int init_vcpus(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 n;

	kvm_for_each_vcpu(n, vcpu, kvm) {
		struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;
		int ret = alloc_private_irqs(vcpu);

		if (ret)
			return ret;
		for (u32 i = 0; i < VGIC_NR_PRIVATE_IRQS; i++) {
			cpu->private_irqs[i].group = vgic_is_v3(kvm);
			cpu->private_irqs[i].targets = vgic_is_v3(kvm) ? 0 : (u8)(1u << n);
		}
		vgic_cpuif_reset(vcpu);
		cpu->pendbaser = vgic_is_v3(kvm) ? INITIAL_PENDBASER : 0;
	}
	return 0;
}

int vgic_init(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	int ret;

	if (vgic_initialized(kvm))
		return 0;
	if (kvm->created_vcpus != kvm_online_vcpus(kvm))
		return -EBUSY;
	if (!dist->nr_spis)
		dist->nr_spis = VGIC_NR_IRQS_LEGACY - VGIC_NR_PRIVATE_IRQS;
	ret = dist->spis ? 0 : init_spis(kvm);
	if (!ret)
		ret = init_vcpus(kvm);
	if (!ret)
		ret = kvm_vgic_setup_default_irq_routing(kvm);
	if (ret)
		return ret;
	if (!dist->implementation_rev)
		dist->implementation_rev = KVM_VGIC_IMP_REV_LATEST;
	__atomic_store_n(&dist->initialized, true, __ATOMIC_RELEASE);
	return 0;
}

int vgic_lazy_init(struct kvm *kvm)
{
	int ret;

	if (vgic_initialized(kvm))
		return 0;
	if (!irqchip_in_kernel(kvm) || vgic_is_v3(kvm))
		return -EBUSY;
	pthread_mutex_lock(&kvm->arch.vgic.config_lock);
	ret = vgic_init(kvm);
	pthread_mutex_unlock(&kvm->arch.vgic.config_lock);
	return ret;
}

/* ---- map ---- */

int vgic_check_iorange(struct kvm *kvm, gpa_t current, gpa_t addr, gpa_t alignment, u64 size)
{
	u64 phys_size = 1ull << kvm_phys_shift(kvm);

	if (!vgic_is_undef(current))
		return -EEXIST;
	if ((addr | size) & (alignment - 1) || addr + size < addr)
		return -EINVAL;
	return addr >= phys_size || addr + size > phys_size ? -E2BIG : 0;
}

static int register_iodev(struct kvm *kvm, struct vgic_io_device *iodev, gpa_t base, int len)
{
	int ret;

	iodev->base_addr = base;
	ret = kvm_io_bus_register_dev(kvm, KVM_MMIO_BUS, base, len, &iodev->dev);
	if (ret)
		iodev->base_addr = VGIC_ADDR_UNDEF;
	return ret;
}

static int map_v2(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	int ret;

	pthread_mutex_lock(&dist->config_lock);
	ret = vgic_v2_map_resources(kvm);
	pthread_mutex_unlock(&dist->config_lock);
	if (ret)
		return ret;
	vgic_v2_init_dist_iodev(&dist->dist_iodev);
	vgic_v2_init_cpu_iodev(&dist->cpu_iodev);
	ret = register_iodev(kvm, &dist->cpu_iodev, dist->vgic_cpu_base, KVM_VGIC_V2_CPU_SIZE);
	return ret ? ret
		   : register_iodev(kvm, &dist->dist_iodev, dist->vgic_dist_base, KVM_VGIC_V2_DIST_SIZE);
}

static int map_v3(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;
	int ret = vgic_v3_map_resources(kvm);

	if (ret)
		return ret;
	vgic_v3_init_dist_iodev(&dist->dist_iodev);
	return register_iodev(kvm, &dist->dist_iodev, dist->vgic_dist_base, (int)SZ_64K);
}

int kvm_vgic_map_resources(struct kvm *kvm)
{
	int ret = 0;

	if (vgic_ready(kvm) || !irqchip_in_kernel(kvm))
		return 0;
	pthread_mutex_lock(&kvm->slots_lock);
	if (!vgic_ready(kvm)) {
		ret = vgic_is_v3(kvm) ? map_v3(kvm) : map_v2(kvm);
		if (!ret)
			__atomic_store_n(&kvm->arch.vgic.ready, true, __ATOMIC_RELEASE);
	}
	if (ret)
		kvm_vm_dead(kvm);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

/* ---- destroy ---- */

static void unregister_iodev(struct kvm *kvm, struct vgic_io_device *iodev)
{
	if (!vgic_is_undef(iodev->base_addr))
		kvm_io_bus_unregister_dev(kvm, KVM_MMIO_BUS, &iodev->dev);
}

void kvm_vgic_destroy(struct kvm *kvm)
{
	struct vgic_dist *dist = &kvm->arch.vgic;

	pthread_mutex_lock(&kvm->slots_lock);
	unregister_iodev(kvm, &dist->dist_iodev);
	unregister_iodev(kvm, &dist->cpu_iodev);
	pthread_mutex_unlock(&kvm->slots_lock);
	vgic_v3_free_redist_regions(kvm);
	vgic_lpis_destroy(kvm);
	free(dist->spis);
	dist->spis = NULL;
	dist->initialized = dist->ready = false;
}
