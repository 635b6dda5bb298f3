/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hyp_sys/fake.h"

/* hyp_sys_test [GROUP]: all groups, or one (so that TAP output has one plan). */
int main(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(void); } groups[] = {
		{ "walk", run_walk_tests }, { "access", run_access_tests }, { "seg", run_seg_tests },
		{ "exc", run_exc_tests }, { "far", run_far_tests }, { "syscall", run_syscall_tests },
		{ "sysreg", run_sysreg_tests },
		{ "random", run_random_tests },
	};
	int failed = 0, ran = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
		if (argc > 1 && strcmp(argv[1], groups[i].name))
			continue;
		failed += groups[i].run();
		ran++;
	}
	return failed || !ran;
}
