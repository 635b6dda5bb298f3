/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names KVM brings into the file system, for clients that open them by name (sys.h): /dev/kvm, and the
 * modules' parameters. A name is compared as text after `.` and doubled slashes are taken out; a relative one
 * is put behind its directory's name. Symbolic links that lead to /dev/kvm are not followed.
 *
 * Modes are what Linux and a usual udev show: /dev/kvm is 0666, a parameter 0444 (none can be changed).
 */
#include "virt/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "virt/file.h"
#include "virt/sys.h"

#define DEV_KVM "/dev/kvm"
#define SYS_MODULE "/sys/module/"
#define MISC_MAJOR 10
#define KVM_MINOR 232
#define NAME_MAX_OURS 128

enum node_kind { NODE_NONE, NODE_DEV, NODE_PARAM, NODE_DIR, NODE_ABSENT };

struct node {
	enum node_kind kind;
	const struct kvm_module_param *param;
};

/* Takes "." and doubled slashes out of an absolute name. False: too long to be ours. */
static bool tidy(char out[NAME_MAX_OURS], const char *path)
{
	size_t n = 0;

	for (; *path; path++) {
		if (*path == '/' && path[1] == '/')
			continue;
		if (*path == '/' && path[1] == '.' && (path[2] == '/' || !path[2])) {
			path++;
			continue;
		}
		if (n + 1 == NAME_MAX_OURS)
			return false;
		out[n++] = *path;
	}
	while (n > 1 && out[n - 1] == '/')
		n--;
	out[n] = '\0';
	return true;
}

/* The name of the directory that a relative path starts from. */
static bool directory_name(char *out, size_t size, int dirfd)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
	n = readlink(link, out, size);
	if (n <= 0 || (size_t)n >= size)
		return false;
	out[n] = '\0';
	return true;
}

static bool full_name(char out[NAME_MAX_OURS], int dirfd, const char *path)
{
	char dir[NAME_MAX_OURS], joined[2 * NAME_MAX_OURS];

	if (*path == '/')
		return tidy(out, path);
	if (strlen(path) >= NAME_MAX_OURS || !directory_name(dir, sizeof(dir), dirfd))
		return false;
	snprintf(joined, sizeof(joined), "%s/%s", dir, path);
	return tidy(out, joined);
}

static bool module_known(const char *name, size_t len)
{
	const struct kvm_module_param *p;

	for (unsigned i = 0; (p = kvm_module_param(i)); i++)
		if (strlen(p->module) == len && !memcmp(p->module, name, len))
			return true;
	return false;
}

static const struct kvm_module_param *find_param(const char *module, size_t len, const char *name)
{
	const struct kvm_module_param *p;

	for (unsigned i = 0; (p = kvm_module_param(i)); i++)
		if (strlen(p->module) == len && !memcmp(p->module, module, len) && !strcmp(p->name, name))
			return p;
	return NULL;
}

/* `rest` follows "/sys/module/". All names of the three kvm modules are ours, so that a host module's real
 * parameters never mix with ours: what we do not have is absent. */
static struct node find_module(const char *rest)
{
	size_t len = strcspn(rest, "/");
	const char *tail = rest + len;
	struct node n = { NODE_ABSENT, NULL };

	if (!(len == 3 && !memcmp(rest, "kvm", 3)) && !(len == 7 && !memcmp(rest, "kvm_amd", 7)) &&
	    !(len == 9 && !memcmp(rest, "kvm_intel", 9)))
		return (struct node){ NODE_NONE, NULL };
	if (!module_known(rest, len))
		return n;
	if (!*tail || !strcmp(tail, "/parameters"))
		return (struct node){ NODE_DIR, NULL };
	if (!strncmp(tail, "/parameters/", 12))
		n.param = find_param(rest, len, tail + 12);
	if (n.param)
		n.kind = NODE_PARAM;
	return n;
}

/* Cheap for names that cannot be ours: few paths begin so, few relative ones contain "kvm" or follow it. */
static bool worth_a_look(const char *path)
{
	if (*path == '/')
		return strstr(path, "kvm") != NULL;
	return *path && (!strcmp(path, "kvm") || strstr(path, "/kvm") || strstr(path, "kvm/"));
}

static struct node find(int dirfd, const char *path)
{
	char name[NAME_MAX_OURS];

	if ((uintptr_t)path < 4096 || !worth_a_look(path) || !full_name(name, dirfd, path))
		return (struct node){ NODE_NONE, NULL };
	if (!strcmp(name, DEV_KVM))
		return (struct node){ NODE_DEV, NULL };
	if (!strncmp(name, SYS_MODULE, strlen(SYS_MODULE)))
		return find_module(name + strlen(SYS_MODULE));
	return (struct node){ NODE_NONE, NULL };
}

bool kuse_owns_path(int dirfd, const char *path)
{
	return find(dirfd, path).kind != NODE_NONE;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* A file that reads as the parameter does and cannot be written. */
static int open_param(const struct kvm_module_param *p, int flags)
{
	char text[64];
	int fd, len = snprintf(text, sizeof(text), "%s\n", p->value);

	if ((flags & O_ACCMODE) != O_RDONLY)
		return fail(EACCES);
	fd = memfd_create(p->name, MFD_ALLOW_SEALING | (flags & O_CLOEXEC ? MFD_CLOEXEC : 0));
	if (fd < 0)
		return -1;
	if (pwrite(fd, text, (size_t)len, 0) != len ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)) {
		close(fd);
		return fail(ENOMEM);
	}
	return fd;
}

int kuse_openat(int dirfd, const char *path, int flags)
{
	struct node n = find(dirfd, path);

	if (n.kind == NODE_ABSENT || n.kind == NODE_NONE)
		return fail(ENOENT);
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return fail(EEXIST);
	if (flags & O_DIRECTORY && n.kind != NODE_DIR)
		return fail(ENOTDIR);
	if (n.kind == NODE_DEV)
		return kuse_open(flags);
	return n.kind == NODE_PARAM ? open_param(n.param, flags) : fail(EISDIR);
}

static void dev_stat(struct stat *st)
{
	/* Where the host has the device, its owner, group and times are the right ones. */
	if (stat(DEV_KVM, st) || !S_ISCHR(st->st_mode))
		*st = (struct stat){ .st_ino = KVM_MINOR, .st_nlink = 1, .st_blksize = 4096 };
	st->st_mode = S_IFCHR | 0666;
	st->st_rdev = makedev(MISC_MAJOR, KVM_MINOR);
}

int kuse_fstatat(int dirfd, const char *path, struct stat *st)
{
	struct node n = find(dirfd, path);

	if (n.kind == NODE_ABSENT || n.kind == NODE_NONE)
		return fail(ENOENT);
	if (n.kind == NODE_DEV) {
		dev_stat(st);
		return 0;
	}
	*st = (struct stat){ .st_ino = 1, .st_nlink = n.kind == NODE_DIR ? 3 : 1, .st_blksize = 4096,
			     .st_mode = n.kind == NODE_DIR ? S_IFDIR | 0755 : S_IFREG | 0444,
			     .st_size = n.kind == NODE_DIR ? 0 : 4096 };
	return 0;
}

int kuse_faccessat(int dirfd, const char *path, int mode)
{
	struct node n = find(dirfd, path);

	if (n.kind == NODE_ABSENT || n.kind == NODE_NONE)
		return fail(ENOENT);
	if (n.kind == NODE_DIR)
		return mode & W_OK ? fail(EACCES) : 0;
	if (mode & X_OK || (n.kind == NODE_PARAM && mode & W_OK))
		return fail(EACCES);
	return 0;
}

int kuse_fstat(int fd, struct stat *st)
{
	struct kvm_file *file = kvm_fget(fd, true);
	bool dev = file && !strcmp(file->ops->name, "kvm");

	if (file)
		kvm_fput(file);
	if (fstat(fd, st))
		return -1;
	if (dev)
		dev_stat(st);
	else if (file)
		st->st_mode = 0600; /* an anonymous inode has no type */
	return 0;
}
