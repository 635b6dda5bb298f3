/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hyp_sys/fake.h"

int run_walk_tests(void);
int run_access_tests(void);
int run_seg_tests(void);
int run_exc_tests(void);
int run_far_tests(void);
int run_syscall_tests(void);
int run_sysreg_tests(void);
int run_random_tests(void);

const struct test_group test_groups[] = {
	{ "walk", run_walk_tests },
	{ "access", run_access_tests },
	{ "seg", run_seg_tests },
	{ "exc", run_exc_tests },
	{ "far", run_far_tests },
	{ "syscall", run_syscall_tests },
	{ "sysreg", run_sysreg_tests },
	{ "random", run_random_tests },
	{ NULL, NULL },
};
