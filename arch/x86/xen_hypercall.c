/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Xen: hypercalls. Number in EAX; arguments in RDI RSI RDX R10 R8 R9 of 64-bit code, EBX ECX EDX ESI EDI
 * EBP of 32-bit code. KVM answers what is worth it, at CPL 0 only; everything else is user space's
 * (KVM_EXIT_XEN).
 */
#include <sched.h>
#include <string.h>
#include "arch/x86/xen.h"

enum { HC_SET_TIMER_OP = 15, HC_XEN_VERSION = 17, HC_VCPU_OP = 24, HC_SCHED_OP = 29, HC_EVENT_CHANNEL_OP = 32 };

#define XENVER_VERSION 0
#define EVTCHNOP_SEND 4
#define SCHEDOP_YIELD 0
#define SCHEDOP_POLL 3
#define VCPUOP_SET_SINGLESHOT_TIMER 8
#define VCPUOP_STOP_SINGLESHOT_TIMER 9
#define MAX_POLL_PORTS 128
#define SEVERAL_PORTS (~0u)

struct xen_hypercall {
	struct kvm_vcpu *vcpu;
	bool longmode;
	u64 input, param[6];
	s64 result;
};

/* Guest-linear memory, page by page. 0 or -EFAULT. */
static int read_guest_virt(struct kvm_vcpu *vcpu, gva_t gva, void *data, size_t len)
{
	bool writeable, user;
	gpa_t gpa;

	for (size_t done = 0; done < len;) {
		size_t chunk = MIN(len - done, PAGE_SIZE - ((gva + done) & ~PAGE_MASK));

		if (hyp_x86_translate(vcpu->hyp, gva + done, &gpa, &writeable, &user) ||
		    kvm_vcpu_read_guest(vcpu, gpa, (u8 *)data + done, chunk))
			return -EFAULT;
		done += chunk;
	}
	return 0;
}

static bool answer(struct xen_hypercall *h, s64 result)
{
	h->result = result;
	return true;
}

/* ---- SCHEDOP_poll --------------------------------------------------------------------------------- */

struct poll {
	u64 timeout;
	gva_t ports_at;
	u32 n;
	u32 ports[MAX_POLL_PORTS];
};

/* struct sched_poll: pointer, count, timeout in ns. 0 or -errno. */
static int read_poll(struct xen_hypercall *h, struct poll *p)
{
	struct {
		u64 ports;
		u32 n, pad;
		u64 timeout;
	} s64bit;
	struct {
		u32 ports, n;
		u64 timeout;
	} s32bit;
	void *s = h->longmode ? (void *)&s64bit : (void *)&s32bit;

	if (read_guest_virt(h->vcpu, h->param[1], s, h->longmode ? sizeof(s64bit) : sizeof(s32bit)))
		return -EFAULT;
	p->ports_at = h->longmode ? s64bit.ports : s32bit.ports;
	p->n = h->longmode ? s64bit.n : s32bit.n;
	p->timeout = h->longmode ? s64bit.timeout : s32bit.timeout;
	if (p->n > MAX_POLL_PORTS)
		return -EINVAL;
	if (read_guest_virt(h->vcpu, p->ports_at, p->ports, p->n * sizeof(p->ports[0])))
		return -EFAULT;
	for (u32 i = 0; i < p->n; i++)
		if (p->ports[i] >= XEN_NR_PORTS(h->vcpu->kvm->arch.xen.long_mode))
			return -EINVAL;
	return 0;
}

/* A shared info page that cannot be read ends the poll. */
static bool something_pending(struct kvm *kvm, const struct poll *p)
{
	bool pending = false;
	int ret;

	if (!p->n)
		return !kvm->arch.xen.shared_info;
	for (u32 i = 0; i < p->n && !pending; i++) {
		ret = xen_test_bit(kvm, &kvm->arch.xen.shared_info,
				   XEN_SHINFO_EVTCHN_PENDING(kvm->arch.xen.long_mode), p->ports[i], &pending);
		if (ret)
			return true;
	}
	return pending;
}

static void sleep_until_event(struct kvm_vcpu *vcpu, u64 timeout)
{
	vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
	if (timeout)
		kvm_timer_start(&vcpu->arch.xen.poll_timer, kvm_clock_monotonic_ns() + timeout);
	if (kvm_vcpu_halt(vcpu) == -EINTR)
		__atomic_store_n(&vcpu->signal_pending, 1, __ATOMIC_SEQ_CST);
	if (timeout)
		kvm_timer_cancel(&vcpu->arch.xen.poll_timer);
	vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
}

/* Who makes a port pending after we have looked finds us in the mask, and wakes us. */
static void poll_wait(struct kvm_vcpu *vcpu, const struct poll *p)
{
	u64 *mask = &vcpu->kvm->arch.xen.poll_mask[vcpu->vcpu_idx / 64], bit = BIT_ULL(vcpu->vcpu_idx % 64);

	__atomic_store_n(&vcpu->arch.xen.poll_evtchn, p->n == 1 ? p->ports[0] : SEVERAL_PORTS,
			 __ATOMIC_SEQ_CST);
	__atomic_fetch_or(mask, bit, __ATOMIC_SEQ_CST);
	if (!something_pending(vcpu->kvm, p))
		sleep_until_event(vcpu, p->timeout);
	__atomic_store_n(&vcpu->arch.xen.poll_evtchn, 0, __ATOMIC_SEQ_CST);
	__atomic_fetch_and(mask, ~bit, __ATOMIC_SEQ_CST);
}

/* False: KVM does not know of every event, or of interrupts. */
static bool schedop_poll(struct xen_hypercall *h)
{
	struct poll p;
	int ret;

	if (!lapic_in_kernel(h->vcpu) ||
	    !(h->vcpu->kvm->arch.xen.config.flags & KVM_XEN_HVM_CONFIG_EVTCHN_SEND))
		return false;
	ret = read_poll(h, &p);
	if (!ret)
		poll_wait(h->vcpu, &p);
	return answer(h, ret);
}

/* A poll that KVM cannot do is a yield: the guest asks again. */
static bool hc_sched_op(struct xen_hypercall *h)
{
	if (h->param[0] == SCHEDOP_POLL && schedop_poll(h))
		return true;
	if (h->param[0] != SCHEDOP_POLL && h->param[0] != SCHEDOP_YIELD)
		return false;
	sched_yield();
	return answer(h, 0);
}

/* ---- timers, events, version ------------------------------------------------------------------------ */

/* struct vcpu_set_singleshot_timer: absolute ns, flags; padded to 16 bytes for 64-bit guests. */
static bool set_singleshot_timer(struct xen_hypercall *h)
{
	u64 s[2];

	if (read_guest_virt(h->vcpu, h->param[2], s, h->longmode ? 16 : 12))
		return answer(h, -EFAULT);
	kvm_xen_start_timer(h->vcpu, s[0], false);
	return answer(h, 0);
}

static bool hc_vcpu_op(struct xen_hypercall *h)
{
	int cmd = (int)h->param[0];

	if (!kvm_xen_timer_enabled(h->vcpu) ||
	    (cmd != VCPUOP_SET_SINGLESHOT_TIMER && cmd != VCPUOP_STOP_SINGLESHOT_TIMER))
		return false;
	if (h->vcpu->arch.xen.vcpu_id != (u32)h->param[1])
		return answer(h, -EINVAL);
	if (cmd == VCPUOP_SET_SINGLESHOT_TIMER)
		return set_singleshot_timer(h);
	kvm_xen_stop_timer(h->vcpu);
	return answer(h, 0);
}

static bool hc_set_timer_op(struct xen_hypercall *h)
{
	u64 timeout = h->longmode ? h->param[0] : h->param[0] | h->param[1] << 32;

	if (!kvm_xen_timer_enabled(h->vcpu))
		return false;
	if (timeout)
		kvm_xen_start_timer(h->vcpu, timeout, true);
	else
		kvm_xen_stop_timer(h->vcpu);
	return answer(h, 0);
}

static bool hc_event_channel_op(struct xen_hypercall *h)
{
	u32 port;

	if (h->param[0] != EVTCHNOP_SEND)
		return false;
	if (read_guest_virt(h->vcpu, h->param[1], &port, sizeof(port)))
		return answer(h, -EFAULT);
	return kvm_xen_evtchn_send(h->vcpu->kvm, port) && answer(h, 0);
}

static bool hc_xen_version(struct xen_hypercall *h)
{
	u32 version = h->vcpu->kvm->arch.xen.xen_version;

	return h->param[0] == XENVER_VERSION && version && answer(h, version);
}

/* ---- dispatch ------------------------------------------------------------------------------------------ */

static const struct {
	u32 nr;
	bool (*fn)(struct xen_hypercall *h); /* false: user space's */
} hypercalls[] = {
	{ HC_SET_TIMER_OP, hc_set_timer_op },
	{ HC_XEN_VERSION, hc_xen_version },
	{ HC_VCPU_OP, hc_vcpu_op },
	{ HC_SCHED_OP, hc_sched_op },
	{ HC_EVENT_CHANNEL_OP, hc_event_channel_op },
};

static bool handled(struct xen_hypercall *h)
{
	if (x86_cpl(x86s(h->vcpu)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(hypercalls); i++)
		if (hypercalls[i].nr == h->input)
			return hypercalls[i].fn(h);
	return false;
}

static void read_arguments(struct xen_hypercall *h)
{
	static const u8 reg64[6] = { X86_RDI, X86_RSI, X86_RDX, X86_R10, X86_R8, X86_R9 };
	static const u8 reg32[6] = { X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RBP };
	const u64 *gpr = x86s(h->vcpu)->gpr;

	h->longmode = is_64_bit_mode(h->vcpu);
	h->input = h->longmode ? gpr[X86_RAX] : (u32)gpr[X86_RAX];
	for (int i = 0; i < 6; i++)
		h->param[i] = h->longmode ? gpr[reg64[i]] : (u32)gpr[reg32[i]];
}

static int complete_in_kvm(struct kvm_vcpu *vcpu, u64 result)
{
	x86s(vcpu)->gpr[X86_RAX] = result;
	hyp_x86_skip(vcpu->hyp);
	return 1;
}

int kvm_xen_hypercall(struct kvm_vcpu *vcpu)
{
	struct xen_hypercall h = { .vcpu = vcpu };
	struct kvm_xen_exit x = { .type = KVM_EXIT_XEN_HCALL };

	read_arguments(&h);
	if (handled(&h))
		return complete_in_kvm(vcpu, (u64)h.result);
	x.u.hcall.longmode = h.longmode;
	x.u.hcall.cpl = x86_cpl(x86s(vcpu));
	x.u.hcall.input = h.input;
	memcpy(x.u.hcall.params, h.param, sizeof(h.param));
	return kvm_exit_xen(vcpu, &x);
}
