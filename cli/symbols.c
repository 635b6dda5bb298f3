/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the guest kernel's functions, for --profile and --perf-map.
 *
 * They come from the tables that the kernel has in its memory, read when the guest has stopped: right
 * wherever KASLR put it. A System.map (--symbols) has the addresses of the link; a register that holds
 * where the kernel's entry is (machine_entry_address) tells how far the kernel is from there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "vmm/file.h"
#include "vmm/machine.h"

static void move_symbols(struct ksyms *syms, struct vm *vm)
{
	u64 linked = ksyms_address(syms, machine_entry_symbol);
	u64 there = linked && vm->vcpus ? machine_entry_address(vm->vcpus) : 0;

	if (there)
		ksyms_move(syms, there - linked);
}

static void inspect(struct vm *vm, void *opaque)
{
	struct ksyms *syms = opaque;
	const struct vm_memory *mem = &vm->mem;

	if (syms->n)
		move_symbols(syms, vm);
	else if (ksyms_from_memory(syms, mem->base, mem->low))
		ksyms_from_memory(syms, mem->base + mem->low, mem->high);
}

static int load_map(struct ksyms *syms, const char *path)
{
	struct file_data file;
	int err;

	if (file_read(path, &file) < 0)
		return complain(STATUS_FAILURE, "cannot read --symbols '%s': %s", path, strerror(errno));
	err = ksyms_from_map(syms, (const char *)file.data, file.size);
	free(file.data);
	if (err)
		return complain(STATUS_FAILURE,
				"--symbols '%s' is no System.map: lines are to be \"address type name\"",
				path);
	return STATUS_OK;
}

int symbols_begin(struct run_options *opt, struct ksyms *syms)
{
	*syms = (struct ksyms){0};
	opt->vm.inspect = inspect;
	opt->vm.inspect_opaque = syms;
	return opt->symbols ? load_map(syms, opt->symbols) : STATUS_OK;
}
