/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest and a user space that write anything anywhere: random accesses to every frame and register, random
 * commands and tables,
 * random attributes, lines and MSIs. Nothing is expected but what must always hold: no crash (ASan, UBSan),
 * what is active was
 * acknowledged by someone, and the machine still delivers an interrupt when it has been set up anew.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/vgic/fake.h"
#include "tests/vgic/tests.h"

#define OPS 100000
#define NR 3

static u64 seed;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Mostly numbers that mean something: few bits, addresses in RAM, all ones. */
static u64 value(void)
{
	switch (rnd() % 6) {
	case 0:
		return rnd() % 64;
	case 1:
		return 1ull << rnd() % 64;
	case 2:
		return (FAKE_RAM_BASE + (rnd() % 64 << 16)) | (rnd() & 1) << 63 | (rnd() & 1) << 62 |
		       rnd() % 32;
	case 3:
		return ~0ull;
	case 4:
		return 8192 + rnd() % 64;
	}
	return rnd();
}

static gpa_t address(void)
{
	static const gpa_t frames[] = { GICD, GICR(0), GICR(1), GICR_SGI(0), GICR_SGI(1), GICR(2), GITS };
	static const u32 offsets[] = { 0, 8, 0x70, 0x78, 0x80, 0x88, 0x90, 0x100, 0x108, 0x280, 0x300, 0x400, 0x6000 };
	u64 off = rnd() % 3 ? offsets[rnd() % ARRAY_SIZE(offsets)] + rnd() % 8 * 4 : rnd() % 0x10000;

	return frames[rnd() % ARRAY_SIZE(frames)] + (off & ~3ull);
}

static void access_frame(struct kvm *kvm)
{
	gpa_t addr = address();
	int len = 1 << rnd() % 4;
	u64 val = value();

	if (rnd() % 2)
		kvm_io_bus_write(kvm->vcpus[rnd() % NR], KVM_MMIO_BUS, addr & ~(u64)(len - 1), len, &val);
	else
		kvm_io_bus_read(kvm->vcpus[rnd() % NR], KVM_MMIO_BUS, addr & ~(u64)(len - 1), len, &val);
}

static void access_sysreg(struct kvm *kvm)
{
	u64 val = value();

	vgic_v3_access_sysreg(kvm->vcpus[rnd() % NR],
			      ARM64_SYS(3, 0, 12, (u32)(8 + rnd() % 5), (u32)(rnd() % 8)), rnd() % 2, &val);
}

/* Commands of the ITS that may be good ones, where its queue is. */
static void its_command(struct kvm *kvm)
{
	struct vgic_its *its = fake_dev_of(kvm, KVM_DEV_TYPE_ARM_VGIC_ITS)->private;
	u64 cmd[4] = { rnd() % 16 | rnd() % 4 << 32, rnd() % 20 | (8192 + rnd() % 32) << 32, value(), rnd() % 4 << 16 };

	if (rnd() % 2)
		cmd[2] = 1ull << 63 | (FAKE_RAM_BASE + 0x100000) | rnd() % 4 << 16 | rnd() % 4;
	vgic_its_handle_command(its, cmd);
}

static void attribute(struct kvm *kvm)
{
	struct kvm_device *dev = fake_dev_of(kvm, rnd() % 2 ? KVM_DEV_TYPE_ARM_VGIC_ITS
							    : KVM_DEV_TYPE_ARM_VGIC_V3);
	u64 attr = rnd() % 4 ? address() & 0xffff : rnd() % 8, val;
	u32 group = (u32)(rnd() % 10);

	if (rnd() % 2)
		dev_set(dev, group, attr, value());
	else
		dev_get(dev, group, attr, &val);
	dev_has(dev, group, attr);
}

static void from_outside(struct kvm *kvm)
{
	struct kvm_msi msi = { .address_lo = GITS, .devid = (u32)(rnd() % 4), .data = (u32)(rnd() % 20), .flags = 1 };

	if (rnd() % 3 == 0)
		kvm_send_userspace_msi(kvm, &msi);
	else
		kvm_vgic_inject_irq(kvm, kvm->vcpus[rnd() % NR], (u32)(16 + rnd() % 60), rnd() % 2, NULL);
}

static void random_ops(struct kvm *kvm)
{
	static void (*const ops[])(struct kvm *kvm) = {
		access_frame, access_frame, access_sysreg, its_command, from_outside, attribute,
	};

	for (unsigned i = 0; i < OPS; i++) {
		bool guest = rnd() % 4;

		on(guest ? kvm->vcpus[rnd() % NR] : NULL);
		ops[rnd() % ARRAY_SIZE(ops)](kvm);
		if (rnd() % 64 == 0)
			ram_w64(FAKE_RAM_BASE + (rnd() % (FAKE_RAM_SIZE - 8) & ~7ull), value());
		kvm_vgic_flush_hwstate(kvm->vcpus[rnd() % NR]);
	}
}

/* So that commands and MSIs have something to work on at first. */
static void tables(struct kvm *kvm)
{
	for (u32 i = 0; i < NR; i++) {
		on(kvm->vcpus[i]);
		w64(GICR(i) + 0x70, FAKE_RAM_BASE | 15);
		w64(GICR(i) + 0x78, FAKE_RAM_BASE + 0x10000 * (i + 1));
		w32(GICR(i), 1);
	}
	w64(GITS + 0x80, 1ull << 63 | (FAKE_RAM_BASE + 0x80000));
	w64(GITS + 0x100, 1ull << 63 | (FAKE_RAM_BASE + 0x90000));
	w64(GITS + 0x108, 1ull << 63 | (FAKE_RAM_BASE + 0xa0000));
	w32(GITS, 1);
	w32(GICD, 2);
}

/* Every interrupt that is active or to be delivered is on its home's list, no other is. */
static void check_lists(struct kvm *kvm)
{
	for (u32 n = 32; n < vgic_nr_irqs(kvm); n++) {
		struct vgic_irq *irq = vgic_get_irq(kvm, NULL, n);

		assert_int_equal(list_empty(&irq->ap_list),
				 !(irq->active || (irq->enabled && irq_is_pending(irq))));
		if (!irq->active)
			assert_ptr_equal(irq->home->vcpu, irq->target_vcpu);
	}
}

static void still_works(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	on(vcpu);
	msr(ICC_AP0R0, 0);
	msr(ICC_AP1R0, 0);
	msr(ICC_CTLR, 0);
	msr(ICC_PMR, 0xf8);
	msr(ICC_IGRPEN0, 0);
	msr(ICC_IGRPEN1, 1);
	for (u32 i = 0; i < 8; i++) {
		w32(GICD + 0x184 + 4 * i, ~0u);
		w32(GICD + 0x384 + 4 * i, ~0u);
		w32(GICD + 0x284 + 4 * i, ~0u);
	}
	w32(GICR_SGI(0) + 0x180, ~0u);
	w32(GICR_SGI(0) + 0x380, ~0u);
	w32(GICR(0), 0);
	w32(GICD + 0x84, ~0u);
	w64(GICD + 0x6000 + 8 * 40, 0);
	w8(GICD + 0x428, 0);
	w32(GICD + 0x104, 1 << 8);
	w32(GICD, 2);
	w32(GICD + 0x204, 1 << 8);
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(mrs(ICC_IAR1), 40);
}

static void test_fuzz(void **state)
{
	for (u64 round = 1; round <= 3; round++) {
		struct kvm *kvm = fake_gic_vm(NR, KVM_DEV_TYPE_ARM_VGIC_V3);
		int err;
		struct kvm_device *its = fake_device(kvm, KVM_DEV_TYPE_ARM_VGIC_ITS, &err);

		seed = round * 0x9e3779b97f4a7c15ull;
		assert_int_equal(dev_set(its, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS), 0);
		tables(kvm);
		random_ops(kvm);
		check_lists(kvm);
		still_works(kvm);
		fake_vm_free(kvm);
	}
}

const struct CMUnitTest fuzz_tests[] = { cmocka_unit_test(test_fuzz) };
const size_t fuzz_nr_tests = ARRAY_SIZE(fuzz_tests);
