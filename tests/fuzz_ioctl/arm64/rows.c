/* SPDX-License-Identifier: Apache-2.0 */
/* arm64: its ioctls, registers by number, interrupt controllers, small guests. */
#include <string.h>
#include <sys/ioctl.h>
#include "tests/fuzz_ioctl/rows.h"
#include "uapi/kuse_kvm_arm64.h"
#include "uapi/kuse_kvm_mem.h"

const char program_name[] = "fuzz_ioctl_arm64";

#define RAM 0x80000000ull
#define GIC 0x08000000ull
#define NOWHERE 0x09000000ull
#define CORE_REG(name) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

const u32 arch_caps[] = { KVM_CAP_ARM_NISV_TO_USER, KVM_CAP_ARM_SYSTEM_SUSPEND, KVM_CAP_ARM_MTE,
			  KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
			  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE };
const unsigned arch_nr_caps = COUNT(arch_caps);

const u64 arch_gpas[] = { RAM, RAM, RAM, RAM, RAM + 0x10000, 0, GIC, 1ull << 32, 1ull << 40, 0xfffff000 };
const unsigned arch_nr_gpas = COUNT(arch_gpas);

const int arch_run_errnos[] = { EINTR, EAGAIN, EINVAL, EFAULT, EIO, ENOEXEC, EPERM, ENXIO, EBUSY, EEXIST, ENOMEM, ENOSYS, 0 };

const int arch_vcpu_errnos[] = { EINVAL, EEXIST, EIO, EBUSY, 0 };

/* Random words are seldom instructions. */
const size_t arch_code_step = 64;

/* Hypercalls, a device access, WFI, exceptions, system registers, a loop. x28 is NOWHERE. */
void arch_code(struct ctx *c, u8 *at)
{
	static const u32 code[] = { 0xd2b08000 /* x0 = 0x84000000 */, 0xd4000002, 0xf9000380, 0xb9400781, 0xd503207f,
				    0xd5380002, 0xd53be043 /* CNTVCT */, 0xd51be320 /* CNTV_CTL */, 0xd538cc04 /* IAR1 */,
				    0xd4200000, 0xd4000001, 0xa9000780 /* no syndrome */, 0xd50342ff, 0xd518c001 /* VBAR */,
				    0xd4000003, 0x14000000 };

	memcpy(at, code + rnd_below(c, 8), 8 * sizeof(code[0]));
}

/* ---- registers ---- */

static u64 reg_random(struct ctx *c)
{
	static const u64 timers[] = { KVM_REG_ARM_TIMER_CTL, KVM_REG_ARM_TIMER_CNT, KVM_REG_ARM_TIMER_CVAL,
				      KVM_REG_ARM_PTIMER_CTL, KVM_REG_ARM_PTIMER_CNT, KVM_REG_ARM_PTIMER_CVAL };
	static const u64 sizes[] = { KVM_REG_SIZE_U64, KVM_REG_SIZE_U32, KVM_REG_SIZE_U128, KVM_REG_SIZE_U8 };

	switch (rnd_below(c, 7)) {
	case 0: return timers[rnd_below(c, COUNT(timers))];
	case 1: return KVM_REG_ARM_FW_REG(rnd_below(c, 6));
	case 2: return KVM_REG_ARM_FW_FEAT_BMAP_REG(rnd_below(c, 5));
	case 3: return ARM64_SYS_REG(3, 0, 0, rnd_below(c, 8), rnd_below(c, 8)); /* identification */
	case 4: return ARM64_SYS_REG(2, 0, 0, 0, 0) | (rnd(c) & 0x7fff);
	case 5: return KVM_REG_ARM64 | sizes[rnd_below(c, 4)] | (rnd(c) & 0x3fffff);
	default: return KVM_REG_ARM64 | sizes[rnd_below(c, 3)] | KVM_REG_ARM_CORE | rnd_below(c, 0xf0);
	}
}

/* A register, and 2 KiB for its value: what it is now, slightly changed. */
static unsigned long fill_one_reg(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_one_reg *reg = arg_at_end(c, sizeof(*reg));

	*reg = (struct kvm_one_reg){ .id = chance(c, 95) ? reg_random(c) : rnd_interesting(c) };
	reg->addr = (u64)(c->page + 8 * rnd_below(c, 4));
	if (r->get)
		kuse_ioctl(fd, r->get, (unsigned long)reg);
	mutate(c, (void *)reg->addr, 16);
	if (chance(c, 5))
		reg->addr = 8;
	return (unsigned long)reg;
}

static unsigned long fill_reg_list(struct ctx *c, int fd, const struct row *r)
{
	u64 n = chance(c, 50) ? 1000 : rnd_below(c, 400);
	struct kvm_reg_list *list = arg_at_end(c, sizeof(*list) + n * 8);

	list->n = n;
	return (unsigned long)list;
}

static unsigned long fill_init(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_vcpu_init *init = arg_at_end(c, sizeof(*init));

	*init = (struct kvm_vcpu_init){ .target = KVM_ARM_TARGET_GENERIC_V8, .features = { 1u << KVM_ARM_VCPU_PSCI_0_2 } };
	if (chance(c, 20))
		init->features[0] |= 1u << rnd_below(c, 8);
	if (chance(c, 10))
		mutate(c, init, sizeof(*init));
	return (unsigned long)init;
}

static unsigned long fill_masks(struct ctx *c, int fd, const struct row *r)
{
	struct reg_mask_range *range = arg_at_end(c, sizeof(*range));

	*range = (struct reg_mask_range){ .addr = (u64)c->page };
	if (chance(c, 10))
		range->range = 1;
	return (unsigned long)range;
}

/* ---- attributes ---- */

/* What an attribute's address leads to. */
static void attr_value(struct ctx *c)
{
	static const u64 places[] = { GIC, GIC + 0x10000, GIC + 0xa0000, GIC + 0x80000, 64, 128, 27, 30, RAM };
	u64 v = chance(c, 70) ? places[rnd_below(c, COUNT(places))] : rnd_interesting(c);

	noise(c, c->page, 256);
	memcpy(c->page, &v, 8);
}

static unsigned long fill_device_attr(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_device_attr *a = arg_at_end(c, sizeof(*a));

	attr_value(c);
	*a = (struct kvm_device_attr){ .group = (u32)rnd_below(c, 10), .addr = (u64)c->page };
	a->attr = chance(c, 50)   ? rnd_below(c, 8)
		  : chance(c, 70) ? rnd_below(c, 0x400) * 4
				  : rnd(c) & 0xffffffff0000ffff;
	if (chance(c, 5))
		a->addr = 8;
	if (chance(c, 3))
		a->flags = 1;
	return (unsigned long)a;
}

static unsigned long fill_vcpu_attr(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_device_attr *a = (void *)fill_device_attr(c, fd, r);

	a->group = (u32)rnd_below(c, 4);
	a->attr = rnd_below(c, 5);
	return (unsigned long)a;
}

/* The VM's one attribute: the filter of hypercalls. */
static unsigned long fill_vm_attr(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_device_attr *a = (void *)fill_vcpu_attr(c, fd, r);
	struct kvm_smccc_filter filter = { .base = (u32)(0x84000000 + rnd_below(c, 64)), .nr_functions = 1 + (u32)rnd_below(c, 8),
					   .action = (u8)rnd_below(c, 4) };

	if (chance(c, 80))
		a->group = KVM_ARM_VM_SMCCC_CTRL, a->attr = KVM_ARM_VM_SMCCC_FILTER;
	if (chance(c, 20))
		mutate(c, &filter, sizeof(filter));
	memcpy(c->page, &filter, sizeof(filter));
	return (unsigned long)a;
}

/* ---- interrupts ---- */

static unsigned long fill_irq(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_irq_level *l = arg_at_end(c, sizeof(*l));
	u32 type = (u32)rnd_below(c, 4), nr = (u32)rnd_below(c, type == KVM_ARM_IRQ_TYPE_CPU ? 3 : 140);

	*l = (struct kvm_irq_level){ .irq = type << KVM_ARM_IRQ_TYPE_SHIFT | (u32)rnd_below(c, 3) << KVM_ARM_IRQ_VCPU_SHIFT | nr,
				     .level = (u32)rnd_below(c, 2) };
	if (chance(c, 10))
		l->irq = (u32)rnd_interesting(c);
	return (unsigned long)l;
}

static unsigned long fill_msi(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_msi *m = arg_at_end(c, sizeof(*m));

	memset(m, 0, sizeof(*m));
	m->address_lo = GIC + 0x90040; /* an ITS's GITS_TRANSLATER */
	m->data = (u32)rnd_below(c, 16);
	m->devid = (u32)rnd_below(c, 4);
	m->flags = chance(c, 80) ? KVM_MSI_VALID_DEVID : (u32)rnd_below(c, 4);
	if (chance(c, 20))
		mutate(c, m, sizeof(*m));
	return (unsigned long)m;
}

const unsigned arch_nr_pins = 128;

void arch_route(struct ctx *c, struct kvm_irq_routing_entry *e, u32 i)
{
	if (e->type != KVM_IRQ_ROUTING_MSI)
		return;
	e->flags = KVM_MSI_VALID_DEVID;
	e->u.msi = (struct kvm_irq_routing_msi){ .address_lo = GIC + 0x90040, .data = i, .devid = 1 };
}

static unsigned long fill_device_addr(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_arm_device_addr *a = arg_at_end(c, sizeof(*a));

	*a = (struct kvm_arm_device_addr){ .id = rnd_below(c, 4), .addr = GIC + rnd_below(c, 4) * 0x10000 };
	if (chance(c, 20))
		mutate(c, a, sizeof(*a));
	return (unsigned long)a;
}

/* ---- whole machines ---- */

static void set_reg(int fd, u64 id, u64 v)
{
	kuse_ioctl(fd, KVM_SET_ONE_REG, (unsigned long)&(struct kvm_one_reg){ id, (u64)&v });
}

void arch_boot(struct ctx *c, int fd)
{
	struct kvm_vcpu_init init = { .target = KVM_ARM_TARGET_GENERIC_V8, .features = { 1u << KVM_ARM_VCPU_PSCI_0_2 } };

	kuse_ioctl(fd, KVM_ARM_VCPU_INIT, (unsigned long)&init);
	set_reg(fd, CORE_REG(regs.pc), RAM + 64 * rnd_below(c, 256));
	set_reg(fd, CORE_REG(regs.regs[28]), NOWHERE);
	set_reg(fd, CORE_REG(regs.pstate), chance(c, 80) ? 0x3c5 : 5);
	set_reg(fd, ARM64_SYS_REG(3, 0, 12, 0, 0), RAM + 0x800 * rnd_below(c, 4));
}

static void set_attr(int fd, u32 group, u64 attr, u64 v)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (u64)&v };

	kuse_ioctl(fd, KVM_SET_DEVICE_ATTR, (unsigned long)&a);
}

/* Creates one, mostly gives it its places and starts it, now and then too early or too late. */
void arch_devices(struct ctx *c, int vm)
{
	static const u32 types[] = { KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_VGIC_V2,
				     KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_VFIO };
	static const int errnos[] = { ENODEV, EEXIST, EBUSY, E2BIG, EIO, ENOMEM };
	struct kvm_create_device cd = { .type = types[rnd_below(c, COUNT(types))] };

	fuzz_note("KVM_CREATE_DEVICE");
	if (kuse_ioctl(vm, KVM_CREATE_DEVICE, (unsigned long)&cd)) {
		int err = errno;

		for (unsigned i = 0; i < COUNT(errnos); i++)
			if (err == errnos[i])
				return;
		if (!c->w->racing)
			fuzz_wrong("type %u: errno %d (%s)", cd.type, err, strerror(err));
		return;
	}
	if (cd.type == KVM_DEV_TYPE_ARM_VGIC_ITS) {
		set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, GIC + 0x80000);
	} else {
		set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GIC);
		set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, GIC + 0xa0000);
		set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, GIC);
		set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, GIC + 0x10000);
	}
	if (chance(c, 70))
		set_attr((int)cd.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	world_adopt(c, c->w->device, NR_DEVICE, (int)cd.fd);
}

/* ---- the rows ---- */

const struct row arch_rows[] = {
	R(KVM_CHECK_EXTENSION, 'D', 0, fill_number, 0, EINVAL),
	R(KVM_CHECK_EXTENSION, 'V', 0, fill_number, 0),
	R(KVM_ENABLE_CAP, 'V', P, fill_enable_cap, 0, EFAULT, EINVAL, EEXIST, ENXIO, EPERM, EBUSY, ENOMEM, E2BIG),
	R(KVM_ARM_PREFERRED_TARGET, 'V', P, fill_zero, 0, EFAULT),
	R(KVM_CREATE_IRQCHIP, 'V', 0, fill_nothing, 0, EEXIST, ENODEV, EBUSY, E2BIG),
	R(KVM_ARM_SET_DEVICE_ADDR, 'V', P, fill_device_addr, 0, EFAULT, EINVAL, ENODEV, EEXIST, E2BIG, EBUSY),
	R(KVM_IRQ_LINE, 'V', P, fill_irq, 0, EFAULT, EINVAL, ENXIO, EBUSY),
	R(KVM_SIGNAL_MSI, 'V', P, fill_msi, 0, EFAULT, EINVAL, ENODEV, EBUSY),
	R(KVM_SET_GSI_ROUTING, 'V', P, fill_routing, 0, EFAULT, EINVAL, ENOMEM),
	R(KVM_ARM_SET_COUNTER_OFFSET, 'V', P, fill_noise, 0, EFAULT, EINVAL, EBUSY),
	R(KVM_ARM_MTE_COPY_TAGS, 'V', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_ARM_GET_REG_WRITABLE_MASKS, 'V', P, fill_masks, 0, EFAULT, EINVAL),
	R(KVM_HAS_DEVICE_ATTR, 'V', P, fill_vm_attr, 0, EFAULT, ENXIO),
	R(KVM_SET_DEVICE_ATTR, 'V', P, fill_vm_attr, 0, EFAULT, ENXIO, EINVAL, EEXIST, EBUSY, ENOMEM),

	R(KVM_ARM_VCPU_INIT, 'C', P, fill_init, 0, EFAULT, EINVAL, ENOENT),
	R(KVM_ARM_VCPU_INIT, 'C', P, fill_init, 0, EFAULT, EINVAL, ENOENT),
	R(KVM_ARM_VCPU_FINALIZE, 'C', P, fill_noise, 0, EFAULT, EINVAL, ENOEXEC, EPERM),
	R(KVM_GET_ONE_REG, 'C', P, fill_one_reg, 0, EFAULT, EINVAL, ENOENT, ENOEXEC, EPERM),
	R(KVM_SET_ONE_REG, 'C', P, fill_one_reg, KVM_GET_ONE_REG, EFAULT, EINVAL, ENOENT, ENOEXEC, EPERM, EBUSY),
	R(KVM_SET_ONE_REG, 'C', P, fill_one_reg, KVM_GET_ONE_REG, EFAULT, EINVAL, ENOENT, ENOEXEC, EPERM, EBUSY),
	R(KVM_GET_REG_LIST, 'C', P, fill_reg_list, 0, EFAULT, E2BIG, ENOEXEC, EPERM),
	R(KVM_GET_VCPU_EVENTS, 'C', P, fill_zero, 0, EFAULT, EINVAL, ENOEXEC),
	R(KVM_SET_VCPU_EVENTS, 'C', P, fill_changed, KVM_GET_VCPU_EVENTS, EFAULT, EINVAL, ENOEXEC),
	R(KVM_SET_GUEST_DEBUG, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_HAS_DEVICE_ATTR, 'C', P, fill_vcpu_attr, 0, EFAULT, ENXIO),
	R(KVM_GET_DEVICE_ATTR, 'C', P, fill_vcpu_attr, 0, EFAULT, ENXIO, EINVAL, ENODEV),
	R(KVM_SET_DEVICE_ATTR, 'C', P, fill_vcpu_attr, 0, EFAULT, ENXIO, EINVAL, ENODEV, EEXIST, EBUSY),

	R(KVM_HAS_DEVICE_ATTR, 'X', P, fill_device_attr, 0, EFAULT, ENXIO, EINVAL),
	R(KVM_GET_DEVICE_ATTR, 'X', P, fill_device_attr, 0, EFAULT, ENXIO, EINVAL, ENODEV, EBUSY, ENOENT),
	R(KVM_SET_DEVICE_ATTR, 'X', P, fill_device_attr, 0, EFAULT, ENXIO, EINVAL, ENODEV, EEXIST, E2BIG, EBUSY, ENOMEM,
	  ENOENT),
	R(KVM_SET_DEVICE_ATTR, 'X', P, fill_device_attr, 0, EFAULT, ENXIO, EINVAL, ENODEV, EEXIST, E2BIG, EBUSY, ENOMEM,
	  ENOENT),
};
const unsigned arch_nr_rows = COUNT(arch_rows);
