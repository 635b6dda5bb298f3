/* SPDX-License-Identifier: Apache-2.0 */
/* Host signals raised by emitted code (mem/signal.h). */
#include "hyp/lift/engine.h"
#include "hyp/mem/signal.h"

/* The IR interpreter is C code under the run loop's guard: there is nothing of ours. */
bool hyp_engine_signal(int sig, siginfo_t *si, void *ctx)
{
	return false;
}
