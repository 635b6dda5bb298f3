/* SPDX-License-Identifier: Apache-2.0 */
/* See fdt.h. */
#include "vmm/arm64/fdt.h"

#include <libfdt.h>
#include <stdio.h>
#include <string.h>

static void note(struct fdt *f, int ret)
{
	if (!f->error)
		f->error = ret;
}

void dt_node(struct fdt *f, const char *name)
{
	note(f, fdt_begin_node(f->blob, name));
}

void dt_node_at(struct fdt *f, const char *name, u64 base)
{
	char full[64];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)base);
	dt_node(f, full);
}

void dt_end(struct fdt *f)
{
	note(f, fdt_end_node(f->blob));
}

void dt_bytes(struct fdt *f, const char *name, const void *data, size_t len)
{
	note(f, fdt_property(f->blob, name, data, (int)len));
}

void dt_string(struct fdt *f, const char *name, const char *value)
{
	dt_bytes(f, name, value, strlen(value) + 1);
}

void dt_u32(struct fdt *f, const char *name, u32 value)
{
	note(f, fdt_property_u32(f->blob, name, value));
}

void dt_u64(struct fdt *f, const char *name, u64 value)
{
	note(f, fdt_property_u64(f->blob, name, value));
}

void dt_cells(struct fdt *f, const char *name, const u32 *cells, size_t n)
{
	fdt32_t be[16];

	for (size_t i = 0; i < n && i < ARRAY_SIZE(be); i++)
		be[i] = cpu_to_fdt32(cells[i]);
	dt_bytes(f, name, be, MIN(n, ARRAY_SIZE(be)) * sizeof(be[0]));
}

void dt_reg(struct fdt *f, const u64 *pairs, size_t n)
{
	u32 cells[16];

	for (size_t i = 0; i < 2 * n; i++) {
		cells[2 * i] = pairs[i] >> 32;
		cells[2 * i + 1] = (u32)pairs[i];
	}
	dt_cells(f, "reg", cells, 4 * n);
}

void dt_interrupt(struct fdt *f, u32 type, u32 irq, u32 flags)
{
	const u32 cells[] = {type, irq, flags};

	dt_cells(f, "interrupts", cells, 3);
}
