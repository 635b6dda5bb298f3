/* SPDX-License-Identifier: Apache-2.0 */
/* What kuse keeps on disk: the stock kernel and the initramfs made from the host's busybox. */
#include <elf.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "vmm/file.h"
#include "vmm/initramfs.h"
#include "vmm_machine.h"

int cache_path(char *buf, size_t len, const char *name)
{
	const char *own = getenv("KUSE_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (own && *own)
		n = snprintf(buf, len, "%s/%s", own, name);
	else if (xdg && *xdg)
		n = snprintf(buf, len, "%s/kuse/%s", xdg, name);
	else
		n = snprintf(buf, len, "%s/.cache/kuse/%s", home && *home ? home : "/root", name);
	return n < 0 || (size_t)n >= len ? -1 : 0;
}

static void make_parents(const char *path)
{
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = dir + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(dir, 0755);
		*p = '/';
	}
}

/* ---- the kernel ---- */

/* As installed, or in the source tree that built us. */
static const char *fetch_tool(void)
{
	static const char *const candidates[] = {
		KUSE_LIBEXEC "/fetch-kernel",
		KUSE_SOURCE_TOOLS "/fetch-kernel",
	};

	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (access(candidates[i], X_OK) == 0)
			return candidates[i];
	return NULL;
}

static int fetch(void)
{
	const char *tool = fetch_tool();
	char *argv[] = {(char *)tool, "--arch", MACHINE_ARCH, NULL};
	int status;
	pid_t pid;

	if (!tool)
		return complain(STATUS_KERNEL,
				"no kernel given and fetch-kernel is not installed; give one with --kernel");
	if (posix_spawn(&pid, tool, NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0)
		return complain(STATUS_KERNEL, "cannot run %s: %s", tool, strerror(errno));
	if (WIFSIGNALED(status))
		return STATUS_SIGNAL + WTERMSIG(status);
	return WEXITSTATUS(status) == 0 ? STATUS_OK : STATUS_KERNEL; /* it has said why */
}

int cache_kernel(char *buf, size_t len)
{
	struct stat st;
	int status;

	if (cache_path(buf, len, "kernels/" MACHINE_ARCH "/vmlinuz") < 0)
		return complain(STATUS_KERNEL, "the cache's path is too long; set KUSE_CACHE to a short one");
	if (stat(buf, &st) == 0 && st.st_size > 0)
		return STATUS_OK;
	status = fetch();
	if (status == STATUS_OK && stat(buf, &st) < 0)
		return complain(STATUS_KERNEL, "fetch-kernel left no %s; give a kernel with --kernel", buf);
	return status;
}

/* ---- the initramfs ---- */

/* A static program has no PT_INTERP. */
static bool is_static(const struct file_data *file)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)file->data;
	const Elf64_Phdr *ph;

	if (file->size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 ||
	    eh->e_machine != MACHINE_ELF || eh->e_phoff > file->size ||
	    eh->e_phnum * sizeof(*ph) > file->size - eh->e_phoff)
		return false;
	ph = (const Elf64_Phdr *)(file->data + eh->e_phoff);
	for (u32 i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_INTERP)
			return false;
	return true;
}

static bool load_static(const char *path, struct file_data *file)
{
	if (file_read(path, file) < 0)
		return false;
	if (is_static(file))
		return true;
	free(file->data);
	return false;
}

/* The host's, or, for guests of another architecture, the one that came with the kernel. */
static const char *load_busybox(struct file_data *file)
{
	static const char *const candidates[] = {
		"/bin/busybox", "/usr/bin/busybox", "/sbin/busybox", "/usr/local/bin/busybox",
	};
	static char cached[4096];

	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (load_static(candidates[i], file))
			return candidates[i];
	if (cache_path(cached, sizeof(cached), "kernels/" MACHINE_ARCH "/busybox") == 0 &&
	    load_static(cached, file))
		return cached;
	return NULL;
}

const char *cache_busybox(void)
{
	struct file_data file;
	const char *path = load_busybox(&file);

	if (path)
		free(file.data);
	return path;
}

static bool same_content(const char *path, const struct cpio *cpio)
{
	struct file_data file;
	bool same;

	if (file_read(path, &file) < 0)
		return false;
	same = file.size == cpio->len && memcmp(file.data, cpio->data, cpio->len) == 0;
	free(file.data);
	return same;
}

/* The cached archive serves others (bench, other VMMs); a read-only cache is no failure. */
static void initramfs_save(const struct cpio *cpio)
{
	char path[4096];

	if (cache_path(path, sizeof(path), MACHINE_INITRAMFS) < 0 || same_content(path, cpio))
		return;
	make_parents(path);
	file_replace(path, cpio->data, cpio->len);
}

int cache_initramfs(void **data, size_t *len)
{
	struct cpio cpio = {0};
	struct file_data file;
	char kernel[4096];

	if (!load_busybox(&file) &&
	    (cache_kernel(kernel, sizeof(kernel)) != STATUS_OK || !load_busybox(&file)))
		return complain(STATUS_INITRD,
				"no static busybox on this host for the initramfs; install busybox-static");
	initramfs_base(&cpio, file.data, file.size);
	free(file.data);
	if (cpio.failed) {
		free(cpio.data);
		return complain(STATUS_HOST_MEMORY, "the host is out of memory; free some");
	}
	initramfs_save(&cpio);
	*data = cpio.data;
	*len = cpio.len;
	return STATUS_OK;
}
