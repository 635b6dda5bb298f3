/* SPDX-License-Identifier: Apache-2.0 */
/* Host signals (signal.c): what the engine and hyp_init() share with it. */
#ifndef KUSE_HYP_MEM_SIGNAL_H
#define KUSE_HYP_MEM_SIGNAL_H

#include <signal.h>

#include "hyp/mem/as.h"

/* The CPU that runs on this thread, NULL outside hyp_cpu_run. */
extern __thread struct hyp_cpu *hyp_current __attribute__((tls_model("initial-exec")));

/* Once per user: handlers are installed by the first, the client's put back by the last. */
int hyp_signal_init(void);
void hyp_signal_exit(void);

/* The host would not let us have a page of the address space's RAM. */
bool hyp_is_host_fault(int sig, const siginfo_t *si, struct hyp_as *as);

/* Provided by the engine: true where its code raised the signal and ctx has been changed so that it goes
 * on elsewhere. */
bool hyp_engine_signal(int sig, siginfo_t *si, void *ctx);

#endif
