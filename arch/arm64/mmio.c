/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses to addresses without RAM, and writes to read-only memory: devices in KVM first, then user space.
 * */
#include <string.h>
#include "arch/arm64/arm64.h"

#define EC(esr) ((u32)(esr) >> ESR_ELx_EC_SHIFT & 0x3f)

/* exit.mmio.data is the answer. */
int kvm_handle_mmio_return(struct kvm_vcpu *vcpu)
{
	vcpu->mmio_needed = false;
	hyp_arm64_complete_mmio(vcpu->hyp);
	return 1;
}

/* What no device could make sense of, as it has no size or no register: true where it has been dealt with. */
static bool abort_injected(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	u64 esr = s->exit.mmio.esr, far = s->exit.mmio.far;

	if (EC(esr) == ESR_ELx_EC_IABT_LOW || EC(esr) == ESR_ELx_EC_IABT_CUR) {
		kvm_inject_pabt(vcpu, far);
		return true;
	}
	if (esr & ESR_ELx_S1PTW) {
		kvm_inject_dabt(vcpu, far);
		return true;
	}
	return false;
}

/* Linux: io_mem_abort. */
int kvm_handle_mmio(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	int len = s->exit.mmio.len;
	int ret;

	vcpu->stat->mmio_exits++;
	vcpu->arch.hfar = s->exit.mmio.far;
	if (abort_injected(vcpu))
		return 1;
	if (!len)
		return vcpu->kvm->arch.nisv_to_user ? kvm_exit_nisv(vcpu) : -ENOSYS;
	if (s->exit.mmio.write) {
		ret = kvm_io_bus_write(vcpu, KVM_MMIO_BUS, s->exit.mmio.gpa, len, s->exit.mmio.data);
	} else {
		memset(s->exit.mmio.data, 0, sizeof(s->exit.mmio.data));
		ret = kvm_io_bus_read(vcpu, KVM_MMIO_BUS, s->exit.mmio.gpa, len, s->exit.mmio.data);
	}
	return ret ? kvm_exit_mmio(vcpu) : kvm_handle_mmio_return(vcpu);
}
