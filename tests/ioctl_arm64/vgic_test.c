/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers through KVM's calls and to a guest: who may make what when, lines, irqfds and
 * MSIs that arrive. What
 * the registers do is in tests/vgic.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include "tests/ioctl_arm64/arm64.h"

#define GICD 0x08000000ull
#define GICC 0x08010000ull
#define GITS 0x08080000ull
#define GICR 0x080a0000ull

#define GET_IAR1(rt) MRS(rt, 3, 0, 12, 12, 0)
#define SET_EOIR1(rt) MSR(3, 0, 12, 12, 1, rt)
#define SET_SGI1R(rt) MSR(3, 0, 12, 11, 5, rt)
#define IRQ_VECTOR (VECTORS + 0x280) /* from EL1h */
#define ERET 0xd69f03e0u
#define B_BACK(words) (0x14000000u | (0x3ffffffu & -(uint32_t)(words)))

static int gic, its;

static int device(uint32_t type)
{
	struct kvm_create_device cd = { .type = type };

	return IOCTL(m.vm, KVM_CREATE_DEVICE, &cd) < 0 ? -1 : (int)cd.fd;
}

static int set_attr(int fd, uint32_t group, uint64_t attr, uint64_t val)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)&val };

	return IOCTL(fd, KVM_SET_DEVICE_ATTR, &a);
}

static uint64_t get_attr(int fd, uint32_t group, uint64_t attr)
{
	uint64_t val = 0;
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)&val };

	ok(IOCTL(fd, KVM_GET_DEVICE_ATTR, &a));
	return val;
}

#define ADDR KVM_DEV_ARM_VGIC_GRP_ADDR
#define CTRL KVM_DEV_ARM_VGIC_GRP_CTRL
#define DIST(off) KVM_DEV_ARM_VGIC_GRP_DIST_REGS, off
#define REDIST(off) KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, off
#define SYSREG(id) KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, ((id) & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK)
#define ICC_PMR SYSREG(SYS(3, 0, 4, 6, 0))
#define ICC_IGRPEN1 SYSREG(SYS(3, 0, 12, 12, 7))
#define ITS_REG(off) KVM_DEV_ARM_VGIC_GRP_ITS_REGS, off

static int bare(void **state)
{
	machine_up(&m, NO_IRQCHIP);
	machine_vectors(&m);
	gic = its = -1;
	return 0;
}

/* An interrupt is reported: what IAR said to NOWHERE + 16; then its end. */
static void put_irq_handler(const uint32_t *words, size_t size)
{
	memcpy(m.mem + (IRQ_VECTOR - RAM_BASE), words, size);
}

static void make_v3(void)
{
	static const uint32_t handler[] = { GET_IAR1(27), STRX(27, 28, 16), SET_EOIR1(27), ERET };

	gic = device(KVM_DEV_TYPE_ARM_VGIC_V3);
	ok(gic);
	ok(set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GICD));
	ok(set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, GICR));
	its = device(KVM_DEV_TYPE_ARM_VGIC_ITS);
	ok(its);
	ok(set_attr(its, ADDR, KVM_VGIC_ITS_ADDR_TYPE, GITS));
	ok(set_attr(gic, CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0));
	ok(set_attr(gic, DIST(0), 2));
	ok(set_attr(gic, ICC_PMR, 0xf8));
	ok(set_attr(gic, ICC_IGRPEN1, 1));
	put_irq_handler(handler, sizeof(handler));
}

static int with_v3(void **state)
{
	bare(state);
	make_v3();
	return 0;
}

static int tear_down(void **state)
{
	if (its >= 0)
		ok(k_close(its));
	if (gic >= 0)
		ok(k_close(gic));
	machine_down(&m);
	return 0;
}

/* ---- who may make what, when ---- */

static void create_rules(void **state)
{
	struct kvm_create_device cd = { .type = KVM_DEV_TYPE_ARM_VGIC_V3, .flags = KVM_CREATE_DEVICE_TEST };
	struct kvm_device_attr attr = { 0 };
	int vcpu;

	for (unsigned i = 0; i < 2; i++) /* a test makes none */
		ok(IOCTL(m.vm, KVM_CREATE_DEVICE, &cd));
	cd.type = KVM_DEV_TYPE_ARM_VGIC_ITS;
	ok(IOCTL(m.vm, KVM_CREATE_DEVICE, &cd));
	fails(EFAULT, IOCTL(m.vm, KVM_CREATE_DEVICE, BAD_POINTER));
	gic = device(KVM_DEV_TYPE_ARM_VGIC_V3);
	ok(gic);
	fails(EEXIST, device(KVM_DEV_TYPE_ARM_VGIC_V3));
	fails(EEXIST, device(KVM_DEV_TYPE_ARM_VGIC_V2));
	fails(EEXIST, IOCTL(m.vm, KVM_CREATE_IRQCHIP, 0));
	fails(ENOTTY, IOCTL(gic, KVM_CREATE_VCPU, 0));
	fails(ENXIO, IOCTL(gic, KVM_HAS_DEVICE_ATTR, &(struct kvm_device_attr){ .group = 99 }));
	fails(EFAULT, IOCTL(gic, KVM_SET_DEVICE_ATTR, BAD_POINTER));
	attr = (struct kvm_device_attr){ .group = ADDR, .attr = KVM_VGIC_V3_ADDR_TYPE_DIST, .addr = BAD_POINTER };
	fails(EFAULT, IOCTL(gic, KVM_SET_DEVICE_ATTR, &attr));
	fails(EFAULT, IOCTL(gic, KVM_GET_DEVICE_ATTR, &attr));
	vcpu = IOCTL(m.vm, KVM_CREATE_VCPU, 1); /* until it is initialized */
	ok(vcpu);
	ok(set_attr(gic, CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0));
	fails(EBUSY, IOCTL(m.vm, KVM_CREATE_VCPU, 2));
	ok(k_close(vcpu));
}

static void too_late(void **state)
{
	machine_asm(&m, REPORT(1));
	machine_report(&m, 0);
	fails(EBUSY, device(KVM_DEV_TYPE_ARM_VGIC_V3));
	fails(EBUSY, IOCTL(m.vm, KVM_CREATE_IRQCHIP, 0));
}

static void run_before_addresses(void **state)
{
	gic = device(KVM_DEV_TYPE_ARM_VGIC_V3);
	ok(gic);
	fails(ENXIO, machine_run(&m));
	fails(EIO, machine_run(&m)); /* the VM is dead, as in Linux */
	fails(EIO, set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GICD));
}

static void run_before_init(void **state)
{
	gic = device(KVM_DEV_TYPE_ARM_VGIC_V3);
	ok(gic);
	ok(set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GICD));
	ok(set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, GICR));
	fails(EBUSY, machine_run(&m));
}

static void run_with_overlap(void **state)
{
	gic = device(KVM_DEV_TYPE_ARM_VGIC_V3);
	ok(gic);
	ok(set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, GICR));
	ok(set_attr(gic, ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GICR));
	ok(set_attr(gic, CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0));
	fails(EINVAL, machine_run(&m));
}

/* The device's descriptor keeps the VM alive. */
static void outlives_the_vm_fd(void **state)
{
	struct kvm_create_device cd = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	struct machine other;

	machine_up(&other, NO_IRQCHIP);
	ok(IOCTL(other.vm, KVM_CREATE_DEVICE, &cd));
	machine_down(&other);
	ok(set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 64));
	fails(EBUSY, set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 64));
	ok(k_close((int)cd.fd));
}

/* ---- lines to a guest ---- */

static int irq_line(uint32_t type, uint32_t num, int level)
{
	struct kvm_irq_level l = { .irq = type << KVM_ARM_IRQ_TYPE_SHIFT | num, .level = (uint32_t)level };

	return IOCTL(m.vm, KVM_IRQ_LINE, &l);
}

#define SPI KVM_ARM_IRQ_TYPE_SPI
#define WAIT_FOREVER DAIFCLR(2), WFI, B_BACK(1)

static void enable_spi(uint32_t n, bool level)
{
	uint64_t cfg = 0xc00 + n / 16 * 4;

	ok(set_attr(gic, DIST(cfg), level ? 0 : 0xaaaaaaaa));
	ok(set_attr(gic, DIST(0x100 + n / 32 * 4), 1u << n % 32));
}

static void spi_by_irq_line(void **state)
{
	machine_asm(&m, WAIT_FOREVER);
	enable_spi(40, true);
	ok(irq_line(SPI, 40, 1));
	assert_int_equal(machine_report(&m, 16), 40);
	assert_int_equal(machine_report(&m, 16), 40); /* still high */
	ok(irq_line(SPI, 40, 0));
	ok(irq_line(KVM_ARM_IRQ_TYPE_PPI, 20, 1));
	ok(set_attr(gic, REDIST(0x10100), 1u << 20));
	assert_int_equal(machine_report(&m, 16), 20);
	fails(EINVAL, irq_line(SPI, 31, 1));
	fails(EINVAL, irq_line(SPI, 256, 1));
	fails(ENXIO, irq_line(KVM_ARM_IRQ_TYPE_CPU, KVM_ARM_IRQ_CPU_IRQ, 1));
}

static void masked_until_pstate_lets_it(void **state)
{
	machine_asm(&m, NOP, REPORT(1), WAIT_FOREVER);
	enable_spi(40, false);
	ok(irq_line(SPI, 40, 1));
	set_reg(m.vcpu, X(1), 7);
	assert_int_equal(machine_report(&m, 0), 7);
	assert_int_equal(machine_report(&m, 16), 40);
}

static void sgi_to_itself(void **state)
{
	machine_asm(&m, SET_SGI1R(1), WAIT_FOREVER);
	set_reg(m.vcpu, X(1), 5ull << 24 | 1);
	assert_int_equal(machine_report(&m, 16), 5);
}

static void irqfd(void **state)
{
	struct kvm_irqfd fd = { .fd = (uint32_t)eventfd(0, EFD_NONBLOCK), .gsi = 8 };
	uint64_t one = 1;

	machine_asm(&m, WAIT_FOREVER);
	enable_spi(40, false);
	ok(IOCTL(m.vm, KVM_IRQFD, &fd));
	assert_int_equal(write((int)fd.fd, &one, 8), 8);
	assert_int_equal(machine_report(&m, 16), 40);
	fd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ok(IOCTL(m.vm, KVM_IRQFD, &fd));
	close((int)fd.fd);
}

/* The guest's EOI lowers the line and tells the device, which may raise it again. */
static void resampling_irqfd(void **state)
{
	struct kvm_irqfd fd = { .fd = (uint32_t)eventfd(0, EFD_NONBLOCK), .gsi = 8, .flags = KVM_IRQFD_FLAG_RESAMPLE,
				.resamplefd = (uint32_t)eventfd(0, EFD_NONBLOCK) };
	struct pollfd p = { .fd = (int)fd.resamplefd, .events = POLLIN };
	uint64_t one = 1;

	machine_asm(&m, WAIT_FOREVER);
	put_irq_handler((const uint32_t[]){ GET_IAR1(27), STRX(27, 28, 16), SET_EOIR1(27), STRX(27, 28, 24), ERET }, 20);
	enable_spi(40, true);
	ok(IOCTL(m.vm, KVM_IRQFD, &fd));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(write((int)fd.fd, &one, 8), 8);
		assert_int_equal(machine_report(&m, 16), 40);
		assert_int_equal(poll(&p, 1, 0), 0);
		assert_int_equal(machine_report(&m, 24), 40); /* after its EOI */
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(read((int)fd.resamplefd, &one, 8), 8);
	}
	close((int)fd.fd);
	close((int)fd.resamplefd);
}

/* ---- MSIs ---- */

#define QUEUE (RAM_BASE + 0x20000)
#define DEVICES (RAM_BASE + 0x30000)
#define COLLECTIONS (RAM_BASE + 0x40000)
#define PROP (RAM_BASE + 0x50000)
#define PEND (RAM_BASE + 0x60000)
#define ITT (RAM_BASE + 0x70000)
#define VALID (1ull << 63)

static void map_device_8(void)
{
	static const uint64_t cmds[4][4] = {
		{ 0x09, 0, VALID, 0 },                    /* MAPC 0 -> vCPU 0 */
		{ 8ull << 32 | 0x08, 4, VALID | ITT, 0 }, /* MAPD */
		{ 8ull << 32 | 0x0a, 3 | 8195ull << 32, 0, 0 }, /* MAPTI event 3 */
		{ 8ull << 32 | 0x0a, 4 | 8196ull << 32, 0, 0 },
	};

	memset(m.mem + (PROP - RAM_BASE), 0xa1, 0x10000);
	memcpy(m.mem + (QUEUE - RAM_BASE), cmds, sizeof(cmds));
	ok(set_attr(gic, REDIST(0x70), (uint32_t)(PROP | 15)));
	ok(set_attr(gic, REDIST(0x78), (uint32_t)PEND));
	ok(set_attr(gic, REDIST(0), 1));
	ok(set_attr(its, ITS_REG(0x80), VALID | QUEUE));
	ok(set_attr(its, ITS_REG(0x100), VALID | DEVICES));
	ok(set_attr(its, ITS_REG(0x108), VALID | COLLECTIONS));
	ok(set_attr(its, ITS_REG(0), 1));
	ok(set_attr(its, ITS_REG(0x88), sizeof(cmds)));
	assert_int_equal(get_attr(its, ITS_REG(0x90)), sizeof(cmds));
}

static int signal_msi(uint32_t dev, uint32_t event)
{
	struct kvm_msi msi = { .address_lo = GITS + 0x10040, .data = event, .flags = KVM_MSI_VALID_DEVID, .devid = dev };

	return IOCTL(m.vm, KVM_SIGNAL_MSI, &msi);
}

static void msi(void **state)
{
	struct kvm_msi no_devid = { .address_lo = GITS + 0x10040, .data = 3 };

	assert_int_equal(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_MSI_DEVID), 1);
	machine_asm(&m, WAIT_FOREVER);
	fails(EBUSY, signal_msi(8, 3)); /* the ITS is off */
	map_device_8();
	assert_int_equal(signal_msi(8, 3), 1);
	assert_int_equal(machine_report(&m, 16), 8195);
	assert_int_equal(signal_msi(8, 5), 0); /* blocked by the guest */
	fails(EINVAL, IOCTL(m.vm, KVM_SIGNAL_MSI, &no_devid));
	assert_int_equal(signal_msi(8, 4), 1);
	assert_int_equal(machine_report(&m, 16), 8196);
}

static void msi_by_irqfd(void **state)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e;
	} routing = { .head.nr = 1, .e = { .gsi = 100, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID } };
	struct kvm_irqfd fd = { .fd = (uint32_t)eventfd(0, EFD_NONBLOCK), .gsi = 100 };
	uint64_t one = 1;

	routing.e.u.msi.address_lo = GITS + 0x10040;
	routing.e.u.msi.data = 3;
	routing.e.u.msi.devid = 8;
	machine_asm(&m, WAIT_FOREVER);
	map_device_8();
	ok(IOCTL(m.vm, KVM_SET_GSI_ROUTING, &routing));
	ok(IOCTL(m.vm, KVM_IRQFD, &fd));
	assert_int_equal(write((int)fd.fd, &one, 8), 8);
	assert_int_equal(machine_report(&m, 16), 8195);
	close((int)fd.fd);
}

/* Pending in one VM, saved; delivered by another one, made from what was saved. */
static void migration(void **state)
{
	uint64_t cbaser, cwriter, creadr, baser0, baser1;
	uint8_t *ram;

	machine_asm(&m, WAIT_FOREVER);
	map_device_8();
	assert_int_equal(signal_msi(8, 4), 1);
	ok(set_attr(its, CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, 0));
	ok(set_attr(gic, CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0));
	cbaser = get_attr(its, ITS_REG(0x80));
	cwriter = get_attr(its, ITS_REG(0x88));
	creadr = get_attr(its, ITS_REG(0x90));
	baser0 = get_attr(its, ITS_REG(0x100));
	baser1 = get_attr(its, ITS_REG(0x108));
	ram = malloc(MEM_SIZE);
	assert_non_null(ram);
	memcpy(ram, m.mem, MEM_SIZE);
	tear_down(state);

	with_v3(state);
	memcpy(m.mem, ram, MEM_SIZE);
	free(ram);
	machine_words(&m, NULL, 0);
	ok(set_attr(gic, REDIST(0x70), (uint32_t)(PROP | 15)));
	ok(set_attr(gic, REDIST(0x78), (uint32_t)PEND));
	ok(set_attr(gic, REDIST(0), 1));
	ok(set_attr(its, ITS_REG(0x80), cbaser));
	ok(set_attr(its, ITS_REG(0x90), creadr));
	ok(set_attr(its, ITS_REG(0x88), cwriter));
	ok(set_attr(its, ITS_REG(0x100), baser0));
	ok(set_attr(its, ITS_REG(0x108), baser1));
	ok(set_attr(its, CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, 0));
	ok(set_attr(its, ITS_REG(0), 1));
	assert_int_equal(machine_report(&m, 16), 8196);
	assert_int_equal(signal_msi(8, 3), 1);
	assert_int_equal(machine_report(&m, 16), 8195);
}

/* ---- GICv2 ---- */

#define MOV_GICC(rd) MOVZ(rd, GICC >> 16, 1)
#define LDRW_OFF(rt, rn, off) (LDRW(rt, rn) | (off) / 4 << 10)
#define STRW_OFF(rt, rn, off) (STRW(rt, rn) | (off) / 4 << 10)

static int legacy_addr(uint64_t type, uint64_t addr)
{
	struct kvm_arm_device_addr a = { .id = (uint64_t)KVM_ARM_DEVICE_VGIC_V2 << KVM_ARM_DEVICE_ID_SHIFT | type, .addr = addr };

	return IOCTL(m.vm, KVM_ARM_SET_DEVICE_ADDR, &a);
}

static void legacy_v2(void **state)
{
	static const uint32_t handler[] = { LDRW_OFF(27, 26, 0xc), STRX(27, 28, 16), STRW_OFF(27, 26, 0x10), ERET };

	ok(IOCTL(m.vm, KVM_CREATE_IRQCHIP, 0));
	fails(EEXIST, IOCTL(m.vm, KVM_CREATE_IRQCHIP, 0));
	fails(EINVAL, legacy_addr(KVM_VGIC_V2_ADDR_TYPE_DIST, GICD + 1));
	fails(E2BIG, legacy_addr(KVM_VGIC_V2_ADDR_TYPE_CPU, 1ull << 52));
	ok(legacy_addr(KVM_VGIC_V2_ADDR_TYPE_DIST, GICD));
	fails(EEXIST, legacy_addr(KVM_VGIC_V2_ADDR_TYPE_DIST, GICD));
	ok(legacy_addr(KVM_VGIC_V2_ADDR_TYPE_CPU, GICC));
	put_irq_handler(handler, sizeof(handler));
	machine_asm(&m, MOV_GICC(26), MOVZ(1, GICD >> 16, 1), MOVZ(2, 1, 0),
		    STRW_OFF(2, 1, 0),                                        /* GICD_CTLR */
		    MOVZ(3, 1 << 8, 0), STRW_OFF(3, 1, 0x104),                /* GICD_ISENABLER1: 40 */
		    MOVZ(3, 0xf0, 0), STRW_OFF(3, 26, 4), STRW_OFF(2, 26, 0), /* GICC_PMR, GICC_CTLR */
		    REPORT(2), WAIT_FOREVER);
	assert_int_equal(machine_report(&m, 0), 1);
	ok(irq_line(SPI, 40, 1));
	assert_int_equal(machine_report(&m, 16), 40);
	ok(irq_line(SPI, 40, 0)); /* an edge at first: again */
	ok(irq_line(SPI, 40, 1));
	assert_int_equal(machine_report(&m, 16), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(create_rules, bare, tear_down),
		cmocka_unit_test_setup_teardown(too_late, bare, tear_down),
		cmocka_unit_test_setup_teardown(run_before_addresses, bare, tear_down),
		cmocka_unit_test_setup_teardown(run_before_init, bare, tear_down),
		cmocka_unit_test_setup_teardown(run_with_overlap, bare, tear_down),
		cmocka_unit_test_setup_teardown(outlives_the_vm_fd, bare, tear_down),
		cmocka_unit_test_setup_teardown(spi_by_irq_line, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(masked_until_pstate_lets_it, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(sgi_to_itself, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(irqfd, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(resampling_irqfd, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(msi, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(msi_by_irqfd, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(migration, with_v3, tear_down),
		cmocka_unit_test_setup_teardown(legacy_v2, bare, tear_down),
	};

	return cmocka_run_group_tests_name("ioctl_arm64_vgic", tests, NULL, NULL);
}
