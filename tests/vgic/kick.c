/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and kicks, counted; threads.c has virt/'s own instead. */
#include "tests/vgic/fake.h"

void kvm_make_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	vcpu->requests |= BIT_ULL(req);
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	fake.kicks[vcpu->vcpu_idx]++;
}
