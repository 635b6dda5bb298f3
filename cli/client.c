/* SPDX-License-Identifier: Apache-2.0 */
/* The program that `kuse exec` is to run: found as execvp would, and looked at before it is run, because
 * what the dynamic linker does about an LD_PRELOAD that it cannot honour is a line on stderr, or nothing. */
#include "cli/client.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/cli.h"

#define INTERPRETER "ld-linux-x86-64.so" /* glibc's dynamic linker, wherever it lies */
#define HEAD_SIZE 256                    /* as much of a script as the kernel reads */
#define SCRIPT_DEPTH 4

/* ---- finding it ---- */

static int try_path(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return access(path, X_OK) ? errno : 0;
}

/* One directory of PATH; an empty one is the current. */
static int try_directory(const char *dir, size_t len, const char *name, char *buf)
{
	int n = snprintf(buf, PATH_MAX, "%.*s%s%s", (int)len, dir, len ? "/" : "", name);

	return n >= PATH_MAX ? ENAMETOOLONG : try_path(buf);
}

static int search(const char *name, char *buf)
{
	const char *dir = getenv("PATH");
	int found = ENOENT;

	if (!dir)
		dir = "/usr/local/bin:/bin:/usr/bin";
	for (;; dir++) {
		size_t len = strcspn(dir, ":");
		int err = try_directory(dir, len, name, buf);

		if (!err)
			return 0;
		if (err == EACCES)
			found = err;
		dir += len;
		if (!*dir)
			return found;
	}
}

int client_find(const char *name, char *buf)
{
	int err;

	if (strchr(name, '/')) {
		snprintf(buf, PATH_MAX, "%s", name);
		err = try_path(name);
	} else {
		err = search(name, buf);
	}
	if (!err)
		return STATUS_OK;
	if (err == ENOENT || err == ENOTDIR)
		return complain(STATUS_CLIENT_NOT_FOUND, "there is no client '%s'%s", name,
				strchr(name, '/') ? "" : " in PATH");
	return complain(STATUS_CLIENT_NOT_RUNNABLE, "cannot run '%s': %s", name, strerror(err));
}

/* ---- looking at it ---- */

static int check_elf(int fd, const char *path, const Elf64_Ehdr *eh);

static int closed(const char *path, const char *why)
{
	return complain(STATUS_CLIENT_CLOSED, "'%s' %s", path, why);
}

/* Programs that gain privileges run without the LD_PRELOAD of their caller. */
static int check_privilege(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st))
		return STATUS_OK;
	if ((st.st_mode & S_ISUID && st.st_uid != getuid()) ||
	    (st.st_mode & S_ISGID && st.st_gid != getgid()))
		return closed(
			path,
			"is set-user-ID or set-group-ID: the dynamic linker ignores LD_PRELOAD for it, so "
			"KUSE cannot stand in; run it as its owner, or a copy without the bit");
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return closed(path,
			      "has file capabilities: the dynamic linker ignores LD_PRELOAD for it, so KUSE "
			      "cannot stand in; run it as root, or a copy without them");
	return STATUS_OK;
}

/* "#!": the interpreter is what will be run. */
static int check_script(char *head, const char *path, int depth);

static int check_file(const char *path, int depth)
{
	union {
		Elf64_Ehdr elf;
		char text[HEAD_SIZE + 1];
	} head = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC), status = STATUS_OK;
	ssize_t n;

	if (fd < 0) /* may be executable without being readable: then the dynamic linker decides */
		return STATUS_OK;
	n = read(fd, head.text, HEAD_SIZE);
	if (n >= (ssize_t)sizeof(head.elf) && !memcmp(head.text, ELFMAG, SELFMAG))
		status = check_elf(fd, path, &head.elf);
	else if (n > 2 && !memcmp(head.text, "#!", 2))
		status = check_script(head.text, path, depth);
	else
		status = complain(STATUS_CLIENT_NOT_RUNNABLE, "'%s' is neither an ELF program nor a script",
				  path);
	close(fd);
	return status;
}

static int check_script(char *head, const char *path, int depth)
{
	char *name = head + 2 + strspn(head + 2, " \t");

	name[strcspn(name, " \t\r\n")] = '\0';
	if (!depth || access(name, X_OK))
		return complain(STATUS_CLIENT_NOT_RUNNABLE, "'%s' is a script for '%s', which cannot be run",
				path, name);
	return check_file(name, depth - 1);
}

/* The name in PT_INTERP; empty where there is none. */
static void read_interpreter(int fd, const Elf64_Ehdr *eh, char name[PATH_MAX])
{
	Elf64_Phdr ph;

	name[0] = '\0';
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		off_t at = (off_t)(eh->e_phoff + i * sizeof(ph));

		if (pread(fd, &ph, sizeof(ph), at) != sizeof(ph) || ph.p_type != PT_INTERP ||
		    ph.p_filesz >= PATH_MAX)
			continue;
		if (pread(fd, name, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz)
			ph.p_filesz = 0;
		name[ph.p_filesz] = '\0';
	}
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_glibc_linker(const char *path)
{
	return !strncmp(base_name(path), INTERPRETER, strlen(INTERPRETER));
}

static int check_elf(int fd, const char *path, const Elf64_Ehdr *eh)
{
	char interpreter[PATH_MAX];

	if (eh->e_ident[EI_CLASS] != ELFCLASS64 && eh->e_machine == EM_386)
		return complain(STATUS_CLIENT_NOT_RUNNABLE,
				"'%s' is a 32-bit program; KUSE's library is a 64-bit one", path);
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64)
		return complain(STATUS_CLIENT_NOT_RUNNABLE,
				"'%s' is a program for another machine (ELF machine %u), "
				"not for x86-64",
				path, eh->e_machine);
	if (is_glibc_linker(path))
		return STATUS_OK;
	read_interpreter(fd, eh, interpreter);
	if (!interpreter[0])
		return closed(
			path,
			"is statically linked: no library can be put in front of its libc, so KUSE cannot "
			"stand in for /dev/kvm yet; use a dynamically linked build");
	if (!is_glibc_linker(interpreter))
		return closed(path, "is linked to another libc than glibc, which KUSE's library needs");
	return check_privilege(fd, path);
}

int client_check(const char *path)
{
	return check_file(path, SCRIPT_DEPTH);
}
