/* SPDX-License-Identifier: Apache-2.0 */
/* In-kernel devices on the io buses; apart from kvm_host.h: an architecture's struct kvm may hold one. */
#ifndef KUSE_VIRT_KVM_IODEV_H
#define KUSE_VIRT_KVM_IODEV_H

#include "lib/types.h"

struct kvm_vcpu;
struct kvm_io_device;

enum kvm_bus { KVM_MMIO_BUS, KVM_PIO_BUS, KVM_FAST_MMIO_BUS, KVM_NR_BUSES };

struct kvm_io_device_ops {
	/* 0: handled; -EOPNOTSUPP: not mine, try the next. vcpu is the accessing one. */
	int (*read)(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len, void *val);
	int (*write)(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len, const void *val);
	void (*destructor)(struct kvm_io_device *dev); /* may be NULL */
};

struct kvm_io_device {
	const struct kvm_io_device_ops *ops;
};

static inline void kvm_iodevice_init(struct kvm_io_device *dev, const struct kvm_io_device_ops *ops)
{
	dev->ops = ops;
}

#endif
