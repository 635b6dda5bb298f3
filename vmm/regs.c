/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers at the start, as firmware would leave them: for every vCPU the FPU, MTRRs and the local APIC's
 * LINT pins (virtual wire); for the boot CPU also the entry state of its boot protocol. Secondary CPUs keep
 * KVM's reset state until INIT and SIPI.
 */
#include <string.h>

#include "vmm/boot.h"
#include "vmm/vcpu.h"

#define MSR_IA32_MISC_ENABLE 0x1a0u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define APIC_LVT_LINT0 0x350u
#define APIC_LVT_LINT1 0x360u
#define APIC_MODE_NMI (4u << 8)
#define APIC_MODE_EXTINT (7u << 8)

static int set_fpu(struct vcpu *vcpu)
{
	struct kvm_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1f80};

	return vcpu_ioctl(vcpu, KVM_SET_FPU, &fpu) < 0 ? vm_end_errno(vcpu->vm, "KVM_SET_FPU") : 0;
}

/* One at a time: a KVM may lack one of them, and a guest lives without. */
static int set_msrs(struct vcpu *vcpu)
{
	static const struct kvm_msr_entry msrs[] = {
		{.index = MSR_MTRR_DEF_TYPE, .data = 0x800 | 6}, /* enabled, write-back */
		{.index = MSR_IA32_MISC_ENABLE, .data = 1},      /* fast strings */
	};

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = {.head.nmsrs = 1, .entry = msrs[i]};

		if (vcpu_ioctl(vcpu, KVM_SET_MSRS, &one) != 1)
			vm_debug(vcpu->vm, "vCPU %u: MSR 0x%x not set", vcpu->id, msrs[i].index);
	}
	return 0;
}

static void lvt_set(struct kvm_lapic_state *lapic, u32 reg, u32 value)
{
	memcpy(&lapic->regs[reg], &value, sizeof(value));
}

static int set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	if (vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic) < 0)
		return vm_end_errno(vcpu->vm, "KVM_GET_LAPIC");
	lvt_set(&lapic, APIC_LVT_LINT0, APIC_MODE_EXTINT);
	lvt_set(&lapic, APIC_LVT_LINT1, APIC_MODE_NMI);
	return vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic) < 0 ? vm_end_errno(vcpu->vm, "KVM_SET_LAPIC") : 0;
}

/* ---- the boot CPU's entry state ---- */

enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20 };

static struct kvm_segment flat_segment(u16 selector, u8 type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = long_mode,
		.db = !long_mode,
		.g = 1,
	};
}

/* The descriptor that describes this segment (SDM 3A, figure 3-8). */
static u64 descriptor(const struct kvm_segment *seg)
{
	u64 limit = seg->g ? seg->limit >> 12 : seg->limit;
	u64 d = (limit & 0xffff) | (limit >> 16 & 0xf) << 48;

	d |= (seg->base & 0xffffff) << 16 | (seg->base >> 24 & 0xff) << 56;
	d |= (u64)seg->type << 40 | (u64)seg->s << 44 | (u64)seg->dpl << 45 | (u64)seg->present << 47;
	d |= (u64)seg->avl << 52 | (u64)seg->l << 53 | (u64)seg->db << 54 | (u64)seg->g << 55;
	return d;
}

static int set_segments(struct vm *vm, struct kvm_sregs *sregs, bool long_mode)
{
	struct kvm_segment code = flat_segment(SEL_CODE, 0xb, long_mode);
	struct kvm_segment data = flat_segment(SEL_DATA, 0x3, false);
	struct kvm_segment tss = {.limit = 0x67, .selector = SEL_TSS, .type = 0xb, .present = 1};
	u64 gdt[6] = {[SEL_CODE / 8] = descriptor(&code), [SEL_DATA / 8] = descriptor(&data),
		      [SEL_TSS / 8] = descriptor(&tss)};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = tss;
	sregs->gdt.base = BOOT_GDT;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	return memory_write(vm, BOOT_GDT, gdt, sizeof(gdt));
}

/* Identity map of the first 4 GiB with 2 MiB pages. */
static int set_page_tables(struct vm *vm)
{
	u64 *pml4 = memory_at(vm, BOOT_PML4, 6 * PAGE_SIZE);
	u64 *pdpt, *pd;

	if (!pml4)
		return -1;
	pdpt = pml4 + 512;
	pd = pdpt + 512;
	memset(pml4, 0, 2 * PAGE_SIZE);
	pml4[0] = (BOOT_PML4 + PAGE_SIZE) | 3;
	for (u64 i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PML4 + (2 + i) * PAGE_SIZE) | 3;
	for (u64 i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | 0x83;
	return 0;
}

/* 64-bit protocol: long mode, paging on, interrupts off, RSI = zero page. */
static int enter_long(struct vm *vm, struct kvm_sregs *sregs, struct kvm_regs *regs)
{
	if (set_segments(vm, sregs, true) < 0 || set_page_tables(vm) < 0)
		return -1;
	sregs->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	sregs->cr3 = BOOT_PML4;
	sregs->cr4 = 0x20;   /* PAE */
	sregs->efer = 0x500; /* LME LMA */
	regs->rip = vm->boot.entry;
	regs->rsi = vm->boot.params;
	regs->rsp = regs->rbp = BOOT_STACK;
	return 0;
}

/* PVH: protected mode, paging off, EBX = hvm_start_info. */
static int enter_protected(struct vm *vm, struct kvm_sregs *sregs, struct kvm_regs *regs)
{
	if (set_segments(vm, sregs, false) < 0)
		return -1;
	sregs->cr0 = 0x11; /* ET PE */
	sregs->cr3 = sregs->cr4 = sregs->efer = 0;
	regs->rip = vm->boot.entry;
	regs->rbx = vm->boot.params;
	return 0;
}

static void real_segment(struct kvm_segment *seg)
{
	seg->selector = BOOT_FLAT_SEGMENT;
	seg->base = BOOT_FLAT_SEGMENT << 4;
	seg->limit = 0xffff;
}

static int enter_real(struct vm *vm, struct kvm_sregs *sregs, struct kvm_regs *regs)
{
	struct kvm_segment *segs[] = {&sregs->cs, &sregs->ds, &sregs->es, &sregs->ss, &sregs->fs, &sregs->gs};

	for (size_t i = 0; i < ARRAY_SIZE(segs); i++)
		real_segment(segs[i]);
	regs->rip = vm->boot.entry;
	return 0;
}

static int (*const enter[])(struct vm *vm, struct kvm_sregs *sregs, struct kvm_regs *regs) = {
	[BOOT_BZIMAGE] = enter_long,
	[BOOT_ELF] = enter_long,
	[BOOT_PVH] = enter_protected,
	[BOOT_FLAT] = enter_real,
};

static int set_entry(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct kvm_regs regs = {.rflags = 2};
	struct kvm_sregs sregs;

	if (vcpu_ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return vm_end_errno(vm, "KVM_GET_SREGS");
	if (enter[vm->boot.format](vm, &sregs, &regs) < 0)
		return vm_end(vm, VM_END_MEMORY, 0, "--mem is too small for a PC; use --mem 64M or more");
	if (vcpu_ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
		return vm_end_errno(vm, "KVM_SET_SREGS");
	return vcpu_ioctl(vcpu, KVM_SET_REGS, &regs) < 0 ? vm_end_errno(vm, "KVM_SET_REGS") : 0;
}

int regs_set(struct vcpu *vcpu)
{
	if (set_fpu(vcpu) < 0 || set_msrs(vcpu) < 0 || set_lapic(vcpu) < 0)
		return -1;
	return vcpu->id == 0 ? set_entry(vcpu) : 0;
}
