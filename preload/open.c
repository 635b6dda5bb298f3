/* SPDX-License-Identifier: Apache-2.0 */
/* Opening by name: open and its relatives. */
#include "preload/preload.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include "virt/sys.h"

#define MODE_OF(flags, mode)                                              \
	do {                                                              \
		va_list ap;                                               \
		va_start(ap, flags);                                      \
		if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) \
			mode = va_arg(ap, mode_t);                        \
		va_end(ap);                                               \
	} while (0)

#define OPEN(name)                                            \
	int name(const char *path, int flags, ...)            \
	{                                                     \
		mode_t mode = 0;                              \
		MODE_OF(flags, mode);                         \
		if (kuse_owns_path(AT_FDCWD, path))           \
			return kuse_openat(AT_FDCWD, path, flags); \
		return NEXT(name)(path, flags, mode);         \
	}
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                            \
	int name(int dirfd, const char *path, int flags, ...)   \
	{                                                       \
		mode_t mode = 0;                                \
		MODE_OF(flags, mode);                           \
		if (kuse_owns_path(dirfd, path))                \
			return kuse_openat(dirfd, path, flags); \
		return NEXT(name)(dirfd, path, flags, mode);    \
	}
OPENAT(openat)
OPENAT(openat64)

#define OPEN_2(name)                                               \
	int name(const char *path, int flags)                      \
	{                                                          \
		if (kuse_owns_path(AT_FDCWD, path))                \
			return kuse_openat(AT_FDCWD, path, flags); \
		return NEXT(name)(path, flags);                    \
	}
OPEN_2(__open_2)
OPEN_2(__open64_2)

#define OPENAT_2(name)                                          \
	int name(int dirfd, const char *path, int flags)        \
	{                                                       \
		if (kuse_owns_path(dirfd, path))                \
			return kuse_openat(dirfd, path, flags); \
		return NEXT(name)(dirfd, path, flags);          \
	}
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

#define CREAT(name)                                                                           \
	int name(const char *path, mode_t mode)                                               \
	{                                                                                     \
		if (kuse_owns_path(AT_FDCWD, path))                                           \
			return kuse_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC);     \
		return NEXT(name)(path, mode);                                                \
	}
CREAT(creat)
CREAT(creat64)

/* The flags of open(2) for a mode of fopen(3). */
static int fopen_flags(const char *mode)
{
	static const struct {
		char first;
		int plain, update;
	} rows[] = { { 'r', O_RDONLY, O_RDWR },
		     { 'w', O_WRONLY | O_CREAT | O_TRUNC, O_RDWR | O_CREAT | O_TRUNC },
		     { 'a', O_WRONLY | O_CREAT | O_APPEND, O_RDWR | O_CREAT | O_APPEND } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].first == *mode)
			return (strchr(mode, '+') ? rows[i].update : rows[i].plain) |
			       (strchr(mode, 'e') ? O_CLOEXEC : 0) | (strchr(mode, 'x') ? O_EXCL : 0);
	return -1;
}

static FILE *open_stream(const char *path, const char *mode)
{
	int flags = fopen_flags(mode), fd;
	FILE *f;

	if (flags < 0) {
		errno = EINVAL;
		return NULL;
	}
	fd = kuse_openat(AT_FDCWD, path, flags);
	if (fd < 0)
		return NULL;
	f = fdopen(fd, mode);
	if (!f)
		close(fd);
	return f;
}

#define FOPEN(name)                                     \
	FILE *name(const char *path, const char *mode)  \
	{                                               \
		if (kuse_owns_path(AT_FDCWD, path))     \
			return open_stream(path, mode); \
		return NEXT(name)(path, mode);          \
	}
FOPEN(fopen)
FOPEN(fopen64)
