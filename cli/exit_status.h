/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exit statuses of kuse, the one place where they are given (docs/kuse.1 has the same table). A guest's own
 * statuses (CMD's, or the debug exit port's) are passed through, so ours lie where commands seldom are.
 */
#ifndef KUSE_CLI_EXIT_STATUS_H
#define KUSE_CLI_EXIT_STATUS_H

enum exit_status {
	STATUS_OK = 0,             /* the guest powered off or reset; or Ctrl-A x */
	STATUS_FAILURE = 1,        /* doctor: a step fails; other commands: as told */
	STATUS_USAGE = 100,        /* unknown option or command, bad value */
	STATUS_KERNEL = 101,       /* kernel missing, unreadable, truncated, foreign; none could be got */
	STATUS_INITRD = 102,       /* initrd missing, unreadable, larger than memory; no busybox */
	STATUS_MEMORY = 103,       /* too little guest memory */
	STATUS_NO_KVM = 104,       /* no usable KVM: mode none, no executable memory, ... */
	STATUS_KVM_ERROR = 105,    /* KVM failed while the guest ran */
	STATUS_HOST_MEMORY = 106,  /* the host is out of memory */
	STATUS_TRIPLE_FAULT = 107, /* the guest triple-faulted */
	STATUS_PANIC = 108,        /* the guest's kernel panicked */
	STATUS_STUCK = 109,        /* every vCPU halted with interrupts off */
	STATUS_NO_COMMAND = 110,   /* the guest ended without telling CMD's exit status */
	STATUS_CLIENT_CLOSED = 111, /* exec: the client is static, privileged, or of another libc */
	STATUS_CLIENT_NOT_RUNNABLE = 126, /* exec: not executable, no program, for another machine */
	STATUS_CLIENT_NOT_FOUND = 127, /* exec: there is no such client */
	STATUS_SIGNAL = 128,       /* + signal number: SIGHUP 129, SIGINT 130, SIGTERM 143 */
};

#endif
