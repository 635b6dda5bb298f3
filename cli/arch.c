/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --arch: there is one program for each guest architecture, made of the same sources (kuse, kuse-arm64),
 * since KVM's ioctl numbers depend on it. Each takes --arch anywhere before "--" and, where another
 * architecture is meant, becomes that program. It lies beside this one, or where programs are installed
 * that users need not see.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
	const char *name, *arch, *program;
} archs[] = {
	{"amd64", "amd64", "kuse"},         {"x86-64", "amd64", "kuse"},        {"x86_64", "amd64", "kuse"},
	{"arm64", "arm64", "kuse-arm64"},   {"aarch64", "arm64", "kuse-arm64"},
};

static int become(const char *program, char **argv)
{
	char self[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = 0;
		*(strrchr(self, '/') ?: self) = 0;
		snprintf(path, sizeof(path), "%s/%s", self, program);
		execv(path, argv);
	}
	snprintf(path, sizeof(path), "%s/%s", KUSE_LIBEXEC, program);
	execv(path, argv);
	return complain(STATUS_USAGE,
			"cannot run %s: %s; it is built where linux-libc-dev-arm64-cross is installed", path,
			strerror(errno));
}

static int choose(const char *name, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(archs); i++)
		if (strcmp(archs[i].name, name) == 0)
			return strcmp(archs[i].arch, MACHINE_ARCH) == 0 ? STATUS_OK
									: become(archs[i].program, argv);
	return complain(STATUS_USAGE, "--arch does not know '%s'; give amd64 or arm64", name);
}

/* Takes argv[at], `n` long, out. */
static void take_out(int *argc, char **argv, int at, int n)
{
	memmove(&argv[at], &argv[at + n], (size_t)(*argc - at - n + 1) * sizeof(argv[0]));
	*argc -= n;
}

int arch_choose(int *argc, char **argv)
{
	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		char *name = strncmp(argv[i], "--arch=", 7) == 0 ? argv[i] + 7 : argv[i + 1];
		int n = name == argv[i + 1] ? 2 : 1;

		if (n == 2 && strcmp(argv[i], "--arch") != 0)
			continue;
		if (!name)
			return complain(STATUS_USAGE, "option '--arch' needs a value: amd64 or arm64");
		take_out(argc, argv, i, n);
		return choose(name, argv);
	}
	return STATUS_OK;
}
