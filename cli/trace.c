/* SPDX-License-Identifier: Apache-2.0 */
/* kuse trace: run's options after our own; events go to stderr or a file while the guest runs. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "virt/sys.h"

#define TRACE_ALL "exit,irq,init,block"

static const char help_text[] =
	"usage: kuse trace [-e CLASSES] [-o FILE] [--json] [RUN-OPTIONS] [-- CMD [ARGUMENT...]]\n"
	"\n"
	"Runs a guest as `kuse run` does, always on KUSE's KVM, and writes what happens, one event a line.\n"
	"\n"
	"  -e CLASSES   of exit, irq, init, block, comma separated (default: all)\n"
	"  -o FILE      write events there instead of to stderr\n"
	"  --json       as JSON, one object a line\n"
	"\n"
	"`kuse trace -e init` alone shows the start-up steps and runs no guest.\n";

struct trace_options {
	const char *classes;
	const char *file;
	bool json, help;
};

/* Our own options come first; returns how many arguments they take, or -1. */
static int parse_own(int argc, char **argv, struct trace_options *opt)
{
	int i = 1;

	*opt = (struct trace_options){.classes = TRACE_ALL};
	for (; i < argc; i++) {
		bool value = strcmp(argv[i], "-e") == 0 || strcmp(argv[i], "-o") == 0;

		if (value && i + 1 == argc) {
			complain(0, "option '%s' needs a value; see `kuse trace --help`", argv[i]);
			return -1;
		}
		if (strcmp(argv[i], "-e") == 0)
			opt->classes = argv[++i];
		else if (strcmp(argv[i], "-o") == 0)
			opt->file = argv[++i];
		else if (strcmp(argv[i], "--json") == 0)
			opt->json = true;
		else
			break;
	}
	opt->help = i < argc && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0);
	return i - 1;
}

static int trace_start(const struct trace_options *opt)
{
	int fd = STDERR_FILENO;

	if (opt->file)
		fd = open(opt->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return complain(STATUS_FAILURE, "cannot write the trace to '%s': %m; choose another with -o",
				opt->file);
	if (kuse_trace(opt->classes, fd, opt->json) < 0)
		return complain(STATUS_USAGE, "-e '%s' is not a list of exit, irq, init, block",
				opt->classes);
	return STATUS_OK;
}

int cmd_trace(int argc, char **argv)
{
	struct trace_options own;
	struct run_options opt;
	int used = parse_own(argc, argv, &own), status;

	if (used < 0)
		return STATUS_USAGE;
	if (own.help) {
		fputs(help_text, stdout);
		return STATUS_OK;
	}
	argv[used] = argv[0];
	status = options_parse(argc - used, argv + used, &opt);
	if (status != STATUS_OK)
		return status;
	if (opt.accel == ACCEL_KVM)
		return complain(STATUS_USAGE, "trace looks into KUSE's KVM; leave out --accel kvm");
	opt.accel = ACCEL_KUSE;
	loop_block_signals();
	status = trace_start(&own);
	if (status != STATUS_OK)
		return status;
	if (strcmp(own.classes, "init") == 0 && argc - used == 1)
		return kuse_init() < 0 ? STATUS_NO_KVM : STATUS_OK;
	return run_guest(&opt);
}
