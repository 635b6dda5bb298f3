/* SPDX-License-Identifier: Apache-2.0 */
/* kuse: finds the command. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

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
	int status = arch_choose(&argc, argv);
	const char *name;

	if (status != STATUS_OK)
		return status;
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
