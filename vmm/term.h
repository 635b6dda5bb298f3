/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal: raw while a guest runs, restored always. A terminal belongs to the process, not to a VM. */
#ifndef KUSE_VMM_TERM_H
#define KUSE_VMM_TERM_H

#include "vmm/vm.h"

int term_init(struct vm *vm);
void term_exit(struct vm *vm);
bool term_is_raw(void);
/* Handlers that restore the terminal before a fatal signal ends us; to be called before KVM is opened. */
void term_catch_fatal(void);

/* What to do with one byte typed. */
enum term_key { TERM_SEND, TERM_SWALLOW, TERM_QUIT, TERM_HELP };
/* state: 0 at the start; remembers a Ctrl-A. */
enum term_key term_escape(int *state, u8 byte);
extern const char term_help[];

#endif
