/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of descriptor numbers. Lookups take no lock: the table is an array of pointers, read under
 * srcu; files are freed after a grace period. `table_lock` orders changes.
 */
#include "virt/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "virt/process.h"
#include "virt/srcu.h"

#define FD_MAX 65536

static struct kvm_file *table[FD_MAX];
static int highest_fd = -1;
static bool trust_numbers;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct srcu_struct table_srcu = { .mutex = PTHREAD_MUTEX_INITIALIZER };

int kvm_memfd(const char *name, size_t size, bool cloexec)
{
	int fd = memfd_create(name, cloexec ? MFD_CLOEXEC : 0);

	if (fd < 0)
		return -errno;
	if (size && ftruncate(fd, (off_t)size)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static struct kvm_file *file_alloc(const struct kvm_file_operations *ops, void *private_data, int fd)
{
	struct kvm_file *file;
	struct stat st;

	if (fstat(fd, &st))
		return NULL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	*file = (struct kvm_file){ .ops = ops, .private_data = private_data, .fd = fd, .refs = 1, .numbers = 1,
				   .mm = kvm_current_mm(), .dev = st.st_dev, .ino = st.st_ino };
	return file;
}

/* Takes over the reference for the number. Table lock held. */
static struct kvm_file *table_set(int fd, struct kvm_file *file)
{
	struct kvm_file *old = table[fd];

	__atomic_store_n(&table[fd], file, __ATOMIC_SEQ_CST);
	if (fd > highest_fd)
		highest_fd = fd;
	return old;
}

static void drop_number(struct kvm_file *file)
{
	__atomic_sub_fetch(&file->numbers, 1, __ATOMIC_RELAXED);
	kvm_fput(file);
}

int kvm_file_install(const struct kvm_file_operations *ops, void *private_data, int fd)
{
	struct kvm_file *file = fd < FD_MAX ? file_alloc(ops, private_data, fd) : NULL;
	struct kvm_file *stale;

	if (!file) {
		close(fd);
		return fd < FD_MAX ? -ENOMEM : -EMFILE;
	}
	pthread_mutex_lock(&table_lock);
	stale = table_set(fd, file);
	pthread_mutex_unlock(&table_lock);
	if (stale) /* that number was closed behind our back */
		drop_number(stale);
	return fd;
}

static bool get_unless_zero(struct kvm_file *file)
{
	s32 refs = __atomic_load_n(&file->refs, __ATOMIC_RELAXED);

	while (refs > 0)
		if (__atomic_compare_exchange_n(&file->refs, &refs, refs + 1, true, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

static struct kvm_file *lookup(int fd)
{
	struct kvm_file *file;
	int idx;

	if (fd < 0 || fd >= FD_MAX)
		return NULL;
	idx = srcu_read_lock(&table_srcu);
	file = __atomic_load_n(&table[fd], __ATOMIC_SEQ_CST);
	if (file && !get_unless_zero(file))
		file = NULL;
	srcu_read_unlock(&table_srcu, idx);
	return file;
}

/* A number we were not told of may be a dup of one we know: same inode. Or kvm_file_install has just told us,
 * on another thread: then the number has its reference. */
static struct kvm_file *adopt(int fd, const struct stat *st)
{
	struct kvm_file *file = NULL, *stale = NULL;

	pthread_mutex_lock(&table_lock);
	for (int i = 0; i <= highest_fd && !file; i++)
		if (table[i] && table[i]->dev == st->st_dev && table[i]->ino == st->st_ino &&
		    get_unless_zero(table[i]))
			file = table[i];
	if (file && table[fd] != file) {
		__atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED); /* the number's own */
		__atomic_add_fetch(&file->numbers, 1, __ATOMIC_RELAXED);
		stale = table_set(fd, file);
	}
	pthread_mutex_unlock(&table_lock);
	if (stale)
		drop_number(stale);
	return file;
}

struct kvm_file *kvm_fget(int fd, bool verify)
{
	struct kvm_file *file = lookup(fd);
	struct stat st;

	if (!verify || fd < 0 || fd >= FD_MAX || (file && __atomic_load_n(&trust_numbers, __ATOMIC_RELAXED)))
		return file;
	if (!fstat(fd, &st)) {
		if (!file)
			return adopt(fd, &st);
		if (st.st_dev == file->dev && st.st_ino == file->ino)
			return file;
	}
	if (file) { /* closed behind our back, and perhaps reused for something else */
		kvm_fd_forget(fd);
		kvm_fput(file);
	}
	return NULL;
}

void kvm_files_trust_numbers(bool trust)
{
	__atomic_store_n(&trust_numbers, trust, __ATOMIC_RELAXED);
}

void kvm_fput(struct kvm_file *file)
{
	if (__atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL))
		return;
	synchronize_srcu(&table_srcu);
	if (file->ops->release && file->mm == kvm_current_mm())
		file->ops->release(file);
	free(file);
}

bool kvm_fd_known(int fd)
{
	return fd >= 0 && fd < FD_MAX && __atomic_load_n(&table[fd], __ATOMIC_RELAXED);
}

int kvm_fd_highest(void)
{
	return __atomic_load_n(&highest_fd, __ATOMIC_RELAXED);
}

bool kvm_fd_forget(int fd)
{
	struct kvm_file *file = NULL;

	if (fd < 0 || fd >= FD_MAX)
		return false;
	pthread_mutex_lock(&table_lock);
	file = table_set(fd, NULL);
	pthread_mutex_unlock(&table_lock);
	if (file)
		drop_number(file);
	return file != NULL;
}

int kvm_fd_dup(int oldfd, int newfd)
{
	struct kvm_file *file = lookup(oldfd), *stale;

	if (!file)
		return -EBADF;
	if (newfd < 0 || newfd >= FD_MAX) {
		kvm_fput(file);
		return -EMFILE;
	}
	__atomic_add_fetch(&file->numbers, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&table_lock);
	stale = table_set(newfd, file); /* the reference of the lookup becomes the number's */
	pthread_mutex_unlock(&table_lock);
	if (stale)
		drop_number(stale);
	return 0;
}

void kvm_files_before_fork(void)
{
	pthread_mutex_lock(&table_lock);
}

/* The child has none of the threads that were reading the table. */
void kvm_files_after_fork(bool child)
{
	pthread_mutex_unlock(&table_lock);
	if (child)
		init_srcu_struct(&table_srcu);
}
