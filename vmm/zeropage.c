/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map and the zero page (struct boot_params of Documentation/arch/x86/zero-page.rst). */
#include <string.h>

#include "vmm/boot.h"

#define ZP_ACPI_RSDP 0x070u
#define ZP_E820_ENTRIES 0x1e8u
#define ZP_HEADER 0x1f1u
#define ZP_BOOT_FLAG 0x1feu
#define ZP_MAGIC 0x202u
#define ZP_VERSION 0x206u
#define ZP_TYPE_OF_LOADER 0x210u
#define ZP_LOADFLAGS 0x211u
#define ZP_RAMDISK_IMAGE 0x218u
#define ZP_RAMDISK_SIZE 0x21cu
#define ZP_CMD_LINE_PTR 0x228u
#define ZP_KERNEL_ALIGNMENT 0x230u
#define ZP_CMDLINE_SIZE 0x238u
#define ZP_E820_TABLE 0x2d0u
#define ZP_E820_SIZE 20u
#define LOADER_UNDEFINED 0xff

enum { E820_RAM = 1, E820_RESERVED = 2 };

size_t e820_map(const struct vm *vm, struct e820_range *map, size_t max)
{
	const struct e820_range all[] = {
		{0, BOOT_EBDA, E820_RAM},
		{BOOT_EBDA, 0xa0000 - BOOT_EBDA, E820_RESERVED},
		{BOOT_ACPI, BOOT_ACPI_END - BOOT_ACPI, E820_RESERVED},
		{BOOT_HIGH, vm->mem.low - BOOT_HIGH, E820_RAM},
		{GPA_IDENTITY_MAP, 0x4000, E820_RESERVED},
		{GPA_4G, vm->mem.high, E820_RAM},
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all) && n < max; i++)
		if (all[i].size)
			map[n++] = all[i];
	return n;
}

static void put16(u8 *page, u32 offset, u16 value)
{
	memcpy(page + offset, &value, sizeof(value));
}

static void put32(u8 *page, u32 offset, u32 value)
{
	memcpy(page + offset, &value, sizeof(value));
}

static void put64(u8 *page, u32 offset, u64 value)
{
	memcpy(page + offset, &value, sizeof(value));
}

static void put_e820(const struct vm *vm, u8 *page)
{
	struct e820_range map[8];
	size_t n = e820_map(vm, map, ARRAY_SIZE(map));

	for (size_t i = 0; i < n; i++) {
		u32 at = ZP_E820_TABLE + i * ZP_E820_SIZE;

		put64(page, at, map[i].start);
		put64(page, at + 8, map[i].size);
		put32(page, at + 16, map[i].type);
	}
	page[ZP_E820_ENTRIES] = n;
}

/* A vmlinux comes without a setup header: the fields the kernel reads from it. */
static void put_own_header(u8 *page)
{
	put16(page, ZP_BOOT_FLAG, 0xaa55);
	memcpy(page + ZP_MAGIC, "HdrS", 4);
	put16(page, ZP_VERSION, 0x20c);
	page[ZP_LOADFLAGS] = 1;
	put32(page, ZP_KERNEL_ALIGNMENT, 0x1000000);
	put32(page, ZP_CMDLINE_SIZE, 2047);
}

int zero_page_write(struct vm *vm, const u8 *header, size_t header_len)
{
	u8 page[PAGE_SIZE] = {0};

	if (header)
		memcpy(page + ZP_HEADER, header, header_len);
	else
		put_own_header(page);
	page[ZP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put32(page, ZP_CMD_LINE_PTR, BOOT_CMDLINE);
	put32(page, ZP_RAMDISK_IMAGE, vm->boot.initrd);
	put32(page, ZP_RAMDISK_SIZE, vm->boot.initrd_size);
	put64(page, ZP_ACPI_RSDP, vm->boot.rsdp);
	put_e820(vm, page);
	vm->boot.params = BOOT_PARAMS;
	return memory_write(vm, BOOT_PARAMS, page, sizeof(page));
}
