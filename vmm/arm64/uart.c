/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port as the device tree has it. */
#include "vmm/arm64/fdt.h"
#include "vmm/serial.h"
#include "vmm/vm.h"

static void serial_fdt(struct fdt *f)
{
	const u64 reg[] = {SERIAL_BASE, 8};

	dt_node_at(f, "serial", SERIAL_BASE);
	dt_string(f, "compatible", "ns16550a");
	dt_reg(f, reg, 1);
	dt_u32(f, "clock-frequency", 1843200);
	dt_interrupt(f, FDT_IRQ_SPI, SERIAL_IRQ, FDT_IRQ_HIGH);
	dt_end(f);
}

const struct device_type serial_device = {
	.name = "16550A serial",
	.init = serial_init,
	.exit = serial_exit,
	.fdt = serial_fdt,
};
