/* SPDX-License-Identifier: Apache-2.0 */
/* The PC as machine.h asks for it. */
#include <errno.h>
#include <stdlib.h>

#include "vmm/machine.h"
#include "vmm/term.h"

const struct machine_cap machine_caps[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_PIT2, "KVM_CAP_PIT2"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{0, NULL},
};

unsigned long machine_type(struct vm *vm)
{
	return 0;
}

int machine_check(struct vm *vm)
{
	vm->machine.tsc_deadline = vm_sys_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

u32 machine_irq(u32 irq)
{
	return irq;
}

/* ---- devices and kernels ---- */

/* In the order in which an access is offered to them: the reset register 0xcf9 lies within PCI's address
 * port. What none of them claims reads all-ones, as the POST port 0x80 does. */
extern const struct device_type serial_device, rtc_device, i8042_device, power_device, exit_device,
	command_device, pci_device;

const struct device_type *const device_types[] = {
	&serial_device, &power_device, &exit_device, &command_device, &pci_device, &i8042_device, &rtc_device, NULL,
};

/* In the order they are asked; a flat guest has no magic and must be asked for. */
const struct boot_loader *const machine_loaders[] = {&boot_bzimage, &boot_pvh, &boot_elf, &boot_flat, NULL};

/* Images of other worlds, told by name. */
const struct machine_irqchip machine_irqchips[] = {{NULL, 0}};

const struct boot_foreign machine_foreign[] = {
	{0x38, "ARM\x64", 4, "an arm64 kernel; this machine is x86-64: use an x86-64 kernel"},
	{0x38, "RSC\x05", 4, "a RISC-V kernel; this machine is x86-64: use an x86-64 kernel"},
	{0, "\x1f\x8b", 2, "gzip-compressed; gunzip it first"},
	{0, "\xfd" "7zXZ", 5, "xz-compressed; unxz it first"},
	{0, "\x28\xb5\x2f\xfd", 4, "zstd-compressed; unzstd it first"},
	{0, "\x27\x05\x19\x56", 4, "a U-Boot image; use a bzImage or vmlinux"},
	{0, "!<arch>\n", 8, "a Debian package or archive; extract its boot/vmlinuz-* first (dpkg-deb -x)"},
	{0, "070701", 6, "a cpio archive (an initramfs?); give it with --initrd"},
	{0, NULL, 0, NULL},
};

const char machine_kernels[] = "neither a bzImage nor an ELF vmlinux; give an x86-64 Linux kernel";

/* ---- vCPUs ---- */

/* With the in-kernel irqchip the boot CPU runs, the others wait for INIT and SIPI. */
static int vcpu_set_mp_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state = {
		.mp_state = vcpu->id == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED,
	};

	if (vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &state) < 0)
		return vm_end_errno(vcpu->vm, "KVM_SET_MP_STATE");
	return 0;
}

/*
 * The guest's TSC is the host's, where KVM lets us say so: user code that KUSE's KVM has the host run as it
 * is may then read it there. Otherwise it begins with 0, which is as good.
 */
static void vcpu_share_tsc(struct vcpu *vcpu)
{
	u64 offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (unsigned long)&offset,
	};

	if (vcpu_ioctl(vcpu, KVM_HAS_DEVICE_ATTR, &attr) == 0)
		vcpu_ioctl(vcpu, KVM_SET_DEVICE_ATTR, &attr);
}

int machine_vcpu_reset(struct vcpu *vcpu)
{
	if (cpuid_set(vcpu) < 0 || regs_set(vcpu) < 0)
		return -1;
	vcpu_share_tsc(vcpu);
	return vcpu_set_mp_state(vcpu);
}

u64 machine_vcpu_pc(struct vcpu *vcpu)
{
	struct kvm_regs regs = {0};

	vcpu_ioctl(vcpu, KVM_GET_REGS, &regs);
	return regs.rip;
}

bool machine_vcpu_off(struct vcpu *vcpu)
{
	struct kvm_mp_state state;
	struct kvm_regs regs;

	if (vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &state) < 0 || vcpu_ioctl(vcpu, KVM_GET_REGS, &regs) < 0)
		return false;
	return state.mp_state == KVM_MP_STATE_UNINITIALIZED || state.mp_state == KVM_MP_STATE_INIT_RECEIVED ||
	       (state.mp_state == KVM_MP_STATE_HALTED && !(regs.rflags & 0x200));
}

#define MSR_LSTAR 0xc0000082u

const char machine_entry_symbol[] = "entry_SYSCALL_64";

u64 machine_entry_address(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = {.head.nmsrs = 1, .entry.index = MSR_LSTAR};

	return vcpu_ioctl(vcpu, KVM_GET_MSRS, &msr) == 1 ? msr.entry.data : 0;
}

/* ---- the steps ---- */

static void route(struct kvm_irq_routing *table, u32 gsi, u32 chip, u32 pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = chip, .pin = pin}};
}

/*
 * As on a PC: GSIs 0-15 reach the PICs and the IOAPIC, but the timer's IRQ 0 sits on IOAPIC pin 2 (the
 * MADT says so), where no PIC line is, the PICs being cascaded through it.
 */
static int routing_init(struct vm *vm)
{
	struct kvm_irq_routing *table;
	int ret;

	if (vm_sys_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING) <= 0)
		return 0;
	table = calloc(1, sizeof(*table) + 48 * sizeof(table->entries[0]));
	if (!table)
		return vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory");
	for (u32 gsi = 0; gsi < 16; gsi++)
		if (gsi != 2)
			route(table, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi & 7);
	for (u32 gsi = 0; gsi < 24; gsi++)
		if (gsi != 2)
			route(table, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
	ret = vm_ioctl(vm, KVM_SET_GSI_ROUTING, table);
	free(table);
	vm->machine.irq_override = ret == 0;
	return ret < 0 ? vm_end_errno(vm, "KVM_SET_GSI_ROUTING") : 0;
}

static int arch_init(struct vm *vm)
{
	u64 identity = GPA_IDENTITY_MAP;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	if (vm->accel->ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, GPA_TSS) < 0)
		return vm_end_errno(vm, "KVM_SET_TSS_ADDR");
	if (vm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return vm_end_errno(vm, "KVM_SET_IDENTITY_MAP_ADDR");
	if (vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL) < 0)
		return vm_end_errno(vm, "KVM_CREATE_IRQCHIP");
	if (vm_ioctl(vm, KVM_CREATE_PIT2, &pit) < 0)
		return vm_end_errno(vm, "KVM_CREATE_PIT2");
	return routing_init(vm);
}

const struct vm_step machine_steps[] = {
	{"open", vm_open, vm_close},
	{"API version", vm_check_api, NULL},
	{"create VM", vm_create, vm_destroy},
	{"extensions", vm_check_extensions, NULL},
	{"arch init", arch_init, NULL},
	{"memory", memory_init, memory_exit},
	{"CPUID", cpuid_init, cpuid_exit},
	{"vCPUs", vcpus_create, vcpus_destroy},
	{"devices", devices_init, devices_exit},
	{"firmware tables", firmware_init, NULL},
	{"kernel", boot_init, NULL},
	{"registers", vcpus_reset, NULL},
	{"terminal", term_init, term_exit},
	{"start vCPUs", vcpus_start, vcpus_stop},
	{NULL, NULL, NULL},
};
