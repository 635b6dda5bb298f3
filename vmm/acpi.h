/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KUSE_VMM_ACPI_H
#define KUSE_VMM_ACPI_H

#include "lib/types.h"

/*
 * Writes RSDP (first), XSDT, FADT, FACS, MADT, DSDT into buf, to be placed at guest-physical base.
 * Returns the bytes used, or 0 if max is too small.
 */
size_t acpi_build(u8 *buf, size_t max, gpa_t base, u32 cpus, bool irq_override);

#endif
