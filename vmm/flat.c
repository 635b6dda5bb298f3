/* SPDX-License-Identifier: Apache-2.0 */
/* A flat guest (--boot flat): its bytes at 64 KiB, entered in real mode at 1000:0, stack at 1000:0. */
#include "vmm/boot.h"

#define FLAT_BASE (BOOT_FLAT_SEGMENT << 4)

static bool flat_match(const struct image *image)
{
	return false;
}

static int flat_load(struct vm *vm, const struct image *image)
{
	if (image->size > BOOT_EBDA - FLAT_BASE)
		return boot_refuse(vm, image, "has %llu bytes; a flat guest has at most %u",
				   (unsigned long long)image->size, BOOT_EBDA - FLAT_BASE);
	if (memory_write(vm, FLAT_BASE, image->data, image->size) < 0)
		return vm_end(vm, VM_END_MEMORY, 0, "--mem is too small for a PC; use --mem 64M or more");
	vm->boot.entry = 0;
	vm->boot.kernel_end = BOOT_HIGH;
	vm->boot.initrd_max = vm->mem.low - 1;
	return 0;
}

static int flat_params(struct vm *vm, const struct image *image)
{
	return 0;
}

const struct boot_loader boot_flat = {
	.format = BOOT_FLAT,
	.name = "flat, real mode",
	.match = flat_match,
	.load = flat_load,
	.params = flat_params,
};
