/* SPDX-License-Identifier: Apache-2.0 */
/* Random cases from the decode table. A case is a function of its seed. */
#ifndef KUSE_TESTS_A64_GEN_H
#define KUSE_TESTS_A64_GEN_H

#include "hyp/lift/arm64/decode.h"
#include "tests/a64/case.h"

/* only: part of a row's name, or NULL. Returns false where no row is of use. */
bool gen_init(const char *only);
/* Puts v into a field of the row; false: it has no such field. */
bool gen_put(u32 *w, unsigned row, enum a64_field f, u32 v);
void gen_case(struct a64_case *c, u64 seed);

#endif
