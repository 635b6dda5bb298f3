/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU with four pages of RAM and no MMU: what blocks of IR are run on by the tests here. */
#ifndef KUSE_TESTS_IR_FAKE_H
#define KUSE_TESTS_IR_FAKE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hyp/ir/ir.h"
#include "hyp/sys/arm64/cpu.h"

#define FAKE_RAM 0x40000ull /* guest address of the first byte; a page that faults on both sides */
#define FAKE_PAGES 4u
#define FAKE_ESR 0x96000007u
#define FAKE_PC 0xffff800010001230ull

extern u8 fake_ram[FAKE_PAGES * PAGE_SIZE];

struct hyp_cpu *fake_cpu(void); /* a fresh one, RAM zeroed; fake_cpu_free() */
void fake_cpu_free(struct hyp_cpu *cpu);
/* One block with an INSN in front; the caller adds what ends it. */
struct ir_block *fake_block(u32 key);

#endif
