/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the file behind a mapping (backing.h): /proc/self/maps has its device, inode and offset, and
 * /proc/self/fd a descriptor of that file. Two tables, each small enough to be searched from end to end:
 * pieces of the address space, with or without a file behind them, and files.
 *
 * Worked example. hva 0x7f1240003000; maps has "7f1240000000-7f1260000000 rw-s 00000000 00:01 2051 /memfd:ram
 * (deleted)"; descriptor 7 is open for reading and writing and has st_dev 0:1 and st_ino 2051; it is
 * duplicated as 1024, and the answer is { 1024, 0x7f1240000000, 0x7f1260000000, 0, true }.
 *
 * A descriptor that we keep is a number in the client's table: it may close it and open another file there.
 * So each look-up asks which file it is now.
 */
#include "hyp/direct/backing.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PIECES 64
#define FILES 64
#define HUGETLBFS 0x958458f6 /* linux/magic.h */

struct file {
	int fd; /* -1: free */
	dev_t dev;
	ino_t ino;
	bool exec;
	bool seen; /* by mark_mapped */
};

struct piece {
	const u8 *start, *end;
	u64 offset;
	struct file *file; /* NULL: nothing that can be mapped again */
};

/* One line of /proc/self/maps. */
struct line {
	const u8 *start, *end;
	char perm[5];
	u64 offset;
	dev_t dev;
	ino_t ino;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; covers all below */
static struct piece pieces[PIECES];
static unsigned n_pieces, next_piece;
static struct file files[FILES] = { [0 ... FILES - 1] = { .fd = -1 } };
static int next_fd;
static u32 generation; /* atomic; written under the lock, with the pieces */

/* ---- descriptors ------------------------------------------------------------------------------------ */

static bool is_file(int fd, dev_t dev, ino_t ino)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_dev == dev && st.st_ino == ino;
}

/* Numbers go up, above what clients usually have, so that one that was closed comes back late. */
static int duplicate(int fd)
{
	struct rlimit max = { 1024, 1024 };
	int low, copy;

	getrlimit(RLIMIT_NOFILE, &max);
	low = (int)MIN(max.rlim_cur, 2048u) / 2;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, MAX(low, next_fd));
	if (copy < 0)
		copy = fcntl(fd, F_DUPFD_CLOEXEC, low);
	next_fd = copy + 1;
	return copy;
}

static bool can_map(int fd, int prot)
{
	void *p = mmap(NULL, PAGE_SIZE, prot, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, PAGE_SIZE);
	return true;
}

static bool is_mappable(int fd)
{
	struct statfs fs;

	return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && !fstatfs(fd, &fs) && fs.f_type != HUGETLBFS &&
	       can_map(fd, PROT_READ | PROT_WRITE);
}

static bool is_userfault(int dir, const char *name)
{
	static const char wanted[] = "anon_inode:[userfaultfd]";
	char to[sizeof(wanted)];

	return readlinkat(dir, name, to, sizeof(to)) == sizeof(wanted) - 1 &&
	       !memcmp(to, wanted, sizeof(wanted) - 1);
}

/* A descriptor of the client's for the file; -1 where none can be used, or one forbids it (backing.h). */
static int search_fd(const struct line *l)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int found = -1;

	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.')
			continue;
		if (is_userfault(dirfd(d), e->d_name)) {
			found = -1;
			break;
		}
		if (found < 0 && is_file(fd, l->dev, l->ino) && is_mappable(fd))
			found = fd;
	}
	if (d)
		closedir(d);
	return found;
}

/* ---- files ---- */

static struct file *known(const struct line *l)
{
	for (unsigned i = 0; i < FILES; i++)
		if (files[i].fd >= 0 && files[i].dev == l->dev && files[i].ino == l->ino)
			return &files[i];
	return NULL;
}

static struct file *new_file(const struct line *l, int fd)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct file *f = &files[i];

		if (f->fd >= 0)
			continue;
		*f = (struct file){ .fd = duplicate(fd), .dev = l->dev, .ino = l->ino, .seen = true };
		f->exec = can_map(f->fd, PROT_READ | PROT_WRITE | PROT_EXEC);
		return f->fd >= 0 ? f : NULL;
	}
	return NULL;
}

/* Our duplicate counts among the descriptors: the client may have closed its own of a file that is known. */
static struct file *file_of(const struct line *l)
{
	int fd = search_fd(l);
	struct file *f = known(l);

	if (fd < 0)
		return NULL;
	if (f && is_file(f->fd, l->dev, l->ino))
		return f;
	if (f)
		f->fd = -1;
	return new_file(l, fd);
}

/* If its number stands for another file by now, it is not ours to close. */
static void file_close(struct file *f)
{
	if (f->fd >= 0 && is_file(f->fd, f->dev, f->ino))
		close(f->fd);
	f->fd = -1;
}

/* ---- pieces ---- */

static bool next_line(FILE *maps, struct line *l)
{
	unsigned long start, end, offset, ino;
	unsigned major, minor;
	int n, c;

	n = fscanf(maps, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, l->perm, &offset, &major, &minor, &ino);
	if (n != 7)
		return false;
	do
		c = getc(maps);
	while (c != '\n' && c != EOF);
	l->start = (const u8 *)start;
	l->end = (const u8 *)end;
	l->offset = offset;
	l->dev = makedev(major, minor);
	l->ino = ino;
	return true;
}

/* What is at hva: a mapping, or the hole between two. */
static void look_up(FILE *maps, const u8 *hva, struct piece *p)
{
	struct line l = { .end = NULL };

	*p = (struct piece){ .end = (const u8 *)UINTPTR_MAX };
	while (next_line(maps, &l) && l.end <= hva)
		p->start = l.end;
	if (l.end <= hva)
		return;
	if (l.start > hva) {
		p->end = l.start;
		return;
	}
	*p = (struct piece){ l.start, l.end, l.offset, NULL };
	if (!strncmp(l.perm, "rw", 2) && l.perm[3] == 's')
		p->file = file_of(&l);
}

static struct piece *remembered(const u8 *hva)
{
	for (unsigned i = 0; i < n_pieces; i++)
		if (hva >= pieces[i].start && hva < pieces[i].end)
			return &pieces[i];
	return NULL;
}

static struct piece *learn(const u8 *hva)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct piece *p;

	if (!maps)
		return NULL;
	p = &pieces[n_pieces < PIECES ? n_pieces++ : next_piece++ % PIECES];
	look_up(maps, hva, p);
	fclose(maps);
	return p;
}

static struct piece *find(const u8 *hva)
{
	struct piece *p = remembered(hva);

	if (p && p->file && !is_file(p->file->fd, p->file->dev, p->file->ino)) {
		p->file->fd = -1; /* the client has closed it */
		n_pieces = 0;
		p = NULL;
	}
	return p ? p : learn(hva);
}

bool hyp_backing_find(const void *hva, struct hyp_backing *b)
{
	const struct piece *p;
	bool found;

	pthread_mutex_lock(&lock);
	p = find(hva);
	found = p && p->file;
	if (found)
		*b = (struct hyp_backing){ p->file->fd, p->start, p->end, p->offset, p->file->exec };
	pthread_mutex_unlock(&lock);
	return found;
}

/* ---- forgetting ---- */

static void mark_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct line l;

	if (!maps)
		return;
	for (unsigned i = 0; i < FILES; i++)
		files[i].seen = false;
	while (next_line(maps, &l))
		for (unsigned i = 0; i < FILES; i++)
			if (files[i].dev == l.dev && files[i].ino == l.ino)
				files[i].seen = true;
	fclose(maps);
}

static bool any_file(void)
{
	for (unsigned i = 0; i < FILES; i++)
		if (files[i].fd >= 0)
			return true;
	return false;
}

u32 hyp_backing_generation(void)
{
	return __atomic_load_n(&generation, __ATOMIC_SEQ_CST);
}

/* Who reads the new generation and looks something up after that has to wait until nothing old is left. */
void hyp_backing_forget(void)
{
	pthread_mutex_lock(&lock);
	__atomic_fetch_add(&generation, 1, __ATOMIC_SEQ_CST);
	n_pieces = 0;
	if (any_file())
		mark_mapped();
	for (unsigned i = 0; i < FILES; i++)
		if (!files[i].seen)
			file_close(&files[i]);
	pthread_mutex_unlock(&lock);
}

void hyp_backing_close(void)
{
	pthread_mutex_lock(&lock);
	n_pieces = 0;
	for (unsigned i = 0; i < FILES; i++)
		file_close(&files[i]);
	pthread_mutex_unlock(&lock);
}
