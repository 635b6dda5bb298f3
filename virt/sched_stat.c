/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's run delay of a vCPU's thread: what steal time is made of. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/kvm_host.h"

#define SCHEDSTAT "/proc/thread-self/schedstat"

bool kvm_sched_info_on(void)
{
	return !access(SCHEDSTAT, R_OK);
}

void kvm_sched_stat_close(struct kvm_vcpu *vcpu)
{
	if (vcpu->sched_stat.tid)
		syscall(SYS_close, vcpu->sched_stat.fd);
	vcpu->sched_stat.tid = 0;
}

/*
 * "time on a CPU, run delay, time slices". The descriptor is of the thread that opened it. No cancellation
 * points in here (virt/sys.c).
 */
u64 kvm_run_delay_ns(struct kvm_vcpu *vcpu)
{
	pid_t self = gettid();
	char text[96], *at;
	ssize_t n;

	if (vcpu->sched_stat.tid != self) {
		kvm_sched_stat_close(vcpu);
		vcpu->sched_stat.fd = (int)syscall(SYS_openat, AT_FDCWD, SCHEDSTAT, O_RDONLY | O_CLOEXEC);
		vcpu->sched_stat.tid = vcpu->sched_stat.fd >= 0 ? self : 0;
	}
	n = vcpu->sched_stat.tid ? syscall(SYS_pread64, vcpu->sched_stat.fd, text, sizeof(text) - 1, 0) : 0;
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strchr(text, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}
