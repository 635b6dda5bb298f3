/* SPDX-License-Identifier: Apache-2.0 */
/* Asking about names: stat and its relatives, access, readlink, realpath. */
#include "preload/preload.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include "virt/sys.h"

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout on x86-64");

#define STAT(name, type)                                                              \
	int name(const char *restrict path, struct type *restrict st)                 \
	{                                                                             \
		if (kuse_owns_path(AT_FDCWD, path))                                   \
			return kuse_fstatat(AT_FDCWD, path, (struct stat *)st);       \
		return NEXT(name)(path, st);                                          \
	}
STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)

#define XSTAT(name, type)                                                             \
	int name(int ver, const char *path, struct type *st)                          \
	{                                                                             \
		if (kuse_owns_path(AT_FDCWD, path))                                   \
			return kuse_fstatat(AT_FDCWD, path, (struct stat *)st);       \
		return NEXT(name)(ver, path, st);                                     \
	}
XSTAT(__xstat, stat)
XSTAT(__xstat64, stat64)
XSTAT(__lxstat, stat)
XSTAT(__lxstat64, stat64)

#define FSTAT(name, type)                                        \
	int name(int fd, struct type *st)                        \
	{                                                        \
		if (kuse_owns_fd(fd))                            \
			return kuse_fstat(fd, (struct stat *)st); \
		return NEXT(name)(fd, st);                       \
	}
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

#define FXSTAT(name, type)                                       \
	int name(int ver, int fd, struct type *st)               \
	{                                                        \
		if (kuse_owns_fd(fd))                            \
			return kuse_fstat(fd, (struct stat *)st); \
		return NEXT(name)(ver, fd, st);                  \
	}
FXSTAT(__fxstat, stat)
FXSTAT(__fxstat64, stat64)

/* fstatat(fd, "", AT_EMPTY_PATH) is fstat: what glibc's own fstat does. */
static bool names_fd(const char *path, int flags)
{
	return flags & AT_EMPTY_PATH && path && !*path;
}

#define FSTATAT(name, type)                                                              \
	int name(int dirfd, const char *restrict path, struct type *restrict st, int flags) \
	{                                                                                \
		if (names_fd(path, flags) && kuse_owns_fd(dirfd))                        \
			return kuse_fstat(dirfd, (struct stat *)st);                     \
		if (kuse_owns_path(dirfd, path))                                         \
			return kuse_fstatat(dirfd, path, (struct stat *)st);             \
		return NEXT(name)(dirfd, path, st, flags);                               \
	}
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

#define FXSTATAT(name, type)                                                              \
	int name(int ver, int dirfd, const char *path, struct type *st, int flags)       \
	{                                                                                \
		if (kuse_owns_path(dirfd, path))                                         \
			return kuse_fstatat(dirfd, path, (struct stat *)st);             \
		return NEXT(name)(ver, dirfd, path, st, flags);                          \
	}
FXSTATAT(__fxstatat, stat)
FXSTATAT(__fxstatat64, stat64)

static int statx_of(const struct stat *st, struct statx *sx)
{
	*sx = (struct statx){ .stx_mask = STATX_BASIC_STATS, .stx_mode = (unsigned short)st->st_mode,
			      .stx_ino = st->st_ino, .stx_nlink = (unsigned)st->st_nlink, .stx_uid = st->st_uid,
			      .stx_gid = st->st_gid, .stx_size = (unsigned long)st->st_size,
			      .stx_blksize = (unsigned)st->st_blksize, .stx_rdev_major = major(st->st_rdev),
			      .stx_rdev_minor = minor(st->st_rdev), .stx_dev_major = major(st->st_dev),
			      .stx_dev_minor = minor(st->st_dev) };
	return 0;
}

int statx(int dirfd, const char *restrict path, int flags, unsigned int mask, struct statx *restrict sx)
{
	struct stat st;

	if (names_fd(path, flags) && kuse_owns_fd(dirfd))
		return kuse_fstat(dirfd, &st) ? -1 : statx_of(&st, sx);
	if (kuse_owns_path(dirfd, path))
		return kuse_fstatat(dirfd, path, &st) ? -1 : statx_of(&st, sx);
	return NEXT(statx)(dirfd, path, flags, mask, sx);
}

#define ACCESS(name)                                                \
	int name(const char *path, int mode)                        \
	{                                                           \
		if (kuse_owns_path(AT_FDCWD, path))                 \
			return kuse_faccessat(AT_FDCWD, path, mode); \
		return NEXT(name)(path, mode);                      \
	}
ACCESS(access)
ACCESS(eaccess)
ACCESS(euidaccess)

int faccessat(int dirfd, const char *path, int mode, int flags)
{
	if (kuse_owns_path(dirfd, path))
		return kuse_faccessat(dirfd, path, mode);
	return NEXT(faccessat)(dirfd, path, mode, flags);
}

/* None of our names is a symbolic link. */
static ssize_t not_a_link(int dirfd, const char *path)
{
	if (kuse_faccessat(dirfd, path, F_OK))
		return -1;
	errno = EINVAL;
	return -1;
}

ssize_t readlink(const char *restrict path, char *restrict buf, size_t size)
{
	if (kuse_owns_path(AT_FDCWD, path))
		return not_a_link(AT_FDCWD, path);
	return NEXT(readlink)(path, buf, size);
}

ssize_t readlinkat(int dirfd, const char *restrict path, char *restrict buf, size_t size)
{
	if (kuse_owns_path(dirfd, path))
		return not_a_link(dirfd, path);
	return NEXT(readlinkat)(dirfd, path, buf, size);
}

/* An absolute name of ours is its own real path (doubled slashes are left in, which is harmless). */
static char *real_path(const char *path, char *resolved)
{
	if (kuse_faccessat(AT_FDCWD, path, F_OK))
		return NULL;
	return resolved ? memcpy(resolved, path, strlen(path) + 1) : strdup(path);
}

char *realpath(const char *restrict path, char *restrict resolved)
{
	if (path && *path == '/' && kuse_owns_path(AT_FDCWD, path))
		return real_path(path, resolved);
	return NEXT(realpath)(path, resolved);
}

char *__realpath_chk(const char *path, char *resolved, size_t size)
{
	if (path && *path == '/' && kuse_owns_path(AT_FDCWD, path))
		return real_path(path, resolved);
	return NEXT(__realpath_chk)(path, resolved, size);
}

char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}
