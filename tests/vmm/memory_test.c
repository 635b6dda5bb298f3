/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/memory.c, memory_file.c: what guest RAM is made of, on hosts that grant less and less. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hyp/direct/backing.h"
#include "tests/vmm/fake_kvm.h"
#include "tests/vmm/test.h"
#include "vmm/vm.h"
#include "tests/lib/descriptors.h"

#define SIZE (64ull << 20)

static struct vm vm;
static struct vm_config cfg;
static struct accel accel;

static void set_up(u64 size, bool ram_file)
{
	fake_reset();
	accel = accel_fake;
	accel.ram_file = ram_file;
	cfg = (struct vm_config){ .name = "test", .memory = size };
	memset(&vm, 0, sizeof(vm));
	vm.cfg = &cfg;
	vm.accel = &accel;
	vm.wake_fd = -1;
	pthread_mutex_init(&vm.end_lock, NULL);
}

static int init(u64 size, bool ram_file)
{
	set_up(size, ram_file);
	return memory_init(&vm);
}

/* What the guest stores is in the file, and what is stored there the guest sees. */
static bool is_file_of_ram(int fd, u64 size)
{
	u8 *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, (off_t)(size - 4096));
	u8 *ram = memory_at(&vm, size - 4096, 4096);
	bool ok;

	if (p == MAP_FAILED || !ram)
		return false;
	ram[5] = 1;
	p[6] = 2;
	ok = p[5] == 1 && ram[6] == 2 && p[4] == 0;
	munmap(p, 4096);
	return ok;
}

static void test_file(void **state)
{
	int before = descriptors();

	assert_int_equal(init(SIZE, true), 0);
	assert_true(vm.mem.fd >= 0);
	assert_int_equal(descriptors(), before + 1);
	assert_int_equal(fcntl(vm.mem.fd, F_GETFD), FD_CLOEXEC);
	assert_true(is_file_of_ram(vm.mem.fd, SIZE));
	memory_exit(&vm);
	assert_int_equal(descriptors(), before);
	memory_exit(&vm); /* once more does nothing */
	assert_int_equal(descriptors(), before);
}

/* The engine finds the file by the host's address alone. */
static void test_engine_finds_it(void **state)
{
	struct hyp_backing b;

	assert_int_equal(init(SIZE, true), 0);
	assert_true(hyp_backing_find(memory_at(&vm, 0x12345, 1), &b));
	assert_ptr_equal(b.start, vm.mem.base);
	assert_ptr_equal(b.end, vm.mem.base + SIZE);
	assert_int_equal(b.offset, 0);
	assert_true(b.exec);
	assert_true(is_file_of_ram(b.fd, SIZE));
	hyp_backing_close();
	memory_exit(&vm);
}

static void test_anonymous(void **state)
{
	int before = descriptors();

	assert_int_equal(init(SIZE, false), 0);
	assert_int_equal(vm.mem.fd, -1);
	assert_int_equal(descriptors(), before);
	memset(memory_at(&vm, 0, SIZE), 1, 4096);
	memory_exit(&vm);
}

/* ---- hosts that forbid something ------------------------------------------------------------------- */

/* From now on this process cannot make these system calls. */
static bool forbid(const int *nr, unsigned n)
{
	struct sock_filter code[16] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* offsetof(struct seccomp_data, nr) */
	};
	struct sock_fprog prog = { .filter = code };
	unsigned at = 1;

	for (unsigned i = 0; i < n; i++) {
		code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)nr[i], 0, 1);
		code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)at;
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

enum kind { NONE, ANONYMOUS, MEMFD, TMPFS, CANNOT };

static enum kind kind_of_ram(void)
{
	char link[32], to[32] = "";

	if (vm.mem.fd < 0)
		return ANONYMOUS;
	if (!is_file_of_ram(vm.mem.fd, SIZE))
		return NONE;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", vm.mem.fd);
	return readlink(link, to, sizeof(to) - 1) > 0 && !strncmp(to, "/memfd:kuse-ram", 15) ? MEMFD : TMPFS;
}

/* In a child, which prepare changes for good. */
static enum kind kind_after(bool (*prepare)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (!prepare())
			_exit(CANNOT);
		_exit(init(SIZE, true) ? NONE : kind_of_ram());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (enum kind)WEXITSTATUS(status);
}

static bool no_change(void)
{
	return true;
}

static bool no_tmpfs(void)
{
	return forbid((const int[]){ SYS_fsopen }, 1);
}

static bool no_clone(void)
{
	return (geteuid() || !setresuid(65534, 65534, 65534)) && forbid((const int[]){ SYS_clone }, 1);
}

static bool no_file(void)
{
	return forbid((const int[]){ SYS_fsopen, SYS_memfd_create }, 2);
}

static bool no_long_file(void)
{
	struct rlimit max = { SIZE - 1, SIZE - 1 };

	return !setrlimit(RLIMIT_FSIZE, &max);
}

static bool no_descriptor(void)
{
	struct rlimit max = { 3, 3 };

	return !setrlimit(RLIMIT_NOFILE, &max);
}

/* As most users are: a change of identity alone would close /proc/self to the process. */
static bool nobody(void)
{
	return !geteuid() && !setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534) &&
	       !prctl(PR_SET_DUMPABLE, 1);
}

/* The process that makes the file leaves no trace: no child, no signal, no change of ours. */
static bool leaves_no_trace(void)
{
	sigset_t before = { 0 }, after = { 0 };
	uid_t uid;

	if (!geteuid() && !nobody())
		return false;
	uid = getuid();
	sigprocmask(SIG_SETMASK, NULL, &before);
	if (init(SIZE, true))
		return false;
	sigprocmask(SIG_SETMASK, NULL, &after);
	if (memcmp(&before, &after, sizeof(before)) || waitpid(-1, NULL, __WALL | WNOHANG) != -1 ||
	    errno != ECHILD)
		return false;
	memory_exit(&vm);
	return getuid() == uid && prctl(PR_GET_DUMPABLE) == 1; /* 0 would close /proc/self to us */
}

static void test_no_trace(void **state)
{
	assert_int_not_equal(kind_after(leaves_no_trace), CANNOT);
}

static void test_less(void **state)
{
	enum kind best = kind_after(no_change), humble = kind_after(nobody);

	assert_true(best == TMPFS || best == MEMFD);
	if (humble != CANNOT)
		assert_true(humble == TMPFS || humble == MEMFD);
	print_message("# guest RAM here: %s%s\n", best == TMPFS ? "tmpfs" : "memfd",
		      humble == CANNOT  ? ""
		      : humble == TMPFS ? "; tmpfs without privileges"
					: "; memfd without privileges");
	assert_int_equal(kind_after(no_tmpfs), MEMFD);
	assert_int_equal(kind_after(no_clone), MEMFD);
	assert_int_equal(kind_after(no_file), ANONYMOUS);
	assert_int_equal(kind_after(no_long_file), ANONYMOUS);
	assert_int_equal(kind_after(no_descriptor), ANONYMOUS);
}

/* The KVM refuses the slots: nothing stays. */
static void test_refused(void **state)
{
	int before = descriptors();

	for (int at = 1; at <= 2; at++) {
		set_up(4ull << 30, true);
		fake.fail_at = at;
		fake.fail_errno = EINVAL;
		assert_int_equal(memory_init(&vm), -1);
		assert_null(vm.mem.base);
	}
	assert_int_equal(descriptors(), before);
}

#define PIECE (2ul << 20)

/* Is the rest of the piece resident when one byte has been touched? */
static bool piece_is_huge(gpa_t gpa)
{
	u8 *p = memory_at(&vm, gpa, PIECE), in[PIECE / 4096];

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % PIECE, 0);
	assert_int_equal(mincore(p, PIECE, in), 0);
	assert_int_equal(in[0] & 1, 0);
	p[0] = 1;
	assert_int_equal(mincore(p, PIECE, in), 0);
	assert_int_equal(in[0] & 1, 1);
	return in[511] & 1;
}

/* A host with little memory may not have one huge page; it has one of many. */
static void test_huge(void **state)
{
	unsigned huge = 0;

	if (kind_after(no_change) != TMPFS || access("/sys/kernel/mm/transparent_hugepage", F_OK))
		skip();
	assert_int_equal(init(SIZE, true), 0);
	for (gpa_t gpa = 0; gpa < SIZE; gpa += PIECE)
		huge += piece_is_huge(gpa);
	print_message("# %u of %u pieces are huge pages\n", huge, (unsigned)(SIZE / PIECE));
	assert_true(huge > 0);
	memory_exit(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_engine_finds_it),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_no_trace),
		cmocka_unit_test(test_less),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_huge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
