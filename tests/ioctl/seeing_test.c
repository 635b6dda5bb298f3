/* SPDX-License-Identifier: Apache-2.0 */
/* What others see of a VM: profiles, counters, perf maps. Not Linux's: skipped on the real one. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "tests/ioctl/ioctl.h"

static struct machine m;

static int up(void **state)
{
	return machine_up(&m, NO_IRQCHIP);
}

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1,
				     .s = 1, .g = 1 };
}

/* 32-bit code, which is translated, up to its first port access. */
static void run_flat(const uint8_t *code, size_t size)
{
	struct kvm_sregs s;

	machine_code(&m, code, size);
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.cr0 |= 1;
	s.cs = flat(8, 11);
	s.ds = s.es = s.ss = s.fs = s.gs = flat(16, 3);
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
}

/* mov ecx, loops; 1: dec ecx; jnz 1b; out 0x99, al */
#define LOOP_AT 0x1005u
#define LOOP_END 0x1008u
static void run_loop(uint32_t loops)
{
	uint8_t code[] = { 0xb9, 0, 0, 0, 0, 0x49, 0x75, 0xfd, 0xe6, 0x99 };

	memcpy(code + 1, &loops, sizeof(loops));
	run_flat(code, sizeof(code));
}

/* ---- profiles ------------------------------------------------------------------------------------ */

static void profile_errors(void **state)
{
	struct kuse_profile_sample *samples;

	skip_real();
	assert_int_equal(kuse_profile_start(0), -EINVAL);
	assert_int_equal(kuse_profile_start(100001), -EINVAL);
	assert_int_equal(kuse_profile_stop(&samples), -EINVAL);
	assert_int_equal(kuse_profile_start(1000), 0);
	assert_int_equal(kuse_profile_start(1000), -EBUSY);
	assert_int_equal(kuse_profile_stop(&samples), 0);
	free(samples);
	assert_null(kuse_profile_state_name(KUSE_PROFILE_NR));
	for (int i = 0; i < KUSE_PROFILE_NR; i++)
		assert_non_null(kuse_profile_state_name(i));
}

/* A loop of two instructions: that is where the samples must be, to the byte. */
static void profile_loop(void **state)
{
	struct kuse_profile_sample *s;
	unsigned long inside = 0, code = 0;
	long n;

	skip_real();
	assert_int_equal(kuse_profile_start(1000), 0);
	run_loop(300000000);
	n = kuse_profile_stop(&s);
	assert_true(n > 0);
	for (long i = 0; i < n; i++) {
		assert_true(s[i].state < KUSE_PROFILE_NR && s[i].count > 0 && !s[i].user);
		if (s[i].state != KUSE_PROFILE_CODE)
			continue;
		code += s[i].count;
		if (s[i].pc >= LOOP_AT && s[i].pc < LOOP_END)
			inside += s[i].count;
	}
	free(s);
	assert_true(code > 20);
	assert_true(inside * 100 >= code * 95);
}

/* ---- counters ------------------------------------------------------------------------------------ */

/* Number of the descriptor with the page of counters, or -1. */
static int page_fd(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	char path[300], target[64];
	int fd = -1;

	while ((e = readdir(d))) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		if (strstr(target, "memfd:" KUSE_STAT_NAME))
			fd = atoi(e->d_name);
	}
	closedir(d);
	return fd;
}

static const struct kuse_stat_page *map_page(int fd)
{
	struct stat st;
	const struct kuse_stat_page *p;

	ok(fstat(fd, &st));
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	assert_true(p->magic == KUSE_STAT_MAGIC);
	return p;
}

static unsigned long counter(const struct kuse_stat_page *p, const char *name)
{
	const struct kuse_stat_name *names = (const void *)((const char *)p + p->names);
	const struct kuse_stat_slot *slot = (const void *)((const char *)p + p->slots);

	assert_true(slot->used && slot->id == 0);
	for (unsigned i = 0; i < p->n_counters; i++)
		if (!strcmp(names[i].name, name))
			return ((const unsigned long *)(slot + 1))[i];
	fail_msg("there is no counter %s", name);
	return 0;
}

static void stat_counts(void **state)
{
	const struct kuse_stat_page *p;
	unsigned long blocks;

	skip_real();
	p = map_page(page_fd());
	assert_int_equal(counter(p, "exits"), 0);
	for (int i = 1; i <= 3; i++) {
		run_loop(10);
		assert_int_equal(counter(p, "exit_io"), i);
		assert_true(counter(p, "exits") >= (unsigned)i);
	}
	blocks = counter(p, "cpu_blocks");
	assert_true(blocks > 0 && counter(p, "cpu_insns") >= blocks);
	munmap((void *)p, sizeof(*p));
}

/* A guest without FSGSBASE writes these MSRs at every context switch: that must not empty its TLB. */
static void base_msrs_keep_the_tlb(void **state)
{
	/* mov esi, 1000; mov ecx, FS_BASE; xor eax, eax; xor edx, edx; 1: wrmsr; xor ecx, 1: GS_BASE, FS_BASE
	 * ...; mov ebx, [0x2000]; dec esi; jnz 1b; out 0x99, al */
	static const uint8_t code[] = { 0xbe, 0xe8, 0x03, 0, 0, 0xb9, 0, 1, 0, 0xc0, 0x31, 0xc0, 0x31, 0xd2, 0x0f,
					0x30, 0x83, 0xf1, 0x01, 0x8b, 0x1d, 0, 0x20, 0, 0, 0x4e, 0x75, 0xf2,
					0xe6, 0x99 };
	const struct kuse_stat_page *p;
	unsigned long misses;

	skip_real();
	p = map_page(page_fd());
	run_flat(code, sizeof(code));
	misses = counter(p, "cpu_tlb_miss") + counter(p, "cpu_jc_miss");
	assert_int_equal(counter(p, "exit_wrmsr"), 1000);
	assert_true(misses < 100);
	munmap((void *)p, sizeof(*p));
}

/* The client closes what it does not know, and opens something else: that is not ours to close. */
static void stat_closed(void **state)
{
	int fd, other;

	skip_real();
	fd = page_fd();
	assert_true(fd >= 0);
	close(fd);
	other = open("/dev/null", O_RDONLY);
	ok(dup2(other, fd));
	run_loop(10);
	machine_down(&m);
	ok(fcntl(fd, F_GETFD));
	close(fd);
	close(other);
	assert_int_equal(page_fd(), -1);
	assert_int_equal(machine_up(&m, NO_IRQCHIP), 0);
}

/* ---- perf maps ------------------------------------------------------------------------------------- */

static void perf_map(void **state)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	skip_real();
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	assert_int_equal(kuse_perf_map(), 0);
	assert_int_equal(kuse_perf_map(), 0); /* again: nothing */
	run_loop(10);
	machine_down(&m); /* writes what there is */
	fd = open(path, O_RDONLY);
	ok(fd);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	unlink(path);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, " kuse-stubs\n"));
	assert_non_null(strstr(text, " guest-kernel:0x1000\n"));
	assert_int_equal(machine_up(&m, NO_IRQCHIP), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(profile_errors, up, down),
		cmocka_unit_test_setup_teardown(profile_loop, up, down),
		cmocka_unit_test_setup_teardown(stat_counts, up, down),
		cmocka_unit_test_setup_teardown(base_msrs_keep_the_tlb, up, down),
		cmocka_unit_test_setup_teardown(stat_closed, up, down),
		cmocka_unit_test_setup_teardown(perf_map, up, down),
	};

	return cmocka_run_group_tests_name("seeing", tests, NULL, NULL);
}
