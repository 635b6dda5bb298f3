/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4ull << 30)

static int file_fill(int fd, struct file_data *file)
{
	u64 done = 0;

	while (done < file->size) {
		ssize_t n = read(fd, file->data + done, file->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += n;
	}
	file->size = done;
	return 0;
}

static int file_read_fd(int fd, struct file_data *file)
{
	struct stat st;
	int error;

	if (fstat(fd, &st) < 0)
		return -1;
	errno = S_ISDIR(st.st_mode)            ? EISDIR
		: !S_ISREG(st.st_mode)         ? EINVAL
		: st.st_size > (off_t)FILE_MAX ? EFBIG
					       : 0;
	if (errno)
		return -1;
	file->size = st.st_size;
	file->data = calloc(1, file->size + 1);
	if (!file->data)
		return -1;
	if (file_fill(fd, file) == 0)
		return 0;
	error = errno;
	free(file->data);
	errno = error;
	return -1;
}

int file_read(const char *path, struct file_data *file)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret, error;

	if (fd < 0)
		return -1;
	ret = file_read_fd(fd, file);
	error = errno;
	close(fd);
	errno = error;
	return ret;
}

int file_write_all(int fd, const void *data, u64 size)
{
	const u8 *p = data;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		size -= n;
	}
	return 0;
}

int file_replace(const char *path, const void *data, u64 size)
{
	char temp[4200];
	int fd, ret, error;

	if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= (int)sizeof(temp)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -1;
	fchmod(fd, 0644);
	ret = file_write_all(fd, data, size);
	error = errno;
	close(fd);
	if (ret == 0 && rename(temp, path) == 0)
		return 0;
	if (ret == 0)
		error = errno;
	unlink(temp);
	errno = error;
	return -1;
}
