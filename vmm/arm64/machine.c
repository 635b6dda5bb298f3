/* SPDX-License-Identifier: Apache-2.0 */
/* The arm64 machine as machine.h asks for it: a GIC (gic.c), PSCI, a device tree (tree.c). */
#include "vmm/machine.h"

#include <errno.h>
#include <string.h>

#include "vmm/arm64/arm64.h"
#include "vmm/term.h"

const struct machine_cap machine_caps[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG"},
	{KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2"},
	{KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{0, NULL},
};

/* 0 is an IPA space of 40 bits: enough for RAM_LOW_MAX from GPA_RAM on, and every KVM has it. */
unsigned long machine_type(struct vm *vm)
{
	return 0;
}

int machine_check(struct vm *vm)
{
	vm->machine.gic_fd = vm->machine.its_fd = -1;
	return pmu_check(vm);
}

/* SPI `irq`, counted from 0, as KVM_IRQ_LINE has it. */
u32 machine_irq(u32 irq)
{
	return KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (irq + 32);
}

const struct machine_irqchip machine_irqchips[] = {
	[IRQCHIP_GICV2] = {"gicv2", 8},
	[IRQCHIP_GICV3] = {"gicv3", VM_MAX_CPUS},
	[IRQCHIP_GICV3_ITS] = {"gicv3-its", VM_MAX_CPUS},
	{NULL, 0},
};

/* ---- devices and kernels ---- */

extern const struct device_type serial_device, pl031_device, command_device;

const struct device_type *const device_types[] = {&serial_device, &pl031_device, &command_device, NULL};

const struct boot_loader *const machine_loaders[] = {&boot_image, &boot_image_gz, NULL};

const struct boot_foreign machine_foreign[] = {
	{0x202, "HdrS", 4, "an x86 bzImage; this machine is arm64: use an arm64 kernel"},
	{0x38, "RSC\x05", 4, "a RISC-V kernel; this machine is arm64: use an arm64 kernel"},
	{0, "\x7f" "ELF", 4, "an ELF file; use arch/arm64/boot/Image"},
	{0, "\xfd" "7zXZ", 5, "xz-compressed; unxz it first"},
	{0, "\x28\xb5\x2f\xfd", 4, "zstd-compressed; unzstd it first"},
	{0, "\x27\x05\x19\x56", 4, "a U-Boot image; use an Image"},
	{0, "MZ", 2, "an EFI program that is no arm64 Image (a compressed one?); use an Image or Image.gz"},
	{0, "!<arch>\n", 8, "a Debian package or archive; extract its boot/vmlinuz-* first (dpkg-deb -x)"},
	{0, "070701", 6, "a cpio archive (an initramfs?); give it with --initrd"},
	{0, NULL, 0, NULL},
};

const char machine_kernels[] = "neither an arm64 Image nor an Image.gz; give an arm64 Linux kernel";

/* ---- vCPUs ---- */

#define MPIDR_REG ARM64_SYS_REG(3, 0, 0, 0, 5)

int machine_get_reg(struct vcpu *vcpu, u64 id, u64 *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (unsigned long)value};

	return vcpu_ioctl(vcpu, KVM_GET_ONE_REG, &reg);
}

static int set_reg(struct vcpu *vcpu, u64 id, u64 value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (unsigned long)&value};

	return vcpu_ioctl(vcpu, KVM_SET_ONE_REG, &reg);
}

/* The boot CPU runs; the others wait for PSCI CPU_ON. */
static int targets_init(struct vm *vm)
{
	struct kvm_vcpu_init init;

	if (vm_ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init) < 0)
		return vm_end_errno(vm, "KVM_ARM_PREFERRED_TARGET");
	init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
	if (vm->cfg->pmu)
		init.features[0] |= 1u << KVM_ARM_VCPU_PMU_V3;
	for (u32 i = 0; i < vm->vcpus_up; i++) {
		if (i)
			init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
		if (vcpu_ioctl(&vm->vcpus[i], KVM_ARM_VCPU_INIT, &init) < 0)
			return vm_end_errno(vm, "KVM_ARM_VCPU_INIT");
		if (machine_get_reg(&vm->vcpus[i], MPIDR_REG, &vm->machine.mpidr[i]) < 0)
			return vm_end_errno(vm, "KVM_GET_ONE_REG (MPIDR_EL1)");
	}
	return 0;
}

/* Documentation/arch/arm64/booting.rst: x0 = device tree, x1 to x3 = 0, EL1h, interrupts masked. */
int machine_vcpu_reset(struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	if (vcpu->id != 0)
		return 0;
	if (set_reg(vcpu, ARM64_CORE(regs.pstate), 0x3c5) < 0 ||
	    set_reg(vcpu, ARM64_CORE(regs.regs[0]), vm->boot.params) < 0 ||
	    set_reg(vcpu, ARM64_CORE(regs.regs[1]), 0) < 0 ||
	    set_reg(vcpu, ARM64_CORE(regs.regs[2]), 0) < 0 ||
	    set_reg(vcpu, ARM64_CORE(regs.regs[3]), 0) < 0 ||
	    set_reg(vcpu, ARM64_CORE(regs.pc), vm->boot.entry) < 0)
		return vm_end_errno(vcpu->vm, "KVM_SET_ONE_REG");
	return 0;
}

u64 machine_vcpu_pc(struct vcpu *vcpu)
{
	u64 pc = 0;

	machine_get_reg(vcpu, ARM64_CORE(regs.pc), &pc);
	return pc;
}

#define VBAR_REG ARM64_SYS_REG(3, 0, 12, 0, 0)

const char machine_entry_symbol[] = "vectors";

u64 machine_entry_address(struct vcpu *vcpu)
{
	u64 vbar;

	return machine_get_reg(vcpu, VBAR_REG, &vbar) == 0 ? vbar : 0;
}

/* ---- the steps ---- */

const struct vm_step machine_steps[] = {
	{"open", vm_open, vm_close},
	{"API version", vm_check_api, NULL},
	{"create VM", vm_create, vm_destroy},
	{"extensions", vm_check_extensions, NULL},
	{"memory", memory_init, memory_exit},
	{"vCPUs", vcpus_create, vcpus_destroy},
	{"CPU targets", targets_init, NULL},
	{"interrupt controller", gic_init, gic_exit},
	{"performance monitor", pmu_init, NULL},
	{"devices", devices_init, devices_exit},
	{"kernel", boot_init, NULL},
	{"registers", vcpus_reset, NULL},
	{"terminal", term_init, term_exit},
	{"start vCPUs", vcpus_start, vcpus_stop},
	{NULL, NULL, NULL},
};
