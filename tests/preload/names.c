/* SPDX-License-Identifier: Apache-2.0 */
/* Names: every way of opening and asking about /dev/kvm and the modules' parameters. */
#include "client.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __xstat(int ver, const char *path, struct stat *st);
char *__realpath_chk(const char *path, char *resolved, size_t size);

static const char dev[] = "/dev/kvm";
static const char param[] = "/sys/module/kvm/parameters/enable_pmu";

/* It is KVM if it has KVM's version. */
static bool is_kvm(int fd)
{
	bool yes = fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12;

	close(fd);
	return yes;
}

static void opening(void)
{
	int dir = open("/dev", O_RDONLY | O_DIRECTORY), fd;
	FILE *f;

	CHECK("open", is_kvm(open(dev, O_RDWR)));
	CHECK("open64", is_kvm(open64(dev, O_RDWR)));
	CHECK("openat", is_kvm(openat(AT_FDCWD, dev, O_RDWR)));
	CHECK("openat64, a directory that does not matter", is_kvm(openat64(dir, dev, O_RDWR)));
	CHECK("openat, relative to /dev", is_kvm(openat(dir, "kvm", O_RDWR)));
	CHECK("__open_2", is_kvm(__open_2(dev, O_RDWR)));
	CHECK("__open64_2", is_kvm(__open64_2(dev, O_RDWR)));
	CHECK("__openat_2", is_kvm(__openat_2(AT_FDCWD, dev, O_RDWR)));
	CHECK("__openat64_2", is_kvm(__openat64_2(AT_FDCWD, dev, O_RDWR)));
	CHECK("open of //dev/./kvm", is_kvm(open("//dev/./kvm", O_RDWR)));
	CHECK("syscall(SYS_openat)", is_kvm((int)syscall(SYS_openat, AT_FDCWD, dev, O_RDWR, 0)));
	CHECK("syscall(SYS_open)", is_kvm((int)syscall(SYS_open, dev, O_RDWR)));
	f = fopen(dev, "r+");
	CHECK("fopen", f && ioctl(fileno(f), KVM_GET_API_VERSION, 0) == 12);
	fd = f ? fileno(f) : -1;
	CHECK("fclose", f && !fclose(f));
	FAILS("its number is closed", ioctl(fd, KVM_GET_API_VERSION, 0), EBADF);
	FAILS("O_CREAT | O_EXCL", open(dev, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	FAILS("O_DIRECTORY", open(dev, O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK("O_CLOEXEC is set", fcntl(open(dev, O_RDWR | O_CLOEXEC), F_GETFD) == FD_CLOEXEC);
	CHECK("and is not where not asked for", fcntl(open(dev, O_RDWR), F_GETFD) == 0);
	close(dir);
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && major(st->st_rdev) == 10 && minor(st->st_rdev) == 232;
}

static void asking(void)
{
	int fd = open(dev, O_RDWR);
	struct statx sx;
	struct stat st;
	char buf[4096], *p;

	CHECK("stat", !stat(dev, &st) && is_device(&st));
	CHECK("lstat", !lstat(dev, &st) && is_device(&st));
	CHECK("fstat", !fstat(fd, &st) && is_device(&st));
	CHECK("fstatat", !fstatat(AT_FDCWD, dev, &st, 0) && is_device(&st));
	CHECK("fstatat, AT_EMPTY_PATH", !fstatat(fd, "", &st, AT_EMPTY_PATH) && is_device(&st));
	CHECK("__xstat", !__xstat(1, dev, &st) && is_device(&st));
	CHECK("statx", !statx(AT_FDCWD, dev, 0, STATX_BASIC_STATS, &sx) && S_ISCHR(sx.stx_mode) &&
			       sx.stx_rdev_major == 10 && sx.stx_rdev_minor == 232);
	CHECK("access R_OK | W_OK", !access(dev, R_OK | W_OK));
	FAILS("access X_OK", access(dev, X_OK), EACCES);
	CHECK("faccessat", !faccessat(AT_FDCWD, dev, R_OK, 0));
	FAILS("readlink", readlink(dev, buf, sizeof(buf)), EINVAL);
	p = realpath(dev, NULL);
	CHECK("realpath", p && !strcmp(p, dev));
	free(p);
	CHECK("__realpath_chk", __realpath_chk(dev, buf, sizeof(buf)) == buf && !strcmp(buf, dev));
	close(fd);
}

static void parameters(void)
{
	FILE *f = fopen(param, "r");
	char line[16] = "";
	struct stat st;
	int fd = open(param, O_RDONLY);

	CHECK("fopen of a parameter",
	      f && fgets(line, sizeof(line), f) && (!strcmp(line, "Y\n") || !strcmp(line, "N\n")));
	if (f)
		fclose(f);
	CHECK("read of a parameter", read(fd, line, sizeof(line)) == 2 && line[1] == '\n');
	CHECK("and then the end", read(fd, line, sizeof(line)) == 0);
	CHECK("seeking back", !lseek(fd, 0, SEEK_SET) && read(fd, line, sizeof(line)) == 2);
	close(fd);
	FAILS("writing", open(param, O_WRONLY), EACCES);
	CHECK("stat", !stat(param, &st) && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0444);
	CHECK("stat of the module", !stat("/sys/module/kvm", &st) && S_ISDIR(st.st_mode));
	FAILS("a parameter there is not", open("/sys/module/kvm/parameters/nonesuch", O_RDONLY), ENOENT);
	FAILS("access to it", access("/sys/module/kvm/parameters/nonesuch", R_OK), ENOENT);
	CHECK("one vendor's module",
	      !access("/sys/module/kvm_amd/parameters/nested", R_OK) +
			      !access("/sys/module/kvm_intel/parameters/nested", R_OK) ==
		      1);
}

/* Others' names, and mistakes, are the host's business. */
static void not_ours(void)
{
	const char *volatile nothing = NULL;
	struct stat st;
	int fd = open("/dev/null", O_RDWR);

	CHECK("open of /dev/null", fd >= 0 && write(fd, "x", 1) == 1);
	CHECK("fstat of it", !fstat(fd, &st) && major(st.st_rdev) == 1);
	close(fd);
	FAILS("a name with kvm in it", open("/dev/kvm-nonesuch", O_RDWR), ENOENT);
	FAILS("a name below it", open("/nonesuch/dev/kvm", O_RDWR), ENOENT);
	FAILS("NULL", open(nothing, O_RDWR), EFAULT);
	FAILS("an empty name", open("", O_RDWR), ENOENT);
	FAILS("a bad directory", openat(-5, "kvm", O_RDWR), EBADF);
	FAILS("syscall, a number there is not", syscall(100000), ENOSYS);
	CHECK("syscall with six arguments",
	      (void *)syscall(SYS_mmap, NULL, 4096l, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1l, 0l) !=
		      MAP_FAILED);
}

int main(void)
{
	opening();
	asking();
	parameters();
	not_ours();
	return done();
}
