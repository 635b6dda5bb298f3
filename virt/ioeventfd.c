/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioeventfd: a guest write to an address (and value) that signals an eventfd instead of leaving to user
 * space. Each is a device on the MMIO or PIO bus. With length 0 any access to the address counts; such
 * an MMIO one is also on the fast bus, which Linux asks before it decodes the instruction.
 */
#include <stdlib.h>
#include <string.h>
#include "virt/vm.h"

#define VALID_FLAGS (KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN | \
		     KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY)

struct ioeventfd {
	struct list_head link; /* kvm->ioeventfds; slots_lock */
	struct kvm_io_device dev;
	struct kvm_eventfd eventfd;
	gpa_t addr;
	int len;
	u64 datamatch;
	bool wildcard;
	enum kvm_bus bus;
};

static bool matches(const struct ioeventfd *p, gpa_t addr, int len, const void *val)
{
	u64 data = 0;

	if (addr != p->addr)
		return false;
	if (!p->len)
		return true;
	if (len != p->len)
		return false;
	memcpy(&data, val, (size_t)len);
	return p->wildcard || data == p->datamatch;
}

static int ioeventfd_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len,
			   const void *val)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	if (!matches(p, addr, len, val))
		return -EOPNOTSUPP;
	kvm_eventfd_signal(&p->eventfd);
	return 0;
}

static void ioeventfd_destructor(struct kvm_io_device *dev)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	list_del(&p->link);
	kvm_eventfd_put(&p->eventfd);
	free(p);
}

static const struct kvm_io_device_ops ioeventfd_ops = {
	.write = ioeventfd_write,
	.destructor = ioeventfd_destructor,
};

static bool collides(struct kvm *kvm, const struct ioeventfd *p)
{
	struct ioeventfd *q;

	list_for_each_entry(q, &kvm->ioeventfds, link)
		if (q->bus == p->bus && q->addr == p->addr &&
		    (!q->len || !p->len ||
		     (q->len == p->len && (q->wildcard || p->wildcard || q->datamatch == p->datamatch))))
			return true;
	return false;
}

static enum kvm_bus bus_of(u32 flags)
{
	return flags & KVM_IOEVENTFD_FLAG_PIO ? KVM_PIO_BUS : KVM_MMIO_BUS;
}

/* slots_lock held */
static int ioeventfd_register(struct kvm *kvm, struct ioeventfd *p)
{
	int err;

	if (collides(kvm, p))
		return -EEXIST;
	err = kvm_io_bus_register_dev(kvm, p->bus, p->addr, p->len, &p->dev);
	if (err)
		return err;
	kvm->buses[p->bus]->ioeventfd_count++;
	list_add_tail(&p->link, &kvm->ioeventfds);
	return 0;
}

static int assign_on(struct kvm *kvm, enum kvm_bus bus, const struct kvm_ioeventfd *args)
{
	struct kvm_eventfd ev;
	struct ioeventfd *p;
	int err = kvm_eventfd_get(&ev, args->fd);

	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p) {
		kvm_eventfd_put(&ev);
		return -ENOMEM;
	}
	*p = (struct ioeventfd){ .eventfd = ev, .addr = args->addr, .len = (int)args->len, .datamatch = args->datamatch,
				 .wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH), .bus = bus };
	list_init(&p->link);
	kvm_iodevice_init(&p->dev, &ioeventfd_ops);
	pthread_mutex_lock(&kvm->slots_lock);
	err = ioeventfd_register(kvm, p);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (err)
		ioeventfd_destructor(&p->dev);
	return err;
}

static bool same(const struct ioeventfd *p, enum kvm_bus bus, const struct kvm_ioeventfd *args, u64 id)
{
	bool wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);

	return p->bus == bus && p->eventfd.id == id && p->addr == args->addr && p->len == (int)args->len &&
	       p->wildcard == wildcard && (wildcard || p->datamatch == args->datamatch);
}

static int deassign_on(struct kvm *kvm, enum kvm_bus bus, const struct kvm_ioeventfd *args)
{
	struct kvm_eventfd ev;
	struct ioeventfd *p;
	int err = kvm_eventfd_get(&ev, args->fd);

	if (err)
		return err;
	err = -ENOENT;
	pthread_mutex_lock(&kvm->slots_lock);
	list_for_each_entry(p, &kvm->ioeventfds, link)
		if (same(p, bus, args, ev.id)) {
			kvm_io_bus_unregister_dev(kvm, bus, &p->dev);
			kvm->buses[bus]->ioeventfd_count--;
			err = 0;
			break;
		}
	pthread_mutex_unlock(&kvm->slots_lock);
	kvm_eventfd_put(&ev);
	return err;
}

static int check_args(const struct kvm_ioeventfd *args)
{
	bool len_ok = args->len == 0 || args->len == 1 || args->len == 2 || args->len == 4 || args->len == 8;

	if (!len_ok || args->addr + args->len < args->addr || (args->flags & ~VALID_FLAGS))
		return -EINVAL;
	return !args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ? -EINVAL : 0;
}

long kvm_ioeventfd(struct kvm *kvm, const struct kvm_ioeventfd *args)
{
	enum kvm_bus bus = bus_of(args->flags);
	bool fast = !args->len && bus == KVM_MMIO_BUS;
	long err;

	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		err = deassign_on(kvm, bus, args);
		if (fast)
			deassign_on(kvm, KVM_FAST_MMIO_BUS, args);
		return err;
	}
	err = check_args(args);
	if (!err)
		err = assign_on(kvm, bus, args);
	if (err || !fast)
		return err;
	err = assign_on(kvm, KVM_FAST_MMIO_BUS, args);
	if (err)
		deassign_on(kvm, bus, args);
	return err;
}
