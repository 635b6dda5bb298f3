/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing the devices of the machine's table (machine.c) up and down.
 */
#include "vmm/vm.h"

int devices_init(struct vm *vm)
{
	for (u32 i = 0; device_types[i]; i++) {
		vm->devices_up = i + 1;
		if (device_types[i]->init(vm, &vm->device_state[i]) < 0) {
			vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory (%s)",
			       device_types[i]->name);
			devices_exit(vm);
			return -1;
		}
	}
	return 0;
}

void devices_exit(struct vm *vm)
{
	while (vm->devices_up > 0) {
		u32 i = --vm->devices_up;

		if (device_types[i]->exit && vm->device_state[i])
			device_types[i]->exit(vm, vm->device_state[i]);
		vm->device_state[i] = NULL;
	}
	vm->nr_ports = vm->nr_mmio = 0;
}
