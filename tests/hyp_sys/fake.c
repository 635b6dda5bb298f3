/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/hyp_sys/fake.h"

struct fake_counts fake;
u8 *fake_ram;

/* ---- what hyp/mem and hyp/rewrite provide ---- */

u8 *hyp_phys_ptr(struct hyp_cpu *cpu, gpa_t gpa, bool write)
{
	if (gpa >= RAM_SIZE || (write && gpa >= ROM_START && gpa < ROM_END))
		return NULL;
	if (write && fake.race_at && gpa == fake.race_at) {
		ram64_set(gpa, fake.race_val);
		fake.race_at = 0;
	}
	return fake_ram + gpa;
}

u8 *hyp_mem_ptr(struct hyp_cpu *cpu, gva_t gva, unsigned acc, gpa_t *gpa, enum x86_ret *ret)
{
	struct x86_walk w;
	u8 *p;

	*ret = X86_FAULT;
	if (!x86_canonical(cpu, gva)) {
		x86_raise_err(cpu, X86_GP, 0);
		return NULL;
	}
	if (x86_walk(cpu, gva, acc, &w) != X86_OK)
		return NULL;
	*ret = X86_EXIT;
	*gpa = w.gpa;
	p = hyp_phys_ptr(cpu, w.gpa, acc & X86_ACC_W);
	return p;
}

void hyp_tlb_flush_all(struct hyp_cpu *cpu) { fake.flush_all++; }
void hyp_tlb_flush_nonglobal(struct hyp_cpu *cpu) { fake.flush_nonglobal++; }
void hyp_tlb_flush_page(struct hyp_cpu *cpu, gva_t gva)
{
	fake.flush_page++;
	fake.flushed = gva;
}

void hyp_x86_state_changed(struct hyp_cpu *cpu)
{
	fake.state_changed++;
	hyp_mode_update(cpu);
}

/* ---- the machine ---- */

int fake_setup(void **state)
{
	struct hyp_cpu *cpu;

	if (posix_memalign((void **)&cpu, 64, sizeof(*cpu)))
		return -1;
	memset(cpu, 0, sizeof(*cpu));
	fake_ram = calloc(1, RAM_SIZE);
	hyp_x86_reset(cpu, false);
	cpu->s.maxphyaddr = 46;
	cpu->s.cr4_valid = 0x7fffff;
	cpu->s.efer_valid = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX;
	cpu->s.has_gbpages = cpu->s.has_invpcid = true;
	memset(&fake, 0, sizeof(fake));
	*state = cpu;
	return fake_ram ? 0 : -1;
}

int fake_teardown(void **state)
{
	free(*state);
	free(fake_ram);
	return 0;
}

u64 ram64(gpa_t gpa)
{
	u64 v;

	memcpy(&v, fake_ram + gpa, 8);
	return v;
}

void ram64_set(gpa_t gpa, u64 val) { memcpy(fake_ram + gpa, &val, 8); }

u32 ram32(gpa_t gpa)
{
	return ram64(gpa);
}

void ram32_set(gpa_t gpa, u32 val) { memcpy(fake_ram + gpa, &val, 4); }

void set_gate64(unsigned vector, u16 cs, u64 rip, unsigned type_dpl_p, unsigned ist)
{
	ram64_set(IDT + vector * 16, (rip & 0xffff) | (u64)cs << 16 | (u64)ist << 32 | (u64)type_dpl_p << 40 |
					     (rip & 0xffff0000) << 32);
	ram64_set(IDT + vector * 16 + 8, rip >> 32);
}

void set_gate32(unsigned vector, u16 cs, u32 rip, unsigned type_dpl_p)
{
	ram64_set(IDT + vector * 8,
		  (rip & 0xffff) | (u64)cs << 16 | (u64)type_dpl_p << 40 | (u64)(rip & 0xffff0000) << 32);
}

static void fill_gdt(void)
{
	ram64_set(GDT + SEL_K64, DESC_CODE64(0));
	ram64_set(GDT + SEL_KDATA, DESC_DATA(0));
	ram64_set(GDT + SEL_K32, DESC_CODE32(0));
	ram64_set(GDT + (SEL_U32 & ~7), DESC_CODE32(3));
	ram64_set(GDT + (SEL_UDATA & ~7), DESC_DATA(3));
	ram64_set(GDT + (SEL_U64 & ~7), DESC_CODE64(3));
	ram64_set(GDT + SEL_TSS, 0x0000890000000067ull | (u64)TSS << 16);
	ram64_set(GDT + SEL_ABSENT_DATA, DESC(0x13, 0xc));
	ram64_set(GDT + SEL_RO_DATA, DESC(0x91, 0xc));
	ram64_set(GDT + SEL_XO_CODE, DESC(0x99, 0xc));
	ram64_set(GDT + SEL_CONFORMING, DESC(0x9f, 0xc));
	ram64_set(GDT + SEL_LDT, 0x000082000000001full | (u64)LDT << 16);
}

static struct x86_seg flat(u16 sel, u32 ar)
{
	return (struct x86_seg){ .limit = 0xffffffff, .sel = sel, .ar = ar };
}

void set_cpl(struct hyp_cpu *cpu, unsigned cpl)
{
	struct x86_state *s = &cpu->s;
	bool lm = s->efer & X86_EFER_LMA;
	u32 dpl = cpl << X86_AR_DPL_SHIFT;
	u16 code = lm ? (cpl ? SEL_U64 : SEL_K64) : (cpl ? SEL_U32 : SEL_K32);
	u16 data = cpl ? SEL_UDATA : SEL_KDATA;

	s->seg[X86_CS] = flat(code, (lm ? 0xa09b : 0xc09b) | dpl);
	s->seg[X86_SS] = s->seg[X86_DS] = s->seg[X86_ES] = flat(data, 0xc093 | dpl);
	s->seg[X86_FS] = s->seg[X86_GS] = flat(data, 0xc093 | dpl);
	s->gpr[X86_RSP] = cpl ? STACK3 : STACK0 - 0x800;
	hyp_mode_update(cpu);
}

void machine_long(struct hyp_cpu *cpu, unsigned cpl)
{
	struct x86_state *s = &cpu->s;

	ram64_set(PML4, PDPT | 7);
	ram64_set(PDPT, PD | 7);
	ram64_set(PD, PT0 | 7);
	for (u64 i = 1; i < 32; i++)
		ram64_set(PD + i * 8, i << 21 | 0x87);
	for (u64 i = 0; i < 512; i++)
		ram64_set(PT0 + i * 8, i << 12 | 3);
	ram64_set(PT0 + (NOT_PRESENT >> 12) * 8, 0);
	for (u64 p = (STACK3 - 0x4000) >> 12; p <= STACK3 >> 12; p++) /* user stack */
		ram64_set(PT0 + p * 8, p << 12 | 7);
	fill_gdt();
	ram64_set(TSS + 4, STACK0);
	ram64_set(TSS + 0x24, IST1);
	for (unsigned v = 0; v < 256; v++)
		set_gate64(v, SEL_K64, 0xffffffff80000000ull + HANDLER + v * 16, 0x8e, 0);
	s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_WP | X86_CR0_NE;
	s->cr4 = X86_CR4_PAE | X86_CR4_PGE;
	s->cr3 = PML4;
	s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX | X86_EFER_SCE;
	s->gdtr = (struct x86_dtable){ GDT, GDT_LIMIT };
	s->idtr = (struct x86_dtable){ IDT, 0xfff };
	s->seg[X86_TR] = (struct x86_seg){ .base = TSS, .limit = 0x67, .ar = 0x8b, .sel = SEL_TSS };
	s->seg[X86_LDTR] = (struct x86_seg){ .ar = X86_AR_UNUSABLE };
	s->rip = 0x30000;
	s->rflags = 0x202;
	set_cpl(cpu, cpl);
}

void machine_protected(struct hyp_cpu *cpu, unsigned cpl)
{
	struct x86_state *s = &cpu->s;

	fill_gdt();
	s->efer = s->cr4 = s->cr3 = 0;
	ram32_set(TSS + 4, STACK0);
	ram32_set(TSS + 8, SEL_KDATA);
	for (unsigned v = 0; v < 256; v++)
		set_gate32(v, SEL_K32, HANDLER + v * 16, 0x8e);
	s->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	s->gdtr = (struct x86_dtable){ GDT, GDT_LIMIT };
	s->idtr = (struct x86_dtable){ IDT, 0x7ff };
	s->seg[X86_TR] = (struct x86_seg){ .base = TSS, .limit = 0x67, .ar = 0x8b, .sel = SEL_TSS };
	s->seg[X86_LDTR] = (struct x86_seg){ .ar = X86_AR_UNUSABLE };
	s->rip = 0x30000;
	s->rflags = 0x202;
	set_cpl(cpu, cpl);
}

void machine_real(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	s->seg[X86_CS].sel = 0x1000;
	s->seg[X86_CS].base = 0x10000;
	s->seg[X86_CS].ar = 0x9b;
	s->seg[X86_SS].sel = 0x2000;
	s->seg[X86_SS].base = 0x20000;
	s->idtr = (struct x86_dtable){ 0, 0x3ff };
	s->rip = 0x100;
	s->rflags = 0x202;
	s->gpr[X86_RSP] = 0x1000;
	hyp_mode_update(cpu);
}
