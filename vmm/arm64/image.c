/* SPDX-License-Identifier: Apache-2.0 */
/* Image and Image.gz (Documentation/arch/arm64/booting.rst): at text_offset from a 2 MiB boundary. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vmm/arm64/arm64.h"

#define IMAGE_MAGIC_AT 0x38u
#define IMAGE_TEXT_OFFSET 0x08u
#define IMAGE_SIZE 0x10u
#define IMAGE_FLAGS 0x18u
#define IMAGE_HEADER 64u
#define IMAGE_FLAG_BE 1u
#define IMAGE_ALIGN (2u << 20)
#define IMAGE_MAX (1ull << 30)
/* Kernel, initrd and device tree stay within this much from the start of RAM: the kernel maps them early. */
#define BOOT_WINDOW (1ull << 30)

static u64 le64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool is_image(const struct image *image)
{
	return image_has(image, 0, IMAGE_HEADER) && memcmp(image->data + IMAGE_MAGIC_AT, "ARM\x64", 4) == 0;
}

/* The window's last 2 MiB are the device tree's. */
static u64 window_end(const struct vm *vm)
{
	return GPA_RAM + MIN(ALIGN_DOWN(vm->mem.low, IMAGE_ALIGN), BOOT_WINDOW);
}

static int image_load(struct vm *vm, const struct image *image)
{
	u64 offset = le64(image->data + IMAGE_TEXT_OFFSET), size = le64(image->data + IMAGE_SIZE);
	u64 flags = le64(image->data + IMAGE_FLAGS), end = window_end(vm);

	if (!size) { /* before 3.17: fields of unknown meaning, a fixed offset */
		offset = 0x80000;
		size = image->size;
		flags = 0;
	}
	if (flags & IMAGE_FLAG_BE)
		return boot_refuse(vm, image, "is big endian; use a little-endian kernel");
	if (size > IMAGE_MAX || offset > IMAGE_MAX || size < image->size)
		return boot_refuse(vm, image, "is damaged: text_offset 0x%llx, image_size 0x%llx",
				   (unsigned long long)offset, (unsigned long long)size);
	if (end < GPA_RAM + IMAGE_ALIGN || offset + size > end - IMAGE_ALIGN - GPA_RAM)
		return vm_end(vm, VM_END_MEMORY, 0, "kernel '%s' needs %llu MiB; use more --mem", image->path,
			      (unsigned long long)(offset + size + 2 * IMAGE_ALIGN) >> 20);
	if (memory_write(vm, GPA_RAM + offset, image->data, image->size) < 0)
		return vm_end(vm, VM_END_MEMORY, 0, "kernel '%s' does not fit; use more --mem", image->path);
	vm->boot.entry = GPA_RAM + offset;
	vm->boot.kernel_end = GPA_RAM + offset + size;
	vm->boot.params = end - IMAGE_ALIGN;
	vm->boot.initrd_max = vm->boot.params - 1;
	return 0;
}

static int image_params(struct vm *vm, const struct image *image)
{
	return tree_write(vm);
}

const struct boot_loader boot_image = {
	.format = BOOT_IMAGE,
	.name = "Image",
	.match = is_image,
	.load = image_load,
	.params = image_params,
};

/* ---- gzip ---- */

static bool is_gzip(const struct image *image)
{
	return image_has(image, 0, 18) && memcmp(image->data, "\x1f\x8b", 2) == 0;
}

/* The whole member into a buffer that grows; 0, or zlib's error (of data: more than IMAGE_MAX,
 * too). */
static int inflate_all(const struct image *in, struct image *out)
{
	z_stream z = {.next_in = in->data, .avail_in = (uInt)in->size};
	u64 room = 0;
	int ret = inflateInit2(&z, 16 + MAX_WBITS);

	while (ret == Z_OK) {
		if (out->size == room) {
			u8 *more;

			room = room ? room * 2 : 64u << 20;
			more = room > IMAGE_MAX ? NULL : realloc(out->data, room);
			if (!more) {
				ret = room > IMAGE_MAX ? Z_DATA_ERROR : Z_MEM_ERROR;
				break;
			}
			out->data = more;
		}
		z.next_out = out->data + out->size;
		z.avail_out = (uInt)(room - out->size);
		ret = inflate(&z, Z_NO_FLUSH);
		out->size = room - z.avail_out;
	}
	inflateEnd(&z);
	return ret == Z_STREAM_END ? 0 : ret;
}

static int gz_load(struct vm *vm, const struct image *image)
{
	struct image plain = {.path = image->path};
	int ret = inflate_all(image, &plain);

	if (ret == Z_MEM_ERROR)
		ret = vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory unpacking kernel '%s'",
			     image->path);
	else if (ret)
		ret = boot_refuse(vm, image, "is damaged or too large: it cannot be gunzipped");
	else if (!is_image(&plain))
		ret = boot_refuse(vm, image, "is gzip-compressed, but what is inside is no arm64 Image");
	else
		ret = image_load(vm, &plain);
	free(plain.data);
	return ret;
}

const struct boot_loader boot_image_gz = {
	.format = BOOT_IMAGE,
	.name = "Image.gz",
	.match = is_gzip,
	.load = gz_load,
	.params = image_params,
};
