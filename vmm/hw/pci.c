/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2): the address latch at 0xcf8, the data window
 * at 0xcfc. There is one function, a host bridge at 0:0.0, by which a guest knows the mechanism works; every
 * other one answers all-ones. The bridge's registers are read-only.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/vm.h"

#define PCI_ADDRESS_PORT 0xcf8u
#define PCI_DATA_PORT 0xcfcu
#define PCI_ENABLE 0x80000000u
#define PCI_BDF(address) ((address) >> 8 & 0xffff)
#define PCI_REGISTER(address) ((address)&0xfc)

struct pci {
	u32 address;
};

/* The host bridge: Red Hat's id for a virtual one, class 06.00. */
static const u32 bridge[64] = {
	[0x00 / 4] = 0x00081b36,
	[0x08 / 4] = 0x06000000,
	[0x2c / 4] = 0x11001af4,
};

static void address_read(void *dev, u64 offset, u8 *data, u32 size)
{
	const struct pci *pci = dev;
	u32 address = __atomic_load_n(&pci->address, __ATOMIC_RELAXED);

	if (offset == 0 && size == 4)
		memcpy(data, &address, 4);
}

/* Only a whole double word reaches the latch. */
static void address_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct pci *pci = dev;
	u32 address;

	if (offset != 0 || size != 4)
		return;
	memcpy(&address, data, 4);
	__atomic_store_n(&pci->address, address & ~3u, __ATOMIC_RELAXED);
}

static void data_read(void *dev, u64 offset, u8 *data, u32 size)
{
	const struct pci *pci = dev;
	u32 address = __atomic_load_n(&pci->address, __ATOMIC_RELAXED);

	if ((address & PCI_ENABLE) && PCI_BDF(address) == 0 && offset + size <= 4)
		memcpy(data, (const u8 *)&bridge[PCI_REGISTER(address) / 4] + offset, size);
}

static int pci_init(struct vm *vm, void **state)
{
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return -1;
	*state = pci;
	if (io_add_ports(vm, &(struct io_range){PCI_ADDRESS_PORT, 4, address_read, address_write, pci}) < 0)
		return -1;
	return io_add_ports(vm, &(struct io_range){PCI_DATA_PORT, 4, data_read, NULL, pci});
}

static void pci_exit(struct vm *vm, void *state)
{
	free(state);
}

const struct device_type pci_device = {
	.name = "PCI host bridge",
	.init = pci_init,
	.exit = pci_exit,
};
