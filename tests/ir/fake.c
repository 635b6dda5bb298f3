/* SPDX-License-Identifier: Apache-2.0 */
/* The slow paths of memory accesses, as hyp/sys/arm64 has them, over the fake's RAM. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/ir/fake.h"

u8 fake_ram[FAKE_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static struct ir_block block;

struct hyp_cpu *fake_cpu(void)
{
	struct hyp_cpu *cpu = mmap(NULL, sizeof(*cpu), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);

	assert_true(cpu != MAP_FAILED);
	cpu->stats = cpu->own_stats;
	for (unsigned p = 0; p < HYP_TLB_PARTS; p++)
		for (unsigned i = 0; i < HYP_TLB_SIZE; i++)
			cpu->tlb[p][i].read_tag = cpu->tlb[p][i].write_tag = HYP_TLB_NONE(i);
	memset(fake_ram, 0, sizeof(fake_ram));
	return cpu;
}

void fake_cpu_free(struct hyp_cpu *cpu)
{
	munmap(cpu, sizeof(*cpu));
}

struct ir_block *fake_block(u32 key)
{
	ir_block_init(&block, FAKE_PC, key);
	block.guest_insns = 1;
	block.guest_len = 4;
	ir_add_insn(&block, (struct ir_insn){ .op = IR_INSN });
	return &block;
}

void hyp_arm64_raise(struct hyp_cpu *cpu, u32 esr, u64 far)
{
	cpu->exc.esr = esr;
	cpu->exc.far = far;
	cpu->leave = ARM64_RAISED;
}

/* NULL: a fault has been raised. Whole pages of RAM enter the soft TLB. */
static u8 *ptr(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned size, bool write)
{
	u64 off = gva - FAKE_RAM, mask = size - 1;
	struct hyp_tlb_entry *e = &cpu->tlb[cpu->tlb_part][hyp_tlb_slot(gva)];

	if (off >= sizeof(fake_ram) || off + size > sizeof(fake_ram) || (mem & IR_MEM_ALIGN && gva & mask)) {
		hyp_arm64_raise(cpu, FAKE_ESR | (write ? 64 : 0), gva);
		return NULL;
	}
	cpu->stats[HYP_STAT_tlb_miss]++;
	e->addend = (u64)fake_ram - FAKE_RAM;
	e->read_tag = gva & PAGE_MASK;
	if (write)
		e->write_tag = gva & PAGE_MASK;
	return fake_ram + off;
}

u64 a64_helper_spin(struct hyp_cpu *cpu, u64 a, u64 b, u64 c)
{
	cpu->spins = 2;
	return 0;
}

bool hyp_arm64_load(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2])
{
	u8 *p = ptr(cpu, gva, mem, IR_MEM_SIZE(mem), false);

	if (!p)
		return false;
	val[0] = val[1] = 0;
	memcpy(val, p, IR_MEM_SIZE(mem));
	return true;
}

bool hyp_arm64_store(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2])
{
	u8 *p = ptr(cpu, gva, mem, IR_MEM_SIZE(mem), true);

	if (p)
		memcpy(p, val, IR_MEM_SIZE(mem));
	return p;
}

bool hyp_arm64_cas(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 expect[2], const u64 val[2], u64 old[2])
{
	unsigned size = IR_MEM_SIZE(mem);
	u8 *p = ptr(cpu, gva, mem, size, true);

	if (!p)
		return false;
	old[0] = old[1] = 0;
	memcpy(old, p, size);
	if (!memcmp(p, expect, size))
		memcpy(p, val, size);
	return true;
}

static u64 sext(u64 x, unsigned bits)
{
	return (u64)((s64)(x << (64 - bits)) >> (64 - bits));
}

static u64 combined(unsigned op, u64 x, u64 y, unsigned bits)
{
	s64 sx = (s64)sext(x, bits), sy = (s64)sext(y, bits);

	y &= ~0ull >> (64 - bits);
	switch (op) {
	case 0: return x + y;
	case 1: return x & ~y;
	case 2: return x ^ y;
	case 3: return x | y;
	case 4: return sx > sy ? x : y;
	case 5: return sx < sy ? x : y;
	case 6: return x > y ? x : y;
	case 7: return x < y ? x : y;
	default: return y;
	}
}

bool hyp_arm64_atomic(struct hyp_cpu *cpu, gva_t gva, u32 mem, unsigned op, u64 val, u64 *old)
{
	unsigned size = IR_MEM_SIZE(mem);
	u8 *p = ptr(cpu, gva, mem, size, true);
	u64 x;

	if (!p)
		return false;
	*old = 0;
	memcpy(old, p, size);
	x = combined(op, *old, val, 8 * size);
	memcpy(p, &x, size);
	return true;
}

bool hyp_arm64_load_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, u64 val[2])
{
	if (!hyp_arm64_load(cpu, gva, mem | IR_MEM_ALIGN, val))
		return false;
	cpu->s.exclusive = (u8)IR_MEM_SIZE(mem);
	cpu->ex_addr = gva;
	cpu->ex_val[0] = val[0];
	cpu->ex_val[1] = val[1];
	return true;
}

bool hyp_arm64_store_excl(struct hyp_cpu *cpu, gva_t gva, u32 mem, const u64 val[2], u64 *failed)
{
	unsigned size = IR_MEM_SIZE(mem);
	u64 old[2];

	*failed = 1;
	if (cpu->s.exclusive != size || cpu->ex_addr != gva) {
		cpu->s.exclusive = 0;
		return true;
	}
	if (!hyp_arm64_cas(cpu, gva, mem | IR_MEM_ALIGN, cpu->ex_val, val, old))
		return false;
	cpu->s.exclusive = 0;
	*failed = memcmp(old, cpu->ex_val, size) != 0;
	return true;
}
