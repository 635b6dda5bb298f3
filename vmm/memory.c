/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: one reserved mapping, placed from GPA_RAM on and, what does not fit there, from 4 GiB up.
 * memory_at is the only way from a guest-physical address to a pointer, and checks the whole range.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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

int memory_init(struct vm *vm)
{
	struct vm_memory *mem = &vm->mem;

	mem->size = vm->cfg->memory;
	mem->low = MIN(mem->size, RAM_LOW_MAX);
	mem->high = mem->size - mem->low;
	mem->base = mmap(NULL, mem->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);
	if (mem->base == MAP_FAILED) {
		mem->base = NULL;
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
	if (vm->mem.base)
		munmap(vm->mem.base, vm->mem.size);
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
