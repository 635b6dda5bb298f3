/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of 8259A interrupt controllers of a PC. See i8259.c. */
#ifndef KUSE_X86_I8259_H
#define KUSE_X86_I8259_H

#include "virt/kvm_host.h"

#define PIC_NUM_PINS 16
#define PIC_CASCADE_PIN 2

/* Both chips; the UAPI's struct kvm_pic_state is the register file of one. */
struct kvm_pic {
	pthread_mutex_t lock;
	struct kvm *kvm;
	struct kvm_pic_state chip[2];           /* 0 master, 1 slave */
	bool single[2];                         /* ICW1.SNGL: no ICW3 follows */
	bool output;                            /* the master's INT line; read without the lock */
	bool output_rose;                       /* to be told to a vCPU once the lock is dropped */
	u16 acked;                              /* pins whose ack notifiers run once the lock is dropped */
	unsigned long irq_states[PIC_NUM_PINS]; /* per pin: one bit per irq source */
	struct kvm_io_device dev_master, dev_slave, dev_elcr;
};

/* A device drives pin 0..15. Any thread. Returns 1 delivered, 0 coalesced with one that is still
 * pending, -1 masked. */
int kvm_pic_set_irq(struct kvm_pic *pic, int pin, int irq_source_id, int level);
void kvm_pic_clear_all(struct kvm_pic *pic, int irq_source_id);

/* The CPU's INTA cycle: acknowledges the highest request and returns its vector (the spurious
 * vector of pin 7 where the request has gone). */
int kvm_pic_read_irq(struct kvm *kvm);
bool kvm_pic_output(struct kvm *kvm);

/* KVM_GET_IRQCHIP / KVM_SET_IRQCHIP; chip: KVM_IRQCHIP_PIC_MASTER or _SLAVE. */
void kvm_get_pic(struct kvm *kvm, unsigned chip, struct kvm_pic_state *state);
void kvm_set_pic(struct kvm *kvm, unsigned chip, const struct kvm_pic_state *state);

#endif
