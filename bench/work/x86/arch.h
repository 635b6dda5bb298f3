/* SPDX-License-Identifier: Apache-2.0 */
/* What the common workloads need from x86-64. */
#ifndef KUSE_BENCH_WORK_ARCH_H
#define KUSE_BENCH_WORK_ARCH_H

#include <stdint.h>
#include <string.h>

static inline void work_relax(void)
{
	__builtin_ia32_pause();
}

/* Writes a function that adds a constant. mov eax, imm; add eax, edi; ret */
static inline void work_adder(void *code, uint32_t imm)
{
	static const uint8_t body[] = { 0xb8, 0, 0, 0, 0, 0x01, 0xf8, 0xc3 };

	if (!imm)
		memcpy(code, body, sizeof(body));
	memcpy((uint8_t *)code + 1, &imm, sizeof(imm));
}

#endif
