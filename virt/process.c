/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks. A forked child has a copy of our memory, of the descriptors, and of one thread. What Linux says of
 * KVM's descriptors there: the kvm fd works on; vm, vcpu and device fds refuse with -EIO (kvm->mm is not
 * current->mm), and closing them drops a reference and nothing else. So here: files made in another address
 * space are never released (file.c), because their VM's threads are not in this process.
 *
 * The mark that tells is a page which the host wipes in the child (MADV_WIPEONFORK): true for every way of
 * copying an address space, also those that run no atfork handler, and free to look at. A vfork child shares
 * our memory, mark included; only its process id differs.
 *
 * pthread_atfork keeps start-up, the table of descriptors and what else is not a VM's whole: their locks are
 * held over a fork, so that the child of a busy process can have VMs of its own.
 */
#include "virt/process.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#include "virt/file.h"
#include "virt/init.h"
#include "virt/perf_map.h"
#include "virt/profile.h"

static u32 *mark;  /* the wiped page; NULL before kvm_process_init */
static u32 newest; /* the highest mark given */
static pid_t owner;

u32 kvm_current_mm(void)
{
	u32 *page = __atomic_load_n(&mark, __ATOMIC_ACQUIRE);

	if (!page)
		return 0;
	if (!__atomic_load_n(page, __ATOMIC_RELAXED))
		__atomic_store_n(page, __atomic_add_fetch(&newest, 1, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	return *page;
}

bool kvm_owns_descriptors(void)
{
	return !owner || getpid() == owner;
}

static void before(void)
{
	kvm_init_before_fork();
	kvm_client_before_fork();
	kvm_files_before_fork();
	kvm_profile_before_fork();
}

static void child(void)
{
	owner = getpid();
	kvm_perf_mapping = false; /* the map is the parent's */
	kvm_profile_after_fork(true);
	kvm_files_after_fork(true);
	kvm_client_after_fork(true);
	kvm_init_after_fork();
}

static void parent(void)
{
	kvm_profile_after_fork(false);
	kvm_files_after_fork(false);
	kvm_client_after_fork(false);
	kvm_init_after_fork();
}

int kvm_process_init(void)
{
	void *page;

	if (mark)
		return 0;
	page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	if (madvise(page, PAGE_SIZE, MADV_WIPEONFORK) || pthread_atfork(before, parent, child)) {
		munmap(page, PAGE_SIZE);
		return -ENOMEM;
	}
	owner = getpid();
	__atomic_store_n(&mark, page, __ATOMIC_RELEASE);
	kvm_client_init();
	return 0;
}
