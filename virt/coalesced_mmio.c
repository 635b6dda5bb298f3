/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coalesced MMIO and PIO: guest writes to a zone are put in a ring that user space drains at its next
 * exit. The ring is one page per VM, a memfd of its own, mapped as the third page of every vCPU's kvm_run.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/vm.h"

struct coalesced_dev {
	struct list_head link; /* kvm->coalesced_zones; slots_lock */
	struct kvm_io_device dev;
	struct kvm *kvm;
	struct kvm_coalesced_mmio_zone zone;
};

#define RING_MAX ((PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

int kvm_coalesced_mmio_init(struct kvm *kvm)
{
	void *ring;

	pthread_mutex_init(&kvm->ring_lock, NULL);
	list_init(&kvm->coalesced_zones);
	kvm->coalesced_mmio_fd = kvm_memfd("kvm-coalesced", PAGE_SIZE, true);
	if (kvm->coalesced_mmio_fd < 0)
		return kvm->coalesced_mmio_fd;
	ring = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, kvm->coalesced_mmio_fd, 0);
	if (ring == MAP_FAILED) {
		close(kvm->coalesced_mmio_fd);
		return -ENOMEM;
	}
	kvm->coalesced_mmio_ring = ring;
	return 0;
}

void kvm_coalesced_mmio_free(struct kvm *kvm)
{
	if (!kvm->coalesced_mmio_ring)
		return;
	munmap(kvm->coalesced_mmio_ring, PAGE_SIZE);
	close(kvm->coalesced_mmio_fd);
	kvm->coalesced_mmio_ring = NULL;
}

/* Puts the ring page over [addr, addr + 4096) of a client's mapping of kvm_run. */
void *kvm_coalesced_mmio_map(struct kvm *kvm, void *addr, int prot, int flags)
{
	return (void *)syscall(SYS_mmap, addr, PAGE_SIZE, prot, (flags & ~(MAP_FIXED_NOREPLACE)) | MAP_FIXED,
			       kvm->coalesced_mmio_fd, 0);
}

static bool in_zone(const struct kvm_coalesced_mmio_zone *z, gpa_t addr, u64 len)
{
	return addr + len >= addr && addr >= z->addr && addr + len <= z->addr + z->size;
}

static int ring_put(struct kvm_coalesced_mmio_ring *ring, const struct kvm_coalesced_mmio *entry)
{
	u32 insert = __atomic_load_n(&ring->last, __ATOMIC_RELAXED); /* the client can write it: check */

	if (insert >= RING_MAX || (insert + 1) % RING_MAX == __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
		return -EOPNOTSUPP; /* full: leave to user space the ordinary way */
	ring->coalesced_mmio[insert] = *entry;
	__atomic_store_n(&ring->last, (insert + 1) % RING_MAX, __ATOMIC_RELEASE);
	return 0;
}

static int coalesced_write(struct kvm_vcpu *vcpu, struct kvm_io_device *io, gpa_t addr, int len,
			   const void *val)
{
	struct coalesced_dev *dev = container_of(io, struct coalesced_dev, dev);
	struct kvm_coalesced_mmio entry = { .phys_addr = addr, .len = (u32)len, .pio = dev->zone.pio };
	int ret;

	if (!in_zone(&dev->zone, addr, (u64)len))
		return -EOPNOTSUPP;
	memcpy(entry.data, val, (size_t)len);
	pthread_mutex_lock(&dev->kvm->ring_lock);
	ret = ring_put(dev->kvm->coalesced_mmio_ring, &entry);
	pthread_mutex_unlock(&dev->kvm->ring_lock);
	return ret;
}

static void coalesced_destructor(struct kvm_io_device *io)
{
	struct coalesced_dev *dev = container_of(io, struct coalesced_dev, dev);

	list_del(&dev->link);
	free(dev);
}

static const struct kvm_io_device_ops coalesced_ops = {
	.write = coalesced_write,
	.destructor = coalesced_destructor,
};

static enum kvm_bus zone_bus(const struct kvm_coalesced_mmio_zone *zone)
{
	return zone->pio ? KVM_PIO_BUS : KVM_MMIO_BUS;
}

long kvm_vm_ioctl_register_coalesced_mmio(struct kvm *kvm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_dev *dev;
	int err;

	if (zone->pio > 1)
		return -EINVAL;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->kvm = kvm;
	dev->zone = *zone;
	list_init(&dev->link);
	kvm_iodevice_init(&dev->dev, &coalesced_ops);
	pthread_mutex_lock(&kvm->slots_lock);
	err = kvm_io_bus_register_dev(kvm, zone_bus(zone), zone->addr, (int)zone->size, &dev->dev);
	if (err)
		free(dev);
	else
		list_add_tail(&dev->link, &kvm->coalesced_zones);
	pthread_mutex_unlock(&kvm->slots_lock);
	return err;
}

long kvm_vm_ioctl_unregister_coalesced_mmio(struct kvm *kvm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_dev *dev, *n;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	list_for_each_entry_safe(dev, n, &kvm->coalesced_zones, link)
		if (zone->pio == dev->zone.pio && in_zone(&dev->zone, zone->addr, zone->size))
			kvm_io_bus_unregister_dev(kvm, zone_bus(zone), &dev->dev);
	pthread_mutex_unlock(&kvm->slots_lock);
	return 0;
}
