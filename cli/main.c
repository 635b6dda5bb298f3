/* SPDX-License-Identifier: Apache-2.0 */
/* kuse: the command table. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

const struct command commands[] = {
	{"run", "boot a guest, or run a command in one", cmd_run},
	{"exec", "run an unmodified KVM client on KUSE's KVM", cmd_exec},
	{"doctor", "every start-up step with its verdict and remedy", cmd_doctor},
	{"trace", "run a guest and record exits, interrupts, start-up, translations", cmd_trace},
	{"version", "version of kuse and of the KVM API", cmd_version},
	{"help", "this list, or a command's options", cmd_help},
	{NULL, NULL, NULL},
};

int complain(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("kuse: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

/* --help and --version are the commands of that name. */
static const char *command_name(const char *arg)
{
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		return "help";
	if (strcmp(arg, "--version") == 0)
		return "version";
	return arg;
}

int main(int argc, char **argv)
{
	const char *name;

	if (argc < 2) {
		cmd_help(0, NULL);
		return STATUS_USAGE;
	}
	name = command_name(argv[1]);
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(name, c->name) == 0)
			return c->run(argc - 1, argv + 1);
	return complain(STATUS_USAGE, "there is no command '%s'; `kuse help` lists them", argv[1]);
}
