/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `kuse run` (and, after its own, `kuse trace`): names as in kvmtool where it has them. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "vmm/machine.h"

#define DEFAULT_MEMORY_MIB 512u
#define MAX_MEMORY_MIB (512u << 10)

enum { OPT_ACCEL = 256, OPT_IRQCHIP, OPT_PMU, OPT_NAME, OPT_DEBUG, OPT_BOOT, OPT_PROFILE, OPT_SYMBOLS, OPT_PERF_MAP };

static const struct option longs[] = {
	{"kernel", required_argument, NULL, 'k'},
	{"initrd", required_argument, NULL, 'i'},
	{"params", required_argument, NULL, 'p'},
	{"mem", required_argument, NULL, 'm'},
	{"cpus", required_argument, NULL, 'c'},
	{"accel", required_argument, NULL, OPT_ACCEL},
	{"irqchip", required_argument, NULL, OPT_IRQCHIP},
	{"name", required_argument, NULL, OPT_NAME},
	{"pmu", no_argument, NULL, OPT_PMU},
	{"boot", required_argument, NULL, OPT_BOOT},
	{"debug", no_argument, NULL, OPT_DEBUG},
	{"profile", optional_argument, NULL, OPT_PROFILE},
	{"perf-map", no_argument, NULL, OPT_PERF_MAP},
	{"symbols", required_argument, NULL, OPT_SYMBOLS},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"usage: kuse run [OPTIONS] [-- CMD [ARGUMENT...]]\n"
	"\n"
	"Boots a guest with its serial console on this terminal. Without --kernel: the stock Debian cloud\n"
	"kernel (fetched once) with a busybox initramfs. With CMD: runs CMD in that guest and returns its\n"
	"status.\n"
	"\n"
	"  -k, --kernel FILE    bzImage, ELF vmlinux or PVH kernel; arm64: Image or Image.gz\n"
	"  -i, --initrd FILE    initial RAM disk (with --kernel and no CMD: none unless given)\n"
	"  -p, --params TEXT    added to the kernel command line\n"
	"  -m, --mem SIZE       guest memory in MiB, or with suffix M or G (default 512)\n"
	"  -c, --cpus N         number of vCPUs (default 1, arm64: 2; at most 64)\n"
	"      --accel WHICH    auto (default): the host's /dev/kvm if a test guest runs on it, else\n"
	"                       KUSE's KVM; kvm: the host's; kuse: KUSE's\n"
	"      --arch ARCH      the guest's architecture: amd64 (default) or arm64\n"
	"      --irqchip CHIP   arm64: gicv3-its (default), gicv3, or gicv2 (at most 8 vCPUs)\n"
	"      --pmu            arm64: a performance monitor for the guest's perf(1)\n"
	"      --boot FORMAT    auto (default), bzimage, elf, pvh, flat (real mode at 1000:0), or\n"
	"                       image (arm64: Image, Image.gz)\n"
	"      --name NAME      the guest's name in messages\n"
	"      --debug          tell each start-up step on stderr\n"
	"      --profile[=FILE] at the end, tell where time went: by engine state, by guest function;\n"
	"                       on stderr, or into FILE\n"
	"      --perf-map       write /tmp/perf-PID.map, with which perf(1) names translated blocks\n"
	"      --symbols FILE   System.map for these (default: what the guest's kernel has in memory)\n"
	"  -h, --help           this text\n"
	"\n"
	"Keys: Ctrl-A x quits, Ctrl-A h lists the keys, Ctrl-A Ctrl-A sends Ctrl-A.\n"
	"Exit status: 0 the guest powered off; CMD's status; 100-110 and 128+N: see `man kuse`.\n";

void options_help(void)
{
	fputs(help_text, stdout);
}

static const char *const accel_names[] = {
	[ACCEL_AUTO] = "auto",
	[ACCEL_KVM] = "kvm",
	[ACCEL_KUSE] = "kuse",
	NULL,
};
static const char *const boot_names[] = {
	[BOOT_AUTO] = "auto",
	[BOOT_BZIMAGE] = "bzimage",
	[BOOT_ELF] = "elf",
	[BOOT_PVH] = "pvh",
	[BOOT_FLAT] = "flat",
	[BOOT_IMAGE] = "image",
	NULL,
};

static int find_name(const char *const *names, const char *name)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static int parse_memory(const char *text, u64 *bytes)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	u64 mib = n;

	if (*end == 'G' || *end == 'g')
		mib = n << 10;
	if (end == text || *text == '-' || (*end && !strchr("MmGg", *end)) || (*end && end[1]))
		return complain(STATUS_USAGE, "--mem '%s' is not a size; give MiB, or a number with M or G",
				text);
	if (n > MAX_MEMORY_MIB || mib > MAX_MEMORY_MIB || mib == 0)
		return complain(STATUS_USAGE, "--mem %s is out of range; give 1M to %uG", text,
				MAX_MEMORY_MIB >> 10);
	*bytes = mib << 20;
	return STATUS_OK;
}

static int parse_cpus(const char *text, u32 *cpus)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || n < 1 || n > VM_MAX_CPUS)
		return complain(STATUS_USAGE, "--cpus '%s' is not a number from 1 to %d", text, VM_MAX_CPUS);
	*cpus = n;
	return STATUS_OK;
}

static int parse_choice(const char *option, const char *const *names, const char *text, int *choice)
{
	*choice = find_name(names, text);
	if (*choice >= 0)
		return STATUS_OK;
	return complain(STATUS_USAGE, "--%s does not know '%s'; `kuse run --help` lists the choices", option,
			text);
}

static int parse_irqchip(const char *name, int *chip)
{
	for (*chip = 0; machine_irqchips[*chip].name; ++*chip)
		if (strcmp(machine_irqchips[*chip].name, name) == 0)
			return STATUS_OK;
	return complain(STATUS_USAGE,
			"--irqchip does not know '%s' for " MACHINE_ARCH
			"; `kuse run --help` lists the choices",
			name);
}

static int parse_one(int c, char *arg, struct run_options *opt)
{
	int choice, status;

	switch (c) {
	case 'k':
		opt->vm.kernel = arg;
		return STATUS_OK;
	case 'i':
		opt->vm.initrd = arg;
		return STATUS_OK;
	case 'p':
		opt->params = arg;
		return STATUS_OK;
	case 'm':
		return parse_memory(arg, &opt->vm.memory);
	case 'c':
		return parse_cpus(arg, &opt->vm.cpus);
	case OPT_ACCEL:
		status = parse_choice("accel", accel_names, arg, &choice);
		opt->accel = status == STATUS_OK ? choice : 0;
		return status;
	case OPT_BOOT:
		status = parse_choice("boot", boot_names, arg, &choice);
		opt->vm.format = status == STATUS_OK ? choice : 0;
		return status;
	case OPT_IRQCHIP:
		return parse_irqchip(arg, &opt->vm.irqchip);
	case OPT_PMU:
		opt->vm.pmu = true;
		return STATUS_OK;
	case OPT_NAME:
		opt->vm.name = arg;
		return STATUS_OK;
	case OPT_PROFILE:
		opt->profile = true;
		opt->profile_file = arg;
		return STATUS_OK;
	case OPT_PERF_MAP:
		opt->perf_map = true;
		return STATUS_OK;
	case OPT_SYMBOLS:
		opt->symbols = arg;
		return STATUS_OK;
	case OPT_DEBUG:
		opt->vm.debug = true;
		return STATUS_OK;
	default:
		opt->help = true;
		return STATUS_OK;
	}
}

static int check(int argc, char **argv, struct run_options *opt)
{
	bool dashes = optind > 0 && strcmp(argv[optind - 1], "--") == 0;

	if (optind < argc && !dashes)
		return complain(STATUS_USAGE, "'%s' is not an option; a command for the guest comes after --",
				argv[optind]);
	if (optind == argc && dashes)
		return complain(STATUS_USAGE, "no command follows --; leave it out, or give one");
	if ((opt->profile || opt->perf_map) && opt->accel == ACCEL_KVM)
		return complain(STATUS_USAGE, "%s looks into KUSE's KVM; leave out --accel kvm",
				opt->profile ? "--profile" : "--perf-map");
	if (opt->symbols && !opt->profile && !opt->perf_map)
		return complain(STATUS_USAGE,
				"--symbols is for --profile or --perf-map; give one of them, too");
	if (opt->profile || opt->perf_map)
		opt->accel = ACCEL_KUSE;
	if (optind < argc)
		opt->command = argv + optind;
	if (opt->command && opt->vm.initrd)
		return complain(STATUS_USAGE, "a command runs in the built-in initramfs; leave out --initrd");
	if (opt->vm.pmu && !MACHINE_PMU)
		return complain(STATUS_USAGE, "--pmu is for arm64 guests; leave it out");
	if (opt->vm.irqchip >= 0 && opt->vm.cpus > machine_irqchips[opt->vm.irqchip].max_cpus)
		return complain(STATUS_USAGE, "--irqchip %s serves at most %u vCPUs; lower --cpus",
				machine_irqchips[opt->vm.irqchip].name,
				machine_irqchips[opt->vm.irqchip].max_cpus);
	if (opt->vm.format == BOOT_FLAT && (!opt->vm.kernel || opt->command))
		return complain(STATUS_USAGE, "--boot flat needs --kernel FILE, and takes no command");
	return STATUS_OK;
}

int options_parse(int argc, char **argv, struct run_options *opt)
{
	int c, status = STATUS_OK;

	*opt = (struct run_options){.vm = {.name = "guest",
					   .memory = DEFAULT_MEMORY_MIB << 20,
					   .cpus = MACHINE_CPUS,
					   .irqchip = -1}};
	opterr = 0;
	optind = 1;
	while (status == STATUS_OK && (c = getopt_long(argc, argv, "+:k:i:p:m:c:h", longs, NULL)) != -1) {
		if (c == '?')
			return complain(STATUS_USAGE, "unknown option '%s'; `kuse %s --help` lists them",
					argv[optind - 1], argv[0]);
		if (c == ':')
			return complain(STATUS_USAGE, "option '%s' needs a value; see `kuse %s --help`",
					argv[optind - 1], argv[0]);
		status = parse_one(c, optarg, opt);
	}
	return status != STATUS_OK || opt->help ? status : check(argc, argv, opt);
}
