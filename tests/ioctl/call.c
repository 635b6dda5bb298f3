/* SPDX-License-Identifier: Apache-2.0 */
/* What the ioctl tests of all architectures share. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include "tests/ioctl/ioctl.h"

bool kvm_is_real(void)
{
	const char *which = getenv("KUSE_TEST_KVM");

	return which && !strcmp(which, "real");
}

int k_open(void)
{
	return kvm_is_real() ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : kuse_open(O_RDWR | O_CLOEXEC);
}

int k_close(int fd)
{
	return kvm_is_real() ? close(fd) : kuse_close(fd);
}

int k_ioctl(int fd, unsigned long request, unsigned long arg)
{
	return kvm_is_real() ? ioctl(fd, request, arg) : kuse_ioctl(fd, request, arg);
}

void *k_mmap(size_t len, int fd, off_t offset)
{
	return kvm_is_real() ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)
			     : kuse_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

void machine_vm(struct machine *m, uint64_t ram)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = ram, .memory_size = MEM_SIZE };

	memset(m, 0, sizeof(*m));
	m->kvm = k_open();
	ok(m->kvm);
	m->vm = IOCTL(m->kvm, KVM_CREATE_VM, 0);
	ok(m->vm);
	m->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->mem, MAP_FAILED);
	region.userspace_addr = (uintptr_t)m->mem;
	ok(IOCTL(m->vm, KVM_SET_USER_MEMORY_REGION, &region));
}

void machine_vcpu(struct machine *m)
{
	int size = IOCTL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	m->vcpu = IOCTL(m->vm, KVM_CREATE_VCPU, 0);
	ok(m->vcpu);
	m->run = k_mmap((size_t)size, m->vcpu, 0);
	assert_ptr_not_equal(m->run, MAP_FAILED);
}

void machine_down(struct machine *m)
{
	munmap(m->run, (size_t)IOCTL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	ok(k_close(m->vcpu));
	ok(k_close(m->vm));
	ok(k_close(m->kvm));
	munmap(m->mem, MEM_SIZE);
}

int machine_run(struct machine *m)
{
	return IOCTL(m->vcpu, KVM_RUN, 0);
}

/* Start-up: each step made to fail once; what was done is undone, the report says where, a new try works. */
void every_step_can_fail(void **state)
{
	const struct kuse_init_step *steps;
	size_t n = kuse_init_report(&steps);
	char name[64];

	assert_true(n >= 10);
	for (size_t i = 0; i < n; i++) {
		strncpy(name, steps[i].name, sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		kuse_exit();
		setenv("KUSE_FAIL_INIT", name, 1);
		fails(EIO, k_open());
		kuse_init_report(&steps);
		assert_int_equal(steps[i].error, -EIO);
		for (size_t j = 0; j < n; j++)
			if (j != i)
				assert_int_equal(steps[j].error, j < i ? 0 : 1);
		unsetenv("KUSE_FAIL_INIT");
		ok(kuse_init());
	}
}
