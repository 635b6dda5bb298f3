/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMID allocator; see vmid.h. A load counts itself (users), then looks at the generation; a rollover
 * changes the generation, then looks at the counts. Both are sequentially consistent: either the load sees
 * the new generation and takes the slow path, or the rollover sees the user and lets its VM keep the VMID.
 */
#include "arch/arm64/vmid.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define VMID_FIRST_VERSION (1ull << kvm_arm_vmid_bits)
#define NUM_USER_VMIDS (1u << kvm_arm_vmid_bits)
#define vmid2idx(id) ((u32)((id) & (VMID_FIRST_VERSION - 1)))

u32 kvm_arm_vmid_bits = 16;

static pthread_mutex_t cpu_vmid_lock = PTHREAD_MUTEX_INITIALIZER; /* guards all of the below */
static u64 vmid_generation; /* atomic reads */
static u64 *vmid_map;       /* taken in this generation */
static u32 cur_idx;
static struct list_head vmids = LIST_HEAD_INIT(vmids);

static bool test_and_set(u32 idx)
{
	u64 bit = BIT_ULL(idx % 64), old = vmid_map[idx / 64];

	vmid_map[idx / 64] |= bit;
	return old & bit;
}

static void lock_vmids(void)
{
	pthread_mutex_lock(&cpu_vmid_lock);
}

static void unlock_vmids(void)
{
	pthread_mutex_unlock(&cpu_vmid_lock);
}

/* Held over a fork: the child of a busy process can have VMs of its own (virt/process.c). */
static int hold_over_fork(void)
{
	static bool done;

	if (done)
		return 0;
	done = true;
	return -pthread_atfork(lock_vmids, unlock_vmids, unlock_vmids);
}

int kvm_arm_vmid_alloc_init(const char **verdict, const char **remedy)
{
	vmid_map = hold_over_fork() ? NULL : calloc(NUM_USER_VMIDS / 64, sizeof(u64));
	if (!vmid_map) {
		*verdict = "no memory for the VMID bitmap";
		*remedy = "free memory or raise the memory limit";
		return -ENOMEM;
	}
	*verdict = kvm_arm_vmid_bits == 16 ? "16-bit VMIDs" : "8-bit VMIDs";
	__atomic_store_n(&vmid_generation, VMID_FIRST_VERSION, __ATOMIC_SEQ_CST);
	test_and_set(0);
	cur_idx = 1;
	return 0;
}

void kvm_arm_vmid_alloc_free(void)
{
	free(vmid_map);
	vmid_map = NULL;
}

void kvm_arm_vmid_register(struct kvm_vmid *vmid)
{
	*vmid = (struct kvm_vmid){ 0 };
	pthread_mutex_lock(&cpu_vmid_lock);
	list_add(&vmid->link, &vmids);
	pthread_mutex_unlock(&cpu_vmid_lock);
}

void kvm_arm_vmid_unregister(struct kvm_vmid *vmid)
{
	pthread_mutex_lock(&cpu_vmid_lock);
	list_del(&vmid->link);
	pthread_mutex_unlock(&cpu_vmid_lock);
}

static bool current_generation(u64 id)
{
	return id && id >> kvm_arm_vmid_bits ==
			     __atomic_load_n(&vmid_generation, __ATOMIC_SEQ_CST) >> kvm_arm_vmid_bits;
}

/* A new generation: only what loaded VMs have is taken in it. */
static void rollover(void)
{
	u64 old = vmid_generation, gen = old + VMID_FIRST_VERSION;
	struct kvm_vmid *v;

	__atomic_store_n(&vmid_generation, gen, __ATOMIC_SEQ_CST);
	memset(vmid_map, 0, NUM_USER_VMIDS / 8);
	test_and_set(0);
	list_for_each_entry(v, &vmids, link) {
		u32 idx = vmid2idx(v->id);

		/* One of an older generation is on its way to a new VMID, under the lock that we hold. */
		if ((v->id ^ old) >> kvm_arm_vmid_bits || !__atomic_load_n(&v->users, __ATOMIC_SEQ_CST))
			continue;
		test_and_set(idx);
		__atomic_store_n(&v->id, gen | idx, __ATOMIC_SEQ_CST);
	}
}

/* A free index of this generation, or 0: they are handed out in order, so the last one ends it. */
static u32 find_free(void)
{
	while (cur_idx < NUM_USER_VMIDS)
		if (!test_and_set(cur_idx++))
			return cur_idx - 1;
	return 0;
}

static u64 new_vmid(struct kvm_vmid *vmid)
{
	u32 idx = vmid2idx(vmid->id);

	/* It may keep its number in a new generation, if nobody has it there. */
	if (idx && !test_and_set(idx))
		return vmid_generation | idx;
	idx = find_free();
	if (!idx) {
		rollover();
		cur_idx = 1;
		idx = find_free();
	}
	return idx ? vmid_generation | idx : 0;
}

static u64 update_slow(struct kvm_vmid *vmid)
{
	u64 id;

	pthread_mutex_lock(&cpu_vmid_lock);
	id = vmid->id;
	if (!current_generation(id)) {
		id = new_vmid(vmid);
		__atomic_store_n(&vmid->id, id, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&cpu_vmid_lock);
	return id;
}

u16 kvm_arm_vmid_update(struct kvm_vmid *vmid)
{
	u64 id;

	__atomic_add_fetch(&vmid->users, 1, __ATOMIC_SEQ_CST);
	id = __atomic_load_n(&vmid->id, __ATOMIC_SEQ_CST);
	if (unlikely(!current_generation(id)))
		id = update_slow(vmid);
	return (u16)vmid2idx(id);
}

void kvm_arm_vmid_put(struct kvm_vmid *vmid)
{
	__atomic_sub_fetch(&vmid->users, 1, __ATOMIC_SEQ_CST);
}
