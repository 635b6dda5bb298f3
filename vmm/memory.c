/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: one reserved mapping, of a file (memory_file.c) or anonymous, placed from GPA_RAM on and, what
 * does not fit there, from 4 GiB up.
 * memory_at is the only way from a guest-physical address to a pointer, and checks the whole range.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/vm.h"

static int memory_slot(struct vm *vm, u32 slot, gpa_t gpa, u64 size, u8 *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)host,
	};

	if (size == 0)
		return 0;
	if (vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return vm_end_errno(vm, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

static void close_file(struct vm_memory *mem)
{
	if (mem->fd >= 0)
		close(mem->fd);
	mem->fd = -1;
}

int memory_init(struct vm *vm)
{
	struct vm_memory *mem = &vm->mem;

	mem->size = vm->cfg->memory;
	mem->low = MIN(mem->size, RAM_LOW_MAX);
	mem->high = mem->size - mem->low;
	mem->fd = vm->accel->ram_file ? memory_file_create(mem->size) : -1;
	mem->base = mmap(NULL, mem->size, PROT_READ | PROT_WRITE,
			 MAP_NORESERVE | (mem->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), mem->fd,
			 0);
	if (mem->base == MAP_FAILED) {
		mem->base = NULL;
		close_file(mem);
		return vm_end(vm, VM_END_HOST_MEMORY, 0,
			      "cannot reserve %llu MiB of guest memory: %s; use a smaller --mem",
			      (unsigned long long)mem->size >> 20, strerror(errno));
	}
	madvise(mem->base, mem->size, MADV_HUGEPAGE);
	if (memory_slot(vm, 0, GPA_RAM, mem->low, mem->base) < 0 ||
	    memory_slot(vm, 1, GPA_4G, mem->high, mem->base + mem->low) < 0) {
		memory_exit(vm);
		return -1;
	}
	return 0;
}

void memory_exit(struct vm *vm)
{
	if (!vm->mem.base)
		return;
	munmap(vm->mem.base, vm->mem.size);
	close_file(&vm->mem);
	vm->mem.base = NULL;
}

void *memory_at(struct vm *vm, gpa_t gpa, u64 len)
{
	const struct vm_memory *mem = &vm->mem;
	u64 offset = gpa - GPA_RAM; /* below GPA_RAM: wraps, larger than any size */

	if (offset < mem->low && len <= mem->low - offset)
		return mem->base + offset;
	if (gpa >= GPA_4G && gpa - GPA_4G < mem->high && len <= mem->high - (gpa - GPA_4G))
		return mem->base + mem->low + (gpa - GPA_4G);
	return NULL;
}

int memory_write(struct vm *vm, gpa_t gpa, const void *data, u64 len)
{
	void *to = memory_at(vm, gpa, len);

	if (!to)
		return -1;
	memcpy(to, data, len);
	return 0;
}
