/* SPDX-License-Identifier: Apache-2.0 */
/* irqfd, ioeventfd, GSI routing, MSI, coalesced MMIO: arguments and errors. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include "tests/ioctl/ioctl.h"

static int kvm, vm;

static int up(void **state)
{
	kvm = k_open();
	vm = IOCTL(kvm, KVM_CREATE_VM, 0);
	return vm < 0;
}

static int up_irqchip(void **state)
{
	return up(state) || IOCTL(vm, KVM_CREATE_IRQCHIP, 0);
}

static int down(void **state)
{
	return k_close(vm) | k_close(kvm);
}

static void irqfd_needs_irqchip(void **state)
{
	int ev = eventfd(0, EFD_CLOEXEC);
	struct kvm_irqfd a = { .fd = (__u32)ev, .gsi = 5 };

	fails(EINVAL, IOCTL(vm, KVM_IRQFD, &a));
	a.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ok(IOCTL(vm, KVM_IRQFD, &a));
	close(ev);
}

static void irqfd_assign(void **state)
{
	int ev = eventfd(0, EFD_CLOEXEC), file = open("/dev/null", O_RDONLY);
	struct kvm_irqfd a = { .fd = (__u32)ev, .gsi = 5 };

	ok(IOCTL(vm, KVM_IRQFD, &a));
	fails(EBUSY, IOCTL(vm, KVM_IRQFD, &a));
	a.fd = (__u32)dup(ev);
	fails(EBUSY, IOCTL(vm, KVM_IRQFD, &a)); /* the same eventfd under another number */
	a.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ok(IOCTL(vm, KVM_IRQFD, &a));
	ok(IOCTL(vm, KVM_IRQFD, &a)); /* nothing matches: fine */
	a.flags = 0;
	ok(IOCTL(vm, KVM_IRQFD, &a));
	a.flags = 0x80;
	fails(EINVAL, IOCTL(vm, KVM_IRQFD, &a));
	a.flags = 0;
	a.fd = (__u32)file;
	fails(EINVAL, IOCTL(vm, KVM_IRQFD, &a));
	a.fd = 999;
	fails(EBADF, IOCTL(vm, KVM_IRQFD, &a));
	fails(EFAULT, IOCTL(vm, KVM_IRQFD, BAD_POINTER));
	close(file);
	close(ev);
}

static void irqfd_resample(void **state)
{
	int ev = eventfd(0, EFD_CLOEXEC), re = eventfd(0, EFD_CLOEXEC);
	struct kvm_irqfd a = { .fd = (__u32)ev, .gsi = 9, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = 999 };

	fails(EBADF, IOCTL(vm, KVM_IRQFD, &a));
	a.resamplefd = (__u32)re;
	ok(IOCTL(vm, KVM_IRQFD, &a));
	a.flags |= KVM_IRQFD_FLAG_DEASSIGN;
	ok(IOCTL(vm, KVM_IRQFD, &a));
	close(ev);
	close(re);
}

static void ioeventfd_errors(void **state)
{
	int ev = eventfd(0, EFD_CLOEXEC), ev2 = eventfd(0, EFD_CLOEXEC);
	struct kvm_ioeventfd a = { .addr = 0x1000, .len = 4, .fd = ev };

	ok(IOCTL(vm, KVM_IOEVENTFD, &a));
	fails(EEXIST, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	fails(EEXIST, IOCTL(vm, KVM_IOEVENTFD, &a)); /* the first takes any value */
	a.flags = KVM_IOEVENTFD_FLAG_PIO;
	ok(IOCTL(vm, KVM_IOEVENTFD, &a)); /* another bus */
	a.flags = 0;
	a.len = 3;
	fails(EINVAL, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.len = 8;
	a.addr = ~0ull - 2;
	fails(EINVAL, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.addr = 0x2000;
	a.flags = 1u << 10;
	fails(EINVAL, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.len = 0;
	a.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	fails(EINVAL, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.flags = 0;
	ok(IOCTL(vm, KVM_IOEVENTFD, &a));
	a.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	a.fd = ev2;
	fails(ENOENT, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.fd = ev;
	ok(IOCTL(vm, KVM_IOEVENTFD, &a));
	fails(ENOENT, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.fd = 999;
	fails(EBADF, IOCTL(vm, KVM_IOEVENTFD, &a));
	fails(EFAULT, IOCTL(vm, KVM_IOEVENTFD, BAD_POINTER));
	close(ev);
	close(ev2);
}

static void ioeventfd_datamatch_values(void **state)
{
	int ev = eventfd(0, EFD_CLOEXEC);
	struct kvm_ioeventfd a = { .addr = 0x3000, .len = 2, .fd = ev, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH };

	for (a.datamatch = 0; a.datamatch < 8; a.datamatch++)
		ok(IOCTL(vm, KVM_IOEVENTFD, &a));
	a.datamatch = 3;
	fails(EEXIST, IOCTL(vm, KVM_IOEVENTFD, &a));
	a.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	ok(IOCTL(vm, KVM_IOEVENTFD, &a));
	a.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	ok(IOCTL(vm, KVM_IOEVENTFD, &a));
	close(ev);
}

struct routing {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry e[4];
};

static void routing_needs_irqchip(void **state)
{
	struct routing r = { .head.nr = 0 };

	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
}

static void routing_errors(void **state)
{
	struct routing r = { .head = { .nr = 1 }, .e[0] = { .gsi = 30, .type = KVM_IRQ_ROUTING_MSI } };

	ok(IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.head.flags = 1;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.head.flags = 0;
	r.head.nr = 5000;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.head.nr = 1;
	r.e[0].gsi = 4096;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.e[0].gsi = 30;
	r.e[0].type = 77;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.e[0].type = KVM_IRQ_ROUTING_IRQCHIP;
	r.e[0].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	r.e[0].u.irqchip.pin = 24;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.e[0].u.irqchip.pin = 3;
	ok(IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	r.e[1] = r.e[0];
	r.head.nr = 2;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r)); /* twice to one chip */
	r.e[1].type = KVM_IRQ_ROUTING_MSI;
	fails(EINVAL, IOCTL(vm, KVM_SET_GSI_ROUTING, &r)); /* a pin and an MSI */
	r.e[1] = (struct kvm_irq_routing_entry){ .gsi = 30, .type = KVM_IRQ_ROUTING_IRQCHIP,
						 .u.irqchip = { .irqchip = KVM_IRQCHIP_PIC_MASTER, .pin = 3 } };
	ok(IOCTL(vm, KVM_SET_GSI_ROUTING, &r));
	fails(EFAULT, IOCTL(vm, KVM_SET_GSI_ROUTING, BAD_POINTER));
}

static void irq_line(void **state)
{
	struct kvm_irq_level l = { .irq = 4, .level = 1 };

	ok(IOCTL(vm, KVM_IRQ_LINE, &l));
	l.level = 0;
	ok(IOCTL(vm, KVM_IRQ_LINE, &l));
	l.irq = 4;
	l.level = 1;
	ok(IOCTL(vm, KVM_IRQ_LINE_STATUS, &l));
	fails(EFAULT, IOCTL(vm, KVM_IRQ_LINE, BAD_POINTER));
}

static void irq_line_needs_irqchip(void **state)
{
	struct kvm_irq_level l = { .irq = 4, .level = 1 };

	fails(ENXIO, IOCTL(vm, KVM_IRQ_LINE, &l));
	fails(ENXIO, IOCTL(vm, KVM_IRQ_LINE_STATUS, &l));
}

static void signal_msi(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x30, .flags = 0x100 };

	fails(EINVAL, IOCTL(vm, KVM_SIGNAL_MSI, &msi));
	fails(EFAULT, IOCTL(vm, KVM_SIGNAL_MSI, BAD_POINTER));
}

static void signal_msi_needs_irqchip(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x30 };

	fails(EINVAL, IOCTL(vm, KVM_SIGNAL_MSI, &msi));
}

static void coalesced_zones(void **state)
{
	struct kvm_coalesced_mmio_zone z = { .addr = 0xa0000, .size = 0x1000 };

	ok(IOCTL(vm, KVM_REGISTER_COALESCED_MMIO, &z));
	ok(IOCTL(vm, KVM_UNREGISTER_COALESCED_MMIO, &z));
	ok(IOCTL(vm, KVM_UNREGISTER_COALESCED_MMIO, &z)); /* not there: fine */
	z.pio = 2;
	fails(EINVAL, IOCTL(vm, KVM_REGISTER_COALESCED_MMIO, &z));
	fails(EINVAL, IOCTL(vm, KVM_UNREGISTER_COALESCED_MMIO, &z));
	z.pio = 1;
	z.addr = 0x70;
	z.size = 1;
	ok(IOCTL(vm, KVM_REGISTER_COALESCED_MMIO, &z));
	fails(EFAULT, IOCTL(vm, KVM_REGISTER_COALESCED_MMIO, BAD_POINTER));
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
#define TI(f) cmocka_unit_test_setup_teardown(f, up_irqchip, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(irqfd_needs_irqchip), TI(irqfd_assign), TI(irqfd_resample), T(ioeventfd_errors),
		T(ioeventfd_datamatch_values), T(routing_needs_irqchip), TI(routing_errors), TI(irq_line),
		T(irq_line_needs_irqchip), TI(signal_msi), T(signal_msi_needs_irqchip), T(coalesced_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
