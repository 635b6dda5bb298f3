/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub's seccomp filter: what of a system call nobody can forge is the architecture, the number, the
 * arguments and the address behind the instruction. Allowed are, from the three SYSCALLs of stub_code.S and
 * from nowhere else,
 *
 *	sched_yield	at park		the user notification; harmless in whatever state it is reached
 *	mmap, munmap	at call		with the secret
 *	rt_sigreturn	at sigreturn	with the secret
 *
 * The secret is the upper halves of the arguments 3 and 4 (mmap's flags and descriptor, which the kernel
 * ignores; the others have no such arguments). Everything else is SIGSYS.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "hyp/direct/x86/stub_priv.h"

/* Labels: of tests (NONE: not jumped to), and in order of the RETs at the end. */
enum { NONE, NEXT, PARK, CALL, SIGRETURN, SECRET, TRAP, NOTIFY, ALLOW };

#define FIELD(f) (offsetof(struct seccomp_data, f))
#define HIGH(f) (offsetof(struct seccomp_data, f) + 4)

/* Load the word at `field`; if it is `value`, go on at `then`, else at `otherwise`. */
struct test {
	u8 label;
	u16 field;
	u32 value;
	u8 then, otherwise;
};

static u32 stub_address(const u8 *symbol)
{
	return (u32)HYP_STUB_BASE + (u32)(symbol - hyp_stub_code);
}

/* How far the jump at `from` goes to reach `label`. A test is two instructions, the RETs follow all tests. */
static u8 distance(const struct test *t, unsigned n, u8 label, unsigned from)
{
	unsigned to = 2 * n + label - TRAP;

	if (label == NEXT)
		return 0;
	for (unsigned i = 0; i < n; i++)
		if (t[i].label == label)
			to = 2 * i;
	return (u8)(to - from - 1);
}

unsigned stub_filter(struct sock_filter *out, const u32 secret[2])
{
	const struct test tests[] = {
		{ NONE, FIELD(arch), AUDIT_ARCH_X86_64, NEXT, TRAP },
		{ NONE, HIGH(instruction_pointer), HYP_STUB_BASE >> 32, NEXT, TRAP },
		{ NONE, FIELD(instruction_pointer), stub_address(hyp_stub_park_ip), PARK, NEXT },
		{ NONE, FIELD(instruction_pointer), stub_address(hyp_stub_call_ip), CALL, NEXT },
		{ NONE, FIELD(instruction_pointer), stub_address(hyp_stub_sigreturn_ip), SIGRETURN, TRAP },
		{ PARK, FIELD(nr), SYS_sched_yield, NOTIFY, TRAP },
		{ SIGRETURN, FIELD(nr), SYS_rt_sigreturn, SECRET, TRAP },
		{ CALL, FIELD(nr), SYS_mmap, SECRET, NEXT },
		{ NONE, FIELD(nr), SYS_munmap, SECRET, TRAP },
		{ SECRET, HIGH(args[3]), secret[0], NEXT, TRAP },
		{ NONE, HIGH(args[4]), secret[1], ALLOW, TRAP },
	};
	const u32 ends[] = { SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ALLOW };
	unsigned n = 0;

	_Static_assert(2 * ARRAY_SIZE(tests) + ARRAY_SIZE(ends) <= STUB_FILTER_MAX, "filter does not fit");
	for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
		const struct test *t = &tests[i];

		out[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, t->field);
		out[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, t->value,
						      distance(tests, ARRAY_SIZE(tests), t->then, n),
						      distance(tests, ARRAY_SIZE(tests), t->otherwise, n));
		n++;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
		out[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, ends[i]);
	return n;
}
