/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kuse run --perf-map: KVM writes /tmp/perf-PID.map while the guest runs, a line for each translated block.
 * perf reads it afterwards; by then the guest kernel's symbols are known, and its lines get their names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "virt/sys.h"
#include "vmm/file.h"

#define KERNEL " guest-kernel:0x"

int perf_map_begin(void)
{
	int err = setenv("KUSE_PERF_MAP", "1", 1) ? -ENOMEM : kuse_perf_map();

	return err ? complain(STATUS_FAILURE, "cannot write /tmp/perf-%d.map: %s", (int)getpid(),
			      strerror(-err))
		   : STATUS_OK;
}

static void rename_line(FILE *out, const char *line, size_t len, const struct ksyms *syms)
{
	const char *at = memmem(line, len, KERNEL, sizeof(KERNEL) - 1), *name;
	u64 off;

	name = at ? ksyms_find(syms, strtoull(at + sizeof(KERNEL) - 1, NULL, 16), &off) : NULL;
	if (name)
		fprintf(out, "%.*s guest-kernel:%s+0x%llx\n", (int)(at - line), line, name,
			(unsigned long long)off);
	else
		fprintf(out, "%.*s\n", (int)len, line);
}

static void rename_all(struct file_data *file, const char *path, const struct ksyms *syms)
{
	const char *line = (const char *)file->data, *end = line + file->size, *nl;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	for (; line < end; line = nl + 1) {
		nl = memchr(line, '\n', (size_t)(end - line)) ?: end;
		rename_line(out, line, (size_t)(nl - line), syms);
	}
	if (!fclose(out) && file_replace(path, text, len) < 0)
		complain(0, "cannot write names to %s: %s", path, strerror(errno));
	free(text);
}

void perf_map_end(const struct ksyms *syms)
{
	struct file_data file;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	if (!syms->n || file_read(path, &file) < 0)
		return;
	rename_all(&file, path, syms);
	free(file.data);
}
