/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tracepoints: one line per event to the descriptor given to kuse_trace. Off, a tracepoint costs one load
 * and a branch. Fields are keys with a number or a string.
 */
#ifndef KUSE_VIRT_TRACE_H
#define KUSE_VIRT_TRACE_H

#include "lib/types.h"

#define KVM_TRACE_EXIT 1u
#define KVM_TRACE_IRQ 2u
#define KVM_TRACE_INIT 4u
#define KVM_TRACE_BLOCK 8u

extern u32 kvm_trace_mask;

struct kvm_trace_field {
	const char *key;
	u64 value;
	const char *text; /* instead of value, where not NULL; no quotes or control characters in it */
};

void kvm_trace_emit(const char *event, const struct kvm_trace_field *fields, size_t n);

#define kvm_trace(class, event, ...)                                                             \
	do {                                                                                     \
		if (unlikely(__atomic_load_n(&kvm_trace_mask, __ATOMIC_RELAXED) & (class))) {    \
			const struct kvm_trace_field trace_fields[] = { __VA_ARGS__ };           \
			kvm_trace_emit(event, trace_fields, ARRAY_SIZE(trace_fields));           \
		}                                                                                \
	} while (0)

#endif
