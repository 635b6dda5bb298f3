/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in and out. */
#ifndef KUSE_VMM_FILE_H
#define KUSE_VMM_FILE_H

#include "lib/types.h"

struct file_data {
	u8 *data; /* malloc'd; one byte longer than size, zero */
	u64 size;
};

/* 0, or -1 with errno: EISDIR for a directory, EFBIG past 4 GiB. */
int file_read(const char *path, struct file_data *file);
/* Writes beside path and renames, so that readers see the old or the new. 0 or -1 with errno. */
int file_replace(const char *path, const void *data, u64 size);
/* Writes all of it to a descriptor. 0 or -1 with errno. */
int file_write_all(int fd, const void *data, u64 size);

#endif
