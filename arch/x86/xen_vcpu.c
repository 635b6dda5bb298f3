/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Xen: a vCPU's attributes, its run state, its time.
 *
 * Run states: how long the vCPU has been running, runnable (it wanted to and did not: the scheduler's run
 * delay), blocked and offline; kept in the guest's memory for it to see. The time since the last
 * change belongs to the current state, so entry time is always the sum of the four. The structure may
 * lie anywhere, across pages too; 32-bit guests have it without padding behind `state`.
 */
#include <string.h>
#include "arch/x86/xen.h"

#define XEN_RUNSTATE_UPDATE BIT_ULL(63) /* in state_entry_time: the structure is being changed */

void kvm_xen_init_vcpu(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_xen *x = &vcpu->arch.xen;

	x->vcpu_id = kvm_online_vcpus(vcpu->kvm);
	x->time_info = x->runstate_info = XEN_NOWHERE;
	kvm_xen_init_timers(vcpu);
}

void kvm_xen_destroy_vcpu(struct kvm_vcpu *vcpu)
{
	kvm_timer_cancel(&vcpu->arch.xen.timer);
	kvm_timer_cancel(&vcpu->arch.xen.poll_timer);
}

/* ---- run states --------------------------------------------------------------------------------- */

static u32 runstate_header(struct kvm *kvm)
{
	return kvm->arch.xen.long_mode ? 8 : 4;
}

static u32 runstate_size(struct kvm *kvm)
{
	return runstate_header(kvm) + (1 + XEN_NR_RUNSTATES) * sizeof(u64);
}

/* With the flag the guest can tell a torn reading: its byte is set before and cleared after the rest. */
static void write_runstate(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_xen *x = &vcpu->arch.xen;
	struct kvm *kvm = vcpu->kvm;
	u32 header = runstate_header(kvm), size = runstate_size(kvm);
	u64 time[1 + XEN_NR_RUNSTATES] = { x->runstate_entry_time };
	gpa_t flag = x->runstate_info + header + 7;
	u8 image[8 + sizeof(time)] = { 0 }, last;

	memcpy(time + 1, x->runstate_times, sizeof(x->runstate_times));
	if (kvm->arch.xen.runstate_update_flag)
		time[0] |= XEN_RUNSTATE_UPDATE;
	memcpy(image, &x->current_runstate, sizeof(x->current_runstate));
	memcpy(image + header, time, sizeof(time));
	last = image[header + 7];
	if (kvm->arch.xen.runstate_update_flag && kvm_write_guest(kvm, flag, &last, 1))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (kvm_write_guest(kvm, x->runstate_info, image, size) || !kvm->arch.xen.runstate_update_flag)
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	last &= 0x7f;
	kvm_write_guest(kvm, flag, &last, 1);
}

static void show_runstate(struct kvm_vcpu *vcpu)
{
	if (vcpu->arch.xen.runstate_info != XEN_NOWHERE)
		write_runstate(vcpu);
}

void kvm_xen_update_runstate(struct kvm_vcpu *vcpu, u32 state)
{
	struct kvm_vcpu_xen *x = &vcpu->arch.xen;
	u64 now = kvm_get_kvmclock_ns(vcpu->kvm), delta = now - x->runstate_entry_time;
	u64 run_delay = kvm_run_delay_ns(vcpu);

	if (!x->runstate_entry_time)
		x->current_runstate = XEN_RUNSTATE_OFFLINE;
	if (x->current_runstate == XEN_RUNSTATE_RUNNING && run_delay > x->last_steal) {
		u64 stolen = MIN(run_delay - x->last_steal, delta);

		delta -= stolen;
		x->runstate_times[XEN_RUNSTATE_RUNNABLE] += stolen;
	}
	x->last_steal = run_delay;
	x->runstate_times[x->current_runstate] += delta;
	x->current_runstate = state;
	x->runstate_entry_time = now;
	show_runstate(vcpu);
}

/* ---- time ------------------------------------------------------------------------------------------ */

bool kvm_xen_time_wanted(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.xen.vcpu_info || vcpu->arch.xen.time_info != XEN_NOWHERE;
}

/* The common layout of kvmclock; version (u32 at 0) goes on from what is there, flags is the byte at 29. */
static void publish_time(struct kvm_vcpu *vcpu, const u64 *at, u32 offset, const u8 *time)
{
	struct kvm *kvm = vcpu->kvm;
	u8 t[XEN_TIME_INFO_SIZE], old[XEN_TIME_INFO_SIZE];
	u32 version;

	if (xen_read(kvm, at, offset, old, sizeof(old)))
		return;
	memcpy(t, time, sizeof(t));
	memcpy(&version, old, sizeof(version));
	version = (version + 1) | 1;
	if (xen_write(kvm, at, offset, &version, sizeof(version)))
		return;
	t[29] |= old[29] & 2; /* PVCLOCK_GUEST_STOPPED is the guest's to clear */
	if (kvm->arch.xen.config.flags & KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE)
		t[29] &= (u8)~1u;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	xen_write(kvm, at, offset + 4, t + 4, sizeof(t) - 4);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	version++;
	xen_write(kvm, at, offset, &version, sizeof(version));
}

void kvm_xen_update_time(struct kvm_vcpu *vcpu, const void *time)
{
	struct kvm_vcpu_xen *x = &vcpu->arch.xen;

	if (x->vcpu_info)
		publish_time(vcpu, &x->vcpu_info, XEN_VCPU_INFO_TIME, time);
	if (x->time_info != XEN_NOWHERE) {
		/* Any alignment: the bits that tag an address are in the offset. */
		u64 at = (x->time_info & ~3ull) | XEN_AT_GPA;

		publish_time(vcpu, &at, (u32)(x->time_info & 3), time);
	}
}

/* ---- attributes: xen_lock held ------------------------------------------------------------------- */

static int set_vcpu_info(struct kvm_vcpu *vcpu, u64 addr, bool hva)
{
	u64 *at = &vcpu->arch.xen.vcpu_info;
	int ret;

	if (addr == (hva ? 0 : XEN_NOWHERE)) {
		xen_deactivate(vcpu->kvm, at);
		return 0;
	}
	if (addr & 3)
		return -ENXIO;
	ret = hva ? xen_activate_hva(vcpu->kvm, at, addr, XEN_VCPU_INFO_SIZE)
		  : xen_activate_gpa(vcpu->kvm, at, addr, XEN_VCPU_INFO_SIZE);
	if (!ret)
		kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
	return ret;
}

static int set_time_info(struct kvm_vcpu *vcpu, u64 gpa)
{
	u8 probe;

	if (gpa != XEN_NOWHERE && (gpa & ~PAGE_MASK) + XEN_TIME_INFO_SIZE > PAGE_SIZE)
		return -EINVAL;
	vcpu->arch.xen.time_info = gpa;
	if (gpa == XEN_NOWHERE)
		return 0;
	if (kvm_read_guest(vcpu->kvm, gpa, &probe, 1))
		return -EFAULT;
	kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
	return 0;
}

static int set_runstate_addr(struct kvm_vcpu *vcpu, u64 gpa)
{
	u8 image[8 + (1 + XEN_NR_RUNSTATES) * sizeof(u64)];

	vcpu->arch.xen.runstate_info = XEN_NOWHERE;
	if (gpa == XEN_NOWHERE)
		return 0;
	if (kvm_read_guest(vcpu->kvm, gpa, image, runstate_size(vcpu->kvm)))
		return -EFAULT;
	vcpu->arch.xen.runstate_info = gpa;
	write_runstate(vcpu);
	return 0;
}

static bool times_add_up(const struct kvm_xen_vcpu_attr *a)
{
	return a->u.runstate.state_entry_time == a->u.runstate.time_running + a->u.runstate.time_runnable +
							 a->u.runstate.time_blocked +
							 a->u.runstate.time_offline;
}

static void add_times(u64 *times, const struct kvm_xen_vcpu_attr *a)
{
	times[XEN_RUNSTATE_RUNNING] += a->u.runstate.time_running;
	times[XEN_RUNSTATE_RUNNABLE] += a->u.runstate.time_runnable;
	times[XEN_RUNSTATE_BLOCKED] += a->u.runstate.time_blocked;
	times[XEN_RUNSTATE_OFFLINE] += a->u.runstate.time_offline;
}

static int set_runstate_current(struct kvm_vcpu *vcpu, const struct kvm_xen_vcpu_attr *a)
{
	if (a->u.runstate.state > XEN_RUNSTATE_OFFLINE)
		return -EINVAL;
	kvm_xen_update_runstate(vcpu, (u32)a->u.runstate.state);
	return 0;
}

static int set_runstate_data(struct kvm_vcpu *vcpu, const struct kvm_xen_vcpu_attr *a)
{
	struct kvm_vcpu_xen *x = &vcpu->arch.xen;

	if (a->u.runstate.state > XEN_RUNSTATE_OFFLINE || !times_add_up(a) ||
	    kvm_get_kvmclock_ns(vcpu->kvm) < a->u.runstate.state_entry_time)
		return -EINVAL;
	x->current_runstate = (u32)a->u.runstate.state;
	x->runstate_entry_time = a->u.runstate.state_entry_time;
	memset(x->runstate_times, 0, sizeof(x->runstate_times));
	add_times(x->runstate_times, a);
	x->last_steal = kvm_run_delay_ns(vcpu);
	return 0;
}

static int adjust_runstate(struct kvm_vcpu *vcpu, const struct kvm_xen_vcpu_attr *a)
{
	struct kvm_vcpu_xen *x = &vcpu->arch.xen;
	bool keep = a->u.runstate.state == ~0ull;

	if ((a->u.runstate.state > XEN_RUNSTATE_OFFLINE && !keep) || !times_add_up(a) ||
	    kvm_get_kvmclock_ns(vcpu->kvm) < x->runstate_entry_time + a->u.runstate.state_entry_time)
		return -EINVAL;
	x->runstate_entry_time += a->u.runstate.state_entry_time;
	add_times(x->runstate_times, a);
	if (keep)
		show_runstate(vcpu);
	else
		kvm_xen_update_runstate(vcpu, (u32)a->u.runstate.state);
	return 0;
}

static int set_timer(struct kvm_vcpu *vcpu, const struct kvm_xen_vcpu_attr *a)
{
	if (a->u.timer.port && a->u.timer.priority != KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL)
		return -EINVAL;
	kvm_xen_stop_timer(vcpu);
	vcpu->arch.xen.timer_virq = a->u.timer.port;
	if (a->u.timer.port && a->u.timer.expires_ns)
		kvm_xen_start_timer(vcpu, a->u.timer.expires_ns, false);
	return 0;
}

static int set_vcpu_id(struct kvm_vcpu *vcpu, u32 id)
{
	if (id >= KVM_MAX_VCPUS)
		return -EINVAL;
	vcpu->arch.xen.vcpu_id = id;
	return 0;
}

static int set_upcall_vector(struct kvm_vcpu *vcpu, u8 vector)
{
	if (vector && vector < 0x10)
		return -EINVAL;
	vcpu->arch.xen.upcall_vector = vector;
	return 0;
}

static bool is_runstate(u16 type)
{
	return type >= KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR && type <= KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST;
}

static int set_attr(struct kvm_vcpu *vcpu, const struct kvm_xen_vcpu_attr *a)
{
	if (is_runstate(a->type) && !kvm_sched_info_on())
		return -EOPNOTSUPP;
	switch (a->type) {
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO:
		return set_vcpu_info(vcpu, a->u.gpa, false);
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA:
		return set_vcpu_info(vcpu, a->u.gpa, true); /* .hva: the same member */
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO:
		return set_time_info(vcpu, a->u.gpa);
	case KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR:
		return set_runstate_addr(vcpu, a->u.gpa);
	case KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT:
		return set_runstate_current(vcpu, a);
	case KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA:
		return set_runstate_data(vcpu, a);
	case KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST:
		return adjust_runstate(vcpu, a);
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID:
		return set_vcpu_id(vcpu, a->u.vcpu_id);
	case KVM_XEN_VCPU_ATTR_TYPE_TIMER:
		return set_timer(vcpu, a);
	case KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR:
		return set_upcall_vector(vcpu, a->u.vector);
	default:
		return -ENOENT;
	}
}

static void get_runstate_data(const struct kvm_vcpu_xen *x, struct kvm_xen_vcpu_attr *a)
{
	a->u.runstate.state = x->current_runstate;
	a->u.runstate.state_entry_time = x->runstate_entry_time;
	a->u.runstate.time_running = x->runstate_times[XEN_RUNSTATE_RUNNING];
	a->u.runstate.time_runnable = x->runstate_times[XEN_RUNSTATE_RUNNABLE];
	a->u.runstate.time_blocked = x->runstate_times[XEN_RUNSTATE_BLOCKED];
	a->u.runstate.time_offline = x->runstate_times[XEN_RUNSTATE_OFFLINE];
}

static int get_runstate(const struct kvm_vcpu_xen *x, struct kvm_xen_vcpu_attr *a)
{
	if (!kvm_sched_info_on())
		return -EOPNOTSUPP;
	switch (a->type) {
	case KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR:
		if (x->runstate_info == XEN_NOWHERE)
			return -ENOENT;
		a->u.gpa = x->runstate_info;
		return 0;
	case KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT:
		a->u.runstate.state = x->current_runstate;
		return 0;
	default:
		get_runstate_data(x, a);
		return 0;
	}
}

static int get_attr(struct kvm_vcpu *vcpu, struct kvm_xen_vcpu_attr *a)
{
	const struct kvm_vcpu_xen *x = &vcpu->arch.xen;

	if (a->type == KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST)
		return -EINVAL; /* only to be set */
	if (is_runstate(a->type))
		return get_runstate(x, a);
	switch (a->type) {
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO:
		a->u.gpa = xen_gpa_of(x->vcpu_info);
		return 0;
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA:
		a->u.gpa = xen_hva_of(x->vcpu_info);
		return 0;
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO:
		a->u.gpa = x->time_info;
		return 0;
	case KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID:
		a->u.vcpu_id = x->vcpu_id;
		return 0;
	case KVM_XEN_VCPU_ATTR_TYPE_TIMER:
		a->u.timer.port = x->timer_virq;
		a->u.timer.priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
		a->u.timer.expires_ns = kvm_xen_get_timer(vcpu);
		return 0;
	case KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR:
		a->u.vector = x->upcall_vector;
		return 0;
	default:
		return -ENOENT;
	}
}

static long ioctl_set_attr(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	long ret;

	pthread_mutex_lock(&vcpu->kvm->arch.xen.xen_lock);
	ret = set_attr(vcpu, data);
	pthread_mutex_unlock(&vcpu->kvm->arch.xen.xen_lock);
	return ret;
}

static long ioctl_get_attr(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	long ret;

	pthread_mutex_lock(&vcpu->kvm->arch.xen.xen_lock);
	ret = get_attr(vcpu, data);
	pthread_mutex_unlock(&vcpu->kvm->arch.xen.xen_lock);
	return ret;
}

const struct kvm_ioctl_row kvm_xen_vcpu_ioctls[] = {
	IOCTL_ROW(KVM_XEN_VCPU_GET_ATTR, ARG_IN | ARG_OUT, ioctl_get_attr),
	IOCTL_ROW(KVM_XEN_VCPU_SET_ATTR, ARG_IN, ioctl_set_attr),
};
const size_t kvm_nr_xen_vcpu_ioctls = ARRAY_SIZE(kvm_xen_vcpu_ioctls);
IOCTL_TABLE('C', kvm_xen_vcpu_ioctls);
