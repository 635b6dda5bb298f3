/* SPDX-License-Identifier: Apache-2.0 */
/* Kicks are guest-live code: no libc, no vector registers. */
#include <sys/syscall.h>

#include "hyp/cpu.h"
#include "hyp/direct/x86/stub.h"
#include "hyp/direct/x86/stub_priv.h"

void hyp_direct_kick(s32 pid)
{
	/* A dead stub stays a zombie until it is destroyed, so its pid is nobody else's. */
	STUB_SYSCALL(SYS_tgkill, (u64)pid, (u64)pid, HYP_STUB_KICK);
}

void hyp_stub_kick(const struct hyp_stub *s)
{
	hyp_direct_kick(s->pid);
}

int hyp_stub_pid(const struct hyp_stub *s)
{
	return s->pid;
}
