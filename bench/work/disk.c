/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a disk from its start to its end, past the page cache: /dev/vda, or the file KUSE_BENCH_DISK. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
#include "work.h"

#define KIB 1024ul

static int disk_open(void)
{
	const char *file = getenv("KUSE_BENCH_DISK") ?: "/dev/vda";
	int fd = open(file, O_RDONLY | O_DIRECT);

	if (fd < 0)
		work_fail(file);
	return fd;
}

/* One word of each 4 KiB goes into the sum. */
static uint64_t disk_sum(uint64_t sum, const uint8_t *buf, size_t size)
{
	for (size_t at = 0; at < size; at += 4 * KIB)
		sum = work_mix(sum, *(const uint64_t *)(buf + at));
	return sum;
}

static uint64_t disk_read(size_t block, unsigned count)
{
	uint64_t sum = WORK_SUM;
	off_t at = 0, size;
	uint8_t *buf;
	int fd = disk_open();

	size = lseek(fd, 0, SEEK_END);
	if (size < (off_t)block || posix_memalign((void **)&buf, 4 * KIB, block))
		work_fail("disk");
	while (count--) {
		if (pread(fd, buf, block, at) != (ssize_t)block)
			work_fail("disk: read");
		sum = disk_sum(sum, buf, block);
		at = (at + (off_t)block) % size;
	}
	free(buf);
	close(fd);
	return sum;
}

static uint64_t work_blk1m(unsigned rounds)
{
	return disk_read(1024 * KIB, rounds);
}

static uint64_t work_blk4k(unsigned rounds)
{
	return disk_read(4 * KIB, rounds * 100);
}

const struct workload disk_workloads[] = {
	{ "blk1m", "virtio-blk, 1 MiB at a time", work_blk1m, 400 },
	{ "blk4k", "4 KiB at a time", work_blk4k, 40 },
	{ NULL },
};
