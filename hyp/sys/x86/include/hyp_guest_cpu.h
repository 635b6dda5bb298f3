/* SPDX-License-Identifier: Apache-2.0 */
/* What hyp/mem and hyp/cpu.c know of a CPU, found by the include path of one guest architecture: x86. */
#include "hyp/cpu.h"
