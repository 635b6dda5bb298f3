/* SPDX-License-Identifier: Apache-2.0 */
/* kuse exec: an unmodified KVM client with libkuse-preload.so in front of its libc. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define LIBRARY "libkuse-preload.so"

static const char help_text[] =
	"usage: kuse exec [--] CLIENT [ARGUMENT...]\n"
	"\n"
	"Runs CLIENT, an unmodified program written for Linux's KVM; the /dev/kvm it opens is KUSE's.\n";

static int find_library(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(LIBRARY) - 1);
	char *slash;

	path[n < 0 ? 0 : n] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, LIBRARY);
		if (!access(path, R_OK))
			return STATUS_OK;
	}
	snprintf(path, PATH_MAX, "%s/%s", KUSE_PRELOAD_DIR, LIBRARY);
	return access(path, R_OK) ? complain(STATUS_FAILURE, "cannot read %s: %m", path) : STATUS_OK;
}

static int set_preload(void)
{
	const char *others = getenv("LD_PRELOAD");
	char path[PATH_MAX], *value;
	int status = find_library(path);

	if (status != STATUS_OK)
		return status;
	if (asprintf(&value, "%s%s%s", path, others && *others ? ":" : "", others ? others : "") < 0 ||
	    setenv("LD_PRELOAD", value, 1))
		return complain(STATUS_HOST_MEMORY, "out of memory");
	free(value);
	return STATUS_OK;
}

int cmd_exec(int argc, char **argv)
{
	int first = 1, status;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(help_text, stdout);
		return STATUS_OK;
	}
	if (argc > 1 && !strcmp(argv[1], "--"))
		first = 2;
	if (first >= argc)
		return complain(STATUS_USAGE, "exec needs a client to run; see `kuse exec --help`");
	status = set_preload();
	if (status != STATUS_OK)
		return status;
	execvp(argv[first], argv + first);
	return complain(errno == ENOENT ? 127 : 126, "cannot run '%s': %m", argv[first]);
}
