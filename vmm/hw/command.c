/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command status, 32 bits of MMIO at GPA_COMMAND: the init of `kuse run -- CMD` writes CMD's exit status
 * here (busybox devmem reaches MMIO, and Debian's kernel has no /dev/port), then powers off. Reads
 * 0x6b757365 ("kuse"). A write 4 bytes further tells that CMD's terminal is set up: input from a file or
 * pipe is held back until then, when nobody echoes or drops it any more.
 */
#include <string.h>

#include "vmm/vm.h"

#define COMMAND_MAGIC 0x6b757365u

static void command_read(void *dev, u64 offset, u8 *data, u32 size)
{
	const u32 magic = COMMAND_MAGIC;

	if (offset < sizeof(magic))
		memcpy(data, (const u8 *)&magic + offset, MIN(size, sizeof(magic) - offset));
}

static void command_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct vm *vm = dev;

	if (offset == 0)
		vm->command_status = data[0];
	if (offset == 4) {
		__atomic_store_n(&vm->command_input, true, __ATOMIC_RELEASE);
		vm_wake(vm);
	}
}

static int command_init(struct vm *vm, void **state)
{
	return io_add_mmio(vm, &(struct io_range){GPA_COMMAND, PAGE_SIZE, command_read, command_write, vm});
}

const struct device_type command_device = {
	.name = "command status",
	.init = command_init,
};
