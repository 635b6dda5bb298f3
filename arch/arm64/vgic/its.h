/* SPDX-License-Identifier: Apache-2.0 */
/* LPIs (lpi.c) and the Interrupt Translation Service that maps device events to them (its*.c). Essay: its.c.
 * */
#ifndef KUSE_ARCH_ARM64_VGIC_ITS_H
#define KUSE_ARCH_ARM64_VGIC_ITS_H

#include "arch/arm64/vgic/vgic.h"

/* ---- lpi.c ---- */

/* The LPI, for one more mapping; at first as the tables in guest memory say. *err: -ENOMEM, -EFAULT,
 * -EINVAL. */
struct vgic_irq *vgic_add_lpi(struct kvm *kvm, u32 intid, struct kvm_vcpu *target, int *err);
/* A mapping less; without any it is gone: neither enabled nor pending. */
void vgic_put_lpi(struct kvm *kvm, struct vgic_irq *irq);
/* Its configuration byte is read again. 0 or -EFAULT. */
int vgic_update_lpi_config(struct kvm *kvm, struct vgic_irq *irq);
/* GICR_CTLR.EnableLPIs: LPIs recorded as pending in the vCPU's pending table; and its opposite. */
void vgic_enable_lpis(struct kvm_vcpu *vcpu);
void vgic_flush_pending_lpis(struct kvm_vcpu *vcpu);
void vgic_its_inv_lpi(struct kvm *kvm, u32 intid);
void vgic_its_invall(struct kvm_vcpu *vcpu);
void vgic_lpis_move_all(struct kvm *kvm, struct kvm_vcpu *from, struct kvm_vcpu *to);
/* KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES. 0, -ENXIO: not initialized, -EFAULT. */
int vgic_v3_save_pending_tables(struct kvm *kvm);
void vgic_lpis_destroy(struct kvm *kvm);

/* ---- its.c ---- */

/* KVM_SIGNAL_MSI. 1: delivered, 0: blocked by the guest, -EINVAL: no ITS there, -EBUSY: ITS or LPIs
 * disabled. */
int vgic_its_inject_msi(struct kvm *kvm, struct kvm_msi *msi);

#endif
