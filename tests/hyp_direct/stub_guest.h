/* SPDX-License-Identifier: Apache-2.0 */
/* A stub with two pages of "guest RAM" in it: code, and data. */
#ifndef KUSE_TESTS_STUB_GUEST_H
#define KUSE_TESTS_STUB_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "hyp/direct/x86/stub.h"

#define CODE 0x400000ull
#define DATA 0x600000ull
#define RAM_PAGES 16

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

struct stub_guest {
	struct hyp_stub *stub;
	int ram;      /* memfd */
	u8 *code;     /* page 0, at CODE in the stub, read and execute */
	u8 *data;     /* page 1, at DATA, read and write */
	struct hyp_stub_regs r;
	struct hyp_stub_stop stop;
};

/* False: there are no user notifications here. */
bool stub_guest_init(struct stub_guest *g);
void stub_guest_exit(struct stub_guest *g);
/*
 * Places the code and starts at its beginning with g->r. What hyp_stub_run returned; g->r is what then was.
 */
int stub_guest_run(struct stub_guest *g, const void *code, size_t size);
/* Goes on with g->r. */
int stub_guest_go(struct stub_guest *g);

#define RUN(g, ...)                                                                                                \
	stub_guest_run(g, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

#endif
