/* SPDX-License-Identifier: Apache-2.0 */
/* The vcpu fd without running: registers, CPUID, MSRs, events, modes, errors. */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

static struct machine m;

static int up(void **state) { return machine_up(&m, NO_IRQCHIP); }
static int up_irqchip(void **state) { return machine_up(&m, IRQCHIP); }

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

static void unknown_ioctl(void **state)
{
	fails(EINVAL, IOCTL(m.vcpu, _IO(KVMIO, 0xfe), 0));
	fails(EINVAL, IOCTL(m.vcpu, _IO('x', 1), 0));
}

static void regs(void **state)
{
	struct kvm_regs a, b;

	memset(&a, 0, sizeof(a));
	for (unsigned i = 0; i < 16; i++)
		(&a.rax)[i] = 0x1111111111111111ull * i;
	a.rip = 0x1234;
	a.rflags = 0x202;
	ok(IOCTL(m.vcpu, KVM_SET_REGS, &a));
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_REGS, BAD_POINTER));
	fails(EFAULT, IOCTL(m.vcpu, KVM_SET_REGS, BAD_POINTER));
}

/* SDM vol. 3, table 10-1. */
static void reset_state(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.cs.selector, 0xf000);
	assert_int_equal(s.cs.base, 0xffff0000);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.cr3, 0);
	assert_int_equal(s.cr4, 0);
	assert_int_equal(s.efer, 0);
	assert_int_equal(s.apic_base, 0xfee00900);
	assert_int_equal(s.gdt.limit, 0xffff);
	assert_int_equal(s.tr.type, 11);
}

static void sregs_roundtrip(void **state)
{
	struct kvm_sregs a, b;

	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &a));
	a.cr0 = 0x80050033;
	a.cr4 = 0x20;
	a.cr3 = 0x5000;
	a.efer = 0xd00;
	a.cs = (struct kvm_segment){ .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	a.gdt.base = 0xffff888000001000ull;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &a));
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &b));
	assert_memory_equal(&a, &b, sizeof(a));
}

static void sregs_refused(void **state)
{
	struct kvm_sregs good, s;

	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &good));
	s = good;
	s.efer = 0xd00;
	s.cr0 = 0x80000011; /* long mode without PAE */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	s = good;
	s.cr0 = 0x80000000; /* paging without protection */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	s = good;
	s.cr0 = 0x20000010; /* NW without CD */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	s = good;
	s.cr4 = 1ull << 40;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	s = good;
	s.efer = 0x400; /* LMA without LME */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	s = good;
	s.apic_base |= 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	fails(EFAULT, IOCTL(m.vcpu, KVM_SET_SREGS, BAD_POINTER));
}

static void sregs2(void **state)
{
	struct kvm_sregs2 s;

	ok(IOCTL(m.vcpu, KVM_GET_SREGS2, &s));
	assert_int_equal(s.flags, 0);
	ok(IOCTL(m.vcpu, KVM_SET_SREGS2, &s));
	s.flags = 1; /* PDPTRs without PAE paging */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS2, &s));
	s.flags = 4;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SREGS2, &s));
}

static void fpu(void **state)
{
	struct kvm_fpu a, b;

	ok(IOCTL(m.vcpu, KVM_GET_FPU, &a));
	assert_int_equal(a.fcw, 0x37f);
	a.fcw = 0x27f;
	a.mxcsr = 0x1f80;
	memset(a.xmm, 0x5a, sizeof(a.xmm));
	ok(IOCTL(m.vcpu, KVM_SET_FPU, &a));
	ok(IOCTL(m.vcpu, KVM_GET_FPU, &b));
	assert_memory_equal(a.xmm, b.xmm, sizeof(a.xmm));
	assert_int_equal(b.fcw, 0x27f);
}

static void xsave(void **state)
{
	struct kvm_xsave *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	ok(IOCTL(m.vcpu, KVM_GET_XSAVE, a));
	a->region[128] = 7; /* XSTATE_BV: x87, SSE, AVX */
	a->region[40] = 0x12345678; /* XMM0 */
	a->region[144] = 0x9abcdef0; /* YMM_Hi128 0 */
	ok(IOCTL(m.vcpu, KVM_SET_XSAVE, a));
	ok(IOCTL(m.vcpu, KVM_GET_XSAVE, b));
	assert_int_equal(b->region[40], 0x12345678);
	assert_int_equal(b->region[144], 0x9abcdef0);
	a->region[129] = 1u << 30; /* a component that does not exist */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_XSAVE, a));
	a->region[129] = 0;
	a->region[6] = 0xffffffff; /* MXCSR */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_XSAVE, a));
	ok(IOCTL(m.vcpu, KVM_GET_XSAVE2, b));
	free(a);
	free(b);
}

static void xcrs(void **state)
{
	struct kvm_xcrs x;

	ok(IOCTL(m.vcpu, KVM_GET_XCRS, &x));
	assert_int_equal(x.nr_xcrs, 1);
	assert_int_equal(x.xcrs[0].value, 1);
	x.xcrs[0].value = 7;
	ok(IOCTL(m.vcpu, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 6; /* x87 cannot be off */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 5; /* AVX without SSE */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_XCRS, &x));
	x.nr_xcrs = 17;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_XCRS, &x));
	x.nr_xcrs = 1;
	x.flags = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_XCRS, &x));
}

static void debugregs(void **state)
{
	struct kvm_debugregs d;

	ok(IOCTL(m.vcpu, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.dr6, 0xffff0ff0);
	assert_int_equal(d.dr7, 0x400);
	d.db[2] = 0x1234;
	ok(IOCTL(m.vcpu, KVM_SET_DEBUGREGS, &d));
	d.db[2] = 0;
	ok(IOCTL(m.vcpu, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.db[2], 0x1234);
	d.dr7 = 1ull << 32;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_DEBUGREGS, &d));
	d.dr7 = 0x400;
	d.flags = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_DEBUGREGS, &d));
}

/* ---- MSRs ----------------------------------------------------------------------------------------- */

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry e;
};

static int set_msr(uint32_t index, uint64_t data)
{
	struct one_msr x = { .head.nmsrs = 1, .e = { .index = index, .data = data } };

	return IOCTL(m.vcpu, KVM_SET_MSRS, &x);
}

static int get_msr(uint32_t index, uint64_t *data)
{
	struct one_msr x = { .head.nmsrs = 1, .e = { .index = index } };
	int n = IOCTL(m.vcpu, KVM_GET_MSRS, &x);

	*data = x.e.data;
	return n;
}

static void msrs(void **state)
{
	static const uint32_t plain[] = { 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102 };
	uint64_t v;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		assert_int_equal(set_msr(plain[i], 0x1000 + i), 1);
		assert_int_equal(get_msr(plain[i], &v), 1);
		assert_int_equal(v, 0x1000 + i);
	}
	assert_int_equal(set_msr(0x12345678, 1), 0); /* does not exist: none done, no errno */
	assert_int_equal(get_msr(0x12345678, &v), 0);
}

static void msr_values_refused(void **state)
{
	skip_real(); /* as of 6.12; the host's KVM may be a paravirtual one that keeps less of it */
	assert_int_equal(set_msr(0xc0000080, 1ull << 40), 0);          /* EFER */
	assert_int_equal(set_msr(0xc0000082, 0x8000000000000000ull), 0); /* LSTAR not canonical */
	assert_int_equal(set_msr(0x277, 0x0202020202020202ull), 0);    /* PAT: type 2 */
	assert_int_equal(set_msr(0x2ff, 2), 0);                        /* MTRR default type 2 */
	assert_int_equal(set_msr(0x1b, 1), 0);                         /* APIC_BASE reserved bit */
	assert_int_equal(set_msr(0x277, 0x0007040600070406ull), 1);
	assert_int_equal(set_msr(0x2ff, 0x806), 1);
}

static void msr_sizes(void **state)
{
	struct one_msr x = { .head.nmsrs = 256 };

	fails(E2BIG, IOCTL(m.vcpu, KVM_GET_MSRS, &x));
	fails(E2BIG, IOCTL(m.vcpu, KVM_SET_MSRS, &x));
	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_MSRS, BAD_POINTER));
	x.head.nmsrs = 0;
	assert_int_equal(IOCTL(m.vcpu, KVM_GET_MSRS, &x), 0);
}

/* Whatever the index list names can be saved and restored. */
static void msr_list_roundtrip(void **state)
{
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1000 * sizeof(__u32));
	uint64_t v;

	skip_real(); /* Linux lists some that depend on CPUID */
	l->nmsrs = 1000;
	ok(IOCTL(m.kvm, KVM_GET_MSR_INDEX_LIST, l));
	for (unsigned i = 0; i < l->nmsrs; i++) {
		if (get_msr(l->indices[i], &v) != 1)
			fail_msg("MSR %#x cannot be read", l->indices[i]);
		if (set_msr(l->indices[i], v) != 1)
			fail_msg("MSR %#x cannot be restored to %#llx", l->indices[i], (unsigned long long)v);
	}
	free(l);
}

static void tsc(void **state)
{
	uint64_t a, b;
	int khz = IOCTL(m.vcpu, KVM_GET_TSC_KHZ, 0);

	assert_true(khz > 100000);
	assert_int_equal(get_msr(0x10, &a), 1);
	usleep(10000);
	assert_int_equal(get_msr(0x10, &b), 1);
	assert_true(b - a > (uint64_t)khz * 9 && b - a < (uint64_t)khz * 2000);
	skip_real(); /* the host may have no TSC offset */
	assert_int_equal(set_msr(0x10, 1ull << 50), 1);
	assert_int_equal(get_msr(0x10, &a), 1);
	assert_true(a >= 1ull << 50 && a < (1ull << 50) + (uint64_t)khz * 1000);
}

static void tsc_offset_attr(void **state)
{
	uint64_t off = 0x123456789ull, got = 0;
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&off };

	ok(IOCTL(m.vcpu, KVM_HAS_DEVICE_ATTR, &a));
	ok(IOCTL(m.vcpu, KVM_SET_DEVICE_ATTR, &a));
	a.addr = (uintptr_t)&got;
	ok(IOCTL(m.vcpu, KVM_GET_DEVICE_ATTR, &a));
	if (!kvm_is_real())
		assert_int_equal(got, off);
	a.attr = 9;
	fails(ENXIO, IOCTL(m.vcpu, KVM_HAS_DEVICE_ATTR, &a));
}

/* ---- CPUID ------------------------------------------------------------------------------------------ */

static void cpuid_sizes(void **state)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 300 * sizeof(c->entries[0]));

	c->nent = 257;
	fails(E2BIG, IOCTL(m.vcpu, KVM_SET_CPUID2, c));
	c->nent = 0;
	fails(E2BIG, IOCTL(m.vcpu, KVM_GET_CPUID2, c));
	c->nent = 256;
	ok(IOCTL(m.vcpu, KVM_GET_CPUID2, c));
	assert_true(c->nent > 10);
	ok(IOCTL(m.vcpu, KVM_SET_CPUID2, c));
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x80000008)
			c->entries[i].eax = (c->entries[i].eax & ~0xff00u) | 50u << 8;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_CPUID2, c)); /* linear addresses of 50 bits */
	fails(EFAULT, IOCTL(m.vcpu, KVM_SET_CPUID2, BAD_POINTER));
	free(c);
}

/* ---- events ------------------------------------------------------------------------------------------ */

static void vcpu_events(void **state)
{
	struct kvm_vcpu_events e;

	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	e.flags = 0;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	e.flags = 1u << 20;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD; /* not enabled */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 2; /* NMI is no exception */
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	e.exception.nr = 40;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x18;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.injected, 1);
	assert_int_equal(e.exception.nr, 13);
	assert_int_equal(e.exception.error_code, 0x18);
}

static void mp_state_without_irqchip(void **state)
{
	struct kvm_mp_state s;

	ok(IOCTL(m.vcpu, KVM_GET_MP_STATE, &s));
	assert_int_equal(s.mp_state, KVM_MP_STATE_RUNNABLE);
	ok(IOCTL(m.vcpu, KVM_SET_MP_STATE, &s));
	s.mp_state = KVM_MP_STATE_HALTED;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_MP_STATE, &s));
	s.mp_state = 77;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_MP_STATE, &s));
}

static void mp_state_with_irqchip(void **state)
{
	int ap = IOCTL(m.vm, KVM_CREATE_VCPU, 1);
	struct kvm_mp_state s;

	ok(ap);
	ok(IOCTL(ap, KVM_GET_MP_STATE, &s));
	assert_int_equal(s.mp_state, KVM_MP_STATE_UNINITIALIZED);
	s.mp_state = KVM_MP_STATE_HALTED;
	ok(IOCTL(ap, KVM_SET_MP_STATE, &s));
	s.mp_state = 77;
	ok(IOCTL(ap, KVM_GET_MP_STATE, &s));
	assert_int_equal(s.mp_state, KVM_MP_STATE_HALTED);
	ok(k_close(ap));
}

static void interrupt_ioctl(void **state)
{
	struct kvm_interrupt i = { .irq = 256 };
	struct kvm_sregs s;

	fails(EINVAL, IOCTL(m.vcpu, KVM_INTERRUPT, &i));
	i.irq = 0x41;
	ok(IOCTL(m.vcpu, KVM_INTERRUPT, &i));
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	assert_int_equal(s.interrupt_bitmap[1], 2);
	fails(EFAULT, IOCTL(m.vcpu, KVM_INTERRUPT, BAD_POINTER));
}

static void interrupt_with_irqchip(void **state)
{
	struct kvm_interrupt i = { .irq = 0x41 };

	fails(ENXIO, IOCTL(m.vcpu, KVM_INTERRUPT, &i));
}

static void lapic_needs_irqchip(void **state)
{
	struct kvm_lapic_state l;

	fails(EINVAL, IOCTL(m.vcpu, KVM_GET_LAPIC, &l));
}

static void lapic_state(void **state)
{
	struct kvm_lapic_state l;

	ok(IOCTL(m.vcpu, KVM_GET_LAPIC, &l));
	assert_int_equal(*(uint32_t *)(l.regs + 0xf0), 0xff); /* SPIV after reset */
	ok(IOCTL(m.vcpu, KVM_SET_LAPIC, &l));
	fails(EFAULT, IOCTL(m.vcpu, KVM_GET_LAPIC, BAD_POINTER));
}

static void mce(void **state)
{
	__u64 cap = 0;
	struct kvm_x86_mce e = { .bank = 1 };

	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SETUP_MCE, &cap)); /* no banks */
	cap = 33;
	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SETUP_MCE, &cap));
	cap = 10 | 1ull << 40;
	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SETUP_MCE, &cap));
	cap = 10 | 1 << 8;
	ok(IOCTL(m.vcpu, KVM_X86_SETUP_MCE, &cap));
	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SET_MCE, &e)); /* not valid */
	e.status = 1ull << 63;
	ok(IOCTL(m.vcpu, KVM_X86_SET_MCE, &e));
	e.bank = 10;
	fails(EINVAL, IOCTL(m.vcpu, KVM_X86_SET_MCE, &e));
}

static void guest_debug(void **state)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP };

	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	fails(EBUSY, IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &d)); /* one is pending */
	d.control = 0;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	fails(EFAULT, IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, BAD_POINTER));
}

static void signal_mask(void **state)
{
	struct { struct kvm_signal_mask head; uint8_t set[8]; } s = { .head.len = 4 };

	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, &s));
	s.head.len = 8;
	ok(IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, &s));
	ok(IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, NULL));
	fails(EFAULT, IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, BAD_POINTER));
}

static void kvmclock_ctrl_inactive(void **state)
{
	fails(EINVAL, IOCTL(m.vcpu, KVM_KVMCLOCK_CTRL, 0));
}

static void translate_identity(void **state)
{
	struct kvm_translation t = { .linear_address = 0x1234 };

	ok(IOCTL(m.vcpu, KVM_TRANSLATE, &t));
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x1234);
}

static void enable_cap(void **state)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args[0] = 1 };

	ok(IOCTL(m.vcpu, KVM_ENABLE_CAP, &c));
	c.flags = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_ENABLE_CAP, &c));
	c.flags = 0;
	c.cap = 99999;
	fails(EINVAL, IOCTL(m.vcpu, KVM_ENABLE_CAP, &c));
}

/* The binary statistics: header, identifier, descriptors, values in one file. */
static void stats_fd(void **state)
{
	int fd = IOCTL(m.vcpu, KVM_GET_STATS_FD, 0);
	struct kvm_stats_header h;
	char id[64] = "";

	ok(fd);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	assert_true(h.num_desc > 0 && h.name_size > 0 && h.name_size <= sizeof(id));
	assert_int_equal(pread(fd, id, h.name_size, h.id_offset), h.name_size);
	assert_memory_equal(id, "kvm-", 4);
	for (unsigned i = 0; i < h.num_desc; i++) {
		struct kvm_stats_desc d;
		uint64_t v;

		assert_int_equal(pread(fd, &d, sizeof(d), h.desc_offset + i * (sizeof(d) + h.name_size)),
				 sizeof(d));
		assert_int_equal(pread(fd, &v, 8, h.data_offset + d.offset), 8);
	}
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
#define TI(f) cmocka_unit_test_setup_teardown(f, up_irqchip, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unknown_ioctl), T(regs), T(reset_state), T(sregs_roundtrip), T(sregs_refused), T(sregs2), T(fpu), T(xsave),
		T(xcrs), T(debugregs), T(msrs), T(msr_values_refused), T(msr_sizes), T(msr_list_roundtrip), T(tsc),
		T(tsc_offset_attr), T(cpuid_sizes), T(vcpu_events), T(mp_state_without_irqchip), TI(mp_state_with_irqchip),
		T(interrupt_ioctl), TI(interrupt_with_irqchip), T(lapic_needs_irqchip), TI(lapic_state), T(mce),
		T(guest_debug), T(signal_mask), T(kvmclock_ctrl_inactive), T(translate_identity), T(enable_cap), T(stats_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
