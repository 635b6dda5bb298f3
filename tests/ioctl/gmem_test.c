/* SPDX-License-Identifier: Apache-2.0 */
/* guest_memfd, memory attributes, KVM_X86_SW_PROTECTED_VM, KVM_PRE_FAULT_MEMORY. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "tests/ioctl/ioctl.h"

#define PAGE 4096ul
#define GPA 0x100000ul /* what is private or shared; code and the rest are in slot 0 */
#define SIZE (16 * PAGE)

static struct machine m; /* of the protected kind */
static uint8_t *mem;
static int gmem;

static int create(int vm, uint64_t size, uint64_t flags)
{
	struct kvm_create_guest_memfd c = { .size = size, .flags = flags };

	return IOCTL(vm, KVM_CREATE_GUEST_MEMFD, &c);
}

static int set2(unsigned slot, unsigned flags, uint64_t gpa, uint64_t size, int fd, uint64_t offset)
{
	struct kvm_userspace_memory_region2 r = { .slot = slot, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
						   .userspace_addr = (uintptr_t)mem, .guest_memfd_offset = offset,
						   .guest_memfd = (uint32_t)fd };

	return IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION2, &r);
}

static int attributes(uint64_t gpa, uint64_t size, uint64_t attr)
{
	struct kvm_memory_attributes a = { gpa, size, attr, 0 };

	return IOCTL(m.vm, KVM_SET_MEMORY_ATTRIBUTES, &a);
}

static int fall(int fd, int mode, off_t off, off_t len)
{
	return kvm_is_real() ? fallocate(fd, mode, off, len) : kuse_fallocate(fd, mode, off, len);
}

static int up(void **state)
{
	struct kvm_userspace_memory_region low = { .memory_size = GPA };

	memset(&m, 0, sizeof(m));
	m.kvm = k_open();
	if (!(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES) & 1 << KVM_X86_SW_PROTECTED_VM))
		return -1;
	m.vm = IOCTL(m.kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	m.mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	low.userspace_addr = (uintptr_t)m.mem;
	m.vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 0);
	m.run = k_mmap((size_t)IOCTL(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), m.vcpu, 0);
	gmem = create(m.vm, SIZE, 0);
	return IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &low) | (m.vm < 0) | (m.vcpu < 0) | (gmem < 0);
}

static int down(void **state)
{
	if (gmem >= 0)
		k_close(gmem);
	munmap(mem, SIZE);
	machine_down(&m);
	return 0;
}

/* 32-bit flat: mov al,[GPA]; out 0x10,al; mov byte [GPA],bl; out 0x11,al; jmp back */
static void touch_code(uint8_t bl)
{
	static const uint8_t code[] = { 0xa0, 0, 0, 0x10, 0, 0xe6, 0x10, 0x88, 0x1d, 0, 0, 0x10, 0, 0xe6, 0x11, 0xeb, 0xef };
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_regs regs;
	struct kvm_sregs s;

	machine_code(&m, code, sizeof(code));
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.cr0 |= 1;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cs = data;
	s.cs.selector = 8;
	s.cs.type = 11;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &regs));
	regs.rbx = bl;
	ok(IOCTL(m.vcpu, KVM_SET_REGS, &regs));
}

/* What the guest finds at GPA; it then writes bl there. */
static uint8_t touch(uint8_t bl)
{
	uint8_t value;

	touch_code(bl);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	value = ((uint8_t *)m.run)[m.run->io.data_offset];
	ok(machine_run(&m));
	assert_int_equal(m.run->io.port, 0x11);
	return value;
}

static void faults(uint64_t flags)
{
	const struct kvm_run_memory_fault *f = (const void *)&m.run->hw;

	fails(EFAULT, machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(f->gpa, GPA);
	assert_int_equal(f->size, PAGE);
	assert_int_equal(f->flags, flags);
}

static void capabilities(void **state)
{
	int kvm = k_open(), vm = IOCTL(kvm, KVM_CREATE_VM, 0);

	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD), 1);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES),
			 KVM_MEMORY_ATTRIBUTE_PRIVATE);
	assert_int_equal(IOCTL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_FAULT_INFO), 1);
	assert_int_equal(IOCTL(vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD), 0);
	assert_int_equal(IOCTL(vm, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES), 0);
	assert_int_equal(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD), 1);
	assert_int_equal(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE), 1);
	fails(EINVAL, IOCTL(kvm, KVM_CREATE_VM, 2)); /* SEV */
	ok(k_close(vm));
	ok(k_close(kvm));
}

static void creation(void **state)
{
	struct stat st;
	int fd;

	fails(EINVAL, create(m.vm, 0, 0));
	fails(EINVAL, create(m.vm, PAGE + 1, 0));
	fails(EINVAL, create(m.vm, ~0ull << 12, 0)); /* negative */
	fails(EINVAL, create(m.vm, PAGE, 1));
	fd = create(m.vm, 3 * PAGE, 0);
	ok(fd);
	ok(fstat(fd, &st));
	assert_int_equal(st.st_size, 3 * PAGE);
	assert_ptr_equal(k_mmap(PAGE, fd, 0), MAP_FAILED);
	assert_int_equal(read(fd, &st, 1), -1);
	assert_int_equal(pwrite(fd, &st, 1, 0), -1);
	assert_int_equal(ftruncate(fd, PAGE), -1);
	fails(ENOTTY, IOCTL(fd, KVM_GET_API_VERSION, 0));
	ok(k_close(fd));
}

static void allocation(void **state)
{
	fails(EOPNOTSUPP, fall(gmem, 0, 0, PAGE));
	fails(EOPNOTSUPP, fall(gmem, FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE, 0, PAGE));
	fails(EINVAL, fall(gmem, FALLOC_FL_KEEP_SIZE, 1, PAGE));
	fails(EINVAL, fall(gmem, FALLOC_FL_KEEP_SIZE, 0, PAGE - 1));
	fails(EINVAL, fall(gmem, FALLOC_FL_KEEP_SIZE, 0, 0));
	fails(EINVAL, fall(gmem, FALLOC_FL_KEEP_SIZE, -(off_t)PAGE, PAGE));
	fails(EINVAL, fall(gmem, FALLOC_FL_KEEP_SIZE, SIZE, PAGE));
	ok(fall(gmem, FALLOC_FL_KEEP_SIZE, 0, SIZE));
	ok(fall(gmem, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, SIZE, PAGE));
	ok(fall(gmem, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, PAGE, 2 * SIZE));
	if (!kvm_is_real())
		fails(ENODEV, fall(m.vm, FALLOC_FL_KEEP_SIZE, 0, PAGE));
}

static void binding(void **state)
{
	int other = IOCTL(m.kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM), foreign = create(other, SIZE, 0);

	fails(EBADF, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, -1, 0));
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, 0, 0)); /* some file */
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, m.vm, 0));
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, foreign, 0));
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, gmem, 1));
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, gmem, PAGE)); /* beyond its end */
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, gmem, ~0ull << 12));
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD | KVM_MEM_READONLY, GPA, SIZE, gmem, 0));
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES, GPA, SIZE, gmem, 0));
	ok(set2(1, KVM_MEM_GUEST_MEMFD, GPA, 4 * PAGE, gmem, 4 * PAGE));
	/* a page bound twice */
	fails(EINVAL, set2(2, KVM_MEM_GUEST_MEMFD, GPA + SIZE, 4 * PAGE, gmem, 7 * PAGE));
	ok(set2(2, KVM_MEM_GUEST_MEMFD, GPA + SIZE, 4 * PAGE, gmem, 8 * PAGE));
	/* no change of such a slot */
	fails(EINVAL, set2(1, KVM_MEM_GUEST_MEMFD, GPA, 4 * PAGE, gmem, 4 * PAGE));
	fails(EINVAL, set2(1, 0, GPA, 4 * PAGE, 0, 0));
	ok(set2(1, 0, 0, 0, 0, 0));
	ok(set2(1, KVM_MEM_GUEST_MEMFD, GPA, 4 * PAGE, gmem, 4 * PAGE));
	ok(k_close(foreign));
	ok(k_close(other));
}

static void attribute_errors(void **state)
{
	struct kvm_memory_attributes a = { GPA, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE, 1 };
	int vm = IOCTL(m.kvm, KVM_CREATE_VM, 0);

	fails(EINVAL, IOCTL(m.vm, KVM_SET_MEMORY_ATTRIBUTES, &a)); /* flags */
	a.flags = 0;
	fails(EINVAL, IOCTL(vm, KVM_SET_MEMORY_ATTRIBUTES, &a)); /* an ordinary VM has none */
	fails(EINVAL, attributes(GPA, PAGE, 1));
	fails(EINVAL, attributes(GPA, 0, 0));
	fails(EINVAL, attributes(GPA + 1, PAGE, 0));
	fails(EINVAL, attributes(GPA, PAGE + 1, 0));
	fails(EINVAL, attributes(~0ull << 12, 2 * PAGE, 0));
	fails(EFAULT, IOCTL(m.vm, KVM_SET_MEMORY_ATTRIBUTES, BAD_POINTER));
	ok(attributes(GPA, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE));
	ok(attributes(GPA, SIZE, 0));
	ok(k_close(vm));
}

/* Two memories behind one address: what is written to one is not in the other. */
static void conversion(void **state)
{
	ok(set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, gmem, 0));
	mem[0] = 1;
	assert_int_equal(touch(2), 1);
	assert_int_equal(mem[0], 2);
	ok(attributes(GPA, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE));
	assert_int_equal(touch(3), 0);
	assert_int_equal(touch(4), 3);
	assert_int_equal(mem[0], 2);
	ok(attributes(GPA + PAGE, SIZE - PAGE, 0));
	assert_int_equal(touch(5), 4);
	ok(attributes(GPA, PAGE, 0));
	assert_int_equal(touch(6), 2);
	ok(attributes(GPA, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE));
	assert_int_equal(touch(7), 5);
	ok(fall(gmem, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, PAGE));
	assert_int_equal(touch(8), 0);
}

static void nothing_private_there(void **state)
{
	ok(set2(1, 0, GPA, SIZE, 0, 0)); /* a slot without guest_memfd */
	ok(attributes(GPA, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE));
	touch_code(1);
	faults(KVM_MEMORY_EXIT_FLAG_PRIVATE);
	faults(KVM_MEMORY_EXIT_FLAG_PRIVATE); /* the instruction is made again, once it can */
	ok(attributes(GPA, PAGE, 0));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	ok(set2(1, 0, 0, 0, 0, 0));
	ok(attributes(GPA, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)); /* no slot: not MMIO, as it is private */
	touch_code(1);
	faults(KVM_MEMORY_EXIT_FLAG_PRIVATE);
	ok(attributes(GPA, PAGE, 0));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MMIO);
}

static void file_closed(void **state)
{
	ok(set2(1, KVM_MEM_GUEST_MEMFD, GPA, SIZE, gmem, 0));
	ok(attributes(GPA, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE));
	assert_int_equal(touch(1), 0);
	ok(k_close(gmem));
	gmem = -1;
	touch_code(1);
	faults(KVM_MEMORY_EXIT_FLAG_PRIVATE);
	ok(set2(1, 0, 0, 0, 0, 0));
}

/* The file holds the VM: closed last, it ends it. */
static void closed_last(void **state)
{
	int vm = IOCTL(m.kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM), fd = create(vm, SIZE, 0);
	struct kvm_userspace_memory_region2 r = { .slot = 1, .flags = KVM_MEM_GUEST_MEMFD, .guest_phys_addr = GPA,
						   .memory_size = SIZE, .userspace_addr = (uintptr_t)mem,
						   .guest_memfd = (uint32_t)fd };

	ok(IOCTL(vm, KVM_SET_USER_MEMORY_REGION2, &r));
	ok(k_close(vm));
	ok(fall(fd, FALLOC_FL_KEEP_SIZE, 0, SIZE));
	ok(k_close(fd));
}

static int pre_fault(struct kvm_pre_fault_memory *r, uint64_t gpa, uint64_t size, uint64_t flags)
{
	*r = (struct kvm_pre_fault_memory){ .gpa = gpa, .size = size, .flags = flags };
	return IOCTL(m.vcpu, KVM_PRE_FAULT_MEMORY, r);
}

static void pre_faulting(void **state)
{
	struct kvm_pre_fault_memory r;
	unsigned char in[16];

	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY), 1);
	ok(set2(1, 0, GPA, SIZE, 0, 0));
	fails(EINVAL, pre_fault(&r, GPA, PAGE, 1));
	fails(EINVAL, pre_fault(&r, GPA + 1, PAGE, 0));
	fails(EINVAL, pre_fault(&r, GPA, PAGE + 1, 0));
	fails(EINVAL, pre_fault(&r, GPA, 0, 0));
	fails(EINVAL, pre_fault(&r, ~0ull << 12, 2 * PAGE, 0));
	fails(EFAULT, IOCTL(m.vcpu, KVM_PRE_FAULT_MEMORY, BAD_POINTER));
	fails(ENOENT, pre_fault(&r, GPA + SIZE, PAGE, 0));
	assert_int_equal(r.size, PAGE);
	ok(pre_fault(&r, GPA, 2 * SIZE, 0)); /* as far as there is memory */
	assert_int_equal(r.gpa, GPA + SIZE);
	assert_int_equal(r.size, SIZE);
	ok(mincore(mem, SIZE, in));
	for (unsigned i = 0; i < 16; i++)
		assert_true(kvm_is_real() || in[i] & 1);
	fails(ENOENT, pre_fault(&r, r.gpa, r.size, 0));
	ok(attributes(GPA, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE));
	fails(EFAULT, pre_fault(&r, GPA, PAGE, 0)); /* private, and nothing behind it */
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(capabilities), T(creation), T(allocation), T(binding), T(attribute_errors), T(conversion),
		T(nothing_private_there), T(file_closed), T(closed_last), T(pre_faulting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
