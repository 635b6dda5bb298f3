/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port as a PC's COM1. */
#include "vmm/aml.h"
#include "vmm/serial.h"
#include "vmm/vm.h"

static void serial_aml(struct aml *aml)
{
	size_t dev = aml_device(aml, "COM1", "PNP0501");
	size_t crs;

	aml_name_int(aml, "_UID", 1);
	crs = aml_resources(aml);
	aml_resource_io(aml, SERIAL_BASE, 8);
	aml_resource_irq(aml, SERIAL_IRQ);
	aml_resources_end(aml, crs);
	aml_end(aml, dev);
}

const struct device_type serial_device = {
	.name = "16550A serial",
	.init = serial_init,
	.exit = serial_exit,
	.aml = serial_aml,
};
