/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3) and the reset register 0xcf9. PM1 events never happen (there is
 * no button), so status reads zero; SLP_EN with the type that \_S5 names powers the machine off. The chip
 * is always in ACPI mode: SCI_EN reads 1.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/hw/power.h"
#include "vmm/vm.h"

#define PM1_SCI_EN 0x0001u
#define PM1_SLP_EN 0x2000u
#define PM1_SLP_TYP(v) ((v) >> 10 & 7)
#define RESET_CPU 0x04u

struct power {
	struct vm *vm;
	u8 enable[2]; /* PM1 enable register */
	u16 control;
};

static void event_read(void *dev, u64 offset, u8 *data, u32 size)
{
	const struct power *power = dev;
	u8 regs[4] = {0, 0, power->enable[0], power->enable[1]};

	for (u32 i = 0; i < size && offset + i < sizeof(regs); i++)
		data[i] = regs[offset + i];
}

static void event_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct power *power = dev;

	for (u32 i = 0; i < size; i++)
		if (offset + i >= 2 && offset + i < 4)
			power->enable[offset + i - 2] = data[i];
}

static void control_read(void *dev, u64 offset, u8 *data, u32 size)
{
	const struct power *power = dev;
	u8 regs[2] = {power->control | PM1_SCI_EN, power->control >> 8};

	for (u32 i = 0; i < size && offset + i < sizeof(regs); i++)
		data[i] = regs[offset + i];
}

static void control_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct power *power = dev;
	u8 regs[2] = {power->control, power->control >> 8};
	u16 value;

	for (u32 i = 0; i < size && offset + i < sizeof(regs); i++)
		regs[offset + i] = data[i];
	value = regs[0] | regs[1] << 8;
	power->control = value & ~PM1_SLP_EN; /* write-only */
	if ((value & PM1_SLP_EN) && PM1_SLP_TYP(value) == POWER_SLP_TYP_S5)
		vm_guest_poweroff(power->vm);
}

static void reset_read(void *dev, u64 offset, u8 *data, u32 size)
{
	data[0] = 0;
}

static void reset_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct power *power = dev;

	if (data[0] & RESET_CPU)
		vm_guest_reset(power->vm);
}

static int power_init(struct vm *vm, void **state)
{
	struct power *power = calloc(1, sizeof(*power));

	const struct io_range ranges[] = {
		{POWER_PM1A_EVENT, 4, event_read, event_write, power},
		{POWER_PM1A_CONTROL, 2, control_read, control_write, power},
		{POWER_RESET, 1, reset_read, reset_write, power},
	};

	if (!power)
		return -1;
	power->vm = vm;
	*state = power;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (io_add_ports(vm, &ranges[i]) < 0)
			return -1;
	return 0;
}

static void power_exit(struct vm *vm, void *state)
{
	free(state);
}

const struct device_type power_device = {
	.name = "ACPI power",
	.init = power_init,
	.exit = power_exit,
};
