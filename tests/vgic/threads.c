/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers under real threads, on virt/'s own requests and routing: vCPU threads that take,
 * handle and end
 * interrupts and sleep when there is none, and devices that wait for each of theirs to be handled, while the
 * handlers send the
 * interrupts on to other vCPUs. A lost interrupt or wake-up is a device that waits for ever: `alarm` ends
 * the test. Built with
 * ThreadSanitizer it also checks what vgic.c says about its locking.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "tests/vgic/fake.h"

#define NR_VCPUS 3
#define ROUNDS 1500
#define SGI_RING 1
#define PPI 27
#define SPI_EDGE 40
#define SPI_LEVEL 41
#define LPI 8192
#define DEVICE 8
#define TIME_LIMIT 100

#define QUEUE (FAKE_RAM_BASE + 0x10000)
#define PROP (FAKE_RAM_BASE + 0x40000)
#define PEND(n) (FAKE_RAM_BASE + 0x60000 + (n) * 0x10000)

static struct kvm *kvm;
static bool stop;
static u32 hops, edges, levels, lpis, ppis[NR_VCPUS];

void kvm_arch_vcpu_blocking(struct kvm_vcpu *vcpu)
{
}

bool kvm_arch_vcpu_runnable(struct kvm_vcpu *vcpu)
{
	return kvm_vgic_vcpu_pending_irq(vcpu) || __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

void hyp_cpu_kick(struct hyp_cpu *cpu)
{
}

/* ---- the guest ---- */

static void command(u64 w0, u64 w1, u64 w2)
{
	u64 at = r64(GITS + 0x88), cmd[4] = { w0, w1, w2, 0 };

	memcpy(ram(QUEUE + at), cmd, sizeof(cmd));
	w64(GITS + 0x88, (at + 32) % 4096);
}

/* Every interrupt goes to the next vCPU the next time. */
static void handle(u32 intid, u32 self)
{
	u32 next = (self + 1) % NR_VCPUS;

	switch (intid) {
	case SGI_RING:
		if (__atomic_add_fetch(&hops, 1, __ATOMIC_SEQ_CST) < ROUNDS)
			msr(ICC_SGI1R, SGI_RING << 24 | 1u << next);
		break;
	case PPI:
		kvm_vgic_inject_irq(kvm, kvm->vcpus[self], PPI, false, NULL);
		__atomic_add_fetch(&ppis[self], 1, __ATOMIC_SEQ_CST);
		break;
	case SPI_EDGE:
		w64(GICD + 0x6000 + 8 * SPI_EDGE, next);
		__atomic_add_fetch(&edges, 1, __ATOMIC_SEQ_CST);
		break;
	case SPI_LEVEL:
		kvm_vgic_inject_irq(kvm, NULL, SPI_LEVEL, false, NULL); /* the driver quiets the device */
		w64(GICD + 0x6000 + 8 * SPI_LEVEL, next);
		__atomic_add_fetch(&levels, 1, __ATOMIC_SEQ_CST);
		break;
	case LPI:
		command(0x01 | (u64)DEVICE << 32, 0, next); /* MOVI */
		__atomic_add_fetch(&lpis, 1, __ATOMIC_SEQ_CST);
		break;
	default:
		fail();
	}
}

static void *vcpu_thread(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	on(vcpu);
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		u32 intid;

		kvm_check_request(KVM_REQ_IRQ_PENDING, vcpu);
		kvm_vgic_flush_hwstate(vcpu);
		if (!hyp_arm64_state(vcpu->hyp)->vi) {
			kvm_vcpu_block(vcpu);
			continue;
		}
		intid = (u32)mrs(ICC_IAR1);
		if (intid == 1023)
			continue;
		handle(intid, (u32)vcpu->vcpu_id);
		msr(ICC_EOIR1, intid);
	}
	return NULL;
}

static void guest_set_up(void)
{
	memset(ram(PROP), 0xa1, 0x10000);
	for (u32 i = 0; i < NR_VCPUS; i++) {
		on(kvm->vcpus[i]);
		w64(GICR(i) + 0x70, PROP | 15);
		w64(GICR(i) + 0x78, PEND(i));
		w32(GICR(i), 1);
		w32(GICR_SGI(i) + 0x100, 1u << PPI);
		msr(ICC_PMR, 0xf8);
		msr(ICC_IGRPEN1, 1);
	}
	w32(GICD + 0xc08, 2u << (SPI_EDGE % 16 * 2));
	w32(GICD + 0x104, 1u << SPI_EDGE % 32 | 1u << SPI_LEVEL % 32);
	w64(GITS + 0x80, 1ull << 63 | QUEUE);
	w64(GITS + 0x100, 1ull << 63 | (FAKE_RAM_BASE + 0x20000));
	w64(GITS + 0x108, 1ull << 63 | (FAKE_RAM_BASE + 0x30000));
	w32(GITS, 1);
	for (u32 i = 0; i < NR_VCPUS; i++)
		command(0x09, 0, 1ull << 63 | i << 16 | i); /* MAPC */
	command(0x08 | (u64)DEVICE << 32, 4, 1ull << 63 | (FAKE_RAM_BASE + 0xa0000)); /* MAPD */
	command(0x0a | (u64)DEVICE << 32, (u64)LPI << 32, 0); /* MAPTI */
	on(NULL);
}

/* ---- devices ---- */

static void wait_for(u32 *count, u32 n)
{
	while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < n)
		sched_yield();
}

static void *edge_device(void *arg)
{
	for (u32 n = 1; n <= ROUNDS; n++) {
		kvm_set_irq(kvm, 0, SPI_EDGE - 32, 1, false);
		kvm_set_irq(kvm, 0, SPI_EDGE - 32, 0, false);
		wait_for(&edges, n);
	}
	return NULL;
}

/* The line may still be high when the handler of the last one ends it: at least as many as raised. */
static void *level_device(void *arg)
{
	for (u32 n = 1; n <= ROUNDS; n++) {
		u32 before = __atomic_load_n(&levels, __ATOMIC_SEQ_CST);

		kvm_set_irq(kvm, 0, SPI_LEVEL - 32, 1, false);
		wait_for(&levels, before + 1);
	}
	return NULL;
}

static void *msi_device(void *arg)
{
	struct kvm_msi msi = { .address_lo = GITS + 0x10040, .devid = DEVICE, .flags = KVM_MSI_VALID_DEVID };

	for (u32 n = 1; n <= ROUNDS; n++) {
		kvm_send_userspace_msi(kvm, &msi);
		wait_for(&lpis, n);
	}
	return NULL;
}

static void *timer(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	for (u32 n = 1; n <= ROUNDS; n++) {
		kvm_vgic_inject_irq(kvm, vcpu, PPI, true, NULL);
		wait_for(&ppis[vcpu->vcpu_id], n);
	}
	return NULL;
}

static void start(pthread_t *t, void *(*fn)(void *), void *arg)
{
	assert_int_equal(pthread_create(t, NULL, fn, arg), 0);
}

static void test_threads(void **state)
{
	pthread_t vcpus[NR_VCPUS], devices[3 + NR_VCPUS];
	struct kvm_device *its;
	int err;

	alarm(TIME_LIMIT);
	kvm = fake_gic_vm(NR_VCPUS, KVM_DEV_TYPE_ARM_VGIC_V3);
	its = fake_device(kvm, KVM_DEV_TYPE_ARM_VGIC_ITS, &err);
	assert_int_equal(err, 0);
	assert_int_equal(dev_set(its, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS), 0);
	guest_set_up();
	for (u32 i = 0; i < NR_VCPUS; i++) {
		start(&vcpus[i], vcpu_thread, kvm->vcpus[i]);
		start(&devices[3 + i], timer, kvm->vcpus[i]);
	}
	start(&devices[0], edge_device, NULL);
	start(&devices[1], level_device, NULL);
	start(&devices[2], msi_device, NULL);
	vgic_irq_make_pending(kvm, vgic_get_irq(kvm, kvm->vcpus[0], SGI_RING));
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		pthread_join(devices[i], NULL);
	wait_for(&hops, ROUNDS);
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < NR_VCPUS; i++) {
		kvm_vcpu_kick(kvm->vcpus[i]);
		pthread_join(vcpus[i], NULL);
	}
	assert_int_equal(edges, ROUNDS);
	assert_int_equal(lpis, ROUNDS);
	assert_true(levels >= ROUNDS);
	assert_true(fake.acks[SPI_LEVEL - 32] >= ROUNDS);
	fake_vm_free(kvm);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	return cmocka_run_group_tests_name("vgic-threads", tests, NULL, NULL);
}
