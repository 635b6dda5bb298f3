/* SPDX-License-Identifier: Apache-2.0 */
/* Between access.c and atomic.c. */
#ifndef KUSE_HYP_ARM64_ACCESS_H
#define KUSE_HYP_ARM64_ACCESS_H

#include "hyp/sys/arm64/cpu.h"

/* False: an alignment fault has been raised. mem: IR_MEM_* */
bool arm64_check_align(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned acc);
/* Fills HYP_EXIT_MMIO; write: the value, NULL for a read. Returns false. */
bool arm64_mmio_exit(struct hyp_cpu *cpu, gva_t gva, gpa_t gpa, u32 mem, const u64 *write);

#endif
