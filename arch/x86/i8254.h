/* SPDX-License-Identifier: Apache-2.0 */
/* The 8254 programmable interval timer. See i8254.c. */
#ifndef KUSE_X86_I8254_H
#define KUSE_X86_I8254_H

#include "arch/x86/irq.h"

#define PIT_GSI 0
#define PIT_CHANNELS 3

/* What the UAPI's struct kvm_pit_channel_state does not hold. */
struct pit_channel {
	struct kvm_pit_channel_state reg; /* count_load_time: CLOCK_MONOTONIC ns */
	s64 paused_ns;                    /* gate low: when it fell */
	bool null_count;                  /* a mode is set, its count is not loaded yet */
};

struct kvm_pit {
	pthread_mutex_t lock; /* channel, flags; the timer is started and cancelled under it */
	struct kvm *kvm;
	struct pit_channel channel[PIT_CHANNELS];
	u32 flags; /* KVM_PIT_FLAGS_* */
	bool speaker;
	int irq_source_id;

	/* Channel 0's interrupts. The callbacks run without the lock and use atomics. */
	struct kvm_timer tick;
	struct kvm_timer inject; /* runs the injection off the thread that acknowledged the last one */
	u64 start_ns;            /* start of the period that the tick ends */
	u64 count;               /* input clocks of a period; 0: stopped */
	bool periodic;
	u64 ticks;     /* periods since start_ns */
	bool reinject; /* ticks are counted, and delivered one per acknowledgement */
	int pending;
	bool irq_ack; /* the last tick was acknowledged */
	struct kvm_irq_ack_notifier irq_ack_notifier;

	struct kvm_io_device dev, speaker_dev;
};

/* GSI 0 was unmasked: ticks that piled up meanwhile are forgotten. Any thread, no lock. */
void kvm_pit_irq_unmasked(struct kvm_pit *pit);

#endif
