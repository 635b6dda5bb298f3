/* SPDX-License-Identifier: Apache-2.0 */
/* LPIs and the ITS: commands, delivery, tables saved and restored, the device's errors. */
#include <string.h>

#include "tests/vgic/fake.h"
#include "tests/vgic/tests.h"

#define ITS KVM_DEV_TYPE_ARM_VGIC_ITS
#define ADDR KVM_DEV_ARM_VGIC_GRP_ADDR
#define CTRL KVM_DEV_ARM_VGIC_GRP_CTRL
#define REGS KVM_DEV_ARM_VGIC_GRP_ITS_REGS

#define CTLR (GITS + 0x00)
#define TYPER (GITS + 0x08)
#define CBASER (GITS + 0x80)
#define CWRITER (GITS + 0x88)
#define CREADR (GITS + 0x90)
#define BASER0 (GITS + 0x100)
#define BASER1 (GITS + 0x108)
#define VALID (1ull << 63)

#define QUEUE (FAKE_RAM_BASE + 0x10000) /* 4 KiB */
#define DEVICES (FAKE_RAM_BASE + 0x20000) /* 64 KiB */
#define COLLECTIONS (FAKE_RAM_BASE + 0x30000) /* 64 KiB */
#define PROP (FAKE_RAM_BASE + 0x40000)
#define PEND(n) (FAKE_RAM_BASE + 0x60000 + (n) * 0x10000)
#define ITT(n) (FAKE_RAM_BASE + 0xa0000 + (n) * 0x1000)
#define PROP_SET(lpi, byte) (*ram(PROP + (lpi) - 8192) = (byte))

static struct kvm_device *its_device(struct kvm *kvm)
{
	int err;
	struct kvm_device *dev = fake_device(kvm, ITS, &err);

	assert_int_equal(err, 0);
	return dev;
}

static void enable_lpis(struct kvm_vcpu *vcpu)
{
	unsigned n = (unsigned)vcpu->vcpu_idx;

	on(vcpu);
	w64(GICR(n) + 0x70, PROP | 15);
	w64(GICR(n) + 0x78, PEND(n));
	w32(GICR(n), 1);
	msr(ICC_PMR, 0xf8);
	msr(ICC_IGRPEN1, 1);
}

static void enable_its(u64 device_table)
{
	w64(CBASER, VALID | QUEUE);
	w64(BASER0, VALID | device_table);
	w64(BASER1, VALID | COLLECTIONS);
	w32(CTLR, 1);
}

/* nr vCPUs, LPIs on, the ITS on, all LPIs enabled with priority 0xa0. */
static struct kvm *its_vm(unsigned nr)
{
	struct kvm *kvm = fake_gic_vm(nr, KVM_DEV_TYPE_ARM_VGIC_V3);

	assert_int_equal(dev_set(its_device(kvm), ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS), 0);
	memset(ram(PROP), 0xa1, 0x10000);
	while (nr--)
		enable_lpis(kvm->vcpus[nr]);
	enable_its(DEVICES);
	return kvm;
}

static void command(u64 w0, u64 w1, u64 w2, u64 w3)
{
	u64 at = r64(CWRITER), cmd[4] = { w0, w1, w2, w3 };

	memcpy(ram(QUEUE + at), cmd, sizeof(cmd));
	w64(CWRITER, (at + 32) % 4096);
	assert_true(r64(CREADR) == (at + 32) % 4096);
}

static void mapd(u32 dev, gpa_t itt, u32 bits)
{
	command(0x08 | (u64)dev << 32, bits - 1, itt | VALID, 0);
}

static void unmapd(u32 dev)
{
	command(0x08 | (u64)dev << 32, 0, 0, 0);
}

static void mapc(u32 coll, u32 cpu)
{
	command(0x09, 0, VALID | (u64)cpu << 16 | coll, 0);
}

static void unmapc(u32 coll)
{
	command(0x09, 0, coll, 0);
}

static void mapti(u32 dev, u32 event, u32 lpi, u32 coll)
{
	command(0x0a | (u64)dev << 32, event | (u64)lpi << 32, coll, 0);
}

static void event_cmd(u8 nr, u32 dev, u32 event)
{
	command(nr | (u64)dev << 32, event, 0, 0);
}

#define CMD_INT 0x03
#define CMD_CLEAR 0x04
#define CMD_INV 0x0c
#define CMD_DISCARD 0x0f

static int msi_at(struct kvm *kvm, gpa_t addr, u32 dev, u32 event)
{
	struct kvm_msi msi = {
		.address_lo = (u32)addr,
		.address_hi = (u32)(addr >> 32),
		.data = event,
		.devid = dev,
		.flags = KVM_MSI_VALID_DEVID,
	};

	return kvm_send_userspace_msi(kvm, &msi);
}

static int msi(struct kvm *kvm, u32 dev, u32 event)
{
	return msi_at(kvm, GITS + 0x10040, dev, event);
}

static void test_registers(void **state)
{
	struct kvm *kvm = its_vm(1);

	assert_int_equal(r32(GICD + 4), 7 | 1 << 17 | 15 << 19); /* LPIs, 16 bits of INTID */
	assert_true(r64(GICR(0) + 8) == (1 | 1 << 4)); /* physical LPIs, last */
	assert_int_equal(r32(GICR(0)), 7);
	assert_true(r64(GICR(0) + 0x70) == (PROP | 0x18f));
	w64(GICR(0) + 0x70, 0);
	assert_true(r64(GICR(0) + 0x70) == (PROP | 0x18f)); /* fixed while LPIs are on */
	assert_int_equal(r32(CTLR), 0x80000001);
	assert_int_equal(r32(GITS + 4), 0x4b00043b);
	assert_true(r64(TYPER) == (1 | 7 << 4 | 15 << 8 | 15 << 13));
	assert_int_equal(r32(TYPER), 1 | 7 << 4 | 15 << 8 | 15 << 13);
	assert_true(r64(BASER0) == (VALID | 3ull << 59 | 1ull << 56 | 7ull << 48 | DEVICES | 2 << 8));
	assert_true(r64(BASER1) == (VALID | 3ull << 59 | 4ull << 56 | 7ull << 48 | COLLECTIONS | 2 << 8));
	assert_true(r64(GITS + 0x110) == 0);
	w64(BASER0, 0); /* fixed while enabled */
	w64(CBASER, 0);
	assert_true(r64(BASER0) & VALID);
	assert_true(r64(CBASER) & VALID);
	assert_int_equal(r32(GITS + 0xffe8), 0x3b);
	assert_int_equal(r32(GITS + 0xfff0), 0x0d);
	w32(CTLR, 0);
	assert_int_equal(r32(CTLR), 0x80000000);
	w64(BASER1, VALID | 1ull << 62 | 2 << 10 | COLLECTIONS); /* not indirect; outer shareable becomes inner */
	assert_true(r64(BASER1) ==
		    (VALID | 3ull << 59 | 4ull << 56 | 7ull << 48 | COLLECTIONS | 1 << 10 | 2 << 8));
	w64(BASER0, 0);
	w32(CTLR, 1);
	assert_int_equal(r32(CTLR), 0x80000000); /* not without a device table */
	w32(BASER0, DEVICES & 0xffffffff);
	w32(BASER0 + 4, VALID >> 32);
	w32(CTLR, 1);
	assert_int_equal(r32(CTLR), 0x80000001);
	w64(CWRITER, 0x2000); /* beyond the queue: ignored */
	assert_true(r64(CWRITER) == 0);
	fake_vm_free(kvm);
}

static void test_delivery(void **state)
{
	struct kvm *kvm = its_vm(2);
	struct kvm_vcpu *vcpu = kvm->vcpus[1];

	mapd(8, ITT(0), 5);
	mapc(1, 1);
	mapti(8, 3, 8195, 1);
	assert_int_equal(msi(kvm, 8, 3), 1);
	assert_true(told(vcpu));
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(line(kvm->vcpus[0]), '-');
	on(vcpu);
	assert_int_equal(mrs(ICC_HPPIR1), 8195);
	assert_int_equal(mrs(ICC_IAR1), 8195);
	assert_int_equal(mrs(ICC_RPR), 0xa0);
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(msi(kvm, 8, 3), 1); /* pends: an LPI is never active */
	assert_int_equal(line(vcpu), '-'); /* but it does not preempt itself */
	msr(ICC_EOIR1, 8195);
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(mrs(ICC_IAR1), 8195);
	msr(ICC_EOIR1, 8195);
	assert_int_equal(mrs(ICC_IAR1), 1023);
	/* blocked by the guest: 0. Not delivered at all: errors. */
	assert_int_equal(msi(kvm, 8, 4), 0);
	assert_int_equal(msi(kvm, 9, 3), 0);
	assert_int_equal(msi(kvm, 0x1000008, 3), 0);
	assert_int_equal(msi_at(kvm, GITS + 0x20000, 8, 3), -EINVAL);
	assert_int_equal(msi_at(kvm, GICD, 8, 3), -EINVAL);
	w32(GICR(1), 0); /* LPIs off */
	assert_int_equal(msi(kvm, 8, 3), -EBUSY);
	w32(GICR(1), 1);
	w32(CTLR, 0);
	assert_int_equal(msi(kvm, 8, 3), -EBUSY);
	fake_vm_free(kvm);
}

static void test_msi_routing(void **state)
{
	struct kvm *kvm = its_vm(1);
	struct kvm_irq_routing_entry e = {
		.gsi = 7,
		.type = KVM_IRQ_ROUTING_MSI,
		.flags = KVM_MSI_VALID_DEVID,
		.u.msi = { .address_lo = GITS + 0x10040, .data = 3, .devid = 8 },
	};
	struct kvm_msi no_devid = { .address_lo = GITS + 0x10040, .data = 3 };
	struct kvm *v3 = NULL;

	mapd(8, ITT(0), 5);
	mapc(0, 0);
	mapti(8, 3, 8200, 0);
	assert_int_equal(kvm_set_irq_routing(kvm, &e, 1, 0), 0);
	assert_int_equal(kvm_set_irq(kvm, 0, 7, 1, false), 1);
	assert_int_equal(mrs(ICC_IAR1), 8200);
	assert_true(kvm_set_irq(kvm, 0, 7, 0, false) < 0);
	assert_int_equal(kvm_send_userspace_msi(kvm, &no_devid), -EINVAL);
	assert_true(vgic_msis_require_devid(kvm));
	fake_vm_free(kvm);

	v3 = fake_gic_vm(1, KVM_DEV_TYPE_ARM_VGIC_V3);
	assert_int_equal(msi(v3, 8, 3), -ENODEV); /* no ITS */
	assert_false(vgic_msis_require_devid(v3));
	fake_vm_free(v3);
	v3 = fake_vm(1);
	assert_int_equal(msi(v3, 8, 3), -EINVAL); /* no interrupt controller */
	fake_vm_free(v3);
}

static void test_config(void **state)
{
	struct kvm *kvm = its_vm(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	PROP_SET(8195, 0x80); /* disabled */
	mapd(8, ITT(0), 5);
	mapc(0, 0);
	mapti(8, 3, 8195, 0);
	mapti(8, 4, 8196, 0);
	assert_int_equal(msi(kvm, 8, 3), 1);
	assert_int_equal(line(vcpu), '-');
	PROP_SET(8195, 0x81);
	assert_int_equal(line(vcpu), '-'); /* not looked at */
	event_cmd(CMD_INV, 8, 3);
	assert_int_equal(line(vcpu), 'i');
	PROP_SET(8195, 0x80);
	command(0x0d, 0, 0, 0); /* INVALL */
	assert_int_equal(line(vcpu), '-');
	PROP_SET(8195, 0x81);
	w64(GICR(0) + 0xa0, 8195); /* INVLPIR */
	assert_int_equal(line(vcpu), 'i');
	PROP_SET(8195, 0x80);
	w64(GICR(0) + 0xb0, 0); /* INVALLR */
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(r32(GICR(0) + 0xc0), 0); /* not busy */
	PROP_SET(8195, 0x91);
	PROP_SET(8196, 0x41);
	event_cmd(CMD_INV, 8, 3);
	event_cmd(CMD_INV, 8, 4);
	event_cmd(CMD_INT, 8, 4);
	assert_int_equal(mrs(ICC_IAR1), 8196); /* the higher priority */
	msr(ICC_EOIR1, 8196);
	event_cmd(CMD_CLEAR, 8, 3);
	assert_int_equal(mrs(ICC_IAR1), 1023);
	fake_vm_free(kvm);
}

static void test_moving(void **state)
{
	struct kvm *kvm = its_vm(3);

	mapd(8, ITT(0), 5);
	mapc(0, 0);
	mapc(1, 1);
	mapti(8, 0, 8192, 0);
	mapti(8, 1, 8193, 0);
	msi(kvm, 8, 0);
	command(0x01 | 8ull << 32, 0, 1, 0); /* MOVI event 0 to collection 1: pending, too */
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	command(0x0e, 0, 1 << 16, 2 << 16); /* MOVALL from CPU 1 to 2 */
	assert_int_equal(line(kvm->vcpus[1]), '-');
	assert_int_equal(line(kvm->vcpus[2]), 'i');
	command(0x0e, 0, 7 << 16, 2 << 16); /* no such CPU */
	msi(kvm, 8, 1);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	mapc(0, 1); /* the collection goes elsewhere */
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	mapc(0, 7); /* no such CPU: ignored */
	assert_int_equal(msi(kvm, 8, 1), 1);
	unmapc(0);
	assert_int_equal(msi(kvm, 8, 1), 0);
	mapc(0, 0);
	assert_int_equal(msi(kvm, 8, 1), 0); /* it must be mapped anew */
	command(0x01 | 8ull << 32, 1, 1, 0); /* MOVI of one without a collection */
	assert_int_equal(msi(kvm, 8, 1), 0);
	fake_vm_free(kvm);
}

static void test_unmapping(void **state)
{
	struct kvm *kvm = its_vm(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	mapd(8, ITT(0), 5);
	mapti(8, 0, 8192, 0); /* before its collection */
	assert_int_equal(msi(kvm, 8, 0), 0);
	mapc(0, 0);
	assert_int_equal(msi(kvm, 8, 0), 1);
	assert_int_equal(line(vcpu), 'i');
	ram_w64(ITT(0), ~0ull);
	event_cmd(CMD_DISCARD, 8, 0);
	assert_int_equal(line(vcpu), '-');
	assert_true(ram_r64(ITT(0)) == 0);
	assert_int_equal(msi(kvm, 8, 0), 0);
	event_cmd(CMD_DISCARD, 8, 0); /* there is none: ignored */
	event_cmd(CMD_CLEAR, 8, 0);
	event_cmd(CMD_INV, 8, 0);
	event_cmd(CMD_INT, 8, 0);
	mapti(8, 1, 8193, 0);
	msi(kvm, 8, 1);
	ram_w64(DEVICES + 8 * 8, ~0ull);
	unmapd(8);
	assert_true(ram_r64(DEVICES + 8 * 8) == 0);
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(msi(kvm, 8, 1), 0);
	mapd(8, ITT(1), 5);
	assert_int_equal(msi(kvm, 8, 1), 0);
	mapti(8, 1, 8193, 0);
	assert_int_equal(line(vcpu), '-'); /* what was pending is gone */
	mapd(8, ITT(1), 5); /* again: what was mapped is forgotten */
	assert_int_equal(msi(kvm, 8, 1), 0);
	/* one LPI of two events lives as long as either */
	mapti(8, 1, 8193, 0);
	mapti(8, 2, 8193, 0);
	event_cmd(CMD_DISCARD, 8, 1);
	assert_int_equal(msi(kvm, 8, 2), 1);
	assert_int_equal(mrs(ICC_IAR1), 8193);
	fake_vm_free(kvm);
}

/* Commands that name what cannot be: nothing happens, and the next one is done. */
static void test_bad_commands(void **state)
{
	struct kvm *kvm = its_vm(1);

	mapc(0, 0);
	mapti(8, 0, 8192, 0); /* no such device */
	mapd(0x10000, ITT(0), 5);
	mapd(8192, ITT(0), 5); /* beyond the device table (64 KiB of 8 bytes) */
	mapd(8, ITT(0), 17); /* more event bits than there are */
	assert_int_equal(msi(kvm, 8, 0), 0);
	mapd(8, ITT(0), 5);
	mapti(8, 32, 8192, 0); /* beyond its 32 events */
	mapti(8, 0, 8191, 0);  /* no LPI */
	mapti(8, 0, 65536, 0);
	mapti(8, 0, 8192, 8192); /* beyond the collection table */
	assert_int_equal(msi(kvm, 8, 0), 0);
	command(0x0b | 8ull << 32, 0, 0, 0); /* MAPI: event 0 is no LPI */
	assert_int_equal(msi(kvm, 8, 0), 0);
	command(0xff, 0, 0, 0);
	command(0x02, 0, 0, 0);
	command(0x05, 0, 0, 0); /* SYNC */
	mapd(9, 0x1000, 5);
	mapti(9, 0, 8192, 0); /* its ITT is nowhere */
	assert_int_equal(msi(kvm, 9, 0), 0);
	mapti(8, 0, 8192, 0);
	mapti(8, 0, 8193, 0); /* mapped already */
	assert_int_equal(msi(kvm, 8, 0), 1);
	assert_int_equal(mrs(ICC_IAR1), 8192);
	for (unsigned i = 0; i < 300; i++) /* around the queue */
		command(0x05, 0, 0, 0);
	w32(CTLR, 0); /* a queue that is nowhere: skipped */
	w64(CBASER, VALID | 0x1000);
	w32(CTLR, 1);
	w64(CWRITER, 64);
	assert_true(r64(CREADR) == 64);
	fake_vm_free(kvm);
}

static void test_mapi(void **state)
{
	struct kvm *kvm = its_vm(1);

	mapd(8, ITT(0), 14);
	mapc(0, 0);
	command(0x0b | 8ull << 32, 8300, 0, 0); /* its ITT: 8300 * 8 bytes from ITT(0) on */
	assert_int_equal(msi(kvm, 8, 8300), 1);
	assert_int_equal(mrs(ICC_IAR1), 8300);
	fake_vm_free(kvm);
}

static void test_indirect(void **state)
{
	struct kvm *kvm = its_vm(1);
	gpa_t level2 = FAKE_RAM_BASE + 0x100000;

	w32(CTLR, 0);
	enable_its(DEVICES | 1ull << 62);
	mapc(0, 0);
	mapd(0x2008, ITT(0), 5); /* in the second page, which there is not */
	mapti(0x2008, 0, 8192, 0);
	assert_int_equal(msi(kvm, 0x2008, 0), 0);
	ram_w64(DEVICES + 8, VALID | level2);
	mapd(0x2008, ITT(0), 5);
	mapti(0x2008, 0, 8192, 0);
	assert_int_equal(msi(kvm, 0x2008, 0), 1);
	assert_int_equal(dev_set(fake_dev_of(kvm, ITS), CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, 0), 0);
	assert_true(ram_r64(level2 + 8 * 8) == (VALID | ITT(0) >> 8 << 5 | 4));
	assert_int_equal(dev_set(fake_dev_of(kvm, ITS), CTRL, KVM_DEV_ARM_ITS_CTRL_RESET, 0), 0);
	enable_its(DEVICES | 1ull << 62);
	assert_int_equal(dev_set(fake_dev_of(kvm, ITS), CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, 0), 0);
	assert_int_equal(msi(kvm, 0x2008, 0), 1);
	fake_vm_free(kvm);
}

/* Pending tables: read when LPIs are enabled or mapped, written on request. */
static void test_pending_tables(void **state)
{
	struct kvm *kvm = its_vm(1);
	struct kvm_device *v3 = fake_dev_of(kvm, KVM_DEV_TYPE_ARM_VGIC_V3);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	mapd(8, ITT(0), 5);
	mapc(0, 0);
	mapti(8, 0, 8192, 0);
	*ram(PEND(0) + 8193 / 8) = 1 << 8193 % 8;
	mapti(8, 1, 8193, 0);
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(*ram(PEND(0) + 8193 / 8), 0); /* taken */
	assert_int_equal(mrs(ICC_IAR1), 8193);
	msr(ICC_EOIR1, 8193);
	msi(kvm, 8, 0);
	assert_int_equal(dev_set(v3, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0), 0);
	assert_int_equal(*ram(PEND(0) + 8192 / 8), 1);
	w32(GICR(0), 0); /* off: pending LPIs are gone */
	assert_int_equal(line(vcpu), '-');
	w32(GICR(0), 1); /* on: as the table says */
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(mrs(ICC_IAR1), 8192);
	assert_int_equal(dev_set(v3, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0), 0);
	assert_int_equal(*ram(PEND(0) + 8192 / 8), 0);
	w32(GICR(0), 0);
	*ram(PEND(0) + 8192 / 8) = 1;
	w64(GICR(0) + 0x78, PEND(0) | 1ull << 62); /* PTZ: "the table is zero" */
	assert_true(r64(GICR(0) + 0x78) == (PEND(0) | 0x180)); /* PTZ reads as zero */
	w32(GICR(0), 1);
	assert_int_equal(mrs(ICC_HPPIR1), 1023);
	w32(GICR(0), 0);
	w64(GICR(0) + 0x78, 0x10000); /* not in memory */
	w32(GICR(0), 1);
	assert_int_equal(dev_set(v3, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0), -EFAULT);
	fake_vm_free(kvm);
}

static u64 get(struct kvm_device *dev, u64 reg)
{
	u64 val = 0;

	assert_int_equal(dev_get(dev, REGS, reg, &val), 0);
	return val;
}

/* A machine like the first, in the order that arm-vgic-its.rst prescribes. */
static void test_save_restore(void **state)
{
	struct kvm *kvm = its_vm(2);
	struct kvm_device *its = fake_dev_of(kvm, ITS);
	u64 cbaser, creadr, cwriter, baser0, baser1;

	mapc(0, 0);
	mapc(1, 1);
	mapd(8, ITT(0), 5);
	mapd(20, ITT(1), 6);
	mapti(20, 40, 9000, 1);
	mapti(8, 7, 8199, 0);
	mapti(8, 3, 8195, 1);
	mapd(21, ITT(2), 5);
	mapti(21, 0, 9001, 1);
	unmapc(5);
	assert_int_equal(dev_set(its, CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, 0), 0);
	assert_true(ram_r64(COLLECTIONS) == VALID);
	assert_true(ram_r64(COLLECTIONS + 8) == (VALID | 1 << 16 | 1));
	assert_true(ram_r64(COLLECTIONS + 16) == 0);
	assert_true(ram_r64(DEVICES + 8 * 8) == (VALID | 12ull << 49 | ITT(0) >> 8 << 5 | 4));
	assert_true(ram_r64(DEVICES + 8 * 20) == (VALID | 1ull << 49 | ITT(1) >> 8 << 5 | 5));
	assert_true(ram_r64(DEVICES + 8 * 21) == (VALID | ITT(2) >> 8 << 5 | 4));
	assert_true(ram_r64(ITT(0) + 8 * 3) == (4ull << 48 | 8195ull << 16 | 1));
	assert_true(ram_r64(ITT(0) + 8 * 7) == 8199ull << 16);
	assert_true(ram_r64(ITT(1) + 8 * 40) == (9000ull << 16 | 1));
	cbaser = get(its, 0x80);
	cwriter = get(its, 0x88);
	creadr = get(its, 0x90);
	baser0 = get(its, 0x100);
	baser1 = get(its, 0x108);
	assert_int_equal(dev_set(its, CTRL, KVM_DEV_ARM_ITS_CTRL_RESET, 0), 0);
	assert_true(get(its, 0x100) == (baser0 & ~VALID));
	assert_true(get(its, 0x80) == 0 && get(its, 0x88) == 0 && get(its, 0x90) == 0);
	assert_int_equal(get(its, 0), 0x80000000);
	assert_int_equal(msi(kvm, 8, 3), -EBUSY);

	assert_int_equal(dev_set(its, REGS, 0x80, cbaser), 0);
	assert_int_equal(dev_set(its, REGS, 0x90, creadr), 0);
	assert_int_equal(dev_set(its, REGS, 0x88, cwriter), 0);
	assert_int_equal(dev_set(its, REGS, 0x100, baser0), 0);
	assert_int_equal(dev_set(its, REGS, 0x108, baser1), 0);
	assert_int_equal(dev_set(its, REGS, 4, get(its, 4)), 0);
	assert_int_equal(dev_set(its, CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, 0), 0);
	assert_int_equal(dev_set(its, REGS, 0, 1), 0);
	on(kvm->vcpus[1]);
	assert_int_equal(msi(kvm, 8, 3), 1);
	assert_int_equal(mrs(ICC_IAR1), 8195);
	msr(ICC_EOIR1, 8195);
	assert_int_equal(msi(kvm, 20, 40), 1);
	assert_int_equal(mrs(ICC_IAR1), 9000);
	msr(ICC_EOIR1, 9000);
	assert_int_equal(msi(kvm, 21, 0), 1);
	assert_int_equal(msi(kvm, 8, 7), 1);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	assert_int_equal(dev_set(its, CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, 0), -EEXIST); /* a second time */
	fake_vm_free(kvm);
}

static int restore(struct kvm *kvm)
{
	struct kvm_device *its = fake_dev_of(kvm, ITS);
	int ret;

	assert_int_equal(dev_set(its, CTRL, KVM_DEV_ARM_ITS_CTRL_RESET, 0), 0);
	assert_int_equal(dev_set(its, REGS, 0x100, VALID | DEVICES), 0);
	assert_int_equal(dev_set(its, REGS, 0x108, VALID | COLLECTIONS), 0);
	ret = dev_set(its, CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, 0);
	return ret;
}

/* Tables as no one saved them. */
static void test_restore_errors(void **state)
{
	struct kvm *kvm = its_vm(1);
	u64 dte = VALID | ITT(0) >> 8 << 5 | 4;

	assert_int_equal(restore(kvm), 0); /* empty */
	ram_w64(COLLECTIONS, VALID | 7 << 16); /* no such vCPU */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(COLLECTIONS, VALID | 8192); /* beyond the table */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(COLLECTIONS, VALID);
	ram_w64(COLLECTIONS + 8, VALID); /* twice */
	assert_int_equal(restore(kvm), -EEXIST);
	ram_w64(COLLECTIONS + 8, 0);
	ram_w64(DEVICES + 8 * 8, dte | 16); /* 17 event bits or more */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(DEVICES + 8 * 8, VALID | 0x1000 >> 8 << 5 | 4); /* an ITT that is nowhere */
	assert_int_equal(restore(kvm), -EFAULT);
	ram_w64(DEVICES + 8 * 8, dte);
	ram_w64(ITT(0), 8191 << 16); /* no LPI */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(ITT(0), 8192 << 16 | 3); /* no such collection */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(ITT(0), 32ull << 48 | 8192 << 16); /* the next event is beyond the table */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(ITT(0), 0xffff0000ull << 16); /* an LPI with too many bits */
	assert_int_equal(restore(kvm), -EINVAL);
	ram_w64(ITT(0), 8192 << 16);
	assert_int_equal(restore(kvm), 0);
	fake_vm_free(kvm);
}

static int bad_pointer(struct kvm_device *dev, u32 group, u64 attr, bool write)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = BAD_POINTER };

	return write ? dev->ops->set_attr(dev, &a) : dev->ops->get_attr(dev, &a);
}

static void test_device(void **state)
{
	struct kvm *kvm = fake_gic_vm(1, KVM_DEV_TYPE_ARM_VGIC_V3);
	struct kvm_device *dev = its_device(kvm);
	u64 val;

	assert_int_equal(dev_get(dev, REGS, 0, &val), -ENXIO); /* no address yet */
	assert_int_equal(dev_set(dev, ADDR, 99, GITS), -ENODEV);
	assert_int_equal(dev_get(dev, ADDR, 99, &val), -ENODEV);
	assert_int_equal(bad_pointer(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, true), -EFAULT);
	assert_int_equal(bad_pointer(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, false), -EFAULT);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS + 0x1000), -EINVAL);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, (1ull << 40) - 0x10000), -E2BIG);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS), 0);
	assert_int_equal(dev_set(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS), -EEXIST);
	assert_int_equal(dev_get(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE, &val), 0);
	assert_true(val == GITS);
	assert_int_equal(dev_set(dev, CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0), 0);
	assert_int_equal(dev_get(dev, REGS, 2, &val), -EINVAL);    /* alignment */
	assert_int_equal(dev_get(dev, REGS, 0x84, &val), -EINVAL); /* half a register */
	assert_int_equal(dev_get(dev, REGS, 0x40, &val), -ENXIO);
	assert_int_equal(bad_pointer(dev, REGS, 0x80, true), -EFAULT);
	assert_int_equal(bad_pointer(dev, REGS, 0x80, false), -EFAULT);
	assert_int_equal(dev_set(dev, REGS, 4, 0x4b00143b), -EINVAL); /* an ABI revision that there is not */
	assert_int_equal(dev_set(dev, REGS, 0x80, VALID | QUEUE), 0);
	assert_int_equal(dev_set(dev, REGS, 0x90, 0x1000), -EINVAL); /* beyond the queue */
	assert_int_equal(dev_set(dev, REGS, 0x90, 0x20), 0);
	assert_true(get(dev, 0x90) == 0x20);
	assert_int_equal(dev_set(dev, REGS, 0x88, 0x20), 0);
	assert_int_equal(dev_set(dev, REGS, 0x100, VALID | DEVICES), 0);
	assert_int_equal(dev_set(dev, REGS, 0x108, VALID | COLLECTIONS), 0);
	assert_int_equal(dev_set(dev, REGS, 0, 1), 0);
	assert_int_equal(dev_set(dev, REGS, 0x90, 0x20), -EBUSY); /* enabled */
	pthread_mutex_lock(&kvm->vcpus[0]->mutex);
	assert_int_equal(dev_get(dev, REGS, 0, &val), -EBUSY);
	assert_int_equal(dev_set(dev, CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, 0), -EBUSY);
	pthread_mutex_unlock(&kvm->vcpus[0]->mutex);
	assert_int_equal(dev_set(dev, 99, 0, 0), -ENXIO);
	assert_int_equal(dev_get(dev, CTRL, 0, &val), -ENXIO);
	assert_int_equal(dev_has(dev, ADDR, KVM_VGIC_ITS_ADDR_TYPE), 0);
	assert_int_equal(dev_has(dev, ADDR, 0), -ENXIO);
	assert_int_equal(dev_has(dev, CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES), 0);
	assert_int_equal(dev_has(dev, CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES), 0);
	assert_int_equal(dev_has(dev, CTRL, KVM_DEV_ARM_ITS_CTRL_RESET), 0);
	assert_int_equal(dev_has(dev, CTRL, 99), -ENXIO);
	assert_int_equal(dev_has(dev, REGS, 0x100), 0);
	assert_int_equal(dev_has(dev, REGS, 0x104), -EINVAL);
	assert_int_equal(dev_has(dev, REGS, 0x200), -ENXIO);
	assert_int_equal(dev_has(dev, 99, 0), -ENXIO);
	fake_vm_free(kvm);
}

/* Two ITSes, one LPI each; the doorbell says whose. */
static void test_two(void **state)
{
	struct kvm *kvm = its_vm(1);
	struct kvm_device *second = its_device(kvm);

	assert_int_equal(dev_set(second, ADDR, KVM_VGIC_ITS_ADDR_TYPE, 0x09000000), 0);
	w32(GICR(0), 0); /* making one has reset GICR_PROPBASER, as in Linux */
	enable_lpis(kvm->vcpus[0]);
	mapd(8, ITT(0), 5);
	mapc(0, 0);
	mapti(8, 0, 8192, 0);
	assert_int_equal(msi_at(kvm, 0x09010040, 8, 0), -EBUSY); /* the second one is off */
	assert_int_equal(msi(kvm, 8, 0), 1);
	fake_vm_free(kvm);
}

const struct CMUnitTest its_tests[] = {
	cmocka_unit_test(test_registers),
	cmocka_unit_test(test_delivery),
	cmocka_unit_test(test_msi_routing),
	cmocka_unit_test(test_config),
	cmocka_unit_test(test_moving),
	cmocka_unit_test(test_unmapping),
	cmocka_unit_test(test_bad_commands),
	cmocka_unit_test(test_mapi),
	cmocka_unit_test(test_indirect),
	cmocka_unit_test(test_pending_tables),
	cmocka_unit_test(test_save_restore),
	cmocka_unit_test(test_restore_errors),
	cmocka_unit_test(test_device),
	cmocka_unit_test(test_two),
};
const size_t its_nr_tests = ARRAY_SIZE(its_tests);
