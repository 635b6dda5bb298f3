/* SPDX-License-Identifier: Apache-2.0 */
/* Port and MMIO accesses find their device here; what nobody claims reads all-ones and swallows writes. */
#include <string.h>

#include "vmm/vm.h"

static int io_add(struct io_range *table, u32 *count, const struct io_range *range)
{
	if (*count == VM_MAX_RANGES)
		return -1;
	table[(*count)++] = *range;
	return 0;
}

int io_add_ports(struct vm *vm, const struct io_range *range)
{
	return io_add(vm->ports, &vm->nr_ports, range);
}

int io_add_mmio(struct vm *vm, const struct io_range *range)
{
	return io_add(vm->mmio, &vm->nr_mmio, range);
}

static void io_access(const struct io_range *table, u32 count, u64 addr, u8 *data, u32 size, bool write)
{
	const struct io_range *r = NULL;

	for (u32 i = 0; i < count && !r; i++)
		if (addr - table[i].base < table[i].len)
			r = &table[i];
	if (!write)
		memset(data, 0xff, size);
	if (!r)
		return;
	if (write && r->write)
		r->write(r->dev, addr - r->base, data, size);
	else if (!write && r->read)
		r->read(r->dev, addr - r->base, data, size);
}

void io_port(struct vm *vm, u16 port, u8 *data, u32 size, bool write)
{
	io_access(vm->ports, vm->nr_ports, port, data, size, write);
}

void io_mmio(struct vm *vm, gpa_t gpa, u8 *data, u32 len, bool write)
{
	io_access(vm->mmio, vm->nr_mmio, gpa, data, len, write);
}
