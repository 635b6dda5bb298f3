/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs: creation, the thread that runs each, the exit table, stopping.
 *
 * Stopping and kicking: the other side sets immediate_exit in kvm_run and signals the thread. If the
 * signal comes while the thread is inside KVM_RUN, the handler's notify_signal (or the kernel) ends it; if
 * it comes just before, immediate_exit makes the KVM_RUN that follows return at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "vmm/machine.h"
#include "vmm/serial.h"

#define KICK_SIGNAL (SIGRTMIN + 3)
#define STOP_TRIES 1000 /* of 5 ms each */

static __thread struct vcpu *this_vcpu;

int vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg)
{
	return vcpu->vm->accel->ioctl(vcpu->fd, request, (unsigned long)arg);
}

static int vcpu_create(struct vm *vm, struct vcpu *vcpu, u32 id)
{
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = vm->accel->ioctl(vm->vm_fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		return vm_end_errno(vm, "KVM_CREATE_VCPU");
	vcpu->run = vm->accel->mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vm->accel->close(vcpu->fd);
		return vm_end_errno(vm, "mmap of kvm_run");
	}
	return 0;
}

int vcpus_create(struct vm *vm)
{
	vm->vcpus = calloc(vm->cfg->cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory");
	for (u32 i = 0; i < vm->cfg->cpus; i++) {
		if (vcpu_create(vm, &vm->vcpus[i], i) < 0) {
			vcpus_destroy(vm);
			return -1;
		}
		vm->vcpus_up++;
	}
	return 0;
}

void vcpus_destroy(struct vm *vm)
{
	while (vm->vcpus_up > 0) {
		struct vcpu *vcpu = &vm->vcpus[--vm->vcpus_up];

		vm->accel->munmap(vcpu->run, vm->run_size);
		vm->accel->close(vcpu->fd);
	}
	free(vm->vcpus);
	vm->vcpus = NULL;
}

int vcpus_reset(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpus_up; i++)
		if (machine_vcpu_reset(&vm->vcpus[i]) < 0)
			return -1;
	return 0;
}

/* ---- the exit table: > 0 run on, 0 this vCPU is done ---- */

static int exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u8 *data = (u8 *)run + run->io.data_offset;

	for (u32 i = 0; i < run->io.count; i++, data += run->io.size)
		io_port(vcpu->vm, run->io.port, data, run->io.size, run->io.direction == KVM_EXIT_IO_OUT);
	return 1;
}

static int exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	io_mmio(vcpu->vm, run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write);
	return 1;
}

static int exit_again(struct vcpu *vcpu)
{
	return 1;
}

static int exit_shutdown(struct vcpu *vcpu)
{
	vm_end(vcpu->vm, VM_END_TRIPLE_FAULT, 0,
	       "the guest triple-faulted (vCPU %u at 0x%llx); its kernel is damaged or not for a PC",
	       vcpu->id, (unsigned long long)machine_vcpu_pc(vcpu));
	return 0;
}

static int exit_system_event(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_guest_poweroff(vm);
		return 0;
	case KVM_SYSTEM_EVENT_RESET:
		vm_guest_reset(vm);
		return 0;
	case KVM_SYSTEM_EVENT_CRASH:
		vm_guest_panic(vm);
		return 0;
	default:
		return 1;
	}
}

static int exit_internal_error(struct vcpu *vcpu)
{
	vm_end(vcpu->vm, VM_END_KVM_ERROR, 0,
	       "%s gave up on the guest: internal error %u at 0x%llx (vCPU %u); "
	       "please report it with the guest's log",
	       vcpu->vm->accel->title, vcpu->run->internal.suberror,
	       (unsigned long long)machine_vcpu_pc(vcpu), vcpu->id);
	return 0;
}

static int exit_fail_entry(struct vcpu *vcpu)
{
	vm_end(vcpu->vm, VM_END_KVM_ERROR, 0,
	       "%s refused to enter the guest (reason 0x%llx, vCPU %u); try --accel kuse",
	       vcpu->vm->accel->title,
	       (unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason, vcpu->id);
	return 0;
}

/* Without the in-kernel irqchip only; nothing could ever wake it. */
static int exit_hlt(struct vcpu *vcpu)
{
	vm_end(vcpu->vm, VM_END_STUCK, 0, "vCPU %u halted and nothing can wake it", vcpu->id);
	return 0;
}

static int (*const exits[])(struct vcpu *vcpu) = {
	[KVM_EXIT_UNKNOWN] = exit_again,
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_INTR] = exit_again,
	[KVM_EXIT_HLT] = exit_hlt,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
};

static int vcpu_exit(struct vcpu *vcpu)
{
	u32 reason = vcpu->run->exit_reason;

	if (reason < ARRAY_SIZE(exits) && exits[reason])
		return exits[reason](vcpu);
	vm_end(vcpu->vm, VM_END_KVM_ERROR, 0, "%s returned the unexpected exit reason %u; please report it",
	       vcpu->vm->accel->title, reason);
	return 0;
}

/* ---- the thread ---- */

static bool atomic_true(bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* The stuck check asks: halted with interrupts off, or never started? Answered once per round. */
static void vcpu_inspect(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	u32 round = __atomic_load_n(&vm->inspect, __ATOMIC_ACQUIRE);

	if (round == vcpu->inspected)
		return;
	vcpu->inspected = round;
	if (machine_vcpu_off(vcpu))
		__atomic_add_fetch(&vm->halted_off, 1, __ATOMIC_ACQ_REL);
	__atomic_add_fetch(&vm->inspected, 1, __ATOMIC_ACQ_REL);
}

/* KVM_RUN was interrupted: 1 to run on. */
static int vcpu_interrupted(struct vcpu *vcpu)
{
	if (errno != EINTR && errno != EAGAIN) {
		vm_end_errno(vcpu->vm, "KVM_RUN");
		return 0;
	}
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	vcpu_inspect(vcpu);
	return 1;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vm *vm = vcpu->vm;
	char name[16];
	int more = 1;

	this_vcpu = vcpu;
	snprintf(name, sizeof(name), "vcpu-%u", vcpu->id);
	pthread_setname_np(pthread_self(), name);
	while (more && !vm_ended(vm) && !atomic_true(&vm->stopping)) {
		if (vm->accel->ioctl(vcpu->fd, KVM_RUN, 0) < 0)
			more = vcpu_interrupted(vcpu);
		else
			more = vcpu_exit(vcpu);
	}
	__atomic_store_n(&vcpu->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void kick_handler(int sig)
{
	if (!this_vcpu)
		return;
	__atomic_store_n(&this_vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	this_vcpu->vm->accel->notify_signal();
}

int vcpus_start(struct vm *vm)
{
	struct sigaction sa = {.sa_handler = kick_handler};

	sigfillset(&sa.sa_mask);
	sigaction(KICK_SIGNAL, &sa, NULL);
	for (u32 i = 0; i < vm->vcpus_up; i++) {
		if (pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread, &vm->vcpus[i]) != 0) {
			vm_end(vm, VM_END_HOST_MEMORY, 0,
			       "the host cannot start a thread for vCPU %u; use fewer --cpus", i);
			vcpus_stop(vm);
			return -1;
		}
		vm->vcpus[i].started = true;
	}
	return 0;
}

static void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

void vcpus_kick(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpus_up; i++)
		if (vm->vcpus[i].started && !atomic_true(&vm->vcpus[i].done))
			vcpu_kick(&vm->vcpus[i]);
}

/* A KVM that does not return from KVM_RUN must not keep us here: after 5 s the process ends without it. */
static void vcpu_stop(struct vcpu *vcpu)
{
	const struct timespec tick = {.tv_nsec = 5000000};

	for (int i = 0; i < STOP_TRIES && !atomic_true(&vcpu->done); i++) {
		vcpu_kick(vcpu);
		nanosleep(&tick, NULL);
	}
	if (!atomic_true(&vcpu->done)) {
		fprintf(stderr, "kuse: vCPU %u does not return from KVM_RUN on %s\n", vcpu->id,
			vcpu->vm->accel->title);
		_Exit(1);
	}
	pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}

void vcpus_stop(struct vm *vm)
{
	__atomic_store_n(&vm->stopping, true, __ATOMIC_RELEASE);
	serial_release(vm->serial);
	vcpus_kick(vm);
	for (u32 i = vm->vcpus_up; i-- > 0;)
		if (vm->vcpus[i].started)
			vcpu_stop(&vm->vcpus[i]);
	if (vm->cfg->inspect)
		vm->cfg->inspect(vm, vm->cfg->inspect_opaque);
}

u64 vcpus_cpu_time(struct vm *vm)
{
	u64 total = 0;

	for (u32 i = 0; i < vm->vcpus_up; i++) {
		struct timespec ts;
		clockid_t clock;

		if (vm->vcpus[i].started && pthread_getcpuclockid(vm->vcpus[i].thread, &clock) == 0 &&
		    clock_gettime(clock, &ts) == 0)
			total += ts.tv_sec * 1000000000ull + ts.tv_nsec;
	}
	return total;
}
