/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine as the VMM sees it: configuration, the KVM file descriptors, guest memory, vCPUs,
 * devices. Everything a VM has hangs off struct vm; nothing is file-scope, so two can live in a process.
 *
 * vm_run (vm.c) brings a VM up by a table of steps, each with init and exit, and takes down what was
 * brought up in reverse. Threads: the caller's thread is the event loop (loop.c: terminal, signals, stuck
 * check); each vCPU has its own (vcpu.c). Any thread may call vm_end; the first verdict stands.
 *
 * Lock order: a device's lock, then vm->end_lock. No lock is held across KVM_RUN.
 */
#ifndef KUSE_VMM_VM_H
#define KUSE_VMM_VM_H

#include <linux/kvm.h>
#include <pthread.h>

#include "lib/types.h"
#include "vmm/accel.h"
#include "vmm/verdict.h"
#include "vmm_machine.h"

enum boot_format { BOOT_AUTO, BOOT_BZIMAGE, BOOT_ELF, BOOT_PVH, BOOT_FLAT, BOOT_IMAGE };

struct vm;
struct vm_config {
	const char *name;
	const char *kernel;      /* path */
	const char *initrd;      /* path, or NULL */
	const void *initrd_data; /* used when initrd is NULL: an initramfs in memory, or NULL */
	size_t initrd_size;
	const char *cmdline;
	u64 memory; /* bytes */
	u32 cpus;
	enum boot_format format;
	int irqchip;  /* row of machine_irqchips; -1: as the machine finds best */
	bool pmu;     /* a performance monitor, where MACHINE_PMU */
	bool command; /* the guest runs a CMD and reports its status */
	bool debug;
	bool escape;  /* Ctrl-A is ours (stdin is a terminal) */
	u32 stuck_ms; /* period of the stuck check; 0: VM_STUCK_MS */
	/* NULL, or called when the guest has run for the last time and all is still there: RAM, vCPUs. */
	void (*inspect)(struct vm *vm, void *opaque);
	void *inspect_opaque;
};

#define VM_STUCK_MS 5000u

struct vcpu;
struct aml;
struct fdt;
struct serial;

/* One step of bringing a VM up; exit (may be NULL) undoes it. machine.h has the table. */
struct vm_step {
	const char *name;
	int (*init)(struct vm *vm);
	void (*exit)(struct vm *vm);
};

/* One device: a row of the table in devices.c. state is what init stored. */
struct device_type {
	const char *name;
	int (*init)(struct vm *vm, void **state);
	void (*exit)(struct vm *vm, void *state);
	void (*aml)(struct aml *aml); /* its node under \_SB, or NULL */
	void (*fdt)(struct fdt *fdt); /* its node of the device tree, or NULL */
};

/* A claimed range of I/O ports or of guest-physical addresses. data is zeroed to all-ones before a read. */
struct io_range {
	u64 base, len;
	void (*read)(void *dev, u64 offset, u8 *data, u32 size);
	void (*write)(void *dev, u64 offset, const u8 *data, u32 size);
	void *dev;
};

#define VM_MAX_RANGES 24
#define VM_MAX_DEVICES 16
#define VM_MAX_CPUS 64

struct vm_memory {
	u8 *base;      /* one mapping: low part, then high part */
	int fd;        /* the file mapped there; -1: anonymous memory */
	u64 size;      /* bytes */
	u64 low, high; /* bytes from GPA_RAM on, at most RAM_LOW_MAX; bytes from 4 GiB up */
};

struct vm {
	const struct vm_config *cfg;
	const struct accel *accel;
	int sys_fd, vm_fd;
	int run_size; /* of the kvm_run mapping, bytes */
	struct vm_memory mem;
	struct vcpu *vcpus;
	u32 vcpus_up; /* created; unwound in reverse */
	struct vm_machine machine; /* what one architecture adds */

	struct io_range ports[VM_MAX_RANGES], mmio[VM_MAX_RANGES];
	u32 nr_ports, nr_mmio;
	void *device_state[VM_MAX_DEVICES];
	u32 devices_up;
	struct serial *serial;

	/* Boot entry, filled in by the kernel loader, read by vcpu_reset. */
	struct {
		enum boot_format format;
		gpa_t entry;
		gpa_t params;      /* zero page, hvm_start_info, or device tree */
		gpa_t kernel_end;  /* first byte past what the kernel occupies while starting */
		gpa_t initrd;      /* 0: none */
		u64 initrd_size;
		u64 initrd_max;    /* highest allowed last byte */
		gpa_t rsdp;
	} boot;

	pthread_mutex_t end_lock;
	enum vm_end end;
	int end_value;
	char end_text[512];
	int wake_fd;             /* eventfd: the event loop should look */
	bool stopping;           /* atomic: vCPU threads leave */
	bool panicked;           /* the guest told of a panic */
	int command_status;      /* -1: not reported */
	bool command_input;      /* atomic: CMD's terminal is set up, input may come */
	u32 inspect;             /* atomic: round number of the stuck check */
	u32 inspected, halted_off; /* atomic: answers in this round */
};

/* Steps that every machine has (vm.c). */
int vm_open(struct vm *vm);
void vm_close(struct vm *vm);
int vm_check_api(struct vm *vm);
int vm_create(struct vm *vm);
void vm_destroy(struct vm *vm);
int vm_check_extensions(struct vm *vm);

/* Runs a VM from nothing to its end; returns the verdict, text (one line, may be empty) and value in *vm. */
enum vm_end vm_run(struct vm *vm, const struct vm_config *cfg, const struct accel *accel);
const char *vm_end_name(enum vm_end end);

/* Ends the VM with a verdict (the first stands). Returns -1, so that init steps can return it. */
int vm_end(struct vm *vm, enum vm_end end, int value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same, from errno of a failed KVM call: out of memory is told apart. */
int vm_end_errno(struct vm *vm, const char *what);
bool vm_ended(struct vm *vm);
void vm_wake(struct vm *vm);
/* The guest asks for power-off or reset; what it means depends on panic and command status. */
void vm_guest_poweroff(struct vm *vm);
void vm_guest_reset(struct vm *vm);
void vm_guest_panic(struct vm *vm);
void vm_debug(struct vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int vm_ioctl(struct vm *vm, unsigned long request, void *arg);
int vm_sys_ioctl(struct vm *vm, unsigned long request, unsigned long arg);
void vm_irq_line(struct vm *vm, u32 irq, bool level);

/* memory.c */
int memory_init(struct vm *vm);
void memory_exit(struct vm *vm);
/* memory_file.c: a new file of so many bytes for guest RAM, or -1. */
int memory_file_create(u64 size);
/* Guest RAM [gpa, gpa+len) as a pointer, or NULL when not all of it is RAM. */
void *memory_at(struct vm *vm, gpa_t gpa, u64 len);
int memory_write(struct vm *vm, gpa_t gpa, const void *data, u64 len);

/* io.c */
int io_add_ports(struct vm *vm, const struct io_range *range);
int io_add_mmio(struct vm *vm, const struct io_range *range);
void io_port(struct vm *vm, u16 port, u8 *data, u32 size, bool write);
void io_mmio(struct vm *vm, gpa_t gpa, u8 *data, u32 len, bool write);

/* devices.c */
extern const struct device_type *const device_types[];
int devices_init(struct vm *vm);
void devices_exit(struct vm *vm);

/* loop.c */
void loop_run(struct vm *vm);
/* SIGINT, SIGTERM, SIGHUP are taken by the loop: blocked here before any other thread exists. */
void loop_block_signals(void);

#endif
