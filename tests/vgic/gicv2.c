/* SPDX-License-Identifier: Apache-2.0 */
/* A GICv2 as the guest drives it: distributor and CPU interface, both memory-mapped. */
#include "tests/vgic/fake.h"
#include "tests/vgic/tests.h"

#define CTLR (GICC + 0x00)
#define PMR (GICC + 0x04)
#define BPR (GICC + 0x08)
#define IAR (GICC + 0x0c)
#define EOIR (GICC + 0x10)
#define RPR (GICC + 0x14)
#define HPPIR (GICC + 0x18)
#define ABPR (GICC + 0x1c)
#define AIAR (GICC + 0x20)
#define AEOIR (GICC + 0x24)
#define APR (GICC + 0xd0)
#define IIDR (GICC + 0xfc)
#define DIR (GICC + 0x1000)
#define SGIR (GICD + 0xf00)

static struct kvm *gic(unsigned nr)
{
	struct kvm *kvm = fake_gic_vm(nr, KVM_DEV_TYPE_ARM_VGIC_V2);

	while (nr--) {
		on(kvm->vcpus[nr]);
		w32(PMR, 0xf0);
		w32(CTLR, 1);
	}
	return kvm;
}

static void test_registers(void **state)
{
	struct kvm *kvm = gic(3);

	on(kvm->vcpus[1]);
	assert_int_equal(r32(GICD), 1);
	assert_int_equal(r32(GICD + 4), 7 | 2 << 5); /* 256 interrupts, 3 CPUs */
	assert_int_equal(r32(GICD + 8), 0x4b00343b);
	assert_int_equal(r32(IIDR), 0x04b2043b);
	assert_int_equal(r32(GICD + 0x800), 0x02020202); /* banked: itself */
	on(kvm->vcpus[2]);
	assert_int_equal(r32(GICD + 0x800), 0x04040404);
	w32(GICD + 0x800, 0);
	assert_int_equal(r32(GICD + 0x800), 0x04040404);
	w32(GICD + 0x820, 0xff060100);
	assert_int_equal(r32(GICD + 0x820), 0x07060100); /* CPUs there are */
	assert_int_equal(r8(GICD + 0x822), 6);
	assert_int_equal(r32(GICD + 0x100), 0xffff);
	w32(GICD + 0x100, 1u << 20);
	assert_int_equal(r32(GICD + 0x100), 0x10ffff);
	on(kvm->vcpus[0]);
	assert_int_equal(r32(GICD + 0x100), 0xffff);
	assert_int_equal(r32(BPR), 2);
	assert_int_equal(r32(ABPR), 3);
	w32(CTLR, ~0u);
	assert_int_equal(r32(CTLR), 0x21f);
	assert_int_equal(r32(SGIR), 0);
	assert_true(undefined(ICC_IAR1, false) && undefined(ICC_SGI1R, true)); /* no system registers */
	fake_vm_free(kvm);
}

static void test_spi(void **state)
{
	struct kvm *kvm = gic(2);

	on(kvm->vcpus[0]);
	w32(GICD + 0xc08, 0);
	w32(GICD + 0x104, 1 << 8);
	w8(GICD + 0x828, 2); /* to CPU 1 */
	raise(kvm, NULL, 40);
	assert_true(told(kvm->vcpus[1]));
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	on(kvm->vcpus[1]);
	assert_int_equal(r32(HPPIR), 40);
	assert_int_equal(r32(IAR), 40);
	assert_int_equal(r32(RPR), 0);
	assert_int_equal(r32(APR), 1);
	lower(kvm, NULL, 40);
	w32(EOIR, 40);
	assert_int_equal(r32(RPR), 0xff);
	assert_int_equal(fake.acks[8], 1);
	assert_int_equal(r32(IAR), 1023);
	/* EOImode: deactivated by DIR */
	w32(CTLR, 0x201);
	raise(kvm, NULL, 40);
	assert_int_equal(r32(IAR), 40);
	w32(EOIR, 40);
	assert_int_equal(line(kvm->vcpus[1]), '-');
	w32(DIR, 40);
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	fake_vm_free(kvm);
}

static void test_sgi(void **state)
{
	struct kvm *kvm = gic(3);

	on(kvm->vcpus[1]);
	w32(SGIR, 1 << 16 | 4); /* to CPU 0 */
	on(kvm->vcpus[2]);
	w32(SGIR, 1 << 24 | 4); /* to all others */
	assert_false(told(kvm->vcpus[2]));
	w32(SGIR, 3 << 24 | 9); /* reserved */
	on(kvm->vcpus[0]);
	assert_int_equal(r32(GICD + 0xf24), 6); /* SGI 4: from CPUs 1 and 2 */
	w32(GICD + 0x280, 1 << 4); /* ICPENDR of SGIs: ignored */
	assert_int_equal(r32(IAR), 1 << 10 | 4);
	assert_int_equal(line(kvm->vcpus[0]), '-'); /* active; the other one waits */
	w32(EOIR, 1 << 10 | 4);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	assert_int_equal(r32(IAR), 2 << 10 | 4);
	w32(EOIR, 2 << 10 | 4);
	assert_int_equal(r32(IAR), 1023);
	w32(SGIR, 2 << 24 | 5); /* itself */
	assert_int_equal(r32(IAR), 5);
	w32(EOIR, 5);
	w8(GICD + 0xf26, 2); /* SPENDSGIR: SGI 6 from CPU 1 */
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	w8(GICD + 0xf16, 2);
	assert_int_equal(line(kvm->vcpus[0]), '-');
	fake_vm_free(kvm);
}

static void test_groups(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	w32(GICD + 0x104, 1 << 8);
	raise(kvm, NULL, 40);
	assert_int_equal(line(vcpu), 'i'); /* Group 0, by IRQ */
	w32(CTLR, 9);
	assert_int_equal(line(vcpu), 'f'); /* FIQEn */
	w32(GICD + 0x84, 1 << 8); /* Group 1 */
	assert_int_equal(line(vcpu), '-');
	w32(CTLR, 3);
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(r32(IAR), 1022); /* of the other group */
	assert_int_equal(r32(HPPIR), 1022);
	assert_int_equal(r32(AIAR), 40);
	w32(AEOIR, 40);
	raise(kvm, NULL, 40);
	w32(CTLR, 7); /* AckCtl */
	assert_int_equal(r32(IAR), 40);
	w32(EOIR, 40);
	assert_int_equal(r32(AIAR), 1023);
	fake_vm_free(kvm);
}

/* It initializes itself when the first interrupt comes. */
static void test_lazy_init(void **state)
{
	struct kvm *kvm = fake_vm(1);
	int err;

	fake_device(kvm, KVM_DEV_TYPE_ARM_VGIC_V2, &err);
	assert_false(vgic_initialized(kvm));
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 40, true, NULL), 0);
	assert_true(vgic_initialized(kvm));
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 256, true, NULL), -EINVAL);
	fake_vm_free(kvm);
}

const struct CMUnitTest gicv2_tests[] = {
	cmocka_unit_test(test_registers),
	cmocka_unit_test(test_spi),
	cmocka_unit_test(test_sgi),
	cmocka_unit_test(test_groups),
	cmocka_unit_test(test_lazy_init),
};
const size_t gicv2_nr_tests = ARRAY_SIZE(gicv2_tests);
