/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel images, whole and damaged, into memory of a VM that is never run. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/vmm/fake_kvm.h"
#include "tests/vmm/test.h"
#include "vmm/boot.h"
#include "vmm/file.h"

static struct vm vm;
static struct vm_config cfg;
static u8 initrd[10000];

static char kernel[] = "/tmp/kuse-test-kernel-XXXXXX";

/* A machine of this size loads this file. */
static enum vm_end load(const void *data, size_t len, u64 memory)
{
	cfg.memory = memory;
	memset(&vm, 0, sizeof(vm));
	vm.cfg = &cfg;
	vm.accel = &accel_fake;
	vm.wake_fd = -1;
	pthread_mutex_init(&vm.end_lock, NULL);
	assert_int_equal(file_replace(kernel, data, len), 0);
	assert_int_equal(memory_init(&vm), 0);
	vm.boot.rsdp = BOOT_ACPI;
	boot_init(&vm);
	return vm.end;
}

static void unload(void)
{
	memory_exit(&vm);
}

static int set_up(void **state)
{
	fake_reset();
	cfg = (struct vm_config){.name = "test", .kernel = kernel, .cmdline = "console=ttyS0"};
	memset(initrd, 'i', sizeof(initrd));
	return 0;
}

static int tear_down(void **state)
{
	unload();
	return 0;
}

static u64 guest64(gpa_t gpa)
{
	u64 value;

	memcpy(&value, memory_at(&vm, gpa, 8), 8);
	return value;
}

static u32 guest32(gpa_t gpa)
{
	return guest64(gpa);
}

/* ---- bzImage ---- */

#define SETUP 1024u /* one setup sector and the boot sector */
#define BODY 8192u

static u8 bz[SETUP + BODY];

static void put(u32 offset, u64 value, u32 size)
{
	memcpy(bz + offset, &value, size);
}

static void make_bzimage(void)
{
	memset(bz, 0, sizeof(bz));
	memset(bz + SETUP, 0xcc, BODY);
	put(0x1f1, 1, 1);
	put(0x1f4, BODY / 16, 4);
	put(0x1fe, 0xaa55, 2);
	put(0x201, 0x6a, 1);
	memcpy(bz + 0x202, "HdrS", 4);
	put(0x206, 0x20f, 2);
	put(0x211, 1, 1);
	put(0x22c, 0x7fffffff, 4);
	put(0x230, 0x200000, 4);
	put(0x234, 1, 1);
	put(0x236, 1, 2);
	put(0x238, 2047, 4);
	put(0x258, 0x1000000, 8);
	put(0x260, 0x400000, 4);
}

static void test_bzimage(void **state)
{
	make_bzimage();
	cfg.initrd_data = initrd;
	cfg.initrd_size = sizeof(initrd);
	assert_int_equal(load(bz, sizeof(bz), 64 << 20), VM_END_NONE);
	assert_int_equal(vm.boot.format, BOOT_BZIMAGE);
	assert_int_equal(vm.boot.entry, 0x1000200);
	assert_int_equal(guest32(0x1000000), 0xcccccccc);
	assert_int_equal(vm.boot.initrd, ALIGN_DOWN((64u << 20) - sizeof(initrd), 4096));
	assert_int_equal(guest32(vm.boot.initrd), 0x69696969);
	assert_string_equal(memory_at(&vm, BOOT_CMDLINE, 14), "console=ttyS0");
	assert_int_equal(guest32(BOOT_PARAMS + 0x218), vm.boot.initrd);
	assert_int_equal(guest32(BOOT_PARAMS + 0x21c), sizeof(initrd));
	assert_int_equal(guest32(BOOT_PARAMS + 0x228), BOOT_CMDLINE);
	assert_int_equal(guest64(BOOT_PARAMS + 0x70), BOOT_ACPI);
	assert_int_equal(guest32(BOOT_PARAMS + 0x202), 0x53726448);
	assert_int_equal(*(u8 *)memory_at(&vm, BOOT_PARAMS + 0x210, 1), 0xff);
}

/* The first range is low memory, the fourth all RAM above 1 MiB. */
static void test_e820(void **state)
{
	make_bzimage();
	assert_int_equal(load(bz, sizeof(bz), 4ull << 30), VM_END_NONE);
	assert_int_equal(*(u8 *)memory_at(&vm, BOOT_PARAMS + 0x1e8, 1), 6);
	assert_int_equal(guest64(BOOT_PARAMS + 0x2d0), 0);
	assert_int_equal(guest64(BOOT_PARAMS + 0x2d0 + 8), BOOT_EBDA);
	assert_int_equal(guest64(BOOT_PARAMS + 0x2d0 + 60), BOOT_HIGH);
	assert_int_equal(guest64(BOOT_PARAMS + 0x2d0 + 68), GPA_PCI_HOLE - BOOT_HIGH);
	assert_int_equal(guest64(BOOT_PARAMS + 0x2d0 + 100), GPA_4G);
	assert_int_equal(guest64(BOOT_PARAMS + 0x2d0 + 108), GPA_4G - GPA_PCI_HOLE);
	assert_non_null(memory_at(&vm, GPA_4G, GPA_4G - GPA_PCI_HOLE));
	assert_null(memory_at(&vm, GPA_4G, GPA_4G - GPA_PCI_HOLE + 1));
	assert_null(memory_at(&vm, GPA_PCI_HOLE - 1, 2));
	assert_null(memory_at(&vm, ~0ull, 2));
}

/* Without room at the preferred address a relocatable kernel goes low; any other needs more memory. */
static void test_bzimage_low(void **state)
{
	make_bzimage();
	assert_int_equal(load(bz, sizeof(bz), 16 << 20), VM_END_NONE);
	assert_int_equal(vm.boot.entry, 0x200200);
	unload();
	put(0x234, 0, 1);
	assert_int_equal(load(bz, sizeof(bz), 16 << 20), VM_END_MEMORY);
	assert_non_null(strstr(vm.end_text, "20 MiB"));
}

static void refuse_bzimage(u32 offset, u64 value, u32 size, const char *why)
{
	make_bzimage();
	put(offset, value, size);
	assert_int_equal(load(bz, sizeof(bz), 64 << 20), VM_END_KERNEL);
	if (!strstr(vm.end_text, why))
		fail_msg("'%s' does not say '%s'", vm.end_text, why);
	unload();
}

static void test_bzimage_bad(void **state)
{
	refuse_bzimage(0x206, 0x20b, 2, "boot protocol 2.11");
	refuse_bzimage(0x236, 0, 2, "no 64-bit entry");
	refuse_bzimage(0x211, 0, 1, "no 64-bit entry");
	refuse_bzimage(0x1f4, BODY / 16 + 1, 4, "truncated");
	refuse_bzimage(0x1f4, 0xffffffff, 4, "truncated");
	refuse_bzimage(0x1f4, 0, 4, "truncated");
	refuse_bzimage(0x1f1, 255, 1, "truncated");
	refuse_bzimage(0x230, 3, 4, "damaged");
	refuse_bzimage(0x238, 5, 4, "command line");
	make_bzimage();
	load(bz, 1, 64 << 20);
}

/* Cut at every length: a verdict each time, never a read outside of the file (ASan watches). */
static void test_bzimage_truncated(void **state)
{
	make_bzimage();
	for (size_t len = 0; len < sizeof(bz); len += len < 0x300 ? 1 : 512) {
		assert_int_equal(load(bz, len, 64 << 20), VM_END_KERNEL);
		unload();
	}
	load(bz, sizeof(bz), 64 << 20);
}

static void test_initrd_too_large(void **state)
{
	make_bzimage();
	cfg.initrd_data = bz;
	cfg.initrd_size = 60 << 20;
	assert_int_equal(load(bz, sizeof(bz), 64 << 20), VM_END_INITRD);
	unload();
	cfg.initrd_size = ~0ull;
	assert_int_equal(load(bz, sizeof(bz), 64 << 20), VM_END_INITRD);
}

/* ---- ELF ---- */

struct elf {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Nhdr note;
	char name[4];
	u32 entry;
	u8 code[64];
};

static struct elf elf;

static void make_elf(bool pvh)
{
	elf = (struct elf){
		.eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		       .e_type = ET_EXEC,
		       .e_machine = EM_X86_64,
		       .e_entry = 0x100010,
		       .e_phoff = offsetof(struct elf, ph),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 2},
		.ph = {{.p_type = PT_LOAD,
			.p_offset = offsetof(struct elf, code),
			.p_paddr = 0x100000,
			.p_filesz = 64,
			.p_memsz = 4096},
		       {.p_type = pvh ? PT_NOTE : PT_NULL,
			.p_offset = offsetof(struct elf, note),
			.p_filesz = 20}},
		.note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
		.name = "Xen",
		.entry = 0x100020,
	};
	memset(elf.code, 0x90, sizeof(elf.code));
}

static void test_elf(void **state)
{
	make_elf(false);
	assert_int_equal(load(&elf, sizeof(elf), 64 << 20), VM_END_NONE);
	assert_int_equal(vm.boot.format, BOOT_ELF);
	assert_int_equal(vm.boot.entry, 0x100010);
	assert_int_equal(guest32(0x100000), 0x90909090);
	assert_int_equal(guest32(0x100040), 0);
	assert_int_equal(guest32(BOOT_PARAMS + 0x202), 0x53726448);
}

static void test_pvh(void **state)
{
	make_elf(true);
	cfg.initrd_data = initrd;
	cfg.initrd_size = sizeof(initrd);
	assert_int_equal(load(&elf, sizeof(elf), 64 << 20), VM_END_NONE);
	assert_int_equal(vm.boot.format, BOOT_PVH);
	assert_int_equal(vm.boot.entry, 0x100020);
	assert_int_equal(guest32(BOOT_PARAMS), 0x336ec578);
	assert_int_equal(guest32(BOOT_PARAMS + 12), 1);
	assert_int_equal(guest64(guest64(BOOT_PARAMS + 16)), vm.boot.initrd);
	assert_int_equal(guest64(guest64(BOOT_PARAMS + 16) + 8), sizeof(initrd));
	assert_int_equal(guest64(BOOT_PARAMS + 24), BOOT_CMDLINE);
	assert_int_equal(guest64(BOOT_PARAMS + 32), BOOT_ACPI);
	assert_int_equal(guest32(BOOT_PARAMS + 48), 5);
}

#define REFUSE_ELF(change, verdict) \
	do { \
		make_elf(true); \
		change; \
		assert_int_equal(load(&elf, sizeof(elf), 64 << 20), verdict); \
		unload(); \
	} while (0)

static void test_elf_bad(void **state)
{
	REFUSE_ELF(elf.eh.e_machine = EM_AARCH64, VM_END_KERNEL);
	REFUSE_ELF(elf.eh.e_ident[EI_CLASS] = ELFCLASS32, VM_END_KERNEL);
	REFUSE_ELF(elf.eh.e_type = ET_REL, VM_END_KERNEL);
	REFUSE_ELF(elf.eh.e_phoff = ~0ull, VM_END_KERNEL);
	REFUSE_ELF(elf.eh.e_phnum = 0xffff, VM_END_KERNEL);
	REFUSE_ELF(elf.ph[0].p_offset = ~0ull - 10, VM_END_KERNEL);
	REFUSE_ELF(elf.ph[0].p_filesz = 5000, VM_END_KERNEL);
	REFUSE_ELF(elf.ph[0].p_memsz = 10, VM_END_KERNEL);
	REFUSE_ELF(elf.ph[0].p_memsz = ~0ull, VM_END_MEMORY);
	REFUSE_ELF(elf.ph[0].p_paddr = 64 << 20, VM_END_MEMORY);
	REFUSE_ELF(elf.ph[0].p_paddr = ~0ull, VM_END_MEMORY);
	REFUSE_ELF(elf.ph[0].p_paddr = 0x7000, VM_END_KERNEL);
	REFUSE_ELF(elf.ph[0].p_type = PT_NULL, VM_END_KERNEL);
	REFUSE_ELF(elf.ph[0].p_type = PT_INTERP, VM_END_KERNEL);
	REFUSE_ELF(elf.entry = 0xffffffff, VM_END_KERNEL);
	REFUSE_ELF((elf.ph[1].p_filesz = ~0ull, elf.eh.e_entry = ~0ull), VM_END_KERNEL);
	REFUSE_ELF((elf.note.n_namesz = ~0u, elf.eh.e_entry = ~0ull), VM_END_KERNEL);
	REFUSE_ELF((elf.note.n_descsz = ~0u, elf.eh.e_entry = ~0ull), VM_END_KERNEL);
	make_elf(true);
	load(&elf, 10, 64 << 20);
}

static void test_elf_truncated(void **state)
{
	make_elf(true);
	for (size_t len = 0; len < offsetof(struct elf, code) + 64; len++) {
		assert_int_equal(load(&elf, len, 64 << 20), VM_END_KERNEL);
		unload();
	}
	load(&elf, sizeof(elf), 64 << 20);
}

static void test_foreign(void **state)
{
	u8 image[4096] = {0};

	memcpy(image + 0x38, "ARM\x64", 4);
	assert_int_equal(load(image, sizeof(image), 64 << 20), VM_END_KERNEL);
	assert_non_null(strstr(vm.end_text, "arm64"));
	unload();
	memcpy(image, "\x1f\x8b", 2);
	memset(image + 0x38, 0, 4);
	assert_int_equal(load(image, sizeof(image), 64 << 20), VM_END_KERNEL);
	assert_non_null(strstr(vm.end_text, "gzip"));
	unload();
	memset(image, 0, sizeof(image));
	assert_int_equal(load(image, sizeof(image), 64 << 20), VM_END_KERNEL);
}

static int make_kernel(void **state)
{
	int fd = mkstemp(kernel);

	return fd < 0 || close(fd) < 0;
}

static int remove_kernel(void **state)
{
	return unlink(kernel);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bzimage),	   T(test_e820),	     T(test_bzimage_low), T(test_bzimage_bad),
		T(test_bzimage_truncated), T(test_initrd_too_large), T(test_elf),	  T(test_pvh),
		T(test_elf_bad),	   T(test_elf_truncated),    T(test_foreign),
	};

	return cmocka_run_group_tests_name("vmm_boot", tests, make_kernel, remove_kernel);
}
