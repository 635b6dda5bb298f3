/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kuse stat: the counters of a running VM, seen from outside. They lie in a memfd of its process
 * (struct kuse_stat_page), found in /proc/PID/fd and mapped for reading: the VM notices nothing.
 *
 * Every look goes through /proc again, so VMs that come and go while we watch do so here as well.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "virt/sys.h"

#define MAX_PAGES 64
#define MAX_ROWS 256

static const char help_text[] =
	"usage: kuse stat [OPTIONS] [PID]\n"
	"\n"
	"Shows the counters of the VMs in process PID, of `kuse run` or a client of `kuse exec`: exits by\n"
	"kind, translations, soft-TLB misses, flushes, interrupts. Without PID: of the only one that runs.\n"
	"\n"
	"      --once           show the totals once\n"
	"      --json           as JSON, one object a line; per vCPU, too\n"
	"  -i, --interval S     seconds between two looks (default 1)\n"
	"  -h, --help           this text\n";

struct stat_options {
	bool once, json, help;
	double interval;
	int pid; /* 0: not given */
};

/* One VM's page, mapped. */
struct page {
	struct kuse_stat_page *map;
	size_t size;
	ino_t ino;
};

struct pages {
	struct page page[MAX_PAGES];
	unsigned n;
};

struct row {
	char name[sizeof(((struct kuse_stat_name *)0)->name)];
	u64 total, last;
};

struct view {
	struct row row[MAX_ROWS];
	unsigned n;
	u64 started; /* of the oldest VM */
};

/* ---- finding the pages ---- */

/* Is all that the head says inside of the memfd? */
static bool page_is_sound(const struct kuse_stat_page *p, size_t size)
{
	return size >= sizeof(*p) && p->magic == KUSE_STAT_MAGIC &&
	       p->slot_size > sizeof(struct kuse_stat_slot) && p->slot_size % 8 == 0 && p->slots % 8 == 0 &&
	       p->slots <= size && p->names <= p->slots &&
	       p->n_counters <= (p->slots - p->names) / sizeof(struct kuse_stat_name) &&
	       p->n_counters <= (p->slot_size - sizeof(struct kuse_stat_slot)) / 8;
}

static void page_open(struct pages *pages, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct page *p = &pages->page[pages->n];
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size > 0) {
		for (unsigned i = 0; i < pages->n; i++)
			st.st_size = pages->page[i].ino == st.st_ino ? 0 : st.st_size;
		p->ino = st.st_ino;
		p->size = (size_t)st.st_size;
		p->map = p->size ? mmap(NULL, p->size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
		if (p->map != MAP_FAILED && page_is_sound(p->map, p->size))
			pages->n++;
		else if (p->map != MAP_FAILED)
			munmap(p->map, p->size);
	}
	close(fd);
}

static void pages_close(struct pages *pages)
{
	while (pages->n) {
		pages->n--;
		munmap(pages->page[pages->n].map, pages->page[pages->n].size);
	}
}

/* 0, or errno where the process cannot be looked into. */
static int pages_open(struct pages *pages, int pid)
{
	static const char name[] = "/memfd:" KUSE_STAT_NAME;
	char dir[64], path[384], target[64];
	struct dirent *e;
	DIR *d;

	pages->n = 0;
	snprintf(dir, sizeof(dir), "/proc/%d/fd", pid);
	d = opendir(dir);
	if (!d)
		return errno;
	while ((e = readdir(d)) && pages->n < MAX_PAGES) {
		ssize_t len;

		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		len = readlink(path, target, sizeof(target));
		if (len >= (ssize_t)sizeof(name) - 1 && !memcmp(target, name, sizeof(name) - 1))
			page_open(pages, path);
	}
	closedir(d);
	return 0;
}

/* ---- which process ---- */

static void comm_of(int pid, char *comm, size_t len)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	snprintf(comm, len, "?");
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(comm, (int)len, f))
		comm[strcspn(comm, "\n")] = '\0';
	fclose(f);
}

/* Direct execution's process, which shares the descriptors of its VM's (hyp/direct/x86/stub.h). */
static bool is_stub(int pid)
{
	char comm[32];

	comm_of(pid, comm, sizeof(comm));
	return !strcmp(comm, "kuse-stub");
}

/* The processes with VMs; how many, and their names in list. */
static int find_processes(int *pid, char *list, size_t len)
{
	DIR *d = opendir("/proc");
	struct pages pages;
	struct dirent *e;
	int n = 0;

	list[0] = '\0';
	while (d && (e = readdir(d))) {
		char comm[32];
		size_t at = strlen(list);

		if (!isdigit((unsigned char)e->d_name[0]) || pages_open(&pages, atoi(e->d_name)) || !pages.n)
			continue;
		pages_close(&pages);
		if (is_stub(atoi(e->d_name)))
			continue;
		*pid = atoi(e->d_name);
		comm_of(*pid, comm, sizeof(comm));
		snprintf(list + at, len - at, "%s%d (%s)", n++ ? ", " : "", *pid, comm);
	}
	if (d)
		closedir(d);
	return n;
}

static int choose_process(struct stat_options *opt)
{
	char list[512];
	int n;

	if (opt->pid)
		return STATUS_OK;
	n = find_processes(&opt->pid, list, sizeof(list));
	if (n == 0)
		return complain(STATUS_FAILURE,
				"no VM of KUSE's runs in a process you may look into; start one");
	if (n > 1)
		return complain(STATUS_USAGE, "VMs run in %d processes; give one of %s", n, list);
	return STATUS_OK;
}

static int no_pages(int pid, int error)
{
	char comm[32];

	comm_of(pid, comm, sizeof(comm));
	if (error == ENOENT || error == ESRCH)
		return complain(STATUS_FAILURE,
				"there is no process %d; `kuse stat` finds the one that has a VM", pid);
	if (error)
		return complain(STATUS_FAILURE, "cannot look into process %d (%s): %s; be its user, or root",
				pid, comm, strerror(error));
	return complain(STATUS_FAILURE,
			"process %d (%s) has no VM on KUSE's KVM; it uses the host's, or none", pid, comm);
}

/* ---- counters ---- */

static const struct kuse_stat_name *names_of(const struct page *p)
{
	return (const struct kuse_stat_name *)((const char *)p->map + p->map->names);
}

/* The i-th place for a vCPU; NULL behind the last. One not in use has used == 0. */
static const struct kuse_stat_slot *slot_of(const struct page *p, size_t i)
{
	size_t at = p->map->slots + i * p->map->slot_size;

	return at + p->map->slot_size <= p->size ? (const void *)((const char *)p->map + at) : NULL;
}

static u64 counter(const struct kuse_stat_slot *s, unsigned i)
{
	return __atomic_load_n((const u64 *)(s + 1) + i, __ATOMIC_RELAXED);
}

static struct row *row_of(struct view *v, const char *name)
{
	unsigned i = 0;

	while (i < v->n && strncmp(v->row[i].name, name, sizeof(v->row[i].name)))
		i++;
	if (i == v->n && v->n < MAX_ROWS)
		memcpy(v->row[v->n++].name, name, sizeof(v->row[i].name));
	return &v->row[i < MAX_ROWS ? i : MAX_ROWS - 1];
}

static void add_page(struct view *v, const struct page *p)
{
	const struct kuse_stat_slot *s;

	for (size_t i = 0; (s = slot_of(p, i)); i++)
		for (unsigned c = 0; __atomic_load_n(&s->used, __ATOMIC_ACQUIRE) && c < p->map->n_counters;
		     c++)
			row_of(v, names_of(p)[c].name)->total += counter(s, c);
	if (!v->started || p->map->started < v->started)
		v->started = p->map->started;
}

static void look(struct view *v, const struct pages *pages)
{
	for (unsigned i = 0; i < v->n; i++) {
		v->row[i].last = v->row[i].total;
		v->row[i].total = 0;
	}
	for (unsigned i = 0; i < pages->n; i++)
		add_page(v, &pages->page[i]);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* ---- JSON ---- */

static json_t *json_vcpu(const struct page *p, unsigned vm, const struct kuse_stat_slot *s)
{
	json_t *counters = json_object();

	for (unsigned c = 0; c < p->map->n_counters; c++)
		json_object_set_new(counters, names_of(p)[c].name, json_integer((json_int_t)counter(s, c)));
	return json_pack("{s:i, s:i, s:o}", "vm", (int)vm, "vcpu", (int)s->id, "counters", counters);
}

static void print_json(const struct stat_options *opt, const struct view *v, const struct pages *pages)
{
	json_t *total = json_object(), *vcpus = json_array(), *all;

	for (unsigned i = 0; i < v->n; i++)
		json_object_set_new(total, v->row[i].name, json_integer((json_int_t)v->row[i].total));
	for (unsigned i = 0; i < pages->n; i++) {
		const struct kuse_stat_slot *s;

		for (size_t k = 0; (s = slot_of(&pages->page[i], k)); k++)
			if (s->used)
				json_array_append_new(vcpus, json_vcpu(&pages->page[i], i, s));
	}
	all = json_pack("{s:i, s:f, s:o, s:o}", "pid", opt->pid, "seconds", now() - (double)v->started * 1e-9,
			"total", total, "vcpus", vcpus);
	json_dumpf(all, stdout, JSON_COMPACT);
	json_decref(all);
	printf("\n");
}

/* ---- text ---- */

static int by_rate(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
	u64 dx = x->total - x->last, dy = y->total - y->last;

	if (dx != dy)
		return dx < dy ? 1 : -1;
	return x->total != y->total ? (x->total < y->total ? 1 : -1) : strcmp(x->name, y->name);
}

static unsigned screen_rows(void)
{
	struct winsize size = {0};

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 5)
		return MAX_ROWS;
	return size.ws_row - 3u;
}

/* seconds: since the last look; 0: there was none. */
static void print_text(const struct stat_options *opt, struct view *v, double seconds)
{
	struct row *order[MAX_ROWS];
	unsigned n = 0;

	for (unsigned i = 0; i < v->n; i++)
		if (v->row[i].total)
			order[n++] = &v->row[i];
	if (seconds > 0) /* the once-only list keeps its order */
		qsort(order, n, sizeof(order[0]), by_rate);
	if (isatty(STDOUT_FILENO) && !opt->once)
		printf("\033[H\033[J");
	printf("%-28s %18s%s\n", "counter", "total", seconds > 0 ? "      per second" : "");
	for (unsigned i = 0; i < n && (opt->once || i < screen_rows()); i++) {
		printf("%-28s %18llu", order[i]->name, (unsigned long long)order[i]->total);
		if (seconds > 0)
			printf(" %15.0f", (double)(order[i]->total - order[i]->last) / seconds);
		printf("\n");
	}
	if (!opt->once)
		printf("\n");
}

/* ---- the command ---- */

static void wait_for(double seconds)
{
	struct timespec ts = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&ts, NULL);
}

static int watch(const struct stat_options *opt)
{
	static struct view view;
	struct pages pages;
	double last = 0, at;
	int error = pages_open(&pages, opt->pid);

	if (error || !pages.n)
		return no_pages(opt->pid, error);
	while (pages.n) {
		at = now();
		look(&view, &pages);
		if (opt->json)
			print_json(opt, &view, &pages);
		else if (opt->once || last)
			print_text(opt, &view, last ? at - last : 0);
		pages_close(&pages);
		if (fflush(stdout) || opt->once)
			return STATUS_OK;
		last = at;
		wait_for(opt->interval);
		if (pages_open(&pages, opt->pid))
			break;
	}
	return complain(STATUS_OK, "the VM has ended");
}

static int parse_pid(const char *text, int *pid)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n <= 0 || n > 0x7fffffff)
		return complain(STATUS_USAGE, "'%s' is not a process id; see `kuse stat --help`", text);
	*pid = (int)n;
	return STATUS_OK;
}

static int parse_interval(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || *end || !(*seconds >= 0.01 && *seconds <= 3600))
		return complain(STATUS_USAGE, "--interval '%s' is not from 0.01 to 3600 seconds", text);
	return STATUS_OK;
}

static int parse(int argc, char **argv, struct stat_options *opt)
{
	static const struct option longs[] = {
		{"once", no_argument, NULL, 'o'},	  {"json", no_argument, NULL, 'j'},
		{"interval", required_argument, NULL, 'i'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, status = STATUS_OK;

	*opt = (struct stat_options){.interval = 1};
	opterr = 0;
	optind = 0;
	while (status == STATUS_OK && (c = getopt_long(argc, argv, ":i:h", longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return complain(STATUS_USAGE, "stat: %s '%s'; see `kuse stat --help`",
					c == '?' ? "there is no option" : "a value is missing after",
					argv[optind - 1]);
		if (c == 'i')
			status = parse_interval(optarg, &opt->interval);
		opt->once |= c == 'o';
		opt->json |= c == 'j';
		opt->help |= c == 'h';
	}
	if (status == STATUS_OK && argc - optind > 1)
		return complain(STATUS_USAGE, "stat looks at one process; '%s' is one too many",
				argv[optind + 1]);
	return status == STATUS_OK && optind < argc ? parse_pid(argv[optind], &opt->pid) : status;
}

int cmd_stat(int argc, char **argv)
{
	struct stat_options opt;
	int status = parse(argc, argv, &opt);

	if (opt.help) {
		fputs(help_text, stdout);
		return STATUS_OK;
	}
	if (status == STATUS_OK)
		status = choose_process(&opt);
	return status == STATUS_OK ? watch(&opt) : status;
}
