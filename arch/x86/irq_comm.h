/* SPDX-License-Identifier: Apache-2.0 */
/* What the interrupt chips share. See irq_comm.c. */
#ifndef KUSE_X86_IRQ_COMM_H
#define KUSE_X86_IRQ_COMM_H

#include "arch/x86/irq.h"

#define SELECT_PIC(pin) ((pin) < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE)

/* A line is the OR of its sources. Updates one source's bit (under the chip's lock); returns the line. */
static inline bool __kvm_irq_line_state(unsigned long *irq_state, int irq_source_id, int level)
{
	if (level)
		*irq_state |= BIT(irq_source_id);
	else
		*irq_state &= ~BIT(irq_source_id);
	return *irq_state != 0;
}

/* A chip's pin was masked or unmasked. Called with the chip's lock held: takes no lock. */
void kvm_fire_mask_notifiers(struct kvm *kvm, unsigned irqchip, unsigned pin, bool mask);

#endif
