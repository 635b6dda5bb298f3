/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID.
 *
 * What guests may see is one table: a row for each register of each leaf that holds feature bits, with
 * the bits the CPU in software can do. HOST bits need the host to have them (user-mode instructions run on
 * the host's own units); OURS bits are system features implemented in hyp/ and offered always.
 * Everything not listed is not offered. Leaves that describe (caches, topology, model name) are in
 * cpuid_leaf.c.
 *
 * Bits that depend on state (OSXSAVE, APIC enable, XSAVE size) are not stored: cpuid_runtime fills them
 * into a copy each time the guest or user space looks.
 */
#include "arch/x86/cpuid.h"
#include "arch/x86/hyperv.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#define B(n) (1u << (n))

const struct cpuid_feature_row cpuid_features[] = {
	/* leaf 1 ECX: SSE3 PCLMULQDQ SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND | PCID x2APIC */
	{ 1, 0, CPUID_ECX, B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) |
	  B(29) | B(30), B(17) | B(21) },
	/* leaf 1 EDX: FPU CX8 CMOV CLFLUSH MMX FXSR SSE SSE2 SS? HTT | DE PSE TSC MSR PAE MCE APIC SEP MTRR PGE MCA PAT PSE36 */
	{ 1, 0, CPUID_EDX, B(0) | B(8) | B(15) | B(19) | B(23) | B(24) | B(25) | B(26),
	  B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(9) | B(11) | B(12) | B(13) | B(14) | B(16) | B(17) },
	/* leaf 6 EAX: ARAT */
	{ 6, 0, CPUID_EAX, 0, B(2) },
	/* leaf 7.0 EBX: BMI1 AVX2 BMI2 ERMS RDSEED ADX AVX512{F,DQ,IFMA} CLFLUSHOPT CLWB AVX512CD SHA AVX512{BW,VL}
	 * FDP_EXCPTN_ONLY ZERO_FCS_FDS | FSGSBASE TSC_ADJUST SMEP INVPCID SMAP */
	{ 7, 0, CPUID_EBX, B(3) | B(5) | B(6) | B(8) | B(9) | B(13) | B(16) | B(17) | B(18) | B(19) | B(21) | B(23) |
	  B(24) | B(28) | B(29) | B(30) | B(31), B(0) | B(1) | B(7) | B(10) | B(20) },
	/* leaf 7.0 ECX: AVX512_VBMI VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ | UMIP RDPID */
	{ 7, 0, CPUID_ECX, B(1) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14), B(2) | B(22) },
	/* leaf 7.0 EDX: FSRM AVX512_VP2INTERSECT | ARCH_CAPABILITIES (see msr.c: no mitigation of the guest helps) */
	{ 7, 0, CPUID_EDX, B(4) | B(8), B(29) },
	/* leaf 7.1 EAX: AVX_VNNI AVX512_BF16 */
	{ 7, 1, CPUID_EAX, B(4) | B(5), 0 },
	/* leaf 0xd.1 EAX: XSAVEOPT XGETBV1 */
	{ 0xd, 1, CPUID_EAX, B(0) | B(2), 0 },
	/* 0x80000001 ECX: LAHF_LM CMP_LEGACY ABM SSE4A MISALIGNSSE 3DNOWPREFETCH TOPOEXT */
	{ 0x80000001, 0, CPUID_ECX, B(0) | B(1) | B(5) | B(6) | B(7) | B(8) | B(22), 0 },
	/* 0x80000001 EDX: MMXEXT, AMD's copies of leaf 1 | SYSCALL NX GBPAGES RDTSCP LM */
	{ 0x80000001, 0, CPUID_EDX, B(0) | B(8) | B(15) | B(22) | B(23) | B(24),
	  B(11) | B(20) | B(26) | B(27) | B(29) },
	/* 0x80000007 EDX: invariant TSC */
	{ 0x80000007, 0, CPUID_EDX, B(8), 0 },
	/* 0x80000008 EBX: XSAVEERPTR */
	{ 0x80000008, 0, CPUID_EBX, B(2), 0 },
	/* 0x80000021 EAX: LFENCE serializes | AutoIBRS (branch prediction is not the guest's here) */
	{ 0x80000021, 0, CPUID_EAX, B(2), B(8) },
	/* KVM: CLOCKSOURCE NOP_IO_DELAY CLOCKSOURCE2 STEAL_TIME PV_EOI PV_UNHALT PV_TLB_FLUSH PV_SEND_IPI POLL_CONTROL
	 * PV_SCHED_YIELD MSI_EXT_DEST_ID CLOCKSOURCE_STABLE */
	{ KVM_CPUID_FEATURES, 0, CPUID_EAX, 0, B(0) | B(1) | B(3) | B(5) | B(6) | B(7) | B(9) | B(11) | B(12) | B(13) |
	  B(15) | B(24) },
};
const size_t nr_cpuid_features = ARRAY_SIZE(cpuid_features);

static struct {
	u32 masks[ARRAY_SIZE(cpuid_features)];
	u64 xcr0;
	u32 maxphyaddr;
	u32 xstate_end[64]; /* of each XSAVE component, bytes from the start of the area; CPUID is slow in a VM */
	bool amd;
} host;

static u64 host_xgetbv(void)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo | (u64)hi << 32;
}

static u32 host_reg(u32 leaf, u32 index, int reg)
{
	struct cpuid_regs r = cpuid_host(leaf, index);

	return ((u32 *)&r)[reg];
}

struct cpuid_regs cpuid_host(u32 leaf, u32 index)
{
	struct cpuid_regs r = { 0 };

	if (leaf <= __get_cpuid_max(leaf & 0x80000000u, NULL))
		__cpuid_count(leaf, index, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

/* x87, SSE, AVX, opmask, ZMM_Hi256, Hi16_ZMM: as far as the host's operating system has them on. */
#define XCR0_OFFERED 0xe7ull

int kvm_cpuid_init(const char **verdict, const char **remedy)
{
	struct cpuid_regs v = cpuid_host(0, 0);

	host.amd = v.ebx == 0x68747541 || v.ebx == 0x6f677948; /* AuthenticAMD, HygonGenuine */
	host.maxphyaddr = host_reg(0x80000008, 0, CPUID_EAX) & 0xff;
	if (!host.maxphyaddr)
		host.maxphyaddr = 36;
	if (host_reg(1, 0, CPUID_ECX) & B(27))
		host.xcr0 = host_xgetbv() & XCR0_OFFERED;
	for (u32 i = 2; i < 63; i++)
		if (host.xcr0 & BIT_ULL(i))
			host.xstate_end[i] = host_reg(0xd, i, CPUID_EAX) + host_reg(0xd, i, CPUID_EBX);
	if ((host.xcr0 & 0xe0) != 0xe0) /* the three AVX-512 components go together */
		host.xcr0 &= ~0xe0ull;
	for (size_t i = 0; i < nr_cpuid_features; i++) {
		const struct cpuid_feature_row *f = &cpuid_features[i];

		host.masks[i] = f->ours | (f->host ? host_reg(f->leaf, f->index, f->reg) & f->host : 0);
	}
	*verdict = "features of the host's user-mode instruction set, system features of the software CPU";
	return 0;
}

bool kvm_vendor_amd_host(void)
{
	struct cpuid_regs v = cpuid_host(0, 0);

	return v.ebx == 0x68747541 || v.ebx == 0x6f677948;
}

u64 kvm_supported_xcr0(void)
{
	return host.xcr0;
}

u32 kvm_host_maxphyaddr(void)
{
	return host.maxphyaddr;
}

/* Bits of AVX and AVX-512 are of no use without their XCR0 components. */
static u32 without_missing_state(const struct cpuid_feature_row *f, u32 mask)
{
	if (!(host.xcr0 & 4)) {
		if (f->leaf == 1 && f->reg == CPUID_ECX)
			mask &= ~(B(12) | B(28) | B(29));
		if (f->leaf == 7 && f->index == 0 && f->reg == CPUID_EBX)
			mask &= ~B(5);
	}
	if (!(host.xcr0 & 0xe0)) {
		if (f->leaf == 7 && f->index == 0 && f->reg == CPUID_EBX)
			mask &= ~(B(16) | B(17) | B(21) | B(28) | B(30) | B(31));
		if (f->leaf == 7 && f->index == 0 && f->reg == CPUID_ECX)
			mask &= ~(B(1) | B(6) | B(11) | B(12) | B(14));
		if (f->leaf == 7 && f->index == 0 && f->reg == CPUID_EDX)
			mask &= ~B(8);
		if (f->leaf == 7 && f->index == 1)
			mask &= ~B(5);
	}
	return mask;
}

u32 cpuid_supported(u32 leaf, u32 index, int reg)
{
	for (size_t i = 0; i < nr_cpuid_features; i++) {
		const struct cpuid_feature_row *f = &cpuid_features[i];

		if (f->leaf == leaf && f->index == index && f->reg == reg)
			return without_missing_state(f, host.masks[i]);
	}
	return 0;
}

u32 kvm_xstate_size(u64 xcr0)
{
	u32 size = 576; /* legacy region and header */

	for (u32 i = 2; i < 63; i++)
		if (xcr0 & BIT_ULL(i))
			size = MAX(size, host.xstate_end[i]);
	return size;
}

/* ---- looking up ---------------------------------------------------------------------------------- */

const struct kvm_cpuid_entry2 *kvm_find_cpuid_entry(struct kvm_vcpu *vcpu, u32 function, u32 index)
{
	for (int i = 0; i < vcpu->arch.cpuid_nent; i++) {
		const struct kvm_cpuid_entry2 *e = &vcpu->arch.cpuid_entries[i];

		if (e->function == function &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

bool guest_cpuid_has(struct kvm_vcpu *vcpu, u32 function, u32 index, int reg, u32 bit)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, function, index);

	return e && ((&e->eax)[reg] & B(bit));
}

static u32 mwait_bit(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.ia32_misc_enable & MISC_ENABLE_MWAIT ? B(3) : 0;
}

/* Xen's leaf 3 tells how the TSC becomes time. */
static void xen_runtime(struct kvm_vcpu *vcpu, u32 index, struct cpuid_regs *r)
{
	u32 khz = vcpu->arch.virtual_tsc_khz;
	s8 shift;

	if (index == 1) {
		kvm_get_time_scale(khz, &r->ecx, &shift);
		r->edx = (u32)shift;
	} else if (index == 2) {
		r->eax = khz;
	}
}

/* Bits that follow the state of the CPU. */
static void cpuid_runtime(struct kvm_vcpu *vcpu, u32 function, u32 index, struct cpuid_regs *r)
{
	u32 xen_leaf = vcpu->arch.xen_cpuid_base ? vcpu->arch.xen_cpuid_base + 3 : 0;
	struct x86_state *s = x86s(vcpu);

	if (function == 1) {
		r->ecx = (r->ecx & ~B(27)) | ((r->ecx & B(26)) && (s->cr4 & X86_CR4_OSXSAVE) ? B(27) : 0);
		r->edx = (r->edx & ~B(9)) | (vcpu->arch.apic_base & (1u << 11) ? B(9) : 0);
		if (!kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
			r->ecx = (r->ecx & ~B(3)) | mwait_bit(vcpu);
	} else if (function == 7 && index == 0) {
		r->ecx = (r->ecx & ~B(4)) | ((r->ecx & B(3)) && (s->cr4 & X86_CR4_PKE) ? B(4) : 0);
	} else if (function == 0xd && index == 0) {
		r->ebx = kvm_xstate_size(s->xcr0);
	} else if (function == 0xd && index == 1 && (r->eax & 0xa)) {
		r->ebx = kvm_xstate_size(s->xcr0 | s->xss);
	} else if (unlikely(xen_leaf) && function == xen_leaf) {
		xen_runtime(vcpu, index, r);
	}
}

/* Intel answers a leaf beyond the highest with the highest basic one; AMD with zeros. */
static const struct kvm_cpuid_entry2 *out_of_range(struct kvm_vcpu *vcpu, u32 *function, u32 index)
{
	const struct kvm_cpuid_entry2 *basic = kvm_find_cpuid_entry(vcpu, 0, 0), *class;

	if (!basic || x86s(vcpu)->is_amd)
		return NULL;
	if (*function >= 0x40000000 && *function <= 0x4fffffff)
		class = kvm_find_cpuid_entry(vcpu, *function & 0xffffff00, 0);
	else
		class = kvm_find_cpuid_entry(vcpu, *function & 0x80000000, 0);
	if (class && *function <= class->eax)
		return NULL;
	*function = basic->eax;
	return kvm_find_cpuid_entry(vcpu, *function, index);
}

void kvm_cpuid(struct kvm_vcpu *vcpu, u32 function, u32 index, struct cpuid_regs *out)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, function, index);
	u32 asked = function;

	*out = (struct cpuid_regs){ 0 };
	if (!e)
		e = out_of_range(vcpu, &function, index);
	if (e) {
		*out = (struct cpuid_regs){ e->eax, e->ebx, e->ecx, e->edx };
		cpuid_runtime(vcpu, function, index, out);
		if (function == 0x80000007 && kvm_hv_invtsc_suppressed(vcpu))
			out->edx &= ~B(8);
	} else if (asked == 0xb || asked == 0x1f) {
		/* A level beyond the last: no processors, but the x2APIC id and the level asked for. */
		e = kvm_find_cpuid_entry(vcpu, asked, 1);
		if (e) {
			out->ecx = index & 0xff;
			out->edx = e->edx;
		}
	}
}

/* What KVM_GET_CPUID2 shows. */
void cpuid_entry_now(struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	struct cpuid_regs r = { e->eax, e->ebx, e->ecx, e->edx };

	cpuid_runtime(vcpu, e->function, e->index, &r);
	e->eax = r.eax;
	e->ebx = r.ebx;
	e->ecx = r.ecx;
	e->edx = r.edx;
}

/* ---- what follows from the guest's CPUID --------------------------------------------------------------- */

/* CR4 bits that need a feature: leaf, index, register, bit -> CR4 bit. */
static const struct {
	u32 leaf;
	u8 reg, bit;
	u32 cr4;
} cr4_features[] = {
	{ 1, CPUID_ECX, 17, X86_CR4_PCIDE },   { 1, CPUID_ECX, 26, X86_CR4_OSXSAVE },
	{ 7, CPUID_EBX, 0, X86_CR4_FSGSBASE }, { 7, CPUID_EBX, 7, X86_CR4_SMEP },
	{ 7, CPUID_EBX, 20, X86_CR4_SMAP },    { 7, CPUID_ECX, 2, X86_CR4_UMIP },
};

/* As in Linux the old bits need no CPUID bit, and before any CPUID is set all supported ones may be. */
static u64 valid_cr4(struct kvm_vcpu *vcpu)
{
	u64 bits = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |
		   X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	for (size_t i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		u32 leaf = cr4_features[i].leaf, bit = cr4_features[i].bit;
		int reg = cr4_features[i].reg;

		if (vcpu->arch.cpuid_nent ? guest_cpuid_has(vcpu, leaf, 0, reg, bit)
					  : !!(cpuid_supported(leaf, 0, reg) & B(bit)))
			bits |= cr4_features[i].cr4;
	}
	return bits;
}

static u64 valid_efer(struct kvm_vcpu *vcpu)
{
	u64 bits = X86_EFER_SCE | X86_EFER_LMA;

	if (guest_cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 20))
		bits |= X86_EFER_NX;
	if (guest_cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 29))
		bits |= X86_EFER_LME;
	if (guest_cpuid_has(vcpu, 0x80000021, 0, CPUID_EAX, 8))
		bits |= BIT_ULL(21); /* AIBRSE: nothing to do */
	if (!vcpu->arch.cpuid_nent)
		bits |= X86_EFER_NX | X86_EFER_LME;
	return bits;
}

static u64 valid_xcr0(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, 0xd, 0);

	return e ? (e->eax | (u64)e->edx << 32) & host.xcr0 : 0;
}

static u8 maxphyaddr(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, 0x80000008, 0);

	return e && (e->eax & 0xff) ? (u8)MIN(e->eax & 0xff, 52u) : 36;
}

static bool vendor_is_amd(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, 0, 0);

	return e ? e->ebx == 0x68747541 || e->ebx == 0x6f677948 : host.amd;
}

#define HYPERVISOR_LEAF_FIRST 0x40000000u
#define HYPERVISOR_LEAF_LAST 0x40010000u
#define HYPERVISOR_LEAF_STEP 0x100u

u32 kvm_hypervisor_cpuid_base(struct kvm_vcpu *vcpu, const char *signature)
{
	for (u32 base = HYPERVISOR_LEAF_FIRST; base < HYPERVISOR_LEAF_LAST; base += HYPERVISOR_LEAF_STEP) {
		const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, base, 0);

		if (e && !memcmp(&e->ebx, signature, 12))
			return base;
	}
	return 0;
}

/*
 * KVM's leaves are not at 0x40000000 where user space has put another hypervisor's there. A vCPU whose HLT
 * does not exit has nothing to be unhalted from.
 */
static void pv_features(struct kvm_vcpu *vcpu)
{
	u32 base = kvm_hypervisor_cpuid_base(vcpu, "KVMKVMKVM\0\0");
	struct kvm_cpuid_entry2 *e = base ? (void *)kvm_find_cpuid_entry(vcpu, base + 1, 0) : NULL;

	if (e && vcpu->kvm->arch.hlt_in_guest)
		e->eax &= ~B(KVM_FEATURE_PV_UNHALT);
	vcpu->arch.pv_cpuid_features = e ? e->eax : 0;
}

static u32 xen_base(struct kvm_vcpu *vcpu)
{
	u32 base = kvm_hypervisor_cpuid_base(vcpu, "XenVMMXenVMM");

	return base && kvm_find_cpuid_entry(vcpu, base, 0)->eax >= base + 3 ? base : 0;
}

void kvm_vcpu_after_set_cpuid(struct kvm_vcpu *vcpu)
{
	struct x86_state *s = x86s(vcpu);

	s->cr4_valid = valid_cr4(vcpu);
	s->cr0_valid = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |
		       X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG;
	s->efer_valid = valid_efer(vcpu);
	s->xcr0_valid = valid_xcr0(vcpu);
	s->maxphyaddr = maxphyaddr(vcpu);
	s->maxlinaddr = 48;
	s->is_amd = vendor_is_amd(vcpu);
	s->has_rdtscp = guest_cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 27);
	s->has_rdpid = guest_cpuid_has(vcpu, 7, 0, CPUID_ECX, 22);
	s->has_invpcid = guest_cpuid_has(vcpu, 7, 0, CPUID_EBX, 10);
	s->has_gbpages = guest_cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 26);
	s->has_umip = guest_cpuid_has(vcpu, 7, 0, CPUID_ECX, 2);
	s->has_erms = guest_cpuid_has(vcpu, 7, 0, CPUID_EBX, 9);
	vcpu->arch.guest_has_x2apic = guest_cpuid_has(vcpu, 1, 0, CPUID_ECX, 21);
	vcpu->arch.guest_has_tsc_deadline = guest_cpuid_has(vcpu, 1, 0, CPUID_ECX, 24);
	vcpu->arch.guest_has_arch_capabilities = guest_cpuid_has(vcpu, 7, 0, CPUID_EDX, 29);
	pv_features(vcpu);
	vcpu->arch.xen_cpuid_base = xen_base(vcpu);
	kvm_hv_set_cpuid(vcpu);
	if (lapic_in_kernel(vcpu))
		kvm_apic_set_version(vcpu);
	hyp_x86_state_changed(vcpu->hyp);
}
