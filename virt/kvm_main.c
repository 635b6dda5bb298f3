/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kvm fd and the vm fd: kvm_dev_ioctl, kvm_create_vm, kvm_vm_ioctl.
 *
 * Reference counts are Linux's: the vm fd holds one on struct kvm, every vcpu fd holds another, so
 * descriptors may be closed in any order. After fork() the child must not run the parent's VM: its
 * mm differs (virt/process.c) and every ioctl fails with -EIO, as on Linux where kvm->mm != current->mm.
 */
#include <stdlib.h>
#include <unistd.h>
#include "virt/ioctl.h"
#include "virt/process.h"
#include "virt/stat_page.h"
#include "virt/stats.h"
#include "virt/uaccess.h"
#include "virt/vm.h"

bool kvm_vm_usable(struct kvm *kvm)
{
	return kvm->mm == kvm_current_mm() && !__atomic_load_n(&kvm->vm_dead, __ATOMIC_RELAXED);
}

void kvm_vm_dead(struct kvm *kvm)
{
	__atomic_store_n(&kvm->vm_dead, true, __ATOMIC_SEQ_CST);
	kvm_make_all_cpus_request(kvm, KVM_REQ_VM_DEAD);
}

void kvm_vm_bugged(struct kvm *kvm, const char *why)
{
	(void)why;
	kvm->vm_bugged = true;
	kvm_vm_dead(kvm);
}

/* ---- life of a VM -------------------------------------------------------------------------------- */

static void as_quiesce(void *opaque)
{
	struct kvm *kvm = opaque;

	synchronize_srcu(&kvm->srcu);
}

static const struct hyp_as_ops as_ops = { .mark_dirty = kvm_mark_page_dirty, .quiesce = as_quiesce };

static void init_locks(struct kvm *kvm)
{
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_mutex_init(&kvm->irq_lock, NULL);
	init_srcu_struct(&kvm->srcu);
	init_srcu_struct(&kvm->irq_srcu);
	list_init(&kvm->irq_ack_notifier_list);
	list_init(&kvm->vm_list);
}

static int create_as(struct kvm *kvm)
{
	kvm->as = hyp_as_create(&as_ops, kvm);
	return kvm->as ? 0 : -ENOMEM;
}

static void destroy_as(struct kvm *kvm)
{
	hyp_as_destroy(kvm->as);
}

/* The parts of a VM, in the order in which Linux makes them; undone in reverse. */
static const struct {
	int (*create)(struct kvm *kvm);
	void (*destroy)(struct kvm *kvm);
} vm_parts[] = {
	{ kvm_stat_page_create, kvm_stat_page_destroy },
	{ create_as, destroy_as },
	{ kvm_memslots_init, kvm_memslots_destroy },
	{ kvm_init_irq_routing, kvm_free_irq_routing },
	{ kvm_io_buses_init, kvm_io_buses_destroy },
	{ kvm_timer_service_create, kvm_timer_service_destroy },
	{ kvm_coalesced_mmio_init, kvm_coalesced_mmio_free },
};

static void destroy_parts(struct kvm *kvm, size_t n)
{
	while (n--)
		vm_parts[n].destroy(kvm);
	free(kvm);
}

static struct kvm *kvm_create_vm(unsigned long type, int *err)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm));

	*err = -ENOMEM;
	if (!kvm)
		return NULL;
	kvm_perf_map_init();
	init_locks(kvm);
	kvm_eventfd_init(kvm);
	list_init(&kvm->devices);
	kvm->users_count = 1;
	kvm->max_vcpus = KVM_MAX_VCPUS;
	kvm->max_halt_poll_ns = KVM_HALT_POLL_NS_DEFAULT;
	kvm->mm = kvm_current_mm();
	for (size_t i = 0; i < ARRAY_SIZE(vm_parts); i++) {
		*err = vm_parts[i].create(kvm);
		if (*err) {
			destroy_parts(kvm, i);
			return NULL;
		}
	}
	*err = kvm_arch_init_vm(kvm, type);
	if (*err) {
		destroy_parts(kvm, ARRAY_SIZE(vm_parts));
		return NULL;
	}
	kvm_client_add_vm(kvm);
	return kvm;
}

static void kvm_destroy_vm(struct kvm *kvm)
{
	kvm_client_del_vm(kvm);
	kvm_perf_map_flush();
	kvm_arch_pre_destroy_vm(kvm);
	kvm_destroy_vcpus(kvm);
	kvm_arch_destroy_vm(kvm);
	kvm_destroy_devices(kvm);
	destroy_parts(kvm, ARRAY_SIZE(vm_parts));
}

void kvm_get_kvm(struct kvm *kvm)
{
	__atomic_add_fetch(&kvm->users_count, 1, __ATOMIC_RELAXED);
}

void kvm_put_kvm(struct kvm *kvm)
{
	if (!__atomic_sub_fetch(&kvm->users_count, 1, __ATOMIC_ACQ_REL))
		kvm_destroy_vm(kvm);
}

static void vm_release(struct kvm_file *file)
{
	struct kvm *kvm = file->private_data;

	kvm_irqfd_release(kvm);
	kvm_put_kvm(kvm);
}

/* ---- kvm fd -------------------------------------------------------------------------------------- */

static long dev_get_api_version(void *obj, void *data, unsigned long arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

static long dev_create_vm(void *obj, void *data, unsigned long arg)
{
	int err, fd = kvm_memfd("kvm-vm", 0, true);
	struct kvm *kvm;

	if (fd < 0)
		return fd;
	kvm = kvm_create_vm(arg, &err);
	if (!kvm) {
		close(fd);
		return err;
	}
	fd = kvm_file_install(&kvm_vm_fops, kvm, fd);
	if (fd < 0)
		kvm_put_kvm(kvm);
	return fd;
}

static long dev_check_extension(void *obj, void *data, unsigned long arg)
{
	return kvm_vm_ioctl_check_extension_generic(NULL, (long)arg);
}

static long dev_get_vcpu_mmap_size(void *obj, void *data, unsigned long arg)
{
	return arg ? -EINVAL : (long)KUSE_RUN_SIZE;
}

static const struct kvm_ioctl_row dev_ioctls[] = {
	IOCTL_ROW(KVM_GET_API_VERSION, ARG_PLAIN, dev_get_api_version),
	IOCTL_ROW(KVM_CREATE_VM, ARG_PLAIN, dev_create_vm),
	IOCTL_ROW(KVM_CHECK_EXTENSION, ARG_PLAIN, dev_check_extension),
	IOCTL_ROW(KVM_GET_VCPU_MMAP_SIZE, ARG_PLAIN, dev_get_vcpu_mmap_size),
};
IOCTL_TABLE('D', dev_ioctls);

static long kvm_dev_ioctl(struct kvm_file *file, unsigned int cmd, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(dev_ioctls, ARRAY_SIZE(dev_ioctls), cmd);

	return row ? kvm_ioctl_call(row, NULL, arg) : kvm_arch_dev_ioctl(cmd, arg);
}

const struct kvm_file_operations kvm_chardev_ops = { .name = "kvm", .ioctl = kvm_dev_ioctl };

/* ---- vm fd --------------------------------------------------------------------------------------- */

#define VM_IOCTL(fn, call)                                                    \
	static long fn(void *obj, void *data, unsigned long arg)              \
	{                                                                     \
		struct kvm *kvm = obj;                                        \
		(void)kvm, (void)data, (void)arg;                             \
		return call;                                                  \
	}

VM_IOCTL(vm_create_vcpu, kvm_vm_ioctl_create_vcpu(kvm, arg))
VM_IOCTL(vm_enable_cap, kvm_vm_ioctl_enable_cap_generic(kvm, data))
VM_IOCTL(vm_set_memory_region2, kvm_vm_ioctl_set_memory_region(kvm, data))
VM_IOCTL(vm_get_dirty_log, kvm_vm_ioctl_get_dirty_log(kvm, data))
VM_IOCTL(vm_clear_dirty_log, kvm_vm_ioctl_clear_dirty_log(kvm, data))
VM_IOCTL(vm_create_guest_memfd, kvm_gmem_create(kvm, data))
VM_IOCTL(vm_set_mem_attributes, kvm_vm_ioctl_set_mem_attributes(kvm, data))
VM_IOCTL(vm_reset_dirty_rings, kvm_vm_ioctl_reset_dirty_pages(kvm))
VM_IOCTL(vm_register_coalesced, kvm_vm_ioctl_register_coalesced_mmio(kvm, data))
VM_IOCTL(vm_unregister_coalesced, kvm_vm_ioctl_unregister_coalesced_mmio(kvm, data))
VM_IOCTL(vm_irqfd, kvm_irqfd(kvm, data))
VM_IOCTL(vm_ioeventfd, kvm_ioeventfd(kvm, data))
VM_IOCTL(vm_signal_msi, kvm_send_userspace_msi(kvm, data))
VM_IOCTL(vm_irq_line, kvm_vm_ioctl_irq_line(kvm, data, false))
VM_IOCTL(vm_irq_line_status, kvm_vm_ioctl_irq_line(kvm, data, true))
VM_IOCTL(vm_set_gsi_routing, kvm_vm_ioctl_set_gsi_routing(kvm, arg))
VM_IOCTL(vm_check_extension, kvm_vm_ioctl_check_extension_generic(kvm, (long)arg))
VM_IOCTL(vm_get_stats_fd, kvm_vm_ioctl_get_stats_fd(kvm))
VM_IOCTL(vm_create_device, kvm_ioctl_create_device(kvm, data))

static long vm_set_memory_region(void *obj, void *data, unsigned long arg)
{
	const struct kvm_userspace_memory_region *mem = data;
	struct kvm_userspace_memory_region2 mem2 = { .slot = mem->slot, .flags = mem->flags };

	if (mem->flags & KVM_MEM_GUEST_MEMFD) /* that flag's fields are in the longer structure only */
		return -EINVAL;
	mem2.guest_phys_addr = mem->guest_phys_addr;
	mem2.memory_size = mem->memory_size;
	mem2.userspace_addr = mem->userspace_addr;
	return kvm_vm_ioctl_set_memory_region(obj, &mem2);
}

static const struct kvm_ioctl_row vm_ioctls[] = {
	IOCTL_ROW(KVM_IRQ_LINE, ARG_IN, vm_irq_line),
	IOCTL_ROW(KVM_IRQ_LINE_STATUS, ARG_IN | ARG_OUT, vm_irq_line_status),
	IOCTL_ROW(KVM_SIGNAL_MSI, ARG_IN, vm_signal_msi),
	IOCTL_ROW(KVM_CREATE_VCPU, ARG_PLAIN, vm_create_vcpu),
	IOCTL_ROW(KVM_ENABLE_CAP, ARG_IN, vm_enable_cap),
	IOCTL_ROW(KVM_SET_USER_MEMORY_REGION, ARG_IN, vm_set_memory_region),
	IOCTL_ROW(KVM_SET_USER_MEMORY_REGION2, ARG_IN, vm_set_memory_region2),
	IOCTL_ROW(KVM_GET_DIRTY_LOG, ARG_IN, vm_get_dirty_log),
	IOCTL_ROW(KVM_CLEAR_DIRTY_LOG, ARG_IN, vm_clear_dirty_log),
	IOCTL_ROW(KVM_CREATE_GUEST_MEMFD, ARG_IN, vm_create_guest_memfd),
	IOCTL_ROW(KVM_SET_MEMORY_ATTRIBUTES, ARG_IN, vm_set_mem_attributes),
	IOCTL_ROW(KVM_RESET_DIRTY_RINGS, ARG_PLAIN, vm_reset_dirty_rings),
	IOCTL_ROW(KVM_REGISTER_COALESCED_MMIO, ARG_IN, vm_register_coalesced),
	IOCTL_ROW(KVM_UNREGISTER_COALESCED_MMIO, ARG_IN, vm_unregister_coalesced),
	IOCTL_ROW(KVM_IRQFD, ARG_IN, vm_irqfd),
	IOCTL_ROW(KVM_IOEVENTFD, ARG_IN, vm_ioeventfd),
	IOCTL_ROW(KVM_SET_GSI_ROUTING, ARG_PLAIN, vm_set_gsi_routing),
	IOCTL_ROW(KVM_CHECK_EXTENSION, ARG_PLAIN, vm_check_extension),
	IOCTL_ROW(KVM_CREATE_DEVICE, ARG_IN | ARG_OUT, vm_create_device),
	IOCTL_ROW(KVM_GET_STATS_FD, ARG_PLAIN, vm_get_stats_fd),
};
IOCTL_TABLE('V', vm_ioctls);

static long kvm_vm_ioctl(struct kvm_file *file, unsigned int cmd, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(vm_ioctls, ARRAY_SIZE(vm_ioctls), cmd);
	struct kvm *kvm = file->private_data;

	if (!kvm_vm_usable(kvm))
		return -EIO;
	return row ? kvm_ioctl_call(row, kvm, arg) : kvm_arch_vm_ioctl(kvm, cmd, arg);
}

const struct kvm_file_operations kvm_vm_fops = { .name = "kvm-vm", .ioctl = kvm_vm_ioctl, .release = vm_release };
