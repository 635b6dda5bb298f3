/* SPDX-License-Identifier: Apache-2.0 */
/* A client that changes its own mapping of guest RAM while user code of the guest runs in it, without a word
 * to KVM. On Linux MMU notifiers see to it that the guest finds what is there now when the call is over. */
#include "client.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define PAGE 0x1000ul
#define SIZE 0x10000ul
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, CODE = 0x5000, IN = 0x6000, OUT = 0x7000 };
#define RW_USER_AD 0x67ul

/* 1: mov IN, %rax; mov %rax, OUT; incq OUT + 8; jmp 1b */
static const uint8_t copies[] = { 0x48, 0x8b, 0x04, 0x25, 0x00, 0x60, 0, 0, 0x48, 0x89, 0x04, 0x25, 0x00, 0x70, 0, 0,
				  0x48, 0xff, 0x04, 0x25, 0x08, 0x70, 0, 0, 0xeb, 0xe6 };

static struct vm v;
static volatile uint64_t *out;
static int ended;  /* atomic: errno of the KVM_RUN that ended, 0: it runs */
static pid_t runner;

static uint8_t *file_of(size_t size, uint64_t value)
{
	int fd = memfd_create("moves", MFD_CLOEXEC);
	uint8_t *p = ftruncate(fd, (off_t)size) ? MAP_FAILED
						: mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		exit(99);
	*(uint64_t *)p = value; /* the descriptor stays open: a client's own */
	return p;
}

static void fill(uint8_t *mem)
{
	*(uint64_t *)(mem + PML4) = PDPT | RW_USER_AD;
	*(uint64_t *)(mem + PDPT) = PD | RW_USER_AD;
	*(uint64_t *)(mem + PD) = PT | RW_USER_AD;
	for (uint64_t i = CODE / PAGE; i <= OUT / PAGE; i++)
		*(uint64_t *)(mem + PT + 8 * i) = i * PAGE | (i == CODE / PAGE ? 0x25 : RW_USER_AD);
	memcpy(mem + CODE, copies, sizeof(copies));
}

/* 64-bit user mode, as Linux has it. */
static void user_mode(void)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = OUT + PAGE, .rflags = 0x202 };
	struct kvm_segment none = { .unusable = 1 };
	struct kvm_sregs s;

	if (ioctl(v.vcpu, KVM_GET_SREGS, &s))
		exit(99);
	s.cs = (struct kvm_segment){ .selector = 0x33, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1,
				     .limit = ~0u };
	s.ss = (struct kvm_segment){ .selector = 0x2b, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1,
				     .limit = ~0u };
	s.ds = s.es = s.fs = s.gs = none;
	s.cr0 = 0x80000033; /* PG NE ET MP PE */
	s.cr3 = PML4;
	s.cr4 = 0x620; /* OSXMMEXCPT OSFXSR PAE */
	s.efer = 0x500;
	if (ioctl(v.vcpu, KVM_SET_SREGS, &s) || ioctl(v.vcpu, KVM_SET_REGS, &regs))
		exit(99);
}

static void set_cpuid(void)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	if (ioctl(v.kvm, KVM_GET_SUPPORTED_CPUID, c) || ioctl(v.vcpu, KVM_SET_CPUID2, c))
		exit(99);
	free(c);
}

static void make(void)
{
	struct kvm_userspace_memory_region slot = { .slot = 1, .memory_size = SIZE };

	vm_make(&v, guest_spin, sizeof(guest_spin));
	set_cpuid();
	v.mem = file_of(SIZE, 0);
	fill(v.mem);
	slot.userspace_addr = (uintptr_t)v.mem;
	/* vm_make's slot, at GUEST_BASE, makes room */
	if (ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &(struct kvm_userspace_memory_region){ 0 }) ||
	    ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &slot))
		exit(99);
	user_mode();
	out = (uint64_t *)(v.mem + OUT);
}

static void *runs(void *arg)
{
	__atomic_store_n(&runner, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	for (;;) {
		int err = ioctl(v.vcpu, KVM_RUN, 0) ? errno : -1;

		__atomic_store_n(&ended, err, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST))
			usleep(200);
	}
	return arg;
}

/* Until the guest has been around its loop some times, from now on. */
static bool goes_on(void)
{
	uint64_t before = out[1];

	for (int i = 0; i < 100000 && out[1] - before < 3; i++)
		usleep(100);
	return out[1] - before >= 3;
}

static bool sees(uint64_t value)
{
	return goes_on() && out[0] == value;
}

static int end_of_run(void)
{
	for (int i = 0; i < 100000 && !__atomic_load_n(&ended, __ATOMIC_SEQ_CST); i++)
		usleep(100);
	return __atomic_load_n(&ended, __ATOMIC_SEQ_CST);
}

static void again(void)
{
	__atomic_store_n(&ended, 0, __ATOMIC_SEQ_CST);
}

/* A stub is a child of the vCPU's thread. */
static bool is_direct(void)
{
	char path[64], text[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		 __atomic_load_n(&runner, __ATOMIC_SEQ_CST));
	f = fopen(path, "r");
	if (f && !fgets(text, sizeof(text), f))
		text[0] = 0;
	if (f)
		fclose(f);
	return text[0];
}

static bool remap(void *at, uint64_t value)
{
	uint8_t *new = file_of(PAGE, value);

	return mremap(new, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at;
}

static void many(void)
{
	int bad = 0;

	for (uint64_t i = 100; i < 200; i++)
		bad += !remap(v.mem + IN, i) || !sees(i);
	CHECK("a hundred times", !bad);
}

/* A filter that the client sets: what ran directly ends before it stands, and does not come back. */
static void filtered(int uffd)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { 1, &allow };

	munmap(v.mem + OUT, PAGE);
	CHECK("the VM stops", end_of_run() == EFAULT);
	close(uffd);
	make();
	*(uint64_t *)(v.mem + IN) = 6;
	again();
	CHECK("another one runs", sees(6));
	printf("# user code runs %s\n", is_direct() ? "directly" : "translated");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		exit(99);
	CHECK("under a filter no stub is left", !is_direct());
	CHECK("and none is made", sees(6) && !is_direct());
}

int main(void)
{
	void *in, *rw = NULL;
	pthread_t t;
	int fd, uffd;

	setenv("KUSE_HYP_ENGINE", "direct", 1);
	make();
	in = v.mem + IN;
	*(uint64_t *)in = 1;
	pthread_create(&t, NULL, runs, NULL);
	CHECK("the guest copies", sees(1));
	printf("# user code runs %s\n", is_direct() ? "directly" : "translated");
	*(uint64_t *)in = 2;
	CHECK("a store of the client's", sees(2));

	fd = memfd_create("over", MFD_CLOEXEC);
	if (ftruncate(fd, PAGE) || pwrite(fd, &(uint64_t){ 3 }, 8, 0) != 8)
		return 99;
	CHECK("mmap over it",
	      mmap(in, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == in && sees(3));
	CHECK("mremap over it", remap(in, 4) && sees(4));
	CHECK("anonymous memory over it",
	      mmap(in, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == in &&
		      sees(0));
	CHECK("mmap by number", syscall(SYS_mmap, in, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
					fd, 0) == (long)in &&
					sees(3));
	many();
	mmap(in, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

	CHECK("mprotect: read only memory cannot be stored to",
	      !mprotect(v.mem + OUT, PAGE, PROT_READ) && end_of_run() == EFAULT);
	CHECK("and can again", !mprotect(v.mem + OUT, PAGE, PROT_READ | PROT_WRITE) && (again(), sees(3)));
	CHECK("munmap", !munmap(in, PAGE) && end_of_run() == EFAULT);
	CHECK("mapped again", remap(in, 5) && (again(), sees(5)));

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd >= 0) {
		struct uffdio_api api = { .api = UFFD_API };
		struct uffdio_register reg = { .range = { (uintptr_t)v.mem + 0x8000, PAGE },
					       .mode = UFFDIO_REGISTER_MODE_MISSING };

		rw = ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg) ? NULL : v.mem;
	}
	if (rw)
		CHECK("memory with userfaultfd", sees(5));
	filtered(uffd);
	done();
	fflush(stdout);
	_exit(failures ? 1 : 0); /* the vCPU's thread runs on */
}
