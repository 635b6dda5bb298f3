/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations. One row per ioctl: how its argument is made, and which errnos Linux 6.12 can answer with.
 * Ioctls that have no row here are known from tests/api/api.inc by number and size, and get noise.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/fuzz_ioctl/fuzz.h"

/* ThreadSanitizer delays signals, also those that end a KVM_RUN: guests do not run under it. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif

/* ---- arguments ---- */

struct row {
	const char *name;
	unsigned int cmd;
	char level;              /* D, V, C */
	u8 flags;
	unsigned long (*fill)(struct ctx *c, int fd, const struct row *r);
	unsigned int get;        /* the ioctl that reads what this one writes, or 0 */
	int errnos[10];
};
#define POINTER 1u  /* a bad address must fail */
#define NEW_FD 2u   /* a result > 0 is a descriptor */

static void mutate(struct ctx *c, void *buf, size_t size)
{
	unsigned n = (unsigned)rnd_below(c, 4);

	while (n-- && size) {
		size_t width = 1ul << rnd_below(c, 4), at;
		u64 v = rnd_interesting(c);

		if (width > size)
			width = 1;
		at = rnd_below(c, size / width) * width;
		memcpy((u8 *)buf + at, &v, width);
	}
}

static void noise(struct ctx *c, void *buf, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		u64 v = chance(c, 60) ? 0 : rnd_interesting(c);

		memcpy((u8 *)buf + i, &v, size - i < 8 ? size - i : 8);
	}
}

static unsigned long fill_noise(struct ctx *c, int fd, const struct row *r)
{
	size_t size = _IOC_SIZE(r->cmd);
	void *buf = arg_at_end(c, size);

	noise(c, buf, size);
	return (unsigned long)buf;
}

static unsigned long fill_zero(struct ctx *c, int fd, const struct row *r)
{
	size_t size = _IOC_SIZE(r->cmd);
	void *buf = arg_at_end(c, size);

	memset(buf, 0, size);
	return (unsigned long)buf;
}

/* What is there now, slightly changed. */
static unsigned long fill_changed(struct ctx *c, int fd, const struct row *r)
{
	size_t size = _IOC_SIZE(r->cmd);
	void *buf = arg_at_end(c, size);

	memset(buf, 0, size);
	kuse_ioctl(fd, r->get, (unsigned long)buf);
	mutate(c, buf, size);
	return (unsigned long)buf;
}

static unsigned long fill_number(struct ctx *c, int fd, const struct row *r)
{
	return chance(c, 60) ? rnd_below(c, 4) : rnd_interesting(c);
}

static unsigned long fill_nothing(struct ctx *c, int fd, const struct row *r)
{
	return chance(c, 90) ? 0 : rnd_interesting(c);
}

static u64 some_gpa(struct ctx *c)
{
	static const u64 bases[] = { 0, 0, 0, 0x10000, 0x100000, 0xfee00000, 0xfec00000, 1ull << 32, 1ull << 40, 0xfffff000 };

	return bases[rnd_below(c, COUNT(bases))] +
	       (chance(c, 90) ? rnd_below(c, 64) * PAGE : rnd_interesting(c));
}

static unsigned long fill_memory(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_userspace_memory_region *m = arg_at_end(c, sizeof(*m));
	unsigned page = (unsigned)rnd_below(c, BLOCK_PAGES);

	*m = (struct kvm_userspace_memory_region){ .slot = (u32)rnd_below(c, 6), .guest_phys_addr = some_gpa(c) };
	m->flags = chance(c, 70) ? 0 : (u32)rnd_below(c, 4);
	m->memory_size = chance(c, 15) ? 0 : PAGE * (1 + rnd_below(c, BLOCK_PAGES - page));
	m->userspace_addr = (u64)(c->w->block[rnd_below(c, NR_BLOCK)].mem + page * PAGE);
	if (chance(c, 15))
		mutate(c, m, sizeof(*m) - 8); /* any address but one of ours: nothing is there to be destroyed */
	return (unsigned long)m;
}

static unsigned long fill_dirty_log(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_dirty_log *d = arg_at_end(c, sizeof(*d));

	*d = (struct kvm_dirty_log){ .slot = (u32)rnd_below(c, 7), .dirty_bitmap = c->page + rnd_below(c, 8) };
	if (chance(c, 10))
		d->dirty_bitmap = (void *)1;
	return (unsigned long)d;
}

static unsigned long fill_clear_log(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_clear_dirty_log *d = arg_at_end(c, sizeof(*d));

	*d = (struct kvm_clear_dirty_log){ .slot = (u32)rnd_below(c, 7), .dirty_bitmap = c->page };
	d->num_pages = (u32)(chance(c, 70) ? 64 * rnd_below(c, 2) : rnd_interesting(c));
	d->first_page = chance(c, 80) ? 0 : rnd_interesting(c);
	return (unsigned long)d;
}

static unsigned long fill_enable_cap(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_enable_cap *e = arg_at_end(c, sizeof(*e));

	memset(e, 0, sizeof(*e));
	e->cap = (u32)rnd_below(c, 245);
	if (chance(c, 40)) {
		static const u32 common[] = { KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_X86_DISABLE_EXITS,
					      KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_DISABLE_QUIRKS2,
					      KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_MAX_VCPU_ID,
					      KVM_CAP_HYPERV_SYNIC, KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENFORCE_CPUID };

		e->cap = common[rnd_below(c, COUNT(common))];
	}
	e->flags = chance(c, 95) ? 0 : (u32)rnd_interesting(c);
	e->args[0] = chance(c, 50) ? rnd_below(c, 4) : rnd_interesting(c);
	e->args[1] = rnd_interesting(c);
	return (unsigned long)e;
}

static unsigned long fill_irq(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_irq_level *l = arg_at_end(c, sizeof(*l));

	*l = (struct kvm_irq_level){ .irq = (u32)(chance(c, 90) ? rnd_below(c, 26) : rnd_interesting(c)),
				     .level = (u32)rnd_below(c, 2) };
	return (unsigned long)l;
}

static unsigned long fill_msi(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_msi *m = arg_at_end(c, sizeof(*m));

	memset(m, 0, sizeof(*m));
	m->address_lo = 0xfee00000u | (u32)rnd_below(c, 1 << 20);
	m->address_hi = chance(c, 80) ? 0 : (u32)rnd(c);
	m->data = (u32)rnd_below(c, 1 << 16);
	m->flags = chance(c, 95) ? 0 : (u32)rnd_below(c, 4);
	return (unsigned long)m;
}

static unsigned long fill_routing(struct ctx *c, int fd, const struct row *r)
{
	u32 n = (u32)rnd_below(c, 30), claimed = chance(c, 90) ? n : (u32)rnd_interesting(c);
	struct kvm_irq_routing *t = arg_at_end(c, sizeof(*t) + n * sizeof(t->entries[0]));

	*t = (struct kvm_irq_routing){ .nr = claimed, .flags = chance(c, 95) ? 0 : 1 };
	for (u32 i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e = &t->entries[i];

		memset(e, 0, sizeof(*e));
		e->gsi = chance(c, 90) ? i : (u32)rnd_interesting(c);
		e->type = chance(c, 90) ? 1 + (u32)rnd_below(c, 2) : (u32)rnd_below(c, 7);
		e->u.irqchip.irqchip = (u32)rnd_below(c, 4);
		e->u.irqchip.pin = (u32)(chance(c, 90) ? rnd_below(c, 8) : rnd_interesting(c));
		if (e->type == KVM_IRQ_ROUTING_HV_SINT)
			e->u.hv_sint.vcpu = (u32)rnd_below(c, 3); /* and a SINT, where the pin is */
		if (e->type == KVM_IRQ_ROUTING_MSI)
			e->u.msi.address_lo = 0xfee00000u | (u32)rnd_below(c, 1 << 20);
	}
	return (unsigned long)t;
}

static unsigned long fill_irqfd(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_irqfd *f = arg_at_end(c, sizeof(*f));

	memset(f, 0, sizeof(*f));
	f->fd = (u32)world_pick(c, c->w->event, NR_EVENT);
	f->gsi = (u32)(chance(c, 90) ? rnd_below(c, 24) : rnd_interesting(c));
	f->flags = chance(c, 90) ? (u32)rnd_below(c, 4) : (u32)rnd(c);
	f->resamplefd = (u32)world_pick(c, c->w->event, NR_EVENT);
	if (chance(c, 5))
		f->fd = (u32)world_pick(c, c->w->vm, NR_VM);
	return (unsigned long)f;
}

static unsigned long fill_ioeventfd(struct ctx *c, int fd, const struct row *r)
{
	static const u32 lens[] = { 0, 1, 2, 4, 8, 3, 16 };
	struct kvm_ioeventfd *f = arg_at_end(c, sizeof(*f));

	memset(f, 0, sizeof(*f));
	f->fd = world_pick(c, c->w->event, NR_EVENT);
	f->addr = chance(c, 50) ? 0x10 : some_gpa(c);
	f->len = lens[rnd_below(c, COUNT(lens))];
	f->datamatch = rnd_below(c, 4);
	f->flags = chance(c, 95) ? (u32)rnd_below(c, 8) : (u32)rnd(c);
	return (unsigned long)f;
}

static unsigned long fill_hv_eventfd(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_hyperv_eventfd *f = arg_at_end(c, sizeof(*f));

	memset(f, 0, sizeof(*f));
	f->conn_id = (u32)(chance(c, 90) ? rnd_below(c, 4) : rnd_interesting(c));
	f->fd = chance(c, 95) ? world_pick(c, c->w->event, NR_EVENT) : world_pick(c, c->w->vm, NR_VM);
	f->flags = chance(c, 90) ? (u32)rnd_below(c, 2) : (u32)rnd_interesting(c);
	return (unsigned long)f;
}

static unsigned long fill_zone(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_coalesced_mmio_zone *z = arg_at_end(c, sizeof(*z));

	*z = (struct kvm_coalesced_mmio_zone){ .addr = chance(c, 50) ? rnd_below(c, 4) * PAGE : some_gpa(c),
					       .size = (u32)(chance(c, 80) ? PAGE : rnd_interesting(c)) };
	z->pio = (u32)rnd_below(c, 3);
	return (unsigned long)z;
}

static unsigned long fill_msr_filter(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_msr_filter *f = arg_at_end(c, sizeof(*f));

	memset(f, 0, sizeof(*f));
	f->flags = chance(c, 90) ? (u32)rnd_below(c, 2) : (u32)rnd(c);
	for (unsigned i = 0; i < rnd_below(c, 5); i++) {
		f->ranges[i] = (struct kvm_msr_filter_range){ .flags = 1 + (u32)rnd_below(c, 3), .bitmap = c->page };
		f->ranges[i].base = (u32)(chance(c, 70) ? rnd_below(c, 0x200) : rnd_interesting(c));
		f->ranges[i].nmsrs = (u32)(chance(c, 80) ? rnd_below(c, 64) : rnd_interesting(c));
		if (chance(c, 5))
			f->ranges[i].bitmap = (u8 *)1;
	}
	return (unsigned long)f;
}

/* nent / nmsrs / size first, then entries that fill the space up to the end. */
static unsigned long fill_list(struct ctx *c, int fd, const struct row *r)
{
	size_t head = _IOC_SIZE(r->cmd),
	       entry = r->cmd == KVM_GET_MSR_INDEX_LIST || r->cmd == KVM_GET_MSR_FEATURE_INDEX_LIST ? 4
		       : r->cmd == KVM_GET_MSRS || r->cmd == KVM_SET_MSRS ? sizeof(struct kvm_msr_entry)
		       : r->cmd == KVM_SET_CPUID                          ? sizeof(struct kvm_cpuid_entry)
									  : sizeof(struct kvm_cpuid_entry2);
	u32 n = (u32)rnd_below(c, ARG_PAGES * PAGE / entry / 2),
	    claimed = chance(c, 90) ? n : (u32)rnd_interesting(c);
	u8 *buf = arg_at_end(c, head + n * entry);

	noise(c, buf, head + n * entry);
	memcpy(buf, &claimed, 4);
	memset(buf + 4, 0, head - 4);
	for (u32 i = 0; r->cmd == KVM_SET_MSRS && i < n; i++) {
		static const u32 ranges[][2] = { { 0, 0x500 }, { 0xc0000080, 8 }, { 0x40000000, 0x120 } /* Hyper-V */ };
		const u32 *range = ranges[rnd_below(c, COUNT(ranges))];
		u32 index = range[0] + (u32)rnd_below(c, range[1]);

		memcpy(buf + head + i * entry, &index, 4);
	}
	return (unsigned long)buf;
}

/* What the host supports, slightly changed. */
static unsigned long fill_cpuid(struct ctx *c, int fd, const struct row *r)
{
	u32 n = 160;
	struct kvm_cpuid2 *cpuid = arg_at_end(c, sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));

	if (chance(c, 20))
		return fill_list(c, fd, r);
	cpuid->nent = n;
	cpuid->padding = 0;
	if (kuse_ioctl(world_pick(c, c->w->kvm, NR_KVM), KVM_GET_SUPPORTED_CPUID, (unsigned long)cpuid))
		cpuid->nent = 0;
	if (cpuid->nent && cpuid->nent < n && chance(c, 30)) /* a guest on Hyper-V */
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){ .function = 0x40000001, .eax = 0x31237648 };
	if (chance(c, 50))
		mutate(c, cpuid->entries, cpuid->nent * sizeof(cpuid->entries[0]));
	return (unsigned long)cpuid;
}

static unsigned long fill_attr(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_device_attr *a = arg_at_end(c, sizeof(*a));

	memset(a, 0, sizeof(*a));
	a->addr = (u64)(c->page + rnd_below(c, 64));
	if (chance(c, 30))
		mutate(c, a, sizeof(*a));
	return (unsigned long)a;
}

static unsigned long fill_sigmask(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_signal_mask *m = arg_at_end(c, sizeof(*m) + 8);
	u64 set = rnd(c) & ~(1ull << (10 - 1)); /* SIGUSR1 stays open: it ends KVM_RUN */

	m->len = chance(c, 90) ? 8 : (u32)rnd_interesting(c);
	memcpy(m->sigset, &set, 8);
	return chance(c, 30) ? 0 : (unsigned long)m;
}

static unsigned long fill_xsave(struct ctx *c, int fd, const struct row *r)
{
	void *buf = arg_at_end(c, sizeof(struct kvm_xsave));

	memset(buf, 0, sizeof(struct kvm_xsave));
	if (r->get)
		kuse_ioctl(fd, r->get, (unsigned long)buf);
	mutate(c, buf, chance(c, 50) ? 32 : sizeof(struct kvm_xsave));
	return (unsigned long)buf;
}

static unsigned long fill_mp_state(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_mp_state *m = arg_at_end(c, sizeof(*m));

	m->mp_state = chance(c, 60) ? 0 : (u32)rnd_below(c, 12);
	return (unsigned long)m;
}

/* ---- Xen ---- */

/* An address of guest memory or ours, nothing, or anything. */
static u64 xen_address(struct ctx *c)
{
	switch (rnd_below(c, 5)) {
	case 0:
		return ~0ull;
	case 1:
		return rnd_interesting(c);
	case 2:
		return (u64)(unsigned long)arg_at_end(c, PAGE_SIZE) & PAGE_MASK;
	default:
		return rnd_below(c, 0x4000) * (chance(c, 80) ? 4 : 1);
	}
}

static unsigned long fill_xen_config(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_xen_hvm_config *x = arg_at_end(c, sizeof(*x));

	memset(x, 0, sizeof(*x));
	x->msr = chance(c, 80) ? 0x40000000 : (u32)rnd_interesting(c);
	x->flags = (u32)(chance(c, 80) ? rnd(c) & (KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL |
						   KVM_XEN_HVM_CONFIG_EVTCHN_SEND)
				       : rnd_interesting(c));
	if (chance(c, 20))
		mutate(c, x, sizeof(*x));
	return (unsigned long)x;
}

static unsigned long fill_xen_vm(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_xen_hvm_attr *a = arg_at_end(c, sizeof(*a));

	memset(a, 0, sizeof(*a));
	a->type = (u16)rnd_below(c, 8);
	if (a->type == KVM_XEN_ATTR_TYPE_EVTCHN) {
		a->u.evtchn.send_port = (u32)rnd_below(c, 6);
		a->u.evtchn.type = (u32)(chance(c, 50) ? 2 : rnd_below(c, 6));
		a->u.evtchn.flags = (u32)rnd_below(c, 6);
		a->u.evtchn.deliver.port.port = (u32)rnd_below(c, 6);
		a->u.evtchn.deliver.port.vcpu = (u32)rnd_below(c, 3);
		a->u.evtchn.deliver.port.priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
	} else {
		a->u.shared_info.gfn = chance(c, 50) ? rnd_below(c, 16) : xen_address(c);
	}
	if (chance(c, 10))
		mutate(c, a, sizeof(*a));
	return (unsigned long)a;
}

static unsigned long fill_xen_vcpu(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_xen_vcpu_attr *a = arg_at_end(c, sizeof(*a));

	memset(a, 0, sizeof(*a));
	a->type = (u16)rnd_below(c, 11);
	a->u.gpa = xen_address(c);
	if (a->type == KVM_XEN_VCPU_ATTR_TYPE_TIMER) {
		a->u.timer.port = (u32)rnd_below(c, 6);
		a->u.timer.priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
		a->u.timer.expires_ns = rnd_interesting(c);
	}
	if (chance(c, 10))
		mutate(c, a, sizeof(*a));
	return (unsigned long)a;
}

static unsigned long fill_evtchn(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_irq_routing_xen_evtchn *e = arg_at_end(c, sizeof(*e));

	e->port = (u32)(chance(c, 80) ? rnd_below(c, 64) : rnd_interesting(c));
	e->vcpu = (u32)rnd_below(c, 3);
	e->priority = chance(c, 90) ? KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL : 0;
	return (unsigned long)e;
}

/* ---- the rows ---- */

#define R(cmd, level, flags, fill, get, ...) { #cmd, cmd, level, flags, fill, get, { __VA_ARGS__ } }
#define P POINTER

static const struct row rows[] = {
	R(KVM_GET_API_VERSION, 'D', 0, fill_nothing, 0, EINVAL),
	R(KVM_CHECK_EXTENSION, 'D', 0, fill_number, 0),
	R(KVM_GET_VCPU_MMAP_SIZE, 'D', 0, fill_nothing, 0, EINVAL),
	R(KVM_GET_MSR_INDEX_LIST, 'D', P, fill_list, 0, EFAULT, E2BIG),
	R(KVM_GET_MSR_FEATURE_INDEX_LIST, 'D', P, fill_list, 0, EFAULT, E2BIG),
	R(KVM_GET_SUPPORTED_CPUID, 'D', P, fill_list, 0, EFAULT, E2BIG, ENOMEM),
	R(KVM_GET_EMULATED_CPUID, 'D', P, fill_list, 0, EFAULT, E2BIG, ENOMEM, EINVAL),
	R(KVM_GET_SUPPORTED_HV_CPUID, 'D', P, fill_list, 0, EFAULT, E2BIG),
	R(KVM_GET_MSRS, 'D', P, fill_list, 0, EFAULT, E2BIG, ENOMEM),
	R(KVM_X86_GET_MCE_CAP_SUPPORTED, 'D', P, fill_zero, 0, EFAULT),
	R(KVM_GET_DEVICE_ATTR, 'D', P, fill_attr, 0, EFAULT, ENXIO),
	R(KVM_HAS_DEVICE_ATTR, 'D', P, fill_attr, 0, EFAULT, ENXIO),

	R(KVM_CHECK_EXTENSION, 'V', 0, fill_number, 0),
	R(KVM_SET_USER_MEMORY_REGION, 'V', P, fill_memory, 0, EFAULT, EINVAL, EEXIST, ENOMEM),
	R(KVM_SET_USER_MEMORY_REGION, 'V', P, fill_memory, 0, EFAULT, EINVAL, EEXIST, ENOMEM),
	R(KVM_GET_DIRTY_LOG, 'V', P, fill_dirty_log, 0, EFAULT, EINVAL, ENOENT, ENXIO),
	R(KVM_CLEAR_DIRTY_LOG, 'V', P, fill_clear_log, 0, EFAULT, EINVAL, ENOENT, ENXIO),
	R(KVM_SET_NR_MMU_PAGES, 'V', 0, fill_number, 0, EINVAL),
	R(KVM_SET_TSS_ADDR, 'V', 0, fill_number, 0, EINVAL),
	R(KVM_SET_IDENTITY_MAP_ADDR, 'V', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_CREATE_IRQCHIP, 'V', 0, fill_nothing, 0, EEXIST, EINVAL, ENOMEM),
	R(KVM_GET_IRQCHIP, 'V', P, fill_noise, 0, EFAULT, ENXIO, EINVAL),
	R(KVM_SET_IRQCHIP, 'V', P, fill_changed, KVM_GET_IRQCHIP, EFAULT, ENXIO, EINVAL),
	R(KVM_SET_IRQCHIP, 'V', P, fill_noise, 0, EFAULT, ENXIO, EINVAL),
	R(KVM_CREATE_PIT, 'V', 0, fill_nothing, 0, EEXIST, ENOENT, ENOMEM),
	R(KVM_CREATE_PIT2, 'V', P, fill_noise, 0, EFAULT, EEXIST, ENOENT, ENOMEM),
	R(KVM_GET_PIT, 'V', P, fill_noise, 0, EFAULT, ENXIO),
	R(KVM_SET_PIT, 'V', P, fill_changed, KVM_GET_PIT, EFAULT, ENXIO),
	R(KVM_GET_PIT2, 'V', P, fill_noise, 0, EFAULT, ENXIO),
	R(KVM_SET_PIT2, 'V', P, fill_changed, KVM_GET_PIT2, EFAULT, ENXIO),
	R(KVM_SET_PIT2, 'V', P, fill_noise, 0, EFAULT, ENXIO),
	R(KVM_REINJECT_CONTROL, 'V', P, fill_noise, 0, EFAULT, ENXIO),
	R(KVM_IRQ_LINE, 'V', P, fill_irq, 0, EFAULT, ENXIO),
	R(KVM_IRQ_LINE_STATUS, 'V', P, fill_irq, 0, EFAULT, ENXIO),
	R(KVM_SIGNAL_MSI, 'V', P, fill_msi, 0, EFAULT, EINVAL, EPERM),
	R(KVM_SET_GSI_ROUTING, 'V', P, fill_routing, 0, EFAULT, EINVAL, ENOMEM),
	R(KVM_IRQFD, 'V', P, fill_irqfd, 0, EFAULT, EINVAL, EBADF, EBUSY, ENOMEM),
	R(KVM_IOEVENTFD, 'V', P, fill_ioeventfd, 0, EFAULT, EINVAL, EBADF, EEXIST, ENOENT, ENOSPC, ENOMEM),
	R(KVM_HYPERV_EVENTFD, 'V', P, fill_hv_eventfd, 0, EFAULT, EINVAL, EBADF, EEXIST, ENOENT, ENOMEM),
	R(KVM_REGISTER_COALESCED_MMIO, 'V', P, fill_zone, 0, EFAULT, EINVAL, ENOSPC, ENOMEM),
	R(KVM_UNREGISTER_COALESCED_MMIO, 'V', P, fill_zone, 0, EFAULT, EINVAL),
	R(KVM_ENABLE_CAP, 'V', P, fill_enable_cap, 0, EFAULT, EINVAL, EEXIST, ENXIO, EPERM, EBUSY, ENOMEM,
	  E2BIG),
	R(KVM_SET_BOOT_CPU_ID, 'V', 0, fill_number, 0, EBUSY, EINVAL),
	R(KVM_GET_CLOCK, 'V', P, fill_zero, 0, EFAULT),
	R(KVM_SET_CLOCK, 'V', P, fill_changed, KVM_GET_CLOCK, EFAULT, EINVAL),
	R(KVM_SET_TSC_KHZ, 'V', 0, fill_number, 0, EINVAL),
	R(KVM_GET_TSC_KHZ, 'V', 0, fill_nothing, 0),
	R(KVM_X86_SET_MSR_FILTER, 'V', P, fill_msr_filter, 0, EFAULT, EINVAL, ENOMEM),
	R(KVM_SET_PMU_EVENT_FILTER, 'V', P, fill_noise, 0, EFAULT, EINVAL, E2BIG, ENOMEM),
	R(KVM_XEN_HVM_CONFIG, 'V', P, fill_xen_config, 0, EFAULT, EINVAL),
	R(KVM_XEN_HVM_GET_ATTR, 'V', P, fill_xen_vm, 0, EFAULT, ENOENT, EOPNOTSUPP),
	R(KVM_XEN_HVM_SET_ATTR, 'V', P, fill_xen_vm, 0, EFAULT, ENOENT, EINVAL, EOPNOTSUPP, EEXIST, EBADF, ENOMEM, EMFILE),
	R(KVM_XEN_HVM_SET_ATTR, 'V', P, fill_xen_vm, 0, EFAULT, ENOENT, EINVAL, EOPNOTSUPP, EEXIST, EBADF, ENOMEM, EMFILE),
	R(KVM_XEN_HVM_EVTCHN_SEND, 'V', P, fill_evtchn, 0, EFAULT, EINVAL),
	R(KVM_GET_STATS_FD, 'V', NEW_FD, fill_nothing, 0),
	R(KVM_CREATE_DEVICE, 'V', P, fill_noise, 0, EFAULT, ENODEV, EINVAL, EPERM),

	R(KVM_GET_REGS, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_REGS, 'C', P, fill_changed, KVM_GET_REGS, EFAULT),
	R(KVM_SET_REGS, 'C', P, fill_changed, KVM_GET_REGS, EFAULT),
	R(KVM_GET_SREGS, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_SREGS, 'C', P, fill_changed, KVM_GET_SREGS, EFAULT, EINVAL),
	R(KVM_GET_SREGS2, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_SREGS2, 'C', P, fill_changed, KVM_GET_SREGS2, EFAULT, EINVAL),
	R(KVM_TRANSLATE, 'C', P, fill_noise, 0, EFAULT),
	R(KVM_INTERRUPT, 'C', P, fill_noise, 0, EFAULT, EINVAL, ENXIO, EEXIST),
	R(KVM_NMI, 'C', 0, fill_nothing, 0),
	R(KVM_SMI, 'C', 0, fill_nothing, 0),
	R(KVM_XEN_VCPU_GET_ATTR, 'C', P, fill_xen_vcpu, 0, EFAULT, ENOENT, EINVAL, EOPNOTSUPP),
	R(KVM_XEN_VCPU_SET_ATTR, 'C', P, fill_xen_vcpu, 0, EFAULT, ENOENT, EINVAL, EOPNOTSUPP, ENXIO),
	R(KVM_XEN_VCPU_SET_ATTR, 'C', P, fill_xen_vcpu, 0, EFAULT, ENOENT, EINVAL, EOPNOTSUPP, ENXIO),
	R(KVM_GET_MSRS, 'C', P, fill_list, 0, EFAULT, E2BIG, ENOMEM),
	R(KVM_SET_MSRS, 'C', P, fill_list, 0, EFAULT, E2BIG, ENOMEM),
	R(KVM_SET_CPUID, 'C', P, fill_list, 0, EFAULT, E2BIG, EINVAL, ENOMEM),
	R(KVM_SET_CPUID2, 'C', P, fill_cpuid, 0, EFAULT, E2BIG, EINVAL, ENOMEM),
	R(KVM_GET_CPUID2, 'C', P, fill_list, 0, EFAULT, E2BIG),
	R(KVM_GET_SUPPORTED_HV_CPUID, 'C', P, fill_list, 0, EFAULT, E2BIG),
	R(KVM_SET_SIGNAL_MASK, 'C', 0, fill_sigmask, 0, EFAULT, EINVAL),
	R(KVM_GET_FPU, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_FPU, 'C', P, fill_changed, KVM_GET_FPU, EFAULT),
	R(KVM_GET_LAPIC, 'C', P, fill_zero, 0, EFAULT, EINVAL),
	R(KVM_SET_LAPIC, 'C', P, fill_changed, KVM_GET_LAPIC, EFAULT, EINVAL),
	R(KVM_SET_LAPIC, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_TPR_ACCESS_REPORTING, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_SET_VAPIC_ADDR, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_GET_MP_STATE, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_MP_STATE, 'C', P, fill_mp_state, 0, EFAULT, EINVAL),
	R(KVM_SET_GUEST_DEBUG, 'C', P, fill_noise, 0, EFAULT, EINVAL, EBUSY),
	R(KVM_X86_SETUP_MCE, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_X86_SET_MCE, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_GET_VCPU_EVENTS, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_VCPU_EVENTS, 'C', P, fill_changed, KVM_GET_VCPU_EVENTS, EFAULT, EINVAL),
	R(KVM_GET_DEBUGREGS, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_DEBUGREGS, 'C', P, fill_changed, KVM_GET_DEBUGREGS, EFAULT, EINVAL),
	R(KVM_ENABLE_CAP, 'C', P, fill_enable_cap, 0, EFAULT, EINVAL, ENOTTY, ENOMEM),
	R(KVM_GET_XSAVE, 'C', P, fill_xsave, 0, EFAULT, EINVAL),
	R(KVM_SET_XSAVE, 'C', P, fill_xsave, KVM_GET_XSAVE, EFAULT, EINVAL),
	R(KVM_GET_XSAVE2, 'C', P, fill_xsave, 0, EFAULT),
	R(KVM_GET_XCRS, 'C', P, fill_zero, 0, EFAULT, EINVAL),
	R(KVM_SET_XCRS, 'C', P, fill_changed, KVM_GET_XCRS, EFAULT, EINVAL),
	R(KVM_KVMCLOCK_CTRL, 'C', 0, fill_nothing, 0, EINVAL),
	R(KVM_SET_TSC_KHZ, 'C', 0, fill_number, 0, EINVAL),
	R(KVM_GET_TSC_KHZ, 'C', 0, fill_nothing, 0),
	R(KVM_HAS_DEVICE_ATTR, 'C', P, fill_attr, 0, EFAULT, ENXIO),
	R(KVM_GET_DEVICE_ATTR, 'C', P, fill_attr, 0, EFAULT, ENXIO),
	R(KVM_SET_DEVICE_ATTR, 'C', P, fill_attr, 0, EFAULT, ENXIO),
	R(KVM_GET_STATS_FD, 'C', NEW_FD, fill_nothing, 0),
};

/* Every ioctl of Linux 6.12, those included that have no row above. */
static const struct {
	const char *name;
	unsigned int cmd;
} all_ioctls[] = {
#define API_IOCTL(name, nr, levels, absence) { #name, nr },
#define API_CAP(name, nr, absence)
#include "tests/api/api.inc"
};

/* ---- calling and judging ---- */

static bool listed(const struct row *r, int err)
{
	for (size_t i = 0; i < COUNT(r->errnos); i++)
		if (r->errnos[i] == err)
			return true;
	return false;
}

static unsigned long bad_pointer(struct ctx *c, size_t size)
{
	unsigned long guard = (unsigned long)c->page + ARG_PAGES * PAGE;

	switch (rnd_below(c, 5)) {
	case 0: return 8;
	case 1: return guard;
	case 2: return size > 1 ? guard - size + 1 : guard; /* the last byte is missing */
	case 3: return 0xffff888000000000ul;
	default: return ~0ul - rnd_below(c, 64);
	}
}

/* `exact`: the descriptor is of the row's level for sure. */
static void judge(struct ctx *c, const struct row *r, int fd, int ret, int err, bool bad, bool exact)
{
	if (!exact || c->w->racing)
		return;
	/* -EIO: a system management interrupt that found no memory for its state ended the VM. */
	if (ret < 0 && !listed(r, err) && err != EIO)
		fuzz_wrong("errno %d (%s) on descriptor %d", err, strerror(err), fd);
	if (ret >= 0 && bad)
		fuzz_wrong("returned %d for an argument that is not there", ret);
}

static const int *slots_of(struct ctx *c, char level, unsigned *n)
{
	*n = level == 'D' ? NR_KVM : level == 'V' ? NR_VM : NR_VCPU;
	return level == 'D' ? c->w->kvm : level == 'V' ? c->w->vm : c->w->vcpu;
}

static void op_row(struct ctx *c)
{
	const struct row *r = &rows[rnd_below(c, COUNT(rows))];
	bool bad = r->flags & POINTER && chance(c, 6), exact = chance(c, 97);
	unsigned n;
	const int *slots = slots_of(c, exact ? r->level : "DVC"[rnd_below(c, 3)], &n);
	int fd = world_pick(c, slots, n), ret;
	unsigned long arg;

	if (fd < 0)
		return;
	fuzz_note(r->name);
	arg = r->fill(c, fd, r);
	if (bad)
		arg = bad_pointer(c, _IOC_SIZE(r->cmd));
	errno = 0;
	ret = kuse_ioctl(fd, r->cmd, arg);
	judge(c, r, fd, ret, errno, bad, exact);
	if (ret > 0 && r->flags & NEW_FD)
		world_adopt(c, c->w->other, NR_OTHER, ret);
}

static bool makes_fd(unsigned cmd)
{
	return cmd == KVM_CREATE_VM || cmd == KVM_CREATE_VCPU || cmd == KVM_GET_STATS_FD ||
	       cmd == KVM_CREATE_DEVICE || _IOC_NR(cmd) == 0xd4 /* KVM_CREATE_GUEST_MEMFD */;
}

/* Any ioctl on any descriptor with noise, numbers that do not exist included. */
static void op_any(struct ctx *c)
{
	static const char *const levels = "DVC";
	unsigned n, i = (unsigned)rnd_below(c, COUNT(all_ioctls));
	const int *slots = slots_of(c, levels[rnd_below(c, 3)], &n);
	struct row r = { .name = all_ioctls[i].name, .cmd = all_ioctls[i].cmd };
	int fd = world_pick(c, slots, n);

	if (chance(c, 10)) {
		r.name = "no such ioctl";
		r.cmd = (unsigned)rnd(c);
		if (chance(c, 80))
			r.cmd = (r.cmd & 0xc0ff00ff) | 0xae00;
		if (_IOC_SIZE(r.cmd) > ARG_PAGES * PAGE)
			return;
	}
	if (fd < 0 || makes_fd(r.cmd) || r.cmd == KVM_RUN || r.cmd == KVM_SET_USER_MEMORY_REGION ||
	    _IOC_NR(r.cmd) == 0x49)
		return; /* noise must not name this process's memory as the guest's */
	fuzz_note(r.name);
	kuse_ioctl(fd, r.cmd, chance(c, 90) ? fill_noise(c, fd, &r) : rnd_interesting(c));
}

/* ---- objects ---- */

static void op_open(struct ctx *c)
{
	int fd;

	fuzz_note("open");
	fd = kuse_open(O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fuzz_wrong("%s", strerror(errno));
	world_adopt(c, c->w->kvm, NR_KVM, fd);
}

static void op_create_vm(struct ctx *c)
{
	unsigned long type = chance(c, 95) ? 0 : rnd_interesting(c);
	int kvm = world_pick(c, c->w->kvm, NR_KVM), fd;

	fuzz_note("KVM_CREATE_VM");
	if (kvm < 0)
		return;
	fd = kuse_ioctl(kvm, KVM_CREATE_VM, type);
	if (fd < 0) {
		if (!c->w->racing && type == 0)
			fuzz_wrong("%s", strerror(errno));
		return;
	}
	world_adopt(c, c->w->vm, NR_VM, fd);
}

static void op_create_vcpu(struct ctx *c)
{
	unsigned long id = chance(c, 90) ? rnd_below(c, 8) : rnd_interesting(c);
	int vm = world_pick(c, c->w->vm, NR_VM), fd;

	if (vm < 0)
		return;
	fuzz_note("KVM_CREATE_VCPU");
	fd = kuse_ioctl(vm, KVM_CREATE_VCPU, id);
	if (fd >= 0)
		world_adopt(c, c->w->vcpu, NR_VCPU, fd);
	else if (!c->w->racing && errno != EINVAL && errno != EEXIST && errno != EIO)
		fuzz_wrong("%s", strerror(errno));
}

/* The client takes memory away under its slots, and gives it back. */
static void op_protect(struct ctx *c)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE };
	struct block *b = &c->w->block[rnd_below(c, NR_BLOCK)];
	size_t page = rnd_below(c, BLOCK_PAGES);

	fuzz_note("mprotect");
	mprotect(b->mem + page * PAGE, (BLOCK_PAGES - page) * PAGE, prots[rnd_below(c, COUNT(prots))]);
}

static void op_eventfd(struct ctx *c)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	fuzz_note("eventfd");
	if (fd >= 0)
		world_adopt(c, c->w->event, NR_EVENT, fd);
}

static void op_signal_event(struct ctx *c)
{
	int fd = world_pick(c, c->w->event, NR_EVENT);
	u64 one = 1;

	fuzz_note("write to an eventfd");
	if (fd >= 0 && write(fd, &one, 8) != 8)
		return;
}

static void op_close(struct ctx *c)
{
	int *const lists[] = { c->w->kvm, c->w->vm, c->w->vcpu, c->w->event, c->w->other };
	static const unsigned ns[] = { NR_KVM, NR_VM, NR_VCPU, NR_EVENT, NR_OTHER };
	unsigned i = (unsigned)rnd_below(c, COUNT(ns));

	fuzz_note("close");
	world_adopt(c, lists[i], ns[i], -1);
}

/* The duplicate lands in a slot of the same kind. */
static void op_dup(struct ctx *c)
{
	int *const lists[] = { c->w->kvm, c->w->vm, c->w->vcpu };
	static const unsigned ns[] = { NR_KVM, NR_VM, NR_VCPU };
	unsigned i = (unsigned)rnd_below(c, COUNT(ns));
	int fd = world_pick(c, lists[i], ns[i]), new;

	fuzz_note("dup");
	if (fd < 0)
		return;
	new = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (new >= 0)
		kuse_dup(fd, new); /* as the interposer does: sys.h asks for it */
	if (new >= 0)
		world_adopt(c, lists[i], ns[i], new);
}

static void op_mmap(struct ctx *c)
{
	unsigned i = (unsigned)rnd_below(c, NR_VCPU);
	int fd = world_pick(c, chance(c, 90) ? c->w->vcpu : c->w->vm, chance(c, 90) ? NR_VM : 1);
	struct run_map *m = &c->w->run[i];
	size_t len = PAGE * (1 + rnd_below(c, 4));
	void *at;

	fuzz_note("mmap");
	if (c->w->racing)
		return; /* an unmapped kvm_run of another thread's choice would be our own fault */
	if (m->at)
		kuse_munmap(m->at, m->len);
	at = kuse_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(PAGE * rnd_below(c, 3)));
	*m = at == MAP_FAILED ? (struct run_map){ 0 } : (struct run_map){ at, len };
}

/* Scribbles over what is shared with KVM. The first page may lie behind the end of the file. */
static void scribble(struct ctx *c, struct kvm_run *run)
{
	run->immediate_exit = chance(c, 10);
	run->request_interrupt_window = chance(c, 20);
	run->cr8 = chance(c, 90) ? 0 : rnd_interesting(c);
	run->kvm_valid_regs = chance(c, 90) ? rnd_below(c, 8) : rnd_interesting(c);
	run->kvm_dirty_regs = chance(c, 90) ? 0 : rnd_below(c, 16);
	if (chance(c, 20))
		mutate(c, (u8 *)run + 256, PAGE - 256);
	if (chance(c, 5))
		mutate(c, run, PAGE);
	if (UNDER_TSAN)
		run->immediate_exit = 1;
}

/* In a race the number may by now be another file, without a page to scribble on: the guest runs as it is. */
static struct kvm_run *map_run(struct ctx *c, int fd)
{
	struct kvm_run *run;

	if (c->w->racing)
		return NULL;
	run = kuse_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		fuzz_wrong("kvm_run cannot be mapped: %s", strerror(errno));
	return run;
}

static void judge_run(struct ctx *c, const struct kvm_run *run, int ret, int err)
{
	if (!run)
		return;
	if (ret < 0 && err != EINTR && err != EAGAIN && err != EINVAL && err != EFAULT && err != EIO)
		fuzz_wrong("errno %d (%s)", err, strerror(err));
	if (!ret && run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    run->internal.suberror == KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON)
		fuzz_wrong("the CPU gave up: internal error at %#llx", run->internal.data[0]);
}

static void op_run(struct ctx *c)
{
	int fd = world_pick(c, c->w->vcpu, NR_VCPU), ret;
	struct kvm_run *run;

	if (fd < 0 || (c->w->racing && UNDER_TSAN))
		return;
	fuzz_note("KVM_RUN");
	run = map_run(c, fd);
	for (unsigned n = 1 + (unsigned)rnd_below(c, 4); n--;) {
		if (run)
			scribble(c, run);
		ret = kuse_ioctl(fd, KVM_RUN, chance(c, 98) ? 0 : rnd_interesting(c));
		judge_run(c, run, ret, errno);
	}
	if (run)
		kuse_munmap(run, PAGE);
}

/* A plausible start: real mode at a page of one of the blocks. */
static void op_boot(struct ctx *c)
{
	int fd = world_pick(c, c->w->vcpu, NR_VCPU);
	struct kvm_regs regs = { .rip = 16 * rnd_below(c, 1024), .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	if (fd < 0)
		return;
	fuzz_note("a boot state");
	if (kuse_ioctl(fd, KVM_GET_SREGS, (unsigned long)&sregs))
		return;
	sregs.cs.base = sregs.cs.selector = 0;
	kuse_ioctl(fd, KVM_SET_SREGS, (unsigned long)&sregs);
	kuse_ioctl(fd, KVM_SET_REGS, (unsigned long)&regs);
	op_run(c);
}

/* A child has the numbers, but not the VMs. Only where no other thread may hold a lock. */
static void op_fork(struct ctx *c)
{
	pid_t pid;
	int status;

	if (c->w->racing)
		return;
	fuzz_note("fork");
	pid = fork();
	if (!pid) {
		for (unsigned i = 0; i < NR_VM; i++)
			if (c->w->vm[i] >= 0 &&
			    (kuse_ioctl(c->w->vm[i], KVM_CHECK_EXTENSION, 0) != -1 || errno != EIO))
				_exit(1);
		if (chance(c, 50))
			for (unsigned i = 0; i < NR_VCPU; i++)
				if (c->w->vcpu[i] >= 0)
					kuse_close(c->w->vcpu[i]);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) != pid && errno == EINTR)
		;
	if (pid > 0 && status)
		fuzz_wrong("the child of a fork ended with status %#x", status);
}

static void op_read_stats(struct ctx *c)
{
	int fd = world_pick(c, c->w->other, NR_OTHER);

	fuzz_note("read of a statistics descriptor");
	if (fd >= 0 && pread(fd, c->page, rnd_below(c, PAGE), (off_t)rnd_below(c, 256)) < 0)
		return;
}

static const struct {
	unsigned weight;
	void (*fn)(struct ctx *c);
} ops[] = {
	{ 60, op_row }, { 8, op_any }, { 1, op_open }, { 3, op_create_vm }, { 6, op_create_vcpu }, { 2, op_eventfd },
	{ 3, op_signal_event }, { 3, op_close }, { 2, op_dup }, { 2, op_mmap }, { 6, op_run }, { 4, op_boot }, { 1, op_fork },
	{ 1, op_read_stats }, { 1, op_protect },
};

void random_op(struct ctx *c)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < COUNT(ops); i++)
		sum += ops[i].weight;
	at = (unsigned)rnd_below(c, sum);
	for (size_t i = 0; i < COUNT(ops); i++) {
		if (at < ops[i].weight) {
			ops[i].fn(c);
			return;
		}
		at -= ops[i].weight;
	}
}
