/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virt/ requires of arch/<guest>: Linux's kvm_arch_* functions. Each returns 0 or -errno
 * unless said otherwise. Ioctl arguments given as `argp` are client addresses: they are followed only
 * by copy_from_client / copy_to_client (virt/uaccess.h).
 */
#ifndef KUSE_VIRT_KVM_ARCH_H
#define KUSE_VIRT_KVM_ARCH_H

#include "virt/kvm_host.h"
#include "virt/path.h"

/* ---- start-up --------------------------------------------------------------------------------- */
struct kvm_init_step {
	const char *name;                /* Linux's */
	int (*init)(const char **verdict, const char **remedy);
	void (*exit)(void);              /* NULL: nothing to undo */
};
/* The whole chain, in Linux's order for this architecture, the generic steps included. */
extern const struct kvm_init_step kvm_arch_init_steps[];
extern const size_t kvm_arch_nr_init_steps;

/* The i-th parameter of the vendor's module (virt/path.h), NULL after the last. */
const struct kvm_module_param *kvm_arch_module_param(unsigned i);
/* sys.h: kuse_cpuid_hides_kvm, kuse_cpuid. */
bool kvm_arch_cpuid_hides_kvm(void);
void kvm_arch_client_cpuid(u32 regs[4], u32 leaf, u32 subleaf);

/* ---- virtual machines ------------------------------------------------------------------------- */
int kvm_arch_init_vm(struct kvm *kvm, unsigned long type);
void kvm_arch_pre_destroy_vm(struct kvm *kvm);
void kvm_arch_destroy_vm(struct kvm *kvm);
/* KVM_CHECK_EXTENSION; kvm is NULL on the system fd. */
int kvm_vm_ioctl_check_extension(struct kvm *kvm, long ext);
int kvm_vm_ioctl_enable_cap(struct kvm *kvm, struct kvm_enable_cap *cap);
/* Does this type of VM have private memory? NULL: does any? */
bool kvm_arch_has_private_mem(struct kvm *kvm);
/* Memory flags this architecture knows besides LOG_DIRTY_PAGES. */
u32 kvm_arch_valid_mem_flags(void);
/* May a slot lie there? 0 or -errno; what the CPU itself cannot have is refused anyway. */
int kvm_arch_check_memory_region(struct kvm *kvm, gpa_t gpa, u64 size);
/* Address spaces this VM has: 1, or KVM_MAX_NR_ADDRESS_SPACES. */
int kvm_arch_nr_memslot_as_ids(struct kvm *kvm);

/* ---- ioctls not handled by virt/: -ENOTTY where unknown ------------------------------------------ */
long kvm_arch_dev_ioctl(unsigned int ioctl, unsigned long arg);
long kvm_arch_vm_ioctl(struct kvm *kvm, unsigned int ioctl, unsigned long arg);
long kvm_arch_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long arg);

/* ---- virtual CPUs ------------------------------------------------------------------------------- */
int kvm_arch_vcpu_precreate(struct kvm *kvm, unsigned id);
int kvm_arch_vcpu_create(struct kvm_vcpu *vcpu); /* vcpu->hyp and vcpu->run exist */
void kvm_arch_vcpu_postcreate(struct kvm_vcpu *vcpu);
void kvm_arch_vcpu_destroy(struct kvm_vcpu *vcpu);
/* vcpu_load'ed KVM_RUN. 0 or -errno. */
int kvm_arch_vcpu_ioctl_run(struct kvm_vcpu *vcpu);
bool kvm_arch_vcpu_runnable(struct kvm_vcpu *vcpu);
/* The guest has asked KVM not to poll when it halts. */
bool kvm_arch_no_poll(struct kvm_vcpu *vcpu);
/* The vCPU is about to sleep; on its thread. */
void kvm_arch_vcpu_blocking(struct kvm_vcpu *vcpu);
/* One word for an enum hyp_exit, for people. */
const char *kvm_arch_exit_name(unsigned reason);

/* ---- interrupts ----------------------------------------------------------------------------------- */
bool kvm_arch_irqchip_in_kernel(struct kvm *kvm);
bool kvm_arch_irqfd_allowed(struct kvm *kvm, bool resample);
bool kvm_arch_can_set_irq_routing(struct kvm *kvm);
/* Fills e from user space's ue: type checks, e->set. 0 or -EINVAL. */
int kvm_set_routing_entry(struct kvm *kvm, struct kvm_kernel_irq_routing_entry *e,
			  const struct kvm_irq_routing_entry *ue);
/* The table was replaced (split irqchip: EOI bitmaps must be computed anew). */
void kvm_arch_post_irq_routing_update(struct kvm *kvm);
void kvm_arch_post_irq_ack_notifier_list_update(struct kvm *kvm);
/* Delivers an MSI. As kvm_set_irq. */
int kvm_set_msi(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id, int level,
		bool line_status);
/* Delivery from a context that may not sleep; -EWOULDBLOCK: use kvm_set_irq. */
int kvm_arch_set_irq_inatomic(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			      int level, bool line_status);
int kvm_vm_ioctl_irq_line(struct kvm *kvm, struct kvm_irq_level *irq_event, bool line_status);

#endif
