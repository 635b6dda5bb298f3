/* SPDX-License-Identifier: Apache-2.0 */
/* The controllers' tests, one table a file; main.c runs them all. */
#ifndef KUSE_TESTS_VGIC_TESTS_H
#define KUSE_TESTS_VGIC_TESTS_H

extern const struct CMUnitTest gicv3_tests[], gicv2_tests[], device_tests[], its_tests[], fuzz_tests[];
extern const size_t gicv3_nr_tests, gicv2_nr_tests, device_nr_tests, its_nr_tests, fuzz_nr_tests;

#endif
