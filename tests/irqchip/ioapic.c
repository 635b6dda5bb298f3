/* SPDX-License-Identifier: Apache-2.0 */
/* The IOAPIC through its page, its pins and the local APICs' EOIs; GSI routing; the split irqchip. */
#include <string.h>

#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

#define BASE IOAPIC_DEFAULT_BASE_ADDRESS
#define WIN (BASE + 0x10)

static u32 ioapic_read(struct kvm *kvm, u8 reg)
{
	mmio_write32(kvm, BASE, reg);
	return mmio_read32(kvm, WIN);
}

static void ioapic_write(struct kvm *kvm, u8 reg, u32 val)
{
	mmio_write32(kvm, BASE, reg);
	mmio_write32(kvm, WIN, val);
}

static void rte_write(struct kvm *kvm, unsigned pin, u64 rte)
{
	ioapic_write(kvm, 0x11 + 2 * pin, rte >> 32);
	ioapic_write(kvm, 0x10 + 2 * pin, rte);
}

static u64 rte_read(struct kvm *kvm, unsigned pin)
{
	return ioapic_read(kvm, 0x10 + 2 * pin) | (u64)ioapic_read(kvm, 0x11 + 2 * pin) << 32;
}

static int line(struct kvm *kvm, int pin, int level)
{
	return kvm_ioapic_set_irq(kvm->arch.vioapic, pin, 0, level);
}

/* The PIC's pins of the same GSIs are masked, the CPUs' APICs enabled. */
static struct kvm *ioapic_vm(unsigned nr)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, nr, 0);

	outb(kvm, 0x21, 0xff);
	outb(kvm, 0xa1, 0xff);
	for (unsigned i = 0; i < nr; i++)
		xapic_enable(kvm->vcpus[i]);
	return kvm;
}

static int next_vector(struct kvm_vcpu *vcpu)
{
	return kvm_cpu_get_interrupt(vcpu);
}

static void eoi(struct kvm_vcpu *vcpu)
{
	xapic_write(vcpu, APIC_EOI, 0);
}

static void test_registers(void **state)
{
	struct kvm *kvm = ioapic_vm(1);

	assert_int_equal(ioapic_read(kvm, 1), 0x00170011);
	ioapic_write(kvm, 1, 0xffffffff);
	assert_int_equal(ioapic_read(kvm, 1), 0x00170011);
	ioapic_write(kvm, 0, 0xff000000);
	assert_int_equal(ioapic_read(kvm, 0), 0x0f000000);
	assert_int_equal(ioapic_read(kvm, 2), 0x0f000000); /* arbitration ID follows */
	ioapic_write(kvm, 2, 0);
	assert_int_equal(ioapic_read(kvm, 2), 0x0f000000);
	for (unsigned pin = 0; pin < 24; pin++)
		assert_true(rte_read(kvm, pin) == IOAPIC_RTE_MASK);
	rte_write(kvm, 3, 0xff00000000017fffull);
	/* remote IRR and delivery status are read-only */
	assert_true(rte_read(kvm, 3) == 0xff00000000012fffull);
	assert_int_equal(ioapic_read(kvm, 0x40), 0xffffffff); /* no 25th entry */
	mmio_write32(kvm, BASE, 0x1234);
	assert_int_equal(mmio_read32(kvm, BASE), 0x34); /* an 8-bit register */
	assert_int_equal(mmio_read32(kvm, BASE + 0x20), 0);
	fake_vm_free(kvm);
}

static void test_edge(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	rte_write(kvm, 4, 0x41);
	assert_int_equal(line(kvm, 4, 1), 1);
	assert_int_equal(next_vector(vcpu), 0x41);
	assert_int_equal(line(kvm, 4, 1), 0); /* no edge */
	eoi(vcpu);
	assert_int_equal(next_vector(vcpu), -1);
	assert_int_equal(line(kvm, 4, 0), 1);
	assert_int_equal(line(kvm, 4, 1), 1);
	assert_int_equal(next_vector(vcpu), 0x41);
	eoi(vcpu);
	assert_int_equal(fake.acks[2][4], 2);
	rte_write(kvm, 4, 0x10041);
	line(kvm, 4, 0);
	assert_int_equal(line(kvm, 4, 1), -1); /* masked */
	rte_write(kvm, 4, 0x41);
	assert_int_equal(next_vector(vcpu), -1); /* an edge while masked is lost */
	fake_vm_free(kvm);
}

static void test_level(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	rte_write(kvm, 9, IOAPIC_RTE_LEVEL | 0x52);
	assert_int_equal(line(kvm, 9, 1), 1);
	assert_true(rte_read(kvm, 9) & IOAPIC_RTE_REMOTE_IRR);
	assert_int_equal(line(kvm, 9, 1), -1); /* waits for the EOI */
	assert_int_equal(next_vector(vcpu), 0x52);
	assert_true(lapic_test_vector(vcpu->arch.apic, APIC_TMR, 0x52));
	eoi(vcpu); /* still high: again */
	assert_true(rte_read(kvm, 9) & IOAPIC_RTE_REMOTE_IRR);
	assert_int_equal(next_vector(vcpu), 0x52);
	line(kvm, 9, 0);
	eoi(vcpu);
	assert_false(rte_read(kvm, 9) & IOAPIC_RTE_REMOTE_IRR);
	assert_int_equal(next_vector(vcpu), -1);
	assert_int_equal(fake.acks[2][9], 2);
	line(kvm, 9, 1);
	assert_int_equal(next_vector(vcpu), 0x52);
	kvm_lapic_set_reg(vcpu->arch.apic, APIC_SPIV, 0x11ff); /* restored so by user space: no broadcast */
	eoi(vcpu);
	assert_true(rte_read(kvm, 9) & IOAPIC_RTE_REMOTE_IRR);
	assert_int_equal(fake.acks[2][9], 3);
	fake_vm_free(kvm);
}

static void test_level_mask(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	rte_write(kvm, 9, IOAPIC_RTE_MASK | IOAPIC_RTE_LEVEL | 0x52);
	assert_int_equal(line(kvm, 9, 1), -1);
	rte_write(kvm, 9, IOAPIC_RTE_LEVEL | 0x52);
	assert_int_equal(next_vector(vcpu), 0x52); /* a level stays */
	rte_write(kvm, 9, IOAPIC_RTE_MASK | IOAPIC_RTE_LEVEL | 0x52);
	eoi(vcpu); /* ends it, masked: not again */
	assert_false(rte_read(kvm, 9) & IOAPIC_RTE_REMOTE_IRR);
	assert_int_equal(next_vector(vcpu), -1);
	rte_write(kvm, 9, IOAPIC_RTE_LEVEL | 0x52);
	assert_int_equal(next_vector(vcpu), 0x52);
	rte_write(kvm, 9, IOAPIC_RTE_MASK | 0x52); /* edge: Linux guests clear remote IRR this way */
	assert_false(rte_read(kvm, 9) & IOAPIC_RTE_REMOTE_IRR);
	fake_vm_free(kvm);
}

static void test_shared_line(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_ioapic *ioapic = kvm->arch.vioapic;
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	rte_write(kvm, 10, IOAPIC_RTE_LEVEL | 0x60);
	kvm_ioapic_set_irq(ioapic, 10, 2, 1);
	kvm_ioapic_set_irq(ioapic, 10, 3, 1);
	assert_int_equal(next_vector(vcpu), 0x60);
	kvm_ioapic_set_irq(ioapic, 10, 2, 0);
	eoi(vcpu);
	assert_int_equal(next_vector(vcpu), 0x60);
	kvm_ioapic_clear_all(ioapic, 3);
	kvm_ioapic_set_irq(ioapic, 10, 2, 0);
	eoi(vcpu);
	assert_int_equal(next_vector(vcpu), -1);
	fake_vm_free(kvm);
}

static void test_storm(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	unsigned n = 0;

	rte_write(kvm, 9, IOAPIC_RTE_LEVEL | 0x52);
	line(kvm, 9, 1);
	while (n < 20000 && next_vector(vcpu) == 0x52) {
		eoi(vcpu);
		n++;
	}
	assert_int_equal(n, 10000);
	fake_advance(9999999);
	assert_int_equal(next_vector(vcpu), -1);
	fake_advance(1);
	assert_int_equal(next_vector(vcpu), 0x52);
	fake_vm_free(kvm);
}

static void test_destinations(void **state)
{
	struct kvm *kvm = ioapic_vm(3);

	for (unsigned i = 0; i < 3; i++)
		xapic_write(kvm->vcpus[i], APIC_LDR, 0x01000000u << i);
	rte_write(kvm, 5, 2ull << 56 | 0x61); /* physical 2 */
	line(kvm, 5, 1);
	assert_int_equal(next_vector(kvm->vcpus[0]), -1);
	assert_int_equal(next_vector(kvm->vcpus[2]), 0x61);
	rte_write(kvm, 6, 3ull << 56 | IOAPIC_RTE_LOGICAL | 0x62); /* logical {0, 1} */
	assert_int_equal(line(kvm, 6, 1), 2);
	assert_int_equal(next_vector(kvm->vcpus[0]), 0x62);
	assert_int_equal(next_vector(kvm->vcpus[1]), 0x62);
	assert_int_equal(next_vector(kvm->vcpus[2]), -1);
	rte_write(kvm, 7, 0xffull << 56 | 0x400 | 0x63); /* broadcast NMI */
	assert_int_equal(line(kvm, 7, 1), 3);
	assert_int_equal(fake.nmis[0] + fake.nmis[1] + fake.nmis[2], 3);
	rte_write(kvm, 8, 0x700 | 0x64); /* ExtINT is not delivered as a vector */
	assert_int_equal(line(kvm, 8, 1), 0);
	rte_write(kvm, 9, 9ull << 56 | 0x65); /* nobody */
	assert_true(line(kvm, 9, 1) <= 0);
	fake_vm_free(kvm);
}

static void test_default_routing(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_irq_level level = { .irq = 20, .level = 1 };

	for (unsigned gsi = 0; gsi < 24; gsi++) {
		assert_int_equal(kvm_irq_map_chip_pin(kvm, KVM_IRQCHIP_IOAPIC, gsi), gsi);
		if (gsi < 16)
			assert_int_equal(kvm_irq_map_chip_pin(kvm, SELECT_PIC(gsi), gsi), gsi);
	}
	rte_write(kvm, 20, 0x70);
	assert_int_equal(kvm_vm_ioctl_irq_line(kvm, &level, true), 0);
	assert_int_equal(level.status, 1);
	assert_int_equal(next_vector(kvm->vcpus[0]), 0x70);
	outb(kvm, 0x21, 0x00);
	kvm_set_irq(kvm, 0, 4, 1, false); /* both chips see it */
	assert_true(kvm_pic_output(kvm));
	kvm->arch.irqchip_mode = KVM_IRQCHIP_NONE;
	assert_int_equal(kvm_vm_ioctl_irq_line(kvm, &level, true), -ENXIO);
	assert_false(kvm_arch_can_set_irq_routing(kvm));
	kvm->arch.irqchip_mode = KVM_IRQCHIP_KERNEL;
	assert_true(kvm_arch_can_set_irq_routing(kvm));
	fake_vm_free(kvm);
}

static int try_route(struct kvm *kvm, u32 chip, u32 pin)
{
	struct kvm_irq_routing_entry ue = { .type = KVM_IRQ_ROUTING_IRQCHIP };
	struct kvm_kernel_irq_routing_entry e = { 0 };

	ue.u.irqchip.irqchip = chip;
	ue.u.irqchip.pin = pin;
	return kvm_set_routing_entry(kvm, &e, &ue);
}

static void test_routing_errors(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_irq_routing_entry ue = { .type = 99 };
	struct kvm_kernel_irq_routing_entry e = { 0 };

	assert_int_equal(try_route(kvm, KVM_IRQCHIP_IOAPIC, 23), 0);
	assert_int_equal(try_route(kvm, KVM_IRQCHIP_IOAPIC, 24), -EINVAL);
	assert_int_equal(try_route(kvm, KVM_IRQCHIP_PIC_MASTER, 7), 0);
	assert_int_equal(try_route(kvm, KVM_IRQCHIP_PIC_MASTER, 8), -EINVAL);
	assert_int_equal(try_route(kvm, KVM_IRQCHIP_PIC_SLAVE, 8), -EINVAL);
	assert_int_equal(try_route(kvm, 3, 0), -EINVAL);
	assert_int_equal(kvm_set_routing_entry(kvm, &e, &ue), -EINVAL);
	ue.type = e.type = KVM_IRQ_ROUTING_MSI;
	ue.u.msi.address_hi = 1;
	assert_int_equal(kvm_set_routing_entry(kvm, &e, &ue), 0);
	kvm->arch.x2apic_format = true; /* now bits 7:0 of address_hi are reserved */
	assert_int_equal(kvm_set_routing_entry(kvm, &e, &ue), -EINVAL);
	assert_int_equal(kvm_set_msi(&e, kvm, 0, 1, false), -EINVAL);
	assert_int_equal(kvm_arch_set_irq_inatomic(&e, kvm, 0, 1, false), -EINVAL);
	e.type = KVM_IRQ_ROUTING_IRQCHIP;
	assert_int_equal(kvm_arch_set_irq_inatomic(&e, kvm, 0, 1, false), -EWOULDBLOCK);
	kvm->arch.x2apic_format = false;
	kvm->arch.irqchip_mode = KVM_IRQCHIP_SPLIT;
	assert_int_equal(try_route(kvm, KVM_IRQCHIP_IOAPIC, 0), -EINVAL);
	kvm->arch.irqchip_mode = KVM_IRQCHIP_KERNEL;
	fake_vm_free(kvm);
}

static void test_state(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	struct kvm_irqchip a = { .chip_id = KVM_IRQCHIP_IOAPIC }, b = a;
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	ioapic_write(kvm, 0, 0x05000000);
	rte_write(kvm, 4, 0x41);
	rte_write(kvm, 9, IOAPIC_RTE_LEVEL | 0x52);
	rte_write(kvm, 11, IOAPIC_RTE_MASK | IOAPIC_RTE_LEVEL | 0x53);
	line(kvm, 4, 1);
	line(kvm, 9, 1);
	line(kvm, 11, 1);
	assert_int_equal(kvm_vm_ioctl_get_irqchip(kvm, &a), 0);
	assert_true(a.chip.ioapic.base_address == BASE);
	assert_int_equal(a.chip.ioapic.id, 5);
	assert_int_equal(a.chip.ioapic.irr, 1 << 9 | 1 << 11); /* the edge was sent */
	assert_int_equal(a.chip.ioapic.redirtbl[9].fields.remote_irr, 1);
	assert_int_equal(a.chip.ioapic.redirtbl[9].fields.trig_mode, 1);
	assert_int_equal(next_vector(vcpu), 0x52);
	assert_int_equal(kvm_vm_ioctl_set_irqchip(kvm, &a), 0);
	assert_int_equal(kvm_vm_ioctl_get_irqchip(kvm, &b), 0);
	assert_memory_equal(&a.chip.ioapic, &b.chip.ioapic, sizeof(a.chip.ioapic));
	line(kvm, 9, 0);
	eoi(vcpu);
	assert_int_equal(next_vector(vcpu), 0x41);
	rte_write(kvm, 11, IOAPIC_RTE_LEVEL | 0x53);
	eoi(vcpu);
	assert_int_equal(next_vector(vcpu), 0x53); /* the level came with the state */
	a.chip.ioapic.irr = 1 << 4;
	a.chip.ioapic.redirtbl[4].bits = 0x77;
	eoi(vcpu);
	kvm_vm_ioctl_set_irqchip(kvm, &a);
	assert_true(kvm_ioapic_handles_vector(kvm, 0x77));
	assert_false(kvm_ioapic_handles_vector(kvm, 0x41));
	assert_int_equal(next_vector(vcpu), 0x77); /* an edge not sent yet is */
	fake_vm_free(kvm);
}

static void msi_route(struct kvm_irq_routing_entry *ue, u32 gsi, u32 addr, u32 data)
{
	memset(ue, 0, sizeof(*ue));
	ue->gsi = gsi;
	ue->type = KVM_IRQ_ROUTING_MSI;
	ue->u.msi.address_lo = addr;
	ue->u.msi.data = data;
}

static void test_msi(void **state)
{
	struct kvm *kvm = ioapic_vm(2);
	struct kvm_kernel_irq_routing_entry e = { .type = KVM_IRQ_ROUTING_MSI };

	e.msi.address_lo = 0xfee01000;
	e.msi.data = 0x4055;
	assert_int_equal(kvm_set_msi(&e, kvm, 0, 0, false), -1); /* only a rise is a message */
	assert_int_equal(kvm_set_msi(&e, kvm, 0, 1, false), 1);
	assert_int_equal(next_vector(kvm->vcpus[1]), 0x55);
	assert_int_equal(kvm_arch_set_irq_inatomic(&e, kvm, 0, 1, false), 1);
	assert_int_equal(next_vector(kvm->vcpus[1]), -1); /* same class is in service */
	eoi(kvm->vcpus[1]);
	assert_int_equal(next_vector(kvm->vcpus[1]), 0x55);
	e.msi.data = 0x8055; /* level: TMR */
	kvm_set_msi(&e, kvm, 0, 1, false);
	assert_true(lapic_test_vector(kvm->vcpus[1]->arch.apic, APIC_TMR, 0x55));
	e.msi.address_lo = 0xfeeff00c; /* broadcast, redirection hint: one of them */
	e.msi.data = 0x66;
	assert_int_equal(kvm_set_msi(&e, kvm, 0, 1, false), 1);
	e.msi.data = 0x05; /* not a legal vector */
	assert_int_equal(kvm_set_msi(&e, kvm, 0, 1, false), 0);
	fake_vm_free(kvm);
}

static void test_split(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_SPLIT, 2, 0);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	struct kvm_irq_routing_entry ue[3];

	kvm->arch.nr_reserved_ioapic_pins = 20;
	for (unsigned i = 0; i < 2; i++)
		xapic_enable(kvm->vcpus[i]);
	assert_true(xapic_read(vcpu, APIC_LVR) & APIC_LVR_DIRECTED_EOI);
	msi_route(&ue[0], 4, 0xfee00000, 0x8041);  /* level, reserved pin */
	msi_route(&ue[1], 5, 0xfee00000, 0x42);    /* edge */
	msi_route(&ue[2], 20, 0xfee00000, 0x8043); /* level, but not one of the IOAPIC's pins */
	assert_int_equal(kvm_set_irq_routing(kvm, ue, 3, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(kvm_check_request(KVM_REQ_SCAN_IOAPIC, kvm->vcpus[i]));
		vcpu_scan_ioapic(kvm->vcpus[i]);
	}
	assert_true(vcpu->arch.ioapic_handled_vectors[1] == 1ull << 1);
	assert_true(kvm->vcpus[1]->arch.ioapic_handled_vectors[1] == 0); /* not its destination */

	for (u32 gsi = 4; gsi <= 5; gsi++)
		assert_int_equal(kvm_set_irq(kvm, 0, gsi, 1, false), 1);
	assert_int_equal(kvm_set_irq(kvm, 0, 20, 1, false), 1);
	assert_int_equal(next_vector(vcpu), 0x43);
	eoi(vcpu);
	assert_int_equal(next_vector(vcpu), 0x42);
	eoi(vcpu);
	assert_false(kvm_check_request(KVM_REQ_IOAPIC_EOI_EXIT, vcpu));
	assert_int_equal(next_vector(vcpu), 0x41);
	eoi(vcpu);
	assert_true(kvm_check_request(KVM_REQ_IOAPIC_EOI_EXIT, vcpu));
	assert_int_equal(vcpu->arch.pending_ioapic_eoi, 0x41);

	assert_int_equal(kvm_set_irq(kvm, 0, 4, 1, false), 1);
	assert_int_equal(next_vector(vcpu), 0x41);
	ue[0].u.msi.address_lo = 0xfee01000; /* moves while in service: the EOI still leaves */
	kvm_set_irq_routing(kvm, ue, 3, 0);
	vcpu_scan_ioapic(vcpu);
	eoi(vcpu);
	assert_true(kvm_check_request(KVM_REQ_IOAPIC_EOI_EXIT, vcpu));
	vcpu_scan_ioapic(vcpu);
	assert_true(vcpu->arch.ioapic_handled_vectors[1] == 0);
	kvm_check_request(KVM_REQ_SCAN_IOAPIC, vcpu);
	xapic_write(kvm->vcpus[1], APIC_ID, 0x07000000); /* other destinations: look again */
	assert_true(kvm_check_request(KVM_REQ_SCAN_IOAPIC, vcpu));

	xapic_write(vcpu, APIC_LVT0, APIC_LVT_MASKED);
	vcpu->arch.pending_external_vector = 0x33; /* the PIC is user space's */
	assert_int_equal(next_vector(vcpu), -1);
	xapic_write(vcpu, APIC_LVT0, APIC_DM_EXTINT);
	assert_int_equal(next_vector(vcpu), 0x33);
	assert_int_equal(vcpu->arch.pending_external_vector, -1);
	fake_vm_free(kvm);
}

static void test_irq_sources(void **state)
{
	struct kvm *kvm = ioapic_vm(1);
	int first = kvm_request_irq_source_id(kvm), n = 1;

	assert_int_equal(first, 2); /* 0 is user space's, 1 the resampling irqfds' */
	while (kvm_request_irq_source_id(kvm) >= 0)
		n++;
	assert_int_equal(n, 62);
	assert_int_equal(kvm_request_irq_source_id(kvm), -EFAULT);
	rte_write(kvm, 5, IOAPIC_RTE_LEVEL | 0x55);
	outb(kvm, 0x4d0, 0x20);
	kvm_set_irq(kvm, 17, 5, 1, false); /* what it drove is let go of */
	kvm_free_irq_source_id(kvm, 17);
	kvm_set_irq(kvm, 0, 5, 0, false);
	assert_int_equal(next_vector(kvm->vcpus[0]), 0x55);
	eoi(kvm->vcpus[0]);
	assert_int_equal(next_vector(kvm->vcpus[0]), -1);
	assert_int_equal(inb(kvm, 0x20) & 0x20, 0);
	assert_int_equal(kvm_request_irq_source_id(kvm), 17);
	fake_vm_free(kvm);
}

const struct CMUnitTest ioapic_tests[] = {
	cmocka_unit_test(test_registers),
	cmocka_unit_test(test_edge),
	cmocka_unit_test(test_level),
	cmocka_unit_test(test_level_mask),
	cmocka_unit_test(test_shared_line),
	cmocka_unit_test(test_storm),
	cmocka_unit_test(test_destinations),
	cmocka_unit_test(test_default_routing),
	cmocka_unit_test(test_routing_errors),
	cmocka_unit_test(test_state),
	cmocka_unit_test(test_msi),
	cmocka_unit_test(test_split),
	cmocka_unit_test(test_irq_sources),
};
const size_t ioapic_nr_tests = ARRAY_SIZE(ioapic_tests);
