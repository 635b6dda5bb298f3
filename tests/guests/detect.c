/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor leaves: KVM's signature, its highest leaf, and features that may be used. */
#include "guest/lib/guest.h"

int guest_main(void)
{
	u32 base;
	enum hypervisor hv = hypervisor_detect(&base);

	print("hypervisor: %s at %x\n", hypervisor_name(hv), base);
	CHECK_EQ(hv, HV_KVM);
	CHECK(cpuid(base, 0).a >= base + 1);
	CHECK(kvm_has(3));
	CHECK(kvm_has(24)); /* the clock is stable */
	return 0;
}
