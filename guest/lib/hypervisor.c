/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hypervisor is below us. A host may show several signatures at once (KVM with Hyper-V
 * enlightenments): all leaves from 0x40000000 in steps of 0x100 are looked at. A vendor's priority
 * is the leaf it is found at, and the highest wins, as Linux' detect_hypervisor_vendor has it.
 */
#include "guest/lib/guest.h"

static const struct vendor {
	enum hypervisor hv;
	const char *name, *signature;
} vendors[] = {
	{ HV_ACRN, "ACRN", "ACRNACRNACRN" },
	{ HV_JAILHOUSE, "Jailhouse", "Jailhouse\0\0\0" },
	{ HV_KVM, "KVM", "KVMKVMKVM\0\0\0" },
	{ HV_VMWARE, "VMware", "VMwareVMware" },
	{ HV_HYPERV, "Hyper-V", "Microsoft Hv" },
	{ HV_XEN, "Xen", "XenVMMXenVMM" },
};
#define NVENDORS (sizeof(vendors) / sizeof(vendors[0]))

static const struct vendor *vendor_of(struct cpuid id)
{
	u32 sig[3] = { id.b, id.c, id.d };

	for (unsigned i = 0; i < NVENDORS; i++) {
		unsigned k = 0;

		while (k < 12 && ((u8 *)sig)[k] == (u8)vendors[i].signature[k])
			k++;
		if (k == 12)
			return &vendors[i];
	}
	return NULL;
}

enum hypervisor hypervisor_detect(u32 *base)
{
	const struct vendor *best = NULL;

	*base = 0;
	if (!(cpuid(1, 0).c >> 31))
		return HV_NONE;
	for (u32 leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
		const struct vendor *v = vendor_of(cpuid(leaf, 0));

		if (v) {
			best = v;
			*base = leaf;
		}
	}
	return best ? best->hv : HV_UNKNOWN;
}

const char *hypervisor_name(enum hypervisor hv)
{
	for (unsigned i = 0; i < NVENDORS; i++)
		if (vendors[i].hv == hv)
			return vendors[i].name;
	return hv == HV_NONE ? "none" : "unknown";
}

bool kvm_has(u32 bit)
{
	u32 base;

	return hypervisor_detect(&base) == HV_KVM && (cpuid(base + 1, 0).a >> bit & 1);
}

s64 kvm_hypercall(u64 nr, u64 a, u64 b, u64 c, u64 d)
{
	s64 ret;

	/* either of VMCALL and VMMCALL: KVM patches or accepts the other one */
	asm volatile("vmcall" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return ret;
}

/* ---- kvmclock (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW) ---------------------- */
struct pvclock {
	u32 version, pad;
	u64 tsc, system_time;
	u32 mul;
	signed char shift;
	u8 flags, pad2[2];
};
struct wall { u32 version, sec, nsec; };

static volatile struct pvclock pvclock __attribute__((aligned(64)));
static volatile struct wall wall __attribute__((aligned(4)));

void kvmclock_enable(void)
{
	wrmsr(0x4b564d01, (u64)&pvclock | 1);
}

u64 kvmclock_ns(void)
{
	u32 version;
	u64 ns;

	do {
		u64 delta;

		version = pvclock.version;
		asm volatile("" : : : "memory");
		delta = rdtsc() - pvclock.tsc;
		delta = pvclock.shift < 0 ? delta >> -pvclock.shift : delta << pvclock.shift;
		ns = pvclock.system_time + (u64)((unsigned __int128)delta * pvclock.mul >> 32);
		asm volatile("" : : : "memory");
	} while (version & 1 || version != pvclock.version);
	return ns;
}

u64 kvmclock_wall_ns(void)
{
	wrmsr(0x4b564d00, (u64)&wall);
	return wall.sec * 1000000000ull + wall.nsec;
}
