/* SPDX-License-Identifier: Apache-2.0 */
/* Xen: the VM's side of KVM_CAP_XEN_HVM, and access to structures shared with the guest. See xen.h. */
#include <string.h>
#include <unistd.h>
#include "arch/x86/xen.h"

#define XEN_HYPERCALLS_PER_PAGE (PAGE_SIZE / 32)
#define NSEC_PER_SEC 1000000000ull

int kvm_xen_capability(void)
{
	int flags = KVM_XEN_HVM_CONFIG_HYPERCALL_MSR | KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL |
		    KVM_XEN_HVM_CONFIG_SHARED_INFO | KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL |
		    KVM_XEN_HVM_CONFIG_EVTCHN_SEND | KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE |
		    KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA;

	if (kvm_sched_info_on())
		flags |= KVM_XEN_HVM_CONFIG_RUNSTATE | KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG;
	return flags;
}

void kvm_xen_init_vm(struct kvm *kvm)
{
	pthread_mutex_init(&kvm->arch.xen.xen_lock, NULL);
}

void kvm_xen_destroy_vm(struct kvm *kvm)
{
	kvm_xen_release_evtchns(kvm);
	pthread_mutex_destroy(&kvm->arch.xen.xen_lock);
}

/* ---- shared structures ------------------------------------------------------------------------- */

static void move_to(struct kvm *kvm, u64 *at, u64 where)
{
	__atomic_store_n(at, where, __ATOMIC_SEQ_CST);
	synchronize_srcu(&kvm->srcu);
}

static bool within_page(u64 addr, u32 len)
{
	return (addr & ~PAGE_MASK) + len <= PAGE_SIZE;
}

u64 xen_gpa_of(u64 at)
{
	return at & XEN_AT_GPA ? at & ~XEN_AT_GPA : XEN_NOWHERE;
}

u64 xen_hva_of(u64 at)
{
	return at & XEN_AT_HVA ? at & ~XEN_AT_HVA : 0;
}

/* The client's address of a byte, or 0. kvm->srcu held. */
static unsigned long locate(struct kvm *kvm, u64 at, u32 offset)
{
	if (at & XEN_AT_HVA)
		return xen_hva_of(at) + offset;
	return at ? (unsigned long)hyp_as_hva(kvm->as, xen_gpa_of(at) + offset, true) : 0;
}

static void written(struct kvm *kvm, u64 at, u32 offset, u32 len)
{
	if (at & XEN_AT_GPA)
		hyp_as_mark_written(kvm->as, xen_gpa_of(at) + offset, len);
}

/* Something to write to is there: nothing is changed. */
static int probe(struct kvm *kvm, u64 at)
{
	int idx = srcu_read_lock(&kvm->srcu), ret = -EFAULT;
	unsigned long addr = locate(kvm, at, 0);

	if (addr)
		ret = client_or32(addr, 0);
	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int xen_activate_gpa(struct kvm *kvm, u64 *at, gpa_t gpa, u32 len)
{
	if (!within_page(gpa, len))
		return -EINVAL;
	move_to(kvm, at, gpa | XEN_AT_GPA);
	return probe(kvm, *at);
}

int xen_activate_hva(struct kvm *kvm, u64 *at, u64 hva, u32 len)
{
	if (!client_access_ok(hva, len) || !within_page(hva, len))
		return -EINVAL;
	move_to(kvm, at, hva | XEN_AT_HVA);
	return probe(kvm, *at);
}

void xen_deactivate(struct kvm *kvm, u64 *at)
{
	if (*at)
		move_to(kvm, at, 0);
}

int xen_read(struct kvm *kvm, const u64 *where, u32 offset, void *data, u32 len)
{
	int idx = srcu_read_lock(&kvm->srcu), ret;
	u64 at = __atomic_load_n(where, __ATOMIC_SEQ_CST);
	unsigned long addr = locate(kvm, at, offset);

	ret = addr ? copy_from_client(data, addr, len) : at ? -EFAULT : -EINVAL;
	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int xen_write(struct kvm *kvm, const u64 *where, u32 offset, const void *data, u32 len)
{
	int idx = srcu_read_lock(&kvm->srcu), ret;
	u64 at = __atomic_load_n(where, __ATOMIC_SEQ_CST);
	unsigned long addr = locate(kvm, at, offset);

	ret = addr ? copy_to_client(addr, data, len) : at ? -EFAULT : -EINVAL;
	if (!ret)
		written(kvm, at, offset, len);
	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int xen_test_and_set_bit(struct kvm *kvm, const u64 *where, u32 offset, u32 nr, bool *was)
{
	int idx = srcu_read_lock(&kvm->srcu), ret;
	u64 at = __atomic_load_n(where, __ATOMIC_SEQ_CST);
	unsigned long addr = locate(kvm, at, offset + nr / 32 * 4);

	ret = addr ? client_test_and_set_bit(addr, nr % 32) : at ? -EFAULT : -EINVAL;
	if (ret >= 0) {
		written(kvm, at, offset + nr / 32 * 4, 4);
		*was = ret;
		ret = 0;
	}
	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int xen_test_bit(struct kvm *kvm, const u64 *where, u32 offset, u32 nr, bool *is)
{
	u32 word;
	int ret = xen_read(kvm, where, offset + nr / 32 * 4, &word, sizeof(word));

	*is = !ret && (word & (1u << nr % 32));
	return ret;
}

/* ---- the shared info page ---------------------------------------------------------------------- */

/* The wall clock at kvmclock's zero; the version is odd while it changes. xen_lock held. */
static int shared_info_init(struct kvm *kvm)
{
	const u64 *at = &kvm->arch.xen.shared_info;
	bool lm = kvm->arch.xen.long_mode;
	u64 epoch = kvm_get_wall_clock_epoch(kvm);
	u32 time[2] = { (u32)(epoch / NSEC_PER_SEC), (u32)(epoch % NSEC_PER_SEC) };
	u32 sec_hi = (u32)(epoch / NSEC_PER_SEC >> 32), version;
	int ret = xen_read(kvm, at, XEN_SHINFO_WC(lm), &version, sizeof(version));

	if (ret)
		return ret;
	version = (version + 1) | 1;
	ret = xen_write(kvm, at, XEN_SHINFO_WC(lm), &version, sizeof(version));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ret)
		ret = xen_write(kvm, at, XEN_SHINFO_WC(lm) + 4, time, sizeof(time));
	if (!ret)
		ret = xen_write(kvm, at, XEN_SHINFO_WC_SEC_HI(lm), &sec_hi, sizeof(sec_hi));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	version++;
	if (!ret)
		ret = xen_write(kvm, at, XEN_SHINFO_WC(lm), &version, sizeof(version));
	kvm_make_all_cpus_request(kvm, KVM_REQ_CLOCK_UPDATE);
	return ret;
}

static int set_long_mode(struct kvm *kvm, bool lm)
{
	kvm->arch.xen.long_mode = lm;
	return kvm->arch.xen.shared_info ? shared_info_init(kvm) : 0;
}

static int set_shared_info(struct kvm *kvm, u64 gfn)
{
	u64 *at = &kvm->arch.xen.shared_info;
	int ret;

	if (gfn == XEN_NOWHERE) {
		xen_deactivate(kvm, at);
		return 0;
	}
	ret = xen_activate_gpa(kvm, at, gfn << PAGE_SHIFT, PAGE_SIZE);
	return ret ? ret : shared_info_init(kvm);
}

static int set_shared_info_hva(struct kvm *kvm, u64 hva)
{
	u64 *at = &kvm->arch.xen.shared_info;
	int ret;

	if (hva & ~PAGE_MASK)
		return -EINVAL;
	if (!hva) {
		xen_deactivate(kvm, at);
		return 0;
	}
	ret = xen_activate_hva(kvm, at, hva, PAGE_SIZE);
	return ret ? ret : shared_info_init(kvm);
}

/* ---- attributes: xen_lock held ------------------------------------------------------------------ */

static int set_upcall_vector(struct kvm *kvm, u8 vector)
{
	if (vector && vector < 0x10)
		return -EINVAL;
	kvm->arch.xen.upcall_vector = vector;
	return 0;
}

static int set_runstate_update_flag(struct kvm *kvm, bool on)
{
	if (!kvm_sched_info_on())
		return -EOPNOTSUPP;
	kvm->arch.xen.runstate_update_flag = on;
	return 0;
}

static int set_attr(struct kvm *kvm, const struct kvm_xen_hvm_attr *a)
{
	switch (a->type) {
	case KVM_XEN_ATTR_TYPE_LONG_MODE:
		return set_long_mode(kvm, a->u.long_mode);
	case KVM_XEN_ATTR_TYPE_SHARED_INFO:
		return set_shared_info(kvm, a->u.shared_info.gfn);
	case KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA:
		return set_shared_info_hva(kvm, a->u.shared_info.gfn); /* .hva: the same member */
	case KVM_XEN_ATTR_TYPE_UPCALL_VECTOR:
		return set_upcall_vector(kvm, a->u.vector);
	case KVM_XEN_ATTR_TYPE_EVTCHN:
		return kvm_xen_setattr_evtchn(kvm, a);
	case KVM_XEN_ATTR_TYPE_XEN_VERSION:
		kvm->arch.xen.xen_version = a->u.xen_version;
		return 0;
	case KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG:
		return set_runstate_update_flag(kvm, a->u.vector); /* .runstate_update_flag */
	default:
		return -ENOENT;
	}
}

static int get_attr(struct kvm *kvm, struct kvm_xen_hvm_attr *a)
{
	const struct kvm_xen *x = &kvm->arch.xen;
	u64 gpa = xen_gpa_of(x->shared_info);

	switch (a->type) {
	case KVM_XEN_ATTR_TYPE_LONG_MODE:
		a->u.long_mode = x->long_mode;
		return 0;
	case KVM_XEN_ATTR_TYPE_SHARED_INFO:
		a->u.shared_info.gfn = gpa == XEN_NOWHERE ? XEN_NOWHERE : gpa >> PAGE_SHIFT;
		return 0;
	case KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA:
		a->u.shared_info.gfn = xen_hva_of(x->shared_info);
		return 0;
	case KVM_XEN_ATTR_TYPE_UPCALL_VECTOR:
		a->u.vector = x->upcall_vector;
		return 0;
	case KVM_XEN_ATTR_TYPE_XEN_VERSION:
		a->u.xen_version = x->xen_version;
		return 0;
	case KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG:
		a->u.vector = x->runstate_update_flag;
		return kvm_sched_info_on() ? 0 : -EOPNOTSUPP;
	default:
		return -ENOENT;
	}
}

/* ---- the hypercall page ------------------------------------------------------------------------- */

/* mov eax, number; vmcall or vmmcall; ret; the rest of 32 bytes are int3. */
static int write_own_page(struct kvm_vcpu *vcpu, gpa_t page)
{
	u8 code[32] = { 0xb8, 0, 0, 0, 0, 0x0f, 0x01, x86s(vcpu)->is_amd ? 0xd9 : 0xc1, 0xc3 };

	memset(code + 9, 0xcc, sizeof(code) - 9);
	for (u32 i = 0; i < XEN_HYPERCALLS_PER_PAGE; i++) {
		memcpy(code + 1, &i, sizeof(i));
		if (kvm_vcpu_write_guest(vcpu, page + i * sizeof(code), code, sizeof(code)))
			return 1;
	}
	return 0;
}

/* User space has provided the pages. */
static int write_blob_page(struct kvm_vcpu *vcpu, gpa_t page, u32 number, bool lm)
{
	const struct kvm_xen_hvm_config *c = &vcpu->kvm->arch.xen.config;
	u64 addr = lm ? c->blob_addr_64 : c->blob_addr_32;
	u8 content[PAGE_SIZE];

	if (number >= (lm ? c->blob_size_64 : c->blob_size_32))
		return 1;
	if (copy_from_client(content, addr + (u64)number * PAGE_SIZE, PAGE_SIZE))
		return -EFAULT;
	return kvm_vcpu_write_guest(vcpu, page, content, PAGE_SIZE) ? 1 : 0;
}

/* The guest tells its width by the mode in which it writes. */
int kvm_xen_write_hypercall_page(struct kvm_vcpu *vcpu, u64 data)
{
	struct kvm *kvm = vcpu->kvm;
	bool lm = x86s(vcpu)->efer & X86_EFER_LMA;
	u32 number = (u32)(data & ~PAGE_MASK);
	int ret = 0;

	pthread_mutex_lock(&kvm->arch.xen.xen_lock);
	if (kvm->arch.xen.long_mode != lm)
		ret = set_long_mode(kvm, lm);
	pthread_mutex_unlock(&kvm->arch.xen.xen_lock);
	if (ret)
		return 1;
	if (kvm_xen_hypercall_enabled(kvm))
		return number ? 1 : write_own_page(vcpu, data & PAGE_MASK);
	return write_blob_page(vcpu, data & PAGE_MASK, number, lm);
}

/* ---- ioctls ---- */

#define CONFIG_FLAGS (KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL | KVM_XEN_HVM_CONFIG_EVTCHN_SEND | \
		      KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE)

static long ioctl_config(void *obj, void *data, unsigned long arg)
{
	const struct kvm_xen_hvm_config *c = data;
	struct kvm *kvm = obj;
	u32 changed;

	if (c->flags & ~(u32)CONFIG_FLAGS)
		return -EINVAL;
	if ((c->flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL) &&
	    (c->blob_addr_32 || c->blob_addr_64 || c->blob_size_32 || c->blob_size_64))
		return -EINVAL;
	pthread_mutex_lock(&kvm->arch.xen.xen_lock);
	changed = kvm->arch.xen.config.flags ^ c->flags;
	kvm->arch.xen.config = *c;
	pthread_mutex_unlock(&kvm->arch.xen.xen_lock);
	if (changed & KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE)
		kvm_make_all_cpus_request(kvm, KVM_REQ_CLOCK_UPDATE);
	return 0;
}

static long ioctl_set_attr(void *obj, void *data, unsigned long arg)
{
	struct kvm *kvm = obj;
	long ret;

	pthread_mutex_lock(&kvm->arch.xen.xen_lock);
	ret = set_attr(kvm, data);
	pthread_mutex_unlock(&kvm->arch.xen.xen_lock);
	return ret;
}

static long ioctl_get_attr(void *obj, void *data, unsigned long arg)
{
	struct kvm *kvm = obj;
	long ret;

	pthread_mutex_lock(&kvm->arch.xen.xen_lock);
	ret = get_attr(kvm, data);
	pthread_mutex_unlock(&kvm->arch.xen.xen_lock);
	return ret;
}

static long ioctl_evtchn_send(void *obj, void *data, unsigned long arg)
{
	return kvm_xen_hvm_evtchn_send(obj, data);
}

const struct kvm_ioctl_row kvm_xen_vm_ioctls[] = {
	IOCTL_ROW(KVM_XEN_HVM_CONFIG, ARG_IN, ioctl_config),
	IOCTL_ROW(KVM_XEN_HVM_GET_ATTR, ARG_IN | ARG_OUT, ioctl_get_attr),
	IOCTL_ROW(KVM_XEN_HVM_SET_ATTR, ARG_IN, ioctl_set_attr),
	IOCTL_ROW(KVM_XEN_HVM_EVTCHN_SEND, ARG_IN, ioctl_evtchn_send),
};
const size_t kvm_nr_xen_vm_ioctls = ARRAY_SIZE(kvm_xen_vm_ioctls);
IOCTL_TABLE('V', kvm_xen_vm_ioctls);
