/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system registers of a GICv3's CPU interface: ICC_*_EL1 (IHI 0069, 12.2). Guest and user space are
 * separate columns; a missing
 * entry is UNDEFINED for the guest, -ENOENT for user space. Five priority bits are implemented, so there is
 * one active
 * priorities register for each group and the others do not exist.
 */
#include "arch/arm64/vgic/vgic.h"

#define ICC_CTLR_CBPR (1u << 0)
#define ICC_CTLR_EOIMODE (1u << 1)
#define ICC_CTLR_PRI_BITS_SHIFT 8
#define ICC_CTLR_ID_BITS_SHIFT 11
#define ICC_CTLR_SEIS (1u << 14)
#define ICC_CTLR_A3V (1u << 15)
#define ICC_SRE_SRE 1u
#define ICC_SRE_DFB_DIB 6u

struct icc_reg {
	u32 sys;
	u64 (*read)(struct kvm_vcpu *vcpu);
	void (*write)(struct kvm_vcpu *vcpu, u64 val);
	u64 (*get_user)(struct kvm_vcpu *vcpu);
	int (*set_user)(struct kvm_vcpu *vcpu, u64 val);
};

static struct vgic_vmcr *vmcr_of(struct kvm_vcpu *vcpu)
{
	return &vcpu->arch.vgic_cpu.vmcr;
}

/* ---- acknowledge and end ---- */

static u64 read_iar0(struct kvm_vcpu *vcpu)
{
	return vgic_cpuif_iar(vcpu, 0);
}

static u64 read_iar1(struct kvm_vcpu *vcpu)
{
	return vgic_cpuif_iar(vcpu, 1);
}

static u64 read_hppir0(struct kvm_vcpu *vcpu)
{
	return vgic_cpuif_hppir(vcpu, 0);
}

static u64 read_hppir1(struct kvm_vcpu *vcpu)
{
	return vgic_cpuif_hppir(vcpu, 1);
}

static void write_eoir(struct kvm_vcpu *vcpu, u64 val)
{
	vgic_cpuif_eoir(vcpu, val & 0xffffff);
}

static void write_dir(struct kvm_vcpu *vcpu, u64 val)
{
	vgic_cpuif_dir(vcpu, val & 0xffffff);
}

static u64 read_rpr(struct kvm_vcpu *vcpu)
{
	return vgic_cpuif_rpr(vcpu);
}

/* ---- configuration ---- */

static u64 read_pmr(struct kvm_vcpu *vcpu)
{
	return vmcr_of(vcpu)->pmr;
}

static void write_pmr(struct kvm_vcpu *vcpu, u64 val)
{
	vmcr_of(vcpu)->pmr = val & VGIC_PRI_MASK;
	vgic_cpuif_changed(vcpu);
}

static u64 read_bpr0(struct kvm_vcpu *vcpu)
{
	return vmcr_of(vcpu)->bpr;
}

static void write_bpr0(struct kvm_vcpu *vcpu, u64 val)
{
	vmcr_of(vcpu)->bpr = (u8)MAX(val & 7, VGIC_BPR0_MIN);
	vgic_cpuif_changed(vcpu);
}

static u64 read_bpr1(struct kvm_vcpu *vcpu)
{
	return vgic_vmcr_bpr1(vmcr_of(vcpu));
}

static void write_bpr1(struct kvm_vcpu *vcpu, u64 val)
{
	if (vmcr_of(vcpu)->cbpr)
		return;
	vmcr_of(vcpu)->abpr = (u8)MAX(val & 7, VGIC_BPR1_MIN);
	vgic_cpuif_changed(vcpu);
}

static u64 read_igrpen0(struct kvm_vcpu *vcpu)
{
	return vmcr_of(vcpu)->grpen0;
}

static void write_igrpen0(struct kvm_vcpu *vcpu, u64 val)
{
	vmcr_of(vcpu)->grpen0 = val & 1;
	vgic_cpuif_changed(vcpu);
}

static u64 read_igrpen1(struct kvm_vcpu *vcpu)
{
	return vmcr_of(vcpu)->grpen1;
}

static void write_igrpen1(struct kvm_vcpu *vcpu, u64 val)
{
	vmcr_of(vcpu)->grpen1 = val & 1;
	vgic_cpuif_changed(vcpu);
}

static u64 ctlr_modes(struct kvm_vcpu *vcpu)
{
	return (vmcr_of(vcpu)->cbpr ? ICC_CTLR_CBPR : 0) | (vmcr_of(vcpu)->eoim ? ICC_CTLR_EOIMODE : 0);
}

static u64 read_ctlr(struct kvm_vcpu *vcpu)
{
	return ctlr_modes(vcpu) | (VGIC_PRI_BITS - 1) << ICC_CTLR_PRI_BITS_SHIFT;
}

static void write_ctlr(struct kvm_vcpu *vcpu, u64 val)
{
	vmcr_of(vcpu)->cbpr = val & ICC_CTLR_CBPR;
	vmcr_of(vcpu)->eoim = val & ICC_CTLR_EOIMODE;
	vgic_cpuif_changed(vcpu);
}

static u64 get_ctlr(struct kvm_vcpu *vcpu)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;

	return ctlr_modes(vcpu) | (cpu->num_pri_bits - 1u) << ICC_CTLR_PRI_BITS_SHIFT |
	       (u32)cpu->num_id_bits << ICC_CTLR_ID_BITS_SHIFT;
}

/* A guest that was saved with more than there is here cannot go on here. */
static int set_ctlr(struct kvm_vcpu *vcpu, u64 val)
{
	struct vgic_cpu *cpu = &vcpu->arch.vgic_cpu;
	u32 pri_bits = (u32)(val >> ICC_CTLR_PRI_BITS_SHIFT & 7) + 1,
	    id_bits = val >> ICC_CTLR_ID_BITS_SHIFT & 7;

	if (pri_bits > cpu->num_pri_bits)
		return -EINVAL;
	cpu->num_pri_bits = (u8)pri_bits;
	if (id_bits > cpu->num_id_bits)
		return -EINVAL;
	cpu->num_id_bits = (u8)id_bits;
	if (val & (ICC_CTLR_SEIS | ICC_CTLR_A3V))
		return -EINVAL;
	write_ctlr(vcpu, val);
	return 0;
}

static u64 read_ap0r0(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.vgic_cpu.apr[0];
}

static u64 read_ap1r0(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.vgic_cpu.apr[1];
}

static void write_ap0r0(struct kvm_vcpu *vcpu, u64 val)
{
	vcpu->arch.vgic_cpu.apr[0] = (u32)val;
	vgic_cpuif_changed(vcpu);
}

static void write_ap1r0(struct kvm_vcpu *vcpu, u64 val)
{
	vcpu->arch.vgic_cpu.apr[1] = (u32)val;
	vgic_cpuif_changed(vcpu);
}

static u64 read_sre(struct kvm_vcpu *vcpu)
{
	return ICC_SRE_DFB_DIB | ICC_SRE_SRE; /* no bypass, no memory-mapped interface: RAO/WI */
}

static void write_ignored(struct kvm_vcpu *vcpu, u64 val)
{
}

/* ---- SGIs ---- */

/* With one Security state, SGI1R sends an SGI of either group; SGI0R and ASGI1R send those of Group 0. */
static void write_sgi1r(struct kvm_vcpu *vcpu, u64 val)
{
	vgic_v3_dispatch_sgi(vcpu, val, true);
}

static void write_sgi0r(struct kvm_vcpu *vcpu, u64 val)
{
	vgic_v3_dispatch_sgi(vcpu, val, false);
}

/* ---- user space ---- */

#define SET_AS_GUEST(name)                                      \
	static int set_##name(struct kvm_vcpu *vcpu, u64 val)   \
	{                                                       \
		write_##name(vcpu, val);                        \
		return 0;                                       \
	}
SET_AS_GUEST(pmr)
SET_AS_GUEST(bpr0)
SET_AS_GUEST(bpr1)
SET_AS_GUEST(igrpen0)
SET_AS_GUEST(igrpen1)
SET_AS_GUEST(ap0r0)
SET_AS_GUEST(ap1r0)

static int set_sre(struct kvm_vcpu *vcpu, u64 val)
{
	return val & ICC_SRE_SRE ? 0 : -EINVAL;
}

/* Registers of more priority bits than there are. */
static int set_none(struct kvm_vcpu *vcpu, u64 val)
{
	return -EINVAL;
}

#define ICC(crm, op2) ARM64_SYS(3, 0, 12, crm, op2)

/* Sorted by encoding. */
static const struct icc_reg icc_regs[] = {
	/*                      guest: read, write              user space: get, set */
	{ ARM64_SYS(3, 0, 4, 6, 0), read_pmr, write_pmr,        read_pmr, set_pmr },
	{ ICC(8, 0), read_iar0, NULL,                           NULL, NULL },
	{ ICC(8, 1), NULL, write_eoir,                          NULL, NULL },
	{ ICC(8, 2), read_hppir0, NULL,                         NULL, NULL },
	{ ICC(8, 3), read_bpr0, write_bpr0,                     read_bpr0, set_bpr0 },
	{ ICC(8, 4), read_ap0r0, write_ap0r0,                   read_ap0r0, set_ap0r0 },
	{ ICC(8, 5), NULL, NULL,                                NULL, set_none }, /* AP0R1, 2, 3 */
	{ ICC(8, 6), NULL, NULL,                                NULL, set_none },
	{ ICC(8, 7), NULL, NULL,                                NULL, set_none },
	{ ICC(9, 0), read_ap1r0, write_ap1r0,                   read_ap1r0, set_ap1r0 },
	{ ICC(9, 1), NULL, NULL,                                NULL, set_none }, /* AP1R1, 2, 3 */
	{ ICC(9, 2), NULL, NULL,                                NULL, set_none },
	{ ICC(9, 3), NULL, NULL,                                NULL, set_none },
	{ ICC(11, 1), NULL, write_dir,                          NULL, NULL },
	{ ICC(11, 3), read_rpr, NULL,                           NULL, NULL },
	{ ICC(11, 5), NULL, write_sgi1r,                        NULL, NULL },
	{ ICC(11, 6), NULL, write_sgi0r,                        NULL, NULL }, /* ASGI1R */
	{ ICC(11, 7), NULL, write_sgi0r,                        NULL, NULL },
	{ ICC(12, 0), read_iar1, NULL,                          NULL, NULL },
	{ ICC(12, 1), NULL, write_eoir,                         NULL, NULL },
	{ ICC(12, 2), read_hppir1, NULL,                        NULL, NULL },
	{ ICC(12, 3), read_bpr1, write_bpr1,                    read_bpr1, set_bpr1 },
	{ ICC(12, 4), read_ctlr, write_ctlr,                    get_ctlr, set_ctlr },
	{ ICC(12, 5), read_sre, write_ignored,                  read_sre, set_sre },
	{ ICC(12, 6), read_igrpen0, write_igrpen0,              read_igrpen0, set_igrpen0 },
	{ ICC(12, 7), read_igrpen1, write_igrpen1,              read_igrpen1, set_igrpen1 },
};

static const struct icc_reg *find(u32 sys)
{
	size_t lo = 0, hi = ARRAY_SIZE(icc_regs);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (icc_regs[mid].sys == sys)
			return &icc_regs[mid];
		if (icc_regs[mid].sys < sys)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool vgic_v3_is_sysreg(u32 sys)
{
	return find(sys) != NULL;
}

bool vgic_v3_access_sysreg(struct kvm_vcpu *vcpu, u32 sys, bool write, u64 *val)
{
	const struct icc_reg *r = vgic_initialized(vcpu->kvm) && vgic_is_v3(vcpu->kvm) ? find(sys) : NULL;

	if (!r || !(write ? r->write != NULL : r->read != NULL))
		return false;
	if (write)
		r->write(vcpu, *val);
	else
		*val = r->read(vcpu);
	return true;
}

static const struct icc_reg *find_user(u64 attr)
{
	const struct icc_reg *r = find(attr & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK);

	return r && r->set_user ? r : NULL;
}

int vgic_v3_has_cpu_sysregs_attr(struct kvm_device_attr *attr)
{
	return find_user(attr->attr) ? 0 : -ENXIO;
}

int vgic_v3_cpu_sysregs_uaccess(struct kvm_vcpu *vcpu, struct kvm_device_attr *attr, bool write)
{
	const struct icc_reg *r = find_user(attr->attr);
	u64 val;

	if (!r)
		return -ENOENT;
	if (write)
		return copy_from_client(&val, attr->addr, sizeof(val)) ? -EFAULT : r->set_user(vcpu, val);
	if (!r->get_user)
		return -EINVAL;
	val = r->get_user(vcpu);
	return copy_to_client(attr->addr, &val, sizeof(val));
}
