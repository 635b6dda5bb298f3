/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of leaves that KVM_GET_SUPPORTED_CPUID reports, and the CPUID ioctls. A leaf is one row: how
 * many subleaves, and a function that fills one.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86/cpuid.h"
#include "arch/x86/hyperv.h"

struct cpuid_out {
	struct kvm_cpuid_entry2 *entries;
	u32 n, max;
};

static struct kvm_cpuid_entry2 *emit(struct cpuid_out *out, u32 function, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e;

	if (out->n >= out->max) {
		out->n = out->max + 1; /* too many: E2BIG */
		return NULL;
	}
	e = &out->entries[out->n++];
	*e = (struct kvm_cpuid_entry2){ .function = function, .index = index, .flags = flags };
	return e;
}

static void set_regs(struct kvm_cpuid_entry2 *e, struct cpuid_regs r)
{
	e->eax = r.eax;
	e->ebx = r.ebx;
	e->ecx = r.ecx;
	e->edx = r.edx;
}

#define IDX KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* ---- fillers: e->function and e->index are set ------------------------------------------------------- */

static void leaf_host(struct kvm_cpuid_entry2 *e)
{
	set_regs(e, cpuid_host(e->function, e->index));
}

static void leaf_zero(struct kvm_cpuid_entry2 *e)
{
	(void)e;
}

static void leaf_features(struct kvm_cpuid_entry2 *e)
{
	e->eax = cpuid_supported(e->function, e->index, CPUID_EAX);
	e->ebx = cpuid_supported(e->function, e->index, CPUID_EBX);
	e->ecx = cpuid_supported(e->function, e->index, CPUID_ECX);
	e->edx = cpuid_supported(e->function, e->index, CPUID_EDX);
}

static void leaf_0(struct kvm_cpuid_entry2 *e)
{
	leaf_host(e);
	e->eax = MIN(e->eax, 0x1fu);
	if (e->eax < 0xd)
		e->eax = 0xd;
}

static void leaf_1(struct kvm_cpuid_entry2 *e)
{
	struct cpuid_regs h = cpuid_host(1, 0);

	leaf_features(e);
	e->eax = h.eax;
	e->ebx = (h.ebx & 0xff00) | 1u << 16; /* CLFLUSH size; one logical processor, id 0: user space knows better */
}

static void leaf_7_0(struct kvm_cpuid_entry2 *e)
{
	leaf_features(e);
	e->eax = 1; /* highest subleaf */
}

static void leaf_b(struct kvm_cpuid_entry2 *e)
{
	e->ecx = e->index; /* level type invalid: no topology known here */
}

static void leaf_d_0(struct kvm_cpuid_entry2 *e)
{
	u64 xcr0 = kvm_supported_xcr0();

	e->eax = (u32)xcr0;
	e->edx = (u32)(xcr0 >> 32);
	e->ebx = kvm_xstate_size(xcr0);
	e->ecx = e->ebx;
}

static void leaf_80000000(struct kvm_cpuid_entry2 *e)
{
	leaf_host(e);
	e->eax = MIN(MAX(e->eax, 0x80000008u), 0x80000021u);
	if (kvm_vendor_amd_host())
		e->eax = 0x80000021u;
}

static void leaf_80000001(struct kvm_cpuid_entry2 *e)
{
	struct cpuid_regs h = cpuid_host(0x80000001, 0);

	leaf_features(e);
	e->eax = h.eax;
	e->ebx = h.ebx;
	if (kvm_vendor_amd_host()) /* AMD repeats leaf 1's bits */
		e->edx |= cpuid_supported(1, 0, CPUID_EDX) & 0x0183f3ffu;
	else
		e->edx &= ~0x0183f3ffu | 1u << 11;
}

static void leaf_80000008(struct kvm_cpuid_entry2 *e)
{
	leaf_features(e);
	e->eax = kvm_host_maxphyaddr() | 48u << 8;
}

static void leaf_kvm_signature(struct kvm_cpuid_entry2 *e)
{
	static const char signature[12] = "KVMKVMKVM\0\0";

	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, signature, 4);
	memcpy(&e->ecx, signature + 4, 4);
	memcpy(&e->edx, signature + 8, 4);
}

static const struct {
	u32 function, index, flags;
	void (*fill)(struct kvm_cpuid_entry2 *e);
	bool amd_only, intel_only;
} leaves[] = {
	{ 0x0, 0, 0, leaf_0 },
	{ 0x1, 0, 0, leaf_1 },
	{ 0x2, 0, 0, leaf_host, .intel_only = true },
	{ 0x4, 0, IDX, leaf_host, .intel_only = true },
	{ 0x4, 1, IDX, leaf_host, .intel_only = true },
	{ 0x4, 2, IDX, leaf_host, .intel_only = true },
	{ 0x4, 3, IDX, leaf_host, .intel_only = true },
	{ 0x5, 0, 0, leaf_zero },
	{ 0x6, 0, 0, leaf_features },
	{ 0x7, 0, IDX, leaf_7_0 },
	{ 0x7, 1, IDX, leaf_features },
	{ 0xa, 0, 0, leaf_zero },
	{ 0xb, 0, IDX, leaf_b },
	{ 0xd, 0, IDX, leaf_d_0 },
	{ 0xd, 1, IDX, leaf_features },
	{ 0x80000000, 0, 0, leaf_80000000 },
	{ 0x80000001, 0, 0, leaf_80000001 },
	{ 0x80000002, 0, 0, leaf_host },
	{ 0x80000003, 0, 0, leaf_host },
	{ 0x80000004, 0, 0, leaf_host },
	{ 0x80000005, 0, 0, leaf_host, .amd_only = true },
	{ 0x80000006, 0, 0, leaf_host },
	{ 0x80000007, 0, 0, leaf_features },
	{ 0x80000008, 0, 0, leaf_80000008 },
	{ 0x80000019, 0, 0, leaf_host, .amd_only = true },
	{ 0x8000001a, 0, 0, leaf_host, .amd_only = true },
	{ 0x8000001d, 0, IDX, leaf_host, .amd_only = true },
	{ 0x8000001d, 1, IDX, leaf_host, .amd_only = true },
	{ 0x8000001d, 2, IDX, leaf_host, .amd_only = true },
	{ 0x8000001d, 3, IDX, leaf_host, .amd_only = true },
	{ 0x8000001e, 0, 0, leaf_zero, .amd_only = true },
	{ 0x80000021, 0, 0, leaf_features, .amd_only = true },
	{ KVM_CPUID_SIGNATURE, 0, 0, leaf_kvm_signature },
	{ KVM_CPUID_FEATURES, 0, 0, leaf_features },
};

/* Components of the XSAVE area beyond x87 and SSE. */
static void emit_xsave_components(struct cpuid_out *out)
{
	for (u32 i = 2; i < 63; i++) {
		struct kvm_cpuid_entry2 *e;

		if (!(kvm_supported_xcr0() & BIT_ULL(i)))
			continue;
		e = emit(out, 0xd, i, IDX);
		if (e) {
			leaf_host(e);
			e->ecx &= ~1u; /* an XCR0 component, not an XSS one */
			e->edx = 0;
		}
	}
}

static void emit_supported(struct cpuid_out *out)
{
	bool amd = kvm_vendor_amd_host();

	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct kvm_cpuid_entry2 *e;

		if (leaves[i].amd_only ? !amd : leaves[i].intel_only && amd)
			continue;
		e = emit(out, leaves[i].function, leaves[i].index, leaves[i].flags);
		if (e)
			leaves[i].fill(e);
		if (leaves[i].function == 0xd && leaves[i].index == 1)
			emit_xsave_components(out);
	}
}

/* Instructions the CPU in software does by itself where the host lacks them. */
static void emit_emulated(struct cpuid_out *out)
{
	struct kvm_cpuid_entry2 *e = emit(out, 0, 0, 0);

	if (e)
		e->eax = 7;
	emit(out, 1, 0, 0);
	e = emit(out, 7, 0, IDX);
	if (e)
		e->ecx = 1u << 22; /* RDPID */
}

/* ---- ioctls ------------------------------------------------------------------------------------------ */

int kvm_dev_ioctl_get_supported_cpuid(unsigned long arg, bool emulated)
{
	struct cpuid_out out = { 0 };
	struct kvm_cpuid2 head;
	int ret;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent < 1)
		return -E2BIG;
	out.max = MIN(head.nent, (u32)KVM_MAX_CPUID_ENTRIES);
	out.entries = calloc(out.max, sizeof(*out.entries));
	if (!out.entries)
		return -ENOMEM;
	if (emulated)
		emit_emulated(&out);
	else
		emit_supported(&out);
	ret = -E2BIG;
	if (out.n <= out.max) {
		head.nent = out.n;
		ret = copy_to_client(arg + sizeof(head), out.entries, out.n * sizeof(*out.entries));
		if (!ret)
			ret = copy_to_client(arg, &head, sizeof(head));
	}
	free(out.entries);
	return ret;
}

static int check_entries(const struct kvm_cpuid_entry2 *e, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 vaddr_bits = (e[i].eax >> 8) & 0xff;

		/* The width of linear addresses is part of what canonical means: only real ones. */
		if (e[i].function == 0x80000008 && vaddr_bits != 48 && vaddr_bits != 57 && vaddr_bits != 0)
			return -EINVAL;
	}
	return 0;
}

static bool same_entries(struct kvm_vcpu *vcpu, const struct kvm_cpuid_entry2 *e, u32 n)
{
	const struct kvm_cpuid_entry2 *cur = vcpu->arch.cpuid_entries;

	if ((int)n != vcpu->arch.cpuid_nent)
		return false;
	for (u32 i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 a = cur[i], b = e[i];

		cpuid_entry_now(vcpu, &a);
		cpuid_entry_now(vcpu, &b);
		if (a.function != b.function || a.index != b.index || a.flags != b.flags || a.eax != b.eax ||
		    a.ebx != b.ebx || a.ecx != b.ecx || a.edx != b.edx)
			return false;
	}
	return true;
}

/* Takes over `e`. After the first KVM_RUN the model is fixed: only the same entries are accepted. */
static int set_entries(struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e, u32 n)
{
	int ret = check_entries(e, n);

	if (!ret && vcpu->arch.last_vmentry_seen) {
		ret = same_entries(vcpu, e, n) ? 0 : -EINVAL;
		free(e);
		return ret;
	}
	if (!ret && kvm_cpuid_has_hyperv(e, n))
		ret = kvm_hv_vcpu_init(vcpu);
	if (ret) {
		free(e);
		return ret;
	}
	free(vcpu->arch.cpuid_entries);
	vcpu->arch.cpuid_entries = e;
	vcpu->arch.cpuid_nent = (int)n;
	kvm_vcpu_after_set_cpuid(vcpu);
	return 0;
}

int kvm_vcpu_ioctl_set_cpuid2(struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid2 head;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent > KVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	e = calloc(head.nent + 1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	if (copy_from_client(e, arg + sizeof(head), head.nent * sizeof(*e))) {
		free(e);
		return -EFAULT;
	}
	return set_entries(vcpu, e, head.nent);
}

/* The old structure without subleaves. */
int kvm_vcpu_ioctl_set_cpuid(struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid_entry old;
	struct kvm_cpuid head;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent > KVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	e = calloc(head.nent + 1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	for (u32 i = 0; i < head.nent; i++) {
		if (copy_from_client(&old, arg + sizeof(head) + i * sizeof(old), sizeof(old))) {
			free(e);
			return -EFAULT;
		}
		e[i] = (struct kvm_cpuid_entry2){ .function = old.function, .eax = old.eax, .ebx = old.ebx,
						  .ecx = old.ecx, .edx = old.edx };
	}
	return set_entries(vcpu, e, head.nent);
}

int kvm_vcpu_ioctl_get_cpuid2(struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct kvm_cpuid2 head;
	u32 n = (u32)vcpu->arch.cpuid_nent;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent < n)
		return -E2BIG;
	for (u32 i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 e = vcpu->arch.cpuid_entries[i];

		cpuid_entry_now(vcpu, &e);
		if (copy_to_client(arg + sizeof(head) + i * sizeof(e), &e, sizeof(e)))
			return -EFAULT;
	}
	head.nent = n;
	return copy_to_client(arg, &head, sizeof(head));
}
