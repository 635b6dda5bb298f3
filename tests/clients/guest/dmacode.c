/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmacode DEVICE OFFSET ROUNDS: code that a disk writes over code that has just run.
 *
 * Sector k behind OFFSET gets `mov eax, k; ret`. Each round reads one sector by O_DIRECT, so that the
 * device's DMA goes straight into an executable page of this process, and calls it: it must return that
 * sector's number. Nothing but the system call stands between running the old code and the new, as on
 * silicon, where DMA is coherent with fetching.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTORS 64u
#define SECTOR 512u

static int write_sectors(int fd, off_t offset, uint8_t *page)
{
	for (uint32_t k = 0; k < SECTORS; k++) {
		memset(page, 0xcc, SECTOR);
		page[0] = 0xb8;
		memcpy(page + 1, &k, 4);
		page[5] = 0xc3;
		if (pwrite(fd, page, SECTOR, offset + k * SECTOR) != SECTOR)
			return -1;
	}
	return fsync(fd);
}

int main(int argc, char **argv)
{
	off_t offset = argc > 2 ? atoll(argv[2]) : 0;
	unsigned int rounds = argc > 3 ? atoi(argv[3]) : 100;
	int fd = open(argc > 1 ? argv[1] : "/dev/vda", O_RDWR | O_DIRECT);
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);

	if (fd < 0 || page == MAP_FAILED || write_sectors(fd, offset, page)) {
		perror("dmacode");
		return 2;
	}
	for (unsigned int i = 0; i < rounds; i++) {
		uint32_t k = i * 7 % SECTORS, got;

		if (pread(fd, page, SECTOR, offset + k * SECTOR) != SECTOR)
			return 2;
		got = ((uint32_t(*)(void))page)();
		if (got != k) {
			printf("dmacode: round %u: code of sector %u answers %u\n", i, k, got);
			return 1;
		}
	}
	puts("dmacode: ok");
	return 0;
}
