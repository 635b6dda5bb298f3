/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM, architecture-neutral: what virt/ offers to arch/<guest>. Names and shapes are Linux's
 * (include/linux/kvm_host.h); where one differs the comment says how.
 *
 * Lock order, outermost first:
 *	vcpu->mutex  (one ioctl per vCPU at a time)
 *	kvm->lock    (vCPU creation, irqchip creation, capabilities)
 *	kvm->slots_lock (memory slots, io bus registration)
 *	kvm->irq_lock (routing table updates, ack notifier list, irqfd list)
 *	locks of arch devices (ioapic->lock, pic->lock, pit)
 *	timer service lock
 * srcu readers are outside of this order; synchronize_srcu is called with no arch device lock held.
 * Across threads there is only "set request bit, kick": no thread writes another vCPU's registers.
 */
#ifndef KUSE_VIRT_KVM_HOST_H
#define KUSE_VIRT_KVM_HOST_H

#include <errno.h>
#include <pthread.h>
#include "hyp/hyp.h"
#include "lib/list.h"
#include "lib/types.h"
#include "uapi/kuse_kvm.h"
#include "virt/ioctl.h"
#include "virt/kvm_iodev.h"
#include "virt/perf_map.h"
#include "virt/srcu.h"
#include "virt/timer.h"
#include "virt/trace.h"
#include "virt/uaccess.h"

struct kvm;
struct kvm_vcpu;
struct kvm_io_device;
struct kvm_kernel_irq_routing_entry;

#include "kvm_arch_types.h" /* arch/<guest>/include: struct kvm_arch, struct kvm_vcpu_arch, limits */

/* The architecture also says: KVM_MAX_VCPUS, KVM_MAX_VCPU_IDS (a vCPU's id is below), KVM_INTERNAL_MEM_SLOTS,
 * KVM_MAX_NR_ADDRESS_SPACES, KVM_HALT_POLL_NS_DEFAULT, KVM_NR_IRQCHIPS, KVM_IRQCHIP_NUM_PINS. */
#define KVM_USER_MEM_SLOTS (32767 - KVM_INTERNAL_MEM_SLOTS)
#define KVM_MEM_MAX_NR_PAGES ((1ul << 31) - 1)
#define KVM_MAX_IRQ_ROUTES 4096
#define KVM_USERSPACE_IRQ_SOURCE_ID 0
#define KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID 1

/* ---- requests ---------------------------------------------------------------------------- */

/* Architecture-independent request bits; arch ones start at KVM_REQUEST_ARCH_BASE. */
enum {
	KVM_REQ_TLB_FLUSH = 0,
	KVM_REQ_VM_DEAD = 1,
	KVM_REQ_UNBLOCK = 2, /* kvm_vcpu_block returns */
	KVM_REQ_DIRTY_RING_SOFT_FULL = 3,
	KVM_REQUEST_ARCH_BASE = 8,
};

/* Sets a bit; does not kick. Any thread, any context. */
void kvm_make_request(unsigned int req, struct kvm_vcpu *vcpu);
bool kvm_request_pending(struct kvm_vcpu *vcpu);
bool kvm_test_request(unsigned int req, struct kvm_vcpu *vcpu);
void kvm_clear_request(unsigned int req, struct kvm_vcpu *vcpu);
/* Tests and clears; what was written before kvm_make_request is visible afterwards. */
bool kvm_check_request(unsigned int req, struct kvm_vcpu *vcpu);
/* Sets the bit on every vCPU and kicks them. */
void kvm_make_all_cpus_request(struct kvm *kvm, unsigned int req);

/* Wakes a blocked vCPU (true: it was asleep, or polled). */
bool kvm_vcpu_wake_up(struct kvm_vcpu *vcpu);
/* Makes it leave the guest or wake up and look at its requests. Async-signal-safe, any thread. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
/* Sleeps on a futex until kvm_arch_vcpu_runnable, a request, or a signal. On the vCPU's thread.
 * Returns 0, or -EINTR for a signal. */
int kvm_vcpu_block(struct kvm_vcpu *vcpu);
/* The same for a vCPU that has halted: may poll before it sleeps (halt.c). */
int kvm_vcpu_halt(struct kvm_vcpu *vcpu);
/* 1: a reason to be awake, -EINTR: a signal, 0: sleep. On the vCPU's thread. */
int kvm_vcpu_check_block(struct kvm_vcpu *vcpu);
/* How long its vCPUs may poll; 0: not at all. KVM_CAP_HALT_POLL. Any thread. */
void kvm_set_max_halt_poll_ns(struct kvm *kvm, u32 ns);
bool kvm_set_confined(bool yes); /* the host may not let us sched_yield; what it was */

/* ---- in-kernel devices on the io buses ------------------------------------------------------ */

struct kvm_io_range {
	gpa_t addr;
	int len; /* 0: any length (ioeventfd) */
	struct kvm_io_device *dev;
};

/* An immutable snapshot, sorted by address; readers hold kvm->srcu. */
struct kvm_io_bus {
	int dev_count;
	int ioeventfd_count;
	struct kvm_io_range range[];
};

/* 0 or -EOPNOTSUPP. write: kvm_io_bus_write. Take no lock. */
int kvm_io_bus_read(struct kvm_vcpu *vcpu, enum kvm_bus bus, gpa_t addr, int len, void *val);
int kvm_io_bus_write(struct kvm_vcpu *vcpu, enum kvm_bus bus, gpa_t addr, int len, const void *val);
/* Caller holds kvm->slots_lock. 0, -ENOSPC, -ENOMEM. */
int kvm_io_bus_register_dev(struct kvm *kvm, enum kvm_bus bus, gpa_t addr, int len,
			    struct kvm_io_device *dev);
/* Caller holds kvm->slots_lock. When it returns no vCPU is in dev any more; dev's destructor has run. */
int kvm_io_bus_unregister_dev(struct kvm *kvm, enum kvm_bus bus, struct kvm_io_device *dev);

/* ---- interrupt routing ---------------------------------------------------------------------- */

struct kvm_kernel_irq_routing_entry {
	u32 gsi;
	u32 type; /* KVM_IRQ_ROUTING_* */
	int (*set)(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id, int level,
		   bool line_status);
	union {
		struct {
			unsigned irqchip;
			unsigned pin;
		} irqchip;
		struct {
			u32 address_lo, address_hi, data, flags, devid;
		} msi;
		struct {
			u32 vcpu, sint; /* VP index */
		} hv_sint;
		struct {
			u32 port, vcpu;
		} xen_evtchn;
	};
};

/* An immutable snapshot; readers hold kvm->irq_srcu. */
struct kvm_irq_routing_table {
	int chip[KVM_NR_IRQCHIPS][KVM_IRQCHIP_NUM_PINS]; /* (chip, pin) -> gsi, or -1 */
	u32 nr_rt_entries;  /* entries of gsi_start[]: highest gsi + 1 */
	u32 nr_entries;
	u32 *gsi_start;     /* [nr_rt_entries + 1]: entries of gsi g are entry[gsi_start[g] .. gsi_start[g+1]) */
	struct kvm_kernel_irq_routing_entry entry[]; /* sorted by gsi */
};

/* Raises or lowers a GSI. < 0: ignored (masked), 0: coalesced, > 0: number of CPUs it went to. */
int kvm_set_irq(struct kvm *kvm, int irq_source_id, u32 gsi, int level, bool line_status);
/* Replaces the table by nr entries (copied). 0, -EINVAL, -ENOMEM. */
int kvm_set_irq_routing(struct kvm *kvm, const struct kvm_irq_routing_entry *entries, unsigned nr,
			unsigned flags);
void kvm_free_irq_routing(struct kvm *kvm);
/* Copies gsi's entries to `entries` (KVM_NR_IRQCHIPS of them); returns how many. */
int kvm_irq_map_gsi(struct kvm *kvm, struct kvm_kernel_irq_routing_entry *entries, int gsi);
int kvm_irq_map_chip_pin(struct kvm *kvm, unsigned irqchip, unsigned pin);
/* KVM_SIGNAL_MSI. As kvm_set_irq. */
int kvm_send_userspace_msi(struct kvm *kvm, struct kvm_msi *msi);

struct kvm_irq_ack_notifier {
	struct list_head link;
	unsigned gsi;
	void (*irq_acked)(struct kvm_irq_ack_notifier *kian);
};

/* An in-kernel irqchip reports the EOI of one of its pins: runs the notifiers of its GSI (PIT,
 * resampling irqfds). Call it without the chip's lock: notifiers may raise the line again. */
void kvm_notify_acked_irq(struct kvm *kvm, unsigned irqchip, unsigned pin);
void kvm_notify_acked_gsi(struct kvm *kvm, int gsi);
bool kvm_irq_has_notifier(struct kvm *kvm, unsigned irqchip, unsigned pin);
void kvm_register_irq_ack_notifier(struct kvm *kvm, struct kvm_irq_ack_notifier *kian);
void kvm_unregister_irq_ack_notifier(struct kvm *kvm, struct kvm_irq_ack_notifier *kian);

/* ---- devices of the device control API (device.c) --------------------------------------------------- */

struct kvm_device;

struct kvm_device_ops {
	const char *name; /* of the descriptor */
	/* Caller holds kvm->lock. 0 or -errno. */
	int (*create)(struct kvm_device *dev, u32 type);
	/* After create, without kvm->lock. May be NULL. */
	void (*init)(struct kvm_device *dev);
	/* The VM goes away, or a descriptor could not be had; frees dev. */
	void (*destroy)(struct kvm_device *dev);
	/* Its descriptor was closed: instead of destroy; frees dev. Caller holds kvm->lock. May be NULL: it
	 * lives on. */
	void (*release)(struct kvm_device *dev);
	/* NULL: -EPERM. attr is a copy; attr->addr is a client's address. */
	int (*set_attr)(struct kvm_device *dev, struct kvm_device_attr *attr);
	int (*get_attr)(struct kvm_device *dev, struct kvm_device_attr *attr);
	int (*has_attr)(struct kvm_device *dev, struct kvm_device_attr *attr);
};

struct kvm_device {
	const struct kvm_device_ops *ops;
	struct kvm *kvm;
	void *private;
	struct list_head vm_node; /* kvm->devices; kvm->lock */
};

/* A type of KVM_CREATE_DEVICE. 0, -ENOSPC: no such number, -EEXIST. During start-up. */
int kvm_register_device_ops(const struct kvm_device_ops *ops, u32 type);
void kvm_unregister_device_ops(u32 type);

/* ---- guest memory ----------------------------------------------------------------------------- */

/* 0 or -EFAULT. */
int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len);
int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, unsigned long len);
/* The same in the address space that the vCPU is in (SMM). On its own thread. */
int kvm_vcpu_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, unsigned long len);
int kvm_vcpu_write_guest(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data, unsigned long len);

/* One slot of KVM_SET_USER_MEMORY_REGION(2). Immutable but for the bitmap's contents and gmem. */
struct kvm_memory_slot {
	u32 id; /* as_id << 16 | slot */
	u32 flags;
	u64 base_gfn;
	u64 npages;
	u64 userspace_addr;
	u64 *dirty_bitmap; /* one bit a page, atomic ORs; NULL where not logging */
	struct kvm_gmem *gmem; /* with gmem_link under kvm->slots_lock; NULL: no private pages */
	u64 gmem_pgoff;
	struct list_head gmem_link;
};

/* The slots of one address space by number. Writers hold kvm->slots_lock, readers that or kvm->srcu, or run
 * inside hyp_cpu_run. */
#define KVM_MEMSLOTS_PAGE 512u
struct kvm_memslots {
	struct kvm_memory_slot **page[(KVM_USER_MEM_SLOTS + KVM_MEMSLOTS_PAGE - 1) / KVM_MEMSLOTS_PAGE];
};

/* ---- eventfds (eventfd.c): our own reference to one of the client's ---------------------------- */

struct kvm_eventfd {
	int fd; /* a dup of the client's */
	u64 id; /* the kernel's identity of the eventfd behind it */
};
/* 0, -EBADF, -EINVAL (not an eventfd), -EMFILE. */
int kvm_eventfd_get(struct kvm_eventfd *ev, int client_fd);
void kvm_eventfd_put(struct kvm_eventfd *ev);
void kvm_eventfd_signal(struct kvm_eventfd *ev);
/* Takes the count; false where there was none. Never blocks. */
bool kvm_eventfd_consume(struct kvm_eventfd *ev);

/* A vCPU's dirty ring (virt/dirty_ring.c); dirty_gfns is NULL where the VM has none. */
struct kvm_dirty_ring {
	struct kvm_dirty_gfn *dirty_gfns; /* shared with user space */
	u32 size, soft_limit;             /* entries */
	u32 dirty_index;                  /* the vCPU's thread advances it */
	u32 reset_index;                  /* under kvm->slots_lock */
	int fd;
};

static inline bool kvm_dirty_ring_soft_full(const struct kvm_dirty_ring *ring)
{
	return __atomic_load_n(&ring->dirty_index, __ATOMIC_ACQUIRE) -
		       __atomic_load_n(&ring->reset_index, __ATOMIC_ACQUIRE) >=
	       ring->soft_limit;
}

/* On the way into the guest: must the vCPU leave with KVM_EXIT_DIRTY_RING_FULL? */
bool kvm_dirty_ring_check_request(struct kvm_vcpu *vcpu);

/* ---- the objects ------------------------------------------------------------------------------ */

/* kvm_vcpu.wait */
enum { KVM_WAIT_SLEEPS = 1, KVM_WAIT_POLLS = 2 };

enum kvm_vcpu_mode { OUTSIDE_GUEST_MODE, IN_GUEST_MODE, EXITING_GUEST_MODE };

struct kvm_vcpu_stat {
#define STAT(name, help) u64 name;
#include "virt/vcpu_stats.inc"
#undef STAT
	u64 exit_reason[HYP_EXIT_NR];
};

struct kvm_vcpu {
	struct kvm *kvm;
	int vcpu_id;  /* KVM_CREATE_VCPU's argument; default APIC id */
	int vcpu_idx; /* index in kvm->vcpus */
	struct hyp_cpu *hyp;
	pthread_mutex_t mutex;
	struct kvm_run *run; /* KUSE_RUN_SIZE bytes, our own mapping of the vcpu fd's memfd; only run.c writes it */
	int run_fd;          /* the number given to the client, -1 once closed */
	u64 requests;        /* atomic */
	u32 mode;            /* enum kvm_vcpu_mode, atomic */
	u32 wait;            /* futex: 0 running, or KVM_WAIT_*: about to sleep, asleep, polling */
	u32 halt_poll_ns;    /* how long it polls before it sleeps; own thread */
	u32 halt_poll_skip;  /* so many halts do not */
	u32 halt_poll_lost;  /* polls in a row that were given up because others wanted the CPU */
	bool sigset_active;
	u64 sigset;
	u32 signal_pending;  /* set by kuse_signal_notify on the thread inside KVM_RUN */
	struct kvm_dirty_ring dirty_ring;
	bool ready;          /* kicked by a paravirtual hypercall: directed yield candidate */

	/* A guest access that user space answers, one piece of <= 8 bytes at a time. */
	bool mmio_needed, mmio_is_write, mmio_read_completed;

	struct kvm_vcpu_stat *stat; /* stat_page.c */
	struct kuse_stat_slot *stat_slot; /* what it is in, or NULL */
	struct {
		pid_t tid; /* whose schedstat fd is; 0: none is open */
		int fd;
	} sched_stat;
	u64 perf_seen;       /* hyp_cpu_blocks */
	u8 *stats_map;       /* KVM_GET_STATS_FD's memfd, or NULL */
	struct kvm_vcpu_arch arch;
};

struct kvm_vm_stat {
	u64 memslot_updates;
};

struct kvm {
	pthread_mutex_t lock;
	pthread_mutex_t slots_lock;
	pthread_mutex_t irq_lock;
	struct srcu_struct srcu;     /* memslots, buses */
	struct srcu_struct irq_srcu; /* irq_routing, ack notifiers */

	struct hyp_as *as;
	struct kvm_memslots *memslots[KVM_MAX_NR_ADDRESS_SPACES];
	struct kvm_io_bus *buses[KVM_NR_BUSES];
	struct kvm_irq_routing_table *irq_routing;
	struct list_head irq_ack_notifier_list; /* irq_lock; walked under irq_srcu */
	struct list_head irqfds;      /* irqfd.c */
	struct list_head resampler_list;
	struct kvm_irqfd_service *irqfd_service;
	struct list_head ioeventfds;  /* slots_lock */
	struct kvm_coalesced_mmio_ring *coalesced_mmio_ring; /* the third page of every vCPU's kvm_run */
	int coalesced_mmio_fd;
	pthread_mutex_t ring_lock;
	struct list_head coalesced_zones; /* slots_lock */
	struct list_head devices;     /* kvm->lock */
	struct kvm_timer_service *timer_service;

	struct kvm_vcpu *vcpus[KVM_MAX_VCPUS]; /* [0, online_vcpus) are set; published by online_vcpus */
	u32 online_vcpus; /* atomic */
	u32 created_vcpus; /* kvm->lock */
	u32 max_vcpus;
	u32 max_halt_poll_ns; /* atomic */
	u64 users_count;  /* atomic; the vm fd and each vcpu/device fd */
	bool vm_dead;
	u64 manual_dirty_log_protect;
	bool dirty_ring_with_bitmap; /* KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP */
	u32 dirty_ring_size; /* bytes of each vCPU's dirty ring; 0: the log is used */
	bool vm_bugged;
	struct list_head vm_list;
	u32 mm; /* kvm_current_mm() of its maker: in a forked child its ioctls fail with -EIO */
	struct kvm_vm_stat stat;
	struct kvm_stat_page *stat_page; /* NULL: there is none, each vCPU has its counters for itself */
	struct kvm_arch arch;
};

static inline u32 kvm_online_vcpus(struct kvm *kvm)
{
	return __atomic_load_n(&kvm->online_vcpus, __ATOMIC_ACQUIRE);
}

static inline struct kvm_vcpu *kvm_get_vcpu(struct kvm *kvm, u32 i)
{
	return i < kvm_online_vcpus(kvm) ? kvm->vcpus[i] : NULL;
}

#define kvm_for_each_vcpu(idx, vcpu, kvm) \
	for ((idx) = 0; ((vcpu) = kvm_get_vcpu(kvm, idx)) != NULL; (idx)++)

/* sched_stat.c */
bool kvm_sched_info_on(void); /* the host tells run delays */
/* How long the vCPU's (the calling) thread has been waiting for a CPU so far, or 0. */
u64 kvm_run_delay_ns(struct kvm_vcpu *vcpu);
void kvm_sched_stat_close(struct kvm_vcpu *vcpu);

struct kvm_vcpu *kvm_get_vcpu_by_id(struct kvm *kvm, int id);
/* The vCPU whose KVM_RUN the calling thread is in, or NULL. */
struct kvm_vcpu *kvm_get_running_vcpu(void);
void kvm_get_kvm(struct kvm *kvm);
void kvm_put_kvm(struct kvm *kvm);
/* The VM is in no defined state any more: further ioctls fail with -EIO. */
void kvm_vm_dead(struct kvm *kvm);
/* Our own fault: the VM refuses further ioctls with -EIO. */
void kvm_vm_bugged(struct kvm *kvm, const char *why);

#include "virt/init.h"
#include "virt/kvm_arch.h"

#endif
