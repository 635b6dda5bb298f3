/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

int machine_up(struct machine *m, int irqchip)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEM_SIZE };
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	int size;

	memset(m, 0, sizeof(*m));
	m->kvm = k_open();
	ok(m->kvm);
	m->vm = IOCTL(m->kvm, KVM_CREATE_VM, 0);
	ok(m->vm);
	if (irqchip == IRQCHIP)
		ok(IOCTL(m->vm, KVM_CREATE_IRQCHIP, 0));
	m->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->mem, MAP_FAILED);
	region.userspace_addr = (uintptr_t)m->mem;
	ok(IOCTL(m->vm, KVM_SET_USER_MEMORY_REGION, &region));
	m->vcpu = IOCTL(m->vm, KVM_CREATE_VCPU, 0);
	ok(m->vcpu);
	size = IOCTL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->run = k_mmap((size_t)size, m->vcpu, 0);
	assert_ptr_not_equal(m->run, MAP_FAILED);
	cpuid->nent = 256;
	ok(IOCTL(m->kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	ok(IOCTL(m->vcpu, KVM_SET_CPUID2, cpuid));
	free(cpuid);
	return 0;
}

void machine_down(struct machine *m)
{
	munmap(m->run, (size_t)IOCTL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	ok(k_close(m->vcpu));
	ok(k_close(m->vm));
	ok(k_close(m->kvm));
	munmap(m->mem, MEM_SIZE);
}

void machine_code(struct machine *m, const void *code, size_t len)
{
	struct kvm_regs regs = { .rip = 0x1000, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	memcpy(m->mem + 0x1000, code, len);
	ok(IOCTL(m->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	ok(IOCTL(m->vcpu, KVM_SET_SREGS, &sregs));
	ok(IOCTL(m->vcpu, KVM_SET_REGS, &regs));
}
