/* SPDX-License-Identifier: Apache-2.0 */
/* kuse help [COMMAND] */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

int cmd_help(int argc, char **argv)
{
	char *help[] = {NULL, "--help", NULL};

	for (const struct command *c = commands; argc > 1 && c->name; c++)
		if (strcmp(argv[1], c->name) == 0 && c->run != cmd_help) {
			help[0] = argv[1];
			return c->run(2, help);
		}
	if (argc > 1 && strcmp(argv[1], "help") != 0)
		return complain(STATUS_USAGE, "there is no command '%s'; `kuse help` lists them", argv[1]);
	printf("usage: kuse COMMAND [OPTIONS]\n\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-8s %s\n", c->name, c->summary);
	printf("\n`kuse COMMAND --help` tells a command's options; `man kuse` everything.\n");
	return STATUS_OK;
}
