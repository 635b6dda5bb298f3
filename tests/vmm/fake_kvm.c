/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/vmm/fake_kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FD_SYS = 1000, FD_VM = 1001, FD_VCPU = 2000 };

struct fake_kvm fake;

void fake_reset(void)
{
	fake = (struct fake_kvm){.mp_state = KVM_MP_STATE_HALTED, .rflags = 0x202};
}

static bool fails(void)
{
	if (++fake.calls != fake.fail_at)
		return false;
	errno = fake.fail_errno;
	return true;
}

static int fake_open(void)
{
	if (fails())
		return -1;
	fake.open_fds++;
	return FD_SYS;
}

static int fake_close(int fd)
{
	fake.open_fds--;
	return 0;
}

static void play_access(struct kvm_run *run, const struct fake_exit *e)
{
	if (e->reason == KVM_EXIT_IO) {
		run->io.port = e->addr;
		run->io.size = e->size;
		run->io.count = 1;
		run->io.direction = e->write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
		run->io.data_offset = 4096;
		memcpy((u8 *)run + 4096, &e->value, 8);
	} else {
		run->mmio.phys_addr = e->addr;
		run->mmio.len = e->size;
		run->mmio.is_write = e->write;
		memcpy(run->mmio.data, &e->value, 8);
	}
}

/* What the VMM left as the answer to the exit before this one. */
static void collect_read(struct kvm_run *run)
{
	const struct fake_exit *e = &fake.script[fake.script_at - 1];

	if (e->write || (e->reason != KVM_EXIT_IO && e->reason != KVM_EXIT_MMIO))
		return;
	fake.last_read = 0;
	memcpy(&fake.last_read, e->reason == KVM_EXIT_IO ? (u8 *)run + 4096 : run->mmio.data, e->size);
}

static int sleep_halted(struct kvm_run *run)
{
	while (!__atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST))
		usleep(20000); /* a kick ends it */
	run->exit_reason = KVM_EXIT_INTR;
	errno = EINTR;
	return -1;
}

static int fake_run(int fd)
{
	struct kvm_run *run = fake.run[fd - FD_VCPU];
	const struct fake_exit *e;

	if (fd == FD_VCPU && fake.script_at > 0 && fake.script_at <= fake.script_len)
		collect_read(run);
	if (fd != FD_VCPU || fake.script_at >= fake.script_len)
		return sleep_halted(run);
	e = &fake.script[fake.script_at++];
	errno = e->error;
	if (e->error)
		return -1;
	run->exit_reason = e->reason;
	play_access(run, e);
	return 0;
}

static int put_cpuid(struct kvm_cpuid2 *cpuid)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{.function = 0, .eax = 0xb},
		{.function = 1, .ebx = 0x05000800},
		{.function = 0xb, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
	};

	if (cpuid->nent < ARRAY_SIZE(entries)) {
		errno = E2BIG;
		return -1;
	}
	cpuid->nent = ARRAY_SIZE(entries);
	memcpy(cpuid->entries, entries, sizeof(entries));
	return 0;
}

static int irq_line(const struct kvm_irq_level *line)
{
	fake.irq_level[line->irq] = line->level;
	fake.irq_changes++;
	return 0;
}

static int fake_vcpu(int fd, unsigned long request, void *arg)
{
	bool first = fd == FD_VCPU;

	switch (request) {
	case KVM_RUN:
		return fake_run(fd);
	case KVM_GET_SREGS:
		memset(arg, 0, sizeof(fake.sregs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&fake.sregs, arg, sizeof(fake.sregs));
		return 0;
	case KVM_SET_REGS:
		memcpy(&fake.regs, arg, sizeof(fake.regs));
		return 0;
	case KVM_GET_REGS:
		*(struct kvm_regs *)arg = (struct kvm_regs){.rflags = fake.rflags};
		return 0;
	case KVM_GET_MP_STATE:
		((struct kvm_mp_state *)arg)->mp_state = first ? fake.mp_state : KVM_MP_STATE_UNINITIALIZED;
		return 0;
	case KVM_GET_LAPIC:
		memset(arg, 0, sizeof(struct kvm_lapic_state));
		return 0;
	case KVM_SET_MSRS:
		return 1;
	default:
		return 0;
	}
}

static int fake_ioctl(int fd, unsigned long request, unsigned long arg)
{
	if (request != KVM_RUN && fails())
		return -1;
	if (fd >= FD_VCPU)
		return fake_vcpu(fd, request, (void *)arg);
	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return arg == KVM_CAP_MAX_VCPUS ? 64 : 1;
	case KVM_GET_VCPU_MMAP_SIZE:
		return 8192;
	case KVM_GET_SUPPORTED_CPUID:
		return put_cpuid((void *)arg);
	case KVM_CREATE_VM:
		fake.open_fds++;
		return FD_VM;
	case KVM_CREATE_VCPU:
		fake.open_fds++;
		return FD_VCPU + arg;
	case KVM_IRQ_LINE:
		return irq_line((void *)arg);
	default:
		return 0;
	}
}

static void *fake_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (fails())
		return MAP_FAILED;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fake.mappings++;
	fake.run[fd - FD_VCPU] = p;
	return p;
}

static int fake_munmap(void *addr, size_t len)
{
	fake.mappings--;
	return munmap(addr, len);
}

static void fake_notify(void)
{
}

const struct accel accel_fake = {
	.name = "fake",
	.title = "the tests' KVM",
	.open = fake_open,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.notify_signal = fake_notify,
};
