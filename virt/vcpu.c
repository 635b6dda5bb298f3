/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vcpu fd: creation, mapping of kvm_run, kvm_vcpu_ioctl. The descriptor is a memfd that holds
 * kvm_run, so mmap, dup and passing it on just work; its third page is the VM's coalesced ring.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/ioctl.h"
#include "virt/process.h"
#include "virt/profile.h"
#include "virt/stat_page.h"
#include "virt/stats.h"
#include "virt/sys.h"
#include "virt/trace.h"
#include "virt/uaccess.h"
#include "virt/vm.h"

static __thread struct kvm_vcpu *running_vcpu __attribute__((tls_model("initial-exec")));

struct kvm_vcpu *kvm_get_running_vcpu(void)
{
	return running_vcpu;
}

/* Async-signal-safe. The order matters: the flag first, then whatever may end the sleep or the guest. */
void kuse_signal_notify(void)
{
	struct kvm_vcpu *vcpu = running_vcpu;

	if (!vcpu)
		return;
	__atomic_store_n(&vcpu->signal_pending, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vcpu->wait, 0, __ATOMIC_SEQ_CST);
	hyp_cpu_kick(vcpu->hyp);
}

struct kvm_vcpu *kvm_get_vcpu_by_id(struct kvm *kvm, int id)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->vcpu_id == id)
			return vcpu;
	return NULL;
}

/* ---- creation and destruction ---------------------------------------------------------------------- */

static void vcpu_free(struct kvm_vcpu *vcpu)
{
	kvm_profile_forget(vcpu);
	kvm_vcpu_stats_free(vcpu);
	kvm_sched_stat_close(vcpu);
	kvm_dirty_ring_free(&vcpu->dirty_ring);
	if (vcpu->run)
		munmap(vcpu->run, KUSE_RUN_SIZE);
	if (vcpu->hyp)
		hyp_cpu_destroy(vcpu->hyp);
	kvm_stat_page_del(vcpu);
	pthread_mutex_destroy(&vcpu->mutex);
	free(vcpu);
}

/* A vCPU without a number yet; its memfd in *fd. */
static struct kvm_vcpu *vcpu_alloc(struct kvm *kvm, int id, int *fd)
{
	struct kvm_vcpu *vcpu = NULL;
	void *run;

	if (posix_memalign((void **)&vcpu, 64, sizeof(*vcpu)))
		return NULL;
	memset(vcpu, 0, sizeof(*vcpu));
	pthread_mutex_init(&vcpu->mutex, NULL);
	vcpu->kvm = kvm;
	vcpu->vcpu_id = id;
	vcpu->hyp = hyp_cpu_create(kvm->as, (u32)id);
	*fd = kvm_memfd("kvm-vcpu", KUSE_RUN_SIZE, true);
	run = *fd < 0 ? MAP_FAILED : mmap(NULL, KUSE_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (run != MAP_FAILED)
		vcpu->run = run;
	if (vcpu->hyp && vcpu->run && !kvm_stat_page_add(vcpu) &&
	    !(kvm->dirty_ring_size && kvm_dirty_ring_alloc(&vcpu->dirty_ring, kvm->dirty_ring_size)))
		return vcpu;
	if (*fd >= 0)
		close(*fd);
	vcpu_free(vcpu);
	return NULL;
}

static int reserve_vcpu(struct kvm *kvm, unsigned long id)
{
	int err = -EINVAL;

	pthread_mutex_lock(&kvm->lock);
	if (kvm->created_vcpus < kvm->max_vcpus)
		err = kvm_arch_vcpu_precreate(kvm, (unsigned)id);
	if (!err)
		kvm->created_vcpus++;
	pthread_mutex_unlock(&kvm->lock);
	return err;
}

static void unreserve_vcpu(struct kvm *kvm)
{
	pthread_mutex_lock(&kvm->lock);
	kvm->created_vcpus--;
	pthread_mutex_unlock(&kvm->lock);
}

/* Gives it a number and lets others see it. Consumes fd. The number or -errno. */
static int publish_vcpu(struct kvm *kvm, struct kvm_vcpu *vcpu, int fd)
{
	int ret = -EEXIST;

	pthread_mutex_lock(&kvm->lock);
	if (kvm_get_vcpu_by_id(kvm, vcpu->vcpu_id)) {
		close(fd);
	} else {
		vcpu->vcpu_idx = (int)kvm->online_vcpus;
		kvm_get_kvm(kvm);
		kvm->vcpus[vcpu->vcpu_idx] = vcpu;
		__atomic_store_n(&kvm->online_vcpus, kvm->online_vcpus + 1, __ATOMIC_RELEASE);
		ret = kvm_file_install(&kvm_vcpu_fops, vcpu, fd);
		if (ret < 0) {
			__atomic_store_n(&kvm->online_vcpus, kvm->online_vcpus - 1, __ATOMIC_RELEASE);
			kvm_put_kvm(kvm); /* never the last one: the vm fd's caller has it */
		}
		vcpu->run_fd = ret;
	}
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}

long kvm_vm_ioctl_create_vcpu(struct kvm *kvm, unsigned long id)
{
	struct kvm_vcpu *vcpu;
	int fd = -1, ret;

	if (id >= KVM_MAX_VCPU_IDS)
		return -EINVAL;
	ret = reserve_vcpu(kvm, id);
	if (ret)
		return ret;
	vcpu = vcpu_alloc(kvm, (int)id, &fd);
	ret = vcpu ? kvm_arch_vcpu_create(vcpu) : -ENOMEM;
	if (!ret) {
		ret = publish_vcpu(kvm, vcpu, fd);
		if (ret >= 0) {
			kvm_arch_vcpu_postcreate(vcpu);
			return ret;
		}
		kvm_arch_vcpu_destroy(vcpu);
	} else if (vcpu) {
		close(fd);
	}
	if (vcpu)
		vcpu_free(vcpu);
	unreserve_vcpu(kvm);
	return ret;
}

void kvm_destroy_vcpus(struct kvm *kvm)
{
	u32 n = kvm->online_vcpus;

	for (u32 i = 0; i < n; i++)
		kvm_arch_vcpu_destroy(kvm->vcpus[i]);
	__atomic_store_n(&kvm->online_vcpus, 0, __ATOMIC_RELEASE);
	while (n--) /* the newest is the first of the CPUs' list */
		vcpu_free(kvm->vcpus[n]);
}

static void vcpu_release(struct kvm_file *file)
{
	struct kvm_vcpu *vcpu = file->private_data;

	vcpu->run_fd = -1;
	kvm_put_kvm(vcpu->kvm);
}

static int map_coalesced(struct kvm_vcpu *vcpu, char *at, size_t len, off_t off, struct kvm_map_as how)
{
	off_t ring = (off_t)(KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE_SIZE);

	if (off > ring || off + (off_t)len <= ring)
		return 0;
	return kvm_coalesced_mmio_map(vcpu->kvm, at + (ring - off), how.prot, how.flags) == MAP_FAILED
		       ? -errno
		       : 0;
}

/* What is neither kvm_run, nor the coalesced ring, nor the dirty ring lies behind the memfd's end: SIGBUS. */
static void *vcpu_mmap(struct kvm_file *file, int fd, void *addr, size_t len, int prot, int flags, off_t off)
{
	struct kvm_vcpu *vcpu = file->private_data;
	char *at;
	int err;

	if (!kvm_dirty_ring_may_map(vcpu->kvm, len, off, prot, flags)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	at = (char *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
	if (at == MAP_FAILED)
		return at;
	err = map_coalesced(vcpu, at, len, off, (struct kvm_map_as){ prot, flags });
	if (!err)
		err = kvm_dirty_ring_map(vcpu, at, len, off, (struct kvm_map_as){ prot, flags });
	if (!err)
		return at;
	munmap(at, len);
	errno = -err;
	return MAP_FAILED;
}

/* ---- ioctls -------------------------------------------------------------------------------------------- */

/* The engine's counters, after each KVM_RUN: blocks translated, linked, dropped. */
static void trace_blocks(struct kvm_vcpu *vcpu)
{
	struct kvm_trace_field f[32] = { { "vcpu", (u64)vcpu->vcpu_id, NULL } };
	const struct hyp_stat_desc *desc;
	const u64 *values;
	size_t n = hyp_stats(vcpu->hyp, &desc, &values);

	n = MIN(n, ARRAY_SIZE(f) - 1);
	for (size_t i = 0; i < n; i++)
		f[i + 1] = (struct kvm_trace_field){ desc[i].name, values[i], NULL };
	kvm_trace_emit("block", f, n + 1);
}

static long vcpu_run(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	bool masked = vcpu->sigset_active;
	long ret;

	if (arg)
		return -EINVAL;
	__atomic_store_n(&vcpu->signal_pending, 0, __ATOMIC_RELAXED);
	if (unlikely(kvm_profiling))
		kvm_profile_enter(vcpu);
	running_vcpu = vcpu;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (unlikely(kvm_client_signal_pending()))
		kuse_signal_notify();
	if (masked)
		kvm_sigset_activate(vcpu->sigset);
	ret = kvm_arch_vcpu_ioctl_run(vcpu);
	if (masked)
		kvm_sigset_deactivate();
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	running_vcpu = NULL;
	kvm_vcpu_stats_publish(vcpu);
	if (unlikely(kvm_trace_mask & KVM_TRACE_BLOCK))
		trace_blocks(vcpu);
	return ret;
}

static long vcpu_set_signal_mask(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	struct kvm_signal_mask mask;
	u64 set;

	if (!arg) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_client(&mask, arg, sizeof(mask)))
		return -EFAULT;
	if (mask.len != sizeof(set))
		return -EINVAL;
	if (copy_from_client(&set, arg + sizeof(mask), sizeof(set)))
		return -EFAULT;
	vcpu->sigset = set & ~(BIT_ULL(SIGKILL - 1) | BIT_ULL(SIGSTOP - 1));
	vcpu->sigset_active = true;
	return 0;
}

static long vcpu_pre_fault_memory(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_pre_fault_memory(obj, arg);
}

static long vcpu_get_stats_fd(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_ioctl_get_stats_fd(obj);
}

static const struct kvm_ioctl_row vcpu_ioctls[] = {
	IOCTL_ROW(KVM_RUN, ARG_PLAIN, vcpu_run),
	IOCTL_ROW(KVM_SET_SIGNAL_MASK, ARG_PLAIN, vcpu_set_signal_mask),
	IOCTL_ROW(KVM_PRE_FAULT_MEMORY, ARG_PLAIN, vcpu_pre_fault_memory),
	IOCTL_ROW(KVM_GET_STATS_FD, ARG_PLAIN, vcpu_get_stats_fd),
};
IOCTL_TABLE('C', vcpu_ioctls);

static long locked_ioctl(struct kvm_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), cmd);

	return row ? row->fn(vcpu, NULL, arg) : kvm_arch_vcpu_ioctl(vcpu, cmd, arg);
}

static long kvm_vcpu_ioctl(struct kvm_file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_vcpu *vcpu = file->private_data;
	long ret;

	if (!kvm_vm_usable(vcpu->kvm))
		return -EIO;
	if (_IOC_TYPE(cmd) != KVMIO)
		return -EINVAL;
	pthread_mutex_lock(&vcpu->mutex);
	kvm_loaded_vcpu = vcpu;
	ret = locked_ioctl(vcpu, cmd, arg);
	kvm_loaded_vcpu = NULL;
	pthread_mutex_unlock(&vcpu->mutex);
	return ret;
}

const struct kvm_file_operations kvm_vcpu_fops = {
	.name = "kvm-vcpu",
	.ioctl = kvm_vcpu_ioctl,
	.release = vcpu_release,
	.mmap = vcpu_mmap,
};
