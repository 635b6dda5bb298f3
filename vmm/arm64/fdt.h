/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a device tree (Devicetree Specification 0.4) with libfdt's sequential-write calls. Errors
 * stick: whoever builds looks once, at the end. Cells are big endian; addresses and sizes have two each.
 */
#ifndef KUSE_VMM_ARM64_FDT_H
#define KUSE_VMM_ARM64_FDT_H

#include "lib/types.h"

#define FDT_BYTES_MAX (64u << 10)
#define FDT_PHANDLE_GIC 1u
#define FDT_PHANDLE_CLOCK 2u
#define FDT_PHANDLE_ITS 3u
/* Interrupt specifiers of the GIC binding. */
#define FDT_IRQ_SPI 0u
#define FDT_IRQ_PPI 1u
#define FDT_IRQ_EDGE 1u
#define FDT_IRQ_HIGH 4u

struct fdt {
	void *blob;
	int error; /* first error of libfdt, 0: none */
};

void dt_node(struct fdt *f, const char *name);
/* "name@base", base in hex. */
void dt_node_at(struct fdt *f, const char *name, u64 base);
void dt_end(struct fdt *f);
void dt_string(struct fdt *f, const char *name, const char *value);
/* Strings one after the other, each with its NUL. */
void dt_bytes(struct fdt *f, const char *name, const void *data, size_t len);
void dt_u32(struct fdt *f, const char *name, u32 value);
void dt_u64(struct fdt *f, const char *name, u64 value);
void dt_cells(struct fdt *f, const char *name, const u32 *cells, size_t n);
/* reg = <base size ...>, n pairs. */
void dt_reg(struct fdt *f, const u64 *pairs, size_t n);
void dt_interrupt(struct fdt *f, u32 type, u32 irq, u32 flags);

#endif
