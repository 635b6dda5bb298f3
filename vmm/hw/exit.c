/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices by which a PC guest tells the VMM how it ends:
 *
 *  0xf4        debug exit, as QEMU's isa-debug-exit: a byte v ends the VM with exit status (v << 1) | 1.
 *  0x505       pvpanic (QEMU docs/specs/pvpanic): reads the supported events, a write tells of one. Linux's
 *              pvpanic driver finds it by its ACPI node.
 */
#include "vmm/aml.h"
#include "vmm/vm.h"

#define DEBUG_PORT 0xf4u
#define PANIC_PORT 0x505u
#define PANIC_PANICKED 0x01
#define PANIC_CRASH_LOADED 0x02

static void debug_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	vm_end(dev, VM_END_DEBUG_EXIT, (u8)(data[0] << 1 | 1), "%s", "");
}

static void panic_read(void *dev, u64 offset, u8 *data, u32 size)
{
	data[0] = PANIC_PANICKED | PANIC_CRASH_LOADED;
}

/* A loaded crash kernel takes over by itself: that is not the end. */
static void panic_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	if (data[0] & PANIC_PANICKED)
		vm_guest_panic(dev);
}

static int exit_init(struct vm *vm, void **state)
{
	if (io_add_ports(vm, &(struct io_range){DEBUG_PORT, 1, NULL, debug_write, vm}) < 0 ||
	    io_add_ports(vm, &(struct io_range){PANIC_PORT, 1, panic_read, panic_write, vm}) < 0)
		return -1;
	return 0;
}

static void exit_aml(struct aml *aml)
{
	size_t dev = aml_device(aml, "PEVT", "QEMU0001");
	size_t crs = aml_resources(aml);

	aml_resource_io(aml, PANIC_PORT, 1);
	aml_resources_end(aml, crs);
	aml_end(aml, dev);
}

const struct device_type exit_device = {
	.name = "debug exit, pvpanic",
	.init = exit_init,
	.aml = exit_aml,
};
