/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small writer of AML (ACPI 6.4, chapter 20): just what our DSDT holds. Package lengths always take
 * three bytes and are patched at the end of the object: begin functions return a mark for aml_end.
 */
#ifndef KUSE_VMM_AML_H
#define KUSE_VMM_AML_H

#include "lib/types.h"

struct aml {
	u8 *buf;
	size_t len, max;
	bool overflow;
};

size_t aml_scope(struct aml *aml, const char *root_name);
/* Device (name) with _HID: an EISA id ("PNP0501") or an ACPI id ("QEMU0001"). */
size_t aml_device(struct aml *aml, const char *name, const char *hid);
void aml_end(struct aml *aml, size_t mark);
void aml_name_int(struct aml *aml, const char *name, u32 value);
/* Name (name, Package () {values}) of small integers. */
void aml_name_package(struct aml *aml, const char *name, const u8 *values, u8 count);

/* Name (_CRS, ResourceTemplate () {...}) */
size_t aml_resources(struct aml *aml);
void aml_resource_io(struct aml *aml, u16 port, u8 len);
void aml_resource_irq(struct aml *aml, u8 irq);
void aml_resources_end(struct aml *aml, size_t mark);

#endif
