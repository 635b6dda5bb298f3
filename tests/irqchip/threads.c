/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers under real threads, on virt/'s own requests, timers and routing: vCPU
 * threads that take, handle and end interrupts and sleep when there is none, devices that wait for each of
 * theirs to be handled. A lost interrupt or wake-up is a device that waits for ever: `alarm` ends the test.
 * Built with ThreadSanitizer it also checks what the files say about their locking (docs/locking.md).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/x86/i8254.h"
#include "arch/x86/i8259.h"
#include "arch/x86/ioapic.h"
#include "arch/x86/irq_comm.h"
#include "arch/x86/lapic.h"

#define NR_VCPUS 3
#ifndef ROUNDS
#define ROUNDS 4000
#endif
#define VEC_RING 0x41 /* IPI handed from vCPU to vCPU */
#define VEC_LEVEL 0x52
#define VEC_MSI 0x63
#define VEC_PIT 0x30
#define VEC_TIMER 0xec
#define GSI_LEVEL 10
#define TIME_LIMIT 60

static struct kvm *kvm;
static struct x86_state state;
static bool stop;
static u32 handled[NR_VCPUS][256];
static u32 hops;

/* ---- what this part of arch/x86 and hyp/ offer to virt/ -------------------------------------- */

void kvm_arch_vcpu_blocking(struct kvm_vcpu *vcpu)
{
}

bool kvm_arch_no_poll(struct kvm_vcpu *vcpu)
{
	return false;
}

bool kvm_arch_vcpu_runnable(struct kvm_vcpu *vcpu)
{
	return kvm_cpu_has_interrupt(vcpu) || kvm_cpu_has_pending_timer(vcpu) ||
	       __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

void hyp_cpu_kick(struct hyp_cpu *cpu)
{
}

struct x86_state *hyp_x86_state(struct hyp_cpu *cpu)
{
	return &state;
}

void kvm_inject_nmi(struct kvm_vcpu *vcpu)
{
}

void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init_event)
{
}

void kvm_vcpu_deliver_sipi_vector(struct kvm_vcpu *vcpu, u8 vector)
{
}

u64 kvm_read_l1_tsc(struct kvm_vcpu *vcpu)
{
	return kvm_clock_monotonic_ns();
}

u64 kvm_guest_tsc_to_monotonic(struct kvm_vcpu *vcpu, u64 tsc)
{
	return tsc;
}

int kvm_read_guest(struct kvm *k, gpa_t gpa, void *data, unsigned long len)
{
	return -EFAULT;
}

int kvm_write_guest(struct kvm *k, gpa_t gpa, const void *data, unsigned long len)
{
	return -EFAULT;
}

int kvm_io_bus_register_dev(struct kvm *k, enum kvm_bus bus, gpa_t addr, int len, struct kvm_io_device *dev)
{
	return 0;
}

int kvm_io_bus_unregister_dev(struct kvm *k, enum kvm_bus bus, struct kvm_io_device *dev)
{
	return 0;
}

/* Only KVM_SET_GSI_ROUTING's own entry point uses it. */
int copy_from_client(void *dst, unsigned long src, size_t len)
{
	return -EFAULT;
}

/* ---- the guest ------------------------------------------------------------------------------- */

static void apic_write(struct kvm_vcpu *vcpu, u32 reg, u64 val)
{
	kvm_x2apic_msr_write(vcpu, APIC_BASE_MSR + reg / 16, val);
}

static void handle(struct kvm_vcpu *vcpu, int vector)
{
	u32 next = (vcpu->vcpu_id + 1) % NR_VCPUS;

	if (vector == VEC_LEVEL)
		kvm_set_irq(kvm, 0, GSI_LEVEL, 0, false); /* the driver quiets the device */
	if (vector == VEC_RING && __atomic_add_fetch(&hops, 1, __ATOMIC_SEQ_CST) < ROUNDS)
		apic_write(vcpu, APIC_ICR, (u64)next << 32 | VEC_RING | APIC_INT_ASSERT);
	if (vector == VEC_TIMER)
		kvm_set_lapic_tscdeadline_msr(vcpu, kvm_read_l1_tsc(vcpu) + 50000);
	__atomic_add_fetch(&handled[vcpu->vcpu_id][vector], 1, __ATOMIC_SEQ_CST);
	apic_write(vcpu, APIC_EOI, 0);
}

static void *vcpu_thread(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	kvm_set_lapic_tscdeadline_msr(vcpu, 1);
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		int vector;

		kvm_check_request(KVM_REQ_UNBLOCK, vcpu);
		kvm_inject_pending_timer_irqs(vcpu);
		kvm_check_request(KVM_REQ_EVENT, vcpu);
		vector = kvm_cpu_get_interrupt(vcpu);
		if (vector >= 0)
			handle(vcpu, vector);
		else
			kvm_vcpu_halt(vcpu);
	}
	return NULL;
}

/* ---- devices: raise, wait until handled ------------------------------------------------------ */

static u32 handled_anywhere(u8 vector)
{
	u32 n = 0;

	for (unsigned i = 0; i < NR_VCPUS; i++)
		n += __atomic_load_n(&handled[i][vector], __ATOMIC_SEQ_CST);
	return n;
}

static void wait_handled(u8 vector, u32 n)
{
	while (handled_anywhere(vector) < n)
		usleep(1);
}

static void *level_device(void *arg)
{
	for (u32 i = 1; i <= ROUNDS; i++) {
		kvm_set_irq(kvm, 0, GSI_LEVEL, 1, false);
		wait_handled(VEC_LEVEL, i);
	}
	return NULL;
}

static void *msi_device(void *arg)
{
	struct kvm_msi msi = { .data = VEC_MSI };

	for (u32 i = 1; i <= ROUNDS; i++) {
		msi.address_lo = 0xfee00000 | (i % NR_VCPUS) << 12;
		while (kvm_send_userspace_msi(kvm, &msi) != 1) /* the map may be away for a moment */
			;
		wait_handled(VEC_MSI, i);
	}
	return NULL;
}

/* Somebody keeps rebuilding the APIC map. */
static void *map_churner(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		kvm_apic_map_dirty(kvm);
		kvm_recalculate_apic_map(kvm);
		usleep(20);
	}
	return NULL;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void make_vcpu(int id)
{
	struct kvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));

	vcpu->stat = calloc(1, sizeof(*vcpu->stat));
	vcpu->kvm = kvm;
	vcpu->vcpu_id = vcpu->vcpu_idx = id;
	vcpu->run = calloc(1, sizeof(*vcpu->run));
	vcpu->arch.pending_external_vector = -1;
	vcpu->arch.guest_has_x2apic = vcpu->arch.guest_has_tsc_deadline = true;
	assert_int_equal(kvm_create_lapic(vcpu), 0);
	kvm_lapic_reset(vcpu, false);
	kvm->vcpus[id] = vcpu;
	__atomic_store_n(&kvm->online_vcpus, id + 1, __ATOMIC_RELEASE);
	kvm_set_apic_base(vcpu, vcpu->arch.apic_base | X2APIC_ENABLE, false);
	apic_write(vcpu, APIC_SPIV, 0x1ff);
	apic_write(vcpu, APIC_LVT0, APIC_LVT_MASKED);
	apic_write(vcpu, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VEC_TIMER);
}

static void set_redirection(unsigned pin, u64 rte)
{
	struct kvm_ioapic_state s;

	kvm_get_ioapic(kvm, &s);
	s.redirtbl[pin].bits = rte;
	kvm_set_ioapic(kvm, &s);
}

static void make_vm(void)
{
	struct kvm_pit_state2 pit = { 0 };

	kvm = calloc(1, sizeof(*kvm));
	state.maxphyaddr = 46;
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_mutex_init(&kvm->irq_lock, NULL);
	pthread_mutex_init(&kvm->arch.apic_map_lock, NULL);
	init_srcu_struct(&kvm->irq_srcu);
	list_init(&kvm->irq_ack_notifier_list);
	kvm->arch.irqchip_mode = KVM_IRQCHIP_KERNEL;
	assert_int_equal(kvm_timer_service_create(kvm), 0);
	assert_int_equal(kvm_pic_init(kvm), 0);
	assert_int_equal(kvm_ioapic_init(kvm), 0);
	assert_int_equal(kvm_setup_default_irq_routing(kvm), 0);
	for (int i = 0; i < NR_VCPUS; i++)
		make_vcpu(i);
	set_redirection(GSI_LEVEL, 1ull << IOAPIC_RTE_DEST_SHIFT | IOAPIC_RTE_LEVEL | VEC_LEVEL);
	set_redirection(0, 2ull << IOAPIC_RTE_DEST_SHIFT | VEC_PIT);
	kvm->arch.vpit = kvm_create_pit(kvm, 0);
	assert_non_null(kvm->arch.vpit);
	kvm_vm_ioctl_get_pit2(kvm, &pit);
	pit.channels[0].mode = 2;
	pit.channels[0].count = 1193; /* 1 ms */
	kvm_vm_ioctl_set_pit2(kvm, &pit);
}

static void free_vm(void)
{
	kvm_free_pit(kvm);
	for (int i = 0; i < NR_VCPUS; i++) {
		kvm_free_lapic(kvm->vcpus[i]);
		free(kvm->vcpus[i]->run);
		free(kvm->vcpus[i]->stat);
		free(kvm->vcpus[i]);
	}
	kvm_ioapic_destroy(kvm);
	kvm_pic_destroy(kvm);
	kvm_apic_map_destroy(kvm);
	kvm_free_irq_routing(kvm);
	kvm_timer_service_destroy(kvm);
	cleanup_srcu_struct(&kvm->irq_srcu);
	free(kvm);
}

static void test_nothing_is_lost(void **unused)
{
	pthread_t vcpu[NR_VCPUS], dev[2], churner;
	u64 start, elapsed_ms;

	make_vm();
	alarm(TIME_LIMIT);
	start = kvm_clock_monotonic_ns();
	for (int i = 0; i < NR_VCPUS; i++)
		pthread_create(&vcpu[i], NULL, vcpu_thread, kvm->vcpus[i]);
	pthread_create(&churner, NULL, map_churner, NULL);
	pthread_create(&dev[0], NULL, level_device, NULL);
	pthread_create(&dev[1], NULL, msi_device, NULL);
	struct kvm_lapic_irq first = { .vector = VEC_RING, .level = true };
	kvm_apic_set_irq(kvm->vcpus[0], &first);

	pthread_join(dev[0], NULL);
	pthread_join(dev[1], NULL);
	wait_handled(VEC_RING, ROUNDS);
	elapsed_ms = (kvm_clock_monotonic_ns() - start) / 1000000;
	/* The PIT reinjects: whatever the load, (nearly) every tick arrives. */
	while (handled_anywhere(VEC_PIT) + 5 < elapsed_ms)
		usleep(1000);
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < NR_VCPUS; i++) {
		kvm_vcpu_kick(kvm->vcpus[i]);
		pthread_join(vcpu[i], NULL);
	}
	pthread_join(churner, NULL);
	alarm(0);

	assert_int_equal(handled[1][VEC_LEVEL], ROUNDS);
	assert_int_equal(handled_anywhere(VEC_MSI), ROUNDS);
	assert_int_equal(handled_anywhere(VEC_RING), ROUNDS);
	for (int i = 0; i < NR_VCPUS; i++)
		assert_true(handled[i][VEC_TIMER] > 10);
	free_vm();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_lost) };

	return cmocka_run_group_tests_name("irqchip_threads", tests, NULL, NULL);
}

/* No guest code runs here. */
void hyp_as_client_ran(struct hyp_as *as)
{
}
