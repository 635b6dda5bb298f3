/* SPDX-License-Identifier: Apache-2.0 */
/* A GICv3 as the guest drives it: distributor, redistributors, CPU interface. */
#include "tests/vgic/fake.h"
#include "tests/vgic/tests.h"

#define IGROUPR 0x80
#define ISENABLER 0x100
#define ICENABLER 0x180
#define ISPENDR 0x200
#define ICPENDR 0x280
#define ISACTIVER 0x300
#define ICACTIVER 0x380
#define IPRIORITYR 0x400
#define ICFGR 0xc00
#define IROUTER(n) (0x6000 + 8 * (n))

/* nr vCPUs, each with Group 1 on and no priority masked. */
static struct kvm *gic(unsigned nr)
{
	struct kvm *kvm = fake_gic_vm(nr, KVM_DEV_TYPE_ARM_VGIC_V3);

	while (nr--) {
		on(kvm->vcpus[nr]);
		msr(ICC_PMR, 0xf8);
		msr(ICC_IGRPEN1, 1);
	}
	return kvm;
}

static void enable_spi(u32 n)
{
	w32(GICD + ISENABLER + n / 32 * 4, 1u << n % 32);
}

/* SPIs are edges at first. */
static void make_level(u32 n)
{
	w32(GICD + ICFGR + n / 16 * 4, r32(GICD + ICFGR + n / 16 * 4) & ~(2u << n % 16 * 2));
}

static void enable_level(u32 n)
{
	make_level(n);
	enable_spi(n);
}

static void test_dist_registers(void **state)
{
	struct kvm *kvm = gic(2);

	assert_int_equal(r32(GICD), 0x52); /* DS, ARE, EnableGrp1 */
	w32(GICD, 0);
	assert_int_equal(r32(GICD), 0x50);
	assert_int_equal(r32(GICD + 4), 7 | 9 << 19); /* 256 interrupts, 10 bits of INTID */
	assert_int_equal(r32(GICD + 8), 0x4b00343b);
	w32(GICD + 8, 0x4b00243b);
	assert_int_equal(r32(GICD + 8), 0x4b00343b); /* read-only for the guest */
	assert_int_equal(r32(GICD + 0xc), 0);
	assert_int_equal(r32(GICD + 0xffe8), 0x3b);
	assert_int_equal(r32(GICD + 0xffe0), 0);
	/* Private interrupts are the redistributors'; what does not exist reads as zero. */
	w32(GICD + ISENABLER, ~0u);
	assert_int_equal(r32(GICD + ISENABLER), 0);
	w32(GICD + ISENABLER + 4, 0xf0f0);
	assert_int_equal(r32(GICD + ISENABLER + 4), 0xf0f0);
	assert_int_equal(r32(GICD + ICENABLER + 4), 0xf0f0);
	w32(GICD + ICENABLER + 4, 0xf000);
	assert_int_equal(r32(GICD + ISENABLER + 4), 0x00f0);
	w32(GICD + ISENABLER + 32, ~0u);
	assert_int_equal(r32(GICD + ISENABLER + 32), 0); /* 256..287 */
	assert_int_equal(r32(GICD + IGROUPR + 4), ~0u);
	w32(GICD + IPRIORITYR + 40, 0xffa58c07);
	assert_int_equal(r32(GICD + IPRIORITYR + 40), 0xf8a08800);
	w8(GICD + IPRIORITYR + 41, 0x17);
	assert_int_equal(r8(GICD + IPRIORITYR + 41), 0x10);
	assert_int_equal(r32(GICD + ICFGR + 8), 0xaaaaaaaa);
	w32(GICD + ICFGR + 8, 0x5555aa55);
	assert_int_equal(r32(GICD + ICFGR + 8), 0x0000aa00);
	w64(GICD + IROUTER(40), 0xff00000001ull);
	assert_true(r64(GICD + IROUTER(40)) == 1); /* no Aff3 */
	w32(GICD + IROUTER(40) + 4, 1);
	assert_int_equal(r32(GICD + IROUTER(40) + 4), 0);
	/* Widths and alignments a register does not have: read as zero, ignored. */
	w8(GICD + ISENABLER + 4, 0xff);
	assert_int_equal(r32(GICD + ISENABLER + 4), 0x00f0);
	assert_true(r64(GICD + ISENABLER + 8) == 0);
	assert_int_equal(r8(GICD), 0);
	fake_vm_free(kvm);
}

static void test_redist_registers(void **state)
{
	struct kvm *kvm = gic(3);

	on(kvm->vcpus[0]); /* any CPU may look at any redistributor */
	assert_true(r64(GICR(1) + 8) == (1ull << 32 | 1 << 8));
	assert_true(r64(GICR(2) + 8) == (2ull << 32 | 2 << 8 | 1 << 4)); /* the last */
	assert_int_equal(r32(GICR(2) + 12), 2);
	assert_int_equal(r32(GICR(0)), 6); /* IR, CES; no LPIs without an ITS */
	w32(GICR(0), 1);
	assert_int_equal(r32(GICR(0)), 6);
	assert_int_equal(r32(GICR(0) + 4), 0x4b00043b);
	assert_int_equal(r32(GICR(0) + 0x14), 0); /* awake */
	assert_int_equal(r32(GICR(0) + 0xffe8), 0x3b);
	assert_int_equal(r32(GICR_SGI(1) + ISENABLER), 0xffff); /* SGIs are always on at first */
	w32(GICR_SGI(1) + ISENABLER, 1u << 27);
	assert_int_equal(r32(GICR_SGI(1) + ISENABLER), 0x0800ffff);
	assert_int_equal(r32(GICR_SGI(0) + ISENABLER), 0xffff); /* another CPU's */
	assert_int_equal(r32(GICR_SGI(0) + IGROUPR), ~0u);
	assert_int_equal(r32(GICR_SGI(0) + ICFGR), 0xaaaaaaaa); /* SGIs: edge */
	w32(GICR_SGI(0) + ICFGR + 4, ~0u);
	assert_int_equal(r32(GICR_SGI(0) + ICFGR + 4), 0); /* PPIs stay level */
	w32(GICR_SGI(0) + IPRIORITYR + 24, 0x20304050);
	assert_int_equal(r32(GICR_SGI(0) + IPRIORITYR + 24), 0x20304050);
	fake_vm_free(kvm);
}

static void test_spi_level(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	enable_level(40);
	assert_int_equal(line(vcpu), '-');
	raise(kvm, NULL, 40);
	assert_true(told(vcpu));
	assert_int_equal(line(vcpu), 'i');
	raise(kvm, NULL, 40); /* no change */
	assert_false(told(vcpu));
	assert_int_equal(mrs(ICC_HPPIR1), 40);
	assert_int_equal(mrs(ICC_IAR1), 40);
	assert_int_equal(line(vcpu), '-'); /* active */
	assert_int_equal(mrs(ICC_IAR1), 1023);
	assert_int_equal(mrs(ICC_RPR), 0);
	assert_int_equal(r32(GICD + ISACTIVER + 4), 1 << 8);
	msr(ICC_EOIR1, 40);
	assert_int_equal(fake.acks[8], 1);
	assert_int_equal(mrs(ICC_RPR), 0xff);
	assert_int_equal(line(vcpu), 'i'); /* still high */
	assert_int_equal(mrs(ICC_IAR1), 40);
	lower(kvm, NULL, 40);
	msr(ICC_EOIR1, 40);
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(fake.acks[8], 2);
	/* Raised and lowered again before the CPU looked: nothing is left. */
	raise(kvm, NULL, 40);
	lower(kvm, NULL, 40);
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(mrs(ICC_IAR1), 1023);
	fake_vm_free(kvm);
}

static void test_spi_edge(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	raise(kvm, NULL, 41); /* pends while disabled */
	assert_false(told(vcpu));
	assert_int_equal(r32(GICD + ISPENDR + 4), 1 << 9);
	assert_int_equal(line(vcpu), '-');
	enable_spi(41);
	assert_int_equal(line(vcpu), 'i');
	lower(kvm, NULL, 41); /* an edge stays */
	assert_int_equal(mrs(ICC_IAR1), 41);
	raise(kvm, NULL, 41); /* pending and active */
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(r32(GICD + ISPENDR + 4), 1 << 9);
	assert_int_equal(r32(GICD + ICPENDR + 4), 1 << 9);
	msr(ICC_EOIR1, 41);
	assert_int_equal(fake.acks[9], 0); /* edges have no one to tell */
	assert_int_equal(mrs(ICC_IAR1), 41);
	msr(ICC_EOIR1, 41);
	assert_int_equal(mrs(ICC_IAR1), 1023);
	fake_vm_free(kvm);
}

static void test_pending_active_by_guest(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	enable_level(50);
	w32(GICD + ISPENDR + 4, 1 << 18);
	assert_int_equal(line(vcpu), 'i');
	w32(GICD + ICPENDR + 4, 1 << 18);
	assert_int_equal(line(vcpu), '-');
	raise(kvm, NULL, 50);
	w32(GICD + ICPENDR + 4, 1 << 18); /* the line is no latch */
	assert_int_equal(line(vcpu), 'i');
	lower(kvm, NULL, 50);
	w32(GICD + ISPENDR + 4, 1 << 18);
	assert_int_equal(mrs(ICC_IAR1), 50); /* acknowledging clears the latch */
	msr(ICC_EOIR1, 50);
	assert_int_equal(line(vcpu), '-');
	w32(GICD + ISACTIVER + 4, 1 << 18);
	raise(kvm, NULL, 50);
	assert_int_equal(line(vcpu), '-');
	w32(GICD + ICACTIVER + 4, 1 << 18);
	assert_int_equal(line(vcpu), 'i');
	w32(GICD + ICENABLER + 4, 1 << 18);
	assert_int_equal(line(vcpu), '-');
	fake_vm_free(kvm);
}

static void test_ppi(void **state)
{
	struct kvm *kvm = gic(2);

	on(kvm->vcpus[1]);
	w32(GICR_SGI(1) + ISENABLER, 1u << 27);
	raise(kvm, kvm->vcpus[1], 27);
	raise(kvm, kvm->vcpus[0], 27); /* not enabled there */
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	assert_int_equal(mrs(ICC_IAR1), 27);
	lower(kvm, kvm->vcpus[1], 27);
	msr(ICC_EOIR1, 27);
	assert_int_equal(line(kvm->vcpus[1]), '-');
	fake_vm_free(kvm);
}

static void test_sgi(void **state)
{
	struct kvm *kvm = gic(3);

	on(kvm->vcpus[0]);
	msr(ICC_SGI1R, 3ull << 24 | 0x6); /* SGI 3 to CPUs 1 and 2 */
	assert_true(told(kvm->vcpus[1]) && told(kvm->vcpus[2]));
	assert_false(told(kvm->vcpus[0]));
	on(kvm->vcpus[2]);
	assert_int_equal(mrs(ICC_IAR1), 3);
	msr(ICC_EOIR1, 3);
	assert_int_equal(mrs(ICC_IAR1), 1023);
	on(kvm->vcpus[1]);
	assert_int_equal(mrs(ICC_IAR1), 3);
	msr(ICC_SGI1R, 1ull << 40 | 5ull << 24); /* all but self */
	assert_true(told(kvm->vcpus[0]) && told(kvm->vcpus[2]));
	assert_false(told(kvm->vcpus[1]));
	msr(ICC_EOIR1, 3);
	msr(ICC_SGI1R, 7ull << 24 | 0x2); /* itself: no kick is needed */
	assert_false(told(kvm->vcpus[1]));
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	assert_int_equal(mrs(ICC_IAR1), 7);
	/* Affinities no one has */
	msr(ICC_SGI1R, 1ull << 24 | 1ull << 16 | 1);
	msr(ICC_SGI1R, 1ull << 24 | 1ull << 48 | 1);
	msr(ICC_SGI1R, 1ull << 24 | 1ull << 32 | 1 | 0xff00);
	on(kvm->vcpus[0]);
	assert_int_equal(mrs(ICC_IAR1), 5);
	assert_int_equal(r32(GICR_SGI(0) + ISPENDR), 0);
	/* ASGI1R and SGI0R send to Group 0 only. */
	msr(ICC_SGI0R, 9ull << 24 | 1);
	msr(ICC_ASGI1R, 9ull << 24 | 1);
	assert_int_equal(r32(GICR_SGI(0) + ISPENDR), 0);
	w32(GICR_SGI(0) + IGROUPR, ~(1u << 9));
	msr(ICC_SGI0R, 9ull << 24 | 1);
	assert_int_equal(r32(GICR_SGI(0) + ISPENDR), 1 << 9);
	fake_vm_free(kvm);
}

static void set_priority(u32 n, u8 priority)
{
	w8(GICD + IPRIORITYR + n, priority);
}

static void test_priorities(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	for (u32 n = 40; n < 44; n++)
		enable_spi(n);
	set_priority(40, 0xa0);
	set_priority(41, 0x80);
	set_priority(42, 0x40);
	raise(kvm, NULL, 40);
	raise(kvm, NULL, 41);
	msr(ICC_PMR, 0x80); /* masks 0x80 and lower ones */
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(mrs(ICC_IAR1), 1023);
	assert_int_equal(mrs(ICC_HPPIR1), 41); /* pending all the same */
	msr(ICC_PMR, 0xf0);
	assert_int_equal(mrs(ICC_IAR1), 41); /* the higher one first */
	assert_int_equal(mrs(ICC_RPR), 0x80);
	assert_int_equal(mrs(ICC_AP1R0), 1u << 16);
	assert_int_equal(line(vcpu), '-'); /* 40 does not preempt it */
	raise(kvm, NULL, 42);
	assert_int_equal(line(vcpu), 'i'); /* 42 does */
	assert_int_equal(mrs(ICC_IAR1), 42);
	assert_int_equal(mrs(ICC_RPR), 0x40);
	msr(ICC_EOIR1, 42);
	assert_int_equal(mrs(ICC_RPR), 0x80);
	msr(ICC_EOIR1, 41);
	assert_int_equal(mrs(ICC_IAR1), 40);
	msr(ICC_EOIR1, 40);
	/* A binary point of 7: only bit 7 counts for preemption. */
	msr(ICC_BPR1, 7);
	raise(kvm, NULL, 40);
	assert_int_equal(mrs(ICC_IAR1), 40);
	assert_int_equal(mrs(ICC_RPR), 0x80);
	raise(kvm, NULL, 41);
	assert_int_equal(line(vcpu), '-'); /* 0x80 against 0xa0: the same group priority */
	raise(kvm, NULL, 42);
	assert_int_equal(line(vcpu), 'i');
	fake_vm_free(kvm);
}

static void test_groups(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	enable_spi(40);
	w32(GICD + IGROUPR + 4, ~(1u << 8));
	raise(kvm, NULL, 40);
	assert_int_equal(line(vcpu), '-'); /* Group 0 is off */
	msr(ICC_IGRPEN0, 1);
	assert_int_equal(line(vcpu), 'f');
	assert_int_equal(mrs(ICC_IAR1), 1023);
	assert_int_equal(mrs(ICC_HPPIR1), 1023);
	assert_int_equal(mrs(ICC_HPPIR0), 40);
	assert_int_equal(mrs(ICC_IAR0), 40);
	assert_int_equal(mrs(ICC_AP0R0), 1);
	assert_int_equal(mrs(ICC_AP1R0), 0);
	msr(ICC_EOIR0, 40);
	assert_int_equal(mrs(ICC_AP0R0), 0);
	w32(GICD + IGROUPR + 4, ~0u);
	raise(kvm, NULL, 40);
	assert_int_equal(line(vcpu), 'i');
	msr(ICC_IGRPEN1, 0);
	assert_int_equal(line(vcpu), '-');
	msr(ICC_IGRPEN1, 1);
	w32(GICD, 0); /* nothing is forwarded */
	assert_int_equal(line(vcpu), '-');
	w32(GICD, 2);
	assert_int_equal(line(vcpu), 'i');
	fake_vm_free(kvm);
}

static void test_eoimode(void **state)
{
	struct kvm *kvm = gic(2);
	struct kvm_vcpu *vcpu = kvm->vcpus[0];

	msr(ICC_CTLR, 2);
	assert_int_equal(mrs(ICC_CTLR), 0x402);
	enable_level(40);
	raise(kvm, NULL, 40);
	assert_int_equal(mrs(ICC_IAR1), 40);
	msr(ICC_EOIR1, 40); /* drops the priority only */
	assert_int_equal(mrs(ICC_RPR), 0xff);
	assert_int_equal(line(vcpu), '-');
	assert_int_equal(fake.acks[8], 0);
	msr(ICC_DIR, 40);
	assert_int_equal(fake.acks[8], 1);
	assert_int_equal(line(vcpu), 'i');
	assert_int_equal(mrs(ICC_IAR1), 40);
	msr(ICC_EOIR1, 40);
	lower(kvm, NULL, 40);
	on(kvm->vcpus[1]); /* an SPI may be deactivated by another CPU */
	msr(ICC_CTLR, 2);
	msr(ICC_DIR, 40);
	assert_int_equal(r32(GICD + ISACTIVER + 4), 0);
	on(vcpu);
	msr(ICC_CTLR, 0);
	msr(ICC_DIR, 40); /* does nothing in this mode */
	msr(ICC_EOIR1, 1023); /* nor does this */
	msr(ICC_EOIR1, 300);  /* nor an interrupt that is none */
	fake_vm_free(kvm);
}

static void test_routing(void **state)
{
	struct kvm *kvm = gic(2);

	on(kvm->vcpus[0]);
	enable_level(40);
	raise(kvm, NULL, 40);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	w64(GICD + IROUTER(40), 1); /* pending: it moves */
	assert_true(told(kvm->vcpus[1]));
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	on(kvm->vcpus[1]);
	assert_int_equal(mrs(ICC_IAR1), 40);
	w64(GICD + IROUTER(40), 0); /* active: it stays until its end */
	told(kvm->vcpus[0]);
	assert_int_equal(line(kvm->vcpus[0]), '-');
	msr(ICC_EOIR1, 40);
	assert_true(told(kvm->vcpus[0]));
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	assert_int_equal(line(kvm->vcpus[1]), '-');
	w64(GICD + IROUTER(40), 77); /* no such CPU: to no one */
	assert_int_equal(line(kvm->vcpus[0]), '-');
	w64(GICD + IROUTER(40), 1);
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	fake_vm_free(kvm);
}

static void test_cpuif_registers(void **state)
{
	struct kvm *kvm = fake_gic_vm(1, KVM_DEV_TYPE_ARM_VGIC_V3);
	static const u32 read_only[] = { ICC_IAR0, ICC_IAR1, ICC_HPPIR0, ICC_HPPIR1, ICC_RPR };
	static const u32 write_only[] = { ICC_EOIR0, ICC_EOIR1, ICC_DIR, ICC_SGI1R, ICC_ASGI1R, ICC_SGI0R };

	on(kvm->vcpus[0]);
	assert_int_equal(mrs(ICC_SRE), 7);
	msr(ICC_SRE, 0);
	assert_int_equal(mrs(ICC_SRE), 7);
	assert_int_equal(mrs(ICC_PMR), 0);
	msr(ICC_PMR, 0xff);
	assert_int_equal(mrs(ICC_PMR), 0xf8);
	assert_int_equal(mrs(ICC_BPR0), 2);
	assert_int_equal(mrs(ICC_BPR1), 3);
	msr(ICC_BPR0, 0);
	msr(ICC_BPR1, 0);
	assert_int_equal(mrs(ICC_BPR0), 2);
	assert_int_equal(mrs(ICC_BPR1), 3);
	msr(ICC_BPR0, 5);
	msr(ICC_CTLR, 1); /* CBPR */
	assert_int_equal(mrs(ICC_BPR1), 6);
	msr(ICC_BPR1, 3);
	assert_int_equal(mrs(ICC_BPR1), 6);
	msr(ICC_CTLR, 0);
	assert_int_equal(mrs(ICC_BPR1), 3);
	assert_int_equal(mrs(ICC_CTLR), 0x400);
	assert_int_equal(mrs(ICC_IGRPEN0), 0);
	msr(ICC_AP1R0, 0x12345678);
	assert_int_equal(mrs(ICC_AP1R0), 0x12345678);
	for (size_t i = 0; i < ARRAY_SIZE(read_only); i++)
		assert_true(undefined(read_only[i], true));
	for (size_t i = 0; i < ARRAY_SIZE(write_only); i++)
		assert_true(undefined(write_only[i], false));
	assert_true(undefined(ICC_AP1R1, false) && undefined(ICC_AP1R1, true)); /* five bits need one register */
	assert_true(undefined(ARM64_SYS(3, 0, 12, 0, 0), false)); /* VBAR_EL1 is not ours */
	assert_true(vgic_v3_is_sysreg(ICC_AP1R1));
	assert_false(vgic_v3_is_sysreg(ARM64_SYS(3, 0, 12, 0, 0)));
	fake_vm_free(kvm);
}

static void test_inject_errors(void **state)
{
	struct kvm *kvm = fake_vm(1);
	int err, other;

	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 40, true, NULL), -EBUSY);
	assert_int_equal(kvm_vgic_set_owner(kvm->vcpus[0], 27, kvm), -EAGAIN);
	fake_device(kvm, KVM_DEV_TYPE_ARM_VGIC_V3, &err);
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 40, true, NULL), -EBUSY);
	fake_vm_free(kvm);

	kvm = gic(1);
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 27, true, NULL), -EINVAL);
	assert_int_equal(kvm_vgic_inject_irq(kvm, NULL, 256, true, NULL), -EINVAL);
	assert_int_equal(kvm_vgic_set_owner(kvm->vcpus[0], 3, &err), -EINVAL);
	assert_int_equal(kvm_vgic_set_owner(kvm->vcpus[0], 256, &err), -EINVAL);
	assert_int_equal(kvm_vgic_set_owner(kvm->vcpus[0], 27, &err), 0);
	assert_int_equal(kvm_vgic_set_owner(kvm->vcpus[0], 27, &err), 0);
	assert_int_equal(kvm_vgic_set_owner(kvm->vcpus[0], 27, &other), -EEXIST);
	w32(GICR_SGI(0) + ISENABLER, 1u << 27);
	assert_int_equal(kvm_vgic_inject_irq(kvm, kvm->vcpus[0], 27, true, NULL), 0); /* not the owner: ignored */
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_int_equal(kvm_vgic_inject_irq(kvm, kvm->vcpus[0], 27, true, &err), 0);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	kvm_vgic_reset_mapped_irq(kvm->vcpus[0], 27);
	assert_int_equal(line(kvm->vcpus[0]), '-');
	fake_vm_free(kvm);
}

static struct kvm_irq_level irq_line(u32 type, u32 vcpu, u32 num)
{
	return (struct kvm_irq_level){
		.irq = type << KVM_ARM_IRQ_TYPE_SHIFT | (vcpu & 0xff) << KVM_ARM_IRQ_VCPU_SHIFT | num,
		.level = 1,
	};
}

static int ioctl_irq_line(struct kvm *kvm, u32 type, u32 vcpu, u32 num)
{
	struct kvm_irq_level level = irq_line(type, vcpu, num);

	return kvm_vm_ioctl_irq_line(kvm, &level, false);
}

static void test_irq_line(void **state)
{
	struct kvm *kvm = fake_vm(1);

	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_SPI, 0, 40), -ENXIO);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_PPI, 0, 27), -ENXIO);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_CPU, 0, KVM_ARM_IRQ_CPU_IRQ), 0);
	assert_int_equal(fake.cpu_lines, 1);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_CPU, 0, 2), -EINVAL);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_CPU, 1, 0), -EINVAL);
	fake_vm_free(kvm);

	kvm = gic(2);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_CPU, 0, 0), -ENXIO);
	assert_int_equal(ioctl_irq_line(kvm, 3, 0, 40), -EINVAL);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_SPI, 0, 31), -EINVAL);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_SPI, 0, 256), -EINVAL);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_PPI, 0, 15), -EINVAL);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_PPI, 0, 32), -EINVAL);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_PPI, 2, 27), -EINVAL);
	w32(GICR_SGI(1) + ISENABLER, 1u << 27);
	enable_spi(40);
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_PPI, 1, 27), 0);
	assert_int_equal(line(kvm->vcpus[1]), 'i');
	assert_int_equal(ioctl_irq_line(kvm, KVM_ARM_IRQ_TYPE_SPI, 0, 40), 0);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	fake_vm_free(kvm);
}

static void test_gsi_routing(void **state)
{
	struct kvm *kvm = gic(1);
	struct kvm_irq_routing_entry e = { .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip.pin = 8 };

	enable_level(40);
	assert_int_equal(kvm_set_irq(kvm, 0, 8, 1, false), 0); /* GSI 8 is SPI 40 */
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	assert_int_equal(kvm_set_irq(kvm, 0, 8, 0, false), 0);
	assert_int_equal(line(kvm->vcpus[0]), '-');
	assert_true(kvm_set_irq(kvm, 0, 300, 1, false) < 0);
	assert_int_equal(kvm_set_irq_routing(kvm, &e, 1, 0), 0);
	assert_int_equal(kvm_set_irq(kvm, 0, 5, 1, false), 0);
	assert_int_equal(line(kvm->vcpus[0]), 'i');
	assert_true(kvm_set_irq(kvm, 0, 8, 1, false) < 0);
	e.u.irqchip.pin = KVM_IRQCHIP_NUM_PINS;
	assert_int_equal(kvm_set_irq_routing(kvm, &e, 1, 0), -EINVAL);
	e.u.irqchip.pin = 0;
	e.u.irqchip.irqchip = 1;
	assert_int_equal(kvm_set_irq_routing(kvm, &e, 1, 0), -EINVAL);
	e.type = KVM_IRQ_ROUTING_HV_SINT;
	assert_int_equal(kvm_set_irq_routing(kvm, &e, 1, 0), -EINVAL);
	fake_vm_free(kvm);
}

const struct CMUnitTest gicv3_tests[] = {
	cmocka_unit_test(test_dist_registers),
	cmocka_unit_test(test_redist_registers),
	cmocka_unit_test(test_spi_level),
	cmocka_unit_test(test_spi_edge),
	cmocka_unit_test(test_pending_active_by_guest),
	cmocka_unit_test(test_ppi),
	cmocka_unit_test(test_sgi),
	cmocka_unit_test(test_priorities),
	cmocka_unit_test(test_groups),
	cmocka_unit_test(test_eoimode),
	cmocka_unit_test(test_routing),
	cmocka_unit_test(test_cpuif_registers),
	cmocka_unit_test(test_inject_errors),
	cmocka_unit_test(test_irq_line),
	cmocka_unit_test(test_gsi_routing),
};
const size_t gicv3_nr_tests = ARRAY_SIZE(gicv3_tests);
