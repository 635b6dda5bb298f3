/* SPDX-License-Identifier: Apache-2.0 */
/* The command table. */
#include "cli/cli.h"

const struct command commands[] = {
	{"run", "boot a guest, or run a command in one", cmd_run},
	{"exec", "run an unmodified KVM client on KUSE's KVM", cmd_exec},
	{"doctor", "every start-up step with its verdict and remedy", cmd_doctor},
	{"trace", "run a guest and record exits, interrupts, start-up, translations", cmd_trace},
	{"stat", "counters of a running VM, live", cmd_stat},
	{"version", "version of kuse and of the KVM API", cmd_version},
	{"help", "this list, or a command's options", cmd_help},
	{NULL, NULL, NULL},
};
