/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See initramfs.h. /init is a shell script. It mounts what user space expects and reads /kuse/run, which the
 * overlay brings and which sets mode (report, shell, command) and CMD's argument list, quoted so that
 * every byte arrives as given. CMD's exit status goes to the command-status register (vmm/hw/command.c).
 */
#include "vmm/initramfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm_machine.h"

#define CPIO_HEADER 110u

const char initramfs_version[] = "kuse-initramfs-1";

static const char init_script[] =
	"#!/bin/busybox sh\n"
	"export PATH=/bin HOME=/root TERM=linux\n"
	"/bin/busybox mount -t proc proc /proc\n"
	"/bin/busybox mount -t devtmpfs dev /dev\n"
	"/bin/busybox --install -s /bin\n"
	"mount -t sysfs sys /sys\n"
	"mount -t tmpfs tmp /tmp\n"
	"mkdir -p /dev/pts && mount -t devpts pts /dev/pts\n"
	"hostname kuse\n"
	"mode=report columns=0 rows=0 tty=\n"
	"[ ! -f /kuse/run ] || . /kuse/run\n"
	"finish() { poweroff -f; sleep 60; }\n"
	"case $mode in\n"
	"command)\n"
	"	stty $tty </dev/console\n"
	"	cd /root\n"
	"	devmem " GPA_COMMAND_READY " 32 1\n"
	"	setsid cttyhack sh /kuse/session\n"
	"	status=$?\n"
	"	echo 0 >/proc/sys/kernel/printk\n" /* no 'reboot: Power down' */
	"	devmem " GPA_COMMAND_STATUS " 32 $status\n"
	"	finish ;;\n"
	"esac\n"
	"clock=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)\n"
	"hypervisor=$(dmesg | sed -n 's/.*Hypervisor detected: //p' | head -n 1)\n"
	"echo \"kuse: user space runs: Linux $(uname -r), clocksource $clock,"
	" hypervisor ${hypervisor:-none}, $(nproc) CPU\"\n"
	"if [ $mode = shell ]; then\n"
	"	stty $tty </dev/console\n"
	"	cd /root\n"
	"	setsid cttyhack sh\n"
	"fi\n"
	"finish\n";

/*
 * The session of CMD. When a session's leader exits, the kernel hangs its terminal up and throws away what is
 * not sent yet: so the leader is this script, which waits for that (stty does) after CMD's end.
 */
static const char session_script[] = ". /kuse/run\n"
				     "trap : INT QUIT\n" /* CMD's business; it has the default action again */
				     "(exec \"$@\")\n"
				     "status=$?\n"
				     "stty sane\n"
				     "exit $status\n";

static void cpio_bytes(struct cpio *cpio, const void *data, size_t len)
{
	size_t need = cpio->len + len;

	if (cpio->failed || len == 0)
		return;
	if (need > cpio->max) {
		size_t max = MAX(need, cpio->max * 2);
		u8 *data2 = realloc(cpio->data, max);

		if (!data2) {
			cpio->failed = true;
			return;
		}
		cpio->data = data2;
		cpio->max = max;
	}
	memcpy(cpio->data + cpio->len, data, len);
	cpio->len = need;
}

static void cpio_pad(struct cpio *cpio)
{
	cpio_bytes(cpio, "\0\0\0", -cpio->len & 3);
}

struct cpio_entry {
	const char *name;
	u32 mode, major, minor;
	const void *data;
	size_t len;
};

static void cpio_put(struct cpio *cpio, const struct cpio_entry *e)
{
	const u32 fields[13] = {
		++cpio->ino, e->mode, 0, 0, 1, 0, e->len, 0, 0, e->major, e->minor, strlen(e->name) + 1, 0,
	};
	char header[CPIO_HEADER + 1] = "070701";

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		snprintf(header + 6 + 8 * i, 9, "%08x", fields[i]);
	cpio_pad(cpio);
	cpio_bytes(cpio, header, CPIO_HEADER);
	cpio_bytes(cpio, e->name, strlen(e->name) + 1);
	cpio_pad(cpio);
	cpio_bytes(cpio, e->data, e->len);
	cpio_pad(cpio);
}

void cpio_dir(struct cpio *cpio, const char *name, u32 mode)
{
	cpio_put(cpio, &(struct cpio_entry){.name = name, .mode = S_IFDIR | mode});
}

void cpio_file(struct cpio *cpio, const char *name, u32 mode, const void *data, size_t len)
{
	cpio_put(cpio, &(struct cpio_entry){.name = name, .mode = S_IFREG | mode, .data = data, .len = len});
}

void cpio_link(struct cpio *cpio, const char *name, const char *target)
{
	const struct cpio_entry e = {
		.name = name,
		.mode = S_IFLNK | 0777,
		.data = target,
		.len = strlen(target),
	};

	cpio_put(cpio, &e);
}

void cpio_device(struct cpio *cpio, const char *name, u32 mode, u32 major, u32 minor)
{
	const struct cpio_entry e = {.name = name, .mode = S_IFCHR | mode, .major = major, .minor = minor};

	cpio_put(cpio, &e);
}

void cpio_end(struct cpio *cpio)
{
	cpio_put(cpio, &(struct cpio_entry){.name = "TRAILER!!!"});
	cpio->ino = 0;
}

void initramfs_base(struct cpio *cpio, const void *busybox, size_t len)
{
	static const char *const dirs[] = {
		"bin", "dev", "etc", "proc", "root", "run", "sys", "usr", "var", "kuse",
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		cpio_dir(cpio, dirs[i], 0755);
	cpio_dir(cpio, "tmp", 01777);
	cpio_link(cpio, "sbin", "bin");
	cpio_link(cpio, "usr/bin", "../bin");
	cpio_link(cpio, "usr/sbin", "../bin");
	cpio_device(cpio, "dev/console", 0600, 5, 1);
	cpio_device(cpio, "dev/null", 0666, 1, 3);
	cpio_file(cpio, "bin/busybox", 0755, busybox, len);
	cpio_link(cpio, "bin/sh", "busybox");
	cpio_file(cpio, "etc/passwd", 0644, "root::0:0:root:/root:/bin/sh\n", 29);
	cpio_file(cpio, "etc/group", 0644, "root:x:0:\n", 10);
	cpio_file(cpio, "etc/kuse-version", 0644, initramfs_version, strlen(initramfs_version));
	cpio_file(cpio, "init", 0755, init_script, sizeof(init_script) - 1);
	cpio_file(cpio, "kuse/session", 0755, session_script, sizeof(session_script) - 1);
	cpio_end(cpio);
}

/* ---- the overlay: /kuse/run ---- */

/* One shell word that stands for exactly these bytes. */
static void put_quoted(struct cpio *text, const char *word)
{
	cpio_bytes(text, "'", 1);
	for (; *word; word++) {
		if (*word == '\'')
			cpio_bytes(text, "'\\''", 4);
		else
			cpio_bytes(text, word, 1);
	}
	cpio_bytes(text, "'", 1);
}

static void put_text(struct cpio *text, const char *s)
{
	cpio_bytes(text, s, strlen(s));
}

static void put_run(struct cpio *text, const struct initramfs_run *run)
{
	char size[64];

	put_text(text, run->argv ? "mode=command\n" : run->shell ? "mode=shell\n" : "mode=report\n");
	if (run->term && *run->term) {
		put_text(text, "TERM=");
		put_quoted(text, run->term);
		put_text(text, "\n");
	}
	put_text(text, "tty='sane");
	if (run->rows && run->columns) {
		snprintf(size, sizeof(size), " rows %u columns %u", run->rows, run->columns);
		put_text(text, size);
	}
	put_text(text, run->echo ? "" : " -echo crtscts");
	put_text(text, run->raw_output ? " -opost'\n" : "'\n");
	if (!run->argv)
		return;
	put_text(text, "set --");
	for (u32 i = 0; run->argv[i]; i++) {
		put_text(text, " ");
		put_quoted(text, run->argv[i]);
	}
	put_text(text, "\n");
}

void initramfs_overlay(struct cpio *cpio, const struct initramfs_run *run)
{
	struct cpio text = {0};

	put_run(&text, run);
	cpio_file(cpio, "kuse/run", 0644, text.data, text.len);
	cpio_end(cpio);
	cpio->failed |= text.failed;
	free(text.data);
}
