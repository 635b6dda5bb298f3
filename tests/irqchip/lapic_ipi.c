/* SPDX-License-Identifier: Apache-2.0 */
/* ICR modes and destination forms, by the APIC map and without it; PV IPIs. */
#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

#define FIXED APIC_DM_FIXED
#define ASSERT APIC_INT_ASSERT
#define ID_MDA(id) ((u32)(id) << 24)

static struct kvm *ipi_vm(unsigned nr)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, nr, 0);

	for (unsigned i = 0; i < nr; i++)
		xapic_enable(kvm->vcpus[i]);
	return kvm;
}

/* Bit i: vCPU i has the vector in IRR; takes it away again. */
static u32 takers(struct kvm *kvm, u8 vector)
{
	u32 mask = 0;

	for (u32 i = 0; i < kvm->online_vcpus; i++) {
		struct kvm_lapic *apic = kvm->vcpus[i]->arch.apic;

		if (!lapic_test_vector(apic, APIC_IRR, vector))
			continue;
		mask |= 1u << i;
		*lapic_vector_word(apic, APIC_IRR, vector) &= ~(1u << vector % 32);
	}
	return mask;
}

/* Every message is sent by the APIC map, and once more with every APIC asked: one answer. */
static u32 both_ways(struct kvm *kvm, unsigned from, u8 vector, u32 by_map)
{
	struct kvm_lapic *apic = kvm->vcpus[from]->arch.apic;

	kvm_apic_map_dirty(kvm);
	kvm_apic_send_ipi(apic, kvm_lapic_get_reg(apic, APIC_ICR), kvm_lapic_get_reg(apic, APIC_ICR2));
	assert_int_equal(takers(kvm, vector), by_map);
	kvm_recalculate_apic_map(kvm);
	return by_map;
}

static u32 ipi(struct kvm *kvm, unsigned from, u32 icr2, u32 icr)
{
	xapic_write(kvm->vcpus[from], APIC_ICR2, icr2);
	xapic_write(kvm->vcpus[from], APIC_ICR, icr);
	return both_ways(kvm, from, icr, takers(kvm, icr));
}

static u32 ipi2(struct kvm *kvm, unsigned from, u32 dest, u32 icr)
{
	x2apic_write(kvm->vcpus[from], APIC_ICR, (u64)dest << 32 | icr);
	return both_ways(kvm, from, icr, takers(kvm, icr));
}

/* The map alone knows who gets this. */
static bool map_knows(struct kvm *kvm, u32 dest_mode, u32 dest)
{
	struct kvm_lapic_irq irq = { .vector = 0x90, .dest_mode = dest_mode, .dest_id = dest, .level = true };
	int r;

	if (!kvm_irq_delivery_to_apic_fast(kvm, NULL, &irq, &r))
		return false;
	assert_int_equal(__builtin_popcount(takers(kvm, 0x90)), r);
	return true;
}

static void test_physical(void **state)
{
	struct kvm *kvm = ipi_vm(4);

	assert_int_equal(ipi(kvm, 0, ID_MDA(2), FIXED | ASSERT | 0x41), 1 << 2);
	assert_int_equal(ipi(kvm, 3, ID_MDA(3), FIXED | ASSERT | 0x41), 1 << 3);
	assert_int_equal(ipi(kvm, 0, ID_MDA(9), FIXED | ASSERT | 0x41), 0);
	assert_int_equal(ipi(kvm, 1, ID_MDA(0xff), FIXED | ASSERT | 0x41), 0xf);
	assert_int_equal(xapic_read(kvm->vcpus[1], APIC_ICR), ASSERT | 0x41);
	xapic_write(kvm->vcpus[1], APIC_ICR, APIC_ICR_BUSY | 0x41);
	assert_int_equal(xapic_read(kvm->vcpus[1], APIC_ICR), 0x41); /* never busy */
	xapic_write(kvm->vcpus[2], APIC_ID, 0x0a000000);             /* the ID is writable */
	takers(kvm, 0x41);
	assert_int_equal(ipi(kvm, 0, ID_MDA(2), FIXED | ASSERT | 0x41), 0);
	assert_int_equal(ipi(kvm, 0, ID_MDA(10), FIXED | ASSERT | 0x41), 1 << 2);
	fake_vm_free(kvm);
}

static void test_shorthands(void **state)
{
	struct kvm *kvm = ipi_vm(3);

	assert_int_equal(ipi(kvm, 1, ID_MDA(0), APIC_DEST_SELF | ASSERT | 0x42), 1 << 1);
	assert_int_equal(ipi(kvm, 1, 0, APIC_DEST_ALLINC | ASSERT | 0x42), 7);
	assert_int_equal(ipi(kvm, 1, 0, APIC_DEST_ALLBUT | ASSERT | 0x42), 5);
	xapic_write(kvm->vcpus[0], APIC_ICR, APIC_DEST_ALLBUT | APIC_DM_NMI | ASSERT);
	assert_int_equal(fake.nmis[0], 0);
	assert_int_equal(fake.nmis[1] + fake.nmis[2], 2);
	ipi(kvm, 0, 0, APIC_DEST_ALLBUT | APIC_DM_INIT | ASSERT);
	assert_false(kvm_apic_has_pending_init_or_sipi(kvm->vcpus[0]));
	assert_true(kvm_lapic_latched_init(kvm->vcpus[1]));
	assert_true(kvm_lapic_latched_init(kvm->vcpus[2]));
	fake_vm_free(kvm);
}

static void test_smi(void **state)
{
	struct kvm *kvm = ipi_vm(3);

	fake.kicks[1] = 0;
	xapic_write(kvm->vcpus[0], APIC_ICR2, ID_MDA(1));
	xapic_write(kvm->vcpus[0], APIC_ICR, APIC_DM_SMI | ASSERT);
	assert_true(kvm_check_request(KVM_REQ_SMI, kvm->vcpus[1]));
	assert_false(kvm_check_request(KVM_REQ_SMI, kvm->vcpus[2]));
	assert_int_equal(fake.kicks[1], 1);
	fake_vm_free(kvm);
}

static void test_modes_without_effect(void **state)
{
	struct kvm *kvm = ipi_vm(2);

	fake.kicks[1] = 0;
	assert_int_equal(ipi(kvm, 0, ID_MDA(1), APIC_DM_EXTINT | ASSERT | 0x43), 0);
	assert_int_equal(ipi(kvm, 0, ID_MDA(1), FIXED | APIC_INT_LEVELTRIG | 0x43), 0); /* de-assert */
	assert_int_equal(ipi(kvm, 0, ID_MDA(1), FIXED | ASSERT | 0x0f), 0);             /* illegal vector */
	assert_int_equal(fake.kicks[1], 0);
	fake_vm_free(kvm);
}

static void test_logical_flat(void **state)
{
	struct kvm *kvm = ipi_vm(4);

	for (unsigned i = 0; i < 4; i++)
		xapic_write(kvm->vcpus[i], APIC_LDR, ID_MDA(1u << i));
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x05), APIC_DEST_LOGICAL | ASSERT | 0x44), 5);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0xff), APIC_DEST_LOGICAL | ASSERT | 0x44), 0xf);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0xf0), APIC_DEST_LOGICAL | ASSERT | 0x44), 0);
	xapic_write(kvm->vcpus[3], APIC_LDR, ID_MDA(0x06)); /* two bits: no map, the same answer */
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x02), APIC_DEST_LOGICAL | ASSERT | 0x44), 0xa);
	xapic_write(kvm->vcpus[3], APIC_SPIV, 0xff); /* disabled: does not accept */
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x02), APIC_DEST_LOGICAL | ASSERT | 0x44), 2);
	fake_vm_free(kvm);
}

/* All eight bits of a flat logical ID. */
static void test_logical_flat_high(void **state)
{
	struct kvm *kvm = ipi_vm(8);

	for (unsigned i = 0; i < 8; i++)
		xapic_write(kvm->vcpus[i], APIC_LDR, ID_MDA(1u << i));
	assert_true(map_knows(kvm, APIC_DEST_LOGICAL, 0x91));
	assert_true(map_knows(kvm, APIC_DEST_PHYSICAL, 7));
	assert_false(map_knows(kvm, APIC_DEST_PHYSICAL, 0xff)); /* broadcast */
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x91), APIC_DEST_LOGICAL | ASSERT | 0x44), 0x91);
	fake_vm_free(kvm);
}

static void test_logical_cluster(void **state)
{
	struct kvm *kvm = ipi_vm(4);

	for (unsigned i = 0; i < 4; i++) {
		xapic_write(kvm->vcpus[i], APIC_DFR, 0);
		xapic_write(kvm->vcpus[i], APIC_LDR, ID_MDA((i / 2) << 4 | 1u << (i % 2)));
	}
	assert_true(map_knows(kvm, APIC_DEST_LOGICAL, 0x12));
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x03), APIC_DEST_LOGICAL | ASSERT | 0x45), 3);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x12), APIC_DEST_LOGICAL | ASSERT | 0x45), 8);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x23), APIC_DEST_LOGICAL | ASSERT | 0x45), 0);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0xff), APIC_DEST_LOGICAL | ASSERT | 0x45), 0xf);
	xapic_write(kvm->vcpus[3], APIC_DFR, 0xffffffff); /* mixed models: asked one by one */
	xapic_write(kvm->vcpus[3], APIC_LDR, ID_MDA(0x80));
	assert_false(map_knows(kvm, APIC_DEST_LOGICAL, 0x11));
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x83), APIC_DEST_LOGICAL | ASSERT | 0x45), 8);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x11), APIC_DEST_LOGICAL | ASSERT | 0x45), 4);
	fake_vm_free(kvm);
}

static void test_lowest_priority(void **state)
{
	struct kvm *kvm = ipi_vm(4);
	u32 icr = APIC_DM_LOWEST | APIC_DEST_LOGICAL | ASSERT;

	for (unsigned i = 0; i < 4; i++)
		xapic_write(kvm->vcpus[i], APIC_LDR, ID_MDA(1u << i));
	/* the (vector mod n)th of the candidates {0, 1, 3} */
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x0b), icr | 0x60), 1 << 0);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x0b), icr | 0x61), 1 << 1);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x0b), icr | 0x62), 1 << 3);
	assert_int_equal(__builtin_popcount(ipi(kvm, 0, ID_MDA(0xff), icr | 0x63)), 1); /* without the map */
	xapic_write(kvm->vcpus[1], APIC_SPIV, 0xff);
	assert_int_equal(ipi(kvm, 0, ID_MDA(0x0b), icr | 0x61), 1 << 3); /* {0, 3} are left */
	fake_vm_free(kvm);
}

static void test_duplicate_ids(void **state)
{
	struct kvm *kvm = ipi_vm(3);

	xapic_write(kvm->vcpus[2], APIC_ID, ID_MDA(1));
	assert_int_equal(ipi(kvm, 0, ID_MDA(1), FIXED | ASSERT | 0x46), 6); /* both hear it */
	kvm->arch.x2apic_format = true; /* Linux then lets the first win, by the map */
	xapic_write(kvm->vcpus[2], APIC_ID, ID_MDA(1));
	xapic_write(kvm->vcpus[0], APIC_ICR, FIXED | ASSERT | 0x46);
	assert_int_equal(takers(kvm, 0x46), 2);
	fake_vm_free(kvm);
}

static void test_x2apic(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 20, 0);

	for (unsigned i = 0; i < 20; i++)
		x2apic_enable(kvm->vcpus[i]);
	assert_true(map_knows(kvm, APIC_DEST_LOGICAL, 0x00010003));
	assert_true(map_knows(kvm, APIC_DEST_PHYSICAL, 19));
	assert_int_equal(ipi2(kvm, 0, 17, ASSERT | 0x47), 1 << 17);
	assert_int_equal(ipi2(kvm, 0, 0xffffffff, ASSERT | 0x47), 0xfffff);
	assert_int_equal(ipi2(kvm, 0, 0xff, ASSERT | 0x47), 0);
	assert_int_equal(ipi2(kvm, 0, 0x00018005, APIC_DEST_LOGICAL | ASSERT | 0x47), 1 << 16 | 1 << 18);
	assert_int_equal(ipi2(kvm, 0, 0x0000ffff, APIC_DEST_LOGICAL | ASSERT | 0x47), 0xffff);
	assert_int_equal(ipi2(kvm, 0, 0x00300001, APIC_DEST_LOGICAL | ASSERT | 0x47), 0);
	x2apic_write(kvm->vcpus[5], APIC_SELF_IPI, 0x48);
	assert_int_equal(takers(kvm, 0x48), 1 << 5);
	fake_vm_free(kvm);
}

/* 0xff from a device is a broadcast for x2APICs too, unless user space has switched the quirk off. */
static void test_broadcast_quirk(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 3, 0);
	struct kvm_lapic_irq irq = { .vector = 0x49, .dest_id = 0xff, .level = true };

	for (unsigned i = 0; i < 3; i++)
		x2apic_enable(kvm->vcpus[i]);
	kvm_irq_delivery_to_apic(kvm, NULL, &irq);
	assert_int_equal(takers(kvm, 0x49), 7);
	kvm->arch.x2apic_broadcast_quirk_disabled = true;
	kvm_irq_delivery_to_apic(kvm, NULL, &irq);
	assert_int_equal(takers(kvm, 0x49), 0);
	irq.dest_id = 0xffffffff;
	kvm_irq_delivery_to_apic(kvm, NULL, &irq);
	assert_int_equal(takers(kvm, 0x49), 7);
	fake_vm_free(kvm);
}

/* A physical broadcast with lowest priority is delivered to all, as fixed. */
static void test_broadcast_lowest(void **state)
{
	struct kvm *kvm = ipi_vm(3);

	assert_int_equal(ipi(kvm, 0, ID_MDA(0xff), APIC_DM_LOWEST | ASSERT | 0x4a), 7);
	fake_vm_free(kvm);
}

static void test_large_ids(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 2, 0x1fe);
	struct kvm_lapic_irq irq = { .vector = 0x4b, .dest_id = 0x1ff, .level = true };

	xapic_enable(kvm->vcpus[0]);
	xapic_enable(kvm->vcpus[1]); /* still xAPIC: reached by the 32-bit ID (hotplug) */
	assert_int_equal(kvm_irq_delivery_to_apic(kvm, NULL, &irq), 0); /* the map knows 0xff, no 0x1ff */
	kvm->arch.x2apic_format = true;
	kvm_apic_map_dirty(kvm);
	kvm_recalculate_apic_map(kvm);
	assert_int_equal(kvm_irq_delivery_to_apic(kvm, NULL, &irq), 1);
	assert_int_equal(takers(kvm, 0x4b), 2);
	fake_vm_free(kvm);
}

/* A vCPU that came after the map was built is found. */
static void test_late_vcpu(void **state)
{
	struct kvm *kvm = ipi_vm(2);
	struct kvm_vcpu *late = fake_add_vcpu(kvm, 2);

	kvm_lapic_set_reg(late->arch.apic, APIC_SPIV, 0x1ff); /* behind the map's back */
	assert_int_equal(ipi(kvm, 0, ID_MDA(2), FIXED | ASSERT | 0x4c), 4);
	assert_ptr_equal(kvm_get_vcpu_by_apicid(kvm, 2), late);
	fake_vm_free(kvm);
}

static void test_pv_ipi(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 20, 0);

	for (unsigned i = 0; i < 20; i++)
		x2apic_enable(kvm->vcpus[i]);
	assert_int_equal(kvm_pv_send_ipi(kvm, 0x5, 0, 2, 0x51, true), 2);
	assert_int_equal(takers(kvm, 0x51), 1 << 2 | 1 << 4);
	assert_int_equal(kvm_pv_send_ipi(kvm, 1, 1, 10, 0x51, true), 1); /* 10 and 74: one exists */
	assert_int_equal(takers(kvm, 0x51), 1 << 10);
	assert_int_equal(kvm_pv_send_ipi(kvm, ~0ull, ~0ull, 0, 0x51, true), 20);
	assert_int_equal(takers(kvm, 0x51), 0xfffff);
	assert_int_equal(kvm_pv_send_ipi(kvm, 1ull << 40, 0, 0, 0x51, false), 0); /* 32-bit masks */
	assert_int_equal(kvm_pv_send_ipi(kvm, 1, 0, 0xffffffff, 0x51, true), 0);
	assert_int_equal(kvm_pv_send_ipi(kvm, 3, 0, 0, APIC_DM_NMI, true), 2);
	assert_int_equal(fake.nmis[0] + fake.nmis[1], 2);
	assert_int_equal(kvm_pv_send_ipi(kvm, 1, 0, 0, APIC_DEST_LOGICAL | 0x51, true), -KVM_EINVAL);
	assert_int_equal(kvm_pv_send_ipi(kvm, 1, 0, 0, APIC_DEST_ALLINC | 0x51, true), -KVM_EINVAL);
	fake_vm_free(kvm);
}

static void test_pv_kick(void **state)
{
	struct kvm *kvm = ipi_vm(3);

	fake.kicks[2] = 0;
	kvm_pv_kick_cpu_op(kvm, 2);
	assert_true(kvm->vcpus[2]->arch.pv_unhalted);
	assert_false(kvm->vcpus[1]->arch.pv_unhalted);
	assert_int_equal(fake.kicks[2], 1);
	kvm_pv_kick_cpu_op(kvm, 77);
	fake_vm_free(kvm);
}

const struct CMUnitTest lapic_ipi_tests[] = {
	cmocka_unit_test(test_physical),
	cmocka_unit_test(test_shorthands),
	cmocka_unit_test(test_smi),
	cmocka_unit_test(test_modes_without_effect),
	cmocka_unit_test(test_logical_flat),
	cmocka_unit_test(test_logical_flat_high),
	cmocka_unit_test(test_logical_cluster),
	cmocka_unit_test(test_lowest_priority),
	cmocka_unit_test(test_duplicate_ids),
	cmocka_unit_test(test_x2apic),
	cmocka_unit_test(test_broadcast_quirk),
	cmocka_unit_test(test_broadcast_lowest),
	cmocka_unit_test(test_large_ids),
	cmocka_unit_test(test_late_vcpu),
	cmocka_unit_test(test_pv_ipi),
	cmocka_unit_test(test_pv_kick),
};
const size_t lapic_ipi_nr_tests = ARRAY_SIZE(lapic_ipi_tests);
