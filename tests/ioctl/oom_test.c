/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation fails once. A scenario is run again and again, the n-th allocation failing the n-th
 * time, until it gets through: each failure must come back as -1 with an errno, leave nothing open, and the
 * same scenario must work right afterwards.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include "tests/ioctl/ioctl.h"
#include "tests/lib/descriptors.h"

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_memalign(size_t, size_t);

static __thread int countdown; /* 0: off */
static __thread bool hit;

static bool fail_now(void)
{
	if (!countdown || --countdown)
		return false;
	hit = true;
	return true;
}

void *malloc(size_t n)
{
	return fail_now() ? (errno = ENOMEM, NULL) : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fail_now() ? (errno = ENOMEM, NULL) : __libc_calloc(n, size);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	if (fail_now())
		return ENOMEM;
	*p = __libc_memalign(align, n);
	return *p ? 0 : ENOMEM;
}

void *aligned_alloc(size_t align, size_t n)
{
	return fail_now() ? (errno = ENOMEM, NULL) : __libc_memalign(align, n);
}

#define TRY(call) do { if ((call) < 0) return -1; } while (0)

static int kvm;
static uint8_t *mem;

static int scenario_vcpu(int vm)
{
	int vcpu;

	TRY(vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0));
	return k_close(vcpu);
}

static int scenario_irqchip(int vm)
{
	struct kvm_pit_config pit = { 0 };

	TRY(IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
	TRY(IOCTL(vm, KVM_CREATE_PIT2, &pit));
	return scenario_vcpu(vm);
}

static int scenario_memory(int vm)
{
	struct kvm_userspace_memory_region r = { 0, KVM_MEM_LOG_DIRTY_PAGES, 0, 0x10000, (uintptr_t)mem };
	uint64_t bits[1];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };

	TRY(IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r));
	TRY(IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
	r.slot = 1;
	r.guest_phys_addr = 0x10000;
	r.flags = 0;
	TRY(IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r));
	r.memory_size = 0;
	return IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static int with_eventfd(int vm, int ev)
{
	struct kvm_irqfd irq = { .fd = (__u32)ev, .gsi = 5, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = (__u32)ev };
	struct kvm_ioeventfd io = { .addr = 0x1000, .len = 0, .fd = ev };
	struct kvm_coalesced_mmio_zone z = { .addr = 0xa0000, .size = 0x1000 };
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e; } route = {
		{ .nr = 1 }, { .gsi = 30, .type = KVM_IRQ_ROUTING_MSI } };

	TRY(IOCTL(vm, KVM_CREATE_IRQCHIP, 0));
	TRY(IOCTL(vm, KVM_IRQFD, &irq));
	TRY(IOCTL(vm, KVM_IOEVENTFD, &io));
	TRY(IOCTL(vm, KVM_REGISTER_COALESCED_MMIO, &z));
	return IOCTL(vm, KVM_SET_GSI_ROUTING, &route);
}

static int scenario_eventfd(int vm)
{
	int ev = eventfd(0, EFD_CLOEXEC), ret = with_eventfd(vm, ev), err = errno;

	close(ev);
	errno = err;
	return ret;
}

static int scenario_cpuid(int vm)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[256];
	} c;
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = { { .nmsrs = 1 }, { .index = 0x10 } };
	int vcpu;

	TRY(vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0));
	c.head.nent = 256;
	if (IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, &c) < 0 || IOCTL(vcpu, KVM_SET_CPUID2, &c) < 0 ||
	    IOCTL(vcpu, KVM_GET_MSRS, &m) < 0) {
		int err = errno;

		k_close(vcpu);
		errno = err;
		return -1;
	}
	return k_close(vcpu);
}

/* Returns what the scenario did; *failed: an allocation was made to fail. */
static int run_once(int (*scenario)(int vm), int n, bool *failed)
{
	int vm, ret = -1, err;

	hit = false;
	countdown = n;
	vm = IOCTL(kvm, KVM_CREATE_VM, 0);
	if (vm >= 0)
		ret = scenario(vm);
	err = errno;
	countdown = 0;
	if (vm >= 0)
		k_close(vm);
	*failed = hit;
	errno = err;
	return ret;
}

/* `optional`: allocations that may fail unnoticed, as Linux's APIC map (delivery is slower without). */
static void fail_each(int (*scenario)(int vm), int optional)
{
	int before, n = 0;
	bool failed = true;

	assert_int_equal(run_once(scenario, 0, &failed), 0);
	before = descriptors();
	for (failed = true; failed;) {
		int ret = run_once(scenario, ++n, &failed);

		if (failed && ret == 0 && optional-- > 0)
			continue;
		assert_int_equal(ret, failed ? -1 : 0);
		if (failed)
			assert_true(errno == ENOMEM || errno == EAGAIN);
		assert_int_equal(descriptors(), before);
		if (failed) {
			bool again;

			assert_int_equal(run_once(scenario, 0, &again), 0);
		}
		assert_true(n < 1000);
	}
	assert_true(n > 3); /* something was made to fail at all */
}

#define SCENARIO(name, optional) static void oom_##name(void **state) { fail_each(scenario_##name, optional); }
SCENARIO(vcpu, 0)
SCENARIO(irqchip, 1)
SCENARIO(memory, 0)
SCENARIO(eventfd, 0)
SCENARIO(cpuid, 0)

static int up(void **state)
{
	mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kvm = k_open();
	return kvm < 0 || mem == MAP_FAILED;
}

static int down(void **state)
{
	munmap(mem, 0x10000);
	return k_close(kvm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oom_vcpu), cmocka_unit_test(oom_irqchip), cmocka_unit_test(oom_memory),
		cmocka_unit_test(oom_eventfd),
		cmocka_unit_test(oom_cpuid),
	};

	return cmocka_run_group_tests(tests, up, down);
}
