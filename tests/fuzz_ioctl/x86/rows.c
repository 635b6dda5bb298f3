/* SPDX-License-Identifier: Apache-2.0 */
/* x86: its ioctls, small guests. */
#include <string.h>
#include <sys/ioctl.h>
#include "tests/fuzz_ioctl/rows.h"
#include "uapi/kuse_kvm.h"

const char program_name[] = "fuzz_ioctl";

const u32 arch_caps[] = { KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_X86_DISABLE_EXITS,
			  KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_DISABLE_QUIRKS2,
			  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_MAX_VCPU_ID,
			  KVM_CAP_HYPERV_SYNIC, KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENFORCE_CPUID };
const unsigned arch_nr_caps = COUNT(arch_caps);

const u64 arch_gpas[] = { 0, 0, 0, 0x10000, 0x100000, 0xfee00000, 0xfec00000, 1ull << 32, 1ull << 40, 0xfffff000 };
const unsigned arch_nr_gpas = COUNT(arch_gpas);

const int arch_run_errnos[] = { EINTR, EAGAIN, EINVAL, EFAULT, EIO, 0 };
const int arch_vcpu_errnos[] = { EINVAL, EEXIST, EIO, 0 };

const size_t arch_code_step = PAGE;

/* OUT, HLT, a device access, a loop, CPUID and RDMSR, INT. */
void arch_code(struct ctx *c, u8 *at)
{
	static const u8 code[] = { 0xe6, 0x10, 0xec, 0xa1, 0x00, 0xf0, 0x0f, 0xa2, 0x0f, 0x32, 0xcd, 0x20,
				   0xf4, 0xff, 0x06, 0x10, 0x00, 0xf3, 0xab, 0x0f, 0x01, 0xc1, 0xeb, 0xfe };

	memcpy(at, code + rnd_below(c, 8), sizeof(code) - 8);
}

/* A plausible start: real mode at a page of one of the blocks. */
void arch_boot(struct ctx *c, int fd)
{
	struct kvm_regs regs = { .rip = 16 * rnd_below(c, 1024), .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	if (kuse_ioctl(fd, KVM_GET_SREGS, (unsigned long)&sregs))
		return;
	sregs.cs.base = sregs.cs.selector = 0;
	kuse_ioctl(fd, KVM_SET_SREGS, (unsigned long)&sregs);
	kuse_ioctl(fd, KVM_SET_REGS, (unsigned long)&regs);
}

void arch_devices(struct ctx *c, int vm)
{
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

const unsigned arch_nr_pins = 8;

void arch_route(struct ctx *c, struct kvm_irq_routing_entry *e, u32 i)
{
	e->u.irqchip.irqchip = (u32)rnd_below(c, 4);
	if (e->type == KVM_IRQ_ROUTING_HV_SINT)
		e->u.hv_sint.vcpu = (u32)rnd_below(c, 3); /* and a SINT, where the pin is */
	if (e->type == KVM_IRQ_ROUTING_MSI)
		e->u.msi.address_lo = 0xfee00000u | (u32)rnd_below(c, 1 << 20);
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

static unsigned long fill_xsave(struct ctx *c, int fd, const struct row *r)
{
	void *buf = arg_at_end(c, sizeof(struct kvm_xsave));

	memset(buf, 0, sizeof(struct kvm_xsave));
	if (r->get)
		kuse_ioctl(fd, r->get, (unsigned long)buf);
	mutate(c, buf, chance(c, 50) ? 32 : sizeof(struct kvm_xsave));
	return (unsigned long)buf;
}

/* An address of guest memory or ours, nothing, or anything. */
static u64 xen_address(struct ctx *c)
{
	switch (rnd_below(c, 5)) {
	case 0:
		return ~0ull;
	case 1:
		return rnd_no_address(c);
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
		mutate(c, a, offsetof(struct kvm_xen_hvm_attr, u));
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
		mutate(c, a, offsetof(struct kvm_xen_vcpu_attr, u));
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

const struct row arch_rows[] = {
	R(KVM_CHECK_EXTENSION, 'D', 0, fill_number, 0),
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
	R(KVM_HYPERV_EVENTFD, 'V', P, fill_hv_eventfd, 0, EFAULT, EINVAL, EBADF, EEXIST, ENOENT, ENOMEM),
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
	R(KVM_GET_FPU, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_FPU, 'C', P, fill_changed, KVM_GET_FPU, EFAULT),
	R(KVM_GET_LAPIC, 'C', P, fill_zero, 0, EFAULT, EINVAL),
	R(KVM_SET_LAPIC, 'C', P, fill_changed, KVM_GET_LAPIC, EFAULT, EINVAL),
	R(KVM_SET_LAPIC, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_TPR_ACCESS_REPORTING, 'C', P, fill_noise, 0, EFAULT, EINVAL),
	R(KVM_SET_VAPIC_ADDR, 'C', P, fill_noise, 0, EFAULT, EINVAL),
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
};
const unsigned arch_nr_rows = COUNT(arch_rows);
