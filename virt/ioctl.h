/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ioctl tables: one row per ioctl. The argument crosses the client border here, once: a row says whether
 * the _IOC_SIZE(cmd) bytes at arg are copied in before and out after its function (the direction bits in
 * KVM's ioctl numbers are historical and cannot be relied on).
 */
#ifndef KUSE_VIRT_IOCTL_H
#define KUSE_VIRT_IOCTL_H

#include "lib/types.h"

#define ARG_PLAIN 0u /* arg is a number, or the function copies by itself (variable size) */
#define ARG_IN 1u    /* *data is copied in; -EFAULT */
#define ARG_OUT 2u   /* *data is copied out where the function returned >= 0 */
#define ARG_NOLOCK 4u/* vcpu: without vcpu->mutex */

struct kvm_ioctl_row {
	unsigned int cmd;
	u32 flags;
	long (*fn)(void *obj, void *data, unsigned long arg);
	const char *name;
};

#define IOCTL_ROW(cmd, flags, fn) { cmd, flags, fn, #cmd }

/* Every table is also listed in a section of its own: docs/api-coverage.md is made from what there is. */
struct kvm_ioctl_table {
	char level; /* 'D' /dev/kvm, 'V' VM, 'C' vCPU */
	const struct kvm_ioctl_row *rows;
	size_t n;
};
#define IOCTL_TABLE(level, rows)                                                                               \
	static const struct kvm_ioctl_table rows##_table = { level, rows, sizeof(rows) / sizeof((rows)[0]) }; \
	static const struct kvm_ioctl_table *const rows##_entry                                               \
		__attribute__((used, section("kuse_ioctls"))) = &rows##_table

const struct kvm_ioctl_row *kvm_ioctl_find(const struct kvm_ioctl_row *rows, size_t n, unsigned int cmd);
long kvm_ioctl_call(const struct kvm_ioctl_row *row, void *obj, unsigned long arg);

#endif
