/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the loader, placing command line and initrd; what is common to all boot protocols. See boot.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/file.h"
#include "vmm/machine.h"

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

	for (size_t i = 0; machine_loaders[i]; i++)
		if (format == machine_loaders[i]->format ||
		    (format == BOOT_AUTO && machine_loaders[i]->match(image)))
			return machine_loaders[i];
	for (const struct boot_foreign *f = machine_foreign; f->len; f++)
		if (image_has(image, f->offset, f->len) &&
		    memcmp(image->data + f->offset, f->magic, f->len) == 0) {
			boot_refuse(vm, image, "is %s", f->what);
			return NULL;
		}
	boot_refuse(vm, image, "is %s", machine_kernels);
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
	u64 top = MIN(vm->boot.initrd_max + 1, GPA_RAM + vm->mem.low);
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
	ret = image.size ? boot_load(vm, &image) : boot_refuse(vm, &image, "is empty; give a Linux kernel");
	free(file.data);
	return ret;
}
