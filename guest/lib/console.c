/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "guest/lib/guest.h"

#define COM1 0x3f8

static void put(char c)
{
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, c);
}

static void put_string(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_number(u64 v, unsigned base)
{
	char buf[24];
	unsigned i = sizeof(buf);

	buf[--i] = 0;
	do
		buf[--i] = "0123456789abcdef"[v % base];
	while (v /= base);
	put_string(buf + i);
}

static void put_signed(s64 v)
{
	if (v < 0)
		put('-');
	put_number(v < 0 ? -(u64)v : (u64)v, 10);
}

void print(const char *fmt, ...)
{
	va_list ap;
	bool wide;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		wide = *++fmt == 'l';
		fmt += wide;
		switch (*fmt) {
		case 's': put_string(va_arg(ap, const char *)); break;
		case 'c': put(va_arg(ap, int)); break;
		case 'd': put_signed(wide ? va_arg(ap, s64) : va_arg(ap, int)); break;
		case 'u': put_number(wide ? va_arg(ap, u64) : va_arg(ap, u32), 10); break;
		case 'x': put_number(wide ? va_arg(ap, u64) : va_arg(ap, u32), 16); break;
		case 'p': put_number(va_arg(ap, u64), 16); break;
		default: put(*fmt);
		}
	}
	va_end(ap);
}

_Noreturn void guest_exit(u32 code)
{
	outl(DEBUG_EXIT_PORT, code);
	for (;;)
		asm volatile("cli; hlt");
}

_Noreturn void guest_skip(const char *why)
{
	print("SKIP: %s\n", why);
	guest_exit(77);
}

int guest_failed;

void check_equal(u64 got, u64 want, const char *what, int line)
{
	if (got == want)
		return;
	guest_failed++;
	print("line %d: %s: got %lx, want %lx\n", line, what, got, want);
}
