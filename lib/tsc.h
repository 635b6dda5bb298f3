/* SPDX-License-Identifier: Apache-2.0 */
/* The host's time stamp counter. */
#ifndef KUSE_LIB_TSC_H
#define KUSE_LIB_TSC_H

#include "lib/types.h"

/*
 * Its frequency in kHz: measured against CLOCK_MONOTONIC_RAW once a process (10 ms); what the host kernel
 * states (*stated) where that agrees. 0: it stands still.
 */
u32 host_tsc_khz(bool *stated);

#endif
