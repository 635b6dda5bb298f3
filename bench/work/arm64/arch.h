/* SPDX-License-Identifier: Apache-2.0 */
/* What the common workloads need from A64. */
#ifndef KUSE_BENCH_WORK_ARCH_H
#define KUSE_BENCH_WORK_ARCH_H

#include <stdint.h>
#include <string.h>

static inline void work_relax(void)
{
	__asm__ volatile("yield");
}

/* Writes a function that adds a constant. movz w8, imm; movk w8, imm, lsl 16; add w0, w0, w8; ret */
static inline void work_adder(void *code, uint32_t imm)
{
	uint32_t body[] = { 0x52800008 | (imm & 0xffff) << 5, 0x72a00008 | (imm >> 16) << 5, 0x0b080000, 0xd65f03c0 };

	memcpy(code, body, sizeof(body));
}

#endif
