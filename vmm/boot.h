/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting a kernel into guest memory. A loader takes the file's bytes, checks every size and offset, and
 * leaves entry, params and limits in vm->boot; the initrd goes where the kernel allows it; regs.c then
 * sets the boot CPU's registers for the entry protocol.
 *
 * Low memory while booting:
 *   0x500   GDT          0x7000  zero page or hvm_start_info    0x9000-0xf000  identity page tables (4 GiB)
 *   0x8ff0  stack        0x20000 command line                   0xe0000        ACPI tables
 */
#ifndef KUSE_VMM_BOOT_H
#define KUSE_VMM_BOOT_H

#include "vmm/vm.h"

#define BOOT_GDT 0x500u
#define BOOT_PARAMS 0x7000u
#define BOOT_STACK 0x8ff0u
#define BOOT_PML4 0x9000u
#define BOOT_CMDLINE 0x20000u
#define BOOT_CMDLINE_MAX 0x10000u
#define BOOT_EBDA 0x9fc00u
#define BOOT_ACPI 0xe0000u
#define BOOT_ACPI_END 0x100000u
#define BOOT_HIGH 0x100000u
#define BOOT_FLAT_SEGMENT 0x1000u /* a flat guest: real mode, CS:IP = 1000:0 */

/* A file in memory. */
struct image {
	const char *path;
	u8 *data;
	u64 size;
};

struct boot_loader {
	enum boot_format format;
	const char *name;
	bool (*match)(const struct image *image);
	/* Kernel into memory; sets entry, kernel_end, initrd_max. */
	int (*load)(struct vm *vm, const struct image *image);
	/* After the initrd is placed: command line and the protocol's parameter block. */
	int (*params)(struct vm *vm, const struct image *image);
};

extern const struct boot_loader boot_bzimage, boot_elf, boot_pvh, boot_flat;

int boot_init(struct vm *vm);
int firmware_init(struct vm *vm); /* acpi.c */

/* A kernel image is not usable: one line with the path, what is wrong and what to do. Returns -1. */
int boot_refuse(struct vm *vm, const struct image *image, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* [offset, offset+len) lies within the file. */
bool image_has(const struct image *image, u64 offset, u64 len);
/* Copies the command line to BOOT_CMDLINE. limit: the kernel's longest, without the NUL. */
int boot_put_cmdline(struct vm *vm, u64 limit);
/* Puts the initrd as high as vm->boot.initrd_max allows, above vm->boot.kernel_end. */
int boot_put_initrd(struct vm *vm);

/* The memory map, the same for every protocol (e820.c). type: 1 RAM, 2 reserved, 3 ACPI. */
struct e820_range {
	u64 start, size;
	u32 type;
};
size_t e820_map(const struct vm *vm, struct e820_range *map, size_t max);
/* Zero page for the 64-bit protocol; header: the image's setup header (from 0x1f1), or NULL. */
int zero_page_write(struct vm *vm, const u8 *header, size_t header_len);

#endif
