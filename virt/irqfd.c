/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irqfd: an eventfd that raises a GSI. One thread per VM, started with the first irqfd, waits for all of
 * them with epoll.
 *
 * Resampling (level-triggered) irqfds of one GSI share a resampler: the eventfd asserts the line; the
 * guest's EOI, reported by the in-kernel irqchip as an ack notification, de-asserts it and signals every
 * resamplefd, upon which user space asserts again if its device still wants attention.
 *
 * Locks: service->lock (the list; held while an event is delivered, so that a deassign that has taken it
 * knows no further interrupt comes) > resampler_lock > what kvm_set_irq takes. The ack path takes
 * resampler_lock only.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "virt/vm.h"
#include "virt/worker.h"

struct kvm_irqfd_service {
	pthread_mutex_t lock;
	pthread_mutex_t resampler_lock;
	pthread_t thread;
	int epoll;
	int stop; /* eventfd, epoll key 0 */
	u64 next_key;
};

struct resampler {
	struct kvm *kvm;
	struct list_head link;   /* kvm->resampler_list; service->lock */
	struct list_head irqfds; /* resampler_lock */
	struct kvm_irq_ack_notifier notifier;
};

struct irqfd {
	struct list_head link; /* kvm->irqfds; service->lock */
	struct list_head resampler_link;
	struct resampler *resampler; /* NULL: edge */
	struct kvm_eventfd eventfd, resamplefd;
	u32 gsi;
	u64 key; /* in epoll_data: an event of a freed irqfd finds no one */
};

void kvm_eventfd_init(struct kvm *kvm)
{
	list_init(&kvm->irqfds);
	list_init(&kvm->resampler_list);
	list_init(&kvm->ioeventfds);
}

/* ---- delivery ---------------------------------------------------------------------------------------- */

static void inject(struct kvm *kvm, struct irqfd *irqfd)
{
	if (irqfd->resampler) {
		kvm_set_irq(kvm, KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID, irqfd->gsi, 1, false);
		return;
	}
	kvm_set_irq(kvm, KVM_USERSPACE_IRQ_SOURCE_ID, irqfd->gsi, 1, false);
	kvm_set_irq(kvm, KVM_USERSPACE_IRQ_SOURCE_ID, irqfd->gsi, 0, false);
}

static void deliver(struct kvm *kvm, u64 key)
{
	struct kvm_irqfd_service *s = kvm->irqfd_service;
	struct irqfd *irqfd;

	pthread_mutex_lock(&s->lock);
	list_for_each_entry(irqfd, &kvm->irqfds, link)
		if (irqfd->key == key) {
			if (kvm_eventfd_consume(&irqfd->eventfd))
				inject(kvm, irqfd);
			break;
		}
	pthread_mutex_unlock(&s->lock);
}

static void *service_thread(void *arg)
{
	struct kvm *kvm = arg;
	struct epoll_event ev[16];

	for (;;) {
		int n = epoll_wait(kvm->irqfd_service->epoll, ev, ARRAY_SIZE(ev), -1);

		for (int i = 0; i < n; i++) {
			if (!ev[i].data.u64)
				return NULL;
			deliver(kvm, ev[i].data.u64);
		}
		if (n < 0 && errno != EINTR)
			return NULL;
	}
}

static void resampler_ack(struct kvm_irq_ack_notifier *kian)
{
	struct resampler *r = container_of(kian, struct resampler, notifier);
	struct kvm_irqfd_service *s = r->kvm->irqfd_service;
	struct irqfd *irqfd;

	kvm_set_irq(r->kvm, KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID, kian->gsi, 0, false);
	pthread_mutex_lock(&s->resampler_lock);
	list_for_each_entry(irqfd, &r->irqfds, resampler_link)
		kvm_eventfd_signal(&irqfd->resamplefd);
	pthread_mutex_unlock(&s->resampler_lock);
}

/* ---- the service ------------------------------------------------------------------------------------- */

static int epoll_add(struct kvm_irqfd_service *s, int fd, u64 key)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = key };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static void service_free(struct kvm_irqfd_service *s)
{
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->stop >= 0)
		close(s->stop);
	free(s);
}

/* kvm->lock held. */
static int service_start(struct kvm *kvm)
{
	struct kvm_irqfd_service *s;
	int err;

	if (kvm->irqfd_service)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->resampler_lock, NULL);
	s->next_key = 1;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = s->epoll < 0 || s->stop < 0 ? -errno : epoll_add(s, s->stop, 0);
	if (!err) {
		kvm->irqfd_service = s;
		err = kvm_worker_create(&s->thread, "kvm-irqfd", service_thread, kvm);
	}
	if (err) {
		kvm->irqfd_service = NULL;
		service_free(s);
	}
	return err;
}

/* ---- resamplers (service->lock held) ---- */

static struct resampler *resampler_find(struct kvm *kvm, u32 gsi)
{
	struct resampler *r;

	list_for_each_entry(r, &kvm->resampler_list, link)
		if (r->notifier.gsi == gsi)
			return r;
	return NULL;
}

static int resampler_join(struct kvm *kvm, struct irqfd *irqfd)
{
	struct resampler *r = resampler_find(kvm, irqfd->gsi);
	bool fresh = !r;

	if (fresh) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return -ENOMEM;
		r->kvm = kvm;
		list_init(&r->irqfds);
		r->notifier = (struct kvm_irq_ack_notifier){ .gsi = irqfd->gsi, .irq_acked = resampler_ack };
		list_add(&r->link, &kvm->resampler_list);
	}
	pthread_mutex_lock(&kvm->irqfd_service->resampler_lock);
	list_add_tail(&irqfd->resampler_link, &r->irqfds);
	pthread_mutex_unlock(&kvm->irqfd_service->resampler_lock);
	irqfd->resampler = r;
	if (fresh)
		kvm_register_irq_ack_notifier(kvm, &r->notifier);
	return 0;
}

static void resampler_leave(struct kvm *kvm, struct irqfd *irqfd)
{
	struct resampler *r = irqfd->resampler;
	bool last;

	if (!r)
		return;
	pthread_mutex_lock(&kvm->irqfd_service->resampler_lock);
	list_del(&irqfd->resampler_link);
	last = list_empty(&r->irqfds);
	pthread_mutex_unlock(&kvm->irqfd_service->resampler_lock);
	if (!last)
		return;
	list_del(&r->link);
	kvm_unregister_irq_ack_notifier(kvm, &r->notifier);
	kvm_set_irq(kvm, KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID, r->notifier.gsi, 0, false);
	free(r);
}

/* ---- assign, deassign ---- */

static void irqfd_free(struct irqfd *irqfd)
{
	kvm_eventfd_put(&irqfd->eventfd);
	kvm_eventfd_put(&irqfd->resamplefd);
	free(irqfd);
}

static int irqfd_open(struct irqfd *irqfd, const struct kvm_irqfd *args)
{
	int err = kvm_eventfd_get(&irqfd->eventfd, (int)args->fd);

	if (!err && (args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		err = kvm_eventfd_get(&irqfd->resamplefd, (int)args->resamplefd);
	return err;
}

static bool eventfd_in_use(struct kvm *kvm, u64 id)
{
	struct irqfd *irqfd;

	list_for_each_entry(irqfd, &kvm->irqfds, link)
		if (irqfd->eventfd.id == id)
			return true;
	return false;
}

/* service->lock held */
static int irqfd_link(struct kvm *kvm, struct irqfd *irqfd, bool resample)
{
	struct kvm_irqfd_service *s = kvm->irqfd_service;
	int err;

	if (eventfd_in_use(kvm, irqfd->eventfd.id))
		return -EBUSY;
	err = resample ? resampler_join(kvm, irqfd) : 0;
	if (err)
		return err;
	irqfd->key = s->next_key++;
	list_add_tail(&irqfd->link, &kvm->irqfds);
	err = epoll_add(s, irqfd->eventfd.fd, irqfd->key); /* level: an event already pending is delivered */
	if (err) {
		list_del(&irqfd->link);
		resampler_leave(kvm, irqfd);
	}
	return err;
}

static int irqfd_assign(struct kvm *kvm, const struct kvm_irqfd *args)
{
	bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;
	struct irqfd *irqfd;
	int err;

	if (!kvm_arch_irqfd_allowed(kvm, resample))
		return -EINVAL;
	irqfd = calloc(1, sizeof(*irqfd));
	if (!irqfd)
		return -ENOMEM;
	irqfd->gsi = args->gsi;
	irqfd->eventfd.fd = irqfd->resamplefd.fd = -1;
	err = irqfd_open(irqfd, args);
	if (!err) {
		pthread_mutex_lock(&kvm->lock);
		err = service_start(kvm);
		pthread_mutex_unlock(&kvm->lock);
	}
	if (!err) {
		pthread_mutex_lock(&kvm->irqfd_service->lock);
		err = irqfd_link(kvm, irqfd, resample);
		pthread_mutex_unlock(&kvm->irqfd_service->lock);
	}
	if (err)
		irqfd_free(irqfd);
	return err;
}

/* service->lock held */
static void irqfd_shutdown(struct kvm *kvm, struct irqfd *irqfd)
{
	list_del(&irqfd->link);
	epoll_ctl(kvm->irqfd_service->epoll, EPOLL_CTL_DEL, irqfd->eventfd.fd, NULL);
	resampler_leave(kvm, irqfd);
	irqfd_free(irqfd);
}

static int irqfd_deassign(struct kvm *kvm, const struct kvm_irqfd *args)
{
	struct kvm_irqfd_service *s = kvm->irqfd_service;
	struct irqfd *irqfd, *n;
	struct kvm_eventfd ev;
	int err = kvm_eventfd_get(&ev, (int)args->fd);

	if (err || !s) {
		if (!err)
			kvm_eventfd_put(&ev);
		return err;
	}
	pthread_mutex_lock(&s->lock);
	list_for_each_entry_safe(irqfd, n, &kvm->irqfds, link)
		if (irqfd->eventfd.id == ev.id && irqfd->gsi == args->gsi)
			irqfd_shutdown(kvm, irqfd);
	pthread_mutex_unlock(&s->lock);
	kvm_eventfd_put(&ev);
	return 0;
}

long kvm_irqfd(struct kvm *kvm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(kvm, args) : irqfd_assign(kvm, args);
}

/* The vm fd is closed: no more interrupts from outside. */
void kvm_irqfd_release(struct kvm *kvm)
{
	struct kvm_irqfd_service *s = kvm->irqfd_service;
	struct irqfd *irqfd, *n;
	u64 one = 1;

	if (!s)
		return;
	if (write(s->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(s->thread, NULL);
	pthread_mutex_lock(&s->lock);
	list_for_each_entry_safe(irqfd, n, &kvm->irqfds, link)
		irqfd_shutdown(kvm, irqfd);
	pthread_mutex_unlock(&s->lock);
	kvm->irqfd_service = NULL;
	service_free(s);
}
