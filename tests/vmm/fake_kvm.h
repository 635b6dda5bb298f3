/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM without a CPU, for tests of the VMM: KVM_RUN plays a script of exits, then sleeps like a halted
 * vCPU. Every call can be made to fail, and what is opened and mapped is counted.
 */
#ifndef KUSE_TESTS_FAKE_KVM_H
#define KUSE_TESTS_FAKE_KVM_H

#include <linux/kvm.h>

#include "lib/types.h"
#include "vmm/accel.h"

struct fake_exit {
	u32 reason; /* KVM_EXIT_IO or MMIO: an access; else as it is */
	bool write;
	u64 addr;
	u32 size;
	u64 value;
	int error; /* not 0: KVM_RUN fails with it */
};

struct fake_kvm {
	const struct fake_exit *script;
	size_t script_len, script_at;
	u64 last_read; /* what the VMM answered to the last read */
	u32 mp_state;
	u64 rflags;
	int fail_at; /* the n-th call fails; 0: none */
	int fail_errno;
	int calls, open_fds, mappings;
	u32 irq_level[24];
	u32 irq_changes;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_run *run[64];
};

extern struct fake_kvm fake;
extern const struct accel accel_fake;
void fake_reset(void);

#endif
