/* SPDX-License-Identifier: Apache-2.0 */
/* What the arm64 part shares. */
#ifndef KUSE_FUZZ_GUEST_ARM64_H
#define KUSE_FUZZ_GUEST_ARM64_H

#include "hyp/sys/arm64/state.h"
#include "tests/fuzz_guest/guest.h"

void registers_random(struct fuzz_rng *r, struct arm64_state *s); /* general ones, PSTATE, pc into the code */
u64 address_random(struct fuzz_rng *r);
void code_random(struct fuzz_rng *r, u32 *at, unsigned words);

#endif
