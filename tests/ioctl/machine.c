/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

int machine_up(struct machine *m, int irqchip)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	machine_vm(m, 0);
	if (irqchip == IRQCHIP)
		ok(IOCTL(m->vm, KVM_CREATE_IRQCHIP, 0));
	machine_vcpu(m);
	cpuid->nent = 256;
	ok(IOCTL(m->kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	ok(IOCTL(m->vcpu, KVM_SET_CPUID2, cpuid));
	free(cpuid);
	return 0;
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
