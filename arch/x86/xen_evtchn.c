/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Xen: event channels of the 2-level ABI. A port becomes pending in the shared info page; where it was not,
 * and is not masked, its word's bit is set in the target's vcpu_info, with evtchn_upcall_pending; where
 * that bit was not set, the vCPU is told: by its own vector through the local APIC, or by the HVM-wide
 * vector, which is injected as long as evtchn_upcall_pending stands.
 *
 *	KVM_XEN_HVM_EVTCHN_SEND, an irqfd's route, the timer, EVTCHNOP_send	any thread
 *	upcall									own thread
 *
 * A vcpu_info that cannot be reached does not lose an event: the bit is kept in evtchn_pending_sel until the
 * vCPU can put it there. Ports the guest sends to are bound by KVM_XEN_ATTR_TYPE_EVTCHN, to another port
 * or to an eventfd; the table is read under kvm->srcu and changed under xen_lock.
 */
#include <stdlib.h>
#include "arch/x86/lapic.h"
#include "arch/x86/xen.h"

#define EVTCHNSTAT_INTERDOMAIN 2
#define EVTCHNSTAT_IPI 5
#define SEVERAL_PORTS (~0u)

static u32 nr_ports(struct kvm *kvm)
{
	return XEN_NR_PORTS(kvm->arch.xen.long_mode);
}

/* ---- delivery ------------------------------------------------------------------------------------ */

static void wake(struct kvm_vcpu *vcpu)
{
	kvm_make_request(KVM_REQ_UNBLOCK, vcpu);
	kvm_vcpu_kick(vcpu);
}

/* SCHEDOP_poll ends with a port's becoming pending though it is masked. */
static void wake_poller(struct kvm_vcpu *vcpu, u32 port)
{
	u64 *mask = &vcpu->kvm->arch.xen.poll_mask[vcpu->vcpu_idx / 64], bit = BIT_ULL(vcpu->vcpu_idx % 64);
	u32 polled = __atomic_load_n(&vcpu->arch.xen.poll_evtchn, __ATOMIC_SEQ_CST);

	if ((polled == port || polled == SEVERAL_PORTS) &&
	    (__atomic_fetch_and(mask, ~bit, __ATOMIC_SEQ_CST) & bit))
		wake(vcpu);
}

/* True: the vCPU must be told. */
static bool select_word(struct kvm_vcpu *vcpu, u32 word)
{
	u64 *at = &vcpu->arch.xen.vcpu_info;
	bool was = false;
	u8 one = 1;

	if (xen_test_and_set_bit(vcpu->kvm, at, XEN_VCPU_INFO_PENDING_SEL(vcpu->kvm->arch.xen.long_mode),
				 word, &was))
		return !(__atomic_fetch_or(&vcpu->arch.xen.evtchn_pending_sel, BIT_ULL(word),
					   __ATOMIC_SEQ_CST) &
			 BIT_ULL(word));
	if (!was)
		xen_write(vcpu->kvm, at, XEN_VCPU_INFO_UPCALL_PENDING, &one, 1);
	return !was;
}

static void tell(struct kvm_vcpu *vcpu)
{
	if (vcpu->arch.xen.upcall_vector && vcpu->arch.xen.vcpu_info)
		kvm_xen_inject_vcpu_vector(vcpu);
	else
		wake(vcpu);
}

/* One look at where the page is: a port made pending there is delivered, though the page moves meanwhile. */
static int make_pending(struct kvm_vcpu *vcpu, u32 port)
{
	struct kvm *kvm = vcpu->kvm;
	u64 at = __atomic_load_n(&kvm->arch.xen.shared_info, __ATOMIC_SEQ_CST);
	bool lm = kvm->arch.xen.long_mode, was, masked;
	int ret = xen_test_and_set_bit(kvm, &at, XEN_SHINFO_EVTCHN_PENDING(lm), port, &was);

	if (ret || was)
		return ret;
	ret = xen_test_bit(kvm, &at, XEN_SHINFO_EVTCHN_MASK(lm), port, &masked);
	if (ret)
		return ret;
	if (masked) {
		wake_poller(vcpu, port);
		return -ENOTCONN;
	}
	if (select_word(vcpu, port / (lm ? 64 : 32)))
		tell(vcpu);
	return 1;
}

int kvm_xen_set_evtchn(struct kvm *kvm, const struct xen_evtchn *e)
{
	struct kvm_vcpu *vcpu = kvm_get_vcpu_by_id(kvm, (int)e->vcpu_id);
	int idx, ret;

	if (!vcpu || e->port >= XEN_NR_PORTS(kvm->arch.xen.long_mode))
		return -EINVAL;
	idx = srcu_read_lock(&kvm->srcu); /* who moves the page waits for us */
	ret = make_pending(vcpu, e->port);
	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

int kvm_xen_hvm_evtchn_send(struct kvm *kvm, const struct kvm_irq_routing_xen_evtchn *uxe)
{
	struct xen_evtchn e = { uxe->port, uxe->vcpu };
	int ret;

	if (!uxe->port || uxe->port >= nr_ports(kvm) ||
	    uxe->priority != KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL)
		return -EINVAL;
	ret = kvm_xen_set_evtchn(kvm, &e);
	return ret > 0 || ret == -ENOTCONN ? 0 : ret;
}

static int route_set(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id, int level,
		     bool line_status)
{
	struct xen_evtchn event = { e->xen_evtchn.port, e->xen_evtchn.vcpu };

	return level ? kvm_xen_set_evtchn(kvm, &event) : -EINVAL;
}

/* The port may lie beyond today's highest, the vCPU need not exist yet: user space restores in any order. */
int kvm_xen_setup_evtchn(struct kvm_kernel_irq_routing_entry *e, const struct kvm_irq_routing_entry *ue)
{
	if (ue->u.xen_evtchn.priority != KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL)
		return -EINVAL;
	e->xen_evtchn.port = ue->u.xen_evtchn.port;
	e->xen_evtchn.vcpu = ue->u.xen_evtchn.vcpu;
	e->set = route_set;
	return 0;
}

/* ---- upcalls: own thread ------------------------------------------------------------------------- */

static bool upcall_pending(struct kvm_vcpu *vcpu)
{
	u8 pending = 0;

	return !xen_read(vcpu->kvm, &vcpu->arch.xen.vcpu_info, XEN_VCPU_INFO_UPCALL_PENDING, &pending, 1) &&
	       pending;
}

bool __kvm_xen_has_interrupt(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.xen.vcpu_info && vcpu->kvm->arch.xen.upcall_vector && upcall_pending(vcpu);
}

void kvm_xen_inject_vcpu_vector(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic_irq irq = {
		.vector = vcpu->arch.xen.upcall_vector,
		.delivery_mode = APIC_DM_FIXED,
		.dest_mode = APIC_DEST_PHYSICAL,
		.shorthand = APIC_DEST_NOSHORT,
		.dest_id = (u32)vcpu->vcpu_id,
		.level = true,
	};

	kvm_irq_delivery_to_apic(vcpu->kvm, NULL, &irq);
}

void kvm_xen_sw_enable_lapic(struct kvm_vcpu *vcpu)
{
	if (kvm_xen_msr_enabled(vcpu->kvm) && vcpu->arch.xen.vcpu_info && vcpu->arch.xen.upcall_vector &&
	    upcall_pending(vcpu))
		kvm_xen_inject_vcpu_vector(vcpu);
}

bool kvm_xen_has_pending_events(struct kvm_vcpu *vcpu)
{
	return kvm_xen_msr_enabled(vcpu->kvm) &&
	       __atomic_load_n(&vcpu->arch.xen.evtchn_pending_sel, __ATOMIC_SEQ_CST);
}

/* What could not be put into vcpu_info when it came. */
void kvm_xen_inject_pending_events(struct kvm_vcpu *vcpu)
{
	u64 *kept = &vcpu->arch.xen.evtchn_pending_sel;
	u32 offset = XEN_VCPU_INFO_PENDING_SEL(vcpu->kvm->arch.xen.long_mode);
	u8 one = 1;
	bool was;

	for (u64 sel = __atomic_load_n(kept, __ATOMIC_SEQ_CST); sel; sel &= sel - 1) {
		u32 word = (u32)__builtin_ctzll(sel);

		if (xen_test_and_set_bit(vcpu->kvm, &vcpu->arch.xen.vcpu_info, offset, word, &was))
			return;
		__atomic_fetch_and(kept, ~BIT_ULL(word), __ATOMIC_SEQ_CST);
	}
	xen_write(vcpu->kvm, &vcpu->arch.xen.vcpu_info, XEN_VCPU_INFO_UPCALL_PENDING, &one, 1);
	if (vcpu->arch.xen.upcall_vector)
		kvm_xen_inject_vcpu_vector(vcpu);
}

/* ---- ports the guest sends to --------------------------------------------------------------------- */

struct xen_evtchnfd {
	u32 type;
	struct xen_evtchn port; /* .port 0: to the eventfd */
	struct kvm_eventfd eventfd;
};

static void evtchnfd_free(struct xen_evtchnfd *fd)
{
	if (fd && !fd->port.port)
		kvm_eventfd_put(&fd->eventfd);
	free(fd);
}

static struct xen_evtchnfd *find_port(struct kvm *kvm, u32 port)
{
	struct xen_evtchnfd **ports = srcu_dereference(kvm->arch.xen.evtchn_ports);

	return ports && port < XEN_NR_PORTS(true) ? srcu_dereference(ports[port]) : NULL;
}

/* Nothing but the vCPU may change. */
static int evtchn_update(struct kvm *kvm, const struct kvm_xen_hvm_attr *a)
{
	struct xen_evtchnfd *fd = find_port(kvm, a->u.evtchn.send_port);

	if (!fd)
		return -ENOENT;
	if (fd->type != a->u.evtchn.type || !fd->port.port ||
	    fd->port.port != a->u.evtchn.deliver.port.port ||
	    a->u.evtchn.deliver.port.priority != KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL)
		return -EINVAL;
	__atomic_store_n(&fd->port.vcpu_id, a->u.evtchn.deliver.port.vcpu, __ATOMIC_SEQ_CST);
	return 0;
}

static int bind_port(struct kvm *kvm, const struct kvm_xen_hvm_attr *a, struct xen_evtchnfd *fd)
{
	u32 port = a->u.evtchn.deliver.port.port;

	fd->type = a->u.evtchn.type;
	if (fd->type == EVTCHNSTAT_IPI && port != a->u.evtchn.send_port)
		return -EINVAL;
	if (fd->type != EVTCHNSTAT_IPI && fd->type != EVTCHNSTAT_INTERDOMAIN)
		return -EINVAL;
	if (!port)
		return kvm_eventfd_get(&fd->eventfd, a->u.evtchn.deliver.eventfd.fd);
	if (port >= nr_ports(kvm) ||
	    a->u.evtchn.deliver.port.priority != KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL)
		return -EINVAL;
	fd->port = (struct xen_evtchn){ port, a->u.evtchn.deliver.port.vcpu };
	return 0;
}

static int evtchn_table(struct kvm *kvm)
{
	struct xen_evtchnfd **ports;

	if (kvm->arch.xen.evtchn_ports)
		return 0;
	ports = calloc(XEN_NR_PORTS(true), sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	rcu_assign_pointer(kvm->arch.xen.evtchn_ports, ports);
	return 0;
}

static int evtchn_assign(struct kvm *kvm, const struct kvm_xen_hvm_attr *a)
{
	struct xen_evtchnfd *fd = calloc(1, sizeof(*fd));
	int ret = fd ? evtchn_table(kvm) : -ENOMEM;

	if (!ret)
		ret = bind_port(kvm, a, fd);
	if (ret) {
		free(fd);
		return ret;
	}
	if (find_port(kvm, a->u.evtchn.send_port)) {
		evtchnfd_free(fd);
		return -EEXIST;
	}
	rcu_assign_pointer(kvm->arch.xen.evtchn_ports[a->u.evtchn.send_port], fd);
	return 0;
}

static int evtchn_deassign(struct kvm *kvm, u32 port)
{
	struct xen_evtchnfd *fd = find_port(kvm, port);

	if (!fd)
		return -ENOENT;
	rcu_assign_pointer(kvm->arch.xen.evtchn_ports[port], NULL);
	synchronize_srcu(&kvm->srcu);
	evtchnfd_free(fd);
	return 0;
}

void kvm_xen_release_evtchns(struct kvm *kvm)
{
	struct xen_evtchnfd **ports = kvm->arch.xen.evtchn_ports;

	if (!ports)
		return;
	rcu_assign_pointer(kvm->arch.xen.evtchn_ports, NULL);
	synchronize_srcu(&kvm->srcu);
	for (u32 i = 0; i < XEN_NR_PORTS(true); i++)
		evtchnfd_free(ports[i]);
	free(ports);
}

int kvm_xen_setattr_evtchn(struct kvm *kvm, const struct kvm_xen_hvm_attr *a)
{
	u32 port = a->u.evtchn.send_port;

	if (a->u.evtchn.flags == KVM_XEN_EVTCHN_RESET) {
		kvm_xen_release_evtchns(kvm);
		return 0;
	}
	if (!port || port >= nr_ports(kvm))
		return -EINVAL;
	switch (a->u.evtchn.flags) {
	case 0:
		return evtchn_assign(kvm, a);
	case KVM_XEN_EVTCHN_DEASSIGN:
		return evtchn_deassign(kvm, port);
	case KVM_XEN_EVTCHN_UPDATE:
		return evtchn_update(kvm, a);
	default:
		return -EINVAL;
	}
}

/* kvm->srcu held. */
static bool send(struct kvm *kvm, struct xen_evtchnfd *fd)
{
	struct xen_evtchn e = fd->port;
	int ret;

	if (!e.port) {
		kvm_eventfd_signal(&fd->eventfd);
		return true;
	}
	ret = kvm_xen_set_evtchn(kvm, &e);
	return ret >= 0 || ret == -ENOTCONN;
}

bool kvm_xen_evtchn_send(struct kvm *kvm, u32 port)
{
	int idx = srcu_read_lock(&kvm->srcu);
	struct xen_evtchnfd *fd = find_port(kvm, port);
	bool done = fd && send(kvm, fd);

	srcu_read_unlock(&kvm->srcu, idx);
	return done;
}
