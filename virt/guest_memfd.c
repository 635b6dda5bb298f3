/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memfd (api.rst, 4.142): memory that belongs to one VM and that the client can allocate and punch
 * holes into, but neither map nor read.
 *
 * Behind it is a memfd that only KVM has mapped. The client's descriptor is an O_PATH one of that memfd:
 * fstat tells its size, and everything else but what comes by way of kuse_fallocate and
 * KVM_SET_USER_MEMORY_REGION2 fails in the host's kernel, whoever asks.
 *
 * The file holds the VM, not the other way round: when its last descriptor is closed, slots that are bound
 * to it lose their private pages. `bindings` and a slot's `gmem` belong to kvm->slots_lock.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "virt/vm.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct kvm_gmem {
	struct kvm *kvm;
	u8 *map;
	u64 size;
	struct list_head bindings; /* slots, by gmem_link */
};

u8 *kvm_gmem_hva(const struct kvm_memory_slot *slot)
{
	return slot->gmem ? slot->gmem->map + (slot->gmem_pgoff << PAGE_SHIFT) : NULL;
}

/* ---- life ---- */

/* Nobody may use the memory any more. What is left mapped if there is no memory to say so is no memory. */
static void unbind_all(struct kvm_gmem *gmem)
{
	struct kvm_memory_slot *slot, *n;
	int err = 0;

	list_for_each_entry_safe(slot, n, &gmem->bindings, gmem_link)
		err |= kvm_memslot_drop_gmem(gmem->kvm, slot);
	if (err)
		(void)mmap(gmem->map, gmem->size, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	else
		munmap(gmem->map, gmem->size);
}

static void gmem_release(struct kvm_file *file)
{
	struct kvm_gmem *gmem = file->private_data;
	struct kvm *kvm = gmem->kvm;

	pthread_mutex_lock(&kvm->slots_lock);
	unbind_all(gmem);
	pthread_mutex_unlock(&kvm->slots_lock);
	free(gmem);
	kvm_put_kvm(kvm);
}

/* An O_PATH descriptor of the file behind fd, or -errno. */
static int path_of(int fd)
{
	char name[32];
	int path;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	path = open(name, O_PATH);
	return path < 0 ? -errno : path;
}

/* Maps `size` bytes of a new memfd at *map; returns the client's descriptor. */
static int make_memory(u64 size, u8 **map)
{
	int fd = kvm_memfd("kvm-gmem", size, true), path;
	void *at;

	if (fd < 0)
		return fd;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	path = at == MAP_FAILED ? -ENOMEM : path_of(fd);
	close(fd);
	if (path < 0 && at != MAP_FAILED)
		munmap(at, size);
	*map = at;
	return path;
}

long kvm_gmem_create(struct kvm *kvm, const struct kvm_create_guest_memfd *args)
{
	struct kvm_gmem *gmem;
	int fd;

	if (!kvm_arch_has_private_mem(NULL)) /* the architecture does not have the ioctl */
		return -EINVAL;
	if (args->flags || (s64)args->size <= 0 || args->size & ~PAGE_MASK)
		return -EINVAL;
	gmem = calloc(1, sizeof(*gmem));
	if (!gmem)
		return -ENOMEM;
	fd = make_memory(args->size, &gmem->map);
	if (fd < 0) {
		free(gmem);
		return fd;
	}
	gmem->kvm = kvm;
	gmem->size = args->size;
	list_init(&gmem->bindings);
	kvm_get_kvm(kvm);
	fd = kvm_file_install(&kvm_gmem_fops, gmem, fd);
	if (fd < 0) {
		munmap(gmem->map, gmem->size);
		free(gmem);
		kvm_put_kvm(kvm);
	}
	return fd;
}

/* ---- binding to slots; kvm->slots_lock held ---- */

int kvm_gmem_get(int fd, struct kvm_file **file)
{
	*file = kvm_fget(fd, true);
	if (*file)
		return 0;
	return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
}

static bool bound(const struct kvm_gmem *gmem, u64 pgoff, u64 npages)
{
	struct kvm_memory_slot *slot;

	list_for_each_entry(slot, &gmem->bindings, gmem_link)
		if (pgoff < slot->gmem_pgoff + slot->npages && slot->gmem_pgoff < pgoff + npages)
			return true;
	return false;
}

int kvm_gmem_bind(struct kvm *kvm, struct kvm_memory_slot *slot, struct kvm_file *file, u64 offset)
{
	u64 size = slot->npages << PAGE_SHIFT;
	struct kvm_gmem *gmem = file->private_data;

	if (file->ops != &kvm_gmem_fops || gmem->kvm != kvm || offset & ~PAGE_MASK ||
	    offset + size > gmem->size || bound(gmem, offset >> PAGE_SHIFT, slot->npages))
		return -EINVAL;
	slot->gmem = gmem;
	slot->gmem_pgoff = offset >> PAGE_SHIFT;
	list_add_tail(&slot->gmem_link, &gmem->bindings);
	return 0;
}

void kvm_gmem_unbind(struct kvm_memory_slot *slot)
{
	if (!slot->gmem)
		return;
	list_del(&slot->gmem_link);
	slot->gmem = NULL;
}

/* ---- fallocate ---- */

static int punch_hole(struct kvm_gmem *gmem, u64 off, u64 len)
{
	if (off >= gmem->size)
		return 0;
	len = MIN(len, gmem->size - off);
	if (madvise(gmem->map + off, len, MADV_REMOVE))
		return -errno;
	hyp_as_client_ran(gmem->kvm->as); /* translated code may have been in it */
	return 0;
}

static int allocate(struct kvm_gmem *gmem, u64 off, u64 len)
{
	if (off + len > gmem->size)
		return -EINVAL;
	/* A host that does not know this kind of advice allocates when the guest gets there. */
	return madvise(gmem->map + off, len, MADV_POPULATE_WRITE) && errno != EINVAL ? -ENOMEM : 0;
}

static int gmem_fallocate(struct kvm_file *file, int mode, off_t off, off_t len)
{
	struct kvm_gmem *gmem = file->private_data;

	if (off < 0 || len <= 0)
		return -EINVAL;
	if (!(mode & FALLOC_FL_KEEP_SIZE) || mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if (len > LONG_MAX - off)
		return -EFBIG;
	if ((off | len) & ~(off_t)PAGE_MASK)
		return -EINVAL;
	return mode & FALLOC_FL_PUNCH_HOLE ? punch_hole(gmem, (u64)off, (u64)len)
					   : allocate(gmem, (u64)off, (u64)len);
}

static long gmem_ioctl(struct kvm_file *file, unsigned int cmd, unsigned long arg)
{
	return -ENOTTY;
}

const struct kvm_file_operations kvm_gmem_fops = {
	.name = "kvm-gmem",
	.ioctl = gmem_ioctl,
	.release = gmem_release,
	.fallocate = gmem_fallocate,
};
