/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apps NAME[,NAME...] [SCALE] DATA: runs programs of Debian's, found in /usr/bin and /bin, and prints
 * `name seconds checksum` for each as `work` does. DATA is the folder that bench/appdata.py made.
 *
 * A program runs `rounds` times (SCALE per cent of it), or once with that number in place of its argument
 * "@". What it writes to its standard output, or to the file `out`, goes into the checksum; a status other
 * than 0 is a failure. It works in a folder of its own in /dev/shm, with DATA as `data`, and with an
 * environment that does not come from the machine. `openssl speed` does as much as it can within a second:
 * its figure is seconds for a GiB, and has no checksum.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../work/work.h"

#define MAX_ARGS 12

struct app {
	const char *name;
	unsigned rounds; /* at scale 100 */
	const char *argv[MAX_ARGS];
	int is_speed; /* the figure comes from its output */
};

#define PYTHON "python3", "-I", "-S"
#define SPEED "openssl", "speed", "-mr", "-elapsed", "-seconds", "1", "-bytes", "16384", "-evp"

static const struct app apps[] = {
	{ "shell", 80, { "busybox", "sh", "data/shell.sh", "@" }, 0 },
	{ "gzip", 4, { "gzip", "-nc", "data/text" }, 0 },
	{ "gunzip", 12, { "gzip", "-dc", "data/text.gz" }, 0 },
	{ "xz", 1, { "xz", "-T1", "-c", "data/text.part" }, 0 },
	{ "unxz", 4, { "xz", "-T1", "-dc", "data/text.xz" }, 0 },
	{ "sslsha", 1, { SPEED, "sha256" }, 1 },
	{ "sslgcm", 1, { SPEED, "aes-128-gcm" }, 1 },
	{ "pystart", 12, { PYTHON, "-c", "print(42)" }, 0 },
	{ "python", 600, { PYTHON, "data/loops.py", "@" }, 0 },
	{ "sqlite", 10, { "sqlite3", "-batch", "out.db", ".read data/insert.sql" }, 0 },
	{ "lua", 600, { "lua5.4", "data/fib.lua", "@" }, 0 },
	{ "gcc", 2, { "gcc", "-O2", "-c", "-o", "out", "data/unit.i" }, 0 },
};
#define NR_APPS (sizeof(apps) / sizeof(apps[0]))

static char folder[64];

static void tidy(void)
{
	unlink("out");
	unlink("out.db");
}

static void leave(void)
{
	tidy();
	unlink("data");
	if (chdir("/") || rmdir(folder))
		perror(folder);
}

void work_fail(const char *what)
{
	fprintf(stderr, "apps: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void prepare(const char *data)
{
	char *path = realpath(data, NULL);

	if (!path)
		work_fail(data);
	snprintf(folder, sizeof(folder), "/dev/shm/kuse-bench-%d", getpid());
	if (mkdir(folder, 0700) || chdir(folder) || symlink(path, "data"))
		work_fail(folder);
	free(path);
	atexit(leave);
	clearenv();
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("LC_ALL", "C", 1);
	setenv("HOME", "/nonexistent", 1);
	setenv("TMPDIR", folder, 1);
}

static void become(const char *const *command, unsigned amount)
{
	char *argv[MAX_ARGS + 1] = { NULL }, number[16];
	int out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600), in = open("/dev/null", O_RDONLY);

	if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(126);
	snprintf(number, sizeof(number), "%u", amount);
	for (int i = 0; i < MAX_ARGS && command[i]; i++)
		argv[i] = strcmp(command[i], "@") ? (char *)(uintptr_t)command[i] : number;
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

static void run_once(const struct app *app, unsigned amount)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		work_fail("fork");
	if (!child)
		become(app->argv, amount);
	if (waitpid(child, &status, 0) != child)
		work_fail("waitpid");
	if (status) {
		fprintf(stderr, "apps: %s: status %#x\n", app->name, status);
		exit(1);
	}
}

/* FNV-1a over the bytes. */
static uint64_t checksum(void)
{
	FILE *f = fopen("out", "r");
	uint64_t sum = WORK_SUM;
	int c;

	if (!f)
		work_fail("out");
	while ((c = getc(f)) != EOF)
		sum = work_mix(sum, (uint64_t)c);
	fclose(f);
	return sum;
}

/* "+F:25:sha256:1781000000.00": bytes a second */
static double seconds_per_gib(void)
{
	FILE *f = fopen("out", "r");
	char line[256];
	double rate = 0;

	if (!f)
		work_fail("out");
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "+F:", 3))
			rate = atof(strrchr(line, ':') + 1);
	fclose(f);
	if (!(rate > 0)) {
		errno = EPROTO;
		work_fail("openssl speed");
	}
	return (double)(1ul << 30) / rate;
}

static int has_amount(const struct app *app)
{
	for (int i = 0; i < MAX_ARGS && app->argv[i]; i++)
		if (!strcmp(app->argv[i], "@"))
			return 1;
	return 0;
}

static void run(const struct app *app, unsigned scale)
{
	unsigned amount = app->is_speed ? 1 : app->rounds * scale / 100;
	unsigned times;
	double start, seconds = 0;

	amount = amount ? amount : 1;
	times = has_amount(app) ? 1 : amount;
	while (times--) {
		tidy();
		start = now();
		run_once(app, amount);
		seconds += now() - start;
	}
	if (app->is_speed)
		printf("%s %.6f %016llx\n", app->name, seconds_per_gib(), 0ull);
	else
		printf("%s %.6f %016llx\n", app->name, seconds, (unsigned long long)checksum());
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned scale = argc > 3 ? (unsigned)atoi(argv[2]) : 100;

	if (argc < 3 || !scale) {
		fprintf(stderr, "usage: apps NAME[,NAME...] [SCALE] DATA\n");
		return 2;
	}
	prepare(argv[argc - 1]);
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ",")) {
		size_t i = 0;

		while (i < NR_APPS && strcmp(apps[i].name, name))
			i++;
		if (i == NR_APPS) {
			fprintf(stderr, "apps: no program '%s'\n", name);
			return 2;
		}
		run(&apps[i], scale);
	}
	return 0;
}
