/* SPDX-License-Identifier: Apache-2.0 */
/* Harness of the ioctl tests for arm64 guests: tests/ioctl/ioctl.h's, with RAM at RAM_BASE and A64 by hand.
 * */
#ifndef KUSE_TESTS_IOCTL_ARM64_H
#define KUSE_TESTS_IOCTL_ARM64_H

#include "tests/ioctl/ioctl.h"
#include "uapi/kuse_kvm_arm64.h"

#define RAM_BASE 0x80000000ull
#define CODE RAM_BASE
#define VECTORS (RAM_BASE + 0x10000) /* VBAR_EL1, all of them report: see machine_vectors */
#define NOWHERE 0x09000000ull        /* no RAM: accesses leave as MMIO */

#define CORE_REG(name) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))
#define X(n) (CORE_REG(regs.regs[0]) + 2 * (n))
#define PC CORE_REG(regs.pc)
#define PSTATE CORE_REG(regs.pstate)
#define SP_EL0 CORE_REG(regs.sp)
#define SP_EL1 CORE_REG(sp_el1)
#define SYS(...) ARM64_SYS_REG(__VA_ARGS__)
#define PSTATE_EL1H 0x3c5ull /* DAIF set */

#define FEATURES_PSCI (1u << KVM_ARM_VCPU_PSCI_0_2)
#define FEATURES_OFF (FEATURES_PSCI | 1u << KVM_ARM_VCPU_POWER_OFF)

/* One vCPU, initialized with these features (machine_up: PSCI 0.2); a GICv3 where asked for. */
int machine_up_with(struct machine *m, int irqchip, uint32_t features);
void machine_pmu_init(struct machine *m); /* KVM_ARM_VCPU_PMU_V3_INIT, without GIC */
int vcpu_init(int vcpu, uint32_t features); /* KVM_ARM_VCPU_INIT, generic target */
int get_one(int vcpu, uint64_t id, void *val);
int set_one(int vcpu, uint64_t id, const void *val);
uint64_t reg(int vcpu, uint64_t id); /* must succeed */
void set_reg(int vcpu, uint64_t id, uint64_t val);
/* Words at CODE; PC there, EL1h, x28 = NOWHERE. */
void machine_words(struct machine *m, const uint32_t *words, size_t n);
#define machine_asm(m, ...)                                             \
	do {                                                            \
		static const uint32_t words_[] = { __VA_ARGS__ };       \
		machine_words((m), words_, sizeof(words_) / 4);         \
	} while (0)
/* Every exception to EL1 stores ESR_EL1 to NOWHERE, then FAR_EL1 to NOWHERE + 8. */
void machine_vectors(struct machine *m);
/* Runs until a 64-bit store to NOWHERE (+ offset) leaves; its value. */
uint64_t machine_report(struct machine *m, unsigned offset);

/* The machine of tests that need one (cmocka runs one at a time), and what cmocka makes and ends it with. */
extern struct machine m;
int m_bare(void **state);    /* NO_IRQCHIP */
int m_vectors(void **state); /* and machine_vectors */
int m_gic(void **state);     /* a GICv3, and machine_vectors */
int m_down(void **state);

/* A64 */
#define NOP 0xd503201fu
#define WFI 0xd503207fu
#define ISB 0xd5033fdfu
#define MOVZ(rd, imm, hw) (0xd2800000u | (uint32_t)(hw) << 21 | (uint32_t)(imm) << 5 | (rd))
#define MOVK(rd, imm, hw) (0xf2800000u | (uint32_t)(hw) << 21 | (uint32_t)(imm) << 5 | (rd))
#define MOV32(rd, val) MOVZ(rd, (val) & 0xffff, 0), MOVK(rd, (uint32_t)(val) >> 16, 1)
#define MOVX(rd, rm) (0xaa0003e0u | (uint32_t)(rm) << 16 | (rd))
#define ADD(rd, rn, rm) (0x8b000000u | (uint32_t)(rm) << 16 | (uint32_t)(rn) << 5 | (rd))
#define STRX(rt, rn, off) (0xf9000000u | (uint32_t)(off) / 8 << 10 | (uint32_t)(rn) << 5 | (rt))
#define LDRX(rt, rn, off) (0xf9400000u | (uint32_t)(off) / 8 << 10 | (uint32_t)(rn) << 5 | (rt))
#define STRW(rt, rn) (0xb9000000u | (uint32_t)(rn) << 5 | (rt))
#define LDRW(rt, rn) (0xb9400000u | (uint32_t)(rn) << 5 | (rt))
#define STRH(rt, rn) (0x79000000u | (uint32_t)(rn) << 5 | (rt))
#define LDRB(rt, rn) (0x39400000u | (uint32_t)(rn) << 5 | (rt))
#define LDRSB(rt, rn) (0x39800000u | (uint32_t)(rn) << 5 | (rt))  /* to 64 bits */
#define LDRSHW(rt, rn) (0x79c00000u | (uint32_t)(rn) << 5 | (rt)) /* to 32 bits */
#define STP(rt, rt2, rn) (0xa9000000u | (uint32_t)(rt2) << 10 | (uint32_t)(rn) << 5 | (rt))
#define HVC(imm) (0xd4000002u | (uint32_t)(imm) << 5)
#define SMC(imm) (0xd4000003u | (uint32_t)(imm) << 5)
#define BRK(imm) (0xd4200000u | (uint32_t)(imm) << 5)
#define BR(rn) (0xd61f0000u | (uint32_t)(rn) << 5)
#define B_SELF 0x14000000u
#define MRS(rt, op0, op1, crn, crm, op2) \
	(0xd5300000u | ((op0)-2) << 19 | (op1) << 16 | (crn) << 12 | (crm) << 8 | (op2) << 5 | (rt))
#define MSR(op0, op1, crn, crm, op2, rt) (MRS(rt, op0, op1, crn, crm, op2) & ~0x200000u)
#define DAIFCLR(imm) (0xd50340ffu | (imm) << 8)
#define REPORT(rt) STRX(rt, 28, 0)

#endif
