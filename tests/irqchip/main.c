/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the tests of the interrupt chips as one group (one TAP plan). */
#include <string.h>

#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

int main(void)
{
	static struct CMUnitTest all[256];
	size_t n = 0;
	const struct {
		const struct CMUnitTest *tests;
		size_t nr;
	} files[] = {
		{ pic_tests, pic_nr_tests },
		{ ioapic_tests, ioapic_nr_tests },
		{ pit_tests, pit_nr_tests },
		{ lapic_tests, lapic_nr_tests },
		{ lapic_ipi_tests, lapic_ipi_nr_tests },
		{ lapic_timer_tests, lapic_timer_nr_tests },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		memcpy(&all[n], files[i].tests, files[i].nr * sizeof(all[0]));
		n += files[i].nr;
	}
	return _cmocka_run_group_tests("irqchip", all, n, NULL, NULL);
}
