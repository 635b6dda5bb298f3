/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the loader, placing command line and initrd; what is common to all boot protocols. See boot.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot.h"
#include "vmm/file.h"

/* In the order they are asked; a flat guest has no magic and must be asked for. */
static const struct boot_loader *const loaders[] = {&boot_bzimage, &boot_pvh, &boot_elf, &boot_flat};

/* Images of other worlds, told by name. */
static const struct {
	u32 offset;
	const char *magic;
	u32 len;
	const char *what;
} foreign[] = {
	{0x38, "ARM\x64", 4, "an arm64 kernel; this machine is x86-64: use an x86-64 kernel"},
	{0x38, "RSC\x05", 4, "a RISC-V kernel; this machine is x86-64: use an x86-64 kernel"},
	{0, "\x1f\x8b", 2, "gzip-compressed; gunzip it first"},
	{0, "\xfd" "7zXZ", 5, "xz-compressed; unxz it first"},
	{0, "\x28\xb5\x2f\xfd", 4, "zstd-compressed; unzstd it first"},
	{0, "\x27\x05\x19\x56", 4, "a U-Boot image; use a bzImage or vmlinux"},
	{0, "!<arch>\n", 8, "a Debian package or archive; extract its boot/vmlinuz-* first (dpkg-deb -x)"},
	{0, "070701", 6, "a cpio archive (an initramfs?); give it with --initrd"},
};

bool image_has(const struct image *image, u64 offset, u64 len)
{
	return offset <= image->size && len <= image->size - offset;
}

int boot_refuse(struct vm *vm, const struct image *image, const char *fmt, ...)
{
	char why[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return vm_end(vm, VM_END_KERNEL, 0, "kernel '%s': %s", image->path, why);
}

static const struct boot_loader *boot_choose(struct vm *vm, const struct image *image)
{
	enum boot_format format = vm->cfg->format;

	for (size_t i = 0; i < ARRAY_SIZE(loaders); i++)
		if (format == loaders[i]->format || (format == BOOT_AUTO && loaders[i]->match(image)))
			return loaders[i];
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (image_has(image, foreign[i].offset, foreign[i].len) &&
		    memcmp(image->data + foreign[i].offset, foreign[i].magic, foreign[i].len) == 0) {
			boot_refuse(vm, image, "is %s", foreign[i].what);
			return NULL;
		}
	boot_refuse(vm, image, "is neither a bzImage nor an ELF vmlinux; give an x86-64 Linux kernel");
	return NULL;
}

int boot_put_cmdline(struct vm *vm, u64 limit)
{
	const char *cmdline = vm->cfg->cmdline;
	u64 len = strlen(cmdline);

	if (len > limit || len >= BOOT_CMDLINE_MAX)
		return vm_end(
			vm, VM_END_KERNEL, 0,
			"the kernel command line has %llu bytes, this kernel takes %llu; shorten --params",
			(unsigned long long)len, (unsigned long long)MIN(limit, BOOT_CMDLINE_MAX - 1));
	if (memory_write(vm, BOOT_CMDLINE, cmdline, len + 1) < 0)
		return vm_end(vm, VM_END_MEMORY, 0, "--mem is too small for a PC; use --mem 64M or more");
	return 0;
}

static const char *file_error(int error)
{
	return error == EINVAL ? "is not a regular file" : strerror(error);
}

static int initrd_place(struct vm *vm, const char *name, const void *data, u64 size)
{
	u64 top = MIN(vm->boot.initrd_max + 1, vm->mem.low);
	gpa_t gpa = size <= top ? ALIGN_DOWN(top - size, PAGE_SIZE) : 0;

	if (gpa < vm->boot.kernel_end || memory_write(vm, gpa, data, size) < 0)
		return vm_end(
			vm, VM_END_INITRD, 0,
			"initrd '%s' (%llu KiB) does not fit beside the kernel in %llu MiB; use more --mem",
			name, (unsigned long long)size >> 10, (unsigned long long)vm->mem.size >> 20);
	vm->boot.initrd = gpa;
	vm->boot.initrd_size = size;
	vm_debug(vm, "initrd at 0x%llx, %llu bytes", (unsigned long long)gpa, (unsigned long long)size);
	return 0;
}

int boot_put_initrd(struct vm *vm)
{
	const struct vm_config *cfg = vm->cfg;
	struct file_data file;
	int ret;

	if (!cfg->initrd) {
		if (!cfg->initrd_data)
			return 0;
		return initrd_place(vm, "built-in", cfg->initrd_data, cfg->initrd_size);
	}
	if (file_read(cfg->initrd, &file) < 0)
		return vm_end(vm, errno == ENOMEM ? VM_END_HOST_MEMORY : VM_END_INITRD, 0,
			      "initrd '%s': %s; check the path given with --initrd", cfg->initrd,
			      file_error(errno));
	ret = initrd_place(vm, cfg->initrd, file.data, file.size);
	free(file.data);
	return ret;
}

static int boot_load(struct vm *vm, const struct image *image)
{
	const struct boot_loader *loader = boot_choose(vm, image);

	if (!loader)
		return -1;
	vm->boot.format = loader->format;
	if (loader->load(vm, image) < 0 || boot_put_initrd(vm) < 0 || loader->params(vm, image) < 0)
		return -1;
	vm_debug(vm, "kernel: %s, entry 0x%llx", loader->name, (unsigned long long)vm->boot.entry);
	return 0;
}

int boot_init(struct vm *vm)
{
	struct image image = {.path = vm->cfg->kernel};
	struct file_data file;
	int ret;

	if (file_read(image.path, &file) < 0)
		return vm_end(vm, errno == ENOMEM ? VM_END_HOST_MEMORY : VM_END_KERNEL, 0,
			      "kernel '%s': %s; check the path given with --kernel", image.path,
			      file_error(errno));
	image.data = file.data;
	image.size = file.size;
	ret = image.size ? boot_load(vm, &image)
			 : boot_refuse(vm, &image, "is empty; give an x86-64 Linux kernel");
	free(file.data);
	return ret;
}
