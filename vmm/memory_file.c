/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file for guest RAM, so that an engine can map it in other address spaces as well (hyp/direct). Mapping it
 * should cost no more than anonymous memory, which has huge pages by madvise nearly everywhere. A memfd has
 * them only where /sys/kernel/mm/transparent_hugepage/shmem_enabled says so, and it says `never` unless
 * somebody changed it (nor does MADV_COLLAPSE make them then). A tmpfs mounted with huge=advise has them
 * whatever is said there, and to mount one takes CAP_SYS_ADMIN in some user namespace only.
 *
 * So, unless we have the privilege as we are, a process is made for a moment that shares our memory and
 * descriptors and has user and mount namespaces of its own. It makes a tmpfs, mounted nowhere, with one
 * nameless file in it, and exits. The file keeps the tmpfs; no namespace of ours changes. Half a millisecond.
 * Where that is forbidden (containers, AppArmor), a memfd must do: small pages, a start slower by an eighth,
 * large copies by a fifth. -1 where there is none either.
 *
 * Worked example: kuse run --mem 512, /proc/PID/smaps. 7f1240000000-7f1260000000 rw-s 00000000 00:2f 2 /#2
 * (deleted), Rss: 108544 kB, ShmemPmdMapped: 108544 kB. (AnonHugePages was the same.)
 */
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/vm.h"

static int set_string(int fs, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* A tmpfs, mounted nowhere. size=0: no limit but what the host has. */
static int tmpfs_mount(void)
{
	int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mount = -1;

	if (fs < 0)
		return -1;
	if (!set_string(fs, "huge", "advise") && !set_string(fs, "size", "0") &&
	    !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	return mount;
}

static int tmpfs_file(void)
{
	int mount = tmpfs_mount(), fd;

	if (mount < 0)
		return -1;
	fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	close(mount);
	return fd;
}

/* ---- the process in between ------------------------------------------------------------------------ */

#define STACK 32768

struct maker {
	uid_t uid; /* outside */
	gid_t gid;
	int fd;    /* what it made, or -1 */
};

static bool proc_write(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Files are made only by somebody who has a name inside. */
static bool maker_identify(const struct maker *m)
{
	char user[32], group[32];

	snprintf(user, sizeof(user), "0 %u 1", m->uid);
	snprintf(group, sizeof(group), "0 %u 1", m->gid);
	return proc_write("/proc/self/uid_map", user) && proc_write("/proc/self/setgroups", "deny") &&
	       proc_write("/proc/self/gid_map", group);
}

static int maker_main(void *arg)
{
	struct maker *m = arg;

	if (maker_identify(m))
		m->fd = tmpfs_file();
	_exit(0);
}

/* No handler of ours may run in that process, which would take it for us. */
static int tmpfs_file_elsewhere(void)
{
	struct maker m = { geteuid(), getegid(), -1 };
	u8 *stack = malloc(STACK);
	sigset_t all, old;
	pid_t pid;

	if (!stack)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(maker_main, (void *)((uintptr_t)(stack + STACK) & ~(uintptr_t)15),
		    CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS, &m);
	if (pid > 0)
		waitpid(pid, NULL, __WALL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	free(stack);
	return m.fd;
}

/* ---- the file -------------------------------------------------------------------------------------- */

/* A file longer than that would be a SIGXFSZ. */
static bool too_long(u64 size)
{
	struct rlimit max;

	return !getrlimit(RLIMIT_FSIZE, &max) && size > max.rlim_cur;
}

int memory_file_create(u64 size)
{
	int fd;

	if (too_long(size))
		return -1;
	fd = tmpfs_file();
	if (fd < 0)
		fd = tmpfs_file_elsewhere();
	if (fd < 0)
		fd = memfd_create("kuse-ram", MFD_CLOEXEC);
	if (fd < 0 || !ftruncate(fd, (off_t)size))
		return fd;
	close(fd);
	return -1;
}
