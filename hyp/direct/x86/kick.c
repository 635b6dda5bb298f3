/* SPDX-License-Identifier: Apache-2.0 */
/* hyp_stub_kick is guest-live code: no libc, no vector registers. */
#include <sys/syscall.h>

#include "hyp/direct/x86/stub.h"
#include "hyp/direct/x86/stub_priv.h"

void hyp_stub_kick(const struct hyp_stub *s)
{
	/* A dead stub stays a zombie until it is destroyed, so its pid is nobody else's. */
	STUB_SYSCALL(SYS_tgkill, (u64)s->pid, (u64)s->pid, HYP_STUB_KICK);
}
