/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small client in C, as such programs are: no irqchip, one slot, one vCPU in 32-bit protected mode without
 * paging, which answers MMIO and PIO. The guest reads an MMIO register, doubles it, writes it back, adds what
 * a port says, puts the sum out to another port and halts. Prints `tiny: ok`.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MMIO 0xd0000000u

static const uint8_t code[] = {
	0xa1, 0x00, 0x00, 0x00, 0xd0, /* mov eax, [MMIO] */
	0x01, 0xc0,		      /* add eax, eax */
	0xa3, 0x04, 0x00, 0x00, 0xd0, /* mov [MMIO + 4], eax */
	0x89, 0xc3,		      /* mov ebx, eax */
	0xe5, 0x20,		      /* in eax, 0x20 */
	0x01, 0xd8,		      /* add eax, ebx */
	0xe7, 0x24,		      /* out 0x24, eax */
	0xf4,			      /* hlt */
};

static int check(int value, const char *what)
{
	if (value < 0) {
		perror(what);
		exit(1);
	}
	return value;
}

static void set_state(int vcpu)
{
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs sregs;

	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = (struct kvm_segment){.limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
	sregs.ds = (struct kvm_segment){.limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	sregs.ss = sregs.es = sregs.ds;
	sregs.cr0 |= 1;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* Answers one exit; returns the value put out to port 0x24, or -1. */
static int64_t answer(struct kvm_run *run)
{
	uint32_t *data = (uint32_t *)((char *)run + run->io.data_offset);
	static const uint32_t reg = 21, port = 1000;

	if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write && run->mmio.phys_addr == MMIO)
		memcpy(run->mmio.data, &reg, 4);
	else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == MMIO + 4 &&
		 run->mmio.data[0] == 42)
		return -1;
	else if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN &&
		 run->io.port == 0x20)
		*data = port;
	else if (run->exit_reason == KVM_EXIT_IO && run->io.port == 0x24)
		return *data;
	else {
		printf("tiny: unexpected exit %u\n", run->exit_reason);
		exit(1);
	}
	return -1;
}

int main(void)
{
	int kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm"),
	    vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	char *memory = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.memory_size = 0x10000, .userspace_addr = (uintptr_t)memory};
	int64_t got = -1;
	struct kvm_run *run;
	int vcpu;

	memcpy(memory + 0x1000, code, sizeof(code));
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size"), PROT_READ | PROT_WRITE,
		   MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		check(-1, "mmap");
	set_state(vcpu);
	for (;;) {
		int64_t value;

		check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_HLT)
			break;
		value = answer(run);
		if (value >= 0)
			got = value;
	}
	puts(got == 1042 ? "tiny: ok" : "tiny: wrong sum");
	return got != 1042;
}
