/* SPDX-License-Identifier: Apache-2.0 */
/* hyp/direct/backing.c: which mappings have a file behind them, what is remembered, whose descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hyp/direct/backing.h"
#include "tests/lib/descriptors.h"

#define SIZE (16 * PAGE_SIZE)
#define RW (PROT_READ | PROT_WRITE)

static int memfd(void)
{
	int fd = memfd_create("backing-test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	return fd;
}

static u8 *map_at(int fd, int prot, int flags, u64 offset)
{
	u8 *p = mmap(NULL, SIZE - offset, prot, flags, fd, (off_t)offset);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static u8 *map(int fd)
{
	return map_at(fd, RW, MAP_SHARED, 0);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A second mapping made from the answer shows the same bytes. */
static void assert_same_memory(u8 *hva, const struct hyp_backing *b)
{
	u64 offset = b->offset + (u64)(hva - b->start);
	u8 *again = mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, b->fd, (off_t)(offset & PAGE_MASK));

	assert_ptr_not_equal(again, MAP_FAILED);
	*hva = 1;
	assert_int_equal(again[offset & ~PAGE_MASK], 1);
	again[offset & ~PAGE_MASK] = 2;
	assert_int_equal(*hva, 2);
	munmap(again, PAGE_SIZE);
}

static void test_memfd(void **state)
{
	int fd = memfd();
	u8 *p = map_at(fd, RW, MAP_SHARED, 3 * PAGE_SIZE);
	struct hyp_backing b;

	assert_true(hyp_backing_find(p + 5 * PAGE_SIZE + 7, &b));
	assert_ptr_equal(b.start, p);
	assert_ptr_equal(b.end, p + 13 * PAGE_SIZE);
	assert_int_equal(b.offset, 3 * PAGE_SIZE);
	assert_true(b.exec);
	assert_int_not_equal(b.fd, fd);
	assert_true(b.fd > 255);
	assert_true(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	assert_same_memory(p + 5 * PAGE_SIZE + 7, &b);
	assert_same_memory(p, &b);
	munmap(p, 13 * PAGE_SIZE);
	close(fd);
}

static void test_two_mappings(void **state)
{
	int fd = memfd();
	u8 *p = map(fd), *q = map_at(fd, RW, MAP_SHARED, PAGE_SIZE);
	struct hyp_backing a, b;

	assert_true(hyp_backing_find(p + SIZE - 1, &a));
	assert_true(hyp_backing_find(q, &b));
	assert_int_equal(a.fd, b.fd);
	assert_int_equal(a.offset, 0);
	assert_int_equal(b.offset, PAGE_SIZE);
	assert_same_memory(q, &b);
	munmap(p, SIZE);
	munmap(q, SIZE - PAGE_SIZE);
	close(fd);
}

/* A piece of the mapping replaced by something else: what is left is two mappings. */
static void test_hole(void **state)
{
	int fd = memfd();
	u8 *p = map(fd);
	struct hyp_backing b;

	assert_ptr_not_equal(mmap(p + 4 * PAGE_SIZE, PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				  -1, 0),
			     MAP_FAILED);
	assert_false(hyp_backing_find(p + 4 * PAGE_SIZE, &b));
	assert_true(hyp_backing_find(p + 5 * PAGE_SIZE, &b));
	assert_ptr_equal(b.start, p + 5 * PAGE_SIZE);
	assert_int_equal(b.offset, 5 * PAGE_SIZE);
	assert_true(hyp_backing_find(p, &b));
	assert_ptr_equal(b.end, p + 4 * PAGE_SIZE);
	munmap(p, SIZE);
	close(fd);
}

static void test_refused(void **state)
{
	int fd = memfd(), sealed = memfd_create("backing-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct { u8 *p; const char *what; } no[] = {
		{ map_at(-1, RW, MAP_PRIVATE | MAP_ANONYMOUS, 0), "anonymous" },
		{ map_at(-1, RW, MAP_SHARED | MAP_ANONYMOUS, 0), "anonymous, shared" },
		{ map_at(fd, RW, MAP_PRIVATE, 0), "private" },
		{ map_at(fd, PROT_READ, MAP_SHARED, 0), "read-only" },
		{ NULL, "sealed against further mappings" },
	};
	struct hyp_backing b;

	assert_int_equal(ftruncate(sealed, SIZE), 0);
	no[4].p = map(sealed);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(no); i++) {
		if (hyp_backing_find(no[i].p, &b))
			fail_msg("found: %s", no[i].what);
		munmap(no[i].p, SIZE);
	}
	assert_false(hyp_backing_find(NULL, &b));
	assert_false(hyp_backing_find(no[0].p, &b));
	assert_false(hyp_backing_find((void *)(UINTPTR_MAX - 1), &b));
	close(fd);
	close(sealed);
}

/* A file with a name, on a file system whose stat and maps agree (tmpfs; overlays may not). */
static void test_named_file(void **state)
{
	char name[] = "/dev/shm/backing-test-XXXXXX";
	int fd = mkstemp(name), ro;
	struct hyp_backing b;
	u8 *p;

	if (fd < 0)
		skip();
	assert_int_equal(ftruncate(fd, SIZE), 0);
	p = map(fd);
	ro = open(name, O_RDONLY | O_CLOEXEC);
	unlink(name);
	assert_true(ro >= 0);
	assert_int_equal(dup2(ro, fd), fd); /* the only descriptor that is left cannot be mapped writable */
	assert_false(hyp_backing_find(p, &b));
	munmap(p, SIZE);
	close(fd);
	close(ro);
}

static void test_closed_fd(void **state)
{
	int fd = memfd();
	u8 *p = map(fd);
	struct hyp_backing b;

	close(fd);
	assert_false(hyp_backing_find(p, &b));
	munmap(p, SIZE);
}

/* What is remembered, yes or no, counts until it is forgotten. */
static void test_memory(void **state)
{
	int fd = memfd();
	u8 *p = map(fd), *q;
	struct hyp_backing b;

	assert_true(hyp_backing_find(p, &b));
	q = mmap(p, SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	assert_ptr_equal(p, q);
	assert_true(hyp_backing_find(p, &b));
	hyp_backing_forget();
	assert_false(hyp_backing_find(p, &b));
	q = mmap(p, SIZE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
	assert_ptr_equal(p, q);
	assert_false(hyp_backing_find(p, &b));
	hyp_backing_forget();
	assert_true(hyp_backing_find(p, &b));
	munmap(p, SIZE);
	close(fd);
}

/* The client has closed its own descriptor: ours serves while the file is mapped, and not after. */
static void test_descriptors(void **state)
{
	int before = descriptors(), fd = memfd();
	u8 *p = map(fd);
	struct hyp_backing a, b;

	assert_true(hyp_backing_find(p, &a));
	close(fd);
	hyp_backing_forget();
	assert_true(hyp_backing_find(p, &b));
	assert_int_equal(a.fd, b.fd);
	munmap(p, SIZE);
	hyp_backing_forget();
	assert_int_equal(descriptors(), before);
	hyp_backing_forget();
	assert_int_equal(descriptors(), before);
}

/* Numbers that the client closes under us, and uses for something else, are neither answered nor closed. */
static void test_number_reuse(void **state)
{
	int fd = memfd(), other = memfd();
	u8 *p = map(fd);
	struct hyp_backing a, b;

	assert_true(hyp_backing_find(p, &a));
	assert_int_equal(dup2(other, a.fd), a.fd);
	assert_true(hyp_backing_find(p, &b));
	assert_int_not_equal(a.fd, b.fd);
	assert_true(same_file(b.fd, fd));
	assert_same_memory(p, &b);
	close(b.fd);
	assert_true(hyp_backing_find(p, &b));
	assert_true(same_file(b.fd, fd));
	assert_int_equal(dup2(other, b.fd), b.fd);
	munmap(p, SIZE);
	hyp_backing_close();
	assert_true(same_file(b.fd, other));
	assert_true(same_file(a.fd, other));
	close(a.fd);
	close(b.fd);
	close(other);
	close(fd);
}

/* A closed number is not the next one to be used: another CPU may still be about to map by it. */
static void test_numbers_rotate(void **state)
{
	int last = -1;

	for (unsigned i = 0; i < 50; i++) {
		int fd = memfd();
		u8 *p = map(fd);
		struct hyp_backing b;

		assert_true(hyp_backing_find(p, &b));
		assert_int_not_equal(b.fd, last);
		last = b.fd;
		munmap(p, SIZE);
		close(fd);
		hyp_backing_forget();
	}
}

/* More pieces and files than are remembered: pieces come and go, files that do not fit are refused. */
static void test_many(void **state)
{
	static u8 *p[200], *more[100];
	static int fd[200];
	unsigned found = 0;
	struct hyp_backing b;

	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		fd[i] = i % 5 ? fd[i - 1] : memfd();
		p[i] = map_at(fd[i], RW, MAP_SHARED, (1 + i % 5) * PAGE_SIZE);
		assert_true(hyp_backing_find(p[i], &b));
		assert_true(same_file(b.fd, fd[i]));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		assert_true(hyp_backing_find(p[i], &b));
		assert_same_memory(p[i], &b);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++) {
		int one = memfd();

		more[i] = map(one);
		found += hyp_backing_find(more[i], &b);
		close(one);
	}
	assert_int_equal(found, 24); /* of 64 files, 40 in use */
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		munmap(more[i], SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		munmap(p[i], SIZE - (1 + i % 5) * PAGE_SIZE);
		if (i % 5 == 0)
			close(fd[i]);
	}
}

static void test_no_descriptors_left(void **state)
{
	struct rlimit old, tight;
	int fd = memfd();
	u8 *p = map(fd);
	struct hyp_backing b;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = (struct rlimit){ (rlim_t)fd + 1, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	assert_false(hyp_backing_find(p, &b));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	hyp_backing_forget();
	assert_true(hyp_backing_find(p, &b));
	munmap(p, SIZE);
	close(fd);
}

static void test_userfault(void **state)
{
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
	int fd = memfd();
	u8 *p = map(fd);
	struct hyp_backing b;

	if (uffd >= 0) {
		assert_false(hyp_backing_find(p, &b));
		close(uffd);
		hyp_backing_forget();
	}
	assert_true(hyp_backing_find(p, &b));
	munmap(p, SIZE);
	close(fd);
	if (uffd < 0)
		skip();
}

static int forget_all(void **state)
{
	hyp_backing_close();
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, forget_all, forget_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memfd),	 TEST(test_two_mappings), TEST(test_hole),
		TEST(test_refused),	 TEST(test_named_file),	  TEST(test_closed_fd),
		TEST(test_memory),	 TEST(test_descriptors),  TEST(test_number_reuse),
		TEST(test_numbers_rotate), TEST(test_many),	  TEST(test_no_descriptors_left),
		TEST(test_userfault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
