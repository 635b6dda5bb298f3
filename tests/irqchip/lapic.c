/* SPDX-License-Identifier: Apache-2.0 */
/* One local APIC: registers through the page and the MSRs, modes, priorities, EOI, state, INIT/SIPI. */
#include <string.h>

#include "tests/irqchip/fake.h"
#include "tests/irqchip/tests.h"

#define PV_PAGE 0x2000

static struct kvm *apic_vm(enum kvm_irqchip_mode mode)
{
	struct kvm *kvm = fake_vm(mode, 1, 0);

	xapic_enable(kvm->vcpus[0]);
	return kvm;
}

static int send(struct kvm_vcpu *vcpu, u8 vector)
{
	struct kvm_lapic_irq irq = { .vector = vector, .level = true };

	return kvm_apic_set_irq(vcpu, &irq);
}

static bool msr_faults(struct kvm_vcpu *vcpu, u32 reg, bool write, u64 val)
{
	u32 msr = APIC_BASE_MSR + reg / 16;

	return write ? kvm_x2apic_msr_write(vcpu, msr, val) : kvm_x2apic_msr_read(vcpu, msr, &val);
}

static void test_reset(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 2, 0);
	struct kvm_vcpu *bsp = kvm->vcpus[0], *ap = kvm->vcpus[1];

	assert_true(bsp->arch.apic_base == (APIC_DEFAULT_PHYS_BASE | 0x900));
	assert_true(ap->arch.apic_base == (APIC_DEFAULT_PHYS_BASE | 0x800));
	assert_int_equal(xapic_read(ap, APIC_ID), 0x01000000);
	assert_int_equal(xapic_read(ap, APIC_LVR), 0x00050014);
	assert_int_equal(xapic_read(ap, APIC_SPIV), 0xff);
	assert_int_equal(xapic_read(ap, APIC_DFR), 0xffffffff);
	assert_int_equal(xapic_read(ap, APIC_LDR), 0);
	for (u32 reg = APIC_LVTT; reg <= APIC_LVTERR; reg += 0x10)
		assert_int_equal(xapic_read(ap, reg), APIC_LVT_MASKED);
	assert_int_equal(xapic_read(bsp, APIC_LVT0), APIC_DM_EXTINT); /* quirk LINT0_REENABLED */
	kvm->arch.disabled_quirks = KVM_X86_QUIRK_LINT0_REENABLED;
	xapic_write(bsp, APIC_ID, 0x07000000);
	kvm_lapic_reset(bsp, true);
	assert_int_equal(xapic_read(bsp, APIC_ID), 0x07000000); /* INIT keeps the ID */
	xapic_write(bsp, APIC_LDR, 0x01000000);
	xapic_write(bsp, APIC_DFR, 0);
	xapic_write(bsp, APIC_TDCR, 0xb);
	xapic_write(bsp, APIC_TASKPRI, 0x40);
	xapic_write(bsp, APIC_ICR2, 0x55000000);
	kvm_lapic_set_reg(bsp->arch.apic, APIC_ESR, 0x40);
	kvm_lapic_reset(bsp, false);
	assert_int_equal(xapic_read(bsp, APIC_ID), 0);
	assert_int_equal(xapic_read(bsp, APIC_LDR) | xapic_read(bsp, APIC_TDCR) | xapic_read(bsp, APIC_ESR),
			 0);
	assert_int_equal(xapic_read(bsp, APIC_TASKPRI) | xapic_read(bsp, APIC_ICR2), 0);
	assert_int_equal(xapic_read(bsp, APIC_DFR), 0xffffffff);
	kvm_lapic_set_reg(bsp->arch.apic, APIC_ESR, 0x40); /* as restored from elsewhere */
	xapic_write(bsp, APIC_ESR, 0xff);
	assert_int_equal(xapic_read(bsp, APIC_ESR), 0);
	assert_int_equal(xapic_read(bsp, APIC_LVT0), APIC_LVT_MASKED);
	ap->arch.mcg_cap = MCG_CMCI_P;
	kvm_apic_set_version(ap);
	assert_int_equal(xapic_read(ap, APIC_LVR), 0x00060014);
	fake_vm_free(kvm);
}

/* What is written and what is read back, in xAPIC mode with the APIC enabled. */
static void test_xapic_registers(void **state)
{
	static const struct {
		u32 reg, write, read;
	} rows[] = {
		{ APIC_ID, 0x12345678, 0x12000000 },
		{ APIC_LVR, 0, 0x00050014 },
		{ APIC_TASKPRI, 0xffffff5a, 0x5a },
		{ APIC_ARBPRI, 0xff, 0 },
		{ APIC_LDR, 0xffffffff, 0xff000000 },
		{ APIC_DFR, 0, 0x0fffffff },
		{ APIC_SPIV, 0xffffffff, 0x3ff },
		{ APIC_ISR, 0xffffffff, 0 },
		{ APIC_TMR + 0x70, 0xffffffff, 0 },
		{ APIC_IRR + 0x10, 0xffffffff, 0 },
		{ APIC_ESR, 0xff, 0 },
		{ APIC_ICR2, 0xffffffff, 0xff000000 },
		{ APIC_LVTT, 0xffffffff, 0x000710ff },
		{ APIC_LVTTHMR, 0xffffffff, 0x000117ff },
		{ APIC_LVTPC, 0xffffffff, 0x000117ff },
		{ APIC_LVT0, 0xffffffff, 0x0001f7ff },
		{ APIC_LVT1, 0xffffffff, 0x0001f7ff },
		{ APIC_LVTERR, 0xffffffff, 0x000110ff },
		{ APIC_TMCCT, 0xffffffff, 0 },
		{ APIC_TDCR, 0xffffffff, 0xb },
		{ APIC_LVTCMCI, 0, 0 }, /* not offered */
		{ APIC_EOI, 0, 0 },
		{ 0x40, 0xffffffff, 0 },
		{ APIC_SELF_IPI, 0x50, 0 },
	};
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		xapic_write(kvm->vcpus[0], rows[i].reg, rows[i].write);
		assert_int_equal(xapic_read(kvm->vcpus[0], rows[i].reg), rows[i].read);
	}
	fake_vm_free(kvm);
}

static void test_xapic_access(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	gpa_t tpr = APIC_DEFAULT_PHYS_BASE + APIC_TASKPRI;
	u32 val = 0x7f;
	u8 bytes[8];

	xapic_write(vcpu, APIC_LDR, 0x56000000);
	assert_int_equal(kvm_lapic_mmio_read(vcpu, APIC_DEFAULT_PHYS_BASE + APIC_LDR + 3, 1, bytes), 0);
	assert_int_equal(bytes[0], 0x56);
	assert_int_equal(kvm_lapic_mmio_read(vcpu, APIC_DEFAULT_PHYS_BASE + APIC_LDR, 8, bytes), 0);
	assert_int_equal(bytes[3], 0); /* wider than a register: nothing */
	assert_int_equal(kvm_lapic_mmio_write(vcpu, tpr, 1, &val), 0);
	assert_int_equal(kvm_lapic_mmio_write(vcpu, tpr + 4, 4, &val), 0);
	assert_int_equal(xapic_read(vcpu, APIC_TASKPRI), 0); /* only aligned words are written */
	assert_int_equal(kvm_lapic_mmio_read(vcpu, APIC_DEFAULT_PHYS_BASE + 0x1000, 4, &val), -EOPNOTSUPP);
	assert_int_equal(kvm_lapic_mmio_write(vcpu, APIC_DEFAULT_PHYS_BASE - 4, 4, &val), -EOPNOTSUPP);
	assert_int_equal(kvm_set_apic_base(vcpu, 0xd0000000 | 0x900, false), 0); /* moved */
	assert_int_equal(kvm_lapic_mmio_read(vcpu, tpr, 4, &val), -EOPNOTSUPP);
	assert_int_equal(kvm_lapic_mmio_read(vcpu, 0xd0000000 + APIC_LDR, 4, &val), 0);
	assert_int_equal(val, 0x56000000);
	fake_vm_free(kvm);
}

static void test_closed_page(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	u32 val = 0;

	x2apic_enable(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_ID), 0xffffffff);
	xapic_write(vcpu, APIC_TASKPRI, 0x33);
	assert_int_equal(x2apic_read(vcpu, APIC_TASKPRI), 0);
	kvm->arch.disabled_quirks = KVM_X86_QUIRK_LAPIC_MMIO_HOLE;
	assert_int_equal(kvm_lapic_mmio_read(vcpu, APIC_DEFAULT_PHYS_BASE, 4, &val), -EOPNOTSUPP);
	assert_int_equal(kvm_lapic_mmio_write(vcpu, APIC_DEFAULT_PHYS_BASE, 4, &val), -EOPNOTSUPP);
	fake_vm_free(kvm);
}

static void test_base_transitions(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	u64 off = APIC_DEFAULT_PHYS_BASE | 0x100, x = off | 0x800, x2 = off | 0xc00;

	assert_int_equal(kvm_set_apic_base(vcpu, off | 0x400, false), 1); /* EXTD without EN */
	assert_int_equal(kvm_set_apic_base(vcpu, off | 0x400, true), 1);
	assert_int_equal(kvm_set_apic_base(vcpu, x | 1, false), 1);
	assert_int_equal(kvm_set_apic_base(vcpu, x | 0x200, false), 1);
	assert_int_equal(kvm_set_apic_base(vcpu, x | 1ull << 46, false), 1); /* beyond MAXPHYADDR */
	assert_int_equal(kvm_set_apic_base(vcpu, x2, false), 0);
	assert_true(kvm_apic_x2apic_mode(vcpu));
	assert_int_equal(kvm_set_apic_base(vcpu, x, false), 1);
	assert_int_equal(kvm_set_apic_base(vcpu, x2, false), 0);
	assert_int_equal(kvm_set_apic_base(vcpu, off, false), 0);
	assert_int_equal(kvm_set_apic_base(vcpu, x, false), 0);
	xapic_write(vcpu, APIC_ID, 0x44000000);
	assert_int_equal(kvm_set_apic_base(vcpu, off, false), 0);
	assert_int_equal(kvm_set_apic_base(vcpu, x, false), 0);
	assert_int_equal(xapic_read(vcpu, APIC_ID), 0); /* switching on restores the ID */
	assert_int_equal(kvm_set_apic_base(vcpu, off, false), 0);
	assert_false(kvm_apic_hw_enabled_vcpu(vcpu));
	assert_int_equal(send(vcpu, 0x40), 0);
	assert_int_equal(kvm_apic_has_interrupt(vcpu), -1);
	assert_int_equal(kvm_set_apic_base(vcpu, x2, false), 1);
	assert_int_equal(kvm_set_apic_base(vcpu, x2, true), 0); /* user space may */
	assert_int_equal(kvm_set_apic_base(vcpu, x, true), 0);
	assert_int_equal(xapic_read(vcpu, APIC_ID), 0);
	vcpu->arch.guest_has_x2apic = false;
	assert_int_equal(kvm_set_apic_base(vcpu, x2, true), 1);
	fake_vm_free(kvm);
}

/* Which MSRs fault on read, on write of 0, and on write of a reserved bit. */
static void test_x2apic_faults(void **state)
{
	static const struct {
		u32 reg;
		bool read, write;
		u64 bad; /* 0: none */
	} rows[] = {
		{ APIC_ID, 0, 1, 0 },
		{ APIC_LVR, 0, 1, 0 },
		{ APIC_TASKPRI, 0, 0, 1ull << 32 },
		{ APIC_ARBPRI, 1, 1, 0 },
		{ APIC_PROCPRI, 0, 1, 0 },
		{ APIC_EOI, 1, 0, 1 },
		{ APIC_LDR, 0, 1, 0 },
		{ APIC_DFR, 1, 1, 0 },
		{ APIC_SPIV, 0, 0, 1ull << 32 },
		{ APIC_ISR + 0x70, 0, 1, 0 },
		{ APIC_TMR, 0, 1, 0 },
		{ APIC_IRR, 0, 1, 0 },
		{ APIC_ESR, 0, 0, 1 },
		{ APIC_LVTCMCI, 1, 1, 0 },
		{ APIC_ICR, 0, 0, 1ull << 20 },
		{ APIC_ICR, 0, 0, 1ull << 13 },
		{ APIC_ICR, 0, 0, 1ull << 16 },
		{ APIC_ICR2, 1, 1, 0 },
		{ APIC_LVTT, 0, 0, 1ull << 32 },
		{ APIC_LVTERR, 0, 0, 1ull << 63 },
		{ APIC_TMICT, 0, 0, 1ull << 32 },
		{ APIC_TMCCT, 0, 1, 0 },
		{ APIC_TDCR, 0, 0, 1ull << 32 },
		{ APIC_SELF_IPI, 1, 0, 0x100 },
		{ 0x10, 1, 1, 0 },
		{ 0x400, 1, 1, 0 },
		{ 0xff0, 1, 1, 0 },
	};
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	assert_true(msr_faults(vcpu, APIC_TASKPRI, false, 0)); /* xAPIC mode has no MSRs */
	x2apic_enable(vcpu);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(msr_faults(vcpu, rows[i].reg, false, 0), rows[i].read);
		assert_int_equal(msr_faults(vcpu, rows[i].reg, true, 0), rows[i].write);
		if (rows[i].bad)
			assert_true(msr_faults(vcpu, rows[i].reg, true, rows[i].bad));
	}
	fake_vm_free(kvm);
}

static void test_x2apic_ids(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0x123);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	assert_int_equal(xapic_read(vcpu, APIC_ID), 0x23000000);
	x2apic_enable(vcpu);
	assert_int_equal(x2apic_read(vcpu, APIC_ID), 0x123);
	assert_int_equal(x2apic_read(vcpu, APIC_LDR), 0x12 << 16 | 1 << 3);
	x2apic_write(vcpu, APIC_ICR, 0x123ull << 32 | APIC_ICR_BUSY | 0x4055);
	assert_true(x2apic_read(vcpu, APIC_ICR) == (0x123ull << 32 | 0x4055));
	fake_vm_free(kvm);
}

static void test_priorities(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	assert_int_equal(send(vcpu, 0x31), 1);
	send(vcpu, 0x52);
	assert_int_equal(kvm_lapic_find_highest_irr(vcpu), 0x52);
	assert_int_equal(xapic_read(vcpu, APIC_IRR + 0x20), 1u << 18);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x52);
	assert_int_equal(xapic_read(vcpu, APIC_ISR + 0x20), 1u << 18);
	assert_int_equal(xapic_read(vcpu, APIC_IRR + 0x20), 0);
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0x50);
	send(vcpu, 0x5f); /* same class */
	assert_int_equal(kvm_apic_has_interrupt(vcpu), -1);
	send(vcpu, 0x60);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x60);
	take_event(vcpu);
	xapic_write(vcpu, APIC_EOI, 0);
	assert_true(take_event(vcpu));
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0x50);
	assert_int_equal(kvm_apic_has_interrupt(vcpu), -1);
	xapic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x5f);
	xapic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x31);
	kvm_lapic_set_eoi(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0);
	send(vcpu, 0x1f); /* the lowest class */
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x1f);
	xapic_write(vcpu, APIC_EOI, 0);
	xapic_write(vcpu, APIC_EOI, 0); /* one too many */
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0);
	fake_vm_free(kvm);
}

static void test_tpr(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	kvm_lapic_set_tpr(vcpu, 5);
	assert_int_equal(xapic_read(vcpu, APIC_TASKPRI), 0x50);
	assert_int_equal(kvm_lapic_get_cr8(vcpu), 5);
	send(vcpu, 0x5e);
	assert_int_equal(kvm_apic_has_interrupt(vcpu), -1);
	xapic_write(vcpu, APIC_TASKPRI, 0x4f);
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0x4f); /* TPR wins with its subclass */
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x5e);
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0x50);
	xapic_write(vcpu, APIC_TASKPRI, 0x5a);
	assert_int_equal(xapic_read(vcpu, APIC_PROCPRI), 0x5a); /* equal classes: TPR */
	send(vcpu, 0x61);
	xapic_write(vcpu, APIC_TASKPRI, 0xff);
	take_event(vcpu);
	kvm_lapic_set_tpr(vcpu, 5);
	assert_true(take_event(vcpu)); /* lowering TPR uncovers it */
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x61);
	fake_vm_free(kvm);
}

static void test_acceptance(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	struct kvm_lapic_irq level = { .vector = 0x45, .trig_mode = true, .level = true };

	assert_int_equal(send(vcpu, 0x40), 0); /* software-disabled */
	assert_false(kvm_lapic_enabled(vcpu));
	xapic_enable(vcpu);
	assert_true(kvm_lapic_enabled(vcpu));
	fake.kicks[0] = 0;
	take_event(vcpu);
	assert_int_equal(send(vcpu, 0x40), 1);
	assert_int_equal(fake.kicks[0], 1);
	assert_true(take_event(vcpu));
	for (u8 illegal = 0; illegal < 16; illegal++)
		assert_int_equal(send(vcpu, illegal), 0);
	kvm_apic_set_irq(vcpu, &level);
	assert_int_equal(xapic_read(vcpu, APIC_TMR + 0x20), 1u << 5);
	send(vcpu, 0x45); /* the last delivery decides */
	assert_int_equal(xapic_read(vcpu, APIC_TMR + 0x20), 0);
	level.level = false;
	assert_int_equal(kvm_apic_set_irq(vcpu, &level), 0); /* de-assert */
	fake_vm_free(kvm);
}

static void test_software_disable(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	xapic_write(vcpu, APIC_LVT1, APIC_DM_NMI);
	xapic_write(vcpu, APIC_LVT0, APIC_DM_NMI);
	assert_int_equal(kvm->arch.vapics_in_nmi_mode, 1);
	kvm_apic_nmi_wd_deliver(vcpu);
	assert_int_equal(fake.nmis[0], 1);
	xapic_write(vcpu, APIC_SPIV, 0xff);
	assert_int_equal(xapic_read(vcpu, APIC_LVT1), APIC_DM_NMI | APIC_LVT_MASKED);
	assert_int_equal(kvm->arch.vapics_in_nmi_mode, 0);
	kvm_apic_nmi_wd_deliver(vcpu);
	assert_int_equal(fake.nmis[0], 1);
	xapic_write(vcpu, APIC_LVT1, APIC_DM_NMI);
	assert_int_equal(xapic_read(vcpu, APIC_LVT1), APIC_DM_NMI | APIC_LVT_MASKED); /* stays masked */
	xapic_enable(vcpu);
	xapic_write(vcpu, APIC_LVT1, APIC_DM_NMI);
	assert_int_equal(xapic_read(vcpu, APIC_LVT1), APIC_DM_NMI);
	fake_vm_free(kvm);
}

/* A local source that is a level interrupt. */
static void test_lint_level(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	xapic_write(vcpu, APIC_LVT1, APIC_LVT_LEVEL_TRIGGER | 0x44);
	assert_int_equal(kvm_apic_local_deliver(vcpu->arch.apic, APIC_LVT1), 1);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x44);
	assert_true(lapic_test_vector(vcpu->arch.apic, APIC_TMR, 0x44));
	fake_vm_free(kvm);
}

static void test_cmci(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	vcpu->arch.mcg_cap = MCG_CMCI_P;
	xapic_write(vcpu, APIC_LVTCMCI, 0xffffffff);
	assert_int_equal(xapic_read(vcpu, APIC_LVTCMCI), 0x117ff);
	x2apic_enable(vcpu);
	assert_false(msr_faults(vcpu, APIC_LVTCMCI, false, 0));
	assert_false(msr_faults(vcpu, APIC_LVTCMCI, true, 0x10020));
	fake_vm_free(kvm);
}

static void test_directed_eoi(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_SPLIT, 1, 0);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	xapic_write(vcpu, APIC_SPIV, 0x11ff);
	assert_int_equal(xapic_read(vcpu, APIC_SPIV), 0x11ff);
	vcpu->arch.guest_has_x2apic = false;
	kvm_apic_set_version(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_LVR), 0x00050014);
	xapic_write(vcpu, APIC_SPIV, 0x11ff);
	assert_int_equal(xapic_read(vcpu, APIC_SPIV), 0x01ff);
	fake_vm_free(kvm);
}

/* ---- PV EOI ---------------------------------------------------------------------------------- */

static void test_pv_eoi(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	assert_int_equal(kvm_lapic_set_pv_eoi(vcpu, PV_PAGE | 3), 1);        /* misaligned */
	assert_int_equal(kvm_lapic_set_pv_eoi(vcpu, FAKE_GUEST_RAM | 1), 1); /* no RAM there */
	assert_int_equal(kvm_lapic_set_pv_eoi(vcpu, PV_PAGE | 1), 0);
	kvm_lapic_sync_to_vapic(vcpu);
	assert_int_equal(fake_ram[PV_PAGE], 0); /* nothing in service */
	send(vcpu, 0x50);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x50);
	kvm_lapic_sync_to_vapic(vcpu);
	assert_int_equal(fake_ram[PV_PAGE], 1);
	kvm_lapic_sync_from_vapic(vcpu); /* the guest has not ended it */
	assert_int_equal(fake_ram[PV_PAGE], 0);
	assert_int_equal(xapic_read(vcpu, APIC_ISR + 0x20), 1u << 16);
	kvm_lapic_sync_to_vapic(vcpu);
	fake_ram[PV_PAGE] = 0; /* now it has */
	kvm_lapic_sync_from_vapic(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_ISR + 0x20), 0);
	send(vcpu, 0x50);
	kvm_cpu_get_interrupt(vcpu);
	kvm_lapic_sync_to_vapic(vcpu);
	kvm_lapic_set_pv_eoi(vcpu, 0); /* switched off meanwhile: nobody's bit */
	fake_ram[PV_PAGE] = 0;
	kvm_lapic_sync_from_vapic(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_ISR + 0x20), 1u << 16);
	xapic_write(vcpu, APIC_EOI, 0);
	kvm_lapic_set_pv_eoi(vcpu, PV_PAGE | 1);
	send(vcpu, 0x50);
	kvm_cpu_get_interrupt(vcpu);
	kvm_lapic_sync_to_vapic(vcpu);
	send(vcpu, 0x40); /* comes before the entry: that is given up, and a real EOI is needed */
	kvm_lapic_sync_to_vapic(vcpu);
	assert_int_equal(fake_ram[PV_PAGE], 0);
	kvm_lapic_set_pv_eoi(vcpu, 0);
	xapic_write(vcpu, APIC_EOI, 0);
	kvm_cpu_get_interrupt(vcpu);
	kvm_lapic_sync_to_vapic(vcpu);
	assert_int_equal(fake_ram[PV_PAGE], 0);
	fake_vm_free(kvm);
}

static void test_pv_eoi_ioapic(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	kvm_lapic_set_pv_eoi(vcpu, PV_PAGE | 1);
	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS, 0x10);
	mmio_write32(kvm, IOAPIC_DEFAULT_BASE_ADDRESS + 0x10, 0x8050);
	assert_true(kvm_ioapic_handles_vector(kvm, 0x50));
	send(vcpu, 0x50);
	kvm_cpu_get_interrupt(vcpu);
	kvm_lapic_sync_to_vapic(vcpu);
	assert_int_equal(fake_ram[PV_PAGE], 0); /* the IOAPIC needs to hear of it */
	fake_vm_free(kvm);
}

static void test_vapic(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	assert_int_equal(kvm_lapic_set_vapic_addr(vcpu, FAKE_GUEST_RAM), -EINVAL);
	assert_int_equal(kvm_lapic_set_vapic_addr(vcpu, PV_PAGE), 0);
	send(vcpu, 0x51);
	kvm_cpu_get_interrupt(vcpu);
	send(vcpu, 0x42);
	xapic_write(vcpu, APIC_TASKPRI, 0x20);
	kvm_lapic_sync_to_vapic(vcpu);
	assert_int_equal(*(u32 *)&fake_ram[PV_PAGE], 0x42005020);
	fake_ram[PV_PAGE] = 0x60;
	kvm_lapic_sync_from_vapic(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_TASKPRI), 0x60);
	xapic_write(vcpu, APIC_EOI, 0);
	take_event(vcpu);
	fake_ram[PV_PAGE] = 0x10;
	kvm_lapic_sync_from_vapic(vcpu);
	assert_true(take_event(vcpu)); /* 0x42 comes through now */
	fake_ram[PV_PAGE] = 0x60;
	kvm_lapic_sync_from_vapic(vcpu);
	assert_int_equal(kvm_lapic_set_vapic_addr(vcpu, 0), 0);
	fake_ram[PV_PAGE] = 0x70;
	kvm_lapic_sync_from_vapic(vcpu);
	assert_int_equal(xapic_read(vcpu, APIC_TASKPRI), 0x60);
	fake_vm_free(kvm);
}

/* ---- KVM_GET/SET_LAPIC ----------------------------------------------------------------------- */

static u32 state_reg(struct kvm_lapic_state *s, u32 reg)
{
	u32 val;

	memcpy(&val, s->regs + reg, 4);
	return val;
}

static void test_state(void **state)
{
	struct kvm *kvm = apic_vm(KVM_IRQCHIP_KERNEL);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	struct kvm_lapic_state a, b;

	xapic_write(vcpu, APIC_LDR, 0x08000000);
	xapic_write(vcpu, APIC_TASKPRI, 0x20);
	xapic_write(vcpu, APIC_LVT0, APIC_DM_NMI);
	send(vcpu, 0x61);
	kvm_cpu_get_interrupt(vcpu);
	send(vcpu, 0x52);
	send(vcpu, 0x71);
	assert_int_equal(kvm_apic_get_state(vcpu, &a), 0);
	assert_int_equal(state_reg(&a, APIC_PROCPRI), 0x60);
	kvm_lapic_reset(vcpu, false);
	assert_int_equal(kvm_lapic_find_highest_irr(vcpu), -1);
	assert_int_equal(kvm->arch.vapics_in_nmi_mode, 0);
	take_event(vcpu);
	assert_int_equal(kvm_apic_set_state(vcpu, &a), 0);
	assert_true(take_event(vcpu));
	assert_int_equal(kvm->arch.vapics_in_nmi_mode, 1);
	kvm_apic_get_state(vcpu, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x71);
	xapic_write(vcpu, APIC_EOI, 0);
	xapic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x52);
	memset(a.regs + APIC_LVR, 0xff, 4);
	kvm_apic_set_state(vcpu, &a);
	assert_int_equal(xapic_read(vcpu, APIC_LVR), 0x00050014); /* not user space's to choose */
	fake_vm_free(kvm);
}

static void test_state_x2apic(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 1, 0x12);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	struct kvm_lapic_state s;
	u32 wrong = 0x77;

	x2apic_enable(vcpu);
	x2apic_write(vcpu, APIC_ICR, 0x12ull << 32 | 0x4055);
	kvm_apic_get_state(vcpu, &s);
	assert_int_equal(state_reg(&s, APIC_ID), 0x12000000); /* the old format */
	assert_int_equal(state_reg(&s, APIC_ICR), 0x4055);
	assert_int_equal(state_reg(&s, APIC_ICR2), 0x12);
	memcpy(s.regs + APIC_ID, &wrong, 4);
	memcpy(s.regs + APIC_LDR, &wrong, 4);
	assert_int_equal(kvm_apic_set_state(vcpu, &s), 0); /* ignored there */
	assert_int_equal(x2apic_read(vcpu, APIC_ID), 0x12);
	assert_int_equal(x2apic_read(vcpu, APIC_LDR), 1 << 16 | 1 << 2);
	assert_true(x2apic_read(vcpu, APIC_ICR) == (0x12ull << 32 | 0x4055));
	kvm->arch.x2apic_format = true;
	memcpy(s.regs + APIC_ID, &wrong, 4);
	assert_int_equal(kvm_apic_set_state(vcpu, &s), -EINVAL);
	kvm_apic_get_state(vcpu, &s);
	assert_int_equal(state_reg(&s, APIC_ID), 0x12);
	assert_int_equal(kvm_apic_set_state(vcpu, &s), 0);
	fake_vm_free(kvm);
}

/* ---- INIT, SIPI ------------------------------------------------------------------------------ */

static void test_init_sipi(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 2, 0);
	struct kvm_vcpu *bsp = kvm->vcpus[0], *ap = kvm->vcpus[1];

	xapic_enable(bsp);
	xapic_write(bsp, APIC_ICR2, 0x01000000);
	xapic_write(bsp, APIC_ICR, APIC_DM_STARTUP | 0x42);
	assert_true(kvm_apic_has_pending_init_or_sipi(ap));
	kvm_apic_accept_events(ap);
	assert_int_equal(fake.sipi[1], -1); /* not waiting for it: dropped */
	assert_false(kvm_apic_has_pending_init_or_sipi(ap));
	fake.kicks[1] = 0;
	xapic_write(bsp, APIC_ICR, APIC_DM_INIT | APIC_INT_ASSERT | APIC_INT_LEVELTRIG);
	assert_int_equal(fake.kicks[1], 1);
	assert_true(kvm_lapic_latched_init(ap));
	xapic_write(bsp, APIC_ICR, APIC_DM_INIT | APIC_INT_LEVELTRIG); /* de-assert: nothing */
	xapic_write(ap, APIC_TASKPRI, 0x40);
	kvm_apic_accept_events(ap);
	assert_int_equal(fake.resets[1], 1);
	assert_int_equal(xapic_read(ap, APIC_TASKPRI), 0);
	assert_int_equal(ap->arch.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	xapic_write(bsp, APIC_ICR, APIC_DM_STARTUP | 0x42);
	xapic_write(bsp, APIC_ICR, APIC_DM_STARTUP | 0x43);
	fake.kicks[1] = 0;
	kvm_apic_accept_events(ap);
	assert_int_equal(fake.sipi[1], 0x43);
	assert_int_equal(ap->arch.mp_state, KVM_MP_STATE_RUNNABLE);
	xapic_write(bsp, APIC_ICR2, 0);
	xapic_write(bsp, APIC_ICR, APIC_DM_INIT | APIC_INT_ASSERT);
	kvm_apic_accept_events(bsp);
	assert_int_equal(bsp->arch.mp_state, KVM_MP_STATE_RUNNABLE); /* the BSP just starts again */
	fake_vm_free(kvm);
}

static void test_latched_events(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_KERNEL, 2, 0);
	struct kvm_vcpu *ap = kvm->vcpus[1];

	kvm_lapic_set_latched_init(ap, true);
	assert_true(kvm_lapic_latched_init(ap));
	kvm_lapic_set_latched_init(ap, false);
	assert_false(kvm_lapic_latched_init(ap));
	kvm_lapic_set_pending_sipi(ap);
	assert_true(kvm_apic_has_pending_init_or_sipi(ap));
	kvm_lapic_set_latched_init(ap, true);
	kvm_apic_accept_events(ap); /* both: INIT, then SIPI */
	assert_int_equal(fake.resets[1], 1);
	assert_int_equal(ap->arch.mp_state, KVM_MP_STATE_RUNNABLE);
	fake_vm_free(kvm);
}

static void test_userspace_irqchip(void **state)
{
	struct kvm *kvm = fake_vm(KVM_IRQCHIP_NONE, 1, 0);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];
	u32 val;

	assert_null(vcpu->arch.apic);
	assert_true(msr_faults(vcpu, APIC_TASKPRI, false, 0));
	assert_true(msr_faults(vcpu, APIC_TASKPRI, true, 0));
	assert_int_equal(kvm_lapic_mmio_read(vcpu, APIC_DEFAULT_PHYS_BASE, 4, &val), -EOPNOTSUPP);
	assert_int_equal(kvm_set_apic_base(vcpu, APIC_DEFAULT_PHYS_BASE | 0x900, true), 0);
	assert_false(kvm_cpu_has_interrupt(vcpu));
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), -1);
	vcpu->arch.interrupt.injected = true;
	vcpu->arch.interrupt.nr = 0x31;
	assert_true(kvm_cpu_has_interrupt(vcpu));
	assert_int_equal(kvm_cpu_get_interrupt(vcpu), 0x31);
	assert_false(kvm_cpu_has_pending_timer(vcpu));
	kvm_inject_pending_timer_irqs(vcpu);
	kvm_lapic_sync_from_vapic(vcpu);
	kvm_lapic_sync_to_vapic(vcpu);
	assert_false(kvm_apic_has_pending_init_or_sipi(vcpu));
	fake_vm_free(kvm);
}

const struct CMUnitTest lapic_tests[] = {
	cmocka_unit_test(test_reset),
	cmocka_unit_test(test_xapic_registers),
	cmocka_unit_test(test_xapic_access),
	cmocka_unit_test(test_closed_page),
	cmocka_unit_test(test_base_transitions),
	cmocka_unit_test(test_x2apic_faults),
	cmocka_unit_test(test_x2apic_ids),
	cmocka_unit_test(test_priorities),
	cmocka_unit_test(test_tpr),
	cmocka_unit_test(test_acceptance),
	cmocka_unit_test(test_software_disable),
	cmocka_unit_test(test_cmci),
	cmocka_unit_test(test_lint_level),
	cmocka_unit_test(test_directed_eoi),
	cmocka_unit_test(test_pv_eoi),
	cmocka_unit_test(test_pv_eoi_ioapic),
	cmocka_unit_test(test_vapic),
	cmocka_unit_test(test_state),
	cmocka_unit_test(test_state_x2apic),
	cmocka_unit_test(test_init_sipi),
	cmocka_unit_test(test_latched_events),
	cmocka_unit_test(test_userspace_irqchip),
};
const size_t lapic_nr_tests = ARRAY_SIZE(lapic_tests);
