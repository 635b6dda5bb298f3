/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in initramfs: busybox, an /init, and an overlay that says what this run is to do. Written as
 * cpio "newc" archives (Documentation/driver-api/early-userspace/buffer-format.rst), one after the other.
 */
#ifndef KUSE_VMM_INITRAMFS_H
#define KUSE_VMM_INITRAMFS_H

#include <stdbool.h>

#include "lib/types.h"

struct cpio {
	u8 *data;
	size_t len, max;
	u32 ino;
	bool failed; /* out of memory: what follows is ignored */
};

void cpio_dir(struct cpio *cpio, const char *name, u32 mode);
void cpio_file(struct cpio *cpio, const char *name, u32 mode, const void *data, size_t len);
void cpio_link(struct cpio *cpio, const char *name, const char *target);
void cpio_device(struct cpio *cpio, const char *name, u32 mode, u32 major, u32 minor);
/* Ends an archive; another may follow. */
void cpio_end(struct cpio *cpio);

/* What the overlay tells /init. */
struct initramfs_run {
	char *const *argv; /* CMD and its arguments, NULL-terminated; NULL: none */
	bool shell;        /* no CMD: an interactive shell; else /init reports and powers off */
	bool raw_output;   /* CMD's output is not for a terminal: newlines stay as they are */
	bool echo;         /* input comes from a terminal */
	u32 rows, columns; /* of that terminal; 0: unknown */
	const char *term;  /* $TERM, or NULL */
};

/* The part that is the same for every run. busybox: the bytes of a static busybox. */
void initramfs_base(struct cpio *cpio, const void *busybox, size_t len);
void initramfs_overlay(struct cpio *cpio, const struct initramfs_run *run);
/* Changes whenever initramfs_base would write something else for the same busybox. */
extern const char initramfs_version[];

#endif
