/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of vmm/arm64 share. */
#ifndef KUSE_VMM_ARM64_H
#define KUSE_VMM_ARM64_H

#include "vmm/boot.h"

extern const struct boot_loader boot_image, boot_image_gz;

/* Rows of machine_irqchips. */
enum irqchip { IRQCHIP_GICV2, IRQCHIP_GICV3, IRQCHIP_GICV3_ITS };

/* gic.c: what cfg->irqchip says, else GICv3 and its ITS where the KVM has them, else GICv2. */
int gic_init(struct vm *vm);
void gic_exit(struct vm *vm);

/* machine.c: KVM_GET_ONE_REG of 64 bits. */
int machine_get_reg(struct vcpu *vcpu, u64 id, u64 *value);
#define ARM64_CORE(name) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

/* pmu.c: --pmu. pmu_init comes after the vCPUs and the interrupt controller. */
struct fdt;
int pmu_check(struct vm *vm);
int pmu_init(struct vm *vm);
void pmu_node(struct vm *vm, struct fdt *f);

/* tree.c: builds the device tree and writes it to vm->boot.params. */
int tree_write(struct vm *vm);
u32 tree_ppi_flags(const struct vm *vm);
#define TREE_BYTES (64u << 10)

#endif
