/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of tests/guest_hyp_arm64.c, for both sides. */
#ifndef KUSE_TESTS_GUESTS_ARM64_MACHINE_H
#define KUSE_TESTS_GUESTS_ARM64_MACHINE_H

#define RAM_BASE 0x40000000ul
#define RAM_SIZE (64ul << 20)
#define ROM_BASE 0x20000000ul /* a page; the last of RAM, read-only */
#define IPA_BITS 40
#define MAX_CPUS 8
#define STACK_BYTES 0x4000ul

#define DEV_CONSOLE 0x10000000ul
#define DEV_EXIT 0x10000008ul
#define DEV_LINES 0x10000010ul /* LINE_* | vsesr << 32 */
#define DEV_SCRATCH 0x10000018ul
#define DEV_CPUS 0x10000020ul /* their number */
#define LINE_IRQ 1
#define LINE_FIQ 2
#define LINE_SERROR 4
#define NISV_ESR (0x25u << 26 | 1u << 25 | 0x10) /* for an access without valid syndrome */

#endif
