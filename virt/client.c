/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client does to its process that KVM has to know of: it changes what is mapped where guest RAM is
 * (Linux: MMU notifiers), or puts itself under a seccomp filter.
 *
 * Guest RAM is used where the client has it mapped, so most changes need no word. But user code that runs
 * directly has the file behind it mapped a second time (hyp/direct), and must let go of that before the
 * client's call returns. An example: guest RAM is a memfd of 1 GiB at A. The client maps another memfd over
 * [A + 64 MiB, A + 66 MiB), MAP_FIXED. kuse_memory_changed finds that range in `cover`, and in a slot of the
 * VM; the engine forgets which file is where, and each vCPU leaves its stub, if it is in one. Before it
 * enters the stub again it unmaps all there, and what is touched then is looked up anew.
 *
 * The client calls this for every mapping it makes or ends, so who touches no guest RAM pays a look into
 * `cover`: a few sorted ranges that contain all slots of all VMs there were since there was none. It is read
 * without a lock, again where `cover_seq` says that it was changed meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include "virt/process.h"
#include "virt/sys.h"
#include "virt/vm.h"

#define COVER_MAX 32u

struct range {
	u64 start, end;
};

static pthread_mutex_t cover_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static struct range cover[COVER_MAX]; /* sorted, apart from each other */
static u32 cover_n, cover_seq;            /* atomic; odd: it is being written */

static pthread_mutex_t vms_lock = PTHREAD_MUTEX_INITIALIZER; /* before kvm->lock */
static struct list_head vms = LIST_HEAD_INIT(vms);

/* ---- which addresses may be guest RAM -------------------------------------------------------------- */

static bool overlap(const struct range *a, u64 start, u64 end)
{
	return start < __atomic_load_n(&a->end, __ATOMIC_RELAXED) &&
	       end > __atomic_load_n(&a->start, __ATOMIC_RELAXED);
}

static bool covered(u64 start, u64 end)
{
	bool hit;
	u32 seq;

	do {
		u32 n;

		seq = __atomic_load_n(&cover_seq, __ATOMIC_ACQUIRE);
		n = __atomic_load_n(&cover_n, __ATOMIC_RELAXED);
		hit = false;
		for (u32 i = 0; i < n && !hit; i++)
			hit = overlap(&cover[i], start, end);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (!hit && (seq & 1 || seq != __atomic_load_n(&cover_seq, __ATOMIC_RELAXED)));
	return hit;
}

/* Into r, sorted, with what it touches grown together. */
static u32 insert(struct range *r, u32 n, struct range new)
{
	u32 i = 0, k;

	while (i < n && r[i].end < new.start)
		i++;
	for (k = i; k < n && r[k].start <= new.end; k++) {
		new.start = MIN(new.start, r[k].start);
		new.end = MAX(new.end, r[k].end);
	}
	memmove(&r[i + 1], &r[k], (n - k) * sizeof(*r));
	r[i] = new;
	return n - (k - i) + 1;
}

/* The two with the least between them become one. */
static u32 coarsen(struct range *r, u32 n)
{
	u32 best = 0;

	for (u32 i = 1; i + 1 < n; i++)
		if (r[i + 1].start - r[i].end < r[best + 1].start - r[best].end)
			best = i;
	r[best].end = r[best + 1].end;
	memmove(&r[best + 1], &r[best + 2], (n - best - 2) * sizeof(*r));
	return n - 1;
}

static void cover_write(const struct range *r, u32 n)
{
	__atomic_store_n(&cover_seq, cover_seq + 1, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < n; i++) {
		__atomic_store_n(&cover[i].start, r[i].start, __ATOMIC_RELAXED);
		__atomic_store_n(&cover[i].end, r[i].end, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&cover_n, n, __ATOMIC_RELAXED);
	__atomic_store_n(&cover_seq, cover_seq + 1, __ATOMIC_RELEASE);
}

void kvm_client_memory_add(u64 start, u64 size)
{
	struct range r[COVER_MAX + 1];
	u32 n;

	pthread_mutex_lock(&cover_lock);
	memcpy(r, cover, sizeof(cover));
	n = insert(r, cover_n, (struct range){ start, start + size });
	if (n > COVER_MAX)
		n = coarsen(r, n);
	if (n != cover_n || memcmp(r, cover, n * sizeof(*r)))
		cover_write(r, n);
	pthread_mutex_unlock(&cover_lock);
}

/* ---- the VMs of the process -------------------------------------------------------------------------- */

void kvm_client_add_vm(struct kvm *kvm)
{
	pthread_mutex_lock(&vms_lock);
	list_add(&kvm->vm_list, &vms);
	pthread_mutex_unlock(&vms_lock);
}

void kvm_client_del_vm(struct kvm *kvm)
{
	pthread_mutex_lock(&vms_lock);
	list_del(&kvm->vm_list);
	if (list_empty(&vms)) {
		pthread_mutex_lock(&cover_lock);
		cover_write(NULL, 0);
		pthread_mutex_unlock(&cover_lock);
	}
	pthread_mutex_unlock(&vms_lock);
}

static void each_cpu(void (*fn)(struct hyp_cpu *cpu))
{
	u32 mm = kvm_current_mm(), i;
	struct kvm_vcpu *vcpu;
	struct kvm *kvm;

	list_for_each_entry(kvm, &vms, vm_list) {
		if (kvm->mm != mm)
			continue; /* a copy, whose vCPUs run in the parent */
		pthread_mutex_lock(&kvm->lock);
		kvm_for_each_vcpu(i, vcpu, kvm)
			fn(vcpu->hyp);
		pthread_mutex_unlock(&kvm->lock);
	}
}

/* The child has no VM of its own yet. */
void kvm_client_before_fork(void)
{
	pthread_mutex_lock(&vms_lock);
	pthread_mutex_lock(&cover_lock);
}

void kvm_client_after_fork(bool child)
{
	if (child) {
		list_init(&vms);
		cover_write(NULL, 0);
	}
	pthread_mutex_unlock(&cover_lock);
	pthread_mutex_unlock(&vms_lock);
}

/* ---- guest RAM moves ----------------------------------------------------------------------------------- */

static bool in_page_of_slots(struct kvm_memory_slot **page, u64 start, u64 end)
{
	for (u32 i = 0; i < KVM_MEMSLOTS_PAGE; i++) {
		const struct kvm_memory_slot *s = srcu_dereference(page[i]);

		if (s && start < s->userspace_addr + (s->npages << PAGE_SHIFT) && end > s->userspace_addr)
			return true;
	}
	return false;
}

static bool vm_has(struct kvm *kvm, u64 start, u64 end)
{
	int idx = srcu_read_lock(&kvm->srcu);
	bool hit = false;

	for (int as = 0; as < KVM_MAX_NR_ADDRESS_SPACES; as++)
		for (u32 i = 0; i < ARRAY_SIZE(kvm->memslots[as]->page) && !hit; i++) {
			struct kvm_memory_slot **page = srcu_dereference(kvm->memslots[as]->page[i]);

			hit = page && in_page_of_slots(page, start, end);
		}
	srcu_read_unlock(&kvm->srcu, idx);
	return hit;
}

static bool any_vm_has(u64 start, u64 end)
{
	struct kvm *kvm;

	list_for_each_entry(kvm, &vms, vm_list)
		if (kvm->mm == kvm_current_mm() && vm_has(kvm, start, end))
			return true;
	return false;
}

void kuse_memory_changed(const void *addr, size_t len)
{
	u64 start = (uintptr_t)addr & PAGE_MASK, end = (uintptr_t)addr + len;
	int err = errno;

	if (!covered(start, end))
		return;
	kvm_client_enter();
	pthread_mutex_lock(&vms_lock);
	if (any_vm_has(start, end)) {
		hyp_memory_moved();
		each_cpu(hyp_cpu_memory_moved);
	}
	pthread_mutex_unlock(&vms_lock);
	kvm_client_leave();
	errno = err;
}

/* ---- filters ------------------------------------------------------------------------------------------ */

static int filtered_at_load;

__attribute__((constructor)) static void look_at_load(void)
{
	filtered_at_load = prctl(PR_GET_SECCOMP);
}

void kvm_client_init(void)
{
	if (!filtered_at_load && prctl(PR_GET_SECCOMP) > 0)
		kuse_confined(true);
}

bool kuse_confined(bool yes)
{
	bool was;

	kvm_client_enter();
	pthread_mutex_lock(&vms_lock);
	hyp_set_confined(yes);
	was = kvm_set_confined(yes);
	if (yes) {
		each_cpu(hyp_cpu_confine);
		hyp_confined();
	}
	pthread_mutex_unlock(&vms_lock);
	kvm_client_leave();
	return was;
}
