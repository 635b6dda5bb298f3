/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of vmm/arm64 share. */
#ifndef KUSE_VMM_ARM64_H
#define KUSE_VMM_ARM64_H

#include "vmm/boot.h"

extern const struct boot_loader boot_image, boot_image_gz;

/* gic.c: GICv3 and its ITS where the KVM has them, else GICv2. */
int gic_init(struct vm *vm);
void gic_exit(struct vm *vm);

/* tree.c: builds the device tree and writes it to vm->boot.params. */
int tree_write(struct vm *vm);
#define TREE_BYTES (64u << 10)

#endif
