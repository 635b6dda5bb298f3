/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_run [--cpus N] [--expect-shutdown] [--timeout S] [--engine E] guest.elf
 *
 * The least a client needs to run one of tests/guests: libkuse through virt/sys.h, a VM with the
 * in-kernel interrupt controllers and 64 MiB, the ELF by its PVH entry, a serial port and the debug
 * exit port. Exit status: what the guest wrote to port 0xf4; 0 for a shutdown that was expected;
 * 120 and up where the run itself failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/guest_elf.h"
#include "virt/sys.h"

#define RAM_SIZE (64ul << 20)
#define START_INFO 0x6000
#define MAX_CPUS 4

static struct {
	int kvm, vm, cpus;
	bool expect_shutdown;
	u8 *ram;
	u32 told; /* offset in ram that the guest named */
	u32 entry;
} g = { .cpus = 1 };

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "guest_run: %s: %s\n", what, strerror(errno));
	_exit(120);
}

static int check(int ret, const char *what)
{
	if (ret < 0)
		fail(what);
	return ret;
}

/* ---- the machine --------------------------------------------------------------------------------- */

static void make_vm(void)
{
	struct kvm_userspace_memory_region ram = { .memory_size = RAM_SIZE };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY }; /* port 0x61 in the kernel */

	g.kvm = check(kuse_open(O_RDWR | O_CLOEXEC), "/dev/kvm");
	if (kuse_ioctl(g.kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		fail("API version");
	g.vm = check(kuse_ioctl(g.kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	g.ram = guest_ram(RAM_SIZE);
	ram.userspace_addr = (u64)(uintptr_t)g.ram;
	check(kuse_ioctl(g.vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	check(kuse_ioctl(g.vm, KVM_CREATE_PIT2, (unsigned long)&pit), "KVM_CREATE_PIT2");
	check(kuse_ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&ram),
	      "KVM_SET_USER_MEMORY_REGION");
}

static void set_cpuid(int fd, u32 id)
{
	static u8 buf[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
	struct kvm_cpuid2 *c = (void *)buf;

	c->nent = 256;
	check(kuse_ioctl(g.kvm, KVM_GET_SUPPORTED_CPUID, (unsigned long)c), "KVM_GET_SUPPORTED_CPUID");
	for (u32 i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffffff) | id << 24;
			e->ecx |= 1u << 31;
			if (kuse_ioctl(g.kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				e->ecx |= 1u << 24;
		}
		if (e->function == 0xb || e->function == 0x1f)
			e->edx = id;
	}
	check(kuse_ioctl(fd, KVM_SET_CPUID2, (unsigned long)c), "KVM_SET_CPUID2");
}

static struct kvm_segment flat(u16 sel, u8 type)
{
	return (struct kvm_segment){ .limit = 0xffffffff, .selector = sel, .type = type, .present = 1,
				     .db = 1, .s = 1, .g = 1 };
}

/* PVH: 32-bit protected mode, flat, no paging, EBX -> start info. */
static void set_registers(int fd)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = g.entry, .rbx = START_INFO, .rflags = 2 };

	check(kuse_ioctl(fd, KVM_GET_SREGS, (unsigned long)&s), "KVM_GET_SREGS");
	s.cs = flat(0x10, 11);
	s.ds = s.es = s.ss = s.fs = s.gs = flat(0x18, 3);
	s.tr = (struct kvm_segment){ .limit = 0x67, .type = 11, .present = 1 };
	s.cr0 = (s.cr0 | 1) & ~0x80000000ull;
	check(kuse_ioctl(fd, KVM_SET_SREGS, (unsigned long)&s), "KVM_SET_SREGS");
	check(kuse_ioctl(fd, KVM_SET_REGS, (unsigned long)&r), "KVM_SET_REGS");
}

/* ---- running ----------------------------------------------------------------------------------------- */

static void io(struct kvm_run *run)
{
	u8 *d = (u8 *)run + run->io.data_offset;
	u32 v = 0;

	memcpy(&v, d, run->io.size);
	if (run->io.direction == KVM_EXIT_IO_OUT) {
		if (run->io.port == 0x3f8)
			for (u32 i = 0; i < run->io.count; i++)
				putchar(d[i * run->io.size]);
		if (run->io.port == 0xf8)
			g.told = v % (RAM_SIZE - 4);
		if (run->io.port == 0xf9)
			memcpy(g.ram + g.told, &v, 4); /* as a device's DMA */
		if (run->io.port == 0xf4) {
			fflush(stdout);
			_exit(g.expect_shutdown ? 121 : v);
		}
		return;
	}
	memset(d, run->io.port == 0x3fd ? 0x60 : 0xff, run->io.size * run->io.count);
}

static void dump(int fd)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (kuse_ioctl(fd, KVM_GET_REGS, (unsigned long)&r) ||
	    kuse_ioctl(fd, KVM_GET_SREGS, (unsigned long)&s))
		return;
	fprintf(stderr, "rip %llx cs %x rsp %llx rflags %llx cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx\n",
		r.rip, s.cs.selector, r.rsp, r.rflags, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
	fprintf(stderr, "rax %llx rcx %llx rdx %llx rbx %llx rbp %llx rsi %llx rdi %llx\n", r.rax, r.rcx,
		r.rdx, r.rbx, r.rbp, r.rsi, r.rdi);
}

static _Noreturn void stopped(int fd, struct kvm_run *run)
{
	fflush(stdout);
	if (run->exit_reason == KVM_EXIT_SHUTDOWN && g.expect_shutdown)
		_exit(0);
	fprintf(stderr, "guest_run: stopped: exit reason %u", run->exit_reason);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		fprintf(stderr, ", internal error %u", run->internal.suberror);
	fprintf(stderr, "\n");
	dump(fd);
	_exit(122);
}

struct vcpu {
	int fd;
	struct kvm_run *run;
};

/* All of them before the first one runs: a STARTUP for a vCPU that is not there is lost. */
static void make_vcpu(struct vcpu *v, u32 id)
{
	int size = check(kuse_ioctl(g.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");

	v->fd = check(kuse_ioctl(g.vm, KVM_CREATE_VCPU, id), "KVM_CREATE_VCPU");
	v->run = kuse_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		fail("mmap of the vCPU");
	set_cpuid(v->fd, id);
	if (!id)
		set_registers(v->fd);
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	struct kvm_run *run = v->run;
	int fd = v->fd;

	for (;;) {
		if (kuse_ioctl(fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue; /* EAGAIN: an application processor before its STARTUP */
			dump(fd);
			fail("KVM_RUN");
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			io(run);
			break;
		case KVM_EXIT_MMIO:
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_INTR:
			break;
		default:
			stopped(fd, run);
		}
	}
	return NULL;
}

static void on_alarm(int sig)
{
	static const char text[] = "\nguest_run: out of time\n";

	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(124);
	_exit(123);
}

static const char *parse(int argc, char **argv)
{
	static const struct option opt[] = { { "cpus", 1, 0, 'c' }, { "expect-shutdown", 0, 0, 'x' },
					     { "timeout", 1, 0, 't' }, { "engine", 1, 0, 'e' }, { 0 } };
	int k, seconds = 20;

	while ((k = getopt_long(argc, argv, "", opt, NULL)) != -1) {
		switch (k) {
		case 'c': g.cpus = MIN(atoi(optarg), MAX_CPUS); break;
		case 'x': g.expect_shutdown = true; break;
		case 't': seconds = atoi(optarg); break;
		case 'e': setenv("KUSE_HYP_ENGINE", optarg, 1); break;
		default: exit(120);
		}
	}
	if (optind >= argc)
		exit(120);
	signal(SIGALRM, on_alarm);
	alarm(seconds);
	return argv[optind];
}

int main(int argc, char **argv)
{
	static struct vcpu vcpu[MAX_CPUS];
	const char *path = parse(argc, argv);
	pthread_t t;

	make_vm();
	g.entry = guest_elf_load(path, g.ram, RAM_SIZE);
	for (int i = 0; i < g.cpus; i++)
		make_vcpu(&vcpu[i], i);
	for (int i = 1; i < g.cpus; i++)
		if (pthread_create(&t, NULL, run_vcpu, &vcpu[i]))
			fail("thread");
	run_vcpu(&vcpu[0]);
	return 0;
}
