/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt routing: GSI -> pins of in-kernel interrupt controllers, or an MSI. The table is immutable;
 * kvm->irq_lock orders writers, readers hold kvm->irq_srcu.
 */
#include <stdlib.h>
#include <string.h>
#include "virt/uaccess.h"
#include "virt/vm.h"

static struct kvm_irq_routing_table *table_alloc(unsigned nr, u32 nr_gsis)
{
	struct kvm_irq_routing_table *rt = calloc(1, sizeof(*rt) + nr * sizeof(rt->entry[0]));

	if (!rt)
		return NULL;
	rt->gsi_start = calloc(nr_gsis + 1, sizeof(u32));
	if (!rt->gsi_start) {
		free(rt);
		return NULL;
	}
	memset(rt->chip, -1, sizeof(rt->chip));
	rt->nr_rt_entries = nr_gsis;
	rt->nr_entries = nr;
	return rt;
}

static void table_free(struct kvm_irq_routing_table *rt)
{
	if (rt)
		free(rt->gsi_start);
	free(rt);
}

int kvm_init_irq_routing(struct kvm *kvm)
{
	kvm->irq_routing = table_alloc(0, 1);
	return kvm->irq_routing ? 0 : -ENOMEM;
}

void kvm_free_irq_routing(struct kvm *kvm)
{
	table_free(kvm->irq_routing);
	kvm->irq_routing = NULL;
}

static const struct kvm_kernel_irq_routing_entry *gsi_entries(const struct kvm_irq_routing_table *rt, u32 gsi,
							      u32 *n)
{
	*n = 0;
	if (!rt || gsi >= rt->nr_rt_entries)
		return NULL;
	*n = rt->gsi_start[gsi + 1] - rt->gsi_start[gsi];
	return rt->entry + rt->gsi_start[gsi];
}

int kvm_irq_map_gsi(struct kvm *kvm, struct kvm_kernel_irq_routing_entry *entries, int gsi)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	const struct kvm_kernel_irq_routing_entry *e;
	u32 n;

	e = gsi_entries(srcu_dereference(kvm->irq_routing), (u32)gsi, &n);
	n = MIN(n, (u32)KVM_NR_IRQCHIPS);
	if (n)
		memcpy(entries, e, n * sizeof(*e));
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return (int)n;
}

int kvm_irq_map_chip_pin(struct kvm *kvm, unsigned irqchip, unsigned pin)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	struct kvm_irq_routing_table *rt = srcu_dereference(kvm->irq_routing);
	int gsi = rt && irqchip < KVM_NR_IRQCHIPS && pin < KVM_IRQCHIP_NUM_PINS ? rt->chip[irqchip][pin] : -1;

	srcu_read_unlock(&kvm->irq_srcu, idx);
	return gsi;
}

int kvm_set_irq(struct kvm *kvm, int irq_source_id, u32 gsi, int level, bool line_status)
{
	struct kvm_kernel_irq_routing_entry e[KVM_NR_IRQCHIPS];
	int n = kvm_irq_map_gsi(kvm, e, (int)gsi), ret = -1;

	if (irq_source_id == KVM_USERSPACE_IRQ_SOURCE_ID || irq_source_id == KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID)
		hyp_as_client_ran(kvm->as); /* a device's way to say that its DMA is done */
	while (n--) {
		int r = e[n].set(&e[n], kvm, irq_source_id, level, line_status);

		if (r >= 0)
			ret = r + (ret < 0 ? 0 : ret);
	}
	return ret;
}

int kvm_send_userspace_msi(struct kvm *kvm, struct kvm_msi *msi)
{
	struct kvm_kernel_irq_routing_entry e = { .type = KVM_IRQ_ROUTING_MSI };

	if (!kvm_arch_irqchip_in_kernel(kvm) || (msi->flags & ~KVM_MSI_VALID_DEVID))
		return -EINVAL;
	hyp_as_client_ran(kvm->as);
	e.msi.address_lo = msi->address_lo;
	e.msi.address_hi = msi->address_hi;
	e.msi.data = msi->data;
	e.msi.flags = msi->flags;
	e.msi.devid = msi->devid;
	return kvm_set_msi(&e, kvm, KVM_USERSPACE_IRQ_SOURCE_ID, 1, false);
}

/* ---- KVM_SET_GSI_ROUTING ----------------------------------------------------------------------------- */

/* A GSI may go to several irqchips, once to each; to anything else it goes alone. */
static bool conflicts(const struct kvm_irq_routing_entry *a, const struct kvm_irq_routing_entry *b)
{
	return a->gsi == b->gsi &&
	       (a->type != KVM_IRQ_ROUTING_IRQCHIP || b->type != KVM_IRQ_ROUTING_IRQCHIP ||
		a->u.irqchip.irqchip == b->u.irqchip.irqchip);
}

static int check_entry(const struct kvm_irq_routing_entry *ue)
{
	u32 valid = ue->type == KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0;

	return ue->gsi >= KVM_MAX_IRQ_ROUTES || (ue->flags & ~valid) ? -EINVAL : 0;
}

static int fill_entry(struct kvm *kvm, struct kvm_irq_routing_table *rt, u32 at,
		      const struct kvm_irq_routing_entry *ue)
{
	struct kvm_kernel_irq_routing_entry *e = &rt->entry[at];
	int err;

	e->gsi = ue->gsi;
	e->type = ue->type;
	err = kvm_set_routing_entry(kvm, e, ue);
	if (!err && e->type == KVM_IRQ_ROUTING_IRQCHIP)
		rt->chip[e->irqchip.irqchip][e->irqchip.pin] = (int)e->gsi;
	return err;
}

/* Counting sort by gsi; gsi_start[g] is used as the fill position and ends as the start of g + 1. */
static int table_fill(struct kvm *kvm, struct kvm_irq_routing_table *rt,
		      const struct kvm_irq_routing_entry *ue, unsigned nr)
{
	u32 *start = rt->gsi_start;

	for (unsigned i = 0; i < nr; i++)
		start[ue[i].gsi + 1]++;
	for (u32 g = 0; g < rt->nr_rt_entries; g++)
		start[g + 1] += start[g];
	for (unsigned i = 0; i < nr; i++) {
		int err = fill_entry(kvm, rt, start[ue[i].gsi]++, &ue[i]);

		if (err)
			return err;
	}
	memmove(start + 1, start, rt->nr_rt_entries * sizeof(*start));
	start[0] = 0;
	return 0;
}

static int check_entries(const struct kvm_irq_routing_entry *ue, unsigned nr, u32 *nr_gsis)
{
	*nr_gsis = 1;
	for (unsigned i = 0; i < nr; i++) {
		if (check_entry(&ue[i]))
			return -EINVAL;
		*nr_gsis = MAX(*nr_gsis, ue[i].gsi + 1);
		for (unsigned j = 0; j < i; j++)
			if (conflicts(&ue[i], &ue[j]))
				return -EINVAL;
	}
	return 0;
}

int kvm_set_irq_routing(struct kvm *kvm, const struct kvm_irq_routing_entry *ue, unsigned nr, unsigned flags)
{
	struct kvm_irq_routing_table *rt, *old;
	u32 nr_gsis;
	int err = check_entries(ue, nr, &nr_gsis);

	if (err)
		return err;
	rt = table_alloc(nr, nr_gsis);
	if (!rt)
		return -ENOMEM;
	err = table_fill(kvm, rt, ue, nr);
	if (err) {
		table_free(rt);
		return err;
	}
	pthread_mutex_lock(&kvm->irq_lock);
	old = kvm->irq_routing;
	rcu_assign_pointer(kvm->irq_routing, rt);
	pthread_mutex_unlock(&kvm->irq_lock);
	kvm_arch_post_irq_routing_update(kvm);
	synchronize_srcu(&kvm->irq_srcu);
	table_free(old);
	return 0;
}

long kvm_vm_ioctl_set_gsi_routing(struct kvm *kvm, unsigned long arg)
{
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry *ue;
	size_t size;
	long ret;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!kvm_arch_can_set_irq_routing(kvm) || head.nr > KVM_MAX_IRQ_ROUTES || head.flags)
		return -EINVAL;
	size = head.nr * sizeof(*ue);
	ue = malloc(size + 1);
	if (!ue)
		return -ENOMEM;
	ret = copy_from_client(ue, arg + sizeof(head), size);
	if (!ret)
		ret = kvm_set_irq_routing(kvm, ue, head.nr, head.flags);
	free(ue);
	return ret;
}

/* ---- acknowledgement ---- */

void kvm_notify_acked_gsi(struct kvm *kvm, int gsi)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	struct list_head *p = __atomic_load_n(&kvm->irq_ack_notifier_list.next, __ATOMIC_ACQUIRE);

	while (p != &kvm->irq_ack_notifier_list) {
		struct kvm_irq_ack_notifier *kian = list_entry(p, struct kvm_irq_ack_notifier, link);

		if ((int)kian->gsi == gsi)
			kian->irq_acked(kian);
		p = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE);
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

void kvm_notify_acked_irq(struct kvm *kvm, unsigned irqchip, unsigned pin)
{
	int gsi = kvm_irq_map_chip_pin(kvm, irqchip, pin);

	if (gsi != -1)
		kvm_notify_acked_gsi(kvm, gsi);
}

bool kvm_irq_has_notifier(struct kvm *kvm, unsigned irqchip, unsigned pin)
{
	int gsi = kvm_irq_map_chip_pin(kvm, irqchip, pin);
	int idx = srcu_read_lock(&kvm->irq_srcu);
	struct list_head *p = __atomic_load_n(&kvm->irq_ack_notifier_list.next, __ATOMIC_ACQUIRE);
	bool found = false;

	while (gsi != -1 && !found && p != &kvm->irq_ack_notifier_list) {
		found = (int)list_entry(p, struct kvm_irq_ack_notifier, link)->gsi == gsi;
		p = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE);
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return found;
}

void kvm_register_irq_ack_notifier(struct kvm *kvm, struct kvm_irq_ack_notifier *kian)
{
	struct list_head *head = &kvm->irq_ack_notifier_list;

	pthread_mutex_lock(&kvm->irq_lock);
	kian->link.next = head->next;
	kian->link.prev = head;
	head->next->prev = &kian->link;
	__atomic_store_n(&head->next, &kian->link, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&kvm->irq_lock);
	kvm_arch_post_irq_ack_notifier_list_update(kvm);
}

/* A reader standing on kian keeps its way out: kian->link.next stays until the grace period is over. */
void kvm_unregister_irq_ack_notifier(struct kvm *kvm, struct kvm_irq_ack_notifier *kian)
{
	pthread_mutex_lock(&kvm->irq_lock);
	__atomic_store_n(&kian->link.prev->next, kian->link.next, __ATOMIC_RELEASE);
	kian->link.next->prev = kian->link.prev;
	pthread_mutex_unlock(&kvm->irq_lock);
	synchronize_srcu(&kvm->irq_srcu);
	kvm_arch_post_irq_ack_notifier_list_update(kvm);
}
