/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters that the module kvm has on every architecture, then the architecture's
 * (arch/<guest>/params.c), as /sys/module/<module>/parameters shows them on Linux 6.12. The values tell what
 * is so here, which is not always the module's default.
 */
#include <stddef.h>
#include "virt/kvm_host.h"
#include "virt/path.h"

#define STRING(x) STRING_OF(x)
#define STRING_OF(x) #x

static const struct kvm_module_param params[] = {
	{ "kvm", "halt_poll_ns", STRING(KVM_HALT_POLL_NS_DEFAULT) },
	{ "kvm", "halt_poll_ns_grow", "2" },
	{ "kvm", "halt_poll_ns_grow_start", "10000" },
	{ "kvm", "halt_poll_ns_shrink", "2" },
};

const struct kvm_module_param *kvm_module_param(unsigned i)
{
	return i < ARRAY_SIZE(params) ? &params[i] : kvm_arch_module_param(i - ARRAY_SIZE(params));
}
