/* SPDX-License-Identifier: Apache-2.0 */
/* The device control API (Documentation/virt/kvm/api.rst, 4.79-4.81): KVM_CREATE_DEVICE and the attributes
 * of what it makes. */
#include <stdlib.h>
#include "virt/vm.h"

static const struct kvm_device_ops *device_ops[KVM_DEV_TYPE_MAX];

int kvm_register_device_ops(const struct kvm_device_ops *ops, u32 type)
{
	if (type >= ARRAY_SIZE(device_ops))
		return -ENOSPC;
	if (device_ops[type])
		return -EEXIST;
	device_ops[type] = ops;
	return 0;
}

void kvm_unregister_device_ops(u32 type)
{
	device_ops[type] = NULL;
}

typedef int (*attr_fn)(struct kvm_device *dev, struct kvm_device_attr *attr);

static long device_attr(struct kvm_device *dev, attr_fn fn, unsigned long arg)
{
	struct kvm_device_attr attr;

	if (!fn)
		return -EPERM;
	if (copy_from_client(&attr, arg, sizeof(attr)))
		return -EFAULT;
	return fn(dev, &attr);
}

static long kvm_device_ioctl(struct kvm_file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_device *dev = file->private_data;

	if (!kvm_vm_usable(dev->kvm))
		return -EIO;
	switch (cmd) {
	case KVM_SET_DEVICE_ATTR:
		return device_attr(dev, dev->ops->set_attr, arg);
	case KVM_GET_DEVICE_ATTR:
		return device_attr(dev, dev->ops->get_attr, arg);
	case KVM_HAS_DEVICE_ATTR:
		return device_attr(dev, dev->ops->has_attr, arg);
	}
	return -ENOTTY;
}

static void release(struct kvm_device *dev)
{
	struct kvm *kvm = dev->kvm;

	pthread_mutex_lock(&kvm->lock);
	list_del(&dev->vm_node);
	dev->ops->release(dev);
	pthread_mutex_unlock(&kvm->lock);
}

static void kvm_device_release(struct kvm_file *file)
{
	struct kvm_device *dev = file->private_data;
	struct kvm *kvm = dev->kvm;

	if (dev->ops->release)
		release(dev);
	kvm_put_kvm(kvm);
}

static const struct kvm_file_operations kvm_device_fops = {
	.name = "kvm-device",
	.ioctl = kvm_device_ioctl,
	.release = kvm_device_release,
};

/* Without a descriptor nobody can ask for it; what it did to the VM stays done, as in Linux. */
static void abandon(struct kvm_device *dev)
{
	if (dev->ops->release) {
		release(dev);
		return;
	}
	pthread_mutex_lock(&dev->kvm->lock);
	list_del(&dev->vm_node);
	pthread_mutex_unlock(&dev->kvm->lock);
	dev->ops->destroy(dev);
}

static int device_fd(struct kvm_device *dev)
{
	int fd = kvm_memfd(dev->ops->name, 0, true);

	if (fd >= 0) {
		kvm_get_kvm(dev->kvm);
		fd = kvm_file_install(&kvm_device_fops, dev, fd);
		if (fd < 0)
			kvm_put_kvm(dev->kvm);
	}
	if (fd < 0)
		abandon(dev);
	return fd;
}

long kvm_ioctl_create_device(struct kvm *kvm, struct kvm_create_device *cd)
{
	const struct kvm_device_ops *ops = cd->type < ARRAY_SIZE(device_ops) ? device_ops[cd->type] : NULL;
	struct kvm_device *dev;
	int ret;

	if (!ops)
		return -ENODEV;
	if (cd->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->ops = ops;
	dev->kvm = kvm;
	pthread_mutex_lock(&kvm->lock);
	ret = ops->create(dev, cd->type);
	if (!ret)
		list_add(&dev->vm_node, &kvm->devices);
	pthread_mutex_unlock(&kvm->lock);
	if (ret) {
		free(dev);
		return ret;
	}
	if (ops->init)
		ops->init(dev);
	ret = device_fd(dev);
	if (ret < 0)
		return ret;
	cd->fd = (u32)ret;
	return 0;
}

void kvm_destroy_devices(struct kvm *kvm)
{
	struct kvm_device *dev, *next;

	list_for_each_entry_safe(dev, next, &kvm->devices, vm_node) {
		list_del(&dev->vm_node);
		dev->ops->destroy(dev);
	}
}
