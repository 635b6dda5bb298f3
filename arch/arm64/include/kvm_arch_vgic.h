/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-kernel interrupt controllers' part of struct kvm (struct vgic_dist, kvm->arch.vgic) and of struct
 * kvm_vcpu
 * (struct vgic_cpu, vcpu->arch.vgic_cpu). Owned by arch/arm64/vgic; nobody else looks inside.
 */
#ifndef KUSE_ARCH_ARM64_KVM_ARCH_VGIC_H
#define KUSE_ARCH_ARM64_KVM_ARCH_VGIC_H

#include <pthread.h>
#include "lib/list.h"
#include "lib/types.h"

struct kvm;
struct kvm_vcpu;
struct kvm_device;
struct vgic_cpu;
struct vgic_its;
struct vgic_register_region;

#define VGIC_V3_MAX_CPUS 512
#define VGIC_V2_MAX_CPUS 8
#define VGIC_NR_IRQS_LEGACY 256
#define VGIC_NR_SGIS 16
#define VGIC_NR_PPIS 16
#define VGIC_NR_PRIVATE_IRQS 32
#define VGIC_MAX_SPI 1019
#define VGIC_MAX_RESERVED 1023
#define VGIC_MIN_LPI 8192
#define KVM_IRQCHIP_NUM_PINS (1020 - 32)
#define KVM_NR_IRQCHIPS 1

enum vgic_irq_config { VGIC_CONFIG_EDGE = 0, VGIC_CONFIG_LEVEL };

/* One interrupt. Guarded by home->lock, but for what is said to be constant or atomic. */
struct vgic_irq {
	struct vgic_cpu *home;        /* atomic; changes under the old home's lock (vgic.c) */
	struct list_head ap_list;     /* in home->ap_list_head while active, or enabled and pending */
	struct kvm_vcpu *target_vcpu; /* where it is to go; home follows once it is not active */
	void *owner;                  /* the in-kernel device that alone may raise it, or NULL */
	u32 intid;                    /* constant */
	u32 mpidr;                    /* GICv3: affinity as written */
	u32 lpi_refs;                 /* ITS mappings of this LPI; dist->lpi_lock */
	u8 targets;                   /* GICv2: CPU mask as written */
	u8 source, active_source;     /* GICv2 SGIs: mask of CPUs that sent it; the one acknowledged */
	u8 priority;
	u8 group;                     /* 0: FIQ, 1: IRQ */
	u8 config;                    /* enum vgic_irq_config */
	bool line_level;              /* input of a level-sensitive interrupt */
	bool pending_latch;           /* edge seen, or set by software */
	bool active, enabled;
};

enum iodev_type { IODEV_CPUIF, IODEV_DIST, IODEV_REDIST, IODEV_ITS };

struct vgic_io_device {
	struct kvm_io_device dev;
	gpa_t base_addr;
	enum iodev_type iodev_type;
	struct kvm_vcpu *redist_vcpu;
	struct vgic_its *its;
	const struct vgic_register_region *regions;
	int nr_regions;
};

struct vgic_redist_region {
	struct list_head list; /* dist->rd_regions, by index */
	u32 index;
	u32 count;      /* redistributors it has room for; 0: a single region as large as needed */
	u32 free_index; /* the next free one */
	gpa_t base;
};

#define VGIC_LPI_PAGE 512u
#define VGIC_LPI_PAGES ((65536u - VGIC_MIN_LPI) / VGIC_LPI_PAGE)

/* CPU interface registers, those of a GICv2 and of a GICv3. Written by the vCPU's thread or its ioctls. */
struct vgic_vmcr {
	bool grpen0, grpen1, ackctl, fiqen, cbpr, eoim;
	u8 abpr, bpr, pmr; /* binary points as in BPR1, BPR0 */
};

struct vgic_cpu {
	pthread_mutex_t lock;
	struct list_head ap_list_head;
	struct kvm_vcpu *vcpu; /* NULL: home of interrupts without a target */
	bool changed;          /* atomic: vi, vf are to be computed anew before the guest runs */
	struct vgic_irq *private_irqs;

	struct vgic_vmcr vmcr;
	u32 apr[2];            /* active priorities of group 0, 1: bit n is priority n << 3 */
	u8 num_pri_bits, num_id_bits; /* as user space restored them */

	/* GICv3 redistributor */
	struct vgic_io_device rd_iodev;
	struct vgic_redist_region *rdreg;
	u32 rdreg_index;
	u64 pendbaser;
	u32 ctlr;              /* atomic: GICR_CTLR.EnableLPIs */
};

struct vgic_dist {
	pthread_mutex_t config_lock; /* set-up; inside kvm->lock, vcpu->mutex, kvm->slots_lock; outside irq locks */
	bool in_kernel;   /* one was created; atomic reads */
	bool initialized; /* sizes are fixed, SPIs exist; atomic reads */
	bool ready;       /* on the bus; atomic reads */
	bool enabled;     /* GICD_CTLR; atomic */
	u32 vgic_model;   /* KVM_DEV_TYPE_ARM_VGIC_* */
	u32 implementation_rev;
	bool v2_groups_user_writable;
	bool msis_require_devid;
	bool has_its;
	u32 nr_spis;
	gpa_t vgic_dist_base, vgic_cpu_base; /* VGIC_ADDR_UNDEF until set */
	struct list_head rd_regions;
	struct vgic_irq *spis;
	struct vgic_io_device dist_iodev, cpu_iodev;
	struct vgic_cpu nobody; /* home of interrupts without a target */

	pthread_mutex_t lpi_lock;  /* inside the ITS's locks, outside irq locks */
	struct vgic_irq **lpi[VGIC_LPI_PAGES]; /* [(intid - VGIC_MIN_LPI) / 512][... % 512]; only grows, atomic */
	u64 propbaser;             /* atomic */
	struct list_head its_list; /* struct vgic_its; config_lock */
};

#endif
