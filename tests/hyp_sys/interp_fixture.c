/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hyp_sys/interp_fixture.h"

#include <signal.h>
#include <stdlib.h>

u64 hyp_x86_tsc(struct hyp_cpu *cpu) { return 0x1122334455667788ull; }

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	if (!x86_native_signal(sig, si, uc))
		abort();
}

void interp_handle_signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
}

int interp_setup(void **state)
{
	struct hyp_cpu *cpu;

	if (fake_setup(state))
		return -1;
	cpu = cpu_of(state);
	machine_long(cpu, 0);
	ram64_set(PDPT + 8, 0x5000 | 7);
	ram64_set(0x5000, MMIO_PA | 0x87);
	cpu->s.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu->s.xcr0 = 7;
	return 0;
}

int interp_teardown(void **state)
{
	x86_interp_free(cpu_of(state));
	return fake_teardown(state);
}

void interp_put(struct hyp_cpu *cpu, const u8 *code, unsigned n)
{
	cpu->s.rip = CODE;
	memcpy(fake_ram + CODE, code, n);
}

int run_interp_io_tests(void);
int run_interp_trap_tests(void);
int run_interp_memory_tests(void);
int run_interp_state_tests(void);

const struct test_group test_groups[] = {
	{ "io", run_interp_io_tests },
	{ "trap", run_interp_trap_tests },
	{ "memory", run_interp_memory_tests },
	{ "state", run_interp_state_tests },
	{ NULL, NULL },
};
