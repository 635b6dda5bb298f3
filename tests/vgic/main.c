/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the tests of arm64's interrupt controllers as one group (one TAP plan). */
#include <string.h>

#include "tests/vgic/fake.h"
#include "tests/vgic/tests.h"

int main(void)
{
	static struct CMUnitTest all[128];
	size_t n = 0;
	const struct {
		const struct CMUnitTest *tests;
		size_t nr;
	} files[] = {
		{ gicv3_tests, gicv3_nr_tests },
		{ gicv2_tests, gicv2_nr_tests },
		{ device_tests, device_nr_tests },
		{ its_tests, its_nr_tests },
		{ fuzz_tests, fuzz_nr_tests },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		memcpy(&all[n], files[i].tests, files[i].nr * sizeof(all[0]));
		n += files[i].nr;
	}
	return _cmocka_run_group_tests("vgic", all, n, NULL, NULL);
}
