/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaving the guest costs. A plain KVM client: run it under `kuse exec` for KUSE, alone for the
 * host's KVM.
 *
 *	build/kuse exec build/bench_exit [--json | --check]
 *
 * A table in nanoseconds; one JSON object; or the table, and status 1 where a figure is over its limit:
 * 2000 ns for a round trip to user space, 300 ns for an exit that KVM answers. The time is this thread's
 * CPU time, so that other programs on the machine disturb little.
 *
 * "user space": the guest's OUT ends KVM_RUN; the client calls KVM_RUN again at once. "in kernel": a loop of
 * one instruction that KVM answers itself, LOOPS times between two OUTs; what an empty loop takes is taken
 * off. Each figure is the median of ROUNDS.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define BASE 0x1000
#define LOOPS 20000
#define ROUNDS 15
#define USER_LIMIT 2000.0
#define KERNEL_LIMIT 300.0

struct vm {
	int vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c) || ioctl(vcpu, KVM_SET_CPUID2, c))
		fail("KVM_SET_CPUID2");
	free(c);
}

/* 32-bit flat protected mode without paging. */
static void set_mode(int vcpu)
{
	struct kvm_segment code = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_sregs s;

	data.type = 3;
	data.selector = 16;
	if (ioctl(vcpu, KVM_GET_SREGS, &s))
		fail("KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 |= 1;
	if (ioctl(vcpu, KVM_SET_SREGS, &s))
		fail("KVM_SET_SREGS");
}

static void make(struct vm *v)
{
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = BASE, .memory_size = 4096 };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0), size;

	if (kvm < 0 || vm < 0)
		fail("/dev/kvm");
	v->mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (uintptr_t)v->mem;
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) || ioctl(vm, KVM_CREATE_IRQCHIP, 0) ||
	    (v->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) < 0)
		fail("KVM_CREATE_VCPU");
	v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	set_cpuid(kvm, v->vcpu);
	set_mode(v->vcpu);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run_to_out(struct vm *v)
{
	if (ioctl(v->vcpu, KVM_RUN, 0) || v->run->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "exit reason %u\n", v->run->exit_reason);
		fail("KVM_RUN");
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The guest's code from its start; `per` exits in `runs` calls of KVM_RUN. Nanoseconds for one. */
static double measure(struct vm *v, const uint8_t *code, size_t len, int runs)
{
	struct kvm_regs regs = { .rip = BASE, .rflags = 2 };
	double t[ROUNDS];

	memcpy(v->mem, code, len);
	if (ioctl(v->vcpu, KVM_SET_REGS, &regs))
		fail("KVM_SET_REGS");
	run_to_out(v);
	for (int round = 0; round < ROUNDS; round++) {
		double start = now();

		for (int i = 0; i < runs; i++)
			run_to_out(v);
		t[round] = (now() - start) / LOOPS;
	}
	qsort(t, ROUNDS, sizeof(t[0]), by_value);
	return t[ROUNDS / 2];
}

/* mov edi, LOOPS; 1: <insn>; dec edi; jnz 1b; out 0x10, al; jmp 0 */
static double in_kernel(struct vm *v, const void *insn, size_t len)
{
	uint8_t code[64] = { 0xbf, LOOPS & 0xff, LOOPS >> 8, 0, 0 };
	const uint8_t tail[] = { 0x4f, 0x75, (uint8_t)-(int)(len + 3), 0xe6, 0x10, 0xeb, (uint8_t)-(int)(len + 12) };

	memcpy(code + 5, insn, len);
	memcpy(code + 5 + len, tail, sizeof(tail));
	return measure(v, code, 5 + len + sizeof(tail), 1);
}

#define CASE(name, exits, ...) { name, exits, { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }) }
static const struct {
	const char *name;
	unsigned exits; /* of one turn of the loop */
	uint8_t insn[24];
	size_t len;
} cases[] = {
	CASE("cpuid", 1, 0x31, 0xc0, 0x0f, 0xa2),                               /* xor eax, eax; cpuid */
	CASE("hypercall", 1, 0xb8, 0x63, 0, 0, 0, 0x0f, 0x01, 0xd9),            /* mov eax, 99 (none such); vmmcall */
	CASE("rdmsr", 1, 0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32),                      /* mov ecx, APIC_BASE; rdmsr */
	CASE("rdmsr, wrmsr", 2, 0xb9, 0x77, 0x02, 0, 0, 0x0f, 0x32, 0x0f, 0x30),       /* mov ecx, PAT; rdmsr; wrmsr */
	CASE("port in kernel", 1, 0xe4, 0x21),                                  /* in al, 0x21: the PIC */
	CASE("rdtsc", 1, 0x0f, 0x31),
};

int main(int argc, char **argv)
{
	static const uint8_t out[] = { 0xe6, 0x10, 0xeb, 0xfc };
	bool json = argc > 1 && !strcmp(argv[1], "--json"), over = false;
	const char *format = json ? ", \"%s\": %.0f" : "%-16s %8.0f ns\n";
	double base, ns;
	struct vm v;

	make(&v);
	ns = measure(&v, out, sizeof(out), LOOPS);
	over = ns > USER_LIMIT;
	printf(json ? "{\"%s\": %.0f" : format, "pio to user", ns);
	base = in_kernel(&v, "\x90", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ns = (in_kernel(&v, cases[i].insn, cases[i].len) - base) / cases[i].exits;
		over |= ns > KERNEL_LIMIT;
		printf(format, cases[i].name, ns);
	}
	if (json)
		puts("}");
	return argc > 1 && !strcmp(argv[1], "--check") && over;
}
