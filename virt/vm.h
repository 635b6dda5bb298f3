/* SPDX-License-Identifier: Apache-2.0 */
/* virt/'s own seams: what its files offer each other. arch/ does not include this. */
#ifndef KUSE_VIRT_VM_H
#define KUSE_VIRT_VM_H

#include "virt/file.h"
#include "virt/kvm_host.h"

/* Pages of kvm_run's mapping: the run page, what the architecture adds (x86: PIO data), the coalesced ring.
 * */
#define KUSE_RUN_SIZE ((KVM_COALESCED_MMIO_PAGE_OFFSET + 1ul) * PAGE_SIZE)

extern const struct kvm_file_operations kvm_chardev_ops; /* kvm_main.c: the kvm fd */
extern const struct kvm_file_operations kvm_vm_fops;     /* kvm_main.c */
extern const struct kvm_file_operations kvm_vcpu_fops;   /* vcpu.c */

/* vcpu.c */
long kvm_vm_ioctl_create_vcpu(struct kvm *kvm, unsigned long id);
void kvm_destroy_vcpus(struct kvm *kvm);

bool kvm_vm_usable(struct kvm *kvm); /* kvm_main.c: not dead, not in a forked child */

/* check.c: capabilities that do not depend on the architecture */
int kvm_vm_ioctl_check_extension_generic(struct kvm *kvm, long ext);
int kvm_vm_ioctl_enable_cap_generic(struct kvm *kvm, struct kvm_enable_cap *cap);

/* client.c */
void kvm_client_add_vm(struct kvm *kvm);
void kvm_client_del_vm(struct kvm *kvm);
void kvm_client_memory_add(u64 start, u64 size); /* client memory is about to be a slot */

/* memslot.c, dirty.c */
int kvm_memslots_init(struct kvm *kvm);
void kvm_memslots_destroy(struct kvm *kvm);
long kvm_vm_ioctl_set_memory_region(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem);
bool kvm_are_all_memslots_empty(struct kvm *kvm); /* slots_lock held */
bool kvm_memslot_id_valid(struct kvm *kvm, u32 id); /* as_id << 16 | slot: in range? */
static inline struct kvm_memory_slot *kvm_id_to_memslot(struct kvm *kvm, u32 id)
{
	struct kvm_memory_slot **page =
		srcu_dereference(kvm->memslots[id >> 16]->page[(u16)id / KVM_MEMSLOTS_PAGE]);

	return page ? srcu_dereference(page[(u16)id % KVM_MEMSLOTS_PAGE]) : NULL;
}
bool kvm_use_dirty_bitmap(struct kvm *kvm);
void kvm_rearm_dirty(struct kvm *kvm, const struct kvm_memory_slot *slot, u64 first, u64 mask);
long kvm_vm_ioctl_get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log);
long kvm_vm_ioctl_clear_dirty_log(struct kvm *kvm, const struct kvm_clear_dirty_log *log);
u64 *kvm_alloc_dirty_bitmap(u64 npages, bool all_set);
/* dirty_mark.c, guest-live: hyp_as_ops.mark_dirty, and the vCPU whose ioctl the calling thread is in */
extern __thread struct kvm_vcpu *kvm_loaded_vcpu __attribute__((tls_model("initial-exec")));
bool kvm_mark_page_dirty(void *opaque, struct hyp_cpu *cpu, u32 region_id, gpa_t gpa);

/* dirty_ring.c */
#define KVM_DIRTY_RING_MAX_SIZE (65536u * (u32)sizeof(struct kvm_dirty_gfn))
struct kvm_map_as { /* arguments of the client's mmap */
	int prot, flags;
};
int kvm_dirty_ring_alloc(struct kvm_dirty_ring *ring, u32 size);
void kvm_dirty_ring_free(struct kvm_dirty_ring *ring);
bool kvm_dirty_ring_may_map(const struct kvm *kvm, size_t len, off_t off, int prot, int flags);
/* Puts the ring's pages over those of a client's mapping of the vcpu fd that they belong to. 0 or -errno. */
int kvm_dirty_ring_map(struct kvm_vcpu *vcpu, char *at, size_t len, off_t off, struct kvm_map_as how);
long kvm_vm_ioctl_enable_dirty_log_ring(struct kvm *kvm, u32 size);
long kvm_vm_ioctl_reset_dirty_pages(struct kvm *kvm);

/* guest_memfd.c; all but create and get with kvm->slots_lock held */
extern const struct kvm_file_operations kvm_gmem_fops;
long kvm_gmem_create(struct kvm *kvm, const struct kvm_create_guest_memfd *args);
/* A reference to what the client's descriptor is, which need not be a guest_memfd. 0, -EBADF, -EINVAL. */
int kvm_gmem_get(int fd, struct kvm_file **file);
int kvm_gmem_bind(struct kvm *kvm, struct kvm_memory_slot *slot, struct kvm_file *file, u64 offset);
void kvm_gmem_unbind(struct kvm_memory_slot *slot);
u8 *kvm_gmem_hva(const struct kvm_memory_slot *slot); /* NULL: not bound */
/* memslot.c: the slot's private pages are gone. 0 or -ENOMEM: the CPU still has them. */
int kvm_memslot_drop_gmem(struct kvm *kvm, struct kvm_memory_slot *slot);

/* attributes.c */
u64 kvm_supported_mem_attributes(struct kvm *kvm);
long kvm_vm_ioctl_set_mem_attributes(struct kvm *kvm, const struct kvm_memory_attributes *attrs);
long kvm_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, unsigned long arg);

/* device.c */
long kvm_ioctl_create_device(struct kvm *kvm, struct kvm_create_device *cd);
void kvm_destroy_devices(struct kvm *kvm);

/* io_bus.c */
int kvm_io_buses_init(struct kvm *kvm);
void kvm_io_buses_destroy(struct kvm *kvm);

/* irqchip.c */
int kvm_init_irq_routing(struct kvm *kvm);
long kvm_vm_ioctl_set_gsi_routing(struct kvm *kvm, unsigned long arg);

/* coalesced_mmio.c */
int kvm_coalesced_mmio_init(struct kvm *kvm);
void kvm_coalesced_mmio_free(struct kvm *kvm);
void *kvm_coalesced_mmio_map(struct kvm *kvm, void *addr, int prot, int flags);
long kvm_vm_ioctl_register_coalesced_mmio(struct kvm *kvm, const struct kvm_coalesced_mmio_zone *zone);
long kvm_vm_ioctl_unregister_coalesced_mmio(struct kvm *kvm, const struct kvm_coalesced_mmio_zone *zone);

/* irqfd.c, ioeventfd.c */
void kvm_eventfd_init(struct kvm *kvm);
long kvm_irqfd(struct kvm *kvm, const struct kvm_irqfd *args);
void kvm_irqfd_release(struct kvm *kvm);
long kvm_ioeventfd(struct kvm *kvm, const struct kvm_ioeventfd *args);

#endif
