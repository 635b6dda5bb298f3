/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured fuzzing of the client border (virt/sys.h).
 *
 * A case is a function of its seed: a world of a few KVM descriptors, VMs, vCPUs, eventfds and blocks of
 * memory, on which one to three threads perform random operations, most of them plausible (a structure that
 * was just read, with a few words changed), some of them not (bad pointers, wrong descriptors, wrong
 * numbers). What may be found wrong:
 *   - an errno that Linux's ioctl cannot return (rows.h),
 *   - success where the argument could not be read or written,
 *   - a crash, or an access beyond the argument (arguments end where an unmapped page begins), or a hang,
 *   - after everything is closed: descriptors, threads, mappings or heap that were not there before.
 */
#ifndef KUSE_FUZZ_IOCTL_H
#define KUSE_FUZZ_IOCTL_H

#include <errno.h>
#include "tests/fuzz/driver.h"
#include "virt/sys.h"

#define NR_KVM 2
#define NR_VM 3
#define NR_VCPU 6
#define NR_EVENT 4
#define NR_OTHER 8
#define NR_DEVICE 4
#define NR_BLOCK 4
#define BLOCK_PAGES 32
#define PAGE 4096ul

struct block {
	u8 *mem;
	bool file;
};

struct run_map {
	void *at;
	size_t len;
};

/* What threads of a case share. Descriptors are -1 where there is none; races on them are wanted. */
struct world {
	int kvm[NR_KVM], vm[NR_VM], vcpu[NR_VCPU], event[NR_EVENT], other[NR_OTHER],
		device[NR_DEVICE];
	struct run_map run[NR_VCPU];
	struct block block[NR_BLOCK];
	bool racing; /* more than one thread: descriptors may be closed and reused under an operation */
};

/* One thread of a case. */
struct ctx {
	struct world *w;
	struct fuzz_rng rng;
	u8 *page; /* ARG_PAGES writable pages, then one without access */
};
#define ARG_PAGES 4

static inline u64 rnd(struct ctx *c) { return fuzz_u64(&c->rng); }
static inline u64 rnd_below(struct ctx *c, u64 n) { return fuzz_below(&c->rng, n); }
static inline bool chance(struct ctx *c, unsigned percent) { return fuzz_chance(&c->rng, percent); }
static inline u64 rnd_interesting(struct ctx *c) { return fuzz_value(&c->rng); }

/* Address of `size` bytes that end at the unmapped page. Contents are what they were. */
static inline void *arg_at_end(struct ctx *c, size_t size)
{
	return c->page + ARG_PAGES * PAGE - size;
}

/* world.c */
void world_up(struct world *w, struct ctx *c);
void world_down(struct world *w, struct ctx *c);
void leaks_before(void);
void leaks_after(void);
void world_adopt(struct ctx *c, int *slots, unsigned n, int fd); /* puts fd into a slot, closing what was there */
int world_pick(struct ctx *c, const int *slots, unsigned n);    /* a descriptor of the kind, or rarely any number */

/* ops.c */
void random_op(struct ctx *c);

/* x86/, arm64/ */
extern const char program_name[];
extern const size_t arch_code_step; /* bytes from one to the next */
void arch_code(struct ctx *c, u8 *at); /* a small guest of at most 64 bytes */

#endif
