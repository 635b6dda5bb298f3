/* SPDX-License-Identifier: Apache-2.0 */
/* One row per ioctl: how its argument is made, and which errnos Linux 6.12 can answer with. */
#ifndef KUSE_FUZZ_IOCTL_ROWS_H
#define KUSE_FUZZ_IOCTL_ROWS_H

#include <linux/kvm.h>
#include "tests/fuzz_ioctl/fuzz.h"

struct row {
	const char *name;
	unsigned int cmd;
	char level;              /* D, V, C, X: /dev/kvm, VM, vCPU, device */
	u8 flags;
	unsigned long (*fill)(struct ctx *c, int fd, const struct row *r);
	unsigned int get;        /* the ioctl that reads what this one writes, or 0 */
	int errnos[10];
};
#define POINTER 1u  /* a bad address must fail */
#define NEW_FD 2u   /* a result > 0 is a descriptor */
#define R(cmd, level, flags, fill, get, ...) { #cmd, cmd, level, flags, fill, get, { __VA_ARGS__ } }
#define P POINTER

/* args.c */
extern const struct row common_rows[];
extern const unsigned common_nr_rows;
void mutate(struct ctx *c, void *buf, size_t size); /* a few words of it; no pointers */
u64 rnd_no_address(struct ctx *c);
void noise(struct ctx *c, void *buf, size_t size);
u64 some_gpa(struct ctx *c);
unsigned long fill_noise(struct ctx *c, int fd, const struct row *r);
unsigned long fill_zero(struct ctx *c, int fd, const struct row *r);
unsigned long fill_changed(struct ctx *c, int fd, const struct row *r); /* what row.get says, slightly changed */
unsigned long fill_number(struct ctx *c, int fd, const struct row *r);
unsigned long fill_nothing(struct ctx *c, int fd, const struct row *r);
unsigned long fill_enable_cap(struct ctx *c, int fd, const struct row *r);
unsigned long fill_attr(struct ctx *c, int fd, const struct row *r);
unsigned long fill_routing(struct ctx *c, int fd, const struct row *r);

/* x86/, arm64/ */
extern const struct row arch_rows[];
extern const unsigned arch_nr_rows;
extern const u32 arch_caps[]; /* to be enabled more often than others */
extern const unsigned arch_nr_caps;
extern const u64 arch_gpas[]; /* where slots lie */
extern const unsigned arch_nr_gpas;
extern const unsigned arch_nr_pins; /* of interrupt routes */
void arch_route(struct ctx *c, struct kvm_irq_routing_entry *e, u32 i); /* the rest of the i-th route, by its type */
extern const int arch_run_errnos[], arch_vcpu_errnos[]; /* of KVM_RUN, KVM_CREATE_VCPU; end with 0 */
void arch_boot(struct ctx *c, int fd); /* gives a vCPU a plausible start */
void arch_devices(struct ctx *c, int vm); /* makes some device, as a VMM would */

#endif
