/* SPDX-License-Identifier: Apache-2.0 */
/* Can this host run the engine? (hyp.h) The same for guests of every architecture. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/hyp.h"

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif

/* ---- host check ------------------------------------------------------------------------------- */

/* One page, written through one mapping and executed through another. */
static int try_dual_mapping(void)
{
	static const u8 ret_42[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	int fd = memfd_create("kuse-check", MFD_CLOEXEC), ok = 0;
	u8 *rw, *rx;

	if (fd < 0 || ftruncate(fd, PAGE_SIZE)) {
		if (fd >= 0)
			close(fd);
		return -ENOSYS;
	}
	rw = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (rw != MAP_FAILED && rx != MAP_FAILED) {
		memcpy(rw, ret_42, sizeof(ret_42));
		ok = ((int (*)(void))rx)() == 42;
	}
	if (rw != MAP_FAILED)
		munmap(rw, PAGE_SIZE);
	if (rx != MAP_FAILED)
		munmap(rx, PAGE_SIZE);
	close(fd);
	return ok ? 0 : -EACCES;
}

static bool have_bmi2_avx2(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return false;
	return b & (1u << 8) && b & (1u << 5);
}

static bool have_xsave_cx16(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & (1u << 27) && c & (1u << 13);
}

int hyp_host_check(struct hyp_host_report *r)
{
	*r = (struct hyp_host_report){ 0, NULL, NULL };
	if (!have_xsave_cx16() || !have_bmi2_avx2())
		*r = (struct hyp_host_report){ -EOPNOTSUPP, "host CPU lacks XSAVE, CMPXCHG16B, BMI2 or AVX2",
					       "use a host of the x86-64-v3 level (Haswell, Zen or later)" };
	else if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		*r = (struct hyp_host_report){ -EOPNOTSUPP,
					       "the host kernel does not let user space write the GS base",
					       "use Linux 5.9 or later without nofsgsbase" };
	else if (try_dual_mapping())
		*r = (struct hyp_host_report){ -EACCES, "executable shared memory (memfd) is not permitted",
					       "allow PROT_EXEC mappings of memfd: check SELinux execmem, "
					       "vm.memfd_noexec, seccomp and noexec /dev/shm policies" };
	return r->error;
}
