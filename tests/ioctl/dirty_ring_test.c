/* SPDX-License-Identifier: Apache-2.0 */
/* The dirty ring: enabling, mapping, what is noted when, a full ring, giving entries back. */
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

#define RING_BYTES 4096u
#define RING_ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define RING_OFFSET (KVM_DIRTY_LOG_PAGE_OFFSET * 4096)
#define LOG_SIZE 0x200000ul
#define LOG_GPA 0x400000ul

static struct machine m;
static uint8_t *mem;
static struct kvm_dirty_gfn *ring;
static unsigned fetched;

static int enable(int vm, unsigned cap, uint64_t size)
{
	struct kvm_enable_cap c = { .cap = cap, .args[0] = size };

	return IOCTL(vm, KVM_ENABLE_CAP, &c);
}

static int set(unsigned slot, unsigned flags, uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region r = { slot, flags, gpa, size, (uintptr_t)hva };

	return IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r);
}

/* A machine whose slot 1 is logged by a ring of one page. */
static void ring_up(void)
{
	memset(&m, 0, sizeof(m));
	m.kvm = k_open();
	m.vm = IOCTL(m.kvm, KVM_CREATE_VM, 0);
	ok(enable(m.vm, KVM_CAP_DIRTY_LOG_RING, RING_BYTES));
	m.mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ok(set(0, 0, 0, MEM_SIZE, m.mem));
	ok(set(1, KVM_MEM_LOG_DIRTY_PAGES, LOG_GPA, LOG_SIZE, mem));
	m.vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 0);
	ok(m.vcpu);
	m.run = k_mmap((size_t)IOCTL(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), m.vcpu, 0);
	ring = k_mmap(RING_BYTES, m.vcpu, RING_OFFSET);
	assert_ptr_not_equal(ring, MAP_FAILED);
	fetched = 0;
}

static int down(void **state)
{
	if (ring)
		munmap(ring, RING_BYTES);
	if (mem)
		munmap(mem, LOG_SIZE);
	ring = NULL;
	mem = NULL;
	machine_down(&m);
	return 0;
}

/* 32-bit protected mode, flat: the logged slot is above what real mode reaches. */
static void flat_code(const void *code, size_t len)
{
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_sregs s;

	machine_code(&m, code, len);
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.cr0 |= 1;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cs = data;
	s.cs.selector = 8;
	s.cs.type = 11;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
}

#define FLAT(...) flat_code((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Takes what is in the ring: a bitmap of page numbers of slot 1; gives the entries back. */
static unsigned collect(uint8_t *seen)
{
	unsigned n = 0;

	for (;; n++, fetched++) {
		struct kvm_dirty_gfn *e = &ring[fetched % RING_ENTRIES];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return n;
		assert_int_equal(e->slot, 1);
		assert_in_range(e->offset, 0, LOG_SIZE / 4096 - 1);
		seen[e->offset]++;
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

static void capability(void **state)
{
	m.kvm = k_open();
	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING), 65536 * 16);
	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL), 65536 * 16);
	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 0);
	ok(k_close(m.kvm));
}

static void enabling(void **state)
{
	int kvm = k_open(), vm = IOCTL(kvm, KVM_CREATE_VM, 0), vcpu;

	fails(EINVAL, IOCTL(vm, KVM_RESET_DIRTY_RINGS, 0));
	fails(EINVAL, enable(vm, KVM_CAP_DIRTY_LOG_RING, 0));
	fails(EINVAL, enable(vm, KVM_CAP_DIRTY_LOG_RING, 12288)); /* no power of two */
	fails(EINVAL, enable(vm, KVM_CAP_DIRTY_LOG_RING, 2048));  /* less than a page */
	fails(E2BIG, enable(vm, KVM_CAP_DIRTY_LOG_RING, 65536 * 32));
	fails(EINVAL, enable(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0));
	ok(enable(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536 * 16));
	fails(EINVAL, enable(vm, KVM_CAP_DIRTY_LOG_RING, RING_BYTES)); /* once */
	assert_int_equal(IOCTL(vm, KVM_RESET_DIRTY_RINGS, 0), 0);
	ok(k_close(vm));

	vm = IOCTL(kvm, KVM_CREATE_VM, 0);
	vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
	fails(EINVAL, enable(vm, KVM_CAP_DIRTY_LOG_RING, RING_BYTES)); /* vCPUs exist */
	ok(k_close(vcpu));
	ok(k_close(vm));
	ok(k_close(kvm));
}

static void log_is_excluded(void **state)
{
	uint64_t bits[LOG_SIZE / 4096 / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .slot = 1, .num_pages = 64, .dirty_bitmap = bits };

	ring_up();
	fails(ENXIO, IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	fails(ENXIO, IOCTL(m.vm, KVM_CLEAR_DIRTY_LOG, &clear));
}

static void *map(size_t len, int prot, int flags, off_t off)
{
	return kvm_is_real() ? mmap(NULL, len, prot, flags, m.vcpu, off)
			     : kuse_mmap(NULL, len, prot, flags, m.vcpu, off);
}

static sigjmp_buf caught;

static void on_bus(int sig)
{
	siglongjmp(caught, 1);
}

static bool bus_error(volatile uint8_t *p)
{
	struct sigaction sa = { .sa_handler = on_bus }, old;
	bool bad;

	sigaction(SIGBUS, &sa, &old);
	bad = sigsetjmp(caught, 1);
	if (!bad)
		(void)*p;
	sigaction(SIGBUS, &old, NULL);
	return bad;
}

static void mapping(void **state)
{
	uint8_t *p;

	ring_up();
	errno = 0;
	assert_ptr_equal(map(RING_BYTES, PROT_READ, MAP_PRIVATE, RING_OFFSET), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(map(RING_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, RING_OFFSET), MAP_FAILED);
	p = map(RING_OFFSET + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, 0); /* all in one piece */
	assert_ptr_not_equal(p, MAP_FAILED);
	p[RING_OFFSET + 8] = 0x5a;
	assert_int_equal(((uint8_t *)ring)[8], 0x5a);
	assert_true(bus_error(p + 4 * 4096)); /* neither kvm_run nor ring */
	munmap(p, RING_OFFSET + RING_BYTES);
	p = map(2 * RING_BYTES, PROT_READ, MAP_SHARED, RING_OFFSET + RING_BYTES);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(bus_error(p));
	munmap(p, 2 * RING_BYTES);
}

static void pages_are_noted_once(void **state)
{
	uint8_t seen[LOG_SIZE / 4096] = { 0 };

	ring_up();
	/* mov [0x400010],al twice; mov [0x405000],al; out 0x10,al; mov [0x400020],al; out 0x10,al */
	FLAT(0xa2, 0x10, 0, 0x40, 0, 0xa2, 0x10, 0, 0x40, 0, 0xa2, 0, 0x50, 0x40, 0, 0xe6, 0x10, 0xa2, 0x20,
	     0, 0x40, 0, 0xe6, 0x10);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(collect(seen), 2);
	assert_true(seen[0] == 1 && seen[5] == 1);
	ok(machine_run(&m)); /* not armed again yet */
	assert_int_equal(collect(seen), 0);
	assert_int_equal(IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0), 2);
	assert_int_equal(IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0), 0);
	assert_int_equal(ring[0].flags, 0);
	FLAT(0xa2, 0x10, 0, 0x40, 0, 0xe6, 0x10);
	ok(machine_run(&m));
	assert_int_equal(collect(seen), 1);
	assert_int_equal(seen[0], 2);
}

/* mov ecx,512; mov edi,0x400000; l: mov [edi],ecx; add edi,4096; loop l; out 0x10,al */
#define WRITE_ALL 0xb9, 0, 2, 0, 0, 0xbf, 0, 0, 0x40, 0, 0x89, 0x0f, 0x81, 0xc7, 0, 0x10, 0, 0, 0xe2, 0xf6, 0xe6, 0x10

static void full(void **state)
{
	uint8_t seen[LOG_SIZE / 4096] = { 0 };
	unsigned n, fulls = 0;

	ring_up();
	FLAT(WRITE_ALL);
	for (;;) {
		ok(machine_run(&m));
		if (m.run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
		ok(machine_run(&m)); /* no room was made: nothing happens */
		assert_int_equal(m.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
		n = collect(seen);
		assert_in_range(n, RING_ENTRIES - 64, RING_ENTRIES);
		assert_int_equal(IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0), n);
		fulls++;
	}
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	collect(seen);
	assert_in_range(fulls, 2, 3);
	for (unsigned i = 0; i < LOG_SIZE / 4096; i++) {
		/* the store that found the ring full is made, and noted, later */
		assert_in_range(seen[i], 1, 2);
		assert_int_equal(*(uint32_t *)(mem + i * 4096), 512 - i);
	}
}

/* rep stosd over the whole slot: one instruction fills the ring several times. */
static void full_by_string(void **state)
{
	uint8_t seen[LOG_SIZE / 4096] = { 0 };
	unsigned fulls = 0;

	ring_up();
	FLAT(0xb9, 0, 0, 8, 0, 0xbf, 0, 0, 0x40, 0, 0xb8, 1, 2, 3, 4, 0xf3, 0xab, 0xe6, 0x10);
	for (;;) {
		ok(machine_run(&m));
		if (m.run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
		assert_in_range(collect(seen), RING_ENTRIES - 64, RING_ENTRIES);
		IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0);
		fulls++;
	}
	collect(seen);
	assert_in_range(fulls, 2, 3);
	for (unsigned i = 0; i < LOG_SIZE / 4096; i++)
		assert_in_range(seen[i], 1, 2);
	assert_int_equal(*(uint32_t *)(mem + LOG_SIZE - 4), 0x04030201);
}

/* What user space writes into the ring is not trusted. */
static void forged_entries(void **state)
{
	static const struct { uint32_t slot; uint64_t offset; } bad[] = {
		{ 7, 0 }, { 40000, 0 }, { 1 << 16 | 1, 0 }, { 0xffffffff, ~0ull }, { 1, LOG_SIZE / 4096 }, { 1, ~0ull }, { 0, 5 },
	};

	ring_up();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ring[i] = (struct kvm_dirty_gfn){ KVM_DIRTY_GFN_F_RESET, bad[i].slot, bad[i].offset };
	assert_int_equal(IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0), sizeof(bad) / sizeof(bad[0]));
	for (unsigned i = 0; i < RING_ENTRIES; i++)
		ring[i].flags = KVM_DIRTY_GFN_F_RESET | KVM_DIRTY_GFN_F_DIRTY;
	assert_int_equal(IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0), RING_ENTRIES);
}

/* KVM writes guest memory itself: the page of kvmclock, by MSR. */
static void writes_of_kvm(void **state)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } msrs = { { .nmsrs = 1 }, { .index = 0x4b564d01 } };
	uint8_t seen[LOG_SIZE / 4096] = { 0 };

	ring_up();
	msrs.e.data = (LOG_GPA + 0x7000) | 1;
	assert_int_equal(IOCTL(m.vcpu, KVM_SET_MSRS, &msrs), 1);
	FLAT(0xe6, 0x10);
	ok(machine_run(&m));
	assert_int_equal(collect(seen), 1);
	assert_int_equal(seen[7], 1);
}

/* Logging that is switched on anew starts with clean pages. */
static void switched_on_again(void **state)
{
	uint8_t seen[LOG_SIZE / 4096] = { 0 };

	ring_up();
	FLAT(0xa2, 0x10, 0, 0x40, 0, 0xe6, 0x10);
	ok(machine_run(&m));
	assert_int_equal(collect(seen), 1);
	ok(set(1, 0, LOG_GPA, LOG_SIZE, mem));
	FLAT(0xa2, 0x10, 0, 0x40, 0, 0xe6, 0x10);
	ok(machine_run(&m));
	assert_int_equal(collect(seen), 0);
	ok(set(1, KVM_MEM_LOG_DIRTY_PAGES, LOG_GPA, LOG_SIZE, mem));
	FLAT(0xa2, 0x10, 0, 0x40, 0, 0xe6, 0x10);
	ok(machine_run(&m));
	assert_int_equal(collect(seen), 1);
}

#define T(f) cmocka_unit_test_teardown(f, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capability), cmocka_unit_test(enabling), T(log_is_excluded), T(mapping), T(pages_are_noted_once),
		T(full), T(full_by_string), T(forged_entries), T(writes_of_kvm), T(switched_on_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
