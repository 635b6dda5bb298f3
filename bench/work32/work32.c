/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work32 NAME[,NAME...] [SCALE]: as `work`, but a 32-bit program: compatibility mode under a 64-bit kernel.
 * Freestanding, because a 32-bit C library is rarely installed: `gcc -m32 -nostdlib` is enough. int32 and
 * calls32 are the code of `int` and `calls` (../work/int.c); with one scale their checksums are the same.
 */
#include "../work/work.h"

/* i386 system calls */
enum { SYS_exit = 1, SYS_write = 4, SYS_getppid = 64, SYS_clock_gettime = 265 };

static long sys(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "0"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return ret;
}

static void work_exit(int status)
{
	for (;;)
		sys(SYS_exit, status, 0, 0);
}

void *memset(void *to, int byte, size_t n)
{
	void *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(byte) : "memory");
	return to;
}

/* ---- output --------------------------------------------------------------------------------------- */

static char line[128];
static unsigned at;

static void put(char c)
{
	if (at < sizeof(line))
		line[at++] = c;
}

static void put_text(const char *s)
{
	while (*s && *s != ',')
		put(*s++);
}

static void put_number(uint32_t v, unsigned base, unsigned digits)
{
	char text[32];
	unsigned n = 0;

	do {
		text[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v || n < digits);
	while (n)
		put(text[--n]);
}

static void flush(void)
{
	put('\n');
	sys(SYS_write, 1, (long)line, (long)at);
	at = 0;
}

/* ---- workloads ------------------------------------------------------------------------------------ */

static uint64_t work_int80(unsigned rounds)
{
	long first = sys(SYS_getppid, 0, 0, 0);
	uint64_t sum = WORK_SUM;

	for (unsigned i = 0; i < rounds * 100; i++)
		sum = work_mix(sum, (uint64_t)(sys(SYS_getppid, 0, 0, 0) == first));
	return sum;
}

static const struct workload workloads[] = {
	{ "int32", "int as 32-bit code", work_int, 5000 },
	{ "calls32", "calls as 32-bit code", work_calls, 7500 },
	{ "int80", "getppid by INT 0x80", work_int80, 1000 },
	{ NULL, NULL, NULL, 0 },
};

struct timespec32 {
	int32_t sec, nsec;
};

static struct timespec32 now(void)
{
	struct timespec32 t = { 0, 0 };

	sys(SYS_clock_gettime, 1, (long)&t, 0);
	return t;
}

static void run(const struct workload *w, unsigned scale)
{
	unsigned rounds = w->rounds * scale / 100;
	struct timespec32 t0 = now(), t1;
	uint64_t sum = w->run(rounds ? rounds : 1);
	int32_t sec, usec;

	t1 = now();
	sec = t1.sec - t0.sec;
	usec = (t1.nsec - t0.nsec) / 1000;
	if (usec < 0) {
		sec--;
		usec += 1000000;
	}
	put_text(w->name);
	put(' ');
	put_number((uint32_t)sec, 10, 1);
	put('.');
	put_number((uint32_t)usec, 10, 6);
	put(' ');
	put_number((uint32_t)(sum >> 32), 16, 8);
	put_number((uint32_t)sum, 16, 8);
	flush();
}

/* The name up to a comma or the end is w's. */
static int is_name(const char *name, const struct workload *w)
{
	const char *s = w->name;

	while (*s && *s == *name)
		s++, name++;
	return !*s && (!*name || *name == ',');
}

static int run_named(const char *name, unsigned scale)
{
	for (const struct workload *w = workloads; w->name; w++)
		if (is_name(name, w)) {
			run(w, scale);
			return 0;
		}
	put_text("work32: no workload ");
	put_text(name);
	flush();
	return 2;
}

static unsigned number(const char *s)
{
	unsigned v = 0;

	while (*s >= '0' && *s <= '9')
		v = v * 10 + (unsigned)(*s++ - '0');
	return v;
}

__attribute__((used)) static void work32_main(int argc, char **argv)
{
	unsigned scale = argc > 2 ? number(argv[2]) : 100;

	for (const char *name = argc > 1 ? argv[1] : ""; *name;) {
		int status = run_named(name, scale);

		if (status)
			work_exit(status);
		while (*name && *name != ',')
			name++;
		name += *name == ',';
	}
	work_exit(argc > 1 ? 0 : 2);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xorl %ebp, %ebp\n"
	"	movl (%esp), %eax\n"
	"	leal 4(%esp), %edx\n"
	"	andl $-16, %esp\n"
	"	subl $8, %esp\n"
	"	pushl %edx\n"
	"	pushl %eax\n"
	"	call work32_main\n"
	"	ud2\n");
