/* SPDX-License-Identifier: Apache-2.0 */
/* kuse run: options, the choice of KVM, kernel and initramfs; the VM; one line and an exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "vmm/initramfs.h"

/* The reboot and panic parameters make a panic end in a reset, which ends the VM. */
#define CMDLINE_BASE MACHINE_CONSOLE " panic=-1"
#define CMDLINE_LOG " " MACHINE_EARLYCON
#define CMDLINE_QUIET " quiet loglevel=3"

/* ---- which KVM ---- */

static const struct accel *choose_accel(enum accel_choice choice)
{
	char why[240];

	if (choice == ACCEL_KVM)
		return &accel_host_kvm;
	if (choice == ACCEL_KUSE)
		return &accel_kuse;
	if (accel_probe_host(why, sizeof(why))) {
		fprintf(stderr, "kuse: using %s: a test guest runs on it\n", accel_host_kvm.title);
		return &accel_host_kvm;
	}
	fprintf(stderr, "kuse: using %s: %s\n", accel_kuse.title, why);
	return &accel_kuse;
}

/* ---- what the guest boots ---- */

struct boot_files {
	char kernel[4096];
	char *cmdline;
	struct cpio initrd;
};

static void tell_run(struct run_options *opt, struct initramfs_run *run)
{
	struct winsize size = {0};

	run->argv = opt->command;
	run->shell = opt->vm.escape;
	run->echo = opt->vm.escape;
	run->raw_output = !isatty(STDOUT_FILENO);
	run->term = opt->vm.escape ? getenv("TERM") : NULL;
	if (opt->vm.escape && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
		run->rows = size.ws_row;
		run->columns = size.ws_col;
	}
}

/* The built-in initramfs serves our kernel, and any kernel that is to run a CMD. */
static int prepare_initrd(struct run_options *opt, struct boot_files *files)
{
	struct initramfs_run run = {0};
	size_t len;
	void *base;
	int status;

	if (opt->vm.initrd || (opt->vm.kernel && !opt->command))
		return STATUS_OK;
	status = cache_initramfs(&base, &len);
	if (status != STATUS_OK)
		return status;
	files->initrd = (struct cpio){.data = base, .len = len, .max = len};
	tell_run(opt, &run);
	initramfs_overlay(&files->initrd, &run);
	if (files->initrd.failed)
		return complain(STATUS_HOST_MEMORY, "the host is out of memory; free some");
	opt->vm.initrd_data = files->initrd.data;
	opt->vm.initrd_size = files->initrd.len;
	return STATUS_OK;
}

static int prepare_cmdline(struct run_options *opt, struct boot_files *files)
{
	if (asprintf(&files->cmdline, "%s%s%s%s", CMDLINE_BASE, opt->command ? CMDLINE_QUIET : CMDLINE_LOG,
		     opt->params ? " " : "", opt->params ?: "") < 0) {
		files->cmdline = NULL;
		return complain(STATUS_HOST_MEMORY, "the host is out of memory; free some");
	}
	opt->vm.cmdline = files->cmdline;
	return STATUS_OK;
}

static int prepare(struct run_options *opt, struct boot_files *files)
{
	int status;

	opt->vm.escape = isatty(STDIN_FILENO);
	opt->vm.command = opt->command != NULL;
	status = prepare_initrd(opt, files);
	if (status == STATUS_OK)
		status = prepare_cmdline(opt, files);
	if (status != STATUS_OK || opt->vm.kernel)
		return status;
	status = cache_kernel(files->kernel, sizeof(files->kernel));
	opt->vm.kernel = files->kernel;
	return status;
}

/* ---- how it ended ---- */

static const int end_status[VM_END_COUNT] = {
	[VM_END_NONE] = STATUS_FAILURE,
	[VM_END_POWEROFF] = STATUS_OK,
	[VM_END_RESET] = STATUS_OK,
	[VM_END_QUIT] = STATUS_OK,
	[VM_END_NO_COMMAND] = STATUS_NO_COMMAND,
	[VM_END_KERNEL] = STATUS_KERNEL,
	[VM_END_INITRD] = STATUS_INITRD,
	[VM_END_MEMORY] = STATUS_MEMORY,
	[VM_END_NO_KVM] = STATUS_NO_KVM,
	[VM_END_KVM_ERROR] = STATUS_KVM_ERROR,
	[VM_END_HOST_MEMORY] = STATUS_HOST_MEMORY,
	[VM_END_TRIPLE_FAULT] = STATUS_TRIPLE_FAULT,
	[VM_END_PANIC] = STATUS_PANIC,
	[VM_END_STUCK] = STATUS_STUCK,
};

static int exit_status(const struct run_options *opt, const struct vm *vm)
{
	switch (vm->end) {
	case VM_END_DEBUG_EXIT:
	case VM_END_COMMAND:
		return vm->end_value;
	case VM_END_SIGNAL:
		return STATUS_SIGNAL + vm->end_value;
	case VM_END_QUIT:
		return opt->command ? STATUS_NO_COMMAND : STATUS_OK;
	default:
		return end_status[vm->end];
	}
}

/* What looks at the run from outside of it. */
struct watch {
	struct ksyms syms;
	struct profile *profile;
};

static int watch_begin(struct run_options *opt, struct watch *w)
{
	int status = STATUS_OK;

	*w = (struct watch){0};
	if (opt->profile || opt->perf_map)
		status = symbols_begin(opt, &w->syms);
	if (status == STATUS_OK && opt->perf_map)
		status = perf_map_begin();
	if (status == STATUS_OK && opt->profile)
		status = profile_begin(opt, &w->syms, &w->profile);
	return status;
}

static void watch_end(const struct run_options *opt, struct watch *w)
{
	profile_end(w->profile);
	if (opt->perf_map)
		perf_map_end(&w->syms);
}

static int run_vm(struct run_options *opt)
{
	const struct accel *accel = choose_accel(opt->accel);
	struct vm *vm = malloc(sizeof(*vm));
	struct watch watch;
	int status;

	if (!vm)
		return complain(STATUS_HOST_MEMORY, "the host is out of memory; free some");
	status = watch_begin(opt, &watch);
	if (status == STATUS_OK) {
		vm_run(vm, &opt->vm, accel);
		watch_end(opt, &watch);
		if (vm->end_text[0])
			complain(0, "%s: %s", opt->vm.name, vm->end_text);
		else if (opt->vm.debug)
			complain(0, "%s: %s", opt->vm.name, vm_end_name(vm->end));
		status = exit_status(opt, vm);
	}
	ksyms_free(&watch.syms);
	free(vm);
	return status;
}

int run_guest(struct run_options *opt)
{
	struct boot_files files = {0};
	int status = prepare(opt, &files);

	if (status == STATUS_OK)
		status = run_vm(opt);
	if (opt->vm.kernel == files.kernel)
		opt->vm.kernel = NULL;
	opt->vm.initrd_data = NULL;
	opt->vm.cmdline = NULL;
	free(files.initrd.data);
	free(files.cmdline);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct run_options opt;
	int status = options_parse(argc, argv, &opt);

	if (status != STATUS_OK)
		return status;
	if (opt.help) {
		options_help();
		return STATUS_OK;
	}
	return run_guest(&opt);
}
