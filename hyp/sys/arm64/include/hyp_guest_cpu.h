/* SPDX-License-Identifier: Apache-2.0 */
/* What hyp/mem knows of a CPU, found by the include path of one guest architecture: arm64. */
#include "hyp/sys/arm64/cpu.h"
