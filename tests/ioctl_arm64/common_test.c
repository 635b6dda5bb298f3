/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ioctls that virt/ has for every architecture, as an arm64 guest and its client see them: a doorbell, a
 * coalesced zone, statistics, dirty pages cleared by hand; and those that only x86 has.
 */
#include <string.h>
#include <sys/eventfd.h>
#include "tests/ioctl_arm64/arm64.h"

#define DOORBELL (NOWHERE + 0x100)
#define ZONE (NOWHERE + 0x1000)

static void version(void **state)
{
	assert_int_equal(IOCTL(m.kvm, KVM_GET_API_VERSION, 0), 12);
	fails(EINVAL, IOCTL(m.kvm, KVM_GET_API_VERSION, 1));
}

/* Whatever is there for x86 alone: EINVAL (Linux's stubs), and numbers of other architectures: EINVAL. */
static void not_for_arm64(void **state)
{
	static const unsigned vcpu_calls[] = { KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_FPU,
					       KVM_SET_FPU, KVM_TRANSLATE, KVM_NMI, KVM_SMI };
	static uint64_t buf[512];

	for (size_t i = 0; i < sizeof(vcpu_calls) / sizeof(vcpu_calls[0]); i++)
		fails(EINVAL, IOCTL(m.vcpu, vcpu_calls[i], buf));
	fails(EINVAL, IOCTL(m.vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){ 0 }));
	fails(EINVAL, IOCTL(m.vm, KVM_SET_TSS_ADDR, 0x1000));
	fails(EINVAL, IOCTL(m.vm, KVM_CREATE_PIT2, buf));
}

/* A store of 7, and none other, rings; the guest goes on without an exit. */
static void doorbell(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_ioeventfd bell = { .addr = DOORBELL, .len = 4, .fd = fd, .datamatch = 7 };
	struct kvm_ioeventfd bad;
	uint64_t count;

	bell.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	bad = bell;
	bad.len = 3;
	fails(EINVAL, IOCTL(m.vm, KVM_IOEVENTFD, &bad));
	bad = bell;
	bad.flags = 1u << 5;
	fails(EINVAL, IOCTL(m.vm, KVM_IOEVENTFD, &bad));
	bad = bell;
	bad.fd = m.vm;
	fails(EINVAL, IOCTL(m.vm, KVM_IOEVENTFD, &bad));
	fails(EFAULT, IOCTL(m.vm, KVM_IOEVENTFD, BAD_POINTER));
	ok(IOCTL(m.vm, KVM_IOEVENTFD, &bell));
	fails(EEXIST, IOCTL(m.vm, KVM_IOEVENTFD, &bell));
	machine_asm(&m, MOV32(1, DOORBELL), MOVZ(2, 7, 0), STRW(2, 1), STRW(2, 1), MOVZ(2, 8, 0), STRW(2, 1));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.phys_addr, DOORBELL);
	assert_int_equal(m.run->mmio.data[0], 8);
	assert_int_equal(read(fd, &count, 8), 8);
	assert_int_equal(count, 2);
	bell.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	ok(IOCTL(m.vm, KVM_IOEVENTFD, &bell));
	fails(ENOENT, IOCTL(m.vm, KVM_IOEVENTFD, &bell));
	close(fd);
}

/* Stores into the zone are gathered in kvm_run's second page, in their order. */
static void coalesced(void **state)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = ZONE, .size = 4096 };
	struct kvm_coalesced_mmio_ring *ring = (void *)((char *)m.run + 4096);

	zone.pio = 2;
	fails(EINVAL, IOCTL(m.vm, KVM_REGISTER_COALESCED_MMIO, &zone));
	zone.pio = 0;
	fails(EFAULT, IOCTL(m.vm, KVM_REGISTER_COALESCED_MMIO, BAD_POINTER));
	ok(IOCTL(m.vm, KVM_REGISTER_COALESCED_MMIO, &zone));
	machine_asm(&m, MOV32(1, ZONE), MOVZ(2, 0x11, 0), STRW(2, 1), MOVZ(2, 0x2222, 0), STRH(2, 1),
		    REPORT(2));
	assert_int_equal(machine_report(&m, 0), 0x2222);
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, ZONE);
	assert_int_equal(ring->coalesced_mmio[0].len, 4);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 0x11);
	assert_int_equal(ring->coalesced_mmio[1].len, 2);
	ok(IOCTL(m.vm, KVM_UNREGISTER_COALESCED_MMIO, &zone));
	machine_asm(&m, MOV32(1, ZONE), STRW(2, 1));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.phys_addr, ZONE);
}

static void signal_mask(void **state)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} mask = { .head.len = 4 };

	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 8;
	ok(IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, &mask));
	ok(IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, 0));
	fails(EFAULT, IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, BAD_POINTER));
}

static void statistics(int fd)
{
	struct kvm_stats_header h;
	int stats = IOCTL(fd, KVM_GET_STATS_FD, 0);

	ok(stats);
	assert_int_equal(pread(stats, &h, sizeof(h), 0), sizeof(h));
	assert_true(h.num_desc > 0);
	assert_true(h.data_offset > h.desc_offset);
	ok(k_close(stats));
}

static void statistics_descriptors(void **state)
{
	statistics(m.vm);
	statistics(m.vcpu);
	fails(EINVAL, IOCTL(m.kvm, KVM_GET_STATS_FD, 0));
}

static void memory_region_2(void **state)
{
	struct kvm_userspace_memory_region2 r = { .slot = 1, .guest_phys_addr = RAM_BASE + MEM_SIZE, .memory_size = 4096,
						  .userspace_addr = (uintptr_t)m.mem };

	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION2, &r));
	r.slot = 2;
	fails(EEXIST, IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION2, &r));
	r.guest_phys_addr += 4096;
	r.flags = KVM_MEM_GUEST_MEMFD;
	fails(EINVAL, IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION2, &r)); /* KVM_CAP_GUEST_MEMFD is 0 */
}

/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: reading the log leaves it, clearing takes a page at a time. */
static void cleared_by_hand(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };
	struct kvm_userspace_memory_region ram = { .guest_phys_addr = RAM_BASE, .memory_size = MEM_SIZE,
						   .userspace_addr = (uintptr_t)m.mem, .flags = KVM_MEM_LOG_DIRTY_PAGES };
	static uint64_t bits[MEM_SIZE / 4096 / 64], one = 1ull << 33;
	struct kvm_dirty_log log = { .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .num_pages = 64, .dirty_bitmap = &one };

	fails(EINVAL, IOCTL(m.vm, KVM_RESET_DIRTY_RINGS, 0)); /* there is none */
	ok(IOCTL(m.vm, KVM_ENABLE_CAP, &cap));
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &ram));
	machine_asm(&m, MOV32(1, RAM_BASE + 33 * 4096), STRX(1, 1, 0), STRX(1, 1, 4096), REPORT(1));
	ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 0);
	machine_report(&m, 0);
	for (int i = 0; i < 2; i++) {
		ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
		assert_int_equal(bits[0], 3ull << 33);
	}
	clear.num_pages = 63;
	fails(EINVAL, IOCTL(m.vm, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.num_pages = 64;
	clear.slot = 9;
	fails(ENOENT, IOCTL(m.vm, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.slot = 0;
	ok(IOCTL(m.vm, KVM_CLEAR_DIRTY_LOG, &clear));
	ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 1ull << 34);
}

#define T(f) cmocka_unit_test_setup_teardown(f, m_bare, m_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(version),     T(not_for_arm64),          T(doorbell),        T(coalesced),
		T(signal_mask), T(statistics_descriptors), T(memory_region_2), T(cleared_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
