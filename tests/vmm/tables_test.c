/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest reads: ACPI tables, CPUID; and the initramfs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/vmm/test.h"
#include "vmm/acpi.h"
#include "vmm/initramfs.h"
#include "vmm/term.h"
#include "vmm/vcpu.h"

#define BASE 0xe0000u

static u8 tables[0x20000];

static u8 sum(const void *data, size_t len)
{
	const u8 *p = data;
	u8 total = 0;

	while (len-- > 0)
		total += *p++;
	return total;
}

static u64 get(const u8 *p, u32 bytes)
{
	u64 value = 0;

	memcpy(&value, p, bytes);
	return value;
}

static const u8 *table_at(u64 gpa, const char *signature)
{
	const u8 *p = tables + (gpa - BASE);

	assert_true(gpa >= BASE && gpa < BASE + sizeof(tables) - 36);
	assert_memory_equal(p, signature, 4);
	if (strcmp(signature, "FACS") != 0)
		assert_int_equal(sum(p, get(p + 4, 4)), 0);
	return p;
}

static const u8 *xsdt_entry(u32 i)
{
	return table_at(get(tables + 24, 8), "XSDT") + 36 + 8 * i;
}

static void test_acpi_checksums(void **state)
{
	const u8 *fadt;

	assert_true(acpi_build(tables, sizeof(tables), BASE, 4, true) > 0);
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_int_equal(sum(tables, 20), 0);
	assert_int_equal(sum(tables, 36), 0);
	fadt = table_at(get(xsdt_entry(0), 8), "FACP");
	table_at(get(fadt + 40, 4), "DSDT");
	table_at(get(fadt + 140, 8), "DSDT");
	table_at(get(fadt + 36, 4), "FACS");
	assert_int_equal(get(fadt + 36, 4) % 64, 0);
	assert_int_equal(get(fadt + 56, 4), 0x600);
	assert_int_equal(get(fadt + 64, 4), 0x604);
	assert_int_equal(get(fadt + 112, 4) >> 20 & 1, 0); /* not hardware-reduced */
	assert_int_equal(get(fadt + 112, 4) >> 10 & 1, 1); /* reset register */
	assert_int_equal(get(fadt + 120, 8), 0xcf9);
}

static void test_acpi_madt(void **state)
{
	const u8 *madt, *end;
	u32 count[16] = {0};

	acpi_build(tables, sizeof(tables), BASE, 5, true);
	madt = table_at(get(xsdt_entry(1), 8), "APIC");
	end = madt + get(madt + 4, 4);
	for (const u8 *p = madt + 44; p < end; p += p[1]) {
		assert_true(p[1] >= 6 && p[0] < 16);
		if (p[0] == 0)
			assert_int_equal(p[3], count[0]); /* APIC id = number */
		if (p[0] == 2 && p[3] == 0)
			assert_int_equal(get(p + 4, 4), 2);
		count[p[0]]++;
	}
	assert_int_equal(count[0], 5);
	assert_int_equal(count[1], 1);
	assert_int_equal(count[2], 2);
	assert_int_equal(count[4], 1);
}

/* Too little room is told, and nothing is written past it. */
static void test_acpi_small(void **state)
{
	for (size_t max = 0; max < 800; max += 16) {
		memset(tables, 0xa5, sizeof(tables));
		assert_int_equal(acpi_build(tables, max, BASE, 4, true), 0);
		assert_int_equal(tables[max], 0xa5);
	}
}

/* ---- CPUID ---- */

static struct {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[9];
} cpuid;

static struct kvm_cpuid_entry2 *leaf(u32 i)
{
	return &cpuid.head.entries[i];
}

static void make_cpuid(u32 id, u32 cpus)
{
	static const struct kvm_cpuid_entry2 raw[] = {
		{.function = 1, .ebx = 0x2a400800, .edx = 1u << 28},
		{.function = 4, .index = 0, .eax = 0x1c004121},
		{.function = 4, .index = 3, .eax = 0x1c03c163},
		{.function = 0xb, .index = 0, .edx = 99},
		{.function = 0xb, .index = 1, .edx = 99},
		{.function = 0x80000007, .edx = 0x1ff},
		{.function = 0x80000008, .eax = 0x3030, .ecx = 0x603f},
		{.function = 0x8000001e, .eax = 77, .ebx = 0x122, .ecx = 0x100},
	};

	memset(&cpuid, 0, sizeof(cpuid));
	cpuid.head.nent = ARRAY_SIZE(raw);
	memcpy(cpuid.head.entries, raw, sizeof(raw));
	cpuid_fixup(&cpuid.head, id, cpus, true);
}

static void test_cpuid_smp(void **state)
{
	make_cpuid(2, 3);
	assert_int_equal(leaf(0)->ebx, 0x02040800);
	assert_true(leaf(0)->ecx >> 31);
	assert_true(leaf(0)->ecx >> 24 & 1);
	assert_true(leaf(0)->edx >> 28 & 1);
	assert_int_equal(leaf(1)->eax >> 14 & 0xfff, 0); /* L1 is private */
	assert_int_equal(leaf(2)->eax >> 14 & 0xfff, 3); /* L3 is shared */
	assert_int_equal(leaf(2)->eax >> 26, 3);
	assert_int_equal(leaf(3)->edx, 2);
	assert_int_equal(leaf(3)->ecx, 0x100);
	assert_int_equal(leaf(4)->eax, 2);
	assert_int_equal(leaf(4)->ebx, 3);
	assert_int_equal(leaf(4)->ecx, 0x201);
	assert_int_equal(leaf(5)->edx, 0xff); /* no invariant TSC */
	assert_int_equal(leaf(6)->ecx, 0x2002);
	assert_int_equal(leaf(7)->eax, 2);
	assert_int_equal(leaf(7)->ebx, 2);
}

static void test_cpuid_up(void **state)
{
	make_cpuid(0, 1);
	assert_int_equal(leaf(0)->ebx, 0x00010800);
	assert_int_equal(leaf(0)->edx >> 28 & 1, 0);
	assert_int_equal(leaf(2)->eax >> 14, 0);
	assert_int_equal(leaf(6)->ecx & 0xf0ff, 0);
}

/* ---- initramfs ---- */

static u32 hex(const u8 *p)
{
	char text[9] = {0};

	memcpy(text, p, 8);
	return strtoul(text, NULL, 16);
}

/* The data of a file in a newc archive (several, one after the other), or NULL. */
static const u8 *cpio_find(const struct cpio *cpio, const char *name, size_t *len)
{
	const u8 *found = NULL;
	size_t at = 0;

	while (at < cpio->len) {
		const u8 *h = cpio->data + at;
		u32 size = hex(h + 54), name_size = hex(h + 94);
		size_t data = at + ALIGN_UP(110 + name_size, 4u);

		assert_memory_equal(h, "070701", 6);
		assert_int_equal(strlen((const char *)h + 110) + 1, name_size);
		assert_true(data + size <= cpio->len);
		if (strcmp((const char *)h + 110, name) == 0) {
			found = cpio->data + data;
			*len = size;
		}
		at = ALIGN_UP(data + size, 4);
	}
	return found;
}

static void test_cpio(void **state)
{
	const struct initramfs_run run = {.shell = true, .rows = 25, .columns = 80};
	struct cpio cpio = {0};
	const u8 *data;
	size_t len;

	initramfs_base(&cpio, "busy", 4);
	initramfs_overlay(&cpio, &run);
	assert_false(cpio.failed);
	data = cpio_find(&cpio, "bin/busybox", &len);
	assert_int_equal(len, 4);
	assert_memory_equal(data, "busy", 4);
	assert_non_null(cpio_find(&cpio, "init", &len));
	data = cpio_find(&cpio, "kuse/run", &len);
	assert_memory_equal(data, "mode=shell\n", 11);
	assert_non_null(memmem(data, len, "rows 25 columns 80", 18));
	assert_non_null(cpio_find(&cpio, "TRAILER!!!", &len));
	free(cpio.data);
}

/* A shell that reads the overlay has the very arguments that went in. */
static void test_arguments(void **state)
{
	char *const argv[] = {
		"a b", "it's", "", "$HOME `id` \\ \"q\"", "line\nline", "\xff\x81\x01 *", "-n", "end'", NULL,
	};
	const struct initramfs_run run = {.argv = argv};
	char path[] = "/tmp/kuse-test-run-XXXXXX", command[200], got[200] = {0};
	struct cpio cpio = {0};
	size_t len, at = 0;
	const u8 *data;
	FILE *file = fdopen(mkstemp(path), "w"), *pipe;

	initramfs_overlay(&cpio, &run);
	data = cpio_find(&cpio, "kuse/run", &len);
	fwrite(data, 1, len, file);
	fclose(file);
	snprintf(command, sizeof(command), ". %s; printf '%%s\\0' \"$@\"", path);
	pipe = popen(command, "r");
	len = fread(got, 1, sizeof(got), pipe);
	assert_int_equal(pclose(pipe), 0);
	for (int i = 0; argv[i]; at += strlen(argv[i]) + 1, i++)
		assert_memory_equal(got + at, argv[i], strlen(argv[i]) + 1);
	assert_int_equal(at, len);
	remove(path);
	free(cpio.data);
}

static void test_escape(void **state)
{
	int s = 0;

	assert_int_equal(term_escape(&s, 'x'), TERM_SEND);
	assert_int_equal(term_escape(&s, 1), TERM_SWALLOW);
	assert_int_equal(term_escape(&s, 1), TERM_SEND);
	assert_int_equal(term_escape(&s, 1), TERM_SWALLOW);
	assert_int_equal(term_escape(&s, 'h'), TERM_HELP);
	assert_int_equal(term_escape(&s, 1), TERM_SWALLOW);
	assert_int_equal(term_escape(&s, 'q'), TERM_SWALLOW);
	assert_int_equal(term_escape(&s, 'h'), TERM_SEND);
	assert_int_equal(term_escape(&s, 1), TERM_SWALLOW);
	assert_int_equal(term_escape(&s, 'x'), TERM_QUIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acpi_checksums),
		cmocka_unit_test(test_acpi_madt),
		cmocka_unit_test(test_acpi_small),
		cmocka_unit_test(test_cpuid_smp),
		cmocka_unit_test(test_cpuid_up),
		cmocka_unit_test(test_cpio),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests_name("vmm_tables", tests, NULL, NULL);
}
