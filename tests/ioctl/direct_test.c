/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's promises while user code runs directly (KUSE_HYP_ENGINE=direct): registers after an exit, dirty log,
 * read-only and deleted slots, signals, guest debugging, other threads, a fork, a stub that was killed, and
 * that nothing is left at the end. Skipped where no stub can be had.
 */
#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/ioctl/ioctl.h"
#include "tests/lib/descriptors.h"

#define CODE 0x500000ull /* in the guest; at 0x100000 of RAM */
#define MMIO 0x600000ull
#define DATA 0x601000ull /* slot 1 */
#define PAGES 16u
#define DATA_GPA 0x400000ull
#define P 1ull
#define W 2ull
#define U 4ull
#define NX (1ull << 63)

static struct {
	struct machine m;
	uint8_t *data; /* slot 1 */
	int files, fd[2];
} t;

/* ---- the machine: long mode, ring 3 as Linux has it ----------------------------------------------- */

static uint8_t *file_memory(size_t size, int *fd)
{
	void *p;

	*fd = memfd_create("ram", MFD_CLOEXEC);
	ok(*fd);
	ok(ftruncate(*fd, (off_t)size));
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void set_slot(uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *mem)
{
	struct kvm_userspace_memory_region r = { slot, flags, gpa, size, (uintptr_t)mem };

	ok(IOCTL(t.m.vm, KVM_SET_USER_MEMORY_REGION, &r));
}

static void put64(uint64_t gpa, uint64_t v)
{
	memcpy(t.m.mem + gpa, &v, 8);
}

static void make_tables(void)
{
	put64(0x10000, 0x11000 | P | W | U);
	put64(0x11000, 0x12000 | P | W | U);
	put64(0x12000, P | W | 0x80); /* the kernel's: 2 MiB */
	put64(0x12010, 0x13000 | P | W | U);
	put64(0x12018, 0x14000 | P | W | U);
	put64(0x13000 + 8 * 0x100, 0x100000 | P | U);
	put64(0x14000, 0xd0000000 | P | W | U | NX);
	for (uint64_t i = 0; i < PAGES; i++)
		put64(0x14008 + 8 * i, (DATA_GPA + 4096 * i) | P | W | U | NX);
}

/* Handlers: movb $vector, MMIO; iretq */
static void make_handler(unsigned vector, bool error)
{
	uint8_t code[] = { 0xc6, 0x04, 0x25, 0, 0, 0x60, 0, (uint8_t)vector, 0x48, 0x83, 0xc4, error ? 8 : 0, 0x48, 0xcf };
	uint64_t at = 0x6000 + 64 * vector;

	memcpy(t.m.mem + at, code, sizeof(code));
	put64(0x2000 + 16 * vector, at | 8 << 16 | 0x8eull << 40);
}

static struct kvm_segment segment(uint16_t sel, uint8_t type, uint8_t dpl)
{
	return (struct kvm_segment){ .limit = 0xffffffff, .selector = sel, .type = type, .present = 1, .dpl = dpl,
				     .s = 1, .g = 1, .l = type == 11, .db = type != 11 };
}

static void set_sregs(void)
{
	struct kvm_sregs s;
	struct kvm_xcrs x = { .nr_xcrs = 1 };
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	ok(IOCTL(t.m.kvm, KVM_GET_SUPPORTED_CPUID, c));
	ok(IOCTL(t.m.vcpu, KVM_SET_CPUID2, c));
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0xd && !c->entries[i].index)
			x.xcrs[0].value = c->entries[i].eax;
	free(c);
	ok(IOCTL(t.m.vcpu, KVM_GET_SREGS, &s));
	s.cs = segment(0x33, 11, 3);
	s.ss = segment(0x2b, 3, 3);
	s.ds = s.es = s.fs = s.gs = (struct kvm_segment){ .unusable = 1 };
	s.tr = (struct kvm_segment){ .base = 0x4000, .limit = 0x67, .selector = 0x18, .type = 11, .present = 1 };
	s.gdt.base = 0x3000;
	s.gdt.limit = 0x37;
	s.idt.base = 0x2000;
	s.idt.limit = 0xfff;
	s.cr0 = 0x80010033;
	s.cr3 = 0x10000;
	s.cr4 = 0x40620;
	s.efer = 0xd00;
	ok(IOCTL(t.m.vcpu, KVM_SET_SREGS, &s));
	ok(IOCTL(t.m.vcpu, KVM_SET_XCRS, &x));
}

static void load(const void *code, size_t size)
{
	struct kvm_regs r = { .rip = CODE, .rsp = DATA + 4096, .rbx = DATA, .rflags = 0x202 };

	memcpy(t.m.mem + 0x100000, code, size);
	set_sregs();
	ok(IOCTL(t.m.vcpu, KVM_SET_REGS, &r));
}
#define LOAD(...) load((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define TELL 0x88, 0x04, 0x25, 0, 0, 0x60, 0 /* mov %al, MMIO */

/* The children of this process, alive or not; what they are called does not matter: nobody else makes any. */
static int stubs(pid_t *last)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0, ppid;

	while ((e = readdir(d))) {
		char path[300];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = isdigit(e->d_name[0]) ? fopen(path, "r") : NULL;
		if (f && fscanf(f, "%*d %*s %*c %d", &ppid) == 1 && ppid == getpid()) {
			n++;
			if (last)
				*last = atoi(e->d_name);
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return n;
}

static int up(void **state)
{
	skip_real();
	t.files = descriptors();
	machine_vm(&t.m, 0x80000000); /* what it has in RAM is not a file: it stays out of the way */
	munmap(t.m.mem, MEM_SIZE);
	t.m.mem = file_memory(MEM_SIZE, &t.fd[0]);
	t.data = file_memory(PAGES * 4096, &t.fd[1]);
	set_slot(0, 0, 0, 0, NULL);
	set_slot(0, 0, 0, MEM_SIZE, t.m.mem);
	set_slot(1, 0, DATA_GPA, PAGES * 4096, t.data);
	machine_vcpu(&t.m);
	make_tables();
	put64(0x3008, 0x00af9b000000ffff);
	put64(0x3028, 0x00cff3000000ffff);
	put64(0x3030, 0x00affb000000ffff);
	put64(0x4004, 0x6000); /* RSP0 */
	make_handler(2, false);
	make_handler(13, true);
	return 0;
}

static int down(void **state)
{
	if (!t.m.mem)
		return 0;
	machine_down(&t.m);
	munmap(t.data, PAGES * 4096);
	close(t.fd[0]);
	close(t.fd[1]);
	assert_int_equal(stubs(NULL), 0);
	assert_int_equal(descriptors(), t.files);
	return 0;
}

/* Up to an access to MMIO; the byte that was written. */
static unsigned told(void)
{
	ok(machine_run(&t.m));
	assert_int_equal(t.m.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(t.m.run->mmio.phys_addr, 0xd0000000);
	return t.m.run->mmio.data[0];
}

static struct kvm_regs get_regs(void)
{
	struct kvm_regs r;

	ok(IOCTL(t.m.vcpu, KVM_GET_REGS, &r));
	return r;
}

/* Is the code run directly? If it cannot be, the tests prove nothing. */
static void need_stub(void)
{
	LOAD(TELL, 0xeb, 0xf7);
	told();
	if (!stubs(NULL))
		skip();
}

/* ---- tests ------------------------------------------------------------------------------------------ */

static void registers(void **state)
{
	struct kvm_xsave x;
	struct kvm_sregs s;
	struct kvm_regs r;

	need_stub();
	/* 1: inc rax; movq xmm9, rax; pcmpeqd xmm10, xmm10; mov [rbx], rax; stc; tell; jmp 1b */
	LOAD(0x48, 0xff, 0xc0, 0x66, 0x4c, 0x0f, 0x6e, 0xc8, 0x66, 0x45, 0x0f, 0x76, 0xd2, 0x48, 0x89, 0x03,
	     0xf9, TELL, 0xeb, 0xe6);
	for (uint64_t i = 1; i < 400; i++) {
		assert_int_equal(told(), i & 0xff);
		ok(IOCTL(t.m.vcpu, KVM_GET_XSAVE, &x));
		ok(IOCTL(t.m.vcpu, KVM_GET_SREGS, &s));
		r = get_regs();
		assert_int_equal(*(uint64_t *)t.data, i);
		assert_int_equal(*(uint64_t *)((uint8_t *)&x + 160 + 16 * 9), i);
		assert_int_equal(*(uint64_t *)((uint8_t *)&x + 160 + 16 * 10 + 8), -1ull);
		assert_int_equal(r.rax, i);
		assert_int_equal(r.rflags & 0x3203, 0x203);
		assert_int_equal(r.rip, CODE + 24);
		assert_int_equal(s.fs.base, i > 200 ? 0x7000 + i - 1 : 0);
		s.fs.base = 0x7000 + i;
		if (i >= 200)
			ok(IOCTL(t.m.vcpu, KVM_SET_SREGS, &s));
		r.rcx = i;
		if (i & 1)
			ok(IOCTL(t.m.vcpu, KVM_SET_REGS, &r));
	}
}

/* mov edx, PAGES; mov rdi, rbx; 1: inc qword [rdi]; add rdi, 4096; dec edx; jnz 1b; tell; jmp */
#define STORES                                                                                                             \
	0xba, PAGES, 0, 0, 0, 0x48, 0x89, 0xdf, 0x48, 0xff, 0x07, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0, 0xff, 0xca, 0x75, 0xf2, \
		TELL, 0xeb, 0xe1

static void dirty_log(void **state)
{
	uint64_t bits[1] = { 0 };
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };

	need_stub();
	LOAD(STORES);
	for (int i = 0; i < 20; i++) /* warm */
		told();
	set_slot(1, KVM_MEM_LOG_DIRTY_PAGES, DATA_GPA, PAGES * 4096, t.data);
	for (int i = 0; i < 40; i++) {
		for (int k = i % 3; k >= 0; k--)
			told();
		ok(IOCTL(t.m.vm, KVM_GET_DIRTY_LOG, &log));
		assert_int_equal(bits[0], 0xffff);
		ok(IOCTL(t.m.vm, KVM_GET_DIRTY_LOG, &log));
		assert_int_equal(bits[0], 0);
	}
}

static void read_only(void **state)
{
	need_stub();
	LOAD(STORES);
	for (int i = 0; i < 20; i++)
		told();
	set_slot(1, 0, DATA_GPA, 0, NULL);
	set_slot(1, KVM_MEM_READONLY, DATA_GPA, PAGES * 4096, t.data);
	memset(t.data, 0, 8);
	ok(machine_run(&t.m));
	assert_int_equal(t.m.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(t.m.run->mmio.phys_addr, DATA_GPA);
	assert_int_equal(t.m.run->mmio.data[0], 1);
	assert_int_equal(*(uint64_t *)t.data, 0);
}

/* ---- a second thread --------------------------------------------------------------------------------- */

static int runner_errno;

static void on_signal(int sig)
{
	kuse_signal_notify();
}

static void *runner(void *arg)
{
	runner_errno = machine_run(&t.m) ? errno : 0;
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void slot_deleted(void **state)
{
	struct kvm_regs again = { .rip = CODE, .rbx = DATA, .rflags = 0x202 };
	volatile uint64_t *n = (volatile uint64_t *)t.data;
	pthread_t thread;
	uint64_t last;

	need_stub();
	LOAD(0x48, 0xff, 0x03, 0xeb, 0xfb); /* 1: inc qword [rbx]; jmp 1b */
	for (int i = 0; i < 10; i++) {
		last = *n;
		pthread_create(&thread, NULL, runner, NULL);
		while (*n < last + 100000)
			usleep(100);
		set_slot(1, 0, DATA_GPA, 0, NULL);
		last = *n;
		pthread_join(thread, NULL);
		assert_int_equal(runner_errno, 0);
		assert_int_equal(t.m.run->exit_reason, KVM_EXIT_MMIO);
		assert_int_equal(*n, last);
		set_slot(1, 0, DATA_GPA, PAGES * 4096, t.data);
		ok(IOCTL(t.m.vcpu, KVM_SET_REGS, &again));
		t.m.run->immediate_exit = 1; /* the access is completed, with whatever */
		fails(EINTR, machine_run(&t.m));
		t.m.run->immediate_exit = 0;
		ok(IOCTL(t.m.vcpu, KVM_SET_REGS, &again));
	}
}

static void signals(void **state)
{
	volatile uint64_t *n = (volatile uint64_t *)t.data;
	struct sigaction sa = { .sa_handler = on_signal }, old;
	double worst = 0, sum = 0;
	pthread_t thread;

	need_stub();
	sigaction(SIGUSR1, &sa, &old);
	LOAD(0x48, 0xff, 0x03, 0x48, 0xff, 0xc0, 0xeb, 0xf8); /* 1: inc qword [rbx]; inc rax; jmp 1b */
	for (int i = 0; i < 50; i++) {
		uint64_t last = *n;
		double start;

		pthread_create(&thread, NULL, runner, NULL);
		while (*n < last + 1000)
			usleep(50);
		start = now();
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
		start = now() - start;
		sum += start;
		worst = start > worst ? start : worst;
		assert_int_equal(runner_errno, EINTR);
		assert_in_range(*n - get_regs().rax, 0, 1);
		ok(IOCTL(t.m.vcpu, KVM_NMI, NULL));
		assert_int_equal(told(), 2);
	}
	print_message("# signal to exit: mean %.0f us, worst %.0f us\n", sum / 50 * 1e6, worst * 1e6);
	assert_true(sum / 50 < 0.1); /* 0.1 ms on a quiet machine */
	sigaction(SIGUSR1, &old, NULL);
}

static void debugging(void **state)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	need_stub();
	/* inc rax; inc rax; tell; jmp */
	LOAD(0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, TELL, 0xeb, 0xf1);
	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(told(), 2 * i);
	ok(IOCTL(t.m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	ok(machine_run(&t.m));
	assert_int_equal(t.m.run->exit_reason, KVM_EXIT_DEBUG);
	ok(machine_run(&t.m));
	assert_int_equal(t.m.run->exit_reason, KVM_EXIT_DEBUG);
	d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	d.arch.debugreg[0] = CODE + 3;
	d.arch.debugreg[7] = 0x401;
	ok(IOCTL(t.m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	for (int i = 0; i < 3; i++) {
		do
			ok(machine_run(&t.m));
		while (t.m.run->exit_reason == KVM_EXIT_MMIO);
		assert_int_equal(t.m.run->exit_reason, KVM_EXIT_DEBUG);
		assert_int_equal(t.m.run->debug.arch.pc, CODE + 3);
	}
	d.control = 0;
	ok(IOCTL(t.m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	told();
}

static void *one_run(void *arg)
{
	*(unsigned *)arg = told();
	return NULL;
}

/* The stubs of a thread go with it; whoever runs the vCPU next has his own. */
static void threads(void **state)
{
	need_stub();
	LOAD(0x48, 0xff, 0xc0, TELL, 0xeb, 0xf4);
	for (unsigned i = 1; i < 20; i++) {
		unsigned v = 0;
		pthread_t thread;

		pthread_create(&thread, NULL, one_run, &v);
		pthread_join(thread, NULL);
		assert_int_equal(v, i);
		assert_in_range(stubs(NULL), 1, 2);
	}
}

static void forked(void **state)
{
	need_stub();
	LOAD(0x48, 0xff, 0xc0, TELL, 0xeb, 0xf4);
	for (unsigned i = 1; i < 5; i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			k_close(t.m.vcpu);
			k_close(t.m.vm);
			_exit(stubs(NULL));
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_int_equal(stubs(NULL), 1);
		assert_int_equal(told(), i);
	}
}

/* Somebody kills a stub: the guest's kernel gets an exception for its program. The VM lives. */
static void killed(void **state)
{
	pid_t stub;

	need_stub();
	LOAD(0x48, 0xff, 0xc0, TELL, 0xeb, 0xf4);
	for (int i = 0; i < 10; i++) {
		unsigned v = told();

		assert_int_equal(stubs(&stub), 1);
		kill(stub, SIGKILL);
		v = (v + 1) & 0xff;
		for (int k = 0; k < 3; k++) {
			unsigned got = told();

			if (got == 13 && !k)
				got = told();
			assert_int_equal(got, (v + (unsigned)k) & 0xff);
		}
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
	const struct CMUnitTest tests[] = {
		T(registers), T(dirty_log), T(read_only), T(slot_deleted), T(signals), T(debugging), T(threads),
		T(forked),    T(killed),
	};

	setenv("KUSE_HYP_ENGINE", "direct", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
