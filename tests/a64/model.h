/* SPDX-License-Identifier: Apache-2.0 */
/* Our side: a case lifted and run by the IR interpreter, or as host code, over the case's page of memory. */
#ifndef KUSE_TESTS_A64_MODEL_H
#define KUSE_TESTS_A64_MODEL_H

#include "tests/a64/case.h"

#include <stdbool.h>

extern unsigned long model_interpreted; /* blocks */
/* index: the case's slot; emit: as host code, where the emitter does not refuse. Returns NULL, or what is
 * wrong with the IR made of it. */
const char *model_run(const struct a64_case *c, unsigned index, bool emit, struct a64_result *r);

#endif
