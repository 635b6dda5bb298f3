/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst): the setup header at 0x1f1 says how
 * large the real-mode part is (skipped) and where the kernel proper wants to be; it is entered at load
 * address + 0x200 in long mode with identity page tables and the zero page in RSI.
 */
#include <string.h>

#include "vmm/boot.h"

#define HDR_START 0x1f1u
#define HDR_SETUP_SECTS 0x1f1u
#define HDR_SYSSIZE 0x1f4u /* in 16-byte paragraphs */
#define HDR_BOOT_FLAG 0x1feu
#define HDR_JUMP_LEN 0x201u
#define HDR_MAGIC 0x202u
#define HDR_VERSION 0x206u
#define HDR_LOADFLAGS 0x211u
#define HDR_INITRD_ADDR_MAX 0x22cu
#define HDR_KERNEL_ALIGNMENT 0x230u
#define HDR_RELOCATABLE 0x234u
#define HDR_XLOADFLAGS 0x236u
#define HDR_CMDLINE_SIZE 0x238u
#define HDR_PREF_ADDRESS 0x258u
#define HDR_INIT_SIZE 0x260u
#define HDR_END 0x268u /* what a 2.12 header holds at least */

#define XLF_KERNEL_64 1u
#define LOADED_HIGH 1u
#define ENTRY_64 0x200u

static u32 get16(const struct image *image, u32 offset)
{
	return image->data[offset] | image->data[offset + 1] << 8;
}

static u32 get32(const struct image *image, u32 offset)
{
	return get16(image, offset) | get16(image, offset + 2) << 16;
}

static u64 get64(const struct image *image, u32 offset)
{
	return get32(image, offset) | (u64)get32(image, offset + 4) << 32;
}

static bool bzimage_match(const struct image *image)
{
	return image_has(image, HDR_MAGIC, 4) && get16(image, HDR_BOOT_FLAG) == 0xaa55 &&
	       memcmp(image->data + HDR_MAGIC, "HdrS", 4) == 0;
}

static u64 setup_size(const struct image *image)
{
	u32 sectors = image->data[HDR_SETUP_SECTS];

	return ((sectors ? sectors : 4) + 1) * 512ull;
}

static int bzimage_check(struct vm *vm, const struct image *image)
{
	u64 setup = setup_size(image), body = get32(image, HDR_SYSSIZE) * 16ull;
	u32 version;

	if (!image_has(image, 0, HDR_END))
		return boot_refuse(vm, image, "is truncated (%llu bytes); get the whole file",
				   (unsigned long long)image->size);
	version = get16(image, HDR_VERSION);
	if (version < 0x20c)
		return boot_refuse(vm, image,
				   "speaks boot protocol %u.%02u, 2.12 is needed; use Linux 3.8 or newer",
				   version >> 8, version & 0xff);
	if (!(get16(image, HDR_XLOADFLAGS) & XLF_KERNEL_64) || !(image->data[HDR_LOADFLAGS] & LOADED_HIGH))
		return boot_refuse(vm, image, "has no 64-bit entry point; use an x86-64 kernel");
	if (body <= ENTRY_64 || !image_has(image, setup, body))
		return boot_refuse(vm, image, "is truncated: %llu bytes of %llu; get the whole file",
				   (unsigned long long)image->size, (unsigned long long)(setup + body));
	return 0;
}

/* Its preferred address if there is room, else, if it can be moved, the lowest its alignment allows. */
static int bzimage_place(struct vm *vm, const struct image *image, u64 *load)
{
	u64 pref = get64(image, HDR_PREF_ADDRESS), need = get32(image, HDR_INIT_SIZE);
	u64 align = get32(image, HDR_KERNEL_ALIGNMENT);

	if (align == 0 || (align & (align - 1)))
		return boot_refuse(vm, image, "is damaged (kernel alignment 0x%llx); get it anew",
				   (unsigned long long)align);
	need = MAX(need, image->size - setup_size(image));
	*load = pref;
	if (pref >= BOOT_HIGH && memory_at(vm, pref, need))
		return 0;
	*load = ALIGN_UP((u64)BOOT_HIGH, align);
	if (image->data[HDR_RELOCATABLE] && memory_at(vm, *load, need))
		return 0;
	return vm_end(
		vm, VM_END_MEMORY, 0,
		"%llu MiB of memory is too little: kernel '%s' needs %llu MiB to start; use a larger --mem",
		(unsigned long long)vm->mem.size >> 20, image->path,
		(unsigned long long)((MAX(pref, *load) + need + (1 << 20) - 1) >> 20));
}

static int bzimage_load(struct vm *vm, const struct image *image)
{
	u64 setup = setup_size(image), load = 0;

	if (bzimage_check(vm, image) < 0 || bzimage_place(vm, image, &load) < 0)
		return -1;
	if (memory_write(vm, load, image->data + setup, image->size - setup) < 0)
		return vm_end(vm, VM_END_MEMORY, 0, "--mem is too small for kernel '%s'; use a larger --mem",
			      image->path);
	vm->boot.entry = load + ENTRY_64;
	vm->boot.kernel_end = load + MAX((u64)get32(image, HDR_INIT_SIZE), image->size - setup);
	vm->boot.initrd_max = get32(image, HDR_INITRD_ADDR_MAX);
	return 0;
}

static int bzimage_params(struct vm *vm, const struct image *image)
{
	u32 end = HDR_MAGIC + image->data[HDR_JUMP_LEN];

	if (boot_put_cmdline(vm, get32(image, HDR_CMDLINE_SIZE)) < 0)
		return -1;
	end = MIN(MAX(end, HDR_END), 0x290u);
	if (!image_has(image, 0, end))
		return boot_refuse(vm, image, "is truncated; get the whole file");
	return zero_page_write(vm, image->data + HDR_START, end - HDR_START);
}

const struct boot_loader boot_bzimage = {
	.format = BOOT_BZIMAGE,
	.name = "bzImage, 64-bit entry",
	.match = bzimage_match,
	.load = bzimage_load,
	.params = bzimage_params,
};
