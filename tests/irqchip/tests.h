/* SPDX-License-Identifier: Apache-2.0 */
/* The chips' tests, one table a file; main.c runs them all. */
#ifndef KUSE_TESTS_IRQCHIP_TESTS_H
#define KUSE_TESTS_IRQCHIP_TESTS_H

extern const struct CMUnitTest pic_tests[], ioapic_tests[], pit_tests[], lapic_tests[], lapic_ipi_tests[],
	lapic_timer_tests[];
extern const size_t pic_nr_tests, ioapic_nr_tests, pit_nr_tests, lapic_nr_tests, lapic_ipi_nr_tests,
	lapic_timer_nr_tests;

#endif
