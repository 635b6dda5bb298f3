/* SPDX-License-Identifier: Apache-2.0 */
/* kuse version */
#include <stdio.h>

#include "cli/cli.h"

int cmd_version(int argc, char **argv)
{
	printf("kuse %s, KVM API %d, guests: x86-64\n", KUSE_VERSION, KVM_API_VERSION);
	return STATUS_OK;
}
