/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of a case, and what must be gone after it. */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "tests/fuzz_ioctl/fuzz.h"

static void none(int *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		slots[i] = -1;
}

/* Small guests, or noise. */
static void fill_block(struct ctx *c, u8 *mem)
{
	for (size_t at = 0; at < BLOCK_PAGES * PAGE; at += 8) {
		u64 v = rnd(c);

		if (chance(c, 50))
			v = 0;
		memcpy(mem + at, &v, 8);
	}
	for (size_t at = 0; at < BLOCK_PAGES * PAGE; at += arch_code_step)
		arch_code(c, mem + at + 16 * rnd_below(c, arch_code_step / 64));
}

/*
 * The largest memory slot ends 8 TiB behind its first byte. All of that behind a block is ours and empty, so
 * that a guest that runs on a slot longer than its block finds holes and not this process.
 */
#ifdef __SANITIZE_THREAD__
#define QUARTER (1ul << 38) /* the sanitizer has not that much room; guests do not run under it (ops.c) */
#else
#define QUARTER (9ul << 40)
#endif
static u8 *empty_quarter(void)
{
	static u8 *at;

	if (!at)
		at = mmap(NULL, QUARTER, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		abort();
	return at;
}

static void block_up(struct ctx *c, struct block *b, unsigned i)
{
	u8 *at = empty_quarter() + (1ul + i) * (1ul << 30);

	b->file = chance(c, 20);
	b->mem = mmap(at, BLOCK_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      (b->file ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (b->mem == MAP_FAILED)
		abort();
	fill_block(c, b->mem);
}

static void block_down(struct block *b)
{
	if (mmap(b->mem, BLOCK_PAGES * PAGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort();
}

void world_up(struct world *w, struct ctx *c)
{
	memset(w, 0, sizeof(*w));
	none(w->kvm, NR_KVM);
	none(w->vm, NR_VM);
	none(w->vcpu, NR_VCPU);
	none(w->event, NR_EVENT);
	none(w->other, NR_OTHER);
	none(w->device, NR_DEVICE);
	for (unsigned i = 0; i < NR_BLOCK; i++)
		block_up(c, &w->block[i], i);
	w->kvm[0] = kuse_open(O_RDWR | O_CLOEXEC);
	w->event[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->kvm[0] < 0 || w->event[0] < 0)
		fuzz_wrong("open: %s", strerror(errno));
}

void world_adopt(struct ctx *c, int *slots, unsigned n, int fd)
{
	int old = __atomic_exchange_n(&slots[rnd_below(c, n)], fd, __ATOMIC_SEQ_CST);

	if (old >= 0 && kuse_close(old))
		fuzz_wrong("close(%d): %s", old, strerror(errno));
}

int world_pick(struct ctx *c, const int *slots, unsigned n)
{
	for (unsigned tries = 0; tries < 2 * n; tries++) {
		int fd = __atomic_load_n(&slots[rnd_below(c, n)], __ATOMIC_SEQ_CST);

		if (fd >= 0)
			return fd;
	}
	return -1;
}

/* Closes all descriptors, in an order of its own. */
static void close_all(struct world *w, struct ctx *c)
{
	int *all[NR_KVM + NR_VM + NR_VCPU + NR_EVENT + NR_OTHER + NR_DEVICE];
	unsigned n = 0;

	for (unsigned i = 0; i < NR_KVM; i++)
		all[n++] = &w->kvm[i];
	for (unsigned i = 0; i < NR_VM; i++)
		all[n++] = &w->vm[i];
	for (unsigned i = 0; i < NR_VCPU; i++)
		all[n++] = &w->vcpu[i];
	for (unsigned i = 0; i < NR_EVENT; i++)
		all[n++] = &w->event[i];
	for (unsigned i = 0; i < NR_OTHER; i++)
		all[n++] = &w->other[i];
	for (unsigned i = 0; i < NR_DEVICE; i++)
		all[n++] = &w->device[i];
	while (n) {
		unsigned i = (unsigned)rnd_below(c, n);

		if (*all[i] >= 0 && kuse_close(*all[i]))
			fuzz_wrong("close(%d): %s", *all[i], strerror(errno));
		all[i] = all[--n];
	}
}

void world_down(struct world *w, struct ctx *c)
{
	bool maps_first = chance(c, 50);

	for (int pass = 0; pass < 2; pass++)
		if (pass != maps_first)
			close_all(w, c);
		else
			for (unsigned i = 0; i < NR_VCPU; i++)
				if (w->run[i].at)
					kuse_munmap(w->run[i].at, w->run[i].len);
	for (unsigned i = 0; i < NR_BLOCK; i++)
		block_down(&w->block[i]);
}

/* ---- leaks ------------------------------------------------------------------------------------------- */

static unsigned count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static unsigned count_memfd_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:") != NULL;
	if (f)
		fclose(f);
	return n;
}

static unsigned fds, threads, maps;

void leaks_before(void)
{
	fds = count_entries("/proc/self/fd");
	threads = count_entries("/proc/self/task");
	maps = count_memfd_maps();
}

void leaks_after(void)
{
	unsigned n;

	/* A joined thread stays visible for a moment. */
	for (int i = 0; i < 200 && count_entries("/proc/self/task") > threads; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	n = count_entries("/proc/self/fd");
	if (n != fds)
		fuzz_wrong("%d descriptors leaked", (int)(n - fds));
#ifdef __SANITIZE_THREAD__
	return; /* it starts a thread of its own at some time */
#endif
	n = count_entries("/proc/self/task");
	if (n != threads)
		fuzz_wrong("%d threads leaked", (int)(n - threads));
	n = count_memfd_maps();
	if (n != maps)
		fuzz_wrong("%d mappings leaked", (int)(n - maps));
}
