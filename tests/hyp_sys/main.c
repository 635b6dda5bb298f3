/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hyp_sys/fake.h"

/* PROGRAM [GROUP]: all groups, or one (so that TAP output has one plan). */
int main(int argc, char **argv)
{
	int failed = 0, ran = 0;

	for (const struct test_group *g = test_groups; g->name; g++) {
		if (argc > 1 && strcmp(argv[1], g->name))
			continue;
		failed += g->run();
		ran++;
	}
	return failed || !ran;
}
