/* SPDX-License-Identifier: Apache-2.0 */
#include "virt/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "virt/sys.h"
#include "virt/timer.h"

u32 kvm_trace_mask;
static int trace_fd = -1;
static bool trace_json;

static const struct {
	const char *name;
	u32 bit;
} classes[] = {
	{ "exit", KVM_TRACE_EXIT }, { "irq", KVM_TRACE_IRQ }, { "init", KVM_TRACE_INIT }, { "block", KVM_TRACE_BLOCK },
};

static u32 class_bit(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (strlen(classes[i].name) == len && !memcmp(classes[i].name, name, len))
			return classes[i].bit;
	return 0;
}

int kuse_trace(const char *list, int fd, bool json)
{
	u32 mask = 0;

	while (list && *list) {
		size_t len = strcspn(list, ",");
		u32 bit = class_bit(list, len);

		if (!bit)
			return -EINVAL;
		mask |= bit;
		list += len + (list[len] == ',');
	}
	trace_fd = fd;
	trace_json = json;
	__atomic_store_n(&kvm_trace_mask, fd < 0 ? 0 : mask, __ATOMIC_SEQ_CST);
	return 0;
}

struct line {
	char text[1024];
	size_t len;
};

static void add(struct line *l, const char *fmt, const char *key, u64 value, const char *text)
{
	size_t room = sizeof(l->text) - l->len;
	int n = text ? snprintf(l->text + l->len, room, fmt, key, text)
		     : snprintf(l->text + l->len, room, fmt, key, (unsigned long long)value);

	if (n > 0 && (size_t)n < room)
		l->len += (size_t)n;
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void kvm_trace_emit(const char *event, const struct kvm_trace_field *f, size_t n)
{
	struct line l = { .len = 0 };
	u64 now = kvm_clock_monotonic_ns();

	l.len = (size_t)snprintf(l.text, sizeof(l.text),
				 trace_json ? "{\"ns\":%llu,\"event\":\"%s\"" : "%llu %s",
				 (unsigned long long)now, event);
	for (size_t i = 0; i < n; i++) {
		if (f[i].text)
			add(&l, trace_json ? ",\"%s\":\"%s\"" : " %s=%s", f[i].key, 0, f[i].text);
		else
			add(&l, trace_json ? ",\"%s\":%llu" : " %s=%#llx", f[i].key, f[i].value, NULL);
	}
	if (l.len > sizeof(l.text) - 3)
		l.len = sizeof(l.text) - 3;
	if (trace_json)
		l.text[l.len++] = '}';
	l.text[l.len++] = '\n';
	if (write(trace_fd, l.text, l.len) < 0)
		return; /* a reader that went away is no reason to stop the guest */
}
