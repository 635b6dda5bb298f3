/* SPDX-License-Identifier: Apache-2.0 */
/* --pmu: PMUv3 (Documentation/virt/kvm/devices/vcpu.rst), its interrupt where kvmtool has it. */
#include "vmm/arm64/arm64.h"
#include "vmm/arm64/fdt.h"
#include "vmm/vcpu.h"

#define PMU_PPI 7u /* INTID 23 */

static int pmu_attr(struct vcpu *vcpu, u64 attr, const void *value)
{
	struct kvm_device_attr a = {.group = KVM_ARM_VCPU_PMU_V3_CTRL,
				    .attr = attr,
				    .addr = (unsigned long)value};

	return vcpu_ioctl(vcpu, KVM_SET_DEVICE_ATTR, &a);
}

int pmu_check(struct vm *vm)
{
	if (vm->cfg->pmu && vm_sys_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PMU_V3) <= 0)
		return vm_end(vm, VM_END_NO_KVM, 0,
			      "%s has no PMU for guests (KVM_CAP_ARM_PMU_V3); leave out --pmu",
			      vm->accel->title);
	return 0;
}

int pmu_init(struct vm *vm)
{
	const int irq = PMU_PPI + 16;

	for (u32 i = 0; vm->cfg->pmu && i < vm->vcpus_up; i++)
		if (pmu_attr(&vm->vcpus[i], KVM_ARM_VCPU_PMU_V3_IRQ, &irq) < 0 ||
		    pmu_attr(&vm->vcpus[i], KVM_ARM_VCPU_PMU_V3_INIT, NULL) < 0)
			return vm_end_errno(vm, "KVM_ARM_VCPU_PMU_V3_CTRL");
	return 0;
}

void pmu_node(struct vm *vm, struct fdt *f)
{
	if (!vm->cfg->pmu)
		return;
	dt_node(f, "pmu");
	dt_string(f, "compatible", "arm,armv8-pmuv3");
	dt_interrupt(f, FDT_IRQ_PPI, PMU_PPI, tree_ppi_flags(vm));
	dt_end(f);
}
