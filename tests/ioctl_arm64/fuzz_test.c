/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random ioctls with random arguments, and guests that execute garbage. Nothing is expected but that calls
 * return, with an errno where they fail, and that KVM_RUN never says that KVM itself was at fault. FUZZ_SEED
 * and FUZZ_ROUNDS choose.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include "tests/ioctl_arm64/arm64.h"

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t any(const uint64_t *list, size_t n)
{
	return list[rnd() % n];
}
#define ANY(...)                                            \
	({                                                  \
		static const uint64_t l_[] = { __VA_ARGS__ }; \
		any(l_, sizeof(l_) / sizeof(l_[0]));        \
	})

/* Values that something is compared with, or any. */
static uint64_t value(void)
{
	return rnd() % 3 ? ANY(0, 1, 2, 3, 4, 5, 8, 16, 31, 32, 64, 4095, 4096, 0x10000, 0x08000000,
			       0x080a0000, RAM_BASE, RAM_BASE + MEM_SIZE, 1ull << 36, 1ull << 40, 1ull << 48,
			       ~0ull, 0x80000000, 0xffffffff)
			 : rnd();
}

static uint32_t features; /* of this round's vCPU */
static int gic = -1, its = -1;
static uint64_t buffer[2048];

/* Addresses that stay what they are: the client's own memory must not be written over. */
static void fill_buffer(void)
{
	for (size_t i = 0; i < 64; i++)
		buffer[i] = value();
}

static void one_reg(void)
{
	static const uint64_t families[] = { KVM_REG_ARM_CORE, KVM_REG_ARM_DEMUX, KVM_REG_ARM64_SYSREG, KVM_REG_ARM_FW,
					     KVM_REG_ARM_FW_FEAT_BMAP, KVM_REG_ARM64_SVE };
	struct kvm_one_reg r = { .id = KVM_REG_ARM64 | any(families, 6) | ANY(KVM_REG_SIZE_U32, KVM_REG_SIZE_U64,
									       KVM_REG_SIZE_U128, KVM_REG_SIZE_U8),
				 .addr = rnd() % 20 ? (uintptr_t)buffer : BAD_POINTER };

	r.id |= rnd() % 4 ? rnd() & 0xffff : value();
	if (rnd() % 8 == 0)
		r.id = ANY(KVM_REG_ARM_TIMER_CNT, KVM_REG_ARM_TIMER_CTL, KVM_REG_ARM_TIMER_CVAL,
			   KVM_REG_ARM_PTIMER_CTL);
	fill_buffer();
	IOCTL(m.vcpu, rnd() & 1 ? KVM_GET_ONE_REG : KVM_SET_ONE_REG, &r);
}

static void attribute(void)
{
	struct kvm_device_attr a = { .flags = (uint32_t)(rnd() % 50 == 0), .group = (uint32_t)(rnd() % 12), .attr = value(),
				     .addr = rnd() % 20 ? (uintptr_t)buffer : BAD_POINTER };
	int fd = (int)ANY(0, 1, 2, 3);

	if (rnd() & 1)
		a.attr = rnd() % 8;
	fill_buffer();
	fd = fd == 0 ? m.vm : fd == 1 ? m.vcpu : fd == 2 ? gic : its;
	if (fd >= 0)
		IOCTL(fd, ANY(KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR), &a);
}

static void create_device(void)
{
	struct kvm_create_device cd = { .type = (uint32_t)ANY(KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_VGIC_V2,
							      KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_VFIO, 100) };
	int *place = cd.type == KVM_DEV_TYPE_ARM_VGIC_ITS ? &its : &gic;

	if (*place < 0 && !IOCTL(m.vm, KVM_CREATE_DEVICE, &cd))
		*place = (int)cd.fd;
}

static void some_ioctl(void)
{
	static const unsigned long vcpu_calls[] = { KVM_ARM_VCPU_INIT, KVM_ARM_VCPU_FINALIZE, KVM_GET_MP_STATE,
						    KVM_SET_MP_STATE, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
						    KVM_SET_GUEST_DEBUG };
	static const unsigned long vm_calls[] = { KVM_IRQ_LINE, KVM_SIGNAL_MSI, KVM_ARM_SET_DEVICE_ADDR,
						  KVM_ARM_PREFERRED_TARGET, KVM_ARM_SET_COUNTER_OFFSET,
						  KVM_CREATE_IRQCHIP, KVM_ENABLE_CAP, KVM_CHECK_EXTENSION };

	fill_buffer();
	if (rnd() & 1) {
		unsigned long c = vcpu_calls[rnd() % 7];

		if (c == KVM_ARM_VCPU_INIT && rnd() % 4)
			vcpu_init(m.vcpu, features);
		else
			IOCTL(m.vcpu, c, buffer);
	} else {
		unsigned long c = vm_calls[rnd() % 8];

		IOCTL(m.vm, c, c == KVM_CHECK_EXTENSION ? rnd() % 250 : (uintptr_t)buffer);
	}
}

/* Words of A64 that are likely to be something, or not. */
static uint32_t word(void)
{
	uint32_t w = (uint32_t)rnd();

	switch (rnd() % 9) {
	case 8: /* the performance monitor's registers: op1 3, CRn 9 or 14, CRm 8 and up */
		return 0xd51b0800u | (w & 0x2007ff) | (rnd() & 1 ? 0x9000 : 0xe000);
	case 0: /* system registers and instructions */
		return 0xd5000000u | (w & 0x3fffff);
	case 1: /* loads and stores, by x24..x31 */
		return (0xf9000000u | (w & 0x7ffc1f)) | 24 << 5 | (w & 0xe0);
	case 2:
		return ANY(HVC(0), SMC(0), WFI, 0xd503205f, 0xd69f03e0, BRK(0), 0xd4000001, NOP);
	default:
		return w;
	}
}

static void on_alarm(int sig)
{
	kuse_signal_notify();
}

static void run_garbage(void)
{
	struct itimerval t = { .it_value.tv_usec = 1000, .it_interval.tv_usec = 1000 };
	uint64_t pc;

	if (get_one(m.vcpu, PC, &pc))
		return; /* not initialized, as the VM is dead */
	for (size_t i = 0; i < MEM_SIZE / 4; i += 1 + rnd() % 64)
		((uint32_t *)m.mem)[i] = word();
	for (unsigned x = 0; x < 31; x++)
		set_reg(m.vcpu, X(x), value());
	set_reg(m.vcpu, X(0), ANY(0x84000002, 0xc4000003, 0x84000000, 0x80000001, 0xc4000001, 0x86000001, 0));
	set_reg(m.vcpu, PC, RAM_BASE + rnd() % MEM_SIZE / 4 * 4);
	set_reg(m.vcpu, PSTATE, ANY(0x3c5, 5, 0x3c0, 0, 4));
	if (rnd() & 1)
		set_reg(m.vcpu, SYS(3, 0, 12, 0, 0), RAM_BASE + 0x800 * (rnd() % 512));
	for (int i = 0; i < 4; i++) {
		setitimer(ITIMER_REAL, &t, NULL);
		if (machine_run(&m) && errno == EIO)
			/* the VM is dead: its GIC could not be put where it was told (Linux: kvm_vm_dead) */
			return;
		if (m.run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
			fail_msg("internal error, suberror %u at pc %llx", m.run->internal.suberror,
				 (unsigned long long)m.run->internal.data[0]);
	}
}

/* With its interrupt where there is a GIC; without this a vCPU that has one does not run. */
static void monitor_on(void)
{
	int irq = 23;
	struct kvm_device_attr a = { .group = KVM_ARM_VCPU_PMU_V3_CTRL, .attr = KVM_ARM_VCPU_PMU_V3_IRQ,
				     .addr = (uintptr_t)&irq };

	IOCTL(m.vcpu, KVM_SET_DEVICE_ATTR, &a);
	a.attr = KVM_ARM_VCPU_PMU_V3_INIT;
	ok(IOCTL(m.vcpu, KVM_SET_DEVICE_ATTR, &a));
}

static void round_of(uint64_t s)
{
	seed = s * 0x9e3779b97f4a7c15ull + 1;
	features = FEATURES_PSCI | (rnd() & 1) << KVM_ARM_VCPU_PMU_V3;
	machine_up_with(&m, rnd() & 1 ? IRQCHIP : NO_IRQCHIP, features);
	if (features != FEATURES_PSCI && rnd() % 8)
		monitor_on();
	for (int i = 0; i < 40; i++) {
		switch (rnd() % 5) {
		case 0:
			create_device();
			break;
		case 1:
			attribute();
			break;
		case 2:
			one_reg();
			break;
		case 3:
			some_ioctl();
			break;
		default:
			vcpu_init(m.vcpu, features);
			run_garbage();
		}
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	if (gic >= 0)
		k_close(gic);
	if (its >= 0)
		k_close(its);
	gic = its = -1;
	machine_down(&m);
}

static void nothing_breaks(void **state)
{
	const char *s = getenv("FUZZ_SEED"), *r = getenv("FUZZ_ROUNDS");
	uint64_t first = s ? strtoull(s, NULL, 0) : 1;
	int rounds = r ? atoi(r) : 40;

	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	for (int i = 0; i < rounds; i++) {
		if (r)
			fprintf(stderr, "seed %llu\n", (unsigned long long)first + i);
		round_of(first + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_breaks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
