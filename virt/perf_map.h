/* SPDX-License-Identifier: Apache-2.0 */
/* /tmp/perf-PID.map: names for translated blocks (kuse_perf_map in virt/sys.h). */
#ifndef KUSE_VIRT_PERF_MAP_H
#define KUSE_VIRT_PERF_MAP_H

#include <stdbool.h>

struct kvm_vcpu;

extern bool kvm_perf_mapping;

/* With KUSE_PERF_MAP=1 in the environment, as kuse_perf_map. */
void kvm_perf_map_init(void);
/* On the vCPU's thread, outside of hyp_cpu_run: writes down the blocks made since the last call. */
void kvm_perf_map_note(struct kvm_vcpu *vcpu);
void kvm_perf_map_flush(void);

#endif
