/* SPDX-License-Identifier: Apache-2.0 */
/* arch/arm64's own seams: what its files offer each other. Names are Linux's (arch/arm64/kvm). */
#ifndef KUSE_ARCH_ARM64_H
#define KUSE_ARCH_ARM64_H

#include "virt/kvm_host.h"
#include "arch/arm64/vgic.h"

static inline struct arm64_state *arm64s(struct kvm_vcpu *vcpu) { return hyp_arm64_state(vcpu->hyp); }

/* ---- start-up (init.c) ---- */
u32 get_kvm_ipa_limit(void); /* bits */

#endif
