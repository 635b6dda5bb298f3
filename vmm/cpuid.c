/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID as each vCPU sees it: what KVM_GET_SUPPORTED_CPUID offers, with the leaves that tell a CPU who it
 * is and how many there are filled in: one package, one thread per core, APIC id = vCPU id.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vcpu.h"

#define CPUID_MAX_ENTRIES 1024

/* What a fix-up may look at besides its entry. */
struct topology {
	u32 id, cpus, shift; /* shift: bits of the APIC id that number the cores */
	bool tsc_deadline;
};

static u32 ceil_log2(u32 n)
{
	u32 bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

static void fix_1(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	e->ebx = (e->ebx & 0x0000ffff) | t->id << 24 | (1u << t->shift) << 16;
	e->ecx |= 1u << 31; /* hypervisor present */
	if (t->tsc_deadline)
		e->ecx |= 1u << 24;
	if (t->cpus > 1)
		e->edx |= 1u << 28; /* HTT */
	else
		e->edx &= ~(1u << 28);
}

/* Deterministic cache parameters (Intel 4, AMD 8000001d): L1 and L2 private, L3 shared by the package. */
static void fix_cache(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	u32 level = (e->eax >> 5) & 7;
	u32 sharing = level >= 3 ? (1u << t->shift) - 1 : 0;

	if ((e->eax & 0x1f) == 0)
		return;
	e->eax = (e->eax & 0x3fff) | sharing << 14;
	if (e->function == 4)
		e->eax |= ((1u << t->shift) - 1) << 26;
}

/* Extended topology: level 0 is SMT (one thread), level 1 is cores. */
static void fix_topology(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	e->edx = t->id;
	e->ecx = e->index & 0xff;
	e->eax = e->ebx = 0;
	if (e->index == 0) {
		e->ebx = 1;
		e->ecx |= 1 << 8;
	} else if (e->index == 1) {
		e->eax = t->shift;
		e->ebx = t->cpus;
		e->ecx |= 2 << 8;
	}
}

static void fix_80000001(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	if (t->cpus > 1)
		e->ecx |= 1u << 1; /* CmpLegacy */
	else
		e->ecx &= ~(1u << 1);
}

/*
 * No invariant TSC, as with any VMM whose guests may move to another host: Linux then prefers kvm-clock,
 * which the host keeps right, to a TSC of its own calibration.
 */
static void fix_80000007(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	e->edx &= ~(1u << 8);
}

static void fix_80000008(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	if (e->ecx)
		e->ecx = (e->ecx & ~0xf0ffu) | t->shift << 12 | (t->cpus - 1);
}

static void fix_8000001e(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	e->eax = t->id;
	e->ebx = t->id; /* core id, one thread per core */
	e->ecx = 0;     /* node 0 of 1 */
}

static const struct {
	u32 function;
	void (*fix)(struct kvm_cpuid_entry2 *entry, const struct topology *t);
} fixes[] = {
	{0x1, fix_1},
	{0x4, fix_cache},
	{0xb, fix_topology},
	{0x1f, fix_topology},
	{0x80000001, fix_80000001},
	{0x80000007, fix_80000007},
	{0x80000008, fix_80000008},
	{0x8000001d, fix_cache},
	{0x8000001e, fix_8000001e},
};

void cpuid_fixup(struct kvm_cpuid2 *cpuid, u32 id, u32 cpus, bool tsc_deadline)
{
	const struct topology t = {
		.id = id,
		.cpus = cpus,
		.shift = ceil_log2(cpus),
		.tsc_deadline = tsc_deadline,
	};

	for (u32 i = 0; i < cpuid->nent; i++)
		for (size_t j = 0; j < ARRAY_SIZE(fixes); j++)
			if (cpuid->entries[i].function == fixes[j].function)
				fixes[j].fix(&cpuid->entries[i], &t);
}

static size_t cpuid_size(u32 entries)
{
	return sizeof(struct kvm_cpuid2) + entries * sizeof(struct kvm_cpuid_entry2);
}

/* KVM may offer leaf 0xb with level 0 only: a guest with several CPUs needs the core level too. */
static void complete_topology(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *level0 = NULL;

	for (u32 i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0xb && e->index == 1)
			return;
		if (e->function == 0xb && e->index == 0)
			level0 = e;
	}
	if (!level0 || cpuid->nent == CPUID_MAX_ENTRIES)
		return;
	level0->flags |= KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	cpuid->entries[cpuid->nent] = *level0;
	cpuid->entries[cpuid->nent++].index = 1;
}

int cpuid_init(struct vm *vm)
{
	vm->machine.cpuid = calloc(1, cpuid_size(CPUID_MAX_ENTRIES));
	if (!vm->machine.cpuid)
		return vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory");
	for (u32 entries = 64; entries <= CPUID_MAX_ENTRIES; entries *= 2) {
		vm->machine.cpuid->nent = entries;
		if (vm_sys_ioctl(vm, KVM_GET_SUPPORTED_CPUID, (unsigned long)vm->machine.cpuid) == 0) {
			complete_topology(vm->machine.cpuid);
			return 0;
		}
		if (errno != E2BIG)
			break;
	}
	vm_end_errno(vm, "KVM_GET_SUPPORTED_CPUID");
	cpuid_exit(vm);
	return -1;
}

void cpuid_exit(struct vm *vm)
{
	free(vm->machine.cpuid);
	vm->machine.cpuid = NULL;
}

int cpuid_set(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	size_t size = cpuid_size(vm->machine.cpuid->nent);
	struct kvm_cpuid2 *own = malloc(size);
	int ret;

	if (!own)
		return vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory");
	memcpy(own, vm->machine.cpuid, size);
	cpuid_fixup(own, vcpu->id, vm->cfg->cpus, vm->machine.tsc_deadline);
	ret = vcpu_ioctl(vcpu, KVM_SET_CPUID2, own);
	free(own);
	return ret < 0 ? vm_end_errno(vm, "KVM_SET_CPUID2") : 0;
}
