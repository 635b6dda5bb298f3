/* SPDX-License-Identifier: Apache-2.0 */
/* Could the host's KVM run this machine? KUSE's hosts are x86-64 so far, whose KVM runs x86 guests only. */
#include <stdio.h>

#include "vmm/accel.h"

bool accel_probe_host(char *why, size_t len)
{
	snprintf(why, len, "an x86-64 host's KVM runs no arm64 guests");
	return false;
}
