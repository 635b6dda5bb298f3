/* SPDX-License-Identifier: Apache-2.0 */
/* The names KVM brings into the file system. */
#ifndef KUSE_VIRT_PATH_H
#define KUSE_VIRT_PATH_H

#include <stdbool.h>

/* One /sys/module/<module>/parameters/<name>; the value as the file reads, without its newline. */
struct kvm_module_param {
	const char *module, *name, *value;
};

#define KVM_PARAMS_MAX 64

/* params.c: the i-th parameter of the modules that this host would have, NULL after the last. */
const struct kvm_module_param *kvm_module_param(unsigned i);

#endif
