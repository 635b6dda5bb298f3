/* SPDX-License-Identifier: Apache-2.0 */
/* What the x86 part shares. */
#ifndef KUSE_FUZZ_GUEST_X86_H
#define KUSE_FUZZ_GUEST_X86_H

#include "hyp/sys/x86/state.h"
#include "tests/fuzz_guest/guest.h"

#define P_IDT 0x10000u
#define P_GDT 0x12000u
#define P_TSS 0x14000u

void registers_random(struct fuzz_rng *r, struct x86_state *s); /* general ones, RIP into the code */
u64 address_random(struct fuzz_rng *r);
void code_random(struct fuzz_rng *r, u8 *at, unsigned size);

#endif
