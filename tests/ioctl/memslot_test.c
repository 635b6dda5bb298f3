/* SPDX-License-Identifier: Apache-2.0 */
/* Memory slots: every documented error, create, move, flags, delete; the dirty log's ioctls. */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

#define SIZE 0x400000ul

static int kvm, vm;
static uint8_t *mem;

static int up(void **state)
{
	kvm = k_open();
	vm = IOCTL(kvm, KVM_CREATE_VM, 0);
	mem = mmap(NULL, SIZE + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return vm < 0 || mem == MAP_FAILED;
}

static int down(void **state)
{
	munmap(mem, SIZE + 4096);
	return k_close(vm) | k_close(kvm);
}

static int set(unsigned slot, unsigned flags, uint64_t gpa, uint64_t size, uint64_t hva)
{
	struct kvm_userspace_memory_region r = { slot, flags, gpa, size, hva };

	return IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

#define HVA ((uintptr_t)mem)

static void alignment(void **state)
{
	fails(EINVAL, set(0, 0, 0, 0x1001, HVA));
	fails(EINVAL, set(0, 0, 0x800, 0x1000, HVA));
	fails(EINVAL, set(0, 0, 0, 0x1000, HVA + 1));
}

static void ranges(void **state)
{
	fails(EINVAL, set(0, 0, 0xfffffffffffff000ull, 0x2000, HVA));      /* wraps */
	fails(EINVAL, set(0, 0, 0, 0x1000, 0xffff800000000000ull));        /* not user memory */
	fails(EINVAL, set(32764, 0, 0, 0x1000, HVA));                      /* slot number */
	fails(EINVAL, set(0xffff, 0, 0, 0x1000, HVA));
	fails(EINVAL, set(5u << 16, 0, 0, 0x1000, HVA));                   /* address space */
	ok(set(32763, 0, 0, 0x1000, HVA));
}

static void flags(void **state)
{
	fails(EINVAL, set(0, 1u << 7, 0, 0x1000, HVA));
	ok(set(0, KVM_MEM_READONLY, 0, 0x1000, HVA));
	fails(EINVAL, set(0, 0, 0, 0x1000, HVA)); /* READONLY cannot change */
	ok(set(1, 0, 0x1000, 0x1000, HVA));
	ok(set(1, KVM_MEM_LOG_DIRTY_PAGES, 0x1000, 0x1000, HVA));
	ok(set(1, KVM_MEM_LOG_DIRTY_PAGES, 0x1000, 0x1000, HVA)); /* nothing to change */
	ok(set(1, 0, 0x1000, 0x1000, HVA));
}

/* The longer structure does the same, and takes all of its bytes from the client. */
static void region2(void **state)
{
	struct kvm_userspace_memory_region2 r = { 0, 0, 0, 0x1000, HVA };
	uint8_t *edge = mem + SIZE - 32; /* room for the short structure only */

	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY2), 1);
	ok(IOCTL(vm, KVM_SET_USER_MEMORY_REGION2, &r));
	fails(EINVAL, set(0, 0, 0, 0x2000, HVA)); /* the same slot */
	r.flags = KVM_MEM_GUEST_MEMFD;
	r.slot = 1;
	r.guest_phys_addr = 0x10000;
	fails(EINVAL, IOCTL(vm, KVM_SET_USER_MEMORY_REGION2, &r)); /* not in an ordinary VM */
	fails(EINVAL, set(1, KVM_MEM_GUEST_MEMFD, 0x10000, 0x1000, HVA));
	r.flags = 0;
	r.memory_size = 0;
	r.slot = 0;
	ok(IOCTL(vm, KVM_SET_USER_MEMORY_REGION2, &r));
	r.memory_size = 0x1000;
	memcpy(edge, &r, 32);
	ok(IOCTL(vm, KVM_SET_USER_MEMORY_REGION, edge));
	munmap(mem + SIZE, 4096);
	fails(EFAULT, IOCTL(vm, KVM_SET_USER_MEMORY_REGION2, edge));
}

static void bad_pointer(void **state)
{
	fails(EFAULT, IOCTL(vm, KVM_SET_USER_MEMORY_REGION, BAD_POINTER));
	fails(EFAULT, IOCTL(vm, KVM_SET_USER_MEMORY_REGION, 0));
}

static void overlap(void **state)
{
	ok(set(0, 0, 0x10000, 0x10000, HVA));
	fails(EEXIST, set(1, 0, 0x1f000, 0x1000, HVA + 0x10000));
	fails(EEXIST, set(1, 0, 0x0, 0x100000, HVA + 0x10000));
	ok(set(1, 0, 0x20000, 0x1000, HVA + 0x10000));
	ok(set(2, 0, 0xf000, 0x1000, HVA + 0x10000));
	fails(EEXIST, set(2, 0, 0x10000, 0x1000, HVA + 0x10000)); /* moving onto another */
}

static void move_and_delete(void **state)
{
	fails(EINVAL, set(0, 0, 0, 0, HVA)); /* deleting what is not there */
	ok(set(0, 0, 0x10000, 0x10000, HVA));
	ok(set(0, 0, 0x40000, 0x10000, HVA));
	ok(set(1, 0, 0x10000, 0x10000, HVA + 0x10000)); /* the old place is free */
	fails(EINVAL, set(0, 0, 0x40000, 0x20000, HVA)); /* size */
	fails(EINVAL, set(0, 0, 0x40000, 0x10000, HVA + 0x1000)); /* host address */
	ok(set(0, 0, 0x40000, 0, HVA));
	ok(set(2, 0, 0x40000, 0x1000, HVA));
	fails(EINVAL, set(0, 0, 0, 0, 0));
}

/* QEMU deletes and adds slots dozens of times while it starts. */
static void churn(void **state)
{
	for (unsigned i = 0; i < 500; i++) {
		ok(set(i % 7, 0, 0x100000ull * (i % 7), 0x10000, HVA + 0x10000 * (i % 7)));
		ok(set(i % 7, 0, 0, 0, 0));
	}
}

static void many_slots(void **state)
{
	for (unsigned i = 0; i < 500; i++)
		ok(set(i, 0, 0x2000ull * i, 0x1000, HVA));
	for (unsigned i = 0; i < 500; i += 2)
		ok(set(i, 0, 0, 0, 0));
	for (unsigned i = 0; i < 500; i += 2)
		ok(set(i, 0, 0x2000ull * i, 0x2000 - 0x1000, HVA));
	fails(EEXIST, set(600, 0, 0, 0x1000, HVA));
}

static void dirty_log_errors(void **state)
{
	uint64_t bits[16];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };

	fails(ENOENT, IOCTL(vm, KVM_GET_DIRTY_LOG, &log)); /* no slot */
	ok(set(0, 0, 0, 0x10000, HVA));
	fails(ENOENT, IOCTL(vm, KVM_GET_DIRTY_LOG, &log)); /* not logging */
	ok(set(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 0x10000, HVA));
	ok(IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 0);
	log.slot = 40000;
	fails(EINVAL, IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
	log.slot = 0;
	log.dirty_bitmap = (void *)BAD_POINTER;
	fails(EFAULT, IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
}

static void clear_dirty_log(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				      .args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET };
	uint64_t bits[4] = { 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .slot = 0, .num_pages = 128, .first_page = 0, .dirty_bitmap = bits };

	ok(IOCTL(vm, KVM_ENABLE_CAP, &cap));
	ok(set(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 200 * 4096, HVA));
	ok(IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
	assert_true(bits[0] == ~0ull && bits[3] == 0xff); /* initially all set */
	clear.first_page = 1;
	fails(EINVAL, IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.first_page = 256;
	fails(EINVAL, IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.first_page = 64;
	clear.num_pages = 10; /* neither a multiple of 64 nor up to the end */
	fails(EINVAL, IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.num_pages = 136; /* to the end */
	bits[0] = 0xf0;
	bits[1] = bits[2] = 0;
	ok(IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear));
	ok(IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
	assert_true(bits[0] == ~0ull && bits[1] == ~0xf0ull && bits[2] == ~0ull);
	clear.dirty_bitmap = (void *)BAD_POINTER;
	fails(EFAULT, IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.slot = 9;
	fails(ENOENT, IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear));
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(alignment), T(ranges), T(flags), T(region2), T(bad_pointer), T(overlap),
		T(move_and_delete), T(churn), T(many_slots), T(dirty_log_errors), T(clear_dirty_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
