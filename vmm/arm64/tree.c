/* SPDX-License-Identifier: Apache-2.0 */
/* The device tree: CPUs, memory, interrupt controller, timer, PSCI, and what each device says of itself. */
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/arm64/arm64.h"
#include "vmm/arm64/fdt.h"

#define MPIDR_AFFINITY 0xff00ffffffull
#define STRINGS(f, name, text) dt_bytes(f, name, text, sizeof(text)) /* several, by \0 */

static void chosen(struct vm *vm, struct fdt *f)
{
	u64 seed[8];

	dt_node(f, "chosen");
	dt_string(f, "bootargs", vm->cfg->cmdline);
	dt_string(f, "stdout-path", "/serial@1000000");
	if (vm->boot.initrd) {
		dt_u64(f, "linux,initrd-start", vm->boot.initrd);
		dt_u64(f, "linux,initrd-end", vm->boot.initrd + vm->boot.initrd_size);
	}
	if (getrandom(seed, sizeof(seed), 0) == sizeof(seed)) {
		dt_u64(f, "kaslr-seed", seed[0]);
		dt_bytes(f, "rng-seed", seed + 1, sizeof(seed) - sizeof(seed[0]));
	}
	dt_end(f);
}

static void memory(struct vm *vm, struct fdt *f)
{
	const u64 reg[] = {GPA_RAM, vm->mem.low};

	dt_node_at(f, "memory", GPA_RAM);
	dt_string(f, "device_type", "memory");
	dt_reg(f, reg, 1);
	dt_end(f);
}

static void cpus(struct vm *vm, struct fdt *f)
{
	dt_node(f, "cpus");
	dt_u32(f, "#address-cells", 2);
	dt_u32(f, "#size-cells", 0);
	for (u32 i = 0; i < vm->vcpus_up; i++) {
		u64 affinity = vm->machine.mpidr[i] & MPIDR_AFFINITY;

		dt_node_at(f, "cpu", affinity);
		dt_string(f, "device_type", "cpu");
		dt_string(f, "compatible", "arm,armv8");
		dt_string(f, "enable-method", "psci");
		dt_u64(f, "reg", affinity);
		dt_end(f);
	}
	dt_end(f);
}

static void psci(struct fdt *f)
{
	dt_node(f, "psci");
	STRINGS(f, "compatible", "arm,psci-1.0\0arm,psci-0.2");
	dt_string(f, "method", "hvc");
	dt_end(f);
}

/* GICv2's binding has the CPUs of a PPI in its flags. */
u32 tree_ppi_flags(const struct vm *vm)
{
	return FDT_IRQ_HIGH | (vm->machine.gicv2 ? ((1u << vm->vcpus_up) - 1) << 8 : 0);
}

/* Secure, non-secure, virtual and hypervisor timer. */
static void timer(struct vm *vm, struct fdt *f)
{
	const u32 flags = tree_ppi_flags(vm);
	const u32 irqs[] = {FDT_IRQ_PPI, 13, flags, FDT_IRQ_PPI, 14, flags,
			    FDT_IRQ_PPI, 11, flags, FDT_IRQ_PPI, 10, flags};

	dt_node(f, "timer");
	dt_string(f, "compatible", "arm,armv8-timer");
	dt_cells(f, "interrupts", irqs, ARRAY_SIZE(irqs));
	dt_bytes(f, "always-on", "", 0);
	dt_end(f);
}

static void its(struct vm *vm, struct fdt *f)
{
	const u64 reg[] = {vm->machine.its, GIC_ITS_SIZE};

	if (!vm->machine.its)
		return;
	dt_node_at(f, "msi-controller", vm->machine.its);
	dt_string(f, "compatible", "arm,gic-v3-its");
	dt_bytes(f, "msi-controller", "", 0);
	dt_u32(f, "#msi-cells", 1);
	dt_reg(f, reg, 1);
	dt_u32(f, "phandle", FDT_PHANDLE_ITS);
	dt_end(f);
}

static void gic(struct vm *vm, struct fdt *f)
{
	const u64 reg[] = {GPA_GIC_DIST, GIC_DIST_SIZE, vm->machine.redist, GPA_GIC_DIST - vm->machine.redist};

	dt_node_at(f, "interrupt-controller", GPA_GIC_DIST);
	dt_string(f, "compatible", vm->machine.gicv2 ? "arm,cortex-a15-gic" : "arm,gic-v3");
	dt_u32(f, "#interrupt-cells", 3);
	dt_bytes(f, "interrupt-controller", "", 0);
	dt_reg(f, reg, 2);
	dt_u32(f, "phandle", FDT_PHANDLE_GIC);
	dt_u32(f, "#address-cells", 2);
	dt_u32(f, "#size-cells", 2);
	dt_bytes(f, "ranges", "", 0);
	its(vm, f);
	dt_end(f);
}

/* The bus clock that PrimeCell devices want. */
static void bus_clock(struct fdt *f)
{
	dt_node(f, "apb-pclk");
	dt_string(f, "compatible", "fixed-clock");
	dt_u32(f, "#clock-cells", 0);
	dt_u32(f, "clock-frequency", 24000000);
	dt_u32(f, "phandle", FDT_PHANDLE_CLOCK);
	dt_end(f);
}

static void nodes(struct vm *vm, struct fdt *f)
{
	dt_node(f, "");
	dt_string(f, "compatible", "linux,dummy-virt");
	dt_string(f, "model", "kuse");
	dt_u32(f, "#address-cells", 2);
	dt_u32(f, "#size-cells", 2);
	dt_u32(f, "interrupt-parent", FDT_PHANDLE_GIC);
	chosen(vm, f);
	memory(vm, f);
	cpus(vm, f);
	psci(f);
	pmu_node(vm, f);
	timer(vm, f);
	gic(vm, f);
	bus_clock(f);
	for (u32 i = 0; device_types[i]; i++)
		if (device_types[i]->fdt)
			device_types[i]->fdt(f);
	dt_end(f);
}

int tree_write(struct vm *vm)
{
	struct fdt f = {.blob = malloc(TREE_BYTES)};
	int ret = 0;

	if (!f.blob)
		return vm_end(vm, VM_END_HOST_MEMORY, 0, "the host is out of memory");
	f.error = fdt_create(f.blob, TREE_BYTES);
	if (!f.error)
		f.error = fdt_finish_reservemap(f.blob);
	nodes(vm, &f);
	if (!f.error)
		f.error = fdt_finish(f.blob);
	if (f.error)
		ret = vm_end(vm, VM_END_KERNEL, 0, "the device tree: %s; shorten --params",
			     fdt_strerror(f.error));
	else if (memory_write(vm, vm->boot.params, f.blob, fdt_totalsize(f.blob)) < 0)
		ret = vm_end(vm, VM_END_MEMORY, 0,
			     "--mem is too small for the device tree; use --mem 64M or more");
	free(f.blob);
	return ret;
}
