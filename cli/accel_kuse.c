/* SPDX-License-Identifier: Apache-2.0 */
/* KUSE's KVM as the VMM's accelerator: vmm/ knows only the table, virt/ only the calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "virt/sys.h"

static int kuse_accel_open(void)
{
	return kuse_open(O_RDWR | O_CLOEXEC);
}

/* The first start-up step that failed has the reason and the remedy. */
static void kuse_accel_explain(char *buf, size_t len)
{
	const struct kuse_init_step *steps;
	size_t n = kuse_init_report(&steps);

	for (size_t i = 0; i < n; i++) {
		if (steps[i].error >= 0)
			continue;
		snprintf(buf, len, "%s: %s%s%s", steps[i].name, steps[i].verdict ?: strerror(-steps[i].error),
			 steps[i].remedy ? "; " : "", steps[i].remedy ?: "");
		return;
	}
}

const struct accel accel_kuse = {
	.name = "kuse",
	.title = "KUSE's KVM",
	.open = kuse_accel_open,
	.close = kuse_close,
	.ioctl = kuse_ioctl,
	.mmap = kuse_mmap,
	.munmap = kuse_munmap,
	.notify_signal = kuse_signal_notify,
	.explain = kuse_accel_explain,
	.ram_file = MACHINE_RAM_FILE,
};
