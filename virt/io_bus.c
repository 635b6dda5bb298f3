/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buses of in-kernel devices. A bus is an immutable array sorted by address; an access walks the ranges
 * that contain it, in order, until a device takes it. Writers (slots_lock) publish a changed copy and
 * wait for the readers (kvm->srcu) of the old one.
 */
#include <stdlib.h>
#include <string.h>
#include "virt/vm.h"

#define NR_IOBUS_DEVS 1000 /* Linux's limit, ioeventfds not counted */

static struct kvm_io_bus *bus_alloc(int n)
{
	return calloc(1, sizeof(struct kvm_io_bus) + (size_t)n * sizeof(struct kvm_io_range));
}

int kvm_io_buses_init(struct kvm *kvm)
{
	for (int i = 0; i < KVM_NR_BUSES; i++) {
		kvm->buses[i] = bus_alloc(0);
		if (!kvm->buses[i])
			return -ENOMEM;
	}
	return 0;
}

static void dev_destroy(struct kvm_io_device *dev)
{
	if (dev->ops->destructor)
		dev->ops->destructor(dev);
}

void kvm_io_buses_destroy(struct kvm *kvm)
{
	for (int i = 0; i < KVM_NR_BUSES; i++) {
		struct kvm_io_bus *bus = kvm->buses[i];

		kvm->buses[i] = NULL;
		for (int j = 0; bus && j < bus->dev_count; j++)
			dev_destroy(bus->range[j].dev);
		free(bus);
	}
}

static bool in_range(const struct kvm_io_range *r, gpa_t addr, int len)
{
	if (!r->len)
		return addr == r->addr;
	return addr >= r->addr && addr + (gpa_t)len <= r->addr + (gpa_t)r->len;
}

int kvm_io_bus_write(struct kvm_vcpu *vcpu, enum kvm_bus bus_idx, gpa_t addr, int len, const void *val)
{
	struct kvm *kvm = vcpu->kvm;
	int idx = srcu_read_lock(&kvm->srcu), ret = -EOPNOTSUPP;
	struct kvm_io_bus *bus = srcu_dereference(kvm->buses[bus_idx]);

	for (int i = 0; i < bus->dev_count && bus->range[i].addr <= addr && ret; i++) {
		struct kvm_io_device *dev = bus->range[i].dev;

		if (in_range(&bus->range[i], addr, len) && dev->ops->write)
			ret = dev->ops->write(vcpu, dev, addr, len, val);
	}
	srcu_read_unlock(&kvm->srcu, idx);
	return ret ? -EOPNOTSUPP : 0;
}

int kvm_io_bus_read(struct kvm_vcpu *vcpu, enum kvm_bus bus_idx, gpa_t addr, int len, void *val)
{
	struct kvm *kvm = vcpu->kvm;
	int idx = srcu_read_lock(&kvm->srcu), ret = -EOPNOTSUPP;
	struct kvm_io_bus *bus = srcu_dereference(kvm->buses[bus_idx]);

	for (int i = 0; i < bus->dev_count && bus->range[i].addr <= addr && ret; i++) {
		struct kvm_io_device *dev = bus->range[i].dev;

		if (in_range(&bus->range[i], addr, len) && dev->ops->read)
			ret = dev->ops->read(vcpu, dev, addr, len, val);
	}
	srcu_read_unlock(&kvm->srcu, idx);
	return ret ? -EOPNOTSUPP : 0;
}

static void publish(struct kvm *kvm, enum kvm_bus bus_idx, struct kvm_io_bus *next)
{
	struct kvm_io_bus *old = kvm->buses[bus_idx];

	rcu_assign_pointer(kvm->buses[bus_idx], next);
	synchronize_srcu(&kvm->srcu);
	free(old);
}

int kvm_io_bus_register_dev(struct kvm *kvm, enum kvm_bus bus_idx, gpa_t addr, int len,
			    struct kvm_io_device *dev)
{
	struct kvm_io_bus *old = kvm->buses[bus_idx], *next;
	int at = 0;

	if (!old)
		return -ENOMEM;
	if (old->dev_count - old->ioeventfd_count > NR_IOBUS_DEVS - 1)
		return -ENOSPC;
	next = bus_alloc(old->dev_count + 1);
	if (!next)
		return -ENOMEM;
	next->ioeventfd_count = old->ioeventfd_count;
	next->dev_count = old->dev_count + 1;
	while (at < old->dev_count && old->range[at].addr <= addr)
		at++;
	memcpy(next->range, old->range, (size_t)at * sizeof(old->range[0]));
	next->range[at] = (struct kvm_io_range){ .addr = addr, .len = len, .dev = dev };
	memcpy(next->range + at + 1, old->range + at, (size_t)(old->dev_count - at) * sizeof(old->range[0]));
	publish(kvm, bus_idx, next);
	return 0;
}

int kvm_io_bus_unregister_dev(struct kvm *kvm, enum kvm_bus bus_idx, struct kvm_io_device *dev)
{
	struct kvm_io_bus *old = kvm->buses[bus_idx], *next;
	int n = 0;

	if (!old)
		return 0;
	next = bus_alloc(old->dev_count);
	if (!next)
		return -ENOMEM;
	for (int i = 0; i < old->dev_count; i++)
		if (old->range[i].dev != dev)
			next->range[n++] = old->range[i];
	next->dev_count = n;
	next->ioeventfd_count = old->ioeventfd_count;
	if (n == old->dev_count) { /* was not there */
		free(next);
		return 0;
	}
	publish(kvm, bus_idx, next);
	dev_destroy(dev);
	return 0;
}
