/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client does to the memory behind a slot: taken away, an access ends KVM_RUN with EFAULT and is
 * made when it is back; replaced, the guest sees the new pages; served by userfaultfd, the access waits.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "tests/ioctl/ioctl.h"

static struct machine m;

static struct sigaction segv, bus;

/* cmocka puts its handlers in front of KUSE's for each test; libkuse-preload.so would not let it. */
static void handlers_of_kuse(void)
{
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
}

static int up(void **state)
{
	return machine_up(&m, NO_IRQCHIP);
}

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

/* 64-bit mode, so that code is translated; tables at 0x10000, code at 0x1000, everything mapped 1:1. */
static void long_code(const void *code, size_t len)
{
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
	uint64_t *pml4 = (uint64_t *)(m.mem + 0x10000), *pdpt = (uint64_t *)(m.mem + 0x11000);
	uint64_t *pd = (uint64_t *)(m.mem + 0x12000), *pt = (uint64_t *)(m.mem + 0x13000);
	struct kvm_sregs s;

	handlers_of_kuse();
	machine_code(&m, code, len);
	pml4[0] = 0x11000 | 7;
	pdpt[0] = 0x12000 | 7;
	pd[0] = 0x13000 | 7;
	for (unsigned i = 0; i < MEM_SIZE / 4096; i++)
		pt[i] = i * 4096ul | 7;
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.cr3 = 0x10000;
	s.cr4 |= 0x20;
	s.cr0 |= 0x80000001;
	s.efer |= 0x500;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cs = data;
	s.cs.selector = 8;
	s.cs.type = 11;
	s.cs.db = 0;
	s.cs.l = 1;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
}

#define LONG(...) long_code((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define REAL(...) handlers_of_kuse(), machine_code(&m, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void protect(unsigned long gpa, int prot)
{
	ok(mprotect(m.mem + gpa, 4096, prot));
}

static struct kvm_regs regs(void)
{
	struct kvm_regs r;

	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	return r;
}

static void runs_to_hlt(void)
{
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
}

/* EFAULT at the instruction at rip as often as it is tried; then, with the memory back, it is made. */
static void fails_at(unsigned long page, uint64_t rip)
{
	for (int i = 0; i < 3; i++) {
		fails(EFAULT, machine_run(&m));
		assert_int_equal(regs().rip, rip);
	}
	protect(page, PROT_READ | PROT_WRITE);
	runs_to_hlt();
}

static void load(void **state)
{
	/* xor eax,eax; inc eax; mov ebx,[0x30000]; hlt */
	LONG(0x31, 0xc0, 0xff, 0xc0, 0x8b, 0x1c, 0x25, 0, 0, 3, 0, 0xf4);
	memset(m.mem + 0x30000, 0x77, 4);
	protect(0x30000, PROT_NONE);
	fails_at(0x30000, 0x1004);
	assert_int_equal(regs().rbx, 0x77777777);
	assert_int_equal(regs().rax, 1);
}

static void store(void **state)
{
	LONG(0xb8, 5, 0, 0, 0, 0x01, 0x04, 0x25, 0, 0, 3, 0, 0xf4); /* mov eax,5; add [0x30000],eax; hlt */
	*(uint32_t *)(m.mem + 0x30000) = 37;
	protect(0x30000, PROT_READ);
	fails_at(0x30000, 0x1005);
	assert_int_equal(*(uint32_t *)(m.mem + 0x30000), 42);
}

/* A page that the soft TLB knows already. */
static void taken_away_while_cached(void **state)
{
	/* mov [0x30000],eax; out 0x10,al; mov [0x30000],eax; hlt */
	LONG(0x89, 4, 0x25, 0, 0, 3, 0, 0xe6, 0x10, 0x89, 4, 0x25, 0, 0, 3, 0, 0xf4);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	protect(0x30000, PROT_NONE);
	fails_at(0x30000, 0x1009);
}

static void string(void **state)
{
	/* mov edi,0x2f000; mov ecx,0x800; mov eax,0x01010101; rep stosd; hlt: fails at its second page */
	LONG(0xbf, 0, 0xf0, 2, 0, 0xb9, 0, 8, 0, 0, 0xb8, 1, 1, 1, 1, 0xf3, 0xab, 0xf4);
	protect(0x30000, PROT_NONE);
	fails_at(0x30000, 0x100f);
	assert_int_equal(m.mem[0x2f000], 1);
	assert_int_equal(m.mem[0x30fff], 1);
	assert_int_equal(m.mem[0x31000], 0);
}

/* Inside pages that the soft TLB knows: hyp/rewrite/x86/fast_str.c. */
static void short_stos(void **state)
{
	/* mov edi,0x30000; mov [rdi],eax; out 0x10,al; mov ecx,16; mov eax,0x01010101; rep stosd; hlt */
	LONG(0xbf, 0, 0, 3, 0, 0x89, 7, 0xe6, 0x10, 0xb9, 16, 0, 0, 0, 0xb8, 1, 1, 1, 1, 0xf3, 0xab, 0xf4);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	protect(0x30000, PROT_READ);
	fails_at(0x30000, 0x1013);
	assert_int_equal(m.mem[0x3003f], 1);
	assert_int_equal(m.mem[0x30040], 0);
	assert_int_equal(regs().rdi, 0x30040);
	assert_int_equal(regs().rcx, 0);
}

static void short_movs_with(unsigned long missing)
{
	/* mov r12d,0x12345678; mov esi,0x30000; mov edi,0x31000; mov eax,[rsi]; mov [rdi],eax; out 0x10,al;
	 * mov ecx,16; rep movsd; hlt */
	LONG(0x41, 0xbc, 0x78, 0x56, 0x34, 0x12, 0xbe, 0, 0, 3, 0, 0xbf, 0, 0x10, 3, 0, 0x8b, 6, 0x89, 7,
	     0xe6, 0x10, 0xb9, 16, 0, 0, 0, 0xf3, 0xa5, 0xf4);
	memset(m.mem + 0x30000, 0x5a, 128);
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	protect(missing, PROT_NONE);
	fails_at(missing, 0x101b);
	assert_memory_equal(m.mem + 0x31000, m.mem + 0x30000, 64);
	assert_int_equal(m.mem[0x31040], 0);
	assert_int_equal(regs().rsi, 0x30040);
	assert_int_equal(regs().rdi, 0x31040);
	assert_int_equal(regs().r12, 0x12345678);
}

static void short_movs_source(void **state)
{
	short_movs_with(0x30000);
}

static void short_movs_destination(void **state)
{
	short_movs_with(0x31000);
}

static void vector(void **state)
{
	/* movups xmm0,[0x20000]; movups [0x30000],xmm0; hlt, with CR4.OSFXSR */
	struct kvm_sregs s;

	LONG(0x0f, 0x10, 4, 0x25, 0, 0, 2, 0, 0x0f, 0x11, 4, 0x25, 0, 0, 3, 0, 0xf4);
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.cr4 |= 0x200;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	memset(m.mem + 0x20000, 0xa5, 16);
	protect(0x30000, PROT_NONE);
	fails_at(0x30000, 0x1008);
	assert_memory_equal(m.mem + 0x30000, m.mem + 0x20000, 16);
}

static void code_page(void **state)
{
	LONG(0xe9, 0xfb, 0x0f, 0, 0); /* jmp 0x2000 */
	m.mem[0x2000] = 0xf4;
	protect(0x2000, PROT_NONE);
	fails_at(0x2000, 0x2000);
}

static void page_table(void **state)
{
	LONG(0x8b, 0x1c, 0x25, 0, 0, 3, 0, 0xf4);
	protect(0x13000, PROT_NONE);
	fails_at(0x13000, 0x1000);
}

/* The interpreter, and its stubs of host code. */
static void real_mode(void **state)
{
	REAL(0xa1, 0, 0x30, 0xf7, 0x26, 0, 0x30, 0xf4); /* mov ax,[0x3000]; mul word [0x3000]; hlt */
	m.mem[0x3000] = 3;
	protect(0x3000, PROT_NONE);
	fails_at(0x3000, 0x1000);
	assert_int_equal(regs().rax, 9);
}

static void unmapped_and_truncated(void **state)
{
	int fd = memfd_create("ram", 0);
	uint8_t *p;

	LONG(0x8b, 0x1c, 0x25, 0, 0, 3, 0, 0xf4);
	munmap(m.mem + 0x30000, 4096);
	fails(EFAULT, machine_run(&m));
	/* behind its end */
	p = mmap(m.mem + 0x30000, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	assert_ptr_equal(p, m.mem + 0x30000);
	fails(EFAULT, machine_run(&m));
	ok(ftruncate(fd, 4096));
	p[0] = 9;
	runs_to_hlt();
	assert_int_equal(regs().rbx, 9);
	close(fd);
}

static void kvm_s_own_accesses(void **state)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[2]; } msrs = { { .nmsrs = 2 }, { { .index = 0x4b564d01 },
											       { .index = 0x4b564d03 } } };
	struct kvm_translation t = { .linear_address = 0x5000 };

	LONG(0xf4);
	msrs.e[0].data = 0x30000 | 1; /* kvmclock */
	msrs.e[1].data = 0x30040 | 1; /* steal time */
	assert_int_equal(IOCTL(m.vcpu, KVM_SET_MSRS, &msrs), 2);
	protect(0x30000, PROT_NONE);
	runs_to_hlt();
	protect(0x13000, PROT_NONE);
	ok(IOCTL(m.vcpu, KVM_TRANSLATE, &t));
	assert_int_equal(t.valid, 0);
}

/* A host fault that has nothing to do with guest RAM is the client's, as ever. */
static void new_pages_are_seen(void **state)
{
	/* mov ebx,[0x30000]; out 0x10,al; jmp 0x1000 */
	LONG(0x8b, 0x1c, 0x25, 0, 0, 3, 0, 0xe6, 0x10, 0xeb, 0xf5);
	for (int i = 0; i < 3; i++) {
		uint8_t *p = mmap(m.mem + 0x30000, 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		p[0] = (uint8_t)(40 + i);
		ok(machine_run(&m));
		assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(regs().rbx, 40 + i);
	}
	madvise(m.mem + 0x30000, 4096, MADV_DONTNEED);
	ok(machine_run(&m));
	assert_int_equal(regs().rbx, 0);
}

/* Code that ran is replaced by other pages: what is there now runs, after the guest has flushed its TLB. */
static void new_code_is_run(void **state)
{
	/* mov ebx,[0x2001]; mov rax,cr3; mov cr3,rax; jmp 0x2000 */
	LONG(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0xe9, 0xf5, 0x0f, 0, 0);
	for (uint8_t i = 0; i < 3; i++) {
		uint8_t *p = mmap(m.mem + 0x2000, 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		/* mov bl,i; out; jmp 0x1000 */
		const uint8_t code[] = { 0xb3, i, 0xe6, 0x10, 0xe9, 0xf7, 0xef, 0xff, 0xff };

		memcpy(p, code, sizeof(code));
		ok(machine_run(&m));
		assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(regs().rbx, i);
	}
}

struct server {
	int fd;
	uint8_t fill;
};

static void *serve(void *arg)
{
	struct server *s = arg;
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };
	static uint8_t page[4096];
	struct uffd_msg msg;

	if (poll(&pfd, 1, 20000) != 1 || read(s->fd, &msg, sizeof(msg)) != sizeof(msg))
		return NULL;
	usleep(20000); /* the vCPU sleeps meanwhile */
	memset(page, s->fill, sizeof(page));
	ioctl(s->fd, UFFDIO_COPY, &(struct uffdio_copy){ .dst = msg.arg.pagefault.address & ~4095ull, .src = (uintptr_t)page,
							  .len = 4096 });
	return arg;
}

static void userfault(void **state)
{
	struct server s = { (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), 0x5c };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)m.mem + 0x30000, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;
	void *served;

	if (s.fd < 0)
		skip(); /* the host does not let us */
	LONG(0x8b, 0x1c, 0x25, 0, 0, 3, 0, 0xf4);
	madvise(m.mem + 0x30000, 4096, MADV_DONTNEED);
	ok(ioctl(s.fd, UFFDIO_API, &api));
	ok(ioctl(s.fd, UFFDIO_REGISTER, &reg));
	ok(pthread_create(&thread, NULL, serve, &s));
	runs_to_hlt();
	pthread_join(thread, &served);
	assert_ptr_equal(served, &s);
	assert_int_equal(regs().rbx, 0x5c5c5c5c);
	close(s.fd);
}

/* UFFD_FEATURE_SIGBUS: nobody waits, the access fails. */
static void userfault_by_signal(void **state)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS };
	struct uffdio_register reg = { .range = { (uintptr_t)m.mem + 0x30000, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (fd < 0)
		skip();
	LONG(0x8b, 0x1c, 0x25, 0, 0, 3, 0, 0xf4);
	madvise(m.mem + 0x30000, 4096, MADV_DONTNEED);
	ok(ioctl(fd, UFFDIO_API, &api));
	ok(ioctl(fd, UFFDIO_REGISTER, &reg));
	fails(EFAULT, machine_run(&m));
	ok(ioctl(fd, UFFDIO_ZEROPAGE, &(struct uffdio_zeropage){ .range = reg.range }));
	runs_to_hlt();
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(load), T(store), T(taken_away_while_cached), T(string), T(short_stos), T(short_movs_source),
		T(short_movs_destination), T(vector), T(code_page), T(page_table), T(real_mode),
		T(unmapped_and_truncated), T(kvm_s_own_accesses), T(new_pages_are_seen), T(new_code_is_run), T(userfault),
		T(userfault_by_signal),
	};

	ok(k_close(k_open()));
	sigaction(SIGSEGV, NULL, &segv);
	sigaction(SIGBUS, NULL, &bus);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
