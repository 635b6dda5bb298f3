/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations. Ioctls that have no row (rows.h) are known from tests/api/api.inc by number and size, and
 * get noise.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/fuzz_ioctl/rows.h"

/* ThreadSanitizer delays signals, also those that end a KVM_RUN: guests do not run under it. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif

/* Every ioctl of Linux 6.12, those included that have no row above. */
static const struct {
	const char *name;
	unsigned int cmd;
} all_ioctls[] = {
#define API_IOCTL(name, nr, levels, absence) { #name, nr },
#define API_CAP(name, nr, absence)
#include "tests/api/api.inc"
};

/* ---- calling and judging ---- */

static bool listed(const struct row *r, int err)
{
	for (size_t i = 0; i < COUNT(r->errnos); i++)
		if (r->errnos[i] == err)
			return true;
	return false;
}

static unsigned long bad_pointer(struct ctx *c, size_t size)
{
	unsigned long guard = (unsigned long)c->page + ARG_PAGES * PAGE;

	switch (rnd_below(c, 5)) {
	case 0: return 8;
	case 1: return guard;
	case 2: return size > 1 ? guard - size + 1 : guard; /* the last byte is missing */
	case 3: return 0xffff888000000000ul;
	default: return ~0ul - rnd_below(c, 64);
	}
}

static void judge_errno(const int *allowed, int err)
{
	while (*allowed && *allowed != err)
		allowed++;
	if (!*allowed)
		fuzz_wrong("errno %d (%s)", err, strerror(err));
}

/* `exact`: the descriptor is of the row's level for sure. */
static void judge(struct ctx *c, const struct row *r, int fd, int ret, int err, bool bad, bool exact)
{
	if (!exact || c->w->racing)
		return;
	/* -EIO: a system management interrupt that found no memory for its state ended the VM. */
	if (ret < 0 && !listed(r, err) && err != EIO)
		fuzz_wrong("errno %d (%s) on descriptor %d", err, strerror(err), fd);
	if (ret >= 0 && bad)
		fuzz_wrong("returned %d for an argument that is not there", ret);
}

/* Descriptors by row.level. */
#define LEVELS "DVCX"
static const int *slots_of(struct ctx *c, char level, unsigned *n)
{
	static const unsigned ns[] = { NR_KVM, NR_VM, NR_VCPU, NR_DEVICE };
	int *const slots[] = { c->w->kvm, c->w->vm, c->w->vcpu, c->w->device };
	size_t i = (size_t)(strchr(LEVELS, level) - LEVELS);

	*n = ns[i];
	return slots[i];
}

static void op_row(struct ctx *c)
{
	unsigned i = (unsigned)rnd_below(c, common_nr_rows + arch_nr_rows);
	const struct row *r = i < arch_nr_rows ? &arch_rows[i] : &common_rows[i - arch_nr_rows];
	bool bad = r->flags & POINTER && chance(c, 6), exact = chance(c, 97);
	unsigned n;
	const int *slots = slots_of(c, exact ? r->level : LEVELS[rnd_below(c, 4)], &n);
	int fd = world_pick(c, slots, n), ret;
	unsigned long arg;

	if (fd < 0)
		return;
	fuzz_note(r->name);
	arg = r->fill(c, fd, r);
	if (bad)
		arg = bad_pointer(c, _IOC_SIZE(r->cmd));
	errno = 0;
	ret = kuse_ioctl(fd, r->cmd, arg);
	judge(c, r, fd, ret, errno, bad, exact);
	if (ret > 0 && r->flags & NEW_FD)
		world_adopt(c, c->w->other, NR_OTHER, ret);
}

static bool makes_fd(unsigned cmd)
{
	return cmd == KVM_CREATE_VM || cmd == KVM_CREATE_VCPU || cmd == KVM_GET_STATS_FD ||
	       cmd == KVM_CREATE_DEVICE || _IOC_NR(cmd) == 0xd4 /* KVM_CREATE_GUEST_MEMFD */;
}

/* Noise must name this process's memory neither as the guest's nor as the place for an answer: memory slots,
 * KVM_GET_ONE_REG, KVM_GET_DEVICE_ATTR. */
static bool names_memory(unsigned cmd)
{
	return _IOC_NR(cmd) == 0x46 || _IOC_NR(cmd) == 0x49 || _IOC_NR(cmd) == 0xab || _IOC_NR(cmd) == 0xe2;
}

/* Any ioctl on any descriptor with noise, numbers that do not exist included. */
static void op_any(struct ctx *c)
{
	unsigned n, i = (unsigned)rnd_below(c, COUNT(all_ioctls));
	const int *slots = slots_of(c, LEVELS[rnd_below(c, 4)], &n);
	struct row r = { .name = all_ioctls[i].name, .cmd = all_ioctls[i].cmd };
	int fd = world_pick(c, slots, n);

	if (chance(c, 10)) {
		r.name = "no such ioctl";
		r.cmd = (unsigned)rnd(c);
		if (chance(c, 80))
			r.cmd = (r.cmd & 0xc0ff00ff) | 0xae00;
		if (_IOC_SIZE(r.cmd) > ARG_PAGES * PAGE)
			return;
	}
	if (fd < 0 || makes_fd(r.cmd) || r.cmd == KVM_RUN || names_memory(r.cmd))
		return;
	fuzz_note(r.name);
	kuse_ioctl(fd, r.cmd, chance(c, 90) ? fill_noise(c, fd, &r) : rnd_no_address(c));
}

/* ---- objects ---- */

static void op_open(struct ctx *c)
{
	int fd;

	fuzz_note("open");
	fd = kuse_open(O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fuzz_wrong("%s", strerror(errno));
	world_adopt(c, c->w->kvm, NR_KVM, fd);
}

static void op_create_vm(struct ctx *c)
{
	unsigned long type = chance(c, 95) ? 0 : rnd_interesting(c);
	int kvm = world_pick(c, c->w->kvm, NR_KVM), fd;

	fuzz_note("KVM_CREATE_VM");
	if (kvm < 0)
		return;
	fd = kuse_ioctl(kvm, KVM_CREATE_VM, type);
	if (fd < 0) {
		if (!c->w->racing && type == 0)
			fuzz_wrong("%s", strerror(errno));
		return;
	}
	world_adopt(c, c->w->vm, NR_VM, fd);
}

static void op_create_vcpu(struct ctx *c)
{
	unsigned long id = chance(c, 90) ? rnd_below(c, 8) : rnd_interesting(c);
	int vm = world_pick(c, c->w->vm, NR_VM), fd;

	if (vm < 0)
		return;
	fuzz_note("KVM_CREATE_VCPU");
	fd = kuse_ioctl(vm, KVM_CREATE_VCPU, id);
	if (fd >= 0)
		world_adopt(c, c->w->vcpu, NR_VCPU, fd);
	else if (!c->w->racing)
		judge_errno(arch_vcpu_errnos, errno);
}

/* The client takes memory away under its slots, and gives it back. */
static void op_protect(struct ctx *c)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE };
	struct block *b = &c->w->block[rnd_below(c, NR_BLOCK)];
	size_t page = rnd_below(c, BLOCK_PAGES);

	fuzz_note("mprotect");
	mprotect(b->mem + page * PAGE, (BLOCK_PAGES - page) * PAGE, prots[rnd_below(c, COUNT(prots))]);
}

static void op_eventfd(struct ctx *c)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	fuzz_note("eventfd");
	if (fd >= 0)
		world_adopt(c, c->w->event, NR_EVENT, fd);
}

static void op_signal_event(struct ctx *c)
{
	int fd = world_pick(c, c->w->event, NR_EVENT);
	u64 one = 1;

	fuzz_note("write to an eventfd");
	if (fd >= 0 && write(fd, &one, 8) != 8)
		return;
}

static void op_close(struct ctx *c)
{
	int *const lists[] = { c->w->kvm, c->w->vm, c->w->vcpu, c->w->event, c->w->other, c->w->device };
	static const unsigned ns[] = { NR_KVM, NR_VM, NR_VCPU, NR_EVENT, NR_OTHER, NR_DEVICE };
	unsigned i = (unsigned)rnd_below(c, COUNT(ns));

	fuzz_note("close");
	world_adopt(c, lists[i], ns[i], -1);
}

/* The duplicate lands in a slot of the same kind. */
static void op_dup(struct ctx *c)
{
	int *const lists[] = { c->w->kvm, c->w->vm, c->w->vcpu };
	static const unsigned ns[] = { NR_KVM, NR_VM, NR_VCPU };
	unsigned i = (unsigned)rnd_below(c, COUNT(ns));
	int fd = world_pick(c, lists[i], ns[i]), new;

	fuzz_note("dup");
	if (fd < 0)
		return;
	new = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (new >= 0)
		kuse_dup(fd, new); /* as the interposer does: sys.h asks for it */
	if (new >= 0)
		world_adopt(c, lists[i], ns[i], new);
}

static void op_mmap(struct ctx *c)
{
	unsigned i = (unsigned)rnd_below(c, NR_VCPU);
	int fd = world_pick(c, chance(c, 90) ? c->w->vcpu : c->w->vm, chance(c, 90) ? NR_VM : 1);
	struct run_map *m = &c->w->run[i];
	size_t len = PAGE * (1 + rnd_below(c, 4));
	void *at;

	fuzz_note("mmap");
	if (c->w->racing)
		return; /* an unmapped kvm_run of another thread's choice would be our own fault */
	if (m->at)
		kuse_munmap(m->at, m->len);
	at = kuse_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(PAGE * rnd_below(c, 3)));
	*m = at == MAP_FAILED ? (struct run_map){ 0 } : (struct run_map){ at, len };
}

/* Scribbles over what is shared with KVM. The first page may lie behind the end of the file. */
static void scribble(struct ctx *c, struct kvm_run *run)
{
	run->immediate_exit = chance(c, 10);
	run->request_interrupt_window = chance(c, 20);
	run->cr8 = chance(c, 90) ? 0 : rnd_interesting(c);
	run->kvm_valid_regs = chance(c, 90) ? rnd_below(c, 8) : rnd_interesting(c);
	run->kvm_dirty_regs = chance(c, 90) ? 0 : rnd_below(c, 16);
	if (chance(c, 20))
		mutate(c, (u8 *)run + 256, PAGE - 256);
	if (chance(c, 5))
		mutate(c, run, PAGE);
	if (UNDER_TSAN)
		run->immediate_exit = 1;
}

/* In a race the number may by now be another file, without a page to scribble on: the guest runs as it is. */
static struct kvm_run *map_run(struct ctx *c, int fd)
{
	struct kvm_run *run;

	if (c->w->racing)
		return NULL;
	run = kuse_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		fuzz_wrong("kvm_run cannot be mapped: %s", strerror(errno));
	return run;
}

static void judge_run(struct ctx *c, const struct kvm_run *run, int ret, int err)
{
	if (!run)
		return;
	if (ret < 0)
		judge_errno(arch_run_errnos, err);
	if (!ret && run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    run->internal.suberror == KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON)
		fuzz_wrong("the CPU gave up: internal error at %#llx", run->internal.data[0]);
}

static void run_vcpu(struct ctx *c, int fd)
{
	struct kvm_run *run;
	int ret;

	if (fd < 0 || (c->w->racing && UNDER_TSAN))
		return;
	fuzz_note("KVM_RUN");
	run = map_run(c, fd);
	for (unsigned n = 1 + (unsigned)rnd_below(c, 4); n--;) {
		if (run)
			scribble(c, run);
		ret = kuse_ioctl(fd, KVM_RUN, chance(c, 98) ? 0 : rnd_interesting(c));
		judge_run(c, run, ret, errno);
	}
	if (run)
		kuse_munmap(run, PAGE);
}

static void op_run(struct ctx *c)
{
	run_vcpu(c, world_pick(c, c->w->vcpu, NR_VCPU));
}

static void boot(struct ctx *c, int fd)
{
	if (fd < 0)
		return;
	fuzz_note("a boot state");
	arch_boot(c, fd);
	run_vcpu(c, fd);
}

static void op_boot(struct ctx *c)
{
	boot(c, world_pick(c, c->w->vcpu, NR_VCPU));
}

/* All that a guest needs, in a VM of its own. */
static void op_machine(struct ctx *c)
{
	struct kvm_userspace_memory_region ram = { .guest_phys_addr = arch_gpas[0], .memory_size = BLOCK_PAGES * PAGE,
						   .userspace_addr = (u64)c->w->block[rnd_below(c, NR_BLOCK)].mem };
	int kvm = world_pick(c, c->w->kvm, NR_KVM), vm, vcpu;

	fuzz_note("a machine");
	vm = kvm < 0 ? -1 : kuse_ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return;
	kuse_ioctl(vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&ram);
	vcpu = kuse_ioctl(vm, KVM_CREATE_VCPU, 0);
	if (chance(c, 60))
		arch_devices(c, vm);
	boot(c, vcpu);
	world_adopt(c, c->w->vm, NR_VM, vm);
	world_adopt(c, c->w->vcpu, NR_VCPU, vcpu);
}

static void op_devices(struct ctx *c)
{
	int vm = world_pick(c, c->w->vm, NR_VM);

	if (vm >= 0)
		arch_devices(c, vm);
}

/* A child has the numbers, but not the VMs. Only where no other thread may hold a lock. */
static void op_fork(struct ctx *c)
{
	pid_t pid;
	int status;

	if (c->w->racing)
		return;
	fuzz_note("fork");
	pid = fork();
	if (!pid) {
		for (unsigned i = 0; i < NR_VM; i++)
			if (c->w->vm[i] >= 0 &&
			    (kuse_ioctl(c->w->vm[i], KVM_CHECK_EXTENSION, 0) != -1 || errno != EIO))
				_exit(1);
		if (chance(c, 50))
			for (unsigned i = 0; i < NR_VCPU; i++)
				if (c->w->vcpu[i] >= 0)
					kuse_close(c->w->vcpu[i]);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) != pid && errno == EINTR)
		;
	if (pid > 0 && status)
		fuzz_wrong("the child of a fork ended with status %#x", status);
}

static void op_read_stats(struct ctx *c)
{
	int fd = world_pick(c, c->w->other, NR_OTHER);

	fuzz_note("read of a statistics descriptor");
	if (fd >= 0 && pread(fd, c->page, rnd_below(c, PAGE), (off_t)rnd_below(c, 256)) < 0)
		return;
}

static const struct {
	unsigned weight;
	void (*fn)(struct ctx *c);
} ops[] = {
	{ 60, op_row }, { 8, op_any }, { 1, op_open }, { 3, op_create_vm }, { 6, op_create_vcpu }, { 3, op_devices },
	{ 2, op_eventfd }, { 3, op_signal_event }, { 3, op_close }, { 2, op_dup }, { 2, op_mmap }, { 6, op_run },
	{ 4, op_boot }, { 2, op_machine }, { 1, op_fork }, { 1, op_read_stats }, { 1, op_protect },
};

void random_op(struct ctx *c)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < COUNT(ops); i++)
		sum += ops[i].weight;
	at = (unsigned)rnd_below(c, sum);
	for (size_t i = 0; i < COUNT(ops); i++) {
		if (at < ops[i].weight) {
			ops[i].fn(c);
			return;
		}
		at -= ops[i].weight;
	}
}
