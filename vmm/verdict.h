/* SPDX-License-Identifier: Apache-2.0 */
/* How a run of a VM ended. The first verdict stands; cli/exit_status.h gives each an exit status. */
#ifndef KUSE_VMM_VERDICT_H
#define KUSE_VMM_VERDICT_H

enum vm_end {
	VM_END_NONE,         /* still running */
	VM_END_POWEROFF,     /* the guest powered itself off */
	VM_END_RESET,        /* the guest asked for a reset: the VMM ends, as kvmtool does */
	VM_END_DEBUG_EXIT,   /* isa-debug-exit; value = (byte << 1) | 1 */
	VM_END_COMMAND,      /* powered off after reporting CMD's status; value = that status */
	VM_END_NO_COMMAND,   /* ended without reporting CMD's status */
	VM_END_QUIT,         /* Ctrl-A x */
	VM_END_KERNEL,       /* kernel missing, unreadable, truncated or foreign */
	VM_END_INITRD,       /* initrd missing, unreadable or larger than memory */
	VM_END_MEMORY,       /* too little guest memory */
	VM_END_NO_KVM,       /* no usable KVM */
	VM_END_KVM_ERROR,    /* an ioctl failed, or KVM_EXIT_INTERNAL_ERROR/FAIL_ENTRY */
	VM_END_HOST_MEMORY,  /* the host has no more memory */
	VM_END_TRIPLE_FAULT, /* KVM_EXIT_SHUTDOWN */
	VM_END_PANIC,        /* the guest's kernel panicked */
	VM_END_STUCK,        /* every vCPU in HLT with interrupts off */
	VM_END_SIGNAL,       /* value = signal number */
	VM_END_COUNT
};

#endif
