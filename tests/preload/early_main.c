/* SPDX-License-Identifier: Apache-2.0 */
/* See early.c. */
#include "client.h"

#include <sys/stat.h>

extern int early_version, early_mode;

int main(void)
{
	struct sigaction old;
	struct vm v;

	CHECK("KVM in a library's constructor", early_version == 12);
	CHECK("stat there", S_ISCHR(early_mode));
	CHECK("a handler from there",
	      !sigaction(SIGUSR1, NULL, &old) && old.sa_handler != SIG_DFL && !raise(SIGUSR1));
	vm_make(&v, guest_out, sizeof(guest_out));
	CHECK("a VM in main", !ioctl(v.vcpu, KVM_RUN, 0) && v.run->exit_reason == KVM_EXIT_IO);
	vm_end(&v);
	return done();
}
