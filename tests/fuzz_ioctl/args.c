/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments, and the ioctls that every architecture has. */
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include "tests/fuzz_ioctl/rows.h"

/* A number that KVM may take for an address, and write there. Nothing is at the edge cases (fuzz_value), but
 * a number drawn freely could be anybody's, this program's or a sanitizer's: no user address then. */
u64 rnd_no_address(struct ctx *c)
{
	u64 v = rnd_interesting(c);
	bool power = !(v & (v - 1));

	return v >> 30 && !(v >> 47) && !power ? v | 1ull << 63 : v;
}

/* Not for pointers: with a few bytes changed they lead to a neighbour. */
void mutate(struct ctx *c, void *buf, size_t size)
{
	unsigned n = (unsigned)rnd_below(c, 4);

	while (n-- && size) {
		size_t width = 1ul << rnd_below(c, 4), at;
		u64 v = rnd_no_address(c);

		if (width > size)
			width = 1;
		at = rnd_below(c, size / width) * width;
		memcpy((u8 *)buf + at, &v, width);
	}
}

void noise(struct ctx *c, void *buf, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		u64 v = chance(c, 60) ? 0 : rnd_no_address(c);

		memcpy((u8 *)buf + i, &v, size - i < 8 ? size - i : 8);
	}
}

unsigned long fill_noise(struct ctx *c, int fd, const struct row *r)
{
	size_t size = _IOC_SIZE(r->cmd);
	void *buf = arg_at_end(c, size);

	noise(c, buf, size);
	return (unsigned long)buf;
}

unsigned long fill_zero(struct ctx *c, int fd, const struct row *r)
{
	size_t size = _IOC_SIZE(r->cmd);
	void *buf = arg_at_end(c, size);

	memset(buf, 0, size);
	return (unsigned long)buf;
}

/* What is there now, slightly changed. */
unsigned long fill_changed(struct ctx *c, int fd, const struct row *r)
{
	size_t size = _IOC_SIZE(r->cmd);
	void *buf = arg_at_end(c, size);

	memset(buf, 0, size);
	kuse_ioctl(fd, r->get, (unsigned long)buf);
	mutate(c, buf, size);
	return (unsigned long)buf;
}

unsigned long fill_number(struct ctx *c, int fd, const struct row *r)
{
	return chance(c, 60) ? rnd_below(c, 4) : rnd_interesting(c);
}

unsigned long fill_nothing(struct ctx *c, int fd, const struct row *r)
{
	return chance(c, 90) ? 0 : rnd_interesting(c);
}

u64 some_gpa(struct ctx *c)
{
	return arch_gpas[rnd_below(c, arch_nr_gpas)] +
	       (chance(c, 90) ? rnd_below(c, 64) * PAGE : rnd_interesting(c));
}

unsigned long fill_memory(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_userspace_memory_region *m = arg_at_end(c, sizeof(*m));
	unsigned page = (unsigned)rnd_below(c, BLOCK_PAGES);

	*m = (struct kvm_userspace_memory_region){ .slot = (u32)rnd_below(c, 6), .guest_phys_addr = some_gpa(c) };
	m->flags = chance(c, 70) ? 0 : (u32)rnd_below(c, 4);
	m->memory_size = chance(c, 15) ? 0 : PAGE * (1 + rnd_below(c, BLOCK_PAGES - page));
	m->userspace_addr = (u64)(c->w->block[rnd_below(c, NR_BLOCK)].mem + page * PAGE);
	if (chance(c, 15))
		mutate(c, m, offsetof(struct kvm_userspace_memory_region, userspace_addr));
	return (unsigned long)m;
}

unsigned long fill_dirty_log(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_dirty_log *d = arg_at_end(c, sizeof(*d));

	*d = (struct kvm_dirty_log){ .slot = (u32)rnd_below(c, 7), .dirty_bitmap = c->page + rnd_below(c, 8) };
	if (chance(c, 10))
		d->dirty_bitmap = (void *)1;
	return (unsigned long)d;
}

unsigned long fill_clear_log(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_clear_dirty_log *d = arg_at_end(c, sizeof(*d));

	*d = (struct kvm_clear_dirty_log){ .slot = (u32)rnd_below(c, 7), .dirty_bitmap = c->page };
	d->num_pages = (u32)(chance(c, 70) ? 64 * rnd_below(c, 2) : rnd_interesting(c));
	d->first_page = chance(c, 80) ? 0 : rnd_interesting(c);
	return (unsigned long)d;
}

unsigned long fill_enable_cap(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_enable_cap *e = arg_at_end(c, sizeof(*e));

	memset(e, 0, sizeof(*e));
	e->cap = (u32)rnd_below(c, 245);
	if (chance(c, 40))
		e->cap = arch_caps[rnd_below(c, arch_nr_caps)];
	e->flags = chance(c, 95) ? 0 : (u32)rnd_interesting(c);
	e->args[0] = chance(c, 50) ? rnd_below(c, 4) : rnd_interesting(c);
	e->args[1] = rnd_interesting(c);
	return (unsigned long)e;
}

unsigned long fill_irqfd(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_irqfd *f = arg_at_end(c, sizeof(*f));

	memset(f, 0, sizeof(*f));
	f->fd = (u32)world_pick(c, c->w->event, NR_EVENT);
	f->gsi = (u32)(chance(c, 90) ? rnd_below(c, 24) : rnd_interesting(c));
	f->flags = chance(c, 90) ? (u32)rnd_below(c, 4) : (u32)rnd(c);
	f->resamplefd = (u32)world_pick(c, c->w->event, NR_EVENT);
	if (chance(c, 5))
		f->fd = (u32)world_pick(c, c->w->vm, NR_VM);
	return (unsigned long)f;
}

unsigned long fill_ioeventfd(struct ctx *c, int fd, const struct row *r)
{
	static const u32 lens[] = { 0, 1, 2, 4, 8, 3, 16 };
	struct kvm_ioeventfd *f = arg_at_end(c, sizeof(*f));

	memset(f, 0, sizeof(*f));
	f->fd = world_pick(c, c->w->event, NR_EVENT);
	f->addr = chance(c, 50) ? 0x10 : some_gpa(c);
	f->len = lens[rnd_below(c, COUNT(lens))];
	f->datamatch = rnd_below(c, 4);
	f->flags = chance(c, 95) ? (u32)rnd_below(c, 8) : (u32)rnd(c);
	return (unsigned long)f;
}

unsigned long fill_zone(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_coalesced_mmio_zone *z = arg_at_end(c, sizeof(*z));

	*z = (struct kvm_coalesced_mmio_zone){ .addr = chance(c, 50) ? rnd_below(c, 4) * PAGE : some_gpa(c),
					       .size = (u32)(chance(c, 80) ? PAGE : rnd_interesting(c)) };
	z->pio = (u32)rnd_below(c, 3);
	return (unsigned long)z;
}

unsigned long fill_attr(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_device_attr *a = arg_at_end(c, sizeof(*a));

	memset(a, 0, sizeof(*a));
	a->addr = (u64)(c->page + rnd_below(c, 64));
	if (chance(c, 30))
		mutate(c, a, offsetof(struct kvm_device_attr, addr));
	if (chance(c, 5))
		a->addr = 8;
	return (unsigned long)a;
}

unsigned long fill_sigmask(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_signal_mask *m = arg_at_end(c, sizeof(*m) + 8);
	u64 set = rnd(c) & ~(1ull << (10 - 1)); /* SIGUSR1 stays open: it ends KVM_RUN */

	m->len = chance(c, 90) ? 8 : (u32)rnd_interesting(c);
	memcpy(m->sigset, &set, 8);
	return chance(c, 30) ? 0 : (unsigned long)m;
}

unsigned long fill_mp_state(struct ctx *c, int fd, const struct row *r)
{
	struct kvm_mp_state *m = arg_at_end(c, sizeof(*m));

	m->mp_state = chance(c, 60) ? 0 : (u32)rnd_below(c, 12);
	return (unsigned long)m;
}

unsigned long fill_routing(struct ctx *c, int fd, const struct row *r)
{
	u32 n = (u32)rnd_below(c, 30), claimed = chance(c, 90) ? n : (u32)rnd_interesting(c);
	struct kvm_irq_routing *t = arg_at_end(c, sizeof(*t) + n * sizeof(t->entries[0]));

	*t = (struct kvm_irq_routing){ .nr = claimed, .flags = chance(c, 95) ? 0 : 1 };
	for (u32 i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e = &t->entries[i];

		memset(e, 0, sizeof(*e));
		e->gsi = chance(c, 90) ? i : (u32)rnd_interesting(c);
		e->type = chance(c, 90) ? 1 + (u32)rnd_below(c, 2) : (u32)rnd_below(c, 7);
		e->u.irqchip.pin = (u32)(chance(c, 90) ? rnd_below(c, arch_nr_pins) : rnd_interesting(c));
		arch_route(c, e, i);
	}
	return (unsigned long)t;
}

const struct row common_rows[] = {
	R(KVM_GET_API_VERSION, 'D', 0, fill_nothing, 0, EINVAL),
	R(KVM_GET_VCPU_MMAP_SIZE, 'D', 0, fill_nothing, 0, EINVAL),
	R(KVM_SET_USER_MEMORY_REGION, 'V', P, fill_memory, 0, EFAULT, EINVAL, EEXIST, ENOMEM),
	R(KVM_SET_USER_MEMORY_REGION, 'V', P, fill_memory, 0, EFAULT, EINVAL, EEXIST, ENOMEM),
	R(KVM_GET_DIRTY_LOG, 'V', P, fill_dirty_log, 0, EFAULT, EINVAL, ENOENT, ENXIO),
	R(KVM_CLEAR_DIRTY_LOG, 'V', P, fill_clear_log, 0, EFAULT, EINVAL, ENOENT, ENXIO),
	R(KVM_IRQFD, 'V', P, fill_irqfd, 0, EFAULT, EINVAL, EBADF, EBUSY, ENOMEM),
	R(KVM_IOEVENTFD, 'V', P, fill_ioeventfd, 0, EFAULT, EINVAL, EBADF, EEXIST, ENOENT, ENOSPC, ENOMEM),
	R(KVM_REGISTER_COALESCED_MMIO, 'V', P, fill_zone, 0, EFAULT, EINVAL, ENOSPC, ENOMEM),
	R(KVM_UNREGISTER_COALESCED_MMIO, 'V', P, fill_zone, 0, EFAULT, EINVAL),
	R(KVM_GET_STATS_FD, 'V', NEW_FD, fill_nothing, 0),
	R(KVM_SET_SIGNAL_MASK, 'C', 0, fill_sigmask, 0, EFAULT, EINVAL),
	R(KVM_GET_MP_STATE, 'C', P, fill_zero, 0, EFAULT),
	R(KVM_SET_MP_STATE, 'C', P, fill_mp_state, 0, EFAULT, EINVAL),
	R(KVM_GET_STATS_FD, 'C', NEW_FD, fill_nothing, 0),
};
const unsigned common_nr_rows = COUNT(common_rows);
