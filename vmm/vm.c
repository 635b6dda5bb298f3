/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a VM up and down. The steps are kvmtool's chain: open, API version, create the VM, required
 * extensions, the architecture's set-up, RAM, vCPUs, devices, the kernel, firmware tables, registers.
 * vm_run walks the table down, runs, and walks back up from wherever it got to.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/machine.h"
#include "vmm/serial.h"
#include "vmm/term.h"

static const char *const end_names[VM_END_COUNT] = {
	[VM_END_NONE] = "running",
	[VM_END_POWEROFF] = "power-off",
	[VM_END_RESET] = "reset",
	[VM_END_DEBUG_EXIT] = "debug-exit",
	[VM_END_COMMAND] = "command",
	[VM_END_NO_COMMAND] = "no-command",
	[VM_END_QUIT] = "quit",
	[VM_END_KERNEL] = "kernel",
	[VM_END_INITRD] = "initrd",
	[VM_END_MEMORY] = "memory",
	[VM_END_NO_KVM] = "no-kvm",
	[VM_END_KVM_ERROR] = "kvm-error",
	[VM_END_HOST_MEMORY] = "host-memory",
	[VM_END_TRIPLE_FAULT] = "triple-fault",
	[VM_END_PANIC] = "panic",
	[VM_END_STUCK] = "stuck",
	[VM_END_SIGNAL] = "signal",
};

const char *vm_end_name(enum vm_end end)
{
	return end_names[end];
}

void vm_wake(struct vm *vm)
{
	u64 one = 1;

	if (vm->wake_fd >= 0 && write(vm->wake_fd, &one, sizeof(one)) < 0)
		vm_debug(vm, "wake: %s", strerror(errno));
}

int vm_end(struct vm *vm, enum vm_end end, int value, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&vm->end_lock);
	if (vm->end == VM_END_NONE) {
		va_start(ap, fmt);
		vsnprintf(vm->end_text, sizeof(vm->end_text), fmt, ap);
		va_end(ap);
		vm->end_value = value;
		__atomic_store_n(&vm->end, end, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&vm->end_lock);
	vm_wake(vm);
	return -1;
}

int vm_end_errno(struct vm *vm, const char *what)
{
	int error = errno;

	if (error == ENOMEM)
		return vm_end(vm, VM_END_HOST_MEMORY, 0,
			      "the host is out of memory (%s); free some, or use a smaller --mem", what);
	return vm_end(vm, VM_END_KVM_ERROR, 0, "%s failed on %s: %s; `kuse doctor` may tell why", what,
		      vm->accel->title, strerror(error));
}

bool vm_ended(struct vm *vm)
{
	return __atomic_load_n(&vm->end, __ATOMIC_ACQUIRE) != VM_END_NONE;
}

void vm_debug(struct vm *vm, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (!vm->cfg->debug)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "kuse: %s: %s%s", vm->cfg->name, line, term_is_raw() ? "\r\n" : "\n");
}

static const char panic_text[] = "the guest's kernel panicked; see the guest's log above";

void vm_guest_poweroff(struct vm *vm)
{
	if (vm->command_status >= 0)
		vm_end(vm, VM_END_COMMAND, vm->command_status, "%s", "");
	else if (vm->cfg->command)
		vm_end(vm, VM_END_NO_COMMAND, 0,
		       "the guest powered off before the command's exit status was known");
	else
		vm_end(vm, VM_END_POWEROFF, 0, "%s", "");
}

void vm_guest_reset(struct vm *vm)
{
	if (vm->panicked || serial_saw_panic(vm->serial))
		vm_end(vm, VM_END_PANIC, 0, panic_text);
	else if (vm->command_status >= 0)
		vm_end(vm, VM_END_COMMAND, vm->command_status, "%s", "");
	else if (vm->cfg->command)
		vm_end(vm, VM_END_NO_COMMAND, 0,
		       "the guest reset before the command's exit status was known");
	else
		vm_end(vm, VM_END_RESET, 0, "%s", "");
}

void vm_guest_panic(struct vm *vm)
{
	vm->panicked = true;
	vm_end(vm, VM_END_PANIC, 0, panic_text);
}

int vm_ioctl(struct vm *vm, unsigned long request, void *arg)
{
	return vm->accel->ioctl(vm->vm_fd, request, (unsigned long)arg);
}

int vm_sys_ioctl(struct vm *vm, unsigned long request, unsigned long arg)
{
	return vm->accel->ioctl(vm->sys_fd, request, arg);
}

void vm_irq_line(struct vm *vm, u32 irq, bool level)
{
	struct kvm_irq_level line = {.irq = machine_irq(irq), .level = level};

	if (vm_ioctl(vm, KVM_IRQ_LINE, &line) < 0)
		vm_end_errno(vm, "KVM_IRQ_LINE");
}

/* ---- the steps ---- */

int vm_open(struct vm *vm)
{
	char why[300];

	vm->sys_fd = vm->accel->open();
	if (vm->sys_fd >= 0)
		return 0;
	snprintf(why, sizeof(why), "%s", strerror(errno));
	if (vm->accel->explain)
		vm->accel->explain(why, sizeof(why));
	return vm_end(vm, VM_END_NO_KVM, 0, "cannot open %s: %s", vm->accel->title, why);
}

void vm_close(struct vm *vm)
{
	vm->accel->close(vm->sys_fd);
	vm->sys_fd = -1;
}

int vm_check_api(struct vm *vm)
{
	int version = vm_sys_ioctl(vm, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return vm_end(vm, VM_END_NO_KVM, 0,
			      "%s speaks API version %d, this VMM speaks %d; use --accel kuse",
			      vm->accel->title, version, KVM_API_VERSION);
	return 0;
}

int vm_create(struct vm *vm)
{
	vm->vm_fd = vm_sys_ioctl(vm, KVM_CREATE_VM, machine_type(vm));
	return vm->vm_fd < 0 ? vm_end_errno(vm, "KVM_CREATE_VM") : 0;
}

void vm_destroy(struct vm *vm)
{
	vm->accel->close(vm->vm_fd);
	vm->vm_fd = -1;
}

int vm_check_extensions(struct vm *vm)
{
	int max;

	for (size_t i = 0; machine_caps[i].name; i++)
		if (vm_sys_ioctl(vm, KVM_CHECK_EXTENSION, machine_caps[i].cap) <= 0)
			return vm_end(vm, VM_END_NO_KVM, 0,
				      "%s lacks %s, which this VMM needs; use --accel kuse", vm->accel->title,
				      machine_caps[i].name);
	max = vm_sys_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (max > 0 && vm->cfg->cpus > (u32)max)
		return vm_end(vm, VM_END_NO_KVM, 0, "%s allows %d vCPUs, not %u; use fewer --cpus",
			      vm->accel->title, max, vm->cfg->cpus);
	vm->run_size = vm_sys_ioctl(vm, KVM_GET_VCPU_MMAP_SIZE, 0);
	return vm->run_size <= 0 ? vm_end_errno(vm, "KVM_GET_VCPU_MMAP_SIZE") : machine_check(vm);
}

static u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

static size_t steps_up(struct vm *vm)
{
	size_t i;

	for (i = 0; machine_steps[i].name; i++) {
		u64 start = now_us();

		if (machine_steps[i].init(vm) < 0)
			return i;
		vm_debug(vm, "%s: %llu us", machine_steps[i].name, (unsigned long long)(now_us() - start));
	}
	return i;
}

enum vm_end vm_run(struct vm *vm, const struct vm_config *cfg, const struct accel *accel)
{
	size_t up;

	memset(vm, 0, sizeof(*vm));
	vm->cfg = cfg;
	vm->accel = accel;
	vm->sys_fd = vm->vm_fd = -1;
	vm->command_status = -1;
	pthread_mutex_init(&vm->end_lock, NULL);
	loop_block_signals();
	term_catch_fatal();
	vm->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	up = steps_up(vm);
	if (!machine_steps[up].name)
		loop_run(vm);
	while (up-- > 0)
		if (machine_steps[up].exit)
			machine_steps[up].exit(vm);
	close(vm->wake_fd);
	vm->wake_fd = -1;
	pthread_mutex_destroy(&vm->end_lock);
	return vm->end;
}
