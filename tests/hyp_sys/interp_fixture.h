/* SPDX-License-Identifier: Apache-2.0 */
/* The fake machine (fake.h) in long mode, with a page of MMIO and an interpreter. */
#ifndef KUSE_TESTS_HYP_SYS_INTERP_FIXTURE_H
#define KUSE_TESTS_HYP_SYS_INTERP_FIXTURE_H

#include "hyp/sys/x86/interp.h"
#include "tests/hyp_sys/fake.h"

#define CODE 0x30000ull
#define DATA 0x400000ull
#define MMIO_VA 0x40000000ull
#define MMIO_PA 0xfee00000ull

int interp_setup(void **state);
int interp_teardown(void **state);
/* Faults of the host are the instruction's. Call it in the test: cmocka's own handlers come after setup. */
void interp_handle_signals(void);

/* The instruction at rip (linear = physical there). */
void interp_put(struct hyp_cpu *cpu, const u8 *code, unsigned n);
#define PUT(cpu, ...) interp_put(cpu, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

#define T(name) cmocka_unit_test_setup_teardown(test_##name, interp_setup, interp_teardown)

#endif
