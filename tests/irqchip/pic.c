/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of 8259As, through their ports, their pins and INTA. */
#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

#define MASTER 0x20
#define SLAVE 0xa0
#define EOI 0x20

static struct kvm *pic_vm(void)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0);

	outb(kvm, MASTER, 0x11);
	outb(kvm, MASTER + 1, 0x20);
	outb(kvm, MASTER + 1, 0x04);
	outb(kvm, MASTER + 1, 0x01);
	outb(kvm, SLAVE, 0x11);
	outb(kvm, SLAVE + 1, 0x28);
	outb(kvm, SLAVE + 1, 0x02);
	outb(kvm, SLAVE + 1, 0x01);
	return kvm;
}

static int line(struct kvm *kvm, int pin, int level)
{
	return kvm_pic_set_irq(kvm->arch.vpic, pin, 0, level);
}

static void pulse(struct kvm *kvm, int pin)
{
	line(kvm, pin, 1);
	line(kvm, pin, 0);
}

static void expect_inta(struct kvm *kvm, int vector)
{
	assert_true(kvm_pic_output(kvm));
	assert_int_equal(kvm_pic_read_irq(kvm), vector);
}

static u8 read_reg(struct kvm *kvm, u16 base, bool isr)
{
	outb(kvm, base, isr ? 0x0b : 0x0a);
	return inb(kvm, base);
}

static void test_init_words(void **state)
{
	struct kvm *kvm = pic_vm();

	outb(kvm, MASTER + 1, 0x5a); /* after ICW4 the data port is the IMR */
	assert_int_equal(inb(kvm, MASTER + 1), 0x5a);
	assert_int_equal(inb(kvm, SLAVE + 1), 0);
	outb(kvm, MASTER, 0x11);
	outb(kvm, MASTER + 1, 0x77); /* ICW2: the low three bits are not the vector's */
	outb(kvm, MASTER + 1, 0x04);
	outb(kvm, MASTER + 1, 0x01);
	assert_int_equal(inb(kvm, MASTER + 1), 0); /* ICW1 clears the IMR */
	pulse(kvm, 1);
	expect_inta(kvm, 0x71);
	outb(kvm, MASTER, 0x12); /* SNGL, no ICW4: ICW2 is the last */
	outb(kvm, MASTER + 1, 0x40);
	outb(kvm, MASTER + 1, 0xfe);
	assert_int_equal(inb(kvm, MASTER + 1), 0xfe);
	outb(kvm, MASTER, 0x10); /* cascaded, no ICW4 */
	outb(kvm, MASTER + 1, 0x40);
	outb(kvm, MASTER + 1, 0x04);
	outb(kvm, MASTER + 1, 0x7f);
	assert_int_equal(inb(kvm, MASTER + 1), 0x7f);
	outb(kvm, MASTER, 0x13); /* AEOI */
	outb(kvm, MASTER + 1, 0x40);
	outb(kvm, MASTER + 1, 0x03);
	outb(kvm, MASTER, 0x12); /* no ICW4: all of it off */
	outb(kvm, MASTER + 1, 0x40);
	pulse(kvm, 1);
	expect_inta(kvm, 0x41);
	assert_int_equal(read_reg(kvm, MASTER, true), 0x02);
	fake_vm_free(kvm);
}

static void test_edge(void **state)
{
	struct kvm *kvm = pic_vm();

	assert_false(kvm_pic_output(kvm));
	assert_int_equal(line(kvm, 0, 1), 1);
	assert_int_equal(read_reg(kvm, MASTER, false), 0x01);
	expect_inta(kvm, 0x20);
	assert_int_equal(read_reg(kvm, MASTER, false), 0);
	assert_int_equal(read_reg(kvm, MASTER, true), 0x01);
	outb(kvm, MASTER, EOI);
	assert_int_equal(read_reg(kvm, MASTER, true), 0);
	line(kvm, 0, 1); /* still high: no edge */
	assert_false(kvm_pic_output(kvm));
	line(kvm, 0, 0);
	assert_int_equal(line(kvm, 0, 1), 1);
	line(kvm, 0, 0);                      /* an edge that came stays requested */
	assert_int_equal(line(kvm, 0, 1), 0); /* coalesced */
	expect_inta(kvm, 0x20);
	fake_vm_free(kvm);
}

static void test_spurious(void **state)
{
	struct kvm *kvm = pic_vm();

	assert_int_equal(kvm_pic_read_irq(kvm), 0x27);
	assert_int_equal(read_reg(kvm, MASTER, true), 0);
	pulse(kvm, 9);
	outb(kvm, SLAVE + 1, 0x02); /* masked after the slave has told the master */
	assert_int_equal(kvm_pic_read_irq(kvm), 0x2f);
	assert_int_equal(read_reg(kvm, MASTER, true), 0x04);
	assert_int_equal(read_reg(kvm, SLAVE, true), 0);
	fake_vm_free(kvm);
}

static void test_nesting(void **state)
{
	struct kvm *kvm = pic_vm();

	pulse(kvm, 3);
	expect_inta(kvm, 0x23);
	pulse(kvm, 5);
	pulse(kvm, 3);
	assert_false(kvm_pic_output(kvm)); /* same or lower priority waits */
	pulse(kvm, 1);
	expect_inta(kvm, 0x21);
	assert_int_equal(read_reg(kvm, MASTER, true), 0x0a);
	outb(kvm, MASTER, EOI); /* ends pin 1 */
	assert_int_equal(read_reg(kvm, MASTER, true), 0x08);
	assert_false(kvm_pic_output(kvm));
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x23);
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x25);
	outb(kvm, MASTER, EOI);
	assert_false(kvm_pic_output(kvm));
	fake_vm_free(kvm);
}

static void test_cascade(void **state)
{
	struct kvm *kvm = pic_vm();

	pulse(kvm, 12);
	pulse(kvm, 0);
	expect_inta(kvm, 0x20);
	assert_false(kvm_pic_output(kvm));
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x2c);
	assert_int_equal(read_reg(kvm, MASTER, true), 0x04);
	assert_int_equal(read_reg(kvm, SLAVE, true), 0x10);
	pulse(kvm, 8); /* beats 12 at the slave, not pin 2 in service at the master */
	assert_false(kvm_pic_output(kvm));
	pulse(kvm, 15);
	outb(kvm, SLAVE, EOI);
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x28);
	outb(kvm, SLAVE, EOI);
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x2f);
	outb(kvm, SLAVE, EOI);
	outb(kvm, MASTER, EOI);
	assert_false(kvm_pic_output(kvm));
	fake_vm_free(kvm);
}

static void test_special_fully_nested(void **state)
{
	struct kvm *kvm = pic_vm();

	outb(kvm, MASTER, 0x11);
	outb(kvm, MASTER + 1, 0x20);
	outb(kvm, MASTER + 1, 0x04);
	outb(kvm, MASTER + 1, 0x11); /* SFNM */
	pulse(kvm, 12);
	expect_inta(kvm, 0x2c);
	pulse(kvm, 8);
	expect_inta(kvm, 0x28); /* a better slave pin gets through */
	pulse(kvm, 3);
	assert_false(kvm_pic_output(kvm)); /* worse pins of the master do not */
	pulse(kvm, 1);
	expect_inta(kvm, 0x21);
	fake_vm_free(kvm);
}

static void test_elcr(void **state)
{
	struct kvm *kvm = pic_vm();

	outb(kvm, 0x4d0, 0xff);
	outb(kvm, 0x4d1, 0xff);
	assert_int_equal(inb(kvm, 0x4d0), 0xf8);
	assert_int_equal(inb(kvm, 0x4d1), 0xde);
	assert_int_equal(line(kvm, 10, 1), 1);
	expect_inta(kvm, 0x2a);
	assert_int_equal(read_reg(kvm, SLAVE, false), 0x04); /* the level stays */
	outb(kvm, SLAVE, EOI);
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x2a);
	line(kvm, 10, 0);
	outb(kvm, SLAVE, EOI);
	outb(kvm, MASTER, EOI);
	assert_false(kvm_pic_output(kvm));
	line(kvm, 5, 1);
	line(kvm, 5, 0); /* a level that went is no request */
	assert_false(kvm_pic_output(kvm));
	fake_vm_free(kvm);
}

static void test_auto_eoi(void **state)
{
	struct kvm *kvm = pic_vm();

	outb(kvm, MASTER, 0x11);
	outb(kvm, MASTER + 1, 0x20);
	outb(kvm, MASTER + 1, 0x04);
	outb(kvm, MASTER + 1, 0x03); /* AEOI */
	outb(kvm, MASTER, 0x80);     /* rotate in AEOI */
	pulse(kvm, 1);
	pulse(kvm, 5);
	expect_inta(kvm, 0x21);
	assert_int_equal(read_reg(kvm, MASTER, true), 0);
	assert_int_equal(fake.acks[0][1], 1);
	pulse(kvm, 0); /* the ring now starts at pin 2: 5 before 0 */
	expect_inta(kvm, 0x25);
	expect_inta(kvm, 0x20);
	outb(kvm, MASTER, 0x00); /* rotation off: the ring stays as it is, start at 1 */
	pulse(kvm, 0);
	pulse(kvm, 1);
	expect_inta(kvm, 0x21);
	expect_inta(kvm, 0x20);
	fake_vm_free(kvm);
}

/* INT drops with INTA: what is still wanted is a new edge, at the master and at the CPU. */
static void test_auto_eoi_cascade(void **state)
{
	struct kvm *kvm = pic_vm();

	for (u16 base = MASTER; base <= SLAVE; base += SLAVE - MASTER) {
		outb(kvm, base, 0x11);
		outb(kvm, base + 1, base == MASTER ? 0x20 : 0x28);
		outb(kvm, base + 1, base == MASTER ? 0x04 : 0x02);
		outb(kvm, base + 1, 0x03);
	}
	pulse(kvm, 9);
	pulse(kvm, 11);
	pulse(kvm, 8);
	fake.kicks[0] = 0;
	expect_inta(kvm, 0x28);
	assert_int_equal(fake.kicks[0], 1);
	expect_inta(kvm, 0x29);
	expect_inta(kvm, 0x2b);
	assert_int_equal(fake.kicks[0], 2);
	assert_false(kvm_pic_output(kvm));
	fake_vm_free(kvm);
}

static void test_eoi_commands(void **state)
{
	struct kvm *kvm = pic_vm();

	pulse(kvm, 6);
	expect_inta(kvm, 0x26);
	pulse(kvm, 4);
	expect_inta(kvm, 0x24);
	outb(kvm, MASTER, 0x66); /* specific EOI 6 */
	assert_int_equal(read_reg(kvm, MASTER, true), 0x10);
	outb(kvm, MASTER, 0xa0); /* rotate on non-specific: 4 becomes last */
	assert_int_equal(read_reg(kvm, MASTER, true), 0);
	pulse(kvm, 4);
	pulse(kvm, 5);
	expect_inta(kvm, 0x25);
	outb(kvm, MASTER, 0xe5); /* rotate on specific 5: ring starts at 6 */
	pulse(kvm, 6);
	expect_inta(kvm, 0x26);
	outb(kvm, MASTER, EOI);
	expect_inta(kvm, 0x24);
	outb(kvm, MASTER, EOI);
	outb(kvm, MASTER, 0xc0); /* set priority: 0 is last */
	pulse(kvm, 0);
	pulse(kvm, 7);
	expect_inta(kvm, 0x27);
	outb(kvm, MASTER, 0x40); /* no operation */
	assert_int_equal(read_reg(kvm, MASTER, true), 0x80);
	outb(kvm, MASTER, EOI);
	outb(kvm, MASTER, EOI); /* nothing in service: ignored */
	expect_inta(kvm, 0x20);
	outb(kvm, MASTER, EOI);
	outb(kvm, MASTER, 0xa0); /* rotate, nothing in service: no rotation */
	pulse(kvm, 1);
	pulse(kvm, 0);
	expect_inta(kvm, 0x21);
	outb(kvm, MASTER, EOI);
	outb(kvm, MASTER, 0xe3); /* rotate on specific does, whatever is in service */
	pulse(kvm, 4);
	expect_inta(kvm, 0x24);
	fake_vm_free(kvm);
}

static void test_special_mask(void **state)
{
	struct kvm *kvm = pic_vm();

	pulse(kvm, 2 + 1);
	expect_inta(kvm, 0x23);
	pulse(kvm, 6);
	assert_false(kvm_pic_output(kvm));
	outb(kvm, MASTER + 1, 0x08);
	assert_false(kvm_pic_output(kvm)); /* masking alone does not help */
	outb(kvm, MASTER, 0x68);           /* special mask mode */
	expect_inta(kvm, 0x26);
	outb(kvm, MASTER, EOI); /* non-specific EOI leaves the masked one in service */
	assert_int_equal(read_reg(kvm, MASTER, true), 0x08);
	outb(kvm, MASTER, 0x48); /* back to normal */
	pulse(kvm, 7);
	assert_false(kvm_pic_output(kvm));
	fake_vm_free(kvm);
}

static void test_poll(void **state)
{
	struct kvm *kvm = pic_vm();

	outb(kvm, MASTER, 0x0c);
	assert_int_equal(inb(kvm, MASTER), 0x07); /* nothing there */
	pulse(kvm, 0);
	outb(kvm, MASTER, 0x0c);
	assert_int_equal(inb(kvm, MASTER), 0x80);
	outb(kvm, MASTER, EOI);
	pulse(kvm, 4);
	outb(kvm, MASTER, 0x0c);
	assert_int_equal(inb(kvm, MASTER), 0x84);
	assert_int_equal(read_reg(kvm, MASTER, true), 0x10); /* the poll was the INTA */
	assert_false(kvm_pic_output(kvm));
	outb(kvm, MASTER, EOI);
	pulse(kvm, 14);
	outb(kvm, SLAVE, 0x0c);
	assert_int_equal(inb(kvm, SLAVE + 1), 0x86); /* either port */
	assert_int_equal(inb(kvm, SLAVE + 1), 0);    /* one read only */
	fake_vm_free(kvm);
}

static void test_mask(void **state)
{
	struct kvm *kvm = pic_vm();

	outb(kvm, MASTER + 1, 0xff);
	assert_int_equal(line(kvm, 1, 1), -1);
	assert_false(kvm_pic_output(kvm));
	outb(kvm, MASTER + 1, 0xfd);
	expect_inta(kvm, 0x21); /* it was latched while masked */
	fake_vm_free(kvm);
}

static void test_sources(void **state)
{
	struct kvm *kvm = pic_vm();
	struct kvm_pic *pic = kvm->arch.vpic;

	outb(kvm, 0x4d0, 0x20);
	kvm_pic_set_irq(pic, 5, 0, 1);
	kvm_pic_set_irq(pic, 5, 2, 1);
	kvm_pic_set_irq(pic, 5, 0, 0);
	assert_int_equal(read_reg(kvm, MASTER, false), 0x20); /* source 2 still drives it */
	kvm_pic_clear_all(pic, 2);
	kvm_pic_set_irq(pic, 5, 0, 0);
	assert_int_equal(read_reg(kvm, MASTER, false), 0);
	fake_vm_free(kvm);
}

static void test_wide_access(void **state)
{
	struct kvm *kvm = pic_vm();
	u16 val = 0xffff;

	assert_int_equal(fake_pio(kvm, MASTER, 2, &val, true), 0); /* dropped */
	assert_int_equal(inb(kvm, MASTER + 1), 0);
	assert_int_equal(fake_pio(kvm, MASTER, 2, &val, false), 0);
	assert_int_equal(val, 0);
	fake_vm_free(kvm);
}

static void test_kick(void **state)
{
	struct kvm *kvm = pic_vm();
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	take_event(vcpu);
	fake.kicks[0] = 0;
	pulse(kvm, 1);
	assert_int_equal(fake.kicks[0], 1); /* LINT0 is ExtINT after reset */
	assert_true(take_event(vcpu));
	pulse(kvm, 0); /* INT is high already */
	assert_int_equal(fake.kicks[0], 1);
	assert_true(kvm_cpu_has_extint(vcpu));
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x20);
	xapic_enable(vcpu);
	xapic_write(vcpu, APIC_LVT0, APIC_LVT_MASKED);
	outb(kvm, MASTER, EOI);
	assert_true(kvm_pic_output(kvm));
	assert_false(kvm_cpu_has_interrupt(vcpu)); /* nobody listens */
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), -1);
	assert_int_equal(fake.kicks[0], 1);
	take_event(vcpu);
	xapic_write(vcpu, APIC_LVT0, APIC_DM_EXTINT);
	assert_true(take_event(vcpu)); /* unmasking looks again */
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x21);
	fake_vm_free(kvm);
}

static void test_acks(void **state)
{
	struct kvm *kvm = pic_vm();

	pulse(kvm, 11);
	expect_inta(kvm, 0x2b);
	assert_int_equal(fake.acks[1][11], 0);
	outb(kvm, SLAVE, EOI);
	assert_int_equal(fake.acks[1][11], 1);
	assert_int_equal(fake.acks[0][2], 0);
	outb(kvm, MASTER, EOI);
	assert_int_equal(fake.acks[0][2], 1);
	outb(kvm, MASTER, 0x62); /* not in service any more */
	assert_int_equal(fake.acks[0][2], 1);
	pulse(kvm, 0);
	outb(kvm, MASTER, 0x11); /* a dropped edge counts as acknowledged */
	assert_int_equal(fake.acks[0][0], 1);
	fake_vm_free(kvm);
}

static void test_state(void **state)
{
	struct kvm *kvm = pic_vm();
	struct kvm_irqchip a = { .chip_id = KVM_IRQCHIP_PIC_MASTER }, b = a, bad = { .chip_id = 3 };

	outb(kvm, 0x4d0, 0x20);
	outb(kvm, MASTER + 1, 0x41);
	pulse(kvm, 3);
	expect_inta(kvm, 0x23);
	pulse(kvm, 1);
	assert_int_equal(kvm_vm_ioctl_get_irqchip(kvm, &a), 0);
	assert_int_equal(a.chip.pic.isr, 0x08);
	assert_int_equal(a.chip.pic.irr, 0x02);
	assert_int_equal(a.chip.pic.imr, 0x41);
	assert_int_equal(a.chip.pic.irq_base, 0x20);
	assert_int_equal(a.chip.pic.elcr, 0x20);
	outb(kvm, MASTER, 0x11);
	assert_false(kvm_pic_output(kvm));
	assert_int_equal(kvm_vm_ioctl_set_irqchip(kvm, &a), 0);
	assert_int_equal(kvm_vm_ioctl_get_irqchip(kvm, &b), 0);
	assert_memory_equal(&a.chip.pic, &b.chip.pic, sizeof(a.chip.pic));
	expect_inta(kvm, 0x21);
	a.chip_id = b.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	assert_int_equal(kvm_vm_ioctl_get_irqchip(kvm, &a), 0);
	assert_int_equal(a.chip.pic.irq_base, 0x28);
	a.chip.pic.imr = 0x99;
	assert_int_equal(kvm_vm_ioctl_set_irqchip(kvm, &a), 0);
	assert_int_equal(inb(kvm, SLAVE + 1), 0x99);
	assert_int_equal(kvm_vm_ioctl_get_irqchip(kvm, &bad), -EINVAL);
	assert_int_equal(kvm_vm_ioctl_set_irqchip(kvm, &bad), -EINVAL);
	fake_vm_free(kvm);
}

static void test_create_failures(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_NONE, 0, 0);

	for (unsigned ok = 0; ok < 3; ok++) {
		fake.reg_failures = ok;
		assert_int_equal(kvm_pic_init(kvm), -ENOSPC);
		assert_null(kvm->arch.vpic);
	}
	fake.reg_failures = 0;
	assert_int_equal(kvm_ioapic_init(kvm), -ENOSPC);
	assert_null(kvm->arch.vioapic);
	fake_vm_free(kvm); /* checks that nothing stayed on a bus */
}

const struct CMUnitTest pic_tests[] = {
	cmocka_unit_test(test_init_words),
	cmocka_unit_test(test_edge),
	cmocka_unit_test(test_spurious),
	cmocka_unit_test(test_nesting),
	cmocka_unit_test(test_cascade),
	cmocka_unit_test(test_special_fully_nested),
	cmocka_unit_test(test_elcr),
	cmocka_unit_test(test_auto_eoi),
	cmocka_unit_test(test_auto_eoi_cascade),
	cmocka_unit_test(test_eoi_commands),
	cmocka_unit_test(test_special_mask),
	cmocka_unit_test(test_poll),
	cmocka_unit_test(test_mask),
	cmocka_unit_test(test_sources),
	cmocka_unit_test(test_wide_access),
	cmocka_unit_test(test_kick),
	cmocka_unit_test(test_acks),
	cmocka_unit_test(test_state),
	cmocka_unit_test(test_create_failures),
};
const size_t pic_nr_tests = ARRAY_SIZE(pic_tests);
