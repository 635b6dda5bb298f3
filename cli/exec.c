/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kuse exec: an unmodified KVM client, with libkuse-preload.so in front of its libc. The client takes this
 * process's place, so that its terminal, signals, job control and exit status are simply its own.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "virt/sys.h"

#define LIBRARY "libkuse-preload.so"

enum { OPT_CPUID = 256, OPT_PERF_MAP };

static const struct option longs[] = {
	{"mode", required_argument, NULL, 'm'},
	{"trace", required_argument, NULL, 'e'},
	{"output", required_argument, NULL, 'o'},
	{"cpuid", required_argument, NULL, OPT_CPUID},
	{"perf-map", no_argument, NULL, OPT_PERF_MAP},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"usage: kuse exec [OPTIONS] [--] CLIENT [ARGUMENT...]\n"
	"\n"
	"Runs CLIENT, an unmodified program written for Linux's KVM; the /dev/kvm it sees is KUSE's.\n"
	"\n"
	"      --mode MODE      vhe (default): KVM lives in the client's process; none: refuse\n"
	"  -e, --trace CLASSES  tell what happens, one event a line: exit, irq, init, block,\n"
	"                       comma separated\n"
	"  -o, --output FILE    append events to FILE instead of stderr\n"
	"      --cpuid WHICH    auto (default): where the host's CPUID shows no VMX or SVM, a client\n"
	"                       that executes CPUID to look for it finds it; native: leave it alone\n"
	"      --perf-map       write /tmp/perf-PID.map, with which perf(1) names translated blocks\n"
	"  -h, --help           this text\n"
	"\n"
	"Example: kuse exec -- qemu-system-x86_64 -accel kvm -m 1G -nographic -kernel vmlinuz\n"
	"\n"
	"CLIENT must be a 64-bit, dynamically linked program of glibc, or a script for one.\n"
	"Exit status: CLIENT's. 100 bad option, 104 no usable KVM, 111 CLIENT is static or privileged,\n"
	"126 it cannot be run, 127 there is none.\n";

struct exec_options {
	const char *mode, *classes, *file, *cpuid;
	bool perf_map, help;
};

static int parse(int argc, char **argv, struct exec_options *opt)
{
	int c;

	*opt = (struct exec_options){ 0 };
	optind = 0; /* "+": the client's own options are not ours */
	while ((c = getopt_long(argc, argv, "+:e:o:h", longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return complain(STATUS_USAGE, "exec: %s '%s'; see `kuse exec --help`",
					c == '?' ? "there is no option" : "a value is missing after",
					argv[optind - 1]);
		if (c == 'm')
			opt->mode = optarg;
		else if (c == 'e')
			opt->classes = optarg;
		else if (c == 'o')
			opt->file = optarg;
		else if (c == OPT_CPUID)
			opt->cpuid = optarg;
		else if (c == OPT_PERF_MAP)
			opt->perf_map = true;
		else
			opt->help = true;
	}
	if (opt->cpuid && strcmp(opt->cpuid, "auto") && strcmp(opt->cpuid, "native"))
		return complain(STATUS_USAGE, "--cpuid '%s' is neither auto nor native", opt->cpuid);
	if (opt->file && !opt->classes)
		return complain(STATUS_USAGE, "-o tells where events go; say which with --trace");
	if (opt->classes && kuse_trace(opt->classes, -1, false) < 0)
		return complain(STATUS_USAGE, "--trace '%s' is not a list of exit, irq, init, block",
				opt->classes);
	return STATUS_OK;
}

/* ---- the client's environment -------------------------------------------------------------------------- */

/* Beside the program (a build tree), else where it is installed. */
static int find_library(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(LIBRARY) - 1);
	char *slash;

	path[n < 0 ? 0 : n] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		memcpy(slash + 1, LIBRARY, sizeof(LIBRARY));
	if (!slash || access(path, R_OK))
		snprintf(path, PATH_MAX, "%s/%s", KUSE_PRELOAD_DIR, LIBRARY);
	if (access(path, R_OK))
		return complain(STATUS_FAILURE, "cannot read %s: %m; build or install KUSE completely", path);
	if (strpbrk(path, " :"))
		return complain(STATUS_FAILURE, "LD_PRELOAD cannot name '%s': it has a blank or colon", path);
	return STATUS_OK;
}

static int set(const char *name, const char *value)
{
	return setenv(name, value, 1) ? complain(STATUS_HOST_MEMORY, "out of memory") : STATUS_OK;
}

/* name=a:b, or just one of them. */
static int set_joined(const char *name, const char *a, const char *b)
{
	char *value;
	int status;

	if (asprintf(&value, "%s%s%s", a, b && *b ? ":" : "", b ? b : "") < 0)
		return complain(STATUS_HOST_MEMORY, "out of memory");
	status = set(name, value);
	free(value);
	return status;
}

static int set_environment(const struct exec_options *opt)
{
	char library[PATH_MAX];
	int status = find_library(library);

	if (status == STATUS_OK)
		status = set_joined("LD_PRELOAD", library, getenv("LD_PRELOAD"));
	if (status == STATUS_OK && opt->classes)
		status = set_joined("KUSE_TRACE", opt->classes, opt->file);
	if (status == STATUS_OK && opt->cpuid)
		status = set("KUSE_CPUID", opt->cpuid);
	if (status == STATUS_OK && opt->perf_map)
		status = set("KUSE_PERF_MAP", "1");
	return status;
}

/* The client would only be told ENODEV. */
static int check_kvm(void)
{
	const struct kuse_init_step *step;
	size_t n;

	if (kuse_init() >= 0)
		return STATUS_OK;
	n = kuse_init_report(&step);
	while (n && !(step->error < 0))
		step++, n--;
	return complain(STATUS_NO_KVM, "no usable KVM: %s; %s (`kuse doctor` tells all)",
			n ? step->verdict : "start-up failed",
			n && step->remedy ? step->remedy : "no remedy is known");
}

int cmd_exec(int argc, char **argv)
{
	struct exec_options opt;
	char path[PATH_MAX];
	int status = parse(argc, argv, &opt);

	if (opt.help) {
		fputs(help_text, stdout);
		return STATUS_OK;
	}
	if (status == STATUS_OK && optind >= argc)
		status = complain(STATUS_USAGE, "exec needs a client to run; see `kuse exec --help`");
	if (status == STATUS_OK && opt.mode)
		status = set("KUSE_MODE", opt.mode);
	if (status == STATUS_OK)
		status = client_find(argv[optind], path);
	if (status == STATUS_OK)
		status = client_check(path);
	if (status == STATUS_OK)
		status = check_kvm();
	if (status == STATUS_OK)
		status = set_environment(&opt);
	if (status != STATUS_OK)
		return status;
	execv(path, argv + optind);
	return complain(STATUS_CLIENT_NOT_RUNNABLE, "cannot run '%s': %m", path);
}
