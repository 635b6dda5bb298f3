/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF kernels: segments go to their physical addresses. Two entries: PVH, when a note gives one (32-bit
 * protected mode, paging off, EBX = hvm_start_info), and else e_entry by the 64-bit protocol (long mode,
 * RSI = zero page), as for a vmlinux or a small guest of one's own.
 */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "vmm/boot.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define HVM_START_MAGIC 0x336ec578u
#define PVH_MODLIST (BOOT_PARAMS + 0x100)
#define PVH_MEMMAP (BOOT_PARAMS + 0x200)

/* public/arch-x86/hvm/start_info.h of Xen, version 1. */
struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist, cmdline, rsdp, memmap;
	u32 memmap_entries, reserved;
};
struct hvm_module {
	u64 start, size, cmdline, reserved;
};
struct hvm_memmap {
	u64 start, size;
	u32 type, reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "Xen start_info.h");

static const Elf64_Ehdr *elf_header(const struct image *image)
{
	return (const Elf64_Ehdr *)image->data;
}

static bool elf_match(const struct image *image)
{
	return image_has(image, 0, SELFMAG) && memcmp(image->data, ELFMAG, SELFMAG) == 0;
}

static bool elf_is_x86_64(const struct image *image)
{
	const Elf64_Ehdr *eh = elf_header(image);

	return elf_match(image) && image_has(image, 0, sizeof(*eh)) && eh->e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh->e_ident[EI_DATA] == ELFDATA2LSB && eh->e_machine == EM_X86_64 &&
	       eh->e_phentsize == sizeof(Elf64_Phdr) &&
	       image_has(image, eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr));
}

static Elf64_Phdr elf_segment(const struct image *image, u32 i)
{
	Elf64_Phdr ph;

	memcpy(&ph, image->data + elf_header(image)->e_phoff + i * sizeof(ph), sizeof(ph));
	return ph;
}

/* A kernel has neither an interpreter, nor dynamic linking, nor thread-local storage. */
static bool is_user_program(const struct image *image)
{
	for (u32 i = 0; i < elf_header(image)->e_phnum; i++) {
		u32 type = elf_segment(image, i).p_type;

		if (type == PT_INTERP || type == PT_DYNAMIC || type == PT_TLS)
			return true;
	}
	return false;
}

/* The PVH entry in one PT_NOTE segment: 0 if none. */
static u32 note_entry(const struct image *image, const Elf64_Phdr *ph)
{
	u64 at = ph->p_offset, end;

	if (!image_has(image, ph->p_offset, ph->p_filesz))
		return 0;
	end = at + ph->p_filesz;
	while (end - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		u64 name, desc;
		u32 entry;

		memcpy(&note, image->data + at, sizeof(note));
		name = at + sizeof(note);
		desc = name + ALIGN_UP((u64)note.n_namesz, 4);
		if (desc > end || note.n_descsz > end - desc)
			return 0;
		if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 && note.n_descsz >= 4 &&
		    memcmp(image->data + name, "Xen", 4) == 0) {
			memcpy(&entry, image->data + desc, sizeof(entry));
			return entry;
		}
		at = desc + ALIGN_UP((u64)note.n_descsz, 4);
		if (at > end)
			return 0;
	}
	return 0;
}

static u32 pvh_entry(const struct image *image)
{
	u32 entry = 0;

	for (u32 i = 0; i < elf_header(image)->e_phnum && !entry; i++) {
		Elf64_Phdr ph = elf_segment(image, i);

		if (ph.p_type == PT_NOTE)
			entry = note_entry(image, &ph);
	}
	return entry;
}

static bool pvh_match(const struct image *image)
{
	return elf_is_x86_64(image) && pvh_entry(image);
}

static int elf_check(struct vm *vm, const struct image *image)
{
	const Elf64_Ehdr *eh = elf_header(image);

	if (!image_has(image, 0, sizeof(*eh)))
		return boot_refuse(vm, image, "is truncated (%llu bytes); get the whole file",
				   (unsigned long long)image->size);
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return boot_refuse(vm, image,
				   "is an ELF file for another machine (e_machine %u); give an x86-64 kernel",
				   eh->e_machine);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return boot_refuse(vm, image,
				   "is an ELF file that cannot be started (e_type %u); give a vmlinux",
				   eh->e_type);
	if (!elf_is_x86_64(image))
		return boot_refuse(vm, image,
				   "is truncated: its program headers are missing; get the whole file");
	if (is_user_program(image))
		return boot_refuse(vm, image,
				   "is a program for user space, not a kernel; give a vmlinux or bzImage");
	return 0;
}

static int elf_load_segment(struct vm *vm, const struct image *image, const Elf64_Phdr *ph)
{
	u8 *to;

	if (!image_has(image, ph->p_offset, ph->p_filesz) || ph->p_filesz > ph->p_memsz)
		return boot_refuse(
			vm, image,
			"is truncated or damaged (segment at file offset 0x%llx); get the whole file",
			(unsigned long long)ph->p_offset);
	if (ph->p_paddr < BOOT_CMDLINE + BOOT_CMDLINE_MAX)
		return boot_refuse(vm, image,
				   "has a segment at physical address 0x%llx, below 0x%x; link it higher",
				   (unsigned long long)ph->p_paddr, BOOT_CMDLINE + BOOT_CMDLINE_MAX);
	to = memory_at(vm, ph->p_paddr, ph->p_memsz);
	if (!to)
		return vm_end(vm, VM_END_MEMORY, 0,
			      "kernel '%s' wants memory at 0x%llx-0x%llx, "
			      "the guest has %llu MiB; use a larger --mem, or a kernel for a PC",
			      image->path, (unsigned long long)ph->p_paddr,
			      (unsigned long long)(ph->p_paddr + ph->p_memsz),
			      (unsigned long long)vm->mem.size >> 20);
	memcpy(to, image->data + ph->p_offset, ph->p_filesz);
	vm->boot.kernel_end = MAX(vm->boot.kernel_end, ph->p_paddr + ph->p_memsz);
	return 0;
}

static int elf_load_segments(struct vm *vm, const struct image *image)
{
	if (elf_check(vm, image) < 0)
		return -1;
	for (u32 i = 0; i < elf_header(image)->e_phnum; i++) {
		Elf64_Phdr ph = elf_segment(image, i);

		if (ph.p_type == PT_LOAD && ph.p_memsz && elf_load_segment(vm, image, &ph) < 0)
			return -1;
	}
	if (!vm->boot.kernel_end)
		return boot_refuse(vm, image, "has nothing to load; give a vmlinux");
	vm->boot.initrd_max = MIN(vm->mem.low, 0x80000000ull) - 1;
	return 0;
}

static int elf_load(struct vm *vm, const struct image *image)
{
	if (elf_load_segments(vm, image) < 0)
		return -1;
	vm->boot.entry = elf_header(image)->e_entry;
	if (!memory_at(vm, vm->boot.entry, 1))
		return boot_refuse(
			vm, image,
			"starts at 0x%llx, outside of memory; its entry must be a physical address",
			(unsigned long long)vm->boot.entry);
	return 0;
}

static int elf_params(struct vm *vm, const struct image *image)
{
	return boot_put_cmdline(vm, 2047) < 0 ? -1 : zero_page_write(vm, NULL, 0);
}

static int pvh_load(struct vm *vm, const struct image *image)
{
	if (elf_load_segments(vm, image) < 0)
		return -1;
	vm->boot.entry = pvh_entry(image);
	if (!vm->boot.entry)
		return boot_refuse(vm, image, "has no PVH entry note; leave out --boot pvh");
	if (!memory_at(vm, vm->boot.entry, 1))
		return boot_refuse(vm, image,
				   "has its PVH entry at 0x%llx, outside of memory; use a larger --mem",
				   (unsigned long long)vm->boot.entry);
	return 0;
}

static u32 pvh_memmap(struct vm *vm)
{
	struct e820_range map[8];
	size_t n = e820_map(vm, map, ARRAY_SIZE(map));

	for (size_t i = 0; i < n; i++) {
		struct hvm_memmap entry = {.start = map[i].start, .size = map[i].size, .type = map[i].type};

		memory_write(vm, PVH_MEMMAP + i * sizeof(entry), &entry, sizeof(entry));
	}
	return n;
}

static int pvh_params(struct vm *vm, const struct image *image)
{
	const struct hvm_module module = {.start = vm->boot.initrd, .size = vm->boot.initrd_size};
	struct hvm_start_info info = {
		.magic = HVM_START_MAGIC,
		.version = 1,
		.nr_modules = vm->boot.initrd ? 1 : 0,
		.modlist = vm->boot.initrd ? PVH_MODLIST : 0,
		.cmdline = BOOT_CMDLINE,
		.rsdp = vm->boot.rsdp,
		.memmap = PVH_MEMMAP,
	};

	if (boot_put_cmdline(vm, 2047) < 0)
		return -1;
	info.memmap_entries = pvh_memmap(vm);
	vm->boot.params = BOOT_PARAMS;
	if (memory_write(vm, PVH_MODLIST, &module, sizeof(module)) < 0)
		return -1;
	return memory_write(vm, BOOT_PARAMS, &info, sizeof(info));
}

const struct boot_loader boot_elf = {
	.format = BOOT_ELF,
	.name = "ELF, 64-bit entry",
	.match = elf_match,
	.load = elf_load,
	.params = elf_params,
};

const struct boot_loader boot_pvh = {
	.format = BOOT_PVH,
	.name = "ELF, PVH entry",
	.match = pvh_match,
	.load = pvh_load,
	.params = pvh_params,
};
