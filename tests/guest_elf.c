/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/guest_elf.h"

#define NOTE_PHYS32_ENTRY 18

static _Noreturn void fail(const char *path, const char *what)
{
	fprintf(stderr, "%s: %s (%s)\n", path, what, strerror(errno));
	_exit(120);
}

u8 *guest_ram(size_t size)
{
	int fd = memfd_create("guest-ram", MFD_CLOEXEC);
	u8 *ram;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		fail("guest RAM", "cannot make it");
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ram == MAP_FAILED)
		fail("guest RAM", "cannot map it");
	return ram;
}

static u32 find_entry(const u8 *notes, size_t len)
{
	u32 entry = 0;

	while (len >= sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *n = (const void *)notes;
		size_t name = ALIGN_UP(n->n_namesz, 4u), size = sizeof(*n) + name + ALIGN_UP(n->n_descsz, 4u);

		if (size > len)
			break;
		if (n->n_type == NOTE_PHYS32_ENTRY && !strcmp((const char *)(n + 1), "Xen"))
			memcpy(&entry, notes + sizeof(*n) + name, 4);
		notes += size;
		len -= size;
	}
	return entry;
}

u32 guest_elf_load(const char *path, u8 *ram, size_t ram_size)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	const u8 *file;
	const Elf64_Ehdr *e;
	const Elf64_Phdr *p;
	u32 entry = 0;

	if (fd < 0 || fstat(fd, &st))
		fail(path, "cannot open");
	file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	e = (const void *)file;
	if (file == MAP_FAILED || memcmp(e->e_ident, ELFMAG, 4))
		fail(path, "not an ELF file");
	p = (const void *)(file + e->e_phoff);
	for (unsigned i = 0; i < e->e_phnum; i++) {
		if (p[i].p_offset + p[i].p_filesz > (size_t)st.st_size ||
		    p[i].p_paddr + p[i].p_memsz > ram_size)
			fail(path, "segment out of range");
		if (p[i].p_type == PT_LOAD)
			memcpy(ram + p[i].p_paddr, file + p[i].p_offset, p[i].p_filesz);
		if (p[i].p_type == PT_NOTE)
			entry = find_entry(file + p[i].p_offset, p[i].p_filesz);
	}
	munmap((void *)file, st.st_size);
	close(fd);
	if (!entry)
		fail(path, "no PVH entry");
	return entry;
}
